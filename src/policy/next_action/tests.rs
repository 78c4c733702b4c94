//! What is to be done in which situation, as tables.

mod definition;
mod details;
mod forced;
mod paused;
mod windows;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::api::conditions::{READY, Reason};
use crate::policy::compile::tests::spec;
use crate::policy::{CompileOptions, compile, status_conditions};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOON: &str = "2026-11-22T12:00:00Z";

struct Case {
    policy: Result<CompiledPolicy, Problem>,
    status: PolicyStatus,
    tokens: Tokens<'static>,
    generation: i64,
    checked: Option<Checked>,
    deleting: bool,
    definition: Definition,
    pause: Pause,
    neighbours_changed: bool,
    holder: Option<Holder>,
}

impl Case {
    /// A policy at rest: observed, armed for tomorrow 03:17, checked.
    fn at_rest(changes: &Value) -> Self {
        let status = PolicyStatus {
            observed_generation: Some(3),
            next_schedule_time: Some(Time(at("2026-11-23T03:17:00Z"))),
            ..PolicyStatus::default()
        };
        Self {
            policy: compile(&spec(changes), &CompileOptions::default(), at(NOON)),
            status,
            tokens: Tokens::default(),
            generation: 3,
            checked: Some(Checked { generation: 3, at: at("2026-11-22T11:00:00Z"), failures: 0 }),
            deleting: false,
            definition: Definition::default(),
            pause: Pause::Off,
            neighbours_changed: false,
            holder: None,
        }
    }

    /// What is decided, by what the watch keeps as well as by the whole status.
    fn next(&self, now: &str) -> Action {
        let (decided, mut kept) = (self.by(&self.status, now), self.status.clone());
        forget_details(&mut kept);
        assert_eq!(self.by(&kept, now), decided);
        decided
    }

    fn by(&self, status: &PolicyStatus, now: &str) -> Action {
        let view = View {
            generation: self.generation,
            deleting: self.deleting,
            tokens: self.tokens,
            status,
            policy: self.policy.as_ref(),
            checked: self.checked,
            definition: &self.definition,
            pause: &self.pause,
            neighbours_changed: self.neighbours_changed,
            holder: self.holder,
        };
        next_action(&view, at(now))
    }
}

fn delete() -> Value {
    json!({"mode": "Delete"})
}

#[test]
fn a_policy_at_rest_is_looked_at_again_within_a_quarter_of_an_hour() {
    assert_eq!(Case::at_rest(&delete()).next(NOON), Action::Wait(at("2026-11-22T12:15:00Z")));
}

#[rstest]
#[case("2026-11-23T03:10:00Z", Action::Wait(at("2026-11-23T03:17:00Z")))]
#[case(
    "2026-11-23T03:17:00Z",
    Action::Begin { trigger: Trigger::Schedule, mode: Mode::Delete, slot: Some(at("2026-11-23T03:17:00Z")) },
)]
#[case("2026-11-23T04:17:01Z", Action::SkipSlot(at("2026-11-23T03:17:00Z")))]
#[case(
    "2026-11-25T03:20:00Z",
    Action::Begin { trigger: Trigger::Schedule, mode: Mode::Delete, slot: Some(at("2026-11-25T03:17:00Z")) },
)]
fn a_slot_runs_once_and_only_within_its_deadline(#[case] now: &str, #[case] expected: Action) {
    let mut case = Case::at_rest(&delete());
    case.checked = Some(Checked { generation: 3, at: at("2026-11-22T23:00:00Z"), failures: 0 });
    assert_eq!(case.next(now), expected);
}

#[rstest]
#[case::created(None)]
#[case::created_with_the_default(Some(-1))]
#[case::edited(Some(2))]
fn creating_or_editing_a_policy_runs_nothing_even_if_a_slot_is_due(#[case] observed: Option<i64>) {
    let mut case = Case::at_rest(&delete());
    case.status.observed_generation = observed;
    assert_eq!(case.next("2026-11-23T03:17:00Z"), Action::Observe { refusal: None });
}

