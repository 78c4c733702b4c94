//! What asking for GitLab's bulk deletion comes to: what becomes of a listing before the request, and what is proved to
//! be gone after it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::plan::limit_exceeded;
use crate::api::limits::MAX_SAMPLES;
use crate::api::{RepositoryResult, TagCounts};
use crate::policy::CompiledPolicy;
use crate::policy::bulk_ledger::Blocked;
use crate::policy::bulk_remains::Remains;
use crate::policy::bulk_verification::Watch;
use crate::policy::compile::Rule;
use crate::policy::plan::leftover::Leftover;
use crate::policy::plan::{bulk, decide_by_name};
use crate::policy::repository_outcome::{OfAge, Outcome, RepositoryName, RepositoryReason};
use crate::policy::tag::Ages;

/// The tags of a repository by what the request may do with them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listed {
    /// How many there are.
    pub scanned: usize,
    /// How many are in use.
    pub in_use: usize,
    /// Those that the request may remove.
    pub candidates: Vec<Box<str>>,
    /// Those that it cannot remove.
    pub survivors: Vec<Box<str>>,
    /// How many of the candidates can go at all.
    pub removable: usize,
    /// How many of the others GitLab is known to protect.
    pub protected: usize,
}

impl Listed {
    /// Tells candidates from what is to stay. `in_use` names the tags in use; `planned` is how many tags would go,
    /// where a plan was made.
    #[must_use]
    pub fn of(
        names: Vec<Box<str>>,
        rule: &Rule,
        policy: &CompiledPolicy,
        in_use: &BTreeSet<Box<str>>,
        planned: Option<usize>,
    ) -> Self {
        let scanned = names.len();
        let (candidates, survivors): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| decide_by_name(name, rule, &policy.protect, in_use).is_none());
        let removable = planned.unwrap_or_else(|| bulk::removable(candidates.len(), rule));
        Self { scanned, in_use: in_use.len(), candidates, survivors, removable, protected: 0 }
    }

    /// The numbers where so many tags are to go.
    #[must_use]
    pub fn counts(&self, matched: usize) -> TagCounts {
        TagCounts {
            scanned: self.scanned as u64,
            matched: matched as u64,
            in_use: self.in_use as u64,
            ..TagCounts::default()
        }
    }

    /// What stands in the way of a request.
    #[must_use]
    pub fn refused(
        &self,
        name: RepositoryName<'_>,
        policy: &CompiledPolicy,
        leftover: Option<Leftover>,
    ) -> Option<Outcome> {
        if let Err(exceeded) = policy.limits.repository(self.removable as u64, self.scanned as u64) {
            let outcome = Outcome::of(name, RepositoryResult::Failed, None);
            return Some(limit_exceeded(&exceeded, Outcome { tags: self.counts(self.removable), ..outcome }));
        }
        let protected = (self.protected > 0).then(|| format!("GitLab protects {} tags that would go", self.protected));
        let message: Vec<String> = protected.into_iter().chain(leftover.map(|leftover| leftover.to_string())).collect();
        (self.removable == 0).then(|| Outcome {
            tags: self.counts(0),
            message: Some(message.join("; ")).filter(|message| !message.is_empty()),
            ..Outcome::of(name, RepositoryResult::Unchanged, Some(RepositoryReason::NothingToRemove))
        })
    }

    /// The outcome where all repositories together would lose too many tags.
    #[must_use]
    pub fn over_run(&self, name: RepositoryName<'_>) -> Outcome {
        let reason = Some(RepositoryReason::DeletionLimitExceeded);
        Outcome { tags: self.counts(self.removable), ..Outcome::of(name, RepositoryResult::Skipped, reason) }
    }
}

/// The outcome of a repository that had, or may have had, its bulk deletion and gets none for a while.
#[must_use]
pub fn rate_limited(name: RepositoryName<'_>, blocked: &Blocked) -> Outcome {
    let had = if blocked.forgotten {
        "the status of the policy is lost or new, and a former operator may have requested one"
    } else {
        "has had one"
    };
    let message = format!("GitLab takes one bulk deletion per repository and hour, and {had}");
    Outcome { eligible: Some(blocked.until), ..Outcome::skipped(name, RepositoryReason::RateLimited, message) }
}

