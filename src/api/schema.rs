//! Limits and CEL rules of the fields, as JSON schema. Each function is the schema of one field (`schema_with`).
//!
//! Every string and list is bounded: the API server estimates the cost of a CEL rule from these bounds, and status may not
//! grow without end. Every rule comes with a sentence that says what to do.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::conditions::Condition;
use super::policy::{GroupTarget, InUseSource, RuleSpec, TargetSpec};
use super::status::{EmptyRepository, HistoryEntry, RepositoryStatus};

/// Longest pattern, in bytes. Long enough for dozens of alternatives, short enough for the server's CEL cost limit.
pub(crate) const MAX_PATTERN: u32 = 512;
/// Most patterns in one list.
pub(crate) const MAX_PATTERNS: u32 = 20;
/// Most rules of a policy.
pub(crate) const MAX_RULES: u32 = 10;
/// Most repositories named in a status.
pub(crate) const MAX_REPOSITORIES: u32 = 50;
/// Most repositories without tags in a status.
pub(crate) const MAX_EMPTY_REPOSITORIES: u32 = 50;
/// Most projects with a cleanup policy of GitLab's own in a status.
pub(crate) const MAX_PROJECTS_WITH_CLEANUP_POLICY: u32 = 20;
/// Most policies with the same repositories in a status.
const MAX_OVERLAPPING_POLICIES: u32 = 20;
/// Longest namespace/name of a policy, in bytes (Kubernetes: 63 for the namespace, 253 for the name).
const MAX_POLICY_NAME: u32 = 317;
pub(crate) const MAX_UNUSED_REGISTRIES: u32 = 5;
/// Longest registry host in a status: a host name of 253 characters and a port.
const MAX_HOST: u32 = 260;
/// Most sample tags of a repository.
pub(crate) const MAX_SAMPLES: u32 = 10;
/// Most finished runs in a status.
pub(crate) const MAX_HISTORY: u32 = 20;
/// Longest message of a repository or of a finished run, in bytes.
pub(crate) const MAX_SHORT_MESSAGE: u32 = 256;
/// Longest summary of a run, in bytes.
pub(crate) const MAX_SHORT_TEXT: u32 = 64;
/// Longest repository path, in bytes (GitLab: a path of at most 255 for the project and 255 for the image name).
pub(crate) const MAX_REPOSITORY_PATH: u32 = 512;
/// Longest path of a project, in bytes.
pub(crate) const MAX_PROJECT_PATH: u32 = 255;
/// Longest tag name, in bytes (OCI distribution specification: 128 characters).
pub(crate) const MAX_TAG: u32 = 128;
/// Longest value of an annotation that asks for something, in bytes.
const MAX_TOKEN: u32 = 256;
/// Most of them in a status: the latest time, and ten others.
const MAX_HANDLED_REQUESTS: u32 = 11;
/// Longest address, in bytes.
const MAX_URL: u32 = 512;

/// Names of every shape a tag can have: a pattern that matches them all is taken to match every tag.
const PROBE_NAMES: &str =
    "['v1.2.3', 'main', 'a', '0', 'Z_9-x.y', 'mr-17-3f2a', '_', 'da39a3ee5e6b4b0d3255bfef95601890afd80709']";

fn rule(rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message })
}

fn text(max: u32) -> Schema {
    json_schema!({ "type": "string", "maxLength": max })
}

fn text_with_rules(max: u32, rules: &[Value]) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": max, "x-kubernetes-validations": rules })
}

fn list_of<T: JsonSchema>(generator: &mut SchemaGenerator, max: u32) -> Schema {
    json_schema!({ "type": "array", "maxItems": max, "items": generator.subschema_for::<T>(), "x-kubernetes-list-type": "atomic" })
}

fn map_of<T: JsonSchema>(generator: &mut SchemaGenerator, min: u32, max: u32, key: &str) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": min,
        "maxItems": max,
        "items": generator.subschema_for::<T>(),
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": [key],
    })
}

fn integer(format: &str, minimum: i64, maximum: i64) -> Schema {
    json_schema!({ "type": "integer", "format": format, "minimum": minimum, "maximum": maximum })
}

// --- spec ---

pub(crate) fn spec_rules() -> Value {
    json!([
        rule(
            "(has(self.method) && self.method == 'Exact') || (size(self.rules) == 1 && !has(self.rules[0].groupBy) && !has(self.rules[0].sortBy))",
            "several rules, groupBy and sortBy are more than GitLab's bulk deletion can do: set method: Exact, or keep to one rule without them"
        ),
        rule(
            "!has(self.mode) || self.mode != 'RequireApproval' || (has(self.method) && self.method == 'Exact')",
            "an approval is for exactly the tags of a plan, and GitLab's bulk deletion decides by itself: set method: Exact"
        ),
    ])
}

