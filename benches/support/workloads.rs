//! Fills a cluster with workloads as ordinary ones are: Deployments with `ReplicaSet`s, and Pods.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement that cannot be set up is to end")]

use futures::stream::{self, StreamExt};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

pub(crate) const NAMESPACES: usize = 20;
pub(crate) const REPLICA_SETS_EACH: usize = 10;
/// Requests at the same time while the cluster is filled.
const FILLING: usize = 48;

pub(crate) fn objects(kube: &Client, group: &str, kind: &str, namespace: usize) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    Api::namespaced_with(kube.clone(), &format!("team-{}", namespace % NAMESPACES), &resource)
}

async fn create(kube: &Client, group: &str, kind: &str, number: usize, spec: Value) {
    let object = json!({
        "apiVersion": if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") },
        "kind": kind,
        "metadata": {
            "name": format!("service-{number}-7d9c4b6f5"),
            "labels": {"app.kubernetes.io/name": format!("service-{number}"), "app.kubernetes.io/part-of": "shop"},
            "annotations": {"checksum/config": "0f343b0931126a20f133d67c2b018a3b0f343b0931126a20f133d67c2b018a3b"},
        },
        "spec": spec,
    });
    let object = serde_json::from_value(object).unwrap();
    objects(kube, group, kind, number).create(&PostParams::default(), &object).await.unwrap();
}

fn image(number: usize) -> String {
    format!("registry.example.com/shop/team-{}/service-{}:v1.{number}.0", number % 50, number % 400)
}

/// A pod spec as an ordinary one is, with two containers.
pub(crate) fn pod(first: usize, second: usize) -> Value {
    let env: Vec<Value> =
        (0..15).map(|n| json!({"name": format!("SETTING_{n}"), "value": format!("value-{n}")})).collect();
    let container = |name: &str, image: String| {
        json!({
            "name": name,
            "image": image,
            "env": env,
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "livenessProbe": {"httpGet": {"path": "/livez", "port": "http"}},
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}},
            "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/service"}],
        })
    };
    json!({
        "containers": [container("main", image(first)), container("proxy", image(second))],
        "volumes": [{"name": "config", "configMap": {"name": "service"}}],
        "automountServiceAccountToken": false,
    })
}

pub(crate) fn status(first: usize, second: usize) -> Value {
    let container = |name: &str, number: usize| {
        let (id, container) = (format!("{number:064x}"), format!("containerd://{number:064x}"));
        let id = format!("registry.example.com/shop/team-{}/service-{}@sha256:{id}", number % 50, number % 400);
        json!({
            "name": name, "image": image(number), "imageID": id, "containerID": container, "ready": true, "restartCount": 0,
            "started": true, "state": {"running": {"startedAt": "2026-11-22T12:00:00Z"}},
        })
    };
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
        .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": "2026-11-22T12:00:00Z"}));
    json!({
        "phase": "Running", "podIP": "10.0.0.1", "hostIP": "10.1.0.1", "startTime": "2026-11-22T12:00:00Z",
        "containerStatuses": [container("main", first), container("proxy", second)],
        "conditions": conditions,
    })
}

/// Deployments that make no `ReplicaSet`s of their own, or the numbers would not be exact.
fn replicated(number: usize, images: usize, paused: bool) -> Value {
    let labels = json!({"app": format!("service-{number}")});
    let mut spec = json!({
        "replicas": 0,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod(number % images, (number * 7) % images)},
    });
    if paused {
        spec["paused"] = json!(true);
    }
    spec
}

/// Makes so many Pods, over so many images, and Deployments with ten `ReplicaSet`s each.
pub(crate) async fn fill(kube: &Client, pods: usize, images: usize, deployments: usize) {
    let namespaces: Api<DynamicObject> =
        Api::all_with(kube.clone(), &ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace")));
    for number in 0..NAMESPACES {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": format!("team-{number}")}});
        namespaces.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }
    let deployment = |number| create(kube, "apps", "Deployment", number, replicated(number, images, true));
    stream::iter(0..deployments).map(deployment).buffer_unordered(FILLING).collect::<Vec<()>>().await;
    let replica_set = |number| create(kube, "apps", "ReplicaSet", number, replicated(number, images, false));
    let all = stream::iter(0..deployments * REPLICA_SETS_EACH);
    all.map(replica_set).buffer_unordered(FILLING).collect::<Vec<()>>().await;
    let pod = |number: usize| async move {
        let (first, second) = (number % images, (number * 7) % images);
        create(kube, "", "Pod", number, pod(first, second)).await;
        let patch = Patch::Merge(json!({"status": status(first, second)}));
        let name = format!("service-{number}-7d9c4b6f5");
        objects(kube, "", "Pod", number).patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
    };
    stream::iter(0..pods).map(pod).buffer_unordered(FILLING).collect::<Vec<()>>().await;
}
