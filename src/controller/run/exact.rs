//! The method Exact: removes what was planned over what is really there, and knows what went.

use std::collections::VecDeque;
use std::iter;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::{self, Either};
use futures::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::api::conditions::Reason;
use crate::gitlab::{Age, Error, Repository, Together};
use crate::policy::approval::{differences, is_within, tag_marks};
use crate::policy::outcomes::passes;
use crate::policy::outcomes::plan::Removable;
use crate::policy::outcomes::removal::{Tally, broken_off};
use crate::policy::repository_outcome::{Outcome, Proposal, RepositoryReason};

use super::dry_run::propose;
use super::job::{Approval, Job, Task};
use super::pass_over;
use super::plan_repositories::{Planned, Plans, Rest, check_limits, plan};
use super::remove_tags;
use super::remove_together;
use super::report::{Halt, Report};
use crate::controller::plan::archived::{closed, may_be_closed};
use crate::controller::plan::list_repositories::{concerns_all, failure};

/// Plans and removes: a few repositories at a time, while those before are removed from; or everything first where that
/// has to be known.
pub(super) async fn run(job: &Job<'_>, repositories: &[Repository], report: &mut Report) -> Result<(), Halt> {
    if let Some(version) = outdated(job, repositories).await? {
        report.outcomes.extend(repositories.iter().map(|repository| too_old(repository, &version)));
        return Ok(());
    }
    let repositories = &pass_over::unchanged(job, repositories, report).await?;
    let mut rest = Rest::of(job, repositories);
    job.gate.holds(0);
    let mut planned = rest.plan(job, 0).await;
    loop {
        let plans = allowed(job, planned, report)?;
        let held = plans.iter().map(Planned::tags).sum();
        job.gate.holds(usize::try_from(held).unwrap_or(usize::MAX));
        if rest.is_empty() {
            return carry_out(job, plans, report).await;
        }
        let (removed, next) = {
            let removing = pin!(carry_out(job, plans, report));
            let planning = pin!(rest.plan(job, held));
            match future::select(removing, planning).await {
                // What is only read may be given up.
                Either::Left((Err(halt), _)) => (Err(halt), None),
                Either::Left((Ok(()), planning)) => (Ok(()), Some(planning.await)),
                // What is being removed goes to its end, whatever became of the plans.
                Either::Right((plans, removing)) => (removing.await, Some(plans)),
            }
        };
        let (plans, halt) = next.unwrap_or_default();
        if let Err(halt) = removed {
            report.outcomes.extend(left(plans));
            return Err(halt);
        }
        planned = (plans, halt);
    }
}

/// Plans that may be carried out. Where they may not, or something ends the run, they are reported as left.
fn allowed<'r>(job: &Job<'_>, planned: Plans<'r>, report: &mut Report) -> Result<Vec<Planned<'r>>, Halt> {
    let (plans, halt) = planned;
    let mut leave = |plans: Vec<Planned<'r>>, reason| {
        report.outcomes.extend(plans.into_iter().map(|plan| plan.left(reason)));
    };
    if let Some(halt) = halt {
        leave(plans, RepositoryReason::NotReached);
        return Err(halt);
    }
    if let Err(exceeded) = check_limits(job, &plans) {
        leave(plans, RepositoryReason::DeletionLimitExceeded);
        return Err(Halt::Refused { reason: Reason::DeletionLimitExceeded, message: exceeded.to_string() });
    }
    let Task::CarryOut(approval) = job.task else { return Ok(plans) };
    if let Err((proposal, message)) = compare(job, approval, &plans) {
        leave(plans, RepositoryReason::PlanChanged);
        report.proposal = proposal;
        return Err(Halt::Refused { reason: Reason::PlanChanged, message });
    }
    mark(job, approval, &plans);
    Ok(plans)
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

