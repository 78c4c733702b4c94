//! What GitLab says about tokens and roles.

use gitlab_simulator::{Action, Endpoint, Role, Scope, TokenKind};
use registry_cleanup_operator::gitlab::{AlwaysOpen, Class, Client, ErrorKind, Namespace, Project, TokenProblem};
use rstest::rstest;
use std::sync::Arc;

use super::{World, connection, kind, project, shop};

fn client_with(world: &World, token: &str) -> Client {
    world.gitlab.connect(&connection(world.sim.url(), token), Arc::new(AlwaysOpen)).unwrap()
}

#[tokio::test]
async fn an_unknown_token_is_rejected_and_not_tried_again() {
    let world = World::new().await;
    let error = client_with(&world, "glpat-unknown").repositories(&shop()).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unauthorized(TokenProblem::Rejected));
    assert_eq!(error.class(), Class::Credentials);
    assert_eq!(world.sim.requests().len(), 1);
}

#[tokio::test]
async fn an_expired_token_is_told_apart() {
    let world = World::new().await;
    world
        .sim
        .edit(|registry| registry.token_mut(&world.token).unwrap().expires_at = Some("2026-03-01".parse().unwrap()));
    assert_eq!(kind(world.client().check(&shop()).await), ErrorKind::Unauthorized(TokenProblem::Expired));
    assert_eq!(kind(world.client().token_self().await), ErrorKind::Unauthorized(TokenProblem::Expired));
}

#[tokio::test]
async fn a_revoked_token_is_told_apart() {
    let world = World::new().await;
    world.sim.edit(|registry| registry.token_mut(&world.token).unwrap().revoked = true);
    assert_eq!(kind(world.client().check(&shop()).await), ErrorKind::Unauthorized(TokenProblem::Revoked));
}

#[tokio::test]
async fn a_token_without_the_scope_is_told_apart_from_a_missing_role() {
    let world = World::new().await;
    let token = world.sim.edit(|registry| {
        let user = registry.user("anna");
        registry.set_role("shop", user, Some(Role::Owner));
        registry.personal_token(user, &[Scope::ReadRegistry])
    });
    let error = client_with(&world, &token).check(&shop()).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (&ErrorKind::InsufficientScope, Class::Credentials));
}

#[tokio::test]
async fn a_token_that_may_only_read_lists_but_cannot_request_deletions() {
    let world = World::new().await;
    let token = world.sim.edit(|registry| {
        let user = registry.user("anna");
        registry.set_role("shop", user, Some(Role::Owner));
        registry.personal_token(user, &[Scope::ReadApi])
    });
    let client = client_with(&world, &token);
    assert!(client.tag_names(&world.repository).await.is_ok());
    let refused = client.bulk_delete(&world.repository, &super::bulk::everything()).await;
    assert_eq!(kind(refused), ErrorKind::InsufficientScope);
}

#[tokio::test]
async fn one_project_may_be_forbidden_while_another_works() {
    let world = World::new().await;
    let token = world.sim.edit(|registry| {
        registry.repository("shop/secret/web");
        let user = registry.user("anna");
        registry.set_role("shop/backend", user, Some(Role::Reporter));
        registry.set_role("shop/secret", user, Some(Role::Guest));
        registry.personal_token(user, &[Scope::Api])
    });
    let client = client_with(&world, &token);
    assert_eq!(client.repositories(&project("shop/backend")).await.unwrap().len(), 1);
    let error = client.repositories(&project("shop/secret")).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (&ErrorKind::Forbidden, Class::Target));
}

#[tokio::test]
async fn projects_and_groups_that_do_not_exist_are_not_found() {
    let world = World::new().await;
    let client = world.client();
    let error = client.repositories(&project("shop/nothing")).await.unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(error.class(), Class::Target);
    let group = Namespace::Group { path: "shop/nothing".to_owned() };
    assert_eq!(kind(client.check(&group).await), ErrorKind::NotFound);
    assert_eq!(kind(client.check(&Namespace::Project(Project::Id(1))).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_path_that_a_url_would_swallow_is_not_found_without_asking() {
    let world = World::new().await;
    for path in ["", ".", ".."] {
        let project = Namespace::Project(Project::Path(path.to_owned()));
        assert_eq!(kind(world.client().repositories(&project).await), ErrorKind::NotFound);
    }
    assert!(world.sim.requests().is_empty());
}

#[tokio::test]
async fn a_repository_of_another_project_is_not_found() {
    let world = World::new().await;
    let other = world.sim.edit(|registry| registry.repository("shop/other/web"));
    let mixed = registry_cleanup_operator::gitlab::RepositoryRef { id: other, ..world.repository.clone() };
    assert_eq!(kind(world.client().tag_names(&mixed).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_token_tells_its_scopes_and_its_end() {
    let world = World::new().await;
    world
        .sim
        .edit(|registry| registry.token_mut(&world.token).unwrap().expires_at = Some("2026-04-01".parse().unwrap()));
    let info = world.client().token_self().await.unwrap().unwrap();
    assert_eq!(info.scopes, ["api"]);
    assert_eq!(info.expires_at, Some("2026-04-01".parse().unwrap()));
    assert!(info.active && !info.revoked);
}

#[tokio::test]
async fn a_token_without_an_end_has_none() {
    let info = World::new().await.client().token_self().await.unwrap().unwrap();
    assert_eq!(info.expires_at, None);
}

#[tokio::test]
async fn nothing_is_known_of_a_token_where_the_server_does_not_tell() {
    for (status, body) in [(404, r#"{"error":"404 Not Found"}"#), (400, "{}"), (403, "{}"), (500, "")] {
        let world = World::new().await;
        world.fault(Endpoint::TokenSelf, Action::Answer { status, headers: vec![], body: body.to_owned() });
        assert_eq!(world.client().token_self().await.unwrap(), None, "{status}");
    }
}

#[rstest]
#[case::of_a_deployment(TokenKind::Deploy)]
#[case::of_a_job(TokenKind::Job(1))]
#[case::of_oauth(TokenKind::OAuth)]
#[tokio::test]
async fn a_token_of_a_kind_that_is_not_accepted_is_rejected(#[case] of: TokenKind) {
    let world = World::new().await;
    let token = world.sim.edit(|registry| {
        let user = registry.user("anna");
        registry.set_role("shop", user, Some(Role::Owner));
        registry.token(of, user, "other", &[Scope::Api])
    });
    let error = client_with(&world, &token).version().await;
    assert_eq!(kind(error), ErrorKind::Unauthorized(TokenProblem::Rejected));
}

#[tokio::test]
async fn the_version_is_read() {
    let world = World::with(|settings| settings.version = gitlab_simulator::Version::new(12, 9)).await;
    let version = world.client().version().await.unwrap();
    assert_eq!((version.major, version.minor, version.text.as_str()), (12, 9, "12.9.0-ee"));
    assert!(!version.supports_keep_regex());
}
