//! How the status changes when a policy is observed, stalled, checked or armed. Runs are the business of `report`.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::conditions::{
    self, APPROVAL_PENDING, CREDENTIALS_VALID, ConditionStatus, EFFECTIVE, IN_USE_KNOWN, OVERLAPPING, PAUSED, READY,
    RECONCILING, RUN_QUEUED, Reason, STALLED, WITHIN_EXCLUDE_WINDOW,
};
use crate::api::{APPROVE, PolicyStatus, RefusedRunRequest, Trigger};

use super::compile::{CompiledPolicy, Problem};
use super::definition::Definition;
use super::effect::{self, Assessment};
use super::forced_dry_run;
use super::gitlab_cleanup_policy;
use super::handled_requests::{self, Refusal};
use super::in_use::{Knowledge, unused_sentence};
use super::next_action::Tokens;
use super::of_age;
use super::overlap::{Overlap, Reader};
use super::target::TargetSeen;

/// A token that expires within this time is worth a warning.
pub const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// What is said of the effect of a policy before a run came through.
const NOT_LOOKED: &str = "no run has looked at every tag yet";

/// What a look at credentials and targets came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Findings {
    /// Whether GitLab takes the token: status, reason, message.
    pub credentials: (ConditionStatus, Reason, String),
    /// What keeps the policy from being ready: reason and message.
    pub trouble: Option<(Reason, String)>,
    /// A remark on targets that do not work while others do.
    pub remark: Option<String>,
    /// When the token expires, if GitLab said so.
    pub expires: Option<Timestamp>,
}

/// What a status is written about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The compiled spec.
    pub policy: &'a CompiledPolicy,
    /// `metadata.generation`.
    pub generation: i64,
    /// What is known of the definition in the cluster.
    pub definition: &'a Definition,
    /// The time.
    pub now: Timestamp,
}

/// Takes note of a generation and arms the schedule from now on. A suspended policy is ready as it is.
pub fn observe(status: &mut PolicyStatus, subject: Subject<'_>) {
    let Subject { policy, generation, definition, now } = subject;
    let known = status.observed_generation == Some(generation);
    status.observed_generation = Some(generation);
    if !known {
        // An approval is for a plan of one generation, and a run that was cut short for one spec.
        status.pending_approval = None;
        status.interrupted_run = None;
    }
    let other = status.last_run.as_ref().is_some_and(|run| run.gitlab != policy.base_url.as_str());
    if other || policy.empty_repositories.is_none() {
        status.empty_repositories.clear();
    }
    if other {
        // Ids and paths of another instance say nothing here.
        status.projects_with_cleanup_policy.clear();
    }
    if other || !policy.protection.in_use {
        status.unused_registries.clear();
    }
    if other || !known {
        // Of other rules.
        status.coming_of_age = None;
    }
    if !known && conditions::find(&status.conditions, EFFECTIVE).is_some() {
        note_effect(status, &Assessment::unknown(NOT_LOOKED), generation, now);
    }
    conditions::remove(&mut status.conditions, STALLED);
    conditions::remove(&mut status.conditions, RUN_QUEUED);
    forced_dry_run::note(status, policy, generation, now);
    if policy.suspended {
        status.interrupted_run = None;
        status.next_schedule_time = None;
        conditions::remove(&mut status.conditions, RECONCILING);
        let mut message = after_remark(definition, "suspended: no run begins until suspend is set to false");
        add_refusal(&mut message, status);
        conditions::set(&mut status.conditions, READY, true, Reason::Suspended, &message, Some(generation), now);
        return;
    }
    status.next_schedule_time = policy.next_slot(now).map(Time);
    if !(known && conditions::is_true(&status.conditions, READY)) {
        let message = "checking credentials and targets";
        let unknown = ConditionStatus::Unknown;
        conditions::set(&mut status.conditions, READY, unknown, Reason::Progressing, message, Some(generation), now);
        conditions::set(&mut status.conditions, RECONCILING, true, Reason::Progressing, message, Some(generation), now);
    }
}

