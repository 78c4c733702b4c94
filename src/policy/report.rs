//! From what happened in each repository to what the status says: bounded, sorted, true.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::conditions::{self, ConditionStatus, LAST_RUN_SUCCEEDED, Reason, shorten};
use crate::api::limits::{MAX_MESSAGE, MAX_REPOSITORIES, MAX_REPOSITORY_PATH, MAX_SAMPLES, MAX_SHORT_MESSAGE};
use crate::api::{
    HistoryEntry, Mode, PolicyStatus, RepositoryCounts, RepositoryResult, RepositoryStatus, RunProgress, RunResult,
    RunStatus, TagCounts,
};

use super::bulk_ledger::{eligible_after_unseen, last_sent};
use super::repository_outcome::{End, Outcome, Proposal, RepositoryReason, Stop, coming_of_age, remarks};
use super::reserved_hours;

/// Serialized status stays below this, in bytes: etcd takes 1.5 MiB, but every watcher gets every copy.
pub const MAX_STATUS_BYTES: usize = 64 * 1024;
/// Writes a run that begins into the status, before anything is removed. `deadline` bounds the moment of its last
/// request, each of which has `timeout`.
pub fn begin(status: &mut PolicyStatus, run: RunStatus, deadline: Timestamp, timeout: Duration) {
    reserved_hours::leave_instance(status, &run.gitlab);
    fit(status);
    if run.mode == Mode::Delete {
        // Should nobody ever finish this run, what it may have requested is not known by name.
        extend_others(status, Some(eligible_after_unseen(deadline, timeout)));
    }
    status.last_run = Some(run);
}

/// Writes a run that ended into the status. `others_before` is `othersEligibleTime` as it was before the run began:
/// what this run did not look at stays reserved. Does nothing when the status knows of no run.
pub fn finish(
    status: &mut PolicyStatus,
    others_before: Option<Timestamp>,
    outcomes: Vec<Outcome>,
    end: &End,
    proposal: Proposal,
    history_limit: u32,
    now: Timestamp,
) {
    let Some(mut run) = status.last_run.take() else { return };
    run.completion_time = Some(Time(now));
    run.renew_time = run.renew_time.map(|_| Time(now));
    run.progress = None;
    run.approved_plan = None;
    run.repositories = count_repositories(&outcomes);
    run.tags = count_tags(&outcomes);
    run.result = result(&run.repositories, end);
    run.summary = Some(summary(&run));
    run.message = Some(shorten(&message(&run, &outcomes, end), MAX_MESSAGE));
    run.bytes = Some(outcomes.iter().map(|outcome| outcome.bytes).sum()).filter(|bytes| *bytes > 0);
    match proposal {
        Proposal::AsBefore => {}
        Proposal::Nothing => status.pending_approval = None,
        Proposal::Plan(plan) => status.pending_approval = Some(plan),
    }
    let why = why(run.result, &outcomes, end);
    if *end == End::Completed {
        status.coming_of_age = coming_of_age(&outcomes);
    }

    // This run knows exactly what it requested, so its own precaution is over; what earlier ones left stays.
    status.others_eligible_time = others_before.filter(|until| *until > now).map(Time);
    let old = std::mem::take(&mut status.repositories);
    let forgotten = old.iter().filter(|old| !outcomes.iter().any(|new| new.id == old.id));
    let forgotten = forgotten.filter_map(|old| old.next_eligible_time.as_ref()).map(|time| time.0).max();
    extend_others(status, forgotten.filter(|until| *until > now));
    name_repositories(status, outcomes, now);

    settle(status, run, why, end.is_neither(), history_limit, now);
}

/// Adds a remark to what is said of the run that ended.
pub fn add_remark(status: &mut PolicyStatus, remark: Option<&str>) {
    if let (Some(run), Some(remark)) = (&mut status.last_run, remark) {
        let message =
            run.message.as_deref().map_or_else(|| remark.to_owned(), |message| format!("{message}; {remark}"));
        run.message = Some(conditions::shorten(&message, MAX_MESSAGE));
    }
}

/// Writes that a run was cut short by an operator that went away. Whatever it requested, it did so a moment after the
/// record was renewed, at the latest; GitLab may be at it still.
pub fn interrupted(status: &mut PolicyStatus, history_limit: u32, timeout: Duration, now: Timestamp) {
    let Some(mut run) = status.last_run.take() else { return };
    let latest = eligible_after_unseen(last_sent(&run, now), timeout);
    if let Some(others) = &mut status.others_eligible_time {
        others.0 = others.0.min(latest);
    }
    run.completion_time = Some(Time(now));
    run.result = RunResult::Interrupted;
    (run.summary, run.message) = given_up(&run);
    run.approved_plan = None;
    // What was counted is not known; how far the run had come is.
    (run.repositories, run.tags, run.bytes) = (RepositoryCounts::default(), TagCounts::default(), None);
    if run.mode == Mode::Delete {
        // Named repositories may have been requested again by the lost run.
        for repository in &mut status.repositories {
            repository.next_eligible_time = Some(Time(latest));
        }
    }
    settle(status, run, Reason::Interrupted, false, history_limit, now);
}

