//! What a newer definition refuses, or fills in otherwise, of what an older one took.
//!
//! The judgement is cautious: a pattern that is another one counts as tighter, since nothing here compares patterns.

use serde_json::Value;

/// Bounds that may grow, and bounds that may shrink.
const UPPER: [&str; 5] = ["maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum"];
const LOWER: [&str; 5] = ["minLength", "minItems", "minProperties", "minimum", "exclusiveMinimum"];
/// What has to be the same text: how lists and objects are merged, what numbers and strings look like.
const SAME: [&str; 8] = [
    "type",
    "default",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "nullable",
];
/// What may go, and may not come or become another.
const NARROWING: [&str; 3] = ["pattern", "format", "not"];

/// Where something breaks, and how.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Break {
    pub(super) path: String,
    pub(super) what: What,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum What {
    /// A field, a version or a selectable field that is not there any more.
    Gone,
    /// A field without which nothing is taken any more.
    Required(String),
    /// A bound, a pattern or a default.
    Changed(&'static str),
    /// A value of an enumeration that is not taken any more.
    NotTaken(String),
    /// A rule in CEL that was not there, by its sentence.
    Rule(String),
}

/// What breaks from one definition to another.
pub(super) fn of_definitions(older: &Value, newer: &Value) -> Vec<Break> {
    let mut found = Vec::new();
    for field in ["group", "scope", "names"] {
        if older["spec"][field] != newer["spec"][field] {
            found.push(Break { path: format!("spec.{field}"), what: What::Changed("name") });
        }
    }
    for version in list(&older["spec"]["versions"]) {
        let name = text(&version["name"]);
        let same = list(&newer["spec"]["versions"]).find(|other| other["name"] == name && other["served"] == true);
        let Some(same) = same else {
            found.push(Break { path: name.to_owned(), what: What::Gone });
            continue;
        };
        for field in list(&version["selectableFields"]) {
            if !list(&same["selectableFields"]).any(|other| other == field) {
                found.push(Break { path: text(&field["jsonPath"]).to_owned(), what: What::Gone });
            }
        }
        if version["subresources"] != same["subresources"] {
            found.push(Break { path: name.to_owned(), what: What::Changed("subresources") });
        }
        let root = |version: &Value| version["schema"]["openAPIV3Schema"].clone();
        of_schemas("", &root(version), &root(same), &mut found);
    }
    found.sort();
    found
}

fn of_schemas(path: &str, older: &Value, newer: &Value, found: &mut Vec<Break>) {
    let mut push = |what| found.push(Break { path: path.to_owned(), what });
    for (bounds, tighter) in [(UPPER, f64::lt as fn(&f64, &f64) -> bool), (LOWER, f64::gt)] {
        for bound in bounds {
            let Some(now) = newer[bound].as_f64() else { continue };
            if older[bound].as_f64().is_none_or(|before| tighter(&now, &before)) {
                push(What::Changed(bound));
            }
        }
    }
    for word in SAME.into_iter().filter(|word| older[word] != newer[word]) {
        push(What::Changed(word));
    }
    for word in NARROWING.into_iter().filter(|word| !newer[word].is_null() && older[word] != newer[word]) {
        push(What::Changed(word));
    }
    if newer["additionalProperties"] == false && older["additionalProperties"] != false {
        push(What::Changed("additionalProperties"));
    }
    for field in list(&newer["required"]).filter(|field| !list(&older["required"]).any(|other| other == *field)) {
        push(What::Required(text(field).to_owned()));
    }
    match (older["enum"].as_array(), newer["enum"].as_array()) {
        (None, Some(_)) => push(What::Changed("enum")),
        (Some(before), Some(now)) => {
            for value in before.iter().filter(|value| !now.contains(value)) {
                push(What::NotTaken(value.to_string()));
            }
        }
        _ => {}
    }
    let rules = "x-kubernetes-validations";
    for rule in list(&newer[rules]).filter(|rule| !list(&older[rules]).any(|other| other["rule"] == rule["rule"])) {
        push(What::Rule(text(&rule["message"]).to_owned()));
    }
    below(path, older, newer, found);
}

/// The fields, the items and the values of an object.
fn below(path: &str, older: &Value, newer: &Value, found: &mut Vec<Break>) {
    for (name, before) in older["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match newer["properties"].get(name) {
            Some(now) => of_schemas(&path, before, now, found),
            None => found.push(Break { path, what: What::Gone }),
        }
    }
    for (word, sign) in [("items", "[]"), ("additionalProperties", "{}")] {
        if older[word].is_object() {
            of_schemas(&format!("{path}{sign}"), &older[word], &newer[word], found);
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
