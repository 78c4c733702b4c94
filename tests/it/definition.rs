//! A definition in the cluster that is older than the operator (field case 24): it is said, and where a guard may have
//! been dropped nothing is removed.

use std::path::PathBuf;

use control_plane::Cluster;
use gitlab_simulator::Clock;
use jiff::SignedDuration;
use kube::api::PostParams;
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RunResult, Trigger, conditions, crd};
use serde_json::{Value, json};

use crate::support::{events_of, eventually};
use crate::world::{Between, Operator, Setup, World, established, kubectl, own_cluster, path};

const PUBLISHED: &str = "/openapi/v3/apis/registrycleanup.dev/v1alpha1";
const OUTDATED: &str = "False/DefinitionOutdated";

/// A definition of before a field was there.
fn without(fields: &[&str]) -> Value {
    let mut definition = crd::definition().unwrap();
    let schema = definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    for field in fields {
        let (parent, name) = field.rsplit_once('/').unwrap();
        let parent = schema.pointer_mut(&format!("/properties{parent}/properties")).unwrap();
        parent.as_object_mut().unwrap().remove(name).unwrap();
    }
    definition
}

/// Installs a definition and waits until the API server publishes it.
async fn install(cluster: &Cluster, definition: &Value) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), definition.to_string()).unwrap();
    kubectl(cluster, &["apply", "--server-side", "--force-conflicts", "--filename", file.path().to_str().unwrap()]);
    established(cluster, &["crd/registrycleanuppolicies.registrycleanup.dev"]);
    let has_limits = definition.to_string().contains("maxTagsPerRun");
    eventually("the schema that the API server publishes", async || {
        let (found, text) = crate::world::try_kubectl(cluster, &["get", "--raw", PUBLISHED]);
        (found && text.contains("maxTagsPerRun") == has_limits).then_some(())
    })
    .await;
}

fn account(cluster: &Cluster) -> PathBuf {
    cluster.service_account_kubeconfig("registry-cleanup", "registry-cleanup-operator").unwrap()
}

fn ready(status: &PolicyStatus) -> &str {
    &conditions::find(&status.conditions, "Ready").unwrap().message
}

async fn operator(world: &World) -> Operator {
    let setup = Setup { kubeconfig: Some(account(world.cluster)), ..Setup::of(world) };
    Operator::set_up(world, setup).await
}

