//! What it costs to know which images a cluster uses: memory and time, against a real API server with generated
//! objects.
//!
//! `cargo bench --bench in_use` starts a control plane, fills it, and measures in fresh processes of its own. Filling
//! it takes some minutes. `IN_USE_PODS`, `IN_USE_IMAGES` and `IN_USE_DEPLOYMENTS` change the numbers.
//!
//! The looks are those of a run that removes `IN_USE_TAGS` tags in requests of several hundred, four at a time: what
//! they cost the API server is counted request by request, with the nine kinds alone and with 25 that the cluster does
//! not have.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a measurement that fails is to end, and prints what it found"
)]

#[path = "support/mod.rs"]
mod support;

use std::convert::Infallible;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Uri};
use axum::response::{IntoResponse, Response};
use control_plane::{Cluster, Options};
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use registry_cleanup_operator::cluster::workloads::{self, Workloads};
use serde_json::{Value, json};
use support::workloads::{NAMESPACES, REPLICA_SETS_EACH, fill, pod, status};
use tokio_util::sync::CancellationToken;

/// Ample: a measurement that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);
const EVENTS: usize = 100_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match arguments.get(1).map(String::as_str) {
        Some("index") => runtime.block_on(index(Path::new(&arguments[2]))),
        Some("events") => runtime.block_on(events()),
        Some("looks") => runtime.block_on(looks(Path::new(&arguments[2]), arguments[3].parse().unwrap())),
        _ => runtime.block_on(all()),
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

async fn all() {
    let cluster = Cluster::start(&Options { audit: false, ..Options::default() }).unwrap();
    let kube = client(cluster.kubeconfig()).await;
    let (pods, images) = (number("IN_USE_PODS", 10_000), number("IN_USE_IMAGES", 2_000));
    let deployments = number("IN_USE_DEPLOYMENTS", 1_000);
    let begun = Instant::now();
    fill(&kube, pods, images, deployments).await;
    let replica_sets = deployments * REPLICA_SETS_EACH;
    println!(
        "{pods} Pods over {images} images, {deployments} Deployments, {replica_sets} ReplicaSets in {NAMESPACES} namespaces: \
         created in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    run_again(&["index", cluster.kubeconfig().to_str().unwrap()]);
    for absent in ["0", "25"] {
        run_again(&["looks", cluster.kubeconfig().to_str().unwrap(), absent]);
    }
    run_again(&["events"]);
}

/// Measures in a process of its own, whose memory is that of the measurement alone.
fn run_again(arguments: &[&str]) {
    let status = Command::new(std::env::current_exe().unwrap()).args(arguments).status().unwrap();
    assert!(status.success());
}

async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    Client::try_from(kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap()).unwrap()
}

/// Memory of this process in KiB: `VmRSS` is what it has now, `VmHWM` the most that it ever had.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn milliseconds(durations: &[Duration]) -> String {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let (median, longest) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
    format!("median {:.1} ms, longest {:.1} ms of {}", ms(median), ms(longest), sorted.len())
}

