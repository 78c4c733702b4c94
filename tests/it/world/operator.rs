//! An operator in a runtime of its own, so that it can be killed: dropping the runtime drops everything it does in the
//! middle.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, StreamExt};
use jiff::{SignedDuration, Timestamp};
use registry_cleanup_operator::clock::Clock;
use registry_cleanup_operator::cluster::events::Events;
use registry_cleanup_operator::cluster::pause::PauseMap;
use registry_cleanup_operator::cluster::workloads::{self, Options, Workloads};
use registry_cleanup_operator::controller::{self, Context, Nudges, PauseSwitch, Scope};
use registry_cleanup_operator::gitlab::{ClientSettings, GitLab, Lookup, RequestLimits, SystemLookup};
use registry_cleanup_operator::metrics::Format;
use registry_cleanup_operator::notifications::{self, Notifier};
use registry_cleanup_operator::policy::CompileOptions;
use registry_cleanup_operator::policy::label_selector::LabelSelector;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Between, World, client, service_account_kubeconfig};

/// A running operator.
pub(crate) struct Operator {
    runtime: Option<Runtime>,
    task: Option<tokio::task::JoinHandle<()>>,
    shutdown: CancellationToken,
    context: Arc<OnceLock<Arc<Context>>>,
    nudge: watch::Sender<()>,
}

/// The simulator's clock as the operator's: waiting makes time pass, keeping watch does not.
struct TestClock(gitlab_simulator::Clock);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let clock = self.0.clone();
        async move {
            clock.advance(SignedDuration::try_from(duration).unwrap());
            tokio::task::yield_now().await;
        }
        .boxed()
    }

    fn pass(&self, duration: Duration) -> BoxFuture<'static, ()> {
        passed(self.0.clone(), duration)
    }
}

/// The same clock for an operator whose waits last until a test lets them end.
pub(crate) struct HeldClock {
    clock: gitlab_simulator::Clock,
    /// How many have begun to wait.
    asleep: watch::Sender<usize>,
    released: watch::Sender<bool>,
}

impl HeldClock {
    pub(crate) fn of(world: &World) -> Arc<Self> {
        let (asleep, released) = (watch::Sender::new(0), watch::Sender::new(false));
        Arc::new(Self { clock: world.sim.clock(), asleep, released })
    }

    /// Resolves once something waits.
    pub(crate) async fn somebody_waits(&self) {
        let waits = async { self.asleep.subscribe().wait_for(|asleep| *asleep > 0).await.map(|_| ()) };
        tokio::time::timeout(super::PATIENCE, waits).await.expect("somebody waits").unwrap();
    }

    /// From now on waiting makes time pass, for those who wait already as well.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }
}

impl Clock for HeldClock {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (clock, asleep, mut released) = (self.clock.clone(), self.asleep.clone(), self.released.subscribe());
        // The pace of requests is no wait.
        let lasts = duration >= Duration::from_secs(1);
        async move {
            if lasts {
                asleep.send_modify(|asleep| *asleep += 1);
                let _ = released.wait_for(|released| *released).await;
            }
            clock.advance(SignedDuration::try_from(duration).unwrap());
            tokio::task::yield_now().await;
        }
        .boxed()
    }

    fn pass(&self, duration: Duration) -> BoxFuture<'static, ()> {
        passed(self.clock.clone(), duration)
    }
}

/// Resolves once a clock has been moved this far by whoever moves it.
fn passed(clock: gitlab_simulator::Clock, duration: Duration) -> BoxFuture<'static, ()> {
    async move {
        let at = clock.now().checked_add(duration).unwrap_or(Timestamp::MAX);
        clock.reached(at).await;
    }
    .boxed()
}

/// What an operator is given, where it is not the usual.
pub(crate) struct Setup {
    pub(crate) settings: CompileOptions,
    /// Who it is; without one, the account of the install manifest.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// What it looks at to know which images are in use, if anything.
    pub(crate) in_use: Option<Options>,
    /// What stands between it and the API server, if anything.
    pub(crate) between: Option<Between>,
    /// A namespace that it watches besides the world's.
    pub(crate) also_watches: Option<String>,
    /// What tells it the addresses of names.
    pub(crate) lookup: Arc<dyn Lookup>,
    /// Its clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// Uid of the Pod that it runs in: one that is started again with the same uid is the same Pod with a new process.
    pub(crate) pod_uid: String,
    /// Of how many runs it is kept what they removed.
    pub(crate) history: usize,
    /// Which policies it looks after.
    pub(crate) shard: LabelSelector,
    /// Namespace and name of the ConfigMap that pauses it, if one can.
    pub(crate) paused_by: Option<(String, String)>,
    /// Parts that one document of GraphQL has at most.
    pub(crate) graphql_batch: u16,
    /// Who is told outside of the cluster, if anybody.
    pub(crate) notifications: Option<notifications::Settings>,
    /// Requests that may be under way to GitLab at the same time.
    pub(crate) requests_in_flight: u16,
    /// Tags of a repository that are planned at the same time.
    pub(crate) passes_of: u64,
}

impl Setup {
    /// The usual.
    pub(crate) fn of(world: &World) -> Self {
        Self {
            settings: CompileOptions { allowed_hosts: vec!["127.0.0.1".to_owned()], ..CompileOptions::default() },
            kubeconfig: None,
            in_use: Some(Options {
                scope: workloads::Scope::Namespaces(vec![world.namespace.clone()]),
                ..Options::default()
            }),
            between: None,
            also_watches: None,
            lookup: Arc::new(SystemLookup),
            clock: Arc::new(TestClock(world.sim.clock())),
            pod_uid: "uid".to_owned(),
            history: 0,
            shard: LabelSelector::default(),
            paused_by: None,
            graphql_batch: 25,
            notifications: None,
            requests_in_flight: 4,
            passes_of: 60_000,
        }
    }
}

