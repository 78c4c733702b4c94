//! When a run must stop: the operator shuts down or leads no more, the policy was edited or deleted, the deadline has
//! come. The client asks before every request, and every wait ends with it.

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

use super::leadership::Leadership;
use super::pause::PauseSwitch;
use super::permits::{Permit, SLOW};
use super::renewal::Renewal;

/// How often it is looked whether the deadline has come while a run waits for its permit.
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
    /// When an exclude window of the policy is opened, where the run removes something.
    window: Option<Timestamp>,
    shutdown: CancellationToken,
    /// That of this process, where operators take turns.
    leadership: Option<Arc<Leadership>>,
    still_current: StillCurrent,
    /// The permit with which the run works, if it needs one.
    permit: OnceLock<Permit>,
    /// Names of tags in lists that the run holds, more or less.
    held: AtomicU64,
    /// What pauses the installation, where the run removes something.
    pause: Option<Arc<PauseSwitch>>,
    /// That of the record of the run; a look that is no run has none.
    renewal: Option<Arc<Renewal>>,
}

impl RunGate {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        deadline: Timestamp,
        shutdown: CancellationToken,
        leadership: Option<Arc<Leadership>>,
        still_current: StillCurrent,
    ) -> Self {
        let (permit, held) = (OnceLock::new(), AtomicU64::new(0));
        Self {
            clock,
            deadline,
            window: None,
            shutdown,
            leadership,
            still_current,
            permit,
            held,
            pause: None,
            renewal: None,
        }
    }

    /// The same, open only while the record of the run is renewed.
    pub(crate) fn renewed_by(self, renewal: Arc<Renewal>) -> Self {
        Self { renewal: Some(renewal), ..self }
    }

    /// The same, closed while the installation is paused.
    pub(crate) fn paused_by(self, pause: Option<Arc<PauseSwitch>>) -> Self {
        Self { pause, ..self }
    }

    /// The same, closed from the opening of an exclude window on.
    pub(crate) fn until_window(self, opening: Option<Timestamp>) -> Self {
        Self { window: opening, ..self }
    }

    /// When it closes by itself.
    fn ends(&self) -> Timestamp {
        self.window.map_or(self.deadline, |window| window.min(self.deadline))
    }

    /// Says with which permit the run works, and waits for it.
    pub(crate) async fn works_with(&self, permit: Permit) {
        let _ = self.permit.set(permit);
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

    /// Waits for something without the permit of the run, which others can use meanwhile; the one way for a run to
    /// wait.
    pub(crate) async fn aside<T>(&self, wait: impl Future<Output = T>) -> T {
        let Some(permit) = self.permit.get() else { return wait.await };
        let held = usize::try_from(self.held.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let parked = permit.give_back(held);
        let result = wait.await;
        if parked.is_some() {
            self.turn().await;
        }
        result
    }

    /// Asks something while no list is held. If the answer takes long, it is waited for without the permit.
    pub(crate) async fn patiently<T>(&self, ask: impl Future<Output = T>) -> T {
        let Some(permit) = self.permit.get() else { return ask.await };
        let mut ask = std::pin::pin!(ask);
        let quick = tokio::select! {
            biased;
            answer = &mut ask => Some(answer),
            () = tokio::time::sleep(SLOW) => None,
        };
        permit.note(quick.is_none());
        match quick {
            Some(answer) => answer,
            None => self.aside(ask).await,
        }
    }

    /// Waits for the permit, for as long as the run is wanted.
    async fn turn(&self) {
        let Some(permit) = self.permit.get() else { return };
        while self.stop().is_none() {
            tokio::select! {
                biased;
                () = self.stopped() => return,
                () = permit.taken() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Why nothing may be sent any more, if so.
    pub(crate) fn stop(&self) -> Option<Stop> {
        if let Some(stop) = self.renewal.as_ref().and_then(|renewal| renewal.stop()) {
            Some(stop)
        } else if self.leadership.as_ref().is_some_and(|leadership| leadership.is_lost()) {
            Some(Stop::LeadershipLost)
        } else if self.shutdown.is_cancelled() {
            Some(Stop::Shutdown)
        } else if !self.still_current.holds() {
            Some(Stop::PolicyChanged)
        } else if self.pause.as_ref().is_some_and(|pause| pause.is_on()) {
            Some(Stop::Paused)
        } else if self.window.is_some_and(|window| window <= self.deadline && self.clock.now() >= window) {
            Some(Stop::ExcludeWindow)
        } else if self.clock.now() >= self.deadline {
            Some(Stop::Deadline)
        } else {
            None
        }
    }

    /// Resolves once this process leads no more.
    async fn leadership_lost(&self) {
        match &self.leadership {
            Some(leadership) => leadership.ended().await,
            None => future::pending().await,
        }
    }

    /// Resolves once the record of the run says that it must stop.
    async fn told_by_record(&self) {
        match &self.renewal {
            Some(renewal) => renewal.stopped().await,
            None => future::pending().await,
        }
    }

    /// Resolves once somebody pauses the installation.
    async fn paused(&self) {
        match &self.pause {
            Some(pause) => pause.ordered().await,
            None => future::pending().await,
        }
    }

    /// Whether it is known that nobody has paused the installation.
    fn is_not_paused(&self) -> bool {
        self.pause.as_ref().is_none_or(|pause| !pause.now(&*self.clock).holds())
    }

    /// Whether the record of the run is recent enough for anything to be sent.
    fn is_renewed(&self) -> bool {
        self.renewal.as_ref().is_none_or(|renewal| renewal.is_valid(&*self.clock))
    }

    /// Whether this process leads now.
    fn leads(&self) -> bool {
        self.leadership.as_ref().is_none_or(|leadership| leadership.is_valid(&*self.clock))
    }

    /// Resolves once record and Lease were renewed where they are too old, or no longer than the run is wanted.
    async fn renewed(&self) {
        let left = Duration::try_from(self.ends().duration_since(self.clock.now())).unwrap_or_default();
        let renewed = async {
            if let Some(renewal) = &self.renewal {
                renewal.valid(&*self.clock).await;
            }
            if let Some(leadership) = &self.leadership {
                leadership.opened(&*self.clock).await;
            }
            if let Some(pause) = &self.pause {
                pause.known(&*self.clock).await;
            }
        };
        tokio::select! {
            () = renewed => {}
            () = self.stopped() => {}
            () = self.clock.pass(left) => {}
        }
    }

    /// Waits, but not beyond the deadline, and no longer than the run is wanted.
    pub(crate) async fn sleep_until(&self, until: Timestamp) {
        let wait = until.min(self.ends()).duration_since(self.clock.now());
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
        if self.is_renewed() && self.leads() && self.stop().is_none() { Ok(()) } else { Err(Stopped) }
    }

    fn opened(&self) -> BoxFuture<'_, ()> {
        if self.is_renewed() && self.leads() { future::ready(()).boxed() } else { self.renewed().boxed() }
    }

    fn removal_time(&self) -> Option<Duration> {
        if !self.is_not_paused() {
            return None;
        }
        self.leadership.as_ref().map_or(Some(Duration::MAX), |leadership| leadership.removal_time(&*self.clock))
    }

    fn removals_opened(&self) -> BoxFuture<'_, ()> {
        self.renewed().boxed()
    }

    fn deadline(&self) -> Option<Timestamp> {
        Some(self.ends())
    }

    /// A run gives its permit back while it waits; a look is wanted now.
    fn is_patient(&self) -> bool {
        self.renewal.is_some()
    }

    fn pause<'a>(&'a self, wait: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
        self.aside(wait).boxed()
    }

    fn stopped(&self) -> BoxFuture<'_, ()> {
        async {
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                () = self.leadership_lost() => {}
                () = self.still_current.ended() => {}
                () = self.told_by_record() => {}
                () = self.paused() => {}
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::renewal::moment;
    use super::*;
    use crate::clock::SystemClock;
    use crate::leadership::moment::Moment;
    use crate::leadership::term::Term;
    use crate::leadership::timing::Timing;

    /// A gate, what the watch says of its policy, and what makes the watch say so.
    fn gate() -> (RunGate, Arc<AtomicBool>, watch::Sender<()>) {
        let (current, told) = (Arc::new(AtomicBool::new(true)), watch::Sender::new(()));
        let holds = Arc::clone(&current);
        let still = StillCurrent::new(Arc::new(move || holds.load(Ordering::Relaxed)), told.subscribe());
        (RunGate::new(Arc::new(SystemClock), Timestamp::MAX, CancellationToken::new(), None, still), current, told)
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

    /// A wall clock and one that nobody sets, each turned by hand.
    struct Clocks(Mutex<Moment>);

    impl Clocks {
        fn turn(&self, wall: i64, elapsed: u64) {
            let mut now = self.0.lock().unwrap();
            now.wall = Timestamp::from_second(now.wall.as_second() + wall).unwrap();
            now.elapsed += Duration::from_secs(elapsed);
        }
    }

    impl Clock for Clocks {
        fn now(&self) -> Timestamp {
            self.0.lock().unwrap().wall
        }

        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            future::pending().boxed()
        }

        fn elapsed(&self) -> Duration {
            self.0.lock().unwrap().elapsed
        }
    }

    fn renewed_gate() -> (Arc<Clocks>, Arc<Renewal>, RunGate) {
        let begun = Moment { wall: Timestamp::UNIX_EPOCH, elapsed: Duration::ZERO };
        let clocks = Arc::new(Clocks(Mutex::new(begun)));
        let renewal = Arc::new(Renewal::new(begun));
        let deadline = Timestamp::from_second(100_000).unwrap();
        let gate = RunGate::new(clocks.clone(), deadline, CancellationToken::new(), None, always());
        (clocks, Arc::clone(&renewal), gate.renewed_by(renewal))
    }

    fn always() -> StillCurrent {
        StillCurrent::new(Arc::new(|| true), watch::Sender::new(()).subscribe())
    }

    #[tokio::test]
    async fn nothing_is_sent_once_the_record_is_too_old_until_it_is_written_again() {
        let (clocks, renewal, gate) = renewed_gate();
        clocks.turn(59, 59);
        assert_eq!(gate.may_send(), Ok(()));
        assert!(gate.opened().now_or_never().is_some());
        clocks.turn(1, 1);
        assert_eq!((gate.may_send(), gate.stop()), (Err(Stopped), None));
        let mut opened = gate.opened();
        assert!((&mut opened).now_or_never().is_none(), "it waits");
        renewal.renewed(Moment { wall: clocks.now(), elapsed: clocks.elapsed() });
        opened.await;
        assert_eq!(gate.may_send(), Ok(()));
    }

    #[tokio::test]
    async fn a_process_that_was_frozen_for_an_hour_sends_nothing_before_it_has_looked_again() {
        let (clocks, renewal, gate) = renewed_gate();
        clocks.turn(3600, 1);
        assert_eq!(gate.may_send(), Err(Stopped), "the machine was suspended, and only the wall clock went on");
        // The answer to what was sent before arrives only now.
        renewal.renewed(Moment { wall: Timestamp::UNIX_EPOCH, elapsed: Duration::ZERO });
        assert_eq!(gate.may_send(), Err(Stopped));
        renewal.must_stop(Stop::GivenUp);
        gate.opened().await;
        gate.stopped().await;
        assert_eq!((gate.may_send(), gate.stop()), (Err(Stopped), Some(Stop::GivenUp)));
        renewal.renewed(Moment { wall: clocks.now(), elapsed: clocks.elapsed() });
        assert_eq!(gate.may_send(), Err(Stopped), "for good");
    }

    fn led_gate() -> (Arc<Clocks>, Arc<Leadership>, RunGate) {
        let begun = Moment { wall: Timestamp::UNIX_EPOCH, elapsed: Duration::ZERO };
        let clocks = Arc::new(Clocks(Mutex::new(begun)));
        let leadership = Arc::new(Leadership::new(Term::new(begun, Timing::default())));
        let deadline = Timestamp::from_second(100_000).unwrap();
        let (clock, token) = (clocks.clone(), CancellationToken::new());
        (clocks, Arc::clone(&leadership), RunGate::new(clock, deadline, token, Some(leadership), always()))
    }

    #[tokio::test]
    async fn a_monotonic_clock_that_stands_still_for_an_hour_does_not_make_a_lease_last() {
        let (clocks, leadership, gate) = led_gate();
        assert_eq!((gate.may_send(), gate.removal_time()), (Ok(()), Some(Duration::from_secs(59))));
        clocks.turn(3600, 0);
        assert_eq!((gate.may_send(), gate.removal_time(), gate.stop()), (Err(Stopped), None, None));
        let mut opened = gate.opened();
        assert!((&mut opened).now_or_never().is_none(), "it waits for a renewal");
        leadership.renewed(moment(&*clocks));
        opened.await;
        assert_eq!((gate.may_send(), gate.removal_time()), (Ok(()), Some(Duration::from_secs(59))));
    }

    #[tokio::test]
    async fn a_removal_is_given_what_is_left_of_the_lease_and_waits_where_that_is_too_little() {
        let begun = Moment { wall: Timestamp::UNIX_EPOCH, elapsed: Duration::ZERO };
        let clocks = Arc::new(Clocks(Mutex::new(begun)));
        let [lease, renew, retry] = [60, 58, 5].map(Duration::from_secs);
        let timing = Timing::new(lease, renew, retry).unwrap();
        let leadership = Arc::new(Leadership::new(Term::new(begun, timing)));
        let deadline = Timestamp::from_second(100_000).unwrap();
        let (clock, token) = (clocks.clone(), CancellationToken::new());
        let gate = RunGate::new(clock, deadline, token, Some(Arc::clone(&leadership)), always());
        clocks.turn(40, 40);
        assert_eq!(gate.removal_time(), Some(Duration::from_secs(19)));
        assert!(gate.removals_opened().now_or_never().is_some());
        clocks.turn(15, 15);
        assert_eq!((gate.may_send(), gate.removal_time()), (Ok(()), None), "reading goes on");
        assert!(gate.opened().now_or_never().is_some());
        let mut opened = gate.removals_opened();
        assert!((&mut opened).now_or_never().is_none(), "it waits for a renewal");
        leadership.renewed(moment(&*clocks));
        opened.await;
        assert_eq!(gate.removal_time(), Some(Duration::from_secs(59)));
    }

    #[tokio::test]
    async fn nothing_is_sent_once_the_lease_is_lost() {
        let (clocks, leadership, gate) = led_gate();
        leadership.lost();
        leadership.renewed(moment(&*clocks));
        assert_eq!((gate.may_send(), gate.removal_time()), (Err(Stopped), None));
        assert_eq!(gate.stop(), Some(Stop::LeadershipLost));
        gate.opened().await;
        gate.removals_opened().await;
        gate.stopped().await;
    }
}
