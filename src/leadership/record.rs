//! What a Lease says, and since when it has said so.

use std::time::Duration;

use jiff::Timestamp;

use super::moment::Moment;
use super::timing::Timing;

/// What a Lease says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Who holds it; nobody once it was released.
    pub holder: Option<String>,
    /// How long it lasts after a renewal, if it says so.
    pub duration: Option<Duration>,
    /// How often its holder has changed.
    pub transitions: u32,
    /// When its holder got it, by the holder's clock.
    pub acquired: Option<Timestamp>,
    /// When it was last renewed, by the holder's clock.
    pub renewed: Option<Timestamp>,
}

impl Record {
    /// What a process writes that takes the Lease, or renews it.
    #[must_use]
    pub fn held_by(me: &str, before: Option<&Self>, timing: &Timing, now: Timestamp) -> Self {
        let mine = before.filter(|before| before.holder.as_deref() == Some(me));
        let transitions = match (mine, before) {
            (Some(same), _) => same.transitions,
            (None, Some(others)) => others.transitions.saturating_add(1),
            (None, None) => 0,
        };
        Self {
            holder: Some(me.to_owned()),
            duration: Some(timing.lease_duration()),
            transitions,
            acquired: mine.and_then(|mine| mine.acquired).or(Some(now)),
            renewed: Some(now),
        }
    }

    /// What a holder writes that has ended all its work, so that nobody has to wait.
    #[must_use]
    pub fn released(before: &Self, now: Timestamp) -> Self {
        let duration = Some(Duration::from_secs(1));
        Self { holder: None, duration, renewed: Some(now), ..before.clone() }
    }
}

/// A Lease as it was last seen by a process, and since when it has been the same, by the clock of that process which
/// nobody sets. It may have been the same for longer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// What it said, if there was one.
    pub record: Option<Record>,
    /// Since when.
    pub since: Duration,
    /// The one that last held it, whoever released or removed it since, and how long it lasted then.
    pub last_holder: Option<(String, Option<Duration>)>,
}

impl Seen {
    /// What is known after it was read at `now`.
    #[must_use]
    pub fn again(before: Option<Self>, record: Option<Record>, now: Moment) -> Self {
        let holder = record.as_ref().and_then(|record| Some((record.holder.clone()?, record.duration)));
        match before {
            Some(before) if before.record == record => before,
            before => Self { last_holder: holder.or_else(|| before?.last_holder), record, since: now.elapsed },
        }
    }

    /// Who holds it.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.record.as_ref()?.holder.as_deref()
    }
}
