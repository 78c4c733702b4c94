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
    /// The same, but not up to the age from which on all are too young: as many as are planned at the same time. Others
    /// are planned once these are gone.
    Pass {
        /// The tags before this moment were read.
        until: Timestamp,
    },
}

impl Extent {
    /// From when on tags are left for another pass, if any are.
    #[must_use]
    pub const fn more_from(self) -> Option<Timestamp> {
        if let Self::Pass { until } = self { Some(until) } else { None }
    }

    /// Whether every tag is known of.
    #[must_use]
    pub const fn is_all(self) -> bool {
        matches!(self, Self::All)
    }
}
