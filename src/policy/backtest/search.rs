//! The smallest `olderThan` and `keepN` of a rule with which nothing is regretted that was deployed.
//!
//! Found by playing the runs again, over the groups alone that have a tag which was deployed. The larger the one or the
//! other, the later a tag goes, if at all: the newest `keepN` that compete never go, so removals of others bring none
//! closer to them. So the search may halve what is left to try.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::played::Played;
use crate::policy::plan::replay::Asked;

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
    repositories: &mut [Played],
    slots: &[Timestamp],
    keeps_in_use: bool,
    asked: &[Asked],
    rule: usize,
) -> Option<Found> {
    let mut tested: Vec<Tested<'_>> = repositories.iter_mut().filter_map(|played| Tested::of(played, rule)).collect();
    let largest = tested.iter().map(|tested| tested.played.replay.largest(&tested.groups)).max()?;
    let with = |change: &dyn Fn(&mut Asked)| {
        let mut asked = asked.to_vec();
        if let Some(asked) = asked.get_mut(rule) {
            change(asked);
        }
        asked
    };
    let by_age = |days: u32| with(&|asked| asked.older_than = Some(SignedDuration::from_hours(i64::from(days) * 24)));
    let by_number = |number: u32| with(&|asked| asked.keep_n = Some(number));
    let mut holds =
        |asked: &[Asked]| tested.iter_mut().all(|tested| tested.regrets_nothing(slots, keeps_in_use, asked));
    let older_than = smallest(1, MOST_DAYS, |days| holds(&by_age(days)));
    let keep_n = smallest(0, u32::try_from(largest).unwrap_or(u32::MAX), |number| holds(&by_number(number)));
    let mut advice = |value: u32, asked: &[Asked]| {
        let removed = repositories.iter_mut().map(|played| removed(played, slots, asked, rule)).sum();
        Advice { value, removed }
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

/// How many tags of a rule go.
fn removed(played: &mut Played, slots: &[Timestamp], asked: &[Asked], rule: usize) -> u64 {
    let groups = played.replay.groups_of(rule);
    played.replay.restart();
    slots.iter().map(|slot| played.replay.carry_out_in(&groups, *slot, asked).len() as u64).sum()
}

/// A repository in which the rule may remove something that was deployed.
struct Tested<'a> {
    played: &'a mut Played,
    /// The tags that were deployed and are in these groups.
    tags: BTreeSet<usize>,
    groups: Vec<usize>,
}

impl<'a> Tested<'a> {
    fn of(played: &'a mut Played, rule: usize) -> Option<Self> {
        let deployed: BTreeSet<usize> = played.record.tags().collect();
        let (groups, tags) = played.replay.groups_with(rule, &deployed);
        (!groups.is_empty()).then_some(Self { played, tags, groups })
    }

    fn regrets_nothing(&mut self, slots: &[Timestamp], keeps_in_use: bool, asked: &[Asked]) -> bool {
        let Self { played, tags, groups } = self;
        played.replay.restart();
        let mut lost: BTreeMap<usize, usize> = BTreeMap::new();
        for (number, slot) in slots.iter().enumerate() {
            let goes = played.replay.carry_out_in(groups, *slot, asked);
            lost.extend(goes.into_iter().filter(|tag| tags.contains(tag)).map(|tag| (tag, number)));
        }
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
