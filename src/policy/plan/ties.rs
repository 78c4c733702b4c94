//! Equal ranks: which tags are among the `keepN` newest for certain, and what to do where nobody knows.
//!
//! Importing a registry into the metadata database gives every tag of a repository the same date, builders of
//! reproducible images date everything 1970 or 1980, and GraphQL tells whole seconds only. So a date is a span of time,
//! not a moment: the second that a date without a fraction begins, the millisecond otherwise. Of two tags whose spans
//! overlap nobody knows which is newer. A tag goes if at least `keepN` others are newer for certain. Where some of
//! those that share a rank would stay and others go, all of them stay: [`KeepReason::DateTied`]. In the same way
//! `v1.0.0`, `1.0.0` and `1.0.0+build` are one version.
//!
//! This never removes more than an order that is known: whoever is newer for certain is newer. And one competitor less,
//! or one date less certain, never makes more tags that are newer for certain.
//!
//! Dates to the millisecond, which REST tells of the first push, can settle what whole seconds leave open, for tags
//! that were pushed once. They are not read where that cannot help: of more than [`MOST_READ`] tags, or once two of
//! them have turned out to be equal, as they are after an import.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use semver::{BuildMetadata, Version};

use super::version::NamedVersion;
use super::{Decision, KeepReason, TagPlan, Verdict};
use crate::api::SortBy;
use crate::policy::compile::Rule;
use crate::policy::tag::{Moment, TagView, to_the_second};

/// Most tags that are read to settle one border of `keepN`.
pub const MOST_READ: usize = 40;

/// The last nanosecond of a second, and of a millisecond, after its first.
const REST_OF_SECOND: SignedDuration = SignedDuration::from_nanos(999_999_999);
const REST_OF_MILLISECOND: SignedDuration = SignedDuration::from_nanos(999_999);

/// When tags were first pushed, to the millisecond, by name; `None` where it was asked for in vain.
pub type Settled = HashMap<Box<str>, Option<Timestamp>>;

/// Where a tag stands among those it competes with: the larger, the newer or higher.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Rank<'a> {
    /// By a date, which may be that of a whole second.
    Date(Timestamp),
    /// By a version, without its build metadata, which says nothing about precedence.
    Version(Version),
    /// By a version as people write them.
    NamedVersion(NamedVersion),
    /// By the name.
    Name(&'a str),
}

impl Rank<'_> {
    /// The latest that it may stand for.
    pub(super) fn end(&self) -> Self {
        match self {
            Self::Date(date) => {
                let whole = date.subsec_nanosecond() == 0;
                let rest = if whole { REST_OF_SECOND } else { REST_OF_MILLISECOND };
                Self::Date(date.saturating_add(rest).unwrap_or(*date))
            }
            Self::Version(_) | Self::NamedVersion(_) | Self::Name(_) => self.clone(),
        }
    }
}

/// A tag that competes for the slots of its rule and group.
pub(super) struct Candidate<'a> {
    pub(super) name: &'a str,
    /// Whether the date of its first push is the one to rank by, so that reading it may tell more.
    pub(super) once: bool,
    pub(super) rank: Rank<'a>,
    pub(super) decision: &'a mut Decision,
}

/// What is certain of a tag among those it competes with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It is one of the first.
    Within,
    /// It may be one of the first: it shares its rank with some that are, and with others that are not.
    Tied,
    /// It is none of the first.
    Beyond,
}

/// The rank of a tag.
///
/// # Errors
/// Why it has none.
pub(super) fn rank<'t>(tag: &TagView<'t>, sort_by: SortBy, settled: &Settled) -> Result<Rank<'t>, KeepReason> {
    let date = match sort_by {
        SortBy::PushedAt => tag.pushed,
        SortBy::CreatedAt => tag.created,
        SortBy::Name => return Ok(Rank::Name(tag.name)),
        SortBy::Version => {
            return NamedVersion::parse(tag.name).map(Rank::NamedVersion).ok_or(KeepReason::NoVersion);
        }
        SortBy::SemVer => {
            let version = Version::parse(tag.name.strip_prefix('v').unwrap_or(tag.name));
            let plain = |version| Rank::Version(Version { build: BuildMetadata::EMPTY, ..version });
            return version.map(plain).map_err(|_| KeepReason::NoVersion);
        }
    };
    match date {
        Moment::At(date) => {
            let read = settled.get(tag.name).copied().flatten().filter(|_| pushed_once(tag, sort_by));
            // Of another second it is the date of another tag by this name.
            Ok(Rank::Date(read.filter(|read| to_the_second(*read) == to_the_second(date)).unwrap_or(date)))
        }
        Moment::Newer => Ok(Rank::Date(Timestamp::MAX)),
        Moment::Unknown | Moment::Placeholder(_) | Moment::Ahead(_) => Err(KeepReason::DateUnknown),
    }
}

/// Whether the date of the first push is the one to rank by.
pub(super) fn pushed_once(tag: &TagView<'_>, sort_by: SortBy) -> bool {
    let second = |moment| if let Moment::At(date) = moment { Some(to_the_second(date)) } else { None };
    let pushed = second(tag.pushed);
    sort_by == SortBy::CreatedAt || (pushed.is_some() && pushed == second(tag.created))
}

