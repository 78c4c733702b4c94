//! `registry-cleanup-operator init`: the real binary, which looks at a simulated GitLab, sends nothing but what reads,
//! and writes a policy that `plan` and the API server take.

use std::path::Path;

use gitlab_simulator::{Action, Endpoint, Fault, Matcher};
use serde_json::{Value, json};

use crate::support::{program_with_token, world_of_today};
use crate::world::{MARKER, World};

/// What a command prints, and whether it succeeded.
#[derive(Debug)]
struct Printed {
    ok: bool,
    out: String,
    said: String,
}

fn program(world: &World, arguments: &[&str]) -> Printed {
    let (_folder, mut program) = program_with_token(world, arguments);
    let output = program.output().unwrap();
    let [out, said] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(!out.contains(MARKER) && !said.contains(MARKER), "{out}{said}");
    Printed { ok: output.status.success(), out, said }
}

fn init(world: &World, arguments: &[&str]) -> Printed {
    program(world, &[&["init", "--url", world.sim.url()], arguments].concat())
}

/// A repository with releases, a branch, and merge requests that are 100 days old and more.
fn shop(world: &World) {
    let names: Vec<(String, i64)> = (1..=30).map(|number| (format!("mr-{number}"), 100 + number)).collect();
    let mut tags: Vec<(&str, i64)> = names.iter().map(|(name, days)| (name.as_str(), *days)).collect();
    tags.extend([("v1.0.0", 400), ("v1.1.0", 300), ("main", 90), ("hotfix-7", 500), ("20240115", 600)]);
    world.repository("shop/backend/api", &tags);
    world.repository("shop/frontend/web", &[("v2.0.0", 200), ("latest", 1)]);
}

fn removed(world: &World, file: &Path) -> Vec<String> {
    let Printed { ok, out, said } = program(world, &["plan", "-f", file.to_str().unwrap(), "--all", "-o", "json"]);
    assert!(ok, "{out}{said}");
    let plan: Value = serde_json::from_str(&out).unwrap();
    let tags = plan["repositories"].as_array().unwrap().iter().flat_map(|one| one["tags"].as_array().unwrap());
    tags.filter(|tag| tag["verdict"] == "Remove").map(|tag| tag["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_a_dry_run_that_the_api_server_takes_and_that_spares_what_is_not_understood() {
    let world = world_of_today().await;
    shop(&world);
    let printed = init(&world, &["--group", "shop", "-n", &world.namespace]);
    assert!(printed.ok, "{printed:?}");
    let asked = world.sim.requests();
    for request in &asked {
        assert!(request.method == "GET" || request.endpoint == Endpoint::GraphqlQuery, "{request:?}");
    }
    assert!(asked.len() <= 14, "{} requests for two small repositories", asked.len());
    for said in ["2 repositories, 2 looked at.\n", "merge requests", "olderThan 60d, keepN 10", "hotfix-…"] {
        assert!(printed.said.contains(said), "{said}: {}", printed.said);
    }
    assert!(!printed.out.contains("IN THE POLICY"), "{}", printed.out);
    assert!(printed.out.contains("  # - hotfix-… (1 tag in 1 repository)\n"), "{}", printed.out);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, &printed.out).unwrap();
    let mut gone = removed(&world, &file);
    gone.sort();
    // The ten newest stay; they are the first, since the others were pushed longer ago.
    let mut expected: Vec<String> = (11..=30).map(|number| format!("mr-{number}")).collect();
    expected.sort();
    assert_eq!(gone, expected);

    world.kubectl(&["apply", "--server-side", "--filename", file.to_str().unwrap()]);
    let policy = world.policies().get("first").await.unwrap();
    assert_eq!(json!(policy.spec.mode), "DryRun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_written_once_and_never_over_another() {
    let world = world_of_today().await;
    shop(&world);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    let arguments = ["--project", "shop/backend", "-o", file.to_str().unwrap()];
    let first = init(&world, &arguments);
    assert!(first.ok && first.out.is_empty(), "{first:?}");
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("    projects:\n    - shop/backend\n") && !written.contains(MARKER), "{written}");
    let second = init(&world, &arguments);
    assert!(!second.ok && second.said.contains("error: failed to write"), "{second:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_repositories_are_looked_at_than_was_said_and_the_rest_is_counted() {
    let world = world_of_today().await;
    shop(&world);
    let printed = init(&world, &["--group", "shop", "--max-repositories", "1"]);
    assert!(printed.ok, "{printed:?}");
    let left = "2 repositories, 1 looked at; --max-repositories 1 left out 1.\n";
    assert!(printed.said.contains(left) && printed.out.contains(left), "{printed:?}");
    assert!(!printed.said.contains("web"), "{}", printed.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_repositories_or_enough_tags_there_is_no_policy() {
    let world = world_of_today().await;
    world.sim.edit(|registry| registry.project("shop/nothing/here"));
    let printed = init(&world, &["--group", "shop/nothing"]);
    let told = "0 repositories, 0 looked at.\nerror: no policy is written: there is no container repository\n";
    assert!(!printed.ok && printed.out.is_empty() && printed.said == told, "{printed:?}");

    world.repository("shop/frontend/web", &[("v2.0.0", 200), ("mr-1", 100)]);
    let printed = init(&world, &["--group", "shop"]);
    assert!(!printed.ok && printed.out.is_empty(), "{printed:?}");
    let told =
        "error: no policy is written: no family of tags that is understood is larger than what should stay anyway\n";
    assert!(printed.said.contains("too few for a rule") && printed.said.ends_with(told), "{printed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_not_found_is_an_error_and_prints_nothing() {
    let world = world_of_today().await;
    let printed = init(&world, &["--group", "nobody/knows"]);
    assert!(!printed.ok && printed.out.is_empty(), "{printed:?}");
    assert!(printed.said.starts_with("error: failed to ask GitLab about nobody/knows"), "{printed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_gone_meanwhile_is_named_and_the_others_are_looked_at() {
    let world = world_of_today().await;
    shop(&world);
    let body = json!({"message": "404 Not found"}).to_string();
    let answer = Action::Answer { status: 404, headers: vec![], body };
    // It is that of shop/backend/api, the first by its path.
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::ListTags).times(1), answer));
    let printed = init(&world, &["--group", "shop"]);
    assert!(!printed.ok, "what is left has nothing for a rule: {printed:?}");
    assert!(printed.said.contains("shop/backend/api was not looked at: "), "{printed:?}");
    assert!(printed.said.contains("2 repositories, 1 looked at.\n"), "{printed:?}");
}
