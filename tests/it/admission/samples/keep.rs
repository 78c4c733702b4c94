//! Samples of patterns that are to keep tags and would keep none.

use serde_json::json;

use super::{Refused, refused};

/// What people write who mean another language, wherever a pattern keeps.
pub(crate) fn by_keep_pattern() -> Vec<Refused> {
    let wrong = [
        ("v.+|main\n", "no tag name has a space or a line break"),
        ("v.+ | main", "no tag name has a space or a line break"),
        (r"^(latest|v\\d+\\.\\d+|main)$", "two backslashes stand for a backslash"),
        ("v.+,main", "write | between alternatives"),
        ("shop/web:v.+", "give the tag alone, without the path of its repository"),
        ("v*", "* repeats the one character before it"),
        ("main|release-*", "* repeats the one character before it"),
    ];
    let mut all = Vec::new();
    for (pattern, sentence) in wrong {
        let (rule, protect) = ("spec.rules[0].nameRegexKeep", "spec.protect.nameRegex[0]");
        all.push(refused(pattern, "/rules/0/nameRegexKeep", json!(pattern), rule, sentence));
        all.push(refused(pattern, "/protect", json!({"nameRegex": [pattern]}), protect, sentence));
    }
    all
}

/// Patterns that look like those and can keep.
pub(crate) const KEEPING: [&str; 6] = ["v.*", r"[^/]+-rc[^,]*", r"v\d{1,3}", "v[0-9]*", "(?i)release.*", r"v1\.\d*"];
