//! Finds the operator's own Deployment, with what it was told, for somebody who looks at an installation from outside.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{GetParams, ListParams};
use kube::client::Body;
use kube::core::Request;
use kube::{Api, Client, ResourceExt};

use super::{ApiError, CALL_TIMEOUT, OPERATOR};

/// What the first argument of the operator is.
const RUN: &str = "run";

/// A Deployment of the operator.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Installation {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The version that its label tells.
    pub version: Option<String>,
    /// The `ServiceAccount` of its Pods.
    pub account: String,
    /// How many Pods it is to have.
    pub wanted: i32,
    /// How many of them are ready.
    pub ready: i32,
    /// What the operator is told, from `run` on.
    pub arguments: Vec<String>,
}

/// Finds the Deployments of the operator, by the label that the chart gives them, in one namespace or in all.
///
/// # Errors
/// When they cannot be listed.
pub async fn find(client: &Client, namespace: Option<&str>) -> Result<Vec<Installation>, ApiError> {
    let api: Api<Deployment> =
        namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace));
    let labelled = ListParams::default().labels(&format!("app.kubernetes.io/name={OPERATOR}"));
    let listed = tokio::time::timeout(CALL_TIMEOUT, api.list(&labelled)).await.map_err(|_| ApiError::Timeout)?;
    let listed = listed.map_err(|error| ApiError::from(&error))?;
    Ok(listed.items.into_iter().filter_map(read).collect())
}

/// `None` for something else that has the label.
fn read(deployment: Deployment) -> Option<Installation> {
    let (namespace, name) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
    let version = deployment.labels().get("app.kubernetes.io/version").cloned();
    let spec = deployment.spec?;
    let pod = spec.template.spec?;
    let told = |arguments: &Vec<String>| arguments.first().is_some_and(|first| first == RUN);
    let arguments = pod.containers.into_iter().filter_map(|container| container.args).find(told)?;
    Some(Installation {
        namespace,
        name,
        version,
        account: pod.service_account_name.unwrap_or_else(|| "default".to_owned()),
        wanted: spec.replicas.unwrap_or(1),
        ready: deployment.status.and_then(|status| status.ready_replicas).unwrap_or_default(),
        arguments,
    })
}

/// What time it is by the API server, to the second; `None` where it does not say.
///
/// # Errors
/// When it does not answer.
pub async fn date(client: &Client) -> Result<Option<Timestamp>, ApiError> {
    // Everybody who is authenticated may read it.
    let request = Request::new("/api").get("v1", &GetParams::default()).map_err(|_| ApiError::NotUnderstood)?;
    let answer = tokio::time::timeout(CALL_TIMEOUT, client.send(request.map(Body::from))).await;
    let answer = answer.map_err(|_| ApiError::Timeout)?.map_err(|error| ApiError::from(&error))?;
    let told = answer.headers().get("date").and_then(|date| date.to_str().ok());
    Ok(told.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_is_the_operators_if_it_runs_it() {
        let of = |args: &[&str]| {
            let deployment = json!({
                "metadata": {"name": "operator", "namespace": "ops", "labels": {"app.kubernetes.io/version": "1"}},
                "spec": {
                    "selector": {}, "replicas": 2,
                    "template": {"spec": {"serviceAccountName": "sa", "containers": [
                        {"name": "other"}, {"name": "operator", "args": args},
                    ]}},
                },
                "status": {"readyReplicas": 1},
            });
            read(serde_json::from_value(deployment).unwrap())
        };
        let expected = Installation {
            namespace: "ops".to_owned(),
            name: "operator".to_owned(),
            version: Some("1".to_owned()),
            account: "sa".to_owned(),
            wanted: 2,
            ready: 1,
            arguments: vec!["run".to_owned(), "--force-dry-run".to_owned()],
        };
        assert_eq!(of(&["run", "--force-dry-run"]), Some(expected));
        assert_eq!(of(&["in-use"]), None);
    }
}
