//! Waits for the Lease, keeps it and gives it back: the loop around `leadership::step`, which decides.
//!
//! A process that led and leads no more never tries again: what it had begun may still be under way. It exits, and
//! Kubernetes starts another in its place.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::cluster::lease::{Changes, Error, Leases, Stored};
use crate::controller::{Leadership, moment};
use crate::leadership::identity::Identity;
use crate::leadership::record::{Record, Seen};
use crate::leadership::step::{Candidacy, Leading, Loss, candidate, leader};
use crate::leadership::term::Term;
use crate::leadership::timing::Timing;

/// One process and the Lease that it wants.
pub(super) struct Election {
    pub(super) leases: Leases,
    pub(super) me: Identity,
    pub(super) timing: Timing,
    pub(super) clock: Arc<dyn Clock>,
}

/// The Lease as it was last seen.
#[derive(Clone)]
struct Known {
    stored: Option<Stored>,
    seen: Seen,
}

impl Known {
    fn again(before: Option<Self>, stored: Option<Stored>, clock: &dyn Clock) -> Self {
        let record = stored.as_ref().map(Stored::record);
        let seen = Seen::again(before.map(|before| before.seen), record, moment(clock));
        Self { stored, seen }
    }
}

/// The Lease in the hands of this process.
pub(super) struct Held {
    known: Known,
    /// Until when something may be sent.
    pub(super) term: Term,
    /// The one that held it before.
    pub(super) predecessor: Option<String>,
}

impl Election {
    /// Waits until this process holds the Lease. `None`, if it was told to stop before. `on_wait` is called once it is
    /// known that another one holds it.
    pub(super) async fn win(&self, stop: &CancellationToken, on_wait: impl Fn()) -> Option<Held> {
        let (mut known, mut changes) = (None, None);
        let mut leader = None;
        while !stop.is_cancelled() {
            if changes.is_none() {
                match self.leases.read().await {
                    Ok(stored) => known = Some(Known::again(known, stored, &*self.clock)),
                    Err(error) => {
                        tracing::warn!(%error, "failed to read the Lease");
                        self.pause(stop).await;
                        continue;
                    }
                }
            }
            let Some(now) = &known else { continue };
            let sent = moment(&*self.clock);
            match candidate(&now.seen, &self.me, &self.timing, sent) {
                Candidacy::Wait(left) => {
                    if now.seen.holder() != leader.as_deref() {
                        leader = now.seen.holder().map(str::to_owned);
                        tracing::info!(leader, "another operator leads; waiting");
                    }
                    on_wait();
                    known = self.wait(left, now.clone(), &mut changes, stop).await;
                }
                Candidacy::Create | Candidacy::Acquire => {
                    match self.write(now).await {
                        Ok(stored) => return Some(self.held(now, stored, Term::new(sent, self.timing))),
                        // Somebody was faster.
                        Err(Error::Conflict) => {}
                        Err(error) => {
                            tracing::warn!(%error, "failed to take the Lease");
                            self.pause(stop).await;
                        }
                    }
                    changes = None;
                }
            }
        }
        None
    }

    fn held(&self, before: &Known, stored: Stored, term: Term) -> Held {
        let predecessor = before.seen.last_holder.as_ref().map(|(holder, _)| holder.clone());
        tracing::info!(identity = %self.me, predecessor, "this operator leads");
        Held { known: Known::again(None, Some(stored), &*self.clock), term, predecessor }
    }

    /// Writes that this process holds the Lease, if it still is what was seen.
    async fn write(&self, known: &Known) -> Result<Stored, Error> {
        let record = Record::held_by(self.me.as_str(), known.seen.record.as_ref(), &self.timing, self.clock.now());
        match &known.stored {
            None => self.leases.create(&record).await,
            Some(stored) => self.leases.replace(stored, &record).await,
        }
    }

    /// Waits for so long, or until the Lease changes. A watch that fails is replaced by reading.
    async fn wait(
        &self,
        left: Duration,
        known: Known,
        changes: &mut Option<Changes>,
        stop: &CancellationToken,
    ) -> Option<Known> {
        let begun = self.clock.elapsed();
        if let (None, Some(stored)) = (&changes, &known.stored) {
            *changes = self.leases.changes(stored).await.ok();
        }
        let change = async {
            match changes {
                Some(changes) => changes.next().await,
                None => None,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return Some(known),
            change = change => {
                if let Some(Ok(stored)) = change {
                    return Some(Known::again(Some(known), stored, &*self.clock));
                }
                *changes = None;
                // One that ends at once would be asked for all the time.
                if self.clock.elapsed().saturating_sub(begun) < self.timing.retry_period() {
                    self.pause(stop).await;
                }
            }
            () = self.clock.sleep(left) => {}
        }
        Some(known)
    }

    /// Renews the Lease until `done`, and gives it back then.
    ///
    /// # Errors
    /// When it is lost. Nothing is sent to GitLab any more by then.
    pub(super) async fn keep(
        self,
        held: Held,
        leadership: Arc<Leadership>,
        done: CancellationToken,
    ) -> Result<(), Loss> {
        let mut known = held.known;
        while let Some(renewed) = leadership.since().filter(|_| !done.is_cancelled()) {
            let now = moment(&*self.clock);
            match leader(&known.seen, &self.me, renewed, &self.timing, now) {
                Leading::End(loss) => {
                    leadership.lost();
                    return Err(loss);
                }
                Leading::Wait(left) => {
                    done.run_until_cancelled(self.clock.sleep(left)).await;
                }
                Leading::Create | Leading::Renew => match self.write(&known).await {
                    Ok(stored) => {
                        known = Known::again(Some(known), Some(stored), &*self.clock);
                        leadership.renewed(now);
                    }
                    Err(error) => known = self.look_again(known, &error, &done).await,
                },
            }
        }
        self.release(&known).await;
        Ok(())
    }

    /// Reads the Lease after it could not be written: somebody else may have written it, or the answer was lost.
    async fn look_again(&self, known: Known, error: &Error, done: &CancellationToken) -> Known {
        if *error != Error::Conflict {
            tracing::warn!(%error, "failed to renew the Lease");
            self.pause(done).await;
        }
        match self.leases.read().await {
            Ok(stored) => Known::again(Some(known), stored, &*self.clock),
            Err(error) => {
                tracing::warn!(%error, "failed to read the Lease");
                self.pause(done).await;
                known
            }
        }
    }

    /// Gives the Lease back, so that another operator need not wait until it runs out.
    async fn release(&self, known: &Known) {
        let (Some(stored), Some(record)) = (&known.stored, &known.seen.record) else { return };
        match self.leases.replace(stored, &Record::released(record, self.clock.now())).await {
            Ok(_) => tracing::info!("the Lease is given back"),
            Err(error) => tracing::warn!(%error, "failed to give the Lease back: others wait until it runs out"),
        }
    }

    async fn pause(&self, stop: &CancellationToken) {
        stop.run_until_cancelled(self.clock.sleep(self.timing.retry_period())).await;
    }
}
