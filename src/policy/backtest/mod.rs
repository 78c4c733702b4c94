//! What the runs of a policy would have removed in the past, by what still exists; and what of it was needed later.
//!
//! Each time of the schedule is planned as of that moment, over the tags that the runs before it left: what was pushed
//! later stays and takes no slot, as in any plan as of an earlier moment. It makes use of one reading. So it cannot see
//! what no longer exists: tags that were removed or moved since, and objects of the cluster that are gone.
//!
//! Which images were in use at a moment is not known, only which objects that are still there existed by then. So what
//! is in use keeps no tag from being removed here, and removals are more than those of a run. **Regret** is an image of
//! which that is told afterwards: an object was made with it after the run that would have removed it. Where the policy
//! keeps images in use, the run that counts is the first as of which no object that is still there had the image.
//!
//! `slots` says which runs are played, `played` is what came of a repository, `regret` holds removals against objects,
//! `search` finds the smallest `olderThan` and `keepN` of a rule that regret nothing.

mod played;
mod regret;
mod search;
mod slots;

use jiff::Timestamp;

use super::compile::Rule;
use super::in_use::Deployment;
use super::inventory::Inventory;
use super::limits::Limits;
use super::pattern::Pattern;
use super::plan::attachments::Context;
use super::plan::replay::{Asked, Replay};
use super::{CompiledPolicy, Method};
use played::{Played, fates, record};

pub use regret::{Deployed, Record, Regretted};
pub use search::Advice;
pub use slots::{LONGEST, slots};

/// A policy whose past is played.
#[derive(Debug)]
pub struct Backtest<'p> {
    rules: &'p [Rule],
    protect: &'p [Pattern],
    limits: Limits,
    /// Whether a run keeps images in use.
    keeps_in_use: bool,
    asked: Vec<Asked>,
    slots: Vec<Timestamp>,
    runs: Vec<Run>,
    repositories: Vec<Played>,
}

/// What one run would have removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Run {
    /// When.
    pub at: Timestamp,
    /// How many tags.
    pub tags: u64,
    /// Their size in bytes, as far as it is known.
    pub bytes: u64,
    /// How many of the images are regretted.
    pub regret: u64,
    /// Whether a limit of the policy was exceeded, so that the run would have removed nothing of that.
    pub exceeded: bool,
}

/// What came of a repository.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// Its path.
    pub path: String,
    /// How many tags were read.
    pub scanned: u64,
    /// How many would have gone.
    pub removed: u64,
    /// Their size in bytes, as far as it is known.
    pub bytes: u64,
}

/// An image that was needed after it would have gone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegrettedImage {
    /// The path of its repository.
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// The rule that removes it, by its place in the list.
    pub rule: Option<usize>,
    /// The run.
    pub removed: Timestamp,
    /// When something was first made with it after that.
    pub deployed: Timestamp,
    /// Whether that was a return to an older revision, at that moment or later.
    pub again: bool,
    /// What was made.
    pub user: String,
    /// How often that happened.
    pub times: usize,
}

/// What is known of regret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Regret {
    /// The images, in the order of their repositories and tags.
    pub images: Vec<RegrettedImage>,
    /// How many more were deployed after they would have gone, and are kept because objects that are still there use
    /// them.
    pub kept_in_use: u64,
    /// How many images that somebody wrote are of no tag that was read.
    pub unmatched: u64,
}

/// What came of a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OfRule {
    /// How many tags it would have removed, without attachments.
    pub removed: u64,
    /// How many of the images are regretted.
    pub regret: u64,
    /// Whether it could have removed something that is known to have been deployed.
    pub tested: bool,
    /// The smallest `olderThan`, in days, that regrets nothing.
    pub older_than: Option<Advice>,
    /// The smallest `keepN` that regrets nothing.
    pub keep_n: Option<Advice>,
}

/// Everything that came out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Findings {
    /// The runs, in their order.
    pub runs: Vec<Run>,
    /// The repositories, as they were added.
    pub repositories: Vec<Outcome>,
    /// What was needed later.
    pub regret: Regret,
    /// The rules, in their order.
    pub rules: Vec<OfRule>,
}

impl<'p> Backtest<'p> {
    /// Nothing so far. `None` for a policy that leaves removing to GitLab's bulk deletion, of which no other moment can
    /// be foretold than now.
    #[must_use]
    pub fn new(policy: &'p CompiledPolicy, slots: Vec<Timestamp>) -> Option<Self> {
        let Method::Exact(rules) = &policy.method else { return None };
        let run = |at: &Timestamp| Run { at: *at, tags: 0, bytes: 0, regret: 0, exceeded: false };
        Some(Self {
            rules,
            protect: &policy.protect,
            limits: policy.limits,
            keeps_in_use: policy.protection.in_use,
            asked: rules.iter().map(Asked::from).collect(),
            runs: slots.iter().map(run).collect(),
            slots,
            repositories: Vec::new(),
        })
    }

