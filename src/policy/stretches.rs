//! Reads tags in the order of their pushes, up to a moment, in several stretches at the same time.
//!
//! Each page is found by the one before, so the pages of one repository would be a request each. But the order is by
//! date, and a registry can be asked for what was pushed after a moment. So a long way is cut: further stretches begin
//! after guessed moments, each goes on page by page, and ends once it has shown the first page of the next.
//!
//! ```text
//! beginning ─page─page─page─page
//!                     guess ─page─page─page─page      each stretch shows the whole first page of the next:
//!                                      guess ─page─page   so nothing lies between them, and nothing is missing in it
//! ```
//!
//! A guess is never believed. A stretch counts only once the one before has come to all of its first page by pages of
//! its own; what follows that page was found by the server's own cursors. Where the two differ, where dates are earlier
//! than the guess, or where a guess shows nothing and somebody else finds something there, the server does not do what
//! was thought: every stretch that was guessed and not met is dropped, the last that counts goes on page by page, and
//! no more is guessed. What comes out is what reading page by page comes to.

use std::collections::HashSet;
use std::mem;

use jiff::Timestamp;

use super::inventory::ascends;
use super::paging::Pages;
use super::tag::to_the_second;

/// A tag with its last push.
pub trait Pushed {
    /// Its name.
    fn name(&self) -> &str;

    /// When it was last pushed, in whole seconds.
    fn pushed(&self) -> Option<Timestamp>;
}

/// The name that a guessed moment goes with: large, so that a registry that goes by names instead of pushes shows none
/// of the others after it (see `paging`).
pub const LARGE: &str = "zzzzzzzz";

/// How many more guesses may be in vain than stretches have met, after which no more is guessed: the dates are not
/// spread as was thought.
const IN_VAIN: usize = 8;

/// What a page comes after.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum After {
    /// Nothing: it is the first one.
    Beginning,
    /// A page with this cursor to the next.
    Cursor(String),
    /// A guessed moment, and [`LARGE`].
    Guess(Timestamp),
}

/// Which stretch a page is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StretchId(u64);

/// Why pages prove nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wrong {
    /// They do not come in the order of their pushes, or show a tag twice.
    Order,
    /// They lead in a circle.
    Circle,
}

/// What was read.
#[derive(Debug)]
pub struct Read<T> {
    /// The tags in their order.
    pub tags: Vec<T>,
    /// The pages came to their end, not to the moment up to which they were wanted.
    pub to_the_end: bool,
    /// They came to this moment, which is earlier than the one that was wanted: the rest is for another pass.
    pub narrowed: Option<Timestamp>,
    /// What the pages of each stretch prove.
    pub proofs: Vec<Pages>,
}

/// Where a stretch stands.
#[derive(Debug)]
enum State {
    /// Its next page is to be asked for.
    Wants(After),
    /// Its next page is on the way.
    Asked,
    /// It came to the moment up to which tags are wanted, or to the end of all.
    Over { to_the_end: bool },
    /// It met the next stretch.
    Met,
}

/// How densely tags lie, as far as is known: so many in so many seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Density {
    tags: u64,
    seconds: u64,
}

#[derive(Debug)]
struct Stretch<T> {
    id: u64,
    /// The moment after which it was guessed to begin.
    guess: Option<Timestamp>,
    tags: Vec<T>,
    /// How many of them came with its first page.
    first_page: usize,
    names: HashSet<Box<str>>,
    cursors: HashSet<String>,
    proof: Pages,
    state: State,
    density: Density,
}

/// The stretches of one repository.
#[derive(Debug)]
pub struct Stretches<T> {
    until: Timestamp,
    /// In the order of their pushes.
    all: Vec<Stretch<T>>,
    next_id: u64,
    /// A guess showed that nothing was pushed between it and `until`.
    nothing_after: Option<Timestamp>,
    /// Guesses that showed nothing, or what was known by then.
    in_vain: usize,
    refuted: bool,
    /// All tags are wanted, whenever they were pushed.
    to_the_end: bool,
    pass: Option<Pass>,
    narrowed: bool,
}

/// How much is read in one pass of many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pass {
    /// About as many tags; half as many again are no reason for another pass.
    pub tags: u64,
    /// It comes further than this, where the pass before has come to.
    pub beyond: Option<Timestamp>,
}

impl<T: Pushed> Stretches<T> {
    /// One stretch, from the beginning up to the first tag that was pushed at a moment or later.
    #[must_use]
    pub fn new(until: Timestamp) -> Self {
        let first = Stretch::new(0, State::Wants(After::Beginning), None, Density::default());
        let (nothing_after, in_vain, refuted, to_the_end) = (None, 0, false, false);
        let (pass, narrowed) = (None, false);
        Self { until, all: vec![first], next_id: 1, nothing_after, in_vain, refuted, to_the_end, pass, narrowed }
    }

