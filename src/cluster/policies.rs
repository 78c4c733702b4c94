//! Reads one policy for somebody who asks for it by name, and those around it. The operator itself watches them.

use kube::api::ListParams;
use kube::{Api, Client};

use crate::api::RegistryCleanupPolicy;

use super::CALL_TIMEOUT;
use super::watched::Watched;

/// Policies in one page of a list: each is some kilobytes.
const PAGE_SIZE: u32 = 200;

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

/// Policies that may be listed.
pub struct Listed {
    /// Those that can be read as policies.
    pub policies: Vec<RegistryCleanupPolicy>,
    /// Whether they are those of all namespaces; otherwise only those of the one that was asked about.
    pub everywhere: bool,
}

/// Why policies cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The API server did not answer as it should, or refused.
    #[error("failed to list policies")]
    Cluster(#[source] Box<kube::Error>),
    /// The API server did not answer in time.
    #[error("failed to list policies in time")]
    Timeout,
}

/// Lists the policies of all namespaces or, where that is not allowed, of this one.
///
/// # Errors
/// When neither can be had.
pub async fn list(client: &Client, namespace: &str) -> Result<Listed, ListError> {
    match pages(Api::all(client.clone())).await {
        Err(ListError::Cluster(error)) if matches!(&*error, kube::Error::Api(status) if status.code == 403) => {
            let policies = pages(Api::namespaced(client.clone(), namespace)).await?;
            Ok(Listed { policies, everywhere: false })
        }
        all => Ok(Listed { policies: all?, everywhere: true }),
    }
}

/// Lists the policies of one namespace; of all where none is given.
///
/// # Errors
/// When they cannot be had.
pub async fn list_in(client: &Client, namespace: Option<&str>) -> Result<Vec<RegistryCleanupPolicy>, ListError> {
    let api =
        namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace));
    pages(api).await
}

async fn pages(api: Api<Watched>) -> Result<Vec<RegistryCleanupPolicy>, ListError> {
    let mut policies = Vec::new();
    let mut parameters = ListParams::default().limit(PAGE_SIZE);
    loop {
        let page = tokio::time::timeout(CALL_TIMEOUT, api.list(&parameters)).await;
        let page = page.map_err(|_| ListError::Timeout)?.map_err(|error| ListError::Cluster(Box::new(error)))?;
        policies.extend(page.items.into_iter().filter_map(|object| object.0.ok()));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(policies),
        }
    }
}
