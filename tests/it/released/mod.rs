//! What was published before still holds: its definition, its policies, and the way to the next version of the API.
//!
//! `crds/released` has the definition of each version, `tests/golden` policies as they were stored under it.

mod breaks;
mod crd;
mod golden;
mod two_versions;

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::world::path;

/// The definition of each version that was published, by its name.
fn definitions() -> BTreeMap<String, Value> {
    let entries = fs::read_dir(path("crds/released")).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    let read = |text: String| serde_saphyr::from_str(&text).unwrap();
    files
        .map(|file| (file.file_stem().unwrap().to_str().unwrap().to_owned(), read(fs::read_to_string(&file).unwrap())))
        .collect()
}

/// The schema of a definition that has one version.
fn schema(definition: &Value) -> &Value {
    &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}
