//! Which events a change of the status is worth: transitions and ends of runs, never a quiet look.

use crate::api::conditions::{
    self, CREDENTIALS_VALID, Condition, ConditionStatus, EFFECTIVE, IN_USE_KNOWN, LAST_RUN_SUCCEEDED, OVERLAPPING,
    READY, Reason, STALLED,
};
use crate::api::{APPROVE, Mode, PendingApproval, PolicyStatus, RepositoryResult, RunResult};
use crate::words::words;

use super::{gitlab_cleanup_policy, of_age};

/// Most events about single repositories in one run; the rest is only counted.
const MAX_REPOSITORY_EVENTS: usize = 10;

words! {
/// Why an event of a policy is published. `docs/conditions.md` explains each.
pub enum EventReason {
    /// Normal: a run ended well.
    CleanupCompleted,
    /// Normal: a dry run ended well.
    DryRunCompleted,
    /// Warning: some repositories failed.
    CleanupPartiallyFailed,
    /// Warning: a run failed.
    CleanupFailed,
    /// Warning: a run was cut short.
    CleanupInterrupted,
    /// Normal: a run that was cut short goes on as a new one.
    CleanupResumed,
    /// Warning: a run that was cut short does not go on.
    CleanupNotResumed,
    /// Warning: a limit of the policy was exceeded.
    DeletionLimitExceeded,
    /// Normal: a plan waits for an approval.
    ApprovalRequired,
    /// Normal: a plan was approved and is carried out.
    PlanApproved,
    /// Warning: the plan that was approved is no longer what would be removed.
    PlanChanged,
    /// Warning: an approval was given that approves of nothing.
    ApprovalRefused,
    /// Warning: one repository failed.
    RepositoryCleanupFailed,
    /// Warning: another policy had the repository within the hour.
    PolicyOverlap,
    /// Normal: GitLab was asked for bulk deletions for policies of a namespace; keeps what a lost status would.
    BulkDeletionRequested,
    /// Warning: other policies than before look after repositories of this one.
    Overlapping,
    /// Normal: no other policy looks after repositories of this one any more.
    OverlapEnded,
    /// Warning: a pattern does nothing, or keeps everything, or the token can remove nothing.
    NotEffective,
    /// Normal: every pattern that has to match something does again.
    Effective,
    /// Warning: GitLab's own cleanup policy is enabled in a project of the target.
    CleanupPolicyConflict,
    /// Warning: tags of one moment come of age together within days.
    TagsComeOfAge,
    /// Warning: a slot was missed.
    ScheduleMissed,
    /// Normal: a request for a run was not granted.
    RunThrottled,
    /// Warning: the credentials do not work any more.
    CredentialsInvalid,
    /// Normal: the credentials work again.
    CredentialsRecovered,
    /// Warning: the token expires soon.
    TokenExpiringSoon,
    /// Warning: a list of images that another cluster uses counts no more before long.
    ListExpiringSoon,
    /// Warning: none of the projects and groups can be listed with this token.
    TargetNotFound,
    /// Warning: GitLab cannot be reached or answers with an error.
    GitLabUnavailable,
    /// Warning: something else than GitLab answers, or GitLab what it should not.
    UnexpectedAnswer,
    /// Warning: the certificate of the instance is not trusted.
    CertificateInvalid,
    /// Warning: the definition in the cluster lacks a field that guards, so nothing is removed.
    DefinitionOutdated,
    /// Warning: only an edit can help.
    PolicyStalled,
    /// Warning: the object cannot be read as a policy.
    PolicyUnreadable,
    /// Normal: the policy was suspended.
    Suspended,
    /// Normal: the policy is no longer suspended.
    Resumed,
}
}

/// An event to publish.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Announcement {
    /// Whether it is a Warning, not Normal.
    pub warning: bool,
    /// Why.
    pub reason: EventReason,
    /// What happened, in a sentence.
    pub note: String,
    /// The repository it is about, if it is about one.
    pub repository: Option<String>,
}

impl Announcement {
    /// A Normal event.
    #[must_use]
    pub fn normal(reason: EventReason, note: impl Into<String>) -> Self {
        Self { warning: false, reason, note: note.into(), repository: None }
    }

    /// A Warning.
    #[must_use]
    pub fn warning(reason: EventReason, note: impl Into<String>) -> Self {
        Self { warning: true, reason, note: note.into(), repository: None }
    }
}

