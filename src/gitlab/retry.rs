//! Whether a failed request is tried again, and when.
//!
//! Pure: it decides, the sender waits and sends. It knows no clock, no network and no random numbers; the jitter is
//! handed in.

use std::time::Duration;

/// Attempts for one request, the first included. With the delays below a short restart of GitLab (about 15 s) is
/// survived; anything longer is better left to the next run.
pub(super) const MAX_ATTEMPTS: u32 = 4;

/// The delay before the second attempt; each further one is three times as long: 1 s, 3 s, 9 s.
const FIRST_DELAY: Duration = Duration::from_secs(1);

/// How much longer each delay is than the one before.
const GROWTH: u32 = 3;

/// The delay after a 429 without `Retry-After`. GitLab behaviour: its throttles count per minute or hour and say when
/// they end; only limits inside the application say nothing.
pub(super) const THROTTLED_DELAY: Duration = Duration::from_secs(15);

/// The longest wait for one request that is not patient. GitLab.com counts per minute, so one window fits; who is sent
/// away for longer hears of it at once.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(120);

/// The longest wait for one that is: a larger value is a mistake or an attack.
pub(super) const MOST_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Which failures of a request allow another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Sending it twice does no harm: every GET and every GraphQL query.
    Harmless,
    /// The same, but what was not answered is asked for in smaller parts: a query with several of them. Sent again as
    /// it is only where it is certain that the server did nothing.
    HarmlessInParts,
    /// Only where it is certain that the server did nothing: the bulk request, which GitLab counts for an hour, and
    /// every removal by name, since the name may have been pushed again meanwhile.
    OnlyUnprocessed,
}

impl Repeat {
    /// Whether it changes nothing.
    pub(super) const fn is_harmless(self) -> bool {
        matches!(self, Self::Harmless | Self::HarmlessInParts)
    }
}

/// A failure that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There was no connection, so nothing was sent.
    Unsent,
    /// The connection broke, or time ran out, after the request had begun to be sent.
    Unanswered,
    /// The server answered with a status that says "not now".
    Status {
        /// 429 or 5xx.
        status: u16,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
    },
}

impl Failure {
    /// The failure a status stands for; `None` when another attempt would get the same answer.
    pub(super) const fn of_status(status: u16, retry_after: Option<Duration>) -> Option<Self> {
        match status {
            // 501 is not a state of the server but a method it will never have.
            429 | 500 | 502..=599 => Some(Self::Status { status, retry_after }),
            _ => None,
        }
    }

    /// Whether the server turned the request away to be asked less.
    pub(super) const fn is_throttle(self) -> bool {
        matches!(self, Self::Status { status: 429, .. })
    }

    const fn proves_nothing_was_done(self) -> bool {
        match self {
            // GitLab behaviour: the throttle stands before the application.
            Self::Unsent | Self::Status { status: 429, .. } => true,
            Self::Unanswered | Self::Status { .. } => false,
        }
    }
}

/// How long to wait before attempt number `attempt + 1`; `None` gives up.
///
/// `attempt` counts from 1; `jitter` is between 0 and 1 and lengthens the wait by up to a quarter, so that callers
/// which failed together do not come back together. What the server asked for is never undercut. `most` is the longest
/// wait.
pub(super) fn delay(failure: Failure, repeat: Repeat, attempt: u32, jitter: f64, most: Duration) -> Option<Duration> {
    if attempt >= MAX_ATTEMPTS || (repeat != Repeat::Harmless && !failure.proves_nothing_was_done()) {
        return None;
    }
    let least = match failure {
        Failure::Status { retry_after: Some(asked), .. } => asked,
        Failure::Status { status: 429, .. } => THROTTLED_DELAY,
        _ => FIRST_DELAY.saturating_mul(GROWTH.saturating_pow(attempt.saturating_sub(1))),
    };
    if least > most {
        return None;
    }
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
    Some(least.saturating_add(least.mul_f64(jitter / 4.0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const fn status(status: u16, retry_after: Option<u64>) -> Failure {
        Failure::Status {
            status,
            retry_after: match retry_after {
                Some(seconds) => Some(Duration::from_secs(seconds)),
                None => None,
            },
        }
    }

    #[rstest]
    #[case::grows_from_one_second(Failure::Unsent, 1, Some(1))]
    #[case::then_three(Failure::Unanswered, 2, Some(3))]
    #[case::then_nine(status(503, None), 3, Some(9))]
    #[case::the_fourth_attempt_is_the_last(Failure::Unsent, 4, None)]
    #[case::the_server_says_when(status(503, Some(40)), 1, Some(40))]
    #[case::the_server_may_say_now(status(429, Some(0)), 1, Some(0))]
    #[case::a_throttle_that_says_nothing_waits_longer(status(429, None), 1, Some(15))]
    #[case::as_long_as_patience(status(429, Some(120)), 1, Some(120))]
    #[case::longer_than_patience_is_not_waited_for(status(429, Some(121)), 1, None)]
    fn reading_is_tried_again(#[case] failure: Failure, #[case] attempt: u32, #[case] seconds: Option<u64>) {
        let decided = delay(failure, Repeat::Harmless, attempt, 0.0, MAX_WAIT);
        assert_eq!(decided, seconds.map(Duration::from_secs));
    }

    #[test]
    fn who_is_patient_waits_as_long_as_the_server_asks_but_not_for_ever() {
        let wait = |seconds| delay(status(429, Some(seconds)), Repeat::OnlyUnprocessed, 1, 0.0, MOST_PATIENCE);
        assert_eq!(wait(3600), Some(Duration::from_secs(3600)));
        assert_eq!(wait(MOST_PATIENCE.as_secs() + 1), None);
    }

    #[rstest]
    #[case::nothing_was_sent(Failure::Unsent, true)]
    #[case::throttled_before_the_application(status(429, None), true)]
    #[case::no_answer(Failure::Unanswered, false)]
    #[case::a_gateway_that_lost_the_answer(status(502, None), false)]
    #[case::unavailable(status(503, Some(1)), false)]
    fn a_bulk_request_is_tried_again_only_if_the_server_did_nothing(#[case] failure: Failure, #[case] again: bool) {
        assert_eq!(delay(failure, Repeat::OnlyUnprocessed, 1, 0.0, MAX_WAIT).is_some(), again);
    }

    #[rstest]
    #[case(200, false)]
    #[case(400, false)]
    #[case(401, false)]
    #[case(403, false)]
    #[case(404, false)]
    #[case(429, true)]
    #[case(500, true)]
    #[case(501, false)]
    #[case(502, true)]
    #[case(503, true)]
    #[case(504, true)]
    #[case(599, true)]
    fn only_throttles_and_server_errors_may_pass(#[case] code: u16, #[case] may_pass: bool) {
        assert_eq!(Failure::of_status(code, None).is_some(), may_pass);
    }

    proptest! {
        #[test]
        fn a_wait_is_bounded_and_never_undercuts_the_server(
            code in prop_oneof![Just(429_u16), 500_u16..600],
            asked in proptest::option::of(0_u64..100_000),
            attempt in 0_u32..10,
            jitter in proptest::num::f64::ANY,
        ) {
            let failure = status(code, asked);
            if let Some(wait) = delay(failure, Repeat::Harmless, attempt, jitter, MAX_WAIT) {
                prop_assert!(wait >= Duration::from_secs(asked.unwrap_or(0)));
                prop_assert!(wait <= MAX_WAIT + MAX_WAIT / 4);
                prop_assert!(attempt < MAX_ATTEMPTS);
            }
        }
    }
}
