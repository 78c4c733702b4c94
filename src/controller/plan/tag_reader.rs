//! What reading a repository's tags needs.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use crate::clock::Clock;
use crate::gitlab::Client;
use crate::policy::CompiledPolicy;

/// Tags in one full page. GitLab behaviour: it shows no more, and loses tags when more are asked for.
pub(crate) const PAGE: usize = 20;

/// What reading needs.
#[derive(Clone, Copy)]
pub(crate) struct TagReader<'a> {
    pub(crate) client: &'a Client,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) policy: &'a CompiledPolicy,
    /// The moment as of which to plan: ages are reckoned from it, and what was pushed later stays. `None` = now.
    pub(crate) as_of: Option<Timestamp>,
    /// Read every tag in full, also those whose fate is clear without.
    pub(crate) everything: bool,
    /// Counts the tags that are read, for whoever watches; those of a second attempt again.
    pub(crate) read: Option<&'a AtomicU64>,
}

impl TagReader<'_> {
    /// The same for every tag in full.
    pub(crate) fn everything(&self) -> Self {
        Self { everything: true, ..*self }
    }

    /// Takes note of tags that were read.
    pub(crate) fn note_read(&self, tags: usize) {
        if let Some(read) = self.read {
            read.fetch_add(tags as u64, Ordering::Relaxed);
        }
    }
}
