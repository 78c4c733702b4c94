//! Removals of several small repositories in one request: what comes into use in one of them stays, and nothing else
//! does.

use gitlab_simulator::{Action, Endpoint, Fault, HoldPoint, Matcher};
use rstest::rstest;
use serde_json::json;

use super::late::{go_on, kept_at};
use super::{OLD, REGISTRY, Scene, replicated};

const TAGS: [&str; 2] = ["late", "unused"];

#[rstest]
// Before the first page it is found out what GraphQL knows.
#[case::before_it_leaves(Matcher::endpoint(Endpoint::GraphqlQuery).nth(2), false)]
#[case::when_it_was_turned_away(Matcher::endpoint(Endpoint::GraphqlMutation).nth(1), true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_saves_its_image_from_a_request_with_tags_of_several_repositories(
    #[case] at: Matcher,
    #[case] turned_away: bool,
) {
    let scene = Scene::with(&TAGS).await;
    let tags: Vec<(&str, i64)> = TAGS.iter().map(|tag| (*tag, OLD)).collect();
    let others = ["before", "other"].map(|name| scene.world.repository(&format!("shop/exact/{name}"), &tags));
    let operator = scene.operator().await;
    let point = if turned_away {
        let refused = Action::TooManyRequests { retry_after: Some(60) };
        scene.world.sim.fault(Fault::new(at.clone(), refused));
        HoldPoint::BeforeProcessing
    } else {
        HoldPoint::AfterProcessing
    };
    let hold = kept_at(&scene, "exact", at, point).await;
    let image = format!("{REGISTRY}/shop/exact/other:late");
    let mut deployment = replicated(&json!({"containers": [{"name": "web", "image": image}]}));
    deployment["spec"]["paused"] = json!(true);
    scene.place.create("apps/v1/Deployment", "late", &deployment).await;
    let status = go_on(&scene, "exact", hold).await;
    assert_eq!(scene.world.tags(others[1]), ["late"], "{status:#?}");
    assert!(scene.world.tags(others[0]).is_empty() && scene.tags()[1].is_empty(), "{status:#?}");
    let run = status.last_run.as_ref().unwrap();
    assert_eq!((run.tags.matched, run.tags.confirmed, run.tags.in_use), (6, 5, 1));
    operator.stop().await;
}
