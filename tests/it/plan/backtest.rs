//! `plan --backtest`: the runs of the past, played over one reading, and what of it was deployed later.

use jiff::{SignedDuration, Timestamp};
use registry_cleanup_operator::plan_output::backtest::BacktestNote;
use rstest::rstest;
use serde_json::{Value, json};

use super::cluster::reader;
use super::{Files, end, exact, fill, json_of, nothing_was_changed, plan_from_cluster, world, world_with};
use crate::world::{World, path};

/// Once a day, twelve hours from the time at which the tests run, so that no tag is pushed in the minute of a run.
fn nightly() -> String {
    (Timestamp::now() - SignedDuration::from_hours(12)).strftime("%-M %-H * * *").to_string()
}

fn spec(changes: &Value) -> Value {
    let mut spec = exact(&json!({"schedule": nightly()}));
    for (key, value) in changes.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn backtest(world: &World, more: &[&str]) -> std::process::Command {
    let more: Vec<&str> = ["--backtest", "10d"].into_iter().chain(more.iter().copied()).collect();
    plan_from_cluster(world, world.cluster.kubeconfig(), "shop", &more)
}

/// Somebody deploys an image, now.
fn deploy(world: &World, tag: &str) {
    let image = format!("registry.gitlab.example.com/shop/backend/api:{tag}");
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}}},
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("set.json");
    std::fs::write(&file, set.to_string()).unwrap();
    world.kubectl(&["apply", "--filename", file.to_str().unwrap()]);
}

fn removed(backtest: &Value) -> Vec<u64> {
    backtest["runs"].as_array().unwrap().iter().map(|run| run["remove"].as_u64().unwrap()).collect()
}

