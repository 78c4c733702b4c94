//! Whether a policy does what it seems to say: what its patterns matched in a run, or could match at all, with a hint
//! where they did not. What was not seen in full is never told as a fault.

mod hints;

use std::collections::{BTreeMap, BTreeSet};

use crate::api::conditions::{ConditionStatus, Reason};

use super::compile::{CompiledPolicy, Method, Rule};
use super::pattern::Pattern;
use super::plan::repository::RepositoryPlan;
use super::plan::{Decision, Verdict};
use super::repository_outcome::{Outcome, RepositoryReason};
use super::source::Extent;
use super::target::{Matched, TargetSeen};

pub use hints::path_hint;

/// What the patterns of a policy did to the tags that were looked at.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Effect {
    /// By the place of the rule.
    rules: Vec<RuleEffect>,
    /// How many tags were looked at by their names.
    tags: u64,
    /// How many were read with what GitLab says of this token, and how many of them it protects.
    read: u64,
    protected: u64,
    /// There may be tags that nobody looked at.
    partial: bool,
}

/// What the patterns of a rule did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct RuleEffect {
    /// `nameRegexDelete` matched a tag.
    matched: bool,
    /// A tag that it matched is kept by a pattern.
    kept: bool,
    /// One is not.
    left: bool,
    /// What would have matched.
    hint: Option<String>,
}

/// What the condition Effective says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Assessment {
    /// Whether every pattern does something.
    pub status: ConditionStatus,
    /// Why.
    pub reason: Reason,
    /// Why, in a sentence, with a hint.
    pub message: String,
}

impl Assessment {
    /// Nobody knows yet.
    #[must_use]
    pub fn unknown(message: impl Into<String>) -> Self {
        Self { status: ConditionStatus::Unknown, reason: Reason::NotEvaluated, message: message.into() }
    }
}

/// What a message of the condition says of kinds that the operator is to watch and the cluster does not have, after
/// what it says of the policy: a name may be mistyped, so that images in use are not seen.
#[must_use]
pub fn with_note(message: &str, absent: &[String]) -> String {
    let of_policy = message.split(NOTE).next().unwrap_or_default();
    match absent {
        [] => of_policy.to_owned(),
        kinds => format!("{of_policy}{NOTE}{}", kinds.join(", ")),
    }
}

/// What begins a note.
const NOTE: &str = "; note: the cluster does not have these kinds of workloads, which the operator is to watch: ";

impl Effect {
    /// What is seen of a repository of which all names are known.
    #[must_use]
    pub fn of_names<'n>(names: impl Iterator<Item = &'n str> + Clone, policy: &CompiledPolicy) -> Self {
        let rule = |rule: &Rule| RuleEffect::of(&names, rule, &policy.protect);
        let rules = policy.method.rules().iter().map(rule).collect();
        Self { rules, tags: names.count() as u64, ..Self::default() }
    }

    /// What a plan shows of a repository.
    #[must_use]
    pub fn of_plan(plan: &RepositoryPlan, policy: &CompiledPolicy) -> Self {
        Self::of_some(plan, policy, |_| true)
    }

    /// What it would show once all is gone that goes.
    #[must_use]
    pub fn of_rest(plan: &RepositoryPlan, policy: &CompiledPolicy) -> Self {
        Self::of_some(plan, policy, |decision| matches!(decision.verdict, Verdict::Keep(_)))
    }

    fn of_some(plan: &RepositoryPlan, policy: &CompiledPolicy, counts: fn(&Decision) -> bool) -> Self {
        let names = plan.tags.iter().filter(|(_, decision)| counts(decision)).map(|(tag, _)| tag.name);
        let mut seen = Self::of_names(names, policy);
        seen.partial = plan.source.extent != Extent::All;
        if matches!(policy.method, Method::Exact(_)) {
            let read = || plan.tags.read.iter().filter(|planned| counts(&planned.decision));
            seen.read = read().count() as u64;
            seen.protected = read().filter(|planned| planned.tag.protected).count() as u64;
        }
        seen
    }

    /// Whether every pattern is seen to do what it has to: more tags would not change that.
    fn is_clear(&self) -> bool {
        self.rules.iter().all(|rule| rule.matched && (rule.left || !rule.kept))
    }

    /// Adds what was seen of another repository.
    fn add(&mut self, other: &Self) {
        if self.rules.len() < other.rules.len() {
            self.rules.resize_with(other.rules.len(), RuleEffect::default);
        }
        for (rule, other) in self.rules.iter_mut().zip(&other.rules) {
            rule.matched |= other.matched;
            rule.kept |= other.kept;
            rule.left |= other.left;
            if rule.hint.is_none() {
                rule.hint.clone_from(&other.hint);
            }
        }
        self.tags += other.tags;
        self.read += other.read;
        self.protected += other.protected;
        self.partial |= other.partial;
    }
}

