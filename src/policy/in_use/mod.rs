//! What of a registry is in use: from the images that a cluster's objects name to the tags that must stay.
//!
//! [`InUse`] sorts all images by repository once, [`RepositoryUse`] answers for one repository, [`keep_regex`] tells
//! GitLab, and [`list`] is how one cluster tells another. Nothing here knows whether the images that came in are all
//! there are; whoever brings them does.

mod contents;
pub mod keep_regex;
pub mod list;
mod registry;
mod repository;
mod used;
mod users;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::image::{ImageRef, RefError};
use crate::api::conditions::shorten;

pub use contents::{Children, Contents};
pub use registry::{Alias, AliasError};
pub use repository::{Elsewhere, How, RepositoryUse, Use, names_subject};
pub use used::UsedImage;
pub use users::Users;

use registry::{Registries, host_of, key, without_port};
use used::{MAX_TEXT, Meaning};

/// Most unreadable references that are told one by one.
pub const MAX_UNREADABLE: usize = 10;

/// A reference that cannot be read and may mean an image of the registry: while there is one, it is not known what is
/// in use.
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
    repositories: HashMap<String, Sorted>,
    aliases: Vec<Alias>,
    /// The registries in question, by host, of which this cluster uses images.
    used_hosts: BTreeSet<String>,
    /// Those of which it uses none.
    unused_hosts: BTreeSet<String>,
    unreadable: Vec<Unreadable>,
    unreadable_total: usize,
    ignored: usize,
}

/// What is in use under one name.
#[derive(Clone, Debug, Default)]
struct Sorted {
    of: RepositoryUse,
    /// Whether this cluster uses some of it, not only another one that lists what it uses.
    here: bool,
}

impl InUse {
    /// Sorts the images in use. Their order does not matter, and neither does naming one twice.
    ///
    /// `images` are those of this cluster, `listed` those that others list under the registry's own name. `locations`
    /// are the repositories in question, or just their hosts (`registry.example.com:5050`): a reference that cannot be
    /// read and has such a host, or that of an alias, is [`Self::unreadable`].
    pub fn new<'l>(
        images: impl IntoIterator<Item = UsedImage>,
        listed: impl IntoIterator<Item = UsedImage>,
        locations: impl IntoIterator<Item = &'l str>,
        aliases: &[Alias],
    ) -> Self {
        let registries = Registries::new(locations, aliases);
        let mut in_use = Self { aliases: aliases.to_vec(), ..Self::default() };
        let mut unreadable: BTreeMap<Box<str>, (RefError, Users)> = BTreeMap::new();
        let images = images.into_iter().map(|image| (image, true));
        for (image, here) in images.chain(listed.into_iter().map(|image| (image, false))) {
            let error = match image.read() {
                Ok(meaning) => {
                    in_use.take(meaning, &Users::new(image.users, image.more), here, &registries);
                    continue;
                }
                Err(error) => error,
            };
            if registries.may_be_meant_by(image.text()) {
                let users = Users::new(image.users.iter().cloned(), image.more);
                let entry = unreadable.entry(image.text().into()).or_insert_with(|| (error, Users::default()));
                entry.0 = entry.0.min(error);
                entry.1.join(&users);
            } else if let Some((own, id)) = image.unreadable_id() {
                in_use.take(Meaning::Reported(own, id), &Users::new(image.users, image.more), here, &registries);
            } else {
                in_use.ignored += 1;
            }
        }
        in_use.unused_hosts = registries.hosts().filter(|host| !in_use.used_hosts.contains(*host)).cloned().collect();
        in_use.unreadable_total = unreadable.len();
        in_use.unreadable = unreadable.into_iter().take(MAX_UNREADABLE).map(tell).collect();
        in_use
    }

    fn take(&mut self, meaning: Meaning, users: &Users, here: bool, registries: &Registries<'_>) {
        match meaning {
            Meaning::Nothing => {}
            Meaning::Reported(image, id) => self.named(&image, here, registries).add_id(&id, users),
            Meaning::Images(images) => {
                for image in images {
                    self.named(&image, here, registries).add(image, users);
                }
            }
        }
    }

    fn named(&mut self, image: &ImageRef, here: bool, registries: &Registries<'_>) -> &mut RepositoryUse {
        if here {
            self.used_hosts.extend(registries.of(image));
        }
        let sorted = self.repositories.entry(key(&image.name)).or_default();
        sorted.here |= here;
        &mut sorted.of
    }

    /// The registries in question, by host, of which this cluster uses no image under a name that is known. Either
    /// nothing of them runs here, or the cluster pulls from them under another name.
    pub fn unused_hosts(&self) -> impl Iterator<Item = &str> {
        self.unused_hosts.iter().map(String::as_str)
    }

    /// What is in use of a GitLab repository, by its `location` (`registry.example.com:5050/shop/backend/api`) and its
    /// `path` (`shop/backend/api`).
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
                found.join(&repository.of);
            }
        };
        join(&key(location));
        for alias in &self.aliases {
            join(&alias.of(&path));
            join(&alias.of(&format!("{}/{path}", without_port(&host))));
        }
        if self.unused_hosts.contains(&host) {
            self.look_elsewhere(&path, &mut found);
        }
        found
    }

    /// Looks for images of this cluster that have the path under another host, or below a path there.
    fn look_elsewhere(&self, path: &str, found: &mut RepositoryUse) {
        let here = self.repositories.iter().filter(|(_, sorted)| sorted.here);
        let same_path = |(key, sorted): (&'_ String, &'_ Sorted)| {
            let alias = key.strip_suffix(path)?.strip_suffix('/')?;
            Some((alias.to_owned(), key.clone(), sorted.of.clone()))
        };
        let mut elsewhere: Vec<_> = here.filter_map(same_path).collect();
        elsewhere.sort_unstable_by(|(one, ..), (other, ..)| one.cmp(other));
        for (alias, key, there) in elsewhere {
            found.found_elsewhere(&alias, &key, &there);
        }
    }

    /// References that cannot be read and may mean an image of the registry, the first few of
    /// [`Self::unreadable_total`]. As long as there is one, nothing may be removed.
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

