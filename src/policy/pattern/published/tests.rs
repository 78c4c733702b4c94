//! Patterns that people use: those of this project, of cases from the field, and published ones. All must compile,
//! match what they are meant to, and take little.

use std::fs;
use std::path::Path;

use rstest::rstest;
use serde_json::Value;

use super::{MAX_PATTERN_BYTES, Pattern, Patterns};
use crate::policy::pattern::error::MAX_POLICY_BYTES;

/// Published patterns, each with a name that it matches and one that it does not, if there is any. Sources, in groups:
/// GitLab's documentation of cleanup policies and of its API, defaults and issues of GitLab, scripts and providers that
/// set them, answers to questions, conventions of tools that name tags.
const PUBLISHED: &[(&str, &str, Option<&str>)] = &[
    // https://docs.gitlab.com/user/packages/container_registry/reduce_container_registry_storage/#regex-pattern-examples
    (".*", "anything", None),
    ("v.+", "v1.2.3", Some("v")),
    ("main", "main", Some("main-2")),
    ("release.*", "release-1", Some("prerelease")),
    (r"(?:v.+|main|release.*)", "release", Some("mains")),
    // https://docs.gitlab.com/api/container_registry/#delete-registry-repository-tags-in-bulk
    ("[0-9a-z]{40}", "da39a3ee5e6b4b0d3255bfef95601890afd80709", Some("da39a3ee")),
    ("v.*", "v", Some("latest")),
    // Defaults and examples that GitLab had, and its issues 214007, 325429, 466239.
    (".*-stable", "17-9-stable", Some("stable")),
    ("production/.*", "production/web", Some("production")),
    ("(master|stable.*)", "stable-2", Some("masters")),
    (r"(?:v.+|master|main|\d+\.\d+\.\d+(-ee)?)", "16.8.8-ee", Some("16.8.8-rc42-ee")),
    (r".*-[0-9a-f]{8}", "main-3f2a9c01", Some("main-3f2a9c0")),
    // Scripts and providers: python-gitlab, terraform-provider-gitlab, registry-cleanup jobs.
    ("(?:v.+|master.*)", "master-2", Some("dev")),
    ("(?:v.+|php.+|master.*)", "php8.3", Some("php")),
    ("^v.+", "v2", Some("w2")),
    ("^(?:latest|main|master|develop)$", "develop", Some("developer")),
    (r"^mr-\d+$", "mr-17", Some("mr-17-a")),
    (r"mr-[0-9]+(-.*)?", "mr-17-a", Some("mr-x")),
    (r"\d+\.\d+\.\d+", "1.2.3", Some("1.2")),
    (r"v?\d+\.\d+\.\d+(?:-.+)?", "v1.2.3-rc1", Some("v1.2")),
    (r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?", "1.20.3-alpha.1", Some("01.2.3")),
    (
        r"^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$",
        "v1.0.0-alpha.1",
        Some("1.0"),
    ),
    (r"\w+-\w+-\w{8}", "feature-login-3f2a9c01", Some("feature-3f2a9c01")),
    (r"[\w.-]{1,128}", "Any_tag-1.0", Some("a/b")),
    (r"[\w][\w.-]{0,127}", "_x", Some("-x")),
    (r"[\w.-]{0,127}", "x", Some("a b")),
    ("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", "Z", Some(".x")),
    ("(?i)(feature|bugfix|hotfix)[-_].*", "Feature-Login", Some("release-1")),
    ("(?i).*(snapshot|wip|tmp).*", "1.0-SNAPSHOT", Some("1.0")),
    ("(?i:dev|test|qa)-.+", "QA-1", Some("qa")),
    ("[0-9a-f]{7,40}", "3f2a9c0", Some("3f2a9c")),
    ("[a-f0-9]{64}", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Some("e3b0")),
    ("sha-[0-9a-f]{7}", "sha-3f2a9c0", Some("sha-3f2a9c01")),
    (r"sha256-[0-9a-f]{64}(\.(sig|att|sbom))?", "", Some("sha256-12.sig")),
    (r"pr-\d+|mr-\d+", "pr-4", Some("pr-4-mr-4")),
    (r"\d{4}-\d{2}-\d{2}(T\d{2}-\d{2})?", "2026-11-29", Some("26-11-29")),
    (r"20\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])[.-]\d+", "20261129.4", Some("20261329.4")),
    (r"\d{8}T\d{6}Z?", "20261129T103000Z", Some("20261129")),
    ("renovate[-_/].*", "renovate-lock-file", Some("renovate")),
    ("(dependabot|renovate)-.+", "dependabot-npm", Some("bot-npm")),
    ("(?:[a-z]+-)?build[.-][0-9]+", "web-build-12", Some("web-build")),
    (r".*-(amd64|arm64|arm/v7|ppc64le|s390x)", "1.0-arm64", Some("1.0")),
    (r"(?:main|master)-[0-9a-f]{8}-\d{10}", "main-3f2a9c01-1764412345", Some("main-3f2a9c01")),
    (r"[^v].*", "x1", Some("v1")),
    ("(?s).+", "x", None),
    (r"\bcache\b.*", "cache-layers", Some("caches")),
    (r"(?P<branch>[a-z0-9-]+)\.(?P<commit>[0-9a-f]{8})", "main.3f2a9c01", Some("main")),
    ("[[:alnum:]]+_[[:xdigit:]]+", "web_3F", Some("web")),
    ("v1[.]2[.].*", "v1.2.9", Some("v1.20")),
    (r"\p{Lu}+-[0-9]+", "JIRA-12", Some("jira-12")),
];

#[test]
fn published_patterns_compile_match_and_take_little() {
    assert!(PUBLISHED.len() >= 40);
    let mut largest = 0;
    for (source, matching, other) in PUBLISHED {
        let pattern = Pattern::compile(source).unwrap_or_else(|error| panic!("{source} {error}"));
        assert!(matching.is_empty() || pattern.matches(matching), "{source} on {matching}");
        assert!(other.is_none_or(|name| !pattern.matches(name)), "{source} on {other:?}");
        largest = largest.max(pattern.bytes());
        // All that are published work as keepN's groups, too: they are compiled twice then.
        assert!(Pattern::compile_capturing(source).is_ok(), "{source}");
    }
    assert!(largest < MAX_PATTERN_BYTES / 2, "{largest}");
}

/// A policy with as many ordinary patterns as the definition allows is no problem.
#[test]
fn a_policy_full_of_ordinary_patterns_fits() {
    let mut patterns = Patterns::default();
    let ordinary = PUBLISHED.iter().filter(|(source, ..)| !source.contains("128") && !source.contains("127"));
    for (source, ..) in ordinary.cycle().take(90) {
        patterns.compile("protect.nameRegex", source).unwrap_or_else(|refused| panic!("{refused:?}"));
    }
    assert!(patterns.bytes() < MAX_POLICY_BYTES, "{}", patterns.bytes());
}

/// Every pattern that a document, example or case of this project has.
#[rstest]
#[case::documentation("docs")]
#[case::chart("charts")]
#[case::deploy("deploy")]
#[case::demo("hack")]
#[case::field_cases("tests/it/field_cases/cases")]
#[case::readme("README.md")]
fn patterns_of_this_project_compile(#[case] place: &str) {
    let mut found = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(place), &mut found);
    for source in &found {
        if let Err(error) = Pattern::compile(source) {
            panic!("{place}: {source:?} {error}");
        }
    }
    assert!(!found.is_empty() || matches!(place, "charts" | "deploy"), "{place}");
}

