//! Policies as they were stored under each version: the API server takes them, and the operator works on them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use jiff::SignedDuration;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use registry_cleanup_operator::api::{RegistryCleanupPolicy, RunResult};
use registry_cleanup_operator::policy::in_use::list::List;
use serde_json::{Value, json};

use super::{definitions, schema};
use crate::support::eventually;
use crate::world::{MARKER, Operator, World, path};

/// What the registry holds, in the order of the names, with ages in days.
const TAGS: [(&str, i64); 5] = [("main", 1), ("mr-1-a", 90), ("mr-1-b", 60), ("v1.0.0", 400), ("v1.1.0", 300)];
const REGISTRY: &str = "registry.example.com:5050";

/// The files of a version.
fn files(version: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(path(&format!("tests/golden/{version}"))).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The policies of a version.
fn policies(version: &str) -> Vec<Value> {
    let read = |file: PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect::<Vec<Value>>()
    };
    files(version).into_iter().flat_map(read).collect()
}

/// Every field of an object, as it is called in the schema.
fn fields(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = format!("{path}.{name}");
                fields(&path, value, found);
                found.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(&format!("{path}[]"), item, found)),
        _ => {}
    }
}

/// Every field that a schema has.
fn declared(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        declared(&path, property, found);
        declared(&format!("{path}[]"), &property["items"], found);
        found.insert(path);
    }
}

#[test]
fn golden_objects_have_every_field_that_their_version_had() {
    for (version, definition) in definitions() {
        let (mut there, mut had) = (BTreeSet::new(), BTreeSet::new());
        for policy in policies(&version) {
            for part in ["spec", "status"] {
                fields(part, &policy[part], &mut there);
                declared(part, &schema(&definition)["properties"][part], &mut had);
            }
        }
        assert!(had.len() > 80, "{version}: {had:?}");
        assert_eq!(there, had, "{version}");
    }
}

/// A policy as it is in this world: its GitLab, its Secrets, its projects.
fn at_home(world: &World, mut policy: Value) -> Value {
    let project = world.sim.read(|registry| registry.project_by_path("shop/backend").unwrap().id);
    policy["metadata"]["namespace"] = json!(world.namespace);
    let gitlab = policy.pointer_mut("/spec/gitlab").unwrap().as_object_mut().unwrap();
    gitlab.insert("url".to_owned(), json!(world.sim.url()));
    gitlab.insert("certSecretRef".to_owned(), json!({"name": "gitlab-ca"}));
    // Nothing stands between the operator and this GitLab.
    gitlab.remove("proxySecretRef");
    if policy["spec"]["target"]["projects"] == json!(["5"]) {
        policy["spec"]["target"]["projects"] = json!([project.to_string()]);
    }
    policy
}

/// Creates a policy with the status that it had.
async fn restore(world: &World, policy: &Value) {
    let kind = ApiResource::erase::<RegistryCleanupPolicy>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(world.kube.clone(), &world.namespace, &kind);
    let made = api.create(&PostParams::default(), &serde_json::from_value(policy.clone()).unwrap()).await.unwrap();
    let mut status = policy["status"].clone();
    if status.is_null() {
        return;
    }
    if !status["observedUid"].is_null() {
        status["observedUid"] = json!(made.metadata.uid);
    }
    if let Some(run) = status.pointer_mut("/lastRun/gitlab") {
        *run = json!(world.sim.url());
    }
    let name = made.metadata.name.unwrap();
    let patch = json!({"apiVersion": policy["apiVersion"], "kind": policy["kind"], "status": status});
    // In the name of the operator, which owns what it wrote.
    let parameters = PatchParams::apply("registry-cleanup-operator").force();
    let stored = api.patch_status(&name, &parameters, &Patch::Apply(&patch)).await.unwrap();
    assert_eq!(stored.data["status"], status, "{name}: nothing of it is dropped");
}

/// The API server takes every golden object as it stands, strictly.
fn taken(world: &World, version: &str) {
    for file in files(version) {
        let arguments = ["create", "--dry-run=server", "--validate=strict", "--filename", file.to_str().unwrap()];
        world.kubectl(&arguments);
    }
}

async fn world() -> World {
    let world = World::start_with(|config| REGISTRY.clone_into(&mut config.settings.registry_host)).await;
    world.secret("gitlab-token", &[("token", MARKER)]).await;
    world.secret("gitlab-ca", &[("ca.crt", world.sim.ca_pem().unwrap())]).await;
    let list = List::new(REGISTRY, &[], std::iter::empty(), world.now()).write().unwrap();
    world.kubectl(&["create", "configmap", "cluster-west", &format!("--from-literal=list={list}")]);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_objects_of_every_version_are_taken_and_reconciled() {
    for version in definitions().into_keys() {
        let world = world().await;
        let repositories = ["shop/backend/api", "shop/web/api"].map(|repository| world.repository(repository, &TAGS));
        taken(&world, &version);
        let policies: Vec<Value> = policies(&version).into_iter().map(|policy| at_home(&world, policy)).collect();
        assert!(policies.len() >= 10, "{version}");
        for policy in &policies {
            restore(&world, policy).await;
        }
        let operator = Operator::start(&world).await;
        for policy in &policies {
            let name = policy["metadata"]["name"].as_str().unwrap();
            let ready = world.ready(name).await;
            let unfinished = policy.pointer("/status/lastRun/result") == Some(&json!("Running"));
            if unfinished {
                recorded_as_interrupted(&world, &operator, name).await;
            }
            let kept = |run: &&Value| ready.history.iter().any(|entry| run["id"] == entry.id);
            let history = policy.pointer("/status/history").and_then(Value::as_array);
            assert!(history.into_iter().flatten().all(|run| kept(&run)), "{version} {name}: {:?}", ready.history);

            let status = world.preview(name, &format!("preview-{name}")).await;
            let run = status.last_run.unwrap();
            assert_eq!(run.result, RunResult::Succeeded, "{version} {name}: {run:?}");
            assert!(run.tags.scanned >= 5, "{version} {name}: {run:?}");
        }
        operator.stop().await;
        for repository in repositories {
            assert_eq!(world.tags(repository), TAGS.map(|(tag, _)| tag), "{version}");
        }
    }
}

/// Lets time pass until it is said of the run that nobody works on that it was interrupted.
async fn recorded_as_interrupted(world: &World, operator: &Operator, name: &str) {
    eventually("the run to be recorded as interrupted", async || {
        world.sim.advance(SignedDuration::from_secs(30));
        operator.nudge();
        let status = world.policies().get(name).await.unwrap().status.unwrap();
        let interrupted = status.history.iter().any(|run| run.result == RunResult::Interrupted);
        (interrupted || status.last_run.is_some_and(|run| run.result == RunResult::Interrupted)).then_some(())
    })
    .await;
}
