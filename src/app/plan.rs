//! `plan`: gets a policy from a file or from the cluster, asks GitLab, and prints what a run would remove and keep. It
//! removes nothing; see [`controller::Forecast`](crate::controller::Forecast).

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::StreamExt;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use crate::api::conditions::Condition;
use crate::api::{Mode, RegistryCleanupPolicy, manifest};
use crate::causes::chain;
use crate::clock::{Clock, SystemClock};
use crate::cluster::credentials::{self, Credentials};
use crate::cluster::policies;
use crate::cluster::workloads::CustomWorkloadError;
use crate::controller::{Cluster, Forecast, Question, Unavailable, connection, dropped_fields, neighbours_among};
use crate::gitlab::Connection;
use crate::plan_output::{Listing, PlanHeader, units};
use crate::policy::age::InvalidAge;
use crate::policy::{self, CompiledPolicy, Method, Problem, compile};
use crate::proxy::environment::ProxyEnvironment;

use super::cluster_config::{self, Unreachable};
use super::input_files::{self, Token, read, read_text, read_token, shown};
use super::plan_printer::{Conclusion, Output, PrintError, Printer, SavedAs};
use super::progress::Progress;
use super::{InUseSettings, RequestLimits};

/// How often the line about the progress is written.
const TICK: Duration = Duration::from_millis(200);

/// Everything the plan is told from outside.
#[derive(Debug)]
pub struct PlanOptions {
    /// Where the policy comes from.
    pub source: Source,
    /// Hosts that tokens may be sent to; empty = any that is not local.
    pub allowed_hosts: Vec<String>,
    /// Whether the policy may use http://.
    pub allow_insecure_http: bool,
    /// What one GitLab host is asked at most.
    pub limits: RequestLimits,
    /// The moment as of which to plan; `None` is now.
    pub as_of: Option<Timestamp>,
    /// Whether to read and to show every tag.
    pub everything: bool,
    /// What it is printed as.
    pub output: Output,
    /// Files that it is written into besides.
    pub saved: Vec<SavedAs>,
    /// Proxies on the way to the API server.
    pub proxies: ProxyEnvironment,
}

/// Where the policy comes from, and the credentials with it.
#[derive(Debug)]
pub enum Source {
    /// A file; no cluster is asked.
    File {
        /// Its path; `-` is standard input.
        path: PathBuf,
        /// The policy that is meant, if there are several.
        name: Option<String>,
        /// The token for GitLab.
        token: Token,
        /// Certificates of the authorities to trust instead of the usual ones.
        ca: Option<PathBuf>,
    },
    /// The cluster of the current context.
    Cluster {
        /// The namespace; `None` is that of the context.
        namespace: Option<String>,
        /// The policy.
        name: String,
        /// How images in use are looked for; `None` = not at all.
        in_use: Option<InUseSettings>,
        /// The namespaces in which the operator watches policies; empty = all.
        watched_namespaces: Vec<String>,
        /// Whether workloads of other namespaces are named.
        name_other_namespaces: bool,
    },
}

