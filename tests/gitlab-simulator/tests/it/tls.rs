//! Https with a certificate authority of its own, over HTTP/1.1 and HTTP/2.

use gitlab_simulator::{Config, Simulator};
use reqwest::{Certificate, Client, Version};

#[tokio::test]
async fn https_is_trusted_by_its_authority_only() {
    let sim = Simulator::start(Config { tls: true, ..Config::default() }).await.unwrap();
    let url = format!("{}/api/v4/version", sim.url());
    assert!(url.starts_with("https://127.0.0.1:"));
    let ca = Certificate::from_pem(sim.ca_pem().unwrap().as_bytes()).unwrap();
    let client = Client::builder().tls_certs_only([ca]).build().unwrap();
    let response = client.get(&url).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (401, Version::HTTP_2));
    let by_name = url.replace("127.0.0.1", "localhost");
    assert_eq!(client.get(by_name).send().await.unwrap().status(), 401);
    let stranger = Client::builder().tls_certs_only([]).build().unwrap();
    assert!(stranger.get(&url).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn a_dropped_simulator_answers_no_more() {
    let sim = Simulator::start(Config::default()).await.unwrap();
    let client = Client::new();
    let url = format!("{}/api/v4/version", sim.url());
    assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
    drop(sim);
    // The server's task ends at its next turn.
    tokio::task::yield_now().await;
    assert!(Client::new().get(&url).send().await.is_err());
}

#[tokio::test]
async fn a_relative_url_root_is_part_of_every_path() {
    let sim = Simulator::start(Config { relative_url_root: "/gitlab".into(), ..Config::default() }).await.unwrap();
    let client = Client::new();
    assert!(sim.url().ends_with("/gitlab"));
    assert_eq!(client.get(format!("{}/api/v4/version", sim.url())).send().await.unwrap().status(), 401);
    let outside = sim.url().replace("/gitlab", "/api/v4/version");
    assert_eq!(client.get(outside).send().await.unwrap().status(), 404);
}
