//! How the status changes when a policy is observed, stalled, checked or armed. Runs are the business of `report`.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::conditions::{self, CREDENTIALS_VALID, ConditionStatus, READY, RECONCILING, STALLED, reason};
use crate::api::{PolicyStatus, Trigger};

use super::compile::{CompiledPolicy, Problem};
use super::conflict;
use super::handled;
use super::next_action::Tokens;

/// A token that expires within this time is worth a warning.
pub const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// What a look at credentials and targets came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Findings {
    /// Whether GitLab takes the token: status, reason, message.
    pub credentials: (ConditionStatus, &'static str, String),
    /// What keeps the policy from being ready: reason and message.
    pub trouble: Option<(&'static str, String)>,
    /// A remark on targets that do not work while others do.
    pub remark: Option<String>,
    /// When the token expires, if GitLab said so.
    pub expires: Option<Timestamp>,
}

/// Takes note of a generation and arms the schedule from now on. A suspended policy is ready as it is.
pub fn observe(status: &mut PolicyStatus, policy: &CompiledPolicy, generation: i64, now: Timestamp) {
    let known = status.observed_generation == Some(generation);
    status.observed_generation = Some(generation);
    if !known {
        // An approval is for a plan of one generation.
        status.pending_approval = None;
    }
    let other = status.last_run.as_ref().is_some_and(|run| run.gitlab != policy.base_url.as_str());
    if other || policy.empty_repositories.is_none() {
        status.empty_repositories.clear();
    }
    if other {
        // Ids and paths of another instance say nothing here.
        status.projects_with_cleanup_policy.clear();
    }
    conditions::remove(&mut status.conditions, STALLED);
    if policy.suspended {
        status.next_schedule_time = None;
        conditions::remove(&mut status.conditions, RECONCILING);
        let message = "suspended: no run begins until suspend is set to false";
        conditions::set(&mut status.conditions, READY, true, reason::SUSPENDED, message, Some(generation), now);
        return;
    }
    status.next_schedule_time = policy.schedule.next_after(now).map(Time);
    if !(known && conditions::is_true(&status.conditions, READY)) {
        let message = "checking credentials and targets";
        let unknown = ConditionStatus::Unknown;
        conditions::set(&mut status.conditions, READY, unknown, reason::PROGRESSING, message, Some(generation), now);
        conditions::set(&mut status.conditions, RECONCILING, true, reason::PROGRESSING, message, Some(generation), now);
    }
}

/// Records a problem that only an edit can fix. Nothing is armed.
pub fn stall(status: &mut PolicyStatus, problem: &Problem, generation: i64, now: Timestamp) {
    status.observed_generation = Some(generation);
    status.next_schedule_time = None;
    conditions::remove(&mut status.conditions, RECONCILING);
    let (reason, message) = (problem.reason, problem.message.as_str());
    conditions::set(&mut status.conditions, STALLED, true, reason, message, Some(generation), now);
    conditions::set(&mut status.conditions, READY, false, reason, message, Some(generation), now);
}

/// Records what a look at credentials and targets came to.
pub fn checked(
    status: &mut PolicyStatus,
    policy: &CompiledPolicy,
    findings: &Findings,
    generation: i64,
    now: Timestamp,
) {
    let generation = Some(generation);
    let (valid, why, message) = &findings.credentials;
    conditions::set(&mut status.conditions, CREDENTIALS_VALID, *valid, why, message, generation, now);
    if *valid == ConditionStatus::True {
        status.token_expiration_time = findings.expires.map(Time);
    }
    if policy.suspended {
        // A preview may look at a suspended policy; ready it stays.
        return;
    }
    match &findings.trouble {
        None => {
            conditions::remove(&mut status.conditions, RECONCILING);
            let message = ready_message(status, policy, findings.remark.as_deref());
            conditions::set(&mut status.conditions, READY, true, reason::SCHEDULED, &message, generation, now);
        }
        Some((why, message)) => {
            let retry = reason::PROGRESSING_WITH_RETRY;
            conditions::set(&mut status.conditions, RECONCILING, true, retry, message, generation, now);
            conditions::set(&mut status.conditions, READY, false, why, message, generation, now);
        }
    }
}

/// Arms the next slot after a slot was used or missed.
pub fn arm(status: &mut PolicyStatus, policy: &CompiledPolicy, generation: i64, now: Timestamp) {
    status.next_schedule_time = policy.schedule.next_after(now).map(Time);
    let ready = conditions::find(&status.conditions, READY);
    if ready.is_some_and(|ready| ready.reason == reason::SCHEDULED) {
        let message = ready_message(status, policy, None);
        conditions::set(&mut status.conditions, READY, true, reason::SCHEDULED, &message, Some(generation), now);
    }
}

/// Notes what began a run, so that it is never begun for the same cause again.
pub fn note_trigger(status: &mut PolicyStatus, trigger: Trigger, slot: Option<Timestamp>, tokens: Tokens<'_>) {
    match trigger {
        Trigger::Schedule => status.last_schedule_time = slot.map(Time),
        Trigger::RunRequested => handled_run(status, tokens.run),
        Trigger::DryRunRequested => handled_dry_run(status, tokens.dry_run),
        Trigger::Approved => {
            handled_approval(status, tokens.approval);
            // Whatever becomes of this run: the next one plans anew.
            status.pending_approval = None;
        }
    }
}

/// Notes that a request for a run was answered.
pub fn handled_run(status: &mut PolicyStatus, token: Option<&str>) {
    if let Some(token) = token {
        handled::note(token, &mut status.last_handled_run_at, &mut status.handled_run_requests);
    }
}

/// Notes that a request for a dry run was answered.
pub fn handled_dry_run(status: &mut PolicyStatus, token: Option<&str>) {
    if let Some(token) = token {
        handled::note(token, &mut status.last_handled_dry_run_at, &mut status.handled_dry_run_requests);
    }
}

/// Notes that an approval was answered.
pub fn handled_approval(status: &mut PolicyStatus, token: Option<&str>) {
    status.last_handled_approval = token.map(handled::shorten);
}

fn ready_message(status: &PolicyStatus, policy: &CompiledPolicy, remark: Option<&str>) -> String {
    let next = status.next_schedule_time.as_ref().map_or_else(|| "never".to_owned(), |time| time.0.to_string());
    let mut message = format!("next run at {next}, mode {}", policy.mode.as_str());
    if policy.protection.in_use && !policy.protection.seen_namespaces.is_empty() {
        let seen = policy.protection.seen_namespaces.join(", ");
        let _ = write!(message, "; images in use are seen in {seen} only");
    }
    if let Some(plan) = &status.pending_approval {
        let _ = write!(message, "; {} tags wait for approval of plan {}", plan.tags, plan.plan_hash);
    }
    let conflict = conflict::sentence(&status.projects_with_cleanup_policy);
    for remark in remark.into_iter().chain(conflict.as_deref()) {
        message.push_str("; ");
        message.push_str(remark);
    }
    message
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::{Settings, compile};

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn policy(changes: &Value) -> CompiledPolicy {
        compile(&spec(changes), &Settings::default(), now()).unwrap()
    }

    fn good() -> Findings {
        Findings {
            credentials: (ConditionStatus::True, reason::TOKEN_ACCEPTED, "ok".to_owned()),
            trouble: None,
            remark: None,
            expires: None,
        }
    }

    fn bad() -> Findings {
        Findings { trouble: Some((reason::TARGET_NOT_FOUND, "no such group".to_owned())), ..good() }
    }

    fn state(status: &PolicyStatus, type_: &str) -> Option<(ConditionStatus, String)> {
        conditions::find(&status.conditions, type_).map(|condition| (condition.status, condition.reason.clone()))
    }

    #[test]
    fn a_new_policy_is_reconciling_until_it_was_checked_and_then_ready_before_its_first_run() {
        let policy = policy(&json!({}));
        let mut status = PolicyStatus::default();
        observe(&mut status, &policy, 1, now());
        assert_eq!(state(&status, READY), Some((ConditionStatus::Unknown, "Progressing".to_owned())));
        assert_eq!(state(&status, RECONCILING), Some((ConditionStatus::True, "Progressing".to_owned())));

        checked(&mut status, &policy, &good(), 1, now());
        assert_eq!(state(&status, READY), Some((ConditionStatus::True, "Scheduled".to_owned())));
        assert_eq!(state(&status, RECONCILING), None);
        let ready = conditions::find(&status.conditions, READY).unwrap();
        assert_eq!(ready.message, "next run at 2026-11-23T03:17:00Z, mode DryRun");
    }

    #[test]
    fn trouble_is_not_ready_and_is_retried_and_passes() {
        let policy = policy(&json!({}));
        let mut status = PolicyStatus::default();
        observe(&mut status, &policy, 1, now());
        checked(&mut status, &policy, &bad(), 1, now());
        assert_eq!(state(&status, READY), Some((ConditionStatus::False, "TargetNotFound".to_owned())));
        assert_eq!(state(&status, RECONCILING), Some((ConditionStatus::True, "ProgressingWithRetry".to_owned())));
        checked(&mut status, &policy, &good(), 1, now());
        assert_eq!(state(&status, READY), Some((ConditionStatus::True, "Scheduled".to_owned())));
    }

    #[test]
    fn a_suspended_policy_is_ready_and_armed_for_nothing() {
        let suspended = policy(&json!({"suspend": true}));
        let mut status = PolicyStatus::default();
        observe(&mut status, &policy(&json!({})), 1, now());
        observe(&mut status, &suspended, 2, now());
        assert_eq!(status.observed_generation, Some(2));
        assert_eq!(status.next_schedule_time, None);
        assert_eq!(state(&status, READY), Some((ConditionStatus::True, "Suspended".to_owned())));
        assert_eq!(state(&status, RECONCILING), None);
        checked(&mut status, &suspended, &bad(), 2, now());
        assert_eq!(state(&status, READY), Some((ConditionStatus::True, "Suspended".to_owned())));
    }

    #[test]
    fn a_stalled_policy_is_armed_for_nothing_until_it_is_observed_again() {
        let policy = policy(&json!({}));
        let mut status = PolicyStatus::default();
        observe(&mut status, &policy, 1, now());
        let problem = Problem { reason: reason::INVALID_TIME_ZONE, message: "no such zone".to_owned() };
        stall(&mut status, &problem, 2, now());
        assert_eq!(status.next_schedule_time, None);
        assert_eq!(state(&status, STALLED), Some((ConditionStatus::True, "InvalidTimeZone".to_owned())));
        assert_eq!(state(&status, READY), Some((ConditionStatus::False, "InvalidTimeZone".to_owned())));
        observe(&mut status, &policy, 3, now());
        assert_eq!(state(&status, STALLED), None);
        assert!(status.next_schedule_time.is_some());
    }

    #[test]
    fn a_cleanup_policy_of_gitlab_is_told_at_every_look_until_the_status_says_otherwise() {
        let policy = policy(&json!({}));
        let mut status = PolicyStatus::default();
        observe(&mut status, &policy, 1, now());
        status.projects_with_cleanup_policy = vec!["shop/backend".to_owned()];
        let ends = |status: &PolicyStatus| {
            let ready = conditions::find(&status.conditions, READY).unwrap();
            ready.message.ends_with(
                "; GitLab's own cleanup policy is enabled in shop/backend and may remove what this policy keeps",
            )
        };
        checked(&mut status, &policy, &good(), 1, now());
        assert!(ends(&status));
        arm(&mut status, &policy, 1, now());
        assert!(ends(&status));
        status.projects_with_cleanup_policy.clear();
        checked(&mut status, &policy, &good(), 1, now());
        assert!(!ends(&status));
    }

    #[test]
    fn what_was_seen_of_one_instance_is_forgotten_when_the_policy_turns_to_another() {
        let off = policy(&json!({}));
        let on = policy(&json!({"emptyRepositories": {"deleteOlderThan": "30d"}}));
        let seen = |gitlab: &str| {
            let run = json!({
                "id": "r", "trigger": "Schedule", "mode": "Delete", "gitlab": gitlab, "observedGeneration": 1,
                "startTime": "1970-01-01T00:00:00Z", "result": "Succeeded",
            });
            PolicyStatus {
                last_run: Some(serde_json::from_value(run).unwrap()),
                empty_repositories: vec![super::super::empty::watch(1, "shop/a", now())],
                projects_with_cleanup_policy: vec!["shop/backend".to_owned()],
                ..PolicyStatus::default()
            }
        };
        let left = |gitlab: &str, policy: &CompiledPolicy| {
            let mut status = seen(gitlab);
            observe(&mut status, policy, 2, now());
            (status.empty_repositories.len(), status.projects_with_cleanup_policy.len())
        };
        assert_eq!(left("https://gitlab.example.com/", &on), (1, 1));
        assert_eq!(left("https://gitlab.example.com/", &off), (0, 1));
        assert_eq!(left("https://git.example.org/", &on), (0, 0));
    }

    #[test]
    fn doing_the_same_again_later_changes_nothing() {
        let policy = policy(&json!({}));
        let mut status = PolicyStatus::default();
        observe(&mut status, &policy, 1, now());
        checked(&mut status, &policy, &good(), 1, now());
        let before = status.clone();
        let later = now() + SignedDuration::from_mins(10);
        observe(&mut status, &policy, 1, later);
        checked(&mut status, &policy, &good(), 1, later);
        assert_eq!(status, before);
    }
}
