//! Every kind, and every place in it that names an image.

use jiff::SignedDuration;
use registry_cleanup_operator::cluster::workloads::{Options, Scope, Workloads};
use registry_cleanup_operator::model::UsedImage;
use rstest::rstest;
use serde_json::{Value, json};

use super::{PATIENCE, Place, names, now, pod, replicated, until_names};
use crate::support::eventually;

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": pod(image)})
}

fn job(image: &str) -> Value {
    json!({"suspend": true, "template": {"spec": {"containers": [{"name": "main", "image": image}], "restartPolicy": "Never"}}})
}

#[rstest]
#[case::pod("v1/Pod", json!({"spec": pod("a")}))]
#[case::deployment("apps/v1/Deployment", replicated("a"))]
#[case::replica_set("apps/v1/ReplicaSet", replicated("a"))]
#[case::stateful_set("apps/v1/StatefulSet", replicated("a"))]
#[case::daemon_set("apps/v1/DaemonSet", json!({"spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template("a")}}))]
#[case::replication_controller("v1/ReplicationController", json!({"spec": {"replicas": 0, "selector": {"app": "web"}, "template": template("a")}}))]
#[case::revision("apps/v1/ControllerRevision", json!({"revision": 1, "data": {"spec": {"template": {"spec": pod("a")}}}}))]
#[case::job("batch/v1/Job", json!({"spec": job("a")}))]
#[case::cron_job("batch/v1/CronJob", json!({"spec": {"schedule": "@yearly", "suspend": true, "jobTemplate": {"spec": job("a")}}}))]
#[tokio::test]
async fn an_image_is_in_use_from_the_creation_of_an_object_until_its_deletion(#[case] kind: &str, #[case] rest: Value) {
    let place = Place::new().await;
    let workloads = place.watched().await;
    assert_eq!(names(&workloads), [] as [&str; 0]);
    place.create(kind, "web", &rest).await;
    until_names(&workloads, &["a"]).await;
    let user = place.user(&format!("{}/web", kind.rsplit_once('/').unwrap().1));
    assert_eq!(workloads.images(now())[0].users.first(), Some(&user));

    // A list shows the same as the events did.
    let once = Workloads::read_once(place.kube.clone(), place.options()).await.unwrap();
    assert_eq!(names(&once), ["a"]);
    assert_eq!(once.images(now())[0].users.first(), Some(&user));

    place.delete(kind, "web").await;
    until_names(&workloads, &[]).await;
}

#[tokio::test]
async fn every_container_and_image_volume_of_a_template_counts() {
    let place = Place::new().await;
    let workloads = place.watched().await;
    let mut deployment = replicated("main");
    deployment["spec"]["template"]["spec"]["initContainers"] =
        json!([{"name": "init", "image": "init"}, {"name": "side", "image": "sidecar", "restartPolicy": "Always"}]);
    deployment["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "data", "image": {"reference": "data@sha256:00"}}, {"name": "tmp", "emptyDir": {}}]);
    place.create("apps/v1/Deployment", "web", &deployment).await;
    until_names(&workloads, &["data@sha256:00", "init", "main", "sidecar"]).await;
}

#[tokio::test]
async fn a_pod_counts_with_ephemeral_containers_and_with_what_the_node_pulled() {
    let place = Place::new().await;
    let workloads = place.watched().await;
    place.create("v1/Pod", "web", &json!({"spec": pod("api:1")})).await;
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "debug:1"}]}});
    let debug = serde_json::to_vec(&debug).unwrap();
    let kubectl = |arguments: &[&str]| {
        let all: Vec<&str> = ["--namespace", &place.namespace].into_iter().chain(arguments.iter().copied()).collect();
        crate::world::kubectl(control_plane::shared().unwrap(), &all)
    };
    kubectl(&["patch", "pod", "web", "--subresource=ephemeralcontainers", "-p", &String::from_utf8(debug).unwrap()]);
    let status =
        |name: &str, id: &str| json!([{"name": name, "image": "x", "imageID": id, "ready": true, "restartCount": 0}]);
    let statuses = json!({
        "containerStatuses": status("main", "r/api@sha256:01"),
        "ephemeralContainerStatuses": status("debug", "r/debug@sha256:02"),
    });
    place.patch_status("v1/Pod", "web", &statuses).await;
    let wanted = [
        ("api:1", None),
        ("api:1", Some("r/api@sha256:01")),
        ("debug:1", None),
        ("debug:1", Some("r/debug@sha256:02")),
    ];
    let users = vec![place.user("Pod/web")];
    let wanted: Vec<UsedImage> = wanted
        .into_iter()
        .map(|(image, id)| UsedImage {
            image: image.into(),
            id: id.map(Box::from),
            users: users.clone(),
            ..UsedImage::default()
        })
        .collect();
    eventually("all four in use", async || (workloads.images(now()) == wanted).then_some(())).await;
}