/// Records a problem that only an edit can fix. Nothing is armed.
pub fn stall(status: &mut PolicyStatus, problem: &Problem, generation: i64, now: Timestamp) {
    status.observed_generation = Some(generation);
    status.interrupted_run = None;
    status.next_schedule_time = None;
    conditions::remove(&mut status.conditions, RECONCILING);
    conditions::remove(&mut status.conditions, EFFECTIVE);
    conditions::remove(&mut status.conditions, WITHIN_EXCLUDE_WINDOW);
    let (reason, message) = (problem.reason, problem.message.as_str());
    conditions::set(&mut status.conditions, STALLED, true, reason, message, Some(generation), now);
    let mut message = message.to_owned();
    add_refusal(&mut message, status);
    conditions::set(&mut status.conditions, READY, false, reason, &message, Some(generation), now);
}

/// Answers what is asked of a generation that is about to be observed, or was: with a refusal, which notes the request
/// as handled, or with nothing. What was told of an earlier generation is over.
pub fn answer_run(status: &mut PolicyStatus, refusal: Option<Refusal>, tokens: Tokens<'_>, generation: i64) {
    if status.observed_generation != Some(generation) {
        status.refused_run_request = None;
    }
    if let (Some(refusal), Some(token)) = (refusal, tokens.run) {
        handled_run(status, Some(token));
        let message = refusal.message(token);
        status.refused_run_request = Some(RefusedRunRequest { value: handled_requests::shorten(token), message });
    }
}

/// Adds what is to be said of a request that was refused.
fn add_refusal(message: &mut String, status: &PolicyStatus) {
    if let Some(refused) = &status.refused_run_request {
        let _ = write!(message, "; {}", refused.message);
    }
}

/// Records what a look at credentials and targets came to.
pub fn checked(status: &mut PolicyStatus, subject: Subject<'_>, findings: &Findings) {
    let Subject { policy, definition, now, .. } = subject;
    conditions::remove(&mut status.conditions, RUN_QUEUED);
    forced_dry_run::note(status, policy, subject.generation, now);
    let hold = definition.hold(policy, status, subject.generation, now);
    let generation = Some(subject.generation);
    let (valid, why, message) = &findings.credentials;
    conditions::set(&mut status.conditions, CREDENTIALS_VALID, *valid, *why, message, generation, now);
    if *valid == ConditionStatus::True {
        status.token_expiration_time = findings.expires.map(Time);
    }
    if findings.trouble.is_none() && conditions::find(&status.conditions, EFFECTIVE).is_none() {
        note_effect(status, &Assessment::unknown(NOT_LOOKED), subject.generation, now);
    }
    if policy.suspended {
        // A preview may look at a suspended policy; ready it stays.
        return;
    }
    // Whatever else is wrong, CredentialsValid or the next check says; that nothing is removed must not be missed.
    let outdated = hold.map(|hold| (Reason::DefinitionOutdated, hold.message));
    let trouble = findings.trouble.as_ref().map(|(why, message)| {
        let mut message = message.clone();
        add_refusal(&mut message, status);
        (*why, message)
    });
    match outdated.as_ref().or(trouble.as_ref()) {
        None => {
            conditions::remove(&mut status.conditions, RECONCILING);
            let message = ready_message(status, subject, findings.remark.as_deref());
            conditions::set(&mut status.conditions, READY, true, Reason::Scheduled, &message, generation, now);
        }
        Some((why, message)) => {
            let retry = Reason::ProgressingWithRetry;
            conditions::set(&mut status.conditions, RECONCILING, true, retry, message, generation, now);
            conditions::set(&mut status.conditions, READY, false, *why, message, generation, now);
        }
    }
}

/// Arms the next slot after a slot was used or missed.
pub fn arm(status: &mut PolicyStatus, subject: Subject<'_>) {
    status.next_schedule_time = subject.policy.next_slot(subject.now).map(Time);
    restate(status, subject);
}

/// Says of a policy that is ready what is so now.
pub fn restate(status: &mut PolicyStatus, subject: Subject<'_>) {
    let Subject { generation, now, .. } = subject;
    let ready = conditions::find(&status.conditions, READY);
    if ready.is_some_and(|ready| ready.known_reason() == Some(Reason::Scheduled)) {
        let message = ready_message(status, subject, None);
        conditions::set(&mut status.conditions, READY, true, Reason::Scheduled, &message, Some(generation), now);
    }
}

/// Says that a run waits for its turn while so many others are at work.
pub fn queued(status: &mut PolicyStatus, at_work: usize, generation: i64, now: Timestamp) {
    let others = if at_work == 1 { "1 run is".to_owned() } else { format!("{at_work} runs are") };
    let message = format!("a run waits for its turn: {others} at work, see --concurrency");
    let why = Reason::WaitingForTurn;
    conditions::set(&mut status.conditions, RUN_QUEUED, true, why, &message, Some(generation), now);
}