/// What to say of registries of which the cluster uses no image, if there is one.
#[must_use]
pub fn unused_sentence(registries: &[String]) -> Option<String> {
    (!registries.is_empty()).then(|| {
        format!(
            "the cluster uses no image of {}, as far as names tell; if it pulls from there under another name, add that to \
             protect.registryAliases",
            registries.join(", ")
        )
    })
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
        UsedImage { image: image.into(), id: None, users, more: 0 }
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

    fn with_aliases(images: &[&str], location: &str, aliases: &[&str]) -> InUse {
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
        let id = |id: &str| UsedImage { id: Some(id.into()), ..used("", &["prod/Pod/a"]) };
        let pulled = format!("docker-pullable://registry.example.com/shop/web@{SHA_1}");
        let in_use = InUse::new([id(&pulled), id(SHA_2), id("")], [], ["registry.example.com"], &[]);
        let repository = in_use.repository("registry.example.com/shop/web", "shop/web");
        assert_eq!(repository.digests().map(|(digest, _)| digest).collect::<Vec<_>>(), [SHA_1]);
        assert_eq!((repository.tags().count(), in_use.unreadable().len(), in_use.ignored()), (0, 0, 0));
    }

    fn digests(in_use: &InUse, path: &str) -> Vec<String> {
        let repository = in_use.repository(&format!("registry.example.com/{path}"), path);
        repository.digests().map(|(digest, _)| digest.to_owned()).collect()
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
        assert_eq!(repository.ids().map(|(id, _)| id).collect::<Vec<_>>(), [noted]);
        assert!(repository.by_digest() && !repository.is_empty());
        assert!(in_use.repository("registry.example.com/shop/api", "shop/api").is_empty());
        assert_eq!((in_use.unreadable().len(), in_use.ignored()), (0, 0));
    }

    #[rstest]
    #[case::wrong_address(&["localhost:5000/shop/web:v1"], &[], Some("localhost:5000"))]
    #[case::mirror(&["mirror.example.com/gitlab/shop/web:v1"], &[], Some("mirror.example.com/gitlab"))]
    #[case::by_digest(&["mirror.example.com/shop/web@sha256:{1}"], &[], Some("mirror.example.com"))]
    #[case::short_name(&["shop/web:v1"], &[], Some("docker.io"))]
    #[case::proxy(&["proxy.example.com/registry.example.com/shop/web"], &[], Some("proxy.example.com/registry.example.com"))]
    #[case::several(&["b.example/shop/web:v1", "a.example/shop/web:v1"], &[], Some("a.example, b.example"))]
    #[case::another_path(&["localhost:5000/shop/web/cache:v1", "localhost:5000/workshop/web:v1"], &[], None)]
    #[case::known_by_its_name(&["localhost:5000/shop/web:v1", "registry.example.com/other/image:v1"], &[], None)]
    #[case::known_by_an_alias(&["localhost:5000/shop/web:v1", "mirror.example.com/other/image:v1"], &["mirror.example.com"], None)]
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
        let in_use = InUse::new(images, [], ["registry.example.com:5050/shop/web"], &aliases);
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
        let id = UsedImage { id: Some(image.image.clone()), ..used("", &[]) };
        for images in [[image.clone(), id.clone()], [id, image]] {
            let in_use = InUse::new(images, [], ["registry.example.com"], &[]);
            assert_eq!(in_use.unreadable()[0].error, RefError::Host);
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_on_few_short_lines() {
        let images = (0..50).map(|n| used(&format!("registry.example.com/{n:02}\n{}", "X".repeat(1000)), &[]));
        let in_use = InUse::new(images, [], ["registry.example.com"], &[]);
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
        let reported = prop::option::of("sha256:1{64}|registry\\.example\\.com:5050/(shop|team)/[ab](:v[0-3])?");
        let image =
            (name, tag, digest, users, reported, 0_u32..4).prop_map(|(name, tag, digest, users, reported, more)| {
                let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
                let digest = digest.map(|digit| format!("@sha256:{}", digit.repeat(64))).unwrap_or_default();
                let users = users.into_iter().map(String::into_boxed_str).collect();
                let text: Box<str> = format!("{name}{tag}{digest}").into();
                match reported {
                    Some(id) if id.starts_with("sha256") => UsedImage { image: text, id: Some(id.into()), users, more },
                    Some(image) => UsedImage { image: image.into(), id: Some(text), users, more },
                    None => UsedImage { image: text, id: None, users, more },
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
                let is_its_own = references.iter().any(|reference| reference.path().ends_with(path));
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
