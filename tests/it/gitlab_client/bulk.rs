//! The bulk request: sent once, and its fate is never guessed.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use gitlab_simulator::{Action, Endpoint, Fault, HoldPoint, Matcher, Role};
use jiff::SignedDuration;
use registry_cleanup_operator::gitlab::{
    AlwaysOpen, BulkAnswer, Class, Connection, ErrorKind, Project, RepositoryRef, Unreached,
};
use registry_cleanup_operator::model::BulkDelete;
use serde_json::json;

use super::{TestGate, World, connection, kind};

pub(super) fn everything() -> BulkDelete {
    BulkDelete { name_regex_delete: Some("(?:.*)".to_owned()), ..BulkDelete::default() }
}

fn bulk() -> Matcher {
    Matcher::endpoint(Endpoint::BulkDeleteTags)
}

#[tokio::test]
async fn an_accepted_request_tells_when_and_arrives_as_it_was_meant() {
    let world = World::new().await;
    let delete = BulkDelete {
        name_regex_delete: Some("(?:mr-.+|feature\\+x)".to_owned()),
        name_regex_keep: Some("(?:main)".to_owned()),
        keep_n: Some(5),
        older_than: Some("14d".to_owned()),
        ..BulkDelete::default()
    };
    let before = world.sim.clock().now();
    let answer = world.client().bulk_delete(&world.repository, &delete).await.unwrap();
    let BulkAnswer::Accepted { at } = answer else { panic!("{answer:?}") };
    let [request] = &world.sim.requests()[..] else { panic!("one request") };
    assert!(before <= request.at && request.at <= at);
    assert_eq!((request.method.as_str(), request.accepted), ("DELETE", Some(true)));
    let meant = json!({
        "name_regex_delete": "(?:mr-.+|feature\\+x)", "name_regex_keep": "(?:main)", "keep_n": 5, "older_than": "14d",
    });
    assert_eq!(request.params, meant);
}

