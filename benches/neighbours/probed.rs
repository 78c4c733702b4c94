//! An operator whose probe is asked.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::Failure;
use crate::support::operator::Operator;

/// Longer than any probe of a kubelet waits.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// A running operator with a known address.
pub(crate) struct Probed {
    pub(crate) operator: Operator,
    address: SocketAddr,
    probes: reqwest::Client,
}

impl Probed {
    pub(crate) fn start(kubeconfig: &Path, namespaces: &[&str]) -> Result<Self, Failure> {
        // Given back at once, and taken by the operator.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let operator = Operator::start(kubeconfig, namespaces, &address.to_string(), 1000)?;
        Ok(Self { operator, address, probes: reqwest::Client::builder().timeout(PROBE_TIMEOUT).build()? })
    }

    /// How long `/livez` takes to answer; an error where it does not.
    pub(crate) async fn probe(&self) -> Result<Duration, Failure> {
        let begun = Instant::now();
        self.probes.get(format!("http://{}/livez", self.address)).send().await?.error_for_status()?;
        Ok(begun.elapsed())
    }
}