pub(crate) fn gitlab_rules() -> Value {
    json!([rule(
        "!has(self.url) || !self.url.startsWith('http:') || (has(self.insecure) && self.insecure)",
        "the address begins with http://, which sends the token readable by anybody on the way: use https://, or set insecure: true if you accept that"
    )])
}

pub(crate) fn gitlab_url(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(
        MAX_URL,
        &[
            rule(
                "!self.contains('@')",
                "put no user name or token into the address: the token belongs into the Secret that secretRef names",
            ),
            rule(
                "!self.contains('?') && !self.contains('#')",
                "leave the query and the fragment away: only the address of the instance is wanted, for example https://gitlab.example.com",
            ),
            rule(
                "(!self.contains('/..') && !self.contains('/./') && self.matches('^[A-Za-z0-9:/._~\\\\[\\\\]-]*$')) || self.contains('@') || self.contains('?') || self.contains('#')",
                "write the sub-path plainly, with letters, digits, -, ., _ and ~, without .. or encoded characters",
            ),
            rule(
                "self.matches('^https?://([A-Za-z0-9.-]+|\\\\[[0-9A-Fa-f:.]+\\\\])(:[0-9]{1,5})?(/(?s:.*))?$') || self.contains('@') || self.contains('?') || self.contains('#')",
                "give an absolute address that begins with https://, for example https://gitlab.example.com",
            ),
        ],
    )
}

pub(crate) fn timeout(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(
        8,
        &[rule(
            "self.matches('^([1-9][0-9]?s|[12][0-9]{2}s|[1-4]m)$')",
            "give seconds or minutes below five minutes, for example 30s or 2m",
        )],
    )
}

pub(crate) fn object_name(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(
        253,
        &[rule(
            "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
            "give the name of an object in the policy's own namespace: lower-case letters, digits, - and .",
        )],
    )
}

pub(crate) fn secret_key(_: &mut SchemaGenerator) -> Schema {
    key_of("Secret")
}

pub(crate) fn config_map_key(_: &mut SchemaGenerator) -> Schema {
    key_of("ConfigMap")
}

fn key_of(kind: &str) -> Schema {
    text_with_rules(
        253,
        &[rule(
            "self.matches('^[-._a-zA-Z0-9]+$') && !self.startsWith('..')",
            &format!("give a key of the {kind}: letters, digits, -, _ and ."),
        )],
    )
}

pub(crate) fn target(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<TargetSpec>();
    schema.insert(
        "x-kubernetes-validations".to_owned(),
        json!([rule(
            "(has(self.projects) && size(self.projects) > 0) || (has(self.groups) && size(self.groups) > 0)",
            "name at least one project in projects or one group in groups"
        )]),
    );
    schema
}

/// A full path as GitLab writes it: segments that begin with a letter, a digit or an underscore.
const FULL_PATH: &str = "^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$";
const PATH_MESSAGE: &str = "give the full path as it stands in GitLab's address bar, for example shop/backend: no leading or trailing slash, no . or .. segment, nothing encoded";

fn path_rule() -> Value {
    rule(&format!("self.matches('{FULL_PATH}') && !self.contains('..')"), PATH_MESSAGE)
}

pub(crate) fn projects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 100,
        "items": { "type": "string", "minLength": 1, "maxLength": MAX_PROJECT_PATH, "x-kubernetes-validations": [path_rule()] },
        "x-kubernetes-list-type": "set",
    })
}

pub(crate) fn groups(generator: &mut SchemaGenerator) -> Schema {
    map_of::<GroupTarget>(generator, 0, 50, "path")
}

pub(crate) fn group_path(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(255, &[path_rule()])
}

fn pattern_rule() -> Value {
    // A valid pattern answers true or false, an invalid one is an error, which `in` does not swallow. (`|| true` would.)
    rule(
        "'x'.matches(self) in [true, false]",
        "give a valid RE2 pattern (look-around and back-references do not exist there)",
    )
}

pub(crate) fn pattern(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(MAX_PATTERN, &[pattern_rule()])
}

pub(crate) fn patterns(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MAX_PATTERNS,
        "items": { "type": "string", "minLength": 1, "maxLength": MAX_PATTERN, "x-kubernetes-validations": [pattern_rule()] },
        "x-kubernetes-list-type": "set",
    })
}

pub(crate) fn registry_aliases(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        "self.matches('^(\\\\[[0-9A-Fa-f:]+\\\\]|[A-Za-z0-9][A-Za-z0-9.-]*)(:[0-9]{1,5})?(/[a-z0-9][a-z0-9._-]*)*$')",
        "give a host, with its port and a leading part of the path if need be, for example mirror.example.com/gitlab: no https://, no trailing slash",
    );
    json_schema!({
        "type": "array",
        "maxItems": MAX_PATTERNS,
        "items": { "type": "string", "minLength": 1, "maxLength": 255, "x-kubernetes-validations": [form] },
        "x-kubernetes-list-type": "set",
    })
}

