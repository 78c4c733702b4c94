//! Which images manifests use that are in no cluster, or not yet: those that a chart renders, for example.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::custom::CustomWorkload;
use super::image_index::Index;
use super::kind::Kind;
use super::projection::{self, NoObject};
use crate::model::UsedImage;

/// What manifests use.
#[derive(Debug)]
pub struct Manifests {
    /// The images, in alphabetical order.
    pub images: Vec<UsedImage>,
    /// Objects of kinds that are not read, in which a text begins with a host that was asked for: `Kind/name`.
    pub unread: BTreeSet<String>,
}

/// Why it is not known which images manifests use.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum ManifestError {
    /// It is no YAML or JSON.
    #[error("it is not YAML: {0}")]
    Yaml(String),
    /// One of them is no object of Kubernetes.
    #[error("document {0} has no apiVersion, kind and metadata.name")]
    NoObject(usize),
    /// One of them is not as its kind is.
    #[error("{object} cannot be read: {why}")]
    Unreadable {
        /// `Kind/name`.
        object: String,
        /// What is odd about it.
        why: String,
    },
}

/// Reads one or several documents of YAML or JSON, also lists. Nothing of a Secret is looked at but its kind.
///
/// # Errors
/// When one of them cannot be read: a list that lacks its images would let them be removed.
pub fn read(text: &str, custom: &[CustomWorkload], hosts: &[&str]) -> Result<Manifests, ManifestError> {
    // Without excerpts of the text: it may hold a Secret.
    let options = serde_saphyr::options! { with_snippet: false };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| ManifestError::Yaml(error.to_string()))?;
    let (mut index, mut unread) = (Index::default(), BTreeSet::new());
    for (number, document) in documents.into_iter().enumerate() {
        for object in objects(document) {
            let names = Names::of(&object).ok_or(ManifestError::NoObject(number + 1))?;
            match names.kind(custom) {
                Some(kind) => add(&mut index, &kind, &names, object)?,
                None if names.kind != "Secret" && mentions(&object, hosts) => {
                    unread.insert(names.to_string());
                }
                None => {}
            }
        }
    }
    let images = index.images(Timestamp::MIN, SignedDuration::MAX, None);
    Ok(Manifests { images, unread })
}

/// The objects of a document; those of a list, if it is one.
fn objects(document: Value) -> Vec<Value> {
    let is_list = text(&document, &["kind"]).is_some_and(|kind| kind.ends_with("List"));
    match document {
        Value::Null => Vec::new(),
        Value::Object(mut list) if is_list && list.get("items").is_some_and(Value::is_array) => {
            let Some(Value::Array(items)) = list.remove("items") else { return Vec::new() };
            items.into_iter().flat_map(objects).collect()
        }
        object => vec![object],
    }
}

/// What an object is called.
struct Names {
    group: String,
    kind: String,
    name: String,
}

impl Names {
    fn of(object: &Value) -> Option<Self> {
        let group = text(object, &["apiVersion"])?.split_once('/').map_or("", |(group, _)| group).to_owned();
        // A hook of a chart may leave it to the API server.
        let name = text(object, &["metadata", "name"]).or_else(|| text(object, &["metadata", "generateName"]))?;
        Some(Self { group, kind: text(object, &["kind"])?.to_owned(), name: name.to_owned() })
    }

    /// How it is read, if it is; whatever the version.
    fn kind(&self, custom: &[CustomWorkload]) -> Option<Kind> {
        let is_built_in = |kind: &Kind| {
            kind.resource().is_some_and(|resource| resource.group == self.group && resource.kind == self.kind)
        };
        let built_in = Kind::BUILT_IN.into_iter().find(is_built_in);
        let named = || custom.iter().find(|custom| custom.group() == self.group && custom.kind() == self.kind);
        built_in.or_else(|| Some(Kind::Custom(named()?.clone().into())))
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// Each object is a source of its own, since one name may stand there twice.
fn add(index: &mut Index, kind: &Kind, names: &Names, mut object: Value) -> Result<(), ManifestError> {
    let unreadable = |why: String| ManifestError::Unreadable { object: names.to_string(), why };
    // Only the API server gives a version.
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.insert("resourceVersion".to_owned(), json!("0"));
        metadata.insert("name".to_owned(), json!(names.name));
    }
    let object = to_raw_value(&object).map_err(|error| unreadable(error.to_string()))?;
    let read = projection::read(kind, &object).map_err(|NoObject| unreadable("its metadata are odd".to_owned()))?;
    let uses = read.uses.map_err(|odd| unreadable(odd.to_string()))?;
    let source = index.add_source(kind.clone());
    index.apply(source, &read.meta.key(), 0, &uses);
    Ok(())
}

/// The text at these keys.
fn text<'a>(object: &'a Value, keys: &[&str]) -> Option<&'a str> {
    keys.iter().try_fold(object, |place, key| place.get(key))?.as_str()
}

