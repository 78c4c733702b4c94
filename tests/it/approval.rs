//! `mode: RequireApproval`: a run plans and waits; exactly the approved plan is carried out, or nothing.

use gitlab_simulator::{Endpoint, Push};
use jiff::SignedDuration;
use registry_cleanup_operator::api::conditions::{self, ConditionStatus};
use registry_cleanup_operator::api::{APPROVE, Mode, PendingApproval, PolicyStatus, RunResult, Trigger};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::events_of;
use crate::world::{Operator, World};

async fn ready(world: &World, rules: Value) -> Operator {
    let spec = json!({"method": "Exact", "mode": "RequireApproval", "rules": rules});
    world.apply(&world.policy("shop", &spec)).await.unwrap();
    let operator = Operator::start(world).await;
    world.ready("shop").await;
    operator
}

fn old_and_many() -> Value {
    json!([{"name": "old", "nameRegexDelete": ".*", "olderThan": "7d", "keepN": 12}])
}

/// Tags `t00`..`t29`, each a day older than the one before.
fn thirty(world: &World) -> u64 {
    let names: Vec<String> = (0..30).map(|day| format!("t{day:02}")).collect();
    let tags: Vec<(&str, i64)> = names.iter().map(String::as_str).zip(0..).collect();
    world.repository("shop/backend/api", &tags)
}

fn removals(world: &World) -> usize {
    world.sim.requests_to(Endpoint::GraphqlMutation).len() + world.sim.requests_to(Endpoint::DeleteTag).len()
}

async fn propose(world: &World, token: &str) -> PendingApproval {
    let status = world.run("shop", token).await;
    let run = status.last_run.as_ref().unwrap();
    assert_eq!((run.result, run.mode), (RunResult::Succeeded, Mode::RequireApproval), "{status:#?}");
    status.pending_approval.unwrap()
}

