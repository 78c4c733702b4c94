//! `status` of a policy: bounded whatever the size of the registry, and true to what was seen.
//!
//! Nothing here grows with the number of tags; the schema bounds every list and string and `policy::report` keeps to
//! it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions::Condition;
use super::run_status::{InterruptedRun, RunResult, RunStatus, TagCounts, Trigger};
use super::schema;
use super::vocabulary::Mode;

/// What the operator last saw and did.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The uid of the policy that this status was written for: one that was restored with a policy has that of another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::uid")]
    pub observed_uid: Option<String>,

    /// The generation of the spec that this status speaks of; -1 until the operator has looked at the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::generation")]
    pub observed_generation: Option<i64>,

    /// Ready, Reconciling, Stalled, LastRunSucceeded, CredentialsValid, Effective, Overlapping and others, each with a
    /// documented reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions::<Condition>")]
    pub conditions: Vec<Condition>,

    /// The last scheduled time for which a run was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_schedule_time: Option<Time>,

    /// The scheduled time at which the next run begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub next_schedule_time: Option<Time>,

    /// When a run last ended with the result Succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_successful_time: Option<Time>,

    /// How many runs in a row, up to the last one, did not end with Succeeded. One that had to wait for GitLab, a pause
    /// or an exclude window does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub consecutive_failures: Option<u32>,

    /// The value of the annotation registrycleanup.dev/run-requested-at that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::token")]
    pub last_handled_run_at: Option<String>,

    /// Values of the annotation registrycleanup.dev/run-requested-at that were acted on, newest first: the latest time,
    /// and the last ten that are no times. A value among them, and a time that is not later, is not acted on again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::handled_requests")]
    pub handled_run_requests: Vec<String>,

    /// The last request for a run that was refused, until a run begins or the policy is edited. Ready says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RefusedRunRequest")]
    pub refused_run_request: Option<RefusedRunRequest>,

    /// The value of the annotation registrycleanup.dev/dry-run-requested-at that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::token")]
    pub last_handled_dry_run_at: Option<String>,

    /// The same for the annotation registrycleanup.dev/dry-run-requested-at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::handled_requests")]
    pub handled_dry_run_requests: Vec<String>,

    /// The value of the annotation registrycleanup.dev/approve that was last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::token")]
    pub last_handled_approval: Option<String>,

    /// The plan that waits for an approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PendingApproval")]
    pub pending_approval: Option<PendingApproval>,

    /// When the access token expires, if GitLab says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub token_expiration_time: Option<Time>,

    /// The last run, or the one that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RunStatus")]
    pub last_run: Option<RunStatus>,

    /// The run that was cut short because its operator was shut down or went away, and that goes on as a new run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "InterruptedRun")]
    pub interrupted_run: Option<InterruptedRun>,

    /// The repository with which the next run begins: the first that the last one did not reach. Absent where it
    /// reached all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::repository_path")]
    pub next_repository: Option<String>,

    /// The repositories of the last run that matter most: failures first, then those that are deleted as a whole, then
    /// those with the most tags to remove.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::repositories::<RepositoryStatus>")]
    pub repositories: Vec<RepositoryStatus>,

    /// How many repositories of the last run are not listed above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub repositories_omitted: Option<u32>,

    /// No repository that this status does not list gets a bulk request from this policy's history before this moment:
    /// GitLab takes one per repository and hour, and what cannot be listed counts as requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub others_eligible_time: Option<Time>,

    /// Hours of repositories that repositories and othersEligibleTime do not speak of: those of GitLab instances that
    /// the policy had before, and those of policies that are gone. They are left out once they are over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::reserved_hours::<ReservedHours>")]
    pub reserved_hours: Vec<ReservedHours>,

    /// Repositories without tags, at most 50, since when every run that looked at them saw none. Kept while
    /// spec.emptyRepositories is set: one that is seen to be empty again, a day later or more, may be deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::empty_repositories::<EmptyRepository>")]
    pub empty_repositories: Vec<EmptyRepository>,

    /// Projects of the target, at most 20, in which GitLab's own cleanup policy is enabled, as far as the token may see
    /// it. It may remove what this policy keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::projects_with_cleanup_policy")]
    pub projects_with_cleanup_policy: Vec<String>,

    /// Other policies that look after repositories of this one; absent where there are none, or nobody has looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OverlapStatus")]
    pub overlapping: Option<OverlapStatus>,

    /// Registries of the target, at most 5, of which the cluster uses no image, as far as names tell, when a run last
    /// looked. If the cluster pulls from them under another name, spec.protect.registryAliases has to tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::unused_registries")]
    pub unused_registries: Vec<String>,

    /// Tags that share their dates, as after a registry import, and come of age together within seven days; as the last
    /// run that came through has seen them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ComingOfAge")]
    pub coming_of_age: Option<ComingOfAge>,

    /// Finished runs, the newest first, at most historyLimit of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::history::<HistoryEntry>")]
    pub history: Vec<HistoryEntry>,
}

