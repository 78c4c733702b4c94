//! What is to be done about a policy now: a total, pure function of what is known and what time it is.
//!
//! The controller asks it again after every step, with what it then knows, until it answers [`Action::Wait`].

use jiff::{SignedDuration, Timestamp};

use crate::api::conditions::{self, CREDENTIALS_VALID, EFFECTIVE, IN_USE_KNOWN, OVERLAPPING, STALLED};
use crate::api::limits::MAX_MESSAGE;
use crate::api::{
    APPROVE, DRY_RUN_REQUESTED_AT, Mode, PolicyStatus, RUN_REQUESTED_AT, RegistryCleanupPolicy, Trigger,
    UNOBSERVED_GENERATION,
};

use super::compile::{CompiledPolicy, Problem};
use super::definition::Definition;
use super::exclude_windows;
use super::forced_dry_run;
use super::handled_requests::{self, Refusal};
use super::pause::Pause;
use super::resume::{Resume, resume};
use super::run_record::Holder;
use super::schedule::Due;

/// The conditions whose messages nothing is decided by.
const ONLY_TOLD: [&str; 4] = [CREDENTIALS_VALID, EFFECTIVE, IN_USE_KNOWN, OVERLAPPING];
/// Longest wait. Timers run on another clock than schedules, and a nudge may get lost; so look again now and then.
pub const MAX_WAIT: SignedDuration = SignedDuration::from_mins(15);
/// How often a policy that only an edit can fix is looked at.
const STALLED_WAIT: SignedDuration = SignedDuration::from_hours(6);
/// First and longest pause after a check that failed. GitLab blocks addresses that keep knocking with a bad token.
const RETRY_FIRST: SignedDuration = SignedDuration::from_secs(30);
const RETRY_LAST: SignedDuration = SignedDuration::from_mins(30);

/// Everything that the decision depends on, but the time.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// `metadata.generation`.
    pub generation: i64,
    /// Whether the policy is being deleted.
    pub deleting: bool,
    /// What the annotations ask for.
    pub tokens: Tokens<'a>,
    /// What the operator wrote last.
    pub status: &'a PolicyStatus,
    /// The compiled spec.
    pub policy: Result<&'a CompiledPolicy, &'a Problem>,
    /// What this process knows of its own last check.
    pub checked: Option<Checked>,
    /// What is known of the definition in the cluster.
    pub definition: &'a Definition,
    /// What is known of the pause of the installation.
    pub pause: &'a Pause,
    /// Whether the policies that may look after the same repositories are others than at the last check.
    pub neighbours_changed: bool,
    /// Who works on the run that the status says is under way, if it says so of one.
    pub holder: Option<Holder>,
}

/// The values of the annotations that ask for something.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tokens<'a> {
    /// Asks for a run.
    pub run: Option<&'a str>,
    /// Asks for a dry run.
    pub dry_run: Option<&'a str>,
    /// Approves of the plan with this hash.
    pub approval: Option<&'a str>,
}

impl<'a> Tokens<'a> {
    /// What the annotations of a policy ask for.
    #[must_use]
    pub fn of(policy: &'a RegistryCleanupPolicy) -> Self {
        let annotations = policy.metadata.annotations.as_ref();
        let annotation = |key| annotations.and_then(|all| all.get(key)).map(String::as_str);
        Self {
            run: annotation(RUN_REQUESTED_AT),
            dry_run: annotation(DRY_RUN_REQUESTED_AT),
            approval: annotation(APPROVE),
        }
    }
}

/// The last check of credentials and targets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Checked {
    /// The generation that was checked.
    pub generation: i64,
    /// When.
    pub at: Timestamp,
    /// How many checks failed in a row, up to this one; 0 = it went well.
    pub failures: u32,
}

/// What to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Nothing, ever again: the policy is being deleted.
    Ignore,
    /// Record a problem that only an edit can fix.
    Stall {
        /// The problem.
        problem: Problem,
        /// Why a run that is asked for is not granted, if one is.
        refusal: Option<Refusal>,
    },
    /// Record that the run in the status was cut short: no operator works on it any more.
    RecordInterruption,
    /// Read the policy from the API server, to see from when on the record of a run stays the same.
    LookAtRecord,
    /// Take note of a new generation and arm the schedule. Nothing is ever removed because of an edit.
    Observe {
        /// Why a run that is asked for is not granted, if one is.
        refusal: Option<Refusal>,
    },
    /// Note what keeps the policy from removing anything, or does no longer: a pause of the installation, or an exclude
    /// window.
    NoteHolds,
    /// Note a request for a run that is not granted.
    RefuseRun(Refusal),
    /// Note an approval that approves of nothing.
    RefuseApproval(&'static str),
    /// Note that a slot was missed, and arm the next.
    SkipSlot(Timestamp),
    /// Note that a run that was cut short does not go on.
    DropInterrupted,
    /// Begin a run.
    Begin {
        /// What began it.
        trigger: Trigger,
        /// What it does.
        mode: Mode,
        /// The slot, if the schedule began it.
        slot: Option<Timestamp>,
    },
    /// See whether credentials and targets work.
    Check,
    /// Look again at this moment.
    Wait(Timestamp),
}

