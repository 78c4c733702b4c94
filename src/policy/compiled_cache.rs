//! Compiled policies that are kept, so that nothing is compiled at every step: as many as fit, those that were asked
//! for last. What is wrong with a policy is kept as well: finding that out costs as much.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::api::RegistryCleanupPolicySpec;

use super::compile::{CompiledPolicy, Problem};
use super::schedule::SCHEDULE_BYTES;

/// Most that all compiled policies that are kept may take, in bytes.
pub const MAX_CACHE_BYTES: usize = 16 << 20;
/// What an entry takes besides its patterns, schedules and texts, in bytes.
const ENTRY: usize = 2048;

/// What was compiled: which spec of which policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SpecKey {
    uid: String,
    generation: i64,
    /// A CRD that is upgraded changes what the API server answers for a spec, not its generation.
    content: u64,
    bytes: usize,
}

impl SpecKey {
    /// That of a policy; `None` for what never was in a cluster.
    #[must_use]
    pub fn new(uid: Option<&str>, generation: Option<i64>, spec: &RegistryCleanupPolicySpec) -> Option<Self> {
        let text = serde_json::to_vec(spec).ok()?;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Some(Self { uid: uid?.to_owned(), generation: generation?, content: hasher.finish(), bytes: text.len() })
    }
}

/// What came of compiling a spec.
pub type Outcome = Result<CompiledPolicy, Problem>;

/// Compiled policies, by uid.
#[derive(Debug)]
pub struct CompiledCache {
    most: usize,
    bytes: usize,
    turn: u64,
    entries: HashMap<String, Entry>,
    /// The uids, in the order in which they were asked for.
    turns: BTreeMap<u64, String>,
}

#[derive(Debug)]
struct Entry {
    key: SpecKey,
    outcome: Arc<Outcome>,
    bytes: usize,
    turn: u64,
}

impl Default for CompiledCache {
    fn default() -> Self {
        Self::new(MAX_CACHE_BYTES)
    }
}

