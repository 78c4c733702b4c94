//! The hour: GitLab takes one bulk deletion per repository in 3600 s, and so no second one is sent before that.
//!
//! The ledger knows, over all policies, until when which repository is reserved. What this process requested it keeps
//! whatever becomes of the policy; the rest is made anew from the statuses of all policies when the operator starts.
//! What a status cannot name repository by repository counts as requested.
//!
//! # From when the hour counts
//!
//! GitLab's hour begins when it accepts a request. With its answer at hand that was when the answer came, at the
//! latest:
//! [`eligible_after`]. Without it ([`eligible_after_unseen`]) the latest moment is the sum of
//!
//! - the latest moment at which the request can have left: now, if its answer was lost; for a run whose process went
//!   away see [`last_sent`],
//! - the policy's `gitlab.timeout`, after which the client gives a request up and closes its connection, so that it
//!   has reached GitLab or never will,
//! - [`SERVER_WORKS`], after which GitLab gives it up as well, or the timeout once more, if that is longer, for what
//!   stands in front of GitLab.
//!
//! # Which repositories are the same
//!
//! Those with one id at one address. The same GitLab may have several addresses, but has one registry, which it tells
//! with every repository in a list (`location`): so those with one id and one location are the same as well.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::api::{PolicyStatus, ReservedHours, RunStatus, TargetSpec};

use super::run_record::VALID_FOR;
use super::target::could_reach;

/// How long GitLab refuses a second bulk deletion (exclusive lease of 3600 s from the first accepted request).
pub const HOUR: SignedDuration = SignedDuration::from_secs(3600);
/// How long GitLab works on a request at most: one with a body is dropped when it has waited for 90 s and 60 s more,
/// and it is worked on for no longer than what is left of these (`config/initializers/rack_timeout.rb`, and the default
/// of rack-timeout's `wait_overtime`).
pub const SERVER_WORKS: Duration = Duration::from_secs(150);
/// The longest `gitlab.timeout` that the schema lets through, and a little more.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(300);
/// How far the clocks of two processes may be apart that both remove something: each of them no more than 5 minutes
/// from GitLab's.
const CLOCKS_APART: Duration = Duration::from_secs(600);

/// A repository of some instance.
#[derive(Clone, Copy, Debug)]
pub struct Repository<'a> {
    /// Address of the instance.
    pub instance: &'a str,
    /// Host of the registry and full path, as GitLab tells them; empty where that is not known.
    pub location: &'a str,
    /// GitLab's numeric id.
    pub id: u64,
    /// Full path.
    pub path: &'a str,
}

/// A policy that asks GitLab for bulk deletions.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Its uid.
    pub uid: &'a str,
    /// `namespace/name`.
    pub name: &'a str,
}

/// Why a repository may not get a bulk deletion yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Blocked {
    /// From when on it may.
    pub until: Timestamp,
    /// The policy whose request is the reason, as `namespace/name`.
    pub owner: String,
    /// Whether nobody knows if there was a request: a former policy may have sent one.
    pub forgotten: bool,
}

/// An hour of one repository, or of all that are not named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hour {
    /// Address of the instance.
    pub instance: String,
    /// Host of its registry, if it is known.
    pub registry: Option<String>,
    /// Id and path; `None` for all others of the instance.
    pub repository: Option<(u64, String)>,
    /// Its end.
    pub until: Timestamp,
}

/// What is known of bulk deletions of the last hour.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What this process requested itself, by the id of the repository.
    sent: HashMap<u64, Vec<Sent>>,
    /// What the status of each policy told, by its uid: a policy that was created anew is another one.
    told: HashMap<String, Vec<Told>>,
}

/// A request of this process.
#[derive(Debug)]
struct Sent {
    instance: String,
    location: String,
    path: String,
    uid: String,
    owner: String,
    until: Timestamp,
}

/// What the status of one policy tells of an instance.
#[derive(Clone, Debug)]
struct Told {
    /// `namespace/name` of the policy.
    owner: String,
    /// Empty where it may be any.
    instance: String,
    /// Host of its registry, if it is known.
    registry: Option<String>,
    /// Repositories that it names, each with its path and the moment from which on it is free.
    named: HashMap<u64, (String, Timestamp)>,
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

/// The same for a request that left no later than `sent`, and whose answer nobody has seen.
#[must_use]
pub fn eligible_after_unseen(sent: Timestamp, timeout: Duration) -> Timestamp {
    eligible_after(later(sent, timeout + timeout.max(SERVER_WORKS)))
}

/// The latest moment at which a run can have sent something whose process is found to be gone at `now`: nothing leaves
/// without a record that was renewed a moment ago, by the clock of that process.
#[must_use]
pub fn last_sent(run: &RunStatus, now: Timestamp) -> Timestamp {
    run.renew_time.as_ref().map_or(now, |renewed| later(renewed.0, VALID_FOR + CLOCKS_APART).min(now))
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The host of the registry in the location of a repository with this path.
#[must_use]
pub fn registry_of<'l>(location: &'l str, path: &str) -> Option<&'l str> {
    location.strip_suffix(path)?.strip_suffix('/').filter(|host| !host.is_empty())
}

