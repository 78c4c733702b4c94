//! What a row takes place in: two namespaces, one with the neighbours and one with the innocent policy, a GitLab, and
//! an operator that is looked at while it works.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use control_plane::Cluster;
use futures::stream::{self, StreamExt, TryStreamExt};
use gitlab_simulator::{Action, Config, Fault, Matcher, Push, Role, Simulator};
use jiff::SignedDuration;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use registry_cleanup_operator::api::conditions::is_true;
use registry_cleanup_operator::api::{DRY_RUN_REQUESTED_AT, PolicyStatus, RegistryCleanupPolicy, RunResult};
use serde_json::{Value, json};

use crate::probed::Probed;
use crate::rows::Course;
use crate::support::Failure;
use crate::support::cluster::Platform;

/// The group of the neighbours.
pub(crate) const GROUP: &str = "shop";
/// The group of the innocent policy. The neighbours have another one.
const INNOCENT: &str = "innocent";
/// Requests at the same time while policies are made.
const FILLING: usize = 16;
/// How often the probe and the policies are asked.
const LOOK: Duration = Duration::from_millis(100);
/// How many looks there are between two counts of the policies that were looked at.
const LOOKS_PER_COUNT: u32 = 20;
const START: Duration = Duration::from_secs(60);

/// Cluster, namespaces and GitLab of one row.
pub(crate) struct Stage {
    platform: Platform,
    pub(crate) gitlab: Simulator,
    /// Those of other instances, which end with the row.
    others: Mutex<Vec<Simulator>>,
    neighbours: String,
    innocent: String,
}

/// What was seen, in seconds where nothing else is said.
pub(crate) struct Measured {
    pub(crate) peak_mebibytes: f64,
    pub(crate) longest_probe: f64,
    pub(crate) innocent_ready: f64,
    /// From the request for a dry run of the innocent policy until it was over.
    pub(crate) previewed: f64,
    /// From the edit that suspended a neighbour in the midst of its run until the status said that it stops.
    pub(crate) suspended: Option<f64>,
    /// From the operator's first answer until every policy had an observed generation; `None` where that did not
    /// happen.
    pub(crate) all_looked_at: Option<f64>,
}

impl Stage {
    /// Installs definition and permissions, and makes namespaces with a token for GitLab in each.
    pub(crate) async fn set(cluster: &Cluster, word: &str) -> Result<Self, Failure> {
        let platform = Platform::install(cluster).await?;
        let gitlab = Simulator::start(Config { tls: true, ..Config::default() }).await?;
        let tokens = gitlab.edit(|registry| {
            registry.group(GROUP);
            registry.project(&format!("{INNOCENT}/app"));
            let repository = registry.repository(&format!("{INNOCENT}/app/web"));
            let at = registry.now() - SignedDuration::from_hours(90 * 24);
            (0..20).for_each(|n| registry.push(repository, &format!("mr-{n}"), Push::at(at)));
            [GROUP, INNOCENT].map(|group| registry.access_token(group, Role::Maintainer))
        });
        let (neighbours, innocent) = (format!("neighbours-{word}"), format!("innocent-{word}"));
        let stage = Self { platform, gitlab, others: Mutex::default(), neighbours, innocent };
        for (namespace, token) in [&stage.neighbours, &stage.innocent].into_iter().zip(&tokens) {
            stage.platform.namespace(namespace).await?;
            stage.platform.secret(namespace, "token", "token", token).await?;
            let authority = stage.gitlab.ca_pem().unwrap_or_default();
            stage.platform.secret(namespace, "ca", "ca.crt", authority).await?;
        }
        Ok(stage)
    }

    /// Another GitLab, which takes so long for every answer, as `spec.gitlab` of a neighbour.
    pub(crate) async fn slow_gitlab(&self, word: &str, takes: Duration) -> Result<Value, Failure> {
        let gitlab = Simulator::start(Config { tls: true, ..Config::default() }).await?;
        let token = gitlab.edit(|registry| {
            registry.group(GROUP);
            registry.project(&format!("{GROUP}/app"));
            registry.repository(&format!("{GROUP}/app/web"));
            registry.access_token(GROUP, Role::Maintainer)
        });
        gitlab.fault(Fault::new(Matcher::any(), Action::Delay(takes)));
        let (secret, ca) = (format!("token-{word}"), format!("ca-{word}"));
        self.platform.secret(&self.neighbours, &secret, "token", &token).await?;
        self.platform.secret(&self.neighbours, &ca, "ca.crt", gitlab.ca_pem().unwrap_or_default()).await?;
        let spec = json!({"url": gitlab.url(), "secretRef": {"name": secret}, "certSecretRef": {"name": ca}});
        self.others.lock().unwrap_or_else(PoisonError::into_inner).push(gitlab);
        Ok(spec)
    }

