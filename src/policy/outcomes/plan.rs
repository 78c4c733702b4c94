//! What the plan of a repository comes to: what the status says of it, and what is to be removed, if the limits hold.
//! Or why there is no plan.

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::limits::MAX_SAMPLES;
use crate::api::{RepositoryResult, TagCounts};
use crate::policy::limits::Exceeded;
use crate::policy::of_age;
use crate::policy::plan::doubt::Doubt;
use crate::policy::plan::removals::Removals;
use crate::policy::plan::repository::RepositoryPlan;
use crate::policy::plan::ties;
use crate::policy::repository_outcome::{Outcome, RepositoryName, RepositoryReason};
use crate::policy::source::Source;
use crate::policy::tag::Ages;
use crate::policy::tag_protection::Claims;
use crate::policy::{CompiledPolicy, Method};

/// The tags of a repository that are to be removed: at least one.
#[derive(Clone, Debug)]
pub struct Removable {
    /// The tags.
    pub tags: Removals,
    /// How they were read.
    pub source: Source,
    /// What was in use when the plan was made.
    pub claims: Arc<Claims>,
}

/// What the status says of a plan, and what is to be removed if the limits hold.
#[must_use]
pub fn judge(
    name: RepositoryName<'_>,
    plan: RepositoryPlan,
    policy: &CompiledPolicy,
    now: Timestamp,
) -> (Outcome, Option<Removable>) {
    let message = message(&plan, &policy.method);
    let of_age = of_age::in_plan(&plan.tags, policy.method.rules(), now);
    let (scanned, in_use) = (plan.tags.len() as u64, plan.tags.in_use().count() as u64);
    let RepositoryPlan { tags, source, claims, rules, .. } = plan;
    let tags = Removals::of(tags);
    let counts = TagCounts { scanned, matched: tags.len() as u64, in_use, ..TagCounts::default() };
    let outcome = Outcome {
        tags: counts,
        message: Some(message),
        samples: tags.iter().take(MAX_SAMPLES).map(|tag| tag.name.to_string()).collect(),
        bytes: tags.iter().filter_map(|tag| tag.bytes).sum(),
        of_age,
        ages: source.ages,
        rules,
        ..Outcome::of(name, RepositoryResult::Changed, None)
    };
    if tags.is_empty() {
        let (result, reason) = (RepositoryResult::Unchanged, Some(RepositoryReason::NothingToRemove));
        return (Outcome { result, reason, ..outcome }, None);
    }
    if let Err(exceeded) = policy.limits.repository(counts.matched, counts.scanned) {
        return (limit_exceeded(&exceeded, outcome), None);
    }
    (outcome, Some(Removable { tags, source, claims: Arc::new(claims) }))
}

/// The outcome of a repository that is passed over, since nothing can have changed since it came to this by a reading
/// of that time.
#[must_use]
pub fn unchanged(before: &Outcome, read: Timestamp) -> Outcome {
    let read = Timestamp::from_second(read.as_second()).unwrap_or(read);
    let why = before.message.as_deref().unwrap_or_default();
    Outcome {
        reason: Some(RepositoryReason::Unchanged),
        message: Some(format!("nothing was pushed since it was read at {read}; {why}")),
        // Nothing was looked at.
        tags: TagCounts::default(),
        ..before.clone()
    }
}

/// The outcome of a repository of which all is gone that was to go, as a reading after that would come to it.
#[must_use]
pub fn once_gone(planned: &Outcome) -> Outcome {
    Outcome {
        result: RepositoryResult::Unchanged,
        reason: Some(RepositoryReason::NothingToRemove),
        tags: TagCounts::default(),
        samples: Vec::new(),
        bytes: 0,
        ..planned.clone()
    }
}

