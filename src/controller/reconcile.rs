//! One look at one policy: ask what to do, do it, ask again, until there is only waiting left.
//!
//! A look that finds nothing to do makes no request. Everything else goes by a policy that was just read from the API
//! server itself, since the cache may lag behind the operator's own writes.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::controller::Action as Requeue;
use tokio::sync::OnceCell;

use crate::api::{PolicyStatus, RegistryCleanupPolicy};
use crate::cluster::status;
use crate::policy::answer::{Asked, answer, name_of};
use crate::policy::bulk_ledger::LONGEST_TIMEOUT;
use crate::policy::compiled_cache::Outcome as Compiled;
use crate::policy::events::{self, Announcement, EventReason};
use crate::policy::in_use::Knowledge;
use crate::policy::next_action::{Action, MAX_WAIT, Tokens, View, next_action};
use crate::policy::overlap::Overlap;
use crate::policy::repository_outcome::Stop;
use crate::policy::status_conditions::Subject;
use crate::policy::target::TargetSeen;
use crate::policy::{CompiledPolicy, report, resume, status_conditions};

use super::compiled::compiled;
use super::connect::{self, NoSession};
use super::context::Context;
use super::currency::{AsShown, Currency};
use super::definition;
use super::error::Error;
use super::hours;
use super::neighbours::{Guarded, Neighbours};
use super::notify::{self, Change, commit, publish};
use super::permits::{Permit, Permits};
use super::plan::in_use::Usage;
use super::plan::list_repositories::{self, Found};
use super::run::{self, Order};
use super::shared_answers::Wish;
use super::turns::{Turns, Wanted};

/// Steps in one look. Far more than any sequence needs; the bound turns a mistake into a slow loop instead of a hot
/// one.
const MAX_STEPS: usize = 20;
/// The shortest wait.
const MOMENT: Duration = Duration::from_millis(100);
/// How long checking credentials and targets may take before it is given up until the next time.
const CHECK_DEADLINE: SignedDuration = SignedDuration::from_mins(2);

/// Looks at a policy and answers when to look again.
///
/// # Errors
/// When the API server does not do its part. What GitLab does wrong becomes a condition.
pub(crate) async fn reconcile(
    object: Arc<Guarded>,
    context: Arc<Context>,
    currency: &Currency,
    permits: &Permits,
) -> Result<Requeue, Error> {
    let (wanted, ours) = (context.answers.wish(), context.is_ours(&*object));
    let Ok(policy) = &object.0 else {
        Box::pin(say_unreadable(&context, &object)).await;
        return Ok(Requeue::await_change());
    };
    let shown = AsShown::of(policy).ok_or(Error::Nameless)?;
    Box::pin(definition::refresh(&context)).await;
    let turns = Turns { context: &context, permits, currency, policy: &shown };
    let (mut object, mut live, mut permit, mut turn) = (Some(object), None, None, None);
    let unwritten = context.memory().has_unwritten(&shown.uid);
    if unwritten {
        live = Box::pin(write_end(&context, &shown)).await?.map(Box::new);
    }
    if !ours || (unwritten && live.is_none()) {
        return Ok(Requeue::await_change());
    }
    for _ in 0..MAX_STEPS {
        let now = context.clock.now();
        let Some(policy) = newest(live.as_deref(), object.as_deref()) else { break };
        let (action, compiled) = Box::pin(decide(policy, &context, now)).await;
        if let Some(requeue) = quiet(&action, now) {
            return Ok(requeue);
        }
        let held = permit.as_ref().map(Permit::purpose);
        // Thousands may wait at the same time, so nothing large is kept while one of them does: neither the whole
        // policy nor what it was compiled to. What is to be done is decided again once the turn has come.
        if let Some(wanted) = Wanted::of(&action, &compiled).filter(|wanted| Some(wanted.purpose) != held) {
            drop((live.take(), object.take(), permit.take(), turn.take(), compiled));
            permit = match turns.wait(&wanted).await? {
                Some(permit) => Some(permit),
                None => return Ok(Requeue::requeue(MOMENT)),
            };
        } else if let Some(of) = live.take() {
            tracing::debug!(namespace = shown.namespace, policy = shown.name, ?action, "step");
            // A run holds a lot while it waits; most policies wait for nothing but the next slot.
            let wanted = wish(&context, &shown, &of, wanted);
            // What matching makes goes with the step.
            let compiled = Box::new(compiled.as_ref().clone());
            match Box::pin(step(&context, &of, (action, compiled), (currency, wanted), &mut permit)).await {
                // Somebody wrote the policy since it was read, so what was decided may not be what is to be done now.
                Err(error) if error.is_conflict() => {}
                stepped => {
                    live = stepped?.map(Box::new);
                    if live.is_none() {
                        return Ok(Requeue::requeue(MOMENT));
                    }
                    continue;
                }
            }
        } else {
            drop(compiled);
        }
        if permit.is_none() && turn.is_none() {
            // Never closed.
            turn = context.steps.acquire().await.ok();
        }
        drop(object.take());
        live = Box::pin(read(&context, &shown.namespace, &shown.name)).await?.map(Box::new);
        if let Some(requeue) = left_alone(&context, live.as_deref()) {
            return Ok(requeue);
        }
    }
    tracing::error!(namespace = shown.namespace, policy = shown.name, "a policy does not come to rest");
    Ok(Requeue::requeue(Duration::from_secs(60)))
}

