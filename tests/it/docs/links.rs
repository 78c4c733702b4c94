//! Links between the pages of this repository lead somewhere, and every page can be found from the index.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::world::path;

fn pages(folder: &str) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(path(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy()).trim_start_matches("./").to_owned();
        if entry.path().is_dir() {
            let is_ours = !entry.file_name().to_string_lossy().starts_with('.')
                && !["target", "node_modules", "dist"].contains(&name.as_str());
            if is_ours {
                pages.extend(self::pages(&name));
            }
        } else if entry.path().extension().is_some_and(|end| end == "md") {
            pages.push(name.into());
        }
    }
    pages
}

/// The lines that are prose, not code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// Where links of a page lead: a file of this repository, and the heading in it.
fn links(page: &Path, text: &str) -> Vec<(PathBuf, Option<String>)> {
    let folder = page.parent().unwrap();
    let mut links = Vec::new();
    // A link may be broken over two lines, but its target is not.
    for line in prose(text) {
        // What is code inside of a line is no link; what is code inside of its text may be one.
        let line: String = line.split('`').step_by(2).collect();
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with("mailto:") || target.is_empty() {
                continue;
            }
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let file = if file.is_empty() { page.to_owned() } else { plain(&folder.join(file)) };
            links.push((file, anchor.map(str::to_owned)));
        }
    }
    links
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::Normal(name) => plain.push(name),
            _ => {}
        }
    }
    plain
}

/// The anchors that GitHub and GitLab give the headings of a page.
pub(super) fn anchors(text: &str) -> BTreeSet<String> {
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_link_between_pages_leads_to_a_file_and_a_heading() {
    let mut dead = Vec::new();
    let mut seen = 0;
    for page in pages(".") {
        let text = fs::read_to_string(path(page.to_str().unwrap())).unwrap();
        for (file, anchor) in links(&page, &text) {
            seen += 1;
            let target = PathBuf::from(path(file.to_str().unwrap()));
            let found = match (&anchor, target.is_file()) {
                (Some(anchor), true) if file.extension().is_some_and(|end| end == "md") => {
                    anchors(&fs::read_to_string(&target).unwrap()).contains(anchor)
                }
                _ => target.exists(),
            };
            if !found {
                dead.push(format!("{}: {}#{}", page.display(), file.display(), anchor.unwrap_or_default()));
            }
        }
    }
    assert!(seen > 200, "only {seen} links");
    assert_eq!(dead, [""; 0]);
}

#[test]
fn the_index_names_every_page_of_the_documentation() {
    let index = PathBuf::from("docs/index.md");
    let text = fs::read_to_string(path("docs/index.md")).unwrap();
    let named: BTreeSet<PathBuf> = links(&index, &text).into_iter().map(|(file, _)| file).collect();
    let missing: Vec<PathBuf> =
        pages("docs").into_iter().filter(|page| *page != index && !named.contains(page)).collect();
    assert_eq!(missing, Vec::<PathBuf>::new());
}
