//! Every crate that a manifest asks for is named in the code that may use it; one that nobody uses is built and audited
//! for nothing.

use std::fs;
use std::path::PathBuf;

use rstest::rstest;

use super::{code, sources};
use crate::world::path;

/// The names under `[dependencies]` or `[dev-dependencies]` of a manifest.
fn asked_for<'a>(manifest: &'a str, section: &str) -> Vec<&'a str> {
    let lines = manifest.lines().skip_while(|line| *line != section).skip(1).take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| line.split_once([' ', '.', '=']))
        .map(|(name, _)| name)
        .filter(|name| *name != "#")
        .collect()
}

/// Whether code says `name::` or `name` alone in a `use`.
fn names(code: &str, name: &str) -> bool {
    let name = name.replace('-', "_");
    let part_of_a_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(&format!("{name}::")).any(|(at, _)| !code[..at].ends_with(part_of_a_word))
        || code.contains(&format!("use {name};"))
}

fn unused(manifest: &str, section: &str, sources: &[String]) -> Vec<String> {
    let asked_for = asked_for(manifest, section);
    asked_for.into_iter().filter(|name| !sources.iter().any(|code| names(code, name))).map(str::to_owned).collect()
}

/// All code below folders of a package, without comments.
fn code_in(package: &str, folders: &[&str], tests_too: bool) -> Vec<String> {
    let mut files = Vec::new();
    for folder in folders.iter().map(|folder| PathBuf::from(path(package)).join(folder)).filter(|it| it.is_dir()) {
        sources(&folder, &mut files);
    }
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    texts.map(|text| if tests_too { text } else { code(&text) }).collect()
}

#[rstest]
#[case::the_operator(".")]
#[case::the_control_plane("tests/control-plane")]
#[case::the_simulator("tests/gitlab-simulator")]
#[test]
fn every_dependency_is_used(#[case] package: &str) {
    let manifest = fs::read_to_string(path(&format!("{package}/Cargo.toml"))).unwrap();
    assert!(asked_for(&manifest, "[dependencies]").len() > 3, "{package}");
    assert_eq!(unused(&manifest, "[dependencies]", &code_in(package, &["src"], false)), [""; 0], "{package}");
    let tests = code_in(package, &["src", "tests", "benches"], true);
    assert_eq!(unused(&manifest, "[dev-dependencies]", &tests), [""; 0], "{package}: for tests");
}

#[test]
fn a_dependency_that_nobody_uses_is_found() {
    let manifest =
        "[dependencies]\n# Why.\nserde-x = \"1\"\nserde.workspace = true\n\n[dev-dependencies]\nrare = \"2\"\n";
    let sources = ["use serde_x::y;\nuse my_serde::z;\n".to_owned()];
    assert_eq!(unused(manifest, "[dependencies]", &sources), ["serde"]);
    assert_eq!(unused(manifest, "[dev-dependencies]", &sources), ["rare"]);
    assert_eq!(unused(manifest, "[build-dependencies]", &sources), [""; 0]);
}
