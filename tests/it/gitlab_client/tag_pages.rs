//! Pages of tags by GraphQL: every tag once, in the order asked for, on every kind of server.

use std::sync::Arc;

use gitlab_simulator::{
    Action, Backend, Config, DeleteLevel, Endpoint, Fault, Matcher, ProtectionRule, Push, Role, Settings, TagCursors,
    TagKind, Version,
};
use jiff::{SignedDuration, Timestamp};
use registry_cleanup_operator::gitlab::{AlwaysOpen, Capabilities, Class, Client, Error, ErrorKind, Tag, TagOrder};

use super::{START, World, connection, kind};

const ALL: Capabilities = Capabilities { graphql: true, published_at: true, sorts_by_push: true, protection: true };

/// All pages one after the other.
async fn all(client: &Client, repository: u64, order: TagOrder) -> Result<Vec<Tag>, Error> {
    let mut page = client.tag_page(repository, order, None).await?;
    let mut tags = page.tags;
    while let Some(next) = page.next {
        page = client.tag_page(repository, order, Some(&next)).await?;
        tags.extend(page.tags);
    }
    Ok(tags)
}

fn names(tags: &[Tag]) -> Vec<&str> {
    tags.iter().map(|tag| &*tag.name).collect()
}

fn hours_ago(hours: i64) -> Timestamp {
    START.parse::<Timestamp>().unwrap() - SignedDuration::from_hours(hours)
}

/// Pushes tags whose names are in another order than their pushes; returns them from the oldest push on.
fn push_mixed(world: &World, count: i64) -> Vec<String> {
    let oldest_first: Vec<_> =
        (0..count).rev().map(|hours| (format!("t-{:03}", hours * 37 % 101), hours_ago(hours))).collect();
    world.sim.edit(|registry| {
        for (name, at) in &oldest_first {
            registry.push(world.repository.id, name, Push::at(*at));
        }
    });
    oldest_first.into_iter().map(|(name, _)| name).collect()
}

fn protect(world: &World, rule: ProtectionRule) {
    world.sim.edit(|registry| {
        let project = registry.find_repository(world.repository.id).unwrap().project;
        registry.project_mut(project).unwrap().protection_rules.push(rule);
    });
}

fn hide(settings: &mut Settings, field: &str) {
    settings.graphql_hidden_fields.insert(field.to_owned());
}

#[tokio::test]
async fn every_tag_is_seen_once_in_both_orders_with_both_kinds_of_cursors() {
    for cursors in [TagCursors::Offset, TagCursors::Registry] {
        for count in [0, 1, 19, 20, 21, 40, 95] {
            let world = World::with(|settings| settings.graphql_tag_cursors = Some(cursors)).await;
            let pushed = push_mixed(&world, count);
            let client = world.client();
            let oldest = all(&client, world.repository.id, TagOrder::OldestPushFirst).await.unwrap();
            assert_eq!(names(&oldest), pushed, "{cursors:?} {count}");
            let mut newest = all(&client, world.repository.id, TagOrder::NewestPushFirst).await.unwrap();
            newest.reverse();
            assert_eq!(names(&newest), pushed, "{cursors:?} {count}");
            let by_name = all(&client, world.repository.id, TagOrder::Name).await.unwrap();
            let mut sorted = pushed;
            sorted.sort();
            assert_eq!(names(&by_name), sorted, "{cursors:?} {count}");
        }
    }
}

#[tokio::test]
async fn every_tag_is_seen_once_without_a_metadata_database_where_no_push_is_known() {
    for order in [TagOrder::Name, TagOrder::OldestPushFirst, TagOrder::NewestPushFirst] {
        let world = World::with(|settings| settings.backend = Backend::PlainRegistry).await;
        let mut pushed = push_mixed(&world, 45);
        let tags = all(&world.client(), world.repository.id, order).await.unwrap();
        assert!(tags.iter().all(|tag| tag.published_at.is_none() && tag.digest.is_some()));
        pushed.sort();
        let mut seen = names(&tags);
        seen.sort_unstable();
        assert_eq!(seen, pushed);
    }
}

