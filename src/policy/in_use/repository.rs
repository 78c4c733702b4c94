//! What is in use of one repository: tags by name, images by digest, and what belongs to them.
//!
//! GitLab's garbage collection takes an image once its last tag is gone. A digest in use therefore keeps every tag that
//! has it, and a tag whose digest is not known stays as long as any digest is in use.
//!
//! What cannot be told from tags alone: a digest in use may be that of one platform's image inside a multi-platform
//! tag, which has a digest of its own. Such digests are [`RepositoryUse::unresolved`], until [`Contents`] tell which
//! tag it is, and so are those of images that lost their tag to a newer push. A node may also report a digest without a
//! repository, which may be that of the image's configuration.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Contents, Unreadable, Users};
use crate::model::Digest;
use crate::policy::attachment;
use crate::policy::image::ImageRef;

/// What is in use of a repository.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RepositoryUse {
    tags: BTreeMap<Box<str>, Users>,
    digests: BTreeMap<Digest, Users>,
    /// Digests that nodes report for images of this repository without naming one: of the image or of its
    /// configuration.
    ids: BTreeMap<Digest, Users>,
    /// Digests that contain one of those in use, as far as [`Contents`] tell: indexes, and images by their
    /// configuration.
    containers: BTreeMap<Digest, Users>,
    /// Digests of tags that are in use by name: they keep what refers to them, not other tags.
    subjects: BTreeMap<Digest, Users>,
    /// Everybody who uses a digest.
    digest_users: Users,
    /// The cluster may know the repository under another name, so that nothing above is certain to be all.
    elsewhere: Option<Elsewhere>,
    /// A text that cannot be read and may mean any image of the repository, the first of all there are.
    unreadable: Option<Box<Unreadable>>,
}

/// Images of the same path under another host, in a cluster that has none of the registry itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Elsewhere {
    /// The names of the registry that would explain them, as `protect.registryAliases` takes them.
    pub aliases: BTreeSet<String>,
    /// One of the images.
    pub image: String,
    /// Who uses it.
    pub users: Users,
}

/// Why a tag counts as in use.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum How {
    /// By its name.
    Name,
    /// By its digest, or by that of something inside of its image.
    Digest,
    /// It is a signature, an attestation or another referrer of an image in use.
    Referrer,
    /// It is not known to be unused: images are used by digest, and its own digest is not known.
    NotKnown,
}

/// A tag's use. Printed as its users: `prod/Deployment/web and 3 more`, or `perhaps prod/Deployment/web`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Use<'a> {
    /// Why it counts as in use.
    pub how: How,
    /// Who uses it.
    pub users: Cow<'a, Users>,
}

impl fmt::Display for Use<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.how == How::NotKnown {
            f.write_str("perhaps ")?;
        }
        self.users.fmt(f)
    }
}

