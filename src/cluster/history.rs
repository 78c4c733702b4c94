//! The records of what runs removed: ConfigMaps beside their policy, which go with it.
//!
//! They are created and removed, and never changed: Kubernetes refuses a change of a ConfigMap that is immutable.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};

use super::{ApiError, CALL_TIMEOUT, OPERATOR};
use crate::api::RegistryCleanupPolicy;

/// The label with the policy's uid.
const POLICY_UID: &str = "registrycleanup.dev/policy-uid";
/// The annotation with what is told of the run.
const SUMMARY: &str = "registrycleanup.dev/run";
/// The key of the record.
const KEY: &str = "removed.jsonl.gz";

/// Why a record could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what} the history: {source}")]
pub struct Error {
    what: &'static str,
    source: ApiError,
}

/// A part of a record, as it is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// Name of the ConfigMap.
    pub name: String,
    /// What is told of the run, as JSON.
    pub summary: String,
    /// The record, compressed. Empty where only the summaries were asked for.
    pub record: Vec<u8>,
}

/// Writes a part. One that is there already is not written again.
///
/// # Errors
/// When it could not be written.
pub async fn write(client: &Client, policy: &RegistryCleanupPolicy, part: Part) -> Result<(), Error> {
    let (namespace, uid) = (policy.namespace().unwrap_or_default(), policy.uid().unwrap_or_default());
    let owner = OwnerReference {
        api_version: RegistryCleanupPolicy::api_version(&()).into_owned(),
        kind: RegistryCleanupPolicy::kind(&()).into_owned(),
        name: policy.name_any(),
        uid: uid.clone(),
        ..OwnerReference::default()
    };
    let labels = [("app.kubernetes.io/managed-by", OPERATOR), ("app.kubernetes.io/component", "history")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(part.name.clone()),
            labels: Some(labels.into_iter().chain([(POLICY_UID.to_owned(), uid)]).collect()),
            annotations: Some(BTreeMap::from([(SUMMARY.to_owned(), part.summary)])),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        binary_data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(part.record))])),
        immutable: Some(true),
        ..ConfigMap::default()
    };
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    match call("write", api.create(&PostParams::default(), &map)).await {
        // Written by an attempt whose answer was lost.
        Err(Error { source: ApiError::Refused { code: 409, .. }, .. }) => Ok(()),
        written => written.map(|_| ()),
    }
}

/// The parts that are kept of a policy, without their records.
///
/// # Errors
/// When they cannot be listed.
pub async fn list(client: &Client, namespace: &str, uid: &str) -> Result<Vec<Part>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let of_policy = ListParams::default().labels(&format!("{POLICY_UID}={uid}"));
    let listed = call("list", api.list_metadata(&of_policy)).await?;
    Ok(listed.items.into_iter().filter_map(|map| part(map.metadata, Vec::new())).collect())
}

/// A part with its record; `None` where it is not there any more.
///
/// # Errors
/// When it cannot be read.
pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<Option<Part>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = call("read", api.get_opt(name)).await?;
    Ok(map.and_then(|map| {
        let record = map.binary_data.and_then(|mut data| data.remove(KEY))?;
        part(map.metadata, record.0)
    }))
}

/// Removes parts. One that is not there any more is no error.
///
/// # Errors
/// When one could not be removed.
pub async fn remove(client: &Client, namespace: &str, names: &[&str]) -> Result<(), Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    for name in names {
        match call("shorten", api.delete(name, &DeleteParams::default())).await {
            Err(Error { source: ApiError::Refused { code: 404, .. }, .. }) | Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn part(metadata: ObjectMeta, record: Vec<u8>) -> Option<Part> {
    let summary = metadata.annotations?.remove(SUMMARY)?;
    Some(Part { name: metadata.name?, summary, record })
}

async fn call<T>(what: &'static str, answer: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    match tokio::time::timeout(CALL_TIMEOUT, answer).await {
        Err(_) => Err(Error { what, source: ApiError::Timeout }),
        Ok(answer) => answer.map_err(|error| Error { what, source: ApiError::from(&error) }),
    }
}