/// Patterns of the cases from the field that these tests have no file of: among them what was meant otherwise.
#[rstest]
#[case("v*")]
#[case(r"^(latest|v\\d+\\.\\d+\\.\\d+|main)$")]
#[case("v[0-9].*|main|stable\n")]
#[case("shop/backend(/.*)?")]
#[case("/shop/legacy(/.*)?")]
#[case("Shop/Legacy(/.*)?")]
fn odd_patterns_from_the_field_compile(#[case] source: &str) {
    assert!(Pattern::compile(source).is_ok());
}

fn collect(path: &Path, found: &mut Vec<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), found);
        }
    } else if let Ok(text) = fs::read_to_string(path) {
        text.lines().for_each(|line| found.extend(of_line(line)));
    }
}

/// The patterns of a line of YAML: of a field, or of a list of them.
fn of_line(line: &str) -> Vec<String> {
    let fields = ["nameRegexDelete: ", "nameRegexKeep: ", "groupBy: ", "nameRegex: ", "include: ", "exclude: "];
    let Some(value) = fields.iter().find_map(|field| Some(line.split_once(field)?.1)) else { return Vec::new() };
    let value = value.split(" #").next().unwrap_or_default().trim();
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| Some(rest.split_once(quote)?.0.to_owned()));
    if let Some(list) = value
        .strip_prefix('[')
        .filter(|_| ["include: [", "exclude: [", "Regex: ["].iter().any(|key| line.contains(key)))
    {
        let list: Value = serde_saphyr::from_str(&format!("[{}", list.split_inclusive(']').next().unwrap_or_default()))
            .unwrap_or_default();
        return list.as_array().into_iter().flatten().filter_map(|item| Some(item.as_str()?.to_owned())).collect();
    }
    match quoted('\'').or_else(|| quoted('"')) {
        Some(pattern) => vec![pattern],
        // What begins a block, or stands in a sentence, is none.
        None if value.is_empty() || value.starts_with(['|', '>', '`']) || value.contains('`') => Vec::new(),
        None => vec![value.trim_end_matches(['}', ',']).to_owned()],
    }
}
