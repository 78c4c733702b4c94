//! What reading a repository's tags needs.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use crate::clock::Clock;
use crate::gitlab::Client;
use crate::policy::CompiledPolicy;
use crate::policy::stretches::Pass;

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
    /// List all names where any are needed, also those of tags that can take no place.
    pub(crate) all_names: bool,
    /// How much of a very large repository is planned at the same time, where what goes of that is removed before the
    /// rest is planned.
    pub(crate) pass: Option<Pass>,
    /// Counts the tags that are read, for whoever watches; those of a second attempt again.
    pub(crate) read: Option<&'a AtomicU64>,
}

impl TagReader<'_> {
    /// The same with all names.
    pub(crate) fn all_names(&self) -> Self {
        Self { all_names: true, ..*self }
    }

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
    /// How many details of tags are asked for at the same time: twice as many as may be under way, so that there always
    /// is one that can leave.
    pub(super) fn details_at_once(&self) -> usize {
        2 * self.client.in_flight()
    }
}
