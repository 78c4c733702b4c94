//! What the users of a repository's images keep from being removed, as a plan asks it tag by tag.
//!
//! A digest in use that none of the repository's tags has may belong to an image inside of a multi-platform tag, whose
//! own digest is another one. As long as there is such a digest, only tags are known to be unused that are one image,
//! or an index of which the contents are known. In the same way, a signature may be that of a tag in use whose digest
//! is not known. What a node reports without a repository, and nothing is known to have, may be any tag; and so may
//! everything where the cluster seems to know the repository under another name, or where a text that cannot be read
//! may mean it.

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::Digest;

use super::in_use::{Contents, Elsewhere, How, RepositoryUse, Unreadable, Use, names_subject};

/// Most tags in use that a message names.
const MAX_NAMED: usize = 3;

/// What is in use of a repository, held against what is known of its tags.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Claims {
    of: RepositoryUse,
    /// What is known of the contents of tags.
    contents: Arc<Contents>,
    /// A digest in use that is not that of a tag, nor inside of one as far as is known, if there is one.
    unresolved: Option<Digest>,
    /// The same of those that nodes report without a repository.
    unresolved_id: Option<Digest>,
    /// The digest of some tag in use is not known.
    undigested: bool,
}

impl Claims {
    /// Holds what is in use against the tags that are known, each with its digest if that is known. `undigested` says
    /// that there may be tags in use beside them, or without a digest among them.
    #[must_use]
    pub fn new<'t>(
        of: RepositoryUse,
        tags: impl IntoIterator<Item = (&'t str, Option<&'t Digest>)> + Clone,
        undigested: bool,
    ) -> Self {
        Self::with(of, tags, Contents::default(), undigested)
    }

    /// The same, where something is known of the contents of these tags.
    #[must_use]
    pub fn with<'t>(
        mut of: RepositoryUse,
        tags: impl IntoIterator<Item = (&'t str, Option<&'t Digest>)> + Clone,
        contents: Contents,
        undigested: bool,
    ) -> Self {
        of.note_digests(tags.clone());
        of.note_contents(&contents);
        let (unresolved, unresolved_id) = {
            let tags = tags.into_iter().filter(|_| of.by_digest());
            let known: HashSet<&Digest> = tags.filter_map(|(_, digest)| digest).chain(contents.digests()).collect();
            let known = || known.iter().copied();
            (first(&of.unresolved(known())), first(&of.unresolved_ids(known())))
        };
        Self { of, contents: Arc::new(contents), unresolved, unresolved_id, undigested }
    }

    /// The same tags, held against what is in use now.
    #[must_use]
    pub fn again(&self, mut now: RepositoryUse) -> Self {
        let tags: HashSet<&str> = self.of.tags().map(|(name, _)| name).collect();
        let known = || self.contents.digests();
        let digests = self.of.digests().map(|(digest, _)| digest).chain(known());
        let unresolved = self.unresolved.clone().or_else(|| first(&now.unresolved(digests)));
        let ids = self.of.ids().map(|(id, _)| id).chain(known());
        let unresolved_id = self.unresolved_id.clone().or_else(|| first(&now.unresolved_ids(ids)));
        let undigested = self.undigested || now.tags().any(|(name, _)| !tags.contains(name));
        now.keep_subjects(&self.of);
        now.note_contents(&self.contents);
        Self { of: now, contents: Arc::clone(&self.contents), unresolved, unresolved_id, undigested }
    }

    /// What is in use.
    #[must_use]
    pub fn of(&self) -> &RepositoryUse {
        &self.of
    }

    /// Who certainly uses a tag.
    #[must_use]
    pub fn certain(&self, name: &str, digest: Option<&Digest>) -> Option<Use<'_>> {
        self.of.users_of_tag(name, digest).filter(|found| found.how != How::NotKnown)
    }

    /// Who certainly uses some of these tags, the first few: `v1.2 by prod/Deployment/web`. `None` where nobody does.
    #[must_use]
    pub fn users_message<'t>(&self, tags: impl IntoIterator<Item = (&'t str, Option<&'t Digest>)>) -> Option<String> {
        let certain = |(name, digest)| self.certain(name, digest).map(|users| format!("{name} by {users}"));
        let used: Vec<String> = tags.into_iter().filter_map(certain).collect();
        let more = used.len().saturating_sub(MAX_NAMED);
        let named = used.get(..used.len().min(MAX_NAMED)).unwrap_or_default().join(", ");
        match (used.is_empty(), more) {
            (true, _) => None,
            (false, 0) => Some(named),
            (false, more) => Some(format!("{named} and {more} more")),
        }
    }

    /// Whether it is not known that nobody uses a tag. `single_image` says that it is known to be one image, not
    /// several.
    #[must_use]
    pub fn possible(&self, name: &str, digest: Option<&Digest>, single_image: bool) -> bool {
        let contains_no_other = single_image || digest.is_some_and(|digest| self.contents.knows_index(digest));
        let found = self.of.users_of_tag(name, digest);
        found.is_some_and(|found| found.how == How::NotKnown)
            || (self.unresolved.is_some() && !contains_no_other)
            || (self.undigested && names_subject(name))
            || self.all_possible()
    }

    /// Whether [`Self::possible`] holds of every tag.
    #[must_use]
    pub fn all_possible(&self) -> bool {
        self.unresolved_id.is_some() || self.of.elsewhere().is_some() || self.of.unreadable().is_some()
    }

    /// Why [`Self::possible`] holds of some tags, with who uses what.
    #[must_use]
    pub fn doubt(&self) -> String {
        if let Some(unreadable) = self.of.unreadable() {
            return told_of_text(unreadable);
        }
        if let Some(elsewhere) = self.of.elsewhere() {
            return told_of(elsewhere);
        }
        if let Some(id) = &self.unresolved_id {
            let users = self.of.ids().find(|(used, _)| *used == id).map(|(_, users)| users.clone());
            let users = users.unwrap_or_default();
            return format!(
                "a node reports {id} for {users}, without a repository, and no tag is known to have it as digest or \
                 configuration"
            );
        }
        let users =
            |digest: &Digest| self.of.digests().find(|(used, _)| *used == digest).map(|(_, users)| users.clone());
        match (&self.unresolved, self.of.digests().chain(self.of.ids()).next()) {
            (Some(digest), _) => {
                let users = users(digest).unwrap_or_default();
                format!("{digest} is in use by {users}, and no tag has this digest")
            }
            (None, Some((digest, users))) => {
                format!("{digest} is in use by {users}, and the digests of some tags are not known")
            }
            (None, None) => "the digest of a tag in use is not known, and so not what is signed".to_owned(),
        }
    }

    /// Whether a tag must stay.
    #[must_use]
    pub fn must_keep(&self, name: &str, digest: Option<&Digest>, single_image: bool) -> bool {
        self.certain(name, digest).is_some() || self.possible(name, digest, single_image)
    }
}

