//! Requests by annotation. A tool that puts an earlier value back asks for nothing (field case 25), and a request is
//! for the policy as the operator knew it: none waits for an edit (field case 40).

use std::time::Duration;

use gitlab_simulator::Push;
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RegistryCleanupPolicy};
use registry_cleanup_operator::policy::CompileOptions;
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{Between, Operator, Setup, World};

async fn world() -> (World, u64) {
    let world = World::start().await;
    let repository = world.repository("shop/backend/api", &[("v1", 300), ("dev-1", 100)]);
    let rules = json!([{"name": "dev", "nameRegexDelete": "dev-.*", "olderThan": "30d"}]);
    let policy = world.policy("shop", &json!({"method": "Exact", "rules": rules, "schedule": "17 3 1 1 *"}));
    world.apply(&policy).await.unwrap();
    (world, repository)
}

/// An operator that reads every repository each time: what is pushed here is dated back, which GitLab never does.
async fn operate(world: &World) -> Operator {
    Operator::set_up(world, Setup { graphql_batch: 1, ..Setup::of(world) }).await
}

/// Something that the next run removes.
fn push(world: &World, repository: u64, tag: &str) {
    let at = world.now() - SignedDuration::from_hours(90 * 24);
    world.sim.edit(|registry| registry.push(repository, tag, Push::at(at)));
}

/// Waits until the operator has seen everything that was written so far. A run that it grants may come after both dry
/// runs, since it waits for a slot of another purpose: whoever expects one waits for it first.
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
    let operator = operate(&world).await;
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

    let operator = operate(&world).await;
    settled(&world, "after").await;
    assert_eq!(world.tags(repository), ["dev-3", "v1"]);
    world.run("shop", "2026-11-22T12:00:00Z").await;
    assert_eq!(world.tags(repository), ["v1"], "a new value runs as ever");
    operator.stop().await;
}

/// A rule that removes what a test pushes.
fn rules() -> Value {
    json!({"method": "Exact", "schedule": "17 3 1 1 *",
        "rules": [{"name": "dev", "nameRegexDelete": "dev-.*", "olderThan": "30d"}]})
}

/// The policy `shop`, other than before, with a request to run.
fn edited(world: &World, history_limit: u32, token: &str) -> Value {
    let mut spec = rules();
    spec["historyLimit"] = json!(history_limit);
    let mut policy = world.policy("shop", &spec);
    policy["metadata"]["annotations"] = json!({RUN_REQUESTED_AT: token});
    policy
}

/// How many requests were refused, by the events.
async fn refused(world: &World) -> usize {
    world.events().await.iter().filter(|(reason, _)| reason == "RunThrottled").count()
}

/// Whether a request was granted and its run is over, or was refused.
fn is_answered(status: &PolicyStatus, token: &str) -> bool {
    let over = status.last_run.as_ref().is_none_or(|run| run.completion_time.is_some());
    over && status.last_handled_run_at.as_deref() == Some(token)
}

/// What the status says of a request that was refused.
fn refusal<'a>(status: &'a PolicyStatus, token: &str) -> &'a str {
    assert_eq!(status.last_handled_run_at.as_deref(), Some(token));
    let refused = status.refused_run_request.as_ref().expect("it is refused");
    assert_eq!(refused.value, token);
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert!(ready.message.ends_with(&refused.message), "{} does not say {}", ready.message, refused.message);
    assert!(refused.message.ends_with("status.observedGeneration is current"), "{}", refused.message);
    &refused.message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_written_together_with_an_edit_is_refused_each_time_and_a_new_value_runs() {
    let (world, repository) = world().await;
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    for round in 1..=3 {
        let token = format!("edit-{round}");
        world.apply(&edited(&world, round, &token)).await.unwrap();
        let status = world.ready("shop").await;
        assert!(refusal(&status, &token).contains("came with an edit"));
        settled(&world, &token).await;
        assert_eq!(world.tags(repository), ["dev-1", "v1"]);
    }
    let status = world.run("shop", "a new value").await;
    assert_eq!(world.tags(repository), ["v1"]);
    assert_eq!(status.refused_run_request, None);
    operator.stop().await;
    assert_eq!(refused(&world).await, 3);
}

/// The object that the API server answers with says what must come of it, however fast the operator was.
#[rstest]
#[case::at_once(Duration::ZERO)]
#[case::fifty_milliseconds_apart(Duration::from_millis(50))]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_after_an_edit_runs_if_the_edit_was_observed_when_it_was_written_and_never_else(
    #[case] apart: Duration,
) {
    let (world, repository) = world().await;
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    let mut refusals = 0;
    for round in 1..=5 {
        let token = format!("round-{round}");
        push(&world, repository, "dev-1");
        world.apply(&world.policy("shop", &edited(&world, round, "")["spec"])).await.unwrap();
        tokio::time::sleep(apart).await;
        let stored = annotated(&world, &token).await;
        let current = stored.status.unwrap().observed_generation == stored.metadata.generation;
        world.until("shop", |status| is_answered(status, &token)).await;
        let status = settled(&world, &token).await;
        assert_eq!(status.last_handled_run_at.as_deref(), Some(&*token));
        assert_eq!(status.refused_run_request.is_none(), current, "round {round}: {status:#?}");
        assert_eq!(world.tags(repository) == ["v1"], current, "round {round}");
        refusals += usize::from(!current);
    }
    operator.stop().await;
    assert_eq!(refused(&world).await, refusals);
}

