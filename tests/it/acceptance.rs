//! What the API server takes, what it fills in, and what only the operator can find wrong.

use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use registry_cleanup_operator::api::{RegistryCleanupPolicy, RegistryCleanupPolicySpec, crd};
use registry_cleanup_operator::policy::{CompileOptions, compile};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{change, eventually, plain_policy};
use crate::world::{Operator, START, World, client, cluster, path, try_kubectl};

/// Creates a policy that is to be taken, under a name of its own, and answers it as it is then stored.
async fn taken(mut policy: Value) -> DynamicObject {
    policy["metadata"] = json!({"generateName": "taken-"});
    let kube = client(cluster().await.kubeconfig()).await;
    let kind = ApiResource::erase::<RegistryCleanupPolicy>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(kube, "default", &kind);
    api.create(&PostParams::default(), &serde_json::from_value(policy).unwrap()).await.unwrap()
}

fn spec(stored: &DynamicObject) -> RegistryCleanupPolicySpec {
    serde_json::from_value(stored.data["spec"].clone()).unwrap()
}

#[rstest]
#[case::a_project_by_its_path("/target", json!({"projects": ["shop/backend"]}))]
#[case::a_project_by_its_id("/target", json!({"projects": ["4711"]}))]
#[case::a_project_in_subgroups("/target", json!({"projects": ["Shop_1/a.b/c-d/e"]}))]
#[case::a_group_without_its_subgroups("/target", json!({"groups": [{"path": "shop", "includeSubgroups": false}]}))]
#[case::projects_and_groups("/target", json!({"projects": ["a/b"], "groups": [{"path": "shop/eu"}]}))]
#[case::chosen_repositories("/target/repositories", json!({"include": ["shop/.*"], "exclude": [".*/cache(/.*)?"]}))]
#[case::only_a_number("/rules", json!([{"name": "a", "nameRegexDelete": ".*", "keepN": 5}]))]
#[case::only_an_age("/rules", json!([{"name": "a", "nameRegexDelete": ".*", "olderThan": "1month"}]))]
#[case::both("/rules", json!([{"name": "a", "nameRegexDelete": "[0-9a-z]{40}", "keepN": 5, "olderThan": "2d"}]))]
#[case::none_is_kept_of_a_few("/rules", json!([{"name": "a", "nameRegexDelete": "mr-.*", "keepN": 0}]))]
#[case::none_is_kept_but_some("/rules", json!([{"name": "a", "nameRegexDelete": ".*", "nameRegexKeep": "v.+", "keepN": 0}]))]
#[case::none_is_kept_once_old("/rules", json!([{"name": "a", "nameRegexDelete": ".*", "olderThan": "2y", "keepN": 0}]))]
#[case::an_age_of_parts("/rules/0/olderThan", json!("1y6month2w3d12h"))]
#[case::flags_and_classes("/rules/0/nameRegexDelete", json!(r"(?i)(?:dev|test)-[[:alnum:]]+\b.*"))]
#[case::a_long_pattern("/rules/0/nameRegexDelete", json!("a".repeat(512)))]
#[case::protected_tags("/protect", json!({"nameRegex": ["v[0-9]+.*", "main"]}))]
#[case::hourly("/schedule", json!("@hourly"))]
#[case::yearly("/schedule", json!("@yearly"))]
#[case::every_second_hour("/schedule", json!("0 */2 * * *"))]
#[case::days_by_name("/schedule", json!("05 4-6 1,15 JAN-JUN MON-FRI"))]
#[case::a_time_zone("/timeZone", json!("America/Argentina/Buenos_Aires"))]
#[case::a_time_zone_with_a_sign("/timeZone", json!("Etc/GMT+3"))]
#[case::a_port_and_a_sub_path("/gitlab/url", json!("https://gitlab.example.com:8443/Tools_1/git-lab.2/~x/"))]
#[case::an_ipv6_address("/gitlab/url", json!("https://[2001:db8::1]:8443"))]
#[case::http_with_consent("/gitlab", json!({"url": "http://gitlab.example.com", "insecure": true, "secretRef": {"name": "t"}}))]
#[case::every_secret("/gitlab", json!({"secretRef": {"name": "t.1", "key": "a_b-c.d"}, "certSecretRef": {"name": "ca"}, "proxySecretRef": {"name": "p"}, "timeout": "2m"}))]
#[case::suspended("/suspend", json!(true))]
#[case::no_history("/historyLimit", json!(0))]
#[case::a_day_to_run("/activeDeadlineSeconds", json!(86_400))]
#[tokio::test]
async fn a_policy_that_can_be_meant_is_taken_and_understood(#[case] pointer: &str, #[case] value: Value) {
    let mut policy = plain_policy("taken");
    change(&mut policy, pointer, &value);
    let stored = taken(policy).await;
    let settings = CompileOptions { allow_insecure_http: true, ..CompileOptions::default() };
    compile(&spec(&stored), &settings, START.parse().unwrap())
        .expect("what the schema takes, the operator understands");
}