/// Whatever the mode: what removes nothing in the policy as it is may remove in the one that was asked.
#[rstest]
#[case::created(delete(), None, Refusal::New)]
#[case::created_with_the_default(delete(), Some(-1), Refusal::New)]
#[case::created_as_a_dry_run(json!({}), Some(-1), Refusal::New)]
#[case::edited(delete(), Some(2), Refusal::Edited)]
#[case::edited_to_propose(json!({"mode": "RequireApproval", "method": "Exact"}), Some(2), Refusal::Edited)]
#[case::created_suspended(json!({"mode": "Delete", "suspend": true}), Some(-1), Refusal::Suspended)]
#[case::suspended_by_the_edit(json!({"mode": "Delete", "suspend": true}), Some(2), Refusal::Suspended)]
fn a_run_that_is_asked_for_with_a_new_generation_is_refused(
    #[case] changes: Value,
    #[case] observed: Option<i64>,
    #[case] why: Refusal,
) {
    let mut case = Case::at_rest(&changes);
    case.status.observed_generation = observed;
    case.tokens.run = Some("now");
    assert_eq!(case.next(NOON), Action::Observe { refusal: Some(why) });
    case.tokens = Tokens { dry_run: Some("now"), ..Tokens::default() };
    assert_eq!(case.next(NOON), Action::Observe { refusal: None }, "a dry run waits for its turn");
}

#[test]
fn a_stalled_policy_refuses_runs_at_once_and_none_is_left_for_the_edit_that_mends_it() {
    let mut case = Case::at_rest(&json!({"timeZone": "Europe/Atlantis"}));
    let problem = case.policy.clone().unwrap_err();
    case.tokens.run = Some("a");
    let refusal = Some(Refusal::Stalled);
    assert_eq!(case.next(NOON), Action::Stall { problem: problem.clone(), refusal });
    conditions::set(&mut case.status.conditions, STALLED, true, problem.reason, &problem.message, Some(3), at(NOON));
    assert_eq!(case.next(NOON), Action::RefuseRun(Refusal::Stalled));

    // The operator's flags were what was wrong, and nobody looked while the request was made.
    case.policy = Case::at_rest(&delete()).policy;
    assert_eq!(case.next(NOON), Action::Observe { refusal });
    case.generation = 4;
    assert_eq!(case.next(NOON), Action::Observe { refusal });
    status_conditions::handled_run(&mut case.status, Some("a"));
    assert_eq!(case.next(NOON), Action::Observe { refusal: None });
}

#[test]
fn a_new_token_runs_once_in_the_mode_of_the_policy() {
    let mut case = Case::at_rest(&delete());
    case.tokens.run = Some("a");
    let begin = Action::Begin { trigger: Trigger::RunRequested, mode: Mode::Delete, slot: None };
    assert_eq!(case.next(NOON), begin);
    case.status.last_handled_run_at = Some("a".to_owned());
    assert!(matches!(case.next(NOON), Action::Wait(_)));
    case.tokens.run = Some("b");
    assert_eq!(case.next(NOON), begin);
}

#[test]
fn a_token_that_comes_back_after_another_one_runs_nothing() {
    let mut case = Case::at_rest(&delete());
    for token in ["a", "b"] {
        status_conditions::handled_run(&mut case.status, Some(token));
        status_conditions::handled_dry_run(&mut case.status, Some(token));
    }
    case.tokens = Tokens { run: Some("a"), dry_run: Some("a"), approval: None };
    assert!(matches!(case.next(NOON), Action::Wait(_)));
    case.tokens.run = Some("c");
    assert!(matches!(case.next(NOON), Action::Begin { trigger: Trigger::RunRequested, .. }));
}

#[test]
fn a_time_that_is_not_later_than_the_last_one_runs_nothing_whoever_wrote_the_status() {
    let mut case = Case::at_rest(&delete());
    case.status.last_handled_run_at = Some("2026-11-22T11:00:00Z".to_owned());
    case.tokens.run = Some("2026-11-22T10:59:59Z");
    assert!(matches!(case.next(NOON), Action::Wait(_)));
    case.status.observed_generation = Some(-1);
    assert_eq!(case.next(NOON), Action::Observe { refusal: None }, "there is no request to drop");
    case.status.observed_generation = Some(3);
    case.tokens.run = Some("2026-11-22T11:00:01Z");
    assert!(matches!(case.next(NOON), Action::Begin { trigger: Trigger::RunRequested, .. }));
}

