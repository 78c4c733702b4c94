//! Plans and verdicts that the tests of each format share, and what is said in all of them.

use serde_json::{Value, json};

use super::*;
use crate::policy::compile::tests::spec;
use crate::policy::in_use::tests::{of_shop_web, some};
use crate::policy::plan::{PlannedName, PlannedTag, RemoveReason};
use crate::policy::{CompileOptions, compile};

pub(super) fn now() -> Timestamp {
    "2026-11-22T12:00:00.5Z".parse().unwrap()
}

fn days_ago(days: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() - days * 86_400).unwrap()
}

pub(super) fn about(changes: &Value) -> PlanHeader {
    let rules = json!([{"name": "old", "nameRegexDelete": "t.*", "olderThan": "7d", "keepN": 1}]);
    let mut all = json!({"method": "Exact", "mode": "Delete", "rules": rules});
    for (key, value) in changes.as_object().unwrap() {
        all[key] = value.clone();
    }
    let policy = compile(&spec(&all), &CompileOptions::default(), now()).unwrap();
    PlanHeader::new("team/shop".to_owned(), 3, &policy, now())
}

/// A tag pushed so many days ago, and what is decided about it.
pub(super) fn tag(name: &str, days: i64, verdict: Verdict) -> PlannedTag {
    let pushed = Moment::At(days_ago(days));
    let tag = tag::Tag {
        name: name.into(),
        digest: Some(format!("sha256:{name}").into()),
        pushed,
        push_told: true,
        created: Moment::At(days_ago(days + 1)),
        single_image: true,
        protected: false,
        bytes: Some(1024 * 1024),
        manifest: tag::Manifest::default(),
    };
    let rule = (verdict != Verdict::Keep(KeepReason::Latest)).then_some(0);
    PlannedTag { tag, decision: Decision::new(verdict, rule), attached: None }
}

/// A tag that was not read.
pub(super) fn newer(name: &str, verdict: Verdict) -> PlannedName {
    PlannedName { name: name.into(), decision: Decision::new(verdict, Some(0)) }
}

pub(super) fn planned(tags: Vec<PlannedTag>) -> Box<Planned> {
    Box::new(Planned {
        tags: TagPlan { read: tags, ..TagPlan::default() },
        claims: Claims::default(),
        complete: true,
        ages: Some(Ages::LastPush),
        remarks: Vec::new(),
        leftover: None,
        rules: None,
        exceeded: None,
    })
}

pub(super) fn repository(id: u64, path: &str, state: State) -> Repository {
    Repository { id, path: path.to_owned(), state, effect: None }
}

pub(super) const GOES: Verdict = Verdict::Remove(RemoveReason::RuleMatches);
pub(super) const YOUNG: Verdict = Verdict::Keep(KeepReason::TooYoung);
pub(super) const LATEST: Verdict = Verdict::Keep(KeepReason::Latest);

/// Two tags of three would go, none of one, and one repository fails.
pub(super) fn listing(about: PlanHeader, keep: Retain) -> Listing {
    let mut listing = Listing::new(about);
    let api = planned(vec![tag("t2", 20, GOES), tag("latest", 90, LATEST), tag("t10", 10, GOES)]);
    listing.add(repository(7, "shop/api", State::Planned(api)), keep);
    listing.add(repository(8, "shop/web", State::Planned(planned(vec![tag("t1", 1, YOUNG)]))), keep);
    listing.add(repository(9, "shop/old", State::Skipped("it is about to be deleted".to_owned())), keep);
    listing.add(repository(10, "shop/odd", State::Failed("GitLab answered 502".to_owned())), keep);
    listing
}

/// The sentences of a plan's notes.
fn remarks(listing: &Listing) -> Vec<String> {
    listing.notes().into_iter().map(|note| note.text).collect()
}

#[test]
fn numbers_are_those_of_the_tags_and_do_not_depend_on_what_is_remembered() {
    let all = listing(about(&json!({})), Retain::Everything);
    let totals = all.totals;
    assert_eq!((totals.repositories, totals.changed, totals.failed), (4, 1, 1));
    assert_eq!((totals.scanned, totals.remove, totals.keep, totals.bytes), (4, 2, 2, 2 * 1024 * 1024));
    let brief = listing(about(&json!({})), Retain::Removals);
    assert_eq!((brief.totals, brief.plan_hash(), brief.summary()), (totals, all.plan_hash(), all.summary()));
    assert_eq!(brief.repositories[0].planned().unwrap().tags.len(), 2);
}

#[test]
fn the_hash_is_that_of_an_approval_and_leaves_out_what_a_run_would_not_do() {
    let item = |name, digest| Item { repository: "shop/api", name, digest: some(digest) };
    let expected = plan_hash(3, [item("t10", "sha256:t10"), item("t2", "sha256:t2")]);
    let mut all = listing(about(&json!({})), Retain::Everything);
    assert_eq!(all.plan_hash(), expected);
    let limit = Exceeded::PerRepository { tags: 1, limit: 0 };
    let blown = Planned { exceeded: Some(limit), ..*planned(vec![tag("t3", 20, GOES)]) };
    all.add(repository(11, "shop/blown", State::Planned(Box::new(blown))), Retain::Removals);
    assert_eq!(all.plan_hash(), expected);
    assert_eq!((all.totals.remove, all.totals.carried_out, all.totals.failed), (3, 2, 2));
    assert_eq!(all.error(&all.repositories[4]).unwrap(), "1 tags would go, limits.maxTagsPerRepository allows 0");
}

