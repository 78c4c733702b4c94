//! What most tests need: the shared cluster, a namespace of their own, a GitLab of their own over https with a clock
//! that stands still, and operators that can be started, stopped and killed.

mod between;
mod operator;

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use control_plane::{Cluster, Options};
use gitlab_simulator::{Clock, Config, Push, Role, Simulator};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use registry_cleanup_operator::api::{DRY_RUN_REQUESTED_AT, PolicyStatus, RUN_REQUESTED_AT, RegistryCleanupPolicy};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

pub(crate) use between::{Between, Spoiled};
pub(crate) use operator::{HeldClock, Operator, Setup};

/// Long enough for the slowest machine: nothing here is a measurement, only a test that hangs is to end.
const PATIENCE: Duration = Duration::from_secs(120);
/// The moment at which every world begins.
pub(crate) const START: &str = "2026-11-22T12:00:00Z";
/// What no log, event or status may ever show.
pub(crate) const MARKER: &str = "glpat-marker-7f3e1c";

/// Cluster, namespace and GitLab of one test.
pub(crate) struct World {
    pub(crate) cluster: &'static Cluster,
    pub(crate) kube: Client,
    pub(crate) namespace: String,
    pub(crate) sim: Simulator,
}

/// Applies the two manifests for kubectl: the definition and the operator.
pub(crate) fn install(cluster: &Cluster, more: &[&str]) {
    let (definition, operator) = (path("deploy/crds.yaml"), path("deploy/operator.yaml"));
    kubectl(cluster, &[&["apply", "--server-side", "-f", &definition, "-f", &operator], more].concat());
}

/// The cluster with the definition and the operator's permissions installed, once for all tests.
pub(crate) async fn cluster() -> &'static Cluster {
    static INSTALLED: OnceCell<&'static Cluster> = OnceCell::const_new();
    INSTALLED
        .get_or_init(|| async {
            tokio::task::spawn_blocking(|| {
                let cluster = control_plane::shared().expect("the control plane starts");
                install(cluster, &["--force-conflicts"]);
                established(cluster, &["crd/registrycleanuppolicies.registrycleanup.dev"]);
                // Tests run side by side, each with a Lease and a pause of its own.
                let role = file_of(LEASES);
                kubectl(cluster, &["apply", "--server-side", "-f", role.path().to_str().expect("a path")]);
                cluster
            })
            .await
            .unwrap()
        })
        .await
}

/// Lets the operator use Leases of other names than its own, and be paused by other ConfigMaps.
const LEASES: &str = r"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: leases-of-tests, namespace: registry-cleanup}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, update, watch]}
- {apiGroups: [''], resources: [configmaps], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: leases-of-tests, namespace: registry-cleanup}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: leases-of-tests}
subjects: [{kind: ServiceAccount, name: registry-cleanup-operator, namespace: registry-cleanup}]
";

fn file_of(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("a file");
    file
}

/// A control plane that no other test uses. It ends with the test process.
pub(crate) async fn own_cluster() -> &'static Cluster {
    let start = || Cluster::start(&Options::default()).expect("a control plane starts");
    Box::leak(Box::new(tokio::task::spawn_blocking(start).await.unwrap()))
}