impl Ledger {
    /// Who has reserved a repository from the point of view of a policy, if anybody has.
    #[must_use]
    pub fn blocked(&self, repository: Repository<'_>, asker: &str, now: Timestamp) -> Option<Blocked> {
        let sent = self.sent.get(&repository.id).into_iter().flatten().filter(|sent| sent.is_of(repository));
        let sent = sent.map(|sent| Blocked { until: sent.until, owner: sent.owner.clone(), forgotten: false });
        let told = self.told.values().flatten().filter_map(|told| {
            let until = told.until(repository, asker)?;
            Some(Blocked { until, owner: told.owner.clone(), forgotten: told.instance.is_empty() })
        });
        sent.chain(told).filter(|blocked| blocked.until > now).max_by_key(|blocked| blocked.until)
    }

    /// Speaks for a repository before a request is sent, so that no other run sends one at the same time.
    ///
    /// # Errors
    /// Who has reserved it already.
    pub fn reserve(&mut self, repository: Repository<'_>, owner: Owner<'_>, now: Timestamp) -> Result<(), Blocked> {
        if let Some(blocked) = self.blocked(repository, owner.name, now) {
            return Err(blocked);
        }
        self.requested(repository, owner, eligible_after(now));
        Ok(())
    }

    /// Notes that the next request may go at `until`.
    pub fn requested(&mut self, repository: Repository<'_>, owner: Owner<'_>, until: Timestamp) {
        self.release(repository);
        self.sent.entry(repository.id).or_default().push(Sent {
            instance: repository.instance.to_owned(),
            location: repository.location.to_owned(),
            path: repository.path.to_owned(),
            uid: owner.uid.to_owned(),
            owner: owner.name.to_owned(),
            until,
        });
    }

    /// Takes a reservation back: the request is known not to have been accepted.
    pub fn release(&mut self, repository: Repository<'_>) {
        if let Some(sent) = self.sent.get_mut(&repository.id) {
            sent.retain(|sent| !sent.is_of(repository));
        }
    }

    /// Learns what the status of a policy tells, replacing what it told before. `edited` says that the spec is not the
    /// one that the status speaks of.
    pub fn remember(&mut self, owner: Owner<'_>, status: &PolicyStatus, target: &TargetSpec, edited: bool) {
        let reach = (!edited).then(|| target.clone());
        let last = status.last_run.as_ref().map(|run| told_of_last(owner, status, run, reach.clone()));
        let reserved = status.reserved_hours.iter().map(|hours| told_of(owner, hours, target, edited));
        let told: Vec<Told> = last.into_iter().chain(reserved).collect();
        if told.is_empty() {
            self.told.remove(owner.uid);
        } else {
            self.told.insert(owner.uid.to_owned(), told);
        }
    }

