//! The requests to the API server, and what of their answers matters.
//!
//! Answers are read here and not by kube's own calls, for two reasons: those write the whole body to the log when it
//! cannot be parsed, and a Pod may hold secrets; and they parse a page or an event whole or not at all, while one
//! object that is odd must not hide the others.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;

use futures::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};
use kube::Client;
use kube::api::{GetParams, ListParams, WatchParams};
use kube::core::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::cluster::CALL_TIMEOUT;

use super::json_path::Text;

/// The document of all kinds, and its name in the type of the answer.
const ALL_KINDS: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const ALL_KINDS_NAME: &str = "as=APIGroupDiscoveryList";

/// What went wrong with a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum WatchError {
    /// Where the watch was to go on is too long ago: everything has to be listed again.
    Expired,
    /// There is no such resource.
    Absent,
    /// The operator may not do this: "list".
    Forbidden(String),
    /// Anything else, in plain words: "list is answered with status 503".
    Failed(String),
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(verb) => write!(f, "{verb} is forbidden"),
            Self::Failed(why) => f.write_str(why),
            Self::Absent => f.write_str("the cluster does not have it"),
            Self::Expired => f.write_str("what it said was out of date before it was complete"),
        }
    }
}

impl WatchError {
    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self::Failed(why.into())
    }

    fn of(verb: &str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_code(verb, status.code),
            kube::Error::Auth(_) => Self::failed("there are no credentials for the API server"),
            _ => Self::failed("the API server cannot be reached"),
        }
    }

    fn of_code(verb: &str, code: u16) -> Self {
        match code {
            401 => Self::failed("the API server does not accept the credentials"),
            403 => Self::Forbidden(verb.to_owned()),
            404 => Self::Absent,
            410 => Self::Expired,
            code => Self::Failed(format!("{verb} is answered with status {code}")),
        }
    }

    fn unasked(verb: &str) -> Self {
        Self::Failed(format!("{verb} cannot be asked for"))
    }

    pub(super) fn not_understood(verb: &str) -> Self {
        Self::Failed(format!("the answer to {verb} is not understood"))
    }
}

/// One page of a list.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    #[serde(borrow)]
    metadata: PageMeta<'a>,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta<'a> {
    #[serde(borrow, default)]
    resource_version: Text<'a>,
    #[serde(rename = "continue", borrow, default)]
    continue_: Text<'a>,
}

impl<'a> Page<'a> {
    /// The moment that the list shows, the same on all its pages.
    pub(super) fn version(&self) -> Result<u64, WatchError> {
        self.metadata.resource_version.0.parse().map_err(|_| WatchError::not_understood("list"))
    }

    pub(super) fn items(&self) -> &[&'a RawValue] {
        self.items.as_deref().unwrap_or_default()
    }

    /// What to ask for the next page with, if there is one.
    pub(super) fn next(&self) -> Option<String> {
        Some(self.metadata.continue_.0.to_string()).filter(|token| !token.is_empty())
    }
}

/// An event of a watch.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// An object was created or changed.
    Applied(&'a RawValue),
    /// An object was deleted.
    Deleted(&'a RawValue),
    /// Everything up to this resourceVersion has been told.
    Bookmark(u64),
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    type_: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// The metadata of an object or the code of a status, whichever a line of a watch holds.
#[derive(Default, Deserialize)]
struct Sign<'a> {
    #[serde(default)]
    code: u16,
    #[serde(borrow, default)]
    metadata: Option<PageMeta<'a>>,
}

/// The body of an answer, read piece by piece.
pub(super) type Body = Pin<Box<dyn AsyncBufRead + Send>>;

/// Asks for a page of a list and puts the body into `buffer`. With `metadata`, objects come without spec and status.
///
/// The parameters name no resourceVersion, so the answer shows everything that was acknowledged before it was asked
/// for: the documentation calls it "most recent". "Any" would be cheaper, but may show the past, and comes as one page
/// whatever its size.
pub(super) async fn list(
    client: &Client,
    url: &str,
    parameters: &ListParams,
    metadata: bool,
    buffer: &mut Vec<u8>,
) -> Result<(), WatchError> {
    let request = Request::new(url);
    let request = if metadata { request.list_metadata(parameters) } else { request.list(parameters) };
    let request = request.map_err(|_| WatchError::unasked("list"))?;
    let read = async {
        let mut body = Box::pin(client.request_stream(request).await.map_err(|error| WatchError::of("list", &error))?);
        buffer.clear();
        body.read_to_end(buffer).await.map_err(|_| WatchError::failed("the API server broke off"))
    };
    timeout(CALL_TIMEOUT, read).await.map_err(|_| no_answer())?.map(drop)
}

/// Reads a page.
pub(super) fn page(body: &[u8]) -> Result<Page<'_>, WatchError> {
    serde_json::from_slice(body).map_err(|_| WatchError::not_understood("list"))
}

