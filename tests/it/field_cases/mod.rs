//! Registries from the field: each file of `cases` is one, with policies and what must come out, of `plan -f` and of a
//! run alike. README.md says how to add one.

mod case;

use std::collections::BTreeSet;
use std::fs;

use futures::stream::{self, StreamExt};

use crate::world::path;
use case::Case;

/// Cases that do not come out right yet, as case and policy. One that does must be taken off this list.
const NOT_YET: &[&str] = &[];

/// How many are tried at the same time.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn every_case_from_the_field_comes_out_right() {
    let trials = cases().into_iter().flat_map(Case::trials);
    let ended = trials.map(|trial| async move {
        let name = trial.name.clone();
        // What panics has failed, too.
        let ended = tokio::spawn(async move { trial.complaints().await }).await;
        (name, ended.unwrap_or_else(|panic| vec![panic.to_string()]))
    });
    let ended: Vec<(String, Vec<String>)> = stream::iter(ended).buffer_unordered(AT_ONCE).collect().await;

    let not_yet: BTreeSet<&str> = NOT_YET.iter().copied().collect();
    let tried: BTreeSet<&str> = ended.iter().map(|(name, _)| name.as_str()).collect();
    assert!(not_yet.is_subset(&tried), "there is no such case: {:?}", not_yet.difference(&tried));
    let wrong =
        ended.iter().filter_map(|(name, complaints)| match (complaints.as_slice(), not_yet.contains(&**name)) {
            ([], true) => Some(format!("{name} comes out right now: take it off NOT_YET")),
            ([], false) | ([..], true) => None,
            (complaints, false) => Some(format!("{name}:\n  {}", complaints.join("\n  "))),
        });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn cases() -> Vec<Case> {
    let files = fs::read_dir(path("tests/it/field_cases/cases")).unwrap().map(|entry| entry.unwrap().path());
    let cases: Vec<Case> = files.map(|file| Case::read(&file)).collect();
    assert!(!cases.is_empty());
    cases
}

#[test]
fn the_table_of_cases_names_files_that_exist_and_every_file_of_cases() {
    let folder = path("tests/it/field_cases");
    let table = fs::read_to_string(format!("{folder}/README.md")).unwrap();
    let (_, table) = table.split_once("## Where each case is tested").unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with('|') && line.contains('`')).collect();
    assert_eq!(rows.len(), 16);
    let named: BTreeSet<&str> =
        rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2)).filter(|name| name.contains('.')).collect();
    for name in &named {
        let beside = if name.starts_with("cases/") { "field_cases/" } else { "" };
        assert!(fs::exists(path(&format!("tests/it/{beside}{name}"))).unwrap(), "there is no {name}");
    }
    for case in cases() {
        let file = format!("cases/{}.yaml", case.name());
        assert!(named.contains(file.as_str()), "{file} is not in the table");
    }
}
