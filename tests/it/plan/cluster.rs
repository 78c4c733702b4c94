//! A policy from the cluster: its Secrets, its generation, what the cluster uses, and what a run then does.

use std::path::PathBuf;

use gitlab_simulator::Push;
use jiff::SignedDuration;
use kube::api::PostParams;
use registry_cleanup_operator::api::{PolicyStatus, RegistryCleanupPolicy};
use registry_cleanup_operator::model::UsedImage;
use registry_cleanup_operator::policy::in_use::list::List;
use rstest::rstest;
use serde_json::{Value, json};

use super::{
    Ended, Files, end, exact, fill, json_of, names, nothing_was_changed, plan_from_cluster, world, world_with,
};
use crate::support::eventually;
use crate::world::{Operator, World, service_account_kubeconfig, try_kubectl};

fn plan(world: &World, more: &[&str]) -> std::process::Command {
    plan_from_cluster(world, world.cluster.kubeconfig(), "shop", more)
}

async fn applied(world: &World, changes: &Value) {
    world.apply(&world.policy("shop", &exact(changes))).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_run_removes_exactly_what_the_plan_says(#[values("Bulk", "Exact")] method: &str) {
    let world = world().await;
    let [api, web] = fill(&world);
    applied(&world, &json!({"method": method})).await;
    let before = world.policies().get("shop").await.unwrap();
    let planned = json_of(plan(&world, &["--detailed-exitcode"]), 2);
    nothing_was_changed(&world);
    let after = world.policies().get("shop").await.unwrap();
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version, "the policy was written to");
    assert_eq!(planned["policy"], format!("{}/shop", world.namespace));

    let mut expected = names(&planned, "shop/backend/api", "Keep");
    expected.sort();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    world.run("shop", "one").await;
    operator.stop().await;
    assert_eq!(world.tags(api), expected);
    assert_eq!(world.tags(web), ["a", "b"]);
    assert_eq!(end(plan(&world, &["--detailed-exitcode"])).code, Some(0), "and then there is nothing left to do");
}

fn pending(status: &PolicyStatus) -> (String, String) {
    let plan = status.pending_approval.as_ref().unwrap();
    (plan.plan_hash.clone(), plan.time.0.to_string())
}

