//! The API server, GitLab, the time, and what must hold.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use jiff::Timestamp;
use proptest::test_runner::TestCaseError;
use registry_cleanup_operator::api::{
    HistoryEntry, PolicyStatus, RUN_REQUESTED_AT, RegistryCleanupPolicy, RunResult, Trigger,
};
use registry_cleanup_operator::leadership::record::Record;
use registry_cleanup_operator::policy::{CompileOptions, CompiledPolicy, compile};
use serde_json::json;

use crate::operator::Operator;
use crate::steps::{Fault, Step, Who};

/// GitLab takes one bulk deletion per repository in so many seconds.
const HOUR: i64 = 3600;
/// The client's time-out, as the policy sets it, in seconds.
pub(crate) const TIMEOUT: i64 = 30;
/// After so many seconds from the end of the time-out GitLab has given a request up.
const SERVER_WORKS: i64 = 150;
/// The repositories of the target.
pub(crate) const REPOSITORIES: [u64; 2] = [1, 2];

/// What protects. A model without one of them has to break.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guards {
    /// Nothing is requested that the ledger has reserved.
    pub(crate) ledger: bool,
    /// A request without an answer counts from the latest moment at which it can have been accepted.
    pub(crate) margin: bool,
    /// Nothing is sent once the record is too old.
    pub(crate) validity: bool,
    /// A status is only written into the version that it was decided by.
    pub(crate) compare_and_swap: bool,
    /// The end of a run is kept until it is written.
    pub(crate) kept_end: bool,
    /// Nothing is sent without a Lease that outlives it.
    pub(crate) lease: bool,
}

impl Default for Guards {
    fn default() -> Self {
        Self { ledger: true, margin: true, validity: true, compare_and_swap: true, kept_end: true, lease: true }
    }
}

/// What was broken.
#[derive(Debug)]
pub(crate) struct Violation(String);

impl From<Violation> for TestCaseError {
    fn from(violation: Violation) -> Self {
        Self::fail(violation.0)
    }
}

fn violated(text: String) -> Result<(), Violation> {
    Err(Violation(text))
}

/// Why a write did not go as it should.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failed {
    /// Somebody wrote the policy since it was read.
    Conflict,
    /// There was no answer.
    NoAnswer,
}

/// The API server with its one policy.
pub(crate) struct Api {
    pub(crate) policy: RegistryCleanupPolicy,
    /// The Lease and its version.
    pub(crate) lease: (Option<Record>, u64),
    compare_and_swap: bool,
    version: u64,
    /// Runs that a status told of: whether it told of their ends.
    runs: BTreeMap<String, bool>,
    /// What scheduled runs and requested ones were for.
    slots: HashMap<String, String>,
    broken: Option<String>,
}

impl Api {
    fn new(compare_and_swap: bool) -> Self {
        let policy = json!({
            "apiVersion": "registrycleanup.dev/v1alpha1", "kind": "RegistryCleanupPolicy",
            "metadata": {"name": "shop", "namespace": "team", "uid": "uid", "generation": 1, "resourceVersion": "1"},
            "spec": {
                "gitlab": {"url": "https://gitlab.test", "secretRef": {"name": "token"}, "timeout": "30s"},
                "target": {"groups": [{"path": "shop"}]},
                "rules": [{"name": "old", "nameRegexDelete": "mr-.*", "keepN": 1}],
                "mode": "Delete", "method": "Bulk", "schedule": "30 * * * *", "historyLimit": 3,
            },
        });
        let policy = serde_json::from_value(policy).expect("a policy");
        let (runs, slots) = (BTreeMap::new(), HashMap::new());
        Self { policy, lease: (None, 0), compare_and_swap, version: 1, runs, slots, broken: None }
    }

