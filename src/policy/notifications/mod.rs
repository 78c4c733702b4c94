//! What is told to a receiver outside of the cluster: which changes of a status are worth a notification.
//!
//! A notification is made of two statuses that follow one another, and of nothing else: what the status says already
//! was told when it was written, also by another process. Its id is made of what happened, so that a receiver knows a
//! repetition.

mod cloud_event;
pub mod tries;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::conditions::{self, CREDENTIALS_VALID, Condition, Reason};
use crate::api::limits::{MAX_MESSAGE, MAX_SHORT_MESSAGE, MAX_SHORT_TEXT, MAX_TAG, MAX_URL};
use crate::api::{
    APPROVE, PendingApproval, PolicyStatus, RegistryCleanupPolicy, RepositoryResult, RepositoryStatus, RunResult,
    RunStatus,
};
use crate::words::words;

pub use cloud_event::MAX_BODY;
use cloud_event::{CloudEvent, text};

/// Bytes of the hash that is the id of a notification, each two digits.
const ID_BYTES: usize = 16;

words! {
/// What a notification is about.
pub enum Subject {
    /// A run failed, or some of its repositories did.
    RunFailed,
    /// A plan waits for an approval.
    PlanWaits,
    /// The access token expires soon.
    TokenExpires,
}
}

impl Subject {
    /// The type of the event, as the receiver knows it.
    #[must_use]
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::RunFailed => "dev.registrycleanup.run.failed.v1",
            Self::PlanWaits => "dev.registrycleanup.plan.waiting.v1",
            Self::TokenExpires => "dev.registrycleanup.token.expiring.v1",
        }
    }
}

/// A message that is sent once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notification {
    /// The same for the same occurrence, whichever process tells of it.
    pub id: String,
    /// What it is about.
    pub subject: Subject,
    /// A `CloudEvent` as JSON, of at most [`MAX_BODY`] bytes.
    pub body: Vec<u8>,
}

/// What is to be told once `status` is written in place of the status that the policy has.
#[must_use]
pub fn of_change(live: &RegistryCleanupPolicy, status: &PolicyStatus, now: Timestamp) -> Vec<Notification> {
    let none = PolicyStatus::default();
    let old = live.status.as_ref().unwrap_or(&none);
    let failed = failed_run(old, status).map(|run| run_failed(live, status, run));
    let waits = new_plan(old, status).map(|plan| plan_waits(live, status, plan));
    let expires =
        token_expires(old, status).map(|(moment, condition)| token_notification(live, moment, condition, now));
    failed.into_iter().chain(waits).chain(expires).collect()
}

/// The run that failed, if the status did not say so before.
///
/// One that was interrupted is none: it goes on, or somebody stopped it.
fn failed_run<'s>(old: &PolicyStatus, new: &'s PolicyStatus) -> Option<&'s RunStatus> {
    let failed = |run: &&RunStatus| matches!(run.result, RunResult::Failed | RunResult::PartiallyFailed);
    let run = new.last_run.as_ref().filter(failed)?;
    let known = old.last_run.as_ref().filter(failed).is_some_and(|old| old.id == run.id);
    (!known).then_some(run)
}

/// The plan that waits, if another one or none did before.
fn new_plan<'s>(old: &PolicyStatus, new: &'s PolicyStatus) -> Option<&'s PendingApproval> {
    let plan = new.pending_approval.as_ref()?;
    let known = old.pending_approval.as_ref().is_some_and(|old| old.plan_hash == plan.plan_hash);
    (!known).then_some(plan)
}

/// When the token expires and what is said of it, if that is soon and the status did not say so of this moment before.
fn token_expires<'s>(old: &PolicyStatus, new: &'s PolicyStatus) -> Option<(Timestamp, &'s Condition)> {
    let (moment, condition) = expiring(new)?;
    let known = expiring(old).is_some_and(|(before, _)| before == moment);
    (!known).then_some((moment, condition))
}

fn expiring(status: &PolicyStatus) -> Option<(Timestamp, &Condition)> {
    let soon = |condition: &&Condition| condition.known_reason() == Some(Reason::TokenExpiringSoon);
    let condition = conditions::find(&status.conditions, CREDENTIALS_VALID).filter(soon)?;
    Some((status.token_expiration_time.as_ref()?.0, condition))
}

