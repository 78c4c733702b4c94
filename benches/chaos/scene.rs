//! What everything takes place in: a namespace, a GitLab over https, two policies, and operators behind a link.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use control_plane::Cluster;
use gitlab_simulator::{Clock, Config, Endpoint, Simulator};
use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use registry_cleanup_operator::api::{RUN_REQUESTED_AT, RegistryCleanupPolicy};
use serde_json::json;

use crate::api_link::ApiLink;
use crate::content::{Content, GROUPS, OLDER_THAN_DAYS, PROTECTED};
use crate::signals;
use crate::support::Failure;
use crate::support::cluster::Platform;
use crate::support::operator::Operator;
use crate::verdict::Seen;

/// The registry's host in the names of images.
const REGISTRY: &str = "registry.chaos.test";
/// Times of the Lease by which an operator is replaced within seconds.
const SHORT_LEASE: [&str; 6] = [
    "--leader-election-lease-duration",
    "3s",
    "--leader-election-renew-deadline",
    "2s",
    "--leader-election-retry-period",
    "500ms",
];
/// What an operator says that lost its Lease.
const LEADS_NO_MORE: &str = "this operator leads no more";
/// How many tags workloads name at a time.
const MOST_USED: usize = 15;

/// Everything there is.
pub(crate) struct Scene {
    platform: Platform,
    namespace: String,
    content: Arc<Content>,
    token: String,
    /// Two ways to the API server: one operator that is cut off leaves the other one connected.
    links: [ApiLink; 2],
    pub(crate) operators: Vec<Operator>,
    used: VecDeque<(String, u64, String)>,
    requests: u64,
    /// How many operators were started.
    started: usize,
    logs: Vec<String>,
    died: Vec<String>,
    removed: u64,
}

impl Scene {
    /// Installs the operator's definition and permissions, fills a registry and starts one operator.
    pub(crate) async fn set_up(cluster: &Cluster) -> Result<Self, Failure> {
        let platform = Platform::install(cluster).await?;
        let namespace = format!("chaos-{}", std::process::id());
        platform.namespace(&namespace).await?;

        let mut config = Config { tls: true, clock: Clock::system(), ..Config::default() };
        REGISTRY.clone_into(&mut config.settings.registry_host);
        config.settings.job_delay = SignedDuration::ZERO;
        let (content, token) = Content::fill(Simulator::start(config).await?);
        let mut scene = Self {
            namespace,
            content,
            token,
            links: [ApiLink::to(&platform.kubeconfig).await?, ApiLink::to(&platform.kubeconfig).await?],
            started: 0,
            platform,
            operators: Vec::new(),
            used: VecDeque::new(),
            requests: 0,
            logs: Vec::new(),
            died: Vec::new(),
            removed: 0,
        };
        scene.platform.secret(&scene.namespace, "token", "token", &scene.token).await?;
        let authority = scene.content.gitlab.ca_pem().unwrap_or_default();
        scene.platform.secret(&scene.namespace, "ca", "ca.crt", authority).await?;
        for (group, method) in GROUPS.into_iter().zip(["Exact", "Bulk"]) {
            scene.apply(group, method).await?;
        }
        scene.start()?;
        Ok(scene)
    }

    async fn apply(&self, group: &str, method: &str) -> Result<(), Failure> {
        let spare = format!("{PROTECTED}.*");
        let policy = json!({
            "apiVersion": "registrycleanup.dev/v1alpha1",
            "kind": "RegistryCleanupPolicy",
            "metadata": {"name": group},
            "spec": {
                "gitlab": {
                    "url": self.content.gitlab.url(), "secretRef": {"name": "token"}, "certSecretRef": {"name": "ca"},
                },
                "target": {"groups": [{"path": group}]},
                "schedule": "0 0 1 1 *",
                "mode": "Delete",
                "method": method,
                "protect": {"nameRegex": [spare]},
                "rules": [{
                    "name": "old", "nameRegexDelete": ".*", "nameRegexKeep": spare,
                    "olderThan": format!("{OLDER_THAN_DAYS}d"),
                }],
            },
        });
        self.policies().patch(group, &PatchParams::apply("chaos"), &Patch::Apply(&policy)).await?;
        Ok(())
    }