/// Decides. Nothing else is done about a policy while a run of it is under way, whoever works on that.
#[must_use]
pub fn next_action(view: &View<'_>, now: Timestamp) -> Action {
    if view.deleting {
        return Action::Ignore;
    }
    let status = view.status;
    if let Some(action) = view.holder.map(|holder| under_way(holder, now)) {
        return action;
    }
    let observed = status.observed_generation == Some(view.generation);
    let policy = match view.policy {
        Ok(policy) => policy,
        Err(problem) => return impossible(view, problem, now),
    };
    let armed = status.next_schedule_time.as_ref().map(|time| time.0);
    let stalled = conditions::is_true(&status.conditions, STALLED);
    let misstated = is_misstated(view, policy, now);
    if !observed || stalled || armed.is_some() == policy.suspended || (policy.suspended && misstated) {
        let why = if policy.suspended {
            Refusal::Suspended
        } else if status.observed_generation.is_none_or(|generation| generation == UNOBSERVED_GENERATION) {
            Refusal::New
        } else if stalled {
            Refusal::Stalled
        } else {
            Refusal::Edited
        };
        return Action::Observe { refusal: refused(view, why) };
    }
    let excluded = policy.excluded(now);
    if view.pause.is_misstated(status) || exclude_windows::is_misstated(status, excluded.as_ref()) {
        return Action::NoteHolds;
    }
    let hold = view.definition.hold(policy, status, view.generation, now);
    let paused = view.pause.holds().then_some(Refusal::Paused);
    let why_not = hold.as_ref().map(|_| Refusal::Held).or(paused).or(excluded.as_ref().map(|_| Refusal::Excluded));
    if let Some(action) = requested(view, policy, why_not, now) {
        return action;
    }
    if let Some(action) = armed.and_then(|armed| scheduled(policy, armed, why_not.is_some(), now)) {
        return action;
    }
    let check = if policy.suspended { None } else { Some(check_due(view, policy, now)) };
    // GitLab blocks addresses that keep knocking: where it took no token, nothing else makes it be asked sooner.
    let taken = view.checked.is_none_or(|checked| checked.failures == 0);
    if check.is_some_and(|due| due <= now || misstated || (view.neighbours_changed && taken)) {
        return Action::Check;
    }
    // A slot that is due and waits is no moment to wait for.
    let armed = armed.filter(|armed| *armed > now);
    let resumes = status.interrupted_run.as_ref().and_then(|run| match resume(run, policy, now) {
        Resume::At(moment) => Some(moment),
        Resume::Now(_) | Resume::Never => None,
    });
    let window = excluded.map_or_else(|| policy.windows.next_opening(now), |open| open.until);
    let moments = [check, armed, resumes, hold.map(|hold| hold.until), view.definition.next_look(), window];
    Action::Wait(moments.into_iter().flatten().fold(later(now, MAX_WAIT), Timestamp::min))
}

/// Whether the status says of the definition, or of the operator's switch, what is no longer so.
fn is_misstated(view: &View<'_>, policy: &CompiledPolicy, now: Timestamp) -> bool {
    let status = view.status;
    view.definition.is_misstated(policy, status, view.generation, now) || forced_dry_run::is_misstated(status, policy)
}

/// What to do about a policy that only an edit can mend.
fn impossible(view: &View<'_>, problem: &Problem, now: Timestamp) -> Action {
    let (status, refusal) = (view.status, refused(view, Refusal::Stalled));
    if status.observed_generation != Some(view.generation) || !shows(status, problem) {
        return Action::Stall { problem: problem.clone(), refusal };
    }
    let stale = view.pause.is_misstated(status);
    let rest = if stale { Action::NoteHolds } else { Action::Wait(later(now, STALLED_WAIT)) };
    refusal.map_or(rest, Action::RefuseRun)
}

/// What the armed slot calls for. A policy that is held removes nothing, and its slot waits.
fn scheduled(policy: &CompiledPolicy, armed: Timestamp, held: bool, now: Timestamp) -> Option<Action> {
    match policy.due(armed, now) {
        Due::Run(_) if held && policy.mode == Mode::Delete => None,
        Due::Run(slot) => Some(Action::Begin { trigger: Trigger::Schedule, mode: policy.mode, slot: Some(slot) }),
        Due::Missed(slot) => Some(Action::SkipSlot(slot)),
        Due::NotYet => None,
    }
}

