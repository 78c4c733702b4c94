//! What becomes of attachments: tags that are no images but belong to one, such as signatures, attestations and SBOMs.
//!
//! A tag is an attachment if its name says so ([`attachment`]) or if GitLab tells that its manifest refers to that of
//! another tag. One that has the digest it is named after is that image itself, under another name.
//!
//! - An attachment takes no `keepN` slot, and stays while any tag that has its subject stays, whatever keeps that. So
//!   does the one of an image inside of an index. It goes when the last such tag goes in the same run.
//! - Its own name can only keep it: by `protect`, by use, by `nameRegexKeep` of the rule that matches it, and, unless
//!   the policy says [`WithSubject`](crate::api::Attachments), by no rule matching it.
//! - An orphan is an attachment whose subject no tag has or contains. It follows the rules as any tag, but competes for
//!   slots with other orphans only.
//! - Whatever is not known keeps it. Each tag whose digest is not known may have its subject; each index whose images
//!   are not known may contain it. Two exceptions, by what is pushed in practice: an index is not inside of another
//!   one, and a list of referrers contains no image.
//! - Attachments of attachments follow in the same way. A circle, which no real digests can make, stays.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::decided::{Attached, TagPlan};
use super::{Decision, KeepReason, RemoveReason, Verdict};
use crate::api::Attachments;
use crate::model::Digest;
use crate::policy::attachment::{self, Subject};
use crate::policy::tag::TagView;

/// The digests of the images inside of indexes, by the digest of the index. What is missing is not known.
pub type Children = HashMap<Digest, Arc<[Digest]>>;

/// What decides about attachments besides the tags.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Which of them go with their subject.
    pub with: Attachments,
    /// What is known of indexes.
    pub children: &'a Children,
    /// Whether there is no tag besides those of the inventory.
    pub complete: bool,
}

/// Why it is not known that nothing has the subject of an attachment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Doubt {
    /// It may be inside of an index.
    Inside,
    /// It may be that of a tag that was not read.
    Unread,
}

/// An attachment. There may be one for each image, so that it is to be small.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Attachment {
    /// The digests of its subject, or how they begin, in their order.
    subjects: Box<[Arc<str>]>,
    /// The tags that have or contain its subject, by their place in the plan, in their order.
    owners: Box<[usize]>,
    /// Why these may not be all.
    doubt: Option<Doubt>,
}

/// What a tag is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Kind {
    /// A tag like any other.
    Image,
    /// An attachment whose subject is certainly not there.
    Orphan,
    /// An attachment whose subject is there, or may be.
    Attachment,
}

/// The attachments among the tags of a plan, by their place in it.
#[derive(Debug, Default)]
pub(super) struct Family {
    members: BTreeMap<usize, Attachment>,
    /// Some tag has referrers, which GitLab tells only of tags that are read, and not all were.
    untold: bool,
}

/// The tags that may be attachments, whichever of them are there, and what of the others decides about them.
#[derive(Debug, Default)]
pub(super) struct Kin {
    /// By their place, each with what may make it one.
    possible: Vec<(usize, Box<[Link]>)>,
    /// Of all tags; empty where none may be an attachment and none has referrers.
    traits: Vec<Traits>,
    complete: bool,
}

/// What may make a tag an attachment.
#[derive(Debug)]
struct Link {
    /// The digest of its subject, or how it begins.
    subject: Arc<str>,
    /// The tags of which GitLab tells that it refers to them; `None` if its own name says so.
    told_of: Option<Box<[usize]>>,
    /// The tags that have or contain the subject.
    holders: Box<[usize]>,
}

/// What of a tag decides about attachments of others.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and there is one of these for each tag")]
struct Traits {
    /// What is inside of it is not known.
    opaque: bool,
    is_index: bool,
    has_digest: bool,
    has_referrers: bool,
}

impl Kin {
    /// Finds them.
    pub(super) fn of(plan: &TagPlan, context: Context<'_>) -> Self {
        let none =
            |(tag, _): (TagView<'_>, Decision)| tag.referrers.is_empty() && attachment::subject(tag.name).is_none();
        if plan.iter().all(none) {
            return Self::default();
        }
        let found = Tags::new(plan, context.children);
        let possible = plan.iter().enumerate().map(|(at, (tag, _))| (at, found.links(at, &tag)));
        let possible = possible.filter(|(_, links)| !links.is_empty()).collect();
        // Without a digest everything is in doubt anyway.
        let known = |tag: &TagView<'_>| {
            tag.single_image || tag.digest.is_none_or(|digest| context.children.contains_key(digest))
        };
        let traits = |(tag, _): (TagView<'_>, Decision)| Traits {
            opaque: !known(&tag),
            is_index: tag.is_index,
            has_digest: tag.digest.is_some(),
            has_referrers: !tag.referrers.is_empty(),
        };
        Self { possible, traits: plan.iter().map(traits).collect(), complete: context.complete }
    }

