//! Small helpers that several tests need beside the world.

use std::process::Command;
use std::time::Duration;

use gitlab_simulator::Clock;
use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{MARKER, World};

/// Long enough for the slowest machine: nothing here is a measurement, only a test that hangs is to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// A policy that removes everything of the group `shop` that is older than a week, for a GitLab that nobody asks.
pub(crate) fn plain_policy(name: &str) -> Value {
    json!({
        "apiVersion": "registrycleanup.dev/v1alpha1",
        "kind": "RegistryCleanupPolicy",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "gitlab": {"url": "https://gitlab.example.com", "secretRef": {"name": "token"}},
            "target": {"groups": [{"path": "shop"}]},
            "rules": [{"name": "old", "nameRegexDelete": ".*", "olderThan": "7d"}],
            "schedule": "17 3 * * *",
        },
    })
}

/// Replaces what stands at a JSON pointer below `spec`, objects on the way included; null removes it.
pub(crate) fn change(policy: &mut Value, pointer: &str, value: &Value) {
    let mut place = &mut policy["spec"];
    let (parents, last) = pointer.trim_start_matches('/').rsplit_once('/').unwrap_or(("", pointer));
    let last = last.trim_start_matches('/');
    for step in parents.split('/').filter(|step| !step.is_empty()) {
        place = match step.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[step],
        };
    }
    if value.is_null() {
        place.as_object_mut().expect("null removes a member of an object").remove(last);
    } else {
        place[last] = value.clone();
    }
}

/// Asks until there is an answer, for what no watch tells; fails the test when there is none for a long time.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        let mut pause = tokio::time::interval(Duration::from_millis(100));
        loop {
            pause.tick().await;
            if let Some(answer) = ask().await {
                break answer;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// Waits for something that happens by itself; fails the test when it does not happen for a long time.
pub(crate) async fn in_time<T>(what: &str, happens: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, happens).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// How often an event with this reason was published, repetitions that the API counts in one object included. The
/// operator must have stopped, or the event may still be on its way.
pub(crate) async fn events_of(world: &World, reason: &str) -> i32 {
    let api: Api<Event> = Api::namespaced(world.kube.clone(), &world.namespace);
    let events = api.list(&ListParams::default()).await.unwrap().items;
    let published = |event: &Event| event.series.as_ref().map_or(1, |series| series.count);
    events.iter().filter(|event| event.reason.as_deref() == Some(reason)).map(published).sum()
}

/// A world that begins a minute before the real time, which is that of a program.
pub(crate) async fn world_of_today() -> World {
    let begin = Timestamp::from_second(Timestamp::now().as_second() - 60).unwrap();
    World::start_with(|config| config.clock = Clock::manual(begin)).await
}

/// The program with what it needs to ask the world's GitLab. The folder has the token, and goes with the test.
pub(crate) fn program_with_token(world: &World, arguments: &[&str]) -> (TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    let (token, ca) = (folder.path().join("token"), folder.path().join("ca.crt"));
    std::fs::write(&token, MARKER).unwrap();
    std::fs::write(&ca, world.sim.ca_pem().unwrap()).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
    program.env_clear().args(arguments).args(["--allowed-gitlab-hosts", "127.0.0.1"]);
    program.args(["--max-requests-per-second-per-host", "1000"]);
    program.arg("--token-file").arg(&token).arg("--ca-file").arg(&ca);
    (folder, program)
}
