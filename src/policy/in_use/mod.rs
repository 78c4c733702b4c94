//! What of a registry is in use: from the images that a cluster's objects name to the tags that must stay.
//!
//! [`InUse`] sorts all images by repository once, [`RepositoryUse`] answers for one repository, [`keep_regex`] tells
//! GitLab, and [`list`] is how one cluster tells another. Nothing here knows whether the images that came in are all
//! there are; whoever brings them does.

mod contents;
mod deployments;
pub mod keep_regex;
pub mod list;
mod registry;
mod repository;
mod template;
mod unreadable;
mod used;
mod users;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use jiff::Timestamp;

use super::image::{ImageRef, RefError};
use crate::model::UsedImage;

pub use contents::{Children, Contents};
pub use deployments::{Deployment, Deployments, What};
pub use registry::{Alias, AliasError};
pub use repository::{Elsewhere, How, RepositoryUse, Use, names_subject};
pub use unreadable::Unreadable;
pub use users::Users;

use registry::{Registries, host_of, key, keys};
use unreadable::Texts;
use used::Meaning;

/// Most repositories that a message names.
const MAX_NAMED: usize = 5;

/// All images in use, by repository.
#[derive(Clone, Debug, Default)]
pub struct InUse {
    repositories: HashMap<String, Sorted>,
    aliases: Vec<Alias>,
    /// The registries in question, by host, of which this cluster uses images.
    used_hosts: BTreeSet<String>,
    /// Those of which it uses none.
    unused_hosts: BTreeSet<String>,
    /// Texts that cannot be read and may mean images of the registries.
    unreadable: Texts,
    ignored: usize,
}

/// What is in use under one name.
#[derive(Clone, Debug, Default)]
struct Sorted {
    of: RepositoryUse,
    /// Whether this cluster uses some of it, not only another one that lists what it uses.
    here: bool,
}

