//! The plan as a report for people: one HTML file that asks for nothing else and can be read without its script.
//!
//! Names and messages come from a registry, a cluster and a file that anybody may have written. The template escapes
//! each; a policy in the file's head allows its own style sheet and script, by their hashes, and nothing else.

mod reasons;
mod repository;
mod rules;
mod share;
mod timeline;

use std::collections::BTreeMap;

use askama::Template;

use super::{Listing, Note, NoteKind, Repository, units};
use crate::api::Mode;
use crate::policy::plan::Verdict;
use crate::terminal::plain;
use reasons::{Family, sentence};
use repository::{RepositoryView, capital};
use rules::{ProtectionView, RuleView};
use share::{Share, shares};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// The hashes of the two as a Content Security Policy names them. A test compares them with the files.
const STYLE_HASH: &str = "sha256-Ek5tw8Rw9XnTXu2C4Q05B5Xv0+MiwqFdbI2IO/6YPtc=";
const SCRIPT_HASH: &str = "sha256-OsEJ2A29U5RTlL3VdAJUKn18n1iZYFjeoVJibQqK12w=";

/// Most repositories that are all unfolded; of more, the first from which something would go.
const UNFOLDED: usize = 3;

/// The whole file.
///
/// # Errors
/// None that is known; the template could have one.
pub fn page(listing: &Listing) -> Result<String, askama::Error> {
    Page::new(listing).render()
}

#[derive(Template)]
#[template(path = "page.html", whitespace = "minimize")]
struct Page {
    style: &'static str,
    script: &'static str,
    style_hash: &'static str,
    script_hash: &'static str,
    headline: String,
    policy: String,
    lead: String,
    notes: Vec<NoteView>,
    remove: Number,
    remove_unit: &'static str,
    keep: Number,
    keep_unit: &'static str,
    bytes: Number,
    shares: Vec<Share>,
    shares_label: String,
    reasons: Vec<Reasons>,
    rules: Vec<RuleView>,
    protections: Vec<ProtectionView>,
    repositories: Vec<RepositoryView>,
    facts: Vec<Fact>,
}

struct NoteView {
    class: &'static str,
    label: &'static str,
    text: String,
}

/// A number as it is, and as it is shown.
struct Number {
    value: u64,
    shown: String,
}

/// Why tags would go, or why they would stay.
struct Reasons {
    title: &'static str,
    reasons: Vec<ReasonView>,
}

struct ReasonView {
    class: &'static str,
    count: Number,
    name: &'static str,
    text: &'static str,
    size: String,
}

struct Fact {
    name: &'static str,
    text: String,
}

impl Page {
    fn new(listing: &Listing) -> Self {
        let totals = listing.totals;
        let shares = shares(decided(listing).map(|(verdict, _)| verdict));
        let titles: Vec<&str> = shares.iter().map(|share| share.title.as_str()).collect();
        Self {
            style: STYLE,
            script: SCRIPT,
            style_hash: STYLE_HASH,
            script_hash: SCRIPT_HASH,
            headline: headline(listing),
            policy: plain(&listing.about.policy),
            lead: lead(listing),
            notes: listing.notes().into_iter().map(NoteView::from).collect(),
            remove: Number::of(totals.remove),
            remove_unit: unit(totals.remove),
            keep: Number::of(totals.keep),
            keep_unit: unit(totals.keep),
            bytes: Number { value: totals.bytes, shown: freed(totals.remove, totals.bytes) },
            shares_label: format!("Of all tags: {}", titles.join(", ")),
            shares,
            reasons: why(listing),
            rules: rules::rules(listing),
            protections: rules::protections(&listing.about),
            repositories: repositories(listing),
            facts: facts(listing),
        }
    }
}

impl Number {
    fn of(value: u64) -> Self {
        Self { value, shown: units::grouped(value) }
    }
}

impl From<Note> for NoteView {
    fn from(note: Note) -> Self {
        use NoteKind as Kind;
        let (class, label) = match note.kind {
            Kind::RunLimitExceeded | Kind::RepositoriesFailed | Kind::NotEffective => ("stop", "Problem"),
            Kind::InUseNotLookedAt
            | Kind::AgesByBuild
            | Kind::ProtectionRulesNotKnown
            | Kind::DefinitionOutdated
            | Kind::Overlapping
            | Kind::RegistryNotUsed => ("warn", "Caution"),
            Kind::RequestLimits | Kind::ExcludeWindow | Kind::Paused | Kind::DryRun => ("info", "Note"),
        };
        Self { class, label, text: capital(&plain(&note.text)) }
    }
}

