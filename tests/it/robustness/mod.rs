//! What an operator outlives, what it may do, what it never tells: mostly the real program, in a process of its own.

mod clusters;
mod patterns;
mod permissions;
mod process;
mod secrecy;
mod signals;
mod start;
mod stored;

use gitlab_simulator::Clock;
use jiff::SignedDuration;
pub(crate) use process::Process;

use crate::world::{World, service_account_kubeconfig};

/// A world whose GitLab goes by the real time, as the program does.
pub(crate) async fn world_in_real_time() -> World {
    World::start_with(|config| {
        config.clock = Clock::system();
        config.settings.job_delay = SignedDuration::ZERO;
    })
    .await
}

/// The program, watching the world's namespace with the permissions of the install manifest. Other tests run strange
/// things in other namespaces.
pub(crate) async fn operator(world: &World, arguments: &[&str]) -> Process {
    let arguments: Vec<&str> = ["--watch-namespace", &world.namespace, "--in-use-scope", "WatchedNamespaces"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    Process::start(&service_account_kubeconfig().await, &arguments)
}

/// The program as somebody else and with other arguments.
pub(crate) fn process(kubeconfig: &std::path::Path, arguments: &[&str]) -> Process {
    Process::start(kubeconfig, arguments)
}
