//! How the tags of a repository were read: what may be concluded from them, and how they can be removed.

use jiff::Timestamp;

use super::tag::Ages;

/// How tags were read.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Whether tags can be removed by GraphQL, several at a time.
    pub graphql: bool,
    /// What ages are counted from; `None` where no dates were read.
    pub ages: Option<Ages>,
    /// Whether the newest pushes can be asked for.
    pub sorts_by_push: bool,
    /// How much is known of.
    pub extent: Extent,
    /// The moment as of which the plan is made, or at which the reading began: what was pushed later stays.
    pub at: Timestamp,
}

/// How much of a repository an inventory covers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extent {
    /// Every tag, at least by its name.
    All,
    /// The oldest tags. There may be others, younger than all of these.
    Oldest,
}
