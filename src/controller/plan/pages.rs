//! Reads the pages of a repository's tags: all of them by name, or the old end in the order of pushes.
//!
//! A page is found by the one before, which makes each a request of its own. Where a server's cursors are known, pages
//! of one repository share requests: by name they are asked for ahead, and count only if they turn out to be what
//! follows; a long way by push is cut into stretches, of which `policy::stretches` decides what they come to.

use std::collections::HashSet;

use futures::future::FutureExt;
use futures::stream::{FuturesOrdered, FuturesUnordered, StreamExt};
use jiff::Timestamp;

use crate::gitlab::{self, Error, PushCursor, Repository, TagOrder, TagPage};
use crate::policy::inventory::Names;
use crate::policy::paging;
use crate::policy::read_ahead::ReadAhead;
use crate::policy::stretches::{After, LARGE, Pushed, Read, StretchId, Stretches, Wrong};

use super::failure::Failure;
use super::list_repositories::concerns_all;
use super::tag_reader::{PAGE, TagReader};

/// Pages that are expected to be left of a stretch before it is cut, at least: what is cut costs a page more.
const LEAST_PAGES: usize = 4;

/// Pages of a list by name that are read one after the other, before its names are listed to read ahead.
const LIST_NAMES_AFTER: usize = 10;

/// Repositories with at most so many pages are read to the end where the names of all tags are wanted: that takes no
/// more requests than a list of names, and the count that goes with it. Only where pages share requests.
const SMALL_PAGES: usize = 10;

/// Pages from the beginning on.
pub(super) struct Pages {
    pub(super) tags: Vec<gitlab::Tag>,
    /// They came to their end, not to the moment up to which they were wanted.
    pub(super) to_the_end: bool,
    /// What they prove, where they come by push.
    pub(super) proofs: Vec<paging::Pages>,
    /// They came to this moment, which is earlier than the one that was wanted.
    pub(super) narrowed: Option<Timestamp>,
    /// The registry's own count of all tags, where it was asked for and told.
    pub(super) count: Option<u64>,
}

impl Pages {
    /// Whether these are all tags that the registry counts.
    pub(super) fn are_all(&self) -> bool {
        self.to_the_end && self.count == Some(self.tags.len() as u64)
    }
}

impl Pushed for gitlab::Tag {
    fn name(&self) -> &str {
        &self.name
    }

    fn pushed(&self) -> Option<Timestamp> {
        self.published_at
    }
}

/// Whether a page has all the tags that it can have.
fn is_full(page: &TagPage) -> bool {
    page.next.is_none() || page.tags.len() == PAGE
}

/// Reads all tags in the order of names.
///
/// A long list is read ahead: where the server's cursors are the names of the last tags, the cursors of further pages
/// follow from a list of names, and several pages are asked for at the same time. A page counts only once the one
/// before has told the very cursor that it was asked for with, and so is the one that would have been asked for then.
pub(super) async fn by_name(reader: &TagReader<'_>, repository: &Repository) -> Result<Pages, Failure> {
    let (mut tags, mut names): (Vec<gitlab::Tag>, HashSet<Box<str>>) = (Vec::new(), HashSet::new());
    let mut cursors: HashSet<Option<String>> = HashSet::from([None]);
    let mut ahead = ReadAhead::default();
    let mut cursor: Option<String> = None;
    let mut asked = FuturesOrdered::new();
    loop {
        if asked.is_empty() {
            asked.push_back(named_page(reader, repository, cursor.clone()));
        }
        for guess in ahead.cursors(window(reader, asked.len())) {
            asked.push_back(named_page(reader, repository, Some(guess)));
        }
        let Some((after, page)) = asked.next().await else { return Err(Failure::Incomplete) };
        if after != cursor {
            // Somebody pushed, or removed, a tag since the names were listed.
            asked = FuturesOrdered::new();
            ahead.missed(cursor.as_deref());
            continue;
        }
        let page = page?;
        reader.note_read(page.tags.len());
        if !is_full(&page) || !page.tags.iter().all(|tag| names.insert(tag.name.clone())) {
            return Err(Failure::Incomplete);
        }
        let by_name = page.tags.last().map(|tag| &*tag.name) == page.next.as_deref();
        tags.extend(page.tags);
        let Some(next) = page.next else {
            return Ok(Pages { tags, to_the_end: true, proofs: Vec::new(), narrowed: None, count: None });
        };
        if !cursors.insert(Some(next.clone())) {
            return Err(Failure::Incomplete);
        }
        if by_name && tags.len() == LIST_NAMES_AFTER * PAGE && reader.client.reads_in_documents() {
            let names = reader.client.tag_names(&repository.reference()).await?;
            ahead = ReadAhead::of(names, PAGE, &next);
        }
        cursor = Some(next);
    }
}

