//! The composition root: puts the parts together, starts them, and ends them in order. Here the operator, in `plan` and
//! `in_use` the commands that only look.

pub mod backtest;
mod cluster_config;
mod columns;
pub mod doctor;
mod election;
pub mod gitlab_reader;
pub mod history;
pub mod import;
pub mod in_use;
pub mod init;
pub mod input_files;
pub mod plan;
pub mod plan_printer;
pub mod plugin;
mod progress;
pub mod report;
mod shard;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::ValueEnum;
use futures::stream::{self, StreamExt};
use jiff::SignedDuration;
use kube::api::ListParams;
use kube::{Api, Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::RegistryCleanupPolicy;
use crate::clock::{Clock, SystemClock};
use crate::cluster::events::Events;
use crate::cluster::lease::{self, Leases};
use crate::cluster::pause::PauseMap;
use crate::cluster::workloads::{self, CustomWorkload, CustomWorkloadError, Options, Workloads, catalogue};
use crate::controller::{self, Context, Leadership, PauseSwitch, Scope, until_answered};
pub use crate::gitlab::RequestLimits;
use crate::gitlab::{ClientSettings, GitLab, Lookup, SystemLookup};
use crate::leadership::identity::Identity;
use crate::leadership::step::Loss;
use crate::leadership::timing::Timing;
use crate::notifications::{self, Notifier};
use crate::policy::CompileOptions;
use crate::proxy::environment::ProxyEnvironment;
use crate::server::{self, Probes};

use cluster_config::Unreachable;
use election::Election;
pub use shard::Shard;

/// What GitLab's logs show of us.
const USER_AGENT: &str = concat!("registry-cleanup-operator/", env!("CARGO_PKG_VERSION"));

/// Everything the operator is told from outside.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct OperatorOptions {
    /// Where policies are watched.
    pub scope: Scope,
    /// Which of them are looked after.
    pub shard: Shard,
    /// Hosts that tokens may be sent to; empty = any that is not local.
    pub allowed_hosts: Vec<String>,
    /// Whether policies may use http://.
    pub allow_insecure_http: bool,
    /// Whether objects of other namespaces may be named in what is said of a policy.
    pub name_other_namespaces: bool,
    /// Whether every run only tells, whatever the policy's mode.
    pub force_dry_run: bool,
    /// How often credentials and targets that work are checked.
    pub check_interval: SignedDuration,
    /// How much later than its schedule says a policy may run at most.
    pub schedule_jitter: SignedDuration,
    /// How many runs hold lists of tags at the same time.
    pub concurrency: u16,
    /// What one GitLab host is asked at most.
    pub limits: RequestLimits,
    /// What is looked at to know which images are in use; `None` = nothing.
    pub in_use: Option<InUseSettings>,
    /// Of how many runs of each policy it is kept what they removed; 0 = of none.
    pub history_limit: u16,
    /// Who is told outside of the cluster of what needs somebody; `None` = nobody.
    pub notifications: Option<notifications::Settings>,
    /// Where the probes and the metrics are served.
    pub listen: SocketAddr,
    /// Whether metrics are served.
    pub metrics: bool,
    /// Name of this pod, for events, the Lease and the records of runs.
    pub pod_name: Option<String>,
    /// Uid of this pod, for the Lease and the records of runs.
    pub pod_uid: Option<String>,
    /// The ConfigMap that pauses the installation; `None` is the name of the Lease and `-pause`.
    pub pause_config_map: Option<String>,
    /// Which operators take turns, and how.
    pub leader_election: LeaderElection,
    /// Proxies on the way to the API server, where the operator is no Pod.
    pub proxies: ProxyEnvironment,
}

/// The Lease that operators take turns by.
#[derive(Clone, Debug)]
pub struct LeaderElection {
    /// Its namespace; `None` is the one that the operator runs in, or that of its kubeconfig.
    pub namespace: Option<String>,
    /// Its name; `None` is one that other shards do not have.
    pub name: Option<String>,
    /// How long it lasts.
    pub timing: Timing,
}

