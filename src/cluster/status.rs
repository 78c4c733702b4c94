//! Writes a policy's status, whole, by server-side apply. Neither spec nor labels nor annotations are ever written.

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use crate::api::{PolicyStatus, RegistryCleanupPolicy};

use super::{CALL_TIMEOUT, OPERATOR};

/// Why a call about a policy failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or broke off.
    #[error("failed to {operation}")]
    Cluster {
        /// What was tried.
        operation: &'static str,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// The API server did not answer in time.
    #[error("failed to {0} in time")]
    Timeout(&'static str),
}

impl Error {
    /// Whether the policy is not there any more, or another one stands in its place.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Cluster { source, .. } => {
                matches!(&**source, kube::Error::Api(status) if matches!(status.code, 404 | 409))
            }
            Self::Timeout(_) => false,
        }
    }
}

/// Reads a policy from the API server itself, not from a cache.
///
/// # Errors
/// When the API server does not answer as it should. A policy that is gone is `None`.
pub async fn get_live(api: &Api<RegistryCleanupPolicy>, name: &str) -> Result<Option<RegistryCleanupPolicy>, Error> {
    call("read the policy", api.get_opt(name)).await
}

/// Writes the status. The uid travels along, so that it never lands on a policy that was made anew under the same name.
///
/// # Errors
/// When the API server does not take it; see [`Error::is_gone`].
pub async fn write(
    api: &Api<RegistryCleanupPolicy>,
    policy: &RegistryCleanupPolicy,
    status: &PolicyStatus,
) -> Result<RegistryCleanupPolicy, Error> {
    let name = policy.name_any();
    let patch = json!({
        "apiVersion": RegistryCleanupPolicy::api_version(&()),
        "kind": RegistryCleanupPolicy::kind(&()),
        "metadata": { "name": name, "namespace": policy.namespace(), "uid": policy.uid() },
        "status": status,
    });
    let parameters = PatchParams::apply(OPERATOR).force();
    call("write the status", api.patch_status(&name, &parameters, &Patch::Apply(&patch))).await
}

async fn call<T>(operation: &'static str, answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    tokio::time::timeout(CALL_TIMEOUT, answer)
        .await
        .map_err(|_| Error::Timeout(operation))?
        .map_err(|source| Error::Cluster { operation, source: Box::new(source) })
}
