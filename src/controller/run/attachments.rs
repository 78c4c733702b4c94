//! Which attachments may go, once it is known which images are gone.
//!
//! Every tag that had or contained the subject has to be gone by GitLab's own word: one that was kept meanwhile, was
//! not found, or of which the answer was lost keeps them. And no other tag may have come to have the subject since the
//! plan was made: the newest pushes tell, where GitLab sorts by push, otherwise all tags are read again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::gitlab::Repository;
use crate::model::Digest;
use crate::policy::attachment::one_begins;
use crate::policy::plan::{Attached, KeepReason, RemoveReason};
use crate::policy::source::Source;
use crate::policy::tag::{CLOCKS_MAY_DIFFER, Tag};

use super::job::Job;
use super::report::Halt;
use crate::controller::plan::failure::Failure;
use crate::controller::plan::read_tags::{self, Pushes, pushed_since};

/// What becomes of some attachments.
pub(crate) struct Step<'t> {
    /// Those that may go, by why they do.
    pub(crate) free: BTreeMap<RemoveReason, Vec<Tag>>,
    /// Those that stay, and why.
    pub(crate) kept: Vec<(&'t Tag, KeepReason)>,
}

/// Decides about some attachments that do not depend on each other. `gone` are the tags that are.
///
/// # Errors
/// What stands in the way of reading which tags there are.
pub(crate) async fn step<'t>(
    job: &Job<'_>,
    repository: &Repository,
    source: Source,
    attachments: &'t [(Tag, Attached, RemoveReason)],
    gone: &HashSet<Box<str>>,
) -> Result<Step<'t>, Halt> {
    let is_gone = |attached: &Attached| attached.after.iter().all(|owner| gone.contains(owner));
    let (rest, kept): (Vec<_>, Vec<_>) = attachments.iter().partition(|(_, attached, _)| is_gone(attached));
    let kept = kept.into_iter().map(|(tag, ..)| (tag, KeepReason::SubjectKept)).collect();
    let mut step = Step { free: BTreeMap::new(), kept };
    if rest.is_empty() {
        return Ok(step);
    }
    let there = digests(job, repository, source).await?;
    for (tag, attached, reason) in rest {
        let has = |there: &BTreeSet<Digest>| attached.subjects.iter().any(|subject| one_begins(there, subject));
        match &there {
            None => step.kept.push((tag, KeepReason::SubjectUnknown)),
            Some(there) if has(there) => step.kept.push((tag, KeepReason::SubjectKept)),
            Some(_) => step.free.entry(*reason).or_default().push(tag.clone()),
        }
    }
    Ok(step)
}

/// The digests that tags have now, of which the plan may not have known. `None` where some may be missing.
async fn digests(job: &Job<'_>, repository: &Repository, source: Source) -> Result<Option<BTreeSet<Digest>>, Halt> {
    if source.sorts_by_push {
        // The clocks may differ.
        let since = source.at.saturating_sub(CLOCKS_MAY_DIFFER).unwrap_or(source.at);
        if let Some(Pushes { tags, complete: true }) = pushed_since(&job.client, repository, since).await? {
            return Ok(tags.into_values().map(|push| push.digest).collect());
        }
    }
    let all = job.planner().reader.everything();
    match read_tags::read(&all, job.policy.method.rules(), repository).await {
        Ok((inventory, _)) => Ok(inventory.read.into_iter().map(|tag| tag.digest).collect()),
        Err(Failure::Incomplete | Failure::Unresolved(_) | Failure::Doubted(_)) => Ok(None),
        Err(Failure::GitLab(error)) => Err(error.into()),
        Err(Failure::InUse(unknown)) => Err(unknown.into()),
    }
}
