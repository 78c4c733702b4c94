//! Reads the tags of a repository that were pushed last, the newest first, page by page, as long as the pages hold
//! together.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::gitlab::{Client, Error, Repository, Tag, TagOrder};
use crate::policy::inventory::ascends;
use crate::policy::paging;

use super::tag_reader::PAGE;

/// The pages that were read so far.
pub(crate) struct NewestPages<'a> {
    client: &'a Client,
    repository: &'a Repository,
    proof: paging::Pages,
    names: HashSet<Box<str>>,
    /// The pushes of the page that was read last, the oldest first.
    pushes: Vec<Option<Timestamp>>,
    cursor: Option<String>,
}

impl<'a> NewestPages<'a> {
    /// None is read yet.
    pub(crate) fn new(client: &'a Client, repository: &'a Repository) -> Self {
        let (proof, names) = (paging::Pages::new(true), HashSet::new());
        Self { client, repository, proof, names, pushes: Vec::new(), cursor: None }
    }

    /// The tags of the next page. `None` where it does not go on where the one before ended: its tags are not older,
    /// one came before, or it is not full although there is another one.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Tag>>, Error> {
        let Self { client, repository, cursor, .. } = self;
        let page = client.tag_page(repository.id, TagOrder::NewestPushFirst, cursor.as_deref()).await?;
        let pushes: Vec<Option<Timestamp>> = page.tags.iter().rev().map(|tag| tag.published_at).collect();
        if !ascends(None, pushes.iter().chain(self.pushes.first()).copied())
            || (page.next.is_some() && page.tags.len() != PAGE)
            || !page.tags.iter().all(|tag| self.names.insert(tag.name.clone()))
        {
            return Ok(None);
        }
        self.proof.note(page.tags.iter().map(|tag| &*tag.name));
        self.pushes = pushes;
        self.cursor = page.next;
        Ok(Some(page.tags))
    }

    /// Whether the page that was read last was the last one. Pages can also end early because the registry failed.
    pub(crate) fn have_ended(&self) -> bool {
        self.cursor.is_none()
    }

    /// Whether the pages prove that they skipped none.
    pub(crate) fn are_right(&self) -> bool {
        self.proof.are_right()
    }
}
