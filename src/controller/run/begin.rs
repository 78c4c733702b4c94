//! Writes ahead what is about to happen: a crash from here on is an interruption, never a second run.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use kube::ResourceExt;

use super::job::{Order, Run, Task};
use crate::api::{Mode, PolicyStatus, RegistryCleanupPolicy, RunStatus, Trigger};
use crate::cluster::status;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::gate::RunGate;
use crate::controller::hours;
use crate::controller::notify::publish;
use crate::controller::renewal::{Renewal, moment};
use crate::policy::approval::{Approver, approved_sentence};
use crate::policy::events::{Announcement, EventReason};
use crate::policy::forced_dry_run;
use crate::policy::new_run::NewRun;
use crate::policy::next_action::Tokens;
use crate::policy::report;
use crate::policy::request_budget;
use crate::policy::status_conditions::{self, Subject};

/// Writes the record of a run into the status of its policy, as it was read when the run was decided.
///
/// # Errors
/// When it could not be written, and then nothing was done; [`Error::is_conflict`] if somebody wrote the policy since.
pub(super) async fn begin<'a>(
    context: &'a Context,
    before: &RegistryCleanupPolicy,
    order: Order<'a>,
) -> Result<Run<'a>, Error> {
    let (namespace, name) = (before.namespace().ok_or(Error::Nameless)?, before.name_any());
    let begun = moment(&*context.clock);
    let started = begun.wall;
    let deadline = started.checked_add(order.policy.active_deadline).unwrap_or(Timestamp::MAX);
    let generation = before.metadata.generation.unwrap_or_default();
    let mut status = before.status.clone().unwrap_or_default();
    hours::settle(context, before, &mut status).await;
    learn(context, before, &status);
    let Order { policy, trigger, mode, .. } = order;
    let holder = context.identity.as_str();
    let record = NewRun { policy, trigger, mode, generation, holder, started }.record(&status);
    status_conditions::note_trigger(&mut status, order.trigger, order.slot, Tokens::of(before));
    forced_dry_run::note(&mut status, policy, generation, started);
    let approved = approved(context, before, &order).await;
    if let Some(sentence) = &approved {
        status_conditions::note_approved(&mut status, sentence, started);
    }
    if !order.policy.suspended {
        let definition = context.definition().clone();
        status_conditions::arm(
            &mut status,
            Subject { policy: order.policy, generation, definition: &definition, now: started },
        );
    }
    report::begin(&mut status, record.clone(), deadline, order.policy.timeout);
    let others_before = others_before(before, &record);
    let live = write(context, before, &status).await?;
    let id = record.id.clone();
    tracing::info!(
        run = id, %namespace, policy = name, trigger = order.trigger.as_str(), mode = order.mode.as_str(), "run begins"
    );
    if let Some(sentence) = approved {
        tracing::info!(run = id, %namespace, policy = name, "{sentence}");
        publish(context, &live, vec![Announcement::normal(EventReason::PlanApproved, &sentence)], "Begin").await;
    }
    let renewal = Arc::new(Renewal::new(begun));
    let gate = gate(context, &order, deadline, started);
    Ok(Run {
        context,
        task: Task::new(order.mode, order.trigger, before, started),
        others_before,
        requests_before: request_budget::sent_before(before.status.as_ref(), order.policy.method.name(), order.mode),
        order,
        live,
        generation,
        gate: Arc::new(gate.renewed_by(Arc::clone(&renewal))),
        renewal,
        progress: Arc::default(),
        seen: Mutex::default(),
        removed: (context.history_limit > 0).then(Mutex::default),
        begun,
        record,
        id,
        namespace,
        name,
    })
}

/// The gate of a run. One that only tells goes on during a pause, and within an exclude window.
fn gate(context: &Context, order: &Order<'_>, deadline: Timestamp, started: Timestamp) -> RunGate {
    let gate = context.gate(deadline, order.still_current.clone());
    if order.mode != Mode::Delete {
        return gate;
    }
    gate.paused_by(context.pause_switch().cloned()).until_window(order.policy.windows.closes_at(started))
}

/// What is said of the plan that an approval lets be carried out. Who set the annotation is read apart: nothing else
/// needs `managedFields`, so policies are kept without them.
async fn approved(context: &Context, policy: &RegistryCleanupPolicy, order: &Order<'_>) -> Option<String> {
    let plan = Tokens::of(policy).approval.filter(|_| order.trigger == Trigger::Approved)?;
    let metadata = context.policies(&policy.namespace()?).get_metadata(&policy.name_any()).await;
    let fields = metadata.ok().and_then(|object| object.metadata.managed_fields);
    let approver = Approver::of(fields.as_deref().unwrap_or_default());
    Some(approved_sentence(plan, approver.as_ref()))
}

/// Learns what GitLab took within the last hour from a run of another process, which this one cannot know otherwise.
fn learn(context: &Context, before: &RegistryCleanupPolicy, status: &PolicyStatus) {
    if status.last_run.as_ref().is_some_and(|run| run.holder_identity.as_deref() != Some(context.identity.as_str())) {
        hours::remember(context, before, status);
    }
}

/// What holds for repositories that the status does not name from before the run: of the same instance, that is.
fn others_before(before: &RegistryCleanupPolicy, record: &RunStatus) -> Option<Timestamp> {
    let status = before.status.as_ref()?;
    status.last_run.as_ref().filter(|run| run.gitlab == record.gitlab)?;
    status.others_eligible_time.as_ref().map(|time| time.0)
}

/// Writes the status; where the answer was lost, or was that to a second attempt of the client's own, looks whether it
/// is there.
async fn write(
    context: &Context,
    before: &RegistryCleanupPolicy,
    status: &PolicyStatus,
) -> Result<RegistryCleanupPolicy, Error> {
    let policies = context.policies(&before.namespace().ok_or(Error::Nameless)?);
    let error = match status::write(&policies, before, status, &context.dropped_fields()).await {
        Ok(live) => return Ok(live),
        Err(error) => error,
    };
    let id = |policy: &PolicyStatus| policy.last_run.as_ref().map(|run| (run.id.clone(), run.holder_identity.clone()));
    match status::get_live(&policies, &before.name_any()).await {
        Ok(Some(live)) if live.uid() == before.uid() && live.status.as_ref().and_then(id) == id(status) => Ok(live),
        _ => Err(error.into()),
    }
}
