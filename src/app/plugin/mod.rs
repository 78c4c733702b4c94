//! `kubectl rcp`: what people want to know of policies, and ask of them, in the cluster of their kubeconfig context.

pub mod ask;
pub mod status;
pub mod why;

use kube::Client;

use crate::api::RegistryCleanupPolicy;
use crate::cluster::policies;
use crate::proxy::environment::ProxyEnvironment;

use super::cluster_config;

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
    /// No way to the API server.
    #[error("failed to find a way to the Kubernetes API server")]
    Config(#[from] kube::config::InferConfigError),
    /// The client could not be made.
    #[error("failed to make a Kubernetes client")]
    Client(#[source] kube::Error),
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
        // Two libraries below use rustls; they are to agree on its provider.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = cluster_config::infer(&whereabouts.proxies).await?;
        let namespace = whereabouts.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(Error::Client)?;
        Ok(Self { client, namespace })
    }

    async fn policy(&self, name: &str) -> Result<RegistryCleanupPolicy, Error> {
        Ok(policies::read(&self.client, &self.namespace, name).await?)
    }
}
