//! A run in the status: what it is, who works on it, how far it has come and what it came to.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;
use super::vocabulary::{Method, Mode};
use crate::words::words;

/// A run that was cut short and goes on.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InterruptedRun {
    /// The id of that run.
    #[schemars(schema_with = "schema::run_id")]
    pub id: String,

    /// What had begun it.
    pub trigger: Trigger,

    /// What it did with the tags it selected.
    pub mode: Mode,

    /// It does not go on before this moment, since GitLab's limits let nothing through until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub resume_after: Option<Time>,

    /// It only goes on before this moment: startingDeadlineSeconds after its slot or, if it was asked for, after its
    /// beginning.
    #[schemars(schema_with = "schema::time")]
    pub resume_before: Time,

    /// The plan that it carried out, if it was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ApprovedPlan")]
    pub approved_plan: Option<ApprovedPlan>,
}

/// An approved plan that is being carried out.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedPlan {
    /// The hash of the plan, as in pendingApproval.
    #[schemars(schema_with = "schema::plan_hash")]
    pub plan_hash: String,

    /// The moment by which it was made.
    #[schemars(schema_with = "schema::time")]
    pub time: Time,

    /// What tells whether a tag belongs to it: 12 hexadecimal digits for each tag. Absent until the plan was made again
    /// and found to be the same, and where it has more than 2,500 tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::tag_marks")]
    pub tag_marks: Option<String>,
}

/// The run that another one goes on with.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Resumed {
    /// The id of that run.
    #[schemars(schema_with = "schema::run_id")]
    pub id: String,

    /// What had begun it.
    pub trigger: Trigger,
}

/// One run.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Identifies the run in events and logs.
    #[schemars(schema_with = "schema::run_id")]
    pub id: String,

    /// What began the run.
    pub trigger: Trigger,

    /// What the run did with the tags it selected.
    pub mode: Mode,

    /// How the run removed tags; absent where a run from before this field is told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Method")]
    pub method: Option<Method>,

    /// Address of the GitLab instance that the run spoke to.
    #[serde(rename = "gitlab")]
    #[schemars(schema_with = "schema::url_text")]
    pub gitlab: String,

    /// Host of its registry, as GitLab tells it: what an instance with two addresses is known by. Absent until a run
    /// has listed repositories there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::registry_host")]
    pub registry: Option<String>,

    /// The generation of the spec that the run went by.
    #[schemars(schema_with = "schema::generation")]
    pub observed_generation: i64,

    /// When the run began.
    #[schemars(schema_with = "schema::time")]
    pub start_time: Time,

    /// When the run ended; absent while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub completion_time: Option<Time>,

    /// The run that this one goes on with, if it was resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Resumed")]
    pub resumes: Option<Resumed>,

    /// The plan that the run carries out, if it was approved; absent once the run has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ApprovedPlan")]
    pub approved_plan: Option<ApprovedPlan>,

    /// How the run ended; Running or Stopping while it is under way.
    pub result: RunResult,

    /// Who works on the run, or worked on it: name and uid of the operator's Pod and a number of the process. As in a
    /// Lease of Kubernetes, the record of a run under way belongs to its holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::holder_identity")]
    pub holder_identity: Option<String>,

    /// When the holder last wrote this record: at least every 30 seconds while the run is under way. Nothing is sent to
    /// GitLab for a run whose record is older than 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub renew_time: Option<Time>,

    /// How far the run had come at renewTime; absent once its numbers are known, and where nobody wrote it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RunProgress")]
    pub progress: Option<RunProgress>,

    /// What the run came to in a few words, for example "41 removed" or "41 would go".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::short_text")]
    pub summary: Option<String>,

    /// What happened, in a sentence. While the run is under way, that it takes more requests than GitLab's limits let
    /// through at once, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::message")]
    pub message: Option<String>,

    /// How many repositories came to which result. Absent until the run has ended, and for ever where the operator
    /// stopped before it could record the end.
    #[serde(default, skip_serializing_if = "RepositoryCounts::is_nothing")]
    pub repositories: RepositoryCounts,

    /// How many tags the run saw, selected, asked to have removed, and saw gone. Absent where the repositories are.
    #[serde(default, skip_serializing_if = "TagCounts::is_nothing")]
    pub tags: TagCounts,

    /// How many requests the run sent to GitLab; absent while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::tag_count")]
    pub requests: Option<u64>,

    /// The size in bytes of the tags that were, or in a dry run would be, removed, as far as GitLab tells it. What
    /// GitLab's garbage collection frees is less where tags share layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::tag_count")]
    pub bytes: Option<u64>,
}