#[tokio::test]
async fn what_a_rollback_needs_stays_in_use() {
    let place = Place::new().await;
    let workloads = place.watched().await;
    place.create("apps/v1/Deployment", "web", &replicated("web:1")).await;
    place.create("apps/v1/StatefulSet", "db", &replicated("db:1")).await;
    // The controllers have to see the first revision before there is a second.
    let known = |image: &str, kind: &str| {
        let user = place.user(kind);
        let images = workloads.images(now()).into_iter().filter(|used| *used.image == *image);
        images.flat_map(|used| used.users).any(|name| name.starts_with(&*user))
    };
    eventually("history", async || {
        (known("web:1", "ReplicaSet/web-") && known("db:1", "ControllerRevision/db-")).then_some(())
    })
    .await;
    for (kind, name) in [("apps/v1/Deployment", "web"), ("apps/v1/StatefulSet", "db")] {
        let containers = json!([{"name": "main", "image": format!("{name}:2")}]);
        place.patch(kind, name, &json!({"spec": {"template": {"spec": {"containers": containers}}}})).await;
    }
    eventually("history", async || {
        (known("web:2", "ReplicaSet/web-") && known("db:2", "ControllerRevision/db-")).then_some(())
    })
    .await;
    assert_eq!(names(&workloads), ["db:1", "db:2", "web:1", "web:2"]);
    let images = workloads.images(now());
    assert_eq!(images[3].users[0], place.user("Deployment/web"));
    assert!(images[2].users[0].starts_with(&*place.user("ReplicaSet/web-")), "{images:?}");

    place.delete("apps/v1/Deployment", "web").await;
    until_names(&workloads, &["db:1", "db:2"]).await;
}

#[tokio::test]
async fn a_finished_pod_and_a_finished_job_count_for_a_day() {
    let place = Place::new().await;
    let workloads = place.watched().await;
    place.create("v1/Pod", "done", &json!({"spec": pod("pod:1")})).await;
    place.create("v1/Pod", "evicted", &json!({"spec": pod("evicted:1")})).await;
    let mut running = job("job:1");
    running["suspend"] = json!(false);
    place.create("batch/v1/Job", "done", &json!({"spec": running})).await;
    until_names(&workloads, &["evicted:1", "job:1", "pod:1"]).await;

    let ended = |name: &str| {
        let terminated = json!({"exitCode": 0, "finishedAt": "2026-11-22T12:00:00Z", "containerID": "c://1"});
        json!({"phase": "Succeeded", "containerStatuses": [{"name": name, "image": "x", "imageID": "pod@1", "ready": false,
            "restartCount": 0, "state": {"terminated": terminated}}]})
    };
    place.patch_status("v1/Pod", "done", &ended("main")).await;
    place.patch_status("v1/Pod", "evicted", &json!({"phase": "Failed", "reason": "Evicted"})).await;
    // The Job's own Pod; the Job controller sees that it is done, and the Job with it.
    let pods = place.objects("v1/Pod");
    let of_job = kube::api::ListParams::default().labels("job-name=done");
    let name = eventually("the Job's Pod", async || {
        pods.list(&of_job).await.unwrap().items[..].first()?.metadata.name.clone()
    })
    .await;
    place.patch_status("v1/Pod", &name, &ended("main")).await;

    let in_use = |at: jiff::Timestamp| -> Vec<String> {
        workloads.images(at).into_iter().filter(|used| used.id.is_none()).map(|used| used.image.into_string()).collect()
    };
    let finished: jiff::Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    let day = SignedDuration::from_hours(24);
    let second = SignedDuration::from_secs(1);
    eventually("the Pod's end", async || (!in_use(finished + day).contains(&"pod:1".to_owned())).then_some(())).await;
    assert!(in_use(finished + day - second).contains(&"pod:1".to_owned()));
    let late = now() + day * 2;
    eventually("the Job's end", async || (in_use(late) == ["evicted:1"]).then_some(())).await;
    assert!(in_use(now()).contains(&"job:1".to_owned()), "a Job that finished just now");
}

#[tokio::test]
async fn a_namespace_is_watched_without_any_other_and_all_namespaces_with_each() {
    let (here, there) = (Place::new().await, Place::new().await);
    let both =
        Options { scope: Scope::Namespaces(vec![there.namespace.clone(), here.namespace.clone()]), ..here.options() };
    let all = Options { scope: Scope::All, ..here.options() };
    let [here_only, both, all] = [here.options(), both, all].map(|options| here.watching(options));
    for workloads in [&here_only, &both, &all] {
        workloads.complete_within(PATIENCE).await.unwrap();
    }
    there.create("apps/v1/Deployment", "web", &replicated("there:1")).await;
    here.create("apps/v1/Deployment", "web", &replicated("here:1")).await;
    until_names(&both, &["here:1", "there:1"]).await;
    until_names(&here_only, &["here:1"]).await;
    let seen = || names(&all).iter().filter(|name| ["here:1", "there:1"].contains(&name.as_str())).count();
    eventually("both in use", async || (seen() == 2).then_some(())).await;
    both.confirm().await.unwrap();
    here_only.confirm().await.unwrap();
    assert_eq!(names(&here_only), ["here:1"]);
}

#[tokio::test]
async fn after_the_end_it_is_said_that_nobody_watches_and_what_was_known_stays_in_use() {
    let place = Place::new().await;
    let shutdown = tokio_util::sync::CancellationToken::new();
    let workloads = Workloads::watch(place.kube.clone(), place.options(), &shutdown);
    workloads.complete_within(PATIENCE).await.unwrap();
    place.create("v1/Pod", "web", &json!({"spec": pod("api:1")})).await;
    until_names(&workloads, &["api:1"]).await;
    shutdown.cancel();
    eventually("the end", async || (workloads.gaps().len() == 9).then_some(())).await;
    let gap = workloads.gaps()[0].to_string();
    assert_eq!(gap, format!("pods in namespace {}: not watched any more", place.namespace));
    assert!(workloads.confirm().await.is_err());
    assert_eq!(names(&workloads), ["api:1"]);
}
