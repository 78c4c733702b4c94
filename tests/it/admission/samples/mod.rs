//! Policies that are refused, and policies that are taken: by the API server, by the operator and by `plan -f` alike.

mod bounds;
mod keep;
mod rules;

use serde_json::{Value, json};

use crate::support::{change, plain_policy};

pub(super) use bounds::by_bounds;
pub(super) use keep::by_keep_pattern;
pub(super) use rules::by_rule;

/// A change of a sound policy that makes it one that is refused.
pub(super) struct Refused {
    pub(super) name: &'static str,
    pub(super) policy: Value,
    /// The field that is complained about.
    pub(super) field: &'static str,
    /// Words of the API server.
    pub(super) server: &'static str,
    /// Words of the operator.
    pub(super) operator: &'static str,
}

#[expect(clippy::needless_pass_by_value, reason = "the table reads better")]
fn refused(name: &'static str, pointer: &str, value: Value, field: &'static str, words: &'static str) -> Refused {
    Refused { name, policy: changed("refused", pointer, &value), field, server: words, operator: words }
}

/// The same where the operator has words of its own.
#[expect(clippy::needless_pass_by_value, reason = "the table reads better")]
fn told_apart(
    name: &'static str,
    pointer: &str,
    value: Value,
    field: &'static str,
    [server, operator]: [&'static str; 2],
) -> Refused {
    Refused { name, policy: changed("refused", pointer, &value), field, server, operator }
}

pub(super) fn changed(name: &str, pointer: &str, value: &Value) -> Value {
    let mut policy = plain_policy(name);
    change(&mut policy, pointer, value);
    policy
}

fn numbered(text: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{text}{number}")).collect()
}

/// Rules that would remove every tag.
pub(super) fn everything() -> Vec<Refused> {
    let sentence = "this rule would remove every tag: set nameRegexKeep, olderThan or a keepN of at least 1, or narrow";
    let rule = |pattern: &str| json!([{"name": "all", "nameRegexDelete": pattern, "keepN": 0}]);
    let patterns = [
        ".*",
        ".+",
        "(.*)",
        "^.*$",
        "(?s).*",
        "(?i).*",
        r"[\w.-]+",
        "(?:.*|x)",
        "x|.*",
        "[^/]*",
        r"\w[\w.-]{0,127}",
        "a?.*",
        ".*|main",
    ];
    patterns.map(|pattern| refused(pattern, "/rules", rule(pattern), "spec.rules[0]", sentence)).into()
}

/// What is no pattern. The API server's own words tell where it breaks, the same sentence follows; the operator has its
/// own.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn by_pattern() -> Vec<Refused> {
    let sentence = "give a valid RE2 pattern (look-around and back-references do not exist there)";
    let both = |server| [server, sentence];
    let mut grouped =
        told_apart("in_group_by", "/rules/0/groupBy", json!("("), "spec.rules[0].groupBy", both("missing closing )"));
    change(&mut grouped.policy, "/method", &json!("Exact"));
    vec![
        told_apart(
            "an_open_group",
            "/rules/0/nameRegexDelete",
            json!("mr-("),
            "spec.rules[0].nameRegexDelete",
            both("missing closing )"),
        ),
        told_apart(
            "look_ahead",
            "/rules/0/nameRegexDelete",
            json!("(?!release).*"),
            "spec.rules[0].nameRegexDelete",
            both("`(?!`"),
        ),
        told_apart(
            "look_behind",
            "/rules/0/nameRegexDelete",
            json!(".*(?<!-rc)"),
            "spec.rules[0].nameRegexDelete",
            both("invalid named capture: `(?<!-rc)`"),
        ),
        told_apart(
            "a_back_reference",
            "/rules/0/nameRegexDelete",
            json!(r"(a)\1"),
            "spec.rules[0].nameRegexDelete",
            both(r"invalid escape sequence: `\1`"),
        ),
        told_apart(
            "a_shell_pattern",
            "/rules/0/nameRegexDelete",
            json!("*-dev"),
            "spec.rules[0].nameRegexDelete",
            both("missing argument to repetition operator: `*`"),
        ),
        told_apart(
            "too_many_repetitions",
            "/rules/0/nameRegexDelete",
            json!("a{1001}"),
            "spec.rules[0].nameRegexDelete",
            ["invalid repeat count: `{1001}`", "would be read differently by GitLab: RE2 repeats at most 1000 times"],
        ),
        told_apart(
            "two_halves_of_a_group",
            "/rules/0/nameRegexDelete",
            json!("a)|(b"),
            "spec.rules[0].nameRegexDelete",
            both("unexpected )"),
        ),
        told_apart(
            "in_name_regex_keep",
            "/rules/0/nameRegexKeep",
            json!("["),
            "spec.rules[0].nameRegexKeep",
            both("missing closing ]"),
        ),
        told_apart(
            "in_protect",
            "/protect",
            json!({"nameRegex": ["v.*", "("]}),
            "spec.protect.nameRegex[1]",
            both("spec.protect.nameRegex[1]"),
        ),
        told_apart(
            "in_include",
            "/target/repositories",
            json!({"include": ["("]}),
            "spec.target.repositories.include[0]",
            both("spec.target.repositories.include[0]"),
        ),
        told_apart(
            "in_exclude",
            "/target/repositories",
            json!({"exclude": ["(?=x)"]}),
            "spec.target.repositories.exclude[0]",
            both("spec.target.repositories.exclude[0]"),
        ),
        grouped,
    ]
}

