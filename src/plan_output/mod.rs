//! A plan as people and programs read it: as a table, as JSON and YAML, as a comment on a merge request, as a report in
//! HTML, and as the numbers that GitLab shows in a merge request.
//!
//! Pure: data becomes text. What was planned comes in, nothing is decided here but what a run would make of the limits,
//! and that by the same judges.

pub mod backtest;
pub mod html;
mod json;
pub mod markdown;
mod notes;
mod rules;
pub mod sentences;
pub mod table;
pub mod terraform;
mod text;
pub mod units;

pub use json::{json, yaml};
pub use notes::{Note, NoteKind};
pub use rules::RuleSummary;

use jiff::Timestamp;

use crate::api::conditions::{self, Condition, DRY_RUN_FORCED, PAUSED};
use crate::api::{Method, Mode};
use crate::model::Digest;
use crate::policy::CompiledPolicy;
use crate::policy::approval::{Item, plan_hash};
use crate::policy::effect::{Assessment, Effect, Seen};
use crate::policy::in_use::Use;
use crate::policy::limits::{Exceeded, Limits};
use crate::policy::overlap::{Overlap, Reader};
use crate::policy::plan::leftover::Leftover;
use crate::policy::plan::{Decision, KeepReason, TagPlan, Verdict};
use crate::policy::protection_rules::Known;
use crate::policy::tag::{self, Ages, Moment, TagView};
use crate::policy::tag_protection::Claims;

/// What was planned, and how.
#[derive(Clone, Debug)]
pub struct PlanHeader {
    /// `namespace/name` of the policy, or its name where it has no namespace.
    pub policy: String,
    /// The generation of its spec; 0 where no cluster has counted it. Part of the plan's hash.
    pub generation: i64,
    /// Address of the GitLab instance.
    pub gitlab: String,
    /// How a run would remove.
    pub method: Method,
    /// What a run would do.
    pub mode: Mode,
    /// The limits.
    pub limits: Limits,
    /// The rules, in their order.
    pub rules: Vec<RuleSummary>,
    /// `protect.nameRegex`: what no rule removes.
    pub protect: Vec<String>,
    /// The moment as of which was planned; ages are counted up to it.
    pub at: Timestamp,
    /// Whether every tag was read in full, and is to be shown.
    pub everything: bool,
    /// Whether a run would keep images that are in use, and nobody looked which they are.
    pub in_use_unknown: bool,
    /// What the policy shares with others, as far as they are known.
    pub overlap: Overlap,
    /// Fields that the policy may have lost, because the definition in its cluster does not know them.
    pub dropped_fields: Vec<String>,
    /// Whether the operator said at its last look that it makes a dry run of every run.
    pub forced_dry_run: bool,
    /// What there is to say of an exclude window that is open.
    pub exclude_window: Option<String>,
    /// What the operator said at its last look of a pause of the installation.
    pub paused: Option<String>,
    /// The registries of which the cluster uses no image, as far as names tell.
    pub unused_registries: Vec<String>,
    /// What there is to say of GitLab's limits, once everything was planned.
    pub pace: Option<String>,
}

impl PlanHeader {
    /// Describes a policy whose plan is read no further than it needs, with a look at what is in use.
    #[must_use]
    pub fn new(name: String, generation: i64, policy: &CompiledPolicy, at: Timestamp) -> Self {
        Self {
            policy: name,
            generation,
            gitlab: policy.base_url.to_string().trim_end_matches('/').to_owned(),
            method: policy.method.name(),
            mode: policy.mode,
            limits: policy.limits,
            rules: policy.method.rules().iter().map(RuleSummary::from).collect(),
            protect: policy.protect.iter().map(|pattern| pattern.source().to_owned()).collect(),
            at,
            everything: false,
            in_use_unknown: false,
            overlap: Overlap::default(),
            dropped_fields: Vec::new(),
            forced_dry_run: false,
            exclude_window: None,
            paused: None,
            unused_registries: Vec::new(),
            pace: None,
        }
    }

    /// The same with what the operator said of the policy at its last look.
    #[must_use]
    pub fn as_said(self, said: &[Condition]) -> Self {
        let forced_dry_run = conditions::is_true(said, DRY_RUN_FORCED);
        let paused = conditions::find(said, PAUSED).map(|said| said.message.clone());
        Self { forced_dry_run, paused, ..self }
    }