/// Summary and message of a run whose end nobody recorded.
fn given_up(run: &RunStatus) -> (Option<String>, Option<String>) {
    let known = run.progress.zip(run.renew_time.as_ref()).filter(|_| run.mode == Mode::Delete);
    let message = match (known, run.mode) {
        (Some((progress, at)), _) => {
            let removed = count(progress.tags_removed, "tag was", "tags were");
            format!("{}; at least {removed} removed up to {}", Stop::OperatorGone.message(), at.0)
        }
        (None, Mode::Delete) => format!("{}; how much it removed is not known", Stop::OperatorGone.message()),
        (None, Mode::DryRun | Mode::RequireApproval) => Stop::OperatorGone.message().to_owned(),
    };
    let summary = match known {
        Some((progress, _)) if progress.tags_removed > 0 => format!("at least {} removed", progress.tags_removed),
        _ => "interrupted".to_owned(),
    };
    (Some(summary), Some(message))
}

/// Writes how far a run under way has come, what is to be said of it, and that its holder is still there.
pub fn renew(status: &mut PolicyStatus, progress: RunProgress, note: Option<&str>, stopping: bool, now: Timestamp) {
    if let Some(run) = status.last_run.as_mut().filter(|run| run.result.is_under_way()) {
        run.renew_time = Some(Time(now));
        run.progress = Some(progress);
        run.message = note.map(|note| shorten(note, MAX_MESSAGE));
        if stopping {
            run.result = RunResult::Stopping;
        }
    }
}

/// Takes back that the last run was given up by somebody who did not know better; answers whether it had been.
pub fn reopen(status: &mut PolicyStatus) -> bool {
    let Some(run) = status.last_run.as_mut().filter(|run| run.result == RunResult::Interrupted) else { return false };
    // What its holder recorded itself has its numbers, or did not remove anything.
    if !run.message.as_deref().is_some_and(|message| message.starts_with(Stop::OperatorGone.message())) {
        return false;
    }
    run.result = RunResult::Running;
    status.history.retain(|entry| entry.id != run.id);
    if !run.is_preview() {
        status.consecutive_failures = status.consecutive_failures.map(|failures| failures.saturating_sub(1));
    }
    true
}

/// The reason that the condition gives for how a run ended.
fn why(result: RunResult, outcomes: &[Outcome], end: &End) -> Reason {
    match end {
        End::Aborted { reason, .. } => *reason,
        End::Stopped(Stop::Deadline) => Reason::DeadlineExceeded,
        End::Paused { .. } => Reason::RateLimited,
        End::Stopped(_) => Reason::Interrupted,
        End::Completed if exceeded(outcomes).is_some() => Reason::DeletionLimitExceeded,
        End::Completed => match result {
            RunResult::Succeeded => Reason::Succeeded,
            RunResult::PartiallyFailed => Reason::PartiallyFailed,
            _ => Reason::Failed,
        },
    }
}

/// The first repository in which a limit was exceeded.
fn exceeded(outcomes: &[Outcome]) -> Option<&Outcome> {
    outcomes.iter().find(|outcome| {
        outcome.result == RepositoryResult::Failed && outcome.reason == Some(RepositoryReason::DeletionLimitExceeded)
    })
}

/// The parts of the status that follow from how a run ended.
///
/// `neither`: it neither succeeded nor failed.
fn settle(status: &mut PolicyStatus, run: RunStatus, why: Reason, neither: bool, history_limit: u32, now: Timestamp) {
    let succeeded = run.result == RunResult::Succeeded;
    // A preview that somebody asks for says nothing about the nights.
    if !run.is_preview() {
        if succeeded {
            status.last_successful_time = Some(Time(now));
        }
        let failures = status.consecutive_failures.unwrap_or(0);
        let failures = if neither { failures } else { failures.saturating_add(1) };
        status.consecutive_failures = Some(if succeeded { 0 } else { failures });
    }
    let message = run.message.as_deref().unwrap_or_default();
    let generation = Some(run.observed_generation);
    let holds = if neither { ConditionStatus::Unknown } else { succeeded.into() };
    conditions::set(&mut status.conditions, LAST_RUN_SUCCEEDED, holds, why, message, generation, now);
    status.history.insert(0, history_entry(&run));
    status.history.truncate(usize::try_from(history_limit).unwrap_or(usize::MAX));
    status.last_run = Some(run);
    fit(status);
}

