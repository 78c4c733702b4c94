//! What all reconciliations share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use crate::api::RegistryCleanupPolicy;
use crate::clock::Clock;
use crate::cluster::events::Events;
use crate::cluster::workloads::Workloads;
use crate::gitlab::GitLab;
use crate::policy::Settings;
use crate::policy::hour::Ledger;

use super::check_state::Memory;

/// What all reconciliations share.
pub struct Context {
    pub(crate) kube: Client,
    pub(crate) gitlab: GitLab,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) events: Events,
    /// What the cluster runs, if the operator looks.
    pub(crate) workloads: Option<Workloads>,
    pub(crate) shutdown: CancellationToken,
    ledger: Mutex<Ledger>,
    memory: Mutex<Memory>,
}

impl Context {
    /// Puts the shared parts together. Without `workloads`, policies that want images in use to be protected remove nothing. `shutdown` stops runs between two requests.
    #[must_use]
    pub fn new(
        kube: Client,
        gitlab: GitLab,
        clock: Arc<dyn Clock>,
        settings: Settings,
        events: Events,
        workloads: Option<Workloads>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            kube,
            gitlab,
            clock,
            settings,
            events,
            workloads,
            shutdown,
            ledger: Mutex::default(),
            memory: Mutex::default(),
        }
    }

    pub(crate) fn policies(&self, namespace: &str) -> Api<RegistryCleanupPolicy> {
        Api::namespaced(self.kube.clone(), namespace)
    }

    /// The ledger of bulk deletions. Never held across an `await`.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this process remembers of policies. Never held across an `await`.
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