#[rstest]
#[case::graphql(|_: &mut gitlab_simulator::Settings| {})]
#[case::rest(|settings: &mut gitlab_simulator::Settings| settings.graphql = false)]
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_waits_for_approval_can_be_looked_at(#[case] change: fn(&mut gitlab_simulator::Settings)) {
    let world = world_with(change).await;
    let [api, _] = fill(&world);
    applied(&world, &json!({"mode": "RequireApproval"})).await;
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    let (hash, time) = pending(&world.run("shop", "one").await);
    operator.stop().await;
    let now = json_of(plan(&world, &[]), 0);
    assert_eq!(now["planHash"], hash);

    // The oldest images that stay lose their places to newer ones, so that the plan of now is another one.
    let pushed = world.now();
    world.sim.edit(|registry| {
        for number in 0..3 {
            registry.push(api, &format!("new{number}"), Push::at(pushed + SignedDuration::from_secs(1)));
        }
    });
    let elapsed = json_of(plan(&world, &["--as-of", &time]), 0);
    assert_eq!((&elapsed["planHash"], &elapsed["generatedAt"]), (&json!(hash), &json!(time)));
    assert_eq!(names(&elapsed, "shop/backend/api", "Remove"), names(&now, "shop/backend/api", "Remove"));
    assert_eq!(names(&elapsed, "shop/backend/api", "Keep").len(), 12 + 3);
    world.sim.edit(|registry| registry.remove_tag(api, "t29"));
    assert_ne!(json_of(plan(&world, &["--as-of", &time]), 0)["planHash"], hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generation_is_part_of_the_hash_and_a_file_has_none() {
    let world = world().await;
    fill(&world);
    applied(&world, &json!({})).await;
    let hash = |command| json_of(command, 0)["planHash"].as_str().unwrap().to_owned();
    let first = hash(plan(&world, &[]));
    assert_eq!(hash(plan(&world, &[])), first);
    applied(&world, &json!({"historyLimit": 3})).await;
    let second = hash(plan(&world, &[]));
    let files = Files::new(&world, &world.policy("shop", &exact(&json!({}))));
    let from_file = hash(files.plan(&[]));
    assert!(first != second && from_file != first && from_file != second);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_uses_stays_and_who_uses_it_is_told() {
    let world = world().await;
    fill(&world);
    applied(&world, &json!({})).await;
    let image = "registry.gitlab.example.com/shop/backend/api:t25";
    world.kubectl(&["create", "deployment", "web", "--image", image]);
    let planned = json_of(plan(&world, &[]), 0);
    let tags = planned["repositories"][0]["tags"].as_array().unwrap();
    let used = tags.iter().find(|tag| tag["name"] == "t25").unwrap();
    assert_eq!((&used["verdict"], &used["reason"]), (&json!("Keep"), &json!("InUse")));
    let users = used["users"].as_array().unwrap();
    let expected = json!(format!("{}/Deployment/web", world.namespace));
    assert!(users.contains(&expected), "{used}");
    assert_eq!(planned["totals"]["remove"], 17);
    let table = end(plan(&world, &[])).out;
    assert!(table.contains("; in use: t25 by "), "{table}");

    let blind = end(plan(&world, &["--in-use=false"]));
    assert!(blind.out.contains("18 of 30 tags would be removed"), "{}", blind.out);
    assert!(
        blind.out.contains("\nNote: a run keeps images that are in use; nobody looked here which they are.\n"),
        "{}",
        blind.out
    );
    applied(&world, &json!({"protect": {"inUse": "Disabled"}})).await;
    let careless = end(plan(&world, &[]));
    assert!(careless.out.contains("18 of 30 tags would be removed"), "{}", careless.out);
    assert!(!careless.out.contains("Note: "), "{}", careless.out);
    nothing_was_changed(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_own_rights_are_enough_and_none_are_a_clear_error() {
    let world = world().await;
    fill(&world);
    applied(&world, &json!({})).await;
    let operators = service_account_kubeconfig().await;
    assert_eq!(end(plan_from_cluster(&world, &operators, "shop", &[])).code, Some(0));
    let nobody = world.cluster.service_account_kubeconfig(&world.namespace, "default").unwrap();
    let Ended { code, err, .. } = end(plan_from_cluster(&world, &nobody, "shop", &[]));
    assert_eq!(code, Some(1));
    let expected =
        format!("error: reading RegistryCleanupPolicy shop in namespace {} is not allowed\n", world.namespace);
    assert_eq!(err, expected);
}

/// A kubeconfig for an account that may read policies and Secrets, and just list these workloads.
pub(super) async fn reader(world: &World, resources: &str) -> PathBuf {
    let account = format!("--serviceaccount={}:reader", world.namespace);
    world.kubectl(&["create", "serviceaccount", "reader"]);
    let policies = "--resource=registrycleanuppolicies.registrycleanup.dev,secrets";
    world.kubectl(&["create", "role", "policies", "--verb=get", policies]);
    world.kubectl(&["create", "role", "workloads", "--verb=list", &format!("--resource={resources}")]);
    for role in ["policies", "workloads"] {
        world.kubectl(&["create", "rolebinding", role, &format!("--role={role}"), &account]);
    }
    let name = format!("system:serviceaccount:{}:reader", world.namespace);
    for (verb, resource) in [("get", "secrets"), ("list", "pods")] {
        let asked = ["auth", "can-i", verb, resource, "--as", &name, "--namespace", &world.namespace];
        eventually("the permissions", async || try_kubectl(world.cluster, &asked).0.then_some(())).await;
    }
    world.cluster.service_account_kubeconfig(&world.namespace, "reader").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_listed_of_the_workloads_is_an_error_unless_nobody_wants_to_know() {
    let world = world().await;
    fill(&world);
    applied(&world, &json!({})).await;
    let all_but_jobs = "pods,replicationcontrollers,deployments.apps,replicasets.apps,statefulsets.apps,daemonsets.apps,\
                        controllerrevisions.apps,cronjobs.batch";
    let reader = reader(&world, all_but_jobs).await;
    let Ended { code, out, err } = end(plan_from_cluster(&world, &reader, "shop", &["--detailed-exitcode"]));
    assert_eq!((code, out.contains("would be removed")), (Some(1), false), "{out}{err}");
    let gap = format!(
        "it is not known which images are in use: jobs in namespace {}: list is forbidden; --in-use=false plans as if \
         none were",
        world.namespace
    );
    assert!(err.lines().any(|line| line.starts_with("error: ") && line.contains(&gap)), "{err}");
    let blind = end(plan_from_cluster(&world, &reader, "shop", &["--detailed-exitcode", "--in-use=false"]));
    assert_eq!(blind.code, Some(2), "{}", blind.err);
    nothing_was_changed(&world);
}

/// What another cluster has listed at a moment: it uses `t25`.
fn listed(at: jiff::Timestamp) -> String {
    let registry = "registry.gitlab.example.com";
    let used = UsedImage {
        image: format!("{registry}/shop/backend/api:t25").into_boxed_str(),
        id: None,
        users: vec!["prod/Deployment/web".into()],
        more: 0,
        elsewhere: vec![],
    };
    List::new(registry, &[], [used], at).write().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_cluster_lists_stays_and_a_list_that_is_too_old_is_an_error() {
    let world = world().await;
    fill(&world);
    let from = json!({"inUseFrom": [{"configMapRef": {"name": "west"}, "maxAge": "2h"}]});
    applied(&world, &json!({"protect": from})).await;
    let write = |text: &str| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "west"}, "data": {"images.json": text}});
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("map.json");
        std::fs::write(&file, map.to_string()).unwrap();
        world.kubectl(&["apply", "--filename", file.to_str().unwrap()]);
    };
    let ended = end(plan(&world, &[]));
    let words = "it is not known which images are in use: ConfigMap west does not exist";
    assert!(ended.code == Some(1) && ended.err.contains(words), "{}", ended.err);

    let now = jiff::Timestamp::now();
    write(&listed(now - SignedDuration::from_mins(110)));
    let planned = json_of(plan(&world, &["--detailed-exitcode"]), 2);
    let tags = planned["repositories"][0]["tags"].as_array().unwrap();
    let used = tags.iter().find(|tag| tag["name"] == "t25").unwrap();
    assert_eq!((&used["verdict"], &used["reason"]), (&json!("Keep"), &json!("InUse")));
    assert_eq!(used["users"], json!(["prod/Deployment/web (west)"]));
    assert_eq!(planned["totals"]["remove"], 17);

    write(&listed(now - SignedDuration::from_mins(121)));
    let ended = end(plan(&world, &[]));
    let words = "it is not known which images are in use: ConfigMap west: the list is too old: it was made at ";
    assert!(ended.code == Some(1) && ended.err.contains(words), "{}", ended.err);
    nothing_was_changed(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_in_the_cluster_is_named() {
    let world = world().await;
    fill(&world);
    let kubeconfig = world.cluster.kubeconfig();
    let ended = end(plan_from_cluster(&world, kubeconfig, "nothing", &[]));
    let namespace = &world.namespace;
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.err, format!("error: RegistryCleanupPolicy nothing does not exist in namespace {namespace}\n"));
    let gitlab = json!({"url": world.sim.url(), "secretRef": {"name": "elsewhere"}});
    applied(&world, &json!({"gitlab": gitlab})).await;
    let ended = end(plan(&world, &[]));
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), "error: Secret elsewhere does not exist\n"));
    let mut command = super::program();
    command.env("KUBECONFIG", "/nothing").args(["plan", "shop"]);
    let ended = end(command);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.starts_with("error: failed to find a way to the Kubernetes API server"), "{}", ended.err);
    assert!(world.sim.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_namespace_it_is_that_of_the_context() {
    let world = world().await;
    fill(&world);
    applied(&world, &json!({})).await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig: PathBuf = folder.path().join("kubeconfig");
    std::fs::copy(world.cluster.kubeconfig(), &kubeconfig).unwrap();
    let mut command = super::program();
    command.env("KUBECONFIG", &kubeconfig).args(["plan", "shop", "--in-use=false"]);
    command.args(["--allowed-gitlab-hosts", "127.0.0.1"]);
    let ended = end(command);
    assert_eq!(ended.err, "error: RegistryCleanupPolicy shop does not exist in namespace default\n");

    let (ok, text) = crate::world::try_kubectl(
        world.cluster,
        &[
            "--kubeconfig",
            kubeconfig.to_str().unwrap(),
            "config",
            "set-context",
            "--current",
            "--namespace",
            &world.namespace,
        ],
    );
    assert!(ok, "{text}");
    let mut command = super::program();
    command.env("KUBECONFIG", &kubeconfig).args(["plan", "shop", "--in-use=false"]);
    command.args(["--allowed-gitlab-hosts", "127.0.0.1"]);
    let ended = end(command);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_policies_are_told_that_whoever_asks_may_list() {
    let world = world().await;
    fill(&world);
    applied(&world, &json!({})).await;
    world.apply(&world.policy("web", &json!({"target": {"projects": ["shop/frontend"]}}))).await.unwrap();
    let elsewhere = world.another_namespace().await;
    let mut policy = world.policy("all", &json!({}));
    policy["metadata"]["namespace"] = json!(elsewhere);
    let api: kube::Api<RegistryCleanupPolicy> = kube::Api::namespaced(world.kube.clone(), &elsewhere);
    api.create(&PostParams::default(), &serde_json::from_value(policy).unwrap()).await.unwrap();
    let all = format!("{elsewhere}/all");
    let shared = json!(["shop/backend/api", "shop/frontend/web"]);
    let told = json_of(plan(&world, &[]), 0);
    // The GitLab of another test may have had this address before, and its policies are still there.
    let of_others = |policy: &str| policy.contains('/') && policy != all;
    let policies = told["overlapping"]["policies"].as_array().unwrap();
    let policies: Vec<&str> = policies.iter().filter_map(Value::as_str).filter(|policy| !of_others(policy)).collect();
    assert_eq!((policies, &told["overlapping"]["repositories"]), (vec!["web", all.as_str()], &shared));
    let table = end(plan(&world, &[])).out;
    let note = table.lines().find(|line| line.starts_with("Note: policies ")).unwrap_or_else(|| panic!("{table}"));
    assert!(note.contains("also look after repositories of this policy (2 of 2, "), "{table}");
    assert!(note.contains("web") && note.contains(&all), "{table}");

    // Somebody with rights in one namespace only.
    let resources = "registrycleanuppolicies.registrycleanup.dev,secrets";
    world.kubectl(&["create", "serviceaccount", "planner"]);
    world.kubectl(&["create", "role", "planner", "--verb=get,list", &format!("--resource={resources}")]);
    let account = format!("--serviceaccount={}:planner", world.namespace);
    world.kubectl(&["create", "rolebinding", "planner", "--role=planner", &account]);
    let name = format!("system:serviceaccount:{}:planner", world.namespace);
    let asked = ["auth", "can-i", "list", "secrets", "--as", &name, "--namespace", &world.namespace];
    eventually("the permissions", async || try_kubectl(world.cluster, &asked).0.then_some(())).await;
    let account = world.cluster.service_account_kubeconfig(&world.namespace, "planner").unwrap();
    let ended = end(plan_from_cluster(&world, &account, "shop", &["--in-use=false"]));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("note: policies of other namespaces may not be listed"), "{}", ended.err);
    assert!(ended.out.contains("Note: policy web also looks after repositories of this policy (shop/frontend/web, "));
    nothing_was_changed(&world);
}
