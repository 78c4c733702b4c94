//! Publishes events. An event that cannot be published is logged and forgotten: it never holds anything up.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as StoredEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client};
use sha2::{Digest, Sha256};

use crate::causes::chain;

use super::OPERATOR;

/// How long publishing one event may take.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest note that the API takes, in bytes.
const MAX_NOTE: usize = 1024;
/// Longest name of an object.
const MAX_NAME: usize = 253;
/// What the name of an event has behind that of its object: a dot and the time, in nanoseconds, in hexadecimal digits.
const TIME_IN_NAME: usize = 17;
/// Bytes of a hash in a shortened name, each two digits.
const HASH_BYTES: usize = 8;

/// Events of which the recorder knows whether they were published before, more or less. It keeps each for six minutes,
/// in some two kibibytes, and goes through all of them whenever one is published.
const MOST_KNOWN: u32 = 512;

/// Publishes events under the operator's name.
#[derive(Clone)]
pub struct Events {
    /// With how many it has published.
    recorder: Arc<Mutex<(Recorder, u32)>>,
    client: Client,
    reporter: Reporter,
    /// How many were published under names of their own.
    published: Arc<AtomicU32>,
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
        let recorder = Arc::new(Mutex::new((Recorder::new(client.clone(), reporter.clone()), 0)));
        Self { recorder, client, reporter, published: Arc::default() }
    }

    /// What publishes the next event: now and then a recorder that knows of none before.
    fn recorder(&self) -> Recorder {
        // Valid between any two statements.
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        if recorder.1 >= MOST_KNOWN {
            *recorder = (Recorder::new(self.client.clone(), self.reporter.clone()), 0);
        }
        recorder.1 += 1;
        recorder.0.clone()
    }

    /// Publishes one event about an object, which happens now.
    pub async fn publish(&self, about: &ObjectReference, note: Note<'_>, now: Timestamp) {
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
        let publish = async {
            match shortened(about.name.as_deref().unwrap_or_default()) {
                None => self.recorder().publish(&event, about).await,
                Some(name) => self.publish_as(&name, event, about, now).await,
            }
        };
        match tokio::time::timeout(PUBLISH_TIMEOUT, publish).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(reason = note.reason, error = %chain(&error), "failed to publish an event");
            }
            Err(_) => tracing::warn!(reason = note.reason, "failed to publish an event in time"),
        }
    }

    /// Publishes an event under a name of its own, where the recorder's would be too long. Repetitions are events of
    /// their own.
    async fn publish_as(
        &self,
        name: &str,
        event: Event,
        about: &ObjectReference,
        now: Timestamp,
    ) -> Result<(), kube::Error> {
        let namespace = about.namespace.clone().unwrap_or_default();
        let stored = stored(name, event, about, &self.reporter, (now, self.published.fetch_add(1, Ordering::Relaxed)));
        let api: Api<StoredEvent> = Api::namespaced(self.client.clone(), &namespace);
        api.create(&PostParams::default(), &stored).await.map(|_| ())
    }
}

/// The same event as the recorder would make, under this name and the time. `number` tells events of one moment apart.
fn stored(
    name: &str,
    event: Event,
    about: &ObjectReference,
    reporter: &Reporter,
    (now, number): (Timestamp, u32),
) -> StoredEvent {
    let type_ = match event.type_ {
        EventType::Normal => "Normal",
        EventType::Warning => "Warning",
    };
    StoredEvent {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", now.as_nanosecond() + i128::from(number))),
            namespace: about.namespace.clone(),
            ..ObjectMeta::default()
        },
        type_: Some(type_.to_owned()),
        reason: Some(event.reason),
        note: event.note,
        action: Some(event.action),
        event_time: Some(MicroTime(now)),
        regarding: Some(about.clone()),
        related: event.secondary,
        reporting_controller: Some(reporter.controller.clone()),
        reporting_instance: Some(reporter.instance.clone().unwrap_or_else(|| reporter.controller.clone())),
        ..StoredEvent::default()
    }
}

/// What stands for an object's name in that of its event, where the whole is too long: its beginning and a hash, so
/// that the events of two such objects do not meet. `None`, where it is short enough.
fn shortened(name: &str) -> Option<String> {
    if name.len() + TIME_IN_NAME <= MAX_NAME {
        return None;
    }
    let hash = Sha256::digest(name.as_bytes());
    let hash = hash.iter().take(HASH_BYTES).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let beginning: String = name.chars().take(MAX_NAME - TIME_IN_NAME - hash.len() - 1).collect();
    // A part of a name begins and ends with a letter or a digit.
    Some(format!("{}-{hash}", beginning.trim_end_matches(['-', '.'])))
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_NOTE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shortened_only_where_that_of_the_event_would_be_too_long() {
        assert_eq!(shortened(&"a".repeat(236)), None);
        for length in 237..=253 {
            let short = shortened(&"a".repeat(length)).unwrap();
            assert!(short.len() + TIME_IN_NAME <= MAX_NAME, "{length}: {}", short.len());
        }
        let (one, other) = ("a".repeat(253), format!("{}b", "a".repeat(252)));
        assert_ne!(shortened(&one), shortened(&other));
        let dotted = format!("{}.{}", "a".repeat(218), "b".repeat(34));
        assert!(!shortened(&dotted).unwrap().contains(".-"), "{:?}", shortened(&dotted));
    }

    #[tokio::test]
    async fn a_recorder_that_knows_of_many_events_gives_way_to_another() {
        let client = Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        let events = Events::new(client, None);
        let known = |events: &Events| events.recorder.lock().unwrap().1;
        (0..MOST_KNOWN).for_each(|_| drop(events.recorder()));
        assert_eq!(known(&events), MOST_KNOWN);
        drop(events.recorder());
        assert_eq!(known(&events), 1);
    }
}
