//! Who has reserved what and for how long, as tables, and over any order of requests and restarts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::api::{ReservedHour, RunResult};

const GIT: &str = "https://git.test/";
const A: Repository<'_> =
    Repository { instance: GIT, location: "registry.test/shop/backend/api", id: 7, path: "shop/backend/api" };
const B: Repository<'_> =
    Repository { instance: GIT, location: "registry.test/other/thing", id: 8, path: "other/thing" };
const ONE: Owner<'_> = Owner { uid: "uid-one", name: "n/one" };
const TWO: Owner<'_> = Owner { uid: "uid-two", name: "n/two" };
const ANEW: Owner<'_> = Owner { uid: "uid-anew", name: "n/one" };
const ELSEWHERE: Owner<'_> = Owner { uid: "uid-else", name: "other/one" };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn target(path: &str) -> TargetSpec {
    serde_json::from_value(json!({"groups": [{"path": path}]})).unwrap()
}

fn status(named: Option<i64>, others: Option<i64>) -> PolicyStatus {
    let mut status: PolicyStatus = serde_json::from_value(json!({
        "lastRun": {"id": "r", "trigger": "Schedule", "mode": "Delete", "gitlab": A.instance, "registry": "registry.test",
            "observedGeneration": 1, "startTime": "1970-01-01T00:00:00Z", "result": "Succeeded"},
        "repositories": [{"path": A.path, "id": A.id, "result": "Changed"}],
    }))
    .unwrap();
    status.repositories[0].next_eligible_time = named.map(|second| Time(at(second)));
    status.others_eligible_time = others.map(|second| Time(at(second)));
    status
}

fn blocked(ledger: &Ledger, repository: Repository<'_>, now: i64) -> Option<Timestamp> {
    ledger.blocked(repository, TWO.name, at(now)).map(|blocked| blocked.until)
}

#[test]
fn a_second_request_is_refused_for_an_hour_whoever_asks() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.reserve(A, ONE, at(100)), Ok(()));
    ledger.requested(A, ONE, eligible_after(at(105)));
    let blocked = Blocked { until: at(3705), owner: "n/one".to_owned(), forgotten: false };
    assert_eq!(ledger.reserve(A, TWO, at(3704)), Err(blocked));
    assert_eq!(ledger.reserve(B, TWO, at(106)), Ok(()));
    assert_eq!(ledger.reserve(A, TWO, at(3705)), Ok(()));
}

#[test]
fn a_reservation_that_is_taken_back_blocks_nobody() {
    let mut ledger = Ledger::default();
    ledger.reserve(A, ONE, at(100)).unwrap();
    ledger.release(A);
    assert_eq!(ledger.reserve(A, TWO, at(101)), Ok(()));
}

#[rstest]
#[case::whole_seconds(100, 0, 3700)]
#[case::a_fraction_counts_as_a_whole_one(100, 1, 3701)]
fn the_hour_counts_from_the_answer(#[case] second: i64, #[case] nanosecond: i32, #[case] until: i64) {
    assert_eq!(eligible_after(Timestamp::new(second, nanosecond).unwrap()), at(until));
}

/// Without an answer: time-out, and how long GitLab, or what stands in front of it, may be at it afterwards.
#[rstest]
#[case::the_usual_timeout(30, 100 + 30 + 150 + 3600)]
#[case::a_short_one(1, 100 + 1 + 150 + 3600)]
#[case::as_long_as_gitlab_works(150, 100 + 150 + 150 + 3600)]
#[case::longer_than_gitlab_works(240, 100 + 240 + 240 + 3600)]
fn without_an_answer_it_counts_from_the_latest_moment_at_which_gitlab_can_have_accepted(
    #[case] timeout: u64,
    #[case] until: i64,
) {
    assert_eq!(eligible_after_unseen(at(100), Duration::from_secs(timeout)), at(until));
}

#[rstest]
#[case::found_at_once(Some(1000), 1010, 1010)]
#[case::found_late(Some(1000), 9000, 1000 + 60 + 600)]
#[case::a_record_of_an_older_operator(None, 9000, 9000)]
#[case::a_clock_that_is_behind(Some(2000), 1900, 1900)]
fn a_lost_run_sent_nothing_long_after_its_record_was_renewed(
    #[case] renewed: Option<i64>,
    #[case] now: i64,
    #[case] sent: i64,
) {
    let mut run = status(None, None).last_run.unwrap();
    run.renew_time = renewed.map(|second| Time(at(second)));
    assert_eq!(last_sent(&run, at(now)), at(sent));
}

