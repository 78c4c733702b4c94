//! The tags that compete for the slots of a rule, group by group, by what holds of them at any moment; and which of
//! them go as of one.

use jiff::{SignedDuration, Timestamp};

use super::super::REMOVE;
use super::super::attachments::Kind;
use super::super::exact::{Facts, Terms};
use crate::policy::age::Age;
use crate::policy::compile::Rule;

/// What a rule asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Asked {
    /// How many of the newest stay.
    pub keep_n: Option<u32>,
    /// From which age on tags go.
    pub older_than: Option<SignedDuration>,
}

impl Asked {
    pub(super) fn terms(&self, now: Timestamp) -> Terms {
        Terms::new(self.keep_n, self.older_than, now)
    }
}

impl From<&Rule> for Asked {
    fn from(rule: &Rule) -> Self {
        Self { keep_n: rule.keep_n, older_than: rule.older_than.as_ref().map(Age::duration) }
    }
}

/// The tags that may compete for the slots of one rule and group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) rule: usize,
    pub(super) kind: Kind,
    /// The newest first.
    pub(super) ranked: Vec<Entry>,
    /// Those that have no rank.
    pub(super) unranked: Vec<Entry>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: usize,
    /// How many of the group are newer for certain, if all compete.
    pub(super) newer: usize,
    /// Whether it may turn out to be an attachment.
    pub(super) may_be_attached: bool,
    pub(super) facts: Facts,
}

impl Group {
    /// Those that go, of the tags that are there.
    pub(super) fn beyond<'a>(
        &'a self,
        terms: &'a Terms,
        is_there: impl Fn(&Entry) -> bool + Copy + 'a,
    ) -> impl Iterator<Item = usize> + 'a {
        let border = self.border(terms, is_there);
        let unranked = if terms.keep_n == 0 { self.unranked.as_slice() } else { &[] };
        let ranked = border.and_then(|border| self.ranked.get(border..)).unwrap_or_default();
        let beyond = ranked.iter().filter(move |entry| border.is_some_and(|border| entry.newer >= border));
        let goes = move |entry: &&Entry| is_there(entry) && entry.facts.verdict(terms) == Ok(REMOVE);
        beyond.chain(unranked).filter(goes).map(|entry| entry.at)
    }

    /// Where the first `keepN` end that compete; `None` where there are not so many.
    pub(super) fn border(&self, terms: &Terms, is_there: impl Fn(&Entry) -> bool) -> Option<usize> {
        let Some(last) = terms.keep_n.checked_sub(1) else { return Some(0) };
        let competes = |entry: &Entry| is_there(entry) && entry.facts.verdict(terms).is_ok();
        let mut competing = self.ranked.iter().enumerate().filter(|(_, entry)| competes(entry));
        competing.nth(last).map(|(at, _)| at + 1)
    }

    /// All of its tags.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.ranked.iter().chain(&self.unranked)
    }
}
