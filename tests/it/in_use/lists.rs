//! Images that other clusters use: lists of them in `ConfigMap`s.

use gitlab_simulator::{Endpoint, HoldPoint, Matcher};
use jiff::SignedDuration;
use registry_cleanup_operator::api::PolicyStatus;
use registry_cleanup_operator::model::UsedImage;
use registry_cleanup_operator::policy::in_use::Alias;
use registry_cleanup_operator::policy::in_use::list::List;
use rstest::rstest;
use serde_json::{Value, json};

use super::late::{go_on, kept_at};
use super::{REGISTRY, Scene, images};
use crate::support::events_of;
use crate::world::{Setup, World};

const TAGS: [&str; 2] = ["unused", "used"];

/// What another cluster, which pulls through a mirror, prints of the images that it uses.
fn printed(world: &World, registry: &str) -> String {
    printed_of(world, registry, &[":used"])
}

fn printed_of(world: &World, registry: &str, tags: &[&str]) -> String {
    let used = |image: String| UsedImage {
        image: image.into_boxed_str(),
        id: None,
        users: vec!["prod/Deployment/web".into()],
        more: 0,
        elsewhere: vec![],
    };
    let through_a_mirror = |image: String| image.replace(REGISTRY, "mirror.west.example.com");
    let images = tags.iter().flat_map(|tag| images(tag)).map(through_a_mirror).map(used);
    let aliases = [Alias::parse("mirror.west.example.com").unwrap()];
    List::new(registry, &aliases, images, world.now()).write().unwrap()
}

/// Policies that know of a cluster that lists its images, and an operator.
async fn scene(reference: &Value) -> (Scene, crate::world::Operator) {
    let scene = Scene::with(&TAGS).await;
    scene.apply(&json!({"protect": {"inUseFrom": [reference]}})).await;
    let operator = scene.operator_as(Setup::of(&scene.world)).await;
    (scene, operator)
}

fn usual() -> Value {
    json!({"configMapRef": {"name": "cluster-west"}})
}