fn nudges(nudged: watch::Receiver<()>) -> Nudges {
    let next = |mut nudged: watch::Receiver<()>| async {
        nudged.changed().await.ok()?;
        Some(((), nudged))
    };
    stream::unfold(nudged, next).boxed()
}

fn paused_by_map(context: Context, map: Option<PauseMap>) -> Context {
    match map {
        Some(map) => context.paused_by(Arc::new(PauseSwitch::new(map))),
        None => context,
    }
}

fn notifier(settings: notifications::Settings, clock: &Arc<dyn Clock>, lookup: &Arc<dyn Lookup>) -> Notifier {
    Notifier::new(settings, "test", Arc::clone(clock), lookup).unwrap()
}

fn told_by(context: Context, notifier: Option<&Notifier>) -> Context {
    match notifier {
        Some(notifier) => context.notifying(notifier.clone()),
        None => context,
    }
}

async fn finish(notifier: Option<Notifier>) {
    if let Some(notifier) = notifier {
        notifier.finish().await;
    }
}

impl Operator {
    /// Starts an operator that watches the world's namespace with the permissions of the install manifest, and waits
    /// until it knows all policies.
    pub(crate) async fn start(world: &World) -> Self {
        Self::set_up(world, Setup::of(world)).await
    }

    /// The same with other things.
    pub(crate) async fn set_up(world: &World, setup: Setup) -> Self {
        let Setup {
            settings,
            kubeconfig,
            in_use,
            between,
            also_watches,
            lookup,
            clock,
            pod_uid,
            history,
            shard,
            paused_by,
            graphql_batch,
            notifications,
            requests_in_flight,
            passes_of,
        } = setup;
        let own = Box::pin(service_account_kubeconfig());
        let kubeconfig = if let Some(kubeconfig) = kubeconfig { kubeconfig } else { own.await };
        let scope = Scope::Namespaces([world.namespace.clone()].into_iter().chain(also_watches).collect());
        let shutdown = CancellationToken::new();
        let (nudge, nudged) = watch::channel(());
        let (on_ready, is_ready) = tokio::sync::oneshot::channel();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let stop = shutdown.clone();
        let shared = Arc::new(OnceLock::new());
        let share = Arc::clone(&shared);
        let task = runtime.spawn(async move {
            let kube = client(&kubeconfig).await;
            let kube = between.map_or(kube.clone(), |between| between.client(kube));
            // As fast as GitLab can be asked: the pace has tests of its own.
            let gitlab = ClientSettings {
                limits: RequestLimits { requests_per_second: 1000.0, graphql_batch, requests_in_flight },
                user_agent: "test".to_owned(),
                allowed_hosts: settings.allowed_hosts.clone().into(),
            };
            let notifier = notifications.map(|settings| notifier(settings, &clock, &lookup));
            let gitlab = GitLab::with_lookup(gitlab, Arc::clone(&clock), lookup);
            let events = Events::new(kube.clone(), Some("test".to_owned()));
            let workloads = in_use.map(|options| Workloads::watch(kube.clone(), options, &stop));
            let pause = paused_by.map(|(namespace, name)| PauseMap::new(kube.clone(), &namespace, name));
            let context = Context::new(kube, gitlab, clock, settings, events, workloads, stop);
            let context = context.known_as(controller::identity(Some("test"), Some(&pod_uid)));
            let context = told_by(context, notifier.as_ref()).with_passes_of(passes_of);
            let context = Arc::new(paused_by_map(context.with_history(history).with_shard(shard), pause));
            share.get_or_init(|| Arc::clone(&context));
            let wakes = || nudges(nudged.clone());
            controller::watch(context, scope, 8, wakes, move || {
                let _ = on_ready.send(());
            })
            .await
            .unwrap();
            finish(notifier).await;
        });
        tokio::time::timeout(super::PATIENCE, is_ready)
            .await
            .expect("the operator starts")
            .expect("the operator starts");
        Self { runtime: Some(runtime), task: Some(task), shutdown, context: shared, nudge }
    }

    /// Makes every policy be looked at, as a timer would once its time has come.
    pub(crate) fn nudge(&self) {
        self.nudge.send_replace(());
    }

    /// What `/metrics` tells.
    pub(crate) fn metrics(&self, format: Format) -> String {
        controller::scrape(self.context.get().expect("the operator has started"), format)
    }

    /// Waits until `/metrics` tells what is wanted.
    pub(crate) async fn until_metrics(&self, holds: impl Fn(&str) -> bool) -> String {
        let told = async {
            loop {
                let text = self.metrics(Format::Classic);
                if holds(&text) {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let last = || panic!("not told: {}", self.metrics(Format::Classic));
        tokio::time::timeout(super::PATIENCE, told).await.unwrap_or_else(|_| last())
    }

    /// Begins to stop, as SIGTERM does.
    pub(crate) fn terminate(&self) {
        self.shutdown.cancel();
    }

    /// Stops and waits until everything has ended in order.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        if let Some(task) = self.task.take() {
            tokio::time::timeout(super::PATIENCE, task).await.expect("the operator ends").unwrap();
        }
        self.kill().await;
    }

    /// Ends at once, in the middle of whatever it does.
    pub(crate) async fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(10))).await.unwrap();
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
