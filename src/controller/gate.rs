//! When a run must stop: the operator shuts down, the policy was edited or deleted, the deadline has come. The client
//! asks before every request.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::gitlab::{Gate, Stopped};
use crate::policy::repository_outcome::Stop;

/// Whether the policy of a run still is what it was when the run began, as far as the watch knows.
pub(crate) type StillCurrent = Arc<dyn Fn() -> bool + Send + Sync>;

/// The gate of one run.
pub(crate) struct RunGate {
    clock: Arc<dyn Clock>,
    deadline: Timestamp,
    shutdown: CancellationToken,
    still_current: StillCurrent,
}

impl RunGate {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        deadline: Timestamp,
        shutdown: CancellationToken,
        still_current: StillCurrent,
    ) -> Self {
        Self { clock, deadline, shutdown, still_current }
    }

    /// Why nothing may be sent any more, if so.
    pub(crate) fn stop(&self) -> Option<Stop> {
        if self.shutdown.is_cancelled() {
            Some(Stop::Shutdown)
        } else if !(self.still_current)() {
            Some(Stop::PolicyChanged)
        } else if self.clock.now() >= self.deadline {
            Some(Stop::Deadline)
        } else {
            None
        }
    }

    /// Waits, but not beyond the deadline, and not once the operator shuts down.
    pub(crate) async fn sleep_until(&self, until: Timestamp) {
        let wait = until.min(self.deadline).duration_since(self.clock.now());
        let Ok(wait) = wait.try_into() else { return };
        tokio::select! {
            () = self.clock.sleep(wait) => {}
            () = self.shutdown.cancelled() => {}
        }
    }
}

impl Gate for RunGate {
    fn may_send(&self) -> Result<(), Stopped> {
        if self.stop().is_some() { Err(Stopped) } else { Ok(()) }
    }

    fn deadline(&self) -> Option<Timestamp> {
        Some(self.deadline)
    }

    fn stopped(&self) -> BoxFuture<'_, ()> {
        self.shutdown.cancelled().boxed()
    }
}
