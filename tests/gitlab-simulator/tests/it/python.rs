//! python-gitlab, a client made for the real server, against the simulator.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use gitlab_simulator::{Push, Role};

use crate::shop::{Shop, days_ago};

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");

#[tokio::test]
async fn python_gitlab_works_against_the_simulator() {
    let shop = Shop::open().await;
    shop.sim.edit(|registry| {
        for number in 0..25 {
            registry.push(shop.repository, &format!("t{number:02}"), Push::at(days_ago(30 - number)));
        }
        registry.repository("shop/frontend/web");
    });
    let token = shop.sim.edit(|registry| registry.access_token("shop", Role::Maintainer));
    let url = shop.sim.url().to_owned();
    // The server lives on this thread, so the client must not block it.
    let exercised = tokio::task::spawn_blocking(move || {
        run(Command::new(environment().join("bin/python")).arg(format!("{PYTHON}/exercise.py")).arg(url).arg(token));
    });
    exercised.await.unwrap();
}

/// A virtual environment with the pinned packages, made once for each state of the pins.
fn environment() -> PathBuf {
    let requirements = format!("{PYTHON}/requirements.txt");
    let parent = cache().join("python");
    let ready = parent.join(fingerprint(&fs::read(&requirements).unwrap()));
    if ready.exists() {
        return ready;
    }
    fs::create_dir_all(&parent).unwrap();
    // Made aside and renamed when whole: a broken one is never found, and two processes do not disturb each other.
    let building = tempfile::Builder::new().prefix("building-").tempdir_in(&parent).unwrap();
    run(Command::new("python3").args(["-m", "venv"]).arg(building.path()));
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps"];
    run(Command::new(building.path().join("bin/python")).args(pip).arg("-r").arg(&requirements));
    // It fails when another process was faster, which is as good.
    let _ = fs::rename(building.path(), &ready);
    assert!(ready.exists(), "no Python environment at {}", ready.display());
    ready
}

fn cache() -> PathBuf {
    if let Some(cache) = env::var_os("REGISTRY_CLEANUP_CACHE") {
        return cache.into();
    }
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    base.expect("HOME, XDG_CACHE_HOME or REGISTRY_CLEANUP_CACHE").join("registry-cleanup-operator")
}

/// FNV-1a: the name of a folder needs no more.
fn fingerprint(bytes: &[u8]) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Runs a command to its end and tells what it said if it failed.
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?} did not start ({error}): this test needs python3 with its venv module")
    });
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed; this test needs python3 (3.10 or newer) with its venv module\n{}{}",
        said(&output.stdout),
        said(&output.stderr)
    );
}