#[tokio::test]
async fn a_page_is_one_request_for_exactly_twenty_and_finding_out_is_shared() {
    let world = World::new().await;
    push_mixed(&world, 45);
    let client = world.client();
    all(&client, world.repository.id, TagOrder::Name).await.unwrap();
    // Another client of the same server, with the same memory.
    let page = world.client().tag_page(world.repository.id, TagOrder::Name, None).await.unwrap();
    assert_eq!(page.tags.len(), 20);
    let requests = world.sim.requests_to(Endpoint::GraphqlQuery);
    assert_eq!(requests.len(), 1 + 3 + 1);
    for request in &requests[1..] {
        let query = request.params["query"].as_str().unwrap();
        assert!(query.contains("first: 20,"), "{query}");
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/api/graphql"));
        assert_eq!(request.repository, Some(world.repository.id));
    }
}

#[tokio::test]
async fn who_asks_while_another_is_finding_out_waits_for_the_answer() {
    let world = World::new().await;
    let (one, two) = (world.client(), world.client());
    let id = world.repository.id;
    let (first, second, third) = tokio::join!(one.capabilities(id), two.capabilities(id), one.capabilities(id));
    assert!(first.as_ref().is_ok_and(|capabilities| capabilities.graphql));
    assert_eq!((first.as_ref().ok(), first.as_ref().ok()), (second.as_ref().ok(), third.as_ref().ok()));
    assert_eq!(world.sim.requests_to(Endpoint::GraphqlQuery).len(), 1);
}

#[tokio::test]
async fn a_tag_has_what_the_server_tells_of_it() {
    let world = World::new().await;
    let id = world.repository.id;
    world.sim.edit(|registry| {
        registry.push(id, "v1", Push::at(hours_ago(48)).digest("sha256:a").size(42));
        registry.push(id, "v1", Push::at(hours_ago(1)).digest("sha256:b").size(43));
        registry.push(id, "index", Push::at(hours_ago(2)).kind(TagKind::Index));
        registry.push(id, "sbom", Push::at(hours_ago(3)).digest("sha256:sbom").subject("sha256:b"));
    });
    let tags = all(&world.client(), id, TagOrder::NewestPushFirst).await.unwrap();
    let expected = Tag {
        name: "v1".into(),
        digest: Some("sha256:b".into()),
        published_at: Some(hours_ago(1)),
        created_at: Some(hours_ago(48)),
        total_size: Some(43),
        single_image: true,
        is_index: false,
        referrers: vec!["sha256:sbom".into()],
        protected: false,
    };
    assert_eq!(tags[0], expected);
    assert_eq!((&*tags[1].name, tags[1].total_size, tags[1].is_index), ("index", Some(0), true));
}

#[tokio::test]
async fn what_a_rule_or_the_role_keeps_from_this_token_is_protected() {
    let world = World::new().await;
    world.push(2);
    protect(&world, ProtectionRule::mutable("t-0", DeleteLevel::Owner));
    let protected = |tags: &[Tag]| tags.iter().map(|tag| tag.protected).collect::<Vec<_>>();
    let tags = all(&world.client(), world.repository.id, TagOrder::Name).await.unwrap();
    assert_eq!(protected(&tags), [true, false]);
    for (role, expected) in [(Role::Owner, [false, false]), (Role::Reporter, [true, true])] {
        let token = world.sim.edit(|registry| registry.access_token("shop", role));
        let client = world.gitlab.connect(&connection(world.sim.url(), &token), Arc::new(AlwaysOpen)).unwrap();
        let tags = all(&client, world.repository.id, TagOrder::Name).await.unwrap();
        assert_eq!(protected(&tags), expected, "{role:?}");
    }
}

#[tokio::test]
async fn an_immutable_tag_is_protected_from_everybody() {
    let world = World::with(|settings| hide(settings, "ContainerRepositoryTag.userPermissions")).await;
    world.push(2);
    protect(&world, ProtectionRule::immutable("t-0"));
    let tags = all(&world.client(), world.repository.id, TagOrder::Name).await.unwrap();
    assert!(tags[0].protected && !tags[1].protected);
}

