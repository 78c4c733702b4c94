//! Which runs a backtest plays: the times of the schedule, without those at which an exclude window is open.

use jiff::{SignedDuration, Timestamp};

use crate::policy::CompiledPolicy;

/// The longest period that is played: a year. A schedule has up to 24 times a day.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);

/// The times after a moment, up to another, at which a run that removes would have begun.
#[must_use]
pub fn slots(policy: &CompiledPolicy, after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let mut slots = Vec::new();
    let mut at = after;
    while let Some(next) = policy.windows.next_slot(&policy.schedule, at).filter(|next| at < *next && *next <= until) {
        slots.push(next);
        at = next;
    }
    slots
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::{CompileOptions, compile};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[rstest]
    #[case::a_night_at_the_end_counts_and_one_at_the_beginning_does_not(
        json!({"schedule": "17 3 * * *"}),
        &["2026-11-21T03:17:00Z", "2026-11-22T03:17:00Z"],
    )]
    #[case::rarer_than_the_nights(json!({"schedule": "17 3 * * SUN"}), &["2026-11-22T03:17:00Z"])]
    #[case::none(json!({"schedule": "17 3 1 * *"}), &[])]
    #[case::in_a_zone(json!({"schedule": "17 4 * * *", "timeZone": "Europe/Berlin"}),
        &["2026-11-21T03:17:00Z", "2026-11-22T03:17:00Z"])]
    #[case::without_those_in_a_window(
        json!({"schedule": "17 3 * * *", "excludeWindows": [{"name": "freeze",
            "from": "2026-11-21T00:00:00Z", "until": "2026-11-22T00:00:00Z"}]}),
        &["2026-11-22T03:17:00Z"],
    )]
    fn the_times_of_the_schedule_are_played(#[case] changes: Value, #[case] expected: &[&str]) {
        let now = at("2026-11-22T03:17:00Z");
        let policy = compile(&spec(&changes), &CompileOptions::default(), now).unwrap();
        let expected: Vec<Timestamp> = expected.iter().map(|text| at(text)).collect();
        assert_eq!(slots(&policy, now - SignedDuration::from_hours(48), now), expected);
    }
}