#[rstest]
#[case::graphql(|_: &mut gitlab_simulator::Settings| {})]
#[case::rest(|settings: &mut gitlab_simulator::Settings| settings.graphql = false)]
#[tokio::test(flavor = "multi_thread")]
async fn what_was_deployed_after_its_run_is_regretted_and_what_would_have_kept_it_is_told(
    #[case] change: fn(&mut gitlab_simulator::Settings),
) {
    let world = world_with(change).await;
    fill(&world);
    world.apply(&world.policy("shop", &spec(&json!({})))).await.unwrap();
    let nothing = json_of(backtest(&world, &[]), 0);
    assert_eq!(removed(&nothing), [8, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!((&nothing["totals"]["remove"], &nothing["totals"]["scanned"]), (&json!(17), &json!(32)));
    assert_eq!((&nothing["regret"], &nothing["totals"]["regret"]), (&json!([]), &json!(0)));

    deploy(&world, "t25");
    let told = json_of(backtest(&world, &[]), 0);
    assert_eq!(removed(&told), removed(&nothing));
    let image = &told["regret"][0];
    assert_eq!(
        (&image["repository"], &image["tag"], &image["rule"]),
        (&json!("shop/backend/api"), &json!("t25"), &json!("old"))
    );
    assert_eq!(image["by"], format!("{}/ReplicaSet/web", world.namespace));
    assert_eq!((&image["removedAt"], &told["runs"][0]["regret"]), (&told["runs"][0]["at"], &json!(1)));
    let rule = &told["rules"][0];
    assert_eq!(
        (&rule["olderThan"], &rule["keepN"]),
        (&json!({"value": "25d", "remove": 4}), &json!({"value": 25, "remove": 4}))
    );

    let table = end(backtest(&world, &[])).out;
    assert!(table.contains("17 of 32 tags would have gone in 10 of 10 runs, "), "{table}");
    assert!(table.contains("  shop/backend/api:t25  old   "), "{table}");
    assert!(table.contains("25d (4 removed)") && table.contains("25 (4 removed)"), "{table}");
    assert!(table.contains("\nNote: what no longer exists is not seen: "), "{table}");
    nothing_was_changed(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_with_the_values_that_were_told_regrets_nothing() {
    let world = world().await;
    fill(&world);
    deploy(&world, "t25");
    for (older_than, keep_n, regret) in [("25d", 12, 0), ("24d", 12, 1), ("7d", 25, 0), ("7d", 24, 1)] {
        let rules = json!([{"name": "old", "nameRegexDelete": ".*", "olderThan": older_than, "keepN": keep_n}]);
        world.apply(&world.policy("shop", &spec(&json!({"rules": rules})))).await.unwrap();
        let told = json_of(backtest(&world, &[]), 0);
        assert_eq!(told["totals"]["regret"], regret, "{older_than}, {keep_n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn regret_is_not_known_where_the_objects_may_not_be_listed() {
    let world = world().await;
    fill(&world);
    world.apply(&world.policy("shop", &spec(&json!({})))).await.unwrap();
    deploy(&world, "t25");
    let all_but_sets = "pods,controllerrevisions.apps,jobs.batch";
    let reader = reader(&world, all_but_sets).await;
    let told = json_of(plan_from_cluster(&world, &reader, "shop", &["--backtest", "10d"]), 0);
    assert_eq!(
        (&told["regret"], &told["totals"]["regret"], &told["totals"]["remove"]),
        (&Value::Null, &Value::Null, &json!(17))
    );
    assert_eq!((&told["rules"][0]["regret"], &told["rules"][0]["olderThan"]), (&Value::Null, &Value::Null));
    let why = format!("regret is not known: replicasets in namespace {}: list is forbidden", world.namespace);
    let note = json!({"kind": "RegretNotKnown", "message": why});
    assert!(told["notes"].as_array().unwrap().contains(&note), "{told}");
    let blind = json_of(backtest(&world, &["--in-use=false"]), 0);
    assert_eq!((&blind["regret"], &blind["totals"]["remove"]), (&Value::Null, &json!(17)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_played_without_a_cluster_in_every_format_that_has_room_for_it() {
    let world = world().await;
    fill(&world);
    let files = Files::new(&world, &world.policy("shop", &spec(&json!({}))));
    let save =
        ["--backtest", "10d", "--save", "json=past.json", "--save", "yaml=past.yaml", "--save", "markdown=past.md"];
    let ended = end(files.plan(&save));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let note = "\nNote: regret is not known: a file is of no cluster, which tells what was deployed and when.\n";
    assert!(ended.out.contains(note), "{}", ended.out);
    let read = |name: &str| std::fs::read_to_string(files.path(name)).unwrap();
    let told: Value = serde_json::from_str(&read("past.json")).unwrap();
    assert_eq!(removed(&told).iter().sum::<u64>(), 17);
    assert_eq!(serde_saphyr::from_str::<Value>(&read("past.yaml")).unwrap(), told);
    let comment = read("past.md");
    assert!(comment.contains("17 of 32 tags would have gone in 10 of 10 runs"), "{comment}");

    // The documentation has every field, and every kind of note.
    let page = std::fs::read_to_string(path("docs/plan.md")).unwrap();
    let shapes = [&told, &told["totals"], &told["runs"][0], &told["rules"][0], &told["repositories"][0]];
    let keys = shapes.iter().flat_map(|shape| shape.as_object().unwrap().keys().map(String::as_str));
    for word in keys.chain(BacktestNote::ALL.iter().map(|kind| kind.as_str())) {
        assert!(page.contains(&format!("`{word}`")), "{word}");
    }
    nothing_was_changed(&world);
}

#[rstest]
#[case::html(&["--backtest", "10d", "-o", "html"], "--backtest is printed as table, json, yaml or markdown")]
#[case::terraform(&["--backtest", "10d", "--save", "terraform-report=a.json"], "--backtest is printed as table")]
#[case::no_age(&["--backtest", "90"], "is no age")]
#[case::longer_than_a_year(&["--backtest", "2y"], "--backtest plays a year at most")]
#[case::two_pasts(&["--backtest", "10d", "--as-of", "2026-11-22T03:17:00Z"], "cannot be used with")]
#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused(#[case] arguments: &[&str], #[case] words: &str) {
    let world = world().await;
    let files = Files::new(&world, &world.policy("shop", &spec(&json!({}))));
    let ended = end(files.plan(arguments));
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{}", ended.err);
    assert!(ended.err.contains(words), "{}", ended.err);
    assert!(world.sim.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_deletion_has_no_past() {
    let world = world().await;
    let files = Files::new(&world, &world.policy("shop", &spec(&json!({"method": "Bulk"}))));
    let ended = end(files.plan(&["--backtest", "10d"]));
    assert!(ended.err.contains("--backtest needs a policy of method: Exact"), "{}", ended.err);
    assert_eq!(ended.code, Some(1));
}
