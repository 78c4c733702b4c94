//! `kubectl rcp`: what people want to know of policies, and ask of them, in the cluster of their kubeconfig context.

pub mod ask;
pub mod status;
pub mod why;

use kube::Client;

use crate::api::RegistryCleanupPolicy;
use crate::cluster::policies;
use crate::proxy::environment::ProxyEnvironment;

use super::cluster_config::{self, Unreachable};

/// Where a policy is.
#[derive(Debug)]
pub struct Whereabouts {
    /// The namespace; `None` is that of the context.
    pub namespace: Option<String>,
    /// Proxies on the way to the API server.
    pub proxies: ProxyEnvironment,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server cannot be asked.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The cluster does not give the policy.
    #[error(transparent)]
    Policy(#[from] policies::Error),
    /// The cluster does not give the policies.
    #[error(transparent)]
    Policies(#[from] policies::ListError),
    /// What was asked for could not be written.
    #[error(transparent)]
    Ask(#[from] crate::cluster::ask::Error),
    /// The policy cannot be planned.
    #[error(transparent)]
    Plan(#[from] super::plan::Error),
    /// What was asked for cannot be, and why.
    #[error("{0}")]
    No(String),
}

/// A way into the cluster.
struct Cluster {
    client: Client,
    namespace: String,
}

impl Cluster {
    async fn reach(whereabouts: &Whereabouts) -> Result<Self, Error> {
        let (client, config) = cluster_config::reach(&whereabouts.proxies).await?;
        let namespace = whereabouts.namespace.clone().unwrap_or(config.default_namespace);
        Ok(Self { client, namespace })
    }

    async fn policy(&self, name: &str) -> Result<RegistryCleanupPolicy, Error> {
        Ok(policies::read(&self.client, &self.namespace, name).await?)
    }
}
