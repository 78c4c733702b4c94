//! The record of a run: who holds it, that it is renewed, and that what happened is not forgotten, with two operators
//! at once and an API server that is away.

use std::collections::BTreeMap;

use gitlab_simulator::{Endpoint, HoldPoint, Matcher};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RunResult, Trigger};
use registry_cleanup_operator::cluster::status;
use serde_json::{Value, json};

use crate::support::{change, eventually, in_time};
use crate::world::{Between, Operator, Setup, World};

fn versions() -> Value {
    json!([{"name": "versions", "nameRegexDelete": "v.*", "olderThan": "7d"}])
}

/// An operator in a Pod of its own.
async fn in_pod(world: &World, uid: &str) -> Operator {
    Operator::set_up(world, Setup { pod_uid: uid.to_owned(), ..Setup::of(world) }).await
}

fn has_ended(status: &PolicyStatus) -> bool {
    status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_not_written_over_what_somebody_else_wrote_since() {
    let world = World::start().await;
    let read = world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    let mine = PolicyStatus { observed_generation: Some(1), ..PolicyStatus::default() };
    let refused = status::write(&world.policies(), &read, &mine, &[]).await.unwrap_err();
    assert!(refused.is_conflict(), "{refused}");
    let now = world.policies().get("shop").await.unwrap();
    assert_eq!(now.status.as_ref().unwrap().observed_generation, Some(-1), "nobody has looked at it");
    status::write(&world.policies(), &now, &mine, &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_at_once_begin_each_run_once_and_send_no_second_request() {
    const POLICIES: usize = 6;
    let world = World::start().await;
    for number in 0..POLICIES {
        for image in ["api", "web", "worker", "cron"] {
            world.repository(&format!("shop/p{number}/{image}"), &[("v1", 30), ("v2", 20), ("main", 1)]);
        }
        let target = json!({"projects": [format!("shop/p{number}")]});
        let policy = world.policy(&format!("p{number}"), &json!({"target": target, "rules": versions()}));
        world.apply(&policy).await.unwrap();
    }
    let (first, second) = (in_pod(&world, "first").await, in_pod(&world, "second").await);
    for number in 0..POLICIES {
        world.ready(&format!("p{number}")).await;
    }
    for round in 1..=3_usize {
        // Both are told of each at the same time.
        for number in 0..POLICIES {
            world.annotate(&format!("p{number}"), RUN_REQUESTED_AT, &format!("round-{round}")).await;
        }
        for number in 0..POLICIES {
            let over = |status: &PolicyStatus| status.history.len() == round && has_ended(status);
            let status = world.until(&format!("p{number}"), over).await;
            let run = status.last_run.unwrap();
            assert_eq!((run.result, run.trigger), (RunResult::Succeeded, Trigger::RunRequested));
            let holder = run.holder_identity.unwrap();
            assert!(holder.starts_with("test_first_") || holder.starts_with("test_second_"), "{holder}");
        }
    }
    first.stop().await;
    second.stop().await;
    let mut requests: BTreeMap<u64, usize> = BTreeMap::new();
    for request in world.sim.requests_to(Endpoint::BulkDeleteTags) {
        *requests.entry(request.repository.unwrap()).or_default() += 1;
    }
    assert_eq!(requests.len(), POLICIES * 4);
    assert!(requests.values().all(|requests| *requests == 1), "{requests:?}");
    for number in 0..POLICIES {
        let status = world.policies().get(&format!("p{number}")).await.unwrap().status.unwrap();
        assert!(status.history.iter().all(|run| run.result == RunResult::Succeeded), "{:#?}", status.history);
        assert_eq!(status.history.len(), 3, "each request once: {:#?}", status.history);
    }
}

/// A run of the first of two operators, in the middle of its request.
async fn in_the_middle_of_a_run() -> (World, Operator, Operator, gitlab_simulator::Hold) {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    let mut policy = world.policy("shop", &json!({"rules": versions()}));
    // The request is held for as long as the test takes.
    change(&mut policy, "/gitlab/timeout", &json!("4m"));
    world.apply(&policy).await.unwrap();
    let first = in_pod(&world, "first").await;
    world.ready("shop").await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::BulkDeleteTags), HoldPoint::BeforeProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("the request", hold.reached()).await;
    let second = in_pod(&world, "second").await;
    (world, first, second, hold)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_renewed_is_not_lost_however_long_it_takes() {
    let (world, first, second, hold) = in_the_middle_of_a_run().await;
    for _ in 0..8 {
        second.nudge();
        world.sim.advance(SignedDuration::from_secs(30));
        // Times in a status are whole seconds.
        let now = world.now().as_second();
        let renewed = |status: &PolicyStatus| {
            let run = status.last_run.as_ref().unwrap();
            assert_eq!(run.result, RunResult::Running);
            run.renew_time.as_ref().is_some_and(|time| time.0.as_second() >= now)
        };
        let progress = world.until("shop", renewed).await.last_run.unwrap().progress.unwrap();
        assert_eq!((progress.repositories, progress.repositories_done), (1, 0));
    }
    second.nudge();
    second.stop().await;
    hold.release();
    let status = world.until("shop", has_ended).await;
    first.stop().await;
    assert_eq!(status.history.len(), 1);
    let run = status.last_run.unwrap();
    assert_eq!((run.result, run.tags.confirmed, run.progress), (RunResult::Succeeded, 1, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_another_operator_is_lost_once_its_record_has_not_changed_for_long_enough() {
    let (world, first, second, hold) = in_the_middle_of_a_run().await;
    first.kill().await;
    let read = world.policies().get("shop").await.unwrap().status.unwrap().last_run.unwrap();
    let from = world.now();
    let ended = eventually("the run to be given up", async || {
        world.sim.advance(SignedDuration::from_secs(15));
        second.nudge();
        let status = world.policies().get("shop").await.unwrap().status.unwrap();
        status.history.iter().any(|run| run.result == RunResult::Interrupted).then_some(status)
    })
    .await;
    hold.release();
    assert!(world.now().duration_since(from) >= SignedDuration::from_secs(90));
    let lost = ended.history.iter().find(|run| run.id == read.id).unwrap();
    let message = lost.message.as_deref().unwrap();
    let said =
        "the operator stopped before it could record the end of the run; at least 0 tags were removed up to 2026";
    assert!(message.starts_with(said), "{message}");
    second.stop().await;
}

/// Before: the status said Interrupted and 0 removed.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_came_to_is_not_forgotten_while_the_api_server_is_away() {
    let world = World::start().await;
    let api = world.repository("shop/backend/api", &[("v1", 30), ("v2", 30), ("v3", 30), ("main", 1)]);
    world.apply(&world.policy("shop", &json!({"rules": versions(), "method": "Exact"}))).await.unwrap();
    let between = Between::default();
    let setup = Setup { between: Some(between.clone()), ..Setup::of(&world) };
    let operator = Operator::set_up(&world, setup).await;
    world.ready("shop").await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation), HoldPoint::AfterProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("the request", hold.reached()).await;
    between.fail("/shop/status");
    hold.release();
    eventually("several attempts", async || (between.failures() >= 3).then_some(())).await;
    let status = world.policies().get("shop").await.unwrap().status.unwrap();
    assert!(!has_ended(&status), "nothing could be written: {status:#?}");
    assert_eq!(world.tags(api), ["main"]);
    between.fail_no_more("/shop/status");
    let status = world.until("shop", has_ended).await;
    operator.stop().await;
    let run = status.last_run.unwrap();
    assert_eq!((run.result, run.tags.confirmed), (RunResult::Succeeded, 3));
    assert_eq!((run.summary.as_deref(), status.history.len()), (Some("3 removed"), 1));
    let events = world.events().await;
    assert!(events.iter().any(|(reason, note)| reason == "CleanupCompleted" && note.starts_with("3 tags removed")));
}

/// Before: nothing told that requests were sent for a run whose record nobody could see.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_while_the_record_of_a_run_cannot_be_renewed_and_the_run_goes_on_afterwards() {
    let world = World::start().await;
    for image in ["api", "web"] {
        world.repository(&format!("shop/backend/{image}"), &[("v1", 30), ("main", 1)]);
    }
    world.apply(&world.policy("shop", &json!({"rules": versions()}))).await.unwrap();
    let between = Between::default();
    let setup = Setup { between: Some(between.clone()), ..Setup::of(&world) };
    let operator = Operator::set_up(&world, setup).await;
    world.ready("shop").await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::BulkDeleteTags).nth(1), HoldPoint::AfterProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("the first request", hold.reached()).await;
    between.fail("/shop/status");
    world.sim.advance(SignedDuration::from_secs(61));
    eventually("an attempt", async || (between.failures() >= 1).then_some(())).await;
    hold.release();
    // Time goes by, and each attempt to write fails.
    for attempts in 2..6 {
        world.sim.advance(SignedDuration::from_secs(20));
        eventually("an attempt", async || (between.failures() >= attempts).then_some(())).await;
    }
    assert_eq!(world.sim.requests_to(Endpoint::BulkDeleteTags).len(), 1, "nothing was sent meanwhile");
    between.fail_no_more("/shop/status");
    world.sim.advance(SignedDuration::from_secs(20));
    let status = world.until("shop", has_ended).await;
    operator.stop().await;
    let run = status.last_run.unwrap();
    assert_eq!((run.result, run.tags.confirmed), (RunResult::Succeeded, 2), "{:?}", run.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_awaits_a_removal_after_a_suspend_says_that_it_is_stopping() {
    let (world, first, second, hold) = in_the_middle_of_a_run().await;
    second.stop().await;
    world.apply(&world.policy("shop", &json!({"rules": versions(), "suspend": true}))).await.unwrap();
    // No time passes: it is written because the run is about to stop.
    let stopping = |status: &PolicyStatus| {
        let run = status.last_run.as_ref().unwrap();
        run.result == RunResult::Stopping && run.completion_time.is_none()
    };
    world.until("shop", stopping).await;
    hold.release();
    let status = world.until("shop", has_ended).await;
    first.stop().await;
    let run = status.last_run.unwrap();
    assert_eq!((run.tags.requested, world.sim.requests_to(Endpoint::BulkDeleteTags).len()), (1, 1));
    assert_eq!(status.interrupted_run, None, "who suspends it does not want it to go on");
}
