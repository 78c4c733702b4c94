//! Stretches against servers that do with guesses what they should, and others that do anything else.

use proptest::prelude::*;

use super::*;

/// A tag: its push in tenths of a second, of which only whole seconds are told, and its name.
type Place = (i64, String);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Seen(String, i64);

impl Pushed for Seen {
    fn name(&self) -> &str {
        &self.0
    }

    fn pushed(&self) -> Option<Timestamp> {
        Some(second(self.1))
    }
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn what_is_to_be_read_to_the_end_is_read_beyond_the_moment_and_never_cut() {
    let tags: Vec<Place> = (0..30).map(|number| (10 * number, format!("t{number:02}"))).collect();
    let mut server = Server::new(tags, 4, Guesses::Right);
    let mut stretches = Stretches::new(second(3));
    stretches.read_to_the_end();
    while !stretches.is_done() {
        for (id, after) in stretches.wanted() {
            let (page, next) = server.page(&after).unwrap();
            stretches.note(id, page, next).unwrap();
        }
        stretches.cut(9, 1);
        assert!(stretches.waiting() <= 1);
    }
    let read = stretches.finish().unwrap();
    assert_eq!((read.tags.len(), read.to_the_end, server.pages), (30, true, 8));
}

/// What a server does with a guess.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Guesses {
    /// Shows what comes after it.
    Right,
    Refuses,
    ShowsNothing,
    StartsOver,
    /// Shows some of what comes after it.
    Gaps,
    /// Begins too late.
    Late,
    /// Says that nothing follows its first page.
    EndsAtOnce,
    /// Goes by names instead of pushes.
    ByName,
}

const WRONG: [Guesses; 7] = [
    Guesses::Refuses,
    Guesses::ShowsNothing,
    Guesses::StartsOver,
    Guesses::Gaps,
    Guesses::Late,
    Guesses::EndsAtOnce,
    Guesses::ByName,
];

struct Server {
    tags: Vec<Place>,
    size: usize,
    guesses: Guesses,
    pages: usize,
}

impl Server {
    fn new(mut tags: Vec<Place>, size: usize, guesses: Guesses) -> Self {
        tags.sort();
        Self { tags, size, guesses, pages: 0 }
    }

    /// A page and the cursor to the next; `None` is an error.
    fn page(&mut self, after: &After) -> Option<(Vec<Seen>, Option<String>)> {
        self.pages += 1;
        let (from, guessed) = match after {
            After::Beginning => (None, None),
            After::Cursor(cursor) => {
                let (date, name) = cursor.split_once('|').unwrap();
                (Some((date.parse().unwrap(), name.to_owned())), None)
            }
            After::Guess(moment) => (Some((10 * moment.as_second(), LARGE.to_owned())), Some(self.guesses)),
        };
        let mut index = 0;
        let follows = |place: &&Place| {
            let follows = from.as_ref().is_none_or(|from| *place > from);
            index += usize::from(follows);
            match guessed {
                Some(Guesses::Gaps) => follows && index % 4 != 3,
                Some(Guesses::Late) => follows && index > 2,
                Some(Guesses::StartsOver) => true,
                Some(Guesses::ByName) => follows && place.1.as_str() > LARGE,
                _ => follows,
            }
        };
        let mut shown: Vec<&Place> = self.tags.iter().filter(follows).take(self.size + 1).collect();
        match guessed {
            Some(Guesses::Refuses) => return None,
            Some(Guesses::ShowsNothing) => shown.clear(),
            _ => {}
        }
        let more = shown.len() > self.size && guessed != Some(Guesses::EndsAtOnce);
        shown.truncate(self.size);
        let next = shown.last().filter(|_| more).map(|(date, name)| format!("{date}|{name}"));
        Some((shown.into_iter().map(|(date, name)| Seen(name.clone(), date.div_euclid(10))).collect(), next))
    }
}