/// What is certain of each of these, where the first `keep_n` stay; in their order.
#[must_use]
pub fn standings<'a, 'r: 'a>(ranks: impl Iterator<Item = &'a Rank<'r>> + Clone, keep_n: usize) -> Vec<Standing> {
    let mut starts: Vec<&Rank<'_>> = ranks.clone().collect();
    starts.sort_unstable();
    let mut ends: Vec<Rank<'_>> = ranks.clone().map(Rank::end).collect();
    ends.sort_unstable();
    let standing = |rank: &Rank<'_>| {
        let end = rank.end();
        let newer = starts.len() - starts.partition_point(|start| **start <= end);
        // It is one of these itself.
        let not_older = ends.len() - ends.partition_point(|end| end < rank);
        if not_older <= keep_n {
            Standing::Within
        } else if newer < keep_n {
            Standing::Tied
        } else {
            Standing::Beyond
        }
    };
    ranks.map(standing).collect()
}

/// Decides which of the candidates of one rule and group stay by their number. Answers the names of tags whose dates to
/// the millisecond may tell more.
pub(super) fn decide(
    candidates: Vec<Candidate<'_>>,
    keep_n: usize,
    sort_by: SortBy,
    settled: &Settled,
) -> Vec<Box<str>> {
    let standings = standings(candidates.iter().map(|candidate| &candidate.rank), keep_n);
    let tied = candidates.iter().zip(&standings).filter(|(_, standing)| **standing == Standing::Tied);
    let open = to_read(tied.map(|(tied, _)| (tied.name, tied.once, &tied.rank)), settled);
    let by_version = matches!(sort_by, SortBy::SemVer | SortBy::Version);
    for (Candidate { decision, .. }, standing) in candidates.into_iter().zip(standings) {
        let reason = match standing {
            Standing::Within => KeepReason::WithinKeepN,
            Standing::Tied if by_version => KeepReason::VersionTied,
            Standing::Tied => KeepReason::DateTied,
            Standing::Beyond => continue,
        };
        if decision.removes() {
            decision.verdict = Verdict::Keep(reason);
        }
    }
    open
}

/// Which of the tags at a border to read: those of which whole seconds are all that is known, at most [`MOST_READ`],
/// the first two first. None where two are known to be equal.
pub(super) fn to_read<'a, 'r: 'a>(
    tied: impl Iterator<Item = (&'r str, bool, &'a Rank<'r>)>,
    settled: &Settled,
) -> Vec<Box<str>> {
    let (mut known, mut open) = (Vec::new(), Vec::new());
    for (name, once, rank) in tied {
        match rank {
            Rank::Date(date) if date.subsec_nanosecond() != 0 => known.push(*date),
            Rank::Date(_) if once => open.push(name),
            _ => {}
        }
    }
    let several = known.len() + open.len();
    known.sort_unstable();
    if !(2..=MOST_READ).contains(&several) || known.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Vec::new();
    }
    open.sort_unstable();
    if known.is_empty() {
        open.truncate(2);
    }
    open.into_iter().filter(|name| !settled.contains_key(*name)).map(Box::from).collect()
}

/// What to say of the tags of a plan that stay because they share their dates: how many share which moment, what the
/// cause usually is, and what helps.
#[must_use]
pub fn sentence(plan: &TagPlan, rules: &[Rule]) -> Option<String> {
    let mut shared: HashMap<Timestamp, usize> = HashMap::new();
    for (tag, decision) in plan.iter() {
        let Some(rule) = decision.rule().and_then(|rule| rules.get(rule)) else { continue };
        let date = if rule.sort_by == SortBy::CreatedAt { tag.created } else { tag.pushed };
        if let (Verdict::Keep(KeepReason::DateTied), Moment::At(date)) = (decision.verdict, date) {
            *shared.entry(to_the_second(date)).or_default() += 1;
        }
    }
    let (moment, tags) = shared.iter().max_by_key(|(moment, tags)| (**tags, **moment))?;
    let more = match shared.len() {
        1 => "",
        _ => ", and others do so at other moments",
    };
    Some(format!("{tags} tags share one moment, {moment}, across the border of keepN{more}: {CAUSE}"))
}

/// What to say of tags that stay for ever because a rule ranks by version and their names are none: how many they are,
/// and what would rank some of them.
#[must_use]
pub fn unranked(plan: &TagPlan, rules: &[Rule]) -> Option<String> {
    let (mut unranked, mut ranked_by_version) = (0_usize, 0_usize);
    for (tag, decision) in plan.iter().filter(|(_, decision)| decision.verdict == Verdict::Keep(KeepReason::NoVersion))
    {
        let rule = decision.rule().and_then(|rule| rules.get(rule));
        let strict = rule.is_some_and(|rule| rule.sort_by == SortBy::SemVer);
        unranked += 1;
        ranked_by_version += usize::from(strict && NamedVersion::parse(tag.name).is_some());
    }
    let names = match unranked {
        0 => return None,
        1 => "1 name is no version, and its tag stays for ever".to_owned(),
        _ => format!("{unranked} names are no versions, and their tags stay for ever"),
    };
    Some(match ranked_by_version {
        0 => names,
        number => format!("{names}; sortBy: Version ranks {number} of them"),
    })
}

/// Why tags share a date, and what helps.
pub(super) const CAUSE: &str =
    "usually from a registry import or reproducible builds; sortBy SemVer or Name (method Exact) tells them apart";

#[cfg(test)]
mod tests;
