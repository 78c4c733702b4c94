//! An operator that is older than the definition in the cluster and than what another one wrote, as after going back to
//! the version before: what it does not know may guard, so nothing is removed for it, and the hour survives.
//!
//! The operator is the program that was just built, or that of `OLDER_PROGRAM`, which `hack/test-older.sh` builds.

use gitlab_simulator::Clock;
use jiff::SignedDuration;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use registry_cleanup_operator::api::{RUN_REQUESTED_AT, RegistryCleanupPolicy, RepositoryResult, crd};
use serde_json::{Value, json};

use crate::hour::bulk_requests;
use crate::robustness::Process;
use crate::support::eventually;
use crate::world::{World, established, kubectl, own_cluster, path};

/// The definition of a later version: a guard more, and a word more in each closed set.
fn later() -> Value {
    fn extend(value: &mut Value) {
        match value {
            Value::Object(object) => {
                if let Some(words) = object.get_mut("enum").and_then(Value::as_array_mut) {
                    words.push("Later".into());
                }
                object.values_mut().for_each(extend);
            }
            Value::Array(items) => items.iter_mut().for_each(extend),
            _ => {}
        }
    }
    let mut definition = crd::definition().unwrap();
    extend(&mut definition["spec"]["versions"][0]["schema"]);
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    definition.pointer_mut(spec).unwrap()["onlyUnsigned"] = json!({"type": "boolean", "description": "A guard."});
    definition
}

fn objects(kube: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(kube.clone(), namespace, &ApiResource::erase::<RegistryCleanupPolicy>(&()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_later_version_added_is_left_alone_and_its_hours_count() {
    let cluster = own_cluster().await;
    kubectl(cluster, &["apply", "--server-side", "--filename", &path("deploy/base/operator.yaml")]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), later().to_string()).unwrap();
    kubectl(cluster, &["apply", "--server-side", "--filename", file.path().to_str().unwrap()]);
    established(cluster, &["crd/registrycleanuppolicies.registrycleanup.dev"]);
    let world = World::start_on(cluster, |config| config.clock = Clock::system()).await;
    let taken = world.repository("shop/taken/web", &[("old-1", 30), ("old-2", 20), ("main", 1)]);
    let free = world.repository("shop/free/web", &[("old-1", 30), ("old-2", 20), ("main", 1)]);
    let (taken_by, all) = (json!({"projects": ["shop/taken"]}), json!({"groups": [{"path": "shop"}]}));
    let policies = objects(&world.kube, &world.namespace);
    for (name, changes) in [
        ("guarded", json!({"onlyUnsigned": true, "target": all})),
        ("worded", json!({"mode": "Later", "target": all})),
        ("told", json!({"target": taken_by})),
        ("plain", json!({"target": all})),
    ] {
        let policy = serde_json::from_value(world.policy(name, &changes)).unwrap();
        eventually("the policy is taken", async || policies.create(&PostParams::default(), &policy).await.ok()).await;
    }
    // A run of the later version has asked for a bulk deletion ten minutes ago.
    let until = world.now().checked_add(SignedDuration::from_mins(50)).unwrap();
    let status = json!({"status": {
        "observedGeneration": 1,
        "lastRun": {"id": "20261122-115000-later", "trigger": "Later", "mode": "Delete", "gitlab": world.sim.url(),
            "observedGeneration": 1, "startTime": "2026-11-22T11:50:00Z", "result": "Later"},
        "repositories": [{"path": "shop/taken/web", "id": taken, "result": "Later", "nextEligibleTime": until}],
    }});
    let parameters = PatchParams::default();
    policies.patch_status("told", &parameters, &Patch::Merge(&status)).await.unwrap();

    let account = cluster.service_account_kubeconfig("registry-cleanup", "registry-cleanup-operator").unwrap();
    let own = format!("--watch-namespace={}", world.namespace);
    let program =
        std::env::var_os("OLDER_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_registry-cleanup-operator").into());
    let arguments = [&own, "--in-use-scope=WatchedNamespaces", "--leader-election-namespace=registry-cleanup"];
    let mut operator = Process::of(&program, &account, "test", &arguments);
    world.ready("plain").await;
    for name in ["guarded", "worded", "told"] {
        let patch = json!({"metadata": {"annotations": {RUN_REQUESTED_AT: "now"}}});
        policies.patch(name, &parameters, &Patch::Merge(&patch)).await.unwrap();
    }
    eventually("all three are said to be unreadable", async || {
        let events = world.events().await;
        (events.iter().filter(|(reason, _)| reason == "PolicyUnreadable").count() >= 3).then_some(())
    })
    .await;
    let ran = world.run("plain", "now").await;
    let of = |id| ran.repositories.iter().find(|repository| repository.id == id).unwrap();
    assert_eq!((of(taken).result, of(taken).reason.as_deref()), (RepositoryResult::Skipped, Some("RateLimited")));
    assert_eq!(of(free).result, RepositoryResult::Changed);
    operator.terminate();
    assert_eq!(operator.exit_code().await, Some(0), "{}", operator.log());
    let asked: Vec<u64> = bulk_requests(&world).iter().filter_map(|request| request.repository).collect();
    assert_eq!((asked, world.tags(taken).len()), (vec![free], 3));
    for name in ["guarded", "worded", "told"] {
        let policy = policies.get(name).await.unwrap();
        let run = &policy.data["status"]["lastRun"];
        assert!(run.is_null() || run["trigger"] == "Later", "{name}: {run}");
    }
}
