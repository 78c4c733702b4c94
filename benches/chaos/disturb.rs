//! The disturbances: what happens next, and how often each has happened.

use std::fmt;
use std::time::Duration;

use gitlab_simulator::{Action, Endpoint, Fault, HoldPoint, Matcher};

use crate::content::GROUPS;
use crate::random::Random;
use crate::scene::Scene;
use crate::signals;
use crate::support::Failure;

/// The longest that GitLab is made to wait before it answers.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_secs(3);
/// One leads, the others wait.
const MOST_OPERATORS: usize = 3;
/// Kinds of requests that faults strike.
const STRUCK: [Endpoint; 6] = [
    Endpoint::BulkDeleteTags,
    Endpoint::GraphqlMutation,
    Endpoint::GraphqlQuery,
    Endpoint::ListGroupRepositories,
    Endpoint::ListTags,
    Endpoint::GetRepository,
];

/// How often what has happened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    kills: u64,
    terminations: u64,
    freezes: u64,
    more: u64,
    cuts: u64,
    faults: u64,
    pushes: u64,
    uses: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, terminations, freezes, more, cuts, faults, pushes, uses } = self;
        write!(f, "{kills} kills, {terminations} terminations, {freezes} freezes, {more} more operators, ")?;
        write!(f, "{cuts} cuts of the API server, {faults} faults of GitLab, {pushes} pushes, {uses} uses")
    }
}

impl Counts {
    /// How often an operator was killed, told to end, frozen or cut off.
    pub(crate) fn strikes(&self) -> u64 {
        self.kills + self.terminations + self.freezes + self.cuts
    }
}

/// One disturbance, and a pause.
pub(crate) async fn once(scene: &mut Scene, random: &mut Random, counts: &mut Counts) -> Result<(), Failure> {
    match random.below(100) {
        0..12 => push(scene, random, counts),
        12..20 => push_again(scene, random, counts),
        20..30 => use_a_tag(scene, random, counts).await?,
        30..45 => scene.request(random.pick(&GROUPS).copied().unwrap_or_default()).await?,
        45..55 => fault(scene, random, counts),
        55..65 => {
            counts.cuts += 1;
            let even = random.below(2) == 0;
            scene.cut(even, while_away(random));
        }
        65..75 => {
            counts.kills += 1;
            scene.kill()?;
            pause(random, 2_000).await;
        }
        75..80 => terminate(scene, counts).await?,
        80..90 => freeze(scene, random, counts)?,
        _ if scene.operators.len() < MOST_OPERATORS => {
            counts.more += 1;
            scene.start()?;
        }
        _ => {}
    }
    scene.check()?;
    // One leads and one waits, as the chart has it.
    while scene.operators.len() < 2 {
        scene.start()?;
    }
    pause(random, 800).await;
    Ok(())
}

/// Mostly a while around the lease of three seconds, sometimes a long one.
fn while_away(random: &mut Random) -> Duration {
    let longest = if random.below(5) == 0 { 25_000 } else { 5_000 };
    Duration::from_millis(random.between(300, longest))
}

async fn pause(random: &mut Random, most: u64) {
    tokio::time::sleep(Duration::from_millis(random.below(most))).await;
}

/// New tags, old and young ones.
fn push(scene: &Scene, random: &mut Random, counts: &mut Counts) {
    let content = scene.registry();
    let index = usize::try_from(random.below(content.repositories.len() as u64)).unwrap_or_default();
    for _ in 0..random.between(5, 40) {
        counts.pushes += 1;
        let days = i64::try_from(random.between(0, 30)).unwrap_or_default();
        content.push(index, &format!("mr-{}", random.between(100, 100_000)), days);
    }
}

/// A tag that is there gets a new image.
fn push_again(scene: &Scene, random: &mut Random, counts: &mut Counts) {
    let content = scene.registry();
    if let Some((index, name)) = content.any_tag(random) {
        counts.pushes += 1;
        content.push(index, &name, 0);
    }
}

async fn use_a_tag(scene: &mut Scene, random: &mut Random, counts: &mut Counts) -> Result<(), Failure> {
    let Some((index, name)) = scene.registry().any_tag(random) else { return Ok(()) };
    counts.uses += 1;
    scene.name_in_workload(index, &name).await
}

/// GitLab does not do its part for a few requests of a kind.
fn fault(scene: &Scene, random: &mut Random, counts: &mut Counts) {
    counts.faults += 1;
    let matcher = random.pick(&STRUCK).map_or_else(Matcher::any, |endpoint| Matcher::endpoint(*endpoint));
    let longest = u64::try_from(LONGEST_DELAY.as_millis()).unwrap_or_default();
    let answer = |status| Action::Answer { status, headers: Vec::new(), body: "<html>".to_owned() };
    let action = match random.below(8) {
        0 => answer(500),
        1 => answer(502),
        2 => answer(200),
        3 => Action::TooManyRequests { retry_after: Some(random.between(1, 5)) },
        4 => Action::InvalidJson,
        5 | 6 => Action::DropConnection,
        _ => Action::Delay(Duration::from_millis(random.between(50, longest))),
    };
    // A rate limit stands before everything else: GitLab never says so after it has acted.
    let late = random.below(2) == 0 && !matches!(action, Action::TooManyRequests { .. });
    let point = if late { HoldPoint::AfterProcessing } else { HoldPoint::BeforeProcessing };
    let fault = Fault { matcher: matcher.times(random.between(1, 4)), action, point };
    scene.registry().gitlab.fault(fault);
}

/// SIGTERM, as an upgrade sends it, and its time to end.
async fn terminate(scene: &mut Scene, counts: &mut Counts) -> Result<(), Failure> {
    let Some(mut operator) = (!scene.operators.is_empty()).then(|| scene.operators.remove(0)) else { return Ok(()) };
    counts.terminations += 1;
    signals::send(&operator, "CONT")?;
    signals::send(&operator, "TERM")?;
    for _ in 0..300 {
        if operator.ended()?.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    scene.keep_log(operator)
}

/// Stops an operator in its tracks for a while, as a machine does that is suspended.
fn freeze(scene: &Scene, random: &mut Random, counts: &mut Counts) -> Result<(), Failure> {
    let index = usize::try_from(random.below(scene.operators.len() as u64)).unwrap_or_default();
    let Some(operator) = scene.operators.get(index) else { return Ok(()) };
    counts.freezes += 1;
    signals::freeze(operator, while_away(random))
}
