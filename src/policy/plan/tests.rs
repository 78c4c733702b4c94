//! That the reason given for a tag is the first in the documented order of all that hold, whatever order the code looks
//! in. What holds is written down here a second time, each reason by itself.

use std::collections::BTreeSet;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::exact::tests::context;
use super::ties::{self, Settled, Standing};
use super::{Decision, KeepReason, PlannedTag, RemoveReason, TagPlan, Verdict, bulk, exact};
use crate::api::{Attachments, SortBy};
use crate::policy::attachment;
use crate::policy::compile::tests::spec;
use crate::policy::in_use::tests::{SHA_1, of_shop_web};
use crate::policy::inventory::Inventory;
use crate::policy::tag::{Manifest, Moment, Tag, TagView};
use crate::policy::tag_protection::Claims;
use crate::policy::{CompileOptions, CompiledPolicy, compile};

pub(super) fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn days_ago(days: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() - days * 86_400).unwrap()
}

/// Images by their number; that of the first may be in use.
pub(super) fn digest(number: u8) -> String {
    if number == 1 { SHA_1.to_owned() } else { format!("sha256:{number:0>64}") }
}

pub(super) fn policy(method: &str, rules: &Value) -> CompiledPolicy {
    let changes = json!({"method": method, "rules": rules, "protect": {"nameRegex": ["p.*", ".*[.]prot"]}});
    compile(&spec(&changes), &CompileOptions::default(), now()).unwrap()
}

/// A tag as it was read: by a short name, or by that of an attachment of the image of a number.
fn some_tag() -> impl Strategy<Value = Tag> {
    let suffix = prop::sample::select(vec![".sig", ".att", ".prot", ".kept"]);
    let name = prop_oneof![
        6 => "(v|p|g-[ab]-|kept-|x)[0-9]".prop_map(String::from),
        2 => "v?[0-2]\\.0\\.0".prop_map(String::from),
        1 => Just("latest".to_owned()),
        3 => (1_u8..4, suffix).prop_map(|(of, suffix)| format!("{}{suffix}", digest(of).replace(':', "-"))),
    ];
    let moment = || {
        let known = |days| Moment::At(days_ago(days));
        prop_oneof![6 => (0_i64..12).prop_map(known), 1 => Just(Moment::Unknown),
            1 => Just(Moment::Placeholder(days_ago(9)))]
    };
    (name, prop::option::weighted(0.9, 1_u8..7), moment(), moment(), any::<bool>(), prop::bool::weighted(0.2)).prop_map(
        |(name, number, pushed, created, single_image, protected)| Tag {
            name: name.into(),
            digest: number.map(|number| digest(number).into()),
            pushed,
            push_told: true,
            created,
            single_image,
            protected,
            bytes: None,
            manifest: Manifest::default(),
        },
    )
}

pub(super) fn some_tags() -> impl Strategy<Value = Vec<Tag>> {
    proptest::collection::vec(some_tag(), 0..14).prop_map(|mut tags| {
        tags.sort_by(|a, b| a.name.cmp(&b.name));
        tags.dedup_by(|a, b| a.name == b.name);
        tags
    })
}

pub(super) fn exact_rules() -> Vec<Value> {
    let rule = |name: &str, delete: &str, more: Value| {
        let mut rule = json!({"name": name, "nameRegexDelete": delete});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rule
    };
    vec![
        json!([rule("all", ".*", json!({"nameRegexKeep": "kept.*|.*[.]kept", "keepN": 2, "olderThan": "5d"}))]),
        json!([rule("all", ".*", json!({"olderThan": "5d"}))]),
        json!([
            rule("g", "g.*|v.*", json!({"keepN": 1, "groupBy": "g-(.)-.*"})),
            rule("x", "x.*", json!({"keepN": 0}))
        ]),
        json!([rule("all", ".*", json!({"keepN": 1, "sortBy": "SemVer", "olderThan": "3d"}))]),
        json!([
            rule("v", "v.*", json!({"keepN": 2, "sortBy": "CreatedAt"})),
            rule("all", ".*", json!({"olderThan": "2d"}))
        ]),
    ]
}

/// Whether the name of a tag is that of an attachment of another image.
fn names_other(tag: &TagView<'_>) -> bool {
    attachment::subject(tag.name).is_some_and(|of| !tag.digest.is_some_and(|digest| of.is(digest)))
}

/// What is asked about a tag of a plan.
struct Question<'a> {
    policy: &'a CompiledPolicy,
    with: Attachments,
    claims: &'a Claims,
    plan: &'a TagPlan,
}

