//! Notifications to a receiver outside of the cluster: what is told, once, and that nothing waits for it.

mod receiver;
mod sending;

use gitlab_simulator::{Action, Fault, Matcher};
use jiff::civil::date;
use registry_cleanup_operator::api::RunResult;
use registry_cleanup_operator::metrics::Format;
use serde_json::json;

use crate::robustness::{Process, own, world_in_real_time};
use crate::support::eventually;
use crate::world::{MARKER, Operator, Setup, World, service_account_kubeconfig};
use receiver::{Answer, Receiver, key};

/// Whatever GitLab is asked fails.
fn broken() -> Fault {
    Fault::new(Matcher::any(), Action::Answer { status: 500, headers: Vec::new(), body: "marker-body".to_owned() })
}

async fn operator(world: &World, receiver: &Receiver) -> Operator {
    Operator::set_up(world, Setup { notifications: Some(receiver.settings()), ..Setup::of(world) }).await
}

/// A run that fails.
async fn failed_run(world: &World, token: &str) -> String {
    world.sim.fault(broken());
    let run = world.run("shop", token).await.last_run.unwrap();
    world.sim.clear_faults();
    assert_eq!(run.result, RunResult::Failed);
    run.id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_is_told_once_also_by_an_operator_that_comes_after_one_that_was_killed() {
    let (world, receiver) = (World::start().await, Receiver::start([]));
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let first = operator(&world, &receiver).await;
    world.ready("shop").await;
    let run = failed_run(&world, "one").await;
    let told = receiver.received(1).await.remove(0);
    assert_eq!(told.line, "POST /registry?marker-in-url HTTP/1.1");
    assert_eq!(told.header("content-type"), "application/cloudevents+json; charset=utf-8");
    assert!(told.is_signed_by(1) && !told.is_signed_by(2));
    let body = told.body();
    assert_eq!((&body["specversion"], &body["id"]), (&json!("1.0"), &json!(told.id())));
    assert_eq!(body["type"], "dev.registrycleanup.run.failed.v1");
    assert_eq!((&body["data"]["run"]["id"], &body["data"]["policy"]["name"]), (&json!(run), &json!("shop")));
    first.kill().await;

    let second = operator(&world, &receiver).await;
    second.nudge();
    world.ready("shop").await;
    // The second message shows that nothing was told between them.
    let run = failed_run(&world, "two").await;
    let all = receiver.received(2).await;
    assert_eq!(all[1].body()["data"]["run"]["id"], run);
    assert_ne!(all[0].id(), all[1].id());
    let sent = "registry_cleanup_notifications_total{result=\"delivered\"} 1\n";
    second.until_metrics(|told| told.contains(sent)).await;
    second.stop().await;
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_waits_is_told_once_and_another_one_again() {
    let (world, receiver) = (World::start().await, Receiver::start([]));
    let repository = world.repository("shop/backend/api", &[("v1", 30), ("v2", 29), ("main", 1)]);
    world.apply(&world.policy("shop", &json!({"mode": "RequireApproval", "method": "Exact"}))).await.unwrap();
    let operator = operator(&world, &receiver).await;
    world.ready("shop").await;
    let plan = world.run("shop", "one").await.pending_approval.unwrap();
    let told = receiver.received(1).await.remove(0).body();
    assert_eq!(told["type"], "dev.registrycleanup.plan.waiting.v1");
    assert_eq!(told["data"]["plan"]["hash"], plan.plan_hash);
    let repositories = json!([{"path": "shop/backend/api", "tags": 2, "samples": ["v1", "v2"]}]);
    assert_eq!((&told["data"]["repositories"], &told["data"]["repositoriesOmitted"]), (&repositories, &json!(0)));

    let same = world.run("shop", "two").await.pending_approval.unwrap();
    assert_eq!(same.plan_hash, plan.plan_hash);
    let old = gitlab_simulator::Push::at(world.now() - jiff::SignedDuration::from_hours(40 * 24));
    world.sim.edit(|registry| registry.push(repository, "v0", old));
    let other = world.run("shop", "three").await.pending_approval.unwrap();
    let all = receiver.received(2).await;
    assert_eq!(all[1].body()["data"]["plan"]["hash"], other.plan_hash, "the same plan was not told again");
    operator.stop().await;
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_soon_is_told_once_for_each_day_on_which_it_does() {
    let (world, receiver) = (World::start().await, Receiver::start([]));
    world.repository("shop/backend/api", &[("main", 1)]);
    let expires = |day| world.sim.edit(|registry| registry.token_mut(MARKER).unwrap().expires_at = Some(day));
    expires(date(2026, 12, 2));
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let operator = operator(&world, &receiver).await;
    world.ready("shop").await;
    let told = receiver.received(1).await.remove(0).body();
    assert_eq!(told["type"], "dev.registrycleanup.token.expiring.v1");
    let token = json!({"expirationTime": "2026-12-02T00:00:00Z", "gitlab": world.sim.url(), "secret": "token"});
    assert_eq!(told["data"]["token"], token);
    world.run("shop", "one").await;
    expires(date(2026, 12, 3));
    world.run("shop", "two").await;
    let all = receiver.received(2).await;
    assert_eq!(all[1].body()["data"]["token"]["expirationTime"], "2026-12-03T00:00:00Z");
    operator.stop().await;
    assert_eq!(receiver.requests().len(), 2);
}

/// The receiver never answers, and the notifications are on their way until the test ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_does_not_wait_for_a_receiver_that_does_not_answer() {
    let (world, receiver) = (World::start().await, Receiver::start(vec![Answer::Nothing; 20]));
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    world.apply(&world.policy("shop", &json!({"method": "Exact"}))).await.unwrap();
    let operator = operator(&world, &receiver).await;
    world.ready("shop").await;
    for token in ["one", "two", "three"] {
        failed_run(&world, token).await;
    }
    receiver.received(1).await;
    let run = world.run("shop", "four").await.last_run.unwrap();
    assert_eq!((run.result, run.tags.confirmed), (RunResult::Succeeded, 1));
    let told = operator.metrics(Format::Classic);
    assert!(told.contains("registry_cleanup_notifications_total{result=\"delivered\"} 0\n"), "{told}");
    operator.kill().await;
}

async fn process(world: &World, receiver: &Receiver, pod: &str, more: &[&str]) -> Process {
    let url = receiver.url();
    let (secret, ca) = (receiver.file("secret"), receiver.file("ca.crt"));
    let flags = ["--notifications-url", &url, "--notifications-secret-file", secret.to_str().unwrap()];
    let flags = flags.into_iter().chain(["--notifications-ca-file", ca.to_str().unwrap()]);
    let own = own(world);
    let arguments: Vec<&str> = own.iter().map(String::as_str).chain(flags).chain(more.iter().copied()).collect();
    Process::in_pod(&service_account_kubeconfig().await, pod, &arguments)
}

const ALLOWED: [&str; 2] = ["--allowed-notification-hosts", "127.0.0.1"];

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_alone_tells_and_neither_key_nor_address_is_in_any_log() {
    // The first try fails, and the second one is made when the operator ends.
    let (world, receiver) = (world_in_real_time().await, Receiver::start([Answer::HangUp]));
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let more = [&ALLOWED[..], &["--log-level", "trace"]].concat();
    let mut leader = process(&world, &receiver, "first", &more).await;
    world.ready("shop").await;
    let mut follower = process(&world, &receiver, "second", &more).await;
    eventually("a second operator that waits", async || {
        follower.log().contains("another operator leads").then_some(())
    })
    .await;
    failed_run(&world, "one").await;
    eventually("a try that failed", async || leader.log().contains("a notification is tried again").then_some(()))
        .await;
    for process in [&mut follower, &mut leader] {
        process.terminate();
        assert_eq!(process.exit_code().await, Some(0));
    }
    let requests = receiver.requests();
    assert!(requests.len() == 2 && requests[0].id() == requests[1].id(), "{requests:?}");
    let log = leader.log() + &follower.log();
    assert!(log.contains("a notification was sent"), "{log}");
    for secret in [key(1).as_str(), key(1).trim_start_matches("whsec_"), "marker-in-url"] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
    let signature = receiver.requests()[0].header("webhook-signature").to_owned();
    assert!(!log.contains(&signature));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_to_tell_its_own_machine_does_not_start_and_says_why() {
    let (world, receiver) = (world_in_real_time().await, Receiver::start([]));
    let mut process = process(&world, &receiver, "first", &[]).await;
    assert_ne!(process.exit_code().await, Some(0));
    let log = process.log();
    assert!(log.contains("127.0.0.1 may not receive notifications") && !log.contains("marker-in-url"), "{log}");
    assert_eq!(receiver.requests().len(), 0);
}
