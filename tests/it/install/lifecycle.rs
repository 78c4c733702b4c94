//! Install, upgrade and uninstall, with the definition: in a cluster of their own.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use control_plane::Cluster;

use super::{CHART, DEFINITION, NAME, Own, copy, folders_in, values_files};
use crate::world::{established, kubectl, output, path, try_kubectl};

/// Runs helm in the namespace of the operator and answers what it printed.
fn helm(cluster: &Cluster, arguments: &[&str]) -> String {
    let (ok, text) = try_helm(cluster, arguments);
    assert!(ok, "helm {arguments:?}: {text}");
    text
}

fn try_helm(cluster: &Cluster, arguments: &[&str]) -> (bool, String) {
    output(cluster.helm().unwrap().args(arguments).arg("--namespace=registry-cleanup"))
}

fn install(cluster: &Cluster, more: &[&str]) -> String {
    helm(cluster, &[&["install", NAME, &path(CHART), "--create-namespace"], more].concat())
}

/// A policy of a team, as a user applies it.
fn apply_policy(cluster: &Cluster) {
    established(cluster, &[&format!("crd/{DEFINITION}")]);
    kubectl(cluster, &["create", "namespace", "team-shop"]);
    let example = path("deploy/examples/project.yaml");
    kubectl(cluster, &["apply", "--server-side", "-n=team-shop", "-f", &example]);
}

fn policy(cluster: &Cluster) -> String {
    kubectl(cluster, &["get", "rcp", "-n=team-shop", "-o=name"])
}

fn wait_for_the_pod(cluster: &Cluster) {
    let label = "-l=app.kubernetes.io/name=registry-cleanup-operator";
    kubectl(cluster, &["wait", "--for=create", "pod", label, "-n=registry-cleanup", "--timeout=60s"]);
}

const POLICY: &str = "registrycleanuppolicy.registrycleanup.dev/backend\n";