/// From nothing to a complete index, and what it answers then.
async fn index(kubeconfig: &Path) {
    let kube = client(kubeconfig).await;
    kube.apiserver_version().await.unwrap();
    let before = memory("VmRSS");
    let begun = Instant::now();
    let workloads = Workloads::watch(kube.clone(), workloads::Options::default(), &CancellationToken::new());
    workloads.complete_within(PATIENCE).await.unwrap();
    let took = begun.elapsed();
    let (after, objects) = (memory("VmRSS"), workloads.objects());
    println!("index of {objects} objects: complete in {:.2} s", took.as_secs_f64());
    println!(
        "memory: {:.1} MiB before, {:.1} MiB with the index, {:.1} MiB at most ({} bytes for an object, buffers and all)",
        mib(before),
        mib(after),
        mib(memory("VmHWM")),
        (after - before) * 1024 / objects as u64
    );
    let now = Timestamp::now();
    let times: Vec<Duration> = (0..20).map(|_| timed(|| drop(workloads.images(now)))).collect();
    println!("images: {} in use; read in {}", workloads.images(now).len(), milliseconds(&times));

    let mut times = Vec::new();
    for _ in 0..10 {
        let begun = Instant::now();
        workloads.confirm().await.unwrap();
        times.push(begun.elapsed());
    }
    println!("confirm, nothing happens: {}", milliseconds(&times));
    let mut times = Vec::new();
    for number in 0..10 {
        let template = json!({"metadata": {"annotations": {"number": number.to_string()}}});
        let patch = Patch::Merge(json!({"spec": {"template": template}}));
        let deployments = support::workloads::objects(&kube, "apps", "Deployment", 0);
        deployments.patch("service-0-7d9c4b6f5", &PatchParams::default(), &patch).await.unwrap();
        let begun = Instant::now();
        workloads.confirm().await.unwrap();
        times.push(begun.elapsed());
    }
    println!("confirm, just after a Deployment was changed: {}", milliseconds(&times));
    println!("memory: {:.1} MiB at most in the end", mib(memory("VmHWM")));
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// What passes by on the way to the API server.
#[derive(Default)]
struct Counts {
    lists: AtomicU64,
    watches: AtomicU64,
    others: AtomicU64,
    bytes: AtomicU64,
}

/// A client whose requests are counted, and the bytes of their answers.
fn counted(kube: Client) -> (Client, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let all = Arc::clone(&counts);
    let pass_on = move |request: Request<Body>| async move {
        let query = request.uri().query().unwrap_or_default();
        let workloads = ["/api/v1/", "/apis/apps/v1/", "/apis/batch/v1/"];
        let count = if query.contains("watch=true") {
            &all.watches
        } else if workloads.iter().any(|path| request.uri().path().starts_with(path)) {
            &all.lists
        } else {
            &all.others
        };
        count.fetch_add(1, Ordering::Relaxed);
        let answer = kube.send(request.map(|_| kube::client::Body::empty())).await.unwrap();
        let counts = Arc::clone(&all);
        let count = move |piece: &Result<Bytes, axum::Error>| {
            let bytes = piece.as_ref().map_or(0, |piece| piece.len() as u64);
            counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        };
        answer.map(|body| Body::from_stream(Body::new(body).into_data_stream().inspect(count)))
    };
    (Client::new(Router::new().fallback(pass_on), "default"), counts)
}

/// Tags of one request, and how long GitLab takes to remove them.
const TAGS_A_REQUEST: usize = 500;
const REMOVING: Duration = Duration::from_millis(500);

/// What a run with many removals looks at, in a cluster in which something else happens all the time.
async fn looks(kubeconfig: &Path, absent: usize) {
    let kube = client(kubeconfig).await;
    let (counted, counts) = counted(kube.clone());
    let custom = (0..absent).map(|number| format!("absent-{number}.example.com/v1/Rollout=spec.template"));
    let custom = custom.map(|text| workloads::CustomWorkload::parse(&text).unwrap()).collect();
    let options = workloads::Options { custom, ..workloads::Options::default() };
    let workloads = Workloads::watch(counted, options, &CancellationToken::new());
    workloads.complete_within(PATIENCE).await.unwrap();
    let something = tokio::spawn(async move {
        for number in 0_u64.. {
            let patch = Patch::Merge(json!({"metadata": {"annotations": {"number": number.to_string()}}}));
            let namespaces: Api<DynamicObject> =
                Api::all_with(kube.clone(), &ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace")));
            namespaces.patch("team-0", &PatchParams::default(), &patch).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let count = |counts: &Counts| {
        [&counts.lists, &counts.watches, &counts.others, &counts.bytes].map(|count| count.swap(0, Ordering::Relaxed))
    };
    count(&counts);
    let requests = number("IN_USE_TAGS", 21_711).div_ceil(TAGS_A_REQUEST);
    let begun = Instant::now();
    let look = |_| async {
        workloads.confirm().await.unwrap();
        tokio::time::sleep(REMOVING).await;
    };
    stream::iter(0..requests).map(look).buffer_unordered(4).collect::<Vec<()>>().await;
    let seconds = begun.elapsed().as_secs_f64();
    let [lists, watches, others, bytes] = count(&counts);
    something.abort();
    println!(
        "looks of {requests} requests, {absent} absent kinds: {seconds:.0} s; {lists} lists, {watches} watches, {others} others, \
         {:.1} MiB",
        bytes as f64 / f64::from(1 << 20)
    );
}

/// Changes of Pods, from the line of a watch to the index. Each changes two images of a Pod, among 10,000 Pods.
async fn events() {
    const PODS: usize = 10_000;
    let line = |event: usize| {
        let (first, second) = (event % 2_000, (event * 7 + event / PODS) % 2_000);
        let number = event % PODS;
        let fields: Vec<Value> = (0..40).map(|n| json!({format!("f:field-{n}"): {"f:more": {}}})).collect();
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("service-{number}-7d9c4b6f5"), "namespace": format!("team-{}", number % NAMESPACES),
                "resourceVersion": (event + 2).to_string(),
                "managedFields": [{"manager": "kubelet", "fieldsV1": fields}],
            },
            "spec": pod(first, second), "status": status(first, second),
        });
        json!({"type": "MODIFIED", "object": object}).to_string() + "\n"
    };
    // Made beforehand, so that only what the index does is measured.
    let lines: Vec<String> = (0..PODS * 2).map(line).collect();
    let bytes = lines.iter().map(String::len).sum::<usize>() / lines.len();
    let lines = std::sync::Arc::new(lines);
    let answer = move |uri: Uri| {
        let lines = std::sync::Arc::clone(&lines);
        async move { answer(&uri, lines) }
    };
    let client = Client::new(Router::new().fallback(answer), "default");
    let begun = Instant::now();
    let workloads = Workloads::watch(client, workloads::Options::default(), &CancellationToken::new());
    while workloads.version() < EVENTS as u64 {
        assert!(begun.elapsed() < PATIENCE, "{} events were applied", workloads.version());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / EVENTS as f64;
    println!("events: {each:.1} µs each, for {EVENTS} changes of {bytes} bytes, from the wire to the index");
}

fn answer(uri: &Uri, lines: std::sync::Arc<Vec<String>>) -> Response {
    if !uri.query().unwrap_or_default().contains("watch=true") {
        return json!({"metadata": {"resourceVersion": "1"}, "items": []}).to_string().into_response();
    }
    let events = if uri.path().ends_with("/pods") { EVENTS } else { 0 };
    let events = stream::iter(0..events).map(move |event| Ok::<String, Infallible>(lines[event % lines.len()].clone()));
    Body::from_stream(events.chain(stream::pending())).into_response()
}
