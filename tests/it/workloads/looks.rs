//! What looks cost the API server, counted exactly, and that they prove no less for it. With an API server in this
//! process and time that stands still until everybody waits.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::future::{FutureExt, join_all};
use futures::stream::{self, StreamExt};
use kube::Client;
use registry_cleanup_operator::cluster::workloads::{CustomWorkload, Options, Workloads};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{names, pod, texts};

/// Kinds that every cluster has.
const KINDS: u64 = 9;
/// Bytes of the metadata of an object, more or less.
const METADATA: usize = 2000;

/// A cluster of Pods, in which nothing else exists.
#[derive(Clone, Default)]
struct Api(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The version of each Pod. What comes later than at the beginning is told by watches.
    pods: Mutex<Vec<u64>>,
    /// The newest version.
    version: watch::Sender<u64>,
    /// Watches tell of versions up to this one, and bookmarks lead no further.
    told: watch::Sender<u64>,
    /// Which kind was installed besides, if any.
    installed: Mutex<Option<&'static str>>,
    /// Whether lists are refused.
    failing: AtomicBool,
    lists: AtomicU64,
    watches: AtomicU64,
    discovery: AtomicU64,
    bytes: AtomicU64,
}

impl Api {
    /// With so many Pods.
    fn with(pods: u64) -> Self {
        let api = Self::default();
        api.0.pods.lock().unwrap().extend(1..=pods);
        api.goes_on_to(pods + 1);
        api.tells(u64::MAX);
        api
    }

    fn watched(&self, custom: &[String]) -> Workloads {
        let client = Client::new(Router::new().fallback(answer).with_state(self.clone()), "default");
        let custom = custom.iter().map(|text| CustomWorkload::parse(text).unwrap()).collect();
        Workloads::watch(client, Options { custom, ..Options::default() }, &CancellationToken::new())
    }

    /// Something else happens in the cluster.
    fn goes_on(&self) {
        self.0.version.send_modify(|version| *version += 1);
    }

    fn goes_on_to(&self, version: u64) {
        self.0.version.send_replace(version);
    }

    /// A Pod is created.
    fn create(&self) {
        let version = *self.0.version.borrow() + 1;
        self.0.pods.lock().unwrap().push(version);
        self.goes_on_to(version);
    }

    fn tells(&self, up_to: u64) {
        self.0.told.send_replace(up_to);
    }

    fn fails(&self, failing: bool) {
        self.0.failing.store(failing, Ordering::Relaxed);
    }

    /// Lists, watches, questions about kinds and bytes of lists since this was asked last.
    fn count(&self) -> [u64; 4] {
        let Shared { lists, watches, discovery, bytes, .. } = &*self.0;
        [lists, watches, discovery, bytes].map(|count| count.swap(0, Ordering::Relaxed))
    }
}

fn metadata(version: u64) -> Value {
    let filling = "x".repeat(METADATA);
    json!({
        "namespace": "prod", "name": format!("pod-{version}"), "resourceVersion": version.to_string(),
        "annotations": {"filling": filling},
    })
}

fn object(version: u64) -> Value {
    json!({"metadata": metadata(version), "spec": pod(&format!("image-{version}"))})
}

