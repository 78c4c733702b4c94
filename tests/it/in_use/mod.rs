//! The protection of images in use from end to end: a real API server, a GitLab that behaves like one, and an operator
//! that is asked to remove everything that is old, by both methods.

mod ahead;
mod approval;
mod bulk;
mod indexes;
mod interruption;
mod kinds;
mod late;
mod lists;
mod middle;
mod names;
mod race;
mod references;
mod scope;
mod together;
mod told;
mod unknown;

use std::path::PathBuf;

use gitlab_simulator::{Config, Push};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RunResult};
use serde_json::{Value, json};

use crate::support::eventually;
use crate::workloads::Place;
use crate::world::{Operator, Setup, World, kubectl};

/// The registry, as GitLab's `location` and images in Pods name it.
const REGISTRY: &str = "registry.example.com:5050";
/// The policies, named like the projects that they look after. Each has a repository `app`.
const POLICIES: [&str; 2] = ["bulk", "exact"];
/// The age in days of everything that a rule would remove.
const OLD: i64 = 30;

/// A repository for each method, with the same tags.
struct Scene {
    world: World,
    place: Place,
    repositories: [u64; 2],
}

impl Scene {
    /// These tags, all of them old.
    async fn with(tags: &[&str]) -> Self {
        Self::set_up(|_| {}, &tags.iter().map(|tag| (*tag, OLD)).collect::<Vec<_>>()).await
    }

    /// These tags with their ages in days, and GitLab set up differently.
    async fn set_up(change: impl FnOnce(&mut Config), tags: &[(&str, i64)]) -> Self {
        let registry = |config: &mut Config| {
            REGISTRY.clone_into(&mut config.settings.registry_host);
            change(config);
        };
        let world = World::start_with(registry).await;
        let repositories = POLICIES.map(|policy| world.repository(&format!("shop/{policy}/app"), tags));
        let place = Place { kube: world.kube.clone(), namespace: world.namespace.clone() };
        Self { world, place, repositories }
    }

    /// Pushes an old image to both repositories.
    fn push(&self, tag: &str, change: impl Fn(Push) -> Push) {
        let at = self.world.now() - SignedDuration::from_hours(24 * OLD);
        self.world.sim.edit(|registry| {
            for repository in self.repositories {
                registry.push(repository, tag, change(Push::at(at)));
            }
        });
    }

    /// The digest of a tag in each repository.
    fn digests(&self, tag: &str) -> [String; 2] {
        self.world.sim.read(|registry| self.repositories.map(|id| registry.find_tag(id, tag).unwrap().digest.clone()))
    }

    /// Applies both policies, with parts of their specs replaced.
    async fn apply(&self, changes: &Value) {
        for (policy, method) in POLICIES.into_iter().zip(["Bulk", "Exact"]) {
            let mut spec = json!({"method": method, "target": {"projects": [format!("shop/{policy}")]}});
            for (key, value) in changes.as_object().unwrap() {
                spec[key] = value.clone();
            }
            self.world.apply(&self.world.policy(policy, &spec)).await.unwrap();
        }
    }

    /// An operator that knows the policies, which say nothing special.
    async fn operator(&self) -> Operator {
        self.apply(&json!({})).await;
        self.operator_as(Setup::of(&self.world)).await
    }

    async fn operator_as(&self, setup: Setup) -> Operator {
        let operator = Operator::set_up(&self.world, setup).await;
        for policy in POLICIES {
            self.world.ready(policy).await;
        }
        operator
    }

    /// Runs both policies to their end.
    async fn run(&self, token: &str) -> [PolicyStatus; 2] {
        let [bulk, exact] = POLICIES.map(|policy| self.world.run(policy, token));
        tokio::join!(bulk, exact).into()
    }

    /// Previews both policies.
    async fn preview(&self, token: &str) -> [PolicyStatus; 2] {
        let [bulk, exact] = POLICIES.map(|policy| self.world.preview(policy, token));
        tokio::join!(bulk, exact).into()
    }

    /// The tags of both repositories.
    fn tags(&self) -> [Vec<String>; 2] {
        self.repositories.map(|repository| self.world.tags(repository))
    }

