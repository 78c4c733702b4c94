//! Who may do what once the chart is installed, as the API server decides it.

use std::collections::BTreeSet;
use std::process::Command;

use control_plane::Cluster;
use serde_json::{Value, json};

use super::{Namespace, Own, Release, eventually, file, name_of, shared, text, texts, the};
use crate::world::{kubectl, output, path, try_kubectl};

/// A question to the API server: verb, resource (`group/resource/subresource` without empty parts at the end), name.
type Question = (&'static str, &'static str, &'static str);

const POLICIES: &str = "registrycleanup.dev/registrycleanuppolicies";
const STATUS: &str = "registrycleanup.dev/registrycleanuppolicies/status";

/// All that the operator does.
const NEEDED: [Question; 26] = [
    ("get", POLICIES, ""),
    ("list", POLICIES, ""),
    ("watch", POLICIES, ""),
    ("patch", STATUS, ""),
    ("get", "/secrets", "gitlab-token"),
    ("create", "events.k8s.io/events", ""),
    ("patch", "events.k8s.io/events", ""),
    ("get", "/configmaps", "images"),
    ("list", "/pods", ""),
    ("watch", "/pods", ""),
    ("list", "/replicationcontrollers", ""),
    ("watch", "/replicationcontrollers", ""),
    ("list", "apps/controllerrevisions", ""),
    ("watch", "apps/controllerrevisions", ""),
    ("list", "apps/daemonsets", ""),
    ("watch", "apps/daemonsets", ""),
    ("list", "apps/deployments", ""),
    ("watch", "apps/deployments", ""),
    ("list", "apps/replicasets", ""),
    ("watch", "apps/replicasets", ""),
    ("list", "apps/statefulsets", ""),
    ("watch", "apps/statefulsets", ""),
    ("list", "batch/cronjobs", ""),
    ("watch", "batch/cronjobs", ""),
    ("list", "batch/jobs", ""),
    ("watch", "batch/jobs", ""),
];

const REFUSED: [Question; 32] = [
    ("get", STATUS, ""),
    ("list", "/secrets", ""),
    ("watch", "/secrets", ""),
    ("create", "/secrets", ""),
    ("update", "/secrets", ""),
    ("patch", "/secrets", ""),
    ("delete", "/secrets", ""),
    ("create", POLICIES, ""),
    ("update", POLICIES, ""),
    ("patch", POLICIES, ""),
    ("delete", POLICIES, ""),
    ("deletecollection", POLICIES, ""),
    ("update", STATUS, ""),
    ("get", "registrycleanup.dev/registrycleanuppolicies/finalizers", ""),
    ("list", "events.k8s.io/events", ""),
    ("create", "/events", ""),
    ("get", "/pods", ""),
    ("delete", "/pods", ""),
    ("create", "/pods/exec", ""),
    ("get", "/pods/log", ""),
    ("list", "/configmaps", ""),
    ("watch", "/configmaps", ""),
    ("patch", "/configmaps", ""),
    ("list", "/namespaces", ""),
    ("get", "/nodes", ""),
    ("create", "/serviceaccounts/token", ""),
    ("get", "coordination.k8s.io/leases", "another"),
    ("list", "coordination.k8s.io/leases", ""),
    ("delete", "coordination.k8s.io/leases", ""),
    ("get", "apps/deployments", ""),
    ("get", "apiextensions.k8s.io/customresourcedefinitions", ""),
    ("create", "rbac.authorization.k8s.io/roles", ""),
];

/// Asks what `kubectl auth can-i` asks, for many questions at once.
fn answers(cluster: &Cluster, user: &str, groups: &[&str], namespace: &str, questions: &[Question]) -> Vec<bool> {
    let review = |(verb, resource, name): &Question| {
        let mut parts = resource.split('/');
        let mut part = || parts.next().unwrap_or_default();
        let attributes = json!({
            "namespace": namespace, "verb": verb, "name": name,
            "group": part(), "resource": part(), "subresource": part(),
        });
        let spec = json!({"user": user, "groups": groups, "resourceAttributes": attributes});
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}).to_string()
    };
    let file = file(&questions.iter().map(review).collect::<Vec<_>>().join("\n---\n"));
    let text = kubectl(cluster, &["create", "-o=json", "-f", name_of(&file)]);
    let reviews = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let answers: Vec<_> = reviews.map(|review| review.unwrap()["status"]["allowed"] == true).collect();
    assert_eq!(answers.len(), questions.len());
    answers
}

