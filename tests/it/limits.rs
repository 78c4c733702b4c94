//! Limits: a plan that removes more than it may is not carried out, by neither method, and says the numbers.

use gitlab_simulator::Endpoint;
use registry_cleanup_operator::api::RunResult;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::events_of;
use crate::world::{Operator, World};

/// Twelve tags, of which five are older than a week, and four, of which one is.
async fn start(method: &str, mode: &str, limits: Value) -> (World, Operator, [u64; 2]) {
    let world = World::start().await;
    let names: Vec<String> = (0..12).map(|number| format!("t{number}")).collect();
    let many: Vec<(&str, i64)> =
        names.iter().map(String::as_str).zip((0..12).map(|n| if n < 5 { 30 } else { 1 })).collect();
    let api = world.repository("shop/backend/api", &many);
    let web = world.repository("shop/frontend/web", &[("a", 30), ("b", 1), ("c", 1), ("d", 1)]);
    let policy = world.policy("shop", &json!({"method": method, "mode": mode, "limits": limits}));
    world.apply(&policy).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    (world, operator, [api, web])
}

fn removals(world: &World) -> usize {
    [Endpoint::BulkDeleteTags, Endpoint::GraphqlMutation, Endpoint::DeleteTag]
        .into_iter()
        .map(|endpoint| world.sim.requests_to(endpoint).len())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_one_of_all_tags_also_where_only_the_oldest_are_read() {
    let world = World::start().await;
    let names: Vec<String> = (0..100).map(|number| format!("t{number}")).collect();
    let ages = (0..100).map(|number| if number < 20 { 30 } else { 1 });
    let tags: Vec<(&str, i64)> = names.iter().map(String::as_str).zip(ages).collect();
    let api = world.repository("shop/backend/api", &tags);
    let limits = json!({"maxPercentPerRepository": 20});
    world.apply(&world.policy("shop", &json!({"method": "Exact", "limits": limits}))).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    let status = world.run("shop", "one").await;
    assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded, "{status:#?}");
    assert_eq!((status.repositories[0].tags.scanned, world.tags(api).len()), (100, 80));
    operator.stop().await;
}

#[rstest]
#[case::number(json!({"maxTagsPerRepository": 4}), "5 tags would go, limits.maxTagsPerRepository allows 4")]
#[case::share(json!({"maxPercentPerRepository": 40}), "5 of 12 tags would go, limits.maxPercentPerRepository allows 40 %")]
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_above_its_fuse_is_left_alone_and_the_others_are_cleaned(
    #[values("Bulk", "Exact")] method: &str,
    #[case] limits: Value,
    #[case] numbers: &str,
) {
    let (world, operator, [api, web]) = start(method, "Delete", limits).await;
    let status = world.run("shop", "one").await;
    assert_eq!((world.tags(api).len(), world.tags(web).len()), (12, 3), "{status:#?}");
    let run = status.last_run.as_ref().unwrap();
    assert_eq!(run.result, RunResult::PartiallyFailed);
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/DeletionLimitExceeded");
    assert!(run.message.as_deref().unwrap().contains(numbers), "{run:?}");
    assert_eq!(status.repositories[0].reason.as_deref(), Some("DeletionLimitExceeded"));
    assert_eq!(status.repositories[0].tags.matched, 5, "nothing is shortened");
    operator.stop().await;
    assert_eq!(events_of(&world, "DeletionLimitExceeded").await, 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_run_above_its_fuse_removes_nothing_at_all_and_the_next_one_tries_again(
    #[values("Bulk", "Exact")] method: &str,
) {
    let (world, operator, [api, web]) = start(method, "Delete", json!({"maxTagsPerRun": 5})).await;
    let status = world.run("shop", "one").await;
    let run = status.last_run.as_ref().unwrap();
    assert_eq!((run.result, run.tags.matched, run.tags.confirmed), (RunResult::Failed, 6, 0));
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/DeletionLimitExceeded");
    let expected = "6 tags would go, limits.maxTagsPerRun allows 5; nothing was removed";
    assert_eq!(run.message.as_deref(), Some(expected));
    assert_eq!(removals(&world), 0);

    // Somebody removes one of them by hand.
    world.sim.edit(|registry| registry.remove_tag(web, "a"));
    let status = world.run("shop", "two").await;
    assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded, "{status:#?}");
    assert_eq!((world.tags(api).len(), world.tags(web).len()), (7, 3));
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_tells_that_a_fuse_would_blow(#[values("Bulk", "Exact")] method: &str) {
    let (world, operator, _) = start(method, "Delete", json!({"maxTagsPerRun": 5, "maxTagsPerRepository": 100})).await;
    let status = world.preview("shop", "one").await;
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/DeletionLimitExceeded");
    assert_eq!(removals(&world), 0);
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn at_its_fuses_a_run_removes_everything_it_planned(#[values("Bulk", "Exact")] method: &str) {
    let limits = json!({"maxTagsPerRun": 6, "maxTagsPerRepository": 5, "maxPercentPerRepository": 42});
    let (world, operator, [api, web]) = start(method, "Delete", limits).await;
    let status = world.run("shop", "one").await;
    assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded, "{status:#?}");
    assert_eq!((world.tags(api).len(), world.tags(web).len()), (7, 3));
    operator.stop().await;
}

#[rstest]
#[case::in_a_repository(
    json!({"maxTagsPerRepository": 4}),
    "shop/backend/api: 5 tags would go, limits.maxTagsPerRepository allows 4; none was removed here"
)]
#[case::a_share(
    json!({"maxPercentPerRepository": 41}),
    "shop/backend/api: 5 of 12 tags would go, limits.maxPercentPerRepository allows 41 %; none was removed here"
)]
#[case::over_the_run(
    json!({"maxTagsPerRun": 5}),
    "6 tags would go, limits.maxTagsPerRun allows 5; nothing was removed"
)]
#[tokio::test(flavor = "multi_thread")]
async fn an_event_names_the_fuse_and_its_numbers(
    #[values("Bulk", "Exact")] method: &str,
    #[case] limits: Value,
    #[case] note: &str,
) {
    let (world, operator, _) = start(method, "Delete", limits).await;
    world.run("shop", "one").await;
    operator.stop().await;
    let events = world.events().await;
    let blown: Vec<&String> =
        events.iter().filter(|(reason, _)| reason == "DeletionLimitExceeded").map(|(_, note)| note).collect();
    assert!(matches!(blown[..], [told] if told.contains(note)), "{events:#?}");
}
