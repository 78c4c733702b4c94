//! Removes by GitLab's bulk deletion: one request per repository and hour, and a look afterwards at what really went.

use std::collections::{BTreeSet, VecDeque};

use futures::stream::{self, BoxStream, StreamExt};
use jiff::{SignedDuration, Timestamp};

use crate::api::conditions::Reason;
use crate::gitlab::{BulkAnswer, Gate, Repository};
use crate::model::BulkDelete;
use crate::policy::audit::AuditVerdict;
use crate::policy::bulk::{keeping_attachments, parameters};
use crate::policy::bulk_ledger::{Blocked, eligible_after, eligible_after_unseen};
use crate::policy::bulk_remains::Remains;
use crate::policy::bulk_verification::PAUSES;
use crate::policy::compile::Rule;
use crate::policy::effect::Effect;
use crate::policy::in_use::RepositoryUse;
use crate::policy::limits::Exceeded;
use crate::policy::outcomes::bulk::{Listed, NotKept, Requested, already_requested, rate_limited, too_old, verified};
use crate::policy::outcomes::plan::{doubted, unresolved};
use crate::policy::plan::RemoveReason;
use crate::policy::plan::leftover::{Leftover, spared};
use crate::policy::plan::repository::Spared;
use crate::policy::repository_outcome::{OfAge, Outcome};
use crate::policy::tag::Ages;

use super::ahead::ahead;
use super::in_use_guard::Look;
use super::job::Job;
use super::plan_repositories::{delete_scheduled, not_planned};
use super::remains;
use super::report::{Halt, Report};
use super::trail::Line;
use crate::controller::hours;
use crate::controller::plan::archived::{closed, may_be_closed};
use crate::controller::plan::failure::Failure;
use crate::controller::plan::list_repositories::concerns_all;
use crate::controller::plan::newest::{self, Found};

/// Repositories that are listed at the same time. The pace per host is the real limit.
const LISTINGS_IN_FLIGHT: usize = 4;
/// A repository that is free again within this time is waited for: an hourly schedule would otherwise find it taken by
/// a few seconds every time.
const WORTH_WAITING: SignedDuration = SignedDuration::from_mins(2);
/// Names of tags that are kept in memory to see later which are gone; beyond it, what was requested is verified first.
const MAX_NAMES: usize = 200_000;

/// How often a request is prepared anew because other images came into use meanwhile.
const MAX_PREPARED: usize = 3;

/// A repository with something to remove.
struct Prepared {
    repository: Repository,
    /// What is in use of it.
    used: RepositoryUse,
    /// The pattern that keeps it, with what the policy keeps by name.
    keep: Option<String>,
    listed: Listed,
    /// Its tags of one moment that come of age soon.
    of_age: Option<OfAge>,
    /// What GitLab counts ages from.
    ages: Option<Ages>,
    /// Attachments that stay though the rule matches them.
    leftover: Option<Leftover>,
}

/// A repository whose tags were requested to be removed.
struct Pending {
    repository: Repository,
    requested: Requested,
}

/// What preparing a repository came to.
enum Step {
    Done(Outcome),
    Blocked(Blocked),
    Ready(Box<Prepared>),
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sent {
    /// There is nothing more to do about it.
    Done,
    /// It was not sent, since it did not spare what is in use.
    Withdrawn,
}

/// Requests the removal in every repository and looks at what went.
pub(super) async fn run(
    job: &Job<'_>,
    rule: &Rule,
    repositories: &[Repository],
    report: &mut Report,
) -> Result<(), Halt> {
    let age = job.client.age(repositories).await?;
    let (knows_keep, told) = (age.supports_keep_regex(), age.to_string());
    let Ok(request) = parameters(rule, &job.policy.protect, knows_keep) else {
        let too_old = |repository: &Repository| too_old(repository.into(), &told, NotKept::ByPattern);
        report.outcomes.extend(repositories.iter().map(too_old));
        return Ok(());
    };
    let keep = request.name_regex_keep.clone();
    let preparation = Preparation { job, rule, keep, knows_keep, version: told.clone() };
    let mut sender =
        Sender { job, rule, preparation: &preparation, request, report, pending: Vec::new(), traced: false };
    let steps = repositories.iter().map(|repository| preparation.step(repository));
    let sent = if job.policy.limits.over_run() {
        let all = all_first(stream::iter(steps).buffered(LISTINGS_IN_FLIGHT).boxed()).await?;
        let removable = all
            .iter()
            .map(|(_, step)| if let Ok(Step::Ready(ready)) = step { ready.listed.removable as u64 } else { 0 });
        match job.policy.limits.run(removable.sum()) {
            Ok(()) => sender.send_all(stream::iter(all).boxed()).await,
            Err(exceeded) => sender.refuse(&exceeded, all),
        }
    } else {
        ahead(LISTINGS_IN_FLIGHT, steps, |steps| sender.send_all(steps)).await
    };
    // What was requested so far is told with what is known of it, also where the run was halted.
    sender.verify().await;
    if sender.traced {
        hours::trace_end(job.context, job.namespace, &job.uid).await;
    }
    sent
}

/// What preparing a repository came to, or why it was not prepared.
type Prepares<'r> = (&'r Repository, Result<Step, Failure>);

