//! Repositories are read, planned and removed from at the same time, as many requests as may be under way.

use futures::future;
use gitlab_simulator::{Endpoint, HoldPoint, Matcher};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RunResult};
use rstest::rstest;
use serde_json::json;

use crate::support::in_time;
use crate::world::{Operator, Setup, World};

/// More repositories than are planned at the same time at first.
const REPOSITORIES: usize = 6;

/// Each with tags of which half are old, and an operator with a policy for them.
async fn world(graphql_batch: u16, limits: serde_json::Value) -> (World, Vec<u64>, Operator) {
    let world = World::start().await;
    let repositories = (0..REPOSITORIES).map(|number| {
        let tags: Vec<(String, i64)> =
            (0..60).map(|tag| (format!("t{tag:02}"), if tag < 30 { 90 } else { 1 })).collect();
        let id = world.repository(&format!("shop/backend/image-{number}"), &[]);
        world.sim.edit(|registry| {
            for (minutes, (tag, days)) in (0_i64..).zip(&tags) {
                let ago = SignedDuration::from_hours(24 * days) - SignedDuration::from_mins(minutes);
                let at = registry.now() - ago;
                registry.push(id, tag, gitlab_simulator::Push::at(at));
            }
        });
        id
    });
    let repositories = repositories.collect();
    let rule = json!({"name": "old", "nameRegexDelete": ".*", "olderThan": "30d"});
    let mut spec = json!({"method": "Exact", "rules": [rule]});
    if !limits.is_null() {
        spec["limits"] = limits;
    }
    world.apply(&world.policy("shop", &spec)).await.unwrap();
    let operator = Operator::set_up(&world, Setup { graphql_batch, ..Setup::of(&world) }).await;
    world.ready("shop").await;
    world.sim.clear_requests();
    (world, repositories, operator)
}

fn is_over(status: &PolicyStatus) -> bool {
    status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some())
}

async fn ends_well(world: &World, repositories: &[u64]) {
    let status = world.until("shop", is_over).await;
    let run = status.last_run.unwrap();
    assert_eq!((run.result, run.tags.confirmed), (RunResult::Succeeded, 30 * REPOSITORIES as u64));
    assert!(repositories.iter().all(|id| world.tags(*id).len() == 30));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_repositories_are_read_while_those_before_are_removed_from() {
    let (world, repositories, operator) = world(1, json!(null)).await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation).nth(1), HoldPoint::BeforeProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    hold.reached().await;
    let read = |id: u64| {
        let world = &world;
        async move {
            let of = |endpoint, repository| endpoint == Endpoint::GraphqlQuery && repository == Some(id);
            world.sim.wait_for(|request| of(request.endpoint, request.repository)).await
        }
    };
    in_time("the others are read", future::join_all(repositories.iter().map(|id| read(*id)))).await;
    hold.release();
    ends_well(&world, &repositories).await;
    operator.stop().await;
}

#[rstest]
#[case::one_by_one(1)]
#[case::together(25)]
#[tokio::test(flavor = "multi_thread")]
async fn several_repositories_are_removed_from_at_the_same_time_once_it_is_known_how_much_a_request_may_have(
    #[case] graphql_batch: u16,
) {
    let (world, repositories, operator) = world(graphql_batch, json!(null)).await;
    let removals = || world.sim.requests_to(Endpoint::GraphqlMutation).len();
    let (first, second) = {
        let hold =
            |nth| world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation).nth(nth), HoldPoint::BeforeProcessing);
        (hold(1), hold(2))
    };
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    first.reached().await;
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(removals(), 1, "the first alone tells how much the next may have");
    first.release();
    second.reached().await;
    in_time("another leaves beside it", async {
        while removals() < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    second.release();
    ends_well(&world, &repositories).await;
    operator.stop().await;
}

/// What a request needs before it leaves is not to wait for the place that it has.
#[rstest]
#[case::exact_without_several_parts("Exact", 1, true)]
#[case::exact("Exact", 25, true)]
#[case::exact_without_graphql("Exact", 25, false)]
#[case::bulk("Bulk", 25, true)]
#[tokio::test(flavor = "multi_thread")]
async fn one_request_at_a_time_is_enough(#[case] method: &str, #[case] graphql_batch: u16, #[case] graphql: bool) {
    let world = World::start_with(|config| config.settings.graphql = graphql).await;
    let ids: Vec<u64> = (0..2)
        .map(|number| {
            world.repository(&format!("shop/backend/{number}"), &[("a", 90), ("b", 90), ("c", 90), ("v1", 1)])
        })
        .collect();
    let rule = json!({"name": "old", "nameRegexDelete": ".*", "olderThan": "30d"});
    world.apply(&world.policy("shop", &json!({"method": method, "rules": [rule]}))).await.unwrap();
    let setup = Setup { graphql_batch, requests_in_flight: 1, ..Setup::of(&world) };
    let operator = Operator::set_up(&world, setup).await;
    world.ready("shop").await;
    let status = world.run("shop", "one").await;
    assert_eq!(status.last_run.unwrap().result, RunResult::Succeeded);
    assert!(ids.iter().all(|id| world.tags(*id) == ["v1"]));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_run_has_a_limit_everything_is_read_before_anything_goes() {
    let (world, repositories, operator) = world(1, json!({"maxTagsPerRun": 1000})).await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation).nth(1), HoldPoint::BeforeProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    hold.reached().await;
    let requests = world.sim.requests();
    let read = |id: &u64| {
        requests.iter().any(|request| request.endpoint == Endpoint::GraphqlQuery && request.repository == Some(*id))
    };
    assert!(repositories.iter().all(read));
    hold.release();
    ends_well(&world, &repositories).await;
    operator.stop().await;
}
