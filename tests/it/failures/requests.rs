//! Runs that do not begin, and runs that do not come to their end.

use gitlab_simulator::{Endpoint, HoldPoint, Matcher};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{RUN_REQUESTED_AT, RunResult};
use serde_json::json;

use super::{asked_to_remove, bulk_requests, entry, repository, result, two_repositories};
use crate::support::{events_of, in_time};
use crate::world::{Operator, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_too_long_stops_between_two_requests_and_the_next_one_goes_on() {
    let (world, operator, [first, second]) = two_repositories(&json!({"activeDeadlineSeconds": 600})).await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::BulkDeleteTags).nth(1), HoldPoint::AfterProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("the first request", hold.reached()).await;
    world.sim.advance(SignedDuration::from_secs(600));
    hold.release();
    let status =
        world.until("shop", |status| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some())).await;
    assert_eq!(result(&status), RunResult::PartiallyFailed);
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/DeadlineExceeded");
    assert_eq!(World::condition(&status, "Ready"), "True/Scheduled");
    assert_eq!(asked_to_remove(&world), [first], "nothing is sent after the deadline");
    assert!(entry(&status, "shop/backend/api").next_eligible_time.is_some());
    assert_eq!(repository(&status, "shop/frontend/web").0, "Skipped/NotReached");
    assert_eq!(entry(&status, "shop/frontend/web").next_eligible_time, None);
    let message = status.last_run.as_ref().unwrap().message.clone().unwrap();
    assert!(
        message.contains("the run took longer than activeDeadlineSeconds and was stopped; the next one goes on"),
        "{message}"
    );

    let status = world.run("shop", "two").await;
    assert_eq!(asked_to_remove(&world), [first, second], "the next run takes up what was left");
    assert_eq!(repository(&status, "shop/backend/api").0, "Skipped/RateLimited");
    operator.stop().await;
    assert_eq!(events_of(&world, "CleanupPartiallyFailed").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_asked_of_a_suspended_policy_is_refused_with_an_event() {
    let (world, operator, _) = two_repositories(&json!({})).await;
    world.apply(&world.policy("shop", &json!({"suspend": true}))).await.unwrap();
    world.until("shop", |status| World::condition(status, "Ready") == "True/Suspended").await;
    world.sim.clear_requests();
    let status = world.run("shop", "one").await;
    assert_eq!(status.last_run, None);
    assert_eq!(World::condition(&status, "Ready"), "True/Suspended");
    assert!(world.sim.requests().is_empty());

    // The request is used up: it does not begin by itself months later.
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let status = world.ready("shop").await;
    assert_eq!(World::condition(&status, "Ready"), "True/Scheduled");
    operator.stop().await;
    assert!(bulk_requests(&world).is_empty());
    let throttled: Vec<_> =
        world.events().await.into_iter().filter(|(reason, _)| reason == "RunThrottled").map(|(_, note)| note).collect();
    let note = "run-requested-at \"one\" came while the policy was suspended, so it began no run; set a new value once \
                suspend is false and status.observedGeneration is current";
    assert_eq!(throttled, [note]);
    assert_eq!((events_of(&world, "Suspended").await, events_of(&world, "Resumed").await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_asked_for_at_creation_is_refused_with_an_event() {
    let world = World::start().await;
    let api = world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    let mut policy = world.policy("shop", &json!({}));
    policy["metadata"]["annotations"] = json!({RUN_REQUESTED_AT: "from the manifest"});
    world.apply(&policy).await.unwrap();
    let operator = Operator::start(&world).await;
    let status = world.ready("shop").await;
    assert_eq!((status.last_run, status.last_handled_run_at.as_deref()), (None, Some("from the manifest")));
    assert_eq!(world.tags(api).len(), 2);
    operator.stop().await;
    assert_eq!(events_of(&world, "RunThrottled").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_missed_is_left_out_with_an_event_and_the_next_one_is_armed() {
    let (world, operator, _) = two_repositories(&json!({"startingDeadlineSeconds": 60})).await;
    world.sim.clock().set("2026-11-23T03:18:01Z".parse().unwrap());
    operator.nudge();
    let next = "2026-11-24T03:17:00Z".parse().unwrap();
    let status =
        world.until("shop", |status| status.next_schedule_time.as_ref().is_some_and(|time| time.0 == next)).await;
    assert_eq!(World::condition(&status, "Ready"), "True/Scheduled");
    assert_eq!((status.last_run, status.last_schedule_time), (None, None));
    operator.stop().await;
    assert!(bulk_requests(&world).is_empty());
    let missed: Vec<_> = world
        .events()
        .await
        .into_iter()
        .filter(|(reason, _)| reason == "ScheduleMissed")
        .map(|(_, note)| note)
        .collect();
    assert_eq!(
        missed,
        ["the run of 2026-11-23T03:17:00Z was missed by more than startingDeadlineSeconds (60 s) and is left out"]
    );
}
