//! Windows in which a policy removes nothing.

use gitlab_simulator::{Endpoint, HoldPoint, Matcher};
use jiff::SignedDuration;
use registry_cleanup_operator::api::conditions::{self, WITHIN_EXCLUDE_WINDOW};
use registry_cleanup_operator::api::{RUN_REQUESTED_AT, RunResult};
use serde_json::{Value, json};

use crate::support::in_time;
use crate::world::{Operator, World};

/// As many removals are on their way at the same time at most.
const IN_FLIGHT: usize = 4;

const OPEN: &str = "True/ExcludeWindowOpen";

fn spec(windows: &Value) -> Value {
    let rules = json!([{"name": "versions", "nameRegexDelete": "v.*", "olderThan": "7d"}]);
    json!({"rules": rules, "method": "Exact", "excludeWindows": windows})
}

fn removals(world: &World) -> usize {
    world.sim.requests_to(Endpoint::GraphqlMutation).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_stops_where_a_window_begins_and_requests_are_refused_until_its_end() {
    let world = World::start().await;
    let repository = world.many_tags("shop/backend/api");
    // Worlds begin at 12:00.
    let windows = json!([{"name": "freeze", "from": "2026-11-22T12:30:00Z", "until": "2026-11-22T18:00:00Z"}]);
    world.apply(&world.policy("shop", &spec(&windows))).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation), HoldPoint::BeforeProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("a removal", hold.reached()).await;
    world.sim.clock().advance(SignedDuration::from_mins(30));
    hold.release();
    let status = world.until("shop", |status| World::condition(status, WITHIN_EXCLUDE_WINDOW) == OPEN).await;
    let run = status.last_run.as_ref().unwrap();
    let sent = removals(&world);
    assert!(run.result == RunResult::Interrupted && sent <= IN_FLIGHT, "{sent} sent: {run:#?}");
    assert!(run.message.as_deref().unwrap().contains("an exclude window began during the run"), "{run:#?}");
    let said = &conditions::find(&status.conditions, WITHIN_EXCLUDE_WINDOW).unwrap().message;
    assert!(said.contains("until 2026-11-22T18:00:00Z: the exclude window freeze"), "{said}");
    let left = world.tags(repository).len();

    let refused = world.run("shop", "two").await.refused_run_request.unwrap();
    assert!(refused.message.contains("came within an exclude window"), "{}", refused.message);
    assert!(world.events().await.iter().any(|(reason, note)| reason == "RunThrottled" && note.contains("window")));
    assert_eq!(world.preview("shop", "three").await.last_run.unwrap().result, RunResult::Succeeded);
    assert_eq!((removals(&world), world.tags(repository).len()), (sent, left));

    world.sim.clock().advance(SignedDuration::from_hours(6));
    operator.nudge();
    world.until("shop", |status| World::condition(status, WITHIN_EXCLUDE_WINDOW) == "absent").await;
    world.run("shop", "four").await;
    assert_eq!(world.tags(repository), ["main"]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_within_a_window_is_left_out_and_the_status_says_which_run_comes_next() {
    let world = World::start().await;
    let repository = world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    let windows = json!([{"name": "weekend", "schedule": "0 18 * * SUN", "duration": "12h"}]);
    world.apply(&world.policy("shop", &spec(&windows))).await.unwrap();
    let operator = Operator::start(&world).await;
    let ready = world.ready("shop").await;
    assert_eq!(ready.next_schedule_time.unwrap().0.to_string(), "2026-11-24T03:17:00Z");
    let said = &conditions::find(&ready.conditions, "Ready").unwrap().message;
    assert!(said.contains("from 2026-11-23T03:17:00Z on are left out, by the exclude window weekend"), "{said}");
    // The window is open at 03:17 of the first night.
    world.sim.clock().advance(SignedDuration::from_mins(15 * 60 + 20));
    operator.nudge();
    world.until("shop", |status| World::condition(status, WITHIN_EXCLUDE_WINDOW) == OPEN).await;
    assert_eq!(world.tags(repository).len(), 2);
    world.sim.clock().advance(SignedDuration::from_hours(24));
    operator.nudge();
    let ran = world.until("shop", |status| status.last_schedule_time.is_some()).await;
    assert_eq!(ran.last_schedule_time.unwrap().0.to_string(), "2026-11-24T03:17:00Z");
    world.until("shop", |status| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some())).await;
    assert_eq!(world.tags(repository), ["main"]);
    operator.stop().await;
}

/// What the definition refuses, the operator refuses as well: see `admission` for the samples.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_refuses_windows_that_are_none() {
    let world = World::start().await;
    for (window, sentence) in [
        (json!({"name": "a", "schedule": "0 18 * * 5"}), "give schedule and duration"),
        (json!({"name": "a", "schedule": "0 18 * * 5", "duration": "30m"}), "give hours, days or weeks"),
        (json!({"name": "a", "from": "2026-12-20T18:00:00Z", "until": "2026-12-20T18:00:00Z"}), "until is not later"),
        (json!({"name": "a", "from": "2026-12-20", "until": "2026-12-21T18:00:00Z"}), "give a time with its offset"),
    ] {
        let refused = world.apply(&world.policy("shop", &spec(&json!([window])))).await.unwrap_err().to_string();
        assert!(refused.contains(sentence), "{refused}");
    }
}
