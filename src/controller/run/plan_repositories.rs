//! Plans the repositories of a run. What a plan comes to is judged by `policy::outcomes::plan`, also by the limits, so
//! that whoever carries plans out gets only those that may be.

use futures::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::gitlab::{Repository, RepositoryStatus};
use crate::policy::approval::Item;
use crate::policy::effect::Effect;
use crate::policy::limits::Exceeded;
use crate::policy::outcomes;
use crate::policy::outcomes::plan::{Removable, doubted, incomplete, judge, not_carried_out, once_gone, unresolved};
use crate::policy::plan::repository::RepositoryPlan;
use crate::policy::planning_width::Width;
use crate::policy::repository_outcome::{Outcome, RepositoryReason};
use crate::policy::tag::TagView;

use super::job::Job;
use super::pass_over;
use super::report::Halt;
use super::trail::Line;
use crate::controller::plan::archived;
use crate::controller::plan::failure::Failure;
use crate::controller::plan::list_repositories::{concerns_all, failure};
use crate::controller::readings::Remembered;

/// Plans, and what ends the whole run after them, if something does.
pub(crate) type Plans<'r> = (Vec<Planned<'r>>, Option<Halt>);

/// A repository whose plan is made, or will never be.
pub(crate) struct Planned<'r> {
    pub(crate) repository: &'r Repository,
    /// What is known of it so far. Where nothing is to be removed, all there is.
    pub(crate) outcome: Outcome,
    /// What is to be removed.
    pub(crate) removal: Option<Removable>,
    /// What may be remembered of the repository once all of that is gone.
    pub(crate) once_gone: Option<Remembered>,
    /// It is planned in passes, and this one has come to that moment.
    pub(crate) more_from: Option<Timestamp>,
}

impl Planned<'_> {
    /// How many tags are to be removed.
    pub(crate) fn tags(&self) -> u64 {
        self.removal.as_ref().map_or(0, |removal| removal.tags.len() as u64)
    }

    /// What is to be removed, as an approval names it.
    pub(crate) fn items(&self) -> impl Iterator<Item = Item<'_>> {
        self.removal.iter().flat_map(|removal| removal.tags.iter()).map(|tag| Item {
            repository: &self.repository.path,
            name: &tag.name,
            digest: tag.digest.as_ref(),
        })
    }

    /// The outcome when the plan is not carried out.
    pub(crate) fn left(self, reason: RepositoryReason) -> Outcome {
        match self.removal {
            None => self.outcome,
            Some(_) => not_carried_out(self.outcome, reason),
        }
    }
}

/// The repositories of a run, as far as they were not planned yet, and how many of them are planned at the same time.
pub(crate) struct Rest<'r> {
    repositories: &'r [Repository],
    width: Width,
    /// Something is to be said of all of them together before anything comes of one.
    together: bool,
}

impl<'r> Rest<'r> {
    /// Nothing is planned yet.
    pub(crate) fn of(job: &Job<'_>, repositories: &'r [Repository]) -> Self {
        let together = job.task.plans_first() || job.policy.limits.over_run();
        Self { repositories, width: Width::new(job.client.reads_in_documents()), together }
    }

    /// Whether there is nothing left.
    pub(crate) const fn is_empty(&self) -> bool {
        self.repositories.is_empty()
    }

    /// Plans those whose plans are made before anything comes of them, in order: a few, or all that there are. So many
    /// tags of those before are still to go meanwhile. Answers the plans, up to what ends the whole run, if something
    /// does.
    pub(crate) async fn plan(&mut self, job: &Job<'_>, held: u64) -> Plans<'r> {
        let mut plans = Vec::new();
        loop {
            let (some, rest) = self.repositories.split_at(self.repositories.len().min(self.width.beside(held)));
            self.repositories = rest;
            let before = plans.len();
            if let Some(halt) = plan_all(job, some, &mut plans).await {
                return (plans, Some(halt));
            }
            let tags = plans.iter().skip(before).map(|plan: &Planned<'_>| plan.outcome.tags.scanned).max();
            self.width.planned(tags.unwrap_or_default());
            if rest.is_empty() || !self.together {
                return (plans, None);
            }
        }
    }
}

/// Plans some repositories at the same time, in order, up to what ends the whole run, which is answered.
async fn plan_all<'r>(job: &Job<'_>, some: &'r [Repository], plans: &mut Vec<Planned<'r>>) -> Option<Halt> {
    let width = some.len().max(1);
    let mut steps = stream::iter(some).map(|repository| plan(job, repository, None)).buffered(width).boxed();
    while let Some(step) = steps.next().await {
        match step {
            Ok(plan) => plans.push(plan),
            Err(halt) => return Some(halt),
        }
    }
    None
}

/// Whether all plans together may be carried out.
pub(crate) fn check_limits(job: &Job<'_>, plans: &[Planned<'_>]) -> Result<(), Exceeded> {
    job.policy.limits.run(plans.iter().map(Planned::tags).sum())
}

