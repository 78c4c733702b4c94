//! An API server that misbehaves, in this process and with time that stands still until everybody waits.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, BoxStream, StreamExt};
use kube::Client;
use registry_cleanup_operator::cluster::workloads::{CustomWorkload, Options, Workloads};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{names, pod, texts};
use crate::support::eventually;

/// What is answered to a request about Pods.
enum Answer {
    /// These Pods, at a version, and what to ask for the next page with.
    Page(Vec<Value>, u64, &'static str),
    /// A body.
    Text(String),
    /// Events, and then the end.
    Events(Vec<String>),
    /// Events, and then nothing more, and no end.
    Silence(Vec<String>),
    /// Events, and the end after some seconds.
    Until(Vec<String>, u64),
    /// What comes out of a channel.
    Live(mpsc::UnboundedReceiver<String>),
    Refusal(u16),
    /// None at all.
    None,
}

/// Answers requests about Pods by the script, and then as the rest: nothing exists, and nothing happens but bookmarks.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
    /// Whether there is a kind `Rollout`, whose list is never answered.
    has_rollouts: Arc<AtomicBool>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Self::default();
        script.then(answers);
        script
    }

    fn then(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().extend(answers);
    }

    fn watch(&self) -> Workloads {
        self.watch_with(Options::default())
    }

    fn watch_with(&self, options: Options) -> Workloads {
        let client = Client::new(Router::new().fallback(answer).with_state(self.clone()), "default");
        Workloads::watch(client, options, &CancellationToken::new())
    }

    /// What was asked about Pods.
    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn answer(State(script): State<Script>, uri: Uri, headers: HeaderMap) -> Response {
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let parameter = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let is_watch = parameter("watch") == "true";
    if uri.path().ends_with("/pods") {
        let only_metadata = headers.get("accept").is_some_and(|accept| accept.to_str().unwrap().contains("Partial"));
        let request = if is_watch {
            let seconds = Some(parameter("timeoutSeconds")).filter(|seconds| *seconds != "290");
            format!(
                "watch {}{}",
                parameter("resourceVersion"),
                seconds.map(|it| format!(" for {it}")).unwrap_or_default()
            )
        } else {
            assert_eq!(parameter("resourceVersion"), "", "lists are consistent");
            let what = match (only_metadata, parameter("labelSelector"), parameter("continue")) {
                (false, "", "") => "list",
                (false, "", _) => "list on",
                (true, "", _) => "compare",
                _ => "list nothing",
            };
            // Whatever is listed whole is read in pages, and that they are of the usual size goes without saying.
            match (what, parameter("limit")) {
                ("list" | "list on", "50") | ("compare", "100") | ("list nothing", "") => what.to_owned(),
                (_, limit) => format!("{what} by {limit}"),
            }
        };
        script.requests.lock().unwrap().push(request);
        let next = script.answers.lock().unwrap().pop_front();
        if let Some(next) = next {
            return scripted(next).await;
        }
    }
    if let Some(rest) = uri.path().strip_prefix("/apis/example.com") {
        let rollouts = json!({"name": "rollouts", "kind": "Rollout", "namespaced": true, "verbs": ["list", "watch"]});
        return match rest {
            _ if !script.has_rollouts.load(Ordering::Relaxed) => scripted(Answer::Refusal(404)).await,
            "" => json!({"versions": [{"version": "v1"}]}).to_string().into_response(),
            "/v1" => json!({"resources": [rollouts]}).to_string().into_response(),
            _ => scripted(Answer::None).await,
        };
    }
    if is_watch {
        let seconds: u64 = parameter("timeoutSeconds").parse().unwrap();
        let bookmarks = stream::iter(0..seconds / 60).then(|_| async {
            sleep(Duration::from_secs(60)).await;
            line("BOOKMARK", &json!({"metadata": {"resourceVersion": "1000"}}))
        });
        let end = stream::once(sleep(Duration::from_secs(seconds % 60))).filter_map(async |()| None);
        return events(bookmarks.chain(end).boxed());
    }
    page(&[], 1, "")
}

