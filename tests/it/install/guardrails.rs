//! The guard rails for platform teams, on a real API server: what they let through, and what each refuses.

use control_plane::Cluster;

use super::{Own, eventually, files_in};
use crate::world::{established, kubectl, path, try_kubectl};

const SAMPLES: &str = "deploy/guardrails/samples";
const LABEL: &str = "registrycleanup.dev/may-delete=true";

fn sample(name: &str) -> String {
    path(&format!("{SAMPLES}/{name}.yaml"))
}

/// Creates a sample in a namespace without keeping it.
fn try_create(cluster: &Cluster, namespace: &str, file: &str) -> (bool, String) {
    try_kubectl(cluster, &["create", "--dry-run=server", "--namespace", namespace, "--filename", file])
}

/// A cluster with two namespaces, of which one lets its policies remove.
fn cluster() -> Own {
    let own = Own::take();
    kubectl(&own, &["apply", "--server-side", "--filename", &path("deploy/crds.yaml")]);
    established(&own, &["crd", "--all"]);
    for namespace in ["registry-cleanup", "team-a", "team-b"] {
        kubectl(&own, &["create", "namespace", namespace]);
    }
    kubectl(&own, &["label", "namespace", "team-a", LABEL]);
    own
}

/// Each sample that is refused, where, and by which guard rail.
const REFUSED: [(&str, &str, &str); 6] = [
    ("approved-groups", "team-a", "registry-cleanup-approved-groups"),
    ("approved-hosts", "team-a", "registry-cleanup-approved-groups"),
    ("delete-in-labelled-namespaces", "team-b", "registry-cleanup-delete-in-labelled-namespaces"),
    ("least-kept", "team-a", "registry-cleanup-least-kept"),
    ("limits-required", "team-a", "registry-cleanup-limits-required"),
    ("protect-required", "team-a", "registry-cleanup-protect-required"),
];

#[test]
fn each_guard_rail_refuses_its_sample_and_all_let_the_good_one_through() {
    let own = cluster();
    kubectl(&own, &["apply", "--server-side", "--validate=strict", "--kustomize", &path("deploy/guardrails")]);
    // Bindings reach the API server by a watch, so that they are waited for, each by what it refuses.
    for (name, namespace, _) in REFUSED {
        eventually(name, || !try_create(&own, namespace, &sample(name)).0);
    }
    for (name, namespace, by) in REFUSED {
        let (created, text) = try_create(&own, namespace, &sample(name));
        assert!(!created && text.contains("Forbidden"), "{name}: {text}");
        let refusals = text.matches("ValidatingAdmissionPolicy '").count();
        assert!(refusals == 1 && text.contains(&format!("'{by}' with binding")), "{name}: {text}");
    }
    for (name, namespace) in [("accepted", "team-a"), ("dry-run", "team-a"), ("dry-run", "team-b")] {
        let (created, text) = try_create(&own, namespace, &sample(name));
        assert!(created, "{name} in {namespace}: {text}");
    }
    // Without the list of what is approved, nothing is.
    kubectl(&own, &["delete", "--filename", &path("deploy/guardrails/approved.yaml")]);
    eventually("the list is missed", || !try_create(&own, "team-a", &sample("accepted")).0);
    let (_, text) = try_create(&own, "team-a", &sample("accepted"));
    assert!(text.contains("'registry-cleanup-approved-groups' with binding"), "{text}");
}

#[test]
fn every_sample_is_tried() {
    let known: Vec<_> =
        REFUSED.map(|(name, ..)| sample(name)).into_iter().chain([sample("accepted"), sample("dry-run")]).collect();
    for file in files_in(&path(SAMPLES)) {
        assert!(known.contains(&file), "{file} is not tried");
    }
}

#[test]
fn a_policy_from_before_the_guard_rails_can_be_annotated_and_its_spec_is_judged_when_it_changes() {
    let own = cluster();
    kubectl(&own, &["create", "--namespace", "team-a", "--filename", &sample("limits-required")]);
    let guard = path("deploy/guardrails/limits-required.yaml");
    kubectl(&own, &["apply", "--server-side", "--filename", &guard]);
    let change = |patch: &str| {
        let patch = ["patch", "rcp", "guarded", "--namespace=team-a", "--type=merge", "--patch", patch];
        try_kubectl(&own, &[&patch[..], &["--dry-run=server"]].concat())
    };
    eventually("the guard rail is there", || !change(r#"{"spec":{"schedule":"18 3 * * *"}}"#).0);
    let (annotated, text) = change(r#"{"metadata":{"annotations":{"registrycleanup.dev/dry-run-requested-at":"1"}}}"#);
    assert!(annotated, "{text}");
    let (mended, text) = change(r#"{"spec":{"limits":{"maxTagsPerRun":10,"maxPercentPerRepository":50}}}"#);
    assert!(mended, "{text}");
}