impl RepositoryUse {
    /// Whether nothing of the repository is in use, and that is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && !self.by_digest() && self.elsewhere.is_none() && self.unreadable.is_none()
    }

    /// Whether something of the repository is in use by digest.
    #[must_use]
    pub fn by_digest(&self) -> bool {
        !self.digests.is_empty() || !self.ids.is_empty()
    }

    /// Whether the cluster may know the repository under another name.
    #[must_use]
    pub fn elsewhere(&self) -> Option<&Elsewhere> {
        self.elsewhere.as_ref()
    }

    /// A text that cannot be read and may mean any image of the repository, if there is one.
    #[must_use]
    pub fn unreadable(&self) -> Option<&Unreadable> {
        self.unreadable.as_deref()
    }

    /// Somebody who uses something of it, or may.
    #[must_use]
    pub fn any_users(&self) -> Option<&Users> {
        let by = self.tags.values().chain(self.digests.values()).chain(self.ids.values()).next();
        by.or(self.elsewhere.as_ref().map(|elsewhere| &elsewhere.users))
            .or(self.unreadable.as_ref().map(|unreadable| &unreadable.users))
    }

    /// The tags in use by name, in order, whether or not the repository has them.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &Users)> {
        self.tags.iter().map(|(name, users)| (name.as_ref(), users))
    }

    /// The digests in use, in order.
    pub fn digests(&self) -> impl Iterator<Item = (&Digest, &Users)> {
        self.digests.iter()
    }

    /// The digests that nodes report without a repository, in order.
    pub fn ids(&self) -> impl Iterator<Item = (&Digest, &Users)> {
        self.ids.iter()
    }

    /// Takes note of what images contain: what contains something in use is in use.
    pub fn note_contents(&mut self, contents: &Contents) {
        for (inner, outer) in contents.inside() {
            for users in [self.digests.get(inner), self.ids.get(inner)].into_iter().flatten() {
                self.containers.entry(outer.clone()).or_default().join(users);
            }
        }
    }

    /// Takes note of the digests of those tags that are in use by name, so that their signatures are in use as well.
    /// Tags are given with their digest where it is known; those that are not in use make no difference.
    pub fn note_digests<'t>(&mut self, tags: impl IntoIterator<Item = (&'t str, Option<&'t Digest>)>) {
        for (name, digest) in tags {
            if let (Some(users), Some(digest)) = (self.tags.get(name), digest) {
                self.subjects.entry(digest.clone()).or_default().join(users);
            }
        }
    }

    /// Takes over the digests that were noted before of tags that are in use by name.
    pub fn keep_subjects(&mut self, before: &Self) {
        add_all(&mut self.subjects, &before.subjects);
    }

    /// Who uses a tag, by its name and, where it is known, the digest it points at (`sha256:…`). `None` is: nobody
    /// does.
    #[must_use]
    pub fn users_of_tag(&self, name: &str, digest: Option<&Digest>) -> Option<Use<'_>> {
        let by_name = self.tags.get(name);
        let by_digest = digest.and_then(|digest| self.users_of_digest(digest));
        let (how, users) = match (by_name, by_digest, self.users_of_subject(name)) {
            (Some(users), Some(more), _) => (How::Name, joined(Cow::Borrowed(users), &more)),
            (Some(users), None, _) => (How::Name, Cow::Borrowed(users)),
            (None, Some(users), _) => (How::Digest, users),
            (None, None, Some(users)) => (How::Referrer, Cow::Borrowed(users)),
            (None, None, None) if self.may_be_used(digest) => (How::NotKnown, Cow::Borrowed(&self.digest_users)),
            (None, None, None) => (How::NotKnown, Cow::Borrowed(&self.unreadable()?.users)),
        };
        Some(Use { how, users })
    }

    /// Who uses an image by its digest, or something inside of it.
    fn users_of_digest(&self, digest: &Digest) -> Option<Cow<'_, Users>> {
        let maps = [&self.digests, &self.ids, &self.containers];
        let users = maps.into_iter().filter_map(|map| map.get(digest)).map(Cow::Borrowed);
        users.reduce(|users, more| joined(users, &more))
    }

    /// The digests in use that none of these tags' digests is, in order.
    ///
    /// They belong to images that have no tag any more, or are inside a multi-platform image. The latter can be any tag
    /// that is not known to be a single image.
    #[must_use]
    pub fn unresolved<'k>(&self, known: impl IntoIterator<Item = &'k Digest>) -> Vec<&Digest> {
        let mut unresolved: BTreeSet<&Digest> = self.digests.keys().collect();
        for digest in known {
            unresolved.remove(digest);
        }
        unresolved.into_iter().collect()
    }

    /// The digests that nodes report without a repository and that none of these is, in order.
    #[must_use]
    pub fn unresolved_ids<'k>(&self, known: impl IntoIterator<Item = &'k Digest>) -> Vec<&Digest> {
        let mut unresolved: BTreeSet<&Digest> = self.ids.keys().collect();
        for digest in known {
            unresolved.remove(digest);
        }
        unresolved.into_iter().collect()
    }

    pub(super) fn add(&mut self, reference: ImageRef, users: &Users) {
        let ImageRef { tag, digest, .. } = reference;
        if let Some(digest) = digest {
            self.digest_users.join(users);
            self.digests.entry(digest).or_default().join(users);
        }
        if let Some(tag) = tag {
            self.tags.entry(tag.into()).or_default().join(users);
        }
    }

    /// Somebody uses an image of the repository of which a node reports just this.
    pub(super) fn add_id(&mut self, id: Digest, users: &Users) {
        self.digest_users.join(users);
        self.ids.entry(id).or_default().join(users);
    }

    /// The cluster uses these images of the same path, and may mean this repository.
    pub(super) fn found_elsewhere(&mut self, alias: &str, key: &str, there: &Self) {
        let name = there.tags.keys().next().map(|tag| format!("{key}:{tag}"));
        let image = name.or_else(|| there.digests.keys().next().map(|digest| format!("{key}@{digest}")));
        let Some(users) = there.any_users() else { return };
        let found = || Elsewhere {
            aliases: BTreeSet::new(),
            image: image.unwrap_or_else(|| key.to_owned()),
            users: users.clone(),
        };
        self.elsewhere.get_or_insert_with(found).aliases.insert(alias.to_owned());
    }

    /// Takes note of a text that may mean any image of the repository.
    pub(super) fn may_be_meant_by(&mut self, text: &Unreadable) {
        self.unreadable.get_or_insert_with(|| Box::new(text.clone()));
    }

    pub(super) fn join(&mut self, other: &Self) {
        add_all(&mut self.tags, &other.tags);
        add_all(&mut self.digests, &other.digests);
        add_all(&mut self.ids, &other.ids);
        self.digest_users.join(&other.digest_users);
    }

    /// Whether a tag that has this digest, or an unknown one, cannot be told from the digests in use. Digests of
    /// different algorithms cannot be compared; in the order of the texts, one algorithm stands together.
    fn may_be_used(&self, digest: Option<&Digest>) -> bool {
        let Some(digest) = digest else { return self.by_digest() };
        let mut digests = self.digests.keys();
        let ends = [digests.next(), digests.next_back()];
        ends.into_iter().flatten().any(|used| used.algorithm() != digest.algorithm())
    }

    /// Whether everything that is in use of the other is in use here, by whomever.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        other.tags.keys().all(|name| self.tags.contains_key(name))
            && other.digests.keys().all(|digest| self.digests.contains_key(digest))
            && other.ids.keys().all(|id| self.ids.contains_key(id))
            && (other.elsewhere.is_none() || self.elsewhere.is_some())
            && (other.unreadable.is_none() || self.unreadable.is_some())
    }

    /// Who uses the image that a tag refers to by its name.
    fn users_of_subject(&self, name: &str) -> Option<&Users> {
        let beginning = attachment::subject(name)?.beginning();
        let maps = [&self.digests, &self.containers, &self.subjects];
        maps.into_iter().find_map(|map| first_with(map, &beginning))
    }
}

