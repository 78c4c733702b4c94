//! The index: which images are in use, and by whom. A plain data structure; what has happened is told to it, event by
//! event.
//!
//! Objects are kept as little more than their names: each image text exists once, however many objects name it, and
//! vanishes with the last of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::model::UsedImage;

use super::kind::{Kind, Rank};
use super::pod::Image;
use super::projection::Uses;

/// How many users of an image are named.
const NAMED_USERS: usize = 3;

/// A stream of events about objects of one kind, in one namespace or in all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct SourceId(usize);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Index {
    sources: Vec<Table>,
    names: Texts,
    ids: Texts,
    version: u64,
}

/// The objects of a source.
#[derive(Debug)]
struct Table {
    kind: Kind,
    objects: HashMap<Box<str>, Entry>,
    unreadable: BTreeSet<Box<str>>,
    /// Which list an object was last seen in.
    round: u32,
}

#[derive(Debug)]
struct Entry {
    names: Box<[Arc<str>]>,
    ids: Box<[Reported]>,
    finished: Option<Timestamp>,
    version: u64,
    round: u32,
}

/// An `imageID`, and the name for which a node reports it.
type Reported = (Arc<str>, Arc<str>);

/// Texts that exist once, with how many objects hold each.
#[derive(Debug, Default)]
struct Texts(HashMap<Arc<str>, u32>);

impl Texts {
    fn take(&mut self, text: &str) -> Arc<str> {
        let text = self.0.get_key_value(text).map_or_else(|| Arc::from(text), |(known, _)| Arc::clone(known));
        *self.0.entry(Arc::clone(&text)).or_default() += 1;
        text
    }

    fn give_back(&mut self, text: &str) {
        if let Some(holders) = self.0.get_mut(text) {
            *holders -= 1;
            if *holders == 0 {
                self.0.remove(text);
            }
        }
    }
}

impl Index {
    /// A source that has no objects yet.
    pub(super) fn add_source(&mut self, kind: Kind) -> SourceId {
        self.sources.push(Table { kind, objects: HashMap::new(), unreadable: BTreeSet::new(), round: 0 });
        SourceId(self.sources.len() - 1)
    }

    /// An object was created or changed, or stands in a list. `version` is its resourceVersion, `key` its
    /// `namespace/name`.
    pub(super) fn apply(&mut self, source: SourceId, key: &str, version: u64, uses: &Uses<'_>) {
        let Some(table) = self.sources.get_mut(source.0) else { return };
        let (mut names, mut ids): (Vec<&str>, Vec<(&str, &str)>) = (Vec::new(), Vec::new());
        for image in &uses.images {
            match image {
                Image::Named(name) => names.push(name),
                Image::Reported { id, name } => ids.push((id, name)),
            }
        }
        names.sort_unstable();
        names.dedup();
        ids.sort_unstable();
        ids.dedup();
        let round = table.round;
        table.unreadable.remove(key);
        let Some(entry) = table.objects.get_mut(key) else {
            let names = names.into_iter().map(|name| self.names.take(name)).collect();
            let ids = ids.into_iter().map(|(id, name)| (self.ids.take(id), self.names.take(name))).collect();
            table.objects.insert(key.into(), Entry { names, ids, finished: uses.finished, version, round });
            self.version += 1;
            return;
        };
        (entry.version, entry.round) = (version, round);
        let mut differs = mem::replace(&mut entry.finished, uses.finished) != uses.finished;
        // First the new ones: a text that stays is not lost in between.
        if !entry.names.iter().map(|name| &**name).eq(names.iter().copied()) {
            differs = true;
            let new = names.iter().map(|name| self.names.take(name)).collect();
            mem::replace(&mut entry.names, new).iter().for_each(|name| self.names.give_back(name));
        }
        if !entry.ids.iter().map(|(id, name)| (&**id, &**name)).eq(ids.iter().copied()) {
            differs = true;
            let new = ids.iter().map(|(id, name)| (self.ids.take(id), self.names.take(name))).collect();
            for (id, name) in &mem::replace(&mut entry.ids, new) {
                self.ids.give_back(id);
                self.names.give_back(name);
            }
        }
        self.version += u64::from(differs);
    }

    /// An object is there of which it cannot be told what it uses. What it used before stays in use. Answers whether
    /// that is news.
    pub(super) fn apply_unreadable(&mut self, source: SourceId, key: &str, version: u64) -> bool {
        let Some(table) = self.sources.get_mut(source.0) else { return false };
        let round = table.round;
        let is_news = table.unreadable.insert(key.into());
        if let Some(entry) = table.objects.get_mut(key) {
            (entry.version, entry.round) = (version, round);
            // It may have been restarted since it finished.
            self.version += u64::from(entry.finished.take().is_some());
        } else {
            let (names, ids) = (Box::default(), Box::default());
            table.objects.insert(key.into(), Entry { names, ids, finished: None, version, round });
        }
        is_news
    }

    /// An object was deleted.
    pub(super) fn delete(&mut self, source: SourceId, key: &str) {
        let Some(table) = self.sources.get_mut(source.0) else { return };
        table.unreadable.remove(key);
        let Some(entry) = table.objects.remove(key) else { return };
        self.version += 1;
        for text in &entry.names {
            self.names.give_back(text);
        }
        for (id, name) in &entry.ids {
            self.ids.give_back(id);
            self.names.give_back(name);
        }
        // A table that was once big gives back what it does not need.
        if table.objects.len() < table.objects.capacity() / 8 {
            table.objects.shrink_to(table.objects.len() * 2);
        }
    }

