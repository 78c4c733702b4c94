//! Runs that remove nothing: a dry run, and one that proposes a plan for approval. Both plan everything and tell every
//! verdict.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::PendingApproval;
use crate::api::conditions::Reason;
use crate::gitlab::Repository;
use crate::policy::approval::plan_hash;
use crate::policy::repository_outcome::{Proposal, RepositoryReason};

use super::job::Job;
use super::plan_repositories::{Planned, Rest, check_limits};
use super::report::{Halt, Report};

/// Plans every repository.
pub(super) async fn run(job: &Job<'_>, repositories: &[Repository], report: &mut Report) -> Result<(), Halt> {
    let mut rest = Rest::of(job, repositories);
    while !rest.is_empty() {
        job.gate.holds(0);
        let (plans, halt) = rest.plan(job, 0).await;
        if halt.is_none() {
            if let Err(exceeded) = check_limits(job, &plans) {
                let reason = RepositoryReason::DeletionLimitExceeded;
                report.outcomes.extend(plans.into_iter().map(|plan| plan.left(reason)));
                return Err(Halt::Refused { reason: Reason::DeletionLimitExceeded, message: exceeded.to_string() });
            }
            if let Some(at) = job.task.as_of() {
                report.proposal = propose(job, &plans, at);
            }
        }
        report.outcomes.extend(plans.into_iter().map(|plan| plan.outcome));
        halt.map_or(Ok(()), Err)?;
    }
    Ok(())
}

/// The plan as it waits for an approval.
pub(super) fn propose(job: &Job<'_>, plans: &[Planned<'_>], at: Timestamp) -> Proposal {
    let tags = plans.iter().map(Planned::tags).sum();
    if tags == 0 {
        return Proposal::Nothing;
    }
    let repositories = plans.iter().filter(|plan| plan.removal.is_some()).count();
    Proposal::Plan(PendingApproval {
        plan_hash: plan_hash(job.generation, plans.iter().flat_map(Planned::items)),
        tags,
        repositories: u32::try_from(repositories).unwrap_or(u32::MAX),
        time: Time(at),
    })
}
