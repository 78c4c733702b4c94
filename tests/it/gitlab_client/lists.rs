//! Lists are complete or an error.

use gitlab_simulator::{
    Action, Backend, Config, Endpoint, Fault, HoldPoint, Matcher, Push, Role, Settings, TagOrder, Version,
};
use registry_cleanup_operator::gitlab::{ErrorKind, Gap, Namespace, Project};

use super::{World, kind, project, shop};

fn incomplete(why: Gap) -> ErrorKind {
    ErrorKind::Incomplete { why }
}

type Change = fn(&mut Settings);

/// A server of today on a registry with a metadata database: keyset paging.
fn recent(_: &mut Settings) {}

/// A server that pages tags by offset without saying so: it ignores the parameter for keyset paging.
fn before_keyset(settings: &mut Settings) {
    settings.version = Version::new(16, 4);
}

/// A registry without metadata database: keyset paging is refused.
fn plain(settings: &mut Settings) {
    settings.backend = Backend::PlainRegistry;
}

#[tokio::test]
async fn thousands_of_tags_are_listed_by_keyset_whatever_the_order_and_the_configured_host() {
    for order in [TagOrder::Bytewise, TagOrder::Locale, TagOrder::Pushed] {
        let mut config = Config { external_url: Some("https://elsewhere.example".to_owned()), ..Config::default() };
        config.settings.tag_order = order;
        let world = World::from(config).await;
        world.sim.edit(|registry| {
            for name in ["Zeta", "alpha", "_x", "v1.0", "V1.0"] {
                registry.push(world.repository.id, name, Push::default());
            }
        });
        let names = world.push(3500);
        assert_eq!(world.client().tag_names(&world.repository).await.unwrap(), names);
        assert_eq!((world.count(Endpoint::ListTags), world.count(Endpoint::GetRepository)), (4, 1));
    }
}

#[tokio::test]
async fn exactly_full_pages_need_no_extra_page() {
    let world = World::new().await;
    let names = world.push(2000);
    assert_eq!(world.client().tag_names(&world.repository).await.unwrap(), names);
    assert_eq!(world.count(Endpoint::ListTags), 2);
}

#[tokio::test]
async fn a_server_that_ignores_keyset_is_paged_by_offset_and_not_probed_again() {
    let world = World::with(before_keyset).await;
    let names = world.push(2345);
    assert_eq!(world.client().tag_names(&world.repository).await.unwrap(), names);
    assert_eq!(world.count(Endpoint::ListTags), 1 + 24);
    assert_eq!(world.client().tag_names(&world.repository).await.unwrap(), names);
    assert_eq!(world.count(Endpoint::ListTags), 1 + 24 + 24);
}

#[tokio::test]
async fn a_server_that_refuses_keyset_is_paged_by_offset_and_not_probed_again() {
    let world = World::with(plain).await;
    let names = world.push(250);
    assert_eq!(world.client().tag_names(&world.repository).await.unwrap(), names);
    let statuses: Vec<_> =
        world.sim.requests_to(Endpoint::ListTags).iter().filter_map(|record| record.status).collect();
    assert_eq!(statuses, [405, 200, 200, 200]);
    assert_eq!(world.client().tag_names(&world.repository).await.unwrap(), names);
    assert_eq!(world.count(Endpoint::ListTags), 7);
}

#[tokio::test]
async fn keyset_is_tried_again_after_offset_paging_failed() {
    let world = World::with(plain).await;
    let names = world.push(250);
    world.client().tag_names(&world.repository).await.unwrap();
    world.sim.edit(|registry| registry.settings.backend = Backend::MetadataDatabase);
    world.sim.clear_requests();
    world.sim.fault(Fault::new(
        Matcher::endpoint(Endpoint::ListTags).nth(2),
        Action::Answer { status: 200, headers: vec![], body: "[]".to_owned() },
    ));
    assert_eq!(world.client().tag_names(&world.repository).await.unwrap(), names);
    assert_eq!(world.count(Endpoint::ListTags), 2 + 1);
}

