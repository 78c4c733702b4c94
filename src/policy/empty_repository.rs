//! Repositories without tags: whether one is proved to have none, and whether it may be deleted for that.
//!
//! That there is nothing is hard to prove. When its registry fails, GitLab lists no tags, and counts none; both come
//! from the registry, so both fail together, and may go on failing for days. That two runs a day apart agree rules out
//! what passes within a day. Against what lasts longer, the registry must show each time that it answers:
//!
//! - A size of zero is an answer about this very repository: a size that GitLab could not get is nothing, not zero.
//! - Where no size is known of any repository (no metadata database), another repository of the same run must show tags
//!   right after. If it does show them, and a size as well, then the registry knows sizes and failed to tell this one.
//!
//! What is left is a registry without metadata database that fails for one repository only, in the same way on two
//! days.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::conditions::shorten;
use crate::api::limits::{MAX_EMPTY_REPOSITORIES, MAX_REPOSITORY_PATH};
use crate::api::{EmptyRepositoriesSpec, EmptyRepository, RepositoryResult};
use crate::model::RepositoryContents;

use super::age::{Age, InvalidAge};
use super::in_use::Users;
use super::repository_outcome::{Outcome, RepositoryReason};

/// How far apart two runs have to be that agree.
pub const APART: SignedDuration = SignedDuration::from_hours(24);

/// Which repositories without tags may be deleted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    older_than: Age,
    include_root: bool,
}

impl Rule {
    /// Compiles the spec.
    ///
    /// # Errors
    /// When `deleteOlderThan` is no age.
    pub fn compile(spec: &EmptyRepositoriesSpec) -> Result<Self, InvalidAge> {
        let older_than = Age::parse(&spec.delete_older_than)?;
        Ok(Self { older_than, include_root: spec.include_root.unwrap_or(false) })
    }

    /// From when on a repository is old enough.
    fn of_age(&self, created: Timestamp) -> Timestamp {
        created.checked_add(self.older_than.duration()).unwrap_or(Timestamp::MAX)
    }

    /// What keeps a repository whatever it holds. `root`: it has the path of its project.
    ///
    /// # Errors
    /// Why it stays.
    pub fn admits(&self, root: bool) -> Result<(), KeptBecause> {
        if root && !self.include_root { Err(KeptBecause::Root) } else { Ok(()) }
    }

    /// Whether a repository that is proved to be empty now, and that runs saw empty `since` then, may be deleted.
    ///
    /// # Errors
    /// Why it stays.
    pub fn judge(&self, created: Timestamp, since: Timestamp, now: Timestamp) -> Result<(), KeptBecause> {
        let until = since.checked_add(APART).unwrap_or(Timestamp::MAX);
        let of_age = self.of_age(created);
        if of_age >= now {
            return Err(KeptBecause::TooYoung { since, until: of_age.max(until) });
        }
        if until > now { Err(KeptBecause::SeenOnce { since, until }) } else { Ok(()) }
    }

    /// What the repositories are sorted by to find whose turn it is to be watched: first those that are old enough,
    /// then those that have been watched for longest, then the oldest.
    #[must_use]
    pub fn turn(&self, created: Timestamp, since: Option<Timestamp>, now: Timestamp) -> impl Ord + use<> {
        (self.of_age(created) >= now, since.unwrap_or(Timestamp::MAX), created)
    }
}

/// What GitLab says a repository holds, where some tags were listed: those count like the ones that it counted.
#[must_use]
pub fn with_listed(told: RepositoryContents, listed: usize) -> RepositoryContents {
    let listed = u64::try_from(listed).unwrap_or(u64::MAX);
    RepositoryContents { tags: told.tags.map(|counted| counted.max(listed)), ..told }
}

