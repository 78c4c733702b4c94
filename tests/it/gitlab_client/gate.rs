//! The gate: nothing is sent while it is closed, nothing is waited for past its deadline.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{self, BoxFuture, FutureExt};
use gitlab_simulator::{Action, Endpoint, Fault, HoldPoint, Matcher};
use jiff::{SignedDuration, Timestamp};
use registry_cleanup_operator::gitlab::{Class, ErrorKind, FinalCheck, GitLab, TagOrder};

use super::{StandingClock, TestGate, World, bulk::everything, full_speed, kind, shop, soon};

#[tokio::test]
async fn nothing_is_sent_through_a_closed_gate() {
    let world = World::new().await;
    let gate = TestGate::new(None);
    gate.close();
    let client = world.client_behind(gate);
    let error = client.repositories(&shop()).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (&ErrorKind::Stopped, Class::Stopped));
    assert_eq!(kind(client.version().await), ErrorKind::Stopped);
    assert_eq!(kind(client.token_self().await), ErrorKind::Stopped);
    assert_eq!(kind(client.check(&shop()).await), ErrorKind::Stopped);
    assert_eq!(kind(client.tag_names(&world.repository).await), ErrorKind::Stopped);
    assert_eq!(kind(client.tag(&world.repository, "a").await), ErrorKind::Stopped);
    assert_eq!(kind(client.repository_tags_count(1).await), ErrorKind::Stopped);
    assert_eq!(kind(client.bulk_delete(&world.repository, &everything()).await), ErrorKind::Stopped);
    assert_eq!(kind(client.capabilities(1).await), ErrorKind::Stopped);
    assert_eq!(kind(client.tag_page(1, TagOrder::Name, None).await), ErrorKind::Stopped);
    assert_eq!(kind(client.tags_now(1, &["a"]).await), ErrorKind::Stopped);
    assert_eq!(kind(client.cutting_in().version().await), ErrorKind::Stopped);
    assert_eq!(kind(client.delete_tags(1, &["a"]).await), ErrorKind::Stopped);
    assert_eq!(kind(client.delete_tag(&world.repository, "a").await), ErrorKind::Stopped);
    assert_eq!(kind(client.repository_contents(1).await), ErrorKind::Stopped);
    assert_eq!(kind(client.delete_repository(&world.repository).await), ErrorKind::Stopped);
    assert_eq!(kind(client.cleanup_policy_enabled(&world.repository.project).await), ErrorKind::Stopped);
    assert!(world.sim.requests().is_empty());
}

#[tokio::test]
async fn a_gate_that_closes_between_pages_ends_the_list_there() {
    let world = World::new().await;
    world.push(3000);
    let gate = TestGate::new(None);
    let client = world.patient_client_behind(gate.clone());
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::ListTags).nth(2), HoldPoint::BeforeProcessing);
    let repository = world.repository.clone();
    let listing = tokio::spawn(async move { client.tag_names(&repository).await });
    hold.reached().await;
    gate.close();
    // Held, and still it ends: reading is not waited for.
    assert_eq!(kind(soon(listing).await.unwrap()), ErrorKind::Stopped);
    assert_eq!(world.count(Endpoint::ListTags), 2);
}

#[tokio::test]
async fn a_gate_that_closes_while_a_retry_is_waited_for_ends_the_wait() {
    let world = World::new().await;
    let clock = StandingClock::new();
    let gitlab = GitLab::new(full_speed(), clock.clone());
    let gate = TestGate::new(None);
    let client = gitlab.connect(&world.connection(), gate.clone()).unwrap();
    world.sim.fault(Fault::new(Matcher::any(), Action::Answer { status: 503, headers: vec![], body: String::new() }));
    let asked = tokio::spawn(async move { client.version().await });
    clock.somebody_sleeps().await;
    gate.close();
    assert_eq!(kind(soon(asked).await.unwrap()), ErrorKind::Stopped);
    assert_eq!(world.sim.requests().len(), 1);
}

