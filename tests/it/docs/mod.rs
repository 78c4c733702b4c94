//! The documentation speaks of what is in the code: reasons, tests, versions, and pages that there are.

mod catalogue;
mod checklist;
mod links;
mod named_tests;
mod runbooks;

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::process::Command;

use registry_cleanup_operator::api::Reason;
use registry_cleanup_operator::plan_output::NoteKind;
use registry_cleanup_operator::policy::events::EventReason;
use registry_cleanup_operator::policy::plan::{KeepReason, RemoveReason};
use registry_cleanup_operator::policy::repository_outcome::RepositoryReason;

use crate::layers::{all_sources, code};
use crate::world::{output, path};

/// The names in the first column of the table under a heading of the page of conditions, in their order.
fn listed(heading: &str) -> Vec<String> {
    listed_in("docs/conditions.md", heading)
}

/// The same of any page.
pub(crate) fn listed_in(page: &str, heading: &str) -> Vec<String> {
    let text = fs::read_to_string(path(page)).unwrap();
    let section = text.split(&format!("{heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    section
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .collect()
}

fn documented(heading: &str) -> BTreeSet<String> {
    listed(heading).into_iter().collect()
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
    let keep = KeepReason::ALL.iter().map(|reason| reason.as_str());
    let all = keep.chain(RemoveReason::ALL.iter().map(|reason| reason.as_str()));
    assert_eq!(listed("## Why a tag stays or goes"), all.collect::<Vec<_>>());
}

#[test]
fn every_kind_of_a_note_is_documented_in_its_order() {
    assert_eq!(listed_in("docs/plan.md", "### Kinds of notes"), words(NoteKind::ALL, NoteKind::as_str));
}

#[test]
fn every_fact_about_gitlab_has_a_link() {
    let text = fs::read_to_string(path("docs/what-gitlab-does.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| GitLab |"));
    // A bar in a code span is escaped.
    let fact = |row: &str| row.replace("\\|", "").split(" | ").next().unwrap().to_owned();
    let facts: Vec<String> = rows.map(fact).collect();
    assert!(facts.len() > 40);
    let bare: Vec<&String> = facts.iter().filter(|fact| !fact.contains("](") && !fact.contains("][")).collect();
    assert!(bare.is_empty(), "{bare:#?}");
    let labels = |text: &str| text.split("][").skip(1).map(|rest| rest.split(']').next().unwrap().to_owned()).collect();
    let used: BTreeSet<String> = labels(&text);
    let defined: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.split_once("]: https://").map(|(label, _)| label.to_owned()))
        .collect();
    assert_eq!(used, defined);
}

/// A reason enters together with the behaviour behind it.
#[test]
fn no_reason_is_only_a_name() {
    let mut named = HashSet::new();
    for (_, text) in all_sources() {
        let is_path = |c: char| c.is_ascii_alphanumeric() || c == ':';
        named.extend(code(&text).split(|c| !is_path(c)).map(str::to_owned));
    }
    let unused: Vec<String> = [
        ("Reason", words(Reason::ALL, Reason::as_str)),
        ("RepositoryReason", words(RepositoryReason::ALL, RepositoryReason::as_str)),
        ("EventReason", words(EventReason::ALL, EventReason::as_str)),
        ("KeepReason", words(KeepReason::ALL, KeepReason::as_str)),
        ("RemoveReason", words(RemoveReason::ALL, RemoveReason::as_str)),
    ]
    .into_iter()
    .flat_map(|(set, words)| words.into_iter().map(move |word| format!("{set}::{word}")))
    .filter(|path| !named.contains(path))
    .collect();
    assert_eq!(unused, [""; 0]);
}

/// All words of a closed set, in its order.
pub(crate) fn words<T: Copy>(all: &[T], as_str: impl Fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|word| as_str(*word)).collect()
}

#[test]
fn the_table_of_supported_versions_is_made_from_its_source() {
    let (ok, written) = output(&mut Command::new(path("hack/supported.sh")));
    assert!(ok, "{written}");
    let stored = fs::read_to_string(path("docs/supported.md")).unwrap();
    assert!(stored == written, "docs/supported.md is stale: run `make generate`");
    let chart = fs::read_to_string(path("charts/registry-cleanup-operator/Chart.yaml")).unwrap();
    let source = fs::read_to_string(path("docs/supported.yaml")).unwrap();
    let oldest = source.split("\nkubernetes: [\"").nth(1).unwrap().split('"').next().unwrap();
    let minor = oldest.rsplit_once('.').unwrap().0;
    assert!(
        chart.contains(&format!("kubeVersion: \">={minor}.0-0\"")),
        "the chart takes another Kubernetes than {minor}"
    );
}

#[test]
fn changelog_crate_and_chart_speak_of_the_same_version() {
    let version = env!("CARGO_PKG_VERSION");
    let read = |file: &str| fs::read_to_string(path(file)).unwrap();
    let chart = read("charts/registry-cleanup-operator/Chart.yaml");
    for field in ["version", "appVersion"] {
        assert!(chart.contains(&format!("\n{field}: {version}\n")), "{field} of the chart is not {version}");
    }
    let changelog = read("CHANGELOG.md");
    let latest = changelog.split("\n## [").nth(1).unwrap().split(']').next().unwrap();
    let coming = changelog.contains(&format!("The next version will be {version}"));
    assert!(latest == version || latest == "Unreleased" && coming, "the changelog begins with {latest}");
    let minor = version.rsplit_once('.').unwrap().0;
    assert!(
        read("docs/supported.yaml").contains(&format!("{{version: \"{minor}\"")),
        "{minor} is not in supported.yaml"
    );
    assert!(read("docs/upgrades.md").contains(&format!("\n### {version}\n")), "{version} is not in upgrades.md");
}
