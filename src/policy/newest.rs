//! How many of the newest tags have to be known, so that none of the old ones can be among those that stay by their
//! number.
//!
//! A tag that is old enough goes by its number if `keepN` others are newer for certain. Which ones does not matter, and
//! knowing of fewer only keeps more. So it is enough to know as many of the newest as take all places of every rule,
//! and nothing of those in between. Whoever relies on that looks at the plan: where an old tag stays by its number
//! nevertheless, since one in use took no place for example, all names are needed.
//!
//! The newest are read page by page; [`Pages`] says how long they can be believed.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use jiff::Timestamp;

use super::attachment;
use super::compile::Rule;
use super::inventory::ascends;
use super::paging;
use super::pattern::Pattern;
use super::tag::to_the_second;

/// The places of all rules.
pub struct Places<'a> {
    rules: &'a [Rule],
    protect: &'a [Pattern],
    /// Those that are free, by the position of the rule.
    free: Vec<u32>,
}

impl<'a> Places<'a> {
    /// All are free.
    #[must_use]
    pub fn new(rules: &'a [Rule], protect: &'a [Pattern]) -> Self {
        Self { rules, protect, free: rules.iter().map(|rule| rule.keep_n.unwrap_or_default()).collect() }
    }

    /// How many tags have to be known at least.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.free.iter().copied().max().unwrap_or_default()
    }

    /// Takes note of a tag that is newer than every one that is old enough, and takes a place by its name.
    pub fn note(&mut self, name: &str) {
        let stays = name == "latest" || self.protect.iter().any(|pattern| pattern.matches(name));
        if stays || attachment::subject(name).is_some() {
            return;
        }
        let of = self.rules.iter().position(|rule| rule.delete.matches(name));
        let Some((rule, free)) = of.and_then(|of| self.rules.get(of).zip(self.free.get_mut(of))) else { return };
        if !rule.keep.as_ref().is_some_and(|pattern| pattern.matches(name)) {
            *free = free.saturating_sub(1);
        }
    }

    /// Whether all are taken.
    #[must_use]
    pub fn are_taken(&self) -> bool {
        self.free.iter().all(|free| *free == 0)
    }
}

/// Pages of the tags that were pushed last, the newest first, as long as each goes on where the one before ended.
pub struct Pages {
    /// Tags of a full page.
    size: usize,
    proof: paging::Pages,
    names: HashSet<Box<str>>,
    /// The pushes of the page that was read last, the oldest first.
    pushes: Vec<Option<Timestamp>>,
}

impl Pages {
    /// None yet, of so many tags each.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { size, proof: paging::Pages::new(true), names: HashSet::new(), pushes: Vec::new() }
    }

    /// Takes note of the next page, by names and pushes in their order, and of whether another one follows. Answers
    /// whether it goes on: its tags are older, none came before, and it is full if it is not the last one.
    #[must_use]
    pub fn go_on<'t>(
        &mut self,
        page: impl DoubleEndedIterator<Item = (&'t str, Option<Timestamp>)> + Clone,
        is_followed: bool,
    ) -> bool {
        let pushes: Vec<Option<Timestamp>> = page.clone().rev().map(|(_, pushed)| pushed).collect();
        if !ascends(None, pushes.iter().chain(self.pushes.first()).copied())
            || (is_followed && pushes.len() != self.size)
            || !page.clone().all(|(name, _)| self.names.insert(name.into()))
        {
            return false;
        }
        self.proof.note(page.map(|(name, _)| name));
        self.pushes = pushes;
        true
    }

    /// Whether the pages prove that they skipped none.
    #[must_use]
    pub fn are_right(&self) -> bool {
        self.proof.are_right()
    }
}

/// The newest tags, read until those of a time take all places.
pub struct Newest<'a> {
    places: Places<'a>,
    pages: Pages,
    /// From the moment up to which the old end was read to the one at which that began.
    time: Range<Timestamp>,
    /// Those that take places.
    pub names: Vec<Box<str>>,
    /// Those that were pushed since the reading began, or ahead of it, with their last push.
    pub since: HashMap<Box<str>, Timestamp>,
}

/// What is to be done after a page of the newest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// The next page is to be read.
    GoOn,
    /// All places are taken.
    Enough,
    /// The pages do not hold together, or fewer tags are that new: all names are to be listed.
    InVain,
}

impl<'a> Newest<'a> {
    /// None is read yet, of so many tags a page.
    #[must_use]
    pub fn new(places: Places<'a>, size: usize, time: Range<Timestamp>) -> Self {
        Self { places, pages: Pages::new(size), time, names: Vec::new(), since: HashMap::new() }
    }

