//! Policies that do not do what they seem to say: the condition Effective, the plan, the column, and one event.

use std::process::Command;

use gitlab_simulator::{Action, Endpoint, Fault, Matcher, Role};
use registry_cleanup_operator::api::{PolicyStatus, conditions};
use registry_cleanup_operator::cluster::workloads::{CustomWorkload, Options};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::events_of;
use crate::world::{MARKER, Operator, Setup, World};

const TAGS: [(&str, i64); 4] = [("latest", 1), ("v1", 300), ("mr-1", 200), ("mr-2", 100)];

async fn start(changes: &Value) -> (World, Operator) {
    let world = World::start().await;
    world.repository("shop/web", &TAGS);
    world.repository("shop/legacy/db", &TAGS);
    world.apply(&world.policy("shop", changes)).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    (world, operator)
}

fn effective(status: &PolicyStatus) -> (String, &str) {
    let message = conditions::find(&status.conditions, "Effective").map_or("", |condition| &condition.message);
    (World::condition(status, "Effective"), message)
}

fn rules(delete: &str, keep: Option<&str>) -> Value {
    let mut rule = json!({"name": "old", "nameRegexDelete": delete, "olderThan": "30d"});
    if let Some(keep) = keep {
        rule["nameRegexKeep"] = json!(keep);
    }
    json!([rule])
}

