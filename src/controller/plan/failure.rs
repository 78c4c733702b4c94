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
#[error("it is not known which images are in use: {why}")]
pub(crate) struct Unknown {
    why: String,
    /// Whether it may be known again within a moment, without anybody doing anything about it.
    pub(crate) passing: bool,
}

impl Unknown {
    /// Somebody has to do something about it.
    pub(crate) fn lasting(why: String) -> Self {
        Self { why, passing: false }
    }

    /// It may pass by itself, as an API server that is away for a moment.
    pub(crate) fn passing(why: String) -> Self {
        Self { why, passing: true }
    }
}