/// A service account, by its namespace and name.
struct Account<'a>(&'a str, &'a str);

impl Account<'_> {
    fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.0, self.1)
    }

    fn may(&self, namespace: &str, questions: &[Question]) -> Vec<bool> {
        let group = format!("system:serviceaccounts:{}", self.0);
        answers(
            shared(),
            &self.user(),
            &["system:serviceaccounts", &group, "system:authenticated"],
            namespace,
            questions,
        )
    }

    /// Every rule that holds for the account in a namespace, less what every account has.
    fn rules(&self, namespace: &str) -> BTreeSet<String> {
        let spec = json!({"namespace": namespace});
        let file = file(
            &json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": spec})
                .to_string(),
        );
        let user = format!("--as={}", self.user());
        // Validation would read the definitions as that user.
        let command = ["create", "--validate=false", "-o=json", &user, "-f", name_of(&file)];
        let review: Value = serde_json::from_str(&kubectl(shared(), &command)).unwrap();
        let status = &review["status"];
        assert_eq!(status["incomplete"], false);
        let rules = status["resourceRules"].as_array().unwrap().iter();
        let mut all = BTreeSet::new();
        for rule in rules {
            let (group, names) = (texts(&rule["apiGroups"]).join(","), texts(&rule["resourceNames"]).join(","));
            if group == "authorization.k8s.io" || group == "authentication.k8s.io" {
                continue;
            }
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    all.insert(format!("{verb} {group}/{resource} {names}").trim_end().to_owned());
                }
            }
        }
        all
    }
}

/// The rules as text, with the names of Secrets if there are any.
fn needed(secrets: &str) -> BTreeSet<String> {
    let rule = |(verb, resource, _): Question| {
        let names = if resource == "/secrets" { secrets } else { "" };
        format!("{verb} {resource} {names}").trim_end().to_owned()
    };
    NEEDED.map(rule).into()
}

/// The rules in the operator's own namespace, where its Lease is.
fn needed_at_home(name: &str) -> BTreeSet<String> {
    [needed(""), lease(name)].into_iter().flatten().collect()
}

/// The rules for the Lease of this name, and for the ConfigMap that pauses whoever has it.
fn lease(name: &str) -> BTreeSet<String> {
    let of = |verb| format!("{verb} coordination.k8s.io/leases {name}");
    let pause = |verb| format!("{verb} /configmaps {name}-pause");
    let lease = ["get", "update", "watch"].map(of).into_iter().chain(["create coordination.k8s.io/leases".to_owned()]);
    lease.chain(["list", "watch"].map(pause)).collect()
}

#[test]
fn the_operator_may_do_exactly_what_it_needs_in_every_namespace() {
    let (home, team) = (Namespace::create(shared()), Namespace::create(shared()));
    let release = Release::install(&home, &[]);
    let name = release.full_name();
    let account = Account(&home, &name);
    for namespace in [&home, &team] {
        let allowed = account.may(namespace, &NEEDED);
        assert!(allowed.iter().all(|allowed| *allowed), "{allowed:?} for {NEEDED:?}");
        let allowed = account.may(namespace, &REFUSED);
        let too_much: Vec<_> = REFUSED.iter().zip(allowed).filter(|(_, allowed)| *allowed).collect();
        assert!(too_much.is_empty(), "{too_much:?}");
    }
    assert_eq!(account.rules(&team), needed(""));
    assert_eq!(account.rules(&home), needed_at_home(&name));
    // Across all namespaces at once, which is how it watches.
    assert_eq!(account.may("", &NEEDED[..3]), [true; 3]);
    assert_eq!(account.may("", &[("list", "/secrets", ""), ("list", "/configmaps", "")]), [false; 2]);
    assert_eq!(account.may("", &NEEDED[8..]), [true; 18], "workloads are watched in the same way");
}