#[tokio::test]
async fn a_gate_that_closes_while_the_pace_is_waited_for_ends_the_wait() {
    let world = World::new().await;
    let clock = StandingClock::new();
    let gitlab = GitLab::new(full_speed(), clock.clone());
    let gate = TestGate::new(None);
    let client = gitlab.connect(&world.connection(), gate.clone()).unwrap();
    client.version().await.unwrap();
    let asked = tokio::spawn(async move { client.version().await });
    clock.somebody_sleeps().await;
    gate.close();
    assert_eq!(kind(soon(asked).await.unwrap()), ErrorKind::Stopped);
    assert_eq!(world.sim.requests().len(), 1);
}

#[tokio::test]
async fn nothing_is_sent_once_the_deadline_has_come() {
    let world = World::new().await;
    let client = world.client_behind(TestGate::new(Some(world.sim.clock().now())));
    let error = client.version().await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (&ErrorKind::DeadlineReached, Class::Stopped));
    assert_eq!(kind(client.bulk_delete(&world.repository, &everything()).await), ErrorKind::DeadlineReached);
    assert!(world.sim.requests().is_empty());
}

#[tokio::test]
async fn a_retry_that_would_come_after_the_deadline_is_not_waited_for() {
    let world = World::new().await;
    let deadline = world.sim.clock().now() + SignedDuration::from_secs(3);
    let client = world.client_behind(TestGate::new(Some(deadline)));
    world.sim.fault(Fault::new(Matcher::any(), Action::Answer { status: 503, headers: vec![], body: String::new() }));
    assert_eq!(kind(client.version().await), ErrorKind::Server { status: 503 });
    assert_eq!(world.sim.requests().len(), 2);
    assert!(world.sim.clock().now() < deadline);
}

#[tokio::test]
async fn a_pause_that_outlasts_the_deadline_is_not_waited_for() {
    let world = World::new().await;
    let deadline = world.sim.clock().now() + SignedDuration::from_secs(30);
    let client = world.client_behind(TestGate::new(Some(deadline)));
    world.sim.fault(Fault::new(Matcher::any(), Action::TooManyRequests { retry_after: Some(60) }));
    assert_eq!(client.version().await.unwrap_err().class(), Class::Throttled);
    assert_eq!(kind(client.version().await), ErrorKind::DeadlineReached);
    assert_eq!(world.sim.requests().len(), 1);
}

#[tokio::test]
async fn a_reading_request_is_not_waited_for_past_the_deadline() {
    let world = World::new().await;
    let deadline = world.sim.clock().now() + SignedDuration::from_millis(50);
    let client = world.patient_client_behind(TestGate::new(Some(deadline)));
    let _hold = world.sim.hold(Matcher::any(), HoldPoint::BeforeProcessing);
    assert_eq!(kind(soon(client.version()).await), ErrorKind::Timeout);
    assert_eq!(world.sim.requests().len(), 1);
}

#[tokio::test]
async fn two_clients_of_one_process_have_their_own_gates() {
    let world = World::new().await;
    let (closed, open) = (TestGate::new(None), TestGate::new(None));
    let first = world.client_behind(closed.clone());
    let second = world.client_behind(Arc::clone(&open));
    closed.close();
    assert_eq!(kind(first.version().await), ErrorKind::Stopped);
    assert!(second.version().await.is_ok());
}

/// Says no from some look on, and remembers when it was asked.
struct TestLook {
    world: gitlab_simulator::Clock,
    yes: usize,
    looks: Mutex<Vec<Timestamp>>,
    closes: Option<Arc<TestGate>>,
}

impl TestLook {
    fn new(world: &World, yes: usize) -> Arc<Self> {
        Arc::new(Self { world: world.sim.clock(), yes, looks: Mutex::default(), closes: None })
    }

    fn count(&self) -> usize {
        self.looks.lock().unwrap().len()
    }
}

impl FinalCheck for TestLook {
    fn still(&self) -> BoxFuture<'_, bool> {
        let mut looks = self.looks.lock().unwrap();
        looks.push(self.world.now());
        if let Some(gate) = &self.closes {
            gate.close();
        }
        future::ready(looks.len() <= self.yes).boxed()
    }
}

