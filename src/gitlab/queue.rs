//! The line in front of one host: waits for the turn that the pacer gives.
//!
//! The thin shell around `pacer`. It may not send; it only says when somebody may.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::FutureExt;
use jiff::{SignedDuration, Timestamp};

use super::gate::{Gate, Stopped};
use super::pacer::Pacer;
use super::rate_limit_headers::{Hints, until};
use super::retry::MAX_WAIT;
use crate::clock::Clock;

/// A wait from here on is a pause, during which its caller may let others work.
const PAUSE: Duration = Duration::from_secs(5);

/// Who comes back from a pause later than this has missed its turn, and takes another.
const LATE: SignedDuration = SignedDuration::from_secs(1);

/// Why a request did not get its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// The gate closed.
    Stopped,
    /// The gate's deadline comes before the turn.
    Deadline,
    /// The turn is further away than anybody waits for, by so much.
    TooFar(Duration),
    /// The same for who is patient: it comes after the gate's deadline.
    PausedBeyond(Duration),
}

impl From<Stopped> for NoTurn {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// The line in front of one host.
#[derive(Debug)]
pub(super) struct Turns(Mutex<Pacer>);

impl Turns {
    pub(super) fn new(requests_per_second: f64, now: Timestamp) -> Self {
        Self(Mutex::new(Pacer::new(requests_per_second, now)))
    }

    /// Waits until a request may leave; the gate is asked before the wait and as the last thing after it.
    /// A turn that comes while the gate is closed for a while is lost.
    pub(super) async fn wait(&self, clock: &dyn Clock, gate: &dyn Gate) -> Result<(), NoTurn> {
        loop {
            gate.opened().await;
            gate.may_send()?;
            let mut slot = {
                let now = clock.now();
                let mut pacer = self.pacer();
                // Looked at before it is taken: whoever leaves again must not hold a place.
                worth_waiting(pacer.wait(now), now, gate)?;
                pacer.next_slot(now)
            };
            let (mut wait, mut late) = (slot.wait, false);
            while !wait.is_zero() {
                let until = clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX);
                sleep(wait, clock, gate).await;
                if gate.may_send().is_err() {
                    break;
                }
                late = wait >= PAUSE && clock.now().duration_since(until) > LATE;
                wait = self.pacer().delayed(&mut slot);
                worth_waiting(wait, clock.now(), gate)?;
            }
            if !late && gate.may_send().is_ok() {
                return Ok(());
            }
        }
    }

    /// For a request that belongs to one whose turn has come: it leaves at once, and everybody else waits longer.
    /// Inside a pause it waits like everybody.
    pub(super) async fn cut_in(&self, clock: &dyn Clock, gate: &dyn Gate) -> Result<(), NoTurn> {
        gate.opened().await;
        gate.may_send()?;
        if self.pacer().cut_in(clock.now()) { Ok(()) } else { self.wait(clock, gate).await }
    }

    /// Whether nobody may leave, although their turn has come.
    pub(super) fn is_paused(&self, now: Timestamp) -> bool {
        self.pacer().is_paused(now)
    }

    /// Learns from an answer.
    pub(super) fn observe(&self, now: Timestamp, hints: &Hints) {
        self.pacer().observe(now, hints);
    }

    /// Whether forgetting this line changes nothing.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        self.pacer().wait(now).is_zero()
    }

    fn pacer(&self) -> MutexGuard<'_, Pacer> {
        // Nothing in this file panics while it holds the lock, and a pacer is valid between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits, but not once the gate has closed.
pub(super) async fn sleep(wait: Duration, clock: &dyn Clock, gate: &dyn Gate) {
    let asleep = async {
        tokio::select! {
            biased;
            () = gate.stopped() => {}
            () = clock.sleep(wait) => {}
        }
    };
    if wait < PAUSE { asleep.await } else { gate.pause(asleep.boxed()).await }
}

