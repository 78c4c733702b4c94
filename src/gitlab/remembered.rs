//! What is remembered of the contents of images, for all clients of a host.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use url::Url;

/// Most digests that are remembered for a host. One takes some 100 bytes; beyond it, everything is asked anew.
const MAX_REMEMBERED: usize = 10_000;

/// What was told of the contents of images.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// How a server can be asked, and when that was found out.
    pub(super) way: Option<(Url, Way, Timestamp)>,
    /// The images in an index, by its digest.
    pub(super) children: HashMap<Box<str>, Arc<[Box<str>]>>,
    /// How many digests these are.
    remembered: usize,
}

/// How a server can be asked what an index contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By `tagDetails`.
    TagDetails,
    /// By `manifest`, which older servers have.
    Manifest,
    /// Not at all.
    No,
}

impl Way {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::TagDetails => Self::Manifest,
            Self::Manifest | Self::No => Self::No,
        }
    }
}

impl Contents {
    /// Remembers the images in an index.
    pub(super) fn remember(&mut self, digest: &str, children: Arc<[Box<str>]>) -> Arc<[Box<str>]> {
        if self.remembered + children.len() > MAX_REMEMBERED {
            self.children.clear();
            self.remembered = 0;
        }
        self.remembered += children.len();
        self.children.insert(digest.into(), Arc::clone(&children));
        children
    }
}
