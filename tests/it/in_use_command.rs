//! `registry-cleanup-operator in-use`: the real binary, asked what the real API server's cluster uses.

use std::path::Path;
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use registry_cleanup_operator::policy::in_use::list::List;
use serde_json::{Value, json};

use crate::world::{World, output, service_account_kubeconfig};

fn in_use(kubeconfig: &Path, arguments: &[&str]) -> (bool, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
    output(program.env("KUBECONFIG", kubeconfig).arg("in-use").args(arguments))
}

/// A world with a Deployment that uses an image of a registry of its own.
async fn world_with(image: &str) -> World {
    let world = World::start().await;
    world.kubectl(&["create", "deployment", "web", &format!("--image={image}"), "--replicas=0"]);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_names_the_images_of_the_registry_with_their_users_and_can_be_read_again() {
    let world = world_with("command.example.com:5050/shop/web:v1").await;
    world.kubectl(&["create", "deployment", "mirrored", "--image=command-mirror.example/shop/api:v2", "--replicas=0"]);
    world.kubectl(&["create", "deployment", "other", "--image=command-other.example/shop/api:v3", "--replicas=0"]);
    let kubeconfig = service_account_kubeconfig().await;
    let registry = "--registry=command.example.com:5050";
    let (ok, text) = in_use(&kubeconfig, &[registry, "--registry-alias=command-mirror.example", "-o=json"]);
    assert!(ok, "{text}");
    let list: Value = serde_json::from_str(&text).unwrap();
    let images: Vec<&str> =
        list["images"].as_array().unwrap().iter().map(|image| image["image"].as_str().unwrap()).collect();
    assert_eq!(images, ["command.example.com:5050/shop/api:v2", "command.example.com:5050/shop/web:v1"]);
    let user = json!(format!("{}/Deployment/web", world.namespace));
    assert!(list["images"][1]["usedBy"].as_array().unwrap().contains(&user), "{list}");
    let now = Timestamp::now();
    let read = List::read(&text, now, SignedDuration::from_mins(5)).unwrap();
    assert!(read.is_about("command.example.com:5050/shop/web"));

    let (ok, table) = in_use(&kubeconfig, &[registry]);
    assert!(ok && table.starts_with("IMAGE"), "{table}");
    assert!(table.contains(&format!("{}/Deployment/web", world.namespace)), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_seen_completely_is_not_printed_at_all() {
    let world = world_with("command.example.org/shop/web:v1").await;
    world.kubectl(&["create", "serviceaccount", "nobody"]);
    let kubeconfig = world.cluster.service_account_kubeconfig(&world.namespace, "nobody").unwrap();
    let (ok, text) = in_use(&kubeconfig, &["--registry=command.example.org", "-o=json"]);
    assert!(!ok);
    assert!(text.starts_with("error: it is not known which images are in use: "), "{text}");
    assert!(text.contains("deployments") && text.contains("forbidden"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_or_an_alias_that_could_never_match_is_an_error() {
    let kubeconfig = service_account_kubeconfig().await;
    for (arguments, words) in [
        (["--registry=https://registry.example.com", "-o=json"], "no https://"),
        (["--registry=registry.example.com/shop", "-o=json"], "no path"),
        (
            ["--registry=registry.example.com", "--registry-alias=https://mirror.example"],
            "failed to understand the alias",
        ),
        (["--registry=registry.example.com", "--in-use-workload=Rollout"], "failed to understand a custom workload"),
    ] {
        let (ok, text) = in_use(&kubeconfig, &arguments);
        assert!(!ok && text.contains(words), "{arguments:?}: {text}");
    }
}

#[test]
fn manifests_are_read_without_a_cluster_and_objects_that_are_not_read_are_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let manifests = "
{apiVersion: tekton.dev/v1, kind: Task, metadata: {name: build}, spec: {steps: [{image: 'registry.example.com/ci/go:1'}]}}
---
{apiVersion: example.com/v1, kind: Database, metadata: {name: main}, spec: {image: 'registry.example.com/shop/db:2'}}
---
{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {image: 'registry.example.com/shop/secret:1'}}
";
    std::fs::write(file.path(), manifests).unwrap();
    let name = file.path().to_str().unwrap();
    let nowhere = Path::new("/no/such/kubeconfig");
    let (ok, text) = in_use(nowhere, &["--registry=registry.example.com", "-f", name]);
    assert!(ok && text.contains("registry.example.com/ci/go:1   Task/build"), "{text}");
    assert!(
        text.contains("note: these name the registry and are not read") && text.contains("Database/main"),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");

    std::fs::write(file.path(), "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {}}").unwrap();
    let (ok, text) = in_use(nowhere, &["--registry=registry.example.com", "-f", name]);
    assert!(!ok && text.contains("Deployment/web cannot be read: spec.template is not understood"), "{text}");

    file.as_file().set_len(64 * 1024 * 1024 + 1).unwrap();
    let (ok, text) = in_use(nowhere, &["--registry=registry.example.com", "-f", name]);
    assert!(!ok && text.contains(&format!("{name}: it is longer than 64 MiB")), "{text}");
}
