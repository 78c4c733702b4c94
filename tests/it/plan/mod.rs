//! `plan`, the program, against the real API server and a GitLab over https: what it says is what a run does, and it
//! does nothing.

mod backtest;
mod cluster;
mod file;
mod outputs;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use gitlab_simulator::{Clock, Endpoint};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{MARKER, World};

/// A world that begins a minute before the real time, which is the program's.
async fn world() -> World {
    world_with(|_| {}).await
}

async fn world_with(change: impl FnOnce(&mut gitlab_simulator::Settings)) -> World {
    // A whole second, which is what a status can hold.
    let begin = Timestamp::from_second(Timestamp::now().as_second() - 60).unwrap();
    World::start_with(|config| {
        config.clock = Clock::manual(begin);
        change(&mut config.settings);
    })
    .await
}

/// Two repositories: thirty tags `t00`..`t29`, each a day older than the one before, and two young ones.
fn fill(world: &World) -> [u64; 2] {
    let names: Vec<String> = (0..30).map(|day| format!("t{day:02}")).collect();
    let tags: Vec<(&str, i64)> = names.iter().map(String::as_str).zip(0..).collect();
    [world.repository("shop/backend/api", &tags), world.repository("shop/frontend/web", &[("a", 1), ("b", 2)])]
}

/// A world with those, and files for a policy of the method Exact.
async fn filled() -> (World, Files) {
    let world = world().await;
    fill(&world);
    let files = Files::new(&world, &world.policy("shop", &exact(&json!({}))));
    (world, files)
}

/// Of the thirty tags, the 18 oldest go.
fn rules() -> Value {
    json!([{"name": "old", "nameRegexDelete": ".*", "olderThan": "7d", "keepN": 12}])
}

fn exact(changes: &Value) -> Value {
    let mut spec = json!({"method": "Exact", "rules": rules()});
    for (key, value) in changes.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

/// A folder with the files that a pipeline has: the policy, the token, the certificate authority.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new(world: &World, policy: &Value) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.write("policy.yaml", &serde_saphyr::to_string(policy).unwrap());
        files.write("token", &format!("{MARKER}\n"));
        if let Some(ca) = world.sim.ca_pem() {
            files.write("ca.crt", ca);
        }
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `plan -f policy.yaml` with all that it needs.
    fn plan(&self, more: &[&str]) -> Command {
        let mut command = self.bare_plan();
        command
            .args(["--allowed-gitlab-hosts", "127.0.0.1", "--token-file", "token", "--ca-file", "ca.crt"])
            .args(more);
        command
    }

    /// `plan -f policy.yaml` and nothing else.
    fn bare_plan(&self) -> Command {
        let mut command = program();
        command.current_dir(self.folder.path()).args(["plan", "-f", "policy.yaml"]);
        command
    }
}

/// The program with an empty environment, as fast as it can be.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// `plan -n NAMESPACE NAME` with the rights of an administrator, or of another kubeconfig.
pub(crate) fn plan_from_cluster(world: &World, kubeconfig: &Path, name: &str, more: &[&str]) -> Command {
    let mut command = program();
    command
        .env("KUBECONFIG", kubeconfig)
        .args(["plan", "-n", &world.namespace, name, "--allowed-gitlab-hosts", "127.0.0.1"])
        // Other tests run strange things in their namespaces.
        .args(["--watch-namespace", &world.namespace, "--in-use-scope", "WatchedNamespaces"])
        .args(more);
    command
}

/// What a program printed and how it ended.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs to the end.
fn end(mut command: Command) -> Ended {
    command.args(["--max-requests-per-second-per-host", "1000"]);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// Runs to an end with this code, with `-o json`, and answers the plan.
fn json_of(mut command: Command, code: i32) -> Value {
    command.args(["-o", "json"]);
    let ended = end(command);
    assert_eq!(ended.code, Some(code), "{}{}", ended.out, ended.err);
    serde_json::from_str(&ended.out).unwrap()
}

/// The names of the tags of a repository with a verdict, as a plan has them.
fn names(plan: &Value, path: &str, verdict: &str) -> Vec<String> {
    let repositories = plan["repositories"].as_array().unwrap();
    let repository = repositories.iter().find(|repository| repository["path"] == path).unwrap();
    let tags = repository["tags"].as_array().unwrap().iter().filter(|tag| tag["verdict"] == verdict);
    tags.map(|tag| tag["name"].as_str().unwrap().to_owned()).collect()
}

/// Nothing but reading was asked of GitLab.
fn nothing_was_changed(world: &World) {
    let requests = world.sim.requests();
    assert!(!requests.is_empty());
    for request in requests {
        assert!(request.method == "GET" || request.endpoint == Endpoint::GraphqlQuery, "{request:?}");
    }
}
