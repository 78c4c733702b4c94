//! What the names of tags tell: families, told apart by the shapes of names alone.
//!
//! A family with a shape is what its pattern matches, and the first policy (`draft`) is written with the same patterns.
//! So what was shown is what a rule selects. A name of which two families could be right belongs to the one that stays;
//! one without a known shape is an other, and nothing is proposed for it.

pub mod draft;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use super::attachment::subject;
use super::pattern::{Pattern, PatternError};

/// Versions as Semantic Versioning and people write them: `v1.2.3`, `1.2`, `v3`, `release-1.2`, with whatever follows.
pub const RELEASES: &str = r"(?:(?:release|version)[-_.]?)?(?:[vV][0-9]+|[vV]?[0-9]+(?:\.[0-9]+)+)(?:[-_.A-Za-z].*)?";
/// Names that move from image to image, with words behind them: `main`, `latest-alpine`.
pub const BRANCHES: &str = "(?:main|master|trunk|develop|development|dev|latest|stable|edge|next|current|default|\
                            head|HEAD|canary|nightly|daily|weekly|snapshot|alpha|beta|rc|lts|release|staging|stage|test|\
                            testing|qa|uat|preprod|prod|production|live|preview|demo)(?:[-_.][A-Za-z]+)*";
/// The number of a merge request or pull request, with whatever follows.
pub const MERGE_REQUESTS: &str = "(?:mr|MR|pr|PR|pull|merge-request|merge-requests)[-_.][0-9]+(?:[-_.].*)?";
/// Builds that say how often they are made, with a date or number.
pub const NIGHTLIES: &str = "(?:nightly|daily|snapshot)[-_.]?[0-9].*";
/// Abbreviated and whole hashes, by which commits are named.
pub const COMMITS: &str = "(?:(?:sha|git|commit)-)?(?:[0-9a-f]{7,40}|[0-9a-f]{64})";
/// What looks like a hash and may be something else: a number, a word, a date with something behind it.
pub const NO_COMMITS: &str = "[0-9]+|[a-f]+|20[0-9]{2}[01][0-9][0-3][0-9].*";
/// A date alone or in front: a nightly build for one team, a release for another.
const DATES: &str = "20[0-9]{2}(?:[01][0-9][0-3][0-9]|[-_][01][0-9][-_][0-3][0-9])(?:[^0-9].*)?";

/// What a tag seems to be for.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// A release.
    Release,
    /// A branch, a channel or an environment: a name that moves from image to image.
    Branch,
    /// A merge request.
    MergeRequest,
    /// A build that is made again and again.
    Nightly,
    /// A commit.
    Commit,
    /// A date, which may be that of a build or of a release.
    Date,
    /// A signature, an attestation, an SBOM.
    Attachment,
    /// Something else, by what the names begin with; empty where they share nothing.
    Other(Box<str>),
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release => f.write_str("releases"),
            Self::Branch => f.write_str("branches and names that move"),
            Self::MergeRequest => f.write_str("merge requests"),
            Self::Nightly => f.write_str("nightly builds"),
            Self::Commit => f.write_str("commits"),
            Self::Date => f.write_str("dates"),
            Self::Attachment => f.write_str("signatures and the like"),
            Self::Other(begin) if begin.is_empty() => f.write_str("other names"),
            Self::Other(begin) => write!(f, "{begin}…"),
        }
    }
}

/// What is known of the tags of a family.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// How many repositories have some.
    pub repositories: u64,
    /// How many there are.
    pub tags: u64,
    /// How many one repository has at most.
    pub most: u64,
    /// Of how many the size is known, and what these have together, in bytes. Layers that they share count in each.
    pub sized: (u64, u64),
    /// When the oldest and the newest were pushed or built, of those that were looked at more closely.
    pub dates: Option<(Timestamp, Timestamp)>,
}

/// A tag that was looked at more closely.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sample<'n> {
    /// Its name.
    pub name: &'n str,
    /// When it was pushed or built.
    pub at: Option<Timestamp>,
    /// Its size in bytes.
    pub bytes: Option<u64>,
}

