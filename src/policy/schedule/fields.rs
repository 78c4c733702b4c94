//! The five fields of a schedule, read as Kubernetes' CronJob reads them, which uses [robfig/cron][cron]: `0/6` is
//! `0-23/6`, `?` is `*`, names are those of months and days. Besides, the day of the week may be 7 for Sunday, and days
//! may have the `L`, `W` and `#` of the library that looks for the next slot.
//!
//! What is read is written for that library as lists of numbers, so that there are no two readings of steps and ranges.
//!
//! [cron]: https://github.com/robfig/cron/blob/v3/parser.go

use std::collections::BTreeSet;
use std::fmt::Write;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// What is wrong with a field.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FieldError {
    /// There are not five.
    #[error("does not have five fields (minute, hour, day of month, month, day of week)")]
    NotFive,
    /// A value is beyond what the field may have.
    #[error("has the {field} {value:?}, which is not from {least} to {most}")]
    Beyond {
        /// The field.
        field: &'static str,
        /// What stands there.
        value: String,
        /// The least that may.
        least: u8,
        /// The most that may.
        most: u8,
    },
    /// A range ends before it begins.
    #[error("has the {field} {range:?}, which ends before it begins: write two ranges, divided by a comma")]
    Backwards {
        /// The field.
        field: &'static str,
        /// The range.
        range: String,
    },
    /// It cannot be read.
    #[error("has the {field} {text:?}, which cannot be read")]
    Unreadable {
        /// The field.
        field: &'static str,
        /// What stands there.
        text: String,
    },
}

/// A field and its bounds.
struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    /// What stands for numbers, from this one on.
    names: (&'static [&'static str], u8),
}

const MINUTE: Field = Field { name: "minute", least: 0, most: 59, names: (&[], 0) };
const HOUR: Field = Field { name: "hour", least: 0, most: 23, names: (&[], 0) };
const DAY_OF_MONTH: Field = Field { name: "day of month", least: 1, most: 31, names: (&[], 0) };
const MONTH: Field = Field { name: "month", least: 1, most: 12, names: (&MONTHS, 1) };
const DAY_OF_WEEK: Field = Field { name: "day of week", least: 0, most: 7, names: (&DAYS, 0) };

/// What a field selects.
struct Values {
    all: BTreeSet<u8>,
    /// It has a star, which makes the other day field decide alone.
    star: bool,
}

/// A schedule in the words of the library.
///
/// # Errors
/// What is wrong with it.
pub(super) fn canonical(expression: &str) -> Result<String, FieldError> {
    let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else { return Err(FieldError::NotFive) };
    let minute = MINUTE.list(minute)?;
    let (hour, month) = (HOUR.list(hour)?, MONTH.list(month)?);
    let special = |field: &str, signs: &[char]| field.contains(signs);
    if special(day, &['L', 'l', 'W', 'w']) || special(weekday, &['L', 'l', '#']) {
        return Ok(format!("{minute} {hour} {day} {month} {weekday}"));
    }
    let (day, weekday) = (DAY_OF_MONTH.values(day)?, DAY_OF_WEEK.values(weekday)?.on_sunday());
    let full = (day.all.len() == 31, weekday.all.len() == 7);
    // Without a star one of both is enough, and every day is one.
    let every_day = !day.star && !weekday.star && (full.0 || full.1);
    let day = if every_day || full.0 { "*".to_owned() } else { written(&day.all) };
    let weekday = if every_day || full.1 { "*".to_owned() } else { written(&weekday.all) };
    Ok(format!("{minute} {hour} {day} {month} {weekday}"))
}

impl Values {
    /// With 0 as the only number of Sunday.
    fn on_sunday(mut self) -> Self {
        if self.all.remove(&7) {
            self.all.insert(0);
        }
        self
    }
}

impl Field {
    fn list(&self, text: &str) -> Result<String, FieldError> {
        let values = self.values(text)?;
        let full = usize::from(self.most - self.least) + 1;
        Ok(if values.all.len() == full { "*".to_owned() } else { written(&values.all) })
    }

    fn values(&self, text: &str) -> Result<Values, FieldError> {
        let mut values = Values { all: BTreeSet::new(), star: false };
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, Some(self.step(step)?)),
                None => (part, None),
            };
            let (first, last) = match range.split_once('-') {
                None if matches!(range, "*" | "?") => {
                    values.star |= step.unwrap_or(1) == 1;
                    // 0 and 7 are both Sunday.
                    (self.least, if self.most == 7 { 6 } else { self.most })
                }
                None => {
                    let only = self.number(range)?;
                    (only, if step.is_some() { self.most.max(only) } else { only })
                }
                Some((first, last)) => (self.number(first)?, self.number(last)?),
            };
            if first > last {
                return Err(FieldError::Backwards { field: self.name, range: part.to_owned() });
            }
            values.all.extend((first..=last).step_by(step.unwrap_or(1)));
        }
        Ok(values)
    }

    fn step(&self, text: &str) -> Result<usize, FieldError> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let step = if digits { text.parse().ok().filter(|step| *step > 0) } else { None };
        step.ok_or_else(|| FieldError::Unreadable { field: self.name, text: format!("/{text}") })
    }

    fn number(&self, text: &str) -> Result<u8, FieldError> {
        let (names, from) = self.names;
        let by_name =
            names.iter().zip(from..).find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, number)| number);
        if let Some(number) = by_name {
            return Ok(number);
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(FieldError::Unreadable { field: self.name, text: text.to_owned() });
        }
        let beyond =
            || FieldError::Beyond { field: self.name, value: text.to_owned(), least: self.least, most: self.most };
        text.parse().ok().filter(|number| (self.least..=self.most).contains(number)).ok_or_else(beyond)
    }
}

