//! The chart and the manifests: what they render, and what a real API server makes of it.
//!
//! Tests that install or remove the definition, which belongs to the whole cluster, have a cluster of their own
//! ([`Own`]), one after the other. All others share the one of the remaining tests and never touch the definition
//! there.

mod chart;
mod deploy;
mod guardrails;
mod lifecycle;
mod rights;
mod upgrades;

use std::fs;
use std::io::Write;
use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use control_plane::{Cluster, Options, Tool, Toolbox};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::world::{self, established, kubectl, output, path, try_kubectl};

const CHART: &str = "charts/registry-cleanup-operator";
const NAME: &str = "registry-cleanup-operator";
const DEFINITION: &str = "registrycleanuppolicies.registrycleanup.dev";

/// The cluster of all tests, with the definition in it.
fn shared() -> &'static Cluster {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(world::cluster())
}

/// A cluster in which a test may do what it likes with the definition. Only one test has it at a time, and gets it
/// empty.
struct Own(MutexGuard<'static, Cluster>);

impl Own {
    fn take() -> Self {
        static OWN: OnceLock<Mutex<Cluster>> = OnceLock::new();
        let own = OWN.get_or_init(|| {
            let cluster = Cluster::start(&Options::default()).expect("the control plane starts");
            let definitions = file(&["ServiceMonitor", "PodMonitor", "PrometheusRule"].map(monitoring).join("---\n"));
            kubectl(&cluster, &["create", "-f", name_of(&definitions)]);
            established(&cluster, &["crd", "--all"]);
            Mutex::new(cluster)
        });
        let own = Self(own.lock().unwrap_or_else(PoisonError::into_inner));
        // What the test before left. The definition goes first: the policies go with it.
        kubectl(&own, &["delete", "crd", DEFINITION, "--ignore-not-found", "--timeout=60s"]);
        let guards = "validatingadmissionpolicies,validatingadmissionpolicybindings";
        kubectl(&own, &["delete", guards, "--all"]);
        for kind in ["clusterrole", "clusterrolebinding"] {
            kubectl(&own, &["delete", kind, "-l", "app.kubernetes.io/name in (registry-cleanup-operator,cleanup)"]);
        }
        let used = ["registry-cleanup", "registry-cleanup-system", "team-shop", "team-a", "team-b"];
        kubectl(&own, &[&["delete", "namespace", "--ignore-not-found", "--timeout=60s"], &used[..]].concat());
        own
    }
}

/// A definition of a kind of the Prometheus operator, with whatever fields.
fn monitoring(kind: &str) -> String {
    let (singular, group) = (kind.to_lowercase(), "monitoring.coreos.com");
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
         metadata: {{name: {singular}s.{group}}}\n\
         spec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: {kind}, plural: {singular}s}}\n  \
         versions:\n  - name: v1\n    served: true\n    storage: true\n    \
         schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}\n"
    )
}

impl Deref for Own {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.0
    }
}

/// A namespace that goes with the test.
struct Namespace {
    cluster: &'static Cluster,
    name: String,
}

impl Namespace {
    fn create(cluster: &'static Cluster) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("i{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        kubectl(cluster, &["create", "namespace", &name]);
        Self { cluster, name }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = try_kubectl(self.cluster, &["delete", "namespace", &self.name, "--wait=false"]);
    }
}

impl Deref for Namespace {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

/// A release in the shared cluster, without the definition. It is called like its namespace.
struct Release<'a>(&'a Namespace);

impl<'a> Release<'a> {
    fn install(namespace: &'a Namespace, settings: &[&str]) -> Self {
        let release = Self(namespace);
        let arguments = ["install", namespace, &path(CHART), "--set=crds.install=false"];
        let (ok, text) = output(release.helm(&arguments).args(settings));
        assert!(ok, "{text}");
        release
    }

    fn helm(&self, arguments: &[&str]) -> Command {
        let mut helm = self.0.cluster.helm().unwrap();
        helm.args(arguments).args(["--namespace", self.0]);
        helm
    }

    /// The name of the operator's objects.
    fn full_name(&self) -> String {
        format!("{}-{NAME}", &**self.0)
    }
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        let _ = output(&mut self.helm(&["uninstall", self.0]));
    }
}

/// Helm without a cluster, and without the settings of whoever runs the tests.
fn helm() -> Command {
    let mut helm = Command::new(helm_program());
    helm.env_clear().env("HOME", std::env::temp_dir()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    helm
}

fn helm_program() -> std::path::PathBuf {
    Toolbox::from_env().and_then(|toolbox| toolbox.find(Tool::Helm)).expect("helm")
}

/// What the chart renders for a release in the namespace `registry-cleanup`, as text.
fn rendered_text(settings: &[&str]) -> String {
    rendered_chart(&path(CHART), settings)
}

fn rendered_chart(chart: &str, settings: &[&str]) -> String {
    let command = ["template", NAME, chart, "--namespace=registry-cleanup"];
    let (ok, text) = output(helm().args(command).args(settings));
    assert!(ok, "{settings:?}: {text}");
    text
}

/// What the chart renders, object by object.
fn rendered(settings: &[&str]) -> Vec<Value> {
    objects(&rendered_text(settings))
}

/// The objects in a text of YAML documents. kubectl reads them, strictly; it knows the kinds of Kubernetes itself, but
/// not those of the Prometheus operator.
fn objects(yaml: &str) -> Vec<Value> {
    let (others, own): (Vec<&str>, Vec<&str>) =
        yaml.split("\n---\n").partition(|document| document.contains("apiVersion: monitoring.coreos.com/v1\n"));
    let file = file(&own.join("\n---\n"));
    let text = kubectl(shared(), &["create", "--dry-run=client", "--validate=strict", "-o=json", "-f", name_of(&file)]);
    let own = serde_json::Deserializer::from_str(&text).into_iter().map(Result::unwrap);
    own.chain(others.into_iter().map(|document| serde_saphyr::from_str(document).unwrap())).collect()
}

fn file(text: &str) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn name_of(file: &NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

/// The one object of a kind.
fn the<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<_> = of(objects, kind).collect();
    assert_eq!(found.len(), 1, "{kind} in {:?}", kinds(objects));
    found[0]
}

fn of<'a>(objects: &'a [Value], kind: &str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

fn kinds(objects: &[Value]) -> Vec<String> {
    objects.iter().map(|object| format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().map(|items| items.iter().map(text).collect()).unwrap_or_default()
}

fn container(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]
}

/// The values files for continuous integration, which together reach every branch of every template.
fn values_files() -> Vec<String> {
    let mut files = files_in(&path(&format!("{CHART}/ci")));
    files.retain(|file| file.ends_with("-values.yaml"));
    assert!(files.len() >= 3, "{files:?}");
    files
}

fn files_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.is_file()).map(|path| path.display().to_string()).collect();
    files.sort();
    files
}

fn folders_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).map(|path| path.display().to_string()).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Runs a program of one of the Go modules beside this file.
fn go(module: &str, arguments: &[&str]) -> String {
    let mut go = Command::new("go");
    go.args(["-C", &path(&format!("tests/it/install/{module}"))]).args(arguments);
    let (ok, text) = output(go.env("GOWORK", "off").env("GOFLAGS", "-mod=readonly"));
    assert!(ok, "go {arguments:?} in {module}: {text}");
    // What go says of modules that it fetches first is none of it.
    let told: Vec<&str> = text.lines().filter(|line| !line.starts_with("go: ")).collect();
    told.join("\n")
}

/// Waits for what a controller does in its own time.
fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
