//! Groups, projects and the rules that protect their tags.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Role;

/// Who may see a group or project (gitlab-api reference 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Members only.
    Private,
    /// Every signed-in user.
    Internal,
    /// Everyone.
    Public,
}

/// The registry visibility of a project (gitlab-api reference 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistryAccess {
    /// Follows the project's visibility.
    Enabled,
    /// Reporters and above, whatever the project's visibility.
    Private,
    /// Nobody.
    Disabled,
}

/// A group or subgroup.
#[derive(Clone, Debug)]
pub struct Group {
    /// Numeric id.
    pub id: u64,
    /// Full path, such as `shop/platform`.
    pub path: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// Direct members by user id.
    pub members: BTreeMap<u64, Role>,
}

/// A project.
#[derive(Clone, Debug)]
pub struct Project {
    /// Numeric id.
    pub id: u64,
    /// Full path, such as `shop/backend`.
    pub path: String,
    /// Paths it had before; GitLab redirects them.
    pub moved_from: Vec<String>,
    /// Who may see it.
    pub visibility: Visibility,
    /// Its registry's visibility.
    pub registry_access: RegistryAccess,
    /// Direct members by user id.
    pub members: BTreeMap<u64, Role>,
    /// It is archived: its images can be read and not be changed (gitlab-api reference 10).
    pub archived: bool,
    /// It will be deleted, and is as good as archived until then (gitlab-api reference 10).
    pub pending_deletion: bool,
    /// Its tag protection rules.
    pub protection_rules: Vec<ProtectionRule>,
    /// GitLab's own cleanup policy. Nothing runs it here; a client may want to warn about it.
    pub cleanup_policy: CleanupPolicy,
}

impl Project {
    /// Whether its images can only be read.
    #[must_use]
    pub fn takes_no_changes(&self) -> bool {
        self.archived || self.pending_deletion
    }
}

/// A project's own cleanup policy (gitlab-api reference 8). The default is what every new project has: switched off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupPolicy {
    /// Whether it runs.
    pub enabled: bool,
    /// `1d`, `7d`, `14d`, `1month` or `3month`.
    pub cadence: String,
    /// 1, 5, 10, 25, 50 or 100.
    pub keep_n: Option<u32>,
    /// `7d`, `14d`, `30d` or `90d`.
    pub older_than: Option<String>,
    /// The pattern of what is removed.
    pub name_regex: Option<String>,
    /// The pattern of what stays.
    pub name_regex_keep: Option<String>,
    /// When it runs next.
    pub next_run_at: Option<Timestamp>,
}

impl Default for CleanupPolicy {
    fn default() -> Self {
        Self {
            enabled: false,
            cadence: "1d".to_owned(),
            keep_n: Some(10),
            older_than: Some("90d".to_owned()),
            name_regex: Some(".*".to_owned()),
            name_regex_keep: None,
            next_run_at: None,
        }
    }
}

/// The role from which on a protected tag may be deleted (gitlab-api reference 2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeleteLevel {
    /// Maintainers and owners.
    Maintainer,
    /// Owners.
    Owner,
    /// Instance administrators.
    Admin,
}

/// A rule that protects the tags its pattern is found in; the search is not anchored (gitlab-api reference 2.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectionRule {
    /// RE2 pattern of at most 100 characters.
    pub pattern: String,
    /// Who may still delete; `None` is an immutable rule, effective for everyone.
    pub delete_level: Option<DeleteLevel>,
}

impl ProtectionRule {
    /// A rule that lets only `level` and above delete.
    #[must_use]
    pub fn mutable(pattern: &str, level: DeleteLevel) -> Self {
        Self { pattern: pattern.to_owned(), delete_level: Some(level) }
    }

    /// A rule that lets nobody delete (18.1).
    #[must_use]
    pub fn immutable(pattern: &str) -> Self {
        Self { pattern: pattern.to_owned(), delete_level: None }
    }
}

/// Whether `path` is `parent` or lies below it.
pub(crate) fn is_within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_within_itself_and_its_ancestors_only() {
        assert!(is_within("shop/platform/tools", "shop"));
        assert!(is_within("shop", "shop"));
        assert!(!is_within("shopping", "shop"));
    }
}
