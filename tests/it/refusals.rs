//! Refusals that mean something else than they say: archived projects, rules that hide a whole repository, maintenance,
//! and fine-grained tokens.

use gitlab_simulator::{DeleteLevel, Endpoint, Maintenance, ProtectionRule, Scope, TokenKind, Version};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RepositoryStatus, RunResult};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{MARKER, Operator, World};

const TAGS: &[(&str, i64)] = &[("main", 1), ("old-1", 30), ("old-2", 20)];

fn policy(world: &World, method: &str) -> Value {
    world.policy("shop", &json!({"method": method}))
}

async fn start(world: &World, method: &str) -> Operator {
    world.apply(&policy(world, method)).await.unwrap();
    let operator = Operator::start(world).await;
    world.ready("shop").await;
    operator
}

fn entry<'a>(status: &'a PolicyStatus, path: &str) -> &'a RepositoryStatus {
    let found = status.repositories.iter().find(|repository| repository.path == path);
    found.unwrap_or_else(|| panic!("{path} is not in {:#?}", status.repositories))
}

fn told(status: &PolicyStatus, path: &str) -> String {
    let entry = entry(status, path);
    format!("{:?}/{}", entry.result, entry.reason.as_deref().unwrap_or("-"))
}

fn result(status: &PolicyStatus) -> RunResult {
    status.last_run.as_ref().unwrap().result
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_archived_project_is_skipped_in_runs_and_previews_and_is_no_failure(
    #[values("Exact", "Bulk")] method: &str,
    #[values(true, false)] archived: bool,
    #[values("18.5", "17.0")] version: &str,
) {
    let world = World::start_with(|config| config.settings.version = version.parse().unwrap()).await;
    let closed = world.repository("shop/backend/api", TAGS);
    let open = world.repository("shop/frontend/web", TAGS);
    world.sim.edit(|registry| {
        let id = registry.project_by_path("shop/backend").unwrap().id;
        let project = registry.project_mut(id).unwrap();
        (project.archived, project.pending_deletion) = (archived, !archived);
    });
    let operator = start(&world, method).await;
    let status = world.preview("shop", "look").await;
    assert_eq!(told(&status, "shop/backend/api"), "Skipped/ProjectArchived");
    assert_eq!(told(&status, "shop/frontend/web"), "Changed/-");
    for run in ["one", "two"] {
        let status = world.run("shop", run).await;
        assert_eq!(told(&status, "shop/backend/api"), "Skipped/ProjectArchived", "{run}");
        assert_eq!(result(&status), RunResult::Succeeded, "{run}");
    }
    assert_eq!(world.tags(closed).len(), 3);
    assert_eq!(world.tags(open), ["main"]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_a_repository_that_a_rule_hides_from_the_mutation_go_one_by_one() {
    let world = World::start_with(|config| config.settings.tag_rules_deny_repository = true).await;
    let repository = world.repository("shop/backend/api", &[("main", 1), ("old-1", 30), ("old-2", 20), ("keep-1", 40)]);
    world.sim.edit(|registry| {
        let id = registry.project_by_path("shop/backend").unwrap().id;
        let rule = ProtectionRule::mutable("^keep-", DeleteLevel::Owner);
        registry.project_mut(id).unwrap().protection_rules.push(rule);
    });
    let operator = start(&world, "Exact").await;
    let status = world.run("shop", "one").await;
    assert_eq!(told(&status, "shop/backend/api"), "Changed/-");
    assert_eq!(entry(&status, "shop/backend/api").tags.confirmed, 2);
    assert_eq!(world.tags(repository), ["keep-1", "main"]);
    assert_eq!(world.sim.requests_to(Endpoint::GraphqlMutation).len(), 1, "that it is refused is remembered");
    assert_eq!(world.sim.requests_to(Endpoint::DeleteTag).len(), 2);
    operator.stop().await;
}

#[rstest]
#[case::by_a_503_with_a_time(Version::new(18, 5), "try again at 2026-")]
#[case::by_a_403(Version::new(17, 0), "under maintenance or read-only and did nothing")]
#[tokio::test(flavor = "multi_thread")]
async fn maintenance_ends_the_run_once_and_costs_no_hour(
    #[values("Exact", "Bulk")] method: &str,
    #[case] version: Version,
    #[case] words: &str,
) {
    let world = World::start_with(|config| config.settings.version = version).await;
    let repositories = ["shop/backend/api", "shop/frontend/web"].map(|path| world.repository(path, TAGS));
    let operator = start(&world, method).await;
    world.sim.edit(|registry| registry.settings.maintenance = Maintenance::ReadOnly);
    let status = world.run("shop", "one").await;
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/GitLabUnavailable");
    let message = status.last_run.as_ref().unwrap().message.clone().unwrap();
    // GraphQL says it without a time.
    let words = if method == "Exact" { "under maintenance or read-only and did nothing" } else { words };
    assert!(message.contains(words), "{message}");
    assert_eq!(told(&status, "shop/frontend/web"), "Skipped/NotReached");
    let writes = [Endpoint::BulkDeleteTags, Endpoint::GraphqlMutation, Endpoint::DeleteTag];
    let sent: usize = writes.into_iter().map(|endpoint| world.sim.requests_to(endpoint).len()).sum();
    assert_eq!(sent, 1);

    world.sim.edit(|registry| registry.settings.maintenance = Maintenance::Off);
    world.sim.advance(SignedDuration::from_mins(5));
    let status = world.run("shop", "two").await;
    assert_eq!(result(&status), RunResult::Succeeded, "within the hour");
    assert!(repositories.iter().all(|repository| world.tags(*repository) == ["main"]));
    operator.stop().await;
}

/// The world's token as a fine-grained one.
fn grant(world: &World, scopes: &[Scope]) {
    world.sim.edit(|registry| {
        let user = registry.user("bot");
        registry.set_token(MARKER, TokenKind::Personal, user, "bot", scopes);
    });
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_fine_grained_token_does_what_it_was_granted_without_knowing_the_version(
    #[values("Exact", "Bulk")] method: &str,
) {
    let world = World::start().await;
    let repository = world.repository("shop/backend/api", TAGS);
    grant(&world, &[Scope::GranularRead, Scope::GranularDelete]);
    let operator = start(&world, method).await;
    let status = world.run("shop", "one").await;
    assert_eq!(told(&status, "shop/backend/api"), "Changed/-");
    assert_eq!(world.tags(repository), ["main"]);
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_permission_that_a_fine_grained_token_lacks_is_named_at_what_was_refused(
    #[values("Exact", "Bulk")] method: &str,
) {
    let world = World::start().await;
    let repository = world.repository("shop/backend/api", TAGS);
    grant(&world, &[Scope::GranularRead, Scope::GranularMetadata]);
    let operator = start(&world, method).await;
    let status = world.run("shop", "one").await;
    assert_eq!(told(&status, "shop/backend/api"), "Failed/Forbidden");
    let message = entry(&status, "shop/backend/api").message.clone().unwrap();
    assert!(message.contains("the fine-grained permission Container Repository: Delete"), "{message}");
    assert_eq!(World::condition(&status, "CredentialsValid"), "True/TokenAccepted");
    assert_eq!(world.tags(repository).len(), 3);
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_takes_fine_grained_tokens_only_is_a_fault_of_that_target_alone(
    #[values("Exact", "Bulk")] method: &str,
) {
    let world = World::start_with(|config| {
        config.settings.granular_groups.insert("strict".to_owned());
    })
    .await;
    let repository = world.repository("shop/backend/api", TAGS);
    let strict = world.repository("strict/app/web", TAGS);
    world.sim.edit(|registry| {
        let user = registry.user("bot");
        registry.group("strict");
        registry.set_role("strict", user, Some(gitlab_simulator::Role::Maintainer));
    });
    let target = json!({"groups": [{"path": "shop"}, {"path": "strict"}]});
    world.apply(&world.policy("shop", &json!({"method": method, "target": target}))).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    let status = world.run("shop", "one").await;
    assert_eq!(told(&status, "group strict"), "Failed/Forbidden");
    assert!(entry(&status, "group strict").message.as_deref().unwrap().contains("fine-grained tokens only"));
    assert_eq!(told(&status, "shop/backend/api"), "Changed/-");
    assert_eq!(World::condition(&status, "CredentialsValid"), "True/TokenAccepted");
    assert_eq!((world.tags(repository), world.tags(strict).len()), (vec!["main".to_owned()], 3));
    operator.stop().await;
}

#[rstest]
#[case::by_age(json!([{"name": "old", "nameRegexDelete": "old-.*", "olderThan": "7d"}]))]
#[case::by_number(json!([{"name": "old", "nameRegexDelete": "old-.*", "keepN": 1}]))]
#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_in_a_row_in_which_nothing_goes_that_had_to_is_no_success(
    #[case] rules: Value,
    #[values(true, false)] graphql: bool,
) {
    let world = World::start_with(|config| {
        (config.settings.bulk_jobs_fail, config.settings.graphql) = (true, graphql);
    })
    .await;
    let repository = world.repository("shop/backend/api", TAGS);
    world.apply(&world.policy("shop", &json!({"method": "Bulk", "rules": rules}))).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    let status = world.run("shop", "one").await;
    assert_eq!(told(&status, "shop/backend/api"), "Changed/NotConfirmed");
    world.sim.advance(SignedDuration::from_hours(2));
    let status = world.run("shop", "two").await;
    assert_eq!(told(&status, "shop/backend/api"), "Failed/NotConfirmed");
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/Failed");
    assert_eq!(world.tags(repository).len(), 3);

    world.sim.edit(|registry| registry.settings.bulk_jobs_fail = false);
    world.sim.advance(SignedDuration::from_hours(2));
    let status = world.run("shop", "three").await;
    assert_eq!(told(&status, "shop/backend/api"), "Changed/-");
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "True/Succeeded");
    operator.stop().await;
}

#[rstest]
#[case::by_graphql(true, Version::new(18, 5))]
#[case::by_rest(false, Version::new(18, 7))]
#[tokio::test(flavor = "multi_thread")]
async fn tags_that_a_rule_protects_are_no_work_that_gitlab_may_still_be_at(
    #[case] graphql: bool,
    #[case] version: Version,
) {
    let world = World::start_with(|config| {
        (config.settings.graphql, config.settings.version) = (graphql, version);
    })
    .await;
    let repository = world.repository("shop/backend/api", TAGS);
    world.sim.edit(|registry| {
        let id = registry.project_by_path("shop/backend").unwrap().id;
        let rule = ProtectionRule::mutable("^old-", DeleteLevel::Owner);
        registry.project_mut(id).unwrap().protection_rules.push(rule);
    });
    let rules = json!([{"name": "old", "nameRegexDelete": "old-.*", "keepN": 1}]);
    world.apply(&world.policy("shop", &json!({"method": "Bulk", "rules": rules}))).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    let status = world.run("shop", "one").await;
    assert_eq!(told(&status, "shop/backend/api"), "Unchanged/NothingToRemove");
    let message = entry(&status, "shop/backend/api").message.clone().unwrap();
    assert!(message.contains("GitLab protects the others") && !message.contains("at work"), "{message}");
    assert_eq!(world.tags(repository).len(), 3);
    operator.stop().await;
}