/// What became different in the conditions, and in what is known of GitLab's own cleanup policies.
#[must_use]
pub fn transitions(old: &PolicyStatus, new: &PolicyStatus) -> Vec<Announcement> {
    let before = |type_| conditions::find(&old.conditions, type_);
    let after = |type_| conditions::find(&new.conditions, type_);
    let mut events = Vec::new();

    if let Some(stalled) = after(STALLED).filter(|now| holds(now) && before(STALLED) != Some(now)) {
        events.push(Announcement::warning(EventReason::PolicyStalled, &stalled.message));
    }
    if let Some(credentials) = after(CREDENTIALS_VALID) {
        let was = before(CREDENTIALS_VALID);
        let changed = was.is_none_or(|was| was.reason != credentials.reason);
        let failed_before = was.is_some_and(|was| was.status == ConditionStatus::False);
        match credentials.status {
            ConditionStatus::False if changed => {
                events.push(Announcement::warning(EventReason::CredentialsInvalid, &credentials.message));
            }
            ConditionStatus::True if failed_before => {
                events.push(Announcement::normal(EventReason::CredentialsRecovered, &credentials.message));
            }
            _ => {}
        }
        if changed && credentials.known_reason() == Some(Reason::TokenExpiringSoon) {
            events.push(Announcement::warning(EventReason::TokenExpiringSoon, &credentials.message));
        }
    }
    if let Some(known) = after(IN_USE_KNOWN)
        && known.known_reason() == Some(Reason::ListExpiringSoon)
        && before(IN_USE_KNOWN).is_none_or(|was| was.reason != known.reason)
    {
        events.push(Announcement::warning(EventReason::ListExpiringSoon, &known.message));
    }
    let suspended = |ready: Option<&Condition>| ready.and_then(Condition::known_reason) == Some(Reason::Suspended);
    match (suspended(before(READY)), suspended(after(READY))) {
        (false, true) => {
            events.push(Announcement::normal(EventReason::Suspended, "no run begins until suspend is set to false"));
        }
        (true, false) => events.push(Announcement::normal(EventReason::Resumed, "the schedule is armed again")),
        _ => {}
    }
    let outdated = |ready: &Condition| ready.known_reason() == Some(Reason::DefinitionOutdated);
    if let Some(ready) = after(READY).filter(|ready| outdated(ready) && !before(READY).is_some_and(outdated)) {
        events.push(Announcement::warning(EventReason::DefinitionOutdated, &ready.message));
    }
    events.extend(unready(before(READY), after(READY)));
    events.extend(overlap(old, new));
    events.extend(effect(before(EFFECTIVE), after(EFFECTIVE)));
    // What the status says since before is announced. It survives a restart, and so no event comes twice.
    let when = |status: &PolicyStatus| status.coming_of_age.as_ref().map(|soon| soon.time.0);
    if let Some(soon) = new.coming_of_age.as_ref().filter(|_| when(new) != when(old)) {
        events.push(Announcement::warning(EventReason::TagsComeOfAge, of_age::sentence(soon)));
    }
    let named = &old.projects_with_cleanup_policy;
    let new: Vec<String> =
        new.projects_with_cleanup_policy.iter().filter(|project| !named.contains(project)).cloned().collect();
    events.extend(
        gitlab_cleanup_policy::sentence(&new)
            .map(|note| Announcement::warning(EventReason::CleanupPolicyConflict, note)),
    );
    events
}

/// What keeps a policy from being ready, where neither the credentials nor the definition say so.
fn unready(before: Option<&Condition>, after: Option<&Condition>) -> Option<Announcement> {
    let after = after.filter(|after| before.is_none_or(|before| before.reason != after.reason))?;
    let reason = match after.known_reason()? {
        Reason::TargetNotFound => EventReason::TargetNotFound,
        Reason::GitLabUnavailable => EventReason::GitLabUnavailable,
        Reason::UnexpectedAnswer => EventReason::UnexpectedAnswer,
        Reason::CertificateInvalid => EventReason::CertificateInvalid,
        _ => return None,
    };
    Some(Announcement::warning(reason, &after.message))
}

