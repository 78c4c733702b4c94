//! When runs are due: five cron fields in a time zone, and what becomes of a slot that was missed.
//!
//! The two days a year on which clocks change follow the cron of the library: a time that does not exist runs once,
//! right after the gap; a time that exists twice runs once, at its first occurrence.

mod fields;

use std::sync::Arc;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use fields::canonical;

pub use fields::FieldError;

/// What a schedule takes at most, in bytes.
pub const SCHEDULE_BYTES: usize = 8 << 10;

/// A schedule in its time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    /// Shared, since it has a byte for each minute, hour, day, month and year.
    cron: Arc<Cron>,
    zone: TimeZone,
    /// How much later than the cron says each slot is.
    delay: SignedDuration,
}

/// Why there is no such schedule.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// No such time zone.
    #[error("timeZone {0:?} is not known: give an IANA name such as Europe/Berlin")]
    UnknownZone(String),
    /// The fields cannot be read.
    #[error("schedule {0:?} cannot be read as five cron fields")]
    Unreadable(String),
    /// A field cannot be read.
    #[error("schedule {0:?} {1}")]
    Field(String, FieldError),
    /// The minute is not one number.
    #[error("schedule {0:?} may fire twice within an hour: give one number as the minute")]
    TooOften(String),
    /// There is no such day.
    #[error("schedule {0:?} never comes")]
    Never(String),
}

