//! What is to be done about a policy now: a total, pure function of what is known and what time it is.
//!
//! The controller asks it again after every step, with what it then knows, until it answers [`Action::Wait`].

use jiff::{SignedDuration, Timestamp};

use crate::api::conditions::{self, STALLED};
use crate::api::{
    APPROVE, DRY_RUN_REQUESTED_AT, Mode, PolicyStatus, RUN_REQUESTED_AT, RegistryCleanupPolicy, RunResult, Trigger,
    UNOBSERVED_GENERATION,
};

use super::compile::{CompiledPolicy, Problem};
use super::handled;
use super::schedule::Due;

/// Longest wait. Timers run on another clock than schedules, and a nudge may get lost; so look again now and then.
pub const MAX_WAIT: SignedDuration = SignedDuration::from_mins(15);
/// How often a policy that only an edit can fix is looked at.
const STALLED_WAIT: SignedDuration = SignedDuration::from_hours(6);
/// How often credentials and targets that work are checked.
const CHECK_INTERVAL: SignedDuration = SignedDuration::from_hours(6);
/// First and longest pause after a check that failed. GitLab blocks addresses that keep knocking with a bad token.
const RETRY_FIRST: SignedDuration = SignedDuration::from_secs(30);
const RETRY_LAST: SignedDuration = SignedDuration::from_mins(30);

/// Everything that the decision depends on, but the time.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// `metadata.generation`.
    pub generation: i64,
    /// Whether the policy is being deleted.
    pub deleting: bool,
    /// What the annotations ask for.
    pub tokens: Tokens<'a>,
    /// What the operator wrote last.
    pub status: &'a PolicyStatus,
    /// The compiled spec.
    pub policy: Result<&'a CompiledPolicy, &'a Problem>,
    /// What this process knows of its own last check.
    pub checked: Option<Checked>,
}

/// The values of the annotations that ask for something.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tokens<'a> {
    /// Asks for a run.
    pub run: Option<&'a str>,
    /// Asks for a dry run.
    pub dry_run: Option<&'a str>,
    /// Approves of the plan with this hash.
    pub approval: Option<&'a str>,
}

impl<'a> Tokens<'a> {
    /// What the annotations of a policy ask for.
    #[must_use]
    pub fn of(policy: &'a RegistryCleanupPolicy) -> Self {
        let annotations = policy.metadata.annotations.as_ref();
        let annotation = |key| annotations.and_then(|all| all.get(key)).map(String::as_str);
        Self {
            run: annotation(RUN_REQUESTED_AT),
            dry_run: annotation(DRY_RUN_REQUESTED_AT),
            approval: annotation(APPROVE),
        }
    }
}

/// The last check of credentials and targets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Checked {
    /// The generation that was checked.
    pub generation: i64,
    /// When.
    pub at: Timestamp,
    /// How many checks failed in a row, up to this one; 0 = it went well.
    pub failures: u32,
}

