//! Whether GitLab's limits let the requests of a run through at once, and how long it takes if they do not.

use jiff::SignedDuration;

use super::Method;
use crate::api::{self, Mode, PolicyStatus, RunResult};

/// Requests for each repository of which nothing is known yet: a list, a count and a page.
const PER_REPOSITORY: u64 = 3;
/// Requests for each repository in which GitLab's bulk deletion is asked for: that, and listings afterwards.
const PER_BULK: u64 = 5;
/// Tags of the first request that removes several by their names. Each of the next has twice as many, up to a bound,
/// while GitLab answers quickly; where it does not, a run takes more requests than are counted here.
const FIRST: u64 = 40;
/// Repositories whose tags go in one request at most.
const REPOSITORIES: u64 = 10;

/// What is to be removed in some repositories.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Removing {
    /// Repositories in which GitLab's bulk deletion is asked for.
    bulk: u64,
    /// Tags that go one by one.
    one_by_one: u64,
    /// Tags that go by their names, several in one request, and the repositories that they are in.
    by_name: (u64, u64),
}

impl Removing {
    /// Adds the tags of one repository. `by_name` says that several go in one request.
    pub fn add(&mut self, method: &Method, by_name: bool, tags: u64) {
        match method {
            _ if tags == 0 => {}
            Method::Bulk(_) => self.bulk += 1,
            Method::Exact(_) if by_name => self.by_name = (self.by_name.0 + tags, self.by_name.1 + 1),
            Method::Exact(_) => self.one_by_one += tags,
        }
    }

    /// How many requests that takes, besides those that plan it: one that looks and one that removes for as many tags
    /// as go together. `most` is how many tags one request has at most.
    #[must_use]
    pub fn requests(self, most: u64) -> u64 {
        let (tags, repositories) = self.by_name;
        let most = most.max(1);
        let at_once = if most < FIRST { 1 } else { REPOSITORIES };
        let together = documents(tags, most).max(repositories.div_ceil(at_once));
        let looked_at = together.saturating_add(self.one_by_one).saturating_mul(2);
        looked_at.saturating_add(self.bulk.saturating_mul(PER_BULK))
    }
}

/// How many requests remove so many tags, if each may have twice as many as the one before.
fn documents(tags: u64, most: u64) -> u64 {
    let (mut left, mut size, mut documents) = (tags, FIRST.min(most), 0);
    while left > 0 && size < most {
        left = left.saturating_sub(size);
        size = size.saturating_mul(2).min(most);
        documents += 1;
    }
    left.div_ceil(most).saturating_add(documents)
}

/// What GitLab lets through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Allowance {
    /// Requests that are left in its window.
    pub remaining: u64,
    /// How long the window lasts.
    pub reset_in: SignedDuration,
    /// Requests a minute after that.
    pub per_minute: u64,
}

/// How many requests the last run sent, if it is one of this method and mode that came through.
#[must_use]
pub fn sent_before(status: Option<&PolicyStatus>, method: api::Method, mode: Mode) -> Option<u64> {
    let last = status?.last_run.as_ref().filter(|run| run.result == RunResult::Succeeded)?;
    last.requests.filter(|_| last.method == Some(method) && last.mode == mode)
}

/// How many requests a run takes, more or less: as many as the one before, or what its repositories take.
#[must_use]
pub fn estimate(before: Option<u64>, repositories: usize) -> u64 {
    before.unwrap_or_else(|| PER_REPOSITORY.saturating_mul(repositories as u64))
}