    /// Whoever asks for a plan knows the policies that were looked at, and reads in the namespace of this one.
    fn reader(&self) -> Reader<'_> {
        let namespace = self.policy.split_once('/').map(|(namespace, _)| namespace).unwrap_or_default();
        Reader { namespace, name_others: true }
    }

    /// The rule that decided about a tag, if one did.
    #[must_use]
    pub fn rule(&self, decision: Decision) -> Option<&str> {
        self.rules.get(decision.rule()?).map(|rule| rule.name.as_str())
    }
}

/// A repository with what would become of it.
#[derive(Clone, Debug)]
pub struct Repository {
    /// GitLab's id; 0 for a project or group that could not be listed.
    pub id: u64,
    /// Full path; of what could not be listed, "project PATH" or "group PATH".
    pub path: String,
    /// What was found out.
    pub state: State,
    /// What the patterns of the policy do here, where that was looked at.
    pub effect: Option<Effect>,
}

/// What was found out about a repository.
#[derive(Clone, Debug)]
pub enum State {
    /// There is a plan.
    Planned(Box<Planned>),
    /// There is none, and should be.
    Failed(String),
    /// A run leaves it alone.
    Skipped(String),
}

/// The tags of a repository, each with a decision.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The tags, each with what is decided about it.
    pub tags: TagPlan,
    /// What is in use of them.
    pub claims: Claims,
    /// Whether these are all tags. Otherwise there may be younger ones, which stay and were not looked at.
    pub complete: bool,
    /// What ages are counted from; `None` where no dates were read.
    pub ages: Option<Ages>,
    /// What there is to say of tags that share their dates, and of names that are no versions.
    pub remarks: Vec<String>,
    /// Attachments that GitLab's bulk deletion is told to keep.
    pub leftover: Option<Leftover>,
    /// How much is known of GitLab's protection rules, where they were asked for.
    pub rules: Option<Known>,
    /// A limit that this plan exceeds, so that a run would remove nothing here.
    pub exceeded: Option<Exceeded>,
}

/// One tag of a plan.
#[derive(Clone, Debug)]
pub struct Tag<'a> {
    /// Its name.
    pub name: &'a str,
    /// The digest it points at, if it was read.
    pub digest: Option<&'a Digest>,
    /// When it was last pushed, if GitLab told.
    pub published_at: Option<Timestamp>,
    /// When it was first pushed, if GitLab told.
    pub created_at: Option<Timestamp>,
    /// Its size, if it was read.
    pub bytes: Option<u64>,
    /// What its age is counted from.
    pub pushed: Moment,
    /// What becomes of it.
    pub decision: Decision,
    /// Who uses it, if that keeps it.
    pub users: Option<Use<'a>>,
}

impl Tag<'_> {
    /// Whether it would go.
    #[must_use]
    pub fn goes(&self) -> bool {
        self.decision.removes()
    }
}

impl Planned {
    /// The tags: first those that would go, each part by name.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag<'_>> {
        let read =
            self.tags.read.iter().map(|planned| self.row(planned.tag.view(), planned.decision, Some(&planned.tag)));
        let newer =
            self.tags.newer.iter().map(|planned| self.row(TagView::newer(&planned.name), planned.decision, None));
        let mut tags: Vec<Tag<'_>> = read.chain(newer).collect();
        tags.sort_unstable_by_key(|tag| (!tag.goes(), tag.name));
        tags
    }

    fn row<'a>(&'a self, tag: TagView<'a>, decision: Decision, read: Option<&tag::Tag>) -> Tag<'a> {
        let in_use = decision.verdict == Verdict::Keep(KeepReason::InUse);
        Tag {
            name: tag.name,
            digest: tag.digest,
            published_at: read.filter(|read| read.push_told).and_then(|read| read.pushed.stated()),
            created_at: tag.created.stated(),
            bytes: read.and_then(|read| read.bytes),
            pushed: tag.pushed,
            decision,
            users: if in_use { self.claims.certain(tag.name, tag.digest) } else { None },
        }
    }
}

impl Repository {
    /// The plan, if there is one.
    #[must_use]
    pub fn planned(&self) -> Option<&Planned> {
        match &self.state {
            State::Planned(planned) => Some(planned),
            State::Failed(_) | State::Skipped(_) => None,
        }
    }