    /// The same, which comes to an earlier moment where more tags are expected than one pass has.
    #[must_use]
    pub fn in_pass(self, pass: Option<Pass>) -> Self {
        Self { pass, ..self }
    }

    /// Goes on to the end of all tags instead, page by page. Only before a page was noted.
    pub const fn read_to_the_end(&mut self) {
        (self.until, self.to_the_end) = (Timestamp::MAX, true);
    }

    /// The pages to ask for now. Each is to be answered by [`Self::note`] or [`Self::refused`].
    pub fn wanted(&mut self) -> Vec<(StretchId, After)> {
        let wants = |stretch: &mut Stretch<T>| match &mut stretch.state {
            State::Wants(after) => {
                let after = mem::replace(after, After::Beginning);
                stretch.state = State::Asked;
                Some((StretchId(stretch.id), after))
            }
            _ => None,
        };
        self.all.iter_mut().filter_map(wants).collect()
    }

    /// How many pages are to be asked for now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.all.iter().filter(|stretch| matches!(stretch.state, State::Wants(_))).count()
    }

    /// Whether nothing is left to ask for, and no answer is needed any more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.all.iter().all(|stretch| matches!(stretch.state, State::Over { .. } | State::Met))
    }

    /// Whether the server showed that it does not do what guesses rely on.
    #[must_use]
    pub const fn is_refuted(&self) -> bool {
        self.refuted
    }

    /// Takes note of a page.
    ///
    /// # Errors
    /// When pages prove nothing at all.
    pub fn note(&mut self, id: StretchId, page: Vec<T>, next: Option<String>) -> Result<(), Wrong> {
        let until = self.until;
        let Some(position) = self.position(id) else { return Ok(()) };
        let Some(stretch) = self.all.get_mut(position) else { return Ok(()) };
        if let (Some(guess), true) = (stretch.guess, stretch.tags.is_empty()) {
            let first = page.first().and_then(T::pushed);
            if !page.is_empty() && first.is_none_or(|first| first < to_the_second(guess)) {
                self.refute();
                return Ok(());
            }
            if first.is_none_or(|first| first >= until) {
                self.all.remove(position);
                self.in_vain += 1;
                self.nothing_after = Some(self.nothing_after.map_or(guess, |moment| moment.min(guess)));
                self.hold_to_nothing();
                self.join();
                return Ok(());
            }
        }
        stretch.append(page, next, until)?;
        self.hold_to_nothing();
        self.join();
        Ok(())
    }

    /// Takes note that the server does not take a guess. Answers whether it was one; what is no guess is not dropped.
    pub fn refused(&mut self, id: StretchId) -> bool {
        let Some(stretch) = self.position(id).and_then(|position| self.all.get(position)) else { return true };
        let guessed = stretch.guess.is_some() && stretch.tags.is_empty();
        if guessed {
            self.refute();
        }
        guessed
    }

    /// Guesses where further stretches may begin: at most so many, and only where that many tags or more are expected
    /// to be left of a stretch. Not before as many were read, and at first there are few, since little is known of how
    /// the tags are spread.
    pub fn cut(&mut self, most: usize, least: u64) {
        let read: usize = self.all.iter().map(|stretch| stretch.tags.len()).sum();
        if self.to_the_end || (read as u64) < least {
            return;
        }
        self.narrow();
        let known = self.all.iter().filter(|stretch| !stretch.tags.is_empty()).count();
        let met = self.all.iter().filter(|stretch| matches!(stretch.state, State::Met)).count();
        for _ in 0..most.min(known.saturating_mul(3)) {
            if self.refuted || self.in_vain >= IN_VAIN + met {
                return;
            }
            let Some((position, moment, density)) = self.longest(least) else { return };
            let state = State::Wants(After::Guess(moment));
            self.all.insert(position + 1, Stretch::new(self.next_id, state, Some(moment), density));
            self.next_id += 1;
        }
    }

    /// All that was read.
    ///
    /// # Errors
    /// [`Wrong::Order`] where a tag came twice.
    pub fn finish(self) -> Result<Read<T>, Wrong> {
        let to_the_end = matches!(self.all.last().map(|last| &last.state), Some(State::Over { to_the_end: true }));
        let narrowed = (self.narrowed && !to_the_end).then_some(self.until);
        let mut read = Read { tags: Vec::new(), to_the_end, narrowed, proofs: Vec::new() };
        for stretch in self.all {
            read.proofs.push(stretch.proof);
            if read.tags.is_empty() { read.tags = stretch.tags } else { read.tags.extend(stretch.tags) }
        }
        let mut names = HashSet::new();
        if read.tags.iter().all(|tag| names.insert(tag.name())) { Ok(read) } else { Err(Wrong::Order) }
    }

    /// Comes to an earlier moment where more is expected than the pass has.
    fn narrow(&mut self) {
        let Some(Pass { tags, beyond }) = self.pass else { return };
        let ends = self.all.iter().skip(1).map(Stretch::begins).chain([Some(self.until)]);
        let expected: Vec<u64> = self.all.iter().zip(ends).map(|(stretch, end)| stretch.expected(end)).collect();
        if expected.iter().sum::<u64>() <= tags.saturating_add(tags / 2) {
            return;
        }
        let mut before = 0_u64;
        for (position, expected) in expected.into_iter().enumerate() {
            let until = match self.all.get(position + 1) {
                Some(next) if before.saturating_add(expected) >= tags => next.begins(),
                Some(_) => None,
                None => self.all.get(position).and_then(|last| last.has_come_to_after(tags.saturating_sub(before))),
            };
            before = before.saturating_add(expected);
            let further = |until: &Timestamp| *until < self.until && beyond.is_none_or(|beyond| *until > beyond);
            if let Some(until) = until.map(to_the_second).filter(further) {
                (self.until, self.narrowed) = (until, true);
                self.all.truncate(position + 1);
                return;
            }
        }
    }

    fn position(&self, id: StretchId) -> Option<usize> {
        let asked = |stretch: &Stretch<T>| stretch.id == id.0 && matches!(stretch.state, State::Asked);
        self.all.iter().position(asked)
    }

    /// The server does not do what guesses rely on: goes on page by page after what is certain.
    fn refute(&mut self) {
        self.refuted = true;
        let certain = self.all.iter().take_while(|stretch| matches!(stretch.state, State::Met)).count();
        self.all.truncate(certain + 1);
    }

    /// Whether what a guess said to be nothing is nothing.
    fn hold_to_nothing(&mut self) {
        let Some(nothing) = self.nothing_after else { return };
        let wanted = |tag: &&T| tag.pushed() < Some(self.until);
        let last = self.all.iter().filter_map(|stretch| stretch.tags.iter().rev().find(wanted)).next_back();
        if last.and_then(T::pushed) > Some(to_the_second(nothing)) {
            self.refute();
        }
    }

    /// Ends stretches where they meet the next.
    fn join(&mut self) {
        let mut position = 0;
        while position + 1 < self.all.len() {
            let meeting = self.all.get(position..).map_or(Meeting::NotYet, meeting);
            match (meeting, self.all.get_mut(position)) {
                (Meeting::Never, _) => return self.refute(),
                (Meeting::Passed, _) => {
                    self.all.remove(position + 1);
                    self.in_vain += 1;
                }
                (Meeting::At(0), _) if position > 0 => {
                    // It has nothing of its own. Now the one before meets the next.
                    self.all.remove(position);
                    self.in_vain += 1;
                    position -= 1;
                }
                (Meeting::At(at), Some(stretch)) => {
                    stretch.tags.truncate(at);
                    stretch.names = HashSet::new();
                    stretch.cursors = HashSet::new();
                    stretch.state = State::Met;
                    position += 1;
                }
                _ => position += 1,
            }
        }
    }

    /// The stretch of which most is left, the moment in the middle of that, and what is known of how densely tags lie
    /// there.
    fn longest(&self, least: u64) -> Option<(usize, Timestamp, Density)> {
        let bound = self.nothing_after.map_or(self.until, |nothing| nothing.min(self.until));
        let ends = self.all.iter().skip(1).map(Stretch::begins).chain([Some(bound)]);
        let open = self.all.iter().zip(ends).enumerate().filter_map(|(position, (stretch, end))| {
            let (from, end) = (stretch.has_come_to()?, end?);
            let seconds = u64::try_from(end.as_second().checked_sub(from.as_second())?).ok()?;
            let left = stretch.density.of(seconds);
            let middle = Timestamp::from_second(from.as_second() + i64::try_from(seconds / 2).ok()?).ok()?;
            (stretch.is_open() && seconds > 1 && left >= least.max(1)).then_some((
                left,
                position,
                middle,
                stretch.density,
            ))
        });
        open.max_by_key(|(left, ..)| *left).map(|(_, position, middle, density)| (position, middle, density))
    }
}

