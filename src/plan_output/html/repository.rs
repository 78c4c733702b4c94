//! One repository of the report: what becomes of it in a line, its tags by age, and every tag, folded by what is
//! decided about it and why.

use std::collections::BTreeMap;

use super::super::text::remarks;
use super::super::{Listing, Planned, Repository, State, Tag, text, units};
use super::reasons::{Family, sentence};
use super::share::{Share, shares};
use super::timeline::{Chart, chart};
use crate::policy::plan::Verdict;
use crate::policy::tag::{Ages, Moment};
use crate::terminal::plain;

/// Most tags that would go that are unfolded with their repository.
const UNFOLDED: usize = 25;

pub(super) struct RepositoryView {
    pub(super) id: u64,
    pub(super) open: bool,
    pub(super) path: String,
    /// What becomes of it, and with which class that is told.
    pub(super) amount: String,
    pub(super) class: &'static str,
    pub(super) shares: Vec<Share>,
    pub(super) problems: Vec<String>,
    pub(super) chart: Option<Chart>,
    pub(super) remarks: Vec<String>,
    pub(super) groups: Vec<Group>,
}

/// Tags with one verdict, one reason and one rule.
pub(super) struct Group {
    pub(super) verdict: &'static str,
    /// The verdict and its reason as JSON has them.
    pub(super) word: &'static str,
    pub(super) reason: &'static str,
    pub(super) class: &'static str,
    pub(super) open: bool,
    pub(super) count: String,
    pub(super) text: String,
    pub(super) size: String,
    /// Whether it is told who uses them.
    pub(super) users: bool,
    pub(super) rows: Vec<Row>,
}

pub(super) struct Row {
    pub(super) name: String,
    pub(super) age: String,
    pub(super) size: String,
    pub(super) users: String,
}

impl RepositoryView {
    pub(super) fn new(listing: &Listing, repository: &Repository, open: bool) -> Self {
        let tags = repository.planned().map(Planned::tags).unwrap_or_default();
        let error = listing.error(repository);
        let (amount, class) = match &repository.state {
            State::Failed(_) => ("failed".to_owned(), " failed"),
            State::Skipped(message) => (format!("left alone: {}", plain(message)), ""),
            State::Planned(planned) => (text::amount(planned), if error.is_some() { " failed" } else { "" }),
        };
        let problem = |message: String| format!("A run would remove nothing here: {}.", plain(&message));
        Self {
            id: repository.id,
            open,
            path: plain(&repository.path),
            amount,
            class,
            shares: shares(tags.iter().map(|tag| tag.decision.verdict)),
            problems: error.into_iter().map(problem).collect(),
            chart: chart(&tags, listing.about.at),
            remarks: repository.planned().map(said).unwrap_or_default(),
            groups: groups(listing, &tags),
        }
    }
}

/// What there is to say besides the tags.
fn said(planned: &Planned) -> Vec<String> {
    let unread = (!planned.complete).then(|| "All younger tags stay; they were not read.".to_owned());
    let ages = planned.ages.filter(|ages| *ages != Ages::LastPush).map(|ages| capital(ages.as_str()));
    let remarks = remarks(planned).map(|remark| capital(&plain(&remark)));
    unread.into_iter().chain(ages).chain(remarks).collect()
}

fn groups(listing: &Listing, tags: &[Tag<'_>]) -> Vec<Group> {
    let mut parts: BTreeMap<(Family, Verdict, Option<usize>), Vec<&Tag<'_>>> = BTreeMap::new();
    for tag in tags {
        let verdict = tag.decision.verdict;
        parts.entry((Family::of(verdict), verdict, tag.decision.rule())).or_default().push(tag);
    }
    parts.into_iter().map(|((family, verdict, _), tags)| group(listing, family, verdict, tags)).collect()
}

fn group(listing: &Listing, family: Family, verdict: Verdict, mut tags: Vec<&Tag<'_>>) -> Group {
    let goes = family == Family::Goes;
    // The oldest first.
    tags.sort_by_key(|tag| (tag.pushed, tag.name));
    let rule = tags.first().and_then(|tag| listing.about.rule(tag.decision));
    let by = rule.map(|rule| format!(" by the rule {}", plain(rule))).unwrap_or_default();
    let bytes: u64 = tags.iter().filter_map(|tag| tag.bytes).sum();
    Group {
        verdict: if goes { "go" } else { "stay" },
        word: verdict.as_str(),
        reason: verdict.reason(),
        class: family.class(),
        open: goes && tags.len() <= UNFOLDED,
        count: units::grouped(tags.len() as u64),
        text: format!("would {}{by}. {}", if goes { "go" } else { "stay" }, sentence(verdict)),
        size: if bytes == 0 { String::new() } else { units::size(bytes) },
        users: tags.iter().any(|tag| tag.users.is_some()),
        rows: tags.into_iter().map(|tag| row(listing, tag)).collect(),
    }
}

fn row(listing: &Listing, tag: &Tag<'_>) -> Row {
    Row {
        name: plain(tag.name),
        age: match tag.pushed {
            Moment::At(date) => units::age(listing.about.at.duration_since(date)),
            Moment::Unknown | Moment::Placeholder(_) | Moment::Ahead(_) => "unknown".to_owned(),
            Moment::Newer => "younger".to_owned(),
        },
        size: tag.bytes.map_or_else(|| "–".to_owned(), units::size),
        users: tag.users.as_ref().map(|users| plain(&users.to_string())).unwrap_or_default(),
    }
}

/// A sentence of what has neither a capital letter nor a full stop.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let end = if text.ends_with('.') { "" } else { "." };
    first.chain(letters).chain(end.chars()).collect()
}
