//! Patterns over tag names and repository paths: RE2 as GitLab reads it, matched against the whole name.
//!
//! GitLab evaluates patterns with RE2, this operator with the `regex` crate. Both read nearly the same language; what
//! only one of them accepts, or what both accept and read differently, is refused here, so that a preview and GitLab's
//! own evaluation never disagree about a name.

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::{self, Ast, ClassSetItem, Flag, FlagsItemKind, HexLiteralKind, LiteralKind, RepetitionRange};

/// Upper bound of a compiled pattern, in bytes. A legible pattern needs a few kilobytes.
const SIZE_LIMIT: usize = 1 << 20;
/// RE2 refuses to repeat more often than this.
const MAX_REPETITION: u32 = 1000;

/// A compiled pattern that matches whole names only.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    regex: Regex,
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
}

impl Pattern {
    /// Compiles a pattern. It is compiled as it is first: `a)(b` is valid only once it is wrapped, and then means
    /// something else than was written.
    ///
    /// # Errors
    /// When the pattern is invalid, or RE2 would read it differently.
    pub fn compile(source: &str) -> Result<Self, PatternError> {
        let ast =
            ast::parse::Parser::new().parse(source).map_err(|error| PatternError::Invalid(error.kind().to_string()))?;
        ast::visit(&ast, Re2Check)?;
        build(source)?;
        Ok(Self { source: source.to_owned(), regex: build(&format!("^(?:{source})$"))? })
    }

    /// Whether the pattern matches the whole name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }

    /// What the pattern's first capture group holds of a name that the pattern matches as a whole.
    #[must_use]
    pub fn captured<'n>(&self, name: &'n str) -> Option<&'n str> {
        self.regex.captures(name)?.get(1).map(|group| group.as_str())
    }

    /// How many capture groups the pattern has.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The pattern in a group of its own. GitLab adds its anchors without one, so that `dev|test` would also match
    /// `dev-important`.
    #[must_use]
    pub fn grouped(&self) -> String {
        format!("(?:{})", self.source)
    }
}

fn build(source: &str) -> Result<Regex, PatternError> {
    RegexBuilder::new(source).size_limit(SIZE_LIMIT).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => PatternError::Invalid("it is too large".to_owned()),
        // The message of the crate draws the pattern over several lines, its last one says what is wrong.
        other => PatternError::Invalid(
            other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        ),
    })
}

/// Refuses what the `regex` crate accepts and RE2 does not, or reads in another way.
struct Re2Check;

impl ast::Visitor for Re2Check {
    type Output = ();
    type Err = PatternError;

    fn finish(self) -> Result<(), PatternError> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), PatternError> {
        match ast {
            Ast::Flags(set) => flags(&set.flags),
            Ast::Group(group) => match &group.kind {
                ast::GroupKind::NonCapturing(set) => flags(set),
                _ => Ok(()),
            },
            Ast::Assertion(assertion) => assertion_kind(&assertion.kind),
            Ast::Literal(literal) => escape(&literal.kind),
            Ast::Repetition(repetition) => repeat(repetition),
            _ => Ok(()),
        }
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), PatternError> {
        match item {
            ClassSetItem::Bracketed(_) => {
                Err(PatternError::DiffersFromRe2("write \\[ for a bracket inside a character class"))
            }
            ClassSetItem::Literal(literal) => escape(&literal.kind),
            ClassSetItem::Range(range) => escape(&range.start.kind).and_then(|()| escape(&range.end.kind)),
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ast::ClassSetBinaryOp) -> Result<(), PatternError> {
        Err(PatternError::DiffersFromRe2("&&, -- and ~~ inside a character class mean something else to RE2"))
    }
}

fn flags(set: &ast::Flags) -> Result<(), PatternError> {
    let known = set.items.iter().all(|item| match &item.kind {
        FlagsItemKind::Negation => true,
        FlagsItemKind::Flag(flag) => {
            matches!(flag, Flag::CaseInsensitive | Flag::MultiLine | Flag::DotMatchesNewLine | Flag::SwapGreed)
        }
    });
    if known { Ok(()) } else { Err(PatternError::DiffersFromRe2("RE2 knows the flags i, m, s and U only")) }
}

