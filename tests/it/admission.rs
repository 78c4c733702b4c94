//! What the API server refuses, and the sentence that somebody who typed it reads.

use kube::api::{Patch, PatchParams};
use kube::{Api, Error};
use registry_cleanup_operator::api::{RegistryCleanupPolicy, document};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{change, plain_policy};
use crate::world::{client, cluster, output};

/// Applies a policy that is to be refused; answers how many complaints there are, and the text as kubectl prints it.
async fn refused(policy: &Value) -> (usize, String) {
    let kube = client(cluster().await.kubeconfig()).await;
    let api: Api<RegistryCleanupPolicy> = Api::namespaced(kube, "default");
    match api.patch("refused", &PatchParams::apply("test").force(), &Patch::Apply(policy)).await {
        Err(Error::Api(status)) => {
            let complaints = status.details.as_ref().map_or(0, |details| details.causes.len());
            (complaints, status.message)
        }
        other => panic!("this should have been refused: {policy:#}: {other:?}"),
    }
}

fn changed(pointer: &str, value: &Value) -> Value {
    let mut policy = plain_policy("refused");
    change(&mut policy, pointer, value);
    policy
}

/// One complaint, which names the field and says what to do.
#[rstest]
#[case::http_without_consent("/gitlab/url", json!("http://gitlab.example.com"), "use https://, or set insecure: true")]
#[case::a_user_name_in_the_address("/gitlab/url", json!("https://bot@gitlab.example.com"), "the token belongs into the Secret")]
#[case::a_password_in_the_address("/gitlab/url", json!("https://bot:x@gitlab.example.com"), "the token belongs into the Secret")]
#[case::a_query("/gitlab/url", json!("https://gitlab.example.com?private_token=x"), "leave the query and the fragment away")]
#[case::a_fragment("/gitlab/url", json!("https://gitlab.example.com#top"), "leave the query and the fragment away")]
#[case::two_dots("/gitlab/url", json!("https://gitlab.example.com/../admin"), "write the sub-path plainly")]
#[case::two_dots_at_the_end("/gitlab/url", json!("https://gitlab.example.com/sub/.."), "write the sub-path plainly")]
#[case::encoded_dots("/gitlab/url", json!("https://gitlab.example.com/%2e%2e/admin"), "write the sub-path plainly")]
#[case::a_backslash("/gitlab/url", json!("https://gitlab.example.com/a\\b"), "write the sub-path plainly")]
#[case::a_line_break_that_hides_dots("/gitlab/url", json!("https://gitlab.example.com/.\n./admin"), "write the sub-path plainly")]
#[case::a_tab("/gitlab/url", json!("https://gitlab.example.com/\tadmin"), "write the sub-path plainly")]
#[case::a_quotation_mark("/gitlab/url", json!("https://gitlab.example.com/\"x\""), "write the sub-path plainly")]
#[case::no_scheme("/gitlab/url", json!("gitlab.example.com"), "begins with https://")]
#[case::another_scheme("/gitlab/url", json!("ftp://gitlab.example.com"), "begins with https://")]
#[case::no_host("/gitlab/url", json!("https://"), "give an absolute address")]
#[case::upper_case_http("/gitlab/url", json!("HTTP://gitlab.example.com"), "give an absolute address")]
#[case::a_timeout_of_zero("/gitlab/timeout", json!("0s"), "for example 30s")]
#[case::a_timeout_of_an_hour("/gitlab/timeout", json!("1h"), "below five minutes")]
#[case::a_timeout_without_a_unit("/gitlab/timeout", json!("30"), "for example 30s")]
#[case::a_secret_elsewhere("/gitlab/secretRef/name", json!("../kube-system/x"), "in the policy's own namespace")]
#[case::a_certificate_elsewhere("/gitlab/certSecretRef", json!({"name": "other/ca"}), "in the policy's own namespace")]
#[case::a_proxy_elsewhere("/gitlab/proxySecretRef", json!({"name": "other/proxy"}), "in the policy's own namespace")]
#[case::a_key_that_climbs("/gitlab/secretRef/key", json!("../token"), "give a key of the Secret")]
#[case::a_key_of_two_dots("/gitlab/secretRef/key", json!(".."), "give a key of the Secret")]
#[case::a_key_of_a_volume("/gitlab/secretRef/key", json!("..data"), "give a key of the Secret")]
#[case::a_key_with_a_slash("/gitlab/secretRef/key", json!("a/b"), "give a key of the Secret")]
#[case::an_address_as_an_alias("/protect", json!({"registryAliases": ["https://mirror.example.com"]}), "give a host, with its port and a leading part of the path if need be")]
#[case::an_alias_with_a_slash_at_its_end("/protect", json!({"registryAliases": ["mirror.example.com/gitlab/"]}), "no https://, no trailing slash")]
#[case::an_alias_with_a_tag("/protect", json!({"registryAliases": ["mirror.example.com/gitlab:v1"]}), "for example mirror.example.com/gitlab")]
#[case::an_upper_case_path_as_an_alias("/protect", json!({"registryAliases": ["mirror.example.com/GitLab"]}), "for example mirror.example.com/gitlab")]
#[case::a_pattern_as_an_alias("/protect", json!({"registryAliases": ["*.example.com"]}), "for example mirror.example.com/gitlab")]
#[case::a_list_elsewhere("/protect", json!({"inUseFrom": [{"configMapRef": {"name": "other/list"}}]}), "in the policy's own namespace")]
#[case::a_key_of_a_list_that_climbs("/protect", json!({"inUseFrom": [{"configMapRef": {"name": "list", "key": "../list"}}]}), "give a key of the ConfigMap")]
#[case::a_list_that_counts_for_minutes("/protect", json!({"inUseFrom": [{"configMapRef": {"name": "list"}, "maxAge": "30m"}]}), "give whole numbers with h, d, w, month or y")]
#[case::no_target("/target", json!({}), "name at least one project in projects or one group in groups")]
#[case::empty_lists("/target", json!({"projects": [], "groups": []}), "name at least one project")]
#[case::a_project_that_climbs("/target/projects", json!(["../admin"]), "no . or .. segment")]
#[case::a_project_that_climbs_inside("/target/projects", json!(["shop/../admin"]), "no . or .. segment")]
#[case::a_project_with_a_dot("/target/projects", json!(["shop/./backend"]), "no . or .. segment")]
#[case::a_project_with_a_leading_slash("/target/projects", json!(["/shop/backend"]), "no leading or trailing slash")]
#[case::a_project_with_a_trailing_slash("/target/projects", json!(["shop/backend/"]), "no leading or trailing slash")]
#[case::an_encoded_project("/target/projects", json!(["shop%2Fbackend"]), "nothing encoded")]
#[case::a_project_with_a_query("/target/projects", json!(["shop/backend?x=1"]), "the full path as it stands")]
#[case::a_group_that_climbs("/target/groups", json!([{"path": "shop/.."}]), "no . or .. segment")]
#[case::an_address_as_a_group("/target/groups", json!([{"path": "https://gitlab.example.com/shop"}]), "for example shop/backend")]
#[case::neither_number_nor_age("/rules/0/olderThan", json!(null), "set keepN (how many of the newest stay) or olderThan")]
#[case::a_rule_name_with_spaces("/rules/0/name", json!("Merge requests"), "name the rule with lower-case letters")]
#[case::thirty_minutes("/rules/0/olderThan", json!("30m"), "not m: GitLab reads 1m as one minute")]
#[case::a_minute_that_means_a_month("/rules/0/olderThan", json!("1m"), "for example 14d or 1month")]
#[case::zero_days("/rules/0/olderThan", json!("0d"), "give whole numbers")]
#[case::no_unit("/rules/0/olderThan", json!("14"), "give whole numbers with h, d, w, month or y")]
#[case::a_fraction("/rules/0/olderThan", json!("1.5d"), "give whole numbers")]
#[case::a_negative_age("/rules/0/olderThan", json!("-1d"), "give whole numbers")]
#[case::seconds("/rules/0/olderThan", json!("90s"), "give whole numbers with h, d, w, month or y")]
#[case::an_age_of_empty_repositories("/emptyRepositories", json!({"deleteOlderThan": "30m"}), "not m: GitLab reads 1m")]
#[case::every_five_minutes("/schedule", json!("*/5 * * * *"), "GitLab takes one bulk deletion per repository and hour")]
#[case::every_minute("/schedule", json!("* * * * *"), "give one number as the minute")]
#[case::twice_an_hour("/schedule", json!("0,30 * * * *"), "give one number as the minute")]
#[case::a_range_of_minutes("/schedule", json!("0-5 * * * *"), "give one number as the minute")]
#[case::minute_99("/schedule", json!("99 3 * * *"), "give one number as the minute")]
#[case::six_fields("/schedule", json!("0 17 3 * * *"), "without seconds or years")]
#[case::four_fields("/schedule", json!("17 3 * *"), "give five fields")]
#[case::at_reboot("/schedule", json!("@reboot"), "use @hourly, @daily, @weekly, @monthly or @yearly")]
#[case::every_duration("/schedule", json!("@every 5m"), "use @hourly")]
#[case::a_zone_in_the_schedule("/schedule", json!("TZ=UTC 0 3 * * *"), "name the time zone in timeZone")]
#[case::a_zone_in_the_schedule_as_in_go("/schedule", json!("CRON_TZ=UTC 0 3 * * *"), "name the time zone in timeZone")]
#[case::a_line_break_after_the_schedule("/schedule", json!("17 3 * * *\n"), "numbers, names of months and days")]
#[case::local_time("/timeZone", json!("Local"), "what Local means depends on the machine")]
#[case::local_time_in_lower_case("/timeZone", json!("local"), "what Local means depends on the machine")]
#[case::a_zone_that_climbs("/timeZone", json!("../../etc/passwd"), "give the IANA name of a time zone")]
#[case::a_zone_that_climbs_inside("/timeZone", json!("Europe/../../etc/passwd"), "give the IANA name")]
#[case::a_zone_file("/timeZone", json!("/etc/localtime"), "give the IANA name of a time zone")]
#[tokio::test]
async fn a_policy_that_cannot_be_meant_is_refused_with_one_sentence(
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] sentence: &str,
) {
    let (complaints, text) = refused(&changed(pointer, &value)).await;
    assert!(text.contains(sentence), "{text}");
    let field = pointer.split('/').nth(1).unwrap();
    assert!(text.contains(&format!("spec.{field}")), "the field is named: {text}");
    assert_eq!(complaints, 1, "{text}");
}

