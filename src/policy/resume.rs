//! Runs that were cut short and go on: once for each slot or request, planned anew, and only while a run for that slot
//! or request could begin at all.
//!
//! A run goes on if its operator was shut down or went away. One that somebody stopped (by an edit, a suspension or a
//! deletion), that was held back by a limit, or that had used up its time, does not; nor does one that was resumed.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::{ApprovedPlan, InterruptedRun, Mode, PolicyStatus, RunStatus, Trigger};

use super::compile::CompiledPolicy;
use super::report;

/// What is left of a run that was cut short, if it may go on. A request has no time of its own that could be trusted,
/// so its time counts from the beginning of the run; that of a slot from the slot.
#[must_use]
pub fn offer(
    run: &RunStatus,
    approved_plan: Option<ApprovedPlan>,
    slot: Option<Timestamp>,
    starting_deadline: SignedDuration,
    after: Option<Timestamp>,
) -> Option<InterruptedRun> {
    let from = match run.trigger {
        Trigger::Resumed => return None,
        Trigger::Schedule => slot.unwrap_or(run.start_time.0),
        Trigger::RunRequested | Trigger::DryRunRequested | Trigger::Approved => run.start_time.0,
    };
    Some(InterruptedRun {
        id: run.id.clone(),
        trigger: run.trigger,
        mode: run.mode,
        resume_after: after.map(Time),
        resume_before: Time(from.checked_add(starting_deadline).ok()?),
        approved_plan,
    })
}

/// Notes that the last run was cut short and may go on. What was cut short before a preview came in between is not
/// forgotten for the preview. `approved_plan` is the one that it carried out, and `after` the moment before which
/// GitLab lets nothing through.
pub fn note(
    status: &mut PolicyStatus,
    approved_plan: Option<ApprovedPlan>,
    starting_deadline: SignedDuration,
    after: Option<Timestamp>,
    now: Timestamp,
) {
    let slot = status.last_schedule_time.as_ref().map(|time| time.0);
    let offered = status.last_run.as_ref().and_then(|run| offer(run, approved_plan, slot, starting_deadline, after));
    let offered = offered.filter(|run| run.resume_before.0 > after.map_or(now, |after| after.max(now)));
    let is_preview = |run: &InterruptedRun| run.trigger == Trigger::DryRunRequested;
    if status.interrupted_run.is_none() || offered.as_ref().is_some_and(|run| !is_preview(run)) {
        let remark = offered.as_ref().map(sentence);
        status.interrupted_run = offered;
        report::add_remark(status, remark.as_deref());
    }
}

/// What to do about a run that was cut short.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Resume {
    /// Go on, in this mode.
    Now(Mode),
    /// Go on at this moment, once GitLab lets something through again.
    At(Timestamp),
    /// It is too late, or the policy is not what it was.
    Never,
}

/// Whether a run that was cut short goes on now. What it may do is what the policy lets a run do today.
#[must_use]
pub fn resume(run: &InterruptedRun, policy: &CompiledPolicy, now: Timestamp) -> Resume {
    let may = match (run.mode, run.trigger) {
        (Mode::DryRun, _) => true,
        (Mode::Delete, Trigger::Approved) => policy.mode == Mode::RequireApproval && run.approved_plan.is_some(),
        (mode, _) => mode == policy.mode,
    };
    if !may || policy.suspended || now >= run.resume_before.0 {
        return Resume::Never;
    }
    let after = run.resume_after.as_ref().map(|after| after.0).filter(|after| *after > now);
    after.map_or(Resume::Now(run.mode), Resume::At)
}

