//! The pause of an installation: a ConfigMap that an administrator makes, beside the Lease of the operator.

use std::time::{Duration, Instant};

use gitlab_simulator::{Endpoint, HoldPoint, Matcher};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use registry_cleanup_operator::api::conditions::{self, PAUSED};
use registry_cleanup_operator::api::{Mode, PolicyStatus, RUN_REQUESTED_AT, RunResult};
use serde_json::json;

use crate::leadership::{SHORT, leads, operator};
use crate::robustness::world_in_real_time;
use crate::support::in_time;
use crate::world::{Operator, Setup, World, kubectl};

/// As many removals are on their way at the same time at most.
const IN_FLIGHT: usize = 4;

/// Where tests have their Leases, and the operator the right to see ConfigMaps.
const HOME: &str = "registry-cleanup";

fn name(world: &World) -> String {
    format!("{}-pause", world.namespace)
}

async fn pause(world: &World) {
    let maps: Api<ConfigMap> = Api::namespaced(world.kube.clone(), HOME);
    let map = json!({"metadata": {"name": name(world)}, "data": {"reason": "incident 42"}});
    maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
}

async fn go_on(world: &World) {
    let maps: Api<ConfigMap> = Api::namespaced(world.kube.clone(), HOME);
    maps.delete(&name(world), &DeleteParams::default()).await.unwrap();
}

fn is_paused(status: &PolicyStatus) -> bool {
    World::condition(status, PAUSED) == "True/PausedByAdministrator"
}

fn removals(world: &World) -> usize {
    let requests = |endpoint| world.sim.requests_to(endpoint).len();
    requests(Endpoint::BulkDeleteTags) + requests(Endpoint::GraphqlMutation) + requests(Endpoint::DeleteTag)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_ends_a_run_under_way_and_nothing_is_removed_until_it_is_over() {
    let world = World::start().await;
    let repository = world.long_run().await;
    let paused_by = Some((HOME.to_owned(), name(&world)));
    let operator = Operator::set_up(&world, Setup { paused_by, ..Setup::of(&world) }).await;
    let ready = world.ready("shop").await;
    assert_eq!(World::condition(&ready, PAUSED), "absent");
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation), HoldPoint::BeforeProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("a removal", hold.reached()).await;
    pause(&world).await;
    world.until("shop", |status| status.last_run.as_ref().unwrap().result == RunResult::Stopping).await;
    // What is on its way is awaited.
    hold.release();
    let status = world.until("shop", is_paused).await;
    let run = status.last_run.as_ref().unwrap();
    let sent = removals(&world);
    assert!(run.result == RunResult::Interrupted && sent <= IN_FLIGHT, "{sent} sent: {run:#?}");
    assert!(run.message.as_deref().unwrap().contains("paused the operator during the run"), "{run:#?}");
    assert_eq!(status.interrupted_run, None, "it does not go on by itself, as after a suspend");
    let last = World::condition(&status, "LastRunSucceeded");
    assert_eq!((last.as_str(), status.consecutive_failures), ("Unknown/Interrupted", Some(0)));
    operator.until_metrics(|told| told.contains("\nregistry_cleanup_paused 1\n")).await;
    let said = &conditions::find(&status.conditions, PAUSED).unwrap().message;
    assert!(said.contains("incident 42") && said.contains(&name(&world)), "{said}");
    let ready = &conditions::find(&status.conditions, "Ready").unwrap().message;
    assert!(ready.starts_with("paused, see Paused; next run at"), "{ready}");
    let left = world.tags(repository).len();

    // A request is refused, a preview is not.
    let refused = world.run("shop", "two").await;
    assert!(refused.refused_run_request.unwrap().message.contains("came while the operator was paused"));
    let preview = world.preview("shop", "three").await.last_run.unwrap();
    assert_eq!((preview.mode, preview.result), (Mode::DryRun, RunResult::Succeeded));
    assert_eq!((removals(&world), world.tags(repository).len()), (sent, left));

    // Its end begins nothing, but a request is granted again.
    go_on(&world).await;
    let status = world.until("shop", |status| World::condition(status, PAUSED) == "absent").await;
    assert!(conditions::find(&status.conditions, "Ready").unwrap().message.starts_with("next run at"));
    assert_eq!(removals(&world), sent);
    world.run("shop", "four").await;
    assert_eq!(world.tags(repository), ["main"]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_may_not_see_whether_it_is_paused_removes_nothing_and_says_why() {
    let world = World::start().await;
    let repository = world.long_run().await;
    // Here it has no right to list ConfigMaps.
    let paused_by = Some((world.namespace.clone(), "pause".to_owned()));
    let operator = Operator::set_up(&world, Setup { paused_by, ..Setup::of(&world) }).await;
    world.ready("shop").await;
    let status = world.until("shop", |status| World::condition(status, PAUSED) == "Unknown/PauseUnknown").await;
    let said = &conditions::find(&status.conditions, PAUSED).unwrap().message;
    assert!(said.contains("may not list and watch ConfigMap"), "{said}");
    let refused = world.run("shop", "one").await;
    assert!(refused.refused_run_request.is_some());
    let preview = world.preview("shop", "two").await.last_run.unwrap();
    assert_eq!(preview.result, RunResult::Succeeded);
    operator.stop().await;
    assert_eq!((removals(&world), world.tags(repository).len()), (0, 201));
}

/// The commands of docs/incident.md, with the name of this world's Lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_heard_within_two_seconds_and_outlives_the_leader() {
    let world = world_in_real_time().await;
    let repository = world.long_run().await;
    let first = operator(&world, "first", &SHORT).await;
    leads(&world, "first").await;
    world.ready("shop").await;
    let name = name(&world);
    kubectl(world.cluster, &["create", "configmap", &name, "--namespace", HOME, "--from-literal=reason=incident 42"]);
    let made = Instant::now();
    let status = world.until("shop", is_paused).await;
    assert!(made.elapsed() < Duration::from_secs(2), "{:?}", made.elapsed());
    let said = &conditions::find(&status.conditions, PAUSED).unwrap().message;
    assert!(said.contains("kubectl-create paused the operator (incident 42)"), "{said}");

    let second = operator(&world, "second", &SHORT).await;
    first.terminate();
    leads(&world, "second").await;
    let refused = world.run("shop", "one").await;
    assert!(refused.refused_run_request.is_some(), "{}", second.log());
    assert_eq!((removals(&world), world.tags(repository).len()), (0, 201));

    kubectl(world.cluster, &["delete", "configmap", &name, "--namespace", HOME]);
    world.until("shop", |status| World::condition(status, PAUSED) == "absent").await;
    world.run("shop", "two").await;
    assert_eq!(world.tags(repository), ["main"]);
}
