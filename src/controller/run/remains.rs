//! Looks at the oldest tags that are still there after a bulk request from which more was expected to go. One request;
//! what cannot be found out shows nothing.

use crate::gitlab::{Error, Repository, TagOrder, TagPage};
use crate::policy::bulk_remains::{Left, Remains};
use crate::policy::compile::Rule;
use crate::policy::outcomes::bulk::Requested;

use super::job::Job;

/// What is seen of the tags that are left.
pub(super) async fn look(job: &Job<'_>, rule: &Rule, repository: &Repository, requested: &Requested) -> Remains {
    let watch = &requested.watch;
    let scanned = usize::try_from(requested.tags.scanned).unwrap_or(usize::MAX);
    match oldest(job, repository).await {
        Ok(Some(tags)) => {
            let left: Vec<Left> = tags.into_iter().filter(|tag| watch.is_left(&tag.name)).collect();
            Remains::of(&left, rule, watch.left().count(), scanned, job.context.clock.now())
        }
        Ok(None) => Remains::default(),
        Err(error) => {
            tracing::debug!(repository = repository.path, %error, "the tags that are left cannot be looked at");
            Remains::default()
        }
    }
}

/// The oldest tags by push, or, where it is certain that the registry has no metadata database, some tags with the
/// dates of their builds: in either case by what GitLab itself goes by. `None` where GitLab does not tell.
async fn oldest(job: &Job<'_>, repository: &Repository) -> Result<Option<Vec<Left>>, Error> {
    let capabilities = job.client.capabilities(repository.id).await?;
    if !(capabilities.sorts_by_push && capabilities.published_at) {
        return Ok(None);
    }
    let TagPage { tags, .. } = job.client.tag_page(repository.id, TagOrder::OldestPushFirst, None).await?;
    let pushes = tags.iter().filter(|tag| tag.published_at.is_some()).count();
    if pushes != 0 && pushes != tags.len() {
        return Ok(None);
    }
    let left = tags.into_iter().map(|tag| Left {
        date: tag.published_at.or(tag.created_at),
        protected: tag.protected,
        name: tag.name,
    });
    Ok(Some(left.collect()))
}
