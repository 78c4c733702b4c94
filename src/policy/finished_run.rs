//! The end of a run, kept until it is written: what is known of it does not depend on the status that it goes into, so
//! it can be written into whatever the API server has by then.

use jiff::Timestamp;

use crate::api::{EmptyRepository, PolicyStatus, RunStatus};

use super::compile::CompiledPolicy;
use super::definition::Definition;
use super::effect::Assessment;
use super::events::{self, Announcement, EventReason};
use super::forced_dry_run;
use super::history::Closed;
use super::overlap::{Overlap, Reader};
use super::report;
use super::repository_outcome::{End, Outcome, Proposal, Stop};
use super::resume;
use super::run_order;
use super::status_conditions::{self, Findings, Subject};

/// What a run came to.
#[derive(Clone, Debug)]
pub struct FinishedRun {
    /// Namespace of the policy.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The record of the run as it was begun, with what was found out for it since.
    pub record: RunStatus,
    /// The spec that the run went by.
    pub policy: CompiledPolicy,
    /// How many finished runs the status tells of.
    pub history_limit: u32,
    /// `status.othersEligibleTime` from before the run.
    pub others_before: Option<Timestamp>,
    /// When the run ended.
    pub ended: Timestamp,
    /// How it ended.
    pub end: End,
    /// How many requests it sent to GitLab, if it came to that.
    pub requests: Option<u64>,
    /// What became of each repository.
    pub outcomes: Vec<Outcome>,
    /// What the run found out about the token and the targets.
    pub findings: Findings,
    /// Repositories that another policy has reserved: path and policy.
    pub overlaps: Vec<(String, String)>,
    /// What becomes of the plan that waits for an approval.
    pub proposal: Proposal,
    /// The repositories that are watched because they are empty, if the run has something to say about it.
    pub watched: Option<Vec<EmptyRepository>>,
    /// The projects with a cleanup policy of GitLab's own, if the run has something to say about it.
    pub conflicts: Option<Vec<String>>,
    /// What the policy shares with others, if the run has something to say about it.
    pub shared: Option<Overlap>,
    /// Whether the policy does what it seems to say, if the run has something to say about it.
    pub effect: Option<Assessment>,
    /// The registries of which the cluster uses no image, if the run has something to say about it.
    pub unused_registries: Option<Vec<String>>,
    /// What it removed, where that is kept.
    pub removed: Closed,
}

/// What writing the end of a run into a status came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fit {
    /// The status tells of the end now, which the events do as well.
    Ended,
    /// Somebody had given the run up, and another one came since: its entry in the history tells the truth now.
    Amended,
    /// The status told of it already, or knows nothing of the run.
    Nothing,
}

impl FinishedRun {
    /// Writes the end of the run into a status, as it is at the API server.
    pub fn write_into(
        &self,
        status: &mut PolicyStatus,
        generation: i64,
        definition: &Definition,
        reader: Reader<'_>,
    ) -> Fit {
        let is_this = |run: &RunStatus| {
            run.id == self.record.id
                && (run.holder_identity.is_none() || run.holder_identity == self.record.holder_identity)
        };
        let last = status.last_run.as_ref().filter(|run| is_this(run));
        match last.map(|run| run.result.is_under_way()) {
            Some(true) => {}
            Some(false) if report::reopen(status) => {}
            Some(false) => return Fit::Nothing,
            None => return if self.amend(status) { Fit::Amended } else { Fit::Nothing },
        }
        let offered = status.interrupted_run.as_ref().is_some_and(|run| run.id == self.record.id);
        if offered && !matches!(self.end, End::Stopped(_) | End::Paused { .. }) {
            // It came through after all, so nothing goes on.
            status.interrupted_run = None;
        }
        if let Some(watched) = &self.watched {
            status.empty_repositories.clone_from(watched);
        }
        if let Some(conflicts) = &self.conflicts {
            status.projects_with_cleanup_policy.clone_from(conflicts);
        }
        if let Some(overlap) = &self.shared {
            status_conditions::note_overlap(status, overlap, reader, generation, self.ended);
        }
        if let Some(registries) = &self.unused_registries {
            status.unused_registries.clone_from(registries);
        }
        if let Some(verdict) = self.effect.as_ref().filter(|_| generation == self.record.observed_generation) {
            status_conditions::note_effect(status, verdict, generation, self.ended);
        }
        self.finish(status);
        report::add_remark(status, self.forced().as_deref());
        report::add_remark(status, definition.remark().as_deref());
        if self.says_of_credentials() && generation == self.record.observed_generation {
            let subject = Subject { policy: &self.policy, generation, definition, now: self.ended };
            status_conditions::checked(status, subject, &self.findings);
        }
        Fit::Ended
    }

    /// The record of the run as it is from now on.
    #[must_use]
    pub fn ended_record(&self) -> Option<RunStatus> {
        let mut alone = PolicyStatus { last_run: Some(self.record.clone()), ..PolicyStatus::default() };
        self.finish(&mut alone);
        alone.last_run
    }

