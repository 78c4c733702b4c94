//! When tags would go under another value of their rule, without playing every run again.
//!
//! Attachments are left out but for orphans, and stay what they are while every tag is there. Then nothing that
//! decides ever turns back: whatever was pushed by a moment competes from then on, whatever is old enough stays so,
//! and the newest `keepN` that compete never go. So the tags that are gone by a moment are those that the plan as of
//! that moment removes if nothing has gone before, and the first such moment of a tag can be looked for.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::super::REMOVE;
use super::super::attachments::Family;
use super::super::exact::Terms;
use super::group::{Asked, Entry, Group};

/// The tags of a repository that may compete, by rule and group.
#[derive(Debug)]
pub struct Contest {
    groups: Vec<Group>,
}

/// A group of a rule, with some of its tags.
#[derive(Debug)]
pub struct Entered<'c> {
    pub(super) group: &'c Group,
    entries: Vec<&'c Entry>,
}

impl Contest {
    /// Of groups as they come together, the tags that are in the one of what they are.
    pub(super) fn new(groups: Vec<Group>, family: &Family) -> Self {
        let without = |group: Group| {
            if group.all().any(|entry| entry.may_be_attached) { only_its_kind(group, family) } else { group }
        };
        Self { groups: groups.into_iter().map(without).collect() }
    }

    /// The groups of a rule that have one of these tags: whatever becomes of other groups says nothing of them.
    #[must_use]
    pub fn entered(&self, rule: usize, tags: &BTreeSet<usize>) -> Vec<Entered<'_>> {
        let groups = self.groups.iter().filter(|group| group.rule == rule);
        let all = groups.map(|group| {
            let entries = group.all().filter(|entry| tags.contains(&entry.at)).collect();
            Entered { group, entries }
        });
        all.filter(|entered| !entered.entries.is_empty()).collect()
    }

    /// How many tags of a rule are gone by a moment, if it asks for this.
    #[must_use]
    pub fn gone(&self, rule: usize, by: Timestamp, asked: &Asked) -> u64 {
        let terms = asked.terms(by);
        let groups = self.groups.iter().filter(|group| group.rule == rule);
        groups.map(|group| group.beyond(&terms, |_| true).count() as u64).sum()
    }
}

impl Entered<'_> {
    /// The places of its tags.
    pub fn tags(&self) -> impl Iterator<Item = usize> {
        self.entries.iter().map(|entry| entry.at)
    }

    /// How many tags the group has that may compete.
    #[must_use]
    pub fn size(&self) -> usize {
        self.group.ranked.len()
    }

    /// The tags that go, with the place of the first of these moments, which ascend, by which they are gone.
    pub fn first_gone(&self, moments: &[Timestamp], asked: &Asked) -> impl Iterator<Item = (usize, usize)> {
        let all = moments.iter().map(|moment| {
            let terms = asked.terms(*moment);
            (terms, self.group.border(&terms, |_| true))
        });
        let all: Vec<(Terms, Option<usize>)> = all.collect();
        let stays = |entry: &Entry, terms: &Terms, border: Option<usize>| {
            border.is_none_or(|border| entry.newer < border) || entry.facts.verdict(terms) != Ok(REMOVE)
        };
        self.entries.iter().filter_map(move |entry| {
            let first = all.partition_point(|(terms, border)| stays(entry, terms, *border));
            (first < all.len()).then_some((entry.at, first))
        })
    }
}

/// Some tags of a group fewer, so that fewer are newer than others.
fn only_its_kind(group: Group, family: &Family) -> Group {
    let Group { rule, kind, ranked, unranked } = group;
    let is_in = |entry: &Entry| !entry.may_be_attached || family.kind(entry.at) == kind;
    let mut before = vec![0];
    before.extend(ranked.iter().scan(0, |count, entry| {
        *count += usize::from(is_in(entry));
        Some(*count)
    }));
    let recount = |entry: Entry| Entry { newer: before.get(entry.newer).copied().unwrap_or(entry.newer), ..entry };
    let ranked = ranked.into_iter().filter(|entry| is_in(entry)).map(recount).collect();
    Group { rule, kind, ranked, unranked: unranked.into_iter().filter(|entry| is_in(entry)).collect() }
}
