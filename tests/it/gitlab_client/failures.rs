//! Servers that fail, stall, throttle or talk nonsense.

use std::time::Duration;

use gitlab_simulator::{Action, Endpoint, Fault, HoldPoint, Matcher};
use registry_cleanup_operator::gitlab::{Class, ErrorKind, Namespace, Unreached};

use super::{World, kind, shop};

fn answer(status: u16) -> Action {
    Action::Answer { status, headers: vec![], body: r#"{"message":"marker"}"#.to_owned() }
}

#[tokio::test]
async fn a_server_error_that_passes_is_waited_out() {
    for status in [500, 502, 503, 504] {
        let world = World::new().await;
        world.sim.fault(Fault::new(Matcher::any().times(3), answer(status)));
        assert_eq!(world.client().repositories(&shop()).await.unwrap().len(), 1, "{status}");
        let waits: Vec<_> = world.clock.long_sleeps().iter().map(Duration::as_secs).collect();
        assert!(matches!(waits[..], [1, 3, 9..=11]), "{waits:?}");
    }
}

#[tokio::test]
async fn a_server_error_that_stays_is_reported_with_its_status() {
    for status in [500, 503] {
        let world = World::new().await;
        world.sim.fault(Fault::new(Matcher::any(), answer(status)));
        let error = world.client().repositories(&shop()).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (&ErrorKind::Server { status }, Class::Transient));
        assert_eq!(error.to_string(), format!("failed to list repositories: GitLab answered {status}"));
        assert_eq!(world.sim.requests().len(), 4);
    }
}

