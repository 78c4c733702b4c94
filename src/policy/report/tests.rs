//! What the status says after a run, as tables.

use serde_json::json;

use super::*;
use crate::api::Trigger;
use crate::policy::empty_repository;
use crate::policy::protection_rules::Known;
use crate::policy::tag::Ages;

const TIMEOUT: Duration = Duration::from_secs(30);
/// What is added to the last moment of a request whose answer nobody saw: the time-out, and how long GitLab works.
const UNSEEN: i64 = 30 + 150;

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
    begin(&mut status, run(mode), at(3600), TIMEOUT);
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
    let broken = || End::Aborted { reason: Reason::InUseUnknown, message: "nobody knows".to_owned() };
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
fn tags_that_went_before_a_repository_failed_went_somewhere() {
    let failed = |id| Outcome {
        tags: TagCounts { scanned: 50, matched: 40, requested: 40, confirmed: 30, in_use: 0 },
        ..outcome(id, RepositoryResult::Failed, 0)
    };
    let run = finished("Delete", (1..=4).map(failed).collect(), &End::Completed).last_run.unwrap();
    assert_eq!(run.message.as_deref(), Some("120 tags removed in 4 of 4 repositories; 4 failed"));
}

#[test]
fn a_dry_run_speaks_of_what_would_go() {
    let status = finished("DryRun", vec![outcome(1, RepositoryResult::Changed, 1)], &End::Completed);
    let run = status.last_run.unwrap();
    assert_eq!(run.summary.as_deref(), Some("1 would go"));
    assert_eq!(run.message.as_deref(), Some("1 of 100 tags in 1 of 1 repository would be removed"));
}

#[test]
fn what_holds_of_all_repositories_is_said_once_of_the_run() {
    let of = |rules| Outcome { ages: Some(Ages::Builds), rules, ..outcome(1, RepositoryResult::Changed, 1) };
    let outcomes = || vec![of(Some(Known::All)), of(None), of(Some(Known::No)), of(Some(Known::ButImmutable))];
    for (mode, rules) in [("DryRun", 1), ("RequireApproval", 1), ("Delete", 0)] {
        let message = finished(mode, outcomes(), &End::Completed).last_run.unwrap().message.unwrap();
        assert_eq!(message.matches("ages by when the image was built").count(), 1, "{message}");
        assert_eq!(message.matches("protection rules not known").count(), rules, "{message}");
    }
}

