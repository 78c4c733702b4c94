//! The method Exact: removes what was planned over what is really there, and knows what went.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::api::conditions::Reason;
use crate::gitlab::{Age, Error, Repository, Together};
use crate::policy::approval::{differences, is_within, tag_marks};
use crate::policy::outcomes::plan::Removable;
use crate::policy::outcomes::removal::{Tally, broken_off};
use crate::policy::repository_outcome::{Outcome, Proposal, RepositoryReason};

use super::dry_run::propose;
use super::job::{Approval, Job, Task};
use super::pass_over;
use super::plan_repositories::{Planned, Rest, check_limits};
use super::remove_tags;
use super::remove_together;
use super::report::{Halt, Report};
use crate::controller::plan::archived::{closed, may_be_closed};
use crate::controller::plan::list_repositories::{concerns_all, failure};

/// Plans and removes: a few repositories at a time, or everything first where that has to be known.
pub(super) async fn run(job: &Job<'_>, repositories: &[Repository], report: &mut Report) -> Result<(), Halt> {
    if let Some(version) = outdated(job, repositories).await? {
        report.outcomes.extend(repositories.iter().map(|repository| too_old(repository, &version)));
        return Ok(());
    }
    let repositories = &pass_over::unchanged(job, repositories, report).await?;
    let mut rest = Rest::of(job, repositories);
    while !rest.is_empty() {
        job.gate.holds(0);
        let (plans, halt) = rest.plan(job).await;
        if let Some(halt) = halt {
            report.outcomes.extend(plans.into_iter().map(|plan| plan.left(RepositoryReason::NotReached)));
            return Err(halt);
        }
        if let Err(exceeded) = check_limits(job, &plans) {
            report.outcomes.extend(plans.into_iter().map(|plan| plan.left(RepositoryReason::DeletionLimitExceeded)));
            return Err(Halt::Refused { reason: Reason::DeletionLimitExceeded, message: exceeded.to_string() });
        }
        if let Task::CarryOut(approval) = job.task
            && let Err((proposal, message)) = compare(job, approval, &plans)
        {
            report.proposal = proposal;
            report.outcomes.extend(plans.into_iter().map(|plan| plan.left(RepositoryReason::PlanChanged)));
            return Err(Halt::Refused { reason: Reason::PlanChanged, message });
        }
        if let Task::CarryOut(approval) = job.task {
            mark(job, approval, &plans);
        }
        carry_out(job, plans, report).await?;
    }
    Ok(())
}

/// The server's version, if removing one tag may remove others there. A server whose GraphQL knows
/// repositories (13.6 and later) is newer than that and is not asked.
async fn outdated(job: &Job<'_>, repositories: &[Repository]) -> Result<Option<Age>, Error> {
    let Some(first) = repositories.first() else { return Ok(None) };
    if job.client.capabilities(first.id).await?.graphql {
        return Ok(None);
    }
    let version = job.client.age(repositories).await?;
    Ok((!version.removes_single_tags()).then_some(version))
}

/// GitLab behaviour: up to 12.3 removing a tag removes its image, with every other tag that points at it.
fn too_old(repository: &Repository, version: &Age) -> Outcome {
    let message = format!("GitLab {version} may remove an image with all its tags when one of them is to go");
    Outcome::skipped(repository.into(), RepositoryReason::ExactNotSupported, message)
}

/// Lets the record tell what belongs to the plan, for a run that has to go on with it. One that goes on itself knows
/// it from there.
fn mark(job: &Job<'_>, approval: &Approval, plans: &[Planned<'_>]) {
    if approval.resumed.is_none() {
        let items = plans.iter().flat_map(Planned::items);
        job.progress.mark(tag_marks(&approval.plan.plan_hash, items));
    }
}

