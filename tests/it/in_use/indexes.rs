//! Images in use by the digest of one platform: their index stays, and only it, where GitLab tells what is inside.

use gitlab_simulator::{Action, Config, Endpoint, Fault, Matcher, TagKind, Version};
use rstest::rstest;

use super::{Scene, deploy, images, pod};
use crate::world::Operator;
use serde_json::json;

/// Made up, but of the right form.
fn digest(number: usize) -> String {
    format!("sha256:{number:064}")
}

async fn scene(major: u16, minor: u16) -> (Scene, Operator) {
    let version = move |config: &mut Config| config.settings.version = Version::new(major, minor);
    let scene = Scene::set_up(version, &[("single", 30)]).await;
    let operator = scene.operator().await;
    (scene, operator)
}

fn index(scene: &Scene, tag: &str, kind: TagKind, children: [usize; 2]) {
    let children = children.map(digest);
    let children = children.each_ref().map(String::as_str);
    scene.push(tag, |push| push.kind(kind).children(&children));
}

/// How often GitLab was asked what an index contains.
fn asked(scene: &Scene) -> usize {
    let queries = scene.world.sim.requests_to(Endpoint::GraphqlQuery);
    let about = |operation: &str| matches!(operation, "tagDetails" | "manifest");
    queries.iter().filter(|query| query.operation.as_deref().is_some_and(about)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_of_an_image_in_use_stays_and_no_other() {
    let (scene, operator) = scene(18, 10).await;
    index(&scene, "one", TagKind::Index, [11, 12]);
    index(&scene, "other", TagKind::Index, [21, 22]);
    index(&scene, "list", TagKind::ManifestList, [31, 32]);
    deploy(&scene, "web", &format!("@{}", digest(12))).await;
    let preview = scene.preview("one").await;
    assert!(preview.iter().all(|status| status.last_run.as_ref().unwrap().tags.in_use == 1), "{preview:#?}");
    let before = asked(&scene);
    assert!(before > 0);
    scene.leaves(&["one"], 1).await;
    assert_eq!(asked(&scene), before, "what an index contains is remembered");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_in_use_by_name_is_looked_into_first() {
    let (scene, operator) = scene(18, 10).await;
    for number in 0..30 {
        index(&scene, &format!("t{number:02}"), TagKind::Index, [100 + number, 200 + number]);
    }
    let containers = pod(&images(":t29"));
    scene.place.create("v1/Pod", "web", &json!({"spec": containers})).await;
    let status = |(name, image): (&str, String)| json!({"name": name, "image": "x", "imageID": image, "ready": true, "restartCount": 0});
    let ids: Vec<_> = super::POLICIES.into_iter().zip(images(&format!("@{}", digest(229)))).map(status).collect();
    scene.place.patch_status("v1/Pod", "web", &json!({"containerStatuses": ids})).await;
    scene.leaves(&["t29"], 1).await;
    // The same in both repositories, so that whoever comes second need not ask.
    assert!(asked(&scene) <= 2, "{}", asked(&scene));
    operator.stop().await;
}

#[rstest]
#[case::older_servers_tell_of_lists(18, 9, &["multi"])]
#[case::still_older_ones_of_nothing(17, 0, &["list", "multi", "single"])]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_inside_of_some_is_not_told_and_these_stay(
    #[case] major: u16,
    #[case] minor: u16,
    #[case] left: &[&str],
) {
    let (scene, operator) = scene(major, minor).await;
    index(&scene, "multi", TagKind::Index, [11, 12]);
    index(&scene, "list", TagKind::ManifestList, [21, 22]);
    deploy(&scene, "web", &format!("@{}", digest(99))).await;
    let [bulk, exact] = scene.run("one").await;
    assert_eq!(scene.tags()[1], left, "{exact:#?}");
    // GitLab's bulk deletion cannot be told of a single one.
    assert_eq!(scene.tags()[0], ["list", "multi", "single"]);
    assert_eq!(bulk.repositories[0].reason.as_deref(), Some("InUseUnresolved"));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_list_the_image_in_use_is_found_by_its_manifest() {
    let (scene, operator) = scene(18, 9).await;
    index(&scene, "one", TagKind::ManifestList, [11, 12]);
    index(&scene, "other", TagKind::ManifestList, [21, 22]);
    deploy(&scene, "web", &format!("@{}", digest(12))).await;
    scene.leaves(&["one"], 1).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_fifty_indexes_are_asked_about_in_a_run_and_the_others_stay_until_the_next() {
    let (scene, operator) = scene(18, 10).await;
    for number in 0..60 {
        index(&scene, &format!("t{number:02}"), TagKind::Index, [100 + number, 200 + number]);
    }
    deploy(&scene, "web", &format!("@{}", digest(99))).await;
    let first = scene.world.run("exact", "one").await;
    assert_eq!((asked(&scene), scene.tags()[1].len()), (50, 10), "{first:#?}");
    let message = first.repositories[0].message.as_deref().unwrap();
    assert!(message.contains("10 may be in use") && message.contains(&digest(99)), "{message}");
    let second = scene.world.run("exact", "two").await;
    assert_eq!((asked(&scene), scene.tags()[1].len()), (60, 0), "{second:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_answer_about_indexes_keeps_them() {
    let (scene, operator) = scene(18, 10).await;
    index(&scene, "multi", TagKind::Index, [11, 12]);
    index(&scene, "other", TagKind::Index, [21, 22]);
    deploy(&scene, "web", &format!("@{}", digest(12))).await;
    // The first query finds out what the server knows, the second reads the tags.
    let matcher = Matcher {
        repository: Some(scene.repositories[1]),
        skip: 2,
        times: Some(4),
        ..Matcher::endpoint(Endpoint::GraphqlQuery)
    };
    let answer = Action::Answer { status: 502, headers: Vec::new(), body: String::new() };
    scene.world.sim.fault(Fault::new(matcher, answer));
    let status = scene.world.run("exact", "one").await;
    assert_eq!(scene.tags()[1], ["multi", "other"], "{status:#?}");
    operator.stop().await;
}
