//! What an answer's headers say about pace: `Retry-After` and `RateLimit-*`.
//!
//! Reads headers, decides nothing. Every value is a hint from outside: whoever uses one bounds it.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// HTTP dates are RFC 2822 dates with a zone of `GMT`; a wrong weekday is no reason to ignore one.
const HTTP_DATE: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);

/// A `Date` further from our clock than this is no clock that differs but an old or invented header.
const BELIEVABLE: SignedDuration = SignedDuration::from_hours(1);

/// What one answer says about pace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// The answer was a 429.
    pub(super) throttled: bool,
    /// `Retry-After`, from now.
    pub(super) retry_after: Option<Duration>,
    /// `RateLimit-Limit`: requests a minute, however long the window is.
    pub(super) limit: Option<u64>,
    /// `RateLimit-Remaining`: requests left in the window.
    pub(super) remaining: Option<u64>,
    /// `RateLimit-Reset` (unix seconds), as time from now to the window's end.
    pub(super) reset_in: Option<Duration>,
    /// `Date`, as how far the server's clock is ahead of ours.
    pub(super) ahead: Option<SignedDuration>,
}

impl Hints {
    /// Reads the hints of an answer that arrived at `now`.
    ///
    /// Dates are compared with the answer's own `Date` where it has one: the server's clock and ours may differ.
    pub(super) fn read(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Self {
        let believable = |date: &Timestamp| date.duration_since(now).abs() <= BELIEVABLE;
        let dated = text(headers, &DATE).and_then(date);
        let theirs = dated.filter(believable).unwrap_or(now);
        Self {
            throttled: status == StatusCode::TOO_MANY_REQUESTS,
            retry_after: text(headers, &RETRY_AFTER).and_then(|value| match value.parse().ok() {
                Some(seconds) => Some(Duration::from_secs(seconds)),
                None => date(value).map(|at| until(at, theirs)),
            }),
            limit: text(headers, &LIMIT).and_then(|value| value.parse().ok()),
            remaining: text(headers, &REMAINING).and_then(|value| value.parse().ok()),
            reset_in: text(headers, &RESET)
                .and_then(|value| value.parse().ok())
                .and_then(|seconds| Timestamp::from_second(seconds).ok())
                .map(|at| until(at, theirs)),
            ahead: dated.map(|date| date.duration_since(now)),
        }
    }

    /// How long the server asks to be left alone; `None` when it did not say.
    ///
    /// GitLab behaviour: a throttled answer has `Retry-After`; where a proxy dropped it, the window's end says the
    /// same.
    pub(super) fn asked_to_wait(&self) -> Option<Duration> {
        self.retry_after.or(if self.throttled { self.reset_in } else { None })
    }
}

/// What `Retry-After` asks for, counted from `now`.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    Hints::read(StatusCode::OK, headers, now).retry_after
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn date(value: &str) -> Option<Timestamp> {
    HTTP_DATE.parse_timestamp(value).ok()
}

/// The time from `now` until `at`, zero when it has passed.
pub(super) fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(pairs: &[(&'static str, &str)]) -> Hints {
        let headers =
            pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        Hints::read(StatusCode::OK, &headers, "2026-03-01T12:00:00Z".parse().unwrap())
    }

    #[rstest]
    #[case::seconds("7", Some(7))]
    #[case::blanks_around(" 7 ", Some(7))]
    #[case::an_http_date("Sun, 01 Mar 2026 12:00:30 GMT", Some(30))]
    #[case::a_date_with_the_wrong_weekday("Mon, 01 Mar 2026 12:00:30 GMT", Some(30))]
    #[case::a_date_in_the_past("Sun, 01 Mar 2026 11:00:00 GMT", Some(0))]
    #[case::the_largest_number("18446744073709551615", Some(u64::MAX))]
    #[case::negative("-1", None)]
    #[case::a_fraction("1.5", None)]
    #[case::nonsense("soon", None)]
    #[case::empty("", None)]
    fn retry_after_is_seconds_or_a_date(#[case] value: &str, #[case] seconds: Option<u64>) {
        assert_eq!(read(&[("retry-after", value)]).retry_after, seconds.map(Duration::from_secs));
    }

    #[test]
    fn dates_are_counted_on_the_servers_clock() {
        // The server's clock is half an hour ahead of ours.
        let hints = read(&[
            ("date", "Sun, 01 Mar 2026 12:30:00 GMT"),
            ("retry-after", "Sun, 01 Mar 2026 12:30:20 GMT"),
            ("ratelimit-reset", "1772368230"),
        ]);
        assert_eq!(hints.retry_after, Some(Duration::from_secs(20)));
        assert_eq!(hints.reset_in, Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_date_from_another_day_is_not_the_servers_clock() {
        let hints =
            read(&[("date", "Sat, 28 Feb 2026 12:00:00 GMT"), ("retry-after", "Sun, 01 Mar 2026 12:00:20 GMT")]);
        assert_eq!(hints.retry_after, Some(Duration::from_secs(20)));
    }

    #[rstest]
    #[case::a_window_that_ends_in_a_minute("1772366460", Some(60))]
    #[case::a_window_that_has_ended("1772366000", Some(0))]
    #[case::beyond_any_calendar("9223372036854775807", None)]
    #[case::nonsense("tomorrow", None)]
    fn the_reset_is_unix_time(#[case] value: &str, #[case] seconds: Option<u64>) {
        assert_eq!(read(&[("ratelimit-reset", value)]).reset_in, seconds.map(Duration::from_secs));
    }

    #[test]
    fn an_answer_without_headers_hints_at_nothing() {
        assert_eq!(read(&[]), Hints::default());
    }

    #[test]
    fn a_throttled_answer_without_retry_after_asks_for_the_rest_of_the_window() {
        let reset_in = Some(Duration::from_secs(30));
        let throttled = Hints { throttled: true, reset_in, ..Hints::default() };
        assert_eq!(throttled.asked_to_wait(), reset_in);
        assert_eq!(Hints { reset_in, ..Hints::default() }.asked_to_wait(), None);
        let retry_after = Some(Duration::from_secs(5));
        assert_eq!(Hints { retry_after, ..throttled }.asked_to_wait(), retry_after);
    }

    #[test]
    fn only_a_429_is_throttled() {
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        assert!(Hints::read(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), now).throttled);
        assert!(!Hints::read(StatusCode::SERVICE_UNAVAILABLE, &HeaderMap::new(), now).throttled);
    }

    #[rstest]
    #[case(2, 2)]
    #[case(0, 0)]
    #[case(-1, 0)]
    fn no_time_is_left_until_what_has_passed(#[case] at: i64, #[case] left: u64) {
        let at = Timestamp::from_second(at).unwrap();
        assert_eq!(until(at, Timestamp::UNIX_EPOCH).as_secs(), left);
    }
}