/// Hours of repositories of one GitLab instance.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReservedHours {
    /// Address of the instance; empty where it is not known, so that it may be any.
    #[schemars(schema_with = "schema::url_text")]
    pub gitlab: String,

    /// Host of its registry, by which it is known under another address as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::registry_host")]
    pub registry: Option<String>,

    /// The repositories, at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::repositories::<ReservedHour>")]
    pub repositories: Vec<ReservedHour>,

    /// No other repository of the instance gets a bulk request from this policy before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub others_eligible_time: Option<Time>,
}

/// The hour of one repository.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReservedHour {
    /// Full path of the repository.
    #[schemars(schema_with = "schema::repository_path")]
    pub path: String,

    /// GitLab's numeric id of the repository.
    #[schemars(schema_with = "schema::id")]
    pub id: u64,

    /// Before this moment the repository gets no bulk request.
    #[schemars(schema_with = "schema::time")]
    pub next_eligible_time: Time,
}

/// Other policies that look after the same repositories.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OverlapStatus {
    /// The policies, at most 20: those of the same namespace by name, those of other namespaces as namespace/name where
    /// the operator may name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::overlapping_policies")]
    pub policies: Vec<String>,

    /// How many policies are not named above.
    #[serde(default)]
    #[schemars(schema_with = "schema::count")]
    pub others: u32,

    /// How many repositories of this policy at least one of them looks after as well.
    #[serde(default)]
    #[schemars(schema_with = "schema::count")]
    pub repositories: u32,
}

/// A request for a run that was refused.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct RefusedRunRequest {
    /// The value that the annotation registrycleanup.dev/run-requested-at had.
    #[schemars(schema_with = "schema::token")]
    pub value: String,

    /// Why no run began, and what to do.
    #[schemars(schema_with = "schema::message")]
    pub message: String,
}

/// A plan that waits for an approval.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingApproval {
    /// Names the plan: a hash over what would be removed (repository, tag, digest) and the generation of the spec. The
    /// value that the annotation registrycleanup.dev/approve must have for the plan to be carried out.
    #[schemars(schema_with = "schema::plan_hash")]
    pub plan_hash: String,

    /// How many tags would be removed.
    #[schemars(schema_with = "schema::tag_count")]
    pub tags: u64,

    /// In how many repositories.
    #[schemars(schema_with = "schema::count")]
    pub repositories: u32,

    /// The moment by which the plan was made: ages are reckoned from it, and what is pushed later stays.
    #[schemars(schema_with = "schema::time")]
    pub time: Time,
}

/// Tags of few moments that reach olderThan together.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ComingOfAge {
    /// When the first of them do.
    #[schemars(schema_with = "schema::time")]
    pub time: Time,

    /// How many there are, at least: not all of them need to be read.
    #[schemars(schema_with = "schema::tag_count")]
    pub tags: u64,

    /// In how many repositories.
    #[schemars(schema_with = "schema::count")]
    pub repositories: u32,
}

/// A repository in which runs saw no tag.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct EmptyRepository {
    /// GitLab's numeric id of the repository.
    #[schemars(schema_with = "schema::id")]
    pub id: u64,

    /// Full path of the repository.
    #[schemars(schema_with = "schema::repository_path")]
    pub path: String,

    /// When a run first saw it without tags. No run has seen it with tags since.
    #[schemars(schema_with = "schema::time")]
    pub since: Time,
}

/// One repository of the last run.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryStatus {
    /// Full path of the repository.
    #[schemars(schema_with = "schema::repository_path")]
    pub path: String,

    /// GitLab's numeric id of the repository.
    #[schemars(schema_with = "schema::id")]
    pub id: u64,

    /// What the run came to here.
    pub result: RepositoryResult,

    /// Why, as one of the documented reasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::reason")]
    pub reason: Option<String>,

    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::short_message")]
    pub message: Option<String>,

    /// The run's numbers for this repository.
    #[serde(default)]
    pub tags: TagCounts,

    /// Up to ten of the tags that were, or in a dry run would be, removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::samples")]
    pub samples: Vec<String>,

    /// Before this moment the repository gets no further bulk request: GitLab takes one an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub next_eligible_time: Option<Time>,
}

/// What a run came to in one repository.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum RepositoryResult {
    /// Tags, or the repository itself, are, or in a dry run would be, removed.
    Changed,
    /// There was nothing to remove.
    Unchanged,
    /// Left alone for a reason that is no failure.
    Skipped,
    /// Could not be handled.
    Failed,
}

/// One finished run in short.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Identifies the run in events and logs.
    #[schemars(schema_with = "schema::run_id")]
    pub id: String,
    /// What began the run.
    pub trigger: Trigger,
    /// What the run did with the tags it selected.
    pub mode: Mode,
    /// When the run began.
    #[schemars(schema_with = "schema::time")]
    pub start_time: Time,
    /// When the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub completion_time: Option<Time>,
    /// How the run ended.
    pub result: RunResult,
    /// What happened, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::short_message")]
    pub message: Option<String>,
    /// The run's numbers; absent where they were never recorded.
    #[serde(default, skip_serializing_if = "TagCounts::is_nothing")]
    pub tags: TagCounts,
}
