//! What is to be done where the operator makes a dry run of every run.

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::policy::forced_dry_run;

/// A policy at rest whose every run is a dry run, by the operator's flag, and whose status says so.
fn forced(mode: &str) -> Case {
    let changes = json!({"mode": mode, "method": "Exact"});
    let options = CompileOptions { force_dry_run: true, ..CompileOptions::default() };
    let mut case = Case { policy: compile(&spec(&changes), &options, at(NOON)), ..Case::at_rest(&changes) };
    forced_dry_run::note(&mut case.status, case.policy.as_ref().unwrap(), 3, at(NOON));
    case
}

#[rstest]
#[case::delete("Delete")]
#[case::approval("RequireApproval")]
fn whatever_begins_a_run_it_is_a_dry_run_where_that_is_forced(#[case] mode: &str) {
    let slot = at("2026-11-23T03:17:00Z");
    let mut due = forced(mode);
    due.checked = Some(Checked { generation: 3, at: at("2026-11-22T23:00:00Z"), failures: 0 });
    let scheduled = Action::Begin { trigger: Trigger::Schedule, mode: Mode::DryRun, slot: Some(slot) };
    assert_eq!(due.next("2026-11-23T03:17:00Z"), scheduled);

    let mut asked = forced(mode);
    asked.tokens.run = Some("now");
    let requested = Action::Begin { trigger: Trigger::RunRequested, mode: Mode::DryRun, slot: None };
    assert_eq!(asked.next(NOON), requested);

    let mut approved = forced(mode);
    let plan = json!({"planHash": "4f2a", "time": "2026-11-22T11:00:00Z", "tags": 3, "repositories": 1});
    approved.status.pending_approval = serde_json::from_value(plan).unwrap();
    approved.tokens.approval = Some("4f2a");
    assert_eq!(approved.next(NOON), Action::RefuseApproval("the operator runs with --force-dry-run"));

    for trigger in ["Schedule", "Approved"] {
        let mut cut = forced(mode);
        cut.status.interrupted_run = serde_json::from_value(json!({
            "id": "r", "trigger": trigger, "mode": "Delete", "resumeBefore": "2026-11-22T13:00:00Z",
            "approvedPlan": {"planHash": "4f2a", "time": "2026-11-22T11:00:00Z"},
        }))
        .unwrap();
        assert_eq!(cut.next(NOON), Action::DropInterrupted, "{trigger}");
    }
}

#[test]
fn a_policy_that_does_not_say_that_dry_runs_are_forced_is_looked_at() {
    let mut silent = forced("Delete");
    assert_eq!(silent.next(NOON), Action::Wait(at("2026-11-22T12:15:00Z")));
    silent.status.conditions.clear();
    assert_eq!(silent.next(NOON), Action::Check);

    let mut stale = Case::at_rest(&json!({"mode": "Delete", "suspend": true}));
    stale.status.next_schedule_time = None;
    stale.status.conditions = forced("Delete").status.conditions;
    assert_eq!(stale.next(NOON), Action::Observe { refusal: None });
}