/// A policy as it was read, or as the watch has shown it; one of the two is there.
fn newest<'p>(
    live: Option<&'p RegistryCleanupPolicy>,
    shown: Option<&'p Guarded>,
) -> Option<&'p RegistryCleanupPolicy> {
    live.or_else(|| shown?.0.as_ref().ok())
}

/// When a look at a policy was wanted: an edit that the watch has not shown yet wants answers of its own.
fn wish(context: &Context, shown: &AsShown, live: &RegistryCleanupPolicy, wanted: Wish) -> Wish {
    let edited = live.metadata.generation != shown.generation;
    if edited { context.answers.wish() } else { wanted }
}

/// When to look again at a policy that is gone, or that another installation looks after.
fn left_alone(context: &Context, live: Option<&RegistryCleanupPolicy>) -> Option<Requeue> {
    match live {
        None => Some(Requeue::await_change()),
        // The watch may show that yet, or that it is ours again.
        Some(live) => (!context.is_ours(live)).then(|| Requeue::requeue(longest_wait())),
    }
}

/// Says that an object cannot be read as a policy, where it is for this installation to say.
async fn say_unreadable(context: &Context, object: &Guarded) {
    let Some(invalid) = object.0.as_ref().err().filter(|_| context.is_ours(object)) else { return };
    let text = format!("this object cannot be read as a policy and is left alone: {}", invalid.error);
    tracing::warn!(
        namespace = object.namespace(), policy = object.name_any(), error = %invalid.error,
        "an object cannot be read as a policy"
    );
    let event = Announcement::warning(EventReason::PolicyUnreadable, text);
    publish(context, object, vec![event], "Reconcile").await;
}

/// Writes the end of a run that could not be written before. `None` where the policy is gone.
async fn write_end(context: &Context, policy: &AsShown) -> Result<Option<RegistryCleanupPolicy>, Error> {
    let live = read(context, &policy.namespace, &policy.name).await?;
    let run = context.memory().unwritten(&policy.uid);
    match (live, run) {
        (Some(live), Some(run)) => Box::pin(notify::commit_end(context, live, run)).await,
        (live, _) => Ok(live),
    }
}

