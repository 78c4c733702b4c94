//! What images are made of, as far as a registry was asked: the images inside of indexes, and the configurations of
//! images.
//!
//! A node may report an image by either, and tags point at neither. Both are contents of a digest and never change.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Digests of the images in an index, each known to be a single image: `sha256:…`.
pub type Children = Arc<[Box<str>]>;

/// What is known of the contents of a repository's tags, by digest.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Contents {
    indexes: BTreeMap<Box<str>, Children>,
    /// Digests of images, by that of their configuration.
    configured: BTreeMap<Box<str>, Vec<Box<str>>>,
}

impl Contents {
    /// Notes all that an index contains.
    pub fn note_index(&mut self, index: &str, children: Children) {
        self.indexes.insert(index.into(), children);
    }

    /// Notes the configuration of an image. Only those that somebody may use are worth it.
    pub fn note_configuration(&mut self, image: &str, configuration: &str) {
        let images = self.configured.entry(configuration.into()).or_default();
        if !images.iter().any(|known| &**known == image) {
            images.push(image.into());
        }
    }

    /// Whether a digest is that of an index of which everything is known.
    #[must_use]
    pub fn knows_index(&self, digest: &str) -> bool {
        self.indexes.contains_key(digest)
    }

    /// Digests inside of the images that were noted, each with the digest that a tag has.
    pub(super) fn inside(&self) -> impl Iterator<Item = (&str, &str)> {
        let indexes =
            self.indexes.iter().flat_map(|(index, children)| children.iter().map(move |child| (&**child, &**index)));
        let configured = self
            .configured
            .iter()
            .flat_map(|(configuration, images)| images.iter().map(move |image| (&**configuration, &**image)));
        indexes.chain(configured)
    }

    /// Digests that were found inside of the images that were noted.
    pub fn digests(&self) -> impl Iterator<Item = &str> {
        self.inside().map(|(inner, _)| inner)
    }
}
