//! One run: begin, work, finish. Nothing skips finish once begin happened.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, tz};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use crate::api::conditions::reason;
use crate::api::{
    EmptyRepository, Mode, PendingApproval, RegistryCleanupPolicy, RepositoryResult, RepositoryStatus, RunResult,
    RunStatus, Trigger,
};
use crate::cluster::status;
use crate::gitlab::{Class, Client, Error as GitLabError, Repository};
use crate::policy::announce::{self, Announcement, event_reason};
use crate::policy::outcome::{End, Outcome, Proposal, Stop, repository_reason};
use crate::policy::report;
use crate::policy::standing::{self, Findings};
use crate::policy::{CompiledPolicy, Method, hour};

use super::context::Context;
use super::gate::{RunGate, StillCurrent};
use super::planner::Planner;
use super::usage::{Unknown, Usage};
use super::watch::chain;
use super::{Error, bulk, conflicts, empty, exact, preview, reconcile, session, targets};

/// How often, and with which pauses in seconds, the status of a finished run is written before giving up. What is lost then
/// are numbers: the status still says Running, and the next look makes Interrupted of it.
const FINISH_PAUSES: [u64; 4] = [1, 2, 4, 8];

/// How far GitLab's clock and ours may be apart. The shortest age that a rule can have is an hour.
pub(crate) const CLOCKS_MAY_DIFFER: SignedDuration = SignedDuration::from_mins(5);

/// What to run, decided by `policy::next_action`.
pub(crate) struct Order<'a> {
    pub(crate) policy: &'a CompiledPolicy,
    pub(crate) trigger: Trigger,
    pub(crate) mode: Mode,
    pub(crate) slot: Option<Timestamp>,
    pub(crate) still_current: StillCurrent,
}

/// What a run is to do.
pub(crate) enum Task {
    /// Plan and tell.
    Preview,
    /// Plan as of this moment, and let the plan wait for an approval.
    Propose(Timestamp),
    /// Remove what the rules select.
    Remove,
    /// Remove exactly what was approved.
    CarryOut(Approval),
}

/// A plan that was approved.
pub(crate) struct Approval {
    pub(crate) plan: PendingApproval,
    /// What the status said of the repositories then.
    pub(crate) before: Vec<RepositoryStatus>,
}

impl Task {
    fn new(order: &Order<'_>, live: &RegistryCleanupPolicy, started: Timestamp) -> Self {
        let status = live.status.as_ref();
        let pending = status.and_then(|status| status.pending_approval.clone());
        match (order.mode, order.trigger, pending) {
            (Mode::DryRun, ..) => Self::Preview,
            (Mode::Delete, Trigger::Approved, Some(plan)) => {
                let before = status.map(|status| status.repositories.clone()).unwrap_or_default();
                Self::CarryOut(Approval { plan, before })
            }
            (Mode::Delete, Trigger::Schedule | Trigger::RunRequested | Trigger::DryRunRequested, _) => Self::Remove,
            // To the second, which is what a status can hold. An approval without a plan proposes one.
            (Mode::RequireApproval, ..) | (Mode::Delete, Trigger::Approved, None) => {
                Self::Propose(Timestamp::from_second(started.as_second()).unwrap_or(started))
            }
        }
    }

    /// The moment as of which is planned, if it is not now.
    pub(crate) fn as_of(&self) -> Option<Timestamp> {
        match self {
            Self::Preview | Self::Remove => None,
            Self::Propose(at) => Some(*at),
            Self::CarryOut(approval) => Some(approval.plan.time.0),
        }
    }

    /// Whether everything is planned before anything happens.
    pub(crate) fn plans_first(&self) -> bool {
        self.as_of().is_some()
    }

    /// Whether the audit trail gets the verdict on every tag; otherwise what became of those that were to go.
    pub(crate) fn tells_every_tag(&self) -> bool {
        matches!(self, Self::Preview | Self::Propose(_))
    }
}

/// A run under way, as its parts need it.
pub(crate) struct Job<'a> {
    pub(crate) context: &'a Context,
    pub(crate) client: Client,
    pub(crate) policy: &'a CompiledPolicy,
    pub(crate) task: Task,
    /// Which images are in use, where the policy wants to know.
    pub(crate) usage: Option<Arc<Usage>>,
    pub(crate) mode: Mode,
    pub(crate) generation: i64,
    pub(crate) gate: Arc<RunGate>,
    pub(crate) id: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// `namespace/name`, for the ledger.
    pub(crate) owner: String,
    /// Address of the instance, for the ledger.
    pub(crate) instance: String,
}

