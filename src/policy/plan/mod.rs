//! Which tags go and which stay, and why.
//!
//! [`exact`] is the plan that is carried out tag by tag; [`bulk`] foretells what GitLab's bulk deletion does. Both are
//! pure functions of the complete list of tags, make a [`TagPlan`] of it, and share the verdicts here. What equal dates
//! mean to `keepN` is in [`ties`].

pub mod attachments;
pub mod bulk;
mod decided;
pub mod doubt;
pub mod exact;
pub mod leftover;
pub mod removals;
pub mod replay;
pub mod repository;
pub mod ties;
pub mod version;

use crate::policy::audit::AuditVerdict;
use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::attachment;
use super::compile::Rule;
use super::pattern::Pattern;
use crate::words::words;

pub use decided::{Attached, Decision, PlannedName, PlannedTag, TagPlan};

/// What is decided about a tag.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Verdict {
    /// It stays, for this reason.
    Keep(KeepReason),
    /// It goes, for this reason.
    Remove(RemoveReason),
}

/// The tag goes because a rule says so.
const REMOVE: Verdict = Verdict::Remove(RemoveReason::RuleMatches);

words! {
/// Why a tag goes.
pub enum RemoveReason {
    /// A rule removes it.
    RuleMatches,
    /// It belongs to an image of which the last tag goes.
    SubjectRemoved,
}
}

words! {
/// Why a tag stays. Of several reasons the first of this list is given: what somebody decided comes before what GitLab
/// or the plan found, and a doubt about its use last of what is no matter of numbers, so that it says that nothing else
/// keeps the tag. The doubt depends on what was read of a tag; which tags were not read is told by their age.
pub enum KeepReason {
    /// It is called `latest`.
    Latest,
    /// `protect.nameRegex` matches it.
    Protected,
    /// Its image is in use.
    InUse,
    /// No rule matches it.
    NoRuleMatches,
    /// `nameRegexKeep` matches it; or it is an attachment, all of which GitLab's bulk deletion is told to keep.
    KeptByPattern,
    /// GitLab does not let this token remove it.
    ProtectedByGitLab,
    /// It was pushed since the moment as of which the plan was made.
    PushedAgain,
    /// It belongs to an image that stays.
    SubjectKept,
    /// It belongs to an image that may be there.
    SubjectUnknown,
    /// The rule counts per group, and the tag belongs to none.
    NoGroup,
    /// The rule ranks by version, and the name is none.
    NoVersion,
    /// Its date is not known, and only tags of a known age go.
    DateUnknown,
    /// It is younger than `olderThan`.
    TooYoung,
    /// It is not known that nobody uses its image.
    MayBeInUse,
    /// It is one of the `keepN` newest.
    WithinKeepN,
    /// It shares its date with others, some of which are among the `keepN` newest; nobody knows which.
    DateTied,
    /// It shares its version with others, some of which are among the `keepN` highest.
    VersionTied,
}
}

impl From<Verdict> for AuditVerdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Keep(_) => Self::Keep,
            Verdict::Remove(_) => Self::Remove,
        }
    }
}

impl Verdict {
    /// The verdict as it stands in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep(_) => "Keep",
            Self::Remove(_) => "Remove",
        }
    }

    /// Why, as it stands in reports.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Keep(reason) => reason.as_str(),
            Self::Remove(reason) => reason.as_str(),
        }
    }
}

/// Why tags stay, with how many, the most frequent reason first: `12 TooYoung, 5 WithinKeepN, 1 Latest`. Empty where
/// none stays.
#[must_use]
pub fn reasons_to_keep(verdicts: impl IntoIterator<Item = Verdict>) -> String {
    let mut reasons: Vec<(usize, KeepReason)> = Vec::new();
    for verdict in verdicts {
        let Verdict::Keep(reason) = verdict else { continue };
        match reasons.iter_mut().find(|(_, known)| *known == reason) {
            Some((number, _)) => *number += 1,
            None => reasons.push((1, reason)),
        }
    }
    reasons.sort_by_key(|(number, reason)| (Reverse(*number), reason.as_str()));
    let list: Vec<String> = reasons.iter().map(|(number, reason)| format!("{number} {}", reason.as_str())).collect();
    list.join(", ")
}

/// What the name alone decides about a tag, for GitLab's bulk deletion: a reason to stay, or nothing, which makes the
/// tag a candidate. `in_use` names the tags whose images are in use.
#[must_use]
pub fn decide_by_name(name: &str, rule: &Rule, protect: &[Pattern], in_use: &BTreeSet<Box<str>>) -> Option<KeepReason> {
    if name == "latest" {
        Some(KeepReason::Latest)
    } else if protect.iter().any(|pattern| pattern.matches(name)) {
        Some(KeepReason::Protected)
    } else if in_use.contains(name) {
        Some(KeepReason::InUse)
    } else if !rule.delete.matches(name) {
        Some(KeepReason::NoRuleMatches)
    } else if rule.keep.as_ref().is_some_and(|pattern| pattern.matches(name)) || attachment::subject(name).is_some() {
        Some(KeepReason::KeptByPattern)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
