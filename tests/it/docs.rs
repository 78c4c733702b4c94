//! The documentation speaks of the same reasons as the code.

use std::collections::{BTreeSet, HashSet};
use std::fs;

use registry_cleanup_operator::api::Reason;
use registry_cleanup_operator::policy::events::EventReason;
use registry_cleanup_operator::policy::plan::{KeepReason, RemoveReason, Verdict};
use registry_cleanup_operator::policy::repository_outcome::RepositoryReason;

use crate::layers::{all_sources, code};
use crate::world::path;

/// The names in the first column of the table under a heading.
fn documented(heading: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(path("docs/conditions.md")).unwrap();
    let section = text.split(&format!("{heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    section
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .collect()
}

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_reason_of_a_condition_is_documented_and_no_other() {
    assert_eq!(documented("### Reasons of conditions"), set(Reason::ALL.iter().map(|reason| reason.as_str())));
}

#[test]
fn every_reason_of_a_repository_is_documented_and_no_other() {
    assert_eq!(documented("## Repositories"), set(RepositoryReason::ALL.iter().map(|reason| reason.as_str())));
}

#[test]
fn every_reason_of_an_event_is_documented_and_no_other() {
    assert_eq!(documented("## Events"), set(EventReason::ALL.iter().map(|reason| reason.as_str())));
}

#[test]
fn every_reason_to_keep_a_tag_is_documented_in_the_order_in_which_it_counts() {
    use KeepReason as K;
    let keep = [
        K::Latest,
        K::Protected,
        K::InUse,
        K::NoRuleMatches,
        K::KeptByPattern,
        K::ProtectedByGitLab,
        K::PushedAgain,
        K::SubjectKept,
        K::SubjectUnknown,
        K::NoGroup,
        K::NoVersion,
        K::DateUnknown,
        K::TooYoung,
        K::WithinKeepN,
        K::DateTied,
        K::VersionTied,
    ];
    let remove = [RemoveReason::RuleMatches, RemoveReason::SubjectRemoved].map(Verdict::Remove);
    let all = keep.iter().map(|reason| reason.as_str()).chain(remove.map(Verdict::reason));
    assert_eq!(documented("## Why a tag stays or goes"), set(all));
    assert!(keep.is_sorted());
}

/// A reason enters together with the behaviour behind it.
#[test]
fn no_reason_is_only_a_name() {
    let mut named = HashSet::new();
    for (_, text) in all_sources() {
        let is_path = |c: char| c.is_ascii_alphanumeric() || c == ':';
        named.extend(code(&text).split(|c| !is_path(c)).map(str::to_owned));
    }
    let used = |set: &str, word: &str| assert!(named.contains(&format!("{set}::{word}")), "{set}::{word} is not used");
    Reason::ALL.iter().for_each(|reason| used("Reason", reason.as_str()));
    RepositoryReason::ALL.iter().for_each(|reason| used("RepositoryReason", reason.as_str()));
    EventReason::ALL.iter().for_each(|reason| used("EventReason", reason.as_str()));
}