    /// Whether the run found out about credentials and targets: one that was stopped says nothing about them.
    #[must_use]
    pub fn says_of_credentials(&self) -> bool {
        !matches!(self.end, End::Stopped(_) | End::Paused { .. })
    }

    /// What to announce, with the status as it was written.
    #[must_use]
    pub fn events(&self, status: &PolicyStatus, reader: Reader<'_>) -> Vec<Announcement> {
        let mut events = events::run_ended(status);
        events.extend(self.overlap(reader));
        events
    }

    fn finish(&self, status: &mut PolicyStatus) {
        let (outcomes, proposal) = (self.outcomes.clone(), self.proposal.clone());
        if !self.record.is_preview() {
            run_order::note(status, &outcomes, &self.end);
        }
        report::finish(status, self.others_before, outcomes, &self.end, proposal, self.history_limit, self.ended);
        if let Some(run) = &mut status.last_run {
            run.requests = self.requests;
            run.registry = self.record.registry.clone().or_else(|| run.registry.take());
        }
        let after = match self.end {
            End::Stopped(Stop::Shutdown | Stop::LeadershipLost) => None,
            End::Paused { until } => Some(until),
            End::Completed | End::Stopped(_) | End::Aborted { .. } => return,
        };
        resume::note(status, self.record.approved_plan.clone(), self.policy.starting_deadline, after, self.ended);
    }

    /// What is to be said where the run would have done more, had the operator let it. A preview would not.
    fn forced(&self) -> Option<String> {
        self.policy.forced_from.filter(|_| !self.record.is_preview()).map(forced_dry_run::remark)
    }

    fn amend(&self, status: &mut PolicyStatus) -> bool {
        let began = &self.record.start_time;
        let entry = status.history.iter_mut().find(|run| run.id == self.record.id && run.start_time == *began);
        let Some(entry) = entry else { return false };
        let mut alone = PolicyStatus { last_run: Some(self.record.clone()), ..PolicyStatus::default() };
        self.finish(&mut alone);
        match alone.history.into_iter().next() {
            Some(ended) if *entry != ended => {
                *entry = ended;
                true
            }
            _ => false,
        }
    }

    /// One event about repositories that more than one policy looks after.
    fn overlap(&self, to: Reader<'_>) -> Option<Announcement> {
        let (path, owner) = self.overlaps.first()?;
        let (namespace, name) = owner.split_once('/').unwrap_or(("", owner));
        let owner = to.shown(namespace, name);
        let owner = owner.map_or_else(|| "a policy of another namespace".to_owned(), |name| format!("policy {name}"));
        let others = self.overlaps.len() - 1;
        let more = if others == 0 { String::new() } else { format!(" and {others} more") };
        let note = format!("{path}{more}: {owner} asked GitLab to clean it within the hour, so this run left it alone");
        Some(Announcement::warning(EventReason::PolicyOverlap, note))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::api::conditions::Reason;
    use crate::api::{RepositoryResult, RunProgress, RunResult, TagCounts};
    use crate::policy::compile::tests::spec;
    use crate::policy::{CompileOptions, compile, token};

    const TIMEOUT: Duration = Duration::from_secs(30);
    const READER: Reader<'_> = Reader { namespace: "team", name_others: false };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn record(id: &str, holder: &str) -> RunStatus {
        serde_json::from_value(json!({
            "id": id, "trigger": "Schedule", "mode": "Delete", "gitlab": "https://git.test", "observedGeneration": 1,
            "startTime": "1970-01-01T00:00:00Z", "result": "Running", "holderIdentity": holder,
            "renewTime": "1970-01-01T00:00:30Z",
        }))
        .unwrap()
    }

    /// A run that removed 120 tags.
    fn finished() -> FinishedRun {
        let tags = TagCounts { scanned: 500, matched: 120, requested: 120, confirmed: 120, in_use: 0 };
        let outcome = Outcome { tags, ..Outcome::new("shop/api", 7, RepositoryResult::Changed, None) };
        FinishedRun {
            namespace: "team".to_owned(),
            name: "shop".to_owned(),
            uid: "u".to_owned(),
            record: record("r", "a"),
            policy: compile(&spec(&json!({"mode": "Delete"})), &CompileOptions::default(), at(0)).unwrap(),
            history_limit: 5,
            others_before: None,
            ended: at(100),
            end: End::Completed,
            requests: None,
            outcomes: vec![outcome],
            findings: token::not_asked("not asked".to_owned()),
            overlaps: Vec::new(),
            proposal: Proposal::AsBefore,
            watched: None,
            conflicts: None,
            shared: None,
            unused_registries: None,
            removed: Closed::default(),
            effect: None,
        }
    }

    fn under_way() -> PolicyStatus {
        PolicyStatus { last_run: Some(record("r", "a")), ..PolicyStatus::default() }
    }

    fn write(status: &mut PolicyStatus) -> Fit {
        finished().write_into(status, 1, &Definition::default(), READER)
    }

