//! Signatures and the like stay with their images, and go after them: tables and properties.

use std::collections::BTreeSet;

use jiff::Timestamp;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::super::exact;
use super::super::removals::Removals;
use super::*;
use crate::policy::compile::tests::spec;
use crate::policy::in_use::tests::of_shop_web;
use crate::policy::inventory::Inventory;
use crate::policy::tag::{Manifest, Moment, Tag};
use crate::policy::tag_protection::Claims;
use crate::policy::{CompileOptions, CompiledPolicy, Method, compile};

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// The digest with this number.
fn sha(number: usize) -> String {
    format!("sha256:{number:0>64x}")
}

/// A tag with the digest of this number, pushed so many days ago.
fn tag(name: &str, number: usize, days: i64) -> Tag {
    let pushed = Moment::At(Timestamp::from_second(now().as_second() - days * 86_400).unwrap());
    Tag {
        name: name.into(),
        digest: Some(sha(number).into()),
        pushed,
        push_told: true,
        created: pushed,
        single_image: true,
        protected: false,
        bytes: None,
        manifest: Manifest::default(),
    }
}

/// What belongs to the image of this number; its own digest has another one.
fn attached(to: usize, suffix: &str, number: usize, days: i64) -> Tag {
    tag(&format!("{}{suffix}", sha(to).replace(':', "-")), number, days)
}

fn index(name: &str, number: usize, days: i64) -> Tag {
    let manifest = Manifest::new(true, []);
    Tag { single_image: false, manifest, ..tag(name, number, days) }
}

fn policy(rules: &Value, changes: &Value) -> CompiledPolicy {
    let mut all = json!({"method": "Exact", "rules": rules});
    for (key, value) in changes.as_object().unwrap() {
        all[key] = value.clone();
    }
    compile(&spec(&all), &CompileOptions::default(), now()).unwrap()
}

fn all_but_the_newest() -> CompiledPolicy {
    policy(&json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 1}]), &json!({}))
}

fn plan_of(policy: &CompiledPolicy, inventory: Inventory, children: &Children, claims: &Claims) -> TagPlan {
    let Method::Exact(rules) = &policy.method else { unreachable!() };
    let context = Context { with: policy.attachments, children, complete: true };
    exact::plan(inventory, rules, &policy.protect, claims, context, now())
}

fn planned(policy: &CompiledPolicy, tags: &[Tag]) -> TagPlan {
    let inventory = Inventory { read: tags.to_vec(), ..Inventory::default() };
    plan_of(policy, inventory, &Children::new(), &Claims::default())
}

fn reasons(plan: &TagPlan) -> Vec<&'static str> {
    plan.iter().map(|(_, decision)| decision.verdict.reason()).collect()
}

#[test]
fn an_attachment_takes_no_slot_and_goes_with_the_last_tag_of_its_image() {
    let tags = [tag("v1", 1, 9), attached(1, ".sig", 11, 9), tag("v2", 2, 8), attached(2, ".sig", 12, 8)];
    let plan = planned(&all_but_the_newest(), &tags);
    assert_eq!(reasons(&plan), ["RuleMatches", "SubjectRemoved", "WithinKeepN", "SubjectKept"]);
    assert_eq!(plan.read[1].decision.rule(), Some(0));
    // Another tag of the same image is enough, whatever keeps it.
    let tags = [tag("v1", 1, 9), attached(1, ".sig", 11, 9), tag("v2", 2, 8), tag("latest", 1, 1)];
    assert_eq!(reasons(&planned(&all_but_the_newest(), &tags))[1], "SubjectKept");
}