/// The server's own words tell where the pattern breaks; ours follow.
#[rstest]
#[case::an_open_group("/rules/0/nameRegexDelete", json!("mr-("), "missing closing )")]
#[case::look_ahead("/rules/0/nameRegexDelete", json!("(?!release).*"), "`(?!`")]
#[case::look_behind("/rules/0/nameRegexDelete", json!(".*(?<!-rc)"), "invalid named capture: `(?<!-rc)`")]
#[case::a_back_reference("/rules/0/nameRegexDelete", json!(r"(a)\1"), r"invalid escape sequence: `\1`")]
#[case::a_shell_pattern("/rules/0/nameRegexDelete", json!("*-dev"), "missing argument to repetition operator: `*`")]
#[case::too_many_repetitions("/rules/0/nameRegexDelete", json!("a{1001}"), "invalid repeat count: `{1001}`")]
#[case::two_halves_of_a_group("/rules/0/nameRegexDelete", json!("a)|(b"), "unexpected )")]
#[case::in_name_regex_keep("/rules/0/nameRegexKeep", json!("["), "missing closing ]")]
#[case::in_protect("/protect", json!({"nameRegex": ["v.*", "("]}), "spec.protect.nameRegex[1]")]
#[case::in_include("/target/repositories", json!({"include": ["("]}), "spec.target.repositories.include[0]")]
#[case::in_exclude("/target/repositories", json!({"exclude": ["(?=x)"]}), "spec.target.repositories.exclude[0]")]
#[tokio::test]
async fn a_pattern_that_is_no_re2_is_refused_with_what_is_wrong_in_it(
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] words: &str,
) {
    let (complaints, text) = refused(&changed(pointer, &value)).await;
    assert!(text.contains(words), "{text}");
    assert!(text.contains("give a valid RE2 pattern (look-around and back-references do not exist there)"), "{text}");
    assert_eq!(complaints, 1, "{text}");
}

