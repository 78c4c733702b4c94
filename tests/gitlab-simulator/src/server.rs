//! The HTTP server: connections, and the life of one request with its faults and holds.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use http_body_util::{BodyExt, Limited};
use hyper::body::Bytes;
use hyper::http::request::Parts;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{DATE, HeaderName, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimePrinter};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Clock, admin,
    api::{self, Answer, Call, Site},
    body::Sent,
    clock::locked,
    faults::{Action, HoldPoint, Rules},
    log::{Endpoint, Log, RequestRecord},
    state::Registry,
};

/// Bodies above this are refused; the API's are tiny.
const MOST_BODY_BYTES: usize = 8 << 20;

/// Pause after a failed accept, so that a lack of file descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What all connections and the owner of the simulator share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) registry: Mutex<Registry>,
    pub(crate) clock: Clock,
    pub(crate) log: Log,
    pub(crate) rules: Rules,
    pub(crate) site: Site,
    pub(crate) relative_url_root: String,
}

impl Shared {
    /// Works on the state, after everything that was due has run.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Registry) -> T) -> T {
        let mut registry = locked(&self.registry);
        registry.run_due_jobs();
        work(&mut registry)
    }
}

/// Accepts connections until the task is aborted; its connections end with it.
pub(crate) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, tls.clone(), Arc::clone(&shared)));
                }
                // Out of file descriptors, or a client that left at once: others may still come.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // Small answers should not wait for more.
    let _ = stream.set_nodelay(true);
    match tls {
        None => requests(stream, shared).await,
        Some(acceptor) => {
            // A client that refuses the certificate is its own business.
            if let Ok(stream) = acceptor.accept(stream).await {
                requests(stream, shared).await;
            }
        }
    }
}

async fn requests<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, shared: Arc<Shared>) {
    let cut = Arc::new(Notify::new());
    let service = service_fn(|request| {
        let (shared, cut) = (Arc::clone(&shared), Arc::clone(&cut));
        async move {
            if let Some(response) = read_and_answer(&shared, request).await {
                return Ok::<_, Infallible>(dated(&shared, response));
            }
            cut.notify_one();
            std::future::pending().await
        }
    });
    let builder = Builder::new(TokioExecutor::new());
    tokio::select! {
        // Errors are the client's: it went away, or spoke something else.
        _ = builder.serve_connection(TokioIo::new(stream), service) => {}
        () = cut.notified() => {}
    }
}

/// The answer to a request, or `None` to cut the connection. Once the request is there, the server works on it to the
/// end, also when the client has left.
async fn read_and_answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Option<Response<Sent>> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MOST_BODY_BYTES).collect().await.map(http_body_util::Collected::to_bytes) else {
        return Some(respond(Answer::error(413, "413 Request Entity Too Large")));
    };
    let shared = Arc::clone(shared);
    // A task that failed has no answer, as a worker that was killed.
    tokio::spawn(async move { answer(&shared, parts, body).await }).await.ok().flatten()
}

async fn answer(shared: &Shared, parts: Parts, body: Bytes) -> Option<Response<Sent>> {
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    if let Some(rest) = path.strip_prefix(admin::PREFIX) {
        return Some(respond(admin::answer(shared, &parts.method, rest, query, &body)));
    }
    let below = path.strip_prefix(shared.relative_url_root.as_str()).unwrap_or("/");
    let (mut call, refusal) = Call::read(&parts.method, below, query, &parts.headers, &body);
    let mut record = record(shared, &call, path);
    record.sequence = shared.log.begin(record.clone());
    let verdict = shared.rules.judge(&record);
    call.listed_tags = verdict.listed_tags();
    call.probe_fails = verdict.probe_fails();

    verdict.wait_at(HoldPoint::BeforeProcessing).await;
    match effect(shared, verdict.strikes_at(HoldPoint::BeforeProcessing), &record).await {
        Effect::None => {}
        Effect::Cut => return None,
        Effect::Instead(response) => {
            shared.log.update(record.sequence, |record| record.status = Some(response.status().as_u16()));
            return Some(response);
        }
    }
    let processed = shared.with(|registry| api::process(registry, &call, refusal, &shared.site));
    let now = shared.clock.now();
    shared.log.update(record.sequence, |record| {
        record.accepted = processed.accepted;
        record.accepted_at = processed.accepted.filter(|granted| *granted).map(|_| now);
    });

    verdict.wait_at(HoldPoint::AfterProcessing).await;
    let response = match effect(shared, verdict.strikes_at(HoldPoint::AfterProcessing), &record).await {
        Effect::None => match verdict.slow() {
            Some(pause) => respond_slowly(processed.answer, pause),
            None => respond(processed.answer),
        },
        Effect::Cut => return None,
        Effect::Instead(response) => response,
    };
    shared.log.update(record.sequence, |record| record.status = Some(response.status().as_u16()));
    Some(response)
}

