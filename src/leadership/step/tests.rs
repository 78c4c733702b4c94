//! Tables of what is done about a Lease, and a model in which two processes with clocks of their own use one.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::leadership::term::Term;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: u64) -> Moment {
    Moment { wall: Timestamp::UNIX_EPOCH, elapsed: secs(seconds) }
}

fn me() -> Identity {
    Identity::new(Some("me"), Some("uid"), 1)
}

fn held(holder: Option<&str>, duration: Option<u64>) -> Record {
    let holder = holder.map(str::to_owned);
    let (acquired, renewed) = (Some(Timestamp::MAX), Some(Timestamp::MAX));
    Record { holder, duration: duration.map(secs), transitions: 3, acquired, renewed }
}

fn seen(record: Option<Record>) -> Seen {
    Seen::again(None, record, at(1000))
}

const ANOTHER: Option<&str> = Some("b_uid-b_1");

#[rstest]
#[case::none(None, 0, Candidacy::Create)]
#[case::released(Some(held(None, Some(1))), 0, Candidacy::Acquire)]
#[case::of_another(Some(held(ANOTHER, Some(60))), 0, Candidacy::Wait(secs(60)))]
#[case::of_another_for_a_while(Some(held(ANOTHER, Some(60))), 59, Candidacy::Wait(secs(1)))]
#[case::of_another_for_long(Some(held(ANOTHER, Some(60))), 60, Candidacy::Acquire)]
#[case::of_another_with_other_times(Some(held(ANOTHER, Some(15))), 15, Candidacy::Acquire)]
#[case::of_another_that_says_no_time(Some(held(ANOTHER, None)), 59, Candidacy::Wait(secs(1)))]
#[case::of_a_former_process_of_this_pod(Some(held(Some("me_uid_9"), Some(60))), 0, Candidacy::Acquire)]
#[case::mine_since_the_answer_was_lost(Some(held(Some("me_uid_0000000000000001"), Some(60))), 0, Candidacy::Acquire)]
fn a_process_that_does_not_lead_takes_the_lease_once_nobody_can_hold_it(
    #[case] record: Option<Record>,
    #[case] seconds_later: u64,
    #[case] expected: Candidacy,
) {
    assert_eq!(candidate(&seen(record), &me(), &Timing::default(), at(1000 + seconds_later)), expected);
}

#[test]
fn every_renewal_begins_the_time_anew_and_remote_times_say_nothing() {
    let first = seen(Some(held(ANOTHER, Some(60))));
    let same = Seen::again(Some(first.clone()), first.record.clone(), at(1050));
    assert_eq!(same, first, "the same record is as old as it was");
    let renewed = Record { renewed: Some(Timestamp::MIN), ..held(ANOTHER, Some(60)) };
    let again = Seen::again(Some(first), Some(renewed), at(1050));
    assert_eq!(candidate(&again, &me(), &Timing::default(), at(1100)), Candidacy::Wait(secs(10)));
}

#[test]
fn a_lease_that_somebody_removed_is_not_made_again_while_its_holder_may_work() {
    let before = seen(Some(held(ANOTHER, Some(60))));
    let removed = Seen::again(Some(before.clone()), None, at(1010));
    let does = |seen: &Seen, seconds| candidate(seen, &me(), &Timing::default(), at(seconds));
    assert_eq!(does(&removed, 1011), Candidacy::Wait(secs(59)));
    assert_eq!(does(&removed, 1070), Candidacy::Create);
    let released = Seen::again(Some(before), Some(held(None, Some(1))), at(1010));
    assert_eq!(released.last_holder.as_ref().map(|(holder, _)| holder.as_str()), ANOTHER);
}

#[rstest]
#[case::young(Some("me_uid_0000000000000001"), 4, Leading::Wait(secs(1)))]
#[case::due(Some("me_uid_0000000000000001"), 5, Leading::Renew)]
#[case::a_second_before_the_deadline(Some("me_uid_0000000000000001"), 39, Leading::Renew)]
#[case::frozen_until_the_deadline(Some("me_uid_0000000000000001"), 40, Leading::End(Loss::NotRenewed))]
#[case::taken(ANOTHER, 1, Leading::End(Loss::Taken))]
#[case::released_by_somebody(None, 1, Leading::End(Loss::Taken))]
#[case::of_a_former_process(Some("me_uid_9"), 1, Leading::End(Loss::Taken))]
fn a_leader_renews_and_ends_once_it_cannot_know_that_it_leads(
    #[case] holder: Option<&str>,
    #[case] seconds_later: u64,
    #[case] expected: Leading,
) {
    let seen = seen(Some(held(holder, Some(60))));
    assert_eq!(leader(&seen, &me(), at(1000), &Timing::default(), at(1000 + seconds_later)), expected);
}

#[test]
fn a_leader_makes_a_lease_again_that_somebody_removed() {
    assert_eq!(leader(&seen(None), &me(), at(1000), &Timing::default(), at(1001)), Leading::Create);
}