#[test]
fn an_uninstall_leaves_the_definition_and_the_policies_and_nothing_hangs() {
    let own = Own::take();
    let notes = install(&own, &[]);
    assert!(notes.contains("kubectl create secret generic gitlab-token"), "{notes}");
    apply_policy(&own);
    wait_for_the_pod(&own);

    let kept = helm(&own, &["uninstall", NAME, "--wait", "--timeout=60s"]);
    assert!(kept.contains(DEFINITION), "{kept}");
    assert_eq!(policy(&own), POLICY);
    let left = kubectl(&own, &["get", "deployment,serviceaccount,role,rolebinding", "-n=registry-cleanup", "-o=name"]);
    assert_eq!(left, "serviceaccount/default\n");
    let label = "-l=app.kubernetes.io/name=registry-cleanup-operator";
    assert_eq!(kubectl(&own, &["get", "clusterrole,clusterrolebinding", label, "-o=name"]), "");

    // The same release takes over what it left.
    install(&own, &[]);
    assert_eq!(policy(&own), POLICY);
    helm(&own, &["uninstall", NAME]);

    // No operator runs any more, so anything that waited for one would hang here.
    let start = Instant::now();
    kubectl(&own, &["delete", "namespace", "team-shop", "registry-cleanup", "--timeout=60s"]);
    kubectl(&own, &["delete", "crd", DEFINITION, "--timeout=60s"]);
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn an_uninstall_removes_the_definition_if_it_is_not_to_be_kept() {
    let own = Own::take();
    install(&own, &["--set=crds.keep=false"]);
    apply_policy(&own);
    helm(&own, &["uninstall", NAME, "--wait", "--timeout=60s"]);
    let (found, text) = try_kubectl(&own, &["get", "crd", DEFINITION]);
    assert!(!found, "{text}");
}

#[test]
fn an_upgrade_brings_the_new_definition_and_keeps_the_policies() {
    let own = Own::take();
    // An older chart, whose definition has another column.
    let older = tempfile::tempdir().unwrap();
    copy(Path::new(&path(CHART)), older.path());
    let file = older.path().join("files/registrycleanuppolicies.yaml");
    let definition = fs::read_to_string(&file).unwrap().replace("name: Schedule\n", "name: Cron\n");
    fs::write(file, definition).unwrap();
    let columns = ["get", "crd", DEFINITION, "-o=jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}"];

    helm(&own, &["install", NAME, older.path().to_str().unwrap(), "--create-namespace"]);
    assert!(kubectl(&own, &columns).starts_with("Cron Mode"));
    apply_policy(&own);
    helm(&own, &["upgrade", NAME, &path(CHART), "--set=log.format=text"]);
    assert!(kubectl(&own, &columns).starts_with("Schedule Mode"));
    assert_eq!(policy(&own), POLICY);
    let arguments = ["get", "deployment", NAME, "-n=registry-cleanup", "-o=jsonpath={..args}"];
    assert!(kubectl(&own, &arguments).contains("--log-format=text"));

    helm(&own, &["rollback", NAME]);
    assert!(kubectl(&own, &columns).starts_with("Cron Mode"));
    assert_eq!(policy(&own), POLICY);
}

#[test]
fn the_api_server_takes_every_values_file_in_a_dry_run_and_for_real() {
    let own = Own::take();
    for namespace in ["registry-cleanup", "registry-cleanup-system", "team-a", "team-b"] {
        kubectl(&own, &["create", "namespace", namespace]);
    }
    for values in values_files() {
        let arguments = ["install", NAME, &path(CHART), "--values", &values];
        let text = helm(&own, &[&arguments[..], &["--dry-run=server"]].concat());
        assert!(text.contains("STATUS: pending-install"), "{values}: {text}");
        let text = helm(&own, &arguments);
        assert!(text.contains("STATUS: deployed"), "{values}: {text}");
        helm(&own, &["uninstall", NAME, "--wait", "--timeout=60s"]);
    }
    assert_eq!(helm(&own, &["list", "--short"]), "");
}

#[test]
fn a_definition_that_kubectl_installed_can_be_taken_over() {
    let own = Own::take();
    kubectl(&own, &["apply", "--server-side", "-f", &path("crds")]);
    let (ok, text) = try_helm(&own, &["install", NAME, &path(CHART), "--create-namespace"]);
    assert!(!ok && text.contains("ownership"), "{text}");
    install(&own, &["--take-ownership"]);
    apply_policy(&own);
    assert_eq!(policy(&own), POLICY);
}

/// Applies the two manifests for kubectl, with what else is said.
fn apply_manifests(cluster: &Cluster, more: &[&str]) -> String {
    let files = ["crds.yaml", "operator.yaml"].map(|name| path(&format!("deploy/{name}")));
    kubectl(cluster, &[&["apply", "--validate=strict", "-f", &files[0], "-f", &files[1]], more].concat())
}

#[test]
fn the_manifests_for_kubectl_apply_on_the_client_and_on_the_server() {
    let own = Own::take();
    apply_manifests(&own, &[]);
    // Nothing in them is written in another way than the server stores it, or tools would see a difference for ever.
    let again = apply_manifests(&own, &[]);
    // kubectl replaces the selector of a PodDisruptionBudget each time, and calls that a change.
    let mut lines = again.lines().filter(|line| !line.starts_with("poddisruptionbudget"));
    assert!(lines.all(|line| line.ends_with(" unchanged")), "{again}");
    // And the one way does not conflict with the other.
    apply_manifests(&own, &["--server-side"]);
    apply_manifests(&own, &[]);
    apply_policy(&own);
    wait_for_the_pod(&own);
    let enforced = [
        "get",
        "namespace",
        "registry-cleanup",
        "-o=jsonpath={.metadata.labels.pod-security\\.kubernetes\\.io/enforce}",
    ];
    assert_eq!(kubectl(&own, &enforced), "restricted");
}

#[test]
fn whoever_deletes_the_manifest_of_the_operator_keeps_the_policies() {
    let own = Own::take();
    apply_manifests(&own, &["--server-side"]);
    apply_policy(&own);
    wait_for_the_pod(&own);
    let stored = ["get", "rcp/backend", "-n=team-shop", "-o=jsonpath={.metadata.uid} {.metadata.generation}"];
    let before = kubectl(&own, &stored);

    let operator = path("deploy/operator.yaml");
    kubectl(&own, &["delete", "-f", &operator, "--timeout=60s"]);
    assert!(!try_kubectl(&own, &["get", "namespace", "registry-cleanup"]).0);
    let label = "-l=app.kubernetes.io/name=registry-cleanup-operator";
    assert_eq!(kubectl(&own, &["get", "clusterrole,clusterrolebinding", label, "-o=name"]), "");
    assert_eq!(kubectl(&own, &stored), before);

    // It comes back to the policies that it left.
    kubectl(&own, &["apply", "--server-side", "-f", &operator]);
    wait_for_the_pod(&own);
    assert_eq!(kubectl(&own, &stored), before);
}

#[test]
fn the_kustomize_base_applies_and_an_overlay_changes_the_image() {
    let own = Own::take();
    let file = path("deploy/crds.yaml");
    kubectl(&own, &["apply", "--server-side", "--validate=strict", "-f", &file]);
    kubectl(&own, &["apply", "--server-side", "--validate=strict", "-k", &path("deploy/base")]);
    let image = ["get", "deployment", NAME, "-n=registry-cleanup", "-o=jsonpath={..image}"];
    assert!(kubectl(&own, &image).starts_with("ghcr.io/registry-cleanup/registry-cleanup-operator:"));

    kubectl(&own, &["apply", "--server-side", "--validate=strict", "-k", &path("deploy/overlays/private-registry")]);
    assert!(kubectl(&own, &image).starts_with("registry.example.com/mirror/registry-cleanup-operator:"));
    let secrets = ["get", "deployment", NAME, "-n=registry-cleanup", "-o=jsonpath={..imagePullSecrets[*].name}"];
    assert_eq!(kubectl(&own, &secrets), "mirror-credentials");
    apply_policy(&own);
    assert_eq!(policy(&own), POLICY);

    kubectl(&own, &["delete", "-k", &path("deploy/overlays/private-registry"), "--timeout=60s"]);
    assert_eq!(policy(&own), POLICY);
}

#[test]
fn the_api_server_takes_every_overlay_and_the_namespaced_one_has_rights_in_its_namespace_only() {
    let own = Own::take();
    kubectl(&own, &["apply", "--server-side", "--filename", &path("deploy/crds.yaml")]);
    for namespace in ["registry-cleanup", "team-shop"] {
        kubectl(&own, &["create", "namespace", namespace]);
    }
    let overlays = folders_in(&path("deploy/overlays"));
    assert!(overlays.len() >= 5, "{overlays:?}");
    for overlay in &overlays {
        kubectl(&own, &["apply", "--server-side", "--validate=strict", "--dry-run=server", "--kustomize", overlay]);
    }

    kubectl(&own, &["apply", "--server-side", "--kustomize", &path("deploy/overlays/namespaced")]);
    let may = |verb: &str, kind: &str, namespace: &str| {
        let account = "--as=system:serviceaccount:registry-cleanup:registry-cleanup-operator";
        try_kubectl(&own, &["auth", "can-i", verb, kind, account, "--namespace", namespace]).0
    };
    assert!(may("get", "secrets", "team-shop") && may("list", "registrycleanuppolicies", "team-shop"));
    assert!(!may("get", "secrets", "default") && !may("list", "registrycleanuppolicies", "default"));
    assert!(may("watch", "pods", "default"), "an image counts as in use wherever it runs");
}
