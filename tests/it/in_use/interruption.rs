//! An interruption between operator and API server in the middle of a run that removes: the run waits, and goes on with
//! what is known then.

use gitlab_simulator::{Endpoint, HoldPoint, Matcher};
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RunResult};
use rstest::rstest;
use serde_json::json;

use super::{Scene, deploy};
use crate::support::in_time;
use crate::world::{Between, HeldClock, Setup};

const TAGS: [&str; 3] = ["late", "unused", "used"];

#[rstest]
#[case::bulk("bulk", Endpoint::ListTags, 0)]
#[case::exact("exact", Endpoint::GraphqlQuery, 1)]
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_breaks_off_during_a_run_is_waited_for_and_nothing_goes_that_came_into_use(
    #[case] policy: &str,
    #[case] planning: Endpoint,
    #[case] index: usize,
) {
    let scene = Scene::with(&TAGS).await;
    deploy(&scene, "web", ":used").await;
    let (between, clock) = (Between::default(), HeldClock::of(&scene.world));
    scene.apply(&json!({})).await;
    let setup = Setup { between: Some(between.clone()), clock: clock.clone(), ..Setup::of(&scene.world) };
    let operator = scene.operator_as(setup).await;
    let planning = Matcher::endpoint(planning).nth(if index == 0 { 1 } else { 2 });
    let hold = scene.world.sim.hold(planning, HoldPoint::AfterProcessing);
    scene.world.annotate(policy, RUN_REQUESTED_AT, "one").await;
    in_time("the plan", hold.reached()).await;

    let broken = between.refuse_watches("/deployments");
    deploy(&scene, "late", ":late").await;
    hold.release();
    // It asks again only when the clock moves or the watch is back.
    clock.somebody_waits().await;
    assert_eq!(scene.tags()[index], TAGS, "nothing is sent while it is not known");
    let running = scene.world.policies().get(policy).await.unwrap().status.unwrap().last_run.unwrap();
    assert_eq!(running.result, RunResult::Running);

    drop(broken);
    if policy == "bulk" {
        let sent = scene.world.sim.wait_for(|it| it.endpoint == Endpoint::BulkDeleteTags && it.status.is_some());
        in_time("the request", sent).await;
        // GitLab gets to work while the operator waits to look at what went.
        clock.release();
    }
    let status =
        scene.world.until(policy, |status| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some()));
    let status = status.await;
    assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded, "{status:#?}");
    assert_eq!(scene.tags()[index], ["late", "used"]);
    operator.stop().await;
}

#[rstest]
#[case::bulk("bulk", Endpoint::ListTags, 1, 0)]
#[case::exact("exact", Endpoint::GraphqlQuery, 2, 1)]
#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_fails_while_all_is_watched_is_repeated_until_it_succeeds_whatever_the_clock_says(
    #[case] policy: &str,
    #[case] planning: Endpoint,
    #[case] number: u64,
    #[case] index: usize,
) {
    let scene = Scene::with(&TAGS).await;
    deploy(&scene, "web", ":used").await;
    let (between, clock) = (Between::default(), HeldClock::of(&scene.world));
    scene.apply(&json!({})).await;
    let setup = Setup { between: Some(between.clone()), clock: clock.clone(), ..Setup::of(&scene.world) };
    let operator = scene.operator_as(setup).await;
    let planning = Matcher::endpoint(planning).nth(number);
    let hold = scene.world.sim.hold(planning, HoldPoint::AfterProcessing);
    scene.world.annotate(policy, RUN_REQUESTED_AT, "one").await;
    in_time("the plan", hold.reached()).await;

    between.fail("/deployments");
    hold.release();
    clock.somebody_waits().await;
    deploy(&scene, "late", ":late").await;
    assert_eq!(scene.tags()[index], TAGS, "nothing is sent while it is not known");
    // The clock stands still.
    between.fail_no_more("/deployments");
    if policy == "bulk" {
        let sent = scene.world.sim.wait_for(|it| it.endpoint == Endpoint::BulkDeleteTags && it.status.is_some());
        in_time("the request", sent).await;
        // GitLab gets to work while the operator waits to look at what went.
        clock.release();
    }
    let over = |status: &PolicyStatus| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some());
    let status = scene.world.until(policy, over).await;
    assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded, "{status:#?}");
    assert_eq!(scene.tags()[index], ["late", "used"]);
    operator.stop().await;
}
