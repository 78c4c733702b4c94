//! An interruption between operator and API server in the middle of a run that removes: the run waits, and goes on with
//! what is known then.

use std::sync::Arc;

use gitlab_simulator::{Endpoint, Hold, HoldPoint, Matcher};
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RunResult};
use rstest::rstest;
use serde_json::json;

use super::{Scene, deploy};
use crate::support::in_time;
use crate::world::{Between, HeldClock, Operator, Setup};

const TAGS: [&str; 3] = ["late", "unused", "used"];

/// A run whose plan GitLab has answered, and the operator has not.
struct Planning {
    scene: Scene,
    between: Between,
    clock: Arc<HeldClock>,
    operator: Operator,
    hold: Hold,
}

impl Planning {
    /// Holds the request of this number that plans.
    async fn begin(policy: &str, planning: Endpoint, number: u64) -> Self {
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
        Self { scene, between, clock, operator, hold }
    }
}

/// Waits for the end of the run, which takes what nobody uses.
async fn ends_well(scene: &Scene, policy: &str, clock: &HeldClock, index: usize) {
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
}

#[rstest]
#[case::bulk("bulk", Endpoint::ListTags, 0)]
#[case::exact("exact", Endpoint::GraphqlQuery, 1)]
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_breaks_off_during_a_run_is_waited_for_and_nothing_goes_that_came_into_use(
    #[case] policy: &str,
    #[case] planning: Endpoint,
    #[case] index: usize,
) {
    let Planning { scene, between, clock, operator, hold } =
        Planning::begin(policy, planning, if index == 0 { 1 } else { 2 }).await;

    let broken = between.refuse_watches("/deployments");
    deploy(&scene, "late", ":late").await;
    hold.release();
    // It asks again only when the clock moves or the watch is back.
    clock.somebody_waits().await;
    assert_eq!(scene.tags()[index], TAGS, "nothing is sent while it is not known");
    let running = scene.world.policies().get(policy).await.unwrap().status.unwrap().last_run.unwrap();
    assert_eq!(running.result, RunResult::Running);

    drop(broken);
    ends_well(&scene, policy, &clock, index).await;
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
    let Planning { scene, between, clock, operator, hold } = Planning::begin(policy, planning, number).await;

    between.fail("/deployments");
    hold.release();
    clock.somebody_waits().await;
    deploy(&scene, "late", ":late").await;
    assert_eq!(scene.tags()[index], TAGS, "nothing is sent while it is not known");
    // The clock stands still.
    between.fail_no_more("/deployments");
    ends_well(&scene, policy, &clock, index).await;
    operator.stop().await;
}
