//! The rules of the definition beyond types and bounds: each written once, told to the API server in CEL and evaluated
//! here for what the API server did not judge.
//!
//! A definition can be older than the policy's operator, or a tool can have stripped its validations; what is stored
//! then must not run. The CEL in the definition is made from the same [`Test`] that is evaluated, so there is no second
//! wording, and every rule has one sentence that says what to do.

mod test;

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::reasons::Reason;
use test::Test::{
    self, All, Any, Before, Contains, Has, Is, IsInLowerCase, IsOne, IsPositive, IsTrue, MatchesEveryName, NotEmpty,
    OneOf, StartsWith, ValidPattern,
};
use test::{matches, not, quoted};

/// A full path as GitLab writes it: segments that begin with a letter, a digit or an underscore.
const FULL_PATH: &str = "^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$";

/// What to do about a pattern that is none.
pub const PATTERN_SENTENCE: &str = "give a valid RE2 pattern (look-around and back-references do not exist there)";

/// A value or an object that has rules.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Spec,
    GitLab,
    Address,
    Timeout,
    ObjectName,
    SecretKey,
    ConfigMapKey,
    Target,
    Path,
    Pattern,
    KeepPattern,
    Alias,
    RuleName,
    Rule,
    Age,
    Schedule,
    TimeZone,
    ExcludeWindow,
    WindowName,
    WindowDuration,
    Moment,
}

impl Place {
    const ALL: [Self; 21] = [
        Self::Spec,
        Self::GitLab,
        Self::Address,
        Self::Timeout,
        Self::ObjectName,
        Self::SecretKey,
        Self::ConfigMapKey,
        Self::Target,
        Self::Path,
        Self::Pattern,
        Self::KeepPattern,
        Self::Alias,
        Self::RuleName,
        Self::Rule,
        Self::Age,
        Self::Schedule,
        Self::TimeZone,
        Self::ExcludeWindow,
        Self::WindowName,
        Self::WindowDuration,
        Self::Moment,
    ];

    /// The rules as they stand in the definition.
    pub(super) fn validations(self) -> Value {
        self.rules().iter().map(Rule::told).collect()
    }

