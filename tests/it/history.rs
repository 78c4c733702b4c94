//! What runs removed is kept beside the policy, as far as the operator is told to, and printed by the program.

use std::path::{Path, PathBuf};
use std::process::Command;

use gitlab_simulator::{Action, Endpoint, Fault, HoldPoint, Matcher};
use registry_cleanup_operator::api::PolicyStatus;
use registry_cleanup_operator::api::RUN_REQUESTED_AT;
use serde_json::{Value, json};

use crate::support::in_time;
use crate::world::{Operator, Setup, World, output};

/// An account in the world's namespace that may do what the operator may, with or without `history.limit`.
pub(crate) fn account(world: &World, keeps: bool) -> PathBuf {
    let name = "keeper";
    let subject = format!("--serviceaccount={}:{name}", world.namespace);
    world.kubectl(&["create", "serviceaccount", name]);
    let of_leases =
        ["create", "role", "leader", "--verb=create,get,update,patch", "--resource=leases.coordination.k8s.io"];
    world.kubectl(&of_leases);
    world.kubectl(&["create", "rolebinding", "leader", "--role", "leader", &subject]);
    if keeps {
        world.kubectl(&["create", "role", name, "--verb=create,delete,list", "--resource=configmaps"]);
        world.kubectl(&["create", "rolebinding", name, "--role", name, &subject]);
    }
    let operator = "registry-cleanup-operator";
    world.kubectl(&["create", "rolebinding", operator, "--clusterrole", operator, &subject]);
    world.cluster.service_account_kubeconfig(&world.namespace, name).unwrap()
}

async fn operator(world: &World, history: usize, may: bool) -> Operator {
    let kubeconfig = Some(account(world, may));
    // It removes of one repository at a time, so that a run can be cut short between two.
    Operator::set_up(world, Setup { kubeconfig, history, graphql_batch: 1, ..Setup::of(world) }).await
}

/// A world with a repository from which the method removes `old-1` and `old-2`.
async fn world(method: &str) -> (World, u64) {
    let world = World::start().await;
    let repository = world.repository("shop/backend/api", &[("old-1", 30), ("old-2", 20), ("new", 1)]);
    let rules = json!([{"name": "old", "nameRegexDelete": "old-.*", "olderThan": "7d"}]);
    world.apply(&world.policy("shop", &json!({"method": method, "rules": rules}))).await.unwrap();
    (world, repository)
}

/// What `history` prints.
pub(crate) fn history(world: &World, kubeconfig: &Path, arguments: &[&str]) -> (bool, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
    program.env("KUBECONFIG", kubeconfig).args(["history", "-n", &world.namespace, "shop"]).args(arguments);
    output(&mut program)
}