fn extend_others(status: &mut PolicyStatus, until: Option<Timestamp>) {
    let known = status.others_eligible_time.as_ref().map(|time| time.0);
    status.others_eligible_time = known.max(until).map(Time);
}

fn count_repositories(outcomes: &[Outcome]) -> RepositoryCounts {
    let count = |result| {
        let matching = outcomes.iter().filter(|outcome| outcome.result == result).count();
        u32::try_from(matching).unwrap_or(u32::MAX)
    };
    RepositoryCounts {
        total: u32::try_from(outcomes.len()).unwrap_or(u32::MAX),
        changed: count(RepositoryResult::Changed),
        unchanged: count(RepositoryResult::Unchanged),
        skipped: count(RepositoryResult::Skipped),
        failed: count(RepositoryResult::Failed),
        deleted: u32::try_from(outcomes.iter().filter(|outcome| outcome.deletes()).count()).unwrap_or(u32::MAX),
    }
}

fn count_tags(outcomes: &[Outcome]) -> TagCounts {
    outcomes.iter().fold(TagCounts::default(), |sum, outcome| TagCounts {
        scanned: sum.scanned + outcome.tags.scanned,
        matched: sum.matched + outcome.tags.matched,
        requested: sum.requested + outcome.tags.requested,
        confirmed: sum.confirmed + outcome.tags.confirmed,
        in_use: sum.in_use + outcome.tags.in_use,
    })
}

fn result(repositories: &RepositoryCounts, end: &End) -> RunResult {
    match end {
        End::Aborted { .. } => RunResult::Failed,
        End::Stopped(Stop::Deadline) => RunResult::PartiallyFailed,
        End::Stopped(_) | End::Paused { .. } => RunResult::Interrupted,
        End::Completed if repositories.failed == 0 => RunResult::Succeeded,
        End::Completed if repositories.failed == repositories.total => RunResult::Failed,
        End::Completed => RunResult::PartiallyFailed,
    }
}

fn summary(run: &RunStatus) -> String {
    match (run.result, run.mode) {
        (RunResult::Failed, Mode::Delete) if run.tags.scanned == 0 => "failed".to_owned(),
        // Whatever was counted, none of it would go or waits.
        (RunResult::Failed, Mode::DryRun | Mode::RequireApproval) => "failed".to_owned(),
        (_, Mode::DryRun) => format!("{} would go", run.tags.matched),
        (_, Mode::RequireApproval) => format!("{} to approve", run.tags.matched),
        // Otherwise "0 removed" reads as if there had been nothing to remove.
        (_, Mode::Delete) if run.tags.confirmed == 0 && run.repositories.skipped > 0 => {
            format!("0 removed, {} skipped", run.repositories.skipped)
        }
        (_, Mode::Delete) => format!("{} removed", run.tags.confirmed),
    }
}

fn message(run: &RunStatus, outcomes: &[Outcome], end: &End) -> String {
    let mut parts = Vec::new();
    match end {
        End::Aborted { message, .. } if run.tags.requested == 0 => return message.clone(),
        End::Aborted { message, .. } => parts.push(message.clone()),
        End::Stopped(stop) => parts.push(stop.message().to_owned()),
        End::Paused { until } => {
            parts.push(format!("GitLab's limits let nothing more through before {until:.0} (429)"));
        }
        End::Completed => {}
    }
    let (tags, repositories) = (&run.tags, &run.repositories);
    let total = count(repositories.total.into(), "repository", "repositories");
    let changed = repositories.changed.saturating_sub(repositories.deleted);
    parts.push(match run.mode {
        Mode::DryRun => format!(
            "{} of {} in {changed} of {total} would be removed",
            tags.matched,
            count(tags.scanned, "tag", "tags")
        ),
        Mode::RequireApproval => format!(
            "{} of {} in {changed} of {total} wait for approval",
            tags.matched,
            count(tags.scanned, "tag", "tags")
        ),
        Mode::Delete => {
            // A repository that failed may have lost tags before it did.
            let removed = |outcome: &&Outcome| {
                (outcome.result == RepositoryResult::Changed && !outcome.deletes()) || outcome.tags.confirmed > 0
            };
            let places = outcomes.iter().filter(removed).count();
            format!("{} removed in {places} of {total}", count(tags.confirmed, "tag", "tags"))
        }
    });
    if repositories.deleted > 0 {
        let empty = count(repositories.deleted.into(), "empty repository", "empty repositories");
        parts.push(match run.mode {
            Mode::Delete => format!("deletion of {empty} requested"),
            Mode::DryRun | Mode::RequireApproval => format!("{empty} would be deleted"),
        });
    }
    for (number, result, what) in [
        (repositories.skipped, RepositoryResult::Skipped, "skipped"),
        (repositories.failed, RepositoryResult::Failed, "failed"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {what}{}", reasons(outcomes, result)));
        }
    }
    parts.extend(remarks(outcomes, run.mode).map(str::to_owned));
    if let Some(interrupted) = &run.resumes {
        parts.push(format!("went on with run {}", interrupted.id));
    }
    if let Some(outcome) = exceeded(outcomes) {
        parts.push(format!("{}: {}", outcome.path, outcome.message.as_deref().unwrap_or_default()));
    }
    parts.join("; ")
}

