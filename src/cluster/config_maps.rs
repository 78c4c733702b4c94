//! Reads and writes one key of a ConfigMap, and tells which version it is. Never watched.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::error::Elapsed;

use super::{ApiError, CALL_TIMEOUT};

/// Who owns what [`write`] writes.
const WRITER: &str = "registry-cleanup-operator-in-use";

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such ConfigMap.
    #[error("ConfigMap {0} does not exist")]
    NotFound(String),
    /// The operator may not read it.
    #[error("the operator may not read ConfigMap {0}")]
    Forbidden(String),
    /// It lacks the key.
    #[error("ConfigMap {name} has no {key}")]
    NoKey {
        /// The ConfigMap.
        name: String,
        /// The key.
        key: String,
    },
    /// The API server did not answer as it should, or not in time.
    #[error("failed to read ConfigMap {name}: {source}")]
    Cluster {
        /// The ConfigMap.
        name: String,
        /// What went wrong.
        source: ApiError,
    },
}

/// The text under a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// The ConfigMap's resourceVersion.
    pub version: Option<String>,
}

/// Reads the text under a key of a ConfigMap.
///
/// # Errors
/// When there is no such text, or the API server does not answer.
pub async fn read(client: &Client, namespace: &str, name: &str, key: &str) -> Result<Text, Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = found(name, tokio::time::timeout(CALL_TIMEOUT, api.get_opt(name)).await)?;
    let version = map.metadata.resource_version;
    let text = map.data.and_then(|mut data| data.remove(key));
    let text = text.ok_or_else(|| Error::NoKey { name: name.to_owned(), key: key.to_owned() })?;
    Ok(Text { text, version })
}

/// Which version of a ConfigMap there is: its resourceVersion. The text does not travel.
///
/// # Errors
/// As [`read`].
pub async fn version(client: &Client, namespace: &str, name: &str) -> Result<Option<String>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = found(name, tokio::time::timeout(CALL_TIMEOUT, api.get_metadata_opt(name)).await)?;
    Ok(map.metadata.resource_version)
}

/// Puts a text under a key of a ConfigMap, by server-side apply: the ConfigMap is created if it is not there, and its
/// other keys stay.
///
/// # Errors
/// When the API server does not take it, as it does not take more than 1 MiB, or does not answer.
pub async fn write(client: &Client, namespace: &str, name: &str, key: &str, text: &str) -> Result<(), ApiError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {key: text},
    });
    let (parameters, map) = (PatchParams::apply(WRITER).force(), Patch::Apply(&map));
    match tokio::time::timeout(CALL_TIMEOUT, api.patch(name, &parameters, &map)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(ApiError::from(&error)),
        Err(_) => Err(ApiError::Timeout),
    }
}

fn found<T>(name: &str, answer: Result<kube::Result<Option<T>>, Elapsed>) -> Result<T, Error> {
    let failed = |source| Error::Cluster { name: name.to_owned(), source };
    match answer {
        Ok(Ok(found)) => found.ok_or_else(|| Error::NotFound(name.to_owned())),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(Error::Forbidden(name.to_owned())),
        Ok(Err(error)) => Err(failed(ApiError::from(&error))),
        Err(_) => Err(failed(ApiError::Timeout)),
    }
}
