//! The documentation speaks of the same reasons as the code.

use std::collections::BTreeSet;
use std::fs;

use registry_cleanup_operator::api::conditions::reason;
use registry_cleanup_operator::policy::events::event_reason;
use registry_cleanup_operator::policy::plan::{KeepReason, RemoveReason, Verdict};
use registry_cleanup_operator::policy::repository_outcome::repository_reason;

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
    assert_eq!(documented("### Reasons of conditions"), set(reason::ALL.iter().copied()));
}

#[test]
fn every_reason_of_a_repository_is_documented_and_no_other() {
    assert_eq!(documented("## Repositories"), set(repository_reason::ALL.iter().copied()));
}

#[test]
fn every_reason_of_an_event_is_documented_and_no_other() {
    assert_eq!(documented("## Events"), set(event_reason::ALL.iter().copied()));
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

/// Every constant of the lists above is used somewhere: a reason enters together with the behaviour behind it.
#[test]
fn no_reason_is_only_a_name() {
    let mut code = String::new();
    for folder in
        ["src/policy", "src/policy/plan", "src/controller", "src/controller/plan", "src/controller/run", "src/cluster"]
    {
        let entries = fs::read_dir(path(folder)).unwrap().map(|entry| entry.unwrap().path());
        for file in entries.filter(|path| path.is_file()) {
            let text = fs::read_to_string(file).unwrap();
            code.push_str(text.split("\n#[cfg(test)]\n").next().unwrap());
        }
    }
    for name in constants("src/api/reasons.rs", "explains each.") {
        assert!(code.contains(&format!("reason::{name}")), "reason::{name} is not used");
    }
    for name in constants("src/policy/events.rs", "pub mod event_reason {") {
        assert!(
            code.contains(&format!("e::{name}")) || code.contains(&format!("event_reason::{name}")),
            "{name} is not used"
        );
    }
    for name in constants("src/policy/repository_outcome.rs", "pub mod repository_reason {") {
        let used = code.contains(&format!("why::{name}")) || code.contains(&format!("repository_reason::{name}"));
        assert!(used, "{name} is not used");
    }
}

fn constants(file: &str, module: &str) -> Vec<String> {
    let text = fs::read_to_string(path(file)).unwrap();
    let body = text.split(module).nth(1).unwrap();
    body.lines()
        .take_while(|line| *line != "}")
        .filter_map(|line| line.trim().strip_prefix("pub const ")?.split(':').next().map(str::to_owned))
        .filter(|name| name != "ALL")
        .collect()
}
