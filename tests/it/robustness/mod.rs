//! What an operator outlives, what it may do, what it never tells: mostly the real program, in a process of its own.

mod clusters;
mod mutated;
mod patterns;
pub(crate) mod permissions;
mod process;
mod secrecy;
mod signals;
pub(crate) mod start;
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
    let own = own(world);
    let arguments: Vec<&str> = own.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
    Process::start(&service_account_kubeconfig().await, &arguments)
}

/// Arguments by which the program looks after the world alone: other tests have worlds of their own.
pub(crate) fn own(world: &World) -> [String; 3] {
    let name = &world.namespace;
    [
        format!("--watch-namespace={name}"),
        "--in-use-scope=WatchedNamespaces".to_owned(),
        format!("--leader-election-name={name}"),
    ]
}

/// The program as somebody else and with other arguments.
pub(crate) fn process(kubeconfig: &std::path::Path, arguments: &[&str]) -> Process {
    Process::start(kubeconfig, arguments)
}
