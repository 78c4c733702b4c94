//! Reads what a backtest plays: every tag of each repository, once. It asks GitLab as a plan does that lists
//! everything, and reads only.

use futures::stream::{self, BoxStream, StreamExt};

use super::plan::archived;
use super::plan::failure::Failure;
use super::plan::list_repositories::concerns_all;
use super::plan::planner::Whole;
use super::plan_command::{Forecast, Unavailable};
use super::run::plan_repositories::{delete_scheduled, not_planned};
use crate::gitlab::Repository;
use crate::policy::inventory::Inventory;
use crate::policy::plan::attachments::Children;
use crate::policy::planning_width::FEWEST;
use crate::policy::tag::Ages;

/// A repository as it was read.
pub struct Reading {
    /// Its full path.
    pub path: String,
    /// Registry host, port and path.
    pub location: String,
    /// What was found out.
    pub state: ReadingState,
}

/// What was found out about a repository.
pub enum ReadingState {
    /// All of its tags.
    Read {
        /// The tags.
        inventory: Inventory,
        /// What is known of indexes.
        children: Children,
        /// Whether there is no tag besides those.
        complete: bool,
        /// What ages are counted from.
        ages: Option<Ages>,
    },
    /// Nothing, and why.
    Failed(String),
    /// A run leaves it alone, and why.
    Skipped(String),
}

impl Forecast {
    /// The repositories with all of their tags, in the order of the paths, a few being read at the same time. Ends with
    /// the first error, which concerns all of them.
    pub fn readings(&self) -> BoxStream<'_, Result<Reading, Unavailable>> {
        stream::iter(&self.repositories).map(|repository| self.read_whole(repository)).buffered(FEWEST).boxed()
    }

    async fn read_whole(&self, repository: &Repository) -> Result<Reading, Unavailable> {
        let skipped = |message: Option<String>| ReadingState::Skipped(message.unwrap_or_default());
        let state = match delete_scheduled(repository) {
            Some(outcome) => skipped(outcome.message),
            None => match archived::closed(self.planner().reader.client, repository).await? {
                Some(outcome) => skipped(outcome.message),
                None => match self.planner().read_everything(self.question.policy.method.rules(), repository).await {
                    Ok(Whole { inventory, children, complete, ages }) => {
                        ReadingState::Read { inventory, children, complete, ages }
                    }
                    Err(Failure::GitLab(error)) if concerns_all(&error) => return Err(error.into()),
                    Err(failure) => ReadingState::Failed(not_planned(repository, &failure).message.unwrap_or_default()),
                },
            },
        };
        Ok(Reading { path: repository.path.clone(), location: repository.location.clone(), state })
    }
}
