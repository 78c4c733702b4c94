//! Who leads, and what those who do not may do.

use std::time::{Duration, Instant};

use gitlab_simulator::{Endpoint, HoldPoint, Matcher};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, PostParams};
use registry_cleanup_operator::api::{RUN_REQUESTED_AT, RunResult, Trigger};
use serde_json::json;

use super::link::Link;
use super::{LEASE_DURATION, SHORT, holder, leads, leases, operator, operator_by, world_in_real_time};
use crate::robustness::Process;
use crate::robustness::permissions::asked_for;
use crate::robustness::start::{asked, probe};
use crate::support::{change, eventually, in_time};
use crate::world::service_account_kubeconfig;

async fn says(process: &Process, words: &str) {
    eventually(words, async || process.log().contains(words).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_leads_and_the_other_is_ready_and_asks_gitlab_and_writes_nothing() {
    let world = world_in_real_time().await;
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let first = operator(&world, "first", &[]).await;
    leads(&world, "first").await;
    let second = operator(&world, "second", &[]).await;
    says(&second, "another operator leads").await;
    assert_eq!((probe(&second, "/livez").await, probe(&second, "/readyz").await), (200, 200));
    world.ready("shop").await;
    let status = world.run("shop", "one").await;
    let run = status.last_run.unwrap();
    assert_eq!(run.result, RunResult::Succeeded);
    let lease = leases(&world).get(&world.namespace).await.unwrap().spec.unwrap();
    assert_eq!(lease.holder_identity, run.holder_identity, "a run is by the one who holds the Lease");
    assert!(lease.holder_identity.unwrap().starts_with("first_uid-of-first_"));
    assert_eq!((lease.lease_duration_seconds, lease.lease_transitions), (Some(60), Some(0)));
    let leader = async |process: &Process| {
        let (_, metrics) = asked(process, "/metrics").await;
        metrics.lines().find(|line| line.starts_with("registry_cleanup_leader ")).map(str::to_owned)
    };
    assert_eq!(leader(&first).await.as_deref(), Some("registry_cleanup_leader 1"));
    assert_eq!(leader(&second).await.as_deref(), Some("registry_cleanup_leader 0"));
    let (_, metrics) = asked(&second, "/metrics").await;
    assert!(!metrics.contains("gitlab_requests"), "{metrics}");
    let log = second.log();
    assert!(!log.contains("run begins") && !log.contains("WARN"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_is_used_by_the_rights_that_are_granted_for_it() {
    let world = world_in_real_time().await;
    let first = operator(&world, "first", &[]).await;
    leads(&world, "first").await;
    let second = operator(&world, "second", &[]).await;
    says(&second, "another operator leads").await;
    first.terminate();
    leads(&world, "second").await;
    let Some(log) = world.cluster.audit_log() else { return };
    eventually("requests for the Lease", async || {
        let asked = asked_for(&std::fs::read_to_string(&log).unwrap());
        let verbs: Vec<_> =
            asked.iter().filter_map(|asked| asked.strip_suffix(" coordination.k8s.io/leases")).collect();
        (verbs == ["create", "get", "update", "watch"]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_leader_hands_over_within_two_seconds() {
    let world = world_in_real_time().await;
    let mut first = operator(&world, "first", &[]).await;
    leads(&world, "first").await;
    let second = operator(&world, "second", &[]).await;
    says(&second, "another operator leads").await;
    first.terminate();
    let took = leads(&world, "second").await;
    assert_eq!(first.exit_code().await, Some(0), "{}", first.log());
    assert!(took < Duration::from_secs(2), "{took:?}: {} {}", first.log(), second.log());
    let lease = leases(&world).get(&world.namespace).await.unwrap().spec.unwrap();
    assert_eq!(lease.lease_transitions, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_replaced_and_its_run_goes_on_at_once() {
    let world = world_in_real_time().await;
    let repository = world.long_run().await;
    let first = operator(&world, "first", &SHORT).await;
    world.ready("shop").await;
    let second = operator(&world, "second", &SHORT).await;
    says(&second, "another operator leads").await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation), HoldPoint::BeforeProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("a removal", hold.reached()).await;
    first.signal("KILL");
    let took = leads(&world, "second").await;
    assert!(took < LEASE_DURATION + Duration::from_secs(2), "{took:?}");
    hold.release();
    let done = Instant::now();
    let over = |status: &registry_cleanup_operator::api::PolicyStatus| {
        status.history.first().is_some_and(|run| run.trigger == Trigger::Resumed)
    };
    let status = world.until("shop", over).await;
    // A run of whom nothing is known is lost after 90 s only.
    assert!(done.elapsed() < Duration::from_secs(60), "{:?}", done.elapsed());
    let runs: Vec<_> = status.history.iter().map(|run| run.result).collect();
    assert_eq!(runs, [RunResult::Succeeded, RunResult::Interrupted]);
    assert_eq!(world.tags(repository), ["main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_started_again_in_its_pod_does_not_wait_for_the_lease_of_the_one_before() {
    let world = world_in_real_time().await;
    let first = operator(&world, "first", &[]).await;
    leads(&world, "first").await;
    first.signal("KILL");
    let before = leases(&world).get(&world.namespace).await.unwrap().spec.unwrap().holder_identity;
    let _again = operator(&world, "first", &[]).await;
    let taken = eventually("another holder", async || {
        let now = leases(&world).get(&world.namespace).await.unwrap().spec.unwrap().holder_identity;
        (now != before).then_some(())
    });
    tokio::time::timeout(LEASE_DURATION * 5, taken).await.expect("it does not wait for a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_leader_sends_nothing_once_it_goes_on_and_exits() {
    let world = world_in_real_time().await;
    world.long_run().await;
    let mut first = operator(&world, "first", &SHORT).await;
    world.ready("shop").await;
    let second = operator(&world, "second", &SHORT).await;
    says(&second, "another operator leads").await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation).nth(1), HoldPoint::AfterProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("a removal", hold.reached()).await;
    first.signal("STOP");
    leads(&world, "second").await;
    // From here on whatever arrives is by the first.
    second.signal("STOP");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = world.sim.requests().len();
    hold.release();
    first.signal("CONT");
    assert_eq!(first.exit_code().await, Some(1), "{}", first.log());
    assert!(first.log().contains("leads no more"), "{}", first.log());
    assert_eq!(world.sim.requests().len(), before);
    second.signal("CONT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_sends_nothing_once_another_may_begin_and_exits() {
    let world = world_in_real_time().await;
    world.sim.fault(slow_removals());
    world.long_run().await;
    let link = Link::to(&service_account_kubeconfig().await).await;
    let mut first = operator_by(&world, link.kubeconfig(), "first", &SHORT);
    world.ready("shop").await;
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    let removals = || world.sim.requests_to(Endpoint::GraphqlMutation).len();
    eventually("a removal", async || (removals() > 0).then_some(())).await;
    link.cut();
    let cut = world.now();
    assert_eq!(first.exit_code().await, Some(1), "{}", first.log());
    let last = world.sim.requests().iter().map(|request| request.at).max().unwrap();
    let after = last.duration_since(cut);
    assert!(after < LEASE_DURATION.try_into().unwrap(), "{after:?}");
    assert!(first.log().contains("leads no more"), "{}", first.log());
    let tags: usize = world.sim.requests_to(Endpoint::GraphqlMutation).iter().map(|of| of.tag_names.len()).sum();
    assert!(tags < 200, "it was not done yet: {tags}");
    link.mend();
    assert_eq!(holder(&world).await.as_deref(), Some("first"), "nobody else was there");
}

/// Makes each removal take a while.
fn slow_removals() -> gitlab_simulator::Fault {
    let matcher = Matcher::endpoint(Endpoint::GraphqlMutation).times(10_000);
    gitlab_simulator::Fault::new(matcher, gitlab_simulator::Action::Delay(Duration::from_millis(300)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_times_of_another_machine_say_nothing() {
    for hours in [-1, 1] {
        let world = world_in_real_time().await;
        let time = world.now() + jiff::SignedDuration::from_hours(hours);
        let lease: Lease = serde_json::from_value(json!({
            "metadata": {"name": world.namespace},
            "spec": {
                "holderIdentity": "elsewhere_uid_1", "leaseDurationSeconds": 3,
                "acquireTime": format!("{time:.6}"), "renewTime": format!("{time:.6}"),
            },
        }))
        .unwrap();
        leases(&world).create(&PostParams::default(), &lease).await.unwrap();
        let begun = Instant::now();
        let _first = operator(&world, "first", &SHORT).await;
        leads(&world, "first").await;
        let took = begun.elapsed();
        assert!(took >= LEASE_DURATION && took < LEASE_DURATION * 4, "{hours} h: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_somebody_removes_stays_with_its_holder() {
    let world = world_in_real_time().await;
    let mut first = operator(&world, "first", &SHORT).await;
    leads(&world, "first").await;
    let second = operator(&world, "second", &SHORT).await;
    says(&second, "another operator leads").await;
    leases(&world).delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    leads(&world, "first").await;
    assert!(first.is_running(), "{}", first.log());
    assert!(!second.log().contains("this operator leads"), "{}", second.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_may_not_use_the_lease_says_so_and_is_not_ready() {
    let world = world_in_real_time().await;
    let mut policy = world.policy("shop", &json!({}));
    change(&mut policy, "/suspend", &json!(true));
    let own = super::own(&world);
    let arguments: Vec<&str> =
        own.iter().map(String::as_str).chain(["--leader-election-namespace", &world.namespace]).collect();
    let process = Process::start(&service_account_kubeconfig().await, &arguments);
    says(&process, "failed to read the Lease").await;
    assert!(process.log().contains("403 (Forbidden)"), "{}", process.log());
    assert_eq!((probe(&process, "/livez").await, probe(&process, "/readyz").await), (200, 503));
}
/// While it waits for policies, too, which it is not shown for a moment after it begins to lead.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_ends_whenever_it_is_told_to() {
    let world = world_in_real_time().await;
    for round in 0..20_u64 {
        let mut first = operator(&world, "first", &[]).await;
        says(&first, "this operator leads").await;
        tokio::time::sleep(Duration::from_millis(round * 5)).await;
        first.terminate();
        assert_eq!(first.exit_code().await, Some(0), "{}", first.log());
    }
}
