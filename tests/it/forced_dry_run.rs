//! `--force-dry-run`: an operator with it removes nothing, whatever policies say, and one without it goes on as before.

use gitlab_simulator::Endpoint;
use registry_cleanup_operator::api::conditions::{self, DRY_RUN_FORCED};
use registry_cleanup_operator::api::{APPROVE, Mode, PolicyStatus, RunResult};
use registry_cleanup_operator::policy::CompileOptions;
use rstest::rstest;
use serde_json::json;

use crate::world::{Operator, Setup, World};

fn forced(world: &World) -> Setup {
    let usual = Setup::of(world);
    Setup { settings: CompileOptions { force_dry_run: true, ..usual.settings }, ..usual }
}

fn removals(world: &World) -> usize {
    let requests = |endpoint| world.sim.requests_to(endpoint).len();
    requests(Endpoint::BulkDeleteTags) + requests(Endpoint::GraphqlMutation) + requests(Endpoint::DeleteTag)
}

/// Whether the policy says that the operator makes a dry run of everything.
fn says_so(status: &PolicyStatus) -> bool {
    let condition = conditions::find(&status.conditions, DRY_RUN_FORCED);
    condition.is_some_and(|condition| condition.message.contains("--force-dry-run"))
}

#[rstest]
#[case::bulk("Bulk")]
#[case::exact("Exact")]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_while_dry_runs_are_forced_and_the_policy_says_why(#[case] method: &str) {
    let world = World::start().await;
    let repository = world.repository("shop/backend/api", &[("v1", 0), ("mr-1", 30), ("mr-2", 30)]);
    let rules = json!([{"name": "merge-requests", "nameRegexDelete": "mr-.*", "olderThan": "7d"}]);
    world.apply(&world.policy("shop", &json!({"mode": "Delete", "method": method, "rules": rules}))).await.unwrap();

    let operator = Operator::set_up(&world, forced(&world)).await;
    let ready = world.ready("shop").await;
    assert!(says_so(&ready), "{ready:#?}");
    let message = &conditions::find(&ready.conditions, "Ready").unwrap().message;
    assert!(message.contains("mode DryRun (--force-dry-run)"), "{message}");
    let status = world.run("shop", "forced").await;
    let run = status.last_run.unwrap();
    assert_eq!((run.result, run.mode, run.tags.matched), (RunResult::Succeeded, Mode::DryRun, 2));
    let message = run.message.unwrap();
    assert!(message.contains("so nothing is removed in the mode Delete"), "{message}");
    let preview = world.preview("shop", "preview").await.last_run.unwrap().message.unwrap();
    assert!(!preview.contains("--force-dry-run"), "{preview}");
    operator.stop().await;
    assert_eq!((removals(&world), world.tags(repository).len()), (0, 3));
    let told = |(reason, note): &(String, String)| reason == "DryRunCompleted" && note.contains("--force-dry-run");
    assert!(world.events().await.iter().any(told));

    // What is to be done afterwards is asked for afterwards.
    let operator = Operator::start(&world).await;
    world.until("shop", |status| !says_so(status)).await;
    assert_eq!(removals(&world), 0);
    let run = world.run("shop", "let go").await.last_run.unwrap();
    assert_eq!((run.mode, run.tags.confirmed), (Mode::Delete, 2));
    operator.stop().await;
    assert_eq!(world.tags(repository), ["v1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_refused_while_dry_runs_are_forced_and_its_plan_no_longer_waits_afterwards() {
    let world = World::start().await;
    let repository = world.repository("shop/backend/api", &[("v1", 0), ("mr-1", 30)]);
    let rules = json!([{"name": "merge-requests", "nameRegexDelete": "mr-.*", "olderThan": "7d"}]);
    let spec = json!({"mode": "RequireApproval", "method": "Exact", "rules": rules});
    world.apply(&world.policy("shop", &spec)).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    let plan = world.run("shop", "propose").await.pending_approval.unwrap();
    operator.stop().await;

    let operator = Operator::set_up(&world, forced(&world)).await;
    world.until("shop", says_so).await;
    world.annotate("shop", APPROVE, &plan.plan_hash).await;
    world.until("shop", |status| status.last_handled_approval.as_deref() == Some(&plan.plan_hash)).await;
    operator.stop().await;
    let told = |(reason, note): &(String, String)| reason == "ApprovalRefused" && note.contains("--force-dry-run");
    assert!(world.events().await.iter().any(told));

    // The annotation is still there; the plan is not.
    let operator = Operator::start(&world).await;
    let status = world.until("shop", |status| !says_so(status)).await;
    assert_eq!(status.pending_approval, None);
    world.preview("shop", "still there").await;
    operator.stop().await;
    assert_eq!((removals(&world), world.tags(repository).len()), (0, 2));
}