#[tokio::test]
async fn an_old_server_without_keyset_and_count_is_listed_by_its_totals() {
    let world = World::with(|settings| settings.version = Version::new(12, 10)).await;
    let names = world.push(250);
    let client = world.client();
    assert_eq!(client.repository_tags_count(world.repository.id).await.unwrap(), None);
    assert_eq!(client.tag_names(&world.repository).await.unwrap(), names);
}

#[tokio::test]
async fn an_empty_repository_is_empty() {
    for settings in [recent as Change, before_keyset, plain] {
        let world = World::with(settings).await;
        assert!(world.client().tag_names(&world.repository).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_count_is_the_registrys_and_ends_at_ten_thousand() {
    let world = World::new().await;
    world.push(7);
    assert_eq!(world.client().repository_tags_count(world.repository.id).await.unwrap(), Some(7));
    world.push(10_004);
    assert_eq!(world.client().repository_tags_count(world.repository.id).await.unwrap(), Some(10_000));
    assert_eq!(kind(world.client().repository_tags_count(1).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn more_tags_than_the_count_can_say_are_all_listed() {
    let world = World::new().await;
    let names = world.push(10_500);
    assert_eq!(world.client().tag_names(&world.repository).await.unwrap(), names);
}

#[tokio::test]
async fn a_list_that_an_error_of_the_registry_cut_is_never_returned() {
    for settings in [recent as Change, before_keyset, plain] {
        for keep in [0, 1, 100, 150, 1000, 2499] {
            let world = World::with(settings).await;
            world.push(2500);
            world.fault(Endpoint::ListTags, Action::TruncateTags { keep });
            let why = Gap::FewerThanCounted { listed: keep, counted: 2500 };
            assert_eq!(kind(world.client().tag_names(&world.repository).await), incomplete(why), "{keep}");
        }
    }
}

#[tokio::test]
async fn a_list_that_is_cut_in_its_middle_is_never_returned() {
    for (settings, page) in [recent as Change, before_keyset, plain].into_iter().zip([2, 3, 3]) {
        for keep in [0, 1001] {
            let world = World::with(settings).await;
            world.push(2500);
            let pages = Matcher { skip: page - 1, ..Matcher::endpoint(Endpoint::ListTags) };
            world.sim.fault(Fault::new(pages, Action::TruncateTags { keep }));
            let error = world.client().tag_names(&world.repository).await.unwrap_err();
            assert!(error.is_incomplete(), "{keep}: {error}");
        }
    }
}

#[tokio::test]
async fn an_error_of_the_registry_that_passes_costs_one_more_reading() {
    let world = World::new().await;
    let names = world.push(2500);
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::ListTags).nth(2), Action::TruncateTags { keep: 0 }));
    assert_eq!(world.client().tag_names(&world.repository).await.unwrap(), names);
    assert_eq!(world.count(Endpoint::ListTags), 2 + 3);
}

#[tokio::test]
async fn a_list_is_not_returned_when_nothing_vouches_for_it() {
    let world = World::new().await;
    world.push(5);
    world.fault(Endpoint::GetRepository, Action::TruncateTags { keep: 0 });
    assert_eq!(kind(world.client().tag_names(&world.repository).await), incomplete(Gap::CountFailed));
}

#[tokio::test]
async fn a_count_that_is_refused_or_broken_is_an_error_of_its_own() {
    let world = World::new().await;
    world.push(5);
    world.fault(Endpoint::GetRepository, Action::Answer { status: 503, headers: vec![], body: String::new() });
    assert_eq!(kind(world.client().tag_names(&world.repository).await), ErrorKind::Server { status: 503 });
}

#[tokio::test]
async fn ten_thousand_tags_can_only_be_listed_by_keyset() {
    for settings in [before_keyset, plain] {
        let world = World::with(settings).await;
        world.push(10_001);
        assert_eq!(kind(world.client().tag_names(&world.repository).await), incomplete(Gap::Saturated));
    }
}

#[tokio::test]
async fn a_tag_pushed_between_list_and_count_is_found_by_reading_again() {
    let world = World::new().await;
    world.push(3);
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GetRepository), HoldPoint::BeforeProcessing);
    let client = world.client();
    let listing = tokio::spawn({
        let repository = world.repository.clone();
        async move { client.tag_names(&repository).await }
    });
    hold.reached().await;
    let names = world.push(4);
    hold.release();
    assert_eq!(listing.await.unwrap().unwrap(), names);
    assert_eq!((world.count(Endpoint::ListTags), world.count(Endpoint::GetRepository)), (2, 1));
}

#[tokio::test]
async fn a_tag_deleted_before_the_second_reading_is_told_by_a_second_count() {
    let world = World::new().await;
    world.push(3);
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::ListTags).times(1), Action::TruncateTags { keep: 1 }));
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::ListTags).nth(2), HoldPoint::BeforeProcessing);
    let client = world.client();
    let listing = tokio::spawn({
        let repository = world.repository.clone();
        async move { client.tag_names(&repository).await }
    });
    hold.reached().await;
    world.sim.edit(|registry| registry.remove_tag(world.repository.id, "t-0"));
    hold.release();
    assert_eq!(listing.await.unwrap().unwrap().len(), 2);
    assert_eq!(world.count(Endpoint::GetRepository), 2);
}

