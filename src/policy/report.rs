//! From what happened in each repository to what the status says: bounded, sorted, true.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::conditions::{self, LAST_RUN_SUCCEEDED, MAX_MESSAGE_BYTES, reason, shorten};
use crate::api::{
    HistoryEntry, Mode, PolicyStatus, RepositoryCounts, RepositoryResult, RepositoryStatus, RunResult, RunStatus,
    TagCounts, Trigger,
};

use super::bulk_ledger::eligible_after;
use super::repository_outcome::{End, Outcome, Proposal, Stop, coming_of_age, repository_reason};

/// Serialized status stays below this, in bytes: etcd takes 1.5 MiB, but every watcher gets every copy.
pub const MAX_STATUS_BYTES: usize = 64 * 1024;
/// Most repositories that a status names.
pub const MAX_REPOSITORIES: usize = 50;
/// Most sample tags of a repository.
pub const MAX_SAMPLES: usize = 10;
/// Longest message of a repository or of a finished run, in bytes.
const MAX_SHORT_MESSAGE: usize = 256;
/// Longest repository path in a status, in bytes.
pub(super) const MAX_PATH: usize = 512;

/// Writes a run that begins into the status, before anything is removed. `deadline` bounds the moment of its last
/// request.
pub fn begin(status: &mut PolicyStatus, run: RunStatus, deadline: Timestamp) {
    if run.mode == Mode::Delete {
        // Should nobody ever finish this run, what it may have requested is not known by name.
        extend_others(status, Some(eligible_after(deadline)));
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
    run.repositories = count_repositories(&outcomes);
    run.tags = count_tags(&outcomes);
    run.result = result(&run.repositories, end);
    run.summary = Some(summary(&run));
    run.message = Some(shorten(&message(&run, &outcomes, end), MAX_MESSAGE_BYTES));
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

    settle(status, run, why, history_limit, now);
}

/// Adds a remark to what is said of the run that ended.
pub fn add_remark(status: &mut PolicyStatus, remark: Option<&str>) {
    if let (Some(run), Some(remark)) = (&mut status.last_run, remark) {
        let message =
            run.message.as_deref().map_or_else(|| remark.to_owned(), |message| format!("{message}; {remark}"));
        run.message = Some(conditions::shorten(&message, conditions::MAX_MESSAGE_BYTES));
    }
}

/// Writes that a run was cut short by an operator that went away. Whatever it requested, it did so before now.
pub fn interrupted(status: &mut PolicyStatus, history_limit: u32, now: Timestamp) {
    let Some(mut run) = status.last_run.take() else { return };
    let latest = eligible_after(now);
    if let Some(others) = &mut status.others_eligible_time {
        others.0 = others.0.min(latest);
    }
    run.completion_time = Some(Time(now));
    run.result = RunResult::Interrupted;
    run.summary = Some("interrupted".to_owned());
    run.message = Some(Stop::OperatorGone.message().to_owned());
    if run.mode == Mode::Delete {
        // Named repositories may have been requested again by the lost run.
        for repository in &mut status.repositories {
            repository.next_eligible_time = Some(Time(latest));
        }
    }
    settle(status, run, reason::INTERRUPTED, history_limit, now);
}

/// The reason that the condition gives for how a run ended.
fn why(result: RunResult, outcomes: &[Outcome], end: &End) -> &'static str {
    match end {
        End::Aborted { reason, .. } => reason,
        End::Stopped(Stop::Deadline) => reason::DEADLINE_EXCEEDED,
        End::Stopped(_) => reason::INTERRUPTED,
        End::Completed if exceeded(outcomes).is_some() => reason::DELETION_LIMIT_EXCEEDED,
        End::Completed => match result {
            RunResult::Succeeded => reason::SUCCEEDED,
            RunResult::PartiallyFailed => reason::PARTIALLY_FAILED,
            _ => reason::FAILED,
        },
    }
}

/// The first repository in which a limit was exceeded.
fn exceeded(outcomes: &[Outcome]) -> Option<&Outcome> {
    outcomes.iter().find(|outcome| {
        outcome.result == RepositoryResult::Failed && outcome.reason == Some(repository_reason::DELETION_LIMIT_EXCEEDED)
    })
}

