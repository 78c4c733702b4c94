//! The kinds of the catalogue are the same in the documentation and in the chart's permissions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use registry_cleanup_operator::cluster::workloads::catalogue::{CatalogueKind, catalogue};

/// A project's kinds in the order of the catalogue.
fn projects() -> Vec<(&'static str, Vec<&'static CatalogueKind>)> {
    let mut projects: Vec<(&str, Vec<&CatalogueKind>)> = Vec::new();
    for kind in catalogue() {
        match projects.iter_mut().find(|(project, _)| *project == kind.project) {
            Some((_, kinds)) => kinds.push(kind),
            None => projects.push((kind.project, vec![kind])),
        }
    }
    projects
}

#[test]
fn the_documentation_has_a_row_for_each_project_of_the_catalogue_with_a_link_for_each_kind() {
    let mut table = String::from("| Project | Kinds |\n|---|---|\n");
    for (project, kinds) in projects() {
        let told = kinds.into_iter().map(|kind| {
            let place = if kind.cluster_wide { " (in no namespace)" } else { "" };
            format!("[{}]({}){place}", kind.kind, kind.link())
        });
        let _ = writeln!(table, "| {project} | {} |", told.collect::<Vec<_>>().join(", "));
    }
    let page = include_str!("../../../docs/in-use.md");
    assert!(page.contains(&table), "docs/in-use.md is to have this table:\n{table}");
}

#[test]
fn the_chart_grants_list_and_watch_for_exactly_the_kinds_of_the_catalogue() {
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for kind in catalogue() {
        groups.entry(kind.group).or_default().insert(kind.resource);
    }
    let mut rules = String::new();
    for (group, resources) in groups {
        let resources = resources.into_iter().collect::<Vec<_>>().join(", ");
        let _ = writeln!(rules, "- apiGroups: [\"{group}\"]\n  resources: [{resources}]\n  verbs: [list, watch]");
    }
    let file = include_str!("../../../charts/registry-cleanup-operator/files/in-use-catalogue.yaml");
    let granted = file.split_once('\n').map_or("", |(_, granted)| granted);
    assert_eq!(granted, rules);
}
