//! What is remembered of a host for all its clients: the contents of images, and what the server has shown that it can.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use url::Url;

use crate::model::Digest;

/// How long is remembered what a server can do; after that, one request notices an upgrade.
pub(super) const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

/// Whether a server pages tags by keyset, as far as it has shown.
///
/// GitLab behaviour: it asks its registry anew for each request whether there is a metadata database, and takes any
/// failure for a no. So one refusal of a server that did it before means little.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeysetPaging {
    worked: Option<Timestamp>,
    refused: Option<Timestamp>,
}

impl KeysetPaging {
    pub(super) const fn works(&mut self, now: Timestamp) {
        *self = Self { worked: Some(now), refused: None };
    }

    pub(super) fn refuses(&mut self, now: Timestamp) {
        if self.refused.is_none_or(|since| now.duration_since(since) >= REMEMBERED) {
            self.refused = Some(now);
        }
    }

    pub(super) const fn forget_refusal(&mut self) {
        self.refused = None;
    }

    /// Whether it did it within the last hour.
    pub(super) fn worked_lately(&self, now: Timestamp) -> bool {
        self.worked.is_some_and(|since| now.duration_since(since) < REMEMBERED)
    }

    /// Whether it is worth asking for: nobody was refused within the last hour, or somebody was served.
    pub(super) fn is_worth_asking(&self, now: Timestamp) -> bool {
        self.worked_lately(now) || self.refused.is_none_or(|since| now.duration_since(since) >= REMEMBERED)
    }
}

/// Most digests that are remembered for a host. One takes some 40 bytes; beyond it, everything is asked anew.
const MAX_REMEMBERED: usize = 10_000;

/// What was told of the contents of images.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// How a server can be asked, and when that was found out.
    pub(super) way: Option<(Url, Way, Timestamp)>,
    /// The images in an index, by its digest.
    pub(super) children: HashMap<Digest, Arc<[Digest]>>,
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
    pub(super) fn remember(&mut self, digest: &Digest, children: Arc<[Digest]>) -> Arc<[Digest]> {
        if self.remembered + children.len() > MAX_REMEMBERED {
            self.children.clear();
            self.remembered = 0;
        }
        self.remembered += children.len();
        self.children.insert(digest.clone(), Arc::clone(&children));
        children
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    #[test]
    fn one_refusal_lasts_an_hour_at_most_and_means_nothing_where_it_worked_before() {
        let mut paging = KeysetPaging::default();
        assert!(paging.is_worth_asking(minute(0)));
        paging.refuses(minute(0));
        paging.refuses(minute(59));
        assert!(!paging.is_worth_asking(minute(59)));
        assert!(paging.is_worth_asking(minute(60)), "counted from the first");
        paging.refuses(minute(61));
        assert!(!paging.is_worth_asking(minute(62)), "and from the next after that");

        paging.works(minute(62));
        paging.refuses(minute(63));
        assert!(paging.is_worth_asking(minute(63)) && paging.worked_lately(minute(63)));
        paging.refuses(minute(120));
        assert!(!paging.worked_lately(minute(122)));
    }

    #[test]
    fn a_refusal_that_was_doubted_is_forgotten() {
        let mut paging = KeysetPaging::default();
        paging.refuses(minute(0));
        paging.forget_refusal();
        assert!(paging.is_worth_asking(minute(1)));
    }
}
