//! From GitLab's own cleanup policies to policies of ours that mean the same, with what cannot be carried over.
//!
//! Nothing is guessed: a project whose settings are not known in full, or that no policy can stand for, is told with
//! the reason and gets none. What comes out is a dry run until somebody writes another mode.

pub mod pattern;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::{CompileOptions, compile};
use crate::api::limits::MAX_PROJECTS;
use crate::api::{RegistryCleanupPolicySpec, RuleSpec};
use crate::model::CleanupSettings;
use pattern::{is_in_every_name, whole_name};

/// A project with what GitLab tells of its cleanup policy; `None` is nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProjectSettings {
    /// Its full path.
    pub path: String,
    /// Its cleanup policy.
    pub settings: Option<CleanupSettings>,
}

/// Where the policies will find GitLab.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    /// Its URL.
    pub url: String,
    /// The Secret with the token.
    pub secret: String,
}

impl Address {
    /// Whether it is without TLS, which a policy has to say as well.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.url.starts_with("http://")
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Import {
    /// The policies, in the order of their first projects.
    pub policies: Vec<Imported>,
    /// Projects that no policy stands for, by the reason.
    pub left: Vec<Left>,
}

/// One policy, for all projects with the same settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The projects.
    pub projects: Vec<String>,
    /// The rule.
    pub rule: RuleSpec,
    /// The schedule, in UTC.
    pub schedule: &'static str,
    /// What is not quite as it was.
    pub remarks: Vec<String>,
}

/// Projects that get no policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Left {
    /// The projects.
    pub projects: Vec<String>,
    /// Why, as a sentence without its full stop.
    pub why: String,
}

/// Makes the policies.
#[must_use]
pub fn import(address: &Address, projects: &[ProjectSettings], options: &CompileOptions, now: Timestamp) -> Import {
    let mut alike: BTreeMap<Option<&CleanupSettings>, Vec<String>> = BTreeMap::new();
    for project in projects {
        alike.entry(project.settings.as_ref()).or_default().push(project.path.clone());
    }
    let mut import = Import::default();
    for (settings, mut projects) in alike {
        projects.sort_unstable();
        projects.dedup();
        let translated = settings.ok_or_else(not_told).and_then(translate);
        for part in projects.chunks(MAX_PROJECTS) {
            let projects = part.to_vec();
            let made = translated.clone().map(|(rule, schedule, remarks)| Imported {
                projects: projects.clone(),
                rule,
                schedule,
                remarks,
            });
            match made.and_then(|made| made.accepted(address, options, now)) {
                Ok(made) => import.policies.push(made),
                Err(why) => import.left.push(Left { projects, why }),
            }
        }
    }
    import.policies.sort_by(|one, other| one.projects.cmp(&other.projects));
    import.left.sort_by(|one, other| one.projects.cmp(&other.projects));
    import
}

fn not_told() -> String {
    "GitLab does not tell its cleanup policy in full: the token takes the scope read_api and a role in the project"
        .to_owned()
}

impl Imported {
    /// The spec of the policy.
    ///
    /// # Errors
    /// None that is known: the shape is that of the definition.
    pub fn spec(&self, address: &Address) -> Result<RegistryCleanupPolicySpec, serde_json::Error> {
        serde_json::from_value(json!({
            "gitlab": {"url": address.url, "insecure": address.is_insecure(), "secretRef": {"name": address.secret}},
            "target": {"projects": self.projects},
            "rules": [self.rule],
            "schedule": self.schedule,
        }))
    }

    /// The same, if the operator would carry it out.
    fn accepted(self, address: &Address, options: &CompileOptions, now: Timestamp) -> Result<Self, String> {
        let spec = self.spec(address).map_err(|error| error.to_string())?;
        match compile(&spec, options, now) {
            Ok(_) => Ok(self),
            Err(problem) => Err(format!("a policy would be refused: {}", problem.message)),
        }
    }
}

/// A rule and a schedule, with what is not quite as it was; or why there is none.
fn translate(settings: &CleanupSettings) -> Result<(RuleSpec, &'static str, Vec<String>), String> {
    if !settings.enabled {
        return Err("its cleanup policy is not enabled".to_owned());
    }
    let given = |pattern: &Option<String>| pattern.clone().filter(|pattern| !pattern.is_empty());
    let delete = given(&settings.name_regex).ok_or("its cleanup policy selects no tag")?;
    let keep = given(&settings.name_regex_keep);
    if keep.as_deref().is_some_and(is_in_every_name) {
        return Err("its cleanup policy keeps every tag: name_regex_keep has an empty alternative".to_owned());
    }
    let mut remarks = Vec::new();
    let mut meant = |field: &str, pattern: String| {
        let whole = whole_name(&pattern).map_err(|error| format!("{field}: {error}"))?;
        if whole != pattern {
            remarks.push(format!("{field}: GitLab reads {pattern} as {whole}"));
        }
        Ok::<String, String>(whole)
    };
    let name_regex_delete = meant("name_regex", delete)?;
    let name_regex_keep = keep.map(|keep| meant("name_regex_keep", keep)).transpose()?;
    let (schedule, remark) = schedule(&settings.cadence)?;
    remarks.extend(remark.map(str::to_owned));
    let (keep_n, older_than) = (settings.keep_n, settings.older_than.clone());
    let name = "imported".to_owned();
    let rule = RuleSpec { name, name_regex_delete, name_regex_keep, keep_n, older_than, group_by: None, sort_by: None };
    Ok((rule, schedule, remarks))
}

/// A schedule as often as GitLab's own, at night, and what it does not say.
fn schedule(cadence: &str) -> Result<(&'static str, Option<&'static str>), String> {
    match cadence {
        "1d" => Ok(("17 3 * * *", None)),
        "7d" => Ok(("17 3 * * 0", None)),
        "14d" => Ok(("17 3 1,15 * *", Some("cadence: every 14 days has become the 1st and the 15th of each month"))),
        "1month" => Ok(("17 3 1 * *", None)),
        "3month" => Ok(("17 3 1 */3 *", None)),
        other => Err(format!("its cadence {other:?} is not known")),
    }
}

#[cfg(test)]
mod tests;
