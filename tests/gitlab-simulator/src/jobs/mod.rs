//! Background jobs: queued with a due time and run when the clock has reached it.
//!
//! Nothing runs on its own. Whoever looks at the state first runs what is due, each job at its own due time, which
//! cannot be told from a job that ran in between.

mod cleanup;
pub(crate) mod older_than;
mod removal;
mod report;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

pub use older_than::DurationError;
pub use report::{CleanupParams, JobKind, JobReport, JobStatus, JobSwitches, Outcome, Sizes};

pub(crate) use cleanup::MOST_LISTED_TAGS;
pub(crate) use removal::protects;

use crate::{
    clock::saturating_add,
    config::Version,
    state::{Registry, RepositoryStatus},
};

/// Retries of a job that raised (gitlab-api reference 2).
const RETRIES: u32 = 3;

/// Failures after which the deletion of a repository is given up (gitlab-api reference 1.7).
const MOST_DELETE_FAILURES: u32 = 10;

/// All jobs ever queued, and which of them still wait.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    all: BTreeMap<u64, JobReport>,
    waiting: BTreeSet<(Timestamp, u64)>,
}

impl Registry {
    /// Every job so far, in the order of their requests, with what became of it.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobReport> {
        self.jobs.all.values().cloned().collect()
    }

    /// Queues a bulk deletion; one with identical arguments that still waits makes it superfluous
    /// (gitlab-api reference 2).
    pub(crate) fn enqueue_cleanup(&mut self, repository: u64, user: u64, params: CleanupParams) {
        let twin = |job: &JobReport| {
            job.outcome.is_none()
                && job.attempts == 0
                && job.kind == JobKind::BulkDelete
                && job.repository == repository
                && job.user == Some(user)
                && job.params == params
        };
        if !self.jobs.all.values().any(twin) {
            self.enqueue(JobKind::BulkDelete, repository, Some(user), params);
        }
    }

    /// Schedules the deletion of a repository (gitlab-api reference 1.7).
    pub(crate) fn enqueue_repository_deletion(&mut self, repository: u64, user: Option<u64>) {
        if let Some(found) = self.repository_mut(repository) {
            found.status = Some(RepositoryStatus::DeleteScheduled);
            self.enqueue(JobKind::DeleteRepository, repository, user, CleanupParams::default());
        }
    }

    fn enqueue(&mut self, kind: JobKind, repository: u64, user: Option<u64>, params: CleanupParams) -> u64 {
        let id = self.jobs.all.last_key_value().map_or(1, |(id, _)| id + 1);
        let enqueued_at = self.now();
        let due_at = saturating_add(enqueued_at, self.settings.job_delay);
        let job = JobReport {
            id,
            kind,
            repository,
            user,
            params,
            switches: JobSwitches::default(),
            enqueued_at,
            due_at,
            attempts: 0,
            outcome: None,
        };
        self.jobs.all.insert(id, job);
        self.jobs.waiting.insert((due_at, id));
        id
    }

    /// Runs a bulk deletion now, outside the queue and without the hourly lease. `user` `None` is how GitLab's own
    /// cleanup policies run.
    pub fn run_cleanup(
        &mut self,
        repository: u64,
        user: Option<u64>,
        params: CleanupParams,
        switches: JobSwitches,
    ) -> JobReport {
        let now = self.now();
        let id = self.enqueue(JobKind::BulkDelete, repository, user, params);
        let mut report = self.jobs.all.get(&id).cloned().unwrap_or_default();
        self.jobs.waiting.remove(&(report.due_at, id));
        report.due_at = now;
        report.attempts = 1;
        report.switches = switches;
        report.outcome = Some(self.cleanup(&report, now));
        self.jobs.all.insert(id, report.clone());
        report
    }

    /// Runs every job whose time has come, retries included.
    pub(crate) fn run_due_jobs(&mut self) {
        let now = self.now();
        while let Some((due, id)) = self.jobs.waiting.first().copied().filter(|(due, _)| *due <= now) {
            self.jobs.waiting.remove(&(due, id));
            let Some(mut job) = self.jobs.all.get(&id).cloned() else { continue };
            job.attempts += 1;
            let retry = match job.kind {
                JobKind::BulkDelete => self.attempt_cleanup(&mut job, due),
                JobKind::DeleteRepository => self.attempt_repository_deletion(&mut job, due),
            };
            if let Some(wait) = retry {
                job.due_at = saturating_add(due, wait);
                self.jobs.waiting.insert((job.due_at, id));
            }
            self.jobs.all.insert(id, job);
        }
    }

    /// One attempt; a job that raises is tried again after Sidekiq's `attempt⁴ + 15` seconds (its jitter left out).
    fn attempt_cleanup(&mut self, job: &mut JobReport, at: Timestamp) -> Option<SignedDuration> {
        let lease_in_job = self.settings.version < Version::new(12, 9);
        if lease_in_job && job.attempts == 1 && !self.take_lease(job.repository, at) {
            job.outcome = Some(Outcome::ended(JobStatus::Dropped, "", at));
            return None;
        }
        let outcome = self.cleanup(job, at);
        let retry = outcome.status == JobStatus::Raised && job.attempts <= RETRIES;
        job.outcome = Some(outcome);
        retry.then(|| SignedDuration::from_secs(i64::from(job.attempts - 1).pow(4) + 15))
    }

    fn attempt_repository_deletion(&mut self, job: &mut JobReport, at: Timestamp) -> Option<SignedDuration> {
        let names = self.tag_names(job.repository);
        let broken = self.settings.registry_deletes_fail || self.settings.registry_unreachable;
        if broken && !names.is_empty() {
            let given_up = job.attempts >= MOST_DELETE_FAILURES;
            job.outcome = Some(Outcome::ended(JobStatus::Error, "could not delete tags", at));
            if let Some(repository) = self.repository_mut(job.repository) {
                let status = if given_up { RepositoryStatus::DeleteFailed } else { RepositoryStatus::DeleteScheduled };
                repository.status = Some(status);
            }
            return (!given_up).then(|| SignedDuration::from_mins(1_i64 << job.attempts.min(20)));
        }
        let known = self.remove_repository(job.repository);
        let mut outcome = Outcome::ended(if known { JobStatus::Success } else { JobStatus::Ignored }, "", at);
        outcome.deleted = names;
        job.outcome = Some(outcome);
        None
    }
}