/// How images in use are looked for.
#[derive(Clone, Debug)]
pub struct InUseSettings {
    /// Kinds besides those of Kubernetes itself, each as `group/version/Kind=path`, with more paths after commas.
    pub workloads: Vec<String>,
    /// Whether the kinds of the catalogue are looked at as well.
    pub catalogue: bool,
    /// How long finished Pods and Jobs count.
    pub finished_for: SignedDuration,
    /// Where they are looked for.
    pub scope: InUseScope,
}

/// Where images in use are looked for by an operator that watches policies in some namespaces only.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum InUseScope {
    /// In all namespaces of the cluster. While they may not all be seen, nothing is known.
    #[default]
    #[value(name = "Cluster")]
    Cluster,
    /// In the watched namespaces, on the administrator's word that nothing else uses the registries.
    #[value(name = "WatchedNamespaces")]
    WatchedNamespaces,
}

impl InUseSettings {
    /// The same as the watch of workloads takes it, for an operator that watches these namespaces, or all if there are
    /// none.
    fn options(&self, watched: &[String]) -> Result<Options, CustomWorkloadError> {
        let configured = self.named()?;
        let custom = if self.catalogue { catalogue::and_catalogue(configured)? } else { configured };
        let (scope, narrower) = match self.seen(watched) {
            [] => (workloads::Scope::All, watched.to_vec()),
            names => (workloads::Scope::Namespaces(names.to_vec()), Vec::new()),
        };
        Ok(Options { scope, narrower, custom, finished_for: self.finished_for })
    }

    /// The kinds that configuration names.
    fn named(&self) -> Result<Vec<CustomWorkload>, CustomWorkloadError> {
        self.workloads.iter().map(|text| CustomWorkload::parse(text)).collect()
    }

