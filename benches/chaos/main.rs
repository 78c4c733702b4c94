//! Kills, freezes, cuts and faults at random, for a given time and number: `make chaos MINUTES=20 STRIKES=1000 SEED=7`.
//!
//! Operators in processes of their own clean a registry that changes under their hands, through a link to the API
//! server that breaks. They take turns by a Lease, and are killed, frozen, stopped and cut off; GitLab answers late,
//! wrongly or not at all. All the while somebody else watches the registry itself, and the log of what GitLab was
//! asked, and says what was done that must never be done. The same seed makes the same decisions; what becomes of them
//! depends on the machine.

mod api_link;
mod content;
mod disturb;
mod random;
mod scene;
mod signals;
#[path = "../support/mod.rs"]
mod support;
mod verdict;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use disturb::Counts;
use random::Random;
use scene::Scene;
use support::Failure;

/// How long a run may take to come to rest once everything works again.
const REST: Duration = Duration::from_secs(5 * 60);

fn main() -> ExitCode {
    support::main("this takes a time, a number and a seed: make chaos MINUTES=20 STRIKES=1000 SEED=7", |arguments| {
        let choice = Choice::read(arguments)?;
        let cluster = control_plane::shared()?;
        support::until_interrupted(run(cluster, &choice))
    })
}

/// How long and how often at least, and with which decisions.
#[derive(Debug)]
struct Choice {
    minutes: u64,
    /// Kills, terminations, freezes and cuts.
    strikes: u64,
    seed: u64,
}

impl Choice {
    fn read(arguments: &[String]) -> Result<Self, Failure> {
        let mut choice = Self { minutes: 2, strikes: 200, seed: 1 };
        for argument in arguments {
            match argument.split_once('=') {
                Some(("--minutes", minutes)) => choice.minutes = minutes.parse()?,
                Some(("--strikes", strikes)) => choice.strikes = strikes.parse()?,
                Some(("--seed", seed)) => choice.seed = seed.parse()?,
                _ => return Err(format!("{argument:?} is none of --minutes=N, --strikes=N and --seed=N").into()),
            }
        }
        Ok(choice)
    }
}

/// Whether nothing happened that must never happen.
async fn run(cluster: &control_plane::Cluster, choice: &Choice) -> Result<bool, Failure> {
    let mut scene = Scene::set_up(cluster).await?;
    let watcher = verdict::watch(scene.registry());
    let mut random = Random::new(choice.seed);
    let mut counts = Counts::default();
    let end = Instant::now() + Duration::from_secs(60 * choice.minutes);
    let mut told = Instant::now();
    while Instant::now() < end || counts.strikes() < choice.strikes {
        disturb::once(&mut scene, &mut random, &mut counts).await?;
        if told.elapsed() > Duration::from_secs(60) {
            told = Instant::now();
            eprintln!("{counts}");
        }
    }
    scene.calm_down()?;
    let restless = scene.come_to_rest(REST).await?;
    let violations = scene.judge(watcher.finish().await, restless)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "seed {}, {} minutes or more: {counts}", choice.seed, choice.minutes)?;
    writeln!(out, "{}", scene.summary())?;
    for violation in &violations {
        writeln!(out, "VIOLATION: {violation}")?;
    }
    writeln!(out, "violations: {}", violations.len())?;
    Ok(violations.is_empty())
}
