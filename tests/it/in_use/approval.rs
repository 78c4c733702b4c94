//! A plan that waits for approval, and images that come into use meanwhile.

use gitlab_simulator::{Endpoint, HoldPoint, Matcher, Settings, Version};
use registry_cleanup_operator::api::{APPROVE, PendingApproval, PolicyStatus, RunResult};
use rstest::rstest;
use serde_json::json;

use super::{OLD, Scene, deploy};
use crate::support::in_time;
use crate::world::{Operator, Setup, World};

const TAGS: [&str; 3] = ["first", "second", "third"];

/// Three old tags, and the plan to remove all of them.
async fn proposed(change: fn(&mut Settings)) -> (Scene, Operator, PendingApproval) {
    let scene = Scene::set_up(|config| change(&mut config.settings), &TAGS.map(|tag| (tag, OLD))).await;
    let spec = json!({"method": "Exact", "mode": "RequireApproval", "target": {"projects": ["shop/exact"]}});
    scene.world.apply(&scene.world.policy("exact", &spec)).await.unwrap();
    let operator = Operator::set_up(&scene.world, Setup::of(&scene.world)).await;
    scene.world.ready("exact").await;
    let status = scene.world.run("exact", "propose").await;
    let plan = status.pending_approval.unwrap();
    assert_eq!(plan.tags, 3);
    (scene, operator, plan)
}

async fn ended(scene: &Scene, hash: &str) -> PolicyStatus {
    let over = |status: &PolicyStatus| {
        let ended = status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some());
        status.last_handled_approval.as_deref() == Some(hash) && ended
    };
    scene.world.until("exact", over).await
}

async fn approve(scene: &Scene, hash: &str) -> PolicyStatus {
    scene.world.annotate("exact", APPROVE, hash).await;
    ended(scene, hash).await
}

fn removals(scene: &Scene) -> usize {
    let endpoints = [Endpoint::GraphqlMutation, Endpoint::DeleteTag];
    endpoints.into_iter().map(|endpoint| scene.world.sim.requests_to(endpoint).len()).sum()
}

fn usual(_: &mut Settings) {}

fn unsorted(settings: &mut Settings) {
    settings.version = Version::new(16, 11);
}

fn no_graphql(settings: &mut Settings) {
    settings.graphql = false;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_comes_into_use_before_the_approval_changes_the_plan_and_nothing_goes(
    #[values(usual, unsorted, no_graphql)] server: fn(&mut Settings),
    #[values(":second", "@{digest}")] reference: &str,
) {
    let (scene, operator, plan) = proposed(server).await;
    deploy(&scene, "web", &reference.replace("{digest}", &scene.digests("second")[1])).await;
    let status = approve(&scene, &plan.plan_hash).await;
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/PlanChanged");
    assert_eq!((scene.tags()[1].as_slice(), removals(&scene)), (TAGS.map(str::to_owned).as_slice(), 0));
    let run = status.last_run.unwrap();
    assert_eq!((run.result, run.tags.in_use), (RunResult::Failed, 1));
    let message = run.message.unwrap();
    assert!(message.contains("shop/exact/app: 3 → 2 tags"), "{message}");

    let next = status.pending_approval.unwrap();
    assert_eq!((next.tags, next.time), (2, plan.time));
    assert_ne!(next.plan_hash, plan.plan_hash);
    let status = approve(&scene, &next.plan_hash).await;
    assert_eq!(scene.tags()[1], ["second"], "{status:#?}");
    operator.stop().await;
}

#[rstest]
#[case::sorted_by_push(usual, Endpoint::GraphqlQuery)]
#[case::unsorted(unsorted, Endpoint::GraphqlQuery)]
#[case::tag_by_tag(no_graphql, Endpoint::ListTags)]
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_comes_into_use_while_the_approved_plan_is_carried_out_is_all_that_stays(
    #[case] server: fn(&mut Settings),
    #[case] planning: Endpoint,
) {
    let (scene, operator, plan) = proposed(server).await;
    // The plan is made again before it is carried out, and what is in use was looked at before that.
    let hold = scene.world.sim.hold(Matcher::endpoint(planning), HoldPoint::AfterProcessing);
    scene.world.annotate("exact", APPROVE, &plan.plan_hash).await;
    in_time("the plan", hold.reached()).await;
    deploy(&scene, "web", ":second").await;
    hold.release();
    let status = ended(&scene, &plan.plan_hash).await;
    assert_eq!(scene.tags()[1], ["second"], "{status:#?}");
    let run = status.last_run.unwrap();
    assert_eq!((run.result, run.tags.matched, run.tags.confirmed), (RunResult::Succeeded, 3, 2));
    assert_eq!((run.tags.in_use, status.pending_approval), (1, None));
    let message = status.repositories[0].message.as_deref().unwrap();
    let told = "2 of 3 planned tags were removed, 1 kept because they came into use meanwhile";
    assert!(message.starts_with(told), "{message}");
    operator.stop().await;
}
