//! Two real operators that take turns by a Lease of a real API server: one ends, is killed, frozen or cut off.

mod link;
mod storm;
mod turns;

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;

use crate::robustness::{Process, own, world_in_real_time};
use crate::support::eventually;
use crate::world::{World, service_account_kubeconfig};

/// Short times: the lease lasts three seconds.
pub(crate) const SHORT: [&str; 6] = [
    "--leader-election-lease-duration",
    "3s",
    "--leader-election-renew-deadline",
    "2s",
    "--leader-election-retry-period",
    "500ms",
];
const LEASE_DURATION: Duration = Duration::from_secs(3);

/// An operator in a Pod of this name, with other times than usual or none.
pub(crate) async fn operator(world: &World, pod: &str, times: &[&str]) -> Process {
    let kubeconfig = service_account_kubeconfig().await;
    operator_by(world, &kubeconfig, pod, times)
}

/// The same by a way of its own to the API server.
fn operator_by(world: &World, kubeconfig: &std::path::Path, pod: &str, times: &[&str]) -> Process {
    let own = own(world);
    let arguments: Vec<&str> = own.iter().map(String::as_str).chain(times.iter().copied()).collect();
    Process::in_pod(kubeconfig, pod, &arguments)
}

fn leases(world: &World) -> Api<Lease> {
    Api::namespaced(world.kube.clone(), "registry-cleanup")
}

/// The Pod that holds the Lease, if any does.
async fn holder(world: &World) -> Option<String> {
    lease_holder(world, &world.namespace).await
}

/// The Pod that holds the Lease of this name, if any does.
pub(crate) async fn lease_holder(world: &World, name: &str) -> Option<String> {
    let lease = leases(world).get_opt(name).await.unwrap()?;
    let holder = lease.spec?.holder_identity?;
    Some(holder.split('_').next()?.to_owned()).filter(|pod| !pod.is_empty())
}

/// Waits until a Pod holds the Lease, and answers how long that took.
pub(crate) async fn leads(world: &World, pod: &str) -> Duration {
    let begun = Instant::now();
    eventually(&format!("the leadership of {pod}"), async || {
        (holder(world).await.as_deref() == Some(pod)).then_some(())
    })
    .await;
    begun.elapsed()
}
