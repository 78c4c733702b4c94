//! What this process remembers of repositories in which there was nothing to remove, by policy. Losing it costs one run
//! that reads them.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::policy::effect::Effect;
use crate::policy::repository_outcome::Outcome;
use crate::policy::unchanged::Reading;

/// Repositories that are remembered at most, about a kilobyte each; others are read each time.
const MOST: usize = 20_000;

/// What a reading came to.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    pub(crate) reading: Reading,
    pub(crate) outcome: Outcome,
    /// What the patterns do in it.
    pub(crate) effect: Effect,
}

/// By the uid of the policy and the id of the repository.
#[derive(Debug, Default)]
pub(crate) struct Readings(HashMap<String, HashMap<u64, Remembered>>);

impl Readings {
    /// What is remembered of a repository, if it can still be relied on where nothing was pushed since.
    pub(crate) fn of(&self, uid: &str, id: u64, path: &str, generation: i64, now: Timestamp) -> Option<&Remembered> {
        let known = self.0.get(uid)?.get(&id)?;
        known.reading.may_hold(path, generation, now).then_some(known)
    }

    /// Remembers what a reading came to, or forgets what an earlier one did.
    pub(crate) fn note(&mut self, uid: &str, id: u64, remembered: Option<Remembered>) {
        let full = self.0.values().map(HashMap::len).sum::<usize>() >= MOST;
        let of_policy = self.0.entry(uid.to_owned()).or_default();
        match remembered {
            Some(remembered) if !full || of_policy.contains_key(&id) => _ = of_policy.insert(id, remembered),
            _ => _ = of_policy.remove(&id),
        }
    }

    /// Forgets the repositories of a policy that it does not look after any more.
    pub(crate) fn keep(&mut self, uid: &str, ids: &HashSet<u64>) {
        if let Some(of_policy) = self.0.get_mut(uid) {
            of_policy.retain(|id, _| ids.contains(id));
        }
    }

    /// Forgets the policies that are gone.
    pub(crate) fn retain(&mut self, known: impl Fn(&str) -> bool) {
        self.0.retain(|uid, _| known(uid));
    }
}
