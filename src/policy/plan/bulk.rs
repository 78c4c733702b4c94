//! What GitLab's bulk deletion would do, foretold from the complete list of tags.
//!
//! The rules are those that its servers apply: `latest` never goes; the pattern to delete and the pattern to keep
//! decide by name, to which those in use are added; the newest `keepN` of what is left stay, young ones included; of
//! the others those go that are older than `olderThan`. Where GitLab knows no date it counts the tag as pushed right
//! now when it ranks, and never as old; a date that lies ahead ranks above those. The plan does the same, so that a
//! preview promises nothing that the server would not keep. Whether GitLab is to be trusted with it at all is decided
//! in [`super::doubt`].

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Decision, KeepReason, REMOVE, TagPlan, Verdict, decide_by_name};
use crate::policy::compile::Rule;
use crate::policy::inventory::Inventory;
use crate::policy::pattern::Pattern;
use crate::policy::tag::{Tag, TagView};

/// How many of a number of candidates could go whatever their age.
#[must_use]
pub fn removable(candidates: usize, rule: &Rule) -> usize {
    candidates.saturating_sub(rule.keep_n.map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX)))
}

/// Whether a plan over this many candidates depends on their dates.
#[must_use]
pub fn needs_dates(candidates: usize, rule: &Rule) -> bool {
    removable(candidates, rule) > 0 && (rule.older_than.is_some() || rule.keep_n.is_some_and(|n| n > 0))
}

/// Decides about every tag of a repository. `tags` is the complete list, with the dates of the candidates; its order
/// does not matter.
#[must_use]
pub fn plan(tags: Vec<Tag>, rule: &Rule, protect: &[Pattern], in_use: &BTreeSet<Box<str>>, now: Timestamp) -> TagPlan {
    let mut plan = TagPlan::undecided(Inventory { read: tags, ..Inventory::default() });
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    for (tag, decision) in plan.iter_mut() {
        match decide_by_name(tag.name, rule, protect, in_use) {
            Some(reason) => *decision = Decision::keep(reason, by_rule(reason).then_some(0)),
            None => candidates.push(Candidate { name: tag.name, date: tag.pushed.stated(), decision }),
        }
    }
    // Newest first; among equals GitLab takes the last name for the newest.
    candidates.sort_unstable_by_key(|tag| Reverse((tag.date.unwrap_or(now), tag.name)));
    let keep_n = candidates.len() - removable(candidates.len(), rule);
    let cutoff = rule.older_than.as_ref().map(|age| now.checked_sub(age.duration()).unwrap_or(Timestamp::MIN));
    // Dates are not read where all candidates stay by number, and then it is the number that keeps them.
    let all_stay = keep_n == candidates.len();
    for (rank, Candidate { date, decision, .. }) in candidates.into_iter().enumerate() {
        let verdict = match (cutoff, date) {
            (Some(_), None) if !all_stay => Verdict::Keep(KeepReason::DateUnknown),
            (Some(cutoff), Some(date)) if date >= cutoff => Verdict::Keep(KeepReason::TooYoung),
            _ if rank < keep_n => Verdict::Keep(KeepReason::WithinKeepN),
            _ => REMOVE,
        };
        *decision = Decision::new(verdict, Some(0));
    }
    plan
}

/// Keeps what GitLab protects. Its bulk deletion leaves it out at the very end, so it has taken its place among the
/// newest.
pub fn spare_protected(plan: &mut TagPlan, protects: impl Fn(&str) -> bool) {
    for (_, decision) in plan.iter_mut().filter(|(tag, decision)| decision.removes() && protects(tag.name)) {
        decision.verdict = Verdict::Keep(KeepReason::ProtectedByGitLab);
    }
}

/// The tags of a plan that the rule may remove by their names.
#[must_use]
pub fn candidates(plan: &TagPlan) -> Vec<TagView<'_>> {
    let by_name = Verdict::Keep(KeepReason::KeptByPattern);
    let may_go = |decision: Decision| decision.rule().is_some() && decision.verdict != by_name;
    plan.iter().filter(|(_, decision)| may_go(*decision)).map(|(tag, _)| tag).collect()
}

/// A tag that the rule may remove.
struct Candidate<'a> {
    name: &'a str,
    date: Option<Timestamp>,
    decision: &'a mut Decision,
}

