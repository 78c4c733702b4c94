//! What compiles, and what becomes a problem.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

/// A spec that compiles, with parts of it replaced.
pub(crate) fn spec(changes: &Value) -> RegistryCleanupPolicySpec {
    let mut spec = json!({
        "gitlab": {"url": "https://gitlab.example.com", "secretRef": {"name": "token"}, "timeout": "30s"},
        "target": {"projects": ["shop/backend"]},
        "rules": [{"name": "all", "nameRegexDelete": ".*", "keepN": 5, "olderThan": "2d"}],
        "schedule": "17 3 * * *",
    });
    for (key, value) in changes.as_object().unwrap() {
        spec[key] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn problem(changes: &Value, settings: &CompileOptions) -> (Reason, String) {
    let problem = compile(&spec(changes), settings, now()).unwrap_err();
    (problem.reason, problem.message)
}

fn gitlab(url: &str) -> Value {
    json!({"gitlab": {"url": url, "secretRef": {"name": "token"}}})
}

#[test]
fn a_sound_spec_compiles_and_defaults_are_those_of_the_schema() {
    let policy = compile(&spec(&json!({})), &CompileOptions::default(), now()).unwrap();
    assert_eq!(policy.mode, Mode::DryRun);
    assert_eq!(policy.timeout, Duration::from_secs(30));
    assert_eq!(policy.starting_deadline, SignedDuration::from_secs(3600));
    assert!(!policy.suspended);
}

#[rstest]
#[case("https://gitlab.example.com/", "https://gitlab.example.com/")]
#[case("https://gitlab.example.com/git/", "https://gitlab.example.com/git")]
fn a_sub_path_is_kept_and_a_trailing_slash_is_not(#[case] url: &str, #[case] expected: &str) {
    let policy = compile(&spec(&gitlab(url)), &CompileOptions::default(), now()).unwrap();
    assert_eq!(policy.base_url.as_str(), expected);
}

#[rstest]
#[case("https://127.0.0.1")]
#[case("https://localhost:8443")]
#[case("https://gitlab.localhost")]
#[case("https://169.254.169.254")]
#[case("https://[::1]")]
#[case("https://[::ffff:127.0.0.1]")]
#[case("https://0.0.0.0")]
fn local_addresses_are_allowed_only_by_name(#[case] url: &str) {
    assert_eq!(problem(&gitlab(url), &CompileOptions::default()).0, Reason::HostNotAllowed);
    let host = Url::parse(url).unwrap().host_str().unwrap().trim_matches(['[', ']']).to_owned();
    let settings = CompileOptions { allowed_hosts: vec![host], ..CompileOptions::default() };
    assert!(compile(&spec(&gitlab(url)), &settings, now()).is_ok());
}

#[rstest]
#[case("gitlab.example.com", "https://gitlab.example.com", true)]
#[case("gitlab.example.com", "https://GitLab.Example.com", true)]
#[case("gitlab.example.com", "https://gitlab.example.com.evil.test", false)]
#[case("*.example.com", "https://gitlab.example.com", true)]
#[case("*.example.com", "https://example.com", false)]
#[case("*.example.com", "https://evilexample.com", false)]
#[case("*.Example.com", "https://gitlab.example.com:8443", true)]
#[case("gitlab.example.com:8443", "https://gitlab.example.com:8443", true)]
#[case("gitlab.example.com:8443", "https://gitlab.example.com", false)]
#[case("gitlab.example.com:443", "https://gitlab.example.com", true)]
#[case("[::1]:8443", "https://[::1]:8443", true)]
#[case("::1", "https://[::1]:8443", true)]
#[case("::1", "https://[::2]", false)]
fn a_list_of_hosts_allows_those_and_no_other(#[case] entry: &str, #[case] url: &str, #[case] allowed: bool) {
    let settings = CompileOptions { allowed_hosts: vec![entry.to_owned()], ..CompileOptions::default() };
    assert_eq!(compile(&spec(&gitlab(url)), &settings, now()).is_ok(), allowed);
}

#[rstest]
#[case(false, false, false)]
#[case(true, false, false)]
#[case(false, true, false)]
#[case(true, true, true)]
fn http_must_be_allowed_by_the_policy_and_by_the_operator(
    #[case] policy: bool,
    #[case] operator: bool,
    #[case] works: bool,
) {
    let changes = json!({
        "gitlab": {"url": "http://gitlab.example.com", "insecure": policy, "secretRef": {"name": "token"}}
    });
    let settings = CompileOptions { allow_insecure_http: operator, ..CompileOptions::default() };
    let result = compile(&spec(&changes), &settings, now());
    assert_eq!(result.is_ok(), works);
    if let Err(problem) = result {
        assert_eq!(problem.reason, Reason::InsecureConnectionsDisallowed);
    }
}

#[rstest]
#[case(gitlab("https://user:marker@gitlab.example.com"), Reason::InvalidSpec)]
#[case(gitlab("ftp://gitlab.example.com"), Reason::InvalidSpec)]
#[case(gitlab("gitlab.example.com"), Reason::InvalidSpec)]
#[case(json!({"schedule": "*/5 * * * *"}), Reason::InvalidSchedule)]
#[case(json!({"schedule": "0 0 30 2 *"}), Reason::InvalidSchedule)]
#[case(json!({"timeZone": "Europe/Atlantis"}), Reason::InvalidTimeZone)]
#[case(json!({"target": {}}), Reason::InvalidSpec)]
#[case(json!({"target": {"projects": ["a/b"], "repositories": {"include": ["("]}}}), Reason::InvalidPattern)]
#[case(json!({"protect": {"nameRegex": ["[a[b]]"]}}), Reason::InvalidPattern)]
#[case(json!({"rules": [{"name": "r", "nameRegexDelete": "(?=a)", "keepN": 1}]}), Reason::InvalidPattern)]
#[case(json!({"rules": [{"name": "r", "nameRegexDelete": "a", "olderThan": "1m"}]}), Reason::InvalidSpec)]
#[case(json!({"rules": [{"name": "r", "nameRegexDelete": "a"}]}), Reason::InvalidSpec)]
#[case(json!({"rules": []}), Reason::InvalidSpec)]
#[case(json!({"mode": "RequireApproval"}), Reason::InvalidSpec)]
#[case(json!({"emptyRepositories": {"deleteOlderThan": "101y"}}), Reason::InvalidSpec)]
#[case(json!({"rules": [{"name": "r", "nameRegexDelete": ".*", "keepN": 0}]}), Reason::InvalidSpec)]
fn what_the_schema_did_not_catch_becomes_a_documented_reason(#[case] changes: Value, #[case] expected: Reason) {
    let (reason, message) = problem(&changes, &CompileOptions::default());
    assert_eq!(reason, expected, "{message}");
    assert!(!message.contains("marker"), "{message}");
}

#[test]
fn of_much_that_is_wrong_a_few_things_are_told() {
    let rules: Vec<Value> =
        (0..5).map(|n| json!({"name": format!("r{n}"), "nameRegexDelete": ".*", "keepN": 0})).collect();
    let (_, message) = problem(&json!({"rules": rules, "method": "Exact"}), &CompileOptions::default());
    assert!(message.starts_with("spec.rules[0]: this rule would remove every tag: "), "{message}");
    assert!(message.ends_with("; and 2 more"), "{message}");
    assert!(message.len() < api::limits::MAX_MESSAGE, "{message}");
}