/// Reads all, answering one of the pages that are asked for at a time: which, the numbers say. `meanwhile` happens
/// before each answer.
fn read(
    server: &mut Server,
    until: i64,
    room: usize,
    least: u64,
    numbers: &[usize],
    meanwhile: impl FnMut(&mut Server, usize),
) -> (Result<Read<Seen>, Wrong>, bool) {
    read_pass(server, (until, None), room, least, numbers, meanwhile)
}

/// The same in a pass.
fn read_pass(
    server: &mut Server,
    (until, pass): (i64, Option<Pass>),
    room: usize,
    least: u64,
    numbers: &[usize],
    mut meanwhile: impl FnMut(&mut Server, usize),
) -> (Result<Read<Seen>, Wrong>, bool) {
    let mut stretches: Stretches<Seen> = Stretches::new(second(until)).in_pass(pass);
    let mut asked: Vec<(StretchId, After)> = Vec::new();
    let mut numbers = numbers.iter().cycle();
    let mut step = 0;
    while !stretches.is_done() {
        asked.extend(stretches.wanted());
        let (id, after) = asked.remove(numbers.next().unwrap() % asked.len());
        meanwhile(server, step);
        step += 1;
        match server.page(&after) {
            None => assert!(stretches.refused(id), "only guesses are refused"),
            Some((page, next)) => {
                if let Err(wrong) = stretches.note(id, page, next) {
                    return (Err(wrong), stretches.is_refuted());
                }
            }
        }
        stretches.cut(room.saturating_sub(asked.len()), least);
    }
    let refuted = stretches.is_refuted();
    (stretches.finish(), refuted)
}

fn page_by_page(server: &mut Server, until: i64) -> Read<Seen> {
    read(server, until, 0, 1, &[0], |_, _| {}).0.unwrap()
}