#[tokio::test]
async fn refusals_are_not_tried_again() {
    for status in [400, 401, 403, 404, 405, 410, 422, 501] {
        let world = World::new().await;
        world.sim.fault(Fault::new(Matcher::any(), answer(status)));
        world.client().repositories(&shop()).await.unwrap_err();
        assert_eq!(world.sim.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_throttle_is_waited_out_for_as_long_as_it_says() {
    let world = World::new().await;
    let throttle = Action::TooManyRequests { retry_after: Some(42) };
    world.sim.fault(Fault::new(Matcher::any().times(1), throttle));
    world.client().repositories(&shop()).await.unwrap();
    let waited: Duration = world.clock.long_sleeps().iter().sum();
    assert!((42..=53).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test]
async fn a_throttle_that_does_not_say_how_long_is_waited_out_too() {
    let world = World::new().await;
    world.sim.fault(Fault::new(Matcher::any().times(1), Action::TooManyRequests { retry_after: None }));
    world.client().repositories(&shop()).await.unwrap();
    let waited: Duration = world.clock.long_sleeps().iter().sum();
    assert!((15..=19).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test]
async fn a_throttle_that_stays_is_reported_with_its_time() {
    let world = World::new().await;
    world.sim.fault(Fault::new(Matcher::any(), Action::TooManyRequests { retry_after: Some(30) }));
    let error = world.client().repositories(&shop()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    assert_eq!(error.class(), Class::Throttled);
    assert_eq!(world.sim.requests().len(), 4);
}

#[tokio::test]
async fn a_throttle_for_longer_than_anybody_waits_is_reported_at_once_and_holds_for_all_clients() {
    let world = World::new().await;
    world.sim.fault(Fault::new(Matcher::any(), Action::TooManyRequests { retry_after: Some(86_400) }));
    let error = world.client().repositories(&shop()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(86_400)));
    // The host is left alone for ten minutes, not for a day: the header is only a hint.
    let error = world.client().version().await.unwrap_err();
    assert_eq!((error.class(), error.retry_after().unwrap().as_secs()), (Class::Throttled, 600));
    assert_eq!(world.sim.requests().len(), 1);
    assert!(world.clock.long_sleeps().is_empty());
}

#[tokio::test]
async fn a_connection_that_is_cut_is_tried_again() {
    let world = World::new().await;
    world.sim.fault(Fault::new(Matcher::any().times(3), Action::DropConnection));
    assert_eq!(world.client().repositories(&shop()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_connection_that_is_always_cut_is_unreachable() {
    let world = World::new().await;
    world.sim.fault(Fault::new(Matcher::any(), Action::DropConnection));
    assert_eq!(kind(world.client().version().await), ErrorKind::Unreachable(Unreached::Broken));
    assert_eq!(world.sim.requests().len(), 4);
}

#[tokio::test]
async fn a_server_that_does_not_answer_runs_into_the_time_out() {
    let world = World::new().await;
    let _hold = world.sim.hold(Matcher::any(), HoldPoint::BeforeProcessing);
    let error = world.hasty_client().version().await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (&ErrorKind::Timeout, Class::Transient));
    assert_eq!(world.sim.requests().len(), 4);
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_runs_into_the_time_out() {
    let world = World::new().await;
    world.fault(Endpoint::Version, Action::SlowBody { pause: Duration::from_millis(20) });
    assert_eq!(kind(world.hasty_client().version().await), ErrorKind::Timeout);
}

#[tokio::test]
async fn json_that_breaks_off_is_invalid() {
    let world = World::new().await;
    world.sim.fault(Fault::new(Matcher::any(), Action::InvalidJson));
    let error = world.client().repositories(&shop()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidAnswer { .. }));
    assert_eq!(error.class(), Class::Other);
}

#[tokio::test]
async fn a_page_of_another_application_is_invalid() {
    for body in ["<html>Sign in</html>", "", "null", "{}", "202", r#"[{"id":"one"}]"#] {
        let world = World::new().await;
        world
            .sim
            .fault(Fault::new(Matcher::any(), Action::Answer { status: 200, headers: vec![], body: body.to_owned() }));
        let checked = kind(world.client().check(&shop()).await);
        assert!(matches!(checked, ErrorKind::InvalidAnswer { .. }), "{body}: {checked:?}");
    }
}

#[tokio::test]
async fn a_body_of_a_gigabyte_is_cut_off_early() {
    let world = World::new().await;
    world.push(1);
    world.fault(Endpoint::ListTags, Action::HugeBody { bytes: 1 << 30 });
    let error = world.client().tag_names(&world.repository).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (&ErrorKind::TooLarge { limit: 8 << 20 }, Class::Other));
    assert_eq!(world.count(Endpoint::ListTags), 1);
}

#[tokio::test]
async fn an_error_with_an_endless_body_is_still_that_error() {
    let world = World::new().await;
    let body = "x".repeat(1 << 20);
    world.sim.fault(Fault::new(Matcher::any(), Action::Answer { status: 403, headers: vec![], body }));
    assert_eq!(kind(world.client().version().await), ErrorKind::Page { status: 403 });
}

#[tokio::test]
async fn a_redirect_to_another_origin_is_not_followed_and_sees_no_token() {
    let world = World::new().await;
    let other = World::new().await;
    let location = format!("{}/api/v4/version", other.sim.url());
    world.fault(Endpoint::Version, Action::Redirect { location });
    let error = world.client().version().await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (&ErrorKind::Redirected { status: 302 }, Class::Other));
    assert!(other.sim.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_out_of_the_api_is_not_followed() {
    let world = World::new().await;
    let location = format!("{}/users/sign_in", world.sim.url());
    world.fault(Endpoint::Version, Action::Redirect { location });
    assert_eq!(kind(world.client().version().await), ErrorKind::Redirected { status: 302 });
    assert_eq!(world.sim.requests().len(), 1);
}

#[tokio::test]
async fn redirects_that_go_round_end() {
    let world = World::new().await;
    world.fault(Endpoint::Version, Action::Redirect { location: "/api/v4/version".to_owned() });
    assert_eq!(kind(world.client().version().await), ErrorKind::Redirected { status: 302 });
    assert_eq!(world.sim.requests().len(), 4);
}

#[tokio::test]
async fn a_project_that_is_named_by_its_old_path_has_moved_and_one_that_is_named_by_its_id_is_found() {
    let world = World::new().await;
    world.sim.edit(|registry| {
        for number in 0..150 {
            registry.repository(&format!("shop/backend/image-{number}"));
        }
        let project = registry.project("shop/backend");
        registry.move_project(project, "other/backend");
        let bot = registry.find_token(&world.token).unwrap().user;
        registry.set_role("other", bot, Some(gitlab_simulator::Role::Maintainer));
    });
    let client = world.client();
    // GitLab redirects reading requests, but patterns and images speak of the old path.
    assert_eq!(kind(client.repositories(&super::project("shop/backend")).await), ErrorKind::Moved);
    let by_id = Namespace::Project(world.repository.project.clone());
    let repositories = client.repositories(&by_id).await.unwrap();
    assert_eq!(repositories.len(), 151);
    assert!(repositories.iter().all(|repository| repository.path.starts_with("other/backend/")));
    assert!(repositories.iter().all(|repository| repository.reference().project == world.repository.project));
}
