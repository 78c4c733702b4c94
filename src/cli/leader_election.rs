//! Flags of `run` about the Lease by which several operators take turns.

use std::time::Duration;

use clap::Args;
use sha2::{Digest, Sha256};

use crate::app::LeaderElection;
use crate::cluster::OPERATOR;
use crate::leadership::timing::Timing;

#[derive(Args, Debug)]
pub(super) struct LeaderElectionArguments {
    /// Namespace of the Lease by which several operators take turns. Without it, that of this pod or of the kubeconfig.
    #[arg(long = "leader-election-namespace", env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Name of the Lease. Operators that take turns have the same, others that work on other policies have others. Without
    /// it, registry-cleanup-operator, and with --watch-label-selector a number behind that which the selector makes.
    #[arg(long = "leader-election-name", value_name = "NAME")]
    name: Option<String>,

    /// How long a Lease that is not renewed lasts before another operator takes it. Requests that remove something end
    /// before that.
    #[arg(
        long = "leader-election-lease-duration",
        value_name = "DURATION",
        default_value = "60s",
        value_parser = humantime::parse_duration,
    )]
    lease_duration: Duration,

    /// How long the leader tries to renew its Lease before it gives up and exits.
    #[arg(
        long = "leader-election-renew-deadline",
        value_name = "DURATION",
        default_value = "40s",
        value_parser = humantime::parse_duration,
    )]
    renew_deadline: Duration,

    /// How often the leader renews its Lease.
    #[arg(
        long = "leader-election-retry-period",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = humantime::parse_duration,
    )]
    retry_period: Duration,
}

impl LeaderElectionArguments {
    /// The Lease of the installation that looks after the policies with such labels.
    pub(super) fn of_shard(self, selector: &str) -> Result<LeaderElection, String> {
        let Self { namespace, name, lease_duration, renew_deadline, retry_period } = self;
        let timing = Timing::new(lease_duration, renew_deadline, retry_period)
            .map_err(|error| format!("leader election: {error}"))?;
        let name = name.unwrap_or_else(|| name_of_shard(selector));
        Ok(LeaderElection { namespace: namespace.filter(|name| !name.is_empty()), name, timing })
    }
}

/// The name of the Lease of the installation that looks after the policies with such labels.
fn name_of_shard(selector: &str) -> String {
    if selector.trim().is_empty() {
        return OPERATOR.to_owned();
    }
    let digest = Sha256::digest(selector.trim());
    let number = digest.first_chunk().copied().map_or(0, u32::from_be_bytes);
    format!("{OPERATOR}-{number:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installations_that_look_after_different_policies_have_different_leases() {
        assert_eq!(name_of_shard(" "), "registry-cleanup-operator");
        let (a, b) = (name_of_shard("shard=a"), name_of_shard("shard=b"));
        assert!(a != b && a.starts_with("registry-cleanup-operator-") && a.len() == OPERATOR.len() + 9);
        assert_eq!(a, name_of_shard("shard=a "));
    }
}
