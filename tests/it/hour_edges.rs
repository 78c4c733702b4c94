//! The edges of the hour: a server that accepts late, policies that are deleted and created anew, statuses that are
//! lost, addresses that are edited to and fro, one GitLab under two names. GitLab never gets a second bulk deletion for
//! a repository within 3600 s of the moment at which it accepted one.

use std::sync::Arc;

use gitlab_simulator::{Config, Endpoint, HoldPoint, Matcher, Push, Role, Scope, Simulator, TokenKind};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RepositoryResult, RunResult};
use rstest::rstest;
use serde_json::{Value, json};

use crate::hour::{HOUR, assert_the_hour, bulk_requests, world};
use crate::support::eventually;
use crate::world::{HeldClock, MARKER, Operator, Setup, World};

fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// Something more to remove in every repository, old enough for both policies.
fn push_more(world: &World) {
    let long_ago = world.now() - SignedDuration::from_hours(24 * 30);
    world.sim.edit(|registry| {
        let all: Vec<u64> = registry.repositories().map(|repository| repository.id).collect();
        for repository in all {
            for (hours, tag) in (0..).zip(["x1", "x2", "x3"]) {
                registry.push(repository, tag, Push::at(long_ago - SignedDuration::from_hours(hours)));
            }
        }
    });
}

/// Whether every repository was left alone for the hour, and until when that is.
fn left_alone(status: &PolicyStatus) -> bool {
    let limited = |reason: Option<&str>| reason == Some("RateLimited");
    !status.repositories.is_empty()
        && status.repositories.iter().all(|repository| {
            repository.result == RepositoryResult::Skipped
                && limited(repository.reason.as_deref())
                && repository.next_eligible_time.is_some()
        })
}

/// The operator is killed with a request in flight, and GitLab accepts it most of two minutes later.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_in_flight_when_the_operator_was_killed_counts_from_when_a_slow_server_accepts_it() {
    let world = world().await;
    let first = Operator::start(&world).await;
    world.ready("a").await;
    world.ready("b").await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::BulkDeleteTags).nth(1), HoldPoint::BeforeProcessing);
    world.annotate("a", RUN_REQUESTED_AT, "one").await;
    hold.reached().await;
    first.kill().await;

    let second = Operator::start(&world).await;
    let lost = |status: &PolicyStatus| status.history.iter().any(|run| run.result == RunResult::Interrupted);
    world.until("a", lost).await;
    world.sim.advance(secs(100));
    drop(hold);
    world.sim.wait_for(|request| request.accepted.is_some()).await;
    push_more(&world);
    // An hour after the restart, when GitLab would still refuse it.
    world.sim.advance(HOUR - secs(50));
    second.nudge();
    for policy in ["a", "b"] {
        assert!(left_alone(&world.run(policy, "early").await), "{policy}");
    }
    assert_eq!(bulk_requests(&world).len(), 1);
    world.sim.advance(secs(200));
    second.nudge();
    world.run("a", "in time").await;
    assert_eq!(bulk_requests(&world).len(), 3);
    assert_the_hour(&world);
    second.stop().await;
}

/// The client waits for a second; GitLab accepts two minutes later.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_was_lost_by_a_timeout_counts_from_when_a_slow_server_accepts_it() {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30), ("v2", 20), ("main", 1)]);
    let mut policy = world.policy("a", &json!({}));
    policy["spec"]["gitlab"]["timeout"] = json!("1s");
    world.apply(&policy).await.unwrap();
    let clock = HeldClock::of(&world);
    let operator = Operator::set_up(&world, Setup { clock: Arc::clone(&clock) as Arc<_>, ..Setup::of(&world) }).await;
    world.ready("a").await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::BulkDeleteTags), HoldPoint::BeforeProcessing);
    world.annotate("a", RUN_REQUESTED_AT, "one").await;
    // The answer is given up, and the run waits before it looks at what went.
    clock.somebody_waits().await;
    world.sim.advance(secs(120));
    drop(hold);
    world.sim.wait_for(|request| request.accepted.is_some()).await;
    clock.release();
    let run = world.until("a", |status| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some()));
    let status = Box::pin(run).await;
    assert_eq!(bulk_requests(&world)[0].status, Some(202), "what the server said, and nobody heard");
    let accepted = bulk_requests(&world)[0].accepted_at.unwrap();
    let eligible = status.repositories[0].next_eligible_time.clone().unwrap().0;
    assert!(eligible >= accepted + HOUR, "{eligible} for what was accepted at {accepted}");

    push_more(&world);
    // Later than an hour after it was given up, and too early to be waited for.
    world.sim.clock().set(accepted + HOUR - secs(100));
    operator.nudge();
    let status = world.run("a", "early").await;
    assert!(left_alone(&status), "{:#?} {:#?}", status.repositories, bulk_requests(&world));
    world.sim.clock().set(eligible + secs(1));
    operator.nudge();
    world.run("a", "in time").await;
    assert_eq!(bulk_requests(&world).len(), 2);
    assert_the_hour(&world);
    operator.stop().await;
}