async fn scripted(answer: Answer) -> Response {
    let iter = |lines: Vec<String>| stream::iter(lines);
    match answer {
        Answer::Page(pods, version, next) => page(&pods, version, next),
        Answer::Text(text) => text.into_response(),
        Answer::Events(lines) => events(iter(lines).boxed()),
        Answer::Silence(lines) => events(iter(lines).chain(stream::pending()).boxed()),
        Answer::Until(lines, seconds) => {
            let end = stream::once(sleep(Duration::from_secs(seconds))).filter_map(async |()| None);
            events(iter(lines).chain(end).boxed())
        }
        Answer::Live(lines) => {
            events(stream::unfold(lines, async |mut lines| lines.recv().await.map(|line| (line, lines))).boxed())
        }
        Answer::Refusal(code) => {
            let status = json!({"kind": "Status", "code": code, "message": "no", "reason": "No", "status": "Failure"});
            (StatusCode::from_u16(code).unwrap(), status.to_string()).into_response()
        }
        Answer::None => std::future::pending().await,
    }
}

fn page(pods: &[Value], version: u64, next: &str) -> Response {
    json!({"kind": "PodList", "metadata": {"resourceVersion": version.to_string(), "continue": next}, "items": pods})
        .to_string()
        .into_response()
}

fn events(lines: BoxStream<'static, String>) -> Response {
    Body::from_stream(lines.map(Ok::<String, Infallible>)).into_response()
}

