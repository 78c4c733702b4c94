//! GitLab's regular expressions: RE2's syntax and error texts, matched by the Rust regex crate.
//!
//! The pattern is parsed as RE2 parses it (`parse.cc`) and written out again with every flag and class spelled out,
//! so that what the two engines read differently (`[a-z&&b]`, `\d`, `\b`, `\Q…\E`, `\<`) keeps RE2's meaning.

mod class;
mod cursor;
mod parser;

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

/// Why RE2 refuses a pattern, in its words (gitlab-api reference 1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: &'static str,
    argument: String,
}

impl Error {
    fn new(kind: &'static str, argument: &str) -> Self {
        Self { kind, argument: argument.to_owned() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.argument.as_str() {
            "" => f.write_str(self.kind),
            argument => write!(f, "{}: {argument}", self.kind),
        }
    }
}

impl std::error::Error for Error {}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles a pattern as it is.
    ///
    /// # Errors
    /// RE2's text when RE2 would refuse it.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        let translated = parser::translate(pattern)?;
        // RE2 allows 8 MiB a program; both engines differ in what fits, which only matters for absurd patterns.
        RegexBuilder::new(&translated)
            .size_limit(32 << 20)
            .nest_limit(2000)
            .build()
            .map(Self)
            .map_err(|_| Error::new("pattern too large - compile failed", ""))
    }

    /// Compiles `\A` + pattern + `\z`, concatenated without a group as GitLab does (gitlab-api reference 2.2).
    ///
    /// # Errors
    /// RE2's text when RE2 would refuse the whole.
    pub fn anchored(pattern: &str) -> Result<Self, Error> {
        Self::new(&format!("\\A{pattern}\\z"))
    }

    /// Whether the pattern is found in the text.
    #[must_use]
    pub fn is_found_in(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(pattern: &str) -> String {
        Pattern::new(pattern).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn refusals_have_the_words_of_re2() {
        for (pattern, text) in [
            ("(", "missing ): ("),
            ("a(b|c", "missing ): a(b|c"),
            ("[", "missing ]: ["),
            ("x[a-", "missing ]: [a-"),
            ("*", "no argument for repetition operator: *"),
            ("*v10.", "no argument for repetition operator: *"),
            ("a|+?", "no argument for repetition operator: +?"),
            ("({2}", "no argument for repetition operator: {2}"),
            ("a**", "bad repetition operator: **"),
            ("a*+", "bad repetition operator: *+"),
            ("a{2}{3}", "bad repetition operator: {2}{3}"),
            ("(?=a)", "invalid perl operator: (?="),
            ("(?<!a)", "invalid perl operator: (?<!"),
            ("(?>a)", "invalid perl operator: (?>"),
            ("(?x)a", "invalid perl operator: (?x"),
            ("(?i-)a", "invalid perl operator: (?i-)"),
            ("a\\Z", "invalid escape sequence: \\Z"),
            ("\\1a", "invalid escape sequence: \\1"),
            ("\\q", "invalid escape sequence: \\q"),
            ("\\u{41}", "invalid escape sequence: \\u"),
            ("\\x{zz}", "invalid escape sequence: \\x{z"),
            ("a{1001}", "invalid repetition size: {1001}"),
            ("a{3,2}", "invalid repetition size: {3,2}"),
            ("(\\w{100}){100}", "invalid repetition size: {100}"),
            (")", "unexpected ): )"),
            ("a)b", "unexpected ): a)b"),
            ("a\\", "trailing \\"),
            ("(?P<a)", "invalid named capture group: (?P<a)"),
            ("(?P<a-b>x)", "invalid named capture group: (?P<a-b>"),
            ("(?P<n>a)(?P<n>b)", "invalid named capture group: n"),
            ("[z-a]", "invalid character class range: z-a"),
            ("[[:foo:]]", "invalid character class range: [:foo:]"),
            ("\\pX", "invalid character class range: \\pX"),
            ("\\p{Foo}", "invalid character class range: \\p{Foo}"),
        ] {
            assert_eq!(refusal(pattern), text, "{pattern}");
        }
    }

    #[test]
    fn what_re2_accepts_keeps_its_meaning() {
        for (pattern, text, found) in [
            ("^[a[bc]]$", "b]", true),
            ("^[a[bc]]$", "b", false),
            ("^[a-z&&b]$", "&", true),
            ("^[a-z&&b]$", "q", true),
            ("\\<a", "<a", true),
            ("^\\d$", "\u{663}", false),
            ("^\\w$", "\u{e9}", false),
            ("^\\W$", "\u{e9}", true),
            ("^[^\\d]$", "a", true),
            ("^\\s$", "\x0B", false),
            ("^[\\s]$", "\t", true),
            ("\\Qa.b\\E+", "a.bb", true),
            ("\\Qa.b", "axb", false),
            ("^\\141$", "a", true),
            ("^\\x61\\x{62}$", "ab", true),
            ("^a{$", "a{", true),
            ("^a{,3}$", "a{,3}", true),
            ("^a{01}$", "a{01}", true),
            ("^[]a]+$", "]a", true),
            ("^[a-]+$", "a-", true),
            ("^[[:word:]]+$", "a_1", true),
            ("^[[:^alpha:]]$", "1", true),
            ("^\\pN$", "\u{663}", true),
            ("^\\p{^Lu}$", "a", true),
            ("(?i)AB(?-i)c", "abc", true),
            ("(?i)AB(?-i)c", "abC", false),
            ("^(?i:a)b$", "AB", false),
            ("(?m)^b$", "a\nb", true),
            ("^b$", "a\nb", false),
            ("a.b", "a\nb", false),
            ("(?s)a.b", "a\nb", true),
            ("(?P<n>a)(?<m>b)", "ab", true),
            ("^a(?i)*b$", "AB", false),
            ("^a(?i)*b$", "aaB", true),
            ("^*a", "a", true),
            ("\\bfoo\\b", "a foo b", true),
            ("^\\C$", "a", true),
            ("^\\_\\-\\.$", "_-.", true),
            ("|a", "zzz", true),
            ("()", "", true),
            ("(?i)[k-l]", "L", true),
        ] {
            match Pattern::new(pattern) {
                Ok(compiled) => assert_eq!(compiled.is_found_in(text), found, "{pattern} in {text:?}"),
                Err(error) => panic!("{pattern}: {error}"),
            }
        }
    }

    #[test]
    fn anchors_are_concatenated_without_a_group() -> Result<(), Error> {
        assert!(Pattern::anchored("dev|test")?.is_found_in("mytest"));
        assert!(!Pattern::anchored("(?:dev|test)")?.is_found_in("mytest"));
        assert!(Pattern::anchored("a|")?.is_found_in("zzz"));
        assert!(!Pattern::anchored("")?.is_found_in("a"));
        // An open \Q swallows the closing anchor, so nothing is a full match any more.
        assert!(!Pattern::anchored("\\Qa")?.is_found_in("a"));
        Ok(())
    }
}
