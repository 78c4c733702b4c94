//! The rules in words, each with what it decided.

use super::super::{Listing, PlanHeader, Repository, RuleSummary, units};
use crate::api::SortBy;
use crate::policy::plan::{Verdict, reasons_to_keep};
use crate::terminal::plain;

pub(super) struct RuleView {
    pub(super) name: String,
    pub(super) parts: Vec<Part>,
    pub(super) remove: String,
    pub(super) kept: String,
}

/// Some words, and a pattern behind them where there is one.
pub(super) struct Part {
    pub(super) words: String,
    pub(super) code: String,
    pub(super) end: &'static str,
}

/// What keeps tags before any rule is asked.
pub(super) struct ProtectionView {
    pub(super) words: &'static str,
    pub(super) codes: Vec<String>,
}

pub(super) fn rules(listing: &Listing) -> Vec<RuleView> {
    let decisions: Vec<_> = listing
        .repositories
        .iter()
        .filter_map(Repository::planned)
        .flat_map(|planned| planned.tags.iter().map(|(_, decision)| decision))
        .filter(|decision| decision.rule().is_some())
        .collect();
    let view = |(number, rule): (usize, &RuleSummary)| {
        let own = decisions.iter().filter(|decision| decision.rule() == Some(number)).map(|decision| decision.verdict);
        let remove = own.clone().filter(|verdict| matches!(verdict, Verdict::Remove(_))).count() as u64;
        RuleView {
            name: plain(&rule.name),
            parts: parts(rule),
            remove: units::grouped(remove),
            kept: reasons_to_keep(own),
        }
    };
    listing.about.rules.iter().enumerate().map(view).collect()
}

/// A rule as a sentence: "Selects `mr-.*`, but not `main`, once older than 14d; 20 stay: the newest."
fn parts(rule: &RuleSummary) -> Vec<Part> {
    let part = |words: &str, code: Option<&String>| Part {
        words: words.to_owned(),
        code: code.map(|code| plain(code)).unwrap_or_default(),
        end: "",
    };
    let mut parts = vec![part("Selects", Some(&rule.delete))];
    if rule.keep.is_some() {
        parts.push(part(", but not", rule.keep.as_ref()));
    }
    if let Some(age) = &rule.older_than {
        parts.push(part(&format!(", once older than {}", plain(age)), None));
    }
    if let Some(number) = rule.keep_n.filter(|number| *number > 0) {
        let order = match rule.sort_by {
            SortBy::PushedAt => "the newest",
            SortBy::CreatedAt => "the newest by their first push",
            SortBy::SemVer | SortBy::Version => "the highest versions",
            SortBy::Name => "the last by name",
        };
        let stay = if number == 1 { "stays" } else { "stay" };
        let each = if rule.group_by.is_some() { " of each group by" } else { "" };
        parts.push(part(&format!("; {} {stay}{each}", units::grouped(u64::from(number))), rule.group_by.as_ref()));
        parts.push(part(&format!(": {order}"), None));
    }
    if let Some(last) = parts.last_mut() {
        last.end = ".";
    }
    parts
}

pub(super) fn protections(about: &PlanHeader) -> Vec<ProtectionView> {
    let patterns = about.protect.iter().map(|pattern| plain(pattern)).collect::<Vec<_>>();
    let words = if patterns.is_empty() {
        "No rule selects the tag latest."
    } else {
        "No rule selects the tag latest, nor what protect.nameRegex matches:"
    };
    vec![ProtectionView { words, codes: patterns }]
}
