//! Reads one policy for somebody who asks for it by name. The operator itself watches them.

use kube::{Api, Client};

use crate::api::RegistryCleanupPolicy;

use super::CALL_TIMEOUT;

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such policy, or no such resource.
    #[error("RegistryCleanupPolicy {name} does not exist in namespace {namespace}")]
    NotFound {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The cluster does not know policies at all.
    #[error("this cluster does not know RegistryCleanupPolicy: its CustomResourceDefinition is not installed")]
    NoDefinition,
    /// It may not be read.
    #[error("reading RegistryCleanupPolicy {name} in namespace {namespace} is not allowed")]
    Forbidden {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The API server did not answer as it should.
    #[error("failed to read RegistryCleanupPolicy {name}")]
    Cluster {
        /// Its name.
        name: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// The API server did not answer in time.
    #[error("failed to read RegistryCleanupPolicy {0} in time")]
    Timeout(String),
}

/// Reads a policy.
///
/// # Errors
/// When there is none, or it cannot be had.
pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<RegistryCleanupPolicy, Error> {
    let policies: Api<RegistryCleanupPolicy> = Api::namespaced(client.clone(), namespace);
    let answer = tokio::time::timeout(CALL_TIMEOUT, policies.get(name)).await;
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    match answer {
        Err(_) => Err(Error::Timeout(name)),
        Ok(Ok(policy)) => Ok(policy),
        // What is missing has a name; a missing kind has none.
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
            let named = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
            Err(if named { Error::NotFound { namespace, name } } else { Error::NoDefinition })
        }
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(Error::Forbidden { namespace, name }),
        Ok(Err(source)) => Err(Error::Cluster { name, source: Box::new(source) }),
    }
}
