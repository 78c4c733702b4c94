//! Since when objects of the cluster run their images: what is told of that by those that are still there.
//!
//! Pods, `ReplicaSet`s, `ControllerRevision`s and Jobs keep the images that they were created with, so that the moment
//! of their creation is one at which somebody deployed these. Of other kinds nothing tells since when they name what
//! they name.
//!
//! A rollout that is undone makes no new object: Kubernetes takes the old `ReplicaSet` or `ControllerRevision` again,
//! and gives it the highest number of a revision. So one with a higher number than another that is younger was returned
//! to after that one was created.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::ListParams;
use serde_json::value::RawValue;

use super::json_path::Text;
use super::kind::Kind;
use super::options::{Options, Scope};
use super::pod::Image;
use super::projection::{self, NoObject};
use super::requests::{self, WatchError};
use super::watch_state::{Gap, url};
use crate::model::DatedImage;

/// The kinds that are created with their images and keep them.
const KINDS: [Kind; 4] = [Kind::ReplicaSet, Kind::ControllerRevision, Kind::Job, Kind::Pod];
/// Objects in a page of a list: a page is held whole while it is read.
const PAGE_SIZE: u32 = 50;

/// What is wanted of an object besides its images.
#[derive(serde::Deserialize)]
struct Dated<'a> {
    #[serde(borrow)]
    metadata: Meta<'a>,
    /// Of a `ControllerRevision`.
    #[serde(default)]
    revision: Option<i64>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    namespace: Text<'a>,
    #[serde(borrow, default)]
    creation_timestamp: Text<'a>,
    #[serde(borrow, default)]
    owner_references: Option<Vec<Owner<'a>>>,
    #[serde(borrow, default)]
    annotations: Option<Annotations<'a>>,
}

#[derive(serde::Deserialize)]
struct Owner<'a> {
    #[serde(borrow, default)]
    uid: Text<'a>,
    #[serde(default)]
    controller: Option<bool>,
}

#[derive(serde::Deserialize)]
struct Annotations<'a> {
    /// Where a Deployment notes the number of a revision at its `ReplicaSet`.
    #[serde(rename = "deployment.kubernetes.io/revision", borrow, default)]
    revision: Text<'a>,
}

/// A revision of a workload.
#[derive(Clone, Debug)]
struct Revision {
    number: i64,
    created: Timestamp,
    images: Vec<DatedImage>,
}

/// What is found, kind by kind.
struct Found<'r> {
    reader: Option<&'r str>,
    finished_for: SignedDuration,
    images: Vec<DatedImage>,
    /// By the uid of the workload.
    revisions: HashMap<String, Vec<Revision>>,
}