fn worth_waiting(wait: Duration, now: Timestamp, gate: &dyn Gate) -> Result<(), NoTurn> {
    let too_late = gate.deadline().is_some_and(|deadline| until(deadline, now) <= wait);
    match (wait > MAX_WAIT, gate.is_patient()) {
        (true, false) => Err(NoTurn::TooFar(wait)),
        (true, true) if too_late => Err(NoTurn::PausedBeyond(wait)),
        (false, _) if too_late => Err(NoTurn::Deadline),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures::future::{self, BoxFuture, FutureExt};
    use rstest::rstest;

    use super::*;

    type Event = Box<dyn FnOnce(Timestamp) + Send>;

    /// A clock on which something happens during the first sleep; sleepers wake at once, later.
    struct Eventful {
        now: Mutex<Timestamp>,
        event: Mutex<Option<Event>>,
    }

    impl Eventful {
        fn new(event: impl FnOnce(Timestamp) + Send + 'static) -> Self {
            Self { now: Mutex::new(Timestamp::UNIX_EPOCH), event: Mutex::new(Some(Box::new(event))) }
        }
    }

    impl Clock for Eventful {
        fn now(&self) -> Timestamp {
            *self.now.lock().unwrap()
        }

        fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
            if let Some(event) = self.event.lock().unwrap().take() {
                event(self.now());
            }
            *self.now.lock().unwrap() += duration;
            future::ready(()).boxed()
        }
    }

    /// A gate that tells nobody when it closes.
    #[derive(Default)]
    struct Silent {
        closed: AtomicBool,
        deadline: Option<Timestamp>,
        patient: bool,
    }

    impl Gate for Silent {
        fn is_patient(&self) -> bool {
            self.patient
        }

        fn may_send(&self) -> Result<(), Stopped> {
            if self.closed.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
        }

        fn deadline(&self) -> Option<Timestamp> {
            self.deadline
        }

        fn stopped(&self) -> BoxFuture<'_, ()> {
            future::pending().boxed()
        }
    }

    fn pause(seconds: u64) -> Hints {
        Hints { retry_after: Some(Duration::from_secs(seconds)), ..Hints::default() }
    }

    fn turns() -> Arc<Turns> {
        Arc::new(Turns::new(1.0, Timestamp::UNIX_EPOCH))
    }

    #[tokio::test]
    async fn a_pause_that_begins_while_somebody_waits_is_waited_for_too() {
        let turns = turns();
        let clock = Eventful::new({
            let turns = Arc::clone(&turns);
            move |now| turns.observe(now, &pause(30))
        });
        turns.wait(&clock, &Silent::default()).await.unwrap();
        turns.wait(&clock, &Silent::default()).await.unwrap();
        assert!(clock.now().as_second() >= 30, "{}", clock.now());
    }

    #[rstest]
    #[case::for_anybody(300, None, false, NoTurn::TooFar(Duration::from_secs(300)))]
    #[case::for_this_deadline(30, Timestamp::from_second(5).ok(), false, NoTurn::Deadline)]
    #[case::for_a_patient_one_with_this_deadline(30, Timestamp::from_second(5).ok(), true, NoTurn::Deadline)]
    #[case::for_a_patient_one(300, Timestamp::from_second(299).ok(), true, NoTurn::PausedBeyond(Duration::from_secs(300)))]
    #[tokio::test]
    async fn a_pause_that_begins_while_somebody_waits_can_be_too_long(
        #[case] seconds: u64,
        #[case] deadline: Option<Timestamp>,
        #[case] patient: bool,
        #[case] refused: NoTurn,
    ) {
        let (turns, gate) = (turns(), Silent { deadline, patient, ..Silent::default() });
        let clock = Eventful::new({
            let turns = Arc::clone(&turns);
            move |now| turns.observe(now, &pause(seconds))
        });
        turns.wait(&clock, &gate).await.unwrap();
        assert_eq!(turns.wait(&clock, &gate).await, Err(refused));
        assert_eq!(clock.now().as_second(), 1, "the pause itself was not waited for");
    }

    #[tokio::test]
    async fn who_is_patient_waits_out_a_long_pause_that_ends_before_the_deadline() {
        let (turns, clock) = (turns(), Eventful::new(|_| {}));
        turns.observe(Timestamp::UNIX_EPOCH, &pause(600));
        let deadline = Timestamp::from_second(601).ok();
        turns.wait(&clock, &Silent { deadline, patient: true, ..Silent::default() }).await.unwrap();
        assert_eq!(clock.now().as_second(), 600);
    }

    /// Closed for a while, from the first sleep on.
    #[derive(Default)]
    struct ForAWhile {
        closed: AtomicBool,
        waited: AtomicBool,
    }

    impl Gate for ForAWhile {
        fn may_send(&self) -> Result<(), Stopped> {
            if self.closed.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
        }

        fn opened(&self) -> BoxFuture<'_, ()> {
            if self.closed.swap(false, Ordering::Relaxed) {
                self.waited.store(true, Ordering::Relaxed);
            }
            future::ready(()).boxed()
        }

        fn deadline(&self) -> Option<Timestamp> {
            None
        }

        fn stopped(&self) -> BoxFuture<'_, ()> {
            future::pending().boxed()
        }
    }

    #[tokio::test]
    async fn a_turn_that_comes_while_the_gate_is_closed_for_a_while_is_lost() {
        let (turns, gate) = (turns(), Arc::new(ForAWhile::default()));
        let clock = Eventful::new({
            let gate = Arc::clone(&gate);
            move |_| gate.closed.store(true, Ordering::Relaxed)
        });
        turns.wait(&clock, &*gate).await.unwrap();
        turns.wait(&clock, &*gate).await.unwrap();
        assert!(gate.waited.load(Ordering::Relaxed), "it was waited for");
        assert_eq!(clock.now().as_second(), 2, "and then for another turn");
    }

    #[tokio::test]
    async fn whoever_cuts_in_does_not_wait_except_for_a_pause_and_a_closed_gate() {
        let (turns, gate) = (turns(), Silent::default());
        let clock = Eventful::new(|_| {});
        turns.wait(&clock, &gate).await.unwrap();
        turns.cut_in(&clock, &gate).await.unwrap();
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
        turns.wait(&clock, &gate).await.unwrap();
        assert_eq!(clock.now().as_second(), 2, "both places are taken");
        turns.observe(clock.now(), &pause(30));
        turns.cut_in(&clock, &gate).await.unwrap();
        assert!(clock.now().as_second() >= 32, "{}", clock.now());
        gate.closed.store(true, Ordering::Relaxed);
        assert_eq!(turns.cut_in(&clock, &gate).await, Err(NoTurn::Stopped));
    }

    #[tokio::test]
    async fn the_gate_has_the_last_word_after_a_wait() {
        let (turns, gate) = (turns(), Arc::new(Silent::default()));
        let clock = Eventful::new({
            let gate = Arc::clone(&gate);
            move |_| gate.closed.store(true, Ordering::Relaxed)
        });
        turns.wait(&clock, &*gate).await.unwrap();
        assert_eq!(turns.wait(&clock, &*gate).await, Err(NoTurn::Stopped));
    }

    #[tokio::test]
    async fn whoever_may_not_send_takes_no_place_in_the_line() {
        let turns = turns();
        let clock = Eventful::new(|_| {});
        let closed = Silent { closed: AtomicBool::new(true), ..Silent::default() };
        let late = Silent { deadline: Some(Timestamp::UNIX_EPOCH), ..Silent::default() };
        for _ in 0..10 {
            assert_eq!(turns.wait(&clock, &closed).await, Err(NoTurn::Stopped));
            assert_eq!(turns.wait(&clock, &late).await, Err(NoTurn::Deadline));
        }
        turns.wait(&clock, &Silent::default()).await.unwrap();
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
    }

    #[tokio::test]
    async fn a_closed_gate_is_told_before_a_long_pause() {
        let turns = turns();
        turns.observe(Timestamp::UNIX_EPOCH, &pause(600));
        let closed = Silent { closed: AtomicBool::new(true), ..Silent::default() };
        assert_eq!(turns.wait(&Eventful::new(|_| {}), &closed).await, Err(NoTurn::Stopped));
    }
}