async fn annotated(world: &World, token: &str) -> RegistryCleanupPolicy {
    let patch = kube::api::Patch::Merge(json!({"metadata": {"annotations": {RUN_REQUESTED_AT: token}}}));
    world.policies().patch("shop", &kube::api::PatchParams::default(), &patch).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_between_the_look_at_an_edit_and_its_note_is_refused() {
    let (world, repository) = world().await;
    let between = Between::default();
    let operator = Operator::set_up(&world, Setup { between: Some(between.clone()), ..Setup::of(&world) }).await;
    world.ready("shop").await;
    let held = between.hold("/status");
    world.apply(&world.policy("shop", &edited(&world, 7, "")["spec"])).await.unwrap();
    held.reached().await;
    world.annotate("shop", RUN_REQUESTED_AT, "between").await;
    drop(held);
    let status = settled(&world, "after").await;
    assert!(refusal(&status, "between").contains("came with an edit"));
    operator.stop().await;
    assert_eq!(world.tags(repository), ["dev-1", "v1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_was_away_refuses_a_request_with_an_edit_and_grants_one_without() {
    let (world, repository) = world().await;
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    operator.stop().await;
    // The request came first: nobody can tell from what is stored.
    world.annotate("shop", RUN_REQUESTED_AT, "before the edit").await;
    world.apply(&world.policy("shop", &edited(&world, 7, "")["spec"])).await.unwrap();
    let operator = Operator::start(&world).await;
    let status = settled(&world, "away").await;
    assert!(refusal(&status, "before the edit").contains("came with an edit"));
    assert_eq!(world.tags(repository), ["dev-1", "v1"]);
    operator.stop().await;

    world.annotate("shop", RUN_REQUESTED_AT, "alone").await;
    let operator = Operator::start(&world).await;
    world.until("shop", |status| is_answered(status, "alone")).await;
    let status = settled(&world, "back").await;
    assert_eq!((status.last_handled_run_at.as_deref(), status.refused_run_request), (Some("alone"), None));
    operator.stop().await;
    assert_eq!(world.tags(repository), ["v1"]);
}

/// What is wrong lies in the policy (a zone), or in the flags of the operator (its hosts).
#[rstest]
#[case::by_the_policy(true)]
#[case::by_the_flags(false)]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_stalled_policy_is_refused_at_once_and_mending_it_removes_nothing(#[case] by_policy: bool) {
    let (world, repository) = world().await;
    let mut bad = rules();
    bad["mode"] = json!("DryRun");
    let mut flags = Setup::of(&world);
    if by_policy {
        bad["timeZone"] = json!("Europe/Atlantis");
    } else {
        flags.settings = CompileOptions { allowed_hosts: vec!["git.test".to_owned()], ..CompileOptions::default() };
    }
    world.apply(&world.policy("shop", &bad)).await.unwrap();
    let operator = Operator::set_up(&world, flags).await;
    world.until("shop", |status| World::condition(status, "Stalled").starts_with("True/")).await;
    world.annotate("shop", RUN_REQUESTED_AT, "while stalled").await;
    let status = world.until("shop", |status| status.refused_run_request.is_some()).await;
    assert!(refusal(&status, "while stalled").contains("while the policy was stalled"));
    operator.stop().await;
    assert_eq!(refused(&world).await, 1);
    if !by_policy {
        // Nobody looks at this one before the flags are right.
        world.annotate("shop", RUN_REQUESTED_AT, "while nobody looks").await;
        let operator = Operator::start(&world).await;
        let status = settled(&world, "flags").await;
        assert!(refusal(&status, "while nobody looks").contains("while the policy was stalled"));
        operator.stop().await;
    }
    // Weeks later somebody mends the policy and lets it remove.
    world.apply(&world.policy("shop", &rules())).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    settled(&world, "mended").await;
    assert_eq!(world.tags(repository), ["dev-1", "v1"]);
    world.run("shop", "a new value").await;
    assert_eq!(world.tags(repository), ["v1"]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_suspended_policy_is_refused_at_once_and_resuming_removes_nothing() {
    let (world, repository) = world().await;
    let mut suspended = rules();
    suspended["suspend"] = json!(true);
    world.apply(&world.policy("shop", &suspended)).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    world.annotate("shop", RUN_REQUESTED_AT, "while suspended").await;
    let status = world.until("shop", |status| status.refused_run_request.is_some()).await;
    assert!(refusal(&status, "while suspended").contains("once suspend is false and"));
    world.apply(&world.policy("shop", &rules())).await.unwrap();
    world.ready("shop").await;
    settled(&world, "resumed").await;
    operator.stop().await;
    assert_eq!(world.tags(repository), ["dev-1", "v1"]);
}