/// One page in the order of names, with the cursor that it was asked for with.
async fn named_page(
    reader: &TagReader<'_>,
    repository: &Repository,
    after: Option<String>,
) -> (Option<String>, Result<TagPage, Error>) {
    let page = reader.client.tag_page(repository.id, TagOrder::Name, after.as_deref()).await;
    (after, page)
}

/// How many pages a repository may ask for at the same time, of which so many are asked for already.
fn window(reader: &TagReader<'_>, asked: usize) -> usize {
    let wanted = reader.client.pages_wanted();
    (wanted.room + wanted.now.min(asked)).saturating_sub(asked)
}

/// Reads the tags that were pushed first, up to a moment or to the end. `None` where they do not come in the order of
/// their pushes.
///
/// Where the names of all tags are wanted, and the registry counts few, all are read, and held against the count
/// instead of a list of names: it is as old as the first page, so that a tag which came or went since shows.
pub(super) async fn by_push(
    reader: &TagReader<'_>,
    repository: &Repository,
    until: Timestamp,
    names: Names,
) -> Result<Option<Pages>, Failure> {
    let (names_wanted, all_names) = (names != Names::None, names == Names::All);
    let mut stretches = Stretches::new(until).in_pass(reader.pass.filter(|_| !all_names));
    let (mut cursors, mut count) = (None, None);
    let count_wanted = names_wanted && reader.client.reads_in_documents();
    let mut asked = FuturesUnordered::new();
    while !stretches.is_done() {
        for (id, after) in stretches.wanted() {
            asked.push(page(reader, repository, cursors, id, (after, count_wanted)));
        }
        let mut next = asked.next().await;
        // All that came with it, so that what is asked for next is asked for at the same time.
        while let Some((id, answer)) = next {
            let answer = match answer {
                // A guess may be refused, which is no reason not to read what is there.
                Err(error) if !concerns_all(&error) && stretches.refused(id) => None,
                answer => Some(answer?),
            };
            if let Some(page) = answer {
                cursors = cursors.or_else(|| PushCursor::read(page.next.as_deref()?, page.tags.last()?));
                reader.note_read(page.tags.len());
                if !is_full(&page) {
                    return Err(Failure::Incomplete);
                }
                if page.count.is_some_and(|count| count <= (SMALL_PAGES * PAGE) as u64) {
                    stretches.read_to_the_end();
                }
                count = count.or(page.count);
                match stretches.note(id, page.tags, page.next) {
                    Ok(()) => {}
                    Err(Wrong::Order) => return Ok(None),
                    Err(Wrong::Circle) => return Err(Failure::Incomplete),
                }
            }
            next = asked.next().now_or_never().flatten();
        }
        if stretches.is_refuted() {
            reader.client.refute_guesses();
        } else if cursors.is_some() && reader.client.may_guess() {
            let (wanted, own) = (reader.client.pages_wanted(), stretches.waiting());
            let pages = LEAST_PAGES.max(usize::midpoint(wanted.now, own));
            stretches.cut(wanted.room.saturating_sub(own), (pages * PAGE) as u64);
        }
    }
    let Ok(Read { tags, to_the_end, narrowed, proofs }) = stretches.finish() else { return Ok(None) };
    Ok(Some(Pages { tags, to_the_end, proofs, narrowed, count }))
}

/// One page in the order of pushes; the first with a count of all tags, if that is wanted.
async fn page(
    reader: &TagReader<'_>,
    repository: &Repository,
    cursors: Option<PushCursor>,
    id: StretchId,
    (after, counted): (After, bool),
) -> (StretchId, Result<TagPage, Error>) {
    let after = match after {
        After::Beginning if counted => return (id, reader.client.counted_page(repository.id).await),
        After::Beginning => None,
        After::Cursor(cursor) => Some(cursor),
        After::Guess(moment) => cursors.map(|cursors| cursors.write(moment, LARGE)),
    };
    (id, reader.client.tag_page(repository.id, TagOrder::OldestPushFirst, after.as_deref()).await)
}
