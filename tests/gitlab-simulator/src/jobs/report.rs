//! What a job was asked to do and what it did. GitLab has no such answer (gitlab-api reference 2): this is for tests.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The arguments of a bulk deletion (gitlab-api reference 1.1), with two that REST cannot set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CleanupParams {
    /// Deprecated alias of `name_regex_delete`.
    pub name_regex: Option<String>,
    /// Which tags may go.
    pub name_regex_delete: Option<String>,
    /// Which tags stay all the same.
    pub name_regex_keep: Option<String>,
    /// How many of the newest candidates stay.
    pub keep_n: Option<i64>,
    /// The age from which on candidates go.
    pub older_than: Option<String>,
    /// `false` lets `latest` go, too; internal (gitlab-api reference 2.1).
    pub keep_latest: Option<bool>,
    /// Runs as a cleanup policy, which has no user; internal (gitlab-api reference 8).
    pub container_expiration_policy: bool,
}

/// Overrides for one run of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobSwitches {
    /// Instead of the setting.
    pub page_size: Option<usize>,
    /// Instead of the setting.
    pub max_list_size: Option<usize>,
    /// What the time check after each page says, in order; then the clock decides.
    pub timeout_checks: Vec<bool>,
    /// The registry refuses every deletion.
    pub delete_fails: bool,
}

/// What a job does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// E8's job.
    #[default]
    BulkDelete,
    /// E4's job.
    DeleteRepository,
}

/// One job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JobReport {
    /// Number in order of the requests, from 1.
    pub id: u64,
    /// What it does.
    pub kind: JobKind,
    /// The repository it works on.
    pub repository: u64,
    /// The user it runs as.
    pub user: Option<u64>,
    /// Its arguments.
    pub params: CleanupParams,
    /// Its overrides.
    pub switches: JobSwitches,
    /// When it was asked for.
    pub enqueued_at: Timestamp,
    /// When it runs (next) or ran.
    pub due_at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// The outcome of the latest attempt, `None` before the first.
    pub outcome: Option<Outcome>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// The service reported success.
    #[default]
    Success,
    /// The service reported an error; what was deleted stays deleted.
    Error,
    /// It raised and may be retried.
    Raised,
    /// User, repository or project were gone: nothing happened.
    Ignored,
    /// The lease was taken, on servers that look at it inside the job (gitlab-api reference 1.5).
    Dropped,
}

/// What an attempt did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// How it ended.
    pub status: JobStatus,
    /// The service's message, empty on success.
    pub message: String,
    /// When it ran.
    pub finished_at: Timestamp,
    /// The tags it removed, in order.
    pub deleted: Vec<String>,
    /// The tags handed to the registry, one list per call of the delete service.
    pub batches: Vec<Vec<String>>,
    /// Whether a random sample was taken (gitlab-api reference 2.5).
    pub truncated: bool,
    /// List lengths along the way.
    pub sizes: Sizes,
}

impl Outcome {
    pub(super) fn ended(status: JobStatus, message: &str, at: Timestamp) -> Self {
        Self { status, message: message.to_owned(), finished_at: at, ..Self::default() }
    }
}

/// List lengths along the steps of gitlab-api reference 2.1; on path A summed over the pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Listed by the registry.
    pub original: usize,
    /// After the name filter.
    pub before_truncate: usize,
    /// After truncation.
    pub after_truncate: usize,
    /// After `keep_n` and `older_than`.
    pub before_delete: usize,
    /// Dates taken from the cache.
    pub cached: usize,
}
