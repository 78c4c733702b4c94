//! What a run shares with whoever renews its record: whether the record is recent enough for anything to be sent, and
//! how far the run has come.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use crate::api::RunProgress;
use crate::clock::Clock;
use crate::leadership::moment::Moment;
use crate::policy::repository_outcome::Stop;
use crate::policy::run_record::is_valid;

/// The moment by both clocks.
pub(crate) fn moment(clock: &dyn Clock) -> Moment {
    Moment { wall: clock.now(), elapsed: clock.elapsed() }
}

/// When the record of a run was last written, and what stands in the way of writing it again.
#[derive(Debug)]
pub(crate) struct Renewal {
    state: watch::Sender<State>,
    /// Tells whoever renews the record that somebody waits for it.
    wanted: Notify,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// When the last write that succeeded was sent.
    renewed: Moment,
    /// What was read instead of what was written last.
    stop: Option<Stop>,
}

impl Renewal {
    /// Of a record that was written at `renewed` at the latest.
    pub(crate) fn new(renewed: Moment) -> Self {
        Self { state: watch::Sender::new(State { renewed, stop: None }), wanted: Notify::new() }
    }

    /// Whether something may be sent now as far as the record is concerned.
    pub(crate) fn is_valid(&self, clock: &dyn Clock) -> bool {
        let State { renewed, stop } = *self.state.borrow();
        stop.is_none() && is_valid(renewed, moment(clock))
    }

    /// Resolves once something may be sent, as far as the record is concerned, or never will be again.
    pub(crate) async fn valid(&self, clock: &dyn Clock) {
        let ready = |state: &State| state.stop.is_some() || is_valid(state.renewed, moment(clock));
        self.wanted.notify_one();
        let _ = self.state.subscribe().wait_for(ready).await;
    }

    /// Resolves once somebody waits for the record to be renewed.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Why the run must stop, if the record says so.
    pub(crate) fn stop(&self) -> Option<Stop> {
        self.state.borrow().stop
    }

    /// Resolves once the record says that the run must stop.
    pub(crate) async fn stopped(&self) {
        let _ = self.state.subscribe().wait_for(|state| state.stop.is_some()).await;
    }

    /// Notes that the record was written, by a request that was sent at `at`.
    pub(crate) fn renewed(&self, at: Moment) {
        self.state.send_modify(|state| state.renewed = at);
    }

    /// Notes that the run must stop.
    pub(crate) fn must_stop(&self, why: Stop) {
        self.state.send_modify(|state| _ = state.stop.get_or_insert(why));
    }
}

/// How far a run has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    repositories: AtomicU32,
    done: AtomicU32,
    requested: AtomicU64,
    removed: AtomicU64,
    bytes: AtomicU64,
    /// What belongs to the approved plan that is carried out.
    marks: Mutex<Option<String>>,
    /// What is to be said of it meanwhile.
    note: Mutex<Option<String>>,
}

impl Progress {
    /// Notes what belongs to the approved plan that is carried out.
    pub(crate) fn mark(&self, marks: Option<String>) {
        *self.marks.lock().unwrap_or_else(PoisonError::into_inner) = marks;
    }

    /// What belongs to it, as far as that was noted.
    pub(crate) fn marks(&self) -> Option<String> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how many repositories there are.
    pub(crate) fn of(&self, repositories: usize) {
        self.repositories.store(u32::try_from(repositories).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Notes that some of them are done.
    pub(crate) fn done(&self, repositories: usize) {
        self.done.fetch_add(u32::try_from(repositories).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Notes that a request was accepted.
    pub(crate) fn requested(&self, tags: u64) {
        self.requested.fetch_add(tags, Ordering::Relaxed);
    }

    /// Notes that tags are known to be gone.
    pub(crate) fn removed(&self, tags: u64, bytes: u64) {
        self.removed.fetch_add(tags, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes what is to be said of the run while it is under way.
    pub(crate) fn say(&self, note: String) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = Some(note);
    }

    /// What is to be said of the run while it is under way.
    pub(crate) fn note(&self) -> Option<String> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As the status tells it.
    pub(crate) fn now(&self) -> RunProgress {
        RunProgress {
            repositories: self.repositories.load(Ordering::Relaxed),
            repositories_done: self.done.load(Ordering::Relaxed),
            tags_requested: self.requested.load(Ordering::Relaxed),
            tags_removed: self.removed.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}
