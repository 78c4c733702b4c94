//! What of a registry is in use: from the images that a cluster's objects name to the tags that must stay.
//!
//! [`InUse`] sorts all images by repository once, [`RepositoryUse`] answers for one repository, [`keep`] tells GitLab, and
//! [`list`] is how one cluster tells another. Nothing here knows whether the images that came in are all there are; whoever
//! brings them does.

pub mod keep;
pub mod list;
mod registry;
mod repository;
mod users;

use std::collections::{BTreeMap, HashMap};

use super::image::{ImageRef, RefError};
use crate::api::conditions::shorten;

pub use registry::{Alias, AliasError};
pub use repository::{How, RepositoryUse, Use, names_subject};
pub use users::Users;

use registry::{Registries, host_of, key, without_port};

/// Most unreadable references that are told one by one.
pub const MAX_UNREADABLE: usize = 10;
/// Longest text of an unreadable reference, in bytes.
const MAX_TEXT: usize = 256;

/// An image as an object of the cluster names it, with some of those who use it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UsedImage {
    /// The text, as it stands in the object.
    pub image: Box<str>,
    /// Whether it is the `imageID` of a status, which has forms of its own; otherwise it is the `image` of a specification.
    pub by_id: bool,
    /// Some of its users, `namespace/Kind/name`; a few are enough.
    pub users: Vec<Box<str>>,
    /// How many users there are besides.
    pub more: u32,
}

impl UsedImage {
    fn read(&self) -> Result<Option<ImageRef>, RefError> {
        if self.by_id { ImageRef::parse_id(&self.image) } else { ImageRef::parse(&self.image).map(Some) }
    }
}

/// A reference that cannot be read and may mean an image of the registry: while there is one, it is not known what is in use.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text} (used by {users}): {error}")]
pub struct Unreadable {
    /// The text, shortened and on one line.
    pub text: String,
    /// What is wrong with it.
    pub error: RefError,
    /// Who uses it.
    pub users: Users,
}

/// All images in use, by repository.
#[derive(Clone, Debug, Default)]
pub struct InUse {
    repositories: HashMap<String, RepositoryUse>,
    aliases: Vec<Alias>,
    unreadable: Vec<Unreadable>,
    unreadable_total: usize,
    ignored: usize,
}

impl InUse {
    /// Sorts the images in use. Their order does not matter, and neither does naming one twice.
    ///
    /// `locations` are the repositories in question, or just their hosts (`registry.example.com:5050`): a reference that
    /// cannot be read and has such a host, or that of an alias, is [`Self::unreadable`].
    pub fn new<'l>(
        images: impl IntoIterator<Item = UsedImage>,
        locations: impl IntoIterator<Item = &'l str>,
        aliases: &[Alias],
    ) -> Self {
        let registries = Registries::new(locations, aliases);
        let mut in_use = Self { aliases: aliases.to_vec(), ..Self::default() };
        let mut unreadable: BTreeMap<Box<str>, (RefError, Users)> = BTreeMap::new();
        for image in images {
            match image.read() {
                Ok(None) => {}
                Ok(Some(reference)) => {
                    let repository = in_use.repositories.entry(key(&reference.name)).or_default();
                    repository.add(reference, &Users::new(image.users, image.more));
                }
                Err(error) if registries.may_be_meant_by(&image.image) => {
                    let entry = unreadable.entry(image.image).or_insert_with(|| (error, Users::default()));
                    entry.0 = entry.0.min(error);
                    entry.1.join(&Users::new(image.users, image.more));
                }
                Err(_) => in_use.ignored += 1,
            }
        }
        in_use.unreadable_total = unreadable.len();
        in_use.unreadable = unreadable.into_iter().take(MAX_UNREADABLE).map(tell).collect();
        in_use
    }

    /// What is in use of a GitLab repository, by its `location` (`registry.example.com:5050/shop/backend/api`) and its `path`
    /// (`shop/backend/api`).
    ///
    /// A reference belongs to the repository when it names the location, or an alias followed by the path, or an alias
    /// followed by the registry's host and the path, as pull-through proxies are used. Port 443 is no port at all.
    #[must_use]
    pub fn repository(&self, location: &str, path: &str) -> RepositoryUse {
        let path = path.to_ascii_lowercase();
        let host = host_of(location);
        let mut found = RepositoryUse::default();
        let mut join = |name: &str| {
            if let Some(repository) = self.repositories.get(name) {
                found.join(repository);
            }
        };
        join(&key(location));
        for alias in &self.aliases {
            join(&alias.of(&path));
            join(&alias.of(&format!("{}/{path}", without_port(&host))));
        }
        found
    }

    /// References that cannot be read and may mean an image of the registry, the first few of [`Self::unreadable_total`]. As
    /// long as there is one, nothing may be removed.
    #[must_use]
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// How many different references of that kind there are.
    #[must_use]
    pub fn unreadable_total(&self) -> usize {
        self.unreadable_total
    }

    /// How many references cannot be read and mean no image of the registry, whatever else they mean.
    #[must_use]
    pub fn ignored(&self) -> usize {
        self.ignored
    }
}

