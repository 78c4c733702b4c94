//! Requests by annotation. A tool that puts an earlier value back asks for nothing (field case
//! 25).

use gitlab_simulator::Push;
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT};
use rstest::rstest;
use serde_json::json;

use crate::world::{Operator, World};

async fn world() -> (World, u64) {
    let world = World::start().await;
    let repository = world.repository("shop/backend/api", &[("v1", 300), ("dev-1", 100)]);
    let rules = json!([{"name": "dev", "nameRegexDelete": "dev-.*", "olderThan": "30d"}]);
    let policy = world.policy("shop", &json!({"method": "Exact", "rules": rules, "schedule": "17 3 1 1 *"}));
    world.apply(&policy).await.unwrap();
    (world, repository)
}

/// Something that the next run removes.
fn push(world: &World, repository: u64, tag: &str) {
    let at = world.now() - SignedDuration::from_hours(90 * 24);
    world.sim.edit(|registry| registry.push(repository, tag, Push::at(at)));
}

/// Waits until the operator has seen everything that was written so far. A dry run comes before a run, and a run before
/// the next look, so after two dry runs a run that is asked for is over.
async fn settled(world: &World, token: &str) -> PolicyStatus {
    world.preview("shop", &format!("{token}-1")).await;
    world.preview("shop", &format!("{token}-2")).await
}

#[rstest]
#[case::text("one", "two", "one")]
#[case::rfc_3339("2026-11-22T11:00:00Z", "2026-11-22T11:30:00Z", "2026-11-22T11:00:00Z")]
#[case::unix_seconds("1795345200", "1795347000", "1795345200")]
#[case::a_time_that_was_never_handled("2026-11-22T11:00:00Z", "2026-11-22T11:30:00Z", "1795346999")]
#[tokio::test(flavor = "multi_thread")]
async fn an_old_value_that_comes_back_runs_nothing_also_after_a_restart(
    #[case] first: &str,
    #[case] second: &str,
    #[case] old: &str,
) {
    let (world, repository) = world().await;
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    world.run("shop", first).await;
    assert_eq!(world.tags(repository), ["v1"]);
    push(&world, repository, "dev-2");
    world.run("shop", second).await;
    assert_eq!(world.tags(repository), ["v1"]);

    push(&world, repository, "dev-3");
    world.annotate("shop", RUN_REQUESTED_AT, old).await;
    let status = settled(&world, "before").await;
    assert_eq!(world.tags(repository), ["dev-3", "v1"]);
    assert_eq!(status.last_handled_run_at.as_deref(), Some(second));
    operator.stop().await;

    let operator = Operator::start(&world).await;
    settled(&world, "after").await;
    assert_eq!(world.tags(repository), ["dev-3", "v1"]);
    world.run("shop", "2026-11-22T12:00:00Z").await;
    assert_eq!(world.tags(repository), ["v1"], "a new value runs as ever");
    operator.stop().await;
}
