//! Walks the catalogue: each object of `objects.yaml` yields its images, each path is needed for one of them.

use std::collections::BTreeSet;

use serde_json::Value;
use serde_json::value::to_raw_value;

use super::super::pod::Image;
use super::*;

fn objects() -> Vec<Value> {
    serde_saphyr::from_multiple(include_str!("objects.yaml")).unwrap()
}

fn rows_of(object: &Value) -> Vec<&'static CatalogueKind> {
    let text = |key: &str| object[key].as_str().unwrap().to_owned();
    let (api, kind) = (text("apiVersion"), text("kind"));
    let (group, version) = api.rsplit_once('/').unwrap_or(("", &api));
    let is = |row: &&CatalogueKind| row.group == group && row.kind == kind && row.versions.contains(&version);
    catalogue().filter(is).collect()
}

fn images(workload: &CustomWorkload, object: &Value) -> BTreeSet<String> {
    let object = to_raw_value(object).unwrap();
    let images = workload.images(&object).unwrap_or_else(|error| panic!("{workload}: {error} in {object}"));
    let named = images.into_iter().map(|image| match image {
        Image::Named(text) => text.into_owned(),
        Image::Reported { .. } => unreachable!("only nodes report images"),
    });
    named.collect()
}

/// What the annotation of the object says that it names, or else all texts in it that are images.
fn expected(object: &Value) -> BTreeSet<String> {
    fn collect(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::String(text) if text.starts_with("registry.example.com/") => {
                found.insert(text.clone());
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            Value::Object(values) => values.values().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    if let Some(images) = object["metadata"]["annotations"]["images"].as_str() {
        return images.split_whitespace().map(str::to_owned).collect();
    }
    let mut found = BTreeSet::new();
    collect(object, &mut found);
    found
}

#[test]
fn each_object_yields_its_images() {
    for object in objects() {
        let rows = rows_of(&object);
        assert_eq!(rows.len(), 1, "{object}");
        assert_eq!(images(&rows[0].workload().unwrap(), &object), expected(&object), "{object}");
    }
}

#[test]
fn each_path_of_each_kind_finds_an_image_that_no_other_path_finds() {
    let objects = objects();
    for row in catalogue() {
        let of_row: Vec<&Value> =
            objects.iter().filter(|object| rows_of(object).iter().any(|it| std::ptr::eq(*it, row))).collect();
        for path in row.paths.split(',') {
            let only = CatalogueKind { paths: path, ..*row }.workload().unwrap();
            let finds = of_row.iter().any(|object| !images(&only, object).is_empty());
            assert!(finds, "{} {}: no object shows {path}", row.project, row.kind);
        }
    }
}

#[test]
fn each_kind_is_there_once_and_has_a_definition_that_can_be_looked_up() {
    let mut seen = BTreeSet::new();
    for row in catalogue() {
        assert!(seen.insert((row.group, row.kind)), "{} {} is there twice", row.group, row.kind);
        assert!(!row.versions.is_empty() && row.resource.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
        assert!(row.source.contains("/blob/"), "{}", row.link());
    }
}

#[test]
fn a_kind_that_configuration_names_is_read_as_it_says() {
    let named = CustomWorkload::parse("argoproj.io/v1beta1/Rollout=spec.pods").unwrap();
    let all = and_catalogue(vec![named.clone()]).unwrap();
    let rollouts: Vec<_> = all.iter().filter(|it| it.kind() == "Rollout").collect();
    assert_eq!(rollouts, [&named]);
    assert_eq!(all.len(), catalogue().count());
    let labels = labels_besides(&[named]);
    assert!(!labels.contains(&"Rollout.argoproj.io".to_owned()), "{labels:?}");
    assert_eq!(labels.len() + 1, catalogue().count());
}