/// The outcome of a repository of which GitLab says that it had its bulk deletion, though nobody here knows of one.
#[must_use]
pub fn already_requested(name: RepositoryName<'_>, until: Timestamp, scanned: usize) -> Outcome {
    let message = "GitLab says that it had a bulk deletion within the hour, not when; it is left alone for an hour";
    let tags = TagCounts { scanned: scanned as u64, ..TagCounts::default() };
    Outcome { eligible: Some(until), tags, ..Outcome::skipped(name, RepositoryReason::RateLimited, message.to_owned()) }
}

/// What GitLab before 12.10 cannot be told to keep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotKept {
    /// What the policy names.
    ByPattern,
    /// Attachments.
    Attachments,
}

/// The outcome of a repository where GitLab is too old to be told what to keep.
#[must_use]
pub fn too_old(name: RepositoryName<'_>, version: &str, not_kept: NotKept) -> Outcome {
    let what = match not_kept {
        NotKept::ByPattern => "what the policy keeps by nameRegexKeep or protect.nameRegex",
        NotKept::Attachments => "signatures and other attachments of images that stay",
    };
    let message = format!("GitLab {version} ignores name_regex_keep and would remove {what}");
    Outcome::skipped(name, RepositoryReason::KeepNotSupported, message)
}

/// A request that left, and what was seen of it since.
#[derive(Clone, Debug)]
pub struct Requested {
    /// The numbers.
    pub tags: TagCounts,
    /// Its tags of one moment that come of age soon.
    pub of_age: Option<OfAge>,
    /// What GitLab counts ages from, where dates were looked at.
    pub ages: Option<Ages>,
    /// Attachments that stay though the rule matches them.
    pub leftover: Option<Leftover>,
    /// The answer to the request was lost: how.
    pub lost: Option<String>,
    /// What listings showed.
    pub watch: Watch,
}

impl Requested {
    /// A request that just left. `lost` says how its answer was lost, if it was.
    #[must_use]
    pub fn new(listed: Listed, of_age: Option<OfAge>, leftover: Option<Leftover>, lost: Option<String>) -> Self {
        let tags = TagCounts { requested: listed.removable as u64, ..listed.counts(listed.removable) };
        let watch = Watch::new(listed.candidates, listed.survivors, listed.removable);
        Self { tags, of_age, ages: None, leftover, lost, watch }
    }

    /// Whether what is still there may tell why it is. What is too young says nothing where other tags went.
    #[must_use]
    pub fn wants_look(&self, aged: bool) -> bool {
        let gone = self.watch.confirmed().and_then(|gone| u64::try_from(gone).ok());
        self.lost.is_none() && gone.is_some_and(|gone| gone == 0 || (!aged && gone < self.tags.requested))
    }
}

/// The result where nothing went although something had to: a failure from the second time in a row on.
const fn unseen(again: bool) -> RepositoryResult {
    if again { RepositoryResult::Failed } else { RepositoryResult::Changed }
}