/// Whether a repository that lists no tags is proved to have none. `witness` is another repository, that showed tags in
/// this run, asked after this one.
///
/// # Errors
/// Why it may have tags all the same.
pub fn prove(holds: RepositoryContents, witness: Option<RepositoryContents>) -> Result<(), Doubt> {
    match holds {
        RepositoryContents { tags: None, .. } => return Err(Doubt::NotCounted),
        RepositoryContents { tags: Some(tags @ 1..), .. } => return Err(Doubt::Counted(tags)),
        RepositoryContents { bytes: Some(bytes @ 1..), .. } => return Err(Doubt::Size(bytes)),
        RepositoryContents { tags: Some(0), bytes: None | Some(0) } => {}
    }
    match witness {
        None if holds.bytes.is_none() => Err(Doubt::NoWitness),
        Some(RepositoryContents { tags: None | Some(0), .. }) => Err(Doubt::WitnessSilent),
        Some(RepositoryContents { bytes: Some(_), .. }) if holds.bytes.is_none() => Err(Doubt::SizeUnknown),
        _ => Ok(()),
    }
}

/// Why a repository that lists no tags may have some all the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Doubt {
    /// The server is too old to count.
    #[error("GitLab does not count its tags")]
    NotCounted,
    /// The count says otherwise.
    #[error("GitLab counts {0} in it")]
    Counted(u64),
    /// The size says otherwise.
    #[error("the registry says that it holds {0} bytes")]
    Size(u64),
    /// Nothing shows that the registry answers.
    #[error("no other repository of this run has tags, so the registry may be failing altogether")]
    NoWitness,
    /// What had tags in this run has none now.
    #[error("a repository that had tags in this run shows none now, so the registry may be failing")]
    WitnessSilent,
    /// The registry answers for another repository, not for this one.
    #[error("the registry tells the size of others and not of this one")]
    SizeUnknown,
}

/// Why a repository without tags stays.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeptBecause {
    /// Somebody uses its images.
    InUse(Users),
    /// It has the path of its project, and the policy does not include those.
    Root,
    /// GitLab reports something about it that is not known here.
    UnknownStatus,
    /// It may not be empty.
    Doubtful(Doubt),
    /// Right before its deletion it was not seen to be empty any more.
    NotStill,
    /// Too many others are watched.
    NoRoom,
    /// It was created not long ago enough.
    TooYoung {
        /// When a run first saw it empty.
        since: Timestamp,
        /// From when on it may go.
        until: Timestamp,
    },
    /// A later run has to see it.
    SeenOnce {
        /// When a run first saw it empty.
        since: Timestamp,
        /// From when on it may go.
        until: Timestamp,
    },
    /// Only a preview has seen it.
    Previewed,
    /// The mode is `RequireApproval`, which deletes no repositories.
    Approval {
        /// When a run first saw it empty.
        since: Timestamp,
    },
}

impl fmt::Display for KeptBecause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(users) => write!(f, "empty; kept because its images are in use by {users}"),
            Self::Root => {
                f.write_str("empty; kept as the root repository of its project (emptyRepositories.includeRoot)")
            }
            Self::UnknownStatus => f.write_str("empty; kept because GitLab reports a status that is not known here"),
            Self::Doubtful(doubt) => write!(f, "lists no tags, but may have some: {doubt}"),
            Self::NotStill => f.write_str(
                "had no tags a moment ago; kept because it was not seen to have none right before its deletion",
            ),
            Self::NoRoom => {
                write!(f, "empty; it is watched once there are fewer than {MAX_EMPTY_REPOSITORIES} others before it")
            }
            Self::TooYoung { since, until } => {
                write!(f, "empty since {since}; younger than deleteOlderThan, may go from {until} on")
            }
            Self::SeenOnce { since, until } => write!(f, "empty since {since}; may go from {until} on"),
            Self::Previewed => {
                f.write_str("empty; may go once two runs, a day apart, have seen it (a preview is none)")
            }
            Self::Approval { since } => write!(f, "empty since {since}; not deleted in the mode RequireApproval"),
        }
    }
}

/// What a run saw of a repository.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Observation {
    /// No tag.
    Empty,
    /// Nothing: its turn did not come.
    NotTaken,
    /// A tag, an error, or something that kept it from looking.
    Other,
}