/// How a stretch and the next one meet.
enum Meeting {
    /// That is not known yet.
    NotYet,
    /// At this position of the first.
    At(usize),
    /// The first has come further by itself.
    Passed,
    /// They do not fit together.
    Never,
}

/// How the first of some stretches meets the next.
fn meeting<T: Pushed>(stretches: &[Stretch<T>]) -> Meeting {
    let [this, others @ ..] = stretches else { return Meeting::NotYet };
    let Some(next) = others.first().filter(|_| !matches!(this.state, State::Met)) else { return Meeting::NotYet };
    let Some(first) = next.tags.first() else { return Meeting::NotYet };
    let over = matches!(this.state, State::Over { .. });
    if !this.names.contains(first.name()) {
        let passed = this.tags.last().and_then(T::pushed) > first.pushed();
        return if over || passed { Meeting::Never } else { Meeting::NotYet };
    }
    let Some(at) = this.tags.iter().position(|tag| tag.name() == first.name()) else { return Meeting::Never };
    let tail = this.tags.get(at..).unwrap_or_default();
    // What follows it, as far as that is certain.
    let certain = others.iter().take_while(|stretch| matches!(stretch.state, State::Met)).count();
    let follows = others.iter().take(certain + 1).flat_map(|stretch| &stretch.tags);
    if !tail.iter().zip(follows).all(|(one, other)| one.name() == other.name() && one.pushed() == other.pushed()) {
        return Meeting::Never;
    }
    let ended = matches!(next.state, State::Over { .. } | State::Met);
    if next.ends_at_once() && tail.len() > next.tags.len() {
        Meeting::Never
    } else if over || (tail.len() > next.tags.len().saturating_mul(2) && !ended) {
        Meeting::Passed
    } else if tail.len() < next.first_page || next.ends_at_once() {
        Meeting::NotYet
    } else {
        Meeting::At(at)
    }
}

