//! `registry-cleanup-operator report`: the real binary, whose archive is taken apart and searched for what must not be
//! in it.

use std::process::{Command, Stdio};

use gitlab_simulator::Clock;
use jiff::Timestamp;
use serde_json::json;

use crate::world::{MARKER, Operator, World, output};

/// Parts of paths and hosts that nothing else in the world is called.
const PROJECTS: [&str; 3] = ["zebra", "quokka", "narwhal"];

/// A world whose policy has run, over a project with telling names.
async fn world() -> World {
    let now = Timestamp::from_second(Timestamp::now().as_second() - 60).unwrap();
    let world = World::start_with(|config| config.clock = Clock::manual(now)).await;
    world.repository("shop/zebra/quokka", &[("v1", 90), ("v2", 1)]);
    world.repository("shop/narwhal/zebra", &[("v1", 1)]);
    let target = json!({"groups": [{"path": "shop"}], "projects": ["shop/narwhal"]});
    let spec = json!({"method": "Exact", "mode": "DryRun", "target": target});
    world.apply(&world.policy("nightly", &spec)).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("nightly").await;
    world.preview("nightly", "one").await;
    operator.stop().await;
    world
}

/// Writes a report, and answers the files of its archive with what is in them, all in one text.
fn report(world: &World, more: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.tar.gz");
    let mut program = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
    program.env("KUBECONFIG", world.cluster.kubeconfig()).args(["report", "--namespace", &world.namespace]);
    program.arg("--operator=registry-cleanup/registry-cleanup-operator");
    program.args(["--allowed-gitlab-hosts=127.0.0.1", "--in-use-scope=WatchedNamespaces"]);
    program.arg(format!("--watch-namespace={}", world.namespace)).arg("--output").arg(&file).args(more);
    let (ok, said) = output(&mut program);
    assert!(ok, "{said}");
    let tar = |how: &str| {
        let (ok, text) = output(Command::new("tar").arg(how).arg("--gzip").arg("--file").arg(&file));
        assert!(ok, "{text}");
        text
    };
    let names = tar("--list");
    assert!(names.lines().all(|name| said.contains(name)), "{names}{said}");
    // A file that is there is never written over.
    let (ok, again) = output(&mut program);
    assert!(!ok && again.contains("failed to write"), "{again}");
    let everything = {
        let mut unpack = Command::new("tar");
        output(unpack.args(["--extract", "--gzip", "--to-stdout", "--file"]).arg(&file)).1
    };
    (names, everything)
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_token_nor_a_name_of_a_project_or_host_is_in_a_report() {
    let world = world().await;
    let (names, text) = report(&world, &[]);
    for file in ["doctor.json", "versions.json", "policies.json", "events.json", "operator.json"] {
        assert!(names.contains(&format!("registry-cleanup-report/{file}\n")), "{names}");
    }
    let host = world.sim.read(|registry| registry.settings.registry_host.clone());
    let gitlab = world.sim.url().rsplit_once("://").unwrap().1.split(':').next().unwrap().to_owned();
    for hidden in PROJECTS.into_iter().chain([MARKER, "marker", &host, &gitlab]) {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    // What is to be known of the fault is there: the policy by its name, its conditions, its last run.
    for told in ["\"nightly\"", "\"lastRun\"", "\"Scheduled\"", "\"kubernetes\": \"v1.", "\"check\": \"Token\""] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let paths: Vec<&str> = text.lines().filter(|line| line.contains("\"path\"")).collect();
    assert!(paths.iter().any(|line| line.contains("name1/")), "{paths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_stay_where_somebody_says_so_and_tokens_never() {
    let world = world().await;
    // Whoever writes a token into a policy has it in no report.
    world.annotate("nightly", "registrycleanup.dev/run-requested-at", MARKER).await;
    let (_, text) = report(&world, &["--keep-names"]);
    assert!(PROJECTS.iter().all(|project| text.contains(project)), "{text}");
    assert!(!text.contains(MARKER) && text.contains("[token]"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_written_to_standard_output_where_no_file_is_named() {
    let world = World::start().await;
    let mut program = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
    program.env("KUBECONFIG", world.cluster.kubeconfig()).args(["report", "-n", &world.namespace]);
    let written = program.stderr(Stdio::null()).output().unwrap();
    assert!(written.status.success() && written.stdout.starts_with(&[0x1f, 0x8b]), "a gzip");
}
