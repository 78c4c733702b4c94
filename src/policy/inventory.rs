//! What has to be read of a repository's tags for a plan, and what may be concluded from what was read.
//!
//! A plan over everything is always right, and reading everything takes one request for every 20 tags. Where the server
//! sorts by push and every rule has an age, less is enough: the oldest pushes up to the youngest cut-off. What was not
//! read is too young for every rule, and stays. `keepN` needs names of others besides, since they take slots.
//!
//! Why this never removes more than the plan over everything:
//!
//! - A tag that was read but is not among the names, which are listed later, is gone. It is left out: it cannot be
//!   removed, and it takes no slot, so that another one stays in its stead.
//! - A name that was not read was pushed later than everything that was read: the pages came in ascending order, each
//!   full, up to the cut-off, and prove that they skipped none of the names (`policy::paging`; registries before 3.87
//!   do skip some). Without that proof everything is read by name, and names and tags must agree: a skipped tag is old,
//!   and would take the slot of one of the newest. Where no names are needed nothing competes, and a tag that was
//!   skipped merely stays. A tag that comes twice proves the pages wrong as well. It takes a slot, as it does in the
//!   plan over everything, and stays. That GitLab may protect it makes no difference, since such a tag takes a slot as
//!   well.
//! - A name that was not read and whose date lies ahead, or that was pushed while the reading went on, takes no slot in
//!   the plan over everything. So the newest pushes are read after the names, back to the moment at which the reading
//!   began, and those found there take none. Of these pages, too, the first is right by itself, and further ones must
//!   prove it.
//! - Should the pages have come to their end before the cut-off, everything claims to have been read. The names are
//!   listed then in any case, and one beyond proves the opposite: the repository fails. So it does where names are
//!   missing altogether.
//! - Where tags are ranked by their pushes alone, the names of the newest do: as many as take all slots. Each is known
//!   to be newer by its own date. Those in between take no slot that would be free, and knowing of fewer competitors
//!   never removes more. Where an old tag stays by its number nevertheless, all names are listed, and it is decided
//!   again.
//! - A name that is missing from the list takes no slot, so that another tag stays in its stead. Fewer competitors
//!   never remove more.
//! - A plan that is made again, as of an earlier moment, keeps what was pushed since; it takes no slot, so that nothing
//!   else loses its own by it.
//! - Dates in whole seconds: a tag goes by its age if all of its second is older, and by its rank if `keepN` others are
//!   newer for certain (`plan::ties`). A name that was not read was pushed no earlier than the cut-off, so that it is
//!   newer for certain than any tag that is old enough to go.
//! - Attachments take no slots, whether they were read or not: their names tell what they are. One goes only where
//!   every tag is known with its digest, so that none can have its subject; a newer tag may. Then reading everything is
//!   what decides ([`TagPlan::wants_all`](super::plan::TagPlan::wants_all)). A tag that was read but is not among the
//!   names is no tag that is known to be gone, as far as attachments are concerned. What GitLab tells of referrers
//!   under other names it tells of tags that are read only: where one of those has some, nothing goes before everything
//!   was read.
//! - A tag that was pushed again in between is ranked as older than it is, so that it keeps no other tag from its
//!   place; that it stays itself is seen to before anything is removed.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::api::SortBy;

use super::age::Age;
use super::compile::Rule;
use super::limits::Limits;
use super::tag::{Manifest, Moment, Tag, to_the_second};

/// What to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Need {
    /// Read in the order of the pushes, the oldest first, up to this moment; `None` = read everything.
    pub until: Option<Timestamp>,
    /// What to know of the others.
    pub names: Names,
}

/// Which names of tags that are not read are to be known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Names {
    /// None.
    None,
    /// Those of the newest, as many as take all places; or all of them.
    Newest,
    /// All of them.
    All,
}

