//! The method Exact: removes what was planned over what is really there, and knows what went.

use jiff::Timestamp;

use crate::api::RepositoryResult;
use crate::api::conditions::reason;
use crate::gitlab::{Error, Repository, Version};
use crate::policy::approval::differences;
use crate::policy::outcome::{End, Outcome, Proposal, repository_reason as why};

use super::plans::{Planned, at_a_time, judge, plan_all};
use super::preview::propose;
use super::removal;
use super::run::{Approval, Halt, Job, Task, Work};
use super::targets::{concerns_all, failure};

/// Plans and removes: a few repositories at a time, or everything first where that has to be known.
pub(crate) async fn run(job: &Job<'_>, repositories: &[Repository]) -> Work {
    let mut work = Work::completed(Vec::new());
    match outdated(job, repositories).await {
        Ok(None) => {}
        Ok(Some(version)) => {
            work.outcomes = repositories.iter().map(|repository| too_old(repository, &version.text)).collect();
            return work;
        }
        Err(error) => return job.halt(work, &error.into(), repositories),
    }
    for chunk in at_a_time(job, repositories) {
        let plans = match plan_all(job, chunk).await {
            Ok(plans) => plans,
            Err((plans, error)) => {
                work.outcomes.extend(plans.into_iter().map(|plan| plan.left(why::NOT_REACHED)));
                let rest = repositories.get(work.outcomes.len()..).unwrap_or_default();
                return job.halt(work, &error, rest);
            }
        };
        if let Err(exceeded) = judge(job, &plans) {
            let message = exceeded.to_string();
            return refused(work, plans, reason::DELETION_LIMIT_EXCEEDED, message, why::DELETION_LIMIT_EXCEEDED);
        }
        if let Task::CarryOut(approval) = &job.task
            && let Err((proposal, message)) = compare(job, approval, &plans)
        {
            work.proposal = proposal;
            return refused(work, plans, reason::PLAN_CHANGED, message, why::PLAN_CHANGED);
        }
        if let Some(error) = carry_out(job, &mut work, plans).await {
            let rest = repositories.get(work.outcomes.len()..).unwrap_or_default();
            return job.halt(work, &error, rest);
        }
    }
    work
}

/// The server's version, if removing one tag may remove others there. A server whose GraphQL knows
/// repositories (13.6 and later) is newer than that and is not asked.
async fn outdated(job: &Job<'_>, repositories: &[Repository]) -> Result<Option<Version>, Error> {
    let Some(first) = repositories.first() else { return Ok(None) };
    if job.client.capabilities(first.id).await?.graphql {
        return Ok(None);
    }
    let version = job.client.version().await?;
    Ok((!version.removes_single_tags()).then_some(version))
}

/// GitLab behaviour: up to 12.3 removing a tag removes its image, with every other tag that points at it.
fn too_old(repository: &Repository, version: &str) -> Outcome {
    let message = format!("GitLab {version} may remove an image with all its tags when one of them is to go");
    Outcome {
        message: Some(message),
        ..Outcome::new(&repository.path, repository.id, RepositoryResult::Skipped, Some(why::EXACT_NOT_SUPPORTED))
    }
}

/// Ends a run that removes nothing at all.
fn refused(mut work: Work, plans: Vec<Planned<'_>>, reason: &'static str, message: String, left: &'static str) -> Work {
    work.end = End::Aborted { reason, message };
    work.outcomes.extend(plans.into_iter().map(|plan| plan.left(left)));
    work
}

/// Whether the plan, made again, still is the one that was approved; if not, the one that waits from now on, and what changed.
fn compare(job: &Job<'_>, approval: &Approval, plans: &[Planned<'_>]) -> Result<(), (Proposal, String)> {
    let at: Timestamp = approval.plan.time.0;
    let (now, hash) = match propose(job, plans, at) {
        Proposal::Plan(plan) if plan.plan_hash == approval.plan.plan_hash => return Ok(()),
        Proposal::Plan(plan) => {
            let hash = plan.plan_hash.clone();
            (Proposal::Plan(plan), hash)
        }
        none => (none, "nothing".to_owned()),
    };
    let outcomes: Vec<Outcome> = plans.iter().map(|plan| plan.outcome.clone()).collect();
    let message = format!(
        "nothing was removed: the approved plan {} is no longer what would go ({}); {hash} waits for approval now",
        approval.plan.plan_hash,
        differences(&approval.before, &outcomes)
    );
    Err((now, message))
}

/// Removes what is planned; answers the error that ends the whole run, if there is one.
async fn carry_out(job: &Job<'_>, work: &mut Work, plans: Vec<Planned<'_>>) -> Option<Halt> {
    let mut plans = plans.into_iter();
    while let Some(Planned { repository, outcome, removal }) = plans.next() {
        let (outcome, error) = match removal {
            None => (outcome, None),
            Some(removable) => one(job, repository, outcome, &removable).await,
        };
        work.outcomes.push(outcome);
        if error.is_some() {
            work.outcomes.extend(plans.map(|plan| plan.left(why::NOT_REACHED)));
            return error;
        }
    }
    None
}

/// Removes the tags of one repository: its outcome, and the error that ends the whole run, if there is one.
async fn one(
    job: &Job<'_>,
    repository: &Repository,
    mut outcome: Outcome,
    removable: &super::plans::Removable,
) -> (Outcome, Option<Halt>) {
    let (told, error) = removal::run(job, repository, removable).await;
    told.write(&mut outcome);
    match error {
        Some(Halt::GitLab(error)) if !concerns_all(&error) => {
            let failed = failure(&repository.path, repository.id, &error);
            let message = format!("{}; {}", error, outcome.message.unwrap_or_default());
            let result = RepositoryResult::Failed;
            (Outcome { result, reason: failed.reason, message: Some(message), ..outcome }, None)
        }
        halt => (outcome, halt),
    }
}