/// What the armed slot calls for at some moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Due {
    /// The slot lies ahead.
    NotYet,
    /// A run for this slot is due: the latest one that is not too late. Earlier ones are dropped.
    Run(Timestamp),
    /// The slot, and every later one up to now, is too late.
    Missed(Timestamp),
}

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// When the zone is unknown, or the fields are not readable, fire more than once an hour, or never come.
    pub fn parse(expression: &str, zone: &str, now: Timestamp) -> Result<Self, ScheduleError> {
        let unknown = || ScheduleError::UnknownZone(zone.to_owned());
        if zone.eq_ignore_ascii_case("local") || zone.contains("..") || zone.starts_with('/') {
            return Err(unknown());
        }
        let zone = TimeZone::get(zone).map_err(|_| unknown())?;
        let fields = match expression.trim() {
            "@annually" => "@yearly".to_owned(),
            "@midnight" => "@daily".to_owned(),
            by_name if by_name.starts_with('@') => by_name.to_owned(),
            fields => {
                let minute = fields.split_ascii_whitespace().next().unwrap_or_default();
                if minute.is_empty() || !minute.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(ScheduleError::TooOften(expression.to_owned()));
                }
                canonical(fields).map_err(|error| ScheduleError::Field(expression.to_owned(), error))?
            }
        };
        let cron = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build()
            .parse(&fields)
            .map_err(|_| ScheduleError::Unreadable(expression.to_owned()))?;
        let schedule =
            Self { text: expression.trim().to_owned(), cron: Arc::new(cron), zone, delay: SignedDuration::ZERO };
        match schedule.next_after(now) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(expression.to_owned())),
        }
    }

    /// The same schedule with every slot later by so much.
    #[must_use]
    pub fn delayed(self, delay: SignedDuration) -> Self {
        Self { delay, ..self }
    }

    /// The first slot after a moment; `None` where the calendar ends.
    #[must_use]
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let zoned = moment.checked_sub(self.delay).ok()?.to_zoned(self.zone.clone());
        let slot = self.cron.find_next_occurrence(&zoned, false).ok()?.timestamp();
        slot.checked_add(self.delay).ok()
    }

    /// The last slot up to a moment, that included; `None` where the calendar begins.
    #[must_use]
    pub fn last_until(&self, moment: Timestamp) -> Option<Timestamp> {
        let zoned = moment.checked_sub(self.delay).ok()?.to_zoned(self.zone.clone());
        let found = self.cron.find_previous_occurrence(&zoned, true).ok()?.timestamp();
        // Backwards, the library does not see what a change of clocks moved.
        let mut last = found.checked_add(self.delay).ok()?;
        while let Some(next) = self.next_after(last).filter(|next| *next <= moment && *next > last) {
            last = next;
        }
        (last <= moment).then_some(last)
    }

    /// The text that it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its time zone.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// What the armed slot calls for. A slot is too late once it is more than `deadline` ago.
    #[must_use]
    pub fn due(&self, armed: Timestamp, deadline: SignedDuration, now: Timestamp) -> Due {
        self.due_among(armed, deadline, now, |_| true)
    }

    /// The same where only some slots count.
    #[must_use]
    pub fn due_among(
        &self,
        armed: Timestamp,
        deadline: SignedDuration,
        now: Timestamp,
        counts: impl Fn(Timestamp) -> bool,
    ) -> Due {
        if now < armed {
            return Due::NotYet;
        }
        let earliest = now.checked_sub(deadline).unwrap_or(Timestamp::MIN);
        let mut latest = (armed >= earliest && counts(armed)).then_some(armed);
        // `next_after` leaves its argument out, and a slot exactly on the border is in time.
        let before = SignedDuration::from_nanos(1);
        let mut cursor = armed.max(earliest.checked_sub(before).unwrap_or(earliest));
        while let Some(slot) = self.next_after(cursor).filter(|slot| *slot <= now && *slot > cursor) {
            if counts(slot) {
                latest = Some(slot);
            }
            cursor = slot;
        }
        latest.map_or(Due::Missed(armed), Due::Run)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn schedule(expression: &str, zone: &str) -> Schedule {
        Schedule::parse(expression, zone, at("2026-01-01T00:00:00Z")).unwrap()
    }

    #[rstest]
    #[case("17 3 * * *", "Etc/UTC", "2026-11-22T03:17:00Z", "2026-11-23T03:17:00Z")]
    #[case("17 3 * * *", "Europe/Berlin", "2026-11-22T03:17:00Z", "2026-11-23T02:17:00Z")]
    #[case("17 3 * * *", "europe/berlin", "2026-07-22T03:17:00Z", "2026-07-23T01:17:00Z")]
    #[case("@hourly", "Etc/UTC", "2026-11-22T03:17:00Z", "2026-11-22T04:00:00Z")]
    #[case("@weekly", "Etc/UTC", "2026-11-22T03:17:00Z", "2026-11-29T00:00:00Z")]
    #[case("@monthly", "Etc/UTC", "2026-11-22T03:17:00Z", "2026-12-01T00:00:00Z")]
    #[case("@yearly", "Etc/UTC", "2026-11-22T03:17:00Z", "2027-01-01T00:00:00Z")]
    #[case("@daily", "America/New_York", "2026-11-22T03:17:00Z", "2026-11-22T05:00:00Z")]
    #[case("0 3 * * MON-FRI", "Etc/UTC", "2026-11-20T03:00:00Z", "2026-11-23T03:00:00Z")]
    #[case("0 0/6 * * *", "Etc/UTC", "2026-11-20T03:00:00Z", "2026-11-20T06:00:00Z")]
    #[case(" 0 3 * * * ", "Etc/UTC", "2026-11-20T03:00:00Z", "2026-11-21T03:00:00Z")]
    #[case("@midnight", "Etc/UTC", "2026-11-20T03:00:00Z", "2026-11-21T00:00:00Z")]
    #[case("@annually", "Etc/UTC", "2026-11-20T03:00:00Z", "2027-01-01T00:00:00Z")]
    #[case("0 3 13 * 5", "Etc/UTC", "2026-11-06T03:00:00Z", "2026-11-13T03:00:00Z")]
    #[case("0 3 14 * 5", "Etc/UTC", "2026-11-06T03:00:00Z", "2026-11-13T03:00:00Z")]
    #[case("0 3 L * *", "Etc/UTC", "2026-11-06T03:00:00Z", "2026-11-30T03:00:00Z")]
    // The clocks of Berlin go from 02:00 to 03:00 on 2026-03-29, and from 03:00 back to 02:00 on 2026-10-25.
    #[case::a_time_that_does_not_exist_runs_after_the_gap(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        "2026-03-29T01:00:00Z"
    )]
    #[case::a_time_that_exists_twice_runs_first(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        "2026-10-25T00:30:00Z"
    )]
    #[case::and_not_again("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z")]
    fn the_next_slot_follows_the_clock_of_the_zone(
        #[case] expression: &str,
        #[case] zone: &str,
        #[case] after: &str,
        #[case] next: &str,
    ) {
        assert_eq!(schedule(expression, zone).next_after(at(after)), Some(at(next)));
    }

    #[test]
    fn a_delay_moves_every_slot_and_what_is_due() {
        let (hour, delay) = (SignedDuration::from_hours(1), SignedDuration::from_mins(5));
        let late = schedule("17 3 * * *", "Etc/UTC").delayed(delay);
        let slot = at("2026-11-22T03:22:00Z");
        assert_eq!(late.next_after(at("2026-11-22T03:17:00Z")), Some(slot));
        assert_eq!(late.next_after(slot), Some(at("2026-11-23T03:22:00Z")));
        assert_eq!(late.due(slot, hour, at("2026-11-22T03:21:59Z")), Due::NotYet);
        assert_eq!(late.due(slot, hour, at("2026-11-22T04:22:00Z")), Due::Run(slot));
        assert_eq!(late.due(slot, hour, at("2026-11-22T04:22:01Z")), Due::Missed(slot));
    }

    #[rstest]
    #[case("17 3 * * *", "Local")]
    #[case("17 3 * * *", "local")]
    #[case("17 3 * * *", "+03:00")]
    #[case("17 3 * * *", "")]
    #[case("17 3 * * *", "Europe/Atlantis")]
    #[case("17 3 * * *", "../etc/passwd")]
    fn a_zone_that_is_no_iana_name_is_refused(#[case] expression: &str, #[case] zone: &str) {
        let error = Schedule::parse(expression, zone, at("2026-01-01T00:00:00Z")).unwrap_err();
        assert_eq!(error, ScheduleError::UnknownZone(zone.to_owned()));
    }

    #[rstest]
    #[case("*/5 * * * *")]
    #[case("0,30 * * * *")]
    #[case("* * * * *")]
    #[case("TZ=UTC 0 3 * * *")]
    #[case("")]
    fn a_schedule_that_could_fire_twice_an_hour_is_refused(#[case] expression: &str) {
        let error = Schedule::parse(expression, "Etc/UTC", at("2026-01-01T00:00:00Z")).unwrap_err();
        assert_eq!(error, ScheduleError::TooOften(expression.to_owned()));
    }

    #[rstest]
    #[case("@reboot")]
    #[case("@every 1h")]
    fn what_names_no_schedule_is_refused(#[case] expression: &str) {
        let error = Schedule::parse(expression, "Etc/UTC", at("2026-01-01T00:00:00Z")).unwrap_err();
        assert_eq!(error, ScheduleError::Unreadable(expression.to_owned()));
    }

    #[rstest]
    #[case("0 0 3 * * *")]
    #[case("0 3 * *")]
    #[case("61 3 * * *")]
    #[case("0 24 * * *")]
    #[case("0 3 * * 6-1")]
    fn a_field_that_cannot_be_read_is_named(#[case] expression: &str) {
        let error = Schedule::parse(expression, "Etc/UTC", at("2026-01-01T00:00:00Z")).unwrap_err();
        assert!(matches!(error, ScheduleError::Field(..)), "{error}");
    }

    #[test]
    fn a_day_that_does_not_exist_is_refused() {
        let error = Schedule::parse("0 0 30 2 *", "Etc/UTC", at("2026-01-01T00:00:00Z")).unwrap_err();
        assert_eq!(error, ScheduleError::Never("0 0 30 2 *".to_owned()));
    }

    #[rstest]
    #[case::ahead("2026-11-22T02:59:59Z", Due::NotYet)]
    #[case::on_time("2026-11-22T03:00:00Z", Due::Run(at("2026-11-22T03:00:00Z")))]
    #[case::late_within_the_deadline("2026-11-22T03:30:00Z", Due::Run(at("2026-11-22T03:00:00Z")))]
    #[case::exactly_at_the_deadline("2026-11-22T03:40:00Z", Due::Run(at("2026-11-22T03:00:00Z")))]
    #[case::too_late("2026-11-22T03:40:01Z", Due::Missed(at("2026-11-22T03:00:00Z")))]
    #[case::only_the_latest_of_several("2026-11-23T05:10:00Z", Due::Run(at("2026-11-23T05:00:00Z")))]
    fn a_missed_slot_runs_at_most_once_and_only_within_the_deadline(#[case] now: &str, #[case] due: Due) {
        let expression = if matches!(due, Due::Missed(_)) { "0 3 * * *" } else { "0 * * * *" };
        let schedule = schedule(expression, "Etc/UTC");
        let deadline = SignedDuration::from_secs(2400);
        assert_eq!(schedule.due(at("2026-11-22T03:00:00Z"), deadline, at(now)), due);
    }

    #[test]
    fn after_a_long_absence_the_border_of_the_deadline_still_counts() {
        let schedule = schedule("0 * * * *", "Etc/UTC");
        let due = schedule.due(at("2025-11-22T03:00:00Z"), SignedDuration::from_secs(3600), at("2026-11-22T04:59:59Z"));
        assert_eq!(due, Due::Run(at("2026-11-22T04:00:00Z")));
    }
}