/// What happens to a policy and its operator after its run.
#[derive(Clone, Copy, Debug)]
enum Step {
    Delete,
    /// With the same name, as ever.
    Create,
    /// From a backup, with the status that it had before its run.
    Restore,
    LoseStatus,
    /// The operator is killed.
    Kill,
    Start,
    /// Until the operator has looked at the policy.
    Observe,
}

use Step::{Create, Delete, Kill, LoseStatus, Observe, Restore, Start};

async fn take(step: Step, world: &World, operator: &mut Option<Operator>, before: &Value) {
    match step {
        Delete => {
            world.policies().delete("a", &DeleteParams::default()).await.unwrap();
            world.until_gone("a").await;
        }
        Create | Restore => {
            world.apply(&world.policy("a", &json!({}))).await.unwrap();
            if matches!(step, Restore) {
                let patch = json!({"status": before});
                world.policies().patch_status("a", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
            }
        }
        LoseStatus => {
            let patch = json!({"status": null});
            world.policies().patch_status("a", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        }
        Kill => operator.take().unwrap().kill().await,
        Start => *operator = Some(Operator::start(world).await),
        Observe => {
            // Its status is no reason to look, and the first look may come before the watch has told of it.
            eventually("the operator has looked at it", async || {
                operator.as_ref().unwrap().nudge();
                let status = world.policies().get("a").await.unwrap().status;
                status.is_some_and(|status| status.observed_generation == Some(1)).then_some(())
            })
            .await;
        }
    }
}

/// Neither the policy itself, nor another one of its namespace that looks after the same repositories.
#[rstest]
#[case::created_anew(&[Delete, Create, Observe])]
#[case::created_anew_and_restarted(&[Delete, Create, Observe, Kill, Start])]
#[case::restarted_in_between(&[Delete, Kill, Start, Create, Observe])]
#[case::restarted_before(&[Kill, Start, Delete, Create, Observe])]
#[case::restarted_around_it(&[Kill, Start, Delete, Create, Observe, Kill, Start])]
#[case::deleted_while_the_operator_is_away(&[Kill, Delete, Start, Create, Observe])]
#[case::created_anew_while_the_operator_is_away(&[Kill, Delete, Create, Start, Observe])]
#[case::restored_from_a_backup(&[Kill, Delete, Restore, Start, Observe])]
#[case::its_status_was_lost(&[LoseStatus, Observe])]
#[case::its_status_was_lost_before_a_restart(&[LoseStatus, Kill, Start, Observe])]
#[case::its_status_was_lost_after_a_restart(&[Kill, Start, LoseStatus, Observe])]
#[case::its_status_was_lost_and_found_so_before_a_restart(&[LoseStatus, Observe, Kill, Start])]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_requested_is_known_after(#[case] steps: &[Step]) {
    let world = world().await;
    let mut operator = Some(Operator::start(&world).await);
    world.ready("b").await;
    let before = serde_json::to_value(world.ready("a").await).unwrap();
    world.run("a", "one").await;
    assert_eq!(bulk_requests(&world).len(), 2);
    push_more(&world);
    for step in steps {
        take(*step, &world, &mut operator, &before).await;
    }
    take(Observe, &world, &mut operator, &before).await;
    let operator = operator.unwrap();
    for policy in ["a", "b"] {
        let status = world.run(policy, "two").await;
        assert!(left_alone(&status), "{policy} after {steps:?}: {:#?}", status.repositories);
    }
    assert_eq!(bulk_requests(&world).len(), 2, "{steps:?}");

    // Nothing is blocked for much longer than it has to be.
    world.sim.advance(HOUR + secs(600));
    operator.nudge();
    world.run("a", "three").await;
    assert_eq!(bulk_requests(&world).len(), 4, "{steps:?}");
    assert_the_hour(&world);
    let status = world.policies().get("a").await.unwrap().status.unwrap();
    assert_eq!(status.reserved_hours, [], "what is over is left out");
    operator.stop().await;
}

/// The first run ever, in a namespace where there was none, waits for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_new_to_a_new_operator_waits_for_nothing() {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    world.apply(&world.policy("before", &json!({}))).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("before").await;
    world.run("before", "one").await;
    assert_eq!(bulk_requests(&world).len(), 1);
    operator.stop().await;
    let events: Api<Event> = Api::namespaced(world.kube.clone(), &world.namespace);
    let all = events.list(&ListParams::default()).await.unwrap().items;
    let traces = all.iter().filter(|event| event.reason.as_deref() == Some("BulkDeletionRequested")).count();
    assert_eq!(traces, 1, "one trace, however often it is written");
}

