//! What an action makes of the status where nothing but the status has to change: a problem, an edit, a request that is
//! refused, a slot that was missed.

use jiff::Timestamp;

use crate::api::{PolicyStatus, conditions};

use super::CompiledPolicy;
use super::compile::Problem;
use super::events::{Announcement, EventReason};
use super::exclude_windows;
use super::handled_requests::Refusal;
use super::next_action::{Action, Tokens};
use super::pause::Pause;
use super::status_conditions::{self, Subject};

/// Longest part of a request in the name of an action, in bytes: an event takes 128.
const MAX_IN_ACTION: usize = 64;

/// What the policy looks like to whoever answers.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// What its spec was compiled to.
    pub compiled: Result<Subject<'a>, &'a Problem>,
    /// What its annotations ask for.
    pub tokens: Tokens<'a>,
    /// What is known of the pause of the installation.
    pub pause: &'a Pause,
    /// Its `metadata.generation`.
    pub generation: i64,
    /// The time.
    pub now: Timestamp,
}

/// Writes into the status what an action says, and answers with what is to be announced. `None` where the action is
/// more than that.
pub fn answer(action: &Action, asked: Asked<'_>, status: &mut PolicyStatus) -> Option<Vec<Announcement>> {
    let Asked { compiled, generation, now, .. } = asked;
    let announced = match (action, compiled) {
        (Action::Stall { problem, refusal }, _) => {
            let refused = answer_run(status, asked, *refusal);
            status_conditions::stall(status, problem, generation, now);
            refused
        }
        (Action::Observe { refusal }, Ok(subject)) => {
            let refused = answer_run(status, asked, *refusal);
            status_conditions::observe(status, subject);
            refused
        }
        (Action::RefuseRun(refusal), compiled) => {
            let refused = answer_run(status, asked, Some(*refusal));
            match compiled {
                Ok(subject) if subject.policy.suspended => status_conditions::observe(status, subject),
                Ok(_) => {}
                Err(problem) => status_conditions::stall(status, problem, generation, now),
            }
            refused
        }
        (Action::RefuseApproval(why), _) => {
            status_conditions::handled_approval(status, asked.tokens.approval);
            Some(Announcement::warning(EventReason::ApprovalRefused, format!("the approval was refused: {why}")))
        }
        (Action::SkipSlot(slot), Ok(subject)) => {
            status_conditions::arm(status, subject);
            Some(missed(*slot, subject.policy))
        }
        (Action::NoteHolds, compiled) => {
            asked.pause.note(status, generation, now);
            if let Ok(subject) = compiled {
                exclude_windows::note(status, subject.policy.excluded(now).as_ref(), generation, now);
                status_conditions::restate(status, subject);
            }
            None
        }
        (Action::DropInterrupted, _) => Some(not_resumed(status)),
        _ => return None,
    };
    Some(announced.into_iter().collect())
}

/// Answers a request for a run that is not granted, if there is one.
fn answer_run(status: &mut PolicyStatus, asked: Asked<'_>, refusal: Option<Refusal>) -> Option<Announcement> {
    status_conditions::answer_run(status, refusal, asked.tokens, asked.generation);
    let refused = refusal.and(status.refused_run_request.as_ref())?;
    Some(Announcement::normal(EventReason::RunThrottled, refused.message.clone()))
}

/// Takes note that a run that was cut short does not go on.
fn not_resumed(status: &mut PolicyStatus) -> Announcement {
    let run = status.interrupted_run.take();
    let note = format!(
        "run {} was cut short and does not go on: no operator took it up in time, or the policy is another one now",
        run.map(|run| run.id).unwrap_or_default()
    );
    Announcement::warning(EventReason::CleanupNotResumed, note)
}

/// Says that a slot was missed.
fn missed(slot: Timestamp, policy: &CompiledPolicy) -> Announcement {
    let seconds = policy.starting_deadline.as_secs();
    let note =
        format!("the run of {slot} was missed by more than startingDeadlineSeconds ({seconds} s) and is left out");
    Announcement::warning(EventReason::ScheduleMissed, note)
}