/// A path of the project.
pub(crate) fn path(relative: &str) -> String {
    format!("{}/{relative}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs kubectl and answers what it prints; fails the test when kubectl fails.
pub(crate) fn kubectl(cluster: &Cluster, arguments: &[&str]) -> String {
    let (ok, text) = try_kubectl(cluster, arguments);
    assert!(ok, "kubectl {arguments:?}: {text}");
    text
}

/// Waits until definitions are served: those of `crd/NAME`, or of `crd --all`. One that was only just created has no
/// conditions, which kubectl takes for an error.
pub(crate) fn established(cluster: &Cluster, which: &[&str]) {
    let wait = [&["wait", "--for=condition=Established", "--timeout=60s"], which].concat();
    let begun = Instant::now();
    loop {
        let (ok, text) = try_kubectl(cluster, &wait);
        if ok {
            return;
        }
        assert!(text.contains("accessor error") && begun.elapsed() < PATIENCE, "kubectl {wait:?}: {text}");
    }
}

/// Runs kubectl and answers whether it succeeded and what it printed.
pub(crate) fn try_kubectl(cluster: &Cluster, arguments: &[&str]) -> (bool, String) {
    output(cluster.kubectl().args(arguments))
}

/// Runs a program and answers whether it succeeded and what it printed.
pub(crate) fn output(command: &mut Command) -> (bool, String) {
    let output = command.output().expect("the program starts");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

/// A kubeconfig with the token of the ServiceAccount that the install manifest makes for the operator, and nothing
/// else.
pub(crate) async fn service_account_kubeconfig() -> PathBuf {
    static MADE: OnceCell<PathBuf> = OnceCell::const_new();
    let cluster = cluster().await;
    MADE.get_or_init(|| async {
        cluster.service_account_kubeconfig("registry-cleanup", "registry-cleanup-operator").expect("a token")
    })
    .await
    .clone()
}

/// A client for a kubeconfig file.
pub(crate) async fn client(kubeconfig: &std::path::Path) -> Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    Client::try_from(config).unwrap()
}

impl World {
    /// A world with nothing in it but a Secret `token` for the group `shop`, and a Secret `ca` with GitLab's authority.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same, with GitLab set up differently.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(cluster().await, change).await
    }

    /// The same in another cluster, which has whatever it has.
    pub(crate) async fn start_on(cluster: &'static Cluster, change: impl FnOnce(&mut Config)) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let kube = client(cluster.kubeconfig()).await;
        let namespace = format!("t{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let object: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        Api::all(kube.clone()).create(&PostParams::default(), &object).await.unwrap();

        let clock = Clock::manual(START.parse().unwrap());
        let mut config = Config { clock, tls: true, ..Config::default() };
        change(&mut config);
        let sim = Simulator::start(config).await.unwrap();
        let world = Self { cluster, kube, namespace, sim };
        world.sim.edit(|registry| {
            registry.group("shop");
            let user = registry.user("bot");
            registry.set_role("shop", user, Some(Role::Maintainer));
            registry.set_token(
                MARKER,
                gitlab_simulator::TokenKind::Personal,
                user,
                "bot",
                &[gitlab_simulator::Scope::Api],
            );
        });
        world.secret("token", &[("token", MARKER)]).await;
        if let Some(ca) = world.sim.ca_pem() {
            world.secret("ca", &[("ca.crt", ca)]).await;
        }
        world
    }

    /// Writes a Secret.
    pub(crate) async fn secret(&self, name: &str, data: &[(&str, &str)]) {
        let data: serde_json::Map<String, Value> =
            data.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        let api: Api<Secret> = Api::namespaced(self.kube.clone(), &self.namespace);
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&secret)).await.unwrap();
    }

    /// A repository of the project `shop/backend` with tags, each with its age in days, and a second more.
    pub(crate) fn repository(&self, path: &str, tags: &[(&str, i64)]) -> u64 {
        let now = self.now() - SignedDuration::from_secs(1);
        self.sim.edit(|registry| {
            let project: Vec<&str> = path.split('/').collect();
            registry.project(&project[..project.len().saturating_sub(1).max(2)].join("/"));
            let repository = registry.repository(path);
            for (tag, days) in tags {
                registry.push(repository, tag, Push::at(now - SignedDuration::from_hours(days * 24)));
            }
            repository
        })
    }

    /// A repository with so many old tags, `v0` to `v199`, that not all of them are on their way at the same time, and
    /// a young one, `main`.
    pub(crate) fn many_tags(&self, path: &str) -> u64 {
        let tags: Vec<String> = (0..200).map(|number| format!("v{number}")).collect();
        let tags: Vec<(&str, i64)> = tags.iter().map(|tag| (tag.as_str(), 30)).chain([("main", 1)]).collect();
        self.repository(path, &tags)
    }

    /// Such a repository, and a policy `shop` that removes its old tags by their names.
    pub(crate) async fn long_run(&self) -> u64 {
        let repository = self.many_tags("shop/backend/api");
        let rules = json!([{"name": "versions", "nameRegexDelete": "v.*", "olderThan": "7d"}]);
        self.apply(&self.policy("shop", &json!({"rules": rules, "method": "Exact"}))).await.unwrap();
        repository
    }

    /// The names of a repository's tags, as the registry has them.
    pub(crate) fn tags(&self, repository: u64) -> Vec<String> {
        self.sim.read(|registry| registry.tag_names(repository))
    }

    /// The time in this world.
    pub(crate) fn now(&self) -> Timestamp {
        self.sim.clock().now()
    }

    /// A policy that removes everything of the group that is older than a week, with parts of its spec replaced.
    pub(crate) fn policy(&self, name: &str, changes: &Value) -> Value {
        let mut policy = json!({
            "apiVersion": "registrycleanup.dev/v1alpha1",
            "kind": "RegistryCleanupPolicy",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "gitlab": {"url": self.sim.url(), "secretRef": {"name": "token"}, "certSecretRef": {"name": "ca"}},
                "target": {"groups": [{"path": "shop"}]},
                "rules": [{"name": "old", "nameRegexDelete": ".*", "olderThan": "7d"}],
                "schedule": "17 3 * * *",
                "mode": "Delete",
            },
        });
        for (key, value) in changes.as_object().into_iter().flatten() {
            policy["spec"][key] = value.clone();
        }
        policy
    }

    /// The policies of this world.
    pub(crate) fn policies(&self) -> Api<RegistryCleanupPolicy> {
        Api::namespaced(self.kube.clone(), &self.namespace)
    }

    /// Applies an object the way a user would.
    pub(crate) async fn apply(&self, policy: &Value) -> Result<RegistryCleanupPolicy, kube::Error> {
        let name = policy["metadata"]["name"].as_str().unwrap();
        self.policies().patch(name, &PatchParams::apply("test").force(), &Patch::Apply(policy)).await
    }

    /// Writes an annotation, as `kubectl annotate` does.
    pub(crate) async fn annotate(&self, name: &str, key: &str, value: &str) {
        let patch = json!({"metadata": {"annotations": {key: value}}});
        self.policies().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Another namespace.
    pub(crate) async fn another_namespace(&self) -> String {
        let name = format!("{}-other", self.namespace);
        let object: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        Api::all(self.kube.clone()).create(&PostParams::default(), &object).await.unwrap();
        name
    }

    /// Asks for a run and waits until it is over.
    pub(crate) async fn run(&self, name: &str, token: &str) -> PolicyStatus {
        self.annotate(name, RUN_REQUESTED_AT, token).await;
        self.handled(name, token, |status| status.last_handled_run_at.as_deref()).await
    }

    /// Asks for a dry run and waits until it is over.
    pub(crate) async fn preview(&self, name: &str, token: &str) -> PolicyStatus {
        self.annotate(name, DRY_RUN_REQUESTED_AT, token).await;
        self.handled(name, token, |status| status.last_handled_dry_run_at.as_deref()).await
    }

    async fn handled(&self, name: &str, token: &str, field: fn(&PolicyStatus) -> Option<&str>) -> PolicyStatus {
        let over = |status: &PolicyStatus| {
            let ended = status.last_run.as_ref().is_none_or(|run| run.completion_time.is_some());
            field(status) == Some(token) && ended
        };
        // Two statuses and a watch are large for a future that others are made of.
        Box::pin(self.until(name, over)).await
    }

    /// Waits until the status of a policy is as wanted.
    pub(crate) async fn until(&self, name: &str, holds: impl Fn(&PolicyStatus) -> bool) -> PolicyStatus {
        let policies = self.policies();
        let fits = |policy: Option<&RegistryCleanupPolicy>| {
            policy.and_then(|policy| policy.status.as_ref()).is_some_and(&holds)
        };
        let waiting = await_condition(policies.clone(), name, fits);
        // What waits holds several whole policies.
        let waited = tokio::time::timeout(PATIENCE, Box::pin(waiting)).await;
        match waited {
            Ok(Ok(Some(policy))) => policy.status.unwrap(),
            other => {
                let last = policies.get_opt(name).await;
                panic!("the status did not become as wanted: {other:?}; last seen: {last:#?}")
            }
        }
    }

    /// Waits until a policy is not there any more.
    pub(crate) async fn until_gone(&self, name: &str) {
        let gone = await_condition(self.policies(), name, |policy: Option<&RegistryCleanupPolicy>| policy.is_none());
        tokio::time::timeout(PATIENCE, gone).await.expect("it goes").unwrap();
    }

    /// Waits until a policy is Ready for its current generation.
    pub(crate) async fn ready(&self, name: &str) -> PolicyStatus {
        let generation = self.policies().get(name).await.unwrap().metadata.generation;
        self.until(name, |status| {
            status.observed_generation == generation
                && registry_cleanup_operator::api::conditions::is_true(&status.conditions, "Ready")
        })
        .await
    }

    /// Reason and status of a condition, as text: "False/TokenExpired".
    pub(crate) fn condition(status: &PolicyStatus, type_: &str) -> String {
        registry_cleanup_operator::api::conditions::find(&status.conditions, type_)
            .map_or_else(|| "absent".to_owned(), |condition| format!("{:?}/{}", condition.status, condition.reason))
    }

    /// Runs kubectl in this world's namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let all: Vec<&str> = ["--namespace", &self.namespace].into_iter().chain(arguments.iter().copied()).collect();
        kubectl(self.cluster, &all)
    }

    /// The reasons of the events in this world's namespace, with their notes, in the order in which they happened.
    pub(crate) async fn events(&self) -> Vec<(String, String)> {
        use k8s_openapi::api::events::v1::Event;
        let api: Api<Event> = Api::namespaced(self.kube.clone(), &self.namespace);
        let mut events = api.list(&kube::api::ListParams::default()).await.unwrap().items;
        events.sort_by_key(|event| event.event_time.clone().map(|time| time.0));
        events.into_iter().map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default())).collect()
    }
}
