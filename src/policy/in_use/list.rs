//! The list by which one cluster tells another which images of a registry it uses.
//!
//! ```json
//! {
//!   "generatedAt": "2026-11-22T12:00:00Z",
//!   "registry": "registry.example.com:5050",
//!   "complete": true,
//!   "images": [
//!     {"image": "registry.example.com:5050/shop/api:v1", "usedBy": ["prod/Deployment/web"], "usedByMore": 2},
//!     {"image": "registry.example.com:5050/shop/db:v3", "imageID": "sha256:…", "usedBy": ["prod/Pod/db-0"]}
//!   ]
//! }
//! ```
//!
//! - `generatedAt` is when the cluster was looked at. A list counts for a limited time, since a cluster that stopped
//!   telling goes on using images.
//! - `registry` is the host the list is about. A list about another one says nothing, not that nothing is used.
//! - `complete` must be `true`: somebody looked everywhere. An empty list is an answer only with that.
//! - `images` are references as in a Pod, in any order. [`List::new`] writes the registry's own host where the cluster
//!   uses an alias. A text that cannot be read and may mean an image of the registry stands there too, so that the
//!   reader does not take what can be read for everything; one that ends with the registry's host in brackets may mean
//!   any.
//! - `imageID` is what a node reports of that image where it names no repository: the digest of the image or of its
//!   configuration. A reader that does not know the field takes the image alone.
//! - `usedBy` names some users and `usedByMore` counts the others; both may be left out.
//!
//! Fields that are not known are ignored, for the sake of later versions.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::registry::{Registries, host_of};
use super::template::Template;
use super::used::Meaning;
use super::{Alias, Users};
use crate::api::conditions::shorten;
use crate::model::{Digest, UsedImage};
use crate::policy::image::{ImageRef, host_in_names};

/// Most users that are named for an image: a list of 2,000 images has to fit into a `ConfigMap` (1 MiB).
pub const MAX_USERS: usize = 3;
/// How far ahead of ours the clock of the cluster that wrote a list may be.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// Which part of its time is left when a list is said to count no more soon.
const WARNING: i32 = 4;
/// Longest name of a user, in bytes; a namespace, a kind and a name come to less.
const MAX_USER: usize = 400;
/// Longest description of what is wrong with a list, in bytes.
const MAX_DETAIL: usize = 200;

/// The images of a registry that a cluster uses: all of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct List {
    /// When the cluster was looked at, to the second.
    pub generated_at: Timestamp,
    /// The registry's host, with its port if it has one.
    pub registry: String,
    images: BTreeMap<Written, Users>,
}

/// An image as it stands in the list, and what a node reports of it without a repository.
type Written = (String, Option<Box<str>>);

/// Why a list does not count.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ListError {
    /// No JSON.
    #[error("the list is not JSON (line {line}, column {column})")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 0, as parsers count.
        column: usize,
    },
    /// JSON of another form.
    #[error("the list does not have the form of one: {0}")]
    WrongShape(String),
    /// It may be only a part of what is used.
    #[error("the list does not say that it is complete (\"complete\": true)")]
    Incomplete,
    /// It was made too long ago.
    #[error("the list is too old: it was made at {generated_at} and counts for {max_age:#}")]
    TooOld {
        /// When it was made.
        generated_at: Timestamp,
        /// For how long it counts.
        max_age: SignedDuration,
    },
    /// It cannot have been made yet.
    #[error("the list is dated {generated_at}, which is in the future")]
    FromTheFuture {
        /// When it says it was made.
        generated_at: Timestamp,
    },
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", expecting = "a list of images in use")]
struct Document {
    generated_at: Timestamp,
    registry: String,
    #[serde(default)]
    complete: bool,
    images: Vec<Entry>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", expecting = "an image and its users")]
struct Entry {
    image: String,
    #[serde(rename = "imageID", default, skip_serializing_if = "Option::is_none")]
    id: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    used_by: Vec<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used_by_more: Option<u32>,
}

impl List {
    /// The images of a registry among all that a cluster uses: those that have its host (`registry.example.com:5050`)
    /// or an alias, and those that cannot be read and may mean it. What has an alias gets the registry's host, so that
    /// the reader need not know under which names this cluster pulls.
    ///
    /// To be made only when the cluster's answer is complete, because the list says that it is.
    #[must_use]
    pub fn new(
        registry: &str,
        aliases: &[Alias],
        images: impl IntoIterator<Item = UsedImage>,
        generated_at: Timestamp,
    ) -> Self {
        let registries = Registries::new([registry], aliases);
        let mut list =
            Self { generated_at: whole_seconds(generated_at), registry: registry.to_owned(), images: BTreeMap::new() };
        let host = host_in_names(registry);
        let there = |image: &ImageRef| -> Vec<String> {
            let paths = registries.paths(image).into_iter();
            paths.map(|path| ImageRef { name: format!("{host}/{path}"), ..image.clone() }.to_string()).collect()
        };
        let reported = |image: &ImageRef, id: &Digest| -> Vec<Written> {
            there(image).into_iter().map(|text| (text, Some((*id.text()).into()))).collect()
        };
        for image in images {
            let text = image.text();
            let written: Vec<Written> = match image.read() {
                Ok(Meaning::Nothing) => continue,
                Ok(Meaning::Images(images)) => images.iter().flat_map(there).map(|text| (text, None)).collect(),
                Ok(Meaning::Reported(image, id)) => reported(&image, &id),
                Err(_) => {
                    let own = image.unreadable_id().map(|(image, id)| reported(&image, &id)).unwrap_or_default();
                    let texts = unreadable(text, registry, &registries).into_iter().map(|text| (text, None));
                    own.into_iter().chain(texts).collect()
                }
            };
            let users = Users::of(&image);
            for key in written {
                list.images.entry(key).or_default().join(&users);
            }
        }
        list
    }

