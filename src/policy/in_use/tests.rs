//! Which images belong to a repository, as tables and properties; images that other tests use.

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::model::Digest;

pub(crate) const SHA_1: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
pub(crate) const SHA_2: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

/// What is told of a tag with this digest, for as long as the tests run.
#[expect(clippy::unnecessary_wraps, reason = "as it is told")]
pub(crate) fn some(digest: &str) -> Option<&'static Digest> {
    Some(Box::leak(Box::new(digest.into())))
}

pub(crate) fn hex(digit: char, length: usize) -> String {
    std::iter::repeat_n(digit, length).collect()
}

pub(crate) fn used(image: &str, users: &[&str]) -> UsedImage {
    let users = users.iter().map(|user| Box::from(*user)).collect();
    UsedImage { image: image.into(), users, ..UsedImage::default() }
}

/// What a node reports of an image.
pub(crate) fn reported(image: &str, id: &str) -> UsedImage {
    UsedImage { id: Some(id.into()), ..used(image, &[]) }
}

/// What is in use of `registry.example.com/shop/web`, by images and their users.
pub(crate) fn of_shop_web(images: &[(&str, &str)]) -> RepositoryUse {
    let images = images.iter().map(|(image, user)| used(image, &[user]));
    InUse::new(images, [], ["registry.example.com"], &[]).repository("registry.example.com/shop/web", "shop/web")
}

pub(crate) fn with_aliases(images: &[&str], location: &str, aliases: &[&str]) -> InUse {
    let aliases: Vec<Alias> = aliases.iter().map(|alias| Alias::parse(alias).unwrap()).collect();
    InUse::new(images.iter().map(|image| used(image, &["prod/Pod/a"])), [], [location], &aliases)
}

#[rstest]
#[case::as_it_stands("registry.example.com:5050/shop/web:v1", "registry.example.com:5050/shop/web", &[], true)]
#[case::upper_case_host("Registry.EXAMPLE.com:5050/shop/web:v1", "registry.example.com:5050/shop/web", &[], true)]
#[case::upper_case_location("registry.example.com/shop/web:v1", "Registry.example.com/shop/web", &[], true)]
#[case::other_port("registry.example.com/shop/web:v1", "registry.example.com:5050/shop/web", &[], false)]
#[case::https_port_in_pod("registry.example.com:443/shop/web:v1", "registry.example.com/shop/web", &[], true)]
#[case::https_port_in_location("registry.example.com/shop/web:v1", "registry.example.com:443/shop/web", &[], true)]
#[case::below("registry.example.com/shop/web/cache:v1", "registry.example.com/shop/web", &[], false)]
#[case::above("registry.example.com/shop:v1", "registry.example.com/shop/web", &[], false)]
#[case::no_host("shop/web:v1", "registry.example.com/shop/web", &[], false)]
#[case::no_host_completed("shop/web:v1", "registry.example.com/shop/web", &["docker.io"], true)]
#[case::word("registry/shop/web:v1", "registry/shop/web", &[], false)]
#[case::word_with_port("registry:443/shop/web:v1", "registry/shop/web", &[], true)]
#[case::word_in_upper_case("REGISTRY/shop/web:v1", "registry/shop/web", &[], true)]
#[case::localhost("localhost/shop/web:v1", "localhost/shop/web", &[], true)]
#[case::ipv6("[2001:DB8::1]:443/shop/web:v1", "[2001:db8::1]/shop/web", &[], true)]
#[case::docker_hub("nginx:v1", "docker.io/shop/web", &[], false)]
#[case::mirror(
    "mirror.example.com/gitlab/shop/web:v1",
    "registry.example.com/shop/web",
    &["mirror.example.com/gitlab"],
    true,
)]
#[case::mirror_beside(
    "mirror.example.com/gitlab2/shop/web:v1",
    "registry.example.com/shop/web",
    &["mirror.example.com/gitlab"],
    false,
)]
#[case::mirror_of_others(
    "mirror.example.com/shop/web:v1",
    "registry.example.com/shop/web",
    &["mirror.example.com/gitlab"],
    false,
)]
#[case::second_mirror("b.example/shop/web:v1", "registry.example.com/shop/web", &["a.example", "b.example"], true)]
#[case::proxy(
    "proxy.example.com/registry.example.com/shop/web:v1",
    "registry.example.com:5050/shop/web",
    &["proxy.example.com"],
    true,
)]
#[case::proxy_in_full(
    "proxy.example.com/registry.example.com/shop/web:v1",
    "registry.example.com/shop/web",
    &["proxy.example.com/registry.example.com"],
    true,
)]
#[case::proxy_of_others(
    "proxy.example.com/quay.io/shop/web:v1",
    "registry.example.com/shop/web",
    &["proxy.example.com"],
    false,
)]
fn a_reference_belongs_to_a_repository_by_its_name(
    #[case] image: &str,
    #[case] location: &str,
    #[case] aliases: &[&str],
    #[case] belongs: bool,
) {
    let in_use = with_aliases(&[image], location, aliases);
    let repository = in_use.repository(location, "shop/web");
    let tags: Vec<&str> = repository.tags().map(|(name, _)| name).collect();
    assert_eq!(tags, if belongs { vec!["v1"] } else { vec![] });
    assert_eq!((in_use.unreadable().len(), in_use.ignored()), (0, 0));
}