async fn approve(world: &World, hash: &str) -> PolicyStatus {
    world.annotate("shop", APPROVE, hash).await;
    world
        .until("shop", |status| {
            let ended = status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some());
            status.last_handled_approval.as_deref() == Some(hash) && ended
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_proposes_and_an_approval_removes_exactly_that() {
    let world = World::start().await;
    let api = thirty(&world);
    let operator = ready(&world, old_and_many()).await;
    let plan = propose(&world, "one").await;
    assert_eq!((plan.tags, plan.repositories, removals(&world)), (18, 1, 0));
    let ready = world.ready("shop").await;
    let message = &ready.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap().message;
    assert!(message.contains(&format!("; 18 tags wait for approval of plan {}; ", plan.plan_hash)), "{message}");

    let pending = conditions::find(&ready.conditions, "ApprovalPending").unwrap();
    assert_eq!((pending.status, pending.reason.as_str()), (ConditionStatus::True, "PlanWaits"));
    assert!(
        pending.message.contains(&format!("registrycleanup.dev/approve={}", plan.plan_hash)),
        "{}",
        pending.message
    );

    world.kubectl(&["annotate", "rcp", "shop", &format!("{APPROVE}={}", plan.plan_hash)]);
    let status = approve(&world, &plan.plan_hash).await;
    let approved = conditions::find(&status.conditions, "ApprovalPending").unwrap();
    let sentence = format!("plan {} was approved by kubectl-annotate at ", plan.plan_hash);
    assert_eq!((approved.status, approved.reason.as_str()), (ConditionStatus::False, "PlanApproved"));
    assert!(approved.message.starts_with(&sentence), "{}", approved.message);
    let events = world.events().await;
    let told = |(reason, note): &(String, String)| reason == "PlanApproved" && note.starts_with(&sentence);
    assert!(events.iter().any(told), "{events:?}");
    let run = status.last_run.unwrap();
    assert_eq!((run.result, run.mode, run.trigger), (RunResult::Succeeded, Mode::Delete, Trigger::Approved));
    assert_eq!(run.tags.confirmed, 18);
    let expected: Vec<String> = (0..12).map(|day| format!("t{day:02}")).collect();
    assert_eq!(world.tags(api), expected);
    assert_eq!(status.pending_approval, None);
    operator.stop().await;
    assert_eq!(events_of(&world, "ApprovalRequired").await, 1);
    assert_eq!(events_of(&world, "CleanupCompleted").await, 1);
}

#[rstest]
#[case::sorted_by_push(|_: &mut gitlab_simulator::Settings| {})]
#[case::unsorted(|settings: &mut gitlab_simulator::Settings| settings.version = gitlab_simulator::Version::new(16, 11))]
#[case::rest(|settings: &mut gitlab_simulator::Settings| settings.graphql = false)]
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_goes_on_living_does_not_spoil_an_approval(
    #[case] change: fn(&mut gitlab_simulator::Settings),
) {
    let world = World::start_with(|config| change(&mut config.settings)).await;
    let api = thirty(&world);
    let operator = ready(&world, old_and_many()).await;
    let plan = propose(&world, "one").await;
    // A night goes by: tags age over the limit, and new ones are pushed, which would take places.
    world.sim.advance(SignedDuration::from_hours(20));
    let now = world.now();
    world.sim.edit(|registry| {
        for number in 0..30 {
            registry.push(api, &format!("new{number:02}"), Push::at(now));
        }
    });
    let status = approve(&world, &plan.plan_hash).await;
    assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded, "{status:#?}");
    assert_eq!(status.last_run.unwrap().tags.confirmed, 18);
    assert_eq!(world.tags(api).len(), 12 + 30);
    operator.stop().await;
}

#[rstest]
#[case::sorted_by_push(|_: &mut gitlab_simulator::Settings| {}, 17)]
#[case::unsorted(|settings: &mut gitlab_simulator::Settings| settings.version = gitlab_simulator::Version::new(16, 11), 17)]
// The API of single tags tells the first push only, and another digest.
#[case::rest(|settings: &mut gitlab_simulator::Settings| settings.graphql = false, 18)]
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_no_longer_the_approved_one_removes_nothing_and_waits_anew(
    #[case] change: fn(&mut gitlab_simulator::Settings),
    #[case] left_when_pushed: u64,
    #[values(false, true)] pushed: bool,
) {
    let world = World::start_with(|config| change(&mut config.settings)).await;
    let api = thirty(&world);
    let operator = ready(&world, old_and_many()).await;
    let plan = propose(&world, "one").await;
    world.sim.advance(SignedDuration::from_secs(1));
    let now = world.now();
    world.sim.edit(|registry| {
        if pushed {
            registry.push(api, "t29", Push::at(now));
        } else {
            registry.remove_tag(api, "t29");
        }
    });
    let status = approve(&world, &plan.plan_hash).await;
    assert_eq!(removals(&world), 0);
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/PlanChanged");
    let message = status.last_run.as_ref().unwrap().message.clone().unwrap();
    let left = if pushed { left_when_pushed } else { 17 };
    let words = if left == 18 {
        "as many tags as before, but not the same, or other digests"
    } else {
        "shop/backend/api: 18 → 17 tags"
    };
    assert!(message.contains(words), "{message}");
    let next = status.pending_approval.unwrap();
    assert_ne!(next.plan_hash, plan.plan_hash);
    assert_eq!((next.tags, next.time), (left, plan.time));

    let status = approve(&world, &next.plan_hash).await;
    assert_eq!(status.last_run.unwrap().tags.confirmed, left);
    operator.stop().await;
    assert_eq!(events_of(&world, "PlanChanged").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_nothing_that_waits_is_refused_once() {
    let world = World::start().await;
    let api = thirty(&world);
    let operator = ready(&world, old_and_many()).await;
    propose(&world, "one").await;
    world.annotate("shop", APPROVE, "0123456789abcdef0123456789abcdef").await;
    let status = world.until("shop", |status| status.last_handled_approval.is_some()).await;
    assert!(status.pending_approval.is_some());
    assert_eq!((world.tags(api).len(), removals(&world)), (30, 0));
    operator.stop().await;
    assert_eq!(events_of(&world, "ApprovalRefused").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_takes_the_plan_that_waits_back() {
    let world = World::start().await;
    thirty(&world);
    let operator = ready(&world, old_and_many()).await;
    let plan = propose(&world, "one").await;
    let spec = json!({"method": "Exact", "mode": "RequireApproval", "rules": old_and_many(), "historyLimit": 3});
    world.apply(&world.policy("shop", &spec)).await.unwrap();
    assert_eq!(world.ready("shop").await.pending_approval, None);
    let again = propose(&world, "two").await;
    assert_ne!(again.plan_hash, plan.plan_hash, "the generation is part of the name");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_nothing_to_remove_nothing_waits() {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("a", 1)]);
    let operator = ready(&world, old_and_many()).await;
    let status = world.run("shop", "one").await;
    assert_eq!(status.pending_approval, None);
    assert_eq!(status.last_run.unwrap().summary.as_deref(), Some("0 to approve"));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_needs_a_method_that_removes_exactly_what_was_approved() {
    let world = World::start().await;
    let error = world.apply(&world.policy("shop", &json!({"mode": "RequireApproval"}))).await.unwrap_err();
    assert!(error.to_string().contains("an approval is for exactly the tags of a plan"), "{error}");
}
