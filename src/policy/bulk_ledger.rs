//! The hour: GitLab takes one bulk deletion per repository in 3600 s, and so no second one is sent before that.
//!
//! The ledger knows, over all policies, until when which repository is reserved. It is made anew from the statuses of
//! all policies when the operator starts. What a status cannot name repository by repository counts as requested.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::api::{PolicyStatus, TargetSpec};

use super::target::could_reach;

/// How long GitLab refuses a second bulk deletion (exclusive lease of 3600 s from the first accepted request).
pub const HOUR: SignedDuration = SignedDuration::from_secs(3600);

/// A repository of some instance.
#[derive(Clone, Copy, Debug)]
pub struct Repository<'a> {
    /// Address of the instance.
    pub instance: &'a str,
    /// GitLab's numeric id.
    pub id: u64,
    /// Full path.
    pub path: &'a str,
}

/// Why a repository may not get a bulk deletion yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Blocked {
    /// From when on it may.
    pub until: Timestamp,
    /// The policy whose request is the reason, as `namespace/name`.
    pub owner: String,
}

/// What is known of bulk deletions of the last hour.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What this process requested itself, by instance and repository.
    sent: HashMap<(String, u64), Blocked>,
    /// What the status of each policy told.
    told: HashMap<String, Told>,
}

/// What the status of one policy tells of an instance.
#[derive(Debug)]
struct Told {
    instance: String,
    /// Repositories that it names, each with the moment from which on it is free.
    named: HashMap<u64, Timestamp>,
    /// The same moment for all that it does not name; `None` when it keeps quiet about nothing.
    others: Option<Timestamp>,
    /// What the policy can reach; `None` when it was edited since, and any repository of the instance may be meant.
    target: Option<TargetSpec>,
}

/// The moment from which on a request is certain not to be refused, when one was accepted no later than `at`. Rounded
/// up to the second, since that is what a status can hold.
#[must_use]
pub fn eligible_after(at: Timestamp) -> Timestamp {
    let whole = at.as_second() + i64::from(at.subsec_nanosecond() > 0);
    Timestamp::from_second(whole.saturating_add(HOUR.as_secs())).unwrap_or(Timestamp::MAX)
}

impl Ledger {
    /// Who has reserved a repository, if anybody has.
    #[must_use]
    pub fn blocked(&self, repository: Repository<'_>, now: Timestamp) -> Option<Blocked> {
        let sent = self.sent.get(&(repository.instance.to_owned(), repository.id)).cloned();
        let told = self
            .told
            .iter()
            .filter_map(|(owner, told)| told.until(repository).map(|until| Blocked { until, owner: owner.clone() }));
        sent.into_iter().chain(told).filter(|blocked| blocked.until > now).max_by_key(|blocked| blocked.until)
    }

    /// Speaks for a repository before a request is sent, so that no other run sends one at the same time.
    ///
    /// # Errors
    /// Who has reserved it already.
    pub fn reserve(&mut self, repository: Repository<'_>, owner: &str, now: Timestamp) -> Result<(), Blocked> {
        if let Some(blocked) = self.blocked(repository, now) {
            return Err(blocked);
        }
        self.requested(repository, owner, now);
        Ok(())
    }

    /// Notes that a request was, or may have been, accepted no later than `at`; answers from when on the next one may
    /// go.
    pub fn requested(&mut self, repository: Repository<'_>, owner: &str, at: Timestamp) -> Timestamp {
        let until = eligible_after(at);
        let blocked = Blocked { until, owner: owner.to_owned() };
        self.sent.insert((repository.instance.to_owned(), repository.id), blocked);
        until
    }

    /// Takes a reservation back: the request is known not to have been accepted.
    pub fn release(&mut self, repository: Repository<'_>) {
        self.sent.remove(&(repository.instance.to_owned(), repository.id));
    }

    /// Learns what the status of a policy tells, replacing what it told before. `edited` says that the spec is not the
    /// one that the status speaks of.
    pub fn remember(&mut self, owner: &str, status: &PolicyStatus, target: &TargetSpec, edited: bool) {
        self.told.remove(owner);
        let Some(run) = &status.last_run else { return };
        let others = status.others_eligible_time.as_ref().map(|time| time.0);
        let running = run.result.is_under_way();
        let named = status.repositories.iter().map(|repository| {
            let known = repository.next_eligible_time.as_ref().map_or(Timestamp::MIN, |time| time.0);
            // A run that nobody finished may have requested what an earlier one left free.
            let until = if running { known.max(others.unwrap_or(known)) } else { known };
            (repository.id, until)
        });
        let told = Told {
            instance: run.gitlab.clone(),
            named: named.collect(),
            others,
            target: (!edited).then(|| target.clone()),
        };
        self.told.insert(owner.to_owned(), told);
    }

    /// Forgets what is over.
    pub fn prune(&mut self, now: Timestamp) {
        self.sent.retain(|_, blocked| blocked.until > now);
        self.told.retain(|_, told| told.others.iter().chain(told.named.values()).any(|until| *until > now));
    }
}

impl Told {
    /// From when on a repository is free, as far as this policy is concerned. What it names it knows exactly.
    fn until(&self, repository: Repository<'_>) -> Option<Timestamp> {
        if self.instance != repository.instance {
            return None;
        }
        let reached = || self.target.as_ref().is_none_or(|target| could_reach(target, repository.path));
        self.named.get(&repository.id).copied().or_else(|| self.others.filter(|_| reached()))
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::api::RunResult;

    const A: Repository<'_> = Repository { instance: "https://git.test", id: 7, path: "shop/backend/api" };
    const B: Repository<'_> = Repository { instance: "https://git.test", id: 8, path: "other/thing" };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn target(path: &str) -> TargetSpec {
        serde_json::from_value(json!({"groups": [{"path": path}]})).unwrap()
    }

