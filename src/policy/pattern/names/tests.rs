//! Which patterns can match a name at all.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn compile(pattern: &str) -> Pattern {
    Pattern::compile(pattern).unwrap()
}

#[rstest]
#[case("v.+|main")]
#[case("latest")]
#[case("^v[0-9]+$")]
#[case(".*")]
#[case("a?")]
#[case("[^a]")]
#[case("[^/]+")]
#[case(r"\w[\w.-]{127}")]
#[case("a{128}")]
#[case(r"\bv1\b")]
#[case("(?m)^v1$")]
#[case("(?i)RELEASE")]
#[case("(v|)(1|2)")]
#[case(r"(\w|\.){2}")]
#[case("(-rc)?v1")]
#[case(r"(v\d|main){1,}")]
#[case("v1|")]
fn a_pattern_that_can_match_a_tag_keeps(#[case] pattern: &str) {
    assert_eq!(compile(pattern).keeps(), Ok(()));
}

#[rstest]
#[case::a_block_scalar("v.+|main\n", "main\n")]
#[case::a_line_break_before("\nv.+", "")]
#[case::doubled_escapes(r"^(latest|v\\d+\\.\\d+|main)$", r"v\\d+\\.\\d+")]
#[case::a_list("v1,v2", "")]
#[case::a_list_with_spaces("v1, v2|main", "v1, v2")]
#[case::a_path("shop/web:v1.*", "")]
#[case::a_path_among_others("main|shop/web:(v1|v2)", "shop/web:(v1|v2)")]
#[case::a_slash("/v1/", "")]
#[case::a_leading_dash("-rc", "")]
#[case::a_leading_dot(r"\.hidden", "")]
#[case::too_long("a{129}", "")]
#[case::nothing_at_all("^$", "")]
#[case::no_word_begins_here(r"\Bv1", "")]
#[case::a_word_ends_here(r"v1\B-\B.*|x", r"v1\B-\B.*")]
#[case::one_name_beyond_ascii("ü|v1", "ü")]
#[case::anchors_the_wrong_way("$v1^", "")]
#[case::a_name_beyond_ascii("größe", "")]
#[case::inside_of_a_repetition("(main|v1/)+", "v1/")]
#[case::deep_in_another_alternative("latest|v(1|2,3|4)", "2,3")]
fn a_pattern_that_matches_no_tag_is_refused_with_the_part_that_does_not(#[case] pattern: &str, #[case] part: &str) {
    let keeps = compile(pattern).keeps();
    let whole = part.is_empty();
    assert_eq!(
        keeps,
        Err(if whole { PatternError::MatchesNoTag } else { PatternError::PartMatchesNoTag(part.to_owned()) })
    );
}

#[rstest]
#[case("shop/legacy(/.*)?", true)]
#[case(".*/cache", true)]
#[case("registry.example.com/shop/legacy", true)]
#[case("(?i)Shop/Legacy", true)]
#[case("Shop/Legacy(/.*)?", false)]
#[case("/shop/legacy(/.*)?", false)]
#[case("shop/legacy/", false)]
#[case("shop//legacy", false)]
#[case("shop/legacy\n", false)]
#[case("shop/legacy:v1", false)]
fn an_exclude_pattern_matches_paths_as_gitlab_writes_them(#[case] pattern: &str, #[case] matches: bool) {
    let expected = if matches { Ok(()) } else { Err(PatternError::MatchesNoPath) };
    assert_eq!(compile(pattern).excludes(), expected);
}

#[rstest]
#[case("shop/legacy(/.*)?", "shop", true)]
#[case("shop", "shop", true)]
#[case(".*/cache", "shop/web", true)]
#[case("legacy/.*", "shop", false)]
#[case("shopping/.*", "shop", false)]
#[case("registry.example.com/shop/legacy", "shop", false)]
fn a_pattern_may_match_no_path_of_a_group(#[case] pattern: &str, #[case] group: &str, #[case] matches: bool) {
    assert_eq!(compile(pattern).can_match(Names::PathsFrom(group)), matches);
}

#[test]
fn the_largest_patterns_are_walked_through_to_an_answer() {
    for pattern in [r"(?:\w{1,10}[.-]){20}\w/", r"(?:a|b|c|\w){50}/.*", r"(?:[a-f]{1,5}\b[.-]?){30},"] {
        assert!(!compile(pattern).can_match(Names::Tags), "{pattern}");
    }
}

fn patterns() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("a".to_owned()),
        Just("v1".to_owned()),
        Just(r"\.".to_owned()),
        Just("-".to_owned()),
        Just("/".to_owned()),
        Just(",".to_owned()),
        Just("[a-z]".to_owned()),
        Just(".".to_owned()),
        Just(r"\b".to_owned()),
        Just(r"\B".to_owned()),
        Just("^".to_owned()),
        Just("$".to_owned()),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.concat()),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join("|"))),
            (inner, prop_oneof![Just("*"), Just("?"), Just("+"), Just("{2}")])
                .prop_map(|(inner, op)| format!("(?:{inner}){op}")),
        ]
    })
}

proptest! {
    /// The walk and the matcher are two readings of one pattern: names of up to three characters are all tried.
    #[test]
    fn a_pattern_can_match_exactly_if_some_name_does(pattern in patterns()) {
        let compiled = compile(&pattern);
        let mut names = vec![String::new()];
        let mut found = false;
        for _ in 0..3 {
            let longer = |name: &String| b"av1.-".map(|byte| format!("{name}{}", char::from(byte)));
            names = names.iter().flat_map(longer).filter(|name| !name.starts_with(['.', '-'])).collect();
            found |= names.iter().any(|name| compiled.matches(name));
        }
        if found {
            prop_assert!(compiled.can_match(Names::Tags));
        } else if !compiled.can_match(Names::Tags) {
            prop_assert_eq!(compiled.keeps(), Err(PatternError::MatchesNoTag));
        }
    }

    /// What is said to match nothing matches no name of any length.
    #[test]
    fn what_can_match_nothing_matches_no_tag(pattern in patterns(), name in r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}") {
        let compiled = compile(&pattern);
        prop_assert!(compiled.can_match(Names::Tags) || !compiled.matches(&name));
    }
}
