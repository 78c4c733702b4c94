//! What a run came to: in each repository, and as a whole.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::conditions::Reason;
use crate::api::{ComingOfAge, Mode, PendingApproval, RepositoryResult, TagCounts};
use crate::policy::protection_rules::Known;
use crate::policy::tag::Ages;
use crate::words::words;

words! {
/// Why a repository came to its result, as it stands in the status. `docs/conditions.md` explains each.
pub enum RepositoryReason {
    /// Unchanged: no tag can go.
    NothingToRemove,
    /// Unchanged: nothing was pushed since it was read, and nothing came of age; it was not read again.
    Unchanged,
    /// Skipped: GitLab took a bulk deletion within the hour.
    RateLimited,
    /// Skipped: the server is too old to be told what to keep.
    KeepNotSupported,
    /// Skipped: the server is too old to remove a single tag.
    ExactNotSupported,
    /// Failed, or skipped where the whole run would remove too much: a limit of the policy was exceeded.
    DeletionLimitExceeded,
    /// Skipped: the plan that was approved is no longer what would be removed.
    PlanChanged,
    /// Skipped: images are in use in a way that GitLab's bulk deletion cannot be told of.
    InUseUnresolved,
    /// Skipped: tags share their date across the border of keepN, and GitLab's bulk deletion would go by their names.
    DateTied,
    /// Skipped: dates decide which tags GitLab's bulk deletion takes, and those of some say nothing.
    DateUnknown,
    /// Unchanged: there is no tag in it, and it stays for now.
    RepositoryEmpty,
    /// Changed: there is no tag in it, and GitLab was, or in a dry run would be, asked to delete it.
    RepositoryDeleted,
    /// Skipped: there is no tag in it, and GitLab protects it from being deleted.
    RepositoryProtected,
    /// Skipped: the repository is about to be deleted.
    DeleteScheduled,
    /// Skipped: the project is archived, or will be deleted, and nobody may change its images.
    ProjectArchived,
    /// Skipped: the run ended before its turn came.
    NotReached,
    /// Changed: some of what was requested has not been seen to go.
    NotConfirmed,
    /// Failed: the project, group or repository is not there, or not for this token.
    NotFound,
    /// Failed: the token may not do this here.
    Forbidden,
    /// Failed: the list of tags may be incomplete.
    ListIncomplete,
    /// Failed: the request may have been accepted, its answer was lost.
    AnswerLost,
    /// Failed: GitLab refused the parameters.
    Refused,
    /// Failed: GitLab could not be reached or answered with an error.
    GitLabUnavailable,
}
}

/// Tags of a repository that come of age soon, many at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OfAge {
    /// When the first of them do.
    pub at: Timestamp,
    /// How many there are, as far as they were read.
    pub tags: u64,
}

/// The repository that an outcome is about, or the target that could not be listed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RepositoryName<'a> {
    /// Full path.
    pub path: &'a str,
    /// GitLab's numeric id; 0 for a target.
    pub id: u64,
}

/// What a run came to in one repository.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Full path; of a target that could not be listed, the target's path.
    pub path: String,
    /// GitLab's numeric id; 0 for a target that could not be listed.
    pub id: u64,
    /// The result.
    pub result: RepositoryResult,
    /// Why.
    pub reason: Option<RepositoryReason>,
    /// Why, in a sentence.
    pub message: Option<String>,
    /// The numbers.
    pub tags: TagCounts,
    /// Some of the tags that went or would go.
    pub samples: Vec<String>,
    /// The size in bytes of what went or would go, as far as it is known.
    pub bytes: u64,
    /// From when on the repository may get a bulk deletion again, if that lies ahead.
    pub eligible: Option<Timestamp>,
    /// Its tags of one moment that come of age soon.
    pub of_age: Option<OfAge>,
    /// What ages were counted from, where dates mattered.
    pub ages: Option<Ages>,
    /// How much is known of GitLab's protection rules, where they were asked for.
    pub rules: Option<Known>,
}

impl Outcome {
    /// An outcome without numbers.
    #[must_use]
    pub fn new(path: &str, id: u64, result: RepositoryResult, reason: Option<RepositoryReason>) -> Self {
        Self {
            path: path.to_owned(),
            id,
            result,
            reason,
            message: None,
            tags: TagCounts::default(),
            samples: Vec::new(),
            bytes: 0,
            eligible: None,
            of_age: None,
            ages: None,
            rules: None,
        }
    }

    /// An outcome without numbers.
    #[must_use]
    pub fn of(name: RepositoryName<'_>, result: RepositoryResult, reason: Option<RepositoryReason>) -> Self {
        Self::new(name.path, name.id, result, reason)
    }