/// Why tags stay, which of them are in use and by whom, and what else there is to know of a plan.
fn message(plan: &RepositoryPlan, method: &Method) -> String {
    let parts = [
        Some(plan.kept()),
        plan.users().map(|users| format!("in use: {users}")),
        plan.doubted().map(|(tags, doubt)| format!("{tags} may be in use: {doubt}")),
        ties::sentence(&plan.tags, method.rules()),
        ties::unranked(&plan.tags, method.rules()),
        plan.leftover.map(|leftover| leftover.to_string()),
        counted_from(method, plan.source.ages).map(|ages| ages.as_str().to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// What to say of a repository that ages are counted from, if it is not said of all of them together. GitLab's bulk
/// deletion goes by the last push as well, where it is known.
fn counted_from(method: &Method, ages: Option<Ages>) -> Option<Ages> {
    match method {
        Method::Exact(_) => ages.filter(|ages| ages.remark().is_none()),
        Method::Bulk(_) => ages.filter(|ages| ages.remark().is_none() && *ages != Ages::LastPush),
    }
}

/// The outcome of a repository in which a limit was exceeded.
#[must_use]
pub fn limit_exceeded(exceeded: &Exceeded, outcome: Outcome) -> Outcome {
    Outcome {
        result: RepositoryResult::Failed,
        reason: Some(RepositoryReason::DeletionLimitExceeded),
        message: Some(exceeded.to_string()),
        bytes: 0,
        ..outcome
    }
}

/// The outcome of a repository whose plan is not carried out.
#[must_use]
pub fn not_carried_out(outcome: Outcome, reason: RepositoryReason) -> Outcome {
    Outcome {
        result: RepositoryResult::Skipped,
        reason: Some(reason),
        message: None,
        samples: Vec::new(),
        bytes: 0,
        ..outcome
    }
}

/// The outcome of a repository that GitLab is about to delete as a whole.
#[must_use]
pub fn delete_scheduled(name: RepositoryName<'_>) -> Outcome {
    Outcome::skipped(name, RepositoryReason::DeleteScheduled, "GitLab is about to delete this repository".to_owned())
}

/// The outcome of a repository of which the lists of tags contradict each other.
#[must_use]
pub fn incomplete(name: RepositoryName<'_>) -> Outcome {
    let message =
        "GitLab's lists of tags do not fit together, so nothing is decided from them; the next run tries again";
    Outcome::failed(name, RepositoryReason::ListIncomplete, message.to_owned())
}

/// The outcome of a repository of which it is not known what is in use, or of which GitLab cannot be told.
#[must_use]
pub fn unresolved(name: RepositoryName<'_>, message: String) -> Outcome {
    Outcome::skipped(name, RepositoryReason::InUseUnresolved, message)
}

/// The outcome of a repository in which GitLab's bulk deletion may take one of the newest tags.
#[must_use]
pub fn doubted(name: RepositoryName<'_>, doubt: &Doubt) -> Outcome {
    let reason = match doubt {
        Doubt::Tied { .. } => RepositoryReason::DateTied,
        Doubt::Undated { .. } => RepositoryReason::DateUnknown,
    };
    Outcome::skipped(name, reason, doubt.to_string())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::in_use::tests::of_shop_web;
    use crate::policy::plan::leftover::Leftover;
    use crate::policy::plan::{Decision, KeepReason, PlannedTag, RemoveReason, TagPlan, Verdict};
    use crate::policy::source::Extent;
    use crate::policy::tag::{Manifest, Moment, Tag};
    use crate::policy::{CompileOptions, compile};

    const NAME: RepositoryName<'_> = RepositoryName { path: "shop/web", id: 7 };

    fn policy(method: &str, limits: &Value) -> CompiledPolicy {
        let rules = json!([{"name": "old", "nameRegexDelete": ".*", "keepN": 1}]);
        let spec = spec(&json!({"method": method, "rules": rules, "limits": limits}));
        compile(&spec, &CompileOptions::default(), Timestamp::UNIX_EPOCH).unwrap()
    }

    /// `v1` to `v12` go, five bytes each; `latest` stays, and `main` is in use.
    fn plan(removed: usize, ages: Option<Ages>) -> RepositoryPlan {
        let tag = |name: &str, verdict| PlannedTag {
            tag: Tag {
                name: name.into(),
                digest: None,
                pushed: Moment::Unknown,
                push_told: false,
                created: Moment::Unknown,
                single_image: true,
                protected: false,
                bytes: Some(5),
                manifest: Manifest::default(),
            },
            decision: Decision::new(verdict, None),
            attached: None,
        };
        let mut read =
            vec![tag("latest", Verdict::Keep(KeepReason::Latest)), tag("main", Verdict::Keep(KeepReason::InUse))];
        let remove = Verdict::Remove(RemoveReason::RuleMatches);
        read.extend((1..=removed).map(|number| tag(&format!("v{number}"), remove)));
        let source =
            Source { graphql: true, ages, sorts_by_push: true, extent: Extent::All, at: Timestamp::UNIX_EPOCH };
        let used = of_shop_web(&[("registry.example.com/shop/web:main", "prod/Pod/a")]);
        let claims = Claims::new(used, [("main", None)], false);
        RepositoryPlan { tags: TagPlan { read, ..TagPlan::default() }, source, claims, leftover: None, rules: None }
    }

    fn judged(plan: RepositoryPlan, policy: &CompiledPolicy) -> (Outcome, Option<Removable>) {
        judge(NAME, plan, policy, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_plan_says_how_much_goes_and_why_the_rest_stays() {
        let (outcome, removable) = judged(plan(12, Some(Ages::FirstPush)), &policy("Exact", &json!({})));
        assert_eq!(removable.unwrap().tags.len(), 12);
        assert_eq!((outcome.path.as_str(), outcome.id), ("shop/web", 7));
        assert_eq!((outcome.result, outcome.reason, outcome.bytes), (RepositoryResult::Changed, None, 60));
        let counts = TagCounts { scanned: 14, matched: 12, in_use: 1, ..TagCounts::default() };
        assert_eq!((outcome.tags, outcome.samples.len()), (counts, MAX_SAMPLES));
        let message = "kept: 1 InUse, 1 Latest; in use: main by prod/Pod/a; ages by the first push";
        assert_eq!(outcome.message.as_deref(), Some(message));
    }

    #[test]
    fn a_plan_without_removals_has_nothing_to_remove() {
        let (outcome, removable) = judged(plan(0, None), &policy("Exact", &json!({})));
        assert!(removable.is_none());
        assert_eq!(
            (outcome.result, outcome.reason),
            (RepositoryResult::Unchanged, Some(RepositoryReason::NothingToRemove))
        );
        assert_eq!((outcome.tags.scanned, outcome.tags.matched, outcome.bytes), (2, 0, 0));
    }

    #[rstest]
    #[case(json!({"maxTagsPerRepository": 12}), true)]
    #[case(json!({"maxTagsPerRepository": 11}), false)]
    #[case(json!({"maxPercentPerRepository": 86}), true)]
    #[case(json!({"maxPercentPerRepository": 85}), false)]
    fn a_plan_over_a_limit_of_its_repository_is_not_to_be_carried_out(#[case] limits: Value, #[case] fits: bool) {
        let (outcome, removable) = judged(plan(12, None), &policy("Exact", &limits));
        assert_eq!(removable.is_some(), fits);
        let (result, reason, bytes) = if fits {
            (RepositoryResult::Changed, None, 60)
        } else {
            (RepositoryResult::Failed, Some(RepositoryReason::DeletionLimitExceeded), 0)
        };
        assert_eq!((outcome.result, outcome.reason, outcome.bytes), (result, reason, bytes));
        assert_eq!(outcome.tags.matched, 12);
    }

    #[rstest]
    #[case::exact("Exact", Ages::LastPush, true)]
    #[case::by_builds_which_the_run_says_once("Exact", Ages::Builds, false)]
    #[case::bulk_by_what_gitlab_goes_by("Bulk", Ages::LastPush, false)]
    #[case::bulk_by_builds_which_the_run_says_once("Bulk", Ages::Builds, false)]
    #[case::bulk_by_something_else("Bulk", Ages::FirstPush, true)]
    fn a_plan_says_what_ages_are_counted_from_unless_that_is_plain(
        #[case] method: &str,
        #[case] ages: Ages,
        #[case] said: bool,
    ) {
        let (outcome, _) = judged(plan(1, Some(ages)), &policy(method, &json!({})));
        assert_eq!((outcome.message.unwrap().ends_with(ages.as_str()), outcome.ages), (said, Some(ages)));
    }

    #[test]
    fn what_bulk_leaves_over_is_said() {
        let leftover = Leftover { attachments: 1, orphans: None };
        let plan = RepositoryPlan { leftover: Some(leftover), ..plan(1, None) };
        let (outcome, _) = judged(plan, &policy("Bulk", &json!({})));
        assert!(outcome.message.unwrap().ends_with(&leftover.to_string()));
    }

    #[test]
    fn a_plan_that_is_not_carried_out_keeps_its_numbers_only() {
        let (outcome, _) = judged(plan(12, None), &policy("Exact", &json!({})));
        let left = not_carried_out(outcome.clone(), RepositoryReason::PlanChanged);
        assert_eq!((left.result, left.reason), (RepositoryResult::Skipped, Some(RepositoryReason::PlanChanged)));
        assert_eq!((left.message, left.samples.len(), left.bytes, left.tags), (None, 0, 0, outcome.tags));
    }

    #[test]
    fn without_a_plan_the_outcome_says_why() {
        let tied = Doubt::Tied { tags: 3, moment: Timestamp::UNIX_EPOCH };
        for (outcome, result, reason) in [
            (delete_scheduled(NAME), RepositoryResult::Skipped, RepositoryReason::DeleteScheduled),
            (incomplete(NAME), RepositoryResult::Failed, RepositoryReason::ListIncomplete),
            (unresolved(NAME, "why".to_owned()), RepositoryResult::Skipped, RepositoryReason::InUseUnresolved),
            (doubted(NAME, &tied), RepositoryResult::Skipped, RepositoryReason::DateTied),
            (doubted(NAME, &Doubt::Undated { tags: 3 }), RepositoryResult::Skipped, RepositoryReason::DateUnknown),
        ] {
            assert_eq!((outcome.result, outcome.reason), (result, Some(reason)));
            assert!(outcome.message.is_some_and(|message| !message.is_empty()));
            assert_eq!((outcome.path.as_str(), outcome.id, outcome.tags), ("shop/web", 7, TagCounts::default()));
        }
    }
}