/// Says that no run waits for its turn any more.
pub fn not_queued(status: &mut PolicyStatus) {
    conditions::remove(&mut status.conditions, RUN_QUEUED);
}

/// Notes what began a run, so that it is never begun for the same cause again.
pub fn note_trigger(status: &mut PolicyStatus, trigger: Trigger, slot: Option<Timestamp>, tokens: Tokens<'_>) {
    not_queued(status);
    if trigger != Trigger::DryRunRequested {
        status.refused_run_request = None;
        // It goes on now, or another run takes its place.
        status.interrupted_run = None;
    }
    match trigger {
        Trigger::Resumed => {}
        Trigger::Schedule => status.last_schedule_time = slot.map(Time),
        Trigger::RunRequested => handled_run(status, tokens.run),
        Trigger::DryRunRequested => handled_dry_run(status, tokens.dry_run),
        Trigger::Approved => {
            handled_approval(status, tokens.approval);
            // Whatever becomes of this run: the next one plans anew.
            status.pending_approval = None;
        }
    }
}

/// Notes that a request for a run was answered.
pub fn handled_run(status: &mut PolicyStatus, token: Option<&str>) {
    if let Some(token) = token {
        handled_requests::note(token, &mut status.last_handled_run_at, &mut status.handled_run_requests);
    }
}

/// Notes that a request for a dry run was answered.
pub fn handled_dry_run(status: &mut PolicyStatus, token: Option<&str>) {
    if let Some(token) = token {
        handled_requests::note(token, &mut status.last_handled_dry_run_at, &mut status.handled_dry_run_requests);
    }
}

/// Notes that an approval was answered.
pub fn handled_approval(status: &mut PolicyStatus, token: Option<&str>) {
    status.last_handled_approval = token.map(handled_requests::shorten);
}

/// Records which other policies look after the same repositories.
pub fn note_overlap(status: &mut PolicyStatus, overlap: &Overlap, to: Reader<'_>, generation: i64, now: Timestamp) {
    status.overlapping = overlap.to_status(to);
    let (overlapping, why, message) = match overlap.sentence(to) {
        Some(sentence) => (true, Reason::PoliciesOverlap, sentence),
        None => (false, Reason::NoOverlap, "no other policy looks after repositories of this one".to_owned()),
    };
    conditions::set(&mut status.conditions, OVERLAPPING, overlapping, why, &message, Some(generation), now);
}

/// Records whether the policy does what it seems to say.
pub fn note_effect(status: &mut PolicyStatus, verdict: &Assessment, generation: i64, now: Timestamp) {
    let Assessment { status: holds, reason, message } = verdict;
    conditions::set(&mut status.conditions, EFFECTIVE, *holds, *reason, message, Some(generation), now);
}

/// Adds, or takes back, what there is to note of kinds of workloads.
pub fn note_absent_kinds(status: &mut PolicyStatus, kinds: &[String], now: Timestamp) {
    let Some(effective) = conditions::find(&status.conditions, EFFECTIVE) else { return };
    let Some(reason) = effective.known_reason() else { return };
    let (holds, generation) = (effective.status, effective.observed_generation);
    let message = effect::with_note(&effective.message, kinds);
    conditions::set(&mut status.conditions, EFFECTIVE, holds, reason, &message, generation, now);
}

/// Records what the list of repositories tells of it, ahead of any run, and takes back what it told before.
pub fn note_target(status: &mut PolicyStatus, target: &TargetSeen, generation: i64, now: Timestamp) {
    let told = conditions::find(&status.conditions, EFFECTIVE).and_then(conditions::Condition::known_reason);
    if let Some(verdict) = effect::of_list(target) {
        note_effect(status, &verdict, generation, now);
    } else if matches!(told, Some(Reason::ExcludeMatchesNothing | Reason::IncludeMatchesNothing)) {
        note_effect(status, &Assessment::unknown(NOT_LOOKED), generation, now);
    }
}

