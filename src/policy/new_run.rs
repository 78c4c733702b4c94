//! The record of a run as it begins: its id, and what it goes on with.

use jiff::{SignedDuration, Timestamp, tz};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::{
    ApprovedPlan, Mode, PolicyStatus, RepositoryCounts, Resumed, RunProgress, RunResult, RunStatus, TagCounts, Trigger,
};

use super::CompiledPolicy;

/// A run that is about to begin.
#[derive(Clone, Copy)]
pub struct NewRun<'a> {
    /// The compiled spec.
    pub policy: &'a CompiledPolicy,
    /// What begins it.
    pub trigger: Trigger,
    /// What it does.
    pub mode: Mode,
    /// The generation that it goes by.
    pub generation: i64,
    /// Who works on it, as in `holderIdentity`.
    pub holder: &'a str,
    /// When it begins.
    pub started: Timestamp,
}

impl NewRun<'_> {
    /// Its record, by the status from before it.
    #[must_use]
    pub fn record(self, before: &PolicyStatus) -> RunStatus {
        let (resumes, approved_plan) = goes_on_with(self.trigger, before);
        RunStatus {
            id: id(self.started, self.trigger, before),
            trigger: self.trigger,
            mode: self.mode,
            method: Some(self.policy.method.name()),
            registry: registry(self.policy.base_url.as_str(), before),
            gitlab: self.policy.base_url.to_string(),
            observed_generation: self.generation,
            start_time: Time(self.started),
            completion_time: None,
            resumes,
            approved_plan,
            result: RunResult::Running,
            holder_identity: Some(self.holder.to_owned()),
            renew_time: Some(Time(self.started)),
            progress: Some(RunProgress::default()),
            summary: None,
            message: None,
            repositories: RepositoryCounts::default(),
            tags: TagCounts::default(),
            requests: None,
            bytes: None,
        }
    }
}

/// The registry of the instance, if the last run has found it out.
fn registry(gitlab: &str, before: &PolicyStatus) -> Option<String> {
    before.last_run.as_ref().filter(|run| run.gitlab == gitlab)?.registry.clone()
}

/// The run or the plan that a run goes on with.
fn goes_on_with(trigger: Trigger, before: &PolicyStatus) -> (Option<Resumed>, Option<ApprovedPlan>) {
    match trigger {
        Trigger::Resumed => {
            let interrupted = before.interrupted_run.clone();
            let resumes = interrupted.as_ref().map(|run| Resumed { id: run.id.clone(), trigger: run.trigger });
            (resumes, interrupted.and_then(|run| run.approved_plan))
        }
        Trigger::Approved => {
            let plan = before.pending_approval.as_ref();
            let approved = plan.map(|plan| ApprovedPlan {
                plan_hash: plan.plan_hash.clone(),
                time: plan.time.clone(),
                tag_marks: None,
            });
            (None, approved)
        }
        Trigger::Schedule | Trigger::RunRequested | Trigger::DryRunRequested => (None, None),
    }
}

/// Names a run by when it began and why. A second that has a run of that name already lends the next one its own: a run
/// that finds nothing to do takes less, and the request that follows it has another name.
fn id(started: Timestamp, trigger: Trigger, before: &PolicyStatus) -> String {
    let suffix = match trigger {
        Trigger::Schedule => "scheduled",
        Trigger::RunRequested => "requested",
        Trigger::DryRunRequested => "preview",
        Trigger::Approved => "approved",
        Trigger::Resumed => "resumed",
    };
    let is_taken = |id: &str| {
        before.last_run.as_ref().is_some_and(|run| run.id == id) || before.history.iter().any(|run| run.id == id)
    };
    let mut at = started;
    loop {
        let id = format!("{}-{suffix}", at.to_zoned(tz::TimeZone::UTC).strftime("%Y%m%d-%H%M%S"));
        match at.checked_add(SignedDuration::from_secs(1)) {
            Ok(next) if is_taken(&id) => at = next,
            _ => return id,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::repository_outcome::{End, Proposal};
    use crate::policy::{CompileOptions, compile, report};

    /// A status in which a run that was cut short and a plan wait.
    fn before() -> PolicyStatus {
        serde_json::from_value(json!({
            "interruptedRun": {
                "id": "20261122-031700-approved", "trigger": "Approved", "mode": "Delete",
                "resumeBefore": "2026-11-22T13:00:00Z",
                "approvedPlan": {"planHash": "old", "time": "2026-11-21T12:00:00Z", "tagMarks": "0123456789ab"},
            },
            "pendingApproval": {"planHash": "new", "time": "2026-11-22T11:00:00Z", "tags": 3, "repositories": 1},
        }))
        .unwrap()
    }

    #[rstest]
    #[case(Trigger::Schedule, "20261122-120000-scheduled", None, None)]
    #[case(Trigger::RunRequested, "20261122-120000-requested", None, None)]
    #[case(Trigger::DryRunRequested, "20261122-120000-preview", None, None)]
    #[case(Trigger::Approved, "20261122-120000-approved", None, Some(("new", None)))]
    #[case(
        Trigger::Resumed,
        "20261122-120000-resumed",
        Some("20261122-031700-approved"),
        Some(("old", Some("0123456789ab"))),
    )]
    fn a_record_names_the_run_and_what_it_goes_on_with(
        #[case] trigger: Trigger,
        #[case] id: &str,
        #[case] resumes: Option<&str>,
        #[case] plan: Option<(&str, Option<&str>)>,
    ) {
        let started = "2026-11-22T12:00:00Z".parse().unwrap();
        let policy = compile(&spec(&json!({})), &CompileOptions::default(), started).unwrap();
        let run = NewRun { policy: &policy, trigger, mode: Mode::Delete, generation: 7, holder: "me", started };
        let record = run.record(&before());
        assert_eq!(record.id, id);
        assert_eq!(record.resumes.as_ref().map(|run| run.id.as_str()), resumes);
        let approved = record.approved_plan.as_ref();
        assert_eq!(approved.map(|plan| (plan.plan_hash.as_str(), plan.tag_marks.as_deref())), plan);
        assert_eq!((record.result, record.renew_time), (RunResult::Running, Some(record.start_time)));
        assert_eq!((record.holder_identity.as_deref(), record.observed_generation), (Some("me"), 7));
    }

    #[test]
    fn runs_that_begin_in_one_second_for_one_reason_have_different_names() {
        let started = "2026-11-22T12:00:00.5Z".parse().unwrap();
        let policy = compile(&spec(&json!({})), &CompileOptions::default(), started).unwrap();
        let trigger = Trigger::RunRequested;
        let run = NewRun { policy: &policy, trigger, mode: Mode::Delete, generation: 7, holder: "me", started };
        let first = run.record(&PolicyStatus::default());
        let mut status = PolicyStatus { last_run: Some(first.clone()), ..PolicyStatus::default() };
        let second = run.record(&status);
        assert_eq!((first.id.as_str(), second.id.as_str()), ("20261122-120000-requested", "20261122-120001-requested"));
        let end = End::Completed;
        report::finish(&mut status, None, Vec::new(), &end, Proposal::AsBefore, 3, started);
        status.last_run = Some(second);
        assert_eq!(run.record(&status).id, "20261122-120002-requested", "one is in the history");
    }
}