fn places() -> impl Strategy<Value = Vec<Place>> {
    let tags = proptest::collection::btree_map("[a-c][a-f0-9]{1,3}", 0_i64..3000, 0..120);
    let dense = any::<bool>();
    (tags, dense).prop_map(|(tags, dense)| {
        // Dates of one moment, or few, as an import gives them, or nearly so.
        let date = |date: i64| if dense { date % 7 + 1000 } else { date };
        tags.into_iter().map(|(name, at)| (date(at), name)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_comes_out_is_what_reading_page_by_page_comes_to(
        tags in places(), size in 2_usize..6, until in 0_i64..320, room in 0_usize..8, least in 1_u64..20,
        numbers in proptest::collection::vec(any::<usize>(), 1..40),
    ) {
        let mut server = Server::new(tags, size, Guesses::Right);
        let plain = page_by_page(&mut server, until);
        let (read, refuted) = read(&mut server, until, room, least, &numbers, |_, _| {});
        let read = read.unwrap();
        prop_assert_eq!(cut_off(&read.tags, until), cut_off(&plain.tags, until));
        prop_assert_eq!(read.to_the_end, plain.to_the_end);
        prop_assert!(!refuted, "a server that does right is not refuted");
    }

    #[test]
    fn a_server_that_does_something_else_with_guesses_makes_no_difference(
        tags in places(), size in 2_usize..6, until in 0_i64..320, room in 1_usize..8, least in 1_u64..20,
        numbers in proptest::collection::vec(any::<usize>(), 1..40), guesses in prop::sample::select(&WRONG[..]),
    ) {
        let mut server = Server::new(tags, size, guesses);
        let plain = page_by_page(&mut server, until);
        let (read, _) = read(&mut server, until, room, least, &numbers, |_, _| {});
        let read = read.unwrap();
        prop_assert_eq!(cut_off(&read.tags, until), cut_off(&plain.tags, until));
        prop_assert_eq!(read.to_the_end, plain.to_the_end);
    }

    #[test]
    fn a_pass_shows_everything_up_to_where_it_has_come_and_each_comes_further(
        tags in places(), size in 2_usize..6, until in 0_i64..320, room in 0_usize..8, least in 1_u64..20,
        numbers in proptest::collection::vec(any::<usize>(), 1..40), most in 1_u64..40,
        guesses in prop::sample::select([WRONG, [Guesses::Right; 7]].concat()),
    ) {
        let mut server = Server::new(tags, size, guesses);
        let plain = page_by_page(&mut server, until);
        let (mut beyond, mut kept) = (None, 0);
        loop {
            let pass = Pass { tags: most + kept, beyond };
            let read = read_pass(&mut server, (until, Some(pass)), room, least, &numbers, |_, _| {}).0.unwrap();
            let to = read.narrowed.map_or(until, Timestamp::as_second);
            prop_assert!(to <= until);
            prop_assert_eq!(cut_off(&read.tags, to), cut_off(&plain.tags, to));
            kept = cut_off(&read.tags, to).len() as u64;
            let Some(moment) = read.narrowed else {
                prop_assert_eq!(read.to_the_end, plain.to_the_end);
                break;
            };
            prop_assert!(beyond.is_none_or(|beyond| moment > beyond));
            beyond = Some(moment);
        }
    }

    #[test]
    fn no_tag_is_missed_or_counted_twice_that_stays_as_it_is_whatever_is_pushed_and_removed_meanwhile(
        tags in places(), size in 2_usize..6, room in 0_usize..8,
        numbers in proptest::collection::vec(any::<usize>(), 1..40),
        events in proptest::collection::vec((0_usize..60, any::<prop::sample::Index>(), any::<bool>()), 0..6),
    ) {
        let until = 200;
        let mut server = Server::new(tags.clone(), size, Guesses::Right);
        let touched = std::cell::RefCell::new(HashSet::new());
        let (read, _) = read(&mut server, until, room, 2, &numbers, |server, step| {
            for (_, index, again) in events.iter().filter(|(at, ..)| *at == step) {
                if server.tags.is_empty() {
                    return;
                }
                let (_, name) = server.tags.remove(index.index(server.tags.len()));
                touched.borrow_mut().insert(name.clone());
                if *again {
                    server.tags.push((3500, name));
                }
            }
        });
        // What came twice proves nothing, and everything is read in another order then.
        if let Ok(read) = read {
            let names: Vec<&str> = read.tags.iter().map(|tag| &*tag.0).collect();
            prop_assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
            let touched = touched.borrow();
            let stays = |(at, name): &&Place| *at < 10 * until && !touched.contains(name);
            for (_, name) in tags.iter().filter(stays) {
                prop_assert!(names.contains(&&**name), "{} is missing", name);
            }
        }
    }
}

/// What is old enough. The page in which the rest begins may show more or less of it.
fn cut_off(tags: &[Seen], until: i64) -> Vec<&Seen> {
    tags.iter().filter(|tag| tag.1 < until).collect()
}

/// Tags at equal distances up to the moment 100,000.
fn evenly(tags: i64) -> Vec<Place> {
    (0..tags).map(|tag| (1_000_000 / tags * tag, format!("t{:05}", tag * 7919 % 100_003))).collect()
}

/// Reads in rounds: all pages that are asked for are answered at the same time. How many rounds that takes, and pages.
fn rounds(server: &mut Server, until: i64, room: usize) -> (usize, usize) {
    let mut stretches: Stretches<Seen> = Stretches::new(second(until));
    let (mut rounds, before) = (0, server.pages);
    while !stretches.is_done() {
        rounds += 1;
        let wanted = stretches.wanted();
        assert!(wanted.len() <= room.max(1), "{wanted:?}");
        for (id, after) in wanted {
            match server.page(&after) {
                Some((page, next)) => stretches.note(id, page, next).unwrap(),
                None => assert!(stretches.refused(id)),
            }
        }
        stretches.cut(room.saturating_sub(stretches.waiting()), 80);
    }
    stretches.finish().unwrap();
    (rounds, server.pages - before)
}

#[test]
fn a_long_way_is_read_ten_pages_at_a_time() {
    let mut server = Server::new(evenly(9000), 20, Guesses::Right);
    let (rounds, pages) = rounds(&mut server, 100_000, 10);
    assert!(rounds <= 56, "{rounds} rounds for 450 pages");
    assert!(pages <= 490, "{pages} pages");
}

#[test]
fn a_pass_has_about_as_many_tags_as_it_is_to_have_wherever_they_crowd() {
    let crowd = (0..81_000).map(|tag| (900_000 + tag, format!("c{tag:05}")));
    let late: Vec<Place> = evenly(9000).into_iter().chain(crowd).collect();
    for tags in [evenly(90_000), late] {
        let mut server = Server::new(tags, 20, Guesses::Right);
        let (mut beyond, mut kept, mut passes) = (None, 0, 0);
        loop {
            let pass = Pass { tags: 20_000 + kept, beyond };
            let read = read_pass(&mut server, (100_000, Some(pass)), 40, 80, &[0], |_, _| {}).0.unwrap();
            let more = read.tags.len() as u64 - kept;
            assert!(more <= 36_000, "{more} in pass {passes}");
            passes += 1;
            kept = read.tags.len() as u64;
            beyond = read.narrowed;
            if beyond.is_none() {
                break;
            }
        }
        assert!((3..=6).contains(&passes) && kept == 90_000, "{passes} passes, {kept} tags");
    }
}

#[test]
fn a_short_way_is_read_page_by_page() {
    let mut server = Server::new(evenly(90), 20, Guesses::Right);
    assert_eq!(rounds(&mut server, 100_000, 10), (5, 5));
    assert_eq!(rounds(&mut server, 10, 10), (1, 1), "nothing is old enough");
}

#[test]
fn tags_that_crowd_somewhere_are_read_many_pages_at_a_time_as_well() {
    // Nine of ten in a tenth of the time.
    let crowd = (0..8100).map(|tag| (900_000 + 12 * tag, format!("c{:05}", tag * 7919 % 100_003)));
    let mut server = Server::new(evenly(900).into_iter().chain(crowd).collect(), 20, Guesses::Right);
    let (rounds, pages) = rounds(&mut server, 100_000, 10);
    assert!(rounds <= 80, "{rounds} rounds for 450 pages");
    assert!(pages <= 540, "{pages} pages");
}

#[test]
fn equal_dates_cost_few_pages_more_than_one_after_the_other() {
    let mut server = Server::new((0..2000).map(|tag| (500_000, format!("t{tag:05}"))).collect(), 20, Guesses::Right);
    let (_, pages) = rounds(&mut server, 100_000, 10);
    assert!(pages <= 100 + 20, "{pages} pages for 100");
}

#[test]
fn every_way_to_go_wrong_is_noticed_and_costs_no_more_than_reading_once_more() {
    // One that begins too late shows nothing wrong.
    for guesses in WRONG.into_iter().filter(|guesses| *guesses != Guesses::Late) {
        let mut server = Server::new(evenly(2000), 20, guesses);
        let (read, refuted) = read(&mut server, 100_000, 10, 80, &[0], |_, _| {});
        assert!(refuted, "{guesses:?}");
        assert_eq!(read.unwrap().tags.len(), 2000, "{guesses:?}");
        assert!(server.pages <= 200, "{guesses:?}: {} pages for 100", server.pages);
    }
}

#[test]
fn pages_that_show_a_tag_twice_or_lead_in_a_circle_prove_nothing() {
    let page =
        |names: &[&str], at: i64| -> Vec<Seen> { names.iter().map(|name| Seen((*name).to_owned(), at)).collect() };
    let noted = |second_page: Vec<Seen>, cursor: &str| {
        let mut stretches = Stretches::new(second(100));
        let id = stretches.wanted()[0].0;
        stretches.note(id, page(&["a", "b"], 1), Some("one".to_owned())).unwrap();
        let id = stretches.wanted()[0].0;
        stretches.note(id, second_page, Some(cursor.to_owned()))
    };
    assert_eq!(noted(page(&["c", "d"], 2), "two"), Ok(()));
    assert_eq!(noted(page(&["c", "b"], 2), "two"), Err(Wrong::Order));
    assert_eq!(noted(page(&["c", "d"], 2), "one"), Err(Wrong::Circle));
}
