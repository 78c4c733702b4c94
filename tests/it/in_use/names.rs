//! Images under other names than the registry's own: what a node reports of an image under another one or none, and a
//! registry that the cluster knows by another name.

use gitlab_simulator::Endpoint;
use registry_cleanup_operator::api::{PolicyStatus, RepositoryResult, conditions};
use rstest::rstest;
use serde_json::{Value, json};

use super::{POLICIES, REGISTRY, Scene, deploy, images, pod, replicated};
use crate::support::eventually;
use crate::workloads::Place;

/// A Pod whose containers have these images, and of which a node reports these.
async fn runs(scene: &Scene, images: &[String; 2], ids: &[String; 2]) {
    scene.place.create("v1/Pod", "web", &json!({"spec": pod(images)})).await;
    let status = |(name, id)| json!({"name": name, "image": "x", "imageID": id, "ready": true, "restartCount": 0});
    let statuses: Vec<Value> = POLICIES.into_iter().zip(ids).map(status).collect();
    scene.place.patch_status("v1/Pod", "web", &json!({"containerStatuses": statuses})).await;
}

/// The digest of the configuration of a tag in each repository.
fn configurations(scene: &Scene, tag: &str) -> [String; 2] {
    let of = |id| scene.world.sim.read(|registry| registry.find_tag(id, tag).unwrap().config_digest.clone());
    scene.repositories.map(of)
}

fn message(status: &PolicyStatus) -> &str {
    status.repositories[0].message.as_deref().unwrap_or_default()
}