#[test]
fn a_token_that_is_too_long_to_note_still_runs_only_once() {
    let long: &'static str = Box::leak("x".repeat(1000).into_boxed_str());
    let mut case = Case::at_rest(&delete());
    case.tokens.run = Some(long);
    assert!(matches!(case.next(NOON), Action::Begin { .. }));
    status_conditions::handled_run(&mut case.status, Some(long));
    assert!(matches!(case.next(NOON), Action::Wait(_)));
}

#[test]
fn a_preview_never_removes_whatever_the_mode_and_comes_before_a_run() {
    let mut case = Case::at_rest(&delete());
    case.tokens.run = Some("a");
    case.tokens.dry_run = Some("b");
    let begin = Action::Begin { trigger: Trigger::DryRunRequested, mode: Mode::DryRun, slot: None };
    assert_eq!(case.next(NOON), begin);
}

#[test]
fn an_approval_begins_a_run_while_it_names_the_plan_that_waits() {
    let mut case = Case::at_rest(&json!({"mode": "RequireApproval", "method": "Exact"}));
    case.tokens.run = Some("a");
    let propose = Action::Begin { trigger: Trigger::RunRequested, mode: Mode::RequireApproval, slot: None };
    assert_eq!(case.next(NOON), propose);
    case.status.last_handled_run_at = Some("a".to_owned());

    case.tokens.approval = Some("4f2a");
    assert!(matches!(case.next(NOON), Action::RefuseApproval("no plan waits for approval")));
    case.status.last_handled_approval = Some("4f2a".to_owned());
    assert!(matches!(case.next(NOON), Action::Wait(_)), "it is refused once");

    let plan = json!({"planHash": "4f2a", "tags": 7, "repositories": 1, "time": "2026-11-22T03:17:00Z"});
    case.status.pending_approval = serde_json::from_value(plan).unwrap();
    let begin = Action::Begin { trigger: Trigger::Approved, mode: Mode::Delete, slot: None };
    assert_eq!(case.next(NOON), begin, "it stands until the plan is carried out or changes");
    case.tokens.approval = Some("77aa");
    assert!(matches!(case.next(NOON), Action::RefuseApproval(_)));
    assert_eq!(case.status.pending_approval.as_ref().unwrap().plan_hash, "4f2a");
}

#[rstest]
#[case::suspended(json!({"mode": "RequireApproval", "method": "Exact", "suspend": true}))]
#[case::another_mode(json!({"mode": "Delete", "method": "Exact"}))]
fn an_approval_begins_nothing_where_no_run_may_begin(#[case] changes: Value) {
    let mut case = Case::at_rest(&changes);
    if changes["suspend"] == true {
        case.status.next_schedule_time = None;
    }
    case.tokens.approval = Some("4f2a");
    let plan = json!({"planHash": "4f2a", "tags": 7, "repositories": 1, "time": "2026-11-22T03:17:00Z"});
    case.status.pending_approval = serde_json::from_value(plan).unwrap();
    assert!(matches!(case.next(NOON), Action::RefuseApproval(_)));
}

#[test]
fn a_suspended_policy_refuses_runs_and_allows_previews() {
    let mut case = Case::at_rest(&json!({"mode": "Delete", "suspend": true}));
    assert_eq!(case.next(NOON), Action::Observe { refusal: None }, "the schedule must be disarmed");
    case.status.next_schedule_time = None;
    case.checked = None;
    assert_eq!(case.next(NOON), Action::Wait(at("2026-11-22T12:15:00Z")));
    case.tokens.run = Some("a");
    assert!(matches!(case.next(NOON), Action::RefuseRun(_)));
    case.tokens.dry_run = Some("b");
    assert!(matches!(case.next(NOON), Action::Begin { mode: Mode::DryRun, .. }));
}

