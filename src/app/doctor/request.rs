//! What is asked of `doctor`, and why there may be no answer.

use crate::app::cluster_config::Unreachable;
use crate::app::{InUseScope, OperatorOptions, RequestLimits};
use crate::controller::Scope;
use crate::proxy::environment::ProxyEnvironment;

/// What is wanted.
#[derive(Debug)]
pub struct Request {
    /// The policy, if one is named.
    pub policy: Option<String>,
    /// The namespace; `None` is all of them, or that of the context for a policy that is named.
    pub namespace: Option<String>,
    /// The operator's Deployment: its namespace, and its name if there are several.
    pub operator: Option<(String, Option<String>)>,
    /// What is given here and goes before what the operator was told.
    pub given: Given,
    /// Understands what an operator was told, from `run` on.
    pub understand: fn(&[String]) -> Option<OperatorOptions>,
    /// Proxies on the way to the API server.
    pub proxies: ProxyEnvironment,
}

/// What is given on the command line besides.
#[derive(Debug)]
pub struct Given {
    /// Hosts that tokens may be sent to.
    pub allowed_hosts: Vec<String>,
    /// What one GitLab host is asked at most.
    pub limits: RequestLimits,
    /// Whether policies may use http://.
    pub allow_insecure_http: bool,
    /// The namespaces that are watched.
    pub watched_namespaces: Vec<String>,
    /// Where images in use are looked for.
    pub in_use_scope: Option<InUseScope>,
    /// Kinds that are watched besides.
    pub workloads: Vec<String>,
}

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server cannot be asked.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// A custom workload is not given as it should be.
    #[error("failed to understand a custom workload")]
    CustomWorkload(#[from] crate::cluster::workloads::CustomWorkloadError),
    /// The usual flags are not understood, which a test excludes.
    #[error("the usual flags of an operator are not understood")]
    Flags,
}

/// The namespaces in which policies are watched; none = all.
pub(super) fn watched(options: &OperatorOptions) -> &[String] {
    match &options.scope {
        Scope::Cluster => &[],
        Scope::Namespaces(names) => names,
    }
}