/// The reasons of a result, the most frequent first: " (RateLimited, Forbidden)".
fn reasons(outcomes: &[Outcome], result: RepositoryResult) -> String {
    let mut counted: Vec<(usize, RepositoryReason)> = Vec::new();
    for reason in outcomes.iter().filter(|outcome| outcome.result == result).filter_map(|outcome| outcome.reason) {
        match counted.iter_mut().find(|(_, known)| *known == reason) {
            Some((number, _)) => *number += 1,
            None => counted.push((1, reason)),
        }
    }
    counted.sort_by_key(|(number, reason)| (std::cmp::Reverse(*number), reason.as_str()));
    let names: Vec<&str> = counted.into_iter().map(|(_, reason)| reason.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

fn count(number: u64, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// Names the repositories that matter most: failures first, then what goes as a whole, then the most tags, then by
/// path.
fn name_repositories(status: &mut PolicyStatus, mut outcomes: Vec<Outcome>, now: Timestamp) {
    outcomes.sort_by(|a, b| {
        let failed = |outcome: &Outcome| outcome.result == RepositoryResult::Failed;
        let rank = |outcome: &Outcome| (failed(outcome), outcome.deletes(), outcome.tags.matched);
        rank(b).cmp(&rank(a)).then_with(|| a.path.cmp(&b.path))
    });
    let omitted = outcomes.split_off(outcomes.len().min(MAX_REPOSITORIES));
    status.repositories_omitted = u32::try_from(omitted.len()).ok().filter(|number| *number > 0);
    let omitted_until = omitted.iter().filter_map(|outcome| outcome.eligible).max();
    extend_others(status, omitted_until.filter(|until| *until > now));
    status.repositories = outcomes.into_iter().map(|outcome| repository_status(outcome, now)).collect();
}

fn repository_status(outcome: Outcome, now: Timestamp) -> RepositoryStatus {
    RepositoryStatus {
        path: shorten(&outcome.path, MAX_REPOSITORY_PATH),
        id: outcome.id,
        result: outcome.result,
        reason: outcome.reason.map(|reason| reason.as_str().to_owned()),
        message: outcome.message.map(|message| shorten(&message, MAX_SHORT_MESSAGE)),
        tags: outcome.tags,
        samples: outcome.samples.into_iter().take(MAX_SAMPLES).collect(),
        next_eligible_time: outcome.eligible.filter(|until| *until > now).map(Time),
    }
}

fn history_entry(run: &RunStatus) -> HistoryEntry {
    HistoryEntry {
        id: run.id.clone(),
        trigger: run.trigger,
        mode: run.mode,
        start_time: run.start_time.clone(),
        completion_time: run.completion_time.clone(),
        result: run.result,
        message: run.message.as_deref().map(|message| shorten(message, MAX_SHORT_MESSAGE)),
        tags: run.tags,
    }
}

/// Makes the status fit its budget: samples go first, from the end, then whole repositories, then names of those whose
/// hours are kept, then what is watched for its emptiness, which then only begins anew.
pub fn fit(status: &mut PolicyStatus) {
    let too_large =
        |status: &PolicyStatus| serde_json::to_vec(status).map_or(usize::MAX, |bytes| bytes.len()) > MAX_STATUS_BYTES;
    for index in (0..status.repositories.len()).rev() {
        if !too_large(status) {
            return;
        }
        if let Some(repository) = status.repositories.get_mut(index) {
            repository.samples.clear();
        }
    }
    while too_large(status) {
        let Some(dropped) = status.repositories.pop() else { break };
        status.repositories_omitted = Some(status.repositories_omitted.unwrap_or(0).saturating_add(1));
        extend_others(status, dropped.next_eligible_time.map(|time| time.0));
    }
    while too_large(status) && reserved_hours::shrink(status) {}
    while too_large(status) && status.empty_repositories.pop().is_some() {}
}

#[cfg(test)]
mod tests;
