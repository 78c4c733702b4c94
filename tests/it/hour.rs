//! The hour: whatever happens to the operator, GitLab never gets a second bulk deletion for a repository within 3600 s
//! of an accepted one, and none that it would have to refuse.

use std::collections::BTreeMap;

use gitlab_simulator::{Action, Endpoint, Fault, HoldPoint, Matcher, RequestRecord};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RepositoryResult, RunResult, Trigger};
use serde_json::json;

use crate::world::{Operator, World};

pub(crate) const HOUR: SignedDuration = SignedDuration::from_secs(3600);

/// How much longer a repository is blocked when nobody knows whether GitLab has accepted a request: the time-out of the
/// policy, and how long GitLab works.
const UNSEEN: SignedDuration = SignedDuration::from_secs(30 + 150 + 1);

/// Two repositories with something to remove, and two policies that both look after them.
pub(crate) async fn world() -> World {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30), ("v2", 20), ("main", 1)]);
    world.repository("shop/backend/web", &[("w1", 30), ("w2", 20), ("main", 1)]);
    world.apply(&world.policy("a", &json!({}))).await.unwrap();
    world
        .apply(&world.policy("b", &json!({"rules": [{"name": "w", "nameRegexDelete": ".*[12]", "keepN": 1}]})))
        .await
        .unwrap();
    world
}

pub(crate) fn bulk_requests(world: &World) -> Vec<RequestRecord> {
    world.sim.requests_to(Endpoint::BulkDeleteTags)
}

/// Reads the server's log: of any two requests for a repository the second came an hour or more after the first, or
/// after the moment at which GitLab accepted that; and so GitLab had none to refuse.
pub(crate) fn assert_the_hour(world: &World) {
    let mut by_repository: BTreeMap<u64, Vec<RequestRecord>> = BTreeMap::new();
    for request in bulk_requests(world) {
        by_repository.entry(request.repository.unwrap()).or_default().push(request);
    }
    for requests in by_repository.values() {
        for pair in requests.windows(2) {
            let apart = pair[1].at.duration_since(pair[0].accepted_at.unwrap_or(pair[0].at));
            assert!(apart >= HOUR, "only {apart:#} between {:?} and {:?}", pair[0], pair[1]);
        }
    }
}

/// Kills the operator at one step of a run, starts another one, and has both policies run.
async fn killed_at(step: u64, point: HoldPoint) {
    let world = world().await;
    let first = Operator::start(&world).await;
    world.ready("a").await;
    world.ready("b").await;
    let hold = world.sim.hold(Matcher::any().nth(step), point);
    world.annotate("a", RUN_REQUESTED_AT, "before").await;
    hold.reached().await;
    first.kill().await;
    hold.release();

    let second = Operator::start(&world).await;
    let status = world.run("a", "after").await;
    let lost = status.history.iter().find(|run| run.result == RunResult::Interrupted);
    assert!(lost.is_some(), "step {step} {point:?}: the lost run is recorded: {:#?}", status.history);
    world.run("b", "after").await;
    assert_the_hour(&world);

    // Nothing is blocked for longer than it has to be.
    world.sim.advance(HOUR + UNSEEN);
    second.nudge();
    world.run("a", "an hour later").await;
    assert_the_hour(&world);
    let touched: Vec<u64> = bulk_requests(&world).iter().filter_map(|request| request.repository).collect();
    let repositories =
        world.sim.read(|registry| registry.repositories().map(|repository| repository.id).collect::<Vec<_>>());
    for repository in repositories {
        assert!(touched.contains(&repository), "step {step} {point:?}: {repository} never had its turn");
    }
    second.stop().await;
}

