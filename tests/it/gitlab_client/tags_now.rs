//! Tags by their names: one request, and only what is said of the name itself counts.

use gitlab_simulator::{Action, Backend, Endpoint, Push, Version};
use registry_cleanup_operator::gitlab::{ErrorKind, TagNow};
use registry_cleanup_operator::model::Digest;

use super::{World, kind};

fn digest(world: &World, tag: &str) -> Option<Digest> {
    world.sim.read(|registry| registry.find_tag(world.repository.id, tag).map(|tag| tag.digest.as_str().into()))
}

#[tokio::test]
async fn tags_are_told_by_their_names_in_one_request_whatever_the_server() {
    for (major, minor) in [(13, 7), (16, 11), (18, 5)] {
        for backend in [Backend::MetadataDatabase, Backend::PlainRegistry] {
            let world = World::with(|settings| {
                (settings.version, settings.backend) = (Version::new(major, minor), backend);
            })
            .await;
            let names = world.push(18);
            let client = world.client();
            client.capabilities(world.repository.id).await.unwrap();
            world.sim.clear_requests();
            let asked: Vec<&str> = names.iter().map(|name| &**name).chain(["t-", "never"]).collect();
            let told = client.tags_now(world.repository.id, &asked).await.unwrap();
            assert_eq!(world.sim.requests().len(), 1);
            for (name, told) in names.iter().zip(&told) {
                let TagNow::There { digest: found, published_at } = told else { panic!("{name}: {told:?}") };
                assert_eq!(*found, digest(&world, name), "{major}.{minor} {backend:?}");
                let pushes = backend == Backend::MetadataDatabase && (major, minor) >= (16, 11);
                assert_eq!(published_at.is_some(), pushes, "{major}.{minor} {backend:?}");
            }
            // Eighteen names contain this one, which is none itself; no name contains the other.
            assert_eq!(told[18..], [TagNow::Crowded, TagNow::Missing]);
        }
    }
}

#[tokio::test]
async fn a_tag_is_told_from_those_whose_names_contain_its_own() {
    let world = World::new().await;
    world.sim.edit(|registry| {
        for name in ["v1", "v1.1", "v1.2", "dev1"] {
            registry.push(world.repository.id, name, Push::default());
        }
    });
    let told = world.client().tags_now(world.repository.id, &["v1", "v1.1"]).await.unwrap();
    for (name, told) in ["v1", "v1.1"].into_iter().zip(told) {
        let TagNow::There { digest: found, .. } = told else { panic!("{name}") };
        assert_eq!(found, digest(&world, name));
    }
}

#[tokio::test]
async fn twenty_tags_are_asked_for_at_once_and_no_more_and_nothing_else() {
    let world = World::new().await;
    let names = world.push(21);
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let client = world.client();
    for refused in [&names[..], &["a", "b/c"]] {
        assert!(matches!(kind(client.tags_now(world.repository.id, refused).await), ErrorKind::NotSent { .. }));
    }
    assert_eq!(client.tags_now(world.repository.id, &[]).await.unwrap(), []);
    assert!(world.sim.requests().is_empty());
    assert_eq!(client.tags_now(world.repository.id, &names[..20]).await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_server_that_cannot_tell_is_an_error() {
    let world = World::new().await;
    world.push(1);
    let client = world.client();
    assert_eq!(kind(client.tags_now(4711, &["t-0"]).await), ErrorKind::NotFound);
    world.sim.edit(|registry| registry.settings.registry_unreachable = true);
    assert_eq!(kind(client.tags_now(world.repository.id, &["t-0"]).await), ErrorKind::Registry);
    world.sim.edit(|registry| registry.settings.registry_unreachable = false);
    let timeout = r#"{"data":{"containerRepository":{"t0":null}},"errors":[{"message":"Timeout on X.tags"}]}"#;
    world.fault(Endpoint::GraphqlQuery, Action::Answer { status: 200, headers: vec![], body: timeout.to_owned() });
    assert_eq!(kind(client.tags_now(world.repository.id, &["t-0"]).await), ErrorKind::Timeout);

    let world = World::with(|settings| settings.graphql = false).await;
    let error = kind(world.client().tags_now(world.repository.id, &["t-0"]).await);
    assert!(matches!(error, ErrorKind::Unsupported { .. }), "{error:?}");
}
