//! What of a registry is in use: from the images that a cluster's objects name to the tags that must stay.
//!
//! [`InUse`] sorts all images by repository once, [`RepositoryUse`] answers for one repository, [`keep_regex`] tells
//! GitLab, and [`list`] is how one cluster tells another. Nothing here knows whether the images that came in are all
//! there are; whoever brings them does.

mod contents;
pub mod keep_regex;
pub mod list;
mod registry;
mod repository;
mod used;
mod users;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::image::{ImageRef, RefError};
use crate::api::conditions::shorten;

pub use contents::{Children, Contents};
pub use registry::{Alias, AliasError};
pub use repository::{Elsewhere, How, RepositoryUse, Use, names_subject};
pub use used::UsedImage;
pub use users::Users;

use registry::{Registries, host_of, key, without_port};
use used::{MAX_TEXT, Meaning};

/// Most unreadable references that are told one by one.
pub const MAX_UNREADABLE: usize = 10;

/// A reference that cannot be read and may mean an image of the registry: while there is one, it is not known what is
/// in use.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text} (used by {users}): {error}")]
pub struct Unreadable {
    /// The text, shortened and on one line.
    pub text: String,
    /// What is wrong with it.
    pub error: RefError,
    /// Who uses it.
    pub users: Users,
}

/// All images in use, by repository.
#[derive(Clone, Debug, Default)]
pub struct InUse {
    repositories: HashMap<String, Sorted>,
    aliases: Vec<Alias>,
    /// The registries in question, by host, of which this cluster uses images.
    used_hosts: BTreeSet<String>,
    /// Those of which it uses none.
    unused_hosts: BTreeSet<String>,
    unreadable: Vec<Unreadable>,
    unreadable_total: usize,
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
    /// are the repositories in question, or just their hosts (`registry.example.com:5050`): a reference that cannot be
    /// read and has such a host, or that of an alias, is [`Self::unreadable`].
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
                    in_use.take(meaning, &Users::new(image.users, image.more), here, &registries);
                    continue;
                }
                Err(error) => error,
            };
            if registries.may_be_meant_by(image.text()) {
                let users = Users::new(image.users.iter().cloned(), image.more);
                let entry = unreadable.entry(image.text().into()).or_insert_with(|| (error, Users::default()));
                entry.0 = entry.0.min(error);
                entry.1.join(&users);
            } else if let Some((own, id)) = image.unreadable_id() {
                in_use.take(Meaning::Reported(own, id), &Users::new(image.users, image.more), here, &registries);
            } else {
                in_use.ignored += 1;
            }
        }
        in_use.unused_hosts = registries.hosts().filter(|host| !in_use.used_hosts.contains(*host)).cloned().collect();
        in_use.unreadable_total = unreadable.len();
        in_use.unreadable = unreadable.into_iter().take(MAX_UNREADABLE).map(tell).collect();
        in_use
    }

    fn take(&mut self, meaning: Meaning, users: &Users, here: bool, registries: &Registries<'_>) {
        match meaning {
            Meaning::Nothing => {}
            Meaning::Reported(image, id) => self.named(&image, here, registries).add_id(&id, users),
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
        let mut join = |name: &str| {
            if let Some(repository) = self.repositories.get(name) {
                found.join(&repository.of);
            }
        };
        join(&key(location));
        for alias in &self.aliases {
            join(&alias.of(&path));
            join(&alias.of(&format!("{}/{path}", without_port(&host))));
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

    /// References that cannot be read and may mean an image of the registry, the first few of
    /// [`Self::unreadable_total`]. As long as there is one, nothing may be removed.
    #[must_use]
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// How many different references of that kind there are.
    #[must_use]
    pub fn unreadable_total(&self) -> usize {
        self.unreadable_total
    }

    /// How many references cannot be read and mean no image of the registry, whatever else they mean.
    #[must_use]
    pub fn ignored(&self) -> usize {
        self.ignored
    }
}

/// What to say of registries of which the cluster uses no image, if there is one.
#[must_use]
pub fn unused_sentence(registries: &[String]) -> Option<String> {
    (!registries.is_empty()).then(|| {
        format!(
            "the cluster uses no image of {}, as far as names tell; if it pulls from there under another name, add that to \
             protect.registryAliases",
            registries.join(", ")
        )
    })
}

fn tell((text, (error, users)): (Box<str>, (RefError, Users))) -> Unreadable {
    Unreadable { text: shorten(&text.replace(char::is_control, " "), MAX_TEXT), error, users }
}

#[cfg(test)]
pub(crate) mod tests;