#[rstest]
#[case::a_pattern(
    json!([{"name": "r", "nameRegexDelete": ".*", "nameRegexKeep": "v.*", "keepN": 0}]),
    json!({}),
    "",
    false,
)]
#[case::protection(
    json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 0, "olderThan": "1d"}]),
    json!({"protect": {"nameRegex": ["v1"]}}),
    "",
    false,
)]
#[case::no_rule(json!([{"name": "r", "nameRegexDelete": "sha.*", "keepN": 0}]), json!({}), "", false)]
#[case::age(json!([{"name": "r", "nameRegexDelete": ".*", "olderThan": "30d"}]), json!({}), "", false)]
#[case::another_rule(
    json!([{"name": "v", "nameRegexDelete": "v.*", "keepN": 1}, {"name": "r", "nameRegexDelete": "sha.*", "keepN": 0}]),
    json!({}),
    "",
    false,
)]
#[case::use_by_name(
    json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 0, "olderThan": "1d"}]),
    json!({}),
    ":v1",
    false,
)]
#[case::gitlab(json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 0, "olderThan": "1d"}]), json!({}), "", true)]
fn it_stays_with_its_image_whatever_keeps_that(
    #[case] rules: Value,
    #[case] changes: Value,
    #[case] used: &str,
    #[case] protected: bool,
) {
    let tags = [Tag { protected, ..tag("v1", 1, 9) }, attached(1, ".sig", 11, 9), attached(1, "", 12, 9)];
    let image = format!("registry.example.com/shop/web{used}");
    let images: Vec<(&str, &str)> = (!used.is_empty()).then_some((&*image, "prod/Pod/a")).into_iter().collect();
    // As if nobody had looked whose signature it is.
    let claims = Claims::new(of_shop_web(&images), [], false);
    let inventory = Inventory { read: tags.to_vec(), ..Inventory::default() };
    for with in ["ByRule", "WithSubject"] {
        let mut changes = changes.clone();
        changes["attachments"] = json!(with);
        let plan = plan_of(&policy(&rules, &changes), inventory.clone(), &Children::new(), &claims);
        assert_eq!(reasons(&plan)[1..], ["SubjectKept", "SubjectKept"]);
    }
}

#[rstest]
#[case::matched_by_a_rule("sha256-.*", None, "ByRule", "SubjectRemoved")]
#[case::matched_by_none("w.*", None, "ByRule", "NoRuleMatches")]
#[case::matched_by_none_and_not_needed("w.*", None, "WithSubject", "SubjectRemoved")]
#[case::kept_by_the_rule("sha256-.*", Some(".*sig"), "ByRule", "KeptByPattern")]
#[case::kept_by_the_rule("sha256-.*", Some(".*sig"), "WithSubject", "KeptByPattern")]
fn its_own_name_can_only_keep_it(
    #[case] delete: &str,
    #[case] keep: Option<&str>,
    #[case] with: &str,
    #[case] reason: &str,
) {
    // Its own age and slots make no difference.
    let mut own = json!({"name": "own", "nameRegexDelete": delete, "olderThan": "1y", "keepN": 5});
    if let Some(keep) = keep {
        own["nameRegexKeep"] = json!(keep);
    }
    let rules = json!([{"name": "v", "nameRegexDelete": "v.*", "keepN": 1}, own]);
    let tags = [tag("v1", 1, 9), attached(1, ".sig", 11, 2), tag("v2", 2, 8)];
    let plan = planned(&policy(&rules, &json!({"attachments": with})), &tags);
    assert_eq!(reasons(&plan), ["RuleMatches", reason, "WithinKeepN"]);
    assert_eq!(plan.read[1].attached.is_some(), reason == "SubjectRemoved");
}

#[test]
fn attachments_of_attachments_go_one_after_the_other() {
    let tags = [
        attached(12, ".sig", 13, 9),
        attached(11, ".sig", 12, 9),
        attached(1, ".att", 11, 9),
        tag("v1", 1, 9),
        tag("v2", 2, 1),
    ];
    let plan = planned(&all_but_the_newest(), &tags);
    let removed = "SubjectRemoved";
    assert_eq!(reasons(&plan), [removed, removed, removed, "RuleMatches", "WithinKeepN"]);
    let removals = Removals::of(plan);
    let names =
        |tags: &[(Tag, Attached, RemoveReason)]| tags.iter().map(|(tag, ..)| tag.name.clone()).collect::<Vec<_>>();
    let steps: Vec<Vec<Box<str>>> = removals.steps.iter().map(|step| names(step)).collect();
    assert_eq!(steps, [[&tags[2]], [&tags[1]], [&tags[0]]].map(|step| step.map(|tag| tag.name.clone()).to_vec()));
    assert_eq!((removals.images.len(), removals.len()), (1, 4));
    assert_eq!(*removals.steps[0][0].1.after, [Box::from("v1")]);
    // The image stays, and so does all that hangs on it.
    let kept = policy(&json!([{"name": "r", "nameRegexDelete": ".*", "nameRegexKeep": "v1", "keepN": 0}]), &json!({}));
    assert_eq!(reasons(&planned(&kept, &tags))[..3], ["SubjectKept"; 3]);
}

#[test]
fn a_circle_stays() {
    let tags = [attached(12, ".sig", 11, 9), attached(11, ".sig", 12, 9), tag("v2", 2, 1)];
    assert_eq!(reasons(&planned(&all_but_the_newest(), &tags))[..2], ["SubjectKept"; 2]);
}

