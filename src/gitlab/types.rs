//! What goes into requests and what comes out of answers, in plain types.
//!
//! Shapes only: nothing here sends. Answers are read leniently where GitLab's versions differ and strictly where a
//! mistake could name the wrong thing.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;

use super::lenient::lenient;
use super::rate_limit_headers::Hints;
use crate::model::{Digest, RepositoryContents};

/// A project as GitLab's API takes it. GitLab behaviour: digits alone are always read as an id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Project {
    /// The numeric id, which survives renames and moves.
    Id(u64),
    /// The full path, `group/subgroup/project`, not encoded.
    Path(String),
}

impl From<&str> for Project {
    /// Reads what a user wrote the way GitLab does: digits alone are an id, anything else a path.
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Path(text.to_owned()), Self::Id)
    }
}

/// Why nobody may change the images of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closed {
    /// It is archived.
    Archived,
    /// It will be deleted.
    PendingDeletion,
}

/// Whose repositories to list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// One project.
    Project(Project),
    /// A group by its full path, with all its subgroups; whoever wants less filters by [`Repository::path`].
    Group {
        /// The full path, not encoded.
        path: String,
    },
}

/// A container repository: one image of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// The id, unique on the server.
    pub id: u64,
    /// The full path, lower case: the project's path and the name.
    pub path: String,
    /// The last part of the path; empty for the image that has the project's own path.
    pub name: String,
    /// The project's id; old servers do not send it.
    pub project_id: Option<u64>,
    /// Registry host, port and path: what an image reference starts with.
    pub location: String,
    /// When the repository was created.
    pub created_at: Timestamp,
    /// What GitLab is doing to it; `None` is nothing.
    pub status: Option<RepositoryStatus>,
    /// Since when GitLab's own cleanup policy has been at work on it.
    pub cleanup_policy_started_at: Option<Timestamp>,
}

impl Repository {
    /// How requests name this repository.
    ///
    /// Without a project id (old servers) the project's path is the repository's path without its name.
    #[must_use]
    pub fn reference(&self) -> RepositoryRef {
        let project = self.project_id.map_or_else(|| Project::Path(self.project_path().to_owned()), Project::Id);
        RepositoryRef { project, id: self.id }
    }

    /// The full path of the project, lower case.
    #[must_use]
    pub fn project_path(&self) -> &str {
        if self.name.is_empty() {
            return &self.path;
        }
        self.path.strip_suffix(self.name.as_str()).and_then(|path| path.strip_suffix('/')).unwrap_or(&self.path)
    }
}

/// What a server lets through, by the headers of its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Requests a minute, in the long run.
    pub per_minute: u64,
    /// Requests that are left until `reset`.
    pub remaining: u64,
    /// When its window ends.
    pub reset: Timestamp,
}

impl Budget {
    pub(super) fn read(now: Timestamp, hints: &Hints) -> Option<Self> {
        let reset = now.checked_add(hints.reset_in?).ok()?;
        Some(Self { per_minute: hints.limit?.max(1), remaining: hints.remaining?, reset })
    }
}

/// What GitLab is doing to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepositoryStatus {
    /// It will be deleted with everything in it.
    DeleteScheduled,
    /// Its deletion failed for good.
    DeleteFailed,
    /// It is being deleted.
    DeleteOngoing,
    /// A status that later versions invented.
    #[serde(other)]
    Other,
}

/// A repository as the registry counts it now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepositoryNow {
    /// What it holds.
    pub contents: RepositoryContents,
    /// As [`Repository::status`], but of now.
    pub status: Option<RepositoryStatus>,
}

/// GitLab's answer to the request to delete a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RepositoryDeletion {
    /// Accepted: a job will do it.
    Scheduled,
    /// Refused: a rule of the project protects the repository.
    Protected,
}

/// The two names a request needs for a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepositoryRef {
    /// The project it belongs to.
    pub project: Project,
    /// [`Repository::id`].
    pub id: u64,
}

/// One tag with what REST tells about it.
///
/// GitLab behaviour: with a metadata database `created_at` is the *first* push of the tag, not the last, although the
/// bulk request ranks by the last; without one it is the build date in the image. All but the name can be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagDetails {
    /// The tag's name.
    pub name: Box<str>,
    /// The digest the tag points at, `sha256:…`.
    pub digest: Option<Digest>,
    /// The digest of the image's configuration, `sha256:…`, which old nodes report as the image. `None` for indexes.
    pub configuration: Option<Digest>,
    /// See above; `None` where the registry does not know.
    pub created_at: Option<Timestamp>,
    /// Bytes of all layers. GitLab behaviour: 0 or nothing for multi-platform images.
    pub total_size: Option<u64>,
}