/// Decides what to read. `sorts_by_push` says whether the server can. A limit that is a share of all tags needs the
/// names, too.
#[must_use]
pub fn need(rules: &[Rule], limits: Limits, sorts_by_push: bool, now: Timestamp) -> Need {
    let everything = Need { until: None, names: Names::All };
    let ranked = || rules.iter().filter(|rule| rule.keep_n.is_some_and(|n| n > 0));
    let by_creation = ranked().any(|rule| rule.sort_by == SortBy::CreatedAt);
    // Who is among the newest is told by pushes, and of each group there may be any number of others.
    let by_push = ranked().all(|rule| rule.sort_by == SortBy::PushedAt && rule.group_by.is_none());
    let names = match (limits.of_all(), ranked().next()) {
        (false, None) => Names::None,
        (false, Some(_)) if by_push => Names::Newest,
        _ => Names::All,
    };
    let cutoff = |age: &Age| to_the_second(now.checked_sub(age.duration()).unwrap_or(Timestamp::MIN));
    let cutoffs: Option<Vec<Timestamp>> = rules.iter().map(|rule| rule.older_than.as_ref().map(cutoff)).collect();
    match cutoffs {
        Some(cutoffs) if sorts_by_push && !by_creation => Need { until: cutoffs.into_iter().max(), names },
        _ => everything,
    }
}

/// What a plan can be made of.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Inventory {
    /// Tags that were read.
    pub read: Vec<Tag>,
    /// Names of tags that were not read, because they are newer than every cut-off.
    pub newer: Vec<Box<str>>,
    /// Some tag that was read was not among the names. It is left out: it is probably gone.
    pub lacking: bool,
}

impl Inventory {
    /// Takes note of when some of the tags that were not read were pushed.
    pub fn date(&mut self, pushes: &HashMap<Box<str>, Timestamp>) {
        let (dated, newer) = std::mem::take(&mut self.newer).into_iter().partition(|name| pushes.contains_key(name));
        self.newer = newer;
        self.read.extend(Vec::into_iter(dated).map(|name| Tag {
            pushed: pushes.get(&name).map_or(Moment::Unknown, |pushed| Moment::At(*pushed)),
            push_told: true,
            created: Moment::Unknown,
            digest: None,
            single_image: false,
            protected: false,
            bytes: None,
            manifest: Manifest::default(),
            name,
        }));
    }

    /// How many tags are known of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read.len() + self.newer.len()
    }

    /// Whether no tag is known of.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The names show tags that the reading, which claims to be complete, does not have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Incomplete;

/// Puts together what was read and the names that were listed after it, if they were. `to_the_end` says that the pages
/// came to their end, not to the cut-off.
///
/// # Errors
/// When the names prove that something was missed, or are missing themselves.
pub fn assemble(read: Vec<Tag>, to_the_end: bool, names: Option<Vec<Box<str>>>) -> Result<Inventory, Incomplete> {
    let Some(names) = names else { return Ok(Inventory { read, ..Inventory::default() }) };
    if names.is_empty() && !read.is_empty() {
        return Err(Incomplete);
    }
    let all = read.len();
    let read: Vec<Tag> = {
        let listed: HashSet<&str> = names.iter().map(AsRef::as_ref).collect();
        read.into_iter().filter(|tag| listed.contains(&*tag.name)).collect()
    };
    let newer: Vec<Box<str>> = {
        let known: HashSet<&str> = read.iter().map(|tag| &*tag.name).collect();
        names.into_iter().filter(|name| !known.contains(&**name)).collect()
    };
    if to_the_end && !newer.is_empty() {
        return Err(Incomplete);
    }
    let lacking = read.len() < all;
    Ok(Inventory { read, newer, lacking })
}

/// Puts together the old end and names of the newest tags, all of which are newer.
#[must_use]
pub fn both_ends(read: Vec<Tag>, newest: Vec<Box<str>>) -> Inventory {
    let newer = {
        let known: HashSet<&str> = read.iter().map(|tag| &*tag.name).collect();
        newest.into_iter().filter(|name| !known.contains(&**name)).collect()
    };
    Inventory { read, newer, lacking: false }
}

/// Whether pushes come in ascending order and are all known, which reading up to a cut-off depends on. `last` is the
/// last push of the page before.
#[must_use]
pub fn ascends(last: Option<Timestamp>, pushes: impl IntoIterator<Item = Option<Timestamp>>) -> bool {
    let mut last = last;
    pushes.into_iter().all(|push| {
        let fits = push.is_some_and(|push| last.is_none_or(|last| last <= push));
        last = push;
        fits
    })
}

#[cfg(test)]
mod tests;
