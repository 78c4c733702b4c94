//! Writes what changed in a policy's status, and tells of it: the only place that publishes events, and that logs when
//! a policy becomes ready or stops being so.

use std::time::Duration;

use kube::{Resource, ResourceExt};

use crate::api::conditions::{self, ConditionStatus, READY};
use crate::api::{PolicyStatus, RegistryCleanupPolicy};
use crate::cluster::{events::Note, status};
use crate::policy::events::{self, Announcement};
use crate::policy::status_conditions;

use super::context::Context;
use super::error::{Error, chain};

/// How often, and with which pauses in seconds, the status of a finished run is written before giving up. What is lost
/// then are numbers: the status still says Running, and the next reconciliation makes Interrupted of it.
const FINISH_PAUSES: [u64; 4] = [1, 2, 4, 8];

/// What is to change in a policy.
pub(crate) struct Change {
    /// The policy as it is.
    pub(crate) live: RegistryCleanupPolicy,
    /// Its status from now on.
    pub(crate) status: PolicyStatus,
    /// Events besides those that the change of the status itself is worth.
    pub(crate) events: Vec<Announcement>,
    /// What the events say that the operator did.
    pub(crate) action: String,
}

/// Writes a status if it differs from what is there, publishes what the difference is worth, and answers the policy as
/// it then stands.
///
/// # Errors
/// When the status could not be written.
pub(crate) async fn commit(context: &Context, change: Change) -> Result<RegistryCleanupPolicy, Error> {
    write(context, change, When::Always).await
}

/// The same for what was decided by generation and annotations: only while they are as they were read, so that whatever
/// is written before `status.observedGeneration` says so was seen with the generation, and nothing else was.
///
/// # Errors
/// When the status could not be written; [`Error::is_conflict`] if something else was since.
pub(crate) async fn commit_decision(context: &Context, change: Change) -> Result<RegistryCleanupPolicy, Error> {
    write(context, change, When::Unchanged).await
}

/// The same for the end of a run. Tried several times, since it is the only trace in the cluster.
///
/// # Errors
/// When the status could not be written; the next reconciliation finds the run still running and records an
/// interruption.
pub(crate) async fn commit_run(context: &Context, change: Change) -> Result<RegistryCleanupPolicy, Error> {
    write(context, change, When::Patiently(&FINISH_PAUSES)).await
}

/// Which writes are made.
#[derive(Clone, Copy)]
enum When<'a> {
    /// Whoever else wrote meanwhile.
    Always,
    /// If nobody wrote the object since it was read.
    Unchanged,
    /// Again, after pauses in seconds.
    Patiently(&'a [u64]),
}

async fn write(context: &Context, change: Change, when: When<'_>) -> Result<RegistryCleanupPolicy, Error> {
    let Change { live, mut status, events, action } = change;
    status_conditions::note_waiting(&mut status, context.clock.now());
    if live.status.as_ref() == Some(&status) {
        return Ok(live);
    }
    log_standing(&live, &status);
    let policies = context.policies(&live.namespace().ok_or(Error::Nameless)?);
    let dropped = context.dropped_fields();
    let mut pauses = if let When::Patiently(pauses) = when { pauses } else { &[] }.iter();
    let written = loop {
        let written = match when {
            When::Unchanged => status::write_if_unchanged(&policies, &live, &status, &dropped).await,
            When::Always | When::Patiently(_) => status::write(&policies, &live, &status, &dropped).await,
        };
        match (written, pauses.next()) {
            (Ok(written), _) => break written,
            (Err(error), Some(pause)) if !error.is_gone() => {
                tracing::warn!(action, error = %chain(&error), "the status of a finished run is written again");
                context.clock.sleep(Duration::from_secs(*pause)).await;
            }
            (Err(error), _) => return Err(error.into()),
        }
    };
    let mut all = events::transitions(live.status.as_ref().unwrap_or(&PolicyStatus::default()), &status);
    all.extend(events);
    publish(context, &written, all, &action).await;
    Ok(written)
}

/// One line when a policy becomes ready or stops being so, or for another reason.
fn log_standing(before: &RegistryCleanupPolicy, status: &PolicyStatus) {
    let standing = |status: &PolicyStatus| {
        conditions::find(&status.conditions, READY).map(|ready| (ready.status, ready.reason.clone()))
    };
    let now = standing(status);
    if before.status.as_ref().and_then(standing) == now {
        return;
    }
    let Some(ready) = conditions::find(&status.conditions, READY) else { return };
    let (namespace, policy) = (before.namespace(), before.name_any());
    let (reason, detail) = (&ready.reason, &ready.message);
    match ready.status {
        ConditionStatus::False => tracing::warn!(namespace, policy, reason, detail, "policy is not ready"),
        ConditionStatus::True => tracing::info!(namespace, policy, reason, detail, "policy is ready"),
        ConditionStatus::Unknown => tracing::info!(namespace, policy, reason, detail, "policy is being looked at"),
    }
}

/// Publishes events about an object.
pub(crate) async fn publish<K: Resource<DynamicType = ()>>(
    context: &Context,
    object: &K,
    events: Vec<Announcement>,
    action: &str,
) {
    let about = object.object_ref(&());
    for event in events {
        let note = Note {
            warning: event.warning,
            reason: event.reason.as_str(),
            text: &event.note,
            action: action.to_owned(),
            repository: event.repository.as_deref(),
        };
        context.events.publish(&about, note).await;
    }
}
