//! What a controller does around the decisions: reads, writes, sends, waits. In the order in which `controller/` does
//! it.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use registry_cleanup_operator::api::{
    PolicyStatus, RegistryCleanupPolicy, RepositoryResult, RunProgress, RunStatus, Trigger,
};
use registry_cleanup_operator::leadership::identity::Identity;
use registry_cleanup_operator::leadership::moment::Moment;
use registry_cleanup_operator::leadership::record::{Record, Seen as SeenLease};
use registry_cleanup_operator::leadership::step::{Candidacy, Leading, candidate, leader};
use registry_cleanup_operator::leadership::term::Term;
use registry_cleanup_operator::leadership::timing::Timing;
use registry_cleanup_operator::policy::answer::{Asked, answer};
use registry_cleanup_operator::policy::bulk_ledger::{
    self, Blocked, Ledger, Owner, Repository, eligible_after, eligible_after_unseen,
};
use registry_cleanup_operator::policy::definition::Definition;
use registry_cleanup_operator::policy::finished_run::{FinishedRun, Fit};
use registry_cleanup_operator::policy::history::Closed;
use registry_cleanup_operator::policy::new_run::NewRun;
use registry_cleanup_operator::policy::next_action::{Action, Checked, Tokens, View, next_action};
use registry_cleanup_operator::policy::overlap::Reader;
use registry_cleanup_operator::policy::pause::Pause;
use registry_cleanup_operator::policy::repository_outcome::{End, Outcome, Proposal, RepositoryReason, Stop};
use registry_cleanup_operator::policy::run_record::{Holder, Seen, Written, holder, is_due, is_valid};
use registry_cleanup_operator::policy::status_conditions::{self, Findings, Subject};
use registry_cleanup_operator::policy::token::not_asked;
use registry_cleanup_operator::policy::{CompiledPolicy, report, reserved_hours, resume};

use crate::steps::{Fault, Who};
use crate::world::{Failed, REPOSITORIES, TIMEOUT, World};

const NAME: &str = "team/shop";
const READER: Reader<'static> = Reader { namespace: "team", name_others: false };

/// A process of an operator.
pub(crate) struct Operator {
    identity: Identity,
    pub(crate) process: u64,
    /// By how many seconds its clock is off.
    pub(crate) skew: i64,
    /// The clock that nobody sets.
    pub(crate) elapsed: i64,
    pub(crate) frozen: bool,
    /// Whether nothing reaches the API server.
    pub(crate) cut: bool,
    /// The Lease as it was seen last, with its version.
    lease: Option<(SeenLease, u64)>,
    /// `None` while another one leads.
    term: Option<Term>,
    /// What the watch has shown.
    shown: RegistryCleanupPolicy,
    ledger: Ledger,
    seen: Option<Seen>,
    checked: Option<Checked>,
    definition: Definition,
    run: Option<Run>,
    /// The end of a run that is to be written.
    unwritten: Option<FinishedRun>,
}

/// A run under way.
struct Run {
    record: RunStatus,
    policy: Rc<CompiledPolicy>,
    others_before: Option<Timestamp>,
    deadline: Timestamp,
    /// When the last record that was written was sent.
    renewed: Moment,
    written: Written,
    live: RegistryCleanupPolicy,
    left: VecDeque<u64>,
    /// The request that is waited for.
    waits: Option<Request>,
    outcomes: Vec<Outcome>,
    stop: Option<Stop>,
}

/// A request that left.
#[derive(Clone, Copy)]
struct Request {
    id: u64,
    repository: u64,
    /// By the clock that nobody sets.
    sent: i64,
}

fn path(id: u64) -> String {
    format!("shop/app/image-{id}")
}

