//! The resource in the hands of kubectl and of others who write it: columns, conditions, ownership, quiet.

mod columns;
mod events;
mod lifecycle;
mod ownership;
mod quiet;

use registry_cleanup_operator::api::RegistryCleanupPolicy;
use serde_json::{Value, json};

use crate::world::{Operator, World};

/// A world with one repository that has something to remove, a policy `shop` that is Ready, and an operator.
async fn ready(changes: &Value) -> (World, Operator, u64) {
    let world = World::start().await;
    let repository = world.repository("shop/backend/api", &[("v1", 30), ("v2", 8), ("main", 1)]);
    world.apply(&world.policy("shop", changes)).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    (world, operator, repository)
}

async fn shop(world: &World) -> RegistryCleanupPolicy {
    world.policies().get("shop").await.unwrap()
}

/// Waits until the operator has seen everything that was written so far: it sees a policy that is written after it.
async fn seen_by_the_operator(world: &World, marker: &str) {
    let elsewhere = json!({"suspend": true, "target": {"projects": ["elsewhere/marker"]}});
    world.apply(&world.policy(marker, &elsewhere)).await.unwrap();
    world.ready(marker).await;
}
