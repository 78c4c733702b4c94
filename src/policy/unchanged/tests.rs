//! When a repository is passed over, condition by condition; and that the same tags are gone whether it is or not.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::api::Attachments;
use crate::policy::compile::tests::spec;
use crate::policy::in_use::tests::of_shop_web;
use crate::policy::inventory::Inventory;
use crate::policy::plan::{Decision, PlannedName, PlannedTag, RemoveReason, TagPlan, attachments, exact};
use crate::policy::source::Source;
use crate::policy::tag::{Ages, Manifest, Tag};
use crate::policy::tag_protection::Claims;
use crate::policy::{CompileOptions, compile};

const DAY: i64 = 86_400;
const PATH: &str = "shop/web";

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn after(at: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(at.as_second() + seconds).unwrap()
}

fn policy(rules: &Value) -> CompiledPolicy {
    compile(&spec(&json!({"method": "Exact", "rules": rules})), &CompileOptions::default(), now()).unwrap()
}

fn thirty_days() -> CompiledPolicy {
    policy(&json!([{"name": "old", "nameRegexDelete": ".*", "olderThan": "30d"}]))
}

fn tag(name: &str, pushed: Timestamp) -> Tag {
    Tag {
        name: name.into(),
        pushed: Moment::At(pushed),
        push_told: true,
        created: Moment::At(pushed),
        digest: None,
        single_image: true,
        protected: false,
        bytes: None,
        manifest: Manifest::default(),
    }
}

fn plan_of(tags: TagPlan, extent: Extent, at: Timestamp) -> RepositoryPlan {
    let source = Source { graphql: true, ages: Some(Ages::LastPush), sorts_by_push: true, extent, at };
    RepositoryPlan { tags, source, claims: Claims::default(), leftover: None, rules: None }
}

/// A plan in which one tag, a day old, has this verdict.
fn of_verdict(verdict: Verdict) -> RepositoryPlan {
    let decision = Decision::new(verdict, Some(0));
    let read = vec![PlannedTag { tag: tag("v1", after(now(), -DAY)), decision, attached: None }];
    plan_of(TagPlan { read, ..TagPlan::default() }, Extent::All, now())
}

fn reading() -> Reading {
    Reading::of(&of_verdict(Verdict::Keep(KeepReason::TooYoung)), &thirty_days(), PATH, 3).unwrap()
}

#[test]
fn only_what_stays_by_itself_is_remembered() {
    let remembered = |verdict| Reading::of(&of_verdict(verdict), &thirty_days(), PATH, 3).is_some();
    let lasting: Vec<&str> = KeepReason::ALL
        .iter()
        .filter(|reason| remembered(Verdict::Keep(**reason)))
        .map(|reason| reason.as_str())
        .collect();
    let expected = [
        "Latest",
        "Protected",
        "NoRuleMatches",
        "KeptByPattern",
        "SubjectKept",
        "NoGroup",
        "NoVersion",
        "TooYoung",
        "WithinKeepN",
        "VersionTied",
    ];
    assert_eq!(lasting, expected);
    assert!(!remembered(Verdict::Remove(RemoveReason::RuleMatches)));
}

#[test]
fn where_tags_go_the_rest_is_remembered_unless_something_was_attached_to_them() {
    let decided = |name: &str, verdict, attached: bool| PlannedTag {
        tag: tag(name, after(now(), -DAY)),
        decision: Decision::new(verdict, Some(0)),
        attached: attached.then(Box::default),
    };
    let (goes, stays) = (Verdict::Remove(RemoveReason::RuleMatches), Verdict::Keep(KeepReason::TooYoung));
    let remembered = |read: Vec<PlannedTag>| {
        let plan = plan_of(TagPlan { read, ..TagPlan::default() }, Extent::All, now());
        Reading::of(&plan, &thirty_days(), PATH, 3).is_some()
    };
    assert!(remembered(vec![decided("v1", goes, false), decided("v2", stays, false)]));
    assert!(!remembered(vec![decided("v1", goes, false)]), "nothing is left");
    let in_use = decided("v3", Verdict::Keep(KeepReason::InUse), false);
    assert!(!remembered(vec![decided("v1", goes, false), decided("v2", stays, false), in_use]));
    let attached = decided("sha256-a.sig", Verdict::Keep(KeepReason::SubjectKept), true);
    assert!(!remembered(vec![decided("v1", goes, false), decided("v2", stays, false), attached.clone()]));
    assert!(remembered(vec![decided("v2", stays, false), attached]), "its image stays");
}

