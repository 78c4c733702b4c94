//! Makes of a run's report the status that the policy gets, and the events.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::job::Run;
use super::report::Report;
use crate::api::{PolicyStatus, RepositoryResult};
use crate::controller::notify::Change;
use crate::policy::events::{self, Announcement, EventReason};
use crate::policy::overlap::Reader;
use crate::policy::repository_outcome::{End, Outcome, RepositoryReason};
use crate::policy::status_conditions::{self, Subject};
use crate::policy::{bulk_ledger, report};

/// What the run changes.
pub(super) fn finish(run: Run<'_>, report: Report) -> Change {
    let now = run.context.clock.now();
    let mut status = run.live.status.clone().unwrap_or_default();
    log_failures(&run, &report.outcomes);
    let outcomes = with_hours(&run, report.outcomes, now);
    if let Some(watched) = report.watched {
        status.empty_repositories = watched;
    }
    if let Some(conflicts) = report.conflicts {
        status.projects_with_cleanup_policy = conflicts;
    }
    let reader = run.context.reader(&run.namespace);
    let generation = run.live.metadata.generation.unwrap_or_default();
    if let Some(overlap) = &report.shared {
        status_conditions::note_overlap(&mut status, overlap, reader, generation, now);
    }
    let definition = run.context.definition().clone();
    if let Some(registries) = report.unused_registries {
        status.unused_registries = registries;
    }
    let limit = run.live.spec.history_limit;
    report::finish(&mut status, run.others_before, outcomes, &report.end, report.proposal, limit, now);
    report::add_remark(&mut status, definition.remark().as_deref());
    if !matches!(report.end, End::Stopped(_)) {
        // A run that was stopped says nothing about the credentials.
        let subject = Subject { policy: run.order.policy, generation, definition: &definition, now };
        status_conditions::checked(&mut status, subject, &report.findings);
        let (uid, healthy) = (run.live.uid().unwrap_or_default(), report.findings.trouble.is_none());
        run.context.memory().note_check(&uid, generation, now, healthy);
    }
    log_end(&run, &status);
    let mut events = events::run_ended(&status);
    events.extend(overlap(&report.overlaps, reader));
    Change { live: run.live, status, events, action: format!("Run-{}", run.id) }
}

/// Says of every repository from when on it may get a bulk deletion, if that lies ahead: the status is all that is left
/// of it after a restart, and a repository that it names without a time is free.
fn with_hours(run: &Run<'_>, outcomes: Vec<Outcome>, now: Timestamp) -> Vec<Outcome> {
    let instance = run.order.policy.base_url.to_string();
    let ledger = run.context.ledger();
    let until = |outcome: &Outcome| {
        let repository = bulk_ledger::Repository { instance: &instance, id: outcome.id, path: &outcome.path };
        ledger.blocked(repository, now).map(|blocked| blocked.until)
    };
    let with_hour = |outcome: Outcome| Outcome { eligible: outcome.eligible.or_else(|| until(&outcome)), ..outcome };
    // A project or group that could not be listed is no repository.
    outcomes.into_iter().map(|outcome| if outcome.id == 0 { outcome } else { with_hour(outcome) }).collect()
}

fn log_failures(run: &Run<'_>, outcomes: &[Outcome]) {
    for outcome in outcomes.iter().filter(|outcome| outcome.result == RepositoryResult::Failed) {
        tracing::warn!(
            run = run.id,
            namespace = run.namespace,
            policy = run.name,
            repository = outcome.path,
            reason = outcome.reason.map(RepositoryReason::as_str).unwrap_or_default(),
            detail = outcome.message.as_deref().unwrap_or_default(),
            "repository failed"
        );
    }
}

fn log_end(of: &Run<'_>, status: &PolicyStatus) {
    let Some(run) = &status.last_run else { return };
    let took = run.completion_time.as_ref().map_or(SignedDuration::ZERO, |end| end.0.duration_since(run.start_time.0));
    tracing::info!(
        run = of.id,
        namespace = of.namespace,
        policy = of.name,
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

/// One event about repositories that more than one policy looks after.
fn overlap(overlaps: &[(String, String)], to: Reader<'_>) -> Option<Announcement> {
    let (path, owner) = overlaps.first()?;
    let (namespace, name) = owner.split_once('/').unwrap_or(("", owner));
    let owner = to.shown(namespace, name);
    let owner = owner.map_or_else(|| "a policy of another namespace".to_owned(), |name| format!("policy {name}"));
    let others = overlaps.len() - 1;
    let more = if others == 0 { String::new() } else { format!(" and {others} more") };
    let note = format!("{path}{more}: {owner} asked GitLab to clean it within the hour, so this run left it alone");
    Some(Announcement::warning(EventReason::PolicyOverlap, note))
}