impl<T: Pushed> Stretch<T> {
    fn new(id: u64, state: State, guess: Option<Timestamp>, density: Density) -> Self {
        let proof = guess.map_or_else(|| Pages::new(false), |_| Pages::after(false, LARGE));
        let (tags, names, cursors) = (Vec::new(), HashSet::new(), HashSet::new());
        Self { id, guess, tags, first_page: 0, names, cursors, proof, state, density }
    }

    fn append(&mut self, page: Vec<T>, next: Option<String>, until: Timestamp) -> Result<(), Wrong> {
        let last = self.tags.last().and_then(T::pushed);
        let once = page.iter().all(|tag| self.names.insert(tag.name().into()));
        if !once || !ascends(last, page.iter().map(T::pushed)) {
            return Err(Wrong::Order);
        }
        self.proof.note(page.iter().map(T::name));
        if self.tags.is_empty() {
            self.first_page = page.len();
        }
        let reached = page.last().and_then(T::pushed) >= Some(until);
        self.tags.extend(page);
        self.state = match next {
            _ if reached => State::Over { to_the_end: false },
            None => State::Over { to_the_end: true },
            Some(cursor) if self.cursors.insert(cursor.clone()) => State::Wants(After::Cursor(cursor)),
            Some(_) => return Err(Wrong::Circle),
        };
        let span = self.begins().zip(self.has_come_to());
        let seconds = span.and_then(|(from, to)| u64::try_from(to.as_second() - from.as_second()).ok());
        self.density = Density { tags: self.tags.len() as u64, seconds: seconds.unwrap_or_default() };
        Ok(())
    }

    /// Whether it says to be at the end with its first page, which only a page by another way can show.
    fn ends_at_once(&self) -> bool {
        matches!(self.state, State::Over { to_the_end: true }) && self.tags.len() == self.first_page
    }

    /// How many tags it is expected to have up to a moment.
    fn expected(&self, end: Option<Timestamp>) -> u64 {
        let read = self.tags.len() as u64;
        let left = || {
            let seconds = end?.as_second().checked_sub(self.has_come_to()?.as_second())?;
            Some(self.density.of(u64::try_from(seconds).ok()?))
        };
        if self.is_open() { read.saturating_add(left().unwrap_or_default()) } else { read }
    }

    /// The moment up to which it is expected to have so many tags.
    fn has_come_to_after(&self, tags: u64) -> Option<Timestamp> {
        let left = tags.saturating_sub(self.tags.len() as u64).max(1);
        let seconds = left.saturating_mul(self.density.seconds) / self.density.tags.max(1);
        let seconds = i64::try_from(seconds).ok()?.max(1);
        Timestamp::from_second(self.has_come_to()?.as_second().checked_add(seconds)?).ok()
    }

    /// Whether it goes on.
    const fn is_open(&self) -> bool {
        matches!(self.state, State::Wants(_) | State::Asked)
    }

    /// The push of its first tag, or where it was guessed to begin.
    fn begins(&self) -> Option<Timestamp> {
        self.tags.first().and_then(T::pushed).or(self.guess)
    }

    /// The push of its last tag, or where it was guessed to begin.
    fn has_come_to(&self) -> Option<Timestamp> {
        self.tags.last().and_then(T::pushed).or(self.guess)
    }
}

impl Density {
    /// Tags that are expected in so many seconds.
    fn of(self, seconds: u64) -> u64 {
        self.tags.saturating_mul(seconds) / self.seconds.max(1)
    }
}

#[cfg(test)]
mod tests;
