//! Flags that say which installation, and which of its policies, are looked at.

use clap::Args;

use crate::app::InUseScope;
use crate::app::doctor::request::{Given, Request};

use super::arguments::{GitLabArguments, proxies};
use super::run::understand;

#[derive(Args, Debug)]
pub(super) struct InstallationArguments {
    /// Name of the policy that is looked at. Without it: all of the namespace.
    #[arg(value_name = "NAME")]
    policy: Option<String>,

    /// Look at the policies of this namespace. Without it: those of all namespaces; a policy that is named is looked
    /// for in the namespace of the current kubeconfig context.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// The operator's Deployment, if there are several: its namespace, or NAMESPACE/NAME. Its flags say where images in
    /// use are looked for, and which hosts tokens may be sent to.
    #[arg(long, value_name = "DEPLOYMENT", value_parser = deployment)]
    operator: Option<(String, Option<String>)>,

    /// A namespace that the operator watches, instead of those that its Deployment names; may be given several times.
    #[arg(long = "watch-namespace", value_name = "NAMESPACE")]
    watch_namespaces: Vec<String>,

    /// Where images in use are looked for by an operator that watches some namespaces only, instead of what its
    /// Deployment says.
    #[arg(long, value_name = "SCOPE", value_enum)]
    in_use_scope: Option<InUseScope>,

    /// A kind of workload that the operator watches, besides those that its Deployment names, as for run. May be given
    /// several times.
    #[arg(long = "in-use-workload", value_name = "WORKLOAD")]
    workloads: Vec<String>,

    #[command(flatten)]
    gitlab: GitLabArguments,
}

fn deployment(text: &str) -> Result<(String, Option<String>), String> {
    match text.split_once('/') {
        Some((namespace, name)) if namespace.is_empty() || name.is_empty() => Err("give NAMESPACE/NAME".to_owned()),
        Some((namespace, name)) => Ok((namespace.to_owned(), Some(name.to_owned()))),
        None => Ok((text.to_owned(), None)),
    }
}

impl From<InstallationArguments> for Request {
    fn from(arguments: InstallationArguments) -> Self {
        let given = Given {
            limits: arguments.gitlab.limits(),
            allowed_hosts: arguments.gitlab.allowed_gitlab_hosts,
            allow_insecure_http: arguments.gitlab.allow_insecure_http,
            watched_namespaces: arguments.watch_namespaces,
            in_use_scope: arguments.in_use_scope,
            workloads: arguments.workloads,
        };
        Self {
            policy: arguments.policy,
            namespace: arguments.namespace,
            operator: arguments.operator,
            given,
            understand,
            proxies: proxies(),
        }
    }
}