#[tokio::test]
async fn a_link_that_leads_back_is_not_followed_for_ever() {
    let world = World::new().await;
    world.push(3);
    let headers = vec![("link".to_owned(), format!("<{}/x?last=t-1>; rel=\"next\"", world.sim.url()))];
    let body = r#"[{"name":"t-0"},{"name":"t-1"}]"#.to_owned();
    world.fault(Endpoint::ListTags, Action::Answer { status: 200, headers, body });
    assert_eq!(kind(world.client().tag_names(&world.repository).await), incomplete(Gap::BadCursor));
    assert_eq!(world.count(Endpoint::ListTags), 2 + 2);
}

#[tokio::test]
async fn the_count_of_another_repository_is_not_taken() {
    let world = World::new().await;
    let body = r#"{"id":1,"tags_count":0}"#.to_owned();
    world.fault(Endpoint::GetRepository, Action::Answer { status: 200, headers: vec![], body });
    let counted = kind(world.client().repository_tags_count(world.repository.id).await);
    assert!(matches!(counted, ErrorKind::InvalidAnswer { .. }), "{counted:?}");
}

#[tokio::test]
async fn a_repository_that_comes_twice_is_no_list() {
    let world = World::new().await;
    let one =
        r#"{"id":1,"name":"a","path":"shop/a","project_id":2,"location":"x","created_at":"2026-01-01T00:00:00Z"}"#;
    let headers = vec![("x-next-page".to_owned(), String::new())];
    let action = Action::Answer { status: 200, headers, body: format!("[{one},{one}]") };
    world.fault(Endpoint::ListGroupRepositories, action);
    assert_eq!(kind(world.client().repositories(&shop()).await), incomplete(Gap::Duplicate));
    assert_eq!(world.count(Endpoint::ListGroupRepositories), 2);
}

#[tokio::test]
async fn a_name_that_comes_twice_is_no_list() {
    let world = World::new().await;
    let body = r#"[{"name":"a"},{"name":"a"}]"#.to_owned();
    world.fault(Endpoint::ListTags, Action::Answer { status: 200, headers: vec![], body });
    assert_eq!(kind(world.client().tag_names(&world.repository).await), incomplete(Gap::Duplicate));
}

#[tokio::test]
async fn a_name_that_no_tag_can_have_is_no_list_of_tags() {
    let world = World::new().await;
    let body = r#"[{"name":"../../version"}]"#.to_owned();
    world.fault(Endpoint::ListTags, Action::Answer { status: 200, headers: vec![], body });
    let listed = kind(world.client().tag_names(&world.repository).await);
    assert!(matches!(listed, ErrorKind::InvalidAnswer { .. }), "{listed:?}");
}