    fn policies(&self) -> Api<RegistryCleanupPolicy> {
        Api::namespaced(self.platform.kube.clone(), &self.namespace)
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.platform.kube.clone(), &self.namespace)
    }

    pub(crate) fn registry(&self) -> Arc<Content> {
        Arc::clone(&self.content)
    }

    /// Starts one operator more.
    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        let [even, odd] = &self.links;
        let link = if self.started.is_multiple_of(2) { even } else { odd };
        let pod = format!("chaos-{}", self.started);
        let arguments = [&["--listen", "127.0.0.1:0"][..], &SHORT_LEASE].concat();
        self.operators.push(Operator::start_in(&pod, link.kubeconfig(), &[&self.namespace], &arguments, 100)?);
        self.started += 1;
        Ok(())
    }

    /// Kills the operator that runs longest.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        if !self.operators.is_empty() {
            let killed = self.operators.remove(0);
            self.logs.push(killed.kill()?);
        }
        Ok(())
    }

    /// Takes leave of an operator that was told to end.
    pub(crate) fn keep_log(&mut self, operator: Operator) -> Result<(), Failure> {
        self.logs.push(operator.kill()?);
        Ok(())
    }

    /// Cuts one of the ways to the API server for a while.
    pub(crate) fn cut(&self, even: bool, pause: Duration) {
        let [one, other] = &self.links;
        if even { one } else { other }.cut(pause);
    }

    /// Says of operators that ended without being told to that they did. One that lost its Lease has to.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        for index in (0..self.operators.len()).rev() {
            let Some(operator) = self.operators.get_mut(index) else { continue };
            if let Some(status) = operator.ended()? {
                let log = self.operators.remove(index).kill()?;
                if !log.contains(LEADS_NO_MORE) {
                    let end: Vec<&str> = log.lines().rev().take(3).collect();
                    self.died.push(format!("an operator ended by itself, {status}: {}", end.join(" / ")));
                }
                self.logs.push(log);
            }
        }
        Ok(())
    }

    /// Asks for a run of a policy.
    pub(crate) async fn request(&mut self, policy: &str) -> Result<(), Failure> {
        self.requests += 1;
        let patch = json!({"metadata": {"annotations": {RUN_REQUESTED_AT: format!("chaos-{}", self.requests)}}});
        self.policies().patch(policy, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    /// Makes a workload name a tag; the oldest of too many goes.
    pub(crate) async fn name_in_workload(&mut self, repository: usize, tag: &str) -> Result<(), Failure> {
        let Some(of) = self.content.repositories.get(repository).cloned() else { return Ok(()) };
        if self.used.iter().any(|(_, id, name)| *id == of.id && name == tag) {
            return Ok(());
        }
        let labels = json!({"app": "chaos"});
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {"generateName": "chaos-"},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "app", "image": format!("{REGISTRY}/{}:{tag}", of.path)}]},
                },
            },
        }))?;
        let created = self.deployments().create(&PostParams::default(), &deployment).await?;
        self.content.note_use(of.id, tag, Some(Instant::now()));
        self.used.push_back((created.name_any(), of.id, tag.to_owned()));
        if self.used.len() > MOST_USED
            && let Some((name, id, tag)) = self.used.pop_front()
        {
            self.content.note_use(id, &tag, None);
            self.deployments().delete(&name, &DeleteParams::default()).await?;
        }
        Ok(())
    }

    /// Ends every disturbance and sees to it that one operator runs.
    pub(crate) fn calm_down(&mut self) -> Result<(), Failure> {
        self.content.gitlab.clear_faults();
        self.links.iter().for_each(ApiLink::restore);
        for operator in &self.operators {
            signals::send(operator, "CONT")?;
        }
        while self.operators.len() > 1 {
            self.kill()?;
        }
        if self.operators.is_empty() { self.start() } else { Ok(()) }
    }

    /// Waits until no run is under way; answers the policies of which one still is.
    pub(crate) async fn come_to_rest(&mut self, patience: Duration) -> Result<Vec<String>, Failure> {
        let end = Instant::now() + patience;
        loop {
            self.check()?;
            if self.operators.is_empty() {
                self.start()?;
            }
            let policies = self.policies().list(&ListParams::default()).await?;
            let under_way = |policy: &RegistryCleanupPolicy| {
                let run = policy.status.as_ref().and_then(|status| status.last_run.as_ref());
                run.is_some_and(|run| run.completion_time.is_none())
            };
            let restless: Vec<String> =
                policies.items.iter().filter(|of| under_way(of)).map(ResourceExt::name_any).collect();
            if restless.is_empty() || Instant::now() > end {
                return Ok(restless);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Everything that must not have happened.
    pub(crate) fn judge(&mut self, seen: Seen, restless: Vec<String>) -> Result<Vec<String>, Failure> {
        while !self.operators.is_empty() {
            self.kill()?;
        }
        self.removed = seen.removed;
        let mut violations = seen.wrong;
        violations.append(&mut self.died);
        violations.extend(restless.into_iter().map(|policy| format!("a run of {policy} did not come to an end")));
        // What GitLab refused for its rate limit was not carried out, and may be asked for again.
        let mut bulk: BTreeMap<u64, u64> = BTreeMap::new();
        for request in self.content.gitlab.requests_to(Endpoint::BulkDeleteTags) {
            if let Some(repository) = request.repository.filter(|_| request.status != Some(429)) {
                *bulk.entry(repository).or_default() += 1;
            }
        }
        let twice = bulk.into_iter().filter(|(_, requests)| *requests > 1);
        violations.extend(twice.map(|(id, requests)| format!("repository {id}: {requests} bulk requests in an hour")));
        for log in &self.logs {
            if let Some(line) = log.lines().find(|line| line.contains("panicked")) {
                violations.push(format!("a panic: {line}"));
            }
            if log.contains(&self.token) {
                violations.push("a log shows the token".to_owned());
            }
        }
        Ok(violations)
    }

    /// What was done, in a line.
    pub(crate) fn summary(&self) -> String {
        let requests: u64 = self.content.gitlab.request_counts().values().sum();
        format!("{} runs asked for, {requests} requests to GitLab, {} tags removed", self.requests, self.removed)
    }
}
