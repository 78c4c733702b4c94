//! The rules, asked of the definition as the API server does, and of their Rust twins.

use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use proptest::prelude::*;

use super::test::Test::Not;
use super::*;
use crate::api::crd;

/// Every rule of the definition, below `schema`.
fn told(schema: &Value, found: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        found.push(rule["rule"].as_str().unwrap().to_owned());
    }
    schema["properties"].as_object().into_iter().flatten().for_each(|(_, property)| told(property, found));
    if schema["items"].is_object() {
        told(&schema["items"], found);
    }
}

#[test]
fn every_rule_of_the_definition_is_known_and_none_is_left_over() {
    let mut found = Vec::new();
    told(&crd::definition().unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut found);
    assert!(found.iter().all(|rule| Rule::of(rule).is_some()), "{found:#?}");
    for rule in Place::ALL.iter().flat_map(|place| place.rules()) {
        assert!(found.contains(&rule.test.cel()), "the definition has no {}", rule.test.cel());
    }
    assert!(found.len() > 30, "only {} were looked at", found.len());
}

fn expressions(test: &Test) -> Vec<bool> {
    match test {
        Test::Matches(_, expression) => vec![expression.is_some()],
        Not(test) => expressions(test),
        All(tests) | Any(tests) => tests.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn every_expression_can_be_evaluated() {
    for rule in Place::ALL.iter().flat_map(|place| place.rules()) {
        assert!(expressions(&rule.test).into_iter().all(|valid| valid), "{}", rule.test.cel());
    }
}

/// The rules of a place, each with its CEL as the evaluator of kube reads it.
fn both(place: Place, type_: &str) -> Vec<(Rule, CompiledSchema)> {
    let schema = |rule: &Rule| {
        let rule = json!({"rule": rule.test.cel(), "message": rule.sentence});
        compile_schema(&json!({
            "type": type_, "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-validations": [rule]
        }))
    };
    place.rules().into_iter().map(|rule| (schema(&rule), rule)).map(|(schema, rule)| (rule, schema)).collect()
}

/// What the evaluator of kube says is what is said here.
fn agree(rules: &[(Rule, CompiledSchema)], value: &Value) -> Result<(), TestCaseError> {
    for (rule, schema) in rules {
        assert!(!schema.has_errors(), "{}", rule.test.cel());
        let told = Validator::new().validate_compiled(schema, value, None);
        prop_assert_eq!(rule.holds(value), told.is_ok(), "{} of {}: {:?}", rule.test.cel(), value, told.err());
    }
    Ok(())
}

fn texts() -> impl Strategy<Value = String> {
    let part = proptest::sample::select(vec![
        "http://",
        "https://",
        "HTTP:",
        "gitlab",
        ".example",
        "@",
        "?",
        "#",
        "/..",
        "/./",
        "/",
        "..",
        ".",
        "[::1]",
        ":8443",
        "TZ=",
        "@daily",
        "@hourly",
        "17 ",
        "3 ",
        "* ",
        "*",
        "0,30",
        "99",
        "Local",
        "LOCAL",
        "local",
        "Europe/Berlin",
        "\n",
        "1",
        "0",
        "d",
        "month",
        "m",
        "s",
        "-",
        "_",
        "%",
        "h",
        "w",
        "2026-12-20",
        "T18:00:00",
        "+01:00",
        "Z",
        "a",
        "Z",
        " ",
        "\\",
        "'",
        "é",
        "~",
    ]);
    proptest::collection::vec(part, 0..7).prop_map(|parts| parts.concat())
}

fn maybe<T: Into<Value> + Clone + std::fmt::Debug + 'static>(of: Vec<T>) -> impl Strategy<Value = Option<Value>> {
    proptest::option::of(proptest::sample::select(of).prop_map(Into::into))
}

fn object(members: Vec<(&str, Option<Value>)>) -> Value {
    members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn times() -> Vec<&'static str> {
    vec!["2026-12-20T18:00:00Z", "2026-12-20T18:00:00+01:00", "2026-12-20T17:00:00Z", "2027-01-06T08:00:00-05:00"]
}

prop_compose! {
    fn some_rule()(
        delete in proptest::sample::select(vec![
            ".*", "v.*", "[^/]*", "a|.*", r"\w[\w.-]*", "é|.*", r"\w[\w.-]{0,127}", "main", ".", "(?i)[A-Z].*",
        ]),
        keep in maybe(vec!["x"]), keep_n in maybe(vec![0, 1, 9]), older in maybe(vec!["7d"]),
        group in maybe(vec!["(x)"]), sort in maybe(vec!["Name"]),
    ) -> Value {
        object(vec![("nameRegexDelete", Some(delete.into())), ("nameRegexKeep", keep), ("keepN", keep_n),
                    ("olderThan", older), ("groupBy", group), ("sortBy", sort)])
    }
}

prop_compose! {
    fn some_spec()(
        method in maybe(vec!["Exact", "Bulk"]), mode in maybe(vec!["DryRun", "RequireApproval", "Delete"]),
        rules in proptest::collection::vec(some_rule(), 1..3),
    ) -> Value {
        object(vec![("method", method), ("mode", mode), ("rules", Some(rules.into()))])
    }
}

proptest! {
    #[test]
    fn a_text_is_judged_here_as_by_its_cel(text in texts()) {
        use Place as P;
        for place in [P::Address, P::Timeout, P::ObjectName, P::SecretKey, P::ConfigMapKey, P::Path, P::Alias,
            P::RuleName, P::WindowName, P::WindowDuration, P::Moment,
                      P::Age, P::Schedule, P::TimeZone] {
            agree(&both(place, "string"), &json!(text))?;
        }
    }

    #[test]
    fn an_object_is_judged_here_as_by_its_cel(
        spec in some_spec(), rule in some_rule(),
        url in maybe(vec!["http://a", "https://a"]), insecure in maybe(vec![true, false]),
        schedule in maybe(vec!["0 18 * * 5"]), duration in maybe(vec!["62h"]),
        from in maybe(times()), until in maybe(times()),
        projects in maybe(vec![json!([]), json!(["a/b"])]), groups in maybe(vec![json!([]), json!([{"path": "a"}])]),
    ) {
        agree(&both(Place::Spec, "object"), &spec)?;
        agree(&both(Place::Rule, "object"), &rule)?;
        agree(&both(Place::GitLab, "object"), &object(vec![("url", url), ("insecure", insecure)]))?;
        let window = vec![("schedule", schedule), ("duration", duration), ("from", from), ("until", until)];
        agree(&both(Place::ExcludeWindow, "object"), &object(window))?;
        agree(&both(Place::Target, "object"), &object(vec![("projects", projects), ("groups", groups)]))?;
    }
}