/// One tag as an inventory knows it: one entry of a page that GraphQL answers.
///
/// What the server does not tell is `None`, whatever the reason: it is too old (see [`Capabilities`]), its registry
/// does not know, or it wrote something that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The tag's name.
    pub name: Box<str>,
    /// The digest the tag points at, `sha256:…`. GitLab behaviour: nothing for OCI indexes in a registry without
    /// metadata database.
    pub digest: Option<Digest>,
    /// The last push. GitLab behaviour: known with a metadata database only, since about 16.11.
    pub published_at: Option<Timestamp>,
    /// As [`TagDetails::created_at`].
    pub created_at: Option<Timestamp>,
    /// As [`TagDetails::total_size`], in bytes.
    pub total_size: Option<u64>,
    /// Whether the tag is known to be one image, not an index of several. GitLab behaviour: told with a metadata
    /// database only, since about 17.1.
    pub single_image: bool,
    /// Whether the tag is known to be an index of several. GitLab behaviour: as above.
    pub is_index: bool,
    /// Digests of manifests that name this one as their subject. GitLab behaviour: told with a metadata database only,
    /// since about 17.0.
    pub referrers: Vec<Digest>,
    /// GitLab refuses this token to remove the tag: it is immutable, or a rule or the role does not allow it. `false`
    /// where the server does not tell, see [`Capabilities::protection`]; the removal itself is then still refused.
    pub protected: bool,
}

/// What one look at a tag by its name shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagNow {
    /// It is there.
    There {
        /// The digest it points at; `None` where GitLab does not tell.
        digest: Option<Digest>,
        /// As [`Tag::published_at`].
        published_at: Option<Timestamp>,
    },
    /// GitLab does not find it. As with [`Client::tag`](super::Client::tag), that is no proof of absence.
    Missing,
    /// Too many other names contain its own: only [`Client::tag`](super::Client::tag) can tell.
    Crowded,
}

/// The order of the pages of a repository's tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TagOrder {
    /// By name, in the order of the registry.
    Name,
    /// By the last push, the oldest first; needs [`Capabilities::sorts_by_push`].
    ///
    /// GitLab behaviour: a registry without metadata database knows no pushes and sorts by name instead, without a
    /// word. There, [`Tag::published_at`] is `None` for every tag.
    OldestPushFirst,
    /// The same, the newest first.
    NewestPushFirst,
}

/// One page of a repository's tags, at most 20.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPage {
    /// The tags, each name once.
    pub tags: Vec<Tag>,
    /// What leads to the next page, for the same order; `None` on the last page. Opaque.
    ///
    /// GitLab behaviour: when the registry fails in the middle of a list, that page ends early and there is no next
    /// one, like on the last page. Whether all pages together are complete is shown by
    /// [`Client::tag_names`](super::Client::tag_names) only.
    pub next: Option<String>,
    /// The registry's own count of the repository's tags, where it was asked for and told.
    pub count: Option<u64>,
}

/// One page of a repository's images with their configurations, at most 20 tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImagePage {
    /// Digest of an image that a tag points at, and that of its configuration. Tags without either are left out.
    pub images: Vec<(Digest, Digest)>,
    /// What leads to the next page; `None` on the last page. As little proof as [`TagPage::next`] that it is the last.
    pub next: Option<String>,
}

/// What a server's GraphQL can be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct Capabilities {
    /// Container repositories in GraphQL at all (since 13.7, unless it is switched off). Nothing below is true without.
    pub graphql: bool,
    /// The server knows [`Tag::published_at`]; it can still be `None` for every tag of a registry without metadata
    /// database.
    pub published_at: bool,
    /// The server takes [`TagOrder::OldestPushFirst`] and [`TagOrder::NewestPushFirst`].
    pub sorts_by_push: bool,
    /// The server tells whether this token may remove a tag, so that a `false` of [`Tag::protected`] means something.
    pub protection: bool,
}

/// What became of the removal of one tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TagRemoval {
    /// GitLab says that it is gone. GitLab behaviour: servers of 16 and 17, and those without a metadata database, say
    /// so as well of a tag that was gone before.
    Gone,
    /// It was gone before: GitLab did not find it.
    AlreadyGone,
    /// GitLab refused and the tag is there: it is protected, or the role does not allow removing tags.
    Protected,
}

/// The version of a GitLab server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// 18 in `18.5.0-ee`.
    pub major: u32,
    /// 5 in `18.5.0-ee`.
    pub minor: u32,
    /// As the server wrote it.
    pub text: String,
}

impl Version {
    /// Reads `major.minor`, whatever follows.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (major, rest) = text.split_once('.')?;
        let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()?, text: text.to_owned() })
    }

    /// Whether a bulk request's `name_regex_keep` is obeyed.
    ///
    /// GitLab behaviour: servers of 11.8 to 12.8 silently ignore it, so a request that counts on it removes what it
    /// meant to keep. It came with 12.9 or 12.10; anything older than 12.10 counts as not knowing it.
    #[must_use]
    pub fn supports_keep_regex(&self) -> bool {
        (self.major, self.minor) >= (12, 10)
    }

    /// Whether removing a tag removes that tag only.
    ///
    /// GitLab behaviour: servers of 11.8 to about 12.4 remove the image, and with it **every** tag that points at it.
    /// Anything older than 12.10, which got a removal by name, counts as doing so.
    #[must_use]
    pub fn removes_single_tags(&self) -> bool {
        (self.major, self.minor) >= (12, 10)
    }
}