/// Prepares all repositories: nothing is requested before it is known how much would go altogether.
async fn all_first<'r>(mut steps: BoxStream<'_, Prepares<'r>>) -> Result<Vec<Prepares<'r>>, Halt> {
    let mut all = Vec::new();
    while let Some((repository, step)) = steps.next().await {
        match step {
            Err(Failure::InUse(unknown)) => return Err(unknown.into()),
            step => all.push((repository, step)),
        }
    }
    Ok(all)
}

/// What preparing a request needs.
struct Preparation<'a> {
    job: &'a Job<'a>,
    rule: &'a Rule,
    /// The pattern of what the policy keeps by name.
    keep: Option<String>,
    knows_keep: bool,
    /// The server's age.
    version: String,
}

impl Preparation<'_> {
    async fn step<'r>(&self, repository: &'r Repository) -> Prepares<'r> {
        (repository, self.prepare(repository).await)
    }

    /// The same, anew where it was not known for a moment what is in use.
    async fn prepare(&self, repository: &Repository) -> Result<Step, Failure> {
        loop {
            match self.prepare_once(repository.clone()).await {
                Err(Failure::InUse(lost)) => self.job.regain(lost).await?,
                prepared => return prepared,
            }
        }
    }

    /// Lists a repository and decides whether there is anything to request.
    async fn prepare_once(&self, repository: Repository) -> Result<Step, Failure> {
        let Self { job, rule, .. } = *self;
        if let Some(outcome) = delete_scheduled(&repository) {
            return Ok(Step::Done(outcome));
        }
        let now = job.context.clock.now();
        if let Some(blocked) =
            job.blocked(&repository).filter(|blocked| blocked.until.duration_since(now) > WORTH_WAITING)
        {
            return Ok(Step::Blocked(blocked));
        }
        let Looked { names, used, in_use: spared, keep, planned, protected, found, leftover } =
            match self.list(&repository).await? {
                Ok(listed) => listed,
                Err(left_alone) => return Ok(Step::Done(left_alone)),
            };
        job.note_effect(repository.id, &Effect::of_names(names.iter().map(AsRef::as_ref), job.policy));
        let listed = Listed { protected, ..Listed::of(names, rule, job.policy, &spared, planned) };
        let doubted = |doubt, of_age, ages| {
            Step::Done(Outcome { tags: listed.counts(0), of_age, ages, ..doubted((&repository).into(), &doubt) })
        };
        if let Some(Found { doubt: Some(doubt), of_age, ages }) = found {
            return Ok(doubted(doubt, of_age, ages));
        }
        if let Some(refused) = listed.refused((&repository).into(), job.policy, leftover) {
            return Ok(Step::Done(Outcome { ages: found.and_then(|found| found.ages), ..refused }));
        }
        let (of_age, ages) = match found {
            Some(found) => (found.of_age, found.ages),
            None => match newest::look(&job.planner(), rule, &repository, &spared).await? {
                Found { doubt: Some(doubt), of_age, ages } => return Ok(doubted(doubt, of_age, ages)),
                Found { doubt: None, of_age, ages } => (of_age, ages),
            },
        };
        Ok(Step::Ready(Box::new(Prepared { repository, used, keep, listed, of_age, ages, leftover })))
    }

    /// Lists a repository, and plans it where that matters; or why it is left alone.
    async fn list(&self, repository: &Repository) -> Result<Result<Looked, Outcome>, Failure> {
        let Self { job, rule, .. } = *self;
        let (limits, protect) = (&job.policy.limits, job.policy.protect.as_slice());
        let keep = |leftover: Option<Leftover>| match leftover {
            Some(_) => Some(keeping_attachments(self.keep.as_deref())),
            None => self.keep.clone(),
        };
        let too_old_for = |attachments: bool| {
            (attachments && !self.knows_keep).then(|| too_old(repository.into(), &self.version, NotKept::Attachments))
        };
        let used = job.planner().used(repository)?;
        if !limits.any() && used.is_empty() {
            let names = job.client.tag_names(&repository.reference()).await?;
            job.planner().reader.note_read(names.len());
            if let Some(left_alone) = too_old_for(names.iter().any(|name| spared(name, rule, protect))) {
                return Ok(Err(left_alone));
            }
            let leftover = job.planner().leftover(rule, repository, names.iter().map(AsRef::as_ref)).await?;
            let keep = keep(leftover);
            let in_use = BTreeSet::new();
            return Ok(Ok(Looked { names, used, in_use, keep, planned: None, protected: 0, found: None, leftover }));
        }
        let plan = job.planner().bulk(rule, repository).await?;
        let leftover = plan.leftover;
        if let Some(left_alone) = too_old_for(leftover.is_some()) {
            return Ok(Err(left_alone));
        }
        // What the request spares is what this plan knew of.
        let used = plan.claims.of().clone();
        let Spared { in_use, keep } = match plan.spared(rule, protect, keep(leftover).as_deref(), self.knows_keep) {
            Ok(spared) => spared,
            Err(message) => return Ok(Err(unresolved(repository.into(), message))),
        };
        let found = Some(newest::in_plan(&job.planner(), rule, repository, &plan).await?);
        let protected = plan.tags.protected();
        let planned = Some(plan.tags.removed().count()).filter(|_| limits.any() || protected > 0);
        let names = plan.tags.read.into_iter().map(|planned| planned.tag.name).collect();
        Ok(Ok(Looked { names, used, in_use, keep, planned, protected, found, leftover }))
    }
}

