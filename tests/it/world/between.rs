//! What stands between an operator and the API server: passes everything on, and holds back what it is told to.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, BoxStream, StreamExt};
use kube::Client;
use serde_json::Value;
use tokio::sync::watch;

use crate::support::in_time;

/// Stands in the way. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Between {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Requests to paths that end like this are not passed on yet.
    held: Mutex<HashMap<String, Gate>>,
    /// Those are answered with 503.
    refused: Mutex<HashSet<String>>,
    /// Those are answered with 500, which no client repeats by itself.
    failing: Mutex<HashSet<String>>,
    /// How often that was done.
    failures: AtomicUsize,
    /// What becomes of watches of paths that end like this.
    watches: watch::Sender<HashMap<String, Watches>>,
    /// Whether watches tell only of what a list has shown.
    reluctant: bool,
    /// The newest version that a list of a path has shown.
    shown: Mutex<HashMap<String, watch::Sender<u64>>>,
}

/// Where requests wait.
#[derive(Default)]
struct Gate {
    released: watch::Sender<bool>,
    /// How many came.
    waiting: watch::Sender<u32>,
}

/// What is wrong with watches.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Watches {
    /// Those that are open end, and no other begins.
    Refused,
    /// They stay open and tell nothing.
    Silent,
}

/// Spoils watches. Dropping it lets them begin anew, after what they told last.
pub(crate) struct Spoiled {
    shared: Arc<Shared>,
    path: String,
}

impl Drop for Spoiled {
    fn drop(&mut self) {
        self.shared.watches.send_modify(|watches| _ = watches.remove(&self.path));
    }
}

/// Holds requests back. Dropping it lets them go.
pub(crate) struct Held {
    shared: Arc<Shared>,
    path: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(gate) = self.shared.held.lock().unwrap().remove(&self.path) {
            gate.released.send_replace(true);
        }
    }
}

impl Held {
    /// Waits until a request is held back.
    pub(crate) async fn reached(&self) {
        let mut waiting = self.shared.held.lock().unwrap()[&self.path].waiting.subscribe();
        in_time("a request to be held back", waiting.wait_for(|waiting| *waiting > 0)).await.unwrap();
    }
}

impl Between {
    /// Watches tell of an object only after a list has shown it, as those of an API server do that lag behind without
    /// end.
    pub(crate) fn with_reluctant_watches() -> Self {
        Self { shared: Arc::new(Shared { reluctant: true, ..Shared::default() }) }
    }

    /// Holds back all requests to paths that end like this.
    pub(crate) fn hold(&self, path: &str) -> Held {
        self.shared.held.lock().unwrap().insert(path.to_owned(), Gate::default());
        Held { shared: Arc::clone(&self.shared), path: path.to_owned() }
    }

    /// Answers requests to paths that end like this with 503 from now on.
    pub(crate) fn refuse(&self, path: &str) {
        self.shared.refused.lock().unwrap().insert(path.to_owned());
    }

    /// Answers them again.
    pub(crate) fn refuse_no_more(&self, path: &str) {
        self.shared.refused.lock().unwrap().remove(path);
    }

    /// Answers requests to paths that end like this with 500 from now on.
    pub(crate) fn fail(&self, path: &str) {
        self.shared.failing.lock().unwrap().insert(path.to_owned());
    }

    /// Answers them again.
    pub(crate) fn fail_no_more(&self, path: &str) {
        self.shared.failing.lock().unwrap().remove(path);
    }

    /// How many requests were answered with 500.
    pub(crate) fn failures(&self) -> usize {
        self.shared.failures.load(Ordering::SeqCst)
    }

    /// Ends watches of paths that end like this, and answers further ones with 503. Lists are answered as ever.
    pub(crate) fn refuse_watches(&self, path: &str) -> Spoiled {
        self.spoil(path, Watches::Refused)
    }

    /// Passes nothing on of watches of paths that end like this: not even bookmarks. Lists are answered as ever.
    pub(crate) fn silence_watches(&self, path: &str) -> Spoiled {
        self.spoil(path, Watches::Silent)
    }

    fn spoil(&self, path: &str, how: Watches) -> Spoiled {
        self.shared.watches.send_modify(|watches| _ = watches.insert(path.to_owned(), how));
        Spoiled { shared: Arc::clone(&self.shared), path: path.to_owned() }
    }

    /// A client with this in between.
    pub(super) fn client(self, kube: Client) -> Client {
        Client::new(Router::new().fallback(pass_on).with_state((self.shared, kube)), "default")
    }
}

