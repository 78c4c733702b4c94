//! The endpoints: what is asked, and what each answer means.
//!
//! Builds URLs, reads statuses and JSON. It may not wait, pace or try again: that is below, in `http`. It never returns
//! a part of a list.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use jiff::SignedDuration;
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use super::error::{Error, ErrorKind, Operation};
use super::gate::FinalCheck;
use super::page_queue::PageQueue;
use super::pagination::{self, Gap, KEYSET_PAGE, Keyset, OFFSET_PAGE, Offset};
use super::responses::{
    ErrorAnswer, TagAnswer, TagDetailsAnswer, VersionAnswer, accept, incomplete, invalid, is_page, read, refusal,
    unfulfilled, yes,
};
use super::retry::Repeat;
use super::transport::{Answer, Http, Request, by_status};
use super::types::{
    Budget, BulkAnswer, Namespace, Project, Repository, RepositoryRef, TagDetails, TokenInfo, Version, is_tag_name,
};
use crate::model::BulkDelete;

/// The longest page of a list in bytes: ten times what 1000 tags with long names take.
pub(super) const LIST_LIMIT: usize = 8 * 1024 * 1024;

/// The longest single object in bytes.
pub(super) const OBJECT_LIMIT: usize = 1024 * 1024;

/// A client for one server and token. Cheap to clone.
///
/// Every method waits for the host's pace and asks the gate before each request; every method can fail with
/// [`ErrorKind::Stopped`] or [`ErrorKind::DeadlineReached`] on account of the gate, and with
/// [`ErrorKind::RateLimited`], [`ErrorKind::Server`], [`ErrorKind::Unreachable`], [`ErrorKind::Timeout`] or
/// [`ErrorKind::Tls`] on account of the connection. Reading is tried up to four times.
#[derive(Clone)]
pub struct Client {
    pub(super) http: Http,
}

impl Client {
    pub(super) const fn new(http: Http) -> Self {
        Self { http }
    }

    /// The same client, but for reading only: whatever would change something fails with [`ErrorKind::NotSent`].
    #[must_use]
    pub fn only_reading(mut self) -> Self {
        self.http.reads_only = true;
        self
    }

    /// The same client, which asks `look` before each request that removes something, after every wait, and fails with
    /// [`ErrorKind::Withdrawn`] when the answer is no.
    #[must_use]
    pub fn looking(&self, look: Arc<dyn FinalCheck>) -> Self {
        Self { http: Http { final_check: Some(look), ..self.http.clone() } }
    }

    /// The same client for one request that belongs to another whose turn has come, such as one of a final check: its
    /// next request leaves at once, and everybody else waits for their turn that much longer. Pauses that GitLab asked
    /// for it waits for.
    #[must_use]
    pub fn cutting_in(&self) -> Self {
        let cuts_in = Arc::new(AtomicBool::new(true));
        Self { http: Http { cuts_in, belongs: true, pages: None, ..self.http.clone() } }
    }

    /// The same for several questions that belong to one request: pages that are wanted at the same time go into one
    /// document, which leaves at once.
    #[must_use]
    pub fn cutting_in_together(&self) -> Self {
        Self { http: Http { pages: Some(Arc::new(PageQueue::new(1))), ..self.cutting_in().http } }
    }

    /// How far the server's clock is ahead of ours, by the `Date` of its last answer to anybody here; `None` if none
    /// told.
    #[must_use]
    pub fn clock_ahead(&self) -> Option<SignedDuration> {
        *self.http.host.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the server lets through until its window ends, by its last answer to anybody here.
    #[must_use]
    pub fn budget(&self) -> Option<Budget> {
        self.http.host.budget(self.http.clock.now())
    }

    /// How many requests may be under way to the host at the same time, at least one.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.http.host.in_flight
    }

    /// Whether pages that are wanted at the same time go into one request.
    #[must_use]
    pub fn reads_in_documents(&self) -> bool {
        !self.http.host.sizes().is_off()
    }

