//! How the status changes when a policy is observed, stalled, checked or armed. Runs are the business of `report`.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::conditions::{
    self, APPROVAL_PENDING, CREDENTIALS_VALID, ConditionStatus, IN_USE_KNOWN, OVERLAPPING, READY, RECONCILING,
    RUN_QUEUED, Reason, STALLED,
};
use crate::api::{APPROVE, PolicyStatus, RefusedRunRequest, Trigger};

use super::compile::{CompiledPolicy, Problem};
use super::definition::Definition;
use super::gitlab_cleanup_policy;
use super::handled_requests::{self, Refusal};
use super::in_use::{Knowledge, unused_sentence};
use super::next_action::Tokens;
use super::of_age;
use super::overlap::{Overlap, Reader};

/// A token that expires within this time is worth a warning.
pub const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// What a look at credentials and targets came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Findings {
    /// Whether GitLab takes the token: status, reason, message.
    pub credentials: (ConditionStatus, Reason, String),
    /// What keeps the policy from being ready: reason and message.
    pub trouble: Option<(Reason, String)>,
    /// A remark on targets that do not work while others do.
    pub remark: Option<String>,
    /// When the token expires, if GitLab said so.
    pub expires: Option<Timestamp>,
}

/// What a status is written about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The compiled spec.
    pub policy: &'a CompiledPolicy,
    /// `metadata.generation`.
    pub generation: i64,
    /// What is known of the definition in the cluster.
    pub definition: &'a Definition,
    /// The time.
    pub now: Timestamp,
}

/// Takes note of a generation and arms the schedule from now on. A suspended policy is ready as it is.
pub fn observe(status: &mut PolicyStatus, subject: Subject<'_>) {
    let Subject { policy, generation, definition, now } = subject;
    let known = status.observed_generation == Some(generation);
    status.observed_generation = Some(generation);
    if !known {
        // An approval is for a plan of one generation, and a run that was cut short for one spec.
        status.pending_approval = None;
        status.interrupted_run = None;
    }
    let other = status.last_run.as_ref().is_some_and(|run| run.gitlab != policy.base_url.as_str());
    if other || policy.empty_repositories.is_none() {
        status.empty_repositories.clear();
    }
    if other {
        // Ids and paths of another instance say nothing here.
        status.projects_with_cleanup_policy.clear();
    }
    if other || !policy.protection.in_use {
        status.unused_registries.clear();
    }
    if other || !known {
        // Of other rules.
        status.coming_of_age = None;
    }
    conditions::remove(&mut status.conditions, STALLED);
    conditions::remove(&mut status.conditions, RUN_QUEUED);
    if policy.suspended {
        status.interrupted_run = None;
        status.next_schedule_time = None;
        conditions::remove(&mut status.conditions, RECONCILING);
        let mut message = after_remark(definition, "suspended: no run begins until suspend is set to false");
        add_refusal(&mut message, status);
        conditions::set(&mut status.conditions, READY, true, Reason::Suspended, &message, Some(generation), now);
        return;
    }
    status.next_schedule_time = policy.schedule.next_after(now).map(Time);
    if !(known && conditions::is_true(&status.conditions, READY)) {
        let message = "checking credentials and targets";
        let unknown = ConditionStatus::Unknown;
        conditions::set(&mut status.conditions, READY, unknown, Reason::Progressing, message, Some(generation), now);
        conditions::set(&mut status.conditions, RECONCILING, true, Reason::Progressing, message, Some(generation), now);
    }
}

/// Records a problem that only an edit can fix. Nothing is armed.
pub fn stall(status: &mut PolicyStatus, problem: &Problem, generation: i64, now: Timestamp) {
    status.observed_generation = Some(generation);
    status.interrupted_run = None;
    status.next_schedule_time = None;
    conditions::remove(&mut status.conditions, RECONCILING);
    let (reason, message) = (problem.reason, problem.message.as_str());
    conditions::set(&mut status.conditions, STALLED, true, reason, message, Some(generation), now);
    let mut message = message.to_owned();
    add_refusal(&mut message, status);
    conditions::set(&mut status.conditions, READY, false, reason, &message, Some(generation), now);
}

