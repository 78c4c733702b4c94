//! The sources and how they stand: whether each has been listed, is watched, and was heard of lately. What the tasks
//! that watch write and everybody else reads.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use kube::Client;
use kube::Resource;
use kube::core::{ApiResource, DynamicObject};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use super::custom::CustomWorkload;
use super::image_index::{Index, SourceId};
use super::kind::Kind;
use super::options::{Options, Scope};
use super::requests::WatchError;
use super::single_flight::Rounds;

/// A source that was not heard of for this long says nothing about the present. The API server sends a bookmark about
/// every minute where nothing else happens.
pub(super) const STALE: Duration = Duration::from_secs(180);
/// How many lists are read at the same time: each holds a page in memory, and more of them do not make two cores
/// faster.
const LISTS_AT_ONCE: usize = 4;

/// How long an API server that did not say in time how far a watch is, is not relied on to do so.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// Something that is not known about the cluster's use of images.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Gap {
    /// What is not known: the resource, such as `pods`, or `Kind.group` of a custom workload.
    pub kind: String,
    /// In which namespace; `None` for all of them.
    pub namespace: Option<String>,
    /// Why, in plain words.
    pub why: String,
    /// Whether the reason is that the operator may not look.
    pub forbidden: bool,
    /// Whether it may pass by itself within a moment, as where the API server was not to be reached.
    pub passing: bool,
    /// The objects that the reason names: one of them as `namespace/name`, and how many there are.
    pub objects: Option<(String, usize)>,
}

impl Gap {
    /// Nothing is known of any kind.
    pub(super) fn of_all(why: &str) -> Self {
        let (kind, why) = ("workloads".to_owned(), why.to_owned());
        Self { kind, namespace: None, why, forbidden: false, passing: true, objects: None }
    }

    /// The same for somebody who may know the objects of this namespace: those of others are counted and not named.
    #[must_use]
    pub fn told_in(&self, reader: Option<&str>) -> String {
        let of_reader = |key: &str| key.split_once('/').map(|(namespace, _)| namespace) == reader;
        match &self.objects {
            Some((key, number)) if reader.is_some() && !of_reader(key) => {
                let objects = if *number == 1 { "an object".to_owned() } else { format!("{number} objects") };
                Self { why: format!("{objects} cannot be read"), ..self.clone() }.to_string()
            }
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} in namespace {namespace}: {}", self.kind, self.why),
            None => write!(f, "{} in all namespaces: {}", self.kind, self.why),
        }
    }
}

/// What the tasks that watch and those who ask share.
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) scope: Scope,
    pub(super) finished_for: SignedDuration,
    pub(super) sources: Vec<Source>,
    /// Permits to list.
    pub(super) lists: Semaphore,
    state: Mutex<State>,
    /// Tells whenever a source stands otherwise than before.
    standings: watch::Sender<()>,
}

/// One kind in one namespace, or in all.
pub(super) struct Source {
    pub(super) id: SourceId,
    pub(super) kind: Kind,
    pub(super) namespace: Option<String>,
    /// The index has everything that happened to this source up to this resourceVersion.
    pub(super) position: watch::Sender<u64>,
    /// Asks the task that watches to hear from the API server soon.
    pub(super) hurried: Notify,
    /// Up to where somebody waits to hear of it.
    wanted_up_to: AtomicU64,
    /// When the API server last failed to say in time how far the watch is.
    unsaid: Mutex<Option<Instant>>,
    /// Lets those share the answer who compare its objects at the same time.
    pub(super) comparisons: Rounds<Result<(), Gap>>,
    /// Says to the task that watches, while it pauses after a failure, that somebody wants to know.
    pub(super) wanted: Notify,
    standing: usize,
}

struct State {
    index: Index,
    standings: Vec<Standing>,
}

struct Standing {
    phase: Phase,
    /// Where the API server has it, as far as that is known.
    url: Option<String>,
    heard: Instant,
}

/// How a source stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// It is not completely listed yet, or has to be listed again.
    Listing,
    /// It is listed, and watched since.
    Watched,
    /// It was listed, once and for all.
    Read,
    /// The cluster does not have the kind.
    Absent,
    /// Something does not work.
    Failing(WatchError),
    /// Nobody watches it any more.
    Over,
}

