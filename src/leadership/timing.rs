//! How long a Lease lasts, and when its holder gives up: three times that have to fit together.
//!
//! ```text
//! renewal is sent                          renewDeadline        leaseDuration
//! |---- retryPeriod ----|---- ... ----------------|---------------------|
//!        sends everything                         sends nothing         another may begin
//!                                                 and exits
//! ```
//!
//! A request that reads may leave until the renew deadline. One that removes has to end before another operator may
//! begin, so its time-out is cut to what is left of the lease. Where less is left than a removal needs, it waits for
//! the next renewal instead, which is a retry period away.

use std::time::Duration;

/// What a request that removes something is given at least, where the lease is long enough.
const REMOVAL_TIME: Duration = Duration::from_secs(10);
/// Below this the API server would be asked all the time.
const SHORTEST_RETRY: Duration = Duration::from_millis(100);
/// Above this nobody would take over within a working day.
const LONGEST_LEASE: Duration = Duration::from_secs(3600);
/// The part of a lease that is not used, since the clocks of two machines differ in their pace: far more than quartz
/// does.
const UNUSED_PART: u32 = 60;

/// The times of a Lease, which fit together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    lease_duration: Duration,
    renew_deadline: Duration,
    retry_period: Duration,
}

/// Why times do not fit together.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TimingError {
    /// The lease would be taken while its holder still hopes.
    #[error("the lease duration must be longer than the renew deadline, by more than a sixtieth of it")]
    Lease,
    /// One attempt that fails would end the leadership.
    #[error("the renew deadline must be at least twice the retry period")]
    Renewal,
    /// The API server would be asked all the time.
    #[error("the retry period must be at least 100ms")]
    Retry,
    /// Nobody would take over.
    #[error("the lease duration must be at most 1h")]
    Long,
    /// Kubernetes writes whole seconds.
    #[error("the lease duration must be in whole seconds")]
    Fraction,
}

impl Default for Timing {
    fn default() -> Self {
        let [lease_duration, renew_deadline, retry_period] = [60, 40, 5].map(Duration::from_secs);
        Self { lease_duration, renew_deadline, retry_period }
    }
}

impl Timing {
    /// These times.
    ///
    /// # Errors
    /// When they do not fit together.
    pub fn new(
        lease_duration: Duration,
        renew_deadline: Duration,
        retry_period: Duration,
    ) -> Result<Self, TimingError> {
        let timing = Self { lease_duration, renew_deadline, retry_period };
        if lease_duration > LONGEST_LEASE {
            Err(TimingError::Long)
        } else if lease_duration.subsec_nanos() != 0 {
            Err(TimingError::Fraction)
        } else if retry_period < SHORTEST_RETRY {
            Err(TimingError::Retry)
        } else if renew_deadline < retry_period.saturating_mul(2) {
            Err(TimingError::Renewal)
        } else if timing.usable() <= renew_deadline {
            Err(TimingError::Lease)
        } else {
            Ok(timing)
        }
    }

    /// How long a Lease has to be seen unchanged before it is taken over.
    #[must_use]
    pub fn lease_duration(&self) -> Duration {
        self.lease_duration
    }

    /// How long after its last renewal a holder gives up.
    #[must_use]
    pub fn renew_deadline(&self) -> Duration {
        self.renew_deadline
    }

    /// How often the Lease is renewed, or tried for.
    #[must_use]
    pub fn retry_period(&self) -> Duration {
        self.retry_period
    }

    /// How long one call to the API server may take.
    #[must_use]
    pub fn call_timeout(&self) -> Duration {
        self.retry_period.saturating_mul(2)
    }

    /// How long after a renewal every request that removes something has ended.
    #[must_use]
    pub fn usable(&self) -> Duration {
        self.lease_duration.saturating_sub(self.lease_duration / UNUSED_PART)
    }

    /// The time-out below which a request that removes something is not sent. Whoever renews in time always has it.
    #[must_use]
    pub fn shortest_removal(&self) -> Duration {
        REMOVAL_TIME.min(self.usable().saturating_sub(self.retry_period.saturating_mul(2)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn timing(lease: u64, renew: u64, retry: u64) -> Result<Timing, TimingError> {
        let millis = Duration::from_millis;
        Timing::new(millis(lease), millis(renew), millis(retry))
    }

    #[test]
    fn the_defaults_fit_together_and_leave_a_removal_its_whole_time() {
        let default = Timing::default();
        assert_eq!(timing(60_000, 40_000, 5_000), Ok(default));
        // A client's time-out is 30 s unless the policy says otherwise; two renewals may be late before it is cut.
        assert!(default.usable() >= default.retry_period() * 3 + Duration::from_secs(30));
        assert_eq!(default.shortest_removal(), Duration::from_secs(10));
    }

    #[rstest]
    #[case::short_ones_of_tests(3_000, 2_000, 500, None)]
    #[case::those_of_kubernetes(15_000, 10_000, 2_000, None)]
    #[case::a_deadline_after_the_lease(15_000, 15_000, 2_000, Some(TimingError::Lease))]
    #[case::a_deadline_within_the_unused_part(60_000, 59_000, 2_000, Some(TimingError::Lease))]
    #[case::one_attempt_only(15_000, 10_000, 6_000, Some(TimingError::Renewal))]
    #[case::all_the_time(15_000, 10_000, 99, Some(TimingError::Retry))]
    #[case::longer_than_an_hour(3_601_000, 10_000, 2_000, Some(TimingError::Long))]
    #[case::a_fraction_of_a_second(2_500, 2_000, 500, Some(TimingError::Fraction))]
    fn times_that_do_not_fit_together_are_refused(
        #[case] lease: u64,
        #[case] renew: u64,
        #[case] retry: u64,
        #[case] error: Option<TimingError>,
    ) {
        assert_eq!(timing(lease, renew, retry).err(), error);
    }

    proptest! {
        #[test]
        fn whoever_renews_in_time_may_always_remove(lease in 1_u64..3600, renew in 0_u64..3_600_000, retry in 0_u64..100_000) {
            let Ok(timing) = timing(lease * 1000, renew, retry) else { return Ok(()) };
            let late = timing.retry_period() * 2;
            prop_assert!(timing.shortest_removal() > Duration::ZERO);
            prop_assert!(timing.usable() >= late + timing.shortest_removal());
            prop_assert!(timing.renew_deadline() < timing.usable() && timing.usable() < timing.lease_duration());
        }
    }
}
