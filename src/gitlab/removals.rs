//! The endpoint that removes tags by their names, 20 in each part of a document.
//!
//! As in `client`, nothing here waits, paces or tries again. How many parts a document has follows what the host bears:
//! `document_size`. What its answer means is read in `graphql_removals`, each part for itself. It does not decide which
//! tags go.

use reqwest::Method;

use super::client::{Client, OBJECT_LIMIT};
use super::document_size::Seen;
use super::documents;
use super::error::{Error, ErrorKind, Operation};
use super::graphql::{self, MOST_NAMES, MOST_REMOVALS};
use super::graphql_removals::{RemovedPart, removed_together};
use super::retry::Repeat;
use super::tags::accept_names;
use super::transport::{Request, by_status};

impl Client {
    /// How many tags one request removes at most just now, at least one: more while the server answers within 3 s, fewer
    /// when it does not. A multiple of 20 it need not be.
    #[must_use]
    pub fn removable_at_once(&self) -> usize {
        self.http.host.sizes().removals()
    }

    /// Removes up to 20 tags by name and answers the names that GitLab says are gone: [`Client::delete_tags_together`]
    /// with one part.
    ///
    /// # Errors
    ///
    /// As there, and those of the one part.
    pub async fn delete_tags(&self, repository: u64, names: &[&str]) -> Result<Vec<Box<str>>, Error> {
        accept_names(Operation::RemoveTags, names)?;
        let mut parts = self.delete_tags_together(repository, names).await?;
        parts.pop().unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Removes tags by name (GraphQL's `destroyContainerRepositoryTags`, since GitLab 13.7), 20 in each part of one
    /// document, and answers for each part in their order the names that GitLab says are gone, also those that were gone
    /// before. Needs the Developer role and the scope `api`.
    ///
    /// GitLab behaviour: a name that is missing from the answer is protected, or the registry refused to remove it;
    /// nothing tells which. Without names nothing is sent.
    ///
    /// Sent once, like [`Client::bulk_delete`], and **not to be dropped** either: a tag that is pushed again while a
    /// repetition is on its way would be lost.
    ///
    /// # Errors
    ///
    /// After an error of the whole, or of a part, nothing of it is gone, but for two: [`ErrorKind::AnswerLost`] and
    /// [`ErrorKind::ForeignAnswer`] when some of the tags may be gone and no answer tells which; and
    /// [`ErrorKind::InvalidAnswer`] when GitLab names a tag that was not asked for.
    ///
    /// The others are [`ErrorKind::NotSent`] for a name that no tag can have, or more names than a document may have;
    /// [`ErrorKind::TooComplex`] when GitLab takes no document with so many parts, which is remembered;
    /// [`ErrorKind::NotFound`] for a repository that does not exist or is hidden, and for a role or scope that does not
    /// allow it; [`ErrorKind::Registry`] when the registry refuses to remove anything; [`ErrorKind::Unsupported`]
    /// without GraphQL; [`ErrorKind::Forbidden`], [`ErrorKind::InsufficientScope`], [`ErrorKind::Unauthorized`].
    pub async fn delete_tags_together(&self, repository: u64, names: &[&str]) -> Result<Vec<RemovedPart>, Error> {
        let operation = Operation::RemoveTags;
        let not_sent = |what| Error::new(operation, ErrorKind::NotSent { what });
        for names in names.chunks(MOST_NAMES) {
            accept_names(operation, names)?;
        }
        let parts = names.len().div_ceil(MOST_NAMES);
        let body = match parts {
            0 => return Ok(Vec::new()),
            1 => graphql::removal_body(repository, names),
            2..=MOST_REMOVALS => documents::removals_body(repository, names),
            _ => return Err(not_sent("it has more tags than a document may have")),
        };
        let request = Request {
            operation,
            method: Method::POST,
            url: self.graphql_url(operation)?,
            body: Some(body.ok_or_else(|| not_sent("it cannot be written"))?),
            repeat: Repeat::OnlyUnprocessed,
            limit: OBJECT_LIMIT,
            failure: by_status,
        };
        let items = names.len();
        let note = |seen| self.http.host.sizes().note_removals(seen);
        let answer = match self.http.send(&request).await {
            Err(error) if error.is_answer_lost() => {
                note(Seen::TooMuch { items });
                return Err(error);
            }
            answer => answer?,
        };
        if parts > 1 && documents::is_too_complex(&answer) {
            note(Seen::Refused { items });
            return Err(Error::new(operation, ErrorKind::TooComplex));
        }
        let told = removed_together(operation, &answer, names);
        if told.iter().any(|part| part.as_ref().is_err_and(Error::is_answer_lost)) {
            note(Seen::TooMuch { items });
        } else if told.iter().all(Result::is_ok) {
            // What was refused took no time, which says nothing.
            note(Seen::Answered { items, took: answer.took });
        }
        Ok(told)
    }
}