/// Answers what is asked of a generation that is about to be observed, or was: with a refusal, which notes the request
/// as handled, or with nothing. What was told of an earlier generation is over.
pub fn answer_run(status: &mut PolicyStatus, refusal: Option<Refusal>, tokens: Tokens<'_>, generation: i64) {
    if status.observed_generation != Some(generation) {
        status.refused_run_request = None;
    }
    if let (Some(refusal), Some(token)) = (refusal, tokens.run) {
        handled_run(status, Some(token));
        let message = refusal.message(token);
        status.refused_run_request = Some(RefusedRunRequest { value: handled_requests::shorten(token), message });
    }
}

/// Adds what is to be said of a request that was refused.
fn add_refusal(message: &mut String, status: &PolicyStatus) {
    if let Some(refused) = &status.refused_run_request {
        let _ = write!(message, "; {}", refused.message);
    }
}

/// Records what a look at credentials and targets came to.
pub fn checked(status: &mut PolicyStatus, subject: Subject<'_>, findings: &Findings) {
    let Subject { policy, definition, now, .. } = subject;
    conditions::remove(&mut status.conditions, RUN_QUEUED);
    let hold = definition.hold(policy, status, subject.generation, now);
    let generation = Some(subject.generation);
    let (valid, why, message) = &findings.credentials;
    conditions::set(&mut status.conditions, CREDENTIALS_VALID, *valid, *why, message, generation, now);
    if *valid == ConditionStatus::True {
        status.token_expiration_time = findings.expires.map(Time);
    }
    if policy.suspended {
        // A preview may look at a suspended policy; ready it stays.
        return;
    }
    // Whatever else is wrong, CredentialsValid or the next check says; that nothing is removed must not be missed.
    let outdated = hold.map(|hold| (Reason::DefinitionOutdated, hold.message));
    let trouble = findings.trouble.as_ref().map(|(why, message)| {
        let mut message = message.clone();
        add_refusal(&mut message, status);
        (*why, message)
    });
    match outdated.as_ref().or(trouble.as_ref()) {
        None => {
            conditions::remove(&mut status.conditions, RECONCILING);
            let message = ready_message(status, subject, findings.remark.as_deref());
            conditions::set(&mut status.conditions, READY, true, Reason::Scheduled, &message, generation, now);
        }
        Some((why, message)) => {
            let retry = Reason::ProgressingWithRetry;
            conditions::set(&mut status.conditions, RECONCILING, true, retry, message, generation, now);
            conditions::set(&mut status.conditions, READY, false, *why, message, generation, now);
        }
    }
}

/// Arms the next slot after a slot was used or missed.
pub fn arm(status: &mut PolicyStatus, subject: Subject<'_>) {
    let Subject { policy, generation, now, .. } = subject;
    status.next_schedule_time = policy.schedule.next_after(now).map(Time);
    let ready = conditions::find(&status.conditions, READY);
    if ready.is_some_and(|ready| ready.known_reason() == Some(Reason::Scheduled)) {
        let message = ready_message(status, subject, None);
        conditions::set(&mut status.conditions, READY, true, Reason::Scheduled, &message, Some(generation), now);
    }
}

/// Says that a run waits for its turn while so many others are at work.
pub fn queued(status: &mut PolicyStatus, at_work: usize, generation: i64, now: Timestamp) {
    let others = if at_work == 1 { "1 run is".to_owned() } else { format!("{at_work} runs are") };
    let message = format!("a run waits for its turn: {others} at work, see --concurrency");
    let why = Reason::WaitingForTurn;
    conditions::set(&mut status.conditions, RUN_QUEUED, true, why, &message, Some(generation), now);
}

