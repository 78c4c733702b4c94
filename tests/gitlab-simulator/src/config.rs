//! What a simulated GitLab is: its address, version, back end and limits.

use std::{collections::BTreeSet, fmt, net::SocketAddr, str::FromStr};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::Clock;

/// How to start a simulator.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Serve https with a certificate authority made at the start.
    pub tls: bool,
    /// Host names of the certificate besides `localhost` and loopback.
    pub tls_names: Vec<String>,
    /// The address in `Link` headers and redirects; `None` is the address listened on. GitLab prints its configured
    /// host, not the `Host` header (gitlab-api reference 4).
    pub external_url: Option<String>,
    /// A path below which everything is served, such as `/gitlab`; empty for the root.
    pub relative_url_root: String,
    /// The clock everything reads.
    pub clock: Clock,
    /// What can still be changed while the simulator runs.
    pub settings: Settings,
    /// Seed of everything that is random: truncation samples, token text, digests.
    pub random_seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: false,
            tls_names: Vec::new(),
            external_url: None,
            relative_url_root: String::new(),
            clock: Clock::system(),
            settings: Settings::default(),
            random_seed: 7,
        }
    }
}

/// The instance's settings; change them at any time through [`crate::Registry::settings`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools)]
pub struct Settings {
    /// The GitLab release that is imitated.
    pub version: Version,
    /// The registry behind it.
    pub backend: Backend,
    /// The order in which the registry lists tags.
    pub tag_order: TagOrder,
    /// Host (and port) of the registry, as in a repository's `location`.
    pub registry_host: String,
    /// How long a background job waits before it runs.
    pub job_delay: SignedDuration,
    /// Tags in one page of a cleanup on path A, 1000 (gitlab-api reference 2.4).
    pub page_size: usize,
    /// `container_registry_cleanup_tags_service_max_list_size`, 200, 0 is unlimited (gitlab-api reference 2.5).
    pub max_list_size: usize,
    /// `container_registry_delete_tags_service_timeout`, 250 s, `None` is off (gitlab-api reference 2.4).
    pub delete_timeout: Option<SignedDuration>,
    /// Simulated time one tag deletion takes inside a job; makes `delete_timeout` reachable.
    pub tag_delete_duration: SignedDuration,
    /// The cache of creation dates that cleanup policies use on path B (gitlab-api reference 2.5).
    pub cache_creation_dates: bool,
    /// Immutable tag rules need a licence (gitlab-api reference 2.7).
    pub immutable_tags_licensed: bool,
    /// Refuse `page` and `per_page` below 1; `None` follows the version (gitlab-api reference 4).
    pub reject_pages_below_one: Option<bool>,
    /// Requests allowed per caller; `None` is GitLab's default of no limit (gitlab-api reference 6).
    pub rate_limit: Option<RateLimit>,
    /// Whether there is GraphQL at all; without it its address is a 404.
    pub graphql: bool,
    /// Fields GraphQL does not know, whatever the version says, as `Type.field`: `ContainerRepositoryTag.publishedAt`
    /// (gitlab-api reference 8a).
    pub graphql_hidden_fields: BTreeSet<String>,
    /// How GraphQL pages tags; `None` follows version and back end (see [`Settings::tag_cursors`]).
    pub graphql_tag_cursors: Option<TagCursors>,
    /// GraphQL says null without an error where a caller may not see a repository, project or group; the reference has
    /// both (gitlab-api reference 8a).
    pub graphql_silent_nulls: bool,
    /// The registry is older than 3.87: what follows a page by push are the tags with a larger name and no older push,
    /// not those after its last tag, and its cursors are cut to the millisecond (gitlab-api reference 10).
    pub pages_by_push_skip: bool,
    /// What a page by push comes after whose cursor names no tag of the repository: nobody has to take such a cursor.
    pub strange_push_cursors: StrangeCursors,
    /// The registry answers its tag listings, and the question for a repository's size, with an error (gitlab-api
    /// reference 1.6).
    pub registry_lists_fail: bool,
    /// The registry refuses to delete tags (gitlab-api reference 2.6).
    pub registry_deletes_fail: bool,
    /// Jobs of bulk deletions fail before they do anything (gitlab-api reference 2).
    pub bulk_jobs_fail: bool,
    /// The registry cannot be reached at all (gitlab-api reference 1.4, status 503).
    pub registry_unreachable: bool,
    /// Top-level groups that take fine-grained tokens only (gitlab-api reference 10).
    pub granular_groups: BTreeSet<String>,
    /// What of it may not be changed just now (gitlab-api reference 10).
    pub maintenance: Maintenance,
    /// A tag protection rule that the caller does not fulfil makes the mutation refuse the whole repository, whatever
    /// its pattern: 17.11 and later, it is not known up to which release (gitlab-api reference 10).
    pub tag_rules_deny_repository: bool,
    /// Path B cannot tell the size of an index: a page of GraphQL that asks for it is a 500 (gitlab-api reference 10).
    pub index_sizes_fail: bool,
    /// Tags that GraphQL can tell of within its 30 s; larger pages are `Timeout on …` (gitlab-api reference 10).
    pub graphql_tags_in_time: Option<usize>,
    /// Simulated time that a field `tags` takes, which counts against the 30 s of its request and moves the clock
    /// (gitlab-api reference 11).
    pub graphql_page_takes: SignedDuration,
    /// The same of each tag that a mutation removes.
    pub graphql_removal_takes: SignedDuration,
    /// How far the time that answers are dated with is ahead of the clock.
    pub clock_ahead: SignedDuration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: Version::default(),
            backend: Backend::MetadataDatabase,
            tag_order: TagOrder::Bytewise,
            registry_host: "registry.gitlab.example.com".to_owned(),
            job_delay: SignedDuration::from_secs(2),
            page_size: 1000,
            max_list_size: 200,
            delete_timeout: Some(SignedDuration::from_secs(250)),
            tag_delete_duration: SignedDuration::ZERO,
            cache_creation_dates: true,
            immutable_tags_licensed: true,
            reject_pages_below_one: None,
            rate_limit: None,
            graphql: true,
            graphql_hidden_fields: BTreeSet::new(),
            graphql_tag_cursors: None,
            graphql_silent_nulls: false,
            pages_by_push_skip: false,
            strange_push_cursors: StrangeCursors::Moment,
            registry_lists_fail: false,
            registry_deletes_fail: false,
            bulk_jobs_fail: false,
            registry_unreachable: false,
            granular_groups: BTreeSet::new(),
            maintenance: Maintenance::Off,
            tag_rules_deny_repository: false,
            index_sizes_fail: false,
            graphql_tags_in_time: None,
            graphql_page_takes: SignedDuration::ZERO,
            graphql_removal_takes: SignedDuration::ZERO,
            clock_ahead: SignedDuration::ZERO,
        }
    }
}

