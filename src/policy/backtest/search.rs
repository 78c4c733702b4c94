//! The smallest `olderThan` and `keepN` of a rule with which nothing is regretted that was deployed.
//!
//! Found by asking when the tags that were deployed would go ([`Contest`](crate::policy::plan::replay::Contest)), in
//! their groups alone. The larger the one or the other, the later a tag goes, if at all: the newest `keepN` that
//! compete never go, so removals of others bring none closer to them. So the search may halve what is left to try.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::played::Played;
use crate::policy::plan::replay::{Asked, Entered};

/// The largest `olderThan` that is tried, in days: ten years.
pub(super) const MOST_DAYS: u32 = 3650;

/// A value that regrets nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Advice {
    /// The value.
    pub value: u32,
    /// How many tags the rule would have removed with it, without attachments.
    pub removed: u64,
}

/// What is found of a rule; of each the smallest, where there is one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Found {
    pub(super) older_than: Option<Advice>,
    pub(super) keep_n: Option<Advice>,
}

/// Searches for a rule, each with the other as it is. `None` where nothing was deployed that it may remove, so that
/// nothing can be told.
pub(super) fn search(
    repositories: &[Played],
    slots: &[Timestamp],
    keeps_in_use: bool,
    rule: usize,
    asked: &Asked,
) -> Option<Found> {
    let tested: Vec<Tested<'_>> = repositories.iter().filter_map(|played| Tested::of(played, rule)).collect();
    let largest = tested.iter().flat_map(|tested| &tested.groups).map(Entered::size).max()?;
    let by_age = |days: u32| Asked { older_than: Some(SignedDuration::from_hours(i64::from(days) * 24)), ..*asked };
    let by_number = |number: u32| Asked { keep_n: Some(number), ..*asked };
    let holds = |asked: &Asked| tested.iter().all(|tested| tested.regrets_nothing(slots, keeps_in_use, asked));
    let older_than = smallest(1, MOST_DAYS, |days| holds(&by_age(days)));
    let keep_n = smallest(0, u32::try_from(largest).unwrap_or(u32::MAX), |number| holds(&by_number(number)));
    let advice = |value: u32, asked: &Asked| {
        let removed =
            |last: &Timestamp| repositories.iter().map(|played| played.contest.gone(rule, *last, asked)).sum();
        Advice { value, removed: slots.last().map(removed).unwrap_or_default() }
    };
    Some(Found {
        older_than: older_than.map(|days| advice(days, &by_age(days))),
        keep_n: keep_n.map(|number| advice(number, &by_number(number))),
    })
}

/// The smallest value from one up to another that holds, where all above it do.
fn smallest(least: u32, most: u32, mut holds: impl FnMut(u32) -> bool) -> Option<u32> {
    if most < least || !holds(most) {
        return None;
    }
    let (mut low, mut high) = (least, most);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(high)
}

/// A repository in which the rule may remove something that was deployed.
struct Tested<'a> {
    played: &'a Played,
    /// The tags that were deployed and are in these groups.
    tags: BTreeSet<usize>,
    groups: Vec<Entered<'a>>,
}

impl<'a> Tested<'a> {
    fn of(played: &'a Played, rule: usize) -> Option<Self> {
        let deployed: BTreeSet<usize> = played.record.tags().collect();
        let groups = played.contest.entered(rule, &deployed);
        let tags = groups.iter().flat_map(Entered::tags).collect();
        (!groups.is_empty()).then_some(Self { played, tags, groups })
    }

    fn regrets_nothing(&self, slots: &[Timestamp], keeps_in_use: bool, asked: &Asked) -> bool {
        let Self { played, tags, groups } = self;
        let lost: BTreeMap<usize, usize> = groups.iter().flat_map(|group| group.first_gone(slots, asked)).collect();
        // What other rules remove stays as it is.
        let lost = |tag: usize| if tags.contains(&tag) { lost.get(&tag).copied() } else { played.lost(tag) };
        let regretted = played.record.regretted(slots, keeps_in_use, lost);
        let of_others = |first: usize| {
            let deployed = played.record.deployed.get(first);
            deployed.is_some_and(|deployed| !deployed.tags.iter().any(|tag| tags.contains(tag)))
        };
        regretted.iter().all(|regretted| of_others(regretted.first))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, 10, 0, Some(0))]
    #[case(0, 10, 7, Some(7))]
    #[case(0, 10, 10, Some(10))]
    #[case(0, 10, 11, None)]
    #[case(1, 1, 1, Some(1))]
    #[case(1, 0, 0, None)]
    fn the_smallest_value_that_holds_is_found(
        #[case] least: u32,
        #[case] most: u32,
        #[case] from: u32,
        #[case] expected: Option<u32>,
    ) {
        assert_eq!(smallest(least, most, |value| value >= from), expected);
    }
}
