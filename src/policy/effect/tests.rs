//! What is said of patterns that do nothing.

use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::api::RepositoryResult;
use crate::policy::compile::tests::spec;
use crate::policy::{CompileOptions, compile};

const WEB: [&str; 5] = ["latest", "v1.0", "v2.0", "mr-1", "mr-2"];

fn policy(changes: &Value) -> CompiledPolicy {
    compile(&spec(changes), &CompileOptions::default(), Timestamp::UNIX_EPOCH).unwrap()
}

fn with_rule(rule: &Value) -> CompiledPolicy {
    let mut whole = json!({"name": "old", "keepN": 1});
    whole.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    policy(&json!({"rules": [whole]}))
}

fn target_of(policy: &CompiledPolicy, paths: &[&str], whole: bool) -> TargetSeen {
    policy.target.seen(paths, whole, |pattern| path_hint(pattern, &paths.iter().copied()))
}

fn outcome(id: u64, reason: Option<RepositoryReason>) -> Outcome {
    Outcome::new("shop/backend", id, RepositoryResult::Unchanged, reason)
}

/// What a run says that saw one repository with these tags.
fn told(policy: &CompiledPolicy, tags: &[&str]) -> Assessment {
    let mut seen = Seen::default();
    seen.note(1, &Effect::of_names(tags.iter().copied(), policy));
    seen.verdict(&target_of(policy, &["shop/backend"], true), &[outcome(1, None)], policy)
}

#[rstest]
#[case(&json!({"nameRegexDelete": "mr-.*"}))]
#[case(&json!({"nameRegexDelete": ".*", "nameRegexKeep": "v.*"}))]
#[case::all_that_matches_is_latest(&json!({"nameRegexDelete": "latest"}))]
fn a_policy_whose_patterns_match_something_is_effective(#[case] rule: &Value) {
    let verdict = told(&with_rule(rule), &WEB);
    assert_eq!((verdict.status, verdict.reason), (ConditionStatus::True, Reason::PatternsMatch), "{}", verdict.message);
}

#[rstest]
#[case::a_prefix("mr-", "mr-.*")]
#[case::a_glob("mr-*", "mr-.*")]
#[case::doubled_escapes(r"mr-\\d", r"mr-\d")]
#[case::a_list("mr-1,mr-3", "mr-1|mr-3")]
#[case::another_case("MR-1", "(?i)MR-1")]
#[case::a_line_break("mr-.*\n", "mr-.*")]
#[case::a_part("r-", ".*r-.*")]
#[case::alternatives("mr|rc", "(?:mr|rc).*")]
fn a_delete_pattern_that_matches_nothing_is_told_with_what_would(#[case] pattern: &str, #[case] hint: &str) {
    let verdict = told(&with_rule(&json!({"nameRegexDelete": pattern})), &WEB);
    assert_eq!((verdict.status, verdict.reason), (ConditionStatus::False, Reason::DeletePatternMatchesNothing));
    let sentence = format!(
        "rules[old].nameRegexDelete {pattern:?} matches none of 5 tags: patterns match the whole name: did you mean {hint:?}?"
    );
    assert_eq!(verdict.message, sentence);
}

#[test]
fn where_nothing_would_match_there_is_no_hint() {
    let verdict = told(&with_rule(&json!({"nameRegexDelete": "nightly-.*"})), &WEB);
    assert!(verdict.message.ends_with("patterns match the whole name"), "{}", verdict.message);
}

#[rstest]
#[case(&json!({"rules": [{"name": "old", "nameRegexDelete": "v.*", "nameRegexKeep": ".*", "keepN": 1}]}), "nameRegexKeep keeps")]
#[case(&json!({"protect": {"nameRegex": ["v1.*", "v2.*"]}, "rules": [{"name": "old", "nameRegexDelete": "v.*", "keepN": 1}]}), "protect.nameRegex keeps")]
#[case(
    &json!({"protect": {"nameRegex": ["v1.*"]}, "rules": [{"name": "old", "nameRegexDelete": "v.*", "nameRegexKeep": "v2.*", "keepN": 1}]}),
    "nameRegexKeep and protect.nameRegex together keep"
)]
fn patterns_that_keep_everything_are_told(#[case] changes: &Value, #[case] who: &str) {
    let verdict = told(&policy(changes), &WEB);
    assert_eq!((verdict.status, verdict.reason), (ConditionStatus::False, Reason::KeepPatternKeepsEverything));
    assert_eq!(verdict.message, format!("{who} every tag that rules[old].nameRegexDelete matches"));
}

#[test]
fn what_one_repository_shows_counts_for_all() {
    let policy = with_rule(&json!({"nameRegexDelete": "mr-.*"}));
    let mut seen = Seen::default();
    for (id, tags) in [(1, &["v1"][..]), (2, &["mr-1"])] {
        seen.note(id, &Effect::of_names(tags.iter().copied(), &policy));
    }
    let target = target_of(&policy, &["shop/backend", "shop/backend/b"], true);
    let all = [outcome(1, None), outcome(2, None)];
    assert_eq!(seen.verdict(&target, &all, &policy).status, ConditionStatus::True);
}

