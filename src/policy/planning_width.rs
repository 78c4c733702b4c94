//! How many repositories of a run are planned at the same time.
//!
//! Pages of several repositories go into one request, so many at a time cost fewer requests. But the tags of all of
//! them are in memory at once, until what is to go of them is gone, and nobody knows how many there are before they are
//! read. So a run begins with a few. While repositories are small it takes more of them, and fewer again after a large
//! one. A run that was cut short because memory did not suffice begins with a few as well.

/// Repositories that are planned at the same time at least.
pub const FEWEST: usize = 4;

/// And at most: two documents with as many pages as GitLab takes.
const MOST: usize = 20;

/// Tags that repositories which are planned at the same time are expected to have together.
const TAGS: u64 = 50_000;

/// How many repositories are planned at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Width {
    now: usize,
    most: usize,
    /// Tags of the largest that was planned last.
    largest: u64,
}

impl Width {
    /// Begins with a few, and stays there where each page is a request anyway.
    #[must_use]
    pub const fn new(in_documents: bool) -> Self {
        Self { now: FEWEST, most: if in_documents { MOST } else { FEWEST }, largest: 0 }
    }

    /// How many are planned next at the same time, while so many tags of those before are still to go; at least one.
    #[must_use]
    pub fn beside(self, held: u64) -> usize {
        let room = TAGS.saturating_sub(held).checked_div(self.largest).unwrap_or(u64::MAX);
        if held == 0 { self.now } else { usize::try_from(room).unwrap_or(usize::MAX).clamp(1, self.now) }
    }

    /// Takes note of repositories that were planned, by the tags of the largest.
    pub fn planned(&mut self, tags: u64) {
        self.largest = tags;
        let expected = |width: usize| tags.saturating_mul(width as u64);
        let more = (2 * self.now).min(self.most);
        if expected(more) <= TAGS {
            self.now = more;
        } else if expected(self.now) > TAGS {
            self.now = FEWEST;
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn widths(mut width: Width, tags: &[u64]) -> Vec<usize> {
        let next = |tags: &u64| {
            width.planned(*tags);
            width.beside(0)
        };
        tags.iter().map(next).collect()
    }

    #[test]
    fn small_repositories_are_planned_many_at_a_time_and_large_ones_a_few() {
        let width = Width::new(true);
        assert_eq!(width.beside(0), FEWEST);
        assert_eq!(widths(width, &[500, 500, 500, 500]), [8, 16, 20, 20]);
        assert_eq!(widths(width, &[500, 500, 2500, 2600, 3200, 0]), [8, 16, 20, 4, 8, 16]);
        assert_eq!(widths(width, &[6250, 6250, 0]), [8, 8, 16]);
        assert_eq!(widths(width, &[1_000_000, u64::MAX]), [FEWEST; 2]);
    }

    #[rstest]
    #[case::nothing_is_held(500, 0, 20)]
    #[case::what_is_held_is_small(500, 5_000, 20)]
    #[case::it_takes_room(500, 45_000, 10)]
    #[case::there_is_no_room_left(500, 50_000, 1)]
    #[case::more_than_there_is_room_for(500, u64::MAX, 1)]
    #[case::repositories_without_tags_take_none(0, 49_999, 20)]
    fn what_still_is_to_go_takes_room_from_the_next(#[case] tags: u64, #[case] held: u64, #[case] next: usize) {
        let mut width = Width::new(true);
        (0..9).for_each(|_| width.planned(tags));
        assert_eq!(width.beside(held), next);
    }

    #[test]
    fn beside_large_repositories_one_is_planned_at_a_time() {
        let mut width = Width::new(true);
        width.planned(135_000);
        assert_eq!((width.beside(0), width.beside(45_000)), (FEWEST, 1));
    }

    #[test]
    fn where_each_page_is_a_request_anyway_there_are_always_a_few() {
        assert_eq!(widths(Width::new(false), &[0, 1, 1_000_000, 0]), [FEWEST; 4]);
    }
}
