//! Plans one repository: reads what the rules need and decides about every tag. Removes nothing, and knows nothing of
//! Kubernetes: a run, a preview and the command line all plan by this.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::gitlab::{Error, Repository, TagOrder};
use crate::policy::Method;
use crate::policy::bulk::{keeping_attachments, parameters};
use crate::policy::compile::Rule;
use crate::policy::in_use::RepositoryUse;
use crate::policy::in_use::keep_regex::keep_pattern;
use crate::policy::inventory::Inventory;
use crate::policy::pattern::Pattern;
use crate::policy::plan::attachments;
use crate::policy::plan::doubt::{Doubt, Judgement, judge};
use crate::policy::plan::exact::Draft;
use crate::policy::plan::leftover::{Leftover, orphans, spared};
use crate::policy::plan::ties::Settled;
use crate::policy::plan::{KeepReason, PlannedTag, TagPlan, Verdict, bulk, decide_by_name, exact};
use crate::policy::tag::{Tag, TagView};
use crate::policy::tag_protection::Claims;

use super::failure::{Failure, Unknown};
use super::in_use::Usage;
use super::list_repositories::concerns_all;
use super::read_tags::{self, Extent, PAGE, Source, TagReader};

/// Requests for the details of tags under way at the same time. The pace per host is the real limit.
const DETAILS_IN_FLIGHT: usize = 8;

/// What planning needs.
#[derive(Clone, Copy)]
pub(crate) struct Planner<'a> {
    pub(crate) reader: TagReader<'a>,
    /// Which images are in use, where that matters.
    pub(crate) usage: Option<&'a Usage>,
}

/// Every tag of a repository with what is decided about it.
pub(crate) struct Plan {
    pub(crate) tags: TagPlan,
    pub(crate) source: Source,
    /// What is in use of it.
    pub(crate) claims: Claims,
    /// What GitLab's bulk deletion is told to keep though the rule matches it.
    pub(crate) leftover: Option<Leftover>,
}

