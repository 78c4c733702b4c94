//! A run that was cut short by its operator's end goes on: once, planned anew, and within its time.

use gitlab_simulator::{Endpoint, Hold, HoldPoint, Matcher, Push};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{APPROVE, PolicyStatus, RUN_REQUESTED_AT, RunResult, Trigger};
use serde_json::json;

use crate::support::{events_of, in_time};
use crate::world::{Operator, Setup, World};

/// An operator that removes of one repository at a time, so that a run can be cut short between two.
async fn start(world: &World) -> Operator {
    Operator::set_up(world, Setup { graphql_batch: 1, ..Setup::of(world) }).await
}

fn has_ended(status: &PolicyStatus) -> bool {
    status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some())
}

fn by(status: &PolicyStatus, trigger: Trigger) -> usize {
    status.history.iter().filter(|run| run.trigger == trigger).count()
}

/// A run of the method Exact over three repositories in the middle of its first removal.
async fn in_the_middle_of_a_run() -> (World, Operator, Hold) {
    let world = World::start().await;
    for image in ["api", "web", "worker"] {
        world.repository(&format!("shop/backend/{image}"), &[("v1", 30), ("v2", 20), ("main", 1)]);
    }
    let rules = json!([{"name": "versions", "nameRegexDelete": "v.*", "olderThan": "7d"}]);
    let policy = world.policy("shop", &json!({"rules": rules, "method": "Exact", "startingDeadlineSeconds": 1800}));
    world.apply(&policy).await.unwrap();
    let operator = start(&world).await;
    world.ready("shop").await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation).nth(1), HoldPoint::AfterProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("the first removal", hold.reached()).await;
    (world, operator, hold)
}

