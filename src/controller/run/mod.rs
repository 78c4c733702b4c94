//! One run, on one page: begin, work, finish. Nothing skips `finish` once `begin` has written the record of the run.
//!
//! Steps add to the [`Report`] and return a [`Halt`] when something ends the run early. The run writes its record at
//! the beginning, `keep_record` renews it, and `notify` writes what it came to.

mod ahead;
mod attachments;
mod begin;
mod bulk;
mod check_tags;
mod check_together;
mod cleanup_policies;
mod dry_run;
mod empty_repositories;
mod exact;
mod finish;
mod in_use_guard;
mod job;
mod keep_record;
mod pass_over;
mod places;
pub(super) mod plan_repositories;
mod regain;
mod remains;
mod remove_tags;
mod remove_together;
mod report;
mod trail;

use std::sync::Arc;

use kube::ResourceExt;
use tracing::Instrument;

use crate::api::{Mode, RegistryCleanupPolicy};
use crate::causes::chain;
use crate::gitlab::{Budget, Client, Repository};
use crate::policy::Method;
use crate::policy::bulk_ledger::registry_of;
use crate::policy::events::{Announcement, EventReason};
use crate::policy::outcomes::end::{clocks_differ, others_unknown};
use crate::policy::overlap::Overlap;
use crate::policy::request_budget::{self, Allowance};
use crate::policy::run_order;

use super::connect::{self, Session};
use super::context::Context;
use super::error::Error;
use super::hours;
use super::notify::{commit_end, publish};
use super::permits::Permit;
use super::plan::effects;
use super::plan::list_repositories::{self, Found};
use job::{Job, Run, Task};
use keep_record::Keeper;
use report::{Halt, Report};

pub use check_tags::{NEWEST_PUSHES_HOLD, TAGS_NOW_HOLD};
pub(crate) use job::Order;

/// Carries a run out with its permit, writes what it came to, and answers the policy as it then stands, if it still is
/// there.
///
/// # Errors
/// When the record of the run could not be written, and then nothing was done; or when its end could not be, which is
/// kept then until it can.
pub(crate) async fn execute(
    context: &Context,
    live: &RegistryCleanupPolicy,
    order: Order<'_>,
    permit: Permit,
) -> Result<Option<RegistryCleanupPolicy>, Error> {
    let run = begin::begin(context, live, order).await?;
    // On every line that is logged on its behalf, whoever logs it.
    let of = tracing::error_span!("run", run = run.id);
    Box::pin(carry_out(context, live, run, permit).instrument(of)).await
}

/// Carries a run out that was begun.
async fn carry_out(
    context: &Context,
    live: &RegistryCleanupPolicy,
    mut run: Run<'_>,
    permit: Permit,
) -> Result<Option<RegistryCleanupPolicy>, Error> {
    let _under_way = UnderWay::note(context, live);
    tell_of_resumption(&run).await;
    let keeper = Keeper::start(&run);
    let mut report = Report::new(Arc::clone(&run.progress));
    // A run whose time had come was begun without its permit.
    run.gate.works_with(permit).await;
    if let Err(halt) = Box::pin(work(&run, &mut report)).await {
        report.halted(halt, &run.gate);
    }
    run.live = keeper.end();
    let finished = finish::finish(&run, report);
    Box::pin(commit_end(context, run.live, finished)).await
}

/// A run that goes on is news before it has come to anything.
async fn tell_of_resumption(run: &Run<'_>) {
    let Some(interrupted) = &run.record.resumes else { return };
    let note = format!("run {}, which was cut short, goes on as run {}", interrupted.id, run.id);
    let event = Announcement::normal(EventReason::CleanupResumed, note);
    publish(run.context, &run.live, vec![event], &format!("Run-{}", run.id)).await;
}

/// A run of this process that is under way.
struct UnderWay<'a>(&'a Context, String);

impl<'a> UnderWay<'a> {
    fn note(context: &'a Context, policy: &RegistryCleanupPolicy) -> Self {
        let uid = policy.uid().unwrap_or_default();
        context.memory().note_run(&uid, true);
        Self(context, uid)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.memory().note_run(&self.1, false);
    }
}

/// Gets to GitLab, lists the repositories, and cleans them.
async fn work(run: &Run<'_>, report: &mut Report) -> Result<(), Halt> {
    not_edited(run)?;
    learn_of_others(run).await?;
    let Session { client, findings, .. } = Box::pin(run.gate.patiently(connect(run))).await?;
    report.findings = findings;
    let found = list_repositories::list(&client, &run.order.policy.target, None);
    let found = Box::pin(run.gate.patiently(found)).await?;
    found.note(&mut report.findings);
    run.progress.of(found.repositories.len());
    tell_of_limits(run, &client, found.repositories.len());
    report.shared = shared(run, &found);
    let mut registries = found.repositories.iter().filter_map(|found| registry_of(&found.location, &found.path));
    report.registry = registries.next().map(str::to_owned);
    report.target = Some(found.target);
    report.outcomes.extend(found.failed);
    let repositories = in_order(run, found.repositories);
    let done = clean(run, client.clone(), &repositories, report).await;
    report.requests = Some(client.sent());
    report.not_reached(&repositories);
    done
}

