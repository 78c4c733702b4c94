//! Which images the cluster uses: watches everything that names images and keeps an index of them.
//!
//! Pods, Deployments, `ReplicaSet`s, `StatefulSet`s, `DaemonSet`s, `ControllerRevision`s, Jobs, `CronJob`s,
//! `ReplicationController`s and [custom workloads](CustomWorkload) are listed and watched, each kind in all namespaces
//! or in each of some. Only list and watch permissions are needed, and for custom workloads API discovery, which
//! everybody may use unless an administrator has taken that away.
//!
//! What cannot be seen is a [`Gap`]: as long as there is one, nothing may be concluded from an image not being in the
//! index. [`Workloads::confirm`] says whether the index is behind the API server.
//!
//! `custom`, `catalogue`, `kind`, `pod` and `projection` say what is read of which object, `image_index` keeps it,
//! `watch` listens, `watch_state` is how that stands, `freshness` compares with the API server within an `allowance`,
//! and `absent_kinds` says which kinds it still does not have. What an image text means is not known here.

mod absent_kinds;
mod allowance;
pub mod catalogue;
mod custom;
pub mod dated;
mod discovery;
mod freshness;
mod image_index;
mod image_parts;
mod json_path;
mod kind;
pub mod manifests;
mod options;
mod pod;
mod projection;
mod requests;
mod single_flight;
mod unreadable;
mod watch;
mod watch_state;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future;
use jiff::Timestamp;
use kube::Client;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument as _;

use crate::model::UsedImage;
pub use custom::{CustomWorkload, CustomWorkloadError};
pub use options::{FINISHED_FOR, Options, Scope};
pub use watch_state::Gap;

use freshness::Looks;
use kind::Kind;
use watch_state::{Phase, Shared};

/// Pauses between looks of somebody who waits until one succeeds.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The images that a cluster uses. Clones share everything.
#[derive(Clone)]
pub struct Workloads {
    shared: Arc<Shared>,
    looks: Arc<Looks>,
    narrowed: Option<Arc<Narrowed>>,
    _watching: Option<Arc<DropGuard>>,
}

/// A custom kind that the cluster has.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct CustomResource {
    /// What [gaps](Gap::kind) call it.
    pub label: String,
    /// Its API group; empty for the core group.
    pub group: String,
    /// Its resource, as permissions name it.
    pub resource: String,
}

/// A watch of fewer namespaces, which begins when somebody wants it.
struct Narrowed {
    client: Client,
    options: Options,
    shutdown: CancellationToken,
    begun: OnceLock<Workloads>,
}

impl Workloads {
    /// Begins to watch, until `shutdown` is cancelled or the last clone is dropped. Must be called within a tokio
    /// runtime.
    #[must_use]
    pub fn watch(client: Client, options: Options, shutdown: &CancellationToken) -> Self {
        let narrowed = options.narrowed().map(|options| {
            Arc::new(Narrowed { client: client.clone(), options, shutdown: shutdown.clone(), begun: OnceLock::new() })
        });
        let shared = Arc::new(Shared::new(client, options));
        let stop = shutdown.child_token();
        for position in 0..shared.sources.len() {
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            tokio::spawn(async move {
                let _ = stop.run_until_cancelled(watch::follow(Arc::clone(&shared), position)).await;
                if let Some(source) = shared.sources.get(position) {
                    shared.set_phase(source, Phase::Over);
                }
            });
        }
        Self { shared, looks: Arc::new(Looks::new()), narrowed, _watching: Some(Arc::new(stop.drop_guard())) }
    }

    /// What the [narrower](Options::narrower) namespaces use, if there are any; they are watched from the first call
    /// on. It shows a part of the cluster: only for somebody who knows of the rest in another way.
    #[must_use]
    pub fn narrowed(&self) -> Option<Self> {
        let Narrowed { client, options, shutdown, begun } = &**self.narrowed.as_ref()?;
        Some(begun.get_or_init(|| Self::watch(client.clone(), options.clone(), shutdown)).clone())
    }

    /// Lists everything once. What comes of it can be read, but never [confirmed](Self::confirm).
    ///
    /// # Errors
    /// With all that cannot be listed or read.
    pub async fn read_once(client: Client, options: Options) -> Result<Self, Vec<Gap>> {
        let read = Self::read_in_part(client, options).await;
        let gaps = read.gaps();
        if gaps.is_empty() { Ok(read) } else { Err(gaps) }
    }

    /// The same with what can be listed, for somebody who asks for [gaps](Self::gaps) himself.
    pub async fn read_in_part(client: Client, options: Options) -> Self {
        let shared = Arc::new(Shared::new(client, options));
        future::join_all(shared.sources.iter().map(|source| watch::read(&shared, source))).await;
        Self { shared, looks: Arc::new(Looks::new()), narrowed: None, _watching: None }
    }

