//! What is concluded from less than everything never removes more.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::api::Attachments;
use crate::policy::compile::tests::spec;
use crate::policy::in_use::tests::{SHA_1, SHA_2, of_shop_web};
use crate::policy::newest::Places;
use crate::policy::plan::attachments::{Children, Context};
use crate::policy::plan::exact::plan;
use crate::policy::plan::{PlannedTag, TagPlan};
use crate::policy::tag_protection::Claims;
use crate::policy::{CompileOptions, Method, compile};

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn days_ago(days: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() - days * 86_400).unwrap()
}

fn rules(rules: &Value) -> Vec<Rule> {
    let spec = spec(&json!({"method": "Exact", "rules": rules}));
    match compile(&spec, &CompileOptions::default(), now()).unwrap().method {
        Method::Exact(rules) => rules,
        Method::Bulk(_) => unreachable!(),
    }
}

#[rstest]
#[case::ages_only(json!([{"name": "a", "nameRegexDelete": ".*", "olderThan": "7d"}]), Some(7), Names::None)]
#[case::the_youngest_cut_off_counts(
    json!([{"name": "a", "nameRegexDelete": "a.*", "olderThan": "7d"},
        {"name": "b", "nameRegexDelete": ".*", "olderThan": "3d"}]),
    Some(3),
    Names::None,
)]
#[case::places_need_names_of_the_newest(
    json!([{"name": "a", "nameRegexDelete": ".*", "olderThan": "7d", "keepN": 5}]),
    Some(7),
    Names::Newest,
)]
#[case::of_each_group_there_may_be_any_number(
    json!([{"name": "a", "nameRegexDelete": "(.).*", "olderThan": "7d", "keepN": 5, "groupBy": "(.).*"}]),
    Some(7),
    Names::All,
)]
#[case::the_highest_versions_are_not_the_newest(
    json!([{"name": "a", "nameRegexDelete": ".*", "olderThan": "7d", "keepN": 5, "sortBy": "SemVer"}]),
    Some(7),
    Names::All,
)]
#[case::one_rule_of_several_needs_all(
    json!([{"name": "a", "nameRegexDelete": "a.*", "olderThan": "7d", "keepN": 5},
        {"name": "b", "nameRegexDelete": ".*", "olderThan": "7d", "keepN": 5, "sortBy": "Name"}]),
    Some(7),
    Names::All,
)]
#[case::no_slots_need_no_names(
    json!([{"name": "a", "nameRegexDelete": ".*", "olderThan": "7d", "keepN": 0}]),
    Some(7),
    Names::None,
)]
#[case::a_rule_without_an_age(json!([{"name": "a", "nameRegexDelete": ".*", "keepN": 5}]), None, Names::All)]
#[case::ranks_by_creation(
    json!([{"name": "a", "nameRegexDelete": ".*", "olderThan": "7d", "keepN": 5, "sortBy": "CreatedAt"}]),
    None,
    Names::All,
)]
fn no_more_is_read_than_the_rules_need(#[case] list: Value, #[case] days: Option<i64>, #[case] names: Names) {
    let rules = rules(&list);
    let none = Limits::default();
    assert_eq!(need(&rules, none, true, now()), Need { until: days.map(days_ago), names });
    assert_eq!(need(&rules, none, false, now()), Need { until: None, names: Names::All });
}

#[test]
fn a_share_of_all_tags_can_only_be_told_when_all_are_known() {
    let rules = rules(&json!([{"name": "a", "nameRegexDelete": ".*", "olderThan": "7d"}]));
    let limits = |spec: Value| Limits::new(Some(&serde_json::from_value(spec).unwrap()));
    let names = |spec: Value| need(&rules, limits(spec), true, now()).names;
    assert_eq!(names(json!({"maxPercentPerRepository": 50})), Names::All);
    assert_eq!(names(json!({"maxTagsPerRepository": 50, "maxTagsPerRun": 50})), Names::None);
}

