//! How much one document of GraphQL asks for: follows the time that the last answers took.
//!
//! Pure: what was seen goes in, the next size comes out. One [`Size`] for each host and purpose, since a page of tags
//! and the removal of a tag take a server different times. It knows neither what is asked for nor any clock.
//!
//! ```text
//! answers within the time that is aimed at  → larger, at most twice what was just answered
//! answers later                             → at once what would have fitted
//! too much: timed out, no answer            → half of what was asked for
//! refused before anything was done          → the same, and never more again
//! ```

use std::time::Duration;

/// How many items one document may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    now: usize,
    most: usize,
    aim: Duration,
}

/// What became of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It was answered in so much time.
    Answered {
        /// Items that it had.
        items: usize,
        /// From its beginning to its answer.
        took: Duration,
    },
    /// It has more than the server takes, whatever the time.
    Refused {
        /// Items that it had.
        items: usize,
    },
    /// It was not answered in time, or not answered at all.
    TooMuch {
        /// Items that it had.
        items: usize,
    },
}

impl Size {
    /// Begins with so many items, and aims at answers within a time. Never more than `most`.
    pub(super) const fn new(first: usize, most: usize, aim: Duration) -> Self {
        let most = if most == 0 { 1 } else { most };
        let now = if first == 0 { 1 } else { first };
        Self { now: if now > most { most } else { now }, most, aim }
    }

    /// Items of the next document, at least one.
    pub(super) const fn items(self) -> usize {
        self.now
    }

    /// Learns from a document.
    #[must_use]
    pub(super) fn after(self, seen: Seen) -> Self {
        let most = match seen {
            Seen::Refused { items } => self.most.min(items / 2).max(1),
            _ => self.most,
        };
        let now = match seen {
            Seen::Answered { items: 0, .. } | Seen::TooMuch { items: 0 } => self.now,
            Seen::TooMuch { items } | Seen::Refused { items } => self.now.min(items / 2),
            Seen::Answered { items, took } => {
                let fitting = fitting(items, took, self.aim);
                // A small document says nothing of a large one, except that it would take longer.
                if fitting < self.now { fitting } else { self.now.max(fitting.min(items.saturating_mul(2))) }
            }
        };
        Self { now: now.clamp(1, most), most, ..self }
    }
}

/// How many items would have been answered within a time.
fn fitting(items: usize, took: Duration, aim: Duration) -> usize {
    let items = u128::try_from(items).unwrap_or(u128::MAX);
    let fitting = items.saturating_mul(aim.as_nanos()).checked_div(took.as_nanos());
    fitting.map_or(usize::MAX, |fitting| usize::try_from(fitting).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const AIM: Duration = Duration::from_secs(3);

    const fn answered(items: usize, milliseconds: u64) -> Seen {
        Seen::Answered { items, took: Duration::from_millis(milliseconds) }
    }

    #[rstest]
    #[case::a_fast_server_gets_twice_as_much(40, answered(40, 100), 80)]
    #[case::up_to_what_fits(40, answered(40, 2000), 60)]
    #[case::a_slow_one_less_at_once(40, answered(40, 6000), 20)]
    #[case::even_less_than_one_request_of_old(20, answered(20, 30_000), 2)]
    #[case::but_one(20, answered(20, 600_000), 1)]
    #[case::a_small_document_proves_nothing_about_large_ones(80, answered(3, 1), 80)]
    #[case::unless_it_was_slow(80, answered(10, 1000), 30)]
    #[case::what_took_no_time_at_all(40, answered(40, 0), 80)]
    #[case::not_above_the_bound(400, answered(400, 1), 500)]
    #[case::too_much_is_halved(40, Seen::TooMuch { items: 40 }, 20)]
    #[case::one_is_never_too_much(1, Seen::TooMuch { items: 1 }, 1)]
    #[case::several_at_once_are_halved_once(20, Seen::TooMuch { items: 40 }, 20)]
    #[case::nothing_says_nothing(40, answered(0, 9000), 40)]
    fn a_size_follows_what_was_seen(#[case] now: usize, #[case] seen: Seen, #[case] next: usize) {
        assert_eq!(Size::new(now, 500, AIM).after(seen).items(), next);
    }

    #[test]
    fn what_was_refused_is_not_asked_for_again() {
        let mut size = Size::new(40, 500, AIM).after(Seen::Refused { items: 40 });
        for _ in 0..3 {
            assert_eq!(size.items(), 20);
            size = size.after(answered(20, 1));
        }
    }

    #[test]
    fn a_bound_of_one_is_never_left() {
        let size = Size::new(40, 1, AIM);
        assert_eq!(size.items(), 1);
        assert_eq!(size.after(answered(1, 0)).items(), 1);
    }

    fn seen() -> impl Strategy<Value = Seen> {
        prop_oneof![
            (0_usize..2000, 0_u64..100_000).prop_map(|(items, took)| answered(items, took)),
            (0_usize..2000).prop_map(|items| Seen::TooMuch { items }),
            (0_usize..2000).prop_map(|items| Seen::Refused { items }),
        ]
    }

    proptest! {
        #[test]
        fn a_size_stays_within_its_bounds_and_never_grows_past_twice_what_was_answered(
            all in proptest::collection::vec(seen(), 1..50), first in 0_usize..2000, most in 0_usize..2000,
        ) {
            let mut size = Size::new(first, most, AIM);
            for seen in all {
                let next = size.after(seen);
                prop_assert!((1..=most.max(1)).contains(&next.items()));
                match seen {
                    Seen::Answered { items, took } if items > 0 => {
                        prop_assert!(next.items() <= size.items().max(items * 2));
                        // What is as slow as this again keeps to the time that is aimed at, unless it is a single item.
                        let again = took.as_nanos() * next.items() as u128;
                        prop_assert!(next.items() == 1 || again <= AIM.as_nanos() * items as u128);
                    }
                    _ => prop_assert!(next.items() <= size.items()),
                }
                size = next;
            }
        }

        /// A server that takes as long for each item as it likes, always the same.
        #[test]
        fn full_documents_come_to_take_the_time_that_is_aimed_at(each in 1_u64..10_000) {
            let mut size = Size::new(40, 500, AIM);
            for _ in 0..10 {
                let items = size.items();
                size = size.after(answered(items, each * items as u64));
            }
            let takes = each * size.items() as u64;
            prop_assert!(takes <= 3000 || size.items() == 1, "{takes} ms");
            prop_assert!(takes + each > 3000 || size.items() == 500, "{takes} ms of {each} each");
        }
    }
}