#[test]
fn a_repository_without_tags_and_the_method_bulk_are_not_remembered() {
    let empty = plan_of(TagPlan::default(), Extent::All, now());
    assert_eq!(Reading::of(&empty, &thirty_days(), PATH, 3), None);
    let rules = json!([{"name": "old", "nameRegexDelete": ".*", "olderThan": "30d"}]);
    let bulk = compile(&spec(&json!({"method": "Bulk", "rules": rules})), &CompileOptions::default(), now()).unwrap();
    assert_eq!(Reading::of(&of_verdict(Verdict::Keep(KeepReason::Latest)), &bulk, PATH, 3), None);
}

#[rstest]
#[case::the_next_night(PATH, 3, DAY, true)]
#[case::at_once(PATH, 3, 0, true)]
#[case::the_clock_was_set_back(PATH, 3, -1, false)]
#[case::almost_seven_days(PATH, 3, 7 * DAY - 1, true)]
#[case::seven_days(PATH, 3, 7 * DAY, false)]
#[case::the_policy_was_edited(PATH, 4, DAY, false)]
#[case::another_repository_has_its_id("shop/we", 3, DAY, false)]
fn a_reading_may_hold(#[case] path: &str, #[case] generation: i64, #[case] later: i64, #[case] holds: bool) {
    assert_eq!(reading().may_hold(path, generation, after(now(), later)), holds);
}

#[rstest]
#[case::long_before(Some(-DAY), true)]
#[case::just_before(Some(-301), true)]
#[case::by_as_much_as_clocks_may_differ(Some(-300), false)]
#[case::since(Some(60), false)]
#[case::nobody_knows(None, false)]
fn a_reading_is_newer_than_the_last_push(#[case] push: Option<i64>, #[case] newer: bool) {
    assert_eq!(reading().is_newer_than(push.map(|push| after(now(), push))), newer);
}

#[test]
fn a_tag_that_comes_of_age_ends_it_also_one_that_was_not_read() {
    let held = |plan: &RepositoryPlan, seconds| {
        Reading::of(plan, &thirty_days(), PATH, 3).is_some_and(|it| it.may_hold(PATH, 3, after(now(), seconds)))
    };
    let young = Decision::keep(KeepReason::TooYoung, Some(0));
    let read = |name: &str, days: i64, decision| {
        vec![PlannedTag { tag: tag(name, after(now(), -days * DAY)), decision, attached: None }]
    };
    let whole = plan_of(TagPlan { read: read("v1", 28, young), ..TagPlan::default() }, Extent::All, now());
    assert!(held(&whole, 2 * DAY - 1) && !held(&whole, 2 * DAY));
    // Of what was not read is only known that it is younger than a tag that no rule is about.
    let kept = Decision::keep(KeepReason::KeptByPattern, Some(0));
    let tags = TagPlan { read: read("kept", 28, kept), ..TagPlan::default() };
    let oldest = plan_of(tags.clone(), Extent::Oldest, now());
    assert!(held(&oldest, 2 * DAY - 1) && !held(&oldest, 2 * DAY));
    let newer = vec![PlannedName { name: "v9".into(), decision: young }];
    let named = plan_of(TagPlan { newer, ..tags.clone() }, Extent::All, now());
    assert!(held(&named, 2 * DAY - 1) && !held(&named, 2 * DAY));
    assert!(held(&plan_of(tags, Extent::All, now()), 7 * DAY - 1));
    // Nothing that was read says how old the others are.
    let newer = vec![PlannedName { name: "v9".into(), decision: young }];
    assert!(!held(&plan_of(TagPlan { newer, ..TagPlan::default() }, Extent::All, now()), 0));
}

/// What happens on a day, at a second of it.
#[derive(Clone, Debug)]
enum Happens {
    Push(u8, i64),
    /// Somebody begins or ceases to use a tag.
    Use(u8),
    /// The policy gets other rules.
    Edit(usize),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        3 => (0_u8..8, 0..DAY).prop_map(|(name, second)| Happens::Push(name, second)),
        // Around the reading.
        1 => (0_u8..8, DAY - 400..DAY + 1).prop_map(|(name, second)| Happens::Push(name, second)),
        2 => (0_u8..8).prop_map(Happens::Use),
        1 => (0_usize..4).prop_map(Happens::Edit),
    ]
}

fn policies() -> Vec<CompiledPolicy> {
    let rule = |more: Value| {
        let mut rule = json!({"name": "r", "nameRegexDelete": "t[0-6]"});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        policy(&json!([rule]))
    };
    vec![
        rule(json!({"olderThan": "9d"})),
        rule(json!({"olderThan": "2d"})),
        rule(json!({"keepN": 2})),
        rule(json!({"keepN": 1, "olderThan": "5d", "nameRegexKeep": "t3"})),
    ]
}

/// A repository that is cleaned each night.
#[derive(Clone, Default)]
struct Nights {
    tags: BTreeMap<String, Timestamp>,
    reading: Option<Reading>,
    passed_over: usize,
}

