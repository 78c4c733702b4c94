//! Which cursors pages in the order of names are expected to have, by a list of the names.
//!
//! A guess, and nothing relies on it: whoever asks for pages ahead lets one count only once the page before has told
//! the very cursor that it was asked for with. Somebody may push or remove a tag in between, and the order of the names
//! may be another than that of the pages; then the guesses after it are in vain, and begin anew where the reading has
//! come to.

/// How often a guess may be in vain before no more is guessed.
const MOST_MISSED: usize = 3;

/// The cursors of pages that are expected. None where nothing is known.
#[derive(Clone, Debug, Default)]
pub struct ReadAhead {
    names: Vec<Box<str>>,
    /// Tags of a page.
    page: usize,
    /// How many of the names come before the end of the page that was asked for last.
    at: usize,
    missed: usize,
}

impl ReadAhead {
    /// By names in the order of the pages, of so many tags each; the one with this cursor is asked for next.
    #[must_use]
    pub fn of(names: Vec<Box<str>>, page: usize, cursor: &str) -> Self {
        let mut ahead = Self { names, page, at: 0, missed: 0 };
        ahead.go_on_after(Some(cursor));
        ahead
    }

    /// Takes note that what was asked for does not follow what was read up to a cursor, which is asked for next.
    pub fn missed(&mut self, cursor: Option<&str>) {
        self.missed += 1;
        self.go_on_after(cursor);
    }

    /// Cursors of the next pages, so many at most.
    pub fn cursors(&mut self, most: usize) -> Vec<String> {
        let mut cursors = Vec::new();
        while cursors.len() < most
            && self.names.len() > self.at + self.page
            && let Some(last) = (self.at + self.page).checked_sub(1).and_then(|last| self.names.get(last))
        {
            cursors.push(last.to_string());
            self.at += self.page;
        }
        cursors
    }

    fn go_on_after(&mut self, cursor: Option<&str>) {
        let found = cursor.and_then(|cursor| self.names.iter().position(|name| **name == *cursor));
        self.at = found.filter(|_| self.missed < MOST_MISSED).map_or(self.names.len(), |position| position + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<Box<str>> {
        (0..count).map(|number| format!("t{number:02}").into()).collect()
    }

    #[test]
    fn cursors_are_the_last_names_of_the_pages_before() {
        let mut ahead = ReadAhead::of(names(31), 5, "t04");
        assert_eq!(ahead.cursors(3), ["t09", "t14", "t19"]);
        assert_eq!(ahead.cursors(9), ["t24", "t29"]);
        assert!(ahead.cursors(9).is_empty());
        assert_eq!(
            ReadAhead::of(names(30), 5, "t04").cursors(9).last().unwrap(),
            "t24",
            "nothing follows the last name"
        );
    }

    #[test]
    fn after_a_guess_in_vain_it_goes_on_from_where_the_reading_has_come_to() {
        let mut ahead = ReadAhead::of(names(40), 5, "t04");
        assert_eq!(ahead.cursors(2), ["t09", "t14"]);
        ahead.missed(Some("t08"));
        assert_eq!(ahead.cursors(2), ["t13", "t18"]);
        ahead.missed(Some("new"));
        assert!(ahead.cursors(2).is_empty(), "nobody knows what follows a name that was not listed");
    }

    #[test]
    fn what_is_in_vain_again_and_again_is_given_up() {
        let mut ahead = ReadAhead::of(names(40), 5, "t04");
        for _ in 0..MOST_MISSED {
            assert!(!ahead.cursors(1).is_empty());
            ahead.missed(Some("t08"));
        }
        assert!(ahead.cursors(1).is_empty());
        assert!(ReadAhead::default().cursors(1).is_empty());
    }
}
