//! What the holder of a Lease may still send, by when it last renewed it.

use std::time::Duration;

use super::moment::Moment;
use super::timing::Timing;

/// A holder's term, from its last renewal on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Term {
    /// When the last write that succeeded was sent: the API server took it no sooner.
    renewed: Moment,
    timing: Timing,
}

impl Term {
    /// That of a Lease which was written by a request that was sent at `renewed`.
    #[must_use]
    pub fn new(renewed: Moment, timing: Timing) -> Self {
        Self { renewed, timing }
    }

    /// The same after a renewal that was sent at `renewed`.
    #[must_use]
    pub fn renewed(self, renewed: Moment) -> Self {
        Self { renewed, ..self }
    }

    /// When it was last renewed.
    #[must_use]
    pub fn since(&self) -> Moment {
        self.renewed
    }

    /// Whether a request that reads may leave.
    #[must_use]
    pub fn is_valid(&self, now: Moment) -> bool {
        self.renewed.age(now) < self.timing.renew_deadline()
    }

    /// How long a request that removes something may take if it leaves now: it has to end before another process may
    /// hold the Lease. `None`, if that is too little, and the next renewal has to come first.
    #[must_use]
    pub fn removal_time(&self, now: Moment) -> Option<Duration> {
        let left = self.timing.usable().checked_sub(self.renewed.age(now))?;
        (self.is_valid(now) && left >= self.timing.shortest_removal()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn moment(wall: i64, elapsed: u64) -> Moment {
        let wall = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000 + wall);
        Moment { wall, elapsed: Duration::from_secs(1_000 + elapsed) }
    }

    fn term() -> Term {
        Term::new(moment(0, 0), Timing::default())
    }

    #[rstest]
    #[case::at_once(0, 0, true, Some(59))]
    #[case::before_the_next_renewal(5, 5, true, Some(54))]
    #[case::a_removal_of_thirty_seconds_still_fits(29, 29, true, Some(30))]
    #[case::a_second_before_the_deadline(39, 39, true, Some(20))]
    #[case::at_the_deadline(40, 40, false, None)]
    #[case::the_monotonic_clock_stood_still_for_an_hour(3600, 1, false, None)]
    #[case::the_wall_clock_stood_still(1, 3600, false, None)]
    #[case::the_wall_clock_was_set_back_by_an_hour(-3600, 20, true, Some(39))]
    #[case::set_back_and_too_old(-3600, 40, false, None)]
    #[case::the_wall_clock_was_set_forward_by_an_hour(3600, 5, false, None)]
    fn what_may_be_sent_is_what_both_clocks_leave(
        #[case] wall: i64,
        #[case] elapsed: u64,
        #[case] reads: bool,
        #[case] removal: Option<u64>,
    ) {
        let now = moment(wall, elapsed);
        let left = removal.map(Duration::from_secs);
        assert_eq!((term().is_valid(now), term().removal_time(now)), (reads, left));
    }

    #[test]
    fn a_removal_waits_for_a_renewal_where_less_is_left_than_it_needs() {
        let [lease, renew, retry] = [60, 58, 5].map(Duration::from_secs);
        let term = Term::new(moment(0, 0), Timing::new(lease, renew, retry).unwrap());
        assert_eq!(term.removal_time(moment(49, 49)), Some(Duration::from_secs(10)));
        assert_eq!((term.is_valid(moment(50, 50)), term.removal_time(moment(50, 50))), (true, None));
        let renewed = term.renewed(moment(50, 50));
        assert_eq!(renewed.removal_time(moment(50, 50)), Some(Duration::from_secs(59)));
    }

    proptest! {
        /// Another process takes the Lease no sooner than `lease_duration` after the API server took the renewal, which
        /// was after it was sent, by a clock whose pace differs by less than a hundredth.
        #[test]
        fn a_removal_has_ended_before_another_process_may_begin(
            lease in 1_u64..3600, renew in 0_u64..3_600_000, retry in 0_u64..100_000, age in 0_u64..4_000_000,
        ) {
            let millis = Duration::from_millis;
            let Ok(timing) = Timing::new(millis(lease * 1000), millis(renew), millis(retry)) else { return Ok(()) };
            let sent = moment(0, 0);
            let now = Moment { wall: sent.wall, elapsed: sent.elapsed + millis(age) };
            if let Some(left) = Term::new(sent, timing).removal_time(now) {
                prop_assert!((millis(age) + left).mul_f64(1.01) < timing.lease_duration());
            }
        }
    }
}