    /// How many requests were sent over this connection.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.http.sent.load(Ordering::Relaxed)
    }

    /// The server's version: GET `/version` (since GitLab 8.13, for any signed-in token).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`] for a token that is not accepted, [`ErrorKind::InvalidAnswer`] for a version that
    /// cannot be read.
    pub async fn version(&self) -> Result<Version, Error> {
        let operation = Operation::ReadVersion;
        let answer = self.get(operation, self.url(&["version"]), OBJECT_LIMIT).await?;
        let VersionAnswer { version } = read(operation, &answer)?;
        Version::parse(&version).ok_or_else(|| invalid(operation, "the version is no number"))
    }

    /// What the token says about itself: GET `/personal_access_tokens/self` (since GitLab 15.5, for personal, project
    /// and group access tokens).
    ///
    /// `None` when nothing is known, which is no fault of the token: an old server, or a token of another kind.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`] for a token that is not accepted.
    pub async fn token_self(&self) -> Result<Option<TokenInfo>, Error> {
        let operation = Operation::ReadToken;
        let answer = self.get(operation, self.url(&["personal_access_tokens", "self"]), OBJECT_LIMIT).await?;
        match answer.status {
            StatusCode::OK => read(operation, &answer).map(Some),
            StatusCode::UNAUTHORIZED if !is_page(&answer) => Err(refusal(operation, &answer)),
            _ => Ok(None),
        }
    }

    /// All repositories of a project, or of a group with its subgroups (GET `…/registry/repositories`, every page).
    /// Needs the Reporter role.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`], [`ErrorKind::InsufficientScope`],
    /// [`ErrorKind::Unauthorized`]; [`ErrorKind::Incomplete`] when the pages do not fit together twice in a row.
    pub async fn repositories(&self, namespace: &Namespace) -> Result<Vec<Repository>, Error> {
        match self.list_repositories(namespace).await {
            // Somebody may have added or removed one while the pages were read.
            Err(error) if error.is_incomplete() => self.list_repositories(namespace).await,
            result => result,
        }
    }

    /// Whether the repositories of a project or group can be listed: one request, one entry.
    ///
    /// # Errors
    ///
    /// As [`Client::repositories`], without [`ErrorKind::Incomplete`].
    pub async fn check(&self, namespace: &Namespace) -> Result<(), Error> {
        self.first_repository(namespace).await.map(drop)
    }

    /// One of the repositories of a project or group, if it has any: one request, one entry.
    ///
    /// # Errors
    ///
    /// As [`Client::check`].
    pub async fn first_repository(&self, namespace: &Namespace) -> Result<Option<Repository>, Error> {
        let operation = Operation::ListRepositories;
        let mut url = self.repositories_url(operation, namespace)?;
        url.query_pairs_mut().append_pair("per_page", "1");
        let answer = self.get(operation, url, LIST_LIMIT).await?;
        accept(operation, namespace, read(operation, &answer)?).map(|found| found.into_iter().next())
    }

    /// The names of all tags of a repository, sorted byte by byte.
    ///
    /// GitLab behaviour: an error of the registry shows up as a short or empty list with status 200. So the pages must
    /// fit together, and the list must not be shorter than the registry's own count; one more reading is granted to a
    /// list that fails, since somebody may have pushed or deleted meanwhile.
    ///
    /// An *empty* list is the one thing that cannot be proven: when the registry fails, its count is zero as well. It
    /// says that there is nothing to remove; it does not say that something was removed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Incomplete`] instead of a part of the list; [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`],
    /// [`ErrorKind::InsufficientScope`], [`ErrorKind::Unauthorized`].
    pub async fn tag_names(&self, repository: &RepositoryRef) -> Result<Vec<Box<str>>, Error> {
        self.tag_names_by_count(repository, None).await
    }

    /// The same, held against a count of the registry's own that is known already:
    /// [`TagPage::count`](super::TagPage::count). A tag that was pushed since then makes the list longer, which is
    /// allowed, and one that is gone is counted anew.
    ///
    /// # Errors
    ///
    /// As [`Client::tag_names`].
    pub async fn tag_names_by_count(
        &self,
        repository: &RepositoryRef,
        counted: Option<u64>,
    ) -> Result<Vec<Box<str>>, Error> {
        let first = match self.list_tags(repository).await {
            Err(error) if !error.is_incomplete() => return Err(error),
            first => first,
        };
        let counted = match counted {
            None => self.repository_tags_count(repository.id).await?,
            counted => counted,
        };
        if let Ok(names) = first
            && pagination::agree(names.len(), counted).is_ok()
        {
            return Ok(names);
        }
        // A push since the first reading is in this one; a deletion since the count is in the count that follows.
        let names = self.list_tags(repository).await?;
        if pagination::agree(names.len(), counted).is_err() {
            let counted = self.repository_tags_count(repository.id).await?;
            pagination::agree(names.len(), counted).map_err(|why| incomplete(Operation::ListTags, why))?;
        }
        Ok(names)
    }

    /// Whether the server's lists of tags came by keyset, as far as any was asked for. GitLab behaviour: only a
    /// registry with metadata database can, and only newer servers do.
    #[must_use]
    pub fn pages_by_keyset(&self) -> bool {
        self.http.host.keyset().is_worth_asking(self.http.clock.now())
    }

    /// The details of one tag; `None` when GitLab does not find it.
    ///
    /// GitLab behaviour: not finding is no proof of absence. With a metadata database a registry error reads as 404,
    /// and so does a tag whose name is contained in a hundred others.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`], [`ErrorKind::InsufficientScope`], [`ErrorKind::Unauthorized`];
    /// [`ErrorKind::InvalidAnswer`] when GitLab sends another tag.
    pub async fn tag(&self, repository: &RepositoryRef, name: &str) -> Result<Option<TagDetails>, Error> {
        let operation = Operation::ReadTag;
        if !is_tag_name(name) {
            // No tag can have it, and a name such as `..` would make it another request.
            return Ok(None);
        }
        let mut url = self.tags_url(operation, repository)?;
        push(&mut url, &[name]);
        let answer = self.get(operation, url, OBJECT_LIMIT).await?;
        if answer.status == StatusCode::NOT_FOUND && !is_page(&answer) {
            return Ok(None);
        }
        let details: TagDetailsAnswer = read(operation, &answer)?;
        details.accept(name).map(Some).ok_or_else(|| invalid(operation, "it is about another tag"))
    }

    /// Requests a bulk deletion: DELETE `…/tags`. Needs the Maintainer role and the scope `api`.
    ///
    /// Sent once. It is sent again only when nothing had left yet (no connection) or GitLab's throttle turned it away
    /// (429), and then only while the gate is open. Once it is on its way it is awaited to its end, whatever the gate
    /// says; **do not drop this future either**, or its fate is unknown to everybody.
    ///
    /// GitLab behaviour: one request per repository is accepted per hour; it is evaluated later, in the background, and
    /// nothing tells what it removed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AnswerLost`] when it was sent and no answer tells its fate (time-out, broken connection, 5xx), and
    /// [`ErrorKind::ForeignAnswer`] when the one that came is not GitLab's: it counts as accepted. Every other error
    /// means that GitLab accepted nothing: [`ErrorKind::Refused`] for parameters it does not take, [`ErrorKind::Moved`]
    /// for a project that was moved, [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`],
    /// [`ErrorKind::InsufficientScope`], [`ErrorKind::Unauthorized`].
    pub async fn bulk_delete(&self, repository: &RepositoryRef, delete: &BulkDelete) -> Result<BulkAnswer, Error> {
        let operation = Operation::RequestBulkDelete;
        let body = serde_json::to_vec(delete).map_err(|_| invalid(operation, "the request cannot be written"))?;
        let answer = self.delete(operation, self.tags_url(operation, repository)?, Some(body)).await?;
        let at = answer.at;
        match answer.status.as_u16() {
            200..=299 => yes(operation, &answer, 202).map(|()| BulkAnswer::Accepted { at }),
            400 if ErrorAnswer::of(&answer).is_lease() => Ok(BulkAnswer::AlreadyRequested { at }),
            405 if ErrorAnswer::of(&answer).is_moved() => Err(Error::new(operation, ErrorKind::Moved)),
            _ => Err(unfulfilled(operation, &answer)),
        }
    }

    async fn list_repositories(&self, namespace: &Namespace) -> Result<Vec<Repository>, Error> {
        let operation = Operation::ListRepositories;
        let url = self.repositories_url(operation, namespace)?;
        let repositories = accept(operation, namespace, self.all_by_offset(operation, &url).await?)?;
        let mut ids = HashSet::new();
        if repositories.iter().all(|repository| ids.insert(repository.id)) {
            Ok(repositories)
        } else {
            Err(incomplete(operation, Gap::Duplicate))
        }
    }

    /// One reading of a repository's tags, by keyset where the server can.
    async fn list_tags(&self, repository: &RepositoryRef) -> Result<Vec<Box<str>>, Error> {
        let operation = Operation::ListTags;
        let url = self.tags_url(operation, repository)?;
        let by_keyset = if self.pages_by_keyset() { self.tags_by_keyset(operation, &url).await? } else { None };
        let tags = match by_keyset {
            Some(tags) => tags,
            None => self.tags_by_offset(operation, &url).await?,
        };
        if !tags.iter().all(|tag| is_tag_name(&tag.name)) {
            return Err(invalid(operation, "a tag has a name that no tag can have"));
        }
        let names = tags.into_iter().map(|tag| tag.name).collect();
        pagination::sorted(names).map_err(|why| incomplete(operation, why))
    }

    /// `None` when the server cannot page by keyset, which is remembered.
    async fn tags_by_keyset(&self, operation: Operation, tags: &Url) -> Result<Option<Vec<TagAnswer>>, Error> {
        let mut keyset = Keyset::default();
        let mut all: Vec<TagAnswer> = Vec::new();
        let mut cursor: Option<String> = None;
        let now = self.http.clock.now();
        let mut doubtful = self.http.host.keyset().worked_lately(now);
        loop {
            let mut url = tags.clone();
            url.query_pairs_mut()
                .append_pair("pagination", "keyset")
                .append_pair("per_page", &KEYSET_PAGE.to_string())
                .extend_pairs(cursor.iter().map(|last| ("last", last)));
            let answer = self.get(operation, url, LIST_LIMIT).await?;
            // GitLab behaviour: 405 where the registry has no metadata database; servers before 16.10 ignore the
            // parameter and answer by offset.
            let unknown = answer.status == StatusCode::METHOD_NOT_ALLOWED
                || (answer.status.is_success() && pagination::is_offset_answer(&answer.headers));
            if unknown && doubtful {
                doubtful = false;
                continue;
            }
            if unknown {
                self.http.host.keyset().refuses(now);
                return if cursor.is_none() { Ok(None) } else { Err(incomplete(operation, Gap::ModeChanged)) };
            }
            let page: Vec<TagAnswer> = read(operation, &answer)?;
            self.http.host.keyset().works(now);
            cursor = keyset.read(&answer.headers, page.len()).map_err(|why| incomplete(operation, why))?;
            all.extend(page);
            if cursor.is_none() {
                return Ok(Some(all));
            }
        }
    }

    async fn tags_by_offset(&self, operation: Operation, tags: &Url) -> Result<Vec<TagAnswer>, Error> {
        let result = self.all_by_offset::<TagAnswer>(operation, tags).await.and_then(|all| {
            if pagination::is_saturated(all.len()) { Err(incomplete(operation, Gap::Saturated)) } else { Ok(all) }
        });
        if result.is_err() {
            // The server may have learned keyset paging since, or have failed to say that it can.
            self.http.host.keyset().forget_refusal();
        }
        result
    }

    async fn all_by_offset<T: DeserializeOwned>(&self, operation: Operation, list: &Url) -> Result<Vec<T>, Error> {
        let mut offset = Offset::new();
        let mut all = Vec::new();
        while let Some(page) = offset.next_page() {
            let mut url = list.clone();
            url.query_pairs_mut()
                .append_pair("per_page", &OFFSET_PAGE.to_string())
                .append_pair("page", &page.to_string());
            let answer = self.get(operation, url, LIST_LIMIT).await?;
            let entries: Vec<T> = read(operation, &answer)?;
            offset.read(&answer.headers, entries.len()).map_err(|why| incomplete(operation, why))?;
            all.extend(entries);
        }
        Ok(all)
    }

    pub(super) async fn get(&self, operation: Operation, url: Url, limit: usize) -> Result<Answer, Error> {
        let request = Request {
            operation,
            method: Method::GET,
            url,
            body: None,
            repeat: Repeat::Harmless,
            limit,
            failure: by_status,
        };
        self.http.send(&request).await
    }

    /// Sends a request that removes something: once.
    pub(super) async fn delete(&self, operation: Operation, url: Url, body: Option<Vec<u8>>) -> Result<Answer, Error> {
        let request = Request {
            operation,
            method: Method::DELETE,
            url,
            body,
            repeat: Repeat::OnlyUnprocessed,
            limit: OBJECT_LIMIT,
            failure: by_status,
        };
        self.http.send(&request).await
    }

    pub(super) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.http.api.clone();
        push(&mut url, segments);
        url
    }

    fn repositories_url(&self, operation: Operation, namespace: &Namespace) -> Result<Url, Error> {
        let (kind, name) = match namespace {
            Namespace::Project(project) => ("projects", project_segment(operation, project)?),
            Namespace::Group { path } => ("groups", path_segment(operation, path)?),
        };
        Ok(self.url(&[kind, &name, "registry", "repositories"]))
    }

    pub(super) fn tags_url(&self, operation: Operation, repository: &RepositoryRef) -> Result<Url, Error> {
        let project = project_segment(operation, &repository.project)?;
        Ok(self.url(&["projects", &project, "registry", "repositories", &repository.id.to_string(), "tags"]))
    }
}

pub(super) fn project_segment(operation: Operation, project: &Project) -> Result<String, Error> {
    match project {
        Project::Id(id) => Ok(id.to_string()),
        Project::Path(path) => path_segment(operation, path),
    }
}

/// A path as one segment of a URL. The few texts that a URL would swallow are nobody's path.
fn path_segment(operation: Operation, path: &str) -> Result<String, Error> {
    if matches!(path, "" | "." | "..") {
        return Err(Error::new(operation, ErrorKind::NotFound));
    }
    Ok(path.to_owned())
}

/// Adds segments, each percent-encoded as a whole: `shop/backend` becomes `shop%2Fbackend`.
pub(super) fn push(url: &mut Url, segments: &[&str]) {
    // The API's URL is http or https, which always have segments.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("api", &self.http.api.as_str()).finish_non_exhaustive()
    }
}