/// Everything is left, and both methods say why.
fn holds(scene: &Scene, statuses: &[PolicyStatus; 2], tags: &[&str], words: &[&str]) {
    assert_eq!(scene.tags(), [tags, tags], "{statuses:#?}");
    for status in statuses {
        assert!(words.iter().all(|word| message(status).contains(word)), "{}", message(status));
    }
    let [bulk, exact] = statuses.each_ref().map(|status| &status.repositories[0]);
    assert_eq!((bulk.result, bulk.reason.as_deref()), (RepositoryResult::Skipped, Some("InUseUnresolved")));
    assert_eq!((exact.result, exact.tags.in_use), (RepositoryResult::Unchanged, tags.len() as u64));
    for endpoint in [Endpoint::BulkDeleteTags, Endpoint::GraphqlMutation, Endpoint::DeleteTag] {
        assert_eq!(scene.world.sim.requests_to(endpoint), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_a_node_reports_under_the_name_of_another_repository_stays_in_its_own() {
    let scene = Scene::with(&["unused", "used"]).await;
    // Both repositories have the same images; the node first pulled them from the other one.
    let operator = scene.operator().await;
    let ids = scene.digests("used").map(|digest| format!("{REGISTRY}/shop/dev/app@{digest}"));
    runs(&scene, &images(":main"), &ids).await;
    scene.leaves(&["used"], 1).await;
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_a_node_reports_by_its_configuration_stays(
    #[values("docker://{}", "{}")] id: &str,
    #[values(true, false)] graphql: bool,
    #[values(":moved", ":used")] name: &str,
) {
    let tags = [("moved", 30), ("unused", 30), ("used", 30)];
    let scene = Scene::set_up(|config| config.settings.graphql = graphql, &tags).await;
    let operator = scene.operator().await;
    let ids = configurations(&scene, "used").map(|configuration| id.replace("{}", &configuration));
    runs(&scene, &images(name), &ids).await;
    let left: &[&str] = if name == ":used" { &["used"] } else { &["moved", "used"] };
    scene.leaves(left, left.len() as u64).await;
    operator.stop().await;
}

#[rstest]
#[case::by_its_digest(true)]
#[case::by_nothing_that_is_known(false)]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_reports_without_a_repository_keeps_its_tag_or_else_everything(#[case] is_known: bool) {
    let scene = Scene::with(&["unused", "used"]).await;
    let operator = scene.operator().await;
    let unknown = format!("sha256:{}", "c".repeat(64));
    let ids = scene.digests("used").map(|digest| if is_known { digest } else { unknown.clone() });
    runs(&scene, &images(":moved"), &ids).await;
    if is_known {
        scene.leaves(&["used"], 1).await;
    } else {
        let user = format!("{}/Pod/web", scene.place.namespace);
        let words = [unknown.as_str(), user.as_str(), "without a repository"];
        holds(&scene, &scene.run("one").await, &["unused", "used"], &words);
        scene.place.delete("v1/Pod", "web").await;
        scene.leaves(&[], 0).await;
    }
    operator.stop().await;
}

#[rstest]
#[case::wrong_address("localhost:5000/{path}:used", "localhost:5000")]
#[case::another_port("registry.example.com/{path}:used", "registry.example.com")]
#[case::mirror("mirror.example.com/gitlab/{path}:used", "mirror.example.com/gitlab")]
#[case::short_name("{path}:used", "docker.io")]
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_the_cluster_knows_by_another_name_keeps_what_may_be_meant_until_that_is_said(
    #[case] image: &str,
    #[case] alias: &str,
) {
    let scene = Scene::with(&["unused", "used"]).await;
    // Of another repository nothing is used under any name.
    let free = scene.world.repository("shop/exact/free", &[("unused", 30)]);
    let operator = scene.operator().await;
    let images = POLICIES.map(|policy| image.replace("{path}", &format!("shop/{policy}/app")));
    scene.place.create("apps/v1/Deployment", "web", &replicated(&pod(&images))).await;
    let proposed = format!("protect.registryAliases: [{alias}]");
    let user = format!("{}/Deployment/web", scene.place.namespace);
    let preview = &scene.preview("one").await[1];
    assert!(message_of(preview, "shop/exact/app").contains(&proposed), "{preview:#?}");
    let statuses = scene.run("one").await;
    assert_eq!(scene.tags(), [["unused", "used"], ["unused", "used"]], "{statuses:#?}");
    assert_eq!(scene.world.tags(free), [""; 0]);
    for (status, policy) in statuses.iter().zip(POLICIES) {
        let message = message_of(status, &format!("shop/{policy}/app"));
        assert!(message.contains(&proposed) && message.contains(&user), "{message}");
    }

    scene.apply(&json!({"protect": {"registryAliases": [alias]}})).await;
    for policy in POLICIES {
        scene.world.ready(policy).await;
    }
    let statuses = scene.run("two").await;
    assert_eq!(scene.tags(), [["used"], ["used"]], "{statuses:#?}");
    operator.stop().await;
}

fn message_of<'s>(status: &'s PolicyStatus, path: &str) -> &'s str {
    let found = status.repositories.iter().find(|repository| repository.path == path);
    found.and_then(|repository| repository.message.as_deref()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_uses_no_image_of_the_registry_is_told_of_until_it_uses_one() {
    let scene = Scene::with(&["unused"]).await;
    let operator = scene.operator().await;
    let words = format!("; the cluster uses no image of {REGISTRY}, as far as names tell");
    let ready = |status: &PolicyStatus| conditions::find(&status.conditions, "Ready").unwrap().message.clone();
    for status in scene.run("none").await {
        assert!(ready(&status).contains(&words), "{status:#?}");
        assert_eq!(status.unused_registries, [REGISTRY]);
    }
    assert_eq!(scene.tags(), [[""; 0], [""; 0]], "it is no reason to refuse anything");
    deploy(&scene, "web", ":v1").await;
    for status in scene.preview("some").await {
        assert!(!ready(&status).contains("uses no image"), "{status:#?}");
        assert_eq!(status.unused_registries, [""; 0]);
    }
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_into_use_under_another_name_is_not_removed_by_the_request_that_was_planned_before() {
    let scene = Scene::with(&["unused", "used"]).await;
    let operator = scene.operator().await;
    let place = Place { kube: scene.place.kube.clone(), namespace: scene.place.namespace.clone() };
    let first = gitlab_simulator::Matcher::endpoint(Endpoint::GraphqlQuery).nth(2);
    let hold = super::late::kept_at(&scene, "exact", first, gitlab_simulator::HoldPoint::AfterProcessing).await;
    let images = POLICIES.map(|policy| format!("localhost:5000/shop/{policy}/app:used"));
    place.create("apps/v1/Deployment", "web", &replicated(&pod(&images))).await;
    let status = super::late::go_on(&scene, "exact", hold).await;
    assert_eq!(scene.tags()[1], ["unused", "used"], "{status:#?}");
    eventually("a run that says why", async || {
        let status = scene.world.run("exact", "two").await;
        message(&status).contains("[localhost:5000]").then_some(())
    })
    .await;
    operator.stop().await;
}
