//! GitLab's own rules that protect tags: previews know them where they are told, say so where they are not, and a run
//! goes by what GitLab answers.

use gitlab_simulator::{DeleteLevel, Endpoint, ProtectionRule, Role, Version};
use registry_cleanup_operator::api::PolicyStatus;
use rstest::rstest;
use serde_json::json;

use crate::world::{Operator, World};

const TAGS: &[(&str, i64)] = &[("main", 1), ("old-1", 40), ("old-2", 30), ("old-3", 20)];

/// A world in which a project has rules, with the API that this release has.
async fn world(graphql: bool, version: Version, rules: &[ProtectionRule]) -> World {
    let world = World::start_with(|config| {
        (config.settings.graphql, config.settings.version) = (graphql, version);
    })
    .await;
    world.repository("shop/backend/api", TAGS);
    world.repository("shop/backend/web", TAGS);
    world.repository("shop/frontend/web", &[("main", 1)]);
    world.sim.edit(|registry| {
        let id = registry.project_by_path("shop/backend").unwrap().id;
        registry.project_mut(id).unwrap().protection_rules = rules.to_vec();
    });
    world
}

async fn start(world: &World, method: &str) -> Operator {
    let rules = json!([{"name": "old", "nameRegexDelete": "old-.*", "olderThan": "7d"}]);
    world.apply(&world.policy("shop", &json!({"method": method, "rules": rules}))).await.unwrap();
    let operator = Operator::start(world).await;
    world.ready("shop").await;
    operator
}

fn set_role(world: &World, role: Role) {
    world.sim.edit(|registry| {
        let user = registry.user("bot");
        registry.set_role("shop", user, Some(role));
    });
}

/// How many tags would go, or went, and what the run says.
fn told(status: &PolicyStatus) -> (u64, String) {
    let run = status.last_run.as_ref().unwrap();
    (run.tags.matched, run.message.clone().unwrap())
}

/// How often rules were asked for.
fn asked(world: &World) -> usize {
    let by_graphql = world.sim.requests_to(Endpoint::GraphqlQuery).into_iter();
    let by_graphql = by_graphql.filter(|request| request.operation.as_deref() == Some("tagRules")).count();
    by_graphql + world.sim.requests_to(Endpoint::ListTagRules).len()
}

#[rstest]
#[case::by_graphql(true, Version::new(18, 5))]
#[case::by_rest(false, Version::new(18, 7))]
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_of_bulk_knows_the_rules_by_one_request_for_each_project_from_which_tags_would_go(
    #[case] graphql: bool,
    #[case] version: Version,
) {
    let rules =
        [ProtectionRule::mutable("ld-1$", DeleteLevel::Owner), ProtectionRule::mutable("2", DeleteLevel::Maintainer)];
    let world = world(graphql, version, &rules).await;
    let operator = start(&world, "Bulk").await;
    world.sim.clear_requests();
    let (would_go, message) = told(&world.preview("shop", "look").await);
    assert_eq!((would_go, asked(&world)), (4, 1), "{message}");
    // The REST API tells of no immutable ones.
    assert_eq!(message.matches("immutable protection rules not known").count(), usize::from(!graphql), "{message}");
    operator.stop().await;
}

#[rstest]
#[case::to_a_reporter_by_graphql(true, Version::new(18, 5), Role::Reporter, "Bulk")]
#[case::to_a_developer_by_rest(false, Version::new(18, 7), Role::Developer, "Exact")]
#[case::by_a_server_that_does_not_tell_by_rest(false, Version::new(18, 6), Role::Maintainer, "Exact")]
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_once_that_the_rules_are_not_known(
    #[case] graphql: bool,
    #[case] version: Version,
    #[case] role: Role,
    #[case] method: &str,
) {
    let world = world(graphql, version, &[ProtectionRule::mutable("1$", DeleteLevel::Owner)]).await;
    set_role(&world, role);
    let operator = start(&world, method).await;
    let (would_go, message) = told(&world.preview("shop", "look").await);
    assert_eq!(would_go, 6, "{message}");
    assert_eq!(message.matches("protection rules not known").count(), 1, "{message}");
    assert!(!message.contains("immutable"), "{message}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_by_rest_keeps_what_a_rule_protects_without_trying() {
    let world = world(false, Version::new(18, 7), &[ProtectionRule::mutable("^old-1", DeleteLevel::Admin)]).await;
    let operator = start(&world, "Exact").await;
    let (would_go, message) = told(&world.preview("shop", "look").await);
    assert_eq!(would_go, 4, "{message}");
    let status = world.run("shop", "one").await;
    assert_eq!(status.last_run.as_ref().unwrap().tags.confirmed, 4);
    let tried = world.sim.requests_to(Endpoint::DeleteTag);
    assert!(tried.iter().all(|request| request.tag.as_deref() != Some("old-1")) && tried.len() == 4, "{tried:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_rules_are_not_known_the_answer_to_the_removal_decides() {
    let world = world(false, Version::new(18, 7), &[ProtectionRule::mutable("^old-1", DeleteLevel::Maintainer)]).await;
    set_role(&world, Role::Developer);
    let operator = start(&world, "Exact").await;
    let status = world.run("shop", "one").await;
    let entry = status.repositories.iter().find(|repository| repository.path == "shop/backend/api").unwrap();
    assert_eq!((entry.tags.requested, entry.tags.confirmed), (3, 2), "{entry:?}");
    let api = world.sim.edit(|registry| registry.repository("shop/backend/api"));
    assert_eq!(world.tags(api), ["main", "old-1"]);
    operator.stop().await;
}
