//! What may not be read is a gap, and says what is missing.

use control_plane::Cluster;
use kube::Client;
use registry_cleanup_operator::cluster::workloads::{Options, Scope, Workloads};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{PATIENCE, Place, names, pod, texts, until_gaps, until_names};
use crate::support::eventually;
use crate::world::{client, cluster};

const GROUPS: [(&str, &[&str]); 3] = [
    ("", &["pods", "replicationcontrollers"]),
    ("apps", &["deployments", "replicasets", "statefulsets", "daemonsets", "controllerrevisions"]),
    ("batch", &["jobs", "cronjobs"]),
];

/// Everything that is needed.
fn all() -> Vec<Value> {
    GROUPS.iter().map(|(group, resources)| rule(group, resources, &["list", "watch"])).collect()
}

/// Everything, but for one resource of the group `apps`.
fn all_but(resource: &str, verbs: &[&str]) -> Vec<Value> {
    let rest: Vec<&str> = GROUPS[1].1.iter().copied().filter(|other| *other != resource).collect();
    let [core, _, batch] = <[Value; 3]>::try_from(all()).unwrap();
    vec![core, batch, rule("apps", &rest, &["list", "watch"]), rule("apps", &[resource], verbs)]
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// A client that may do just this in the namespace.
async fn account(place: &Place, rules: &[Value]) -> Client {
    let cluster: &'static Cluster = cluster().await;
    place.create("v1/ServiceAccount", "watcher", &json!({})).await;
    place.create("rbac.authorization.k8s.io/v1/Role", "watcher", &json!({"rules": rules})).await;
    let binding = json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "watcher"},
        "subjects": [{"kind": "ServiceAccount", "name": "watcher", "namespace": place.namespace}],
    });
    place.create("rbac.authorization.k8s.io/v1/RoleBinding", "watcher", &binding).await;
    client(&cluster.service_account_kubeconfig(&place.namespace, "watcher").unwrap()).await
}

fn watching(kube: Client, options: Options) -> Workloads {
    Workloads::watch(kube, options, &CancellationToken::new())
}

#[tokio::test]
async fn list_and_watch_in_a_namespace_are_enough() {
    let place = Place::new().await;
    let workloads = watching(account(&place, &all()).await, place.options());
    workloads.complete_within(PATIENCE).await.unwrap();
    place.create("v1/Pod", "web", &json!({"spec": pod("api:1")})).await;
    workloads.confirm().await.unwrap();
    assert_eq!(names(&workloads), ["api:1"]);
}

#[tokio::test]
async fn a_kind_that_may_not_be_listed_is_a_gap_until_it_may() {
    let place = Place::new().await;
    let kube = account(&place, &all_but("statefulsets", &["get"])).await;
    let gap = format!("statefulsets in namespace {}: list is forbidden", place.namespace);
    let once = Workloads::read_once(kube.clone(), place.options()).await.unwrap_err();
    assert_eq!(texts(&once), [gap.as_str()]);

    let workloads = watching(kube, place.options());
    // The others are complete, and there is nothing more to wait for.
    let gaps = workloads.complete_within(PATIENCE).await.unwrap_err();
    assert_eq!(texts(&gaps), [gap.as_str()]);
    assert_eq!(texts(&workloads.confirm().await.unwrap_err()), [gap.as_str()]);
    // What may be seen is seen.
    place.create("v1/Pod", "web", &json!({"spec": pod("api:1")})).await;
    until_names(&workloads, &["api:1"]).await;

    place.patch("rbac.authorization.k8s.io/v1/Role", "watcher", &json!({"rules": all()})).await;
    until_gaps(&workloads, &[]).await;
    eventually("a confirmation", async || workloads.confirm().await.ok()).await;
}

#[tokio::test]
async fn a_kind_that_may_be_listed_but_not_watched_is_a_gap() {
    let place = Place::new().await;
    let workloads = watching(account(&place, &all_but("deployments", &["list"])).await, place.options());
    let gaps = workloads.complete_within(PATIENCE).await.unwrap_err();
    assert_eq!(texts(&gaps), [format!("deployments in namespace {}: watch is forbidden", place.namespace)]);
}

#[tokio::test]
async fn a_permission_that_is_taken_away_is_noticed_by_the_next_confirmation() {
    let place = Place::new().await;
    let workloads = watching(account(&place, &all()).await, place.options());
    workloads.complete_within(PATIENCE).await.unwrap();
    let rules: Vec<Value> = all().into_iter().take(2).collect();
    place.patch("rbac.authorization.k8s.io/v1/Role", "watcher", &json!({"rules": rules})).await;
    // An open watch goes on, so the gaps do not show it yet; the authorizer takes a moment to hear of it.
    let gaps = eventually("a refusal", async || workloads.confirm().await.err()).await;
    assert!(texts(&gaps).contains(&format!("jobs in namespace {}: list is forbidden", place.namespace)), "{gaps:?}");
}

#[tokio::test]
async fn who_may_only_look_into_one_namespace_cannot_look_into_all() {
    let place = Place::new().await;
    let options = Options { scope: Scope::All, ..place.options() };
    let workloads = watching(account(&place, &all()).await, options);
    let gaps = workloads.complete_within(PATIENCE).await.unwrap_err();
    assert_eq!(gaps.len(), 9);
    assert_eq!(gaps[0].to_string(), "pods in all namespaces: list is forbidden");
}

#[tokio::test]
async fn who_looks_into_no_namespace_knows_nothing() {
    let place = Place::new().await;
    let options = Options { scope: Scope::Namespaces(vec![]), ..place.options() };
    let workloads = watching(place.kube.clone(), options.clone());
    let gap = ["workloads in all namespaces: no namespace is watched"];
    assert_eq!(texts(&workloads.complete_within(PATIENCE).await.unwrap_err()), gap);
    assert_eq!(texts(&workloads.confirm().await.unwrap_err()), gap);
    assert_eq!(texts(&Workloads::read_once(place.kube.clone(), options).await.unwrap_err()), gap);
}
