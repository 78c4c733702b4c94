//! `registry-cleanup-operator import`: the real binary, asked about the cleanup policies of a simulated GitLab. What it
//! prints is taken by `plan`, and selects what GitLab's own policy selects.

use gitlab_simulator::{Action, CleanupPolicy, Endpoint, Fault, Matcher};
use serde_json::{Value, json};

use crate::support::{program_with_token, world_of_today};
use crate::world::{World, output};

fn program(world: &World, arguments: &[&str]) -> (bool, String) {
    let (_folder, mut program) = program_with_token(world, arguments);
    output(&mut program)
}

fn import(world: &World, arguments: &[&str]) -> (bool, String) {
    program(world, &[&["import", "--url", world.sim.url()], arguments].concat())
}

/// Gives a project a cleanup policy, and answers its id.
fn set(world: &World, project: &str, policy: CleanupPolicy) -> u64 {
    world.sim.edit(|registry| {
        let id = registry.project(project);
        registry.project_mut(id).unwrap().cleanup_policy = policy;
        id
    })
}

fn enabled(delete: &str, keep: Option<&str>) -> CleanupPolicy {
    CleanupPolicy {
        enabled: true,
        cadence: "7d".to_owned(),
        keep_n: Some(1),
        older_than: Some("7d".to_owned()),
        name_regex: Some(delete.to_owned()),
        name_regex_keep: keep.map(str::to_owned),
        next_run_at: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_is_a_dry_run_that_selects_what_gitlab_selects() {
    let world = world_of_today().await;
    let tags = [("dev", 30), ("dev-important", 31), ("mytest", 32), ("v1", 33), ("domain", 34), ("dev-new", 1)];
    world.repository("shop/backend/api", &tags);
    world.repository("shop/frontend/web", &[("dev", 30)]);
    world.repository("shop/tools/linter", &[("dev", 30)]);
    set(&world, "shop/backend", enabled("dev|test|v1", Some("main|imp")));
    set(&world, "shop/frontend", enabled("dev|test|v1", Some("main|imp")));
    set(&world, "shop/tools", CleanupPolicy { enabled: false, ..enabled(".*", None) });

    let (ok, text) = import(&world, &["--group", "shop", "-n", "team-shop"]);
    assert!(ok, "{text}");
    assert_eq!(text.matches("kind: RegistryCleanupPolicy").count(), 1, "equal ones are one: {text}");
    for said in [
        "# name_regex: GitLab reads dev|test|v1 as dev.*|.*test.*|.*v1\n",
        "# name_regex_keep: GitLab reads main|imp as main.*|.*imp\n",
        "    - shop/backend\n    - shop/frontend\n",
        "  mode: DryRun\n",
        "# - shop/tools: its cleanup policy is not enabled\n",
        "# for project in shop%2Fbackend shop%2Ffrontend; do\n",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policies.yaml");
    std::fs::write(&file, &text).unwrap();
    let (ok, plan) = program(&world, &["plan", "-f", file.to_str().unwrap(), "--all", "-o", "json"]);
    assert!(ok, "{plan}");
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let mut repositories = plan["repositories"].as_array().unwrap().iter();
    let api = repositories.find(|one| one["path"] == "shop/backend/api").unwrap();
    let tags = api["tags"].as_array().unwrap().iter();
    let gone: Vec<&str> =
        tags.filter(|tag| tag["verdict"] == "Remove").map(|tag| tag["name"].as_str().unwrap()).collect();
    // The newest of those that are selected stays, and it is dev-new; domain is selected by nothing.
    assert_eq!(gone, ["dev", "dev-important", "mytest", "v1"]);
    for request in world.sim.requests() {
        assert!(request.method == "GET" || request.endpoint == Endpoint::GraphqlQuery, "{request:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_whose_settings_are_not_told_in_full_gets_no_policy() {
    let world = world_of_today().await;
    world.repository("shop/backend/api", &[("dev", 30)]);
    let project = set(&world, "shop/backend", enabled("dev.*", None));
    let (ok, text) = import(&world, &["--project", "shop/backend"]);
    assert!(ok && text.contains("kind: RegistryCleanupPolicy"), "{text}");
    // A GitLab that tells nothing of keep_n: without it, the policy would remove more.
    let told = json!({
        "enabled": true, "cadence": "7d", "older_than": "7d", "name_regex": "dev.*", "name_regex_keep": null
    });
    let body = json!({"id": project, "container_expiration_policy": told}).to_string();
    let answer = Action::Answer { status: 200, headers: vec![], body };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GetProject), answer));
    let (ok, text) = import(&world, &["--project", "shop/backend"]);
    assert!(ok && !text.contains("kind:"), "{text}");
    assert!(text.contains("# - shop/backend: GitLab does not tell its cleanup policy in full"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_cannot_be_listed_is_an_error_and_prints_nothing() {
    let world = world_of_today().await;
    let (ok, text) = import(&world, &["--group", "nobody/knows"]);
    assert!(!ok && text.starts_with("error: failed to ask GitLab about nobody/knows"), "{text}");
}