    /// Writes a status into the version of the policy that was read.
    pub(crate) fn write(
        &mut self,
        read: &RegistryCleanupPolicy,
        status: PolicyStatus,
        fault: Fault,
    ) -> Result<RegistryCleanupPolicy, Failed> {
        if fault == Fault::Before {
            return Err(Failed::NoAnswer);
        }
        if self.compare_and_swap && read.metadata.resource_version != self.policy.metadata.resource_version {
            return Err(Failed::Conflict);
        }
        self.note(&status);
        self.policy.status = Some(status);
        self.next_version();
        if fault == Fault::After { Err(Failed::NoAnswer) } else { Ok(self.policy.clone()) }
    }

    /// Writes the Lease, if it still has the version that was read.
    pub(crate) fn write_lease(&mut self, read: u64, record: Record, fault: Fault) -> Result<u64, Failed> {
        if fault == Fault::Before {
            return Err(Failed::NoAnswer);
        }
        if read != self.lease.1 {
            return Err(Failed::Conflict);
        }
        self.lease = (Some(record), read + 1);
        if fault == Fault::After { Err(Failed::NoAnswer) } else { Ok(read + 1) }
    }

    fn edit(&mut self) {
        let generation = self.policy.metadata.generation.unwrap_or_default() + 1;
        self.policy.metadata.generation = Some(generation);
        self.policy.spec.rules[0].keep_n = Some(u32::try_from(generation % 5 + 1).unwrap_or(1));
        self.next_version();
    }

    fn request(&mut self) {
        let value = format!("request-{}", self.version);
        self.policy.metadata.annotations.get_or_insert_default().insert(RUN_REQUESTED_AT.to_owned(), value);
        self.next_version();
    }

    fn next_version(&mut self) {
        self.version += 1;
        self.policy.metadata.resource_version = Some(self.version.to_string());
    }

    /// Takes note of runs that begin and end, and of what they are for.
    fn note(&mut self, status: &PolicyStatus) {
        let (Some(run), before) = (&status.last_run, self.policy.status.as_ref()) else { return };
        if let Some(last) = before.and_then(|before| before.last_run.as_ref())
            && last.id != run.id
            && last.result.is_under_way()
        {
            self.broken = Some(format!("run {} was overwritten by {} while it was under way", last.id, run.id));
        }
        let ended = !run.result.is_under_way();
        let known = self.runs.insert(run.id.clone(), ended);
        if known.is_some() {
            return;
        }
        let purpose = match run.trigger {
            Trigger::Schedule => status.last_schedule_time.as_ref().map(|slot| format!("slot {}", slot.0)),
            Trigger::RunRequested => status.last_handled_run_at.clone(),
            _ => None,
        };
        if let Some(purpose) = purpose
            && let Some(other) = self.slots.insert(purpose.clone(), run.id.clone())
        {
            self.broken = Some(format!("runs {other} and {} were both begun for {purpose}", run.id));
        }
    }
}

/// A request on its way.
pub(crate) struct Flight {
    pub(crate) id: u64,
    pub(crate) repository: u64,
    sent: i64,
}

/// What GitLab has, and what is on its way there.
#[derive(Default)]
pub(crate) struct GitLab {
    accepted: HashMap<u64, i64>,
    flights: Vec<Flight>,
    next: u64,
    /// Answers that arrived, by the request.
    pub(crate) answers: HashSet<u64>,
}

impl GitLab {
    pub(crate) fn send(&mut self, repository: u64, now: i64) -> u64 {
        self.next += 1;
        self.flights.push(Flight { id: self.next, repository, sent: now });
        self.next
    }

    /// What was not accepted by now never will be.
    fn give_up(&mut self, now: i64) {
        self.flights.retain(|flight| now <= flight.sent + TIMEOUT + SERVER_WORKS);
    }

    fn deliver(&mut self, which: u8, answered: bool, now: i64) -> Result<(), Violation> {
        if self.flights.is_empty() {
            return Ok(());
        }
        let flight = self.flights.remove(usize::from(which) % self.flights.len());
        if let Some(before) = self.accepted.insert(flight.repository, now)
            && now - before < HOUR
        {
            let (repository, after) = (flight.repository, now - before);
            return violated(format!("a second bulk deletion of repository {repository} after {after} s"));
        }
        if answered {
            self.answers.insert(flight.id);
        }
        Ok(())
    }
}

