//! A plan as people and programs read it: as a table, as JSON and YAML, as a comment on a merge request.
//!
//! Pure: data becomes text. What was planned comes in, nothing is decided here but what a run would make of the fuses, and
//! that by the same judges.

pub mod markdown;
mod shape;
pub mod table;
pub mod units;

use std::fmt::Write;

use jiff::Timestamp;

use crate::api::{Method, Mode};
use crate::policy::CompiledPolicy;
use crate::policy::approval::{Item, plan_hash};
use crate::policy::claims::Claims;
use crate::policy::in_use::Use;
use crate::policy::inventory::Inventory;
use crate::policy::limits::{Exceeded, Limits};
use crate::policy::plan::exact::{Decision, Moment};
use crate::policy::plan::{KeepReason, Verdict, reasons_to_keep};

/// What was planned, and how.
#[derive(Clone, Debug)]
pub struct About {
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
    /// The fuses.
    pub limits: Limits,
    /// The names of the rules, in their order.
    pub rules: Vec<String>,
    /// The moment as of which was planned; ages are counted up to it.
    pub at: Timestamp,
    /// Whether every tag was read in full, and is to be shown.
    pub everything: bool,
    /// Whether a run would keep images that are in use, and nobody looked which they are.
    pub in_use_unknown: bool,
}

impl About {
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
            rules: policy.method.rules().iter().map(|rule| rule.name.clone()).collect(),
            at,
            everything: false,
            in_use_unknown: false,
        }
    }

    fn rule(&self, decision: Decision) -> Option<&str> {
        self.rules.get(decision.rule?).map(String::as_str)
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
}

/// What was found out about a repository.
#[derive(Clone, Debug)]
pub enum State {
    /// There is a plan.
    Planned(Planned),
    /// There is none, and should be.
    Failed(String),
    /// A run leaves it alone.
    Skipped(String),
}

/// The tags of a repository, each with a decision.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The tags.
    pub inventory: Inventory,
    /// The decisions about them, in the order of the inventory's tags.
    pub decisions: Vec<Decision>,
    /// What is in use of them.
    pub claims: Claims,
    /// Whether these are all tags. Otherwise there may be younger ones, which stay and were not looked at.
    pub complete: bool,
    /// Whether ages are by the last push; otherwise they are by the first.
    pub pushes_known: bool,
    /// A fuse that this plan blows, so that a run would remove nothing here.
    pub exceeded: Option<Exceeded>,
}

/// One tag of a plan.
#[derive(Clone, Debug)]
pub struct Tag<'a> {
    /// Its name.
    pub name: &'a str,
    /// The digest it points at, if it was read.
    pub digest: Option<&'a str>,
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
        self.decision.verdict == Verdict::Remove
    }
}

impl Planned {
    /// The tags: first those that would go, each part by name.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag<'_>> {
        let at = |moment| match moment {
            Moment::At(date) => Some(date),
            Moment::Unknown | Moment::Newer => None,
        };
        let nothing_decided = Decision { verdict: Verdict::Keep(KeepReason::NoRuleMatches), rule: None };
        let read = self.inventory.read.iter().map(|seen| Tag {
            name: &seen.name,
            digest: seen.digest.as_deref(),
            published_at: if seen.push_told { at(seen.pushed) } else { None },
            created_at: at(seen.created),
            bytes: seen.bytes,
            pushed: seen.pushed,
            decision: nothing_decided,
            users: None,
        });
        let newer = self.inventory.newer.iter().map(|name| Tag {
            name,
            digest: None,
            published_at: None,
            created_at: None,
            bytes: None,
            pushed: Moment::Newer,
            decision: nothing_decided,
            users: None,
        });
        let decided = read.chain(newer).zip(&self.decisions).map(|(tag, decision)| {
            let in_use = decision.verdict == Verdict::Keep(KeepReason::InUse);
            let users = if in_use { self.claims.certain(tag.name, tag.digest) } else { None };
            Tag { decision: *decision, users, ..tag }
        });
        let mut tags: Vec<Tag<'_>> = decided.collect();
        tags.sort_unstable_by_key(|tag| (!tag.goes(), tag.name));
        tags
    }

    /// How many tags would go.
    #[must_use]
    pub fn removals(&self) -> u64 {
        self.decisions.iter().filter(|decision| decision.verdict == Verdict::Remove).count() as u64
    }

    /// The size of what would go, as far as it is known.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let read = self.inventory.read.iter().zip(&self.decisions);
        read.filter(|(_, decision)| decision.verdict == Verdict::Remove).filter_map(|(seen, _)| seen.bytes).sum()
    }

    /// Why tags stay, with how many: `12 TooYoung, 5 WithinKeepN, 1 Latest`. Empty where none is known to stay.
    #[must_use]
    pub fn kept(&self) -> String {
        reasons_to_keep(self.decisions.iter().map(|decision| decision.verdict))
    }

    /// Forgets the tags that stay.
    fn only_removals(&mut self) {
        // Tags that were not read never go, and their decisions are the last.
        self.inventory.newer = Vec::new();
        let read = std::mem::take(&mut self.inventory.read).into_iter().zip(std::mem::take(&mut self.decisions));
        for (seen, decision) in read.filter(|(_, decision)| decision.verdict == Verdict::Remove) {
            self.inventory.read.push(seen);
            self.decisions.push(decision);
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
        self.planned().map_or(0, Planned::removals)
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
    /// Those that the rules remove where no fuse of the repository blows.
    pub carried_out: u64,
}

/// How much of a repository is still wanted once it was counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keep {
    /// All of it.
    Everything,
    /// What would go.
    Removals,
}