/// What the work on the tags of a repository says about its emptiness.
#[must_use]
pub fn observe(outcome: &Outcome) -> Observation {
    match (outcome.result, outcome.reason) {
        _ if outcome.tags.scanned > 0 => Observation::Other,
        (RepositoryResult::Unchanged, Some(RepositoryReason::NothingToRemove)) => Observation::Empty,
        (RepositoryResult::Skipped, Some(RepositoryReason::NotReached)) => Observation::NotTaken,
        _ => Observation::Other,
    }
}

/// Since when runs have seen a repository empty. A repository that was moved is another one.
#[must_use]
pub fn since(watched: &[EmptyRepository], id: u64, path: &str) -> Option<Timestamp> {
    let path = shorten(path, MAX_REPOSITORY_PATH);
    watched.iter().find(|known| known.id == id && known.path == path).map(|known| known.since.0)
}

/// A repository as it is watched. To the second, which is what a status can hold.
#[must_use]
pub fn watch(id: u64, path: &str, since: Timestamp) -> EmptyRepository {
    let since = Timestamp::from_second(since.as_second()).unwrap_or(since);
    EmptyRepository { id, path: shorten(path, MAX_REPOSITORY_PATH), since: Time(since) }
}

/// What is still watched after a run that did not get to look for emptiness itself.
#[must_use]
pub fn still(watched: &[EmptyRepository], outcomes: &[Outcome]) -> Vec<EmptyRepository> {
    let kept = |known: &&EmptyRepository| {
        let outcome = outcomes.iter().find(|outcome| outcome.id == known.id);
        outcome.is_some_and(|outcome| {
            observe(outcome) != Observation::Other && since(watched, outcome.id, &outcome.path).is_some()
        })
    };
    watched.iter().filter(kept).cloned().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::api::TagCounts;

    const DAY: i64 = 24 * 3600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn rule(include_root: Option<bool>) -> Rule {
        Rule::compile(&EmptyRepositoriesSpec { delete_older_than: "30d".to_owned(), include_root }).unwrap()
    }

    fn holds(tags: impl Into<Option<u64>>, bytes: impl Into<Option<u64>>) -> RepositoryContents {
        RepositoryContents { tags: tags.into(), bytes: bytes.into() }
    }

    #[rstest]
    #[case::said_by_the_registry(holds(0, 0), None, Ok(()))]
    #[case::said_by_the_registry_and_the_witness(holds(0, 0), Some(holds(3, 7)), Ok(()))]
    #[case::no_sizes_at_all(holds(0, None), Some(holds(3, None)), Ok(()))]
    #[case::an_old_server(holds(None, 0), Some(holds(3, 7)), Err(Doubt::NotCounted))]
    #[case::counted(holds(1, 0), Some(holds(3, 7)), Err(Doubt::Counted(1)))]
    #[case::a_size(holds(0, 1), Some(holds(3, 7)), Err(Doubt::Size(1)))]
    #[case::nobody_to_compare_with(holds(0, None), None, Err(Doubt::NoWitness))]
    #[case::a_silent_witness(holds(0, 0), Some(holds(0, 0)), Err(Doubt::WitnessSilent))]
    #[case::a_witness_that_cannot_be_asked(holds(0, 0), Some(RepositoryContents::default()), Err(Doubt::WitnessSilent))]
    #[case::a_silent_witness_without_sizes(holds(0, None), Some(holds(0, None)), Err(Doubt::WitnessSilent))]
    #[case::only_this_size_is_missing(holds(0, None), Some(holds(3, 7)), Err(Doubt::SizeUnknown))]
    #[case::only_this_size_is_missing_and_the_other_is_nothing(
        holds(0, None),
        Some(holds(3, 0)),
        Err(Doubt::SizeUnknown)
    )]
    fn emptiness_is_proved_by_an_answer_never_by_silence(
        #[case] candidate: RepositoryContents,
        #[case] witness: Option<RepositoryContents>,
        #[case] expected: Result<(), Doubt>,
    ) {
        assert_eq!(prove(candidate, witness), expected);
    }

    #[test]
    fn tags_that_are_listed_count_as_well_but_no_count_is_made_of_them() {
        let told = |counted, listed| with_listed(holds(counted, 5), listed);
        assert_eq!([told(Some(0), 3), told(Some(4), 3)], [holds(3, 5), holds(4, 5)]);
        assert_eq!(told(None, 3), holds(None, 5));
    }

    proptest! {
        #[test]
        fn a_registry_that_fails_altogether_proves_nothing(witnessed in any::<bool>()) {
            // What GitLab says then: no tags and no sizes, of any repository.
            let failing = holds(0, None);
            prop_assert!(prove(failing, witnessed.then_some(failing)).is_err());
        }

        #[test]
        fn what_holds_anything_by_either_account_is_never_proved_empty(
            tags in proptest::option::of(0_u64..3),
            bytes in proptest::option::of(0_u64..3),
            witness in proptest::option::of((proptest::option::of(0_u64..3), proptest::option::of(0_u64..3))),
        ) {
            let witness = witness.map(|(tags, bytes)| holds(tags, bytes));
            if tags != Some(0) || bytes > Some(0) {
                prop_assert!(prove(holds(tags, bytes), witness).is_err());
            }
        }
    }

    #[rstest]
    #[case::long_ago_and_a_day_apart(0, 50 * DAY, 51 * DAY, true)]
    #[case::a_second_less_than_a_day_apart(0, 50 * DAY, 51 * DAY - 1, false)]
    #[case::just_seen(0, 50 * DAY, 50 * DAY, false)]
    #[case::exactly_of_age(0, 10 * DAY, 30 * DAY, false)]
    #[case::a_second_older(0, 10 * DAY, 30 * DAY + 1, true)]
    #[case::far_too_young(29 * DAY, 10 * DAY, 30 * DAY, false)]
    #[case::created_in_the_future(90 * DAY, 10 * DAY, 80 * DAY, false)]
    fn a_repository_goes_when_it_is_old_enough_and_two_runs_a_day_apart_agree(
        #[case] created: i64,
        #[case] since: i64,
        #[case] now: i64,
        #[case] goes: bool,
    ) {
        assert_eq!(rule(None).judge(at(created), at(since), at(now)).is_ok(), goes);
    }

    #[test]
    fn what_keeps_it_says_from_when_on_it_may_go() {
        let young = rule(None).judge(at(0), at(29 * DAY), at(29 * DAY)).unwrap_err();
        assert_eq!(young, KeptBecause::TooYoung { since: at(29 * DAY), until: at(30 * DAY) });
        let later = rule(None).judge(at(0), at(30 * DAY - 1), at(30 * DAY)).unwrap_err();
        assert_eq!(later, KeptBecause::TooYoung { since: at(30 * DAY - 1), until: at(31 * DAY - 1) });
        let once = rule(None).judge(at(0), at(40 * DAY), at(40 * DAY)).unwrap_err();
        assert_eq!(once.to_string(), "empty since 1970-02-10T00:00:00Z; may go from 1970-02-11T00:00:00Z on");
    }

    #[rstest]
    #[case(None, true, false)]
    #[case(Some(false), true, false)]
    #[case(Some(true), true, true)]
    #[case(None, false, true)]
    fn a_root_repository_goes_only_if_it_is_included(
        #[case] include: Option<bool>,
        #[case] root: bool,
        #[case] goes: bool,
    ) {
        assert_eq!(rule(include).admits(root).is_ok(), goes);
    }

    #[test]
    fn the_turn_is_of_the_old_enough_first_then_of_the_longest_watched_then_of_the_oldest() {
        let rule = rule(None);
        let now = at(100 * DAY);
        let turn = |created, since: Option<i64>| rule.turn(at(created * DAY), since.map(|day| at(day * DAY)), now);
        assert!(turn(60, Some(98)) < turn(1, Some(99)));
        assert!(turn(60, Some(99)) < turn(1, None));
        assert!(turn(1, None) < turn(2, None));
        assert!(turn(2, None) < turn(99, Some(98)));
    }

    fn outcome(id: u64, result: RepositoryResult, reason: Option<RepositoryReason>, scanned: u64) -> Outcome {
        let tags = TagCounts { scanned, ..TagCounts::default() };
        Outcome { tags, ..Outcome::new(&format!("shop/r{id}"), id, result, reason) }
    }

    #[rstest]
    #[case::nothing_there(RepositoryResult::Unchanged, Some(RepositoryReason::NothingToRemove), 0, Observation::Empty)]
    #[case::nothing_to_remove(
        RepositoryResult::Unchanged,
        Some(RepositoryReason::NothingToRemove),
        5,
        Observation::Other
    )]
    #[case::removed(RepositoryResult::Changed, None, 5, Observation::Other)]
    #[case::failed(RepositoryResult::Failed, Some(RepositoryReason::ListIncomplete), 0, Observation::Other)]
    #[case::about_to_go(RepositoryResult::Skipped, Some(RepositoryReason::DeleteScheduled), 0, Observation::Other)]
    #[case::within_the_hour(RepositoryResult::Skipped, Some(RepositoryReason::RateLimited), 0, Observation::Other)]
    #[case::used_in_an_unknown_way(
        RepositoryResult::Skipped,
        Some(RepositoryReason::InUseUnresolved),
        0,
        Observation::Other
    )]
    #[case::not_reached(RepositoryResult::Skipped, Some(RepositoryReason::NotReached), 0, Observation::NotTaken)]
    #[case::too_many_tags_would_go(
        RepositoryResult::Skipped,
        Some(RepositoryReason::DeletionLimitExceeded),
        5,
        Observation::Other
    )]
    fn only_a_repository_whose_tags_were_listed_looks_empty(
        #[case] result: RepositoryResult,
        #[case] reason: Option<RepositoryReason>,
        #[case] scanned: u64,
        #[case] expected: Observation,
    ) {
        assert_eq!(observe(&outcome(1, result, reason, scanned)), expected);
    }

    #[test]
    fn a_run_that_ends_early_forgets_what_it_saw_otherwise_and_what_left_the_target() {
        let watched: Vec<EmptyRepository> = (1..=5).map(|id| watch(id, &format!("shop/r{id}"), at(100))).collect();
        let mut outcomes = vec![
            outcome(1, RepositoryResult::Unchanged, Some(RepositoryReason::NothingToRemove), 0),
            outcome(2, RepositoryResult::Unchanged, Some(RepositoryReason::NothingToRemove), 3),
            outcome(3, RepositoryResult::Skipped, Some(RepositoryReason::NotReached), 0),
            outcome(4, RepositoryResult::Unchanged, Some(RepositoryReason::NothingToRemove), 0),
        ];
        outcomes[3].path = "shop/moved".to_owned();
        let ids: Vec<u64> = still(&watched, &outcomes).iter().map(|known| known.id).collect();
        assert_eq!(ids, [1, 3]);
    }

    #[test]
    fn a_repository_is_known_by_id_and_path_together() {
        let long = format!("shop/{}", "r".repeat(600));
        let watched = [watch(1, "shop/a", at(100)), watch(2, &long, at(200))];
        assert_eq!(since(&watched, 1, "shop/a"), Some(at(100)));
        assert_eq!(since(&watched, 1, "shop/b"), None);
        assert_eq!(since(&watched, 3, "shop/a"), None);
        assert_eq!(since(&watched, 2, &long), Some(at(200)));
    }

    #[test]
    fn a_moment_is_noted_to_the_second() {
        let later = at(100).checked_add(SignedDuration::from_millis(999)).unwrap();
        assert_eq!(watch(1, "a/b", later).since, Time(at(100)));
    }
}
