//! What the index says while objects come, change and go.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn at(hour: i64) -> Timestamp {
    Timestamp::from_second(hour * 3600).unwrap()
}

fn uses(names: &[&'static str], ids: &[(&'static str, &'static str)], finished: Option<Timestamp>) -> Uses<'static> {
    let written = names.iter().map(|name| Image::Named(Cow::Borrowed(*name)));
    let reported = |(id, name): &(&'static str, &'static str)| Image::Reported {
        id: Cow::Borrowed(*id),
        name: Cow::Borrowed(*name),
    };
    Uses { images: written.chain(ids.iter().map(reported)).collect(), finished }
}

fn index(kinds: &[Kind]) -> (Index, Vec<SourceId>) {
    let mut index = Index::default();
    let sources = kinds.iter().map(|kind| index.add_source(kind.clone())).collect();
    (index, sources)
}

fn texts(index: &Index, now: Timestamp) -> Vec<String> {
    index.images(now, DAY, None).into_iter().map(|used| used.image.into_string()).collect()
}

#[test]
fn users_of_other_namespaces_than_the_readers_are_counted_by_kind() {
    let (mut index, sources) = index(&[Kind::Pod, Kind::Deployment]);
    let api = uses(&["api:1"], &[("sha256:1", "api:1")], None);
    for (source, key) in [(0, "a/p1"), (0, "b/p2"), (0, "b/p3"), (1, "b/web"), (1, "ab/web")] {
        index.apply(sources[source], key, 1, &api);
    }
    let seen = |reader: &str| {
        let of = |used: UsedImage| (used.users, used.more, used.elsewhere);
        let all: Vec<_> = index.images(at(0), DAY, Some(reader)).into_iter().map(of).collect();
        assert_eq!(all[0], all[1], "by name and by id");
        all[0].clone()
    };
    let counted = |kinds: &[(&str, u32)]| kinds.iter().map(|(kind, n)| (Box::from(*kind), *n)).collect();
    assert_eq!(seen("a"), (vec![Box::from("a/Pod/p1")], 0, counted(&[("Deployment", 2), ("Pod", 2)])));
    let own = ["b/Deployment/web", "b/Pod/p2", "b/Pod/p3"].map(Box::from).to_vec();
    assert_eq!(seen("b"), (own, 0, counted(&[("Deployment", 1), ("Pod", 1)])));
    assert_eq!(seen("c"), (vec![], 0, counted(&[("Deployment", 2), ("Pod", 3)])));
}

#[test]
fn an_image_is_used_by_workloads_first_and_pods_last_and_only_three_are_named() {
    let (mut index, sources) = index(&[Kind::Pod, Kind::ReplicaSet, Kind::Deployment, Kind::CronJob]);
    let api = uses(&["api:1"], &[], None);
    for (source, key) in [(0, "a/p1"), (0, "a/p2"), (1, "a/rs"), (2, "z/web"), (3, "b/nightly")] {
        index.apply(sources[source], key, 1, &api);
    }
    let users = ["b/CronJob/nightly", "z/Deployment/web", "a/ReplicaSet/rs"].map(Box::from).to_vec();
    let expected = UsedImage { image: "api:1".into(), users, more: 2, ..UsedImage::default() };
    assert_eq!(index.images(at(0), DAY, None), [expected]);
}

#[test]
fn an_object_of_no_namespace_is_named_without_one() {
    let (mut index, sources) = index(&[Kind::Deployment]);
    index.apply(sources[0], "/web", 1, &uses(&["api:1"], &[], None));
    assert_eq!(index.images(at(0), DAY, None)[0].users, [Box::from("Deployment/web")]);
}

#[test]
fn a_name_and_each_image_id_that_is_reported_for_it_are_told_apart() {
    let (mut index, sources) = index(&[Kind::Pod]);
    index.apply(sources[0], "a/p", 1, &uses(&["x", "x"], &[("1", "x"), ("2", "x"), ("1", "x")], None));
    let found = index.images(at(0), DAY, None);
    let told: Vec<_> = found.iter().map(|used| (&*used.image, used.id.as_deref(), used.more)).collect();
    assert_eq!(told, [("x", None, 0), ("x", Some("1"), 0), ("x", Some("2"), 0)]);
}

#[rstest]
#[case::runs(None, at(1000), true)]
#[case::just_finished(Some(at(0)), at(0), true)]
#[case::within_the_time(Some(at(0)), at(23), true)]
#[case::when_it_is_over(Some(at(0)), at(24), false)]
#[case::long_ago(Some(at(0)), at(1000), false)]
#[case::finishes_in_the_future(Some(at(10)), at(0), true)]
fn what_has_finished_stops_counting_a_day_later(
    #[case] finished: Option<Timestamp>,
    #[case] now: Timestamp,
    #[case] counts: bool,
) {
    let (mut index, sources) = index(&[Kind::Job]);
    index.apply(sources[0], "a/job", 1, &uses(&["api:1"], &[("sha", "api:1")], finished));
    assert_eq!(!index.images(now, DAY, None).is_empty(), counts);
    assert!(!index.images(now, SignedDuration::MAX, None).is_empty(), "for ever is not at once");
}

#[test]
fn during_a_list_nothing_is_missing_and_after_it_only_what_it_showed_is_there() {
    let (mut index, sources) = index(&[Kind::Pod]);
    index.apply(sources[0], "a/old", 1, &uses(&["old"], &[], None));
    index.apply(sources[0], "a/stays", 1, &uses(&["stays"], &[], None));
    index.begin_list(sources[0]);
    index.apply(sources[0], "a/new", 2, &uses(&["new"], &[], None));
    assert_eq!(texts(&index, at(0)), ["new", "old", "stays"]);
    index.apply(sources[0], "a/stays", 1, &uses(&["stays"], &[], None));
    index.end_list(sources[0]);
    assert_eq!(texts(&index, at(0)), ["new", "stays"]);
}

#[test]
fn a_list_that_breaks_off_removes_nothing() {
    let (mut index, sources) = index(&[Kind::Pod]);
    index.apply(sources[0], "a/old", 1, &uses(&["old"], &[], None));
    index.begin_list(sources[0]);
    index.begin_list(sources[0]);
    assert_eq!(texts(&index, at(0)), ["old"]);
}

#[test]
fn what_cannot_be_read_any_more_keeps_its_images_and_is_named_until_it_can_be_or_is_gone() {
    let (mut index, sources) = index(&[Kind::Pod]);
    index.apply(sources[0], "a/p", 1, &uses(&["api:1"], &[], Some(at(0))));
    assert!(index.apply_unreadable(sources[0], "a/p", 2));
    assert!(!index.apply_unreadable(sources[0], "a/p", 2));
    assert!(index.apply_unreadable(sources[0], "a/q", 3));
    assert_eq!(index.unreadable(sources[0]), Some(("a/p", 2)));
    assert_eq!(texts(&index, at(1000)), ["api:1"], "it may run again");
    index.delete(sources[0], "a/p");
    index.apply(sources[0], "a/q", 4, &uses(&[], &[], None));
    assert_eq!(index.unreadable(sources[0]), None);
    assert_eq!(texts(&index, at(0)), [] as [&str; 0]);
}

#[test]
fn the_version_stays_when_only_other_parts_of_an_object_changed() {
    let (mut index, sources) = index(&[Kind::Pod]);
    index.apply(sources[0], "a/p", 1, &uses(&["b", "a"], &[("c", "b")], None));
    let before = index.version();
    index.apply(sources[0], "a/p", 2, &uses(&["a", "b"], &[("c", "b"), ("c", "b")], None));
    assert_eq!((index.version(), index.version_of(sources[0], "a/p")), (before, Some(2)));
    index.apply(sources[0], "a/p", 3, &uses(&["a", "b"], &[("c", "a")], None));
    assert!(index.version() > before, "the image is reported for another name");
}

#[derive(Clone, Debug)]
enum Step {
    Apply(usize, usize, Vec<usize>, Vec<(usize, usize)>, Option<i64>),
    Unreadable(usize, usize),
    Delete(usize, usize),
    BeginList(usize),
    EndList(usize),
    Clear(usize),
}

const KINDS: [Kind; 3] = [Kind::Pod, Kind::ReplicaSet, Kind::Deployment];
const KEYS: [&str; 4] = ["a/one", "a/two", "b/one", "/one"];
const TEXTS: [&str; 4] = ["api:1", "api:2", "web@sha256:0", "db"];

fn step() -> impl Strategy<Value = Step> {
    let (source, key) = (0..KINDS.len(), 0..KEYS.len());
    let texts = || prop::collection::vec(0..TEXTS.len(), 0..4);
    let pairs = || prop::collection::vec((0..TEXTS.len(), 0..TEXTS.len()), 0..4);
    prop_oneof![
        8 => (source.clone(), key.clone(), texts(), pairs(), prop::option::of(0..48_i64))
            .prop_map(|(source, key, names, ids, finished)| Step::Apply(source, key, names, ids, finished)),
        1 => (source.clone(), key.clone()).prop_map(|(source, key)| Step::Unreadable(source, key)),
        3 => (source.clone(), key).prop_map(|(source, key)| Step::Delete(source, key)),
        1 => source.clone().prop_map(Step::BeginList),
        1 => source.clone().prop_map(Step::EndList),
        1 => source.prop_map(Step::Clear),
    ]
}

/// An object as one would keep it without any thought of memory.
#[derive(Clone, Debug, Default)]
struct Plain {
    images: BTreeSet<(&'static str, Option<&'static str>)>,
    finished: Option<Timestamp>,
    unreadable: bool,
    seen: bool,
}

type Model = BTreeMap<(usize, usize), Plain>;

fn carry_out(step: &Step, version: u64, index: &mut Index, sources: &[SourceId], model: &mut Model) {
    match step {
        Step::Apply(source, key, names, ids, finished) => {
            let names: Vec<&str> = names.iter().map(|name| TEXTS[*name]).collect();
            let ids: Vec<(&str, &str)> = ids.iter().map(|(id, name)| (TEXTS[*id], TEXTS[*name])).collect();
            let finished = finished.map(at);
            index.apply(sources[*source], KEYS[*key], version, &uses(&names, &ids, finished));
            let ids = ids.into_iter().map(|(id, name)| (name, Some(id)));
            let images = names.into_iter().map(|name| (name, None)).chain(ids);
            let plain = Plain { images: images.collect(), finished, unreadable: false, seen: true };
            model.insert((*source, *key), plain);
        }
        Step::Unreadable(source, key) => {
            index.apply_unreadable(sources[*source], KEYS[*key], version);
            let plain = model.entry((*source, *key)).or_default();
            (plain.unreadable, plain.seen, plain.finished) = (true, true, None);
        }
        Step::Delete(source, key) => {
            index.delete(sources[*source], KEYS[*key]);
            model.remove(&(*source, *key));
        }
        Step::BeginList(source) => {
            index.begin_list(sources[*source]);
            model.iter_mut().filter(|((of, _), _)| of == source).for_each(|(_, plain)| plain.seen = false);
        }
        Step::EndList(source) => {
            index.end_list(sources[*source]);
            model.retain(|(of, _), plain| of != source || plain.seen);
        }
        Step::Clear(source) => {
            index.clear(sources[*source]);
            model.retain(|(of, _), _| of != source);
        }
    }
}

fn images_of(model: &Model, now: Timestamp) -> Vec<UsedImage> {
    let mut users: BTreeMap<(&str, Option<&str>), Vec<User<'_>>> = BTreeMap::new();
    for ((source, key), plain) in model {
        if plain.finished.is_none_or(|finished| now < finished + DAY) {
            for image in &plain.images {
                users.entry(*image).or_default().push((KINDS[*source].rank(), KEYS[*key], KINDS[*source].name()));
            }
        }
    }
    let used = users.into_iter().map(|((image, id), mut users)| {
        users.sort_unstable();
        let more = number(users.len().saturating_sub(NAMED_USERS));
        let users = users.into_iter().take(NAMED_USERS).map(|(_, key, kind)| user(key, kind).into()).collect();
        UsedImage { image: image.into(), id: id.map(Into::into), users, more, elsewhere: vec![] }
    });
    used.collect()
}

proptest! {
    #[test]
    fn any_sequence_of_events_leads_to_what_is_there_and_to_nothing_else(
        steps in prop::collection::vec(step(), 0..60),
        now in (0..96_i64).prop_map(at),
    ) {
        let (mut index, sources) = index(&KINDS);
        let mut model = Model::new();
        for (version, step) in steps.iter().enumerate() {
            let before = (index.version(), index.images(now, DAY, None));
            carry_out(step, version as u64, &mut index, &sources, &mut model);
            let after = (index.version(), index.images(now, DAY, None));
            prop_assert_eq!(&after.1, &images_of(&model, now));
            prop_assert!(after.0 >= before.0 && (after.0 > before.0 || after.1 == before.1), "{before:?} {after:?}");
        }
        for (position, source) in sources.iter().enumerate() {
            let of = |plain: &&Plain| plain.unreadable;
            let objects = model.iter().filter(|((source, _), _)| *source == position).map(|(_, plain)| plain);
            prop_assert_eq!(index.len(*source), objects.clone().count());
            let unreadable = objects.filter(of).count();
            prop_assert_eq!(index.unreadable(*source).map_or(0, |(_, all)| all), unreadable);
        }
        // Each text is held as often as objects name it, and nothing else is kept.
        let (mut names, mut ids): (HashMap<Arc<str>, u32>, HashMap<Arc<str>, u32>) = Default::default();
        for (name, id) in model.values().flat_map(|plain| &plain.images) {
            *names.entry(Arc::from(*name)).or_default() += 1;
            if let Some(id) = id {
                *ids.entry(Arc::from(*id)).or_default() += 1;
            }
        }
        prop_assert_eq!((&index.names.0, &index.ids.0), (&names, &ids));
    }
}
