//! Reads what belongs into the report of a fault: the events of policies, the operator's Pods, and their logs.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use super::{ApiError, CALL_TIMEOUT};
use crate::api::RegistryCleanupPolicy;

/// Events in one page of a list.
const PAGE_SIZE: u32 = 500;
/// Most pages of events that are read.
const MOST_PAGES: usize = 4;

/// The version of the API server, such as `v1.36.3`.
///
/// # Errors
/// When it does not answer.
pub async fn kubernetes_version(client: &Client) -> Result<String, ApiError> {
    answered(client.apiserver_version()).await.map(|info| info.git_version)
}

/// The events of policies in a namespace or in all, of each what people read.
///
/// # Errors
/// When they cannot be listed.
pub async fn events(client: &Client, namespace: Option<&str>) -> Result<Vec<Value>, ApiError> {
    let api: Api<Event> =
        namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace));
    let kind = RegistryCleanupPolicy::kind(&());
    let mut parameters = ListParams::default().limit(PAGE_SIZE).fields(&format!("regarding.kind={kind}"));
    let mut events = Vec::new();
    for _ in 0..MOST_PAGES {
        let page = answered(api.list(&parameters)).await?;
        events.extend(page.items.iter().map(told));
        let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty()) else { break };
        parameters = parameters.continue_token(&token);
    }
    Ok(events)
}

fn told(event: &Event) -> Value {
    let policy = event.regarding.as_ref().and_then(|regarding| regarding.name.clone());
    json!({
        "namespace": event.namespace(),
        "policy": policy,
        "time": event.event_time,
        "type": event.type_,
        "reason": event.reason,
        "note": event.note,
        "count": event.series.as_ref().map_or(1, |series| series.count),
    })
}

/// The names of the Pods with a label.
///
/// # Errors
/// When they cannot be listed.
pub async fn pods(client: &Client, namespace: &str, label: &str) -> Result<Vec<String>, ApiError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let labelled = ListParams::default().labels(label);
    let pods = answered(api.list_metadata(&labelled)).await?;
    Ok(pods.items.iter().map(ResourceExt::name_any).collect())
}

/// The last lines that a Pod logged.
///
/// # Errors
/// When they cannot be read.
pub async fn log(client: &Client, namespace: &str, pod: &str, lines: i64) -> Result<String, ApiError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let last = LogParams { tail_lines: Some(lines), ..LogParams::default() };
    answered(api.logs(pod, &last)).await
}

async fn answered<T>(answer: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    match tokio::time::timeout(CALL_TIMEOUT, answer).await {
        Err(_) => Err(ApiError::Timeout),
        Ok(answer) => answer.map_err(|error| ApiError::from(&error)),
    }
}
