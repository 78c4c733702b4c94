//! `doctor`: looks at an installation with the rights of whoever calls it, and says of each part whether it works. It
//! changes nothing: what it writes are questions about rights, which the API server keeps nowhere.

mod cluster;
mod policies;
pub mod report;
pub mod request;

use std::sync::Arc;

use kube::{Client, ResourceExt};

use super::{OperatorOptions, cluster_config, lease_name};
use crate::api::RegistryCleanupPolicy;
use crate::causes::chain;
use crate::clock::{Clock, SystemClock};
use crate::cluster::installation::Installation;
use crate::cluster::policies as stored;
use crate::controller::Scope;
use crate::policy::doctor::rights::Needs;
use crate::policy::doctor::{Check, CheckName, Diagnosis};

use cluster::Installed;
use policies::Patient;
use request::{Error, Given, Request, watched};

/// Looks at everything.
///
/// # Errors
/// When there is nothing to look at. What does not work is part of the diagnosis.
pub async fn examine(request: &Request) -> Result<Diagnosis, Error> {
    let (client, config) = cluster_config::reach(&request.proxies).await?;
    examine_in(&client, &config.default_namespace, request).await
}

/// The same in a cluster that was reached already, with the namespace of the context.
pub(super) async fn examine_in(
    client: &Client,
    context_namespace: &str,
    request: &Request,
) -> Result<Diagnosis, Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let installed = cluster::find(client, request).await;
    let options = options(request, &installed)?;
    let cluster_ahead = cluster::ahead(client, &*clock).await;
    let (listed, policies) = list(client, request, context_namespace).await;
    let mut about_policies = Vec::new();
    let gitlab = super::gitlab(options.limits, &options.allowed_hosts, Arc::clone(&clock));
    let mut seen = Vec::new();
    for policy in &policies {
        let patient = Patient { client, gitlab: &gitlab, clock: &*clock, options: &options, cluster_ahead };
        let (checks, looked) = patient.examine(policy).await;
        about_policies.extend(checks);
        seen.push(looked);
    }
    let needs = needs(&options, &installed, context_namespace, &policies);
    let uses = cluster::uses(client, &options, &seen, &*clock).await?;
    let mut checks = vec![cluster::definition(client).await, installed.check()];
    checks.extend(cluster::rights(client, &installed, request, needs, &uses).await);
    checks.push(crate::policy::doctor::cluster::clock(cluster_ahead));
    checks.extend(uses.checks());
    checks.push(listed);
    checks.extend(about_policies);
    Ok(Diagnosis::new(env!("CARGO_PKG_VERSION"), checks))
}

/// The operator's Deployment, if it is one that can be found.
pub(super) async fn operator(client: &Client, request: &Request) -> Option<Installation> {
    cluster::find(client, request).await.found
}

/// What the operator was told, with what is given here.
fn options(request: &Request, installed: &Installed) -> Result<OperatorOptions, Error> {
    let usual = || (request.understand)(&["run".to_owned()]);
    let mut options = installed.options.clone().or_else(usual).ok_or(Error::Flags)?;
    let Given { limits, allowed_hosts, allow_insecure_http, watched_namespaces, in_use_scope, workloads } =
        &request.given;
    options.limits = *limits;
    if !allowed_hosts.is_empty() {
        options.allowed_hosts.clone_from(allowed_hosts);
    }
    options.allow_insecure_http |= allow_insecure_http;
    if !watched_namespaces.is_empty() {
        options.scope = Scope::Namespaces(watched_namespaces.clone());
    }
    if let Some(in_use) = &mut options.in_use {
        in_use.scope = in_use_scope.unwrap_or(in_use.scope);
        in_use.workloads.extend(workloads.iter().cloned());
    }
    Ok(options)
}

/// The policies that are asked about.
async fn list(client: &Client, request: &Request, context: &str) -> (Check, Vec<RegistryCleanupPolicy>) {
    let name = CheckName::Policies;
    if let Some(policy) = &request.policy {
        let namespace = request.namespace.as_deref().unwrap_or(context);
        return match stored::read(client, namespace, policy).await {
            Ok(policy) => (Check::ok(name, "the policy can be read"), vec![policy]),
            Err(error @ stored::Error::NotFound { .. }) => {
                (Check::failed(name, chain(&error), "kubectl get rcp --all-namespaces lists policies"), Vec::new())
            }
            Err(stored::Error::Cluster { name: policy, source }) => {
                let why = crate::cluster::ApiError::from(&*source);
                (Check::unknown(name, format!("policy {policy} cannot be read: {why}")), Vec::new())
            }
            Err(error) => (Check::unknown(name, chain(&error)), Vec::new()),
        };
    }
    match stored::list_in(client, request.namespace.as_deref()).await {
        Ok(policies) if policies.is_empty() => (Check::ok(name, "there are no policies"), policies),
        Ok(policies) => (Check::ok(name, format!("{} can be listed", policies.len())), policies),
        Err(stored::ListError::Cluster(error)) => {
            let why = crate::cluster::ApiError::from(&*error);
            (Check::unknown(name, format!("policies cannot be listed: {why}; -n names a namespace")), Vec::new())
        }
        Err(error) => (Check::unknown(name, chain(&error)), Vec::new()),
    }
}

/// What this installation works with, but for kinds that have to be looked for.
fn needs(options: &OperatorOptions, installed: &Installed, context: &str, policies: &[RegistryCleanupPolicy]) -> Needs {
    let namespace = |policy: &RegistryCleanupPolicy| policy.namespace().unwrap_or_default();
    let secrets = policies.iter().flat_map(|policy| {
        let gitlab = &policy.spec.gitlab;
        let others = [&gitlab.cert_secret_ref, &gitlab.proxy_secret_ref].into_iter().flatten();
        let names = [&gitlab.secret_ref.name].into_iter().chain(others.map(|reference| &reference.name));
        names.map(|name| (namespace(policy), name.clone())).collect::<Vec<_>>()
    });
    let lists = policies.iter().flat_map(|policy| {
        let lists = policy.spec.protect.iter().flat_map(|protect| &protect.in_use_from);
        lists.map(|list| (namespace(policy), list.config_map_ref.name.clone())).collect::<Vec<_>>()
    });
    let election = options.leader_election.namespace.clone();
    let own = election.or_else(|| installed.namespace()).unwrap_or_else(|| context.to_owned());
    let lease = lease_name(options);
    let pause = options.pause_config_map.clone().unwrap_or_else(|| format!("{lease}-pause"));
    Needs {
        watched: watched(options).to_vec(),
        workloads: None,
        secrets: secrets.collect(),
        lists: lists.collect(),
        history: options.history_limit > 0,
        lease: (own.clone(), lease),
        pause: (own, pause),
    }
}
