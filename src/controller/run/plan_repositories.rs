//! Plans the repositories of a run, and makes of each plan what the status says of it. Limits are judged here, so that
//! whoever carries plans out gets only those that may be.

use std::slice::Chunks;
use std::sync::Arc;

use futures::stream::{self, StreamExt};

use crate::api::{RepositoryResult, TagCounts};
use crate::gitlab::{Repository, RepositoryStatus};
use crate::policy::Method;
use crate::policy::approval::Item;
use crate::policy::limits::Exceeded;
use crate::policy::of_age;
use crate::policy::plan::doubt::Doubt;
use crate::policy::plan::removals::Removals;
use crate::policy::plan::ties;
use crate::policy::report::MAX_SAMPLES;
use crate::policy::repository_outcome::{Outcome, repository_reason as why};
use crate::policy::tag::Ages;
use crate::policy::tag_protection::Claims;

use super::job::Job;
use super::report::Halt;
use crate::controller::plan::failure::Failure;
use crate::controller::plan::list_repositories::{concerns_all, failure};
use crate::controller::plan::planner::Plan;
use crate::controller::plan::read_tags::Source;

/// Repositories that are planned at the same time. The pace per host is the real limit.
pub(crate) const PLANS_IN_FLIGHT: usize = 4;

/// A repository whose plan is made, or will never be.
pub(crate) struct Planned<'r> {
    pub(crate) repository: &'r Repository,
    /// What is known of it so far. Where nothing is to be removed, all there is.
    pub(crate) outcome: Outcome,
    /// What is to be removed.
    pub(crate) removal: Option<Removable>,
}

/// The tags of a repository that are to be removed: at least one.
pub(crate) struct Removable {
    pub(crate) tags: Removals,
    pub(crate) source: Source,
    /// What was in use when the plan was made.
    pub(crate) claims: Arc<Claims>,
}

impl Planned<'_> {
    fn only(repository: &Repository, outcome: Outcome) -> Planned<'_> {
        Planned { repository, outcome, removal: None }
    }

    /// How many tags are to be removed.
    pub(crate) fn tags(&self) -> u64 {
        self.removal.as_ref().map_or(0, |removal| removal.tags.len() as u64)
    }

    /// What is to be removed, as an approval names it.
    pub(crate) fn items(&self) -> impl Iterator<Item = Item<'_>> {
        self.removal.iter().flat_map(|removal| removal.tags.iter()).map(|tag| Item {
            repository: &self.repository.path,
            name: &tag.name,
            digest: tag.digest.as_deref(),
        })
    }

    /// The outcome when the plan is not carried out.
    pub(crate) fn left(self, reason: &'static str) -> Outcome {
        match self.removal {
            None => self.outcome,
            Some(_) => Outcome {
                result: RepositoryResult::Skipped,
                reason: Some(reason),
                message: None,
                samples: Vec::new(),
                bytes: 0,
                ..self.outcome
            },
        }
    }
}

/// The repositories whose plans are made before anything comes of them: a few, or all where something is to be said of
/// all of them together.
pub(crate) fn batches<'r>(job: &Job<'_>, repositories: &'r [Repository]) -> Chunks<'r, Repository> {
    let together = job.task.plans_first() || job.policy.limits.over_run();
    let size = if together { repositories.len() } else { PLANS_IN_FLIGHT };
    repositories.chunks(size.max(1))
}

/// Plans some repositories, in order: the plans, up to what ends the whole run, if something does.
pub(crate) async fn plan_all<'r>(job: &Job<'_>, repositories: &'r [Repository]) -> (Vec<Planned<'r>>, Option<Halt>) {
    let mut plans = Vec::new();
    let mut steps =
        stream::iter(repositories).map(|repository| plan(job, repository)).buffered(PLANS_IN_FLIGHT).boxed();
    while let Some(step) = steps.next().await {
        match step {
            Ok(plan) => plans.push(plan),
            Err(halt) => return (plans, Some(halt)),
        }
    }
    (plans, None)
}

/// Whether all plans together may be carried out.
pub(crate) fn check_limits(job: &Job<'_>, plans: &[Planned<'_>]) -> Result<(), Exceeded> {
    job.policy.limits.run(plans.iter().map(Planned::tags).sum())
}

/// Whether GitLab is about to delete the repository as a whole.
pub(crate) fn delete_scheduled(repository: &Repository) -> Option<Outcome> {
    let going = matches!(repository.status, Some(RepositoryStatus::DeleteScheduled | RepositoryStatus::DeleteOngoing));
    going.then(|| Outcome {
        message: Some("GitLab is about to delete this repository".to_owned()),
        ..Outcome::new(&repository.path, repository.id, RepositoryResult::Skipped, Some(why::DELETE_SCHEDULED))
    })
}

async fn plan<'r>(job: &Job<'_>, repository: &'r Repository) -> Result<Planned<'r>, Halt> {
    if let Some(outcome) = delete_scheduled(repository) {
        return Ok(Planned::only(repository, outcome));
    }
    match job.planner().plan(repository).await {
        Ok(plan) => Ok(judged(job, repository, plan)),
        Err(Failure::GitLab(error)) if concerns_all(&error) => Err(error.into()),
        Err(Failure::InUse(unknown)) => Err(unknown.into()),
        Err(failed) => Ok(Planned::only(repository, not_planned(repository, &failed))),
    }
}

