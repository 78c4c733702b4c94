//! What is no reason to do anything.

use gitlab_simulator::Endpoint;
use jiff::SignedDuration;
use kube::ResourceExt;
use serde_json::json;

use super::{ready, seen_by_the_operator, shop};
use crate::support::in_time;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn labels_and_annotations_of_others_cause_neither_a_write_nor_a_request() {
    let (world, operator, _) = ready(&json!({})).await;
    world.sim.clear_requests();
    world.kubectl(&["label", "rcp", "shop", "app.kubernetes.io/instance=argo"]);
    world.kubectl(&["annotate", "rcp", "shop", "argocd.argoproj.io/tracking-id=x", "registrycleanup.dev/other=x"]);
    let before = shop(&world).await;
    seen_by_the_operator(&world, "other").await;
    operator.nudge();
    operator.stop().await;
    let after = shop(&world).await;
    assert_eq!(after.resource_version(), before.resource_version());
    assert!(world.sim.requests().is_empty(), "a suspended policy asks for nothing, and the other had no reason");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_finds_everything_as_it_was_leaves_the_object_as_it_was() {
    let (world, operator, _) = ready(&json!({"schedule": "17 3 1 * *"})).await;
    let before = shop(&world).await;
    for look in 1..=2 {
        let last = world.sim.requests().last().unwrap().sequence;
        world.sim.advance(SignedDuration::from_hours(6));
        operator.nudge();
        let checked = |request: &gitlab_simulator::RequestRecord| {
            request.sequence > last
                && request.endpoint == Endpoint::ListGroupRepositories
                && request.status == Some(200)
        };
        in_time("a check", world.sim.wait_for(checked)).await;
        seen_by_the_operator(&world, &format!("other-{look}")).await;
    }
    operator.stop().await;
    assert_eq!(shop(&world).await.resource_version(), before.resource_version());
    assert_eq!(world.sim.requests_to(Endpoint::TokenSelf).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_handled_is_not_handled_again_when_it_is_applied_again() {
    let (world, operator, _) = ready(&json!({"mode": "DryRun"})).await;
    let status = world.run("shop", "one").await;
    let runs = status.history.len();
    let before = shop(&world).await;
    world.sim.clear_requests();
    // As a GitOps tool that applies its manifest every few minutes.
    let mut policy = world.policy("shop", &json!({"mode": "DryRun"}));
    policy["metadata"]["annotations"] = json!({registry_cleanup_operator::api::RUN_REQUESTED_AT: "one"});
    for _ in 0..3 {
        world.apply(&policy).await.unwrap();
    }
    seen_by_the_operator(&world, "other").await;
    operator.stop().await;
    let after = shop(&world).await.status.unwrap();
    assert_eq!((Some(&after), runs), (before.status.as_ref(), 1));
    assert!(world.sim.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_back_and_forth_checks_and_arms_and_removes_nothing() {
    let (world, operator, _) = ready(&json!({})).await;
    for (edit, schedule) in ["30 4 * * *", "17 3 * * *"].into_iter().enumerate() {
        world.apply(&world.policy("shop", &json!({"schedule": schedule}))).await.unwrap();
        let status = world.ready("shop").await;
        assert_eq!(status.observed_generation, Some(i64::try_from(edit).unwrap() + 2));
        assert_eq!(status.last_run, None);
    }
    operator.stop().await;
    assert!(world.sim.requests().iter().all(|request| request.method == "GET"));
    let status = shop(&world).await.status.unwrap();
    assert_eq!(World::condition(&status, "Ready"), "True/Scheduled");
}
