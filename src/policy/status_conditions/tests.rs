//! What statuses say after which step, case by case.

use serde_json::{Value, json};

use super::*;
use crate::policy::compile::tests::spec;
use crate::policy::image::RefError;
use crate::policy::in_use::{Expiring, Held, Unreadable, Users};
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
    let expiring = Expiring { config_map: "west".to_owned(), until: "2026-11-22T18:00:00Z".parse().unwrap() };
    let (soon, told) = (Some("ListExpiringSoon".to_owned()), expiring.to_string());
    assert_eq!(known(Knowledge::Expiring(expiring)), (soon, good, format!("{next}; {told}")));
    let users = Users::new(["a/Pod/a".into()], 0);
    let text = Unreadable { text: "${IMAGE}".to_owned(), error: RefError::Path, users };
    let held = Held { repositories: vec!["shop/api".to_owned()], of: 3, text };
    let (why, ready, message) = known(Knowledge::But(held));
    assert_eq!((why.as_deref(), ready), (Some("ImageUnreadable"), good));
    assert_eq!(
        message,
        format!(
            "{next}; write the image in full in the workload: ${{IMAGE}} (used by a/Pod/a) cannot be read (the path is \
             not valid), and may mean any tag of 1 of 3 repositories, which are kept whole: shop/api"
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
        ready
            .message
            .ends_with("; GitLab's own cleanup policy is enabled in shop/backend and may remove what this policy keeps")
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
