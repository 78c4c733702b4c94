//! The method Exact as tables, and as properties that hold for every repository.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::policy::compile::tests::spec;
use crate::policy::in_use::tests::{SHA_1, SHA_2, of_shop_web};
use crate::policy::tag::{Manifest, Tag};
use crate::policy::{CompileOptions, CompiledPolicy, Method, compile};

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn days_ago(days: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() - days * 86_400).unwrap()
}

fn policy(rules: &Value, protect: &[&str]) -> CompiledPolicy {
    let spec = spec(&json!({"method": "Exact", "rules": rules, "protect": {"nameRegex": protect}}));
    compile(&spec, &CompileOptions::default(), now()).unwrap()
}

/// Nothing is known of what indexes contain.
pub(in crate::policy::plan) fn context(with: Attachments) -> attachments::Context<'static> {
    static UNKNOWN: LazyLock<attachments::Children> = LazyLock::new(attachments::Children::new);
    attachments::Context { with, children: &UNKNOWN, complete: true }
}

fn planned(policy: &CompiledPolicy, tags: &[Tag], claims: &Claims) -> TagPlan {
    let Method::Exact(rules) = &policy.method else { unreachable!() };
    let inventory = Inventory { read: tags.to_vec(), ..Inventory::default() };
    plan(inventory, rules, &policy.protect, claims, context(policy.attachments), now())
}

fn decide(policy: &CompiledPolicy, tags: &[Tag]) -> Vec<Decision> {
    planned(policy, tags, &Claims::default()).iter().map(|(_, decision)| decision).collect()
}

fn tag(name: &str, days: i64) -> Tag {
    let moment = Moment::At(days_ago(days));
    Tag {
        name: name.into(),
        pushed: moment,
        push_told: true,
        created: moment,
        digest: None,
        single_image: false,
        protected: false,
        bytes: None,
        manifest: Manifest::default(),
    }
}

fn removed(policy: &CompiledPolicy, tags: &[Tag]) -> Vec<String> {
    let plan = planned(policy, tags, &Claims::default());
    let mut names: Vec<String> = plan.removed().map(|tag| tag.name.to_string()).collect();
    names.sort_unstable();
    names
}

#[test]
fn every_tag_gets_the_first_reason_that_holds_and_the_rule_that_decided() {
    use KeepReason as K;
    let rules = json!([
        {"name": "versions", "nameRegexDelete": "v.*", "nameRegexKeep": "v9.*", "keepN": 1, "olderThan": "7d"},
        {"name": "branches", "nameRegexDelete": "b-.*", "keepN": 1, "groupBy": "b-([a-z]+)-.*"},
        {"name": "rest", "nameRegexDelete": "v0|x.*", "keepN": 0},
    ]);
    let policy = policy(&rules, &["x1"]);
    let unknown = Moment::Unknown;
    let keep = |reason, rule| Decision::new(Verdict::Keep(reason), rule);
    let remove = |rule| Decision::new(REMOVE, Some(rule));
    let cases = [
        (tag("latest", 90), keep(K::Latest, None)),
        (tag("x1", 90), keep(K::Protected, None)),
        (tag("main", 90), keep(K::NoRuleMatches, None)),
        (tag("v9.1", 90), keep(K::KeptByPattern, Some(0))),
        (Tag { protected: true, ..tag("v1", 90) }, keep(K::ProtectedByGitLab, Some(0))),
        (tag("b-1", 90), keep(K::NoGroup, Some(1))),
        (Tag { pushed: unknown, ..tag("v2", 90) }, keep(K::DateUnknown, Some(0))),
        (tag("v3", 20), keep(K::WithinKeepN, Some(0))),
        (tag("v0", 90), remove(0)),
        (tag("b-a-1", 9), remove(1)),
        (tag("b-a-2", 8), keep(K::WithinKeepN, Some(1))),
        (tag("b-b-1", 50), keep(K::WithinKeepN, Some(1))),
        (Tag { pushed: unknown, ..tag("x2", 90) }, remove(2)),
    ];
    let tags: Vec<Tag> = cases.iter().map(|(tag, _)| tag.clone()).collect();
    let plan = planned(&policy, &tags, &Claims::default());
    let decided: Vec<(&str, Decision)> = plan.iter().map(|(tag, decision)| (tag.name, decision)).collect();
    let expected: Vec<(&str, Decision)> = cases.iter().map(|(tag, expected)| (&*tag.name, *expected)).collect();
    assert_eq!(decided, expected);
}