fn first(digests: &[&Digest]) -> Option<Digest> {
    digests.first().copied().cloned()
}

/// Why nothing of a repository is known to be unused that somebody may mean, and what to do.
fn told_of_text(unreadable: &Unreadable) -> String {
    format!("write the image in full in the workload: {unreadable}, and may mean any tag of this repository")
}

/// Why nothing of a repository is known to be unused that the cluster seems to know under another name, and what to do.
fn told_of(elsewhere: &Elsewhere) -> String {
    let Elsewhere { aliases, image, users } = elsewhere;
    let aliases: Vec<&str> = aliases.iter().map(String::as_str).take(MAX_NAMED).collect();
    // What to do comes first: messages are cut at their end.
    format!(
        "set protect.registryAliases: [{}] if {image} (used by {users}) is of this registry, of which the cluster uses \
         no image by its own name",
        aliases.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::in_use::InUse;
    use crate::policy::in_use::tests::{SHA_1, SHA_2, of_shop_web, reported, some, used};

    fn claims(images: &[&str], tags: &[(&str, Option<&Digest>)]) -> Claims {
        let images: Vec<(&str, &str)> = images.iter().map(|image| (*image, "prod/Pod/a")).collect();
        Claims::new(of_shop_web(&images), tags.iter().copied(), false)
    }

    fn by_name() -> &'static str {
        "registry.example.com/shop/web:v1"
    }

    fn by_digest() -> String {
        format!("registry.example.com/shop/web@{SHA_1}")
    }

    #[test]
    fn where_nothing_is_in_use_nothing_is_held() {
        let none = claims(&[], &[("v1", None)]);
        assert!(!none.must_keep("v1", None, false));
    }

    #[test]
    fn a_name_in_use_holds_that_tag_alone() {
        let claims = claims(&[by_name()], &[("v1", some(SHA_1)), ("v2", None)]);
        assert!(claims.must_keep("v1", None, false));
        assert!(!claims.must_keep("v2", None, false));
    }

    #[test]
    fn who_uses_tags_is_told_for_the_first_few() {
        let used = claims(&[&by_digest()], &[("v1", some(SHA_1))]);
        let same =
            [("v1", some(SHA_1)), ("v2", some(SHA_2)), ("v3", some(SHA_1)), ("v4", some(SHA_1)), ("v5", some(SHA_1))];
        let by = "by prod/Pod/a";
        assert_eq!(used.users_message(same.into_iter().take(3)), Some(format!("v1 {by}, v3 {by}")));
        assert_eq!(used.users_message(same), Some(format!("v1 {by}, v3 {by}, v4 {by} and 1 more")));
        assert_eq!(used.users_message([("v2", some(SHA_2)), ("v6", None)]), None);
    }

    #[test]
    fn a_digest_in_use_holds_its_tags_and_those_whose_digest_is_not_known() {
        let claims = claims(&[&by_digest()], &[("v1", some(SHA_1)), ("v2", some(SHA_2)), ("v3", None)]);
        assert!(claims.certain("v1", some(SHA_1)).is_some());
        assert!(!claims.must_keep("v2", some(SHA_2), false));
        assert!(claims.certain("v3", None).is_none() && claims.must_keep("v3", None, true));
        assert!(claims.doubt().ends_with("in use by prod/Pod/a, and the digests of some tags are not known"));
    }

    #[test]
    fn a_text_that_may_mean_the_repository_holds_all_of_its_tags() {
        let tags = [("v1", some(SHA_1)), ("v2", None)];
        let held = claims(&["registry.example.com/shop/web:${TAG}"], &tags);
        assert!(tags.iter().all(|(name, digest)| held.must_keep(name, *digest, true)));
        assert!(held.all_possible() && held.certain("v1", some(SHA_1)).is_none());
        assert_eq!(
            held.doubt(),
            "write the image in full in the workload: registry.example.com/shop/web:${TAG} (used by prod/Pod/a) cannot \
             be read (the tag is not valid), and may mean any tag of this repository"
        );
        let free = claims(&["registry.example.com/shop/api:${TAG}"], &tags);
        assert!(!free.all_possible() && !free.must_keep("v1", some(SHA_1), false));
    }

    #[test]
    fn a_digest_that_no_tag_has_holds_whatever_may_contain_it() {
        let tags = [("v2", some(SHA_2))];
        let lost = claims(&[&by_digest()], &tags);
        assert!(lost.must_keep("v2", some(SHA_2), false));
        assert!(!lost.must_keep("v2", some(SHA_2), true), "one image contains no other");
        assert_eq!(lost.doubt(), format!("{SHA_1} is in use by prod/Pod/a, and no tag has this digest"));
        let resolved = claims(&[&by_digest()], &[("v2", some(SHA_2)), ("newer", some(SHA_1))]);
        assert!(!resolved.must_keep("v2", some(SHA_2), false));
    }

    #[test]
    fn what_came_into_use_since_is_not_known_to_be_elsewhere() {
        let tags = [("v2", some(SHA_2))];
        let before = claims(&[], &tags);
        let same = before.again(of_shop_web(&[]));
        assert!(!same.must_keep("v2", some(SHA_2), false));
        let digest = by_digest();
        let now = before.again(of_shop_web(&[(digest.as_str(), "prod/Pod/b")]));
        assert!(now.must_keep("v2", some(SHA_2), false));
        assert!(!now.must_keep("v2", some(SHA_2), true));
    }

    const INDEX: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const OTHER: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn a_digest_inside_of_an_index_holds_that_index_and_no_other() {
        let tags = [("index", some(INDEX)), ("other", some(OTHER)), ("unknown", some("sha256:cc"))];
        let mut contents = Contents::default();
        contents.note_index(&OTHER.into(), [Digest::new(SHA_2)].into());
        let known = |contents: &Contents| {
            let used = of_shop_web(&[(&by_digest(), "prod/Pod/a")]);
            Claims::with(used, tags, contents.clone(), false)
        };
        let not_found = known(&contents);
        assert!(
            not_found.must_keep("index", some(INDEX), false)
                && not_found.must_keep("unknown", some("sha256:cc"), false)
        );
        assert!(!not_found.must_keep("other", some(OTHER), false), "all of it is known");
        contents.note_index(&INDEX.into(), [Digest::new(SHA_1)].into());
        let found = known(&contents);
        assert!(found.certain("index", some(INDEX)).is_some());
        assert!(!found.must_keep("other", some(OTHER), false) && !found.must_keep("unknown", some("sha256:cc"), false));
        // What is inside of an index is still known when more comes into use.
        let second = format!("registry.example.com/shop/web@{SHA_2}");
        let now = found.again(of_shop_web(&[(&second, "prod/Pod/b")]));
        assert!(now.certain("other", some(OTHER)).is_some() && !now.must_keep("index", some(INDEX), false));
        assert!(!now.must_keep("unknown", some("sha256:cc"), false));
        let third = format!("registry.example.com/shop/web@sha256:{}", "3".repeat(64));
        let now = found.again(of_shop_web(&[(&third, "prod/Pod/b")]));
        assert!(now.must_keep("unknown", some("sha256:cc"), false) && !now.must_keep("other", some(OTHER), false));
    }

    fn of_ids(ids: &[&str]) -> RepositoryUse {
        let images = ids.iter().map(|id| reported("registry.example.com/shop/web:moved", id));
        let in_use = InUse::new(images, [], ["registry.example.com"], &[]);
        in_use.repository("registry.example.com/shop/web", "shop/web")
    }

    #[test]
    fn an_id_without_a_repository_holds_the_tag_that_has_it_and_everything_where_none_has() {
        let tags = [("v1", some(INDEX)), ("v2", some(OTHER))];
        let with = |contents: Contents| Claims::with(of_ids(&[SHA_1]), tags, contents, false);
        let lost = with(Contents::default());
        assert!(tags.iter().all(|(name, digest)| lost.possible(name, *digest, true)));
        assert!(lost.certain("v1", some(INDEX)).is_none());
        assert!(lost.doubt().contains(SHA_1) && lost.doubt().contains("without a repository"), "{}", lost.doubt());

        let mut contents = Contents::default();
        contents.note_configuration(&OTHER.into(), &SHA_1.into());
        let configured = with(contents);
        assert!(configured.certain("v2", some(OTHER)).is_some() && !configured.must_keep("v1", some(INDEX), true));
        assert!(configured.must_keep("v3", None, true), "its digest is not known");

        let same = Claims::new(of_ids(&[INDEX]), tags, false);
        assert!(same.certain("v1", some(INDEX)).is_some() && !same.must_keep("v2", some(OTHER), true));
        assert!(!same.again(of_ids(&[INDEX])).must_keep("v2", some(OTHER), true));
        assert!(same.again(of_ids(&[INDEX, SHA_1])).must_keep("v2", some(OTHER), true), "it came into use since");
    }

    #[test]
    fn where_the_registry_may_have_another_name_everything_is_held_and_the_alias_is_proposed() {
        let images = [used("localhost:5000/shop/web:v1", &["prod/Pod/a"])];
        let in_use = InUse::new(images, [], ["registry.example.com"], &[]);
        let of = in_use.repository("registry.example.com/shop/web", "shop/web");
        let held = Claims::new(of.clone(), [("v1", some(SHA_1))], false);
        assert!(held.must_keep("v1", some(SHA_1), true) && held.must_keep("v2", some(SHA_2), true));
        assert_eq!(
            held.doubt(),
            "set protect.registryAliases: [localhost:5000] if localhost:5000/shop/web:v1 (used by prod/Pod/a) is of \
             this registry, of which the cluster uses no image by its own name"
        );
        let before = Claims::new(RepositoryUse::default(), [("v1", some(SHA_1))], false);
        assert!(
            !before.must_keep("v1", some(SHA_1), true) && before.again(of.clone()).must_keep("v1", some(SHA_1), true)
        );
        assert!(!RepositoryUse::default().includes(&of) && of.includes(&of));
    }

    #[test]
    fn a_digest_of_another_algorithm_holds_single_images_too() {
        let image = format!("registry.example.com/shop/web@sha512:{}", "1".repeat(128));
        let claims = claims(&[&image], &[("v1", some(SHA_1))]);
        assert!(claims.must_keep("v1", some(SHA_1), true), "the two cannot be compared");
    }

    fn signature(of: &str) -> String {
        format!("{}.sig", of.replace(':', "-"))
    }

    #[test]
    fn the_signature_of_a_tag_in_use_is_held_and_that_of_another_is_not() {
        let claims = claims(&[by_name()], &[("v1", some(SHA_1)), ("v2", some(SHA_2))]);
        assert!(claims.certain(&signature(SHA_1), None).is_some());
        assert!(!claims.must_keep(&signature(SHA_2), None, false));
    }

    #[test]
    fn every_signature_is_held_while_the_digest_of_a_tag_in_use_is_not_known() {
        let used = of_shop_web(&[(by_name(), "prod/Pod/a")]);
        let unknown = Claims::new(used, [("v2", some(SHA_2))], true);
        assert!(unknown.certain(&signature(SHA_1), None).is_none() && unknown.must_keep(&signature(SHA_1), None, true));
        assert!(!unknown.must_keep("v2", some(SHA_2), false));
        // A tag came into use since; its digest was not looked at.
        let before = claims(&[], &[("v2", some(SHA_2))]);
        assert!(!before.must_keep(&signature(SHA_1), None, true));
        let now = before.again(of_shop_web(&[(by_name(), "prod/Pod/a")]));
        assert!(now.must_keep(&signature(SHA_1), None, true) && !now.must_keep("v2", some(SHA_2), false));
    }
}
