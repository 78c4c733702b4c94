//! What the steps of a run know: what was ordered, what the run is to do, and the way to GitLab and to the images in
//! use.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::{
    ApprovedPlan, Mode, PendingApproval, PolicyStatus, RegistryCleanupPolicy, RepositoryStatus, RunStatus, Trigger,
};
use crate::controller::context::Context;
use crate::controller::gate::{RunGate, StillCurrent};
use crate::controller::plan::in_use::Usage;
use crate::controller::plan::planner::Planner;
use crate::controller::plan::tag_reader::TagReader;
use crate::controller::renewal::{Progress, Renewal};
use crate::gitlab::{Client, Repository};
use crate::leadership::moment::Moment;
use crate::policy::effect::{Effect, Seen};
use crate::policy::history::{Closed, Record};
use crate::policy::repository_outcome::RepositoryReason;
use crate::policy::stretches::Pass;
use crate::policy::{CompiledPolicy, bulk_ledger};

use super::places::{Place, Places};
use super::trail::Trail;

/// What to run, decided by `policy::next_action`.
pub(crate) struct Order<'a> {
    pub(crate) policy: &'a CompiledPolicy,
    pub(crate) trigger: Trigger,
    pub(crate) mode: Mode,
    pub(crate) slot: Option<Timestamp>,
    pub(crate) still_current: StillCurrent,
}

/// A run that was begun: its record is in the status.
pub(crate) struct Run<'a> {
    pub(crate) context: &'a Context,
    pub(crate) order: Order<'a>,
    /// The policy with the record of this run.
    pub(crate) live: RegistryCleanupPolicy,
    /// The generation that the run was decided for; another one in `live` means that the policy was edited meanwhile.
    pub(crate) generation: i64,
    pub(crate) task: Task,
    pub(crate) gate: Arc<RunGate>,
    pub(crate) renewal: Arc<Renewal>,
    pub(crate) progress: Arc<Progress>,
    /// What was seen of the repositories so far.
    pub(crate) seen: Mutex<Seen>,
    /// What it removed so far, where that is kept.
    pub(crate) removed: Option<Mutex<Record>>,
    /// When its record was written.
    pub(crate) begun: Moment,
    /// The record as it was begun.
    pub(crate) record: RunStatus,
    /// How many requests the run before took, if it told and removed in the same way.
    pub(crate) requests_before: Option<u64>,
    /// `status.othersEligibleTime` from before the run.
    pub(crate) others_before: Option<Timestamp>,
    pub(crate) id: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Run<'_> {
    /// What was seen of the repositories so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record of what it removed.
    pub(crate) fn close_record(&self) -> Closed {
        let close = |record: &Mutex<Record>| record.lock().unwrap_or_else(PoisonError::into_inner).close();
        self.removed.as_ref().map(close).unwrap_or_default()
    }
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
    /// Some of it may have been carried out already, by a run that this one goes on with.
    pub(crate) resumed: Option<ApprovedPlan>,
}

impl Task {
    /// What a run does in a mode, for what triggered it, with the policy as it was before the run.
    pub(crate) fn new(mode: Mode, trigger: Trigger, before: &RegistryCleanupPolicy, started: Timestamp) -> Self {
        let status = before.status.as_ref();
        let pending = status.and_then(|status| status.pending_approval.clone());
        match (mode, trigger, pending) {
            (Mode::DryRun, ..) => Self::Preview,
            (Mode::Delete, Trigger::Approved, Some(plan)) => {
                let before = status.map(|status| status.repositories.clone()).unwrap_or_default();
                Self::CarryOut(Approval { plan, before, resumed: None })
            }
            (Mode::Delete, Trigger::Resumed, _) => Self::go_on(status),
            (Mode::Delete, Trigger::Schedule | Trigger::RunRequested | Trigger::DryRunRequested, _) => Self::Remove,
            // To the second, which is what a status can hold. An approval without a plan proposes one.
            (Mode::RequireApproval, ..) | (Mode::Delete, Trigger::Approved, None) => {
                Self::Propose(Timestamp::from_second(started.as_second()).unwrap_or(started))
            }
        }
    }