impl PlanOptions {
    /// Whether somebody wants to know what the cluster uses, if there is one.
    pub(super) fn looks_at_use(&self) -> bool {
        !matches!(self.source, Source::Cluster { in_use: None, .. })
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file does not give what it should.
    #[error(transparent)]
    Input(#[from] input_files::Error),
    /// There is no policy to be had from the file.
    #[error("{file}: {source}")]
    Document {
        /// The file.
        file: String,
        /// Why.
        source: manifest::Error,
    },
    /// The policy cannot be carried out as it is.
    #[error("{name}: {} ({})", .problem.message, .problem.reason)]
    Problem {
        /// The policy.
        name: String,
        /// Why.
        problem: Problem,
    },
    /// The moment lies ahead.
    #[error("--as-of {0} lies ahead: what is pushed until then is not known")]
    Ahead(Timestamp),
    /// The policy's method knows no other moment than that of the run, and so no past.
    #[error("--backtest needs a policy of method: Exact; what GitLab's bulk deletion would have done is not known")]
    NoPast,
    /// The period is none.
    #[error("--backtest {0:?} {1}")]
    NoPeriod(String, InvalidAge),
    /// The period is too long.
    #[error("--backtest plays a year at most: give 366d or less")]
    LongPast,
    /// The policy's method knows no other moment than that of the run.
    #[error("--as-of needs a policy of method: Exact; GitLab's bulk deletion counts ages from when it gets to it")]
    NoMoment,
    /// The API server cannot be asked.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The cluster does not give the policy.
    #[error(transparent)]
    Policy(#[from] policies::Error),
    /// The cluster does not give the policy's Secrets.
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
    /// A custom workload is not given as it should be.
    #[error("failed to understand a custom workload")]
    CustomWorkload(#[from] CustomWorkloadError),
    /// Nothing can be had from GitLab, or it is not known which images are in use.
    #[error(transparent)]
    GitLab(#[from] Unavailable),
    /// Signals cannot be heard.
    #[error("failed to listen to signals")]
    Signals(#[source] io::Error),
    /// The plan cannot be printed or written.
    #[error(transparent)]
    Print(#[from] PrintError),
}

impl Error {
    /// Whether it only means that nobody reads any further, such as `head`.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Print(error) if error.is_closed_pipe())
    }
}

/// A policy with the way to its GitLab.
struct Subject {
    name: String,
    generation: i64,
    policy: CompiledPolicy,
    connection: Connection,
    /// Where to look which images are in use.
    cluster: Option<Cluster>,
    /// Other policies that may look after the same repositories.
    neighbours: Vec<RegistryCleanupPolicy>,
    /// Fields that the policy may have lost.
    dropped_fields: Vec<String>,
    /// What the operator said of the policy at its last look.
    said: Vec<Condition>,
}

/// Plans, and prints the plan to `out`.
///
/// # Errors
/// When there is no plan. Repositories that fail are part of a plan; see [`Conclusion::Failure`].
pub async fn run(settings: PlanOptions, out: &mut dyn Write) -> Result<Conclusion, Error> {
    prepare()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut progress = Progress::new();
    let (mut about, question) = question(&settings, &*clock, &mut progress, None).await?;
    progress.show("looking for repositories");
    let gitlab = super::gitlab(settings.limits, &settings.allowed_hosts, Arc::clone(&clock));
    let forecast = Forecast::begin(&gitlab, Arc::clone(&clock), question).await?;
    about.overlap = forecast.overlap();
    about.unused_registries = forecast.unused_registries()?;
    let mut printer = Printer::new(settings.output, settings.saved, Listing::new(about), progress, out);
    printer.begin()?;
    for repository in forecast.unlisted() {
        printer.take(repository)?;
    }
    let mut plans = forecast.plans();
    let mut planned = 0;
    loop {
        let next = tokio::select! {
            biased;
            next = plans.next() => next,
            () = clock.sleep(TICK), if printer.progress.is_visible() => {
                printer.progress.show(&so_far(planned, &forecast));
                continue;
            }
        };
        let Some(plan) = next else { break };
        printer.take(plan?)?;
        planned += 1;
        printer.progress.show(&so_far(planned, &forecast));
    }
    printer.listing.about.pace = forecast.pace();
    forecast.assess(&mut printer.listing).await;
    Ok(printer.end()?)
}

/// What comes before anything is asked.
pub(super) fn prepare() -> Result<(), Error> {
    end_when_told()?;
    // Two libraries below use rustls; they are to agree on its provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Ok(())
}

/// What is asked, of one repository where it is named, and what is to be said above the answer.
pub(super) async fn question(
    settings: &PlanOptions,
    clock: &dyn Clock,
    progress: &mut Progress,
    only: Option<String>,
) -> Result<(PlanHeader, Question), Error> {
    let Subject { name, generation, policy, connection, cluster, neighbours, dropped_fields, said } =
        subject(settings, clock, progress).await?;
    let now = clock.now();
    let as_of = moment(settings.as_of, &policy, now)?;
    let about = PlanHeader {
        dropped_fields,
        exclude_window: policy.excluded(now).map(|open| open.sentence()),
        everything: settings.everything,
        in_use_unknown: policy.protection.in_use && cluster.is_none(),
        ..PlanHeader::new(name, generation, &policy, as_of.unwrap_or(now)).as_said(&said)
    };
    let everything = settings.everything;
    Ok((about, Question { policy, connection, as_of, cluster, neighbours, only, everything }))
}

/// Ends the program at once when it is told to, since nothing is left half done. Process 1 of a container would not end
/// otherwise.
fn end_when_told() -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        #[expect(clippy::exit, reason = "the signal asks for just that, whatever else is waiting")]
        std::process::exit(130);
    });
    Ok(())
}

fn so_far(planned: usize, forecast: &Forecast) -> String {
    let (planned, all) = (units::grouped(planned as u64), units::grouped(forecast.repositories() as u64));
    format!("{planned}/{all} repositories, {} tags", units::grouped(forecast.tags_read()))
}

/// The moment as of which to plan, if it is not that of the reading.
fn moment(asked: Option<Timestamp>, policy: &CompiledPolicy, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    match (asked, &policy.method, policy.mode) {
        (Some(at), ..) if at > now => Err(Error::Ahead(at)),
        (Some(_), Method::Bulk(_), _) => Err(Error::NoMoment),
        (Some(at), Method::Exact(_), _) => Ok(Some(at)),
        // As a run proposes it, so that the hash is the same: to the second, and with the digests of all tags that go.
        (None, _, Mode::RequireApproval) => Ok(Some(Timestamp::from_second(now.as_second()).unwrap_or(now))),
        (None, ..) => Ok(None),
    }
}

async fn subject(settings: &PlanOptions, clock: &dyn Clock, progress: &mut Progress) -> Result<Subject, Error> {
    let allowed = policy::CompileOptions {
        allowed_hosts: settings.allowed_hosts.clone(),
        allow_insecure_http: settings.allow_insecure_http,
        ..policy::CompileOptions::default()
    };
    let understood = |object: &RegistryCleanupPolicy| {
        let name = full_name(object);
        let policy = compile(&object.spec, &allowed, clock.now());
        policy.map_err(|problem| Error::Problem { name: name.clone(), problem }).map(|policy| (name, policy))
    };
    match &settings.source {
        Source::File { path, name, token, ca } => {
            let file = shown(path);
            let text = read_text(path)?;
            let object = manifest::read(&text, name.as_deref()).map_err(|source| Error::Document { file, source })?;
            let (name, policy) = understood(&object)?;
            let neighbours = neighbours_among(&object, &policy.base_url, manifest::others(&text, &object));
            let credentials = Credentials {
                token: read_token(token)?,
                ca_pem: ca.as_deref().map(read).transpose()?,
                identity_pem: None,
                proxy: None,
            };
            not_used(&object, ca.is_some(), progress);
            let connection = connection(&policy, credentials);
            // Counted by clusters only.
            let (generation, cluster, dropped_fields, said) = (0, None, Vec::new(), Vec::new());
            Ok(Subject { name, generation, policy, connection, cluster, neighbours, dropped_fields, said })
        }
        Source::Cluster { namespace, name, in_use, watched_namespaces, name_other_namespaces } => {
            let (client, config) = cluster_config::reach(&settings.proxies).await?;
            let namespace = namespace.clone().unwrap_or(config.default_namespace);
            let object = policies::read(&client, &namespace, name).await?;
            let (name, policy) = understood(&object)?;
            let credentials = credentials::read(&client, &namespace, &object.spec.gitlab, &policy.base_url).await?;
            let connection = connection(&policy, credentials);
            let (neighbours, dropped_fields) = around(&client, &object, &policy, progress).await;
            let options = in_use.as_ref().map(|in_use| in_use.options(watched_namespaces)).transpose()?;
            let name_others = *name_other_namespaces;
            let cluster = options.map(|options| Cluster { kube: client, namespace, options, name_others });
            let generation = object.metadata.generation.unwrap_or_default();
            let said = object.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
            Ok(Subject { name, generation, policy, connection, cluster, neighbours, dropped_fields, said })
        }
    }
}

/// What the cluster has around a policy: its neighbours among those that may be listed, and the fields that it may have
/// lost. What cannot be found out is said, and keeps nothing from being planned.
async fn around(
    client: &kube::Client,
    object: &RegistryCleanupPolicy,
    policy: &CompiledPolicy,
    progress: &mut Progress,
) -> (Vec<RegistryCleanupPolicy>, Vec<String>) {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let others = match policies::list(client, namespace).await {
        Ok(listed) => {
            if !listed.everywhere {
                progress.say(
                    "note: policies of other namespaces may not be listed; some may look after the same repositories",
                );
            }
            listed.policies
        }
        Err(error) => {
            progress.say(&format!("note: {}; some may look after the same repositories", chain(&error)));
            Vec::new()
        }
    };
    let dropped = dropped_fields(client).await.unwrap_or_else(|error| {
        progress.say(&format!("note: {}", chain(&error)));
        Vec::new()
    });
    (neighbours_among(object, &policy.base_url, others), dropped)
}

fn full_name(object: &RegistryCleanupPolicy) -> String {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    match &object.metadata.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

/// Says which Secrets of the policy would matter to a run and are not there without a cluster.
fn not_used(object: &RegistryCleanupPolicy, has_ca: bool, progress: &mut Progress) {
    let gitlab = &object.spec.gitlab;
    if gitlab.cert_secret_ref.is_some() && !has_ca {
        progress.say(
            "note: gitlab.certSecretRef is not read from a file's policy; give the certificate authority as --ca-file",
        );
    }
    if gitlab.proxy_secret_ref.is_some() {
        progress.say("note: gitlab.proxySecretRef is not read from a file's policy; GitLab is asked without the proxy");
    }
}
