//! The documentation of logs: exactly the keys that the source uses, and the schema of a line of the audit trail.

use std::collections::BTreeSet;
use std::fs;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use registry_cleanup_operator::api::Mode;
use registry_cleanup_operator::policy::audit::AuditVerdict;
use serde_json::{Value, json};

use crate::docs::{listed_in, words};
use crate::layers::all_sources;
use crate::world::path;

/// Keys that every line has, and those of a panic's line in words of its own.
const OF_EVERY_LINE: [&str; 4] = ["timestamp", "level", "message", "target"];

/// The keys of the documentation.
pub(crate) fn documented() -> BTreeSet<String> {
    listed_in("docs/logs.md", "## Keys").into_iter().collect()
}

/// The keys in the macros of `tracing` in some code.
fn used(code: TokenStream, keys: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = code.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let before: Vec<String> = tokens[at.saturating_sub(5)..at].iter().map(ToString::to_string).collect();
        match before.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["tracing", ":", ":", name, "!"] if *name != "subscriber" => arguments(group.stream(), keys),
            _ => used(group.stream(), keys),
        }
    }
}

/// The keys among the arguments of one macro: `key = value`, `%key`, `?key`, `key`.
fn arguments(code: TokenStream, keys: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = code.into_iter().collect();
    for argument in tokens.split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ',')) {
        let argument = match argument {
            [TokenTree::Punct(sigil), rest @ ..] if ['%', '?'].contains(&sigil.as_char()) => rest,
            whole => whole,
        };
        match argument {
            [TokenTree::Ident(key)] => {
                keys.insert(key.to_string());
            }
            [TokenTree::Ident(key), TokenTree::Punct(sign), ..] if sign.as_char() == '=' => {
                keys.insert(key.to_string());
            }
            _ => {}
        }
        for token in argument {
            if let TokenTree::Group(group) = token
                && group.delimiter() == Delimiter::Brace
            {
                used(group.stream(), keys);
            }
        }
    }
}

#[test]
fn the_keys_of_the_documentation_are_those_of_the_source() {
    let mut keys: BTreeSet<String> = OF_EVERY_LINE.map(str::to_owned).into();
    for (file, text) in all_sources() {
        let code = text.split("\n#[cfg(test)]\nmod tests").next().unwrap().to_owned();
        let tokens = code.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
        used(tokens, &mut keys);
    }
    assert_eq!(documented(), keys);
}

/// What is wrong with a value by a schema. It knows the keywords that ours uses, and no other.
pub(crate) fn complaints(schema: &Value, value: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for (keyword, rule) in schema.as_object().unwrap() {
        let fits = match keyword.as_str() {
            "$schema" | "title" | "description" => true,
            "type" => match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "string" => value.is_string(),
                "integer" => value.is_u64(),
                other => panic!("the type {other}"),
            },
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_u64() >= rule.as_u64(),
            "pattern" => {
                regex::Regex::new(rule.as_str().unwrap()).unwrap().is_match(value.as_str().unwrap_or_default())
            }
            "required" => rule.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
            "properties" => {
                for (key, below) in value.as_object().unwrap() {
                    let Some(rule) = rule.get(key) else { continue };
                    wrong.extend(complaints(rule, below).into_iter().map(|text| format!("{key}: {text}")));
                }
                true
            }
            "additionalProperties" => {
                assert_eq!(rule, &json!(false));
                value.as_object().unwrap().keys().all(|key| schema["properties"].get(key).is_some())
            }
            other => panic!("the keyword {other}"),
        };
        if !fits {
            wrong.push(format!("{keyword} {rule}"));
        }
    }
    wrong
}

/// The schema of a line of the audit trail.
pub(crate) fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string(path("docs/schema/audit.json")).unwrap()).unwrap()
}

#[test]
fn the_schema_of_the_audit_trail_has_the_words_and_keys_of_the_documentation() {
    let schema = schema();
    let all = words(AuditVerdict::ALL, AuditVerdict::as_str);
    assert_eq!(schema["properties"]["verdict"]["enum"], json!(all));
    let verdicts: Vec<String> = listed_in("docs/logs.md", "## The audit trail");
    assert_eq!(verdicts, all);
    let modes = [Mode::DryRun, Mode::RequireApproval, Mode::Delete].map(Mode::as_str);
    assert_eq!(schema["properties"]["mode"]["enum"], json!(modes));
    let keys: BTreeSet<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    assert!(keys.is_subset(&documented()), "{:?}", keys.difference(&documented()));
}

#[test]
fn a_line_that_is_none_of_the_audit_trail_does_not_fit_the_schema() {
    let line = json!({
        "timestamp": "2026-11-22T12:00:00.123456Z", "level": "INFO", "target": "audit", "message": "tag",
        "run": "20261122-120000-requested", "namespace": "team", "policy": "shop", "project": "shop/backend",
        "repository": "shop/backend/api", "tag": "v1", "mode": "Delete", "verdict": "Remove", "reason": "RuleMatches",
    });
    assert_eq!(complaints(&schema(), &line), [""; 0]);
    for (key, value) in [
        ("verdict", json!("Gone")),
        ("bytes", json!("12")),
        ("digest", json!("abc")),
        ("more", json!(1)),
        ("run", json!("r1")),
        ("target", json!("registry_cleanup_operator")),
    ] {
        let mut wrong = line.clone();
        wrong[key] = value;
        assert_ne!(complaints(&schema(), &wrong), [""; 0], "{key}");
    }
    let mut short = line;
    short.as_object_mut().unwrap().remove("run");
    assert_ne!(complaints(&schema(), &short), [""; 0]);
}