    /// What is left of a run that was cut short.
    fn go_on(status: Option<&PolicyStatus>) -> Self {
        let Some(approved) = status.and_then(|status| status.interrupted_run.as_ref()?.approved_plan.clone()) else {
            return Self::Remove;
        };
        let plan = PendingApproval {
            plan_hash: approved.plan_hash.clone(),
            tags: 0,
            repositories: 0,
            time: approved.time.clone(),
        };
        let before = status.map(|status| status.repositories.clone()).unwrap_or_default();
        Self::CarryOut(Approval { plan, before, resumed: Some(approved) })
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

fn unconfirmed(before: Option<&PolicyStatus>) -> HashSet<u64> {
    let named = before.iter().flat_map(|status| &status.repositories);
    let nothing = |entry: &&RepositoryStatus| {
        entry.reason.as_deref() == Some(RepositoryReason::NotConfirmed.as_str()) && entry.tags.confirmed == 0
    };
    named.filter(nothing).map(|entry| entry.id).collect()
}

/// A run with a way to GitLab, as its steps need it.
pub(crate) struct Job<'a> {
    pub(crate) context: &'a Context,
    pub(crate) client: Client,
    pub(crate) policy: &'a CompiledPolicy,
    pub(crate) task: &'a Task,
    /// Which images are in use, where the policy wants to know.
    pub(crate) usage: Option<Arc<Usage>>,
    pub(crate) generation: i64,
    pub(crate) gate: &'a RunGate,
    pub(crate) progress: &'a Progress,
    seen: &'a Mutex<Seen>,
    pub(crate) namespace: &'a str,
    pub(crate) uid: String,
    /// `namespace/name`, for the ledger.
    pub(crate) name_of_owner: String,
    /// Address of the instance, for the ledger.
    pub(crate) instance: String,
    /// What is left of each tag.
    pub(crate) trail: Trail<'a>,
    places: Places,
    /// The repositories in which the last run asked for removals and saw none.
    pub(crate) unconfirmed: HashSet<u64>,
}

impl<'a> Job<'a> {
    pub(crate) fn new(run: &'a Run<'_>, client: Client, usage: Option<Usage>) -> Self {
        let policy = run.order.policy;
        // A plan that is only told removes nothing.
        let record = run.removed.as_ref().filter(|_| !run.task.tells_every_tag());
        let (id, namespace, name, mode) = (&run.id, &run.namespace, &run.name, run.order.mode);
        let trail = Trail { id, namespace, name, mode, record };
        Self {
            trail,
            context: run.context,
            places: Places::new(client.in_flight()),
            client,
            policy,
            task: &run.task,
            usage: usage.map(Arc::new),
            generation: run.generation,
            gate: &run.gate,
            progress: &run.progress,
            seen: &run.seen,
            namespace: &run.namespace,
            uid: run.live.uid().unwrap_or_default(),
            name_of_owner: format!("{}/{}", run.namespace, run.name),
            instance: policy.base_url.to_string(),
            unconfirmed: unconfirmed(run.live.status.as_ref()),
        }
    }

    /// Waits until fewer requests that remove tags are under way than may be. Whoever has a place waits for no other.
    pub(crate) async fn place(&self) -> Place<'_> {
        self.places.place().await
    }

    /// How much of a very large repository is planned at the same time, after a pass that has come to a moment and left
    /// so many tags, which are read again. Where somebody wants to know everything first, all of it.
    fn pass(&self, after: Option<(Timestamp, u64)>) -> Option<Pass> {
        let (beyond, left) = after.map_or((None, 0), |(moment, left)| (Some(moment), left));
        let tags = self.context.tags_of_a_pass.saturating_add(left);
        (matches!(self.task, Task::Remove) && !self.policy.limits.any()).then_some(Pass { tags, beyond })
    }

    /// What plans a repository, or a pass over it after another one.
    pub(crate) fn planner_of_pass(&self, after: Option<(Timestamp, u64)>) -> Planner<'_> {
        let Planner { reader, usage } = self.planner();
        Planner { reader: TagReader { pass: self.pass(after), ..reader }, usage }
    }

    pub(crate) fn planner(&self) -> Planner<'_> {
        let reader = TagReader {
            client: &self.client,
            clock: &*self.context.clock,
            policy: self.policy,
            as_of: self.task.as_of(),
            everything: false,
            // Whoever looks at a plan wants to see what stays.
            all_names: self.task.tells_every_tag(),
            pass: None,
            read: Some(self.gate.held()),
        };
        Planner { reader, usage: self.usage.as_deref() }
    }

    /// Takes note of what the patterns do in a repository, by its id.
    pub(crate) fn note_effect(&self, repository: u64, effect: &Effect) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).note(repository, effect);
    }

    /// A repository as the ledger knows it.
    pub(crate) fn key<'k>(&'k self, repository: &'k Repository) -> bulk_ledger::Repository<'k> {
        bulk_ledger::Repository {
            instance: &self.instance,
            location: &repository.location,
            id: repository.id,
            path: &repository.path,
        }
    }

    /// The policy as the ledger knows it.
    pub(crate) fn owner(&self) -> bulk_ledger::Owner<'_> {
        bulk_ledger::Owner { uid: &self.uid, name: &self.name_of_owner }
    }

    /// Who has reserved a repository, if anybody has.
    pub(crate) fn blocked(&self, repository: &Repository) -> Option<bulk_ledger::Blocked> {
        self.context.ledger().blocked(self.key(repository), &self.name_of_owner, self.context.clock.now())
    }
}
