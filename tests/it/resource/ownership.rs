//! Who writes what: users the spec, the operator the status and nothing else.

use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, ResourceExt};
use registry_cleanup_operator::api::{Mode, RegistryCleanupPolicy};
use serde_json::{Value, json};

use super::{ready, shop};
use crate::world::{World, try_kubectl};

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_nobody_has_looked_at_is_not_taken_for_a_ready_one() {
    let world = World::start().await;
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let status = world.kubectl(&["get", "rcp", "shop", "--output", "jsonpath={.status}"]);
    assert_eq!(status, r#"{"observedGeneration":-1}"#);
    let arguments = ["wait", "--namespace", &world.namespace, "--for=condition=Ready", "rcp/shop", "--timeout=0s"];
    let (ready, text) = try_kubectl(world.cluster, &arguments);
    assert!(!ready, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_written_with_the_spec_is_ignored() {
    let world = World::start().await;
    let kind = ApiResource::erase::<RegistryCleanupPolicy>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(world.kube.clone(), &world.namespace, &kind);
    let ready = json!([{"type": "Ready", "status": "True", "reason": "Scheduled", "message": "",
        "lastTransitionTime": "2026-11-22T12:00:00Z"}]);
    let mut policy = world.policy("shop", &json!({}));
    policy["status"] = json!({"observedGeneration": 1, "conditions": ready});
    let created: DynamicObject = serde_json::from_value(policy.clone()).unwrap();
    let created = api.create(&PostParams::default(), &created).await.unwrap();
    assert_eq!(created.data["status"], json!({"observedGeneration": -1}));

    let merged = api.patch("shop", &PatchParams::default(), &Patch::Merge(&policy)).await.unwrap();
    assert_eq!(merged.data["status"], json!({"observedGeneration": -1}));
    let applied = api.patch("shop", &PatchParams::apply("test").force(), &Patch::Apply(&policy)).await.unwrap();
    assert_eq!(applied.data["status"], json!({"observedGeneration": -1}));
    assert_eq!(applied.metadata.generation, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_is_written_with_the_status_is_ignored() {
    let world = World::start().await;
    world.apply(&world.policy("shop", &json!({"mode": "DryRun"}))).await.unwrap();
    let patch = json!({
        "metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}},
        "spec": {"mode": "Delete", "suspend": true},
        "status": {"observedGeneration": 1},
    });
    world.policies().patch_status("shop", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let policy = shop(&world).await;
    assert_eq!((policy.spec.mode, policy.spec.suspend), (Mode::DryRun, false));
    assert!(policy.labels().is_empty() && policy.annotations().is_empty());
    assert_eq!((policy.metadata.generation, policy.status.unwrap().observed_generation), (Some(1), Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_owns_the_status_and_nothing_else_and_the_user_owns_the_rest() {
    let (world, operator, _) = ready(&json!({})).await;
    world.run("shop", "one").await;
    world.apply(&world.policy("shop", &json!({"suspend": true}))).await.unwrap();
    world.until("shop", |status| World::condition(status, "Ready") == "True/Suspended").await;
    operator.stop().await;

    let mut owners: Vec<(String, String, String, Vec<String>)> = shop(&world)
        .await
        .metadata
        .managed_fields
        .unwrap()
        .into_iter()
        .map(|entry| {
            let fields = entry.fields_v1.unwrap().0;
            let fields = fields.as_object().unwrap().keys().cloned().collect();
            (
                entry.manager.unwrap_or_default(),
                entry.operation.unwrap_or_default(),
                entry.subresource.unwrap_or_default(),
                fields,
            )
        })
        .collect();
    owners.sort();
    let owner = |manager: &str, operation: &str, subresource: &str, field: &str| {
        (manager.to_owned(), operation.to_owned(), subresource.to_owned(), vec![field.to_owned()])
    };
    // The annotation that asked for a run was written by a patch without a name of its own.
    let annotated = owners.iter().position(|(_, operation, _, _)| operation == "Update").unwrap();
    let (_, _, subresource, fields) = owners.remove(annotated);
    assert_eq!((subresource, fields), (String::new(), vec!["f:metadata".to_owned()]));
    assert_eq!(
        owners,
        [owner("registry-cleanup-operator", "Apply", "status", "f:status"), owner("test", "Apply", "", "f:spec")]
    );

    // So nobody ever has to force anything.
    let policy = world.policy("shop", &json!({"suspend": false, "mode": "DryRun"}));
    world.policies().patch("shop", &PatchParams::apply("test"), &Patch::Apply(&policy)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spec_stays_as_it_was_typed() {
    let (world, operator, _) = ready(&json!({"schedule": "05  4 * *   1-5", "timeZone": "europe/berlin"})).await;
    let before: Value = serde_json::to_value(&shop(&world).await.spec).unwrap();
    world.run("shop", "one").await;
    operator.stop().await;
    let after = shop(&world).await;
    assert_eq!(serde_json::to_value(&after.spec).unwrap(), before);
    assert_eq!(after.metadata.generation, Some(1));
    assert_eq!(after.spec.schedule, "05  4 * *   1-5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_policy_is_gone_at_once_and_leaves_nothing_behind() {
    let (world, operator, api) = ready(&json!({})).await;
    world.run("shop", "one").await;
    assert_eq!(shop(&world).await.finalizers(), [] as [String; 0]);
    operator.stop().await;
    world.policies().delete("shop", &DeleteParams::default()).await.unwrap();
    assert!(world.policies().get_opt("shop").await.unwrap().is_none(), "no operator is needed to delete a policy");

    let left: Vec<String> = ["configmaps", "secrets", "leases", "jobs", "pods", "serviceaccounts"]
        .into_iter()
        .flat_map(|kind| {
            let names = world.kubectl(&["get", kind, "--output", "name"]);
            names.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .filter(|name| !["configmap/kube-root-ca.crt", "serviceaccount/default"].contains(&name.as_str()))
        .collect();
    assert_eq!(left, ["secret/ca", "secret/token"], "only what the test itself made");

    // A policy of the same name begins with a clean slate, and creating it removes nothing.
    world.repository("shop/backend/api", &[("v3", 30)]);
    let operator = crate::world::Operator::start(&world).await;
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let status = world.ready("shop").await;
    assert_eq!((status.history.len(), status.last_run, status.last_handled_run_at), (0, None, None));
    assert_eq!(world.tags(api), ["main", "v3"]);
    operator.stop().await;
    assert_eq!(world.policies().list(&ListParams::default()).await.unwrap().items.len(), 1);
}
