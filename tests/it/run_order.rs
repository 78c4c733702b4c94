//! A deadline that is too short for all repositories: the next run begins with those that the last one did not reach.

use std::collections::BTreeSet;
use std::time::Duration;

use gitlab_simulator::{Action, Fault, Matcher};
use jiff::SignedDuration;
use registry_cleanup_operator::api::PolicyStatus;
use rstest::rstest;
use serde_json::json;

use crate::world::{Operator, Setup, World};

/// Each answer takes so many milliseconds that a run reaches about half of the repositories.
#[rstest]
#[case::exact("Exact", 500)]
#[case::bulk("Bulk", 150)]
#[tokio::test(flavor = "multi_thread")]
async fn every_repository_is_reached_within_the_nights_although_each_run_is_cut(
    #[case] method: &str,
    #[case] takes: u64,
) {
    let world = World::start().await;
    let path = |number: usize| format!("shop/backend/r{number:02}");
    for number in 1..=30 {
        world.repository(&path(number), &[("keep-1", 1), ("old-1", 100)]);
    }
    world.sim.fault(Fault::new(Matcher::any(), Action::Takes(Duration::from_millis(takes))));
    let rules = json!([{"name": "all", "nameRegexDelete": "keep-.*", "olderThan": "30d"}]);
    let changes = json!({"method": method, "rules": rules, "activeDeadlineSeconds": 12});
    world.apply(&world.policy("shop", &changes)).await.unwrap();
    // With several pages in one request a run would reach all of them.
    let operator = Operator::set_up(&world, Setup { graphql_batch: 1, ..Setup::of(&world) }).await;
    world.ready("shop").await;

    let mut reached: BTreeSet<String> = BTreeSet::new();
    for night in 1..=3 {
        let status = world.run("shop", &format!("night-{night}")).await;
        let of_this: BTreeSet<String> = reached_by(&status).collect();
        assert!(!of_this.is_empty() && of_this.len() < 30, "night {night}: {of_this:?}");
        assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/DeadlineExceeded");
        assert!(status.next_repository.is_some_and(|next| !of_this.contains(&next)), "night {night}");
        reached.extend(of_this);
        world.sim.advance(SignedDuration::from_hours(24));
    }
    assert_eq!(reached.len(), 30, "{reached:?}");

    world.sim.clear_faults();
    let status = world.run("shop", "night-4").await;
    assert_eq!(reached_by(&status).count(), 30);
    assert_eq!(status.next_repository, None);
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_for_each_branch_is_cleaned_like_any_other(#[values("Exact", "Bulk")] method: &str) {
    let world = World::start().await;
    let path = |branch: usize| format!("shop/backend/feature-{branch}");
    let repositories: Vec<u64> =
        (0..70).map(|branch| world.repository(&path(branch), &[("latest", 1), ("b1", 30), ("b2", 1)])).collect();
    world.apply(&world.policy("shop", &json!({"method": method}))).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    let status = world.run("shop", "one").await;
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "True/Succeeded");
    assert_eq!((status.repositories.len(), status.repositories_omitted), (50, Some(20)));
    assert!(repositories.iter().all(|repository| world.tags(*repository) == ["b2", "latest"]));
    operator.stop().await;
}

fn reached_by(status: &PolicyStatus) -> impl Iterator<Item = String> {
    let reached = status.repositories.iter().filter(|one| one.reason.as_deref() != Some("NotReached"));
    reached.map(|one| one.path.clone())
}