/// The CronJob's container is run by hand: no Pod runs in the cluster of the tests.
#[test]
fn without_an_operator_the_list_of_images_is_written_by_an_account_that_sees_workloads_and_nothing_else() {
    let (home, team) = (Namespace::create(shared()), Namespace::create(shared()));
    let to = format!("--set=inUseList.configMap.namespace={}", &*team);
    let _release =
        Release::install(&home, &["--set=controller.enabled=false,inUseList.registry=list.example.com", &to]);
    let jobs: Value = serde_json::from_str(&kubectl(shared(), &["get", "cronjobs", "-o=json", "-n", &home])).unwrap();
    let pod = &the(jobs["items"].as_array().unwrap(), "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let name = text(&pod["serviceAccountName"]);
    let account = Account(&home, name);
    let seen: BTreeSet<String> = NEEDED[8..].iter().map(|(verb, resource, _)| format!("{verb} {resource}")).collect();
    assert_eq!(account.rules(&home), seen);
    let written = ["create /configmaps", "patch /configmaps images-in-use"].map(str::to_owned);
    assert_eq!(account.rules(&team), seen.into_iter().chain(written).collect());

    kubectl(shared(), &["create", "deployment", "web", "-n", &team, "--image=list.example.com/shop/web:v1"]);
    let kubeconfig = shared().service_account_kubeconfig(&home, name).unwrap();
    let write = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
        program.args(texts(&pod["containers"][0]["args"])).env_clear().env("KUBECONFIG", &kubeconfig);
        output(&mut program)
    };
    let images =
        || kubectl(shared(), &["get", "configmap", "images-in-use", "-n", &team, "-o=jsonpath={.data.images\\.json}"]);
    let (ok, told) = write();
    // Other tests have images that may be of any registry.
    assert!(ok && told.contains("/images-in-use: ") && told.ends_with(" images of list.example.com\n"), "{told}");
    assert!(images().contains("list.example.com/shop/web:v1"), "{}", images());
    kubectl(shared(), &["delete", "deployment", "web", "-n", &team, "--cascade=foreground"]);
    eventually("the list is another one", || write().0 && !images().contains("shop/web"));
}

#[test]
fn with_watched_namespaces_the_operator_may_do_nothing_elsewhere() {
    let (home, watched, other) =
        (Namespace::create(shared()), Namespace::create(shared()), Namespace::create(shared()));
    let watch = format!("--set=watchNamespaces={{{}}}", &*watched);
    let off = "--set=rbac.aggregate.view=false,rbac.aggregate.edit=false,inUse.scope=WatchedNamespaces";
    let release = Release::install(&home, &[&watch, off]);
    let name = release.full_name();
    let account = Account(&home, &name);
    assert_eq!(account.rules(&watched), needed(""));
    assert_eq!(account.rules(&other), BTreeSet::new());
    assert_eq!(account.rules(&home), lease(&name));
    assert_eq!(account.may("", &NEEDED), [false; 26]);
    let (found, _) = try_kubectl(shared(), &["get", "clusterrole", &name]);
    assert!(!found, "there is a ClusterRole");
}