#[test]
fn a_status_brings_back_the_repositories_it_names() {
    let mut ledger = Ledger::default();
    ledger.remember(ONE, &status(Some(5000), None), &target("shop"), false);
    assert!(blocked(&ledger, A, 4999).is_some());
    assert!(blocked(&ledger, A, 5000).is_none());
    assert!(blocked(&ledger, B, 4999).is_none());
}

#[test]
fn what_a_status_does_not_name_counts_as_requested_wherever_the_policy_could_have_reached() {
    let unnamed = Repository { id: 99, path: "shop/frontend", location: "registry.test/shop/frontend", ..A };
    let mut ledger = Ledger::default();
    ledger.remember(ONE, &status(Some(2000), Some(5000)), &target("shop"), false);
    assert!(blocked(&ledger, unnamed, 4999).is_some());
    assert!(blocked(&ledger, B, 4999).is_none(), "the policy could not reach it");
    assert!(blocked(&ledger, A, 4999).is_none(), "known by name, and free again");

    ledger.remember(ONE, &status(None, Some(5000)), &target("shop"), true);
    assert!(blocked(&ledger, B, 4999).is_some(), "an edited policy could have reached anything");
    ledger.remember(ONE, &status(None, None), &target("shop"), false);
    assert!(blocked(&ledger, B, 4999).is_none());
}

#[test]
fn what_one_policy_names_as_free_another_may_have_requested_without_naming_it() {
    let mut ledger = Ledger::default();
    ledger.remember(ONE, &status(None, None), &target("shop"), false);
    let mut quiet = status(None, Some(5000));
    quiet.repositories.clear();
    ledger.remember(TWO, &quiet, &target("shop"), false);
    assert_eq!(ledger.blocked(A, ONE.name, at(4999)).map(|blocked| blocked.owner), Some("n/two".to_owned()));
}

#[test]
fn a_run_that_nobody_finished_may_have_requested_what_its_status_still_names_as_free() {
    let mut ledger = Ledger::default();
    let mut lost = status(Some(2000), Some(5000));
    lost.last_run.as_mut().unwrap().result = RunResult::Running;
    ledger.remember(ONE, &lost, &target("shop"), false);
    assert!(blocked(&ledger, A, 4999).is_some());
    // Once the loss is recorded, the status tells more precisely.
    ledger.remember(ONE, &status(Some(3000), Some(3000)), &target("shop"), false);
    assert!(blocked(&ledger, A, 3000).is_none());
}

#[test]
fn an_older_status_never_shortens_what_is_known() {
    let mut ledger = Ledger::default();
    ledger.requested(A, TWO, at(6600));
    ledger.remember(ONE, &status(Some(5000), None), &target("shop"), false);
    assert_eq!(blocked(&ledger, A, 5500), Some(at(6600)));
}

/// A repository with the id of A, or another one.
#[rstest]
#[case::the_same(A, true)]
#[case::another_address_of_the_same_gitlab(Repository { instance: "https://alias.test/", ..A }, true)]
#[case::renamed(Repository { path: "shop/new", location: "registry.test/shop/new", ..A }, true)]
#[case::the_registry_was_moved(Repository { location: "new.test/shop/backend/api", ..A }, true)]
#[case::written_in_another_case(
    Repository { instance: "https://alias.test/", location: "Registry.test/shop/backend/api", ..A }, true
)]
#[case::another_gitlab(
    Repository { instance: "https://b.test/", location: "registry.b.test/shop/backend/api", ..A }, false
)]
#[case::another_repository(Repository { id: 9, path: "shop/b", location: "registry.test/shop/b", ..A }, false)]
fn a_repository_is_known_by_id_and_address_or_id_and_location(#[case] of: Repository<'_>, #[case] same: bool) {
    let mut ledger = Ledger::default();
    ledger.reserve(A, ONE, at(0)).unwrap();
    assert_eq!(ledger.reserve(of, TWO, at(1)).is_err(), same, "as this process requested it");
    let mut told = Ledger::default();
    told.remember(ONE, &status(Some(5000), None), &target("shop"), false);
    assert_eq!(blocked(&told, of, 4999).is_some(), same, "as a status names it");
}

#[test]
fn a_lost_run_counts_at_every_address_of_its_gitlab_and_where_that_is_not_known_at_any() {
    let mut lost = status(None, Some(5000));
    lost.repositories.clear();
    let alias = Repository { instance: "https://alias.test/", ..A };
    let another = Repository { instance: "https://b.test/", location: "registry.b.test/shop/backend/api", ..A };
    let mut ledger = Ledger::default();
    ledger.remember(ONE, &lost, &target("shop"), false);
    assert_eq!((blocked(&ledger, alias, 1).is_some(), blocked(&ledger, another, 1).is_some()), (true, false));
    lost.last_run.as_mut().unwrap().registry = None;
    ledger.remember(ONE, &lost, &target("shop"), false);
    assert_eq!((blocked(&ledger, alias, 1).is_some(), blocked(&ledger, another, 1).is_some()), (true, true));
}