/// What ends a run before its end.
#[derive(Debug)]
pub(crate) enum Halt {
    /// An error of GitLab that concerns all of it.
    GitLab(GitLabError),
    /// It is not known which images are in use.
    InUseUnknown(Unknown),
    /// GitLab's clock is this far ahead of ours, so that ages cannot be told.
    ClocksDiffer(SignedDuration),
}

impl From<GitLabError> for Halt {
    fn from(error: GitLabError) -> Self {
        Self::GitLab(error)
    }
}

impl From<Unknown> for Halt {
    fn from(unknown: Unknown) -> Self {
        Self::InUseUnknown(unknown)
    }
}

/// What a run, or a part of it, came to.
pub(crate) struct Work {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) end: End,
    /// What the run found out about the token, if that differs from what it began with.
    pub(crate) findings: Option<Findings>,
    /// Repositories that another policy has spoken for: path and policy.
    pub(crate) overlaps: Vec<(String, String)>,
    /// What becomes of the plan that waits for an approval.
    pub(crate) proposal: Proposal,
    /// The repositories that are watched because they are empty; `None` where the run has nothing to say about it.
    pub(crate) watched: Option<Vec<EmptyRepository>>,
    /// The projects with a cleanup policy of GitLab's own; `None` where the run has nothing to say about it.
    pub(crate) conflicts: Option<Vec<String>>,
}

impl Work {
    pub(crate) fn completed(outcomes: Vec<Outcome>) -> Self {
        Self {
            outcomes,
            end: End::Completed,
            findings: None,
            overlaps: Vec::new(),
            proposal: Proposal::AsBefore,
            watched: None,
            conflicts: None,
        }
    }
}

impl Job<'_> {
    pub(crate) fn planner(&self) -> Planner<'_> {
        Planner {
            usage: self.usage.as_deref(),
            client: &self.client,
            clock: &*self.context.clock,
            policy: self.policy,
            as_of: self.task.as_of(),
            everything: false,
            read: None,
        }
    }

    /// A repository as the ledger knows it.
    pub(crate) fn key<'k>(&'k self, repository: &'k Repository) -> hour::Repository<'k> {
        hour::Repository { instance: &self.instance, id: repository.id, path: &repository.path }
    }

    /// Ends the work because of an error that concerns all of it: what was not reached says so.
    pub(crate) fn halt(&self, mut work: Work, halt: &Halt, rest: &[Repository]) -> Work {
        for repository in rest {
            let result = RepositoryResult::Skipped;
            let reason = Some(repository_reason::NOT_REACHED);
            work.outcomes.push(Outcome::new(&repository.path, repository.id, result, reason));
        }
        let error = match halt {
            Halt::GitLab(error) => error,
            // An operator that ends stops watching as well.
            Halt::InUseUnknown(unknown) => {
                let aborted = End::Aborted { reason: reason::IN_USE_UNKNOWN, message: unknown.to_string() };
                work.end = self.gate.stop().map_or(aborted, End::Stopped);
                return work;
            }
            Halt::ClocksDiffer(ahead) => {
                let by = SignedDuration::from_mins((ahead.abs().as_secs() + 30) / 60);
                let whose = if ahead.is_negative() { "behind" } else { "ahead of" };
                let message = format!(
                    "GitLab's clock is {by:#} {whose} the operator's, so ages cannot be told: set the clock that is wrong"
                );
                work.end = End::Aborted { reason: reason::CLOCKS_DIFFER, message };
                return work;
            }
        };
        if error.class() == Class::Stopped {
            // The client looks at the deadline as well, a moment ahead of the gate.
            work.end = End::Stopped(self.gate.stop().unwrap_or(Stop::Deadline));
        } else {
            let findings = session::from_error(error);
            work.end = aborted(&findings);
            work.findings = Some(findings);
        }
        work
    }

    /// One line of the audit trail.
    pub(crate) fn audit(
        &self,
        repository: &Repository,
        tag: &str,
        verdict: &str,
        reason: &str,
        rule: Option<&str>,
        used_by: Option<&str>,
    ) {
        tracing::info!(
            target: "audit",
            run = self.id,
            namespace = self.namespace,
            policy = self.name,
            project = repository.project_path(),
            repository = repository.path,
            tag,
            mode = self.mode.as_str(),
            verdict,
            reason,
            rule,
            used_by,
            "tag"
        );
    }

    /// One line of the audit trail about a repository as a whole.
    pub(crate) fn audit_repository(&self, repository: &Repository, verdict: &str, reason: &str) {
        tracing::info!(
            target: "audit",
            run = self.id,
            namespace = self.namespace,
            policy = self.name,
            project = repository.project_path(),
            repository = repository.path,
            mode = self.mode.as_str(),
            verdict,
            reason,
            "repository"
        );
    }
}