/// How many requests one run takes.
async fn steps_of_a_run() -> u64 {
    let world = world().await;
    let operator = Operator::start(&world).await;
    world.ready("a").await;
    world.ready("b").await;
    world.sim.clear_requests();
    world.run("a", "count").await;
    operator.stop().await;
    world.sim.requests().len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_killed_at_any_step_never_sends_a_second_request_within_the_hour() {
    let steps = steps_of_a_run().await;
    assert!(steps >= 8, "only {steps} requests");
    for step in 1..=steps {
        for point in [HoldPoint::BeforeProcessing, HoldPoint::AfterProcessing] {
            killed_at(step, point).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_and_a_second_policy_leave_a_repository_alone_for_an_hour_and_say_until_when() {
    let world = world().await;
    let operator = Operator::start(&world).await;
    world.ready("a").await;
    world.ready("b").await;
    world.run("a", "one").await;
    assert_eq!(bulk_requests(&world).len(), 2);

    for (policy, token) in [("a", "two"), ("b", "one")] {
        let status = world.run(policy, token).await;
        for repository in &status.repositories {
            assert_eq!(repository.result, RepositoryResult::Skipped);
            assert_eq!(repository.reason.as_deref(), Some("RateLimited"));
            assert!(repository.next_eligible_time.as_ref().unwrap().0 > world.now());
        }
        assert_eq!(status.last_run.unwrap().result, RunResult::Succeeded);
    }
    assert_eq!(bulk_requests(&world).len(), 2);
    operator.stop().await;
    let overlap = world.events().await.into_iter().find(|(reason, _)| reason == "PolicyOverlap");
    assert!(overlap.is_some_and(|(_, note)| note.contains(": policy a asked GitLab ")));
}

/// The status of the policy whose run is lost still names the repositories of an earlier run, which are long free.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_run_also_counts_for_the_other_policies_that_come_first_after_a_restart() {
    let world = world().await;
    let first = Operator::start(&world).await;
    world.ready("a").await;
    world.ready("b").await;
    world.run("a", "one").await;
    world.sim.advance(HOUR + HOUR);
    for repository in
        world.sim.read(|registry| registry.repositories().map(|repository| repository.id).collect::<Vec<_>>())
    {
        let now = world.now();
        let month = SignedDuration::from_hours(24 * 30);
        world.sim.edit(|registry| {
            for tag in ["x1", "x2", "x3"] {
                registry.push(repository, tag, gitlab_simulator::Push::at(now - month));
            }
        });
    }
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::BulkDeleteTags), HoldPoint::AfterProcessing);
    world.annotate("a", RUN_REQUESTED_AT, "two").await;
    hold.reached().await;
    first.kill().await;
    hold.release();

    // Whichever of the two policies is looked at first, the hour holds.
    world.annotate("b", RUN_REQUESTED_AT, "at once").await;
    let second = Operator::start(&world).await;
    world.until("b", |status| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some())).await;
    world.until("a", |status| status.history.iter().any(|run| run.result == RunResult::Interrupted)).await;
    assert_the_hour(&world);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_cannot_begin_do_not_make_the_hour_forgotten() {
    let world = world().await;
    let first = Operator::start(&world).await;
    world.ready("a").await;
    world.run("a", "one").await;
    world.kubectl(&["delete", "secret", "token"]);
    for token in ["two", "three"] {
        let status = world.run("a", token).await;
        assert_eq!(status.last_run.unwrap().result, RunResult::Failed);
    }
    world.secret("token", &[("token", crate::world::MARKER)]).await;
    first.stop().await;

    let second = Operator::start(&world).await;
    let rules = json!({"rules": [{"name": "all", "nameRegexDelete": ".*", "nameRegexKeep": "never", "keepN": 0}]});
    world.apply(&world.policy("a", &rules)).await.unwrap();
    world.ready("a").await;
    world.run("a", "four").await;
    assert_the_hour(&world);
    assert_eq!(bulk_requests(&world).len(), 2);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_remembers_what_it_requested_across_a_restart() {
    let world = world().await;
    let first = Operator::start(&world).await;
    world.ready("a").await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::BulkDeleteTags).nth(1), HoldPoint::AfterProcessing);
    world.annotate("a", RUN_REQUESTED_AT, "one").await;
    hold.reached().await;
    first.terminate();
    hold.release();
    let status =
        world.until("a", |status| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some())).await;
    first.stop().await;
    assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Interrupted);
    assert_eq!(bulk_requests(&world).len(), 1, "nothing is sent after the signal");
    assert_eq!(status.others_eligible_time, None, "what was requested is known by name");

    let second = Operator::start(&world).await;
    let resumed = |status: &PolicyStatus| {
        status.last_run.as_ref().is_some_and(|run| run.trigger == Trigger::Resumed && run.completion_time.is_some())
    };
    let status = world.until("a", resumed).await;
    assert_the_hour(&world);
    assert_eq!(bulk_requests(&world).len(), 2, "the repository that was not reached gets its request");
    assert_eq!(status.last_run.unwrap().repositories.skipped, 1);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_gitlab_is_no_failure_and_is_not_tried_again_before_it_can_succeed() {
    let world = world().await;
    let operator = Operator::start(&world).await;
    world.ready("a").await;
    let refusal = r#"{"message":"This request has already been made. You can run this at most once an hour for a given container repository"}"#;
    let answer = Action::Answer {
        status: 400,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: refusal.to_owned(),
    };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::BulkDeleteTags), answer));
    let status = world.run("a", "one").await;
    world.sim.clear_faults();
    assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded);
    let eligible = status.repositories[0].next_eligible_time.clone().unwrap().0;
    assert!(eligible.duration_since(world.now()) <= HOUR + SignedDuration::from_secs(1));
    assert_eq!(status.repositories[0].reason.as_deref(), Some("RateLimited"));

    let before = bulk_requests(&world).len();
    world.run("a", "two").await;
    assert_eq!(bulk_requests(&world).len(), before);
    world.sim.advance(HOUR + SignedDuration::from_secs(1));
    world.run("a", "three").await;
    assert_eq!(bulk_requests(&world).len(), before + 2);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hourly_schedule_waits_out_the_seconds_that_are_missing() {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    world
        .apply(&world.policy(
            "hourly",
            &json!({"schedule": "@hourly", "rules": [{"name": "r", "nameRegexDelete": "v.*", "keepN": 0}]}),
        ))
        .await
        .unwrap();
    let operator = Operator::start(&world).await;
    world.ready("hourly").await;
    for (hour, tag) in ["v2", "v3", "v4"].into_iter().enumerate() {
        let slot = world.now() + HOUR;
        // A little later within each hour than the slot before, as it happens.
        world.sim.clock().set(slot.round(jiff::Unit::Hour).unwrap());
        let repository = world.sim.read(|registry| registry.repositories().next().unwrap().id);
        world.sim.edit(|registry| registry.push(repository, tag, gitlab_simulator::Push::at(slot)));
        operator.nudge();
        let slots = hour + 1;
        world.until("hourly", |status| status.history.len() == slots).await;
        assert_eq!(bulk_requests(&world).len(), slots, "every slot gets its request");
    }
    assert_the_hour(&world);
    operator.stop().await;
}
