//! Nothing is removed while it is not known for certain which images are in use; what is missing is said, and the next
//! run after it is there again removes.

use std::sync::atomic::{AtomicUsize, Ordering};

use gitlab_simulator::Endpoint;
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RunResult};
use rstest::rstest;
use serde_json::json;

use super::{POLICIES, REGISTRY, Scene, account, account_may, deploy, images, pod, replicated, rules, rules_but};
use crate::support::{eventually, in_time};
use crate::world::{Between, Operator, Setup, World};

const TAGS: [&str; 2] = ["unused", "used"];

fn is_unknown(status: &PolicyStatus) -> bool {
    World::condition(status, "LastRunSucceeded") == "False/InUseUnknown"
}

/// Neither method has removed anything, and both say why.
fn nothing_went(scene: &Scene, statuses: &[PolicyStatus; 2], words: &[&str]) {
    for status in statuses {
        assert!(is_unknown(status), "{status:#?}");
        let run = status.last_run.as_ref().unwrap();
        assert_eq!(run.result, RunResult::Failed);
        let message = run.message.as_deref().unwrap();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    assert_eq!(scene.tags(), [TAGS, TAGS]);
    for endpoint in [Endpoint::BulkDeleteTags, Endpoint::GraphqlMutation, Endpoint::DeleteTag] {
        assert_eq!(scene.world.sim.requests_to(endpoint), []);
    }
}

/// Runs both policies again and again until they end as wanted: what changes in the cluster is heard of a moment later.
async fn until_runs_are(scene: &Scene, wanted: impl Fn(&PolicyStatus) -> bool) {
    // A value that was used before would ask for nothing.
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    eventually("a run that ends as wanted", async || {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Box::pin(scene.run(&format!("again-{number}"))).await.iter().all(&wanted).then_some(())
    })
    .await;
}

/// A policy that does not want to know removes everything.
async fn nobody_looks(scene: &Scene) {
    scene.apply(&json!({"protect": {"inUse": "Disabled"}})).await;
    for policy in POLICIES {
        scene.world.ready(policy).await;
    }
    let statuses = scene.run("disabled").await;
    assert_eq!(scene.tags(), [[""; 0], [""; 0]], "{statuses:#?}");
}

/// An operator that may do just this.
async fn operator(scene: &Scene, rules: &[serde_json::Value]) -> Operator {
    scene.apply(&json!({})).await;
    let kubeconfig = Some(account(scene, rules).await);
    scene.operator_as(Setup { kubeconfig, ..Setup::of(&scene.world) }).await
}

/// What may be seen of a kind that may not be listed, or not be watched.
#[rstest]
#[case::pods("pods", "watch", "list is forbidden")]
#[case::stateful_sets("statefulsets", "watch", "list is forbidden")]
#[case::cron_jobs("cronjobs", "list", "watch is forbidden")]
#[case::revisions("controllerrevisions", "list", "watch is forbidden")]
#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_seen_stops_everything_until_it_may(
    #[case] resource: &str,
    #[case] verb: &str,
    #[case] why: &str,
) {
    let scene = Scene::with(&TAGS).await;
    deploy(&scene, "web", ":used").await;
    let operator = operator(&scene, &rules_but(&scene, resource, &[verb])).await;
    let gap = format!("{resource} in namespace {}: {why}", scene.place.namespace);
    nothing_went(&scene, &scene.run("one").await, &["it is not known which images are in use", &gap]);
    // A preview would promise what no run can keep.
    assert!(scene.preview("one").await.iter().all(is_unknown));

    let rules = json!({"rules": rules(&scene)});
    scene.place.patch("rbac.authorization.k8s.io/v1/Role", "operator", &rules).await;
    until_runs_are(&scene, |status| !is_unknown(status)).await;
    assert_eq!(scene.tags(), [["used"], ["used"]]);
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_has_to_be_listed_and_to_be_watched(
    #[values(
        "pods",
        "replicationcontrollers",
        "deployments",
        "replicasets",
        "statefulsets",
        "daemonsets",
        "controllerrevisions",
        "jobs",
        "cronjobs"
    )]
    resource: &str,
) {
    let scene = Scene::with(&TAGS).await;
    scene.apply(&json!({})).await;
    let kubeconfig = account(&scene, &rules(&scene)).await;
    for (allowed, missing) in [("list", "watch"), ("watch", "list")] {
        let rules = json!({"rules": rules_but(&scene, resource, &[allowed])});
        scene.place.patch("rbac.authorization.k8s.io/v1/Role", "operator", &rules).await;
        account_may(&scene, allowed, resource, true).await;
        account_may(&scene, missing, resource, false).await;
        let operator =
            scene.operator_as(Setup { kubeconfig: Some(kubeconfig.clone()), ..Setup::of(&scene.world) }).await;
        let gap = format!("{resource} in namespace {}: {missing} is forbidden", scene.place.namespace);
        nothing_went(&scene, &scene.run(missing).await, &[&gap]);
        operator.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_is_taken_away_stops_everything() {
    let scene = Scene::with(&[]).await;
    let operator = operator(&scene, &rules(&scene)).await;
    assert!(!scene.run("all is well").await.iter().any(is_unknown));
    let rules = json!({"rules": rules_but(&scene, "replicationcontrollers", &[])});
    scene.place.patch("rbac.authorization.k8s.io/v1/Role", "operator", &rules).await;
    until_runs_are(&scene, is_unknown).await;
    for tag in TAGS {
        scene.push(tag, |push| push);
    }
    let gap = format!("replicationcontrollers in namespace {}", scene.place.namespace);
    nothing_went(&scene, &scene.run("last").await, &[&gap, "is forbidden"]);
    nobody_looks(&scene).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_does_not_look_removes_nothing_unless_the_policy_says_so() {
    let scene = Scene::with(&TAGS).await;
    scene.apply(&json!({})).await;
    let operator = scene.operator_as(Setup { in_use: None, ..Setup::of(&scene.world) }).await;
    nothing_went(&scene, &scene.run("one").await, &["--in-use=false", "protect.inUse: Disabled"]);
    nobody_looks(&scene).await;
    operator.stop().await;
}

/// Whether everything of a repository stays, because of a text that cannot be read.
fn is_held(status: &PolicyStatus, why: &[&str]) -> bool {
    let message = status.repositories[0].message.as_deref().unwrap_or_default();
    assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded, "{status:#?}");
    let held = message.contains("write the image in full in the workload: ");
    // A long message is cut at its end.
    assert!(!held || message.ends_with('…') || why.iter().all(|word| message.contains(word)), "{message}");
    held
}

#[rstest]
#[case::the_path_in_upper_case(&format!("{REGISTRY}/shop/Bulk/app:used"), &[], "upper-case", [true, false])]
#[case::a_scheme(&format!("https://{REGISTRY}/shop/exact/app:used"), &[], "not valid", [false, true])]
#[case::a_digest_of_an_alias("mirror.example.com/shop/bulk/app:used@sha256:1", &["mirror.example.com"], "digest", [true, false])]
#[case::a_tag(&format!("{REGISTRY}/shop/exact/app:${{TAG}}"), &[], "tag", [false, true])]
#[case::a_host("${REGISTRY}/bulk/app:v1", &[], "not valid", [true, false])]
#[case::anything("$(IMAGE)", &[], "upper-case", [true, true])]
#[case::something_else("quay.io/shop/bulk/app:${TAG}", &[], "", [false, false])]
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_read_holds_the_repositories_that_it_may_mean_and_no_other(
    #[case] image: &str,
    #[case] aliases: &[&str],
    #[case] why: &str,
    #[case] held: [bool; 2],
) {
    let scene = Scene::with(&TAGS).await;
    scene.apply(&json!({"protect": {"registryAliases": aliases}})).await;
    let operator = scene.operator_as(Setup::of(&scene.world)).await;
    deploy(&scene, "good", ":used").await;
    scene.place.create("v1/Pod", "odd", &json!({"spec": pod(&[image.to_owned(), images(":used")[1].clone()])})).await;
    let user = format!("{}/Pod/odd", scene.place.namespace);
    let statuses = scene.run("one").await;
    assert_eq!(statuses.each_ref().map(|status| is_held(status, &[image, &user, why])), held, "{statuses:#?}");
    let left = held.map(|held| if held { TAGS.to_vec() } else { vec!["used"] });
    assert_eq!(scene.tags(), left, "{statuses:#?}");
    scene.place.delete("v1/Pod", "odd").await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_object_that_cannot_be_read_stops_everything() {
    let definition = crate::workloads::custom::Definition::named("unread").await;
    definition.install(&["v1"]);
    let scene = Scene::with(&TAGS).await;
    scene.apply(&json!({})).await;
    let mut rules = rules(&scene);
    rules.push(json!({"apiGroups": [definition.group], "resources": ["rollouts"], "verbs": ["list", "watch"]}));
    let kubeconfig = Some(account(&scene, &rules).await);
    let mut setup = Setup { kubeconfig, ..Setup::of(&scene.world) };
    let custom = definition.watched_at("spec.template").parse().unwrap();
    setup.in_use.as_mut().unwrap().custom.push(custom);
    let operator = scene.operator_as(setup).await;
    scene.place.create(&definition.kind(), "odd", &json!({"spec": {"template": "none"}})).await;
    let gap =
        format!("Rollout.{} in namespace {ns}: {ns}/odd cannot be read", definition.group, ns = scene.place.namespace);
    nothing_went(&scene, &scene.run("one").await, &[&gap]);
    nobody_looks(&scene).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_for_the_first_complete_list() {
    let scene = Scene::with(&TAGS).await;
    let between = Between::default();
    let held = between.hold("/deployments");
    scene.apply(&json!({})).await;
    let operator = scene.operator_as(Setup { between: Some(between), ..Setup::of(&scene.world) }).await;
    for policy in POLICIES {
        scene.world.annotate(policy, RUN_REQUESTED_AT, "one").await;
    }
    // The last thing before images in use are asked for.
    for policy in POLICIES {
        let project = format!("shop/{policy}");
        let listed = scene.world.sim.wait_for(|request| {
            let listed = request.endpoint == Endpoint::ListProjectRepositories && request.status.is_some();
            listed && request.namespace.as_deref() == Some(&project)
        });
        in_time("the list of repositories", listed).await;
    }
    deploy(&scene, "web", ":used").await;
    assert_eq!(scene.tags(), [TAGS, TAGS]);
    drop(held);
    for policy in POLICIES {
        let over = |status: &PolicyStatus| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some());
        let status = scene.world.until(policy, over).await;
        assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded, "{status:#?}");
    }
    assert_eq!(scene.tags(), [["used"], ["used"]]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_does_not_answer_stops_the_next_run() {
    let scene = Scene::with(&[]).await;
    let between = Between::default();
    scene.apply(&json!({})).await;
    let operator = scene.operator_as(Setup { between: Some(between.clone()), ..Setup::of(&scene.world) }).await;
    assert!(!scene.run("all is well").await.iter().any(is_unknown));
    for tag in TAGS {
        scene.push(tag, |push| push);
    }
    between.refuse("/jobs");
    let gap = format!("jobs in namespace {}: list is answered with status 503", scene.place.namespace);
    nothing_went(&scene, &scene.run("one").await, &[&gap]);
    nobody_looks(&scene).await;
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_fails_stops_everything_though_lists_are_answered(#[values(false, true)] it_worked_before: bool) {
    let scene = Scene::with(&[]).await;
    let between = Between::default();
    scene.apply(&json!({})).await;
    let mut refused = (!it_worked_before).then(|| between.refuse_watches("/deployments"));
    let operator = scene.operator_as(Setup { between: Some(between.clone()), ..Setup::of(&scene.world) }).await;
    if it_worked_before {
        assert!(!scene.run("all is well").await.iter().any(is_unknown));
        refused = Some(between.refuse_watches("/deployments"));
        // It is noticed a moment later that an open watch has come to its end.
        until_runs_are(&scene, is_unknown).await;
    }
    for tag in TAGS {
        scene.push(tag, |push| push);
    }
    deploy(&scene, "web", ":used").await;
    let gap = format!("deployments in namespace {}: watch is answered with status 503", scene.place.namespace);
    nothing_went(&scene, &scene.run("one").await, &[&gap]);
    assert!(scene.preview("one").await.iter().all(is_unknown));

    drop(refused);
    until_runs_are(&scene, |status| !is_unknown(status)).await;
    assert_eq!(scene.tags(), [["used"], ["used"]]);
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_watch_does_not_tell_stops_everything_since_lists_show_it(
    #[values(("apps/v1/Deployment", "deployments"), ("batch/v1/CronJob", "cronjobs"))] kind: (&str, &str),
) {
    let scene = Scene::with(&[]).await;
    let between = Between::default();
    scene.apply(&json!({})).await;
    let operator = scene.operator_as(Setup { between: Some(between.clone()), ..Setup::of(&scene.world) }).await;
    assert!(!scene.run("all is well").await.iter().any(is_unknown));
    for tag in TAGS {
        scene.push(tag, |push| push);
    }
    let (kind, resource) = kind;
    let silent = between.silence_watches(&format!("/{resource}"));
    let template = pod(&images(":used"));
    let job = json!({"restartPolicy": "Never", "containers": template["containers"]});
    let job = json!({"schedule": "@yearly", "suspend": true, "jobTemplate": {"spec": {"template": {"spec": job}}}});
    let object = if resource == "cronjobs" { json!({"spec": job}) } else { replicated(&template) };
    scene.place.create(kind, "web", &object).await;
    let gap = format!("{resource} in namespace {}: behind the API server", scene.place.namespace);
    nothing_went(&scene, &scene.run("one").await, &[&gap]);

    drop(silent);
    until_runs_are(&scene, |status| !is_unknown(status)).await;
    assert_eq!(scene.tags(), [["used"], ["used"]]);
    operator.stop().await;
}