fn assertion_kind(kind: &ast::AssertionKind) -> Result<(), PatternError> {
    use ast::AssertionKind as K;
    match kind {
        K::StartLine | K::EndLine | K::StartText | K::EndText | K::WordBoundary | K::NotWordBoundary => Ok(()),
        _ => Err(PatternError::DiffersFromRe2("RE2 knows the word boundaries \\b and \\B only")),
    }
}

fn escape(kind: &LiteralKind) -> Result<(), PatternError> {
    match kind {
        LiteralKind::HexFixed(HexLiteralKind::X) | LiteralKind::HexBrace(HexLiteralKind::X) => Ok(()),
        LiteralKind::HexFixed(_) | LiteralKind::HexBrace(_) => {
            Err(PatternError::DiffersFromRe2("write \\x{…} for a character by its number"))
        }
        _ => Ok(()),
    }
}

fn repeat(repetition: &ast::Repetition) -> Result<(), PatternError> {
    if matches!(*repetition.ast, Ast::Repetition(_)) {
        return Err(PatternError::DiffersFromRe2("RE2 refuses two repetitions in a row, such as a** or a++"));
    }
    let most = match &repetition.op.kind {
        ast::RepetitionKind::Range(
            RepetitionRange::Exactly(n) | RepetitionRange::AtLeast(n) | RepetitionRange::Bounded(_, n),
        ) => *n,
        _ => 0,
    };
    if most > MAX_REPETITION {
        return Err(PatternError::DiffersFromRe2("RE2 repeats at most 1000 times"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("mr-.*", "mr-12", true)]
    #[case("mr-.*", "xmr-12", false)]
    #[case("a|ab", "ab", true)]
    #[case("dev|test", "dev-important", false)]
    #[case("dev|test", "mytest", false)]
    #[case("^v.+$", "v1", true)]
    #[case("(?i)RELEASE.*", "release-1", true)]
    #[case("[0-9a-f]{40}", "da39a3ee5e6b4b0d3255bfef95601890afd80709", true)]
    #[case("[[:word:]]+", "a_b", true)]
    #[case("[]a]+", "a]", true)]
    #[case("a|", "zzz", false)]
    fn a_pattern_matches_the_whole_name(#[case] pattern: &str, #[case] name: &str, #[case] matches: bool) {
        assert_eq!(Pattern::compile(pattern).unwrap().matches(name), matches);
    }

    #[rstest]
    #[case("(")]
    #[case("*v10.")]
    #[case("[")]
    #[case("(?=a)")]
    #[case(r"\1a")]
    #[case(r"\Z")]
    #[case("a)(b")]
    #[case("(?P<a")]
    #[case(r"(\w{100}){100}")]
    fn what_is_no_pattern_is_refused(#[case] pattern: &str) {
        assert!(matches!(Pattern::compile(pattern), Err(PatternError::Invalid(_))), "{pattern}");
    }

    #[rstest]
    #[case("[a[bc]]")]
    #[case("[a-z&&b]")]
    #[case("[a--b]")]
    #[case(r"\<a")]
    #[case(r"\b{start}a")]
    #[case("a{1001}")]
    #[case("a{1,1001}")]
    #[case("a**")]
    #[case("a++")]
    #[case("a{2}{3}")]
    #[case("(?x)a # c")]
    #[case("(?x:a)")]
    #[case("(?-u)a")]
    #[case(r"\u{41}")]
    #[case(r"[\u{41}]")]
    fn what_re2_reads_differently_is_refused(#[case] pattern: &str) {
        assert!(matches!(Pattern::compile(pattern), Err(PatternError::DiffersFromRe2(_))), "{pattern}");
    }

    #[test]
    fn an_error_is_one_line_and_says_what_is_wrong() {
        let error = Pattern::compile("(").unwrap_err().to_string();
        assert_eq!(error, "is no valid pattern: unclosed group");
    }
}
