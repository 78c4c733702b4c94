//! What images are made of: the images in an index, and configurations.

use gitlab_simulator::{Endpoint, Push, TagKind, Version};
use jiff::SignedDuration;
use registry_cleanup_operator::model::Digest;

use super::World;

fn digest(number: usize) -> String {
    format!("sha256:{number:064}")
}

/// The operations that were asked for by GraphQL.
fn asked(world: &World) -> Vec<String> {
    let queries = world.sim.requests_to(Endpoint::GraphqlQuery);
    queries.into_iter().filter_map(|query| query.operation).collect()
}

fn push(world: &World, name: &str, kind: TagKind) {
    let children = [digest(1), digest(2)];
    let children = children.each_ref().map(String::as_str);
    let push = Push::default().digest(&format!("sha256:{name}")).kind(kind).children(&children);
    world.sim.edit(|registry| registry.push(world.repository.id, name, push));
}

#[tokio::test]
async fn an_index_is_asked_about_once_by_whatever_the_server_knows() {
    let cases = [(Version::new(18, 10), ["tagDetails"].as_slice()), (Version::new(18, 9), &["tagDetails", "manifest"])];
    for (version, operations) in cases {
        let world = World::new().await;
        world.sim.edit(|registry| registry.settings.version = version);
        push(&world, "list", TagKind::ManifestList);
        let client = world.client();
        let expected = [digest(1), digest(2)].map(Digest::from);
        let list = "sha256:list".into();
        for _ in 0..2 {
            let children = client.index_children(world.repository.id, "list", &list).await.unwrap().unwrap();
            assert_eq!(*children, expected);
        }
        assert_eq!(asked(&world), operations);
        assert!(client.known_children(&list).is_some() && client.known_children(&"sha256:other".into()).is_none());
    }
}

#[tokio::test]
async fn what_a_server_does_not_know_is_asked_for_again_after_an_hour() {
    let world = World::new().await;
    world.sim.edit(|registry| registry.settings.version = Version::new(17, 0));
    push(&world, "index", TagKind::Index);
    let client = world.client();
    let digest = "sha256:index".into();
    let ask = async || client.index_children(world.repository.id, "index", &digest).await.unwrap();
    assert_eq!((ask().await, ask().await), (None, None));
    assert_eq!(asked(&world), ["tagDetails", "manifest"]);
    world.sim.edit(|registry| registry.settings.version = Version::new(18, 10));
    assert_eq!(ask().await, None);
    world.sim.advance(SignedDuration::from_hours(1));
    assert!(ask().await.is_some(), "the server was upgraded");
}

#[tokio::test]
async fn a_tag_that_was_pushed_again_tells_nothing_of_the_index_that_it_was() {
    let world = World::new().await;
    world.sim.edit(|registry| registry.settings.version = Version::new(18, 10));
    push(&world, "index", TagKind::Index);
    let client = world.client();
    for (tag, digest) in [("index", "sha256:before"), ("gone", "sha256:index"), ("..", "sha256:index")] {
        assert_eq!(client.index_children(world.repository.id, tag, &digest.into()).await.unwrap(), None, "{tag}");
    }
}

#[tokio::test]
async fn images_are_paged_with_their_configurations_and_details_have_them_as_well() {
    let world = World::new().await;
    for number in 0..25 {
        world.sim.edit(|registry| registry.push(world.repository.id, &format!("t{number:02}"), Push::default()));
    }
    push(&world, "index", TagKind::Index);
    let client = world.client();
    let (mut images, mut cursor) = (Vec::new(), None);
    loop {
        let page = client.image_page(world.repository.id, cursor.as_deref()).await.unwrap().unwrap();
        images.extend(page.images);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let expected = |registry: &gitlab_simulator::Registry| -> Vec<(Digest, Digest)> {
        let tags = registry.find_repository(world.repository.id).unwrap().tags().values();
        let images = tags.filter(|tag| tag.kind == TagKind::Image);
        images.map(|tag| (tag.digest.as_str().into(), tag.config_digest.as_str().into())).collect()
    };
    assert_eq!(images, world.sim.read(expected));
    let details = client.tag(&world.repository, "t07").await.unwrap().unwrap();
    assert!(images.contains(&(details.digest.unwrap(), details.configuration.unwrap())));
    world.sim.edit(|registry| registry.settings.graphql = false);
    world.sim.advance(SignedDuration::from_hours(1));
    assert_eq!(client.image_page(world.repository.id, None).await.unwrap(), None);
}