/// The server gives up on an object whose rules together cost too much; the largest one that the bounds allow must
/// pass.
#[tokio::test]
async fn the_largest_policy_that_the_bounds_allow_is_taken() {
    // Numbers first, so that all differ; letters last, so that all are as long as may be.
    let long = |text: &str, length: usize, count: usize| -> Vec<String> {
        let repeated = |number| format!("{number:03}{}", text.repeat((length - 3) / text.len()));
        (0..count).map(|number| format!("{:x<length$}", repeated(number))).collect()
    };
    let mut policy = plain_policy("largest");
    let groups: Vec<Value> = long("/g", 255, 50).iter().map(|path| json!({"path": path})).collect();
    let patterns = || json!(long("[a-z]?", 512, 20));
    change(&mut policy, "/target", &json!({"projects": long("p", 255, 100), "groups": groups}));
    change(&mut policy, "/target/repositories", &json!({"include": patterns(), "exclude": patterns()}));
    change(&mut policy, "/protect", &json!({"nameRegex": patterns()}));
    let pattern = "(?:a|b)*".repeat(64);
    change(
        &mut policy,
        "/rules",
        &json!([{"name": "n".repeat(63), "nameRegexDelete": pattern, "nameRegexKeep": pattern, "keepN": 0, "olderThan": "1d".repeat(16)}]),
    );
    // For hack/largest.sh, which times it.
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/largest.json"), policy.to_string()).unwrap();
    let stored = taken(policy).await;
    assert_eq!(spec(&stored).target.projects.len(), 100);
}

