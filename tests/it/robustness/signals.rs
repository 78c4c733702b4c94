//! SIGTERM in the middle of a run, and what the next operator makes of it.

use gitlab_simulator::{Endpoint, Hold, HoldPoint, Matcher};
use registry_cleanup_operator::api::{HistoryEntry, RUN_REQUESTED_AT, RunResult, Trigger};
use serde_json::json;

use super::process::Process;
use super::{operator, world_in_real_time};
use crate::support::{eventually, in_time};
use crate::world::World;

/// The program in the middle of its first bulk request, with another repository to come.
async fn in_the_middle_of_a_run() -> (World, Process, Hold) {
    let world = world_in_real_time().await;
    for path in ["shop/backend/api", "shop/frontend/web"] {
        world.repository(path, &[("v1", 30), ("v2", 20), ("main", 1)]);
    }
    let rules = json!([{"name": "versions", "nameRegexDelete": "v.*", "olderThan": "7d"}]);
    world.apply(&world.policy("shop", &json!({"rules": rules}))).await.unwrap();
    let process = operator(&world, &[]).await;
    world.ready("shop").await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::BulkDeleteTags).nth(1), HoldPoint::AfterProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("the first request", hold.reached()).await;
    (world, process, hold)
}

fn is_cut(run: &HistoryEntry) -> bool {
    run.result == RunResult::Interrupted
}

async fn told_to_stop(process: &Process, words: &str) {
    process.terminate();
    eventually("a line about the signal", async || process.log().contains(words).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_program_ends_its_request_tells_what_it_did_and_leaves_the_rest_to_the_next_run() {
    let (world, mut process, hold) = in_the_middle_of_a_run().await;
    told_to_stop(&process, "runs end after their current request").await;
    assert!(process.is_running(), "it waits for the answer");
    hold.release();
    assert_eq!(process.exit_code().await, Some(0), "{}", process.log());
    let status = world.policies().get("shop").await.unwrap().status.unwrap();
    let run = status.last_run.as_ref().unwrap();
    assert_eq!(run.result, RunResult::Interrupted);
    assert_eq!((run.repositories.changed, run.repositories.skipped), (1, 1));
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/Interrupted");
    assert_eq!(World::condition(&status, "Ready"), "True/Scheduled", "the policy is not to blame");
    assert_eq!(world.sim.requests_to(Endpoint::BulkDeleteTags).len(), 1);
    let message = run.message.as_ref().unwrap();
    assert!(message.contains("the operator was shut down during the run"), "{message}");

    let mut next = operator(&world, &[]).await;
    let status = world.run("shop", "two").await;
    let bulk = world.sim.requests_to(Endpoint::BulkDeleteTags);
    let asked: Vec<_> = bulk.iter().map(|request| request.repository).collect();
    assert_eq!((asked.len(), asked[0] == asked[1]), (2, false), "each repository once: {asked:?}");
    let runs: Vec<_> = status.history.iter().map(|run| (run.result, run.trigger)).collect();
    let went_on = (RunResult::Succeeded, Trigger::Resumed);
    let cut = (RunResult::Interrupted, Trigger::RunRequested);
    assert_eq!(runs, [(RunResult::Succeeded, Trigger::RunRequested), went_on, cut], "the first request went on once");
    next.terminate();
    assert_eq!(next.exit_code().await, Some(0), "{}", next.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_program_at_once_and_its_run_is_found_interrupted() {
    let (world, mut process, hold) = in_the_middle_of_a_run().await;
    told_to_stop(&process, "runs end after their current request").await;
    process.terminate();
    assert_eq!(process.exit_code().await, Some(130), "{}", process.log());
    hold.release();
    let left = world.policies().get("shop").await.unwrap().status.unwrap();
    assert!(left.last_run.as_ref().unwrap().result.is_under_way(), "it was told to stop, and did not come to it");

    let mut next = operator(&world, &[]).await;
    let status = world.until("shop", |status| status.history.iter().any(is_cut)).await;
    assert!(status.others_eligible_time.is_some(), "nobody knows what was requested, so all of it counts");
    let status = world.run("shop", "two").await;
    assert_eq!(status.last_run.unwrap().repositories.skipped, 2);
    assert_eq!(world.sim.requests_to(Endpoint::BulkDeleteTags).len(), 1);
    next.terminate();
    assert_eq!(next.exit_code().await, Some(0), "{}", next.log());
}
