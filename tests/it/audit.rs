//! The audit trail is what was removed: no line too many and none too few.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::robustness;
use crate::world::World;

/// Tags that the lines about a policy say are gone.
fn told(log: &str, policy: &str) -> BTreeSet<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["target"] == "audit" && line["policy"] == policy && line["verdict"] == "Remove")
        .map(|line| line["tag"].as_str().unwrap().to_owned())
        .collect()
}

fn tags(world: &World, repository: u64) -> BTreeSet<String> {
    world.tags(repository).into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_names_exactly_the_tags_that_the_server_no_longer_has() {
    let world = robustness::world_in_real_time().await;
    let policies = [("bulk", "Bulk"), ("exact", "Exact")];
    let rules = json!([{"name": "mr", "nameRegexDelete": "mr-.*", "olderThan": "30d", "keepN": 1}]);
    let mut before = Vec::new();
    for (policy, method) in policies {
        let repository =
            world.repository(&format!("shop/{policy}/app"), &[("mr-1", 90), ("mr-2", 80), ("mr-3", 1), ("v1", 90)]);
        before.push((repository, tags(&world, repository)));
        let target = json!({"projects": [format!("shop/{policy}")]});
        world.apply(&world.policy(policy, &json!({"method": method, "rules": rules, "target": target}))).await.unwrap();
    }
    let mut process = robustness::operator(&world, &[]).await;
    for (policy, _) in policies {
        world.ready(policy).await;
        world.run(policy, "one").await;
    }
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0));
    let log = process.log();
    for ((policy, _), (repository, before)) in policies.into_iter().zip(before) {
        let gone: BTreeSet<String> = before.difference(&tags(&world, repository)).cloned().collect();
        assert_eq!(gone, BTreeSet::from(["mr-1".to_owned(), "mr-2".to_owned()]), "{policy}");
        assert_eq!(told(&log, policy), gone, "{policy}: {log}");
    }
}
