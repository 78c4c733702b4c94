//! Container repositories and their tags.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use jiff::Timestamp;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::{config::TagOrder, random::Random};

/// What a tag points at (gitlab-api reference 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagKind {
    /// A single image with a config.
    Image,
    /// An OCI image index; invisible to path B's lookups.
    Index,
    /// A Docker manifest list; path B reads its linux/amd64 child.
    ManifestList,
}

/// A container repository.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Numeric id.
    pub id: u64,
    /// The project it belongs to.
    pub project: u64,
    /// Lower-case full path.
    pub path: String,
    /// Name below the project, empty for the root image.
    pub name: String,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When GitLab's own cleanup policy last began here.
    pub cleanup_policy_started_at: Option<Timestamp>,
    /// Deletion under way, or failed.
    pub status: Option<RepositoryStatus>,
    /// Refuse its deletion (flagged feature; gitlab-api reference 1.4).
    pub deletion_protected: bool,
    /// The end of the hourly lease, if one was taken (gitlab-api reference 1.5).
    pub lease_until: Option<Timestamp>,
    /// Creation dates cached by cleanup policies, with the time the entry ends (gitlab-api reference 2.5).
    pub cached_dates: BTreeMap<String, (Timestamp, Timestamp)>,
    pub(super) tags: BTreeMap<String, Tag>,
    pub(super) pushes: u64,
    /// What [`Repository::by_push`] answers, from the first time somebody asks.
    pub(super) by_push: OnceLock<BTreeSet<LastPush>>,
    /// Some tag was pushed with a subject.
    pub(super) has_subjects: bool,
    /// All names, a line each, from the first time somebody searches them; those that are gone since may still be
    /// there.
    pub(super) names: OnceLock<String>,
}

/// A tag's place in the order of the last pushes: the moment, then the name.
pub(crate) type LastPush = (Option<Timestamp>, String);

/// The `status` of a repository (gitlab-api reference 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RepositoryStatus {
    /// A job will delete it.
    DeleteScheduled,
    /// Its job is at it.
    DeleteOngoing,
    /// Its job gave up.
    DeleteFailed,
}

impl Repository {
    /// The tags, by name.
    #[must_use]
    pub fn tags(&self) -> &BTreeMap<String, Tag> {
        &self.tags
    }

    /// All tags in the order of their last pushes, without putting them into it each time: a page of a long list must
    /// not take longer than one of a short list.
    pub(crate) fn by_push(&self) -> &BTreeSet<LastPush> {
        self.by_push.get_or_init(|| self.tags.values().map(Tag::last_push).collect())
    }

    /// How often a text occurs in the names of the tags, counted up to `most`; names that are gone may still count.
    pub(crate) fn names_with(&self, text: &str, most: usize) -> usize {
        let names = self.names.get_or_init(|| self.tags.keys().flat_map(|name| [name.as_str(), "\n"]).collect());
        Regex::new(&regex::escape(text)).map_or(most, |text| text.find_iter(names).take(most).count())
    }

    /// Digests of tags that refer to a digest.
    pub(crate) fn referrers(&self, digest: &str) -> Vec<&str> {
        let all = if self.has_subjects { Some(self.tags.values()) } else { None };
        let refers = all.into_iter().flatten().filter(|tag| tag.subject.as_deref() == Some(digest));
        refers.map(|tag| tag.digest.as_str()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Removes a tag; tells whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let removed = self.tags.remove(name);
        if let (Some(tag), Some(order)) = (&removed, self.by_push.get_mut()) {
            order.remove(&tag.last_push());
        }
        removed.is_some()
    }

    /// A tag, to change it.
    pub(super) fn tag_mut(&mut self, name: &str) -> Option<&mut Tag> {
        self.by_push.take();
        self.tags.get_mut(name)
    }

    /// The tags in the order the registry lists them.
    #[must_use]
    pub fn listed(&self, order: TagOrder) -> Vec<&Tag> {
        let mut tags: Vec<&Tag> = self.tags.values().collect();
        match order {
            TagOrder::Bytewise => {}
            TagOrder::Locale => tags.sort_by_cached_key(|tag| locale_key(&tag.name)),
            TagOrder::Pushed => tags.sort_by_key(|tag| tag.sequence),
        }
        tags
    }
}

/// The key that sorts names as a locale does: punctuation ignored and case folded first, then lower before upper.
pub(crate) fn locale_key(name: &str) -> (String, String, String) {
    let primary = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let swapped =
        name.chars().map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() });
    (primary, swapped.collect(), name.to_owned())
}

/// A tag with all the dates GitLab knows of it (gitlab-api reference 2.3).
#[derive(Clone, Debug, Serialize)]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// First push of this name; `None` only when set so.
    pub created_at: Option<Timestamp>,
    /// Last push that changed the digest.
    pub updated_at: Option<Timestamp>,
    /// `created` of the image's config: the build time.
    pub config_created: Option<Timestamp>,
    /// Digest of what the tag points at.
    pub digest: String,
    /// Digest of the image config; ignored for indexes and lists.
    pub config_digest: String,
    /// What it points at.
    pub kind: TagKind,
    /// Digests of the images in an index or list.
    pub children: Vec<String>,
    /// Bytes of layers, config and manifest.
    pub size: u64,
    /// The digest of the manifest that its own names as its subject (gitlab-api reference 11; OCI distribution
    /// specification 1.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Position in the order of first pushes.
    #[serde(skip)]
    pub(super) sequence: u64,
}