fn record(shared: &Shared, call: &Call, path: &str) -> RequestRecord {
    let present = |text: &String| (!text.is_empty()).then(|| text.clone());
    RequestRecord {
        sequence: 0,
        at: shared.clock.now(),
        method: call.method.clone(),
        path: path.to_owned(),
        endpoint: call.endpoint,
        namespace: present(&call.namespace),
        repository: call.repository_id(),
        tag: present(&call.tag),
        operation: call.graphql.as_ref().and_then(|request| request.name.clone()),
        tag_names: call.graphql.as_ref().map(|request| request.tag_names.clone()).unwrap_or_default(),
        fields: call.graphql.as_ref().map_or(0, |request| request.fields),
        params: serde_json::Value::Object(call.public_params()),
        user_agent: call.user_agent.clone(),
        token: shared.with(|registry| api::token_name(registry, call)),
        status: None,
        accepted: None,
        accepted_at: None,
    }
}

/// Tells the time at which the server answers, unless the answer does already.
fn dated(shared: &Shared, mut response: Response<Sent>) -> Response<Sent> {
    let ahead = shared.with(|registry| registry.settings.clock_ahead);
    let now = shared.clock.now().saturating_add(ahead).unwrap_or(Timestamp::MAX);
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok();
    if let Some(date) = date.and_then(|date| HeaderValue::try_from(date).ok()) {
        response.headers_mut().entry(DATE).or_insert(date);
    }
    response
}

/// What a fault does to the course of a request.
enum Effect {
    None,
    Cut,
    Instead(Response<Sent>),
}

async fn effect(shared: &Shared, action: Option<&Action>, record: &RequestRecord) -> Effect {
    let Some(action) = action else { return Effect::None };
    Effect::Instead(match action {
        Action::TruncateTags { .. } | Action::SlowBody { .. } | Action::ProbeFails => return Effect::None,
        Action::DropConnection => return Effect::Cut,
        Action::Delay(wait) => {
            tokio::time::sleep(*wait).await;
            return Effect::None;
        }
        Action::DelayEach { field, tag } => {
            let times = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            let wait = match record.endpoint {
                Endpoint::GraphqlMutation => *tag * times(record.tag_names.len()),
                Endpoint::GraphqlQuery => *field * times(record.fields),
                _ => Duration::ZERO,
            };
            tokio::time::sleep(wait).await;
            return Effect::None;
        }
        Action::Takes(time) => {
            shared.clock.advance(SignedDuration::try_from(*time).unwrap_or(SignedDuration::MAX));
            return Effect::None;
        }
        Action::Answer { status, headers, body } => {
            respond(Answer { status: *status, headers: headers.clone(), body: body.clone() })
        }
        Action::TooManyRequests { retry_after } => respond(api::too_many_requests(*retry_after)),
        Action::InvalidJson => respond(Answer::new(200, "application/json", "[{\"id\": 1, \"name\": ".to_owned())),
        Action::HugeBody { bytes } => {
            let mut response = Response::new(Sent::huge(*bytes));
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
            response
        }
        Action::Redirect { location } => {
            respond(Answer::new(302, "text/html", String::new()).header("location", location.clone()))
        }
    })
}

fn respond(answer: Answer) -> Response<Sent> {
    let Answer { status, headers, body } = answer;
    finish(status, headers, Sent::whole(body))
}

fn respond_slowly(answer: Answer, pause: Duration) -> Response<Sent> {
    let Answer { status, headers, body } = answer;
    finish(status, headers, Sent::slow(body, pause))
}

fn finish(status: u16, headers: Vec<(String, String)>, body: Sent) -> Response<Sent> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
