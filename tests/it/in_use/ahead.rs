//! Repositories are prepared ahead of the one whose removal is requested, and that goes on whatever the request waits
//! for.

use gitlab_simulator::{Endpoint, Hold, HoldPoint, Matcher};
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RunResult};
use serde_json::json;

use super::{OLD, Scene, deploy};
use crate::support::in_time;
use crate::world::{Between, Setup};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_prepared_anew_gets_its_turn_beside_repositories_that_are_prepared_ahead() {
    let scene = Scene::set_up(|config| config.settings.graphql = false, &[("v1", OLD), ("v2", OLD)]).await;
    let ahead: Vec<u64> =
        (1..=3).map(|number| scene.world.repository(&format!("shop/bulk/r{number}"), &[("v1", OLD)])).collect();
    // One list of names is all that has to be asked for.
    scene.apply(&json!({"rules": [{"name": "all", "nameRegexDelete": "v.*", "keepN": 0}]})).await;
    let between = Between::default();
    let setup = Setup { between: Some(between.clone()), requests_in_flight: 3, ..Setup::of(&scene.world) };
    let operator = scene.operator_as(setup).await;
    let hold = |id: u64| {
        scene.world.sim.hold(Matcher::endpoint(Endpoint::ListTags).repository(id), HoldPoint::BeforeProcessing)
    };
    let first = hold(scene.repositories[0]);
    let ahead: Vec<Hold> = ahead.into_iter().map(hold).collect();
    scene.world.annotate("bulk", RUN_REQUESTED_AT, "one").await;
    first.reached().await;

    // The first has its list, and waits for a place to leave: the lists ahead have as many as there are.
    let look = between.hold("/deployments");
    first.release();
    for other in &ahead {
        other.reached().await;
    }
    drop(ahead);
    look.reached().await;
    deploy(&scene, "late", ":v1").await;
    drop(look);
    let over = |status: &PolicyStatus| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some());
    let status = in_time("the end", scene.world.until("bulk", over)).await;
    assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded, "{status:#?}");
    assert_eq!(scene.tags()[0], ["v1"], "{status:#?}");
    operator.stop().await;
}
