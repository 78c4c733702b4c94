//! The way to the next version of the API, without a webhook: `docs/upgrades.md` tells the steps that are taken here.

use control_plane::Cluster;
use registry_cleanup_operator::api::{RunResult, crd};
use serde_json::{Value, json};

use crate::support::eventually;
use crate::world::{Operator, Setup, World, established, kubectl, own_cluster, path, try_kubectl};

const CRD: &str = "crd/registrycleanuppolicies.registrycleanup.dev";
/// In full: kubectl looks for a version only behind such a name.
const KIND: &str = "registrycleanuppolicies";

/// The definition with a second version of the same schema, and which of them is stored.
fn with_both(stored: &str) -> Value {
    let mut definition = crd::definition().unwrap();
    let versions = definition["spec"]["versions"].as_array_mut().unwrap();
    let mut beta = versions[0].clone();
    beta["name"] = json!("v1beta1");
    versions.push(beta);
    for version in versions {
        version["storage"] = json!(version["name"] == stored);
    }
    definition["spec"]["conversion"] = json!({"strategy": "None"});
    definition
}

async fn install(cluster: &Cluster, definition: &Value) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), definition.to_string()).unwrap();
    kubectl(cluster, &["apply", "--server-side", "--force-conflicts", "--filename", file.path().to_str().unwrap()]);
    established(cluster, &[CRD]);
    eventually("both versions are served", async || {
        let served = |version| try_kubectl(cluster, &["get", &format!("{KIND}.{version}.registrycleanup.dev"), "-A"]).0;
        (served("v1alpha1") && served("v1beta1")).then_some(())
    })
    .await;
}

/// A policy as one version of the API shows it, less the name of the version.
fn shown(world: &World, version: &str) -> Value {
    let kind = format!("{KIND}.{version}.registrycleanup.dev/shop");
    let mut policy: Value = serde_json::from_str(&world.kubectl(&["get", &kind, "--output=json"])).unwrap();
    assert_eq!(policy["apiVersion"], format!("registrycleanup.dev/{version}"));
    policy.as_object_mut().unwrap().remove("apiVersion");
    policy
}

fn stored_versions(cluster: &Cluster) -> String {
    kubectl(cluster, &["get", CRD, "--output=jsonpath={.status.storedVersions[*]}"])
}

#[tokio::test(flavor = "multi_thread")]
async fn two_versions_can_be_served_and_the_other_one_stored_without_a_webhook_and_nothing_runs_for_it() {
    let cluster = own_cluster().await;
    kubectl(cluster, &["apply", "--server-side", "--filename", &path("deploy/base/operator.yaml")]);
    install(cluster, &with_both("v1alpha1")).await;
    let world = World::start_on(cluster, |_| {}).await;
    let repository = world.repository("shop/backend/api", &[("old", 30), ("main", 1)]);
    let account = cluster.service_account_kubeconfig("registry-cleanup", "registry-cleanup-operator").unwrap();
    let operator = Operator::set_up(&world, Setup { kubeconfig: Some(account), ..Setup::of(&world) }).await;

    // Written in the new version, worked on by an operator that reads the old one.
    let mut policy = world.policy("shop", &json!({"method": "Exact"}));
    policy["apiVersion"] = json!("registrycleanup.dev/v1beta1");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), policy.to_string()).unwrap();
    world.kubectl(&["apply", "--server-side", "--validate=strict", "--filename", file.path().to_str().unwrap()]);
    world.ready("shop").await;
    assert_eq!(world.preview("shop", "one").await.last_run.unwrap().result, RunResult::Succeeded);
    let edit = r#"{"spec": {"historyLimit": 3}}"#;
    world.kubectl(&[
        "patch",
        "registrycleanuppolicies.v1beta1.registrycleanup.dev",
        "shop",
        "--type=merge",
        "--patch",
        edit,
    ]);
    let before = world.ready("shop").await;
    assert_eq!(shown(&world, "v1alpha1"), shown(&world, "v1beta1"));

    // From now on the new version is stored, and what was stored is written anew.
    install(cluster, &with_both("v1beta1")).await;
    assert_eq!(stored_versions(cluster), "v1alpha1 v1beta1");
    let object = world.kubectl(&["get", "registrycleanuppolicies.v1beta1.registrycleanup.dev", "--output=json"]);
    std::fs::write(file.path(), &object).unwrap();
    world.kubectl(&["replace", "--filename", file.path().to_str().unwrap()]);
    let only = r#"{"status": {"storedVersions": ["v1beta1"]}}"#;
    kubectl(cluster, &["patch", CRD, "--subresource=status", "--type=merge", "--patch", only]);
    assert_eq!(stored_versions(cluster), "v1beta1");

    let after = world.policies().get("shop").await.unwrap();
    assert_eq!((after.metadata.generation, after.status), (Some(2), Some(before)), "nothing was done for it");
    // The operator still reads the old version, and works.
    let run = world.run("shop", "one").await.last_run.unwrap();
    assert_eq!((run.result, world.tags(repository)), (RunResult::Succeeded, vec!["main".to_owned()]));
    operator.stop().await;

    // And back.
    install(cluster, &with_both("v1alpha1")).await;
    assert_eq!(shown(&world, "v1alpha1"), shown(&world, "v1beta1"));
}
