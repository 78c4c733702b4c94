//! Notices whether the policies that are watched have changed, so that each is compared with all others only then, and
//! not at every step.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

use super::neighbours::{Directory, Guarded};

/// What was made of all policies for each of them.
#[derive(Default)]
pub(crate) struct Sightings {
    /// Grows with every change.
    version: AtomicU64,
    fingerprints: Mutex<HashMap<String, Fingerprint>>,
    /// Where all policies look, as of a version.
    directory: Mutex<Option<(u64, Arc<Directory>)>>,
}

#[derive(Clone, Copy, Debug)]
struct Fingerprint {
    version: u64,
    generation: Option<i64>,
    neighbours: u64,
}

impl Sightings {
    /// Notes that a policy is there, was edited, or is gone.
    pub(crate) fn changed(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// The fingerprint of a policy's neighbours; computed where anything has changed since it last was.
    pub(crate) fn fingerprint(
        &self,
        uid: &str,
        generation: Option<i64>,
        compute: impl FnOnce() -> Option<u64>,
    ) -> Option<u64> {
        let version = self.version.load(Ordering::SeqCst);
        let known = self.fingerprints().get(uid).copied();
        if let Some(known) = known.filter(|known| known.version == version && known.generation == generation) {
            return Some(known.neighbours);
        }
        let neighbours = compute()?;
        self.fingerprints().insert(uid.to_owned(), Fingerprint { version, generation, neighbours });
        Some(neighbours)
    }

    /// Where all policies look; computed where anything has changed since it last was.
    pub(crate) fn directory(&self, compute: impl FnOnce() -> Directory) -> Arc<Directory> {
        // Before it is computed: what changes meanwhile makes it be computed again.
        let version = self.version.load(Ordering::SeqCst);
        let mut known = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, directory)) = known.as_ref().filter(|(of, _)| *of == version) {
            return Arc::clone(directory);
        }
        let directory = Arc::new(compute());
        *known = Some((version, Arc::clone(&directory)));
        directory
    }

    /// Forgets the policies that are gone.
    pub(crate) fn retain(&self, known: impl Fn(&str) -> bool) {
        self.fingerprints().retain(|uid, _| known(uid));
    }

    fn fingerprints(&self) -> std::sync::MutexGuard<'_, HashMap<String, Fingerprint>> {
        self.fingerprints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The policies that one watch has shown, by uid: the generation, and whether it is on its way out.
#[derive(Debug, Default)]
pub(crate) struct Shown(HashMap<String, (Option<i64>, bool)>);

impl Shown {
    /// Whether an event is more than a new status or another annotation.
    pub(crate) fn changes(&mut self, event: &Event<Guarded>) -> bool {
        match event {
            Event::Apply(policy) => {
                let now = (policy.meta().generation, policy.meta().deletion_timestamp.is_some());
                self.0.insert(policy.uid().unwrap_or_default(), now) != Some(now)
            }
            Event::Delete(policy) => {
                self.0.remove(&policy.uid().unwrap_or_default());
                true
            }
            Event::Init => {
                self.0.clear();
                false
            }
            Event::InitApply(policy) => {
                let now = (policy.meta().generation, policy.meta().deletion_timestamp.is_some());
                self.0.insert(policy.uid().unwrap_or_default(), now);
                false
            }
            // Only now are those of the list known, and those that are not in it gone.
            Event::InitDone => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn policy(changes: &Value) -> Guarded {
        let mut metadata = json!({"name": "shop", "namespace": "team", "uid": "u-1", "generation": 1});
        for (key, value) in changes.as_object().unwrap() {
            metadata[key] = value.clone();
        }
        serde_json::from_value(json!({"metadata": metadata, "spec": {}})).unwrap()
    }

    #[test]
    fn only_a_new_policy_an_edit_and_an_end_are_changes() {
        let mut shown = Shown::default();
        let first = policy(&json!({}));
        assert!(!shown.changes(&Event::Init));
        assert!(!shown.changes(&Event::InitApply(first.clone())));
        assert!(shown.changes(&Event::InitDone));
        assert!(!shown.changes(&Event::Apply(first.clone())), "a status");
        assert!(!shown.changes(&Event::Apply(policy(&json!({"resourceVersion": "9"})))), "a status");
        assert!(shown.changes(&Event::Apply(policy(&json!({"generation": 2})))), "an edit");
        let ends = policy(&json!({"generation": 2, "deletionTimestamp": "2026-11-22T12:00:00Z"}));
        assert!(shown.changes(&Event::Apply(ends.clone())), "on its way out");
        assert!(shown.changes(&Event::Apply(policy(&json!({"uid": "u-2"})))), "another one");
        assert!(shown.changes(&Event::Delete(ends)));
    }

    #[test]
    fn a_fingerprint_is_computed_once_until_something_changes() {
        let sightings = Sightings::default();
        let ask = |generation, compute: Option<u64>| {
            let mut asked = false;
            let answer = sightings.fingerprint("u-1", Some(generation), || {
                asked = true;
                compute
            });
            (answer, asked)
        };
        assert_eq!(ask(1, None), (None, true), "not known yet, and not kept");
        assert_eq!(ask(1, Some(7)), (Some(7), true));
        assert_eq!(ask(1, Some(8)), (Some(7), false));
        assert_eq!(ask(2, Some(8)), (Some(8), true), "the policy itself was edited");
        sightings.changed();
        assert_eq!(ask(2, Some(9)), (Some(9), true), "another one was");
        sightings.retain(|uid| uid != "u-1");
        assert_eq!(ask(2, Some(10)), (Some(10), true));
    }
}