fn written(values: &BTreeSet<u8>) -> String {
    values.iter().fold(String::new(), |mut list, value| {
        let comma = if list.is_empty() { "" } else { "," };
        let _ = write!(list, "{comma}{value}");
        list
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("17 3 * * *", "17 3 * * *")]
    #[case("0 0/6 * * *", "0 0,6,12,18 * * *")]
    #[case("0 */6 * * *", "0 0,6,12,18 * * *")]
    #[case("0 20/2 * * *", "0 20,22 * * *")]
    #[case("0 1-9/4 * * *", "0 1,5,9 * * *")]
    #[case("05 03 01 01 ?", "5 3 1 1 *")]
    #[case("0 3 ? * MON-fri", "0 3 * * 1,2,3,4,5")]
    #[case("0 3 * JAN,jul *", "0 3 * 1,7 *")]
    #[case("0 3 * * 0", "0 3 * * 0")]
    #[case("0 3 * * 7", "0 3 * * 0")]
    #[case("0 3 * * 5-7", "0 3 * * 0,5,6")]
    #[case("  0   3  *  * * ", "0 3 * * *")]
    #[case::a_star_leaves_it_to_the_other_day("0 3 */1 * 1", "0 3 * * 1")]
    #[case::a_step_of_days_does_not("0 3 */15 * 1", "0 3 1,16,31 * 1")]
    #[case::every_day_without_a_star_is_every_day("0 3 1-31 * 1", "0 3 * * *")]
    #[case::and_so_is_every_day_of_the_week("0 3 1 * 0-6", "0 3 * * *")]
    #[case::with_a_star_it_is_not("0 3 1 * *", "0 3 1 * *")]
    #[case::days_of_the_library("0 3 L * *", "0 3 L * *")]
    #[case::weekdays_of_the_library("0 3 * * MON#1", "0 3 * * MON#1")]
    fn fields_are_read_as_a_cron_job_reads_them(#[case] written: &str, #[case] meant: &str) {
        assert_eq!(canonical(written).as_deref(), Ok(meant));
    }

    #[rstest]
    #[case("0 24 * * *", "has the hour \"24\", which is not from 0 to 23")]
    #[case("60 3 * * *", "has the minute \"60\", which is not from 0 to 59")]
    #[case("0 3 0 * *", "has the day of month \"0\", which is not from 1 to 31")]
    #[case("0 3 32 * *", "has the day of month \"32\", which is not from 1 to 31")]
    #[case("0 3 * 13 *", "has the month \"13\", which is not from 1 to 12")]
    #[case("0 3 * * 8", "has the day of week \"8\", which is not from 0 to 7")]
    #[case(
        "0 3 * * 6-1",
        "has the day of week \"6-1\", which ends before it begins: write two ranges, divided by a comma"
    )]
    #[case(
        "0 3 * * FRI-MON",
        "has the day of week \"FRI-MON\", which ends before it begins: write two ranges, divided by a comma"
    )]
    #[case("0 22-4 * * *", "has the hour \"22-4\", which ends before it begins: write two ranges, divided by a comma")]
    #[case("0 3 * * MONDAY", "has the day of week \"MONDAY\", which cannot be read")]
    #[case("0 */0 * * *", "has the hour \"/0\", which cannot be read")]
    #[case("0 1-2-3 * * *", "has the hour \"2-3\", which cannot be read")]
    #[case("0 1/2/3 * * *", "has the hour \"/2/3\", which cannot be read")]
    #[case("0 , * * *", "has the hour \"\", which cannot be read")]
    #[case("0 -3 * * *", "has the hour \"\", which cannot be read")]
    #[case("0 300 * * *", "has the hour \"300\", which is not from 0 to 23")]
    #[case("0 3 * *", "does not have five fields (minute, hour, day of month, month, day of week)")]
    #[case("0 0 3 * * *", "does not have five fields (minute, hour, day of month, month, day of week)")]
    fn a_field_that_cannot_be_meant_is_named(#[case] written: &str, #[case] error: &str) {
        assert_eq!(canonical(written).unwrap_err().to_string(), error);
    }
}
