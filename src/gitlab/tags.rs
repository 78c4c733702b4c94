//! The endpoints of exact deletion: pages of tags with their dates, and removal of one tag by its name; that of many is
//! in `removals`.
//!
//! As in `client`, nothing here waits, paces or tries again, and what GraphQL is asked and answers is written in
//! `graphql` and read in `graphql_answers`. No method decides which tags go.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use url::Url;

use super::client::{Client, OBJECT_LIMIT, project_segment, push};
use super::error::{Error, ErrorKind, Operation};
use super::graphql::{self, MOST_NAMES, PAGE, Page, Part, Parts};
use super::graphql_named;
use super::graphql_responses::{self, Probed};
use super::host::Known;
use super::pagination::Gap;
use super::remembered::REMEMBERED;
use super::responses::{ErrorAnswer, ProjectAnswer, incomplete, invalid, read, refusal, unfulfilled, yes};
use super::retry::{Failure, Repeat};
use super::shared_pages::Shared;
use super::transport::{Answer, Request, by_status};
use super::types::{Capabilities, Closed, Project, RepositoryRef, TagNow, TagOrder, TagPage, TagRemoval, is_tag_name};
use crate::model::CleanupSettings;

/// How long is remembered that a project is, or is not, closed: about as long as a run looks at its repositories.
const CLOSED_REMEMBERED: SignedDuration = SignedDuration::from_mins(10);

impl Client {
    /// What the server's GraphQL can tell about tags. Needs any repository id; the token need not see it.
    ///
    /// Found out by asking for everything and leaving out what the server does not know, usually two requests;
    /// remembered for an hour for all clients of the server. A server without GraphQL is no error.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`], [`ErrorKind::InsufficientScope`]; [`ErrorKind::InvalidAnswer`] when GraphQL refuses
    /// the question for another reason.
    pub async fn capabilities(&self, repository: u64) -> Result<Capabilities, Error> {
        self.parts(repository).await.map(graphql::capabilities)
    }

    /// One page of a repository's tags, at most 20: the first, or the one after [`TagPage::next`] of a page in the same
    /// order.
    ///
    /// GitLab behaviour: this is the only way to see when a tag was last pushed. A page can end early without a word
    /// when the registry fails, and then looks like the last one; so the names of all pages together prove nothing
    /// until they are held against [`Client::tag_names`]. Without a metadata database a page takes GitLab some 50
    /// requests.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for a repository that does not exist or is hidden; [`ErrorKind::Registry`] when GitLab
    /// cannot reach its registry; [`ErrorKind::Incomplete`] when the page contradicts itself;
    /// [`ErrorKind::Unsupported`] without GraphQL, or when the server cannot sort like that;
    /// [`ErrorKind::Unauthorized`], [`ErrorKind::InsufficientScope`]; [`ErrorKind::InvalidAnswer`] for everything else
    /// that GraphQL refuses, such as a cursor that is not its own.
    pub async fn tag_page(&self, repository: u64, order: TagOrder, after: Option<&str>) -> Result<TagPage, Error> {
        self.full_page(Page { repository, order, after: after.map(str::to_owned), counted: false }).await
    }

    /// The first page of a repository's tags, those pushed longest ago, with the registry's own count of all tags, if
    /// it tells: [`TagPage::count`]. That costs GitLab one more request to its registry.
    ///
    /// # Errors
    ///
    /// As [`Client::tag_page`].
    pub async fn counted_page(&self, repository: u64) -> Result<TagPage, Error> {
        self.full_page(Page { repository, order: TagOrder::OldestPushFirst, after: None, counted: true }).await
    }

    async fn full_page(&self, wanted: Page) -> Result<TagPage, Error> {
        let parts = self.parts(wanted.repository).await?;
        if let Some(page) = self.page(&wanted, parts).await? {
            return Ok(page);
        }
        // The server is not the one it was.
        self.remembered().take();
        let parts = self.parts(wanted.repository).await?;
        let page = self.page(&wanted, parts).await?;
        page.ok_or_else(|| invalid(Operation::ReadTags, "it contradicts what the server said it knows"))
    }

    /// What up to 20 tags are now, in the order of their names: one request, each tag asked for by its name.
    ///
    /// GitLab behaviour: the name is searched for as a part of names, and a failing registry shows nothing without a
    /// word. Each tag takes GitLab a request to its registry, or two.
    ///
    /// # Errors
    ///
    /// As [`Client::tag_page`], and [`ErrorKind::NotSent`] for more than 20 names, or one that no tag can have.
    pub async fn tags_now(&self, repository: u64, names: &[&str]) -> Result<Vec<TagNow>, Error> {
        let operation = Operation::ReadTags;
        accept_names(operation, names)?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let unsupported = || Error::new(operation, ErrorKind::Unsupported { what: "reading tags by GraphQL" });
        let parts = self.parts(repository).await?.ok_or_else(unsupported)?;
        let body = graphql::names_body(parts, repository, names);
        let answer = self.ask(Operation::ReadTags, body, graphql_responses::failure).await?;
        graphql_named::named(operation, &answer, names)
    }

