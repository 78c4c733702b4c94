//! Reads of a repository's tags what the rules need: by GraphQL, 20 tags a request, or tag by tag where GitLab has no
//! GraphQL. What may be concluded from it is decided by `policy::inventory`.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::gitlab::{self, Capabilities, Client, Error, Repository, TagDetails, TagOrder};
use crate::model::Digest;
use crate::policy::compile::Rule;
use crate::policy::inventory::{Inventory, Names, Need, assemble, both_ends, need};
use crate::policy::newest::{Newest, Places, Step};
use crate::policy::paging;
use crate::policy::source::{Extent, Source};
use crate::policy::tag::{Ages, Manifest, Moment, Tag, to_the_second};

use super::failure::Failure;
use super::newest_pages::NewestPages;
use super::pages::{self, Pages};
use super::tag_reader::{PAGE, TagReader};

/// Names in one request of a list of all.
const NAMES_A_REQUEST: usize = 1000;

/// Pages of the newest that are read instead of a list at most: as many as that has requests, but so many in any case.
const MOST_NEWEST: Range<usize> = 3..20;

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
    let everything = Need { until: None, names: Names::All };
    let need = if reader.everything { everything } else { need(rules, reader.policy.limits, sorts, at) };
    let need = if reader.all_names && need.names == Names::Newest { Need { names: Names::All, ..need } } else { need };
    let parts = match parts(reader, rules, repository, need, at).await? {
        Some(parts) => parts,
        // The order cannot be trusted, so neither can what was concluded from it.
        None => parts(reader, rules, repository, everything, at).await?.ok_or(Failure::Incomplete)?,
    };
    let Parts { tags, to_the_end, narrowed, names, since } = parts;
    let ages = ages(reader.client, capabilities, &tags);
    let now = reader.clock.now();
    let read: Vec<Tag> = tags.into_iter().map(|tag| known(tag, now)).collect();
    let (inventory, extent) = match names {
        Named::Nothing => (assemble(read, to_the_end, None), Extent::Oldest),
        Named::Newest(names) => (Ok(both_ends(read, names)), Extent::Oldest),
        Named::All(names) => (assemble(read, to_the_end, Some(names)), Extent::All),
    };
    let extent = narrowed.map_or(extent, |until| Extent::Pass { until });
    let mut inventory = inventory.map_err(|_| Failure::Incomplete)?;
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
    /// They came to this moment, which is earlier than the one that was wanted.
    narrowed: Option<Timestamp>,
    names: Named,
    /// Of the names that were not read, those that take no slots, with their last push.
    since: HashMap<Box<str>, Timestamp>,
}

/// Which names are known of tags, whether they were read or not.
enum Named {
    Nothing,
    Newest(Vec<Box<str>>),
    All(Vec<Box<str>>),
}

/// Reads pages, names and the newest pushes, as far as they are needed. `None` where the order of the pages does not
/// hold, or does not prove that none of the names was skipped.
async fn parts(
    reader: &TagReader<'_>,
    rules: &[Rule],
    repository: &Repository,
    need: Need,
    at: Timestamp,
) -> Result<Option<Parts>, Failure> {
    let client = reader.client;
    let pages = match need.until {
        None => Some(pages::by_name(reader, repository).await?),
        Some(until) => pages::by_push(reader, repository, until, need.names).await?,
    };
    let Some(pages) = pages else { return Ok(None) };
    let are_all = pages.are_all();
    let Pages { tags, to_the_end, proofs, narrowed, count } = pages;
    if !to_the_end && need.names == Names::None {
        return Ok(Some(Parts { tags, to_the_end, narrowed, names: Named::Nothing, since: HashMap::new() }));
    }
    if are_all {
        let mut names: Vec<Box<str>> = tags.iter().map(|tag| tag.name.clone()).collect();
        names.sort_unstable();
        return Ok(Some(Parts { tags, to_the_end, narrowed: None, names: Named::All(names), since: HashMap::new() }));
    }
    if let (Names::Newest, false, Some(until)) = (need.names, to_the_end, need.until) {
        let places = Places::new(rules, &reader.policy.protect);
        if let Some(Newest { names, since, .. }) = newest(client, repository, places, until..at, count).await? {
            return Ok(Some(Parts { tags, to_the_end, narrowed, names: Named::Newest(names), since }));
        }
    }
    // Pages that ended are only believed to be all if the names, or a count, say so.
    let names = client.tag_names_by_count(&repository.reference(), count).await?;
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
    Ok(Some(Parts { tags, to_the_end, narrowed, names: Named::All(names), since }))
}

/// Reads the newest tags, until those of a time take all places. `None` where a list of all names takes no more
/// requests, where too few are that new, and where the pages do not hold together.
async fn newest<'a>(
    client: &Client,
    repository: &Repository,
    places: Places<'a>,
    time: Range<Timestamp>,
    count: Option<u64>,
) -> Result<Option<Newest<'a>>, Error> {
    let wanted = usize::try_from(places.most()).unwrap_or(usize::MAX).div_ceil(PAGE);
    let listed = count.and_then(|count| usize::try_from(count).ok()).map_or(0, |count| count.div_ceil(NAMES_A_REQUEST));
    let most = if count.is_some() { listed.clamp(MOST_NEWEST.start, MOST_NEWEST.end) } else { 0 };
    if wanted > most {
        return Ok(None);
    }
    let (mut newest, mut cursor) = (Newest::new(places, PAGE, time), None);
    for _ in 0..most {
        let page = client.tag_page(repository.id, TagOrder::NewestPushFirst, cursor.as_deref()).await?;
        let told = page.tags.into_iter().map(|tag| (tag.name, tag.published_at)).collect();
        match newest.note(told, page.next.is_some()) {
            Step::Enough => return Ok(Some(newest)),
            Step::InVain => return Ok(None),
            Step::GoOn => cursor = page.next,
        }
    }
    Ok(None)
}

/// The last push of a tag.
pub(crate) struct Push {
    pub(crate) at: Timestamp,
    pub(crate) digest: Option<Digest>,
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
    let mut pages = NewestPages::new(client, repository);
    loop {
        let Some(page) = pages.next().await? else { return Ok(None) };
        for tag in page {
            match tag.published_at {
                Some(date) if date >= at => _ = pushes.tags.insert(tag.name, Push { at: date, digest: tag.digest }),
                _ => pushes.complete = true,
            }
        }
        if pushes.complete || pages.have_ended() {
            return Ok(pages.are_right().then_some(pushes));
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
        manifest: Manifest::new(tag.is_index, tag.referrers),
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
        digest: details.and_then(|details| details.digest),
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
    let read = reads.buffered(reader.details_at_once()).try_collect().await?;
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
