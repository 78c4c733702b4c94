//! GitLab cannot be reached or answers nonsense when a policy is checked: the policy is not ready, says why, and is
//! again once GitLab is.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use gitlab_simulator::{Action, Config, Fault, Matcher, Simulator};
use jiff::SignedDuration;
use registry_cleanup_operator::gitlab::Lookup;
use rstest::rstest;
use serde_json::{Value, json};

use super::answer;
use crate::support::{change, events_of, eventually};
use crate::world::{Operator, Setup, World};

async fn not_ready(world: &World, policy: &Value) -> (Operator, String) {
    not_ready_as(world, policy, Setup::of(world)).await
}

async fn not_ready_as(world: &World, policy: &Value, setup: Setup) -> (Operator, String) {
    world.apply(policy).await.unwrap();
    let operator = Operator::set_up(world, setup).await;
    let status = world.until("shop", |status| World::condition(status, "Ready").starts_with("False")).await;
    assert_eq!(World::condition(&status, "Reconciling"), "True/ProgressingWithRetry");
    assert_eq!(World::condition(&status, "Stalled"), "absent", "no edit is needed");
    assert_eq!(World::condition(&status, "CredentialsValid"), "Unknown/Unknown", "nothing is known of the token");
    assert!(status.next_schedule_time.is_some(), "the next slot stays armed");
    let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert!(!ready.message.contains("marker-body"), "{}", ready.message);
    (operator, format!("{}: {}", ready.reason, ready.message))
}

/// Turns the clock until the policy is ready, which it must become without an edit.
async fn recovers(world: &World, operator: Operator) {
    eventually("readiness", async || {
        world.sim.advance(SignedDuration::from_mins(1));
        operator.nudge();
        let status = world.policies().get("shop").await.unwrap().status.unwrap();
        (World::condition(&status, "Ready") == "True/Scheduled").then_some(())
    })
    .await;
    operator.stop().await;
    assert_eq!(events_of(world, "CredentialsInvalid").await, 0, "the credentials were never in doubt");
    assert_eq!(events_of(world, "CredentialsRecovered").await, 0);
}

#[rstest]
#[case::an_error(
    answer(500, r#"{"message":"marker-body"}"#),
    "GitLabUnavailable: failed to list repositories: GitLab answered 500"
)]
#[case::a_restart(
    answer(503, "<html>marker-body</html>"),
    "GitLabUnavailable: failed to list repositories: a proxy in front of GitLab answered 503 with a page"
)]
#[case::a_broken_connection(
    Action::DropConnection,
    "GitLabUnavailable: failed to read the token's own data: GitLab cannot be reached, the connection broke"
)]
#[case::a_throttle(Action::TooManyRequests { retry_after: None }, "RateLimited: failed to list repositories: too many requests for GitLab's limits (429)")]
#[case::a_long_throttle(Action::TooManyRequests { retry_after: Some(3600) }, "RateLimited: failed to list repositories: too many requests for GitLab's limits (429)")]
#[case::json_that_breaks_off(
    Action::InvalidJson,
    "UnexpectedAnswer: failed to read the token's own data: the answer is not one of GitLab's"
)]
#[case::a_sign_in_page(
    answer(200, "<html>marker-body</html>"),
    "UnexpectedAnswer: failed to read the token's own data: the answer is not one of GitLab's"
)]
#[case::a_gibibyte(Action::HugeBody { bytes: 1 << 30 }, "UnexpectedAnswer: failed to read the token's own data: the answer is longer than")]
#[tokio::test(flavor = "multi_thread")]
async fn a_gitlab_that_does_not_answer_as_it_should_is_told_and_tried_again(
    #[case] action: Action,
    #[case] expected: &str,
) {
    let world = World::start().await;
    world.sim.edit(|registry| registry.project("shop/backend"));
    world.sim.fault(Fault::new(Matcher::any(), action));
    let (operator, told) = not_ready(&world, &world.policy("shop", &json!({}))).await;
    assert!(told.starts_with(expected), "{told}");
    world.sim.clear_faults();
    recovers(&world, operator).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_another_origin_is_an_unexpected_answer_and_the_token_stays_here() {
    let elsewhere = Simulator::start(Config::default()).await.unwrap();
    let world = World::start().await;
    let location = format!("{}/api/v4/personal_access_tokens/self", elsewhere.url());
    world.sim.fault(Fault::new(Matcher::any(), Action::Redirect { location }));
    let (operator, told) = not_ready(&world, &world.policy("shop", &json!({}))).await;
    assert!(told.starts_with("UnexpectedAnswer: ") && told.contains("a redirect that is not followed"), "{told}");
    assert!(elsewhere.requests().is_empty());
    world.sim.clear_faults();
    recovers(&world, operator).await;
}

#[rstest]
#[case::of_another_instance(json!({"name": "other-ca"}))]
#[case::left_away(json!(null))]
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted_is_told_and_the_token_is_not_sent(#[case] authority: Value) {
    let world = World::start().await;
    let other = Simulator::start(Config { tls: true, ..Config::default() }).await.unwrap();
    world.secret("other-ca", &[("ca.crt", other.ca_pem().unwrap())]).await;
    let mut policy = world.policy("shop", &json!({}));
    change(&mut policy, "/gitlab/certSecretRef", &authority);
    let (operator, told) = not_ready(&world, &policy).await;
    assert!(told.starts_with("CertificateInvalid: "), "{told}");
    assert!(told.contains("the TLS connection to GitLab failed, its certificate "), "{told}");
    assert!(world.sim.requests().is_empty());

    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    world.ready("shop").await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_nobody_listens_is_told() {
    let world = World::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut policy = world.policy("shop", &json!({}));
    change(&mut policy, "/gitlab/url", &json!(format!("https://{closed}")));
    let (operator, told) = not_ready(&world, &policy).await;
    assert!(told.starts_with("GitLabUnavailable: "), "{told}");
    assert!(told.ends_with("GitLab cannot be reached, no connection could be opened"), "{told}");
    operator.stop().await;
}

/// A resolver to which every name is one of the operator's own machine.
struct Loopback;

impl Lookup for Loopback {
    fn addresses(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        async { Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))]) }.boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_name_that_leads_to_the_operators_own_machine_has_the_reason_of_such_an_address() {
    let world = World::start().await;
    let mut policy = world.policy("shop", &json!({}));
    change(&mut policy, "/gitlab/url", &json!(world.sim.url().replace("127.0.0.1", "gitlab.example.com")));
    let mut setup = Setup { lookup: Arc::new(Loopback), ..Setup::of(&world) };
    setup.settings.allowed_hosts = Vec::new();
    let (operator, ready) = not_ready_as(&world, &policy, setup).await;
    let words =
        "HostNotAllowed: failed to read the token's own data: gitlab.example.com resolves to 127.0.0.1, a loopback";
    assert!(ready.starts_with(words), "{ready}");
    assert!(world.sim.requests().is_empty());
    operator.stop().await;
}
