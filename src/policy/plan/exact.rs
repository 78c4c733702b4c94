//! The plan that is carried out exactly: up to ten rules over everything that is known of the tags of one repository.
//!
//! Every tag gets one verdict, of several reasons to keep it the first of [`KeepReason::ALL`]. The first rule whose
//! `nameRegexDelete` matches decides; a tag that no rule matches stays. Tags that the policy protects or keeps by name
//! take none of the `keepN` slots, and neither do tags in use or of unknown rank: whatever is not known only ever leads
//! to keeping more. A tag goes if it is certain that `keepN` others are newer; where equal dates leave that open, see
//! [`super::ties`]. Tags that GitLab protects do take slots, as in its own bulk deletion (gitlab-api.md 2.1): the
//! newest `keepN` stay, whoever keeps them, and it makes no difference whether a tag that is too young anyhow was read.
//! Attachments of images are no images and take none either; what becomes of them is decided last, in [`attachments`].

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::attachments::{self, Family, Kind};
use super::ties::{self, Candidate, Rank, Settled};
use super::{Decision, KeepReason, REMOVE, TagPlan, Verdict};
use crate::api::Attachments;
use crate::policy::age::Age;
use crate::policy::compile::Rule;
use crate::policy::inventory::Inventory;
use crate::policy::pattern::Pattern;
use crate::policy::tag::{Moment, TagView, to_the_second};
use crate::policy::tag_protection::Claims;

/// A tag that competes for the places of its rule and group.
struct Contender<'a> {
    rule: usize,
    group: &'a str,
    /// `None` where its date is not known and nothing is ranked.
    rank: Option<Rank<'a>>,
    /// What becomes of it without a place.
    verdict: Verdict,
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
        match look(&tag, rules, protect, claims, now, settled) {
            Ok(Contender { rule, group, rank, verdict }) => {
                *decision = Decision { verdict, rule: Some(rule) };
                // Nobody competes where there are no places, and a candidate takes more memory than a tag.
                let Some(sort_by) = rules.get(rule).filter(|_| places(rules, rule) > 0).map(|rule| rule.sort_by) else {
                    continue;
                };
                if let Some(rank) = rank {
                    let once = ties::pushed_once(&tag, sort_by);
                    let candidate = Candidate { name: tag.name, once, rank, decision };
                    groups.entry((rule, group, kind)).or_default().push(candidate);
                }
            }
            Err((rule, reason)) => *decision = Decision::keep(reason, rule),
        }
    }
    let mut open = Vec::new();
    for ((rule, ..), candidates) in groups {
        let Some(sort_by) = rules.get(rule).map(|rule| rule.sort_by) else { continue };
        open.extend(ties::decide(candidates, places(rules, rule), sort_by, settled));
    }
    family.settle(&mut plan, free, &doubted);
    Draft { tags: plan, open }
}

/// How many of the newest a rule keeps, by the rule's place in the list.
fn places(rules: &[Rule], rule: usize) -> usize {
    let keep_n = rules.get(rule).and_then(|rule| rule.keep_n).unwrap_or(0);
    usize::try_from(keep_n).unwrap_or(usize::MAX)
}

/// A reason to keep a tag that takes no slot, with the rule that decided.
type Kept = (Option<usize>, KeepReason);

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
    let rule = match rule_of(tag, rules, protect, claims) {
        Ok((index, _)) => Some(index),
        Err((None, KeepReason::NoRuleMatches)) if with == Attachments::WithSubject => None,
        Err(kept) => return Err(kept),
    };
    if tag.protected {
        Err((rule, KeepReason::ProtectedByGitLab))
    } else if pushed_since(tag, now) {
        Err((rule, KeepReason::PushedAgain))
    } else {
        Ok(rule)
    }
}

/// Whether a tag was pushed at the moment of the plan or later.
fn pushed_since(tag: &TagView<'_>, now: Timestamp) -> bool {
    matches!(tag.pushed, Moment::At(pushed) if pushed >= to_the_second(now))
}

/// Looks at one tag by itself: a reason to keep it that takes no slot, or where it competes.
fn look<'t>(
    tag: &TagView<'t>,
    rules: &[Rule],
    protect: &[Pattern],
    claims: &Claims,
    now: Timestamp,
    settled: &Settled,
) -> Result<Contender<'t>, Kept> {
    let (index, rule) = rule_of(tag, rules, protect, claims)?;
    let group = match &rule.group_by {
        None => Ok(""),
        Some(pattern) => pattern.captured(tag.name).ok_or(KeepReason::NoGroup),
    };
    let rank = ties::rank(tag, rule.sort_by, settled);
    // Without a date nothing can be ranked; a name that is no version stays also where nothing is counted.
    let ranked = rule.keep_n.is_some_and(|n| n > 0);
    let unranked = rank.as_ref().err().copied().filter(|reason| ranked || *reason == KeepReason::NoVersion);
    let reasons = [
        tag.protected.then_some(KeepReason::ProtectedByGitLab),
        pushed_since(tag, now).then_some(KeepReason::PushedAgain),
        group.err(),
        unranked,
        rule.older_than.as_ref().and_then(|age| too_young(tag, age, now)),
        claims.possible(tag.name, tag.digest, tag.single_image).then_some(KeepReason::MayBeInUse),
    ];
    let takes_a_slot = |reason| matches!(reason, KeepReason::ProtectedByGitLab | KeepReason::TooYoung);
    let reasons = || reasons.into_iter().flatten();
    match reasons().min() {
        Some(first) if !reasons().all(takes_a_slot) => Err((Some(index), first)),
        first => {
            let verdict = first.map_or(REMOVE, Verdict::Keep);
            Ok(Contender { rule: index, group: group.unwrap_or_default(), rank: rank.ok(), verdict })
        }
    }
}

/// Whether its age keeps a tag.
fn too_young(tag: &TagView<'_>, age: &Age, now: Timestamp) -> Option<KeepReason> {
    match tag.pushed {
        Moment::Unknown | Moment::Placeholder(_) | Moment::Ahead(_) => Some(KeepReason::DateUnknown),
        Moment::Newer => Some(KeepReason::TooYoung),
        // GitLab may have cut the date to its second, so that it counts as the end of it.
        Moment::At(pushed) => {
            let cutoff = to_the_second(now.checked_sub(age.duration()).unwrap_or(Timestamp::MIN));
            (pushed >= cutoff).then_some(KeepReason::TooYoung)
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
