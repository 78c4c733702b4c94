//! Permission to send: the caller's word, asked before every request, and once more before one that removes something.
//!
//! The client does not know why it should stop (a lost lease, a shutdown, an edited policy) or why something must not
//! go any more; it only asks. This file holds no state and decides nothing.

use std::time::Duration;

use futures::future::{self, BoxFuture, FutureExt};
use jiff::Timestamp;

/// Asked right before every request leaves, and listened to while the client waits.
///
/// An implementation answers from memory: it is asked once or twice per request and must not block.
pub trait Gate: Send + Sync {
    /// Whether one more request may leave now.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when nothing may be sent any more.
    fn may_send(&self) -> Result<(), Stopped>;

    /// Resolves at once, unless [`Gate::may_send`] says no for a while: then once it says yes again, or never will.
    /// Whoever waits for it looks at everything else again afterwards.
    fn opened(&self) -> BoxFuture<'_, ()> {
        future::ready(()).boxed()
    }

    /// How long a request that removes something may take, at most, if it leaves now; asked right before it does.
    /// `None`, if none may leave now although [`Gate::may_send`] says yes: something else has to happen first.
    fn removal_time(&self) -> Option<Duration> {
        Some(Duration::MAX)
    }

    /// The same as [`Gate::opened`] for requests that remove something: resolves once [`Gate::removal_time`] has one,
    /// or none will ever leave again.
    fn removals_opened(&self) -> BoxFuture<'_, ()> {
        self.opened()
    }

    /// The instant after which nothing is sent and nothing is waited for; `None` is no limit.
    fn deadline(&self) -> Option<Timestamp>;

    /// Whether a pause that the server asks for is waited out however long it is, as far as the deadline goes.
    /// Otherwise whoever is sent away for minutes hears of it at once.
    fn is_patient(&self) -> bool {
        false
    }

    /// Resolves when [`Gate::may_send`] has turned to no for good: ends waits, and reading requests that are on their
    /// way. A bulk request on its way is never cut off by it.
    fn stopped(&self) -> BoxFuture<'_, ()>;

    /// Waits out a pause that the server asked for, and ends no sooner. Whoever stands behind the gate may let others
    /// work meanwhile, and may need a while after it.
    fn pause<'a>(&'a self, wait: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
        wait
    }
}

/// Asked before a request that removes something leaves: after its turn has come, and again each time it is sent.
///
/// A request can wait for minutes, for its turn in the pace of the host or because GitLab asked for a pause. What was
/// known when it was written may no longer hold then.
pub trait FinalCheck: Send + Sync {
    /// Whether the request may leave as it is.
    fn still(&self) -> BoxFuture<'_, bool>;
}

/// The answer no: nothing may be sent any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// A gate that is always open and has no deadline.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysOpen;

impl Gate for AlwaysOpen {
    fn may_send(&self) -> Result<(), Stopped> {
        Ok(())
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }

    fn stopped(&self) -> BoxFuture<'_, ()> {
        future::pending().boxed()
    }
}
