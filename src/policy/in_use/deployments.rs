//! Since when objects of a cluster run images of a repository, as far as objects tell that are still there.

use std::collections::HashMap;

use jiff::Timestamp;

use super::registry::{Alias, Registries, key, keys};
use super::unreadable;
use super::used::Meaning;
use crate::model::{DatedImage, Digest, UsedImage};
use crate::policy::image::ImageRef;

/// What of a repository an object runs.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum What {
    /// What a tag pointed at.
    Tag(Box<str>),
    /// The image with this digest; or, as a node may report, with this configuration.
    Digest(Digest),
}

/// An image of a repository, with an object that runs it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Deployment {
    /// The image.
    pub what: What,
    /// Whether somebody wrote it. Otherwise a node reports it.
    pub written: bool,
    /// The object, as far as whoever reads this may know it.
    pub user: Box<str>,
    /// When the object was created; or a moment after which it was returned to.
    pub at: Timestamp,
    /// Whether somebody returned to it then.
    pub again: bool,
    /// Until when it counts as in use, if it has finished.
    pub until: Option<Timestamp>,
}

/// All of them, by repository.
#[derive(Clone, Debug, Default)]
pub struct Deployments {
    by_key: HashMap<String, Vec<Deployment>>,
    aliases: Vec<Alias>,
    unreadable: usize,
}

impl Deployments {
    /// Sorts them. `locations` are the repositories in question, or just their hosts.
    pub fn new<'l>(
        images: impl IntoIterator<Item = DatedImage>,
        locations: impl IntoIterator<Item = &'l str>,
        aliases: &[Alias],
    ) -> Self {
        let registries = Registries::new(locations, aliases);
        let mut all = Self { aliases: aliases.to_vec(), ..Self::default() };
        for DatedImage { image, id, user, at, again, until } in images {
            let written = id.is_none();
            let used = UsedImage { image, id, ..UsedImage::default() };
            let mut add = |name: &str, what| {
                let deployment = Deployment { what, written, user: user.clone(), at, again, until };
                all.by_key.entry(key(name)).or_default().push(deployment);
            };
            match used.read() {
                Ok(Meaning::Nothing) => {}
                Ok(Meaning::Reported(image, digest)) => add(&image.name, What::Digest(digest)),
                Ok(Meaning::Images(images)) => {
                    for ImageRef { name, tag, digest } in images {
                        if let Some(what) = digest.map(What::Digest).or_else(|| tag.map(|tag| What::Tag(tag.into()))) {
                            add(&name, what);
                        }
                    }
                }
                Err(_) => all.unreadable += usize::from(unreadable::may_mean(used.text(), &registries)),
            }
        }
        all
    }

    /// Those of a GitLab repository, by its `location` and its `path`, under the names of
    /// [`InUse::repository`](super::InUse::repository).
    #[must_use]
    pub fn of(&self, location: &str, path: &str) -> Vec<Deployment> {
        let keys = keys(location, path, &self.aliases);
        keys.iter().filter_map(|key| self.by_key.get(key)).flatten().cloned().collect()
    }

    /// How many objects name something that cannot be read and may mean an image of the registries.
    #[must_use]
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dated(image: &str, id: Option<&str>) -> DatedImage {
        let at = Timestamp::UNIX_EPOCH;
        DatedImage { image: image.into(), id: id.map(Box::from), user: "a/Pod/a".into(), at, again: false, until: None }
    }

    const SHA: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

    fn found(images: Vec<DatedImage>) -> (Vec<(What, bool)>, usize) {
        let aliases = [Alias::parse("mirror.example.com/hub").unwrap()];
        let all = Deployments::new(images, ["registry.example.com"], &aliases);
        let of = all.of("registry.example.com/shop/web", "shop/web").into_iter();
        (of.map(|deployment| (deployment.what, deployment.written)).collect(), all.unreadable())
    }

    #[test]
    fn images_are_found_by_tag_and_by_digest_under_each_name_of_the_repository() {
        let tag = |name: &str| What::Tag(name.into());
        let digest = || What::Digest(SHA.into());
        let images = vec![
            dated("registry.example.com/shop/web:v1", None),
            dated("registry.example.com:443/shop/web", None),
            dated(&format!("mirror.example.com/hub/shop/web:v2@{SHA}"), None),
            dated("registry.example.com/shop/web:v1", Some(SHA)),
            dated("registry.example.com/shop/other:v1", None),
            dated("nginx", None),
        ];
        let expected = vec![(tag("v1"), true), (tag("latest"), true), (digest(), false), (digest(), true)];
        assert_eq!(found(images), (expected, 0));
    }

    #[test]
    fn what_cannot_be_read_and_may_mean_the_registry_is_counted() {
        let images = vec![dated("registry.example.com/shop/web:${TAG}", None), dated("quay.io/${NAME}", None)];
        assert_eq!(found(images), (vec![], 1));
    }
}