impl InUse {
    /// Sorts the images in use. Their order does not matter, and neither does naming one twice.
    ///
    /// `images` are those of this cluster, `listed` those that others list under the registry's own name. `locations`
    /// are the repositories in question, or just their hosts (`registry.example.com:5050`): a text that cannot be read
    /// and may mean something there is [`Self::unreadable`], and holds the repositories that it may mean.
    pub fn new<'l>(
        images: impl IntoIterator<Item = UsedImage>,
        listed: impl IntoIterator<Item = UsedImage>,
        locations: impl IntoIterator<Item = &'l str>,
        aliases: &[Alias],
    ) -> Self {
        let registries = Registries::new(locations, aliases);
        let mut in_use = Self { aliases: aliases.to_vec(), ..Self::default() };
        let mut unreadable: BTreeMap<Box<str>, (RefError, Users)> = BTreeMap::new();
        let images = images.into_iter().map(|image| (image, true));
        for (image, here) in images.chain(listed.into_iter().map(|image| (image, false))) {
            let error = match image.read() {
                Ok(meaning) => {
                    in_use.take(meaning, &Users::of(&image), here, &registries);
                    continue;
                }
                Err(error) => error,
            };
            let users = Users::of(&image);
            let own = image.unreadable_id();
            if unreadable::may_mean(image.text(), &registries) {
                let entry = unreadable.entry(image.text().into()).or_insert_with(|| (error, Users::default()));
                entry.0 = entry.0.min(error);
                entry.1.join(&users);
            } else if own.is_none() {
                in_use.ignored += 1;
            }
            if let Some((own, id)) = own {
                in_use.take(Meaning::Reported(own, id), &users, here, &registries);
            }
        }
        in_use.unused_hosts = registries.hosts().filter(|host| !in_use.used_hosts.contains(*host)).cloned().collect();
        in_use.unreadable = Texts::new(unreadable, &registries);
        in_use
    }

    fn take(&mut self, meaning: Meaning, users: &Users, here: bool, registries: &Registries<'_>) {
        match meaning {
            Meaning::Nothing => {}
            Meaning::Reported(image, id) => self.named(&image, here, registries).add_id(id, users),
            Meaning::Images(images) => {
                for image in images {
                    self.named(&image, here, registries).add(image, users);
                }
            }
        }
    }

    fn named(&mut self, image: &ImageRef, here: bool, registries: &Registries<'_>) -> &mut RepositoryUse {
        if here {
            self.used_hosts.extend(registries.of(image));
        }
        let sorted = self.repositories.entry(key(&image.name)).or_default();
        sorted.here |= here;
        &mut sorted.of
    }

    /// The registries in question, by host, of which this cluster uses no image under a name that is known. Either
    /// nothing of them runs here, or the cluster pulls from them under another name.
    pub fn unused_hosts(&self) -> impl Iterator<Item = &str> {
        self.unused_hosts.iter().map(String::as_str)
    }

    /// What is in use of a GitLab repository, by its `location` (`registry.example.com:5050/shop/backend/api`) and its
    /// `path` (`shop/backend/api`).
    ///
    /// A reference belongs to the repository when it names the location, or an alias followed by the path, or an alias
    /// followed by the registry's host and the path, as pull-through proxies are used. Port 443 is no port at all.
    #[must_use]
    pub fn repository(&self, location: &str, path: &str) -> RepositoryUse {
        let path = path.to_ascii_lowercase();
        let host = host_of(location);
        let mut found = RepositoryUse::default();
        let keys = keys(location, &path, &self.aliases);
        for repository in keys.iter().filter_map(|key| self.repositories.get(key)) {
            found.join(&repository.of);
        }
        if let Some(text) = self.unreadable.that_may_name(&keys) {
            found.may_be_meant_by(text);
        }
        if self.unused_hosts.contains(&host) {
            self.look_elsewhere(&path, &mut found);
        }
        found
    }

    /// Looks for images of this cluster that have the path under another host, or below a path there.
    fn look_elsewhere(&self, path: &str, found: &mut RepositoryUse) {
        let here = self.repositories.iter().filter(|(_, sorted)| sorted.here);
        let same_path = |(key, sorted): (&'_ String, &'_ Sorted)| {
            let alias = key.strip_suffix(path)?.strip_suffix('/')?;
            Some((alias.to_owned(), key.clone(), sorted.of.clone()))
        };
        let mut elsewhere: Vec<_> = here.filter_map(same_path).collect();
        elsewhere.sort_unstable_by(|(one, ..), (other, ..)| one.cmp(other));
        for (alias, key, there) in elsewhere {
            found.found_elsewhere(&alias, &key, &there);
        }
    }

    /// Texts that cannot be read and may mean images of the registries, each once and in order.
    #[must_use]
    pub fn unreadable(&self) -> impl ExactSizeIterator<Item = &Unreadable> {
        self.unreadable.iter()
    }

    /// How many references cannot be read and mean no image of the registry, whatever else they mean.
    #[must_use]
    pub fn ignored(&self) -> usize {
        self.ignored
    }
}

/// What is known of images in use while no run goes on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Knowledge {
    /// The policy does not want to know.
    NotWanted,
    /// All that is in use.
    Whole,
    /// All that is in use, but before long a list of another cluster counts no more.
    Expiring(Expiring),
    /// Not all: a run would remove nothing. With the reason.
    Unknown(String),
    /// All but what a text means that cannot be read.
    But(Held),
}

/// A list of another cluster that nobody has renewed for long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expiring {
    /// The ConfigMap that holds it.
    pub config_map: String,
    /// Until when it counts.
    pub until: Timestamp,
}

impl fmt::Display for Expiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config_map, until } = self;
        write!(
            f,
            "the list in ConfigMap {config_map} counts until {until} and was not renewed for long: a run after that would \
             remove nothing"
        )
    }
}

/// What is kept whole because of texts that cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Held {
    /// The paths of the repositories, in order.
    pub repositories: Vec<String>,
    /// How many repositories the policy looks after.
    pub of: usize,
    /// One of the texts.
    pub text: Unreadable,
}

impl fmt::Display for Held {
    /// What to do comes first: messages are cut at their end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repositories, of, text } = self;
        let named = repositories.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = repositories.len().saturating_sub(MAX_NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        write!(
            f,
            "write the image in full in the workload: {text}, and may mean any tag of {} of {of} repositories, which \
             are kept whole: {named}{more}",
            repositories.len()
        )
    }
}

/// What to say of registries of which the cluster uses no image, if there is one.
#[must_use]
pub fn unused_sentence(registries: &[String]) -> Option<String> {
    (!registries.is_empty()).then(|| {
        format!(
            "the cluster uses no image of {}, as far as names tell; if it pulls from there under another name, add \
             that to protect.registryAliases",
            registries.join(", ")
        )
    })
}

#[cfg(test)]
pub(crate) mod tests;
