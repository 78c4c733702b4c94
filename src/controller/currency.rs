//! What the watch knows of a policy since something was begun for it: whether it still is the same, and a sign as soon
//! as it may not be.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::utils::Predicate;
use kube::{Resource, ResourceExt};

use crate::api::{APPROVE, DRY_RUN_REQUESTED_AT, RUN_REQUESTED_AT, RegistryCleanupPolicy};
use crate::policy::label_selector::LabelSelector;

use super::changes::Changes;
use super::gate::StillCurrent;
use super::neighbours::Guarded;

/// Which policy it is, and what matters of it, as the watch has shown it. Thousands may wait at the same time, so that
/// none of them keeps the whole of one that the watch does not show any more.
#[derive(Clone, Debug)]
pub(crate) struct AsShown {
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) uid: Box<str>,
    pub(crate) generation: Option<i64>,
    version: u64,
}

impl AsShown {
    /// What is shown of a policy; `None` of one without a namespace.
    pub(crate) fn of(policy: &RegistryCleanupPolicy) -> Option<Self> {
        Some(Self {
            namespace: policy.namespace()?.into(),
            name: policy.name_any().into(),
            uid: policy.uid().unwrap_or_default().into(),
            generation: policy.metadata.generation,
            version: version(policy),
        })
    }
}

/// Says, for a policy, whether it still is the one that something was begun with.
#[derive(Clone)]
pub(crate) struct Currency {
    store: Store<Guarded>,
    /// What the watch tells, once the store shows it.
    changes: Changes,
    /// Which policies are looked after.
    shard: LabelSelector,
}

impl Currency {
    pub(crate) fn new(store: Store<Guarded>, changes: Changes, shard: LabelSelector) -> Self {
        Self { store, changes, shard }
    }

    /// Whether a policy is what it was for a run: the same object, of no later generation, not on its way out, and no
    /// other installation's. The store may lag behind, never ahead.
    pub(crate) fn of(&self, policy: &RegistryCleanupPolicy) -> StillCurrent {
        let (uid, generation) = (policy.uid(), policy.metadata.generation);
        let (namespace, name) = (policy.namespace().unwrap_or_default(), policy.name_any());
        self.still((&namespace, &name), move |now| {
            let meta = now.meta();
            meta.uid == uid && meta.generation <= generation && meta.deletion_timestamp.is_none()
        })
    }

    /// Whether nothing was changed or asked of a policy since it was shown like this.
    pub(crate) fn untouched(&self, policy: &AsShown) -> StillCurrent {
        let (uid, version) = (policy.uid.clone(), policy.version);
        let same = move |now: &Guarded| now.meta().uid.as_deref() == Some(&*uid) && self::version(now) == version;
        self.still((&policy.namespace, &policy.name), same)
    }

    fn still(
        &self,
        (namespace, name): (&str, &str),
        same: impl Fn(&Guarded) -> bool + Send + Sync + 'static,
    ) -> StillCurrent {
        let key = ObjectRef::<Guarded>::new(name).within(namespace);
        let (store, shard) = (self.store.clone(), self.shard.clone());
        let told = self.changes.of(key.clone());
        // Not if another installation looks after it, or if it cannot be read any more.
        let is_ours = move |now: &Guarded| now.0.is_ok() && shard.selects(now.meta().labels.as_ref());
        let holds = move || store.get(&key).is_some_and(|now| is_ours(&now) && same(&now));
        StillCurrent::new(Arc::new(holds), told)
    }
}

/// Lets a policy through when its generation or one of the annotations changed, or when another installation looks
/// after it from now on, or did.
#[derive(Clone)]
pub(crate) struct Wakes(LabelSelector);

impl Wakes {
    /// For an installation that looks after these policies.
    pub(crate) fn new(shard: LabelSelector) -> Self {
        Self(shard)
    }
}

impl Predicate<Guarded> for Wakes {
    fn hash_property(&self, policy: &Guarded) -> Option<u64> {
        let is_ours = self.0.selects(policy.meta().labels.as_ref());
        Some(version(policy).wrapping_add(u64::from(is_ours)))
    }
}

/// What of a policy matters: another value is a reason to look at it. The operator's own statuses are none.
fn version<K: Resource>(policy: &K) -> u64 {
    let mut hasher = DefaultHasher::new();
    policy.meta().generation.hash(&mut hasher);
    policy.meta().deletion_timestamp.is_some().hash(&mut hasher);
    for key in [RUN_REQUESTED_AT, DRY_RUN_REQUESTED_AT, APPROVE] {
        policy.annotations().get(key).hash(&mut hasher);
    }
    hasher.finish()
}
