//! Reads one key of a ConfigMap. Read at every use, and never kept or watched.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use super::{CALL_TIMEOUT, Trouble};

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
        source: Trouble,
    },
}

/// Reads the text under a key of a ConfigMap.
///
/// # Errors
/// When there is no such text, or the API server does not answer.
pub async fn read(client: &Client, namespace: &str, name: &str, key: &str) -> Result<String, Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let failed = |source| Error::Cluster { name: name.to_owned(), source };
    let found = tokio::time::timeout(CALL_TIMEOUT, api.get_opt(name)).await.map_err(|_| failed(Trouble::Timeout))?;
    let found = match found {
        Ok(found) => found,
        Err(kube::Error::Api(status)) if status.code == 403 => return Err(Error::Forbidden(name.to_owned())),
        Err(error) => return Err(failed(Trouble::from(&error))),
    };
    let map = found.ok_or_else(|| Error::NotFound(name.to_owned()))?;
    map.data
        .and_then(|mut data| data.remove(key))
        .ok_or_else(|| Error::NoKey { name: name.to_owned(), key: key.to_owned() })
}