impl Operator {
    /// Starts, and learns from the status what GitLab took within the hour.
    pub(crate) fn start(world: &World, who: Who, process: u64, skew: i64) -> Self {
        // Its Pod is another one each time, so nobody takes it for its own successor.
        let identity = Identity::new(Some(&format!("operator-{who}")), Some(&format!("uid-{process}")), process);
        let mut definition = Definition::default();
        definition.note(Vec::new(), world.time(skew));
        Self {
            identity,
            process,
            skew,
            elapsed: 100_000,
            frozen: false,
            cut: false,
            lease: None,
            term: None,
            shown: world.api.policy.clone(),
            ledger: Ledger::default(),
            seen: None,
            checked: None,
            definition,
            run: None,
            unwritten: None,
        }
    }

    /// Does what is to be done about the Lease. `false`, if the process ends for it.
    pub(crate) fn elect(&mut self, world: &mut World, fault: Fault) -> bool {
        let (now, fault) = (self.moment(world), self.reach(fault));
        match self.term {
            None => self.campaign(world, now, fault),
            Some(term) => return self.keep(world, term, now, fault),
        }
        true
    }

    fn campaign(&mut self, world: &mut World, now: Moment, fault: Fault) {
        if fault == Fault::Before {
            return;
        }
        let (seen, version) = self.see_lease(world, now);
        if let Candidacy::Create | Candidacy::Acquire = candidate(&seen, &self.identity, &Timing::default(), now) {
            let record = Record::held_by(self.identity.as_str(), seen.record.as_ref(), &Timing::default(), now.wall);
            if let Ok(version) = world.api.write_lease(version, record.clone(), fault) {
                let predecessor = seen.last_holder.as_ref().map(|(holder, _)| holder.clone());
                self.identity = self.identity.clone().succeeding(predecessor);
                self.lease = Some((SeenLease::again(None, Some(record), now), version));
                self.term = Some(Term::new(now, Timing::default()));
                // Nothing was watched before.
                self.show(world);
                self.learn(&world.api.policy.clone());
            }
        }
    }

    fn keep(&mut self, world: &mut World, term: Term, now: Moment, fault: Fault) -> bool {
        let Some((seen, version)) = self.lease.clone() else { return false };
        match leader(&seen, &self.identity, term.since(), &Timing::default(), now) {
            Leading::End(_) => return false,
            Leading::Wait(_) => {}
            Leading::Create | Leading::Renew => {
                let record =
                    Record::held_by(self.identity.as_str(), seen.record.as_ref(), &Timing::default(), now.wall);
                match world.api.write_lease(version, record.clone(), fault) {
                    Ok(version) => {
                        self.lease = Some((SeenLease::again(Some(seen), Some(record), now), version));
                        self.term = Some(term.renewed(now));
                    }
                    Err(_) if self.cut => {}
                    Err(_) => _ = self.see_lease(world, now),
                }
            }
        }
        true
    }

    fn see_lease(&mut self, world: &World, now: Moment) -> (SeenLease, u64) {
        let (record, version) = world.api.lease.clone();
        let before = self.lease.take();
        // A version that was seen before says the same since then.
        let seen = match before {
            Some((seen, known)) if known == version => seen,
            before => SeenLease::again(before.map(|(seen, _)| seen), record, now),
        };
        self.lease = Some((seen.clone(), version));
        (seen, version)
    }

    /// Gives the Lease back.
    fn release(&mut self, world: &mut World) {
        let now = self.now(world);
        if let (Some(_), Some((SeenLease { record: Some(record), .. }, version))) = (self.term.take(), &self.lease) {
            let _ = world.api.write_lease(*version, Record::released(record, now), self.reach(Fault::None));
        }
    }

    /// What becomes of a write of this process.
    fn reach(&self, fault: Fault) -> Fault {
        if self.cut { Fault::Before } else { fault }
    }

    /// Whether this process may send something that removes.
    fn leads(&self, world: &World) -> bool {
        let left = self.term.and_then(|term| term.removal_time(self.moment(world)));
        !world.guards.lease || left.is_some()
    }

    fn now(&self, world: &World) -> Timestamp {
        world.time(self.skew)
    }

