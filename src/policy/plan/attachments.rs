//! What becomes of attachments: tags that are no images but belong to one, such as signatures, attestations and SBOMs.
//!
//! A tag is an attachment if its name says so ([`attachment`]) or if GitLab tells that its manifest refers to that of
//! another tag. One that has the digest it is named after is that image itself, under another name.
//!
//! - An attachment takes no `keepN` slot, and stays while any tag that has its subject stays, whatever keeps that. So
//!   does the one of an image inside of an index. It goes when the last such tag goes in the same run.
//! - Its own name can only keep it: by `protect`, by use, by `nameRegexKeep` of the rule that matches it, and, unless
//!   the policy says [`WithSubject`](crate::api::Attachments), by no rule matching it.
//! - An orphan is an attachment whose subject no tag has or contains. It follows the rules as any tag, but competes for
//!   slots with other orphans only.
//! - Whatever is not known keeps it. Each tag whose digest is not known may have its subject; each index whose images
//!   are not known may contain it. Two exceptions, by what is pushed in practice: an index is not inside of another
//!   one, and a list of referrers contains no image.
//! - Attachments of attachments follow in the same way. A circle, which no real digests can make, stays.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::decided::{Attached, TagPlan};
use super::{Decision, KeepReason, RemoveReason, Verdict};
use crate::api::Attachments;
use crate::policy::attachment::{self, Subject};
use crate::policy::tag::TagView;

/// The digests of the images inside of indexes, by the digest of the index. What is missing is not known.
pub type Children = HashMap<Box<str>, Arc<[Box<str>]>>;

/// What decides about attachments besides the tags.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Which of them go with their subject.
    pub with: Attachments,
    /// What is known of indexes.
    pub children: &'a Children,
    /// Whether there is no tag besides those of the inventory.
    pub complete: bool,
}

/// Why it is not known that nothing has the subject of an attachment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Doubt {
    /// It may be inside of an index.
    Inside,
    /// It may be that of a tag that was not read.
    Unread,
}

/// An attachment.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Attachment {
    /// The digests of its subject, or how they begin.
    subjects: BTreeSet<Box<str>>,
    /// The tags that have or contain its subject, by their place in the plan.
    owners: BTreeSet<usize>,
    /// Why these may not be all.
    doubt: Option<Doubt>,
}

/// What a tag is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Kind {
    /// A tag like any other.
    Image,
    /// An attachment whose subject is certainly not there.
    Orphan,
    /// An attachment whose subject is there, or may be.
    Attachment,
}

/// The attachments among the tags of a plan, by their place in it.
#[derive(Debug, Default)]
pub(super) struct Family {
    members: BTreeMap<usize, Attachment>,
    /// Some tag has referrers, which GitLab tells only of tags that are read, and not all were.
    untold: bool,
}

