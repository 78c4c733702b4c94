//! Deletes repositories without tags, or says what keeps them. Comes after the work on the tags, by whatever method: what that
//! found without tags is looked at once more, right before anything is decided. What that proves is decided by `policy::empty`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

use crate::api::{EmptyRepository, RepositoryResult, Trigger};
use crate::gitlab::{
    Client, LastLook, Operation, Repository, RepositoryContents, RepositoryDeletion, RepositoryRef, RepositoryStatus,
};
use crate::policy::empty::{Holds, Keep, Look as Seen, MAX_WATCHED, Rule, look, prove, since, watch};
use crate::policy::in_use::RepositoryUse;
use crate::policy::outcome::{Outcome, repository_reason as why};

use super::in_use_guard::Look;
use super::job::{Job, Task};
use super::plan_repositories::delete_scheduled;
use super::report::{Halt, Report};
use crate::controller::plan::list_repositories::{concerns_all, failure};

/// Looks at the repositories in which the run found no tag. `watched` is what runs before this one saw.
pub(super) async fn run(
    job: &Job<'_>,
    trigger: Trigger,
    repositories: &[Repository],
    watched: &[EmptyRepository],
    report: &mut Report,
) -> Result<(), Halt> {
    let noted = report.watched.insert(Vec::new());
    let Some(rule) = &job.policy.empty_repositories else { return Ok(()) };
    // A run that was asked for as a preview is none of those that have to agree.
    let previews = trigger == Trigger::DryRunRequested;
    let watch = Watch { job, rule, previews, witness: witness(&report.outcomes) };
    let mut turns = watch.turns(repositories, watched, &report.outcomes).into_iter();
    while let Some(turn) = turns.next() {
        let Some(outcome) = report.outcomes.get_mut(turn.outcome) else { continue };
        let room = noted.len() < MAX_WATCHED;
        match watch.take(&turn, room, outcome).await {
            Ok(since) => noted.extend(since.filter(|_| room).map(|since| turn.note(since))),
            Err(halt) => {
                let rest = std::iter::once(turn).chain(turns);
                noted.extend(rest.filter_map(|turn| turn.since.map(|since| turn.note(since))));
                noted.truncate(MAX_WATCHED);
                return Err(halt);
            }
        }
    }
    Ok(())
}

/// A repository that may be empty.
struct Turn<'r> {
    repository: &'r Repository,
    /// Place of its outcome.
    outcome: usize,
    /// Since when runs have seen it empty.
    since: Option<Timestamp>,
}

impl Turn<'_> {
    fn note(&self, since: Timestamp) -> EmptyRepository {
        watch(self.repository.id, &self.repository.path, since)
    }
}

/// The repository that is most likely to show tags whenever it is asked: what was requested may still go.
fn witness(outcomes: &[Outcome]) -> Option<u64> {
    let left = |outcome: &Outcome, gone: u64| outcome.tags.scanned.saturating_sub(gone);
    let shows = outcomes.iter().filter(|outcome| left(outcome, outcome.tags.confirmed) > 0);
    let best =
        shows.max_by_key(|outcome| (left(outcome, outcome.tags.requested), left(outcome, outcome.tags.confirmed)));
    best.map(|outcome| outcome.id)
}

struct Watch<'a> {
    job: &'a Job<'a>,
    rule: &'a Rule,
    previews: bool,
    /// A repository that showed tags in this run.
    witness: Option<u64>,
}

