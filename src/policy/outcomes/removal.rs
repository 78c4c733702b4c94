//! What the removal of planned tags by name comes to: which are gone by GitLab's word, which stayed and why, and of
//! which nobody knows.

use std::collections::HashSet;

use crate::api::RepositoryResult;
use crate::api::limits::MAX_SAMPLES;
use crate::policy::plan::KeepReason;
use crate::policy::repository_outcome::{Outcome, RepositoryReason};
use crate::policy::tag::Tag;

/// Requests whose answer is lost, in one repository, after which it is left alone until the next run.
const MAX_LOST: usize = 3;

/// Why a tag that was to go stays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kept {
    /// GitLab protects it.
    Protected,
    /// It was pushed again since the plan was made.
    PushedAgain,
    /// Nothing tells whether it was.
    Untold,
    /// GitLab took too long to tell.
    Late,
    /// It came into use.
    InUse,
    /// It belongs to an image that is, or may be, still there.
    Attached(KeepReason),
}

impl Kept {
    /// The reason as it stands in the audit trail. What may have been pushed again counts as pushed again.
    #[must_use]
    pub fn reason(self) -> KeepReason {
        match self {
            Self::Protected => KeepReason::ProtectedByGitLab,
            Self::PushedAgain | Self::Untold | Self::Late => KeepReason::PushedAgain,
            Self::InUse => KeepReason::InUse,
            Self::Attached(reason) => reason,
        }
    }
}

/// What became of the tags of a repository that were to go.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    requested: u64,
    removed: u64,
    bytes: u64,
    protected: u64,
    again: u64,
    untold: u64,
    late: u64,
    already_gone: u64,
    in_use: u64,
    attached: u64,
    lost: u64,
    lost_requests: usize,
    /// How many are of unknown fate because what answered was not GitLab, and what gave that away.
    foreign: Option<(u64, String)>,
    samples: Vec<String>,
    /// The names of those that are gone by GitLab's word.
    gone: HashSet<Box<str>>,
}

impl Tally {
    /// A request with so many tags was answered.
    pub fn answered(&mut self, tags: usize) {
        self.requested += tags as u64;
    }

    /// The answer to a request with so many tags was lost, or was not GitLab's: `foreign` is what gave that away.
    /// Answers whether answers have now been lost too often to go on.
    #[must_use]
    pub fn lost(&mut self, tags: usize, foreign: Option<String>) -> bool {
        self.requested += tags as u64;
        match foreign {
            Some(what) => self.foreign.get_or_insert((0, what)).0 += tags as u64,
            None => self.lost += tags as u64,
        }
        self.lost_requests += 1;
        self.lost_requests > MAX_LOST
    }

    /// GitLab says that it removed a tag.
    pub fn removed(&mut self, tag: &Tag) {
        self.gone.insert(tag.name.clone());
        self.removed += 1;
        self.bytes += tag.bytes.unwrap_or(0);
        if self.samples.len() < MAX_SAMPLES {
            self.samples.push(tag.name.to_string());
        }
    }

    /// GitLab says, asked to remove a tag, that it was gone before.
    pub fn already_gone(&mut self, tag: &Tag) {
        self.gone.insert(tag.name.clone());
        self.already_gone += 1;
    }

    /// A tag was not found before it could be requested. That is not GitLab's word that it is gone.
    pub fn missing(&mut self) {
        self.already_gone += 1;
    }

    /// A tag stays.
    pub fn kept(&mut self, why: Kept) {
        let number = match why {
            Kept::Protected => &mut self.protected,
            Kept::PushedAgain => &mut self.again,
            Kept::Untold => &mut self.untold,
            Kept::Late => &mut self.late,
            Kept::InUse => &mut self.in_use,
            Kept::Attached(_) => &mut self.attached,
        };
        *number += 1;
    }

