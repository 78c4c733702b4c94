//! Which names belong together, and that a rule of the first policy selects its family and nothing else.

use proptest::prelude::*;
use rstest::rstest;

use super::draft::{PROTECT, draft};
use super::*;

fn families() -> Families {
    Families::new().unwrap()
}

fn at(day: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + day * 86_400).unwrap()
}

#[rstest]
#[case::semver("1.2.3", Family::Release)]
#[case::with_a_v("v1.2.3", Family::Release)]
#[case::a_candidate("v1.2.3-rc.1", Family::Release)]
#[case::a_variant("1.2-alpine", Family::Release)]
#[case::of_python("1.2rc1", Family::Release)]
#[case::major_only("v3", Family::Release)]
#[case::said("release-1.2", Family::Release)]
#[case::a_calendar_version("2024.01.15", Family::Release)]
#[case::a_release_of_a_merge_request("1.2.3-mr-12", Family::Release)]
#[case::main("main", Family::Branch)]
#[case::latest("latest", Family::Branch)]
#[case::latest_variant("latest-alpine", Family::Branch)]
#[case::the_newest_nightly("nightly", Family::Branch)]
#[case::an_environment("production", Family::Branch)]
#[case::merge_request("mr-12", Family::MergeRequest)]
#[case::of_a_commit("mr-12-abc1234", Family::MergeRequest)]
#[case::pull_request("pr-7", Family::MergeRequest)]
#[case::no_number("mr-fix", Family::Other("mr-".into()))]
#[case::no_separator("pr12", Family::Other("pr".into()))]
#[case::nightly("nightly-20240115", Family::Nightly)]
#[case::snapshot("snapshot.7", Family::Nightly)]
#[case::short("1a2b3c4d", Family::Commit)]
#[case::said("sha-1a2b3c4", Family::Commit)]
#[case::said_and_only_digits("sha-1234567", Family::Commit)]
#[case::whole("0123456789abcdef0123456789abcdef01234567", Family::Commit)]
#[case::whole_of_sha256("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", Family::Commit)]
#[case::between("0123456789abcdef0123456789abcdef0123456789abcdef", Family::Other("".into()))]
#[case::too_short("1a2b3c", Family::Other("".into()))]
#[case::a_number("1234567", Family::Other("".into()))]
#[case::a_word("deadbeef", Family::Other("".into()))]
#[case::a_date_with_a_letter("20240115b", Family::Date)]
#[case::a_date("20240115", Family::Date)]
#[case::a_date_with_dashes("2024-01-15-build", Family::Date)]
#[case::of_a_branch("main-1a2b3c4", Family::Other("main-".into()))]
#[case::of_a_branch_that_begins_with_a_letter("main-abc1234", Family::Other("main-".into()))]
#[case::a_branch("feature-login", Family::Other("feature-".into()))]
#[case::a_number_behind_a_word("build12", Family::Other("build".into()))]
#[case::a_word("experiment", Family::Other("".into()))]
fn a_name_belongs_to_the_family_of_its_shape(#[case] name: &str, #[case] family: Family) {
    assert_eq!(families().of(name), family);
}

#[test]
fn a_signature_is_no_commit_and_no_merge_request() {
    let digest = "0123456789abcdef".repeat(4);
    for name in [format!("sha256-{digest}"), format!("sha256-{digest}.sig"), format!("mr-12-sha256-{digest}.sig")] {
        assert_eq!(families().of(&name), Family::Attachment, "{name}");
    }
}

#[test]
fn families_are_counted_over_repositories_with_what_a_sample_tells() {
    let mut families = families();
    let sample = |name, day, bytes| Sample { name, at: Some(at(day)), bytes };
    families.count(["mr-1", "mr-2", "main"], &[sample("mr-2", 5, Some(30))]);
    families.count(["mr-7"], &[sample("mr-7", 2, None), sample("v1", 1, Some(1))]);
    let expected = Seen { repositories: 2, tags: 3, most: 2, sized: (1, 30), dates: Some((at(2), at(5))) };
    assert_eq!(families.seen_of(&Family::MergeRequest), expected);
    // It was pushed after the names were listed.
    assert_eq!(families.seen_of(&Family::Release), Seen::default());
}

#[test]
fn families_with_a_shape_come_first_and_then_the_largest_of_the_others() {
    let mut families = families();
    families.count(["a-1", "b-1", "b-2", "main", "1a2b3c4d", "v1"], &[]);
    let order: Vec<String> = families.seen().iter().map(|(family, _)| family.to_string()).collect();
    assert_eq!(order, ["releases", "branches and names that move", "commits", "b-…", "a-…"]);
}

#[rstest]
#[case(10, false)]
#[case(11, true)]
fn a_rule_is_there_only_where_more_than_its_newest_are_in_one_repository(#[case] tags: usize, #[case] rule: bool) {
    let mut families = families();
    let names: Vec<String> = (0..tags).map(|number| format!("mr-{number}")).collect();
    families.count(names.iter().map(String::as_str), &[]);
    families.count(["mr-1", "mr-2"], &[]);
    let rules = draft(&families).rules;
    assert_eq!(rules.iter().map(|(_, rule, _)| rule.name.as_str()).eq(["merge-requests"]), rule, "{rules:?}");
}

/// Names of all kinds, and such that are nearly of one.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        r"(release-|v|)[0-9]{1,3}(\.[0-9]{1,3}){0,3}([-_.](rc|alpine|[0-9]{1,2})){0,2}",
        r"(main|master|latest|stable|dev|nightly|snapshot|prod|beta)([-_.]?[a-z0-9]{1,8}){0,2}",
        r"(mr|pr|PR|pull|merge-request)[-_.]?[0-9]{0,4}([-_.][0-9a-f]{7,10})?",
        r"(sha-|git-|commit-|)[0-9a-f]{5,42}",
        "[0-9a-f]{64}",
        r"[0-9]{5,14}[a-f]{0,2}",
        r"20[0-9]{2}[-_.]?[01][0-9][-_.]?[0-3][0-9]([-_.]?[a-f0-9]{1,3})?",
        r"[a-f]{6,10}",
        r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}",
    ]
}

/// Enough of each family for all rules.
fn with_all_rules() -> Families {
    let mut families = families();
    let many =
        (100..130).flat_map(|number| [format!("mr-{number}"), format!("nightly-{number}"), format!("abcde{number}")]);
    let many: Vec<String> = many.collect();
    families.count(many.iter().map(String::as_str), &[]);
    families
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_rule_selects_its_family_and_no_name_that_is_protected_or_not_understood(name in name()) {
        let families = with_all_rules();
        let family = families.of(&name);
        let rules = draft(&families).rules;
        prop_assert_eq!(rules.len(), 3);
        for (of, rule, _) in &rules {
            let matches = |pattern: &str| Pattern::compile(pattern).unwrap().matches(&name);
            let selected = matches(&rule.name_regex_delete) && !rule.name_regex_keep.as_deref().is_some_and(matches);
            // An attachment goes with its image, by whatever name the image has.
            if family != Family::Attachment {
                prop_assert_eq!(selected, *of == family, "{} is of {}", name, family);
            }
        }
        let protected = PROTECT.iter().any(|(pattern, _)| Pattern::compile(pattern).unwrap().matches(&name));
        if family != Family::Attachment {
            prop_assert_eq!(protected, matches!(family, Family::Release | Family::Branch), "{}", name);
        }
    }
}
