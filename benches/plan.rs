//! What deciding about one large repository costs: 135,000 tags, within 0.15 s of CPU time.
//!
//! ```console
//! $ cargo bench --bench plan
//! ```

#[path = "support/large.rs"]
mod large;
#[path = "clean/names.rs"]
mod names;

use divan::{Bencher, black_box};
use registry_cleanup_operator::api::Attachments;
use registry_cleanup_operator::policy::Method;
use registry_cleanup_operator::policy::compile::Rule;
use registry_cleanup_operator::policy::inventory::{Inventory, assemble};
use registry_cleanup_operator::policy::plan::attachments::{Children, Context};
use registry_cleanup_operator::policy::plan::exact::plan;
use registry_cleanup_operator::policy::tag::Tag;
use registry_cleanup_operator::policy::tag_protection::Claims;
use serde_json::{Value, json};

use large::{now, policy, three_rules};

/// The largest repository that is promised to work well.
const TAGS: u64 = 135_000;

fn main() {
    divan::main();
}

/// The rules of a policy.
fn rules(rules: &Value) -> Vec<Rule> {
    match policy(rules, Attachments::ByRule).method {
        Method::Exact(rules) => rules,
        Method::Bulk(rule) => vec![*rule],
    }
}

fn inventory() -> Inventory {
    Inventory { read: (0..TAGS).map(|number| large::tag(number, number)).collect(), ..Inventory::default() }
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
