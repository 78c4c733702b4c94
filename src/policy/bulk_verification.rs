//! What a listing after a bulk request proves, and how long to go on listing.
//!
//! GitLab works the request off in the background and reports nothing; only a later listing shows what went. A registry
//! that fails is listed as empty or cut short, with status 200, so a listing counts only if everything that had to
//! survive is in it and it is not empty.

use std::collections::HashSet;
use std::time::Duration;

use crate::api::limits::MAX_SAMPLES;

/// Pauses before each listing. A job is usually picked up within seconds; GitLab itself works at most 250 s at a time.
pub const PAUSES: [Duration; 5] = [
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
];

/// After so many listings in which nothing is gone, nothing is expected to go any more: no tag was old enough.
const ROUNDS_WITHOUT_CHANGE: usize = 3;

/// What was asked for in one repository, and what was seen of it since.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Sorted names that the request may have removed.
    candidates: Vec<Box<str>>,
    /// Sorted names that it cannot have removed.
    survivors: Vec<Box<str>>,
    /// How many of the candidates can go at all.
    removable: usize,
    gone: Option<usize>,
    /// Those that are gone, by the last listing that proved anything.
    missing: HashSet<Box<str>>,
    samples: Vec<String>,
    rounds: usize,
    steady: bool,
}

impl Watch {
    /// Begins to watch. `removable` is how many of the candidates may go, the others being kept by number.
    #[must_use]
    pub fn new(mut candidates: Vec<Box<str>>, mut survivors: Vec<Box<str>>, removable: usize) -> Self {
        candidates.sort_unstable();
        survivors.sort_unstable();
        Self {
            candidates,
            survivors,
            removable,
            gone: None,
            missing: HashSet::new(),
            samples: Vec::new(),
            rounds: 0,
            steady: false,
        }
    }

    /// Takes a listing into account; `None` is a listing that failed.
    pub fn observe(&mut self, listing: Option<&[Box<str>]>) {
        self.rounds += 1;
        let Some(missing) = listing.and_then(|listing| self.missing(listing)) else { return };
        let gone = missing.len();
        let names = missing.iter().map(|name| Box::from(*name)).collect();
        let samples = missing.into_iter().take(MAX_SAMPLES).map(str::to_owned).collect();
        self.steady = self.gone == Some(gone) && gone > 0;
        self.gone = Some(gone);
        self.samples = samples;
        self.missing = names;
    }

    /// Whether a tag may have gone by the request, and is still there.
    #[must_use]
    pub fn is_left(&self, name: &str) -> bool {
        let candidate = self.candidates.binary_search_by(|candidate| (**candidate).cmp(name)).is_ok();
        candidate && !self.missing.contains(name)
    }

    /// The tags that are still there.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.candidates.iter().map(AsRef::as_ref).filter(|name| !self.missing.contains(*name))
    }

    /// The tags that are gone, by the last listing that proved anything.
    pub fn gone(&self) -> impl Iterator<Item = &str> {
        self.candidates.iter().map(AsRef::as_ref).filter(|name| self.missing.contains(*name))
    }

    /// The candidates that a listing does not show, or `None` where the listing proves nothing.
    #[must_use]
    pub fn missing(&self, listing: &[Box<str>]) -> Option<Vec<&str>> {
        let mut listed: Vec<&str> = listing.iter().map(AsRef::as_ref).collect();
        listed.sort_unstable();
        let shown = |name: &str| listed.binary_search(&name).is_ok();
        let credible = !listed.is_empty() && self.survivors.iter().all(|name| shown(name));
        credible.then(|| self.candidates.iter().map(AsRef::as_ref).filter(|name| !shown(name)).collect())
    }

    /// Whether listing once more is not worth a request.
    #[must_use]
    pub fn settled(&self) -> bool {
        let all_gone = self.gone.is_some_and(|gone| gone >= self.removable);
        let nothing_goes = self.gone == Some(0) && self.rounds >= ROUNDS_WITHOUT_CHANGE;
        all_gone || self.steady || nothing_goes || self.rounds >= PAUSES.len()
    }

    /// How many of the candidates are proved to be gone; `None` where no listing proved anything.
    #[must_use]
    pub fn confirmed(&self) -> Option<usize> {
        self.gone
    }

    /// Some of the names that are gone.
    #[must_use]
    pub fn samples(&self) -> &[String] {
        &self.samples
    }

    /// How many names are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.candidates.len() + self.survivors.len()
    }

    /// Whether no name is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<Box<str>> {
        list.iter().map(|name| Box::from(*name)).collect()
    }

    fn watch() -> Watch {
        Watch::new(names(&["b", "a", "c"]), names(&["main", "latest"]), 2)
    }

    #[test]
    fn what_a_whole_listing_no_longer_shows_is_confirmed() {
        let mut watch = watch();
        watch.observe(Some(&names(&["latest", "main", "c"])));
        assert_eq!(watch.confirmed(), Some(2));
        assert_eq!(watch.samples(), ["a", "b"]);
        assert!(watch.settled());
    }

    #[test]
    fn an_empty_listing_confirms_nothing() {
        let mut watch = Watch::new(names(&["a"]), Vec::new(), 1);
        watch.observe(Some(&[]));
        assert_eq!(watch.confirmed(), None);
        assert!(!watch.settled());
    }

    #[test]
    fn a_listing_that_lacks_a_survivor_is_short_and_confirms_nothing() {
        let mut watch = watch();
        watch.observe(Some(&names(&["latest", "c"])));
        assert_eq!(watch.confirmed(), None);
    }

    #[test]
    fn a_later_short_listing_does_not_undo_what_was_confirmed() {
        let mut watch = watch();
        watch.observe(Some(&names(&["latest", "main", "b", "c"])));
        watch.observe(Some(&[]));
        watch.observe(None);
        assert_eq!(watch.confirmed(), Some(1));
    }

    #[test]
    fn two_listings_that_agree_on_something_gone_settle_the_numbers() {
        let mut watch = watch();
        watch.observe(Some(&names(&["latest", "main", "b", "c"])));
        assert!(!watch.settled());
        watch.observe(Some(&names(&["latest", "main", "b", "c"])));
        assert!(watch.settled());
    }

    #[test]
    fn where_nothing_goes_the_listing_ends_early_and_where_it_fails_it_ends_at_last() {
        let all = names(&["latest", "main", "a", "b", "c"]);
        let mut quiet = watch();
        let mut broken = watch();
        for round in 1..=PAUSES.len() {
            quiet.observe(Some(&all));
            broken.observe(None);
            assert_eq!(quiet.settled(), round >= ROUNDS_WITHOUT_CHANGE, "round {round}");
            assert_eq!(broken.settled(), round >= PAUSES.len(), "round {round}");
        }
        assert_eq!((quiet.confirmed(), broken.confirmed()), (Some(0), None));
    }
}