impl Question<'_> {
    /// The tags that have the subject of an attachment.
    fn owners(&self, of: &TagView<'_>) -> Vec<(TagView<'_>, Decision)> {
        let Some(subject) = attachment::subject(of.name) else { return Vec::new() };
        let has = |tag: &TagView<'_>| tag.name != of.name && tag.digest.is_some_and(|digest| subject.is(digest));
        self.plan.iter().filter(|(tag, _)| has(tag)).collect()
    }

    /// Whether the subject of an attachment may be there besides its owners: some digest is not known, or what is
    /// inside of another tag is not. Attachments contain no images.
    fn may_be_elsewhere(&self, of: &TagView<'_>) -> bool {
        let owners = self.owners(of);
        let of_image = owners.iter().any(|(owner, _)| !names_other(owner));
        let is_owner = |tag: &TagView<'_>| owners.iter().any(|(owner, _)| owner.name == tag.name);
        let opaque = |tag: &TagView<'_>| {
            let other = tag.name != of.name && !is_owner(tag) && !tag.single_image;
            other && !(of_image && names_other(tag))
        };
        self.plan.iter().any(|(tag, _)| tag.digest.is_none() || opaque(&tag))
    }

    fn is_attached(&self, tag: &TagView<'_>) -> bool {
        names_other(tag) && (!self.owners(tag).is_empty() || self.may_be_elsewhere(tag))
    }

    /// Whether a reason holds, whatever else does.
    fn holds(&self, reason: KeepReason, tag: &TagView<'_>) -> bool {
        use KeepReason as K;
        let rules = self.policy.method.rules();
        let rule = rules.iter().find(|rule| rule.delete.matches(tag.name));
        let by_itself = rule.filter(|_| !self.is_attached(tag));
        let by_date = |sort_by| match sort_by {
            SortBy::PushedAt => Some(tag.pushed),
            SortBy::CreatedAt => Some(tag.created),
            SortBy::SemVer | SortBy::Version | SortBy::Name => None,
        };
        let dated = |moment: Moment| matches!(moment, Moment::At(_));
        let owners = || self.owners(tag);
        match reason {
            K::Latest => tag.name == "latest",
            K::Protected => self.policy.protect.iter().any(|pattern| pattern.matches(tag.name)),
            K::InUse => self.claims.certain(tag.name, tag.digest).is_some(),
            K::NoRuleMatches => rule.is_none() && !(self.is_attached(tag) && self.with == Attachments::WithSubject),
            K::KeptByPattern => {
                rule.and_then(|rule| rule.keep.as_ref()).is_some_and(|pattern| pattern.matches(tag.name))
            }
            K::ProtectedByGitLab => tag.protected,
            K::PushedAgain => matches!(tag.pushed, Moment::At(pushed) if pushed >= now()),
            K::SubjectKept => self.is_attached(tag) && owners().iter().any(|(_, decision)| !decision.removes()),
            K::SubjectUnknown => self.is_attached(tag) && self.may_be_elsewhere(tag),
            K::NoGroup => by_itself
                .and_then(|rule| rule.group_by.as_ref())
                .is_some_and(|pattern| pattern.captured(tag.name).is_none()),
            K::NoVersion => by_itself.is_some_and(|rule| {
                let plain = tag.name.strip_prefix('v').unwrap_or(tag.name);
                rule.sort_by == SortBy::SemVer && semver::Version::parse(plain).is_err()
            }),
            K::DateUnknown => by_itself.is_some_and(|rule| {
                let counted = rule.keep_n.filter(|n| *n > 0).and_then(|_| by_date(rule.sort_by));
                (rule.older_than.is_some() && !dated(tag.pushed)) || counted.is_some_and(|moment| !dated(moment))
            }),
            K::TooYoung => by_itself.and_then(|rule| rule.older_than.as_ref()).is_some_and(
                |age| matches!(tag.pushed, Moment::At(pushed) if now().duration_since(pushed) <= age.duration()),
            ),
            K::MayBeInUse => self.claims.possible(tag.name, tag.digest, tag.single_image),
            K::WithinKeepN => matches!(self.standing(tag), Some((Standing::Within, _))),
            K::DateTied => self.standing(tag) == Some((Standing::Tied, false)),
            K::VersionTied => self.standing(tag) == Some((Standing::Tied, true)),
        }
    }

    /// Where a tag stands among those that compete with it, and whether they do by version.
    fn standing(&self, tag: &TagView<'_>) -> Option<(Standing, bool)> {
        let seat = |tag: &TagView<'_>| {
            let slotless = |reason: &KeepReason| {
                !matches!(reason, KeepReason::ProtectedByGitLab | KeepReason::TooYoung) && self.holds(*reason, tag)
            };
            let before = KeepReason::ALL.iter().take_while(|reason| **reason != KeepReason::WithinKeepN);
            let rules = self.policy.method.rules();
            let at = rules.iter().position(|rule| rule.delete.matches(tag.name))?;
            let group = rules[at].group_by.as_ref().and_then(|pattern| pattern.captured(tag.name)).map(str::to_owned);
            let free = !self.is_attached(tag) && !before.into_iter().any(slotless);
            free.then_some((at, group, names_other(tag)))
        };
        let own = seat(tag)?;
        let rule = &self.policy.method.rules()[own.0];
        let keep_n = usize::try_from(rule.keep_n.filter(|n| *n > 0)?).unwrap();
        let others: Vec<TagView<'_>> =
            self.plan.iter().map(|(tag, _)| tag).filter(|tag| seat(tag).as_ref() == Some(&own)).collect();
        let place = others.iter().position(|other| other.name == tag.name)?;
        let ranks: Vec<ties::Rank<'_>> =
            others.iter().map(|tag| ties::rank(tag, rule.sort_by, &Settled::new()).unwrap()).collect();
        Some((ties::standings(ranks.iter(), keep_n)[place], rule.sort_by == SortBy::SemVer))
    }

    /// The verdict by the documented order.
    fn expected(&self, tag: &TagView<'_>) -> Verdict {
        let goes = if self.is_attached(tag) { RemoveReason::SubjectRemoved } else { RemoveReason::RuleMatches };
        let first = KeepReason::ALL.iter().copied().find(|reason| self.holds(*reason, tag));
        first.map_or(Verdict::Remove(goes), Verdict::Keep)
    }
}

