//! The pace: one ceiling per host for everybody, and the host's own headers below it.

use std::sync::Arc;

use gitlab_simulator::{Action, Endpoint, Fault, Matcher, RateLimit, Scope};
use jiff::Timestamp;
use registry_cleanup_operator::gitlab::{AlwaysOpen, ClientSettings, GitLab, RequestLimits};

use super::{World, connection, full_speed};

fn times(world: &World) -> Vec<Timestamp> {
    world.sim.requests().iter().map(|request| request.at).collect()
}

fn pace(requests_per_second: f64) -> RequestLimits {
    RequestLimits { requests_per_second, ..full_speed().limits }
}

#[tokio::test]
async fn all_clients_of_a_host_stay_below_its_ceiling_together() {
    let world = World::new().await;
    let settings = ClientSettings { limits: pace(4.0), ..full_speed() };
    let gitlab = GitLab::new(settings, world.clock.clone());
    let other = world.sim.edit(|registry| {
        let user = registry.user("anna");
        registry.personal_token(user, &[Scope::Api])
    });
    let one = gitlab.connect(&world.connection(), Arc::new(AlwaysOpen)).unwrap();
    let two = gitlab.connect(&connection(world.sim.url(), &other), Arc::new(AlwaysOpen)).unwrap();
    for _ in 0..5 {
        one.version().await.unwrap();
        two.version().await.unwrap();
    }
    let times = times(&world);
    assert_eq!(times.len(), 10);
    assert!(times.windows(2).all(|pair| pair[1].duration_since(pair[0]).as_millis() >= 250), "{times:?}");
}

#[tokio::test]
async fn a_request_that_cuts_in_leaves_at_once_and_the_next_waits_for_both() {
    let world = World::new().await;
    let settings = ClientSettings { limits: pace(0.5), ..full_speed() };
    let gitlab = GitLab::new(settings, world.clock.clone());
    let client = gitlab.connect(&world.connection(), Arc::new(AlwaysOpen)).unwrap();
    client.version().await.unwrap();
    let one = client.cutting_in();
    for _ in 0..2 {
        one.version().await.unwrap();
    }
    let times = times(&world);
    let seconds: Vec<i64> = times.iter().map(|time| time.duration_since(times[0]).as_secs()).collect();
    assert_eq!(seconds, [0, 0, 4], "only its first request cuts in");
}

#[tokio::test]
async fn a_host_that_tells_its_limit_is_never_pushed_over_it() {
    let limit = RateLimit { requests: 10, period_seconds: 60, headers_on_every_answer: true };
    let world = World::with(|settings| settings.rate_limit = Some(limit)).await;
    let client = world.client();
    for _ in 0..35 {
        client.version().await.unwrap();
    }
    let statuses: Vec<_> = world.sim.requests().iter().filter_map(|request| request.status).collect();
    assert_eq!(statuses, [200; 35]);
}

#[tokio::test]
async fn a_host_that_tells_its_limit_only_when_it_is_reached_is_waited_for() {
    let limit = RateLimit { requests: 10, period_seconds: 60, headers_on_every_answer: false };
    let world = World::with(|settings| settings.rate_limit = Some(limit)).await;
    let client = world.client();
    for _ in 0..35 {
        client.version().await.unwrap();
    }
    let refused = world.sim.requests().iter().filter(|request| request.status == Some(429)).count();
    assert_eq!(refused, 3, "once per window");
}

#[tokio::test]
async fn a_throttled_client_pauses_the_others_of_its_host() {
    let world = World::new().await;
    world.sim.fault(Fault::new(Matcher::any().times(1), Action::TooManyRequests { retry_after: Some(60) }));
    let first = world.client();
    let second = world.client();
    let start = world.sim.clock().now();
    let (one, two) = tokio::join!(first.version(), second.version());
    assert!(one.is_ok() && two.is_ok());
    let waited = world.sim.requests().iter().skip(1).all(|request| request.at.duration_since(start).as_secs() >= 60);
    // The second may have been on its way when the first was turned away.
    assert!(waited || world.count(Endpoint::Version) == 3);
}

#[tokio::test]
async fn another_host_is_not_slowed_down() {
    let world = World::new().await;
    let other = World::new().await;
    world.sim.fault(Fault::new(Matcher::any(), Action::TooManyRequests { retry_after: Some(3600) }));
    world.client().version().await.unwrap_err();
    let elsewhere = world.gitlab.connect(&other.connection(), Arc::new(AlwaysOpen)).unwrap();
    elsewhere.version().await.unwrap();
    assert!(world.clock.long_sleeps().is_empty());
}

#[tokio::test]
async fn requests_say_who_sends_them() {
    let world = World::new().await;
    world.client().version().await.unwrap();
    assert_eq!(world.sim.requests()[0].user_agent.as_deref(), Some("registry-cleanup-operator/test"));
}
