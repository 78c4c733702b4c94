//! Why a repository has no plan.

use crate::gitlab::Error;
use crate::policy::plan::doubt::Doubt;

/// Why a repository has no plan.
pub(crate) enum Failure {
    /// GitLab did not do its part.
    GitLab(Error),
    /// The parts do not fit together, twice in a row.
    Incomplete,
    /// It is not known which images are in use.
    InUse(Unknown),
    /// GitLab's bulk deletion cannot be told which tags are in use.
    Unresolved(String),
    /// GitLab's bulk deletion may take one of the newest tags.
    Doubted(Doubt),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::GitLab(error)
    }
}

impl From<Unknown> for Failure {
    fn from(unknown: Unknown) -> Self {
        Self::InUse(unknown)
    }
}

/// Why it is not known which images are in use.
#[derive(Clone, Debug, thiserror::Error)]
#[error("it is not known which images are in use: {0}")]
pub(crate) struct Unknown(pub(crate) String);
