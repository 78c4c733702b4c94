//! What a pattern matches, and what is refused.

use proptest::prelude::*;
use regex::RegexBuilder;
use rstest::rstest;

use super::*;

#[rstest]
#[case("mr-.*", "mr-12", true)]
#[case("mr-.*", "xmr-12", false)]
#[case("a|ab", "ab", true)]
#[case("dev|test", "dev-important", false)]
#[case("dev|test", "mytest", false)]
#[case("^v.+$", "v1", true)]
#[case("(?i)RELEASE.*", "release-1", true)]
#[case("[0-9a-f]{40}", "da39a3ee5e6b4b0d3255bfef95601890afd80709", true)]
#[case("[[:word:]]+", "a_b", true)]
#[case("[]a]+", "a]", true)]
#[case("a|", "zzz", false)]
fn a_pattern_matches_the_whole_name(#[case] pattern: &str, #[case] name: &str, #[case] matches: bool) {
    assert_eq!(Pattern::compile(pattern).unwrap().matches(name), matches);
}

#[rstest]
#[case("(")]
#[case("*v10.")]
#[case("[")]
#[case("(?=a)")]
#[case(r"\1a")]
#[case(r"\Z")]
#[case("a)(b")]
#[case("(?P<a")]
#[case(r"\p{Foo}")]
fn what_is_no_pattern_is_refused(#[case] pattern: &str) {
    assert!(matches!(Pattern::compile(pattern), Err(PatternError::Invalid(_))), "{pattern}");
}

#[rstest]
#[case("[a[bc]]")]
#[case("[a-z&&b]")]
#[case("[a--b]")]
#[case(r"\<a")]
#[case(r"\b{start}a")]
#[case("a{1001}")]
#[case("a{1,1001}")]
#[case(r"(\w{100}){100}")]
#[case("(a{40}){40}")]
#[case("(?:(?:a{2,}){10,}b){51}")]
#[case("a**")]
#[case("a++")]
#[case("a{2}{3}")]
#[case("(?x)a # c")]
#[case("(?x:a)")]
#[case("(?-u)a")]
#[case(r"\u{41}")]
#[case(r"[\u{41}]")]
fn what_re2_reads_differently_is_refused(#[case] pattern: &str) {
    assert!(matches!(Pattern::compile(pattern), Err(PatternError::DiffersFromRe2(_))), "{pattern}");
}

#[test]
fn an_error_is_one_line_and_says_what_is_wrong() {
    let error = Pattern::compile("(").unwrap_err().to_string();
    assert_eq!(error, "is no valid pattern: unclosed group");
}

#[rstest]
#[case("(?:(?:a{2,}){10,}b){50}", true)]
#[case("(?:a{1000}|b{1000})c{1000}", true)]
#[case("(?:a+){1000}", true)]
fn repetitions_beside_each_other_are_counted_each(#[case] pattern: &str, #[case] known_to_re2: bool) {
    let differs = matches!(Pattern::compile(pattern), Err(PatternError::DiffersFromRe2(_)));
    assert_eq!(!differs, known_to_re2, "{pattern}");
    assert_eq!(gitlab_simulator::re2::Pattern::new(pattern).is_ok(), known_to_re2, "{pattern}");
}

#[rstest]
#[case(r"\p{L}{22}|u1")]
#[case(r"\pL{30}")]
#[case(r"[\p{L}\p{N}]{1,128}")]
#[case(r"(?i)\p{L}{1,64}")]
#[case(r"[^a-z]{1000}[ä-ü]{1000}.{1000}")]
#[case(r"\w{1000}")]
fn what_takes_too_much_is_refused_with_what_to_do(#[case] pattern: &str) {
    let error = Pattern::compile(pattern).unwrap_err();
    assert_eq!(error, PatternError::TooLarge, "{pattern}");
    let text = error.to_string();
    assert!(text.starts_with("takes more than 64 KiB of memory as compiled: repeat less often"), "{text}");
}

#[test]
fn nothing_is_compiled_far_beyond_what_is_allowed_before_it_is_refused() {
    // Would be gigabytes; that this test ends says that it stops early.
    for pattern in [r"(?:\p{L}{30}){30}", r"(?:\p{L}{9}|\p{N}{9}|\p{L}{1000})*", r"(?:[\w.-]{30}){33}"] {
        assert_eq!(Pattern::compile(pattern).unwrap_err(), PatternError::TooLarge, "{pattern}");
    }
}

