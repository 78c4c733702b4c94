//! Writes a policy's status, whole, by server-side apply. Neither spec nor labels nor annotations are ever written.

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use crate::api::{PolicyStatus, RegistryCleanupPolicy};

use super::{CALL_TIMEOUT, OPERATOR};

/// How often a status is written again because somebody else wrote the object between reading and writing.
const MAX_ATTEMPTS: u32 = 5;

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
    /// The policy was deleted; another one may stand in its place.
    #[error("failed to {0}: the policy was deleted")]
    Gone(&'static str),
}

impl Error {
    /// Whether the policy is not there any more, or another one stands in its place.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone(_)) || self.code() == Some(404)
    }

    fn code(&self) -> Option<u16> {
        match self {
            Self::Cluster { source, .. } => match &**source {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::Timeout(_) | Self::Gone(_) => None,
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

/// Writes the status, never to a policy that was made anew under the same name: a write to a status takes no notice of a uid,
/// so the version of the object that was read travels along.
///
/// # Errors
/// When the API server does not take it; see [`Error::is_gone`].
pub async fn write(
    api: &Api<RegistryCleanupPolicy>,
    policy: &RegistryCleanupPolicy,
    status: &PolicyStatus,
) -> Result<RegistryCleanupPolicy, Error> {
    let (operation, name) = ("write the status", policy.name_any());
    let parameters = PatchParams::apply(OPERATOR).force();
    let mut version = policy.resource_version();
    let mut attempt = 1;
    loop {
        let patch = json!({
            "apiVersion": RegistryCleanupPolicy::api_version(&()),
            "kind": RegistryCleanupPolicy::kind(&()),
            "metadata": { "name": name, "namespace": policy.namespace(), "resourceVersion": version },
            "status": status,
        });
        let written = call(operation, api.patch_status(&name, &parameters, &Patch::Apply(&patch))).await;
        match written {
            Err(error) if error.code() == Some(409) && attempt < MAX_ATTEMPTS => attempt += 1,
            written => return written,
        }
        // Somebody wrote the rest of the object since it was read. The status is ours all the same, if the object still is.
        let live = get_live(api, &name).await?.filter(|live| live.uid() == policy.uid());
        version = live.ok_or(Error::Gone(operation))?.resource_version();
    }
}

async fn call<T>(operation: &'static str, answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    tokio::time::timeout(CALL_TIMEOUT, answer)
        .await
        .map_err(|_| Error::Timeout(operation))?
        .map_err(|source| Error::Cluster { operation, source: Box::new(source) })
}
