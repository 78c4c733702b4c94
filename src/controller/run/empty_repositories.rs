//! Deletes repositories without tags, or says what keeps them. Comes after the work on the tags, by whatever method:
//! what that found without tags is looked at once more, right before anything is decided. What that proves is decided
//! by `policy::empty_repository`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

use crate::api::EmptyRepository;
use crate::api::limits::MAX_EMPTY_REPOSITORIES;
use crate::gitlab::{Client, FinalCheck, Operation, Repository, RepositoryDeletion, RepositoryRef, RepositoryStatus};
use crate::model::RepositoryContents;
use crate::policy::empty_repository::{KeptBecause, Rule, prove, watch, with_listed};
use crate::policy::in_use::RepositoryUse;
use crate::policy::outcomes::empty_repository::{Deletion, Turn, delete, keep, turns, witness};
use crate::policy::repository_outcome::Outcome;

use super::in_use_guard::Look;
use super::job::{Job, Task};
use super::plan_repositories::delete_scheduled;
use super::report::{Halt, Report};
use crate::controller::plan::list_repositories::{concerns_all, failure};

/// Looks at the repositories in which the run found no tag. `watched` is what runs before this one saw.
pub(super) async fn run(
    job: &Job<'_>,
    previews: bool,
    repositories: &[Repository],
    watched: &[EmptyRepository],
    report: &mut Report,
) -> Result<(), Halt> {
    let noted = report.watched.insert(Vec::new());
    let Some(rule) = &job.policy.empty_repositories else { return Ok(()) };
    // A run that was asked for as a preview is none of those that have to agree.
    let look = Watch { job, rule, previews, witness: witness(&report.outcomes) };
    let all = repositories.iter().map(|repository| (repository.into(), repository.created_at));
    let mut turns = turns(all, watched, &report.outcomes, rule, job.context.clock.now()).into_iter();
    let note = |turn: &Turn, since| {
        repositories.get(turn.repository).map(|repository| watch(repository.id, &repository.path, since))
    };
    while let Some(turn) = turns.next() {
        let Some(repository) = repositories.get(turn.repository) else { continue };
        let Some(outcome) = report.outcomes.get_mut(turn.outcome) else { continue };
        let room = noted.len() < MAX_EMPTY_REPOSITORIES;
        match look.take(repository, turn.since, room, outcome).await {
            Ok(since) => noted.extend(since.filter(|_| room).and_then(|since| note(&turn, since))),
            Err(halt) => {
                let rest = std::iter::once(turn).chain(turns);
                noted.extend(rest.filter_map(|turn| note(&turn, turn.since?)));
                noted.truncate(MAX_EMPTY_REPOSITORIES);
                return Err(halt);
            }
        }
    }
    Ok(())
}

struct Watch<'a> {
    job: &'a Job<'a>,
    rule: &'a Rule,
    previews: bool,
    /// A repository that showed tags in this run.
    witness: Option<u64>,
}

