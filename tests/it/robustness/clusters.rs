//! Clusters that cause trouble: each test has a control plane of its own.

use std::path::PathBuf;

use control_plane::Cluster;
use gitlab_simulator::{Clock, Config, Endpoint, HoldPoint, Matcher, Scope, Simulator, TokenKind};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use registry_cleanup_operator::api::{RUN_REQUESTED_AT, RegistryCleanupPolicy, RunResult, crd};
use serde_json::{Value, json};

use super::process::Process;
use crate::support::{change, eventually, in_time};
use crate::world::{MARKER, World, client, established, install, kubectl, own_cluster, path};

pub(super) fn apply(cluster: &Cluster, file: &str) {
    kubectl(cluster, &["apply", "--server-side", "--filename", file]);
}

pub(super) fn wait_for_definition(cluster: &Cluster) {
    established(cluster, &["crd/registrycleanuppolicies.registrycleanup.dev"]);
}

pub(super) fn account(cluster: &Cluster) -> PathBuf {
    cluster.service_account_kubeconfig("registry-cleanup", "registry-cleanup-operator").unwrap()
}

/// A world in the namespace `default` of another cluster than the shared one, in real time, with one repository.
pub(super) async fn world_on(cluster: &'static Cluster) -> (World, u64) {
    let kube = client(cluster.kubeconfig()).await;
    let sim = Simulator::start(Config { clock: Clock::system(), tls: true, ..Config::default() }).await.unwrap();
    sim.edit(|registry| {
        let bot = registry.user("bot");
        registry.set_role("shop", bot, Some(gitlab_simulator::Role::Maintainer));
        registry.set_token(MARKER, TokenKind::Personal, bot, "bot", &[Scope::Api]);
    });
    let world = World { cluster, kube, namespace: "default".to_owned(), sim };
    world.secret("token", &[("token", MARKER)]).await;
    world.secret("ca", &[("ca.crt", world.sim.ca_pem().unwrap())]).await;
    let repository = world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    (world, repository)
}

/// Everything that the operator relies on, and no validation: what an older or a hand-made definition may have let in.
fn definition_without_validation() -> Value {
    let mut definition = crd::definition().unwrap();
    let version = &mut definition["spec"]["versions"][0];
    version.as_object_mut().unwrap().remove("selectableFields");
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    version["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "properties": {"spec": anything, "status": anything}});
    definition
}

/// Objects that cannot be read as policies, each in another way.
fn broken(world: &World) -> Vec<Value> {
    let mut with = vec![world.policy("text-for-a-list", &json!({"rules": "none"}))];
    with.push(world.policy("unknown-mode", &json!({"mode": "Purge"})));
    with.push(world.policy("negative-number", &json!({"historyLimit": -1})));
    let mut no_spec = world.policy("no-spec", &json!({}));
    no_spec.as_object_mut().unwrap().remove("spec");
    with.push(no_spec);
    with
}

async fn unreadable(world: &World) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(world.kube.clone(), &world.namespace);
    let events = events.list(&ListParams::default()).await.unwrap().items;
    let about = |event: Event| {
        let unreadable = event.reason.as_deref() == Some("PolicyUnreadable");
        event.regarding.filter(|_| unreadable).and_then(|about| about.name)
    };
    let mut names: Vec<String> = events.into_iter().filter_map(about).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_definition_an_operator_says_what_to_do_and_with_broken_objects_it_carries_on() {
    let cluster = own_cluster().await;
    apply(cluster, &path("deploy/base/operator.yaml"));
    let mut process = Process::start(&account(cluster), &[]);
    assert_eq!(process.exit_code().await, Some(1));
    let words = "error: RegistryCleanupPolicy is not known to this cluster: install the CustomResourceDefinition first (chart: \
                 crds.install; or kubectl apply --server-side --filename crds/)";
    assert!(process.log().contains(words), "{}", process.log());

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), definition_without_validation().to_string()).unwrap();
    apply(cluster, file.path().to_str().unwrap());
    wait_for_definition(cluster);
    let (world, repository) = world_on(cluster).await;
    let kind = ApiResource::erase::<RegistryCleanupPolicy>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(world.kube.clone(), "default", &kind);
    for object in broken(&world) {
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }
    let mut process = Process::start(&account(cluster), &[]);
    let rules = json!([{"name": "versions", "nameRegexDelete": "v.*", "olderThan": "7d"}]);
    world.apply(&world.policy("shop", &json!({"rules": rules}))).await.unwrap();
    world.ready("shop").await;

    // One more breaks while the operator watches.
    world.apply(&world.policy("broken-status", &json!({"suspend": true}))).await.unwrap();
    world.ready("broken-status").await;
    let patch = json!({"status": {"conditions": "all fine"}});
    api.patch_status("broken-status", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let patch = json!({"spec": {"historyLimit": 6}});
    api.patch("broken-status", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let expected = ["broken-status", "negative-number", "no-spec", "text-for-a-list", "unknown-mode"];
    eventually("an event about each", async || (unreadable(&world).await == expected).then_some(())).await;

    assert_eq!(world.run("shop", "one").await.last_run.unwrap().result, RunResult::Succeeded);
    assert_eq!(world.tags(repository), ["main"]);
    let untouched = api.get("text-for-a-list").await.unwrap();
    assert_eq!(untouched.data.get("status"), None, "nothing is written to what cannot be read");

    // They are there at the next start as well, in the list and not in the watch.
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0), "{}", process.log());
    let mut process = Process::start(&account(cluster), &[]);
    let status = world.run("shop", "two").await;
    assert_eq!(status.last_run.unwrap().repositories.skipped, 1, "what happened within the hour is known all the same");
    assert!(process.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_api_server_ends_no_run_and_a_request_after_it_is_heard() {
    let cluster = own_cluster().await;
    install(cluster, &[]);
    wait_for_definition(cluster);
    let (world, repository) = world_on(cluster).await;
    let rules = json!([{"name": "versions", "nameRegexDelete": "v.*", "olderThan": "7d"}]);
    let mut policy = world.policy("shop", &json!({"rules": rules}));
    change(&mut policy, "/gitlab/timeout", &json!("4m"));
    world.apply(&policy).await.unwrap();
    let mut process = Process::start(&account(cluster), &[]);
    world.ready("shop").await;
    let restart = async || tokio::task::spawn_blocking(|| cluster.restart_api_server().unwrap()).await.unwrap();

    // In the middle of a run, whose end is written to the server that comes back.
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::BulkDeleteTags), HoldPoint::BeforeProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("the request", hold.reached()).await;
    restart().await;
    hold.release();
    let status = world.until("shop", |status| status.history.len() == 1).await;
    assert_eq!(status.last_run.unwrap().result, RunResult::Succeeded, "{}", process.log());

    restart().await;
    let status = world.run("shop", "two").await;
    assert_eq!(status.history.len(), 2);
    assert!(process.is_running(), "{}", process.log());
    assert_eq!(world.tags(repository), ["main"]);
    assert_eq!(world.sim.requests_to(Endpoint::BulkDeleteTags).len(), 1, "the hour is not forgotten either");
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0), "{}", process.log());
}
