//! What one process remembers of policies beyond their statuses. Losing last checks and failures in a row costs a few
//! requests; losing what runs came to that could not be written yet costs their numbers.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::api::RunStatus;
use crate::leadership::identity::Identity;
use crate::policy::finished_run::FinishedRun;
use crate::policy::gitlab_cleanup_policy::Answers;
use crate::policy::next_action::Checked;
use crate::policy::run_record::{Holder, Seen, holder};

use super::readings::Readings;

/// First and longest pause after a failed reconciliation (the API server did not answer).
const RETRY_FIRST: SignedDuration = SignedDuration::from_secs(1);
const RETRY_LAST: SignedDuration = SignedDuration::from_mins(5);
/// The longest pause while the end of a run is to be written.
const RETRY_UNWRITTEN: SignedDuration = SignedDuration::from_secs(15);

/// Per policy, by uid.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    checks: HashMap<String, Checked>,
    failures: HashMap<String, u32>,
    /// With the generation they were asked for: an edit may change the token, the target or the instance.
    cleanup_policies: HashMap<String, (i64, Answers)>,
    /// The fingerprint of the neighbours that were looked at last.
    neighbours: HashMap<String, u64>,
    /// Whether everything that may use images was seen at the last check.
    watches: HashMap<String, bool>,
    /// Runs of this process that are under way.
    under_way: HashSet<String>,
    /// Records of runs of others, as they were read last.
    seen: HashMap<String, Seen>,
    /// What was read of repositories in which there was nothing to remove.
    readings: Readings,
    /// Runs of this process that ended and are not written yet: the newest of each policy.
    unwritten: HashMap<String, FinishedRun>,
}

impl Memory {
    /// Who works on a run that its record says is under way.
    pub(crate) fn holder(&self, uid: &str, run: Option<&RunStatus>, me: &Identity, now: Duration) -> Option<Holder> {
        let under_way = self.under_way.contains(uid);
        match run.filter(|run| run.result.is_under_way()) {
            Some(run) => Some(holder(run, me, under_way, self.seen.get(uid), now)),
            None => under_way.then_some(Holder::Me),
        }
    }

    /// Notes the record of a run as the API server has it now.
    pub(crate) fn note_record(&mut self, uid: &str, run: Option<&RunStatus>, now: Duration) {
        match run.filter(|run| run.result.is_under_way()) {
            Some(run) => {
                let seen = Seen::again(self.seen.get(uid), run, now);
                self.seen.insert(uid.to_owned(), seen);
            }
            None => _ = self.seen.remove(uid),
        }
    }

    /// Notes whether a run of this process is under way.
    pub(crate) fn note_run(&mut self, uid: &str, under_way: bool) {
        if under_way {
            self.under_way.insert(uid.to_owned());
        } else {
            self.under_way.remove(uid);
        }
    }

    /// Keeps the end of a run until it is written.
    pub(crate) fn keep_end(&mut self, run: FinishedRun) {
        self.unwritten.insert(run.uid.clone(), run);
    }

    /// The end of a run that is to be written ahead of anything else.
    pub(crate) fn unwritten(&self, uid: &str) -> Option<FinishedRun> {
        self.unwritten.get(uid).cloned()
    }

    /// Whether there is one.
    pub(crate) fn has_unwritten(&self, uid: &str) -> bool {
        self.unwritten.contains_key(uid)
    }

    /// All of them.
    pub(crate) fn all_unwritten(&self) -> Vec<FinishedRun> {
        self.unwritten.values().cloned().collect()
    }

    /// Forgets the end of a run: it is written, or never can be.
    pub(crate) fn forget_end(&mut self, uid: &str) {
        self.unwritten.remove(uid);
    }

    pub(crate) fn checked(&self, uid: &str) -> Option<Checked> {
        self.checks.get(uid).copied()
    }

    /// Notes a check; failures of the same generation are counted.
    pub(crate) fn note_check(&mut self, uid: &str, generation: i64, at: Timestamp, healthy: bool) {
        let before = self.checks.get(uid).filter(|checked| checked.generation == generation);
        let failures = if healthy { 0 } else { before.map_or(0, |checked| checked.failures).saturating_add(1) };
        self.checks.insert(uid.to_owned(), Checked { generation, at, failures });
    }

