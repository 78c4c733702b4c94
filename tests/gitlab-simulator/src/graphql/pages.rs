//! Pages of tags and of repositories, and the cursors each kind has (gitlab-api reference 8a).
//!
//! A repository's tags come in two ways. By offset: the server reads the whole list and cuts pages of at most 20, as it
//! does on path B and did on path A before 17; a cursor is a position. As the registry's pages: `first` goes to the
//! registry as it is, at most 20 of its answer are shown, and the cursors are those of the registry's page; a page of
//! nothing was asked for when there is neither `first` nor `last`.

use std::cmp::Ordering;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{errors::GraphqlError, plan::Planned};
use crate::{
    api::after,
    config::TagOrder,
    state::{Tag, locale_key},
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

/// The moment of the last push that changed a tag, as the registry's database has it (gitlab-api reference 2.3).
pub(super) fn published_at(tag: &Tag) -> Option<Timestamp> {
    tag.created_at.max(tag.updated_at)
}

/// Puts a listing into the order that was asked for.
pub(super) fn sort_tags(tags: &mut [&Tag], asked: &Planned, order: TagOrder, path_a: bool) -> (Sort, bool) {
    let sort = asked.text("sort").unwrap_or_default();
    let descending = sort.ends_with("_DESC");
    let by = if sort.starts_with("PUBLISHED_AT") { Sort::Published } else { Sort::Name };
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
    (published_at(tag), &tag.name)
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

/// A page of the registry, and what is shown of it.
pub(super) fn of_registry<'r>(
    tags: &[&'r Tag],
    (sort, descending): (Sort, bool),
    order: TagOrder,
    asked: &Planned,
) -> Page<&'r Tag> {
    let (first, last) = (size(asked, "first"), size(asked, "last"));
    let asked_for = first.unwrap_or(0).max(last.unwrap_or(0));
    // The registry refuses the size, which reads as an empty list.
    if !(1..=MOST_REGISTRY).contains(&asked_for) {
        return Page::empty();
    }
    let passed = |tags: &[&Tag], cursor: &str, descending: bool| match sort {
        Sort::Name => Some(after(tags, cursor, order, descending)),
        Sort::Published => published_after(tags, cursor, descending),
    };
    let given = |name: &str| asked.text(name).filter(|cursor| !cursor.is_empty());
    let (begin, end) = if let Some(before) = given("before") {
        let reversed: Vec<&Tag> = tags.iter().rev().copied().collect();
        let Some(passed) = passed(&reversed, before, !descending) else { return Page::empty() };
        let end = tags.len() - passed;
        (end.saturating_sub(asked_for), end)
    } else {
        let begin = given("after").map_or(Some(0), |after| passed(tags, after, descending));
        let Some(begin) = begin else { return Page::empty() };
        (begin, (begin + asked_for).min(tags.len()))
    };
    let cursor = |tag: &Tag| match sort {
        Sort::Name => tag.name.clone(),
        Sort::Published => {
            encoded(&format!("{}|{}", published_at(tag).map_or_else(String::new, |at| at.to_string()), tag.name))
        }
    };
    let page = tags.get(begin..end).unwrap_or_default();
    let start = page.first().filter(|_| begin > 0).map(|tag| cursor(tag));
    let next = page.last().filter(|_| end < tags.len()).map(|tag| cursor(tag));
    let (from, to) = cut(0, page.len(), first, last, MOST_TAGS);
    // The cursor of an item is its position in this page: of no use for the next one.
    let cursors = (from..to).map(|index| encoded(&(index + 1).to_string())).collect();
    let items = page.get(from..to).unwrap_or_default().to_vec();
    Page { items, cursors, previous: start.is_some(), next: next.is_some(), start, end: next }
}

/// The position after a cursor of a listing by the last push; `None` if the registry cannot read it.
fn published_after(tags: &[&Tag], cursor: &str, descending: bool) -> Option<usize> {
    let text = decoded(cursor)?;
    let (at, name) = text.split_once('|')?;
    let at: Option<Timestamp> = if at.is_empty() { None } else { Some(at.parse().ok()?) };
    let passed = |tag: &&&Tag| match published_key(tag).cmp(&(at, name)) {
        Ordering::Equal => true,
        Ordering::Less => !descending,
        Ordering::Greater => descending,
    };
    Some(tags.iter().take_while(passed).count())
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