#[rstest]
#[case::nobody(Holder::Nobody, Action::RecordInterruption)]
#[case::this_process(Holder::Me, Action::Wait(at("2026-11-22T12:15:00Z")))]
#[case::another(Holder::Another(Duration::from_secs(30)), Action::Wait(at("2026-11-22T12:00:30Z")))]
#[case::not_seen_yet(Holder::Unseen, Action::LookAtRecord)]
fn while_a_run_is_under_way_nothing_else_is_done_until_nobody_works_on_it(
    #[case] holder: Holder,
    #[case] expected: Action,
) {
    let mut case = Case::at_rest(&delete());
    case.holder = Some(holder);
    assert_eq!(case.next("2026-11-22T12:00:00Z"), expected);
    case.tokens = Tokens { run: Some("a"), dry_run: Some("b"), approval: Some("c") };
    case.generation = 4;
    case.checked = None;
    assert_eq!(case.next("2026-11-22T12:00:00Z"), expected, "whatever else there is to do");
}

/// Cut short at 11:59, and on until 12:30.
fn cut_short(changes: &Value, trigger: &str, mode: &str) -> Case {
    let mut case = Case::at_rest(changes);
    let run = json!({"id": "r", "trigger": trigger, "mode": mode, "resumeBefore": "2026-11-22T12:30:00Z"});
    case.status.interrupted_run = serde_json::from_value(run).unwrap();
    case
}

#[rstest]
#[case::in_time(NOON, Action::Begin { trigger: Trigger::Resumed, mode: Mode::Delete, slot: None })]
#[case::in_the_last_moment(
    "2026-11-22T12:29:59Z",
    Action::Begin { trigger: Trigger::Resumed, mode: Mode::Delete, slot: None }
)]
#[case::too_late("2026-11-22T12:30:00Z", Action::DropInterrupted)]
fn a_run_that_was_cut_short_goes_on_within_its_time_ahead_of_other_runs(#[case] now: &str, #[case] expected: Action) {
    let mut case = cut_short(&delete(), "Schedule", "Delete");
    assert_eq!(case.next(now), expected);
    case.tokens.run = Some("a");
    assert_eq!(case.next(now), expected);
    case.tokens.dry_run = Some("b");
    assert!(matches!(case.next(now), Action::Begin { trigger: Trigger::DryRunRequested, .. }), "a preview comes first");
    case.generation = 4;
    assert!(matches!(case.next(now), Action::Observe { .. }), "an edit ends it");
}

#[test]
fn a_run_that_gitlab_sent_away_waits_until_it_may_go_on() {
    let mut case = cut_short(&delete(), "Schedule", "Delete");
    let run = case.status.interrupted_run.as_mut().unwrap();
    run.resume_after = serde_json::from_value(json!("2026-11-22T12:20:00Z")).unwrap();
    assert_eq!(case.next("2026-11-22T12:19:59Z"), Action::Wait("2026-11-22T12:20:00Z".parse().unwrap()));
    let goes_on = Action::Begin { trigger: Trigger::Resumed, mode: Mode::Delete, slot: None };
    assert_eq!(case.next("2026-11-22T12:20:00Z"), goes_on);
    case.tokens.run = Some("a");
    let asked_for = Action::Begin { trigger: Trigger::RunRequested, mode: Mode::Delete, slot: None };
    assert_eq!(case.next("2026-11-22T12:19:59Z"), asked_for, "a run that somebody asks for need not wait");
}

#[test]
fn a_run_that_was_cut_short_does_not_go_on_under_an_older_definition_or_in_another_mode() {
    let mut held = definition::held(&delete());
    held.status.interrupted_run = cut_short(&delete(), "Schedule", "Delete").status.interrupted_run;
    assert!(matches!(held.next(NOON), Action::Wait(_)));
    assert_eq!(cut_short(&json!({}), "Schedule", "Delete").next(NOON), Action::DropInterrupted);
}

#[test]
fn a_problem_is_recorded_once_and_then_waits_for_an_edit() {
    let mut case = Case::at_rest(&json!({"timeZone": "Europe/Atlantis"}));
    let problem = case.policy.clone().unwrap_err();
    assert_eq!(case.next(NOON), Action::Stall { problem: problem.clone(), refusal: None });
    conditions::set(&mut case.status.conditions, STALLED, true, problem.reason, &problem.message, Some(3), at(NOON));
    assert_eq!(case.next(NOON), Action::Wait(at("2026-11-22T18:00:00Z")));
    case.generation = 4;
    assert_eq!(case.next(NOON), Action::Stall { problem, refusal: None });
}

