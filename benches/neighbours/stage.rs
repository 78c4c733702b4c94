//! What a row takes place in: two namespaces, one with the neighbours and one with the innocent policy, a GitLab, and an
//! operator that is looked at while it works.

use std::time::{Duration, Instant};

use control_plane::Cluster;
use futures::stream::{self, StreamExt, TryStreamExt};
use gitlab_simulator::{Config, Role, Simulator};
use kube::Api;
use kube::api::{ListParams, PostParams};
use registry_cleanup_operator::api::RegistryCleanupPolicy;
use registry_cleanup_operator::api::conditions::is_true;
use serde_json::{Value, json};

use crate::probed::Probed;
use crate::support::Failure;
use crate::support::cluster::Platform;

const GROUP: &str = "shop";
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
    neighbours: String,
    innocent: String,
}

/// What was seen, in seconds where nothing else is said.
pub(crate) struct Measured {
    pub(crate) peak_mebibytes: f64,
    pub(crate) longest_probe: f64,
    pub(crate) innocent_ready: f64,
    /// From the operator's first answer until every policy had an observed generation; `None` where that did not
    /// happen.
    pub(crate) all_looked_at: Option<f64>,
}

impl Stage {
    /// Installs definition and permissions, and makes namespaces with a token for GitLab in each.
    pub(crate) async fn set(cluster: &Cluster, word: &str) -> Result<Self, Failure> {
        let platform = Platform::install(cluster).await?;
        let gitlab = Simulator::start(Config { tls: true, ..Config::default() }).await?;
        let token = gitlab.edit(|registry| {
            registry.group(GROUP);
            registry.project("shop/innocent");
            registry.access_token(GROUP, Role::Maintainer)
        });
        let (neighbours, innocent) = (format!("neighbours-{word}"), format!("innocent-{word}"));
        let stage = Self { platform, gitlab, neighbours, innocent };
        for namespace in [&stage.neighbours, &stage.innocent] {
            stage.platform.namespace(namespace).await?;
            stage.platform.secret(namespace, "token", "token", &token).await?;
            let authority = stage.gitlab.ca_pem().unwrap_or_default();
            stage.platform.secret(namespace, "ca", "ca.crt", authority).await?;
        }
        Ok(stage)
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

    /// Starts an operator, makes the innocent policy, and looks until both it is ready and all others were looked at,
    /// or for so long.
    pub(crate) async fn measure(&self, patience: Duration) -> Result<Measured, Failure> {
        let mut probed = Probed::start(&self.platform.kubeconfig, &[&self.neighbours, &self.innocent])?;
        let begun = Instant::now();
        while probed.probe().await.is_err() {
            probed.operator.check()?;
            if begun.elapsed() > START {
                return Err("the operator does not answer".into());
            }
            tokio::time::sleep(LOOK).await;
        }
        let begun = Instant::now();
        let innocent = self.policy("innocent", &json!({}), &json!({"target": {"projects": ["shop/innocent"]}}))?;
        let api = self.policies(&self.innocent);
        api.create(&PostParams::default(), &innocent).await?;
        let (mut longest, mut ready, mut all, mut looks) = (Duration::ZERO, None, None, 0_u32);
        while (ready.is_none() || all.is_none()) && begun.elapsed() < patience {
            probed.operator.check()?;
            longest = longest.max(probed.probe().await?);
            if ready.is_none() && is_ready(&api).await? {
                ready = Some(begun.elapsed().as_secs_f64());
            }
            if looks.is_multiple_of(LOOKS_PER_COUNT) && all.is_none() && self.left().await? == 0 {
                all = Some(begun.elapsed().as_secs_f64());
            }
            looks += 1;
            tokio::time::sleep(LOOK).await;
        }
        Ok(Measured {
            peak_mebibytes: probed.operator.peak_mebibytes()?,
            longest_probe: longest.as_secs_f64(),
            innocent_ready: ready.ok_or("the innocent policy was never looked at to the end")?,
            all_looked_at: all,
        })
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

/// Whether the innocent policy is Ready.
async fn is_ready(api: &Api<RegistryCleanupPolicy>) -> Result<bool, Failure> {
    let status = api.get_status("innocent").await?.status.unwrap_or_default();
    Ok(is_true(&status.conditions, "Ready"))
}