#[tokio::test]
async fn each_field_a_server_does_not_know_is_left_out_and_the_rest_is_read() {
    let hidden = [
        ("digest", ALL),
        ("totalSize", ALL),
        ("createdAt", ALL),
        ("publishedAt", Capabilities { published_at: false, ..ALL }),
        ("protection", ALL),
        ("userPermissions", Capabilities { protection: false, ..ALL }),
    ];
    for (field, expected) in hidden {
        let world = World::with(|settings| hide(settings, &format!("ContainerRepositoryTag.{field}"))).await;
        push_mixed(&world, 25);
        let client = world.client();
        assert_eq!(client.capabilities(world.repository.id).await.unwrap(), expected, "{field}");
        assert_eq!(world.count(Endpoint::GraphqlQuery), 2, "{field}");
        let tags = all(&client, world.repository.id, TagOrder::OldestPushFirst).await.unwrap();
        let known = tags.iter().map(|tag| {
            [
                ("digest", tag.digest.is_some()),
                ("totalSize", tag.total_size.is_some()),
                ("createdAt", tag.created_at.is_some()),
                ("publishedAt", tag.published_at.is_some()),
            ]
        });
        assert_eq!(tags.len(), 25);
        assert!(known.flatten().all(|(name, known)| known == (name != field)), "{field}");
    }
}

#[tokio::test]
async fn several_unknown_fields_are_left_out_together() {
    let world = World::with(|settings| {
        for field in ["ContainerRepositoryTag.publishedAt", "ContainerProtectionAccessLevel.immutable"] {
            hide(settings, field);
        }
        settings.version = Version::new(16, 11);
    })
    .await;
    push_mixed(&world, 25);
    let client = world.client();
    let expected = Capabilities { published_at: false, sorts_by_push: false, ..ALL };
    assert_eq!(client.capabilities(world.repository.id).await.unwrap(), expected);
    assert_eq!(all(&client, world.repository.id, TagOrder::Name).await.unwrap().len(), 25);
}

#[tokio::test]
async fn without_what_every_server_has_there_is_no_graphql() {
    let hidden = ["Query.containerRepository", "ContainerRepositoryDetails.tags", "PageInfo.endCursor"];
    for field in hidden {
        let world = World::with(|settings| hide(settings, field)).await;
        assert_eq!(world.client().capabilities(world.repository.id).await.unwrap(), Capabilities::default(), "{field}");
    }
}

#[tokio::test]
async fn old_servers_are_asked_for_what_they_have() {
    let nothing = Capabilities::default();
    let some = Capabilities { graphql: true, ..nothing };
    let versions = [
        (11, 8, nothing),
        (12, 1, nothing),
        (13, 6, nothing),
        (13, 7, some),
        (16, 6, some),
        (16, 7, Capabilities { protection: true, ..some }),
        (16, 11, Capabilities { protection: true, published_at: true, ..some }),
        (17, 0, ALL),
        (18, 0, ALL),
        (18, 5, ALL),
    ];
    for backend in [Backend::MetadataDatabase, Backend::PlainRegistry] {
        for (major, minor, expected) in versions {
            let world = World::with(|settings| {
                (settings.version, settings.backend) = (Version::new(major, minor), backend);
            })
            .await;
            push_mixed(&world, 45);
            let client = world.client();
            assert_eq!(client.capabilities(world.repository.id).await.unwrap(), expected, "{major}.{minor}");
            let tags = all(&client, world.repository.id, TagOrder::Name).await;
            let by_push = client.tag_page(world.repository.id, TagOrder::NewestPushFirst, None).await;
            if expected.graphql {
                assert_eq!(tags.unwrap().len(), 45, "{major}.{minor}");
            } else {
                assert_eq!(kind(tags), ErrorKind::Unsupported { what: "reading tags by GraphQL" });
            }
            if !expected.sorts_by_push {
                assert!(matches!(kind(by_push), ErrorKind::Unsupported { .. }), "{major}.{minor}");
            }
        }
    }
}

