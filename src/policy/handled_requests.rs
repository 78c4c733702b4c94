//! Which values of the annotations that ask for a run are new. A tool that applies what it has, or a restored backup,
//! may put an earlier value back, and an earlier value asks for nothing.
//!
//! Times are compared: one that is not later than the latest one handled is not new. Any other text is new unless it is
//! among the last ten that were handled.
//!
//! A request is for the policy as it stood in the cluster when the request was written, and as the operator knew it
//! then: `status.observedGeneration` was current. Otherwise it is refused at once, so that nothing that happens to the
//! policy later, least of all an edit, begins a run.

use jiff::Timestamp;

use crate::api::conditions;
use crate::api::limits::{MAX_HANDLED_TEXTS, MAX_TOKEN};

/// Why a request for a run is not granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// Nobody had looked at the policy yet: it was just created, or restored without its status.
    New,
    /// The operator had not taken note of an edit yet.
    Edited,
    /// Only an edit, of the policy or of the operator's flags, lets it run.
    Stalled,
    /// The policy is suspended.
    Suspended,
    /// The CRD in the cluster is older than the operator, and what the policy asks for is not known.
    Held,
    /// An exclude window of the policy is open.
    Excluded,
    /// An administrator paused the installation, or it is not known whether one did.
    Paused,
}

impl Refusal {
    /// What to tell of the refusal of a value: why, and what to do.
    #[must_use]
    pub fn message(self, value: &str) -> String {
        let (why, when) = match self {
            Self::New => ("came before the operator had looked at the policy", ""),
            Self::Edited => ("came with an edit of the policy, before the operator had looked at it", ""),
            Self::Stalled => ("came while the policy was stalled", "Stalled is gone and "),
            Self::Suspended => ("came while the policy was suspended", "suspend is false and "),
            Self::Held => ("came while the CRD was older than the operator", "the CRD is upgraded and "),
            Self::Excluded => ("came within an exclude window", "the condition WithinExcludeWindow is gone and "),
            Self::Paused => ("came while the operator was paused", "the condition Paused is gone and "),
        };
        let value = conditions::shorten(value, MAX_TOLD);
        format!(
            "run-requested-at {value:?} {why}, so it began no run; set a new value once {when}\
             status.observedGeneration is current"
        )
    }
}

/// Longest part of a value that a message tells, in bytes.
const MAX_TOLD: usize = 64;

/// Digits of Unix seconds from 2001 to 2286. A shorter or longer number counts something else.
const UNIX_DIGITS: usize = 10;

/// A value as it is noted.
#[must_use]
pub fn shorten(value: &str) -> String {
    conditions::shorten(value, MAX_TOKEN)
}

/// Whether a value asks for something that was not handled yet. `last` is the value handled last, `before` what
/// [`note`] made of all; a status from an older operator has only `last`.
#[must_use]
pub fn is_new(value: Option<&str>, last: Option<&str>, before: &[String]) -> bool {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return false };
    let value = shorten(value);
    let mut handled = last.into_iter().chain(before.iter().map(String::as_str));
    match moment(&value) {
        Some(at) => handled.all(|old| moment(old).is_none_or(|old| at > old)),
        None => handled.all(|old| old != value),
    }
}

/// Notes that a value was handled: `last` becomes it, and `before` holds, newest first, the latest time and the last
/// [`MAX_HANDLED_TEXTS`] other values.
pub fn note(value: &str, last: &mut Option<String>, before: &mut Vec<String>) {
    let value = shorten(value);
    let all: Vec<String> = [value.clone()].into_iter().chain(last.take()).chain(before.drain(..)).collect();
    let latest = all.iter().filter_map(|old| moment(old)).max();
    let (mut texts, mut has_time) = (0, false);
    for old in all {
        let keep = match moment(&old) {
            Some(at) => Some(at) == latest && !std::mem::replace(&mut has_time, true),
            None => texts < MAX_HANDLED_TEXTS && !before.contains(&old),
        };
        if keep {
            texts += usize::from(moment(&old).is_none());
            before.push(old);
        }
    }
    *last = Some(value);
}

