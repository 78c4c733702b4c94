//! A repository over which runs were played: which of them removes what, and what was deployed of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::regret::{Deployed, Record};
use crate::model::Digest;
use crate::policy::in_use::{Deployment, What};
use crate::policy::plan::attachments::Context;
use crate::policy::plan::replay::{Contest, Replay};

/// A repository that was played. Of its tags no more is left than is asked for once all are played.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) path: String,
    /// How many tags were read.
    pub(super) scanned: u64,
    /// How many tags go.
    pub(super) removed: u64,
    /// The size in bytes of what goes, as far as it is known.
    pub(super) bytes: u64,
    /// How many go by each rule.
    pub(super) by_rule: Vec<u64>,
    pub(super) contest: Contest,
    pub(super) record: Record,
    /// What became of the tags of which something is known to have been deployed, by their places.
    pub(super) fates: BTreeMap<usize, Fate>,
    /// How many images that somebody wrote are of no tag.
    pub(super) unmatched: usize,
}

/// What became of a tag.
#[derive(Debug)]
pub(super) struct Fate {
    pub(super) name: Box<str>,
    /// The run that removes it, by its place, and the rule by which it does.
    pub(super) lost: Option<(usize, Option<usize>)>,
}

impl Played {
    /// The run that removes a tag of which something was deployed, by its place.
    pub(super) fn lost(&self, tag: usize) -> Option<usize> {
        self.fates.get(&tag)?.lost.map(|(run, _)| run)
    }
}

/// The tags that something was deployed of, of which none has gone.
pub(super) fn fates(replay: &Replay, record: &Record) -> BTreeMap<usize, Fate> {
    let fate = |at: usize| Some((at, Fate { name: replay.tags().get(at)?.tag.name.clone(), lost: None }));
    record.tags().filter_map(fate).collect()
}

/// What objects run, by the tags that have it; and how many images that somebody wrote no tag has.
pub(super) fn record(replay: &Replay, context: Context<'_>, deployments: &[Deployment]) -> (Record, usize) {
    if deployments.is_empty() {
        return (Record::default(), 0);
    }
    // The tags may be many, and what is deployed of them is little.
    let (mut names, mut digests): (HashMap<&str, usize>, HashMap<&Digest, Vec<usize>>) = Default::default();
    let (mut of_names, mut of_digests) = (HashSet::new(), HashSet::new());
    for deployment in deployments {
        _ = match &deployment.what {
            What::Tag(name) => of_names.insert(&**name),
            What::Digest(digest) => of_digests.insert(digest),
        };
    }
    for (at, planned) in replay.tags().iter().enumerate() {
        if of_names.contains(&*planned.tag.name) {
            names.insert(&planned.tag.name, at);
        }
        let Some(digest) = &planned.tag.digest else { continue };
        let inside = context.children.get(digest).into_iter().flat_map(|inside| &**inside);
        for digest in inside.chain([digest]).filter(|digest| of_digests.contains(digest)) {
            digests.entry(digest).or_default().push(at);
        }
    }
    let (mut deployed, mut unmatched) = (Vec::new(), HashSet::new());
    for Deployment { what, written, user, at, again, until } in deployments {
        let tags: Vec<usize> = match what {
            What::Tag(name) => names.get(&**name).copied().into_iter().collect(),
            What::Digest(digest) => digests.get(digest).cloned().unwrap_or_default(),
        };
        if !tags.is_empty() {
            deployed.push(Deployed { tags, user: user.clone(), at: *at, again: *again, until: *until });
        } else if *written {
            unmatched.insert(what);
        }
    }
    (Record::new(deployed), unmatched.len())
}