/// The parts of the status that follow from how a run ended.
fn settle(status: &mut PolicyStatus, run: RunStatus, why: &str, history_limit: u32, now: Timestamp) {
    let succeeded = run.result == RunResult::Succeeded;
    // A preview that somebody asks for says nothing about the nights.
    if run.trigger != Trigger::DryRunRequested {
        if succeeded {
            status.last_successful_time = Some(Time(now));
        }
        let failures = status.consecutive_failures.unwrap_or(0);
        status.consecutive_failures = Some(if succeeded { 0 } else { failures.saturating_add(1) });
    }
    let message = run.message.as_deref().unwrap_or_default();
    let generation = Some(run.observed_generation);
    conditions::set(&mut status.conditions, LAST_RUN_SUCCEEDED, succeeded, why, message, generation, now);
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
        End::Stopped(_) => RunResult::Interrupted,
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
            format!("{} removed in {changed} of {total}", count(tags.confirmed, "tag", "tags"))
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
    if let Some(outcome) = exceeded(outcomes) {
        parts.push(format!("{}: {}", outcome.path, outcome.message.as_deref().unwrap_or_default()));
    }
    parts.join("; ")
}

/// The reasons of a result, the most frequent first: " (RateLimited, Forbidden)".
fn reasons(outcomes: &[Outcome], result: RepositoryResult) -> String {
    let mut counted: Vec<(usize, &str)> = Vec::new();
    for reason in outcomes.iter().filter(|outcome| outcome.result == result).filter_map(|outcome| outcome.reason) {
        match counted.iter_mut().find(|(_, known)| *known == reason) {
            Some((number, _)) => *number += 1,
            None => counted.push((1, reason)),
        }
    }
    counted.sort_by_key(|(number, reason)| (std::cmp::Reverse(*number), *reason));
    let names: Vec<&str> = counted.into_iter().map(|(_, reason)| reason).collect();
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
        path: shorten(&outcome.path, MAX_PATH),
        id: outcome.id,
        result: outcome.result,
        reason: outcome.reason.map(str::to_owned),
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

/// Makes the status fit its budget: samples go first, from the end, then whole repositories, then what is watched for
/// its emptiness, which then only begins anew.
fn fit(status: &mut PolicyStatus) {
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
    while too_large(status) && status.empty_repositories.pop().is_some() {}
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::{empty_repository, gitlab_cleanup_policy};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn run(mode: &str) -> RunStatus {
        serde_json::from_value(json!({
            "id": "r", "trigger": "Schedule", "mode": mode, "gitlab": "https://git.test", "observedGeneration": 1,
            "startTime": "1970-01-01T00:00:00Z", "result": "Running",
        }))
        .unwrap()
    }

    fn outcome(id: u64, result: RepositoryResult, matched: u64) -> Outcome {
        let requested = if result == RepositoryResult::Changed { matched } else { 0 };
        Outcome {
            tags: TagCounts { scanned: 100, matched, requested, confirmed: requested, in_use: 0 },
            samples: vec!["v1".to_owned()],
            eligible: (requested > 0).then(|| at(9000)),
            ..Outcome::new(&format!("shop/r{id}"), id, result, None)
        }
    }

    fn finished(mode: &str, outcomes: Vec<Outcome>, end: &End) -> PolicyStatus {
        let mut status = PolicyStatus::default();
        begin(&mut status, run(mode), at(3600));
        finish(&mut status, None, outcomes, end, Proposal::AsBefore, 5, at(5000));
        status
    }

    #[test]
    fn failures_come_first_then_the_most_tags() {
        use RepositoryResult as R;
        let outcomes = vec![
            outcome(1, R::Unchanged, 0),
            outcome(2, R::Changed, 5),
            outcome(3, R::Changed, 9),
            outcome(4, R::Failed, 0),
        ];
        let status = finished("Delete", outcomes, &End::Completed);
        let ids: Vec<u64> = status.repositories.iter().map(|repository| repository.id).collect();
        assert_eq!(ids, [4, 3, 2, 1]);
        let run = status.last_run.unwrap();
        assert_eq!(run.result, RunResult::PartiallyFailed);
        assert_eq!(run.summary.as_deref(), Some("14 removed"));
        assert_eq!(run.message.as_deref(), Some("14 tags removed in 2 of 4 repositories; 1 failed"));
    }

    #[test]
    fn a_run_that_was_broken_off_says_what_it_had_removed() {
        let broken = || End::Aborted { reason: "InUseUnknown", message: "nobody knows".to_owned() };
        let outcomes = vec![outcome(1, RepositoryResult::Changed, 5), outcome(2, RepositoryResult::Skipped, 0)];
        let run = finished("Delete", outcomes, &broken()).last_run.unwrap();
        assert_eq!(run.message.as_deref(), Some("nobody knows; 5 tags removed in 1 of 2 repositories; 1 skipped"));
        assert_eq!(run.summary.as_deref(), Some("5 removed"));
        let outcomes = vec![Outcome {
            tags: TagCounts { scanned: 9, matched: 5, ..TagCounts::default() },
            ..outcome(1, RepositoryResult::Skipped, 0)
        }];
        let run = finished("DryRun", outcomes, &broken()).last_run.unwrap();
        assert_eq!((run.message.as_deref(), run.summary.as_deref()), (Some("nobody knows"), Some("failed")));
    }

    #[test]
    fn a_run_that_removed_nothing_says_at_first_sight_that_repositories_were_skipped() {
        use RepositoryResult as R;
        let outcomes = vec![outcome(1, R::Skipped, 0), outcome(2, R::Unchanged, 0), outcome(3, R::Skipped, 0)];
        let run = finished("Delete", outcomes, &End::Completed).last_run.unwrap();
        assert_eq!(run.summary.as_deref(), Some("0 removed, 2 skipped"));
        let outcomes = vec![outcome(1, R::Skipped, 0), outcome(2, R::Changed, 5)];
        let run = finished("Delete", outcomes, &End::Completed).last_run.unwrap();
        assert_eq!(run.summary.as_deref(), Some("5 removed"));
        let run = finished("Delete", vec![outcome(2, R::Unchanged, 0)], &End::Completed).last_run.unwrap();
        assert_eq!(run.summary.as_deref(), Some("0 removed"));
    }

    #[test]
    fn a_dry_run_speaks_of_what_would_go() {
        let status = finished("DryRun", vec![outcome(1, RepositoryResult::Changed, 1)], &End::Completed);
        let run = status.last_run.unwrap();
        assert_eq!(run.summary.as_deref(), Some("1 would go"));
        assert_eq!(run.message.as_deref(), Some("1 of 100 tags in 1 of 1 repository would be removed"));
    }

    #[test]
    fn repositories_that_go_as_a_whole_are_told_apart_from_those_that_lose_tags_and_named_before_them() {
        let empty = Outcome {
            tags: TagCounts::default(),
            reason: Some(repository_reason::REPOSITORY_DELETED),
            ..outcome(1, RepositoryResult::Changed, 0)
        };
        let outcomes = vec![outcome(2, RepositoryResult::Changed, 5), empty, outcome(3, RepositoryResult::Failed, 0)];
        for (mode, message) in [
            ("Delete", "5 tags removed in 1 of 3 repositories; deletion of 1 empty repository requested; 1 failed"),
            (
                "DryRun",
                "5 of 200 tags in 1 of 3 repositories would be removed; 1 empty repository would be deleted; 1 failed",
            ),
        ] {
            let status = finished(mode, outcomes.clone(), &End::Completed);
            let ids: Vec<u64> = status.repositories.iter().map(|repository| repository.id).collect();
            assert_eq!(ids, [3, 1, 2]);
            let run = status.last_run.unwrap();
            assert_eq!(run.message.as_deref(), Some(message));
            assert_eq!((run.repositories.changed, run.repositories.deleted), (2, 1));
        }
    }

    #[test]
    fn how_a_run_ended_decides_its_result_and_condition() {
        use RepositoryResult as R;
        let aborted = End::Aborted { reason: reason::TOKEN_EXPIRED, message: "the token has expired".to_owned() };
        for (outcomes, end, result, why) in [
            (vec![outcome(1, R::Skipped, 3)], End::Completed, RunResult::Succeeded, reason::SUCCEEDED),
            (vec![], End::Completed, RunResult::Succeeded, reason::SUCCEEDED),
            (vec![outcome(1, R::Failed, 0)], End::Completed, RunResult::Failed, reason::FAILED),
            (vec![], End::Stopped(Stop::Deadline), RunResult::PartiallyFailed, reason::DEADLINE_EXCEEDED),
            (vec![], End::Stopped(Stop::Shutdown), RunResult::Interrupted, reason::INTERRUPTED),
            (vec![], aborted, RunResult::Failed, reason::TOKEN_EXPIRED),
        ] {
            let status = finished("Delete", outcomes, &end);
            let condition = conditions::find(&status.conditions, LAST_RUN_SUCCEEDED).unwrap();
            assert_eq!(condition.reason, why);
            let succeeded = result == RunResult::Succeeded;
            assert_eq!(status.last_run.unwrap().result, result);
            assert_eq!(status.last_successful_time.is_some(), succeeded);
            assert_eq!(status.consecutive_failures, Some(u32::from(!succeeded)));
        }
    }

    #[test]
    fn what_is_not_named_counts_as_requested_until_its_hour_is_over() {
        let outcomes = (0..60).map(|id| outcome(id, RepositoryResult::Changed, 100 - id)).collect();
        let status = finished("Delete", outcomes, &End::Completed);
        assert_eq!(status.repositories.len(), MAX_REPOSITORIES);
        assert_eq!(status.repositories_omitted, Some(10));
        assert_eq!(status.others_eligible_time, Some(Time(at(9000))));

        let few = finished("Delete", vec![outcome(1, RepositoryResult::Changed, 1)], &End::Completed);
        assert_eq!(few.others_eligible_time, None);
    }

    #[test]
    fn a_repository_that_left_the_target_within_its_hour_is_not_forgotten() {
        let mut status = finished("Delete", vec![outcome(1, RepositoryResult::Changed, 1)], &End::Completed);
        begin(&mut status, run("DryRun"), at(6000));
        finish(
            &mut status,
            None,
            vec![outcome(2, RepositoryResult::Unchanged, 0)],
            &End::Completed,
            Proposal::AsBefore,
            5,
            at(6000),
        );
        assert_eq!(status.others_eligible_time, Some(Time(at(9000))));
    }

    #[test]
    fn runs_that_come_to_nothing_do_not_make_the_hour_forgotten() {
        let mut status = finished("Delete", vec![outcome(1, RepositoryResult::Changed, 1)], &End::Completed);
        for second in [5100, 5200, 5300] {
            let before = status.others_eligible_time.as_ref().map(|time| time.0);
            let aborted = End::Aborted { reason: reason::SECRET_NOT_FOUND, message: "no Secret".to_owned() };
            begin(&mut status, run("Delete"), at(8000));
            finish(&mut status, before, Vec::new(), &aborted, Proposal::AsBefore, 5, at(second));
            assert_eq!(status.others_eligible_time, Some(Time(at(9000))));
        }
    }

    #[test]
    fn a_preview_that_is_asked_for_does_not_hide_failing_nights() {
        let mut status = finished("Delete", vec![outcome(1, RepositoryResult::Failed, 0)], &End::Completed);
        let preview = RunStatus { trigger: Trigger::DryRunRequested, ..run("DryRun") };
        begin(&mut status, preview, at(6000));
        finish(&mut status, None, Vec::new(), &End::Completed, Proposal::AsBefore, 5, at(6000));
        assert_eq!((status.consecutive_failures, status.last_successful_time), (Some(1), None));
    }

    #[test]
    fn a_lost_run_counts_as_having_requested_everything_until_it_was_found_lost() {
        let mut status = finished("Delete", vec![outcome(1, RepositoryResult::Changed, 1)], &End::Completed);
        begin(&mut status, run("Delete"), at(20_000));
        assert_eq!(status.others_eligible_time, Some(Time(at(23_600))));
        interrupted(&mut status, 5, at(10_000));
        assert_eq!(status.others_eligible_time, Some(Time(at(13_600))));
        assert_eq!(status.repositories[0].next_eligible_time, Some(Time(at(13_600))));
        assert_eq!(status.last_run.unwrap().result, RunResult::Interrupted);
        assert_eq!(status.history.len(), 2);
    }

    #[test]
    fn history_is_as_long_as_the_policy_wants_it() {
        let mut status = PolicyStatus::default();
        for second in 0..10 {
            begin(&mut status, run("DryRun"), at(second));
            finish(&mut status, None, Vec::new(), &End::Completed, Proposal::AsBefore, 3, at(second));
        }
        assert_eq!(status.history.len(), 3);
        assert_eq!(status.history[0].completion_time, Some(Time(at(9))));
    }

    #[test]
    fn the_status_of_five_thousand_repositories_stays_within_its_budget() {
        let outcomes = (0..5000)
            .map(|id| Outcome {
                path: format!("group/{}/{id}", "p".repeat(400)),
                message: Some("m".repeat(2000)),
                samples: vec!["t".repeat(128); 40],
                ..outcome(id, RepositoryResult::Changed, 7)
            })
            .collect();
        let mut status = PolicyStatus {
            empty_repositories: (0..50).map(|id| empty_repository::watch(id, &"p".repeat(600), at(0))).collect(),
            projects_with_cleanup_policy: vec!["p".repeat(255); gitlab_cleanup_policy::MAX_NAMED],
            ..PolicyStatus::default()
        };
        begin(&mut status, run("Delete"), at(3600));
        for second in 5000..5020 {
            let end = End::Aborted { reason: reason::SECRET_NOT_FOUND, message: "m".repeat(2000) };
            finish(&mut status, None, Vec::new(), &end, Proposal::AsBefore, 20, at(second));
        }
        finish(&mut status, None, outcomes, &End::Completed, Proposal::AsBefore, 20, at(5020));
        let bytes = serde_json::to_vec(&status).unwrap().len();
        assert!(bytes <= MAX_STATUS_BYTES, "{bytes}");
        assert_eq!(status.last_run.unwrap().repositories.total, 5000);
        assert!(!status.repositories.is_empty());
        assert_eq!(status.empty_repositories.len(), 50, "what is watched goes last");
        assert!(status.repositories.iter().all(|repository| repository.samples.len() <= MAX_SAMPLES));
    }
}