    fn rules(self) -> Vec<Rule> {
        match self {
            Self::Spec => spec(),
            Self::GitLab => gitlab(),
            Self::Address => address(),
            Self::Timeout => vec![Rule::new(
                matches("^([1-9][0-9]?s|[12][0-9]{2}s|[1-4]m)$"),
                "give seconds or minutes below five minutes, for example 30s or 2m",
            )],
            Self::ObjectName => vec![Rule::new(
                matches("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"),
                "give the name of an object in the policy's own namespace: lower-case letters, digits, - and .",
            )],
            Self::SecretKey => vec![key("give a key of the Secret: letters, digits, -, _ and .")],
            Self::ConfigMapKey => vec![key("give a key of the ConfigMap: letters, digits, -, _ and .")],
            Self::Target => vec![Rule::new(
                Any(vec![
                    All(vec![Has("projects"), NotEmpty("projects")]),
                    All(vec![Has("groups"), NotEmpty("groups")]),
                ]),
                "name at least one project in projects or one group in groups",
            )],
            Self::Path => vec![Rule::new(
                All(vec![matches(FULL_PATH), not(Contains(".."))]),
                "give the full path as it stands in GitLab's address bar, for example shop/backend: no leading or \
                 trailing slash, no . or .. segment, nothing encoded",
            )],
            Self::Pattern => vec![Rule::new(ValidPattern, PATTERN_SENTENCE)],
            Self::KeepPattern => keep_pattern(),
            Self::Alias => vec![Rule::new(
                matches(r"^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(:[0-9]{1,5})?(/[a-z0-9][a-z0-9._-]*)*$"),
                "give a host, with its port and a leading part of the path if need be, for example \
                 mirror.example.com/gitlab: no https://, no trailing slash",
            )],
            Self::RuleName => vec![Rule::new(
                matches("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
                "name the rule with lower-case letters, digits and -, for example merge-requests",
            )],
            Self::Rule => rule(),
            Self::Age => vec![Rule::new(
                matches("^([1-9][0-9]{0,4}(h|d|w|month|y))+$"),
                "give whole numbers with h, d, w, month or y, for example 14d or 1month (not m: GitLab reads 1m as one \
                 minute)",
            )],
            Self::Schedule => schedule(),
            Self::TimeZone => time_zone(),
            Self::ExcludeWindow => exclude_window(),
            Self::WindowName => vec![Rule::new(
                matches("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
                "name the window with lower-case letters, digits and -, for example release-freeze",
            )],
            Self::WindowDuration => vec![window_duration()],
            Self::Moment => vec![moment()],
        }
    }
}

fn spec() -> Vec<Rule> {
    let exact = || All(vec![Has("method"), Is("method", "Exact")]);
    vec![
        Rule::new(
            Any(vec![exact(), All(vec![IsOne("rules"), not(Has("rules[0].groupBy")), not(Has("rules[0].sortBy"))])]),
            "several rules, groupBy and sortBy are more than GitLab's bulk deletion can do: set method: Exact, or keep \
             to one rule without them",
        ),
        Rule::new(
            Any(vec![not(Has("mode")), not(Is("mode", "RequireApproval")), exact()]),
            "an approval is for exactly the tags of a plan, and GitLab's bulk deletion decides by itself: set method: \
             Exact",
        ),
    ]
}

fn gitlab() -> Vec<Rule> {
    let test =
        Any(vec![not(Has("url")), not(StartsWith("url", "http:")), All(vec![Has("insecure"), IsTrue("insecure")])]);
    let sentence = "the address begins with http://, which sends the token readable by anybody on the way: use \
                    https://, or set insecure: true if you accept that";
    vec![Rule::because(Reason::InsecureConnectionsDisallowed, test, sentence)]
}

fn address() -> Vec<Rule> {
    let unless_told_before = |test| Any(vec![test, Contains("@"), Contains("?"), Contains("#")]);
    let plain = All(vec![not(Contains("/..")), not(Contains("/./")), matches(r"^[A-Za-z0-9:/._~\[\]-]*$")]);
    vec![
        Rule::new(
            not(Contains("@")),
            "put no user name or token into the address: the token belongs into the Secret that secretRef names",
        ),
        Rule::new(
            All(vec![not(Contains("?")), not(Contains("#"))]),
            "leave the query and the fragment away: only the address of the instance is wanted, for example \
             https://gitlab.example.com",
        ),
        Rule::new(
            unless_told_before(plain),
            "write the sub-path plainly, with letters, digits, -, ., _ and ~, without .. or encoded characters",
        ),
        Rule::new(
            unless_told_before(matches(r"^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/(?s:.*))?$")),
            "give an absolute address that begins with https://, for example https://gitlab.example.com",
        ),
        Rule {
            up_to: Some("/api/"),
            ..Rule::new(
                not(matches(r"[^/]/api/(v[0-9]+|graphql)/?$")),
                "leave the path of the API away, which the operator adds by itself: write",
            )
        },
    ]
}

fn key(sentence: &'static str) -> Rule {
    Rule::new(All(vec![matches("^[-._a-zA-Z0-9]+$"), not(StartsWith("", ".."))]), sentence)
}

/// What people write who mean another language, and what of it no tag name can match. Escapes and character classes are
/// not looked into, and a class that does not end is told as what it is. The rest of what matches no tag is found by
/// `policy::pattern`.
fn keep_pattern() -> Vec<Rule> {
    let rule = |test, sentence| Rule::because(Reason::InvalidPattern, test, sentence);
    vec![
        Rule::new(ValidPattern, PATTERN_SENTENCE),
        rule(
            matches(r"^(\\.|\[\^?\]?(\\.|[^\]\\])*\]|[^\[\\ \t\r\n])*(\[\^?\]?[^\]]*)?$"),
            "no tag name has a space or a line break, so nothing would be kept: write the pattern without (a YAML \
             block scalar after | ends with a line break; |- or quotes do not)",
        ),
        rule(
            not(Contains(r"\\")),
            "two backslashes stand for a backslash, which no tag name has, so nothing would be kept: write one, as in \
             v\\d+ (two are for double quotes only)",
        ),
        rule(
            matches(r"^(\\.|\[\^?\]?(\\.|[^\]\\])*\]|\{[0-9]+,[0-9]*\}|[^\[\\,])*(\[\^?\]?[^\]]*)?$"),
            "no tag name has a comma, so nothing would be kept: write | between alternatives, for example v.*|main",
        ),
        rule(
            matches(r"^(\\.|\[\^?\]?(\\.|[^\]\\])*\]|[^\[\\/])*(\[\^?\]?[^\]]*)?$"),
            "no tag name has a slash, so nothing would be kept: give the tag alone, without the path of its repository",
        ),
        rule(
            not(matches(r"(^|[|(^])[A-Za-z0-9_.-]*[A-Za-z0-9_-]\*($|[|)$])")),
            "* repeats the one character before it, so little would be kept: write .* for any text, for \
             example v.* instead of v*",
        ),
    ]
}

fn rule() -> Vec<Rule> {
    vec![
        Rule::new(
            Any(vec![Has("keepN"), Has("olderThan")]),
            "say what may go: set keepN (how many of the newest stay) or olderThan (which age may go), or both",
        ),
        Rule::new(
            Any(vec![
                not(Has("keepN")),
                IsPositive("keepN"),
                Has("nameRegexKeep"),
                Has("olderThan"),
                not(MatchesEveryName("nameRegexDelete")),
            ]),
            "this rule would remove every tag: set nameRegexKeep, olderThan or a keepN of at least 1, or narrow \
             nameRegexDelete down",
        ),
    ]
}

fn schedule() -> Vec<Rule> {
    let fields = |test| Any(vec![StartsWith("", "@"), Contains("TZ="), test]);
    let rule = |test, sentence| Rule::because(Reason::InvalidSchedule, test, sentence);
    let without = |expression, sentence| rule(fields(not(matches(expression))), sentence);
    vec![
        rule(not(Contains("TZ=")), "name the time zone in timeZone, not in the schedule"),
        rule(
            fields(matches("^ *[^ ]+( +[^ ]+){4} *$")),
            "give five fields (minute, hour, day of month, month, day of week), without seconds or years",
        ),
        rule(
            Any(vec![
                not(StartsWith("", "@")),
                OneOf(&["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"]),
            ]),
            "use @hourly, @daily, @weekly, @monthly or @yearly, or five fields",
        ),
        rule(
            fields(matches("^ *[0-5]?[0-9]( |$)")),
            "give one number as the minute, for example \"17 3 * * *\": GitLab takes one bulk deletion per repository \
             and hour",
        ),
        rule(fields(matches("^[0-9A-Za-z*?/,# -]+$")), "use numbers, names of months and days, and * ? / , - only"),
        without(
            "^ *[^ ]+ +([^ ]*[,-])?0*(2[4-9]|[3-9][0-9]|[1-9][0-9]{2,})([,/-][^ ]*)? ",
            "give hours from 0 to 23 (midnight is 0)",
        ),
        without(
            "^ *([^ ]+ +){2}([^ ]*[,-])?0*(0|3[2-9]|[4-9][0-9]|[1-9][0-9]{2,})([,/-][^ ]*)? ",
            "give days of the month from 1 to 31",
        ),
        without(
            "^ *([^ ]+ +){3}([^ ]*[,-])?0*(0|1[3-9]|[2-9][0-9]|[1-9][0-9]{2,})([,/-][^ ]*)? ",
            "give months from 1 to 12, or JAN to DEC",
        ),
        without(
            "^ *([^ ]+ +){4}([^ ]*[,-])?0*([89]|[1-9][0-9]+)([,/-][^ ]*)? *$",
            "give days of the week from 0 (Sunday) to 6, or SUN to SAT",
        ),
        without(
            "^ *([^ ]+ +){4}([^ ]*,)?(1-0|2-[01]|3-[0-2]|4-[0-3]|5-[0-4]|6-[0-5]|7-[0-6])([,/][^ ]*)? *$",
            "let a range of days of the week end after it begins: write 6,0-1 instead of 6-1",
        ),
    ]
}

fn window_duration() -> Rule {
    Rule::new(
        matches("^([1-9][0-9]{0,2}h|[1-9][0-9]?d|[1-9]w)$"),
        "give hours, days or weeks, for example 62h, 3d or 2w",
    )
}

fn moment() -> Rule {
    Rule::new(
        matches(
            "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\
             (Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
        ),
        "give a time with its offset from UTC, for example 2026-12-20T18:00:00Z or 2026-12-20T18:00:00+01:00",
    )
}

fn exclude_window() -> Vec<Rule> {
    let again = All(vec![Has("schedule"), Has("duration"), not(Has("from")), not(Has("until"))]);
    let once = All(vec![Has("from"), Has("until"), not(Has("schedule")), not(Has("duration"))]);
    vec![
        Rule::new(
            Any(vec![again, once]),
            "give schedule and duration for a window that comes again and again, or from and until for one that comes once",
        ),
        Rule::new(
            Any(vec![not(Has("from")), not(Has("until")), Before("from", "until")]),
            "let the window end after it begins: until is not later than from",
        ),
    ]
}

fn time_zone() -> Vec<Rule> {
    let rule = |test, sentence| Rule::because(Reason::InvalidTimeZone, test, sentence);
    vec![
        rule(
            not(IsInLowerCase("local")),
            "name a time zone, for example Europe/Berlin: what Local means depends on the machine",
        ),
        rule(
            matches("^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"),
            "give the IANA name of a time zone, for example Europe/Berlin or Etc/UTC",
        ),
    ]
}

/// One rule of the definition.
pub(super) struct Rule {
    test: Test,
    sentence: &'static str,
    /// The sentence ends with the value up to the last place where this stands.
    up_to: Option<&'static str>,
    /// The reason of the condition Stalled.
    pub(super) reason: Reason,
}

impl Rule {
    fn new(test: Test, sentence: &'static str) -> Self {
        Self::because(Reason::InvalidSpec, test, sentence)
    }

    fn because(reason: Reason, test: Test, sentence: &'static str) -> Self {
        Self { test, sentence, up_to: None, reason }
    }

    /// The rule as it stands in the definition.
    fn told(&self) -> Value {
        let mut told = json!({ "rule": self.test.cel(), "message": self.sentence });
        if let (Some(end), Some(told)) = (self.up_to, told.as_object_mut()) {
            let expression =
                format!("{} + ' ' + self.substring(0, self.lastIndexOf({}))", quoted(self.sentence), quoted(end));
            told.insert("messageExpression".to_owned(), expression.into());
        }
        told
    }

    /// What is said of a value that does not keep the rule. `sentence` is that of the definition: two fields may have
    /// the same rule, each with one of its own.
    pub(super) fn sentence(&self, sentence: &str, value: &Value) -> String {
        let text = value.as_str().unwrap_or_default();
        let right = self.up_to.and_then(|end| text.rfind(end)).and_then(|end| text.get(..end));
        right.map_or_else(|| sentence.to_owned(), |right| format!("{sentence} {right}"))
    }

    /// Whether a value of the right types keeps the rule.
    pub(super) fn holds(&self, value: &Value) -> bool {
        self.test.holds(value)
    }

    /// The rule that the definition tells in this CEL, whatever its sentence.
    pub(super) fn of(cel: &str) -> Option<&'static Self> {
        static RULES: LazyLock<HashMap<String, Rule>> = LazyLock::new(|| {
            Place::ALL.iter().flat_map(|place| place.rules()).map(|rule| (rule.test.cel(), rule)).collect()
        });
        RULES.get(cel)
    }
}

#[cfg(test)]
mod tests;