fn read(world: &World, arguments: &[&str]) -> Value {
    let all: Vec<&str> = arguments.iter().copied().chain(["-o", "json"]).collect();
    let (ok, text) = history(world, world.cluster.kubeconfig(), &all);
    assert!(ok, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Name, fate and whether there is a digest of each tag of a run.
fn tags(run: &Value) -> Vec<(String, String, bool)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let tags = run["tags"].as_array().unwrap().iter();
    let mut tags: Vec<_> = tags.map(|tag| (text(&tag["tag"]), text(&tag["fate"]), tag["digest"].is_string())).collect();
    tags.sort();
    tags
}

/// The records of the world, by their names.
fn kept(world: &World) -> Vec<String> {
    let text = world.kubectl(&["get", "configmaps", "-l", "app.kubernetes.io/component=history", "-o", "name"]);
    text.lines().map(str::to_owned).collect()
}

fn id(status: &PolicyStatus) -> String {
    status.last_run.as_ref().unwrap().id.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_removed_is_kept_beside_the_policy_and_printed() {
    for (method, with_digest) in [("Exact", true), ("Bulk", false)] {
        let (world, _) = world(method).await;
        let operator = operator(&world, 3, true).await;
        world.ready("shop").await;
        world.preview("shop", "one").await;
        assert_eq!(kept(&world), [""; 0], "a dry run removes nothing");
        let status = world.run("shop", "one").await;
        operator.stop().await;
        let run = read(&world, &[&id(&status)]);
        let removed = |name: &str| (name.to_owned(), String::new(), with_digest);
        assert_eq!(tags(&run), [removed("old-1"), removed("old-2")], "{run}");
        assert_eq!((&run["removed"], &run["result"]), (&json!(2), &json!("Succeeded")));
        assert_eq!(run["tags"][0]["repository"], "shop/backend/api");

        let object = world.kubectl(&["get", &kept(&world)[0], "-o", "json"]);
        let object: Value = serde_json::from_str(&object).unwrap();
        let owner = &object["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["kind"], &owner["name"]), (&json!("RegistryCleanupPolicy"), &json!("shop")));
        assert_eq!(object["immutable"], true);

        let (ok, table) = history(&world, world.cluster.kubeconfig(), &[]);
        assert!(ok && table.starts_with("RUN ") && table.contains(&id(&status)), "{table}");
        let (ok, text) = history(&world, world.cluster.kubeconfig(), &["20200101-000000-scheduled"]);
        assert!(!ok && text.starts_with("error: nothing is kept of run 20200101-000000-scheduled"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_older_runs_nothing_is_kept() {
    let (world, repository) = world("Exact").await;
    let operator = operator(&world, 2, true).await;
    world.ready("shop").await;
    let mut runs = Vec::new();
    for number in 1..=3 {
        let status = world.run("shop", &number.to_string()).await;
        runs.insert(0, id(&status));
        // Another moment, and something to remove in it.
        world.sim.advance(jiff::SignedDuration::from_hours(2));
        let old = world.now() - jiff::SignedDuration::from_hours(24 * 30);
        world.sim.edit(|registry| registry.push(repository, "old-1", gitlab_simulator::Push::at(old)));
    }
    operator.stop().await;
    let listed = read(&world, &[]);
    let listed: Vec<&str> = listed.as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap()).collect();
    assert_eq!(listed, runs[..2]);
    assert_eq!(kept(&world).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cut_short_and_tags_of_unknown_fate_are_kept_too() {
    let (world, _) = world("Exact").await;
    for path in ["shop/frontend/web", "shop/tools/worker"] {
        world.repository(path, &[("old-1", 30), ("new", 1)]);
    }
    let lost = Matcher::endpoint(Endpoint::GraphqlMutation).nth(1);
    world.sim.fault(Fault::new(lost, Action::DropConnection));
    let operator = operator(&world, 3, true).await;
    world.ready("shop").await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation).nth(2), HoldPoint::AfterProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("the second request", hold.reached()).await;
    operator.terminate();
    hold.release();
    operator.stop().await;
    let runs = read(&world, &[]);
    let run = read(&world, &[runs[0]["run"].as_str().unwrap()]);
    assert_eq!((&run["result"], &run["removed"], &run["unknown"]), (&json!("Interrupted"), &json!(1), &json!(2)));
    let expected = [("old-1", ""), ("old-1", "Unknown"), ("old-2", "Unknown")];
    assert_eq!(tags(&run), expected.map(|(name, fate)| (name.to_owned(), fate.to_owned(), true)), "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_may_not_keep_it_ends_its_runs_as_well_and_one_that_is_not_told_to_keeps_nothing() {
    for history in [3, 0] {
        let (world, repository) = world("Exact").await;
        let operator = operator(&world, history, false).await;
        world.ready("shop").await;
        let status = world.run("shop", "one").await;
        operator.stop().await;
        assert_eq!(world.tags(repository), ["new"]);
        assert_eq!(World::condition(&status, "LastRunSucceeded"), "True/Succeeded");
        assert_eq!(kept(&world), [""; 0]);
        assert_eq!(read(&world, &[]), json!([]));
    }
}
