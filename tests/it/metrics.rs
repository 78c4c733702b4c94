//! What `/metrics` tells of runs, and that nothing is left of a policy that is gone.

use std::collections::BTreeSet;
use std::fs;

use gitlab_simulator::{Action, Fault, Matcher};
use kube::api::DeleteParams;
use registry_cleanup_operator::metrics::Format;
use serde_json::json;

use crate::world::{Operator, World, path};

/// Names of metrics, as they stand in lines that describe them.
fn names(text: &str) -> BTreeSet<String> {
    let described = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    described.map(str::to_owned).collect()
}

async fn after_a_run(world: &World) -> Operator {
    world.repository("shop/backend/api", &[("mr-1", 90), ("mr-2", 60), ("v1", 1)]);
    let rules = json!([{"name": "mr", "nameRegexDelete": "mr-.*", "olderThan": "30d"}]);
    world.apply(&world.policy("shop", &json!({"method": "Exact", "rules": rules}))).await.unwrap();
    let operator = Operator::start(world).await;
    world.ready("shop").await;
    world.sim.fault(Fault::new(Matcher::any().nth(1), Action::TooManyRequests { retry_after: None }));
    world.run("shop", "one").await;
    operator
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_counted_and_a_policy_that_is_gone_takes_its_series_along() {
    let world = World::start().await;
    let operator = after_a_run(&world).await;
    let policy = format!("namespace=\"{}\",policy=\"shop\"", world.namespace);
    let told = operator.until_metrics(|told| told.contains(&format!("tags{{{policy},state=\"matched\"}} 2\n"))).await;
    for line in [
        format!("runs_total{{{policy},mode=\"Delete\",trigger=\"RunRequested\",result=\"Succeeded\"}} 1"),
        format!("run_duration_seconds_count{{{policy}}} 1"),
        format!("tags_requested_total{{{policy}}} 2"),
        format!("policy_ready{{{policy}}} 1"),
        format!("tags_confirmed_total{{{policy}}} 2"),
        "gitlab_throttled_total{host=\"127.0.0.1\",kind=\"http_429\"} 1".to_owned(),
        "invalid_objects 0".to_owned(),
        "paused 0".to_owned(),
    ] {
        assert!(told.contains(&format!("\nregistry_cleanup_{line}\n")), "{line} is not in {told}");
    }
    assert!(told.contains("registry_cleanup_gitlab_requests_total{host=\"127.0.0.1\",operation=\"RemoveTag"), "{told}");
    // A graph leads to the lines of the run in the log; the classic format has no place for that.
    let run = world.policies().get("shop").await.unwrap().status.unwrap().last_run.unwrap().id;
    let exemplar = format!(" # {{run=\"{run}\"}} ");
    assert!(operator.metrics(Format::OpenMetrics).contains(&exemplar) && !told.contains(&run), "{told}");
    assert!(!told.contains("shop/backend/api") && !told.contains("mr-1"), "no label for a repository or tag: {told}");

    world.policies().delete("shop", &DeleteParams::default()).await.unwrap();
    let gone = operator.until_metrics(|told| !told.contains("policy=")).await;
    assert!(gone.contains("registry_cleanup_reconcile_total"), "{gone}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented_and_has_its_type() {
    let world = World::start().await;
    let operator = after_a_run(&world).await;
    // What the status of the run says is seen a moment later.
    let text = operator.until_metrics(|told| told.contains("last_success_timestamp_seconds{")).await;
    // For promtool, which judges the names: `make checklist`.
    fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/metrics.txt"), &text).unwrap();
    let told = names(&text);
    let page = fs::read_to_string(path("docs/monitoring.md")).unwrap();
    let documented: BTreeSet<String> = page
        .split('`')
        .filter(|word| word.starts_with("registry_cleanup_") && !word.contains(['{', ' ']))
        .map(str::to_owned)
        .collect();
    assert_eq!(told.difference(&documented).collect::<Vec<_>>(), Vec::<&String>::new(), "not documented");
    let source = [
        "src/policy/metrics.rs",
        "src/controller/counts.rs",
        "src/controller/metrics.rs",
        "src/gitlab/metrics.rs",
        "src/notifications/notifier.rs",
    ]
    .map(|file| fs::read_to_string(path(file)).unwrap())
    .concat();
    for name in &documented {
        let plain = name.trim_start_matches("registry_cleanup_").trim_end_matches("_total");
        assert!(source.contains(&format!("\"{plain}\"")), "{name} is documented and not there");
    }
    operator.stop().await;
}