/// What is wrong is announced when it changes, by its reason: numbers in the message change with every run. In between
/// it may have been unknown, so that what is announced anew after a restart or an edit may have been said before.
fn effect(before: Option<&Condition>, after: Option<&Condition>) -> Option<Announcement> {
    let after = after?;
    let was = |status: ConditionStatus| before.is_some_and(|before| before.status == status);
    let same = before.is_some_and(|before| before.reason == after.reason);
    match after.status {
        ConditionStatus::False if !same => Some(Announcement::warning(EventReason::NotEffective, &after.message)),
        ConditionStatus::True if was(ConditionStatus::False) => {
            Some(Announcement::normal(EventReason::Effective, &after.message))
        }
        _ => None,
    }
}

/// Which policies share repositories is announced when it changes; how many repositories is not.
fn overlap(old: &PolicyStatus, new: &PolicyStatus) -> Option<Announcement> {
    let policies = |status: &PolicyStatus| status.overlapping.as_ref().map(|it| (it.policies.clone(), it.others));
    let message = |status: &PolicyStatus| {
        conditions::find(&status.conditions, OVERLAPPING).map(|condition| condition.message.clone())
    };
    // A definition that does not know the field drops it; the condition then still has what was said.
    if policies(old) == policies(new) || (message(new).is_some() && message(old) == message(new)) {
        return None;
    }
    let message = message(new).unwrap_or_default();
    Some(match &new.overlapping {
        Some(_) => Announcement::warning(EventReason::Overlapping, message),
        None => Announcement::normal(EventReason::OverlapEnded, message),
    })
}

/// What the end of the status's last run is worth.
#[must_use]
pub fn run_ended(status: &PolicyStatus) -> Vec<Announcement> {
    let Some(run) = &status.last_run else { return Vec::new() };
    let note = run.message.clone().unwrap_or_default();
    let succeeded = conditions::find(&status.conditions, LAST_RUN_SUCCEEDED);
    let why = succeeded.and_then(Condition::known_reason);
    let mut events = vec![match (run.result, run.mode) {
        (RunResult::Running | RunResult::Stopping, _) => return Vec::new(),
        (RunResult::Failed | RunResult::PartiallyFailed, _) if why == Some(Reason::DeletionLimitExceeded) => {
            Announcement::warning(EventReason::DeletionLimitExceeded, note)
        }
        (RunResult::Failed, _) if why == Some(Reason::PlanChanged) => {
            Announcement::warning(EventReason::PlanChanged, note)
        }
        (RunResult::Succeeded, Mode::RequireApproval) => proposed(status, note),
        (RunResult::Succeeded, Mode::DryRun) => Announcement::normal(EventReason::DryRunCompleted, note),
        (RunResult::Succeeded, Mode::Delete) => Announcement::normal(EventReason::CleanupCompleted, note),
        (RunResult::PartiallyFailed, _) => Announcement::warning(EventReason::CleanupPartiallyFailed, note),
        (RunResult::Failed, _) => Announcement::warning(EventReason::CleanupFailed, note),
        (RunResult::Interrupted, _) => Announcement::warning(EventReason::CleanupInterrupted, note),
    }];
    // What could not be planned does not keep the rest from waiting.
    let waits = |plan: &PendingApproval| plan.time.0.as_second() == run.start_time.0.as_second();
    if run.result == RunResult::PartiallyFailed && status.pending_approval.as_ref().is_some_and(waits) {
        events.push(proposed(status, run.message.clone().unwrap_or_default()));
    }
    if run.result != RunResult::Interrupted {
        let failed = status.repositories.iter().filter(|repository| repository.result == RepositoryResult::Failed);
        events.extend(failed.take(MAX_REPOSITORY_EVENTS).map(|repository| Announcement {
            // A project or group that could not be listed has no id, and is no repository.
            repository: (repository.id != 0).then(|| repository.path.clone()),
            ..Announcement::warning(
                EventReason::RepositoryCleanupFailed,
                format!("{}: {}", repository.path, repository.message.as_deref().unwrap_or("failed")),
            )
        }));
    }
    events
}

/// A run that only planned: either something waits for an approval now, or there is nothing to remove.
fn proposed(status: &PolicyStatus, note: String) -> Announcement {
    match &status.pending_approval {
        None => Announcement::normal(EventReason::CleanupCompleted, note),
        Some(plan) => Announcement::normal(
            EventReason::ApprovalRequired,
            format!("{note}; to approve of it, set the annotation {APPROVE}={}", plan.plan_hash),
        ),
    }
}

