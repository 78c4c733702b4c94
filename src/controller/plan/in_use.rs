//! What is known of images in use while a run goes on: what this cluster's workloads name, and what other clusters
//! list.
//!
//! Asked before a plan is made, and again right before anything of it is carried out. Whatever is not known for certain
//! ends the run.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;

use crate::api::limits::{MAX_HOST, MAX_UNUSED_REGISTRIES};
use crate::clock::Clock;
use crate::cluster::workloads::{Gap, Options, Workloads};
use crate::gitlab::Repository;
use crate::model::UsedImage;
use crate::policy::CompiledPolicy;
use crate::policy::in_use::{Alias, Held, InUse, Knowledge, RepositoryUse};

use super::failure::Unknown;
use super::in_use_lists::OtherClusters;
use crate::controller::context::Context;

/// How long a run waits for the first complete list of workloads after the operator started.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// The same where somebody only looks.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most gaps that a message names.
const MAX_NAMED: usize = 3;

/// A cluster that is looked at once.
pub struct Cluster {
    /// The way to its API server.
    pub kube: Client,
    /// The policy's namespace.
    pub namespace: String,
    /// Which workloads count.
    pub options: Options,
    /// Whether objects of other namespaces may be named.
    pub name_others: bool,
}

/// The images in use, for one run.
pub(crate) struct Usage {
    workloads: Workloads,
    /// Whether the workloads are watched. Otherwise what was read at the beginning holds to the end.
    watched: bool,
    others: OtherClusters,
    /// The namespace of whoever reads what is told; `None`, if objects of others may be named.
    reader: Option<String>,
    /// The registries in question, by host.
    hosts: BTreeSet<String>,
    aliases: Vec<Alias>,
    clock: Arc<dyn Clock>,
    sorted: Mutex<Option<Sorted>>,
}

/// What is in use, by repository, with the versions that this was made of.
type Sorted = ((u64, u64), Arc<InUse>);

impl Usage {
    /// What is known for a run of a policy, or `None` where the policy does not want to know.
    ///
    /// # Errors
    /// When something is not known.
    pub(crate) async fn open(
        context: &Context,
        namespace: &str,
        policy: &CompiledPolicy,
        repositories: &[Repository],
    ) -> Result<Option<Self>, Unknown> {
        let Some(usage) = Self::begin(context, namespace, policy, repositories, MAX_WAIT).await? else {
            return Ok(None);
        };
        usage.confirmed().await?;
        let ignored = usage.all()?.ignored();
        if ignored > 0 {
            tracing::info!(
                namespace,
                count = ignored,
                "texts that cannot be read, and can mean no image of the registry, are ignored"
            );
        }
        Ok(Some(usage))
    }

    /// The same as far as it is known without asking the API server, after no more than so much patience with a first
    /// list of workloads.
    async fn begin(
        context: &Context,
        namespace: &str,
        policy: &CompiledPolicy,
        repositories: &[Repository],
        patience: Duration,
    ) -> Result<Option<Self>, Unknown> {
        if !policy.protection.in_use {
            return Ok(None);
        }
        let Some(workloads) = &context.workloads else {
            let text = "the operator runs with --in-use=false: set inUse.enabled in the chart, or protect.inUse: \
                        Disabled in the policy";
            return Err(Unknown::lasting(text.to_owned()));
        };
        let reader = context.reader(namespace).hidden_from().map(str::to_owned);
        let told = |gaps: &[Gap]| told(gaps, reader.as_deref());
        let workloads = match workloads.complete_within(patience).await {
            Ok(()) => workloads.clone(),
            Err(gaps) => {
                let narrowed = stands_in(policy, &gaps).then(|| workloads.narrowed()).flatten();
                let narrowed = narrowed.ok_or_else(|| told(&gaps))?;
                narrowed.complete_within(patience).await.map_err(|gaps| told(&gaps))?;
                narrowed
            }
        };
        let clock = Arc::clone(&context.clock);
        let usage = Self::of(workloads, &context.kube, namespace, policy, repositories, clock).await?;
        Ok(Some(Self { watched: true, reader, ..usage }))
    }

