//! Whether the tags of several repositories still are what they were planned as, right before the one request leaves
//! that removes them all.
//!
//! Each repository's tags pass the very check that they would pass alone (`check_tags`), and one that does not pass
//! holds the request back. Only what is asked is shared: one request tells of the newest pushes of all repositories,
//! and the cluster is asked once, after GitLab, about everything that is in use.

use std::sync::Arc;

use futures::future::{self, BoxFuture, FutureExt};
use jiff::Timestamp;

use crate::gitlab::{Client, FinalCheck};

use super::check_tags::{Found, TagCheck, used};

/// The checks of one request.
pub(super) struct CheckTogether {
    client: Client,
    checks: Vec<Arc<TagCheck>>,
}

impl CheckTogether {
    pub(super) fn of(client: Client, checks: Vec<Arc<TagCheck>>) -> Arc<Self> {
        Arc::new(Self { client, checks })
    }

    async fn check(&self) -> bool {
        for check in &self.checks {
            check.note(None);
        }
        let Some(asked) = self.unchanged().await else { return false };
        if !self.in_time(&asked) || !self.spared().await {
            return false;
        }
        if self.checks.iter().zip(&asked).all(|(check, asked)| check.in_time(*asked)) {
            return true;
        }
        // The cluster took long. It was asked after this check began, and is listened to meanwhile.
        let Some(asked) = self.unchanged().await else { return false };
        self.spared_as_known() && self.in_time(&asked)
    }

    /// When GitLab was asked about each repository, if all tags are as they were planned.
    async fn unchanged(&self) -> Option<Vec<Timestamp>> {
        let client = self.client.cutting_in_together();
        let told = future::join_all(self.checks.iter().map(|check| check.unchanged(&client))).await;
        let mut asked = Vec::new();
        for (check, told) in self.checks.iter().zip(told) {
            match told {
                Ok(at) => asked.push(at),
                Err(found) => check.note(Some(found)),
            }
        }
        (asked.len() == self.checks.len()).then_some(asked)
    }

    /// Whether what GitLab was asked still holds. What does not is noted.
    fn in_time(&self, asked: &[Timestamp]) -> bool {
        let mut all = true;
        for (check, asked) in self.checks.iter().zip(asked) {
            if !check.in_time(*asked) {
                check.note(Some(Found::Late));
                all = false;
            }
        }
        all
    }

    /// Whether nothing of it is in use. The cluster is asked once.
    async fn spared(&self) -> bool {
        if let Some((check, look)) = self.checks.iter().find_map(|check| Some((check, check.in_use()?)))
            && !look.still().await
        {
            check.note(Some(used(look)));
            return false;
        }
        self.spared_as_known()
    }

    /// The same by what is known just now.
    fn spared_as_known(&self) -> bool {
        let mut all = true;
        for check in &self.checks {
            if let Some(look) = check.in_use().filter(|look| !look.still_as_known()) {
                check.note(Some(used(look)));
                all = false;
            }
        }
        all
    }
}

impl FinalCheck for CheckTogether {
    fn still(&self) -> BoxFuture<'_, bool> {
        self.check().boxed()
    }
}
