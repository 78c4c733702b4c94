//! What a repository without tags comes to: which of them are looked at and in which order, why one stays, and what is
//! said of one that goes.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::api::{EmptyRepository, RepositoryResult};
use crate::policy::empty_repository::{KeptBecause, Observation, Rule, observe, since};
use crate::policy::repository_outcome::{Outcome, RepositoryName, RepositoryReason};

/// The repository that is most likely to show tags whenever it is asked: what was requested may still go.
#[must_use]
pub fn witness(outcomes: &[Outcome]) -> Option<u64> {
    let left = |outcome: &Outcome, gone: u64| outcome.tags.scanned.saturating_sub(gone);
    let shows = outcomes.iter().filter(|outcome| left(outcome, outcome.tags.confirmed) > 0);
    let best =
        shows.max_by_key(|outcome| (left(outcome, outcome.tags.requested), left(outcome, outcome.tags.confirmed)));
    best.map(|outcome| outcome.id)
}

/// A repository that may be empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Turn {
    /// Its place among the repositories.
    pub repository: usize,
    /// The place of its outcome.
    pub outcome: usize,
    /// Since when runs have seen it empty.
    pub since: Option<Timestamp>,
}

/// The repositories that look empty, in the order in which they are looked at. Each comes with when it was created.
pub fn turns<'a>(
    repositories: impl IntoIterator<Item = (RepositoryName<'a>, Timestamp)>,
    watched: &[EmptyRepository],
    outcomes: &[Outcome],
    rule: &Rule,
    now: Timestamp,
) -> Vec<Turn> {
    let places: HashMap<u64, usize> = outcomes.iter().enumerate().map(|(place, outcome)| (outcome.id, place)).collect();
    let mut turns: Vec<_> = repositories
        .into_iter()
        .enumerate()
        .filter_map(|(repository, (name, created))| {
            let outcome = *places.get(&name.id)?;
            let since = since(watched, name.id, name.path);
            let empty = observe(outcomes.get(outcome)?) == Observation::Empty;
            let order = (rule.turn(created, since, now), name.id);
            empty.then_some((order, Turn { repository, outcome, since }))
        })
        .collect();
    turns.sort_by(|(one, _), (other, _)| one.cmp(other));
    turns.into_iter().map(|(_, turn)| turn).collect()
}

/// Says why a repository stays.
pub fn keep(outcome: &mut Outcome, because: &KeptBecause) {
    outcome.result = RepositoryResult::Unchanged;
    outcome.reason = Some(RepositoryReason::RepositoryEmpty);
    outcome.message = Some(because.to_string());
}

/// What became of a repository that may be deleted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Deletion {
    /// Nothing: the run only tells.
    WouldBe,
    /// GitLab was asked to delete it.
    Requested,
    /// GitLab protects it.
    Protected,
}

/// Says what became of a repository that runs saw empty `since` then. `again` says that GitLab failed to delete it
/// before.
pub fn delete(outcome: &mut Outcome, deletion: Deletion, since: Timestamp, again: bool) {
    let (result, reason, what) = match deletion {
        Deletion::WouldBe => (RepositoryResult::Changed, RepositoryReason::RepositoryDeleted, "would be deleted"),
        Deletion::Requested => {
            (RepositoryResult::Changed, RepositoryReason::RepositoryDeleted, "GitLab was asked to delete it")
        }
        Deletion::Protected => {
            (RepositoryResult::Skipped, RepositoryReason::RepositoryProtected, "GitLab protects it from being deleted")
        }
    };
    let again = if again && deletion != Deletion::Protected { "; GitLab failed to delete it before" } else { "" };
    outcome.result = result;
    outcome.reason = Some(reason);
    outcome.message = Some(format!("empty since {since}; {what}{again}"));
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::api::{EmptyRepositoriesSpec, TagCounts};
    use crate::policy::empty_repository::{Doubt, watch};

    const DAY: i64 = 24 * 3600;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * DAY).unwrap()
    }

    fn outcome(id: u64, scanned: u64, requested: u64, confirmed: u64) -> Outcome {
        let reason = (scanned == 0).then_some(RepositoryReason::NothingToRemove);
        let name = RepositoryName { path: "shop/web", id };
        Outcome {
            tags: TagCounts { scanned, requested, confirmed, ..TagCounts::default() },
            ..Outcome::of(name, RepositoryResult::Unchanged, reason)
        }
    }

    #[test]
    fn the_witness_is_the_repository_that_most_tags_are_left_in_whatever_still_goes() {
        assert_eq!(witness(&[outcome(1, 0, 0, 0)]), None);
        assert_eq!(witness(&[outcome(1, 5, 5, 5)]), None, "all of it is gone");
        assert_eq!(witness(&[outcome(1, 5, 5, 4), outcome(2, 2, 0, 0)]), Some(2));
        assert_eq!(witness(&[outcome(1, 9, 3, 3), outcome(2, 7, 0, 0)]), Some(2));
        assert_eq!(witness(&[outcome(1, 9, 9, 1), outcome(2, 9, 9, 5)]), Some(1), "something may be left");
    }

    #[test]
    fn repositories_that_look_empty_take_turns() {
        let rule = EmptyRepositoriesSpec { delete_older_than: "30d".to_owned(), include_root: None };
        let rule = Rule::compile(&rule).unwrap();
        let name = |id| RepositoryName { path: "shop/web", id };
        let repositories = [(name(1), at(60)), (name(2), at(1)), (name(3), at(0)), (name(4), at(0)), (name(5), at(1))];
        let outcomes = [outcome(5, 0, 0, 0), outcome(4, 1, 0, 0), outcome(2, 0, 0, 0), outcome(1, 0, 0, 0)];
        let watched = [watch(1, "shop/web", at(98)), watch(2, "shop/elsewhere", at(90))];
        let turns = turns(repositories, &watched, &outcomes, &rule, at(100));
        // The one that is watched first; then those of the same age by their id. 3 has no outcome, 4 has a tag.
        let expected = [(0, 3, Some(at(98))), (1, 2, None), (4, 0, None)];
        assert_eq!(turns.iter().map(|turn| (turn.repository, turn.outcome, turn.since)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_repository_that_stays_says_why() {
        let mut kept = outcome(1, 0, 0, 0);
        keep(&mut kept, &KeptBecause::Doubtful(Doubt::NotCounted));
        assert_eq!((kept.result, kept.reason), (RepositoryResult::Unchanged, Some(RepositoryReason::RepositoryEmpty)));
        assert_eq!(kept.message.unwrap(), "lists no tags, but may have some: GitLab does not count its tags");
    }

    #[rstest]
    #[case(Deletion::WouldBe, true, "would be deleted")]
    #[case(Deletion::Requested, true, "GitLab was asked to delete it")]
    #[case(Deletion::Protected, false, "GitLab protects it from being deleted")]
    fn a_repository_that_goes_says_since_when_it_was_empty(
        #[case] deletion: Deletion,
        #[case] deletes: bool,
        #[case] text: &str,
    ) {
        for again in [false, true] {
            let mut of = outcome(1, 0, 0, 0);
            delete(&mut of, deletion, at(1), again);
            assert_eq!(of.deletes(), deletes);
            assert_eq!(of.result == RepositoryResult::Changed, deletes);
            let before = if again && deletes { "; GitLab failed to delete it before" } else { "" };
            assert_eq!(of.message.unwrap(), format!("empty since 1970-01-02T00:00:00Z; {text}{before}"));
        }
    }
}
