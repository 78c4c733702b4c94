//! That playing many moments comes to the same as a plan of its own for each, over what the earlier ones left.

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::Attachments;
use crate::policy::CompiledPolicy;
use crate::policy::inventory::Inventory;
use crate::policy::plan::attachments::Children;
use crate::policy::plan::exact;
use crate::policy::plan::tests::{digest, exact_rules, now, policy, some_tags};
use crate::policy::tag::{Manifest, Tag};

/// What is known of a repository besides its tags.
#[derive(Clone, Debug)]
struct Known {
    with: Attachments,
    children: Children,
    complete: bool,
}

impl Known {
    fn context(&self) -> Context<'_> {
        Context { with: self.with, children: &self.children, complete: self.complete }
    }
}

/// What each moment removes, by a plan of its own.
fn by_single_plans(tags: &[Tag], policy: &CompiledPolicy, known: &Known, moments: &[Timestamp]) -> Vec<Vec<String>> {
    let mut left = tags.to_vec();
    let mut plan = |moment: &Timestamp| {
        let (rules, protect) = (policy.method.rules(), &policy.protect);
        let plan = exact::plan(inventory(&left), rules, protect, &Claims::default(), known.context(), *moment);
        let mut removed: Vec<String> = plan.removed().map(|tag| tag.name.to_string()).collect();
        removed.sort_unstable();
        left.retain(|tag| !removed.iter().any(|name| **name == *tag.name));
        removed
    };
    moments.iter().map(&mut plan).collect()
}

fn inventory(tags: &[Tag]) -> Inventory {
    Inventory { read: tags.to_vec(), ..Inventory::default() }
}

fn replay(tags: &[Tag], policy: &CompiledPolicy, known: &Known) -> Replay {
    Replay::new(inventory(tags), policy.method.rules(), &policy.protect, known.context())
}

fn names(replay: &Replay, places: impl IntoIterator<Item = usize>) -> Vec<String> {
    let mut names: Vec<String> = places.into_iter().map(|at| replay.tags()[at].tag.name.to_string()).collect();
    names.sort_unstable();
    names
}

fn played(replay: &mut Replay, policy: &CompiledPolicy, moments: &[Timestamp]) -> Vec<Vec<String>> {
    let asked: Vec<Asked> = policy.method.rules().iter().map(Asked::from).collect();
    let all = moments.iter().map(|moment| {
        let goes = replay.carry_out(*moment, &asked);
        names(replay, goes.into_iter().map(|(at, _)| at))
    });
    all.collect()
}

/// Moments within twelve days, not always in whole seconds and not always a day apart.
fn some_moments() -> impl Strategy<Value = Vec<Timestamp>> {
    proptest::collection::btree_set(0_i64..12 * 48, 1..12).prop_map(|halves| {
        let at = |half: i64| now() - SignedDuration::from_millis((12 * 48 - half) * 1_800_000 + half % 2 * 250);
        halves.into_iter().map(at).collect()
    })
}

fn some_known() -> impl Strategy<Value = Known> {
    let inside = proptest::collection::hash_map(1_u8..7, proptest::collection::vec(1_u8..7, 1..3), 0..3);
    let with = prop::sample::select(vec![Attachments::ByRule, Attachments::WithSubject]);
    (with, inside, prop::bool::weighted(0.8)).prop_map(|(with, inside, complete)| {
        let digests = |numbers: Vec<u8>| numbers.into_iter().map(|number| digest(number).into()).collect();
        let children = inside.into_iter().map(|(of, inside)| (digest(of).into(), digests(inside))).collect();
        Known { with, children, complete }
    })
}

/// Tags, some with referrers, some that were pushed a few hundredths of a second apart, and many of one moment.
fn tags_with_referrers() -> impl Strategy<Value = Vec<Tag>> {
    let more = proptest::collection::vec((0_u8..14, 1_u8..7, 0_i64..3, any::<bool>()), 20);
    let plain = proptest::collection::vec(0_i64..12, 0..6);
    (some_tags(), plain, more, any::<bool>()).prop_map(|(mut tags, plain, more, coarse)| {
        for (number, days) in plain.into_iter().enumerate() {
            let at = Moment::At(now() - SignedDuration::from_hours(days * 24));
            tags.push(image(&format!("x1{number}"), at, 6));
        }
        for (tag, (number, referrer, late, is_index)) in tags.iter_mut().zip(more) {
            let referrers = (number < 3).then(|| digest(referrer).into());
            tag.manifest = Manifest::new(is_index && !tag.single_image, referrers.into_iter().collect::<Box<[_]>>());
            let changed = |moment| match moment {
                Moment::At(at) if coarse => Moment::At(days_of(at, 4)),
                Moment::At(at) => Moment::At(at + SignedDuration::from_millis(late * 20)),
                other => other,
            };
            (tag.pushed, tag.created) = (changed(tag.pushed), changed(tag.created));
        }
        tags
    })
}

/// The last moment that is a multiple of so many days before now.
fn days_of(at: Timestamp, days: i64) -> Timestamp {
    let step = days * 86_400;
    let before = now().duration_since(at).as_secs();
    now() - SignedDuration::from_secs((before + step - 1) / step * step)
}

