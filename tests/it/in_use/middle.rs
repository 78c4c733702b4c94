//! What was known when a run was planned, and is not known any more when its requests are to leave: none of them
//! leaves.

use gitlab_simulator::{Endpoint, HoldPoint, Matcher};
use registry_cleanup_operator::api::PolicyStatus;
use rstest::rstest;
use serde_json::json;

use super::late::{go_on, kept_at};
use super::{POLICIES, Scene, account, account_may, deploy, rules, rules_but};
use crate::support::eventually;
use crate::world::{Between, Operator, Setup, World};

const TAGS: [&str; 2] = ["unused", "used"];

/// What a run asks GitLab for once it knows which images are in use.
fn planning(policy: &str) -> Matcher {
    match policy {
        "bulk" => Matcher::endpoint(Endpoint::ListTags).nth(1),
        // Before the first page it is found out what GraphQL knows.
        _ => Matcher::endpoint(Endpoint::GraphqlQuery).nth(2),
    }
}

/// An operator with an account of its own that may do everything it needs, and what stands between it and the API
/// server.
async fn operator(scene: &Scene) -> (Operator, Between) {
    scene.apply(&json!({})).await;
    let between = Between::default();
    let kubeconfig = Some(account(scene, &rules(scene)).await);
    let setup = Setup { kubeconfig, between: Some(between.clone()), ..Setup::of(&scene.world) };
    (scene.operator_as(setup).await, between)
}

/// Lets the account keep just this right to a resource.
async fn withdraw(scene: &Scene, resource: &str, withdrawn: &str, left: &str) {
    let rules = json!({"rules": rules_but(scene, resource, &[left])});
    scene.place.patch("rbac.authorization.k8s.io/v1/Role", "operator", &rules).await;
    account_may(scene, withdrawn, resource, false).await;
}

fn nothing_went(scene: &Scene, status: &PolicyStatus, words: &str) {
    assert_eq!(World::condition(status, "LastRunSucceeded"), "False/InUseUnknown", "{status:#?}");
    let message = status.last_run.as_ref().unwrap().message.as_deref().unwrap();
    assert!(message.contains("it is not known which images are in use") && message.contains(words), "{message}");
    assert_eq!(status.repositories.iter().map(|repository| repository.tags.requested).sum::<u64>(), 0, "{status:#?}");
    assert_eq!(scene.tags(), [TAGS, TAGS]);
    for endpoint in [Endpoint::BulkDeleteTags, Endpoint::GraphqlMutation, Endpoint::DeleteTag] {
        assert_eq!(scene.world.sim.requests_to(endpoint), []);
    }
}

/// Previews until one says this of Deployments.
async fn says(scene: &Scene, policy: &str, why: &str) {
    let gap = format!("deployments in namespace {}: {why}", scene.place.namespace);
    let mut number = 0;
    eventually(&gap, async || {
        number += 1;
        let status = scene.world.preview(policy, &format!("{why} {number}")).await;
        status.last_run.unwrap().message.is_some_and(|message| message.contains(&gap)).then_some(())
    })
    .await;
}

/// What can be seen again is relied on again.
async fn and_then_the_unused_goes(scene: &Scene, policy: &str) {
    let position = POLICIES.iter().position(|other| *other == policy).unwrap();
    let mut number = 0;
    eventually("a run that removes", async || {
        number += 1;
        scene.world.run(policy, &format!("again-{number}")).await;
        (scene.tags()[position] == ["used"]).then_some(())
    })
    .await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_right_to_list_that_is_withdrawn_while_a_run_plans_stops_it(#[values("bulk", "exact")] policy: &str) {
    let scene = Scene::with(&TAGS).await;
    let (operator, _) = operator(&scene).await;
    let hold = kept_at(&scene, policy, planning(policy), HoldPoint::AfterProcessing).await;
    withdraw(&scene, "statefulsets", "list", "watch").await;
    deploy(&scene, "web", ":used").await;
    let status = go_on(&scene, policy, hold).await;
    let gap = format!("statefulsets in namespace {}: list is forbidden", scene.place.namespace);
    nothing_went(&scene, &status, &gap);

    let all = json!({"rules": rules(&scene)});
    scene.place.patch("rbac.authorization.k8s.io/v1/Role", "operator", &all).await;
    and_then_the_unused_goes(&scene, policy).await;
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_right_to_watch_that_is_withdrawn_leaves_the_open_watch_which_goes_on_telling(
    #[values("bulk", "exact")] policy: &str,
) {
    let scene = Scene::with(&TAGS).await;
    let (operator, between) = operator(&scene).await;
    let hold = kept_at(&scene, policy, planning(policy), HoldPoint::AfterProcessing).await;
    withdraw(&scene, "deployments", "watch", "list").await;
    deploy(&scene, "web", ":used").await;
    let status = go_on(&scene, policy, hold).await;
    let position = POLICIES.iter().position(|other| *other == policy).unwrap();
    assert_eq!(scene.tags()[position], ["used"], "{status:#?}");

    // Once it is over, no other begins, and then it is not known any more.
    let spoiled = between.refuse_watches("/deployments");
    says(&scene, policy, "watch is answered with status 503").await;
    drop(spoiled);
    says(&scene, policy, "watch is forbidden").await;
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_fails_while_a_run_plans_stops_it(#[values("bulk", "exact")] policy: &str) {
    let scene = Scene::with(&TAGS).await;
    let (operator, between) = operator(&scene).await;
    let hold = kept_at(&scene, policy, planning(policy), HoldPoint::AfterProcessing).await;
    between.refuse("/jobs");
    deploy(&scene, "web", ":used").await;
    let status = go_on(&scene, policy, hold).await;
    let gap = format!("jobs in namespace {}: list is answered with status 503", scene.place.namespace);
    nothing_went(&scene, &status, &gap);
    between.refuse_no_more("/jobs");
    and_then_the_unused_goes(&scene, policy).await;
    operator.stop().await;
}

#[rstest]
#[case::it_fails(Between::refuse_watches, "watch is answered with status 503")]
#[case::it_is_silent(Between::silence_watches, "behind the API server")]
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_tells_nothing_any_more_while_a_run_plans_stops_it(
    #[case] spoil: fn(&Between, &str) -> crate::world::Spoiled,
    #[case] why: &str,
    #[values("bulk", "exact")] policy: &str,
) {
    let scene = Scene::with(&TAGS).await;
    let (operator, between) = operator(&scene).await;
    let hold = kept_at(&scene, policy, planning(policy), HoldPoint::AfterProcessing).await;
    let spoiled = spoil(&between, "/deployments");
    // Without anything to tell, a watch that ends or is silent has not missed anything.
    deploy(&scene, "web", ":used").await;
    let status = go_on(&scene, policy, hold).await;
    nothing_went(&scene, &status, &format!("deployments in namespace {}: {why}", scene.place.namespace));
    drop(spoiled);
    and_then_the_unused_goes(&scene, policy).await;
    operator.stop().await;
}