    fn status(named: Option<i64>, others: Option<i64>) -> PolicyStatus {
        let mut status: PolicyStatus = serde_json::from_value(json!({
            "lastRun": {"id": "r", "trigger": "Schedule", "mode": "Delete", "gitlab": A.instance, "observedGeneration": 1,
                "startTime": "1970-01-01T00:00:00Z", "result": "Succeeded"},
            "repositories": [{"path": A.path, "id": A.id, "result": "Changed"}],
        }))
        .unwrap();
        status.repositories[0].next_eligible_time = named.map(|second| Time(at(second)));
        status.others_eligible_time = others.map(|second| Time(at(second)));
        status
    }

    #[test]
    fn a_second_request_is_refused_for_an_hour_whoever_asks() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.reserve(A, "n/one", at(100)), Ok(()));
        assert_eq!(ledger.requested(A, "n/one", at(105)), at(3705));
        let blocked = Blocked { until: at(3705), owner: "n/one".to_owned() };
        assert_eq!(ledger.reserve(A, "n/two", at(3704)), Err(blocked));
        assert_eq!(ledger.reserve(B, "n/two", at(106)), Ok(()));
        assert_eq!(ledger.reserve(A, "n/two", at(3705)), Ok(()));
    }

    #[test]
    fn a_reservation_that_is_taken_back_blocks_nobody() {
        let mut ledger = Ledger::default();
        ledger.reserve(A, "n/one", at(100)).unwrap();
        ledger.release(A);
        assert_eq!(ledger.reserve(A, "n/two", at(101)), Ok(()));
    }

    #[test]
    fn a_fraction_of_a_second_counts_as_a_whole_one() {
        let late = Timestamp::new(100, 1).unwrap();
        assert_eq!(eligible_after(late), at(3701));
        assert_eq!(eligible_after(at(100)), at(3700));
    }

    #[test]
    fn a_status_brings_back_the_repositories_it_names() {
        let mut ledger = Ledger::default();
        ledger.remember("n/one", &status(Some(5000), None), &target("shop"), false);
        assert!(ledger.blocked(A, at(4999)).is_some());
        assert!(ledger.blocked(A, at(5000)).is_none());
        assert!(ledger.blocked(B, at(4999)).is_none());
    }

    #[test]
    fn what_a_status_does_not_name_counts_as_requested_wherever_the_policy_could_have_reached() {
        let unnamed = Repository { id: 99, path: "shop/frontend", ..A };
        let mut ledger = Ledger::default();
        ledger.remember("n/one", &status(Some(2000), Some(5000)), &target("shop"), false);
        assert!(ledger.blocked(unnamed, at(4999)).is_some());
        assert!(ledger.blocked(B, at(4999)).is_none(), "the policy could not reach it");
        assert!(ledger.blocked(A, at(4999)).is_none(), "known by name, and free again");

        ledger.remember("n/one", &status(None, Some(5000)), &target("shop"), true);
        assert!(ledger.blocked(B, at(4999)).is_some(), "an edited policy could have reached anything");
        ledger.remember("n/one", &status(None, None), &target("shop"), false);
        assert!(ledger.blocked(B, at(4999)).is_none());
    }

    #[test]
    fn what_one_policy_names_as_free_another_may_have_requested_without_naming_it() {
        let mut ledger = Ledger::default();
        ledger.remember("n/one", &status(None, None), &target("shop"), false);
        let mut quiet = status(None, Some(5000));
        quiet.repositories.clear();
        ledger.remember("n/two", &quiet, &target("shop"), false);
        assert_eq!(ledger.blocked(A, at(4999)).map(|blocked| blocked.owner), Some("n/two".to_owned()));
    }

    #[test]
    fn a_run_that_nobody_finished_may_have_requested_what_its_status_still_names_as_free() {
        let mut ledger = Ledger::default();
        let mut lost = status(Some(2000), Some(5000));
        lost.last_run.as_mut().unwrap().result = RunResult::Running;
        ledger.remember("n/one", &lost, &target("shop"), false);
        assert!(ledger.blocked(A, at(4999)).is_some());
        // Once the loss is recorded, the status tells more precisely.
        ledger.remember("n/one", &status(Some(3000), Some(3000)), &target("shop"), false);
        assert!(ledger.blocked(A, at(3000)).is_none());
    }

    #[test]
    fn an_older_status_never_shortens_what_is_known() {
        let mut ledger = Ledger::default();
        ledger.requested(A, "n/two", at(3000));
        ledger.remember("n/one", &status(Some(5000), None), &target("shop"), false);
        assert_eq!(ledger.blocked(A, at(5500)).map(|blocked| blocked.until), Some(at(6600)));
    }

    #[test]
    fn pruning_forgets_only_what_is_over() {
        let mut ledger = Ledger::default();
        ledger.requested(A, "n/one", at(0));
        ledger.requested(B, "n/one", at(100));
        ledger.remember("n/two", &status(Some(3600), Some(3601)), &target("shop"), false);
        ledger.remember("n/three", &status(Some(3600), None), &target("shop"), false);
        ledger.prune(at(3600));
        let of_another = Repository { id: 9, ..A };
        assert!(ledger.blocked(A, at(0)).is_some(), "the status of n/two is kept, since it reserves others");
        assert!(ledger.blocked(B, at(0)).is_some());
        assert!(ledger.blocked(of_another, at(3600)).is_some(), "what n/two reserves is not over");
        assert!(!ledger.told.contains_key("n/three"), "all that n/three reserves is over");
    }
}
