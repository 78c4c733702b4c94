//! The catalogue against the real API server: kinds that it does not have, that are installed later, that are in no
//! namespace, and the one that every cluster has.

use control_plane::Cluster;
use registry_cleanup_operator::cluster::workloads::catalogue;
use registry_cleanup_operator::cluster::workloads::{Options, Scope, Workloads};
use serde_json::json;

use super::{PATIENCE, Place, names, now, pod, texts};
use crate::support::eventually;
use crate::world::{cluster, established, kubectl};

fn options(scope: Scope) -> Options {
    Options { scope, custom: catalogue::and_catalogue(Vec::new()).unwrap(), ..Options::default() }
}

/// Installs a kind of the catalogue, without the rest of its project.
fn install(cluster: &'static Cluster, group: &str, version: &str, (kind, plural): (&str, &str), scope: &str) {
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": anything}}});
    let name = format!("{plural}.{group}");
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        // Some of these groups belong to Kubernetes.
        "metadata": {"name": name, "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": version, "served": true, "storage": true, "schema": schema}],
        },
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), definition.to_string()).unwrap();
    kubectl(cluster, &["apply", "--filename", file.path().to_str().unwrap()]);
    established(cluster, &[&format!("crd/{name}")]);
}

/// In one test, since what is installed is there for all others.
#[tokio::test]
async fn kinds_of_the_catalogue_need_not_be_there_and_count_from_the_moment_at_which_they_are() {
    let (place, cluster) = (Place::new().await, cluster().await);
    let workloads = place.watching(options(Scope::Namespaces(vec![place.namespace.clone()])));
    workloads.complete_within(PATIENCE).await.unwrap();
    workloads.confirm().await.unwrap();
    // Nobody named them, so nobody has mistyped them.
    assert_eq!(workloads.absent_kinds(), Vec::<String>::new());

    place.create("v1/PodTemplate", "web", &json!({"template": {"spec": pod("template:1")}})).await;
    // Older than what the catalogue likes best.
    install(cluster, "kafka.strimzi.io", "v1beta2", ("KafkaBridge", "kafkabridges"), "Namespaced");
    install(cluster, "pkg.crossplane.io", "v1", ("Provider", "providers"), "Cluster");
    place.create("kafka.strimzi.io/v1beta2/KafkaBridge", "bridge", &json!({"spec": {"image": "bridge:1"}})).await;
    eventually("a refusal", async || workloads.confirm().await.err()).await;
    eventually("a confirmation", async || workloads.confirm().await.ok()).await;
    assert_eq!(names(&workloads), ["bridge:1", "template:1"]);
    assert_eq!(workloads.images(now()).remove(0).users, [place.user("KafkaBridge/bridge")]);

    // What is in no namespace is no gap for who looks into one, and is seen by who looks everywhere.
    let file = tempfile::NamedTempFile::new().unwrap();
    let provider = json!({"apiVersion": "pkg.crossplane.io/v1", "kind": "Provider", "metadata": {"name": place.namespace},
        "spec": {"package": format!("{}/provider:1", place.namespace)}});
    std::fs::write(file.path(), provider.to_string()).unwrap();
    kubectl(cluster, &["apply", "--filename", file.path().to_str().unwrap()]);
    assert_eq!(texts(&workloads.gaps()), Vec::<String>::new());
    let narrow = options(Scope::Namespaces(vec![place.namespace.clone()]));
    let once = Workloads::read_once(place.kube.clone(), narrow).await;
    assert_eq!(names(&once.unwrap()), ["bridge:1", "template:1"]);
    let everywhere = Workloads::read_once(place.kube.clone(), options(Scope::All)).await.unwrap();
    let package = format!("{}/provider:1", place.namespace);
    let provider = everywhere.images(now()).into_iter().find(|used| *used.image == *package).unwrap();
    assert_eq!(provider.users, [format!("Provider/{}", place.namespace).into()]);
}
