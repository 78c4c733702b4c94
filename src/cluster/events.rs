//! Publishes events. An event that cannot be published is logged and forgotten: it never holds anything up.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::OPERATOR;

/// How long publishing one event may take.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest note that the API takes, in bytes.
const MAX_NOTE: usize = 1024;

/// Publishes events under the operator's name.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

/// One event.
#[derive(Clone, Debug)]
pub struct Note<'a> {
    /// Whether it is a Warning, not Normal.
    pub warning: bool,
    /// One word, in `PascalCase`.
    pub reason: &'a str,
    /// What happened.
    pub text: &'a str,
    /// What was being done. Events that differ in nothing else but their text are counted as one within six minutes, so
    /// what belongs to a run carries the run's id here.
    pub action: String,
    /// A container repository that it is about.
    pub repository: Option<&'a str>,
}

impl Events {
    /// Publishes through this client; `instance` is the name of the operator's pod.
    #[must_use]
    pub fn new(client: Client, instance: Option<String>) -> Self {
        let reporter = Reporter { controller: OPERATOR.to_owned(), instance };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Publishes one event about an object.
    pub async fn publish(&self, about: &ObjectReference, note: Note<'_>) {
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason.to_owned(),
            note: Some(cut(note.text)),
            action: note.action,
            secondary: note.repository.map(|path| ObjectReference {
                kind: Some("ContainerRepository".to_owned()),
                name: Some(path.to_owned()),
                namespace: about.namespace.clone(),
                ..ObjectReference::default()
            }),
        };
        match tokio::time::timeout(PUBLISH_TIMEOUT, self.recorder.publish(&event, about)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(reason = note.reason, %error, "failed to publish an event"),
            Err(_) => tracing::warn!(reason = note.reason, "failed to publish an event in time"),
        }
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_NOTE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