impl Watch<'_> {
    /// The repositories that look empty, in the order of their turns.
    fn turns<'r>(
        &self,
        repositories: &'r [Repository],
        watched: &[EmptyRepository],
        outcomes: &[Outcome],
    ) -> Vec<Turn<'r>> {
        let places: HashMap<u64, usize> =
            outcomes.iter().enumerate().map(|(place, outcome)| (outcome.id, place)).collect();
        let mut turns: Vec<Turn<'r>> = repositories
            .iter()
            .filter_map(|repository| {
                let place = *places.get(&repository.id)?;
                let since = since(watched, repository.id, &repository.path);
                let empty = look(outcomes.get(place)?) == Seen::Empty;
                empty.then_some(Turn { repository, outcome: place, since })
            })
            .collect();
        let now = self.job.context.clock.now();
        turns.sort_by_key(|turn| (self.rule.turn(turn.repository.created_at, turn.since, now), turn.repository.id));
        turns
    }

    /// Looks at one repository and answers since when it is watched, if it is from now on.
    ///
    /// # Errors
    /// What ends the whole run.
    async fn take(&self, turn: &Turn<'_>, room: bool, outcome: &mut Outcome) -> Result<Option<Timestamp>, Halt> {
        match self.examine(turn, room, outcome).await {
            Ok(since) => Ok(since),
            Err(Halt::GitLab(error)) if !concerns_all(&error) => {
                let failed = failure(&turn.repository.path, turn.repository.id, &error);
                *outcome = failed;
                // What could not be listed is not known to be empty any more; what could not be deleted is.
                Ok(turn.since.filter(|_| error.operation() == Operation::DeleteRepository))
            }
            Err(halt) => Err(halt),
        }
    }

    async fn examine(&self, turn: &Turn<'_>, room: bool, outcome: &mut Outcome) -> Result<Option<Timestamp>, Halt> {
        let repository = turn.repository;
        if let Err(keep) = self.spares(repository)? {
            return Ok(told(outcome, &keep, None));
        }
        if !room {
            return Ok(told(outcome, &Keep::NoRoom, None));
        }
        let contents = match self.contents(repository).await? {
            Ok(contents) => contents,
            Err(keep) => return Ok(told(outcome, &keep, None)),
        };
        let now = Repository { status: contents.status, ..repository.clone() };
        if let Some(scheduled) = delete_scheduled(&now) {
            *outcome = scheduled;
            return Ok(None);
        }
        if contents.status == Some(RepositoryStatus::Other) {
            return Ok(told(outcome, &Keep::UnknownStatus, None));
        }
        let at = self.job.context.clock.now();
        let since = match turn.since {
            Some(since) => since,
            None if self.previews => return Ok(told(outcome, &Keep::Previewed, None)),
            None => watch(repository.id, &repository.path, at).since.0,
        };
        if let Err(keep) = self.rule.judge(repository.created_at, since, at) {
            return Ok(told(outcome, &keep, Some(since)));
        }
        self.part(&now, since, outcome).await
    }

    /// What keeps a repository whatever it holds.
    fn spares(&self, repository: &Repository) -> Result<Result<(), Keep>, Halt> {
        let used = self.job.planner().used(repository)?;
        Ok(match used.any_users() {
            Some(users) => Err(Keep::InUse(users.clone())),
            None => self.rule.admits(repository.path == repository.project_path()),
        })
    }

    /// Lists the names of the tags, asks what the registry says it holds, and then whether it says anything at all.
    async fn contents(&self, repository: &Repository) -> Result<Result<RepositoryContents, Keep>, Halt> {
        let client = &self.job.client;
        let names = client.tag_names(&repository.reference()).await?;
        let contents = client.repository_contents(repository.id).await?;
        let witness = match self.witness {
            None => None,
            Some(id) => match client.repository_contents(id).await {
                Ok(contents) => Some(holds(contents, 0)),
                Err(error) if concerns_all(&error) => return Err(error.into()),
                Err(_) => Some(Holds::default()),
            },
        };
        Ok(prove(holds(contents, names.len()), witness).map(|()| contents).map_err(Keep::Doubtful))
    }

    /// Deletes a repository, or says that it would go, as the run is to do.
    async fn part(
        &self,
        repository: &Repository,
        since: Timestamp,
        outcome: &mut Outcome,
    ) -> Result<Option<Timestamp>, Halt> {
        let again = match repository.status {
            Some(RepositoryStatus::DeleteFailed) => "; GitLab failed to delete it before",
            _ => "",
        };
        let message = match self.job.task {
            Task::Preview => format!("empty since {since}; would be deleted{again}"),
            Task::Propose(_) | Task::CarryOut(_) => {
                return Ok(told(outcome, &Keep::Approval { since }, Some(since)));
            }
            Task::Remove => {
                let look = Arc::new(StillEmpty::of(self.job, repository));
                let client = self.job.client.looking(Arc::clone(&look) as Arc<dyn LastLook>);
                let deletion = match client.delete_repository(&repository.reference()).await {
                    Err(error) if error.is_withdrawn() => {
                        return Ok(told(outcome, &look.found()?, None));
                    }
                    deletion => deletion?,
                };
                match deletion {
                    RepositoryDeletion::Scheduled => {
                        format!("empty since {since}; GitLab was asked to delete it{again}")
                    }
                    RepositoryDeletion::Protected => {
                        outcome.result = RepositoryResult::Skipped;
                        outcome.reason = Some(why::REPOSITORY_PROTECTED);
                        outcome.message = Some(format!("empty since {since}; GitLab protects it from being deleted"));
                        return Ok(None);
                    }
                }
            }
        };
        self.job.audit_repository(repository, "Delete", why::REPOSITORY_EMPTY);
        outcome.result = RepositoryResult::Changed;
        outcome.reason = Some(why::REPOSITORY_DELETED);
        outcome.message = Some(message);
        Ok(matches!(self.job.task, Task::Preview).then_some(since))
    }
}

/// The last look at a repository that is to be deleted: that none of its images is in use, and that it still lists no tag.
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
    fn found(&self) -> Result<Keep, Halt> {
        match &self.unused {
            Some(look) if !self.has_tags.load(Ordering::Relaxed) => {
                Ok(Keep::InUse(look.found()?.any_users().cloned().unwrap_or_default()))
            }
            _ => Ok(Keep::NotStill),
        }
    }
}

impl LastLook for StillEmpty {
    fn still(&self) -> BoxFuture<'_, bool> {
        async {
            if let Some(look) = &self.unused
                && !look.still().await
            {
                return false;
            }
            // The cluster may change while GitLab is asked, but what it uses has no tag here to pull.
            let empty = self.client.tag_names(&self.repository).await.is_ok_and(|names| names.is_empty());
            self.has_tags.store(!empty, Ordering::Relaxed);
            empty
        }
        .boxed()
    }
}

/// Says why a repository stays; hands back since when it is watched.
fn told(outcome: &mut Outcome, keep: &Keep, since: Option<Timestamp>) -> Option<Timestamp> {
    outcome.result = RepositoryResult::Unchanged;
    outcome.reason = Some(why::REPOSITORY_EMPTY);
    outcome.message = Some(keep.to_string());
    since
}

/// What GitLab says a repository holds. Tags that are listed count like those that are counted.
fn holds(contents: RepositoryContents, listed: usize) -> Holds {
    let tags = contents.tags_count.map(|counted| counted.max(u64::try_from(listed).unwrap_or(u64::MAX)));
    Holds { tags, bytes: contents.size }
}
