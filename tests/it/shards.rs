//! Several installations that share the policies by their labels: each policy has one, and the hour holds between all.

use gitlab_simulator::{Endpoint, HoldPoint, Matcher};
use kube::api::{Patch, PatchParams};
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RunResult};
use registry_cleanup_operator::policy::label_selector::LabelSelector;
use serde_json::{Value, json};

use crate::hour::{assert_the_hour, bulk_requests};
use crate::leadership::lease_holder;
use crate::robustness::{Process, world_in_real_time};
use crate::support::{eventually, in_time};
use crate::world::{Operator, Setup, World, service_account_kubeconfig};

/// As many removals are on their way at the same time at most.
const IN_FLIGHT: usize = 4;

/// An operator of the installation that looks after the policies of this shard.
async fn installation(world: &World, shard: &str) -> Operator {
    let usual = Setup::of(world);
    let selector = LabelSelector::parse(&format!("shard={shard}")).unwrap();
    Operator::set_up(world, Setup { shard: selector, pod_uid: format!("uid-{shard}"), ..usual }).await
}

async fn apply(world: &World, name: &str, shard: &str, changes: &Value) {
    let mut policy = world.policy(name, changes);
    policy["metadata"]["labels"] = json!({ "shard": shard });
    world.apply(&policy).await.unwrap();
}

