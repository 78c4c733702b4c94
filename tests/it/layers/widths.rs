//! No line is wider than 120 columns: comments here, code by rustfmt, prose in Markdown. Tables, links, texts that are
//! printed and what stands between fences are as wide as they have to be.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::world::{output, path};

const WIDTH: usize = 120;

/// The files of the repository with this ending.
fn files(ending: &str) -> Vec<String> {
    let (ok, text) = output(Command::new("git").current_dir(path("")).args(["ls-files", &format!("*{ending}")]));
    assert!(ok, "{text}");
    text.lines().map(str::to_owned).filter(|file| Path::new(&path(file)).exists()).collect()
}

/// The wide lines of a text, less those that a fence encloses.
fn wide(text: &str, concerns: impl Fn(&str) -> bool) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    let prose = text.lines().enumerate().filter(move |(_, line)| {
        let line = line.trim_start().trim_start_matches(['/', '!']).trim_start();
        fenced ^= line.starts_with("```");
        !fenced
    });
    prose.filter(move |(_, line)| line.chars().count() > WIDTH && concerns(line) && !line.contains("http"))
}

#[test]
fn comments_and_prose_are_120_columns_wide_at_most() {
    let (sources, pages) = (files(".rs"), files(".md"));
    assert!(sources.len() > 300 && pages.len() > 40, "{} and {}", sources.len(), pages.len());
    let mut found = Vec::new();
    for file in &sources {
        let text = fs::read_to_string(path(file)).unwrap();
        found.extend(
            wide(&text, |line| line.trim_start().starts_with("//")).map(|(at, _)| format!("{file}:{}", at + 1)),
        );
    }
    // What is generated is as wide as what it is made of.
    let generated = ["docs/reference.md", "docs/supported.md", "docs/checklist.md"];
    let written = |file: &&String| !file.starts_with("charts/") && !generated.contains(&file.as_str());
    for file in pages.iter().filter(written) {
        let text = fs::read_to_string(path(file)).unwrap();
        let prose = |line: &str| !line.trim_start().starts_with(['|', '#', '<']) && !line.contains("](");
        found.extend(wide(&text, prose).map(|(at, _)| format!("{file}:{}", at + 1)));
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_line_that_is_too_wide_is_found() {
    let long = "x".repeat(WIDTH);
    assert_eq!(wide(&format!("// {long}\nfine\n"), |_| true).count(), 1);
    assert_eq!(wide(&format!("```\n{long}xxx\n```\n{long}\n"), |_| true).count(), 0);
}
