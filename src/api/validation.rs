//! Compares a policy with the definition as the API server does: types, bounds, lists, and the rules that it is told in
//! CEL.
//!
//! For policies that no API server judged (a file), or one with another definition than this operator's. The schema
//! that is installed is the one that is read here, so no bound is written twice. The words are the API server's where
//! it has any.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::reasons::Reason;
use super::rules::Rule;
use super::{RegistryCleanupPolicySpec, crd};

/// One thing that is wrong with a policy, without its value, which may be a secret in the wrong field.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: {sentence}")]
pub struct Fault {
    /// The field, for example `spec.rules[0].keepN`.
    pub field: String,
    /// What is wrong, or what to do.
    pub sentence: String,
    /// The reason of the condition Stalled.
    pub reason: Reason,
}

impl Fault {
    fn new(field: String, sentence: String) -> Self {
        Self { field, sentence, reason: Reason::InvalidSpec }
    }
}

static DEFINITION: LazyLock<Result<Value, crd::Error>> = LazyLock::new(crd::definition);

/// Everything that the definition does not allow in a spec; nothing when it is sound. Whether patterns are valid is
/// left to `policy::pattern`.
#[must_use]
pub fn faults_of_spec(spec: &RegistryCleanupPolicySpec) -> Vec<Fault> {
    match serde_json::to_value(spec) {
        Ok(spec) => faults(&json!({ "spec": spec })),
        Err(error) => vec![Fault::new("spec".to_owned(), error.to_string())],
    }
}

/// The same for an object as it was written, without what every object has (`metadata` and so on). Fields that the
/// definition does not know are faults here.
pub(super) fn faults(object: &Value) -> Vec<Fault> {
    let schema = DEFINITION.as_ref().map(|crd| crd.pointer("/spec/versions/0/schema/openAPIV3Schema"));
    let mut faults = Vec::new();
    match schema {
        Ok(Some(schema)) => check(object, schema, "", &mut faults),
        // Neither happens, as tests show; if it did, nothing may pass.
        Ok(None) => faults.push(Fault::new("spec".to_owned(), "the definition has no schema".to_owned())),
        Err(error) => faults.push(Fault::new("spec".to_owned(), error.to_string())),
    }
    faults
}

