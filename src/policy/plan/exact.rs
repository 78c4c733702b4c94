//! The plan that is carried out exactly: up to ten rules over everything that is known of the tags of one repository.
//!
//! Every tag gets one verdict, of several reasons to keep it the first of [`KeepReason::ALL`]. The first rule whose
//! `nameRegexDelete` matches decides; a tag that no rule matches stays. Tags that the policy protects or keeps by name
//! take none of the `keepN` slots, and neither do tags in use or of unknown rank: whatever is not known only ever leads
//! to keeping more. A tag goes if it is certain that `keepN` others are newer; where equal dates leave that open, see
//! [`super::ties`]. Tags that GitLab protects do take slots, as in its own bulk deletion (gitlab-api.md 2.1): the
//! newest `keepN` stay, whoever keeps them, and it makes no difference whether a tag that is too young anyhow was read.
//! Attachments of images are no images and take none either; what becomes of them is decided last, in [`attachments`].

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::attachments::{self, Family, Kind};
use super::ties::{self, Candidate, Rank, Settled};
use super::{Decision, KeepReason, REMOVE, TagPlan, Verdict};
use crate::api::{Attachments, SortBy};
use crate::policy::age::Age;
use crate::policy::compile::Rule;
use crate::policy::inventory::Inventory;
use crate::policy::pattern::Pattern;
use crate::policy::tag::{Moment, TagView, to_the_second};
use crate::policy::tag_protection::Claims;

/// A tag that may compete for the slots of its rule and group, by what holds of it at any moment.
pub(super) struct Entrant<'a> {
    pub(super) rule: usize,
    /// Empty where the rule has no groups, or the tag is of none.
    pub(super) group: &'a str,
    /// `None` where it has none.
    pub(super) rank: Option<Rank<'a>>,
    pub(super) facts: Facts,
}

/// What decides about an entrant besides its rank.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pushed: Moment,
    protected: bool,
    /// The rule counts per group, and the tag belongs to none.
    no_group: bool,
    /// Why it has no rank, if it has none.
    unranked: Option<KeepReason>,
    may_be_in_use: bool,
}

/// What a rule asks for, as of a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// How many of the newest stay.
    pub(super) keep_n: usize,
    /// What was pushed from here on stays.
    since: Timestamp,
    /// What was pushed from here on is too young.
    cutoff: Option<Timestamp>,
}

impl Terms {
    pub(super) fn new(keep_n: Option<u32>, older_than: Option<SignedDuration>, now: Timestamp) -> Self {
        let cutoff = |age| to_the_second(now.checked_sub(age).unwrap_or(Timestamp::MIN));
        Self {
            keep_n: usize::try_from(keep_n.unwrap_or(0)).unwrap_or(usize::MAX),
            since: to_the_second(now),
            cutoff: older_than.map(cutoff),
        }
    }

    fn of(rule: &Rule, now: Timestamp) -> Self {
        Self::new(rule.keep_n, rule.older_than.as_ref().map(Age::duration), now)
    }
}

impl Facts {
    /// What becomes of the tag where it is none of the newest.
    ///
    /// # Errors
    /// The reason to keep it, if it takes no slot.
    pub(super) fn verdict(&self, terms: &Terms) -> Result<Verdict, KeepReason> {
        // Without a date nothing can be ranked; a name that is no version stays also where nothing is counted.
        let ranked = terms.keep_n > 0;
        let reasons = [
            self.protected.then_some(KeepReason::ProtectedByGitLab),
            pushed_since(self.pushed, terms.since).then_some(KeepReason::PushedAgain),
            self.no_group.then_some(KeepReason::NoGroup),
            self.unranked.filter(|reason| ranked || *reason == KeepReason::NoVersion),
            terms.cutoff.and_then(|cutoff| too_young(self.pushed, cutoff)),
            self.may_be_in_use.then_some(KeepReason::MayBeInUse),
        ];
        let takes_a_slot = |reason| matches!(reason, KeepReason::ProtectedByGitLab | KeepReason::TooYoung);
        let reasons = || reasons.into_iter().flatten();
        match reasons().min() {
            Some(first) if !reasons().all(takes_a_slot) => Err(first),
            first => Ok(first.map_or(REMOVE, Verdict::Keep)),
        }
    }
}

/// A plan, and what could still be found out for it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Draft {
    /// The plan as it is.
    pub tags: TagPlan,
    /// Tags whose dates to the millisecond may tell more of them apart than the plan does.
    pub open: Vec<Box<str>>,
}

