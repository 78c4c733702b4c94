//! What runs share with whoever renews the Lease: until when something may be sent.

use std::time::Duration;

use tokio::sync::watch;

use super::renewal::moment;
use crate::clock::Clock;
use crate::leadership::moment::Moment;
use crate::leadership::term::Term;

/// The leadership of this process, as far as what is sent to GitLab depends on it.
#[derive(Debug)]
pub struct Leadership {
    /// `None` once it is lost, for good.
    term: watch::Sender<Option<Term>>,
}

impl Leadership {
    /// That of a process which has just got the Lease.
    #[must_use]
    pub fn new(term: Term) -> Self {
        Self { term: watch::Sender::new(Some(term)) }
    }

    /// Notes that the Lease was renewed, by a request that was sent at `at`.
    pub fn renewed(&self, at: Moment) {
        self.term.send_modify(|term| *term = term.map(|term| term.renewed(at)));
    }

    /// Notes that the Lease is lost.
    pub fn lost(&self) {
        self.term.send_replace(None);
    }

    /// When the Lease was last renewed; `None`, if it is lost.
    #[must_use]
    pub fn since(&self) -> Option<Moment> {
        self.term.borrow().map(|term| term.since())
    }

    /// Whether it is lost.
    pub(crate) fn is_lost(&self) -> bool {
        self.term.borrow().is_none()
    }

    /// Resolves once it is lost.
    pub(crate) async fn ended(&self) {
        let _ = self.term.subscribe().wait_for(Option::is_none).await;
    }

    /// Whether a request that reads may leave.
    pub(crate) fn is_valid(&self, clock: &dyn Clock) -> bool {
        self.term.borrow().is_some_and(|term| term.is_valid(moment(clock)))
    }

    /// How long a request that removes something may take that leaves now; `None`, if none may.
    pub(crate) fn removal_time(&self, clock: &dyn Clock) -> Option<Duration> {
        self.term.borrow().and_then(|term| term.removal_time(moment(clock)))
    }

    /// Resolves once a request that removes something may leave, which includes those that read, or never will.
    pub(crate) async fn opened(&self, clock: &dyn Clock) {
        let ready = |term: &Option<Term>| term.is_none_or(|term| term.removal_time(moment(clock)).is_some());
        let _ = self.term.subscribe().wait_for(ready).await;
    }
}