#[rstest]
#[tokio::test]
async fn a_rule_that_would_remove_every_tag_is_refused_however_it_is_spelled(
    #[values(
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
        ".*|main"
    )]
    pattern: &str,
) {
    let rule = json!([{"name": "all", "nameRegexDelete": pattern, "keepN": 0}]);
    let (complaints, text) = refused(&changed("/rules", &rule)).await;
    assert!(text.contains("spec.rules[0]: Invalid value: this rule would remove every tag"), "{text}");
    assert!(text.contains("set nameRegexKeep, olderThan or a keepN of at least 1, or narrow"), "{text}");
    assert_eq!(complaints, 1, "{text}");
}

/// Limits come with the server's own words.
#[rstest]
#[case::no_rule("/rules", json!([]), "spec.rules in body should have at least 1 items")]
#[case::rules_left_away("/rules", json!(null), "spec.rules: Required value")]
#[case::eleven_rules("/rules", (0..11).map(|number| json!({"name": format!("r{number}"), "nameRegexDelete": "a", "keepN": 1})).collect(), "spec.rules: Too many: 11: must have at most 10 items")]
#[case::target_left_away("/target", json!(null), "spec.target: Required value")]
#[case::schedule_left_away("/schedule", json!(null), "spec.schedule: Required value")]
#[case::secret_left_away("/gitlab/secretRef", json!(null), "spec.gitlab.secretRef: Required value")]
#[case::a_negative_number("/rules/0/keepN", json!(-1), "should be greater than or equal to 0")]
#[case::a_huge_number("/rules/0/keepN", json!(100_001), "should be less than or equal to 100000")]
#[case::a_number_in_words("/rules/0/keepN", json!("five"), "expected numeric (int or float), got string")]
#[case::a_long_pattern("/rules/0/nameRegexDelete", json!("a".repeat(513)), "may not be more than 512 bytes")]
#[case::a_long_pattern_to_keep("/rules/0/nameRegexKeep", json!("a".repeat(513)), "may not be more than 512 bytes")]
#[case::a_long_protected_pattern("/protect", json!({"nameRegex": ["a".repeat(513)]}), "may not be more than 512 bytes")]
#[case::an_empty_pattern("/rules/0/nameRegexDelete", json!(""), "should be at least 1 chars long")]
#[case::many_protected_patterns("/protect", json!({"nameRegex": numbered("v", 21)}), "Too many: 21: must have at most 20 items")]
#[case::many_included_patterns("/target/repositories", json!({"include": numbered("r", 21)}), "must have at most 20 items")]
#[case::many_excluded_patterns("/target/repositories", json!({"exclude": numbered("r", 21)}), "must have at most 20 items")]
#[case::many_projects("/target/projects", json!(numbered("shop/p", 101)), "Too many: 101: must have at most 100 items")]
#[case::many_groups("/target/groups", json!(numbered("g", 51).iter().map(|path| json!({"path": path})).collect::<Vec<_>>()), "must have at most 50 items")]
#[case::a_long_path("/target/projects", json!(["a".repeat(256)]), "may not be more than 255 bytes")]
#[case::a_project_twice("/target/projects", json!(["shop/a", "shop/a"]), "duplicate entries")]
#[case::a_group_twice("/target/groups", json!([{"path": "shop"}, {"path": "shop"}]), "duplicate entries")]
#[case::an_unknown_mode("/mode", json!("Purge"), r#"Unsupported value: "Purge": supported values: "DryRun", "RequireApproval", "Delete""#)]
#[case::an_unknown_protection("/protect", json!({"inUse": "Sometimes"}), r#"Unsupported value: "Sometimes": supported values: "Required", "Disabled""#)]
#[case::protection_by_truth("/protect", json!({"inUse": true}), ".spec.protect.inUse: expected string")]
#[case::many_aliases("/protect", json!({"registryAliases": numbered("m", 21)}), "Too many: 21: must have at most 20 items")]
#[case::an_alias_twice("/protect", json!({"registryAliases": ["a.example.com", "a.example.com"]}), "duplicate entries")]
#[case::an_empty_alias("/protect", json!({"registryAliases": [""]}), "should be at least 1 chars long")]
#[case::many_lists("/protect", json!({"inUseFrom": numbered("list", 11).iter().map(|name| json!({"configMapRef": {"name": name}})).collect::<Vec<_>>()}), "Too many: 11: must have at most 10 items")]
#[case::a_list_without_a_config_map("/protect", json!({"inUseFrom": [{"maxAge": "1d"}]}), "configMapRef: Required value")]
#[case::a_list_of_another_namespace("/protect", json!({"inUseFrom": [{"configMapRef": {"name": "list", "namespace": "kube-system"}}]}), "field not declared in schema")]
#[case::an_unknown_field("/suspnd", json!(true), ".spec.suspnd: field not declared in schema")]
#[case::a_secret_of_another_namespace("/gitlab/secretRef/namespace", json!("kube-system"), "field not declared in schema")]
#[case::much_history("/historyLimit", json!(21), "should be less than or equal to 20")]
#[case::no_time_to_start("/startingDeadlineSeconds", json!(9), "should be greater than or equal to 10")]
#[case::two_days_to_start("/startingDeadlineSeconds", json!(172_800), "should be less than or equal to 86400")]
#[case::no_time_to_run("/activeDeadlineSeconds", json!(0), "should be greater than or equal to 10")]
#[case::a_long_schedule("/schedule", json!(format!("0{} * * * *", ",1".repeat(70))), "may not be more than 128 bytes")]
#[case::a_long_age("/rules/0/olderThan", json!("1d".repeat(17)), "may not be more than 32 bytes")]
#[case::a_long_address("/gitlab/url", json!(format!("https://gitlab.example.com/{}", "a".repeat(512))), "may not be more than 512 bytes")]
#[case::a_long_name("/gitlab/secretRef/name", json!("a".repeat(254)), "may not be more than 253 bytes")]
#[tokio::test]
async fn a_policy_beyond_the_limits_is_refused(#[case] pointer: &str, #[case] value: Value, #[case] words: &str) {
    let policy = changed(pointer, &value);
    let (_, text) = refused(&policy).await;
    assert!(text.contains(words), "{text}");
    let from_file = document::read(&policy.to_string(), None);
    assert!(matches!(from_file, Err(document::Error::Refused { .. })), "read from a file, it is taken");
}

