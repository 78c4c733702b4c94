//! `kubectl rcp`: what people see of policies and ask of them, by the real kubectl against the real API server.

use std::os::unix::fs::symlink;
use std::process::Command;

use gitlab_simulator::{Clock, Endpoint, HoldPoint, Matcher};
use jiff::Timestamp;
use registry_cleanup_operator::api::{PolicyStatus, RunResult};
use serde_json::json;
use tempfile::TempDir;

use crate::support::in_time;
use crate::world::{Operator, World, output};

/// A folder in which the program is called as kubectl wants to find it.
struct Plugin {
    folder: TempDir,
}

impl Plugin {
    fn install() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = env!("CARGO_BIN_EXE_registry-cleanup-operator");
        symlink(program, folder.path().join("kubectl-rcp")).unwrap();
        Self { folder }
    }

    /// Runs `kubectl rcp`, and answers whether it succeeded and what it printed.
    fn rcp(&self, world: &World, arguments: &[&str]) -> (bool, String) {
        let mut kubectl: Command = world.cluster.kubectl();
        // kubectl looks for its plugins there, and hands what it is told to them.
        kubectl.env("PATH", self.folder.path()).env("KUBECONFIG", world.cluster.kubeconfig());
        kubectl.arg("rcp").args(arguments);
        output(&mut kubectl)
    }

    /// The same about the policy `shop`.
    fn shop(&self, world: &World, command: &str, more: &[&str]) -> (bool, String) {
        let all: Vec<&str> =
            [command, "-n", &world.namespace, "shop"].into_iter().chain(more.iter().copied()).collect();
        self.rcp(world, &all)
    }
}

/// What `why` needs besides in a world of tests.
const WHY: [&str; 4] = [
    "--allowed-gitlab-hosts=127.0.0.1",
    "--in-use-scope=WatchedNamespaces",
    "--max-requests-per-second-per-host=1000",
    "--watch-namespace",
];

