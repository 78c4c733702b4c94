//! How many requests may be under way to one host at the same time: fewer while it fails, or takes long.
//!
//! How much one document asks for follows its time, in `document_size`. That says nothing of a server that has too many
//! documents at once, or of what is no document. So the number is halved with every answer that tells of strain, down
//! to one, and grows by one again with as many good answers in a row.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit};

/// An answer that took longer than this tells of strain. Documents aim at less than half of it.
const LONG: Duration = Duration::from_secs(15);

/// Places for requests that are under way.
#[derive(Debug)]
pub(super) struct InFlight {
    free: Semaphore,
    width: Mutex<Width>,
}

/// One place, which is free again once this is dropped.
#[derive(Debug)]
pub(super) struct Place<'f> {
    of: &'f InFlight,
    permit: Option<SemaphorePermit<'f>>,
}

/// What an answer says of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Fine,
    Strained,
}

impl Condition {
    /// By the status of the answer, `None` if none came, and the time that it took.
    pub(super) fn of(status: Option<StatusCode>, took: Duration) -> Self {
        let overloaded = [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
        let failed = status.is_none_or(|status| overloaded.contains(&status));
        if failed || took > LONG { Self::Strained } else { Self::Fine }
    }
}

impl InFlight {
    /// So many places at most, at least one.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { free: Semaphore::new(most), width: Mutex::new(Width { now: most, most, good: 0, surplus: 0 }) }
    }

    /// Waits for a place.
    pub(super) async fn place(&self) -> Place<'_> {
        // It is never closed.
        Place { of: self, permit: self.free.acquire().await.ok() }
    }

    /// A place that is free just now.
    pub(super) fn free_place(&self) -> Option<Place<'_>> {
        Some(Place { of: self, permit: Some(self.free.try_acquire().ok()?) })
    }

    /// Learns from an answer.
    pub(super) fn note(&self, condition: Condition) {
        let mut width = self.width();
        let more = width.after(condition);
        self.free.add_permits(more);
        while width.surplus > 0 && self.free.forget_permits(1) > 0 {
            width.surplus -= 1;
        }
    }

    fn width(&self) -> MutexGuard<'_, Width> {
        // The numbers are valid between any two statements.
        self.width.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut width = self.of.width();
        if width.surplus > 0
            && let Some(permit) = self.permit.take()
        {
            width.surplus -= 1;
            permit.forget();
        }
    }
}

/// The number of places.
#[derive(Debug)]
struct Width {
    now: usize,
    most: usize,
    /// Good answers since it last changed.
    good: usize,
    /// Places that are taken, and are none any more when they are given back.
    surplus: usize,
}

impl Width {
    /// Learns from an answer, and says how many places more there are to be made.
    fn after(&mut self, condition: Condition) -> usize {
        match condition {
            Condition::Strained => {
                let next = (self.now / 2).max(1);
                self.surplus += self.now - next;
                (self.now, self.good) = (next, 0);
                0
            }
            Condition::Fine if self.now == self.most => 0,
            Condition::Fine if self.good + 1 < self.now => {
                self.good += 1;
                0
            }
            Condition::Fine => {
                (self.now, self.good) = (self.now + 1, 0);
                if self.surplus > 0 {
                    self.surplus -= 1;
                    0
                } else {
                    1
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::Condition::{Fine, Strained};
    use super::*;

    #[rstest]
    #[case::answered(Some(StatusCode::OK), 15, Fine)]
    #[case::late(Some(StatusCode::OK), 16, Strained)]
    #[case::no_answer(None, 0, Strained)]
    #[case::overloaded(Some(StatusCode::BAD_GATEWAY), 0, Strained)]
    #[case::closed_for_a_while(Some(StatusCode::SERVICE_UNAVAILABLE), 0, Strained)]
    #[case::behind_a_proxy(Some(StatusCode::GATEWAY_TIMEOUT), 0, Strained)]
    #[case::a_fault_of_one_request(Some(StatusCode::INTERNAL_SERVER_ERROR), 0, Fine)]
    #[case::the_pace_is_another_matter(Some(StatusCode::TOO_MANY_REQUESTS), 0, Fine)]
    #[case::a_refusal(Some(StatusCode::FORBIDDEN), 0, Fine)]
    fn a_server_is_strained_that_does_not_answer_or_takes_long(
        #[case] status: Option<StatusCode>,
        #[case] seconds: u64,
        #[case] expected: Condition,
    ) {
        assert_eq!(Condition::of(status, Duration::from_secs(seconds)), expected);
    }

    fn free(places: &InFlight) -> usize {
        let all: Vec<Place<'_>> = std::iter::from_fn(|| places.free_place()).collect();
        all.len()
    }

    #[test]
    fn strain_halves_the_places_down_to_one_and_good_answers_bring_them_back_one_by_one() {
        let places = InFlight::new(4);
        let after = |conditions: &[Condition]| {
            for condition in conditions {
                places.note(*condition);
            }
            free(&places)
        };
        assert_eq!(after(&[Fine; 9]), 4, "never more than there may be");
        assert_eq!(after(&[Strained]), 2);
        assert_eq!(after(&[Strained; 5]), 1);
        assert_eq!(after(&[Fine]), 2);
        assert_eq!(after(&[Fine]), 2);
        assert_eq!(after(&[Fine]), 3);
        assert_eq!(after(&[Fine, Fine, Strained, Fine]), 2, "good answers count in a row");
        assert_eq!(after(&[Fine; 5]), 4);
    }

    #[test]
    fn places_that_are_taken_are_none_any_more_once_they_are_given_back() {
        let places = InFlight::new(4);
        let taken: Vec<Place<'_>> = (0..4).filter_map(|_| places.free_place()).collect();
        places.note(Strained);
        places.note(Strained);
        places.note(Fine);
        assert!(places.free_place().is_none());
        drop(taken);
        assert_eq!(free(&places), 2);
    }

    proptest! {
        #[test]
        fn there_is_always_a_place_and_never_more_than_there_may_be(
            most in 1_usize..20, steps in proptest::collection::vec(0_u8..4, 0..100),
        ) {
            let places = InFlight::new(most);
            let mut taken = Vec::new();
            for step in steps {
                match step {
                    0 => places.note(Strained),
                    1 => places.note(Fine),
                    2 => taken.extend(places.free_place()),
                    _ => drop(taken.pop()),
                }
                prop_assert!(taken.len() <= most);
                let now = places.width().now;
                prop_assert!((1..=most).contains(&now));
                prop_assert_eq!(free(&places), now.saturating_sub(taken.len()));
            }
            taken.clear();
            prop_assert_eq!(free(&places), places.width().now);
        }
    }
}