/// Carries a run out and answers the policy as it then stands.
///
/// # Errors
/// When the status could not be written: before the run, and then nothing was done; or after it, and then the next look finds
/// it still running and records an interruption.
pub(crate) async fn execute(
    context: &Context,
    live: &RegistryCleanupPolicy,
    order: Order<'_>,
) -> Result<RegistryCleanupPolicy, Error> {
    let (namespace, name) = (live.namespace().ok_or(Error::Nameless)?, live.name_any());
    let started = context.clock.now();
    let deadline = started.checked_add(order.policy.active_deadline).unwrap_or(Timestamp::MAX);
    let id = run_id(started, order.trigger);
    let begun = begin(context, live, &order, &id, started, deadline).await?;
    tracing::info!(
        run = id, %namespace, policy = name, trigger = order.trigger.as_str(), mode = order.mode.as_str(), "run begins"
    );

    let gate =
        RunGate::new(Arc::clone(&context.clock), deadline, context.shutdown.clone(), Arc::clone(&order.still_current));
    let gate = Arc::new(gate);
    let others_before = live.status.as_ref().and_then(|status| status.others_eligible_time.as_ref()).map(|time| time.0);
    let base = Base { context, live: &begun, others_before, namespace: &namespace, name: &name, id: &id };
    let (work, findings) = if begun.metadata.generation == live.metadata.generation {
        work(&base, &order, Task::new(&order, live, started), gate).await
    } else {
        // Edited between the last look and the write-ahead: the server itself says so, ahead of any watch.
        let stopped = Work { end: End::Stopped(Stop::PolicyChanged), ..Work::completed(Vec::new()) };
        (stopped, session::not_asked("the policy was edited".to_owned()))
    };
    finish(&base, &order, work, findings).await
}

/// What every step of a run knows.
struct Base<'a> {
    context: &'a Context,
    live: &'a RegistryCleanupPolicy,
    /// `othersEligibleTime` from before the run.
    others_before: Option<Timestamp>,
    namespace: &'a str,
    name: &'a str,
    id: &'a str,
}

/// Writes ahead what is about to happen: a crash from here on is an interruption, never a second run.
async fn begin(
    context: &Context,
    live: &RegistryCleanupPolicy,
    order: &Order<'_>,
    id: &str,
    started: Timestamp,
    deadline: Timestamp,
) -> Result<RegistryCleanupPolicy, Error> {
    let generation = live.metadata.generation.unwrap_or_default();
    let mut status = live.status.clone().unwrap_or_default();
    standing::note_trigger(&mut status, order.trigger, order.slot, reconcile::tokens(live));
    if !order.policy.suspended {
        standing::arm(&mut status, order.policy, generation, started);
    }
    let run = RunStatus {
        id: id.to_owned(),
        trigger: order.trigger,
        mode: order.mode,
        method: Some(order.policy.method.name()),
        gitlab: order.policy.base_url.to_string(),
        observed_generation: generation,
        start_time: Time(started),
        completion_time: None,
        result: RunResult::Running,
        summary: None,
        message: None,
        repositories: crate::api::RepositoryCounts::default(),
        tags: crate::api::TagCounts::default(),
        bytes: None,
    };
    report::begin(&mut status, run, deadline);
    let namespace = live.namespace().ok_or(Error::Nameless)?;
    Ok(status::write(&context.policies(&namespace), live, &status).await?)
}

