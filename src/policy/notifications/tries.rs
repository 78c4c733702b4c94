//! Whether a notification is sent again, and when; and what of it is signed.
//!
//! Pure: whoever sends asks after each try what comes next.

use std::time::Duration;

use sha2::{Digest, Sha256};

/// Tries of one notification, the first included.
pub const MAX_TRIES: u32 = 5;
/// No try begins later than this after the first one.
pub const WINDOW: Duration = Duration::from_secs(3600);
/// The pause after the first try; each further one is four times as long: 30 s, 2 min, 8 min, 32 min. With the longest
/// jitter and the time-outs of five tries that is less than an hour.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const GROWTH: u32 = 4;

/// What came of one try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// The receiver answered.
    Status {
        /// The status code.
        code: u16,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
    },
    /// No answer came, or nothing could be sent.
    Nothing,
}

/// What to do after a try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// The receiver has it.
    Delivered,
    /// Try again after this time.
    Again(Duration),
    /// The receiver refuses it, and would refuse it again.
    Refused,
    /// The receiver wants no notification any more.
    Gone,
    /// There were enough tries.
    GivenUp,
}

/// What to do after `tries` tries, of which the last got this answer, `passed` after the first one began.
///
/// `jitter` is between 0 and 1 and lengthens the pause by up to a quarter, so that what failed together does not come
/// back together. What the receiver asked for is never undercut.
#[must_use]
pub fn next(answer: Answer, tries: u32, passed: Duration, jitter: f64) -> Next {
    let asked = match answer {
        Answer::Status { code: 200..=299, .. } => return Next::Delivered,
        // The receiver "is no longer interested": https://www.standardwebhooks.com, "Webhook delivery".
        Answer::Status { code: 410, .. } => return Next::Gone,
        Answer::Status { code: 408 | 429 | 500..=599, retry_after } => retry_after,
        // Also a redirect: the message and its signature are for nobody else.
        Answer::Status { .. } => return Next::Refused,
        Answer::Nothing => None,
    };
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
    let pause = FIRST_PAUSE.saturating_mul(GROWTH.saturating_pow(tries.saturating_sub(1)));
    let pause = pause.max(asked.unwrap_or_default());
    let begins = |pause: Duration| passed.saturating_add(pause);
    if tries >= MAX_TRIES || begins(pause) > WINDOW {
        return Next::GivenUp;
    }
    // What was asked for may end with the hour.
    let late = pause.saturating_add(pause.mul_f64(jitter / 4.0));
    Next::Again(late.min(WINDOW.saturating_sub(passed)))
}

/// The jitter of a try, always the same: another one for each notification.
#[must_use]
pub fn jitter(id: &str, tries: u32) -> f64 {
    let digest = Sha256::digest(format!("{id}\n{tries}"));
    let number = digest.first_chunk().copied().map_or(0, u32::from_be_bytes);
    f64::from(number) / f64::from(u32::MAX)
}

/// What is signed of a try at `timestamp`, in seconds since 1970, as [Standard
/// Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme)
/// has it: `id.timestamp.body`.
#[must_use]
pub fn signed_content(id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{timestamp}.").as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const fn status(code: u16) -> Answer {
        Answer::Status { code, retry_after: None }
    }

    const fn asking(code: u16, seconds: u64) -> Answer {
        Answer::Status { code, retry_after: Some(Duration::from_secs(seconds)) }
    }

    const fn again(seconds: u64) -> Next {
        Next::Again(Duration::from_secs(seconds))
    }

    #[rstest]
    #[case::taken(status(200), Next::Delivered)]
    #[case::taken_for_later(status(202), Next::Delivered)]
    #[case::taken_without_a_word(status(204), Next::Delivered)]
    #[case::moved(status(301), Next::Refused)]
    #[case::redirected(status(307), Next::Refused)]
    #[case::not_understood(status(400), Next::Refused)]
    #[case::not_signed_right(status(401), Next::Refused)]
    #[case::not_there(status(404), Next::Refused)]
    #[case::no_more(status(410), Next::Gone)]
    #[case::too_slow(status(408), again(30))]
    #[case::too_many(status(429), again(30))]
    #[case::broken(status(500), again(30))]
    #[case::away(status(503), again(30))]
    #[case::no_answer(Answer::Nothing, again(30))]
    #[case::asked_to_wait(asking(429, 600), again(600))]
    #[case::asked_to_wait_while_it_is_away(asking(503, 600), again(600))]
    #[case::asked_to_come_at_once(asking(503, 0), again(30))]
    #[case::asked_to_wait_for_the_hour(asking(429, 3600), again(3600))]
    #[case::asked_to_wait_for_longer(asking(429, 3601), Next::GivenUp)]
    fn what_an_answer_means(#[case] answer: Answer, #[case] expected: Next) {
        assert_eq!(next(answer, 1, Duration::ZERO, 0.0), expected);
    }

    /// When the tries of a notification begin, in seconds after the first, if each gets this answer at once.
    fn begins(answer: Answer, jitter: f64) -> Vec<u64> {
        let mut begins = vec![Duration::ZERO];
        while let Next::Again(pause) =
            next(answer, u32::try_from(begins.len()).unwrap(), *begins.last().unwrap(), jitter)
        {
            begins.push(*begins.last().unwrap() + pause);
        }
        begins.into_iter().map(|moment| moment.as_secs()).collect()
    }

    #[test]
    fn there_are_five_tries_within_the_hour_with_and_without_jitter() {
        assert_eq!(begins(status(500), 0.0), [0, 30, 150, 630, 2550]);
        assert_eq!(begins(Answer::Nothing, 1.0), [0, 37, 187, 787, 3187]);
    }

    #[test]
    fn what_the_receiver_asks_for_is_kept_to_within_the_hour() {
        assert_eq!(begins(asking(429, 1000), 0.0), [0, 1000, 2000, 3000]);
        assert_eq!(begins(asking(429, 1800), 0.0), [0, 1800, 3600]);
    }

    #[test]
    fn tries_of_several_notifications_spread() {
        let all: Vec<f64> = (0..100).map(|number| jitter(&format!("{number}"), 1)).collect();
        assert!(all.iter().all(|jitter| (0.0..=1.0).contains(jitter)));
        assert!(all.iter().any(|jitter| *jitter < 0.2) && all.iter().any(|jitter| *jitter > 0.8), "{all:?}");
        assert!((jitter("one", 1) - jitter("one", 1)).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_signed_is_id_timestamp_and_body() {
        assert_eq!(signed_content("msg_1", 1_614_265_330, b"{\"a\": 1}"), b"msg_1.1614265330.{\"a\": 1}");
    }

    proptest! {
        #[test]
        fn no_try_begins_after_the_hour_or_sooner_than_asked_for(
            code in 100_u16..600, asked in proptest::option::of(0_u64..10_000), tries in 0_u32..10,
            passed in 0_u64..5000, jitter in proptest::num::f64::ANY,
        ) {
            let answer = Answer::Status { code, retry_after: asked.map(Duration::from_secs) };
            let passed = Duration::from_secs(passed);
            if let Next::Again(pause) = next(answer, tries, passed, jitter) {
                prop_assert!(tries < MAX_TRIES && passed + pause <= WINDOW);
                prop_assert!(pause >= Duration::from_secs(asked.unwrap_or_default()));
                prop_assert!(pause >= FIRST_PAUSE);
            }
        }
    }
}
