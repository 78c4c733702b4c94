//! What a run would remove, for somebody who asks at a command line: plans every repository of a policy, and that is
//! all.
//!
//! Why nothing can be removed here: all requests to GitLab go through a client that refuses to send anything but
//! reading ones ([`Client::only_reading`]), and of the parts around it only those that plan are used. Of Kubernetes it
//! reads, at most, which images are in use, so that a policy that is in no cluster can be planned as well.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;

use crate::api::conditions::Reason;
use crate::api::{Mode, RegistryCleanupPolicy};
use crate::clock::Clock;
use crate::gitlab::{AlwaysOpen, Budget, Client, Connection, Error, GitLab, Repository};
use crate::plan_output::{self, Planned, State};
use crate::policy::CompiledPolicy;
use crate::policy::effect::Effect;
use crate::policy::overlap::Overlap;
use crate::policy::plan::repository::RepositoryPlan;
use crate::policy::plan::ties;
use crate::policy::repository_outcome::Outcome;
use crate::policy::request_budget::{self, Allowance, Removing};
use crate::policy::source::Extent;
use crate::policy::status_conditions::Findings;
use crate::policy::target::TargetSeen;
use crate::policy::token;

use super::plan::archived;
use super::plan::effects;
use super::plan::failure::{Failure, Unknown};
use super::plan::in_use::{Cluster, Usage};
use super::plan::list_repositories::{self, Found, concerns_all};
use super::plan::planner::Planner;
use super::plan::tag_reader::TagReader;
use super::run::plan_repositories::{delete_scheduled, not_planned};
use super::{connect, neighbours};
use crate::policy::planning_width::FEWEST;

/// What is asked.
pub struct Question {
    /// The policy.
    pub policy: CompiledPolicy,
    /// The way to its GitLab.
    pub connection: Connection,
    /// The moment as of which to plan; `None` is now.
    pub as_of: Option<Timestamp>,
    /// Where to look which images are in use, if the policy wants that. `None` takes none to be.
    pub cluster: Option<Cluster>,
    /// Other policies that may look after the same repositories.
    pub neighbours: Vec<RegistryCleanupPolicy>,
    /// The one repository that is planned, by its path or by what images of it are called; `None` is all.
    pub only: Option<String>,
    /// Whether to read every tag in full, also those whose fate is clear without.
    pub everything: bool,
}

/// Why there is no answer at all. `docs/conditions.md` explains the reasons.
#[derive(Debug, thiserror::Error)]
#[error("{message} ({reason})")]
pub struct Unavailable {
    reason: Reason,
    message: String,
}

/// An answer under way.
pub struct Forecast {
    pub(super) question: Question,
    client: Client,
    clock: Arc<dyn Clock>,
    usage: Option<Usage>,
    pub(super) repositories: Vec<Repository>,
    unlisted: Vec<Outcome>,
    target: TargetSeen,
    read: AtomicU64,
    /// Requests that a run would take to remove what was planned so far.
    removing: Mutex<Removing>,
}

impl Forecast {
    /// Tries the token and finds the repositories.
    ///
    /// # Errors
    /// When nothing can be had from GitLab with this connection, or when it cannot be found out which images are in
    /// use.
    pub async fn begin(gitlab: &GitLab, clock: Arc<dyn Clock>, question: Question) -> Result<Self, Unavailable> {
        // Reading is all that is wanted, whatever the policy's mode.
        let session =
            connect::connect(gitlab, &*clock, &question.connection, Mode::DryRun, Arc::new(AlwaysOpen)).await?;
        let client = session.client.only_reading();
        let mut found = list_repositories::list(&client, &question.policy.target, None).await?;
        if let Some(only) = &question.only {
            found.repositories.retain(|repository| [&repository.path, &repository.location].contains(&only));
        }
        let usage = match &question.cluster {
            Some(cluster) if question.policy.protection.in_use => {
                Some(Usage::read_once(cluster, &question.policy, &found.repositories, Arc::clone(&clock)).await?)
            }
            _ => None,
        };
        let (read, removing) = (AtomicU64::new(0), Mutex::default());
        let Found { repositories, failed: unlisted, target, .. } = found;
        Ok(Self { question, client, clock, usage, repositories, unlisted, target, read, removing })
    }

    /// How many repositories there are to plan.
    #[must_use]
    pub fn repositories(&self) -> usize {
        self.repositories.len()
    }

    /// Where they are: registry host, port and path of each.
    pub fn locations(&self) -> impl Iterator<Item = &str> {
        self.repositories.iter().map(|repository| repository.location.as_str())
    }

    /// What the policy shares with its neighbours.
    #[must_use]
    pub fn overlap(&self) -> Overlap {
        neighbours::shared(&self.repositories, &self.question.neighbours)
    }

    /// Adds what all that was planned says of the patterns of the policy.
    pub async fn assess(&self, listing: &mut plan_output::Listing) {
        effects::complete(&self.client, &self.repositories, &mut listing.seen, &self.question.policy).await;
        let missed = listing.repositories.iter().filter(|repository| repository.effect.is_none()).count();
        listing.assessment = Some(listing.seen.assess(&self.target, missed, &self.question.policy));
    }

