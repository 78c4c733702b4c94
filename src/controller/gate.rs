//! When a run must stop: the operator shuts down, the policy was edited or deleted, the deadline has come. The client
//! asks before every request, and every wait ends with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::{self, BoxFuture, FutureExt};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::gitlab::{Gate, Stopped};
use crate::policy::repository_outcome::Stop;

use super::slots::{SLOW, Slot};

/// How often it is looked whether the deadline has come while a run waits for its place.
const LOOK: Duration = Duration::from_secs(1);

/// Whether a policy still is what it was when something was begun for it, as far as the watch knows.
#[derive(Clone)]
pub(crate) struct StillCurrent {
    holds: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Changes whenever it may hold no longer.
    told: watch::Receiver<()>,
}

impl StillCurrent {
    pub(crate) fn new(holds: Arc<dyn Fn() -> bool + Send + Sync>, told: watch::Receiver<()>) -> Self {
        Self { holds, told }
    }

    /// Whether it is.
    pub(crate) fn holds(&self) -> bool {
        (self.holds)()
    }

    /// Resolves once it is not.
    pub(crate) async fn ended(&self) {
        let mut told = self.told.clone();
        loop {
            // Before it is looked at, so that nothing is missed in between.
            told.borrow_and_update();
            if !self.holds() {
                return;
            }
            if told.changed().await.is_err() {
                // Nobody watches any more: the operator ends, which the token says.
                return future::pending().await;
            }
        }
    }
}

/// The gate of one run.
pub(crate) struct RunGate {
    clock: Arc<dyn Clock>,
    deadline: Timestamp,
    shutdown: CancellationToken,
    still_current: StillCurrent,
    /// The place at which the run works, if it needs one.
    slot: OnceLock<Slot>,
    /// Names of tags in lists that the run holds, more or less.
    held: AtomicU64,
}

impl RunGate {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        deadline: Timestamp,
        shutdown: CancellationToken,
        still_current: StillCurrent,
    ) -> Self {
        Self { clock, deadline, shutdown, still_current, slot: OnceLock::new(), held: AtomicU64::new(0) }
    }

    /// Says at which place the run works, and waits for it.
    pub(crate) async fn works_at(&self, slot: Slot) {
        let _ = self.slot.set(slot);
        self.turn().await;
    }

    /// Counts the names of tags that the run holds.
    pub(crate) fn held(&self) -> &AtomicU64 {
        &self.held
    }

    /// Takes note that the run holds this many names of tags, and no others.
    pub(crate) fn holds(&self, names: usize) {
        self.held.store(names as u64, Ordering::Relaxed);
    }

    /// Waits for something without the place of the run, which others can use meanwhile; the one way for a run to wait.
    pub(crate) async fn aside<T>(&self, wait: impl Future<Output = T>) -> T {
        let Some(slot) = self.slot.get() else { return wait.await };
        let held = usize::try_from(self.held.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let parked = slot.give_back(held);
        let result = wait.await;
        if parked.is_some() {
            self.turn().await;
        }
        result
    }

    /// Asks something while no list is held. If the answer takes long, it is waited for without the place.
    pub(crate) async fn patiently<T>(&self, ask: impl Future<Output = T>) -> T {
        let Some(slot) = self.slot.get() else { return ask.await };
        let mut ask = std::pin::pin!(ask);
        let quick = tokio::select! {
            biased;
            answer = &mut ask => Some(answer),
            () = tokio::time::sleep(SLOW) => None,
        };
        slot.note(quick.is_none());
        match quick {
            Some(answer) => answer,
            None => self.aside(ask).await,
        }
    }

    /// Waits for the place, for as long as the run is wanted.
    async fn turn(&self) {
        let Some(slot) = self.slot.get() else { return };
        while self.stop().is_none() {
            tokio::select! {
                biased;
                () = self.stopped() => return,
                () = slot.taken() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Why nothing may be sent any more, if so.
    pub(crate) fn stop(&self) -> Option<Stop> {
        if self.shutdown.is_cancelled() {
            Some(Stop::Shutdown)
        } else if !self.still_current.holds() {
            Some(Stop::PolicyChanged)
        } else if self.clock.now() >= self.deadline {
            Some(Stop::Deadline)
        } else {
            None
        }
    }

    /// Waits, but not beyond the deadline, and no longer than the run is wanted.
    pub(crate) async fn sleep_until(&self, until: Timestamp) {
        let wait = until.min(self.deadline).duration_since(self.clock.now());
        let Ok(wait) = wait.try_into() else { return };
        self.aside(async {
            tokio::select! {
                biased;
                () = self.stopped() => {}
                () = self.clock.sleep(wait) => {}
            }
        })
        .await;
    }
}

impl Gate for RunGate {
    fn may_send(&self) -> Result<(), Stopped> {
        if self.stop().is_some() { Err(Stopped) } else { Ok(()) }
    }

    fn deadline(&self) -> Option<Timestamp> {
        Some(self.deadline)
    }

    fn pause<'a>(&'a self, wait: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
        self.aside(wait).boxed()
    }

    fn stopped(&self) -> BoxFuture<'_, ()> {
        async {
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                () = self.still_current.ended() => {}
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::clock::SystemClock;

    /// A gate, what the watch says of its policy, and what makes the watch say so.
    fn gate() -> (RunGate, Arc<AtomicBool>, watch::Sender<()>) {
        let (current, told) = (Arc::new(AtomicBool::new(true)), watch::Sender::new(()));
        let holds = Arc::clone(&current);
        let still = StillCurrent::new(Arc::new(move || holds.load(Ordering::Relaxed)), told.subscribe());
        (RunGate::new(Arc::new(SystemClock), Timestamp::MAX, CancellationToken::new(), still), current, told)
    }

    #[tokio::test]
    async fn waits_end_when_the_watch_shows_another_policy_and_not_when_it_tells_of_others() {
        let (gate, current, told) = gate();
        let mut waits = Box::pin(gate.sleep_until(Timestamp::MAX));
        told.send_replace(());
        assert_eq!((waits.as_mut().now_or_never(), gate.stop()), (None, None));
        current.store(false, Ordering::Relaxed);
        told.send_replace(());
        assert_eq!((waits.await, gate.stop()), ((), Some(Stop::PolicyChanged)));
    }

    #[tokio::test]
    async fn waits_end_with_the_operator_also_where_nobody_watches_any_more() {
        let (gate, _, told) = gate();
        let mut stopped = gate.stopped();
        drop(told);
        assert_eq!(stopped.as_mut().now_or_never(), None);
        gate.shutdown.cancel();
        stopped.await;
    }
}
