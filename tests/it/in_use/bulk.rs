//! What GitLab's bulk deletion is told of images in use, and when it is not asked at all.

use gitlab_simulator::{Endpoint, Version};
use registry_cleanup_operator::api::RepositoryResult;
use rstest::rstest;
use serde_json::{Value, json};

use super::{Scene, deploy};
use crate::world::Setup;

/// The `name_regex_keep` of the one request that there was.
fn told(scene: &Scene) -> Value {
    let requests = scene.world.sim.requests_to(Endpoint::BulkDeleteTags);
    assert_eq!(requests.len(), 1);
    requests[0].params["name_regex_keep"].clone()
}

#[rstest]
#[case::names_are_escaped(&[":v1.0-rc"], json!({}), json!(r"(?:v1\.0\-rc)"), &["v1.0-rc"])]
#[case::several_in_order(&[":v2", ":v1.0-rc"], json!({}), json!(r"(?:v1\.0\-rc|v2)"), &["v1.0-rc", "v2"])]
#[case::beside_what_is_protected(&[":v2"], json!({"protect": {"nameRegex": ["v1x.*"]}}), json!("(?:(?:v2)|(?:v1x.*))"), &["v1x0-rc", "v2"])]
#[case::protected_itself(&[":v2"], json!({"protect": {"nameRegex": ["v2"]}}), json!("(?:v2)"), &["v2"])]
#[case::latest(&[":latest"], json!({}), Value::Null, &[])]
#[case::pushed_any_moment_now(&[":next"], json!({}), json!("(?:next)"), &[])]
#[case::of_no_rule(&[":v2"], json!({"rules": [{"name": "old", "nameRegexDelete": "v1.*", "olderThan": "7d"}]}), Value::Null, &["v2"])]
#[tokio::test(flavor = "multi_thread")]
async fn gitlab_is_told_to_keep_just_the_names_in_use(
    #[case] used: &[&str],
    #[case] changes: Value,
    #[case] pattern: Value,
    #[case] left: &[&str],
) {
    let scene = Scene::with(&["v1.0-rc", "v1x0-rc", "v2"]).await;
    // It never goes, and it is a list that is not empty which proves what went.
    scene.push("latest", |push| push);
    scene.apply(&changes).await;
    let operator = scene.operator_as(Setup::of(&scene.world)).await;
    for (number, image) in used.iter().enumerate() {
        deploy(&scene, &format!("web-{number}"), image).await;
    }
    let statuses = scene.run("one").await;
    assert_eq!(told(&scene), pattern);
    let left: Vec<&str> = ["latest"].iter().chain(left).copied().collect();
    assert_eq!(scene.tags(), [left.clone(), left], "{statuses:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_names_than_gitlab_should_be_told_leave_the_repository_alone_and_recommend_exact() {
    let names: Vec<String> = (0..130).map(|number| format!("{number:0>127}")).collect();
    let scene = Scene::with(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    scene.push("unused", |push| push);
    let operator = scene.operator().await;
    for (number, name) in names.iter().enumerate() {
        deploy(&scene, &format!("web-{number}"), &format!(":{name}")).await;
    }
    let [bulk, exact] = scene.run("one").await;
    let repository = &bulk.repositories[0];
    let reason = (repository.result, repository.reason.as_deref());
    assert_eq!(reason, (RepositoryResult::Skipped, Some("InUseUnresolved")), "{bulk:#?}");
    let message = repository.message.as_deref().unwrap();
    assert!(message.contains("the 130 tags in use") && message.contains("method: Exact"), "{message}");
    assert_eq!(scene.world.sim.requests_to(Endpoint::BulkDeleteTags), []);
    assert_eq!(scene.tags()[1], names, "{exact:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_told_to_keep_anything_is_not_asked() {
    let old = |config: &mut gitlab_simulator::Config| config.settings.version = Version::new(12, 9);
    let scene = Scene::set_up(old, &[("unused", 30), ("used", 30)]).await;
    let operator = scene.operator().await;
    deploy(&scene, "web", ":used").await;
    let [bulk, _] = scene.run("one").await;
    let repository = &bulk.repositories[0];
    assert_eq!(repository.reason.as_deref(), Some("InUseUnresolved"), "{bulk:#?}");
    assert!(repository.message.as_deref().unwrap().contains("GitLab before 12.10"), "{repository:?}");
    assert_eq!(scene.tags(), [["unused", "used"], ["unused", "used"]]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_in_use_takes_none_of_the_places_of_keep_n_in_either_method() {
    let tags = [("v1", 6), ("v2", 5), ("v3", 4), ("v4", 3), ("v5", 2), ("v6", 1)];
    let scene = Scene::set_up(|_| {}, &tags).await;
    scene.apply(&json!({"rules": [{"name": "newest", "nameRegexDelete": "v.*", "keepN": 2}]})).await;
    let operator = scene.operator_as(Setup::of(&scene.world)).await;
    deploy(&scene, "first", ":v1").await;
    deploy(&scene, "last", ":v6").await;
    let previews = scene.preview("one").await;
    for preview in &previews {
        let mut samples = preview.repositories[0].samples.clone();
        samples.sort();
        assert_eq!(samples, ["v2", "v3"], "{preview:#?}");
        assert_eq!(preview.last_run.as_ref().unwrap().tags.in_use, 2);
    }
    scene.leaves(&["v1", "v4", "v5", "v6"], 2).await;
    operator.stop().await;
}
