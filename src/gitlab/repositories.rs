//! The endpoints about one repository as a whole: what the registry says it holds, and its deletion.
//!
//! As in `client`, nothing here waits, paces or tries again, and nothing decides which repository goes.

use reqwest::StatusCode;

use super::client::{Client, OBJECT_LIMIT, project_segment};
use super::error::{Error, ErrorKind, Operation};
use super::responses::{ContentsAnswer, ErrorAnswer, invalid, read, unfulfilled, yes};
use super::types::{RepositoryDeletion, RepositoryNow, RepositoryRef};

impl Client {
    /// The registry's own count of a repository's tags: GET `/registry/repositories/:id?tags_count=true`.
    ///
    /// GitLab behaviour: the count ends at 10,000, and one that failed reads as zero. `None` where the server is too
    /// old to count (before 13.6).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`], [`ErrorKind::InsufficientScope`],
    /// [`ErrorKind::Unauthorized`].
    pub async fn repository_tags_count(&self, id: u64) -> Result<Option<u64>, Error> {
        Ok(self.contents(id, &["tags_count"]).await?.contents.tags)
    }

    /// What the registry says a repository holds, by two ways at once: GET
    /// `/registry/repositories/:id?tags_count=true&size=true`.
    ///
    /// GitLab behaviour: the count is as in [`Client::repository_tags_count`]. The size is another question to the
    /// registry, and one that failed is nothing instead of zero. So a size, zero included, shows that the registry has
    /// answered about this repository.
    ///
    /// # Errors
    ///
    /// As [`Client::repository_tags_count`].
    pub async fn repository_contents(&self, id: u64) -> Result<RepositoryNow, Error> {
        self.contents(id, &["tags_count", "size"]).await
    }

    /// Requests the deletion of a repository with everything in it: DELETE `…/registry/repositories/:repository_id`.
    /// Needs the Maintainer role and the scope `api`.
    ///
    /// Sent once, like [`Client::bulk_delete`], and **not to be dropped** either.
    ///
    /// GitLab behaviour: the repository only becomes [`DeleteScheduled`](super::RepositoryStatus::DeleteScheduled); a
    /// job then removes the tags that are there by that time, and the repository. When it fails ten times the
    /// repository is left as [`DeleteFailed`](super::RepositoryStatus::DeleteFailed).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AnswerLost`] or [`ErrorKind::ForeignAnswer`] when it was sent and no answer tells its fate. After
    /// every other error GitLab does nothing: [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`], [`ErrorKind::Moved`],
    /// [`ErrorKind::Refused`], [`ErrorKind::InsufficientScope`], [`ErrorKind::Unauthorized`].
    pub async fn delete_repository(&self, repository: &RepositoryRef) -> Result<RepositoryDeletion, Error> {
        let operation = Operation::DeleteRepository;
        let project = project_segment(operation, &repository.project)?;
        let url = self.url(&["projects", &project, "registry", "repositories", &repository.id.to_string()]);
        let answer = self.delete(operation, url, None).await?;
        let text = ErrorAnswer::of(&answer);
        match answer.status.as_u16() {
            200..=299 => yes(operation, &answer, 202).map(|()| RepositoryDeletion::Scheduled),
            403 if text.is_about_protected_repository() => Ok(RepositoryDeletion::Protected),
            405 if text.is_moved() => Err(Error::new(operation, ErrorKind::Moved)),
            _ => Err(unfulfilled(operation, &answer)),
        }
    }

    async fn contents(&self, id: u64, parts: &[&str]) -> Result<RepositoryNow, Error> {
        let operation = Operation::CountTags;
        let mut url = self.url(&["registry", "repositories", &id.to_string()]);
        url.query_pairs_mut().extend_pairs(parts.iter().map(|part| (part, "true")));
        let answer = self.get(operation, url, OBJECT_LIMIT).await?;
        if answer.status == StatusCode::NOT_FOUND && ErrorAnswer::of(&answer).is_missing_route() {
            return Ok(RepositoryNow::default());
        }
        let contents: ContentsAnswer = read(operation, &answer)?;
        contents.accept(id).ok_or_else(|| invalid(operation, "it is about another repository"))
    }
}