#[tokio::test]
async fn what_protects_images_in_use_is_taken_as_it_is_documented() {
    let protect = json!({
        "inUse": "Required",
        "registryAliases": ["mirror.example.com", "mirror.example.com:5050/gitlab", "[2001:db8::1]:5000", "localhost", "docker.io"],
        "inUseFrom": [
            {"configMapRef": {"name": "cluster-west"}},
            {"configMapRef": {"name": "cluster-east", "key": "images.json"}, "maxAge": "12h"},
        ],
    });
    let kube = client(cluster().await.kubeconfig()).await;
    let api: Api<RegistryCleanupPolicy> = Api::namespaced(kube, "default");
    let mut policy = changed("/protect", &protect);
    policy["metadata"]["name"] = json!("taken");
    let parameters = PatchParams::apply("test").force().dry_run();
    let taken = api.patch("taken", &parameters, &Patch::Apply(&policy)).await.unwrap();
    assert_eq!(json!(taken.spec.protect.unwrap()), protect);
}

#[tokio::test]
async fn kubectl_shows_the_sentence_and_nothing_else() {
    let cluster = cluster().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    for (pointer, value, expected) in [
        (
            "/rules/0/nameRegexDelete",
            json!("mr-("),
            "spec.rules[0].nameRegexDelete: Invalid value: \"string\": error parsing regexp: missing closing ): `mr-(` \
             evaluating rule: give a valid RE2 pattern (look-around and back-references do not exist there)",
        ),
        (
            "/rules/0/olderThan",
            json!("1m"),
            "spec.rules[0].olderThan: Invalid value: \"1m\": give whole numbers with h, d, w, month or y, for example \
             14d or 1month (not m: GitLab reads 1m as one minute)",
        ),
        (
            "/rules",
            json!([{"name": "all", "nameRegexDelete": ".*", "keepN": 0}]),
            "spec.rules[0]: Invalid value: this rule would remove every tag: set nameRegexKeep, olderThan or a keepN of \
             at least 1, or narrow nameRegexDelete down",
        ),
    ] {
        std::fs::write(file.path(), changed(pointer, &value).to_string()).unwrap();
        let (ok, text) = output(cluster.kubectl().args(["apply", "--filename"]).arg(file.path()));
        assert!(!ok, "{text}");
        assert_eq!(text.trim(), format!("The RegistryCleanupPolicy \"refused\" is invalid: {expected}"));
    }
}

fn numbered(text: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{text}{number}")).collect()
}
