//! Very large repositories are planned and removed from in passes, which come to what one plan would.

use std::collections::BTreeSet;

use gitlab_simulator::{Endpoint, Push};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RunResult};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{Operator, Setup, World};

const OLD: i64 = 900;
const YOUNG: i64 = 100;

/// One repository with old and young tags, of which every tenth is kept by its name.
async fn world() -> (World, u64) {
    let world = World::start().await;
    let id = world.repository("shop/backend/api", &[]);
    world.sim.edit(|registry| {
        for number in 0..OLD + YOUNG {
            let days = if number < OLD { 31 } else { 1 };
            let ago = SignedDuration::from_hours(24 * days) + SignedDuration::from_mins(OLD + YOUNG - number);
            registry.push(id, &name(number), Push::at(registry.now() - ago));
        }
    });
    (world, id)
}

fn name(number: i64) -> String {
    format!("{}-{number:04}", if number % 10 == 0 { "keep" } else { "t" })
}

/// A run in passes of 150 tags. Answers the status, and how often the oldest page was read.
async fn run(world: &World, spec: &Value) -> (PolicyStatus, usize) {
    world.apply(&world.policy("shop", spec)).await.unwrap();
    let operator = Operator::set_up(world, Setup { passes_of: 150, ..Setup::of(world) }).await;
    world.ready("shop").await;
    world.sim.clear_requests();
    let status = world.run("shop", "one").await;
    operator.stop().await;
    let first_pages = world.sim.requests_to(Endpoint::GraphqlQuery).into_iter().filter(|request| {
        let asked = request.params["query"].as_str().unwrap_or_default();
        let variables = &request.params["variables"];
        asked.contains("tags(first: 20")
            && asked.contains("PUBLISHED_AT_ASC")
            && (variables["after"].is_null() && variables["a0"].is_null())
    });
    (status, first_pages.count())
}

#[rstest]
#[case::by_age(json!({"olderThan": "30d"}), OLD)]
#[case::with_a_number_to_keep(json!({"olderThan": "30d", "keepN": 50}), OLD)]
#[case::with_a_number_that_reaches_the_old(json!({"olderThan": "30d", "keepN": 100}), OLD - 11)]
#[tokio::test(flavor = "multi_thread")]
async fn passes_come_to_what_one_plan_would(#[case] rule: Value, #[case] from: i64) {
    let (world, id) = world().await;
    let mut spec =
        json!({"method": "Exact", "rules": [{"name": "old", "nameRegexDelete": ".*", "nameRegexKeep": "keep-.*"}]});
    for (key, value) in rule.as_object().unwrap() {
        spec["rules"][0][key] = value.clone();
    }
    let (status, first_pages) = run(&world, &spec).await;
    let left: BTreeSet<String> = world.tags(id).into_iter().collect();
    let expected: BTreeSet<String> =
        (0..OLD + YOUNG).filter(|number| number % 10 == 0 || *number >= from).map(name).collect();
    assert_eq!(left, expected, "{status:#?}");
    let run = status.last_run.as_ref().unwrap();
    let gone = u64::try_from(OLD + YOUNG).unwrap() - expected.len() as u64;
    assert_eq!((run.result, run.tags.confirmed, run.tags.matched), (RunResult::Succeeded, gone, gone));
    assert!(first_pages >= 3, "{first_pages} passes");
    let [repository] = status.repositories.as_slice() else { panic!("{status:#?}") };
    let message = repository.message.as_deref().unwrap();
    assert!(message.contains("tags were removed by passes before the last; "), "{message}");
}

#[rstest]
#[case::a_limit(json!({"limits": {"maxTagsPerRepository": 500}}))]
#[case::an_approval(json!({"mode": "RequireApproval"}))]
#[tokio::test(flavor = "multi_thread")]
async fn whoever_wants_to_know_everything_first_gets_one_plan(#[case] changes: Value) {
    let (world, id) = world().await;
    let rule = json!({"name": "old", "nameRegexDelete": ".*", "nameRegexKeep": "keep-.*", "olderThan": "30d"});
    let mut spec = json!({"method": "Exact", "rules": [rule]});
    for (key, value) in changes.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let (status, first_pages) = run(&world, &spec).await;
    assert_eq!(world.tags(id).len(), usize::try_from(OLD + YOUNG).unwrap());
    assert_eq!(first_pages, 1, "{status:#?}");
    assert_eq!(status.last_run.unwrap().tags.matched, 810);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_very_large_repository_among_small_ones_is_cleaned_whole() {
    let (world, id) = world().await;
    for small in ["a1", "a2", "a3", "z1", "z2"] {
        world.repository(&format!("shop/backend/{small}"), &[("t-1", 40), ("t-2", 41), ("t-3", 2)]);
    }
    let rule = json!({"name": "old", "nameRegexDelete": ".*", "nameRegexKeep": "keep-.*", "olderThan": "30d"});
    let (status, _) = run(&world, &json!({"method": "Exact", "rules": [rule]})).await;
    let run = status.last_run.as_ref().unwrap();
    assert_eq!((run.result, run.tags.confirmed), (RunResult::Succeeded, 810 + 10), "{status:#?}");
    assert_eq!(world.tags(id).len(), 190);
}
