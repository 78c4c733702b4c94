//! Ages as GitLab writes them (`older_than`), read strictly.
//!
//! GitLab reads `1m` as one minute and accepts words, fractions and bare numbers. The subset here has one reading only,
//! and it is GitLab's own: a day is 24 h, a week 7 d, a month 30 d, a year 365.25 d (GitLab's chronic durations).

use jiff::SignedDuration;

/// Longest age that is accepted, in seconds: 100 years. Beyond it, dates cannot be represented.
const MAX_SECONDS: i64 = 100 * 31_557_600;

const UNITS: [(&str, i64); 5] = [("month", 2_592_000), ("h", 3_600), ("d", 86_400), ("w", 604_800), ("y", 31_557_600)];

/// An age that keeps its text, because GitLab is sent the text and users want to read it back as they wrote it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Age {
    text: String,
    duration: SignedDuration,
}

/// The text is no age.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is no age: give whole numbers with h, d, w, month or y that come to at most 100 years")]
pub struct InvalidAge;

impl Age {
    /// Reads `14d`, `1month`, `1d12h`.
    ///
    /// # Errors
    /// For anything else, minutes (`m`) and zero included.
    pub fn parse(text: &str) -> Result<Self, InvalidAge> {
        let mut seconds: i64 = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let number: i64 = number.parse().map_err(|_| InvalidAge)?;
            let (unit, value) = UNITS.iter().find(|(unit, _)| tail.starts_with(unit)).copied().ok_or(InvalidAge)?;
            if number == 0 || digits > 5 {
                return Err(InvalidAge);
            }
            seconds = seconds.saturating_add(number.saturating_mul(value));
            rest = tail.get(unit.len()..).ok_or(InvalidAge)?;
        }
        if seconds == 0 || seconds > MAX_SECONDS {
            return Err(InvalidAge);
        }
        Ok(Self { text: text.to_owned(), duration: SignedDuration::from_secs(seconds) })
    }

    /// The text as it was written, which is what GitLab is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How long it is.
    #[must_use]
    pub fn duration(&self) -> SignedDuration {
        self.duration
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1h", 3_600)]
    #[case("2d", 172_800)]
    #[case("1w", 604_800)]
    #[case("1month", 2_592_000)]
    #[case("1y", 31_557_600)]
    #[case("1d12h", 129_600)]
    #[case("1d1d", 172_800)]
    fn an_age_is_as_long_as_gitlab_takes_it_to_be(#[case] text: &str, #[case] seconds: i64) {
        assert_eq!(Age::parse(text).map(|age| age.duration().as_secs()), Ok(seconds));
    }

    #[rstest]
    #[case::minutes("1m")]
    #[case::empty("")]
    #[case::zero("0d")]
    #[case::no_unit("30")]
    #[case::no_number("d")]
    #[case::negative("-1d")]
    #[case::fraction("1.5d")]
    #[case::words("one day")]
    #[case::spaces("1 d")]
    #[case::upper_case("1D")]
    #[case::too_many_digits("100000d")]
    #[case::longer_than_a_century("101y")]
    #[case::rest("1d2")]
    fn what_has_two_readings_or_none_is_no_age(#[case] text: &str) {
        assert_eq!(Age::parse(text), Err(InvalidAge));
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_keeps_the_text(text in "\\PC{0,12}") {
            if let Ok(age) = Age::parse(&text) {
                prop_assert_eq!(age.as_str(), text.as_str());
                prop_assert!(age.duration().as_secs() > 0);
            }
        }
    }
}