impl Planner<'_> {
    /// Plans by the policy's method. For Bulk this foretells what GitLab would do.
    pub(crate) async fn plan(&self, repository: &Repository) -> Result<Plan, Failure> {
        match &self.reader.policy.method {
            Method::Exact(rules) => self.exact(rules, repository).await,
            Method::Bulk(rule) => {
                let plan = self.bulk(rule, repository).await?;
                // A run that removes finds the same, and leaves the repository alone.
                let keep = parameters(rule, &self.reader.policy.protect, true).ok().and_then(|all| all.name_regex_keep);
                let keep = if plan.leftover.is_some() { Some(keeping_attachments(keep.as_deref())) } else { keep };
                if let Err(message) = plan.spared(rule, &self.reader.policy.protect, keep.as_deref(), true) {
                    return Err(Failure::Unresolved(message));
                }
                match self.doubt(rule, repository, &bulk::candidates(&plan.tags)).await? {
                    Some(doubt) => Err(Failure::Doubted(doubt)),
                    None => Ok(plan),
                }
            }
        }
    }

    async fn exact(&self, rules: &[Rule], repository: &Repository) -> Result<Plan, Failure> {
        let plan = self.exact_once(rules, repository).await?;
        let partly_read = plan.source.extent == Extent::Oldest || !plan.tags.newer.is_empty();
        if plan.tags.wants_all && partly_read && !self.reader.everything {
            let all = Self { reader: self.reader.everything(), ..*self };
            return all.exact_once(rules, repository).await;
        }
        Ok(plan)
    }

    async fn exact_once(&self, rules: &[Rule], repository: &Repository) -> Result<Plan, Failure> {
        let used = self.used(repository)?;
        let (inventory, source) = read_tags::read(&self.reader, rules, repository).await?;
        let claims = self.claims(used, &inventory, source, repository).await?;
        let complete = source.extent == Extent::All && !inventory.lacking;
        let children = self.children(&inventory, repository).await?;
        let context = attachments::Context { with: self.reader.policy.attachments, children: &children, complete };
        let protect = self.reader.policy.protect.as_slice();
        let mut settled = Settled::new();
        let mut draft = exact::draft(inventory, rules, protect, &claims, context, source.at, &settled);
        // REST's dates are to the millisecond as they are.
        while source.graphql && !draft.open.is_empty() {
            let Draft { tags, open } = draft;
            self.settle(repository, open, &mut settled).await?;
            draft = exact::draft(tags.into_inventory(), rules, protect, &claims, context, source.at, &settled);
        }
        Ok(Plan { tags: draft.tags, source, claims, leftover: None })
    }

    /// Reads when tags were first pushed, to the millisecond.
    async fn settle(&self, repository: &Repository, open: Vec<Box<str>>, settled: &mut Settled) -> Result<(), Error> {
        let reads = stream::iter(open).map(|name| async move {
            let details = self.reader.client.tag(&repository.reference(), &name).await?;
            Ok::<_, Error>((name, details.and_then(|details| details.created_at)))
        });
        settled.extend(reads.buffered(DETAILS_IN_FLIGHT).try_collect::<Vec<_>>().await?);
        Ok(())
    }

    /// Why GitLab's bulk deletion is not to be trusted with these candidates, if it is not: all of a repository, or its
    /// newest.
    pub(crate) async fn doubt(
        &self,
        rule: &Rule,
        repository: &Repository,
        candidates: &[TagView<'_>],
    ) -> Result<Option<Doubt>, Error> {
        let mut settled = Settled::new();
        loop {
            match judge(candidates, rule, &settled, self.reader.clock.now()) {
                Judgement::Trusted => return Ok(None),
                Judgement::Doubted(doubt) => return Ok(Some(doubt)),
                Judgement::Open(open) => self.settle(repository, open, &mut settled).await?,
            }
        }
    }

    /// What is in use of a repository.
    pub(crate) fn used(&self, repository: &Repository) -> Result<RepositoryUse, Unknown> {
        self.usage.map_or_else(|| Ok(RepositoryUse::default()), |usage| usage.now(repository))
    }

    pub(crate) async fn bulk(&self, rule: &Rule, repository: &Repository) -> Result<Plan, Failure> {
        let used = self.used(repository)?;
        let at = self.reader.clock.now();
        let (inventory, source) = if used.by_digest() {
            // Who uses a tag is known by its digest only.
            let all = self.reader.everything();
            read_tags::read(&all, std::slice::from_ref(rule), repository).await?
        } else {
            let named: BTreeSet<Box<str>> = used.tags().map(|(name, _)| name.into()).collect();
            self.names_and_dates(rule, repository, &named, at).await?
        };
        let claims = self.claims(used, &inventory, source, repository).await?;
        let in_use = |tag: &&Tag| claims.certain(&tag.name, tag.digest.as_deref()).is_some();
        let in_use: BTreeSet<Box<str>> = inventory.read.iter().filter(in_use).map(|tag| tag.name.clone()).collect();
        let leftover = self.leftover(rule, repository, inventory.read.iter().map(|tag| &*tag.name)).await?;
        let tags = bulk::plan(inventory.read, rule, &self.reader.policy.protect, &in_use, at);
        Ok(Plan { tags, source, claims, leftover })
    }

    /// Which of these tags of a repository are attachments that only the pattern for them makes GitLab's bulk deletion
    /// keep. How many of them have no image takes reading every tag, which is done where that is 20 a request.
    pub(crate) async fn leftover(
        &self,
        rule: &Rule,
        repository: &Repository,
        names: impl Iterator<Item = &str>,
    ) -> Result<Option<Leftover>, Failure> {
        let attachments = names.filter(|name| spared(name, rule, &self.reader.policy.protect)).count();
        if attachments == 0 {
            return Ok(None);
        }
        let mut without = None;
        if self.reader.client.capabilities(repository.id).await?.graphql {
            let all = self.reader.everything();
            match read_tags::read(&all, std::slice::from_ref(rule), repository).await {
                Ok((inventory, _)) => without = orphans(&inventory.read, rule, &self.reader.policy.protect),
                // It decides about nothing.
                Err(Failure::Incomplete) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(Some(Leftover { attachments, orphans: without }))
    }

    /// Lists the names and reads the dates that matter: by GraphQL where it tells the last push, by which GitLab goes,
    /// or takes fewer requests; otherwise those of the candidates by REST.
    async fn names_and_dates(
        &self,
        rule: &Rule,
        repository: &Repository,
        in_use: &BTreeSet<Box<str>>,
        at: Timestamp,
    ) -> Result<(Inventory, Source), Failure> {
        let names = self.reader.client.tag_names(&repository.reference()).await?;
        let protect = self.reader.policy.protect.as_slice();
        let candidate = |name: &str| decide_by_name(name, rule, protect, in_use).is_none();
        let candidates = names.iter().filter(|name| candidate(name)).count();
        let dated = bulk::needs_dates(candidates, rule);
        let source = |ages| Source { graphql: false, ages, sorts_by_push: false, extent: Extent::All, at };
        if !dated && !self.reader.everything {
            self.reader.note_read(names.len());
            let now = self.reader.clock.now();
            let read = names.into_iter().map(|name| read_tags::tag(name, None, now)).collect();
            return Ok((Inventory { read, ..Inventory::default() }, source(None)));
        }
        if let Some(read) = self.by_graphql(rule, repository, names.len(), candidates).await? {
            return Ok(read);
        }
        let ages = read_tags::without_pushes(self.reader.client);
        let reads = stream::iter(names).map(|name| async {
            let details = if self.reader.everything || candidate(&name) {
                self.reader.client.tag(&repository.reference(), &name).await?
            } else {
                None
            };
            self.reader.note_read(1);
            Ok::<_, Error>(read_tags::tag(name, details, self.reader.clock.now()))
        });
        let read: Vec<Tag> = reads.buffered(DETAILS_IN_FLIGHT).try_collect().await?;
        Ok((Inventory { read, ..Inventory::default() }, source(Some(ages))))
    }

    /// Reads all tags by GraphQL, where it tells their last push or takes fewer requests than one for each candidate.
    async fn by_graphql(
        &self,
        rule: &Rule,
        repository: &Repository,
        tags: usize,
        candidates: usize,
    ) -> Result<Option<(Inventory, Source)>, Failure> {
        let read = async || {
            let capabilities = self.reader.client.capabilities(repository.id).await?;
            let cheaper = tags.div_ceil(PAGE) <= candidates;
            if !capabilities.graphql
                || !(cheaper || (capabilities.published_at && self.tells_pushes(repository).await?))
            {
                return Ok(None);
            }
            let all = self.reader.everything();
            read_tags::read(&all, std::slice::from_ref(rule), repository).await.map(Some)
        };
        match read().await {
            // What GraphQL does not tell, REST may.
            Err(Failure::GitLab(error)) if !concerns_all(&error) => {
                tracing::debug!(repository = repository.path, %error, "the dates cannot be read by GraphQL");
                Ok(None)
            }
            read => read,
        }
    }

    /// Whether GraphQL tells when the tags of a repository were last pushed.
    async fn tells_pushes(&self, repository: &Repository) -> Result<bool, Error> {
        let page = self.reader.client.tag_page(repository.id, TagOrder::Name, None).await?;
        Ok(page.tags.iter().all(|tag| tag.published_at.is_some()))
    }
}

/// What a bulk deletion has to spare because it is in use.
pub(crate) struct Spared {
    /// The tags of the repository that are in use.
    pub(crate) in_use: BTreeSet<Box<str>>,
    /// The pattern that makes GitLab keep them, and what the policy keeps.
    pub(crate) keep: Option<String>,
}

impl Plan {
    /// What GitLab has to be told to keep; or why it cannot be told. `keep` is the pattern of what the policy keeps,
    /// `knows_keep` says whether GitLab obeys such a pattern.
    pub(crate) fn spared(
        &self,
        rule: &Rule,
        protect: &[Pattern],
        keep: Option<&str>,
        knows_keep: bool,
    ) -> Result<Spared, String> {
        let mut in_use = BTreeSet::new();
        let told = |name: &str| decide_by_name(name, rule, protect, &BTreeSet::new()).is_none();
        // Also those that the repository does not have, or not yet: they may be pushed before GitLab gets to work.
        let mut to_tell: Vec<&str> = self.claims.of().tags().map(|(name, _)| name).filter(|name| told(name)).collect();
        for PlannedTag { tag, decision, .. } in &self.tags.read {
            if decision.verdict == Verdict::Keep(KeepReason::InUse) {
                in_use.insert(tag.name.clone());
                if told(&tag.name) {
                    to_tell.push(&tag.name);
                }
            } else if self.claims.possible(&tag.name, tag.digest.as_deref(), tag.single_image) && told(&tag.name) {
                let doubt = self.claims.doubt();
                let advice = if self.claims.all_possible() { "" } else { "; method: Exact keeps those alone" };
                return Err(format!("{} and others may be in use: {doubt}{advice}", tag.name));
            }
        }
        if !to_tell.is_empty() && !knows_keep {
            return Err("GitLab before 12.10 cannot be told to keep the tags in use; upgrade it".to_owned());
        }
        match keep_pattern(to_tell, keep) {
            Ok(keep) => Ok(Spared { in_use, keep }),
            Err(error) => Err(format!("{error}; method: Exact keeps them")),
        }
    }

    /// Who uses tags that would go otherwise or not, the first few: `v1.2 by prod/Deployment/web`.
    pub(crate) fn users(&self) -> Option<String> {
        self.claims
            .users_message(self.tags.read.iter().map(|PlannedTag { tag, .. }| (&*tag.name, tag.digest.as_deref())))
    }

    /// How many tags stay because they may be in use, and why it is not known.
    pub(crate) fn doubted(&self) -> Option<(usize, String)> {
        let perhaps = self.tags.in_use().filter(|tag| self.claims.certain(tag.name, tag.digest).is_none()).count();
        (perhaps > 0).then(|| (perhaps, self.claims.doubt()))
    }

    /// Why tags stay, with how many: `kept: 12 TooYoung, 5 WithinKeepN, 1 Latest`.
    pub(crate) fn kept(&self) -> String {
        let reasons = self.tags.kept();
        if reasons.is_empty() { "nothing is kept".to_owned() } else { format!("kept: {reasons}") }
    }
}