#[test]
fn repositories_that_go_as_a_whole_are_told_apart_from_those_that_lose_tags_and_named_before_them() {
    let empty = Outcome {
        tags: TagCounts::default(),
        reason: Some(RepositoryReason::RepositoryDeleted),
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
    let aborted = End::Aborted { reason: Reason::TokenExpired, message: "the token has expired".to_owned() };
    for (outcomes, end, result, why) in [
        (vec![outcome(1, R::Skipped, 3)], End::Completed, RunResult::Succeeded, Reason::Succeeded),
        (vec![], End::Completed, RunResult::Succeeded, Reason::Succeeded),
        (vec![outcome(1, R::Failed, 0)], End::Completed, RunResult::Failed, Reason::Failed),
        (vec![], End::Stopped(Stop::Deadline), RunResult::PartiallyFailed, Reason::DeadlineExceeded),
        (vec![], End::Stopped(Stop::Shutdown), RunResult::Interrupted, Reason::Interrupted),
        (vec![], aborted, RunResult::Failed, Reason::TokenExpired),
    ] {
        let status = finished("Delete", outcomes, &end);
        let condition = conditions::find(&status.conditions, LAST_RUN_SUCCEEDED).unwrap();
        assert_eq!(condition.known_reason(), Some(why));
        let succeeded = result == RunResult::Succeeded;
        assert_eq!(status.last_run.unwrap().result, result);
        assert_eq!(status.last_successful_time.is_some(), succeeded);
        assert_eq!(status.consecutive_failures, Some(u32::from(!succeeded)));
    }
}

#[test]
fn a_run_that_was_asked_to_wait_neither_succeeded_nor_failed() {
    for end in [End::Paused { until: at(9000) }, End::Stopped(Stop::Paused), End::Stopped(Stop::ExcludeWindow)] {
        let mut status = finished("Delete", vec![outcome(1, RepositoryResult::Failed, 0)], &End::Completed);
        begin(&mut status, run("Delete"), at(8000), TIMEOUT);
        finish(&mut status, None, Vec::new(), &end, Proposal::AsBefore, 5, at(8000));
        let condition = conditions::find(&status.conditions, LAST_RUN_SUCCEEDED).unwrap();
        assert_eq!(condition.status, ConditionStatus::Unknown, "{end:?}");
        assert_eq!(status.last_run.unwrap().result, RunResult::Interrupted, "{end:?}");
        assert_eq!((status.consecutive_failures, status.last_successful_time), (Some(1), None), "{end:?}");
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
    begin(&mut status, run("DryRun"), at(6000), TIMEOUT);
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
        let aborted = End::Aborted { reason: Reason::SecretNotFound, message: "no Secret".to_owned() };
        begin(&mut status, run("Delete"), at(8000), TIMEOUT);
        finish(&mut status, before, Vec::new(), &aborted, Proposal::AsBefore, 5, at(second));
        assert_eq!(status.others_eligible_time, Some(Time(at(9000))));
    }
}

#[test]
fn a_preview_that_is_asked_for_does_not_hide_failing_nights() {
    let mut status = finished("Delete", vec![outcome(1, RepositoryResult::Failed, 0)], &End::Completed);
    let preview = RunStatus { trigger: Trigger::DryRunRequested, ..run("DryRun") };
    begin(&mut status, preview, at(6000), TIMEOUT);
    finish(&mut status, None, Vec::new(), &End::Completed, Proposal::AsBefore, 5, at(6000));
    assert_eq!((status.consecutive_failures, status.last_successful_time), (Some(1), None));
}

#[test]
fn a_lost_run_counts_as_having_requested_everything_until_it_was_found_lost() {
    let mut status = finished("Delete", vec![outcome(1, RepositoryResult::Changed, 1)], &End::Completed);
    begin(&mut status, run("Delete"), at(20_000), TIMEOUT);
    assert_eq!(status.others_eligible_time, Some(Time(at(23_600 + UNSEEN))));
    interrupted(&mut status, 5, TIMEOUT, at(10_000));
    assert_eq!(status.others_eligible_time, Some(Time(at(13_600 + UNSEEN))));
    assert_eq!(status.repositories[0].next_eligible_time, Some(Time(at(13_600 + UNSEEN))));
    assert_eq!(status.last_run.unwrap().result, RunResult::Interrupted);
    assert_eq!(status.history.len(), 2);
}

#[test]
fn a_lost_run_that_is_found_late_counts_from_when_its_record_was_renewed_last() {
    let mut status = finished("Delete", vec![outcome(1, RepositoryResult::Changed, 1)], &End::Completed);
    begin(&mut status, RunStatus { renew_time: Some(Time(at(9000))), ..run("Delete") }, at(20_000), TIMEOUT);
    interrupted(&mut status, 5, TIMEOUT, at(15_000));
    assert_eq!(status.others_eligible_time, Some(Time(at(9660 + 3600 + UNSEEN))));
}

#[test]
fn a_run_with_another_instance_keeps_the_hours_of_the_one_before() {
    let mut status = finished("Delete", vec![outcome(1, RepositoryResult::Changed, 1)], &End::Completed);
    begin(&mut status, RunStatus { gitlab: "https://b.test".to_owned(), ..run("Delete") }, at(6000), TIMEOUT);
    finish(&mut status, None, vec![], &End::Completed, Proposal::AsBefore, 5, at(6000));
    assert_eq!(status.others_eligible_time, None, "nothing of the other instance");
    assert_eq!(status.reserved_hours[0].gitlab, "https://git.test");
    assert_eq!(status.reserved_hours[0].repositories[0].next_eligible_time, Time(at(9000)));
}

#[test]
fn history_is_as_long_as_the_policy_wants_it() {
    let mut status = PolicyStatus::default();
    for second in 0..10 {
        begin(&mut status, run("DryRun"), at(second), TIMEOUT);
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
        projects_with_cleanup_policy: vec!["p".repeat(255); crate::api::limits::MAX_PROJECTS_WITH_CLEANUP_POLICY],
        ..PolicyStatus::default()
    };
    begin(&mut status, run("Delete"), at(3600), TIMEOUT);
    for second in 5000..5020 {
        let end = End::Aborted { reason: Reason::SecretNotFound, message: "m".repeat(2000) };
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
