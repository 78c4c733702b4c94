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
mod re2;

use std::sync::Arc;

use automaton::{Automaton, Scratch};
use regex_syntax::ast;

pub use budget::{Patterns, Refused};

/// Most that a pattern may take as compiled, in bytes. A legible pattern takes a few hundred, the longest that GitLab's
/// documentation has some thousands.
pub const MAX_PATTERN_BYTES: usize = 64 << 10;
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

/// Why a pattern cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// No pattern at all.
    #[error("is no valid pattern: {0}")]
    Invalid(String),
    /// RE2 reads it differently or not at all.
    #[error("would be read differently by GitLab: {0}")]
    DiffersFromRe2(&'static str),
    /// It takes more than a pattern may.
    #[error("takes more than {} KiB of memory as compiled: {ADVICE}", MAX_PATTERN_BYTES >> 10)]
    TooLarge,
    /// With those before it, it takes more than the patterns of a policy may together.
    #[error(
        "brings the patterns of this policy above {} KiB of memory as compiled; the largest is {largest} with {} KiB: {ADVICE}",
        budget::MAX_POLICY_BYTES >> 10,
        bytes.div_ceil(1024)
    )]
    TooLargeTogether {
        /// The field with the largest pattern.
        largest: String,
        /// How much that takes, in bytes.
        bytes: usize,
    },
}

/// What makes a pattern smaller.
const ADVICE: &str = "repeat less often than {1,500} does, and write [a-z] instead of \\p{L}, since names are ASCII";

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
        let ast =
            ast::parse::Parser::new().parse(source).map_err(|error| PatternError::Invalid(error.kind().to_string()))?;
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

#[cfg(test)]
mod published;
#[cfg(test)]
mod tests;
