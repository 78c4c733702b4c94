//! What is to be done while an exclude window is open: from 11:00 to 19:00 on the day of the tests, and each night.

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::api::conditions::WITHIN_EXCLUDE_WINDOW;

fn changes(mode: &str) -> Value {
    json!({"mode": mode, "method": "Exact", "excludeWindows": [
        {"name": "freeze", "from": "2026-11-22T11:00:00Z", "until": "2026-11-22T19:00:00Z"},
        {"name": "night", "schedule": "0 4 * * *", "duration": "2h"},
    ]})
}

/// A policy at rest within the window, whose status says so.
fn within(mode: &str) -> Case {
    let mut case = Case::at_rest(&changes(mode));
    let policy = case.policy.clone().unwrap();
    exclude_windows::note(&mut case.status, policy.excluded(at(NOON)).as_ref(), 3, at(NOON));
    case
}

/// The same, armed for a time before the window at which it could not begin.
fn late(mode: &str) -> Case {
    let mut case = within(mode);
    case.status.next_schedule_time = Some(Time(at("2026-11-22T10:59:59Z")));
    case
}

#[test]
fn a_slot_that_came_before_a_window_and_could_not_begin_waits_and_is_left_out_once_it_is_too_late() {
    let quarter = |time| Action::Wait(at(time));
    assert_eq!(late("Delete").next("2026-11-22T11:30:00Z"), quarter("2026-11-22T11:45:00Z"));
    let missed = Action::SkipSlot(at("2026-11-22T10:59:59Z"));
    assert_eq!(late("Delete").next(NOON), missed);
    let slot = Some(at("2026-11-22T10:59:59Z"));
    let begins = Action::Begin { trigger: Trigger::Schedule, mode: Mode::DryRun, slot };
    assert_eq!(late("DryRun").next("2026-11-22T11:30:00Z"), begins, "a policy that only tells waits for no window");
}

#[test]
fn a_request_within_a_window_is_refused_and_what_was_cut_short_or_approved_waits_for_its_end() {
    let wait = Action::Wait(at("2026-11-22T12:15:00Z"));
    let mut asked = within("Delete");
    asked.tokens.run = Some("now");
    assert_eq!(asked.next(NOON), Action::RefuseRun(Refusal::Excluded));

    let mut cut = within("Delete");
    let run = json!({"id": "r", "trigger": "Schedule", "mode": "Delete", "resumeBefore": "2026-11-22T23:00:00Z"});
    cut.status.interrupted_run = serde_json::from_value(run).unwrap();
    assert_eq!(cut.next(NOON), wait);

    let mut approved = within("RequireApproval");
    let plan = json!({"planHash": "4f2a", "time": "2026-11-22T11:00:00Z", "tags": 3, "repositories": 1});
    approved.status.pending_approval = serde_json::from_value(plan).unwrap();
    approved.tokens.approval = Some("4f2a");
    approved.checked = Some(Checked { generation: 3, at: at("2026-11-22T18:00:00Z"), failures: 0 });
    assert_eq!(approved.next(NOON), wait);
    approved.status.conditions.clear();
    let begin = Action::Begin { trigger: Trigger::Approved, mode: Mode::Delete, slot: None };
    assert_eq!(approved.next("2026-11-22T19:00:00Z"), begin);
}

#[test]
fn what_only_tells_goes_on_within_a_window() {
    let mut preview = within("Delete");
    preview.tokens.dry_run = Some("now");
    let begin = Action::Begin { trigger: Trigger::DryRunRequested, mode: Mode::DryRun, slot: None };
    assert_eq!(preview.next(NOON), begin);
    let mut proposed = within("RequireApproval");
    proposed.tokens.run = Some("now");
    let begin = Action::Begin { trigger: Trigger::RunRequested, mode: Mode::RequireApproval, slot: None };
    assert_eq!(proposed.next(NOON), begin);
}

#[test]
fn a_policy_wakes_at_the_beginning_and_at_the_end_of_a_window_and_says_it() {
    let mut case = within("Delete");
    assert_eq!(case.next("2026-11-22T18:50:00Z"), Action::Check, "the last one was at 11:00");
    case.checked = Some(Checked { generation: 3, at: at("2026-11-22T18:00:00Z"), failures: 0 });
    assert_eq!(case.next("2026-11-22T18:50:00Z"), Action::Wait(at("2026-11-22T19:00:00Z")));
    assert_eq!(case.next("2026-11-22T19:00:00Z"), Action::NoteHolds);
    let mut before = Case::at_rest(&changes("Delete"));
    before.checked = Some(Checked { generation: 3, at: at("2026-11-22T10:00:00Z"), failures: 0 });
    assert_eq!(before.next("2026-11-22T10:50:00Z"), Action::Wait(at("2026-11-22T11:00:00Z")));
    assert_eq!(before.next("2026-11-22T11:00:00Z"), Action::NoteHolds);
}

#[rstest]
#[case::removes("Delete", "2026-11-24T03:17:00Z")]
#[case::tells("DryRun", "2026-11-23T03:17:00Z")]
#[case::proposes("RequireApproval", "2026-11-23T03:17:00Z")]
fn the_next_run_of_a_policy_that_removes_is_the_first_outside_of_its_windows(#[case] mode: &str, #[case] next: &str) {
    let freeze = json!([{"name": "freeze", "from": "2026-11-23T00:00:00Z", "until": "2026-11-24T00:00:00Z"}]);
    let case = Case::at_rest(&json!({"mode": mode, "method": "Exact", "excludeWindows": freeze}));
    let (policy, definition) = (case.policy.as_ref().unwrap(), Definition::default());
    let mut status = PolicyStatus { next_schedule_time: None, ..case.status.clone() };
    let ready = conditions::ConditionStatus::True;
    conditions::set(&mut status.conditions, READY, ready, Reason::Scheduled, "", Some(3), at(NOON));
    let subject = status_conditions::Subject { policy, generation: 3, definition: &definition, now: at(NOON) };
    status_conditions::arm(&mut status, subject);
    assert_eq!(status.next_schedule_time, Some(Time(at(next))));
    let told = &conditions::find(&status.conditions, READY).unwrap().message;
    let left_out = "its times from 2026-11-23T03:17:00Z on are left out, by the exclude window freeze";
    assert_eq!(told.contains(left_out), mode == "Delete", "{told}");
}

#[test]
fn a_policy_whose_windows_leave_no_time_is_stalled_and_says_nothing_of_a_window() {
    let always = json!([{"name": "always", "schedule": "@hourly", "duration": "1h"}]);
    let case = Case::at_rest(&json!({"mode": "Delete", "method": "Exact", "excludeWindows": always}));
    let Action::Stall { problem, .. } = case.next(NOON) else { panic!("{:?}", case.next(NOON)) };
    assert!(problem.message.contains("leave the schedule no time"), "{}", problem.message);
    let mut within = within("Delete");
    status_conditions::stall(&mut within.status, &problem, 3, at(NOON));
    assert!(conditions::find(&within.status.conditions, WITHIN_EXCLUDE_WINDOW).is_none());
}
