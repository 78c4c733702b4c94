//! Makes of a run's report the end of the run, which is then written into the policy.

use jiff::Timestamp;
use kube::ResourceExt;

use super::job::Run;
use super::report::Report;
use crate::api::{RepositoryResult, RunStatus};
use crate::policy::bulk_ledger;
use crate::policy::effect::{Assessment, with_note};
use crate::policy::finished_run::FinishedRun;
use crate::policy::repository_outcome::{End, Outcome, RepositoryReason};

/// What the run came to.
pub(super) fn finish(run: &Run<'_>, report: Report) -> FinishedRun {
    let now = run.context.clock.now();
    let (uid, healthy) = (run.live.uid().unwrap_or_default(), report.findings.trouble.is_none());
    log_failures(&report.outcomes);
    let effect = effect(run, &report);
    let outcomes = with_hours(run, report.registry.as_deref(), report.outcomes.into(), now);
    let finished = FinishedRun {
        namespace: run.namespace.clone(),
        name: run.name.clone(),
        uid,
        record: record(run, report.registry),
        policy: run.order.policy.clone(),
        history_limit: run.live.spec.history_limit,
        others_before: run.others_before,
        ended: now,
        end: report.end,
        requests: report.requests,
        outcomes,
        findings: report.findings,
        overlaps: report.overlaps,
        proposal: report.proposal,
        watched: report.watched,
        conflicts: report.conflicts,
        shared: report.shared,
        unused_registries: report.unused_registries,
        removed: run.close_record(),
        effect,
    };
    if finished.says_of_credentials() {
        run.context.memory().note_check(&finished.uid, run.generation, now, healthy);
    }
    log_end(run, &finished);
    finished
}

/// Whether the policy does what it seems to say. A run that did not come through has nothing to say about it.
fn effect(run: &Run<'_>, report: &Report) -> Option<Assessment> {
    let target = report.target.as_ref().filter(|_| report.end == End::Completed)?;
    let found = run.seen().verdict(target, &report.outcomes, run.order.policy);
    let wanted = run.order.policy.protection.in_use;
    let absent = if wanted { run.context.absent_kinds() } else { Vec::new() };
    Some(Assessment { message: with_note(&found.message, &absent), ..found })
}

/// The record of the run, with the registry and with what belongs to the approved plan that it carried out.
fn record(run: &Run<'_>, registry: Option<String>) -> RunStatus {
    let mut record = run.record.clone();
    record.registry = registry.or(record.registry);
    if let (Some(plan), Some(marks)) = (record.approved_plan.as_mut(), run.progress.marks()) {
        plan.tag_marks = Some(marks);
    }
    record
}

/// Says of every repository from when on it may get a bulk deletion, if that lies ahead: the status is all that is left
/// of it after a restart, and a repository that it names without a time is free.
fn with_hours(run: &Run<'_>, registry: Option<&str>, outcomes: Vec<Outcome>, now: Timestamp) -> Vec<Outcome> {
    let instance = run.order.policy.base_url.to_string();
    let owner = format!("{}/{}", run.namespace, run.name);
    let mut ledger = run.context.ledger();
    ledger.prune(now);
    let until = |outcome: &Outcome| {
        let location = registry.map(|registry| format!("{registry}/{}", outcome.path)).unwrap_or_default();
        let repository =
            bulk_ledger::Repository { instance: &instance, location: &location, id: outcome.id, path: &outcome.path };
        ledger.blocked(repository, &owner, now).map(|blocked| blocked.until)
    };
    let with_hour = |outcome: Outcome| Outcome { eligible: outcome.eligible.or_else(|| until(&outcome)), ..outcome };
    // A project or group that could not be listed is no repository.
    outcomes.into_iter().map(|outcome| if outcome.id == 0 { outcome } else { with_hour(outcome) }).collect()
}

fn log_failures(outcomes: &[Outcome]) {
    for outcome in outcomes.iter().filter(|outcome| outcome.result == RepositoryResult::Failed) {
        let reason = outcome.reason.map(RepositoryReason::as_str).unwrap_or_default();
        let detail = outcome.message.as_deref().unwrap_or_default();
        // What could not be listed has no repositories.
        match outcome.path.split_once(' ').filter(|_| outcome.id == 0) {
            Some(("group", group)) => tracing::warn!(group, reason, detail, "group failed"),
            Some((_, project)) => tracing::warn!(project, reason, detail, "project failed"),
            None => tracing::warn!(repository = outcome.path, reason, detail, "repository failed"),
        }
    }
}

fn log_end(of: &Run<'_>, finished: &FinishedRun) {
    let Some(run) = finished.ended_record() else { return };
    of.context.counts.run_ended((&of.namespace, &of.name), &run, &finished.outcomes);
    let took = finished.ended.duration_since(run.start_time.0);
    tracing::info!(
        mode = run.mode.as_str(),
        result = run.result.as_str(),
        seconds = took.as_secs_f64(),
        repositories = run.repositories.total,
        scanned = run.tags.scanned,
        matched = run.tags.matched,
        requested = run.tags.requested,
        confirmed = run.tags.confirmed,
        in_use = run.tags.in_use,
        detail = run.message.as_deref().unwrap_or_default(),
        "run ended"
    );
}