#[test]
fn what_was_pushed_after_the_moment_of_the_plan_stays_and_takes_no_place() {
    let policy = policy(&json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 1}]), &[]);
    // GitLab tells whole seconds, so that in the same second nobody knows which came first.
    for seconds in [0, 60] {
        let since = Moment::At(Timestamp::from_second(now().as_second() + seconds).unwrap());
        let tags = [tag("a", 9), tag("b", 8), Tag { pushed: since, ..tag("c", 0) }];
        assert_eq!(removed(&policy, &tags), ["a"]);
        assert_eq!(decide(&policy, &tags)[2].verdict, Verdict::Keep(KeepReason::PushedAgain));
    }
}

#[test]
fn what_is_in_use_stays_and_takes_no_place_however_it_is_used() {
    let policy = policy(&json!([{"name": "r", "nameRegexDelete": "v.*", "keepN": 1, "olderThan": "7d"}]), &[]);
    let digest = format!("registry.example.com/shop/web@{SHA_1}");
    let of = of_shop_web(&[("registry.example.com/shop/web:v3", "prod/Pod/a"), (&digest, "prod/Pod/b")]);
    let with = |name, digest: &str| Tag { digest: Some(digest.into()), ..tag(name, 9) };
    let older = Tag { digest: Some(SHA_2.into()), ..tag("v1", 10) };
    let mut tags = vec![older, with("v2", SHA_2), with("v3", SHA_2), with("v4", SHA_1), tag("v5", 9)];
    tags.push(with("main", SHA_1));
    let claims = Claims::new(of, tags.iter().map(|tag| (&*tag.name, tag.digest.as_ref())), false);
    let plan = planned(&policy, &tags, &claims);
    let verdicts: Vec<Verdict> = plan.iter().map(|(_, decision)| decision.verdict).collect();
    let [in_use, perhaps, newest] =
        [KeepReason::InUse, KeepReason::MayBeInUse, KeepReason::WithinKeepN].map(Verdict::Keep);
    assert_eq!(verdicts, [REMOVE, newest, in_use, in_use, perhaps, in_use]);
}

#[test]
fn a_tag_that_gitlab_protects_stays_and_takes_a_place_if_its_rank_is_known() {
    let rules = json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 1, "olderThan": "7d"}]);
    let protected = Tag { protected: true, ..tag("c", 8) };
    let tags = [tag("a", 20), tag("b", 9), protected.clone()];
    assert_eq!(removed(&policy(&rules, &[]), &tags), ["a", "b"]);
    let tags = [tag("a", 20), tag("b", 9), Tag { pushed: Moment::Unknown, ..protected.clone() }];
    assert_eq!(removed(&policy(&rules, &[]), &tags), ["a"]);
    let protects = Verdict::Keep(KeepReason::ProtectedByGitLab);
    assert!(
        [&protected, &tags[2]].iter().all(|tag| decide(&policy(&rules, &[]), &[(*tag).clone()])[0].verdict == protects)
    );
}

#[test]
fn young_tags_take_places_and_are_told_to_be_young() {
    let policy = policy(&json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 2, "olderThan": "7d"}]), &[]);
    let tags = [tag("a", 1), tag("b", 8), tag("c", 9), Tag { pushed: Moment::Newer, ..tag("d", 0) }];
    assert_eq!(removed(&policy, &tags), ["b", "c"]);
}

