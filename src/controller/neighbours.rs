//! Which other policies may look after the repositories of a policy, from what the watches have shown.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use futures::FutureExt;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use url::Url;

use crate::api::RegistryCleanupPolicy;
use crate::cluster::watched::Watched;
use crate::gitlab::Repository;
use crate::policy::overlap::{self, Neighbourhood, Neighbourhoods, Other, Overlap, Place};

/// A policy as it is watched: an object that cannot be read as one is an error of that object only.
pub(super) type Guarded = Watched;

/// The policies that may look after the same repositories as one of them does.
pub(crate) struct Neighbours(Vec<Arc<Guarded>>);

/// Where all policies look that the watches have shown. It keeps none of them, since each that it kept would be there
/// twice as soon as its status is written.
pub(crate) struct Directory {
    /// The watch that has shown it, and its name.
    policies: Vec<(usize, ObjectRef<Guarded>)>,
    places: Neighbourhoods,
}

impl Directory {
    /// Of everything that the watches have shown.
    pub(crate) fn of(stores: &[Store<Guarded>]) -> Self {
        let mut directory = Self { policies: Vec::new(), places: Neighbourhoods::default() };
        for (watch, store) in stores.iter().enumerate() {
            for object in store.state() {
                let Ok(policy) = &object.0 else { continue };
                directory.policies.push((watch, ObjectRef::from_obj(&*object)));
                directory.places.push(Neighbourhood::of_other(&described(policy)));
            }
        }
        directory
    }
}

impl Neighbours {
    /// Those of a policy whose GitLab has this address.
    pub(crate) fn of(
        live: &RegistryCleanupPolicy,
        address: &Url,
        directory: &Directory,
        stores: &[Store<Guarded>],
    ) -> Self {
        let near = directory.places.around(&Neighbourhood::of(address, &live.spec.target));
        let object = |position: usize| {
            let (watch, name) = directory.policies.get(position)?;
            stores.get(*watch)?.get(name)
        };
        let mut all: Vec<Arc<Guarded>> = near.into_iter().filter_map(object).collect();
        all.retain(|object| object.0.as_ref().is_ok_and(|other| is_another(live, other)));
        Self(all)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Differs where other policies are among them, or one was edited.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut versions: Vec<_> = self.0.iter().map(|object| (object.uid(), object.meta().generation)).collect();
        versions.sort();
        let mut hasher = DefaultHasher::new();
        versions.hash(&mut hasher);
        hasher.finish()
    }

    /// Which of these repositories they look after as well.
    pub(crate) fn overlap(&self, repositories: &[Repository]) -> Overlap {
        shared(repositories, self.0.iter().filter_map(|object| object.0.as_ref().ok()))
    }
}

/// Whether every watch has shown what there is.
pub(super) fn are_ready(stores: &[Store<Guarded>]) -> bool {
    let is_ready = |store: &Store<Guarded>| store.wait_until_ready().now_or_never().is_some_and(|it| it.is_ok());
    !stores.is_empty() && stores.iter().all(is_ready)
}

/// Those of some policies that may look after the same repositories as this one, whose GitLab has this address.
#[must_use]
pub fn neighbours_among(
    policy: &RegistryCleanupPolicy,
    address: &Url,
    mut all: Vec<RegistryCleanupPolicy>,
) -> Vec<RegistryCleanupPolicy> {
    let around = Neighbourhood::of(address, &policy.spec.target);
    let meets = |other: &RegistryCleanupPolicy| {
        Neighbourhood::of_other(&described(other)).is_some_and(|other| around.meets(&other))
    };
    all.retain(|other| is_another(policy, other) && meets(other));
    all
}

/// Which of the repositories of a policy these others look after as well.
pub(super) fn shared<'a>(
    repositories: &[Repository],
    others: impl IntoIterator<Item = &'a RegistryCleanupPolicy>,
) -> Overlap {
    let places: Vec<Place<'_>> = repositories.iter().map(place).collect();
    let others: Vec<Other<'_>> = others.into_iter().map(described).collect();
    overlap::find(&places, &others)
}

fn place(repository: &Repository) -> Place<'_> {
    Place { path: &repository.path, project: repository.project_path(), project_id: repository.project_id }
}

/// A policy as overlaps are computed from it.
fn described(policy: &RegistryCleanupPolicy) -> Other<'_> {
    Other {
        namespace: policy.metadata.namespace.as_deref().unwrap_or_default(),
        name: policy.metadata.name.as_deref().unwrap_or_default(),
        url: &policy.spec.gitlab.url,
        target: &policy.spec.target,
    }
}

/// Whether a policy is not this one, and not on its way out.
fn is_another(policy: &RegistryCleanupPolicy, other: &RegistryCleanupPolicy) -> bool {
    let (one, two) = (&policy.metadata, &other.metadata);
    (&one.namespace, &one.name) != (&two.namespace, &two.name) && other.metadata.deletion_timestamp.is_none()
}
