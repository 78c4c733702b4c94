//! A confirmation is worth what it says: everything that the API server had acknowledged is in the index.

use futures::StreamExt;
use kube::api::{Patch, PatchParams};
use registry_cleanup_operator::cluster::workloads::Workloads;
use serde_json::json;

use super::{PATIENCE, Place, names, pod, replicated, until_names};
use crate::support::eventually;
use crate::world::client;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_created_just_before_a_confirmation_is_in_use_after_it_every_time() {
    let place = Place::new().await;
    let workloads = place.watched().await;
    for round in 0..200 {
        let image = format!("web:{round}");
        place.create("apps/v1/Deployment", &format!("web-{round}"), &replicated(&image)).await;
        workloads.confirm().await.unwrap();
        assert!(names(&workloads).contains(&image), "{image} is not in use");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_just_before_a_confirmation_is_in_use_after_it_every_time() {
    let place = Place::new().await;
    let workloads = place.watched().await;
    place.create("v1/Pod", "web", &json!({"spec": pod("web:first")})).await;
    for round in 0..50 {
        let image = format!("web:{round}");
        let patch = json!([{"op": "replace", "path": "/spec/containers/0/image", "value": image}]);
        let patch = Patch::Json::<()>(serde_json::from_value(patch).unwrap());
        place.objects("v1/Pod").patch("web", &PatchParams::default(), &patch).await.unwrap();
        workloads.confirm().await.unwrap();
        assert_eq!(names(&workloads), [image]);
    }
}

/// More objects than are compared one by one.
const MANY: usize = 600;

async fn many(place: &Place) {
    let create = |number: usize| async move {
        place
            .create("v1/ReplicationController", &format!("rc-{number}"), &{
                let mut rest = replicated(&format!("rc:{}", number % 10));
                rest["spec"]["selector"] = json!({"app": "web"});
                rest
            })
            .await;
    };
    futures::stream::iter(0..MANY).map(create).buffer_unordered(16).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_objects_that_are_idle_are_confirmed_as_well_and_by_many_at_a_time() {
    let place = Place::new().await;
    many(&place).await;
    let workloads = place.watched().await;
    assert_eq!(workloads.objects(), MANY);
    for round in 0..3 {
        place
            .patch(
                "v1/ReplicationController",
                "rc-7",
                &json!({"spec": {"template": {"spec": pod(&format!("new:{round}"))}}}),
            )
            .await;
        let confirmed = futures::future::join_all((0..4).map(|_| workloads.confirm())).await;
        assert!(confirmed.iter().all(Result::is_ok), "{confirmed:?}");
        assert!(names(&workloads).contains(&format!("new:{round}")));
        // Nothing happens to them between these two.
        place.create("v1/Pod", &format!("other-{round}"), &json!({"spec": pod("other")})).await;
        workloads.confirm().await.unwrap();
    }
}

#[tokio::test]
async fn what_was_read_once_is_never_confirmed() {
    let place = Place::new().await;
    let workloads = Workloads::read_once(place.kube.clone(), place.options()).await.unwrap();
    assert_eq!(workloads.gaps(), []);
    assert_eq!(workloads.confirm().await.unwrap_err()[0].why, "not watched");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_api_server_everything_is_seen_that_happened() {
    let start = || control_plane::Cluster::start(&control_plane::Options::default()).unwrap();
    let cluster: &'static control_plane::Cluster =
        Box::leak(Box::new(tokio::task::spawn_blocking(start).await.unwrap()));
    let place = Place::on(client(cluster.kubeconfig()).await).await;
    place.create("v1/Pod", "gone", &json!({"spec": pod("gone:1")})).await;
    let workloads = place.watched().await;
    until_names(&workloads, &["gone:1"]).await;
    let restart = || tokio::task::spawn_blocking(|| cluster.restart_api_server().unwrap());
    restart().await.unwrap();
    // The connections of before are cut.
    let other = Place { kube: client(cluster.kubeconfig()).await, namespace: place.namespace.clone() };
    other.delete("v1/Pod", "gone").await;
    other.create("v1/Pod", "new", &json!({"spec": pod("new:1")})).await;
    eventually("a confirmation", async || workloads.confirm().await.ok()).await;
    assert!(names(&workloads).contains(&"new:1".to_owned()));
    until_names(&workloads, &["new:1"]).await;
    workloads.complete_within(PATIENCE).await.unwrap();
}