    /// Whether nothing became of any tag yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        let kept = self.protected + self.again + self.untold + self.late + self.in_use + self.attached;
        self.requested + kept + self.already_gone == 0
    }

    /// The names of the tags that are gone by GitLab's word.
    #[must_use]
    pub fn gone(&self) -> &HashSet<Box<str>> {
        &self.gone
    }

    /// Writes into the outcome of the plan what became of it.
    pub fn write(self, outcome: &mut Outcome) {
        let message = self.message(outcome.tags.matched, outcome.message.take());
        outcome.tags.requested = self.requested;
        outcome.tags.confirmed = self.removed;
        outcome.tags.in_use += self.in_use;
        outcome.bytes = self.bytes;
        outcome.samples = self.samples;
        outcome.message = Some(message);
        if self.removed == 0 {
            outcome.result = RepositoryResult::Unchanged;
        }
        if self.lost > 0 {
            outcome.reason = Some(RepositoryReason::NotConfirmed);
        }
        if self.foreign.is_some() {
            (outcome.result, outcome.reason) = (RepositoryResult::Failed, Some(RepositoryReason::AnswerLost));
        }
    }

    /// The numbers that are not zero, and then what the plan said.
    fn message(&self, planned: u64, said: Option<String>) -> String {
        let mut message = format!("{} of {planned} planned tags were removed", self.removed);
        for (number, what) in [
            (self.protected, "kept because GitLab protects them"),
            (self.again, "kept because they were pushed again meanwhile"),
            (self.untold, "kept because nothing tells whether they were pushed again"),
            (self.late, "kept because GitLab took too long to tell whether they were pushed again"),
            (self.already_gone, "already gone"),
            (self.in_use, "kept because they came into use meanwhile"),
            (self.attached, "kept because they belong to an image that is, or may be, still there"),
            (self.lost, "of unknown fate, because the answer was lost"),
        ] {
            if number > 0 {
                message = format!("{message}, {number} {what}");
            }
        }
        if let Some((number, what)) = &self.foreign {
            message = format!("{message}, {number} of unknown fate, because the answer was not GitLab's: {what}");
        }
        said.map_or_else(|| message.clone(), |said| format!("{message}; {said}"))
    }
}

