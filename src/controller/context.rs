//! What all reconciliations share.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use kube::runtime::reflector::Store;
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::api::RegistryCleanupPolicy;
use crate::clock::Clock;
use crate::cluster::events::Events;
use crate::cluster::workloads::Workloads;
use crate::gitlab::GitLab;
use crate::leadership::identity::Identity;
use crate::notifications::Notifier;
use crate::policy::bulk_ledger::Ledger;
use crate::policy::compiled_cache::CompiledCache;
use crate::policy::definition::Definition;
use crate::policy::label_selector::LabelSelector;
use crate::policy::overlap::Reader;
use crate::policy::pause::Pause;
use crate::policy::{CompileOptions, CompiledPolicy};

use super::check_state::Memory;
use super::counts::Counts;
use super::gate::{RunGate, StillCurrent};
use super::leadership::Leadership;
use super::neighbours::{Directory, Guarded, Neighbours, are_ready};
use super::pause::PauseSwitch;
use super::shared_answers::SharedAnswers;
use super::sightings::Sightings;
use super::traces::Traces;

/// Tags of a repository that are planned at the same time: half as many again take some 45 MiB.
const TAGS_OF_A_PASS: u64 = 60_000;
/// How many policies are read or written whole at the same time.
const WHOLE_POLICIES: usize = 8;
/// How many policies are taken from one step to the next at the same time, besides those that wait for GitLab.
const STEPS: usize = 8;

/// What all reconciliations share.
pub struct Context {
    pub(crate) kube: Client,
    pub(crate) gitlab: GitLab,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: CompileOptions,
    pub(crate) events: Events,
    /// What the cluster runs, if the operator looks.
    pub(crate) workloads: Option<Workloads>,
    pub(crate) shutdown: CancellationToken,
    /// That of this process, where operators take turns.
    leadership: Option<Arc<Leadership>>,
    /// What pauses the installation, where something can.
    pause: Option<Arc<PauseSwitch>>,
    /// Which policies this installation looks after.
    shard: LabelSelector,
    /// Where the statuses of all policies are listed.
    lists: OnceLock<Vec<Api<Guarded>>>,
    /// Held while a policy is compiled.
    pub(crate) compiling: Semaphore,
    /// Held while a policy is read or written whole. Others may make each a megabyte, and the buffer of a connection
    /// that has carried one stays that large for as long as the connection is kept.
    pub(crate) whole_policies: Semaphore,
    /// Held from the reading of a policy to the end of what is done about it, where that needs the API server only:
    /// what it was compiled to is there meanwhile, a quarter of a megabyte at most.
    pub(crate) steps: Semaphore,
    compiled: Mutex<CompiledCache>,
    /// Who this process is in the records of its runs.
    pub(crate) identity: Identity,
    /// When this process began: what GitLab was asked for since, it knows.
    pub(crate) started: Timestamp,
    ledger: Mutex<Ledger>,
    traces: Mutex<Traces>,
    memory: Mutex<Memory>,
    /// What GitLab says of tokens and targets, for all that are looked at.
    pub(crate) answers: SharedAnswers,
    definition: Mutex<Definition>,
    /// All policies, as the watches have shown them; nothing until there are watches.
    policies: OnceLock<Vec<Store<Guarded>>>,
    /// What was made of all of them.
    pub(crate) sightings: Sightings,
    /// What is counted for the metrics.
    pub(crate) counts: Counts,
    /// Of how many runs of a policy it is kept what they removed.
    pub(crate) history_limit: usize,
    /// Who is told outside of the cluster, if anybody.
    pub(crate) notifier: Option<Notifier>,
    /// How many tags of one repository are planned at the same time, more or less, where what goes of them is removed
    /// before others are.
    pub(crate) tags_of_a_pass: u64,
}

