//! What several passes over one repository come to: very large ones are planned and removed from part by part, the
//! oldest tags first.

use crate::api::limits::MAX_SAMPLES;
use crate::api::{RepositoryResult, TagCounts};
use crate::policy::repository_outcome::{Outcome, RepositoryReason};

/// Whether there is another pass after this one: nothing stood in its way.
#[must_use]
pub fn go_on_after(outcome: &Outcome) -> bool {
    matches!(outcome.reason, None | Some(RepositoryReason::NothingToRemove))
}

/// What passes come to, of which `before` is what those before the last came to. What they left is read again.
#[must_use]
pub fn together(before: &Outcome, last: Outcome) -> Outcome {
    let gone = before.tags.confirmed;
    if gone == 0 {
        return last;
    }
    let tags = TagCounts {
        scanned: gone + last.tags.scanned,
        matched: gone + last.tags.matched,
        requested: before.tags.requested + last.tags.requested,
        confirmed: gone + last.tags.confirmed,
        in_use: last.tags.in_use,
    };
    let samples = before.samples.iter().chain(&last.samples).take(MAX_SAMPLES).cloned().collect();
    let (result, reason) = match (last.result, last.reason) {
        (RepositoryResult::Unchanged, None | Some(RepositoryReason::NothingToRemove)) => {
            (RepositoryResult::Changed, None)
        }
        other => other,
    };
    let said = last.message.as_deref().unwrap_or_default();
    let message = Some(format!("{gone} tags were removed by passes before the last; {said}"));
    Outcome { result, reason, message, tags, samples, bytes: before.bytes + last.bytes, ..last }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::policy::repository_outcome::RepositoryName;

    const NAME: RepositoryName<'_> = RepositoryName { path: "shop/web", id: 7 };

    fn outcome(result: RepositoryResult, reason: Option<RepositoryReason>, counts: [u64; 5]) -> Outcome {
        let [scanned, matched, requested, confirmed, in_use] = counts;
        Outcome {
            tags: TagCounts { scanned, matched, requested, confirmed, in_use },
            message: Some("said".to_owned()),
            samples: vec![format!("of {scanned}")],
            bytes: confirmed,
            ..Outcome::of(NAME, result, reason)
        }
    }

    #[test]
    fn what_went_is_summed_up_and_what_stayed_is_counted_once() {
        let before = outcome(RepositoryResult::Changed, None, [100, 90, 90, 88, 3]);
        let both = together(&before, outcome(RepositoryResult::Changed, None, [52, 40, 40, 40, 3]));
        let counts = TagCounts { scanned: 140, matched: 128, requested: 130, confirmed: 128, in_use: 3 };
        assert_eq!((both.tags, both.bytes), (counts, 128));
        assert_eq!(both.samples, ["of 100", "of 52"]);
        assert_eq!(both.message.as_deref(), Some("88 tags were removed by passes before the last; said"));
        let three = together(&both, outcome(RepositoryResult::Changed, None, [20, 8, 8, 8, 3]));
        assert_eq!((three.tags.scanned, three.tags.confirmed), (148, 136));
    }

    #[rstest]
    #[case::nothing_was_left(
        RepositoryResult::Unchanged,
        Some(RepositoryReason::NothingToRemove),
        RepositoryResult::Changed,
        None
    )]
    #[case::it_failed(
        RepositoryResult::Failed,
        Some(RepositoryReason::AnswerLost),
        RepositoryResult::Failed,
        Some(RepositoryReason::AnswerLost)
    )]
    fn the_last_says_how_it_ended(
        #[case] result: RepositoryResult,
        #[case] reason: Option<RepositoryReason>,
        #[case] told: RepositoryResult,
        #[case] why: Option<RepositoryReason>,
    ) {
        let before = outcome(RepositoryResult::Changed, None, [100, 90, 90, 88, 3]);
        let both = together(&before, outcome(result, reason, [12, 0, 0, 0, 3]));
        assert_eq!((both.result, both.reason, both.tags.confirmed), (told, why, 88));
    }

    #[test]
    fn passes_that_removed_nothing_leave_no_trace_and_trouble_ends_them() {
        let nothing = outcome(RepositoryResult::Unchanged, Some(RepositoryReason::NothingToRemove), [100, 0, 0, 0, 0]);
        let last = outcome(RepositoryResult::Changed, None, [150, 40, 40, 40, 0]);
        assert_eq!(together(&nothing, last.clone()), last);
        assert!(go_on_after(&nothing) && go_on_after(&last));
        let trouble = outcome(RepositoryResult::Changed, Some(RepositoryReason::NotConfirmed), [100, 90, 90, 20, 0]);
        assert!(!go_on_after(&trouble));
    }
}