#[test]
fn a_tag_that_has_the_digest_it_is_named_after_is_that_image() {
    let tags = [attached(1, "", 1, 9), attached(2, ".imgpkg", 2, 8)];
    assert_eq!(reasons(&planned(&all_but_the_newest(), &tags)), ["RuleMatches", "WithinKeepN"]);
}

#[test]
fn orphans_follow_the_rules_and_compete_among_themselves() {
    let tags = [attached(8, ".sig", 11, 5), attached(9, ".sig", 12, 4), tag("v1", 1, 9), tag("v2", 2, 8)];
    let plan = planned(&all_but_the_newest(), &tags);
    assert_eq!(reasons(&plan), ["RuleMatches", "WithinKeepN", "RuleMatches", "WithinKeepN"]);
    // They go last, in case their image is pushed meanwhile.
    assert_eq!(plan.read[0].attached.as_ref().unwrap().subjects, [Box::from(sha(8))].into());
    let aged = policy(&json!([{"name": "r", "nameRegexDelete": ".*", "olderThan": "30d"}]), &json!({}));
    assert_eq!(reasons(&planned(&aged, &tags))[0], "TooYoung");
}

#[test]
fn an_image_that_is_known_twice_to_have_a_signature_counts_once_among_those_that_may_contain_others() {
    // By the name of the signature, and by what GitLab tells of referrers.
    let manifest = Manifest::new(false, [sha(12).into()]);
    let signed = Tag { single_image: false, manifest, ..tag("v1", 1, 9) };
    let other = Tag { single_image: false, ..tag("main", 5, 1) };
    let everything = policy(&json!([{"name": "r", "nameRegexDelete": "[^m].*", "keepN": 0}]), &json!({}));
    let tags = [signed, attached(1, ".sig", 12, 9), other];
    assert_eq!(reasons(&planned(&everything, &tags)), ["RuleMatches", "SubjectUnknown", "NoRuleMatches"]);
}

#[test]
fn an_index_of_unknown_images_keeps_orphans_and_what_belongs_to_an_image_that_it_may_contain() {
    let everything = policy(&json!([{"name": "r", "nameRegexDelete": "[^m].*", "keepN": 0}]), &json!({}));
    let tags = [index("main", 5, 1), attached(9, ".sig", 11, 9), tag("v1", 1, 9), attached(1, ".sig", 12, 9)];
    let unknown = Children::new();
    let of = |children: &Children, tags: &[Tag]| {
        let inventory = Inventory { read: tags.to_vec(), ..Inventory::default() };
        let plan = plan_of(&everything, inventory, children, &Claims::default());
        assert!(!plan.wants_all, "there is nothing more to read");
        reasons(&plan)
    };
    assert_eq!(of(&unknown, &tags), ["NoRuleMatches", "SubjectUnknown", "RuleMatches", "SubjectUnknown"]);
    let known = |inside: &[usize]| {
        let inside: Vec<Digest> = inside.iter().map(|number| sha(*number).into()).collect();
        Children::from([(sha(5).into(), inside.into())])
    };
    assert_eq!(of(&known(&[7]), &tags), ["NoRuleMatches", "RuleMatches", "RuleMatches", "SubjectRemoved"]);
    assert_eq!(of(&known(&[9, 1]), &tags), ["NoRuleMatches", "SubjectKept", "RuleMatches", "SubjectKept"]);
    // With the index goes what belongs to the images inside of it, and to itself; no index is inside of another
    // one.
    let old = [index("v5", 5, 9), attached(9, ".sig", 11, 9), attached(5, ".sig", 12, 9), index("main", 6, 1)];
    let both = Children::from([(sha(5).into(), [Digest::from(sha(9))].into()), (sha(6).into(), [].into())]);
    assert_eq!(of(&both, &old), ["RuleMatches", "SubjectRemoved", "SubjectRemoved", "NoRuleMatches"]);
    assert_eq!(of(&unknown, &old), ["RuleMatches", "SubjectUnknown", "SubjectRemoved", "NoRuleMatches"]);
    // A list of referrers contains no image, but may contain what an orphan belongs to.
    let list = index(&attached(2, "", 13, 9).name, 13, 9);
    let lists = [tag("v1", 1, 9), attached(1, ".sig", 12, 9), tag("main", 2, 1), list, attached(9, ".sig", 14, 9)];
    let expected = ["RuleMatches", "SubjectRemoved", "NoRuleMatches", "SubjectKept", "SubjectUnknown"];
    assert_eq!(of(&unknown, &lists), expected);
}

