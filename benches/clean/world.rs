//! What a row takes place in: a namespace of the cluster, a GitLab over https, a policy, and an operator that carries
//! it out.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gitlab_simulator::{Config, Endpoint, Fault, Matcher, Role, Simulator};
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::await_condition;
use registry_cleanup_operator::api::conditions::is_true;
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RegistryCleanupPolicy};
use serde_json::json;

use crate::rows::{Row, Speed};
use crate::shapes::{Content, GROUP};
use crate::support::Failure;
use crate::support::cluster::Platform;
use crate::support::operator::Operator;

/// How often somebody looks whether the operator is still there.
const LOOK: Duration = Duration::from_secs(1);
/// Long enough for the slowest row.
const PATIENCE: Duration = Duration::from_secs(3 * 60 * 60);

/// What one run came to.
pub(crate) struct Measured {
    pub(crate) status: PolicyStatus,
    /// Requests from the moment the run was asked for.
    pub(crate) requests: BTreeMap<Endpoint, u64>,
    pub(crate) took: Duration,
    /// From the first request that lists or reads to the last, and from the first that removes to the last, in seconds.
    pub(crate) reading: f64,
    pub(crate) removing: f64,
    /// Tags that the registry has no longer.
    pub(crate) removed: u64,
    pub(crate) peak_mebibytes: f64,
}

/// Namespace, GitLab and policy of one row.
pub(crate) struct World<'p> {
    platform: &'p Platform,
    namespace: String,
    gitlab: Simulator,
    pub(crate) content: Content,
    speed: Speed,
}

impl<'p> World<'p> {
    pub(crate) async fn set_up(platform: &'p Platform, row: Row) -> Result<Self, Failure> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("bench-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        platform.namespace(&namespace).await?;

        let mut config = Config { tls: true, ..Config::default() };
        row.way.set_up(&mut config.settings);
        row.speed.set_up(&mut config.settings);
        let gitlab = Simulator::start(config).await?;
        let (content, token) = gitlab.edit(|registry| {
            let content = row.shape.fill(registry);
            (content, registry.access_token(GROUP, Role::Maintainer))
        });
        gitlab.fault(Fault::new(Matcher::any(), row.speed.fault()));

        let world = Self { platform, namespace, gitlab, content, speed: row.speed };
        platform.secret(&world.namespace, "token", "token", &token).await?;
        let authority = world.gitlab.ca_pem().unwrap_or_default();
        platform.secret(&world.namespace, "ca", "ca.crt", authority).await?;
        world.apply(row).await?;
        Ok(world)
    }

    async fn apply(&self, row: Row) -> Result<(), Failure> {
        let policy = json!({
            "apiVersion": "registrycleanup.dev/v1alpha1",
            "kind": "RegistryCleanupPolicy",
            "metadata": {"name": "bench"},
            "spec": {
                "gitlab": {"url": self.gitlab.url(), "secretRef": {"name": "token"}, "certSecretRef": {"name": "ca"}},
                "target": {"groups": [{"path": GROUP}]},
                // Never while a benchmark runs, unless somebody celebrates with one.
                "schedule": "0 0 1 1 *",
                "mode": "Delete",
                "method": row.way.method(),
                "rules": [row.way.rule()],
                "activeDeadlineSeconds": 3 * 60 * 60,
            },
        });
        self.policies().patch("bench", &PatchParams::apply("bench"), &Patch::Apply(&policy)).await?;
        Ok(())
    }

    fn policies(&self) -> Api<RegistryCleanupPolicy> {
        Api::namespaced(self.platform.kube.clone(), &self.namespace)
    }

    /// Starts an operator, which looks at the workloads of its namespace or of all, and waits until the policy is
    /// ready.
    pub(crate) async fn operator(&self, all_workloads: bool) -> Result<Operator, Failure> {
        let mut more = self.speed.arguments();
        if all_workloads {
            more.extend(["--in-use-scope".to_owned(), "Cluster".to_owned()]);
        }
        let arguments: Vec<&str> =
            ["--listen", "127.0.0.1:0"].into_iter().chain(more.iter().map(String::as_str)).collect();
        let pace = self.speed.requests_per_second();
        // The same Pod each time, so that nobody waits for the Lease of an operator that was killed.
        let mut operator =
            Operator::start_in("bench", &self.platform.kubeconfig, &[&self.namespace], &arguments, pace)?;
        self.wait(&mut operator, |status| is_true(&status.conditions, "Ready")).await?;
        Ok(operator)
    }

    /// Asks for a run and waits for its end. `token` names the request.
    pub(crate) async fn run(&self, operator: &mut Operator, token: &str) -> Result<Measured, Failure> {
        let before = self.tags();
        self.gitlab.clear_requests();
        let began = Instant::now();
        let patch = json!({"metadata": {"annotations": {RUN_REQUESTED_AT: token}}});
        self.policies().patch("bench", &PatchParams::default(), &Patch::Merge(&patch)).await?;
        let over = |status: &PolicyStatus| {
            status.last_handled_run_at.as_deref() == Some(token)
                && status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some())
        };
        let status = self.wait(operator, over).await?;
        Ok(Measured {
            status,
            took: began.elapsed(),
            reading: self.span(&[
                Endpoint::ListGroupRepositories,
                Endpoint::ListTags,
                Endpoint::GraphqlQuery,
                Endpoint::GetTag,
            ]),
            removing: self.span(&[Endpoint::GraphqlMutation, Endpoint::DeleteTag, Endpoint::BulkDeleteTags]),
            requests: self.gitlab.request_counts(),
            removed: before - self.tags(),
            peak_mebibytes: operator.peak_mebibytes()?,
        })
    }

    /// Seconds from the first request of these kinds to the last.
    fn span(&self, kinds: &[Endpoint]) -> f64 {
        let all = self.gitlab.requests();
        let mut times = all.iter().filter(|request| kinds.contains(&request.endpoint)).map(|request| request.at);
        let first = times.next();
        let last = times.next_back().or(first);
        first.zip(last).map_or(0.0, |(first, last)| last.duration_since(first).as_secs_f64())
    }

    /// Waits for a status. An operator that has ended is an error.
    async fn wait(
        &self,
        operator: &mut Operator,
        holds: impl Fn(&PolicyStatus) -> bool,
    ) -> Result<PolicyStatus, Failure> {
        let fits = |policy: Option<&RegistryCleanupPolicy>| {
            policy.and_then(|policy| policy.status.as_ref()).is_some_and(&holds)
        };
        let policies = self.policies();
        let mut waiting = pin!(tokio::time::timeout(PATIENCE, await_condition(policies, "bench", fits)));
        loop {
            tokio::select! {
                policy = &mut waiting => {
                    let status = policy??.and_then(|policy| policy.status);
                    return status.ok_or_else(|| "the policy is gone".into());
                }
                () = tokio::time::sleep(LOOK) => operator.check()?,
            }
        }
    }

    /// How many tags the registry has.
    fn tags(&self) -> u64 {
        self.gitlab.read(|registry| registry.repositories().map(|repository| repository.tags().len() as u64).sum())
    }

    /// Removes the namespace; GitLab ends with it.
    pub(crate) async fn tear_down(self) -> Result<(), Failure> {
        self.platform.remove(&self.namespace).await
    }
}
