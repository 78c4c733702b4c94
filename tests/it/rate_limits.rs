//! GitLab's limits on requests: a run waits for them, without its place, as long as it may last, and goes on later
//! where that is not long enough.

use gitlab_simulator::{Action, Endpoint, Fault, Matcher, RateLimit};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RunResult, Trigger};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{Operator, World};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Some repositories with a tag that is old enough, and an operator with a policy for them.
async fn some(number: usize, changes: &Value) -> (World, Operator, Vec<u64>) {
    let world = World::start().await;
    let path = |number: usize| format!("shop/backend/r{number:02}");
    let repositories = (1..=number).map(|number| world.repository(&path(number), &[("old-1", 100), ("main", 1)]));
    let repositories = repositories.collect();
    world.apply(&world.policy("shop", changes)).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    (world, operator, repositories)
}

fn left(world: &World, repositories: &[u64]) -> usize {
    repositories.iter().filter(|repository| world.tags(**repository).len() > 1).count()
}

fn has_ended(status: &PolicyStatus) -> bool {
    status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some())
}

#[rstest]
// Pages and removals of several repositories share requests.
#[case::exact("Exact", 8)]
#[case::bulk("Bulk", 20)]
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_more_requests_than_are_let_through_says_so_beforehand_and_waits(
    #[case] method: &str,
    #[case] let_through: u64,
) {
    let changes = json!({"method": method, "activeDeadlineSeconds": 21_600, "startingDeadlineSeconds": 3600});
    let (world, operator, repositories) = some(8, &changes).await;
    let tells = RateLimit { requests: let_through, period_seconds: 600, headers_on_every_answer: true };
    world.sim.edit(|registry| registry.settings.rate_limit = Some(tells));
    let began = world.now();
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    let says = |status: &PolicyStatus| {
        let run = status.last_run.as_ref().filter(|run| run.result == RunResult::Running);
        let message = run.and_then(|run| run.message.as_deref());
        message.is_some_and(|message| message.starts_with("a run takes some 24 requests; GitLab's limits let "))
    };
    world.until("shop", says).await;
    let status = world.until("shop", has_ended).await;
    let run = status.last_run.as_ref().unwrap();
    assert_eq!((run.result, left(&world, &repositories)), (RunResult::Succeeded, 0), "{status:#?}");
    assert!(world.now().duration_since(began) > SignedDuration::from_mins(10), "it waited");
    let sent = run.requests.unwrap();
    assert!(sent > let_through, "{sent}");
    let refused = world.sim.requests().iter().filter(|request| request.status == Some(429)).count();
    assert!(refused <= 8, "{refused} requests were wasted");
    operator.stop().await;
}

#[rstest]
// Of six repositories those that are planned together go in one request.
#[case::exact("Exact", Endpoint::GraphqlMutation, 2)]
#[case::bulk("Bulk", Endpoint::BulkDeleteTags, 3)]
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_sent_away_for_longer_than_it_may_last_goes_on_then_and_has_not_failed(
    #[case] method: &str,
    #[case] endpoint: Endpoint,
    #[case] removal: u64,
) {
    let changes = json!({"method": method, "activeDeadlineSeconds": 600, "startingDeadlineSeconds": 7200});
    let (world, operator, repositories) = some(6, &changes).await;
    let sent_away = Action::TooManyRequests { retry_after: Some(3600) };
    world.sim.fault(Fault::new(Matcher::endpoint(endpoint).nth(removal), sent_away));
    let status = world.run("shop", "one").await;
    let run = status.last_run.as_ref().unwrap();
    assert_eq!(run.result, RunResult::Interrupted, "{status:#?}");
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "Unknown/RateLimited");
    assert_eq!(World::condition(&status, "Ready"), "True/Scheduled");
    assert_eq!(status.consecutive_failures, Some(0));
    let interrupted = status.interrupted_run.clone().unwrap();
    let again = interrupted.resume_after.unwrap().0;
    let message = run.message.clone().unwrap();
    assert!(message.contains(&format!("it goes on as a new run at {again:.0}")), "{message}");
    assert!(status.repositories.iter().all(|one| one.reason.as_deref() != Some("RateLimited")), "{status:#?}");
    assert!(left(&world, &repositories) > 0);

    world.sim.clear_requests();
    world.sim.clock().set(again - SignedDuration::from_secs(1));
    operator.nudge();
    let status = world.preview("shop", "in-between").await;
    assert!(status.interrupted_run.is_some() && status.history.iter().all(|run| run.trigger != Trigger::Resumed));
    world.sim.clock().set(again + SignedDuration::from_secs(1));
    operator.nudge();
    let resumed = |status: &PolicyStatus| {
        status.last_run.as_ref().is_some_and(|run| run.trigger == Trigger::Resumed) && has_ended(status)
    };
    let status = world.until("shop", resumed).await;
    world.sim.advance(SignedDuration::from_mins(5));
    assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded, "{status:#?}");
    assert_eq!((left(&world, &repositories), status.interrupted_run), (0, None));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_ends_before_the_deadline_is_waited_out_in_the_same_run() {
    let changes = json!({"method": "Bulk", "activeDeadlineSeconds": 7200, "startingDeadlineSeconds": 3600});
    let (world, operator, repositories) = some(3, &changes).await;
    let sent_away = Action::TooManyRequests { retry_after: Some(3600) };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::BulkDeleteTags).nth(2), sent_away));
    let began = world.now();
    let status = world.run("shop", "one").await;
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "True/Succeeded");
    assert!(world.now().duration_since(began) >= HOUR);
    assert_eq!(left(&world, &repositories), 0);
    let sent: Vec<_> = world.sim.requests_to(Endpoint::BulkDeleteTags).iter().map(|request| request.status).collect();
    assert_eq!(sent, [Some(202), Some(429), Some(202), Some(202)]);
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_a_courtesy_call_pauses_nothing(#[values("Exact", "Bulk")] method: &str) {
    let (world, operator, repositories) = some(3, &json!({"method": method})).await;
    let sent_away = Action::TooManyRequests { retry_after: Some(3600) };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GetProject), sent_away.clone()));
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::TokenSelf), sent_away));
    let began = world.now();
    let status = world.preview("shop", "look").await;
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "True/Succeeded", "{status:#?}");
    let status = world.run("shop", "one").await;
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "True/Succeeded", "{status:#?}");
    assert!(world.now().duration_since(began) < SignedDuration::from_mins(5));
    assert_eq!(left(&world, &repositories), 0);
    operator.stop().await;
}
