//! Every kind of workload, and every place in it that names an image: the image survives both methods, an unused
//! sibling goes.

use jiff::{SignedDuration, Timestamp};
use registry_cleanup_operator::api::PolicyStatus;
use registry_cleanup_operator::cluster::workloads::{CustomWorkload, Options};
use rstest::rstest;
use serde_json::{Value, json};

use super::{OLD, Scene, account, containers, images, pod, replicated, rules};
use crate::support::eventually;
use crate::workloads::custom::Definition;
use crate::world::Setup;

const TAGS: [&str; 2] = ["unused", "used"];

/// An image of another registry.
fn elsewhere() -> [String; 2] {
    ["elsewhere.example.com/a:1", "elsewhere.example.com/b:1"].map(str::to_owned)
}

fn used() -> Value {
    pod(&images(":used"))
}

fn template(pod: &Value) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": pod})
}

/// Suspended, so that nothing comes of it.
fn job(mut pod: Value) -> Value {
    pod["restartPolicy"] = json!("Never");
    json!({"suspend": true, "template": {"spec": pod}})
}

fn init_containers() -> Value {
    json!({"containers": containers(&elsewhere()), "initContainers": [
        {"name": "init", "image": images(":used")[0]},
        {"name": "sidecar", "image": images(":used")[1], "restartPolicy": "Always"},
    ]})
}

fn image_volumes() -> Value {
    let [bulk, exact] = images(":used");
    json!({"containers": containers(&elsewhere()), "volumes": [
        {"name": "one", "image": {"reference": bulk}},
        {"name": "two", "image": {"reference": exact}},
    ]})
}

#[rstest]
#[case::pod("v1/Pod", json!({"spec": used()}))]
#[case::deployment("apps/v1/Deployment", replicated(&used()))]
#[case::replica_set("apps/v1/ReplicaSet", replicated(&used()))]
#[case::stateful_set("apps/v1/StatefulSet", replicated(&used()))]
#[case::daemon_set("apps/v1/DaemonSet", json!({"spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template(&used())}}))]
#[case::replication_controller("v1/ReplicationController", json!({"spec": {"replicas": 0, "selector": {"app": "web"}, "template": template(&used())}}))]
#[case::controller_revision("apps/v1/ControllerRevision", json!({"revision": 1, "data": {"spec": {"template": {"spec": used()}}}}))]
#[case::job("batch/v1/Job", json!({"spec": job(used())}))]
#[case::cron_job("batch/v1/CronJob", json!({"spec": {"schedule": "@yearly", "suspend": true, "jobTemplate": {"spec": job(used())}}}))]
#[case::init_containers_of_a_pod("v1/Pod", json!({"spec": init_containers()}))]
#[case::init_containers_of_a_template("apps/v1/Deployment", replicated(&init_containers()))]
#[case::image_volumes_of_a_pod("v1/Pod", json!({"spec": image_volumes()}))]
#[case::image_volumes_of_a_template("apps/v1/StatefulSet", replicated(&image_volumes()))]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_workload_names_stays_and_a_sibling_goes(#[case] kind: &str, #[case] rest: Value) {
    let scene = Scene::with(&TAGS).await;
    let operator = scene.operator().await;
    scene.place.create(kind, "web", &rest).await;
    let statuses = scene.leaves(&["used"], 1).await;
    let user = format!("used by {}/{}/web", scene.place.namespace, kind.rsplit_once('/').unwrap().1);
    let exact = &statuses[1].repositories[0];
    let preview = &scene.preview("who").await[1].repositories[0];
    assert!(preview.message.as_deref().unwrap().contains(&user), "{preview:?}");
    assert_eq!((exact.tags.in_use, preview.tags.in_use), (1, 1));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_container_of_a_pod_counts() {
    let scene = Scene::with(&TAGS).await;
    let operator = scene.operator().await;
    scene.place.create("v1/Pod", "web", &json!({"spec": pod(&elsewhere())})).await;
    let patch = json!({"spec": {"ephemeralContainers": images(":used").iter().zip(["one", "two"])
        .map(|(image, name)| json!({"name": name, "image": image})).collect::<Vec<_>>()}});
    scene.world.kubectl(&["patch", "pod", "web", "--subresource=ephemeralcontainers", "--patch", &patch.to_string()]);
    scene.leaves(&["used"], 1).await;
    operator.stop().await;
}

