//! That every policy that is written is one that the operator takes and that removes nothing, whatever names there are.

use jiff::SignedDuration;
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::Value;

use super::super::super::RequestLimits;
use super::super::super::gitlab_reader::address;
use super::super::super::input_files::Token;
use super::*;
use crate::api::{Mode, manifest};
use crate::policy::families::Sample;
use crate::policy::families::draft::draft;
use crate::policy::{CompileOptions, Method, compile};
use crate::terminal::is_odd;

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn request(group: &str, project: &str) -> Request {
    Request {
        address: address("https://gitlab.example.com".to_owned(), "gitlab-token".to_owned()),
        groups: vec![group.to_owned()],
        projects: vec![project.to_owned()],
        namespace: Some("team-shop".to_owned()),
        token: Token::Given(SecretString::from("none")),
        ca: None,
        allowed_hosts: Vec::new(),
        allow_insecure_http: false,
        limits: RequestLimits { requests_per_second: 1.0, graphql_batch: 1, requests_in_flight: 1 },
    }
}

fn extent() -> Extent {
    Extent { repositories: 80, most_repositories: 25, read: 24, sized: (2, 3 << 20), remarks: Vec::new() }
}

/// What was seen, with these names among it and enough of families for some of the rules.
fn families(names: &[String], many: [usize; 3]) -> Families {
    let mut families = Families::new().unwrap();
    let [merge_requests, nightlies, commits] = many;
    let all: Vec<String> = (0..merge_requests)
        .map(|number| format!("mr-{number}"))
        .chain((0..nightlies).map(|number| format!("nightly-{number}")))
        .chain((100..100 + commits).map(|number| format!("abcde{number}")))
        .chain(names.iter().cloned())
        .collect();
    let old = Some(now() - SignedDuration::from_hours(24 * 400));
    families.count(all.iter().map(String::as_str), &[Sample { name: "mr-0", at: old, bytes: Some(5 << 20) }]);
    families
}

/// Texts with all that YAML and terminals give a meaning.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = [
        "\n",
        "\r",
        "\t",
        "\u{1b}[2J",
        "\u{202e}",
        "\u{85}",
        "\u{2028}",
        ": ",
        " #",
        "- ",
        "'",
        "\"",
        "\\",
        "|",
        "mode: Delete",
    ];
    let piece = prop_oneof![prop::sample::select(pieces.to_vec()).prop_map(str::to_owned), "[a-z]{1,5}"];
    prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_policy_is_a_dry_run_that_the_operator_takes_and_that_protects_what_it_says(
        names in prop::collection::vec("(v|main-|mr-|pr-|sha-|)[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}", 0..30),
        many in [0_usize..40, 0_usize..40, 0_usize..40],
    ) {
        let families = families(&names, many);
        let draft = draft(&families);
        prop_assume!(!draft.rules.is_empty());
        let text = policy(&request("shop", "tools/linter"), &families, &draft, &extent(), now()).unwrap();
        let read = manifest::read(&text, None).unwrap_or_else(|error| panic!("{error}: {text}"));
        let compiled = compile(&read.spec, &CompileOptions::default(), now()).unwrap();
        prop_assert_eq!(compiled.mode, Mode::DryRun);
        let Method::Exact(rules) = &compiled.method else { panic!("{text}") };
        prop_assert_eq!(rules.len(), draft.rules.len());
        for name in &names {
            let protected = matches!(families.of(name), Family::Release | Family::Branch);
            prop_assert_eq!(compiled.protect.iter().any(|pattern| pattern.matches(name)), protected, "{}", name);
            let unknown = matches!(families.of(name), Family::Date | Family::Other(_));
            for rule in rules {
                let kept = rule.keep.as_ref().is_some_and(|keep| keep.matches(name));
                let selected = rule.delete.matches(name) && !kept;
                prop_assert!(!(selected && (protected || unknown)), "{}: {}", rule.name, name);
            }
        }
    }

    #[test]
    fn no_name_acts_on_a_terminal_or_says_something_else_in_yaml(
        group in hostile(),
        project in hostile(),
        names in prop::collection::vec(hostile(), 1..5),
    ) {
        let families = families(&names, [20, 0, 0]);
        let draft = draft(&families);
        let extent = Extent { remarks: names, ..extent() };
        prop_assert!(!is_odd(&summary(&families, &draft, &extent, now())));
        let text = policy(&request(&group, &project), &families, &draft, &extent, now()).unwrap();
        prop_assert!(!is_odd(&text), "{:?}", text);
        let read: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        prop_assert_eq!(&read["spec"]["target"]["groups"][0]["path"], &Value::from(group));
        prop_assert_eq!(&read["spec"]["target"]["projects"][0], &Value::from(project));
        prop_assert_eq!(&read["spec"]["mode"], "DryRun");
        prop_assert_eq!(read["spec"].as_object().unwrap().len(), 7);
    }
}

#[test]
fn what_was_seen_and_what_was_left_out_is_said_to_people_and_in_the_policy() {
    let names: Vec<String> = ["v1.0", "main", "feature-x", "feature-y", "20240115"].map(str::to_owned).to_vec();
    let families = families(&names, [12, 3, 0]);
    let draft = draft(&families);
    let extent = Extent { remarks: vec!["shop/web was not looked at: it is secret".to_owned()], ..extent() };
    let table = summary(&families, &draft, &extent, now());
    let expected = "\
80 repositories, 24 looked at; --max-repositories 25 left out 55.
3.0 MiB in the 2 whose size GitLab tells.

FAMILY                         REPOSITORIES   TAGS   SIZE OF ONE   OLDEST   NEWEST   IN THE POLICY
releases                       1              1      -             -        -        protected
branches and names that move   1              1      -             -        -        protected
merge requests                 1              12     5.0 MiB       400d     400d     olderThan 60d, keepN 10
nightly builds                 1              3      -             -        -        too few for a rule
dates                          1              1      -             -        -        left alone
feature-…                      1              2      -             -        -        left alone

Sizes and ages are those of a sample: at most 40 tags of each repository.
shop/web was not looked at: it is secret
";
    assert_eq!(table, expected);
    let text = policy(&request("shop", "tools/linter"), &families, &draft, &extent, now()).unwrap();
    for said in [
        "# A first policy, by what was seen: 80 repositories, 24 looked at; --max-repositories 25 left out 55.\n",
        "# - shop/web was not looked at: it is secret\n",
        "  #   Seen: 12 tags in 1 repository, the oldest that was looked at 400d old.\n",
        "  # - dates (1 tag in 1 repository)\n  # - feature-… (2 tags in 1 repository)\n",
    ] {
        assert!(text.contains(said), "{said}{text}");
    }
}