/// Everything that was planned.
#[derive(Clone, Debug)]
pub struct Listing {
    /// What was planned.
    pub about: About,
    /// The numbers.
    pub totals: Totals,
    /// The repositories, in the order in which they were added.
    pub repositories: Vec<Repository>,
}

impl Listing {
    /// Nothing, so far.
    #[must_use]
    pub fn new(about: About) -> Self {
        Self { about, totals: Totals::default(), repositories: Vec::new() }
    }

    /// Counts a repository and takes it in.
    pub fn add(&mut self, mut repository: Repository, keep: Keep) {
        let totals = &mut self.totals;
        totals.repositories += 1;
        totals.failed += usize::from(repository.trouble().is_some());
        if let State::Planned(planned) = &mut repository.state {
            let (scanned, remove) = (planned.inventory.len() as u64, planned.removals());
            totals.changed += usize::from(remove > 0);
            totals.scanned += scanned;
            totals.remove += remove;
            totals.keep += scanned.saturating_sub(remove);
            totals.bytes += planned.bytes();
            totals.carried_out += if planned.exceeded.is_none() { remove } else { 0 };
            if keep == Keep::Removals {
                planned.only_removals();
            }
        }
        self.repositories.push(repository);
    }

    /// The fuse over the whole run that the plan blows, so that a run would remove nothing at all.
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

    /// The hash of what a run would remove: that of the plan which a run in the mode RequireApproval proposes as of the same
    /// moment. Repositories with an error are no part of it.
    #[must_use]
    pub fn plan_hash(&self) -> String {
        let repositories = self.repositories.iter().filter(|repository| self.error(repository).is_none());
        let items = repositories.flat_map(|repository| {
            let read = repository
                .planned()
                .into_iter()
                .flat_map(|planned| planned.inventory.read.iter().zip(&planned.decisions));
            let gone = read.filter(|(_, decision)| decision.verdict == Verdict::Remove);
            gone.map(|(seen, _)| Item {
                repository: &repository.path,
                name: &seen.name,
                digest: seen.digest.as_deref(),
            })
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
            format!("nothing of {tags} in {places} would be removed")
        } else {
            format!("{remove} of {tags} in {changed} of {places} would be removed, {}", units::size(bytes))
        }
    }

    /// What the policy and the fuses make of the plan, a sentence each.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(exceeded) = self.exceeded() {
            remarks.push(format!("a run would remove nothing at all: {}", exceeded.numbers()));
        }
        if self.totals.failed > 0 {
            let places = units::of(self.totals.repositories as u64, "repository", "repositories");
            remarks.push(format!("{} of {places} failed", self.totals.failed));
        }
        if self.about.in_use_unknown {
            remarks.push("a run keeps images that are in use; nobody looked here which they are".to_owned());
        }
        if self.about.mode == Mode::DryRun && self.totals.remove > 0 {
            remarks.push("in the mode DryRun a run only tells".to_owned());
        }
        remarks
    }
}

/// Text from outside on one line of a terminal: without characters that would do something there.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The heads of a table of tags; the first one only where tags of both verdicts are in it.
const HEADS: [&str; 6] = ["VERDICT", "TAG", "REASON", "RULE", "AGE", "SIZE"];

/// What a table says of a tag, in the order of the heads.
fn cells(about: &About, tag: &Tag<'_>) -> [String; 6] {
    let age = match tag.pushed {
        Moment::At(date) => units::age(about.at.duration_since(date)),
        Moment::Unknown => "unknown".to_owned(),
        Moment::Newer => "-".to_owned(),
    };
    let reason = tag.decision.verdict.reason();
    [
        tag.decision.verdict.as_str().to_owned(),
        plain(tag.name),
        tag.users
            .as_ref()
            .map_or_else(|| reason.to_owned(), |users| format!("{reason} by {}", plain(&users.to_string()))),
        about.rule(tag.decision).map_or_else(|| "-".to_owned(), plain),
        age,
        tag.bytes.map_or_else(|| "-".to_owned(), units::size),
    ]
}

/// Which tags of a repository a table shows, and from which column on.
fn shown<'a>(about: &About, planned: &'a Planned) -> (Vec<Tag<'a>>, usize) {
    let mut tags = planned.tags();
    if !about.everything {
        tags.retain(Tag::goes);
    }
    (tags, usize::from(!about.everything))
}

/// Why tags stay, who uses them, what was not looked at, and what ages are by.
fn kept(planned: &Planned) -> String {
    let mut parts = vec![planned.kept()];
    if !planned.complete {
        parts.push("all younger ones, which were not read".to_owned());
    }
    parts.retain(|part| !part.is_empty());
    let mut text = if parts.is_empty() { "none".to_owned() } else { parts.join(", and ") };
    let read = planned.inventory.read.iter().map(|seen| (&*seen.name, seen.digest.as_deref()));
    if let Some(users) = planned.claims.told(read) {
        let _ = write!(text, "; in use: {}", plain(&users));
    }
    if !planned.pushes_known {
        text.push_str("; ages by the first push");
    }
    text
}

/// How much of a repository would go: "6 of 50 tags would be removed, 70.0 MiB".
fn amount(planned: &Planned) -> String {
    let scanned = planned.inventory.len() as u64;
    let of = if planned.complete {
        units::of(scanned, "tag", "tags")
    } else {
        units::of(scanned, "oldest tag", "oldest tags")
    };
    match (planned.removals(), planned.complete) {
        (0, true) => format!("nothing of {of} would be removed"),
        (0, false) => "nothing would be removed".to_owned(),
        (removals, true) => format!("{removals} of {of} would be removed, {}", units::size(planned.bytes())),
        (removals, false) => format!("{removals} of the {of} would be removed, {}", units::size(planned.bytes())),
    }
}