#[tokio::test]
async fn without_graphql_nothing_more_is_asked() {
    let page = Action::Answer { status: 200, headers: vec![], body: "<html>Sign in</html>".to_owned() };
    let missing = Action::Answer { status: 405, headers: vec![], body: String::new() };
    for action in [page, missing] {
        let world = World::new().await;
        world.fault(Endpoint::GraphqlQuery, action);
        let client = world.client();
        assert_eq!(client.capabilities(world.repository.id).await.unwrap(), Capabilities::default());
        let error = client.tag_page(world.repository.id, TagOrder::Name, None).await.unwrap_err();
        assert_eq!(error.class(), Class::Other);
        assert_eq!(world.sim.requests().len(), 1);
    }
    let world = World::with(|settings| settings.graphql = false).await;
    assert!(!world.client().capabilities(world.repository.id).await.unwrap().graphql);
}

#[tokio::test]
async fn a_server_that_lost_a_field_is_asked_anew_at_once_and_the_page_is_read() {
    let world = World::new().await;
    push_mixed(&world, 25);
    let client = world.client();
    let first = client.tag_page(world.repository.id, TagOrder::Name, None).await.unwrap();
    world.sim.edit(|registry| hide(&mut registry.settings, "ContainerRepositoryTag.publishedAt"));
    world.sim.clear_requests();
    let second = client.tag_page(world.repository.id, TagOrder::Name, first.next.as_deref()).await.unwrap();
    assert_eq!((second.tags.len(), second.tags[0].published_at), (5, None));
    assert_eq!(world.count(Endpoint::GraphqlQuery), 1 + 2 + 1);
    assert!(!client.capabilities(world.repository.id).await.unwrap().published_at);
    world.sim.edit(|registry| registry.settings.version = Version::new(16, 11));
    let by_push = client.tag_page(world.repository.id, TagOrder::OldestPushFirst, None).await;
    assert_eq!(kind(by_push), ErrorKind::Unsupported { what: "sorting tags by their last push" });
    world.sim.edit(|registry| registry.settings.graphql = false);
    let none = client.tag_page(world.repository.id, TagOrder::Name, None).await;
    assert_eq!(kind(none), ErrorKind::Unsupported { what: "reading tags by GraphQL" });
}

#[tokio::test]
async fn an_upgrade_is_noticed_within_the_hour() {
    let world = World::with(|settings| settings.version = Version::new(13, 6)).await;
    let client = world.client();
    assert!(!client.capabilities(world.repository.id).await.unwrap().graphql);
    world.sim.edit(|registry| registry.settings.version = Version::new(18, 5));
    world.sim.advance(SignedDuration::from_mins(59));
    assert!(!client.capabilities(world.repository.id).await.unwrap().graphql);
    world.sim.advance(SignedDuration::from_mins(1));
    assert_eq!(client.capabilities(world.repository.id).await.unwrap(), ALL);
}

#[tokio::test]
async fn a_server_that_answers_one_field_of_its_own_two_ways_is_not_asked_for_ever() {
    let world = World::new().await;
    let client = world.client();
    client.capabilities(world.repository.id).await.unwrap();
    let unknown = r#"{"errors":[{"message":"Field 'digest' doesn't exist on type 'ContainerRepositoryTag'"}]}"#;
    world.fault(Endpoint::GraphqlQuery, Action::Answer { status: 200, headers: vec![], body: unknown.to_owned() });
    let error = client.tag_page(world.repository.id, TagOrder::Name, None).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidAnswer { .. }), "{error}");
    // Finding out, the page, and finding out twice.
    assert_eq!(world.count(Endpoint::GraphqlQuery), 1 + 1 + 2);
}

