//! A policy that is suspended, edited or deleted while its run waits for something: the wait ends, whatever it was for,
//! and nothing more is sent.

use std::sync::Arc;

use gitlab_simulator::{Action, Endpoint, Fault, HoldPoint, Matcher};
use kube::api::DeleteParams;
use registry_cleanup_operator::api::{RUN_REQUESTED_AT, RunResult};
use rstest::rstest;
use serde_json::json;

use crate::support::in_time;
use crate::world::{HeldClock, Operator, Setup, World};

/// What a run waits for.
#[derive(Clone, Copy)]
enum Wait {
    /// To see what a bulk request has removed.
    Verification,
    /// For the end of a pause that GitLab asked for.
    Pause,
    /// For an answer.
    Answer,
}

#[rstest]
#[case::in_verification(Wait::Verification)]
#[case::in_a_pause_that_gitlab_asked_for(Wait::Pause)]
#[case::for_an_answer(Wait::Answer)]
#[tokio::test(flavor = "multi_thread")]
async fn a_suspend_ends_the_wait_of_a_run_at_once_and_nothing_more_is_sent(#[case] wait: Wait) {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30), ("v2", 20), ("main", 1)]);
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let clock = HeldClock::of(&world);
    let operator = Operator::set_up(&world, Setup { clock: clock.clone(), ..Setup::of(&world) }).await;
    world.ready("shop").await;
    let listing = Matcher::endpoint(Endpoint::ListTags);
    let hold = match wait {
        Wait::Answer => Some(world.sim.hold(listing, HoldPoint::BeforeProcessing)),
        Wait::Pause => {
            world.sim.fault(Fault::new(listing, Action::TooManyRequests { retry_after: Some(60) }));
            None
        }
        Wait::Verification => None,
    };
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    match &hold {
        Some(hold) => in_time("the request", hold.reached()).await,
        None => clock.somebody_waits().await,
    }
    let sent = world.sim.requests().len();

    // Neither the clock nor the answer moves from here on.
    world.apply(&world.policy("shop", &json!({"suspend": true}))).await.unwrap();
    let status = world.until("shop", |status| World::condition(status, "Ready") == "True/Suspended").await;
    let run = status.last_run.as_ref().unwrap();
    assert!(run.completion_time.is_some());
    // Where all requests had been sent, only the look at what went is missing.
    let expected = if matches!(wait, Wait::Verification) { RunResult::Succeeded } else { RunResult::Interrupted };
    assert_eq!(run.result, expected, "{status:#?}");
    operator.stop().await;
    assert_eq!(world.sim.requests().len(), sent);
}

/// A run that waits on a clock that stands still.
async fn while_a_run_waits() -> (World, Operator, Arc<HeldClock>) {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let clock = HeldClock::of(&world);
    let operator = Operator::set_up(&world, Setup { clock: clock.clone(), ..Setup::of(&world) }).await;
    world.ready("shop").await;
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    clock.somebody_waits().await;
    (world, operator, clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_policy_ends_the_wait_of_its_run() {
    let (world, operator, _clock) = while_a_run_waits().await;
    world.policies().delete("shop", &DeleteParams::default()).await.unwrap();
    world.apply(&world.policy("shop", &json!({"mode": "DryRun"}))).await.unwrap();
    // The run of the first one would otherwise be in the way of the second for minutes.
    let status = world.ready("shop").await;
    assert_eq!(status.last_run, None);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_ends_no_wait() {
    let (world, operator, clock) = while_a_run_waits().await;
    world.kubectl(&["label", "rcp", "shop", "team=shop"]);
    clock.release();
    let status = world.until("shop", |status| status.history.len() == 1).await;
    assert_eq!(status.last_run.unwrap().tags.confirmed, 1);
    operator.stop().await;
}