/// What the events say that the operator did. Events of the same action and reason are one to whoever publishes them,
/// and keep the note of the first: each request that is refused is another.
#[must_use]
pub fn name_of(status: &PolicyStatus, events: &[Announcement]) -> String {
    let throttled = events.iter().any(|event| event.reason == EventReason::RunThrottled);
    match status.refused_run_request.as_ref().filter(|_| throttled) {
        Some(request) => format!("RefuseRun-{}", conditions::shorten(&request.value, MAX_IN_ACTION)),
        None => "Reconcile".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::conditions::{READY, Reason, STALLED};
    use crate::api::{InterruptedRun, Mode, Trigger};
    use crate::policy::compile::tests::spec;
    use crate::policy::definition::Definition;
    use crate::policy::{CompileOptions, compile};

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn policy(changes: &Value) -> CompiledPolicy {
        compile(&spec(changes), &CompileOptions::default(), now()).unwrap()
    }

    const TOKENS: Tokens<'static> = Tokens { run: Some("one"), dry_run: None, approval: Some("abc") };

    /// Answers an action of a policy of generation 7.
    fn answered(action: &Action, policy: &CompiledPolicy, status: &mut PolicyStatus) -> Option<Vec<EventReason>> {
        let definition = Definition::default();
        let subject = Subject { policy, generation: 7, definition: &definition, now: now() };
        let asked = Asked { compiled: Ok(subject), tokens: TOKENS, pause: &Pause::Off, generation: 7, now: now() };
        answer(action, asked, status).map(|events| events.iter().map(|event| event.reason).collect())
    }

    fn state(status: &PolicyStatus, type_: &str) -> Option<String> {
        conditions::find(&status.conditions, type_).map(|condition| condition.reason.clone())
    }

    #[test]
    fn an_edit_is_observed_and_a_request_that_came_with_it_is_noted_as_refused() {
        let mut status = PolicyStatus::default();
        let observe = Action::Observe { refusal: Some(Refusal::Edited) };
        assert_eq!(answered(&observe, &policy(&json!({})), &mut status), Some(vec![EventReason::RunThrottled]));
        assert_eq!((status.observed_generation, status.last_handled_run_at.as_deref()), (Some(7), Some("one")));
        assert_eq!(status.refused_run_request.unwrap().value, "one");

        let mut status = PolicyStatus::default();
        assert_eq!(answered(&Action::Observe { refusal: None }, &policy(&json!({})), &mut status), Some(vec![]));
        assert_eq!((status.observed_generation, status.last_handled_run_at), (Some(7), None));
    }

    #[rstest]
    #[case::that_is_stalled_itself(Action::RefuseRun(Refusal::Stalled))]
    #[case::that_becomes_stalled(Action::Stall {
        problem: Problem { reason: Reason::InvalidTimeZone, message: "no such zone".to_owned() },
        refusal: Some(Refusal::Stalled),
    })]
    fn a_request_to_a_policy_with_a_problem_is_refused_and_the_problem_told(#[case] action: Action) {
        let problem = Problem { reason: Reason::InvalidTimeZone, message: "no such zone".to_owned() };
        let mut status = PolicyStatus::default();
        let asked = Asked { compiled: Err(&problem), tokens: TOKENS, pause: &Pause::Off, generation: 7, now: now() };
        let events = answer(&action, asked, &mut status).unwrap();
        assert_eq!(events.iter().map(|event| event.reason).collect::<Vec<_>>(), [EventReason::RunThrottled]);
        assert_eq!(state(&status, STALLED).as_deref(), Some("InvalidTimeZone"));
        assert_eq!((status.observed_generation, status.last_handled_run_at.as_deref()), (Some(7), Some("one")));
        assert_eq!(name_of(&status, &events), "RefuseRun-one");
    }

    #[rstest]
    #[case::suspended(true, Some("Suspended"))]
    #[case::held(false, None)]
    fn a_refused_request_changes_ready_only_where_the_policy_is_suspended(
        #[case] suspended: bool,
        #[case] ready: Option<&str>,
    ) {
        let mut status = PolicyStatus { observed_generation: Some(7), ..PolicyStatus::default() };
        let policy = policy(&json!({ "suspend": suspended }));
        let refuse = Action::RefuseRun(Refusal::Suspended);
        assert_eq!(answered(&refuse, &policy, &mut status), Some(vec![EventReason::RunThrottled]));
        assert_eq!(state(&status, READY).as_deref(), ready);
    }

    #[test]
    fn an_approval_of_nothing_is_handled_once_and_told() {
        let mut status = PolicyStatus::default();
        let refuse = Action::RefuseApproval("no plan waits");
        assert_eq!(answered(&refuse, &policy(&json!({})), &mut status), Some(vec![EventReason::ApprovalRefused]));
        assert_eq!(status.last_handled_approval.as_deref(), Some("abc"));
        assert_eq!(name_of(&status, &[]), "Reconcile");
    }

    #[test]
    fn a_missed_slot_arms_the_next_one() {
        let mut status = PolicyStatus::default();
        let missed = Action::SkipSlot("2026-11-22T03:17:00Z".parse().unwrap());
        assert_eq!(answered(&missed, &policy(&json!({})), &mut status), Some(vec![EventReason::ScheduleMissed]));
        assert_eq!(status.next_schedule_time.unwrap().0.to_string(), "2026-11-23T03:17:00Z");
    }

    #[test]
    fn a_run_that_does_not_go_on_is_forgotten_and_told() {
        let interrupted = InterruptedRun {
            id: "20261122-031700-scheduled".to_owned(),
            trigger: Trigger::Schedule,
            mode: Mode::Delete,
            resume_after: None,
            resume_before: Time(now()),
            approved_plan: None,
        };
        let mut status = PolicyStatus { interrupted_run: Some(interrupted), ..PolicyStatus::default() };
        let dropped = answered(&Action::DropInterrupted, &policy(&json!({})), &mut status);
        assert_eq!((dropped, status.interrupted_run), (Some(vec![EventReason::CleanupNotResumed]), None));
    }

    #[rstest]
    #[case::a_check(Action::Check)]
    #[case::a_run(Action::Begin { trigger: Trigger::Schedule, mode: Mode::Delete, slot: None })]
    #[case::an_interruption(Action::RecordInterruption)]
    #[case::waiting(Action::Wait(Timestamp::UNIX_EPOCH))]
    fn what_takes_more_than_the_status_is_not_answered_here(#[case] action: Action) {
        let mut status = PolicyStatus::default();
        assert_eq!(answered(&action, &policy(&json!({})), &mut status), None);
        assert_eq!(status, PolicyStatus::default());
    }
}
