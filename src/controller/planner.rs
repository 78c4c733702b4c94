//! Plans one repository: reads what the rules need and decides about every tag. Removes nothing, and knows nothing of
//! Kubernetes: a run, a preview and the command line all plan by this.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::clock::Clock;
use crate::gitlab::{Client, Error, Repository, TagDetails};
use crate::policy::compile::Rule;
use crate::policy::inventory::{Inventory, Seen};
use crate::policy::plan::exact::{Decision, Moment};
use crate::policy::plan::{Verdict, decide_by_name, exact, reasons_to_keep, server};
use crate::policy::{CompiledPolicy, Method};

use super::inventory::{self, Failure, Source};

/// Requests for the details of tags under way at the same time. The pace per host is the real limit.
const DETAILS_IN_FLIGHT: usize = 8;

/// What planning needs.
#[derive(Clone, Copy)]
pub(crate) struct Planner<'a> {
    pub(crate) client: &'a Client,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) policy: &'a CompiledPolicy,
    /// The moment as of which to plan: ages are reckoned from it, and what was pushed later stays. `None` = now.
    pub(crate) as_of: Option<Timestamp>,
    /// Read every tag in full, also those whose fate is clear without.
    pub(crate) everything: bool,
    /// Counts the tags that are read, for whoever watches; those of a second attempt again.
    pub(crate) read: Option<&'a AtomicU64>,
}

/// Every tag of a repository with what is decided about it.
pub(crate) struct Plan {
    /// The tags, in the order of the decisions: those that were read, then those that are known by name only.
    pub(crate) inventory: Inventory,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) source: Source,
}

impl Planner<'_> {
    /// Takes note of tags that were read.
    pub(crate) fn note_read(&self, tags: usize) {
        if let Some(read) = self.read {
            read.fetch_add(tags as u64, Ordering::Relaxed);
        }
    }

    /// Plans by the policy's method. For Bulk this foretells what GitLab would do.
    pub(crate) async fn plan(&self, repository: &Repository) -> Result<Plan, Failure> {
        match &self.policy.method {
            Method::Exact(rules) => self.exact(rules, repository).await,
            Method::Bulk(rule) => Ok(self.bulk(rule, repository).await?),
        }
    }

    async fn exact(&self, rules: &[Rule], repository: &Repository) -> Result<Plan, Failure> {
        let (inventory, source) = inventory::read(self, rules, repository).await?;
        let decisions = exact::plan(&inventory.tags(), rules, &self.policy.protect, source.at);
        Ok(Plan { inventory, decisions, source })
    }

    pub(crate) async fn bulk(&self, rule: &Rule, repository: &Repository) -> Result<Plan, Error> {
        let at = self.clock.now();
        let names = self.client.tag_names(&repository.reference()).await?;
        let protect = self.policy.protect.as_slice();
        let candidate = |name: &str| decide_by_name(name, rule, protect).is_none();
        let candidates = names.iter().filter(|name| candidate(name)).count();
        let dated = server::needs_dates(candidates, rule);
        let reads = stream::iter(names).map(|name| async {
            let details = if self.everything || (dated && candidate(&name)) {
                self.client.tag(&repository.reference(), &name).await?
            } else {
                None
            };
            self.note_read(1);
            Ok::<_, Error>(seen(name, details, self.clock.now()))
        });
        let read: Vec<Seen> = reads.buffered(DETAILS_IN_FLIGHT).try_collect().await?;
        let tags: Vec<(&str, Option<Timestamp>)> = read
            .iter()
            .map(|seen| match seen.created {
                Moment::At(date) => (&*seen.name, Some(date)),
                Moment::Unknown | Moment::Newer => (&*seen.name, None),
            })
            .collect();
        let verdicts = server::plan(&tags, rule, protect, at);
        let by_rule = |verdict| Decision { verdict, rule: ruled(verdict).then_some(0) };
        let decisions = verdicts.into_iter().map(by_rule).collect();
        let source = Source { graphql: false, pushes_known: false, sorts_by_push: false, complete: true, at };
        Ok(Plan { inventory: Inventory { read, newer: Vec::new() }, decisions, source })
    }
}

/// Whether the one rule of a bulk deletion has anything to do with a verdict.
fn ruled(verdict: Verdict) -> bool {
    use crate::policy::plan::KeepReason as K;
    !matches!(verdict, Verdict::Keep(K::Latest | K::Protected | K::NoRuleMatches))
}

/// A tag as its details tell of it. One whose details are not there may be gone or of a kind that has none; either way its age
/// is not known.
pub(crate) fn seen(name: Box<str>, details: Option<TagDetails>, now: Timestamp) -> Seen {
    let created = Moment::read(details.as_ref().and_then(|details| details.created_at), now);
    Seen {
        name,
        pushed: created,
        push_told: false,
        created,
        protected: false,
        bytes: details.as_ref().and_then(|details| details.total_size),
        digest: details.and_then(|details| details.digest).map(String::into_boxed_str),
    }
}

impl Plan {
    /// The tags that are to go.
    pub(crate) fn into_removed(self) -> Vec<Seen> {
        let chosen = self.inventory.read.into_iter().zip(self.decisions);
        chosen.filter(|(_, decision)| decision.verdict == Verdict::Remove).map(|(seen, _)| seen).collect()
    }

    /// Why tags stay, with how many: `kept: 12 TooYoung, 5 WithinKeepN, 1 Latest`.
    pub(crate) fn kept(&self) -> String {
        let reasons = reasons_to_keep(self.decisions.iter().map(|decision| decision.verdict));
        if reasons.is_empty() { "nothing is kept".to_owned() } else { format!("kept: {reasons}") }
    }
}
