//! Projects in which GitLab's own cleanup policy is enabled: which to ask about, and what to say of them.
//!
//! The answers are kept between runs, so that a project is asked about once a day, and a large target a part at a time.
//! What is said of a project stays said until GitLab says otherwise.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::api::limits::MAX_PROJECTS_WITH_CLEANUP_POLICY;

/// Most projects that one run asks about. GitLab.com takes 400 such requests a minute.
pub const MAX_ASKED: usize = 50;
/// How long an answer is taken as it is: less than a day, so that every nightly run asks.
const ASK_AGAIN: SignedDuration = SignedDuration::from_hours(20);
/// Most projects that a sentence names.
const MAX_IN_SENTENCE: usize = 3;

/// What is known of the projects of one target, by path.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Answers(BTreeMap<String, (Timestamp, Option<bool>)>);

impl Answers {
    /// The projects to ask about now: those that nobody asked about yet, then those asked longest ago, as far as a day
    /// is over. Forgets the projects that are not among these.
    pub fn due(&mut self, projects: &BTreeSet<&str>, now: Timestamp) -> Vec<String> {
        self.0.retain(|project, _| projects.contains(project.as_str()));
        let asked = |project: &str| self.0.get(project).map(|(at, _)| *at);
        let old = |at: Timestamp| now.duration_since(at) >= ASK_AGAIN;
        let mut due: Vec<(Option<Timestamp>, &str)> =
            projects.iter().map(|project| (asked(project), *project)).filter(|(at, _)| at.is_none_or(old)).collect();
        due.sort_unstable();
        due.truncate(MAX_ASKED);
        due.into_iter().map(|(_, project)| project.to_owned()).collect()
    }

    /// Takes note of an answer; `None` is one that says nothing, and leaves what was known before.
    pub fn note(&mut self, project: &str, enabled: Option<bool>, now: Timestamp) {
        let before = self.0.get(project).and_then(|(_, known)| *known);
        self.0.insert(project.to_owned(), (now, enabled.or(before)));
    }

    /// The projects to name: those that are known to have such a policy, and those of which it was said before and
    /// nothing else is known.
    #[must_use]
    pub fn named(&self, projects: &BTreeSet<&str>, before: &[String]) -> Vec<String> {
        let known = |project: &str| self.0.get(project).and_then(|(_, enabled)| *enabled);
        let said = |project: &str| before.iter().any(|named| named == project);
        let named = projects.iter().filter(|project| known(project).unwrap_or_else(|| said(project)));
        named.take(MAX_PROJECTS_WITH_CLEANUP_POLICY).map(|project| (*project).to_owned()).collect()
    }
}

/// What to say of these projects, if there is any.
#[must_use]
pub fn sentence(projects: &[String]) -> Option<String> {
    let named: Vec<&str> = projects.iter().take(MAX_IN_SENTENCE).map(String::as_str).collect();
    let more = match projects.len().saturating_sub(MAX_IN_SENTENCE) {
        0 => String::new(),
        more if projects.len() >= MAX_PROJECTS_WITH_CLEANUP_POLICY => format!(" and at least {more} more"),
        more => format!(" and {more} more"),
    };
    let list = named.join(", ");
    (!named.is_empty()).then(|| {
        format!("GitLab's own cleanup policy is enabled in {list}{more} and may remove what this policy keeps")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    fn names(number: usize) -> Vec<String> {
        (0..number).map(|n| format!("shop/p{n:03}")).collect()
    }

    fn set(names: &[String]) -> BTreeSet<&str> {
        names.iter().map(String::as_str).collect()
    }

    #[test]
    fn a_project_is_asked_about_once_a_day() {
        let projects = names(2);
        let mut answers = Answers::default();
        assert_eq!(answers.due(&set(&projects), at(0)), projects);
        for project in &projects {
            answers.note(project, Some(false), at(0));
        }
        assert!(answers.due(&set(&projects), at(19)).is_empty());
        assert_eq!(answers.due(&set(&projects), at(20)), projects);
    }

    #[test]
    fn a_large_target_is_asked_about_in_turn_and_all_of_it_stays_said() {
        let projects = names(120);
        let mut answers = Answers::default();
        let mut asked = Vec::new();
        for night in 0..3 {
            for project in answers.due(&set(&projects), at(night * 24)) {
                answers.note(&project, Some(project == "shop/p007"), at(night * 24));
                asked.push(project);
            }
            assert_eq!(answers.named(&set(&projects), &[]), ["shop/p007"]);
        }
        assert_eq!(asked.len(), 120 + 30);
        assert_eq!(set(&asked).len(), 120);
    }

    #[test]
    fn what_is_not_known_leaves_what_was_said_and_what_is_known_does_not() {
        let projects = names(4);
        let before = vec!["shop/p000".to_owned(), "shop/p001".to_owned(), "elsewhere/gone".to_owned()];
        let mut answers = Answers::default();
        assert_eq!(answers.named(&set(&projects), &before), ["shop/p000", "shop/p001"]);
        answers.note("shop/p000", Some(false), at(0));
        answers.note("shop/p001", None, at(0));
        answers.note("shop/p002", Some(true), at(0));
        answers.note("shop/p002", None, at(1));
        assert_eq!(answers.named(&set(&projects), &before), ["shop/p001", "shop/p002"]);
    }

    #[test]
    fn a_sentence_names_a_few_and_counts_the_rest() {
        let text = |number| sentence(&names(number)).unwrap_or_default();
        assert_eq!(text(0), "");
        assert_eq!(
            text(1),
            "GitLab's own cleanup policy is enabled in shop/p000 and may remove what this policy keeps"
        );
        assert!(text(3).contains("in shop/p000, shop/p001, shop/p002 and may"), "{}", text(3));
        assert!(text(5).contains("shop/p002 and 2 more and may"), "{}", text(5));
        assert!(
            text(MAX_PROJECTS_WITH_CLEANUP_POLICY).contains(" and at least 17 more "),
            "{}",
            text(MAX_PROJECTS_WITH_CLEANUP_POLICY)
        );
    }

    proptest! {
        #[test]
        fn whatever_is_known_only_projects_of_the_target_are_asked_about_and_named_and_not_too_many(
            projects in proptest::collection::btree_set("[a-c]{1,4}", 0..90),
            notes in proptest::collection::vec(("[a-c]{1,4}", any::<Option<bool>>(), 0_i64..60), 0..90),
            before in proptest::collection::vec("[a-c]{1,4}", 0..20),
        ) {
            let projects: Vec<String> = projects.into_iter().collect();
            let projects = set(&projects);
            let mut answers = Answers::default();
            for (project, enabled, hour) in &notes {
                answers.note(project, *enabled, at(*hour));
            }
            let named = answers.named(&projects, &before);
            prop_assert!(named.len() <= MAX_PROJECTS_WITH_CLEANUP_POLICY && named.iter().all(|project| projects.contains(project.as_str())));
            let due = answers.due(&projects, at(60));
            prop_assert!(due.len() <= MAX_ASKED && due.iter().all(|project| projects.contains(project.as_str())));
            prop_assert!(answers.0.len() <= projects.len());
        }
    }
}