/// Every tag's verdict, with its size where that is known.
fn decided(listing: &Listing) -> impl Iterator<Item = (Verdict, u64)> {
    let planned = listing.repositories.iter().filter_map(Repository::planned);
    planned.flat_map(|planned| {
        let read = planned.tags.read.iter().map(|tag| (tag.decision.verdict, tag.tag.bytes.unwrap_or_default()));
        read.chain(planned.tags.newer.iter().map(|tag| (tag.decision.verdict, 0)))
    })
}

fn headline(listing: &Listing) -> String {
    let totals = listing.totals;
    if totals.remove == 0 {
        return "Nothing would go".to_owned();
    }
    let (remove, scanned) = (units::grouped(totals.remove), units::grouped(totals.scanned));
    let limit = if listing.exceeded().is_some() { ", more than a limit allows" } else { "" };
    format!("{remove} of {scanned} {} would go{limit}", unit(totals.scanned))
}

fn lead(listing: &Listing) -> String {
    let (totals, about) = (listing.totals, &listing.about);
    let all = units::of(totals.repositories as u64, "repository", "repositories");
    let what = if totals.remove == 0 {
        format!("none of the {} in {all}", units::of(totals.scanned, "tag", "tags"))
    } else {
        format!("them from {} of {all}", totals.changed)
    };
    let mode = match about.mode {
        // Said by a note.
        Mode::DryRun => "",
        Mode::Delete => " Its mode is Delete: what a run removes does not come back.",
        Mode::RequireApproval => " Its mode is RequireApproval: a run waits until somebody approves of its plan.",
    };
    let (policy, gitlab) = (plain(&about.policy), plain(&about.gitlab));
    format!("By the rules of the policy {policy} on {gitlab}, a run would remove {what}.{mode}")
}

fn unit(number: u64) -> &'static str {
    if number == 1 { "tag" } else { "tags" }
}

/// How much is freed at most. Sizes that were not read are not counted.
fn freed(remove: u64, bytes: u64) -> String {
    if bytes == 0 && remove > 0 { "not known".to_owned() } else { units::size(bytes) }
}

fn why(listing: &Listing) -> Vec<Reasons> {
    let mut sums: BTreeMap<Verdict, (u64, u64)> = BTreeMap::new();
    for (verdict, bytes) in decided(listing) {
        let (count, size) = sums.entry(verdict).or_default();
        *count += 1;
        *size += bytes;
    }
    let mut sums: Vec<(Verdict, (u64, u64))> = sums.into_iter().collect();
    sums.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let column = |title, goes| {
        let wanted = sums.iter().filter(|(verdict, _)| matches!(verdict, Verdict::Remove(_)) == goes);
        let reasons = wanted.map(|(verdict, (count, bytes))| ReasonView {
            class: Family::of(*verdict).class(),
            count: Number::of(*count),
            name: verdict.reason(),
            text: sentence(*verdict),
            size: if *bytes == 0 { String::new() } else { format!(", {}", units::size(*bytes)) },
        });
        Reasons { title, reasons: reasons.collect() }
    };
    let columns = [column("Why tags would go", true), column("Why tags would stay", false)];
    columns.into_iter().filter(|column| !column.reasons.is_empty()).collect()
}

fn repositories(listing: &Listing) -> Vec<RepositoryView> {
    let few = listing.repositories.len() <= UNFOLDED;
    let first = listing.repositories.iter().position(|repository| repository.removals() > 0);
    let views = listing.repositories.iter().enumerate();
    views.map(|(number, one)| RepositoryView::new(listing, one, few || Some(number) == first)).collect()
}

fn facts(listing: &Listing) -> Vec<Fact> {
    let about = &listing.about;
    let fact = |name, text: &str| Fact { name, text: plain(text) };
    vec![
        fact("Policy", &about.policy),
        fact("GitLab", &about.gitlab),
        fact("Method", about.method.as_str()),
        fact("Mode", about.mode.as_str()),
        fact("As of", &about.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
        fact("Plan", &listing.plan_hash()),
    ]
}

#[cfg(test)]
mod tests;