#[test]
fn what_nobody_knows_to_be_a_single_image_may_contain_what_belongs_to_others_but_not_its_own() {
    let everything = policy(&json!([{"name": "r", "nameRegexDelete": "[^m].*", "keepN": 0}]), &json!({}));
    let unknown = |name, number| Tag { single_image: false, ..tag(name, number, 9) };
    let alone = [unknown("v1", 1), attached(1, ".sig", 11, 9)];
    assert_eq!(reasons(&planned(&everything, &alone)), ["RuleMatches", "SubjectRemoved"]);
    let with_another = [unknown("v1", 1), attached(1, ".sig", 11, 9), unknown("v2", 2)];
    assert_eq!(reasons(&planned(&everything, &with_another)), ["RuleMatches", "SubjectUnknown", "RuleMatches"]);
}

#[test]
fn an_attachment_that_was_only_named_stays_though_its_image_goes() {
    let policy = policy(&json!([{"name": "r", "nameRegexDelete": ".*", "olderThan": "5d"}]), &json!({}));
    let newer = vec![attached(1, ".sig", 11, 1).name, Box::from("w")];
    let inventory = Inventory { newer, read: vec![tag("v1", 1, 9)], lacking: false };
    let plan = plan_of(&policy, inventory, &Children::new(), &Claims::default());
    assert_eq!(reasons(&plan), ["RuleMatches", "SubjectUnknown", "TooYoung"], "and it alone has an image that goes");
}

#[rstest]
#[case::it_has_no_digest(Some(Tag { digest: None, ..tag("main", 5, 1) }), None)]
#[case::it_was_not_read(None, Some("main"))]
fn where_some_tag_may_have_its_subject_an_attachment_stays(#[case] read: Option<Tag>, #[case] newer: Option<&str>) {
    let everything = policy(&json!([{"name": "r", "nameRegexDelete": "[^m].*", "keepN": 0}]), &json!({}));
    let mut inventory = Inventory { newer: newer.into_iter().map(Box::from).collect(), ..Inventory::default() };
    inventory.read = vec![tag("v1", 1, 9), attached(1, ".sig", 11, 9), attached(9, ".sig", 12, 9)];
    inventory.read.extend(read);
    let plan = plan_of(&everything, inventory, &Children::new(), &Claims::default());
    assert_eq!(reasons(&plan), ["RuleMatches", "SubjectUnknown", "SubjectUnknown", "NoRuleMatches"]);
    assert!(plan.wants_all);
}

#[test]
fn where_only_the_oldest_tags_are_known_a_younger_one_may_have_its_subject() {
    let policy = policy(&json!([{"name": "r", "nameRegexDelete": ".*", "olderThan": "5d"}]), &json!({}));
    let inventory = Inventory { read: vec![tag("v1", 1, 9), attached(1, ".sig", 11, 9)], ..Inventory::default() };
    let children = Children::new();
    for (complete, reason) in [(true, "SubjectRemoved"), (false, "SubjectUnknown")] {
        let context = Context { with: Attachments::ByRule, children: &children, complete };
        let rules = policy.method.rules();
        let plan = exact::plan(inventory.clone(), rules, &[], &Claims::default(), context, now());
        assert_eq!((reasons(&plan)[1], plan.wants_all), (reason, !complete));
    }
}

#[test]
fn reading_more_is_wanted_only_where_it_can_make_a_difference() {
    let kept =
        policy(&json!([{"name": "r", "nameRegexDelete": ".*", "nameRegexKeep": "v1", "olderThan": "5d"}]), &json!({}));
    let newer = Inventory { newer: vec!["w".into()], ..Inventory::default() };
    let of = |tags: &[Tag]| {
        let inventory = Inventory { read: tags.to_vec(), ..newer.clone() };
        plan_of(&kept, inventory, &Children::new(), &Claims::default()).wants_all
    };
    assert!(!of(&[tag("v1", 1, 9), attached(1, ".sig", 11, 9)]), "its image stays in any case");
    assert!(!of(&[tag("v2", 2, 9)]), "there is no attachment");
    let both = [tag("v1", 1, 9), attached(1, ".sig", 11, 9), tag("v2", 2, 9)];
    assert!(!of(&both), "nobody tells of referrers, and the image with the attachment stays");
    assert!(of(&[tag("v2", 2, 9), attached(2, ".sig", 11, 9)]));
}