#[test]
fn pages_that_do_not_ascend_or_lack_a_date_are_noticed() {
    let days = |days: &[i64]| days.iter().map(|day| Some(days_ago(*day))).collect::<Vec<_>>();
    assert!(ascends(None, days(&[9, 5, 5, 1])));
    assert!(!ascends(None, days(&[5, 9])));
    assert!(!ascends(Some(days_ago(1)), days(&[5])));
    assert!(!ascends(None, [None]));
}

fn tag(name: &str, pushed: i64) -> Tag {
    Tag {
        name: name.into(),
        digest: None,
        pushed: Moment::At(days_ago(pushed)),
        push_told: true,
        created: Moment::At(days_ago(pushed)),
        single_image: false,
        protected: false,
        bytes: None,
        manifest: Manifest::default(),
    }
}

#[test]
fn lists_that_contradict_each_other_are_an_error() {
    let names = vec![Box::from("a"), Box::from("b")];
    assert_eq!(assemble(vec![tag("a", 9)], true, Some(names.clone())), Err(Incomplete));
    assert_eq!(assemble(vec![tag("a", 9)], false, Some(names)).unwrap().newer, [Box::from("b")]);
    assert_eq!(assemble(vec![tag("a", 9)], true, Some(Vec::new())), Err(Incomplete));
    assert_eq!(assemble(Vec::new(), true, Some(Vec::new())).unwrap(), Inventory::default());
}

#[test]
fn what_was_read_and_what_was_only_named_are_known_of_and_a_tag_that_is_not_named_is_missed() {
    let of = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect::<Vec<_>>();
    let whole = assemble(vec![tag("a", 9)], false, Some(of(&["a", "b", "c"]))).unwrap();
    assert_eq!((whole.len(), whole.is_empty(), whole.lacking), (3, false, false));
    let lacking = assemble(vec![tag("a", 9), tag("gone", 8)], false, Some(of(&["a", "b"]))).unwrap();
    assert_eq!((lacking.len(), lacking.is_empty(), lacking.lacking), (2, false, true));
    assert!(Inventory::default().is_empty());
}

fn removed(inventory: &Inventory, rules: &[Rule], claims: &Claims, with: Attachments) -> HashSet<String> {
    let (children, complete) = (Children::new(), !inventory.lacking);
    let context = Context { with, children: &children, complete };
    plan(inventory.clone(), rules, &[], claims, context, now()).removed().map(|tag| tag.name.to_string()).collect()
}

/// Digests of images: the first one is that in use.
const IMAGES: [&str; 3] = [SHA_1, SHA_2, SHA_3];
const SHA_3: &str = "sha256:3333333333333333333333333333333333333333333333333333333333333333";

/// A tag as the registry has it. Negative days lie ahead.
#[derive(Clone, Debug)]
struct There {
    name: String,
    days: i64,
    protected: bool,
    digest: String,
}

impl There {
    fn pushed(&self) -> Timestamp {
        days_ago(self.days)
    }

    fn tag(&self) -> Tag {
        let pushed = Moment::read(Some(self.pushed()), now());
        let digest = Some(self.digest.as_str().into());
        let protected = self.protected;
        Tag { pushed, created: pushed, protected, digest, single_image: true, ..tag(&self.name, self.days) }
    }