/// Reads a policy from the API server itself, and takes note of a run that it says is under way.
async fn read(context: &Context, namespace: &str, name: &str) -> Result<Option<RegistryCleanupPolicy>, Error> {
    let live = {
        // Never closed.
        let _turn = context.whole_policies.acquire().await;
        status::get_live(&context.policies(namespace), name).await?
    };
    if let Some(live) = &live {
        let run = live.status.as_ref().and_then(|status| status.last_run.as_ref());
        context.memory().note_record(&live.uid().unwrap_or_default(), run, context.clock.elapsed());
    }
    Ok(live)
}

async fn decide(policy: &RegistryCleanupPolicy, context: &Context, now: Timestamp) -> (Action, Arc<Compiled>) {
    let compiled = compiled(context, policy, now).await;
    let fresh = PolicyStatus::default();
    let uid = policy.uid().unwrap_or_default();
    let known = compiled.as_ref().as_ref();
    let fingerprint = known.ok().and_then(|compiled| context.neighbours_fingerprint(policy, compiled));
    let sees_workloads = context.sees_workloads();
    let status = policy.status.as_ref().unwrap_or(&fresh);
    let (checked, neighbours_changed, holder) = {
        let (memory, elapsed) = (context.memory(), context.clock.elapsed());
        let others = fingerprint.is_some_and(|fingerprint| memory.neighbours_changed(&uid, fingerprint));
        (
            memory.checked(&uid),
            // What stopped being seen, or is seen again, is to be told before the night.
            others || memory.watch_changed(&uid, sees_workloads),
            memory.holder(&uid, status.last_run.as_ref(), &context.identity, elapsed),
        )
    };
    let (definition, pause) = (context.definition().clone(), context.pause());
    let action = next_action(
        &View {
            generation: policy.metadata.generation.unwrap_or_default(),
            deleting: policy.metadata.deletion_timestamp.is_some(),
            tokens: Tokens::of(policy),
            status,
            policy: known,
            checked,
            definition: &definition,
            pause: &pause,
            neighbours_changed,
            holder,
        },
        now,
    );
    (action, compiled)
}

fn quiet(action: &Action, now: Timestamp) -> Option<Requeue> {
    match action {
        Action::Wait(until) => {
            // At least a moment, so that a rounded wait cannot spin.
            let wait = Duration::try_from(until.duration_since(now)).unwrap_or_default().max(MOMENT);
            Some(Requeue::requeue(wait))
        }
        Action::Ignore => Some(Requeue::await_change()),
        _ => None,
    }
}

/// Does what is to be done, and answers the policy as it then stands; `None` where it was cut short.
async fn step(
    context: &Context,
    live: &RegistryCleanupPolicy,
    (action, compiled): (Action, Box<Compiled>),
    (currency, wanted): (&Currency, Wish),
    permit: &mut Option<Permit>,
) -> Result<Option<RegistryCleanupPolicy>, Error> {
    let now = context.clock.now();
    let generation = live.metadata.generation.unwrap_or_default();
    let mut status = live.status.clone().unwrap_or_default();
    let mut checked = None;
    let (definition, pause) = (context.definition().clone(), context.pause());
    let subject = |policy| Subject { policy, generation, definition: &definition, now };
    let asked = Asked {
        compiled: compiled.as_ref().as_ref().map(subject),
        tokens: Tokens::of(live),
        pause: &pause,
        generation,
        now,
    };
    let events = match (&action, &*compiled) {
        (Action::RecordInterruption, compiled) => {
            record_interruption(context, live, compiled.as_ref().ok(), &mut status, now)
        }
        (Action::Check, Ok(policy)) => {
            let look = check(context, live, policy, currency, wanted);
            let found = match permit.as_ref() {
                Some(permit) => Box::pin(permit.look(look)).await?,
                None => look.await?,
            };
            let Some(found) = found else { return Ok(None) };
            checked = Some(found.findings.trouble.is_none());
            note_found(&mut status, context, live, subject(policy), &found);
            Vec::new()
        }
        (Action::Begin { trigger, mode, slot: due }, Ok(policy)) => {
            // Whoever begins has waited for its permit before. An operator that ends begins nothing: least of all does
            // it go on with the run that it has just cut short.
            let Some(permit) = permit.take().filter(|_| !context.shutdown.is_cancelled()) else { return Ok(None) };
            let (trigger, mode, due) = (*trigger, *mode, *due);
            let order = Order { policy, trigger, mode, slot: due, still_current: currency.of(live) };
            return Box::pin(run::execute(context, live, order, permit)).await;
        }
        (Action::LookAtRecord, _) => return read_again(context, live).await,
        // What is left is quiet, or needs a policy that compiles and comes with one.
        _ => match answer(&action, asked, &mut status) {
            Some(events) => events,
            None => return Ok(Some(live.clone())),
        },
    };
    let name = name_of(&status, &events);
    let written = commit(context, Change { live: live.clone(), status, events, action: name }).await?;
    if matches!(action, Action::SkipSlot(_)) {
        context.counts.schedule_missed(&live.namespace().unwrap_or_default(), &live.name_any());
    }
    if let Some(healthy) = checked {
        // Only now: what could not be written has to be found out again.
        context.memory().note_check(&live.uid().unwrap_or_default(), generation, context.clock.now(), healthy);
    }
    Ok(Some(written))
}