/// Whether a tag refers to an image by its name: a signature, an attestation or another referrer.
#[must_use]
pub fn names_subject(name: &str) -> bool {
    attachment::subject(name).is_some()
}

fn joined<'a>(users: Cow<'a, Users>, more: &Users) -> Cow<'a, Users> {
    let mut users = users.into_owned();
    users.join(more);
    Cow::Owned(users)
}

fn add_all<K: Clone + Ord>(own: &mut BTreeMap<K, Users>, others: &BTreeMap<K, Users>) {
    for (key, users) in others {
        own.entry(key.clone()).or_default().join(users);
    }
}

fn first_with<'a>(digests: &'a BTreeMap<Digest, Users>, beginning: &str) -> Option<&'a Users> {
    let (digest, users) = digests.range(Digest::new(beginning)..).next()?;
    digest.text().starts_with(beginning).then_some(users)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::policy::in_use::tests::{SHA_1, SHA_2, hex, of_shop_web, some};

    fn told(repository: &RepositoryUse, name: &str, digest: Option<&str>) -> Option<(How, String)> {
        repository.users_of_tag(name, digest.and_then(some)).map(|used| (used.how, used.to_string()))
    }

    #[test]
    fn a_tag_is_in_use_by_its_name_whatever_its_digest_is() {
        let repository = of_shop_web(&[("registry.example.com/shop/web:v1", "prod/Deployment/web")]);
        for digest in [None, Some(SHA_1)] {
            assert_eq!(told(&repository, "v1", digest), Some((How::Name, "prod/Deployment/web".to_owned())));
            assert_eq!(told(&repository, "v2", digest), None);
        }
    }

    #[test]
    fn every_tag_with_a_digest_in_use_is_in_use() {
        let image = format!("registry.example.com/shop/web@{SHA_1}");
        let repository = of_shop_web(&[(&image, "prod/Deployment/web")]);
        for name in ["v1", "v2"] {
            assert_eq!(told(&repository, name, Some(SHA_1)), Some((How::Digest, "prod/Deployment/web".to_owned())));
        }
        assert_eq!(told(&repository, "v3", Some(SHA_2)), None);
        assert_eq!(told(&repository, "latest", Some(SHA_2)), None);
    }

    #[test]
    fn a_tag_and_a_digest_are_both_in_use() {
        let image = format!("registry.example.com/shop/web:v1@{SHA_1}");
        let repository = of_shop_web(&[(&image, "prod/Pod/a"), ("registry.example.com/shop/web:v1", "prod/Pod/b")]);
        assert_eq!(told(&repository, "v1", Some(SHA_2)), Some((How::Name, "prod/Pod/a and 1 more".to_owned())));
        assert_eq!(told(&repository, "v2", Some(SHA_1)), Some((How::Digest, "prod/Pod/a".to_owned())));
    }

    #[test]
    fn a_tag_used_by_name_and_by_digest_tells_all_its_users() {
        let image = format!("registry.example.com/shop/web@{SHA_1}");
        let repository = of_shop_web(&[(&image, "prod/Pod/a"), ("registry.example.com/shop/web:v1", "prod/Pod/b")]);
        assert_eq!(told(&repository, "v1", Some(SHA_1)), Some((How::Name, "prod/Pod/a and 1 more".to_owned())));
    }

    #[test]
    fn a_tag_of_unknown_digest_is_not_known_to_be_unused_while_digests_are_in_use() {
        let image = format!("registry.example.com/shop/web@{SHA_1}");
        let repository = of_shop_web(&[(&image, "prod/Deployment/web")]);
        assert_eq!(told(&repository, "v1", None), Some((How::NotKnown, "perhaps prod/Deployment/web".to_owned())));
    }

    #[rstest]
    #[case::other_algorithm("sha512:aa")]
    #[case::no_digest_at_all("")]
    fn a_digest_that_cannot_be_compared_is_an_unknown_one(#[case] digest: &str) {
        let image = format!("registry.example.com/shop/web@{SHA_1}");
        let repository = of_shop_web(&[(&image, "prod/Deployment/web")]);
        assert_eq!(told(&repository, "v1", Some(digest)).unwrap().0, How::NotKnown);
        assert_eq!(told(&of_shop_web(&[]), "v1", Some(digest)), None);
    }

    #[test]
    fn one_comparable_digest_among_others_is_not_enough() {
        let images = [SHA_1.to_owned(), format!("sha512:{}", hex('b', 128)), format!("blake3:{}", hex('c', 64))]
            .map(|digest| format!("registry.example.com/shop/web@{digest}"));
        let images: Vec<(&str, &str)> = images.iter().map(|image| (image.as_str(), "prod/Pod/a")).collect();
        assert_eq!(told(&of_shop_web(&images[..1]), "v1", Some(SHA_2)), None);
        for two in [&images[..2], &images[1..]] {
            assert_eq!(told(&of_shop_web(two), "v1", Some(SHA_2)).unwrap().0, How::NotKnown);
        }
    }

    #[rstest]
    #[case("sha256-{}", true)]
    #[case("sha256-{}.sig", true)]
    #[case("sha256-{}.att", true)]
    #[case("sha256-{}.sbom", true)]
    #[case("signed-sha256-{}.sig", true)]
    #[case("sha256-{}x.sig", false)]
    #[case("sha256-", false)]
    #[case("sha256-.sig", false)]
    #[case("sha512-{}.sig", false)]
    #[case("sha256{}.sig", false)]
    #[case("{}", false)]
    fn signatures_of_an_image_in_use_are_in_use(#[case] name: &str, #[case] is_used: bool) {
        let image = format!("registry.example.com/shop/web@{SHA_1}");
        let repository = of_shop_web(&[(&image, "prod/Deployment/web")]);
        let found = |hex: &str| told(&repository, &name.replace("{}", hex), Some(SHA_2)).map(|(how, _)| how);
        assert_eq!(found(&hex('1', 64)), is_used.then_some(How::Referrer));
        assert_eq!(found(&hex('0', 64)), None);
        assert_eq!(found(&hex('3', 64)), None);
        assert_eq!(found(&hex('1', 63)), None);
    }

    #[test]
    fn signatures_of_long_digests_may_have_them_cut() {
        let image = format!("registry.example.com/shop/web@sha512:{}", hex('a', 128));
        let repository = of_shop_web(&[(&image, "prod/Deployment/web")]);
        let digest = format!("sha512:{}", hex('9', 128));
        for (digits, expected) in [(64, Some(How::Referrer)), (128, Some(How::Referrer)), (129, None), (32, None)] {
            let name = format!("sha512-{}", hex('a', digits));
            assert_eq!(told(&repository, &name, Some(&digest)).map(|(how, _)| how), expected, "{digits}");
        }
    }

    #[test]
    fn signatures_of_a_tag_used_by_name_are_in_use_once_its_digest_is_noted() {
        let mut repository = of_shop_web(&[("registry.example.com/shop/web:v1", "prod/Deployment/web")]);
        let signature = format!("sha256-{}.sig", hex('1', 64));
        assert_eq!(told(&repository, &signature, Some(SHA_2)), None);
        repository.note_digests([("v0", some(SHA_2)), ("v1", some(SHA_1)), ("v2", None)]);
        assert_eq!(told(&repository, &signature, Some(SHA_2)), Some((How::Referrer, "prod/Deployment/web".to_owned())));
        assert_eq!(told(&repository, &signature.replace('1', "2"), None), None);
        // Another tag of that image may go: the one in use keeps the image.
        assert_eq!(told(&repository, "v2", Some(SHA_1)), None);
        assert!(repository.unresolved([]).is_empty());
    }

    #[test]
    fn an_index_with_an_image_in_use_is_in_use_with_what_is_signed_of_it() {
        let index = |digit: char| format!("sha256:{}", hex(digit, 64));
        let image = format!("registry.example.com/shop/web@{SHA_1}");
        let mut repository = of_shop_web(&[(&image, "prod/Pod/a")]);
        let mut contents = Contents::default();
        contents.note_index(&index('a').into(), [SHA_2, SHA_1].map(Digest::new).into());
        contents.note_index(&index('b').into(), [Digest::new(SHA_2)].into());
        repository.note_contents(&contents);
        let by_digest = Some((How::Digest, "prod/Pod/a".to_owned()));
        assert_eq!(told(&repository, "v1", Some(&index('a'))), by_digest);
        assert_eq!(told(&repository, "v2", Some(&index('b'))), None);
        let signature = format!("sha256-{}.sig", hex('a', 64));
        assert_eq!(told(&repository, &signature, Some(SHA_2)).unwrap().0, How::Referrer);
        assert_eq!(told(&repository, &signature.replace('a', "b"), Some(SHA_2)), None);
    }

    #[test]
    fn digests_that_no_tag_has_are_unresolved() {
        let images = [SHA_1, SHA_2].map(|digest| format!("registry.example.com/shop/web@{digest}"));
        let repository = of_shop_web(&[(&images[1], "prod/Pod/b"), (&images[0], "prod/Pod/a")]);
        let [one, two, other] = [SHA_1, SHA_2, "sha256:other"].map(Digest::new);
        assert_eq!(repository.unresolved([]), [&one, &two]);
        assert_eq!(repository.unresolved([&other, &one, &one]), [&two]);
        assert!(repository.unresolved([&two, &one]).is_empty());
    }

    #[test]
    fn what_is_in_use_is_included_in_the_same_and_more_whoever_uses_it() {
        let digest = format!("registry.example.com/shop/web@{SHA_1}");
        let less = of_shop_web(&[("registry.example.com/shop/web:v1", "prod/Pod/a")]);
        let more = of_shop_web(&[("registry.example.com/shop/web:v1", "prod/Pod/b"), (&digest, "prod/Pod/b")]);
        assert!(less.includes(&less) && more.includes(&less) && !less.includes(&more));
        assert!(!less.includes(&of_shop_web(&[("registry.example.com/shop/web:v2", "prod/Pod/a")])));
        assert!(less.includes(&RepositoryUse::default()));
    }

    #[test]
    fn a_repository_that_nobody_uses_keeps_nothing() {
        let repository = RepositoryUse::default();
        assert!(repository.is_empty());
        assert_eq!(told(&repository, "v1", None), None);
        assert_eq!(repository.tags().count() + repository.digests().count(), 0);
    }
}
