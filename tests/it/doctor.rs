//! `registry-cleanup-operator doctor`: the real binary, about an operator that the real API server has a Deployment of,
//! and a simulated GitLab. Each fault is seen by its check, and by no other.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use gitlab_simulator::{Clock, Config, Role, Scope, TokenKind};
use jiff::{SignedDuration, Timestamp};
use registry_cleanup_operator::policy::in_use::list::List;
use rstest::rstest;
use serde_json::{Value, json};

use crate::docs::listed_in;
use crate::support::eventually;
use crate::world::{MARKER, World, kubectl, path};

/// What came of a look: exit code and JSON.
struct Diagnosis {
    code: i32,
    text: String,
    checks: Vec<Value>,
}

impl Diagnosis {
    fn of(&self, check: &str) -> &Value {
        self.checks.iter().find(|it| it["check"] == check).unwrap_or_else(|| panic!("no {check}: {}", self.text))
    }

    /// The verdict of a check, and what it says.
    fn said(&self, check: &str) -> (&str, &str) {
        let check = self.of(check);
        (check["verdict"].as_str().unwrap(), check["message"].as_str().unwrap())
    }

    /// The checks that did not come out well, with their verdicts.
    fn faults(&self) -> BTreeSet<String> {
        let faulty = self.checks.iter().filter(|check| check["verdict"] != "Ok");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        faulty.map(|check| format!("{} {}", text(&check["check"]), text(&check["verdict"]))).collect()
    }
}

fn faults(expected: &[&str]) -> BTreeSet<String> {
    expected.iter().map(ToString::to_string).collect()
}

/// Asks about the installation of a world. Neither a token nor an answer of GitLab may be in what is printed.
fn doctor(world: &World, more: &[&str]) -> Diagnosis {
    let operator = format!("{}/operator", world.namespace);
    let usual = ["doctor", "--namespace", &world.namespace, "--operator", &operator, "-o", "json"];
    let mut program = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
    program.env("KUBECONFIG", world.cluster.kubeconfig()).args(usual).args(more);
    let output = program.args(["--max-requests-per-second-per-host", "1000"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(MARKER) && !said.contains(MARKER), "{text}{said}");
    let told: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{said}"));
    Diagnosis { code: output.status.code().unwrap(), checks: told["checks"].as_array().unwrap().clone(), text }
}

/// The rules of a role in the manifest for kubectl.
fn rules_of(kind: &str, name: &str) -> Value {
    let text = fs::read_to_string(path("deploy/operator.yaml")).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let role = objects.into_iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    role.unwrap_or_else(|| panic!("no {kind} {name}"))["rules"].clone()
}

/// Installs an operator into the world's namespace, as the chart would for that namespace alone. Its Pods are said to
/// be ready, as no node runs them.
async fn install(world: &World, more: &[&str]) {
    let namespace = world.namespace.as_str();
    let mut arguments = vec!["run".to_owned(), format!("--watch-namespace={namespace}")];
    arguments.extend(["--in-use-scope=WatchedNamespaces", "--allowed-gitlab-hosts=127.0.0.1"].map(str::to_owned));
    arguments.extend(more.iter().map(ToString::to_string));
    let labels = json!({"app.kubernetes.io/name": "registry-cleanup-operator"});
    let told = json!({"name": "operator", "image": "operator.test/operator:1", "args": arguments});
    let rbac = "rbac.authorization.k8s.io/v1";
    let role = |name: &str, rules: Value| {
        let metadata = json!({"name": name});
        json!({"apiVersion": rbac, "kind": "Role", "metadata": metadata, "rules": rules})
    };
    let bound = |name: &str| {
        json!({
            "apiVersion": rbac, "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": namespace}],
        })
    };
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "operator"}},
        role("operator", rules_of("ClusterRole", "registry-cleanup-operator")),
        bound("operator"),
        role("lease", rules_of("Role", "registry-cleanup-operator-lease")),
        bound("lease"),
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "operator", "labels": labels},
            "spec": {
                "replicas": 1, "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"serviceAccountName": "operator", "containers": [told]},
                },
            },
        },
    ]});
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), objects.to_string()).unwrap();
    world.kubectl(&["apply", "--server-side", "-f", file.path().to_str().unwrap()]);
    eventually("a Pod", async || {
        let pods = world.kubectl(&["get", "pods", "-o", "name"]);
        let pod = pods.lines().next()?;
        let ready = r#"{"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}"#;
        world.kubectl(&["patch", pod, "--subresource=status", "--type=merge", "-p", ready]);
        let told = world.kubectl(&["get", "deployment", "operator", "-o", "jsonpath={.status.readyReplicas}"]);
        (told == "1").then_some(())
    })
    .await;
}

