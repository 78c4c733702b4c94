//! Writes what a person asks of a policy: an annotation, or whether it is suspended. The operator itself never does.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::api::RegistryCleanupPolicy;

use super::CALL_TIMEOUT;

/// The field manager of what is written here.
const MANAGER: &str = "kubectl-rcp";

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It may not be written.
    #[error("changing RegistryCleanupPolicy {name} in namespace {namespace} is not allowed")]
    Forbidden {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The API server did not answer as it should, or refused.
    #[error("failed to change RegistryCleanupPolicy {name}")]
    Cluster {
        /// Its name.
        name: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// The API server did not answer in time; it may have been written.
    #[error("failed to change RegistryCleanupPolicy {0} in time")]
    Timeout(String),
}

/// Sets an annotation, and answers the policy as it is then. One that was deleted and created anew meanwhile is
/// another.
///
/// # Errors
/// When it cannot be written.
pub async fn annotate(
    client: &Client,
    policy: &RegistryCleanupPolicy,
    key: &str,
    value: &str,
) -> Result<RegistryCleanupPolicy, Error> {
    patch(client, policy, &json!({"metadata": {"uid": policy.uid(), "annotations": {key: value}}})).await
}

/// Suspends a policy or takes that back, and answers the policy as it is then.
///
/// # Errors
/// When it cannot be written.
pub async fn suspend(
    client: &Client,
    policy: &RegistryCleanupPolicy,
    suspend: bool,
) -> Result<RegistryCleanupPolicy, Error> {
    patch(client, policy, &json!({"metadata": {"uid": policy.uid()}, "spec": {"suspend": suspend}})).await
}

async fn patch(
    client: &Client,
    policy: &RegistryCleanupPolicy,
    change: &Value,
) -> Result<RegistryCleanupPolicy, Error> {
    let (namespace, name) = (policy.namespace().unwrap_or_default(), policy.name_any());
    let policies: Api<RegistryCleanupPolicy> = Api::namespaced(client.clone(), &namespace);
    let (parameters, change) = (PatchParams::apply(MANAGER), Patch::Merge(change));
    let written = tokio::time::timeout(CALL_TIMEOUT, policies.patch(&name, &parameters, &change)).await;
    match written {
        Err(_) => Err(Error::Timeout(name)),
        Ok(Ok(policy)) => Ok(policy),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(Error::Forbidden { namespace, name }),
        Ok(Err(source)) => Err(Error::Cluster { name, source: Box::new(source) }),
    }
}

/// Who applies `spec.suspend`, and may set it back: the field manager of a pipeline.
#[must_use]
pub fn suspend_is_applied_by(managed: &[ManagedFieldsEntry]) -> Option<&str> {
    // https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
    let has_it = |entry: &&ManagedFieldsEntry| {
        entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:suspend").is_some())
    };
    let others = managed.iter().filter(|entry| entry.manager.as_deref() != Some(MANAGER));
    others.filter(has_it).find_map(|entry| entry.manager.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn managed(all: &[(&str, Value)]) -> Vec<ManagedFieldsEntry> {
        let entry = |(manager, fields): &(&str, Value)| json!({"manager": manager, "fieldsV1": fields});
        serde_json::from_value(all.iter().map(entry).collect()).unwrap()
    }

    #[test]
    fn a_pipeline_that_sets_suspend_is_named_and_nobody_else() {
        let (ours, other) = (json!({"f:spec": {"f:suspend": {}}}), json!({"f:spec": {"f:mode": {}}}));
        assert_eq!(suspend_is_applied_by(&managed(&[(MANAGER, ours.clone()), ("argocd", other)])), None);
        assert_eq!(suspend_is_applied_by(&managed(&[(MANAGER, ours.clone()), ("argocd", ours)])), Some("argocd"));
    }
}
