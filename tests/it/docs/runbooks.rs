//! `docs/runbooks.md` says of everything that can be told what to look at and what to do.

use std::collections::BTreeSet;
use std::fs;

use registry_cleanup_operator::api::Reason;
use registry_cleanup_operator::policy::events::EventReason;
use registry_cleanup_operator::policy::repository_outcome::RepositoryReason;

use super::links::anchors;
use super::set;
use crate::world::path;

/// The rows of the table under a heading: what its first column has in backticks, and the other columns.
fn rows(heading: &str) -> Vec<(String, Vec<String>)> {
    let page = fs::read_to_string(path("docs/runbooks.md")).unwrap();
    let section = page.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    let section = section.split("\n## ").next().unwrap();
    section
        .lines()
        .filter(|line| line.starts_with("| `") || line.starts_with("| ["))
        .map(|line| {
            let mut cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
            let name = cells.next().unwrap_or_default();
            (name.split('`').nth(1).unwrap_or_default().to_owned(), cells.collect())
        })
        .collect()
}

/// Compares the names of a table, and looks whether each has a cause, a check and something to do.
fn complete(heading: &str, expected: &BTreeSet<String>) {
    let rows = rows(heading);
    let names: BTreeSet<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, *expected, "{heading}");
    assert_eq!(names.len(), rows.len(), "{heading}: a row stands twice");
    for (name, cells) in rows {
        assert!(cells.len() == 3 && cells.iter().all(|cell| cell.len() > 3), "{name}: {cells:?}");
    }
}

/// The files of alerts, one after the other.
fn alerts() -> String {
    ["alerts", "slo"].map(|name| fs::read_to_string(path(&format!("deploy/monitoring/{name}.yaml"))).unwrap()).concat()
}

#[test]
fn every_alert_has_a_runbook_and_no_other() {
    let alerts = alerts();
    let names: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() >= 8, "{names:?}");
    complete("Alerts", &set(names));
}

#[test]
fn every_reason_of_a_condition_has_a_runbook_and_no_other() {
    complete("Conditions", &set(Reason::ALL.iter().map(|reason| reason.as_str())));
}

#[test]
fn every_reason_of_a_repository_has_a_runbook_and_no_other() {
    complete("Repositories", &set(RepositoryReason::ALL.iter().map(|reason| reason.as_str())));
}

#[test]
fn every_event_has_a_runbook_and_no_other() {
    complete("Events", &set(EventReason::ALL.iter().map(|reason| reason.as_str())));
}

#[test]
fn every_runbook_url_leads_to_a_heading() {
    let alerts = alerts();
    let urls: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: ")).collect();
    let count = alerts.matches("- alert: ").count();
    assert!(urls.len() == count && count > 0, "{} runbooks for {count} alerts", urls.len());
    for url in urls {
        let (page, anchor) = url.split_once("/blob/main/").unwrap().1.split_once('#').unwrap();
        let page = fs::read_to_string(path(page)).unwrap();
        assert!(anchors(&page).contains(anchor), "{url}");
    }
}
