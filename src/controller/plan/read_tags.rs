//! Reads of a repository's tags what the rules need: by GraphQL, 20 tags a request, or tag by tag where GitLab has no
//! GraphQL. What may be concluded from it is decided by `policy::inventory`.

use std::collections::{HashMap, HashSet};

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::gitlab::{self, Capabilities, Client, Error, Repository, TagDetails, TagOrder};
use crate::policy::compile::Rule;
use crate::policy::inventory::{Inventory, Need, ascends, assemble, need};
use crate::policy::paging;
use crate::policy::source::{Extent, Source};
use crate::policy::tag::{Ages, Manifest, Moment, Tag, to_the_second};

use super::failure::Failure;
use super::pages::{self, Pages};
use super::tag_reader::{PAGE, TagReader};

/// Requests for the details of tags under way at the same time.
const DETAILS_IN_FLIGHT: usize = 8;

/// Reads a repository. Parts that do not fit together are read once more: somebody may have pushed in between.
pub(crate) async fn read(
    reader: &TagReader<'_>,
    rules: &[Rule],
    repository: &Repository,
) -> Result<(Inventory, Source), Failure> {
    let capabilities = reader.client.capabilities(repository.id).await?;
    match attempt(reader, rules, repository, capabilities).await {
        Err(Failure::Incomplete) => attempt(reader, rules, repository, capabilities).await,
        read => read,
    }
}

async fn attempt(
    reader: &TagReader<'_>,
    rules: &[Rule],
    repository: &Repository,
    capabilities: Capabilities,
) -> Result<(Inventory, Source), Failure> {
    let at = reader.as_of.unwrap_or_else(|| reader.clock.now());
    if capabilities.graphql {
        match by_graphql(reader, rules, repository, capabilities, at).await {
            // GitLab behaviour: GraphQL tells a fine-grained token of no repository, REST of those that it may read.
            Err(Failure::GitLab(error)) if error.is_not_found() => {}
            read => return read,
        }
    }
    let inventory = by_rest(reader, rules, repository).await?;
    let ages = Some(without_pushes(reader.client));
    Ok((inventory, Source { graphql: false, ages, sorts_by_push: false, extent: Extent::All, at }))
}

async fn by_graphql(
    reader: &TagReader<'_>,
    rules: &[Rule],
    repository: &Repository,
    capabilities: Capabilities,
    at: Timestamp,
) -> Result<(Inventory, Source), Failure> {
    let sorts = capabilities.sorts_by_push && capabilities.published_at;
    let everything = Need { until: None, names: true };
    let need = if reader.everything { everything } else { need(rules, reader.policy.limits, sorts, at) };
    let parts = match parts(reader, repository, need, at).await? {
        Some(parts) => parts,
        // The order cannot be trusted, so neither can what was concluded from it.
        None => parts(reader, repository, everything, at).await?.ok_or(Failure::Incomplete)?,
    };
    let Parts { tags, to_the_end, names, since } = parts;
    let ages = ages(reader.client, capabilities, &tags);
    let now = reader.clock.now();
    let read = tags.into_iter().map(|tag| known(tag, now)).collect();
    let extent = if names.is_some() { Extent::All } else { Extent::Oldest };
    let mut inventory = assemble(read, to_the_end, names).map_err(|_| Failure::Incomplete)?;
    inventory.date(&since);
    let sorts_by_push = sorts && ages == Ages::LastPush;
    Ok((inventory, Source { graphql: true, ages: Some(ages), sorts_by_push, extent, at }))
}

/// What the ages of these tags are counted from.
fn ages(client: &Client, capabilities: Capabilities, tags: &[gitlab::Tag]) -> Ages {
    if tags.iter().all(|tag| tag.published_at.is_some()) {
        Ages::LastPush
    } else if capabilities.published_at && tags.iter().all(|tag| tag.published_at.is_none()) {
        // GitLab behaviour: without a metadata database it takes the order, ignores it, and knows no pushes.
        Ages::Builds
    } else {
        without_pushes(client)
    }
}

/// What ages are counted from where nothing tells the last push.
pub(crate) fn without_pushes(client: &Client) -> Ages {
    if client.pages_by_keyset() { Ages::FirstPush } else { Ages::FirstPushOrBuild }
}

/// What an inventory is put together from.
struct Parts {
    tags: Vec<gitlab::Tag>,
    /// The pages came to their end, not to the moment up to which they were wanted.
    to_the_end: bool,
    names: Option<Vec<Box<str>>>,
    /// Of the names that were not read, those that take no slots, with their last push.
    since: HashMap<Box<str>, Timestamp>,
}

