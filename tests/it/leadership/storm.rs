//! Twenty kills, freezes and cuts at random. `make chaos` has many more, and other disturbances.

use std::collections::BTreeMap;
use std::time::Duration;

use gitlab_simulator::Endpoint;
use registry_cleanup_operator::api::RUN_REQUESTED_AT;
use serde_json::json;

use super::link::Link;
use super::{SHORT, operator_by, world_in_real_time};
use crate::robustness::Process;
use crate::support::eventually;
use crate::world::{World, service_account_kubeconfig};

const EVENTS: u64 = 20;
const IMAGES: [&str; 6] = ["api", "cron", "db", "edge", "web", "worker"];

/// An operator with a way of its own to the API server.
struct Member {
    process: Process,
    link: Link,
}

impl Member {
    async fn start(world: &World, number: u64) -> Self {
        let link = Link::to(&service_account_kubeconfig().await).await;
        let process = operator_by(world, link.kubeconfig(), &format!("pod-{number}"), &SHORT);
        Self { process, link }
    }
}

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

async fn policies(world: &World) -> Vec<u64> {
    let mut repositories = Vec::new();
    for (project, method) in [("shop/bulk", "Bulk"), ("shop/exact", "Exact")] {
        for image in IMAGES {
            let tags: Vec<String> = (0..40).map(|number| format!("v{number}")).collect();
            let old = tags.iter().map(|tag| (tag.as_str(), 30));
            let tags: Vec<(&str, i64)> = old.chain([("main", 90), ("young", 1)]).collect();
            repositories.push(world.repository(&format!("{project}/{image}"), &tags));
        }
        let rules = json!([{"name": "versions", "nameRegexDelete": "v.*|young", "olderThan": "7d"}]);
        let spec = json!({"target": {"projects": [project]}, "method": method, "rules": rules});
        world.apply(&world.policy(&method.to_lowercase(), &spec)).await.unwrap();
    }
    repositories
}

/// Does something to one of the operators. A killed one, or one that has ended by itself, is replaced.
async fn strike(world: &World, members: &mut [Member], random: &mut Random, event: u64) {
    let index = usize::try_from(random.below(members.len() as u64)).unwrap();
    let member = &members[index];
    let pause = Duration::from_millis(500 + random.below(4000));
    match random.below(3) {
        0 => member.process.signal("KILL"),
        1 => {
            member.process.signal("STOP");
            tokio::time::sleep(pause).await;
            member.process.signal("CONT");
        }
        _ => {
            member.link.cut();
            tokio::time::sleep(pause).await;
            member.link.mend();
        }
    }
    tokio::time::sleep(Duration::from_millis(random.below(1500))).await;
    for member in members.iter_mut().filter_map(|member| (!member.process.is_running()).then_some(member)) {
        let log = member.process.log();
        assert!(!log.contains("panicked"), "{log}");
        *member = Member::start(world, event).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_frozen_and_cut_off_no_repository_gets_a_second_bulk_request_and_nothing_else_goes() {
    let world = world_in_real_time().await;
    let repositories = policies(&world).await;
    let mut members = vec![Member::start(&world, 100).await, Member::start(&world, 101).await];
    let mut random = Random(1);
    for event in 0..EVENTS {
        for policy in ["bulk", "exact"] {
            world.annotate(policy, RUN_REQUESTED_AT, &format!("storm-{event}")).await;
        }
        strike(&world, &mut members, &mut random, event).await;
    }
    for policy in ["bulk", "exact"] {
        world.annotate(policy, RUN_REQUESTED_AT, "calm").await;
        eventually(&format!("the end of the runs of {policy}"), async || {
            let status = world.policies().get(policy).await.unwrap().status.unwrap();
            let ended = status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some());
            let calm = status.last_handled_run_at.as_deref() == Some("calm");
            (calm && ended && status.interrupted_run.is_none()).then_some(())
        })
        .await;
    }
    let mut requests: BTreeMap<u64, usize> = BTreeMap::new();
    for request in world.sim.requests_to(Endpoint::BulkDeleteTags) {
        *requests.entry(request.repository.unwrap()).or_default() += 1;
    }
    assert!(requests.values().all(|requests| *requests == 1), "{requests:?}");
    // Where each run ended just before its request, its hour is reserved all the same.
    let status = serde_json::to_string(&world.policies().get("bulk").await.unwrap().status).unwrap();
    assert!(!requests.is_empty() || status.contains("ligibleTime"), "something was done meanwhile: {status}");
    for (index, repository) in repositories.into_iter().enumerate() {
        let left = world.tags(repository);
        assert!(["main", "young"].iter().all(|tag| left.iter().any(|left| left == tag)), "{left:?}");
        if index >= IMAGES.len() {
            assert_eq!(left, ["main", "young"], "what was interrupted goes on");
        }
    }
}
