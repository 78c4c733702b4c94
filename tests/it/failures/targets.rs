//! Projects and groups that cannot be listed.

use gitlab_simulator::{Action, Endpoint, Fault, Matcher};
use jiff::SignedDuration;
use registry_cleanup_operator::api::RunResult;
use rstest::rstest;
use serde_json::{Value, json};

use super::{answer, bulk_requests, repository, result};
use crate::support::{events_of, eventually};
use crate::world::{Operator, World};

async fn world_with_target(target: &Value) -> (World, Operator, u64) {
    let world = World::start().await;
    let repository = world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    world.sim.edit(|registry| registry.group("hidden"));
    world.apply(&world.policy("shop", &json!({"target": target}))).await.unwrap();
    let operator = Operator::start(&world).await;
    (world, operator, repository)
}

#[rstest]
#[case::a_project(json!({"projects": ["shop/backend", "shop/missing"]}), "project shop/missing")]
#[case::a_project_by_its_id(json!({"projects": ["shop/backend", "999999"]}), "project 999999")]
#[case::a_group(json!({"projects": ["shop/backend"], "groups": [{"path": "nobody"}]}), "group nobody")]
#[case::a_group_that_is_hidden(json!({"projects": ["shop/backend"], "groups": [{"path": "hidden"}]}), "group hidden")]
#[tokio::test(flavor = "multi_thread")]
async fn one_missing_target_is_told_and_does_not_keep_the_others_from_being_cleaned(
    #[case] target: Value,
    #[case] missing: &str,
) {
    let (world, operator, api) = world_with_target(&target).await;
    let status = world.ready("shop").await;
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert!(ready.message.contains(&format!("1 of 2 targets cannot be listed, {missing}")), "{}", ready.message);

    let status = world.run("shop", "one").await;
    assert_eq!(result(&status), RunResult::PartiallyFailed);
    let (outcome, message) = repository(&status, missing);
    assert_eq!(outcome, "Failed/NotFound");
    assert!(message.contains("GitLab answered 404"), "{message}");
    assert_eq!(repository(&status, "shop/backend/api").0, "Changed/-");
    assert_eq!(World::condition(&status, "Ready"), "True/Scheduled");
    assert_eq!(world.tags(api), ["main"]);
    operator.stop().await;
    assert_eq!(events_of(&world, "RepositoryCleanupFailed").await, 1);
}

#[rstest]
#[case::projects(json!({"projects": ["shop/missing", "999999"]}))]
#[case::groups(json!({"groups": [{"path": "nobody"}, {"path": "hidden"}]}))]
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_none_of_whose_targets_can_be_listed_is_not_ready(#[case] target: Value) {
    let (world, operator, _) = world_with_target(&target).await;
    let status = world.until("shop", |status| World::condition(status, "Ready").starts_with("False")).await;
    assert_eq!(World::condition(&status, "Ready"), "False/TargetNotFound");
    assert_eq!(World::condition(&status, "Reconciling"), "True/ProgressingWithRetry");
    assert_eq!(World::condition(&status, "Stalled"), "absent", "the project may still be made");
    assert_eq!(World::condition(&status, "CredentialsValid"), "True/TokenAccepted");

    let status = world.run("shop", "one").await;
    assert_eq!(result(&status), RunResult::Failed);
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/Failed");
    assert_eq!(World::condition(&status, "Ready"), "False/TargetNotFound");
    assert_eq!(bulk_requests(&world).len(), 0);
    operator.stop().await;
}

/// What keeps the list from being had is no matter of how tags are removed.
#[rstest]
#[case::an_error(answer(500, ""), "GitLabUnavailable")]
#[case::a_page(answer(200, "<html>Sign in</html>"), "UnexpectedAnswer")]
#[tokio::test(flavor = "multi_thread")]
async fn both_methods_say_the_same_where_no_target_can_be_listed(
    #[values("Bulk", "Exact")] method: &str,
    #[case] action: Action,
    #[case] reason: &str,
) {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    world.apply(&world.policy("shop", &json!({"method": method}))).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::ListGroupRepositories), action));
    let status = world.run("shop", "one").await;
    assert_eq!(result(&status), RunResult::Failed);
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/Failed");
    assert_eq!(World::condition(&status, "Ready"), format!("False/{reason}"));
    assert_eq!(World::condition(&status, "CredentialsValid"), "True/TokenAccepted");
    operator.stop().await;
    assert_eq!(events_of(&world, reason).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_which_nothing_is_said_is_not_said_to_be_taken_where_nothing_was_listed() {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::TokenSelf), answer(404, r#"{"error":"404 Not Found"}"#)));
    let listing = Matcher::endpoint(Endpoint::ListGroupRepositories);
    world.sim.fault(Fault::new(listing, answer(404, r#"{"message":"404 Group Not Found"}"#)));
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let operator = Operator::start(&world).await;
    let status = world.until("shop", |status| World::condition(status, "Ready").starts_with("False")).await;
    assert_eq!(World::condition(&status, "Ready"), "False/TargetNotFound");
    assert_eq!(World::condition(&status, "CredentialsValid"), "Unknown/Unknown");
    operator.stop().await;
    assert_eq!(events_of(&world, "TargetNotFound").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_made_later_is_found_without_an_edit() {
    let (world, operator, _) = world_with_target(&json!({"projects": ["shop/later"]})).await;
    world.until("shop", |status| World::condition(status, "Ready") == "False/TargetNotFound").await;
    world.sim.edit(|registry| registry.project("shop/later"));
    let ready = eventually("readiness", async || {
        world.sim.advance(SignedDuration::from_secs(30));
        operator.nudge();
        let status = world.policies().get("shop").await.unwrap().status.unwrap();
        (World::condition(&status, "Ready") == "True/Scheduled").then_some(status)
    })
    .await;
    assert_eq!(ready.observed_generation, Some(1));
    assert!(world.sim.requests_to(Endpoint::ListProjectRepositories).len() >= 2);
    operator.stop().await;
}
