//! The first policy for what was seen: what it protects, what may go, and what it leaves alone.
//!
//! Careful before all: releases and names that move are protected whether any was seen or not, a family without a known
//! shape gets no rule, and a rule is there only where it could do something at all.

use crate::api::RuleSpec;

use super::{BRANCHES, COMMITS, Families, Family, MERGE_REQUESTS, NIGHTLIES, NO_COMMITS, RELEASES};

/// What a policy protects, each pattern with the reason.
pub const PROTECT: [(&str, &str); 2] = [
    (RELEASES, "Releases: somebody may go back to one."),
    (BRANCHES, "Branches, channels and environments: these names move, and their images are the ones that count."),
];

/// A rule for a family that is understood.
struct Template {
    family: Family,
    name: &'static str,
    delete: &'static str,
    keep: Option<&'static str>,
    keep_n: u32,
    older_than: &'static str,
    why: &'static str,
}

const TEMPLATES: [Template; 3] = [
    Template {
        family: Family::MergeRequest,
        name: "merge-requests",
        delete: MERGE_REQUESTS,
        keep: None,
        keep_n: 10,
        older_than: "60d",
        why: "images of merge requests; most are done with once these are merged or closed",
    },
    Template {
        family: Family::Nightly,
        name: "nightly-builds",
        delete: NIGHTLIES,
        keep: None,
        keep_n: 14,
        older_than: "60d",
        why: "builds that are made again and again",
    },
    Template {
        family: Family::Commit,
        name: "commits",
        delete: COMMITS,
        keep: Some(NO_COMMITS),
        keep_n: 20,
        older_than: "90d",
        why: "one image for each commit; nameRegexKeep has what only looks like a hash: numbers, words, dates",
    },
];

/// What a first policy says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// The rules, each with its family and the reason.
    pub rules: Vec<(Family, RuleSpec, &'static str)>,
    /// Families that no rule is for and nothing protects, those with the most tags first.
    pub left: Vec<Family>,
}

/// Drafts a policy. It has no rule where no family that is understood has more tags in a repository than would stay
/// anyway.
#[must_use]
pub fn draft(families: &Families) -> Draft {
    let rules = TEMPLATES.into_iter().filter(|template| {
        let most = families.seen_of(&template.family).most;
        most > u64::from(template.keep_n)
    });
    let rules = rules.map(|template| {
        let rule = RuleSpec {
            name: template.name.to_owned(),
            name_regex_delete: template.delete.to_owned(),
            name_regex_keep: template.keep.map(str::to_owned),
            keep_n: Some(template.keep_n),
            older_than: Some(template.older_than.to_owned()),
            group_by: None,
            sort_by: None,
        };
        (template.family, rule, template.why)
    });
    let left = families.seen().into_iter().map(|(family, _)| family);
    let left = left.filter(|family| matches!(family, Family::Date | Family::Other(_))).cloned();
    Draft { rules: rules.collect(), left: left.collect() }
}