/// The first field of a spec, as it is stored, that the definition does not know.
pub(super) fn unknown_field(spec: &Value) -> Option<String> {
    let definition = DEFINITION.as_ref().ok()?;
    unknown_below(spec, definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")?, "spec")
}

fn unknown_below(value: &Value, schema: &Value, field: &str) -> Option<String> {
    match value {
        Value::Object(object) => object.iter().find_map(|(name, member)| {
            let below = format!("{field}.{name}");
            match schema["properties"].get(name) {
                Some(schema) => unknown_below(member, schema, &below),
                None => Some(below),
            }
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| unknown_below(item, &schema["items"], &format!("{field}[{index}]"))),
        _ => None,
    }
}

fn check(value: &Value, schema: &Value, field: &str, faults: &mut Vec<Fault>) {
    let before = faults.len();
    let shown = if field.is_empty() { "policy" } else { field };
    let mut fault = |text: String| faults.push(Fault::new(shown.to_owned(), text));
    let expected = schema["type"].as_str().unwrap_or_default();
    let fits = match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        _ => true,
    };
    if !fits {
        fault(format!("must be of type {expected}"));
        return;
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        let list: Vec<String> = values.iter().map(Value::to_string).collect();
        fault(format!("Unsupported value: supported values: {}", list.join(", ")));
    }
    match value {
        Value::Object(object) => check_object(object, schema, field, faults),
        Value::Array(items) => check_list(items, schema, field, faults),
        Value::String(text) => {
            // Kubernetes counts characters, whatever its message says.
            let length = text.chars().count() as u64;
            if schema["minLength"].as_u64().is_some_and(|least| length < least) {
                fault(format!("should be at least {} chars long", schema["minLength"]));
            }
            if schema["maxLength"].as_u64().is_some_and(|most| length > most) {
                fault(format!("Too long: may not be more than {} bytes", schema["maxLength"]));
            }
        }
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or_default();
            if schema["minimum"].as_i64().is_some_and(|least| number < least) {
                fault(format!("should be greater than or equal to {}", schema["minimum"]));
            }
            if schema["maximum"].as_i64().is_some_and(|most| number > most) {
                fault(format!("should be less than or equal to {}", schema["maximum"]));
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
    // Rules are about values of the right shape; what is too long is not even looked at.
    if faults.len() == before {
        check_rules(value, schema, shown, faults);
    }
}

fn check_rules(value: &Value, schema: &Value, field: &str, faults: &mut Vec<Fault>) {
    for told in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        match told["rule"].as_str().and_then(Rule::of) {
            Some(rule) if rule.holds(value) => {}
            Some(rule) => {
                let sentence = rule.sentence(told["message"].as_str().unwrap_or_default(), value);
                faults.push(Fault { field: field.to_owned(), sentence, reason: rule.reason });
            }
            // A test excludes it.
            None => faults.push(Fault::new(field.to_owned(), "has a rule that the operator does not know".to_owned())),
        }
    }
}

fn check_object(object: &Map<String, Value>, schema: &Value, field: &str, faults: &mut Vec<Fault>) {
    let below = |name: &str| if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(name) {
            faults.push(Fault::new(below(name), "Required value".to_owned()));
        }
    }
    let Some(known) = schema["properties"].as_object() else { return };
    for (name, member) in object {
        if let Some(schema) = known.get(name) {
            check(member, schema, &below(name), faults);
        } else {
            let names: Vec<&str> = known.keys().map(String::as_str).filter(|name| *name != "status").collect();
            faults.push(Fault::new(below(name), format!("there is no such field, but {}", names.join(", "))));
        }
    }
}

fn check_list(items: &[Value], schema: &Value, field: &str, faults: &mut Vec<Fault>) {
    let mut fault = |text: String| faults.push(Fault::new(field.to_owned(), text));
    let size = items.len() as u64;
    if schema["minItems"].as_u64().is_some_and(|least| size < least) {
        fault(format!("should have at least {} items", schema["minItems"]));
    }
    if schema["maxItems"].as_u64().is_some_and(|most| size > most) {
        // What it holds is not looked at: it may be as long as an object in the cluster can be.
        fault(format!("Too many: {size}: must have at most {} items", schema["maxItems"]));
        return;
    }
    let keys: Vec<&str> =
        schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let is_set = schema["x-kubernetes-list-type"] == "set";
    for (index, item) in items.iter().enumerate() {
        check(item, &schema["items"], &format!("{field}[{index}]"), faults);
        let same = |other: &Value| {
            (is_set && other == item)
                || (!keys.is_empty()
                    && keys.iter().all(|key| item.get(key).is_some() && other.get(key) == item.get(key)))
        };
        if items.iter().take(index).any(same) {
            faults.push(Fault::new(format!("{field}[{index}]"), "Duplicate value: duplicate entries".to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(rules: &Value) -> RegistryCleanupPolicySpec {
        let spec = json!({
            "gitlab": {"secretRef": {"name": "token"}},
            "target": {"groups": [{"path": "shop"}]},
            "rules": rules,
            "schedule": "17 3 * * *",
        });
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn a_sound_spec_has_no_faults() {
        assert_eq!(faults_of_spec(&spec(&json!([{"name": "r", "nameRegexDelete": "v.*", "keepN": 0}]))), []);
    }

    #[test]
    fn a_rule_that_removes_everything_is_told_in_the_words_of_the_definition() {
        let faults = faults_of_spec(&spec(&json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 0}])));
        let sentence = "spec.rules[0]: this rule would remove every tag: set nameRegexKeep, olderThan or a keepN of \
                        at least 1, or narrow nameRegexDelete down";
        assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), [sentence]);
    }

    /// Each rule here would be a fault of its own, and so would be each of its pairs.
    #[test]
    fn of_what_is_beyond_all_bounds_nothing_is_looked_at() {
        let rule = json!({"name": "r", "nameRegexDelete": "a".repeat(513), "keepN": 0});
        let faults = faults_of_spec(&spec(&vec![rule.clone(); 100_000].into()));
        assert_eq!(
            faults,
            [Fault::new("spec.rules".to_owned(), "Too many: 100000: must have at most 10 items".to_owned())]
        );
        let faults = faults_of_spec(&spec(&json!([rule])));
        let field = "spec.rules[0].nameRegexDelete".to_owned();
        assert_eq!(faults, [Fault::new(field, "Too long: may not be more than 512 bytes".to_owned())]);
    }
}
