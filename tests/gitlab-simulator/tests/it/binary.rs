//! The binary as a process.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use reqwest::{Certificate, Client};
use serde_json::Value;

/// A started binary and its line of JSON; it ends with the test whatever happens.
struct Process {
    child: Child,
    ready: Value,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(args: &[&str]) -> Process {
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_gitlab-simulator")).args(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready = serde_json::from_str(&line).unwrap_or_default();
    Process { child, ready }
}

async fn total(client: &Client, process: &Process, token: &str, group: &str) -> (u16, String) {
    let url = format!("{}/api/v4/groups/{group}/registry/repositories", process.ready["url"].as_str().unwrap());
    let response = client.get(url).header("private-token", token).send().await.unwrap();
    let total = response.headers().get("x-total").map(|total| total.to_str().unwrap().to_owned());
    (response.status().as_u16(), total.unwrap_or_default())
}

#[tokio::test]
async fn the_demo_is_served_over_https_with_files_for_its_clients() {
    let directory = tempfile::tempdir().unwrap();
    let (tls, token) = (directory.path().join("tls"), directory.path().join("token"));
    let (tls, token_file) = (tls.to_str().unwrap(), token.to_str().unwrap());
    let args = ["--tls-directory", tls, "--token-file", token_file, "--job-delay", "1s", "--version", "17.11"];
    let process = start(&args);
    assert_eq!((&process.ready["token"], process.ready["tokenFile"].as_str()), (&Value::Null, Some(token_file)));
    let ca = Certificate::from_pem(&std::fs::read(process.ready["ca"].as_str().unwrap()).unwrap()).unwrap();
    let client = Client::builder().tls_certs_only([ca]).build().unwrap();
    let written = std::fs::read_to_string(token_file).unwrap();
    assert_eq!(total(&client, &process, written.trim(), "shop").await, (200, "10".to_owned()));
}

#[tokio::test]
async fn a_token_file_that_exists_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "my-own-token\n").unwrap();
    let process = start(&["--seed", "empty", "--token-file", file.to_str().unwrap(), "--clock", "manual"]);
    assert_eq!(total(&Client::new(), &process, "my-own-token", "shop").await, (200, "0".to_owned()));
}

#[tokio::test]
async fn the_cases_are_a_seed_too() {
    let process = start(&["--seed", "cases", "--backend", "plain-registry"]);
    let token = process.ready["token"].as_str().unwrap();
    assert_eq!(total(&Client::new(), &process, token, "cases").await.0, 200);
}

#[test]
fn a_signal_ends_it_without_an_error() {
    for signal in ["TERM", "INT"] {
        let mut process = start(&["--seed", "empty"]);
        let id = process.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        assert!(process.child.wait().unwrap().success(), "{signal}");
    }
}
