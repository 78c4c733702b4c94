//! Passes over the repositories in which nothing can have changed since they were read: `policy::unchanged`.
//!
//! Only a run that removes by its rules does so. A preview tells of every tag, and what waits for an approval is
//! planned as a whole.

use std::collections::HashSet;

use crate::gitlab::Repository;
use crate::policy::effect::Effect;
use crate::policy::outcomes;
use crate::policy::plan::repository::RepositoryPlan;
use crate::policy::unchanged::Reading;

use super::job::{Job, Task};
use super::report::{Halt, Report};
use crate::controller::plan::list_repositories::concerns_all;
use crate::controller::readings::Remembered;

/// Takes note of what the unchanged ones come to, and answers those that have to be read.
pub(super) async fn unchanged(
    job: &Job<'_>,
    repositories: &[Repository],
    report: &mut Report,
) -> Result<Vec<Repository>, Halt> {
    let (known, candidates): (Vec<Remembered>, Vec<u64>) = if matches!(job.task, Task::Remove) {
        remembered(job, repositories).into_iter().unzip()
    } else {
        (Vec::new(), Vec::new())
    };
    if candidates.is_empty() {
        return Ok(repositories.to_vec());
    }
    let pushes = match job.client.last_pushes(&candidates).await {
        Err(error) if concerns_all(&error) => return Err(error.into()),
        pushes => pushes.unwrap_or_default(),
    };
    let mut unchanged = HashSet::new();
    for ((id, known), push) in candidates.into_iter().zip(known).zip(pushes) {
        if known.reading.is_newer_than(push) {
            job.note_effect(id, &known.effect);
            report.outcomes.push(outcomes::plan::unchanged(&known.outcome, known.reading.at()));
            unchanged.insert(id);
        }
    }
    tracing::debug!(count = unchanged.len(), "repositories are unchanged since they were read");
    Ok(repositories.iter().filter(|repository| !unchanged.contains(&repository.id)).cloned().collect())
}

/// What is remembered of these repositories, as far as it can still be relied on.
fn remembered(job: &Job<'_>, repositories: &[Repository]) -> Vec<(Remembered, u64)> {
    let now = job.context.clock.now();
    let mut memory = job.context.memory();
    let readings = memory.readings();
    readings.keep(&job.uid, &repositories.iter().map(|repository| repository.id).collect());
    let known = |repository: &Repository| {
        // What is about to be deleted is told as such.
        let known = readings.of(&job.uid, repository.id, &repository.path, job.generation, now)?;
        repository.status.is_none().then(|| (known.clone(), repository.id))
    };
    repositories.iter().filter_map(known).collect()
}

/// What a plan leaves to be remembered once all is gone that goes.
pub(super) fn reading(job: &Job<'_>, repository: &Repository, plan: &RepositoryPlan) -> Option<(Reading, Effect)> {
    let reading = Reading::of(plan, job.policy, &repository.path, job.generation)?;
    Some((reading, Effect::of_rest(plan, job.policy)))
}

/// Remembers a repository in which there is nothing to remove, or forgets it.
pub(super) fn note(job: &Job<'_>, repository: &Repository, remembered: Option<Remembered>) {
    if matches!(job.task, Task::Remove) {
        job.context.memory().readings().note(&job.uid, repository.id, remembered);
    }
}

/// Forgets what is remembered of a repository that is read again.
pub(super) fn forget(job: &Job<'_>, repository: &Repository) {
    note(job, repository, None);
}