    /// The places of those that may be attachments.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        self.possible.iter().map(|(at, _)| *at)
    }

    /// The attachments among the tags that are there.
    pub(super) fn family(&self, there: impl Fn(usize) -> bool) -> Family {
        let own = self.possible.iter().filter(|(at, _)| there(*at));
        let mut members: BTreeMap<usize, Attachment> =
            own.filter_map(|(at, links)| Some((*at, Attachment::of(links, &there)?))).collect();
        let tags = || self.traits.iter().enumerate().filter(|(at, _)| there(*at)).map(|(_, traits)| traits);
        let unread = !self.complete || tags().any(|traits| !traits.has_digest);
        let opaque = Opaque::new(&self.traits, &there, &members);
        for (at, owners, doubt) in members.iter_mut().map(|(at, own)| (*at, &own.owners, &mut own.doubt)) {
            let inside = opaque.may_contain(at, owners);
            *doubt = if inside { Some(Doubt::Inside) } else { unread.then_some(Doubt::Unread) };
        }
        let untold = unread && tags().any(|traits| traits.has_referrers);
        Family { members, untold }
    }
}

impl Attachment {
    /// An attachment by what makes it one of the tags that are there, if something does.
    fn of(links: &[Link], there: impl Fn(usize) -> bool) -> Option<Self> {
        let holds = |link: &&Link| link.told_of.as_ref().is_none_or(|told_of| told_of.iter().any(|at| there(*at)));
        let links = || links.iter().filter(holds);
        let subjects = in_order(links().map(|link| Arc::clone(&link.subject)));
        let owners = in_order(links().flat_map(|link| &link.holders).copied().filter(|owner| there(*owner)));
        (!subjects.is_empty()).then_some(Self { subjects, owners, doubt: None })
    }
}

/// Each of them once.
fn in_order<T: Ord>(all: impl Iterator<Item = T>) -> Box<[T]> {
    let mut all: Vec<T> = all.collect();
    all.sort_unstable();
    all.dedup();
    all.into()
}

impl Family {
    /// Finds the attachments.
    pub(super) fn of(plan: &TagPlan, context: Context<'_>) -> Self {
        Kin::of(plan, context).family(|_| true)
    }

    /// What the tag at this place is.
    pub(super) fn kind(&self, at: usize) -> Kind {
        match self.members.get(&at) {
            None => Kind::Image,
            Some(own) if own.owners.is_empty() && own.doubt.is_none() => Kind::Orphan,
            Some(_) => Kind::Attachment,
        }
    }

    /// Decides about the attachments, once everything else is decided. `free` are those that nothing of their own
    /// keeps, each with the rule that matches its name; `doubted` those that only a doubt about their use does.
    pub(super) fn settle(
        self,
        plan: &mut TagPlan,
        mut free: BTreeMap<usize, Option<usize>>,
        doubted: &BTreeMap<usize, Option<usize>>,
    ) {
        for (at, own) in &self.members {
            if self.kind(*at) == Kind::Orphan {
                attach(plan, *at, own);
            }
        }
        for (at, rule) in &free {
            set(plan, *at, Decision::keep(KeepReason::SubjectKept, *rule));
        }
        loop {
            // Those that come of what was decided so far: in the next turn those that are attached to them.
            let next: Vec<usize> = free.keys().copied().filter(|at| self.owners_go(plan, *at)).collect();
            if next.is_empty() {
                break;
            }
            for at in next {
                let rule = free.remove(&at).flatten();
                let Some(own) = self.members.get(&at) else { continue };
                plan.wants_all |= own.doubt == Some(Doubt::Unread);
                if own.doubt.is_some() {
                    set(plan, at, Decision::keep(KeepReason::SubjectUnknown, rule));
                    continue;
                }
                let of_owner = || own.owners.iter().find_map(|owner| decision(plan, *owner)?.rule());
                let rule = rule.or_else(of_owner);
                set(plan, at, Decision::new(Verdict::Remove(RemoveReason::SubjectRemoved), rule));
                attach(plan, at, own);
            }
        }
        for (at, rule) in doubted {
            let doubt = self.members.get(at).and_then(|own| own.doubt);
            let reason = match doubt {
                _ if !self.owners_go(plan, *at) => KeepReason::SubjectKept,
                Some(_) => KeepReason::SubjectUnknown,
                None => KeepReason::MayBeInUse,
            };
            set(plan, *at, Decision::keep(reason, *rule));
        }
        // Which tags belong to others may turn out differently as well.
        plan.wants_all |= self.untold && plan.removed().next().is_some();
    }

    fn owners_go(&self, plan: &TagPlan, at: usize) -> bool {
        let goes = |owner: &usize| decision(plan, *owner).is_some_and(Decision::removes);
        self.members.get(&at).is_some_and(|own| own.owners.iter().all(goes))
    }
}

fn decision(plan: &TagPlan, at: usize) -> Option<Decision> {
    match plan.read.get(at) {
        Some(planned) => Some(planned.decision),
        None => plan.newer.get(at - plan.read.len()).map(|planned| planned.decision),
    }
}