fn left(world: &World) -> usize {
    let all = world.sim.read(|registry| registry.repositories().map(|it| it.id).collect::<Vec<_>>());
    all.into_iter().map(|repository| world.tags(repository).len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_goes_on_once_with_what_is_left() {
    let (world, operator, hold) = in_the_middle_of_a_run().await;
    operator.kill().await;
    hold.release();
    assert_eq!(left(&world), 7, "two tags of one repository are gone");
    let operator = start(&world).await;
    let resumed = |status: &PolicyStatus| by(status, Trigger::Resumed) == 1 && has_ended(status);
    let status = world.until("shop", resumed).await;
    let run = status.last_run.as_ref().unwrap();
    assert_eq!((run.result, run.tags.confirmed), (RunResult::Succeeded, 4), "{status:#?}");
    assert_eq!(run.resumes.as_ref().unwrap().id, status.history[1].id);
    let message = run.message.as_ref().unwrap();
    assert!(message.contains(&format!("went on with run {}", status.history[1].id)), "{message}");
    assert_eq!((status.interrupted_run.as_ref(), left(&world)), (None, 3));
    // Nothing is left to go on with.
    operator.nudge();
    let status = world.preview("shop", "one").await;
    assert_eq!(by(&status, Trigger::Resumed), 1);
    operator.stop().await;
    assert_eq!(events_of(&world, "CleanupResumed").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cut_short_twice_does_not_go_on_twice() {
    let (world, operator, hold) = in_the_middle_of_a_run().await;
    operator.terminate();
    hold.release();
    let status = world.until("shop", has_ended).await;
    operator.stop().await;
    let cut = status.interrupted_run.unwrap();
    assert_eq!((cut.trigger, cut.approved_plan), (Trigger::RunRequested, None));
    assert!(
        status.last_run.unwrap().message.unwrap().contains("it goes on as a new run if an operator is there before")
    );
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation).nth(1), HoldPoint::AfterProcessing);
    let operator = start(&world).await;
    in_time("the next removal", hold.reached()).await;
    operator.kill().await;
    hold.release();
    let operator = start(&world).await;
    let status = world.until("shop", |status| status.history.len() == 2 && has_ended(status)).await;
    assert_eq!(status.interrupted_run, None);
    let status = world.run("shop", "two").await;
    operator.stop().await;
    let triggers: Vec<Trigger> = status.history.iter().map(|run| run.trigger).collect();
    assert_eq!(triggers, [Trigger::RunRequested, Trigger::Resumed, Trigger::RunRequested]);
    assert_eq!(left(&world), 3, "the next run takes up what is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_does_not_go_on_after_its_time_nor_after_an_edit() {
    for late in [true, false] {
        let (world, operator, hold) = in_the_middle_of_a_run().await;
        operator.terminate();
        hold.release();
        world.until("shop", has_ended).await;
        operator.stop().await;
        let before = left(&world);
        if late {
            world.sim.advance(SignedDuration::from_secs(1801));
        } else {
            world.kubectl(&["patch", "rcp", "shop", "--type=merge", "--patch", r#"{"spec":{"historyLimit":4}}"#]);
        }
        let operator = start(&world).await;
        world.until("shop", |status| status.interrupted_run.is_none()).await;
        let status = world.preview("shop", "one").await;
        operator.stop().await;
        assert_eq!((by(&status, Trigger::Resumed), left(&world)), (0, before));
        assert_eq!(events_of(&world, "CleanupNotResumed").await, i32::from(late));
    }
}

/// An approved plan in the middle of being carried out.
async fn approved() -> (World, Operator, Hold) {
    let world = World::start().await;
    for image in ["api", "web"] {
        world.repository(&format!("shop/backend/{image}"), &[("v1", 30), ("v2", 20), ("v9", 1), ("main", 1)]);
    }
    let rules = json!([{"name": "versions", "nameRegexDelete": "v.*", "keepN": 1}]);
    let spec = json!({"rules": rules, "method": "Exact", "mode": "RequireApproval"});
    world.apply(&world.policy("shop", &spec)).await.unwrap();
    let operator = start(&world).await;
    world.ready("shop").await;
    let plan = world.run("shop", "one").await.pending_approval.unwrap();
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation).nth(1), HoldPoint::AfterProcessing);
    world.annotate("shop", APPROVE, &plan.plan_hash).await;
    in_time("the first removal", hold.reached()).await;
    // Time for the record to be written.
    world.sim.advance(SignedDuration::from_secs(30));
    let marked = |status: &PolicyStatus| {
        let plan = status.last_run.as_ref().and_then(|run| run.approved_plan.as_ref());
        plan.is_some_and(|plan| plan.tag_marks.as_ref().is_some_and(|marks| marks.len() == 4 * 12))
    };
    world.until("shop", marked).await;
    (world, operator, hold)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_plan_goes_on_with_its_own_tags() {
    let (world, operator, hold) = approved().await;
    operator.kill().await;
    hold.release();
    assert_eq!(left(&world), 6);
    let operator = start(&world).await;
    let resumed = |status: &PolicyStatus| by(status, Trigger::Resumed) == 1 && has_ended(status);
    let status = world.until("shop", resumed).await;
    operator.stop().await;
    let run = status.last_run.unwrap();
    assert_eq!((run.result, run.tags.confirmed, left(&world)), (RunResult::Succeeded, 2, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_plan_does_not_go_on_with_a_tag_that_was_never_approved() {
    let (world, operator, hold) = approved().await;
    operator.kill().await;
    hold.release();
    // An image of long ago that nobody approved of.
    let web = world.sim.read(|registry| registry.repositories().last().unwrap().id);
    let long_ago = world.now() - SignedDuration::from_hours(24 * 90);
    world.sim.edit(|registry| registry.push(web, "v0", Push::at(long_ago)));
    let before = left(&world);
    let operator = start(&world).await;
    let resumed = |status: &PolicyStatus| by(status, Trigger::Resumed) == 1 && has_ended(status);
    let status = world.until("shop", resumed).await;
    operator.stop().await;
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/PlanChanged");
    assert_eq!(left(&world), before, "nothing was removed");
    assert_eq!(status.pending_approval.unwrap().tags, 3, "it waits for a new approval");
}
