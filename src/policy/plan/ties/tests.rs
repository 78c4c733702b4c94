//! Tags of equal dates, as tables and properties.

use std::collections::HashSet;

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::api::Attachments;
use crate::policy::compile::tests::spec;
use crate::policy::inventory::Inventory;
use crate::policy::plan::doubt::{Judgement, judge};
use crate::policy::plan::exact::draft;
use crate::policy::plan::exact::tests::context;
use crate::policy::tag::{Manifest, Tag};
use crate::policy::tag_protection::Claims;
use crate::policy::{CompileOptions, Method, compile};

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn rules(method: &str, rule: &Value) -> Vec<Rule> {
    let mut rule = rule.clone();
    (rule["name"], rule["nameRegexDelete"]) = (json!("r"), json!(".*"));
    let policy =
        compile(&spec(&json!({"method": method, "rules": [rule]})), &CompileOptions::default(), now()).unwrap();
    match policy.method {
        Method::Exact(rules) => rules,
        Method::Bulk(rule) => vec![*rule],
    }
}

fn tag(name: &str, pushed: Moment, created: Moment) -> Tag {
    Tag {
        name: name.into(),
        pushed,
        push_told: true,
        created,
        digest: None,
        single_image: false,
        protected: false,
        bytes: None,
        manifest: Manifest::default(),
    }
}

fn once(name: &str, date: &str) -> Tag {
    tag(name, Moment::At(at(date)), Moment::At(at(date)))
}

/// The reason of each tag, `Remove` where it goes, in the order of the tags.
fn reasons(rule: &Value, tags: &[Tag], settled: &Settled) -> (Vec<&'static str>, Vec<Box<str>>) {
    let inventory = Inventory { read: tags.to_vec(), ..Inventory::default() };
    let drafted =
        draft(inventory, &rules("Exact", rule), &[], &Claims::default(), context(Attachments::ByRule), now(), settled);
    (drafted.tags.iter().map(|(_, decision)| decision.verdict.reason()).collect(), drafted.open)
}

const GOES: &str = "RuleMatches";

#[test]
fn a_tie_across_the_border_stays_as_a_whole_and_one_beside_it_does_not_matter() {
    let (first, second, third) = ("2026-11-03T00:00:00Z", "2026-11-02T00:00:00Z", "2026-11-01T00:00:00Z");
    let tags =
        [once("a", first), once("b", first), once("c", second), once("d", second), once("e", third), once("f", third)];
    let with = |keep_n: u32| reasons(&json!({"keepN": keep_n}), &tags, &Settled::new()).0;
    assert_eq!(with(1), ["DateTied", "DateTied", GOES, GOES, GOES, GOES]);
    assert_eq!(with(2), ["WithinKeepN", "WithinKeepN", GOES, GOES, GOES, GOES]);
    assert_eq!(with(3), ["WithinKeepN", "WithinKeepN", "DateTied", "DateTied", GOES, GOES]);
    assert_eq!(with(6), ["WithinKeepN"; 6]);
}

#[test]
fn a_tie_counts_per_group_and_only_among_those_that_compete() {
    let date = "2026-11-03T00:00:00Z";
    let tags = [once("a-1", date), once("a-2", date), once("b-1", date), once("latest", date)];
    let (reasons, _) = reasons(&json!({"keepN": 1, "groupBy": "([ab])-.*"}), &tags, &Settled::new());
    assert_eq!(reasons, ["DateTied", "DateTied", "WithinKeepN", "Latest"]);
}

#[test]
fn equal_versions_are_a_tie_whatever_their_build_or_prefix_and_names_never_are() {
    let date = "2026-11-03T00:00:00Z";
    let names = ["v1.2.0", "1.2.0", "1.1.0", "v1.1.0", "1.0.0"];
    let tags: Vec<Tag> = names.iter().map(|name| once(name, date)).collect();
    let (by_version, open) = reasons(&json!({"keepN": 3, "sortBy": "SemVer"}), &tags, &Settled::new());
    assert_eq!(by_version, ["WithinKeepN", "WithinKeepN", "VersionTied", "VersionTied", GOES]);
    assert_eq!(open, Vec::<Box<str>>::new(), "no date tells versions apart");
    let (by_name, _) = reasons(&json!({"keepN": 3, "sortBy": "Name"}), &tags, &Settled::new());
    assert_eq!(by_name.iter().filter(|reason| **reason == GOES).count(), 2);
}