impl Shared {
    pub(super) fn new(client: Client, options: Options) -> Self {
        let Options { scope, custom, finished_for, .. } = options;
        // Namespaces alone do not show what is in none; what configuration names is a mistake then, and told.
        let is_seen = |workload: &CustomWorkload| scope == Scope::All || !workload.is_cluster_wide();
        let custom = custom.into_iter().filter(is_seen).map(|workload| Kind::Custom(Arc::new(workload)));
        let kinds: Vec<Kind> = Kind::BUILT_IN.into_iter().chain(custom).collect();
        // Each namespace once.
        let namespaces: Vec<Option<String>> = match &scope {
            Scope::All => vec![None],
            Scope::Namespaces(names) => names.iter().collect::<BTreeSet<_>>().into_iter().cloned().map(Some).collect(),
        };
        let (mut index, mut sources, mut standings) = (Index::default(), Vec::new(), Vec::new());
        for kind in kinds {
            for namespace in &namespaces {
                let url = kind.resource().map(|resource| url(&resource, namespace.as_deref()));
                sources.push(Source {
                    id: index.add_source(kind.clone()),
                    kind: kind.clone(),
                    namespace: namespace.clone(),
                    position: watch::Sender::new(0),
                    hurried: Notify::new(),
                    wanted_up_to: AtomicU64::new(0),
                    unsaid: Mutex::new(None),
                    comparisons: Rounds::new(),
                    wanted: Notify::new(),
                    standing: standings.len(),
                });
                standings.push(Standing { phase: Phase::Listing, url, heard: Instant::now() });
            }
        }
        Self {
            client,
            scope,
            finished_for,
            sources,
            lists: Semaphore::new(LISTS_AT_ONCE),
            state: Mutex::new(State { index, standings }),
            standings: watch::Sender::new(()),
        }
    }

    /// Works with the index. Never held across an `await`.
    pub(super) fn index<T>(&self, work: impl FnOnce(&mut Index) -> T) -> T {
        work(&mut self.state().index)
    }

    /// Where the API server has the objects of a source, if that is known.
    pub(super) fn url(&self, source: &Source) -> Option<String> {
        self.state().standings.get(source.standing)?.url.clone()
    }

    /// Notes where the API server has the objects of a custom kind.
    pub(super) fn found_at(&self, source: &Source, url: Option<String>) {
        if let Some(standing) = self.state().standings.get_mut(source.standing) {
            standing.url = url;
        }
    }

    pub(super) fn phase(&self, source: &Source) -> Option<Phase> {
        self.state().standings.get(source.standing).map(|standing| standing.phase.clone())
    }

    /// Notes that the API server was heard of just now.
    pub(super) fn heard(&self, source: &Source) {
        let silent = {
            let mut state = self.state();
            let Some(standing) = state.standings.get_mut(source.standing) else { return };
            std::mem::replace(&mut standing.heard, Instant::now()).elapsed() > STALE
        };
        if silent {
            self.standings.send_replace(());
        }
    }

    /// Notes how a source stands. Whatever it is, it was found out just now.
    pub(super) fn set_phase(&self, source: &Source, phase: Phase) {
        let before = {
            let mut state = self.state();
            let Some(standing) = state.standings.get_mut(source.standing) else { return };
            standing.heard = Instant::now();
            if standing.phase == phase {
                return;
            }
            std::mem::replace(&mut standing.phase, phase.clone())
        };
        let (kind, namespace) = (source.kind.label(), source.namespace.as_deref());
        match (before, phase) {
            (_, Phase::Failing(why)) => tracing::warn!(kind, namespace, error = %why, "workloads cannot be watched"),
            (Phase::Failing(_), now) => tracing::info!(kind, namespace, state = ?now, "workloads can be watched again"),
            (_, now) => tracing::debug!(kind, namespace, state = ?now, "workloads"),
        }
        self.standings.send_replace(());
    }

    /// Why a source cannot be relied on, if so.
    pub(super) fn gap(&self, source: &Source) -> Option<Gap> {
        let state = self.state();
        let standing = state.standings.get(source.standing)?;
        let silent = standing.heard.elapsed() > STALE;
        let (mut passing, mut objects) = (true, None);
        let why = match &standing.phase {
            Phase::Listing => "not completely listed yet".to_owned(),
            Phase::Failing(WatchError::Forbidden(verb)) => {
                let why = WatchError::Forbidden(verb.clone()).to_string();
                return Some(Gap { forbidden: true, passing: false, ..source.gap(why) });
            }
            Phase::Failing(why) => why.to_string(),
            Phase::Over => "not watched any more".to_owned(),
            Phase::Watched | Phase::Absent if silent => {
                format!("nothing was heard of the API server for {} seconds", STALE.as_secs())
            }
            Phase::Absent => return None,
            Phase::Watched | Phase::Read => {
                let (key, all) = state.index.unreadable(source.id)?;
                passing = false;
                let more = if all == 1 { String::new() } else { format!(" and {} more", all - 1) };
                let key = key.trim_start_matches('/');
                objects = Some((key.to_owned(), all));
                format!("{key}{more} cannot be read")
            }
        };
        drop(state);
        Some(Gap { passing, objects, ..source.gap(why) })
    }

