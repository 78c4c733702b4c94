//! The hour between the ledger, which ends with the process, and the cluster: what the ledger learns from a status,
//! what a status keeps for it, and the trace in the namespace for policies whose status is gone.

use std::collections::HashSet;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::{PolicyStatus, RegistryCleanupPolicy};
use crate::cluster::trace;
use crate::policy::bulk_ledger::{LONGEST_TIMEOUT, Owner, eligible_after_unseen};
use crate::policy::events::EventReason;
use crate::policy::{report, reserved_hours};

use super::context::Context;
use super::statuses;
use super::traces::Former;
use crate::causes::chain;

/// What the event says in which the trace is left.
const NOTE: &str = "GitLab was asked for bulk deletions for policies of this namespace; the annotation says until when \
                    their hours last";

/// Whether the spec is not the one that the last run of the status went by.
pub(crate) fn is_edited(policy: &RegistryCleanupPolicy, status: &PolicyStatus) -> bool {
    status.last_run.as_ref().map(|run| run.observed_generation) != policy.metadata.generation
}

/// Learns what other installations may have requested, for a run that has just written its beginning as `live`. Nothing
/// where no other looks after policies that are seen here.
///
/// # Errors
/// When the API server refuses to tell.
pub(crate) async fn learn_of_others(context: &Context, live: &RegistryCleanupPolicy) -> Result<(), kube::Error> {
    if !context.shard().selects_everything() {
        let version = live.resource_version();
        statuses::remember(context, Some(version.as_deref().unwrap_or_default())).await?;
    }
    Ok(())
}

/// Learns what the status of a policy tells.
pub(crate) fn remember(context: &Context, policy: &RegistryCleanupPolicy, status: &PolicyStatus) {
    let (uid, name) = (policy.uid().unwrap_or_default(), name(policy));
    let owner = Owner { uid: &uid, name: &name };
    context.ledger().remember(owner, status, &policy.spec.target, is_edited(policy, status));
}

/// Puts into a status that is about to be written what nobody else keeps: hours of policies that are gone, and where
/// the status itself was lost, all that is known and until when nothing is.
pub(crate) async fn settle(context: &Context, policy: &RegistryCleanupPolicy, status: &mut PolicyStatus) {
    let (now, uid) = (context.clock.now(), policy.uid());
    let lost = policy.status.as_ref().is_none_or(|status| status.observed_uid != uid);
    status.observed_uid.clone_from(&uid);
    reserved_hours::expire(status, now);
    let (uid, name) = (uid.unwrap_or_default(), name(policy));
    // Nearly always there is nothing to keep, and no need to go through all policies.
    let known: Option<HashSet<String>> = if context.ledger().is_empty() { None } else { context.policy_uids() };
    let is_alive = |uid: &str| known.as_ref().is_none_or(|known| known.contains(uid));
    let owner = Owner { uid: &uid, name: &name };
    let hours = context.ledger().to_keep(owner, &policy.spec.target, lost, is_alive, now);
    for hour in hours {
        reserved_hours::add(status, hour);
    }
    report::fit(status);
    if lost {
        if let Some(until) = forgotten(context, &policy.namespace().unwrap_or_default(), now).await {
            reserved_hours::forgotten(status, until);
        }
        remember(context, policy, status);
    }
}

/// Until when nobody knows what former processes requested for a policy without a status, if that lies ahead: what this
/// process requested it knows.
async fn forgotten(context: &Context, namespace: &str, now: Timestamp) -> Option<Timestamp> {
    let latest = latest(context);
    if latest <= now {
        return None;
    }
    match former(context, namespace).await {
        Ok(former) => former.map(|until| until.min(latest)).filter(|until| *until > now),
        Err(error) => {
            tracing::warn!(namespace, error = %chain(&error), "policies that are new wait for the hour");
            Some(latest)
        }
    }
}

/// The end of the last hour of a request of a former process, or of another installation, whatever it was.
fn latest(context: &Context) -> Timestamp {
    let alone = context.shard().selects_everything();
    eligible_after_unseen(if alone { context.started } else { context.clock.now() }, LONGEST_TIMEOUT)
}

/// What former processes left in a namespace, read once.
async fn former(context: &Context, namespace: &str) -> Result<Option<Timestamp>, trace::Error> {
    // Where other installations work as well, it may have changed since.
    let alone = context.shard().selects_everything();
    let known = if alone { context.traces().former(namespace) } else { Former::Unread };
    match known {
        Former::Until(until) => return Ok(Some(until)),
        Former::Nothing => return Ok(None),
        Former::Unread => {}
    }
    let former = trace::read(&context.kube, namespace).await?;
    context.traces().read(namespace, former);
    Ok(former)
}

/// Leaves a trace of requests of a run, whose hours last until then.
pub(crate) async fn trace(context: &Context, namespace: &str, uid: &str, until: Timestamp) {
    let now = context.clock.now();
    // What others left is not to be shortened.
    let _ = former(context, namespace).await;
    let all = context.traces().note(namespace, uid, until, latest(context));
    let said = (EventReason::BulkDeletionRequested.as_str(), NOTE);
    if let Err(error) = trace::write(&context.kube, namespace, all, said, now).await {
        tracing::warn!(namespace, error = %chain(&error), "a policy that is created anew may be too early");
    }
    context.traces().prune(now);
}

/// Says in the trace what the run came to.
pub(crate) async fn trace_end(context: &Context, namespace: &str, uid: &str) {
    let until = context.ledger().last_of(uid).unwrap_or_else(|| context.clock.now());
    trace(context, namespace, uid, until).await;
}

/// `namespace/name`, as the ledger knows a policy.
fn name(policy: &RegistryCleanupPolicy) -> String {
    format!("{}/{}", policy.namespace().unwrap_or_default(), policy.name_any())
}