    /// Why a run would fail here, by itself.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match &self.state {
            State::Failed(message) => Some(message.clone()),
            State::Planned(planned) => planned.exceeded.as_ref().map(Exceeded::numbers),
            State::Skipped(_) => None,
        }
    }

    fn removals(&self) -> u64 {
        self.planned().map_or(0, |planned| planned.tags.removals())
    }
}

/// Numbers over all repositories.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// Repositories that were looked at, failed and skipped ones included.
    pub repositories: usize,
    /// Those of them from which tags would go.
    pub changed: usize,
    /// Those of them that fail.
    pub failed: usize,
    /// Tags that are known of.
    pub scanned: u64,
    /// Those of them that the rules remove.
    pub remove: u64,
    /// Those of them that stay.
    pub keep: u64,
    /// The size in bytes of those that the rules remove, as far as it is known.
    pub bytes: u64,
    /// Those that the rules remove where no limit of the repository is exceeded.
    pub carried_out: u64,
}

/// How much of a repository is still wanted once it was counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retain {
    /// All of it.
    Everything,
    /// What would go.
    Removals,
}

/// Everything that was planned.
#[derive(Clone, Debug)]
pub struct Listing {
    /// What was planned.
    pub about: PlanHeader,
    /// The numbers.
    pub totals: Totals,
    /// The repositories, in the order in which they were added.
    pub repositories: Vec<Repository>,
    /// What the patterns of the policy do in them together.
    pub seen: Seen,
    /// What is to be said of that, once all were added.
    pub assessment: Option<Assessment>,
}

impl Listing {
    /// Nothing, so far.
    #[must_use]
    pub fn new(about: PlanHeader) -> Self {
        let (totals, seen) = (Totals::default(), Seen::default());
        Self { about, totals, repositories: Vec::new(), seen, assessment: None }
    }

    /// Counts a repository and takes it in.
    pub fn add(&mut self, mut repository: Repository, keep: Retain) {
        let totals = &mut self.totals;
        totals.repositories += 1;
        totals.failed += usize::from(repository.trouble().is_some());
        if let Some(effect) = &repository.effect {
            self.seen.note(repository.id, effect);
        }
        if let State::Planned(planned) = &mut repository.state {
            let (scanned, remove) = (planned.tags.len() as u64, planned.tags.removals());
            totals.changed += usize::from(remove > 0);
            totals.scanned += scanned;
            totals.remove += remove;
            totals.keep += scanned.saturating_sub(remove);
            totals.bytes += planned.tags.bytes();
            totals.carried_out += if planned.exceeded.is_none() { remove } else { 0 };
            if keep == Retain::Removals {
                planned.tags.retain_removed();
            }
        }
        self.repositories.push(repository);
    }

    /// The limit over the whole run that the plan exceeds, so that a run would remove nothing at all.
    #[must_use]
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.about.limits.run(self.totals.carried_out).err()
    }

    /// Why a run would not do in a repository what the rules say.
    #[must_use]
    pub fn error(&self, repository: &Repository) -> Option<String> {
        let by_run = || self.exceeded().filter(|_| repository.removals() > 0).map(|exceeded| exceeded.numbers());
        repository.trouble().or_else(by_run)
    }

    /// Whether a run would fail, at least in part.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.totals.failed > 0 || self.exceeded().is_some()
    }

    /// The hash of what a run would remove: that of the plan which a run in the mode RequireApproval proposes as of the
    /// same moment. Repositories with an error are no part of it.
    #[must_use]
    pub fn plan_hash(&self) -> String {
        let repositories = self.repositories.iter().filter(|repository| self.error(repository).is_none());
        let items = repositories.flat_map(|repository| {
            let removed = repository.planned().into_iter().flat_map(|planned| planned.tags.removed());
            removed.map(|tag| Item { repository: &repository.path, name: &tag.name, digest: tag.digest.as_ref() })
        });
        plan_hash(self.about.generation, items)
    }

    /// What it comes to, in a sentence: "235 of 576 tags in 7 of 9 repositories would be removed, 1.2 GiB".
    #[must_use]
    pub fn summary(&self) -> String {
        let Totals { repositories, changed, scanned, remove, bytes, .. } = self.totals;
        let (tags, places) =
            (units::of(scanned, "tag", "tags"), units::of(repositories as u64, "repository", "repositories"));
        if remove == 0 {
            format!("none of {tags} in {places} would be removed")
        } else {
            format!("{remove} of {tags} in {changed} of {places} would be removed, {}", units::size(bytes))
        }
    }
}

#[cfg(test)]
mod tests;