impl Family {
    /// Finds the attachments.
    pub(super) fn of(plan: &TagPlan, context: Context<'_>) -> Self {
        let none =
            |(tag, _): (TagView<'_>, Decision)| tag.referrers.is_empty() && attachment::subject(tag.name).is_none();
        if plan.iter().all(none) {
            return Self::default();
        }
        let tags: Vec<TagView<'_>> = plan.iter().map(|(tag, _)| tag).collect();
        let unread = !context.complete || tags.iter().any(|tag| tag.digest.is_none());
        let found = Tags::new(&tags, context.children);
        let mut members: BTreeMap<usize, Attachment> =
            (0..tags.len()).filter_map(|at| Some((at, found.attachment(at)?))).collect();
        let opaque = Opaque::new(&tags, context.children, &members);
        for (at, owners, doubt) in members.iter_mut().map(|(at, own)| (*at, &own.owners, &mut own.doubt)) {
            let inside = opaque.may_contain(at, owners);
            *doubt = if inside { Some(Doubt::Inside) } else { unread.then_some(Doubt::Unread) };
        }
        let untold = unread && tags.iter().any(|tag| !tag.referrers.is_empty());
        Self { members, untold }
    }

    /// What the tag at this place is.
    pub(super) fn kind(&self, at: usize) -> Kind {
        match self.members.get(&at) {
            None => Kind::Image,
            Some(own) if own.owners.is_empty() && own.doubt.is_none() => Kind::Orphan,
            Some(_) => Kind::Attachment,
        }
    }

    /// Decides about the attachments, once everything else is decided. `free` are those that nothing of their own
    /// keeps, each with the rule that matches its name.
    pub(super) fn settle(self, plan: &mut TagPlan, mut free: BTreeMap<usize, Option<usize>>) {
        for (at, own) in &self.members {
            if self.kind(*at) == Kind::Orphan {
                attach(plan, *at, own);
            }
        }
        for (at, rule) in &free {
            set(plan, *at, Decision::keep(KeepReason::SubjectKept, *rule));
        }
        loop {
            // Those that come of what was decided so far: in the next turn those that are attached to them.
            let next: Vec<usize> = free.keys().copied().filter(|at| self.owners_go(plan, *at)).collect();
            if next.is_empty() {
                break;
            }
            for at in next {
                let rule = free.remove(&at).flatten();
                let Some(own) = self.members.get(&at) else { continue };
                plan.wants_all |= own.doubt == Some(Doubt::Unread);
                if own.doubt.is_some() {
                    set(plan, at, Decision::keep(KeepReason::SubjectUnknown, rule));
                    continue;
                }
                let of_owner = || own.owners.iter().find_map(|owner| decision(plan, *owner)?.rule);
                let rule = rule.or_else(of_owner);
                set(plan, at, Decision { verdict: Verdict::Remove(RemoveReason::SubjectRemoved), rule });
                attach(plan, at, own);
            }
        }
        // Which tags belong to others may turn out differently as well.
        plan.wants_all |= self.untold && plan.removed().next().is_some();
    }

    fn owners_go(&self, plan: &TagPlan, at: usize) -> bool {
        let goes = |owner: &usize| decision(plan, *owner).is_some_and(Decision::removes);
        self.members.get(&at).is_some_and(|own| own.owners.iter().all(goes))
    }
}

fn decision(plan: &TagPlan, at: usize) -> Option<Decision> {
    match plan.read.get(at) {
        Some(planned) => Some(planned.decision),
        None => plan.newer.get(at - plan.read.len()).map(|planned| planned.decision),
    }
}

fn set(plan: &mut TagPlan, at: usize, decision: Decision) {
    let read = plan.read.len();
    let own = match plan.read.get_mut(at) {
        Some(planned) => Some(&mut planned.decision),
        None => plan.newer.get_mut(at - read).map(|planned| &mut planned.decision),
    };
    if let Some(own) = own {
        *own = decision;
    }
}

fn attach(plan: &mut TagPlan, at: usize, own: &Attachment) {
    let name = |owner: &usize| plan.read.get(*owner).map(|planned| planned.tag.name.clone());
    let after = own.owners.iter().filter_map(name).collect();
    if let Some(planned) = plan.read.get_mut(at) {
        planned.attached = Some(Attached { subjects: own.subjects.iter().cloned().collect(), after });
    }
}

/// The tags by what they have.
struct Tags<'t> {
    all: &'t [TagView<'t>],
    /// By digest: its own, and those of the images inside of it.
    holders: BTreeMap<&'t str, Vec<usize>>,
    /// Those that have referrers, by the digest of the referrer.
    referred: HashMap<&'t str, Vec<usize>>,
}

impl<'t> Tags<'t> {
    fn new(tags: &'t [TagView<'t>], children: &'t Children) -> Self {
        let mut holders: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut referred: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, tag) in tags.iter().enumerate() {
            let inside = tag.digest.and_then(|digest| children.get(digest)).into_iter().flat_map(|inside| &**inside);
            for digest in tag.digest.into_iter().chain(inside.map(AsRef::as_ref)) {
                holders.entry(digest).or_default().push(at);
            }
            for referrer in tag.referrers {
                referred.entry(referrer).or_default().push(at);
            }
        }
        Self { all: tags, holders, referred }
    }

    /// The tag at this place as an attachment, if it is one.
    fn attachment(&self, at: usize) -> Option<Attachment> {
        let tag = self.all.get(at)?;
        let itself = |of: &Subject<'_>| tag.digest.is_some_and(|digest| of.is(digest));
        let named = attachment::subject(tag.name).filter(|of| !itself(of)).map(Subject::beginning);
        let refers = tag.digest.and_then(|digest| self.referred.get(digest));
        let of_referrers = refers.into_iter().flatten().filter_map(|owner| self.all.get(*owner)?.digest);
        let subjects: BTreeSet<Box<str>> =
            named.map(String::into_boxed_str).into_iter().chain(of_referrers.map(Box::from)).collect();
        let owners = subjects.iter().flat_map(|subject| self.holding(subject)).filter(|owner| *owner != at).collect();
        (!subjects.is_empty()).then_some(Attachment { subjects, owners, doubt: None })
    }

    fn holding<'a>(&'a self, beginning: &'a str) -> impl Iterator<Item = usize> + 'a {
        let range = self.holders.range::<str, _>((Bound::Included(beginning), Bound::Unbounded));
        range.take_while(move |(digest, _)| digest.starts_with(beginning)).flat_map(|(_, tags)| tags).copied()
    }
}

