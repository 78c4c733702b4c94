//! The trace that bulk deletions leave in a namespace: an Event that says until when their hours last. It is there for
//! a policy whose status is gone, and takes no permission besides those for events.
//!
//! An API server keeps an event for an hour after it was last written, unless it was told otherwise. So a trace that
//! is there tells the truth, and one that is not may have been forgotten.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde_json::json;

use super::{CALL_TIMEOUT, OPERATOR};
use crate::api::RegistryCleanupPolicy;

/// The name of the event.
const NAME: &str = "registry-cleanup-operator.bulk-deletions";
/// The annotation with the time.
const UNTIL: &str = "registrycleanup.dev/reserved-until";

/// Why a trace could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or broke off.
    #[error("failed to {0} the trace of bulk deletions")]
    Cluster(&'static str, #[source] Box<kube::Error>),
    /// The API server did not answer in time.
    #[error("failed to {0} the trace of bulk deletions in time")]
    Timeout(&'static str),
}

/// Reads until when the hours of bulk deletions last that were requested for policies of a namespace.
///
/// # Errors
/// When it is not known. A namespace without a trace is `None`.
pub async fn read(client: &Client, namespace: &str) -> Result<Option<Timestamp>, Error> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    // Events may be patched and not read; a patch without a change answers what is there, and creates nothing.
    let nothing = Patch::Merge(json!({}));
    match call("read", api.patch(NAME, &PatchParams::default(), &nothing)).await {
        Ok(event) => Ok(event.metadata.annotations.and_then(|all| all.get(UNTIL)?.parse().ok())),
        Err(error) if error.code() == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes that the hours of bulk deletions for policies of a namespace last until then. `reason` and `note` are for
/// whoever reads events.
///
/// # Errors
/// When it could not be written.
pub async fn write(
    client: &Client,
    namespace: &str,
    until: Timestamp,
    (reason, note): (&str, &str),
    now: Timestamp,
) -> Result<(), Error> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let annotations = BTreeMap::from([(UNTIL.to_owned(), until.to_string())]);
    let patch = Patch::Merge(json!({"metadata": {"annotations": &annotations}}));
    match call("write", api.patch(NAME, &PatchParams::default(), &patch)).await {
        Err(error) if error.code() == Some(404) => {}
        written => return written.map(|_| ()),
    }
    let event = Event {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(namespace.to_owned()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        type_: Some("Normal".to_owned()),
        reason: Some(reason.to_owned()),
        note: Some(note.to_owned()),
        action: Some("Run".to_owned()),
        event_time: Some(MicroTime(now)),
        regarding: Some(ObjectReference {
            api_version: Some(RegistryCleanupPolicy::api_version(&()).into_owned()),
            kind: Some(RegistryCleanupPolicy::kind(&()).into_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(OPERATOR.to_owned()),
        reporting_instance: Some(OPERATOR.to_owned()),
        ..Event::default()
    };
    call("write", api.create(&PostParams::default(), &event)).await.map(|_| ())
}

impl Error {
    fn code(&self) -> Option<u16> {
        match self {
            Self::Cluster(_, source) => match &**source {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::Timeout(_) => None,
        }
    }
}

async fn call<T>(what: &'static str, answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    tokio::time::timeout(CALL_TIMEOUT, answer)
        .await
        .map_err(|_| Error::Timeout(what))?
        .map_err(|source| Error::Cluster(what, Box::new(source)))
}