    /// A signature or the like of one of the images, or of the signature of it.
    fn attached((image, suffix, chained): &(usize, &'static str, bool), days: i64) -> Self {
        let own = |image: usize, suffix: &str| format!("sha256:{:0>64x}", 16 * (image + 1) + suffix.len());
        let of = if *chained { own(*image, ".sig") } else { IMAGES[*image].to_owned() };
        let digest = own(*image, if *chained { "chained" } else { suffix });
        Self { name: format!("{}{suffix}", of.replace(':', "-")), days, protected: false, digest }
    }
}

prop_compose! {
    fn registry()(tags in proptest::collection::btree_map("[ab][0-9]{1,2}|v[0-3][.][0-9][.][0-9]",
        (-2_i64..30, any::<bool>(), 0_usize..8), 0..60)) -> Vec<There> {
        // One in eight is the image that may be in use.
        let digest = |image: usize| IMAGES[if image == 0 { 0 } else { 1 + image % 2 }].to_owned();
        let there = |(name, (days, protected, image))| There { name, days, protected, digest: digest(image) };
        tags.into_iter().map(there).collect()
    }
}

prop_compose! {
    fn attachments()(tags in proptest::collection::btree_map((0_usize..3,
        prop::sample::select(vec![".sig", ".att", ""]), any::<bool>()), -2_i64..30, 0..10)) -> Vec<There> {
        tags.iter().map(|(what, days)| There::attached(what, *days)).collect()
    }
}

/// Everything that is there, read.
fn whole(tags: &[There]) -> Inventory {
    Inventory { read: tags.iter().map(There::tag).collect(), ..Inventory::default() }
}

/// The same in the order of their pushes.
fn by_push(tags: &[There]) -> Vec<There> {
    let mut ordered = tags.to_vec();
    ordered.sort_by_key(|tag| (tag.pushed(), tag.name.clone()));
    ordered
}

/// What is in use where a Pod names nothing (""), a digest ("@") or a tag (":a1").
fn claims(used: &str, inventory: &Inventory) -> Claims {
    let reference = match used {
        "" => None,
        "@" => Some(format!("registry.example.com/shop/web@{SHA_1}")),
        name => Some(format!("registry.example.com/shop/web{name}")),
    };
    let users: Vec<(&str, &str)> = reference.iter().map(|reference| (reference.as_str(), "prod/Pod/a")).collect();
    let known = inventory.read.iter().map(|tag| (&*tag.name, tag.digest.as_ref()));
    Claims::new(of_shop_web(&users), known, false)
}

proptest! {
    // Each case compiles patterns, which takes most of its time.
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Reads the old end, lets tags vanish, names go missing and new tags appear, and compares with the plan over
    /// what is really there. Some tags are protected by GitLab, or in use by name or digest; some dates lie ahead.
    #[test]
    fn reading_less_never_removes_more(
        images in registry(),
        attachments in attachments(),
        with in prop::sample::select(vec![Attachments::ByRule, Attachments::WithSubject]),
        few in any::<bool>(),
        keep_n in 0_u32..6,
        age in 1_i64..20,
        vanish in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        missing in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        meanwhile in proptest::collection::btree_set("[ab][0-9]{3}|v[4-5][.]0[.]0", 0..4),
        sort in prop::sample::select(vec!["PushedAt", "SemVer", "Name"]),
        used in prop::sample::select(vec!["", ":a1", "@"]),
    ) {
        // With few of them it happens that all go.
        let images = images.into_iter().take(if few { 6 } else { usize::MAX });
        let tags: Vec<There> = images.chain(attachments).collect();
        let rules = rules(&json!([
            {"name": "s", "nameRegexDelete": "sha256-.*(sig|att)", "olderThan": format!("{age}d"), "keepN": 1},
            {"name": "a", "nameRegexDelete": "a.*", "olderThan": format!("{age}d"), "keepN": keep_n,
                "sortBy": sort},
            {"name": "v", "nameRegexDelete": "v.*", "olderThan": format!("{age}d"), "keepN": keep_n, "sortBy": "SemVer"},
            {"name": "b", "nameRegexDelete": "b.*", "olderThan": format!("{age}d"), "keepN": 1,
                "groupBy": "b([0-9]).*"},
        ]));
        let Need { until, names } = need(&rules, Limits::default(), true, now());
        let until = until.unwrap();
        prop_assert_eq!(names, Names::All);
        let ordered = by_push(&tags);
        let cut = ordered.iter().position(|tag| tag.pushed() >= until);
        let read: Vec<Tag> = ordered.iter().take(cut.map_or(ordered.len(), |cut| cut + 1)).map(There::tag)
            .collect();

        // Some tags vanish between the reading and the list of names, and others appear; some names are missing
        // from it for no reason.
        let chosen = |indices: &[prop::sample::Index]| -> HashSet<&str> {
            indices.iter().filter(|_| !tags.is_empty()).map(|index| tags[index.index(tags.len())].name.as_str())
                .collect()
        };
        let (gone, lost) = (chosen(&vanish), chosen(&missing));
        let new = meanwhile.into_iter().map(|name|
            There { name, days: 0, protected: false, digest: SHA_2.to_owned() });
        let mut there: Vec<There> = tags.iter().filter(|tag| !gone.contains(tag.name.as_str())).cloned().collect();
        // Where everything was read, a name that nobody read is an error, whatever the reason.
        there.extend(new.filter(|_| cut.is_some()));
        let listed: Vec<Box<str>> =
            there.iter().filter(|tag| !lost.contains(tag.name.as_str())).map(|tag| tag.name.as_str().into())
                .collect();
        let nothing_left = listed.is_empty() && !read.is_empty();
        let Ok(mut partial) = assemble(read, cut.is_none(), Some(listed)) else {
            prop_assert!(nothing_left);
            return Ok(());
        };
        let since = there.iter().filter(|tag| tag.pushed() >= now())
            .map(|tag| (tag.name.as_str().into(), tag.pushed()));
        partial.date(&since.collect());

        let full = whole(&there);
        let decided = |inventory: &Inventory| {
            removed(inventory, &rules, &claims(used, inventory), with)
        };
        let (partial, full) = (decided(&partial), decided(&full));
        prop_assert!(partial.is_subset(&full), "{:?} is more than {:?}", partial, full);
        if gone.is_empty() && lost.is_empty() && used.is_empty() {
            let images = |names: &HashSet<String>| -> HashSet<String> {
                names.iter().filter(|name| !name.starts_with("sha256-")).cloned().collect()
            };
            prop_assert_eq!(images(&partial), images(&full));
        }
    }

    /// Reads the old end and as many of the newest as take all places, and compares with the plan over everything.
    #[test]
    fn the_newest_tags_tell_as_much_as_all_names(
        images in registry(),
        attachments in attachments(),
        keep_n in 0_u32..6,
        age in 1_i64..20,
        used in prop::sample::select(vec!["", ":a1", "@"]),
    ) {
        let tags: Vec<There> = images.into_iter().chain(attachments).collect();
        let rules = rules(&json!([
            {"name": "a", "nameRegexDelete": "a.*", "olderThan": format!("{age}d"), "keepN": keep_n},
            {"name": "rest", "nameRegexDelete": ".*", "olderThan": format!("{age}d"), "keepN": 1},
        ]));
        let Need { until, names } = need(&rules, Limits::default(), true, now());
        prop_assert_eq!(names, Names::Newest);
        let ordered = by_push(&tags);
        let Some(cut) = ordered.iter().position(|tag| tag.pushed() >= until.unwrap()) else { return Ok(()) };
        let read: Vec<Tag> = ordered.iter().take(cut + 1).map(There::tag).collect();
        let mut places = Places::new(&rules, &[]);
        let (mut newest, mut since) = (Vec::new(), HashMap::new());
        for tag in ordered[cut..].iter().rev() {
            let name = Box::from(tag.name.as_str());
            if tag.pushed() >= now() {
                since.insert(name, tag.pushed());
            } else if !places.are_taken() {
                places.note(&name);
                newest.push(name);
            }
        }
        if !places.are_taken() {
            // All names are listed then.
            return Ok(());
        }
        let mut partial = both_ends(read, newest);
        partial.date(&since);
        let full = whole(&tags);
        let decided = |inventory: &Inventory, complete| {
            let claims = claims(used, inventory);
            let children = Children::new();
            let context = Context { with: Attachments::ByRule, children: &children, complete };
            plan(inventory.clone(), &rules, &[], &claims, context, now())
        };
        let names = |plan: &TagPlan| -> HashSet<String> { plan.removed().map(|tag| tag.name.to_string()).collect() };
        let (partial, full) = (decided(&partial, false), decided(&full, true));
        prop_assert!(names(&partial).is_subset(&names(&full)));
        let again = partial.wants_all || partial.read.iter().any(PlannedTag::stays_by_number);
        if used.is_empty() && !again {
            prop_assert_eq!(names(&partial), names(&full));
        }
    }
}