fn tell((text, (error, users)): (Box<str>, (RefError, Users))) -> Unreadable {
    Unreadable { text: shorten(&text.replace(char::is_control, " "), MAX_TEXT), error, users }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    pub(crate) const SHA_1: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    pub(crate) const SHA_2: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

    pub(crate) fn hex(digit: char, length: usize) -> String {
        std::iter::repeat_n(digit, length).collect()
    }

    pub(crate) fn used(image: &str, users: &[&str]) -> UsedImage {
        let users = users.iter().map(|user| Box::from(*user)).collect();
        UsedImage { image: image.into(), by_id: false, users, more: 0 }
    }

    /// What is in use of `registry.example.com/shop/web`, by images and their users.
    pub(crate) fn of_shop_web(images: &[(&str, &str)]) -> RepositoryUse {
        let images = images.iter().map(|(image, user)| used(image, &[user]));
        InUse::new(images, ["registry.example.com"], &[]).repository("registry.example.com/shop/web", "shop/web")
    }

    fn with_aliases(images: &[&str], location: &str, aliases: &[&str]) -> InUse {
        let aliases: Vec<Alias> = aliases.iter().map(|alias| Alias::parse(alias).unwrap()).collect();
        InUse::new(images.iter().map(|image| used(image, &["prod/Pod/a"])), [location], &aliases)
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
    #[case::mirror("mirror.example.com/gitlab/shop/web:v1", "registry.example.com/shop/web", &["mirror.example.com/gitlab"], true)]
    #[case::mirror_beside("mirror.example.com/gitlab2/shop/web:v1", "registry.example.com/shop/web", &["mirror.example.com/gitlab"], false)]
    #[case::mirror_of_others("mirror.example.com/shop/web:v1", "registry.example.com/shop/web", &["mirror.example.com/gitlab"], false)]
    #[case::second_mirror("b.example/shop/web:v1", "registry.example.com/shop/web", &["a.example", "b.example"], true)]
    #[case::proxy("proxy.example.com/registry.example.com/shop/web:v1", "registry.example.com:5050/shop/web", &["proxy.example.com"], true)]
    #[case::proxy_in_full("proxy.example.com/registry.example.com/shop/web:v1", "registry.example.com/shop/web", &["proxy.example.com/registry.example.com"], true)]
    #[case::proxy_of_others("proxy.example.com/quay.io/shop/web:v1", "registry.example.com/shop/web", &["proxy.example.com"], false)]
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
        let id = |image: &str| UsedImage { by_id: true, ..used(image, &["prod/Pod/a"]) };
        let pulled = format!("docker-pullable://registry.example.com/shop/web@{SHA_1}");
        let in_use = InUse::new([id(&pulled), id(SHA_2), id("")], ["registry.example.com"], &[]);
        let repository = in_use.repository("registry.example.com/shop/web", "shop/web");
        assert_eq!(repository.digests().map(|(digest, _)| digest).collect::<Vec<_>>(), [SHA_1]);
        assert_eq!((repository.tags().count(), in_use.unreadable().len(), in_use.ignored()), (0, 0, 0));
    }

    #[test]
    fn what_cannot_be_read_but_may_be_meant_is_told_with_its_users() {
        let images = [
            used("registry.example.com/Shop/web:v1", &["prod/Deployment/web"]),
            used("registry.example.com/Shop/web:v1", &["prod/CronJob/report"]),
            used("mirror.example.com/$(APP)", &["prod/Pod/a"]),
            used("quay.io/Shop/web", &["prod/Pod/b"]),
            used("", &["prod/Pod/c"]),
        ];
        let aliases = [Alias::parse("mirror.example.com").unwrap()];
        let in_use = InUse::new(images, ["registry.example.com:5050/shop/web"], &aliases);
        let told: Vec<String> = in_use.unreadable().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "mirror.example.com/$(APP) (used by prod/Pod/a): the path has upper-case letters",
                "registry.example.com/Shop/web:v1 (used by prod/CronJob/report and 1 more): the path has upper-case letters",
            ]
        );
        assert_eq!((in_use.unreadable_total(), in_use.ignored()), (2, 2));
    }

    #[test]
    fn a_text_that_is_wrong_in_two_ways_is_told_the_same_in_any_order() {
        let image = used("https://registry.example.com/Shop", &[]);
        let id = UsedImage { by_id: true, ..image.clone() };
        for images in [[image.clone(), id.clone()], [id, image]] {
            let in_use = InUse::new(images, ["registry.example.com"], &[]);
            assert_eq!(in_use.unreadable()[0].error, RefError::Host);
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_on_few_short_lines() {
        let images = (0..50).map(|n| used(&format!("registry.example.com/{n:02}\n{}", "X".repeat(1000)), &[]));
        let in_use = InUse::new(images, ["registry.example.com"], &[]);
        assert_eq!((in_use.unreadable().len(), in_use.unreadable_total()), (MAX_UNREADABLE, 50));
        for (n, unreadable) in in_use.unreadable().iter().enumerate() {
            assert!(unreadable.text.starts_with(&format!("registry.example.com/{n:02} X")), "{}", unreadable.text);
            assert!(unreadable.text.len() <= MAX_TEXT);
        }
    }

    /// Some images of a small world, so that many have something in common.
    pub(crate) fn some_images() -> impl Strategy<Value = Vec<UsedImage>> {
        let name = "(registry\\.example\\.com:5050|mirror\\.example\\.com(/registry\\.example\\.com)?|quay\\.io)/(shop|team)/[abA]";
        let tag = prop::option::of("v[0-3]");
        let digest = prop::option::of("[12]");
        let users = prop::collection::vec("prod/Pod/[a-c]", 0..3);
        let image =
            (name, tag, digest, users, any::<bool>(), 0_u32..4).prop_map(|(name, tag, digest, users, by_id, more)| {
                let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
                let digest = digest.map(|digit| format!("@sha256:{}", digit.repeat(64))).unwrap_or_default();
                let users = users.into_iter().map(String::into_boxed_str).collect();
                UsedImage { image: format!("{name}{tag}{digest}").into(), by_id, users, more }
            });
        prop::collection::vec(image, 0..12)
    }

    fn world(images: Vec<UsedImage>) -> InUse {
        let aliases = [Alias::parse("mirror.example.com").unwrap()];
        InUse::new(images, ["registry.example.com:5050"], &aliases)
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
                let Ok(Some(reference)) = image.read() else { continue };
                let path = reference.path().trim_start_matches("registry.example.com/");
                if reference.host() == "quay.io" {
                    continue;
                }
                let repository = of(&in_use, path);
                for digest in [None, Some(SHA_1), Some(SHA_2)] {
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

        #[test]
        fn an_image_changes_nothing_for_other_repositories(images in some_images(), at in 0_usize..12) {
            let all = world(images.clone());
            let mut fewer = images;
            if at >= fewer.len() {
                return Ok(());
            }
            let gone = fewer.remove(at);
            let fewer = world(fewer);
            let reference = gone.read().ok().flatten();
            for path in PATHS {
                let is_its_own = reference.as_ref().is_some_and(|reference| reference.path().ends_with(path));
                if !is_its_own {
                    prop_assert_eq!(of(&all, path), of(&fewer, path));
                }
            }
        }

        #[test]
        fn more_images_never_free_a_tag(images in some_images(), more in some_images(), name in "[vx][0-3]", digit in prop::option::of("[1-3]")) {
            let digest = digit.map(|digit| format!("sha256:{}", digit.repeat(64)));
            let before = world(images.clone());
            let after = world(images.into_iter().chain(more).collect());
            for path in PATHS {
                if of(&before, path).users_of_tag(&name, digest.as_deref()).is_some() {
                    prop_assert!(of(&after, path).users_of_tag(&name, digest.as_deref()).is_some());
                }
            }
            prop_assert!(after.unreadable_total() >= before.unreadable_total());
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
            prop_assert_eq!(one.unreadable(), other.unreadable());
            prop_assert_eq!(one.ignored(), other.ignored());
        }

        #[test]
        fn a_tag_that_nothing_names_is_free(images in some_images()) {
            let in_use = world(images);
            for path in PATHS {
                prop_assert!(of(&in_use, path).users_of_tag("x", Some("sha256:3333")).is_none());
            }
        }
    }
}