/// Everything.
pub(crate) struct World {
    /// Seconds since it began.
    pub(crate) now: i64,
    pub(crate) api: Api,
    pub(crate) gitlab: GitLab,
    pub(crate) guards: Guards,
    /// None is there while it acts.
    operators: Vec<Option<Operator>>,
    processes: u64,
    /// The runs that came through, with the process that knows.
    came_through: HashMap<String, u64>,
}

impl World {
    pub(crate) fn new(guards: Guards, skews: [i64; 2]) -> Self {
        let mut world = Self {
            now: 0,
            api: Api::new(guards.compare_and_swap),
            gitlab: GitLab::default(),
            guards,
            operators: Vec::new(),
            processes: 0,
            came_through: HashMap::new(),
        };
        for (who, skew) in skews.into_iter().enumerate() {
            let operator = world.start(who, skew);
            world.operators.push(Some(operator));
        }
        world
    }

    /// The time by a clock that is off by so many seconds.
    pub(crate) fn time(&self, skew: i64) -> Timestamp {
        // A moment at which nothing else begins.
        Timestamp::from_second(1_795_000_000 + self.now + skew).unwrap_or(Timestamp::MAX)
    }

    /// A policy of a generation, as it is compiled: the same in every world.
    pub(crate) fn compiled(policy: &RegistryCleanupPolicy, now: Timestamp) -> Rc<CompiledPolicy> {
        thread_local! {
            static COMPILED: RefCell<HashMap<i64, Rc<CompiledPolicy>>> = RefCell::default();
        }
        let compile = || Rc::new(compile(&policy.spec, &CompileOptions::default(), now).expect("a sound policy"));
        let generation = policy.metadata.generation.unwrap_or_default();
        COMPILED.with_borrow_mut(|known| Rc::clone(known.entry(generation).or_insert_with(compile)))
    }

    fn start(&mut self, who: Who, skew: i64) -> Operator {
        self.processes += 1;
        Operator::start(self, who, self.processes, skew)
    }

    pub(crate) fn take(&mut self, step: Step) -> Result<(), Violation> {
        match step {
            Step::Pass(seconds) => self.go_on(i64::from(seconds)),
            Step::AlmostAnHour(before) => {
                let end = self.gitlab.accepted.values().max().map_or(self.now, |last| last + HOUR);
                self.go_on(end - i64::from(before) - self.now);
            }
            Step::Show(who) => self.with(who, |operator, world| operator.show(world)),
            Step::Look(who, fault) => self.with(who, |operator, world| operator.look(world, fault)),
            Step::Work(who, fault) => self.with(who, |operator, world| operator.work(world, fault)),
            Step::Renew(who, fault) => self.with(who, |operator, world| operator.renew(world, fault)),
            Step::Deliver { which, answered } => self.gitlab.deliver(which, answered, self.now)?,
            Step::Crash(who) => self.replace(who),
            Step::Terminate(who) => {
                self.with(who, Operator::terminate);
                if self.operator(who).is_some_and(|operator| !operator.frozen) {
                    self.replace(who);
                }
            }
            Step::Freeze(who) => self.operator(who).into_iter().for_each(|operator| operator.frozen ^= true),
            Step::Cut(who) => self.operator(who).into_iter().for_each(|operator| operator.cut ^= true),
            Step::Elect(who, fault) => self.elect(who, fault),
            Step::Suspend(who, seconds) => {
                let seconds = i64::from(seconds);
                self.operator(who).into_iter().for_each(|operator| operator.elapsed -= seconds);
                self.pass(seconds);
            }
            Step::Edit => self.api.edit(),
            Step::Request => self.api.request(),
        }
        self.api.broken.take().map_or(Ok(()), violated)
    }