    /// The registries of which the cluster uses no image, as far as names tell; none where nobody looked.
    ///
    /// # Errors
    /// When it is not known any more which images are in use.
    pub fn unused_registries(&self) -> Result<Vec<String>, Unavailable> {
        Ok(self.usage.as_ref().map(Usage::unused_registries).transpose()?.unwrap_or_default())
    }

    /// How many tags were read so far.
    #[must_use]
    pub fn tags_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// What is to be said of a run that takes more requests than GitLab's limits let through at once: it reads what was
    /// read here, and removes what was planned.
    #[must_use]
    pub fn pace(&self) -> Option<String> {
        let Budget { per_minute, remaining, reset } = self.client.budget()?;
        let allowed = Allowance { remaining, reset_in: reset.duration_since(self.clock.now()), per_minute };
        let most = self.client.removable_at_most() as u64;
        let requests = self.client.sent().saturating_add(self.removing().requests(most));
        request_budget::sentence(requests, allowed, self.question.policy.active_deadline)
    }

    fn removing(&self) -> MutexGuard<'_, Removing> {
        // The numbers are valid between any two statements.
        self.removing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Projects and groups that could not be listed.
    pub fn unlisted(&self) -> impl Iterator<Item = plan_output::Repository> {
        self.unlisted.iter().map(|outcome| plan_output::Repository {
            id: outcome.id,
            path: outcome.path.clone(),
            state: State::Failed(outcome.message.clone().unwrap_or_default()),
            effect: None,
        })
    }

    /// The plans, in the order of the paths, a few being made at the same time. Ends with the first error, which
    /// concerns all of them.
    pub fn plans(&self) -> BoxStream<'_, Result<plan_output::Repository, Unavailable>> {
        stream::iter(&self.repositories).map(|repository| self.plan(repository)).buffered(FEWEST).boxed()
    }

    async fn plan(&self, repository: &Repository) -> Result<plan_output::Repository, Unavailable> {
        let mut effect = None;
        // What nobody may change has nothing to say of the patterns.
        let mut closed = |outcome: Outcome| {
            effect = Some(Effect::default());
            State::Skipped(outcome.message.unwrap_or_default())
        };
        let state = match delete_scheduled(repository) {
            Some(outcome) => closed(outcome),
            None => match self.planner().plan(repository).await {
                Ok(plan) => {
                    if let Some(outcome) = self.closed(repository, &plan).await? {
                        closed(outcome)
                    } else {
                        effect = Some(Effect::of_plan(&plan, &self.question.policy));
                        State::Planned(Box::new(self.judged(plan)))
                    }
                }
                Err(Failure::GitLab(error)) if concerns_all(&error) => return Err(error.into()),
                Err(Failure::InUse(unknown)) => return Err(unknown.into()),
                Err(Failure::Unresolved(message)) => State::Skipped(message),
                Err(Failure::Doubted(doubt)) => State::Skipped(doubt.to_string()),
                Err(failure) => State::Failed(not_planned(repository, &failure).message.unwrap_or_default()),
            },
        };
        Ok(plan_output::Repository { id: repository.id, path: repository.path.clone(), state, effect })
    }

    /// The outcome of a repository from which something would go, or nothing may, if its project is closed.
    async fn closed(&self, repository: &Repository, plan: &RepositoryPlan) -> Result<Option<Outcome>, Error> {
        if plan.tags.removals() == 0 && !plan.tags.all_protected() {
            return Ok(None);
        }
        archived::closed(&self.client, repository).await
    }

    pub(super) fn planner(&self) -> Planner<'_> {
        let reader = TagReader {
            client: &self.client,
            clock: &*self.clock,
            policy: &self.question.policy,
            as_of: self.question.as_of,
            everything: self.question.everything,
            all_names: true,
            pass: None,
            read: Some(&self.read),
        };
        Planner { reader, usage: self.usage.as_ref() }
    }

    fn judged(&self, plan: RepositoryPlan) -> Planned {
        let RepositoryPlan { tags, source, claims, leftover, rules } = plan;
        let method = &self.question.policy.method;
        self.removing().add(method, source.graphql, tags.removals());
        let exceeded = self.question.policy.limits.repository(tags.removals(), tags.len() as u64).err();
        let by = self.question.policy.method.rules();
        let remarks = ties::sentence(&tags, by).into_iter().chain(ties::unranked(&tags, by)).collect();
        let (complete, ages) = (source.extent == Extent::All, source.ages);
        Planned { tags, claims, complete, ages, remarks, leftover, rules, exceeded }
    }
}

impl From<Findings> for Unavailable {
    fn from(findings: Findings) -> Self {
        let (reason, message) = token::obstacle(&findings);
        Self { reason, message }
    }
}

impl From<Unknown> for Unavailable {
    fn from(unknown: Unknown) -> Self {
        let message = format!("{unknown}; --in-use=false plans as if none were");
        Self { reason: Reason::InUseUnknown, message }
    }
}

impl From<Error> for Unavailable {
    fn from(error: Error) -> Self {
        connect::from_error(&error).into()
    }
}