async fn work(base: &Base<'_>, order: &Order<'_>, task: Task, gate: Arc<RunGate>) -> (Work, Findings) {
    let spec = &base.live.spec.gitlab;
    let opened =
        session::open(base.context, base.namespace, spec, order.policy, order.mode, Arc::clone(&gate) as Arc<_>).await;
    let session = match opened {
        Ok(Ok(session)) => session,
        Ok(Err(findings)) => {
            let end = gate.stop().map_or_else(|| aborted(&findings), End::Stopped);
            return (Work { end, ..Work::completed(Vec::new()) }, findings);
        }
        Err(error) => {
            let findings = session::not_asked(chain(&error));
            return (Work { end: aborted(&findings), ..Work::completed(Vec::new()) }, findings);
        }
    };
    let mut job = Job {
        context: base.context,
        client: session.client,
        policy: order.policy,
        task,
        usage: None,
        mode: order.mode,
        generation: base.live.metadata.generation.unwrap_or_default(),
        gate,
        id: base.id,
        namespace: base.namespace,
        name: base.name,
        owner: format!("{}/{}", base.namespace, base.name),
        instance: order.policy.base_url.to_string(),
    };
    let mut findings = session.findings;
    let found = match targets::list(&job.client, &order.policy.target).await {
        Ok(found) => found,
        Err(error) => {
            let work = job.halt(Work::completed(Vec::new()), &error.into(), &[]);
            let findings = work.findings.clone().unwrap_or(findings);
            return (work, findings);
        }
    };
    let not_found = found
        .failed
        .iter()
        .filter(|outcome| matches!(outcome.reason, Some(repository_reason::NOT_FOUND | repository_reason::FORBIDDEN)));
    if not_found.count() == found.asked {
        let message = found
            .failed
            .first()
            .and_then(|outcome| outcome.message.as_ref().map(|message| format!("{}: {message}", outcome.path)));
        findings.trouble = Some((reason::TARGET_NOT_FOUND, message.unwrap_or_default()));
    } else if let Some(failed) = found.failed.first() {
        findings.remark =
            Some(format!("{} of {} targets cannot be listed, {}", found.failed.len(), found.asked, failed.path));
    }
    if let Some(ahead) = job.client.clock_ahead().filter(|ahead| ahead.abs() > CLOCKS_MAY_DIFFER) {
        let mut work = job.halt(Work::completed(Vec::new()), &Halt::ClocksDiffer(ahead), &found.repositories);
        work.outcomes.extend(found.failed);
        return (work, findings);
    }
    match Usage::open(base.context, base.namespace, order.policy, &found.repositories).await {
        Ok(usage) => job.usage = usage.map(Arc::new),
        Err(unknown) => {
            let mut work = job.halt(Work::completed(Vec::new()), &unknown.into(), &found.repositories);
            work.outcomes.extend(found.failed);
            return (work, findings);
        }
    }
    let mut work = match (&order.policy.method, &job.task) {
        (_, Task::Preview | Task::Propose(_)) => preview::run(&job, &found.repositories).await,
        (Method::Bulk(rule), _) => bulk::run(&job, rule, found.repositories.clone()).await,
        (Method::Exact(_), _) => exact::run(&job, &found.repositories).await,
    };
    let before = base.live.status.as_ref();
    let watched = before.map(|status| status.empty_repositories.as_slice()).unwrap_or_default();
    let previews = order.trigger == Trigger::DryRunRequested;
    work = empty::run(&job, &found.repositories, watched, previews, work).await;
    if work.end == End::Completed {
        let named = before.map(|status| status.projects_with_cleanup_policy.as_slice()).unwrap_or_default();
        let uid = base.live.uid().unwrap_or_default();
        work.conflicts = Some(conflicts::look(&job, &uid, &found.repositories, named).await);
    }
    work.outcomes.extend(found.failed);
    let findings = work.findings.clone().unwrap_or(findings);
    (work, findings)
}