impl Settings {
    /// Whether listing and cleanup take path A. Servers before 15 take path B whatever registry they have
    /// (gitlab-api reference 0 and 3).
    #[must_use]
    pub fn path_a(&self) -> bool {
        self.backend == Backend::MetadataDatabase && self.version >= Version::new(15, 0)
    }

    /// The order of tag listings on this path: path B knows no collation (gitlab-api reference 4).
    #[must_use]
    pub fn listing_order(&self) -> TagOrder {
        match self.tag_order {
            TagOrder::Locale if !self.path_a() => TagOrder::Bytewise,
            order => order,
        }
    }

    /// How GraphQL pages the tags of a repository (gitlab-api reference 8a): path A from 17.0 as the registry does,
    /// everything else by offset. Path B knows nothing but offsets.
    #[must_use]
    pub fn tag_cursors(&self) -> TagCursors {
        let by_version = if self.version >= Version::new(17, 0) { TagCursors::Registry } else { TagCursors::Offset };
        if self.path_a() { self.graphql_tag_cursors.unwrap_or(by_version) } else { TagCursors::Offset }
    }
}

/// The registry behind the instance (gitlab-api reference 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Path A: GitLab's registry with its metadata database.
    MetadataDatabase,
    /// Path B: GitLab's registry without it.
    PlainRegistry,
}

/// What may not be changed just now (gitlab-api reference 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Maintenance {
    /// Everything may.
    Off,
    /// Maintenance mode, or a read-only instance: writes are a 503 with `Retry-After`; before 18.2 a 403 without.
    ReadOnly,
    /// An organisation under maintenance: reads are a 503 as well.
    Organization,
}

/// The two ways in which GraphQL pages tags (gitlab-api reference 8a).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagCursors {
    /// The server has the whole list and cuts it; a cursor is a position. `first` above 20 is 20.
    Offset,
    /// Pages are the registry's and so are their cursors; `first` above 20 silently loses the rest of each page, and
    /// without `first` and `last` there is nothing.
    Registry,
}

/// What a cursor by push leads to that names no tag of the repository. The registry goes by the date and the name in
/// it, whether there is such a tag or not (container-registry, `docs/spec/gitlab/api.md`: sorting by published date).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrangeCursors {
    /// To the tags that were pushed after its moment.
    Moment,
    /// To an error.
    Error,
    /// To a page without tags, as a registry reads that refuses the cursor.
    Nothing,
    /// To the first page.
    Beginning,
    /// To the tags after its moment, but for every third.
    Gaps,
}

/// The order in which the registry lists tags. GitLab promises none; path A uses its database's collation, path B
/// bytes (gitlab-api reference 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagOrder {
    /// By the bytes of the name.
    Bytewise,
    /// As a database with a language's collation: letters before case, punctuation last.
    Locale,
    /// In the order of the first push.
    Pushed,
}

/// A GitLab release, from 11.8 to 18.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Version {
    /// The number before the dot.
    pub major: u16,
    /// The number after it.
    pub minor: u16,
}

impl Version {
    /// The release `major.minor`.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

impl Default for Version {
    fn default() -> Self {
        Self::new(18, 5)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not a version like 18.5");
        let (major, minor) = text.split_once('.').ok_or_else(wrong)?;
        Ok(Self::new(major.parse().map_err(|_| wrong())?, minor.parse().map_err(|_| wrong())?))
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

/// A limit of requests per caller and fixed window (gitlab-api reference 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Requests allowed in one window: per user with a token, per address without.
    pub requests: u64,
    /// Length of the window in seconds.
    pub period_seconds: u64,
    /// Whether every answer carries the `RateLimit-*` headers (recent servers) or only refused ones (older).
    pub headers_on_every_answer: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(Version::new(11, 8) < Version::new(12, 3));
        assert!(Version::new(16, 10) > Version::new(16, 4));
        assert_eq!("16.10".parse(), Ok(Version::new(16, 10)));
        assert!("16".parse::<Version>().is_err());
    }

    #[test]
    fn old_servers_take_path_b() {
        let mut settings = Settings::default();
        assert!(settings.path_a());
        settings.version = Version::new(13, 6);
        assert!(!settings.path_a());
    }
}
