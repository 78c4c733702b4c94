//! What a rule of the definition asks of a value: the same told in CEL, and evaluated here.

use jiff::Timestamp;
use regex::Regex;
use regex::bytes::RegexBuilder;
use serde_json::Value;

/// Names of every shape a tag can have: a pattern that matches them all is taken to match every tag.
const PROBE_NAMES: [&str; 8] =
    ["v1.2.3", "main", "a", "0", "Z_9-x.y", "mr-17-3f2a", "_", "da39a3ee5e6b4b0d3255bfef95601890afd80709"];

/// Characters of a time in UTC without fractions of a second.
const SHORTEST_TIME: usize = 20;

/// Upper bound of a pattern compiled for [`PROBE_NAMES`], in bytes: above what `policy::pattern` allows, which compiles
/// it for other engines.
const SIZE_LIMIT: usize = 1 << 20;

use Test::{
    All, Any, Before, Contains, Has, Is, IsInLowerCase, IsOne, IsPositive, IsTrue, MatchesEveryName, Not, NotEmpty,
    OneOf, StartsWith, ValidPattern,
};

/// What a rule asks of a value. A path leads to a member (`rules[0].groupBy`), the empty one to the value itself; a
/// test of a member that is not there fails, which in CEL would be an error: ask with [`Test::Has`] first.
pub(super) enum Test {
    /// The value matches this expression, which the `regex` crate and RE2 read alike. `None` when it is no expression,
    /// which a test excludes; nothing matches then.
    Matches(&'static str, Option<Regex>),
    Contains(&'static str),
    StartsWith(&'static str, &'static str),
    OneOf(&'static [&'static str]),
    IsInLowerCase(&'static str),
    /// The value is a pattern. Evaluated by `policy::pattern`, which knows more of RE2, and where it breaks.
    ValidPattern,
    /// The pattern at the path matches all of [`PROBE_NAMES`].
    MatchesEveryName(&'static str),
    Has(&'static str),
    Is(&'static str, &'static str),
    IsTrue(&'static str),
    IsPositive(&'static str),
    /// The list has one entry.
    IsOne(&'static str),
    NotEmpty(&'static str),
    /// The time at the first path is before that at the second, both in RFC 3339. What is too short for a time is told
    /// as what it is.
    Before(&'static str, &'static str),
    Not(Box<Test>),
    All(Vec<Test>),
    Any(Vec<Test>),
}

pub(super) fn not(test: Test) -> Test {
    Not(Box::new(test))
}

pub(super) fn matches(expression: &'static str) -> Test {
    Test::Matches(expression, Regex::new(expression).ok())
}

impl Test {
    pub(super) fn cel(&self) -> String {
        let list =
            |texts: &[&str]| format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "));
        match self {
            Self::Matches(expression, _) => format!("self.matches({})", quoted(expression)),
            Contains(text) => format!("self.contains({})", quoted(text)),
            StartsWith(path, text) => format!("{}.startsWith({})", member(path), quoted(text)),
            OneOf(texts) => format!("self in {}", list(texts)),
            IsInLowerCase(text) => format!("self.lowerAscii() == {}", quoted(text)),
            // A valid pattern answers true or false, an invalid one is an error, which `in` does not swallow. (`||
            // true` would.)
            ValidPattern => "'x'.matches(self) in [true, false]".to_owned(),
            MatchesEveryName(path) => {
                format!("{}.all(name, name.matches('^(?:' + {} + ')$'))", list(&PROBE_NAMES), member(path))
            }
            Has(path) => format!("has({})", member(path)),
            Is(path, text) => format!("{} == {}", member(path), quoted(text)),
            IsTrue(path) => member(path),
            IsPositive(path) => format!("{} > 0", member(path)),
            IsOne(path) => format!("size({}) == 1", member(path)),
            NotEmpty(path) => format!("size({}) > 0", member(path)),
            Before(first, second) => {
                let (first, second) = (member(first), member(second));
                let short = format!("size({first}) < {SHORTEST_TIME} || size({second}) < {SHORTEST_TIME}");
                format!("({short} || timestamp({first}) < timestamp({second}))")
            }
            Not(test) => match &**test {
                Is(..) | IsInLowerCase(_) => test.cel().replacen(" == ", " != ", 1),
                _ => format!("!{}", test.cel()),
            },
            All(tests) => joined(tests, " && "),
            Any(tests) => joined(tests, " || "),
        }
    }

    pub(super) fn holds(&self, value: &Value) -> bool {
        let at = |path: &str| value.pointer(&pointer(path));
        let string = |path: &str| at(path).and_then(Value::as_str).unwrap_or_default();
        let size = |path: &str| at(path).and_then(Value::as_array).map_or(0, Vec::len);
        match self {
            Self::Matches(_, expression) => expression.as_ref().is_some_and(|regex| regex.is_match(string(""))),
            Contains(part) => string("").contains(part),
            StartsWith(path, start) => string(path).starts_with(start),
            OneOf(texts) => texts.contains(&string("")),
            IsInLowerCase(lower) => string("").eq_ignore_ascii_case(lower),
            ValidPattern => true,
            MatchesEveryName(path) => matches_every_name(string(path)),
            Has(path) => at(path).is_some(),
            Is(path, expected) => string(path) == *expected,
            IsTrue(path) => at(path) == Some(&Value::Bool(true)),
            IsPositive(path) => at(path).and_then(Value::as_i64).is_some_and(|number| number > 0),
            IsOne(path) => size(path) == 1,
            NotEmpty(path) => size(path) > 0,
            Before(first, second) => {
                let short = |path| string(path).chars().count() < SHORTEST_TIME;
                let at = |path| string(path).parse::<Timestamp>().ok();
                short(first) || short(second) || at(first).zip(at(second)).is_some_and(|(first, second)| first < second)
            }
            Not(test) => !test.holds(value),
            All(tests) => tests.iter().all(|test| test.holds(value)),
            Any(tests) => tests.iter().any(|test| test.holds(value)),
        }
    }
}

fn joined(tests: &[Test], operator: &str) -> String {
    let part = |test: &Test| match test {
        All(_) | Any(_) => format!("({})", test.cel()),
        _ => test.cel(),
    };
    tests.iter().map(part).collect::<Vec<_>>().join(operator)
}

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

fn member(path: &str) -> String {
    if path.is_empty() { "self".to_owned() } else { format!("self.{path}") }
}

fn pointer(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("/{}", path.replace('.', "/").replace("[0]", "/0")) }
}

/// Whether a pattern matches names of every shape. One that is none matches no name, and is told as what it is.
///
/// RE2 reads `\w` and its like as ASCII, which also keeps a pattern small; where a pattern names other characters it is
/// read as Unicode. Of one that is too large for that nobody knows: it is taken to match them all.
fn matches_every_name(pattern: &str) -> bool {
    let read = |unicode| {
        let mut builder = RegexBuilder::new(&format!("^(?:{pattern})$"));
        builder.unicode(unicode).size_limit(SIZE_LIMIT).build()
    };
    match read(false).or_else(|_| read(true)) {
        Ok(regex) => PROBE_NAMES.iter().all(|name| regex.is_match(name.as_bytes())),
        Err(regex::Error::CompiledTooBig(_)) => true,
        Err(_) => false,
    }
}
