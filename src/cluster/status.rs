//! Writes a policy's status, whole, by server-side apply. Neither spec nor labels nor annotations are ever written.

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};

use crate::api::{PolicyStatus, RegistryCleanupPolicy};

use super::watched::without_the_rest;
use super::{CALL_TIMEOUT, OPERATOR};

/// What writing is called where it fails.
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
}

impl Error {
    /// Whether the policy is not there any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether somebody wrote the object since it was read: what was decided about it has to be decided anew.
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
            Self::Timeout(_) => None,
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

/// Writes the status of a policy as it was read: a compare-and-swap, since the version that was read travels along.
/// Where somebody wrote the object meanwhile, or another policy stands in its place, nothing is written; it is for the
/// caller to read again and to decide anew.
///
/// `unknown` are fields and values that the definition in the cluster does not know, such as `status.lastRun.bytes`: a
/// server-side apply that has one of them is refused as a whole ("field not declared in schema"), so fields are left
/// out and values replaced by what older operators wrote.
///
/// # Errors
/// When the API server does not take it; see [`Error::is_conflict`] and [`Error::is_gone`].
pub async fn write(
    api: &Api<RegistryCleanupPolicy>,
    policy: &RegistryCleanupPolicy,
    status: &PolicyStatus,
    unknown: &[String],
) -> Result<RegistryCleanupPolicy, Error> {
    let name = policy.name_any();
    let mut patch = json!({
        "apiVersion": RegistryCleanupPolicy::api_version(&()),
        "kind": RegistryCleanupPolicy::kind(&()),
        "metadata": { "name": name, "namespace": policy.namespace(), "resourceVersion": policy.resource_version() },
        "status": status,
    });
    for field in unknown.iter().filter(|field| field.starts_with("status.")) {
        match field.split_once(": ") {
            None => remove(&mut patch, field, None),
            Some((field, value)) => remove(&mut patch, field, Some(value)),
        }
    }
    let parameters = PatchParams::apply(OPERATOR).force();
    let written = call(WRITE, api.patch_status(&name, &parameters, &Patch::Apply(&patch))).await;
    written.map(without_the_rest)
}

/// Takes a field out, given as `status.repositories[].samples`; `[]` is every entry of a list. Of a field with a
/// `value` that is not known, only that value is replaced.
fn remove(within: &mut Value, field: &str, value: Option<&str>) {
    let (first, rest) = field.split_once('.').map_or((field, None), |(first, rest)| (first, Some(rest)));
    let (name, is_list) = first.strip_suffix("[]").map_or((first, false), |name| (name, true));
    match (within, rest) {
        (Value::Object(object), None) => match (value, object.get_mut(name)) {
            (Some(value), Some(member)) if member.as_str() == Some(value) => {
                *member = stand_in(value).unwrap_or(value).into();
            }
            (Some(_), _) => {}
            (None, _) => _ = object.remove(name),
        },
        (Value::Object(object), Some(rest)) => match object.get_mut(name) {
            Some(Value::Array(items)) if is_list => items.iter_mut().for_each(|item| remove(item, rest, value)),
            Some(member) => remove(member, rest, value),
            None => {}
        },
        _ => {}
    }
}

/// What an older operator would have written in place of a value of a field that must be there.
fn stand_in(value: &str) -> Option<&'static str> {
    match value {
        "Stopping" => Some("Running"),
        "Resumed" => Some("Schedule"),
        _ => None,
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
        remove(&mut value, field, None);
        assert_eq!(value, expected);
    }

    #[rstest]
    #[case::under_way("status.run.result", "Stopping", json!({"result": "Running", "trigger": "Resumed"}))]
    #[case::what_began_it("status.run.trigger", "Resumed", json!({"result": "Stopping", "trigger": "Schedule"}))]
    #[case::another_value("status.run.result", "Succeeded", json!({"result": "Stopping", "trigger": "Resumed"}))]
    #[case::in_another_place("status.run.trigger", "Stopping", json!({"result": "Stopping", "trigger": "Resumed"}))]
    fn a_value_that_is_not_known_is_written_as_older_operators_do(
        #[case] field: &str,
        #[case] unknown: &str,
        #[case] expected: Value,
    ) {
        let mut value = json!({"status": {"run": {"result": "Stopping", "trigger": "Resumed"}}});
        remove(&mut value, field, Some(unknown));
        assert_eq!(value["status"]["run"], expected);
    }
}
