//! Whether a pattern can match any name at all: any tag, or any repository path.
//!
//! A pattern that keeps or excludes and can match nothing does so in silence, and what it was to keep goes. Whether one
//! can is decidable: names are a regular language, too, so a walk through both at once finds the shortest name that the
//! pattern matches, or none. Where the walk would take too long the answer is that it can.

use std::collections::BTreeSet;

use regex_automata::nfa::thompson::{NFA, State};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;
use regex_syntax::ast::{self, Ast, RepetitionKind, RepetitionOp, RepetitionRange, Span};

/// Places of a walk, or of those through all parts of a pattern, after which nobody looks further. The largest pattern
/// has some ten thousand for tags.
pub(super) const MOST_PLACES: usize = 200_000;
/// Alternatives that are looked at.
const MOST_PARTS: usize = 256;
/// Longest tag, in characters:
/// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests>
const LONGEST_TAG: usize = 128;
/// Longest repository path: a path of 255 for the project, and 255 for the image's name.
const LONGEST_PATH: usize = 511;

/// Which names there are.
#[derive(Clone, Copy, Debug)]
pub enum Names<'a> {
    /// Tags: `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`.
    Tags,
    /// Paths of repositories, as GitLab writes them: parts in lower case, divided by slashes.
    Paths,
    /// This path, in lower case, and those below it.
    PathsFrom(&'a str),
}

/// How far a name has been read.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum At {
    /// So many bytes of the path that it begins with.
    Given(usize),
    /// Where a part begins.
    Begin,
    /// In a part.
    Inside,
}

/// What is on one side of a place in a name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Side {
    Nothing,
    /// A character of `\w`.
    Word,
    Other,
}

impl Side {
    fn of(byte: u8) -> Self {
        if byte.is_ascii_alphanumeric() || byte == b'_' { Self::Word } else { Self::Other }
    }
}

impl Names<'_> {
    fn begin(self) -> At {
        if matches!(self, Self::PathsFrom(_)) { At::Given(0) } else { At::Begin }
    }

    fn longest(self) -> usize {
        if matches!(self, Self::Tags) { LONGEST_TAG } else { LONGEST_PATH }
    }

    /// Where a byte leads; `None` if no name has it here.
    fn step(self, at: At, byte: u8) -> Option<At> {
        match (self, at) {
            (Self::Tags, At::Begin) => (Side::of(byte) == Side::Word).then_some(At::Inside),
            (Self::Tags, _) => (Side::of(byte) == Side::Word || b".-".contains(&byte)).then_some(At::Inside),
            (Self::PathsFrom(path), At::Given(read)) => match path.as_bytes().get(read) {
                Some(given) => (*given == byte).then_some(At::Given(read + 1)),
                None => (byte == b'/').then_some(At::Begin),
            },
            (_, At::Inside) if byte == b'/' => Some(At::Begin),
            _ => {
                let known = byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
                known.then_some(At::Inside)
            }
        }
    }

    fn may_end(self, at: At) -> bool {
        match (self, at) {
            (Self::PathsFrom(path), At::Given(read)) => read == path.len(),
            (_, at) => at == At::Inside,
        }
    }
}

/// Whether an automaton of a whole pattern matches any of these names. `left` is how many places may still be looked
/// at.
pub(super) fn meets(nfa: &NFA, names: Names<'_>, left: &mut usize) -> bool {
    let mut seen = BTreeSet::new();
    let mut layer = BTreeSet::from([(nfa.start_anchored(), names.begin(), Side::Nothing)]);
    for _ in 0..=names.longest() {
        let mut next = BTreeSet::new();
        for (begin, at, before) in layer {
            for after in [Side::Nothing, Side::Word, Side::Other] {
                if after == Side::Nothing && !names.may_end(at) {
                    continue;
                }
                let mut open = vec![begin];
                while let Some(state) = open.pop() {
                    if !seen.insert((state, at, before, after)) {
                        continue;
                    }
                    *left = left.saturating_sub(1);
                    if *left == 0 || (after == Side::Nothing && is_match(nfa, state)) {
                        return true;
                    }
                    let read = |byte: u8| (Side::of(byte) == after).then(|| names.step(at, byte)).flatten();
                    follow(nfa.state(state), before, after, &mut open, |first, last, to| {
                        next.extend((first..=last).filter_map(|byte| Some((to, read(byte)?, Side::of(byte)))));
                    });
                }
            }
        }
        layer = next;
    }
    false
}

