//! Reads and watches the ConfigMap whose existence pauses an installation. Nobody but an administrator makes it, and
//! the operator never writes it.

use std::pin::Pin;

use futures::stream::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::{ApiError, CALL_TIMEOUT, watch_one};

/// How long the API server keeps one watch open, in seconds. A connection that was cut off silently is noticed after
/// it.
const WATCH_SECONDS: u32 = 25;

/// Why it is not known whether there is the ConfigMap.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The operator may not see it.
    #[error("the operator may not list and watch ConfigMap {0}")]
    Forbidden(String),
    /// The API server does not do its part.
    #[error("ConfigMap {place} cannot be read: {source}")]
    Cluster {
        /// The ConfigMap.
        place: String,
        /// What went wrong.
        source: ApiError,
    },
    /// The watch ended, as watches do.
    #[error("the watch of ConfigMap {0} ended")]
    Ended(String),
}

/// What the ConfigMap says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    /// When it was made.
    pub made: Option<Timestamp>,
    /// The tool that wrote it first, as the API server has it.
    pub manager: Option<String>,
    /// The text under `by`.
    pub by: Option<String>,
    /// The text under `reason`.
    pub reason: Option<String>,
}

impl From<ConfigMap> for Stored {
    fn from(map: ConfigMap) -> Self {
        let made = map.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let first = map.managed_fields().iter().min_by_key(|entry| entry.time.as_ref().map(|time| time.0));
        let manager = first.and_then(|entry| entry.manager.clone());
        let mut data = map.data.unwrap_or_default();
        Self { made, manager, by: data.remove("by"), reason: data.remove("reason") }
    }
}

/// What the ConfigMap came to, as it changes: `None` once it is deleted.
pub type Changes = Pin<Box<dyn Stream<Item = Result<Option<Stored>, Error>> + Send>>;

/// The ConfigMap of one installation.
#[derive(Clone)]
pub struct PauseMap {
    api: Api<ConfigMap>,
    namespace: String,
    name: String,
}

impl PauseMap {
    /// The ConfigMap of this name.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: String) -> Self {
        Self { api: Api::namespaced(client, namespace), namespace: namespace.to_owned(), name }
    }

    /// Its place: `namespace/name`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether it exists, and from which version on to watch it. A list, since what does not exist has no version.
    ///
    /// # Errors
    /// When the API server does not answer as it should.
    pub async fn read(&self) -> Result<(Option<Stored>, String), Error> {
        let parameters = ListParams::default().fields(&watch_one::field_selector(&self.name));
        let list = self.call(self.api.list(&parameters)).await?;
        let version = list.metadata.resource_version.unwrap_or_default();
        Ok((list.items.into_iter().find(|map| map.name_any() == self.name).map(Stored::from), version))
    }

    /// Shows it each time that it changes from a version on. Ends after half a minute, or with an error.
    ///
    /// # Errors
    /// When the API server does not answer as it should.
    pub async fn changes(&self, version: &str) -> Result<Changes, Error> {
        let parameters = watch_one::parameters(&self.name, WATCH_SECONDS);
        let events = self.call(self.api.watch(&parameters, version)).await?;
        let place = self.place();
        let changes = events.map(move |event| match event.map(watch_one::state) {
            Ok(Ok(found)) => Ok(found.map(Stored::from)),
            Ok(Err(_)) | Err(_) => Err(Error::Ended(place.clone())),
        });
        Ok(changes.boxed())
    }

    async fn call<T>(&self, answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
        let place = self.place();
        match tokio::time::timeout(CALL_TIMEOUT, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(Error::Forbidden(place)),
            Ok(Err(error)) => Err(Error::Cluster { place, source: ApiError::from(&error) }),
            Err(_) => Err(Error::Cluster { place, source: ApiError::Timeout }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_config_map_tells_who_made_it_and_what_it_says_and_one_that_says_nothing_is_one_as_well() {
        let stored = |value| Stored::from(serde_json::from_value::<ConfigMap>(value).unwrap());
        let written = stored(json!({
            "metadata": {
                "creationTimestamp": "2026-11-22T12:00:00Z",
                "managedFields": [
                    {"manager": "kubectl-edit", "operation": "Update", "time": "2026-11-22T13:00:00Z"},
                    {"manager": "kubectl-create", "operation": "Update", "time": "2026-11-22T12:00:00Z"},
                ],
            },
            "data": {"reason": "incident 42", "by": "on-call", "other": "text"},
        }));
        assert_eq!(written.made, Some("2026-11-22T12:00:00Z".parse().unwrap()));
        let text = |text: &str| Some(text.to_owned());
        assert_eq!((written.manager, written.by), (text("kubectl-create"), text("on-call")));
        assert_eq!(written.reason, text("incident 42"));
        let silent = stored(json!({"metadata": {}}));
        assert_eq!(silent, Stored { made: None, manager: None, by: None, reason: None });
    }
}