    fn policies(&self, namespace: &str) -> Api<RegistryCleanupPolicy> {
        Api::namespaced(self.platform.kube.clone(), namespace)
    }

    /// A policy that is ready as soon as it was looked at, with parts of it replaced.
    fn policy(&self, name: &str, annotations: &Value, spec: &Value) -> Result<RegistryCleanupPolicy, Failure> {
        let mut policy = json!({
            "apiVersion": "registrycleanup.dev/v1alpha1",
            "kind": "RegistryCleanupPolicy",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {
                "gitlab": {"url": self.gitlab.url(), "secretRef": {"name": "token"}, "certSecretRef": {"name": "ca"}},
                "target": {"groups": [{"path": GROUP}]},
                // Never while a benchmark runs, unless somebody celebrates with one.
                "schedule": "0 0 1 1 *",
                "rules": [{"name": "old", "nameRegexDelete": "mr-.*", "olderThan": "30d"}],
            },
        });
        let changes = spec.as_object().into_iter().flatten();
        if let Some(spec) = policy.pointer_mut("/spec").and_then(Value::as_object_mut) {
            spec.extend(changes.map(|(key, value)| (key.clone(), value.clone())));
        }
        Ok(serde_json::from_value(policy)?)
    }

    /// Makes neighbours, each with its annotations and what its spec has instead.
    pub(crate) async fn neighbours(
        &self,
        number: usize,
        make: impl Fn(usize) -> (Value, Value),
    ) -> Result<(), Failure> {
        let api = &self.policies(&self.neighbours);
        let policies = (0..number).map(|n| {
            let (annotations, spec) = make(n);
            self.policy(&format!("neighbour-{n}"), &annotations, &spec)
        });
        let create = |policy: Result<RegistryCleanupPolicy, Failure>| async move {
            api.create(&PostParams::default(), &policy?).await?;
            Ok::<_, Failure>(())
        };
        stream::iter(policies).map(create).buffer_unordered(FILLING).try_collect::<Vec<()>>().await?;
        Ok(())
    }

    /// Starts an operator, makes the innocent policy when it is time, and looks until everything was seen, or for so
    /// long.
    pub(crate) async fn measure(&self, course: Course) -> Result<Measured, Failure> {
        let mut probed = Probed::start(&self.platform.kubeconfig, &[&self.neighbours, &self.innocent])?;
        let begun = Instant::now();
        while probed.probe().await.is_err() {
            probed.operator.check()?;
            if begun.elapsed() > START {
                return Err("the operator does not answer".into());
            }
            tokio::time::sleep(LOOK).await;
        }
        let (begun, mut longest) = (Instant::now(), Duration::ZERO);
        while begun.elapsed() < course.before {
            probed.operator.check()?;
            longest = longest.max(probed.probe().await?);
            tokio::time::sleep(LOOK).await;
        }
        let target = json!({"target": {"projects": [format!("{INNOCENT}/app")]}});
        let innocent = self.policy("innocent", &json!({}), &target)?;
        self.policies(&self.innocent).create(&PostParams::default(), &innocent).await?;
        let mut seen = Seen { begun: Instant::now(), ready: None, previewed: None, all: None, suspended: None };
        let mut looks = 0_u32;
        while seen.begun.elapsed() < course.then && (course.runs || !seen.everything()) {
            probed.operator.check()?;
            longest = longest.max(probed.probe().await?);
            self.look(&mut seen, course.runs, looks.is_multiple_of(LOOKS_PER_COUNT)).await?;
            looks += 1;
            tokio::time::sleep(LOOK).await;
        }
        let seconds = |duration: Duration| duration.as_secs_f64();
        Ok(Measured {
            peak_mebibytes: probed.operator.peak_mebibytes()?,
            longest_probe: longest.as_secs_f64(),
            innocent_ready: seen.ready.map(seconds).ok_or("the innocent policy was never Ready")?,
            previewed: seen.previewed.map(seconds).ok_or("the dry run of the innocent policy was never over")?,
            suspended: seen.suspended.and_then(|suspended| suspended.after).map(seconds),
            all_looked_at: seen.all.map(seconds),
        })
    }