async fn world(mode: &str) -> (World, u64) {
    // The program asks the machine what time it is.
    let now = Timestamp::from_second(Timestamp::now().as_second() - 60).unwrap();
    let world = World::start_with(|config| config.clock = Clock::manual(now)).await;
    let repository = world.repository("shop/backend/api", &[("mr-1", 90), ("mr-2", 60), ("v1", 90), ("mr-3", 1)]);
    let rules = json!([{"name": "mr", "nameRegexDelete": "mr-.*", "olderThan": "30d"}]);
    let spec = json!({"method": "Exact", "mode": mode, "rules": rules});
    world.apply(&world.policy("shop", &spec)).await.unwrap();
    (world, repository)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_and_a_run_are_asked_for_and_awaited() {
    let ((world, repository), plugin) = (world("Delete").await, Plugin::install());
    let (ok, text) = plugin.shop(&world, "status", &[]);
    assert!(ok && text.contains("nobody has looked at it yet; is the operator running?"), "{text}");
    let operator = Operator::start(&world).await;
    world.ready("shop").await;

    let (ok, text) = plugin.shop(&world, "dry-run", &[]);
    assert!(ok && text.contains(": Succeeded, 2 would go"), "{text}");
    assert_eq!(world.tags(repository).len(), 4);
    let (ok, text) = plugin.shop(&world, "run", &[]);
    assert!(ok && text.contains(": Succeeded, 2 removed"), "{text}");
    assert_eq!(world.tags(repository), ["mr-3", "v1"]);

    let (ok, text) = plugin.shop(&world, "status", &[]);
    assert!(ok && text.starts_with(&format!("{}/shop: Ready\n", world.namespace)), "{text}");
    let (ok, text) = plugin.rcp(&world, &["status", "-n", &world.namespace]);
    assert!(ok && text.starts_with("NAME   READY   MODE ") && text.contains("Succeeded, 2 removed"), "{text}");
    let (ok, text) = plugin.rcp(&world, &["status", "-A"]);
    assert!(ok && text.starts_with("NAMESPACE ") && text.contains(&world.namespace), "{text}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_approved_by_whoever_names_it_or_says_yes_and_by_nobody_else() {
    let ((world, repository), plugin) = (world("RequireApproval").await, Plugin::install());
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    let (ok, text) = plugin.shop(&world, "approve", &["--yes"]);
    assert!(!ok && text.contains("error: no plan of policy shop waits for an approval"), "{text}");
    let (ok, text) = plugin.shop(&world, "run", &[]);
    assert!(ok && text.contains("2 to approve") && text.contains("kubectl rcp approve -n"), "{text}");

    let (ok, text) = plugin.shop(&world, "approve", &["--plan", "0123"]);
    assert!(!ok && text.contains("error: plan 0123 does not wait for an approval, plan "), "{text}");
    let (ok, text) = plugin.shop(&world, "approve", &[]);
    assert!(!ok && text.contains("would remove 2 tags in 1 repository; name the plan, or give --yes"), "{text}");
    assert_eq!(world.tags(repository).len(), 4);
    let (ok, text) = plugin.shop(&world, "approve", &["--yes"]);
    assert!(ok && text.contains(": Succeeded, 2 removed"), "{text}");
    assert_eq!(world.tags(repository), ["mr-3", "v1"]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspend_waits_for_the_end_of_a_run_and_a_run_of_a_suspended_policy_is_refused_with_its_reason() {
    let world = World::start().await;
    world.long_run().await;
    let plugin = Plugin::install();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation), HoldPoint::BeforeProcessing);
    let (ok, text) = plugin.shop(&world, "run", &["--wait=false"]);
    assert!(ok && text.contains(": asked for"), "{text}");
    in_time("a removal", hold.reached()).await;
    let (ok, text) = plugin.shop(&world, "suspend", &["--timeout=3s"]);
    assert!(!ok && text.contains("not over after 3s: a run awaits what it has sent"), "{text}");
    hold.release();
    let (ok, text) = plugin.shop(&world, "suspend", &[]);
    assert!(ok && text.contains(": suspended"), "{text}");
    let is_stopped = |status: &PolicyStatus| status.last_run.as_ref().unwrap().result == RunResult::Interrupted;
    world.until("shop", is_stopped).await;

    let (ok, text) = plugin.shop(&world, "run", &[]);
    assert!(!ok && text.contains(": refused: run-requested-at ") && text.contains("was suspended"), "{text}");
    let (ok, text) = plugin.rcp(&world, &["status", "-n", &world.namespace]);
    assert!(ok && text.contains("the end of suspend"), "{text}");
    let (ok, text) = plugin.shop(&world, "resume", &[]);
    assert!(ok && text.contains(": no longer suspended"), "{text}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_tells_of_one_tag_what_becomes_of_it_and_who_decides() {
    let ((world, repository), plugin) = (world("DryRun").await, Plugin::install());
    let why = |tag: &str| {
        let more: Vec<&str> = [tag].into_iter().chain(WHY).chain([&*world.namespace]).collect();
        plugin.shop(&world, "why", &more)
    };
    let (ok, text) = why("shop/backend/api:mr-1");
    assert!(
        ok && text.starts_with("shop/backend/api:mr-1 would be removed: a rule removes it (RuleMatches)\n"),
        "{text}"
    );
    assert!(
        text.contains("\n  Rule    mr\n  Age     90d, counted from ") && text.contains("\n  Digest  sha256:"),
        "{text}"
    );
    let (ok, text) = why("shop/backend/api:mr-3");
    assert!(ok && text.contains("mr-3 stays: it is younger than olderThan of the rule (TooYoung)\n"), "{text}");
    let (ok, text) = why("shop/backend/api:gone");
    assert!(!ok && text.contains("error: shop/backend/api has no tag gone"), "{text}");
    let (ok, text) = why("shop/other:v1");
    assert!(!ok && text.contains("does not look after shop/other: it is not among its repositories"), "{text}");
    assert_eq!(world.tags(repository).len(), 4);
}

#[test]
fn completion_and_manual_name_every_command_of_both_names() {
    let plugin = Plugin::install();
    let program = env!("CARGO_BIN_EXE_registry-cleanup-operator").to_owned();
    let called = plugin.folder.path().join("kubectl-rcp").display().to_string();
    for (program, commands) in [
        (program, ["run", "plan", "in-use", "history", "crd"].as_slice()),
        (called, ["status", "dry-run", "approve", "suspend", "resume", "why"].as_slice()),
    ] {
        for shell in ["bash", "zsh", "fish"] {
            let (ok, script) = output(Command::new(&program).args(["completion", shell]));
            assert!(ok && commands.iter().all(|command| script.contains(command)), "{script}");
        }
        let (ok, page) = output(Command::new(&program).arg("man"));
        let named = |command: &&str| page.contains(&command.replace('-', "\\-"));
        assert!(ok && page.starts_with(".ie") && commands.iter().all(named), "{page}");
    }
}