/// The tags that may contain images of which nobody knows.
struct Opaque {
    /// What is to be known of each tag: whether it is opaque, an index, an attachment.
    tags: Vec<(bool, bool, bool)>,
    images: usize,
    attachments: usize,
}

impl Opaque {
    fn new(tags: &[TagView<'_>], children: &Children, members: &BTreeMap<usize, Attachment>) -> Self {
        // Without a digest everything is in doubt anyway.
        let known =
            |tag: &TagView<'_>| tag.single_image || tag.digest.is_none_or(|digest| children.contains_key(digest));
        let of = |(at, tag)| (!known(tag), tag.is_index, members.contains_key(&at));
        let tags: Vec<(bool, bool, bool)> = tags.iter().enumerate().map(of).collect();
        let count = |attached: bool| tags.iter().filter(|tag| tag.0 && tag.2 == attached).count();
        let (images, attachments) = (count(false), count(true));
        Self { tags, images, attachments }
    }

    /// Whether a tag other than the attachment at this place and its owners may contain its subject.
    fn may_contain(&self, at: usize, owners: &BTreeSet<usize>) -> bool {
        let own = || owners.iter().filter_map(|owner| self.tags.get(*owner));
        if own().any(|(_, is_index, attached)| *is_index && !attached) {
            return false;
        }
        let excluded = |attached: bool| {
            let without = owners.iter().copied().chain([at]).filter_map(|place| self.tags.get(place));
            without.filter(|tag| tag.0 && tag.2 == attached).count()
        };
        let of_image = own().any(|(_, _, attached)| !attached);
        self.images > excluded(false) || (!of_image && self.attachments > excluded(true))
    }
}

#[cfg(test)]
mod tests {
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
        let manifest = Manifest { is_index: true, ..Manifest::default() };
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
        assert_eq!(plan.read[1].decision.rule, Some(0));
        // Another tag of the same image is enough, whatever keeps it.
        let tags = [tag("v1", 1, 9), attached(1, ".sig", 11, 9), tag("v2", 2, 8), tag("latest", 1, 1)];
        assert_eq!(reasons(&planned(&all_but_the_newest(), &tags))[1], "SubjectKept");
    }