    /// A list of all objects of the source begins. Until it ends, the answer is what was known together with what the
    /// list has shown so far, so an image is never missing from it in between, and nothing is kept twice.
    pub(super) fn begin_list(&mut self, source: SourceId) {
        if let Some(table) = self.sources.get_mut(source.0) {
            table.round = table.round.wrapping_add(1);
        }
    }

    /// The list ended: what was not in it does not exist any more.
    pub(super) fn end_list(&mut self, source: SourceId) {
        let Some(table) = self.sources.get(source.0) else { return };
        let gone = table.objects.iter().filter(|(_, entry)| entry.round != table.round).map(|(key, _)| key.clone());
        for key in gone.collect::<Vec<_>>() {
            self.delete(source, &key);
        }
    }

    /// Nothing of the kind exists.
    pub(super) fn clear(&mut self, source: SourceId) {
        self.begin_list(source);
        self.end_list(source);
    }

    /// Grows with every change after which [`images`](Self::images) may answer differently at the same time of day.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// How many objects a source has.
    pub(super) fn len(&self, source: SourceId) -> usize {
        self.sources.get(source.0).map_or(0, |table| table.objects.len())
    }

    /// The resourceVersion in which an object is known.
    pub(super) fn version_of(&self, source: SourceId, key: &str) -> Option<u64> {
        self.sources.get(source.0)?.objects.get(key).map(|entry| entry.version)
    }

    /// The first object of a source that cannot be read, and how many there are.
    pub(super) fn unreadable(&self, source: SourceId) -> Option<(&str, usize)> {
        let unreadable = &self.sources.get(source.0)?.unreadable;
        unreadable.first().map(|first| (&**first, unreadable.len()))
    }

    /// The names of images that the objects of a source have, each once.
    pub(super) fn names(&self, source: SourceId) -> Vec<String> {
        let objects = self.sources.get(source.0).into_iter().flat_map(|table| table.objects.values());
        let names: BTreeSet<&str> = objects.flat_map(|entry| entry.names.iter().map(|name| &**name)).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// The images in use at a time, in alphabetical order. What finished stops counting `finished_for` later; what
    /// finished at an unknown time never does. For a reader in a namespace, users elsewhere are counted and not named.
    pub(super) fn images(&self, now: Timestamp, finished_for: SignedDuration, reader: Option<&str>) -> Vec<UsedImage> {
        let counts = |entry: &Entry| {
            // A time so long that it has no end never ends.
            entry.finished.is_none_or(|finished| finished.checked_add(finished_for).map_or(true, |until| now < until))
        };
        let mut names: HashMap<&str, Users<'_>> = HashMap::with_capacity(self.names.0.len());
        let mut ids: HashMap<(&str, &str), Users<'_>> = HashMap::with_capacity(self.ids.0.len());
        for table in &self.sources {
            let rank = table.kind.rank();
            for (key, entry) in table.objects.iter().filter(|(_, entry)| counts(entry)) {
                let user = (rank, &**key, table.kind.name());
                let by_name = reader.is_none_or(|reader| namespace(key) == reader);
                entry.names.iter().for_each(|text| names.entry(text).or_default().add(user, by_name));
                entry.ids.iter().for_each(|(id, name)| ids.entry((id, name)).or_default().add(user, by_name));
            }
        }
        let mut images: Vec<UsedImage> = names.into_iter().map(|(name, users)| users.of(name, None)).collect();
        images.extend(ids.into_iter().map(|((id, name), users)| users.of(name, Some(id))));
        images.sort_unstable();
        images
    }
}

/// Rank, key and kind of an object.
type User<'a> = (Rank, &'a str, &'a str);

/// The users of one image while they are counted.
#[derive(Default)]
struct Users<'a> {
    best: Vec<User<'a>>,
    all: usize,
    elsewhere: Vec<(&'a str, usize)>,
}

impl<'a> Users<'a> {
    fn add(&mut self, user: User<'a>, named: bool) {
        if !named {
            // Objects of a kind come one after the other.
            match self.elsewhere.last_mut().filter(|(kind, _)| *kind == user.2) {
                Some((_, number)) => *number += 1,
                None => self.elsewhere.push((user.2, 1)),
            }
            return;
        }
        self.all += 1;
        let place = self.best.partition_point(|better| *better < user);
        if place < NAMED_USERS {
            self.best.truncate(NAMED_USERS - 1);
            self.best.insert(place, user);
        }
    }

    fn of(self, image: &str, id: Option<&str>) -> UsedImage {
        let users: Vec<Box<str>> = self.best.into_iter().map(|(_, key, kind)| user(key, kind).into()).collect();
        let more = number(self.all - users.len());
        let mut elsewhere: BTreeMap<&str, usize> = BTreeMap::new();
        for (kind, users) in self.elsewhere {
            // Kinds of different groups may have the same name.
            *elsewhere.entry(kind).or_default() += users;
        }
        let elsewhere = elsewhere.into_iter().map(|(kind, users)| (kind.into(), number(users))).collect();
        UsedImage { image: image.into(), id: id.map(Into::into), users, more, elsewhere }
    }
}

fn number(users: usize) -> u32 {
    u32::try_from(users).unwrap_or(u32::MAX)
}

/// The namespace in a key; empty for an object of the whole cluster.
fn namespace(key: &str) -> &str {
    key.split_once('/').map_or("", |(namespace, _)| namespace)
}

fn user(key: &str, kind: &str) -> String {
    match key.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() => format!("{namespace}/{kind}/{name}"),
        _ => format!("{kind}/{}", key.trim_start_matches('/')),
    }
}

#[cfg(test)]
mod tests;
