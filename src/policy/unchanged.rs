//! Whether a repository cannot have come to have anything to remove since it was read: then it is passed over, without
//! reading a tag.
//!
//! What was read may only be relied on where every tag stayed for a reason that nothing but a push, an edit of the
//! policy or the passing of time can take away, and while neither has happened:
//!
//! - Nothing was pushed since the reading began, as GitLab tells, by a margin for clocks that differ.
//! - The policy is of the same generation. What is remembered does not outlive the operator, so it is of the same
//!   version.
//! - No tag went, or all that did are gone by GitLab's word, and none of the repository's tags was attached to another:
//!   what belonged to an image that is gone may go as well.
//! - No tag stayed because it is or may be in use, because GitLab protects it, because it was pushed again, or because
//!   something about it was not known: each may be otherwise without a push. Where none did, another list of images in
//!   use or another protection rule keeps more, and lets nothing go.
//! - The first of the tags that are too young has not come of age.
//! - It is not seven days since. What others remove by hand, and what nobody thought of, is seen by then.
//!
//! Whatever is wrong here, nothing is removed by it.

use jiff::{SignedDuration, Timestamp};

use super::age::Age;
use super::compile::Rule;
use super::plan::repository::RepositoryPlan;
use super::plan::{KeepReason, Verdict};
use super::source::Extent;
use super::tag::{CLOCKS_MAY_DIFFER, Moment, to_the_second};
use super::{CompiledPolicy, Method};

/// How long a reading is relied on at most.
pub const READ_AGAIN: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What is remembered of the reading of a repository in which there is nothing to remove, or nothing any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reading {
    path: Box<str>,
    /// That of the policy.
    generation: i64,
    /// When it began.
    at: Timestamp,
    /// By then something comes of age, or it is too long ago.
    until: Timestamp,
}

impl Reading {
    /// What a plan leaves to be remembered once all is gone that goes; nothing where it may be otherwise the next time.
    #[must_use]
    pub fn of(plan: &RepositoryPlan, policy: &CompiledPolicy, path: &str, generation: i64) -> Option<Self> {
        let Method::Exact(rules) = &policy.method else { return None };
        if let Extent::Pass { .. } = plan.source.extent {
            return None;
        }
        let (mut stays, mut goes) = (false, false);
        for (_, decision) in plan.tags.iter() {
            match decision.verdict {
                Verdict::Keep(reason) if is_lasting(reason) => stays = true,
                Verdict::Keep(_) => return None,
                Verdict::Remove(_) => goes = true,
            }
        }
        // A repository without tags is looked at for its own sake.
        if !stays || (goes && plan.tags.read.iter().any(|planned| planned.attached.is_some())) {
            return None;
        }
        let at = plan.source.at;
        let until = at.checked_add(READ_AGAIN).ok()?.min(first_of_age(plan, rules)?);
        Some(Self { path: path.into(), generation, at, until })
    }

    /// When it began.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Whether it can be relied on if nothing was pushed since.
    #[must_use]
    pub fn may_hold(&self, path: &str, generation: i64, now: Timestamp) -> bool {
        *self.path == *path && self.generation == generation && self.at <= now && now < self.until
    }

    /// Whether nothing was pushed since, of which this is the last push as GitLab tells it.
    #[must_use]
    pub fn is_newer_than(&self, push: Option<Timestamp>) -> bool {
        let known_by = |push: Timestamp| push.checked_add(CLOCKS_MAY_DIFFER).unwrap_or(Timestamp::MAX);
        push.is_some_and(|push| known_by(push) < self.at)
    }
}

/// Whether a tag that stays for this reason does so until it comes of age, something is pushed, or the policy is
/// edited.
const fn is_lasting(reason: KeepReason) -> bool {
    use KeepReason as K;
    match reason {
        K::Latest
        | K::Protected
        | K::NoRuleMatches
        | K::KeptByPattern
        | K::SubjectKept
        | K::NoGroup
        | K::NoVersion
        | K::TooYoung
        | K::WithinKeepN
        | K::VersionTied => true,
        K::InUse
        | K::ProtectedByGitLab
        | K::PushedAgain
        | K::SubjectUnknown
        | K::DateUnknown
        | K::MayBeInUse
        | K::DateTied => false,
    }
}

/// The first moment at which a tag that is too young may be old enough; nothing where that is not known.
fn first_of_age(plan: &RepositoryPlan, rules: &[Rule]) -> Option<Timestamp> {
    let mut first = Timestamp::MAX;
    for (tag, decision) in plan.tags.iter() {
        if decision.verdict != Verdict::Keep(KeepReason::TooYoung) || tag.pushed == Moment::Newer {
            continue;
        }
        let age = rules.get(decision.rule()?)?.older_than.as_ref()?;
        let Moment::At(pushed) = tag.pushed else { return None };
        first = first.min(of_age(pushed, age));
    }
    if plan.source.extent == Extent::All && plan.tags.newer.is_empty() {
        return Some(first);
    }
    // What was not read is younger than all that was.
    let youngest = plan.tags.read.iter().filter_map(|planned| match planned.tag.pushed {
        Moment::At(pushed) => Some(pushed),
        _ => None,
    });
    let youngest = youngest.max()?;
    for rule in rules {
        first = first.min(of_age(youngest, rule.older_than.as_ref()?));
    }
    Some(first)
}

/// By when a tag is old enough, at the earliest: dates are told in whole seconds.
fn of_age(pushed: Timestamp, age: &Age) -> Timestamp {
    to_the_second(pushed).checked_add(age.duration()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