/// Begins a watch after a resourceVersion, and returns once the API server has agreed to it. The API server ends it
/// after `seconds`.
pub(super) async fn watch(client: &Client, url: &str, after: u64, seconds: u32) -> Result<Body, WatchError> {
    let request = Request::new(url).watch(&WatchParams::default().timeout(seconds), &after.to_string());
    let request = request.map_err(|_| WatchError::unasked("watch"))?;
    let answer = timeout(CALL_TIMEOUT, client.request_stream(request)).await.map_err(|_| no_answer())?;
    Ok(Box::pin(answer.map_err(|error| WatchError::of("watch", &error))?))
}

/// Reads the rest of the next line of a watch into `line`, which holds what an earlier call that was given up has read
/// of it. Answers whether there was one; there is none when the watch has ended.
pub(super) async fn next_line(body: &mut Body, line: &mut Vec<u8>) -> bool {
    // A connection that breaks off, even in the middle of a line, is how a watch ends when a server or a proxy goes
    // away.
    body.read_until(b'\n', line).await.is_ok() && line.last() == Some(&b'\n')
}

/// Reads an event.
pub(super) fn event(line: &[u8]) -> Result<Event<'_>, WatchError> {
    let not_understood = |_| WatchError::not_understood("watch");
    let Line { type_, object } = serde_json::from_slice(line).map_err(not_understood)?;
    let sign = || serde_json::from_str::<Sign<'_>>(object.get()).map_err(not_understood);
    match &*type_ {
        "ADDED" | "MODIFIED" => Ok(Event::Applied(object)),
        "DELETED" => Ok(Event::Deleted(object)),
        "BOOKMARK" => {
            let version = sign()?.metadata.and_then(|metadata| metadata.resource_version.0.parse().ok());
            version.map(Event::Bookmark).ok_or_else(|| WatchError::not_understood("watch"))
        }
        "ERROR" => Err(WatchError::of_code("watch", sign()?.code)),
        _ => Err(WatchError::not_understood("watch")),
    }
}

/// Asks for a document of API discovery: what `name` under `path` is.
pub(super) async fn discover<T: DeserializeOwned>(client: &Client, path: &str, name: &str) -> Result<T, WatchError> {
    let request = Request::new(path).get(name, &GetParams::default());
    let request = request.map_err(|_| WatchError::unasked("discovery"))?;
    let mut document = Vec::new();
    let read = async {
        let answer = client.request_stream(request).await;
        let mut body = Box::pin(answer.map_err(|error| WatchError::of("discovery", &error))?);
        body.read_to_end(&mut document).await.map_err(|_| WatchError::failed("the API server broke off"))
    };
    timeout(CALL_TIMEOUT, read).await.map_err(|_| no_answer())??;
    serde_json::from_slice(&document).map_err(|_| WatchError::not_understood("discovery"))
}

/// The document of all kinds, or the word that it still is the known one.
pub(super) enum AllKinds {
    /// It has not changed.
    Known,
    /// This is its edition now, and its text.
    New(String, String),
    /// The API server does not have it.
    None,
}

