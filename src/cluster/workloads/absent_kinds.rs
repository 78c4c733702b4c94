//! Which custom kinds the cluster still does not have, asked for all of them at once.
//!
//! Kubernetes behaviour: one document describes all kinds that an API server has, and carries an `ETag` that changes
//! with it; who names the tag of what they have seen is answered with status 304 and nothing else as long as it is the
//! same (<https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery>, Kubernetes 1.30).
//!
//! Nothing is concluded from the document alone, which may lack something for a moment after an API server has started.
//! A kind that it does not mention, and that was looked for in its own group after the document was asked for, and not
//! found, is still absent while the document is the same. Which kinds it mentions is told by its text: a name in quotes
//! is enough for a mention, whatever it means there.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Client;

use super::custom::CustomWorkload;
use super::requests::{self, AllKinds};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct AbsentKinds(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    edition: Option<Arc<Edition>>,
    /// Those that were looked for and not found since that edition was asked for.
    absent: BTreeSet<String>,
}

/// An edition of the document.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Edition {
    tag: String,
    /// Those that it does not mention.
    unmentioned: BTreeSet<String>,
}

impl AbsentKinds {
    /// Which edition of the document the API server has now, for whoever wants to know of these kinds, always the same;
    /// `None` where it does not tell.
    pub(super) async fn edition<'k>(
        &self,
        client: &Client,
        kinds: impl Iterator<Item = &'k CustomWorkload>,
    ) -> Option<Arc<Edition>> {
        let known = self.seen().edition.clone();
        let now = match requests::all_kinds(client, known.as_ref().map(|known| known.tag.as_str())).await {
            Ok(AllKinds::Known) => known,
            Ok(AllKinds::New(tag, text)) => {
                let unmentioned = kinds.filter(|kind| !mentions(&text, kind)).map(key).collect();
                Some(Arc::new(Edition { tag, unmentioned }))
            }
            Ok(AllKinds::None) | Err(_) => None,
        };
        let mut seen = self.seen();
        if seen.edition != now {
            *seen = Seen { edition: now.clone(), absent: BTreeSet::new() };
        }
        now
    }

    /// Whether a kind was looked for and not found since that edition was asked for.
    pub(super) fn knows(&self, edition: &Edition, kind: &CustomWorkload) -> bool {
        let seen = self.seen();
        seen.edition.as_deref() == Some(edition) && seen.absent.contains(&key(kind))
    }

    /// Takes note of a kind that was looked for, and not found, since that edition was asked for.
    pub(super) fn note(&self, edition: &Edition, kind: &CustomWorkload) {
        let (mut seen, kind) = (self.seen(), key(kind));
        if seen.edition.as_deref() == Some(edition) && edition.unmentioned.contains(&kind) {
            seen.absent.insert(kind);
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(kind: &CustomWorkload) -> String {
    format!("{}.{}", kind.kind(), kind.group())
}

/// Whether a document may have a kind: both its group and its name stand in it.
fn mentions(text: &str, kind: &CustomWorkload) -> bool {
    let has = |name: &str| text.contains(&format!("\"{name}\""));
    has(kind.group()) && has(kind.kind())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::response::IntoResponse;

    use super::*;

    const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    const OTHERS: &str = r#"{"items":[{"metadata":{"name":"other.example.com"},"kind":"Rollout"}]}"#;
    const WITH_ROLLOUT: &str = r#"{"items":[{"metadata":{"name":"example.com"},"kind":"Rollout"}]}"#;

    /// An API server with such a document, and how often it was sent.
    #[derive(Clone)]
    struct Server {
        document: Arc<Mutex<&'static str>>,
        content_type: &'static str,
        sent: Arc<AtomicU32>,
    }

    impl Server {
        fn with(document: &'static str, content_type: &'static str) -> Self {
            Self { document: Arc::new(Mutex::new(document)), content_type, sent: Arc::default() }
        }

        fn client(&self) -> Client {
            let server = self.clone();
            let answer = move |headers: HeaderMap| async move {
                let document = *server.document.lock().unwrap();
                let edition = format!("\"{}\"", document.len());
                if headers.get("if-none-match").is_some_and(|known| *known == edition) {
                    return StatusCode::NOT_MODIFIED.into_response();
                }
                server.sent.fetch_add(1, Ordering::Relaxed);
                ([("content-type", server.content_type), ("etag", edition.as_str())], document).into_response()
            };
            Client::new(Router::new().fallback(answer), "default")
        }
    }

    fn kinds() -> [CustomWorkload; 2] {
        ["example.com/v1/Rollout=spec.template", "example.com/v1/JobSet=spec.template"]
            .map(|text| CustomWorkload::parse(text).unwrap())
    }

    #[tokio::test]
    async fn what_was_not_found_is_known_to_be_absent_while_the_document_is_the_same() {
        let (server, absent) = (Server::with(OTHERS, DISCOVERY), AbsentKinds::default());
        let (client, kinds) = (server.client(), kinds());
        let [rollout, job_set] = &kinds;
        let first = absent.edition(&client, kinds.iter()).await.unwrap();
        assert!(!absent.knows(&first, rollout));
        absent.note(&first, rollout);
        for _ in 0..3 {
            let again = absent.edition(&client, kinds.iter()).await.unwrap();
            assert!(absent.knows(&again, rollout) && !absent.knows(&again, job_set));
        }
        assert_eq!(server.sent.load(Ordering::Relaxed), 1, "it is sent once");

        *server.document.lock().unwrap() = WITH_ROLLOUT;
        let second = absent.edition(&client, kinds.iter()).await.unwrap();
        assert!(!absent.knows(&second, rollout), "it may have been installed");
        // What was found out since the first says nothing about now.
        absent.note(&first, rollout);
        assert!(!absent.knows(&second, rollout) && !absent.knows(&first, rollout));
    }

    #[tokio::test]
    async fn a_kind_that_the_document_mentions_is_looked_for_each_time() {
        let (server, absent) = (Server::with(WITH_ROLLOUT, DISCOVERY), AbsentKinds::default());
        let (client, kinds) = (server.client(), kinds());
        let [rollout, job_set] = &kinds;
        let edition = absent.edition(&client, kinds.iter()).await.unwrap();
        // It was removed a moment ago, and may come back together with this edition.
        absent.note(&edition, rollout);
        absent.note(&edition, job_set);
        assert!(!absent.knows(&edition, rollout) && absent.knows(&edition, job_set));
    }

    #[tokio::test]
    async fn a_document_that_lists_groups_only_says_nothing_about_kinds() {
        let (server, absent) = (Server::with(OTHERS, "application/json"), AbsentKinds::default());
        assert_eq!(absent.edition(&server.client(), kinds().iter()).await, None);
    }

    #[tokio::test]
    async fn an_api_server_that_does_not_answer_says_nothing() {
        let failing = Router::new().fallback(|| async { StatusCode::INTERNAL_SERVER_ERROR });
        let (server, absent) = (Server::with(OTHERS, DISCOVERY), AbsentKinds::default());
        let kinds = kinds();
        let first = absent.edition(&server.client(), kinds.iter()).await.unwrap();
        absent.note(&first, &kinds[0]);
        assert_eq!(absent.edition(&Client::new(failing, "default"), kinds.iter()).await, None);
        assert!(!absent.knows(&first, &kinds[0]));
    }
}
