//! Secrets that come and change, and policies that are edited or deleted in the middle of a run.

use gitlab_simulator::{Endpoint, HoldPoint, Matcher, Scope, TokenKind};
use jiff::SignedDuration;
use kube::ResourceExt;
use kube::api::DeleteParams;
use registry_cleanup_operator::api::{RUN_REQUESTED_AT, RunResult};
use serde_json::json;

use super::{ready, seen_by_the_operator, shop};
use crate::support::{change, events_of, eventually, in_time};
use crate::world::{MARKER, Operator, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_older_than_its_secret_becomes_ready_once_the_secret_is_there() {
    let world = World::start().await;
    let mut policy = world.policy("shop", &json!({}));
    change(&mut policy, "/gitlab/secretRef/name", &json!("later"));
    world.apply(&policy).await.unwrap();
    let operator = Operator::start(&world).await;
    let status = world.until("shop", |status| World::condition(status, "Ready").starts_with("False")).await;
    assert_eq!(World::condition(&status, "CredentialsValid"), "False/SecretNotFound");

    world.secret("later", &[("token", MARKER)]).await;
    let status = eventually("readiness", async || {
        world.sim.advance(SignedDuration::from_secs(30));
        operator.nudge();
        let status = shop(&world).await.status.unwrap();
        (World::condition(&status, "Ready") == "True/Scheduled").then_some(status)
    })
    .await;
    assert_eq!(World::condition(&status, "CredentialsValid"), "True/TokenAccepted");
    assert_eq!(status.observed_generation, Some(1), "without an edit");
    operator.stop().await;
    assert_eq!(events_of(&world, "CredentialsInvalid").await, 1);
    assert_eq!(events_of(&world, "CredentialsRecovered").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_is_used_at_the_next_run_and_the_old_token_never_again() {
    let (world, operator, _) = ready(&json!({"mode": "DryRun"})).await;
    world.run("shop", "one").await;
    world.sim.edit(|registry| {
        let bot = registry.user("bot");
        registry.set_token("glpat-rotated", TokenKind::Personal, bot, "rotated", &[Scope::Api]);
        registry.token_mut(MARKER).unwrap().revoked = true;
    });
    world.secret("token", &[("token", "glpat-rotated\n")]).await;
    world.sim.clear_requests();
    let status = world.run("shop", "two").await;
    assert_eq!(status.last_run.unwrap().result, RunResult::Succeeded);
    operator.stop().await;
    let used: Vec<Option<String>> = world.sim.requests().into_iter().map(|request| request.token).collect();
    assert!(used.len() > 3 && used.iter().all(|token| token.as_deref() == Some("rotated")), "{used:?}");
}

/// Begins a run and stops it at its first bulk request, with another repository to come.
async fn in_the_middle_of_a_run() -> (World, Operator, gitlab_simulator::Hold) {
    let (world, operator, _) = ready(&json!({})).await;
    world.repository("shop/frontend/web", &[("w1", 30), ("main", 1)]);
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::BulkDeleteTags).nth(1), HoldPoint::BeforeProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("the first request", hold.reached()).await;
    (world, operator, hold)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_stops_a_run_between_two_requests_and_the_new_spec_is_not_run() {
    let (world, operator, hold) = in_the_middle_of_a_run().await;
    let running = shop(&world).await.status.unwrap().last_run.unwrap();
    assert_eq!((running.result, running.completion_time), (RunResult::Running, None));
    world.apply(&world.policy("shop", &json!({"historyLimit": 7}))).await.unwrap();
    seen_by_the_operator(&world, "other").await;
    hold.release();
    let status = world.until("shop", |status| status.observed_generation == Some(2)).await;
    let run = status.last_run.as_ref().unwrap();
    assert_eq!((run.result, run.observed_generation), (RunResult::Interrupted, 1));
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/Interrupted");
    assert!(run.message.as_ref().unwrap().contains("the policy was edited or deleted during the run"), "{run:?}");
    assert_eq!(status.last_handled_run_at.as_deref(), Some("one"), "the request is used up");
    world.ready("shop").await;
    operator.stop().await;
    assert_eq!(world.sim.requests_to(Endpoint::BulkDeleteTags).len(), 1);
    assert_eq!(events_of(&world, "CleanupInterrupted").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_is_set_during_a_run_is_no_reason_to_stop_it_and_stays() {
    let (world, operator, hold) = in_the_middle_of_a_run().await;
    world.kubectl(&["label", "rcp", "shop", "team=shop"]);
    seen_by_the_operator(&world, "other").await;
    hold.release();
    let status = world.until("shop", |status| status.history.len() == 1).await;
    assert_eq!(status.last_run.unwrap().result, RunResult::Succeeded);
    operator.stop().await;
    assert_eq!(world.sim.requests_to(Endpoint::BulkDeleteTags).len(), 2);
    assert_eq!(shop(&world).await.labels().get("team").map(String::as_str), Some("shop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn suspending_stops_a_run_between_two_requests() {
    let (world, operator, hold) = in_the_middle_of_a_run().await;
    world.apply(&world.policy("shop", &json!({"suspend": true}))).await.unwrap();
    seen_by_the_operator(&world, "other").await;
    hold.release();
    let status = world.until("shop", |status| World::condition(status, "Ready") == "True/Suspended").await;
    assert_eq!(status.last_run.unwrap().result, RunResult::Interrupted);
    operator.stop().await;
    assert_eq!(world.sim.requests_to(Endpoint::BulkDeleteTags).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_policy_stops_its_run_and_nothing_is_written_to_its_successor() {
    let (world, operator, hold) = in_the_middle_of_a_run().await;
    world.policies().delete("shop", &DeleteParams::default()).await.unwrap();
    world.apply(&world.policy("shop", &json!({"mode": "DryRun"}))).await.unwrap();
    seen_by_the_operator(&world, "other").await;
    hold.release();
    let status = world.ready("shop").await;
    assert_eq!((status.last_run, status.history.len()), (None, 0), "the new policy has not run");
    operator.stop().await;
    assert_eq!(world.sim.requests_to(Endpoint::BulkDeleteTags).len(), 1);
}
