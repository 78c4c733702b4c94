//! Policies as they are listed and watched: what the operator looks at, and nothing of what else hangs on an object.
//!
//! Annotations may be 256 KiB, `managedFields` as much again for every field, and parsed as they are they take ten
//! times that. So they are skipped while the object is read, except for the annotations that ask the operator for
//! something, and for labels, of which a watch keeps those that say whose policy it is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::Value;

use crate::api::limits::MAX_TOKEN;
use crate::api::{
    APPROVE, DRY_RUN_REQUESTED_AT, PolicyStatus, RUN_REQUESTED_AT, RegistryCleanupPolicy, RegistryCleanupPolicySpec,
    TargetSpec, conditions, newer,
};

/// The annotations that are kept.
const OURS: [&str; 3] = [RUN_REQUESTED_AT, DRY_RUN_REQUESTED_AT, APPROVE];

/// A policy without what others hang onto it. One that cannot be read as a policy is an error of that object only.
#[derive(Clone, Debug)]
pub struct Watched(pub Result<RegistryCleanupPolicy, Box<Unreadable>>);

/// An object that cannot be read as a policy.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// What is wrong.
    pub error: String,
    /// Its metadata, as far as they are kept.
    pub metadata: ObjectMeta,
    /// Its status, if that can be read; of one that a newer operator wrote, the hours.
    pub status: Option<PolicyStatus>,
    /// What it looks after, if that can be read.
    pub target: Option<TargetSpec>,
}

/// An object before it is known whether it is a policy.
#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

/// Of the metadata what the operator asks for. Everything else is skipped unread.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "ours")]
    annotations: BTreeMap<String, String>,
}

impl From<Metadata> for ObjectMeta {
    fn from(from: Metadata) -> Self {
        Self {
            name: from.name,
            namespace: from.namespace,
            uid: from.uid,
            resource_version: from.resource_version,
            generation: from.generation,
            creation_timestamp: from.creation_timestamp,
            deletion_timestamp: from.deletion_timestamp,
            labels: from.labels.filter(|labels| !labels.is_empty()),
            annotations: (!from.annotations.is_empty()).then_some(from.annotations),
            ..Self::default()
        }
    }
}

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Object { metadata, spec, status } = Object::deserialize(deserializer)?;
        let metadata = ObjectMeta::from(metadata);
        let target = spec.get("target").cloned();
        // What this operator does not know may guard.
        let read_spec = match newer::unknown_field(&spec) {
            Some(unknown) => Err(unknown),
            None => serde_json::from_value::<RegistryCleanupPolicySpec>(spec).map_err(|error| error.to_string()),
        };
        let read_status = Option::<PolicyStatus>::deserialize(&status).map_err(|error| error.to_string());
        Ok(Self(match (read_spec, read_status) {
            (Ok(spec), Ok(status)) => Ok(RegistryCleanupPolicy { metadata, spec, status }),
            (spec, known) => {
                let error = spec.err().or(known.as_ref().err().cloned()).unwrap_or_default();
                let target = target.and_then(|target| serde_json::from_value(target).ok());
                let status = known.unwrap_or_else(|_| newer::hours(&status));
                Err(Box::new(Unreadable { error, metadata, status, target }))
            }
        }))
    }
}

impl Watched {
    /// Its status, where it has one that can be read.
    pub fn status_mut(&mut self) -> Option<&mut PolicyStatus> {
        match &mut self.0 {
            Ok(policy) => policy.status.as_mut(),
            Err(unreadable) => unreadable.status.as_mut(),
        }
    }

    /// Keeps the labels of these keys only.
    pub fn keep_labels(&mut self, keep: impl Fn(&str) -> bool) {
        let labels = &mut self.meta_mut().labels;
        if let Some(all) = labels {
            all.retain(|key, _| keep(key));
        }
        *labels = labels.take().filter(|labels| !labels.is_empty());
    }
}

/// Reads a map of annotations and keeps those that ask the operator for something. Values that are too long to be
/// honoured are cut, and still too long.
fn ours<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Ours;
    impl<'de> Visitor<'de> for Ours {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("annotations")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut kept = BTreeMap::new();
            while let Some(key) = map.next_key::<String>()? {
                if OURS.contains(&key.as_str()) {
                    let value: String = map.next_value()?;
                    kept.insert(key, cut(&value));
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(kept)
        }
    }
    deserializer.deserialize_any(Ours)
}

fn cut(value: &str) -> String {
    conditions::shorten(value, MAX_TOKEN + 4)
}

/// Takes off a policy that was read whole what a [`Watched`] would not have.
#[must_use]
pub fn without_the_rest(mut policy: RegistryCleanupPolicy) -> RegistryCleanupPolicy {
    let metadata = std::mem::take(&mut policy.metadata);
    let annotations = metadata.annotations.unwrap_or_default().into_iter();
    policy.metadata = ObjectMeta::from(Metadata {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        generation: metadata.generation,
        creation_timestamp: metadata.creation_timestamp,
        deletion_timestamp: metadata.deletion_timestamp,
        labels: metadata.labels,
        annotations: annotations
            .filter(|(key, _)| OURS.contains(&key.as_str()))
            .map(|(key, value)| (key, cut(&value)))
            .collect(),
    });
    policy
}

