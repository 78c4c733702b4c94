//! Runs from end to end: the API server, the operator and GitLab.

use gitlab_simulator::{Backend, Endpoint, Push, Version};
use jiff::{SignedDuration, Timestamp};
use registry_cleanup_operator::api::{Mode, PolicyStatus, RepositoryResult, RunResult, Trigger};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{Operator, World};

/// A world with a policy that is Ready, and an operator that watches it.
async fn ready(world: &World, changes: Value) -> Operator {
    world.apply(&world.policy("shop", &changes)).await.unwrap();
    let operator = Operator::start(world).await;
    world.ready("shop").await;
    operator
}

fn bulk_parameters(world: &World) -> Vec<Value> {
    world.sim.requests_to(Endpoint::BulkDeleteTags).into_iter().map(|request| request.params).collect()
}

fn paths(status: &PolicyStatus) -> Vec<&str> {
    status.repositories.iter().map(|repository| repository.path.as_str()).collect()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_run_removes_what_the_rule_says_and_tells_what_went() {
    let world = World::start().await;
    let api = world.repository("shop/backend/api", &[("v1", 30), ("v2", 8), ("v3", 1), ("latest", 90)]);
    let operator = ready(&world, json!({})).await;
    assert_eq!(world.tags(api).len(), 4, "creating a policy removes nothing");

    let status = world.run("shop", "one").await;
    assert_eq!(world.tags(api), ["latest", "v3"]);
    let run = status.last_run.unwrap();
    assert_eq!(run.summary.as_deref(), Some("2 removed"));
    assert_eq!((run.tags.scanned, run.tags.requested, run.tags.confirmed), (4, 3, 2));
    assert_eq!(status.repositories[0].samples, ["v1", "v2"]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_names_every_reason_and_removes_nothing_even_in_delete_mode() {
    let world = World::start().await;
    let api = world.repository(
        "shop/backend/api",
        &[
            ("v1", 30),
            ("v2", 20),
            ("v3", 10),
            ("v4", 1),
            ("stable-1", 40),
            ("keep-1", 50),
            ("main", 60),
            ("latest", 90),
        ],
    );
    let rule = json!([{"name": "r", "nameRegexDelete": "v.*|stable.*|keep.*|latest", "nameRegexKeep": "keep.*", "keepN": 2, "olderThan": "7d"}]);
    let operator = ready(&world, json!({"rules": rule, "protect": {"nameRegex": ["stable.*"]}})).await;

    let status = world.preview("shop", "one").await;
    let run = status.last_run.as_ref().unwrap();
    assert_eq!((run.mode, run.trigger, run.result), (Mode::DryRun, Trigger::DryRunRequested, RunResult::Succeeded));
    assert_eq!(run.summary.as_deref(), Some("2 would go"));
    assert_eq!((run.tags.scanned, run.tags.matched, run.tags.requested, run.tags.confirmed), (8, 2, 0, 0));
    assert_eq!(status.repositories[0].samples, ["v1", "v2"]);
    assert_eq!(
        status.repositories[0].message.as_deref(),
        Some("kept: 1 KeptByPattern, 1 Latest, 1 NoRuleMatches, 1 Protected, 1 TooYoung, 1 WithinKeepN")
    );
    assert_eq!(world.sim.requests_to(Endpoint::GetTag).len(), 0, "GraphQL tells the dates of all of them in one page");
    assert_eq!(world.tags(api).len(), 8);
    assert!(
        world
            .sim
            .requests()
            .iter()
            .all(|request| request.method == "GET" || request.endpoint == Endpoint::GraphqlQuery)
    );

    world.run("shop", "one").await;
    assert_eq!(world.tags(api), ["keep-1", "latest", "main", "stable-1", "v3", "v4"], "the run does what was shown");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_runs_once_and_arms_the_next() {
    let world = World::start().await;
    let api = world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    let operator = ready(&world, json!({"schedule": "30 12 * * *", "timeZone": "Europe/Berlin"})).await;
    // Half past twelve in Berlin is 11:30 UTC, which is past: the next one is tomorrow's.
    let status = world.policies().get("shop").await.unwrap().status.unwrap();
    assert_eq!(status.next_schedule_time.unwrap().0, at("2026-11-23T11:30:00Z"));

    world.sim.clock().set(at("2026-11-23T11:30:00Z"));
    operator.nudge();
    let status = world.until("shop", |status| status.history.len() == 1).await;
    assert_eq!(status.history[0].trigger, Trigger::Schedule);
    assert_eq!(status.last_schedule_time.as_ref().unwrap().0, at("2026-11-23T11:30:00Z"));
    assert_eq!(status.next_schedule_time.as_ref().unwrap().0, at("2026-11-24T11:30:00Z"));
    assert_eq!(world.tags(api), ["main"]);
    operator.stop().await;
}

#[rstest]
#[case::within_the_deadline("2026-11-23T04:00:00Z", 1, None)]
#[case::too_late("2026-11-23T05:00:00Z", 0, Some("ScheduleMissed"))]
#[case::after_three_days_only_the_latest("2026-11-25T03:20:00Z", 1, None)]
#[tokio::test(flavor = "multi_thread")]
async fn after_a_downtime_at_most_one_missed_slot_runs(
    #[case] back: &str,
    #[case] runs: usize,
    #[case] event: Option<&str>,
) {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    ready(&world, json!({})).await.stop().await;
    world.sim.clock().set(at(back));
    let operator = Operator::start(&world).await;
    let status =
        world.until("shop", |status| status.next_schedule_time.as_ref().is_some_and(|next| next.0 > at(back))).await;
    if runs > 0 {
        world.until("shop", |status| status.history.len() == runs).await;
    } else {
        assert_eq!(status.last_run, None);
    }
    operator.stop().await;
    assert_eq!(world.policies().get("shop").await.unwrap().status.unwrap().history.len(), runs);
    assert_eq!(bulk_parameters(&world).len(), runs);
    let missed = world.events().await.iter().any(|(reason, _)| Some(reason.as_str()) == event);
    assert_eq!(missed, event.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_at_the_time_of_a_slot_removes_nothing() {
    let world = World::start().await;
    let api = world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    let operator = ready(&world, json!({"mode": "DryRun"})).await;
    operator.stop().await;
    world.sim.clock().set(at("2026-11-23T03:17:05Z"));
    world.apply(&world.policy("shop", &json!({"mode": "Delete"}))).await.unwrap();
    let operator = Operator::start(&world).await;
    let status = world.ready("shop").await;
    assert_eq!(status.next_schedule_time.unwrap().0, at("2026-11-24T03:17:00Z"));
    operator.stop().await;
    assert_eq!(world.tags(api).len(), 2);
    assert_eq!(bulk_parameters(&world), Vec::<Value>::new());
}

#[rstest]
#[case::git_shas(
    json!({"name": "r", "nameRegexDelete": "[0-9a-z]{40}", "keepN": 5, "olderThan": "2d"}),
    json!({"name_regex_delete": "(?:[0-9a-z]{40})", "keep_n": 5, "older_than": "2d"})
)]
#[case::five_of_everything(
    json!({"name": "r", "nameRegexDelete": ".*", "keepN": 5}),
    json!({"name_regex_delete": "(?:.*)", "keep_n": 5})
)]
#[case::everything_but_stable(
    json!({"name": "r", "nameRegexDelete": ".*", "nameRegexKeep": "stable.*", "keepN": 0}),
    json!({"name_regex_delete": "(?:.*)", "name_regex_keep": "(?:stable.*)"})
)]
#[case::everything_over_a_month(
    json!({"name": "r", "nameRegexDelete": ".*", "olderThan": "1month"}),
    json!({"name_regex_delete": "(?:.*)", "older_than": "1month"})
)]
#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_gitlabs_documentation_arrive_as_they_stand_there(#[case] rule: Value, #[case] sent: Value) {
    let world = World::start().await;
    let shas: Vec<String> = (0..8).map(|number| format!("{number:040x}")).collect();
    let tags: Vec<(&str, i64)> = shas.iter().map(String::as_str).zip(60..).collect();
    world.repository("shop/backend/api", &tags);
    let operator = ready(&world, json!({"rules": [rule]})).await;
    world.run("shop", "one").await;
    assert_eq!(bulk_parameters(&world), [sent]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_projects_subgroups_and_patterns_select_the_repositories() {
    let world = World::start().await;
    for path in ["shop/backend/api", "shop/backend/cache", "shop/platform/tools/cli", "shop/platform/tools/cache"] {
        world.repository(path, &[("v1", 1)]);
    }
    let project = world.sim.read(|registry| registry.project_by_path("shop/platform/tools").unwrap().id);
    let operator = ready(&world, json!({"target": {"groups": [{"path": "shop"}]}})).await;
    for (number, (target, expected)) in [
        (
            json!({"groups": [{"path": "shop"}]}),
            vec!["shop/backend/api", "shop/backend/cache", "shop/platform/tools/cache", "shop/platform/tools/cli"],
        ),
        (
            json!({"groups": [{"path": "shop", "includeSubgroups": false}]}),
            vec!["shop/backend/api", "shop/backend/cache"],
        ),
        (
            json!({"groups": [{"path": "shop"}], "repositories": {"exclude": [".*/cache(/.*)?"]}}),
            vec!["shop/backend/api", "shop/platform/tools/cli"],
        ),
        (
            json!({"projects": [project.to_string()], "repositories": {"include": [".*/cli"]}}),
            vec!["shop/platform/tools/cli"],
        ),
        (
            json!({"projects": ["shop/backend"], "groups": [{"path": "shop/platform"}]}),
            vec!["shop/backend/api", "shop/backend/cache", "shop/platform/tools/cache", "shop/platform/tools/cli"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        world.apply(&world.policy("shop", &json!({"target": target}))).await.unwrap();
        world.ready("shop").await;
        let status = world.preview("shop", &number.to_string()).await;
        assert_eq!(paths(&status), expected, "{target}");
    }
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_many_repositories_is_handled_whole_and_the_status_stays_small() {
    let world = World::start().await;
    for number in 0..120 {
        world.repository(&format!("shop/p{number}/image"), &[("v1", 30), ("main", 1)]);
    }
    let operator = ready(&world, json!({})).await;
    let status = world.run("shop", "one").await;
    let run = status.last_run.as_ref().unwrap();
    assert_eq!((run.repositories.total, run.repositories.changed, run.tags.confirmed), (120, 120, 120));
    assert_eq!((status.repositories.len(), status.repositories_omitted), (50, Some(70)));
    assert!(status.others_eligible_time.as_ref().unwrap().0 > world.now());
    operator.stop().await;

    // What the status does not name counts as requested, also for an operator that knows nothing else.
    let operator = Operator::start(&world).await;
    let status = world.run("shop", "two").await;
    assert_eq!(status.last_run.unwrap().repositories.skipped, 120);
    assert_eq!(bulk_parameters(&world).len(), 120);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn protected_names_travel_with_the_request_and_survive() {
    let world = World::start().await;
    let api =
        world.repository("shop/backend/api", &[("v1", 30), ("stable", 30), ("release-1", 30), ("v9", 30), ("main", 1)]);
    let rule = json!([{"name": "r", "nameRegexDelete": ".*", "nameRegexKeep": "v9|main", "olderThan": "7d"}]);
    let operator = ready(&world, json!({"rules": rule, "protect": {"nameRegex": ["stable", "release-.*"]}})).await;
    world.run("shop", "one").await;
    assert_eq!(bulk_parameters(&world)[0]["name_regex_keep"], "(?:(?:v9|main)|(?:stable)|(?:release-.*))");
    assert_eq!(world.tags(api), ["main", "release-1", "stable", "v9"]);
    operator.stop().await;
}

#[rstest]
#[case::twelve_eight((12, 8))]
#[case::eleven_eight((11, 8))]
#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_is_never_sent_what_it_would_misunderstand(#[case] version: (u16, u16)) {
    let world = World::start_with(|config| {
        config.settings.version = Version::new(version.0, version.1);
    })
    .await;
    let api = world.repository("shop/backend/api", &[("v1", 30), ("v2", 30), ("main", 1)]);
    let target = json!({"projects": ["shop/backend"]});
    let keep = json!([{"name": "r", "nameRegexDelete": ".*", "nameRegexKeep": "v2", "olderThan": "7d"}]);
    let operator = ready(&world, json!({"target": target, "rules": keep})).await;
    let status = world.run("shop", "one").await;
    assert_eq!(status.repositories[0].result, RepositoryResult::Skipped);
    assert_eq!(status.repositories[0].reason.as_deref(), Some("KeepNotSupported"));
    assert_eq!(bulk_parameters(&world), Vec::<Value>::new());

    let plain = json!([{"name": "r", "nameRegexDelete": "v.*", "olderThan": "7d"}]);
    world.apply(&world.policy("shop", &json!({"target": target, "rules": plain}))).await.unwrap();
    world.ready("shop").await;
    world.run("shop", "two").await;
    assert_eq!(bulk_parameters(&world), [json!({"name_regex": "(?:v.*)", "older_than": "7d"})]);
    assert_eq!(world.tags(api), ["main"]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_a_metadata_database_is_cleaned_as_well() {
    let world = World::start_with(|config| config.settings.backend = Backend::PlainRegistry).await;
    let api = world.repository("shop/backend/api", &[]);
    let now = world.now();
    world.sim.edit(|registry| {
        for (tag, days) in [("v1", 30), ("v2", 20), ("main", 1)] {
            let built = now - SignedDuration::from_hours(24 * days);
            registry.push(api, tag, Push::at(built).built(built));
        }
    });
    let operator = ready(&world, json!({})).await;
    let status = world.run("shop", "one").await;
    assert_eq!(world.tags(api), ["main"]);
    assert_eq!(status.last_run.unwrap().tags.confirmed, 2);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_after_the_request_confirms_nothing() {
    let world = World::start().await;
    let api = world.repository("shop/backend/api", &[("v1", 30), ("v2", 20)]);
    let operator = ready(&world, json!({})).await;
    let status = world.run("shop", "one").await;
    assert_eq!(world.tags(api), Vec::<String>::new());
    let repository = &status.repositories[0];
    assert_eq!((repository.tags.requested, repository.tags.confirmed), (2, 0));
    assert_eq!(repository.reason.as_deref(), Some("NotConfirmed"));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_go_no_request_is_spent() {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30), ("v2", 20), ("latest", 90)]);
    let operator = ready(&world, json!({"rules": [{"name": "r", "nameRegexDelete": ".*", "keepN": 2}]})).await;
    let status = world.run("shop", "one").await;
    assert_eq!(status.repositories[0].reason.as_deref(), Some("NothingToRemove"));
    assert_eq!(bulk_parameters(&world), Vec::<Value>::new());
    assert_eq!(status.repositories[0].next_eligible_time, None);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_policy_costs_neither_gitlab_nor_the_api_server_a_request() {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30)]);
    let operator = ready(&world, json!({})).await;
    world.sim.clear_requests();
    let before = world.policies().get("shop").await.unwrap().metadata.resource_version;
    for _ in 0..20 {
        operator.nudge();
        world.sim.advance(SignedDuration::from_mins(1));
    }
    // A second policy shows that all the nudges before it were handled.
    world.apply(&world.policy("other", &json!({"suspend": true}))).await.unwrap();
    world.ready("other").await;
    assert_eq!(world.policies().get("shop").await.unwrap().metadata.resource_version, before);
    assert_eq!(world.sim.requests(), []);
    operator.stop().await;
}