#[test]
fn with_watched_namespaces_the_operator_sees_workloads_elsewhere_and_nothing_more() {
    let (home, watched, other) =
        (Namespace::create(shared()), Namespace::create(shared()), Namespace::create(shared()));
    let watch = format!("--set=watchNamespaces={{{}}}", &*watched);
    let release = Release::install(&home, &[&watch, "--set=rbac.aggregate.view=false,rbac.aggregate.edit=false"]);
    let name = release.full_name();
    let account = Account(&home, &name);
    let workloads: BTreeSet<_> = NEEDED[8..].iter().map(|(verb, resource, _)| format!("{verb} {resource}")).collect();
    assert_eq!(account.rules(&watched), needed(""));
    assert_eq!(account.rules(&other), workloads);
    assert_eq!(account.may("", &NEEDED[..8]), [false; 8]);
    assert_eq!(account.may("", &NEEDED[8..]), [true; 18]);
}

#[test]
fn secret_names_narrow_down_which_secrets_the_operator_may_get() {
    let home = Namespace::create(shared());
    let release = Release::install(&home, &["--set=rbac.secretNames={gitlab-token,gitlab-ca}"]);
    let name = release.full_name();
    let account = Account(&home, &name);
    let secrets = [("get", "/secrets", "gitlab-token"), ("get", "/secrets", "gitlab-ca"), ("get", "/secrets", "other")];
    assert_eq!(account.may(&home, &secrets), [true, true, false]);
    let all: BTreeSet<_> = [needed("gitlab-token,gitlab-ca"), lease(&name)].into_iter().flatten().collect();
    assert_eq!(account.rules(&home), all);
}

#[test]
fn an_operator_that_does_not_look_at_workloads_may_not_either() {
    let home = Namespace::create(shared());
    let release = Release::install(&home, &["--set=inUse.enabled=false"]);
    let name = release.full_name();
    let rule = |(verb, resource, _): Question| format!("{verb} {resource}");
    let all: BTreeSet<_> = NEEDED[..7].iter().copied().map(rule).chain(lease(&name)).collect();
    assert_eq!(Account(&home, &name).rules(&home), all);
}

#[test]
fn an_operator_that_keeps_what_runs_removed_may_make_and_remove_config_maps_and_no_other() {
    let home = Namespace::create(shared());
    let release = Release::install(&home, &["--set=history.limit=5"]);
    let name = release.full_name();
    let more = ["create", "delete", "list"].map(|verb| format!("{verb} /configmaps"));
    let expected: BTreeSet<String> = needed_at_home(&name).into_iter().chain(more).collect();
    assert_eq!(Account(&home, &name).rules(&home), expected);
}

#[test]
fn custom_workloads_and_names_of_config_maps_are_granted_as_they_are_named() {
    let home = Namespace::create(shared());
    let workload = "--set-json=inUse.workloads=[{\"group\": \"argoproj.io\", \"version\": \"v1alpha1\", \
                    \"kind\": \"Rollout\", \"resource\": \"rollouts\", \"paths\": [\"spec.template\"]}]";
    let release = Release::install(&home, &["--set=rbac.configMapNames={images}", workload]);
    let name = release.full_name();
    let account = Account(&home, &name);
    let asked = [
        ("get", "/configmaps", "images"),
        ("get", "/configmaps", "others"),
        ("list", "argoproj.io/rollouts", ""),
        ("watch", "argoproj.io/rollouts", ""),
        ("get", "argoproj.io/rollouts", ""),
    ];
    assert_eq!(account.may(&home, &asked), [true, false, true, true, false]);
}

#[test]
fn the_catalogue_is_granted_to_be_listed_and_watched_where_it_is_wanted() {
    for (wanted, setting) in [(true, "--set=inUse.catalogue=true"), (false, "--set=inUse.catalogue=false")] {
        let home = Namespace::create(shared());
        let release = Release::install(&home, &[setting]);
        let name = release.full_name();
        let asked = [
            ("list", "tekton.dev/tasks", ""),
            ("watch", "pkg.crossplane.io/providers", ""),
            ("list", "/podtemplates", ""),
            ("get", "tekton.dev/tasks", ""),
        ];
        assert_eq!(Account(&home, &name).may(&home, &asked), [wanted, wanted, wanted, false]);
    }
}