#[tokio::test]
async fn all_repositories_of_a_group_and_its_subgroups_are_listed_over_all_pages() {
    let world = World::new().await;
    world.sim.edit(|registry| {
        for number in 0..230 {
            registry.repository(&format!("shop/part-{}/image-{number}", number % 7));
        }
        registry.project("shop/eu/west");
        registry.repository("shop/eu/west/web");
        registry.repository("shopping/cart/web");
    });
    let repositories = world.client().repositories(&shop()).await.unwrap();
    assert_eq!(repositories.len(), 1 + 230 + 1);
    assert!(repositories.iter().all(|repository| repository.path.starts_with("shop/")));
    assert_eq!(world.count(Endpoint::ListGroupRepositories), 3);
}

#[tokio::test]
async fn a_project_is_listed_by_path_or_by_id() {
    let world = World::new().await;
    let Project::Id(id) = world.repository.project else { panic!("made with an id") };
    let client = world.client();
    let by_path = client.repositories(&project("shop/backend")).await.unwrap();
    assert_eq!(by_path, client.repositories(&project(&id.to_string())).await.unwrap());
    assert_eq!(by_path[0].reference(), world.repository);
    assert_eq!(by_path[0].location, "registry.gitlab.example.com/shop/backend/web");
    let paths: Vec<_> = world.sim.requests().into_iter().map(|record| record.path).collect();
    assert_eq!(paths[0], "/api/v4/projects/shop%2Fbackend/registry/repositories");
    assert_eq!(paths[1], format!("/api/v4/projects/{id}/registry/repositories"));
}

#[tokio::test]
async fn a_gitlab_below_a_path_is_reached_there() {
    let world = World::from(Config { relative_url_root: "/gitlab".to_owned(), ..Config::default() }).await;
    let names = world.push(1200);
    assert_eq!(world.client().repositories(&shop()).await.unwrap().len(), 1);
    assert_eq!(world.client().tag_names(&world.repository).await.unwrap(), names);
    assert!(world.sim.requests().iter().all(|record| record.path.starts_with("/gitlab/api/v4/")));
}

#[tokio::test]
async fn a_repository_added_while_the_pages_are_read_costs_one_more_reading() {
    let world = World::new().await;
    world.sim.edit(|registry| {
        for number in 0..149 {
            registry.repository(&format!("shop/backend/image-{number}"));
        }
    });
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::ListGroupRepositories).nth(2), HoldPoint::BeforeProcessing);
    let client = world.client();
    let listing = tokio::spawn(async move { client.repositories(&shop()).await });
    hold.reached().await;
    world.sim.edit(|registry| registry.repository("shop/backend/new"));
    hold.release();
    assert_eq!(listing.await.unwrap().unwrap().len(), 151);
    assert_eq!(world.count(Endpoint::ListGroupRepositories), 2 + 2);
}

#[tokio::test]
async fn a_group_whose_name_is_a_number_is_not_mistaken_for_the_group_with_that_id() {
    let world = World::new().await;
    // GitLab reads digits as an id, so asking for the group named like the victim's id lists the victim.
    let (name, token) = world.sim.edit(|registry| {
        registry.repository("victim/app/web");
        let name = registry.group("victim").to_string();
        registry.repository(&format!("{name}/app/web"));
        let admin = registry.admin("root");
        (name, registry.personal_token(admin, &[gitlab_simulator::Scope::Api]))
    });
    let connection = super::connection(world.sim.url(), &token);
    let client =
        world.gitlab.connect(&connection, std::sync::Arc::new(registry_cleanup_operator::gitlab::AlwaysOpen)).unwrap();
    let group = Namespace::Group { path: name };
    for listed in [kind(client.repositories(&group).await), kind(client.check(&group).await)] {
        assert!(matches!(listed, ErrorKind::InvalidAnswer { .. }), "{listed:?}");
    }
}

#[tokio::test]
async fn checking_a_target_costs_one_request_for_one_entry() {
    let world = World::new().await;
    world.client().check(&shop()).await.unwrap();
    world.client().check(&project("shop/backend")).await.unwrap();
    let asked: Vec<_> = world.sim.requests().into_iter().map(|record| record.params["per_page"].clone()).collect();
    assert_eq!(asked, ["1", "1"]);
}

