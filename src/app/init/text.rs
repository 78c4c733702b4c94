//! What `init` prints: a table of families for people, and the policy with the reasons for what it says.

use std::fmt::Write;

use jiff::Timestamp;
use serde::Serialize;

use super::super::columns::aligned;
use super::super::gitlab_reader::{Error, Request, yaml};
use crate::api::RuleSpec;
use crate::plan_output::units;
use crate::policy::families::draft::{Draft, PROTECT};
use crate::policy::families::{Families, Family, Seen};
use crate::terminal::plain;

/// Kinds of other names that are told one by one.
const TOLD_OTHERS: usize = 15;

/// What was looked at.
#[derive(Debug, Default)]
pub(super) struct Extent {
    /// All repositories.
    pub(super) repositories: usize,
    /// How many were to be looked at, at most.
    pub(super) most_repositories: usize,
    /// How many were.
    pub(super) read: u64,
    /// Of how many the size is known, and all of these in bytes.
    pub(super) sized: (u64, u64),
    /// What was left out, and why.
    pub(super) remarks: Vec<String>,
}

impl Extent {
    fn sentence(&self) -> String {
        let all = units::of(self.repositories as u64, "repository", "repositories");
        let left = self.repositories.saturating_sub(self.most_repositories);
        let left = if left > 0 {
            format!("; --max-repositories {} left out {left}", self.most_repositories)
        } else {
            String::new()
        };
        format!("{all}, {} looked at{left}", self.read)
    }
}

/// The families as people read them.
pub(super) fn summary(families: &Families, draft: &Draft, extent: &Extent, now: Timestamp) -> String {
    let mut text = format!("{}.\n", extent.sentence());
    let (sized, bytes) = extent.sized;
    if sized > 0 {
        let _ = writeln!(text, "{} in the {sized} whose size GitLab tells.", units::size(bytes));
    }
    let seen = families.seen();
    let shaped = seen.iter().filter(|(family, _)| !matches!(family, Family::Other(_))).count();
    let told = seen.len().min(shaped + TOLD_OTHERS);
    if !seen.is_empty() {
        let heads = ["FAMILY", "REPOSITORIES", "TAGS", "SIZE OF ONE", "OLDEST", "NEWEST", "IN THE POLICY"];
        let rows = seen.iter().take(told).map(|(family, seen)| row(family, *seen, draft, now));
        let _ = write!(text, "\n{}\n", aligned(&heads, rows));
        text.push_str("Sizes and ages are those of a sample: at most 40 tags of each repository.\n");
    }
    if told < seen.len() {
        let _ = writeln!(text, "There are {} more kinds of names, with fewer tags each.", seen.len() - told);
    }
    for remark in &extent.remarks {
        let _ = writeln!(text, "{}", plain(remark));
    }
    text
}

fn row(family: &Family, seen: Seen, draft: &Draft, now: Timestamp) -> Vec<String> {
    let unknown = || "-".to_owned();
    let (sized, bytes) = seen.sized;
    let age = |at: Timestamp| units::age(now.duration_since(at));
    let (oldest, newest) = seen.dates.map_or_else(|| (unknown(), unknown()), |(old, new)| (age(old), age(new)));
    let decided = match family {
        Family::Release | Family::Branch => "protected".to_owned(),
        Family::Attachment => "stay with their images".to_owned(),
        Family::Date | Family::Other(_) => "left alone".to_owned(),
        Family::MergeRequest | Family::Nightly | Family::Commit => {
            let rule = draft.rules.iter().find(|(of, _, _)| of == family).map(|(_, rule, _)| rule);
            rule.map_or_else(|| "too few for a rule".to_owned(), selected)
        }
    };
    let size = bytes.checked_div(sized).map_or_else(unknown, units::size);
    let name = plain(&family.to_string());
    vec![name, seen.repositories.to_string(), seen.tags.to_string(), size, oldest, newest, decided]
}

/// How much a rule lets go.
fn selected(rule: &RuleSpec) -> String {
    let older = rule.older_than.as_deref().unwrap_or_default();
    format!("olderThan {older}, keepN {}", rule.keep_n.unwrap_or_default())
}