/// Says of a repository in which an error ended the removal what the error was, before what became of the tags.
pub fn broken_off(outcome: &mut Outcome, failed: Outcome) {
    let parts = [failed.message, outcome.message.take()];
    outcome.message = Some(parts.map(Option::unwrap_or_default).join("; "));
    (outcome.result, outcome.reason) = (RepositoryResult::Failed, failed.reason);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::api::TagCounts;
    use crate::policy::repository_outcome::RepositoryName;
    use crate::policy::tag::{Manifest, Moment};

    fn tag(name: &str, bytes: Option<u64>) -> Tag {
        Tag {
            name: name.into(),
            digest: None,
            pushed: Moment::Unknown,
            push_told: false,
            created: Moment::Unknown,
            single_image: false,
            protected: false,
            bytes,
            manifest: Manifest::default(),
        }
    }

    /// The outcome of a plan to remove so many of ten tags, two of which are in use.
    fn planned(matched: u64) -> Outcome {
        let name = RepositoryName { path: "shop/web", id: 7 };
        Outcome {
            tags: TagCounts { scanned: 10, matched, in_use: 2, ..TagCounts::default() },
            message: Some("kept: 2 InUse".to_owned()),
            samples: vec!["planned".to_owned()],
            bytes: 999,
            ..Outcome::of(name, RepositoryResult::Changed, None)
        }
    }

    fn written(tally: Tally, matched: u64) -> Outcome {
        let mut outcome = planned(matched);
        tally.write(&mut outcome);
        outcome
    }

    #[test]
    fn what_gitlab_says_it_removed_is_confirmed_and_nothing_else() {
        let mut tally = Tally::default();
        tally.answered(3);
        tally.removed(&tag("a", Some(5)));
        tally.removed(&tag("b", None));
        tally.already_gone(&tag("c", Some(7)));
        let outcome = written(tally, 3);
        assert_eq!((outcome.result, outcome.reason, outcome.bytes), (RepositoryResult::Changed, None, 5));
        assert_eq!((outcome.tags.requested, outcome.tags.confirmed, outcome.tags.in_use), (3, 2, 2));
        assert_eq!(outcome.samples, ["a", "b"]);
        let message = "2 of 3 planned tags were removed, 1 already gone; kept: 2 InUse";
        assert_eq!(outcome.message.as_deref(), Some(message));
    }

    #[rstest]
    #[case(Kept::Protected, KeepReason::ProtectedByGitLab, "GitLab protects them")]
    #[case(Kept::PushedAgain, KeepReason::PushedAgain, "they were pushed again meanwhile")]
    #[case(Kept::Untold, KeepReason::PushedAgain, "nothing tells whether they were pushed again")]
    #[case(Kept::Late, KeepReason::PushedAgain, "GitLab took too long to tell whether they were pushed again")]
    #[case(Kept::InUse, KeepReason::InUse, "they came into use meanwhile")]
    #[case(
        Kept::Attached(KeepReason::SubjectUnknown),
        KeepReason::SubjectUnknown,
        "they belong to an image that is, or may be, still there"
    )]
    fn what_stays_is_counted_by_why_it_does(#[case] why: Kept, #[case] reason: KeepReason, #[case] text: &str) {
        let mut tally = Tally::default();
        tally.kept(why);
        tally.kept(why);
        assert!(tally.gone().is_empty());
        assert_eq!(why.reason(), reason);
        let outcome = written(tally, 2);
        let message = format!("0 of 2 planned tags were removed, 2 kept because {text}; kept: 2 InUse");
        assert_eq!(outcome.message, Some(message));
        assert_eq!(outcome.result, RepositoryResult::Unchanged);
        assert_eq!(outcome.tags.in_use, if why == Kept::InUse { 4 } else { 2 });
        assert_eq!((outcome.tags.requested, outcome.bytes), (0, 0));
    }

    #[test]
    fn only_gitlabs_word_on_a_request_says_that_a_tag_is_gone() {
        let mut tally = Tally::default();
        tally.removed(&tag("a", None));
        tally.already_gone(&tag("b", None));
        tally.missing();
        tally.kept(Kept::Protected);
        assert!(!tally.lost(1, None));
        assert_eq!(*tally.gone(), HashSet::from(["a".into(), "b".into()]));
    }

    #[test]
    fn the_fourth_lost_answer_is_one_too_many_and_what_was_lost_is_not_confirmed() {
        let mut tally = Tally::default();
        assert_eq!([1, 20, 1, 1].map(|tags| tally.lost(tags, None)), [false, false, false, true]);
        let outcome = written(tally, 30);
        assert_eq!(outcome.reason, Some(RepositoryReason::NotConfirmed));
        assert_eq!((outcome.tags.requested, outcome.tags.confirmed), (23, 0));
        let message =
            "0 of 30 planned tags were removed, 23 of unknown fate, because the answer was lost; kept: 2 InUse";
        assert_eq!(outcome.message.as_deref(), Some(message));
    }

    #[test]
    fn an_answer_that_is_not_gitlabs_confirms_nothing_and_has_failed() {
        let mut tally = Tally::default();
        assert!(!tally.lost(20, Some("an HTML page".to_owned())) && !tally.lost(1, Some("a redirect".to_owned())));
        let outcome = written(tally, 21);
        assert_eq!((outcome.result, outcome.reason), (RepositoryResult::Failed, Some(RepositoryReason::AnswerLost)));
        assert_eq!((outcome.tags.requested, outcome.tags.confirmed), (21, 0));
        let message =
            "0 of 21 planned tags were removed, 21 of unknown fate, because the answer was not GitLab's: an HTML page";
        assert!(outcome.message.unwrap().starts_with(message));
    }

    #[test]
    fn a_status_names_some_of_what_went() {
        let mut tally = Tally::default();
        (0..30).for_each(|number| tally.removed(&tag(&format!("v{number}"), None)));
        let outcome = written(tally, 30);
        assert_eq!(outcome.samples.len(), MAX_SAMPLES);
        assert_eq!(outcome.tags.confirmed, 30);
    }

    #[test]
    fn an_error_comes_before_what_became_of_the_tags() {
        let name = RepositoryName { path: "shop/web", id: 7 };
        let mut outcome = written(Tally::default(), 2);
        broken_off(&mut outcome, Outcome::failed(name, RepositoryReason::Forbidden, "no".to_owned()));
        assert_eq!((outcome.result, outcome.reason), (RepositoryResult::Failed, Some(RepositoryReason::Forbidden)));
        assert_eq!(outcome.message.as_deref(), Some("no; 0 of 2 planned tags were removed; kept: 2 InUse"));
        assert_eq!(outcome.tags.scanned, 10);
    }
}