proptest! {
    // Each case compiles patterns, which takes most of its time.
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn of_all_reasons_that_hold_exact_gives_the_first_of_the_list(
        tags in some_tags(),
        rules in prop::sample::select(exact_rules()),
        used in prop::sample::select(vec![None, Some(":v1"), Some(":x2"), Some(":latest"), Some("@")]),
        with in prop::sample::select(vec![Attachments::ByRule, Attachments::WithSubject]),
    ) {
        let policy = policy("Exact", &rules);
        let image = used.map(|used| match used {
            "@" => format!("registry.example.com/shop/web@{SHA_1}"),
            tag => format!("registry.example.com/shop/web{tag}"),
        });
        let images: Vec<(&str, &str)> = image.iter().map(|image| (image.as_str(), "prod/Pod/a")).collect();
        let known = tags.iter().map(|tag| (&*tag.name, tag.digest.as_ref()));
        let undigested = tags.iter().any(|tag| tag.digest.is_none());
        let claims = Claims::new(of_shop_web(&images), known, undigested);
        let inventory = Inventory { read: tags.clone(), ..Inventory::default() };
        let plan = exact::plan(inventory, policy.method.rules(), &policy.protect, &claims, context(with), now());
        let question = Question { policy: &policy, with, claims: &claims, plan: &plan };
        for (tag, decision) in plan.iter() {
            prop_assert_eq!(decision.verdict, question.expected(&tag), "{:?} of {:?}", tag, plan);
        }
    }

    #[test]
    fn of_all_reasons_that_hold_bulk_gives_the_first_of_the_list(
        tags in some_tags(),
        keep_n in 0_u32..6,
        aged in any::<bool>(),
        used in proptest::collection::btree_set(prop::sample::select(vec!["v1", "latest", "p1", "kept-1", "x1",
            "g-a-1"]), 0..3),
    ) {
        use KeepReason as K;
        let mut rule = json!({"name": "r", "nameRegexDelete": "[^x].*", "nameRegexKeep": "kept.*", "keepN": keep_n});
        if aged {
            rule["olderThan"] = json!("5d");
        }
        let policy = policy("Bulk", &json!([rule]));
        let [rule] = policy.method.rules() else { unreachable!() };
        let used: BTreeSet<Box<str>> = used.into_iter().map(Box::from).collect();
        let plan = bulk::plan(tags, rule, &policy.protect, &used, now());
        let by_name = |reason: KeepReason, tag: &TagView<'_>| match reason {
            K::Latest => tag.name == "latest",
            K::Protected => policy.protect.iter().any(|pattern| pattern.matches(tag.name)),
            K::InUse => used.contains(tag.name),
            K::NoRuleMatches => tag.name.starts_with('x'),
            K::KeptByPattern => tag.name.starts_with("kept") || attachment::subject(tag.name).is_some(),
            _ => false,
        };
        let candidate = |tag: &TagView<'_>| !K::ALL.iter().any(|reason| by_name(*reason, tag));
        let candidates: Vec<TagView<'_>> = plan.iter().map(|(tag, _)| tag).filter(candidate).collect();
        let dated = candidates.len() > keep_n as usize;
        for (tag, decision) in plan.iter() {
            let newer = |other: &&TagView<'_>| {
                let rank = |tag: &TagView<'_>| (tag.pushed.stated().unwrap_or(now()), tag.name.to_owned());
                rank(other) > rank(&tag)
            };
            let holds = |reason: KeepReason| match reason {
                K::DateUnknown => aged && dated && tag.pushed.stated().is_none(),
                K::TooYoung => aged && tag.pushed.stated().is_some_and(|date| date >= days_ago(5)),
                K::WithinKeepN => candidates.iter().filter(newer).count() < keep_n as usize,
                _ => by_name(reason, &tag),
            };
            let holds = |reason: &KeepReason| by_name(*reason, &tag) || (candidate(&tag) && holds(*reason));
            let first = K::ALL.iter().copied().find(holds);
            let expected = first.map_or(Verdict::Remove(RemoveReason::RuleMatches), Verdict::Keep);
            prop_assert_eq!(decision.verdict, expected, "{:?} of {:?}", tag, plan);
        }
    }
}

#[test]
fn a_tag_that_was_read_takes_152_bytes_with_its_digest_and_what_is_decided_about_it() {
    assert!(size_of::<PlannedTag>() <= 152, "{} bytes", size_of::<PlannedTag>());
}