    /// Whether it knows of nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.told.is_empty()
    }

    /// The end of the last hour that a policy has from this process.
    #[must_use]
    pub fn last_of(&self, uid: &str) -> Option<Timestamp> {
        self.sent.values().flatten().filter(|sent| sent.uid == uid).map(|sent| sent.until).max()
    }

    /// Hours that the status of this policy is to keep since no other does. Those of policies that are gone, as far as
    /// they had its name or it can reach the repositories; with `lost`, since its status was, its own as well.
    #[must_use]
    pub fn to_keep(
        &self,
        heir: Owner<'_>,
        target: &TargetSpec,
        lost: bool,
        is_alive: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Vec<Hour> {
        let is_left = |uid: &str| if uid == heir.uid { lost } else { !is_alive(uid) };
        let concerns = |owner: &str, path: &str| owner == heir.name || could_reach(target, path);
        let sent = self.sent.iter().flat_map(|(id, all)| all.iter().map(move |sent| (*id, sent)));
        let sent = sent.filter(|(_, sent)| is_left(&sent.uid) && concerns(&sent.owner, &sent.path));
        let sent = sent.map(|(id, sent)| Hour {
            instance: sent.instance.clone(),
            registry: registry_of(&sent.location, &sent.path).map(str::to_owned),
            repository: Some((id, sent.path.clone())),
            until: sent.until,
        });
        let told = self.told.iter().filter(|(uid, _)| is_left(uid)).flat_map(|(_, told)| told);
        let told = told.flat_map(|told| {
            let hour = |repository, until| Hour {
                instance: told.instance.clone(),
                registry: told.registry.clone(),
                repository,
                until,
            };
            let named = told.named.iter().filter(|(_, (path, _))| concerns(&told.owner, path));
            let named: Vec<Hour> = named.map(|(id, (path, until))| hour(Some((*id, path.clone())), *until)).collect();
            let others = told.others.filter(|_| told.owner == heir.name);
            named.into_iter().chain(others.map(|until| hour(None, until)))
        });
        let mut all: Vec<Hour> = sent.chain(told).filter(|hour| hour.until > now).collect();
        all.sort_by(|a, b| (&a.instance, &a.repository).cmp(&(&b.instance, &b.repository)));
        all
    }

    /// Forgets what is over.
    pub fn prune(&mut self, now: Timestamp) {
        for sent in self.sent.values_mut() {
            sent.retain(|sent| sent.until > now);
        }
        self.sent.retain(|_, sent| !sent.is_empty());
        for told in self.told.values_mut() {
            told.retain(|told| {
                told.others.into_iter().chain(told.named.values().map(|(_, until)| *until)).any(|until| until > now)
            });
        }
        self.told.retain(|_, told| !told.is_empty());
    }
}

fn told_of_last(owner: Owner<'_>, status: &PolicyStatus, run: &RunStatus, target: Option<TargetSpec>) -> Told {
    let others = status.others_eligible_time.as_ref().map(|time| time.0);
    let running = run.result.is_under_way();
    let named = status.repositories.iter().map(|repository| {
        let known = repository.next_eligible_time.as_ref().map_or(Timestamp::MIN, |time| time.0);
        // A run that nobody finished may have requested what an earlier one left free.
        let until = if running { known.max(others.unwrap_or(known)) } else { known };
        (repository.id, (repository.path.clone(), until))
    });
    Told {
        owner: owner.name.to_owned(),
        instance: run.gitlab.clone(),
        registry: run.registry.clone(),
        named: named.collect(),
        others,
        target,
    }
}

fn told_of(owner: Owner<'_>, hours: &ReservedHours, target: &TargetSpec, edited: bool) -> Told {
    let named = hours.repositories.iter().map(|hour| (hour.id, (hour.path.clone(), hour.next_eligible_time.0)));
    Told {
        owner: owner.name.to_owned(),
        instance: hours.gitlab.clone(),
        registry: hours.registry.clone(),
        named: named.collect(),
        others: hours.others_eligible_time.as_ref().map(|time| time.0),
        // What nobody knows is not to hold up policies that have nothing to do with it.
        target: (!edited || hours.gitlab.is_empty()).then(|| target.clone()),
    }
}

impl Sent {
    fn is_of(&self, repository: Repository<'_>) -> bool {
        let same_location = !self.location.is_empty() && self.location.eq_ignore_ascii_case(repository.location);
        self.instance == repository.instance || same_location
    }
}

impl Told {
    /// From when on a repository is free for a policy, as far as this one is concerned. What it names it knows exactly.
    fn until(&self, repository: Repository<'_>, asker: &str) -> Option<Timestamp> {
        let (here, registry) = (self.instance == repository.instance, self.registry.as_deref());
        let found = registry_of(repository.location, repository.path);
        let named = self.named.get(&repository.id).filter(|(path, _)| {
            let same = |known: &str| found.is_some_and(|found| found.eq_ignore_ascii_case(known));
            here || (path == repository.path && registry.is_none_or(same))
        });
        if let Some((_, until)) = named {
            return Some(*until);
        }
        let another = |known: &str| found.is_some_and(|found| !found.eq_ignore_ascii_case(known));
        let reached = || self.target.as_ref().is_none_or(|target| could_reach(target, repository.path));
        let concerns = if self.instance.is_empty() {
            // A former policy may have reached what this one does not.
            self.owner == asker || (namespace(&self.owner) == namespace(asker) && reached())
        } else {
            (here || !registry.is_some_and(another)) && reached()
        };
        self.others.filter(|_| concerns)
    }
}

/// The namespace of a policy, given as `namespace/name`.
fn namespace(policy: &str) -> &str {
    policy.split_once('/').map_or(policy, |(namespace, _)| namespace)
}

#[cfg(test)]
mod tests;