/// What a request came to after the last listing. `aged` says that GitLab spares what is too young, so that not
/// everything that was requested is expected to go; `remains` is what was seen of the tags that are left, and `again`
/// says that the last run saw nothing go either.
#[must_use]
pub fn verified(name: RepositoryName<'_>, requested: Requested, aged: bool, remains: &Remains, again: bool) -> Outcome {
    let Requested { mut tags, of_age, ages, leftover, lost, watch } = requested;
    let gone = watch.confirmed().map(|gone| u64::try_from(gone).unwrap_or(u64::MAX).min(tags.requested));
    tags.confirmed = gone.unwrap_or(0);
    let of = format!("{} of up to {} tags", tags.confirmed, tags.requested);
    let (result, reason, message) = match (gone, lost) {
        (_, Some(lost)) => (RepositoryResult::Failed, Some(RepositoryReason::AnswerLost), lost),
        (None, None) => (
            RepositoryResult::Changed,
            Some(RepositoryReason::NotConfirmed),
            "requested; no listing since then proves what went (an empty or short one proves nothing)".to_owned(),
        ),
        (Some(0), None) if remains.due > 0 => {
            let again = again && remains.proves_failure();
            (unseen(again), Some(RepositoryReason::NotConfirmed), remains.failed().unwrap_or_default())
        }
        (Some(gone), None) if remains.all_protected() => (
            if gone == 0 { RepositoryResult::Unchanged } else { RepositoryResult::Changed },
            (gone == 0).then_some(RepositoryReason::NothingToRemove),
            format!("{of} are gone; GitLab protects the others, as far as they were looked at"),
        ),
        (Some(0), None) if aged => (
            RepositoryResult::Unchanged,
            Some(RepositoryReason::NothingToRemove),
            "requested; GitLab removed nothing so far, so probably no tag was old enough".to_owned(),
        ),
        (Some(gone), None) if gone < tags.requested && !aged => (
            if gone == 0 { unseen(again) } else { RepositoryResult::Changed },
            Some(RepositoryReason::NotConfirmed),
            match (remains.protected, gone == 0 && again) {
                (0, false) if remains.unknown_rules => format!(
                    "{of} are gone so far; GitLab may still be at work, or protect the others: its rules are not known"
                ),
                (0, false) => format!("{of} are gone so far; GitLab may still be at work"),
                (0, true) => format!(
                    "{of} are gone, as in the run before: GitLab's job failed, or its registry refuses to delete"
                ),
                (protected, _) => {
                    format!("{of} are gone so far; GitLab protects {protected} of {} looked at", remains.looked_at)
                }
            },
        ),
        (Some(_), None) => (RepositoryResult::Changed, None, format!("{of} are gone")),
    };
    let message = leftover.map_or_else(|| message.clone(), |leftover| format!("{message}; {leftover}"));
    Outcome {
        message: Some(message),
        tags,
        samples: watch.samples().iter().take(MAX_SAMPLES).cloned().collect(),
        of_age,
        ages,
        ..Outcome::of(name, result, reason)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::{CompileOptions, Method, compile};

    const NAME: RepositoryName<'_> = RepositoryName { path: "shop/web", id: 7 };

    fn names(list: &[&str]) -> Vec<Box<str>> {
        list.iter().map(|name| Box::from(*name)).collect()
    }

    fn policy(changes: &Value) -> (CompiledPolicy, Rule) {
        let rules = json!([{"name": "old", "nameRegexDelete": "v.*", "nameRegexKeep": "v1", "keepN": 1}]);
        let mut all = json!({"method": "Bulk", "rules": rules, "protect": {"nameRegex": ["v2"]}});
        for (key, value) in changes.as_object().unwrap() {
            all[key] = value.clone();
        }
        let policy = compile(&spec(&all), &CompileOptions::default(), Timestamp::UNIX_EPOCH).unwrap();
        let Method::Bulk(rule) = policy.method.clone() else { panic!("not Bulk") };
        (policy, *rule)
    }

    fn listed(changes: &Value, planned: Option<usize>) -> (CompiledPolicy, Listed) {
        let (policy, rule) = policy(changes);
        let all = names(&["latest", "main", "v1", "v2", "v3", "v4", "v5", "v6"]);
        let listed = Listed::of(all, &rule, &policy, &BTreeSet::from(["v3".into()]), planned);
        (policy, listed)
    }

    #[test]
    fn only_what_the_request_may_remove_is_a_candidate_and_everything_else_has_to_survive() {
        let (_, found) = listed(&json!({}), None);
        assert_eq!(found.candidates, names(&["v4", "v5", "v6"]));
        assert_eq!(found.survivors, names(&["latest", "main", "v1", "v2", "v3"]));
        assert_eq!((found.scanned, found.in_use, found.removable), (8, 1, 2));
        assert_eq!(found.counts(2), TagCounts { scanned: 8, matched: 2, in_use: 1, ..TagCounts::default() });
        assert_eq!(listed(&json!({}), Some(1)).1.removable, 1, "a plan knows better");
    }

    #[rstest]
    #[case::without_limits(json!({}), None, None)]
    #[case::at_the_limit(json!({"limits": {"maxTagsPerRepository": 2}}), None, None)]
    #[case::above_it(
        json!({"limits": {"maxTagsPerRepository": 1}}),
        None,
        Some((RepositoryReason::DeletionLimitExceeded, 2)),
    )]
    #[case::above_a_share(
        json!({"limits": {"maxPercentPerRepository": 24}}),
        None,
        Some((RepositoryReason::DeletionLimitExceeded, 2))
    )]
    #[case::nothing_to_remove(json!({}), Some(0), Some((RepositoryReason::NothingToRemove, 0)))]
    fn a_request_is_refused_where_it_may_remove_too_much_or_nothing(
        #[case] changes: Value,
        #[case] planned: Option<usize>,
        #[case] expected: Option<(RepositoryReason, u64)>,
    ) {
        let (policy, listed) = listed(&changes, planned);
        let refused = listed.refused(NAME, &policy, None);
        assert_eq!(refused.map(|outcome| (outcome.reason.unwrap(), outcome.tags.matched)), expected);
    }

    #[test]
    fn what_a_limit_refuses_has_failed_and_what_has_nothing_to_remove_says_what_is_left_over() {
        let (policy, found) = listed(&json!({"limits": {"maxTagsPerRepository": 1}}), None);
        let refused = found.refused(NAME, &policy, None).unwrap();
        assert_eq!((refused.result, refused.path.as_str(), refused.id), (RepositoryResult::Failed, "shop/web", 7));
        let message = "2 tags would go, limits.maxTagsPerRepository allows 1; none was removed here";
        assert_eq!(refused.message.as_deref(), Some(message));
        let leftover = Leftover { attachments: 1, orphans: None };
        let (policy, found) = listed(&json!({}), Some(0));
        let unchanged = found.refused(NAME, &policy, Some(leftover)).unwrap();
        assert_eq!((unchanged.result, unchanged.message), (RepositoryResult::Unchanged, Some(leftover.to_string())));
    }

    #[test]
    fn a_run_that_would_remove_too_much_skips_a_repository_with_its_numbers() {
        let outcome = listed(&json!({}), None).1.over_run(NAME);
        assert_eq!(
            (outcome.result, outcome.reason),
            (RepositoryResult::Skipped, Some(RepositoryReason::DeletionLimitExceeded))
        );
        assert_eq!((outcome.tags.scanned, outcome.tags.matched, outcome.tags.requested), (8, 2, 0));
    }

    #[test]
    fn a_repository_without_its_turn_says_when_it_has_one() {
        let until = Timestamp::from_second(3600).unwrap();
        let blocked = |forgotten| Blocked { until, owner: "n/other".to_owned(), forgotten };
        let (known, forgotten) = (rate_limited(NAME, &blocked(false)), rate_limited(NAME, &blocked(true)));
        assert!(known.message.as_ref().unwrap().ends_with("and has had one"), "{known:?}");
        assert!(forgotten.message.as_ref().unwrap().contains("may have requested one"), "{forgotten:?}");
        for outcome in [known, forgotten, already_requested(NAME, until, 8)] {
            assert_eq!(
                (outcome.result, outcome.reason),
                (RepositoryResult::Skipped, Some(RepositoryReason::RateLimited))
            );
            assert_eq!(outcome.eligible, Some(until));
        }
        assert_eq!(already_requested(NAME, until, 8).tags.scanned, 8);
    }

    #[test]
    fn a_server_that_is_too_old_is_told_with_what_it_would_remove() {
        let told = |not_kept| too_old(NAME, "12.9", not_kept).message.unwrap();
        assert!(
            told(NotKept::ByPattern)
                .ends_with("would remove what the policy keeps by nameRegexKeep or protect.nameRegex")
        );
        assert!(
            told(NotKept::Attachments).ends_with("would remove signatures and other attachments of images that stay")
        );
    }

    /// A request that may remove v4, v5 and v6 but one, after a listing if there was one.
    fn requested(listing: Option<&[&str]>, lost: Option<&str>) -> Requested {
        let (_, listed) = listed(&json!({}), None);
        let leftover = Some(Leftover { attachments: 1, orphans: None });
        let mut requested = Requested::new(listed, None, leftover, lost.map(str::to_owned));
        requested.watch.observe(listing.map(names).as_deref());
        requested
    }

    const STAYS: [&str; 5] = ["latest", "main", "v1", "v2", "v3"];

    #[rstest]
    #[case::all_gone(&["v6"], false, RepositoryResult::Changed, None, 2, "2 of up to 2 tags are gone")]
    #[case::one_is_left(
        &["v5", "v6"], false, RepositoryResult::Changed, Some(RepositoryReason::NotConfirmed), 1,
        "1 of up to 2 tags are gone so far; GitLab may still be at work"
    )]
    #[case::one_is_too_young(&["v5", "v6"], true, RepositoryResult::Changed, None, 1, "1 of up to 2 tags are gone")]
    #[case::all_are_too_young(
        &["v4", "v5", "v6"], true, RepositoryResult::Unchanged, Some(RepositoryReason::NothingToRemove), 0,
        "requested; GitLab removed nothing so far, so probably no tag was old enough"
    )]
    #[case::none_is_gone(
        &["v4", "v5", "v6"], false, RepositoryResult::Changed, Some(RepositoryReason::NotConfirmed), 0,
        "0 of up to 2 tags are gone so far; GitLab may still be at work"
    )]
    #[case::more_than_was_requested(&[], false, RepositoryResult::Changed, None, 2, "2 of up to 2 tags are gone")]
    fn a_listing_proves_what_went(
        #[case] left: &[&str],
        #[case] aged: bool,
        #[case] result: RepositoryResult,
        #[case] reason: Option<RepositoryReason>,
        #[case] confirmed: u64,
        #[case] text: &str,
    ) {
        let listing = [&STAYS, left].concat();
        let outcome = verified(NAME, requested(Some(&listing), None), aged, &Remains::default(), false);
        assert_eq!((outcome.result, outcome.reason, outcome.tags.confirmed), (result, reason, confirmed));
        assert_eq!((outcome.tags.requested, outcome.tags.matched, outcome.tags.scanned), (2, 2, 8));
        let leftover = "1 attachment stays, whether its image is here or not";
        let message =
            format!("{text}; {leftover}: Bulk keeps all of them, method: Exact removes them with their image");
        assert_eq!(outcome.message, Some(message));
    }

    #[test]
    fn where_the_protection_rules_are_not_known_they_may_be_why_tags_are_left() {
        let listing = [&STAYS, &["v5", "v6"][..]].concat();
        let remains = Remains { unknown_rules: true, ..Remains::default() };
        let outcome = verified(NAME, requested(Some(&listing), None), false, &remains, false);
        assert!(outcome.message.unwrap().contains("or protect the others: its rules are not known"));
    }

    #[rstest]
    #[case::a_listing_that_failed(None)]
    #[case::an_empty_listing(Some(&[][..]))]
    #[case::a_listing_that_lacks_what_stays(Some(&["latest", "main", "v1", "v2"][..]))]
    fn a_listing_that_cannot_be_trusted_proves_nothing(#[case] listing: Option<&[&str]>) {
        let outcome = verified(NAME, requested(listing, None), false, &Remains::default(), false);
        assert_eq!((outcome.result, outcome.reason), (RepositoryResult::Changed, Some(RepositoryReason::NotConfirmed)));
        assert_eq!((outcome.tags.confirmed, outcome.samples.len()), (0, 0));
    }

    #[test]
    fn a_lost_answer_has_failed_whatever_went() {
        let outcome =
            verified(NAME, requested(Some(&STAYS), Some("connection reset")), false, &Remains::default(), false);
        assert_eq!((outcome.result, outcome.reason), (RepositoryResult::Failed, Some(RepositoryReason::AnswerLost)));
        assert_eq!((outcome.tags.confirmed, outcome.samples), (2, ["v4", "v5", "v6"].map(str::to_owned).to_vec()));
        assert!(outcome.message.unwrap().starts_with("connection reset; "));
    }
}
