//! Pages of tags and of repositories, and the cursors each kind has (gitlab-api reference 8a).
//!
//! A repository's tags come in two ways. By offset: the server reads the whole list and cuts pages of at most 20, as it
//! does on path B and did on path A before 17; a cursor is a position. As the registry's pages: `first` goes to the
//! registry as it is, at most 20 of its answer are shown, and the cursors are those of the registry's page: a name, or
//! where the order is by push the base64 of date and name; a page of nothing was asked for when there is neither
//! `first` nor `last`.

use std::{cmp::Ordering, collections::BTreeSet, ops::Bound};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{errors::GraphqlError, plan::Planned};
use crate::{
    api::after,
    config::{StrangeCursors, TagOrder},
    state::{LastPush, Repository, Tag, locale_key},
};

/// Tags in one page.
const MOST_TAGS: usize = 20;

/// Repositories in one page.
const MOST_REPOSITORIES: usize = 100;

/// The largest page of the registry; it refuses to list more at once.
const MOST_REGISTRY: usize = 1000;

/// One page of a connection.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// A cursor for each item.
    pub(super) cursors: Vec<String>,
    start: Option<String>,
    end: Option<String>,
    previous: bool,
    next: bool,
}

impl<T> Page<T> {
    fn empty() -> Self {
        Self { items: Vec::new(), cursors: Vec::new(), start: None, end: None, previous: false, next: false }
    }

    pub(super) fn info(&self) -> Value {
        json!({
            "hasNextPage": self.next,
            "hasPreviousPage": self.previous,
            "startCursor": self.start,
            "endCursor": self.end,
        })
    }
}

/// `first` or `last`, if it was given; negative is nothing.
fn size(asked: &Planned, name: &str) -> Option<usize> {
    asked.number(name).map(|number| usize::try_from(number).unwrap_or_default())
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn decoded(cursor: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

/// The order of a page of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    Published,
}

/// The order that was asked for, and whether it is reversed.
pub(super) fn order(asked: &Planned) -> (Sort, bool) {
    let sort = asked.text("sort").unwrap_or_default();
    let by = if sort.starts_with("PUBLISHED_AT") { Sort::Published } else { Sort::Name };
    (by, sort.ends_with("_DESC"))
}

/// Puts a listing into the order that was asked for.
pub(super) fn sort_tags(tags: &mut [&Tag], asked: &Planned, order: TagOrder, path_a: bool) -> (Sort, bool) {
    let sort = asked.text("sort").unwrap_or_default();
    let (by, descending) = self::order(asked);
    match by {
        // Without the metadata database nobody knows: everything ties.
        Sort::Published if path_a => tags.sort_by(|a, b| published_key(a).cmp(&published_key(b))),
        Sort::Name if !sort.is_empty() && order == TagOrder::Locale => {
            tags.sort_by_cached_key(|tag| locale_key(&tag.name));
        }
        Sort::Name if !sort.is_empty() => tags.sort_by(|a, b| a.name.cmp(&b.name)),
        _ => {}
    }
    if descending {
        tags.reverse();
    }
    (by, descending)
}

fn published_key(tag: &Tag) -> (Option<Timestamp>, &str) {
    (tag.published_at(), &tag.name)
}

/// A page by offset.
pub(super) fn by_offset<'r>(tags: &[&'r Tag], asked: &Planned) -> Result<Page<&'r Tag>, GraphqlError> {
    let position = |name: &str| -> Result<Option<usize>, GraphqlError> {
        let Some(cursor) = asked.text(name).filter(|cursor| !cursor.is_empty()) else { return Ok(None) };
        let text = decoded(cursor).ok_or_else(|| GraphqlError::new(format!("Invalid cursor: \"{cursor}\"")))?;
        Ok(Some(text.parse().unwrap_or_default()))
    };
    let begin = position("after")?.unwrap_or(0).min(tags.len());
    let end = position("before")?.map_or(tags.len(), |before| before.saturating_sub(1)).clamp(begin, tags.len());
    let (first, last) = (size(asked, "first"), size(asked, "last"));
    let (begin, end) = cut(begin, end, first, last, MOST_TAGS);
    let items: Vec<_> = tags.iter().take(end).skip(begin).copied().collect();
    let cursors: Vec<_> = (begin..end).map(|index| encoded(&(index + 1).to_string())).collect();
    let (previous, next) = (begin > 0, end < tags.len());
    Ok(Page { items, start: cursors.first().cloned(), end: cursors.last().cloned(), cursors, previous, next })
}

/// The part of a range a page shows.
fn cut(begin: usize, end: usize, first: Option<usize>, last: Option<usize>, most: usize) -> (usize, usize) {
    let first = if first.is_none() && last.is_none() { Some(most) } else { first };
    let end = first.map_or(end, |first| end.min(begin + first.min(most)));
    let begin = last.map_or(begin, |last| begin.max(end.saturating_sub(last.min(most))));
    (begin, end)
}

