//! From each chart that was published to the one of today, and back: what users made stays as it is.
//!
//! `HELM` names another helm than that of the tests: hack/test-upgrades.sh takes one of version 3.

use std::env;
use std::process::Command;

use control_plane::Cluster;
use registry_cleanup_operator::api::crd;
use serde_json::Value;

use super::{CHART, DEFINITION, NAME, Own, files_in};
use crate::world::{established, kubectl, output, path, try_kubectl};

fn helm(cluster: &Cluster, arguments: &[&str]) -> String {
    let usual = cluster.helm().unwrap();
    let mut helm = match env::var_os("HELM") {
        None => usual,
        Some(program) => {
            let mut other = Command::new(program);
            other.env_clear();
            let set = usual.get_envs().filter_map(|(name, value)| Some((name, value?)));
            other.envs(set.collect::<Vec<_>>());
            other
        }
    };
    let (ok, text) = output(helm.args(arguments).arg("--namespace=registry-cleanup"));
    assert!(ok, "helm {arguments:?}: {text}");
    text
}

/// What an upgrade must not touch: the policy with its uid and generation, the account with its uid, which tokens and
/// bindings name, and the selector of the Deployment, which Kubernetes lets nobody change.
fn what_stays(cluster: &Cluster) -> Vec<String> {
    let told = |what: &[&str], fields: &str| {
        kubectl(cluster, &[&["get"], what, &[&format!("--output=jsonpath={fields}")]].concat())
    };
    vec![
        told(&["rcp", "backend", "--namespace=team-shop"], "{.metadata.uid} {.metadata.generation} {.spec}"),
        told(&["serviceaccount", NAME, "--namespace=registry-cleanup"], "{.metadata.uid}"),
        told(&["deployment", NAME, "--namespace=registry-cleanup"], "{.metadata.uid} {.spec.selector}"),
        told(&["crd", DEFINITION], "{.metadata.uid}"),
    ]
}

fn schema(cluster: &Cluster) -> Value {
    let field = "--output=jsonpath={.spec.versions[0].schema.openAPIV3Schema}";
    serde_json::from_str(&kubectl(cluster, &["get", "crd", DEFINITION, field])).unwrap()
}

fn strategy(cluster: &Cluster) -> String {
    let field = "--output=jsonpath={.spec.strategy.type}";
    kubectl(cluster, &["get", "deployment", NAME, "--namespace=registry-cleanup", field])
}

#[test]
fn an_upgrade_from_each_published_chart_keeps_policies_account_and_selector_and_can_be_rolled_back() {
    let charts = files_in(&path("charts/released"));
    assert!(charts.len() >= 2, "{charts:?}");
    let today = crd::definition().unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    for chart in charts {
        let own = Own::take();
        helm(&own, &["install", NAME, &chart, "--create-namespace", "--set=log.format=text"]);
        established(&own, &[&format!("crd/{DEFINITION}")]);
        kubectl(&own, &["create", "namespace", "team-shop"]);
        let policy = path("deploy/examples/project.yaml");
        kubectl(&own, &["apply", "--server-side", "--namespace=team-shop", "--filename", &policy]);
        let (before, strategy_before, schema_before) = (what_stays(&own), strategy(&own), schema(&own));

        helm(&own, &["upgrade", NAME, &path(CHART), "--reset-then-reuse-values"]);
        assert_eq!(what_stays(&own), before, "{chart}");
        assert_eq!(schema(&own), today, "{chart}");
        assert_eq!(strategy(&own), "Recreate", "{chart}: no operator from before works beside one of today");
        let arguments = ["get", "deployment", NAME, "--namespace=registry-cleanup", "--output=jsonpath={..args}"];
        assert!(kubectl(&own, &arguments).contains("--log-format=text"), "{chart}: what was set is set");
        let account = "--as=system:serviceaccount:registry-cleanup:registry-cleanup-operator";
        let lease = ["auth", "can-i", "create", "leases", account, "--namespace=registry-cleanup"];
        assert!(try_kubectl(&own, &lease).0, "{chart}: the new operator may lead");

        helm(&own, &["rollback", NAME, "1"]);
        assert_eq!(what_stays(&own), before, "{chart}");
        assert_eq!((strategy(&own), schema(&own)), (strategy_before, schema_before), "{chart}");

        helm(&own, &["upgrade", NAME, &path(CHART), "--reset-then-reuse-values"]);
        assert_eq!((what_stays(&own), schema(&own)), (before, today.clone()), "{chart}: once more");
        drop(own);
    }
}