fn is_match(nfa: &NFA, state: StateID) -> bool {
    matches!(nfa.state(state), State::Match { .. })
}

/// Follows a state: to those that are reached without reading, and by which bytes to which others.
fn follow(
    state: &State,
    before: Side,
    after: Side,
    open: &mut Vec<StateID>,
    mut by_bytes: impl FnMut(u8, u8, StateID),
) {
    match state {
        State::ByteRange { trans } => by_bytes(trans.start, trans.end, trans.next),
        State::Sparse(sparse) => {
            for trans in &sparse.transitions {
                by_bytes(trans.start, trans.end, trans.next);
            }
        }
        State::Dense(dense) => {
            for byte in 0..=u8::MAX {
                if let Some(next) = dense.matches_byte(byte) {
                    by_bytes(byte, byte, next);
                }
            }
        }
        State::Look { look, next } if holds(*look, before, after) => open.push(*next),
        State::Union { alternates } => open.extend(alternates.iter().copied()),
        State::BinaryUnion { alt1, alt2 } => open.extend([*alt1, *alt2]),
        State::Capture { next, .. } => open.push(*next),
        State::Look { .. } | State::Fail | State::Match { .. } => {}
    }
}

/// Whether an assertion holds between two sides. No name has a line break, so that lines are names.
fn holds(look: Look, before: Side, after: Side) -> bool {
    let (word_before, word_after) = (before == Side::Word, after == Side::Word);
    match look {
        Look::Start | Look::StartLF | Look::StartCRLF => before == Side::Nothing,
        Look::End | Look::EndLF | Look::EndCRLF => after == Side::Nothing,
        Look::WordAscii | Look::WordUnicode => word_before != word_after,
        Look::WordAsciiNegate | Look::WordUnicodeNegate => word_before == word_after,
        // RE2 knows no others.
        _ => true,
    }
}

/// Each alternative of a pattern: where it stands, and the pattern with this one alone in the place of all.
pub(super) fn alternatives(ast: &Ast) -> Vec<(Span, Ast)> {
    let mut found = Vec::new();
    collect(ast, &|alone| alone, &mut found);
    found
}

/// `around` puts what stands at a place into the whole pattern.
fn collect(ast: &Ast, around: &dyn Fn(Ast) -> Ast, found: &mut Vec<(Span, Ast)>) {
    if found.len() >= MOST_PARTS {
        return;
    }
    match ast {
        Ast::Alternation(all) => {
            // Nobody means anything by an empty one.
            for one in all.asts.iter().filter(|one| !matches!(one, Ast::Empty(_))) {
                found.push((*one.span(), around(one.clone())));
                collect(one, around, found);
            }
        }
        Ast::Group(group) => {
            let wrap = |inner| around(Ast::group(ast::Group { ast: Box::new(inner), ..(**group).clone() }));
            collect(&group.ast, &wrap, found);
        }
        Ast::Concat(concat) => {
            for (index, one) in concat.asts.iter().enumerate() {
                let wrap = |alone| {
                    let mut asts = concat.asts.clone();
                    if let Some(place) = asts.get_mut(index) {
                        *place = alone;
                    }
                    around(Ast::concat(ast::Concat { span: concat.span, asts }))
                };
                collect(one, &wrap, found);
            }
        }
        // Once among as many others as there may be.
        Ast::Repetition(repetition) => {
            let wrap = |alone| {
                let others = any_number_of(repetition);
                around(Ast::concat(ast::Concat { span: repetition.span, asts: vec![others.clone(), alone, others] }))
            };
            collect(&repetition.ast, &wrap, found);
        }
        _ => {}
    }
}

fn any_number_of(repetition: &ast::Repetition) -> Ast {
    let kind = RepetitionKind::Range(RepetitionRange::AtLeast(0));
    let op = RepetitionOp { span: repetition.op.span, kind };
    Ast::repetition(ast::Repetition { op, ..repetition.clone() })
}
