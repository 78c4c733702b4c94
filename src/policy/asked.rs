//! What a status says of something that a person asked for: whether the operator has answered, and what came of it.
//!
//! The operator answers a request for a run in the same write in which it records the run that it begins for it. So a
//! request that was answered, without a run that was not there before, was refused.

use crate::api::conditions::{self, RUN_QUEUED, STALLED};
use crate::api::{PolicyStatus, RunStatus, Trigger};

use super::handled_requests;

/// What is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Asked {
    /// A run, by this value of `run-requested-at`.
    Run(String),
    /// A dry run, by this value of `dry-run-requested-at`.
    DryRun(String),
    /// That the plan with this hash is carried out.
    Approval(String),
}

/// What is known of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<'a> {
    /// The operator has not answered yet; why, if it says so.
    None(Option<&'a str>),
    /// No run began, and why.
    Refused(&'a str),
    /// The run is under way.
    UnderWay(&'a RunStatus),
    /// The run has ended.
    Over(&'a RunStatus),
}

/// What a status says. `before` is the id of the last run from before it was asked for.
#[must_use]
pub fn answer<'a>(status: &'a PolicyStatus, asked: &Asked, before: Option<&str>) -> Answer<'a> {
    let (handled, value, trigger) = match asked {
        Asked::Run(value) => (&status.last_handled_run_at, value, Trigger::RunRequested),
        Asked::DryRun(value) => (&status.last_handled_dry_run_at, value, Trigger::DryRunRequested),
        Asked::Approval(hash) => (&status.last_handled_approval, hash, Trigger::Approved),
    };
    let run = status.last_run.as_ref().filter(|run| run.trigger == trigger && Some(&*run.id) != before);
    let handled = handled.as_deref() == Some(&*handled_requests::shorten(value));
    match run {
        Some(run) if run.result.is_under_way() => Answer::UnderWay(run),
        Some(run) => Answer::Over(run),
        None if handled => Answer::Refused(refusal(status, asked)),
        None => Answer::None(waits(status)),
    }
}

/// Why a request began no run.
fn refusal<'a>(status: &'a PolicyStatus, asked: &Asked) -> &'a str {
    let said = match asked {
        Asked::Run(value) => status.refused_run_request.as_ref().filter(|refused| refused.value == *value),
        Asked::DryRun(_) | Asked::Approval(_) => None,
    };
    let stalled = conditions::find(&status.conditions, STALLED).map(|stalled| &*stalled.message);
    match (said, asked) {
        (Some(refused), _) => &refused.message,
        (None, Asked::Approval(_)) => "this plan does not wait for approval any more: see status.pendingApproval",
        (None, _) => stalled.unwrap_or("the operator began no run: see the events of the policy"),
    }
}

/// Why nothing begins yet.
fn waits(status: &PolicyStatus) -> Option<&str> {
    let queued = conditions::find(&status.conditions, RUN_QUEUED).map(|queued| &*queued.message);
    let other = status.last_run.as_ref().filter(|run| run.result.is_under_way());
    queued.or(other.map(|_| "another run of the policy is under way"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn status(of: &Value) -> PolicyStatus {
        serde_json::from_value(of.clone()).unwrap()
    }

    fn run(id: &str, trigger: &str, result: &str) -> Value {
        json!({"id": id, "trigger": trigger, "mode": "Delete", "gitlab": "https://gitlab.test", "observedGeneration": 1,
            "startTime": "2026-11-22T12:00:00Z", "result": result})
    }

    /// What became of the request `now` of each kind, in a word, where the last run before was `old`.
    fn word(status: &PolicyStatus, asked: &Asked) -> String {
        match answer(status, asked, Some("old")) {
            Answer::None(why) => format!("none: {}", why.unwrap_or_default()),
            Answer::Refused(why) => format!("refused: {why}"),
            Answer::UnderWay(run) => format!("under way: {}", run.id),
            Answer::Over(run) => format!("over: {}", run.id),
        }
    }

    #[rstest]
    #[case::nothing_yet(json!({"lastRun": run("old", "RunRequested", "Succeeded")}), "none: ")]
    #[case::another_run(
        json!({"lastRun": run("other", "Schedule", "Running")}), "none: another run of the policy is under way"
    )]
    #[case::begun(
        json!({"lastRun": run("new", "RunRequested", "Running"), "lastHandledRunAt": "now"}), "under way: new"
    )]
    #[case::stopping(
        json!({"lastRun": run("new", "RunRequested", "Stopping"), "lastHandledRunAt": "now"}), "under way: new"
    )]
    #[case::over(json!({"lastRun": run("new", "RunRequested", "Failed"), "lastHandledRunAt": "now"}), "over: new")]
    #[case::refused(
        json!({"lastRun": run("old", "RunRequested", "Succeeded"), "lastHandledRunAt": "now",
            "refusedRunRequest": {"value": "now", "message": "came while the policy was suspended"}}),
        "refused: came while the policy was suspended"
    )]
    #[case::answered_without_a_word(
        json!({"lastHandledRunAt": "now", "refusedRunRequest": {"value": "earlier", "message": "no"}}),
        "refused: the operator began no run: see the events of the policy"
    )]
    fn a_status_tells_what_became_of_a_request_for_a_run(#[case] of: Value, #[case] expected: &str) {
        assert_eq!(word(&status(&of), &Asked::Run("now".to_owned())), expected);
    }

    #[test]
    fn each_kind_of_request_looks_at_its_own_value_and_at_runs_that_it_begins() {
        let scheduled = status(&json!({"lastRun": run("new", "Schedule", "Succeeded"), "lastHandledDryRunAt": "now"}));
        assert!(word(&scheduled, &Asked::DryRun("now".to_owned())).starts_with("refused: the operator began no run"));
        assert_eq!(word(&scheduled, &Asked::Run("now".to_owned())), "none: ");
        let approved = status(&json!({"lastRun": run("new", "Approved", "Running"), "lastHandledApproval": "now"}));
        assert_eq!(word(&approved, &Asked::Approval("now".to_owned())), "under way: new");
        let refused = status(&json!({"lastHandledApproval": "now"}));
        assert!(word(&refused, &Asked::Approval("now".to_owned())).starts_with("refused: this plan does not wait"));
    }
}