fn image(name: &str, at: Moment, number: u8) -> Tag {
    Tag {
        name: name.into(),
        digest: Some(digest(number).into()),
        pushed: at,
        push_told: true,
        created: at,
        single_image: true,
        protected: false,
        bytes: None,
        manifest: Manifest::default(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn many_moments_come_to_what_single_plans_come_to(
        tags in tags_with_referrers(),
        rules in prop::sample::select(exact_rules()),
        known in some_known(),
        moments in some_moments(),
    ) {
        let policy = policy("Exact", &rules);
        let expected = by_single_plans(&tags, &policy, &known, &moments);
        let mut replay = replay(&tags, &policy, &known);
        prop_assert_eq!(&played(&mut replay, &policy, &moments), &expected);
        prop_assert_eq!(replay.left(), tags.len() - expected.iter().map(Vec::len).sum::<usize>());
    }

    /// Also with another value, which a policy of its own has.
    #[test]
    fn a_contest_tells_when_a_tag_goes_as_playing_the_moments_does(
        tags in some_tags().prop_map(|mut tags| {
            tags.retain(|tag| crate::policy::attachment::subject(&tag.name).is_none());
            tags
        }),
        mut rules in prop::sample::select(exact_rules()),
        moments in some_moments(),
        other in prop::option::of((any::<bool>(), 0_u32..8)),
    ) {
        let rule = other.map_or(0, |(_, value)| value as usize % rules.as_array().unwrap().len());
        let of_rules = policy("Exact", &rules);
        let with = if let Some((by_age, value)) = other {
            rules[rule][if by_age { "olderThan" } else { "keepN" }] =
                if by_age { json!(format!("{}d", value + 1)) } else { json!(value) };
            policy("Exact", &rules)
        } else {
            policy("Exact", &rules)
        };
        let known = Known { with: Attachments::ByRule, children: Children::new(), complete: true };
        let all = played(&mut replay(&tags, &with, &known), &with, &moments);
        let contest = replay(&tags, &of_rules, &known).into_contest();
        let asked = Asked::from(&with.method.rules()[rule]);
        let entered = contest.entered(rule, &(0..tags.len()).collect());
        let first: BTreeMap<usize, usize> =
            entered.iter().flat_map(|group| group.first_gone(&moments, &asked)).collect();
        prop_assert_eq!(contest.gone(rule, *moments.last().unwrap(), &asked), first.len() as u64);
        for at in entered.iter().flat_map(Entered::tags) {
            let goes = all.iter().position(|names| names.iter().any(|name| **name == *tags[at].name));
            prop_assert_eq!(first.get(&at).copied(), goes, "{}", tags[at].name);
        }
    }

    /// What signs others goes with them, and is none of the tags that compete.
    #[test]
    fn attachments_change_nothing_about_when_images_go(
        tags in tags_with_referrers(),
        rules in prop::sample::select(exact_rules()),
        moments in some_moments(),
    ) {
        let policy = policy("Exact", &rules);
        let known = Known { with: Attachments::ByRule, children: Children::new(), complete: true };
        let family = Family::of(&TagPlan::undecided(inventory(&tags)), known.context());
        let images: Vec<Tag> = (0..tags.len()).filter(|at| family.kind(*at) == Kind::Image)
            .map(|at| tags[at].clone()).collect();
        let asked: Vec<Asked> = policy.method.rules().iter().map(Asked::from).collect();
        let gone = |tags: &[Tag]| {
            let contest = replay(tags, &policy, &known).into_contest();
            let every: BTreeSet<usize> = (0..tags.len()).collect();
            let groups = (0..asked.len()).flat_map(|rule| {
                contest.entered(rule, &every).into_iter().map(move |group| (rule, group))
            });
            let mut gone: Vec<(String, usize)> = Vec::new();
            for (rule, group) in groups.filter(|(_, group)| group.group.kind == Kind::Image) {
                let first = group.first_gone(&moments, &asked[rule]);
                gone.extend(first.map(|(at, first)| (tags[at].name.to_string(), first)));
            }
            gone.sort_unstable();
            gone
        };
        prop_assert_eq!(gone(&tags), gone(&images));
    }
}

#[test]
fn a_tag_loses_its_slot_when_newer_ones_come_and_not_before() {
    let rules = json!([{"name": "all", "nameRegexDelete": ".*", "keepN": 2}]);
    let policy = policy("Exact", &rules);
    let days_ago = |days: i64| now() - SignedDuration::from_hours(days * 24);
    let tag = |days: u8| image(&format!("v{days}"), Moment::At(days_ago(days.into())), days);
    let tags: Vec<Tag> = (1..=5).map(tag).collect();
    let known = Known { with: Attachments::ByRule, children: Children::new(), complete: true };
    let moments: Vec<Timestamp> = (0..5).rev().map(days_ago).collect();
    let mut replay = replay(&tags, &policy, &known);
    let gone = played(&mut replay, &policy, &moments);
    assert_eq!(gone, [vec![], vec![], vec!["v5".to_owned()], vec!["v4".to_owned()], vec!["v3".to_owned()]]);
}