/// What is said of a run that takes more requests than are let through at once.
#[must_use]
pub fn sentence(requests: u64, allowed: Allowance, deadline: SignedDuration) -> Option<String> {
    let Allowance { remaining, reset_in, per_minute } = allowed;
    let rest = requests.checked_sub(remaining).filter(|rest| *rest > 0)?;
    let minutes = i64::try_from(rest.div_ceil(per_minute.max(1))).unwrap_or(i64::MAX / 60);
    let takes = reset_in.saturating_add(SignedDuration::from_secs(minutes.saturating_mul(60)));
    let takes = SignedDuration::from_mins(takes.as_secs().saturating_add(59) / 60);
    let mut text = format!(
        "a run takes some {requests} requests; GitLab's limits let {remaining} through now, and {per_minute} a minute later, so \
         the run pauses in between and takes some {takes:#}"
    );
    if takes > deadline {
        text.push_str(", longer than activeDeadlineSeconds; what it does not reach is left to the next one");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::{CompileOptions, compile};

    const ALLOWED: Allowance = Allowance { remaining: 100, reset_in: SignedDuration::from_mins(30), per_minute: 10 };

    #[rstest]
    #[case::all_at_once(100, 3600, None)]
    #[case::in_time(
        101,
        3600,
        Some(
            "101 requests; GitLab's limits let 100 through now, and 10 a minute later, so the run pauses in between and takes some 31m"
        )
    )]
    #[case::within_hours(1000, 7200, Some("takes some 2h"))]
    #[case::not_in_time(
        1000,
        7199,
        Some("takes some 2h, longer than activeDeadlineSeconds; what it does not reach is left to the next one")
    )]
    fn a_run_says_beforehand_that_the_limits_are_too_low(
        #[case] requests: u64,
        #[case] deadline: i64,
        #[case] expected: Option<&str>,
    ) {
        let said = sentence(requests, ALLOWED, SignedDuration::from_secs(deadline));
        assert_eq!(said.is_some(), expected.is_some());
        assert!(said.zip(expected).is_none_or(|(said, expected)| said.ends_with(expected)));
    }

    #[test]
    fn only_a_run_of_the_same_kind_that_came_through_says_what_the_next_one_takes() {
        let before = |result: &str, method: &str| {
            let run = json!({
                "id": "r", "trigger": "Schedule", "mode": "Delete", "method": method, "gitlab": "https://git.test",
                "observedGeneration": 1, "startTime": "1970-01-01T00:00:00Z", "result": result, "requests": 7,
            });
            let status: PolicyStatus = serde_json::from_value(json!({"lastRun": run})).unwrap();
            sent_before(Some(&status), api::Method::Exact, Mode::Delete)
        };
        assert_eq!(before("Succeeded", "Exact"), Some(7));
        assert_eq!((before("Succeeded", "Bulk"), before("Interrupted", "Exact")), (None, None));
    }

    #[test]
    fn numbers_that_make_no_sense_are_taken_as_they_are() {
        let allowed = Allowance { remaining: 0, reset_in: SignedDuration::MAX, per_minute: 0 };
        assert!(sentence(u64::MAX, allowed, SignedDuration::ZERO).is_some());
    }

    #[test]
    fn what_a_run_takes_is_what_the_last_one_took_or_follows_from_what_is_to_be_done() {
        assert_eq!((estimate(Some(7), 100), estimate(None, 100)), (7, 300));
        let method = |name: &str| {
            let rules = json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 1}]);
            let spec = spec(&json!({"method": name, "rules": rules}));
            compile(&spec, &CompileOptions::default(), jiff::Timestamp::UNIX_EPOCH).unwrap().method
        };
        let requests = |name: &str, by_name: bool, repositories: &[u64], most: u64| {
            let mut removing = Removing::default();
            for tags in repositories {
                removing.add(&method(name), by_name, *tags);
            }
            removing.requests(most)
        };
        let exact = |repositories: &[u64], most| requests("Exact", true, repositories, most);
        assert_eq!((exact(&[21], 500), exact(&[0, 0], 500)), (2, 0));
        assert_eq!(exact(&[40 + 80 + 160 + 320 + 500 + 1], 500), 2 * 6, "each has twice as many as the one before");
        assert_eq!((exact(&[21], 20), exact(&[1; 30], 20)), (4, 60), "with one part a request");
        assert_eq!(exact(&[1; 100], 500), 2 * 10, "those of ten repositories go together");
        assert_eq!(requests("Exact", false, &[21], 500), 42);
        assert_eq!(requests("Bulk", true, &[1000, 0], 500), 5);
    }
}
