//! Runs whose requests have several parts: the same tags go as with one part each, whatever becomes of the answers, and
//! they cost fewer requests.

use std::collections::BTreeSet;

use gitlab_simulator::{Action, Endpoint, Fault, Matcher, Push, Settings};
use jiff::SignedDuration;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use registry_cleanup_operator::api::{PolicyStatus, RunResult};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{Operator, Setup, World};

/// Repositories of the benchmarks' smallest registry: 100 tags each, of which so many are older than 30 days.
const OLD: [usize; 3] = [40, 47, 54];

/// Their names.
const REPOSITORIES: [&str; 3] = ["api", "web", "worker"];

/// A registry of them, and their ids. Every name is there once.
async fn registry(settings: impl FnOnce(&mut Settings)) -> (World, Vec<u64>) {
    let world = World::start_with(|config| settings(&mut config.settings)).await;
    let now = world.now();
    let repositories = OLD.iter().zip(REPOSITORIES).map(|(old, repository)| {
        let id = world.repository(&format!("shop/backend/{repository}"), &[]);
        world.sim.edit(|registry| {
            for number in 0..100 {
                // Names say nothing of the order of pushes.
                let (tag, days) = (name(repository, number), if number < *old { 31 } else { 1 });
                let at = now
                    - SignedDuration::from_hours(24 * days)
                    - SignedDuration::from_mins(i64::try_from(number).unwrap());
                registry.push(id, &tag, Push::at(at));
            }
        });
        id
    });
    let repositories = repositories.collect();
    (world, repositories)
}

async fn operator(world: &World, graphql_batch: u16, rule: Value) -> Operator {
    world.apply(&world.policy("shop", &json!({"method": "Exact", "rules": [rule]}))).await.unwrap();
    let operator = Operator::set_up(world, Setup { graphql_batch, ..Setup::of(world) }).await;
    world.ready("shop").await;
    world.sim.clear_requests();
    operator
}

fn older() -> Value {
    json!({"name": "old", "nameRegexDelete": ".*", "olderThan": "30d"})
}

fn left(world: &World, repositories: &[u64]) -> Vec<BTreeSet<String>> {
    repositories.iter().map(|id| world.tags(*id).into_iter().collect()).collect()
}

/// The tag that was pushed so long after the first.
fn name(repository: &str, number: usize) -> String {
    format!("{repository}-{:03}", number * 37 % 100)
}

/// What is young.
fn young() -> Vec<BTreeSet<String>> {
    let young = |(old, repository): (&usize, &&str)| (*old..100).map(|number| name(repository, number)).collect();
    OLD.iter().zip(&REPOSITORIES).map(young).collect()
}

fn requests(world: &World, endpoint: Endpoint) -> usize {
    world.sim.requests_to(endpoint).len()
}

#[rstest]
#[case::one_part_a_request(1, older(), 24)]
#[case::several(25, older(), 15)]
#[case::one_part_with_a_number_to_keep(1, json!({"name": "old", "nameRegexDelete": ".*", "olderThan": "30d", "keepN": 50}), 33)]
#[case::several_with_a_number_to_keep(
    25,
    json!({"name": "old", "nameRegexDelete": ".*", "olderThan": "30d", "keepN": 50}),
    15,
)]
#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_registry_of_the_benchmarks_costs_so_many_requests(
    #[case] graphql_batch: u16,
    #[case] rule: Value,
    #[case] most: usize,
) {
    let (world, _) = registry(|_| {}).await;
    let operator = operator(&world, graphql_batch, rule).await;
    let status = world.run("shop", "one").await;
    assert!(status.last_run.unwrap().tags.confirmed >= 136);
    let all = world.sim.requests();
    let kinds: Vec<_> = all.iter().map(|request| (request.endpoint, request.fields)).collect();
    // Who comes into one document with whom depends a little on who is told first.
    assert!(all.len() <= most, "{} requests: {kinds:?}", all.len());
    operator.stop().await;
}

/// Like the second of the benchmarks, and smaller: many repositories of a few hundred tags, about half of them old.
#[rstest]
#[case::one_part_a_request(1)]
#[case::several(25)]
#[tokio::test(flavor = "multi_thread")]
async fn many_repositories_cost_a_fraction_of_the_requests(#[case] graphql_batch: u16) {
    let world = World::start().await;
    let now = world.now();
    for repository in 0..40 {
        let id = world.repository(&format!("shop/backend/image-{repository}"), &[]);
        world.sim.edit(|registry| {
            for number in 0..200 + repository {
                let days = if number < 100 + repository { 31 } else { 1 };
                let at = now - SignedDuration::from_hours(24 * days) - SignedDuration::from_mins(number);
                registry.push(id, &format!("t{number:03}"), Push::at(at));
            }
        });
    }
    let operator = operator(&world, graphql_batch, older()).await;
    let run = world.run("shop", "one").await.last_run.unwrap();
    assert_eq!((run.result, run.tags.confirmed), (RunResult::Succeeded, 40 * 100 + 39 * 20));
    let fields = |endpoint| world.sim.requests_to(endpoint).iter().map(|request| request.fields).collect::<Vec<_>>();
    let (reads, removals) = (fields(Endpoint::GraphqlQuery), fields(Endpoint::GraphqlMutation));
    let parts = removals.iter().sum::<usize>();
    let told = format!("{} requests: {reads:?} {removals:?}", world.sim.requests().len());
    if graphql_batch == 1 {
        assert_eq!((removals.len(), parts), (removals.len(), removals.len()), "{told}");
        assert!(world.sim.requests().len() > 500, "{told}");
    } else {
        // Each repository has a request that removes, and one that looks at its newest pushes.
        assert!(world.sim.requests().len() < 150, "{told}");
    }
    operator.stop().await;
}