fn run_failed(live: &RegistryCleanupPolicy, status: &PolicyStatus, run: &RunStatus) -> Notification {
    let failed = status.repositories.iter().filter(|repository| repository.result == RepositoryResult::Failed);
    let named: Vec<Value> = failed.map(failed_repository).collect();
    let count = run.repositories.failed;
    let data = json!({
        "message": text(run.message.as_deref().unwrap_or_default(), MAX_MESSAGE),
        "run": {
            "id": text(&run.id, MAX_SHORT_MESSAGE),
            "trigger": run.trigger.as_str(),
            "mode": run.mode.as_str(),
            "result": run.result.as_str(),
            "gitlab": text(&run.gitlab, MAX_URL),
            "startTime": run.start_time,
            "completionTime": run.completion_time,
            "summary": run.summary.as_deref().map(|summary| text(summary, MAX_SHORT_TEXT)),
            "tags": run.tags,
            "repositories": run.repositories,
        },
    });
    let time = run.completion_time.as_ref().unwrap_or(&run.start_time).0;
    let told = Occurrence { subject: Subject::RunFailed, key: &run.id, time };
    notification(live, &told, data, named, count)
}

/// What is told of a repository that failed. One without an id is a project or group that could not be listed.
fn failed_repository(repository: &RepositoryStatus) -> Value {
    json!({
        "path": text(&repository.path, MAX_URL),
        "reason": repository.reason.as_deref().map(|reason| text(reason, MAX_SHORT_MESSAGE)),
        "message": repository.message.as_deref().map(|message| text(message, MAX_SHORT_MESSAGE)),
    })
}

fn plan_waits(live: &RegistryCleanupPolicy, status: &PolicyStatus, plan: &PendingApproval) -> Notification {
    let hash = text(&plan.plan_hash, MAX_SHORT_MESSAGE);
    let changed = status.repositories.iter().filter(|repository| repository.result == RepositoryResult::Changed);
    let named: Vec<Value> = changed.map(planned_repository).collect();
    let data = json!({
        "message": format!(
            "{} tags of {} repositories wait for an approval: annotate the policy with {APPROVE}={hash}",
            plan.tags, plan.repositories
        ),
        "plan": {"hash": hash, "tags": plan.tags, "repositories": plan.repositories, "time": plan.time},
    });
    let told = Occurrence { subject: Subject::PlanWaits, key: &plan.plan_hash, time: plan.time.0 };
    notification(live, &told, data, named, plan.repositories)
}

/// What is told of a repository with tags that would go: how many, and a few of them.
fn planned_repository(repository: &RepositoryStatus) -> Value {
    let samples: Vec<String> = repository.samples.iter().map(|tag| text(tag, MAX_TAG)).collect();
    json!({"path": text(&repository.path, MAX_URL), "tags": repository.tags.matched, "samples": samples})
}

fn token_notification(
    live: &RegistryCleanupPolicy,
    moment: Timestamp,
    condition: &Condition,
    now: Timestamp,
) -> Notification {
    let data = json!({
        "message": text(&condition.message, MAX_MESSAGE),
        "token": {
            "expirationTime": moment.to_string(),
            "gitlab": text(&live.spec.gitlab.url, MAX_URL),
            "secret": text(&live.spec.gitlab.secret_ref.name, MAX_SHORT_MESSAGE),
        },
    });
    let key = moment.to_string();
    let told = Occurrence { subject: Subject::TokenExpires, key: &key, time: now };
    notification(live, &told, data, Vec::new(), 0)
}

/// What happened, so that it can be told apart from everything else that happens to its policy.
struct Occurrence<'a> {
    subject: Subject,
    /// The run, the plan, or the moment at which the token expires.
    key: &'a str,
    time: Timestamp,
}

/// The message of an occurrence, with as many of the named repositories as fit, of so many in all.
fn notification(
    live: &RegistryCleanupPolicy,
    told: &Occurrence<'_>,
    data: Value,
    named: Vec<Value>,
    all: u32,
) -> Notification {
    let Occurrence { subject, key, time } = told;
    let id = id(live.metadata.uid.as_deref().unwrap_or_default(), *subject, key);
    let body = CloudEvent { live, id: &id, type_: subject.event_type(), time: *time, data, named, all }.into_body();
    Notification { id, subject: *subject, body }
}

/// Digits alone: the id is part of what is signed, where a dot separates.
fn id(uid: &str, subject: Subject, key: &str) -> String {
    let hash = Sha256::digest(format!("{uid}\n{subject}\n{key}"));
    hash.iter().take(ID_BYTES).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests;
