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
use crate::policy::inventory::Inventory;
use crate::policy::plan::attachments;
use crate::policy::plan::doubt::{Doubt, Judgement, judge};
use crate::policy::plan::exact::Draft;
use crate::policy::plan::leftover::{Leftover, orphans, spared};
use crate::policy::plan::repository::RepositoryPlan;
use crate::policy::plan::ties::Settled;
use crate::policy::plan::{PlannedTag, bulk, decide_by_name, exact};
use crate::policy::protection_rules::ProtectionRules;
use crate::policy::source::{Extent, Source};
use crate::policy::tag::{Ages, Tag, TagView};

use super::failure::{Failure, Unknown};
use super::in_use::Usage;
use super::list_repositories::concerns_all;
use super::read_tags;
use super::tag_reader::{PAGE, TagReader};

/// What planning needs.
#[derive(Clone, Copy)]
pub(crate) struct Planner<'a> {
    pub(crate) reader: TagReader<'a>,
    /// Which images are in use, where that matters.
    pub(crate) usage: Option<&'a Usage>,
}

/// A repository of which every tag was read in full.
pub(crate) struct Whole {
    pub(crate) inventory: Inventory,
    /// What is known of indexes.
    pub(crate) children: attachments::Children,
    /// Whether there is no tag besides those of the inventory.
    pub(crate) complete: bool,
    /// What ages are counted from.
    pub(crate) ages: Option<Ages>,
}

impl Planner<'_> {
    /// Plans by the policy's method. For Bulk this foretells what GitLab would do.
    pub(crate) async fn plan(&self, repository: &Repository) -> Result<RepositoryPlan, Failure> {
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

    async fn exact(&self, rules: &[Rule], repository: &Repository) -> Result<RepositoryPlan, Failure> {
        let mut plan = self.exact_once(rules, repository).await?;
        // Of the names of others too few are known to tell which of the old ones stay by their number.
        if !plan.source.extent.is_all() && plan.tags.read.iter().any(PlannedTag::stays_by_number) {
            plan = Self { reader: self.reader.all_names(), ..*self }.exact_once(rules, repository).await?;
        }
        let partly_read = !plan.source.extent.is_all() || !plan.tags.newer.is_empty();
        if plan.tags.wants_all && partly_read && !self.reader.everything {
            let all = Self { reader: self.reader.everything(), ..*self };
            return all.exact_once(rules, repository).await;
        }
        Ok(plan)
    }

    async fn exact_once(&self, rules: &[Rule], repository: &Repository) -> Result<RepositoryPlan, Failure> {
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
        let mut known = None;
        // GraphQL tells of each tag whether it may go.
        if !source.graphql && draft.tags.removals() > 0 {
            let told = self.protection(repository).await?;
            if draft.tags.removed().any(|tag| told.protects(&tag.name)) {
                let mut inventory = draft.tags.into_inventory();
                for tag in &mut inventory.read {
                    tag.protected |= told.protects(&tag.name);
                }
                draft = exact::draft(inventory, rules, protect, &claims, context, source.at, &settled);
            }
            known = Some(told.known());
        }
        Ok(RepositoryPlan { tags: draft.tags, source, claims, leftover: None, rules: known })
    }

    /// Reads every tag in full, for plans as of many moments. Of a tag that was pushed since a moment nobody would know
    /// what it was by name alone.
    pub(crate) async fn read_everything(&self, rules: &[Rule], repository: &Repository) -> Result<Whole, Failure> {
        let all = self.reader.everything();
        let (mut inventory, source) = read_tags::read(&all, rules, repository).await?;
        if !inventory.newer.is_empty() {
            return Err(Failure::Incomplete);
        }
        // GraphQL tells of each tag whether it may go.
        if !source.graphql {
            let told = self.protection(repository).await?;
            for tag in &mut inventory.read {
                tag.protected |= told.protects(&tag.name);
            }
        }
        let children = self.children(&inventory, repository).await?;
        let complete = source.extent == Extent::All && !inventory.lacking;
        Ok(Whole { inventory, children, complete, ages: source.ages })
    }

    /// What GitLab's rules protect in the project of a repository.
    pub(crate) async fn protection(&self, repository: &Repository) -> Result<ProtectionRules, Error> {
        let told = self.reader.client.tag_rules(repository).await?;
        Ok(told
            .map_or_else(ProtectionRules::unknown, |told| ProtectionRules::new(told.effective(), told.immutable_told)))
    }

    /// Reads when tags were first pushed, to the millisecond.
    async fn settle(&self, repository: &Repository, open: Vec<Box<str>>, settled: &mut Settled) -> Result<(), Error> {
        let reads = stream::iter(open).map(|name| async move {
            let details = self.reader.client.tag(&repository.reference(), &name).await?;
            Ok::<_, Error>((name, details.and_then(|details| details.created_at)))
        });
        settled.extend(reads.buffered(self.reader.details_at_once()).try_collect::<Vec<_>>().await?);
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

    pub(crate) async fn bulk(&self, rule: &Rule, repository: &Repository) -> Result<RepositoryPlan, Failure> {
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
        let in_use = |tag: &&Tag| claims.certain(&tag.name, tag.digest.as_ref()).is_some();
        let in_use: BTreeSet<Box<str>> = inventory.read.iter().filter(in_use).map(|tag| tag.name.clone()).collect();
        let leftover = self.leftover(rule, repository, inventory.read.iter().map(|tag| &*tag.name)).await?;
        let mut tags = bulk::plan(inventory.read, rule, &self.reader.policy.protect, &in_use, at);
        let mut rules = None;
        if tags.removals() > 0 {
            let told = self.protection(repository).await?;
            bulk::spare_protected(&mut tags, |name| told.protects(name));
            rules = Some(told.known());
        }
        Ok(RepositoryPlan { tags, source, claims, leftover, rules })
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
        let read: Vec<Tag> = reads.buffered(self.reader.details_at_once()).try_collect().await?;
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