#[rstest]
#[case::a_repository_that_failed(&[(1, None), (2, Some(RepositoryReason::GitLabUnavailable))], true, ConditionStatus::Unknown)]
#[case::a_target_that_was_not_listed(&[(1, None), (0, Some(RepositoryReason::NotFound))], false, ConditionStatus::Unknown)]
#[case::an_archived_project(&[(1, None), (2, Some(RepositoryReason::ProjectArchived))], true, ConditionStatus::False)]
#[case::all_of_them(&[(1, None)], true, ConditionStatus::False)]
fn a_run_that_could_not_see_everything_does_not_know(
    #[case] outcomes: &[(u64, Option<RepositoryReason>)],
    #[case] whole: bool,
    #[case] expected: ConditionStatus,
) {
    let policy = with_rule(&json!({"nameRegexDelete": "nightly-.*"}));
    let mut seen = Seen::default();
    seen.note(1, &Effect::of_names(WEB.into_iter(), &policy));
    let outcomes: Vec<Outcome> = outcomes.iter().map(|(id, reason)| outcome(*id, *reason)).collect();
    let verdict = seen.verdict(&target_of(&policy, &["shop/backend"], whole), &outcomes, &policy);
    assert_eq!(verdict.status, expected, "{}", verdict.message);
}

#[test]
fn without_tags_nobody_knows() {
    let policy = with_rule(&json!({"nameRegexDelete": "mr-.*"}));
    assert_eq!(told(&policy, &[]), Assessment::unknown("there are no tags"));
}

#[test]
fn of_tags_that_were_not_all_read_nothing_is_said_to_be_missing() {
    let policy = with_rule(&json!({"nameRegexDelete": "mr-.*"}));
    let effect = Effect { partial: true, ..Effect::of_names(["v1"].into_iter(), &policy) };
    let target = target_of(&policy, &["shop/backend"], true);
    assert_eq!(assess(&effect, &target, 0, &policy).status, ConditionStatus::Unknown);
    let effect = Effect { partial: true, ..Effect::of_names(["mr-1"].into_iter(), &policy) };
    assert_eq!(assess(&effect, &target, 0, &policy).status, ConditionStatus::True);
}

#[test]
fn all_names_tell_what_the_oldest_tags_leave_open() {
    let policy = with_rule(&json!({"nameRegexDelete": "mr-.*"}));
    let target = target_of(&policy, &["shop/backend"], true);
    let mut seen = Seen::default();
    seen.note(1, &Effect { partial: true, ..Effect::of_names(["v1"].into_iter(), &policy) });
    assert_eq!(seen.open(), [1]);
    let mut none = seen.clone();
    none.complete(1, &Effect::of_names(["v1", "v2"].into_iter(), &policy));
    let told = none.assess(&target, 0, &policy);
    assert!(told.message.contains("matches none of 2 tags"), "{}", told.message);
    seen.complete(1, &Effect::of_names(["v1", "mr-1"].into_iter(), &policy));
    assert_eq!((seen.open(), seen.assess(&target, 0, &policy).status), (vec![], ConditionStatus::True));
}

#[test]
fn a_token_that_may_remove_nothing_is_told() {
    let policy = policy(&json!({"method": "Exact"}));
    let seen = |protected| Effect { read: 5, protected, ..Effect::of_names(WEB.into_iter(), &policy) };
    let target = target_of(&policy, &["shop/backend"], true);
    let all = assess(&seen(5), &target, 0, &policy);
    assert_eq!((all.status, all.reason), (ConditionStatus::False, Reason::TagsProtectedByGitLab));
    assert_eq!(assess(&seen(4), &target, 0, &policy).status, ConditionStatus::True);
}

fn selecting(include: &[&str], exclude: &[&str]) -> CompiledPolicy {
    let target = json!({"groups": [{"path": "Shop"}], "repositories": {"include": include, "exclude": exclude}});
    policy(&json!({ "target": target }))
}

#[rstest]
#[case::without_its_group("legacy", ".*/legacy")]
#[case::with_the_host("registry.example.com/shop/legacy", "shop/legacy")]
#[case::another_group("store/legacy/.*", ".*/legacy/.*")]
fn an_exclude_pattern_that_can_match_no_repository_is_told_ahead_of_any_run(#[case] pattern: &str, #[case] hint: &str) {
    let policy = selecting(&[], &[pattern]);
    let target = target_of(&policy, &["shop/legacy", "shop/legacy/db", "shop/web"], true);
    let verdict = of_list(&target).unwrap();
    assert_eq!((verdict.status, verdict.reason), (ConditionStatus::False, Reason::ExcludeMatchesNothing));
    let asked = format!("without the registry's host: did you mean {hint:?}?");
    assert!(verdict.message.ends_with(&asked), "{}", verdict.message);
}

#[rstest]
#[case::what_may_come(&["shop/tomorrow"], &["shop/web"], &[])]
#[case::what_is_there(&["shop/web"], &["shop/web"], &[])]
#[case::a_group_that_was_renamed(&["legacy"], &["store/web"], &[])]
#[case::a_project_by_its_id(&["legacy"], &["shop/web"], &["42"])]
fn an_exclude_pattern_that_may_match_is_not_told(
    #[case] exclude: &[&str],
    #[case] paths: &[&str],
    #[case] projects: &[&str],
) {
    let target = json!({"groups": [{"path": "shop"}], "projects": projects, "repositories": {"exclude": exclude}});
    let policy = policy(&json!({ "target": target }));
    assert_eq!(of_list(&target_of(&policy, paths, true)), None);
}

#[test]
fn an_include_pattern_that_matches_no_repository_is_told_where_all_were_listed() {
    let policy = selecting(&["shop/web", "api"], &[]);
    let paths = ["shop/web", "shop/api"];
    let verdict = of_list(&target_of(&policy, &paths, true)).unwrap();
    let sentence = "target.repositories.include \"api\" matches none of 2 repositories: patterns match the whole path: did you \
                    mean \".*/api\"?";
    assert_eq!((verdict.reason, verdict.message.as_str()), (Reason::IncludeMatchesNothing, sentence));
    assert_eq!(of_list(&target_of(&policy, &paths, false)), None);
    assert_eq!(of_list(&target_of(&policy, &[], true)), None, "there may be some tomorrow");
}
