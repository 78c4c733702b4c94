//! What the operator counts while it works.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::api::{Mode, RepositoryResult, RunStatus};
use crate::metrics::{Counter, Family, Histogram, as_number};
use crate::policy::repository_outcome::{Outcome, RepositoryReason};

/// From a look that finds nothing to do to one that is a long run.
const LOOK_SECONDS: &[f64] = &[0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0];
const RUN_SECONDS: &[f64] = &[1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];

const POLICY: [&str; 2] = ["namespace", "policy"];

/// What is counted.
pub(crate) struct Counts {
    looks: Counter<1>,
    look_seconds: Histogram<0>,
    runs: Counter<5>,
    run_seconds: Histogram<2>,
    missed: Counter<2>,
    requested: Counter<2>,
    confirmed: Counter<2>,
    bytes: Counter<2>,
    skipped: Counter<3>,
}

impl Default for Counts {
    fn default() -> Self {
        let [namespace, policy] = POLICY;
        Self {
            looks: Counter::new("reconcile", "Looks at policies, by whether the API server did its part", ["result"]),
            look_seconds: Histogram::new(
                "reconcile_duration_seconds",
                "How long looks at policies took, with the runs that they began",
                [],
                LOOK_SECONDS,
            ),
            runs: Counter::new("runs", "Runs that ended", [namespace, policy, "mode", "trigger", "result"]),
            run_seconds: Histogram::new("run_duration_seconds", "How long runs took", POLICY, RUN_SECONDS),
            missed: Counter::new(
                "schedule_missed",
                "Runs left out since their time had passed by more than startingDeadlineSeconds",
                POLICY,
            ),
            requested: Counter::new("tags_requested", "Tags that an accepted request to GitLab spoke of", POLICY),
            confirmed: Counter::new("tags_confirmed", "Tags that runs removed and that are proved to be gone", POLICY),
            bytes: Counter::new(
                "removed_bytes",
                "Size of the tags that runs removed, as far as GitLab tells it; garbage collection frees less",
                POLICY,
            ),
            skipped: Counter::new(
                "repositories_skipped",
                "Repositories that runs left alone, by why",
                [namespace, policy, "reason"],
            ),
        }
    }
}

impl Counts {
    /// Counts a look at a policy.
    pub(crate) fn looked(&self, well: bool, took: Duration) {
        self.looks.add([if well { "success" } else { "error" }], 1.0);
        self.look_seconds.observe([], took.as_secs_f64());
    }

    /// Counts a run that ended.
    pub(crate) fn run_ended(&self, (namespace, policy): (&str, &str), run: &RunStatus, outcomes: &[Outcome]) {
        let (mode, trigger, result) = (run.mode.as_str(), run.trigger.as_str(), run.result.as_str());
        self.runs.add([namespace, policy, mode, trigger, result], 1.0);
        let ended = run.completion_time.as_ref().map_or(run.start_time.0, |time| time.0);
        let took = ended.duration_since(run.start_time.0).as_secs_f64();
        self.run_seconds.observe_run([namespace, policy], took, &run.id);
        if run.mode == Mode::Delete {
            self.requested.add([namespace, policy], as_number(run.tags.requested));
            self.confirmed.add([namespace, policy], as_number(run.tags.confirmed));
            self.bytes.add([namespace, policy], as_number(run.bytes.unwrap_or_default()));
        }
        let mut skipped: BTreeMap<&str, u64> = BTreeMap::new();
        for outcome in outcomes.iter().filter(|outcome| outcome.result == RepositoryResult::Skipped) {
            *skipped.entry(outcome.reason.map_or("", RepositoryReason::as_str)).or_default() += 1;
        }
        for (reason, number) in skipped {
            self.skipped.add([namespace, policy, reason], as_number(number));
        }
    }

    /// Counts a slot that was missed.
    pub(crate) fn schedule_missed(&self, namespace: &str, policy: &str) {
        self.missed.add([namespace, policy], 1.0);
    }

    /// Forgets the policies that are not among these, and begins at 0 for those that are new: Prometheus sees no growth
    /// from nothing to a number, so that the first run after a start would not count.
    pub(crate) fn retain(&self, known: &BTreeSet<(String, String)>) {
        for (namespace, policy) in known {
            for counter in [&self.missed, &self.requested, &self.confirmed, &self.bytes] {
                counter.add([namespace, policy], 0.0);
            }
        }
        let is_known = |namespace: &String, policy: &String| known.contains(&(namespace.clone(), policy.clone()));
        self.runs.retain(|[namespace, policy, ..]| is_known(namespace, policy));
        self.run_seconds.retain(|[namespace, policy]| is_known(namespace, policy));
        self.skipped.retain(|[namespace, policy, _]| is_known(namespace, policy));
        for counter in [&self.missed, &self.requested, &self.confirmed, &self.bytes] {
            counter.retain(|[namespace, policy]| is_known(namespace, policy));
        }
    }

    /// All of it.
    pub(crate) fn families(&self) -> Vec<Family> {
        let of_policies = [&self.missed, &self.requested, &self.confirmed, &self.bytes].map(Counter::family);
        let mut all = vec![
            self.looks.family(),
            self.look_seconds.family(),
            self.runs.family(),
            self.run_seconds.family(),
            self.skipped.family(),
        ];
        all.extend(of_policies);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Format, write};

    #[test]
    fn a_policy_counts_from_zero_once_it_is_known_and_no_more_once_it_is_gone() {
        let counts = Counts::default();
        let known = BTreeSet::from([("team".to_owned(), "shop".to_owned())]);
        counts.retain(&known);
        counts.schedule_missed("team", "shop");
        counts.retain(&known);
        let told = write(&counts.families(), Format::Classic);
        assert!(told.contains("tags_confirmed_total{namespace=\"team\",policy=\"shop\"} 0\n"), "{told}");
        assert!(told.contains("schedule_missed_total{namespace=\"team\",policy=\"shop\"} 1\n"), "{told}");
        counts.retain(&BTreeSet::new());
        assert_eq!(write(&counts.families(), Format::Classic), "");
    }
}
