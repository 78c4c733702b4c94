//! What is carried over from GitLab's own policies, held against the engine of the simulated GitLab.

use gitlab_simulator::re2;
use proptest::prelude::*;
use rstest::rstest;

use super::super::pattern::Pattern;
use super::*;

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn address() -> Address {
    Address { url: "https://gitlab.example.com".to_owned(), secret: "gitlab-token".to_owned() }
}

fn settings(delete: &str, keep: Option<&str>) -> CleanupSettings {
    CleanupSettings {
        enabled: true,
        cadence: "7d".to_owned(),
        keep_n: Some(10),
        older_than: Some("30d".to_owned()),
        name_regex: Some(delete.to_owned()),
        name_regex_keep: keep.map(str::to_owned),
    }
}

fn of(projects: &[(&str, Option<CleanupSettings>)]) -> Import {
    let projects: Vec<ProjectSettings> = projects
        .iter()
        .map(|(path, settings)| ProjectSettings { path: (*path).to_owned(), settings: settings.clone() })
        .collect();
    import(&address(), &projects, &CompileOptions::default(), now())
}

/// Why a project with these settings gets no policy.
fn refused(settings: CleanupSettings) -> String {
    let import = of(&[("shop/web", Some(settings))]);
    assert_eq!((import.policies.len(), import.left.len()), (0, 1), "{import:?}");
    import.left[0].why.clone()
}

#[rstest]
#[case("dev|test", "dev.*|.*test")]
#[case("v.+|main|release.*", "v.+.*|.*main.*|.*release.*")]
#[case("(?:dev|test)", "(?:dev|test)")]
#[case("(a|b)c", "(a|b)c")]
#[case("[|]x", "[|]x")]
#[case("a\\|b", "a\\|b")]
#[case("(?i)ab|cd", "(?i)ab.*|.*cd")]
#[case("v.*|", "v.*.*|.*")]
#[case(".*", ".*")]
fn only_bars_outside_of_groups_change_what_a_pattern_means(#[case] pattern: &str, #[case] whole: &str) {
    assert_eq!(whole_name(pattern).unwrap(), whole);
}

/// Pieces of which patterns are put together; bars join them.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "dev", "test", "v", "v\\d+", "[a-c]+", "(?i)A", "main", "(?:a|b)", "(x|yy)", ".*", ".+", "-", "\\.", "1?",
        "^v", "r$", "", "a{2}", "\\w*", "(?:)", "[^-]",
    ];
    proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned)
}

fn pattern() -> impl Strategy<Value = String> {
    let branch = proptest::collection::vec(piece(), 0..4).prop_map(|pieces| pieces.concat());
    proptest::collection::vec(branch, 1..4).prop_map(|branches| branches.join("|"))
}

fn name() -> impl Strategy<Value = String> {
    let words =
        ["dev", "test", "v", "1", "12", "a", "A", "aa", "b", "main", "x", "yy", "-", ".", "_", "r", "important"];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 1..5).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// 1,000 patterns with 20 names each.
    #[test]
    fn a_pattern_that_is_carried_over_matches_the_names_in_which_gitlab_finds_it(
        pattern in pattern(),
        names in proptest::collection::vec(name(), 20),
    ) {
        let Ok(theirs) = re2::Pattern::anchored(&pattern) else { return Ok(()) };
        // What is refused is not carried over.
        let Ok(ours) = Pattern::compile(&whole_name(&pattern).unwrap()) else { return Ok(()) };
        for name in names {
            prop_assert_eq!(ours.matches(&name), theirs.is_found_in(&name), "{} in {}", pattern, name);
        }
        if is_in_every_name(&pattern) {
            prop_assert!(theirs.is_found_in("anything"));
        }
    }
}

#[test]
fn a_policy_of_gitlab_becomes_one_that_says_the_same() {
    let import = of(&[("shop/web", Some(settings(".*", Some("v.+|main"))))]);
    assert!(import.left.is_empty(), "{import:?}");
    let made = &import.policies[0];
    assert_eq!(made.projects, ["shop/web"]);
    assert_eq!(made.remarks, ["name_regex_keep: GitLab reads v.+|main as v.+.*|.*main"]);
    let spec = serde_json::to_value(made.spec(&address()).unwrap()).unwrap();
    assert_eq!(spec["mode"], "DryRun", "nothing is removed until somebody says so");
    let patterns = json!({"name": "imported", "nameRegexDelete": ".*", "nameRegexKeep": "v.+.*|.*main"});
    let mut rule = spec["rules"][0].clone();
    let numbers = ["keepN", "olderThan"].map(|field| rule.as_object_mut().unwrap().remove(field).unwrap());
    assert_eq!((rule, numbers), (patterns, [json!(10), json!("30d")]));
    assert_eq!(spec["schedule"], "17 3 * * 0");
}