fn line(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

/// A Pod that is named like its image.
fn image(image: &str, version: u64) -> Value {
    json!({"metadata": {"namespace": "prod", "name": image, "resourceVersion": version.to_string()}, "spec": pod(image)})
}

fn added(name: &str, version: u64) -> String {
    line("ADDED", &image(name, version))
}

fn bookmark(version: u64) -> String {
    line("BOOKMARK", &json!({"metadata": {"resourceVersion": version.to_string()}}))
}

fn error(code: u16) -> String {
    line("ERROR", &json!({"kind": "Status", "code": code}))
}

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_where_it_ended() {
    let half = added("cut", 9).trim_end().to_owned();
    let script = Script::new([
        Answer::Page(vec![image("a", 3)], 5, ""),
        Answer::Events(vec![added("b", 6), line("DELETED", &image("a", 7)), half]),
        Answer::Events(vec![bookmark(8)]),
        Answer::Silence(vec![]),
    ]);
    let workloads = script.watch();
    workloads.complete_within(LONG).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(script.requests(), ["list", "watch 5", "watch 7", "watch 8"]);
    assert_eq!(names(&workloads), ["b"]);
    assert_eq!(workloads.gaps(), []);
}

#[tokio::test(start_paused = true)]
async fn everything_is_listed_anew_when_a_watch_cannot_go_on() {
    for gone in [Answer::Refusal(410), Answer::Events(vec![added("c", 6), error(410)])] {
        let answers = [
            Answer::Page(vec![image("a", 3), image("b", 4)], 5, ""),
            gone,
            Answer::Page(vec![image("b", 4), image("d", 7)], 9, ""),
            Answer::Silence(vec![added("e", 10)]),
        ];
        let script = Script::new(answers);
        let workloads = script.watch();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(script.requests(), ["list", "watch 5", "list", "watch 9"]);
        assert_eq!(names(&workloads), ["b", "d", "e"]);
        assert_eq!(workloads.gaps(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_list_is_repeated_it_is_a_gap_and_nothing_is_forgotten() {
    let answers = [
        Answer::Page(vec![image("a", 3)], 5, ""),
        Answer::Refusal(410),
        Answer::Page(vec![image("b", 7)], 9, "more"),
        Answer::None,
        Answer::Page(vec![image("b", 7)], 9, ""),
    ];
    let script = Script::new(answers);
    let workloads = script.watch();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(texts(&workloads.gaps()), ["pods in all namespaces: not completely listed yet"]);
    assert_eq!(names(&workloads), ["a", "b"]);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(texts(&workloads.gaps()), ["pods in all namespaces: the API server does not answer within 20 seconds"]);
    assert_eq!(names(&workloads), ["a", "b"]);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(script.requests(), ["list", "watch 5", "list", "list on", "list", "watch 9"]);
    assert_eq!((names(&workloads), workloads.gaps()), (vec!["b".to_owned()], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_expires_between_two_pages_begins_again() {
    let answers = [
        Answer::Page(vec![image("a", 3)], 5, "more"),
        Answer::Refusal(410),
        Answer::Page(vec![image("b", 4)], 6, "more"),
        Answer::Page(vec![image("c", 4)], 6, ""),
    ];
    let script = Script::new(answers);
    let workloads = script.watch();
    workloads.complete_within(LONG).await.unwrap();
    assert_eq!(script.requests(), ["list", "list on", "list", "list on", "watch 6"]);
    assert_eq!(names(&workloads), ["b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_none_makes_everything_be_listed_anew() {
    for odd in ["{}\n", "<html>\n", "{\"type\":\"ADDED\",\"object\":{}}\n", &error(500)] {
        let answers = [
            Answer::Page(vec![image("a", 3)], 5, ""),
            Answer::Silence(vec![odd.to_owned()]),
            Answer::Page(vec![image("b", 7)], 9, ""),
        ];
        let script = Script::new(answers);
        let workloads = script.watch();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(script.requests(), ["list", "watch 5", "list", "watch 9"], "{odd}");
        assert_eq!(names(&workloads), ["b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_cannot_be_read_is_named_and_hides_no_other() {
    let odd = |name: &str, version: u64| {
        let mut odd = image(name, version);
        odd["spec"] = json!("none");
        odd
    };
    let answers = [
        Answer::Page(vec![odd("listed", 1), image("a", 3)], 5, ""),
        Answer::Silence(vec![line("ADDED", &odd("watched", 6)), added("b", 7)]),
    ];
    let script = Script::new(answers);
    let workloads = script.watch();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(texts(&workloads.gaps()), ["pods in all namespaces: prod/listed and 1 more cannot be read"]);
    assert_eq!(names(&workloads), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_begun_anew_before_it_is_too_long_ago() {
    let answers = [Answer::Page(vec![], 5, ""), Answer::Silence(vec![]), Answer::Silence(vec![]), Answer::None];
    let script = Script::new(answers);
    let workloads = script.watch();
    workloads.complete_within(LONG).await.unwrap();
    let begun = Instant::now();
    let until = |seconds: f64| tokio::time::sleep_until(begun + Duration::from_secs_f64(seconds));
    until(149.0).await;
    assert_eq!(script.requests(), ["list", "watch 5"]);
    until(151.0).await;
    assert_eq!(script.requests(), ["list", "watch 5", "watch 5"]);
    // The third is never answered; the fourth is.
    until(319.0).await;
    assert_eq!((script.requests().len(), workloads.gaps()), (4, vec![]));
    until(320.2).await;
    assert_eq!(texts(&workloads.gaps()), ["pods in all namespaces: the API server does not answer within 20 seconds"]);
    assert!(workloads.confirm().await.is_err());
    until(321.0).await;
    assert_eq!((script.requests().len(), workloads.gaps()), (5, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_was_absent_is_looked_for_again_and_a_gap_until_it_is_listed() {
    let script = Script::new([]);
    let custom = vec![CustomWorkload::parse("example.com/v1/Rollout=spec.template").unwrap()];
    let workloads = script.watch_with(Options { custom, ..Options::default() });
    workloads.complete_within(LONG).await.unwrap();
    sleep(LONG).await;
    assert_eq!(workloads.gaps(), []);
    script.has_rollouts.store(true, Ordering::Relaxed);
    let gap = eventually("a gap", async || workloads.gaps().pop()).await;
    assert_eq!(gap.to_string(), "Rollout.example.com in all namespaces: not completely listed yet");
}

#[tokio::test(start_paused = true)]
async fn the_watches_end_with_the_last_handle() {
    let script = Script::new([]);
    let workloads = script.watch();
    workloads.complete_within(LONG).await.unwrap();
    let clone = workloads.clone();
    drop(workloads);
    sleep(LONG).await;
    assert_eq!(clone.gaps(), []);
    let before = script.requests().len();
    assert!(before > 10, "a watch lasts for 290 seconds");
    drop(clone);
    sleep(LONG).await;
    assert_eq!(script.requests().len(), before);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_always_refuses_is_not_asked_all_the_time() {
    let mut counts = Vec::new();
    for answer in [
        (|| Answer::Refusal(403)) as fn() -> Answer,
        || Answer::Refusal(500),
        || Answer::Refusal(404),
        || Answer::Text("<html>".to_owned()),
    ] {
        let script = Script::new(std::iter::repeat_with(answer).take(10_000));
        let workloads = script.watch();
        sleep(LONG).await;
        assert_eq!(workloads.gaps().len(), 1);
        counts.push(script.requests().len());
    }
    assert!(counts.iter().all(|count| (100..140).contains(count)), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_or_expire_at_once_are_not_begun_all_the_time() {
    for watch in
        [(|| Answer::Events(vec![])) as fn() -> Answer, || Answer::Refusal(410), || Answer::Events(vec![error(410)])]
    {
        let pairs = std::iter::repeat_with(|| [Answer::Page(vec![], 5, ""), watch()]).take(5_000).flatten();
        let script = Script::new(pairs);
        let workloads = script.watch();
        sleep(LONG).await;
        let count = script.requests().len();
        assert!((100..280).contains(&count), "{count}");
        drop(workloads);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bookmark_from_the_past_makes_everything_be_listed_anew() {
    let answers = [
        Answer::Page(vec![image("a", 3)], 500, ""),
        Answer::Silence(vec![bookmark(40)]),
        Answer::Page(vec![image("b", 7)], 41, ""),
    ];
    let script = Script::new(answers);
    let workloads = script.watch();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(script.requests(), ["list", "watch 500", "list", "watch 41"]);
    assert_eq!(names(&workloads), ["b"]);
}

/// Pods of which only the metadata are shown.
fn metadata(objects: &[(&str, u64)], version: u64) -> Answer {
    let object = |(name, version): &(&str, u64)| json!({"metadata": {"namespace": "prod", "name": name, "resourceVersion": version.to_string()}});
    Answer::Page(objects.iter().map(object).collect(), version, "")
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_waits_for_an_event_that_is_late() {
    let (send, receive) = mpsc::unbounded_channel();
    let script = Script::new([Answer::Page(vec![image("a", 3)], 5, ""), Answer::Live(receive)]);
    let workloads = script.watch();
    workloads.complete_within(LONG).await.unwrap();
    script.then([metadata(&[("a", 3), ("b", 6)], 8), metadata(&[("a", 9)], 10), metadata(&[], 12)]);
    let late = async {
        sleep(Duration::from_secs(4)).await;
        send.send(added("b", 6)).unwrap();
    };
    let begun = Instant::now();
    let (confirmed, ()) = futures::join!(workloads.confirm(), late);
    assert_eq!((confirmed, begun.elapsed().as_secs()), (Ok(()), 4));
    assert_eq!(names(&workloads), ["a", "b"]);

    // A change is waited for as well, even if it never comes.
    let begun = Instant::now();
    assert_eq!(texts(&workloads.confirm().await.unwrap_err()), ["pods in all namespaces: behind the API server"]);
    assert_eq!(begun.elapsed().as_secs(), 10);
    // What is only known here was deleted, and protects what nobody uses.
    workloads.confirm().await.unwrap();
    assert_eq!(names(&workloads), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_position_beyond_the_question_is_all_the_proof_that_is_needed() {
    let (send, receive) = mpsc::unbounded_channel();
    let script = Script::new([Answer::Page(vec![image("a", 3)], 5, ""), Answer::Live(receive)]);
    let workloads = script.watch();
    workloads.complete_within(LONG).await.unwrap();
    // `b` was created and is deleted again by the time its event comes.
    script.then([metadata(&[("a", 3), ("b", 6)], 6)]);
    let late = async {
        sleep(Duration::from_secs(1)).await;
        send.send(bookmark(7)).unwrap();
    };
    let (confirmed, ()) = futures::join!(workloads.confirm(), late);
    assert_eq!(confirmed, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_has_gone_back_in_time_confirms_nothing() {
    let script = Script::new([Answer::Page(vec![image("a", 3)], 500, ""), Answer::Silence(vec![])]);
    let workloads = script.watch();
    workloads.complete_within(LONG).await.unwrap();
    script.then([
        metadata(&[("a", 3)], 40),
        Answer::Silence(vec![bookmark(41)]),
        Answer::Page(vec![image("b", 7)], 42, ""),
    ]);
    let gaps = workloads.confirm().await.unwrap_err();
    assert_eq!(texts(&gaps), ["pods in all namespaces: the API server has gone back in time"]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(script.requests(), ["list", "watch 500", "compare", "watch 500 for 3", "list", "watch 42"]);
    assert_eq!(names(&workloads), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn many_pods_are_confirmed_by_a_bookmark_or_if_there_is_none_by_comparing_them() {
    let names: Vec<String> = (0..600).map(|number| format!("pod-{number:03}")).collect();
    let pods: Vec<Value> = names.iter().map(|name| image(name, 3)).collect();
    let listed: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 3)).collect();
    let script = Script::new([Answer::Page(pods, 5, ""), Answer::Silence(vec![])]);
    let workloads = script.watch();
    workloads.complete_within(LONG).await.unwrap();

    script.then([Answer::Page(vec![], 8, ""), Answer::Until(vec![bookmark(9)], 3), Answer::Silence(vec![])]);
    workloads.confirm().await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(script.requests(), ["list", "watch 5", "list nothing", "watch 5 for 3", "watch 9"]);

    let begun = Instant::now();
    script.then([Answer::Page(vec![], 20, ""), Answer::Until(vec![bookmark(10)], 3), Answer::Silence(vec![])]);
    script.then([metadata(&listed, 20)]);
    workloads.confirm().await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 4);
    // The bookmark does not reach far enough, and another is asked for.
    assert_eq!(script.requests()[5..], ["list nothing", "watch 9 for 3", "watch 10 for 3", "compare"]);
}

/// A log that can be read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_parsed_is_not_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let secret = "hunter2";
    let mut odd = image("odd", 7);
    odd["spec"] = json!({"containers": secret});
    let answers = [
        Answer::Text(format!("{{\"items\":[{{\"spec\":\"{secret}\"")),
        Answer::Page(vec![odd.clone()], 5, ""),
        Answer::Events(vec![line("ADDED", &odd), format!("{{\"type\":\"{secret}\"}}\n")]),
    ];
    let script = Script::new(answers);
    let workloads = script.watch();
    // A test of another thread that came upon the same line of the log a moment ago may have found nobody who listens.
    tracing::callsite::rebuild_interest_cache();
    sleep(Duration::from_secs(60)).await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the answer to list is not understood") && log.contains("a workload cannot be read"), "{log}");
    assert!(!log.contains(secret) && !texts(&workloads.gaps()).join(" ").contains(secret), "{log}");
}