#[tokio::test]
async fn what_removes_something_does_not_leave_when_the_last_look_says_no() {
    let world = World::new().await;
    world.push(1);
    let look = TestLook::new(&world, 0);
    let client = world.client().looking(look.clone());
    assert_eq!(kind(client.bulk_delete(&world.repository, &everything()).await), ErrorKind::Withdrawn);
    assert_eq!(kind(client.delete_tags(world.repository.id, &["t-0"]).await), ErrorKind::Withdrawn);
    assert_eq!(kind(client.delete_tag(&world.repository, "t-0").await), ErrorKind::Withdrawn);
    assert_eq!((look.count(), world.sim.requests().len()), (3, 0));
    // Reading is nobody's business.
    assert_eq!(client.tag_names(&world.repository).await.unwrap().len(), 1);
    assert_eq!(look.count(), 3);
    assert!(world.client().bulk_delete(&world.repository, &everything()).await.is_ok(), "another client has no look");
}

#[tokio::test]
async fn the_last_look_comes_after_every_wait() {
    let world = World::new().await;
    world.push(1);
    let look = TestLook::new(&world, 1);
    let client = world.client().looking(look.clone());
    client.version().await.unwrap();
    world.fault(Endpoint::GraphqlMutation, Action::TooManyRequests { retry_after: Some(60) });
    let begun = world.sim.clock().now();
    // Turned away once; then there is a second look, which says no.
    assert_eq!(kind(client.delete_tags(world.repository.id, &["t-0"]).await), ErrorKind::Withdrawn);
    assert_eq!(world.count(Endpoint::GraphqlMutation), 1);
    let looks = look.looks.lock().unwrap().clone();
    assert!(looks[0] > begun, "the pace comes first");
    assert!(looks[1] >= begun + SignedDuration::from_secs(60), "{looks:?}");
    assert_eq!(looks[1], world.sim.clock().now());
}

#[tokio::test]
async fn a_gate_that_closes_during_the_last_look_keeps_the_request_back() {
    let world = World::new().await;
    let gate = TestGate::new(None);
    let look =
        Arc::new(TestLook { world: world.sim.clock(), yes: 1, looks: Mutex::default(), closes: Some(gate.clone()) });
    let client = world.client_behind(gate).looking(look);
    assert_eq!(kind(client.delete_tags(1, &["a"]).await), ErrorKind::Stopped);
    assert!(world.sim.requests().is_empty());
}

#[tokio::test]
async fn a_removal_takes_no_longer_than_its_gate_allows_and_its_fate_is_unknown_then() {
    let world = World::new().await;
    let gate = TestGate::new(None);
    gate.removal_time.send_replace(Some(Duration::from_millis(50)));
    let client = world.patient_client_behind(gate);
    let hold = world.sim.hold(Matcher::any(), HoldPoint::AfterProcessing);
    assert_eq!(kind(soon(client.bulk_delete(&world.repository, &everything())).await), ErrorKind::AnswerLost);
    hold.release();
    assert_eq!(world.sim.requests().len(), 1);
}

#[tokio::test]
async fn a_removal_waits_until_its_gate_gives_it_time_and_is_looked_at_again_then() {
    let world = World::new().await;
    world.push(1);
    let (gate, look) = (TestGate::new(None), TestLook::new(&world, 2));
    gate.removal_time.send_replace(None);
    let client = world.client_behind(gate.clone()).looking(look.clone());
    assert_eq!(client.tag_names(&world.repository).await.unwrap().len(), 1, "reading goes on");
    let repository = world.repository.clone();
    let removal = tokio::spawn(async move { client.bulk_delete(&repository, &everything()).await });
    soon(async {
        while look.count() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(world.count(Endpoint::BulkDeleteTags), 0);
    gate.removal_time.send_replace(Some(Duration::MAX));
    assert!(soon(removal).await.unwrap().is_ok());
    assert_eq!((look.count(), world.count(Endpoint::BulkDeleteTags)), (2, 1));
}
