//! The fields as JSON schema: their limits, which are in `limits`, and which rules they have. Each function is the
//! schema of one field (`schema_with`).
//!
//! Every string and list is bounded: the API server estimates the cost of a CEL rule from these bounds, and status may
//! not grow without end. The rules themselves are in `rules`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::limits::{
    MARK_DIGITS, MAX_EMPTY_REPOSITORIES, MAX_EXCLUDE_WINDOWS, MAX_HANDLED_TEXTS, MAX_HISTORY, MAX_HOST, MAX_MARKS,
    MAX_MESSAGE, MAX_OVERLAPPING_POLICIES, MAX_PATTERN, MAX_PATTERNS, MAX_POLICY_NAME, MAX_PROJECT_PATH, MAX_PROJECTS,
    MAX_PROJECTS_WITH_CLEANUP_POLICY, MAX_REPOSITORIES, MAX_REPOSITORY_PATH, MAX_RESERVED_HOURS, MAX_RULES,
    MAX_SAMPLES, MAX_SHORT_MESSAGE, MAX_SHORT_TEXT, MAX_TAG, MAX_TOKEN, MAX_UNUSED_REGISTRIES, MAX_URL,
};
use super::rules::Place;

fn text(max: usize) -> Schema {
    json_schema!({ "type": "string", "maxLength": max })
}

fn text_with_rules(max: usize, place: Place) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": max,
        "x-kubernetes-validations": place.validations() })
}

fn set_of(most: usize, max: usize, place: Place) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": most,
        "items": text_with_rules(max, place),
        "x-kubernetes-list-type": "set",
    })
}

fn list_of<T: JsonSchema>(generator: &mut SchemaGenerator, max: usize) -> Schema {
    json_schema!({ "type": "array", "maxItems": max, "items": generator.subschema_for::<T>(),
        "x-kubernetes-list-type": "atomic" })
}

fn map_of<T: JsonSchema>(generator: &mut SchemaGenerator, min: usize, max: usize, key: &str) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": min,
        "maxItems": max,
        "items": generator.subschema_for::<T>(),
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": [key],
    })
}

fn integer(format: &str, minimum: usize, maximum: usize) -> Schema {
    json_schema!({ "type": "integer", "format": format, "minimum": minimum, "maximum": maximum })
}

// --- spec ---

pub(crate) fn spec_rules() -> Value {
    Place::Spec.validations()
}

pub(crate) fn gitlab_rules() -> Value {
    Place::GitLab.validations()
}

pub(crate) fn rule_rules() -> Value {
    Place::Rule.validations()
}

pub(crate) fn gitlab_url(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(MAX_URL, Place::Address)
}

pub(crate) fn timeout(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(8, Place::Timeout)
}

pub(crate) fn object_name(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(253, Place::ObjectName)
}

pub(crate) fn secret_key(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(253, Place::SecretKey)
}

pub(crate) fn config_map_key(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(253, Place::ConfigMapKey)
}

pub(crate) fn target<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<T>();
    schema.insert("x-kubernetes-validations".to_owned(), Place::Target.validations());
    schema
}

pub(crate) fn projects(_: &mut SchemaGenerator) -> Schema {
    set_of(MAX_PROJECTS, MAX_PROJECT_PATH, Place::Path)
}

pub(crate) fn groups<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    map_of::<T>(generator, 0, 50, "path")
}

pub(crate) fn group_path(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(MAX_PROJECT_PATH, Place::Path)
}

pub(crate) fn pattern(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(MAX_PATTERN, Place::Pattern)
}

pub(crate) fn patterns(_: &mut SchemaGenerator) -> Schema {
    set_of(MAX_PATTERNS, MAX_PATTERN, Place::Pattern)
}

pub(crate) fn keep_pattern(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(MAX_PATTERN, Place::KeepPattern)
}

pub(crate) fn keep_patterns(_: &mut SchemaGenerator) -> Schema {
    set_of(MAX_PATTERNS, MAX_PATTERN, Place::KeepPattern)
}

pub(crate) fn registry_aliases(_: &mut SchemaGenerator) -> Schema {
    set_of(MAX_PATTERNS, 255, Place::Alias)
}

pub(crate) fn in_use_from<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    list_of::<T>(generator, 10)
}

pub(crate) fn rules<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    map_of::<T>(generator, 1, MAX_RULES, "name")
}

pub(crate) fn rule_name(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(63, Place::RuleName)
}

pub(crate) fn keep_n(_: &mut SchemaGenerator) -> Schema {
    integer("int32", 0, 100_000)
}

pub(crate) fn tag_limit(_: &mut SchemaGenerator) -> Schema {
    integer("int32", 1, 1_000_000)
}

pub(crate) fn percent(_: &mut SchemaGenerator) -> Schema {
    integer("int32", 1, 100)
}

