//! What is to be done while the definition in the cluster is older than the operator.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::policy::definition;

/// A policy that says that it is held, as of the last check.
pub(super) fn held(changes: &Value) -> Case {
    let mut case = Case::at_rest(changes);
    case.definition = definition::tests::lacking(&["spec.limits"], 0);
    let hold = case.definition.hold(case.policy.as_ref().unwrap(), &case.status, 3, at(NOON)).unwrap();
    let outdated = Reason::DefinitionOutdated;
    conditions::set(&mut case.status.conditions, READY, false, outdated, &hold.message, Some(3), at(NOON));
    case
}

#[test]
fn under_an_older_definition_a_slot_waits_for_the_upgrade_and_its_pause_and_a_request_is_refused() {
    let mut case = held(&delete());
    assert_eq!(case.next(NOON), Action::Wait(at("2026-11-22T12:01:00Z")));
    case.tokens.run = Some("a");
    assert_eq!(case.next(NOON), Action::RefuseRun(Refusal::Held));
    status_conditions::handled_run(&mut case.status, Some("a"));
    let night = Checked { generation: 3, at: at("2026-11-23T03:00:00Z"), failures: 0 };
    case.checked = Some(night);
    assert!(matches!(case.next("2026-11-23T03:18:00Z"), Action::Wait(until) if until <= at("2026-11-23T03:33:00Z")));
    assert!(matches!(case.next("2026-11-23T04:18:00Z"), Action::SkipSlot(_)), "but a slot does not wait for ever");

    case.definition.note(Vec::new(), at("2026-11-23T03:20:00Z"));
    assert_eq!(case.next("2026-11-23T03:20:00Z"), Action::Check, "the message is another one now");
    let hold = case.definition.hold(case.policy.as_ref().unwrap(), &case.status, 3, at("2026-11-23T03:20:00Z"));
    let outdated = Reason::DefinitionOutdated;
    let message = hold.unwrap().message;
    conditions::set(&mut case.status.conditions, READY, false, outdated, &message, Some(3), at(NOON));
    assert_eq!(case.next("2026-11-23T03:20:00Z"), Action::Wait(at("2026-11-23T03:30:00Z")));
    let slot = Some(at("2026-11-23T03:17:00Z"));
    let begin = Action::Begin { trigger: Trigger::Schedule, mode: Mode::Delete, slot };
    assert_eq!(case.next("2026-11-23T03:30:00Z"), begin);
}

#[test]
fn under_an_older_definition_dry_runs_go_on() {
    let mut case = held(&delete());
    case.tokens.dry_run = Some("a");
    assert!(matches!(case.next(NOON), Action::Begin { mode: Mode::DryRun, .. }));
    let mut case = Case::at_rest(&json!({}));
    case.definition = definition::tests::lacking(&["spec.limits"], 0);
    case.tokens.run = Some("a");
    assert!(matches!(case.next(NOON), Action::Begin { mode: Mode::DryRun, .. }));
    assert!(matches!(case.next("2026-11-23T03:17:00Z"), Action::Begin { mode: Mode::DryRun, .. }));
}

#[test]
fn under_an_older_definition_plans_are_proposed_and_an_approval_waits() {
    let mut case = held(&json!({"mode": "RequireApproval", "method": "Exact"}));
    case.tokens.run = Some("a");
    let propose = Action::Begin { trigger: Trigger::RunRequested, mode: Mode::RequireApproval, slot: None };
    assert_eq!(case.next(NOON), propose);
    case.tokens = Tokens { approval: Some("4f2a"), ..Tokens::default() };
    let plan = json!({"planHash": "4f2a", "tags": 7, "repositories": 1, "time": "2026-11-22T03:17:00Z"});
    case.status.pending_approval = serde_json::from_value(plan).unwrap();
    assert!(matches!(case.next(NOON), Action::Wait(_)));
    case.definition = Definition::default();
    case.status.conditions.clear();
    assert!(matches!(case.next(NOON), Action::Begin { trigger: Trigger::Approved, .. }));
}

#[rstest]
#[case::ready(json!({}), Reason::Scheduled, Action::Check)]
#[case::suspended(json!({"suspend": true}), Reason::Suspended, Action::Observe { refusal: None })]
fn what_becomes_known_of_the_definition_is_said_and_taken_back(
    #[case] changes: Value,
    #[case] why: Reason,
    #[case] expected: Action,
) {
    let mut case = Case::at_rest(&changes);
    if changes["suspend"] == true {
        case.status.next_schedule_time = None;
    }
    let remark = definition::tests::lacking(&["status.history"], 0).remark().unwrap();
    for (said, known, expected) in [
        ("all is well", Definition::default(), None),
        ("all is well", definition::tests::lacking(&["status.history"], 0), Some(&expected)),
        (&*remark, definition::tests::lacking(&["status.history"], 0), None),
        (&*remark, definition::tests::lacking(&[], 0), Some(&expected)),
    ] {
        conditions::set(&mut case.status.conditions, READY, true, why, said, Some(3), at(NOON));
        case.definition = known;
        match (case.next(NOON), expected) {
            (Action::Wait(_), None) => {}
            (action, expected) => assert_eq!(Some(&action), expected, "{said}"),
        }
    }
}