#[test]
fn milliseconds_settle_what_whole_seconds_leave_open_for_tags_that_were_pushed_once() {
    let second = "2026-11-03T00:00:07Z";
    let again = tag("again", Moment::At(at(second)), Moment::At(at("2026-10-01T00:00:00Z")));
    let tags = [once("a", second), once("b", second), once("c", second)];
    let rule = json!({"keepN": 1});
    let read = |pairs: &[(&str, Option<&str>)]| -> Settled {
        pairs.iter().map(|(name, date)| (Box::from(*name), date.map(at))).collect()
    };
    let (early, mid, late) = ("2026-11-03T00:00:07.1Z", "2026-11-03T00:00:07.4Z", "2026-11-03T00:00:07.9Z");

    let (verdicts, open) = reasons(&rule, &tags, &Settled::new());
    assert_eq!((verdicts.as_slice(), open), (["DateTied"; 3].as_slice(), vec!["a".into(), "b".into()]));
    let two = read(&[("a", Some(early)), ("b", Some(late))]);
    let (verdicts, open) = reasons(&rule, &tags, &two);
    assert_eq!((verdicts[0], open), (GOES, vec![Box::from("c")]), "one of the two is older for certain");
    let three = read(&[("a", Some(early)), ("b", Some(late)), ("c", Some(mid))]);
    let (verdicts, open) = reasons(&rule, &tags, &three);
    assert_eq!((verdicts, open), (vec![GOES, "WithinKeepN", GOES], vec![]));

    let import = read(&[("a", Some(mid)), ("b", Some(mid))]);
    let (verdicts, open) = reasons(&rule, &tags, &import);
    assert_eq!((verdicts, open), (vec!["DateTied"; 3], vec![]), "two are equal: the rest need not be read");

    let lost = read(&[("a", None), ("b", Some(at(late).to_string().as_str()))]);
    let (verdicts, open) = reasons(&rule, &tags, &lost);
    assert_eq!((verdicts, open), (vec!["DateTied"; 3], vec![Box::from("c")]));

    let other = read(&[("a", Some("2026-11-03T00:00:09.5Z")), ("b", Some(late)), ("c", Some(mid))]);
    assert_eq!(
        reasons(&rule, &tags, &other).0,
        ["DateTied", "DateTied", GOES],
        "a date of another second says nothing"
    );

    let [a, b, _] = tags;
    let (verdicts, open) = reasons(&rule, &[a, b, again], &two);
    assert_eq!(
        (verdicts, open),
        (vec![GOES, "DateTied", "DateTied"], vec![]),
        "the last push of one is not known so exactly"
    );
}

#[rstest]
#[case(40, 2)]
#[case(41, 0)]
fn more_tags_than_can_be_told_apart_are_not_read(#[case] tags: usize, #[case] read: usize) {
    let tags: Vec<Tag> = (0..tags).map(|number| once(&format!("t{number}"), "2026-11-03T00:00:00Z")).collect();
    let (_, open) = reasons(&json!({"keepN": 1}), &tags, &Settled::new());
    assert_eq!(open.len(), read);
}

#[test]
fn the_sentence_says_how_many_share_which_moment() {
    let date = "2026-11-03T00:00:07Z";
    let tags = ["a", "b", "c"].map(|name| once(name, date));
    let rule = json!({"keepN": 1});
    let inventory = |tags: &[Tag]| Inventory { read: tags.to_vec(), ..Inventory::default() };
    let rules = rules("Exact", &rule);
    let plan = |tags: &[Tag]| {
        draft(inventory(tags), &rules, &[], &Claims::default(), context(Attachments::ByRule), now(), &Settled::new())
            .tags
    };
    let sentence_ = sentence(&plan(&tags), &rules).unwrap();
    assert!(sentence_.starts_with("3 tags share one moment, 2026-11-03T00:00:07Z, across the border"), "{sentence_}");
    assert!(sentence_.len() < 230, "it has to fit into a status: {}", sentence_.len());
    assert_eq!(sentence(&plan(&tags[..1]), &rules), None);
}

/// What the registry knows of a tag, whose place in the list is its place in the order of the pushes.
#[derive(Clone, Debug)]
struct There {
    name: String,
    /// The date of the last push, as GitLab's own engine ranks by it.
    ranked: Timestamp,
    /// The date of the first push.
    created: Timestamp,
}

/// How a repository came to its dates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stamped {
    /// One moment for everything that was there; what was pushed later has its own.
    Imported,
    /// Pushed by pipelines, several within a second.
    Pushed,
    /// All images dated alike by their builder.
    Reproducible,
}

prop_compose! {
    fn repository()(
        names in proptest::collection::hash_set("[a-z][0-9]{1,2}", 1..24),
        stamped in prop::sample::select(vec![Stamped::Imported, Stamped::Pushed, Stamped::Reproducible]),
        gaps in proptest::collection::vec(1_i64..900, 24),
        later in 0_usize..6,
        first_push in proptest::collection::vec(0_usize..5, 24),
    ) -> (Stamped, Vec<There>) {
        let start = at("2026-10-01T00:00:00.4Z").as_millisecond();
        let number = names.len();
        let mut moment = start;
        let tags = names.into_iter().enumerate().map(|(place, name)| {
            moment += gaps[place];
            let pushed = Timestamp::from_millisecond(moment).unwrap();
            let import = at("2026-09-30T23:00:00.123456Z");
            let (ranked, created) = match stamped {
                Stamped::Imported if place + later < number => (import, import),
                // One in five was there before, and was pushed again since.
                Stamped::Imported if first_push[place] == 0 => (pushed, import),
                Stamped::Pushed if first_push[place] == 0 => (pushed, at("2026-01-01T00:00:00.5Z")),
                Stamped::Imported | Stamped::Pushed => (pushed, pushed),
                Stamped::Reproducible => (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH),
            };
            There { name, ranked, created }
        });
        (stamped, tags.collect())
    }
}

