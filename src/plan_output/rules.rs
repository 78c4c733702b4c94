//! What a plan says of the rules that made it: what each selects, and what it asks of a tag before the tag may go.

use crate::api::SortBy;
use crate::policy::compile::Rule;

/// A rule as the spec has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleSummary {
    /// Its name.
    pub name: String,
    /// `nameRegexDelete`.
    pub delete: String,
    /// `nameRegexKeep`.
    pub keep: Option<String>,
    /// `olderThan`, as it was written.
    pub older_than: Option<String>,
    /// `keepN`.
    pub keep_n: Option<u32>,
    /// `groupBy`.
    pub group_by: Option<String>,
    /// `sortBy`.
    pub sort_by: SortBy,
}

impl From<&Rule> for RuleSummary {
    fn from(rule: &Rule) -> Self {
        Self {
            name: rule.name.clone(),
            delete: rule.delete.source().to_owned(),
            keep: rule.keep.as_ref().map(|pattern| pattern.source().to_owned()),
            older_than: rule.older_than.as_ref().map(|age| age.as_str().to_owned()),
            keep_n: rule.keep_n,
            group_by: rule.group_by.as_ref().map(|pattern| pattern.source().to_owned()),
            sort_by: rule.sort_by,
        }
    }
}
