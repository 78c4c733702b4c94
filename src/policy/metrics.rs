//! What the statuses of all policies say, as metrics. A policy that is gone has no series.
//!
//! Labels are bounded: there is none for a repository or a tag, and each policy has the same number of series whatever
//! the size of its registry.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use url::Url;

use crate::api::conditions::{READY, STALLED, is_true};
use crate::api::{Mode, PolicyStatus, RegistryCleanupPolicy, RunStatus};
use crate::metrics::{Family, Labels, as_number};

use super::exclude_windows::Windows;
use super::schedule::Schedule;

/// The metrics of these policies.
pub fn families<'p>(policies: impl IntoIterator<Item = &'p RegistryCleanupPolicy>, now: Timestamp) -> Vec<Family> {
    let mut all: Vec<(Gauge, Family)> =
        Gauge::ALL.into_iter().map(|gauge| (gauge, Family::gauge(gauge.name(), gauge.help()))).collect();
    let none = PolicyStatus::default();
    for policy in policies {
        let of = Of { policy, status: policy.status.as_ref().unwrap_or(&none), now };
        for (gauge, family) in &mut all {
            for (more, value) in gauge.series(&of) {
                family.add([of.labels(), more].concat(), value);
            }
        }
    }
    all.into_iter().map(|(_, family)| family).collect()
}

/// A metric of a policy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Gauge {
    Info,
    Ready,
    Suspended,
    Stalled,
    InProgress,
    ApprovalPending,
    ConsecutiveFailures,
    LastRun,
    LastSuccess,
    NextRun,
    Interval,
    TokenExpiration,
    Tags,
    Bytes,
    Repositories,
}

/// A policy that is measured.
struct Of<'a> {
    policy: &'a RegistryCleanupPolicy,
    status: &'a PolicyStatus,
    now: Timestamp,
}

impl Of<'_> {
    fn labels(&self) -> Labels {
        let metadata = &self.policy.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        vec![("namespace", text(&metadata.namespace)), ("policy", text(&metadata.name))]
    }

    /// Seconds between the next two slots that no exclude window leaves out, or between the last one and the next,
    /// where that is longer.
    fn interval(&self) -> Option<f64> {
        let spec = &self.policy.spec;
        let schedule = Schedule::parse(&spec.schedule, &spec.time_zone, self.now).ok()?;
        let windows = match spec.mode {
            Mode::Delete => Windows::parse(&spec.exclude_windows, &spec.time_zone, self.now).unwrap_or_default(),
            Mode::DryRun | Mode::RequireApproval => Windows::default(),
        };
        let next = windows.next_slot(&schedule, self.now)?;
        let ahead = windows.next_slot(&schedule, next)?.duration_since(next);
        let behind = windows.last_slot(&schedule, self.now).map(|last| next.duration_since(last));
        Some(behind.map_or(ahead, |behind| behind.max(ahead)).as_secs_f64())
    }

    fn ended_run(&self) -> Option<&RunStatus> {
        self.status.last_run.as_ref().filter(|run| !run.result.is_under_way())
    }
}