    #[rstest]
    #[case::a_pattern(json!([{"name": "r", "nameRegexDelete": ".*", "nameRegexKeep": "v.*", "keepN": 0}]), json!({}), "", false)]
    #[case::protection(json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 0, "olderThan": "1d"}]), json!({"protect": {"nameRegex": ["v1"]}}), "", false)]
    #[case::no_rule(json!([{"name": "r", "nameRegexDelete": "sha.*", "keepN": 0}]), json!({}), "", false)]
    #[case::age(json!([{"name": "r", "nameRegexDelete": ".*", "olderThan": "30d"}]), json!({}), "", false)]
    #[case::another_rule(json!([{"name": "v", "nameRegexDelete": "v.*", "keepN": 1}, {"name": "r", "nameRegexDelete": "sha.*", "keepN": 0}]), json!({}), "", false)]
    #[case::use_by_name(json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 0, "olderThan": "1d"}]), json!({}), ":v1", false)]
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
        let kept =
            policy(&json!([{"name": "r", "nameRegexDelete": ".*", "nameRegexKeep": "v1", "keepN": 0}]), &json!({}));
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
            let inside: Vec<Box<str>> = inside.iter().map(|number| sha(*number).into()).collect();
            Children::from([(Box::from(sha(5)), inside.into())])
        };
        assert_eq!(of(&known(&[7]), &tags), ["NoRuleMatches", "RuleMatches", "RuleMatches", "SubjectRemoved"]);
        assert_eq!(of(&known(&[9, 1]), &tags), ["NoRuleMatches", "SubjectKept", "RuleMatches", "SubjectKept"]);
        // With the index goes what belongs to the images inside of it, and to itself; no index is inside of another
        // one.
        let old = [index("v5", 5, 9), attached(9, ".sig", 11, 9), attached(5, ".sig", 12, 9), index("main", 6, 1)];
        let both = Children::from([(Box::from(sha(5)), [Box::from(sha(9))].into()), (Box::from(sha(6)), [].into())]);
        assert_eq!(of(&both, &old), ["RuleMatches", "SubjectRemoved", "SubjectRemoved", "NoRuleMatches"]);
        assert_eq!(of(&unknown, &old), ["RuleMatches", "SubjectUnknown", "SubjectRemoved", "NoRuleMatches"]);
        // A list of referrers contains no image, but may contain what an orphan belongs to.
        let list = index(&attached(2, "", 13, 9).name, 13, 9);
        let lists = [tag("v1", 1, 9), attached(1, ".sig", 12, 9), tag("main", 2, 1), list, attached(9, ".sig", 14, 9)];
        let expected = ["RuleMatches", "SubjectRemoved", "NoRuleMatches", "SubjectKept", "SubjectUnknown"];
        assert_eq!(of(&unknown, &lists), expected);
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
        let kept = policy(
            &json!([{"name": "r", "nameRegexDelete": ".*", "nameRegexKeep": "v1", "olderThan": "5d"}]),
            &json!({}),
        );
        let newer = Inventory { newer: vec!["w".into()], ..Inventory::default() };
        let of = |tags: &[Tag]| {
            let inventory = Inventory { read: tags.to_vec(), ..newer.clone() };
            plan_of(&kept, inventory, &Children::new(), &Claims::default()).wants_all
        };
        assert!(!of(&[tag("v1", 1, 9), attached(1, ".sig", 11, 9)]), "its image stays in any case");
        assert!(!of(&[tag("v2", 2, 9)]), "there is no attachment");
        assert!(of(&[tag("v2", 2, 9), attached(2, ".sig", 11, 9)]));
    }

    #[test]
    fn what_gitlab_tells_to_refer_to_an_image_is_attached_to_it_whatever_its_name() {
        let referred = |days| Tag {
            manifest: Manifest { referrers: [Box::from(sha(21))].into(), is_index: false },
            ..tag("v1", 1, days)
        };
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
            attached_ in proptest::collection::btree_map((1_usize..6, prop::sample::select(vec![".sig", ".att", ""])), 1_i64..20, 0..8),
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
            (images, attachments) in registry(), keep_n in 0_u32..3, with in prop::sample::select(vec!["ByRule", "WithSubject"]),
        ) {
            let tags: Vec<Tag> = images.into_iter().chain(attachments).collect();
            let plan = planned(&some_rules(keep_n, with), &tags);
            for gone in plan.read.iter().filter(|planned| planned.decision.removes()) {
                let Some(subject) = attachment::subject(&gone.tag.name) else { continue };
                for stays in plan.read.iter().filter(|planned| !planned.decision.removes()) {
                    let digest = stays.tag.digest.as_deref();
                    prop_assert!(digest.is_some_and(|digest| !subject.is(digest)), "{} goes, {} stays", gone.tag.name, stays.tag.name);
                }
                let owners = plan.removed().filter(|tag| tag.digest.as_deref().is_some_and(|digest| subject.is(digest)));
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
            (images, attachments) in registry(), keep_n in 0_u32..3, with in prop::sample::select(vec!["ByRule", "WithSubject"]),
        ) {
            let policy = some_rules(keep_n, with);
            let alone = planned(&policy, &images);
            let all: Vec<Tag> = images.iter().cloned().chain(attachments).collect();
            let together = planned(&policy, &all);
            prop_assert_eq!(&alone.read[..], &together.read[..images.len()]);
        }
    }
}
