//! The endpoint that removes tags by their names, 20 in each part of a document, of one repository or several.
//!
//! As in `client`, nothing here waits, paces or tries again. How many parts a document has follows what the host bears:
//! `document_size`. What its answer means is read in `graphql_removals`, each part for itself. It does not decide which
//! tags go.

use reqwest::Method;

use super::client::{Client, OBJECT_LIMIT};
use super::document_size::Seen;
use super::documents;
use super::error::{Error, ErrorKind, Operation};
use super::graphql::{self, MOST_NAMES, MOST_PARTS, MOST_REMOVALS, NamesOf};
use super::graphql_removals::{RemovedPart, removed_together};
use super::retry::Repeat;
use super::tags::accept_names;
use super::transport::{Request, by_status};

/// Repositories of one request: pages of so many fit into one document, whatever the server knows.
const MOST_REPOSITORIES: usize = 10;

/// How much one request may remove in several repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Together {
    /// Tags of all of them.
    pub tags: usize,
    /// Repositories: so many that one document of pages tells of all whether something was pushed.
    pub repositories: usize,
}

impl Client {
    /// How much one request may remove in several repositories just now; `None` where each has a request of its own.
    #[must_use]
    pub fn removable_together(&self) -> Option<Together> {
        let sizes = self.http.host.sizes();
        let together = Together { tags: sizes.removals(), repositories: sizes.reads().min(MOST_REPOSITORIES) };
        (!sizes.is_off()).then_some(together)
    }

    /// How many tags one request removes at most just now, at least one: more while the server answers within 3 s,
    /// fewer when it does not. A multiple of 20 it need not be.
    #[must_use]
    pub fn removable_at_once(&self) -> usize {
        self.http.host.sizes().removals()
    }

    /// How many tags one request removes at most, however quickly the server answers.
    #[must_use]
    pub fn removable_at_most(&self) -> usize {
        self.http.host.sizes().most_removals()
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

    /// Removes tags of one repository by name: [`Client::delete_tags_of`] with one repository.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn delete_tags_together(&self, repository: u64, names: &[&str]) -> Result<Vec<RemovedPart>, Error> {
        let mut parts = self.delete_tags_of(&[NamesOf { repository, names: names.to_vec() }]).await?;
        Ok(parts.pop().unwrap_or_default())
    }

    /// Removes tags by name (GraphQL's `destroyContainerRepositoryTags`, since GitLab 13.7), 20 of one repository in
    /// each part of one document. For each repository it answers, for each part in their order, the names that GitLab
    /// says are gone, also those that were gone before. Needs the Developer role and the scope `api`.
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
    pub async fn delete_tags_of(&self, wanted: &[NamesOf<'_>]) -> Result<Vec<Vec<RemovedPart>>, Error> {
        let operation = Operation::RemoveTags;
        let not_sent = |what| Error::new(operation, ErrorKind::NotSent { what });
        let asked: Vec<&[&str]> = wanted.iter().flat_map(|of| of.names.chunks(MOST_NAMES)).collect();
        for names in &asked {
            accept_names(operation, names)?;
        }
        let items: usize = asked.iter().map(|names| names.len()).sum();
        let body = match asked.len() {
            0 => return Ok(vec![Vec::new(); wanted.len()]),
            1 => wanted
                .iter()
                .find(|of| !of.names.is_empty())
                .and_then(|of| graphql::removal_body(of.repository, &of.names)),
            2..=MOST_PARTS if items <= MOST_REMOVALS * MOST_NAMES => documents::removals_body(wanted),
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
        let note = |seen| self.http.host.sizes().note_removals(seen);
        let answer = match self.http.send(&request).await {
            Err(error) if error.is_answer_lost() => {
                note(Seen::TooMuch { items });
                return Err(error);
            }
            answer => answer?,
        };
        if asked.len() > 1 && documents::is_too_complex(&answer) {
            note(Seen::Refused { items });
            return Err(Error::new(operation, ErrorKind::TooComplex));
        }
        let told = removed_together(operation, &answer, &asked);
        if told.iter().any(|part| part.as_ref().is_err_and(Error::is_answer_lost)) {
            note(Seen::TooMuch { items });
        } else if told.iter().all(Result::is_ok) {
            // What was refused took no time, which says nothing.
            note(Seen::Answered { items, took: answer.took });
        }
        let mut told = told.into_iter();
        let of = |of: &NamesOf<'_>| told.by_ref().take(of.names.len().div_ceil(MOST_NAMES)).collect();
        Ok(wanted.iter().map(of).collect())
    }
}