/// Says that no run waits for its turn any more.
pub fn not_queued(status: &mut PolicyStatus) {
    conditions::remove(&mut status.conditions, RUN_QUEUED);
}

/// Notes what began a run, so that it is never begun for the same cause again.
pub fn note_trigger(status: &mut PolicyStatus, trigger: Trigger, slot: Option<Timestamp>, tokens: Tokens<'_>) {
    not_queued(status);
    if trigger != Trigger::DryRunRequested {
        status.refused_run_request = None;
        // It goes on now, or another run takes its place.
        status.interrupted_run = None;
    }
    match trigger {
        Trigger::Resumed => {}
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
        handled_requests::note(token, &mut status.last_handled_run_at, &mut status.handled_run_requests);
    }
}

/// Notes that a request for a dry run was answered.
pub fn handled_dry_run(status: &mut PolicyStatus, token: Option<&str>) {
    if let Some(token) = token {
        handled_requests::note(token, &mut status.last_handled_dry_run_at, &mut status.handled_dry_run_requests);
    }
}

/// Notes that an approval was answered.
pub fn handled_approval(status: &mut PolicyStatus, token: Option<&str>) {
    status.last_handled_approval = token.map(handled_requests::shorten);
}

/// Records which other policies look after the same repositories.
pub fn note_overlap(status: &mut PolicyStatus, overlap: &Overlap, to: Reader<'_>, generation: i64, now: Timestamp) {
    status.overlapping = overlap.to_status(to);
    let (overlapping, why, message) = match overlap.sentence(to) {
        Some(sentence) => (true, Reason::PoliciesOverlap, sentence),
        None => (false, Reason::NoOverlap, "no other policy looks after repositories of this one".to_owned()),
    };
    conditions::set(&mut status.conditions, OVERLAPPING, overlapping, why, &message, Some(generation), now);
}

/// Records what is known of images in use, and what would follow from it for a run.
pub fn note_in_use(status: &mut PolicyStatus, known: &Knowledge, generation: i64, now: Timestamp) {
    let (holds, why, message) = match known {
        Knowledge::NotWanted => return conditions::remove(&mut status.conditions, IN_USE_KNOWN),
        Knowledge::Whole => (true, Reason::WorkloadsWatched, "it is known which images are in use".to_owned()),
        Knowledge::Unknown(why) => (false, Reason::InUseUnknown, format!("a run would remove nothing: {why}")),
        Knowledge::But(held) => (false, Reason::ImageUnreadable, held.to_string()),
    };
    conditions::set(&mut status.conditions, IN_USE_KNOWN, holds, why, &message, Some(generation), now);
}

/// Says of a plan that waits for an approval what to do.
pub fn note_waiting(status: &mut PolicyStatus, now: Timestamp) {
    let Some(plan) = &status.pending_approval else {
        // One that is not there any more.
        if conditions::is_true(&status.conditions, APPROVAL_PENDING) {
            conditions::remove(&mut status.conditions, APPROVAL_PENDING);
        }
        return;
    };
    let message = format!(
        "{} tags of {} repositories would be removed: annotate the policy with {APPROVE}={} to have it done",
        plan.tags, plan.repositories, plan.plan_hash
    );
    let generation = status.observed_generation;
    conditions::set(&mut status.conditions, APPROVAL_PENDING, true, Reason::PlanWaits, &message, generation, now);
}

/// Records that a plan was approved, and by whom.
pub fn note_approved(status: &mut PolicyStatus, sentence: &str, now: Timestamp) {
    let generation = status.observed_generation;
    conditions::set(&mut status.conditions, APPROVAL_PENDING, false, Reason::PlanApproved, sentence, generation, now);
}

/// Puts what is to be said of the definition in front, where it is not cut off.
fn after_remark(definition: &Definition, message: &str) -> String {
    definition.remark().map_or_else(|| message.to_owned(), |remark| format!("{remark}; {message}"))
}

