//! An instant by two clocks, of which one at least tells how long ago it was.

use std::time::Duration;

use jiff::Timestamp;

/// A moment by two clocks: one that people and services set, and one that nobody sets but that stands still while the
/// virtual machine is paused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment {
    /// The time of day.
    pub wall: Timestamp,
    /// Time since some moment.
    pub elapsed: Duration,
}

impl Moment {
    /// The time since then: the most that one of the clocks tells. A clock that was set back tells less, and then it is
    /// the other one that counts.
    #[must_use]
    pub fn age(self, now: Self) -> Duration {
        let wall = Duration::try_from(now.wall.duration_since(self.wall)).unwrap_or_default();
        wall.max(self.elapsed_age(now))
    }

    /// The time since then by the clock that nobody sets.
    #[must_use]
    pub fn elapsed_age(self, now: Self) -> Duration {
        now.elapsed.saturating_sub(self.elapsed)
    }
}