#[test]
fn a_problem_that_is_gone_is_taken_back_without_an_edit() {
    let mut case = Case::at_rest(&delete());
    conditions::set(&mut case.status.conditions, STALLED, true, Reason::HostNotAllowed, "x", Some(3), at(NOON));
    assert_eq!(case.next(NOON), Action::Observe { refusal: None });
}

#[rstest]
#[case::never_checked(None, true)]
#[case::another_generation(Some(Checked { generation: 2, at: at(NOON), failures: 0 }), true)]
#[case::fresh(Some(Checked { generation: 3, at: at("2026-11-22T06:00:01Z"), failures: 0 }), false)]
#[case::six_hours_old(Some(Checked { generation: 3, at: at("2026-11-22T06:00:00Z"), failures: 0 }), true)]
#[case::failed_just_now(Some(Checked { generation: 3, at: at("2026-11-22T11:59:31Z"), failures: 1 }), false)]
#[case::failed_half_a_minute_ago(Some(Checked { generation: 3, at: at("2026-11-22T11:59:30Z"), failures: 1 }), true)]
fn credentials_are_checked_when_nothing_recent_is_known(#[case] checked: Option<Checked>, #[case] due: bool) {
    let mut case = Case::at_rest(&delete());
    case.checked = checked;
    assert_eq!(case.next(NOON) == Action::Check, due);
}

#[test]
fn the_pause_after_failures_grows_to_half_an_hour() {
    let pauses: Vec<i64> = (1..=9).map(|failures| check_pause(failures).as_secs()).collect();
    assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]);
    assert_eq!(check_pause(u32::MAX).as_secs(), 1800);
}

#[test]
fn new_neighbours_are_looked_at_before_the_next_check_is_due() {
    let mut case = Case::at_rest(&delete());
    case.neighbours_changed = true;
    assert_eq!(case.next(NOON), Action::Check);
    let mut suspended = Case::at_rest(&json!({"suspend": true}));
    suspended.status.next_schedule_time = None;
    suspended.neighbours_changed = true;
    assert!(matches!(suspended.next(NOON), Action::Wait(_)), "GitLab is not asked for a suspended policy");
}

#[test]
fn whatever_changes_around_a_policy_its_token_is_not_tried_again_before_the_pause_is_over() {
    let mut case = Case::at_rest(&delete());
    case.checked = Some(Checked { generation: 3, at: at(NOON), failures: 1 });
    case.neighbours_changed = true;
    assert!(matches!(case.next("2026-11-22T12:00:29Z"), Action::Wait(_)));
    assert_eq!(case.next("2026-11-22T12:00:30Z"), Action::Check);
}

#[test]
fn a_policy_that_is_being_deleted_is_left_alone() {
    let mut case = Case::at_rest(&delete());
    case.deleting = true;
    case.tokens.run = Some("a");
    assert_eq!(case.next("2026-11-23T03:17:00Z"), Action::Ignore);
}

#[test]
fn credentials_that_work_are_checked_as_often_as_the_operator_was_told() {
    let options = CompileOptions { check_interval: Some(SignedDuration::from_hours(1)), ..CompileOptions::default() };
    let mut case = Case { policy: compile(&spec(&json!({})), &options, at(NOON)), ..Case::at_rest(&json!({})) };
    case.checked = Some(Checked { generation: 3, at: at("2026-11-22T11:00:01Z"), failures: 0 });
    assert_eq!(case.next(NOON), Action::Wait(at("2026-11-22T12:00:01Z")));
    assert_eq!(case.next("2026-11-22T12:00:01Z"), Action::Check);
}

#[test]
fn each_annotation_asks_for_what_it_is_named_after() {
    let mut policy = RegistryCleanupPolicy::new("shop", spec(&json!({})));
    assert_eq!(Tokens::of(&policy), Tokens::default());
    let annotations = [(RUN_REQUESTED_AT, "a"), (DRY_RUN_REQUESTED_AT, "b"), (APPROVE, "c"), ("other", "d")];
    policy.metadata.annotations = Some(annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    assert_eq!(Tokens::of(&policy), Tokens { run: Some("a"), dry_run: Some("b"), approval: Some("c") });
}
