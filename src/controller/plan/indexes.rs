//! Looks into indexes, where what is inside of them decides about attachments.

use std::cmp::Reverse;

use crate::gitlab::{Error, Repository};
use crate::policy::attachment;
use crate::policy::inventory::Inventory;
use crate::policy::plan::attachments::Children;
use crate::policy::tag::Tag;

use super::list_repositories::concerns_all;
use super::planner::Planner;

/// Most indexes of a repository that GitLab is asked for in one plan. What it told once is remembered.
const MAX_INDEXES: usize = 50;

impl Planner<'_> {
    /// What is inside of the indexes of a repository that has attachments, as far as GitLab tells: those of images
    /// first, of these the newest.
    pub(super) async fn children(&self, inventory: &Inventory, repository: &Repository) -> Result<Children, Error> {
        let attached = |tag: &Tag| attachment::subject(&tag.name).is_some();
        let mut children = Children::new();
        if !inventory.read.iter().any(|tag| attached(tag) || !tag.manifest.referrers().is_empty()) {
            return Ok(children);
        }
        let mut indexes: Vec<&Tag> = inventory.read.iter().filter(|tag| tag.manifest.is_index()).collect();
        indexes.sort_by_key(|tag| (attached(tag), Reverse(tag.pushed)));
        let mut asked = 0;
        for tag in indexes {
            let Some(digest) = &tag.digest else { continue };
            if let Some(known) = self.reader.client.known_children(digest) {
                children.insert(digest.clone(), known);
            } else if asked < MAX_INDEXES && !children.contains_key(digest) {
                asked += 1;
                match self.reader.client.index_children(repository.id, &tag.name, digest).await {
                    Ok(Some(told)) => _ = children.insert(digest.clone(), told),
                    Ok(None) => {}
                    Err(error) if concerns_all(&error) => return Err(error),
                    // The others would take as long to fail.
                    Err(_) => asked = MAX_INDEXES,
                }
            }
        }
        Ok(children)
    }
}
