//! With which repository a run begins: that of which the run before said that its turn did not come, so that a deadline
//! which is too short for all of them leaves none out for ever.

use crate::api::PolicyStatus;
use crate::api::limits::MAX_REPOSITORY_PATH;

use super::repository_outcome::{End, Outcome, RepositoryReason};

/// Puts items that are sorted by their path in the order in which a run takes them: from this path on, and then those
/// before it.
pub fn begin_with<T>(items: &mut [T], path: impl Fn(&T) -> &str, first: &str) {
    let at = items.partition_point(|item| path(item) < first);
    if at < items.len() {
        items.rotate_left(at);
    }
}

/// Notes with which repository the next run begins: the first, in the order of this run, that it did not reach. A run
/// that ended before it had any to reach changes nothing.
pub fn note(status: &mut PolicyStatus, outcomes: &[Outcome], end: &End) {
    let not_reached = |outcome: &&Outcome| outcome.reason == Some(RepositoryReason::NotReached);
    match outcomes.iter().find(not_reached) {
        Some(first) => status.next_repository = Some(first.path.chars().take(MAX_REPOSITORY_PATH).collect()),
        None if *end == End::Completed => status.next_repository = None,
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::api::RepositoryResult;
    use crate::policy::repository_outcome::Stop;

    fn order(mut paths: Vec<&str>, first: &str) -> String {
        begin_with(&mut paths, |path| path, first);
        paths.concat()
    }

    #[rstest]
    #[case::from_there_on("c", "cdab")]
    #[case::from_the_first("a", "abcd")]
    #[case::that_is_gone("bb", "cdab")]
    #[case::that_was_the_last_and_is_gone("e", "abcd")]
    fn a_run_begins_where_the_last_one_did_not_come(#[case] first: &str, #[case] expected: &str) {
        assert_eq!(order(vec!["a", "b", "c", "d"], first), expected);
        assert_eq!(order(Vec::new(), first), "");
    }

    fn outcome(path: &str, reached: bool) -> Outcome {
        let reason = (!reached).then_some(RepositoryReason::NotReached);
        Outcome::new(path, 1, RepositoryResult::Skipped, reason)
    }

    #[test]
    fn only_a_run_that_came_through_forgets_where_to_begin() {
        let mut status = PolicyStatus::default();
        let deadline = End::Stopped(Stop::Deadline);
        note(&mut status, &[outcome("b", true), outcome("c", false), outcome("a", false)], &deadline);
        assert_eq!(status.next_repository.as_deref(), Some("c"));
        note(&mut status, &[], &deadline);
        assert_eq!(status.next_repository.as_deref(), Some("c"), "it did not even list them");
        note(&mut status, &[outcome("c", true)], &End::Completed);
        assert_eq!(status.next_repository, None);
    }

    proptest! {
        /// Whatever runs reach, as long as each reaches one: each repository has had its turn after as many runs.
        #[test]
        fn no_repository_is_left_out_for_ever(number in 1_usize..12, reach in proptest::collection::vec(1_usize..4, 12)) {
            let paths: Vec<String> = (0..number).map(|path| format!("shop/{path:02}")).collect();
            let mut status = PolicyStatus::default();
            let mut had = std::collections::HashSet::new();
            for reach in reach.into_iter().take(number) {
                let mut order = paths.clone();
                begin_with(&mut order, String::as_str, status.next_repository.as_deref().unwrap_or_default());
                let outcomes: Vec<Outcome> =
                    order.iter().enumerate().map(|(at, path)| outcome(path, at < reach)).collect();
                had.extend(order.into_iter().take(reach));
                let end = if reach < number { End::Stopped(Stop::Deadline) } else { End::Completed };
                note(&mut status, &outcomes, &end);
            }
            prop_assert_eq!(had.len(), number);
        }
    }
}