#[test]
fn hours_of_an_instance_that_a_policy_has_left_count_as_before() {
    let mut left = status(None, None);
    left.last_run.as_mut().unwrap().gitlab = "https://b.test/".to_owned();
    left.last_run.as_mut().unwrap().registry = Some("registry.b.test".to_owned());
    left.reserved_hours = vec![ReservedHours {
        gitlab: GIT.to_owned(),
        registry: Some("registry.test".to_owned()),
        repositories: vec![ReservedHour { path: A.path.to_owned(), id: A.id, next_eligible_time: Time(at(5000)) }],
        others_eligible_time: None,
    }];
    let mut ledger = Ledger::default();
    ledger.remember(ONE, &left, &target("shop"), true);
    assert_eq!(blocked(&ledger, A, 4999), Some(at(5000)));
    assert_eq!(blocked(&ledger, Repository { instance: "https://alias.test/", ..A }, 4999), Some(at(5000)));
}

#[test]
fn what_nobody_knows_holds_up_the_policy_itself_and_what_it_reaches_in_its_namespace() {
    let hours = ReservedHours { others_eligible_time: Some(Time(at(5000))), ..ReservedHours::default() };
    let unknown = PolicyStatus { reserved_hours: vec![hours], ..PolicyStatus::default() };
    let mut ledger = Ledger::default();
    ledger.remember(ONE, &unknown, &target("shop"), true);
    let of = |repository, owner: Owner<'_>| ledger.blocked(repository, owner.name, at(4999));
    assert!(of(A, ONE).is_some_and(|blocked| blocked.forgotten));
    assert!(of(B, ONE).is_some(), "it may have reached that before");
    assert!(of(A, TWO).is_some());
    assert!(of(B, TWO).is_none());
    assert!(of(A, ELSEWHERE).is_none(), "nobody holds up other namespaces by creating a policy");
}

#[rstest]
#[case::as_it_stands(false, None)]
#[case::edited_since(true, Some(5000))]
fn hours_of_an_instance_hold_up_what_the_policy_could_have_reached_then(
    #[case] edited: bool,
    #[case] of_another_group: Option<i64>,
) {
    let hours = ReservedHours {
        gitlab: GIT.to_owned(),
        registry: Some("registry.test".to_owned()),
        repositories: Vec::new(),
        others_eligible_time: Some(Time(at(5000))),
    };
    let left = PolicyStatus { reserved_hours: vec![hours], ..PolicyStatus::default() };
    let mut ledger = Ledger::default();
    ledger.remember(ONE, &left, &target("shop"), edited);
    assert_eq!(blocked(&ledger, A, 4999), Some(at(5000)));
    assert_eq!(blocked(&ledger, B, 4999), of_another_group.map(at), "the group may have been the target then");
}

#[test]
fn a_ledger_is_empty_only_without_requests_and_without_statuses() {
    let mut ledger = Ledger::default();
    assert!(ledger.is_empty());
    ledger.requested(A, ONE, at(3700));
    assert!(!ledger.is_empty(), "a request was sent");
    let mut ledger = Ledger::default();
    ledger.remember(ONE, &status(Some(5000), None), &target("shop"), false);
    assert!(!ledger.is_empty(), "a status tells");
}

#[test]
fn the_last_hour_of_a_policy_is_not_that_of_another() {
    let mut ledger = Ledger::default();
    ledger.requested(A, ONE, at(3700));
    ledger.requested(B, TWO, at(3900));
    assert_eq!([ONE, TWO, ANEW].map(|owner| ledger.last_of(owner.uid)), [Some(at(3700)), Some(at(3900)), None]);
}

#[test]
fn a_policy_that_was_created_anew_keeps_the_hours_of_its_predecessor() {
    let mut ledger = Ledger::default();
    ledger.requested(A, ONE, at(3700));
    ledger.requested(B, TWO, at(3700));
    let keep = |target: &TargetSpec, heir, lost, alive: &[&str], now| {
        let hours = ledger.to_keep(heir, target, lost, |uid| alive.contains(&uid), at(now));
        hours.into_iter().filter_map(|hour| hour.repository.map(|(id, _)| id)).collect::<Vec<_>>()
    };
    assert_eq!(keep(&target("x"), ANEW, true, &["uid-anew", "uid-two"], 1), [7], "it has the name");
    assert_eq!(keep(&target("other"), ANEW, true, &["uid-anew"], 1), [7, 8], "it reaches what a former one did");
    assert_eq!(keep(&target("x"), ELSEWHERE, false, &["uid-else"], 1), [0; 0]);
    assert_eq!(keep(&target("x"), ONE, false, &["uid-one", "uid-two"], 1), [0; 0], "its status has them");
    assert_eq!(keep(&target("x"), ONE, true, &["uid-one", "uid-two"], 1), [7], "its status was lost");
    assert_eq!(keep(&target("x"), ANEW, true, &["uid-anew", "uid-two"], 3700), [0; 0], "they are over");
}