/// A world with an operator, a policy and a repository, in which everything is well. Its time is that of the program.
async fn world_with(change: impl FnOnce(&mut Config), more: &[&str], spec: &Value) -> World {
    let world = World::start_with(|config| {
        config.clock = Clock::system();
        change(config);
    })
    .await;
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    install(&world, more).await;
    world.apply(&world.policy("shop", spec)).await.unwrap();
    world
}

async fn world() -> World {
    world_with(|_| {}, &[], &json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_installation_is_told_to_be_one_with_every_check_that_is_documented() {
    let world = world().await;
    let diagnosis = doctor(&world, &["shop"]);
    assert_eq!(diagnosis.faults(), faults(&[]), "{}", diagnosis.text);
    assert_eq!(diagnosis.code, 0);
    let told: Vec<&str> = diagnosis.checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(told, listed_in("docs/doctor.md", "## Checks"));
    let of_policy = format!("{}/shop", world.namespace);
    assert_eq!(diagnosis.of("Token")["policy"], of_policy);
    assert_eq!(diagnosis.said("Role").1, "the token has the role Maintainer in shop/backend");
    assert_eq!(diagnosis.said("GitLabVersion").1, "GitLab is of version 18.5");
    // As a plugin of kubectl, and for people.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("kubectl-rcp");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_registry-cleanup-operator"), &program).unwrap();
    let mut plugin = Command::new(program);
    let operator = format!("{}/operator", world.namespace);
    plugin.env("KUBECONFIG", world.cluster.kubeconfig());
    let output = plugin.args(["doctor", "-n", &world.namespace, "--operator", &operator]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.starts_with("Installation\n  Ok "), "{text}");
    assert!(text.ends_with("0 with a warning, 0 failed, 0 not known\n"), "{text}");
}

/// Each right that is asked for is granted by `deploy/operator.yaml`, and one that lacks is named. That everything
/// which is granted there is asked for as well holds a test beside the list.
#[tokio::test(flavor = "multi_thread")]
async fn the_operator_is_held_against_the_rights_that_are_asked_for() {
    let world = world().await;
    for (rule, missing) in [("secrets", "get secrets token"), ("pods", "list pods"), ("events", "create events")] {
        let mut rules = rules_of("ClusterRole", "registry-cleanup-operator");
        rules.as_array_mut().unwrap().retain(|it| !it["resources"].as_array().unwrap().contains(&json!(rule)));
        let patch = json!({"rules": rules}).to_string();
        world.kubectl(&["patch", "role", "operator", "--type=merge", "-p", &patch]);
        let diagnosis = eventually("a refusal", async || {
            let diagnosis = doctor(&world, &[]);
            // The authorizer learns of a change by a watch.
            diagnosis.of("OperatorRights")["message"].as_str().unwrap().contains(missing).then_some(diagnosis)
        })
        .await;
        assert_eq!(diagnosis.faults(), faults(&["OperatorRights Failed"]), "{}", diagnosis.text);
        assert_eq!(diagnosis.code, 1);
    }
    world.kubectl(&["delete", "rolebinding", "lease"]);
    let all = json!({"rules": rules_of("ClusterRole", "registry-cleanup-operator")}).to_string();
    world.kubectl(&["patch", "role", "operator", "--type=merge", "-p", &all]);
    let diagnosis = eventually("a refusal", async || {
        let diagnosis = doctor(&world, &[]);
        let said = diagnosis.said("OperatorRights").1;
        (said.contains("may not create leases") && !said.contains("events")).then_some(diagnosis)
    })
    .await;
    assert_eq!(diagnosis.faults(), faults(&["OperatorRights Failed"]), "{}", diagnosis.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_which_no_pod_is_ready_has_failed_and_one_that_is_not_there_is_said() {
    let world = world().await;
    world.kubectl(&["scale", "deployment", "operator", "--replicas=0"]);
    let diagnosis = eventually("no Pod", async || {
        let diagnosis = doctor(&world, &[]);
        (diagnosis.said("Operator").0 == "Failed").then_some(diagnosis)
    })
    .await;
    assert_eq!(diagnosis.faults(), faults(&["Operator Failed"]), "{}", diagnosis.text);
    world.kubectl(&["delete", "deployment", "operator"]);
    let flags = [
        "--allowed-gitlab-hosts=127.0.0.1",
        "--in-use-scope=WatchedNamespaces",
        &format!("--watch-namespace={}", world.namespace),
    ];
    let diagnosis = doctor(&world, &flags);
    assert_eq!(diagnosis.faults(), faults(&["Operator Warning", "OperatorRights Unknown"]), "{}", diagnosis.text);
    assert_eq!(diagnosis.code, 2);
}

/// A list of what another cluster uses of the world's registry, made so many hours ago.
fn list(world: &World, hours: i64) -> String {
    let host = world.sim.read(|registry| registry.settings.registry_host.clone());
    let at = Timestamp::now() - SignedDuration::from_hours(hours);
    List::new(&host, &[], [], at).write().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_another_cluster_is_told_with_its_age_and_one_that_does_not_count_has_failed() {
    let lists = json!({"protect": {"inUseFrom": [{"configMapRef": {"name": "west"}}]}});
    let world = world_with(|_| {}, &[], &lists).await;
    let look = |expected: &[&str], code: i32, said: &str| {
        let diagnosis = doctor(&world, &[]);
        assert_eq!((diagnosis.faults(), diagnosis.code), (faults(expected), code), "{}", diagnosis.text);
        let (_, message) = diagnosis.said("InUseLists");
        assert!(message.contains(said), "{message}");
        let told = diagnosis.of("InUseLists");
        assert_eq!(told["policy"], format!("{}/shop", world.namespace));
        assert_eq!(told["action"].is_string(), !expected.is_empty(), "{told}");
    };
    let write = |key: &str, text: &str| {
        world.kubectl(&["delete", "configmap", "west", "--ignore-not-found"]);
        world.kubectl(&["create", "configmap", "west", &format!("--from-literal={key}={text}")]);
    };
    let failed = ["InUseLists Failed"];
    look(&failed, 1, "ConfigMap west does not exist");
    write("other", &list(&world, 1));
    look(&failed, 1, "ConfigMap west has no images.json");
    write("images.json", &list(&world, 1));
    look(&[], 0, "the list in ConfigMap west is 1h old, and counts for 22h 59m");
    write("images.json", &list(&world, 20));
    look(&["InUseLists Warning"], 0, "is 20h old");
    write("images.json", &list(&world, 25));
    look(&failed, 1, "the list is too old");
    write("images.json", &List::new("registry.elsewhere.test", &[], [], Timestamp::now()).write().unwrap());
    look(&failed, 1, "the list is about registry.elsewhere.test, and not about ");
    write("images.json", "[]");
    look(&failed, 1, "does not have the form of one");
}

/// What depends on a Secret, or on a GitLab that answers.
const AFTER_SECRET: [&str; 7] = [
    "GitLab Unknown",
    "Token Unknown",
    "Targets Unknown",
    "Role Unknown",
    "GitLabVersion Unknown",
    "GraphQL Unknown",
    "GitLabClock Unknown",
];

/// A registry is known by a repository, and by nothing else.
const NO_REGISTRY: &str = "UnwatchedKinds Unknown";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_there_or_lacks_the_token_is_seen_by_its_check() {
    let world = world().await;
    world.kubectl(&["delete", "secret", "token"]);
    let mut expected = faults(&["Secret Failed", NO_REGISTRY]);
    expected.extend(faults(&AFTER_SECRET));
    let diagnosis = doctor(&world, &[]);
    assert_eq!((diagnosis.faults(), diagnosis.code), (expected.clone(), 1), "{}", diagnosis.text);
    assert_eq!(diagnosis.said("Secret").1, "Secret token does not exist");
    world.secret("token", &[("password", MARKER)]).await;
    let diagnosis = doctor(&world, &[]);
    assert_eq!(diagnosis.faults(), expected, "{}", diagnosis.text);
    assert_eq!(diagnosis.said("Secret").1, "Secret token has no token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_told_with_what_is_wrong_with_it() {
    let world = world().await;
    let set = |scopes: &[Scope], change: fn(&mut gitlab_simulator::Token)| {
        world.sim.edit(|registry| {
            let user = registry.user("bot");
            registry.set_token(MARKER, TokenKind::Personal, user, "bot", scopes);
            change(registry.token_mut(MARKER).unwrap());
        });
    };
    let mut closed = faults(&["Token Failed", NO_REGISTRY]);
    closed.extend(faults(&AFTER_SECRET[2..]));
    set(&[Scope::ReadApi], |_| {});
    let diagnosis = doctor(&world, &[]);
    assert_eq!((diagnosis.faults(), diagnosis.code), (closed.clone(), 1), "{}", diagnosis.text);
    assert!(diagnosis.said("Token").1.contains("mode Delete needs api"), "{}", diagnosis.text);

    set(&[Scope::Api], |token| token.revoked = true);
    assert_eq!(doctor(&world, &[]).faults(), closed);

    set(&[Scope::Api], |token| token.expires_at = Some(soon()));
    let diagnosis = doctor(&world, &[]);
    assert_eq!((diagnosis.faults(), diagnosis.code), (faults(&["Token Warning"]), 0), "{}", diagnosis.text);
    assert!(diagnosis.said("Token").1.contains(&format!("until {}; its scopes are api", soon())), "{}", diagnosis.text);
}

/// A day in less than two weeks.
fn soon() -> jiff::civil::Date {
    (Timestamp::now() + SignedDuration::from_hours(5 * 24)).to_zoned(jiff::tz::TimeZone::UTC).date()
}

#[rstest]
#[case::developer(Role::Developer, &["Role Failed"], "the token has the role Developer in shop/backend")]
#[case::reporter(Role::Reporter, &["Role Failed"], "the token has the role Reporter in shop/backend")]
#[case::owner(Role::Owner, &[], "the token has the role Owner in shop/backend")]
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_too_low_for_the_mode_is_seen(
    #[case] role: Role,
    #[case] expected: &[&str],
    #[case] said: &str,
) {
    let world = world().await;
    world.sim.edit(|registry| {
        let user = registry.user("bot");
        registry.set_role("shop", user, Some(role));
    });
    let diagnosis = doctor(&world, &[]);
    assert_eq!(diagnosis.faults(), faults(expected), "{}", diagnosis.text);
    assert!(diagnosis.said("Role").1.starts_with(said), "{}", diagnosis.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gitlab_lacks_is_named() {
    let hidden = ["ContainerRepositoryTag.publishedAt".to_owned()];
    let world = world_with(|config| config.settings.graphql_hidden_fields = hidden.into(), &[], &json!({})).await;
    let diagnosis = doctor(&world, &[]);
    assert_eq!(diagnosis.faults(), faults(&["GraphQL Warning"]), "{}", diagnosis.text);
    assert!(diagnosis.said("GraphQL").1.contains("when a tag was pushed"), "{}", diagnosis.text);
}

#[rstest]
#[case::a_little(30, "GitLabClock Warning", 0)]
#[case::too_much(600, "GitLabClock Failed", 1)]
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_of_gitlab_that_is_wrong_is_seen(#[case] seconds: i64, #[case] expected: &str, #[case] code: i32) {
    let ahead = SignedDuration::from_secs(seconds);
    let world = world_with(|config| config.settings.clock_ahead = ahead, &[], &json!({})).await;
    let diagnosis = doctor(&world, &[]);
    assert_eq!((diagnosis.faults(), diagnosis.code), (faults(&[expected]), code), "{}", diagnosis.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_that_cannot_be_listed_are_seen() {
    let target = json!({"groups": [{"path": "shop"}], "projects": ["other/gone"]});
    let world = world_with(|_| {}, &[], &json!({"target": target})).await;
    let diagnosis = doctor(&world, &[]);
    assert_eq!(diagnosis.faults(), faults(&["Targets Warning"]), "{}", diagnosis.text);
    world.apply(&world.policy("shop", &json!({"target": {"projects": ["other/gone"]}}))).await.unwrap();
    let diagnosis = doctor(&world, &[]);
    // Without a repository nothing is known of roles and of the registry.
    assert_eq!(diagnosis.faults(), faults(&["Targets Failed", "Role Unknown", NO_REGISTRY]), "{}", diagnosis.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitlab_that_may_not_be_reached_is_told_by_the_policy_and_one_that_does_not_answer_by_itself() {
    let world = world().await;
    let diagnosis = doctor(&world, &["--allowed-gitlab-hosts=gitlab.example.com"]);
    // Nothing is sent there, so nothing is known of it.
    let expected = ["Policy Failed", NO_REGISTRY];
    assert_eq!((diagnosis.faults(), diagnosis.code), (faults(&expected), 1), "{}", diagnosis.text);
    let other = world.sim.url().rsplit_once(':').unwrap().0;
    let gitlab = json!({"url": format!("{other}:1"), "secretRef": {"name": "token"}, "certSecretRef": {"name": "ca"}});
    world.apply(&world.policy("shop", &json!({"gitlab": gitlab}))).await.unwrap();
    let mut expected = faults(&["GitLab Failed", NO_REGISTRY]);
    expected.extend(faults(&AFTER_SECRET[1..]));
    let diagnosis = doctor(&world, &[]);
    assert_eq!(diagnosis.faults(), expected, "{}", diagnosis.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_see_less_is_told_what_stays_unknown() {
    let world = world().await;
    world.kubectl(&["create", "serviceaccount", "guest"]);
    let rule = ["--verb=get,list", "--resource=registrycleanuppolicies.registrycleanup.dev"];
    world.kubectl(&[&["create", "role", "guest"][..], &rule].concat());
    let account = format!("--serviceaccount={}:guest", world.namespace);
    world.kubectl(&["create", "rolebinding", "guest", "--role=guest", &account]);
    let kubeconfig = world.cluster.service_account_kubeconfig(&world.namespace, "guest").unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
    let flags = ["--allowed-gitlab-hosts=127.0.0.1", "--in-use-scope=WatchedNamespaces", "--watch-namespace"];
    program.env("KUBECONFIG", kubeconfig).args(["doctor", "-o=json", "-n", &world.namespace]);
    let output = program.args(flags).arg(&world.namespace).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    let diagnosis =
        Diagnosis { code: output.status.code().unwrap(), checks: told["checks"].as_array().unwrap().clone(), text };
    let mut expected =
        faults(&["OwnRights Warning", "Operator Unknown", "OperatorRights Unknown", "InUse Unknown", "Secret Unknown"]);
    expected.insert(NO_REGISTRY.to_owned());
    expected.extend(faults(&AFTER_SECRET));
    assert_eq!((diagnosis.faults(), diagnosis.code), (expected, 2), "{}", diagnosis.text);
    assert!(diagnosis.said("OwnRights").1.contains("you may not "), "{}", diagnosis.text);
}

/// A kind of the catalogue, and one that no cluster has.
#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_are_not_watched_or_not_there_are_named() {
    let absent = "--in-use-workload=nobody.example/v1/Nothing=spec.template?";
    let world = world_with(|_| {}, &[absent], &json!({})).await;
    let diagnosis = doctor(&world, &[]);
    assert_eq!(diagnosis.faults(), faults(&["ConfiguredKinds Warning"]), "{}", diagnosis.text);
    assert!(diagnosis.said("ConfiguredKinds").1.contains("Nothing.nobody.example"), "{}", diagnosis.text);

    // PodTemplate is a kind of the catalogue that every cluster has.
    let host = world.sim.read(|registry| registry.settings.registry_host.clone());
    let image = |host: &str| json!([{"name": "a", "image": format!("{host}/shop/backend/api:v1")}]);
    let template = |host: &str| {
        let object = json!({
            "apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "later"},
            "template": {"spec": {"containers": image(host)}},
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), object.to_string()).unwrap();
        world.kubectl(&["apply", "-f", file.path().to_str().unwrap()]);
    };
    template("elsewhere.example.com");
    assert_eq!(doctor(&world, &[]).faults(), faults(&["ConfiguredKinds Warning"]));
    template(&host);
    let diagnosis = doctor(&world, &[]);
    let expected = faults(&["ConfiguredKinds Warning", "UnwatchedKinds Warning"]);
    assert_eq!(diagnosis.faults(), expected, "{}", diagnosis.text);
    assert!(diagnosis.said("UnwatchedKinds").1.contains("PodTemplate"), "{}", diagnosis.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_watches_no_workloads_is_told_where_a_policy_counts_on_it() {
    let world = world_with(|_| {}, &["--in-use=false"], &json!({})).await;
    let diagnosis = doctor(&world, &[]);
    assert_eq!((diagnosis.faults(), diagnosis.code), (faults(&["InUse Failed"]), 1), "{}", diagnosis.text);
    world.apply(&world.policy("shop", &json!({"protect": {"inUse": "Disabled"}}))).await.unwrap();
    assert_eq!(doctor(&world, &[]).faults(), faults(&[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_not_there_or_lacks_fields_is_seen() {
    let cluster = crate::world::own_cluster().await;
    let look = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
        let output = program.env("KUBECONFIG", cluster.kubeconfig()).args(["doctor", "-o=json"]).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        told["checks"][0].clone()
    };
    assert_eq!(look()["verdict"], "Failed");
    for (field, verdict) in [("historyLimit", "Warning"), ("limits", "Failed")] {
        let mut definition = registry_cleanup_operator::api::crd::definition().unwrap();
        let fields = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        definition.pointer_mut(fields).unwrap().as_object_mut().unwrap().remove(field).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), definition.to_string()).unwrap();
        kubectl(cluster, &["apply", "--server-side", "--force-conflicts", "-f", file.path().to_str().unwrap()]);
        eventually("a definition without a field", async || {
            let check = look();
            let names_it = check["message"].as_str().unwrap().contains(&format!("spec.{field}"));
            (check["verdict"] == verdict && names_it).then_some(())
        })
        .await;
    }
}

#[test]
fn every_verdict_and_exit_code_is_documented() {
    assert_eq!(listed_in("docs/doctor.md", "## Verdicts"), ["Ok", "Warning", "Unknown", "Failed"]);
    assert_eq!(listed_in("docs/doctor.md", "## Exit codes"), ["0", "1", "2"]);
}