#[test]
fn versions_rank_as_versions_and_other_names_stay() {
    let rules = json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 2, "sortBy": "SemVer"}]);
    let tags = [tag("v1.10.0", 9), tag("v1.9.0", 1), tag("1.2.0", 1), tag("v2.0.0-rc.1", 1), tag("nightly", 90)];
    assert_eq!(removed(&policy(&rules, &[]), &tags), ["1.2.0", "v1.9.0"]);
}

#[test]
fn a_name_that_is_no_version_stays_also_where_nothing_is_counted() {
    let rules = json!([{"name": "r", "nameRegexDelete": ".*", "olderThan": "7d", "sortBy": "SemVer"}]);
    let tags = [tag("v1.0.0", 90), tag("nightly", 90)];
    assert_eq!(removed(&policy(&rules, &[]), &tags), ["v1.0.0"]);
    assert_eq!(decide(&policy(&rules, &[]), &tags)[1].verdict, Verdict::Keep(KeepReason::NoVersion));
}

#[test]
fn a_tag_goes_by_its_age_only_if_all_of_its_second_is_older() {
    let policy = policy(&json!([{"name": "r", "nameRegexDelete": ".*", "olderThan": "7d"}]), &[]);
    let Method::Exact(rules) = &policy.method else { unreachable!() };
    // GraphQL cuts 11:59:59.9 to 11:59:59.
    let second = Timestamp::from_second(days_ago(7).as_second() - 1).unwrap();
    let tags = vec![Tag { pushed: Moment::At(second), ..tag("a", 0) }];
    let goes = |milliseconds: i64| {
        let now = Timestamp::from_millisecond(now().as_millisecond() + milliseconds).unwrap();
        let inventory = Inventory { read: tags.clone(), ..Inventory::default() };
        plan(inventory, rules, &[], &Claims::default(), context(policy.attachments), now).removals() == 1
    };
    assert!(!goes(-1), "it may have been pushed 7 days ago less a tenth of a second");
    assert!(goes(0));
}

#[test]
fn names_and_creation_dates_rank_if_asked_to() {
    let by = |sort: &str| policy(&json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 1, "sortBy": sort}]), &[]);
    let tags = [
        Tag { created: Moment::At(days_ago(50)), ..tag("b", 1) },
        Tag { created: Moment::At(days_ago(2)), ..tag("a", 9) },
    ];
    assert_eq!(removed(&by("Name"), &tags), ["a"]);
    assert_eq!(removed(&by("PushedAt"), &tags), ["a"]);
    assert_eq!(removed(&by("CreatedAt"), &tags), ["b"]);
}

#[test]
fn a_tag_without_a_date_that_tells_anything_stays_and_takes_no_place() {
    let rules = json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 1, "olderThan": "7d"}]);
    for date in ["1970-01-01T00:00:00Z", "1980-01-01T00:00:00Z", "2026-11-22T12:00:01Z"] {
        let date: Timestamp = date.parse().unwrap();
        let moment = Moment::read(Some(date), now());
        for rules in [&rules, &json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 1}])] {
            let tags = [Tag { pushed: moment, ..tag("a", 0) }, tag("b", 9)];
            let kept = [KeepReason::DateUnknown, KeepReason::WithinKeepN].map(Verdict::Keep);
            let verdicts: Vec<Verdict> =
                decide(&policy(rules, &[]), &tags).iter().map(|decision| decision.verdict).collect();
            assert_eq!(verdicts, kept, "{date}");
        }
    }
}

prop_compose! {
    fn some_tags()(tags in proptest::collection::btree_map("([vwp][0-9]{1,2}|latest)",
        (proptest::option::of(0_i64..40), any::<bool>()), 0..40))
        -> Vec<(String, Option<i64>, bool)> {
        tags.into_iter().map(|(name, (age, protected))| (name, age, protected)).collect()
    }
}