/// Records what is known of images in use, and what would follow from it for a run.
pub fn note_in_use(status: &mut PolicyStatus, known: &Knowledge, generation: i64, now: Timestamp) {
    let (holds, why, message) = match known {
        Knowledge::NotWanted => return conditions::remove(&mut status.conditions, IN_USE_KNOWN),
        Knowledge::Whole => (true, Reason::WorkloadsWatched, "it is known which images are in use".to_owned()),
        Knowledge::Expiring(list) => (true, Reason::ListExpiringSoon, list.to_string()),
        Knowledge::Unknown(why) => (false, Reason::InUseUnknown, format!("a run would remove nothing: {why}")),
        Knowledge::But(held) => (false, Reason::ImageUnreadable, held.to_string()),
    };
    conditions::set(&mut status.conditions, IN_USE_KNOWN, holds, why, &message, Some(generation), now);
}

/// Says of a plan that waits for an approval what to do.
pub fn note_waiting(status: &mut PolicyStatus, now: Timestamp) {
    let Some(plan) = &status.pending_approval else {
        // One that is not there any more.
        if conditions::is_true(&status.conditions, APPROVAL_PENDING) {
            conditions::remove(&mut status.conditions, APPROVAL_PENDING);
        }
        return;
    };
    let message = format!(
        "{} tags of {} repositories would be removed: annotate the policy with {APPROVE}={} to have it done",
        plan.tags, plan.repositories, plan.plan_hash
    );
    let generation = status.observed_generation;
    conditions::set(&mut status.conditions, APPROVAL_PENDING, true, Reason::PlanWaits, &message, generation, now);
}

/// Records that a plan was approved, and by whom.
pub fn note_approved(status: &mut PolicyStatus, sentence: &str, now: Timestamp) {
    let generation = status.observed_generation;
    conditions::set(&mut status.conditions, APPROVAL_PENDING, false, Reason::PlanApproved, sentence, generation, now);
}

/// Puts what is to be said of the definition in front, where it is not cut off.
fn after_remark(definition: &Definition, message: &str) -> String {
    definition.remark().map_or_else(|| message.to_owned(), |remark| format!("{remark}; {message}"))
}

/// What to say of times of the schedule that exclude windows leave out before the next run.
fn left_out(status: &PolicyStatus, policy: &CompiledPolicy, now: Timestamp) -> Option<String> {
    let (next, first) = (status.next_schedule_time.as_ref()?.0, policy.schedule.next_after(now)?);
    let open = policy.windows.open_at(first).filter(|_| first < next)?;
    Some(format!("its times from {first} on are left out, by the exclude window {}", open.name))
}

fn ready_message(status: &PolicyStatus, subject: Subject<'_>, remark: Option<&str>) -> String {
    let Subject { policy, definition, now, .. } = subject;
    let next = status.next_schedule_time.as_ref().map_or_else(|| "never".to_owned(), |time| time.0.to_string());
    let paused = conditions::find(&status.conditions, PAUSED).map(|_| "paused, see Paused; ").unwrap_or_default();
    let forced = policy.forced_from.map(|_| " (--force-dry-run)").unwrap_or_default();
    let mut message =
        after_remark(definition, &format!("{paused}next run at {next}, mode {}{forced}", policy.mode.as_str()));
    if let Some(left_out) = left_out(status, policy, now) {
        let _ = write!(message, "; {left_out}");
    }
    if policy.protection.in_use && !policy.protection.seen_namespaces.is_empty() {
        let seen = policy.protection.seen_namespaces.join(", ");
        let _ = write!(message, "; images in use are seen in {seen} only (inUse.scope WatchedNamespaces)");
    }
    if let Some(plan) = &status.pending_approval {
        let _ = write!(message, "; {} tags wait for approval of plan {}", plan.tags, plan.plan_hash);
    }
    if let Some(unknown) = conditions::find(&status.conditions, IN_USE_KNOWN)
        && unknown.known_reason() != Some(Reason::WorkloadsWatched)
    {
        let _ = write!(message, "; {}", unknown.message);
    }
    let unused = unused_sentence(&status.unused_registries);
    let conflict = gitlab_cleanup_policy::sentence(&status.projects_with_cleanup_policy);
    let of_age = status.coming_of_age.as_ref().map(of_age::sentence);
    for remark in remark.into_iter().chain(unused.as_deref()).chain(conflict.as_deref()).chain(of_age.as_deref()) {
        message.push_str("; ");
        message.push_str(remark);
    }
    add_refusal(&mut message, status);
    message
}

#[cfg(test)]
mod tests;