/// Whether it is the rule that keeps a tag for this reason.
fn by_rule(reason: KeepReason) -> bool {
    use KeepReason as K;
    !matches!(reason, K::Latest | K::Protected | K::InUse | K::NoRuleMatches)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::tag::{Manifest, Moment};
    use crate::policy::{CompileOptions, CompiledPolicy, Method, compile};

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn days_ago(days: i64) -> Timestamp {
        Timestamp::from_second(now().as_second() - days * 86_400).unwrap()
    }

    fn policy(rule: &Value, protect: &[&str]) -> CompiledPolicy {
        let spec = spec(&json!({"rules": [rule], "protect": {"nameRegex": protect}}));
        compile(&spec, &CompileOptions::default(), now()).unwrap()
    }

    fn rule(policy: &CompiledPolicy) -> &Rule {
        match &policy.method {
            Method::Bulk(rule) => rule,
            Method::Exact(_) => unreachable!(),
        }
    }

    fn tag(name: &str, date: Option<Timestamp>) -> Tag {
        let pushed = Moment::read(date, now());
        let name = name.into();
        Tag {
            name,
            digest: None,
            pushed,
            push_told: true,
            created: pushed,
            single_image: true,
            protected: false,
            bytes: None,
            manifest: Manifest::default(),
        }
    }

    fn planned(policy: &CompiledPolicy, tags: &[(&str, Option<Timestamp>)], in_use: &BTreeSet<Box<str>>) -> TagPlan {
        let tags = tags.iter().map(|(name, date)| tag(name, *date)).collect();
        plan(tags, rule(policy), &policy.protect, in_use, now())
    }

    fn verdicts(policy: &CompiledPolicy, tags: &[(&str, Option<Timestamp>)]) -> Vec<Verdict> {
        planned(policy, tags, &BTreeSet::new()).iter().map(|(_, decision)| decision.verdict).collect()
    }

    fn removed(policy: &CompiledPolicy, tags: &[(&str, Option<Timestamp>)]) -> Vec<String> {
        planned(policy, tags, &BTreeSet::new()).removed().map(|tag| tag.name.to_string()).collect()
    }

    #[test]
    fn every_tag_gets_the_first_reason_that_holds() {
        use KeepReason as K;
        let rule = json!({"name": "r", "nameRegexDelete": "v.*|latest|p.*", "nameRegexKeep": "v9.*", "keepN": 1, "olderThan": "7d"});
        let policy = policy(&rule, &["p1"]);
        let tags = [
            ("latest", Some(days_ago(90)), Verdict::Keep(K::Latest)),
            ("p1", Some(days_ago(90)), Verdict::Keep(K::Protected)),
            ("main", Some(days_ago(90)), Verdict::Keep(K::NoRuleMatches)),
            ("v9.1", Some(days_ago(90)), Verdict::Keep(K::KeptByPattern)),
            ("v0", None, Verdict::Keep(K::DateUnknown)),
            ("v1", Some(days_ago(1)), Verdict::Keep(K::TooYoung)),
            ("v2", Some(days_ago(8)), REMOVE),
            ("p2", Some(days_ago(9)), REMOVE),
        ];
        let input: Vec<_> = tags.iter().map(|(name, date, _)| (*name, *date)).collect();
        let expected: Vec<_> = tags.iter().map(|(_, _, verdict)| *verdict).collect();
        assert_eq!(verdicts(&policy, &input), expected);
    }

    #[test]
    fn the_newest_stay_and_equal_dates_rank_by_name_as_gitlab_ranks_them() {
        let policy = policy(&json!({"name": "r", "nameRegexDelete": ".*", "keepN": 2}), &[]);
        let tags =
            [("a", Some(days_ago(5))), ("c", Some(days_ago(5))), ("b", Some(days_ago(5))), ("z", Some(days_ago(9)))];
        let kept = Verdict::Keep(KeepReason::WithinKeepN);
        assert_eq!(verdicts(&policy, &tags), [REMOVE, kept, kept, REMOVE]);
    }

    #[test]
    fn what_gitlab_protects_stays_and_keeps_its_place() {
        let policy = policy(&json!({"name": "r", "nameRegexDelete": ".*", "keepN": 1}), &[]);
        let tags = [("v3", Some(days_ago(1))), ("v2", Some(days_ago(2))), ("v1", Some(days_ago(3)))];
        let mut plan = planned(&policy, &tags, &BTreeSet::new());
        spare_protected(&mut plan, |name| name != "v1");
        let verdicts: Vec<Verdict> = plan.iter().map(|(_, decision)| decision.verdict).collect();
        let keep = |reason| Verdict::Keep(reason);
        assert_eq!(verdicts, [keep(KeepReason::WithinKeepN), keep(KeepReason::ProtectedByGitLab), REMOVE]);
        assert_eq!(candidates(&plan).len(), 3, "their dates decide as before");
    }

    #[test]
    fn a_tag_in_use_stays_and_takes_no_place() {
        let policy = policy(&json!({"name": "r", "nameRegexDelete": "v.*", "keepN": 1}), &[]);
        let tags = [("v1", Some(days_ago(3))), ("v2", Some(days_ago(2))), ("v3", Some(days_ago(1)))];
        let in_use = BTreeSet::from([Box::from("v3")]);
        let plan = planned(&policy, &tags, &in_use);
        let decisions: Vec<Decision> = plan.iter().map(|(_, decision)| decision).collect();
        let within = Decision::keep(KeepReason::WithinKeepN, Some(0));
        let removed = Decision::new(REMOVE, Some(0));
        assert_eq!(decisions, [removed, within, Decision::keep(KeepReason::InUse, None)]);
    }

    #[test]
    fn a_tag_exactly_as_old_as_the_limit_stays() {
        let policy = policy(&json!({"name": "r", "nameRegexDelete": ".*", "olderThan": "7d"}), &[]);
        let second_before = Timestamp::from_second(days_ago(7).as_second() - 1).unwrap();
        let tags = [("a", Some(days_ago(7))), ("b", Some(second_before))];
        assert_eq!(verdicts(&policy, &tags), [Verdict::Keep(KeepReason::TooYoung), REMOVE]);
    }

    #[test]
    fn without_a_limit_of_age_a_tag_without_a_date_ranks_as_the_newest() {
        let policy = policy(&json!({"name": "r", "nameRegexDelete": ".*", "keepN": 1}), &[]);
        let tags = [("a", Some(days_ago(1))), ("b", None)];
        assert_eq!(verdicts(&policy, &tags), [REMOVE, Verdict::Keep(KeepReason::WithinKeepN)]);
    }

    #[test]
    fn dates_ahead_rank_above_those_that_are_not_known_as_gitlab_ranks_them() {
        let policy = policy(&json!({"name": "r", "nameRegexDelete": ".*", "keepN": 2}), &[]);
        let ahead = |days: i64| Some(days_ago(-days));
        let tags = [("a", ahead(2)), ("z", ahead(1)), ("m", None), ("x", Some(days_ago(1)))];
        assert_eq!(removed(&policy, &tags), ["m", "x"]);
    }

    #[test]
    fn where_all_stay_by_number_unread_dates_are_no_reason() {
        let policy = policy(&json!({"name": "r", "nameRegexDelete": ".*", "keepN": 5, "olderThan": "7d"}), &[]);
        let kept = Verdict::Keep(KeepReason::WithinKeepN);
        assert_eq!(verdicts(&policy, &[("a", None), ("b", None)]), [kept, kept]);
    }

    #[test]
    fn dates_are_needed_only_where_they_can_matter() {
        let with = |rule_: Value| rule(&policy(&rule_, &[])).clone();
        let keep_five = with(json!({"name": "r", "nameRegexDelete": ".*", "keepN": 5}));
        assert!(!needs_dates(5, &keep_five));
        assert!(needs_dates(6, &keep_five));
        let all_but = with(json!({"name": "r", "nameRegexDelete": ".*", "nameRegexKeep": "v.*", "keepN": 0}));
        assert!(!needs_dates(100, &all_but));
        let aged = with(json!({"name": "r", "nameRegexDelete": ".*", "olderThan": "1d"}));
        assert!(needs_dates(1, &aged));
    }

    /// The documented example of GitLab's cleanup policies, and the cases that follow from the order of its filters.
    #[test]
    fn the_plan_agrees_with_the_cases_of_gitlabs_own_tests() {
        let cases: Value =
            serde_json::from_str(include_str!("../../../tests/gitlab-simulator/cases/bulk-delete.json")).unwrap();
        let mut compared = 0;
        for case in cases["cases"].as_array().unwrap() {
            let Some((policy, tags)) = comparable(case) else { continue };
            let input: Vec<(&str, Option<Timestamp>)> =
                tags.iter().map(|(name, date)| (name.as_str(), *date)).collect();
            let mut removed = removed(&policy, &input);
            removed.sort_unstable();
            let expected: Vec<&str> =
                case["expected_deleted"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            assert_eq!(removed, expected, "{}", case["id"]);
            compared += 1;
        }
        assert!(compared >= 10, "only {compared} cases were comparable");
    }

    /// Names of tags with their dates.
    type Dated = Vec<(String, Option<Timestamp>)>;

    /// A case in the terms of a policy, if it has them: patterns that match whole names, no server-side protection, one
    /// page, known dates wherever a date decides.
    fn comparable(case: &Value) -> Option<(CompiledPolicy, Dated)> {
        let params = &case["params"];
        let delete =
            params["name_regex_delete"].as_str().or(params["name_regex"].as_str()).filter(|text| !text.is_empty())?;
        let grouped_alike =
            !delete.contains('|') || delete.starts_with("(?:") || delete == "A|B.*|C" || delete == "C|D";
        let whole = case["page_size"].as_u64().is_none_or(|size| size >= 1000 || params["keep_n"].is_null());
        if !grouped_alike
            || !whole
            || !params["keep_latest"].is_null()
            || case["expected_status"] != "success"
            || !case["protected_patterns"].as_array()?.is_empty()
            || case["expected_deleted"].is_null()
        {
            return None;
        }
        let mut rule = json!({"name": "r", "nameRegexDelete": delete, "keepN": params["keep_n"].as_u64().unwrap_or(0)});
        // No case has such a tag. Without any pattern to keep, some of these rules are refused, since they remove
        // everything.
        rule["nameRegexKeep"] = json!(params["name_regex_keep"].as_str().unwrap_or("none-of-these"));
        if let Some(age) = params["older_than"].as_str() {
            rule["olderThan"] = json!(age.replace(" day", "d"));
        }
        let tags = case["tags"].as_array()?.iter().map(|tag| {
            let date = tag["age_seconds"].as_i64().map(|age| Timestamp::from_second(now().as_second() - age).unwrap());
            (tag["name"].as_str().unwrap().to_owned(), date)
        });
        Some((policy(&rule, &[]), tags.collect()))
    }

    prop_compose! {
        fn some_tags()(tags in proptest::collection::btree_map("(v[0-9]|p|x|latest)[0-9a-c]{0,2}",
            proptest::option::of(0_i64..40), 0..30))
            -> Vec<(String, Option<Timestamp>)> {
            tags.into_iter().map(|(name, age)| (name, age.map(days_ago))).collect()
        }
    }

    fn borrow(tags: &[(String, Option<Timestamp>)]) -> Vec<(&str, Option<Timestamp>)> {
        tags.iter().map(|(name, date)| (name.as_str(), *date)).collect()
    }

    proptest! {
        #[test]
        fn latest_protected_and_kept_tags_never_go(tags in some_tags(), keep_n in 0_u32..5) {
            let policy = policy(&json!({"name": "r", "nameRegexDelete": ".*", "nameRegexKeep": "v1.*", "keepN": keep_n, "olderThan": "3d"}), &["p.*"]);
            for name in removed(&policy, &borrow(&tags)) {
                prop_assert!(name != "latest" && !name.starts_with('p') && !name.starts_with("v1"), "{}", name);
            }
        }

        #[test]
        fn the_order_of_the_list_does_not_matter(tags in some_tags(), keep_n in 0_u32..5, seed in 0_usize..30) {
            let policy = policy(&json!({"name": "r", "nameRegexDelete": "v.*", "keepN": keep_n}), &[]);
            let mut turned = tags.clone();
            if !turned.is_empty() {
                turned.rotate_left(seed % tags.len());
                turned.reverse();
            }
            let of = |tags: &[(String, Option<Timestamp>)]| {
                let plan = planned(&policy, &borrow(tags), &BTreeSet::new());
                let mut pairs: Vec<_> = plan.iter().map(|(tag, decision)| (tag.name.to_owned(), decision.verdict))
                    .collect();
                pairs.sort();
                pairs
            };
            prop_assert_eq!(of(&tags), of(&turned));
        }

        #[test]
        fn at_least_keep_n_candidates_stay_and_a_larger_one_never_removes_more(tags in some_tags(),
            keep_n in 0_u32..5) {
            let removed = |keep_n: u32| {
                let policy = policy(&json!({"name": "r", "nameRegexDelete": "v.*", "keepN": keep_n}), &[]);
                verdicts(&policy, &borrow(&tags)).iter().filter(|verdict| **verdict == REMOVE).count()
            };
            let candidates = tags.iter().filter(|(name, _)| name.starts_with('v')).count();
            prop_assert_eq!(removed(keep_n), candidates.saturating_sub(keep_n as usize));
            prop_assert!(removed(keep_n + 1) <= removed(keep_n));
        }

        #[test]
        fn a_plan_that_was_carried_out_removes_nothing_when_made_again(tags in some_tags(), keep_n in 0_u32..5) {
            let policy = policy(&json!({"name": "r", "nameRegexDelete": "v.*", "keepN": keep_n, "olderThan": "5d"}), &[]);
            let gone = removed(&policy, &borrow(&tags));
            let left: Vec<_> = tags.iter().filter(|(name, _)| !gone.contains(name)).cloned().collect();
            prop_assert!(!verdicts(&policy, &borrow(&left)).contains(&REMOVE));
        }
    }
}