/// Something that happens to the requests of a run.
fn faults() -> impl Strategy<Value = Vec<Fault>> {
    use proptest::prelude::*;
    let endpoint = prop_oneof![2 => Just(Endpoint::GraphqlMutation), 1 => Just(Endpoint::GraphqlQuery)];
    let page = |status| Action::Answer { status, headers: Vec::new(), body: "<html>".to_owned() };
    let refused = json!({"errors": [{"message": "Query has complexity of 251, which exceeds max complexity of 250"}]});
    let refused = Action::Answer { status: 200, headers: Vec::new(), body: refused.to_string() };
    let action = prop_oneof![
        Just(Action::DropConnection),
        Just(page(502)),
        Just(page(504)),
        Just(Action::InvalidJson),
        Just(Action::TooManyRequests { retry_after: Some(1) }),
        Just(refused),
    ];
    let fault = (endpoint, action, 1_u64..8, any::<bool>()).prop_map(|(endpoint, action, nth, after)| {
        let refused = matches!(&action, Action::Answer { status: 200, .. } | Action::TooManyRequests { .. });
        let fault = Fault::new(Matcher::endpoint(endpoint).nth(nth), action);
        // What says that nothing was done is said before anything is.
        if after && !refused { fault.after_processing() } else { fault }
    });
    proptest::collection::vec(fault, 1..4)
}

/// What a run says must hold whatever happened to its requests.
fn is_told(status: &PolicyStatus, gone: usize) {
    let run = status.last_run.as_ref().unwrap();
    let confirmed = usize::try_from(run.tags.confirmed).unwrap();
    assert!(confirmed <= gone, "{confirmed} are said to be gone, {gone} are: {run:?}");
    if run.result == RunResult::Succeeded && confirmed < OLD.iter().sum() {
        let told: String = status.repositories.iter().filter_map(|repository| repository.message.clone()).collect();
        assert!(told.contains("unknown fate"), "nothing tells why {confirmed} of them are gone: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_its_requests_a_run_removes_nothing_that_was_not_planned_and_the_next_the_rest() {
    let (young, mut runner) = (young(), TestRunner::deterministic());
    for _ in 0..8 {
        let faults = faults().new_tree(&mut runner).unwrap().current();
        for graphql_batch in [1, 25] {
            let slow = |settings: &mut Settings| settings.graphql_removal_takes = SignedDuration::from_millis(900);
            let (world, repositories) = registry(slow).await;
            let operator = operator(&world, graphql_batch, older()).await;
            for fault in &faults {
                world.sim.fault(fault.clone());
            }
            let status = world.run("shop", "one").await;
            let after = left(&world, &repositories);
            let kept = after.iter().zip(&young).all(|(left, young)| left.is_superset(young));
            assert!(kept, "{graphql_batch}: something young is gone: {faults:?}");
            is_told(&status, 300 - after.iter().map(BTreeSet::len).sum::<usize>());
            world.sim.clear_faults();
            for attempt in ["two", "three", "four"] {
                world.run("shop", attempt).await;
            }
            assert_eq!(left(&world, &repositories), young, "{graphql_batch}: {faults:?}");
            operator.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_ran_out_of_time_is_told_as_of_unknown_fate_and_made_smaller() {
    let (world, repositories) =
        registry(|settings| settings.graphql_removal_takes = SignedDuration::from_millis(900)).await;
    let operator = operator(&world, 25, older()).await;
    let status = world.run("shop", "one").await;
    // 40 at once are 36 s: of the second 20 nobody hears. Afterwards requests are smaller than 20.
    let first = status.repositories.iter().find(|repository| repository.path.ends_with("api")).unwrap();
    let message = first.message.as_deref().unwrap();
    assert!(message.starts_with("20 of 40 planned tags were removed, 20 of unknown fate"), "{message}");
    let names: Vec<usize> =
        world.sim.requests_to(Endpoint::GraphqlMutation).iter().map(|request| request.tag_names.len()).collect();
    assert_eq!(names[0], 40);
    assert!(names.last().unwrap() < &20, "{names:?}");
    world.run("shop", "two").await;
    assert_eq!(left(&world, &repositories), young());
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_gitlab_takes_for_too_large_is_made_again_smaller_and_nothing_is_lost() {
    let (world, repositories) = registry(|_| {}).await;
    let refused = json!({"errors": [{"message": "Query too large"}]}).to_string();
    let refused = Action::Answer { status: 422, headers: Vec::new(), body: refused };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GraphqlMutation).times(1), refused));
    let operator = operator(&world, 25, older()).await;
    let run = world.run("shop", "one").await.last_run.unwrap();
    assert_eq!((run.result, run.tags.confirmed), (RunResult::Succeeded, 141));
    assert_eq!(left(&world, &repositories), young());
    assert!(requests(&world, Endpoint::GraphqlMutation) > 4);
    operator.stop().await;
}
