//! How many requests of a run that remove tags may be under way at the same time.
//!
//! How many tags one of them has follows the answers to those before. So a run begins with one at a time, and with each
//! that has been answered there may be one more: several that begin before anything is known would all be small.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The places of one run.
pub(crate) struct Places {
    free: Semaphore,
    /// Places that there may be besides, once others have been given back.
    more: AtomicUsize,
}

/// One place, which is free again once this is dropped.
pub(crate) struct Place<'p> {
    of: &'p Places,
    answered: AtomicBool,
    _permit: Option<SemaphorePermit<'p>>,
}

impl Places {
    /// One for now, and so many in the end.
    pub(crate) fn new(most: usize) -> Self {
        Self { free: Semaphore::new(1), more: AtomicUsize::new(most.saturating_sub(1)) }
    }

    /// Waits for a place.
    pub(crate) async fn place(&self) -> Place<'_> {
        // It is never closed.
        Place { of: self, answered: AtomicBool::new(false), _permit: self.free.acquire().await.ok() }
    }
}

impl Place<'_> {
    /// Takes note that its request was answered.
    pub(crate) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let one_less = |more: usize| more.checked_sub(1);
        if self.answered.load(Ordering::Relaxed)
            && self.of.more.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
        {
            self.of.free.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::FutureExt;

    use super::*;

    /// How many can be had at once.
    fn at_once(places: &Places) -> Vec<Place<'_>> {
        std::iter::from_fn(|| places.place().now_or_never()).collect()
    }

    #[test]
    fn there_is_one_at_first_and_one_more_for_each_that_was_answered_up_to_all() {
        let places = Places::new(4);
        let round = |answered: bool| {
            let taken = at_once(&places);
            taken.iter().filter(|_| answered).for_each(Place::answered);
            taken.len()
        };
        assert_eq!([false, true, false, true, true, true].map(round), [1, 1, 2, 2, 4, 4]);
        let taken = at_once(&places);
        assert!(places.place().now_or_never().is_none());
        drop(taken);
        assert_eq!(at_once(&places).len(), 4);
    }

    #[test]
    fn where_only_one_may_be_there_is_one() {
        for most in [0, 1] {
            let places = Places::new(most);
            at_once(&places).iter().for_each(Place::answered);
            assert_eq!(at_once(&places).len(), 1);
        }
    }
}