#[test]
fn the_patterns_of_a_policy_are_counted_together() {
    let mut patterns = Patterns::default();
    let large = r"[\w.-]{1,200}";
    let mut refused = None;
    for number in 0..40 {
        match patterns.compile(&format!("rules[r{number}].nameRegexDelete"), large) {
            Ok(pattern) => assert!(pattern.bytes() <= MAX_PATTERN_BYTES),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let refused = refused.unwrap();
    assert!(matches!(refused.error, PatternError::TooLargeTogether { .. }));
    let text = refused.error.to_string();
    assert!(text.starts_with("brings the patterns of this policy above 256 KiB of memory as compiled; "), "{text}");
    assert!(text.contains("the largest is rules[r0].nameRegexDelete with "), "{text}");
}

#[test]
fn what_matching_made_is_not_cloned() {
    let pattern = Pattern::compile_capturing("(?:build|mr)-([0-9]+)-.*").unwrap();
    assert!(pattern.matches("mr-12-a"));
    assert_eq!(pattern.captured("mr-12-a"), Some("12"));
    assert!(pattern.scratch.is_used() && !pattern.clone().scratch.is_used());
    assert!(std::sync::Arc::ptr_eq(&pattern.compiled, &pattern.clone().compiled));
}

#[test]
fn states_are_bounded_however_many_names_are_matched() {
    let pattern = Pattern::compile(r"(?:.?.?.?[abc]){12}[\w.-]{0,100}").unwrap();
    let letters = ["a", "b", "c", "d", "_", "."];
    let mut number = 1_u64;
    for _ in 0..20_000 {
        let mut name = String::new();
        for _ in 0..60 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            name.push_str(letters[usize::try_from(number >> 60).unwrap() % letters.len()]);
        }
        let _ = pattern.matches(&name);
    }
    assert!(pattern.scratch.bytes() <= 512 << 10, "{}", pattern.scratch.bytes());
}

/// The name of a tag that a group holds may be longer than looking for it by backtracking allows.
#[test]
fn a_group_is_found_in_a_long_path_as_well() {
    let pattern = Pattern::compile_capturing(r"(?:[\w./-]{0,100}/)?([a-z]+)").unwrap();
    let long = format!("{}/{}", "x/y".repeat(30), "z".repeat(40_000));
    assert_eq!(pattern.captured(&long).map(str::len), Some(40_000));
    assert_eq!(Pattern::compile("(a)b").unwrap().captured("ab"), None);
}

/// Parts of patterns; of Unicode what its case folding relates to ASCII (`ſ` and `s`, the Kelvin sign and `k`) as well.
#[expect(clippy::too_many_lines, reason = "a table")]
fn part() -> impl Strategy<Value = String> {
    let parts = [
        "a",
        "k",
        "S",
        "_",
        "1",
        r"\.",
        "-",
        ".",
        r"\w",
        r"\W",
        r"\d",
        r"\D",
        r"\s",
        r"\S",
        r"\b",
        r"\B",
        "^",
        "$",
        "[a-k]",
        "[^a-k]",
        r"[\w.-]",
        r"[^\w]",
        r"[\W1]",
        "[[:alpha:]]",
        "[[:^alpha:]]",
        "[[:word:]]",
        "[[:punct:]]",
        r"\p{L}",
        r"\P{L}",
        r"\p{Lu}",
        r"\pN",
        r"[\p{Ll}_]",
        r"[^\p{L}]",
        r"[\d\p{Lu}]",
        "ſ",
        "\u{212A}",
        "[^ſ]",
        "[a-ſ]",
        r"\x{17F}",
        r"\x4b",
        "ü",
        "(?i)",
        "(?-i)",
        "(?s)",
        "(?i:k)",
        "(?i:S)",
        r"(?i:\p{Lu})",
        r"(?i:[^\p{Lu}])",
        r"(?i:[^K])",
        r"(?i:\w)",
        r"(?i:\W)",
        "(?i:ſ)",
        "(?i:[^\u{212A}])",
        "(?-i:S)",
        "|",
    ];
    let times = ["", "", "", "*", "+", "?", "{2}", "{0,2}", "*?", "{1,}"];
    (prop::sample::select(parts.to_vec()), prop::sample::select(times.to_vec())).prop_map(|(part, times)| {
        let repeats = !matches!(part, "|" | "(?i)" | "(?-i)" | "(?s)" | "^" | "$" | r"\b" | r"\B");
        if repeats { format!("{part}{times}") } else { part.to_owned() }
    })
}

fn some_pattern() -> impl Strategy<Value = String> {
    let one = prop::collection::vec(part(), 1..5).prop_map(|parts| parts.concat());
    one.prop_recursive(2, 12, 3, |inner| {
        (
            inner.clone(),
            inner,
            prop::sample::select(vec!["", "?:", "?i:"]),
            prop::sample::select(vec!["", "*", "?", "{1,2}"]),
        )
            .prop_map(|(one, other, kind, times)| format!("({kind}{one}){times}{other}"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn names_match_as_they_do_for_gitlab_and_as_they_did_with_unicode(
        pattern in some_pattern(),
        names in prop::collection::vec("[aAkKsSz1_][aAkKsSz1_.-]{0,3}", 1..12),
    ) {
        // Wrapped: GitLab is asked by `Pattern::grouped`.
        let (Ok(ours), Ok(gitlab)) =
            (Pattern::compile(&pattern), gitlab_simulator::re2::Pattern::anchored(&format!("(?:{pattern})")))
        else {
            return Ok(());
        };
        let unicode = RegexBuilder::new(&format!("^(?:{pattern})$")).build().unwrap();
        for name in &names {
            prop_assert_eq!(ours.matches(name), gitlab.is_found_in(name), "{} on {} and GitLab", &pattern, name);
            prop_assert_eq!(ours.matches(name), unicode.is_match(name), "{} on {} and Unicode", &pattern, name);
        }
    }

    #[test]
    fn a_group_holds_what_it_held_with_unicode(
        (before, group, after) in (part(), some_pattern(), part()),
        names in prop::collection::vec("[aAkKsSz1_][aAkKsSz1_.-]{0,5}", 1..12),
    ) {
        let pattern = format!("{before}({group}){after}");
        let Ok(ours) = Pattern::compile_capturing(&pattern) else { return Ok(()) };
        let unicode = RegexBuilder::new(&format!("^(?:{pattern})$")).build().unwrap();
        prop_assert_eq!(ours.groups(), unicode.captures_len() - 1);
        for name in &names {
            let expected = unicode.captures(name).and_then(|found| found.get(1)).map(|group| group.as_str());
            prop_assert_eq!(ours.captured(name), expected, "{} on {}", &pattern, name);
        }
    }
}
