//! Neither the token nor anything GitLab wrote gets into texts that people read.

use std::sync::Arc;
use std::time::Duration;

use gitlab_simulator::{Action, Fault, Matcher};
use registry_cleanup_operator::gitlab::{AlwaysOpen, Connection, ErrorKind, Proxy, Setting, TagOrder};

use super::{World, bulk::everything, connection, project, shop};

const MARKER: &str = "glpat-MARKER-0123456789";

/// Every way a server or a network can fail, each of them shouting the token.
fn shouting() -> Vec<Action> {
    let headers = || {
        ["location", "www-authenticate", "retry-after", "link", "x-next-page"]
            .map(|name| (name.to_owned(), format!("http://{MARKER}.example/{MARKER}")))
            .to_vec()
    };
    let body =
        format!(r#"{{"message":"{MARKER}","error":"{MARKER}","error_description":"{MARKER}","version":"{MARKER}"}}"#);
    let statuses =
        [200, 202, 301, 302, 303, 304, 308, 400, 401, 403, 404, 405, 407, 408, 409, 422, 429, 500, 502, 503, 504];
    let answers = statuses.map(|status| Action::Answer { status, headers: headers(), body: body.clone() });
    let list =
        format!(r#"[{{"id":1,"name":"{MARKER} x","path":"{MARKER}","location":"{MARKER}","created_at":"{MARKER}"}}]"#);
    let errors = format!(
        r#"{{"data":{{"{MARKER}":null}},"errors":[{{"message":"{MARKER}","extensions":{{"code":"{MARKER}"}}}}]}}"#
    );
    let gone = format!(r#"{{"data":{{"destroyContainerRepositoryTags":{{"deletedTagNames":["{MARKER} x"]}}}}}}"#);
    let lists = [list, errors, gone, format!("[\"{MARKER}\"]"), MARKER.to_owned()].map(|body| Action::Answer {
        status: 200,
        headers: headers(),
        body,
    });
    let rest =
        [Action::DropConnection, Action::InvalidJson, Action::Redirect { location: format!("https://{MARKER}/") }];
    answers.into_iter().chain(lists).chain(rest).collect()
}

#[tokio::test]
async fn no_error_shows_the_token_or_the_answer() {
    let mut seen = 0;
    for action in shouting() {
        let world = World::new().await;
        world.sim.fault(Fault::new(Matcher::any(), action.clone()));
        let connection = Connection { timeout: Duration::from_secs(5), ..connection(world.sim.url(), MARKER) };
        let client = world.gitlab.connect(&connection, Arc::new(AlwaysOpen)).unwrap();
        let errors = [
            client.version().await.err(),
            client.token_self().await.err(),
            client.check(&shop()).await.err(),
            client.repositories(&project(MARKER)).await.err(),
            client.repository_tags_count(1).await.err(),
            client.tag_names(&world.repository).await.err(),
            client.tag(&world.repository, MARKER).await.err(),
            client.bulk_delete(&world.repository, &everything()).await.err(),
            client.capabilities(1).await.err(),
            client.tag_page(1, TagOrder::Name, Some(MARKER)).await.err(),
            client.delete_tags(1, &[MARKER]).await.err(),
            client.delete_tag(&world.repository, MARKER).await.err(),
            client.repository_contents(1).await.err(),
            client.delete_repository(&world.repository).await.err(),
            client.cleanup_policy_enabled(&world.repository.project).await.err(),
        ];
        for error in errors.into_iter().flatten() {
            let shown = format!("{error} {error:?} {error:#?}");
            assert!(!shown.contains("MARKER"), "{action:?}: {shown}");
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_is_refused_without_showing_it() {
    let world = World::new().await;
    for token in [format!("{MARKER}\n"), format!("{MARKER}\0"), String::new()] {
        let refused = world.gitlab.connect(&connection(world.sim.url(), &token), Arc::new(AlwaysOpen)).unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Configuration(Setting::Token));
        assert!(!format!("{refused} {refused:?}").contains("MARKER"));
    }
    assert!(world.sim.requests().is_empty());
}

#[tokio::test]
async fn no_debug_form_shows_a_secret() {
    let world = World::new().await;
    let connection = Connection {
        proxy: Some(Proxy {
            address: format!("http://user:{MARKER}@proxy.example:3128").parse().unwrap(),
            username: Some("user".to_owned()),
            password: Some(MARKER.into()),
        }),
        ..connection("https://gitlab.example.com", MARKER)
    };
    let client = world.gitlab.connect(&connection, Arc::new(AlwaysOpen)).unwrap();
    let shown = format!("{connection:?} {client:?} {:?}", world.gitlab);
    assert!(!shown.contains("MARKER"), "{shown}");
}
