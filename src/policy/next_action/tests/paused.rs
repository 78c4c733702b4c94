//! What is to be done while the installation is paused.

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::policy::pause::Order;

fn on() -> Pause {
    Pause::On(Box::new(Order { place: "registry-cleanup/pause".to_owned(), ..Order::default() }))
}

fn unknown() -> Pause {
    Pause::Unknown("the operator may not see it".to_owned())
}

/// A policy at rest in a paused installation whose status says so.
fn paused(pause: Pause, mode: &str) -> Case {
    let mut case = Case { pause, ..Case::at_rest(&json!({"mode": mode, "method": "Exact"})) };
    case.pause.note(&mut case.status, 3, at(NOON));
    case
}

#[rstest]
#[case::ordered(on())]
#[case::unknown(unknown())]
fn a_slot_waits_while_the_operator_is_paused_and_is_left_out_once_it_is_too_late(#[case] pause: Pause) {
    let mut case = paused(pause, "Delete");
    case.checked = Some(Checked { generation: 3, at: at("2026-11-23T03:00:00Z"), failures: 0 });
    let slot = at("2026-11-23T03:17:00Z");
    assert_eq!(case.next("2026-11-23T03:17:00Z"), Action::Wait(at("2026-11-23T03:32:00Z")));
    assert_eq!(case.next("2026-11-23T04:17:01Z"), Action::SkipSlot(slot));
    case.pause = Pause::Off;
    case.status.conditions.clear();
    let begin = Action::Begin { trigger: Trigger::Schedule, mode: Mode::Delete, slot: Some(slot) };
    assert_eq!(case.next("2026-11-23T04:00:00Z"), begin);
}

#[rstest]
#[case::ordered(on())]
#[case::unknown(unknown())]
fn a_request_is_refused_and_what_was_cut_short_or_approved_waits_while_the_operator_is_paused(#[case] pause: Pause) {
    let wait = Action::Wait(at("2026-11-22T12:15:00Z"));
    let mut asked = paused(pause.clone(), "Delete");
    asked.tokens.run = Some("now");
    assert_eq!(asked.next(NOON), Action::RefuseRun(Refusal::Paused));

    let mut cut = paused(pause.clone(), "Delete");
    let run = json!({"id": "r", "trigger": "Schedule", "mode": "Delete", "resumeBefore": "2026-11-22T13:00:00Z"});
    cut.status.interrupted_run = serde_json::from_value(run).unwrap();
    assert_eq!(cut.next(NOON), wait);

    let mut approved = paused(pause, "RequireApproval");
    let plan = json!({"planHash": "4f2a", "time": "2026-11-22T11:00:00Z", "tags": 3, "repositories": 1});
    approved.status.pending_approval = serde_json::from_value(plan).unwrap();
    approved.tokens.approval = Some("4f2a");
    assert_eq!(approved.next(NOON), wait);
}

#[test]
fn what_only_tells_goes_on_while_the_operator_is_paused() {
    let mut preview = paused(on(), "Delete");
    preview.tokens.dry_run = Some("now");
    let begin = Action::Begin { trigger: Trigger::DryRunRequested, mode: Mode::DryRun, slot: None };
    assert_eq!(preview.next(NOON), begin);
    for (text, mode) in [("DryRun", Mode::DryRun), ("RequireApproval", Mode::RequireApproval)] {
        let mut asked = paused(on(), text);
        asked.tokens.run = Some("now");
        assert_eq!(asked.next(NOON), Action::Begin { trigger: Trigger::RunRequested, mode, slot: None });
    }
    let mut unchecked = paused(on(), "Delete");
    unchecked.checked = None;
    assert_eq!(unchecked.next(NOON), Action::Check);
}

#[rstest]
#[case::ready(json!({"mode": "Delete"}))]
#[case::suspended(json!({"mode": "Delete", "suspend": true}))]
#[case::stalled(json!({"mode": "Delete", "timeZone": "Europe/Atlantis"}))]
fn every_policy_says_that_the_operator_is_paused_and_when_it_is_no_longer(#[case] changes: Value) {
    let mut case = Case::at_rest(&changes);
    match &case.policy {
        Ok(policy) if policy.suspended => case.status.next_schedule_time = None,
        Ok(_) => {}
        Err(problem) => status_conditions::stall(&mut case.status, problem, 3, at(NOON)),
    }
    assert!(matches!(case.next(NOON), Action::Wait(_)));
    case.pause = on();
    assert_eq!(case.next(NOON), Action::NoteHolds);
    case.pause.note(&mut case.status, 3, at(NOON));
    assert!(matches!(case.next(NOON), Action::Wait(_)));
    case.pause = Pause::Off;
    assert_eq!(case.next(NOON), Action::NoteHolds);
}
