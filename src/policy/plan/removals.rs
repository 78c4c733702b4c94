//! The order in which tags may go: images first, then what is attached to them, then what is attached to that.

use std::collections::BTreeSet;

use super::decided::{Attached, PlannedTag, TagPlan};
use super::{RemoveReason, Verdict};
use crate::policy::tag::Tag;

/// The tags that go, in the order in which they may.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Removals {
    /// Images, and whatever else is no attachment.
    pub images: Vec<Tag>,
    /// Attachments, with what has to be gone before each. Those of one step do not depend on each other.
    pub steps: Vec<Vec<(Tag, Attached, RemoveReason)>>,
}

impl Removals {
    /// What of a plan goes.
    #[must_use]
    pub fn of(plan: TagPlan) -> Self {
        let mut removals = Removals::default();
        let mut rest = Vec::new();
        for PlannedTag { tag, decision, attached } in plan.into_read() {
            match (attached, decision.verdict) {
                (Some(attached), Verdict::Remove(reason)) => rest.push((tag, *attached, reason)),
                (None, Verdict::Remove(_)) => removals.images.push(tag),
                (_, Verdict::Keep(_)) => {}
            }
        }
        while !rest.is_empty() {
            let waiting: BTreeSet<Box<str>> = rest.iter().map(|(tag, _, _)| tag.name.clone()).collect();
            let (step, later): (Vec<_>, Vec<_>) = rest
                .into_iter()
                .partition(|(_, attached, _)| !attached.after.iter().any(|owner| waiting.contains(owner)));
            if step.is_empty() {
                // A circle, which is never decided to go.
                break;
            }
            removals.steps.push(step);
            rest = later;
        }
        removals
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.images.iter().chain(self.steps.iter().flatten().map(|(tag, _, _)| tag))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}