/// Asks for the document of all kinds. Where its edition is the `known` one, hardly anything is sent.
pub(super) async fn all_kinds(client: &Client, known: Option<&str>) -> Result<AllKinds, WatchError> {
    let unasked = || WatchError::unasked("discovery");
    let mut request = Request::new("/apis").list(&ListParams::default()).map_err(|_| unasked())?;
    request.headers_mut().insert("accept", ALL_KINDS.parse().map_err(|_| unasked())?);
    if let Some(known) = known {
        request.headers_mut().insert("if-none-match", known.parse().map_err(|_| unasked())?);
    }
    let read = async {
        let answer = client.send(request.map(kube::client::Body::from)).await;
        let (parts, body) = answer.map_err(|error| WatchError::of("discovery", &error))?.into_parts();
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let edition = match parts.status.as_u16() {
            304 if known.is_some() => return Ok(AllKinds::Known),
            // Others know only the groups, or something in between has answered.
            200 if header("content-type").is_some_and(|it| it.contains(ALL_KINDS_NAME)) => header("etag"),
            200 => None,
            code => return Err(WatchError::of_code("discovery", code)),
        };
        let Some(edition) = edition.map(str::to_owned) else { return Ok(AllKinds::None) };
        let text = body.collect_bytes().await;
        let text = text.map_err(|_| WatchError::failed("the API server broke off"))?;
        Ok(AllKinds::New(edition, String::from_utf8_lossy(&text).into_owned()))
    };
    timeout(CALL_TIMEOUT, read).await.map_err(|_| no_answer())?
}

fn no_answer() -> WatchError {
    WatchError::Failed(format!("the API server does not answer within {} seconds", CALL_TIMEOUT.as_secs()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::added(r#"{"type":"ADDED","object":{"metadata":{}}}"#, "Applied")]
    #[case::modified(r#"{"type":"MODIFIED","object":{"metadata":{}}}"#, "Applied")]
    #[case::deleted(r#"{"type":"DELETED","object":{"metadata":{}}}"#, "Deleted")]
    #[case::bookmark(
        r#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"12"}}}"#,
        "Bookmark(12)"
    )]
    #[case::odd_object(r#"{"type":"ADDED","object":7}"#, "Applied")]
    fn a_line_is_an_event(#[case] line: &str, #[case] expected: &str) {
        let event = format!("{:?}", event(line.as_bytes()).unwrap());
        assert!(event.starts_with(expected), "{event}");
    }

    #[rstest]
    #[case::too_old(r#"{"type":"ERROR","object":{"kind":"Status","code":410}}"#, WatchError::Expired)]
    #[case::other_error(
        r#"{"type":"ERROR","object":{"code":500}}"#,
        WatchError::failed("watch is answered with status 500")
    )]
    #[case::error_without_code(
        r#"{"type":"ERROR","object":{}}"#,
        WatchError::failed("watch is answered with status 0")
    )]
    #[case::unknown(r#"{"type":"RENAMED","object":{}}"#, WatchError::not_understood("watch"))]
    #[case::bookmark_to_nowhere(r#"{"type":"BOOKMARK","object":{"metadata":{}}}"#, WatchError::not_understood("watch"))]
    #[case::a_status(r#"{"kind":"Status","code":403}"#, WatchError::not_understood("watch"))]
    #[case::no_json("<html>", WatchError::not_understood("watch"))]
    #[case::half(r#"{"type":"ADDED","object":{"#, WatchError::not_understood("watch"))]
    fn a_line_that_is_no_event_is_trouble(#[case] line: &str, #[case] expected: WatchError) {
        assert_eq!(event(line.as_bytes()).unwrap_err(), expected);
    }

    #[test]
    fn a_page_without_items_and_one_that_is_none_differ() {
        let empty =
            page(br#"{"kind":"PodList","metadata":{"resourceVersion":"7","continue":""},"items":null}"#).unwrap();
        assert_eq!((empty.items().len(), empty.version(), empty.next()), (0, Ok(7), None));
        assert!(page(b"{}").is_err());
        assert!(page(br#"{"metadata":{}}"#).unwrap().version().is_err());
    }
}