impl Watch<'_> {
    /// Looks at one repository and answers since when it is watched, if it is from now on.
    ///
    /// # Errors
    /// What ends the whole run.
    async fn take(
        &self,
        repository: &Repository,
        since: Option<Timestamp>,
        room: bool,
        outcome: &mut Outcome,
    ) -> Result<Option<Timestamp>, Halt> {
        let mut examined = self.examine(repository, since, room, outcome).await;
        while let Err(Halt::InUseUnknown(lost)) = examined {
            self.job.regain(lost).await?;
            examined = self.examine(repository, since, room, outcome).await;
        }
        match examined {
            Ok(since) => Ok(since),
            Err(Halt::GitLab(error)) if !concerns_all(&error) => {
                *outcome = failure(&repository.path, repository.id, &error);
                // What could not be listed is not known to be empty any more; what could not be deleted is.
                Ok(since.filter(|_| error.operation() == Operation::DeleteRepository))
            }
            Err(halt) => Err(halt),
        }
    }

    async fn examine(
        &self,
        repository: &Repository,
        since: Option<Timestamp>,
        room: bool,
        outcome: &mut Outcome,
    ) -> Result<Option<Timestamp>, Halt> {
        if let Err(keep) = self.spares(repository)? {
            return Ok(kept(outcome, &keep, None));
        }
        if !room {
            return Ok(kept(outcome, &KeptBecause::NoRoom, None));
        }
        let status = match self.prove_empty(repository).await? {
            Ok(status) => status,
            Err(keep) => return Ok(kept(outcome, &keep, None)),
        };
        let now = Repository { status, ..repository.clone() };
        if let Some(scheduled) = delete_scheduled(&now) {
            *outcome = scheduled;
            return Ok(None);
        }
        if status == Some(RepositoryStatus::Other) {
            return Ok(kept(outcome, &KeptBecause::UnknownStatus, None));
        }
        let at = self.job.context.clock.now();
        let since = match since {
            Some(since) => since,
            None if self.previews => return Ok(kept(outcome, &KeptBecause::Previewed, None)),
            None => watch(repository.id, &repository.path, at).since.0,
        };
        if let Err(keep) = self.rule.judge(repository.created_at, since, at) {
            return Ok(kept(outcome, &keep, Some(since)));
        }
        self.delete_or_report(&now, since, outcome).await
    }

    /// What keeps a repository whatever it holds.
    fn spares(&self, repository: &Repository) -> Result<Result<(), KeptBecause>, Halt> {
        let used = self.job.planner().used(repository)?;
        Ok(match used.any_users() {
            Some(users) => Err(KeptBecause::InUse(users.clone())),
            None => self.rule.admits(repository.path == repository.project_path()),
        })
    }

    /// Lists the names of the tags, asks what the registry says it holds, and then whether it says anything at all.
    /// Answers what state GitLab has it in.
    async fn prove_empty(
        &self,
        repository: &Repository,
    ) -> Result<Result<Option<RepositoryStatus>, KeptBecause>, Halt> {
        let client = &self.job.client;
        let names = client.tag_names(&repository.reference()).await?;
        let now = client.repository_contents(repository.id).await?;
        let witness = match self.witness {
            None => None,
            Some(id) => match client.repository_contents(id).await {
                Ok(witness) => Some(witness.contents),
                Err(error) if concerns_all(&error) => return Err(error.into()),
                Err(_) => Some(RepositoryContents::default()),
            },
        };
        let proof = prove(with_listed(now.contents, names.len()), witness);
        Ok(proof.map(|()| now.status).map_err(KeptBecause::Doubtful))
    }

    /// Deletes a repository, or says that it would go, as the run is to do.
    async fn delete_or_report(
        &self,
        repository: &Repository,
        since: Timestamp,
        outcome: &mut Outcome,
    ) -> Result<Option<Timestamp>, Halt> {
        let again = repository.status == Some(RepositoryStatus::DeleteFailed);
        let deletion = match self.job.task {
            Task::Preview => Deletion::WouldBe,
            Task::Propose(_) | Task::CarryOut(_) => {
                return Ok(kept(outcome, &KeptBecause::Approval { since }, Some(since)));
            }
            Task::Remove => {
                let look = Arc::new(StillEmpty::of(self.job, repository));
                let client = self.job.client.looking(Arc::clone(&look) as Arc<dyn FinalCheck>);
                match client.delete_repository(&repository.reference()).await {
                    Ok(RepositoryDeletion::Scheduled) => Deletion::Requested,
                    Ok(RepositoryDeletion::Protected) => Deletion::Protected,
                    Err(error) if error.is_withdrawn() => return Ok(kept(outcome, &look.found()?, None)),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        delete(outcome, deletion, since, again);
        if deletion != Deletion::Protected {
            self.job.trail.repository(repository);
        }
        Ok(matches!(self.job.task, Task::Preview).then_some(since))
    }
}

/// The final check at a repository that is to be deleted: that none of its images is in use, and that it still lists no
/// tag.
struct StillEmpty {
    unused: Option<Arc<Look>>,
    client: Client,
    repository: RepositoryRef,
    /// It was the tags.
    has_tags: AtomicBool,
}

impl StillEmpty {
    fn of(job: &Job<'_>, repository: &Repository) -> Self {
        let (_, unused) = Look::at(job, repository, RepositoryUse::is_empty);
        let (client, repository) = (job.client.clone(), repository.reference());
        Self { unused, client, repository, has_tags: AtomicBool::new(false) }
    }

    /// What kept the repository.
    fn found(&self) -> Result<KeptBecause, Halt> {
        match &self.unused {
            Some(look) if !self.has_tags.load(Ordering::Relaxed) => {
                Ok(KeptBecause::InUse(look.found()?.any_users().cloned().unwrap_or_default()))
            }
            _ => Ok(KeptBecause::NotStill),
        }
    }
}

impl FinalCheck for StillEmpty {
    fn still(&self) -> BoxFuture<'_, bool> {
        async {
            if let Some(look) = &self.unused
                && !look.still().await
            {
                return false;
            }
            // The cluster may change while GitLab is asked, but what it uses has no tag here to pull.
            // The deletion has its place already, and would wait for what waits for one.
            let client = self.client.cutting_in();
            let empty = client.tag_names(&self.repository).await.is_ok_and(|names| names.is_empty());
            self.has_tags.store(!empty, Ordering::Relaxed);
            empty
        }
        .boxed()
    }
}

/// Says why a repository stays; hands back since when it is watched.
fn kept(outcome: &mut Outcome, because: &KeptBecause, since: Option<Timestamp>) -> Option<Timestamp> {
    keep(outcome, because);
    since
}