fn limited(world: &World) -> Value {
    let limits = json!({"maxTagsPerRun": 1});
    world.policy("limited", &json!({"method": "Exact", "target": {"projects": ["shop/api"]}, "limits": limits}))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_while_a_guard_may_have_been_dropped_and_it_is_back_before_anything_is() {
    let cluster = own_cluster().await;
    kubectl(cluster, &["apply", "--server-side", "--filename", &path("deploy/base/operator.yaml")]);
    install(cluster, &without(&["/spec/limits", "/status/handledRunRequests"])).await;
    let world = World::start_on(cluster, |config| config.clock = Clock::system()).await;
    let api = world.repository("shop/api/web", &[("old-1", 30), ("old-2", 20), ("main", 1)]);
    let free = world.repository("shop/free/web", &[("old", 30), ("main", 1)]);
    // As tools do that neither apply on the server's side nor validate strictly.
    let policy = serde_json::from_value(limited(&world)).unwrap();
    let stored = world.policies().create(&PostParams::default(), &policy).await.unwrap();
    assert_eq!(stored.spec.limits, None, "the API server drops what it does not know");
    let target = json!({"projects": ["shop/free"]});
    world.apply(&world.policy("free", &json!({"method": "Exact", "target": target}))).await.unwrap();
    world.apply(&world.policy("dry", &json!({"mode": "DryRun", "target": target}))).await.unwrap();

    let operator = operator(&world).await;
    let remark = "CRD is older than the operator: the API server drops spec.limits, status.handledRunRequests";
    for policy in ["limited", "free"] {
        let status = world.until(policy, |status| World::condition(status, "Ready") == OUTDATED).await;
        assert!(ready(&status).starts_with(&format!("{remark}; ")), "{}", ready(&status));
        world.annotate(policy, RUN_REQUESTED_AT, "one").await;
        // Dry runs go on and say so. After the second one, a run would be over that was asked for before the first.
        world.preview(policy, "one").await;
        let run = world.preview(policy, "two").await.last_run.unwrap();
        assert_eq!(run.result, RunResult::Succeeded);
        assert!(run.message.as_ref().unwrap().ends_with(remark), "{run:?}");
        let status = world.until(policy, |status| status.last_handled_run_at.as_deref() == Some("one")).await;
        assert!(status.refused_run_request.is_some(), "{status:?}");
    }
    let dry = world.ready("dry").await;
    assert!(ready(&dry).starts_with(&format!("{remark}; next run at ")), "{}", ready(&dry));
    assert_eq!((world.tags(api).len(), world.tags(free).len()), (3, 2));
    planned(&world, &json!(["spec.limits", "status.handledRunRequests"]));

    install(cluster, &crd::definition().unwrap()).await;
    world.sim.advance(SignedDuration::from_mins(1));
    operator.nudge();
    for policy in ["limited", "free"] {
        let status = world.until(policy, |status| ready(status).starts_with("the CRD was upgraded; ")).await;
        assert_eq!(World::condition(&status, "Ready"), OUTDATED);
    }
    eventually("nothing more to say", async || {
        // Whoever was looked at before the definition was read is looked at again.
        operator.nudge();
        let status = world.policies().get("dry").await.unwrap().status.unwrap();
        ready(&status).starts_with("next run at ").then_some(())
    })
    .await;
    assert_eq!((world.tags(api).len(), world.tags(free).len()), (3, 2), "nothing goes before the guard is back");

    // What was applied again has its guard, and runs; what was not may run after a while.
    world.apply(&limited(&world)).await.unwrap();
    let status = world.until("limited", |status| World::condition(status, "Ready") == "True/Scheduled").await;
    assert_eq!(status.last_run.unwrap().trigger, Trigger::DryRunRequested, "what was refused is not begun");
    world.annotate("limited", RUN_REQUESTED_AT, "two").await;
    let over = |status: &PolicyStatus| World::condition(status, "LastRunSucceeded") == "False/DeletionLimitExceeded";
    world.until("limited", over).await;
    assert_eq!((world.tags(api).len(), world.tags(free).len()), (3, 2));
    world.sim.advance(SignedDuration::from_mins(10));
    operator.nudge();
    world.ready("free").await;
    world.run("free", "two").await;
    operator.stop().await;
    assert_eq!(world.tags(free), ["main"]);
    assert_eq!(events_of(&world, "DefinitionOutdated").await, 2, "one for each policy that removes something");
    planned(&world, &Value::Null);
}

/// What `plan` says of the definition.
fn planned(world: &World, dropped: &Value) {
    let mut plan = crate::plan::plan_from_cluster(world, world.cluster.kubeconfig(), "limited", &["-o", "json"]);
    let output = plan.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let plan: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(&plan["droppedFields"], dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_cannot_be_read_stops_nothing() {
    let world = World::start().await;
    let repository = world.repository("shop/backend/api", &[("old", 30), ("main", 1)]);
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let between = Between::default();
    between.refuse(PUBLISHED);
    let operator = Operator::set_up(&world, Setup { between: Some(between), ..Setup::of(&world) }).await;
    world.ready("shop").await;
    let status = world.run("shop", "one").await;
    assert_eq!(status.last_run.unwrap().result, RunResult::Succeeded);
    assert_eq!(world.tags(repository), ["main"]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_definition_of_this_version_nothing_is_said() {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("old", 30)]);
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let operator = Operator::start(&world).await;
    let status = world.ready("shop").await;
    assert!(ready(&status).starts_with("next run at "), "{}", ready(&status));
    operator.stop().await;
}

/// Kubernetes does not judge again what an edit leaves as it is, so that a new rule locks nobody out; the operator
/// does.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_from_before_a_rule_can_be_edited_and_is_stalled_until_its_pattern_is_corrected() {
    let cluster = own_cluster().await;
    kubectl(cluster, &["apply", "--server-side", "--filename", &path("deploy/base/operator.yaml")]);
    let mut older = crd::definition().unwrap();
    let keep =
        "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/rules/items/properties/nameRegexKeep";
    older.pointer_mut(keep).unwrap().as_object_mut().unwrap().remove("x-kubernetes-validations").unwrap();
    install(cluster, &older).await;
    let world = World::start_on(cluster, |_| {}).await;
    let repository = world.repository("shop/api/web", &[("v1", 30), ("old", 20)]);
    let keeping = |name: &str, keep: &str| {
        let rule = json!({"name": "old", "nameRegexDelete": ".*", "olderThan": "7d", "nameRegexKeep": keep});
        world.policy(name, &json!({ "rules": [rule] }))
    };
    world.apply(&keeping("shop", "v.+|main\n")).await.unwrap();
    install(cluster, &crd::definition().unwrap()).await;
    eventually("the rule", async || world.apply(&keeping("other", "v.+|main\n")).await.err()).await;

    world.kubectl(&["patch", "rcp", "shop", "--type=merge", "--patch", r#"{"spec": {"historyLimit": 3}}"#]);
    let operator = operator(&world).await;
    let status = world.until("shop", |status| World::condition(status, "Stalled") == "True/InvalidPattern").await;
    assert!(ready(&status).contains("no tag name has a space or a line break"), "{}", ready(&status));
    assert_eq!(status.observed_generation, Some(2));
    world.apply(&keeping("shop", "v.+|main")).await.unwrap();
    world.ready("shop").await;
    world.run("shop", "one").await;
    operator.stop().await;
    assert_eq!(world.tags(repository), ["v1"]);
}
