//! Keeps what is known of the pause of the installation up to date, and tells runs and policies when it changes.
//!
//! Knowledge that there is no pause is worth something for as long as it is fresh: whoever cannot see the ConfigMap any
//! more does not know whether somebody made one meanwhile. A pause that was seen lasts until its end is seen.

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::renewal::moment;
use crate::clock::Clock;
use crate::cluster::pause::{Error, PauseMap, Stored};
use crate::leadership::moment::Moment;
use crate::policy::pause::{Order, Pause};

/// How long it is known that there is no pause after the API server last said so. A watch lasts 25 s.
const VALID_FOR: Duration = Duration::from_secs(60);
/// The pause between two attempts to see the ConfigMap.
const RETRY: Duration = Duration::from_secs(1);

/// The pause of an installation, as this process knows it.
pub struct PauseSwitch {
    map: PauseMap,
    state: watch::Sender<State>,
    /// Tells whoever looks that somebody needs to know.
    wanted: Notify,
}

#[derive(Clone, Debug)]
struct State {
    order: Option<Order>,
    /// When the question was sent that was last answered.
    confirmed: Option<Moment>,
    /// Why there is no newer answer.
    trouble: String,
    /// How often it became known after it was not.
    found_out: u64,
}

impl PauseSwitch {
    /// Of an installation that this ConfigMap pauses. Nothing is known of it yet.
    #[must_use]
    pub fn new(map: PauseMap) -> Self {
        let trouble = format!("ConfigMap {} was not looked for yet", map.place());
        let state = watch::Sender::new(State { order: None, confirmed: None, trouble, found_out: 0 });
        Self { map, state, wanted: Notify::new() }
    }

    /// What is known at this moment.
    pub(crate) fn now(&self, clock: &dyn Clock) -> Pause {
        let now = moment(clock);
        let known = self.state.borrow().known(now);
        if matches!(known, Pause::Unknown(_)) {
            self.wanted.notify_one();
        }
        known
    }

    /// Whether somebody ordered a pause.
    pub(crate) fn is_on(&self) -> bool {
        self.state.borrow().order.is_some()
    }

    /// Resolves once somebody orders a pause.
    pub(crate) async fn ordered(&self) {
        let _ = self.state.subscribe().wait_for(|state| state.order.is_some()).await;
    }

    /// Resolves once it is known whether there is a pause.
    pub(crate) async fn known(&self, clock: &dyn Clock) {
        self.wanted.notify_one();
        let is_known = |state: &State| !matches!(state.known(moment(clock)), Pause::Unknown(_));
        let _ = self.state.subscribe().wait_for(is_known).await;
    }

    /// Yields whenever something else is known.
    pub(crate) fn changes(&self) -> BoxStream<'static, ()> {
        let told = |state: &State| (state.order.clone(), state.found_out);
        let receiver = self.state.subscribe();
        let last = told(&receiver.borrow());
        stream::unfold((receiver, last), move |(mut receiver, last)| async move {
            let now = told(&*receiver.wait_for(|state| told(state) != last).await.ok()?);
            Some(((), (receiver, now)))
        })
        .boxed()
    }

    /// Looks for the ConfigMap until it is told to stop.
    pub(crate) async fn follow(&self, clock: &dyn Clock, shutdown: &CancellationToken) {
        shutdown
            .run_until_cancelled(async {
                loop {
                    if let Err(error) = self.look(clock).await {
                        self.failed(&error);
                        tokio::select! {
                            () = tokio::time::sleep(RETRY) => {}
                            () = self.wanted.notified() => {}
                        }
                    }
                }
            })
            .await;
    }

    /// Reads the ConfigMap and watches it until the watch ends or somebody needs to know more.
    async fn look(&self, clock: &dyn Clock) -> Result<(), Error> {
        let sent = moment(clock);
        let (found, version) = self.map.read().await?;
        self.seen(found, Some(sent));
        let mut changes = self.map.changes(&version).await?;
        loop {
            let change = tokio::select! {
                change = changes.next() => change,
                () = self.wanted.notified() => return Ok(()),
            };
            match change {
                Some(Ok(found)) => self.seen(found, None),
                Some(Err(Error::Ended(_))) | None => return Ok(()),
                Some(Err(error)) => return Err(error),
            }
        }
    }

    fn seen(&self, found: Option<Stored>, sent: Option<Moment>) {
        let place = self.map.place();
        let order = found.map(|found| Order {
            since: found.made,
            by: found.by.or(found.manager),
            reason: found.reason,
            place: place.clone(),
        });
        self.state.send_modify(|state| {
            match (state.order.is_some(), &order) {
                (false, Some(order)) => {
                    let (by, reason) = (order.by.as_deref(), order.reason.as_deref());
                    tracing::warn!(config_map = place, by, reason, "the operator is paused: nothing is removed");
                }
                (true, None) => tracing::info!(config_map = place, "the operator is paused no longer"),
                _ => {}
            }
            if sent.is_some_and(|sent| matches!(state.known(sent), Pause::Unknown(_))) {
                state.found_out += 1;
            }
            state.order = order;
            state.confirmed = sent.or(state.confirmed);
            state.trouble = format!("ConfigMap {place} was not seen for {} seconds", VALID_FOR.as_secs());
        });
    }

    fn failed(&self, error: &Error) {
        let trouble = error.to_string();
        if self.state.borrow().trouble != trouble {
            tracing::warn!(%error, "it is not known whether the operator is paused");
        }
        self.state.send_modify(|state| state.trouble = trouble);
    }
}

impl State {
    fn known(&self, now: Moment) -> Pause {
        match (&self.order, self.confirmed) {
            (Some(order), _) => Pause::On(Box::new(order.clone())),
            (None, Some(at)) if at.age(now) < VALID_FOR => Pause::Off,
            (None, _) => Pause::Unknown(self.trouble.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn after(wall: i64, elapsed: u64) -> Moment {
        Moment { wall: Timestamp::from_second(wall).unwrap(), elapsed: Duration::from_secs(elapsed) }
    }

    fn state(order: Option<Order>, confirmed: Option<Moment>) -> State {
        State { order, confirmed, trouble: "forbidden".to_owned(), found_out: 0 }
    }

    #[test]
    fn that_there_is_no_pause_is_known_for_a_minute_by_either_clock_and_not_before_somebody_looked() {
        let unknown = Pause::Unknown("forbidden".to_owned());
        let seen = state(None, Some(after(0, 0)));
        assert_eq!(seen.known(after(59, 59)), Pause::Off);
        assert_eq!(seen.known(after(60, 1)), unknown, "the machine was suspended");
        assert_eq!(seen.known(after(1, 60)), unknown, "the clock was set back");
        assert_eq!(state(None, None).known(after(0, 0)), unknown);
    }

    #[test]
    fn a_pause_lasts_until_its_end_is_seen() {
        let ordered = state(Some(Order::default()), Some(after(0, 0)));
        assert!(ordered.known(after(86_400, 86_400)).is_on());
    }
}
