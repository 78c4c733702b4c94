//! A handle to requests that are kept open on purpose.

use std::sync::Arc;

use tokio::sync::watch;

use crate::patience::in_time;
use crate::server::Shared;

/// Requests held by [`crate::Simulator::hold`]; dropping it releases them.
#[derive(Debug)]
pub struct Hold {
    shared: Arc<Shared>,
    id: u64,
    reached: watch::Receiver<u64>,
    release: watch::Sender<bool>,
}

impl Hold {
    pub(crate) fn new(
        shared: Arc<Shared>,
        (id, reached, release): (u64, watch::Receiver<u64>, watch::Sender<bool>),
    ) -> Self {
        Self { shared, id, reached, release }
    }

    /// Waits until a request has been held; returns at once if one was already.
    ///
    /// # Panics
    /// If none comes for two minutes.
    pub async fn reached(&self) {
        let mut reached = self.reached.clone();
        let _ = in_time("a request to be held", reached.wait_for(|count| *count > 0)).await;
    }

    /// How many requests were held so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        *self.reached.borrow()
    }

    /// Lets the held requests go on and holds no more.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.rules.remove_hold(self.id);
        self.release.send_replace(true);
    }
}
