//! The endpoints that tell what images are made of: the images inside of an index, and the configurations of images.
//! Asked where somebody uses an image by either, which no tag points at.
//!
//! What an index contains never changes, so it is remembered by its digest, for all clients of the host.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::client::Client;
use super::contents_responses::{self, Inside};
use super::error::{Error, Operation};
use super::graphql;
use super::graphql_responses;
use super::remembered::{Contents, REMEMBERED, Way};
use super::transport::by_status;
use super::types::{ImagePage, is_tag_name};
use crate::model::Digest;

impl Client {
    /// The digests of the images in an index, as far as somebody asked before.
    #[must_use]
    pub fn known_children(&self, digest: &Digest) -> Option<Arc<[Digest]>> {
        self.lock().children.get(digest).cloned()
    }

    /// The digests of all images in the index that a tag points at by this digest, each known to be a single image
    /// (GraphQL's `tagDetails`, or `manifest` where there is no such field). `None` where the server does not tell, or
    /// not everything: the fields are not known to it, the tag points at something else by now or at no index, the
    /// index contains another one.
    ///
    /// Costs GitLab a request to its registry. One question, and one more the first time in an hour for each field that
    /// the server does not know; none where it knows neither.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`](super::ErrorKind::Unauthorized),
    /// [`ErrorKind::InsufficientScope`](super::ErrorKind::InsufficientScope).
    pub async fn index_children(
        &self,
        repository: u64,
        tag: &str,
        digest: &Digest,
    ) -> Result<Option<Arc<[Digest]>>, Error> {
        let operation = Operation::ReadTag;
        if let Some(known) = self.known_children(digest) {
            return Ok(Some(known));
        }
        if !is_tag_name(tag) {
            return Ok(None);
        }
        let mut way = self.way();
        loop {
            let inside = match way {
                Way::TagDetails => {
                    let answer = self.ask(operation, graphql::tag_details_body(repository, tag), by_status).await?;
                    contents_responses::tag_details(operation, &answer, digest)?
                }
                Way::Manifest => {
                    let answer =
                        self.ask(operation, graphql::manifest_body(repository, &digest.text()), by_status).await?;
                    contents_responses::manifest(operation, &answer)?
                }
                Way::No => return Ok(None),
            };
            match inside {
                Inside::Told(children) => return Ok(Some(self.lock().remember(digest, children.into()))),
                Inside::Untold => return Ok(None),
                Inside::NoSuchField => {
                    way = way.next();
                    self.lock().way = Some((self.http.api.clone(), way, self.http.clock.now()));
                }
            }
        }
    }

    /// One page of a repository's images with the digests of their configurations, in the order of the tags' names: the
    /// first, or the one after [`ImagePage::next`]. `None` where there is no GraphQL.
    ///
    /// # Errors
    ///
    /// As [`Client::tag_page`].
    pub async fn image_page(&self, repository: u64, after: Option<&str>) -> Result<Option<ImagePage>, Error> {
        let operation = Operation::ReadTags;
        let Some(parts) = self.parts(repository).await? else { return Ok(None) };
        let body = graphql::page_body(&graphql::image_query(parts), repository, after);
        let answer = self.ask(operation, body, graphql_responses::failure).await?;
        graphql_responses::images(operation, &answer, after)
    }

    fn way(&self) -> Way {
        let now = self.http.clock.now();
        match &self.lock().way {
            Some((api, way, since)) if *api == self.http.api && now.duration_since(*since) < REMEMBERED => *way,
            _ => Way::TagDetails,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // The value is valid between any two statements.
        self.http.host.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