    fn moment(&self, world: &World) -> Moment {
        Moment { wall: self.now(world), elapsed: self.elapsed() }
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.elapsed).unwrap_or_default())
    }

    pub(crate) fn show(&mut self, world: &World) {
        if self.cut || self.term.is_none() {
            return;
        }
        self.shown = world.api.policy.clone();
    }

    fn learn(&mut self, policy: &RegistryCleanupPolicy) {
        let Some(status) = &policy.status else { return };
        let ran = status.last_run.as_ref().map(|run| run.observed_generation);
        let edited = ran != policy.metadata.generation;
        self.ledger.remember(Owner { uid: "uid", name: NAME }, status, &policy.spec.target, edited);
    }

    /// Reads the policy from the API server itself.
    fn read(&mut self, world: &World) -> RegistryCleanupPolicy {
        let live = world.api.policy.clone();
        let run = live.status.as_ref().and_then(|status| status.last_run.as_ref());
        self.seen =
            run.filter(|run| run.result.is_under_way()).map(|run| Seen::again(self.seen.as_ref(), run, self.elapsed()));
        live
    }

    /// Looks at the policy: nothing while a run of this process is under way, or else the next thing to do.
    pub(crate) fn look(&mut self, world: &mut World, fault: Fault) {
        if self.run.is_some() || self.term.is_none() || self.cut {
            return;
        }
        if let Some(ended) = self.unwritten.clone() {
            let live = self.read(world);
            self.write_end(world, live, ended, fault);
            return;
        }
        let shown = self.shown.clone();
        if is_quiet(&self.decide(world, &shown).0) {
            return;
        }
        let live = self.read(world);
        let (action, policy) = self.decide(world, &live);
        if !is_quiet(&action) {
            self.act(world, &live, &action, &policy, fault);
        }
    }

    fn decide(&self, world: &World, policy: &RegistryCleanupPolicy) -> (Action, Rc<CompiledPolicy>) {
        let now = self.now(world);
        let compiled = World::compiled(policy, now);
        let fresh = PolicyStatus::default();
        let status = policy.status.as_ref().unwrap_or(&fresh);
        let run = status.last_run.as_ref().filter(|run| run.result.is_under_way());
        let holder: Option<Holder> =
            run.map(|run| holder(run, &self.identity, false, self.seen.as_ref(), self.elapsed()));
        let view = View {
            generation: policy.metadata.generation.unwrap_or_default(),
            deleting: false,
            tokens: Tokens::of(policy),
            status,
            policy: Ok(&compiled),
            checked: self.checked,
            definition: &self.definition,
            pause: &Pause::Off,
            neighbours_changed: false,
            holder,
        };
        (next_action(&view, now), compiled)
    }

    fn act(
        &mut self,
        world: &mut World,
        live: &RegistryCleanupPolicy,
        action: &Action,
        policy: &Rc<CompiledPolicy>,
        fault: Fault,
    ) {
        let now = self.now(world);
        let generation = live.metadata.generation.unwrap_or_default();
        let mut status = live.status.clone().unwrap_or_default();
        let definition = self.definition.clone();
        let subject = Subject { policy, generation, definition: &definition, now };
        match action {
            Action::Begin { trigger, mode, slot } => {
                self.begin(world, live, policy, (*trigger, *mode, *slot), fault);
                return;
            }
            Action::RecordInterruption => self.record_interruption(live, policy, &mut status, now),
            Action::Check => {
                status_conditions::checked(&mut status, subject, &findings());
                self.checked = Some(Checked { generation, at: now, failures: 0 });
            }
            Action::LookAtRecord => return,
            _ => {
                let asked =
                    Asked { compiled: Ok(subject), tokens: Tokens::of(live), pause: &Pause::Off, generation, now };
                if answer(action, asked, &mut status).is_none() {
                    return;
                }
            }
        }
        let _ = self.commit(world, live, status, fault);
    }

    fn commit(
        &mut self,
        world: &mut World,
        live: &RegistryCleanupPolicy,
        mut status: PolicyStatus,
        fault: Fault,
    ) -> Result<RegistryCleanupPolicy, Failed> {
        self.settle(world, live, &mut status);
        if live.status.as_ref() == Some(&status) {
            return Ok(live.clone());
        }
        let fault = self.reach(fault);
        world.api.write(live, status, fault)
    }

    fn settle(&self, world: &World, live: &RegistryCleanupPolicy, status: &mut PolicyStatus) {
        let now = self.now(world);
        status.observed_uid = Some("uid".to_owned());
        reserved_hours::expire(status, now);
        let owner = Owner { uid: "uid", name: NAME };
        for hour in self.ledger.to_keep(owner, &live.spec.target, false, |_| true, now) {
            reserved_hours::add(status, hour);
        }
        report::fit(status);
    }

    fn record_interruption(
        &mut self,
        live: &RegistryCleanupPolicy,
        policy: &CompiledPolicy,
        status: &mut PolicyStatus,
        now: Timestamp,
    ) {
        let ran = status.last_run.as_ref().map(|run| run.observed_generation);
        let edited = ran != live.metadata.generation;
        report::interrupted(status, live.spec.history_limit, policy.timeout, now);
        self.ledger.remember(Owner { uid: "uid", name: NAME }, status, &live.spec.target, edited);
        if !edited {
            let approved = live.status.as_ref().and_then(|status| status.last_run.as_ref()?.approved_plan.clone());
            resume::note(status, approved, policy.starting_deadline, None, now);
        }
    }

    fn begin(
        &mut self,
        world: &mut World,
        before: &RegistryCleanupPolicy,
        policy: &Rc<CompiledPolicy>,
        (trigger, mode, slot): (Trigger, registry_cleanup_operator::api::Mode, Option<Timestamp>),
        fault: Fault,
    ) {
        let begun = self.moment(world);
        let deadline = begun.wall.checked_add(policy.active_deadline).unwrap_or(Timestamp::MAX);
        let generation = before.metadata.generation.unwrap_or_default();
        let mut status = before.status.clone().unwrap_or_default();
        self.settle(world, before, &mut status);
        if status.last_run.as_ref().is_some_and(|run| !self.holds(run)) {
            self.learn(&RegistryCleanupPolicy { status: Some(status.clone()), ..before.clone() });
        }
        let holder = self.identity.as_str();
        let record = NewRun { policy, trigger, mode, generation, holder, started: begun.wall }.record(&status);
        status_conditions::note_trigger(&mut status, trigger, slot, Tokens::of(before));
        let definition = self.definition.clone();
        let subject = Subject { policy, generation, definition: &definition, now: begun.wall };
        status_conditions::arm(&mut status, subject);
        report::begin(&mut status, record.clone(), deadline, policy.timeout);
        let last = before.status.as_ref();
        let others_before = last
            .filter(|status| status.last_run.as_ref().is_some_and(|run| run.gitlab == record.gitlab))
            .and_then(|status| status.others_eligible_time.as_ref())
            .map(|time| time.0);
        // Where the answer was lost, it is looked whether the record is there; that look is lost every other time.
        let looks_again = fault == Fault::After && world.now % 2 == 0;
        let live = match world.api.write(before, status, self.reach(fault)) {
            Ok(live) => live,
            Err(Failed::NoAnswer) if looks_again => world.api.policy.clone(),
            Err(_) => return,
        };
        let written = Written { at: begun, progress: RunProgress::default(), stopping: false };
        self.run = Some(Run {
            record,
            policy: Rc::clone(policy),
            others_before,
            deadline,
            renewed: begun,
            written,
            live,
            left: REPOSITORIES.into_iter().collect(),
            waits: None,
            outcomes: Vec::new(),
            stop: None,
        });
    }

    /// Goes on with the run by one answer, or else by one request, or else ends it.
    pub(crate) fn work(&mut self, world: &mut World, fault: Fault) {
        let Some(mut run) = self.run.take() else { return };
        if run.stop.is_none() {
            run.stop = self.stopped(world, &run);
        }
        if let Some(request) = run.waits {
            self.wait(world, &mut run, request);
        } else if run.stop.is_some() {
            let rest = run.left.drain(..);
            run.outcomes
                .extend(rest.map(|id| outcome(id, RepositoryResult::Skipped, Some(RepositoryReason::NotReached))));
        } else if self.leads(world) && (!world.guards.validity || is_valid(run.renewed, self.moment(world))) {
            self.send(world, &mut run);
        }
        if run.waits.is_none() && run.left.is_empty() {
            self.end(world, run, fault);
        } else {
            self.run = Some(run);
        }
    }

    /// Why the run is to stop, as far as this process knows.
    fn stopped(&self, world: &World, run: &Run) -> Option<Stop> {
        if self.shown.metadata.generation != Some(run.record.observed_generation) {
            // A watch that lags behind the record is no edit.
            let newer = self.shown.metadata.generation > Some(run.record.observed_generation);
            return newer.then_some(Stop::PolicyChanged);
        }
        (self.now(world) >= run.deadline).then_some(Stop::Deadline)
    }

    fn wait(&mut self, world: &mut World, run: &mut Run, request: Request) {
        let now = self.now(world);
        let answered = world.gitlab.answers.remove(&request.id);
        if !answered && self.elapsed - request.sent < TIMEOUT {
            return;
        }
        let until = if answered || !world.guards.margin {
            eligible_after(now)
        } else {
            eligible_after_unseen(now, run.policy.timeout)
        };
        run.waits = None;
        let path = path(request.repository);
        let location = format!("registry.test/{path}");
        let repository = repository(run, &path, &location, request.repository);
        self.ledger.requested(repository, Owner { uid: "uid", name: NAME }, until);
        let mut outcome = if answered {
            outcome(request.repository, RepositoryResult::Changed, None)
        } else {
            outcome(request.repository, RepositoryResult::Failed, Some(RepositoryReason::AnswerLost))
        };
        outcome.eligible = Some(until);
        run.outcomes.push(outcome);
    }

    fn send(&mut self, world: &mut World, run: &mut Run) {
        let Some(id) = run.left.pop_front() else { return };
        let (path, now) = (path(id), self.now(world));
        let location = format!("registry.test/{path}");
        let key = repository(run, &path, &location, id);
        let reserved = self.ledger.reserve(key, Owner { uid: "uid", name: NAME }, now);
        match reserved {
            Err(Blocked { until, .. }) if world.guards.ledger => {
                let mut skipped = outcome(id, RepositoryResult::Skipped, Some(RepositoryReason::RateLimited));
                skipped.eligible = Some(until);
                run.outcomes.push(skipped);
            }
            _ => {
                world.leaves(&run.record.id);
                let request = world.gitlab.send(id, world.now);
                run.waits = Some(Request { id: request, repository: id, sent: self.elapsed });
            }
        }
    }

    /// Ends the run, and writes what it came to.
    fn end(&mut self, world: &mut World, run: Run, fault: Fault) {
        let now = self.now(world);
        let mut outcomes = run.outcomes;
        self.ledger.prune(now);
        for outcome in &mut outcomes {
            let location = format!("registry.test/{}", outcome.path);
            let key = Repository {
                instance: run.policy.base_url.as_str(),
                location: &location,
                id: outcome.id,
                path: &outcome.path,
            };
            let blocked = self.ledger.blocked(key, NAME, now).map(|blocked| blocked.until);
            outcome.eligible = outcome.eligible.or(blocked);
        }
        let ended = FinishedRun {
            namespace: "team".to_owned(),
            name: "shop".to_owned(),
            uid: "uid".to_owned(),
            record: RunStatus { registry: Some("registry.test".to_owned()), ..run.record },
            policy: CompiledPolicy::clone(&run.policy),
            history_limit: 3,
            others_before: run.others_before,
            ended: now,
            end: run.stop.map_or(End::Completed, End::Stopped),
            requests: Some(1),
            outcomes,
            findings: findings(),
            overlaps: Vec::new(),
            proposal: Proposal::AsBefore,
            watched: None,
            conflicts: None,
            shared: None,
            effect: None,
            unused_registries: None,
            removed: Closed::default(),
        };
        if run.stop.is_none() {
            world.came_through(&ended.record.id, self.process);
        }
        self.write_end(world, run.live, ended, fault);
    }

    pub(crate) fn has_unwritten(&self) -> bool {
        self.unwritten.is_some()
    }

    fn write_end(&mut self, world: &mut World, mut live: RegistryCleanupPolicy, run: FinishedRun, mut fault: Fault) {
        self.unwritten = None;
        for _ in 0..5 {
            let mut status = live.status.clone().unwrap_or_default();
            let generation = live.metadata.generation.unwrap_or_default();
            let written = match run.write_into(&mut status, generation, &self.definition, READER) {
                Fit::Nothing => return,
                Fit::Amended | Fit::Ended => self.commit(world, &live, status, fault),
            };
            match written {
                Ok(_) => return,
                Err(Failed::Conflict) => live = world.api.policy.clone(),
                Err(Failed::NoAnswer) => break,
            }
            fault = Fault::None;
        }
        self.unwritten = world.guards.kept_end.then_some(run);
    }

    /// Writes the record of the run if it is due.
    pub(crate) fn renew(&mut self, world: &mut World, mut fault: Fault) {
        let Some(mut run) = self.run.take() else { return };
        let progress = RunProgress::default();
        if is_due(&run.written, progress, run.stop.is_some(), self.moment(world)) {
            for _ in 0..5 {
                let at = self.moment(world);
                let mut status = run.live.status.clone().unwrap_or_default();
                report::renew(&mut status, progress, None, run.stop.is_some(), at.wall);
                match world.api.write(&run.live, status, self.reach(fault)) {
                    Ok(live) => {
                        run.live = live;
                        run.renewed = at;
                        run.written = Written { at, progress, stopping: run.stop.is_some() };
                        break;
                    }
                    Err(Failed::NoAnswer) => break,
                    Err(Failed::Conflict) => {}
                }
                fault = Fault::None;
                let now = world.api.policy.clone();
                if !self.is_ours(&run, &now) {
                    run.stop = Some(Stop::GivenUp);
                    break;
                }
                if now.metadata.generation != run.live.metadata.generation {
                    run.stop = Some(Stop::PolicyChanged);
                }
                run.live = now;
            }
        }
        self.run = Some(run);
    }

    fn holds(&self, run: &RunStatus) -> bool {
        run.holder_identity.as_deref().is_some_and(|holder| self.identity.is(holder))
    }

    fn is_ours(&self, run: &Run, policy: &RegistryCleanupPolicy) -> bool {
        let last = policy.status.as_ref().and_then(|status| status.last_run.as_ref());
        last.is_some_and(|last| last.result.is_under_way() && last.id == run.record.id && self.holds(last))
    }

    /// Ends the run between two requests, and writes what there is to write.
    pub(crate) fn terminate(&mut self, world: &mut World) {
        if let Some(run) = &mut self.run {
            run.stop.get_or_insert(Stop::Shutdown);
        }
        // What is on its way is awaited to its end, one way or the other.
        if self.run.as_ref().is_some_and(|run| run.waits.is_some()) {
            self.elapsed += TIMEOUT;
            world.now += TIMEOUT;
        }
        self.work(world, Fault::None);
        self.work(world, Fault::None);
        if self.unwritten.is_some() {
            self.look(world, Fault::None);
        }
        self.release(world);
    }
}

fn is_quiet(action: &Action) -> bool {
    matches!(action, Action::Wait(_) | Action::Ignore)
}

fn findings() -> Findings {
    Findings { trouble: None, ..not_asked(String::new()) }
}

fn outcome(id: u64, result: RepositoryResult, reason: Option<RepositoryReason>) -> Outcome {
    Outcome::new(&path(id), id, result, reason)
}

fn repository<'a>(run: &'a Run, path: &'a str, location: &'a str, id: u64) -> Repository<'a> {
    bulk_ledger::Repository { instance: run.policy.base_url.as_str(), location, id, path }
}