async fn pass_on(State((shared, kube)): State<(Arc<Shared>, Client)>, request: Request<Body>) -> Response {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let held = shared.held.lock().unwrap().iter().find(|(end, _)| path.ends_with(*end)).map(|(_, gate)| {
        gate.waiting.send_modify(|waiting| *waiting += 1);
        gate.released.subscribe()
    });
    if let Some(mut held) = held {
        let _ = held.wait_for(|released| *released).await;
    }
    let is_watch = query.contains("watch=true");
    let refuses_watch = is_watch && how(&shared.watches.borrow(), &path) == Some(Watches::Refused);
    if refuses_watch || shared.refused.lock().unwrap().iter().any(|end| path.ends_with(end)) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if shared.failing.lock().unwrap().iter().any(|end| path.ends_with(end)) {
        shared.failures.fetch_add(1, Ordering::SeqCst);
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let is_read = request.method() == "GET";
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let answer = kube.send(Request::from_parts(parts, kube::client::Body::from(body))).await;
    let Ok(answer) = answer else { return StatusCode::BAD_GATEWAY.into_response() };
    let (parts, body) = answer.into_parts();
    let body = Body::new(body);
    let body = if is_watch { Body::from_stream(spoilt(body, path.clone(), shared.watches.subscribe())) } else { body };
    let workloads = !path.contains("registrycleanup.dev");
    let body = match (shared.reluctant && workloads && is_read && parts.status.is_success(), is_watch) {
        (true, true) => Body::from_stream(reluctant(body, shared.version_shown(&path)).map(Ok::<_, axum::Error>)),
        (true, false) => {
            let Ok(whole) = axum::body::to_bytes(body, usize::MAX).await else {
                return StatusCode::BAD_GATEWAY.into_response();
            };
            shared.note_list(&path, &whole);
            Body::from(whole)
        }
        (false, _) => body,
    };
    Response::from_parts(parts, body)
}

impl Shared {
    /// Follows the newest version that a list of this path has shown.
    fn version_shown(&self, path: &str) -> watch::Receiver<u64> {
        self.shown.lock().unwrap().entry(path.to_owned()).or_default().subscribe()
    }

    fn note_list(&self, path: &str, body: &[u8]) {
        let Some(version) = version(body) else { return };
        let mut shown = self.shown.lock().unwrap();
        shown.entry(path.to_owned()).or_default().send_if_modified(|known| {
            let newer = version > *known;
            *known = version.max(*known);
            newer
        });
    }
}

/// What is wrong with watches of a path.
fn how(watches: &HashMap<String, Watches>, path: &str) -> Option<Watches> {
    watches.iter().find(|(end, _)| path.ends_with(*end)).map(|(_, how)| *how)
}

/// A watch as far as it is not spoilt. What it does not tell while it is silent it never tells: it ends then, and may
/// go on where it was.
fn spoilt(
    body: Body,
    path: String,
    watches: watch::Receiver<HashMap<String, Watches>>,
) -> BoxStream<'static, Result<Bytes, axum::Error>> {
    let (mut ends, of) = (watches.clone(), path.clone());
    let end = async move {
        let _ = ends.wait_for(|watches| how(watches, &of) == Some(Watches::Refused)).await;
    };
    let pieces =
        stream::unfold((body.into_data_stream(), watches, path), |(mut pieces, mut watches, path)| async move {
            let piece = pieces.next().await?;
            if how(&watches.borrow(), &path) == Some(Watches::Silent) {
                let _ = watches.wait_for(|watches| how(watches, &path).is_none()).await;
                return None;
            }
            Some((piece, (pieces, watches, path)))
        });
    pieces.take_until(Box::pin(end)).boxed()
}

/// The lines of a watch, each held back until a list has shown as much. Nothing is left out and nothing overtakes.
fn reluctant(body: Body, shown: watch::Receiver<u64>) -> BoxStream<'static, Bytes> {
    let begin = (body.into_data_stream(), Vec::new(), shown);
    stream::unfold(begin, |(mut pieces, mut rest, mut shown)| async move {
        loop {
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line).unwrap();
                let told = event["type"] != "BOOKMARK" && event["type"] != "ERROR";
                if let Some(version) = version(event["object"].to_string().as_bytes()).filter(|_| told) {
                    let _ = shown.wait_for(|shown| *shown >= version).await;
                }
                return Some((Bytes::from(line), (pieces, rest, shown)));
            }
            match pieces.next().await {
                Some(Ok(piece)) => rest.extend_from_slice(&piece),
                Some(Err(_)) | None => return None,
            }
        }
    })
    .boxed()
}

/// The resourceVersion of an object or of a list.
fn version(json: &[u8]) -> Option<u64> {
    let object: Value = serde_json::from_slice(json).ok()?;
    object.pointer("/metadata/resourceVersion")?.as_str()?.parse().ok()
}
