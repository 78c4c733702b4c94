//! The layers of the source: what each may import, which other crates the pure ones must not even name, and that no
//! files import each other in circles.

mod circles;
mod dependencies;
mod imports;
mod widths;

use std::fs;
use std::path::{Path, PathBuf};

use rstest::rstest;

use crate::world::path;

/// What the deciding and describing layers must not name, since they are pure.
const IMPURE: &[&str] = &[
    "tokio",
    "reqwest",
    "kube::",
    "std::env",
    "std::fs",
    "Timestamp::now",
    "Instant",
    "SystemTime",
    "async ",
    ".await",
    "rand",
];

/// A layer, the layers it may import, and words that may not stand in it.
const LAYERS: &[(&str, &[&str], &[&str])] = &[
    ("causes", &[], IMPURE),
    ("clock", &[], &["kube::", "reqwest"]),
    ("leadership", &[], IMPURE),
    ("metrics", &[], IMPURE),
    ("model", &[], IMPURE),
    ("proxy", &[], IMPURE),
    ("terminal", &[], IMPURE),
    ("words", &[], IMPURE),
    ("api", &["words"], &["tokio", "reqwest", "std::env", "kube::Client", "kube::Api", "Timestamp::now", "async "]),
    ("hosts", &[], IMPURE),
    ("policy", &["api", "hosts", "leadership", "metrics", "model", "words"], IMPURE),
    ("plan_output", &["api", "model", "policy", "terminal", "words"], IMPURE),
    (
        "gitlab",
        &["clock", "hosts", "metrics", "model", "proxy"],
        &["kube::", "k8s_openapi", "std::env", "Timestamp::now"],
    ),
    (
        "notifications",
        &["causes", "clock", "gitlab", "hosts", "metrics", "policy"],
        &["kube::", "k8s_openapi", "std::env", "Timestamp::now"],
    ),
    ("cluster", &["api", "causes", "leadership", "model", "proxy"], &["reqwest", "std::env", "Timestamp::now"]),
    (
        "controller",
        &[
            "api",
            "causes",
            "clock",
            "cluster",
            "gitlab",
            "leadership",
            "metrics",
            "model",
            "notifications",
            "plan_output",
            "policy",
        ],
        &["reqwest", "std::env", "Timestamp::now", "clap"],
    ),
    ("server", &["metrics"], &["kube::", "reqwest", "std::env"]),
    ("telemetry", &["terminal"], &["kube::", "reqwest", "std::env"]),
    (
        "app",
        &[
            "api",
            "causes",
            "clock",
            "cluster",
            "controller",
            "gitlab",
            "leadership",
            "metrics",
            "model",
            "notifications",
            "plan_output",
            "policy",
            "proxy",
            "server",
            "terminal",
        ],
        &["reqwest", "std::env"],
    ),
    (
        "cli",
        &["api", "app", "causes", "controller", "leadership", "notifications", "proxy", "telemetry", "terminal"],
        &["reqwest", "kube::"],
    ),
    ("main", &[], &["tokio", "kube", "reqwest"]),
    ("lib", &[], &[]),
];

/// Longest source file that is still read in one go.
const MAX_LINES: usize = 500;
/// What a longer file says among its first lines, followed by the reason.
const EXCEPTION: &str = "//! Longer than 500 lines: ";

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every file of `src`: its path below that folder, and its text.
pub(crate) fn all_sources() -> Vec<(String, String)> {
    let root = PathBuf::from(path("src"));
    let mut files = Vec::new();
    sources(&root, &mut files);
    files
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&file).unwrap())
        })
        .collect()
}

/// The code without comments and without the tests at its end, which may use what they like.
pub(crate) fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Tests that are a file of their own, beside the code. They may use what they like.
fn is_test(file: &str) -> bool {
    file.ends_with("/tests.rs")
}

fn layer(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

#[test]
fn imports_go_one_way() {
    for (file, text) in all_sources().into_iter().filter(|(file, _)| !is_test(file)) {
        let layer = layer(&file);
        let (_, allowed, _) =
            LAYERS.iter().find(|(name, ..)| *name == layer).unwrap_or_else(|| panic!("{file} is in no layer"));
        for part in code(&text).split("crate::").skip(1) {
            let imported: String = part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            // Paths such as pub(crate) do not reach here; a crate-wide macro or re-export would be empty or
            // capitalised.
            assert!(
                imported == layer || allowed.contains(&imported.as_str()),
                "{file} imports crate::{imported}, which {layer} must not know"
            );
        }
    }
}

#[test]
fn a_layer_does_not_name_what_it_must_not_know() {
    for (file, text) in all_sources().into_iter().filter(|(file, _)| !is_test(file)) {
        let (_, _, words) = LAYERS.iter().find(|(name, ..)| *name == layer(&file)).unwrap();
        let code = code(&text);
        for word in *words {
            assert!(!code.contains(word), "{file} contains {word:?}");
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_short() {
    let complaints: Vec<String> = all_sources().iter().filter_map(|(file, text)| complaint(file, text)).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// What is wrong with the form of a file.
fn complaint(file: &str, text: &str) -> Option<String> {
    if !text.starts_with("//! ") {
        return Some(format!("{file} does not begin by saying what it is for"));
    }
    let lines = text.lines().count();
    let reason =
        || text.lines().take_while(|line| line.starts_with("//!")).find_map(|line| line.strip_prefix(EXCEPTION));
    (lines > MAX_LINES && reason().is_none_or(|reason| reason.trim().is_empty())).then(|| {
        format!(
            "{file} has {lines} lines, more than {MAX_LINES}: move its tests into tests.rs beside it, split it by purpose, or \
             say why not in its first lines ({EXCEPTION:?} and the reason)"
        )
    })
}

#[rstest]
#[case::short("//! What it is for.\n", 500, None)]
#[case::one_line_too_long("//! What it is for.\n", 501, Some("src/a.rs has 501 lines, more than 500: move its tests"))]
#[case::with_a_reason("//! What it is for.\n//!\n//! Longer than 500 lines: one table.\n", 501, None)]
#[case::with_an_empty_reason("//! What it is for.\n//! Longer than 500 lines: \n", 501, Some("src/a.rs has 501 lines"))]
#[case::with_a_reason_too_late(
    "//! What it is for.\n\n//! Longer than 500 lines: x\n",
    501,
    Some("src/a.rs has 501 lines")
)]
#[case::without_a_purpose("use x;\n", 1, Some("src/a.rs does not begin by saying what it is for"))]
fn a_file_that_does_not_follow_the_rules_is_told_what_to_do(
    #[case] head: &str,
    #[case] lines: usize,
    #[case] expected: Option<&str>,
) {
    let text = format!("{head}{}", "\n".repeat(lines - head.lines().count()));
    let found = complaint("src/a.rs", &text);
    match (found.as_deref(), expected) {
        (None, None) => {}
        (Some(found), Some(expected)) => assert!(found.starts_with(expected), "{found}"),
        _ => panic!("{found:?} instead of {expected:?}"),
    }
}

#[test]
fn every_watch_backs_off_and_nothing_reads_lists_of_secrets() {
    for (file, text) in all_sources() {
        let code = code(&text);
        assert_eq!(code.matches("watcher(").count(), code.matches(".default_backoff()").count(), "{file}");
        assert!(!code.contains("Api<Secret>") || !code.contains(".list("), "{file} lists Secrets");
    }
}