    /// Removes one tag: DELETE `…/tags/:tag_name`. Needs the Developer role and the scope `api`.
    ///
    /// **Only for servers of which [`Version::removes_single_tags`](super::Version::removes_single_tags) holds**: older
    /// ones remove every tag that points at the same image.
    ///
    /// Sent once, like [`Client::bulk_delete`], and **not to be dropped** either.
    ///
    /// GitLab behaviour: for a missing tag it answers 404 up to 15, 200 up to 17, and since then 403 with a metadata
    /// database, as for a protected one, and 200 without. A 200 therefore does not prove that this request removed it.
    /// A 403 is therefore followed by a look at the tag, and if it is not found, by a list of all names, since not
    /// finding is no proof; a list without any names proves nothing either. A 404 is believed, although servers up to
    /// 15 also answer it for an OCI index in a registry without metadata database.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AnswerLost`] or [`ErrorKind::ForeignAnswer`] when it was sent and no answer tells its fate;
    /// [`ErrorKind::Registry`] when the
    /// registry failed, which may have been after the removal; [`ErrorKind::Forbidden`] when it was refused and nothing
    /// shows whether the tag is there. After every other error it was not removed: [`ErrorKind::NotSent`] for a name
    /// that no tag can have, [`ErrorKind::Refused`], [`ErrorKind::Moved`], [`ErrorKind::NotFound`] for project and
    /// repository, [`ErrorKind::InsufficientScope`], [`ErrorKind::Unauthorized`], and what [`Client::tag`] and
    /// [`Client::tag_names`] fail with.
    pub async fn delete_tag(&self, repository: &RepositoryRef, name: &str) -> Result<TagRemoval, Error> {
        let operation = Operation::RemoveTag;
        if !is_tag_name(name) {
            return Err(Error::new(operation, ErrorKind::NotSent { what: "the name is not one that a tag can have" }));
        }
        let mut url = self.tags_url(operation, repository)?;
        push(&mut url, &[name]);
        let answer = self.delete(operation, url, None).await?;
        let text = ErrorAnswer::of(&answer);
        match answer.status.as_u16() {
            200..=299 => yes(operation, &answer, 200).map(|()| TagRemoval::Gone),
            400 if !text.is_about_parameters() => Err(Error::new(operation, ErrorKind::Registry)),
            403 if text.is_about_protected_tags() => Ok(TagRemoval::Protected),
            403 => match refusal(operation, &answer) {
                error if *error.kind() == ErrorKind::Forbidden => self.refused(repository, name, error).await,
                error => Err(error),
            },
            404 if text.is_missing_tag() => Ok(TagRemoval::AlreadyGone),
            405 if text.is_moved() => Err(Error::new(operation, ErrorKind::Moved)),
            _ => Err(unfulfilled(operation, &answer)),
        }
    }

    /// Whether GitLab's own cleanup policy is switched on in a project: GET `/projects/:id` (policies since 12.8).
    ///
    /// `None` when nothing is known: an old server, or a token that may not see the policy or the project.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`], [`ErrorKind::InsufficientScope`]; [`ErrorKind::InvalidAnswer`] when GitLab sends
    /// another project.
    pub async fn cleanup_policy_enabled(&self, project: &Project) -> Result<Option<bool>, Error> {
        let found = self.project(Operation::ReadCleanupPolicy, project).await?;
        Ok(found.and_then(|found| found.cleanup_policy_enabled()))
    }

    /// GitLab's own cleanup policy of a project, in full.
    ///
    /// `None` when nothing is known, as for [`Client::cleanup_policy_enabled`]; also where a part of it is missing or
    /// not understood.
    ///
    /// # Errors
    ///
    /// As [`Client::cleanup_policy_enabled`].
    pub async fn cleanup_settings(&self, project: &Project) -> Result<Option<CleanupSettings>, Error> {
        let found = self.project(Operation::ReadCleanupPolicy, project).await?;
        Ok(found.and_then(ProjectAnswer::cleanup_settings))
    }