#[test]
fn names_of_one_repository_are_put_together() {
    let images = [
        "registry.example.com/shop/web:v1",
        "registry.example.com:443/shop/web:v2",
        "mirror.example.com/shop/web:v3",
        "mirror.example.com/registry.example.com/shop/web:v4",
    ];
    let in_use = with_aliases(&images, "registry.example.com", &["mirror.example.com", "mirror.example.com/"]);
    let repository = in_use.repository("registry.example.com/shop/web", "shop/web");
    assert_eq!(repository.tags().map(|(name, _)| name).collect::<Vec<_>>(), ["v1", "v2", "v3", "v4"]);
    assert!(repository.tags().all(|(_, users)| users.total() == 1));
}

#[test]
fn a_path_in_upper_case_is_the_same_path() {
    let images = ["registry.example.com/shop/web:v1", "mirror.example.com/shop/web:v2"];
    let in_use = with_aliases(&images, "registry.example.com", &["mirror.example.com"]);
    assert_eq!(in_use.repository("registry.example.com/Shop/Web", "Shop/Web").tags().count(), 2);
}

#[test]
fn an_id_is_read_as_an_id() {
    let id = |id: &str| UsedImage { id: Some(id.into()), ..used("", &["prod/Pod/a"]) };
    let pulled = format!("docker-pullable://registry.example.com/shop/web@{SHA_1}");
    let in_use = InUse::new([id(&pulled), id(SHA_2), id("")], [], ["registry.example.com"], &[]);
    let repository = in_use.repository("registry.example.com/shop/web", "shop/web");
    assert_eq!(repository.digests().map(|(digest, _)| digest.to_string()).collect::<Vec<_>>(), [SHA_1]);
    assert_eq!((repository.tags().count(), in_use.unreadable().len(), in_use.ignored()), (0, 0, 0));
}

fn digests(in_use: &InUse, path: &str) -> Vec<String> {
    let repository = in_use.repository(&format!("registry.example.com/{path}"), path);
    repository.digests().map(|(digest, _)| digest.to_string()).collect()
}

