//! Flags of `run` about the Lease by which several operators take turns.

use std::time::Duration;

use clap::Args;

use crate::app::LeaderElection;
use crate::leadership::timing::Timing;

#[derive(Args, Debug)]
pub(super) struct LeaderElectionArguments {
    /// Namespace of the Lease by which several operators take turns. Without it, that of this pod or of the kubeconfig.
    #[arg(long = "leader-election-namespace", env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Name of the Lease. Operators that take turns have the same, others that work on other policies have others.
    /// Without it, registry-cleanup-operator, and with --watch-label-selector a number behind that which the selector
    /// makes.
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

impl TryFrom<LeaderElectionArguments> for LeaderElection {
    type Error = String;

    fn try_from(arguments: LeaderElectionArguments) -> Result<Self, String> {
        let LeaderElectionArguments { namespace, name, lease_duration, renew_deadline, retry_period } = arguments;
        let timing = Timing::new(lease_duration, renew_deadline, retry_period)
            .map_err(|error| format!("leader election: {error}"))?;
        Ok(Self { namespace: namespace.filter(|name| !name.is_empty()), name, timing })
    }
}
