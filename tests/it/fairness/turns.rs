//! Who may work while others take long: policies whose GitLab does not answer are in nobody's way.

use gitlab_simulator::{Config, Endpoint, Hold, HoldPoint, Matcher, Push, Role, Scope, Simulator, TokenKind};
use jiff::SignedDuration;
use kube::api::ListParams;
use registry_cleanup_operator::api::conditions;
use registry_cleanup_operator::api::{DRY_RUN_REQUESTED_AT, RUN_REQUESTED_AT, RunResult};
use serde_json::json;

use crate::support::{eventually, in_time};
use crate::world::{MARKER, Operator, Setup, World};

/// Policies that get stuck: more than there are places.
const STUCK: usize = 12;

/// A world with one repository, and with policies of another GitLab in the same namespace, which answers no request of
/// a kind from now on.
async fn among_stuck(kind: Matcher) -> (World, Simulator, Hold) {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    let stuck = Simulator::start(Config { clock: world.sim.clock(), ..Config::default() }).await.unwrap();
    let old = world.now() - SignedDuration::from_hours(24 * 30);
    stuck.edit(|registry| {
        registry.group("shop");
        let user = registry.user("bot");
        registry.set_role("shop", user, Some(Role::Maintainer));
        registry.set_token(MARKER, TokenKind::Personal, user, "bot", &[Scope::Api]);
        registry.project("shop/backend");
        let repository = registry.repository("shop/backend/api");
        registry.push(repository, "v1", Push::at(old));
    });
    let hold = stuck.hold(kind, HoldPoint::BeforeProcessing);
    for name in names() {
        let gitlab = json!({"url": stuck.url(), "insecure": true, "timeout": "1m", "secretRef": {"name": "token"}});
        world.apply(&world.policy(&name, &json!({"gitlab": gitlab, "method": "Exact"}))).await.unwrap();
    }
    (world, stuck, hold)
}

fn names() -> impl Iterator<Item = String> {
    (0..STUCK).map(|number| format!("stuck{number}"))
}

async fn operator(world: &World) -> Operator {
    let mut setup = Setup::of(world);
    setup.settings.allow_insecure_http = true;
    Operator::set_up(world, setup).await
}

/// The healthy policy becomes ready, is previewed and run.
async fn all_is_well(world: &World) {
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    world.ready("shop").await;
    let preview = world.preview("shop", "one").await;
    assert_eq!(preview.last_run.unwrap().result, RunResult::Succeeded);
    let run = world.run("shop", "one").await;
    assert_eq!(run.last_run.unwrap().result, RunResult::Succeeded);
}

/// How many policies say that their run waits for its turn.
async fn queued(world: &World) -> usize {
    let policies = world.policies().list(&ListParams::default()).await.unwrap().items;
    let says =
        |status: &registry_cleanup_operator::api::PolicyStatus| conditions::is_true(&status.conditions, "RunQueued");
    policies.iter().filter(|policy| policy.status.as_ref().is_some_and(says)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_that_get_no_answer_are_in_nobodys_way() {
    let (world, _stuck, hold) = among_stuck(Matcher::any()).await;
    let operator = operator(&world).await;
    in_time("a check", hold.reached()).await;
    all_is_well(&world).await;
    hold.release();
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_previews_that_get_no_answer_are_in_nobodys_way_and_others_say_that_they_wait() {
    let (world, stuck, hold) = among_stuck(Matcher::endpoint(Endpoint::GraphqlQuery)).await;
    let operator = operator(&world).await;
    for (number, name) in names().enumerate() {
        world.ready(&name).await;
        let asks = if number % 2 == 0 { RUN_REQUESTED_AT } else { DRY_RUN_REQUESTED_AT };
        world.annotate(&name, asks, "one").await;
    }
    // Two runs and two previews of one GitLab are at work.
    eventually("the others wait", async || (queued(&world).await == STUCK - 4).then_some(())).await;
    all_is_well(&world).await;
    hold.release();
    for name in names() {
        let status = world.until(&name, |status| status.history.len() == 1).await;
        assert!(!conditions::is_true(&status.conditions, "RunQueued"), "{status:#?}");
    }
    operator.stop().await;
    drop(stuck);
}
