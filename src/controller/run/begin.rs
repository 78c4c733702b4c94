//! Writes ahead what is about to happen: a crash from here on is an interruption, never a second run.

use std::sync::Arc;

use jiff::{Timestamp, tz};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::job::{Order, Run, Task};
use crate::api::{RegistryCleanupPolicy, RepositoryCounts, RunResult, RunStatus, TagCounts, Trigger};
use crate::cluster::status;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::gate::RunGate;
use crate::controller::notify::publish;
use crate::policy::approval::{Approver, approved_sentence};
use crate::policy::events::{Announcement, EventReason};
use crate::policy::next_action::Tokens;
use crate::policy::report;
use crate::policy::status_conditions::{self, Subject};

/// Writes the record of a run into the status of its policy.
///
/// # Errors
/// When it could not be written, and then nothing was done.
pub(super) async fn begin<'a>(
    context: &'a Context,
    before: &RegistryCleanupPolicy,
    order: Order<'a>,
) -> Result<Run<'a>, Error> {
    let (namespace, name) = (before.namespace().ok_or(Error::Nameless)?, before.name_any());
    let started = context.clock.now();
    let deadline = started.checked_add(order.policy.active_deadline).unwrap_or(Timestamp::MAX);
    let id = run_id(started, order.trigger);
    let generation = before.metadata.generation.unwrap_or_default();
    let mut status = before.status.clone().unwrap_or_default();
    status_conditions::note_trigger(&mut status, order.trigger, order.slot, Tokens::of(before));
    let approved = approved(before, &order);
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
    report::begin(&mut status, record(&order, &id, generation, started), deadline);
    let live = status::write(&context.policies(&namespace), before, &status, &context.dropped_fields()).await?;
    tracing::info!(
        run = id, %namespace, policy = name, trigger = order.trigger.as_str(), mode = order.mode.as_str(), "run begins"
    );
    if let Some(sentence) = approved {
        tracing::info!(run = id, %namespace, policy = name, "{sentence}");
        publish(context, &live, vec![Announcement::normal(EventReason::PlanApproved, &sentence)], "Begin").await;
    }
    let still_current = order.still_current.clone();
    let gate = RunGate::new(Arc::clone(&context.clock), deadline, context.shutdown.clone(), still_current);
    Ok(Run {
        context,
        task: Task::new(order.mode, order.trigger, before, started),
        others_before: before
            .status
            .as_ref()
            .and_then(|status| status.others_eligible_time.as_ref())
            .map(|time| time.0),
        order,
        live,
        generation,
        gate: Arc::new(gate),
        id,
        namespace,
        name,
    })
}

/// What is said of the plan that an approval lets be carried out.
fn approved(policy: &RegistryCleanupPolicy, order: &Order<'_>) -> Option<String> {
    let plan = Tokens::of(policy).approval.filter(|_| order.trigger == Trigger::Approved)?;
    let approver = Approver::of(policy.metadata.managed_fields.as_deref().unwrap_or_default());
    Some(approved_sentence(plan, approver.as_ref()))
}

fn record(order: &Order<'_>, id: &str, generation: i64, started: Timestamp) -> RunStatus {
    RunStatus {
        id: id.to_owned(),
        trigger: order.trigger,
        mode: order.mode,
        method: Some(order.policy.method.name()),
        gitlab: order.policy.base_url.to_string(),
        observed_generation: generation,
        start_time: Time(started),
        completion_time: None,
        result: RunResult::Running,
        summary: None,
        message: None,
        repositories: RepositoryCounts::default(),
        tags: TagCounts::default(),
        bytes: None,
    }
}

/// Names a run by when it began and why: two runs of one policy cannot begin in the same second for the same reason.
fn run_id(started: Timestamp, trigger: Trigger) -> String {
    let time = started.to_zoned(tz::TimeZone::UTC).strftime("%Y%m%d-%H%M%S").to_string();
    let suffix = match trigger {
        Trigger::Schedule => "scheduled",
        Trigger::RunRequested => "requested",
        Trigger::DryRunRequested => "preview",
        Trigger::Approved => "approved",
    };
    format!("{time}-{suffix}")
}
