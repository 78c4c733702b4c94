//! Starting where the API server is not there yet, or only through a proxy: the real program.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gitlab_simulator::Endpoint;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::process::Process;
use super::world_in_real_time;
use crate::support::eventually;
use crate::world::service_account_kubeconfig;

/// The address of a kubeconfig's API server.
pub(crate) fn server_of(kubeconfig: &Path) -> String {
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let (_, rest) = text.split_once("https://").unwrap();
    rest.split(|c: char| c == '"' || c.is_whitespace()).next().unwrap().to_owned()
}

/// The same kubeconfig with another API server.
pub(crate) fn with_server(kubeconfig: &Path, server: &str) -> NamedTempFile {
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.replace(&server_of(kubeconfig), server).as_bytes()).unwrap();
    file
}

/// An address that leads to another one once it is open, and hangs up until then.
async fn door(to: String, open: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            if open.load(Ordering::Relaxed) {
                let to = to.clone();
                tokio::spawn(async move {
                    let mut there = TcpStream::connect(to).await.unwrap();
                    let _ = copy_bidirectional(&mut from, &mut there).await;
                });
            }
        }
    });
    address
}

/// What a probe of the program is answered.
pub(crate) async fn probe(process: &Process, path: &str) -> u16 {
    asked(process, path).await.0
}

/// The same with what it says.
pub(crate) async fn asked(process: &Process, path: &str) -> (u16, String) {
    let address = eventually("the address of the probes", async || {
        let lines = process.log();
        let mut lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find_map(|line| line["listen"].as_str().map(str::to_owned))
    })
    .await;
    let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_starts_while_the_api_server_is_away_waits_for_it_alive_and_not_ready() {
    let world = world_in_real_time().await;
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let kubeconfig = service_account_kubeconfig().await;
    let open = Arc::new(AtomicBool::new(false));
    let address = door(server_of(&kubeconfig), Arc::clone(&open)).await;
    let kubeconfig = with_server(&kubeconfig, &address);
    let mut process = Process::start(kubeconfig.path(), &super::own(&world).each_ref().map(String::as_str));
    let waits = async || process.log().contains("waiting for the API server").then_some(());
    eventually("a line about the API server", waits).await;
    assert_eq!((probe(&process, "/livez").await, probe(&process, "/readyz").await), (200, 503));
    assert!(process.is_running(), "{}", process.log());

    open.store(true, Ordering::Relaxed);
    world.ready("shop").await;
    assert_eq!((probe(&process, "/livez").await, probe(&process, "/readyz").await), (200, 200));
    assert!(world.sim.requests_to(Endpoint::BulkDeleteTags).is_empty());
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0), "{}", process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_waits_for_the_api_server_ends_when_it_is_told_to() {
    let closed = door(String::new(), Arc::default()).await;
    let kubeconfig = with_server(&service_account_kubeconfig().await, &closed);
    let mut process = Process::start(kubeconfig.path(), &[]);
    eventually("a line about the API server", async || process.log().contains("waiting for the API").then_some(()))
        .await;
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0), "{}", process.log());
}
