//! A dry run of the method Bulk: plans with the complete list of tags and the dates of the candidates, and tells every verdict.

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::api::{Mode, RepositoryResult, TagCounts};
use crate::gitlab::{Error, Repository, RepositoryStatus};
use crate::policy::compile::Rule;
use crate::policy::plan::{Verdict, decide_by_name, server};
use crate::policy::report::{MAX_SAMPLES, Outcome, repository_reason};

use super::run::{Job, Work};
use super::targets::{concerns_all, failure, outcome};

/// Requests for the details of tags under way at the same time. The pace per host is the real limit.
const DETAILS_IN_FLIGHT: usize = 8;

/// Plans every repository.
pub(crate) async fn run(job: &Job<'_>, rule: &Rule, repositories: &[Repository]) -> Work {
    let mut work = Work::completed(Vec::new());
    for (index, repository) in repositories.iter().enumerate() {
        match one(job, rule, repository).await {
            Ok(mut outcome) => {
                outcome.eligible = job.eligible(repository);
                work.outcomes.push(outcome);
            }
            Err(error) if concerns_all(&error) => {
                return job.halt(work, &error, repositories.get(index..).unwrap_or_default());
            }
            Err(error) => {
                let eligible = job.eligible(repository);
                work.outcomes.push(Outcome { eligible, ..failure(&repository.path, repository.id, &error) });
            }
        }
    }
    work
}

/// Whether GitLab is about to delete the repository as a whole.
pub(crate) fn delete_scheduled(repository: &Repository) -> Option<Outcome> {
    let going = matches!(repository.status, Some(RepositoryStatus::DeleteScheduled | RepositoryStatus::DeleteOngoing));
    going.then(|| Outcome {
        message: Some("GitLab is about to delete this repository".to_owned()),
        ..outcome(&repository.path, repository.id, RepositoryResult::Skipped, Some(repository_reason::DELETE_SCHEDULED))
    })
}

async fn one(job: &Job<'_>, rule: &Rule, repository: &Repository) -> Result<Outcome, Error> {
    if let Some(outcome) = delete_scheduled(repository) {
        return Ok(outcome);
    }
    let protect = job.policy.protect.as_slice();
    let names = job.client.tag_names(&repository.reference()).await?;
    let mut tags: Vec<(&str, Option<Timestamp>)> = names.iter().map(|name| (name.as_ref(), None)).collect();
    let candidates: Vec<usize> = (0..)
        .zip(&names)
        .filter(|(_, name)| decide_by_name(name, rule, protect).is_none())
        .map(|(index, _)| index)
        .collect();
    if server::needs_dates(candidates.len(), rule) {
        let names = names.as_slice();
        let reads = stream::iter(candidates).map(|index| date(job, repository, names, index));
        let dates: Vec<(usize, Option<Timestamp>)> = reads.buffered(DETAILS_IN_FLIGHT).try_collect().await?;
        for (index, date) in dates {
            if let Some(tag) = tags.get_mut(index) {
                tag.1 = date;
            }
        }
    }
    let verdicts = server::plan(&tags, rule, protect, job.context.clock.now());

    let mut removed = Vec::new();
    for ((name, _), verdict) in tags.iter().zip(&verdicts) {
        job.audit(Mode::DryRun, repository, name, verdict.as_str(), verdict.reason(), None);
        if *verdict == Verdict::Remove {
            removed.push(*name);
        }
    }
    let counts = TagCounts { scanned: names.len() as u64, matched: removed.len() as u64, ..TagCounts::default() };
    let (result, reason) = if removed.is_empty() {
        (RepositoryResult::Unchanged, Some(repository_reason::NOTHING_TO_REMOVE))
    } else {
        (RepositoryResult::Changed, None)
    };
    Ok(Outcome {
        message: Some(kept(&verdicts)),
        tags: counts,
        samples: removed.into_iter().take(MAX_SAMPLES).map(str::to_owned).collect(),
        ..outcome(&repository.path, repository.id, result, reason)
    })
}

/// The date of one tag of the list. A tag that cannot be read may be gone or of a kind that has no date; either way its age
/// is not known.
async fn date(
    job: &Job<'_>,
    repository: &Repository,
    names: &[Box<str>],
    index: usize,
) -> Result<(usize, Option<Timestamp>), Error> {
    let Some(name) = names.get(index) else { return Ok((index, None)) };
    let tag = job.client.tag(&repository.reference(), name).await?;
    Ok((index, tag.and_then(|tag| tag.created_at)))
}

/// Why tags stay, with how many: `kept: 12 TooYoung, 5 WithinKeepN, 1 Latest`.
pub(crate) fn kept(verdicts: &[Verdict]) -> String {
    let mut reasons: Vec<(usize, &str)> = Vec::new();
    for verdict in verdicts.iter().filter(|verdict| **verdict != Verdict::Remove) {
        match reasons.iter_mut().find(|(_, reason)| *reason == verdict.reason()) {
            Some((number, _)) => *number += 1,
            None => reasons.push((1, verdict.reason())),
        }
    }
    reasons.sort_by_key(|(number, reason)| (std::cmp::Reverse(*number), *reason));
    let list: Vec<String> = reasons.iter().map(|(number, reason)| format!("{number} {reason}")).collect();
    if list.is_empty() { "nothing is kept".to_owned() } else { format!("kept: {}", list.join(", ")) }
}
