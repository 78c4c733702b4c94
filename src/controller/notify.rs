//! Writes what changed in a policy's status, and tells of it: the only place that publishes events and notifications,
//! and that logs when a policy becomes ready or stops being so.

use std::time::Duration;

use kube::{Resource, ResourceExt};

use crate::api::conditions::{self, ConditionStatus, READY};
use crate::api::{PolicyStatus, RegistryCleanupPolicy};
use crate::cluster::{events::Note, status};
use crate::policy::events::{self, Announcement};
use crate::policy::finished_run::{FinishedRun, Fit};
use crate::policy::{notifications, status_conditions};

use super::context::Context;
use super::error::Error;
use super::{history, hours};
use crate::causes::chain;

/// Pauses in seconds between attempts to write what runs came to while the operator ends.
const LAST_PAUSES: [u64; 4] = [1, 2, 4, 8];
/// How often the end of a run is written into what somebody else wrote meanwhile, before it has to wait.
const MAX_CONFLICTS: usize = 5;

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
/// When the status could not be written; [`Error::is_conflict`] if somebody wrote the policy since it was read, so that
/// it has to be looked at anew.
pub(crate) async fn commit(context: &Context, change: Change) -> Result<RegistryCleanupPolicy, Error> {
    let Change { live, mut status, events, action } = change;
    status_conditions::note_waiting(&mut status, context.clock.now());
    hours::settle(context, &live, &mut status).await;
    if live.status.as_ref() == Some(&status) {
        return Ok(live);
    }
    let policies = context.policies(&live.namespace().ok_or(Error::Nameless)?);
    let written = {
        // Never closed.
        let _turn = context.whole_policies.acquire().await;
        status::write(&policies, &live, &status, &context.dropped_fields()).await?
    };
    log_standing(&live, &status);
    if let Some(notifier) = &context.notifier {
        // Once it is written, and by who wrote it: nobody else tells of it.
        for notification in notifications::of_change(&live, &status, context.clock.now()) {
            notifier.send(notification);
        }
    }
    let mut all = events::transitions(live.status.as_ref().unwrap_or(&PolicyStatus::default()), &status);
    all.extend(events);
    publish(context, &written, all, &action).await;
    Ok(written)
}

/// Writes what a run came to into the policy as it is now, whoever wrote it since. It is the only trace of the run in
/// the cluster, so it is kept until it is written, ahead of anything else for this policy.
///
/// # Errors
/// When it could not be written. A policy that is gone is `None`.
pub(crate) async fn commit_end(
    context: &Context,
    mut live: RegistryCleanupPolicy,
    run: FinishedRun,
) -> Result<Option<RegistryCleanupPolicy>, Error> {
    let policies = context.policies(&run.namespace);
    let mut conflicts = 0;
    loop {
        let written = match end_of(context, &live, &run) {
            Some(change) => commit(context, change).await,
            None => Ok(live),
        };
        let error = match written {
            Ok(written) => {
                context.memory().forget_end(&run.uid);
                history::keep(context, &written, &run).await;
                return Ok(Some(written));
            }
            Err(error) if error.is_conflict() && conflicts < MAX_CONFLICTS => {
                conflicts += 1;
                match status::get_live(&policies, &run.name).await {
                    Ok(Some(now)) if now.uid().as_ref() == Some(&run.uid) => {
                        live = now;
                        continue;
                    }
                    Ok(_) => return Ok(forget(context, &run)),
                    Err(error) => error.into(),
                }
            }
            Err(Error::Status(error)) if error.is_gone() => return Ok(forget(context, &run)),
            Err(error) => error,
        };
        tracing::warn!(
            run = run.record.id, namespace = run.namespace, policy = run.name, error = %chain(&error),
            "the end of a run is kept until it can be written"
        );
        context.memory().keep_end(run);
        return Err(error);
    }
}

/// There is no policy any more that could tell of the run.
fn forget<T>(context: &Context, run: &FinishedRun) -> Option<T> {
    tracing::info!(run = run.record.id, namespace = run.namespace, policy = run.name, "the policy of a run is gone");
    context.memory().forget_end(&run.uid);
    None
}

/// What the end of a run changes in a policy, if anything.
fn end_of(context: &Context, live: &RegistryCleanupPolicy, run: &FinishedRun) -> Option<Change> {
    let mut status = live.status.clone().unwrap_or_default();
    let definition = context.definition().clone();
    let reader = context.reader(&run.namespace);
    let generation = live.metadata.generation.unwrap_or_default();
    let events = match run.write_into(&mut status, generation, &definition, reader) {
        Fit::Nothing => return None,
        Fit::Amended => Vec::new(),
        Fit::Ended => run.events(&status, reader),
    };
    Some(Change { live: live.clone(), status, events, action: format!("Run-{}", run.record.id) })
}

/// Writes what could not be written yet of runs that ended, when the operator is about to end as well.
pub(crate) async fn commit_rest(context: &Context) {
    for pause in LAST_PAUSES {
        let rest = context.memory().all_unwritten();
        if rest.is_empty() {
            return;
        }
        context.clock.sleep(Duration::from_secs(pause)).await;
        for run in rest {
            let policies = context.policies(&run.namespace);
            match status::get_live(&policies, &run.name).await {
                Ok(Some(live)) if live.uid().as_ref() == Some(&run.uid) => {
                    _ = Box::pin(commit_end(context, live, run)).await;
                }
                Ok(_) => context.memory().forget_end(&run.uid),
                Err(error) => tracing::warn!(
                    run = run.record.id, namespace = run.namespace, policy = run.name, error = %chain(&error),
                    "the end of a run cannot be written"
                ),
            }
        }
    }
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
        context.events.publish(&about, note, context.clock.now()).await;
    }
}