#[test]
fn projects_with_the_same_settings_share_a_policy() {
    let (one, other) = (settings("dev.*", None), settings("mr-.*", None));
    let import = of(&[
        ("shop/b", Some(one.clone())),
        ("shop/c", Some(other)),
        ("shop/a", Some(one.clone())),
        ("shop/a", Some(one)),
    ]);
    let projects: Vec<Vec<String>> = import.policies.into_iter().map(|made| made.projects).collect();
    assert_eq!(projects, [vec!["shop/a".to_owned(), "shop/b".to_owned()], vec!["shop/c".to_owned()]]);
}

#[test]
fn more_projects_than_a_policy_may_name_get_several() {
    let paths: Vec<String> = (0..=MAX_PROJECTS).map(|number| format!("shop/p{number:04}")).collect();
    let all: Vec<_> = paths.iter().map(|path| (path.as_str(), Some(settings("dev.*", None)))).collect();
    let import = of(&all);
    let counts: Vec<usize> = import.policies.iter().map(|made| made.projects.len()).collect();
    assert_eq!((counts, import.left.len()), (vec![MAX_PROJECTS, 1], 0));
}

#[test]
fn what_no_policy_can_stand_for_is_told_and_gets_none() {
    assert_eq!(
        refused(CleanupSettings { enabled: false, ..settings(".*", None) }),
        "its cleanup policy is not enabled"
    );
    assert_eq!(refused(settings("", None)), "its cleanup policy selects no tag");
    assert_eq!(
        refused(CleanupSettings { name_regex: None, ..settings("", None) }),
        "its cleanup policy selects no tag"
    );
    assert!(refused(settings(".*", Some("v.*|"))).contains("keeps every tag"));
    assert!(refused(settings("a(", None)).starts_with("name_regex: the pattern cannot be read"));
    assert!(refused(CleanupSettings { cadence: "2d".to_owned(), ..settings(".*", None) }).contains("2d"));
    let everything = CleanupSettings { keep_n: None, older_than: None, ..settings(".*", None) };
    assert!(refused(everything).starts_with("a policy would be refused: "));
    assert!(
        refused(CleanupSettings { older_than: Some("soon".to_owned()), ..settings(".*", None) }).contains("refused")
    );
    let unknown = of(&[("shop/web", None)]);
    assert_eq!((unknown.policies.len(), unknown.left[0].projects.as_slice()), (0, ["shop/web".to_owned()].as_slice()));
}

#[rstest]
#[case("1d", "17 3 * * *", 0)]
#[case("7d", "17 3 * * 0", 0)]
#[case("14d", "17 3 1,15 * *", 1)]
#[case("1month", "17 3 1 * *", 0)]
#[case("3month", "17 3 1 */3 *", 0)]
fn every_cadence_of_gitlab_has_a_schedule(#[case] cadence: &str, #[case] expected: &str, #[case] remarks: usize) {
    let import = of(&[("shop/web", Some(CleanupSettings { cadence: cadence.to_owned(), ..settings("dev.*", None) }))]);
    assert_eq!((import.policies[0].schedule, import.policies[0].remarks.len()), (expected, remarks));
}

#[test]
fn settings_of_which_a_part_is_missing_are_not_known() {
    let whole = json!({
        "enabled": true, "cadence": "1d", "keep_n": null, "older_than": null,
        "name_regex": ".*", "name_regex_keep": null
    });
    assert!(serde_json::from_value::<CleanupSettings>(whole.clone()).is_ok());
    for field in ["enabled", "cadence", "keep_n", "older_than", "name_regex", "name_regex_keep"] {
        let mut part = whole.clone();
        part.as_object_mut().unwrap().remove(field);
        assert!(serde_json::from_value::<CleanupSettings>(part).is_err(), "{field} is missing, which is not null");
        let mut odd = whole.clone();
        odd[field] = json!({});
        assert!(serde_json::from_value::<CleanupSettings>(odd).is_err(), "{field}");
    }
}

#[test]
fn a_policy_for_a_gitlab_without_tls_says_so() {
    let address = Address { url: "http://gitlab.example.com".to_owned(), ..address() };
    let project = ProjectSettings { path: "shop/web".to_owned(), settings: Some(settings("dev.*", None)) };
    let options = CompileOptions { allow_insecure_http: true, ..CompileOptions::default() };
    let import = import(&address, &[project], &options, now());
    assert!(import.left.is_empty(), "{import:?}");
    assert!(import.policies[0].spec(&address).unwrap().gitlab.insecure);
}
