//! The plans of many moments over one reading of a repository, each over what the earlier ones left.
//!
//! Each is the plan that [`exact`](super::exact) makes as of its moment, over the tags that are left by then, where
//! nothing is known to be in use and no date is read to the millisecond. What does not depend on the moment is found
//! out once: the rule that decides about a tag, its group, its rank and its attachments. A plan then looks at dates
//! alone.
//!
//! Why one number for each tag is enough to know its standing: a tag goes if `keepN` others are newer for certain
//! ([`ties`](super::ties)). Those that may be newer stand before it in the order of the ranks, and are the same at any
//! moment; which of them compete is not. The first `keepN` that compete end somewhere in that order, and a tag goes if
//! those that are newer for certain reach to that end.

mod contest;
mod group;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::attachments::{Context, Family, Kin, Kind};
use super::exact::{Entrant, Terms, entrant, own_rule, pushed_since};
use super::ties::{Rank, Settled};
use super::{Decision, PlannedTag, REMOVE, TagPlan};
use crate::policy::compile::Rule;
use crate::policy::inventory::Inventory;
use crate::policy::pattern::Pattern;
use crate::policy::tag::{Moment, to_the_second};
use crate::policy::tag_protection::Claims;

pub use contest::{Contest, Entered};
pub use group::Asked;
use group::{Entry, Group};

/// The tags of a repository, with what is left of them.
#[derive(Debug)]
pub struct Replay {
    tags: TagPlan,
    gone: Vec<bool>,
    groups: Vec<Group>,
    kin: Kin,
    /// Of those that may be attachments: the last push, and the rule that matches the name, where nothing of their own
    /// keeps them but a push since.
    free: BTreeMap<usize, (Moment, Option<usize>)>,
}

impl Replay {
    /// All tags of an inventory that was read in full, of which none has gone.
    #[must_use]
    pub fn new(inventory: Inventory, rules: &[Rule], protect: &[Pattern], context: Context<'_>) -> Self {
        let tags = TagPlan::undecided(inventory);
        let kin = Kin::of(&tags, context);
        let groups = groups(&tags, &kin, rules, protect);
        let mut free = BTreeMap::new();
        for at in kin.places() {
            let Some(tag) = tags.read.get(at).map(|planned| planned.tag.view()) else { continue };
            let rule = own_rule(&tag, rules, protect, &Claims::default(), context.with);
            if let (Ok(rule), false) = (rule, tag.protected) {
                free.insert(at, (tag.pushed, rule));
            }
        }
        Self { gone: vec![false; tags.len()], tags, groups, kin, free }
    }

    /// The tags that were read, whether or not they have gone.
    #[must_use]
    pub fn tags(&self) -> &[PlannedTag] {
        &self.tags.read
    }

    /// How many tags have not gone.
    #[must_use]
    pub fn left(&self) -> usize {
        self.gone.iter().filter(|gone| !**gone).count()
    }

    /// Lets everything go that the plan as of a moment removes, where the rules ask for this in their order. Answers
    /// the places of the tags, each with its rule.
    pub fn carry_out(&mut self, now: Timestamp, asked: &[Asked]) -> Vec<(usize, Option<usize>)> {
        let family = self.kin.family(|at| self.gone.get(at) == Some(&false));
        let mut goes = self.beyond(now, asked, &family);
        if self.free.is_empty() {
            self.let_go(&goes);
            return goes;
        }
        for (at, rule) in &goes {
            if let Some(planned) = self.tags.read.get_mut(*at) {
                planned.decision = Decision::new(REMOVE, *rule);
            }
        }
        let since = to_the_second(now);
        let is_there = |at: usize| self.gone.get(at) == Some(&false);
        let own = self.free.iter().filter(|(at, (pushed, _))| {
            is_there(**at) && family.kind(**at) == Kind::Attachment && !pushed_since(*pushed, since)
        });
        let free: BTreeMap<usize, Option<usize>> = own.map(|(at, (_, rule))| (*at, *rule)).collect();
        let places: Vec<usize> = free.keys().copied().collect();
        family.settle(&mut self.tags, free, &BTreeMap::new());
        for at in places {
            let decision = self.tags.read.get(at).map(|planned| planned.decision);
            goes.extend(decision.filter(|decision| decision.removes()).map(|decision| (at, decision.rule())));
        }
        for at in self.kin.places() {
            // To what it is attached is for those who carry a plan out.
            if let Some(planned) = self.tags.read.get_mut(at) {
                planned.attached = None;
            }
        }
        self.let_go(&goes);
        goes
    }