impl RuleEffect {
    /// As much as has to be looked at: up to a tag that the rule matches and no pattern keeps.
    fn of<'n>(names: &(impl Iterator<Item = &'n str> + Clone), rule: &Rule, protect: &[Pattern]) -> Self {
        let mut effect = Self::default();
        for name in names.clone().filter(|name| rule.delete.matches(name)) {
            effect.matched = true;
            // It stays by itself.
            if name == "latest" {
                continue;
            }
            if protect.iter().chain(&rule.keep).any(|pattern| pattern.matches(name)) {
                effect.kept = true;
            } else {
                effect.left = true;
                break;
            }
        }
        if !effect.matched {
            effect.hint = hints::tag_hint(rule.delete.source(), names);
        }
        effect
    }
}

/// The repositories of a run, and what was seen of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    effect: Effect,
    repositories: BTreeSet<u64>,
    /// Those of which not all tags were looked at, with how many were.
    partial: BTreeMap<u64, u64>,
}

impl Seen {
    /// Adds what was seen of a repository.
    pub fn note(&mut self, repository: u64, effect: &Effect) {
        self.repositories.insert(repository);
        if effect.partial {
            self.partial.insert(repository, effect.tags);
        }
        self.effect.add(effect);
    }

    /// The repositories of which all names would tell what the oldest tags leave open; none where they leave nothing
    /// open.
    #[must_use]
    pub fn open(&self) -> Vec<u64> {
        if self.effect.is_clear() { Vec::new() } else { self.partial.keys().copied().collect() }
    }

    /// Adds what all names of a repository show, of which the oldest tags were looked at.
    pub fn complete(&mut self, repository: u64, effect: &Effect) {
        if let Some(counted) = self.partial.remove(&repository) {
            let tags = effect.tags.saturating_sub(counted);
            self.effect.add(&Effect { tags, ..effect.clone() });
        }
    }

    /// What a run that came through says.
    #[must_use]
    pub fn verdict(&self, target: &TargetSeen, outcomes: &[Outcome], policy: &CompiledPolicy) -> Assessment {
        let closed = |outcome: &Outcome| {
            matches!(outcome.reason, Some(RepositoryReason::DeleteScheduled | RepositoryReason::ProjectArchived))
        };
        let missed = |outcome: &&Outcome| !self.repositories.contains(&outcome.id) && !closed(outcome);
        self.assess(target, outcomes.iter().filter(missed).count(), policy)
    }

    /// The same where so many repositories were not looked at.
    #[must_use]
    pub fn assess(&self, target: &TargetSeen, missed: usize, policy: &CompiledPolicy) -> Assessment {
        let effect = Effect { partial: !self.partial.is_empty(), ..self.effect.clone() };
        assess(&effect, target, missed, policy)
    }
}

