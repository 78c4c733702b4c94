//! What tags that are still there after a bulk request show: that GitLab's job failed, that GitLab protects them, or
//! nothing.

use jiff::{SignedDuration, Timestamp};

use super::compile::Rule;

/// How much older than the limit a tag must be to be surely old enough: the clocks may differ, and the job may have
/// begun a while after the request.
const SURELY: SignedDuration = SignedDuration::from_mins(15);

/// Tags of one page of GitLab's cleanup with a metadata database, of each of which it keeps `keep_n`.
const PAGE: usize = 1000;

/// Tags of which the details are asked for where no page shows the oldest.
pub const NAMED: usize = 5;

/// A tag that was to go and is still there.
#[derive(Clone, Debug)]
pub struct Left {
    /// Its name.
    pub name: Box<str>,
    /// The date that GitLab goes by, or one that is not later.
    pub date: Option<Timestamp>,
    /// GitLab protects it from this token.
    pub protected: bool,
}

/// What the dates of tags are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Dates {
    /// Those that GitLab goes by.
    #[default]
    GitLabs,
    /// Those of the first push, or of the build: a tag that was pushed again since is younger to GitLab.
    First,
}

/// What was seen of some of the tags that are left, the oldest of them where GitLab tells.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Remains {
    /// What their dates are.
    pub dates: Dates,
    /// How many were looked at.
    pub looked_at: usize,
    /// How many of them GitLab protects.
    pub protected: usize,
    /// How many of the others are surely old enough, and not among those that stay by their number.
    pub due: usize,
    /// GitLab may protect others of them, since its rules are not known.
    pub unknown_rules: bool,
    /// One of these, with its date.
    pub example: Option<(Box<str>, Timestamp)>,
}

impl Remains {
    /// Judges what was looked at; `left` is how many tags are still there altogether, `scanned` how many there were.
    #[must_use]
    pub fn of(tags: &[Left], dates: Dates, rule: &Rule, left: usize, scanned: usize, now: Timestamp) -> Self {
        let kept = rule.keep_n.map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let beyond = left > kept.saturating_mul(scanned.div_ceil(PAGE).max(1));
        let old = |tag: &&Left| match (&rule.older_than, tag.date) {
            (Some(age), Some(date)) => now.duration_since(date) > age.duration().saturating_add(SURELY),
            _ => false,
        };
        let due: Vec<&Left> = tags.iter().filter(|tag| beyond && !tag.protected).filter(old).collect();
        Self {
            dates,
            looked_at: tags.len(),
            protected: tags.iter().filter(|tag| tag.protected).count(),
            due: due.len(),
            unknown_rules: false,
            example: due.first().and_then(|tag| Some((tag.name.clone(), tag.date?))),
        }
    }

    /// Whether all that were looked at stay because GitLab protects them.
    #[must_use]
    pub fn all_protected(&self) -> bool {
        self.looked_at > 0 && self.protected == self.looked_at
    }

    /// Whether something had to go for all that can be known. By the first push that may be said of several tags, none
    /// of which is young: one alone, or one among young ones, is most likely one that is pushed again and again.
    #[must_use]
    pub fn proves_failure(&self) -> bool {
        match self.dates {
            Dates::GitLabs => self.due > 0,
            Dates::First => self.due > 1 && self.due + self.protected == self.looked_at,
        }
    }

    /// What is to be said where nothing went although something had to.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        let (name, date) = self.example.as_ref()?;
        let (are, unless) = match self.dates {
            Dates::GitLabs => ("are surely old enough", ""),
            Dates::First => ("were first pushed or built long enough ago", ", unless they were pushed again since"),
        };
        Some(format!(
            "requested; nothing has gone, although {} of the {} tags looked at {are}, such as {name} of {date:.0}: GitLab's \
             job failed, or its registry refuses to delete{unless}",
            self.due, self.looked_at
        ))
    }
}

