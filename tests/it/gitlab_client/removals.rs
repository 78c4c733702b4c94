//! Removing tags by name: one by one and up to twenty at once, sent once, and never another one.

use std::sync::Arc;

use gitlab_simulator::{
    Action, Backend, DeleteLevel, Endpoint, Fault, HoldPoint, Matcher, ProtectionRule, Push, Role, Scope, TagKind,
    Version,
};
use registry_cleanup_operator::gitlab::{
    AlwaysOpen, Class, Client, ErrorKind, Project, RepositoryRef, TagOrder, TagRemoval, Version as GitLabVersion,
};
use registry_cleanup_operator::model::BulkDelete;

use super::{TestGate, World, connection, kind};

const BACKENDS: [Backend; 2] = [Backend::MetadataDatabase, Backend::PlainRegistry];

fn removing() -> [Matcher; 2] {
    [Endpoint::GraphqlMutation, Endpoint::DeleteTag].map(Matcher::endpoint)
}

/// Removes `t-0` by the endpoint.
async fn remove(client: &Client, repository: &RepositoryRef, endpoint: Option<Endpoint>) -> Result<(), ErrorKind> {
    let result = if endpoint == Some(Endpoint::GraphqlMutation) {
        client.delete_tags(repository.id, &["t-0"]).await.map(drop)
    } else {
        client.delete_tag(repository, "t-0").await.map(drop)
    };
    result.map_err(|error| error.kind().clone())
}

fn protect(world: &World, pattern: &str) {
    world.sim.edit(|registry| {
        let project = registry.find_repository(world.repository.id).unwrap().project;
        let rules = &mut registry.project_mut(project).unwrap().protection_rules;
        rules.push(ProtectionRule::mutable(pattern, DeleteLevel::Owner));
    });
}

fn left(world: &World) -> Vec<String> {
    world.sim.read(|registry| registry.tag_names(world.repository.id))
}

fn member(world: &World, role: Role) -> Client {
    let token = world.sim.edit(|registry| registry.access_token("shop", role));
    world.gitlab.connect(&connection(world.sim.url(), &token), Arc::new(AlwaysOpen)).unwrap()
}

fn reader(world: &World) -> Client {
    let token = world.sim.edit(|registry| {
        let user = registry.find_token(&world.token).unwrap().user;
        registry.personal_token(user, &[Scope::ReadApi])
    });
    world.gitlab.connect(&connection(world.sim.url(), &token), Arc::new(AlwaysOpen)).unwrap()
}

#[tokio::test]
async fn a_client_that_only_reads_sends_nothing_that_removes() {
    let world = World::new().await;
    let names = world.push(3);
    let client = world.client().only_reading();
    let bulk = BulkDelete { name_regex_delete: Some("(?:.*)".to_owned()), ..BulkDelete::default() };
    let refused = [
        kind(client.bulk_delete(&world.repository, &bulk).await),
        kind(client.delete_tags(world.repository.id, &["t-0"]).await),
        kind(client.delete_tag(&world.repository, "t-0").await),
    ];
    for kind in refused {
        assert_eq!(kind, ErrorKind::NotSent { what: "this client only reads" });
    }
    assert_eq!(world.sim.requests().len(), 0);
    assert_eq!(client.tag_names(&world.repository).await.unwrap(), names);
    assert_eq!(client.tag_page(world.repository.id, TagOrder::Name, None).await.unwrap().tags.len(), 3);
}

#[tokio::test]
async fn tags_go_by_name_and_those_that_were_gone_are_gone_too() {
    for backend in BACKENDS {
        let world = World::with(|settings| settings.backend = backend).await;
        world.push(4);
        let client = world.client();
        let gone = client.delete_tags(world.repository.id, &["t-1", "t-3", "never-there"]).await.unwrap();
        assert_eq!(gone, ["t-1", "t-3", "never-there"].map(Box::from));
        assert_eq!(left(&world), ["t-0", "t-2"]);
        let [request] = &world.sim.requests()[..] else { panic!("one request") };
        assert_eq!((request.endpoint, request.repository), (Endpoint::GraphqlMutation, Some(world.repository.id)));
        assert_eq!(request.tag_names, ["t-1", "t-3", "never-there"]);
    }
}

#[tokio::test]
async fn protected_tags_are_missing_from_the_answer() {
    let world = World::new().await;
    world.push(3);
    protect(&world, "t-1");
    let client = world.client();
    let gone = client.delete_tags(world.repository.id, &["t-0", "t-1", "t-2"]).await.unwrap();
    assert_eq!(gone, ["t-0", "t-2"].map(Box::from));
    assert!(client.delete_tags(world.repository.id, &["t-1"]).await.unwrap().is_empty());
    assert_eq!(left(&world), ["t-1"]);
}