async fn write(scene: &Scene, key: &str, text: &str) {
    scene.place.create("v1/ConfigMap", "cluster-west", &json!({"data": {key: text}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_cluster_lists_stays_and_a_sibling_goes() {
    let (scene, operator) = scene(&usual()).await;
    write(&scene, "images.json", &printed(&scene.world, REGISTRY)).await;
    let preview = scene.preview("one").await[1].repositories[0].message.clone().unwrap();
    assert!(preview.contains("in use: used by prod/Deployment/web (cluster-west)"), "{preview}");
    scene.leaves(&["used"], 1).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_may_stand_under_another_key_and_count_for_longer() {
    let reference = json!({"configMapRef": {"name": "cluster-west", "key": "list"}, "maxAge": "3d"});
    let (scene, operator) = scene(&reference).await;
    write(&scene, "list", &printed(&scene.world, REGISTRY)).await;
    scene.world.sim.advance(SignedDuration::from_hours(70));
    scene.leaves(&["used"], 1).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_nobody_renews_is_warned_of_once_before_it_counts_no_more() {
    let scene = Scene::with(&TAGS).await;
    write(&scene, "images.json", &printed(&scene.world, REGISTRY)).await;
    scene.apply(&json!({"protect": {"inUseFrom": [usual()]}})).await;
    let operator = scene.operator_as(Setup::of(&scene.world)).await;
    let says = async |reason: &str| {
        operator.nudge();
        let known = format!("True/{reason}");
        scene.world.until("bulk", |status| World::condition(status, "InUseKnown") == known).await
    };
    says("WorkloadsWatched").await;
    scene.world.sim.advance(SignedDuration::from_hours(19));
    let warned = says("ListExpiringSoon").await;
    let warning = |status: &PolicyStatus| World::condition(status, "InUseKnown") == "True/ListExpiringSoon";
    scene.world.until("exact", warning).await;
    let ready = warned.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    let told = "the list in ConfigMap cluster-west counts until 2026-11-23T12:00:00Z and was not renewed for long";
    assert!(ready.message.contains(told), "{}", ready.message);
    let renewed = json!({"data": {"images.json": printed(&scene.world, REGISTRY)}});
    scene.place.patch("v1/ConfigMap", "cluster-west", &renewed).await;
    scene.world.sim.advance(SignedDuration::from_hours(6));
    operator.nudge();
    for policy in ["bulk", "exact"] {
        scene.world.until(policy, |status| World::condition(status, "InUseKnown") == "True/WorkloadsWatched").await;
    }
    operator.stop().await;
    // One for each of the two policies of the scene.
    assert_eq!(events_of(&scene.world, "ListExpiringSoon").await, 2);
}

/// Changes the list, which is good otherwise, or takes it away.
type Spoil = fn(&World) -> Option<(&'static str, String)>;

#[rstest]
#[case::missing(|_: &World| None, "ConfigMap cluster-west does not exist")]
#[case::another_key(|world: &World| Some(("image.json", printed(world, REGISTRY))), "ConfigMap cluster-west has no images.json")]
#[case::no_json(|_: &World| Some(("images.json", "images: []".to_owned())), "ConfigMap cluster-west: the list is not JSON")]
#[case::cut_off(|world: &World| Some(("images.json", printed(world, REGISTRY)[..100].to_owned())), "the list is not JSON")]
#[case::incomplete(|world: &World| Some(("images.json", printed(world, REGISTRY).replace("true", "false"))), "complete")]
#[case::something_else(|_: &World| Some(("images.json", r#"{"items": []}"#.to_owned())), "does not have the form of one")]
#[case::another_registry(|world: &World| Some(("images.json", printed(world, "registry.example.org"))), "is not about the registry registry.example.com:5050")]
#[case::too_old(
    |world: &World| {
        let text = printed(world, REGISTRY);
        world.sim.advance(SignedDuration::from_hours(24) + SignedDuration::from_secs(1));
        Some(("images.json", text))
    },
    "ConfigMap cluster-west: the list is too old: it was made at 2026-11-22T12:"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_does_not_count_stops_everything(#[case] spoil: Spoil, #[case] words: &str) {
    let (scene, operator) = scene(&usual()).await;
    if let Some((key, text)) = spoil(&scene.world) {
        write(&scene, key, &text).await;
    }
    for status in scene.run("one").await {
        assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/InUseUnknown", "{status:#?}");
        let message = status.last_run.unwrap().message.unwrap();
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(scene.tags(), [TAGS, TAGS]);

    replace(&scene, &printed(&scene.world, REGISTRY)).await;
    scene.leaves(&["used"], 1).await;
    operator.stop().await;
}

/// Writes another list in the place of the one that is there.
async fn replace(scene: &Scene, text: &str) {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cluster-west"}, "data": {"images.json": text},
    });
    let apply = kube::api::PatchParams::apply("test").force();
    let maps = scene.place.objects("v1/ConfigMap");
    maps.patch("cluster-west", &apply, &kube::api::Patch::Apply(&map)).await.unwrap();
}

/// The policies, and the request of each that is sent after it was read which images are in use.
const PLANNING: [(&str, Endpoint, u64); 2] = [("bulk", Endpoint::ListTags, 1), ("exact", Endpoint::GraphqlQuery, 2)];

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_changes_while_a_run_goes_on_counts_as_it_is_now() {
    let (scene, operator) = scene(&usual()).await;
    write(&scene, "images.json", &printed_of(&scene.world, REGISTRY, &[])).await;
    for (policy, endpoint, number) in PLANNING {
        let planning = Matcher::endpoint(endpoint).nth(number);
        let hold = kept_at(&scene, policy, planning, HoldPoint::AfterProcessing).await;
        replace(&scene, &printed(&scene.world, REGISTRY)).await;
        go_on(&scene, policy, hold).await;
        replace(&scene, &printed_of(&scene.world, REGISTRY, &[])).await;
    }
    assert_eq!(scene.tags(), [["used"], ["used"]]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_grows_too_old_while_a_run_goes_on_stops_it() {
    let scene = Scene::with(&TAGS).await;
    let reference = json!({"configMapRef": {"name": "cluster-west"}, "maxAge": "1h"});
    scene.apply(&json!({"protect": {"inUseFrom": [reference]}, "activeDeadlineSeconds": 86_400})).await;
    let operator = scene.operator_as(Setup::of(&scene.world)).await;
    write(&scene, "images.json", &printed(&scene.world, REGISTRY)).await;
    for (policy, endpoint, number) in PLANNING {
        replace(&scene, &printed(&scene.world, REGISTRY)).await;
        let planning = Matcher::endpoint(endpoint).nth(number);
        let hold = kept_at(&scene, policy, planning, HoldPoint::AfterProcessing).await;
        scene.world.sim.advance(SignedDuration::from_hours(1) + SignedDuration::from_secs(1));
        let status = go_on(&scene, policy, hold).await;
        assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/InUseUnknown", "{status:#?}");
        assert!(status.last_run.unwrap().message.unwrap().contains("the list is too old"));
    }
    assert_eq!(scene.tags(), [TAGS, TAGS]);
    operator.stop().await;
}
