//! Looks at some of the tags that are still there after a bulk request from which more was expected to go: at the
//! oldest, by one request, or by name at a few. What cannot be found out shows nothing.

use crate::gitlab::{Error, Repository, TagDetails, TagOrder, TagPage};
use crate::policy::bulk_remains::{Dates, Left, Remains, sample};
use crate::policy::compile::Rule;
use crate::policy::outcomes::bulk::Requested;
use crate::policy::protection_rules::Known;

use super::job::Job;
use crate::controller::plan::list_repositories::concerns_all;

/// What is seen of the tags that are left.
pub(super) async fn look(job: &Job<'_>, rule: &Rule, repository: &Repository, requested: &Requested) -> Remains {
    let watch = &requested.watch;
    let scanned = usize::try_from(requested.tags.scanned).unwrap_or(usize::MAX);
    match some(job, rule, repository, requested).await {
        Ok((tags, dates, rules)) => {
            let remains = Remains::of(&tags, dates, rule, watch.left().count(), scanned, job.context.clock.now());
            Remains { unknown_rules: rules == Known::No, ..remains }
        }
        Err(error) => {
            tracing::debug!(repository = repository.path, %error, "the tags that are left cannot be looked at");
            Remains::default()
        }
    }
}

/// The oldest, or a few of those that are left. Where no age matters, only whether GitLab protects them.
async fn some(
    job: &Job<'_>,
    rule: &Rule,
    repository: &Repository,
    requested: &Requested,
) -> Result<(Vec<Left>, Dates, Known), Error> {
    match oldest(job, repository).await {
        Ok(Some(tags)) => {
            let left = tags.into_iter().filter(|tag| requested.watch.is_left(&tag.name)).collect();
            // Each tag says for itself whether it may go.
            return Ok((left, Dates::GitLabs, Known::All));
        }
        Err(error) if concerns_all(&error) => return Err(error),
        Ok(None) | Err(_) => {}
    }
    let protection = job.planner().protection(repository).await?;
    let left: Vec<&str> = requested.watch.left().collect();
    let mut tags = Vec::new();
    for name in sample(&left) {
        let protected = protection.protects(name);
        let date = if protected || rule.older_than.is_none() {
            None
        } else {
            match job.client.tag(&repository.reference(), name).await? {
                Some(TagDetails { created_at, .. }) => created_at,
                None => continue,
            }
        };
        tags.push(Left { name: name.into(), date, protected });
    }
    Ok((tags, Dates::First, protection.known()))
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
