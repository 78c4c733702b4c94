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
}
