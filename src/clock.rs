//! Time as a parameter: nothing in the operator asks the machine what time it is, it asks a [`Clock`].
//!
//! Tests hand in a clock of their own, so no test sleeps and every date in a test is exact.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

/// Tells the time and waits. Cheap to share behind an `Arc`.
pub trait Clock: Send + Sync + 'static {
    /// The current instant on the wall clock.
    fn now(&self) -> Timestamp;

    /// Resolves once `duration` has passed.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// Time since some moment, on a clock that nobody sets. It may stand still while a virtual machine is paused.
    fn elapsed(&self) -> Duration {
        Duration::try_from(self.now().duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default()
    }

    /// Resolves once `duration` has passed, for whoever only keeps watch beside the work: a clock that runs ahead when
    /// somebody sleeps does not run ahead for this.
    fn pass(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleep(duration)
    }
}

/// The machine's clock and tokio's timer: what the running operator uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }

    /// Goes on while the machine is suspended.
    #[cfg(target_os = "linux")]
    fn elapsed(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        // It counts from the start of the machine, so it is never negative.
        Duration::try_from(time).unwrap_or_default()
    }

    /// Stands still while the machine is suspended.
    #[cfg(not(target_os = "linux"))]
    fn elapsed(&self) -> Duration {
        static BEGAN: std::sync::LazyLock<tokio::time::Instant> = std::sync::LazyLock::new(tokio::time::Instant::now);
        BEGAN.elapsed()
    }
}
