//! GitLab's own cleanup policy: where one is enabled in a project of the target, the policy says so, once.

use gitlab_simulator::{Action, Endpoint, Fault, Matcher, Version};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RunResult, conditions};
use rstest::rstest;
use serde_json::json;

use crate::support::events_of;
use crate::world::{Operator, World};

const DAY: SignedDuration = SignedDuration::from_hours(24);
const REMARK: &str = "GitLab's own cleanup policy is enabled in shop/backend and may remove what this policy keeps";

async fn start() -> (World, Operator) {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("main", 1)]);
    world.repository("shop/backend/web", &[("main", 1)]);
    world.repository("shop/frontend/web", &[("main", 1)]);
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    (world, operator)
}

fn enable(world: &World, project: &str, enabled: bool) {
    world.sim.edit(|registry| {
        let id = registry.project_by_path(project).unwrap().id;
        registry.project_mut(id).unwrap().cleanup_policy.enabled = enabled;
    });
}

fn asked(world: &World) -> usize {
    world.sim.requests_to(Endpoint::GetProject).len()
}

fn ready(status: &PolicyStatus) -> &str {
    &conditions::find(&status.conditions, "Ready").unwrap().message
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_said_as_long_as_it_is_so_and_announced_once() {
    let (world, operator) = start().await;
    enable(&world, "shop/backend", true);
    let status = world.run("shop", "one").await;
    assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded, "a conflict is no failure");
    assert_eq!(World::condition(&status, "Ready"), "True/Scheduled");
    assert!(ready(&status).ends_with(REMARK), "{}", ready(&status));
    assert_eq!(status.projects_with_cleanup_policy, ["shop/backend"]);
    assert_eq!(asked(&world), 2, "once per project");

    // It stays while credentials are checked between runs, in other runs of the day, and the night after.
    world.sim.advance(SignedDuration::from_hours(7));
    operator.nudge();
    world.run("shop", "two").await;
    assert_eq!(asked(&world), 2, "once per day");
    world.sim.advance(DAY);
    let status = world.run("shop", "three").await;
    assert!(ready(&status).ends_with(REMARK), "{}", ready(&status));
    assert_eq!(asked(&world), 4);

    enable(&world, "shop/backend", false);
    world.sim.advance(DAY);
    let status = world.run("shop", "four").await;
    assert!(!ready(&status).contains("cleanup policy"), "{}", ready(&status));
    assert!(status.projects_with_cleanup_policy.is_empty());
    operator.stop().await;
    assert_eq!(events_of(&world, "CleanupPolicyConflict").await, 1);
    let note = world.events().await.into_iter().find(|(reason, _)| reason == "CleanupPolicyConflict").unwrap().1;
    assert_eq!(note, REMARK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_announces_nothing_anew_and_another_project_does() {
    let (world, first) = start().await;
    enable(&world, "shop/backend", true);
    world.run("shop", "one").await;
    first.stop().await;
    let second = Operator::start(&world).await;
    let status = world.ready("shop").await;
    assert!(ready(&status).ends_with(REMARK), "{}", ready(&status));
    world.run("shop", "two").await;
    assert_eq!(asked(&world), 4, "another process has to ask again");
    enable(&world, "shop/frontend", true);
    world.sim.advance(DAY);
    let status = world.run("shop", "three").await;
    assert!(ready(&status).contains("in shop/backend, shop/frontend and may"), "{}", ready(&status));
    second.stop().await;
    let notes: Vec<String> = world
        .events()
        .await
        .into_iter()
        .filter_map(|(reason, note)| (reason == "CleanupPolicyConflict").then_some(note))
        .collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("in shop/frontend and may")), "{notes:?}");
}

#[rstest]
#[case::forbidden(Action::Answer { status: 403, headers: vec![], body: String::new() })]
#[case::hidden(Action::Answer { status: 404, headers: vec![], body: String::new() })]
#[case::nonsense(Action::InvalidJson)]
#[case::broken(Action::Answer { status: 500, headers: vec![], body: String::new() })]
#[case::unauthorized(Action::Answer { status: 401, headers: vec![], body: String::new() })]
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_passed_over(#[case] action: Action) {
    let (world, operator) = start().await;
    enable(&world, "shop/backend", true);
    world.run("shop", "one").await;
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GetProject), action));
    world.sim.advance(DAY);
    let status = world.run("shop", "two").await;
    assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded, "{status:#?}");
    assert_eq!(World::condition(&status, "CredentialsValid"), "True/TokenAccepted");
    assert!(ready(&status).ends_with(REMARK), "what was known stays: {}", ready(&status));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_such_policies_has_no_conflict() {
    let (world, operator) = start().await;
    enable(&world, "shop/backend", true);
    world.sim.edit(|registry| registry.settings.version = Version::new(12, 7));
    let status = world.run("shop", "one").await;
    assert!(!ready(&status).contains("cleanup policy"), "{}", ready(&status));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_target_is_asked_about_fifty_projects_a_run() {
    let (world, operator) = start().await;
    for number in 0..58 {
        world.repository(&format!("shop/p{number:02}/web"), &[]);
    }
    enable(&world, "shop/p57", true);
    let status = world.run("shop", "one").await;
    assert!(status.projects_with_cleanup_policy.is_empty());
    assert_eq!(asked(&world), 50);
    let status = world.run("shop", "two").await;
    assert_eq!(status.projects_with_cleanup_policy, ["shop/p57"]);
    assert_eq!(asked(&world), 60);
    world.run("shop", "three").await;
    assert_eq!(asked(&world), 60);
    operator.stop().await;
}