/// Records a run that nobody finished, with what GitLab may have taken of it, and what is left to be done of it.
fn record_interruption(
    context: &Context,
    live: &RegistryCleanupPolicy,
    policy: Option<&CompiledPolicy>,
    status: &mut PolicyStatus,
    now: Timestamp,
) -> Vec<Announcement> {
    let edited = hours::is_edited(live, status);
    let policy = policy.filter(|_| !edited);
    // What was edited since may have waited longer.
    let timeout = policy.map_or(LONGEST_TIMEOUT, |policy| policy.timeout);
    report::interrupted(status, live.spec.history_limit, timeout, now);
    hours::remember(context, live, status);
    if let Some(policy) = policy {
        let approved = live.status.as_ref().and_then(|status| status.last_run.as_ref()?.approved_plan.clone());
        resume::note(status, approved, policy.starting_deadline, None, now);
    }
    events::run_ended(status)
}

/// Takes note of what a look at a policy came to.
fn note_found(
    status: &mut PolicyStatus,
    context: &Context,
    live: &RegistryCleanupPolicy,
    subject: Subject<'_>,
    found: &Look,
) {
    let Subject { generation, now, .. } = subject;
    if let Some(in_use) = &found.in_use {
        status_conditions::note_in_use(status, in_use, generation, now);
    }
    status_conditions::checked(status, subject, &found.findings);
    if let Some(target) = &found.target {
        status_conditions::note_target(status, target, generation, now);
    }
    let wanted = subject.policy.protection.in_use;
    let absent = if wanted { context.absent_kinds() } else { Vec::new() };
    status_conditions::note_absent_kinds(status, &absent, now);
    if let Some(overlap) = &found.overlap {
        let namespace = live.namespace().unwrap_or_default();
        status_conditions::note_overlap(status, overlap, context.reader(&namespace), generation, now);
    }
}

async fn read_again(context: &Context, live: &RegistryCleanupPolicy) -> Result<Option<RegistryCleanupPolicy>, Error> {
    read(context, &live.namespace().ok_or(Error::Nameless)?, &live.name_any()).await
}

/// What a look at a policy came to.
struct Look {
    /// Whether credentials and targets work.
    findings: status_conditions::Findings,
    /// What the policy shares with others, where that could be found out.
    overlap: Option<Overlap>,
    /// What is known of images in use, where that could be found out.
    in_use: Option<Knowledge>,
    /// What the patterns of the target match, where it has some and that could be found out.
    target: Option<TargetSeen>,
}