    /// Why nobody may change the images of a project, if GitLab says that this is so: GET `/projects/:id`. `None` where
    /// nothing is known as well. Remembered for a few minutes, for all clients of the host.
    ///
    /// # Errors
    ///
    /// As [`Client::cleanup_policy_enabled`].
    pub async fn closed(&self, project: &Project) -> Result<Option<Closed>, Error> {
        let now = self.http.clock.now();
        let key = (self.http.api.clone(), project.clone());
        let fresh = |(_, since): &(Option<Closed>, Timestamp)| now.duration_since(*since) < CLOSED_REMEMBERED;
        if let Some((closed, _)) = self.http.host.closed().get(&key).copied().filter(fresh) {
            return Ok(closed);
        }
        let found = self.project(Operation::ReadProject, project).await?;
        let closed = found.and_then(|found| found.closed());
        let mut known = self.http.host.closed();
        known.retain(|_, known| fresh(known));
        known.insert(key, (closed, now));
        Ok(closed)
    }

    /// What GitLab tells of a project, if it tells anything.
    async fn project(&self, operation: Operation, project: &Project) -> Result<Option<ProjectAnswer>, Error> {
        let url = self.url(&["projects", &project_segment(operation, project)?]);
        let answer = self.get(operation, url, OBJECT_LIMIT).await?;
        let found: ProjectAnswer = match read(operation, &answer) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::Forbidden | ErrorKind::MissingGrant(_) | ErrorKind::Page { .. }
                ) =>
            {
                return Ok(None);
            }
            result => result?,
        };
        if matches!(project, Project::Id(id) if *id != found.id) {
            return Err(invalid(operation, "it is about another project"));
        }
        Ok(Some(found))
    }

    /// What a 403 means: the tag is protected, or gone.
    async fn refused(&self, repository: &RepositoryRef, name: &str, error: Error) -> Result<TagRemoval, Error> {
        if self.tag(repository, name).await?.is_some() {
            return Ok(TagRemoval::Protected);
        }
        let names = self.tag_names(repository).await?;
        if names.is_empty() {
            return Err(error);
        }
        let there = names.iter().any(|other| &**other == name);
        Ok(if there { TagRemoval::Protected } else { TagRemoval::AlreadyGone })
    }

    /// `None` when the server does not know the query. A server that has told pushes within the hour and tells none is
    /// asked again: its question whether there is a metadata database may have failed, and then it dates tags by their
    /// builds.
    async fn page(&self, wanted: &Page, parts: Option<Parts>) -> Result<Option<TagPage>, Error> {
        if !parts.is_some_and(|parts| parts.has(Part::PublishedAt)) {
            return self.whole_page(wanted, parts).await;
        }
        for _ in 0..2 {
            let page = self.whole_page(wanted, parts).await?;
            let Some(TagPage { tags, .. }) = &page else { return Ok(page) };
            let told = tags.iter().any(|tag| tag.published_at.is_some());
            if self.http.host.tells_pushes(&self.http.api, told || tags.is_empty(), told, self.http.clock.now()) {
                return Ok(page);
            }
        }
        Err(Error::new(Operation::ReadTags, ErrorKind::Registry))
    }

    /// What GitLab fails at is asked for again without sizes, and then in
    /// smaller and smaller pages, which come to the same: one tag without layers, or one that takes long, is no reason
    /// never to read its repository.
    async fn whole_page(&self, wanted: &Page, parts: Option<Parts>) -> Result<Option<TagPage>, Error> {
        let unsupported =
            || Error::new(Operation::ReadTags, ErrorKind::Unsupported { what: "reading tags by GraphQL" });
        let parts = parts.ok_or_else(unsupported)?;
        let _alone = match self.shared_page(parts, wanted).await? {
            Shared::Told(page) => return Ok(Some(page)),
            Shared::Alone(permit) => permit,
        };
        let without_sizes = parts.without(Part::TotalSize);
        let (Page { repository, order, counted, .. }, after) = (wanted, wanted.after.as_deref());
        let failure = graphql_responses::failure_of_large;
        let mut part =
            PartOfPage { repository: *repository, parts, order: *order, first: PAGE, counted: *counted, failure };
        for (smaller, first) in [(without_sizes, PAGE), (without_sizes, 5), (without_sizes, 1)] {
            match self.joined(&part, after).await {
                Err(error) if error.is_too_much() => (part.parts, part.first, part.counted) = (smaller, first, false),
                page => return page,
            }
        }
        part.failure = graphql_responses::failure;
        self.joined(&part, after).await
    }

    /// A page that is put together from parts.
    async fn joined(&self, part: &PartOfPage, after: Option<&str>) -> Result<Option<TagPage>, Error> {
        let mut page = TagPage { tags: Vec::new(), next: after.map(str::to_owned), count: None };
        loop {
            let Some(told) = self.part(part, page.next.as_deref()).await? else { return Ok(None) };
            page.tags.extend(told.tags);
            (page.next, page.count) = (told.next, told.count);
            if page.next.is_none() || page.tags.len() >= PAGE {
                break;
            }
        }
        let mut names = HashSet::new();
        if page.tags.iter().all(|tag| names.insert(&tag.name)) {
            Ok(Some(page))
        } else {
            Err(incomplete(Operation::ReadTags, Gap::Duplicate))
        }
    }

    async fn part(&self, part: &PartOfPage, after: Option<&str>) -> Result<Option<TagPage>, Error> {
        let operation = Operation::ReadTags;
        let PartOfPage { repository, parts, order, first, counted, failure } = *part;
        let unsupported = || Error::new(operation, ErrorKind::Unsupported { what: "sorting tags by their last push" });
        let query = graphql::page_query(parts, order, first, counted).ok_or_else(unsupported)?;
        let answer = self.query(repository, &query, after, failure).await?;
        graphql_responses::page(operation, &answer, after)
    }

    /// What the server knows: as remembered, or found out now.
    pub(super) async fn parts(&self, repository: u64) -> Result<Option<Parts>, Error> {
        if let Some(known) = self.known() {
            return Ok(known.parts);
        }
        let _probing = tokio::select! {
            biased;
            () = self.http.gate.stopped() => return Err(Error::new(Operation::ReadTags, ErrorKind::Stopped)),
            probing = self.http.host.probing.lock() => probing,
        };
        if let Some(known) = self.known() {
            return Ok(known.parts);
        }
        let since = self.http.clock.now();
        let parts = self.probe(repository).await?;
        *self.remembered() = Some(Known { api: self.http.api.clone(), parts, since });
        Ok(parts)
    }

    fn known(&self) -> Option<Known> {
        let now = self.http.clock.now();
        let fresh = |known: &&Known| known.api == self.http.api && now.duration_since(known.since) < REMEMBERED;
        self.remembered().as_ref().filter(fresh).cloned()
    }

    async fn probe(&self, repository: u64) -> Result<Option<Parts>, Error> {
        let mut parts = Parts::ALL;
        loop {
            let query = graphql::probe_query(parts);
            let answer = match self.query(repository, &query, None, by_status).await {
                // To a sign-in page, for one.
                Err(error) if matches!(error.kind(), ErrorKind::Redirected { .. }) => return Ok(None),
                answer => answer?,
            };
            match graphql_responses::probed(Operation::ReadTags, &answer, parts)? {
                Probed::Known => return Ok(Some(parts)),
                // Fewer each time, so this ends.
                Probed::Less(fewer) => parts = fewer,
                Probed::Nothing => return Ok(None),
            }
        }
    }

    async fn query(
        &self,
        repository: u64,
        query: &str,
        after: Option<&str>,
        failure: fn(&Answer) -> Option<Failure>,
    ) -> Result<Answer, Error> {
        self.ask(Operation::ReadTags, graphql::page_body(query, repository, after), failure).await
    }

    /// Asks GraphQL something, which changes nothing.
    pub(super) async fn ask(
        &self,
        operation: Operation,
        body: Option<Vec<u8>>,
        failure: fn(&Answer) -> Option<Failure>,
    ) -> Result<Answer, Error> {
        let request = Request {
            operation,
            method: Method::POST,
            url: self.graphql_url(operation)?,
            body: Some(body.ok_or_else(|| invalid(operation, "the request cannot be written"))?),
            repeat: Repeat::Harmless,
            limit: OBJECT_LIMIT,
            failure,
        };
        self.http.send(&request).await
    }

    /// Beside the REST API, below the same path.
    pub(super) fn graphql_url(&self, operation: Operation) -> Result<Url, Error> {
        self.http.api.join("../graphql").map_err(|_| invalid(operation, "its address cannot be written"))
    }

    fn remembered(&self) -> MutexGuard<'_, Option<Known>> {
        // The value is valid between any two statements.
        self.http.host.graphql.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a page, or a part of it, is asked for with.
struct PartOfPage {
    repository: u64,
    parts: Parts,
    order: TagOrder,
    first: usize,
    counted: bool,
    failure: fn(&Answer) -> Option<Failure>,
}

/// Whether these names may go into one request.
pub(super) fn accept_names(operation: Operation, names: &[&str]) -> Result<(), Error> {
    let what = if names.len() > MOST_NAMES {
        "GitLab takes at most 20 tags at once"
    } else if names.iter().all(|name| is_tag_name(name)) {
        return Ok(());
    } else {
        "a name is not one that a tag can have"
    };
    Err(Error::new(operation, ErrorKind::NotSent { what }))
}