#[tokio::test]
async fn twenty_tags_go_at_once_and_more_are_not_sent() {
    let world = World::new().await;
    let names = world.push(21);
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let client = world.client();
    let error = client.delete_tags(world.repository.id, &names).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to remove tags: it was not sent, GitLab takes at most 20 tags at once");
    assert!(world.sim.requests().is_empty());
    assert_eq!(client.delete_tags(world.repository.id, &names[..20]).await.unwrap().len(), 20);
    assert_eq!(left(&world), names[20..]);
}

#[tokio::test]
async fn what_cannot_be_a_tag_is_not_sent_and_nothing_is_not_sent_either() {
    let world = World::new().await;
    let client = world.client();
    for name in ["", "..", ".", "a/b", "sha256:0123", "a b", "ä", "%2e%2e"] {
        let many = client.delete_tags(world.repository.id, &["a", name]).await;
        assert!(matches!(kind(many), ErrorKind::NotSent { .. }), "{name}");
        let one = client.delete_tag(&world.repository, name).await;
        assert!(matches!(kind(one), ErrorKind::NotSent { .. }), "{name}");
    }
    assert!(client.delete_tags(world.repository.id, &[]).await.unwrap().is_empty());
    assert!(world.sim.requests().is_empty());
}

#[tokio::test]
async fn a_mutation_of_a_role_or_scope_that_may_not_is_not_found() {
    let world = World::new().await;
    world.push(1);
    for client in [member(&world, Role::Reporter), member(&world, Role::Guest), reader(&world)] {
        let error = client.delete_tags(world.repository.id, &["t-0"]).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (&ErrorKind::NotFound, Class::Target));
    }
    assert_eq!(kind(world.client().delete_tags(1, &["t-0"]).await), ErrorKind::NotFound);
    assert_eq!(left(&world), ["t-0"]);
    let developer = member(&world, Role::Developer);
    assert_eq!(developer.delete_tags(world.repository.id, &["t-0"]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn one_tag_of_a_role_or_scope_that_may_not_is_never_called_gone() {
    let world = World::new().await;
    world.push(1);
    assert_eq!(kind(reader(&world).delete_tag(&world.repository, "t-0").await), ErrorKind::InsufficientScope);
    let reporter = member(&world, Role::Reporter).delete_tag(&world.repository, "t-0").await.unwrap();
    assert_eq!(reporter, TagRemoval::Protected);
    assert_eq!(kind(member(&world, Role::Guest).delete_tag(&world.repository, "t-0").await), ErrorKind::Forbidden);
    assert_eq!(left(&world), ["t-0"]);
    let developer = member(&world, Role::Developer);
    assert_eq!(developer.delete_tag(&world.repository, "t-0").await.unwrap(), TagRemoval::Gone);
    assert!(left(&world).is_empty());
}

#[tokio::test]
async fn servers_without_the_mutation_are_told_and_nothing_happens() {
    for (major, minor) in [(11, 8), (12, 5), (13, 6)] {
        let world = World::with(|settings| settings.version = Version::new(major, minor)).await;
        world.push(1);
        let error = kind(world.client().delete_tags(world.repository.id, &["t-0"]).await);
        assert!(matches!(error, ErrorKind::Unsupported { .. }), "{error:?}");
        assert_eq!(left(&world), ["t-0"]);
    }
}

#[tokio::test]
async fn a_registry_that_refuses_is_told_and_one_that_is_unreachable_leaves_the_fate_open() {
    let world = World::with(|settings| settings.registry_deletes_fail = true).await;
    world.push(1);
    let client = world.client();
    let error = client.delete_tags(world.repository.id, &["t-0"]).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (&ErrorKind::Registry, Class::Transient));
    assert_eq!(kind(client.delete_tag(&world.repository, "t-0").await), ErrorKind::Registry);
    world.sim.edit(|registry| {
        (registry.settings.registry_deletes_fail, registry.settings.registry_unreachable) = (false, true);
    });
    assert_eq!(kind(client.delete_tags(world.repository.id, &["t-0"]).await), ErrorKind::AnswerLost);
    assert_eq!(kind(client.delete_tag(&world.repository, "t-0").await), ErrorKind::AnswerLost);
    assert_eq!((world.count(Endpoint::GraphqlMutation), world.count(Endpoint::DeleteTag)), (2, 2));
    assert_eq!(left(&world), ["t-0"]);
}

#[tokio::test]
async fn old_servers_say_only_400_when_the_registry_refuses() {
    let world = World::with(|settings| {
        (settings.registry_deletes_fail, settings.version) = (true, Version::new(16, 5));
    })
    .await;
    world.push(1);
    assert_eq!(kind(world.client().delete_tag(&world.repository, "t-0").await), ErrorKind::Registry);
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_removal_is_lost_and_nothing_is_sent_again() {
    let answer = |status| Action::Answer { status, headers: vec![], body: String::new() };
    let faults = [Action::DropConnection, answer(500), answer(502), answer(503), answer(504), answer(408), answer(303)];
    for matcher in removing() {
        for fault in faults.clone() {
            let world = World::new().await;
            world.push(1);
            world.sim.fault(Fault::new(matcher.clone(), fault.clone()).after_processing());
            let result = remove(&world.client(), &world.repository, matcher.endpoint).await;
            assert_eq!(result, Err(ErrorKind::AnswerLost), "{fault:?}");
            assert_eq!(world.sim.requests().len(), 1, "{fault:?}");
            assert!(left(&world).is_empty());
        }
    }
}

#[tokio::test]
async fn a_mutation_whose_answer_cannot_be_read_is_lost_and_nothing_is_sent_again() {
    let huge = Action::HugeBody { bytes: 1 << 20 };
    let page = Action::Answer { status: 200, headers: vec![], body: "<html>".to_owned() };
    for fault in [Action::InvalidJson, huge, page] {
        let world = World::new().await;
        world.push(1);
        world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GraphqlMutation), fault).after_processing());
        let result = world.client().delete_tags(world.repository.id, &["t-0"]).await;
        assert!(result.unwrap_err().is_answer_lost());
        assert_eq!(world.sim.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_success_that_is_not_gitlabs_removes_nothing_that_anybody_knows_of() {
    for (status, body) in [(200, "<html>Sign in</html>"), (202, "202"), (204, "")] {
        for matcher in removing() {
            let world = World::new().await;
            world.push(1);
            world
                .sim
                .fault(Fault::new(matcher.clone(), Action::Answer { status, headers: vec![], body: body.to_owned() }));
            let error = remove(&world.client(), &world.repository, matcher.endpoint).await.unwrap_err();
            assert!(matches!(error, ErrorKind::ForeignAnswer(_)), "{status} {body}: {error}");
            assert_eq!(world.sim.requests().len(), 1);
        }
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_lost() {
    for matcher in removing() {
        let world = World::new().await;
        world.push(1);
        let _hold = world.sim.hold(matcher.clone(), HoldPoint::AfterProcessing);
        let result = remove(&world.hasty_client(), &world.repository, matcher.endpoint).await;
        assert_eq!(result, Err(ErrorKind::AnswerLost));
        assert_eq!(world.sim.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_removal_turned_away_by_the_throttle_is_sent_again() {
    for matcher in removing() {
        let world = World::new().await;
        world.push(1);
        let turned_away = Action::TooManyRequests { retry_after: Some(20) };
        world.sim.fault(Fault::new(matcher.clone().times(2), turned_away));
        assert_eq!(remove(&world.client(), &world.repository, matcher.endpoint).await, Ok(()));
        assert_eq!(world.sim.requests().len(), 3);
        assert!(left(&world).is_empty());
    }
}

#[tokio::test]
async fn a_removal_is_never_redirected() {
    for matcher in removing() {
        let world = World::new().await;
        world.sim.fault(Fault::new(matcher.clone(), Action::Redirect { location: "/api/v4/version".to_owned() }));
        let result = remove(&world.client(), &world.repository, matcher.endpoint).await;
        assert_eq!(result, Err(ErrorKind::Redirected { status: 302 }));
        assert_eq!(world.sim.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_removal_on_its_way_is_awaited_to_its_end_although_the_gate_closes() {
    for matcher in removing() {
        let world = World::new().await;
        world.push(1);
        let gate = TestGate::new(None);
        let client = world.client_behind(gate.clone());
        let hold = world.sim.hold(matcher.clone(), HoldPoint::AfterProcessing);
        let (repository, endpoint) = (world.repository.clone(), matcher.endpoint);
        let sent = tokio::spawn(async move { remove(&client, &repository, endpoint).await });
        hold.reached().await;
        gate.close();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!sent.is_finished());
        hold.release();
        assert_eq!(sent.await.unwrap(), Ok(()));
    }
}

#[tokio::test]
async fn names_that_were_not_asked_for_are_no_answer() {
    let world = World::new().await;
    let body = r#"{"data":{"destroyContainerRepositoryTags":{"deletedTagNames":["t-0","main"],"errors":[]}}}"#;
    world.fault(Endpoint::GraphqlMutation, Action::Answer { status: 200, headers: vec![], body: body.to_owned() });
    let error = kind(world.client().delete_tags(world.repository.id, &["t-0"]).await);
    assert!(matches!(error, ErrorKind::InvalidAnswer { .. }), "{error:?}");
}

#[tokio::test]
async fn one_tag_goes_and_others_on_its_image_stay() {
    for (major, minor) in [(15, 0), (16, 5), (18, 5)] {
        for backend in BACKENDS {
            let world = World::with(|settings| {
                (settings.version, settings.backend) = (Version::new(major, minor), backend);
            })
            .await;
            world.sim.edit(|registry| {
                for name in ["a", "latest"] {
                    registry.push(world.repository.id, name, Push::default().digest("sha256:same"));
                }
            });
            assert_eq!(world.client().delete_tag(&world.repository, "a").await.unwrap(), TagRemoval::Gone);
            assert_eq!(left(&world), ["latest"]);
            assert_eq!(world.sim.requests().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_missing_tag_is_gone_and_a_protected_one_is_not_whatever_the_version() {
    for (major, minor) in [(15, 0), (16, 5), (17, 11), (18, 5)] {
        for backend in BACKENDS {
            let world = World::with(|settings| {
                (settings.version, settings.backend) = (Version::new(major, minor), backend);
            })
            .await;
            world.push(2);
            protect(&world, "t-1");
            let client = world.client();
            let missing = client.delete_tag(&world.repository, "never-there").await.unwrap();
            // GitLab says 404, or 403 and the lists prove it; otherwise it says the same as of one that it removed.
            let told = major < 16 || (major == 18 && backend == Backend::MetadataDatabase);
            let expected = if told { TagRemoval::AlreadyGone } else { TagRemoval::Gone };
            assert_eq!(missing, expected, "{major}.{minor} {backend:?}");
            let protected = client.delete_tag(&world.repository, "t-1").await.unwrap();
            // Protection came with 17.9.
            let (expected, stays) =
                if major < 17 { (TagRemoval::Gone, vec!["t-0"]) } else { (TagRemoval::Protected, vec!["t-0", "t-1"]) };
            assert_eq!(protected, expected, "{major}.{minor} {backend:?}");
            assert_eq!(left(&world), stays);
            // Up to 17 the refusal says why; a tag that is there is found with one more request; the rest takes a list.
            let requests = match (major, backend) {
                (18, Backend::MetadataDatabase) => (1 + 1 + 2) + (1 + 1),
                (18, Backend::PlainRegistry) => 1 + (1 + 1),
                _ => 1 + 1,
            };
            assert_eq!(world.sim.requests().len(), requests, "{major}.{minor} {backend:?}");
        }
    }
}

#[tokio::test]
async fn a_tag_that_is_refused_and_not_found_is_gone_only_if_the_names_prove_it() {
    // Nothing is left, which a registry that fails looks like, too.
    let world = World::new().await;
    assert_eq!(kind(world.client().delete_tag(&world.repository, "t-0").await), ErrorKind::Forbidden);

    // The registry swallows its errors: the tag is refused, not found and not listed.
    let world = World::new().await;
    world.push(2);
    protect(&world, "t-0");
    world.sim.edit(|registry| registry.settings.registry_lists_fail = true);
    assert_eq!(kind(world.client().delete_tag(&world.repository, "t-0").await), ErrorKind::Forbidden);

    // Too many names contain this one, so it is there but not found.
    let world = World::new().await;
    world.sim.edit(|registry| {
        for number in 0..150 {
            registry.push(world.repository.id, &format!("0.1-{number}"), Push::default());
        }
        registry.push(world.repository.id, "1", Push::default());
    });
    assert_eq!(world.client().delete_tag(&world.repository, "1").await.unwrap(), TagRemoval::Protected);
    assert_eq!(left(&world).len(), 151);
}

#[tokio::test]
async fn an_index_without_metadata_database_is_refused_as_protected_where_a_rule_protects_it() {
    let world = World::with(|settings| settings.backend = Backend::PlainRegistry).await;
    world.sim.edit(|registry| registry.push(world.repository.id, "t-0", Push::default().kind(TagKind::Index)));
    protect(&world, "t-0");
    assert_eq!(world.client().delete_tag(&world.repository, "t-0").await.unwrap(), TagRemoval::Protected);
}

#[tokio::test]
async fn a_project_or_repository_that_is_missing_is_not_a_tag_that_is_gone() {
    for (major, minor) in [(15, 0), (18, 5)] {
        let world = World::with(|settings| settings.version = Version::new(major, minor)).await;
        world.push(1);
        let client = world.client();
        let repository = RepositoryRef { id: 1, ..world.repository.clone() };
        assert_eq!(kind(client.delete_tag(&repository, "t-0").await), ErrorKind::NotFound);
        let project = RepositoryRef { project: Project::Id(1), ..world.repository.clone() };
        assert_eq!(kind(client.delete_tag(&project, "t-0").await), ErrorKind::NotFound);
    }
    let world = World::new().await;
    world.sim.edit(|registry| {
        let project = registry.project("shop/backend");
        registry.move_project(project, "shop/frontend");
    });
    let old = RepositoryRef { project: Project::Path("shop/backend".to_owned()), ..world.repository.clone() };
    assert_eq!(kind(world.client().delete_tag(&old, "t-0").await), ErrorKind::Moved);
}

#[tokio::test]
async fn a_parameter_that_is_not_taken_is_no_failure_of_the_registry() {
    let world = World::new().await;
    let body = r#"{"error":"tag_name is invalid"}"#.to_owned();
    world.fault(Endpoint::DeleteTag, Action::Answer { status: 400, headers: vec![], body });
    let refused = kind(world.client().delete_tag(&world.repository, "t-0").await);
    assert!(matches!(refused, ErrorKind::Refused { status: 400, .. }), "{refused:?}");
}

#[tokio::test]
async fn the_servers_that_remove_a_whole_image_are_known_by_their_version() {
    for (major, minor) in [(11, 8), (12, 3), (12, 9), (12, 10), (13, 0), (18, 5)] {
        let world = World::with(|settings| settings.version = Version::new(major, minor)).await;
        let version: GitLabVersion = world.client().version().await.unwrap();
        assert_eq!(version.removes_single_tags(), (major, minor) >= (12, 10));
    }
}

#[tokio::test]
async fn the_cleanup_policy_of_a_project_is_read_where_the_server_tells() {
    let world = World::new().await;
    let client = world.client();
    let Project::Id(id) = world.repository.project else { panic!("an id") };
    let by_path = Project::Path("shop/backend".to_owned());
    for enabled in [false, true] {
        world.sim.edit(|registry| registry.project_mut(id).unwrap().cleanup_policy.enabled = enabled);
        assert_eq!(client.cleanup_policy_enabled(&Project::Id(id)).await.unwrap(), Some(enabled));
        assert_eq!(client.cleanup_policy_enabled(&by_path).await.unwrap(), Some(enabled));
    }
    assert_eq!(client.cleanup_policy_enabled(&Project::Id(1)).await.unwrap(), None);
    world.fault(Endpoint::GetProject, Action::Answer { status: 403, headers: vec![], body: String::new() });
    assert_eq!(client.cleanup_policy_enabled(&by_path).await.unwrap(), None);
    world.sim.clear_faults();
    world.sim.edit(|registry| registry.settings.version = Version::new(12, 7));
    assert_eq!(client.cleanup_policy_enabled(&by_path).await.unwrap(), None);
}

#[tokio::test]
async fn a_cleanup_policy_that_cannot_be_read_is_unknown_and_that_of_another_project_is_no_answer() {
    let world = World::new().await;
    let answer = |body: &str| Action::Answer { status: 200, headers: vec![], body: body.to_owned() };
    for (body, expected) in [
        (r#"{"id":7,"container_expiration_policy":null}"#, None),
        (r#"{"id":7,"container_expiration_policy":{"enabled":"yes"}}"#, None),
        (r#"{"id":7,"container_expiration_policy":{"enabled":true}}"#, Some(true)),
    ] {
        world.sim.clear_faults();
        world.fault(Endpoint::GetProject, answer(body));
        assert_eq!(world.client().cleanup_policy_enabled(&Project::Id(7)).await.unwrap(), expected, "{body}");
        let other = kind(world.client().cleanup_policy_enabled(&Project::Id(8)).await);
        assert!(matches!(other, ErrorKind::InvalidAnswer { .. }), "{other:?}");
    }
    world.sim.clear_faults();
    world.fault(Endpoint::GetProject, answer("[]"));
    assert!(world.client().cleanup_policy_enabled(&Project::Id(7)).await.is_err());
}