    /// Plays the runs over a repository of which every tag was read in full.
    pub fn add(&mut self, path: &str, inventory: Inventory, context: Context<'_>, deployments: &[Deployment]) {
        let mut replay = Replay::new(inventory, self.rules, self.protect, context);
        let (record, unmatched) = record(&replay, context, deployments);
        let mut fates = fates(&replay, &record);
        let (mut removed, mut by_rule, mut all) = (0, vec![0; self.rules.len()], 0);
        for (number, run) in self.runs.iter_mut().enumerate() {
            let left = replay.left() as u64;
            let goes = replay.carry_out(run.at, &self.asked);
            let mut bytes = 0;
            for (at, rule) in &goes {
                if let Some(fate) = fates.get_mut(at) {
                    fate.lost = Some((number, *rule));
                }
                if let Some(number) = rule.and_then(|rule| by_rule.get_mut(rule)) {
                    *number += 1;
                }
                bytes += replay.tags().get(*at).and_then(|planned| planned.tag.bytes).unwrap_or(0);
            }
            let tags = goes.len() as u64;
            run.exceeded |= self.limits.repository(tags, left).is_err();
            run.tags += tags;
            run.bytes += bytes;
            removed += tags;
            all += bytes;
        }
        self.repositories.push(Played {
            path: path.to_owned(),
            scanned: replay.tags().len() as u64,
            removed,
            bytes: all,
            by_rule,
            contest: replay.into_contest(),
            record,
            fates,
            unmatched,
        });
    }

    /// What came out.
    #[must_use]
    pub fn finish(mut self) -> Findings {
        for run in &mut self.runs {
            run.exceeded |= self.limits.run(run.tags).is_err();
        }
        let regret = self.regret();
        for image in &regret.images {
            if let Some(run) = self.runs.iter_mut().find(|run| run.at == image.removed) {
                run.regret += 1;
            }
        }
        let outcome = |played: &Played| Outcome {
            path: played.path.clone(),
            scanned: played.scanned,
            removed: played.removed,
            bytes: played.bytes,
        };
        let repositories = self.repositories.iter().map(outcome).collect();
        let rules = self.asked.iter().enumerate();
        let rules = rules.map(|(rule, asked)| self.of_rule(rule, asked, &regret)).collect();
        Findings { runs: self.runs, repositories, regret, rules }
    }

    fn regret(&self) -> Regret {
        let mut regret = Regret { images: Vec::new(), kept_in_use: 0, unmatched: 0 };
        for played in &self.repositories {
            let lost = |tag: usize| played.lost(tag);
            let images = played.record.regretted(&self.slots, self.keeps_in_use, lost);
            let all = played.record.regretted(&self.slots, false, lost).len();
            regret.kept_in_use += all.saturating_sub(images.len()) as u64;
            regret.unmatched += played.unmatched as u64;
            let mut told: Vec<RegrettedImage> =
                images.into_iter().filter_map(|regretted| self.told(played, regretted)).collect();
            told.sort_by(|one, other| one.tag.cmp(&other.tag));
            regret.images.append(&mut told);
        }
        regret
    }

    fn told(&self, played: &Played, regretted: Regretted) -> Option<RegrettedImage> {
        let Regretted { tag, slot, first, times } = regretted;
        let deployed = played.record.deployed.get(first)?;
        let fate = played.fates.get(&tag)?;
        Some(RegrettedImage {
            repository: played.path.clone(),
            tag: fate.name.to_string(),
            rule: fate.lost.and_then(|(_, rule)| rule),
            removed: *self.slots.get(slot)?,
            deployed: deployed.at,
            again: deployed.again,
            user: deployed.user.to_string(),
            times,
        })
    }

    fn of_rule(&self, rule: usize, asked: &Asked, regret: &Regret) -> OfRule {
        let found = search::search(&self.repositories, &self.slots, self.keeps_in_use, rule, asked);
        OfRule {
            removed: self.repositories.iter().filter_map(|played| played.by_rule.get(rule)).sum(),
            regret: regret.images.iter().filter(|image| image.rule == Some(rule)).count() as u64,
            tested: found.is_some(),
            older_than: found.as_ref().and_then(|found| found.older_than),
            keep_n: found.as_ref().and_then(|found| found.keep_n),
        }
    }
}

#[cfg(test)]
mod tests;
