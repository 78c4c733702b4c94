//! The pure decisions of the operator in a world in memory: two operators, an API server whose watch lags behind, and a
//! GitLab that may be slow and whose answers may be lost. Random schedules of steps, cuts and faults are driven through
//! it, and what must hold whatever happens is checked after every step. A schedule that breaks it is shrunk to the
//! shortest one that does.
//!
//! What a controller does around the decisions is written here anew, as plainly as it can be ([`operator`]); the
//! decisions themselves, and all that they make of statuses, are the operator's own.
//!
//! ```console
//! $ cargo test --test model                                        # 20,000 schedules: a part of `make test`
//! $ SCHEDULES=1000000 SEED=7 cargo test --release --test model     # `make model`
//! ```

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "all of it is a test")]
#![expect(clippy::struct_excessive_bools, reason = "each is a guard of its own")]

mod operator;
mod steps;
mod world;

use std::env;

use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use steps::{Step, schedule};
use world::{Guards, Violation, World};

/// Schedules where nobody says how many.
const SCHEDULES: u32 = 20_000;
/// Schedules within which a model without one of its guards has to fail.
const TO_FAIL: u32 = 40_000;
/// How often a schedule is tried to be made shorter that broke something, and where that was to be expected.
const SHRINKING: u32 = 20_000;
const EXPECTED: u32 = 50;

/// The first violation of a schedule, if it has one.
fn play(guards: Guards, skews: [i64; 2], steps: &[Step]) -> Result<(), Violation> {
    let mut world = World::new(guards, skews);
    for step in steps {
        world.take(*step)?;
    }
    world.come_to_rest()
}

/// The shortest schedule that breaks something, among so many of those that a seed stands for.
fn search(guards: Guards, schedules: u32, shrinking: u32, from: u64) -> Option<String> {
    let config =
        Config { cases: schedules, failure_persistence: None, max_shrink_iters: shrinking, ..Config::default() };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number("SEED").unwrap_or(from).to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let result = runner.run(&schedule(), |(skews, steps)| Ok(play(guards, skews, &steps)?));
    match result {
        Ok(()) => None,
        Err(TestError::Fail(reason, (skews, steps))) => {
            let steps: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
            Some(format!("{reason}, with clocks {skews:?} apart, after:\n{}", steps.join("\n")))
        }
        Err(error) => Some(error.to_string()),
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

#[test]
fn no_schedule_of_crashes_cuts_and_lost_answers_breaks_what_must_hold() {
    let schedules = number("SCHEDULES").and_then(|number| u32::try_from(number).ok()).unwrap_or(SCHEDULES);
    if let Some(found) = search(Guards::default(), schedules, SHRINKING, 1) {
        panic!("{found}");
    }
}

/// The seed is one that is known to come to it soon; any other does in the end.
fn must_break(guards: Guards, seed: u64, expected: &str) {
    let found =
        search(guards, TO_FAIL, EXPECTED, seed).expect("nothing was violated, so the model would not notice either");
    assert!(found.contains(expected), "another violation than {expected:?}: {found}");
}

#[test]
fn without_the_ledger_of_hours_a_repository_gets_a_second_bulk_deletion() {
    must_break(Guards { ledger: false, ..Guards::default() }, 1, "second bulk deletion");
}

#[test]
fn without_the_margin_for_answers_that_were_lost_a_repository_gets_a_second_bulk_deletion() {
    must_break(Guards { margin: false, ..Guards::default() }, 40, "second bulk deletion");
}

#[test]
fn without_a_record_that_expires_two_operators_send_for_one_policy() {
    must_break(Guards { validity: false, ..Guards::default() }, 3, "second bulk deletion");
}

#[test]
fn without_a_lease_that_outlives_it_a_request_leaves_for_a_run_that_was_given_up() {
    must_break(Guards { lease: false, ..Guards::default() }, 1, "given up");
}

#[test]
fn without_a_compare_and_swap_a_run_is_lost_or_begun_twice() {
    must_break(Guards { compare_and_swap: false, ..Guards::default() }, 6, "run");
}

#[test]
fn without_the_end_that_is_kept_a_run_that_came_through_is_told_to_have_been_given_up() {
    must_break(Guards { kept_end: false, ..Guards::default() }, 1, "came through");
}