/// What to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Nothing, ever again: the policy is being deleted.
    Ignore,
    /// Record a problem that only an edit can fix.
    Stall(Problem),
    /// Record that the run in the status was cut short: no operator works on it any more.
    RecordInterruption,
    /// Take note of a new generation and arm the schedule. Nothing is ever removed because of an edit.
    Observe {
        /// A run was asked for before anybody looked at the policy: creating one deletes nothing, so the request is only noted.
        drop_run_request: bool,
    },
    /// Note a request for a run that is not granted.
    RefuseRun(&'static str),
    /// Note an approval that approves of nothing.
    RefuseApproval(&'static str),
    /// Note that a slot was missed, and arm the next.
    SkipSlot(Timestamp),
    /// Begin a run.
    Begin {
        /// What began it.
        trigger: Trigger,
        /// What it does.
        mode: Mode,
        /// The slot, if the schedule began it.
        slot: Option<Timestamp>,
    },
    /// See whether credentials and targets work.
    Check,
    /// Look again at this moment.
    Wait(Timestamp),
}

/// Decides. Running a run is the caller's business: it does not ask while one of its own is under way.
#[must_use]
pub fn next_action(view: &View<'_>, now: Timestamp) -> Action {
    if view.deleting {
        return Action::Ignore;
    }
    let status = view.status;
    if status.last_run.as_ref().is_some_and(|run| run.result == RunResult::Running) {
        return Action::RecordInterruption;
    }
    let observed = status.observed_generation == Some(view.generation);
    let policy = match view.policy {
        Ok(policy) => policy,
        Err(problem) if observed && shows(status, problem) => return Action::Wait(later(now, STALLED_WAIT)),
        Err(problem) => return Action::Stall(problem.clone()),
    };
    let armed = status.next_schedule_time.as_ref().map(|time| time.0);
    let stalled = conditions::is_true(&status.conditions, STALLED);
    if !observed || stalled || armed.is_some() == policy.suspended {
        let first = status.observed_generation.is_none_or(|generation| generation == UNOBSERVED_GENERATION);
        let requested = run_requested(view);
        return Action::Observe { drop_run_request: first && requested && policy.mode == Mode::Delete };
    }
    if let Some(action) = requested(view, policy) {
        return action;
    }
    if let Some(armed) = armed {
        match policy.schedule.due(armed, policy.starting_deadline, now) {
            Due::Run(slot) => {
                return Action::Begin { trigger: Trigger::Schedule, mode: policy.mode, slot: Some(slot) };
            }
            Due::Missed(slot) => return Action::SkipSlot(slot),
            Due::NotYet => {}
        }
    }
    let check = if policy.suspended { None } else { Some(check_due(view, now)) };
    if check.is_some_and(|due| due <= now) {
        return Action::Check;
    }
    let until = [check, armed].into_iter().flatten().fold(later(now, MAX_WAIT), Timestamp::min);
    Action::Wait(until)
}

/// A request by annotation. A dry run may be asked for at any time; it removes nothing.
fn requested(view: &View<'_>, policy: &CompiledPolicy) -> Option<Action> {
    let status = view.status;
    let last = status.last_handled_dry_run_at.as_deref();
    if handled::is_new(view.tokens.dry_run, last, &status.handled_dry_run_requests) {
        return Some(Action::Begin { trigger: Trigger::DryRunRequested, mode: Mode::DryRun, slot: None });
    }
    if let Some(action) = approved(view, policy) {
        return Some(action);
    }
    if !run_requested(view) {
        return None;
    }
    if policy.suspended {
        return Some(Action::RefuseRun("the policy is suspended"));
    }
    Some(Action::Begin { trigger: Trigger::RunRequested, mode: policy.mode, slot: None })
}

/// An approval. It stands as long as it names the plan that waits; a plan that waits for it a second time is the very same plan.
fn approved(view: &View<'_>, policy: &CompiledPolicy) -> Option<Action> {
    let status = view.status;
    let approval = view.tokens.approval.filter(|token| !token.is_empty())?;
    let pending = status.pending_approval.as_ref();
    let why = if policy.mode != Mode::RequireApproval {
        "the policy's mode is not RequireApproval"
    } else if policy.suspended {
        "the policy is suspended"
    } else if pending.is_some_and(|plan| plan.plan_hash == approval) {
        return Some(Action::Begin { trigger: Trigger::Approved, mode: Mode::Delete, slot: None });
    } else if pending.is_some() {
        "another plan waits for approval, see status.pendingApproval"
    } else {
        "no plan waits for approval"
    };
    // A hash is no time and asks for nothing else: it is answered once, however often it comes back meanwhile.
    let answered = status.last_handled_approval.as_deref() == Some(&handled::shorten(approval));
    (!answered).then_some(Action::RefuseApproval(why))
}

fn run_requested(view: &View<'_>) -> bool {
    let status = view.status;
    handled::is_new(view.tokens.run, status.last_handled_run_at.as_deref(), &status.handled_run_requests)
}

fn check_due(view: &View<'_>, now: Timestamp) -> Timestamp {
    match view.checked {
        Some(checked) if checked.generation == view.generation => later(checked.at, check_pause(checked.failures)),
        _ => now,
    }
}

/// The pause after so many failed checks in a row.
#[must_use]
pub fn check_pause(failures: u32) -> SignedDuration {
    if failures == 0 {
        return CHECK_INTERVAL;
    }
    let doubled = RETRY_FIRST.as_secs().saturating_mul(1 << failures.saturating_sub(1).min(16));
    SignedDuration::from_secs(doubled).min(RETRY_LAST)
}

fn shows(status: &PolicyStatus, problem: &Problem) -> bool {
    conditions::find(&status.conditions, STALLED).is_some_and(|condition| {
        condition.status == conditions::ConditionStatus::True
            && condition.reason == problem.reason
            && condition.message == conditions::shorten(&problem.message, conditions::MAX_MESSAGE_BYTES)
    })
}

fn later(moment: Timestamp, by: SignedDuration) -> Timestamp {
    moment.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::conditions::reason;
    use crate::policy::compile::tests::spec;
    use crate::policy::{Settings, compile, standing};

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
                policy: compile(&spec(changes), &Settings::default(), at(NOON)),
                status,
                tokens: Tokens::default(),
                generation: 3,
                checked: Some(Checked { generation: 3, at: at("2026-11-22T11:00:00Z"), failures: 0 }),
                deleting: false,
            }
        }

        fn next(&self, now: &str) -> Action {
            let view = View {
                generation: self.generation,
                deleting: self.deleting,
                tokens: self.tokens,
                status: &self.status,
                policy: self.policy.as_ref(),
                checked: self.checked,
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
    #[case("2026-11-23T03:17:00Z", Action::Begin { trigger: Trigger::Schedule, mode: Mode::Delete, slot: Some(at("2026-11-23T03:17:00Z")) })]
    #[case("2026-11-23T04:17:01Z", Action::SkipSlot(at("2026-11-23T03:17:00Z")))]
    #[case("2026-11-25T03:20:00Z", Action::Begin { trigger: Trigger::Schedule, mode: Mode::Delete, slot: Some(at("2026-11-25T03:17:00Z")) })]
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
        assert_eq!(case.next("2026-11-23T03:17:00Z"), Action::Observe { drop_run_request: false });
    }

    #[rstest]
    #[case::delete_at_creation(delete(), Some(-1), true)]
    #[case::delete_later(delete(), Some(2), false)]
    #[case::dry_run_at_creation(json!({}), Some(-1), false)]
    fn a_run_that_is_asked_for_at_creation_is_dropped_if_it_would_remove(
        #[case] changes: Value,
        #[case] observed: Option<i64>,
        #[case] dropped: bool,
    ) {
        let mut case = Case::at_rest(&changes);
        case.status.observed_generation = observed;
        case.tokens.run = Some("now");
        assert_eq!(case.next(NOON), Action::Observe { drop_run_request: dropped });
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
            standing::handled_run(&mut case.status, Some(token));
            standing::handled_dry_run(&mut case.status, Some(token));
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
        assert_eq!(case.next(NOON), Action::Observe { drop_run_request: false }, "there is no request to drop");
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
        standing::handled_run(&mut case.status, Some(long));
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
        assert_eq!(case.next(NOON), Action::Observe { drop_run_request: false }, "the schedule must be disarmed");
        case.status.next_schedule_time = None;
        case.checked = None;
        assert_eq!(case.next(NOON), Action::Wait(at("2026-11-22T12:15:00Z")));
        case.tokens.run = Some("a");
        assert!(matches!(case.next(NOON), Action::RefuseRun(_)));
        case.tokens.dry_run = Some("b");
        assert!(matches!(case.next(NOON), Action::Begin { mode: Mode::DryRun, .. }));
    }

    #[test]
    fn a_run_that_nobody_works_on_is_recorded_as_interrupted_before_anything_else() {
        let mut case = Case::at_rest(&delete());
        case.status.last_run = serde_json::from_value(json!({
            "id": "r", "trigger": "Schedule", "mode": "Delete", "gitlab": "https://git.test", "observedGeneration": 3,
            "startTime": "2026-11-22T03:17:00Z", "result": "Running",
        }))
        .unwrap();
        case.tokens.run = Some("a");
        case.generation = 4;
        assert_eq!(case.next(NOON), Action::RecordInterruption);
    }

    #[test]
    fn a_problem_is_recorded_once_and_then_waits_for_an_edit() {
        let mut case = Case::at_rest(&json!({"timeZone": "Europe/Atlantis"}));
        let problem = case.policy.clone().unwrap_err();
        assert_eq!(case.next(NOON), Action::Stall(problem.clone()));
        conditions::set(
            &mut case.status.conditions,
            STALLED,
            true,
            problem.reason,
            &problem.message,
            Some(3),
            at(NOON),
        );
        assert_eq!(case.next(NOON), Action::Wait(at("2026-11-22T18:00:00Z")));
        case.generation = 4;
        assert_eq!(case.next(NOON), Action::Stall(problem));
    }

    #[test]
    fn a_problem_that_is_gone_is_taken_back_without_an_edit() {
        let mut case = Case::at_rest(&delete());
        conditions::set(&mut case.status.conditions, STALLED, true, reason::HOST_NOT_ALLOWED, "x", Some(3), at(NOON));
        assert_eq!(case.next(NOON), Action::Observe { drop_run_request: false });
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
    fn a_policy_that_is_being_deleted_is_left_alone() {
        let mut case = Case::at_rest(&delete());
        case.deleting = true;
        case.tokens.run = Some("a");
        assert_eq!(case.next("2026-11-23T03:17:00Z"), Action::Ignore);
    }
}
