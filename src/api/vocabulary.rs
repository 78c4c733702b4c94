//! The closed sets of values that spec and status share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::words;

words! {
/// How tags are removed.
#[derive(Default, Deserialize, JsonSchema, Serialize)]
pub enum Method {
    /// By GitLab's bulk deletion.
    #[default]
    Bulk,
    /// Tag by tag, as planned.
    Exact,
}
}

/// What makes one tag newer than another.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum SortBy {
    /// The last push.
    #[default]
    PushedAt,
    /// The first push.
    CreatedAt,
    /// The version that the name is, by the rules of Semantic Versioning.
    SemVer,
    /// The version that the name is, as people write them.
    Version,
    /// The name.
    Name,
}

words! {
/// What a run does with the tags it selects.
#[derive(Default, Deserialize, JsonSchema, Serialize)]
pub enum Mode {
    /// Plans and reports, removes nothing.
    #[default]
    DryRun,
    /// Plans, waits for an approval of the plan, and then removes what was planned.
    RequireApproval,
    /// Removes.
    Delete,
}
}
