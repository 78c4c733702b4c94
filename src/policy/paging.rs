//! What pages of tags in the order of their pushes prove about themselves.
//!
//! Registries before 3.87 page by push wrongly: what follows a page is not what comes after its last tag, but whatever
//! has a *larger name* and is no older (newest first: a smaller name and no newer). A tag with a smaller name is
//! skipped without a word; a date that is cut to the millisecond lets one come twice. GitLab does not tell the version
//! of its registry, so the pages have to tell:
//!
//! - The first page is right: it follows nothing.
//! - A page that shows a tag which the wrong way would have skipped was not made the wrong way, and neither were the
//!   others.
//! - Where no page shows one, what may have been skipped has a smaller name than the last tag of the page before the
//!   last: made the wrong way, pages have ever larger names. If every name that was not read is larger, nothing was
//!   skipped.
//!
//! Which of two names is larger depends on the collation of the registry's database. So one counts as larger only if
//! both the bytes and the letters and digits without regard to case say so.

use std::cmp::Ordering;

/// Pages that are read one after the other, the oldest or the newest pushes first.
#[derive(Clone, Debug)]
pub struct Pages {
    newest_first: bool,
    /// The last tag of the page before this one.
    after: Option<Box<str>>,
    /// The last tag of this page.
    last: Option<Box<str>>,
    right: bool,
}

impl Pages {
    /// No page yet.
    #[must_use]
    pub const fn new(newest_first: bool) -> Self {
        Self { newest_first, after: None, last: None, right: false }
    }

    /// No page yet, but the first follows a tag with this name, which may be none of the repository's.
    #[must_use]
    pub fn after(newest_first: bool, name: &str) -> Self {
        Self { last: Some(name.into()), ..Self::new(newest_first) }
    }

    /// Takes note of a page, by the names of its tags in their order.
    pub fn note<'t>(&mut self, page: impl Iterator<Item = &'t str>) {
        self.after = self.last.take();
        for name in page {
            self.right |= self.after.as_deref().is_some_and(|after| self.follows(name, after));
            self.last = Some(name.into());
        }
    }

    /// Whether pages that were read one after the other, in one way or several, skipped none of these, which are all
    /// the tags that were not read.
    pub fn skipped_none<'t>(ways: &[Self], mut unread: impl Iterator<Item = &'t str>) -> bool {
        let may_be_skipped = |way: &Self, name| way.after.as_deref().is_some_and(|after| !way.follows(after, name));
        ways.iter().any(|way| way.right) || unread.all(|name| !ways.iter().any(|way| may_be_skipped(way, name)))
    }

    /// Whether pages show that they were made the right way, or there is only one.
    #[must_use]
    pub fn are_right(&self) -> bool {
        self.right || self.after.is_none()
    }

    /// Whether the wrong way would have one come before the other for certain.
    fn follows(&self, first: &str, second: &str) -> bool {
        let by = if self.newest_first { Ordering::Greater } else { Ordering::Less };
        first.cmp(second) == by && letters(first).cmp(letters(second)) == by
    }
}

fn letters(name: &str) -> impl Iterator<Item = char> + '_ {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// Pages of names, a `|` between two of them.
    fn pages(newest_first: bool, text: &str) -> Pages {
        let mut all = Pages::new(newest_first);
        for page in text.split('|') {
            all.note(page.split_whitespace());
        }
        all
    }

    #[rstest]
    #[case::one_page_follows_nothing("m z", "a", true)]
    #[case::a_smaller_name_may_have_been_skipped("a m | n z", "b", false)]
    #[case::larger_names_were_not("a m | n z", "o zz", true)]
    #[case::nothing_is_left("a m | n z", "", true)]
    #[case::a_smaller_name_was_shown("a m | c z", "b", true)]
    #[case::it_may_be_shown_later("a m | n z | y", "b", true)]
    #[case::cases_differ_by_collation("x a1 | B2", "a0", false)]
    fn what_was_not_read_was_skipped_unless_the_pages_prove_otherwise(
        #[case] all: &str,
        #[case] unread: &str,
        #[case] none: bool,
    ) {
        assert_eq!(Pages::skipped_none(&[pages(false, all)], unread.split_whitespace()), none);
    }

    #[test]
    fn what_follows_a_name_of_nobody_shows_the_way_as_well() {
        let after = |name: &str, page: &str| {
            let mut all = Pages::after(false, name);
            all.note(page.split_whitespace());
            all
        };
        assert!(after("zz", "a").are_right());
        assert!(!after("a", "m").are_right(), "it may have skipped what has a smaller name");
        let unread = |ways: &[Pages], name: &str| Pages::skipped_none(ways, [name].into_iter());
        assert!(!unread(&[pages(false, "a m"), after("n", "o")], "b"));
        assert!(unread(&[pages(false, "a m"), after("n", "o")], "p"));
        assert!(unread(&[pages(false, "a m | n z"), after("zz", "y")], "b"), "one page shows it for all");
    }

    #[test]
    fn newest_first_it_is_the_other_way_round() {
        assert!(pages(true, "m a").are_right());
        assert!(!pages(true, "z m | l a").are_right());
        assert!(pages(true, "z m | n a").are_right());
    }

    proptest! {
        /// Reads pages as a registry before 3.87 makes them, up to some page: where the proof holds, every tag that was
        /// not read is younger than those that were.
        #[test]
        fn the_proof_never_holds_where_the_wrong_way_skipped_a_tag(
            names in proptest::collection::hash_set("[a-c][0-9]{1,2}", 1..40),
            size in 1_usize..6,
            read in 1_usize..8,
        ) {
            let order: Vec<&str> = names.iter().map(String::as_str).collect();
            let place = |name: &str| order.iter().position(|other| *other == name).unwrap();
            let (mut proof, mut seen) = (Pages::new(false), Vec::new());
            let mut cursor: Option<&str> = None;
            for _ in 0..read {
                let follows = |name: &&&str| cursor
                    .is_none_or(|cursor| **name > cursor && place(name) >= place(cursor));
                let page: Vec<&str> = order.iter().filter(follows).take(size).copied().collect();
                let Some(last) = page.last() else { break };
                cursor = Some(last);
                proof.note(page.iter().copied());
                seen.extend(page);
            }
            let unread = || order.iter().filter(|name| !seen.contains(name)).copied();
            if Pages::skipped_none(&[proof], unread()) {
                let youngest = seen.iter().map(|name| place(name)).max().unwrap();
                prop_assert!(unread().all(|name| place(name) > youngest), "{:?} of {:?}", seen, order);
            }
        }
    }
}