impl Resource for Watched {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(dynamic: &()) -> Cow<'_, str> {
        RegistryCleanupPolicy::kind(dynamic)
    }

    fn group(dynamic: &()) -> Cow<'_, str> {
        RegistryCleanupPolicy::group(dynamic)
    }

    fn version(dynamic: &()) -> Cow<'_, str> {
        RegistryCleanupPolicy::version(dynamic)
    }

    fn plural(dynamic: &()) -> Cow<'_, str> {
        RegistryCleanupPolicy::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Ok(policy) => &policy.metadata,
            Err(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(policy) => &mut policy.metadata,
            Err(unreadable) => &mut unreadable.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(changes: &Value) -> Value {
        let mut object = json!({
            "apiVersion": "registrycleanup.dev/v1alpha1",
            "kind": "RegistryCleanupPolicy",
            "metadata": {
                "name": "shop", "namespace": "team", "uid": "u-1", "resourceVersion": "7", "generation": 3,
                "creationTimestamp": "2026-11-22T12:00:00Z",
                "labels": {"app": "shop"},
                "annotations": {
                    "kubectl.kubernetes.io/last-applied-configuration": "x".repeat(200_000),
                    RUN_REQUESTED_AT: "now",
                    APPROVE: "a".repeat(100_000),
                },
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:annotations": {}}}}],
            },
            "spec": {
                "gitlab": {"url": "https://gitlab.example.com", "secretRef": {"name": "token"}, "timeout": "30s"},
                "target": {"projects": ["shop/backend"]},
                "rules": [{"name": "all", "nameRegexDelete": ".*", "keepN": 5}],
                "schedule": "17 3 * * *",
            },
            "status": {"observedGeneration": 3},
        });
        for (key, value) in changes.as_object().unwrap() {
            object[key] = value.clone();
        }
        object
    }

    fn read(object: &Value) -> Watched {
        serde_json::from_str(&object.to_string()).unwrap()
    }

    #[test]
    fn nothing_is_kept_of_the_metadata_but_what_is_asked_for() {
        let mut watched = read(&object(&json!({})));
        watched.keep_labels(|_| false);
        let meta = watched.meta();
        assert_eq!((meta.name.as_deref(), meta.namespace.as_deref()), (Some("shop"), Some("team")));
        assert_eq!((meta.uid.as_deref(), meta.resource_version.as_deref()), (Some("u-1"), Some("7")));
        assert_eq!(meta.generation, Some(3));
        assert!(meta.creation_timestamp.is_some() && meta.deletion_timestamp.is_none());
        assert!(meta.labels.is_none() && meta.managed_fields.is_none());
        let annotations = meta.annotations.clone().unwrap();
        assert_eq!(annotations.keys().map(String::as_str).collect::<Vec<_>>(), [APPROVE, RUN_REQUESTED_AT]);
        assert_eq!(annotations[RUN_REQUESTED_AT], "now");
        assert!(annotations[APPROVE].len() > MAX_TOKEN && annotations[APPROVE].len() < 300, "still too long");
        let policy = watched.0.unwrap();
        assert_eq!(policy.status.unwrap().observed_generation, Some(3));
    }

    #[test]
    fn a_policy_that_was_read_whole_keeps_the_same() {
        let whole: RegistryCleanupPolicy = serde_json::from_value(object(&json!({}))).unwrap();
        let watched = read(&object(&json!({}))).0.unwrap();
        assert_eq!(without_the_rest(whole).metadata, watched.metadata);
    }

    #[test]
    fn a_policy_without_status_or_annotations_is_one() {
        let metadata = json!({"name": "shop", "namespace": "team", "annotations": null});
        let watched = read(&object(&json!({"metadata": metadata, "status": null})));
        assert!(watched.0.unwrap().status.is_none());
    }

    #[test]
    fn of_an_object_that_is_no_policy_name_status_and_target_are_known() {
        let spec = json!({"target": {"projects": ["a/b"]}, "rules": 3});
        let unreadable = read(&object(&json!({ "spec": spec }))).0.unwrap_err();
        assert_eq!(unreadable.metadata.name.as_deref(), Some("shop"));
        assert_eq!(unreadable.status.unwrap().observed_generation, Some(3));
        assert_eq!(unreadable.target.unwrap().projects, ["a/b"]);
        assert!(!unreadable.error.is_empty());
        let unreadable = read(&object(&json!({"status": {"observedGeneration": "three"}}))).0.unwrap_err();
        assert!(unreadable.status.is_none() && unreadable.target.is_some());
    }

    #[test]
    fn an_event_of_a_watch_is_read_the_same_way() {
        let event = json!({"type": "MODIFIED", "object": object(&json!({}))}).to_string();
        let kube::api::WatchEvent::Modified(watched) = serde_json::from_str(&event).unwrap() else { panic!("{event}") };
        let watched: Watched = watched;
        assert_eq!(watched.meta().annotations.as_ref().map(BTreeMap::len), Some(2));
    }
}