impl RunStatus {
    /// Whether somebody asked for it as a dry run, or for the one that it goes on with.
    #[must_use]
    pub fn is_preview(&self) -> bool {
        let trigger = self.resumes.as_ref().map_or(self.trigger, |run| run.trigger);
        trigger == Trigger::DryRunRequested
    }
}

/// How far a run that is under way has come.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunProgress {
    /// All repositories of the run; 0 until they are listed.
    #[schemars(schema_with = "schema::count")]
    pub repositories: u32,
    /// Repositories that are done.
    #[schemars(schema_with = "schema::count")]
    pub repositories_done: u32,
    /// Tags that an accepted request spoke of.
    #[schemars(schema_with = "schema::tag_count")]
    pub tags_requested: u64,
    /// Tags that are known to be gone. With Bulk that is found out after the requests.
    #[schemars(schema_with = "schema::tag_count")]
    pub tags_removed: u64,
    /// The size in bytes of the tags that are gone, as far as GitLab tells it.
    #[schemars(schema_with = "schema::tag_count")]
    pub bytes: u64,
}

words! {
/// What began a run.
#[derive(Deserialize, JsonSchema, Serialize)]
pub enum Trigger {
    /// The schedule.
    Schedule,
    /// A new value of the annotation registrycleanup.dev/run-requested-at.
    RunRequested,
    /// A new value of the annotation registrycleanup.dev/dry-run-requested-at.
    DryRunRequested,
    /// The annotation registrycleanup.dev/approve, which names the plan that waits.
    Approved,
    /// A run that was cut short because its operator was shut down or went away.
    Resumed,
}
}

words! {
/// How a run ended.
#[derive(Deserialize, JsonSchema, Serialize)]
pub enum RunResult {
    /// The run is under way. If no operator works on it, it turns into Interrupted.
    Running,
    /// The run sends nothing more, and awaits what it has sent: the policy was suspended, edited or deleted, the
    /// operator shuts down, or the deadline has come.
    Stopping,
    /// No repository failed.
    Succeeded,
    /// Some repositories failed, others did not.
    PartiallyFailed,
    /// The run, or every repository of it, failed.
    Failed,
    /// The run was stopped or its operator went away before it was through.
    Interrupted,
}
}

impl RunResult {
    /// Whether the run has not ended.
    #[must_use]
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Running | Self::Stopping)
    }
}

/// How many repositories came to which result.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RepositoryCounts {
    /// All repositories of the run.
    #[schemars(schema_with = "schema::count")]
    pub total: u32,
    /// Repositories from which tags are, or in a dry run would be, removed, and those that are counted as deleted.
    #[schemars(schema_with = "schema::count")]
    pub changed: u32,
    /// Repositories in which there was nothing to remove.
    #[schemars(schema_with = "schema::count")]
    pub unchanged: u32,
    /// Repositories left alone for a reason that is no failure, for example GitLab's one request an hour.
    #[schemars(schema_with = "schema::count")]
    pub skipped: u32,
    /// Repositories that could not be handled.
    #[schemars(schema_with = "schema::count")]
    pub failed: u32,
    /// Repositories without tags that GitLab was, or in a dry run would be, asked to delete.
    #[schemars(schema_with = "schema::count")]
    pub deleted: u32,
}

impl RepositoryCounts {
    /// Whether nothing was counted: no number is written then, since 0 would be one.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// How many tags a run saw, selected, asked to have removed, and saw gone.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TagCounts {
    /// Tags that were looked at: all of a repository, or, with Exact and an age in every rule, its oldest.
    #[schemars(schema_with = "schema::tag_count")]
    pub scanned: u64,
    /// Tags that the rules select: exactly those of the plan. Only in a Delete run of the method Bulk without limits it
    /// is all that match by name beyond the keepN, since the age is then judged by GitLab.
    #[schemars(schema_with = "schema::tag_count")]
    pub matched: u64,
    /// Tags among them that an accepted request spoke of.
    #[schemars(schema_with = "schema::tag_count")]
    pub requested: u64,
    /// Tags among those that this run removed: by a later, credible listing (Bulk) or by GitLab's own word (Exact).
    #[schemars(schema_with = "schema::tag_count")]
    pub confirmed: u64,
    /// Tags that stay because the cluster, or another one whose list is given, uses their image.
    #[schemars(schema_with = "schema::tag_count")]
    pub in_use: u64,
}

impl TagCounts {
    /// Whether nothing was counted: no number is written then, since 0 would be one.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}
