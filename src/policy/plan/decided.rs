//! The tags of a repository, each with what is decided about it: what both methods plan, and what everybody reads who
//! carries a plan out or shows it. A tag and its decision are never apart.

use std::iter;

use super::{KeepReason, Verdict, reasons_to_keep};
use crate::policy::inventory::Inventory;
use crate::policy::tag::{Tag, TagView};

/// What is decided about a tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decision {
    /// What becomes of it, and why.
    pub verdict: Verdict,
    /// The rule that decided, by its place in the list. There are hundreds of thousands of decisions, and a few rules.
    rule: Option<u16>,
}

impl Decision {
    /// What holds until a rule says otherwise: the tag stays.
    pub const UNDECIDED: Self = Self { verdict: Verdict::Keep(KeepReason::NoRuleMatches), rule: None };

    /// What a rule decides, or none.
    #[must_use]
    pub fn new(verdict: Verdict, rule: Option<usize>) -> Self {
        // A policy has ten at most.
        Self { verdict, rule: rule.and_then(|rule| rule.try_into().ok()) }
    }

    /// The tag stays, for this reason.
    #[must_use]
    pub fn keep(reason: KeepReason, rule: Option<usize>) -> Self {
        Self::new(Verdict::Keep(reason), rule)
    }

    /// The rule that decided, by its place in the list.
    #[must_use]
    pub fn rule(self) -> Option<usize> {
        self.rule.map(usize::from)
    }

    /// Whether the tag goes.
    #[must_use]
    pub fn removes(self) -> bool {
        matches!(self.verdict, Verdict::Remove(_))
    }
}

/// A tag that was read, with what is decided about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlannedTag {
    /// The tag.
    pub tag: Tag,
    /// The decision.
    pub decision: Decision,
    /// To what it is attached, if it goes and is no image.
    pub attached: Option<Box<Attached>>,
}

impl PlannedTag {
    /// Whether it stays because of how many others are newer.
    #[must_use]
    pub const fn stays_by_number(&self) -> bool {
        matches!(self.decision.verdict, Verdict::Keep(KeepReason::WithinKeepN | KeepReason::DateTied))
    }
}

/// To what a tag is attached that goes: a signature, an attestation or another referrer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Attached {
    /// The digests of its subject, or how they begin.
    pub subjects: Box<[Box<str>]>,
    /// The tags that have its subject, or contain it: all of them go, and have to be gone before it.
    pub after: Box<[Box<str>]>,
}

/// A tag that is known by its name only, since it is newer than those that were read. It stays, whatever is decided.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlannedName {
    /// Its name.
    pub name: Box<str>,
    /// The decision.
    pub decision: Decision,
}

/// All tags that are known of a repository, each with what is decided about it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TagPlan {
    /// Tags that were read.
    pub read: Vec<PlannedTag>,
    /// Tags that were not read, because they are newer than every cut-off.
    pub newer: Vec<PlannedName>,
    /// More may go, or less, once every tag is read: it is not known what some are attached to.
    pub wants_all: bool,
}

impl TagPlan {
    /// The tags of an inventory, of which all stay until something else is decided.
    #[must_use]
    pub fn undecided(inventory: Inventory) -> Self {
        let Inventory { read, newer, .. } = inventory;
        let decision = Decision::UNDECIDED;
        Self {
            read: each_moved(read, |tag| PlannedTag { tag, decision, attached: None }),
            newer: newer.into_iter().map(|name| PlannedName { name, decision }).collect(),
            wants_all: false,
        }
    }

    /// The tags without what is decided about them, to be planned again in the same context.
    #[must_use]
    pub fn into_inventory(self) -> Inventory {
        Inventory {
            read: each_moved(self.read, |planned| planned.tag),
            newer: self.newer.into_iter().map(|planned| planned.name).collect(),
            ..Inventory::default()
        }
    }

    /// The tags that were read, in their order, for a list of some of them.
    pub fn into_read(self) -> impl Iterator<Item = PlannedTag> {
        drained(self.read)
    }

    /// Every tag with its decision: those that were read, then the newer ones.
    pub fn iter(&self) -> impl Iterator<Item = (TagView<'_>, Decision)> + Clone {
        let read = self.read.iter().map(|planned| (planned.tag.view(), planned.decision));
        read.chain(self.newer.iter().map(|planned| (TagView::newer(&planned.name), planned.decision)))
    }

