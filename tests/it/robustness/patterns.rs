//! Policies that any namespace may make, and that the API server lets in, stop no other one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use registry_cleanup_operator::api::conditions;
use serde_json::{Map, Value, json};

use crate::world::{Operator, World};

fn rules(pattern: &str) -> Value {
    json!({"rules": [{"name": "r", "nameRegexDelete": pattern, "keepN": 1}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_takes_too_much_stalls_its_policy_and_no_other() {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30)]);
    for number in 1..=2 {
        let pattern = format!(r"\p{{L}}{{22}}|u{number}");
        world.apply(&world.policy(&format!("large-{number}"), &rules(&pattern))).await.unwrap();
    }
    let many: Vec<Value> = (0..9)
        .map(|n| {
            let (delete, keep) = (format!(r"[\w.-]{{1,200}}x{n}"), format!(r"[\w.-]{{1,200}}y{n}"));
            json!({"name": format!("r{n}"), "nameRegexDelete": delete, "nameRegexKeep": keep, "keepN": 1})
        })
        .collect();
    world.apply(&world.policy("many", &json!({"method": "Exact", "rules": many}))).await.unwrap();
    world.apply(&world.policy("ordinary", &rules(r"[\w.-]{0,127}"))).await.unwrap();
    let operator = Operator::start(&world).await;
    for (name, words) in [
        (
            "large-1",
            r#"rules[r].nameRegexDelete "\\p{L}{22}|u1" takes more than 64 KiB of memory as compiled: repeat less"#,
        ),
        (
            "large-2",
            r#"rules[r].nameRegexDelete "\\p{L}{22}|u2" takes more than 64 KiB of memory as compiled: repeat less"#,
        ),
        ("many", "brings the patterns of this policy above 256 KiB of memory as compiled; the largest is rules[r0]"),
    ] {
        let status = world.until(name, |status| conditions::is_true(&status.conditions, "Stalled")).await;
        assert_eq!(World::condition(&status, "Stalled"), "True/InvalidPattern");
        let message = &conditions::find(&status.conditions, "Stalled").unwrap().message;
        assert!(message.contains(words), "{message}");
    }
    world.ready("ordinary").await;
    operator.stop().await;
}

/// Annotations of others and what is recorded of them are not even read; those that ask for something are.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_under_thousands_of_annotations_of_others_is_run_when_it_is_asked_to() {
    let world = World::start().await;
    let repository = world.repository("shop/backend/api", &[("old", 30), ("new", 1)]);
    let many: Map<String, Value> = (0..10_000).map(|n| (format!("a{n:04}"), json!("x"))).collect();
    let mut policy = world.policy("loaded", &json!({"protect": {"inUse": "Disabled"}}));
    policy["metadata"]["annotations"] = Value::Object(many);
    let policy: registry_cleanup_operator::api::RegistryCleanupPolicy = serde_json::from_value(policy).unwrap();
    world.policies().create(&PostParams::default(), &policy).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("loaded").await;
    world.run("loaded", "first").await;
    assert_eq!(world.tags(repository), ["new"]);
    // What others wrote is still theirs.
    let labels = json!({"metadata": {"labels": {"team": "shop"}}});
    world.policies().patch("loaded", &PatchParams::default(), &Patch::Merge(&labels)).await.unwrap();
    world.preview("loaded", "second").await;
    let metadata: ObjectMeta = world.policies().get("loaded").await.unwrap().metadata;
    assert_eq!(metadata.annotations.unwrap().len(), 10_002);
    assert_eq!(metadata.labels.unwrap().len(), 1);
    operator.stop().await;
}