/// Lists once what objects run, and since when. Those of other namespaces than the reader's are not named, if there is
/// a reader.
///
/// # Errors
/// With the first that cannot be listed or read: what is not known may be what was deployed.
pub async fn read(client: &Client, options: &Options, reader: Option<&str>) -> Result<Vec<DatedImage>, Gap> {
    let (images, revisions) = (Vec::new(), HashMap::new());
    let mut found = Found { reader, finished_for: options.finished_for, images, revisions };
    let namespaces: Vec<Option<&str>> = match &options.scope {
        Scope::All => vec![None],
        Scope::Namespaces(names) => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    for kind in KINDS {
        for namespace in &namespaces {
            list(client, &kind, *namespace, &mut found).await?;
        }
    }
    Ok(found.into_images())
}

async fn list(client: &Client, kind: &Kind, namespace: Option<&str>, found: &mut Found<'_>) -> Result<(), Gap> {
    let gap = |why: String, forbidden: bool| Gap {
        kind: kind.label(),
        namespace: namespace.map(str::to_owned),
        why,
        forbidden,
        passing: false,
        objects: None,
    };
    let failed = |error: WatchError| gap(error.to_string(), matches!(error, WatchError::Forbidden(_)));
    let Some(resource) = kind.resource() else { return Ok(()) };
    let url = url(&resource, namespace);
    let mut parameters = ListParams::default().limit(PAGE_SIZE);
    let mut body = Vec::new();
    loop {
        requests::list(client, &url, &parameters, false, &mut body).await.map_err(failed)?;
        let page = requests::page(&body).map_err(failed)?;
        for object in page.items() {
            found.take(kind, object).map_err(|NoObject| gap("an object cannot be read".to_owned(), false))?;
        }
        let Some(token) = page.next() else { return Ok(()) };
        parameters.continue_token = Some(token);
    }
}

impl Found<'_> {
    fn take(&mut self, kind: &Kind, object: &RawValue) -> Result<(), NoObject> {
        let Dated { metadata, revision } = serde_json::from_str(object.get()).map_err(|_| NoObject)?;
        let created = metadata.creation_timestamp.time().ok_or(NoObject)?;
        let uses = projection::read(kind, object)?.uses.map_err(|_| NoObject)?;
        let until = uses.finished.map(|end| end.checked_add(self.finished_for).unwrap_or(Timestamp::MAX));
        let by = self.named(kind, &metadata);
        let image = |image: Image<'_>| {
            let (image, id) = match image {
                Image::Named(name) => (name, None),
                Image::Reported { id, name } => (name, Some(id.into())),
            };
            DatedImage { image: image.into(), id, user: by.clone(), at: created, again: false, until }
        };
        let images: Vec<DatedImage> = uses.images.into_iter().map(image).collect();
        let number = metadata.annotations.and_then(|all| all.revision.0.parse().ok()).or(revision);
        let owner = metadata.owner_references.into_iter().flatten().find(|owner| owner.controller == Some(true));
        if let (Some(number), Some(owner)) = (number, owner) {
            let revision = Revision { number, created, images: images.clone() };
            self.revisions.entry(owner.uid.0.into_owned()).or_default().push(revision);
        }
        self.images.extend(images);
        Ok(())
    }

    fn named(&self, kind: &Kind, metadata: &Meta<'_>) -> Box<str> {
        let (namespace, name, kind) = (&metadata.namespace.0, &metadata.name.0, kind.name());
        match self.reader {
            Some(reader) if reader != namespace => format!("a {kind} of another namespace").into(),
            _ => format!("{namespace}/{kind}/{name}").into(),
        }
    }

    /// All images, with the revisions that were returned to.
    fn into_images(mut self) -> Vec<DatedImage> {
        for mut revisions in self.revisions.into_values() {
            revisions.sort_by_key(|revision| revision.number);
            let mut youngest = Timestamp::MIN;
            for Revision { created, images, .. } in revisions {
                if created < youngest {
                    let again = |image: DatedImage| DatedImage { at: youngest, again: true, ..image };
                    self.images.extend(images.into_iter().map(again));
                }
                youngest = youngest.max(created);
            }
        }
        self.images
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};

    use super::*;

    fn found(reader: Option<&str>, objects: &[(Kind, Value)]) -> Vec<(String, String, String, bool)> {
        let finished_for = SignedDuration::from_hours(24);
        let mut found = Found { reader, finished_for, images: Vec::new(), revisions: HashMap::new() };
        for (kind, object) in objects {
            found.take(kind, &to_raw_value(object).unwrap()).unwrap();
        }
        let images = found.into_images().into_iter();
        let mut told: Vec<_> = images
            .map(|image| (image.image.to_string(), image.user.to_string(), image.at.to_string(), image.again))
            .collect();
        told.sort();
        told
    }

    fn replica_set(name: &str, revision: &str, created: &str, image: &str) -> (Kind, Value) {
        let object = json!({
            "metadata": {"name": name, "namespace": "prod", "resourceVersion": "7", "creationTimestamp": created,
                "annotations": {"deployment.kubernetes.io/revision": revision, "other": "x"},
                "ownerReferences": [{"uid": "other"}, {"uid": "web", "controller": true}]},
            "spec": {"template": {"spec": {"containers": [{"name": "a", "image": image}]}}},
        });
        (Kind::ReplicaSet, object)
    }

    fn told(image: &str, user: &str, day: &str, again: bool) -> (String, String, String, bool) {
        (image.to_owned(), user.to_owned(), format!("2026-11-{day}T00:00:00Z"), again)
    }

    #[test]
    fn a_revision_that_was_returned_to_ran_again_after_the_youngest_of_those_before_it() {
        let sets = [
            replica_set("one", "4", "2026-11-01T00:00:00Z", "a:1"),
            replica_set("two", "2", "2026-11-03T00:00:00Z", "a:2"),
            replica_set("three", "3", "2026-11-05T00:00:00Z", "a:3"),
        ];
        let expected = [
            told("a:1", "prod/ReplicaSet/one", "01", false),
            told("a:1", "prod/ReplicaSet/one", "05", true),
            told("a:2", "prod/ReplicaSet/two", "03", false),
            told("a:3", "prod/ReplicaSet/three", "05", false),
        ];
        assert_eq!(found(None, &sets), expected);
        assert_eq!(found(Some("prod"), &sets), expected);
        let hidden = told("a:2", "a ReplicaSet of another namespace", "03", false);
        assert!(found(Some("team"), &sets).contains(&hidden));
    }

    #[test]
    fn a_controller_revision_has_a_number_of_its_own() {
        let revision = |name: &str, number: i64, created: &str, image: &str| {
            let object = json!({
                "metadata": {"name": name, "namespace": "prod", "resourceVersion": "7", "creationTimestamp": created,
                    "ownerReferences": [{"uid": "db", "controller": true}]},
                "revision": number,
                "data": {"spec": {"template": {"spec": {"containers": [{"image": image}]}}}},
            });
            (Kind::ControllerRevision, object)
        };
        let all =
            [revision("db-1", 3, "2026-11-01T00:00:00Z", "b:1"), revision("db-2", 2, "2026-11-03T00:00:00Z", "b:2")];
        assert!(found(None, &all).contains(&told("b:1", "prod/ControllerRevision/db-1", "03", true)));
        assert_eq!(found(None, &all).len(), 3);
    }

    #[test]
    fn what_does_not_say_when_it_was_created_is_not_passed_over() {
        let (kind, mut object) = replica_set("one", "1", "2026-11-01T00:00:00Z", "a:1");
        object["metadata"]["creationTimestamp"] = Value::Null;
        let finished_for = SignedDuration::ZERO;
        let mut found = Found { reader: None, finished_for, images: Vec::new(), revisions: HashMap::new() };
        assert!(found.take(&kind, &to_raw_value(&object).unwrap()).is_err());
    }
}