/// The status of a container.
fn reported(name: &str, rest: &Value) -> Value {
    let mut status = json!({"name": name, "image": "x", "imageID": "", "ready": true, "restartCount": 0});
    for (key, value) in rest.as_object().unwrap() {
        status[key] = value.clone();
    }
    status
}

#[rstest]
#[case::containers("containerStatuses")]
#[case::init_containers("initContainerStatuses")]
#[case::ephemeral_containers("ephemeralContainerStatuses")]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_reports_of_a_pod_counts(#[case] field: &str) {
    let scene = Scene::with(&TAGS).await;
    let operator = scene.operator().await;
    scene.place.create("v1/Pod", "web", &json!({"spec": pod(&elsewhere())})).await;
    let ids = images("").into_iter().zip(scene.digests("used")).map(|(name, digest)| format!("{name}@{digest}"));
    let statuses: Vec<Value> =
        ids.zip(["bulk", "exact"]).map(|(id, name)| reported(name, &json!({"imageID": id}))).collect();
    scene.place.patch_status("v1/Pod", "web", &json!({field: statuses})).await;
    scene.leaves(&["used"], 1).await;
    operator.stop().await;
}

#[rstest]
#[case::replica_set_of_a_deployment("apps/v1/Deployment", "ReplicaSet")]
#[case::revision_of_a_stateful_set("apps/v1/StatefulSet", "ControllerRevision")]
#[case::revision_of_a_daemon_set("apps/v1/DaemonSet", "ControllerRevision")]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_rollback_needs_stays(#[case] kind: &str, #[case] history: &str) {
    let scene = Scene::with(&["current", "unused", "used"]).await;
    let operator = scene.operator().await;
    let revisions = scene.place.objects(&format!("apps/v1/{history}"));
    let revisions = async |number: usize| {
        let list = async || revisions.list(&kube::api::ListParams::default()).await.unwrap().items;
        eventually("history", async || (list().await.len() == number).then_some(())).await;
    };
    let mut spec = replicated(&used());
    if kind.ends_with("DaemonSet") {
        spec["spec"].as_object_mut().unwrap().remove("replicas");
    }
    scene.place.create(kind, "web", &spec).await;
    revisions(1).await;
    let next = json!({"spec": {"template": {"spec": {"containers": containers(&images(":current"))}}}});
    scene.place.patch(kind, "web", &next).await;
    revisions(2).await;
    scene.leaves(&["current", "used"], 2).await;
    let preview = scene.preview("who").await[1].repositories[0].message.clone().unwrap();
    let user = format!("used by {}/{history}/web-", scene.place.namespace);
    assert!(preview.contains(&user), "{preview}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_leaves_nothing_to_roll_back_to_uses_the_new_image_only() {
    let scene = Scene::with(&["before", "used"]).await;
    let operator = scene.operator().await;
    scene.place.create("apps/v1/Deployment", "web", &replicated(&pod(&images(":before")))).await;
    let next = json!({"spec": {
        "revisionHistoryLimit": 0,
        "template": {"spec": {"containers": containers(&images(":used"))}},
    }});
    scene.place.patch("apps/v1/Deployment", "web", &next).await;
    let sets = scene.place.objects("apps/v1/ReplicaSet");
    let uses = async |tag: &str| {
        let sets = sets.list(&kube::api::ListParams::default()).await.unwrap().items;
        sets.iter().any(|set| set.data.to_string().contains(&format!("app:{tag}\"")))
    };
    eventually("the rollout", async || (uses("used").await && !uses("before").await).then_some(())).await;
    scene.leaves(&["used"], 1).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_pod_counts_for_a_day() {
    let scene = Scene::with(&TAGS).await;
    let operator = scene.operator().await;
    scene.place.create("v1/Pod", "web", &json!({"spec": used()})).await;
    let hour_ago = scene.world.now() - jiff::SignedDuration::from_hours(1);
    let ended = json!({"state": {"terminated": {"exitCode": 0, "finishedAt": hour_ago.to_string()}}});
    let status =
        json!({"phase": "Succeeded", "containerStatuses": [reported("bulk", &ended), reported("exact", &ended)]});
    scene.place.patch_status("v1/Pod", "web", &status).await;
    scene.leaves(&["used"], 1).await;
    scene.world.sim.advance(jiff::SignedDuration::from_hours(23));
    let statuses = scene.run("a day later").await;
    assert_eq!(scene.tags(), [vec![""; 0], vec![""; 0]], "{statuses:#?}");
    operator.stop().await;
}

/// Lets a Job run to its end: its Pod does, and the controller sees it.
async fn run_to_the_end(scene: &Scene, job: &str, pod_status: &Value) {
    let pods = scene.place.objects("v1/Pod");
    let of_job = kube::api::ListParams::default().labels(&format!("job-name={job}"));
    let pod = eventually("the Job's Pod", async || {
        pods.list(&of_job).await.unwrap().items.first().and_then(|pod| pod.metadata.name.clone())
    })
    .await;
    scene.place.patch_status("v1/Pod", &pod, pod_status).await;
    let jobs = scene.place.objects("batch/v1/Job");
    eventually("the Job's end", async || {
        let job = jobs.get(job).await.unwrap();
        job.data["status"]["completionTime"].is_string().then_some(())
    })
    .await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_has_finished_counts_for_as_long_as_the_operator_was_told(#[values("Pod", "Job")] kind: &str) {
    // Kubernetes itself writes down when a Job ended.
    let begin = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let tags = TAGS.map(|tag| (tag, OLD));
    let scene = Scene::set_up(|config| config.clock = gitlab_simulator::Clock::manual(begin), &tags).await;
    // Whatever time it is, no slot comes up.
    scene.apply(&json!({"schedule": "@yearly"})).await;
    let usual = Setup::of(&scene.world);
    let in_use = usual.in_use.map(|options| Options { finished_for: SignedDuration::from_hours(1), ..options });
    let operator = scene.operator_as(Setup { in_use, ..Setup::of(&scene.world) }).await;
    let ended = json!({"state": {"terminated": {"exitCode": 0, "finishedAt": begin.to_string()}}});
    let status =
        json!({"phase": "Succeeded", "containerStatuses": [reported("bulk", &ended), reported("exact", &ended)]});
    if kind == "Pod" {
        scene.place.create("v1/Pod", "web", &json!({"spec": used()})).await;
        scene.place.patch_status("v1/Pod", "web", &status).await;
    } else {
        let mut running = job(used());
        running["suspend"] = json!(false);
        scene.place.create("batch/v1/Job", "web", &json!({"spec": running})).await;
        run_to_the_end(&scene, "web", &status).await;
    }
    scene.leaves(&["used"], 1).await;

    // A Job ends some time after its Pod.
    scene.world.sim.advance(SignedDuration::from_mins(50));
    let in_use = |status: &PolicyStatus| status.last_run.as_ref().unwrap().tags.in_use;
    assert!(scene.preview("before the hour").await.iter().all(|status| in_use(status) == 1));
    scene.world.sim.advance(SignedDuration::from_mins(30));
    let statuses = scene.run("after the hour").await;
    assert_eq!(scene.tags(), [vec![""; 0], vec![""; 0]], "{statuses:#?}");
    assert!(statuses.iter().all(|status| in_use(status) == 0), "{statuses:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_workload_counts() {
    let definition = Definition::named("inuse").await;
    definition.install(&["v1"]);
    let scene = Scene::with(&TAGS).await;
    scene.apply(&json!({})).await;
    let mut rules = rules(&scene);
    rules.push(json!({"apiGroups": [definition.group], "resources": ["rollouts"], "verbs": ["list", "watch"]}));
    let kubeconfig = Some(account(&scene, &rules).await);
    let usual = Setup::of(&scene.world);
    let custom = vec![CustomWorkload::parse(&definition.watched_at("spec.strategy.*.template")).unwrap()];
    let in_use = usual.in_use.map(|options| Options { custom, ..options });
    let operator = scene.operator_as(Setup { kubeconfig, in_use, ..Setup::of(&scene.world) }).await;
    let spec = json!({"spec": {"strategy": {"canary": {"template": {"spec": used()}}}}});
    scene.place.create(&definition.kind(), "web", &spec).await;
    scene.leaves(&["used"], 1).await;
    operator.stop().await;
}