impl CompiledCache {
    /// A cache that takes at most so many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, bytes: 0, turn: 0, entries: HashMap::new(), turns: BTreeMap::new() }
    }

    /// What was kept of a spec. Whoever matches with it takes a clone of their own: it shares what was compiled, and
    /// what matching makes is not kept.
    pub fn get(&mut self, key: &SpecKey) -> Option<Arc<Outcome>> {
        let entry = self.entries.get_mut(&key.uid).filter(|entry| entry.key == *key)?;
        self.turn += 1;
        self.turns.remove(&entry.turn);
        entry.turn = self.turn;
        self.turns.insert(self.turn, key.uid.clone());
        Some(Arc::clone(&entry.outcome))
    }

    /// Keeps what came of compiling a spec, in the place of an older one of the same policy.
    pub fn put(&mut self, key: SpecKey, outcome: Arc<Outcome>) {
        self.remove(&key.uid);
        let compiled = outcome
            .as_ref()
            .as_ref()
            .map_or(0, |policy| policy.pattern_bytes + SCHEDULE_BYTES * (1 + policy.windows.schedules()));
        // Its texts are there about twice: as they were written and as they were understood.
        let bytes = ENTRY + 2 * key.bytes + compiled;
        if bytes > self.most {
            return;
        }
        self.turn += 1;
        self.turns.insert(self.turn, key.uid.clone());
        self.entries.insert(key.uid.clone(), Entry { key, outcome, bytes, turn: self.turn });
        self.bytes += bytes;
        while self.bytes > self.most {
            let Some((_, uid)) = self.turns.first_key_value() else { break };
            let uid = uid.clone();
            self.remove(&uid);
        }
    }

    /// How much all of it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets the policies that are gone.
    pub fn retain(&mut self, known: impl Fn(&str) -> bool) {
        let gone: Vec<String> = self.entries.keys().filter(|uid| !known(uid)).cloned().collect();
        for uid in gone {
            self.remove(&uid);
        }
    }

    fn remove(&mut self, uid: &str) {
        if let Some(entry) = self.entries.remove(uid) {
            self.turns.remove(&entry.turn);
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::{CompileOptions, compile};

    fn compiled(uid: &str, generation: i64, delete: &str) -> (SpecKey, Arc<Outcome>) {
        let spec = spec(&json!({"rules": [{"name": "r", "nameRegexDelete": delete, "keepN": 1}]}));
        let key = SpecKey::new(Some(uid), Some(generation), &spec).unwrap();
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        (key, Arc::new(compile(&spec, &CompileOptions::default(), now)))
    }

    fn source(outcome: &Outcome) -> &str {
        outcome.as_ref().unwrap().method.rules()[0].delete.source()
    }

    #[test]
    fn what_was_put_is_found_by_uid_generation_and_content() {
        let mut cache = CompiledCache::default();
        let (key, outcome) = compiled("a", 1, "x");
        cache.put(key.clone(), outcome);
        assert_eq!(source(&cache.get(&key).unwrap()), "x");
        assert!(cache.get(&compiled("b", 1, "x").0).is_none(), "another policy");
        assert!(cache.get(&compiled("a", 2, "x").0).is_none(), "another generation");
        assert!(cache.get(&compiled("a", 1, "y").0).is_none(), "the same generation, read by another definition");
    }

    #[test]
    fn what_is_wrong_is_kept_as_well() {
        let mut cache = CompiledCache::default();
        let (key, outcome) = compiled("a", 1, "(");
        cache.put(key.clone(), outcome.clone());
        let (kept, problem) = (cache.get(&key).unwrap(), outcome.as_ref().as_ref().unwrap_err());
        assert_eq!(kept.as_ref().as_ref().unwrap_err(), problem);
    }

    #[test]
    fn a_new_generation_takes_the_place_of_the_old_one() {
        let mut cache = CompiledCache::default();
        let (old, outcome) = compiled("a", 1, "x");
        cache.put(old.clone(), outcome);
        let bytes = cache.bytes();
        let (new, outcome) = compiled("a", 2, "y");
        cache.put(new.clone(), outcome);
        assert!(cache.get(&old).is_none());
        assert_eq!(source(&cache.get(&new).unwrap()), "y");
        assert_eq!(cache.bytes(), bytes);
    }

    #[test]
    fn what_was_not_asked_for_the_longest_goes_first_and_no_more_than_has_to() {
        let all: Vec<_> = ["a", "b", "c", "d"].map(|uid| compiled(uid, 1, r"[\w.-]{1,128}")).into();
        let mut cache = CompiledCache::default();
        all.iter().take(1).cloned().for_each(|(key, outcome)| cache.put(key, outcome));
        let room_for_three = cache.bytes() * 7 / 2;
        let mut cache = CompiledCache::new(room_for_three);
        for (key, outcome) in all.iter().take(3).cloned() {
            cache.put(key, outcome);
        }
        assert!(cache.get(&all[0].0).is_some());
        cache.put(all[3].0.clone(), all[3].1.clone());
        let kept: Vec<bool> = all.iter().map(|(key, _)| cache.get(key).is_some()).collect();
        assert_eq!(kept, [true, false, true, true]);
        assert!(cache.bytes() <= room_for_three);
    }

    #[test]
    fn the_largest_policies_there_can_be_never_take_more_than_the_most() {
        let mut cache = CompiledCache::default();
        let (_, outcome) = compiled("a", 1, r"[\w.-]{1,200}");
        for number in 0..2_000 {
            let (key, _) = compiled(&format!("uid-{number}"), 1, "x");
            cache.put(key, outcome.clone());
            assert!(cache.bytes() <= MAX_CACHE_BYTES);
        }
        assert!(cache.bytes() > MAX_CACHE_BYTES / 2, "{}", cache.bytes());
        cache.retain(|_| false);
        assert_eq!((cache.bytes(), cache.turns.len(), cache.entries.len()), (0, 0, 0));
    }

    #[test]
    fn each_schedule_counts() {
        let bytes = |windows: &serde_json::Value| {
            let rules = json!([{"name": "r", "nameRegexDelete": "x", "keepN": 1}]);
            let spec = spec(&json!({"excludeWindows": windows, "rules": rules}));
            let key = SpecKey::new(Some("a"), Some(1), &spec).unwrap();
            let now = "2026-11-22T12:00:00Z".parse().unwrap();
            let mut cache = CompiledCache::default();
            cache.put(key, Arc::new(Ok(compile(&spec, &CompileOptions::default(), now).unwrap())));
            cache.bytes()
        };
        let windows: Vec<_> =
            (0..20).map(|n| json!({"name": format!("w{n}"), "schedule": "0 6 * * *", "duration": "1h"})).collect();
        assert!(bytes(&json!(windows)) >= bytes(&json!([])) + 20 * SCHEDULE_BYTES);
    }

    #[test]
    fn what_is_larger_than_all_of_it_is_not_kept() {
        let mut cache = CompiledCache::new(100);
        let (key, outcome) = compiled("a", 1, "x");
        cache.put(key.clone(), outcome);
        assert!(cache.get(&key).is_none());
    }
}