#[test]
fn what_gitlab_tells_to_refer_to_an_image_is_attached_to_it_whatever_its_name() {
    let referred = |days| Tag { manifest: Manifest::new(false, [Digest::from(sha(21))]), ..tag("v1", 1, days) };
    let all = all_but_the_newest();
    let tags = [referred(9), tag("sbom-of-v1", 21, 1), tag("v2", 2, 8)];
    assert_eq!(reasons(&planned(&all, &tags)), ["RuleMatches", "SubjectRemoved", "WithinKeepN"]);
    let tags = [referred(1), tag("sbom-of-v1", 21, 9), tag("v2", 2, 8)];
    assert_eq!(reasons(&planned(&all, &tags)), ["WithinKeepN", "SubjectKept", "RuleMatches"]);
    // Those of tags that were not read are not told.
    let inventory = Inventory { read: vec![referred(9)], newer: vec!["v2".into()], lacking: false };
    assert!(plan_of(&all, inventory, &Children::new(), &Claims::default()).wants_all);
}

prop_compose! {
    /// Images of four digests and attachments of five, one of which no image has; some indexes, some unknown
    /// digests.
    fn registry()(
        images in proptest::collection::btree_map("[vw][0-9]", (1_usize..5, 1_i64..20, 0..12), 0..8),
        attached_ in proptest::collection::btree_map((1_usize..6, prop::sample::select(vec![".sig", ".att", ""])),
            1_i64..20, 0..8),
        chained in proptest::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) -> (Vec<Tag>, Vec<Tag>) {
        let images = images.into_iter().map(|(name, (number, days, kind))| match kind {
            0 => index(&name, number + 100, days),
            1 => Tag { digest: None, ..tag(&name, number, days) },
            2 => Tag { protected: true, ..tag(&name, number, days) },
            _ => tag(&name, number, days),
        });
        let mut found: Vec<Tag> = attached_.into_iter().zip(20_usize..)
            .map(|(((to, suffix), days), number)| attached(to, suffix, number, days)).collect();
        for (at, number) in chained.into_iter().zip(60..) {
            let to = 20 + at.index(found.len().max(1));
            found.push(attached(to, ".sig", number, 9));
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.dedup_by(|a, b| a.name == b.name);
        (images.collect(), found)
    }
}

fn some_rules(keep_n: u32, with: &str) -> CompiledPolicy {
    let rules = json!([
        {"name": "v", "nameRegexDelete": "v.*|sha256-.*(sig|att)", "keepN": keep_n, "olderThan": "3d"},
        {"name": "w", "nameRegexDelete": "w.*", "nameRegexKeep": "w9", "keepN": keep_n},
    ]);
    policy(&rules, &json!({"attachments": with}))
}

proptest! {
    // Each case compiles patterns, which takes most of its time.
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_attachment_goes_while_a_tag_of_its_image_stays_or_may_be_there(
        (images, attachments) in registry(), keep_n in 0_u32..3,
            with in prop::sample::select(vec!["ByRule", "WithSubject"]),
    ) {
        let tags: Vec<Tag> = images.into_iter().chain(attachments).collect();
        let plan = planned(&some_rules(keep_n, with), &tags);
        for gone in plan.read.iter().filter(|planned| planned.decision.removes()) {
            let Some(subject) = attachment::subject(&gone.tag.name) else { continue };
            for stays in plan.read.iter().filter(|planned| !planned.decision.removes()) {
                let digest = stays.tag.digest.as_ref();
                prop_assert!(digest.is_some_and(|digest| !subject.is(digest)), "{} goes, {} stays", gone.tag.name,
                    stays.tag.name);
            }
            let owners = plan.removed().filter(|tag| tag.digest.as_ref().is_some_and(|digest| subject.is(digest)));
            let after = &gone.attached.as_ref().unwrap().after;
            prop_assert!(owners.into_iter().all(|owner| after.contains(&owner.name)), "{:?}", gone);
        }
        // Nothing goes before what it waits for.
        let removals = Removals::of(plan);
        let mut before: BTreeSet<Box<str>> = removals.images.iter().map(|tag| tag.name.clone()).collect();
        for step in &removals.steps {
            prop_assert!(step.iter().all(|(_, attached, _)| attached.after.iter().all(|owner| before.contains(owner))));
            before.extend(step.iter().map(|(tag, ..)| tag.name.clone()));
        }
    }

    #[test]
    fn images_stay_and_go_as_if_there_were_no_attachments(
        (images, attachments) in registry(), keep_n in 0_u32..3,
            with in prop::sample::select(vec!["ByRule", "WithSubject"]),
    ) {
        let policy = some_rules(keep_n, with);
        let alone = planned(&policy, &images);
        let all: Vec<Tag> = images.iter().cloned().chain(attachments).collect();
        let together = planned(&policy, &all);
        prop_assert_eq!(&alone.read[..], &together.read[..images.len()]);
    }
}
