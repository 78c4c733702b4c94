//! How much the patterns of one policy may take together.

use super::Pattern;
use super::error::{MAX_POLICY_BYTES, PatternError};

/// Compiles the patterns of one policy, up to what they may take together.
#[derive(Debug, Default)]
pub struct Patterns {
    taken: usize,
    largest: (String, usize),
}

/// A pattern that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// The field that it stands in.
    pub field: String,
    /// The pattern.
    pub pattern: String,
    /// What is wrong.
    pub error: PatternError,
}

impl Patterns {
    /// Compiles the pattern of a field.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn compile(&mut self, field: &str, source: &str) -> Result<Pattern, Refused> {
        self.add(field, source, Pattern::compile(source))
    }

    /// The same for a pattern of which a capture group is asked.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn compile_capturing(&mut self, field: &str, source: &str) -> Result<Pattern, Refused> {
        self.add(field, source, Pattern::compile_capturing(source))
    }

    /// The same for a pattern that is to keep tags.
    ///
    /// # Errors
    /// When it cannot be used, or keeps nothing.
    pub fn compile_keeping(&mut self, field: &str, source: &str) -> Result<Pattern, Refused> {
        let compiled = Pattern::compile(source).and_then(|pattern| pattern.keeps().map(|()| pattern));
        self.add(field, source, compiled)
    }

    /// The same for a pattern that is to exclude repositories.
    ///
    /// # Errors
    /// When it cannot be used, or excludes nothing.
    pub fn compile_excluding(&mut self, field: &str, source: &str) -> Result<Pattern, Refused> {
        let compiled = Pattern::compile(source).and_then(|pattern| pattern.excludes().map(|()| pattern));
        self.add(field, source, compiled)
    }

    /// Compiles the patterns of a list.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn compile_all(&mut self, field: &str, sources: &[String]) -> Result<Vec<Pattern>, Refused> {
        sources.iter().map(|source| self.compile(field, source)).collect()
    }

    /// How much was compiled takes so far, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.taken
    }

    fn add(&mut self, field: &str, source: &str, compiled: Result<Pattern, PatternError>) -> Result<Pattern, Refused> {
        let counted = compiled.and_then(|pattern| {
            let bytes = pattern.bytes();
            self.taken += bytes;
            if bytes > self.largest.1 {
                self.largest = (field.to_owned(), bytes);
            }
            if self.taken > MAX_POLICY_BYTES {
                let (largest, bytes) = self.largest.clone();
                return Err(PatternError::TooLargeTogether { largest, bytes });
            }
            Ok(pattern)
        });
        counted.map_err(|error| Refused { field: field.to_owned(), pattern: source.to_owned(), error })
    }
}