#[tokio::test]
async fn the_tags_go_later_and_the_listing_shows_it() {
    let world = World::new().await;
    world.push(3);
    let client = world.client();
    client.bulk_delete(&world.repository, &everything()).await.unwrap();
    world.sim.advance(SignedDuration::from_mins(5));
    assert!(client.tag_names(&world.repository).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_second_request_within_the_hour_is_already_requested() {
    let world = World::new().await;
    let client = world.client();
    client.bulk_delete(&world.repository, &everything()).await.unwrap();
    world.sim.advance(SignedDuration::from_mins(59));
    let second = client.bulk_delete(&world.repository, &everything()).await.unwrap();
    assert!(matches!(second, BulkAnswer::AlreadyRequested { .. }), "{second:?}");
    world.sim.advance(SignedDuration::from_mins(2));
    let third = client.bulk_delete(&world.repository, &everything()).await.unwrap();
    assert!(matches!(third, BulkAnswer::Accepted { .. }), "{third:?}");
    assert_eq!(world.count(Endpoint::BulkDeleteTags), 3);
}

#[tokio::test]
async fn parameters_that_gitlab_does_not_take_are_refused_and_cost_no_hour() {
    let world = World::new().await;
    let client = world.client();
    for delete in [
        BulkDelete { name_regex_delete: Some("(".to_owned()), ..BulkDelete::default() },
        BulkDelete { keep_n: Some(1), ..BulkDelete::default() },
    ] {
        let refused = kind(client.bulk_delete(&world.repository, &delete).await);
        assert!(matches!(refused, ErrorKind::Refused { status: 400, said: Some(_) }), "{refused:?}");
    }
    let accepted = client.bulk_delete(&world.repository, &everything()).await.unwrap();
    assert!(matches!(accepted, BulkAnswer::Accepted { .. }));
}

#[tokio::test]
async fn a_developer_is_forbidden_and_a_missing_repository_is_not_found() {
    let world = World::new().await;
    let token = world.sim.edit(|registry| registry.access_token("shop", Role::Developer));
    let developer = world.gitlab.connect(&connection(world.sim.url(), &token), Arc::new(AlwaysOpen)).unwrap();
    assert_eq!(kind(developer.bulk_delete(&world.repository, &everything()).await), ErrorKind::Forbidden);
    let missing = RepositoryRef { id: 1, ..world.repository.clone() };
    assert_eq!(kind(world.client().bulk_delete(&missing, &everything()).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_moved_project_is_told_and_never_followed() {
    let world = World::new().await;
    world.sim.edit(|registry| {
        let project = registry.project("shop/backend");
        registry.move_project(project, "shop/frontend");
    });
    let old = RepositoryRef { project: Project::Path("shop/backend".to_owned()), ..world.repository.clone() };
    let error = world.client().bulk_delete(&old, &everything()).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (&ErrorKind::Moved, Class::Target));
    assert_eq!(world.sim.requests().len(), 1);
}

#[tokio::test]
async fn a_redirect_of_a_deletion_is_never_followed() {
    let world = World::new().await;
    world.sim.fault(Fault::new(bulk(), Action::Redirect { location: "/api/v4/version".to_owned() }));
    let redirected = kind(world.client().bulk_delete(&world.repository, &everything()).await);
    assert_eq!(redirected, ErrorKind::Redirected { status: 302 });
    assert_eq!(world.sim.requests().len(), 1);
}

#[tokio::test]
async fn only_gitlabs_own_yes_is_an_acceptance_and_after_any_other_nobody_knows() {
    let yes = [(202, "202"), (202, ""), (202, "null"), (202, "{}")];
    let no = [(200, "null"), (200, "<html>"), (201, "{}"), (204, ""), (202, "<html>"), (202, "{\"a\":")];
    for (status, body) in yes.into_iter().chain(no) {
        let world = World::new().await;
        world.sim.fault(Fault::new(bulk(), Action::Answer { status, headers: vec![], body: body.to_owned() }));
        match world.client().bulk_delete(&world.repository, &everything()).await {
            Ok(answer) => {
                assert!(matches!(answer, BulkAnswer::Accepted { .. }), "{status} {body}");
                assert!(yes.contains(&(status, body)), "{status} {body}");
            }
            Err(error) => {
                assert!(no.contains(&(status, body)), "{status} {body}: {error}");
                assert!(error.is_answer_lost() && error.to_string().contains("the answer is not GitLab's"), "{error}");
            }
        }
        assert_eq!(world.sim.requests().len(), 1, "nothing is sent again");
    }
}

#[tokio::test]
async fn a_page_that_is_longer_than_is_read_of_it_is_no_empty_answer() {
    let world = World::new().await;
    let body = format!("<html>{}", "x".repeat(200 * 1024));
    world.sim.fault(Fault::new(bulk(), Action::Answer { status: 202, headers: vec![], body }));
    assert!(world.client().bulk_delete(&world.repository, &everything()).await.unwrap_err().is_answer_lost());
}

#[tokio::test]
async fn an_acceptance_whose_body_never_ends_is_an_acceptance() {
    let world = World::new().await;
    let slow = Action::SlowBody { pause: Duration::from_secs(3600) };
    world.sim.fault(Fault::new(bulk(), slow));
    assert!(world.hasty_client().bulk_delete(&world.repository, &everything()).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_acceptance_is_lost_and_nothing_is_sent_again() {
    let faults = [
        Action::DropConnection,
        Action::Answer { status: 500, headers: vec![], body: String::new() },
        Action::Answer { status: 502, headers: vec![], body: String::new() },
        Action::Answer { status: 503, headers: vec![("retry-after".to_owned(), "1".to_owned())], body: String::new() },
        Action::Answer { status: 504, headers: vec![], body: String::new() },
        Action::Answer { status: 408, headers: vec![], body: String::new() },
        Action::Answer { status: 303, headers: vec![("location".to_owned(), "/".to_owned())], body: String::new() },
    ];
    for fault in faults {
        let world = World::new().await;
        world.sim.fault(Fault::new(bulk(), fault.clone()).after_processing());
        let error = world.client().bulk_delete(&world.repository, &everything()).await.unwrap_err();
        assert!(error.is_answer_lost(), "{fault:?}: {error}");
        assert_eq!(error.class(), Class::Transient);
        let [request] = &world.sim.requests()[..] else { panic!("{fault:?}: one request") };
        assert_eq!(request.accepted, Some(true));
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_lost_and_nothing_is_sent_again() {
    for point in [HoldPoint::BeforeProcessing, HoldPoint::AfterProcessing] {
        let world = World::new().await;
        let _hold = world.sim.hold(bulk(), point);
        let error = world.hasty_client().bulk_delete(&world.repository, &everything()).await.unwrap_err();
        assert!(error.is_answer_lost(), "{error}");
        assert_eq!(world.sim.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_before_gitlab_did_anything_is_lost_too_since_nobody_can_tell() {
    let world = World::new().await;
    world.sim.fault(Fault::new(bulk(), Action::DropConnection));
    let error = world.client().bulk_delete(&world.repository, &everything()).await.unwrap_err();
    assert!(error.is_answer_lost());
    assert_eq!(world.sim.requests().len(), 1);
}

#[tokio::test]
async fn a_request_turned_away_by_the_throttle_is_sent_again() {
    let world = World::new().await;
    world.sim.fault(Fault::new(bulk().times(2), Action::TooManyRequests { retry_after: Some(20) }));
    let answer = world.client().bulk_delete(&world.repository, &everything()).await.unwrap();
    assert!(matches!(answer, BulkAnswer::Accepted { .. }));
    let accepted: Vec<_> = world.sim.requests().iter().map(|request| request.accepted).collect();
    assert_eq!(accepted, [None, None, Some(true)]);
}

#[tokio::test]
async fn a_request_that_is_always_turned_away_is_throttled_and_not_lost() {
    let world = World::new().await;
    world.sim.fault(Fault::new(bulk(), Action::TooManyRequests { retry_after: Some(20) }));
    let error = world.client().bulk_delete(&world.repository, &everything()).await.unwrap_err();
    assert_eq!((error.class(), error.retry_after()), (Class::Throttled, Some(Duration::from_secs(20))));
}

#[tokio::test]
async fn a_request_for_which_there_is_no_connection_is_tried_again_and_not_lost() {
    let world = World::new().await;
    // A port that was free a moment ago: nobody listens there.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = world.gitlab.connect(&connection(&format!("http://{nobody}"), "token"), Arc::new(AlwaysOpen)).unwrap();
    let unreached = kind(client.bulk_delete(&world.repository, &everything()).await);
    assert_eq!(unreached, ErrorKind::Unreachable(Unreached::Connect));
    assert_eq!(world.clock.long_sleeps().len(), 3);
}

#[tokio::test]
async fn the_gate_is_asked_again_before_a_request_is_sent_again() {
    let world = World::new().await;
    let gate = TestGate::new(None);
    let client = world.client_behind(gate.clone());
    let hold = world.sim.hold(bulk(), HoldPoint::BeforeProcessing);
    world.sim.fault(Fault::new(bulk(), Action::TooManyRequests { retry_after: Some(1) }));
    let repository = world.repository.clone();
    let sent = tokio::spawn(async move { client.bulk_delete(&repository, &everything()).await });
    hold.reached().await;
    gate.close();
    hold.release();
    assert_eq!(kind(sent.await.unwrap()), ErrorKind::Stopped);
    assert_eq!(world.sim.requests().len(), 1);
}

#[tokio::test]
async fn a_request_on_its_way_is_awaited_to_its_end_although_the_gate_closes() {
    for point in [HoldPoint::BeforeProcessing, HoldPoint::AfterProcessing] {
        let world = World::new().await;
        let gate = TestGate::new(None);
        let client = world.client_behind(gate.clone());
        let hold = world.sim.hold(bulk(), point);
        let repository = world.repository.clone();
        let sent = tokio::spawn(async move { client.bulk_delete(&repository, &everything()).await });
        hold.reached().await;
        gate.close();
        // The client has every chance to notice the gate before the answer comes.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!sent.is_finished());
        hold.release();
        assert!(matches!(sent.await.unwrap(), Ok(BulkAnswer::Accepted { .. })));
    }
}

#[tokio::test]
async fn a_request_on_its_way_has_its_whole_time_although_the_deadline_comes() {
    let world = World::new().await;
    let gate = TestGate::new(Some(world.sim.clock().now() + SignedDuration::from_millis(1)));
    let client = world.client_behind(gate);
    let hold = world.sim.hold(bulk(), HoldPoint::AfterProcessing);
    let repository = world.repository.clone();
    let sent = tokio::spawn(async move { client.bulk_delete(&repository, &everything()).await });
    hold.reached().await;
    world.sim.advance(SignedDuration::from_mins(10));
    hold.release();
    assert!(matches!(sent.await.unwrap(), Ok(BulkAnswer::Accepted { .. })));
}

#[tokio::test]
async fn a_connection_that_the_server_closed_while_idle_does_not_lose_the_request() {
    let world = World::new().await;
    let client = world.client();
    for _ in 0..5 {
        client.version().await.unwrap();
        // The connection of the request before is cut, the next request opens a new one.
        world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::Version).times(1), Action::DropConnection));
        client.version().await.unwrap();
        world.sim.clear_faults();
    }
    assert!(client.bulk_delete(&world.repository, &everything()).await.is_ok());
    let connection = Connection { timeout: Duration::from_secs(5), ..world.connection() };
    let again = world.gitlab.connect(&connection, Arc::new(AlwaysOpen)).unwrap();
    assert!(again.bulk_delete(&world.repository, &everything()).await.is_ok());
    assert_eq!(world.count(Endpoint::BulkDeleteTags), 2);
}