/// The tags of several repositories, by family.
#[derive(Debug)]
pub struct Families {
    /// In the order in which a name is asked about.
    shapes: Vec<(Family, Pattern)>,
    no_commits: Pattern,
    seen: BTreeMap<Family, Seen>,
}

impl Families {
    /// Nothing yet.
    ///
    /// # Errors
    /// None that is known: the patterns are constants.
    pub fn new() -> Result<Self, PatternError> {
        let shapes = [
            (Family::Release, RELEASES),
            (Family::Branch, BRANCHES),
            (Family::MergeRequest, MERGE_REQUESTS),
            (Family::Nightly, NIGHTLIES),
            (Family::Commit, COMMITS),
            (Family::Date, DATES),
        ];
        let compile = |(family, pattern)| Pattern::compile(pattern).map(|pattern| (family, pattern));
        Ok(Self {
            shapes: shapes.into_iter().map(compile).collect::<Result<_, _>>()?,
            no_commits: Pattern::compile(NO_COMMITS)?,
            seen: BTreeMap::new(),
        })
    }

    /// The family of a name.
    #[must_use]
    pub fn of(&self, name: &str) -> Family {
        if subject(name).is_some() {
            return Family::Attachment;
        }
        let fits = |(family, pattern): &&(Family, Pattern)| {
            pattern.matches(name) && (*family != Family::Commit || !self.no_commits.matches(name))
        };
        self.shapes.iter().find(fits).map_or_else(|| Family::Other(begin(name).into()), |(family, _)| family.clone())
    }

    /// Counts the tags of one repository. `sample` are those of them that were looked at more closely, each once.
    pub fn count<'n>(&mut self, names: impl IntoIterator<Item = &'n str>, sample: &[Sample<'n>]) {
        let mut here: BTreeMap<Family, u64> = BTreeMap::new();
        for name in names {
            *here.entry(self.of(name)).or_default() += 1;
        }
        for tag in sample {
            let family = self.of(tag.name);
            // A tag that was pushed after the names were listed belongs to none of them.
            if here.contains_key(&family) {
                self.seen.entry(family).or_default().look(tag);
            }
        }
        for (family, tags) in here {
            let seen = self.seen.entry(family).or_default();
            seen.repositories += 1;
            seen.tags += tags;
            seen.most = seen.most.max(tags);
        }
    }

    /// What was counted, the families with a shape first, then the others with the most tags.
    #[must_use]
    pub fn seen(&self) -> Vec<(&Family, Seen)> {
        let mut all: Vec<(&Family, Seen)> = self.seen.iter().map(|(family, seen)| (family, *seen)).collect();
        all.sort_by_key(|(family, seen)| matches!(family, Family::Other(_)).then_some(Reverse(seen.tags)));
        all
    }

    /// What is known of a family.
    #[must_use]
    pub fn seen_of(&self, family: &Family) -> Seen {
        self.seen.get(family).copied().unwrap_or_default()
    }
}

impl Seen {
    fn look(&mut self, tag: &Sample<'_>) {
        if let Some(bytes) = tag.bytes {
            self.sized = (self.sized.0 + 1, self.sized.1.saturating_add(bytes));
        }
        if let Some(at) = tag.at {
            let (oldest, newest) = self.dates.unwrap_or((at, at));
            self.dates = Some((oldest.min(at), newest.max(at)));
        }
    }
}

/// What a name has in common with others of its kind: all before its first number, up to the last separator there.
fn begin(name: &str) -> &str {
    let digit = name.find(|c: char| c.is_ascii_digit());
    let head = digit.and_then(|at| name.get(..at)).unwrap_or(name);
    match head.rfind(['-', '_', '.']) {
        Some(at) => head.get(..=at).unwrap_or_default(),
        None if digit.is_some() => head,
        None => "",
    }
}

#[cfg(test)]
mod tests;
