//! Keeps the record of a run under way current: in a task of its own, so that it is written also while the run waits
//! or reckons. A record that cannot be written closes the run's gate until it can.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::{Api, ResourceExt};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::job::Run;
use crate::api::{RegistryCleanupPolicy, RunProgress, RunStatus};
use crate::causes::chain;
use crate::clock::Clock;
use crate::cluster::status;
use crate::controller::gate::RunGate;
use crate::controller::renewal::{Progress, Renewal, moment};
use crate::gitlab::Gate;
use crate::leadership::moment::Moment;
use crate::policy::report;
use crate::policy::repository_outcome::Stop;
use crate::policy::run_record::{RENEW_TICK, Written, is_due};

/// How often one record is written into what somebody else wrote meanwhile, before the next tick.
const MAX_CONFLICTS: usize = 5;

/// Renews the record of a run until it is dropped.
pub(super) struct Keeper {
    task: JoinHandle<()>,
    live: Arc<Mutex<RegistryCleanupPolicy>>,
}

impl Keeper {
    pub(super) fn start(run: &Run<'_>) -> Self {
        let live = Arc::new(Mutex::new(run.live.clone()));
        let record = Record {
            policies: run.context.policies(&run.namespace),
            clock: Arc::clone(&run.context.clock),
            gate: Arc::clone(&run.gate),
            renewal: Arc::clone(&run.renewal),
            progress: Arc::clone(&run.progress),
            live: Arc::clone(&live),
            unknown: run.context.dropped_fields(),
            begun: run.record.clone(),
            written: Written { at: run.begun, progress: RunProgress::default(), stopping: false },
        };
        Self { task: tokio::spawn(record.keep().in_current_span()), live }
    }

    /// Ends, and answers the policy as it was last written.
    pub(super) fn end(self) -> RegistryCleanupPolicy {
        self.task.abort();
        locked(&self.live).clone()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Record {
    policies: Api<RegistryCleanupPolicy>,
    clock: Arc<dyn Clock>,
    gate: Arc<RunGate>,
    renewal: Arc<Renewal>,
    progress: Arc<Progress>,
    /// The policy as it was last written.
    live: Arc<Mutex<RegistryCleanupPolicy>>,
    /// Fields that the definition in the cluster does not know.
    unknown: Vec<String>,
    begun: RunStatus,
    written: Written,
}

impl Record {
    async fn keep(mut self) {
        while self.renewal.stop() != Some(Stop::GivenUp) {
            let now = moment(&*self.clock);
            let stop = self.gate.stop();
            if let Some(stop) = stop {
                // So that whoever waits hears of it, whatever it was found out by.
                self.renewal.must_stop(stop);
            }
            let (progress, stopping) = (self.progress.now(), stop.is_some());
            if is_due(&self.written, progress, stopping, now)
                && let Err(error) = self.write(progress, stopping).await
            {
                tracing::warn!(
                    error = %chain(&error),
                    "the record of a run cannot be written; nothing is sent once it is too old"
                );
            }
            self.tick(now, stopping).await;
        }
    }

    /// Waits until it is time to look again: a tick after the last look, however long the write after it took.
    async fn tick(&self, looked: Moment, stopping: bool) {
        let tick = self.clock.pass(RENEW_TICK.saturating_sub(looked.age(moment(&*self.clock))));
        if stopping {
            return tick.await;
        }
        tokio::select! {
            () = tick => {}
            () = self.gate.stopped() => {}
            // What waits for the record need not wait for the tick.
            () = self.renewal.wanted() => {}
        }
    }

    /// Writes the record into the policy as it is, if it still is the record of this run.
    async fn write(&mut self, progress: RunProgress, stopping: bool) -> Result<(), status::Error> {
        for _ in 0..MAX_CONFLICTS {
            let at = moment(&*self.clock);
            let live = locked(&self.live).clone();
            let mut status = live.status.clone().unwrap_or_default();
            report::renew(&mut status, progress, self.progress.note().as_deref(), stopping, at.wall);
            let plan = status.last_run.as_mut().and_then(|run| run.approved_plan.as_mut());
            if let (Some(plan), Some(marks)) = (plan, self.progress.marks()) {
                plan.tag_marks = Some(marks);
            }
            match status::write(&self.policies, &live, &status, &self.unknown).await {
                Ok(live) => {
                    *locked(&self.live) = live;
                    self.written = Written { at, progress, stopping };
                    self.renewal.renewed(at);
                    return Ok(());
                }
                Err(error) if error.is_conflict() || error.is_gone() => {}
                Err(error) => return Err(error),
            }
            let now = status::get_live(&self.policies, &live.name_any()).await?;
            match now.filter(|now| now.uid() == live.uid()) {
                None => self.renewal.must_stop(Stop::PolicyChanged),
                Some(now) if !self.is_ours(&now) => self.renewal.must_stop(Stop::GivenUp),
                Some(now) => {
                    if now.metadata.generation != live.metadata.generation {
                        self.renewal.must_stop(Stop::PolicyChanged);
                    }
                    *locked(&self.live) = now;
                    continue;
                }
            }
            return Ok(());
        }
        Ok(())
    }

    /// Whether a policy still says that this run is under way, and that this process works on it.
    fn is_ours(&self, policy: &RegistryCleanupPolicy) -> bool {
        let run = policy.status.as_ref().and_then(|status| status.last_run.as_ref());
        run.is_some_and(|run| {
            let holder = &run.holder_identity;
            run.result.is_under_way()
                && run.id == self.begun.id
                && (holder.is_none() || *holder == self.begun.holder_identity)
        })
    }
}

fn locked(live: &Mutex<RegistryCleanupPolicy>) -> MutexGuard<'_, RegistryCleanupPolicy> {
    // A policy is put into it whole.
    live.lock().unwrap_or_else(PoisonError::into_inner)
}