    async fn look(&self, seen: &mut Seen, runs: bool, count: bool) -> Result<(), Failure> {
        let api = self.policies(&self.innocent);
        let status = api.get_status("innocent").await?.status.unwrap_or_default();
        match seen.ready {
            None if is_true(&status.conditions, "Ready") => {
                seen.ready = Some(seen.begun.elapsed());
                let patch = json!({"metadata": {"annotations": {DRY_RUN_REQUESTED_AT: "once"}}});
                api.patch("innocent", &PatchParams::default(), &Patch::Merge(&patch)).await?;
            }
            Some(ready) if seen.previewed.is_none() && is_previewed(&status) => {
                seen.previewed = Some(seen.begun.elapsed().saturating_sub(ready));
            }
            _ => {}
        }
        if count && seen.all.is_none() && self.left().await? == 0 {
            seen.all = Some(seen.begun.elapsed());
        }
        match &mut seen.suspended {
            None if runs && seen.previewed.is_some() => seen.suspended = self.suspend().await?,
            Some(suspended) if suspended.after.is_none() => {
                let policy = self.policies(&self.neighbours).get_status(&suspended.name).await?;
                let run = policy.status.and_then(|status| status.last_run);
                if run.is_none_or(|run| run.result != RunResult::Running) {
                    suspended.after = Some(suspended.at.elapsed());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Suspends a neighbour that runs, if there is one.
    async fn suspend(&self) -> Result<Option<Suspended>, Failure> {
        let api = self.policies(&self.neighbours);
        let running = |policy: &RegistryCleanupPolicy| {
            let run = policy.status.as_ref().and_then(|status| status.last_run.as_ref());
            run.is_some_and(|run| run.result == RunResult::Running)
        };
        let Some(policy) = api.list(&ListParams::default()).await?.items.into_iter().find(running) else {
            return Ok(None);
        };
        let name = policy.metadata.name.unwrap_or_default();
        let patch = json!({"spec": {"suspend": true}});
        api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(Some(Suspended { name, at: Instant::now(), after: None }))
    }

    /// How many neighbours nobody has looked at yet.
    async fn left(&self) -> Result<usize, Failure> {
        let api = self.policies(&self.neighbours);
        let mut parameters = ListParams::default().limit(50);
        let mut left = 0;
        loop {
            let page = api.list(&parameters).await?;
            let unobserved = |policy: &&RegistryCleanupPolicy| {
                let observed = policy.status.as_ref().and_then(|status| status.observed_generation);
                observed != policy.metadata.generation
            };
            left += page.items.iter().filter(unobserved).count();
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) if left == 0 => parameters = parameters.continue_token(&token),
                _ => return Ok(left),
            }
        }
    }

    /// Removes the namespaces; GitLab ends with this.
    pub(crate) async fn strike(self) -> Result<(), Failure> {
        for namespace in [&self.neighbours, &self.innocent] {
            self.platform.remove(namespace).await?;
        }
        Ok(())
    }
}

/// What was seen so far, and how long after the innocent policy was made.
struct Seen {
    begun: Instant,
    ready: Option<Duration>,
    previewed: Option<Duration>,
    all: Option<Duration>,
    suspended: Option<Suspended>,
}

impl Seen {
    fn everything(&self) -> bool {
        self.previewed.is_some() && self.all.is_some()
    }
}

/// A neighbour that was suspended in the midst of its run.
struct Suspended {
    name: String,
    at: Instant,
    /// How long it took until the status said so.
    after: Option<Duration>,
}

/// Whether the dry run that was asked for is over.
fn is_previewed(status: &PolicyStatus) -> bool {
    let over = status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some());
    over && status.last_handled_dry_run_at.is_some()
}