/// Removes what is planned: small repositories together, and as many at a time as there may be requests.
async fn carry_out(job: &Job<'_>, plans: Vec<Planned<'_>>, report: &mut Report) -> Result<(), Halt> {
    let mut plans = VecDeque::from(plans);
    // How many fit together is asked when their turn comes, since it follows what became of those before.
    let together = iter::from_fn(move || {
        let some = job.client.removable_together().map_or(1, |room| fitting(&plans, room));
        let some: Vec<Planned<'_>> = plans.drain(..some.min(plans.len())).collect();
        (!some.is_empty()).then_some(some)
    });
    // Nothing is begun any more after what ends the run, and what is under way goes to its end.
    let ended = AtomicBool::new(false);
    let removals = stream::iter(together).map(async |some| {
        if ended.load(Ordering::Relaxed) {
            return (left(some), Ok(()));
        }
        let (outcomes, end) = in_passes(job, some).await;
        if end.is_err() {
            ended.store(true, Ordering::Relaxed);
        }
        (outcomes, end)
    });
    let mut removals = removals.buffered(job.client.in_flight()).boxed();
    let mut end = Ok(());
    while let Some((outcomes, ended)) = removals.next().await {
        report.outcomes.extend(outcomes);
        end = end.and(ended);
    }
    end
}

/// What becomes of plans whose turn did not come.
fn left(plans: Vec<Planned<'_>>) -> Vec<Outcome> {
    plans.into_iter().map(|plan| plan.left(RepositoryReason::NotReached)).collect()
}

/// How many of the next plans are carried out together: as many as fit into one request, at least one.
fn fitting(plans: &VecDeque<Planned<'_>>, room: Together) -> usize {
    let (mut tags, mut repositories) = (0, 0);
    let fits = |plan: &&Planned<'_>| {
        // One of which there is more goes alone.
        if plan.more_from.is_some() {
            return false;
        }
        let Some(removable) = &plan.removal else { return true };
        tags += removable.tags.images.len();
        repositories += 1;
        // Whether something was pushed is asked for all of them at once.
        let told = removable.source.graphql && removable.source.sorts_by_push && !removable.tags.images.is_empty();
        told && tags <= room.tags && repositories <= room.repositories
    };
    plans.iter().take_while(fits).count().max(1)
}

/// Removes the tags of some repositories, or of one in passes: what follows is planned once what was planned is gone.
async fn in_passes<'r>(job: &Job<'_>, plans: Vec<Planned<'r>>) -> (Vec<Outcome>, Result<(), Halt>) {
    let of = |plans: &[Planned<'r>]| match plans {
        [only] => only.more_from.map(|moment| (only.repository, moment)),
        _ => None,
    };
    let mut more = of(&plans);
    let (mut outcomes, mut end) = remove(job, plans).await;
    while end.is_ok()
        && let Some((repository, moment)) = more
        && let Some(before) = outcomes.pop_if(|before| passes::go_on_after(before))
    {
        let left = before.tags.scanned.saturating_sub(before.tags.confirmed);
        (outcomes, end) = match plan(job, repository, Some((moment, left))).await {
            Err(halt) => (vec![before], Err(halt)),
            Ok(next) => {
                more = next.more_from.map(|moment| (repository, moment));
                let (then, end) = remove(job, vec![next]).await;
                (then.into_iter().map(|then| passes::together(&before, then)).collect(), end)
            }
        };
    }
    (outcomes, end)
}

/// Removes the tags of some repositories, and tells of each. What went is told, also where an error stood in the way of
/// the rest.
async fn remove(job: &Job<'_>, plans: Vec<Planned<'_>>) -> (Vec<Outcome>, Result<(), Halt>) {
    let wanted: Vec<(&Repository, &Removable)> =
        plans.iter().filter_map(|plan| Some((plan.repository, plan.removal.as_ref()?))).collect();
    let done = match wanted.as_slice() {
        [] => Vec::new(),
        [(repository, removable)] => vec![remove_tags::run(job, repository, removable).await],
        several => remove_together::run(job, several).await,
    };
    let (mut done, mut outcomes, mut end) = (done.into_iter(), Vec::new(), Ok(()));
    for mut plan in plans {
        if plan.removal.is_none() {
            outcomes.push(plan.outcome);
            continue;
        }
        let Some((tally, halt)) = done.next() else { continue };
        let own = halt.as_ref().is_some_and(|halt| matches!(halt, Halt::GitLab(error) if !concerns_all(error)));
        if end.is_err() && !own && tally.is_untouched() {
            outcomes.push(plan.left(RepositoryReason::NotReached));
            continue;
        }
        if halt.is_none() && tally.gone().len() as u64 == plan.tags() {
            pass_over::note(job, plan.repository, plan.once_gone.take());
        }
        let ended = settle(job, plan.repository, &mut plan.outcome, tally, halt).await;
        outcomes.push(plan.outcome);
        end = end.and(ended);
    }
    (outcomes, end)
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