/// The outcome of a repository that GitLab is about to delete as a whole.
pub(crate) fn delete_scheduled(repository: &Repository) -> Option<Outcome> {
    let going = matches!(repository.status, Some(RepositoryStatus::DeleteScheduled | RepositoryStatus::DeleteOngoing));
    going.then(|| outcomes::plan::delete_scheduled(repository.into()))
}

/// Plans a repository, or a pass after the one that has come to a moment and left so many tags.
pub(super) async fn plan<'r>(
    job: &Job<'_>,
    repository: &'r Repository,
    after: Option<(Timestamp, u64)>,
) -> Result<Planned<'r>, Halt> {
    let only = |outcome| Planned { repository, outcome, removal: None, once_gone: None, more_from: None };
    pass_over::forget(job, repository);
    if let Some(outcome) = delete_scheduled(repository) {
        return Ok(only(outcome));
    }
    loop {
        return match job.planner_of_pass(after).plan(repository).await {
            Ok(plan) => {
                let more_from = plan.source.extent.more_from();
                if let Some(outcome) = closed(job, repository, &plan).await? {
                    return Ok(only(outcome));
                }
                let effect = Effect::of_plan(&plan, job.policy);
                job.note_effect(repository.id, &effect);
                if job.task.tells_every_tag() {
                    audit(job, repository, &plan);
                }
                let (reading, goes) = (pass_over::reading(job, repository, &plan), plan.tags.removals() > 0);
                let (outcome, removal) = judge(repository.into(), plan, job.policy, job.context.clock.now());
                let remembered = reading.map(|(reading, effect)| {
                    let outcome = if goes { once_gone(&outcome) } else { outcome.clone() };
                    Remembered { reading, outcome, effect }
                });
                if goes {
                    return Ok(Planned { repository, outcome, removal, once_gone: remembered, more_from });
                }
                pass_over::note(job, repository, remembered);
                Ok(Planned { more_from, ..only(outcome) })
            }
            Err(Failure::GitLab(error)) if concerns_all(&error) => Err(error.into()),
            Err(Failure::InUse(unknown)) => {
                job.regain(unknown).await?;
                continue;
            }
            Err(failed) => Ok(only(not_planned(repository, &failed))),
        };
    }
}

/// The outcome of a repository whose project is closed. A run that removes asks only where every tag reads as
/// protected: otherwise GitLab's refusal shows it.
async fn closed(job: &Job<'_>, repository: &Repository, plan: &RepositoryPlan) -> Result<Option<Outcome>, Halt> {
    let previews = job.task.tells_every_tag() && plan.tags.removals() > 0;
    if !previews && !plan.tags.all_protected() {
        return Ok(None);
    }
    Ok(archived::closed(&job.client, repository).await?)
}

/// The outcome of a repository that could not be planned.
pub(crate) fn not_planned(repository: &Repository, failed_to_plan: &Failure) -> Outcome {
    let name = repository.into();
    match failed_to_plan {
        Failure::GitLab(error) => failure(&repository.path, repository.id, error),
        Failure::Incomplete => incomplete(name),
        Failure::Unresolved(message) => unresolved(name, message.clone()),
        Failure::Doubted(doubt) => doubted(name, doubt),
        Failure::InUse(unknown) => Outcome::failed(name, RepositoryReason::InUseUnresolved, unknown.to_string()),
    }
}

fn audit(job: &Job<'_>, repository: &Repository, plan: &RepositoryPlan) {
    let read = plan.tags.read.iter().map(|planned| (planned.tag.view(), planned.decision, planned.tag.bytes));
    let newer = plan.tags.newer.iter().map(|planned| (TagView::newer(&planned.name), planned.decision, None));
    for (tag, decision, bytes) in read.chain(newer) {
        let rule = decision.rule().and_then(|rule| job.policy.method.rules().get(rule)).map(|rule| rule.name.as_str());
        let users = plan.claims.certain(tag.name, tag.digest).map(|users| users.to_string());
        let (digest, used_by) = (tag.digest, users.as_deref());
        let line = Line::new(tag.name, decision.verdict.into(), decision.verdict.reason());
        job.trail.tag(repository, Line { digest, bytes, rule, used_by, ..line });
    }
}