/// Whether a policy would work if a run began now. `None` where it was edited meanwhile, or the operator ends: what was
/// cut short says nothing.
async fn check(
    context: &Context,
    live: &RegistryCleanupPolicy,
    policy: &CompiledPolicy,
    currency: &Currency,
    wanted: Wish,
) -> Result<Option<Look>, Error> {
    let namespace = live.namespace().ok_or(Error::Nameless)?;
    let deadline = context.clock.now().checked_add(CHECK_DEADLINE).unwrap_or(Timestamp::MAX);
    let gate = Arc::new(context.gate(deadline, currency.of(live)));
    let (of, by) = ((&live.spec.gitlab, policy), Arc::clone(&gate) as Arc<_>);
    let opened = connect::open(context, &namespace, of, policy.mode, by, Some(wanted)).await;
    context.memory().note_watch(&live.uid().unwrap_or_default(), context.sees_workloads());
    let neighbours = context.neighbours(live, policy);
    if let Some(neighbours) = &neighbours {
        context.memory().note_neighbours(&live.uid().unwrap_or_default(), neighbours.fingerprint());
    }
    let found = match opened {
        Ok(session) => {
            let has_neighbours = neighbours.as_ref().is_some_and(|neighbours| !neighbours.is_empty());
            let lists = has_neighbours || policy.target.has_patterns();
            let sharing = session.sharing(&context.answers, (wanted, lists), &*gate);
            let findings = connect::check_targets(&session, &policy.target, Some(&sharing)).await;
            let works = findings.trouble.is_none();
            // Listed where something needs it, and then once for all that does.
            let listed = OnceCell::new();
            let list = || async {
                let list =
                    || async { list_repositories::list(&session.client, &policy.target, Some(&sharing)).await.ok() };
                if works { listed.get_or_init(list).await.as_ref() } else { None }
            };
            let overlap = match neighbours {
                Some(neighbours) if works => shared(list, &neighbours).await,
                _ => None,
            };
            let repositories = || async { Some(list().await?.repositories.as_slice()) };
            let in_use = Box::pin(Usage::knowledge(context, &namespace, policy, repositories)).await;
            // It may have waited for a first list.
            context.memory().note_watch(&live.uid().unwrap_or_default(), context.sees_workloads());
            let target =
                if policy.target.has_patterns() { list().await.map(|found| found.target.clone()) } else { None };
            Look { findings, overlap, in_use: Some(in_use), target }
        }
        Err(NoSession::Findings(findings)) => Look { findings, overlap: None, in_use: None, target: None },
        Err(NoSession::NotAsked(error)) => return Err(error),
    };
    let cut_short = matches!(gate.stop(), Some(Stop::Shutdown | Stop::LeadershipLost | Stop::PolicyChanged));
    Ok((!cut_short).then_some(found))
}

/// What a policy shares with its neighbours. Repositories are only listed where it has some; `None` where they cannot
/// be.
async fn shared<'f, F>(list: impl FnOnce() -> F, neighbours: &Neighbours) -> Option<Overlap>
where
    F: Future<Output = Option<&'f Found>>,
{
    if neighbours.is_empty() {
        return Some(Overlap::default());
    }
    let found = list().await?;
    found.failed.is_empty().then(|| neighbours.overlap(&found.repositories))
}

/// The longest that a look may be put off, for whoever has nothing better to say.
pub(crate) fn longest_wait() -> Duration {
    Duration::try_from(MAX_WAIT).unwrap_or(Duration::from_secs(900))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the future that such a function returns.
    fn size<'a, A, B, C: 'a, D: 'a, F>(_: impl Fn(A, B, &'a C, &'a D) -> F) -> usize {
        size_of::<F>()
    }

    /// Thousands of policies wait at the same time, each in a future as large as the largest of its states.
    #[test]
    fn a_policy_that_waits_for_its_turn_takes_1100_bytes_at_most() {
        assert!(size(reconcile) <= 1100, "{} bytes", size(reconcile));
    }
}