#[test]
fn without_rbac_the_operator_may_do_nothing() {
    let home = Namespace::create(shared());
    let release = Release::install(&home, &["--set=rbac.create=false"]);
    let name = release.full_name();
    assert_eq!(Account(&home, &name).rules(&home), BTreeSet::new());
}

#[test]
fn who_may_view_a_namespace_may_read_policies_and_who_may_edit_it_may_write_them() {
    // Not in the shared cluster, whose operator has brought such roles as well.
    let own = Own::take();
    kubectl(&own, &["create", "namespace", "team-shop"]);
    let (ok, text) = output(own.helm().unwrap().args(["install", super::NAME, &path(super::CHART)]));
    assert!(ok, "{text}");
    for role in ["view", "edit", "admin"] {
        let (user, role_of) = (format!("--user={role}er"), format!("--clusterrole={role}"));
        kubectl(&own, &["create", "rolebinding", role, "-n=team-shop", &role_of, &user]);
    }
    let read = [("get", POLICIES, ""), ("list", POLICIES, ""), ("watch", POLICIES, "")];
    let write = ["create", "update", "patch", "delete", "deletecollection"].map(|verb| (verb, POLICIES, ""));
    // Kubernetes adds the rules to its own roles in its own time.
    for (user, may_write) in [("viewer", false), ("editer", true), ("adminer", true)] {
        let may = |questions: &[Question]| answers(&own, user, &[], "team-shop", questions);
        eventually(&format!("{user} cannot read policies"), || may(&read) == [true; 3]);
        eventually(&format!("{user} has other rights to write"), || may(&write) == [may_write; 5]);
        // Nobody but the operator writes what it reports.
        assert_eq!(may(&[("patch", STATUS, "")]), [false], "{user}");
    }
    let (ok, text) = output(own.helm().unwrap().args(["uninstall", super::NAME]));
    assert!(ok, "{text}");
}

#[test]
fn a_namespace_that_enforces_pod_security_restricted_takes_the_pod() {
    let home = Namespace::create(shared());
    kubectl(shared(), &["label", "namespace", &home, "pod-security.kubernetes.io/enforce=restricted"]);
    let privileged = ["run", "privileged", "--image=example.com/a", "--privileged", "--dry-run=server", "-n", &home];
    let (taken, text) = try_kubectl(shared(), &privileged);
    assert!(!taken && text.contains("violates PodSecurity"), "nothing is enforced: {text}");

    let release = Release::install(&home, &[]);
    let deployment = json_of(&["get", "deployment", &release.full_name(), "-n", &home, "-o=json"]);
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("from-the-template");
    let file = file(&pod.to_string());
    let (taken, text) = try_kubectl(shared(), &["create", "--dry-run=server", "-n", &home, "-f", name_of(&file)]);
    assert!(taken && !text.contains("Warning"), "{text}");

    // And those that Kubernetes makes for the Deployment exist.
    let label = format!("app.kubernetes.io/instance={}", &*home);
    eventually("there is no Pod", || {
        let pods = json_of(&["get", "pods", "-n", &home, "-l", &label, "-o=json"]);
        pods["items"].as_array().is_some_and(|pods| pods.len() == 2)
    });
}

fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_str(&kubectl(shared(), arguments)).unwrap()
}

#[test]
fn the_manifest_for_kubectl_gives_the_same_rights_as_the_chart() {
    let account = Account("registry-cleanup", super::NAME);
    assert_eq!(account.rules("default"), needed(""));
    let deployment = json_of(&["get", "deployment", super::NAME, "-n", "registry-cleanup", "-o=json"]);
    assert_eq!(text(&deployment["spec"]["template"]["spec"]["serviceAccountName"]), super::NAME);
}
