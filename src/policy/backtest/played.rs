//! A repository over which runs were played: which of them removes what, and what was deployed of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::regret::{Deployed, Record};
use crate::policy::in_use::{Deployment, What};
use crate::policy::plan::attachments::Context;
use crate::policy::plan::replay::Replay;

/// A repository that was played.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) path: String,
    pub(super) replay: Replay,
    /// The run that removes each tag.
    pub(super) lost: Vec<Option<u32>>,
    /// Which rule removes each of them.
    pub(super) by: BTreeMap<usize, usize>,
    pub(super) record: Record,
    /// How many images that somebody wrote are of no tag.
    pub(super) unmatched: usize,
    /// The size in bytes of what goes, as far as it is known.
    pub(super) bytes: u64,
}

impl Played {
    /// The run that removes a tag, by its place.
    pub(super) fn lost(&self, tag: usize) -> Option<usize> {
        self.lost.get(tag).copied().flatten().and_then(|slot| usize::try_from(slot).ok())
    }
}

/// What objects run, by the tags that have it; and how many images that somebody wrote no tag has.
pub(super) fn record(replay: &Replay, context: Context<'_>, deployments: &[Deployment]) -> (Record, usize) {
    if deployments.is_empty() {
        return (Record::default(), 0);
    }
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut digests: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, planned) in replay.tags().iter().enumerate() {
        names.insert(&planned.tag.name, at);
        let Some(digest) = planned.tag.digest.as_deref() else { continue };
        let inside = context.children.get(digest).into_iter().flat_map(|inside| &**inside);
        for digest in inside.map(AsRef::as_ref).chain([digest]) {
            digests.entry(digest).or_default().push(at);
        }
    }
    let (mut deployed, mut unmatched) = (Vec::new(), BTreeSet::new());
    for Deployment { what, written, user, at, again, until } in deployments {
        let tags: Vec<usize> = match what {
            What::Tag(name) => names.get(&**name).copied().into_iter().collect(),
            What::Digest(digest) => digests.get(&**digest).cloned().unwrap_or_default(),
        };
        if !tags.is_empty() {
            deployed.push(Deployed { tags, user: user.clone(), at: *at, again: *again, until: *until });
        } else if *written {
            unmatched.insert(match what {
                What::Tag(name) | What::Digest(name) => &**name,
            });
        }
    }
    (Record::new(deployed), unmatched.len())
}