/// Writes what happened. Tried several times, since it is the only trace in the cluster.
async fn finish(
    base: &Base<'_>,
    order: &Order<'_>,
    work: Work,
    findings: Findings,
) -> Result<RegistryCleanupPolicy, Error> {
    let Base { context, live, .. } = base;
    let now = context.clock.now();
    let generation = live.metadata.generation.unwrap_or_default();
    let mut status = live.status.clone().unwrap_or_default();
    log_failures(base, &work.outcomes);
    let outcomes = with_hours(base, order, work.outcomes, now);
    if let Some(watched) = work.watched {
        status.empty_repositories = watched;
    }
    if let Some(conflicts) = work.conflicts {
        status.projects_with_cleanup_policy = conflicts;
    }
    let limit = live.spec.history_limit;
    report::finish(&mut status, base.others_before, outcomes, &work.end, work.proposal, limit, now);
    if !matches!(work.end, End::Stopped(_)) {
        // A run that was stopped says nothing about the credentials.
        standing::checked(&mut status, order.policy, &findings, generation, now);
        let healthy = findings.trouble.is_none();
        context.memory().note_check(&live.uid().unwrap_or_default(), generation, now, healthy);
    }
    log_end(base, &status);
    reconcile::log_standing(live, &status);
    let mut events = announce::transitions(live.status.as_ref().unwrap_or(&status), &status);
    events.extend(announce::run_ended(&status));
    events.extend(overlap(&work.overlaps));

    let policies = context.policies(base.namespace);
    let mut pauses = FINISH_PAUSES.into_iter();
    let written = loop {
        match (status::write(&policies, live, &status).await, pauses.next()) {
            (Ok(written), _) => break written,
            (Err(error), Some(pause)) if !error.is_gone() => {
                tracing::warn!(run = base.id, error = %chain(&error), "the status of a finished run is tried again");
                context.clock.sleep(std::time::Duration::from_secs(pause)).await;
            }
            (Err(error), _) => return Err(error.into()),
        }
    };
    reconcile::publish(context, &written, events, &format!("Run-{}", base.id)).await;
    Ok(written)
}

/// Says of every repository from when on it may get a bulk deletion, if that lies ahead: the status is all that is left of it
/// after a restart, and a repository that it names without a time is free.
fn with_hours(base: &Base<'_>, order: &Order<'_>, outcomes: Vec<Outcome>, now: Timestamp) -> Vec<Outcome> {
    let instance = order.policy.base_url.to_string();
    let ledger = base.context.ledger();
    let until = |outcome: &Outcome| {
        let repository = hour::Repository { instance: &instance, id: outcome.id, path: &outcome.path };
        ledger.blocked(repository, now).map(|blocked| blocked.until)
    };
    let with_hour = |outcome: Outcome| Outcome { eligible: outcome.eligible.or_else(|| until(&outcome)), ..outcome };
    // A project or group that could not be listed is no repository.
    outcomes.into_iter().map(|outcome| if outcome.id == 0 { outcome } else { with_hour(outcome) }).collect()
}

fn log_failures(base: &Base<'_>, outcomes: &[Outcome]) {
    for outcome in outcomes.iter().filter(|outcome| outcome.result == RepositoryResult::Failed) {
        tracing::warn!(
            run = base.id,
            namespace = base.namespace,
            policy = base.name,
            repository = outcome.path,
            reason = outcome.reason.unwrap_or_default(),
            detail = outcome.message.as_deref().unwrap_or_default(),
            "repository failed"
        );
    }
}

fn log_end(base: &Base<'_>, status: &crate::api::PolicyStatus) {
    let Some(run) = &status.last_run else { return };
    let took = run.completion_time.as_ref().map_or(SignedDuration::ZERO, |end| end.0.duration_since(run.start_time.0));
    tracing::info!(
        run = base.id,
        namespace = base.namespace,
        policy = base.name,
        mode = run.mode.as_str(),
        result = run.result.as_str(),
        seconds = took.as_secs_f64(),
        repositories = run.repositories.total,
        scanned = run.tags.scanned,
        matched = run.tags.matched,
        requested = run.tags.requested,
        confirmed = run.tags.confirmed,
        in_use = run.tags.in_use,
        detail = run.message.as_deref().unwrap_or_default(),
        "run ended"
    );
}

/// One event about repositories that more than one policy looks after.
fn overlap(overlaps: &[(String, String)]) -> Option<Announcement> {
    let (path, owner) = overlaps.first()?;
    let others = overlaps.len() - 1;
    let more = if others == 0 { String::new() } else { format!(" and {others} more") };
    let note = format!("{path}{more}: {owner} asked GitLab to clean it within the hour, so this run left it alone");
    Some(Announcement::warning(event_reason::POLICY_OVERLAP, note))
}

fn aborted(findings: &Findings) -> End {
    let (reason, message) = session::obstacle(findings);
    End::Aborted { reason, message }
}

/// Names a run by when it began and why: two runs of one policy cannot begin in the same second for the same reason.
fn run_id(started: Timestamp, trigger: Trigger) -> String {
    let time = started.to_zoned(tz::TimeZone::UTC).strftime("%Y%m%d-%H%M%S").to_string();
    let suffix = match trigger {
        Trigger::Schedule => "scheduled",
        Trigger::RunRequested => "requested",
        Trigger::DryRunRequested => "preview",
        Trigger::Approved => "approved",
    };
    format!("{time}-{suffix}")
}