/// The tags of a repository, and what a plan found out where one was made.
struct Looked {
    names: Vec<Box<str>>,
    /// What is in use of it.
    used: RepositoryUse,
    /// The tags that are.
    in_use: BTreeSet<Box<str>>,
    /// The pattern that keeps them, with what the policy keeps by name.
    keep: Option<String>,
    /// How many tags would go, where that has to be known.
    planned: Option<usize>,
    /// How many of the others GitLab is known to protect.
    protected: usize,
    found: Option<Found>,
    /// Attachments that stay though the rule matches them.
    leftover: Option<Leftover>,
}

/// Sends the requests and keeps track of them.
struct Sender<'a> {
    job: &'a Job<'a>,
    rule: &'a Rule,
    preparation: &'a Preparation<'a>,
    request: BulkDelete,
    report: &'a mut Report,
    pending: Vec<Pending>,
    /// Whether there is a trace of its requests beside the status.
    traced: bool,
}

impl Sender<'_> {
    /// Requests what is ready, and at the end what had to wait for a repository that is free again in a moment.
    async fn send_all(&mut self, mut steps: BoxStream<'_, Prepares<'_>>) -> Result<(), Halt> {
        let mut later = VecDeque::new();
        while let Some((repository, step)) = steps.next().await {
            self.take(repository, step, &mut later).await?;
        }
        while let Some((until, prepared)) = later.pop_front() {
            self.job.gate.sleep_until(until).await;
            self.send(prepared).await?;
        }
        Ok(())
    }

    async fn take(
        &mut self,
        repository: &Repository,
        step: Result<Step, Failure>,
        later: &mut VecDeque<(Timestamp, Prepared)>,
    ) -> Result<(), Halt> {
        let Some(prepared) = self.note(repository, step)? else { return Ok(()) };
        let now = self.job.context.clock.now();
        match self.job.blocked(repository) {
            None => self.send(prepared).await?,
            // Another policy was quicker than this run, which will not wait for the hour.
            Some(blocked) if blocked.until.duration_since(now) > WORTH_WAITING => {
                self.skip_rate_limited(repository, &blocked);
            }
            Some(blocked) => later.push_back((blocked.until, prepared)),
        }
        Ok(())
    }

    /// Takes note of what preparing a repository came to; answers what is ready to be requested.
    fn note(&mut self, repository: &Repository, step: Result<Step, Failure>) -> Result<Option<Prepared>, Halt> {
        match step {
            Ok(Step::Ready(prepared)) => return Ok(Some(*prepared)),
            Ok(Step::Done(outcome)) => self.report.outcomes.push(outcome),
            Ok(Step::Blocked(blocked)) => self.skip_rate_limited(repository, &blocked),
            Err(Failure::InUse(unknown)) => return Err(unknown.into()),
            Err(Failure::GitLab(error)) if concerns_all(&error) => return Err(error.into()),
            Err(failure) => self.fail(repository, &failure),
        }
        Ok(None)
    }

    /// Leaves a repository alone that is reserved, and notes the policy if it is another one.
    fn skip_rate_limited(&mut self, repository: &Repository, blocked: &Blocked) {
        if blocked.owner != self.job.name_of_owner && !blocked.forgotten {
            self.report.overlaps.push((repository.path.clone(), blocked.owner.clone()));
        }
        let host = self.job.policy.base_url.host_str().unwrap_or_default();
        self.job.context.gitlab.metrics().hourly_limit(host);
        self.report.outcomes.push(rate_limited(repository.into(), blocked));
    }

    /// Requests the deletion. What no longer spares all that is in use by the time it could leave is prepared anew.
    async fn send(&mut self, mut prepared: Prepared) -> Result<(), Halt> {
        let repository = prepared.repository.clone();
        for attempt in 1..=MAX_PREPARED {
            if self.send_once(prepared).await? == Sent::Done {
                return Ok(());
            }
            if attempt == MAX_PREPARED {
                break;
            }
            let step = self.preparation.prepare(&repository).await;
            match self.note(&repository, step)? {
                Some(anew) => prepared = anew,
                None => return Ok(()),
            }
        }
        let message = "which of its images are in use went on changing while the request was prepared";
        self.report.outcomes.push(unresolved((&repository).into(), message.to_owned()));
        Ok(())
    }

    /// Sends one request. The repository is reserved before it leaves, so no other run can send one meanwhile.
    async fn send_once(&mut self, prepared: Prepared) -> Result<Sent, Halt> {
        let job = self.job;
        let repository = &prepared.repository;
        self.leave_trace().await;
        let reserved = job.context.ledger().reserve(job.key(repository), job.owner(), job.context.clock.now());
        if let Err(blocked) = reserved {
            self.skip_rate_limited(repository, &blocked);
            return Ok(Sent::Done);
        }
        let request = BulkDelete { name_regex_keep: prepared.keep.clone(), ..self.request.clone() };
        let spared = prepared.used.clone();
        let (client, look) = Look::at(job, repository, move |now| spared.includes(now));
        match client.bulk_delete(&repository.reference(), &request).await {
            Ok(BulkAnswer::Accepted { at }) => {
                job.context.ledger().requested(job.key(repository), job.owner(), eligible_after(at));
                self.accepted(prepared, None).await;
            }
            Ok(BulkAnswer::AlreadyRequested { at }) => {
                let until = eligible_after(at);
                job.context.ledger().requested(job.key(repository), job.owner(), until);
                let outcome = already_requested(repository.into(), until, prepared.listed.scanned);
                self.report.outcomes.push(outcome);
            }
            Err(error) if error.is_answer_lost() => {
                // GitLab may be at it still.
                let until = eligible_after_unseen(job.context.clock.now(), job.policy.timeout);
                job.context.ledger().requested(job.key(repository), job.owner(), until);
                let lost = format!("{error}; no other is sent before {until}");
                self.accepted(prepared, Some(lost)).await;
            }
            Err(error) => {
                job.context.ledger().release(job.key(repository));
                if let (true, Some(look)) = (error.is_withdrawn(), look) {
                    if let Err(lost) = look.found() {
                        job.regain(lost).await?;
                    }
                    // What was found is in the index, and so in what is prepared next.
                    return Ok(Sent::Withdrawn);
                }
                if concerns_all(&error) {
                    return Err(error.into());
                }
                let repository = prepared.repository;
                if may_be_closed(&error)
                    && let Some(closed) = closed(&job.client, &repository).await?
                {
                    self.report.outcomes.push(closed);
                    return Ok(Sent::Done);
                }
                self.fail(&repository, &Failure::GitLab(error));
            }
        }
        Ok(Sent::Done)
    }

    /// Leaves a trace of what this run may request, before it does.
    async fn leave_trace(&mut self) {
        let job = self.job;
        if !self.traced {
            self.traced = true;
            let until = eligible_after_unseen(job.gate.deadline().unwrap_or(Timestamp::MAX), job.policy.timeout);
            hours::trace(job.context, job.namespace, &job.uid, until).await;
        }
    }

    async fn accepted(&mut self, prepared: Prepared, lost: Option<String>) {
        let Prepared { repository, listed, of_age, ages, leftover, .. } = prepared;
        for tag in &listed.candidates {
            self.leave(&repository, tag, AuditVerdict::Candidate);
        }
        let requested = Requested { ages, ..Requested::new(listed, of_age, leftover, lost) };
        self.job.progress.requested(requested.tags.requested);
        self.pending.push(Pending { repository, requested });
        let names = self.pending.iter().map(|pending| pending.requested.watch.len()).sum();
        self.job.gate.holds(names);
        if names > MAX_NAMES {
            self.verify().await;
        }
    }

    fn leave(&self, repository: &Repository, tag: &str, verdict: AuditVerdict) {
        let rule = Some(self.rule.name.as_str());
        let line = Line::new(tag, verdict, RemoveReason::RuleMatches.as_str());
        self.job.trail.tag(repository, Line { rule, ..line });
    }

    fn fail(&mut self, repository: &Repository, why: &Failure) {
        self.report.outcomes.push(not_planned(repository, why));
    }

    /// Lists what was requested again, a bounded number of times with growing pauses, until the numbers settle.
    async fn verify(&mut self) {
        let job = self.job;
        for pause in PAUSES {
            if self.pending.iter().all(|pending| pending.requested.watch.settled()) || job.gate.stop().is_some() {
                break;
            }
            let pause = SignedDuration::try_from(pause).unwrap_or_default();
            job.gate.sleep_until(job.context.clock.now().checked_add(pause).unwrap_or(Timestamp::MAX)).await;
            for pending in self.pending.iter_mut().filter(|pending| !pending.requested.watch.settled()) {
                let listing = job.client.tag_names(&pending.repository.reference()).await;
                pending.requested.watch.observe(listing.ok().as_deref());
                if job.gate.stop().is_some() {
                    break;
                }
            }
        }
        let aged = self.rule.older_than.is_some();
        let mut outcomes = Vec::new();
        for Pending { repository, requested } in std::mem::take(&mut self.pending) {
            let remains = if requested.wants_look(aged) && job.gate.stop().is_none() {
                remains::look(job, self.rule, &repository, &requested).await
            } else {
                Remains::default()
            };
            for tag in requested.watch.gone() {
                self.leave(&repository, tag, AuditVerdict::Remove);
            }
            let again = job.unconfirmed.contains(&repository.id);
            outcomes.push(verified((&repository).into(), requested, aged, &remains, again));
        }
        job.progress.removed(outcomes.iter().map(|outcome| outcome.tags.confirmed).sum(), 0);
        self.report.outcomes.extend(outcomes);
    }

    /// Ends the run before anything was requested.
    fn refuse(&mut self, exceeded: &Exceeded, steps: Vec<Prepares<'_>>) -> Result<(), Halt> {
        for (repository, step) in steps {
            if let Some(prepared) = self.note(repository, step)? {
                self.report.outcomes.push(prepared.listed.over_run(repository.into()));
            }
        }
        Err(Halt::Refused { reason: Reason::DeletionLimitExceeded, message: exceeded.to_string() })
    }
}