#[rstest]
#[case::another_repository("registry.example.com/shop/prod:main", "registry.example.com/shop/dev", true)]
#[case::docker("registry.example.com/shop/prod:main", "docker-pullable://registry.example.com/shop/dev", true)]
#[case::by_digest("registry.example.com/shop/prod@sha256:{2}", "registry.example.com/shop/dev", true)]
#[case::alias("mirror.example.com/shop/prod:main", "registry.example.com/shop/dev", true)]
#[case::another_registry("registry.example.com/shop/prod:main", "quay.io/shop/prod", true)]
#[case::image_of_another_registry("quay.io/shop/prod:main", "registry.example.com/shop/dev", false)]
#[case::unreadable_name("registry.example.com/Shop/prod", "registry.example.com/shop/dev", false)]
#[case::no_name("", "registry.example.com/shop/dev", false)]
fn a_digest_counts_for_the_repository_that_the_node_names_and_for_that_of_the_image(
    #[case] image: &str,
    #[case] name: &str,
    #[case] counts: bool,
) {
    let image = image.replace("{2}", &hex('2', 64));
    let aliases = [Alias::parse("mirror.example.com").unwrap()];
    let in_use = InUse::new([reported(&image, &format!("{name}@{SHA_1}"))], [], ["registry.example.com"], &aliases);
    assert_eq!(digests(&in_use, "shop/prod"), if counts { vec![SHA_1] } else { vec![] });
    assert_eq!(digests(&in_use, "shop/dev"), if name.contains("quay.io") { vec![] } else { vec![SHA_1] });
    assert_eq!((in_use.unreadable().len(), in_use.ignored()), (0, 0));
}

#[rstest]
#[case::bare(SHA_1, SHA_1)]
#[case::docker("docker://{1}", SHA_1)]
#[case::hexadecimal("{hex}", SHA_1)]
#[case::nonsense("no image at all", "no image at all")]
fn what_a_node_reports_without_a_repository_counts_for_that_of_the_image(#[case] id: &str, #[case] noted: &str) {
    let id = id.replace("{1}", SHA_1).replace("{hex}", &hex('1', 64));
    let image = reported("registry.example.com/shop/web:v1", &id);
    let in_use = InUse::new([image], [], ["registry.example.com"], &[]);
    let repository = in_use.repository("registry.example.com/shop/web", "shop/web");
    assert_eq!(repository.ids().map(|(id, _)| id.to_string()).collect::<Vec<_>>(), [noted]);
    assert!(repository.by_digest() && !repository.is_empty());
    assert!(in_use.repository("registry.example.com/shop/api", "shop/api").is_empty());
    assert_eq!((in_use.unreadable().len(), in_use.ignored()), (0, 0));
}

#[rstest]
#[case::wrong_address(&["localhost:5000/shop/web:v1"], &[], Some("localhost:5000"))]
#[case::mirror(&["mirror.example.com/gitlab/shop/web:v1"], &[], Some("mirror.example.com/gitlab"))]
#[case::by_digest(&["mirror.example.com/shop/web@sha256:{1}"], &[], Some("mirror.example.com"))]
#[case::short_name(&["shop/web:v1"], &[], Some("docker.io"))]
#[case::proxy(
    &["proxy.example.com/registry.example.com/shop/web"],
    &[],
    Some("proxy.example.com/registry.example.com"),
)]
#[case::several(&["b.example/shop/web:v1", "a.example/shop/web:v1"], &[], Some("a.example, b.example"))]
#[case::another_path(&["localhost:5000/shop/web/cache:v1", "localhost:5000/workshop/web:v1"], &[], None)]
#[case::known_by_its_name(&["localhost:5000/shop/web:v1", "registry.example.com/other/image:v1"], &[], None)]
#[case::known_by_an_alias(
    &["localhost:5000/shop/web:v1", "mirror.example.com/other/image:v1"],
    &["mirror.example.com"],
    None,
)]
#[case::alias(&["localhost:5000/shop/web:v1"], &["localhost:5000"], None)]
fn a_repository_may_be_known_under_another_name_where_nothing_has_the_name_of_the_registry(
    #[case] images: &[&str],
    #[case] aliases: &[&str],
    #[case] proposed: Option<&str>,
) {
    let images: Vec<String> = images.iter().map(|image| image.replace("{1}", &hex('1', 64))).collect();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let location = "registry.example.com/shop/web";
    let in_use = with_aliases(&images, location, aliases);
    let repository = in_use.repository(location, "shop/web");
    let found = repository.elsewhere().map(|found| found.aliases.iter().cloned().collect::<Vec<_>>().join(", "));
    assert_eq!(found.as_deref(), proposed);
    assert_eq!(repository.is_empty(), proposed.is_none() && repository.tags().count() == 0);
    assert_eq!(in_use.unused_hosts().count(), usize::from(proposed.is_some() || images[0].contains("cache")));
    // What is proposed finds the image.
    for alias in repository.elsewhere().into_iter().flat_map(|found| &found.aliases) {
        let explained = with_aliases(&images, location, &[alias]).repository(location, "shop/web");
        assert!(explained.elsewhere().is_none() && !explained.is_empty());
    }
}

