//! The `older_than` grammar: gitlab-chronic-duration with exceptions on (gitlab-api reference 2.8).
//!
//! The steps are the gem's, in its order, because its oddities come from that order.

use regex::{Captures, Regex};

/// Why a duration ends the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// A word the grammar does not know.
    InvalidWord(String),
    /// It parsed to nothing, which has no duration (`""`, `0`, `0d`).
    Nothing,
}

impl std::fmt::Display for DurationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InvalidWord(word) => write!(f, "An invalid word {word:?} was used in the string to be parsed."),
            Self::Nothing => f.write_str("undefined method `seconds' for nil"),
        }
    }
}

const SECOND: f64 = 1.0;
const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;
const WEEK: f64 = 7.0 * DAY;
const MONTH: f64 = 30.0 * DAY;
const YEAR: f64 = 365.25 * DAY;

/// Units and their spellings.
const UNITS: [(&str, f64, &[&str]); 7] = [
    ("seconds", SECOND, &["seconds", "second", "secs", "sec", "s"]),
    ("minutes", MINUTE, &["minutes", "minute", "mins", "min", "m"]),
    ("hours", HOUR, &["hours", "hour", "hrs", "hr", "h"]),
    ("days", DAY, &["days", "day", "dy", "d"]),
    ("weeks", WEEK, &["weeks", "week", "wks", "wk", "w"]),
    ("months", MONTH, &["months", "month", "mos", "mo"]),
    ("years", YEAR, &["years", "year", "yrs", "yr", "y"]),
];

/// The units of the colon form, from its last number to its first; it knows no weeks.
const COLON_UNITS: [&str; 6] = ["seconds", "minutes", "hours", "days", "months", "years"];

const JOINING_WORDS: [&str; 3] = ["and", "with", "plus"];

/// Number words the gem replaces anywhere in the text; those with `true` only at the end of a word.
const DIRECT_NUMBERS: [(&str, u64, bool); 21] = [
    ("eleven", 11, false),
    ("twelve", 12, false),
    ("thirteen", 13, false),
    ("fourteen", 14, false),
    ("fifteen", 15, false),
    ("sixteen", 16, false),
    ("seventeen", 17, false),
    ("eighteen", 18, false),
    ("nineteen", 19, false),
    ("ninteen", 19, false),
    ("zero", 0, false),
    ("one", 1, false),
    ("two", 2, false),
    ("three", 3, false),
    ("four", 4, true),
    ("five", 5, false),
    ("six", 6, true),
    ("seven", 7, true),
    ("eight", 8, true),
    ("nine", 9, true),
    ("ten", 10, false),
];

const TENS: [(&str, u64); 8] = [
    ("twenty", 20),
    ("thirty", 30),
    ("forty", 40),
    ("fifty", 50),
    ("sixty", 60),
    ("seventy", 70),
    ("eighty", 80),
    ("ninety", 90),
];

const BIG: [(&str, u64); 5] = [
    ("hundred", 100),
    ("thousand", 1000),
    ("million", 1_000_000),
    ("billion", 1_000_000_000),
    ("trillion", 1_000_000_000_000),
];

const NUMBER: &str = r"[0-9]*\.?[0-9]+";

/// The seconds an `older_than` means.
///
/// # Errors
/// What the background job raises; the request was answered 202 long before.
pub(crate) fn seconds(text: &str) -> Result<f64, DurationError> {
    let numbered = number_words(&text.to_lowercase());
    let units = colon_form(&numbered).ok_or(DurationError::Nothing)?;
    let spaced = replaced(NUMBER, &units, |found| format!(" {} ", &found[0]));
    let words = known_words(&spaced)?;
    let mut total = 0.0;
    for (index, word) in words.iter().enumerate() {
        if let Ok(number) = word.parse::<f64>() {
            let unit = words.get(index + 1).map_or("seconds", String::as_str);
            total += number * UNITS.iter().find(|(name, ..)| *name == unit).map_or(0.0, |(_, seconds, _)| *seconds);
        }
    }
    if total == 0.0 { Err(DurationError::Nothing) } else { Ok(total) }
}

