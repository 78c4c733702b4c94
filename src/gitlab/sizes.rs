//! How much documents ask one host for: the sizes of what reads and of what removes.

use std::time::Duration;

use super::document_size::{Seen, Size};
use super::graphql::{MOST_NAMES, MOST_REMOVALS, MOST_REPOSITORIES};

/// The time that documents of pages are to take.
const READING: Duration = Duration::from_secs(5);

/// The time that documents of removals are to take: an image of one that is on its way cannot be saved any more.
const REMOVING: Duration = Duration::from_secs(3);

/// Pages of the first document.
const FIRST_PAGES: usize = 4;

/// Repositories of the first document that asks for their last pushes.
const FIRST_REPOSITORIES: usize = 15;

/// Names of the first document that removes: two parts.
const FIRST_NAMES: usize = 2 * MOST_NAMES;

/// The sizes of one host's documents.
#[derive(Debug)]
pub(super) struct Sizes {
    /// Parts of one document at most; 1 = one page, or one removal of 20 names, whatever is seen.
    most: usize,
    reads: Size,
    pushes: Size,
    removals: Size,
}

impl Sizes {
    /// Nothing was seen yet.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            reads: Size::new(FIRST_PAGES, most, READING),
            pushes: Size::new(FIRST_REPOSITORIES, MOST_REPOSITORIES, READING),
            removals: Size::new(FIRST_NAMES, names(most), REMOVING),
        }
    }

    /// Whether each page and each removal has a request of its own.
    pub(super) const fn is_off(&self) -> bool {
        self.most == 1
    }

    /// Pages of the next document.
    pub(super) const fn reads(&self) -> usize {
        self.reads.items()
    }

    /// Repositories of the next document that asks for their last pushes.
    pub(super) const fn pushes(&self) -> usize {
        self.pushes.items()
    }

    /// Learns from a document that asked for last pushes.
    pub(super) fn note_pushes(&mut self, seen: Seen) {
        self.pushes = self.pushes.after(seen);
    }

    /// Names of the next document that removes.
    pub(super) const fn removals(&self) -> usize {
        if self.is_off() { MOST_NAMES } else { self.removals.items() }
    }

    /// Names of a document that removes, at most.
    pub(super) fn most_removals(&self) -> usize {
        names(self.most)
    }

    /// Learns from a document of pages.
    pub(super) fn note_reads(&mut self, seen: Seen) {
        self.reads = self.reads.after(seen);
    }

    /// Learns from a document that removes.
    pub(super) fn note_removals(&mut self, seen: Seen) {
        self.removals = self.removals.after(seen);
    }
}

/// Names of so many removals, as far as one document may have them.
fn names(removals: usize) -> usize {
    removals.clamp(1, MOST_REMOVALS) * MOST_NAMES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_a_bound_of_one_requests_are_what_they_always_were() {
        let mut sizes = Sizes::new(1);
        let seen = [Seen::TooMuch { items: 20 }, Seen::Answered { items: 20, took: Duration::from_secs(60) }];
        for seen in seen {
            sizes.note_reads(seen);
            sizes.note_removals(seen);
            assert_eq!((sizes.reads(), sizes.removals()), (1, MOST_NAMES));
        }
    }

    #[test]
    fn reads_and_removals_follow_their_own_answers() {
        let mut sizes = Sizes::new(100);
        sizes.note_reads(Seen::Answered { items: 4, took: Duration::from_secs(4) });
        assert_eq!((sizes.reads(), sizes.removals()), (5, 40));
        sizes.note_removals(Seen::Answered { items: 40, took: Duration::from_secs(12) });
        assert_eq!((sizes.reads(), sizes.removals()), (5, 10));
        for _ in 0..20 {
            let items = sizes.removals();
            sizes.note_removals(Seen::Answered { items, took: Duration::ZERO });
        }
        assert_eq!(sizes.removals(), MOST_REMOVALS * MOST_NAMES);
    }
}