fn set(plan: &mut TagPlan, at: usize, decision: Decision) {
    let read = plan.read.len();
    let own = match plan.read.get_mut(at) {
        Some(planned) => Some(&mut planned.decision),
        None => plan.newer.get_mut(at - read).map(|planned| &mut planned.decision),
    };
    if let Some(own) = own {
        *own = decision;
    }
}

fn attach(plan: &mut TagPlan, at: usize, own: &Attachment) {
    let name = |owner: &usize| plan.read.get(*owner).map(|planned| planned.tag.name.clone());
    let after = own.owners.iter().filter_map(name).collect();
    if let Some(planned) = plan.read.get_mut(at) {
        let subjects = own.subjects.iter().map(|subject| Box::from(&**subject)).collect();
        planned.attached = Some(Box::new(Attached { subjects, after }));
    }
}

/// The tags by what they have.
struct Tags<'t> {
    plan: &'t TagPlan,
    /// Each by its own digest and those of the images inside of it, in the order of the digests.
    holders: Vec<(&'t Digest, usize)>,
    /// Those that have referrers, by the digest of the referrer.
    referred: HashMap<&'t Digest, Vec<usize>>,
}

impl<'t> Tags<'t> {
    fn new(plan: &'t TagPlan, children: &'t Children) -> Self {
        let mut holders = Vec::with_capacity(plan.len());
        let mut referred: HashMap<&Digest, Vec<usize>> = HashMap::new();
        for (at, (tag, _)) in plan.iter().enumerate() {
            let inside = tag.digest.and_then(|digest| children.get(digest)).into_iter().flat_map(|inside| &**inside);
            holders.extend(tag.digest.into_iter().chain(inside).map(|digest| (digest, at)));
            for referrer in tag.referrers {
                referred.entry(referrer).or_default().push(at);
            }
        }
        holders.sort_unstable();
        Self { plan, holders, referred }
    }

    /// What may make the tag at this place an attachment.
    fn links(&self, at: usize, tag: &TagView<'_>) -> Box<[Link]> {
        let itself = |of: &Subject<'_>| tag.digest.is_some_and(|digest| of.is(digest));
        let named = attachment::subject(tag.name).filter(|of| !itself(of)).map(Subject::beginning);
        let refers = tag.digest.and_then(|digest| self.referred.get(digest));
        let mut told: BTreeMap<&Digest, Vec<usize>> = BTreeMap::new();
        for owner in refers.into_iter().flatten() {
            if let Some(digest) = self.plan.read.get(*owner).and_then(|owner| owner.tag.digest.as_ref()) {
                told.entry(digest).or_default().push(*owner);
            }
        }
        let named = named.map(|subject| (Arc::from(subject), None)).into_iter();
        let told = told.into_iter().map(|(subject, owners)| (Arc::from(&*subject.text()), Some(owners.into())));
        named
            .chain(told)
            .map(|(subject, told_of)| {
                let holders = self.holding(&subject).filter(|owner| *owner != at).collect();
                Link { subject, told_of, holders }
            })
            .collect()
    }

    fn holding<'a>(&'a self, beginning: &'a str) -> impl Iterator<Item = usize> + 'a {
        let from = Digest::new(beginning);
        let first = self.holders.partition_point(|(digest, _)| **digest < from);
        let from_there = self.holders.iter().skip(first);
        from_there.take_while(move |(digest, _)| digest.text().starts_with(beginning)).map(|(_, at)| *at)
    }
}

/// The tags that may contain images of which nobody knows.
struct Opaque {
    /// What is to be known of each tag: whether it is opaque, an index, an attachment.
    tags: Vec<(bool, bool, bool)>,
    images: usize,
    attachments: usize,
}

impl Opaque {
    fn new(traits: &[Traits], there: impl Fn(usize) -> bool, members: &BTreeMap<usize, Attachment>) -> Self {
        let of = |(at, tag): (usize, &Traits)| (tag.opaque && there(at), tag.is_index, members.contains_key(&at));
        let tags: Vec<(bool, bool, bool)> = traits.iter().enumerate().map(of).collect();
        let count = |attached: bool| tags.iter().filter(|tag| tag.0 && tag.2 == attached).count();
        let (images, attachments) = (count(false), count(true));
        Self { tags, images, attachments }
    }

    /// Whether a tag other than the attachment at this place and its owners may contain its subject.
    fn may_contain(&self, at: usize, owners: &[usize]) -> bool {
        let own = || owners.iter().filter_map(|owner| self.tags.get(*owner));
        if own().any(|(_, is_index, attached)| *is_index && !attached) {
            return false;
        }
        let excluded = |attached: bool| {
            let without = owners.iter().copied().chain([at]).filter_map(|place| self.tags.get(place));
            without.filter(|tag| tag.0 && tag.2 == attached).count()
        };
        let of_image = own().any(|(_, _, attached)| !attached);
        self.images > excluded(false) || (!of_image && self.attachments > excluded(true))
    }
}

#[cfg(test)]
mod tests;
