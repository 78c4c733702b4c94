//! Tags of one moment come of age in one night: which they are, and how that is announced some days before.
//!
//! After an import into the metadata database all tags of a repository share their date (see `plan::ties`), so that all
//! of them reach `olderThan` together. What a run has seen of that stands in the status, which is all that is left of
//! it after a restart.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::api::ComingOfAge;

use super::compile::Rule;
use super::plan::{KeepReason, TagPlan, Verdict};
use super::repository_outcome::OfAge;
use super::tag::{Moment, to_the_second};

/// How long before it is announced.
const AHEAD: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Fewest tags of one moment that are worth it: one pipeline may push a few within a second.
const FEWEST: u64 = 5;

/// Those of a plan.
#[must_use]
pub fn in_plan(plan: &TagPlan, rules: &[Rule], now: Timestamp) -> Option<OfAge> {
    let young = plan.iter().filter(|(_, decision)| decision.verdict == Verdict::Keep(KeepReason::TooYoung));
    among(
        young.filter_map(|(tag, decision)| match tag.pushed {
            Moment::At(pushed) => Some((pushed, rules.get(decision.rule()?)?)),
            _ => None,
        }),
        now,
    )
}

/// Those among tags of which this is the last push and the rule.
#[must_use]
pub fn among<'a>(young: impl Iterator<Item = (Timestamp, &'a Rule)>, now: Timestamp) -> Option<OfAge> {
    let until = now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
    let mut moments: BTreeMap<Timestamp, u64> = BTreeMap::new();
    for (pushed, rule) in young {
        let Some(age) = &rule.older_than else { continue };
        let at = to_the_second(pushed).checked_add(age.duration()).unwrap_or(Timestamp::MAX);
        if now <= at && at <= until {
            *moments.entry(at).or_default() += 1;
        }
    }
    moments.retain(|_, tags| *tags >= FEWEST);
    let at = *moments.keys().next()?;
    Some(OfAge { at, tags: moments.values().sum() })
}

/// What to say of it.
#[must_use]
pub fn sentence(soon: &ComingOfAge) -> String {
    let ComingOfAge { time, tags, repositories } = soon;
    let places = if *repositories == 1 { "repository" } else { "repositories" };
    format!(
        "at least {tags} tags in {repositories} {places} share their dates, as after a registry import, and come of \
         age together from {} on; what keepN or a pattern does not keep goes then",
        time.0
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::{CompileOptions, Method, compile};

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn rule() -> Rule {
        let rules = json!([{"name": "r", "nameRegexDelete": ".*", "olderThan": "30d"}]);
        match compile(&spec(&json!({"rules": rules})), &CompileOptions::default(), now()).unwrap().method {
            Method::Bulk(rule) => *rule,
            Method::Exact(_) => unreachable!(),
        }
    }

    /// Tags that come of age in so many hours, so many each.
    fn soon(moments: &[(i64, usize)]) -> Option<OfAge> {
        let rule = rule();
        let pushed = |hours: i64| now() + SignedDuration::from_hours(hours - 30 * 24);
        let all = moments.iter().flat_map(|(hours, tags)| std::iter::repeat_n((pushed(*hours), &rule), *tags));
        among(all, now())
    }

    #[test]
    fn many_tags_of_one_moment_are_announced_for_a_week_before() {
        let at = |hours| now() + SignedDuration::from_hours(hours);
        assert_eq!(soon(&[(167, 5)]), Some(OfAge { at: at(167), tags: 5 }));
        assert_eq!(soon(&[(169, 50)]), None, "not yet");
        assert_eq!(soon(&[(-1, 50)]), None, "they are");
        assert_eq!(soon(&[(20, 4), (30, 4), (40, 4)]), None, "a few within a second are nothing special");
        assert_eq!(soon(&[(20, 4), (50, 7), (30, 6)]), Some(OfAge { at: at(30), tags: 13 }));
    }

    #[test]
    fn what_is_said_names_the_numbers_and_the_moment() {
        let soon = ComingOfAge { time: Time(now()), tags: 18, repositories: 2 };
        let sentence = sentence(&soon);
        assert!(sentence.starts_with("at least 18 tags in 2 repositories share their dates"), "{sentence}");
        assert!(sentence.contains(" from 2026-11-22T12:00:00Z on"), "{sentence}");
    }
}