/// Replaces every match; the patterns are constants, and one that did not compile would change nothing and fail the
/// tests below.
fn replaced(pattern: &str, text: &str, by: impl Fn(&Captures<'_>) -> String) -> String {
    Regex::new(pattern).map_or_else(|_| text.to_owned(), |regex| regex.replace_all(text, by).into_owned())
}

/// The gem's numerizer: `twenty four` becomes `24`.
fn number_words(text: &str) -> String {
    let mut text = replaced(r" +|([^\d])-([^\d])", text, |found| {
        let side = |index| found.get(index).map_or("", |side| side.as_str());
        format!("{} {}", side(1), side(2))
    });
    for (word, number, at_end) in DIRECT_NUMBERS {
        text = if at_end {
            replaced(&format!(r"{word}(\W|$)"), &text, |found| format!("<num>{number}{}", &found[1]))
        } else {
            text.replace(word, &format!("<num>{number}"))
        };
    }
    for (word, number) in TENS {
        // A ten takes a single digit that follows it, not the first of several.
        text = replaced(&format!(r"{word} *<num>(\d)([^\d]|$)"), &text, |found| {
            let unit = found[1].parse::<u64>().unwrap_or_default();
            format!("<num>{}{}", number + unit, &found[2])
        });
    }
    for (word, number) in TENS {
        text = text.replace(word, &format!("<num>{number}"));
    }
    for (word, number) in BIG {
        text = replaced(&format!(r"(?:<num>)?(\d*) *{word}"), &text, |found| match found[1].parse::<u64>() {
            Ok(times) => format!("<num>{}", number.saturating_mul(times)),
            Err(_) => number.to_string(),
        });
        text = added_up(text);
    }
    text.replace("<num>", "")
}

/// The gem's addition of neighbours: `200 and 5` and `200 5` are 205.
fn added_up(mut text: String) -> String {
    loop {
        let next = replaced_once(&text);
        if next == text {
            return text;
        }
        text = next;
    }
}

fn replaced_once(text: &str) -> String {
    replaced(r"<num>(\d+)( | and )<num>(\d+)\b", text, |found| {
        let sum = found[1].parse::<u64>().ok().zip(found[3].parse::<u64>().ok()).map(|(a, b)| a.saturating_add(b));
        match sum {
            Some(sum) if found[2].contains("and") || found[1].len() > found[3].len() => format!("<num>{sum}"),
            _ => found[0].to_owned(),
        }
    })
}

/// Turns `h:m:s` into numbers with units; `None` for more parts than there are units.
fn colon_form(text: &str) -> Option<String> {
    let dense = text.replace(' ', "");
    let colons = Regex::new(&format!("{NUMBER}(:{NUMBER})+")).ok()?;
    if !colons.is_match(&dense) {
        return Some(text.to_owned());
    }
    let mut parts = Vec::new();
    for (index, part) in dense.split(':').rev().enumerate() {
        parts.push(format!("{part} {}", COLON_UNITS.get(index)?));
    }
    parts.reverse();
    Some(parts.join(" "))
}

/// Numbers and unit names in order; joining words go, anything else is an error.
fn known_words(text: &str) -> Result<Vec<String>, DurationError> {
    let mut known: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        if word.chars().any(|c| c.is_ascii_digit()) {
            known.push(word.to_owned());
            continue;
        }
        let bare = word.strip_prefix(',').unwrap_or(word);
        let bare = bare.strip_suffix(',').unwrap_or(bare);
        if let Some((unit, ..)) = UNITS.iter().find(|(.., spellings)| spellings.contains(&bare)) {
            known.push((*unit).to_owned());
        } else if !JOINING_WORDS.contains(&bare) {
            return Err(DurationError::InvalidWord(word.to_owned()));
        }
    }
    // A text that begins with a unit means one of it.
    if known.first().is_some_and(|first| first.parse::<f64>().is_err()) {
        known.insert(0, "1".to_owned());
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_words_are_read() {
        assert_eq!(seconds("twenty four hours"), Ok(86_400.0));
        assert_eq!(seconds("one hundred days"), Ok(8_640_000.0));
        assert_eq!(seconds("two hundred and five seconds"), Ok(205.0));
        assert_eq!(seconds("twenty days"), Ok(1_728_000.0));
        assert_eq!(seconds("sixteen hours"), Ok(57_600.0));
    }

    #[test]
    fn what_raises_in_the_job_is_an_error() {
        for text in ["", "0", "0d"] {
            assert_eq!(seconds(text), Err(DurationError::Nothing), "{text}");
        }
        for text in ["a week", "P1D", "-1d", "1,000s", "1d ago", "forever", "1 fortnight"] {
            assert!(matches!(seconds(text), Err(DurationError::InvalidWord(_))), "{text}");
        }
    }

    #[test]
    fn one_m_is_a_minute_whatever_its_case() {
        assert_eq!(seconds("1m"), Ok(60.0));
        assert_eq!(seconds("1M"), Ok(60.0));
        assert_eq!(seconds("1mo"), Ok(2_592_000.0));
        assert_eq!(seconds("100 years"), Ok(3_155_760_000.0));
    }
}
