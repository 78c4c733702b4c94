//! Holds removals against the objects that were made with images: which of those were needed later.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// An object that runs an image, with the tags that have it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Deployed {
    /// The tag by which it was named; or every tag that has the digest. One of them is enough to pull it.
    pub tags: Vec<usize>,
    /// The object.
    pub user: Box<str>,
    /// When the object was made; or a moment after which it was returned to.
    pub at: Timestamp,
    /// Whether it was returned to then.
    pub again: bool,
    /// Until when it counts as in use, if it has finished.
    pub until: Option<Timestamp>,
}

/// All that is known to have been deployed of a repository.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The objects.
    pub(super) deployed: Vec<Deployed>,
    /// Those that use a tag.
    users: BTreeMap<usize, Vec<usize>>,
}

/// An image that was needed after it would have gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Regretted {
    /// The tag, of several the one that goes last.
    pub tag: usize,
    /// The run that removes it, by its place.
    pub slot: usize,
    /// The first object that was made with it after that.
    pub first: usize,
    /// How many were.
    pub times: usize,
}

impl Record {
    pub(super) fn new(deployed: Vec<Deployed>) -> Self {
        let mut users: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, one) in deployed.iter().enumerate() {
            for tag in &one.tags {
                users.entry(*tag).or_default().push(number);
            }
        }
        Self { deployed, users }
    }

    /// The tags that something was made with.
    pub(super) fn tags(&self) -> impl Iterator<Item = usize> {
        self.users.keys().copied()
    }

    /// What was needed after it would have gone. `lost` says which run removes a tag by the rules; where runs keep what
    /// is in use, a later one may be the first that does.
    pub(super) fn regretted(
        &self,
        slots: &[Timestamp],
        keeps_in_use: bool,
        lost: impl Fn(usize) -> Option<usize>,
    ) -> Vec<Regretted> {
        let gone = |tag: usize| {
            let slot = lost(tag)?;
            if keeps_in_use { self.first_unused(tag, slot, slots) } else { Some(slot) }
        };
        let gone: BTreeMap<usize, usize> = self.tags().filter_map(|tag| Some((tag, gone(tag)?))).collect();
        let mut found: BTreeMap<usize, Regretted> = BTreeMap::new();
        for (number, one) in self.deployed.iter().enumerate() {
            let all: Option<Vec<(usize, usize)>> = one.tags.iter().map(|tag| Some((*gone.get(tag)?, *tag))).collect();
            let Some((slot, tag)) = all.and_then(|all| all.into_iter().max()) else { continue };
            if slots.get(slot).is_none_or(|removed| one.at <= *removed) {
                continue;
            }
            let regretted = found.entry(tag).or_insert(Regretted { tag, slot, first: number, times: 0 });
            regretted.times += 1;
            if self.deployed.get(regretted.first).is_some_and(|first| one.at < first.at) {
                regretted.first = number;
            }
        }
        found.into_values().collect()
    }

    /// The first run from one on as of which no object that is still there had a tag's image.
    fn first_unused(&self, tag: usize, from: usize, slots: &[Timestamp]) -> Option<usize> {
        let users = || self.users.get(&tag).into_iter().flatten().filter_map(|number| self.deployed.get(*number));
        let used = |at: Timestamp| users().any(|user| user.at <= at && user.until.is_none_or(|until| at <= until));
        (from..slots.len()).find(|slot| slots.get(*slot).is_some_and(|at| !used(*at)))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn night(number: i64) -> Timestamp {
        Timestamp::from_second(number * 86_400).unwrap()
    }

    fn deployed(tags: &[usize], at: i64, until: Option<i64>) -> Deployed {
        let until = until.map(night);
        Deployed { tags: tags.into(), user: "a/Pod/a".into(), at: night(at), again: false, until }
    }

    /// The regretted tags, each with the run; of tags 1 and 2, which go in these runs.
    fn regretted(objects: &[Deployed], keeps_in_use: bool, lost: [Option<usize>; 2]) -> Vec<(usize, usize)> {
        let slots: Vec<Timestamp> = (0..10).map(night).collect();
        let lost = |tag: usize| lost.get(tag - 1).copied().flatten();
        let found = Record::new(objects.to_vec()).regretted(&slots, keeps_in_use, lost);
        found.into_iter().map(|found| (found.tag, found.slot)).collect()
    }

    #[rstest]
    #[case::deployed_after_it_had_gone(&[deployed(&[1], 4, None)], [Some(3), None], &[(1, 3)])]
    #[case::in_the_same_second(&[deployed(&[1], 3, None)], [Some(3), None], &[])]
    #[case::before_it_went(&[deployed(&[1], 2, None)], [Some(3), None], &[])]
    #[case::it_never_went(&[deployed(&[1], 4, None)], [None, None], &[])]
    #[case::another_tag_went(&[deployed(&[1], 4, None)], [None, Some(3)], &[])]
    #[case::one_tag_of_the_digest_is_enough(&[deployed(&[1, 2], 6, None)], [Some(3), None], &[])]
    #[case::the_last_tag_of_the_digest_counts(&[deployed(&[1, 2], 6, None)], [Some(5), Some(3)], &[(1, 5)])]
    #[case::the_last_tag_of_the_digest_was_still_there(&[deployed(&[1, 2], 4, None)], [Some(5), Some(3)], &[])]
    fn what_is_deployed_after_its_last_tag_has_gone_is_regretted(
        #[case] objects: &[Deployed],
        #[case] lost: [Option<usize>; 2],
        #[case] expected: &[(usize, usize)],
    ) {
        assert_eq!(regretted(objects, false, lost), expected);
        assert_eq!(regretted(objects, true, lost), expected);
    }

    #[rstest]
    #[case::by_what_is_still_there(&[deployed(&[1], 1, None), deployed(&[1], 8, None)], &[])]
    #[case::until_it_had_finished(&[deployed(&[1], 1, Some(5)), deployed(&[1], 8, None)], &[(1, 6)])]
    #[case::once_it_had_finished(&[deployed(&[1], 1, Some(2)), deployed(&[1], 8, None)], &[(1, 3)])]
    #[case::one_after_the_other(
        &[deployed(&[1], 1, Some(5)), deployed(&[1], 4, Some(7)), deployed(&[1], 8, None)],
        &[],
    )]
    #[case::under_another_tag_only(&[deployed(&[2], 1, None), deployed(&[1], 8, None)], &[(1, 3)])]
    fn an_image_in_use_is_kept_where_the_policy_says_so(
        #[case] objects: &[Deployed],
        #[case] expected: &[(usize, usize)],
    ) {
        assert_eq!(regretted(objects, true, [Some(3), None]), expected);
        assert_eq!(regretted(objects, false, [Some(3), None]), [(1, 3)]);
    }

    #[test]
    fn the_first_object_after_the_removal_is_told_and_all_are_counted() {
        let objects = [8, 1, 5, 6].map(|at| deployed(&[1], at, Some(at)));
        let slots: Vec<Timestamp> = (0..10).map(night).collect();
        let found = Record::new(objects.to_vec()).regretted(&slots, false, |_| Some(3));
        assert_eq!(found, [Regretted { tag: 1, slot: 3, first: 2, times: 3 }]);
    }
}