    /// The images in order, each with its users. What a node reports of one without a repository stands behind it in
    /// brackets.
    pub fn images(&self) -> impl Iterator<Item = (Cow<'_, str>, &Users)> {
        self.images.iter().map(|((image, id), users)| match id {
            None => (Cow::Borrowed(image.as_str()), users),
            Some(id) => (Cow::Owned(format!("{image} ({id})")), users),
        })
    }

    /// Whether the cluster uses nothing of the registry, as far as names tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The list as text: the same for the same images in any order, with at most [`MAX_USERS`] users each.
    ///
    /// # Errors
    /// None that is known; the serializer could have one.
    pub fn write(&self) -> Result<String, serde_json::Error> {
        let images = self.images.iter().map(|((image, id), users)| {
            let used_by: Vec<Box<str>> = users.names().take(MAX_USERS).map(Box::from).collect();
            let named = u32::try_from(used_by.len()).unwrap_or(u32::MAX);
            let more = users.total().saturating_sub(named);
            let used_by_more = Some(more).filter(|more| *more > 0);
            Entry { image: image.clone(), id: id.clone(), used_by, used_by_more }
        });
        let document = Document {
            generated_at: self.generated_at,
            registry: self.registry.clone(),
            complete: true,
            images: images.collect(),
        };
        serde_json::to_string_pretty(&document).map(|text| text + "\n")
    }

    /// Reads a list that is to count now.
    ///
    /// # Errors
    /// When it is none, is not complete, is older than `max_age`, or is dated more than five minutes ahead of `now`.
    pub fn read(text: &str, now: Timestamp, max_age: SignedDuration) -> Result<Self, ListError> {
        let document: Document = serde_json::from_str(text).map_err(|error| wrong(&error))?;
        if !document.complete {
            return Err(ListError::Incomplete);
        }
        let generated_at = document.generated_at;
        let age = now.duration_since(generated_at);
        if age < -CLOCK_TOLERANCE {
            return Err(ListError::FromTheFuture { generated_at });
        }
        if age > max_age {
            return Err(ListError::TooOld { generated_at, max_age });
        }
        let mut images: BTreeMap<Written, Users> = BTreeMap::new();
        for Entry { image, id, used_by, used_by_more } in document.images {
            let used_by = used_by.iter().map(|user| one_line(user));
            images.entry((image, id)).or_default().join(&Users::new(used_by, used_by_more.unwrap_or(0)));
        }
        Ok(Self { generated_at, registry: document.registry, images })
    }

    /// Until when the list counts, and whether that is soon: less than a quarter of `max_age` is left.
    #[must_use]
    pub fn expiry(&self, now: Timestamp, max_age: SignedDuration) -> (Timestamp, bool) {
        let until = self.generated_at.checked_add(max_age).unwrap_or(Timestamp::MAX);
        (until, until.duration_since(now) < max_age / WARNING)
    }

    /// Whether the list is about the registry of a repository, given by its location or by the host alone.
    #[must_use]
    pub fn is_about(&self, location: &str) -> bool {
        host_of(&self.registry) == host_of(location)
    }

    /// The images, for [`InUse`](super::InUse) to sort together with others. The users are told with where the list
    /// comes from: `prod/Deployment/web (cluster-west)`.
    pub fn into_used(self, source: &str) -> impl Iterator<Item = UsedImage> {
        self.images.into_iter().map(move |((image, id), users)| {
            let named: Vec<Box<str>> =
                users.names().take(MAX_USERS).map(|user| format!("{user} ({source})").into_boxed_str()).collect();
            let more = users.total().saturating_sub(u32::try_from(named.len()).unwrap_or(u32::MAX));
            UsedImage { image: image.into_boxed_str(), id, users: named, more, elsewhere: Vec::new() }
        })
    }
}

/// A text that cannot be read, as a reader takes it who does not know the aliases: nothing, if it can mean no image of
/// the registry.
fn unreadable(text: &str, registry: &str, registries: &Registries<'_>) -> Vec<String> {
    let template = Template::of(text);
    if !registries.may_be_meant_by(text, &template) {
        return Vec::new();
    }
    let mut written = registries.under_own_name(text, registry);
    if Registries::new([registry], &[]).may_be_meant_by(text, &template) {
        written.push(text.to_owned());
    }
    if written.is_empty() {
        // With an alias of which only a part stands there.
        written.push(format!("{text} ({registry})"));
    }
    written
}

/// Whether a text that cannot be read stands in a list as one that may mean any image of the registry.
pub(super) fn names_registry(text: &str, registries: &Registries<'_>) -> bool {
    let named = text.strip_suffix(')').and_then(|text| text.rsplit_once(" ("));
    named.is_some_and(|(_, registry)| registries.hosts().any(|host| *host == host_of(registry)))
}

fn wrong(error: &serde_json::Error) -> ListError {
    if error.is_data() {
        ListError::WrongShape(shorten(&one_line(&error.to_string()), MAX_DETAIL))
    } else {
        ListError::NotJson { line: error.line(), column: error.column() }
    }
}

fn one_line(text: &str) -> Box<str> {
    shorten(&text.replace(char::is_control, " "), MAX_USER).into_boxed_str()
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests;