/// A part of a policy, in the order in which people read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Part<'a> {
    ApiVersion(&'static str),
    Kind(&'static str),
    Metadata {
        name: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
    },
    #[serde(rename = "gitlab")]
    GitLab {
        url: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        insecure: Option<bool>,
        #[serde(rename = "secretRef")]
        secret: Named<'a>,
    },
    Target {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        groups: Vec<Group<'a>>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        projects: &'a [String],
    },
    Method(&'static str),
    Rules(Vec<&'a RuleSpec>),
    Protect {
        #[serde(rename = "nameRegex")]
        names: [&'static str; PROTECT.len()],
    },
    Schedule(&'static str),
    Mode(&'static str),
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Group<'a> {
    path: &'a str,
}

/// The policy, with comments.
///
/// # Errors
/// None that is known: whatever a value holds, YAML can say it.
pub(super) fn policy(
    request: &Request,
    families: &Families,
    draft: &Draft,
    extent: &Extent,
    now: Timestamp,
) -> Result<String, Error> {
    let mut text = String::new();
    comment(&mut text, "", &head(extent));
    part(&mut text, "", &Part::ApiVersion("registrycleanup.dev/v1alpha1"))?;
    part(&mut text, "", &Part::Kind("RegistryCleanupPolicy"))?;
    part(&mut text, "", &Part::Metadata { name: "first", namespace: request.namespace.as_deref() })?;
    text.push_str("spec:\n");
    let mut spec = |comments: &[String], of: Part<'_>| {
        comment(&mut text, "  ", comments);
        part(&mut text, "  ", &of)
    };
    let secret = Named { name: &request.address.secret };
    let insecure = request.address.is_insecure().then_some(true);
    spec(&[], Part::GitLab { url: &request.address.url, insecure, secret })?;
    let groups = request.groups.iter().map(|path| Group { path }).collect();
    spec(&[], Part::Target { groups, projects: &request.projects })?;
    spec(&["Exactly the tags go that the plan names.".to_owned()], Part::Method("Exact"))?;
    spec(&reasons(families, draft, now), Part::Rules(draft.rules.iter().map(|(_, rule, _)| rule).collect()))?;
    let mut kept = vec!["No rule removes what one of these matches, in this order:".to_owned()];
    kept.extend(PROTECT.iter().map(|(_, why)| format!("- {why}")));
    spec(&kept, Part::Protect { names: PROTECT.map(|(pattern, _)| pattern) })?;
    spec(&[], Part::Schedule("17 3 * * *"))?;
    spec(&["Removes nothing. Delete removes, with a token that may.".to_owned()], Part::Mode("DryRun"))?;
    Ok(text)
}

fn head(extent: &Extent) -> Vec<String> {
    let mut head = vec![
        format!("A first policy, by what was seen: {}.", extent.sentence()),
        "It is for all repositories of its target, also for those that were not looked at. It is a dry run: read what"
            .to_owned(),
        "it would remove (registry-cleanup-operator plan -f FILE) before you write another mode.".to_owned(),
    ];
    head.extend(extent.remarks.iter().map(|remark| format!("- {remark}")));
    head
}

/// Why there are these rules, and no other.
fn reasons(families: &Families, draft: &Draft, now: Timestamp) -> Vec<String> {
    let count = |seen: Seen| {
        let repositories = units::of(seen.repositories, "repository", "repositories");
        format!("{} in {repositories}", units::of(seen.tags, "tag", "tags"))
    };
    let mut lines = vec!["The newest keepN of each repository stay, whatever their age:".to_owned()];
    for (family, rule, why) in &draft.rules {
        let seen = families.seen_of(family);
        let oldest = seen.dates.map_or_else(String::new, |(oldest, _)| {
            format!(", the oldest that was looked at {} old", units::age(now.duration_since(oldest)))
        });
        lines.push(format!("- {}: {why}.", rule.name));
        lines.push(format!("  Seen: {}{oldest}.", count(seen)));
    }
    if !draft.left.is_empty() {
        lines.push("No rule is for these names, since it is not known what they are for; they stay:".to_owned());
    }
    for family in draft.left.iter().take(TOLD_OTHERS) {
        lines.push(format!("- {family} ({})", count(families.seen_of(family))));
    }
    if draft.left.len() > TOLD_OTHERS {
        lines.push(format!("- and {} more kinds of names", draft.left.len() - TOLD_OTHERS));
    }
    lines
}

fn comment(text: &mut String, indent: &str, lines: &[String]) {
    for line in lines {
        let _ = writeln!(text, "{indent}# {}", plain(line));
    }
}

fn part(text: &mut String, indent: &str, part: &Part<'_>) -> Result<(), Error> {
    for line in yaml(part)?.lines() {
        let _ = writeln!(text, "{indent}{line}");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