pub(crate) fn older_than(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(32, Place::Age)
}

pub(crate) fn schedule(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(128, Place::Schedule)
}

pub(crate) fn time_zone(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(64, Place::TimeZone)
}

pub(crate) fn exclude_windows<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    map_of::<T>(generator, 0, MAX_EXCLUDE_WINDOWS, "name")
}

pub(crate) fn exclude_window_rules() -> Value {
    Place::ExcludeWindow.validations()
}

pub(crate) fn window_name(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(63, Place::WindowName)
}

pub(crate) fn window_duration(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(8, Place::WindowDuration)
}

pub(crate) fn moment(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(25, Place::Moment)
}

pub(crate) fn starting_deadline_seconds(_: &mut SchemaGenerator) -> Schema {
    integer("int32", 10, 86_400)
}

pub(crate) fn active_deadline_seconds(_: &mut SchemaGenerator) -> Schema {
    integer("int32", 10, 86_400)
}

pub(crate) fn history_limit(_: &mut SchemaGenerator) -> Schema {
    integer("int32", 0, MAX_HISTORY)
}

// --- status ---

pub(crate) fn generation(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": -1 })
}

pub(crate) fn conditions<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    map_of::<T>(generator, 0, 16, "type")
}

pub(crate) fn condition_type(_: &mut SchemaGenerator) -> Schema {
    text(64)
}

pub(crate) fn reason(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 64, "pattern": "^[A-Za-z]*$" })
}

pub(crate) fn message(_: &mut SchemaGenerator) -> Schema {
    text(MAX_MESSAGE)
}

pub(crate) fn short_message(_: &mut SchemaGenerator) -> Schema {
    text(MAX_SHORT_MESSAGE)
}

pub(crate) fn short_text(_: &mut SchemaGenerator) -> Schema {
    text(MAX_SHORT_TEXT)
}

pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "maxLength": 40 })
}

pub(crate) fn count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 0 })
}

pub(crate) fn tag_count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
}

pub(crate) fn id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
}

pub(crate) fn token(_: &mut SchemaGenerator) -> Schema {
    text(MAX_TOKEN)
}

pub(crate) fn handled_requests(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        // The latest time, and the texts.
        "maxItems": MAX_HANDLED_TEXTS + 1,
        "items": { "type": "string", "maxLength": MAX_TOKEN },
        "x-kubernetes-list-type": "atomic",
    })
}

pub(crate) fn plan_hash(_: &mut SchemaGenerator) -> Schema {
    text(64)
}

pub(crate) fn tag_marks(_: &mut SchemaGenerator) -> Schema {
    text(MAX_MARKS * MARK_DIGITS)
}

/// Name (253) and uid (36) of a Pod, a number of 16 digits, and what is between them.
pub(crate) fn holder_identity(_: &mut SchemaGenerator) -> Schema {
    text(310)
}

pub(crate) fn run_id(_: &mut SchemaGenerator) -> Schema {
    text(64)
}

/// Kubernetes makes them of 36 characters.
pub(crate) fn uid(_: &mut SchemaGenerator) -> Schema {
    text(64)
}

pub(crate) fn registry_host(_: &mut SchemaGenerator) -> Schema {
    text(MAX_HOST)
}

pub(crate) fn reserved_hours<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    list_of::<T>(generator, MAX_RESERVED_HOURS)
}

pub(crate) fn url_text(_: &mut SchemaGenerator) -> Schema {
    text(MAX_URL)
}

pub(crate) fn repository_path(_: &mut SchemaGenerator) -> Schema {
    text(MAX_REPOSITORY_PATH)
}

pub(crate) fn samples(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MAX_SAMPLES,
        "items": { "type": "string", "maxLength": MAX_TAG },
        "x-kubernetes-list-type": "atomic",
    })
}

pub(crate) fn repositories<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    list_of::<T>(generator, MAX_REPOSITORIES)
}

pub(crate) fn empty_repositories<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    list_of::<T>(generator, MAX_EMPTY_REPOSITORIES)
}

pub(crate) fn projects_with_cleanup_policy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MAX_PROJECTS_WITH_CLEANUP_POLICY,
        "items": { "type": "string", "maxLength": MAX_PROJECT_PATH },
        "x-kubernetes-list-type": "atomic",
    })
}

pub(crate) fn overlapping_policies(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MAX_OVERLAPPING_POLICIES,
        "items": { "type": "string", "maxLength": MAX_POLICY_NAME },
        "x-kubernetes-list-type": "atomic",
    })
}

pub(crate) fn unused_registries(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MAX_UNUSED_REGISTRIES,
        "items": { "type": "string", "maxLength": MAX_HOST },
        "x-kubernetes-list-type": "atomic",
    })
}

pub(crate) fn history<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    list_of::<T>(generator, MAX_HISTORY)
}