    /// Notes a failed reconciliation and answers how long to wait before the next.
    pub(crate) fn failed(&mut self, uid: &str) -> SignedDuration {
        let failures = self.failures.entry(uid.to_owned()).or_default();
        let pause = RETRY_FIRST.as_secs().saturating_mul(1 << (*failures).min(16));
        *failures = failures.saturating_add(1);
        let longest = if self.unwritten.contains_key(uid) { RETRY_UNWRITTEN } else { RETRY_LAST };
        SignedDuration::from_secs(pause).min(longest)
    }

    pub(crate) fn succeeded(&mut self, uid: &str) {
        self.failures.remove(uid);
    }

    /// What is known of GitLab's own cleanup policies in the projects of a policy.
    pub(crate) fn cleanup_policies(&mut self, uid: &str, generation: i64) -> &mut Answers {
        let (known, answers) = self.cleanup_policies.entry(uid.to_owned()).or_default();
        if *known != generation {
            *known = generation;
            *answers = Answers::default();
        }
        answers
    }

    /// What was read of repositories in which there was nothing to remove.
    pub(crate) fn readings(&mut self) -> &mut Readings {
        &mut self.readings
    }

    /// Notes that these neighbours were looked at, successfully or not.
    pub(crate) fn note_neighbours(&mut self, uid: &str, fingerprint: u64) {
        self.neighbours.insert(uid.to_owned(), fingerprint);
    }

    /// Whether these neighbours are others than those that were looked at last, or nobody has looked yet.
    pub(crate) fn neighbours_changed(&self, uid: &str, fingerprint: u64) -> bool {
        self.neighbours.get(uid) != Some(&fingerprint)
    }

    /// Notes whether everything that may use images was seen.
    pub(crate) fn note_watch(&mut self, uid: &str, whole: bool) {
        self.watches.insert(uid.to_owned(), whole);
    }

    /// Whether that is otherwise than at the last check.
    pub(crate) fn watch_changed(&self, uid: &str, whole: bool) -> bool {
        self.watches.get(uid).is_some_and(|known| *known != whole)
    }

    /// Forgets the policies that are gone.
    pub(crate) fn retain(&mut self, known: impl Fn(&str) -> bool) {
        self.checks.retain(|uid, _| known(uid));
        self.failures.retain(|uid, _| known(uid));
        self.cleanup_policies.retain(|uid, _| known(uid));
        self.neighbours.retain(|uid, _| known(uid));
        self.watches.retain(|uid, _| known(uid));
        self.seen.retain(|uid, _| known(uid));
        self.unwritten.retain(|uid, _| known(uid));
        self.readings.retain(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_five_minutes_and_begin_anew_after_a_success() {
        let mut memory = Memory::default();
        let pauses: Vec<i64> = (0..11).map(|_| memory.failed("a").as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        memory.succeeded("a");
        assert_eq!(memory.failed("a").as_secs(), 1);
    }

    #[test]
    fn an_edit_makes_the_answers_about_cleanup_policies_forgotten() {
        let mut memory = Memory::default();
        memory.cleanup_policies("a", 1).note("shop/backend", Some(true), Timestamp::UNIX_EPOCH);
        assert_ne!(*memory.cleanup_policies("a", 1), Answers::default());
        assert_eq!(*memory.cleanup_policies("b", 1), Answers::default());
        assert_eq!(*memory.cleanup_policies("a", 2), Answers::default());
    }

    #[test]
    fn only_other_neighbours_than_those_that_were_looked_at_are_a_change() {
        let mut memory = Memory::default();
        assert!(memory.neighbours_changed("a", 1), "nobody has looked yet");
        memory.note_neighbours("a", 1);
        assert!(!memory.neighbours_changed("a", 1));
        assert!(memory.neighbours_changed("a", 2));
        memory.retain(|_| false);
        assert!(memory.neighbours_changed("a", 1));
    }

    #[test]
    fn failed_checks_are_counted_until_one_succeeds_or_the_policy_is_edited() {
        let mut memory = Memory::default();
        let failures = |memory: &Memory| memory.checked("a").map(|checked| checked.failures);
        for expected in 1..4 {
            memory.note_check("a", 1, Timestamp::UNIX_EPOCH, false);
            assert_eq!(failures(&memory), Some(expected));
        }
        memory.note_check("a", 2, Timestamp::UNIX_EPOCH, false);
        assert_eq!(failures(&memory), Some(1));
        memory.note_check("a", 2, Timestamp::UNIX_EPOCH, true);
        assert_eq!(failures(&memory), Some(0));
        memory.retain(|uid| uid != "a");
        assert_eq!(failures(&memory), None);
    }
}
