//! What requests to GitLab cost, as metrics.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;

use super::error::Operation;
use crate::metrics::{Counter, Family, Histogram};

/// Hosts that are told apart. Whoever may write a policy may name any host, so what comes later counts as [`OTHER`].
const MAX_HOSTS: usize = 50;
const OTHER: &str = "other";
/// From a request that GitLab answers out of a cache to one that a proxy gives up.
const SECONDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// What slowed requests down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Throttle {
    /// A repository that took a bulk deletion within the hour.
    HourlyLimit,
    /// GitLab's answer 429.
    TooManyRequests,
}

impl Throttle {
    const fn as_str(self) -> &'static str {
        match self {
            Self::HourlyLimit => "hourly_limit",
            Self::TooManyRequests => "http_429",
        }
    }
}

/// What requests to GitLab cost. Clones count together.
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    requests: Counter<3>,
    seconds: Histogram<2>,
    throttled: Counter<2>,
    hosts: Arc<Mutex<BTreeSet<String>>>,
}

/// Where requests to one host are counted.
#[derive(Clone, Debug)]
pub(super) struct HostCounts {
    host: String,
    metrics: RequestMetrics,
}

impl HostCounts {
    /// Counts a request.
    pub(super) fn requested(&self, operation: Operation, status: Option<StatusCode>, took: Duration) {
        self.metrics.requested(&self.host, operation, status, took);
    }
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self {
            requests: Counter::new(
                "gitlab_requests",
                "Requests to GitLab by what they are for and the status code of the answer (none: no answer came)",
                ["host", "operation", "code"],
            ),
            seconds: Histogram::new(
                "gitlab_request_duration_seconds",
                "How long requests to GitLab took until their answer was read",
                ["host", "operation"],
                SECONDS,
            ),
            throttled: Counter::new(
                "gitlab_throttled",
                "How often GitLab's limits were met: http_429 are its refusals, hourly_limit are repositories left \
                 alone because of the one bulk deletion an hour",
                ["host", "kind"],
            ),
            hosts: Arc::default(),
        }
    }
}

impl RequestMetrics {
    /// Where requests to one host are counted.
    pub(super) fn of(&self, host: &str) -> HostCounts {
        HostCounts { host: self.known(host), metrics: self.clone() }
    }

    fn requested(&self, host: &str, operation: Operation, status: Option<StatusCode>, took: Duration) {
        let (operation, code) = (word(operation), status.map_or("none".to_owned(), |code| code.as_u16().to_string()));
        self.requests.add([host, operation, &code], 1.0);
        self.seconds.observe([host, operation], took.as_secs_f64());
        if status == Some(StatusCode::TOO_MANY_REQUESTS) {
            self.throttled.add([host, Throttle::TooManyRequests.as_str()], 1.0);
        }
    }

    /// Counts a repository that was left alone because of the hour.
    pub fn hourly_limit(&self, host: &str) {
        self.throttled.add([&self.known(host), Throttle::HourlyLimit.as_str()], 1.0);
    }

    /// All of them.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        vec![self.requests.family(), self.seconds.family(), self.throttled.family()]
    }

    fn known(&self, host: &str) -> String {
        // The set is valid between any two statements.
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() < MAX_HOSTS {
            hosts.insert(host.to_owned());
        }
        if hosts.contains(host) { host.to_owned() } else { OTHER.to_owned() }
    }
}

/// What a request is for, in a word.
const fn word(operation: Operation) -> &'static str {
    match operation {
        Operation::Connect => "Connect",
        Operation::ReadVersion => "ReadVersion",
        Operation::ReadToken => "ReadToken",
        Operation::ListRepositories => "ListRepositories",
        Operation::CountTags => "CountTags",
        Operation::ListTags => "ListTags",
        Operation::ReadTag => "ReadTag",
        Operation::RequestBulkDelete => "RequestBulkDelete",
        Operation::ReadTags => "ReadTags",
        Operation::RemoveTags => "RemoveTags",
        Operation::RemoveTag => "RemoveTag",
        Operation::ReadCleanupPolicy => "ReadCleanupPolicy",
        Operation::ReadProject => "ReadProject",
        Operation::ReadTagRules => "ReadTagRules",
        Operation::DeleteRepository => "DeleteRepository",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Format, write};

    #[test]
    fn requests_are_counted_by_what_they_are_for_and_what_came_of_them() {
        let metrics = RequestMetrics::default();
        let second = Duration::from_secs(1);
        metrics.requested("git.test", Operation::ListTags, Some(StatusCode::OK), second);
        metrics.requested("git.test", Operation::ListTags, Some(StatusCode::TOO_MANY_REQUESTS), second);
        metrics.requested("git.test", Operation::RemoveTag, None, second);
        metrics.hourly_limit("git.test");
        let text = write(&metrics.families(), Format::Classic);
        for line in [
            r#"gitlab_requests_total{host="git.test",operation="ListTags",code="200"} 1"#,
            r#"gitlab_requests_total{host="git.test",operation="ListTags",code="429"} 1"#,
            r#"gitlab_requests_total{host="git.test",operation="RemoveTag",code="none"} 1"#,
            r#"gitlab_request_duration_seconds_count{host="git.test",operation="ListTags"} 2"#,
            r#"gitlab_throttled_total{host="git.test",kind="http_429"} 1"#,
            r#"gitlab_throttled_total{host="git.test",kind="hourly_limit"} 1"#,
        ] {
            assert!(text.contains(&format!("\nregistry_cleanup_{line}\n")), "{line} is not in {text}");
        }
    }

    #[test]
    fn however_many_hosts_policies_name_the_series_are_bounded() {
        let metrics = RequestMetrics::default();
        for host in 0..1000 {
            metrics.of(&format!("h{host}.test")).requested(Operation::ListTags, None, Duration::ZERO);
        }
        assert_eq!(metrics.families()[0].series.len(), MAX_HOSTS + 1);
        let text = write(&metrics.families(), Format::Classic);
        assert!(text.contains(r#"requests_total{host="other",operation="ListTags",code="none"} 950"#), "{text}");
    }
}
