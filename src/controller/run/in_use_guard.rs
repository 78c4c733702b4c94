//! The final check at what is in use of a repository, right before a request that removes some of it leaves.
//!
//! What this guarantees: a workload that the API server had acknowledged before the look began is known when it ends,
//! and between its end and the request there is nothing to wait for. A request that lost its turn, or was turned away
//! and sent again, is looked at again.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{BoxFuture, FutureExt};

use crate::gitlab::{Client, FinalCheck, Repository};
use crate::policy::in_use::RepositoryUse;

use super::job::Job;
use crate::controller::plan::failure::Unknown;
use crate::controller::plan::in_use::Usage;

/// Whether a request leaves alone what is in use.
type Spares = Box<dyn Fn(&RepositoryUse) -> bool + Send + Sync>;

/// The final check at one request.
pub(crate) struct Look {
    usage: Arc<Usage>,
    repository: Repository,
    spares: Spares,
    /// What a look that said no has found.
    found: Mutex<Option<Result<RepositoryUse, Unknown>>>,
}

impl Look {
    /// The client for a request that may only leave while it spares what is in use, and the look at it, if the policy
    /// wants one.
    pub(crate) fn at(
        job: &Job<'_>,
        repository: &Repository,
        spares: impl Fn(&RepositoryUse) -> bool + Send + Sync + 'static,
    ) -> (Client, Option<Arc<Self>>) {
        let Some(look) = Self::of(job, repository, spares) else { return (job.client.clone(), None) };
        (job.client.looking(Arc::clone(&look) as Arc<dyn FinalCheck>), Some(look))
    }

    /// The look alone, if the policy wants one.
    pub(crate) fn of(
        job: &Job<'_>,
        repository: &Repository,
        spares: impl Fn(&RepositoryUse) -> bool + Send + Sync + 'static,
    ) -> Option<Arc<Self>> {
        let usage = Arc::clone(job.usage.as_ref()?);
        let (repository, spares) = (repository.clone(), Box::new(spares));
        Some(Arc::new(Self { usage, repository, spares, found: Mutex::new(None) }))
    }

    /// Whether the request leaves alone what is in use as far as it is known just now. Never waits: for the end of a
    /// look in which something else had to be waited for since the cluster was asked.
    pub(crate) fn still_as_known(&self) -> bool {
        self.judge(self.usage.now(&self.repository))
    }

    /// What is in use, of which the request that was withdrawn did not spare something.
    ///
    /// # Errors
    /// When it was withdrawn because that is not known.
    pub(crate) fn found(&self) -> Result<RepositoryUse, Unknown> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).take();
        found.unwrap_or_else(|| self.usage.now(&self.repository))
    }

    fn judge(&self, found: Result<RepositoryUse, Unknown>) -> bool {
        match found {
            Ok(now) if (self.spares)(&now) => true,
            found => {
                *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
                false
            }
        }
    }

    async fn now(&self) -> Result<RepositoryUse, Unknown> {
        self.usage.confirmed().await?;
        self.usage.now(&self.repository)
    }
}

impl FinalCheck for Look {
    fn still(&self) -> BoxFuture<'_, bool> {
        async { self.judge(self.now().await) }.boxed()
    }
}