#[test]
fn an_hour_on_the_wall_clock_makes_a_leader_renew_and_does_not_end_it() {
    let seen = seen(Some(held(Some(me().as_str()), Some(60))));
    for hour in [1, -1] {
        let now = Moment { wall: at(0).wall + SignedDuration::from_hours(hour), elapsed: secs(1001) };
        let expected = if hour > 0 { Leading::Renew } else { Leading::Wait(secs(4)) };
        assert_eq!(leader(&seen, &me(), at(1000), &Timing::default(), now), expected);
    }
}

#[test]
fn what_is_written_counts_holders_and_keeps_the_beginning_of_a_term() {
    let (timing, me) = (Timing::default(), me());
    let [begun, later] = [10, 20].map(|second| Timestamp::from_second(second).unwrap());
    let first = Record::held_by(me.as_str(), None, &timing, begun);
    assert_eq!((first.transitions, first.acquired, first.renewed), (0, Some(begun), Some(begun)));
    assert_eq!(first.duration, Some(secs(60)));
    let again = Record::held_by(me.as_str(), Some(&first), &timing, later);
    assert_eq!((again.transitions, again.acquired, again.renewed), (0, Some(begun), Some(later)));
    let taken = Record::held_by("another", Some(&again), &timing, later);
    assert_eq!((taken.transitions, taken.acquired), (1, Some(later)));
    let released = Record::released(&taken, later);
    assert_eq!((released.holder.as_deref(), released.duration, released.transitions), (None, Some(secs(1)), 1));
    assert_eq!(Record::held_by(me.as_str(), Some(&released), &timing, later).transitions, 2);
}

/// The Lease as the API server keeps it: a write that names an old version fails.
#[derive(Default)]
struct Server {
    version: u64,
    record: Option<Record>,
}

/// A process of the model, with what it last read.
struct Process {
    me: Identity,
    number: usize,
    /// How far its clocks are ahead, in milliseconds; the elapsed one has an origin of its own.
    skew: i64,
    origin: u64,
    seen: Option<(u64, Seen)>,
    term: Option<Term>,
    frozen_until: u64,
}

impl Process {
    fn now(&self, millis: u64) -> Moment {
        let wall = Timestamp::from_millisecond(1_000_000_000_000 + i64::try_from(millis).unwrap() + self.skew).unwrap();
        Moment { wall, elapsed: Duration::from_millis(self.origin + millis) }
    }

    /// Reads, decides, and writes: what it read may be old by then, and the answer may be lost.
    fn turn(&mut self, server: &mut Server, millis: u64, timing: &Timing, cut: bool, answer_lost: bool) {
        let now = self.now(millis);
        let Some((version, seen)) = self.seen.take() else {
            if !cut {
                self.seen = Some((server.version, Seen::again(None, server.record.clone(), now)));
            }
            return;
        };
        let writes = match self.term {
            None => !matches!(candidate(&seen, &self.me, timing, now), Candidacy::Wait(_)),
            Some(term) => match leader(&seen, &self.me, term.since(), timing, now) {
                Leading::End(_) => {
                    // Another process is started in its place.
                    self.me = Identity::new(Some("operator"), Some(&self.number.to_string()), millis);
                    (self.term, self.seen) = (None, None);
                    return;
                }
                Leading::Wait(_) => false,
                Leading::Create | Leading::Renew => true,
            },
        };
        if writes && !cut && version == server.version {
            server.version += 1;
            server.record = Some(Record::held_by(self.me.as_str(), server.record.as_ref(), timing, now.wall));
            if !answer_lost {
                self.term = Some(Term::new(now, *timing));
            }
        }
        let read =
            if cut { (version, seen) } else { (server.version, Seen::again(Some(seen), server.record.clone(), now)) };
        self.seen = Some(read);
    }
}

proptest! {
    /// Whatever is frozen, cut off and answered late, and however wrong the clocks are: while a request that removes
    /// something may be on its way, no other process leads.
    #[test]
    fn no_two_processes_may_remove_at_the_same_time(
        steps in prop::collection::vec((0_usize..2, 50_u64..900, 0_u8..12), 1..200),
        skew in -3_600_000_i64..3_600_000,
    ) {
        let millis = Duration::from_millis;
        let timing = Timing::new(millis(3000), millis(2000), millis(500)).unwrap();
        let mut server = Server::default();
        let mut processes: Vec<_> = [(0, 7), (skew, 5_000_000)].into_iter().enumerate().map(|(number, (skew, origin))| {
            let me = Identity::new(Some("operator"), Some(&number.to_string()), 0);
            Process { me, number, skew, origin, seen: None, term: None, frozen_until: 0 }
        }).collect();
        let (mut time, mut busy_until) = (0_u64, [0_u64; 2]);
        for (who, pause, event) in steps {
            time += pause;
            let process = &mut processes[who];
            if event == 0 {
                process.frozen_until = time + 4000;
            }
            if time < process.frozen_until {
                continue;
            }
            process.turn(&mut server, time, &timing, event == 1, event == 2);
            let now = process.now(time);
            if let Some(left) = process.term.and_then(|term| term.removal_time(now)) {
                prop_assert!(busy_until[1 - who] <= time, "both send at {time}");
                busy_until[who] = time + u64::try_from(left.as_millis()).unwrap();
            }
        }
    }
}