fn tags_of(tags: &[(String, Option<i64>, bool)]) -> Vec<Tag> {
    let moment = |age: Option<i64>| age.map_or(Moment::Unknown, |age| Moment::At(days_ago(age)));
    let of = |(name, age, protected): &(String, Option<i64>, bool)| Tag {
        pushed: moment(*age),
        created: moment(*age),
        protected: *protected,
        ..tag(name, 0)
    };
    tags.iter().map(of).collect()
}

fn two_rules(keep_n: u32, keep: Option<&str>) -> Value {
    let mut rules = json!([
        {"name": "v", "nameRegexDelete": "v.*", "keepN": keep_n, "olderThan": "5d"},
        {"name": "w", "nameRegexDelete": "[vw].*", "keepN": keep_n, "groupBy": "[vw]([0-9]).*"},
    ]);
    if let Some(keep) = keep {
        rules[0]["nameRegexKeep"] = json!(keep);
    }
    rules
}

const SORTS: [&str; 4] = ["PushedAt", "CreatedAt", "SemVer", "Name"];

/// Names, some of them versions, with ages in days: of the last push and of the first.
fn dated_tags() -> impl Strategy<Value = BTreeMap<String, (Option<i64>, Option<i64>)>> {
    let ages = (proptest::option::of(1_i64..9), proptest::option::of(1_i64..9));
    proptest::collection::btree_map("v?[0-9]{1,2}\\.[0-9]\\.[0-9](-rc\\.[0-9])?|[a-c][0-9]{1,2}", ages, 0..12)
}

/// Whether the first of two tags comes before the other, as it is sorted: `Greater` if so, `None` where one has no
/// rank.
fn before(one: &TagView<'_>, other: &TagView<'_>, sort: &str) -> Option<Ordering> {
    let date = |moment| if let Moment::At(date) = moment { Some(date) } else { None };
    let version = |name: &str| semver::Version::parse(name.trim_start_matches('v')).ok();
    Some(match sort {
        "PushedAt" => date(one.pushed)?.cmp(&date(other.pushed)?),
        "CreatedAt" => date(one.created)?.cmp(&date(other.created)?),
        "SemVer" => version(one.name)?.cmp_precedence(&version(other.name)?),
        _ => one.name.cmp(other.name),
    })
}

