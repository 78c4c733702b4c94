//! What playing the past costs: ninety nights over 125,000 tags, with the search for the values that regret nothing.
//! The budget is 6 s of CPU after the reading and less than 100 MiB; 3 s are wanted.
//!
//! ```console
//! $ cargo bench --bench backtest
//! ```
//!
//! Each row is measured in a process of its own. Its CPU time is that of `Backtest::add` and `finish`; its memory is
//! the most that the process ever had (`VmHWM`), what was read included.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a measurement that fails is to end, and prints what it found"
)]

#[path = "support/large.rs"]
mod large;
#[path = "clean/names.rs"]
mod names;

use std::process::{Command, ExitCode};
use std::time::Duration;

use jiff::SignedDuration;
use registry_cleanup_operator::api::Attachments;
use registry_cleanup_operator::policy::backtest::{Backtest, Findings};
use registry_cleanup_operator::policy::in_use::{Deployment, What};
use registry_cleanup_operator::policy::inventory::Inventory;
use registry_cleanup_operator::policy::plan::attachments::{Children, Context};
use registry_cleanup_operator::policy::tag::Tag;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use large::{digest, now, policy, three_rules};

const TAGS: u64 = 125_000;
const NIGHTS: i64 = 90;
/// Of so many tags one was deployed within the nights.
const DEPLOYED: u64 = 500;
const MOST_CPU: Duration = Duration::from_secs(6);
const MOST_MIB: u64 = 100;

/// What is played.
struct Row {
    title: &'static str,
    repositories: u64,
    rules: fn() -> Value,
    /// Of so many tags one is a signature of the next; none with zero.
    signed: u64,
    with: Attachments,
}

const ROWS: [Row; 7] = [
    Row { title: "one rule", repositories: 1, rules: one_rule, signed: 0, with: Attachments::ByRule },
    Row { title: "one rule", repositories: 250, rules: one_rule, signed: 0, with: Attachments::ByRule },
    Row { title: "three rules", repositories: 1, rules: three_rules, signed: 0, with: Attachments::ByRule },
    Row {
        title: "one rule, a signature for every twentieth tag",
        repositories: 1,
        rules: one_rule,
        signed: 20,
        with: Attachments::ByRule,
    },
    Row {
        title: "three rules, a signature for every twentieth tag",
        repositories: 1,
        rules: three_rules,
        signed: 20,
        with: Attachments::WithSubject,
    },
    Row {
        title: "three rules, half of the tags are signatures",
        repositories: 1,
        rules: three_rules,
        signed: 2,
        with: Attachments::WithSubject,
    },
    Row {
        title: "three rules, half of the tags are signatures",
        repositories: 250,
        rules: three_rules,
        signed: 2,
        with: Attachments::WithSubject,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, row] = arguments.as_slice()
        && word == "row"
    {
        return measure(ROWS.get(row.parse::<usize>().unwrap()).unwrap());
    }
    // `cargo test --all-targets` starts this as well, without the word.
    if !arguments.iter().any(|argument| argument == "--bench") {
        eprintln!("measures with `cargo bench --bench backtest`");
        return ExitCode::SUCCESS;
    }
    println!("| Played | Repositories | Removed | Regretted | CPU seconds | MiB | Met |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut all = true;
    for row in 0..ROWS.len() {
        let program = std::env::current_exe().unwrap();
        all &= Command::new(program).args(["row", &row.to_string()]).status().unwrap().success();
    }
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(row: &Row) -> ExitCode {
    let (findings, cpu) = play(row);
    let mib = most_memory() / 1024;
    let met = cpu <= MOST_CPU && mib < MOST_MIB;
    println!(
        "| {} | {} | {} | {} | {:.2} | {} | {} |",
        row.title,
        row.repositories,
        findings.repositories.iter().map(|repository| repository.removed).sum::<u64>(),
        findings.regret.images.len(),
        cpu.as_secs_f64(),
        mib,
        if met { "yes" } else { "**no**" },
    );
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn play(row: &Row) -> (Findings, Duration) {
    let (policy, children) = (policy(&(row.rules)(), row.with), Children::new());
    let context = Context { with: row.with, children: &children, complete: true };
    let nights = (0..NIGHTS).rev().map(|night| now() - SignedDuration::from_hours(night * 24)).collect();
    let mut played = Backtest::new(&policy, nights).unwrap();
    let each = TAGS / row.repositories;
    let mut cpu = Duration::ZERO;
    for repository in 0..row.repositories {
        let numbers = || repository * each..(repository + 1) * each;
        let inventory = Inventory { read: numbers().map(|number| tag(number, row)).collect(), ..Inventory::default() };
        let deployments: Vec<Deployment> =
            numbers().filter(|number| number % DEPLOYED == number / DEPLOYED % 9 + 1).map(deployment).collect();
        let begun = used();
        played.add(&format!("shop/{repository}"), inventory, context, &deployments);
        cpu += used().saturating_sub(begun);
    }
    let begun = used();
    let findings = played.finish();
    (findings, cpu + used().saturating_sub(begun))
}

/// CPU time of this process so far.
fn used() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}

/// The most memory that this process ever had, in KiB.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn one_rule() -> Value {
    json!([{"name": "old", "nameRegexDelete": ".*", "olderThan": "30d", "keepN": 100}])
}

fn tag(number: u64, row: &Row) -> Tag {
    if row.signed == 0 || !number.is_multiple_of(row.signed) {
        return large::tag(number, number);
    }
    let image = number + 1;
    Tag { name: format!("sha256-{image:064x}.sig").into(), ..large::tag(number, image) }
}

/// Half of them by digest.
fn deployment(number: u64) -> Deployment {
    let what = if (number / DEPLOYED).is_multiple_of(2) {
        What::Tag(names::tag_name(number).into())
    } else {
        What::Digest(digest(number))
    };
    let hours = i64::try_from(names::scrambled(number) / 7 % (90 * 24)).unwrap();
    let at = now() - SignedDuration::from_hours(hours);
    Deployment { what, written: true, user: "prod/ReplicaSet/web".into(), at, again: false, until: None }
}