    /// Waits until everything is listed and watched, or until it is clear that something cannot be, but no longer than
    /// `patience`.
    ///
    /// # Errors
    /// With what is not known.
    pub async fn complete_within(&self, patience: Duration) -> Result<(), Vec<Gap>> {
        // Whether or not the time was enough: what counts is what is missing now.
        let _ = timeout(patience, self.shared.listed()).await;
        let gaps = self.gaps();
        if gaps.is_empty() { Ok(()) } else { Err(gaps) }
    }

    /// Resolves once a look [succeeds](Self::confirm): when what is missing is there again, or, where nothing is, by
    /// looking again after pauses. What pauses after a failure tries again at once, since somebody asks.
    pub async fn recovered(&self) {
        // What was missing and is there again needs no pause.
        let mut pause = if self.shared.recovered().await { Duration::ZERO } else { SHORTEST_PAUSE };
        loop {
            sleep(pause).await;
            if self.confirm().await.is_ok() {
                return;
            }
            pause = pause.saturating_mul(2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            self.shared.recovered().await;
        }
    }

    /// What is not known just now: sources that are not completely listed, whose watch fails or was not heard of within
    /// three minutes, and objects that cannot be read. Empty when all is well.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        self.shared.gaps()
    }

    /// The kinds that were named by configuration and that the cluster does not have: nothing of them can exist, and a
    /// name may be mistyped.
    #[must_use]
    pub fn absent_kinds(&self) -> Vec<String> {
        self.shared.absent_kinds()
    }

    /// Makes sure that the index is not behind the API server: when this succeeds, every creation and every change that
    /// the API server had acknowledged before the call is in the index. Takes a tenth of a second as a rule, because an
    /// API server asks etcd for its progress that often; up to two seconds where a kind with more than 500 objects is
    /// idle, or where many looks follow one another; never more than ten. How it works is in the module `freshness`.
    /// Calls at the same time share the requests, as far as that keeps the promise.
    ///
    /// # Errors
    /// With what is not known.
    pub async fn confirm(&self) -> Result<(), Vec<Gap>> {
        // Looks wait for each other. In a task of its own each goes on also while its caller does something else first.
        let (looks, shared) = (Arc::clone(&self.looks), Arc::clone(&self.shared));
        let look = tokio::spawn(async move { looks.confirm(&shared).await }.in_current_span());
        look.await.unwrap_or_else(|_| Err(vec![Gap::of_all("the look at it was broken off")]))
    }

    /// Grows with every change after which [`images`](Self::images) may answer differently. Time alone does not make it
    /// grow: as long as it stays the same, images only ever vanish from the answer, when what uses them has been
    /// finished for long enough.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.index(|index| index.version())
    }

    /// The images in use at a time, in alphabetical order. As long as there are [gaps](Self::gaps), there may be
    /// others.
    #[must_use]
    pub fn images(&self, now: Timestamp) -> Vec<UsedImage> {
        self.images_for(None, now)
    }

    /// The same for somebody who may know the objects of one namespace: users in others are counted by kind and not
    /// named.
    #[must_use]
    pub fn images_for(&self, reader: Option<&str>, now: Timestamp) -> Vec<UsedImage> {
        self.shared.index(|index| index.images(now, self.shared.finished_for, reader))
    }

    /// The names of images that objects of some custom kind have, each with the [label](Gap::kind) of the kind.
    #[must_use]
    pub fn named_by_custom_kinds(&self) -> Vec<(String, Vec<String>)> {
        let custom = self.shared.sources.iter().filter(|source| matches!(source.kind, Kind::Custom(_)));
        custom.map(|source| (source.kind.label(), self.shared.index(|index| index.names(source.id)))).collect()
    }

    /// The custom kinds that the cluster has, as far as they were found.
    #[must_use]
    pub fn custom_resources(&self) -> Vec<CustomResource> {
        let found = self.shared.sources.iter().filter_map(|source| {
            let Kind::Custom(workload) = &source.kind else { return None };
            // The last part of a path to a list is the resource.
            let resource = self.shared.url(source)?.rsplit('/').next()?.to_owned();
            Some(CustomResource { label: workload.label(), group: workload.group().to_owned(), resource })
        });
        let found: BTreeSet<_> = found.collect();
        found.into_iter().collect()
    }

    /// Where workloads are looked at.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.shared.scope
    }

    /// How many objects are known.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.shared.index(|index| self.shared.sources.iter().map(|source| index.len(source.id)).sum())
    }
}

impl fmt::Debug for Workloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workloads").field("scope", self.scope()).finish_non_exhaustive()
    }
}