/// Says, before the work begins, that GitLab's limits do not let it through at once.
fn tell_of_limits(run: &Run<'_>, client: &Client, repositories: usize) {
    let Some(Budget { per_minute, remaining, reset }) = client.budget() else { return };
    let allowed = Allowance { remaining, reset_in: reset.duration_since(run.context.clock.now()), per_minute };
    let requests = request_budget::estimate(run.requests_before, repositories);
    if let Some(sentence) = request_budget::sentence(requests, allowed, run.order.policy.active_deadline) {
        tracing::info!("{sentence}");
        run.progress.say(sentence);
    }
}

/// The repositories in the order in which the run takes them. Where all are planned before anything happens, the order
/// changes nothing.
fn in_order(run: &Run<'_>, mut repositories: Vec<Repository>) -> Vec<Repository> {
    let first = run.live.status.as_ref().and_then(|status| status.next_repository.as_deref());
    if let (Some(first), false) = (first, run.task.plans_first() || run.order.policy.limits.over_run()) {
        run_order::begin_with(&mut repositories, |repository| &repository.path, first);
    }
    repositories
}

/// What the policy shares with others, where every project and group could be listed.
fn shared(run: &Run<'_>, found: &Found) -> Option<Overlap> {
    let neighbours = run.context.neighbours(&run.live, run.order.policy).filter(|_| found.failed.is_empty())?;
    run.context.memory().note_neighbours(&run.live.uid().unwrap_or_default(), neighbours.fingerprint());
    Some(neighbours.overlap(&found.repositories))
}

/// Cleans repositories: tags, then repositories without tags, then a look at cleanup policies of GitLab's own.
async fn clean(run: &Run<'_>, client: Client, repositories: &[Repository], report: &mut Report) -> Result<(), Halt> {
    clocks_agree(&client)?;
    let usage = regain::open(run, repositories).await?;
    report.unused_registries = usage.as_ref().and_then(|usage| usage.unused_registries().ok());
    let job = &Job::new(run, client, usage);
    let before = run.live.status.clone().unwrap_or_default();
    let done = tags(job, repositories, report).await;
    if done.is_err() {
        report.not_reached(repositories);
        report.still_watched(&before.empty_repositories);
    }
    done?;
    empty_repositories::run(job, run.record.is_preview(), repositories, &before.empty_repositories, report).await?;
    let named = &before.projects_with_cleanup_policy;
    report.conflicts = Some(cleanup_policies::look(job, repositories, named).await);
    let mut seen = std::mem::take(&mut *run.seen());
    effects::complete(&job.client, repositories, &mut seen, job.policy).await;
    *run.seen() = seen;
    Ok(())
}

/// Removes tags, or tells which would be removed.
async fn tags(job: &Job<'_>, repositories: &[Repository], report: &mut Report) -> Result<(), Halt> {
    if repositories.is_empty() {
        return Ok(());
    }
    match (&job.policy.method, job.task) {
        (_, Task::Preview | Task::Propose(_)) => dry_run::run(job, repositories, report).await,
        (Method::Bulk(rule), _) => bulk::run(job, rule, repositories, report).await,
        (Method::Exact(_), _) => exact::run(job, repositories, report).await,
    }
}

/// The server itself says so, ahead of any watch.
fn not_edited(run: &Run<'_>) -> Result<(), Halt> {
    if run.live.metadata.generation == Some(run.generation) { Ok(()) } else { Err(Halt::Edited) }
}

/// Before anything is asked of GitLab that it takes once an hour.
async fn learn_of_others(run: &Run<'_>) -> Result<(), Halt> {
    if run.order.mode != Mode::Delete || !matches!(run.order.policy.method, Method::Bulk(_)) {
        return Ok(());
    }
    hours::learn_of_others(run.context, &run.live).await.map_err(|error| Halt::Ended(others_unknown(&chain(&error))))
}

async fn connect(run: &Run<'_>) -> Result<Session, Halt> {
    let Run { context, order, live, .. } = run;
    let gate = Arc::clone(&run.gate) as Arc<_>;
    let policy = (&live.spec.gitlab, order.policy);
    Ok(connect::open(context, &run.namespace, policy, order.mode, gate, None).await?)
}

fn clocks_agree(client: &Client) -> Result<(), Halt> {
    client.clock_ahead().and_then(clocks_differ).map_or(Ok(()), |end| Err(Halt::Ended(end)))
}
