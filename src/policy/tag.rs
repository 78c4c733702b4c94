//! A tag, as a plan knows it: what was read of it, and when something happened to it.

use jiff::{SignedDuration, Timestamp};

use crate::model::Digest;

/// Dates up to here say nothing: reproducible builds are dated 1970 or 1980. 1980-01-02T00:00:00Z, in seconds.
const FIRST_MEANINGFUL_SECOND: i64 = 315_619_200;

/// How far GitLab's clock and ours may be apart, so a date may lie so far ahead. The shortest age that a rule can have
/// is an hour.
pub const CLOCKS_MAY_DIFFER: SignedDuration = SignedDuration::from_mins(5);

/// When something happened to a tag.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Moment {
    /// Not known.
    Unknown,
    /// What the server says, which is a placeholder: known to nobody but GitLab, whose bulk deletion takes it at its
    /// word.
    Placeholder(Timestamp),
    /// At this moment.
    At(Timestamp),
    /// What the server says, which lies ahead and cannot be: known to nobody but GitLab, whose bulk deletion ranks by
    /// it.
    Ahead(Timestamp),
    /// Not read, because it is known to be later than every tag that was.
    Newer,
}

impl Moment {
    /// A date as the server gave it.
    #[must_use]
    pub fn read(date: Option<Timestamp>, now: Timestamp) -> Self {
        match date {
            Some(date) if date.as_second() < FIRST_MEANINGFUL_SECOND => Self::Placeholder(date),
            Some(date) if date <= now => Self::At(date),
            Some(date) => Self::Ahead(date),
            None => Self::Unknown,
        }
    }

    /// The date, where the server gave one, whatever it is worth.
    #[must_use]
    pub const fn stated(self) -> Option<Timestamp> {
        match self {
            Self::At(date) | Self::Placeholder(date) | Self::Ahead(date) => Some(date),
            Self::Unknown | Self::Newer => None,
        }
    }
}

/// A moment in whole seconds, as GitLab tells dates. Of two pushes in the same second nobody knows which came first.
#[must_use]
pub fn to_the_second(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).map_or(moment, |second| second.min(moment))
}

/// What the ages of a repository's tags are counted from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ages {
    /// The last push.
    LastPush,
    /// The first push: the server does not tell the last.
    FirstPush,
    /// The build of the image. GitLab behaviour: a registry without metadata database knows no pushes.
    Builds,
    /// One of the two above; nothing tells which.
    FirstPushOrBuild,
}

impl Ages {
    /// What ages are counted from, as the end of a sentence about a repository.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LastPush => "ages by the last push",
            Self::FirstPush => "ages by the first push",
            Self::Builds => "ages are those of the builds, not of the pushes",
            Self::FirstPushOrBuild => "ages by the first push, or by the build without a metadata database",
        }
    }

    /// What is said once of all repositories, since it is the same for a whole registry, and what follows from it.
    #[must_use]
    pub fn remark(self) -> Option<&'static str> {
        (self == Self::Builds).then_some("ages by when the image was built, so a new tag on an old image counts as old")
    }
}

/// What was read of one tag.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tag {
    /// Its name.
    pub name: Box<str>,
    /// The digest it points at.
    pub digest: Option<Digest>,
    /// When it was last pushed, or what stands in for that.
    pub pushed: Moment,
    /// Whether `pushed` is what GitLab tells of the last push, not the first push in its stead.
    pub push_told: bool,
    /// When it was first pushed.
    pub created: Moment,
    /// Whether it is known to be one image, not an index of several.
    pub single_image: bool,
    /// Whether GitLab protects it from being removed with this token.
    pub protected: bool,
    /// Its size in bytes.
    pub bytes: Option<u64>,
    /// What else is known of what it points at.
    pub manifest: Manifest,
}

/// What is known of a tag's manifest besides its digest; by default nothing, which then takes no memory.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Manifest(Option<Box<Known>>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Known {
    is_index: bool,
    referrers: Box<[Digest]>,
}

impl Manifest {
    /// Of what is known to be an index of several images, or not, and of the digests of manifests that say that they
    /// belong to it, as far as GitLab tells them.
    #[must_use]
    pub fn new(is_index: bool, referrers: impl Into<Box<[Digest]>>) -> Self {
        let referrers = referrers.into();
        Self((is_index || !referrers.is_empty()).then(|| Box::new(Known { is_index, referrers })))
    }

    /// Whether it is known to be an index of several images.
    #[must_use]
    pub fn is_index(&self) -> bool {
        self.0.as_ref().is_some_and(|known| known.is_index)
    }

    /// Digests of manifests that say that they belong to it.
    #[must_use]
    pub fn referrers(&self) -> &[Digest] {
        self.0.as_ref().map(|known| &*known.referrers).unwrap_or_default()
    }
}

/// A tag as the rules see it, whether it was read or is known by its name only.
#[derive(Clone, Copy, Debug)]
pub struct TagView<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it was last pushed, or what stands in for that.
    pub pushed: Moment,
    /// When it was first pushed.
    pub created: Moment,
    /// The digest it points at, if that is known.
    pub digest: Option<&'a Digest>,
    /// Whether it is known to be one image, not an index of several.
    pub single_image: bool,
    /// Whether GitLab protects it from being removed with this token.
    pub protected: bool,
    /// Whether it is known to be an index of several images.
    pub is_index: bool,
    /// Digests of manifests that say that they belong to it, as far as GitLab tells them.
    pub referrers: &'a [Digest],
}

impl Tag {
    /// The tag as the rules see it.
    #[must_use]
    pub fn view(&self) -> TagView<'_> {
        TagView {
            name: &self.name,
            pushed: self.pushed,
            created: self.created,
            digest: self.digest.as_ref(),
            single_image: self.single_image,
            protected: self.protected,
            is_index: self.manifest.is_index(),
            referrers: self.manifest.referrers(),
        }
    }
}

impl<'a> TagView<'a> {
    /// A tag that is known by its name only, because it was pushed later than every tag that was read.
    #[must_use]
    pub const fn newer(name: &'a str) -> Self {
        Self {
            name,
            pushed: Moment::Newer,
            created: Moment::Unknown,
            digest: None,
            single_image: false,
            protected: false,
            is_index: false,
            referrers: &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_that_are_placeholders_or_lie_ahead_are_not_known() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for date in ["1970-01-01T00:00:00Z", "1980-01-01T00:00:00Z", "2026-11-22T12:00:01Z"] {
            let date: Timestamp = date.parse().unwrap();
            let moment = Moment::read(Some(date), now);
            assert_eq!(moment.stated(), Some(date), "GitLab believes it: {date}");
            assert!(!matches!(moment, Moment::At(_)));
        }
        assert_eq!(Moment::read(Some(now), now), Moment::At(now));
        assert_eq!(Moment::read(None, now), Moment::Unknown);
    }
}
