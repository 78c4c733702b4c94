//! Reads the schema of policies that the API server goes by, from what it publishes for every ServiceAccount.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::GetParams;
use kube::core::Request;
use kube::{Api, Client, CustomResourceExt, Resource};
use serde_json::Value;

use crate::api::RegistryCleanupPolicy;

use super::CALL_TIMEOUT;

/// Where a group's schemas are published, version by version:
/// <https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3>. The role `system:discovery` lets
/// everybody who is authenticated read it.
const PUBLISHED: &str = "/openapi/v3/apis";

/// Why the schema is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or broke off.
    #[error("failed to read the schema of policies from {PUBLISHED}")]
    Cluster(#[source] Box<kube::Error>),
    /// The API server did not answer in time.
    #[error("failed to read the schema of policies from {PUBLISHED} in time")]
    Timeout,
    /// The API server has none.
    #[error("the API server publishes no schema of policies")]
    Absent,
}

/// Reads the schema of a policy as the API server publishes it: `properties` with `spec` and `status`.
///
/// # Errors
/// When it cannot be had.
pub async fn read(client: &Client) -> Result<Value, Error> {
    let (group, version) = (RegistryCleanupPolicy::group(&()), RegistryCleanupPolicy::version(&()));
    let request = Request::new(format!("{PUBLISHED}/{group}")).get(&version, &GetParams::default());
    let request = request.map_err(|error| Error::Cluster(Box::new(kube::Error::BuildRequest(error))))?;
    let answer = tokio::time::timeout(CALL_TIMEOUT, client.request::<Value>(request)).await;
    let document = match answer.map_err(|_| Error::Timeout)? {
        Ok(document) => document,
        Err(kube::Error::Api(status)) if status.code == 404 => return Err(Error::Absent),
        Err(error) => return Err(Error::Cluster(Box::new(error))),
    };
    of_policies(&document).cloned().ok_or(Error::Absent)
}

/// Versions of the definition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Versions {
    /// Those that the API server serves.
    pub served: Vec<String>,
    /// Those in which objects may be stored.
    pub stored: Vec<String>,
}

/// Reads the versions of the definition; `None` where whoever asks may not, or it cannot be read.
pub async fn versions(client: &Client) -> Option<Versions> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = RegistryCleanupPolicy::crd_name();
    let definition = tokio::time::timeout(CALL_TIMEOUT, definitions.get_opt(name)).await.ok()?.ok()??;
    let versions = definition.spec.versions.into_iter();
    let served = versions.filter(|version| version.served).map(|version| version.name).collect();
    Some(Versions { served, stored: definition.status?.stored_versions.unwrap_or_default() })
}

/// The schema whose kind is that of policies; lists of them are another kind.
fn of_policies(document: &Value) -> Option<&Value> {
    let kind = RegistryCleanupPolicy::kind(&());
    let is_ours = |schema: &&Value| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|own| own["kind"] == *kind))
    };
    document.pointer("/components/schemas")?.as_object()?.values().find(is_ours)
}