async fn answer(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Response {
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let parameter = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let is_pods = uri.path().ends_with("/pods");
    if parameter("watch").is_some() {
        api.0.watches.fetch_add(1, Ordering::Relaxed);
        let seconds: u64 = parameter("timeoutSeconds").unwrap().parse().unwrap();
        let after = parameter("resourceVersion").unwrap().parse().unwrap();
        return watch(api, is_pods, after, Duration::from_secs(seconds));
    }
    let is_built_in = ["/api/v1/", "/apis/apps/v1/", "/apis/batch/v1/"].iter().any(|path| uri.path().starts_with(path));
    if !is_built_in {
        api.0.discovery.fetch_add(1, Ordering::Relaxed);
        return discovery(&api, uri.path(), &headers);
    }
    assert_eq!(parameter("resourceVersion"), None, "lists are consistent");
    api.0.lists.fetch_add(1, Ordering::Relaxed);
    if api.0.failing.load(Ordering::Relaxed) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let only_metadata = headers.get("accept").is_some_and(|accept| accept.to_str().unwrap().contains("Partial"));
    let pods = api.0.pods.lock().unwrap().clone();
    let from: usize = parameter("continue").map_or(0, |token| token.parse().unwrap());
    let limit: usize = parameter("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
    let shown = if is_pods && parameter("labelSelector").is_none() { &pods[from..] } else { &[] };
    let items: Vec<Value> = shown
        .iter()
        .take(limit)
        .map(|version| if only_metadata { json!({"metadata": metadata(*version)}) } else { object(*version) })
        .collect();
    let next = if shown.len() > limit { (from + limit).to_string() } else { String::new() };
    let version = api.0.version.borrow().to_string();
    let body = json!({"kind": "PodList", "metadata": {"resourceVersion": version, "continue": next}, "items": items})
        .to_string();
    api.0.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
    body.into_response()
}

/// Tells of Pods, and with a bookmark two seconds before its end how far it is, as an API server does.
fn watch(api: Api, is_pods: bool, after: u64, lasts: Duration) -> Response {
    let line = |kind: &str, object: &Value| format!("{}\n", json!({"type": kind, "object": object}));
    let (begun, version, told) = (Instant::now(), api.0.version.subscribe(), api.0.told.subscribe());
    let lines = stream::unfold((after, false), move |(mut after, mut marked)| {
        let api = api.clone();
        let (mut version, mut told) = (version.clone(), told.clone());
        async move {
            loop {
                let reach = (*version.borrow_and_update()).min(*told.borrow_and_update());
                let pods = api.0.pods.lock().unwrap().clone();
                if let Some(pod) = pods.iter().find(|pod| is_pods && **pod > after && **pod <= reach) {
                    after = *pod;
                    return Some((line("ADDED", &object(*pod)), (after, marked)));
                }
                let mark = lasts.saturating_sub(Duration::from_secs(2));
                if !marked && begun.elapsed() >= mark {
                    marked = true;
                    after = after.max(reach);
                    return Some((
                        line("BOOKMARK", &json!({"metadata": {"resourceVersion": after.to_string()}})),
                        (after, marked),
                    ));
                }
                if begun.elapsed() >= lasts {
                    return None;
                }
                let next = if marked { lasts } else { mark };
                tokio::select! {
                    _ = version.changed() => {}
                    _ = told.changed() => {}
                    () = tokio::time::sleep_until(begun + next) => {}
                }
            }
        }
    });
    Body::from_stream(lines.map(Ok::<String, Infallible>)).into_response()
}

fn discovery(api: &Api, path: &str, headers: &HeaderMap) -> Response {
    let installed = *api.0.installed.lock().unwrap();
    if path == "/apis" {
        let edition = format!("\"{}\"", installed.unwrap_or("none"));
        if headers.get("if-none-match").is_some_and(|known| *known == edition) {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        let content_type = headers["accept"].clone();
        return ([("content-type", content_type), ("etag", edition.parse().unwrap())], "{}").into_response();
    }
    let kind = json!({"name": "rollouts", "kind": "Rollout", "namespaced": true, "verbs": ["list", "watch"]});
    match installed.and_then(|group| path.strip_prefix(&format!("/apis/{group}"))) {
        Some("") => json!({"versions": [{"version": "v1"}]}).to_string().into_response(),
        Some("/v1") => json!({"resources": [kind]}).to_string().into_response(),
        _ => {
            let status = json!({"kind": "Status", "code": 404, "message": "no", "reason": "No", "status": "Failure"});
            (StatusCode::NOT_FOUND, status.to_string()).into_response()
        }
    }
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test(start_paused = true)]
async fn looks_that_follow_one_another_cost_a_list_of_nothing_each_once_the_allowance_is_spent() {
    const LOOKS: u64 = 200;
    let api = Api::with(450);
    let workloads = api.watched(&[]);
    workloads.complete_within(LONG).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    api.count();
    let begun = Instant::now();
    api.goes_on();
    workloads.confirm().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO, "the first is answered at once");
    let [lists, watches, _, bytes] = api.count();
    assert_eq!((lists, watches), (KINDS + 4, 0), "450 objects take five pages");
    assert!(bytes > 450 * METADATA as u64);

    for _ in 0..LOOKS {
        api.goes_on();
        workloads.confirm().await.unwrap();
    }
    let [lists, watches, _, bytes] = api.count();
    let seconds = begun.elapsed().as_secs();
    assert!(lists <= LOOKS * KINDS + 4 * (3 + seconds / 6), "{lists} lists in {seconds} s");
    assert!(watches <= 2 * LOOKS, "{watches} watches");
    let allowed = (2 << 20) + seconds * (128 << 10);
    assert!(bytes <= allowed + (1 << 20), "{bytes} bytes in {seconds} s");
    assert!(seconds <= 2 * LOOKS, "{LOOKS} looks took {seconds} s");
}

#[tokio::test(start_paused = true)]
async fn who_looks_while_others_wait_for_a_bookmark_waits_for_the_same_one() {
    let api = Api::with(600);
    let workloads = api.watched(&[]);
    workloads.complete_within(LONG).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    api.count();
    let begun = Instant::now();
    let looks = join_all((0..8).map(|number| {
        let (api, workloads) = (api.clone(), workloads.clone());
        async move {
            sleep(Duration::from_millis(100 * number)).await;
            api.goes_on();
            workloads.confirm().await
        }
    }));
    assert!(looks.await.iter().all(Result::is_ok));
    assert!(begun.elapsed() <= Duration::from_millis(1100), "{:?}", begun.elapsed());
    let [lists, watches, _, bytes] = api.count();
    assert!(lists <= 8 * KINDS && watches <= 2 && bytes < 20_000, "{lists} lists, {watches} watches, {bytes} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_look_that_began_before_a_pod_was_created_answers_nobody_who_looks_after_it() {
    let api = Api::with(600);
    let workloads = api.watched(&[]);
    workloads.complete_within(LONG).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    api.goes_on();
    let early = *api.0.version.borrow();
    // Watches tell of what was before the Pod, and no more.
    api.tells(early);
    let mut first = workloads.confirm().boxed();
    tokio::select! {
        early = &mut first => panic!("{early:?}"),
        // It has asked, and waits for a bookmark.
        () = sleep(Duration::from_millis(10)) => {}
    }
    api.create();
    let image = format!("image-{}", early + 1);
    let second = async {
        let begun = Instant::now();
        workloads.confirm().await.unwrap();
        (begun.elapsed(), names(&workloads).contains(&image))
    };
    let late = async {
        first.await.unwrap();
        assert!(!names(&workloads).contains(&image), "the first look is over before anybody has heard of the Pod");
        sleep(Duration::from_millis(500)).await;
        api.tells(u64::MAX);
    };
    let ((took, seen), ()) = futures::join!(second, late);
    assert!(seen && took >= Duration::from_millis(1400), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn absent_kinds_are_asked_for_all_at_once_and_found_when_one_is_installed() {
    const ABSENT: u64 = 25;
    let api = Api::with(3);
    let custom: Vec<String> =
        (0..ABSENT).map(|number| format!("g{number}.example.com/v1/Rollout=spec.template")).collect();
    let workloads = api.watched(&custom);
    workloads.complete_within(LONG).await.unwrap();
    api.count();
    workloads.confirm().await.unwrap();
    let [lists, _, discovery, _] = api.count();
    assert_eq!((lists, discovery), (KINDS, 1 + ABSENT), "each is looked for once more");
    for _ in 0..10 {
        workloads.confirm().await.unwrap();
    }
    let [lists, _, discovery, _] = api.count();
    assert_eq!((lists, discovery), (10 * KINDS, 10));

    *api.0.installed.lock().unwrap() = Some("g7.example.com");
    let gaps = workloads.confirm().await.unwrap_err();
    assert_eq!(texts(&gaps), ["Rollout.g7.example.com in all namespaces: not completely listed yet"]);
}

#[tokio::test(start_paused = true)]
async fn a_look_whose_caller_does_something_else_first_keeps_no_other_waiting() {
    let api = Api::with(600);
    let workloads = api.watched(&[]);
    workloads.complete_within(LONG).await.unwrap();
    api.goes_on();
    let mut first = workloads.confirm().boxed();
    assert_eq!((&mut first).now_or_never(), None, "it has begun");
    let second = timeout(LONG, workloads.confirm()).await;
    assert_eq!(second, Ok(Ok(())), "nobody asks the first how far it is");
    assert_eq!(first.await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_bookmark_that_does_not_reach_far_enough_is_followed_by_another() {
    let api = Api::with(600);
    let workloads = api.watched(&[]);
    workloads.complete_within(LONG).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    api.goes_on();
    api.tells(*api.0.version.borrow());
    api.goes_on();
    api.count();
    let begun = Instant::now();
    let look = workloads.confirm();
    let told = async {
        sleep(Duration::from_millis(1500)).await;
        api.tells(u64::MAX);
    };
    assert_eq!(futures::join!(look, told).0, Ok(()));
    assert!(begun.elapsed() <= Duration::from_millis(2100), "{:?}", begun.elapsed());
    let [lists, watches, _, bytes] = api.count();
    assert!(lists == KINDS && watches == 2 && bytes < 20_000, "{lists} lists, {watches} watches, {bytes} bytes");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_again_is_noticed_by_looking_again_also_where_no_watch_fails() {
    let api = Api::with(3);
    let workloads = api.watched(&[]);
    workloads.complete_within(LONG).await.unwrap();
    api.goes_on();
    api.fails(true);
    assert_eq!(workloads.confirm().await.unwrap_err().len(), 9);
    assert_eq!(workloads.gaps(), [], "nothing is missing");
    let begun = Instant::now();
    let mut recovered = workloads.recovered().boxed();
    tokio::select! {
        () = &mut recovered => panic!("lists fail"),
        () = sleep(Duration::from_secs(5)) => api.fails(false),
    }
    timeout(LONG, recovered).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    workloads.confirm().await.unwrap();
}
