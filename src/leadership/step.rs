//! What a process does about the Lease that it saw: one that does not lead, and one that does.

use std::time::Duration;

use super::identity::Identity;
use super::moment::Moment;
use super::record::{Record, Seen};
use super::timing::Timing;

/// What a process does that does not lead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Candidacy {
    /// Makes the Lease, which fails if somebody else does so first.
    Create,
    /// Replaces the Lease as it was seen, which fails if somebody wrote it since.
    Acquire,
    /// Nothing for so long, unless the Lease changes.
    Wait(Duration),
}

/// What a process does that does not lead and saw this Lease.
#[must_use]
pub fn candidate(seen: &Seen, me: &Identity, timing: &Timing, now: Moment) -> Candidacy {
    let left = |duration: Option<Duration>| {
        let duration = duration.unwrap_or(timing.lease_duration());
        duration.saturating_sub(now.elapsed.saturating_sub(seen.since))
    };
    match &seen.record {
        None => match &seen.last_holder {
            // Somebody removed the Lease. Its holder does not know that yet, and may work on.
            Some((holder, duration)) if !left(*duration).is_zero() && !has_ended(holder, me) => {
                Candidacy::Wait(left(*duration))
            }
            _ => Candidacy::Create,
        },
        Some(Record { holder: None, .. }) => Candidacy::Acquire,
        // A process that holds the Lease and does not know it has asked for it, and the answer was lost.
        Some(Record { holder: Some(holder), .. }) if has_ended(holder, me) => Candidacy::Acquire,
        Some(Record { duration, .. }) => match left(*duration) {
            Duration::ZERO => Candidacy::Acquire,
            left => Candidacy::Wait(left),
        },
    }
}

fn has_ended(holder: &str, me: &Identity) -> bool {
    me.is(holder) || me.restarted(holder)
}

/// What a process does that leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Leading {
    /// Makes the Lease again, which somebody removed.
    Create,
    /// Replaces the Lease as it was seen.
    Renew,
    /// Nothing for so long.
    Wait(Duration),
    /// Ends: it does not lead any more, or cannot know.
    End(Loss),
}

/// Why a process leads no more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Loss {
    /// Another process holds the Lease.
    #[error("another operator holds the Lease")]
    Taken,
    /// It was not renewed within the renew deadline.
    #[error("the Lease was not renewed in time")]
    NotRenewed,
}

/// What a process does that last renewed its Lease at `renewed`, and has seen it since.
///
/// The wall clock does not end a term: it can be set. Where it says that much time has passed nothing is sent before
/// the next renewal, which only succeeds if nobody else has written the Lease.
#[must_use]
pub fn leader(seen: &Seen, me: &Identity, renewed: Moment, timing: &Timing, now: Moment) -> Leading {
    let age = renewed.elapsed_age(now);
    if age >= timing.renew_deadline() {
        return Leading::End(Loss::NotRenewed);
    }
    match seen.holder() {
        Some(holder) if me.is(holder) => match timing.retry_period().checked_sub(renewed.age(now)) {
            None | Some(Duration::ZERO) => Leading::Renew,
            Some(left) => Leading::Wait(left),
        },
        None if seen.record.is_none() => Leading::Create,
        _ => Leading::End(Loss::Taken),
    }
}

#[cfg(test)]
mod tests;