async fn label(world: &World, name: &str, shard: &str) {
    let patch = json!({"metadata": {"labels": {"shard": shard}}});
    world.policies().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

fn holder(status: &PolicyStatus) -> &str {
    let run = status.last_run.as_ref().expect("a run");
    run.holder_identity.as_deref().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_installations_that_run_at_the_same_time_ask_for_one_bulk_deletion_an_hour() {
    let world = World::start().await;
    for name in ["api", "web"] {
        world.repository(&format!("shop/backend/{name}"), &[("v1", 30), ("v2", 20), ("main", 1)]);
    }
    for shard in ["a", "b"] {
        apply(&world, shard, shard, &json!({})).await;
    }
    let (a, b) = (installation(&world, "a").await, installation(&world, "b").await);
    tokio::join!(world.ready("a"), world.ready("b"));
    for round in 0..8 {
        let token = format!("round {round}");
        tokio::join!(world.run("a", &token), world.run("b", &token));
        world.sim.advance(jiff::SignedDuration::from_mins(25));
        a.nudge();
        b.nudge();
    }
    assert_the_hour(&world);
    assert!(!bulk_requests(&world).is_empty());
    let statuses = [world.ready("a").await, world.ready("b").await];
    let [one, two] = statuses.each_ref().map(holder);
    assert!(one.contains("uid-a") && two.contains("uid-b"), "{one} {two}");
    let limited = |status: &PolicyStatus| {
        status.history.len() == 5 && status.repositories.iter().all(|repository| repository.result != gone("Failed"))
    };
    assert!(statuses.iter().all(limited), "{statuses:#?}");
    a.stop().await;
    b.stop().await;
}

fn gone(text: &str) -> registry_cleanup_operator::api::RepositoryResult {
    serde_json::from_value(json!(text)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_policy_is_worked_on_by_exactly_one_of_three_installations() {
    const SHARDS: [&str; 3] = ["a", "b", "c"];
    let world = World::start().await;
    for number in 0..6 {
        world.repository(&format!("shop/app-{number}/web"), &[("v1", 30), ("main", 1)]);
        let target = json!({"projects": [format!("shop/app-{number}")]});
        apply(&world, &format!("p{number}"), SHARDS[number % 3], &json!({ "target": target })).await;
    }
    let (a, b, c) = tokio::join!(installation(&world, "a"), installation(&world, "b"), installation(&world, "c"));
    for number in 0..6 {
        let name = format!("p{number}");
        world.ready(&name).await;
        let status = world.run(&name, "one").await;
        assert!(holder(&status).contains(&format!("uid-{}", SHARDS[number % 3])), "{name}: {status:#?}");
        assert_eq!(status.history.len(), 1, "{name} ran once");
    }
    assert_eq!(bulk_requests(&world).len(), 6);
    for operator in [a, b, c] {
        operator.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_labelled_for_another_installation_is_handled_by_that_one_alone() {
    let world = World::start().await;
    let repository = world.many_tags("shop/backend/api");
    let rules = json!([{"name": "versions", "nameRegexDelete": "v.*", "olderThan": "7d"}]);
    apply(&world, "shop", "a", &json!({"rules": rules, "method": "Exact"})).await;
    let (a, b) = (installation(&world, "a").await, installation(&world, "b").await);
    world.ready("shop").await;

    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation), HoldPoint::BeforeProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("a removal", hold.reached()).await;
    label(&world, "shop", "b").await;
    world.until("shop", |status| status.last_run.as_ref().unwrap().result == RunResult::Stopping).await;
    hold.release();
    let stopped = world.until("shop", |status| status.last_run.as_ref().unwrap().completion_time.is_some()).await;
    assert!(holder(&stopped).contains("uid-a"), "{stopped:#?}");
    let (run, sent) = (stopped.last_run.as_ref().unwrap(), mutations(&world));
    assert!(run.result == RunResult::Interrupted && sent <= IN_FLIGHT, "{sent} sent: {run:#?}");

    // The first one has nothing to do with it any more, whoever asks.
    world.sim.advance(jiff::SignedDuration::from_mins(5));
    a.nudge();
    b.nudge();
    let ran = world.run("shop", "two").await;
    assert!(holder(&ran).contains("uid-b"), "{ran:#?}");
    assert_eq!(world.tags(repository), ["main"]);
    let runs: Vec<RunResult> = ran.history.iter().map(|run| run.result).collect();
    assert_eq!(runs, [RunResult::Succeeded, RunResult::Interrupted]);
    let told =
        |metrics: String| metrics.contains("registry_cleanup_policy_info{") && metrics.contains("policy=\"shop\"");
    assert!(!told(a.metrics(registry_cleanup_operator::metrics::Format::Classic)), "a policy of another installation");
    assert!(told(b.metrics(registry_cleanup_operator::metrics::Format::Classic)));
    a.stop().await;
    b.stop().await;
}

fn mutations(world: &World) -> usize {
    world.sim.requests_to(Endpoint::GraphqlMutation).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_no_installation_selects_is_left_alone() {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    apply(&world, "mine", "a", &json!({})).await;
    apply(&world, "nobodys", "c", &json!({})).await;
    let a = installation(&world, "a").await;
    world.ready("mine").await;
    world.annotate("nobodys", RUN_REQUESTED_AT, "one").await;
    world.run("mine", "one").await;
    a.stop().await;
    let status = world.policies().get("nobodys").await.unwrap().status.unwrap();
    assert_eq!((status.observed_generation, status.last_run), (Some(-1), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn installations_with_different_selectors_lead_at_the_same_time_by_leases_of_their_own() {
    let world = world_in_real_time().await;
    let kubeconfig = service_account_kubeconfig().await;
    let name = &world.namespace;
    let start = |shard: &str| {
        let (scope, selector) = (format!("--watch-namespace={name}"), format!("--watch-label-selector={name}={shard}"));
        Process::in_pod(&kubeconfig, shard, &[&scope, "--in-use-scope=WatchedNamespaces", &selector])
    };
    let (one, two) = (start("one"), start("two"));
    for (process, shard) in [(&one, "one"), (&two, "two")] {
        eventually(&format!("the leadership of {shard}"), async || {
            process.log().contains("this operator leads").then_some(())
        })
        .await;
    }
    assert_eq!(lease_holder(&world, "registry-cleanup-operator").await, None, "neither takes the usual one");
}

#[test]
fn a_selector_that_is_none_ends_the_start() {
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
    let output = program.args(["run", "--watch-label-selector", "shard in a"]).env_clear().output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("--watch-label-selector"), "{text}");
}
