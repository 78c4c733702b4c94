//! What deciding about one large repository costs: 135,000 tags, within 0.15 s of CPU time.
//!
//! ```console
//! $ cargo bench --bench plan
//! ```

#[path = "clean/names.rs"]
mod names;

use std::time::Duration;

use divan::{Bencher, black_box};
use jiff::{SignedDuration, Timestamp};
use registry_cleanup_operator::api::Attachments;
use registry_cleanup_operator::policy::compile::Rule;
use registry_cleanup_operator::policy::inventory::{Inventory, assemble};
use registry_cleanup_operator::policy::plan::attachments::{Children, Context};
use registry_cleanup_operator::policy::plan::exact::plan;
use registry_cleanup_operator::policy::tag::{Manifest, Moment, Tag};
use registry_cleanup_operator::policy::tag_protection::Claims;
use registry_cleanup_operator::policy::{CompileOptions, Method, compile};
use serde_json::{Value, json};

/// The largest repository that is promised to work well.
const TAGS: u64 = 135_000;
/// The oldest tag is two years old.
const OLDEST_SECONDS: u64 = 730 * 86_400;

fn main() {
    divan::main();
}

fn now() -> Timestamp {
    Timestamp::from_second(1_795_348_800).unwrap_or_default()
}

/// The rules of a policy with the method Exact, compiled as a run compiles them.
fn rules(rules: &Value) -> Vec<Rule> {
    let spec = json!({
        "gitlab": {"url": "https://gitlab.example.com", "secretRef": {"name": "token"}},
        "target": {"groups": [{"path": "shop"}]},
        "schedule": "17 3 * * *",
        "method": "Exact",
        "rules": rules,
    });
    let compiled = serde_json::from_value(spec).map(|spec| compile(&spec, &CompileOptions::default(), now()));
    match compiled {
        Ok(Ok(policy)) => match policy.method {
            Method::Exact(rules) => rules,
            Method::Bulk(rule) => vec![*rule],
        },
        Ok(Err(problem)) => unreachable!("{}", problem.message),
        Err(error) => unreachable!("{error}"),
    }
}

fn three_rules() -> Value {
    json!([
        {"name": "merge-requests", "nameRegexDelete": "mr-.*", "groupBy": "mr-([0-9]+)-.*", "keepN": 1, "olderThan": "7d"},
        {"name": "versions", "nameRegexDelete": "v[0-9].*", "sortBy": "SemVer", "keepN": 500},
        {"name": "commits", "nameRegexDelete": "[0-9a-f]{40}", "keepN": 1000, "olderThan": "30d"},
    ])
}

fn tag(number: u64) -> Tag {
    let age = Duration::from_secs(names::scrambled(number) % OLDEST_SECONDS);
    let age = SignedDuration::try_from(age).unwrap_or_default();
    let pushed = now().checked_sub(age).map_or(Moment::Unknown, Moment::At);
    Tag {
        name: names::tag_name(number).into(),
        digest: Some(format!("sha256:{number:064x}").into()),
        pushed,
        push_told: true,
        created: pushed,
        single_image: true,
        protected: false,
        bytes: Some(50_000_000),
        manifest: Manifest::default(),
    }
}

fn inventory() -> Inventory {
    Inventory { read: (0..TAGS).map(tag).collect(), ..Inventory::default() }
}

/// The tags, as a plan takes them, and the plan itself.
fn planning(bencher: Bencher<'_, '_>, by: &Value) {
    let (inventory, rules) = (inventory(), rules(by));
    let (claims, children) = (Claims::default(), Children::new());
    let context = Context { with: Attachments::ByRule, children: &children, complete: true };
    bencher
        .with_inputs(|| inventory.clone())
        .bench_local_values(|inventory| plan(black_box(inventory), &rules, &[], &claims, context, now()));
}

#[divan::bench]
fn plan_one_age_rule(bencher: Bencher<'_, '_>) {
    planning(bencher, &json!([{"name": "old", "nameRegexDelete": ".*", "olderThan": "30d"}]));
}

#[divan::bench]
fn plan_three_rules_with_groups_and_versions(bencher: Bencher<'_, '_>) {
    planning(bencher, &three_rules());
}

/// A third was read, everything was listed.
#[divan::bench]
fn assemble_what_was_read_and_the_names(bencher: Bencher<'_, '_>) {
    let whole = inventory();
    let names: Vec<Box<str>> = whole.read.iter().map(|tag| tag.name.clone()).collect();
    let read: Vec<Tag> = whole.read.into_iter().take(45_000).collect();
    bencher
        .with_inputs(|| (read.clone(), names.clone()))
        .bench_local_values(|(read, names)| assemble(read, false, Some(names)));
}