impl Tag {
    /// The moment of the last push that changed the tag, as the registry's database has it (gitlab-api reference 2.3):
    /// in whole microseconds, as its cursors tell it.
    pub(crate) fn published_at(&self) -> Option<Timestamp> {
        let at = self.created_at.max(self.updated_at)?;
        Some(Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at))
    }

    fn last_push(&self) -> LastPush {
        (self.published_at(), self.name.clone())
    }

    /// The time a cleanup ranks by: on path A the last push that changed the digest, on path B the build time, which
    /// an OCI index does not have there (gitlab-api reference 2.3).
    #[must_use]
    pub fn ranked_at(&self, path_a: bool) -> Option<Timestamp> {
        if path_a {
            self.updated_at.or(self.created_at)
        } else if self.kind == TagKind::Index {
            None
        } else {
            self.config_created
        }
    }

    /// Whether path B's manifest request finds anything (gitlab-api reference 2.3 and 7).
    #[must_use]
    pub fn has_manifest_on_path_b(&self) -> bool {
        self.kind != TagKind::Index
    }
}

/// One push of an image; `Push::default()` is a single image of some megabytes, built and pushed now.
#[derive(Clone, Debug, Default)]
pub struct Push {
    pub(super) at: Option<Timestamp>,
    pub(super) built: Option<Timestamp>,
    pub(super) undated: bool,
    pub(super) digest: Option<String>,
    pub(super) kind: Option<TagKind>,
    pub(super) children: Option<Vec<String>>,
    pub(super) size: Option<u64>,
    pub(super) subject: Option<String>,
}

impl Push {
    /// A push at a moment; the image was built then, too, unless told otherwise.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        Self { at: Some(at), ..Self::default() }
    }

    /// The build time in the image's config.
    #[must_use]
    pub fn built(mut self, at: Timestamp) -> Self {
        self.built = Some(at);
        self
    }

    /// An image whose config tells no build time.
    #[must_use]
    pub fn undated(mut self) -> Self {
        self.undated = true;
        self
    }

    /// The digest pushed; without it every push of a name is a new image.
    #[must_use]
    pub fn digest(mut self, digest: &str) -> Self {
        self.digest = Some(digest.to_owned());
        self
    }

    /// What is pushed.
    #[must_use]
    pub fn kind(mut self, kind: TagKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// The digests of the images in it; without them, an index or list has two that nobody else has.
    #[must_use]
    pub fn children(mut self, digests: &[&str]) -> Self {
        self.children = Some(digests.iter().map(|digest| (*digest).to_owned()).collect());
        self
    }

    /// The digest of the image it refers to, as an artifact of the OCI specification does.
    #[must_use]
    pub fn subject(mut self, digest: &str) -> Self {
        self.subject = Some(digest.to_owned());
        self
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }
}

impl Repository {
    /// Gives every tag one date (gitlab-api reference 10a).
    pub(super) fn import(&mut self, at: Timestamp) {
        self.by_push.take();
        for tag in self.tags.values_mut() {
            (tag.created_at, tag.updated_at) = (Some(at), None);
        }
    }

    /// Applies a push. The same digest on an existing tag changes nothing, another one sets `updated_at`
    /// (gitlab-api reference 2.3).
    pub(super) fn push(&mut self, name: &str, push: Push, now: Timestamp, seed: u64) {
        let at = push.at.unwrap_or(now);
        self.pushes += 1;
        let digest = push.digest.unwrap_or_else(|| {
            let label = format!("{}:{name}@{at}#{}", self.path, self.pushes);
            format!("sha256:{}", Random::for_text(seed, &label).hex(64))
        });
        let previous = self.tags.get(name);
        if previous.is_some_and(|tag| tag.digest == digest) {
            return;
        }
        let mut random = Random::for_text(seed, &digest);
        let kind = push.kind.unwrap_or(TagKind::Image);
        let platforms: &[&str] = if kind == TagKind::Image { &[] } else { &["linux/amd64", "linux/arm64"] };
        let child =
            |platform: &&str| format!("sha256:{}", Random::for_text(seed, &format!("{digest}/{platform}")).hex(64));
        let tag = Tag {
            children: push.children.unwrap_or_else(|| platforms.iter().map(child).collect()),
            name: name.to_owned(),
            created_at: previous.map_or(Some(at), |tag| tag.created_at),
            updated_at: previous.map(|_| at),
            config_created: if push.undated { None } else { push.built.or(Some(at)) },
            config_digest: format!("sha256:{}", random.hex(64)),
            digest,
            kind,
            size: push.size.unwrap_or_else(|| 5_000_000 + random.below(60_000_000)),
            subject: push.subject,
            sequence: previous.map_or(self.pushes, |tag| tag.sequence),
        };
        self.has_subjects |= tag.subject.is_some();
        if let Some(order) = self.by_push.get_mut() {
            if let Some(previous) = previous {
                order.remove(&previous.last_push());
            }
            order.insert(tag.last_push());
        }
        if previous.is_none() {
            self.names.take();
        }
        self.tags.insert(name.to_owned(), tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_ignores_case_and_punctuation_first() {
        let mut names = vec!["latest", "B", "a-1", "a", "b", "A2"];
        names.sort_by_cached_key(|name| locale_key(name));
        assert_eq!(names, ["a", "a-1", "A2", "b", "B", "latest"]);
    }
}
