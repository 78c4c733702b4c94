//! What was stored while the definition in the cluster had no validations: the operator judges it by its own.

use kube::Api;
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::core::ApiResource;
use registry_cleanup_operator::api::{RUN_REQUESTED_AT, RegistryCleanupPolicy, crd};
use serde_json::{Value, json};

use super::clusters::{account, wait_for_definition, world_on};
use super::process::Process;
use crate::world::{World, install, own_cluster};

const SENTENCE: &str = "spec.rules[0]: this rule would remove every tag: set nameRegexKeep, olderThan or a keepN of at least 1, or \
                        narrow nameRegexDelete down";

/// The definition less every rule in CEL, as an older one, or a tool that cannot read them, leaves it.
fn definition_without_rules() -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(object) => {
                object.remove("x-kubernetes-validations");
                object.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut definition = crd::definition().unwrap();
    strip(&mut definition);
    definition
}

fn everything(world: &World, method: &str) -> Value {
    let rules = json!([{"name": "all", "nameRegexDelete": ".*", "keepN": 0}]);
    world.policy(&method.to_lowercase(), &json!({"method": method, "protect": {"inUse": "Disabled"}, "rules": rules}))
}

/// Case 48 of the field: the rule takes everything, and was stored before anything refused it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_removes_everything_and_was_stored_before_it_was_refused_does_not_run() {
    let cluster = own_cluster().await;
    install(cluster, &[]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), definition_without_rules().to_string()).unwrap();
    crate::world::kubectl(cluster, &["replace", "--filename", file.path().to_str().unwrap()]);
    wait_for_definition(cluster);
    let (world, repository) = world_on(cluster).await;
    let kind = ApiResource::erase::<RegistryCleanupPolicy>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(world.kube.clone(), "default", &kind);
    for method in ["Bulk", "Exact"] {
        let policy = serde_json::from_value(everything(&world, method)).unwrap();
        // Until the API server serves the definition that lets it in.
        crate::support::eventually("the policy is taken", async || {
            api.create(&PostParams::default(), &policy).await.ok()
        })
        .await;
    }
    let mut process = Process::start(&account(cluster), &[]);
    for name in ["bulk", "exact"] {
        let stalled = |status: &_| World::condition(status, "Stalled") == "True/InvalidSpec";
        let status = world.until(name, stalled).await;
        assert_eq!(World::condition(&status, "Ready"), "False/InvalidSpec");
        let condition = status.conditions.iter().find(|condition| condition.type_ == "Stalled").unwrap();
        assert_eq!(condition.message, SENTENCE);
        world.annotate(name, RUN_REQUESTED_AT, "one").await;
    }
    // A third one that is sound runs after those were asked to: by then they would have run as well.
    let rules = json!([{"name": "versions", "nameRegexDelete": "v.*", "olderThan": "7d"}]);
    world.apply(&world.policy("sound", &json!({"rules": rules, "mode": "DryRun"}))).await.unwrap();
    world.ready("sound").await;
    world.run("sound", "one").await;
    for policy in world.policies().list(&ListParams::default()).await.unwrap().items {
        let status = policy.status.unwrap();
        assert_eq!(status.last_run.is_some(), policy.metadata.name.as_deref() == Some("sound"), "{status:#?}");
    }
    assert_eq!(world.tags(repository), ["main", "v1"]);
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0), "{}", process.log());
}