    /// What is left to be asked about other values of the rules, with all tags, as if none had gone.
    #[must_use]
    pub fn into_contest(self) -> Contest {
        let family = self.kin.family(|_| true);
        Contest::new(self.groups, &family)
    }

    fn let_go(&mut self, goes: &[(usize, Option<usize>)]) {
        for (at, _) in goes {
            if let Some(gone) = self.gone.get_mut(*at) {
                *gone = true;
            }
        }
    }

    /// The tags that are left and go by the rules alone.
    fn beyond(&self, now: Timestamp, asked: &[Asked], family: &Family) -> Vec<(usize, Option<usize>)> {
        let terms: Vec<Terms> = asked.iter().map(|asked| asked.terms(now)).collect();
        let mut goes = Vec::new();
        for group in &self.groups {
            let Some(terms) = terms.get(group.rule) else { continue };
            let is_there = |entry: &Entry| {
                self.gone.get(entry.at) == Some(&false)
                    && (!entry.may_be_attached || family.kind(entry.at) == group.kind)
            };
            goes.extend(group.beyond(terms, is_there).map(|at| (at, Some(group.rule))));
        }
        goes
    }
}

/// A group as it comes together: ranks with what has them, and what has none.
type Gathered<'a> = (Vec<(Rank<'a>, Entry)>, Vec<Entry>);

/// The groups of all tags, each in its order. What may be an attachment is in those of the images and of the orphans.
fn groups(tags: &TagPlan, kin: &Kin, rules: &[Rule], protect: &[Pattern]) -> Vec<Group> {
    let possible: BTreeSet<usize> = kin.places().collect();
    let (claims, settled) = (Claims::default(), Settled::default());
    let mut gathered: BTreeMap<(usize, bool), HashMap<&str, Gathered<'_>>> = BTreeMap::new();
    for (at, planned) in tags.read.iter().enumerate() {
        let tag = planned.tag.view();
        let may_be_attached = possible.contains(&at);
        let orphans: &[bool] = if may_be_attached { &[false, true] } else { &[false] };
        for orphan in orphans {
            let Ok((Entrant { rule, group, rank, facts }, _)) = entrant(&tag, rules, protect, &claims, &settled) else {
                break;
            };
            let (ranked, unranked) = gathered.entry((rule, *orphan)).or_default().entry(group).or_default();
            let entry = Entry { at, newer: 0, may_be_attached, facts };
            match rank {
                Some(rank) => ranked.push((rank, entry)),
                None => unranked.push(entry),
            }
        }
    }
    let kind = |orphan| if orphan { Kind::Orphan } else { Kind::Image };
    let all = gathered.into_iter().flat_map(|(key, groups)| groups.into_values().map(move |group| (key, group)));
    all.map(|((rule, orphan), (ranked, unranked))| Group {
        rule,
        kind: kind(orphan),
        ranked: in_order(ranked),
        unranked,
    })
    .collect()
}

/// The newest first, each with how many are newer for certain.
fn in_order(mut ranked: Vec<(Rank<'_>, Entry)>) -> Vec<Entry> {
    ranked.sort_by(|(one, _), (other, _)| other.cmp(one));
    let newer: Vec<usize> =
        ranked.iter().map(|(rank, _)| ranked.partition_point(|(start, _)| *start > rank.end())).collect();
    ranked.into_iter().zip(newer).map(|((_, entry), newer)| Entry { newer, ..entry }).collect()
}

#[cfg(test)]
mod tests;