/// The outcome of a repository that could not be planned.
pub(crate) fn not_planned(repository: &Repository, failed_to_plan: &Failure) -> Outcome {
    let failed = |reason, message| Outcome {
        message: Some(message),
        ..Outcome::new(&repository.path, repository.id, RepositoryResult::Failed, Some(reason))
    };
    match failed_to_plan {
        Failure::GitLab(error) => failure(&repository.path, repository.id, error),
        Failure::Incomplete => {
            let message = "GitLab's lists of tags do not fit together, so nothing is decided from them; the next run tries \
                           again";
            failed(why::LIST_INCOMPLETE, message.to_owned())
        }
        Failure::Unresolved(message) => unresolved(repository, message.clone()),
        Failure::Doubted(doubt) => doubted(repository, doubt),
        Failure::InUse(unknown) => failed(why::IN_USE_UNRESOLVED, unknown.to_string()),
    }
}

/// The outcome of a repository of which GitLab cannot be told which tags are in use.
pub(crate) fn unresolved(repository: &Repository, message: String) -> Outcome {
    Outcome {
        message: Some(message),
        ..Outcome::new(&repository.path, repository.id, RepositoryResult::Skipped, Some(why::IN_USE_UNRESOLVED))
    }
}

/// The outcome of a repository in which GitLab's bulk deletion may take one of the newest tags.
pub(crate) fn doubted(repository: &Repository, doubt: &Doubt) -> Outcome {
    let reason = match doubt {
        Doubt::Tied { .. } => why::DATE_TIED,
        Doubt::Undated { .. } => why::DATE_UNKNOWN,
    };
    Outcome {
        message: Some(doubt.to_string()),
        ..Outcome::new(&repository.path, repository.id, RepositoryResult::Skipped, Some(reason))
    }
}

/// What the status says of a plan, and what is to be removed if the limits hold.
fn judged<'r>(job: &Job<'_>, repository: &'r Repository, plan: Plan) -> Planned<'r> {
    if job.task.tells_every_tag() {
        audit(job, repository, &plan);
    }
    let scanned = plan.tags.len() as u64;
    let mut message = plan.kept();
    if let Some(users) = plan.users() {
        message = format!("{message}; in use: {users}");
    }
    if let Some((tags, doubt)) = plan.doubted() {
        message = format!("{message}; {tags} may be in use: {doubt}");
    }
    if let Some(tied) = ties::sentence(&plan.tags, job.policy.method.rules()) {
        message = format!("{message}; {tied}");
    }
    if let Some(leftover) = plan.leftover {
        message = format!("{message}; {leftover}");
    }
    if let Some(ages) = told(&job.policy.method, plan.source.ages) {
        message = format!("{message}; {}", ages.as_str());
    }
    let of_age = of_age::in_plan(&plan.tags, job.policy.method.rules(), job.context.clock.now());
    let in_use = plan.tags.in_use().count() as u64;
    let Plan { tags, source, claims, .. } = plan;
    let tags = Removals::of(tags);
    let counts = TagCounts { scanned, matched: tags.len() as u64, in_use, ..TagCounts::default() };
    let result = |result, reason| Outcome {
        tags: counts,
        message: Some(message.clone()),
        samples: tags.iter().take(MAX_SAMPLES).map(|tag| tag.name.to_string()).collect(),
        bytes: tags.iter().filter_map(|tag| tag.bytes).sum(),
        of_age,
        ..Outcome::new(&repository.path, repository.id, result, reason)
    };
    if tags.is_empty() {
        return Planned::only(repository, result(RepositoryResult::Unchanged, Some(why::NOTHING_TO_REMOVE)));
    }
    if let Err(exceeded) = job.policy.limits.repository(counts.matched, counts.scanned) {
        return Planned::only(repository, limit_exceeded(&exceeded, result(RepositoryResult::Failed, None)));
    }
    let outcome = result(RepositoryResult::Changed, None);
    Planned { repository, outcome, removal: Some(Removable { tags, source, claims: Arc::new(claims) }) }
}

/// What to say that ages are counted from. GitLab's bulk deletion goes by the last push as well, where it is known.
fn told(method: &Method, ages: Option<Ages>) -> Option<Ages> {
    match method {
        Method::Exact(_) => ages,
        Method::Bulk(_) => ages.filter(|ages| *ages != Ages::LastPush),
    }
}

/// The outcome of a repository in which a limit was exceeded.
pub(crate) fn limit_exceeded(exceeded: &Exceeded, outcome: Outcome) -> Outcome {
    Outcome {
        result: RepositoryResult::Failed,
        reason: Some(why::DELETION_LIMIT_EXCEEDED),
        message: Some(exceeded.to_string()),
        bytes: 0,
        ..outcome
    }
}

fn audit(job: &Job<'_>, repository: &Repository, plan: &Plan) {
    for (tag, decision) in plan.tags.iter() {
        let rule = decision.rule.and_then(|rule| job.policy.method.rules().get(rule)).map(|rule| rule.name.as_str());
        let users = plan.claims.certain(tag.name, tag.digest).map(|users| users.to_string());
        let (verdict, reason) = (decision.verdict.as_str(), decision.verdict.reason());
        job.audit(repository, tag.name, verdict, reason, rule, users.as_deref());
    }
}