/// Some of the names of tags, spread over all of them, since names often follow each other in time.
#[must_use]
pub fn sample<'n>(names: &[&'n str]) -> Vec<&'n str> {
    let last = names.len().saturating_sub(1);
    let steps = NAMED.min(names.len()).saturating_sub(1).max(1);
    let at = (0..NAMED.min(names.len())).map(|step| step * last / steps);
    at.filter_map(|at| names.get(at).copied()).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::{CompileOptions, Method, compile};

    fn rule(limits: &Value) -> Rule {
        let mut rule = json!({"name": "r", "nameRegexDelete": ".*"});
        for (name, value) in limits.as_object().unwrap() {
            rule[name] = value.clone();
        }
        let spec = spec(&json!({"rules": [rule]}));
        match compile(&spec, &CompileOptions::default(), Timestamp::UNIX_EPOCH).unwrap().method {
            Method::Bulk(rule) => *rule,
            Method::Exact(_) => unreachable!(),
        }
    }

    fn left(days: Option<i64>, protected: bool) -> Left {
        let now = Timestamp::from_second(100 * 86_400).unwrap();
        let date = days.map(|days| now - SignedDuration::from_hours(days * 24));
        Left { name: "a".into(), date, protected }
    }

    #[rstest]
    #[case::old(json!({"olderThan": "7d"}), &[left(Some(8), false)], 1, 1)]
    #[case::young(json!({"olderThan": "7d"}), &[left(Some(6), false)], 1, 0)]
    #[case::at_the_limit(json!({"olderThan": "7d"}), &[left(Some(7), false)], 1, 0)]
    #[case::of_no_known_date(json!({"olderThan": "7d"}), &[left(None, false)], 1, 0)]
    #[case::protected(json!({"olderThan": "7d"}), &[left(Some(8), true)], 1, 0)]
    #[case::kept_by_number(json!({"olderThan": "7d", "keepN": 1}), &[left(Some(8), false)], 1, 0)]
    #[case::beyond_the_number(json!({"olderThan": "7d", "keepN": 1}), &[left(Some(8), false)], 2, 1)]
    #[case::without_an_age(json!({"keepN": 1}), &[left(Some(8), false)], 2, 0)]
    fn only_what_had_to_go_shows_a_failure(
        #[case] spec: Value,
        #[case] tags: &[Left],
        #[case] all: usize,
        #[case] due: usize,
    ) {
        let now = Timestamp::from_second(100 * 86_400).unwrap();
        let remains = Remains::of(tags, Dates::GitLabs, &rule(&spec), all, 10, now);
        assert_eq!((remains.due, remains.failed().is_some(), remains.proves_failure()), (due, due > 0, due > 0));
    }

    #[rstest]
    #[case::several(&[left(Some(8), false), left(Some(9), false)], true)]
    #[case::and_one_that_is_protected(&[left(Some(8), false), left(Some(9), false), left(Some(9), true)], true)]
    #[case::one_alone(&[left(Some(8), false)], false)]
    #[case::among_young_ones(&[left(Some(8), false), left(Some(9), false), left(Some(1), false)], false)]
    #[case::beside_one_of_no_known_date(&[left(Some(8), false), left(Some(9), false), left(None, false)], false)]
    fn dates_of_the_first_push_are_told_and_prove_a_failure_only_where_all_are_old(
        #[case] tags: &[Left],
        #[case] proves: bool,
    ) {
        let now = Timestamp::from_second(100 * 86_400).unwrap();
        let remains = Remains::of(tags, Dates::First, &rule(&json!({"olderThan": "7d"})), tags.len(), 10, now);
        assert_eq!(remains.proves_failure(), proves);
        assert!(remains.failed().unwrap().ends_with("unless they were pushed again since"));
    }

    #[test]
    fn names_are_taken_from_everywhere_and_each_once() {
        let names: Vec<String> = (0..100).map(|number| format!("{number:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(sample(&names), ["00", "24", "49", "74", "99"]);
        for number in 0..=NAMED {
            assert_eq!(sample(&names[..number]), names[..number]);
        }
    }
}