    /// What is known of images in use while no run goes on. The repositories are only asked for where it matters which
    /// they are; where they cannot be had, nothing is said of them.
    pub(crate) async fn knowledge<'r, F>(
        context: &Context,
        namespace: &str,
        policy: &CompiledPolicy,
        repositories: impl FnOnce() -> F,
    ) -> Knowledge
    where
        F: Future<Output = Option<&'r [Repository]>>,
    {
        let known = match Self::begin(context, namespace, policy, &[], PATIENCE).await {
            Ok(None) => return Knowledge::NotWanted,
            Ok(Some(usage)) => usage.all().map(|_| usage),
            Err(unknown) => Err(unknown),
        };
        let usage = match known {
            Ok(usage) => usage,
            Err(unknown) => return Knowledge::Unknown(unknown.to_string()),
        };
        if !usage.images().any(|image| image.is_unreadable()) {
            return usage.whole();
        }
        let Some(repositories) = repositories().await else { return usage.whole() };
        match Self::begin(context, namespace, policy, repositories, PATIENCE).await {
            Ok(Some(usage)) => usage.held(repositories),
            Ok(None) => Knowledge::NotWanted,
            Err(unknown) => Knowledge::Unknown(unknown.to_string()),
        }
    }

    fn whole(&self) -> Knowledge {
        self.others.expiring().map_or(Knowledge::Whole, Knowledge::Expiring)
    }

    /// What is kept whole of these repositories because of texts that cannot be read.
    fn held(&self, repositories: &[Repository]) -> Knowledge {
        let in_use = match self.all() {
            Ok(in_use) => in_use,
            Err(unknown) => return Knowledge::Unknown(unknown.to_string()),
        };
        let (mut held, mut text) = (Vec::new(), None);
        for repository in repositories {
            if let Some(found) = in_use.repository(&repository.location, &repository.path).unreadable() {
                held.push(repository.path.clone());
                text.get_or_insert_with(|| found.clone());
            }
        }
        held.sort_unstable();
        let of = repositories.len();
        text.map_or_else(|| self.whole(), |text| Knowledge::But(Held { repositories: held, of, text }))
    }

    /// What a cluster uses now, for somebody who only looks.
    ///
    /// # Errors
    /// When something is not known.
    pub(crate) async fn read_once(
        cluster: &Cluster,
        policy: &CompiledPolicy,
        repositories: &[Repository],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Unknown> {
        let Cluster { kube, namespace, options, name_others } = cluster;
        let reader = Some(namespace.clone()).filter(|_| !name_others);
        let told = |gaps: &[Gap]| told(gaps, reader.as_deref());
        let read = |options| Workloads::read_once(kube.clone(), options);
        let workloads = match read(options.clone()).await {
            Ok(workloads) => workloads,
            Err(gaps) => {
                let narrowed = options.narrowed().filter(|_| stands_in(policy, &gaps)).ok_or_else(|| told(&gaps))?;
                read(narrowed).await.map_err(|gaps| told(&gaps))?
            }
        };
        let usage = Self { reader, ..Self::of(workloads, kube, namespace, policy, repositories, clock).await? };
        usage.all()?;
        Ok(usage)
    }

    async fn of(
        workloads: Workloads,
        kube: &Client,
        namespace: &str,
        policy: &CompiledPolicy,
        repositories: &[Repository],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Unknown> {
        let hosts: BTreeSet<String> =
            repositories.iter().map(|repository| host(repository).map(str::to_owned)).collect::<Result<_, _>>()?;
        let lists = &policy.protection.lists;
        let others = OtherClusters::read(kube, namespace, lists, hosts.clone(), Arc::clone(&clock)).await?;
        let aliases = policy.protection.aliases.clone();
        Ok(Self { workloads, watched: false, others, reader: None, hosts, aliases, clock, sorted: Mutex::default() })
    }

    /// What is in use of a repository as far as it is known just now.
    ///
    /// # Errors
    /// When something is not known.
    pub(crate) fn now(&self, repository: &Repository) -> Result<RepositoryUse, Unknown> {
        Ok(self.all()?.repository(&repository.location, &repository.path))
    }

    /// The same, after making sure that no older change in the cluster or in a list is missing.
    ///
    /// # Errors
    /// When something is not known.
    pub(crate) async fn confirmed(&self) -> Result<(), Unknown> {
        self.workloads.confirm().await.map_err(|gaps| told(&gaps, self.reader.as_deref()))?;
        self.others.read_again().await?;
        self.all().map(|_| ())
    }

    /// Resolves once nothing that is watched is missing any more, if something is now.
    pub(crate) async fn recovered(&self) {
        self.workloads.recovered().await;
    }

    /// The registries in question of which the cluster uses no image, as far as names tell.
    ///
    /// # Errors
    /// When something is not known.
    pub(crate) fn unused_registries(&self) -> Result<Vec<String>, Unknown> {
        let all = self.all()?;
        let unused = all.unused_hosts().filter(|host| host.len() <= MAX_HOST);
        Ok(unused.take(MAX_UNUSED_REGISTRIES).map(str::to_owned).collect())
    }

    fn own_images(&self) -> Vec<UsedImage> {
        self.workloads.images_for(self.reader.as_deref(), self.clock.now())
    }

    /// All images that are known, of this cluster and of others.
    fn images(&self) -> impl Iterator<Item = UsedImage> + use<> {
        let listed = self.others.images().1;
        let listed: Vec<UsedImage> = listed.here.iter().chain(listed.elsewhere.iter()).cloned().collect();
        self.own_images().into_iter().chain(listed)
    }

    fn all(&self) -> Result<Arc<InUse>, Unknown> {
        let gaps = if self.watched { self.workloads.gaps() } else { Vec::new() };
        if !gaps.is_empty() {
            return Err(told(&gaps, self.reader.as_deref()));
        }
        let (reads, listed) = self.others.images();
        let version = (self.workloads.version(), reads);
        let mut sorted = self.sorted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, in_use)) = &*sorted
            && *at == version
        {
            return Ok(Arc::clone(in_use));
        }
        let own = self.own_images().into_iter().chain(listed.here.iter().cloned());
        let hosts = self.hosts.iter().map(String::as_str);
        let in_use = Arc::new(InUse::new(own, listed.elsewhere.iter().cloned(), hosts, &self.aliases));
        *sorted = Some((version, Arc::clone(&in_use)));
        Ok(in_use)
    }
}

/// The registry of a repository. Without it no image could be told to belong there.
fn host(repository: &Repository) -> Result<&str, Unknown> {
    match repository.location.split_once('/') {
        Some((host, path)) if !host.is_empty() && !path.is_empty() => Ok(host),
        _ => Err(Unknown::lasting(format!("GitLab does not tell the registry of {}", repository.path))),
    }
}

/// Whether a list of the whole cluster stands in for what may not be seen of it.
fn stands_in(policy: &CompiledPolicy, gaps: &[Gap]) -> bool {
    gaps.iter().any(|gap| gap.forbidden) && policy.protection.lists.iter().any(|list| list.this_cluster)
}

fn told(gaps: &[Gap], reader: Option<&str>) -> Unknown {
    let named: Vec<String> = gaps.iter().take(MAX_NAMED).map(|gap| gap.told_in(reader)).collect();
    let more = gaps.len().saturating_sub(MAX_NAMED);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let why = format!("{}{more}", named.join("; "));
    if gaps.iter().all(|gap| gap.passing) { Unknown::passing(why) } else { Unknown::lasting(why) }
}