#[tokio::test]
async fn a_repository_that_is_missing_or_hidden_is_not_found_with_and_without_a_word() {
    for silent in [false, true] {
        let world = World::with(|settings| settings.graphql_silent_nulls = silent).await;
        let token = world.sim.edit(|registry| registry.access_token("other", Role::Owner));
        let stranger = world.gitlab.connect(&connection(world.sim.url(), &token), Arc::new(AlwaysOpen)).unwrap();
        let hidden = stranger.tag_page(world.repository.id, TagOrder::Name, None).await.unwrap_err();
        assert_eq!((hidden.kind(), hidden.class()), (&ErrorKind::NotFound, Class::Target), "{silent}");
        // What the server can do does not depend on it.
        assert_eq!(stranger.capabilities(world.repository.id).await.unwrap(), ALL);
        let missing = world.client().tag_page(1, TagOrder::Name, None).await;
        assert_eq!(kind(missing), ErrorKind::NotFound, "{silent}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_told() {
    let world = World::new().await;
    let client = world.gitlab.connect(&connection(world.sim.url(), "nobody"), Arc::new(AlwaysOpen)).unwrap();
    let error = client.capabilities(world.repository.id).await.unwrap_err();
    assert_eq!(error.class(), Class::Credentials);
}

#[tokio::test]
async fn a_registry_that_is_down_is_waited_for_like_a_server_that_is() {
    let world = World::with(|settings| settings.registry_unreachable = true).await;
    world.push(1);
    let client = world.client();
    let error = client.tag_page(world.repository.id, TagOrder::Name, None).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (&ErrorKind::Registry, Class::Transient));
    // Finding out does not need the registry.
    assert_eq!(world.count(Endpoint::GraphqlQuery), 1 + 4);
    assert_eq!(world.clock.long_sleeps().len(), 3);
    world.sim.edit(|registry| registry.settings.registry_unreachable = false);
    assert_eq!(client.tag_page(world.repository.id, TagOrder::Name, None).await.unwrap().tags.len(), 1);
}

#[tokio::test]
async fn reading_is_tried_again_after_a_gateway_gave_up() {
    let world = World::new().await;
    world.push(1);
    let gateway = Action::Answer { status: 504, headers: vec![], body: "<html>".to_owned() };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GraphqlQuery).times(3), gateway));
    assert_eq!(world.client().tag_page(world.repository.id, TagOrder::Name, None).await.unwrap().tags.len(), 1);
}

#[tokio::test]
async fn a_list_that_the_registry_cuts_looks_complete_so_only_the_names_tell() {
    let world = World::new().await;
    push_mixed(&world, 45);
    let client = world.client();
    client.capabilities(world.repository.id).await.unwrap();
    world.fault(Endpoint::GraphqlQuery, Action::TruncateTags { keep: 30 });
    let seen = all(&client, world.repository.id, TagOrder::OldestPushFirst).await.unwrap();
    assert_eq!(seen.len(), 30);
    assert_eq!(client.tag_names(&world.repository).await.unwrap().len(), 45);
}