/// The time that a value is: RFC 3339, or Unix seconds.
fn moment(value: &str) -> Option<Timestamp> {
    if value.len() == UNIX_DIGITS && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Timestamp::from_second(value.parse().ok()?).ok();
    }
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::rfc_3339("2026-11-22T12:00:00Z", Some(1_795_348_800))]
    #[case::with_an_offset("2026-11-22T13:00:00+01:00", Some(1_795_348_800))]
    #[case::with_a_fraction("2026-11-22T12:00:00.25Z", Some(1_795_348_800))]
    #[case::unix_seconds("1795348800", Some(1_795_348_800))]
    #[case::milliseconds("1795348800000", None)]
    #[case::a_counter("17", None)]
    #[case::negative("-795348800", None)]
    #[case::a_day("2026-11-22", None)]
    #[case::without_a_zone("2026-11-22T12:00:00", None)]
    #[case::text("first", None)]
    fn a_time_is_rfc_3339_or_unix_seconds(#[case] value: &str, #[case] expected: Option<i64>) {
        assert_eq!(moment(value).map(Timestamp::as_second), expected);
    }

    #[rstest]
    #[case::nothing_handled(&[], "one", true)]
    #[case::nothing_asked(&[], "", false)]
    #[case::the_same(&["one"], "one", false)]
    #[case::an_old_text_comes_back(&["one", "two"], "one", false)]
    #[case::another_text(&["one", "two"], "three", true)]
    #[case::an_old_time_comes_back(&["2026-11-22T12:00:00Z", "2026-11-23T12:00:00Z"], "2026-11-22T12:00:00Z", false)]
    #[case::an_earlier_time_that_nobody_handled(&["2026-11-23T12:00:00Z"], "2026-11-01T00:00:00Z", false)]
    #[case::the_same_moment_in_another_zone(&["2026-11-22T12:00:00Z"], "2026-11-22T13:00:00+01:00", false)]
    #[case::the_same_moment_in_seconds(&["2026-11-22T12:00:00Z"], "1795348800", false)]
    #[case::a_second_later(&["2026-11-22T12:00:00Z"], "1795348801", true)]
    #[case::a_time_after_a_text(&["2026-11-22T12:00:00Z", "one"], "2026-11-21T12:00:00Z", false)]
    #[case::a_later_time_after_a_text(&["2026-11-22T12:00:00Z", "one"], "2026-11-22T12:00:01Z", true)]
    #[case::the_first_time(&["one"], "2026-11-22T12:00:00Z", true)]
    #[case::a_text_after_a_time(&["one", "2026-11-22T12:00:00Z"], "one", false)]
    fn only_what_was_not_handled_is_new(#[case] handled: &[&str], #[case] value: &str, #[case] expected: bool) {
        let (mut last, mut before) = (None, Vec::new());
        for value in handled {
            note(value, &mut last, &mut before);
        }
        assert_eq!(is_new(Some(value), last.as_deref(), &before), expected);
        assert!(!is_new(None, last.as_deref(), &before));
    }

    /// What an older operator wrote holds one value only.
    #[rstest]
    #[case::text("one", "one", false)]
    #[case::another_text("one", "two", true)]
    #[case::earlier("2026-11-22T12:00:00Z", "2026-11-21T12:00:00Z", false)]
    #[case::later("2026-11-22T12:00:00Z", "2026-11-23T12:00:00Z", true)]
    fn a_status_of_an_older_operator_counts(#[case] last: &str, #[case] value: &str, #[case] expected: bool) {
        assert_eq!(is_new(Some(value), Some(last), &[]), expected);
        let (mut noted, mut before) = (Some(last.to_owned()), Vec::new());
        note("between", &mut noted, &mut before);
        assert_eq!(is_new(Some(value), noted.as_deref(), &before), expected, "also after the next run");
    }

    #[test]
    fn a_value_that_is_too_long_to_note_is_handled_once() {
        let long = "x".repeat(1000);
        let (mut last, mut before) = (None, Vec::new());
        assert!(is_new(Some(&long), None, &[]));
        note(&long, &mut last, &mut before);
        assert!(!is_new(Some(&long), last.as_deref(), &before));
    }

    fn values() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-f]{1,2}",
            (0_i64..40).prop_map(|second| (1_795_348_800 + second).to_string()),
            (0_i64..40).prop_map(|second| Timestamp::from_second(1_795_348_800 + second).unwrap().to_string()),
        ]
    }

    proptest! {
        #[test]
        fn whatever_came_before_a_handled_value_asks_for_nothing_until_ten_others_did(
            asked in proptest::collection::vec(values(), 1..60)
        ) {
            let (mut last, mut before) = (None, Vec::new());
            let mut handled: Vec<String> = Vec::new();
            for value in &asked {
                let texts = handled.iter().rev().filter(|old| moment(old).is_none());
                let texts: Vec<&String> = texts.take(MAX_HANDLED_TEXTS).collect();
                let expected = match moment(value) {
                    Some(at) => handled.iter().filter_map(|old| moment(old)).all(|old| at > old),
                    None => !texts.contains(&value),
                };
                let new = is_new(Some(value), last.as_deref(), &before);
                prop_assert_eq!(new, expected, "{} after {:?}", value, handled);
                if expected {
                    handled.push(value.clone());
                    note(value, &mut last, &mut before);
                }
                prop_assert!(before.len() <= MAX_HANDLED_TEXTS + 1);
                prop_assert_eq!(last.as_ref(), handled.last());
            }
        }
    }
}