    /// Every tag with its decision, to be decided.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (TagView<'_>, &mut Decision)> {
        let read = self.read.iter_mut().map(|planned| (planned.tag.view(), &mut planned.decision));
        read.chain(self.newer.iter_mut().map(|planned| (TagView::newer(&planned.name), &mut planned.decision)))
    }

    /// How many tags are known of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read.len() + self.newer.len()
    }

    /// Whether no tag is known of.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tags that go.
    pub fn removed(&self) -> impl Iterator<Item = &Tag> {
        self.read.iter().filter(|planned| planned.decision.removes()).map(|planned| &planned.tag)
    }

    /// How many tags go.
    #[must_use]
    pub fn removals(&self) -> u64 {
        self.removed().count() as u64
    }

    /// Whether GitLab protects every tag that was read from this token, as it says. At least one.
    #[must_use]
    pub fn all_protected(&self) -> bool {
        !self.read.is_empty() && self.read.iter().all(|planned| planned.tag.protected)
    }

    /// How many tags stay because GitLab protects them.
    #[must_use]
    pub fn protected(&self) -> usize {
        let protected = Verdict::Keep(KeepReason::ProtectedByGitLab);
        self.iter().filter(|(_, decision)| decision.verdict == protected).count()
    }

    /// The size in bytes of the tags that go, as far as it is known.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.removed().filter_map(|tag| tag.bytes).sum()
    }

    /// The tags that stay because they are in use, or may be.
    pub fn in_use(&self) -> impl Iterator<Item = TagView<'_>> {
        let in_use =
            |decision: Decision| matches!(decision.verdict, Verdict::Keep(KeepReason::InUse | KeepReason::MayBeInUse));
        self.iter().filter(move |(_, decision)| in_use(*decision)).map(|(tag, _)| tag)
    }

    /// Why tags stay, with how many: `12 TooYoung, 5 WithinKeepN, 1 Latest`. Empty where none is known to stay.
    #[must_use]
    pub fn kept(&self) -> String {
        reasons_to_keep(self.iter().map(|(_, decision)| decision.verdict))
    }

    /// Forgets the tags that stay.
    pub fn retain_removed(&mut self) {
        self.read.retain(|planned| planned.decision.removes());
        self.read.shrink_to_fit();
        self.newer = Vec::new();
    }
}

/// After how many items a list gives back the memory of those that were taken out.
const GIVEN_BACK: usize = 4096;

/// The items of a list, in their order. Two lists of all tags of a large repository would be half of what its plan
/// takes, so this one shrinks while another grows.
fn drained<T>(mut from: Vec<T>) -> impl Iterator<Item = T> {
    from.reverse();
    iter::from_fn(move || {
        let item = from.pop()?;
        if from.len().is_multiple_of(GIVEN_BACK) {
            from.shrink_to_fit();
        }
        Some(item)
    })
}

/// The same items in another form, in their order.
fn each_moved<T, U>(from: Vec<T>, form: impl Fn(T) -> U) -> Vec<U> {
    let mut to = Vec::with_capacity(from.len());
    to.extend(drained(from).map(form));
    to
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::plan::RemoveReason;
    use crate::policy::tag::{Manifest, Moment};

    fn tag(name: &str, protected: bool, bytes: Option<u64>) -> Tag {
        Tag {
            name: name.into(),
            digest: None,
            pushed: Moment::Unknown,
            push_told: true,
            created: Moment::Unknown,
            single_image: true,
            protected,
            bytes,
            manifest: Manifest::default(),
        }
    }

    fn plan(tags: &[Tag], newer: &[&str]) -> TagPlan {
        let newer = newer.iter().map(|name| Box::from(*name)).collect();
        TagPlan::undecided(Inventory { read: tags.to_vec(), newer, ..Inventory::default() })
    }

    #[test]
    fn what_is_planned_again_has_every_tag_also_those_that_were_only_named() {
        let again = plan(&[tag("old", false, None)], &["young"]).into_inventory();
        assert_eq!((again.read, again.newer), (vec![tag("old", false, None)], vec![Box::from("young")]));
    }

    #[test]
    fn all_are_protected_if_each_is_and_there_is_one() {
        let of = |protected: &[bool]| {
            let tags: Vec<Tag> = protected.iter().map(|protected| tag("a", *protected, None)).collect();
            plan(&tags, &["young"]).all_protected()
        };
        assert_eq!([of(&[]), of(&[true]), of(&[true, false]), of(&[false])], [false, true, false, false]);
    }

    #[test]
    fn what_gitlab_protects_is_counted_and_what_goes_is_summed_up() {
        let mut plan = plan(&[tag("a", true, Some(5)), tag("b", false, Some(7)), tag("c", false, None)], &["d", "e"]);
        assert_eq!((plan.protected(), plan.bytes()), (0, 0));
        for (tag, decision) in plan.iter_mut() {
            decision.verdict = match tag.name {
                "b" | "c" => Verdict::Remove(RemoveReason::RuleMatches),
                _ => Verdict::Keep(KeepReason::ProtectedByGitLab),
            };
        }
        assert_eq!((plan.protected(), plan.bytes(), plan.removals()), (3, 7, 2));
        let words: Vec<&str> = plan.iter().map(|(_, decision)| decision.verdict.as_str()).collect();
        assert_eq!(words, ["Keep", "Remove", "Remove", "Keep", "Keep"]);
    }

    #[test]
    fn items_keep_their_order_when_they_move() {
        let many = 2 * GIVEN_BACK + 7;
        assert_eq!(each_moved((0..many).collect(), |number| number + 1), (1..=many).collect::<Vec<_>>());
        assert!(each_moved(Vec::<u8>::new(), |number| number).is_empty());
    }
}