#[rstest]
#[case::bulk("Bulk")]
#[case::exact("Exact")]
#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_matches_nothing_is_told_with_a_hint_and_announced_once(#[case] method: &str) {
    let (world, operator) = start(&json!({"method": method, "rules": rules("mr-", None)})).await;
    let status = world.preview("shop", "one").await;
    let hint = "rules[old].nameRegexDelete \"mr-\" matches none of 8 tags: patterns match the whole name: did you \
                mean \"mr-.*\"?";
    assert_eq!(effective(&status), ("False/DeletePatternMatchesNothing".to_owned(), hint));
    assert_eq!(World::condition(&status, "Ready"), "True/Scheduled", "it would work");
    let status = world.run("shop", "two").await;
    assert_eq!(effective(&status).0, "False/DeletePatternMatchesNothing");
    let wide = world.kubectl(&["get", "rcp", "shop", "-o", "wide"]);
    let (heads, row) = wide.split_once('\n').unwrap();
    let column = heads.find("EFFECTIVE").unwrap();
    assert!(row[column..].starts_with("False"), "{wide}");

    world.apply(&world.policy("shop", &json!({"method": method, "rules": rules("mr-.*", None)}))).await.unwrap();
    world.until("shop", |status| effective(status).0 == "Unknown/NotEvaluated").await;
    world.ready("shop").await;
    assert_eq!(effective(&world.run("shop", "three").await).0, "True/PatternsMatch");
    operator.stop().await;
    assert_eq!(events_of(&world, "NotEffective").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_keeps_everything_is_told_and_its_end_is_announced() {
    let (world, operator) = start(&json!({"rules": rules("mr-.*", Some("mr-[0-9]"))})).await;
    let status = world.run("shop", "one").await;
    let sentence = "nameRegexKeep keeps every tag that rules[old].nameRegexDelete matches";
    assert_eq!(effective(&status), ("False/KeepPatternKeepsEverything".to_owned(), sentence));
    world.repository("shop/web", &[("mr-17", 3)]);
    assert_eq!(effective(&world.run("shop", "two").await).0, "True/PatternsMatch");
    operator.stop().await;
    assert_eq!((events_of(&world, "NotEffective").await, events_of(&world, "Effective").await), (1, 1));
}

#[rstest]
#[case::exclude(
    "exclude",
    "registry.example.com/shop/legacy/.*",
    "ExcludeMatchesNothing",
    "did you mean \"shop/legacy/.*\"?"
)]
#[case::include("include", "legacy", "IncludeMatchesNothing", "did you mean \".*/legacy/.*\"?")]
#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_over_paths_that_matches_nothing_is_told_before_any_run(
    #[case] list: &str,
    #[case] pattern: &str,
    #[case] reason: &str,
    #[case] hint: &str,
) {
    let target = json!({"groups": [{"path": "shop"}], "repositories": {list: [pattern]}});
    let (world, operator) = start(&json!({ "target": target })).await;
    let status = world.until("shop", |status| effective(status).0.starts_with("False")).await;
    assert_eq!(effective(&status).0, format!("False/{reason}"));
    assert!(effective(&status).1.ends_with(hint), "{}", effective(&status).1);
    assert_eq!(status.last_run, None);
    operator.stop().await;
    assert_eq!(events_of(&world, "NotEffective").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_remove_nothing_is_told() {
    let (world, operator) = start(&json!({"method": "Exact", "rules": rules("mr-.*", None)})).await;
    world.sim.edit(|registry| {
        let user = registry.find_token(MARKER).unwrap().user;
        registry.set_role("shop", user, Some(Role::Reporter));
    });
    let status = world.run("shop", "one").await;
    assert_eq!(effective(&status).0, "False/TagsProtectedByGitLab");
    operator.stop().await;
}

/// A kind that was named by hand may be mistyped, or not be installed yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_kind_of_workload_that_the_cluster_does_not_have_is_a_note() {
    let world = World::start().await;
    world.repository("shop/web", &TAGS);
    world.apply(&world.policy("shop", &json!({"rules": rules("mr-.*", None)}))).await.unwrap();
    let usual = Setup::of(&world);
    let custom = vec![CustomWorkload::parse("example.org/v1/Nonesuch=spec.template").unwrap()];
    let in_use = usual.in_use.clone().map(|options| Options { custom, ..options });
    let operator = Operator::set_up(&world, Setup { in_use, ..usual }).await;
    world.ready("shop").await;
    let note = "the cluster does not have these kinds of workloads, which the operator is to watch: ";
    let status = world.until("shop", |status| effective(status).1.contains(note)).await;
    assert!(effective(&status).1.contains("Nonesuch"), "{}", effective(&status).1);
    let status = world.run("shop", "one").await;
    assert_eq!(effective(&status).0, "True/PatternsMatch");
    assert!(effective(&status).1.contains(note), "{}", effective(&status).1);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_could_not_see_everything_does_not_know() {
    let (world, operator) = start(&json!({"rules": rules("nightly-.*", None)})).await;
    let repository = world.sim.edit(|registry| registry.repository("shop/web"));
    let of_web = Matcher { repository: Some(repository), ..Matcher::endpoint(Endpoint::ListTags) };
    world.sim.fault(Fault::new(of_web, Action::Answer { status: 404, headers: vec![], body: String::new() }));
    let status = world.run("shop", "one").await;
    assert_eq!(effective(&status).0, "Unknown/NotEvaluated");
    operator.stop().await;
    assert_eq!(events_of(&world, "NotEffective").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_tells_it_as_text_and_for_programs() {
    let world = World::start().await;
    world.repository("shop/web", &TAGS);
    let folder = tempfile::tempdir().unwrap();
    let policy = world.policy("shop", &json!({"rules": rules("mr-", None)}));
    for (name, text) in [
        ("policy.yaml", policy.to_string()),
        ("token", MARKER.to_owned()),
        ("ca.crt", world.sim.ca_pem().unwrap().to_owned()),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let plan = |output: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
        command.env_clear().current_dir(folder.path()).args(["plan", "-f", "policy.yaml", "--token-file", "token"]);
        command.args(["--ca-file", "ca.crt", "--allowed-gitlab-hosts", "127.0.0.1", "-o", output]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let sentence = "rules[old].nameRegexDelete \"mr-\" matches none of 4 tags: patterns match the whole name: did \
                    you mean \"mr-.*\"?";
    let table = plan("table");
    assert!(table.contains(&format!("Note: not effective (DeletePatternMatchesNothing): {sentence}.")), "{table}");
    let listing: Value = serde_json::from_str(&plan("json")).unwrap();
    let expected = json!({"status": "False", "reason": "DeletePatternMatchesNothing", "message": sentence});
    assert_eq!(listing["effective"], expected);
}