/// Decides about every tag of a repository. `now` is the moment as of which the plan is made: what was pushed in the
/// same second or later stays and takes no slot.
#[must_use]
pub fn plan(
    inventory: Inventory,
    rules: &[Rule],
    protect: &[Pattern],
    claims: &Claims,
    context: attachments::Context<'_>,
    now: Timestamp,
) -> TagPlan {
    draft(inventory, rules, protect, claims, context, now, &Settled::default()).tags
}

/// The same with dates to the millisecond of some tags. To be repeated with those of the tags it leaves open, until it
/// leaves none.
#[must_use]
pub fn draft(
    inventory: Inventory,
    rules: &[Rule],
    protect: &[Pattern],
    claims: &Claims,
    context: attachments::Context<'_>,
    now: Timestamp,
    settled: &Settled,
) -> Draft {
    let mut plan = TagPlan::undecided(inventory);
    let family = Family::of(&plan, context);
    let terms: Vec<Terms> = rules.iter().map(|rule| Terms::of(rule, now)).collect();
    let full = full(&plan, &family, (rules, &terms), protect, claims);
    let (mut free, mut doubted) = (BTreeMap::new(), BTreeMap::new());
    let mut groups: HashMap<(usize, &str, Kind), Vec<Candidate<'_>>> = HashMap::new();
    for (at, (tag, decision)) in plan.iter_mut().enumerate() {
        let kind = family.kind(at);
        if kind == Kind::Attachment {
            match by_itself(&tag, rules, protect, claims, context.with, now) {
                Ok(rule) if claims.possible(tag.name, tag.digest, tag.single_image) => _ = doubted.insert(at, rule),
                Ok(rule) => _ = free.insert(at, rule),
                Err((rule, reason)) => *decision = Decision::keep(reason, rule),
            }
            continue;
        }
        let (Entrant { rule, group, rank, facts }, of) = match entrant(&tag, rules, protect, claims, settled) {
            Ok(found) => found,
            Err((rule, reason)) => {
                *decision = Decision::keep(reason, rule);
                continue;
            }
        };
        let Some(terms) = terms.get(rule) else { continue };
        match facts.verdict(terms) {
            Err(reason) => *decision = Decision::keep(reason, Some(rule)),
            Ok(verdict) => {
                *decision = Decision::new(verdict, Some(rule));
                // Nobody competes where there are no places, or others have them for certain, and a candidate takes
                // more memory than a tag.
                let hopeless = || tag.pushed != Moment::Newer && full.contains(&(rule, group.to_owned(), kind));
                if let Some(rank) = rank.filter(|_| terms.keep_n > 0 && !hopeless()) {
                    let once = ties::pushed_once(&tag, of.sort_by);
                    let candidate = Candidate { name: tag.name, once, rank, decision };
                    groups.entry((rule, group, kind)).or_default().push(candidate);
                }
            }
        }
    }
    let mut open = Vec::new();
    for ((rule, ..), candidates) in groups {
        let (Some(terms), Some(of)) = (terms.get(rule), rules.get(rule)) else { continue };
        open.extend(ties::decide(candidates, terms.keep_n, of.sort_by, settled));
    }
    family.settle(&mut plan, free, &doubted);
    Draft { tags: plan, open }
}

/// Where tags that were not read have all places, since they are newer than all that were: by rule, group and kind.
fn full(
    plan: &TagPlan,
    family: &Family,
    (rules, terms): (&[Rule], &[Terms]),
    protect: &[Pattern],
    claims: &Claims,
) -> HashSet<(usize, String, Kind)> {
    let by_push = |rule: &Rule| rule.sort_by == SortBy::PushedAt && rule.keep_n.is_some_and(|n| n > 0);
    if !rules.iter().any(by_push) {
        return HashSet::new();
    }
    let mut taken: HashMap<(usize, String, Kind), usize> = HashMap::new();
    for (at, planned) in plan.newer.iter().enumerate() {
        let kind = family.kind(plan.read.len() + at);
        let found = entrant(&TagView::newer(&planned.name), rules, protect, claims, &Settled::default());
        if let Ok((Entrant { rule, group, rank: Some(_), facts }, of)) = found
            && by_push(of)
            && kind != Kind::Attachment
            && terms.get(rule).is_some_and(|terms| facts.verdict(terms).is_ok())
        {
            *taken.entry((rule, group.to_owned(), kind)).or_default() += 1;
        }
    }
    let all = |rule: usize| terms.get(rule).map_or(usize::MAX, |terms| terms.keep_n);
    taken.into_iter().filter(|((rule, ..), taken)| *taken >= all(*rule)).map(|(of, _)| of).collect()
}