    /// The outcome of a repository that was left alone on purpose.
    #[must_use]
    pub fn skipped(name: RepositoryName<'_>, reason: RepositoryReason, message: String) -> Self {
        Self { message: Some(message), ..Self::of(name, RepositoryResult::Skipped, Some(reason)) }
    }

    /// The outcome of a repository that something stood in the way of.
    #[must_use]
    pub fn failed(name: RepositoryName<'_>, reason: RepositoryReason, message: String) -> Self {
        Self { message: Some(message), ..Self::of(name, RepositoryResult::Failed, Some(reason)) }
    }

    /// Whether the repository as a whole is, or in a dry run would be, deleted.
    #[must_use]
    pub fn deletes(&self) -> bool {
        self.reason == Some(RepositoryReason::RepositoryDeleted)
    }
}

/// What is said once of all repositories of a run. What GitLab protects shows by itself where tags are removed.
pub fn remarks(outcomes: &[Outcome], mode: Mode) -> impl Iterator<Item = &'static str> {
    let ages = outcomes.iter().find_map(|outcome| outcome.ages?.remark());
    let rules = outcomes.iter().filter_map(|outcome| outcome.rules).max().filter(|_| mode != Mode::Delete);
    ages.into_iter().chain(rules.and_then(Known::remark))
}

/// What a run has seen in all repositories of tags that come of age soon.
#[must_use]
pub fn coming_of_age(outcomes: &[Outcome]) -> Option<ComingOfAge> {
    let soon = || outcomes.iter().filter_map(|outcome| outcome.of_age);
    Some(ComingOfAge {
        time: Time(soon().map(|soon| soon.at).min()?),
        tags: soon().map(|soon| soon.tags).sum(),
        repositories: u32::try_from(soon().count()).unwrap_or(u32::MAX),
    })
}

/// What becomes of the plan that waits for an approval.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Proposal {
    /// The run has nothing to say about it.
    #[default]
    AsBefore,
    /// There is nothing to approve.
    Nothing,
    /// This one waits from now on.
    Plan(PendingApproval),
}

/// How a run ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// It came through.
    Completed,
    /// It was stopped between two requests.
    Stopped(Stop),
    /// GitLab asked for a pause that is longer than the run may last.
    Paused {
        /// When the pause ends.
        until: Timestamp,
    },
    /// It removed nothing, for a reason that concerns all of it.
    Aborted {
        /// The reason of `LastRunSucceeded`.
        reason: Reason,
        /// Why, in a sentence.
        message: String,
    },
}

impl End {
    /// Whether such a run neither succeeded nor failed: it was asked to wait, by GitLab, an administrator or its
    /// policy.
    #[must_use]
    pub fn is_neither(&self) -> bool {
        matches!(self, Self::Paused { .. } | Self::Stopped(Stop::Paused | Stop::ExcludeWindow))
    }
}

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stop {
    /// It took longer than `activeDeadlineSeconds`.
    Deadline,
    /// The operator shuts down.
    Shutdown,
    /// The operator leads no more.
    LeadershipLost,
    /// The policy was edited or deleted.
    PolicyChanged,
    /// An administrator paused the installation.
    Paused,
    /// An exclude window of the policy was opened.
    ExcludeWindow,
    /// The operator went away without a word; found out by its successor.
    OperatorGone,
    /// Another operator found the record of the run unchanged for so long that it gave the run up.
    GivenUp,
}

impl Stop {
    /// Why, in a sentence.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Deadline => "the run took longer than activeDeadlineSeconds and was stopped; the next one goes on",
            Self::Shutdown => "the operator was shut down during the run",
            Self::LeadershipLost => "the operator lost its Lease during the run, and another one takes over",
            Self::PolicyChanged => "the policy was edited or deleted during the run",
            Self::Paused => "an administrator paused the operator during the run, see the condition Paused",
            Self::ExcludeWindow => "an exclude window began during the run; the next run goes on",
            Self::OperatorGone => "the operator stopped before it could record the end of the run",
            Self::GivenUp => "another operator gave the run up, since its record was not renewed in time",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_come_of_age_are_told_together_by_the_first_of_them() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let outcome = |second: Option<i64>| Outcome {
            of_age: second.map(|second| OfAge { at: at(second), tags: 9 }),
            ..Outcome::new("shop/web", 1, RepositoryResult::Unchanged, None)
        };
        assert_eq!(coming_of_age(&[outcome(None)]), None);
        let all = coming_of_age(&[outcome(Some(30)), outcome(None), outcome(Some(20))]).unwrap();
        assert_eq!((all.time.0, all.tags, all.repositories), (at(20), 18, 2));
    }
}
