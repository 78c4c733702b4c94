//! What other clusters use, and what of this one the operator may not see, as lists in `ConfigMap`s say: read when a
//! run begins, and again before anything is removed if a list has changed or no longer counts.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::try_join_all;
use jiff::Timestamp;
use kube::Client;

use crate::clock::Clock;
use crate::cluster::config_maps;
use crate::model::UsedImage;
use crate::policy::compile::ListSource;
use crate::policy::in_use::Expiring;
use crate::policy::in_use::list::List;

use super::failure::Unknown;

/// The images of the lists.
#[derive(Clone, Default)]
pub(crate) struct Listed {
    /// Of this cluster.
    pub(crate) here: Arc<[UsedImage]>,
    /// Of others.
    pub(crate) elsewhere: Arc<[UsedImage]>,
}

/// The lists that a policy names.
pub(crate) struct OtherClusters {
    kube: Client,
    namespace: String,
    sources: Vec<ListSource>,
    /// The registries in question, by host.
    hosts: BTreeSet<String>,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

/// What the lists said when they were last read.
#[derive(Default)]
struct Known {
    /// Of each list, which version it was and until when it counts.
    versions: Vec<(Option<String>, Timestamp)>,
    /// The first that counted no more before long, if one did.
    expiring: Option<Expiring>,
    images: Listed,
    /// How often the lists were read.
    reads: u64,
}

impl OtherClusters {
    /// Reads the lists.
    ///
    /// # Errors
    /// When one is missing, does not count, or is not about one of the registries.
    pub(crate) async fn read(
        kube: &Client,
        namespace: &str,
        sources: &[ListSource],
        hosts: BTreeSet<String>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Unknown> {
        let (kube, namespace, sources) = (kube.clone(), namespace.to_owned(), sources.to_vec());
        let others = Self { kube, namespace, sources, hosts, clock, known: Mutex::default() };
        others.read_all().await?;
        Ok(others)
    }

    /// Reads the lists again if one of them has changed or is too old by now.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) async fn read_again(&self) -> Result<(), Unknown> {
        let known = self.known().versions.clone();
        let now = self.clock.now();
        let versions = try_join_all(
            self.sources.iter().map(|source| config_maps::version(&self.kube, &self.namespace, &source.name)),
        )
        .await
        .map_err(|error| unread(&error))?;
        let stands = |((version, until), found): (&(Option<String>, Timestamp), &Option<String>)| {
            version.is_some() && version == found && now <= *until
        };
        if known.iter().zip(&versions).all(stands) { Ok(()) } else { self.read_all().await }
    }

    /// The images, and how often they were read.
    pub(crate) fn images(&self) -> (u64, Listed) {
        let known = self.known();
        (known.reads, known.images.clone())
    }

    /// The list that is the first to count no more, if that is soon.
    pub(crate) fn expiring(&self) -> Option<Expiring> {
        self.known().expiring.clone()
    }

    async fn read_all(&self) -> Result<(), Unknown> {
        let (mut versions, mut here, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
        let mut expiring: Option<Expiring> = None;
        for source in &self.sources {
            let name = &source.name;
            let found = config_maps::read(&self.kube, &self.namespace, name, &source.key)
                .await
                .map_err(|error| unread(&error))?;
            let now = self.clock.now();
            let list = List::read(&found.text, now, source.max_age)
                .map_err(|error| Unknown::lasting(format!("ConfigMap {name}: {error}")))?;
            if let Some(host) = self.hosts.iter().find(|host| !list.is_about(host)) {
                return Err(Unknown::lasting(format!("ConfigMap {name}: the list is not about the registry {host}")));
            }
            let (until, soon) = list.expiry(now, source.max_age);
            if soon && expiring.as_ref().is_none_or(|first| until < first.until) {
                expiring = Some(Expiring { config_map: name.clone(), until });
            }
            versions.push((found.version, until));
            if source.this_cluster { &mut here } else { &mut elsewhere }.extend(list.into_used(name));
        }
        let images = Listed { here: here.into(), elsewhere: elsewhere.into() };
        let mut known = self.known();
        *known = Known { versions, expiring, images, reads: known.reads + 1 };
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // The value is valid between any two statements.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A list that the API server would not tell may be told in a moment.
fn unread(error: &config_maps::Error) -> Unknown {
    match error {
        config_maps::Error::Cluster { .. } => Unknown::passing(error.to_string()),
        _ => Unknown::lasting(error.to_string()),
    }
}