#[test]
fn a_fuse_over_the_run_fails_every_repository_with_something_to_remove() {
    let all = listing(about(&json!({"limits": {"maxTagsPerRun": 1}})), Retain::Everything);
    let errors: Vec<Option<String>> = all.repositories.iter().map(|repository| all.error(repository)).collect();
    let limit = "2 tags would go, limits.maxTagsPerRun allows 1";
    assert_eq!(errors, [Some(limit.to_owned()), None, None, Some("GitLab answered 502".to_owned())]);
    assert!(all.fails());
    assert_eq!(all.plan_hash(), plan_hash(3, []));
    assert_eq!(remarks(&all)[0], format!("a run would remove nothing at all: {limit}"));
}

#[test]
fn what_fails_is_what_a_run_would_report_as_failed() {
    let mut good = Listing::new(about(&json!({"limits": {"maxTagsPerRun": 1}})));
    good.add(repository(1, "shop/api", State::Planned(planned(vec![tag("t1", 9, GOES)]))), Retain::Everything);
    good.add(repository(2, "shop/web", State::Skipped("it is about to be deleted".to_owned())), Retain::Everything);
    assert!(!good.fails());
    good.add(repository(3, "group shop", State::Failed("hidden".to_owned())), Retain::Everything);
    assert!(good.fails());
    assert_eq!(remarks(&good), ["1 of 3 repositories failed"]);
}

#[test]
fn tags_that_go_come_first_and_what_was_not_read_is_not_known() {
    let mut planned = planned(vec![tag("t3", 1, YOUNG), tag("t2", 20, GOES), tag("t1", 20, GOES)]);
    planned.tags.newer = vec![newer("t0", YOUNG)];
    let tags = planned.tags();
    let names: Vec<&str> = tags.iter().map(|tag| tag.name).collect();
    assert_eq!(names, ["t1", "t2", "t0", "t3"]);
    assert_eq!((tags[2].digest, tags[2].published_at, tags[2].created_at, tags[2].bytes), (None, None, None, None));
    assert_eq!((tags[3].published_at, tags[3].created_at), (Some(days_ago(1)), Some(days_ago(2))));
    planned.tags.read[0].tag.push_told = false;
    assert_eq!(planned.tags()[3].published_at, None, "what stands in for the last push is not the last push");
}

#[test]
fn who_uses_a_tag_is_told_where_that_keeps_it() {
    let mut plan = planned(vec![tag("v1", 90, Verdict::Keep(KeepReason::InUse)), tag("t1", 90, GOES)]);
    let used = of_shop_web(&[("registry.example.com/shop/web:v1", "prod/Pod/a")]);
    plan.claims = Claims::new(used, [("v1", None), ("t1", None)], false);
    let tags = plan.tags();
    assert_eq!(tags[1].users.as_ref().map(ToString::to_string).as_deref(), Some("prod/Pod/a"));
    assert_eq!(text::cells(&about(&json!({})), &tags[1])[2], "InUse by prod/Pod/a");
    assert_eq!(text::kept(&plan), "1 InUse; in use: v1 by prod/Pod/a");
}

#[test]
fn what_holds_of_all_repositories_is_a_remark_and_not_said_of_each() {
    let mut all = Listing::new(about(&json!({})));
    for (id, rules) in [(1, None), (2, Some(Known::No)), (3, Some(Known::ButImmutable))] {
        let plan = Planned { ages: Some(Ages::Builds), rules, ..*planned(vec![tag("t1", 20, GOES)]) };
        assert_eq!(text::kept(&plan), "none");
        all.add(repository(id, "shop/api", State::Planned(Box::new(plan))), Retain::Removals);
    }
    assert_eq!(remarks(&all), [Ages::Builds.remark(), Known::No.remark()].map(Option::unwrap));
}

#[test]
fn remarks_say_what_the_plan_is_worth() {
    let mut all = listing(about(&json!({"mode": "DryRun"})), Retain::Everything);
    all.about.in_use_unknown = true;
    all.about.dropped_fields = vec!["spec.limits".to_owned()];
    all.about.overlap = Overlap {
        with: vec![("other".to_owned(), "all".to_owned()), ("team".to_owned(), "b".to_owned())],
        shared: vec!["shop/api".to_owned()],
        of: 4,
    };
    all.about.unused_registries = vec!["registry.example.com:5050".to_owned()];
    assert_eq!(
        remarks(&all),
        [
            "1 of 4 repositories failed",
            "a run keeps images that are in use; nobody looked here which they are",
            "CRD is older than the operator: the API server drops spec.limits",
            "policies b and other/all also look after repositories of this policy (shop/api, 1 of 4); each decides \
             alone, so one may remove what another keeps",
            "the cluster uses no image of registry.example.com:5050, as far as names tell; if it pulls from there \
             under another name, add that to protect.registryAliases",
            "in the mode DryRun a run only tells"
        ]
    );
}
