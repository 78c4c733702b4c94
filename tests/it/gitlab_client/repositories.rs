//! A repository as a whole: what the registry says it holds, and its deletion, which is sent once.

use std::sync::Arc;

use gitlab_simulator::{Action, Backend, Endpoint, Fault, HoldPoint, Matcher, Push, Role, Scope, Version};
use jiff::SignedDuration;
use registry_cleanup_operator::gitlab::{
    AlwaysOpen, Class, Client, ErrorKind, Project, RepositoryDeletion, RepositoryNow, RepositoryRef, RepositoryStatus,
};
use registry_cleanup_operator::model::RepositoryContents;

use super::{TestGate, World, connection, kind};

fn deletion() -> Matcher {
    Matcher::endpoint(Endpoint::DeleteRepository)
}

fn contents(tags: Option<u64>, bytes: Option<u64>) -> RepositoryNow {
    RepositoryNow { contents: RepositoryContents { tags, bytes }, status: None }
}

fn with_token(world: &World, token: &str) -> Client {
    world.gitlab.connect(&connection(world.sim.url(), token), Arc::new(AlwaysOpen)).unwrap()
}

fn exists(world: &World) -> bool {
    world.sim.read(|registry| registry.find_repository(world.repository.id).is_some())
}

#[tokio::test]
async fn a_repository_tells_how_many_tags_it_has_how_large_they_are_and_what_becomes_of_it() {
    let world = World::new().await;
    let client = world.client();
    assert_eq!(client.repository_contents(world.repository.id).await.unwrap(), contents(Some(0), Some(0)));
    world.sim.edit(|registry| {
        registry.push(world.repository.id, "a", Push::default().digest("sha256:1").size(100));
        registry.push(world.repository.id, "b", Push::default().digest("sha256:1").size(100));
    });
    assert_eq!(client.repository_contents(world.repository.id).await.unwrap(), contents(Some(2), Some(100)));
    client.delete_repository(&world.repository).await.unwrap();
    let status = client.repository_contents(world.repository.id).await.unwrap().status;
    assert_eq!(status, Some(RepositoryStatus::DeleteScheduled));
    assert_eq!(kind(client.repository_contents(1).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_size_is_known_only_where_the_registry_answers_for_it() {
    let world = World::new().await;
    world.push(3);
    let client = world.client();
    world.sim.edit(|registry| registry.settings.registry_lists_fail = true);
    assert_eq!(client.repository_contents(world.repository.id).await.unwrap(), contents(Some(0), None));
    world.sim.edit(|registry| {
        registry.settings.registry_lists_fail = false;
        registry.settings.backend = Backend::PlainRegistry;
    });
    assert_eq!(client.repository_contents(world.repository.id).await.unwrap(), contents(Some(3), None));
    world.sim.edit(|registry| registry.settings.version = Version::new(13, 5));
    assert_eq!(client.repository_contents(world.repository.id).await.unwrap(), contents(None, None));
}

#[tokio::test]
async fn contents_that_cannot_be_read_are_unknown_and_those_of_another_repository_are_no_answer() {
    let world = World::new().await;
    let client = world.client();
    for (body, expected) in [
        (r#"{"id":7}"#, contents(None, None)),
        (r#"{"id":7,"tags_count":null,"size":null,"status":null}"#, contents(None, None)),
        (r#"{"id":7,"tags_count":0,"size":"much"}"#, contents(Some(0), None)),
        (r#"{"id":7,"tags_count":0,"size":-1}"#, contents(Some(0), None)),
    ] {
        world.sim.clear_faults();
        world.fault(Endpoint::GetRepository, Action::Answer { status: 200, headers: vec![], body: body.to_owned() });
        assert_eq!(client.repository_contents(7).await.unwrap(), expected, "{body}");
        assert!(matches!(kind(client.repository_contents(8).await), ErrorKind::InvalidAnswer { .. }));
    }
}

#[tokio::test]
async fn a_repository_is_scheduled_and_goes_later() {
    let world = World::new().await;
    let answer = world.client().delete_repository(&world.repository).await.unwrap();
    assert_eq!(answer, RepositoryDeletion::Scheduled);
    let [request] = &world.sim.requests()[..] else { panic!("one request") };
    assert_eq!((request.method.as_str(), request.endpoint), ("DELETE", Endpoint::DeleteRepository));
    assert_eq!(request.repository, Some(world.repository.id));
    assert!(exists(&world));
    world.sim.advance(SignedDuration::from_mins(1));
    assert!(!exists(&world));
    assert_eq!(kind(world.client().delete_repository(&world.repository).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn only_gitlabs_own_yes_means_that_it_is_scheduled() {
    let yes = [(202, "202"), (202, ""), (202, "{}")];
    for (status, body) in yes.into_iter().chain([(200, "null"), (204, ""), (202, "<html>"), (202, "{\"a\":")]) {
        let world = World::new().await;
        world.fault(Endpoint::DeleteRepository, Action::Answer { status, headers: vec![], body: body.to_owned() });
        match world.client().delete_repository(&world.repository).await {
            Ok(answer) => assert_eq!((answer, yes.contains(&(status, body))), (RepositoryDeletion::Scheduled, true)),
            Err(error) => assert!(error.is_answer_lost() && !yes.contains(&(status, body)), "{status} {body}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_protected_repository_is_told_from_a_role_or_scope_that_does_not_allow_it() {
    let world = World::new().await;
    let developer = world.sim.edit(|registry| registry.access_token("shop", Role::Developer));
    let refused = kind(with_token(&world, &developer).delete_repository(&world.repository).await);
    assert_eq!(refused, ErrorKind::Forbidden);
    let reader = world.sim.edit(|registry| {
        let user = registry.find_token(&world.token).unwrap().user;
        registry.personal_token(user, &[Scope::ReadApi])
    });
    let refused = kind(with_token(&world, &reader).delete_repository(&world.repository).await);
    assert_eq!(refused, ErrorKind::InsufficientScope);
    world.sim.edit(|registry| registry.repository_mut(world.repository.id).unwrap().deletion_protected = true);
    let answer = world.client().delete_repository(&world.repository).await.unwrap();
    assert_eq!(answer, RepositoryDeletion::Protected);
    assert!(world.sim.jobs().is_empty());
}

#[tokio::test]
async fn a_repository_of_another_project_is_not_found_and_one_of_a_moved_project_is_told() {
    let world = World::new().await;
    let other = world.sim.edit(|registry| registry.project("shop/frontend"));
    let wrong = RepositoryRef { project: Project::Id(other), ..world.repository.clone() };
    assert_eq!(kind(world.client().delete_repository(&wrong).await), ErrorKind::NotFound);
    world.sim.edit(|registry| {
        let project = registry.project("shop/backend");
        registry.move_project(project, "shop/services");
    });
    let old = RepositoryRef { project: Project::Path("shop/backend".to_owned()), ..world.repository.clone() };
    let error = world.client().delete_repository(&old).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (&ErrorKind::Moved, Class::Target));
    assert!(world.sim.jobs().is_empty());
}

#[tokio::test]
async fn an_answer_to_a_deletion_that_is_lost_is_lost_and_nothing_is_sent_again() {
    let status = |status| Action::Answer { status, headers: vec![], body: String::new() };
    for fault in [Action::DropConnection, status(500), status(502), status(503), status(504), status(408)] {
        let world = World::new().await;
        world.sim.fault(Fault::new(deletion(), fault.clone()).after_processing());
        let error = world.client().delete_repository(&world.repository).await.unwrap_err();
        assert!(error.is_answer_lost(), "{fault:?}: {error}");
        assert_eq!(world.count(Endpoint::DeleteRepository), 1);
        assert_eq!(world.sim.jobs().len(), 1);
    }
    let world = World::new().await;
    let _hold = world.sim.hold(deletion(), HoldPoint::AfterProcessing);
    assert!(world.hasty_client().delete_repository(&world.repository).await.unwrap_err().is_answer_lost());
    assert_eq!(world.count(Endpoint::DeleteRepository), 1);
}

#[tokio::test]
async fn a_deletion_turned_away_by_the_throttle_is_sent_again() {
    let world = World::new().await;
    world.sim.fault(Fault::new(deletion().times(2), Action::TooManyRequests { retry_after: Some(20) }));
    let answer = world.client().delete_repository(&world.repository).await.unwrap();
    assert_eq!(answer, RepositoryDeletion::Scheduled);
    assert_eq!((world.count(Endpoint::DeleteRepository), world.sim.jobs().len()), (3, 1));
}

#[tokio::test]
async fn a_redirect_of_the_deletion_of_a_repository_is_never_followed() {
    let world = World::new().await;
    world.sim.fault(Fault::new(deletion(), Action::Redirect { location: "/api/v4/version".to_owned() }));
    let redirected = kind(world.client().delete_repository(&world.repository).await);
    assert_eq!(redirected, ErrorKind::Redirected { status: 302 });
    assert_eq!(world.sim.requests().len(), 1);
}

#[tokio::test]
async fn a_deletion_on_its_way_is_awaited_to_its_end_although_the_gate_closes() {
    let world = World::new().await;
    let gate = TestGate::new(None);
    let client = world.client_behind(gate.clone());
    let hold = world.sim.hold(deletion(), HoldPoint::AfterProcessing);
    let repository = world.repository.clone();
    let sent = tokio::spawn(async move { client.delete_repository(&repository).await });
    hold.reached().await;
    gate.close();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!sent.is_finished());
    hold.release();
    assert_eq!(sent.await.unwrap().unwrap(), RepositoryDeletion::Scheduled);
}