#[tokio::test]
async fn a_cursor_of_somebody_else_is_never_an_error_that_shows_it() {
    let world = World::with(|settings| settings.graphql_tag_cursors = Some(TagCursors::Offset)).await;
    push_mixed(&world, 25);
    let error = world.client().tag_page(world.repository.id, TagOrder::Name, Some("MARKER\"")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidAnswer { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("MARKER"));
}

#[tokio::test]
async fn graphql_is_below_the_path_of_the_server_and_never_redirected() {
    let config = Config { relative_url_root: "/gitlab".to_owned(), ..Config::default() };
    let world = World::from(config).await;
    world.push(1);
    let client = world.client();
    assert_eq!(client.tag_page(world.repository.id, TagOrder::Name, None).await.unwrap().tags.len(), 1);
    world.fault(Endpoint::GraphqlQuery, Action::Redirect { location: "/gitlab/api/v4/version".to_owned() });
    let redirected = kind(client.tag_page(world.repository.id, TagOrder::Name, None).await);
    assert_eq!(redirected, ErrorKind::Redirected { status: 302 });
    assert_eq!(world.count(Endpoint::Version), 0);
}

#[tokio::test]
async fn an_index_whose_size_makes_the_page_fail_costs_the_sizes_of_its_page_and_nothing_else() {
    let world = World::with(|settings| {
        (settings.backend, settings.index_sizes_fail) = (Backend::PlainRegistry, true);
    })
    .await;
    world.sim.edit(|registry| {
        for number in 0..25 {
            let kind = if number == 3 { TagKind::Index } else { TagKind::Image };
            registry.push(world.repository.id, &format!("t-{number:02}"), Push::default().kind(kind));
        }
    });
    let client = world.client();
    client.capabilities(world.repository.id).await.unwrap();
    world.sim.clear_requests();
    let tags = all(&client, world.repository.id, TagOrder::Name).await.unwrap();
    assert_eq!(tags.len(), 25);
    let sized: Vec<bool> = tags.iter().map(|tag| tag.total_size.is_some()).collect();
    assert_eq!(sized, [vec![false; 20], vec![true; 5]].concat());
    assert_eq!(world.sim.requests().len(), 3, "what failed is not asked again as it was");
}

#[tokio::test]
async fn a_page_that_gitlab_cannot_tell_in_time_is_put_together_from_smaller_ones() {
    for (in_time, requests) in [(6, 2 + 4 + 2 + 1), (1, 2 + 1 + 20 + 2 + 1 + 5)] {
        let world = World::with(|settings| settings.graphql_tags_in_time = Some(in_time)).await;
        let names = world.push(25);
        let client = world.client();
        client.capabilities(world.repository.id).await.unwrap();
        world.sim.clear_requests();
        let tags = all(&client, world.repository.id, TagOrder::Name).await.unwrap();
        let read: Vec<Box<str>> = tags.iter().map(|tag| tag.name.clone()).collect();
        assert_eq!(read, names, "{in_time}");
        assert!(world.sim.requests().len() <= requests, "{in_time}: {}", world.sim.requests().len());
    }
    let world = World::with(|settings| settings.graphql_tags_in_time = Some(0)).await;
    world.push(1);
    let error = kind(world.client().tag_page(world.repository.id, TagOrder::Name, None).await);
    assert_eq!(error, ErrorKind::Timeout);
}

#[tokio::test]
async fn one_failed_question_about_the_registry_does_not_make_pushes_unknown() {
    let world = World::new().await;
    push_mixed(&world, 5);
    let client = world.client();
    let page = |client: Client| async move { client.tag_page(world.repository.id, TagOrder::Name, None).await };
    let right = page(client.clone()).await.unwrap();
    assert!(right.tags.iter().all(|tag| tag.published_at.is_some()));
    let hiccup = |times| Fault::new(Matcher::endpoint(Endpoint::GraphqlQuery).times(times), Action::ProbeFails);
    world.sim.fault(hiccup(1));
    assert_eq!(page(client.clone()).await.unwrap(), right, "asked again at once");
    world.sim.clear_faults();
    world.sim.fault(hiccup(2));
    assert_eq!(kind(page(client.clone()).await), ErrorKind::Registry, "the dates of builds are not taken for it");
    world.sim.clear_faults();
    world.sim.edit(|registry| registry.settings.backend = Backend::PlainRegistry);
    world.sim.advance(SignedDuration::from_hours(1));
    let lost = page(client).await.unwrap();
    assert!(lost.tags.iter().all(|tag| tag.published_at.is_none()), "after an hour it is believed");
}

#[tokio::test]
async fn a_graphql_that_is_blocked_in_whatever_way_means_rest() {
    let answer = |status, body: &str| Action::Answer { status, headers: vec![], body: body.to_owned() };
    for blocked in [
        answer(403, "<html>Forbidden</html>"),
        answer(403, ""),
        answer(403, r#"{"message":"blocked"}"#),
        answer(404, "<html>"),
        answer(405, ""),
        answer(401, "<html>Sign in</html>"),
        answer(200, "<html>Sign in</html>"),
        Action::Redirect { location: "/users/sign_in".to_owned() },
    ] {
        let world = World::new().await;
        world.push(1);
        world.fault(Endpoint::GraphqlQuery, blocked.clone());
        let capabilities = world.client().capabilities(world.repository.id).await;
        assert_eq!(capabilities, Ok(Capabilities::default()), "{blocked:?}");
    }
    let world = World::new().await;
    let scope = r#"{"error":"insufficient_scope","error_description":"…","scope":"api"}"#;
    world.fault(Endpoint::GraphqlQuery, answer(403, scope));
    assert_eq!(kind(world.client().capabilities(world.repository.id).await), ErrorKind::InsufficientScope);
}
