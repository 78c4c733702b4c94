//! Patterns over tag names and repository paths: RE2 as GitLab reads it, matched against the whole name.
//!
//! GitLab evaluates patterns with RE2, this operator with the engines of `regex-automata`. Both read nearly the same
//! language; what only one of them accepts, or what both accept and read differently, is refused here, so that a
//! preview and GitLab's own evaluation never disagree about a name.
//!
//! Any namespace may write patterns, and all are compiled in one process. So what one may take is bounded: as compiled,
//! and while it is matched.

mod automaton;
mod budget;
mod error;
mod names;
mod re2;

use std::sync::Arc;

use automaton::{Automaton, Scratch};
use regex_syntax::ast;

pub use budget::{Patterns, Refused};
pub use error::{MAX_PATTERN_BYTES, PatternError};
pub use names::Names;

/// A compiled pattern that matches whole names only. A clone shares what was compiled, and nothing else.
#[derive(Clone, Debug)]
pub struct Pattern {
    compiled: Arc<Compiled>,
    scratch: Scratch,
}

#[derive(Debug)]
struct Compiled {
    source: String,
    automaton: Automaton,
}

impl Pattern {
    /// Compiles a pattern. It is parsed as it is: `a)(b` is valid only once it is wrapped, and then means something
    /// else than was written.
    ///
    /// # Errors
    /// When the pattern is invalid, RE2 would read it differently, or it takes too much.
    pub fn compile(source: &str) -> Result<Self, PatternError> {
        Self::compile_with(source, false)
    }

    /// The same for a pattern that [`Self::captured`] is asked of.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_capturing(source: &str) -> Result<Self, PatternError> {
        Self::compile_with(source, true)
    }

    fn compile_with(source: &str, captures: bool) -> Result<Self, PatternError> {
        let ast = parse(source)?;
        re2::check(&ast)?;
        let automaton = Automaton::compile(source, ast, captures)?;
        let compiled = Arc::new(Compiled { source: source.to_owned(), automaton });
        Ok(Self { compiled, scratch: Scratch::default() })
    }

    /// Whether the pattern matches the whole name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.compiled.automaton.matches(name, &self.scratch)
    }

    /// Whether the pattern matches any of these names: `true` where that takes too long to say.
    #[must_use]
    pub fn can_match(&self, names: Names<'_>) -> bool {
        self.compiled.automaton.can_match(names)
    }

    /// Refuses a pattern that is to keep tags and matches none, as a whole or in one of its alternatives.
    ///
    /// # Errors
    /// Which part matches no tag.
    pub fn keeps(&self) -> Result<(), PatternError> {
        if !self.can_match(Names::Tags) {
            return Err(PatternError::MatchesNoTag);
        }
        match automaton::dead_part(self.source(), &parse(self.source())?, Names::Tags) {
            Some(part) => Err(PatternError::PartMatchesNoTag(part.to_owned())),
            None => Ok(()),
        }
    }

    /// Refuses a pattern that is to exclude repositories and matches the path of none.
    ///
    /// # Errors
    /// That it does.
    pub fn excludes(&self) -> Result<(), PatternError> {
        if self.can_match(Names::Paths) { Ok(()) } else { Err(PatternError::MatchesNoPath) }
    }

    /// What the pattern's first capture group holds of a name that the pattern matches as a whole.
    #[must_use]
    pub fn captured<'n>(&self, name: &'n str) -> Option<&'n str> {
        self.compiled.automaton.captured(name, &self.scratch)
    }

    /// How many capture groups the pattern has.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.compiled.automaton.groups()
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.compiled.source
    }

    /// How much memory the pattern takes as compiled, in bytes. Matching takes more, and gives it back with the clone
    /// that was matched by.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.compiled.automaton.bytes() + self.compiled.source.len()
    }

    /// The pattern in a group of its own. GitLab adds its anchors without one, so that `dev|test` would also match
    /// `dev-important`.
    #[must_use]
    pub fn grouped(&self) -> String {
        format!("(?:{})", self.source())
    }
}

fn parse(source: &str) -> Result<ast::Ast, PatternError> {
    ast::parse::Parser::new().parse(source).map_err(|error| PatternError::Invalid(error.kind().to_string()))
}

#[cfg(test)]
#[path = "names/tests.rs"]
mod names_tests;
#[cfg(test)]
#[path = "published/tests.rs"]
mod published;
#[cfg(test)]
mod tests;
