//! Tells the program which commit it is built from: the one in the variable `REGISTRY_CLEANUP_COMMIT`, as in an image
//! whose build has no repository, or that of the repository. A debug build is of no commit, so that a commit is no
//! reason to build anew.
//!
//! With `REGISTRY_CLEANUP_CORE_ONLY` only the pure layers are built, for `make mutants`.

#![allow(clippy::print_stdout, reason = "the way to tell cargo")]

use std::env;
use std::process::Command;

/// As many digits of a commit as are shown.
const DIGITS: usize = 9;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(core_only)");
    println!("cargo::rerun-if-env-changed=REGISTRY_CLEANUP_CORE_ONLY");
    if env::var_os("REGISTRY_CLEANUP_CORE_ONLY").is_some() {
        println!("cargo::rustc-cfg=core_only");
    }
    println!("cargo::rerun-if-env-changed=REGISTRY_CLEANUP_COMMIT");
    let given = env::var("REGISTRY_CLEANUP_COMMIT").ok().filter(|commit| !commit.is_empty());
    let optimized = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = given.or_else(|| if optimized { of_repository() } else { None }).unwrap_or_default();
    let commit: String = commit.chars().take(DIGITS).collect();
    let version = env!("CARGO_PKG_VERSION");
    let told = if commit.is_empty() { version.to_owned() } else { format!("{version} ({commit})") };
    println!("cargo::rustc-env=REGISTRY_CLEANUP_COMMIT={commit}");
    println!("cargo::rustc-env=REGISTRY_CLEANUP_VERSION={told}");
}

/// The commit that is checked out.
fn of_repository() -> Option<String> {
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