impl Gauge {
    const ALL: [Self; 15] = [
        Self::Info,
        Self::Ready,
        Self::Suspended,
        Self::Stalled,
        Self::InProgress,
        Self::ApprovalPending,
        Self::ConsecutiveFailures,
        Self::LastRun,
        Self::LastSuccess,
        Self::NextRun,
        Self::Interval,
        Self::TokenExpiration,
        Self::Tags,
        Self::Bytes,
        Self::Repositories,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Info => "policy_info",
            Self::Ready => "policy_ready",
            Self::Suspended => "policy_suspended",
            Self::Stalled => "policy_stalled",
            Self::InProgress => "run_in_progress",
            Self::ApprovalPending => "approval_pending",
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::LastRun => "last_run_timestamp_seconds",
            Self::LastSuccess => "last_success_timestamp_seconds",
            Self::NextRun => "next_run_timestamp_seconds",
            Self::Interval => "schedule_interval_seconds",
            Self::TokenExpiration => "token_expiration_timestamp_seconds",
            Self::Tags => "tags",
            Self::Bytes => "last_run_bytes",
            Self::Repositories => "repositories",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::Info => "1, with the mode, the method and the GitLab host of the policy",
            Self::Ready => "Whether the condition Ready is True",
            Self::Suspended => "Whether the policy is suspended",
            Self::Stalled => "Whether the condition Stalled is True: only an edit helps",
            Self::InProgress => "Whether a run is under way",
            Self::ApprovalPending => "Whether a plan waits for an approval",
            Self::ConsecutiveFailures => "How many runs in a row did not end with Succeeded",
            Self::LastRun => "When the last run began",
            Self::LastSuccess => "When a run last ended with Succeeded",
            Self::NextRun => "When the schedule begins the next run",
            Self::Interval => "The time between the next two runs of the schedule",
            Self::TokenExpiration => "When the access token expires, if GitLab tells",
            Self::Tags => {
                "Tags of the last run that ended: scanned, matched by the rules, kept, and kept since they are in use"
            }
            Self::Bytes => {
                "Size of the tags that the last run removed, or in a dry run would have, as far as GitLab tells it"
            }
            Self::Repositories => "Repositories of the last run that ended, by what became of them",
        }
    }

    /// The series of a policy: more labels, and the number.
    fn series(self, of: &Of<'_>) -> Vec<(Labels, f64)> {
        let (spec, status) = (&of.policy.spec, of.status);
        let at = |time: Option<&Time>| plain(time.map(|time| time.0.as_duration().as_secs_f64()));
        match self {
            Self::Info => {
                let url = Url::parse(&spec.gitlab.url).ok();
                let host = url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
                let method = spec.method.unwrap_or_default().as_str().to_owned();
                vec![(vec![("mode", spec.mode.as_str().to_owned()), ("method", method), ("host", host)], 1.0)]
            }
            Self::Ready => truth(is_true(&status.conditions, READY)),
            Self::Suspended => truth(spec.suspend),
            Self::Stalled => truth(is_true(&status.conditions, STALLED)),
            Self::InProgress => truth(status.last_run.as_ref().is_some_and(|run| run.result.is_under_way())),
            Self::ApprovalPending => truth(status.pending_approval.is_some()),
            Self::ConsecutiveFailures => plain(Some(f64::from(status.consecutive_failures.unwrap_or_default()))),
            Self::LastRun => at(status.last_run.as_ref().map(|run| &run.start_time)),
            Self::LastSuccess => at(status.last_successful_time.as_ref()),
            Self::NextRun => at(status.next_schedule_time.as_ref()),
            Self::Interval => plain(of.interval()),
            Self::TokenExpiration => at(status.token_expiration_time.as_ref()),
            Self::Tags => of.ended_run().map_or_else(Vec::new, |run| {
                let tags = &run.tags;
                let kept = tags.scanned.saturating_sub(tags.matched);
                let numbers =
                    [("scanned", tags.scanned), ("matched", tags.matched), ("kept", kept), ("in_use", tags.in_use)];
                numbers.map(|(state, number)| (vec![("state", state.to_owned())], as_number(number))).to_vec()
            }),
            Self::Bytes => plain(of.ended_run().and_then(|run| run.bytes).map(as_number)),
            Self::Repositories => of.ended_run().map_or_else(Vec::new, |run| {
                let all = &run.repositories;
                let results = [
                    ("Changed", all.changed),
                    ("Unchanged", all.unchanged),
                    ("Skipped", all.skipped),
                    ("Failed", all.failed),
                ];
                results.map(|(result, number)| (vec![("result", result.to_owned())], f64::from(number))).to_vec()
            }),
        }
    }
}

fn truth(holds: bool) -> Vec<(Labels, f64)> {
    plain(Some(f64::from(u8::from(holds))))
}