/// Another GitLab with repositories of the same names and ids.
async fn another_gitlab(world: &World) -> Simulator {
    let mut config = Config { clock: world.sim.clock(), tls: true, ..Config::default() };
    "registry.b.test".clone_into(&mut config.settings.registry_host);
    let other = Simulator::start(config).await.unwrap();
    let long_ago = world.now() - SignedDuration::from_hours(24 * 30);
    other.edit(|registry| {
        registry.group("shop");
        let user = registry.user("bot");
        registry.set_role("shop", user, Some(Role::Maintainer));
        registry.set_token(MARKER, TokenKind::Personal, user, "bot", &[Scope::Api]);
        registry.project("shop/backend");
        for path in ["shop/backend/api", "shop/backend/web"] {
            let repository = registry.repository(path);
            registry.push(repository, "old", Push::at(long_ago));
        }
    });
    world.secret("ca-b", &[("ca.crt", other.ca_pem().unwrap())]).await;
    other
}

#[rstest]
#[case::without_a_restart(false, false)]
#[case::with_a_restart_there(true, false)]
#[case::with_a_restart_on_the_way_back(false, true)]
#[case::with_both(true, true)]
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_edited_to_and_fro_does_not_make_the_hour_forgotten(
    #[case] there: bool,
    #[case] back: bool,
) {
    let world = world().await;
    let other = another_gitlab(&world).await;
    let mut operator = Operator::start(&world).await;
    world.ready("a").await;
    world.run("a", "one").await;
    push_more(&world);
    let here = world.policy("a", &json!({}));
    let mut elsewhere = here.clone();
    elsewhere["spec"]["gitlab"]["url"] = json!(other.url());
    elsewhere["spec"]["gitlab"]["certSecretRef"] = json!({"name": "ca-b"});
    for (spec, restart) in [(&elsewhere, there), (&here, back)] {
        world.apply(spec).await.unwrap();
        world.ready("a").await;
        if restart {
            operator.kill().await;
            operator = Operator::start(&world).await;
        }
        let status = world.run("a", if spec == &here { "back" } else { "there" }).await;
        assert_eq!(left_alone(&status), spec == &here, "{:#?}", status.repositories);
    }
    assert_eq!(bulk_requests(&world).len(), 2);
    assert_eq!(other.requests_to(Endpoint::BulkDeleteTags).len(), 2, "the other GitLab has hours of its own");
    assert_the_hour(&world);
    operator.stop().await;
}

/// Policies `a` and `b` by two names of one GitLab.
async fn two_names(world: &World) -> Setup {
    let mut b = world.policy("b", &json!({"rules": [{"name": "w", "nameRegexDelete": ".*[12]", "keepN": 1}]}));
    b["spec"]["gitlab"]["url"] = json!(world.sim.url().replace("127.0.0.1", "localhost"));
    world.apply(&b).await.unwrap();
    let mut setup = Setup::of(world);
    setup.settings.allowed_hosts.push("localhost".to_owned());
    setup
}

#[rstest]
#[case::without_a_restart(false)]
#[case::with_a_restart(true)]
#[tokio::test(flavor = "multi_thread")]
async fn two_policies_with_two_names_of_one_gitlab_share_its_hours(#[case] restart: bool) {
    let world = world().await;
    let mut operator = Operator::set_up(&world, two_names(&world).await).await;
    world.ready("a").await;
    world.ready("b").await;
    world.run("a", "one").await;
    assert_eq!(bulk_requests(&world).len(), 2);
    push_more(&world);
    if restart {
        operator.kill().await;
        operator = Operator::set_up(&world, two_names(&world).await).await;
    }
    assert!(left_alone(&world.run("b", "one").await));
    assert_eq!(bulk_requests(&world).len(), 2);
    world.sim.advance(HOUR);
    operator.nudge();
    world.run("b", "two").await;
    let status = world.run("a", "two").await;
    assert!(left_alone(&status), "{:#?} {:#?}", status.repositories, bulk_requests(&world));
    assert_eq!(bulk_requests(&world).len(), 4);
    assert_the_hour(&world);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_lost_counts_for_the_other_name_of_its_gitlab_as_well() {
    let world = world().await;
    let first = Operator::set_up(&world, two_names(&world).await).await;
    world.ready("a").await;
    world.ready("b").await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::BulkDeleteTags), HoldPoint::AfterProcessing);
    world.annotate("a", RUN_REQUESTED_AT, "one").await;
    hold.reached().await;
    first.kill().await;
    drop(hold);
    push_more(&world);
    world.annotate("b", RUN_REQUESTED_AT, "at once").await;
    let second = Operator::set_up(&world, two_names(&world).await).await;
    let ended = |status: &PolicyStatus| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some());
    world.until("b", ended).await;
    world.until("a", |status| status.history.iter().any(|run| run.result == RunResult::Interrupted)).await;
    assert_the_hour(&world);
    assert_eq!(bulk_requests(&world).len(), 1);
    second.stop().await;
}