    /// Takes note of the next page, by names and pushes in their order, and of whether another one follows.
    pub fn note(&mut self, page: Vec<(Box<str>, Option<Timestamp>)>, is_followed: bool) -> Step {
        let told = page.iter().map(|(name, pushed)| (&**name, *pushed));
        // Also the last page is to be full: one that ends early may lack tags.
        if page.len() != self.pages.size || !self.pages.go_on(told, is_followed) {
            return Step::InVain;
        }
        let began = to_the_second(self.time.end);
        for (name, pushed) in page {
            match pushed {
                Some(pushed) if pushed >= began => _ = self.since.insert(name, pushed),
                Some(pushed) if pushed >= self.time.start => {
                    self.places.note(&name);
                    self.names.push(name);
                }
                _ => return Step::InVain,
            }
        }
        match (self.places.are_taken(), is_followed) {
            (true, _) if self.pages.are_right() => Step::Enough,
            (false, true) => Step::GoOn,
            _ => Step::InVain,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::{CompileOptions, CompiledPolicy, compile};

    fn policy() -> CompiledPolicy {
        let rules = json!([
            {"name": "a", "nameRegexDelete": "a.*", "nameRegexKeep": "a-keep.*", "olderThan": "7d", "keepN": 2},
            {"name": "b", "nameRegexDelete": ".*", "olderThan": "7d", "keepN": 1},
            {"name": "c", "nameRegexDelete": "c.*", "olderThan": "7d"},
        ]);
        let spec = spec(&json!({"method": "Exact", "rules": rules, "protect": {"nameRegex": ["main.*"]}}));
        compile(&spec, &CompileOptions::default(), Timestamp::UNIX_EPOCH).unwrap()
    }

    const SIGNATURE: &str = "sha256-3333333333333333333333333333333333333333333333333333333333333333.sig";

    #[rstest]
    #[case::none(&[], false)]
    #[case::one_of_two(&["a1", "b1"], false)]
    #[case::each_of_its_rule(&["a1", "a2", "b1"], true)]
    #[case::another_rule_has_none_left(&["a1", "a2", "a3"], false)]
    #[case::kept_by_a_pattern(&["a1", "a-keep-2", "b1"], false)]
    #[case::latest(&["a1", "a2", "latest"], false)]
    #[case::protected(&["a1", "a2", "main-1"], false)]
    #[case::an_attachment(&["a1", "a2", SIGNATURE], false)]
    fn places_are_taken_by_tags_that_compete_for_them(#[case] names: &[&str], #[case] taken: bool) {
        let policy = policy();
        let mut places = Places::new(policy.method.rules(), &policy.protect);
        assert_eq!(places.most(), 2);
        for name in names {
            places.note(name);
        }
        assert_eq!(places.are_taken(), taken);
    }

    /// Whether each of these pages goes on, by names and seconds.
    fn go_on(pages: &[&[(&str, Option<i64>)]]) -> (Vec<bool>, bool) {
        let mut all = Pages::new(2);
        let second = |second: i64| Timestamp::from_second(second).unwrap();
        let mut on = Vec::new();
        for (number, page) in pages.iter().enumerate() {
            on.push(all.go_on(page.iter().map(|(name, at)| (*name, at.map(second))), number + 1 < pages.len()));
        }
        (on, all.are_right())
    }

    #[test]
    fn pages_go_on_while_their_tags_are_older_and_none_comes_twice() {
        let first: &[_] = &[("c", Some(9)), ("b", Some(7))];
        assert_eq!(go_on(&[first, &[("d", Some(7)), ("a", Some(1))]]), (vec![true, true], true));
        assert_eq!(go_on(&[first, &[("a", Some(7))]]), (vec![true, true], false), "the wrong way shows the same");
        assert_eq!(go_on(&[first, &[]]).0, [true, true]);
        for wrong in [
            &[("a", Some(8))][..],
            &[("a", Some(1)), ("e", Some(2))],
            &[("a", None)],
            &[("a", Some(1)), ("b", Some(1))],
            &[("a", Some(1)), ("a", Some(1))],
        ] {
            assert_eq!(go_on(&[first, wrong]).0, [true, false], "{wrong:?}");
        }
        assert_eq!(go_on(&[&first[..1], &[]]).0, [false, true], "it is not full, and another one follows");
    }

    /// What is to be done after these pages of two tags, where three tags take places between second 10 and 20.
    fn newest(pages: &[&[(&str, i64)]]) -> (Step, Vec<String>, Vec<String>) {
        let rules = json!([{"name": "r", "nameRegexDelete": ".*", "olderThan": "7d", "keepN": 3}]);
        let spec = spec(&json!({"method": "Exact", "rules": rules}));
        let policy = compile(&spec, &CompileOptions::default(), Timestamp::UNIX_EPOCH).unwrap();
        let second = |second: i64| Timestamp::from_second(second).unwrap();
        let mut newest = Newest::new(Places::new(policy.method.rules(), &[]), 2, second(10)..second(20));
        let mut step = Step::GoOn;
        for (number, page) in pages.iter().enumerate() {
            assert_eq!(step, Step::GoOn);
            let page = page.iter().map(|(name, at)| (Box::from(*name), Some(second(*at)))).collect();
            step = newest.note(page, number + 1 < pages.len());
        }
        let mut since: Vec<String> = newest.since.keys().map(ToString::to_string).collect();
        since.sort();
        (step, newest.names.iter().map(ToString::to_string).collect(), since)
    }

    #[test]
    fn the_newest_are_read_until_they_take_all_places_and_not_from_pages_that_may_lack_some() {
        let first: &[_] = &[("e", 25), ("b", 19)];
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (step, taken, since) = newest(&[first, &[("d", 18), ("a", 17)]]);
        assert_eq!((step, taken, since), (Step::Enough, names(&["b", "d", "a"]), names(&["e"])));
        for (why, pages) in [
            ("the last page is not full", &[&[("c", 19), ("b", 19)][..], &[("d", 18)]][..]),
            ("one is older than what was read of the old end", &[first, &[("d", 18), ("a", 9)]]),
            ("places are left", &[&[("e", 25), ("f", 21)], &[("d", 18), ("a", 17)]]),
            ("the wrong way would show the same", &[first, &[("a", 18), ("A", 17)]]),
            ("they do not go on", &[&[("c", 15), ("b", 15)], &[("d", 18), ("a", 17)]]),
        ] {
            assert_eq!(newest(pages).0, Step::InVain, "{why}");
        }
    }
}