fn plain(value: Option<f64>) -> Vec<(Labels, f64)> {
    value.map(|value| (Labels::new(), value)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::metrics::{Format, write};
    use crate::policy::compile::tests::spec;

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn policy(name: &str, status: Value) -> RegistryCleanupPolicy {
        let mut policy = RegistryCleanupPolicy::new(name, spec(&json!({"mode": "Delete"})));
        policy.metadata.namespace = Some("team".to_owned());
        policy.status = serde_json::from_value(status).unwrap();
        policy
    }

    /// The lines of a policy without prefix and labels that all have.
    fn lines(policies: &[RegistryCleanupPolicy]) -> Vec<String> {
        let text = write(&families(policies, now()), Format::Classic);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.replace("registry_cleanup_", "").replace(r#"namespace="team",policy="shop""#, "…"))
            .collect()
    }

    #[test]
    fn a_policy_that_nobody_has_looked_at_has_no_times_and_no_numbers() {
        assert_eq!(
            lines(&[policy("shop", Value::Null)]),
            [
                r#"policy_info{…,mode="Delete",method="Bulk",host="gitlab.example.com"} 1"#,
                "policy_ready{…} 0",
                "policy_suspended{…} 0",
                "policy_stalled{…} 0",
                "run_in_progress{…} 0",
                "approval_pending{…} 0",
                "consecutive_failures{…} 0",
                "schedule_interval_seconds{…} 86400",
            ]
        );
    }

    #[test]
    fn the_last_run_that_ended_tells_its_numbers_and_one_that_goes_on_only_that_it_does() {
        let mut status = json!({
            "conditions": [{"type": "Ready", "status": "True", "reason": "Scheduled", "message": "", "lastTransitionTime": "2026-11-22T11:00:00Z"}],
            "consecutiveFailures": 2,
            "nextScheduleTime": "2026-11-23T03:17:00Z",
            "lastSuccessfulTime": "2026-11-21T03:18:00Z",
            "tokenExpirationTime": "2027-01-01T00:00:00Z",
            "lastRun": {
                "id": "r", "trigger": "Schedule", "mode": "Delete", "gitlab": "https://gitlab.example.com",
                "observedGeneration": 1, "startTime": "2026-11-22T03:17:00Z", "completionTime": "2026-11-22T03:18:00Z",
                "result": "PartiallyFailed",
                "repositories": {"total": 4, "changed": 1, "unchanged": 1, "skipped": 1, "failed": 1},
                "tags": {"scanned": 100, "matched": 40, "requested": 40, "confirmed": 39, "inUse": 3},
                "bytes": 1024,
            },
        });
        let ended = lines(&[policy("shop", status.clone())]);
        for line in [
            "policy_ready{…} 1",
            "run_in_progress{…} 0",
            "consecutive_failures{…} 2",
            "last_run_timestamp_seconds{…} 1795317420",
            "last_success_timestamp_seconds{…} 1795231080",
            "next_run_timestamp_seconds{…} 1795403820",
            "token_expiration_timestamp_seconds{…} 1798761600",
            r#"tags{…,state="kept"} 60"#,
            r#"tags{…,state="in_use"} 3"#,
            "last_run_bytes{…} 1024",
            r#"repositories{…,result="Failed"} 1"#,
        ] {
            assert!(ended.iter().any(|told| told == line), "{line} is not in {ended:#?}");
        }
        status["lastRun"]["result"] = json!("Running");
        let under_way = lines(&[policy("shop", status)]);
        assert!(under_way.iter().any(|line| line == "run_in_progress{…} 1"), "{under_way:#?}");
        assert!(!under_way.iter().any(|line| line.starts_with("tags") || line.starts_with("repositories")));
    }

    #[test]
    fn a_policy_has_few_series_and_none_when_it_is_gone() {
        let run = json!({
            "id": "r", "trigger": "Schedule", "mode": "Delete", "gitlab": "g", "observedGeneration": 1,
            "startTime": "2026-11-22T03:17:00Z", "result": "Succeeded", "bytes": 1,
        });
        let times = "2026-11-22T03:17:00Z";
        let status = json!({"lastRun": run, "nextScheduleTime": times, "lastSuccessfulTime": times,
            "tokenExpirationTime": times});
        let of = |number: usize| lines(&vec![policy("shop", status.clone()); number]).len();
        assert_eq!((of(0), of(1)), (0, 21));
    }
}