/// What a token says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TokenInfo {
    /// Its scopes, such as `api` and `read_api`.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The first day on which it is no longer accepted (UTC); `None` when it does not end.
    #[serde(default, deserialize_with = "lenient")]
    pub expires_at: Option<Date>,
    /// Whether somebody revoked it.
    #[serde(default)]
    pub revoked: bool,
    /// Whether it can be used: neither revoked nor expired.
    #[serde(default = "yes")]
    pub active: bool,
}

const fn yes() -> bool {
    true
}

/// GitLab's answer to a bulk deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkAnswer {
    /// Accepted: GitLab works on it in the background and reports nothing. For 3600 s from its acceptance, which was
    /// not after `at`, it accepts no other one for this repository.
    Accepted {
        /// The clock when the answer arrived.
        at: Timestamp,
    },
    /// Refused: one was accepted within the last hour, by whomever. GitLab does not say when that hour ends.
    AlreadyRequested {
        /// The clock when the answer arrived.
        at: Timestamp,
    },
}

/// Whether a name can be a tag's by the registry's grammar: up to 128 of letters, digits, `_`, `.` and `-`, the first
/// neither `.` nor `-`. A list with any other name is not a list of tags.
pub(super) fn is_tag_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.len() <= 128 && name.starts_with(word) && name.chars().all(|c| word(c) || c == '.' || c == '-')
}

/// Whether a text can be the path of a repository: parts of letters, digits, `_`, `.` and `-`, divided by slashes. A
/// list with any other path is not a list of repositories.
pub(super) fn is_repository_path(path: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    path.len() <= 512 && path.split('/').all(|part| !part.is_empty() && part.bytes().all(known))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("18.5.0-ee", Some((18, 5)))]
    #[case("12.10", Some((12, 10)))]
    #[case("11.8.0-pre", Some((11, 8)))]
    #[case("13.12-ee", Some((13, 12)))]
    #[case("18", None)]
    #[case("eighteen.five", None)]
    #[case("18.-1", None)]
    #[case("", None)]
    fn a_version_is_read_up_to_its_minor_number(#[case] text: &str, #[case] expected: Option<(u32, u32)>) {
        let version = Version::parse(text);
        assert_eq!(version.map(|version| (version.major, version.minor)), expected);
    }

    #[rstest]
    #[case("11.8.0", false)]
    #[case("12.8.10", false)]
    #[case("12.9.0", false)]
    #[case("12.10.0", true)]
    #[case("13.0.0", true)]
    #[case("18.5.0-ee", true)]
    fn only_servers_from_12_10_on_are_trusted_with_a_keep_pattern(#[case] text: &str, #[case] known: bool) {
        assert_eq!(Version::parse(text).unwrap().supports_keep_regex(), known);
    }

    #[rstest]
    #[case("4711", Project::Id(4711))]
    #[case("shop/backend", Project::Path("shop/backend".to_owned()))]
    #[case("shop/4711", Project::Path("shop/4711".to_owned()))]
    fn digits_alone_are_a_project_id(#[case] text: &str, #[case] expected: Project) {
        assert_eq!(Project::from(text), expected);
    }

    #[rstest]
    #[case("shop/backend/web", true)]
    #[case("shop/Web_1.x-y/a", true)]
    #[case("", false)]
    #[case("/shop", false)]
    #[case("shop/", false)]
    #[case("shop//web", false)]
    #[case("shop/we b", false)]
    #[case("shop/\u{1b}[31mweb", false)]
    #[case("shop/\u{202e}bew", false)]
    #[case("shop/w\u{200b}eb", false)]
    fn paths_of_repositories_are_plain(#[case] path: &str, #[case] valid: bool) {
        assert_eq!(is_repository_path(path), valid);
    }

    #[rstest]
    #[case("latest", true)]
    #[case("_v1.2-rc.1", true)]
    #[case("", false)]
    #[case(".hidden", false)]
    #[case("..", false)]
    #[case("-v", false)]
    #[case("a/b", false)]
    #[case("a b", false)]
    #[case("a\nb", false)]
    #[case("ä", false)]
    fn tag_names_follow_the_registrys_grammar(#[case] name: &str, #[case] valid: bool) {
        assert_eq!(is_tag_name(name), valid);
    }

    #[test]
    fn a_tag_name_has_at_most_128_characters() {
        assert!(is_tag_name(&"a".repeat(128)));
        assert!(!is_tag_name(&"a".repeat(129)));
    }
}