    /// What is not known just now.
    pub(super) fn gaps(&self) -> Vec<Gap> {
        if self.sources.is_empty() {
            // Seeing nothing is not the same as there being nothing.
            return vec![Gap { passing: false, ..Gap::of_all("no namespace is watched") }];
        }
        self.sources.iter().filter_map(|source| self.gap(source)).collect()
    }

    /// The kinds that configuration names and that the cluster does not have.
    pub(super) fn absent_kinds(&self) -> Vec<String> {
        let state = self.state();
        let mut kinds: Vec<String> = self
            .sources
            .iter()
            .filter(|source| source.kind.is_of_configuration())
            .filter(|source| state.standings.get(source.standing).is_some_and(|it| matches!(it.phase, Phase::Absent)))
            .map(|source| source.kind.label())
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// Makes the tasks that pause after a failure try again, and waits until nothing is missing any more. Answers
    /// whether anything was.
    pub(super) async fn recovered(&self) -> bool {
        let mut changes = self.standings.subscribe();
        let mut missing = false;
        loop {
            changes.borrow_and_update();
            if self.gaps().is_empty() {
                return missing;
            }
            missing = true;
            for source in &self.sources {
                source.wanted.notify_one();
            }
            // The sender is in `self`, so there is no end to this but the one that is wanted.
            if changes.changed().await.is_err() {
                return missing;
            }
        }
    }

    /// Waits until no source is being listed any more.
    pub(super) async fn listed(&self) {
        let mut changes = self.standings.subscribe();
        let listing = || self.state().standings.iter().any(|standing| standing.phase == Phase::Listing);
        // The sender is in `self`, so there is no end to this but the one that is wanted.
        while listing() && changes.changed().await.is_ok() {}
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// Asks to hear from the API server soon that everything up to a resourceVersion has been told.
    pub(super) fn hurry(&self, up_to: u64) {
        self.wanted_up_to.fetch_max(up_to, Ordering::SeqCst);
        self.hurried.notify_one();
    }

    /// Resolves once somebody waits to hear more than what was told up to here, and answers up to where.
    pub(super) async fn hurries(&self, reached: u64) -> u64 {
        loop {
            self.hurried.notified().await;
            let wanted = self.wanted_up_to.swap(0, Ordering::SeqCst);
            // Several may have asked for what one bookmark has told since.
            if wanted > reached {
                return wanted;
            }
        }
    }

    /// Takes note whether the API server has said in time how far the watch is.
    pub(super) fn note_bookmark(&self, came: bool) {
        *self.unsaid.lock().unwrap_or_else(PoisonError::into_inner) = (!came).then(Instant::now);
    }

    /// Whether it is of no use to wait for the API server to say how far the watch is.
    pub(super) fn has_no_bookmarks(&self) -> bool {
        let unsaid = *self.unsaid.lock().unwrap_or_else(PoisonError::into_inner);
        unsaid.is_some_and(|at| at.elapsed() < ASK_AGAIN)
    }

    pub(super) fn gap(&self, why: impl Into<String>) -> Gap {
        let (kind, namespace) = (self.kind.label(), self.namespace.clone());
        Gap { kind, namespace, why: why.into(), forbidden: false, passing: true, objects: None }
    }
}

/// The path of a resource on the API server.
pub(super) fn url(resource: &ApiResource, namespace: Option<&str>) -> String {
    DynamicObject::url_path(resource, namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_other_namespaces_than_the_readers_are_counted_and_not_named() {
        let gap = |why: &str, key: &str, number| Gap {
            kind: "deployments".to_owned(),
            namespace: None,
            why: why.to_owned(),
            forbidden: false,
            passing: false,
            objects: Some((key.to_owned(), number)),
        };
        let one = gap("prod/web cannot be read", "prod/web", 1);
        let three = gap("prod/web and 2 more cannot be read", "prod/web", 3);
        for reader in [None, Some("prod")] {
            assert_eq!(one.told_in(reader), "deployments in all namespaces: prod/web cannot be read");
        }
        assert_eq!(one.told_in(Some("team")), "deployments in all namespaces: an object cannot be read");
        assert_eq!(three.told_in(Some("team")), "deployments in all namespaces: 3 objects cannot be read");
        let forbidden = Gap { objects: None, ..gap("list is forbidden", "", 0) };
        assert_eq!(forbidden.told_in(Some("team")), "deployments in all namespaces: list is forbidden");
    }
}