/// What GraphQL tells, in whole seconds, in no particular order.
fn told(there: &[There]) -> Vec<Tag> {
    let moment = |date| Moment::read(Some(to_the_second(date)), now());
    let mut tags: Vec<Tag> =
        there.iter().map(|there| tag(&there.name, moment(there.ranked), moment(there.created))).collect();
    tags.sort_by(|a, b| a.name.cmp(&b.name));
    tags
}

fn read(there: &[There], open: Vec<Box<str>>, settled: &mut Settled) {
    for name in open {
        let found = there.iter().find(|there| *there.name == *name);
        let to_the_millisecond = |date: Timestamp| Timestamp::from_millisecond(date.as_millisecond()).unwrap();
        assert!(settled.insert(name, found.map(|there| to_the_millisecond(there.created))).is_none(), "read twice");
    }
    assert!(settled.len() <= MOST_READ);
}

proptest! {
    // Each case compiles patterns, which takes most of its time.
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The generator knows the order of the pushes; the dates are stamped afterwards.
    #[test]
    fn no_newest_image_is_lost_however_its_repository_came_to_its_dates(
        (stamped, there) in repository(),
        keep_n in 1_u32..8,
        aged in any::<bool>(),
    ) {
        let mut rule = json!({"keepN": keep_n});
        if aged {
            rule["olderThan"] = json!("7d");
        }
        let newest: HashSet<&str> =
            there.iter().rev().take(keep_n as usize).map(|there| there.name.as_str()).collect();

        let exact = rules("Exact", &rule);
        let mut settled = Settled::new();
        let plan = loop {
            let inventory = Inventory { read: told(&there), ..Inventory::default() };
            let drafted = draft(inventory, &exact, &[], &Claims::default(), context(Attachments::ByRule), now(),
                &settled);
            if drafted.open.is_empty() {
                break drafted.tags;
            }
            read(&there, drafted.open, &mut settled);
        };
        for gone in plan.removed() {
            prop_assert!(!newest.contains(&*gone.name), "Exact removes {} ({:?})", gone.name, stamped);
        }
        // A date of whole seconds may have lost its fraction, so it is in doubt.
        let known = |there: &There| there.ranked == there.created && there.ranked.subsec_nanosecond() != 0;
        if stamped == Stamped::Pushed && there.iter().all(known) {
            prop_assert_eq!(plan.removed().count(), there.len().saturating_sub(keep_n as usize), "all is known");
        }

        let bulk = rules("Bulk", &rule);
        let tags = told(&there);
        let views: Vec<TagView<'_>> = tags.iter().map(Tag::view).collect();
        let mut settled = Settled::new();
        let judged = loop {
            match judge(&views, &bulk[0], &settled, now()) {
                Judgement::Open(open) => read(&there, open, &mut settled),
                judged => break judged,
            }
        };
        if judged == Judgement::Trusted {
            // GitLab ranks by what it knows, and among equals by name.
            let mut ranked: Vec<&There> = there.iter().collect();
            ranked.sort_by(|a, b| (b.ranked, &b.name).cmp(&(a.ranked, &a.name)));
            for gone in ranked.into_iter().skip(keep_n as usize) {
                prop_assert!(!newest.contains(gone.name.as_str()), "Bulk loses {} ({:?})", gone.name, stamped);
            }
        }
    }

    #[test]
    fn whoever_is_less_certain_or_missing_never_costs_another_one_its_slot(
        dates in proptest::collection::vec((0_i64..4, 0_i64..4), 1..12),
        keep_n in 1_usize..6,
        less in any::<prop::sample::Index>(),
    ) {
        // Milliseconds within a few seconds; none is the whole second.
        let rank = |(second, part): &(i64, i64)|
            Rank::Date(Timestamp::from_millisecond(second * 1000 + part * 250).unwrap());
        let ranks: Vec<Rank<'_>> = dates.iter().map(rank).collect();
        let beyond = |ranks: &[Rank<'_>]| -> Vec<bool> {
            standings(ranks.iter(), keep_n).into_iter().map(|standing| standing == Standing::Beyond).collect()
        };
        let before = beyond(&ranks);
        let chosen = less.index(ranks.len());
        let mut vague = ranks.clone();
        vague[chosen] = rank(&(dates[chosen].0, 0));
        prop_assert!(beyond(&vague).iter().zip(&before).all(|(after, before)| *before || !*after));
        let mut fewer = ranks.clone();
        fewer.remove(chosen);
        let left: Vec<bool> =
            before.iter().enumerate().filter(|(place, _)| *place != chosen).map(|(_, beyond)| *beyond).collect();
        prop_assert!(beyond(&fewer).iter().zip(&left).all(|(after, before)| *before || !*after));
    }
}