/// What a message says of a run that may go on.
fn sentence(run: &InterruptedRun) -> String {
    match &run.resume_after {
        Some(after) => format!("it goes on as a new run at {:.0}", after.0),
        None => format!("it goes on as a new run if an operator is there before {}", run.resume_before.0),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::{CompileOptions, compile};

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn cut(trigger: &str, mode: &str) -> RunStatus {
        serde_json::from_value(json!({
            "id": "r", "trigger": trigger, "mode": mode, "gitlab": "https://git.test", "observedGeneration": 1,
            "startTime": "1970-01-01T00:10:00Z", "result": "Interrupted",
        }))
        .unwrap()
    }

    fn plan() -> Option<ApprovedPlan> {
        serde_json::from_value(json!({"planHash": "4f2a", "time": "1970-01-01T00:00:00Z"})).unwrap()
    }

    #[rstest]
    #[case::from_its_slot("Schedule", Some(3900))]
    #[case::from_its_beginning("RunRequested", Some(4200))]
    #[case::a_preview("DryRunRequested", Some(4200))]
    #[case::approved("Approved", Some(4200))]
    #[case::only_once("Resumed", None)]
    fn a_run_that_was_cut_short_may_go_on_once_within_its_time(#[case] trigger: &str, #[case] before: Option<i64>) {
        let offered = offer(&cut(trigger, "Delete"), plan(), Some(at(300)), HOUR, None);
        assert_eq!(offered.map(|run| run.resume_before.0), before.map(at));
    }

    #[rstest]
    #[case::delete("Schedule", "Delete", json!({"mode": "Delete"}), Resume::Now(Mode::Delete))]
    #[case::a_dry_run("Schedule", "DryRun", json!({}), Resume::Now(Mode::DryRun))]
    #[case::a_preview_of_a_policy_that_deletes(
        "DryRunRequested",
        "DryRun",
        json!({"mode": "Delete"}),
        Resume::Now(Mode::DryRun),
    )]
    #[case::suspended("Schedule", "Delete", json!({"mode": "Delete", "suspend": true}), Resume::Never)]
    #[case::another_mode("Schedule", "Delete", json!({}), Resume::Never)]
    #[case::approved(
        "Approved",
        "Delete",
        json!({"mode": "RequireApproval", "method": "Exact"}),
        Resume::Now(Mode::Delete),
    )]
    #[case::approved_and_another_mode("Approved", "Delete", json!({"mode": "Delete"}), Resume::Never)]
    #[case::not_approved("Schedule", "Delete", json!({"mode": "RequireApproval", "method": "Exact"}), Resume::Never)]
    fn a_run_goes_on_only_with_what_the_policy_lets_a_run_do(
        #[case] trigger: &str,
        #[case] mode: &str,
        #[case] changes: Value,
        #[case] expected: Resume,
    ) {
        let policy = compile(&spec(&changes), &CompileOptions::default(), at(0)).unwrap();
        let run = offer(&cut(trigger, mode), plan(), Some(at(600)), HOUR, None).unwrap();
        assert_eq!(resume(&run, &policy, at(4199)), expected);
        assert_eq!(resume(&run, &policy, at(4200)), Resume::Never, "too late");
    }

    #[rstest]
    #[case::within_its_time(4199, true)]
    #[case::after_it(4200, false)]
    fn a_run_for_which_gitlabs_limits_were_too_low_goes_on_once_they_let_it(#[case] until: i64, #[case] goes_on: bool) {
        let policy = compile(&spec(&json!({"mode": "Delete"})), &CompileOptions::default(), at(0)).unwrap();
        let mut status = PolicyStatus { last_run: Some(cut("RunRequested", "Delete")), ..PolicyStatus::default() };
        note(&mut status, None, HOUR, Some(at(until)), at(700));
        let Some(run) = status.interrupted_run else { return assert!(!goes_on) };
        assert!(goes_on);
        assert_eq!(resume(&run, &policy, at(until - 1)), Resume::At(at(until)));
        assert_eq!(resume(&run, &policy, at(until)), Resume::Now(Mode::Delete));
        assert!(sentence(&run).ends_with("at 1970-01-01T01:09:59Z"), "{}", sentence(&run));
    }

    #[test]
    fn a_preview_that_was_cut_short_does_not_make_the_run_before_it_forgotten() {
        let mut status = PolicyStatus { last_run: Some(cut("RunRequested", "Delete")), ..PolicyStatus::default() };
        note(&mut status, None, HOUR, None, at(700));
        let first = status.interrupted_run.clone();
        assert_eq!(first.as_ref().unwrap().trigger, Trigger::RunRequested);
        status.last_run = Some(cut("DryRunRequested", "DryRun"));
        note(&mut status, None, HOUR, None, at(800));
        assert_eq!(status.interrupted_run, first);
        status.last_run = Some(cut("Resumed", "Delete"));
        status.interrupted_run = None;
        note(&mut status, None, HOUR, None, at(900));
        assert_eq!(status.interrupted_run, None);
        status.last_run = Some(cut("RunRequested", "Delete"));
        note(&mut status, None, HOUR, None, at(90_000));
        assert_eq!(status.interrupted_run, None, "found too late");
    }
}