/// Whether a text of the object begins with one of the hosts.
fn mentions(value: &Value, hosts: &[&str]) -> bool {
    match value {
        Value::String(text) => {
            let text = text.strip_prefix("oci://").unwrap_or(text);
            hosts.iter().any(|host| text.strip_prefix(host).is_some_and(|rest| rest.starts_with('/')))
        }
        Value::Array(values) => values.iter().any(|value| mentions(value, hosts)),
        Value::Object(values) => values.values().any(|value| mentions(value, hosts)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::cluster::workloads::catalogue;

    const HOSTS: [&str; 1] = ["registry.example.com"];

    fn read_all(text: &str) -> Result<Manifests, ManifestError> {
        read(text, &catalogue::and_catalogue(Vec::new()).unwrap(), &HOSTS)
    }

    const RENDERED: &str = "
# Source: shop/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {spec: {containers: [{image: 'registry.example.com/shop/web:1'}]}}}
---
---
apiVersion: v1
kind: List
items:
- apiVersion: batch/v1
  kind: Job
  metadata: {generateName: migrate-}
  spec: {template: {spec: {containers: [{image: 'registry.example.com/shop/db:1'}]}}}
- apiVersion: argoproj.io/v1alpha1
  kind: Rollout
  metadata: {name: web}
  spec: {template: {spec: {containers: [{image: 'registry.example.com/shop/web:2'}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {spec: {containers: [{image: 'registry.example.com/shop/web:3'}]}}}
---
apiVersion: example.com/v1
kind: Database
metadata: {name: main}
spec: {image: 'registry.example.com/shop/db:2'}
---
apiVersion: example.com/v1
kind: Database
metadata: {name: elsewhere}
spec: {image: 'registry.example.community/shop/db:2'}
---
apiVersion: v1
kind: Secret
metadata: {name: pull}
stringData: {image: 'registry.example.com/shop/secret:1'}
";

    #[test]
    fn all_images_of_the_kinds_that_are_read_are_found_and_others_that_may_name_some_are_told() {
        let found = read_all(RENDERED).unwrap();
        let images: Vec<(&str, &str)> = found.images.iter().map(|image| (&*image.image, &*image.users[0])).collect();
        assert_eq!(
            images,
            [
                ("registry.example.com/shop/db:1", "Job/migrate-"),
                ("registry.example.com/shop/web:1", "shop/Deployment/web"),
                ("registry.example.com/shop/web:2", "Rollout/web"),
                ("registry.example.com/shop/web:3", "shop/Deployment/web"),
            ]
        );
        assert_eq!(found.unread.iter().collect::<Vec<_>>(), ["Database/main"]);
    }

    #[rstest]
    #[case::no_yaml("a: [", "it is not YAML")]
    #[case::no_object("a: 1", "document 1 has no apiVersion, kind and metadata.name")]
    #[case::text("web", "document 1 has no")]
    #[case::odd(
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {}}",
        "Deployment/web cannot be read"
    )]
    #[case::odd_path(
        "{apiVersion: pkg.crossplane.io/v1, kind: Provider, metadata: {name: a}, spec: {}}",
        "Provider/a cannot be read: spec{package} is not understood"
    )]
    fn what_cannot_be_read_is_an_error(#[case] text: &str, #[case] words: &str) {
        let error = read_all(text).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