/// Whether the plan, made again, still is the one that was approved; if not, the one that waits from now on, and what
/// changed.
fn compare(job: &Job<'_>, approval: &Approval, plans: &[Planned<'_>]) -> Result<(), (Proposal, String)> {
    let at: Timestamp = approval.plan.time.0;
    let items = || plans.iter().flat_map(Planned::items);
    let (now, hash) = match propose(job, plans, at) {
        Proposal::Plan(plan) if plan.plan_hash == approval.plan.plan_hash => return Ok(()),
        // What is left of an approved plan, which may be nothing, is no other plan.
        _ if approval.resumed.as_ref().is_some_and(|plan| is_within(plan, items())) => return Ok(()),
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

/// Removes what is planned: small repositories together, others one after the other.
async fn carry_out(job: &Job<'_>, plans: Vec<Planned<'_>>, report: &mut Report) -> Result<(), Halt> {
    let mut plans = VecDeque::from(plans);
    while !plans.is_empty() {
        let room = job.client.removable_together();
        let together = room.map_or(1, |room| fitting(&plans, room));
        let some: Vec<Planned<'_>> = plans.drain(..together).collect();
        if let Err(halt) = remove(job, some, report).await {
            report.outcomes.extend(plans.into_iter().map(|plan| plan.left(RepositoryReason::NotReached)));
            return Err(halt);
        }
    }
    Ok(())
}

/// How many of the next plans are carried out together: as many as fit into one request, at least one.
fn fitting(plans: &VecDeque<Planned<'_>>, room: Together) -> usize {
    let (mut tags, mut repositories) = (0, 0);
    let fits = |plan: &&Planned<'_>| {
        let Some(removable) = &plan.removal else { return true };
        tags += removable.tags.images.len();
        repositories += 1;
        // Whether something was pushed is asked for all of them at once.
        let told = removable.source.graphql && removable.source.sorts_by_push && !removable.tags.images.is_empty();
        told && tags <= room.tags && repositories <= room.repositories
    };
    plans.iter().take_while(fits).count().max(1)
}

/// Removes the tags of some repositories, and reports each. What went is told, also where an error stood in the way of
/// the rest.
async fn remove(job: &Job<'_>, mut plans: Vec<Planned<'_>>, report: &mut Report) -> Result<(), Halt> {
    let wanted: Vec<(&Repository, &Removable)> =
        plans.iter().filter_map(|plan| Some((plan.repository, plan.removal.as_ref()?))).collect();
    let done = match wanted.as_slice() {
        [] => Vec::new(),
        [(repository, removable)] => vec![remove_tags::run(job, repository, removable).await],
        several => remove_together::run(job, several).await,
    };
    let (mut done, mut end) = (done.into_iter(), Ok(()));
    for mut plan in plans.drain(..) {
        if plan.removal.is_none() {
            report.outcomes.push(plan.outcome);
            continue;
        }
        let Some((tally, halt)) = done.next() else { continue };
        let own = halt.as_ref().is_some_and(|halt| matches!(halt, Halt::GitLab(error) if !concerns_all(error)));
        if end.is_err() && !own && tally.is_untouched() {
            report.outcomes.push(plan.left(RepositoryReason::NotReached));
            continue;
        }
        let ended = settle(job, plan.repository, &mut plan.outcome, tally, halt).await;
        report.outcomes.push(plan.outcome);
        end = end.and(ended);
    }
    end
}

/// Writes what became of one repository's tags. Answers what ends the run.
async fn settle(
    job: &Job<'_>,
    repository: &Repository,
    outcome: &mut Outcome,
    tally: Tally,
    halt: Option<Halt>,
) -> Result<(), Halt> {
    tally.write(outcome);
    match halt {
        Some(Halt::GitLab(error)) if !concerns_all(&error) => {
            if may_be_closed(&error)
                && let Some(closed) = closed(&job.client, repository).await?
            {
                (outcome.result, outcome.reason, outcome.message) = (closed.result, closed.reason, closed.message);
                return Ok(());
            }
            broken_off(outcome, failure(&repository.path, repository.id, &error));
            Ok(())
        }
        halt => halt.map_or(Ok(()), Err),
    }
}
