//! Runs from end to end: the API server, the operator and GitLab.

use serde_json::json;

use crate::world::{Operator, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_run_removes_what_the_rule_says_and_tells_what_went() {
    let world = World::start().await;
    let api = world.repository("shop/backend/api", &[("v1", 30), ("v2", 8), ("v3", 1), ("latest", 90)]);
    let operator = Operator::start(&world).await;
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    world.ready("shop").await;
    assert_eq!(world.tags(api).len(), 4, "creating a policy removes nothing");

    let status = world.run("shop", "one").await;
    assert_eq!(world.tags(api), ["latest", "v3"]);
    let run = status.last_run.unwrap();
    assert_eq!(run.summary.as_deref(), Some("2 removed"));
    assert_eq!((run.tags.scanned, run.tags.requested, run.tags.confirmed), (4, 3, 2));
    assert_eq!(status.repositories[0].samples, ["v1", "v2"]);
    operator.stop().await;
}