proptest! {
    // Each case compiles patterns, which takes most of its time.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_protected_kept_or_latest_never_goes(tags in some_tags(), keep_n in 0_u32..4) {
        let policy = policy(&two_rules(keep_n, Some("v1.*")), &["w2.*"]);
        let tags = tags_of(&tags);
        for (tag, decision) in planned(&policy, &tags, &Claims::default()).iter() {
            let stays = tag.name == "latest" || tag.protected || tag.name.starts_with("v1")
                || tag.name.starts_with("w2") || tag.name.starts_with('p');
            prop_assert!(!(stays && decision.verdict == REMOVE), "{}", tag.name);
            prop_assert_eq!(decision.rule().is_none(),
                tag.name == "latest" || tag.name.starts_with("w2") || tag.name.starts_with('p'));
        }
    }

    #[test]
    fn keeping_more_never_removes_more(tags in some_tags(), keep_n in 0_u32..4) {
        let tags = tags_of(&tags);
        let all = removed(&policy(&two_rules(keep_n, None), &[]), &tags);
        for less in [policy(&two_rules(keep_n + 1, None), &[]), policy(&two_rules(keep_n, None), &["v2.*"])] {
            let fewer = removed(&less, &tags);
            prop_assert!(fewer.iter().all(|name| all.contains(name)), "{:?} is more than {:?}", fewer, all);
        }
    }

    #[test]
    fn a_tag_that_is_not_there_never_costs_another_one_its_place(tags in some_tags(), keep_n in 0_u32..4,
        gone in any::<prop::sample::Index>()) {
        let policy = policy(&two_rules(keep_n, None), &[]);
        let tags = tags_of(&tags);
        let all = removed(&policy, &tags);
        if !tags.is_empty() {
            let mut fewer_tags = tags.clone();
            fewer_tags.remove(gone.index(tags.len()));
            let fewer = removed(&policy, &fewer_tags);
            prop_assert!(fewer.iter().all(|name| all.contains(name)), "{:?} is more than {:?}", fewer, all);
        }
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(tags in some_tags(), keep_n in 0_u32..4, turn in 0_usize..40) {
        let policy = policy(&two_rules(keep_n, None), &[]);
        let mut tags = tags_of(&tags);
        let before = removed(&policy, &tags);
        if !tags.is_empty() {
            let by = turn % tags.len();
            tags.rotate_left(by);
            tags.reverse();
        }
        prop_assert_eq!(removed(&policy, &tags), before);
    }

    #[test]
    fn the_first_by_whatever_is_asked_for_stay_and_no_more(tags in dated_tags(), keep_n in 1_u32..5,
        sort in prop::sample::select(SORTS.to_vec())) {
        let policy = policy(&json!([{"name": "r", "nameRegexDelete": ".*", "keepN": keep_n, "sortBy": sort}]), &[]);
        let tags: Vec<Tag> = tags.iter().map(|(name, (pushed, created))| {
            let moment = |age: Option<i64>| age.map_or(Moment::Unknown, |age| Moment::At(days_ago(age)));
            Tag { pushed: moment(*pushed), created: moment(*created), ..tag(name, 0) }
        }).collect();
        let plan = planned(&policy, &tags, &Claims::default());
        let with = |verdict| plan.iter().filter(move |(_, decision)| decision.verdict == verdict).map(|(tag, _)| tag);
        let stays: Vec<TagView<'_>> = with(Verdict::Keep(KeepReason::WithinKeepN)).collect();
        let goes: Vec<TagView<'_>> = with(REMOVE).collect();
        let tied = tags.iter().map(Tag::view).filter(|tag| {
            let reason = plan.iter().find(|(other, _)| other.name == tag.name)
                .map(|(_, decision)| decision.verdict.reason());
            matches!(reason, Some("DateTied" | "VersionTied"))
        });
        let tied: Vec<TagView<'_>> = tied.collect();
        let ranked = tags.iter().map(Tag::view).filter(|tag| before(tag, tag, sort).is_some()).count();
        let slots = ranked.min(usize::try_from(keep_n).unwrap());
        prop_assert_eq!(stays.len() + tied.len() + goes.len(), ranked, "what has no rank stays, and takes no slot");
        if tied.is_empty() {
            prop_assert_eq!(stays.len(), slots, "{} {:?}", sort, plan);
        } else {
            prop_assert!(stays.len() < slots && slots < stays.len() + tied.len(), "{} {:?}", sort, plan);
            prop_assert!(tied.iter().all(|tag| before(tag, &tied[0], sort) == Some(Ordering::Equal)), "{:?}", plan);
        }
        let stays: Vec<TagView<'_>> = stays.into_iter().chain(tied).collect();
        for (stays, goes) in stays.iter().flat_map(|stays| goes.iter().map(move |goes| (stays, goes))) {
            prop_assert_eq!(before(stays, goes, sort), Some(Ordering::Greater), "{} goes, {} stays by {}", goes.name,
                stays.name, sort);
        }
    }

    #[test]
    fn a_plan_that_was_carried_out_is_empty_when_made_again(tags in some_tags(), keep_n in 0_u32..4) {
        let policy = policy(&two_rules(keep_n, None), &[]);
        let tags = tags_of(&tags);
        let gone = removed(&policy, &tags);
        let left: Vec<Tag> = tags.into_iter().filter(|tag| !gone.iter().any(|gone| **gone == *tag.name)).collect();
        prop_assert_eq!(removed(&policy, &left), Vec::<String>::new());
    }
}