/// Reads pages, names and the newest pushes, as far as they are needed. `None` where the order of the pages does not
/// hold, or does not prove that none of the names was skipped.
async fn parts(
    reader: &TagReader<'_>,
    repository: &Repository,
    need: Need,
    at: Timestamp,
) -> Result<Option<Parts>, Failure> {
    let client = reader.client;
    let pages = match need.until {
        None => Some(pages::by_name(reader, repository).await?),
        Some(until) => pages::by_push(reader, repository, until).await?,
    };
    let Some(Pages { tags, to_the_end, proofs }) = pages else { return Ok(None) };
    if !to_the_end && !need.names {
        return Ok(Some(Parts { tags, to_the_end, names: None, since: HashMap::new() }));
    }
    // Pages that ended are only believed to be all if the names say so.
    let names = client.tag_names(&repository.reference()).await?;
    if need.until.is_some() {
        let read: HashSet<&str> = tags.iter().map(|tag| &*tag.name).collect();
        let mut unread = names.iter().map(|name| &**name).filter(|name| !read.contains(name)).peekable();
        if (to_the_end && unread.peek().is_some()) || !paging::Pages::skipped_none(&proofs, unread) {
            return Ok(None);
        }
    }
    let mut since = HashMap::new();
    if !to_the_end {
        match pushed_since(client, repository, to_the_second(at)).await? {
            Some(Pushes { tags, complete: true }) => {
                since.extend(tags.into_iter().map(|(name, push)| (name, push.at)));
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(Parts { tags, to_the_end, names: Some(names), since }))
}

/// The last push of a tag.
pub(crate) struct Push {
    pub(crate) at: Timestamp,
    pub(crate) digest: Option<Box<str>>,
}

/// The newest pushes.
pub(crate) struct Pushes {
    pub(crate) tags: HashMap<Box<str>, Push>,
    /// An older tag was met, so that none is missing. Pages can also end early because the registry failed.
    pub(crate) complete: bool,
}

/// What was pushed from a moment on: the newest pages, back to that moment. `None` where the order does not hold, or
/// the pages may have skipped some, so that nothing can be concluded.
pub(crate) async fn pushed_since(
    client: &Client,
    repository: &Repository,
    at: Timestamp,
) -> Result<Option<Pushes>, Error> {
    let mut pushes = Pushes { tags: HashMap::new(), complete: false };
    let mut proof = paging::Pages::new(true);
    let mut cursor = None;
    let mut last = None;
    loop {
        let page = client.tag_page(repository.id, TagOrder::NewestPushFirst, cursor.as_deref()).await?;
        proof.note(page.tags.iter().map(|tag| &*tag.name));
        let mut dates: Vec<Option<Timestamp>> = page.tags.iter().map(|tag| tag.published_at).collect();
        dates.reverse();
        if !ascends(None, dates.iter().copied().chain(last)) || (page.next.is_some() && page.tags.len() != PAGE) {
            return Ok(None);
        }
        last = dates.first().copied().or(last);
        for tag in page.tags {
            match tag.published_at {
                Some(date) if date >= at => {
                    if pushes.tags.insert(tag.name, Push { at: date, digest: tag.digest }).is_some() {
                        return Ok(None);
                    }
                }
                _ => pushes.complete = true,
            }
        }
        cursor = page.next;
        if pushes.complete || cursor.is_none() {
            return Ok(proof.are_right().then_some(pushes));
        }
    }
}

pub(crate) fn known(tag: gitlab::Tag, now: Timestamp) -> Tag {
    Tag {
        pushed: Moment::read(tag.published_at.or(tag.created_at), now),
        push_told: tag.published_at.is_some(),
        created: Moment::read(tag.created_at, now),
        name: tag.name,
        digest: tag.digest,
        single_image: tag.single_image,
        protected: tag.protected,
        bytes: tag.total_size,
        manifest: Manifest { is_index: tag.is_index, referrers: tag.referrers.into() },
    }
}

/// A tag as its details tell of it. One whose details are not there may be gone or of a kind that has none; either way
/// its age is not known.
pub(crate) fn tag(name: Box<str>, details: Option<TagDetails>, now: Timestamp) -> Tag {
    let created = Moment::read(details.as_ref().and_then(|details| details.created_at), now);
    Tag {
        name,
        pushed: created,
        push_told: false,
        created,
        single_image: false,
        protected: false,
        bytes: details.as_ref().and_then(|details| details.total_size),
        digest: details.and_then(|details| details.digest).map(String::into_boxed_str),
        manifest: Manifest::default(),
    }
}

/// Lists the names and reads the details of those tags whose date or digest can matter.
async fn by_rest(reader: &TagReader<'_>, rules: &[Rule], repository: &Repository) -> Result<Inventory, Failure> {
    let names = reader.client.tag_names(&repository.reference()).await?;
    let reads = stream::iter(names).map(|name| async {
        // A tag that cannot be read may be gone or of a kind that has no date; either way its age is not known.
        let details = if reader.everything || matters(reader, rules, &name) {
            reader.client.tag(&repository.reference(), &name).await?
        } else {
            None
        };
        reader.note_read(1);
        Ok::<_, Error>(tag(name, details, reader.clock.now()))
    });
    let read = reads.buffered(DETAILS_IN_FLIGHT).try_collect().await?;
    Ok(Inventory { read, ..Inventory::default() })
}

/// Whether what is to be known of a tag besides its name can decide about it. Of what may go the digest matters in any
/// case: an approval is for an image, not only for its name; an image can be in use by digest; and it shows whether the
/// tag was pushed again before it goes.
fn matters(reader: &TagReader<'_>, rules: &[Rule], name: &str) -> bool {
    let stays = name == "latest" || reader.policy.protect.iter().any(|pattern| pattern.matches(name));
    !stays
        && rules
            .iter()
            .find(|rule| rule.delete.matches(name))
            .is_some_and(|rule| !rule.keep.as_ref().is_some_and(|keep| keep.matches(name)))
}