impl Nights {
    fn clean(
        &mut self,
        policy: &CompiledPolicy,
        generation: i64,
        used: &BTreeSet<String>,
        last: Option<Timestamp>,
        at: Timestamp,
    ) {
        let holds = |reading: &Reading| reading.may_hold(PATH, generation, at) && reading.is_newer_than(last);
        if self.reading.as_ref().is_some_and(holds) {
            self.passed_over += 1;
            return;
        }
        let Method::Exact(rules) = &policy.method else { unreachable!() };
        let mut read: Vec<Tag> = self.tags.iter().map(|(name, pushed)| tag(name, *pushed)).collect();
        let mut extent = Extent::All;
        if rules.iter().all(|rule| rule.keep_n.is_none()) {
            // Up to the cut-off, and the rest of a page.
            read.sort_by_key(|tag| tag.pushed);
            let cutoff = at.checked_sub(rules[0].older_than.as_ref().unwrap().duration()).unwrap();
            let old = read.iter().filter(|tag| tag.pushed <= Moment::At(cutoff)).count();
            if old + 2 < read.len() {
                read.truncate(old + 2);
                extent = Extent::Oldest;
            }
        }
        let images: Vec<String> = used.iter().map(|name| format!("registry.example.com/shop/web:{name}")).collect();
        let images: Vec<(&str, &str)> = images.iter().map(|image| (image.as_str(), "prod/Pod/a")).collect();
        let claims = Claims::new(of_shop_web(&images), read.iter().map(|tag| (&*tag.name, None)), false);
        let children = attachments::Children::new();
        let context =
            attachments::Context { with: Attachments::ByRule, children: &children, complete: extent == Extent::All };
        let inventory = Inventory { read, ..Inventory::default() };
        let tags = exact::plan(inventory, rules, &policy.protect, &claims, context, at);
        let plan = RepositoryPlan { claims, ..plan_of(tags, extent, at) };
        self.reading = Reading::of(&plan, policy, PATH, generation);
        for gone in plan.tags.removed() {
            self.tags.remove(&*gone.name);
        }
    }
}

proptest! {
    /// With and without passing it over, the same tags are gone after each of 60 nights.
    #[test]
    fn the_same_tags_are_gone_after_sixty_nights(
        days in proptest::collection::vec(proptest::collection::vec(happens(), 0..2), 60),
        quiet in 1_usize..6,
    ) {
        let policies = policies();
        let (mut reads, mut passes) = (Nights::default(), Nights::default());
        let (mut used, mut policy, mut generation, mut last) = (BTreeSet::new(), 0, 1, None::<Timestamp>);
        for (day, all) in days.into_iter().enumerate() {
            let morning = after(now(), i64::try_from(day).unwrap() * DAY);
            // Most days nothing happens.
            for happens in all.into_iter().filter(|_| day % quiet == 0) {
                match happens {
                    Happens::Push(name, second) => {
                        let at = after(morning, second);
                        for nights in [&mut reads, &mut passes] {
                            nights.tags.insert(format!("t{name}"), at);
                        }
                        last = last.max(Some(at));
                    }
                    Happens::Use(name) => {
                        let name = format!("t{name}");
                        if !used.remove(&name) {
                            used.insert(name);
                        }
                    }
                    Happens::Edit(to) => (policy, generation) = (to, generation + 1),
                }
            }
            let night = after(morning, DAY);
            reads.reading = None;
            reads.clean(&policies[policy], generation, &used, last, night);
            passes.clean(&policies[policy], generation, &used, last, night);
            prop_assert_eq!(&reads.tags, &passes.tags, "day {}", day);
        }
        prop_assert_eq!(reads.passed_over, 0);
    }
}

#[test]
fn a_repository_in_which_nothing_happens_is_read_once_in_seven_nights() {
    let mut nights = Nights::default();
    nights.tags.insert("t1".to_owned(), after(now(), -DAY));
    let policy = thirty_days();
    let policies = policies();
    for night in 1..=21 {
        nights.clean(&policies[2], 1, &BTreeSet::new(), Some(after(now(), -DAY)), after(now(), night * DAY));
    }
    assert_eq!(nights.passed_over, 18);
    nights.clean(&policy, 2, &BTreeSet::new(), Some(after(now(), -DAY)), after(now(), 22 * DAY));
    assert_eq!(nights.passed_over, 18, "the policy was edited");
}

#[test]
fn a_pass_over_a_part_of_the_tags_is_not_remembered() {
    let mut plan = of_verdict(Verdict::Keep(KeepReason::TooYoung));
    plan.source.extent = Extent::Pass { until: now() };
    assert_eq!(Reading::of(&plan, &thirty_days(), PATH, 3), None);
}