fn ready_message(status: &PolicyStatus, subject: Subject<'_>, remark: Option<&str>) -> String {
    let Subject { policy, definition, .. } = subject;
    let next = status.next_schedule_time.as_ref().map_or_else(|| "never".to_owned(), |time| time.0.to_string());
    let mut message = after_remark(definition, &format!("next run at {next}, mode {}", policy.mode.as_str()));
    if policy.protection.in_use && !policy.protection.seen_namespaces.is_empty() {
        let seen = policy.protection.seen_namespaces.join(", ");
        let _ = write!(message, "; images in use are seen in {seen} only (inUse.scope WatchedNamespaces)");
    }
    if let Some(plan) = &status.pending_approval {
        let _ = write!(message, "; {} tags wait for approval of plan {}", plan.tags, plan.plan_hash);
    }
    if let Some(unknown) = conditions::find(&status.conditions, IN_USE_KNOWN)
        && unknown.status == ConditionStatus::False
    {
        let _ = write!(message, "; {}", unknown.message);
    }
    let unused = unused_sentence(&status.unused_registries);
    let conflict = gitlab_cleanup_policy::sentence(&status.projects_with_cleanup_policy);
    let of_age = status.coming_of_age.as_ref().map(of_age::sentence);
    for remark in remark.into_iter().chain(unused.as_deref()).chain(conflict.as_deref()).chain(of_age.as_deref()) {
        message.push_str("; ");
        message.push_str(remark);
    }
    add_refusal(&mut message, status);
    message
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::image::RefError;
    use crate::policy::in_use::{Held, Unreadable, Users};
    use crate::policy::{CompileOptions, compile};

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn policy(changes: &Value) -> CompiledPolicy {
        compile(&spec(changes), &CompileOptions::default(), now()).unwrap()
    }

    fn about(policy: &CompiledPolicy, generation: i64, now: Timestamp) -> Subject<'_> {
        static UNKNOWN: std::sync::LazyLock<Definition> = std::sync::LazyLock::new(Definition::default);
        Subject { policy, generation, definition: &UNKNOWN, now }
    }

    fn good() -> Findings {
        Findings {
            credentials: (ConditionStatus::True, Reason::TokenAccepted, "ok".to_owned()),
            trouble: None,
            remark: None,
            expires: None,
        }
    }

    fn bad() -> Findings {
        Findings { trouble: Some((Reason::TargetNotFound, "no such group".to_owned())), ..good() }
    }

    fn state(status: &PolicyStatus, type_: &str) -> Option<(ConditionStatus, String)> {
        conditions::find(&status.conditions, type_).map(|condition| (condition.status, condition.reason.clone()))
    }

    #[test]
    fn a_new_policy_is_reconciling_until_it_was_checked_and_then_ready_before_its_first_run() {
        let policy = policy(&json!({}));
        let mut status = PolicyStatus::default();
        observe(&mut status, about(&policy, 1, now()));
        assert_eq!(state(&status, READY), Some((ConditionStatus::Unknown, "Progressing".to_owned())));
        assert_eq!(state(&status, RECONCILING), Some((ConditionStatus::True, "Progressing".to_owned())));

        checked(&mut status, about(&policy, 1, now()), &good());
        assert_eq!(state(&status, READY), Some((ConditionStatus::True, "Scheduled".to_owned())));
        assert_eq!(state(&status, RECONCILING), None);
        let ready = conditions::find(&status.conditions, READY).unwrap();
        assert_eq!(ready.message, "next run at 2026-11-23T03:17:00Z, mode DryRun");
    }

    #[test]
    fn what_is_not_known_of_images_in_use_is_a_condition_and_part_of_the_message_of_ready() {
        let policy = policy(&json!({}));
        let mut status = PolicyStatus::default();
        let mut known = |known: Knowledge| {
            observe(&mut status, about(&policy, 1, now()));
            note_in_use(&mut status, &known, 1, now());
            checked(&mut status, about(&policy, 1, now()), &good());
            arm(&mut status, about(&policy, 1, now()));
            let ready = conditions::find(&status.conditions, READY).unwrap();
            (state(&status, IN_USE_KNOWN).map(|(_, reason)| reason), ready.status, ready.message.clone())
        };
        let next = "next run at 2026-11-23T03:17:00Z, mode DryRun";
        let good = ConditionStatus::True;
        let gap = "pods in all namespaces: list is forbidden".to_owned();
        let (unknown, whole) = (Some("InUseUnknown".to_owned()), Some("WorkloadsWatched".to_owned()));
        assert_eq!(
            known(Knowledge::Unknown(gap.clone())),
            (unknown, good, format!("{next}; a run would remove nothing: {gap}"))
        );
        assert_eq!(known(Knowledge::Whole), (whole, good, next.to_owned()));
        let users = Users::new(["a/Pod/a".into()], 0);
        let text = Unreadable { text: "${IMAGE}".to_owned(), error: RefError::Path, users };
        let held = Held { repositories: vec!["shop/api".to_owned()], of: 3, text };
        let (why, ready, message) = known(Knowledge::But(held));
        assert_eq!((why.as_deref(), ready), (Some("ImageUnreadable"), good));
        assert_eq!(
            message,
            format!(
                "{next}; write the image in full in the workload: ${{IMAGE}} (used by a/Pod/a) cannot be read (the path is not \
                 valid), and may mean any tag of 1 of 3 repositories, which are kept whole: shop/api"
            )
        );
        assert_eq!(known(Knowledge::NotWanted), (None, good, next.to_owned()));
    }

    #[test]
    fn trouble_is_not_ready_and_is_retried_and_passes() {
        let policy = policy(&json!({}));
        let mut status = PolicyStatus::default();
        observe(&mut status, about(&policy, 1, now()));
        checked(&mut status, about(&policy, 1, now()), &bad());
        assert_eq!(state(&status, READY), Some((ConditionStatus::False, "TargetNotFound".to_owned())));
        assert_eq!(state(&status, RECONCILING), Some((ConditionStatus::True, "ProgressingWithRetry".to_owned())));
        checked(&mut status, about(&policy, 1, now()), &good());
        assert_eq!(state(&status, READY), Some((ConditionStatus::True, "Scheduled".to_owned())));
    }

    #[test]
    fn a_suspended_policy_is_ready_and_armed_for_nothing() {
        let suspended = policy(&json!({"suspend": true}));
        let mut status = PolicyStatus::default();
        observe(&mut status, about(&policy(&json!({})), 1, now()));
        observe(&mut status, about(&suspended, 2, now()));
        assert_eq!(status.observed_generation, Some(2));
        assert_eq!(status.next_schedule_time, None);
        assert_eq!(state(&status, READY), Some((ConditionStatus::True, "Suspended".to_owned())));
        assert_eq!(state(&status, RECONCILING), None);
        checked(&mut status, about(&suspended, 2, now()), &bad());
        assert_eq!(state(&status, READY), Some((ConditionStatus::True, "Suspended".to_owned())));
    }

    #[test]
    fn a_stalled_policy_is_armed_for_nothing_until_it_is_observed_again() {
        let policy = policy(&json!({}));
        let mut status = PolicyStatus::default();
        observe(&mut status, about(&policy, 1, now()));
        let problem = Problem { reason: Reason::InvalidTimeZone, message: "no such zone".to_owned() };
        stall(&mut status, &problem, 2, now());
        assert_eq!(status.next_schedule_time, None);
        assert_eq!(state(&status, STALLED), Some((ConditionStatus::True, "InvalidTimeZone".to_owned())));
        assert_eq!(state(&status, READY), Some((ConditionStatus::False, "InvalidTimeZone".to_owned())));
        observe(&mut status, about(&policy, 3, now()));
        assert_eq!(state(&status, STALLED), None);
        assert!(status.next_schedule_time.is_some());
    }

    #[test]
    fn a_refused_run_is_told_in_ready_until_a_run_begins_or_the_policy_is_edited() {
        let (plain, suspended) = (policy(&json!({})), policy(&json!({"suspend": true})));
        let tells = |status: &PolicyStatus| {
            let ready = conditions::find(&status.conditions, READY).unwrap();
            ready.message.ends_with("; set a new value once status.observedGeneration is current")
        };
        let asked = Tokens { run: Some("a"), ..Tokens::default() };
        let mut status = PolicyStatus::default();
        answer_run(&mut status, Some(Refusal::New), asked, 1);
        observe(&mut status, about(&plain, 1, now()));
        assert_eq!(status.last_handled_run_at.as_deref(), Some("a"));
        for findings in [good(), bad()] {
            checked(&mut status, about(&plain, 1, now()), &findings);
            assert!(tells(&status), "{status:?}");
        }
        checked(&mut status, about(&plain, 1, now()), &good());
        arm(&mut status, about(&plain, 1, now()));
        assert!(tells(&status));
        let mut ran = status.clone();
        note_trigger(&mut ran, Trigger::DryRunRequested, None, Tokens::default());
        assert!(ran.refused_run_request.is_some(), "a dry run is another thing");
        note_trigger(&mut ran, Trigger::RunRequested, None, Tokens { run: Some("b"), ..Tokens::default() });
        assert_eq!(ran.refused_run_request, None);
        answer_run(&mut status, None, asked, 2);
        observe(&mut status, about(&plain, 2, now()));
        assert_eq!(status.refused_run_request, None);

        answer_run(&mut status, Some(Refusal::Suspended), asked, 3);
        observe(&mut status, about(&suspended, 3, now()));
        let ready = conditions::find(&status.conditions, READY).unwrap();
        assert!(ready.message.contains("once suspend is false and status.observedGeneration"), "{}", ready.message);
        let problem = Problem { reason: Reason::InvalidTimeZone, message: "no such zone".to_owned() };
        answer_run(&mut status, Some(Refusal::Stalled), asked, 4);
        stall(&mut status, &problem, 4, now());
        let message = |type_| conditions::find(&status.conditions, type_).unwrap().message.clone();
        assert!(message(READY).starts_with("no such zone; run-requested-at \"a\" came while"), "{}", message(READY));
        assert_eq!(message(STALLED), "no such zone", "what is compared with the problem at each look");
    }

    #[test]
    fn a_cleanup_policy_of_gitlab_is_told_at_every_look_until_the_status_says_otherwise() {
        let policy = policy(&json!({}));
        let mut status = PolicyStatus::default();
        observe(&mut status, about(&policy, 1, now()));
        status.projects_with_cleanup_policy = vec!["shop/backend".to_owned()];
        let ends = |status: &PolicyStatus| {
            let ready = conditions::find(&status.conditions, READY).unwrap();
            ready.message.ends_with(
                "; GitLab's own cleanup policy is enabled in shop/backend and may remove what this policy keeps",
            )
        };
        checked(&mut status, about(&policy, 1, now()), &good());
        assert!(ends(&status));
        arm(&mut status, about(&policy, 1, now()));
        assert!(ends(&status));
        status.projects_with_cleanup_policy.clear();
        checked(&mut status, about(&policy, 1, now()), &good());
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
                empty_repositories: vec![super::super::empty_repository::watch(1, "shop/a", now())],
                projects_with_cleanup_policy: vec!["shop/backend".to_owned()],
                ..PolicyStatus::default()
            }
        };
        let left = |gitlab: &str, policy: &CompiledPolicy| {
            let mut status = seen(gitlab);
            observe(&mut status, about(policy, 2, now()));
            (status.empty_repositories.len(), status.projects_with_cleanup_policy.len())
        };
        assert_eq!(left("https://gitlab.example.com/", &on), (1, 1));
        assert_eq!(left("https://gitlab.example.com/", &off), (0, 1));
        assert_eq!(left("https://git.example.org/", &on), (0, 0));
    }

    #[test]
    fn an_older_definition_is_said_first_and_where_a_guard_is_dropped_nothing_else_makes_ready() {
        let outdated = crate::policy::definition::tests::lacking(&["spec.limits"], 0);
        let dry = policy(&json!({}));
        let subject = Subject { definition: &outdated, ..about(&dry, 1, now()) };
        let mut status = PolicyStatus::default();
        observe(&mut status, subject);
        checked(&mut status, subject, &good());
        let remark = outdated.remark().unwrap();
        let message = |status: &PolicyStatus| conditions::find(&status.conditions, READY).unwrap().message.clone();
        assert_eq!(state(&status, READY), Some((ConditionStatus::True, "Scheduled".to_owned())));
        assert_eq!(message(&status), format!("{remark}; next run at 2026-11-23T03:17:00Z, mode DryRun"));
        assert!(!subject.definition.is_misstated(subject.policy, &status, subject.generation, now()));
        assert!(about(&dry, 1, now()).definition.is_misstated(&dry, &status, 1, now()));
        arm(&mut status, subject);
        assert!(!subject.definition.is_misstated(subject.policy, &status, subject.generation, now()));

        let suspended = policy(&json!({"suspend": true, "mode": "Delete"}));
        observe(&mut status, Subject { policy: &suspended, ..subject });
        assert!(message(&status).starts_with(&format!("{remark}; suspended: ")), "{}", message(&status));

        let delete = policy(&json!({"mode": "Delete"}));
        let subject = Subject { policy: &delete, generation: 2, ..subject };
        for findings in [good(), bad()] {
            observe(&mut status, subject);
            checked(&mut status, subject, &findings);
            assert_eq!(state(&status, READY), Some((ConditionStatus::False, "DefinitionOutdated".to_owned())));
            assert_eq!(state(&status, RECONCILING).unwrap().1, "ProgressingWithRetry");
            assert!(message(&status).starts_with(&format!("{remark}; ")), "{}", message(&status));
            assert!(!subject.definition.is_misstated(subject.policy, &status, subject.generation, now()));
        }
    }

    #[test]
    fn what_is_shared_with_other_policies_is_a_condition_and_taken_back() {
        let mut status = PolicyStatus::default();
        let to = Reader { namespace: "team", name_others: false };
        let shared = vec!["shop/api".to_owned()];
        let overlap = Overlap { with: vec![("team".to_owned(), "b".to_owned())], shared, of: 2 };
        note_overlap(&mut status, &overlap, to, 1, now());
        assert_eq!(state(&status, OVERLAPPING), Some((ConditionStatus::True, "PoliciesOverlap".to_owned())));
        assert_eq!(status.overlapping.as_ref().unwrap().policies, ["b"]);
        note_overlap(&mut status, &Overlap::default(), to, 1, now());
        assert_eq!(state(&status, OVERLAPPING), Some((ConditionStatus::False, "NoOverlap".to_owned())));
        assert_eq!(status.overlapping, None);
    }

    #[test]
    fn doing_the_same_again_later_changes_nothing() {
        let policy = policy(&json!({}));
        let mut status = PolicyStatus::default();
        observe(&mut status, about(&policy, 1, now()));
        checked(&mut status, about(&policy, 1, now()), &good());
        let before = status.clone();
        let later = now() + SignedDuration::from_mins(10);
        observe(&mut status, about(&policy, 1, later));
        checked(&mut status, about(&policy, 1, later), &good());
        assert_eq!(status, before);
    }
}