    /// Runs both policies and sees that just these tags are left, of which so many are in use.
    async fn leaves(&self, left: &[&str], in_use: u64) -> [PolicyStatus; 2] {
        let statuses = self.run("leaves").await;
        for ((policy, status), tags) in POLICIES.iter().zip(&statuses).zip(self.tags()) {
            assert_eq!(tags, left, "{policy}: {status:#?}");
            let run = status.last_run.as_ref().unwrap();
            assert_eq!((run.result, run.tags.in_use), (RunResult::Succeeded, in_use), "{policy}: {status:#?}");
        }
        statuses
    }
}

/// An image of each repository: `app` and what follows, such as a tag.
fn images(rest: &str) -> [String; 2] {
    POLICIES.map(|policy| format!("{REGISTRY}/shop/{policy}/app{rest}"))
}

/// Containers with these images.
fn containers(images: &[String; 2]) -> Value {
    POLICIES.iter().zip(images).map(|(name, image)| json!({"name": name, "image": image})).collect()
}

/// A pod spec with these images in its containers.
fn pod(images: &[String; 2]) -> Value {
    json!({"containers": containers(images)})
}

/// The spec of something that makes Pods of this kind, but none for now.
fn replicated(pod: &Value) -> Value {
    let labels = json!({"app": "web"});
    json!({"spec": {
        "replicas": 0,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }})
}

/// A Deployment that uses the two images, in which the controllers have no part: it is their only user.
async fn deploy(scene: &Scene, name: &str, rest: &str) {
    let mut deployment = replicated(&pod(&images(rest)));
    deployment["spec"]["paused"] = json!(true);
    scene.place.create("apps/v1/Deployment", name, &deployment).await;
}

/// What the operator may do according to the install manifest.
fn rules(scene: &Scene) -> Vec<Value> {
    let role = kubectl(scene.world.cluster, &["get", "clusterrole", "registry-cleanup-operator", "--output", "json"]);
    let role: Value = serde_json::from_str(&role).unwrap();
    role["rules"].as_array().unwrap().clone()
}

/// The same, with these verbs alone for one resource.
fn rules_but(scene: &Scene, resource: &str, verbs: &[&str]) -> Vec<Value> {
    let mut rules = rules(scene);
    let mut more = Vec::new();
    for rule in &mut rules {
        let resources = rule["resources"].as_array_mut().unwrap();
        let before = resources.len();
        resources.retain(|other| other != resource);
        if resources.len() < before {
            more.push(json!({"apiGroups": rule["apiGroups"], "resources": [resource], "verbs": verbs}));
        }
    }
    assert_eq!(more.len(), 1);
    rules.retain(|rule| rule["resources"] != json!([]));
    rules.into_iter().chain(more.into_iter().filter(|_| !verbs.is_empty())).collect()
}

/// An account in the world's namespace that may do just this there.
async fn account(scene: &Scene, rules: &[Value]) -> PathBuf {
    let place = &scene.place;
    place.create("v1/ServiceAccount", "operator", &json!({})).await;
    place.create("rbac.authorization.k8s.io/v1/Role", "operator", &json!({"rules": rules})).await;
    let binding = json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
        "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": place.namespace}],
    });
    place.create("rbac.authorization.k8s.io/v1/RoleBinding", "operator", &binding).await;
    let kubeconfig = scene.world.cluster.service_account_kubeconfig(&place.namespace, "operator").unwrap();
    account_may(scene, "patch", "rcp/status", true).await;
    kubeconfig
}

/// Waits until the account may do something, or may not any more: the authorizer hears of roles and bindings a moment
/// later.
async fn account_may(scene: &Scene, verb: &str, resource: &str, may: bool) {
    let namespace = &scene.place.namespace;
    let account = format!("system:serviceaccount:{namespace}:operator");
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let subresource = format!("--subresource={subresource}");
    let asked = ["auth", "can-i", verb, resource, &subresource, "--as", &account, "--namespace", namespace];
    eventually("the permissions", async || {
        (crate::world::try_kubectl(scene.world.cluster, &asked).0 == may).then_some(())
    })
    .await;
}
