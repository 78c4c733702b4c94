//! The reasons of verdicts for people who read the report: a sentence for each, and the few families by which they are
//! coloured.

use crate::policy::plan::{KeepReason, RemoveReason, Verdict};

/// What has one colour in the report. In the order in which they are drawn.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Family {
    /// What goes.
    Goes,
    /// What somebody uses.
    Use,
    /// What somebody said is to stay.
    Guarded,
    /// What is too new to go.
    Recent,
    /// What no rule is about.
    NotSelected,
    /// What stays because something is not known.
    Doubt,
}

impl Family {
    pub(super) const ALL: [Self; 6] =
        [Self::Goes, Self::Use, Self::Guarded, Self::Recent, Self::NotSelected, Self::Doubt];

    pub(super) fn of(verdict: Verdict) -> Self {
        use KeepReason as Keep;
        match verdict {
            Verdict::Remove(_) => Self::Goes,
            Verdict::Keep(Keep::InUse) => Self::Use,
            Verdict::Keep(
                Keep::Latest | Keep::Protected | Keep::KeptByPattern | Keep::ProtectedByGitLab | Keep::SubjectKept,
            ) => Self::Guarded,
            Verdict::Keep(Keep::PushedAgain | Keep::TooYoung | Keep::WithinKeepN) => Self::Recent,
            Verdict::Keep(Keep::NoRuleMatches | Keep::NoGroup | Keep::NoVersion) => Self::NotSelected,
            Verdict::Keep(
                Keep::SubjectUnknown | Keep::DateUnknown | Keep::MayBeInUse | Keep::DateTied | Keep::VersionTied,
            ) => Self::Doubt,
        }
    }

    /// The class of the style sheet, without its `f-`.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Goes => "go",
            Self::Use => "use",
            Self::Guarded => "guard",
            Self::Recent => "recent",
            Self::NotSelected => "none",
            Self::Doubt => "doubt",
        }
    }

    /// What it says behind a number of tags.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Goes => "would go",
            Self::Use => "in use",
            Self::Guarded => "protected",
            Self::Recent => "recent",
            Self::NotSelected => "not selected",
            Self::Doubt => "not certain",
        }
    }
}

/// Why tags go or stay, as a sentence about several.
pub(super) fn sentence(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Remove(RemoveReason::RuleMatches) => "A rule selects them and nothing keeps them.",
        Verdict::Remove(RemoveReason::SubjectRemoved) => "They belong to images whose last tag goes.",
        Verdict::Keep(reason) => match reason {
            KeepReason::Latest => "They are called latest.",
            KeepReason::Protected => "protect.nameRegex matches them.",
            KeepReason::InUse => "Workloads use their images.",
            KeepReason::NoRuleMatches => "No rule selects them.",
            KeepReason::KeptByPattern => "nameRegexKeep matches them, or they are attachments that stay with Bulk.",
            KeepReason::ProtectedByGitLab => "GitLab does not let this token remove them.",
            KeepReason::PushedAgain => "They were pushed after the moment of the plan.",
            KeepReason::SubjectKept => "They belong to images that stay.",
            KeepReason::SubjectUnknown => "They belong to images that may still be there.",
            KeepReason::NoGroup => "Their rule counts by group, and they are in none.",
            KeepReason::NoVersion => "Their rule sorts by version, and their names are none.",
            KeepReason::DateUnknown => "Their dates are not known.",
            KeepReason::TooYoung => "They are younger than their rule asks for.",
            KeepReason::MayBeInUse => "It is not known that nobody uses their images.",
            KeepReason::WithinKeepN => "They are among the newest that their rule keeps.",
            KeepReason::DateTied => "They share a date, so that it is not known which are the newest.",
            KeepReason::VersionTied => "They share a version, so that it is not known which are the highest.",
        },
    }
}