    /// The namespaces that are looked into, if it is not the whole cluster.
    fn seen<'n>(&self, watched: &'n [String]) -> &'n [String] {
        match self.scope {
            InUseScope::Cluster => &[],
            InUseScope::WatchedNamespaces => watched,
        }
    }
}

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server cannot be asked.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The CustomResourceDefinition is not installed.
    #[error(
        "RegistryCleanupPolicy is not known to this cluster: install the CustomResourceDefinition first (chart: \
         crds.install; or kubectl apply --server-side --filename crds/)"
    )]
    NoDefinition,
    /// Policies cannot be listed.
    #[error("failed to list policies")]
    List(#[source] kube::Error),
    /// A custom workload is not given as it should be.
    #[error("failed to understand a custom workload")]
    CustomWorkload(#[from] CustomWorkloadError),
    /// Notifications cannot be sent as they are configured.
    #[error("failed to set up notifications")]
    Notifications(#[from] notifications::Error),
    /// The port cannot be had.
    #[error("failed to listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// Signals cannot be heard.
    #[error("failed to listen to signals")]
    Signals(#[source] std::io::Error),
    /// It leads no more. Another process has to be started.
    #[error("this operator leads no more")]
    LeadershipLost(#[from] Loss),
    /// The task that renews the Lease broke.
    #[error("failed to renew the Lease")]
    Renewal(#[from] tokio::task::JoinError),
    /// The probes could not be served any longer.
    #[error("failed to serve the probes")]
    Serve(#[source] std::io::Error),
}

/// Runs the operator until it is told to stop by SIGTERM or SIGINT; a second signal stops it at once.
///
/// # Errors
/// When something it needs cannot be had at the start, or breaks for good.
pub async fn run(settings: OperatorOptions) -> Result<(), Error> {
    let (client, config) = cluster_config::reach(&settings.proxies).await?;
    let listener = server::bind(settings.listen).await.map_err(|error| Error::Listen(settings.listen, error))?;
    let shutdown = CancellationToken::new();
    let served = CancellationToken::new();
    listen_to_signals(shutdown.clone())?;
    let listen = listener.local_addr().map_err(|error| Error::Listen(settings.listen, error))?;
    let probes = Probes::default();
    let mut serving = tokio::spawn(server::serve(listener, probes.clone(), settings.metrics, served.clone()));
    tracing::info!(
        version = env!("REGISTRY_CLEANUP_VERSION"),
        scope = ?settings.scope,
        concurrency = settings.concurrency,
        force_dry_run = settings.force_dry_run,
        %listen,
        "the operator begins"
    );
    // One task for all of it: when the work is stuck, nothing beats any longer.
    let result = tokio::select! {
        result = work(client, config, settings, shutdown, probes.clone()) => result,
        () = probes.beat() => Ok(()),
        // The probes only end by themselves when they are broken: without them nobody could tell whether we are alive.
        ended = &mut serving => Err(Error::Serve(match ended {
            Ok(Ok(())) => std::io::Error::other("the server ended"),
            Ok(Err(error)) => error,
            Err(error) => std::io::Error::other(error),
        })),
    };
    served.cancel();
    tracing::info!("the operator ends");
    result
}

/// How long runs may take to end once the Lease is lost. Nothing is sent to GitLab meanwhile.
const END: Duration = Duration::from_secs(5);

/// Waits for the API server and for the Lease, and then watches policies until it is told to stop.
async fn work(
    client: Client,
    config: Config,
    settings: OperatorOptions,
    shutdown: CancellationToken,
    probes: Probes,
) -> Result<(), Error> {
    let leading = Arc::new(OnceLock::<Arc<Context>>::new());
    let known = Arc::clone(&leading);
    probes.measure(move |format| match known.get() {
        Some(context) => controller::scrape(context, format),
        None => controller::scrape_follower(format),
    });
    let notifier = notifier(&settings)?;
    if check_definition(&client, &settings.scope, &shutdown).await?.is_none() {
        return Ok(());
    }
    let me = controller::identity(settings.pod_name.as_deref(), settings.pod_uid.as_deref());
    let pause = Arc::new(PauseSwitch::new(pause_map(&client, &config, &settings)));
    let election = election(config, &settings, me.clone())?;
    let Some(held) = election.win(&shutdown, || probes.is_ready()).await else { return Ok(()) };
    let leadership = Arc::new(Leadership::new(held.term));
    let me = me.succeeding(held.predecessor.clone());
    let mut context = context(client, &settings, shutdown.clone(), me, Arc::clone(&leadership))?.paused_by(pause);
    if let Some(notifier) = &notifier {
        context = context.notifying(notifier.clone());
    }
    let context = Arc::new(context);
    let _ = leading.set(Arc::clone(&context));
    let done = CancellationToken::new();
    // A task of its own: the Lease is renewed also while the work reckons.
    let keeping = tokio::spawn(election.keep(held, leadership, done.clone()));
    let never = || stream::pending().boxed();
    let on_ready = move || probes.is_ready();
    let watching = Box::pin(controller::watch(context, settings.scope, settings.concurrency, never, on_ready));
    while_it_leads(watching, keeping, &shutdown, &done).await?;
    // After the Lease is given back: whoever leads next does not wait for a receiver. One that lost it just ends.
    if let Some(notifier) = notifier {
        notifier.finish().await;
    }
    Ok(())
}

/// Works while this process holds the Lease, which it gives back once everything has ended.
async fn while_it_leads(
    mut work: impl Future<Output = Result<(), kube::Error>> + Unpin,
    mut keeping: JoinHandle<Result<(), Loss>>,
    shutdown: &CancellationToken,
    done: &CancellationToken,
) -> Result<(), Error> {
    tokio::select! {
        result = &mut work => {
            done.cancel();
            let kept = keeping.await?;
            result.map_err(Error::List)?;
            Ok(kept?)
        }
        lost = &mut keeping => {
            tracing::error!("this operator leads no more: it sends nothing to GitLab, and exits");
            shutdown.cancel();
            let _ = tokio::time::timeout(END, work).await;
            Ok(lost??)
        }
    }
}

/// The namespace of the Lease, and of what pauses the installation.
fn own_namespace(config: &Config, settings: &LeaderElection) -> String {
    settings.namespace.clone().unwrap_or_else(|| config.default_namespace.clone())
}

/// The ConfigMap that pauses the installation.
fn pause_map(client: &Client, config: &Config, settings: &OperatorOptions) -> PauseMap {
    let name = settings.pause_config_map.clone().unwrap_or_else(|| format!("{}-pause", lease_name(settings)));
    PauseMap::new(client.clone(), &own_namespace(config, &settings.leader_election), name)
}

fn lease_name(settings: &OperatorOptions) -> String {
    settings.leader_election.name.clone().unwrap_or_else(|| settings.shard.lease_name())
}

fn election(config: Config, settings: &OperatorOptions, me: Identity) -> Result<Election, Error> {
    let timing = settings.leader_election.timing;
    let namespace = own_namespace(&config, &settings.leader_election);
    let client =
        Client::try_from(lease::without_retries(config, timing.call_timeout())).map_err(Unreachable::Client)?;
    let leases = Leases::new(client, &namespace, lease_name(settings), timing.call_timeout());
    Ok(Election { leases, me, timing, clock: Arc::new(SystemClock) })
}

fn context(
    client: Client,
    settings: &OperatorOptions,
    shutdown: CancellationToken,
    me: Identity,
    leadership: Arc<Leadership>,
) -> Result<Context, Error> {
    let clock = Arc::new(SystemClock);
    let gitlab = gitlab(settings.limits, &settings.allowed_hosts, clock.clone());
    let watched = match &settings.scope {
        Scope::Cluster => &[],
        Scope::Namespaces(names) => names.as_slice(),
    };
    let policy = CompileOptions {
        allowed_hosts: settings.allowed_hosts.clone(),
        allow_insecure_http: settings.allow_insecure_http,
        seen_namespaces: settings.in_use.as_ref().map_or(&[][..], |in_use| in_use.seen(watched)).to_vec(),
        name_other_namespaces: settings.name_other_namespaces,
        force_dry_run: settings.force_dry_run,
        check_interval: Some(settings.check_interval),
        schedule_jitter: settings.schedule_jitter,
    };
    let workloads = match &settings.in_use {
        None => None,
        Some(in_use) => {
            let options = in_use.options(watched)?;
            Some(Workloads::watch(client.clone(), options, &shutdown))
        }
    };
    let events = Events::new(client.clone(), settings.pod_name.clone());
    let context = Context::new(client, gitlab, clock, policy, events, workloads, shutdown);
    let context = context.known_as(me).led_by(leadership);
    Ok(context.with_history(settings.history_limit.into()).with_shard(settings.shard.selector().clone()))
}

/// What tells somebody outside of the cluster, if anybody is to be told.
fn notifier(settings: &OperatorOptions) -> Result<Option<Notifier>, Error> {
    let lookup: Arc<dyn Lookup> = Arc::new(SystemLookup);
    let notifier = |of: &notifications::Settings| Notifier::new(of.clone(), USER_AGENT, Arc::new(SystemClock), &lookup);
    Ok(settings.notifications.as_ref().map(notifier).transpose()?)
}

fn gitlab(limits: RequestLimits, allowed_hosts: &[String], clock: Arc<dyn Clock>) -> GitLab {
    let (user_agent, allowed_hosts) = (USER_AGENT.to_owned(), allowed_hosts.into());
    GitLab::new(ClientSettings { limits, user_agent, allowed_hosts }, clock)
}

/// Says plainly what is missing, instead of a watch that fails for ever. `None`, if the operator was told to stop
/// before.
async fn check_definition(client: &Client, scope: &Scope, shutdown: &CancellationToken) -> Result<Option<()>, Error> {
    let api: Api<RegistryCleanupPolicy> = match scope {
        Scope::Cluster => Api::all(client.clone()),
        Scope::Namespaces(names) => match names.first() {
            Some(name) => Api::namespaced(client.clone(), name),
            None => return Ok(Some(())),
        },
    };
    let one = ListParams::default().limit(1);
    match until_answered(&SystemClock, shutdown, || api.list_metadata(&one)).await {
        Ok(answered) => Ok(answered.map(|_| ())),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(Error::NoDefinition),
        Err(error) => Err(Error::List(error)),
    }
}

/// The first signal begins to stop: runs end between two requests. The second does not wait for them.
fn listen_to_signals(shutdown: CancellationToken) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!("told to stop: runs end after their current request");
                shutdown.cancel();
            }
        }
        tracing::warn!("told to stop again: ending at once");
        #[expect(clippy::exit, reason = "the second signal asks for just that")]
        std::process::exit(130);
    });
    Ok(())
}
