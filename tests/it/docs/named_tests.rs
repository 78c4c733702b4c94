//! Pages that promise something name the tests that show it, and these exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::world::path;

/// Names of tests in a page: in backticks, with their modules.
pub(super) fn named(text: &str) -> BTreeSet<String> {
    let is_name = |word: &&str| {
        word.contains("::") && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c))
    };
    text.split('`').filter(is_name).map(str::to_owned).collect()
}

/// Names of all tests of the crate and of its integration tests, as `cargo test -- --list` tells them.
pub(super) fn all_tests() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for folder in ["src", "tests/it"] {
        let root = PathBuf::from(path(folder));
        for file in files_below(&root) {
            let text = fs::read_to_string(&file).unwrap();
            let relative = file.strip_prefix(&root).unwrap().with_extension("");
            let mut module: Vec<&str> = relative.iter().map(|part| part.to_str().unwrap()).collect();
            if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(last)) {
                module.pop();
            }
            tests_of(&text, &module.join("::"), &mut all);
        }
    }
    all
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_dir() {
            files.extend(files_below(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    files
}

fn tests_of(text: &str, module: &str, all: &mut BTreeSet<String>) {
    let mut below = module.to_owned();
    let mut is_test = false;
    for line in text.lines() {
        if line == "mod tests {" {
            below = format!("{module}::tests");
        }
        let line = line.trim_start();
        if ["#[test]", "#[tokio::test", "#[rstest"].iter().any(|start| line.starts_with(start)) {
            is_test = true;
        } else if let Some(function) = line.trim_start_matches("async ").strip_prefix("fn ") {
            if is_test {
                let name = function.split(['(', '<']).next().unwrap_or_default();
                all.insert(format!("{below}::{name}").trim_start_matches("::").to_owned());
            }
            is_test = false;
        }
    }
}

#[test]
fn the_tests_that_pages_name_exist() {
    let all = all_tests();
    // One of each kind: of a file, of a folder, in a file of tests, and beside the code.
    for name in [
        "exact::exactly_the_planned_tags_go_and_the_preview_names_them",
        "in_use::race::a_thousand_deployments_created_while_exact_removes_save_their_images",
        "policy::plan::tests::of_all_reasons_that_hold_exact_gives_the_first_of_the_list",
        "policy::age::tests::reading_never_panics_and_keeps_the_text",
    ] {
        assert!(all.contains(name), "{name} was not found in the sources");
    }
    for page in ["README.md", "docs/security.md"] {
        let named = named(&fs::read_to_string(path(page)).unwrap());
        assert!(named.len() > 15, "{page} names {} tests only", named.len());
        let missing: Vec<_> = named.difference(&all).collect();
        assert_eq!(missing, Vec::<&String>::new(), "{page} names tests that are not there");
    }
}

/// A promise of the README without a proof is a wish, and a threat without one is open.
#[test]
fn every_promise_and_every_threat_names_a_test() {
    let readme = fs::read_to_string(path("README.md")).unwrap();
    let promises = readme.split("\n## What it promises\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let promises: Vec<&str> = promises.split("\n- **").skip(1).collect();
    assert!(promises.len() > 10, "only {} promises", promises.len());
    for promise in promises {
        assert!(!named(promise).is_empty(), "no test is named: {promise}");
    }
    let security = fs::read_to_string(path("docs/security.md")).unwrap();
    let threats = security.split("\n## Threats\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<&str> =
        threats.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Threat ")).collect();
    assert!(rows.len() > 25, "only {} threats", rows.len());
    for row in rows {
        assert!(!named(row).is_empty(), "no test is named: {row}");
    }
}