/// A request by annotation, or a run that goes on. A dry run may be asked for at any time; it removes nothing. An
/// approval waits while the policy is held: it is for one plan, whenever that is carried out.
fn requested(view: &View<'_>, policy: &CompiledPolicy, held: Option<Refusal>, now: Timestamp) -> Option<Action> {
    let status = view.status;
    let last = status.last_handled_dry_run_at.as_deref();
    if handled_requests::is_new(view.tokens.dry_run, last, &status.handled_dry_run_requests) {
        return Some(Action::Begin { trigger: Trigger::DryRunRequested, mode: Mode::DryRun, slot: None });
    }
    if let Some(run) = &status.interrupted_run {
        match resume(run, policy, now) {
            Resume::Never => return Some(Action::DropInterrupted),
            Resume::Now(mode) if held.is_none() || mode == Mode::DryRun => {
                return Some(Action::Begin { trigger: Trigger::Resumed, mode, slot: None });
            }
            Resume::Now(_) | Resume::At(_) => {}
        }
    }
    if let Some(action) = approved(view, policy, held.is_some()) {
        return Some(action);
    }
    if !run_requested(view) {
        return None;
    }
    if policy.suspended {
        return Some(Action::RefuseRun(Refusal::Suspended));
    }
    if let Some(why) = held.filter(|_| policy.mode == Mode::Delete) {
        return Some(Action::RefuseRun(why));
    }
    Some(Action::Begin { trigger: Trigger::RunRequested, mode: policy.mode, slot: None })
}

/// An approval. It stands as long as it names the plan that waits; a plan that waits for it a second time is the very
/// same plan.
fn approved(view: &View<'_>, policy: &CompiledPolicy, held: bool) -> Option<Action> {
    let status = view.status;
    let approval = view.tokens.approval.filter(|token| !token.is_empty())?;
    let pending = status.pending_approval.as_ref();
    let why = if policy.forced_from.is_some() {
        "the operator runs with --force-dry-run"
    } else if policy.mode != Mode::RequireApproval {
        "the policy's mode is not RequireApproval"
    } else if policy.suspended {
        "the policy is suspended"
    } else if pending.is_some_and(|plan| plan.plan_hash == approval) {
        if held {
            return None;
        }
        return Some(Action::Begin { trigger: Trigger::Approved, mode: Mode::Delete, slot: None });
    } else if pending.is_some() {
        "another plan waits for approval, see status.pendingApproval"
    } else {
        "no plan waits for approval"
    };
    // A hash is no time and asks for nothing else: it is answered once, however often it comes back meanwhile.
    let answered = status.last_handled_approval.as_deref() == Some(&handled_requests::shorten(approval));
    (!answered).then_some(Action::RefuseApproval(why))
}

/// The refusal of a run, if one is asked for. A request is for the policy as it is: it does not wait for another one.
fn refused(view: &View<'_>, why: Refusal) -> Option<Refusal> {
    run_requested(view).then_some(why)
}

fn run_requested(view: &View<'_>) -> bool {
    let status = view.status;
    handled_requests::is_new(view.tokens.run, status.last_handled_run_at.as_deref(), &status.handled_run_requests)
}

fn check_due(view: &View<'_>, policy: &CompiledPolicy, now: Timestamp) -> Timestamp {
    match view.checked {
        Some(Checked { generation, at, failures }) if generation == view.generation => {
            later(at, if failures == 0 { policy.check_interval } else { check_pause(failures) })
        }
        _ => now,
    }
}

/// What to do about a run that the status says is under way.
fn under_way(holder: Holder, now: Timestamp) -> Action {
    match holder {
        Holder::Nobody => Action::RecordInterruption,
        // Whoever it is writes the status when it is done.
        Holder::Me => Action::Wait(later(now, MAX_WAIT)),
        Holder::Unseen => Action::LookAtRecord,
        Holder::Another(left) => Action::Wait(later(now, SignedDuration::try_from(left).unwrap_or(MAX_WAIT))),
    }
}

/// Forgets of a status what is told to people only. All policies are kept as the watch shows them, and most of a status
/// is that.
pub fn forget_details(status: &mut PolicyStatus) {
    status.repositories = Vec::new();
    status.overlapping = None;
    for condition in &mut status.conditions {
        if ONLY_TOLD.contains(&condition.type_.as_str()) {
            condition.message = String::new();
        }
    }
    status.conditions.shrink_to_fit();
}

/// The pause after so many failed checks in a row.
#[must_use]
pub fn check_pause(failures: u32) -> SignedDuration {
    let doubled = RETRY_FIRST.as_secs().saturating_mul(1 << failures.saturating_sub(1).min(16));
    SignedDuration::from_secs(doubled).min(RETRY_LAST)
}

fn shows(status: &PolicyStatus, problem: &Problem) -> bool {
    conditions::find(&status.conditions, STALLED).is_some_and(|condition| {
        condition.status == conditions::ConditionStatus::True
            && condition.known_reason() == Some(problem.reason)
            && condition.message == conditions::shorten(&problem.message, MAX_MESSAGE)
    })
}

fn later(moment: Timestamp, by: SignedDuration) -> Timestamp {
    moment.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
