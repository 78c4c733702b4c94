//! Why a reconciliation has to be tried again.

use crate::cluster;

/// Why a reconciliation has to be tried again. What GitLab does wrong is no error here: it becomes a condition.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy could not be read or its status not be written.
    #[error(transparent)]
    Status(#[from] cluster::status::Error),
    /// A Secret could not be read for a reason that says nothing about the Secret.
    #[error(transparent)]
    Secret(cluster::credentials::Error),
    /// An object came without a name or a namespace, which the API server does not do.
    #[error("failed to tell which policy this is")]
    Nameless,
}

impl Error {
    /// Whether somebody wrote the policy since it was read, so that it has to be looked at anew.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Status(error) if error.is_conflict())
    }
}