#[test]
fn what_others_list_under_the_name_of_the_registry_does_not_show_how_this_cluster_calls_it() {
    let own = [used("localhost:5000/shop/web:v1", &["prod/Pod/a"])];
    let listed = [used("registry.example.com/shop/api:v1", &["prod/Pod/b (west)"])];
    let in_use = InUse::new(own, listed, ["registry.example.com"], &[]);
    let of = |path: &str| in_use.repository(&format!("registry.example.com/{path}"), path);
    assert_eq!(of("shop/web").elsewhere().unwrap().image, "localhost:5000/shop/web:v1");
    assert!(of("shop/api").elsewhere().is_none() && of("shop/api").tags().count() == 1);
    assert_eq!(in_use.unused_hosts().collect::<Vec<_>>(), ["registry.example.com"]);
    let nothing = InUse::new([], [], ["registry.example.com"], &[]);
    assert!(nothing.repository("registry.example.com/shop/web", "shop/web").is_empty());
    assert_eq!(nothing.unused_hosts().count(), 1);
}

/// Some images of a small world, so that many have something in common.
pub(crate) fn some_images() -> impl Strategy<Value = Vec<UsedImage>> {
    let name = "(registry\\.example\\.com:5050|mirror\\.example\\.com(/registry\\.example\\.com)?|quay\\.io)/(shop|team)/[abA]";
    let tag = prop::option::of("v[0-3]");
    let digest = prop::option::of("[12]");
    let users = prop::collection::vec("prod/Pod/[a-c]", 0..3);
    let reported = prop::option::of("sha256:1{64}|registry\\.example\\.com:5050/(shop|team)/[ab](:v[0-3])?");
    let image =
        (name, tag, digest, users, reported, 0_u32..4).prop_map(|(name, tag, digest, users, reported, more)| {
            let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
            let digest = digest.map(|digit| format!("@sha256:{}", digit.repeat(64))).unwrap_or_default();
            let users = users.into_iter().map(String::into_boxed_str).collect();
            let text: Box<str> = format!("{name}{tag}{digest}").into();
            match reported {
                Some(id) if id.starts_with("sha256") => {
                    UsedImage { image: text, id: Some(id.into()), users, more, elsewhere: vec![] }
                }
                Some(image) => UsedImage { image: image.into(), id: Some(text), users, more, elsewhere: vec![] },
                None => UsedImage { image: text, id: None, users, more, elsewhere: vec![] },
            }
        });
    prop::collection::vec(image, 0..12)
}

/// The registry is known there by its own name.
fn world(images: Vec<UsedImage>) -> InUse {
    let aliases = [Alias::parse("mirror.example.com").unwrap()];
    let known = used("registry.example.com:5050/other/image:v1", &[]);
    InUse::new(images.into_iter().chain([known]), [], ["registry.example.com:5050"], &aliases)
}

