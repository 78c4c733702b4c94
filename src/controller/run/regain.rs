//! Waits for what a run has to know of images in use, where that is not known for a moment: a watch broke off, or the
//! API server is away. The run gives up after two minutes.
//!
//! Nothing is sent meanwhile, no hour of a repository is reserved and no permit is held. Whoever waited looks at
//! everything anew.

use std::time::Duration;

use jiff::Timestamp;

use super::job::{Job, Run};
use super::report::Halt;
use crate::clock::Clock;
use crate::controller::gate::RunGate;
use crate::controller::plan::failure::Unknown;
use crate::controller::plan::in_use::Usage;
use crate::gitlab::{Gate, Repository};

/// Seconds before each further question: two minutes in all.
const PAUSES: [u64; 7] = [1, 2, 4, 8, 15, 30, 60];

/// What is known of images in use at the beginning of a run.
pub(super) async fn open(run: &Run<'_>, repositories: &[Repository]) -> Result<Option<Usage>, Halt> {
    let (context, policy) = (run.context, run.order.policy);
    let mut pauses = PAUSES.into_iter();
    loop {
        let opened = tokio::select! {
            biased;
            () = run.gate.stopped() => Err(Unknown::lasting("the run was stopped before it was".to_owned())),
            opened = run.gate.patiently(Usage::open(context, &run.namespace, policy, repositories)) => opened,
        };
        let unknown = match opened {
            Ok(usage) => return Ok(usage),
            Err(unknown) => unknown,
        };
        let (Some(pause), Some(workloads)) = (pauses.next().filter(|_| unknown.passing), &context.workloads) else {
            return Err(unknown.into());
        };
        run.gate.aside(wait(&run.gate, &*context.clock, workloads.recovered(), pause)).await;
        if run.gate.stop().is_some() {
            return Err(unknown.into());
        }
    }
}

impl Job<'_> {
    /// Waits until it is known again which images are in use.
    ///
    /// # Errors
    /// When it does not become known, or the run must stop.
    pub(super) async fn regain(&self, lost: Unknown) -> Result<(), Unknown> {
        let Some(usage) = self.usage.as_deref().filter(|_| lost.passing) else { return Err(lost) };
        tracing::info!(detail = %lost, "the run waits");
        self.gate.aside(self.known_again(usage, lost)).await
    }

    async fn known_again(&self, usage: &Usage, mut lost: Unknown) -> Result<(), Unknown> {
        for pause in PAUSES {
            wait(self.gate, &*self.context.clock, usage.recovered(), pause).await;
            if self.gate.stop().is_some() {
                break;
            }
            match usage.confirmed().await {
                Ok(()) => return Ok(()),
                Err(unknown) if unknown.passing => lost = unknown,
                Err(unknown) => return Err(unknown),
            }
        }
        Err(lost)
    }
}

/// Waits some seconds, or less where it is told earlier that something is known again; not beyond the end of the run.
async fn wait(gate: &RunGate, clock: &dyn Clock, recovered: impl Future<Output = ()>, seconds: u64) {
    let now = clock.now();
    let pause = Duration::from_secs(seconds);
    let left = gate.deadline().unwrap_or(Timestamp::MAX).duration_since(now);
    let pause = pause.min(left.try_into().unwrap_or_default());
    tokio::select! {
        biased;
        () = gate.stopped() => {}
        () = recovered => {}
        () = clock.sleep(pause) => {}
    }
}
