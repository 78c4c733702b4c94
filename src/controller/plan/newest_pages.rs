//! Reads the tags of a repository that were pushed last, the newest first, page by page, as long as the pages hold
//! together.

use crate::gitlab::{Client, Error, Repository, Tag, TagOrder};
use crate::policy::newest::Pages;

use super::tag_reader::PAGE;

/// The pages that were read so far.
pub(crate) struct NewestPages<'a> {
    client: &'a Client,
    repository: &'a Repository,
    read: Pages,
    cursor: Option<String>,
}

impl<'a> NewestPages<'a> {
    /// None is read yet.
    pub(crate) fn new(client: &'a Client, repository: &'a Repository) -> Self {
        Self { client, repository, read: Pages::new(PAGE), cursor: None }
    }

    /// The tags of the next page. `None` where it does not go on where the one before ended, or is not full although
    /// there is another one.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Tag>>, Error> {
        let Self { client, repository, cursor, .. } = self;
        let page = client.tag_page(repository.id, TagOrder::NewestPushFirst, cursor.as_deref()).await?;
        let told = page.tags.iter().map(|tag| (&*tag.name, tag.published_at));
        if !self.read.go_on(told, page.next.is_some()) {
            return Ok(None);
        }
        self.cursor = page.next;
        Ok(Some(page.tags))
    }

    /// Whether the page that was read last was the last one. Pages can also end early because the registry failed.
    pub(crate) fn have_ended(&self) -> bool {
        self.cursor.is_none()
    }

    /// Whether the pages prove that they skipped none.
    pub(crate) fn are_right(&self) -> bool {
        self.read.are_right()
    }
}