fn of(in_use: &InUse, path: &str) -> RepositoryUse {
    in_use.repository(&format!("registry.example.com:5050/{path}"), path)
}

const PATHS: [&str; 4] = ["shop/a", "shop/b", "team/a", "team/b"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_reference_protects_its_tag_and_every_tag_with_its_digest(images in some_images(), other in "x[0-9]") {
        let in_use = world(images.clone());
        for image in images {
            let Ok(Meaning::Images(references)) = image.read() else { continue };
            for reference in references {
                let path = reference.path().trim_start_matches("registry.example.com/");
                if reference.host() == "quay.io" {
                    continue;
                }
                let repository = of(&in_use, path);
                for digest in [None, some(SHA_1), some(SHA_2)] {
                    if let Some(tag) = &reference.tag {
                        prop_assert_eq!(repository.users_of_tag(tag, digest).unwrap().how, How::Name);
                    }
                }
                if let Some(digest) = &reference.digest {
                    let found = repository.users_of_tag(&other, Some(digest)).unwrap();
                    prop_assert_eq!(found.how, How::Digest);
                    let named: Vec<&str> = found.users.names().collect();
                    prop_assert!(image.users.iter().all(|user| named.contains(&user.as_ref())));
                    prop_assert!(repository.users_of_tag(&other, None).is_some());
                }
            }
        }
    }

    #[test]
    fn an_image_changes_nothing_for_other_repositories(images in some_images(), at in 0_usize..12) {
        let all = world(images.clone());
        let mut fewer = images;
        if at >= fewer.len() {
            return Ok(());
        }
        let gone = fewer.remove(at);
        let fewer = world(fewer);
        let references = match gone.read() {
            Ok(Meaning::Images(references)) => references,
            Ok(Meaning::Reported(reference, _)) => vec![reference],
            Ok(Meaning::Nothing) => Vec::new(),
            Err(_) => gone.unreadable_id().map(|(reference, _)| reference).into_iter().collect(),
        };
        for path in PATHS {
            let may_mean = gone.is_unreadable() && gone.text().to_lowercase().contains(path);
            let is_its_own = may_mean || references.iter().any(|reference| reference.path().ends_with(path));
            if !is_its_own {
                prop_assert_eq!(of(&all, path), of(&fewer, path));
            }
        }
    }

    #[test]
    fn more_images_never_free_a_tag(images in some_images(), more in some_images(), name in "[vx][0-3]",
        digit in prop::option::of("[1-3]")) {
        let digest = digit.map(|digit| Digest::from(format!("sha256:{}", digit.repeat(64))));
        let before = world(images.clone());
        let after = world(images.into_iter().chain(more).collect());
        for path in PATHS {
            if of(&before, path).users_of_tag(&name, digest.as_ref()).is_some() {
                prop_assert!(of(&after, path).users_of_tag(&name, digest.as_ref()).is_some());
            }
        }
        prop_assert!(after.unreadable().len() >= before.unreadable().len());
    }

    #[test]
    fn the_order_of_the_images_does_not_matter(images in some_images(), turn in 0_usize..12) {
        let mut turned = images.clone();
        turned.reverse();
        if !turned.is_empty() {
            let turn = turn % turned.len();
            turned.rotate_left(turn);
        }
        let (one, other) = (world(images), world(turned));
        for path in PATHS {
            prop_assert_eq!(of(&one, path), of(&other, path));
        }
        prop_assert_eq!(one.unreadable().collect::<Vec<_>>(), other.unreadable().collect::<Vec<_>>());
        prop_assert_eq!(one.ignored(), other.ignored());
    }

    #[test]
    fn a_tag_that_nothing_names_is_free(images in some_images()) {
        let in_use = world(images);
        for path in PATHS {
            let repository = of(&in_use, path);
            let found = repository.users_of_tag("x", some("sha256:3333"));
            prop_assert_eq!(found.is_some(), repository.unreadable().is_some());
        }
    }
}
