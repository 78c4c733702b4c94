//! What comes out of whole backtests: by tables, and held against policies that are played one by one.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use jiff::SignedDuration;

use super::*;
use crate::api::Attachments;
use crate::model::Digest;
use crate::policy::compile::tests::spec;
use crate::policy::in_use::What;
use crate::policy::plan::attachments::Children;
use crate::policy::plan::exact;
use crate::policy::tag::{Manifest, Moment, Tag};
use crate::policy::tag_protection::Claims;
use crate::policy::{CompileOptions, compile};

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn days_ago(days: i64) -> Timestamp {
    now() - SignedDuration::from_hours(days * 24)
}

fn policy(rules: &Value, in_use: &str, limits: &Value) -> CompiledPolicy {
    let changes = json!({"method": "Exact", "rules": rules, "protect": {"inUse": in_use}, "limits": limits});
    compile(&spec(&changes), &CompileOptions::default(), now()).unwrap()
}

/// A tag that was pushed so many days and one minute ago, of ten bytes, with the image of a number.
fn tag(name: &str, days: i64, image: u8) -> Tag {
    let at = Moment::At(days_ago(days) - SignedDuration::from_mins(1));
    Tag {
        name: name.into(),
        digest: Some(digest(image)),
        pushed: at,
        push_told: true,
        created: at,
        single_image: true,
        protected: false,
        bytes: Some(10),
        manifest: Manifest::default(),
    }
}

fn digest(image: u8) -> Digest {
    format!("sha256:{image:064x}").into()
}

fn deployed(what: What, days: i64, until: Option<i64>) -> Deployment {
    let until = until.map(days_ago);
    Deployment { what, written: true, user: format!("a/Pod/{days}").into(), at: days_ago(days), again: false, until }
}

fn by_tag(name: &str, days: i64) -> Deployment {
    deployed(What::Tag(name.into()), days, None)
}

/// Plays the last so many nights, at noon.
fn findings(policy: &CompiledPolicy, nights: i64, tags: &[Tag], deployments: &[Deployment]) -> Findings {
    let children = Children::new();
    let context = Context { with: Attachments::ByRule, children: &children, complete: true };
    let mut backtest = Backtest::new(policy, (0..nights).rev().map(days_ago).collect()).unwrap();
    let inventory = Inventory { read: tags.to_vec(), ..Inventory::default() };
    backtest.add("shop/api", inventory, context, deployments);
    backtest.finish()
}

/// One tag a day: `t0` to `t29`, each with an image of its own.
fn thirty() -> Vec<Tag> {
    (0..30).map(|day| tag(&format!("t{day}"), i64::from(day), day)).collect()
}

fn older_than(days: u32) -> Value {
    json!([{"name": "old", "nameRegexDelete": ".*", "olderThan": format!("{days}d")}])
}

