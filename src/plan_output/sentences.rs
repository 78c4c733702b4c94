//! What each verdict means, in a sentence for somebody who asks about one tag.

use crate::policy::plan::{KeepReason, RemoveReason, Verdict};

/// Why a tag stays or goes; it goes on after "it stays: " or "it would be removed: ".
#[must_use]
pub fn why(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Keep(reason) => keep(reason),
        Verdict::Remove(RemoveReason::RuleMatches) => "a rule removes it",
        Verdict::Remove(RemoveReason::SubjectRemoved) => "it is attached to an image whose last tag goes",
    }
}

fn keep(reason: KeepReason) -> &'static str {
    match reason {
        KeepReason::Latest => "it is called latest",
        KeepReason::Protected => "protect.nameRegex matches its name",
        KeepReason::InUse => "its image, or one inside of it, is in use",
        KeepReason::NoRuleMatches => "nameRegexDelete of no rule matches its name",
        KeepReason::KeptByPattern => {
            "nameRegexKeep of the rule matches its name, or it is an attachment that Bulk keeps"
        }
        KeepReason::ProtectedByGitLab => "GitLab does not let the token remove it",
        KeepReason::PushedAgain => "it was pushed since the moment as of which the plan was made, or may have been",
        KeepReason::SubjectKept => "it is attached to an image, such as a signature, and a tag of that image stays",
        KeepReason::SubjectUnknown => "it is attached to an image that may still be there",
        KeepReason::NoGroup => "the rule counts by groupBy, which does not match its name",
        KeepReason::NoVersion => "the rule sorts by version, and its name is none",
        KeepReason::DateUnknown => "nobody knows when it was pushed, and the rule goes by that",
        KeepReason::TooYoung => "it is younger than olderThan of the rule",
        KeepReason::MayBeInUse => "it is not known that nobody uses its image",
        KeepReason::WithinKeepN => "it is one of the keepN newest of the rule",
        KeepReason::DateTied => {
            "it shares its date with others across the border of keepN, so nobody knows which are newer"
        }
        KeepReason::VersionTied => "it shares its version with others across the border of keepN",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_has_a_sentence_of_its_own_that_can_follow_a_colon() {
        let keep = KeepReason::ALL.iter().map(|reason| why(Verdict::Keep(*reason)));
        let remove = RemoveReason::ALL.iter().map(|reason| why(Verdict::Remove(*reason)));
        let all: Vec<&str> = keep.chain(remove).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert!(all.iter().all(|sentence| !sentence.is_empty() && !sentence.ends_with('.')));
    }
}