fn assess(effect: &Effect, target: &TargetSeen, missed: usize, policy: &CompiledPolicy) -> Assessment {
    let mut problems = of_target(target);
    let whole = missed == 0 && target.whole;
    if whole {
        problems.extend(of_tags(effect, policy));
    }
    if let Some(verdict) = not_effective(problems) {
        return verdict;
    }
    if !whole {
        return Assessment::unknown(match missed {
            0 => "not every project and group could be listed".to_owned(),
            missed => format!("the tags of {missed} repositories or targets could not be looked at"),
        });
    }
    if effect.tags == 0 {
        return Assessment::unknown("there are no tags");
    }
    if effect.partial && !effect.is_clear() {
        return Assessment::unknown("the rules need the oldest tags only, and the others were not looked at");
    }
    let message = "every pattern that has to match something does".to_owned();
    Assessment { status: ConditionStatus::True, reason: Reason::PatternsMatch, message }
}

/// What the list of repositories tells by itself, if something is wrong.
#[must_use]
pub fn of_list(target: &TargetSeen) -> Option<Assessment> {
    not_effective(of_target(target))
}

fn not_effective(problems: Vec<(Reason, String)>) -> Option<Assessment> {
    let reason = problems.first()?.0;
    let sentences: Vec<String> = problems.into_iter().map(|(_, sentence)| sentence).collect();
    Some(Assessment { status: ConditionStatus::False, reason, message: sentences.join("; ") })
}

/// What is wrong with the patterns of a target, as far as the list of repositories tells.
fn of_target(target: &TargetSeen) -> Vec<(Reason, String)> {
    let mut problems = Vec::new();
    for Matched { pattern, hint, .. } in target.dead_excludes() {
        let sentence = format!(
            "target.repositories.exclude {pattern:?} can match no repository of the target: patterns match the whole path, \
             without the registry's host{}",
            asked(hint.as_deref())
        );
        problems.push((Reason::ExcludeMatchesNothing, sentence));
    }
    for Matched { pattern, hint, .. } in target.idle_includes() {
        let sentence = format!(
            "target.repositories.include {pattern:?} matches none of {} repositories: patterns match the whole path{}",
            target.listed,
            asked(hint.as_deref())
        );
        problems.push((Reason::IncludeMatchesNothing, sentence));
    }
    problems
}

/// What is wrong with the rules, where every tag of the target was looked at.
fn of_tags(effect: &Effect, policy: &CompiledPolicy) -> Vec<(Reason, String)> {
    let mut problems = Vec::new();
    if effect.read > 0 && effect.read == effect.protected {
        let sentence = format!(
            "GitLab lets this token remove none of {} tags (ProtectedByGitLab): it takes the role Developer",
            effect.read
        );
        problems.push((Reason::TagsProtectedByGitLab, sentence));
    }
    for (rule, seen) in policy.method.rules().iter().zip(&effect.rules) {
        if seen.kept && !seen.left && !effect.partial {
            let by = match (&rule.keep, policy.protect.is_empty()) {
                (Some(_), true) => "nameRegexKeep keeps",
                (Some(_), false) => "nameRegexKeep and protect.nameRegex together keep",
                (None, _) => "protect.nameRegex keeps",
            };
            let sentence = format!("{by} every tag that rules[{}].nameRegexDelete matches", rule.name);
            problems.push((Reason::KeepPatternKeepsEverything, sentence));
        }
    }
    for (rule, seen) in policy.method.rules().iter().zip(&effect.rules) {
        if !seen.matched && !effect.partial && effect.tags > 0 {
            let sentence = format!(
                "rules[{}].nameRegexDelete {:?} matches none of {} tags: patterns match the whole name{}",
                rule.name,
                rule.delete.source(),
                effect.tags,
                asked(seen.hint.as_deref())
            );
            problems.push((Reason::DeletePatternMatchesNothing, sentence));
        }
    }
    problems
}

fn asked(hint: Option<&str>) -> String {
    hint.map(|hint| format!(": did you mean {hint:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
