//! Each failure has one defined outcome: a condition, a repository's reason, the result of a run, and the requests that
//! were and were not sent.

mod answers;
mod bulk;
mod credentials;
mod readiness;
mod requests;
mod targets;

use gitlab_simulator::{Action, Endpoint, RequestRecord};
use registry_cleanup_operator::api::{PolicyStatus, RepositoryStatus, RunResult};
use serde_json::Value;

use crate::world::{Operator, World};

/// A world with two repositories in two projects that have something to remove, a policy `shop` that is Ready, and an
/// operator. The first repository is the one that gets into trouble.
async fn two_repositories(changes: &Value) -> (World, Operator, [u64; 2]) {
    let world = World::start().await;
    let repositories = ["shop/backend/api", "shop/frontend/web"]
        .map(|path| world.repository(path, &[("v1", 30), ("v2", 20), ("v3", 15), ("main", 1)]));
    world.apply(&world.policy("shop", changes)).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    (world, operator, repositories)
}

/// An answer that GitLab, or something in front of it, gives instead of the usual one.
fn answer(status: u16, body: &str) -> Action {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Action::Answer { status, headers, body: body.to_owned() }
}

fn result(status: &PolicyStatus) -> RunResult {
    status.last_run.as_ref().unwrap().result
}

/// A repository of the status: "Failed/NotFound", and its message.
fn repository<'a>(status: &'a PolicyStatus, path: &str) -> (String, &'a str) {
    let entry = entry(status, path);
    let reason = entry.reason.as_deref().unwrap_or("-");
    (format!("{:?}/{reason}", entry.result), entry.message.as_deref().unwrap_or_default())
}

fn entry<'a>(status: &'a PolicyStatus, path: &str) -> &'a RepositoryStatus {
    let found = status.repositories.iter().find(|repository| repository.path == path);
    found.unwrap_or_else(|| panic!("{path} is not in {:#?}", status.repositories))
}

fn bulk_requests(world: &World) -> Vec<RequestRecord> {
    world.sim.requests_to(Endpoint::BulkDeleteTags)
}

/// The repositories that a bulk request was sent to.
fn asked_to_remove(world: &World) -> Vec<u64> {
    bulk_requests(world).into_iter().filter_map(|request| request.repository).collect()
}