/// What is taken, as it is documented.
pub(super) fn taken() -> Vec<Value> {
    let protect = json!({
        "inUse": "Required",
        "registryAliases": ["mirror.example.com", "mirror.example.com:5050/gitlab", "[2001:db8::1]:5000", "localhost", "docker.io"],
        "inUseFrom": [
            {"configMapRef": {"name": "cluster-west"}},
            {"configMapRef": {"name": "cluster-east", "key": "images.json"}, "maxAge": "12h"},
        ],
    });
    let rule = |rule: Value| {
        let mut whole = json!({"name": "r", "nameRegexDelete": ".*"});
        whole.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
        json!([whole])
    };
    let several = json!([
        {"name": "a", "nameRegexDelete": "a-(.*)", "keepN": 1, "groupBy": "a-(.*)"},
        {"name": "b", "nameRegexDelete": "b", "keepN": 1, "sortBy": "SemVer"},
    ]);
    let mut exact = changed("taken", "/rules", &several);
    change(&mut exact, "/method", &json!("Exact"));
    change(&mut exact, "/mode", &json!("RequireApproval"));
    let changes = [
        ("/protect", protect),
        ("/gitlab/url", json!("https://gitlab.example.com:8443/sub/path_1/~a")),
        ("/gitlab/url", json!("https://[2001:db8::1]:8443")),
        (
            "/excludeWindows",
            json!([
                {"name": "weekend", "schedule": "0 18 * * FRI", "duration": "62h"},
                {"name": "freeze", "from": "2026-12-20T18:00:00Z", "until": "2026-12-20T19:00:01+01:00"},
            ]),
        ),
        ("/gitlab/timeout", json!("4m")),
        ("/gitlab/timeout", json!("299s")),
        ("/gitlab/secretRef/key", json!("a_Key.1")),
        ("/target", json!({"projects": ["42", "shop/back.end_1"], "groups": []})),
        ("/target/repositories", json!({"include": ["shop/.*"], "exclude": [".*/cache"]})),
        ("/rules", rule(json!({"keepN": 1}))),
        ("/rules", rule(json!({"keepN": 0, "olderThan": "1month2d"}))),
        ("/rules", rule(json!({"keepN": 0, "nameRegexKeep": "v.*"}))),
        ("/rules", rule(json!({"keepN": 0, "nameRegexDelete": "mr-.*"}))),
        ("/rules", rule(json!({"keepN": 0, "nameRegexDelete": "[^v].*"}))),
        ("/rules", rule(json!({"keepN": 100_000, "nameRegexDelete": "a".repeat(512)}))),
        ("/protect", json!({"nameRegex": keep::KEEPING})),
        ("/emptyRepositories", json!({"deleteOlderThan": "30d"})),
        ("/limits", json!({"maxTagsPerRepository": 1, "maxPercentPerRepository": 100})),
        ("/schedule", json!("@weekly")),
        ("/schedule", json!("0 3-5 1,15 */2 MON-FRI")),
        ("/schedule", json!("0 0/6 * * *")),
        ("/schedule", json!("05 */30 01 JAN,12 ?")),
        ("/schedule", json!(" 0 20-23/2 31 1-12 5-7 ")),
        ("/schedule", json!("@midnight")),
        ("/rules/0/nameRegexKeep", json!("v.*|main")),
        ("/timeZone", json!("Etc/GMT+1")),
        ("/timeZone", json!("America/Argentina/Buenos_Aires")),
        ("/historyLimit", json!(0)),
    ];
    let mut all: Vec<Value> = changes.iter().map(|(pointer, value)| changed("taken", pointer, value)).collect();
    all.push(exact);
    all
}