/// Twice every bound.
fn doubled(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match (name.as_str(), value.as_u64()) {
                    ("maxLength" | "maxItems", Some(bound)) => *value = json!(bound * 2),
                    _ => doubled(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(doubled),
        _ => {}
    }
}

/// The server refuses a definition whose rules may cost too much, by the bounds of what they look at.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_with_twice_the_bounds_is_taken_so_there_is_room_for_rules() {
    let cluster = cluster().await;
    let mut definition = crd::definition().unwrap();
    let applied = |definition: &Value| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), definition.to_string()).unwrap();
        let file = file.path().to_str().unwrap();
        try_kubectl(cluster, &["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename", file])
    };
    doubled(&mut definition);
    let (taken, text) = applied(&definition);
    assert!(taken, "{text}");
    // Without bounds it is not.
    let patterns = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/protect/properties/nameRegex";
    definition.pointer_mut(patterns).unwrap().as_object_mut().unwrap().remove("maxItems");
    let (taken, text) = applied(&definition);
    assert!(!taken && text.contains("cost"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_are_taken_as_they_stand() {
    let world = World::start().await;
    world.kubectl(&["apply", "--server-side", "--filename", &path("deploy/examples")]);
    let names: Vec<String> = world
        .policies()
        .list(&kube::api::ListParams::default())
        .await
        .unwrap()
        .items
        .into_iter()
        .filter_map(|policy| {
            let compiled = compile(&policy.spec, &CompileOptions::default(), START.parse().unwrap());
            compiled.unwrap_or_else(|problem| panic!("{:?}: {problem:?}", policy.metadata.name));
            policy.metadata.name
        })
        .collect();
    for example in ["gitlab-docs-1", "gitlab-docs-2", "gitlab-docs-3", "gitlab-docs-4"] {
        assert!(names.iter().any(|name| name == example), "{example} is missing in {names:?}");
    }
}

#[tokio::test]
async fn what_is_left_away_appears_with_its_documented_default_and_nothing_is_added_to_list_items() {
    let mut policy = plain_policy("defaults");
    change(&mut policy, "/gitlab/url", &json!(null));
    let stored = taken(policy).await;
    assert_eq!(
        stored.data["spec"],
        json!({
            "gitlab": {"url": "https://gitlab.com", "insecure": false, "secretRef": {"name": "token"}, "timeout": "30s"},
            "target": {"groups": [{"path": "shop"}]},
            "rules": [{"name": "old", "nameRegexDelete": ".*", "olderThan": "7d"}],
            "mode": "DryRun",
            "schedule": "17 3 * * *",
            "timeZone": "Etc/UTC",
            "suspend": false,
            "startingDeadlineSeconds": 3600,
            "activeDeadlineSeconds": 3600,
            "historyLimit": 5,
        })
    );
    assert_eq!(stored.data["status"], json!({"observedGeneration": -1}));
}

#[tokio::test]
async fn the_installed_definition_is_the_generated_one_and_the_server_finds_no_fault_with_it() {
    let kube = client(cluster().await.kubeconfig()).await;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"));
    let api: Api<DynamicObject> = Api::all_with(kube, &kind);
    let installed = api.get("registrycleanuppolicies.registrycleanup.dev").await.unwrap();
    let generated = crd::definition().unwrap();
    let schema = "/spec/versions/0/schema";
    assert_eq!(installed.data.pointer(schema), generated.pointer(schema), "deploy/crds.yaml is stale");
    let conditions = installed.data["status"]["conditions"].as_array().unwrap();
    let state = |type_: &str| {
        let condition = conditions.iter().find(|condition| condition["type"] == type_);
        condition.and_then(|condition| condition["status"].as_str())
    };
    assert_eq!((state("NamesAccepted"), state("Established")), (Some("True"), Some("True")));
    assert_eq!(state("NonStructuralSchema"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_explains_every_field_of_a_rule() {
    let cluster = cluster().await;
    // The server tells of a new definition a moment after it has taken it.
    let text = eventually("the definition to be explained", async || {
        let (ok, text) = try_kubectl(cluster, &["explain", "rcp.spec.rules"]);
        ok.then_some(text)
    })
    .await;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "FIELD: rules <[]Object>",
        "The first rule whose nameRegexDelete matches a tag decides about it",
        "keepN <integer> How many of the newest matching tags stay in each repository",
        "nameRegexDelete <string> -required- Tags that may go: an RE2 pattern that matches the whole tag name",
        "nameRegexKeep <string> Tags that stay although nameRegexDelete matches them",
        "olderThan <string> Only tags older than this go",
    ] {
        assert!(text.contains(words), "{words} is missing in {text}");
    }
}

#[rstest]
#[case::an_unknown_zone("timeZone", json!("Europe/Atlantis"), "InvalidTimeZone", "Europe/Atlantis")]
#[case::a_schedule_that_never_comes("schedule", json!("17 3 30 2 *"), "InvalidSchedule", "17 3 30 2 *")]
#[case::a_pattern_that_re2_reads_differently("rules", json!([{"name": "a", "nameRegexDelete": "[a[bc]]", "keepN": 1}]), "InvalidPattern", "nameRegexDelete")]
#[case::a_host_that_is_not_allowed("gitlab", json!({"url": "https://gitlab.example.com", "secretRef": {"name": "token"}}), "HostNotAllowed", "--allowed-gitlab-hosts")]
#[case::http_that_the_operator_does_not_allow("gitlab", json!({"url": "http://127.0.0.1", "insecure": true, "secretRef": {"name": "token"}}), "InsecureConnectionsDisallowed", "--allow-insecure-http")]
#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_operator_can_find_wrong_becomes_a_condition_and_nothing_is_sent(
    #[case] field: &str,
    #[case] value: Value,
    #[case] reason: &str,
    #[case] words: &str,
) {
    let world = World::start().await;
    let _operator = Operator::start(&world).await;
    world.apply(&world.policy("shop", &json!({field: value}))).await.unwrap();
    let status = world.until("shop", |status| World::condition(status, "Stalled") != "absent").await;
    assert_eq!(World::condition(&status, "Stalled"), format!("True/{reason}"));
    assert_eq!(World::condition(&status, "Ready"), format!("False/{reason}"));
    assert_eq!(World::condition(&status, "Reconciling"), "absent");
    assert_eq!((status.observed_generation, status.next_schedule_time), (Some(1), None));
    assert!(status.conditions.iter().all(|condition| condition.message.contains(words)), "{:?}", status.conditions);
    assert!(world.sim.requests().is_empty());

    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let status = world.ready("shop").await;
    assert_eq!(World::condition(&status, "Stalled"), "absent", "an edit fixes it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_gitlab_does_not_know_becomes_a_condition() {
    let world = World::start().await;
    world.secret("token", &[("token", "glpat-nobody-has-this")]).await;
    let _operator = Operator::start(&world).await;
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let status = world.until("shop", |status| World::condition(status, "CredentialsValid") != "absent").await;
    assert_eq!(World::condition(&status, "CredentialsValid"), "False/TokenRejected");
    assert_eq!(World::condition(&status, "Ready"), "False/CredentialsInvalid");
    assert_eq!(World::condition(&status, "Stalled"), "absent", "no edit of the policy is needed");
}