/// A page of the registry.
struct RegistryPage<'r> {
    tags: Vec<&'r Tag>,
    /// Whether there are tags before it.
    earlier: bool,
    /// Whether there are tags after it.
    later: bool,
}

/// How many tags of the registry a page was asked for; `None` where the registry refuses the size, which reads as an
/// empty list.
fn asked_for(asked: &Planned) -> Option<usize> {
    let size = size(asked, "first").unwrap_or(0).max(size(asked, "last").unwrap_or(0));
    (1..=MOST_REGISTRY).contains(&size).then_some(size)
}

/// A cursor among the arguments.
fn cursor<'a>(asked: &'a Planned, name: &str) -> Option<&'a str> {
    asked.text(name).filter(|cursor| !cursor.is_empty())
}

/// A page of the registry out of the whole list, and what is shown of it.
pub(super) fn of_registry<'r>(
    tags: &[&'r Tag],
    (sort, descending): (Sort, bool),
    order: TagOrder,
    asked: &Planned,
) -> Page<&'r Tag> {
    let Some(asked_for) = asked_for(asked) else { return Page::empty() };
    let passed = |tags: &[&Tag], cursor: &str, descending: bool| match sort {
        Sort::Name => Some(after(tags, cursor, order, descending)),
        Sort::Published => published_after(tags, cursor, descending),
    };
    let (begin, end) = if let Some(before) = cursor(asked, "before") {
        let reversed: Vec<&Tag> = tags.iter().rev().copied().collect();
        let Some(passed) = passed(&reversed, before, !descending) else { return Page::empty() };
        let end = tags.len() - passed;
        (end.saturating_sub(asked_for), end)
    } else {
        let begin = cursor(asked, "after").map_or(Some(0), |after| passed(tags, after, descending));
        let Some(begin) = begin else { return Page::empty() };
        (begin, (begin + asked_for).min(tags.len()))
    };
    let page = tags.get(begin..end).unwrap_or_default().to_vec();
    shown(RegistryPage { tags: page, earlier: begin > 0, later: end < tags.len() }, sort, asked)
}

/// The same by the last push and over all tags, in a time that does not depend on how many there are. `skips` tells of
/// a registry before 3.87.
pub(super) fn of_registry_by_push<'r>(
    found: &'r Repository,
    descending: bool,
    asked: &Planned,
    (skips, strange): (bool, StrangeCursors),
) -> Result<Page<&'r Tag>, GraphqlError> {
    let Some(asked_for) = asked_for(asked) else { return Ok(Page::empty()) };
    let before = cursor(asked, "before");
    let mut at = match before.or_else(|| cursor(asked, "after")).map(last_push) {
        Some(None) => return Ok(Page::empty()),
        at => at.flatten(),
    };
    let mut gaps = false;
    if at.as_ref().is_some_and(|(_, name)| !found.tags().contains_key(name)) {
        match strange {
            StrangeCursors::Moment => {}
            StrangeCursors::Error => return Err(GraphqlError::new("Please provide a valid cursor")),
            StrangeCursors::Nothing => return Ok(Page::empty()),
            StrangeCursors::Beginning => at = None,
            StrangeCursors::Gaps => gaps = true,
        }
    }
    let asked_for = if gaps { asked_for + asked_for / 2 } else { asked_for };
    // What comes before a cursor comes after it in the opposite order.
    let backwards = descending != before.is_some();
    let (mut keys, more, passed) = match &at {
        Some(at) if skips => skipping(found.by_push(), backwards, at, asked_for),
        at => next_by_push(found.by_push(), backwards, at.as_ref(), asked_for),
    };
    let (mut earlier, mut later) = (passed, more);
    if before.is_some() {
        keys.reverse();
        (earlier, later) = (later, earlier);
    }
    let shows = |(index, _): &(usize, _)| !(gaps && index % 3 == 1);
    let keys = keys.iter().enumerate().filter(shows);
    let tags = keys.filter_map(|(_, (_, name))| found.tags().get(name)).collect();
    Ok(shown(RegistryPage { tags, earlier, later }, Sort::Published, asked))
}

/// The next places in the order after a cursor, whether there are more, and whether there are any up to the cursor.
fn next_by_push<'r>(
    order: &'r BTreeSet<LastPush>,
    descending: bool,
    after: Option<&LastPush>,
    count: usize,
) -> (Vec<&'r LastPush>, bool, bool) {
    let (from, to) = match (after, descending) {
        (None, _) => (Bound::Unbounded, Bound::Unbounded),
        (Some(at), false) => (Bound::Excluded(at), Bound::Unbounded),
        (Some(at), true) => (Bound::Unbounded, Bound::Excluded(at)),
    };
    let ahead = order.range::<LastPush, _>((from, to));
    let mut keys: Vec<_> =
        if descending { ahead.rev().take(count + 1).collect() } else { ahead.take(count + 1).collect() };
    let more = keys.len() > count;
    keys.truncate(count);
    let passed = after.is_some_and(|at| {
        let (from, to) =
            if descending { (Bound::Included(at), Bound::Unbounded) } else { (Bound::Unbounded, Bound::Included(at)) };
        order.range::<LastPush, _>((from, to)).next().is_some()
    });
    (keys, more, passed)
}

