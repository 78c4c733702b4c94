//! Which images the cluster uses, told by the real API server, or by one that misbehaves.

mod catalogue;
pub(crate) mod custom;
mod fresh;
mod kinds;
mod looks;
mod rights;
mod scripted;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use registry_cleanup_operator::cluster::workloads::{CustomWorkload, Gap, Options, Scope, Workloads};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::eventually;
use crate::world::{client, cluster};

/// Long enough for the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A namespace of a cluster.
pub(crate) struct Place {
    pub(crate) kube: Client,
    pub(crate) namespace: String,
}

impl Place {
    /// A new namespace of the shared cluster.
    pub(crate) async fn new() -> Self {
        Self::on(client(cluster().await.kubeconfig()).await).await
    }

    async fn on(kube: Client) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("w{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let object: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        Api::all(kube.clone()).create(&PostParams::default(), &object).await.unwrap();
        Self { kube, namespace }
    }

    fn options(&self) -> Options {
        Options { scope: Scope::Namespaces(vec![self.namespace.clone()]), ..Options::default() }
    }

    fn options_with(&self, custom: &[&str]) -> Options {
        let custom = custom.iter().map(|text| CustomWorkload::parse(text).unwrap()).collect();
        Options { custom, ..self.options() }
    }

    /// Everything in this namespace, watched.
    async fn watched(&self) -> Workloads {
        let workloads = self.watching(self.options());
        workloads.complete_within(PATIENCE).await.unwrap();
        workloads
    }

    fn watching(&self, options: Options) -> Workloads {
        Workloads::watch(self.kube.clone(), options, &CancellationToken::new())
    }

    /// Objects of a kind, such as `apps/v1/Deployment`.
    pub(crate) fn objects(&self, kind: &str) -> Api<DynamicObject> {
        let (version, kind) = kind.rsplit_once('/').unwrap();
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.kube.clone(), &self.namespace, &resource)
    }

    pub(crate) async fn create(&self, kind: &str, name: &str, rest: &Value) -> DynamicObject {
        let (version, short) = kind.rsplit_once('/').unwrap();
        let mut object = json!({"apiVersion": version, "kind": short, "metadata": {"name": name}});
        merge(&mut object, rest);
        let object = serde_json::from_value(object).unwrap();
        self.objects(kind).create(&PostParams::default(), &object).await.unwrap()
    }

    pub(crate) async fn patch(&self, kind: &str, name: &str, patch: &Value) {
        self.objects(kind).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub(crate) async fn patch_status(&self, kind: &str, name: &str, status: &Value) {
        let patch = json!({"status": status});
        self.objects(kind).patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Deletes at once: there is no node that would have to agree.
    pub(crate) async fn delete(&self, kind: &str, name: &str) {
        let now = DeleteParams::background().grace_period(0);
        self.objects(kind).delete(name, &now).await.unwrap();
    }

    /// A user as it is named for an image.
    fn user(&self, user: &str) -> Box<str> {
        format!("{}/{user}", self.namespace).into()
    }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from.clone(),
    }
}

/// A pod spec with one container.
pub(crate) fn pod(image: &str) -> Value {
    json!({"containers": [{"name": "main", "image": image}]})
}

/// The spec of something that makes Pods, but none for now.
pub(crate) fn replicated(image: &str) -> Value {
    let labels = json!({"app": "web"});
    json!({"spec": {
        "replicas": 0,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod(image)},
    }})
}

fn now() -> Timestamp {
    Timestamp::now()
}

/// The image names in use.
fn names(workloads: &Workloads) -> Vec<String> {
    let images = workloads.images(now()).into_iter().filter(|used| used.id.is_none());
    images.map(|used| used.image.into_string()).collect()
}

/// Waits until just these image names are in use.
async fn until_names(workloads: &Workloads, wanted: &[&str]) {
    eventually(&format!("{wanted:?} in use"), async || (names(workloads) == wanted).then_some(())).await;
}

/// Waits until the gaps are as wanted.
async fn until_gaps(workloads: &Workloads, wanted: &[&str]) {
    eventually(&format!("{wanted:?} as gaps"), async || (texts(&workloads.gaps()) == wanted).then_some(())).await;
}

fn texts(gaps: &[Gap]) -> Vec<String> {
    gaps.iter().map(ToString::to_string).collect()
}
