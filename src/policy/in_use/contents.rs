//! What images are made of, as far as a registry was asked: the images inside of indexes, and the configurations of
//! images.
//!
//! A node may report an image by either, and tags point at neither. Both are contents of a digest and never change.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::Digest;

/// Digests of the images in an index, each known to be a single image: `sha256:…`.
pub type Children = Arc<[Digest]>;

/// What is known of the contents of a repository's tags, by digest.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Contents {
    indexes: BTreeMap<Digest, Children>,
    /// Digests of images, by that of their configuration.
    configured: BTreeMap<Digest, Vec<Digest>>,
}

impl Contents {
    /// Notes all that an index contains.
    pub fn note_index(&mut self, index: &Digest, children: Children) {
        self.indexes.insert(index.clone(), children);
    }

    /// Notes the configuration of an image. Only those that somebody may use are worth it.
    pub fn note_configuration(&mut self, image: &Digest, configuration: &Digest) {
        let images = self.configured.entry(configuration.clone()).or_default();
        if !images.contains(image) {
            images.push(image.clone());
        }
    }

    /// Whether a digest is that of an index of which everything is known.
    #[must_use]
    pub fn knows_index(&self, digest: &Digest) -> bool {
        self.indexes.contains_key(digest)
    }

    /// Digests inside of the images that were noted, each with the digest that a tag has.
    pub(super) fn inside(&self) -> impl Iterator<Item = (&Digest, &Digest)> {
        let indexes = self.indexes.iter();
        let indexes = indexes.flat_map(|(index, children)| children.iter().map(move |child| (child, index)));
        let configured = self.configured.iter();
        let configured =
            configured.flat_map(|(configuration, images)| images.iter().map(move |image| (configuration, image)));
        indexes.chain(configured)
    }

    /// Digests that were found inside of the images that were noted.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.inside().map(|(inner, _)| inner)
    }
}