impl Context {
    /// Puts the shared parts together. Without `workloads`, policies that want images in use to be protected remove
    /// nothing. `shutdown` stops runs between two requests.
    #[must_use]
    pub fn new(
        kube: Client,
        gitlab: GitLab,
        clock: Arc<dyn Clock>,
        settings: CompileOptions,
        events: Events,
        workloads: Option<Workloads>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            started: clock.now(),
            kube,
            gitlab,
            clock,
            settings,
            events,
            workloads,
            shutdown,
            leadership: None,
            pause: None,
            shard: LabelSelector::default(),
            lists: OnceLock::new(),
            compiling: Semaphore::new(1),
            whole_policies: Semaphore::new(WHOLE_POLICIES),
            steps: Semaphore::new(STEPS),
            compiled: Mutex::default(),
            identity: identity(None, None),
            ledger: Mutex::default(),
            traces: Mutex::default(),
            memory: Mutex::default(),
            answers: SharedAnswers::default(),
            definition: Mutex::default(),
            policies: OnceLock::new(),
            sightings: Sightings::default(),
            counts: Counts::default(),
            history_limit: 0,
            notifier: None,
            tags_of_a_pass: TAGS_OF_A_PASS,
        }
    }

    /// The same, planning about so many tags of one repository at the same time.
    #[must_use]
    pub fn with_passes_of(self, tags: u64) -> Self {
        Self { tags_of_a_pass: tags, ..self }
    }

    /// The same, keeping of so many runs of each policy what they removed.
    #[must_use]
    pub fn with_history(self, limit: usize) -> Self {
        Self { history_limit: limit, ..self }
    }

    /// The same, telling a receiver outside of the cluster of what needs somebody.
    #[must_use]
    pub fn notifying(self, notifier: Notifier) -> Self {
        Self { notifier: Some(notifier), ..self }
    }

    /// The same for a process that calls itself so in the records of its runs.
    #[must_use]
    pub fn known_as(self, identity: Identity) -> Self {
        Self { identity, ..self }
    }

    /// The same for a process that sends nothing to GitLab unless it leads.
    #[must_use]
    pub fn led_by(self, leadership: Arc<Leadership>) -> Self {
        Self { leadership: Some(leadership), ..self }
    }

    /// The same for a process that removes nothing while its installation is paused.
    #[must_use]
    pub fn paused_by(self, pause: Arc<PauseSwitch>) -> Self {
        Self { pause: Some(pause), ..self }
    }

    /// The same for a process that looks after the policies with such labels alone, and knows of the others.
    #[must_use]
    pub fn with_shard(self, shard: LabelSelector) -> Self {
        Self { shard, ..self }
    }

    /// Which policies this installation looks after.
    pub(crate) fn shard(&self) -> &LabelSelector {
        &self.shard
    }

    /// Whether this installation looks after a policy.
    pub(crate) fn is_ours<K: Resource>(&self, policy: &K) -> bool {
        self.shard.selects(policy.meta().labels.as_ref())
    }

    /// Where the statuses of all policies are listed from now on. Whoever comes second changes nothing.
    pub(crate) fn list_from(&self, lists: Vec<Api<Guarded>>) {
        let _ = self.lists.set(lists);
    }

    /// Where the statuses of all policies are listed, others' included.
    pub(crate) fn lists(&self) -> &[Api<Guarded>] {
        self.lists.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// What is known of the pause of the installation.
    pub(crate) fn pause(&self) -> Pause {
        self.pause.as_ref().map(|pause| pause.now(&*self.clock)).unwrap_or_default()
    }

    /// What pauses the installation.
    pub(crate) fn pause_switch(&self) -> Option<&Arc<PauseSwitch>> {
        self.pause.as_ref()
    }

    /// The gate of something that is done for a policy until `deadline`, as long as the policy is what it was.
    pub(crate) fn gate(&self, deadline: Timestamp, still_current: StillCurrent) -> RunGate {
        let (clock, shutdown) = (Arc::clone(&self.clock), self.shutdown.clone());
        RunGate::new(clock, deadline, shutdown, self.leadership.clone(), still_current)
    }

    pub(crate) fn policies(&self, namespace: &str) -> Api<RegistryCleanupPolicy> {
        Api::namespaced(self.kube.clone(), namespace)
    }

    /// Whether this process leads, which it always does where operators do not take turns.
    pub(crate) fn leads(&self) -> bool {
        self.leadership.as_ref().is_none_or(|leadership| leadership.is_valid(&*self.clock))
    }

    /// The fields that the definition in the cluster does not know, as far as it could be read.
    pub(crate) fn dropped_fields(&self) -> Vec<String> {
        self.definition().dropped().to_vec()
    }

    /// The ledger of bulk deletions. Never held across an `await`.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the traces of bulk deletions. Never held across an `await`.
    pub(crate) fn traces(&self) -> MutexGuard<'_, Traces> {
        self.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The uids of all policies; `None` until every watch has shown what there is.
    pub(crate) fn policy_uids(&self) -> Option<HashSet<String>> {
        let stores = self.policies.get().filter(|stores| are_ready(stores))?;
        Some(stores.iter().flat_map(Store::state).filter_map(|policy| policy.uid()).collect())
    }

    /// The compiled policies that are kept. Never held across an `await`.
    pub(crate) fn compiled(&self) -> MutexGuard<'_, CompiledCache> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the definition of policies. Never held across an `await`.
    pub(crate) fn definition(&self) -> MutexGuard<'_, Definition> {
        self.definition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where all policies are known from. Whoever comes second changes nothing.
    pub(crate) fn know_policies(&self, stores: Vec<Store<Guarded>>) {
        let _ = self.policies.set(stores);
    }

    /// The objects that this installation looks after, as the watches have shown them.
    pub(crate) fn watched(&self) -> Vec<Arc<Guarded>> {
        let all = self.policies.get().into_iter().flatten().flat_map(Store::state);
        all.filter(|policy| self.is_ours(&**policy)).collect()
    }

    /// The policies that may look after the same repositories as this one; `None` until all policies are known.
    pub(crate) fn neighbours(&self, live: &RegistryCleanupPolicy, policy: &CompiledPolicy) -> Option<Neighbours> {
        let stores = self.policies.get().filter(|stores| are_ready(stores))?;
        let directory = self.sightings.directory(|| Directory::of(stores));
        Some(Neighbours::of(live, &policy.base_url, &directory, stores))
    }

    /// The fingerprint of those; `None` until all policies are known.
    pub(crate) fn neighbours_fingerprint(&self, live: &RegistryCleanupPolicy, policy: &CompiledPolicy) -> Option<u64> {
        let compute = || self.neighbours(live, policy).map(|neighbours| neighbours.fingerprint());
        let uid = live.metadata.uid.as_deref()?;
        self.sightings.fingerprint(uid, live.metadata.generation, compute)
    }

    /// Whether everything that may use images is seen just now.
    pub(crate) fn sees_workloads(&self) -> bool {
        self.workloads.as_ref().is_some_and(|workloads| workloads.gaps().is_empty())
    }

    /// The kinds of workloads that are to be watched and that the cluster does not have.
    pub(crate) fn absent_kinds(&self) -> Vec<String> {
        self.workloads.as_ref().map(Workloads::absent_kinds).unwrap_or_default()
    }

    /// Who reads what is written in a namespace.
    pub(crate) fn reader<'a>(&self, namespace: &'a str) -> Reader<'a> {
        Reader { namespace, name_others: self.settings.name_other_namespaces }
    }

    /// What this process remembers of policies. Never held across an `await`.
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who this process is, in a Pod of this name and uid as far as they are known. Another one with each call.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "what tells two processes of one Pod apart")]
pub fn identity(pod_name: Option<&str>, pod_uid: Option<&str>) -> Identity {
    Identity::new(pod_name, pod_uid, RandomState::new().hash_one(()))
}
