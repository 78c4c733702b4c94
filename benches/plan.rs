//! What deciding about one large repository costs: 135,000 tags, within 0.15 s of CPU time; and playing ninety nights
//! over 125,000 tags with the search for the values that regret nothing, within 6 s.
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
use registry_cleanup_operator::policy::backtest::Backtest;
use registry_cleanup_operator::policy::compile::Rule;
use registry_cleanup_operator::policy::in_use::{Deployment, What};
use registry_cleanup_operator::policy::inventory::{Inventory, assemble};
use registry_cleanup_operator::policy::plan::attachments::{Children, Context};
use registry_cleanup_operator::policy::plan::exact::plan;
use registry_cleanup_operator::policy::tag::{Manifest, Moment, Tag};
use registry_cleanup_operator::policy::tag_protection::Claims;
use registry_cleanup_operator::policy::{CompileOptions, CompiledPolicy, Method, compile};
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

/// A policy with the method Exact and these rules, compiled as a run compiles it.
fn policy(rules: &Value) -> CompiledPolicy {
    let spec = json!({
        "gitlab": {"url": "https://gitlab.example.com", "secretRef": {"name": "token"}},
        "target": {"groups": [{"path": "shop"}]},
        "schedule": "17 3 * * *",
        "method": "Exact",
        "rules": rules,
    });
    let compiled = serde_json::from_value(spec).map(|spec| compile(&spec, &CompileOptions::default(), now()));
    match compiled {
        Ok(Ok(policy)) => policy,
        Ok(Err(problem)) => unreachable!("{}", problem.message),
        Err(error) => unreachable!("{error}"),
    }
}

fn rules(rules: &Value) -> Vec<Rule> {
    match policy(rules).method {
        Method::Exact(rules) => rules,
        Method::Bulk(rule) => vec![*rule],
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

/// What is played over: of twenty tags so many are signatures of the tag before them.
fn past(signatures: u64) -> Inventory {
    const PLAYED: u64 = 125_000;
    let signed = |number: u64| {
        let tag = tag(number);
        if number % 20 < signatures {
            let name = format!("sha256-{:064x}.sig", number.saturating_sub(1)).into();
            return Tag { name, ..tag };
        }
        tag
    };
    Inventory { read: (0..PLAYED).map(signed).collect(), ..Inventory::default() }
}

/// One tag of five hundred was deployed at some time in the last ninety days.
fn deployments() -> Vec<Deployment> {
    let deployment = |number: u64| Deployment {
        what: What::Tag(names::tag_name(number).into()),
        written: true,
        user: "prod/ReplicaSet/web".into(),
        at: now() - SignedDuration::from_hours(i64::try_from(names::scrambled(number) % (90 * 24)).unwrap_or(0)),
        again: false,
        until: None,
    };
    (0..250).map(|number| deployment(number * 500 + 7)).collect()
}

fn playing(bencher: Bencher<'_, '_>, by: &Value, signatures: u64) {
    let (inventory, policy, deployments, children) = (past(signatures), policy(by), deployments(), Children::new());
    let context = Context { with: Attachments::ByRule, children: &children, complete: true };
    let nights: Vec<Timestamp> = (0..90).rev().map(|night| now() - SignedDuration::from_hours(night * 24)).collect();
    bencher.with_inputs(|| inventory.clone()).bench_local_values(|inventory| {
        let played = Backtest::new(&policy, nights.clone());
        played.map(|mut played| {
            played.add("shop/web", black_box(inventory), context, &deployments);
            played.finish()
        })
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn ninety_nights_by_one_age_rule(bencher: Bencher<'_, '_>) {
    playing(bencher, &json!([{"name": "old", "nameRegexDelete": ".*", "olderThan": "30d", "keepN": 500}]), 0);
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn ninety_nights_by_three_rules(bencher: Bencher<'_, '_>) {
    playing(bencher, &three_rules(), 0);
}

/// What attachments cost besides, which is held to no budget.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn ninety_nights_with_a_signature_for_every_twentieth_tag(bencher: Bencher<'_, '_>) {
    playing(bencher, &three_rules(), 1);
}