/// A reason to keep a tag that takes no slot, with the rule that decided.
pub(super) type Kept = (Option<usize>, KeepReason);

/// The rule that decides about a tag.
fn rule_of<'r>(
    tag: &TagView<'_>,
    rules: &'r [Rule],
    protect: &[Pattern],
    claims: &Claims,
) -> Result<(usize, &'r Rule), Kept> {
    if tag.name == "latest" {
        return Err((None, KeepReason::Latest));
    }
    if protect.iter().any(|pattern| pattern.matches(tag.name)) {
        return Err((None, KeepReason::Protected));
    }
    if claims.certain(tag.name, tag.digest).is_some() {
        return Err((None, KeepReason::InUse));
    }
    let found = rules.iter().enumerate().find(|(_, rule)| rule.delete.matches(tag.name));
    let Some((index, rule)) = found else { return Err((None, KeepReason::NoRuleMatches)) };
    if rule.keep.as_ref().is_some_and(|pattern| pattern.matches(tag.name)) {
        return Err((Some(index), KeepReason::KeptByPattern));
    }
    Ok((index, rule))
}

/// Looks at an attachment by itself: what certainly keeps it whatever becomes of its subject, or the rule that its name
/// matches.
fn by_itself(
    tag: &TagView<'_>,
    rules: &[Rule],
    protect: &[Pattern],
    claims: &Claims,
    with: Attachments,
    now: Timestamp,
) -> Result<Option<usize>, Kept> {
    let rule = own_rule(tag, rules, protect, claims, with)?;
    if tag.protected {
        Err((rule, KeepReason::ProtectedByGitLab))
    } else if pushed_since(tag.pushed, to_the_second(now)) {
        Err((rule, KeepReason::PushedAgain))
    } else {
        Ok(rule)
    }
}

/// The same without what depends on the moment, and without what GitLab protects.
pub(super) fn own_rule(
    tag: &TagView<'_>,
    rules: &[Rule],
    protect: &[Pattern],
    claims: &Claims,
    with: Attachments,
) -> Result<Option<usize>, Kept> {
    match rule_of(tag, rules, protect, claims) {
        Ok((index, _)) => Ok(Some(index)),
        Err((None, KeepReason::NoRuleMatches)) if with == Attachments::WithSubject => Ok(None),
        Err(kept) => Err(kept),
    }
}

/// Whether a tag was pushed at a moment, given to the second, or later.
pub(super) fn pushed_since(pushed: Moment, since: Timestamp) -> bool {
    matches!(pushed, Moment::At(pushed) if pushed >= since)
}

/// Looks at one tag by itself: a reason to keep it that takes no slot, or where it may compete, with its rule.
pub(super) fn entrant<'t, 'r>(
    tag: &TagView<'t>,
    rules: &'r [Rule],
    protect: &[Pattern],
    claims: &Claims,
    settled: &Settled,
) -> Result<(Entrant<'t>, &'r Rule), Kept> {
    let (index, rule) = rule_of(tag, rules, protect, claims)?;
    let group = match &rule.group_by {
        None => Some(""),
        Some(pattern) => pattern.captured(tag.name),
    };
    let rank = ties::rank(tag, rule.sort_by, settled);
    let facts = Facts {
        pushed: tag.pushed,
        protected: tag.protected,
        no_group: group.is_none(),
        unranked: rank.as_ref().err().copied(),
        may_be_in_use: claims.possible(tag.name, tag.digest, tag.single_image),
    };
    Ok((Entrant { rule: index, group: group.unwrap_or_default(), rank: rank.ok(), facts }, rule))
}

/// Whether its age keeps a tag, where it has to be older than the cut-off.
fn too_young(pushed: Moment, cutoff: Timestamp) -> Option<KeepReason> {
    match pushed {
        Moment::Unknown | Moment::Placeholder(_) | Moment::Ahead(_) => Some(KeepReason::DateUnknown),
        Moment::Newer => Some(KeepReason::TooYoung),
        // GitLab may have cut the date to its second, so that it counts as the end of it.
        Moment::At(pushed) => (pushed >= cutoff).then_some(KeepReason::TooYoung),
    }
}

#[cfg(test)]
pub(super) mod tests;
