//! Projects whose images nobody may change: archived, or about to be deleted. GitLab lists their repositories like all
//! others, tells of their tags that they may go, and refuses what is asked of them.

use crate::api::RepositoryResult;
use crate::gitlab::{Client, Closed, Error, ErrorKind, Repository};
use crate::policy::repository_outcome::{Outcome, RepositoryReason};

use super::list_repositories::concerns_all;

/// The outcome of a repository whose project is closed. What cannot be found out is no reason to leave it alone.
///
/// # Errors
/// What concerns the whole run.
pub(crate) async fn closed(client: &Client, repository: &Repository) -> Result<Option<Outcome>, Error> {
    match client.closed(&repository.reference().project).await {
        Ok(closed) => Ok(closed.map(|closed| outcome(repository, closed))),
        Err(error) if concerns_all(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Whether a refusal can be that of a closed project.
pub(crate) fn may_be_closed(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Forbidden | ErrorKind::NotFound | ErrorKind::Registry | ErrorKind::Refused { .. })
}

fn outcome(repository: &Repository, closed: Closed) -> Outcome {
    let message = match closed {
        Closed::Archived => "the project is archived: GitLab lets nobody change its images",
        Closed::PendingDeletion => "the project will be deleted: GitLab lets nobody change its images",
    };
    let skipped = RepositoryResult::Skipped;
    Outcome {
        message: Some(message.to_owned()),
        ..Outcome::new(&repository.path, repository.id, skipped, Some(RepositoryReason::ProjectArchived))
    }
}
