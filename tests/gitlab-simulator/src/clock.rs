//! The one clock of a simulator: the system's, or one that only moves when told.
//!
//! Leases, jobs, rate limits, token expiry and tag dates all read it, so a test decides what time it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// A handle to a clock; clones show and move the same clock.
#[derive(Clone, Debug)]
pub struct Clock {
    inner: Arc<Inner>,
    /// Tells whoever waits for a moment that the clock was moved.
    moved: watch::Sender<()>,
}

#[derive(Debug)]
enum Inner {
    /// The system's clock, shifted by whatever was advanced.
    System(Mutex<SignedDuration>),
    Manual(Mutex<Timestamp>),
}

impl Clock {
    /// Follows the system's clock; [`Clock::advance`] and [`Clock::set`] shift it for good.
    #[must_use]
    pub fn system() -> Self {
        Self::of(Inner::System(Mutex::new(SignedDuration::ZERO)))
    }

    /// Stands still at `now` until advanced or set.
    #[must_use]
    pub fn manual(now: Timestamp) -> Self {
        Self::of(Inner::Manual(Mutex::new(now)))
    }

    fn of(inner: Inner) -> Self {
        Self { inner: Arc::new(inner), moved: watch::Sender::new(()) }
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self.inner.as_ref() {
            Inner::System(shift) => saturating_add(Timestamp::now(), *locked(shift)),
            Inner::Manual(now) => *locked(now),
        }
    }

    /// Moves the clock, backwards too.
    pub fn advance(&self, by: SignedDuration) {
        match self.inner.as_ref() {
            Inner::System(shift) => {
                let mut shift = locked(shift);
                *shift = shift.saturating_add(by);
            }
            Inner::Manual(now) => {
                let mut now = locked(now);
                *now = saturating_add(*now, by);
            }
        }
        self.moved.send_replace(());
    }

    /// Sets the clock to a moment; a system clock runs on from there.
    pub fn set(&self, to: Timestamp) {
        match self.inner.as_ref() {
            Inner::System(shift) => *locked(shift) = to.duration_since(Timestamp::now()),
            Inner::Manual(now) => *locked(now) = to,
        }
        self.moved.send_replace(());
    }

    /// Resolves once the clock shows `at`, whoever moves it there.
    pub async fn reached(&self, at: Timestamp) {
        let mut moved = self.moved.subscribe();
        loop {
            let left = at.duration_since(self.now());
            let Ok(left) = Duration::try_from(left) else { return };
            if left.is_zero() {
                return;
            }
            let runs = matches!(self.inner.as_ref(), Inner::System(_));
            tokio::select! {
                _ = moved.changed() => {}
                () = tokio::time::sleep(left), if runs => {}
            }
        }
    }
}

/// Adds a duration, stopping at the ends of what a timestamp can say instead of failing.
pub(crate) fn saturating_add(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

/// Locks even after a panic elsewhere: a test that failed must not hide its own message behind a second one.
pub(crate) fn locked<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let other = clock.clone();
        other.advance(SignedDuration::from_hours(1));
        assert_eq!(clock.now().as_second(), 3600);
        clock.set(Timestamp::UNIX_EPOCH);
        assert_eq!(other.now(), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn a_system_clock_can_be_shifted() {
        let clock = Clock::system();
        let target = Timestamp::UNIX_EPOCH;
        clock.set(target);
        assert!(clock.now().duration_since(target) < SignedDuration::from_mins(5));
    }
}