pub(crate) fn in_use_from(generator: &mut SchemaGenerator) -> Schema {
    list_of::<InUseSource>(generator, 10)
}

pub(crate) fn rules(generator: &mut SchemaGenerator) -> Schema {
    map_of::<RuleSpec>(generator, 1, MAX_RULES, "name")
}

pub(crate) fn rule_rules() -> Value {
    json!([
        rule(
            "has(self.keepN) || has(self.olderThan)",
            "say what may go: set keepN (how many of the newest stay) or olderThan (which age may go), or both"
        ),
        rule(
            &format!(
                "!has(self.keepN) || self.keepN > 0 || has(self.nameRegexKeep) || has(self.olderThan) || !{PROBE_NAMES}.all(name, name.matches('^(?:' + self.nameRegexDelete + ')$'))"
            ),
            "this rule would remove every tag: set nameRegexKeep, olderThan or a keepN of at least 1, or narrow nameRegexDelete down"
        ),
    ])
}

pub(crate) fn rule_name(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(
        63,
        &[rule(
            "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "name the rule with lower-case letters, digits and -, for example merge-requests",
        )],
    )
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
    text_with_rules(
        32,
        &[rule(
            "self.matches('^([1-9][0-9]{0,4}(h|d|w|month|y))+$')",
            "give whole numbers with h, d, w, month or y, for example 14d or 1month (not m: GitLab reads 1m as one minute)",
        )],
    )
}

pub(crate) fn schedule(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(
        128,
        &[
            rule("!self.contains('TZ=')", "name the time zone in timeZone, not in the schedule"),
            rule(
                "self.startsWith('@') || self.contains('TZ=') || self.matches('^[^ ]+( +[^ ]+){4}$')",
                "give five fields (minute, hour, day of month, month, day of week), without seconds or years",
            ),
            rule(
                "!self.startsWith('@') || self in ['@hourly', '@daily', '@weekly', '@monthly', '@yearly']",
                "use @hourly, @daily, @weekly, @monthly or @yearly, or five fields",
            ),
            rule(
                "self.startsWith('@') || self.contains('TZ=') || self.matches('^[0-5]?[0-9]( |$)')",
                "give one number as the minute, for example \"17 3 * * *\": GitLab takes one bulk deletion per repository and hour",
            ),
            rule(
                "self.startsWith('@') || self.contains('TZ=') || self.matches('^[0-9A-Za-z*/,# -]+$')",
                "use numbers, names of months and days, and * / , - only",
            ),
        ],
    )
}

pub(crate) fn time_zone(_: &mut SchemaGenerator) -> Schema {
    text_with_rules(
        64,
        &[
            rule(
                "self.lowerAscii() != 'local'",
                "name a time zone, for example Europe/Berlin: what Local means depends on the machine",
            ),
            rule(
                "self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$')",
                "give the IANA name of a time zone, for example Europe/Berlin or Etc/UTC",
            ),
        ],
    )
}

pub(crate) fn starting_deadline_seconds(_: &mut SchemaGenerator) -> Schema {
    integer("int32", 10, 86_400)
}

pub(crate) fn active_deadline_seconds(_: &mut SchemaGenerator) -> Schema {
    integer("int32", 10, 86_400)
}

pub(crate) fn history_limit(_: &mut SchemaGenerator) -> Schema {
    integer("int32", 0, i64::from(MAX_HISTORY))
}

// --- status ---

pub(crate) fn generation(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": -1 })
}

pub(crate) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    map_of::<Condition>(generator, 0, 10, "type")
}

pub(crate) fn condition_type(_: &mut SchemaGenerator) -> Schema {
    text(64)
}

pub(crate) fn reason(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 64, "pattern": "^[A-Za-z]*$" })
}

pub(crate) fn message(_: &mut SchemaGenerator) -> Schema {
    text(1024)
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
        "maxItems": MAX_HANDLED_REQUESTS,
        "items": { "type": "string", "maxLength": MAX_TOKEN },
        "x-kubernetes-list-type": "atomic",
    })
}

pub(crate) fn plan_hash(_: &mut SchemaGenerator) -> Schema {
    text(64)
}

pub(crate) fn run_id(_: &mut SchemaGenerator) -> Schema {
    text(64)
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

pub(crate) fn repositories(generator: &mut SchemaGenerator) -> Schema {
    list_of::<RepositoryStatus>(generator, MAX_REPOSITORIES)
}

pub(crate) fn empty_repositories(generator: &mut SchemaGenerator) -> Schema {
    list_of::<EmptyRepository>(generator, MAX_EMPTY_REPOSITORIES)
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

pub(crate) fn history(generator: &mut SchemaGenerator) -> Schema {
    list_of::<HistoryEntry>(generator, MAX_HISTORY)
}
