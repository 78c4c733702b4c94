//! One large repository and the policies for it, for benchmarks of what decides.

#![allow(clippy::unwrap_used, reason = "a measurement that fails is to end")]

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use registry_cleanup_operator::api::Attachments;
use registry_cleanup_operator::model::Digest;
use registry_cleanup_operator::policy::tag::{Manifest, Moment, Tag};
use registry_cleanup_operator::policy::{CompileOptions, CompiledPolicy, compile};
use serde_json::{Value, json};

use super::names;

/// The oldest tag is two years old.
const OLDEST_SECONDS: u64 = 730 * 86_400;

/// The moment at which everything is decided.
pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_795_348_800).unwrap()
}

/// A policy with the method Exact, compiled as a run compiles it.
pub(super) fn policy(rules: &Value, with: Attachments) -> CompiledPolicy {
    let spec = json!({
        "gitlab": {"url": "https://gitlab.example.com", "secretRef": {"name": "token"}},
        "target": {"groups": [{"path": "shop"}]},
        "schedule": "17 3 * * *",
        "method": "Exact",
        "attachments": with,
        "rules": rules,
    });
    compile(&serde_json::from_value(spec).unwrap(), &CompileOptions::default(), now()).unwrap()
}

/// Groups, versions and ages.
pub(super) fn three_rules() -> Value {
    json!([
        {"name": "merge-requests", "nameRegexDelete": "mr-.*", "groupBy": "mr-([0-9]+)-.*", "keepN": 1, "olderThan": "7d"},
        {"name": "versions", "nameRegexDelete": "v[0-9].*", "sortBy": "SemVer", "keepN": 500},
        {"name": "commits", "nameRegexDelete": "[0-9a-f]{40}", "keepN": 1000, "olderThan": "30d"},
    ])
}

/// The tag with a number, whose age is told by another one.
pub(super) fn tag(number: u64, aged_as: u64) -> Tag {
    let age = SignedDuration::try_from(Duration::from_secs(names::scrambled(aged_as) % OLDEST_SECONDS)).unwrap();
    let pushed = Moment::At(now() - age);
    Tag {
        name: names::tag_name(number).into(),
        digest: Some(digest(number)),
        pushed,
        push_told: true,
        created: pushed,
        single_image: true,
        protected: false,
        bytes: Some(50_000_000),
        manifest: Manifest::default(),
    }
}

/// What a tag points to.
pub(super) fn digest(number: u64) -> Digest {
    format!("sha256:{number:064x}").into()
}