fn holds(condition: &Condition) -> bool {
    condition.status == ConditionStatus::True
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::api::ComingOfAge;
    use crate::api::OverlapStatus;

    #[test]
    fn a_plan_that_waits_is_told_also_when_another_repository_failed() {
        let ended = |pending: &str| {
            let status: PolicyStatus = serde_json::from_value(json!({
                "lastRun": {"id": "r", "trigger": "Schedule", "mode": "RequireApproval", "gitlab": "https://git.test",
                    "observedGeneration": 1, "startTime": "2026-11-22T12:00:00Z", "result": "PartiallyFailed",
                        "message": "m"},
                "pendingApproval": {"planHash": "abc", "tags": 5, "repositories": 1, "time": pending},
            }))
            .unwrap();
            run_ended(&status).into_iter().map(|event| event.reason).collect::<Vec<_>>()
        };
        let both = [EventReason::CleanupPartiallyFailed, EventReason::ApprovalRequired];
        assert_eq!(ended("2026-11-22T12:00:00Z"), both);
        assert_eq!(ended("2026-11-21T12:00:00Z"), both[..1], "an older plan was told of already");
    }

    fn with(type_: &str, status: bool, reason: Reason) -> PolicyStatus {
        let mut status_ = PolicyStatus::default();
        conditions::set(&mut status_.conditions, type_, status, reason, "message", Some(1), Timestamp::UNIX_EPOCH);
        status_
    }

    fn reasons(events: &[Announcement]) -> Vec<EventReason> {
        events.iter().map(|event| event.reason).collect()
    }

    #[test]
    fn a_status_that_stays_the_same_is_worth_no_event() {
        for status in [
            with(STALLED, true, Reason::InvalidPattern),
            with(CREDENTIALS_VALID, false, Reason::TokenExpired),
            with(CREDENTIALS_VALID, true, Reason::TokenExpiringSoon),
            with(IN_USE_KNOWN, true, Reason::ListExpiringSoon),
            with(READY, true, Reason::Suspended),
            with(READY, true, Reason::Scheduled),
            with(READY, false, Reason::DefinitionOutdated),
            with(READY, false, Reason::TargetNotFound),
            with(EFFECTIVE, false, Reason::DeletePatternMatchesNothing),
        ] {
            assert_eq!(transitions(&status, &status), []);
        }
    }

    #[test]
    fn every_transition_is_worth_one_event() {
        let none = PolicyStatus::default();
        let valid = with(CREDENTIALS_VALID, true, Reason::TokenAccepted);
        let expired = with(CREDENTIALS_VALID, false, Reason::TokenExpired);
        let revoked = with(CREDENTIALS_VALID, false, Reason::TokenRevoked);
        let soon = with(CREDENTIALS_VALID, true, Reason::TokenExpiringSoon);
        let stalled = with(STALLED, true, Reason::InvalidPattern);
        let suspended = with(READY, true, Reason::Suspended);
        let ready = with(READY, true, Reason::Scheduled);
        let outdated = with(READY, false, Reason::DefinitionOutdated);
        for (old, new, expected) in [
            (&none, &valid, vec![]),
            (&none, &expired, vec![EventReason::CredentialsInvalid]),
            (&expired, &revoked, vec![EventReason::CredentialsInvalid]),
            (&expired, &valid, vec![EventReason::CredentialsRecovered]),
            (&valid, &soon, vec![EventReason::TokenExpiringSoon]),
            (
                &with(IN_USE_KNOWN, true, Reason::WorkloadsWatched),
                &with(IN_USE_KNOWN, true, Reason::ListExpiringSoon),
                vec![EventReason::ListExpiringSoon],
            ),
            (&none, &stalled, vec![EventReason::PolicyStalled]),
            (&ready, &suspended, vec![EventReason::Suspended]),
            (&suspended, &ready, vec![EventReason::Resumed]),
            (&none, &ready, vec![]),
            (&ready, &outdated, vec![EventReason::DefinitionOutdated]),
            (&outdated, &ready, vec![]),
            (&ready, &with(READY, false, Reason::TargetNotFound), vec![EventReason::TargetNotFound]),
            (&none, &with(READY, false, Reason::GitLabUnavailable), vec![EventReason::GitLabUnavailable]),
            (&ready, &with(READY, false, Reason::UnexpectedAnswer), vec![EventReason::UnexpectedAnswer]),
            (&ready, &with(READY, false, Reason::CertificateInvalid), vec![EventReason::CertificateInvalid]),
            (&ready, &with(EFFECTIVE, false, Reason::DeletePatternMatchesNothing), vec![EventReason::NotEffective]),
            (
                &with(EFFECTIVE, false, Reason::DeletePatternMatchesNothing),
                &with(EFFECTIVE, false, Reason::KeepPatternKeepsEverything),
                vec![EventReason::NotEffective],
            ),
            (
                &with(EFFECTIVE, false, Reason::DeletePatternMatchesNothing),
                &with(EFFECTIVE, true, Reason::PatternsMatch),
                vec![EventReason::Effective],
            ),
            (&none, &with(EFFECTIVE, true, Reason::PatternsMatch), vec![]),
        ] {
            assert_eq!(reasons(&transitions(old, new)), expected);
        }
    }

    #[test]
    fn tags_that_come_of_age_are_worth_one_event_for_each_moment() {
        let with = |second: Option<i64>, tags: u64| PolicyStatus {
            coming_of_age: second.map(|second| ComingOfAge {
                time: Time(Timestamp::from_second(second).unwrap()),
                tags,
                repositories: 1,
            }),
            ..PolicyStatus::default()
        };
        let events = |old: &PolicyStatus, new: &PolicyStatus| {
            transitions(old, new).iter().map(|event| event.reason).collect::<Vec<_>>()
        };
        let (none, first, more, later) = (with(None, 0), with(Some(9), 5), with(Some(9), 7), with(Some(99), 5));
        assert_eq!(events(&none, &first), [EventReason::TagsComeOfAge]);
        assert_eq!(events(&first, &more), []);
        assert_eq!(events(&first, &later), [EventReason::TagsComeOfAge]);
        assert_eq!(events(&first, &none), []);
    }

    #[test]
    fn only_a_project_that_was_not_named_before_is_worth_an_event() {
        let named = |projects: &[&str]| PolicyStatus {
            projects_with_cleanup_policy: projects.iter().map(ToString::to_string).collect(),
            ..PolicyStatus::default()
        };
        let notes = |old: &[&str], new: &[&str]| {
            let events = transitions(&named(old), &named(new));
            events.into_iter().map(|event| event.note).collect::<Vec<String>>()
        };
        assert!(notes(&["shop/a"], &["shop/a"]).is_empty());
        assert!(notes(&["shop/a"], &[]).is_empty());
        let [note] = &notes(&["shop/a"], &["shop/a", "shop/b"])[..] else { panic!("one event") };
        assert!(note.contains(" in shop/b and "), "{note}");
    }

    #[test]
    fn other_policies_over_the_same_repositories_are_worth_an_event_for_each_change_of_them() {
        let with = |policies: &[&str], others: u32, repositories: u32| {
            let policies = policies.iter().map(ToString::to_string).collect();
            let overlapping =
                (others > 0 || repositories > 0).then_some(OverlapStatus { policies, others, repositories });
            PolicyStatus { overlapping, ..PolicyStatus::default() }
        };
        let none = with(&[], 0, 0);
        let one = with(&["a"], 0, 3);
        for (old, new, expected) in [
            (&none, &none, vec![]),
            (&none, &one, vec![EventReason::Overlapping]),
            (&one, &with(&["a"], 0, 4), vec![]),
            (&one, &with(&["a", "b"], 0, 3), vec![EventReason::Overlapping]),
            (&one, &with(&["a"], 1, 3), vec![EventReason::Overlapping]),
            (&one, &none, vec![EventReason::OverlapEnded]),
        ] {
            assert_eq!(reasons(&transitions(old, new)), expected);
        }
    }

    #[test]
    fn a_run_with_a_hundred_failures_is_worth_eleven_events() {
        let repositories: Vec<_> =
            (0..50).map(|id| json!({"path": format!("a/{id}"), "id": id, "result": "Failed"})).collect();
        let status: PolicyStatus = serde_json::from_value(json!({
            "lastRun": {"id": "r", "trigger": "Schedule", "mode": "Delete", "gitlab": "https://git.test", "observedGeneration": 1,
                "startTime": "1970-01-01T00:00:00Z", "result": "Failed", "message": "no"},
            "repositories": repositories,
            "repositoriesOmitted": 50,
        }))
        .unwrap();
        let events = run_ended(&status);
        assert_eq!(events.len(), 1 + MAX_REPOSITORY_EVENTS);
        assert_eq!(events[0].reason, EventReason::CleanupFailed);
    }
}