/// The same of a registry before 3.87: the tags with a larger name and no older push than the cursor (or a smaller name
/// and no newer push), which skips some and may show others again (gitlab-api reference 10).
fn skipping<'r>(
    order: &'r BTreeSet<LastPush>,
    descending: bool,
    (at, name): &LastPush,
    count: usize,
) -> (Vec<&'r LastPush>, bool, bool) {
    let at = at.map(|at| Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at));
    let follows = |push: &&LastPush| {
        if descending { push.1 < *name && push.0 <= at } else { push.1 > *name && push.0 >= at }
    };
    let mut keys: Vec<_> = if descending {
        order.iter().rev().filter(follows).take(count + 1).collect()
    } else {
        order.iter().filter(follows).take(count + 1).collect()
    };
    let more = keys.len() > count;
    keys.truncate(count);
    (keys, more, true)
}

/// What is shown of a page of the registry.
fn shown<'r>(page: RegistryPage<'r>, sort: Sort, asked: &Planned) -> Page<&'r Tag> {
    let RegistryPage { tags, earlier, later } = page;
    let cursor = |tag: &Tag| match sort {
        Sort::Name => tag.name.clone(),
        Sort::Published => {
            let at = tag.published_at().map_or_else(String::new, |at| format!("{at:.6}"));
            STANDARD.encode(format!("{at}|{}", tag.name))
        }
    };
    let start = tags.first().filter(|_| earlier).map(|tag| cursor(tag));
    let next = tags.last().filter(|_| later).map(|tag| cursor(tag));
    let (from, to) = cut(0, tags.len(), size(asked, "first"), size(asked, "last"), MOST_TAGS);
    // The cursor of an item is its position in this page: of no use for the next one.
    let cursors = (from..to).map(|index| encoded(&(index + 1).to_string())).collect();
    let items = tags.get(from..to).unwrap_or_default().to_vec();
    Page { items, cursors, previous: start.is_some(), next: next.is_some(), start, end: next }
}

/// The position after a cursor of a listing by the last push; `None` if the registry cannot read it.
fn published_after(tags: &[&Tag], cursor: &str, descending: bool) -> Option<usize> {
    let (at, name) = last_push(cursor)?;
    let passed = |tag: &&&Tag| match published_key(tag).cmp(&(at, name.as_str())) {
        Ordering::Equal => true,
        Ordering::Less => !descending,
        Ordering::Greater => descending,
    };
    Some(tags.iter().take_while(passed).count())
}

/// What a cursor of a listing by the last push says.
fn last_push(cursor: &str) -> Option<LastPush> {
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    let (at, name) = text.split_once('|')?;
    let at = if at.is_empty() { None } else { Some(at.parse().ok()?) };
    Some((at, name.to_owned()))
}

/// A page of repositories that are sorted by a text and their id; a cursor names both.
pub(super) fn of_repositories<T: Copy>(
    sorted: &[(String, u64, T)],
    descending: bool,
    asked: &Planned,
) -> Result<Page<T>, GraphqlError> {
    let (first, last) = (size(asked, "first"), size(asked, "last"));
    if first.is_some() && last.is_some() {
        return Err(GraphqlError::new("Can only provide either `first` or `last`, not both"));
    }
    let passed = |name: &str, inclusive: bool| -> Result<Option<usize>, GraphqlError> {
        let Some(cursor) = asked.text(name).filter(|cursor| !cursor.is_empty()) else { return Ok(None) };
        let read = || {
            let value: Value = serde_json::from_str(&decoded(cursor)?).ok()?;
            Some((value.get("key")?.as_str()?.to_owned(), value.get("id")?.as_str()?.parse::<u64>().ok()?))
        };
        let (key, id) = read().ok_or_else(|| GraphqlError::new("Please provide a valid cursor"))?;
        let count =
            sorted.iter().take_while(|(other, number, _)| match (other.as_str(), *number).cmp(&(key.as_str(), id)) {
                Ordering::Equal => inclusive,
                Ordering::Less => !descending,
                Ordering::Greater => descending,
            });
        Ok(Some(count.count()))
    };
    let begin = passed("after", true)?.unwrap_or(0);
    let end = passed("before", false)?.unwrap_or(sorted.len()).max(begin);
    let (begin, end) = cut(begin, end, first, last, MOST_REPOSITORIES);
    let shown = sorted.get(begin..end).unwrap_or_default();
    let cursors: Vec<String> =
        shown.iter().map(|(key, id, _)| encoded(&json!({ "key": key, "id": id.to_string() }).to_string())).collect();
    Ok(Page {
        items: shown.iter().map(|(_, _, item)| *item).collect(),
        start: cursors.first().cloned(),
        end: cursors.last().cloned(),
        cursors,
        previous: begin > 0,
        next: end < sorted.len(),
    })
}
