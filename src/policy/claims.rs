//! What the users of a repository's images keep from being removed, as a plan asks it tag by tag.
//!
//! A digest in use that none of the repository's tags has may belong to an image inside of a multi-platform tag, whose own digest
//! is another one. As long as there is such a digest, only tags that are known to be one image are known to be unused. In the
//! same way, a signature may be that of a tag in use whose digest is not known.

use std::collections::HashSet;

use super::in_use::{How, RepositoryUse, Use, names_subject};

/// Most tags in use that a message names.
const MAX_NAMED: usize = 3;

/// What is in use of a repository, held against what is known of its tags.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Claims {
    of: RepositoryUse,
    /// A digest in use that is not that of a tag, if there is one.
    unresolved: Option<Box<str>>,
    /// The digest of some tag in use is not known.
    undigested: bool,
}

impl Claims {
    /// Holds what is in use against the tags that are known, each with its digest if that is known. `undigested` says that there
    /// may be tags in use beside them, or without a digest among them.
    #[must_use]
    pub fn new<'t>(
        mut of: RepositoryUse,
        tags: impl IntoIterator<Item = (&'t str, Option<&'t str>)> + Clone,
        undigested: bool,
    ) -> Self {
        of.note_digests(tags.clone());
        let digests = tags.into_iter().filter_map(|(_, digest)| digest);
        let unresolved = of.unresolved(digests).into_iter().next().map(Box::from);
        Self { of, unresolved, undigested }
    }

    /// The same tags, held against what is in use now.
    #[must_use]
    pub fn again(&self, mut now: RepositoryUse) -> Self {
        let (tags, digests): (HashSet<&str>, HashSet<&str>) =
            (self.of.tags().map(|(name, _)| name).collect(), self.of.digests().map(|(digest, _)| digest).collect());
        let new = || now.digests().find(|(digest, _)| !digests.contains(digest)).map(|(digest, _)| digest.into());
        let unresolved = self.unresolved.clone().or_else(new);
        let undigested = self.undigested || now.tags().any(|(name, _)| !tags.contains(name));
        now.keep_subjects(&self.of);
        Self { of: now, unresolved, undigested }
    }

    /// What is in use.
    #[must_use]
    pub fn of(&self) -> &RepositoryUse {
        &self.of
    }

    /// Whether digests of tags matter.
    #[must_use]
    pub fn by_digest(&self) -> bool {
        self.of.digests().next().is_some()
    }

    /// Who certainly uses a tag.
    #[must_use]
    pub fn certain(&self, name: &str, digest: Option<&str>) -> Option<Use<'_>> {
        self.of.users_of_tag(name, digest).filter(|found| found.how != How::NotKnown)
    }

    /// Who certainly uses some of these tags, the first few: `v1.2 by prod/Deployment/web`. `None` where nobody does.
    #[must_use]
    pub fn told<'t>(&self, tags: impl IntoIterator<Item = (&'t str, Option<&'t str>)>) -> Option<String> {
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

    /// Whether it is not known that nobody uses a tag. `single_image` says that it is known to be one image, not several.
    #[must_use]
    pub fn possible(&self, name: &str, digest: Option<&str>, single_image: bool) -> bool {
        (self.by_digest() && (digest.is_none() || (self.unresolved.is_some() && !single_image)))
            || (self.undigested && names_subject(name))
    }

    /// Why [`Self::possible`] holds of some tags, with who uses what.
    #[must_use]
    pub fn doubt(&self) -> String {
        let users = |digest: &str| self.of.digests().find(|(used, _)| *used == digest).map(|(_, users)| users.clone());
        match (&self.unresolved, self.of.digests().next()) {
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
    pub fn hold(&self, name: &str, digest: Option<&str>, single_image: bool) -> bool {
        self.certain(name, digest).is_some() || self.possible(name, digest, single_image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::in_use::tests::{SHA_1, SHA_2, of_shop_web};

    fn claims(images: &[&str], tags: &[(&str, Option<&str>)]) -> Claims {
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
        assert!(!none.hold("v1", None, false));
        assert!(!none.by_digest());
    }

    #[test]
    fn a_name_in_use_holds_that_tag_alone() {
        let claims = claims(&[by_name()], &[("v1", Some(SHA_1)), ("v2", None)]);
        assert!(claims.hold("v1", None, false));
        assert!(!claims.hold("v2", None, false));
    }

    #[test]
    fn who_uses_tags_is_told_for_the_first_few() {
        let used = claims(&[&by_digest()], &[("v1", Some(SHA_1))]);
        let same =
            [("v1", Some(SHA_1)), ("v2", Some(SHA_2)), ("v3", Some(SHA_1)), ("v4", Some(SHA_1)), ("v5", Some(SHA_1))];
        let by = "by prod/Pod/a";
        assert_eq!(used.told(same.into_iter().take(3)), Some(format!("v1 {by}, v3 {by}")));
        assert_eq!(used.told(same), Some(format!("v1 {by}, v3 {by}, v4 {by} and 1 more")));
        assert_eq!(used.told([("v2", Some(SHA_2)), ("v6", None)]), None);
    }

    #[test]
    fn a_digest_in_use_holds_its_tags_and_those_whose_digest_is_not_known() {
        let claims = claims(&[&by_digest()], &[("v1", Some(SHA_1)), ("v2", Some(SHA_2)), ("v3", None)]);
        assert!(claims.certain("v1", Some(SHA_1)).is_some());
        assert!(!claims.hold("v2", Some(SHA_2), false));
        assert!(claims.certain("v3", None).is_none() && claims.hold("v3", None, true));
        assert!(claims.doubt().ends_with("in use by prod/Pod/a, and the digests of some tags are not known"));
    }

    #[test]
    fn a_digest_that_no_tag_has_holds_whatever_may_contain_it() {
        let tags = [("v2", Some(SHA_2))];
        let lost = claims(&[&by_digest()], &tags);
        assert!(lost.hold("v2", Some(SHA_2), false));
        assert!(!lost.hold("v2", Some(SHA_2), true), "one image contains no other");
        assert_eq!(lost.doubt(), format!("{SHA_1} is in use by prod/Pod/a, and no tag has this digest"));
        let resolved = claims(&[&by_digest()], &[("v2", Some(SHA_2)), ("newer", Some(SHA_1))]);
        assert!(!resolved.hold("v2", Some(SHA_2), false));
    }

    #[test]
    fn what_came_into_use_since_is_not_known_to_be_elsewhere() {
        let tags = [("v2", Some(SHA_2))];
        let before = claims(&[], &tags);
        let same = before.again(of_shop_web(&[]));
        assert!(!same.hold("v2", Some(SHA_2), false));
        let digest = by_digest();
        let now = before.again(of_shop_web(&[(digest.as_str(), "prod/Pod/b")]));
        assert!(now.hold("v2", Some(SHA_2), false));
        assert!(!now.hold("v2", Some(SHA_2), true));
    }

    fn signature(of: &str) -> String {
        format!("{}.sig", of.replace(':', "-"))
    }

    #[test]
    fn the_signature_of_a_tag_in_use_is_held_and_that_of_another_is_not() {
        let claims = claims(&[by_name()], &[("v1", Some(SHA_1)), ("v2", Some(SHA_2))]);
        assert!(claims.certain(&signature(SHA_1), None).is_some());
        assert!(!claims.hold(&signature(SHA_2), None, false));
    }

    #[test]
    fn every_signature_is_held_while_the_digest_of_a_tag_in_use_is_not_known() {
        let used = of_shop_web(&[(by_name(), "prod/Pod/a")]);
        let unknown = Claims::new(used, [("v2", Some(SHA_2))], true);
        assert!(unknown.certain(&signature(SHA_1), None).is_none() && unknown.hold(&signature(SHA_1), None, true));
        assert!(!unknown.hold("v2", Some(SHA_2), false));
        // A tag came into use since; its digest was not looked at.
        let before = claims(&[], &[("v2", Some(SHA_2))]);
        assert!(!before.hold(&signature(SHA_1), None, true));
        let now = before.again(of_shop_web(&[(by_name(), "prod/Pod/a")]));
        assert!(now.hold(&signature(SHA_1), None, true) && !now.hold("v2", Some(SHA_2), false));
    }
}