    #[test]
    fn the_end_of_a_run_is_written_once_and_into_whatever_else_was_written_meanwhile() {
        let mut status = PolicyStatus { last_handled_run_at: Some("meanwhile".to_owned()), ..under_way() };
        assert_eq!(write(&mut status), Fit::Ended);
        assert_eq!(status.last_handled_run_at.as_deref(), Some("meanwhile"));
        let run = status.last_run.clone().unwrap();
        assert_eq!((run.result, run.tags.confirmed, run.progress), (RunResult::Succeeded, 120, None));
        assert_eq!((status.history.len(), status.consecutive_failures), (1, Some(0)));
        assert_eq!(finished().ended_record().unwrap().message, run.message);
        let before = status.clone();
        assert_eq!(write(&mut status), Fit::Nothing);
        assert_eq!(status, before);
    }

    #[test]
    fn a_run_that_was_given_up_too_early_gets_its_numbers_all_the_same() {
        let mut status = under_way();
        status.last_run.as_mut().unwrap().progress = Some(RunProgress { tags_removed: 40, ..RunProgress::default() });
        report::interrupted(&mut status, 5, TIMEOUT, at(120));
        let lost = status.last_run.as_ref().unwrap();
        let message = "the operator stopped before it could record the end of the run; at least 40 tags were removed \
                       up to 1970-01-01T00:00:30Z";
        assert_eq!(lost.message.as_deref(), Some(message));
        assert_eq!(lost.summary.as_deref(), Some("at least 40 removed"));
        let told = serde_json::to_value(lost).unwrap();
        assert!(told.get("tags").is_none() && told.get("repositories").is_none(), "absent, not 0: {told}");
        assert!(serde_json::to_value(&status.history).unwrap()[0].get("tags").is_none());
        assert_eq!(status.consecutive_failures, Some(1));

        assert_eq!(write(&mut status), Fit::Ended);
        assert_eq!(status.last_run.as_ref().unwrap().summary.as_deref(), Some("120 removed"));
        let results: Vec<RunResult> = status.history.iter().map(|run| run.result).collect();
        assert_eq!((results, status.consecutive_failures), (vec![RunResult::Succeeded], Some(0)));
    }

    #[test]
    fn after_the_next_run_the_history_gets_them_and_the_last_run_stays() {
        let mut status = under_way();
        report::interrupted(&mut status, 5, TIMEOUT, at(120));
        let mut next = record("next", "b");
        next.start_time = Time(at(130));
        report::begin(&mut status, next.clone(), at(1000), TIMEOUT);
        assert_eq!(write(&mut status), Fit::Amended);
        assert_eq!(status.last_run, Some(next));
        assert_eq!((status.history.len(), status.history[0].tags.confirmed), (1, 120));
        assert_eq!(write(&mut status), Fit::Nothing);
        status.history.clear();
        assert_eq!(write(&mut status), Fit::Nothing, "nothing is left that could tell of it");
    }

    #[test]
    fn a_run_that_came_through_after_all_does_not_go_on_and_one_that_had_to_stop_does() {
        let given_up = || {
            let mut status = under_way();
            report::interrupted(&mut status, 5, TIMEOUT, at(120));
            resume::note(&mut status, None, jiff::SignedDuration::from_hours(1), None, at(120));
            assert!(status.interrupted_run.is_some());
            status
        };
        let mut status = given_up();
        assert_eq!(write(&mut status), Fit::Ended);
        assert_eq!(status.interrupted_run, None);
        let mut status = given_up();
        let stopped = FinishedRun { end: End::Stopped(Stop::GivenUp), ..finished() };
        assert_eq!(stopped.write_into(&mut status, 1, &Definition::default(), READER), Fit::Ended);
        assert_eq!(status.interrupted_run.as_ref().map(|run| run.id.as_str()), Some("r"));
        assert_eq!(status.last_run.unwrap().tags.confirmed, 120);
    }

    #[test]
    fn a_run_goes_on_after_a_shutdown_and_not_after_an_edit_a_limit_or_its_deadline() {
        let aborted = End::Aborted { reason: Reason::DeletionLimitExceeded, message: "too many".to_owned() };
        for (end, goes_on) in [
            (End::Stopped(Stop::Shutdown), true),
            (End::Stopped(Stop::LeadershipLost), true),
            (End::Stopped(Stop::PolicyChanged), false),
            (End::Stopped(Stop::Deadline), false),
            (aborted, false),
            (End::Completed, false),
        ] {
            let mut status = under_way();
            let run = FinishedRun { end: end.clone(), ..finished() };
            assert_eq!(run.write_into(&mut status, 1, &Definition::default(), READER), Fit::Ended);
            assert_eq!(status.interrupted_run.is_some(), goes_on, "{end:?}");
        }
    }

    #[test]
    fn what_a_run_recorded_itself_is_not_taken_back() {
        let mut status = under_way();
        let stopped = FinishedRun { end: End::Stopped(Stop::Shutdown), ..finished() };
        assert_eq!(stopped.write_into(&mut status, 1, &Definition::default(), READER), Fit::Ended);
        assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Interrupted);
        assert_eq!(write(&mut status), Fit::Nothing);
    }
}