#[test]
fn the_first_night_takes_what_has_gathered_and_each_one_after_it_what_has_come_of_age() {
    let policy = policy(&older_than(7), "Required", &json!({}));
    let findings = findings(&policy, 10, &thirty(), &[]);
    let tags: Vec<u64> = findings.runs.iter().map(|run| run.tags).collect();
    // Nine days ago t16 and those before it were a week old.
    assert_eq!(tags, [14, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!((findings.runs[0].bytes, findings.runs[9].at), (140, now()));
    let outcome = Outcome { path: "shop/api".to_owned(), scanned: 30, removed: 23, bytes: 230 };
    assert_eq!((findings.repositories, findings.rules[0].removed), (vec![outcome], 23));
    assert_eq!((findings.regret.images.len(), findings.rules[0].tested), (0, false), "nothing is known to be deployed");
    assert_eq!((findings.rules[0].older_than, findings.rules[0].keep_n), (None, None));
}

#[test]
fn what_was_deployed_after_it_would_have_gone_is_named_with_what_would_have_kept_it() {
    let policy = policy(&older_than(7), "Required", &json!({}));
    // t12 comes of age seven days after it was pushed twelve days ago, and was deployed two days later.
    let objects = [by_tag("t12", 3), by_tag("t12", 2), by_tag("t9", 3), by_tag("gone", 3)];
    let findings = findings(&policy, 10, &thirty(), &objects);
    let expected = RegrettedImage {
        repository: "shop/api".to_owned(),
        tag: "t12".to_owned(),
        rule: Some(0),
        removed: days_ago(5),
        deployed: days_ago(3),
        again: false,
        user: "a/Pod/3".to_owned(),
        times: 2,
    };
    assert_eq!(findings.regret, Regret { images: vec![expected], kept_in_use: 0, unmatched: 1 });
    assert_eq!(findings.runs.iter().map(|run| run.regret).collect::<Vec<_>>(), [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    let rule = &findings.rules[0];
    assert_eq!((rule.removed, rule.regret, rule.tested), (23, 1, true));
    // With nine days it goes three days ago, at the moment at which it is deployed.
    assert_eq!(rule.older_than, Some(Advice { value: 9, removed: 21 }));
    // Four days ago t12 was the ninth of those that were there: t4 to t12.
    assert_eq!(rule.keep_n, Some(Advice { value: 9, removed: 21 }));
}

#[rstest]
#[case::as_the_policy_says("Required", 0, 1)]
#[case::unless_the_policy_says_otherwise("Disabled", 1, 0)]
fn what_still_uses_an_image_that_it_used_then_keeps_it(
    #[case] in_use: &str,
    #[case] regret: usize,
    #[case] kept_in_use: u64,
) {
    let policy = policy(&older_than(7), in_use, &json!({}));
    let findings = findings(&policy, 10, &thirty(), &[by_tag("t12", 6), by_tag("t12", 3)]);
    assert_eq!((findings.regret.images.len(), findings.regret.kept_in_use), (regret, kept_in_use));
}

#[test]
fn an_image_that_is_used_by_digest_is_there_as_long_as_one_of_its_tags() {
    let policy = policy(&older_than(7), "Required", &json!({}));
    let twins = [tag("old", 20, 1), tag("new", 8, 1)];
    let use_of = |image: u8, days: i64| deployed(What::Digest(digest(image)), days, None);
    let regretted = |days: i64| {
        let regret = findings(&policy, 10, &twins, &[use_of(1, days)]).regret;
        regret.images.into_iter().map(|image| image.tag).collect::<Vec<_>>()
    };
    // The younger goes one day ago.
    assert_eq!((regretted(2), regretted(0)), (vec![], vec!["new".to_owned()]));
}

#[test]
fn an_image_inside_of_an_index_is_one_of_the_tag_that_has_the_index() {
    let policy = policy(&older_than(7), "Required", &json!({}));
    let children: Children = [(digest(12), [digest(99)].into())].into_iter().collect();
    let context = Context { with: Attachments::ByRule, children: &children, complete: true };
    let mut backtest = Backtest::new(&policy, (0..10).rev().map(days_ago).collect()).unwrap();
    let inventory = Inventory { read: thirty(), ..Inventory::default() };
    backtest.add("shop/api", inventory, context, &[deployed(What::Digest(digest(99)), 3, None)]);
    let regret = backtest.finish().regret;
    assert_eq!((regret.images.len(), regret.images[0].tag.as_str(), regret.unmatched), (1, "t12", 0));
}

#[test]
fn limits_are_told_and_keep_nothing_from_being_played() {
    let limits = json!({"maxTagsPerRepository": 13});
    let of_repository = findings(&policy(&older_than(7), "Required", &limits), 10, &thirty(), &[]);
    let of_run = findings(&policy(&older_than(7), "Required", &json!({"maxTagsPerRun": 13})), 10, &thirty(), &[]);
    for findings in [of_repository, of_run] {
        let exceeded: Vec<bool> = findings.runs.iter().map(|run| run.exceeded).collect();
        assert!(exceeded[0] && !exceeded[1..].contains(&true), "{exceeded:?}");
        assert_eq!(findings.runs[1].tags, 1);
    }
}

#[test]
fn bulk_deletion_has_no_past() {
    let policy = compile(&spec(&json!({"method": "Bulk"})), &CompileOptions::default(), now()).unwrap();
    assert!(Backtest::new(&policy, vec![now()]).is_none());
}

/// Up to twelve tags in two groups, some of the same day and some of the same image.
fn some_tags() -> impl Strategy<Value = Vec<Tag>> {
    let one = (prop::sample::select(vec!["a", "b"]), 0_i64..14, 0_u8..6);
    proptest::collection::vec(one, 1..12).prop_map(|all| {
        let named =
            |(number, (group, days, image)): (usize, (&str, i64, u8))| tag(&format!("{group}-v{number}"), days, image);
        all.into_iter().enumerate().map(named).collect()
    })
}

fn some_deployments() -> impl Strategy<Value = Vec<Deployment>> {
    let by_name = (prop::sample::select(vec!["a", "b"]), 0_usize..12)
        .prop_map(|(group, number)| What::Tag(format!("{group}-v{number}").into()));
    let what = prop_oneof![2 => by_name, 1 => (0_u8..6).prop_map(|image| What::Digest(digest(image)))];
    let one = (what, 0_i64..14, prop::option::weighted(0.4, 0_i64..3));
    let deployment =
        |(what, days, lasts): (What, i64, Option<i64>)| deployed(what, days, lasts.map(|lasts| days - lasts));
    proptest::collection::vec(one.prop_map(deployment), 0..6)
}

fn some_rule() -> impl Strategy<Value = Value> {
    let more = prop::sample::select(vec![
        json!({"olderThan": "3d"}),
        json!({"keepN": 1}),
        json!({"olderThan": "2d", "keepN": 2}),
        json!({"olderThan": "2d", "keepN": 1, "groupBy": "([ab])-.*"}),
        json!({"keepN": 1, "sortBy": "Name", "groupBy": "([ab])-.*"}),
    ]);
    more.prop_map(|more| {
        let mut rule = json!({"name": "all", "nameRegexDelete": ".*", "nameRegexKeep": "a-v3"});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rule
    })
}

fn with(rule: &Value, field: &str, value: Value) -> Value {
    let mut rule = rule.clone();
    rule[field] = value;
    json!([rule])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn each_night_takes_what_a_plan_of_its_own_takes_over_what_is_left(tags in some_tags(), rule in some_rule()) {
        let policy = policy(&json!([rule]), "Required", &json!({}));
        let findings = findings(&policy, 12, &tags, &[]);
        let children = Children::new();
        let context = Context { with: Attachments::ByRule, children: &children, complete: true };
        let mut left = tags;
        for run in findings.runs {
            let inventory = Inventory { read: left.clone(), ..Inventory::default() };
            let plan = exact::plan(inventory, policy.method.rules(), &[], &Claims::default(), context, run.at);
            prop_assert_eq!((run.tags, run.bytes), (plan.removals(), plan.bytes()));
            let gone: Vec<&str> = plan.removed().map(|tag| &*tag.name).collect();
            left.retain(|tag| !gone.contains(&&*tag.name));
        }
    }

    /// Each value by a policy that has it.
    #[test]
    fn no_smaller_value_is_without_regret_and_none_above_it_has_some(
        tags in some_tags(),
        rule in some_rule(),
        deployments in some_deployments(),
        in_use in prop::sample::select(vec!["Required", "Disabled"]),
    ) {
        let regretless = |rules: &Value| {
            let findings = findings(&policy(rules, in_use, &json!({})), 12, &tags, &deployments);
            (findings.regret.images.is_empty(), findings.rules[0].removed)
        };
        let found = findings(&policy(&json!([rule]), in_use, &json!({})), 12, &tags, &deployments).rules.remove(0);
        prop_assume!(found.tested);
        let days = |days: u32| regretless(&with(&rule, "olderThan", json!(format!("{days}d"))));
        let number = |number: u32| regretless(&with(&rule, "keepN", json!(number)));
        let advice = found.older_than.unwrap();
        prop_assert_eq!(days(advice.value), (true, advice.removed));
        for value in 1..18 {
            prop_assert_eq!(days(value).0, value >= advice.value, "olderThan {}", value);
        }
        let advice = found.keep_n.unwrap();
        prop_assert_eq!(number(advice.value), (true, advice.removed));
        for value in 0..14 {
            prop_assert_eq!(number(value).0, value >= advice.value, "keepN {}", value);
        }
    }
}
