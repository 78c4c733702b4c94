//! Reads of a repository's tags what the rules need: by GraphQL, 20 tags a request, or tag by tag where GitLab has no GraphQL.
//! What may be concluded from it is decided by `policy::inventory`.

use std::collections::HashSet;

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::api::SortBy;
use crate::gitlab::{Capabilities, Error, Repository, Tag, TagOrder};
use crate::policy::compile::Rule;
use crate::policy::inventory::{Inventory, Need, Seen, ascends, assemble, need};
use crate::policy::plan::exact::Moment;

use super::run::Job;

/// Tags in one full page. GitLab behaviour: it shows no more, and loses tags when more are asked for.
const PAGE: usize = 20;
/// Requests for the details of tags under way at the same time.
const DETAILS_IN_FLIGHT: usize = 8;

/// What was read, and how.
pub(crate) struct Taken {
    pub(crate) inventory: Inventory,
    /// Whether tags can be removed by GraphQL, several at a time.
    pub(crate) graphql: bool,
    /// Whether every tag that was read says when it was last pushed.
    pub(crate) pushes_known: bool,
    /// Whether the newest pushes can be asked for.
    pub(crate) sorts_by_push: bool,
    /// When the reading began: what was pushed later is not in it, or is in it as older than it is.
    pub(crate) at: Timestamp,
}

/// Why there is no inventory.
pub(crate) enum Failure {
    /// GitLab did not do its part.
    GitLab(Error),
    /// The parts do not fit together, twice in a row.
    Incomplete,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::GitLab(error)
    }
}

/// Reads a repository. Parts that do not fit together are read once more: somebody may have pushed in between.
pub(crate) async fn read(job: &Job<'_>, rules: &[Rule], repository: &Repository) -> Result<Taken, Failure> {
    let capabilities = job.client.capabilities(repository.id).await?;
    match attempt(job, rules, repository, capabilities).await {
        Err(Failure::Incomplete) => attempt(job, rules, repository, capabilities).await,
        taken => taken,
    }
}

async fn attempt(
    job: &Job<'_>,
    rules: &[Rule],
    repository: &Repository,
    capabilities: Capabilities,
) -> Result<Taken, Failure> {
    let at = job.context.clock.now();
    if capabilities.graphql {
        return by_graphql(job, rules, repository, capabilities, at).await;
    }
    let inventory = by_rest(job, rules, repository, at).await?;
    Ok(Taken { inventory, graphql: false, pushes_known: false, sorts_by_push: false, at })
}

async fn by_graphql(
    job: &Job<'_>,
    rules: &[Rule],
    repository: &Repository,
    capabilities: Capabilities,
    at: Timestamp,
) -> Result<Taken, Failure> {
    let sorts = capabilities.sorts_by_push && capabilities.published_at;
    let mut need = need(rules, sorts, at);
    let mut pages = pages(job, repository, need.until).await?;
    if !pages.ascending {
        // The order cannot be trusted, so neither can the place where reading stopped.
        need = Need { until: None, names: true };
        pages = self::pages(job, repository, None).await?;
    }
    let names = if need.names { Some(job.client.tag_names(&repository.reference()).await?) } else { None };
    // GitLab behaviour: without a metadata database it takes the order, ignores it, and knows no pushes.
    let pushes_known = pages.tags.iter().all(|tag| tag.published_at.is_some());
    let read = pages.tags.into_iter().map(|tag| seen(tag, at)).collect();
    let inventory = assemble(read, pages.to_the_end, names).map_err(|_| Failure::Incomplete)?;
    Ok(Taken { inventory, graphql: true, pushes_known, sorts_by_push: sorts && pushes_known, at })
}

struct Pages {
    tags: Vec<Tag>,
    /// The pages came to their end, not to the moment up to which they were wanted.
    to_the_end: bool,
    ascending: bool,
}

/// Reads page after page, up to a moment or to the end.
async fn pages(job: &Job<'_>, repository: &Repository, until: Option<Timestamp>) -> Result<Pages, Failure> {
    let order = if until.is_some() { TagOrder::OldestPushFirst } else { TagOrder::Name };
    let mut pages = Pages { tags: Vec::new(), to_the_end: false, ascending: true };
    let mut names: HashSet<Box<str>> = HashSet::new();
    let mut cursors: HashSet<String> = HashSet::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = job.client.tag_page(repository.id, order, cursor.as_deref()).await?;
        if (page.next.is_some() && page.tags.len() != PAGE)
            || !page.tags.iter().all(|tag| names.insert(tag.name.clone()))
        {
            return Err(Failure::Incomplete);
        }
        let last = pages.tags.last().and_then(|tag| tag.published_at);
        let pushes = page.tags.iter().map(|tag| tag.published_at);
        if until.is_some() && !ascends(last, pushes) {
            pages.ascending = false;
            return Ok(pages);
        }
        let reached = until.is_some_and(|until| page.tags.iter().any(|tag| tag.published_at >= Some(until)));
        pages.tags.extend(page.tags);
        if reached {
            return Ok(pages);
        }
        match page.next {
            None => {
                pages.to_the_end = true;
                return Ok(pages);
            }
            Some(next) if cursors.insert(next.clone()) => cursor = Some(next),
            Some(_) => return Err(Failure::Incomplete),
        }
    }
}

fn seen(tag: Tag, now: Timestamp) -> Seen {
    Seen {
        pushed: Moment::read(tag.published_at.or(tag.created_at), now),
        created: Moment::read(tag.created_at, now),
        name: tag.name,
        digest: tag.digest,
        protected: tag.protected,
        bytes: tag.total_size,
    }
}

/// Lists the names and reads the details of those tags whose date or digest can matter.
async fn by_rest(job: &Job<'_>, rules: &[Rule], repository: &Repository, now: Timestamp) -> Result<Inventory, Failure> {
    let names = job.client.tag_names(&repository.reference()).await?;
    let reads = stream::iter(names).map(|name| details(job, rules, repository, name, now));
    let read = reads.buffered(DETAILS_IN_FLIGHT).try_collect().await?;
    Ok(Inventory { read, newer: Vec::new() })
}

async fn details(
    job: &Job<'_>,
    rules: &[Rule],
    repository: &Repository,
    name: Box<str>,
    now: Timestamp,
) -> Result<Seen, Error> {
    let matters = rules.iter().find(|rule| rule.delete.matches(&name)).is_some_and(|rule| {
        let ranked = rule.keep_n.is_some_and(|n| n > 0) && matches!(rule.sort_by, SortBy::PushedAt | SortBy::CreatedAt);
        let kept = rule.keep.as_ref().is_some_and(|keep| keep.matches(&name));
        (ranked || rule.older_than.is_some()) && !kept
    });
    let stays = &*name == "latest" || job.policy.protect.iter().any(|pattern| pattern.matches(&name));
    // A tag that cannot be read may be gone or of a kind that has no date; either way its age is not known.
    let tag = if matters && !stays { job.client.tag(&repository.reference(), &name).await? } else { None };
    let created = Moment::read(tag.as_ref().and_then(|tag| tag.created_at), now);
    Ok(Seen {
        name,
        digest: tag.as_ref().and_then(|tag| tag.digest.as_deref().map(Box::from)),
        pushed: created,
        created,
        protected: false,
        bytes: tag.and_then(|tag| tag.total_size),
    })
}
