//! Runs that remove nothing: a dry run, and one that proposes a plan for approval. Both plan everything and tell every verdict.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::PendingApproval;
use crate::api::conditions::reason;
use crate::gitlab::Repository;
use crate::policy::approval::plan_hash;
use crate::policy::outcome::{End, Proposal, repository_reason as why};

use super::plans::{Planned, at_a_time, judge, plan_all};
use super::run::{Job, Work};

/// Plans every repository.
pub(crate) async fn run(job: &Job<'_>, repositories: &[Repository]) -> Work {
    let mut work = Work::completed(Vec::new());
    for chunk in at_a_time(job, repositories) {
        let plans = match plan_all(job, chunk).await {
            Ok(plans) => plans,
            Err((plans, error)) => {
                work.outcomes.extend(plans.into_iter().map(|plan| plan.outcome));
                let rest = repositories.get(work.outcomes.len()..).unwrap_or_default();
                return job.halt(work, &error, rest);
            }
        };
        if let Err(exceeded) = judge(job, &plans) {
            work.end = End::Aborted { reason: reason::DELETION_LIMIT_EXCEEDED, message: exceeded.to_string() };
            work.outcomes.extend(plans.into_iter().map(|plan| plan.left(why::DELETION_LIMIT_EXCEEDED)));
            return work;
        }
        if let Some(at) = job.task.as_of() {
            work.proposal = propose(job, &plans, at);
        }
        work.outcomes.extend(plans.into_iter().map(|plan| plan.outcome));
    }
    work
}

/// The plan as it waits for an approval.
pub(crate) fn propose(job: &Job<'_>, plans: &[Planned<'_>], at: Timestamp) -> Proposal {
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