#[test]
fn it_also_keeps_what_the_status_of_its_predecessor_told_after_a_restart() {
    let mut ledger = Ledger::default();
    ledger.remember(ONE, &status(Some(5000), Some(4000)), &target("shop"), false);
    let hours = ledger.to_keep(ANEW, &target("shop"), true, |uid| uid == "uid-anew", at(1));
    let all: Vec<_> = hours.iter().map(|hour| (hour.repository.clone(), hour.until)).collect();
    assert_eq!(all, [(None, at(4000)), (Some((7, A.path.to_owned())), at(5000))]);
    assert!(hours.iter().all(|hour| hour.instance == GIT && hour.registry.as_deref() == Some("registry.test")));
    let reached = ledger.to_keep(TWO, &target("shop"), false, |uid| uid == "uid-two", at(1));
    assert_eq!(reached.len(), 1, "what is not named is for the policy of that name alone: {reached:?}");
}

#[test]
fn pruning_forgets_only_what_is_over() {
    let mut ledger = Ledger::default();
    ledger.requested(A, ONE, at(3600));
    ledger.requested(B, ONE, at(3700));
    ledger.remember(TWO, &status(Some(3600), Some(3601)), &target("shop"), false);
    ledger.remember(ELSEWHERE, &status(Some(3600), None), &target("shop"), false);
    ledger.prune(at(3600));
    let of_another = Repository { id: 9, ..A };
    assert!(blocked(&ledger, A, 0).is_some(), "the status of n/two is kept, since it reserves others");
    assert!(blocked(&ledger, B, 0).is_some());
    assert!(blocked(&ledger, of_another, 3600).is_some(), "what n/two reserves is not over");
    assert!(!ledger.told.contains_key(ELSEWHERE.uid), "all that it reserves is over");
    assert_eq!(ledger.sent.len(), 1);
}

#[rstest]
#[case("registry.test:5050/shop/api", "shop/api", Some("registry.test:5050"))]
#[case("shop/api", "shop/api", None)]
#[case("registry.test/other", "shop/api", None)]
fn the_registry_is_what_stands_before_the_path(
    #[case] location: &str,
    #[case] path: &str,
    #[case] registry: Option<&str>,
) {
    assert_eq!(registry_of(location, path), registry);
}

proptest! {
    /// Whatever two policies ask for, at whatever address, and however often statuses replace the ledger: GitLab, which
    /// knows a repository by its id, gets no second request within the hour of one that it accepted.
    #[test]
    fn no_order_of_requests_and_restarts_sends_a_second_one_within_the_hour(
        steps in prop::collection::vec((0..3u8, any::<bool>(), 0..2u64, 1..2000i64), 1..60)
    ) {
        let mut ledger = Ledger::default();
        let mut statuses = [status(None, None), status(None, None)];
        for status in &mut statuses {
            status.repositories.clear();
        }
        let (mut now, mut accepted) = (10_000, HashMap::new());
        for (step, second, id, pause) in steps {
            now += pause;
            let owner = if second { TWO } else { ONE };
            let path = if id == 0 { "shop/a" } else { "shop/b" };
            let location = format!("registry.test/{path}");
            let instance = if second { "https://alias.test/" } else { GIT };
            let repository = Repository { instance, location: &location, id, path };
            if step == 0 {
                // A restart: only what the statuses told is left.
                ledger = Ledger::default();
                for (owner, status) in [ONE, TWO].into_iter().zip(&statuses) {
                    ledger.remember(owner, status, &target("shop"), false);
                }
            } else if ledger.reserve(repository, owner, at(now)).is_ok() {
                if let Some(before) = accepted.insert(id, now) {
                    prop_assert!(now - before >= 3600, "{before} and {now}");
                }
                let status = &mut statuses[usize::from(second)];
                let run = status.last_run.as_mut().unwrap();
                run.gitlab = instance.to_owned();
                status.repositories.retain(|known| known.id != id);
                status.repositories.push(
                    serde_json::from_value(json!({"path": path, "id": id, "result": "Changed",
                        "nextEligibleTime": eligible_after(at(now)).to_string()})).unwrap(),
                );
            }
        }
    }
}