#[tokio::test]
async fn the_details_of_a_tag_are_read() {
    let world = World::new().await;
    let pushed = "2026-01-02T03:04:05Z".parse().unwrap();
    world
        .sim
        .edit(|registry| registry.push(world.repository.id, "v1.0", Push::at(pushed).digest("sha256:abc").size(42)));
    let client = world.client();
    let details = client.tag(&world.repository, "v1.0").await.unwrap().unwrap();
    assert_eq!((&*details.name, details.digest), ("v1.0", Some("sha256:abc".into())));
    assert_eq!((details.created_at, details.total_size), (Some(pushed), Some(42)));
    assert_eq!(client.tag(&world.repository, "v1").await.unwrap(), None);
    assert_eq!(client.tag(&world.repository, "..").await.unwrap(), None);
    assert_eq!(world.count(Endpoint::GetTag), 2, "a name that no tag can have is not asked for");
}

#[tokio::test]
async fn reading_needs_no_more_than_the_reporter_role() {
    let world = World::new().await;
    world.push(2);
    let token = world.sim.edit(|registry| registry.access_token("shop", Role::Reporter));
    let connection = super::connection(world.sim.url(), &token);
    let client =
        world.gitlab.connect(&connection, std::sync::Arc::new(registry_cleanup_operator::gitlab::AlwaysOpen)).unwrap();
    assert_eq!(client.tag_names(&world.repository).await.unwrap().len(), 2);
    assert!(client.tag(&world.repository, "t-0").await.unwrap().is_some());
}

#[tokio::test]
async fn one_failed_question_about_the_registry_does_not_end_keyset_paging() {
    let world = World::new().await;
    let names = world.push(30);
    let client = world.client();
    assert_eq!(client.tag_names(&world.repository).await.unwrap(), names);
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::ListTags).times(1), Action::ProbeFails));
    assert_eq!(client.tag_names(&world.repository).await.unwrap(), names);
    assert!(client.pages_by_keyset());
    let by_keyset = |request: &gitlab_simulator::RequestRecord| request.params["pagination"] == "keyset";
    assert!(world.sim.requests_to(Endpoint::ListTags).iter().all(by_keyset), "it was asked again at once");
}

#[tokio::test]
async fn a_refusal_of_keyset_paging_is_remembered_for_an_hour() {
    let world = World::with(plain).await;
    world.push(3);
    let client = world.client();
    let asked = || {
        let requests = world.sim.requests_to(Endpoint::ListTags);
        requests.iter().filter(|request| request.params["pagination"] == "keyset").count()
    };
    for (minutes, expected) in [(0, 1), (59, 1), (2, 2)] {
        world.sim.advance(jiff::SignedDuration::from_mins(minutes));
        client.tag_names(&world.repository).await.unwrap();
        assert_eq!(asked(), expected);
        assert!(!client.pages_by_keyset());
    }
}

#[tokio::test]
async fn a_server_that_keeps_its_version_back_is_known_to_be_new_by_what_it_can_do() {
    use registry_cleanup_operator::gitlab::Age;
    let forbidden = || Action::Answer { status: 403, headers: vec![], body: "<html>Forbidden</html>".to_owned() };
    let new: [(Change, bool, Option<Age>); 4] = [
        (recent, true, Some(Age::Newer)),
        (recent, false, Some(Age::Newer)),
        (plain, true, Some(Age::Newer)),
        (plain, false, None),
    ];
    for (change, graphql, expected) in new {
        let world = World::with(|settings| {
            change(settings);
            settings.graphql = graphql;
        })
        .await;
        world.push(2);
        world.fault(Endpoint::Version, forbidden());
        let client = world.client();
        let repositories = client.repositories(&shop()).await.unwrap();
        let age = client.age(&repositories).await;
        assert_eq!(age.as_ref().ok(), expected.as_ref(), "{graphql}");
        assert_eq!(
            age.err().map(|error| error.kind().clone()),
            match expected {
                Some(_) => None,
                None => Some(ErrorKind::Page { status: 403 }),
            }
        );
    }
}
