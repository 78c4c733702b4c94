//! Starts the real programs. The first run builds them.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use control_plane::{Cluster, Kubernetes, Options, shared};
use serde_json::Value;

/// Runs a command that has to succeed, and gives what it printed.
fn out(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {text}{errors}");
    text.into_owned()
}

/// The ids of the programs of the cluster in a folder. Those of their scripts are left out: an orphan stays a zombie
/// for ever where the first process of a container collects none.
fn processes(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory.join("running")).unwrap();
    let ids = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    ids.map(|ids| ids.split_whitespace().nth(1).unwrap().to_owned()).collect()
}

fn exists(id: &str) -> bool {
    Command::new("/bin/sh").args(["-c", "kill -0 \"$1\" 2>/dev/null", "sh", id]).status().unwrap().success()
}

#[test]
fn a_control_plane_starts_restarts_and_leaves_nothing_behind() {
    let cluster = Cluster::start(&Options::default()).unwrap();
    let directory = cluster.directory().to_owned();
    let ids = processes(&directory);
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| exists(id)));

    assert!(out(cluster.kubectl().args(["get", "namespaces", "-o=name"])).contains("namespace/default"));
    let versions = out(cluster.kubectl().arg("version"));
    // With programs of setup-envtest it is whatever version was fetched.
    if env::var_os("KUBEBUILDER_ASSETS").is_none() {
        let (client, server) = (Kubernetes::Newest.version(), Kubernetes::from_env().unwrap().version());
        assert!(versions.contains(&format!("Client Version: {client}")), "{versions}");
        assert!(versions.contains(&format!("Server Version: {server}")), "{versions}");
    }

    out(cluster.kubectl().args(["create", "configmap", "kept", "--from-literal=key=value"]));
    cluster.restart_api_server().unwrap();
    cluster.check().unwrap();
    assert_eq!(out(cluster.kubectl().args(["get", "configmap", "kept", "-o=jsonpath={.data.key}"])), "value");
    // The controller manager has to find the new server by itself.
    out(cluster.kubectl().args(["create", "namespace", "after-restart"]));
    let made = ["wait", "--for=create", "configmap/kube-root-ca.crt", "-n=after-restart", "--timeout=60s"];
    out(cluster.kubectl().args(made));

    service_accounts_have_the_rights_they_were_given(&cluster);
    the_audit_log_names_who_asked(&cluster);

    let ids = [ids, processes(&directory)].concat();
    cluster.stop();
    assert!(!ids.iter().any(|id| exists(id)));
    assert!(!directory.exists());
}

fn service_accounts_have_the_rights_they_were_given(cluster: &Cluster) {
    out(cluster.kubectl().args(["create", "serviceaccount", "reader"]));
    out(cluster.kubectl().args(["create", "role", "reader", "--verb=get,list", "--resource=configmaps"]));
    let binding = ["create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader"];
    out(cluster.kubectl().args(binding));

    let kubeconfig = cluster.service_account_kubeconfig("default", "reader").unwrap();
    let as_reader = || {
        let mut kubectl = cluster.kubectl();
        kubectl.env("KUBECONFIG", &kubeconfig);
        kubectl
    };
    assert!(out(as_reader().args(["get", "configmaps", "-o=name"])).contains("configmap/kept"));
    let refused = as_reader().args(["get", "secrets"]).output().unwrap();
    assert!(!refused.status.success());
    let refusal = String::from_utf8_lossy(&refused.stderr);
    assert!(refusal.contains("\"system:serviceaccount:default:reader\" cannot list"), "{refusal}");
}

fn the_audit_log_names_who_asked(cluster: &Cluster) {
    let log = fs::read_to_string(cluster.audit_log().unwrap()).unwrap();
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let users = |event: &Value| event.pointer("/user/username").and_then(Value::as_str).unwrap().to_owned();
    assert!(events.iter().map(users).any(|user| user == "system:serviceaccount:default:reader"));
    assert!(!events.iter().map(users).any(|user| user.starts_with("system:serviceaccount:kube-system:")));
}

#[test]
fn a_killed_process_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let mut up = Command::new(env!("CARGO_BIN_EXE_control-plane"))
        .args(["up", "--kubeconfig"])
        .arg(&kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(up.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    let directory = PathBuf::from(line.pointer("/directory").and_then(Value::as_str).unwrap());
    let ids = processes(&directory);
    assert_eq!(ids.len(), 3);

    another_process_can_use_it_as_an_existing_cluster(&kubeconfig);
    assert!(ids.iter().all(|id| exists(id)), "the other process ended what it had not started");

    // SIGKILL: nothing in the process itself can run after it.
    up.kill().unwrap();
    up.wait().unwrap();
    while ids.iter().any(|id| exists(id)) || directory.exists() {
        sleep(Duration::from_millis(100));
    }
}

fn another_process_can_use_it_as_an_existing_cluster(kubeconfig: &Path) {
    let mut tests = Command::new(env::current_exe().unwrap());
    tests.args(["--ignored", "--exact", "the_cluster_of_the_environment_is_used"]);
    tests.env("USE_EXISTING_CLUSTER", "true").env("KUBECONFIG", kubeconfig);
    assert!(out(&mut tests).contains("1 passed"));
}

#[test]
#[ignore = "run by another test, with an environment that names a cluster"]
fn the_cluster_of_the_environment_is_used() {
    let cluster = shared().unwrap();
    assert!(out(cluster.kubectl().args(["get", "namespaces", "-o=name"])).contains("namespace/default"));
    assert!(cluster.url().starts_with("https://127.0.0.1:"));
    assert!(cluster.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(cluster.service_account_kubeconfig("default", "default").unwrap().exists());
    assert!(cluster.audit_log().is_none());
    let error = cluster.restart_api_server().unwrap_err().to_string();
    assert!(error.starts_with("failed to restart the API server"), "{error}");
}
