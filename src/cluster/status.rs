//! Writes a policy's status, whole, by server-side apply. Neither spec nor labels nor annotations are ever written.

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};

use crate::api::{PolicyStatus, RegistryCleanupPolicy};

use super::watched::without_the_rest;
use super::{CALL_TIMEOUT, OPERATOR};

/// How often a status is written again because somebody else wrote the object between reading and writing.
const MAX_ATTEMPTS: u32 = 5;
/// What a write is called where it fails.
const WRITE: &str = "write the status";

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

    /// Whether somebody wrote the object since it was read.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
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
    Ok(call("read the policy", api.get_opt(name)).await?.map(without_the_rest))
}

/// Writes the status, never to a policy that was made anew under the same name: a write to a status takes no notice of
/// a uid, so the version of the object that was read travels along.
///
/// `unknown` are fields that the definition in the cluster does not know, such as `status.lastRun.bytes`: a server-side
/// apply that has one of them is refused as a whole ("field not declared in schema"), so they are left out.
///
/// # Errors
/// When the API server does not take it; see [`Error::is_gone`].
pub async fn write(
    api: &Api<RegistryCleanupPolicy>,
    policy: &RegistryCleanupPolicy,
    status: &PolicyStatus,
    unknown: &[String],
) -> Result<RegistryCleanupPolicy, Error> {
    let mut version = policy.resource_version();
    let mut attempt = 1;
    loop {
        match apply(api, policy, version, status, unknown).await {
            Err(error) if error.is_conflict() && attempt < MAX_ATTEMPTS => attempt += 1,
            written => return written,
        }
        // Somebody wrote the rest of the object since it was read. The status is ours all the same, if the object still
        // is.
        let live = get_live(api, &policy.name_any()).await?.filter(|live| live.uid() == policy.uid());
        version = live.ok_or(Error::Gone(WRITE))?.resource_version();
    }
}

/// The same, but only if nobody wrote the object since it was read: for a status that answers what was read of
/// generation and annotations.
///
/// # Errors
/// When the API server does not take it; see [`Error::is_conflict`].
pub async fn write_if_unchanged(
    api: &Api<RegistryCleanupPolicy>,
    policy: &RegistryCleanupPolicy,
    status: &PolicyStatus,
    unknown: &[String],
) -> Result<RegistryCleanupPolicy, Error> {
    apply(api, policy, policy.resource_version(), status, unknown).await
}

async fn apply(
    api: &Api<RegistryCleanupPolicy>,
    policy: &RegistryCleanupPolicy,
    version: Option<String>,
    status: &PolicyStatus,
    unknown: &[String],
) -> Result<RegistryCleanupPolicy, Error> {
    let name = policy.name_any();
    let mut patch = json!({
        "apiVersion": RegistryCleanupPolicy::api_version(&()),
        "kind": RegistryCleanupPolicy::kind(&()),
        "metadata": { "name": name, "namespace": policy.namespace(), "resourceVersion": version },
        "status": status,
    });
    for field in unknown.iter().filter(|field| field.starts_with("status.")) {
        remove(&mut patch, field);
    }
    let parameters = PatchParams::apply(OPERATOR).force();
    let written = call(WRITE, api.patch_status(&name, &parameters, &Patch::Apply(&patch))).await;
    written.map(without_the_rest)
}

/// Takes a field out, given as `status.repositories[].samples`; `[]` is every entry of a list.
fn remove(value: &mut Value, field: &str) {
    let (first, rest) = field.split_once('.').map_or((field, None), |(first, rest)| (first, Some(rest)));
    let (name, is_list) = first.strip_suffix("[]").map_or((first, false), |name| (name, true));
    match (value, rest) {
        (Value::Object(object), None) => _ = object.remove(name),
        (Value::Object(object), Some(rest)) => match object.get_mut(name) {
            Some(Value::Array(items)) if is_list => items.iter_mut().for_each(|item| remove(item, rest)),
            Some(member) => remove(member, rest),
            None => {}
        },
        _ => {}
    }
}

async fn call<T>(operation: &'static str, answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    tokio::time::timeout(CALL_TIMEOUT, answer)
        .await
        .map_err(|_| Error::Timeout(operation))?
        .map_err(|source| Error::Cluster { operation, source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("status.overlapping", json!({"status": {"list": [{"a": 1, "b": 2}, {"b": 3}], "run": {"a": 1}}}))]
    #[case("status.list[].b", json!({"status": {"list": [{"a": 1}, {}], "run": {"a": 1}, "overlapping": 1}}))]
    #[case("status.run.a", json!({"status": {"list": [{"a": 1, "b": 2}, {"b": 3}], "run": {}, "overlapping": 1}}))]
    #[case(
        "status.none.at[].all",
        json!({"status": {"list": [{"a": 1, "b": 2}, {"b": 3}], "run": {"a": 1}, "overlapping": 1}})
    )]
    fn a_field_that_is_not_known_is_taken_out_wherever_it_is(#[case] field: &str, #[case] expected: Value) {
        let mut value = json!({"status": {"list": [{"a": 1, "b": 2}, {"b": 3}], "run": {"a": 1}, "overlapping": 1}});
        remove(&mut value, field);
        assert_eq!(value, expected);
    }
}