    fn pass(&mut self, seconds: i64) {
        self.now += seconds;
        self.operators.iter_mut().flatten().for_each(|operator| operator.elapsed += seconds);
        self.gitlab.give_up(self.now);
    }

    /// Lets time go by, in which whoever can renews its Lease often enough to keep it.
    fn go_on(&mut self, mut seconds: i64) {
        while seconds > 0 {
            let part = seconds.min(25);
            self.pass(part);
            seconds -= part;
            for who in [0, 1] {
                self.elect(who, Fault::None);
            }
        }
    }

    fn elect(&mut self, who: Who, fault: Fault) {
        let mut goes_on = true;
        self.with(who, |operator, world| goes_on = operator.elect(world, fault));
        if !goes_on {
            self.replace(who);
        }
    }

    /// Takes note that a request leaves for a run.
    pub(crate) fn leaves(&mut self, run: &str) {
        let last = self.api.policy.status.as_ref().and_then(|status| status.last_run.as_ref());
        if last.is_none_or(|last| last.id != run || !last.result.is_under_way()) {
            self.api.broken = Some(format!("a request left for {run}, which had been given up"));
        }
    }

    fn operator(&mut self, who: Who) -> Option<&mut Operator> {
        self.operators.get_mut(who)?.as_mut()
    }

    fn replace(&mut self, who: Who) {
        let Some(gone) = self.operator(who) else { return };
        let (skew, process, unwritten) = (gone.skew, gone.process, gone.has_unwritten());
        if unwritten {
            self.came_through.retain(|_, knows| *knows != process);
        }
        self.operators[who] = Some(self.start(who, skew));
    }

    fn with(&mut self, who: Who, act: impl FnOnce(&mut Operator, &mut Self)) {
        let Some(mut operator) = self.operators[who].take() else { return };
        if !operator.frozen {
            act(&mut operator, self);
        }
        self.operators[who] = Some(operator);
    }

    /// A run came through, as far as its process is concerned.
    pub(crate) fn came_through(&mut self, run: &str, process: u64) {
        self.came_through.insert(run.to_owned(), process);
    }

    /// Everything goes well for a while.
    fn go_well(&mut self) -> Result<(), Violation> {
        self.take(Step::Pass(30))?;
        for who in [0, 1] {
            self.take(Step::Show(who))?;
            self.take(Step::Look(who, Fault::None))?;
            self.take(Step::Renew(who, Fault::None))?;
            for _ in REPOSITORIES {
                self.take(Step::Work(who, Fault::None))?;
                self.take(Step::Deliver { which: 0, answered: true })?;
                self.take(Step::Work(who, Fault::None))?;
            }
        }
        Ok(())
    }

    /// Lets everything go well until nothing is under way. Then nothing may be left undone.
    pub(crate) fn come_to_rest(&mut self) -> Result<(), Violation> {
        for operator in self.operators.iter_mut().flatten() {
            (operator.frozen, operator.cut) = (false, false);
        }
        for round in 0..40 {
            if round > 15 && self.api.runs.values().all(|ended| *ended) {
                break;
            }
            self.go_well()?;
        }
        let status = self.api.policy.status.clone().unwrap_or_default();
        if let Some((run, _)) = self.api.runs.iter().find(|(_, ended)| !**ended) {
            return violated(format!("the end of run {run} was never told"));
        }
        let given_up = |run: &&HistoryEntry| run.result == RunResult::Interrupted;
        if let Some(run) = status.history.iter().filter(given_up).find(|run| self.came_through.contains_key(&run.id)) {
            return violated(format!("run {} came through, and is told to have been given up", run.id));
        }
        if status.next_schedule_time.is_none() {
            return violated("no next run is armed".to_owned());
        }
        if status.observed_generation != self.api.policy.metadata.generation {
            return violated("an edit was never observed".to_owned());
        }
        Ok(())
    }
}
