//! Reads pages of tags in documents that several readers share.
//!
//! What is in doubt is asked for alone, by `tags`: a page that GitLab failed at, one that is not complete, and all of a
//! document that was refused or not answered. So one repository that cannot be read does not spoil its neighbours.

use reqwest::Method;
use tokio::sync::SemaphorePermit;

use super::client::{Client, OBJECT_LIMIT};
use super::document_size::Seen;
use super::documents::{self, Parted};
use super::error::{Error, ErrorKind, Operation, Unreached};
use super::graphql::{PAGE, Page, Parts};
use super::graphql_responses;
use super::page_queue::{Told, Turn, Wanted};
use super::retry::{Failure, Repeat};
use super::transport::{Answer, Request, by_status};
use super::types::TagPage;

/// What came of a page that was wanted.
pub(super) enum Shared<'q> {
    /// It was told.
    Told(TagPage),
    /// It is to be asked for alone. While there is a permit, that counts as a document under way.
    Alone(Option<SemaphorePermit<'q>>),
}

/// Only what says that it was not begun with is sent again as it is.
fn failure_of_document(answer: &Answer) -> Option<Failure> {
    by_status(answer).filter(|failure| failure.is_throttle())
}

/// Whether the same would be said of each page alone.
const fn concerns_each(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Stopped
            | ErrorKind::DeadlineReached
            | ErrorKind::RateLimited { .. }
            | ErrorKind::Paused { .. }
            | ErrorKind::Unauthorized(_)
            | ErrorKind::InsufficientScope
    )
}

/// Whether a page can be taken as it is.
fn counts(page: Option<TagPage>) -> Told {
    page.filter(|page| page.next.is_none() || page.tags.len() == PAGE).map(Ok)
}

/// Pages that are wanted, and how many more would be read at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagesWanted {
    /// Wanted or on their way just now, over this connection.
    pub now: usize,
    /// So many more fit into the documents that may be under way at the same time.
    pub room: usize,
}

impl Client {
    /// How many pages are wanted just now, and how many more would be read at the same time.
    #[must_use]
    pub fn pages_wanted(&self) -> PagesWanted {
        let sizes = self.http.host.sizes();
        let (off, reads) = (sizes.is_off(), sizes.reads());
        drop(sizes);
        let now = self.http.pages.as_ref().map_or(0, |pages| pages.wanted());
        let most = if off { 0 } else { reads.saturating_mul(self.http.host.in_flight) };
        PagesWanted { now, room: most.saturating_sub(now) }
    }

    /// Whether cursors may be guessed: the server did nothing else with one than was thought, within a day.
    #[must_use]
    pub fn may_guess(&self) -> bool {
        self.http.host.may_guess(&self.http.api, self.http.clock.now())
    }

    /// Takes note that the server did something else with a guessed cursor than was thought.
    pub fn refute_guesses(&self) {
        tracing::info!("GitLab pages tags by push in a way that is not known: pages are read one after the other");
        self.http.host.refute_guesses(&self.http.api, self.http.clock.now());
    }

    /// A full page, out of a document with pages that others want at the same time.
    ///
    /// # Errors
    ///
    /// Those that would be said of it alone as well, such as [`ErrorKind::Stopped`].
    pub(super) async fn shared_page(&self, parts: Parts, page: &Page) -> Result<Shared<'_>, Error> {
        // What belongs to a request whose turn has come waits for nobody else.
        let Some(pages) = self.http.pages.as_ref().filter(|_| !self.http.host.sizes().is_off()) else {
            return Ok(Shared::Alone(None));
        };
        let most = || self.http.host.sizes().reads().min(documents::most_pages(parts));
        let stopped = || Error::new(Operation::ReadTags, ErrorKind::Stopped);
        let told = loop {
            let mut place = pages.stand(parts, page.clone());
            let turn = tokio::select! {
                biased;
                () = self.http.gate.stopped() => return Err(stopped()),
                turn = place.turn(most) => turn,
            };
            match turn {
                Turn::Told(told) => break told,
                Turn::Again => {}
                Turn::Send(document, permit) if document.len() == 1 => return Ok(Shared::Alone(Some(permit))),
                Turn::Send(document, _permit) => break self.read_document(parts, document, page).await,
            }
        };
        Ok(told.transpose()?.map_or(Shared::Alone(None), Shared::Told))
    }

    /// Sends a document, tells everybody else what it came to, and answers what it came to for one of its pages.
    async fn read_document(&self, parts: Parts, document: Vec<Wanted>, own: &Page) -> Told {
        let pages: Vec<Page> = document.iter().map(|wanted| wanted.page.clone()).collect();
        let mut told = self.pages(parts, &pages).await;
        let mut mine = None;
        told.resize(pages.len(), None);
        for (wanted, told) in document.into_iter().zip(told) {
            if wanted.page == *own {
                mine = told;
            } else {
                wanted.tell(told);
            }
        }
        mine
    }

    /// What a document with these pages says of each of them.
    async fn pages(&self, parts: Parts, pages: &[Page]) -> Vec<Told> {
        let operation = Operation::ReadTags;
        let (Some(body), Ok(url)) = (documents::pages_body(parts, pages), self.graphql_url(operation)) else {
            return Vec::new();
        };
        let request = Request {
            operation,
            method: Method::POST,
            url,
            body: Some(body),
            repeat: Repeat::HarmlessInParts,
            limit: OBJECT_LIMIT,
            failure: failure_of_document,
        };
        let items = pages.len();
        let note = |seen| self.http.host.sizes().note_reads(seen);
        let answer = match self.http.send(&request).await {
            Ok(answer) => answer,
            Err(error) if concerns_each(&error) => return vec![Some(Err(error)); items],
            Err(error) => {
                if error.is_too_much() || matches!(error.kind(), ErrorKind::Unreachable(Unreached::Broken)) {
                    note(Seen::TooMuch { items });
                }
                return Vec::new();
            }
        };
        if answer.status.is_server_error() {
            note(Seen::TooMuch { items });
            return Vec::new();
        }
        if documents::is_too_complex(&answer) {
            note(Seen::Refused { items });
            return Vec::new();
        }
        let answers = documents::parted(Parted::Pages, &answer, items);
        let read = |(page, answer): (&Page, &Answer)| graphql_responses::page(operation, answer, page.after.as_deref());
        let read: Vec<_> = pages.iter().zip(&answers).map(read).collect();
        if read.iter().any(|page| page.as_ref().is_err_and(Error::is_too_much)) {
            note(Seen::TooMuch { items });
        } else if read.iter().all(Result::is_ok) {
            note(Seen::Answered { items, took: answer.took });
        }
        let told = |page: Result<Option<TagPage>, Error>| match page {
            Ok(page) => counts(page),
            Err(error) if concerns_each(&error) => Some(Err(error)),
            Err(_) => None,
        };
        read.into_iter().map(told).collect()
    }
}
