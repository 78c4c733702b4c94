//! Flags of `run`.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use clap::{ArgAction, Args, Parser};
use jiff::SignedDuration;

use crate::app::{self, InUseScope, InUseSettings, Shard};
use crate::controller::Scope;
use crate::telemetry::{self, LogFormat};

use super::arguments::{GitLabArguments, WorkloadArguments, duration, proxies, runtime};
use super::leader_election::LeaderElectionArguments;
use super::notifications::NotificationArguments;

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct RunArguments {
    /// Watch policies in this namespace only; may be given several times. Without it, all namespaces are watched.
    #[arg(long = "watch-namespace", value_name = "NAMESPACE")]
    watch_namespaces: Vec<String>,

    /// Look after the policies with such labels only, as kubectl get --selector has them; others are for other
    /// installations, each with a Lease of its own. The statuses of all are read, so that the hour holds between them.
    #[arg(long, value_name = "SELECTOR", default_value = "", value_parser = Shard::parse)]
    watch_label_selector: Shard,

    #[command(flatten)]
    gitlab: GitLabArguments,

    /// Whether to watch workloads, so that no image the cluster uses is removed. Without it, policies remove nothing
    /// unless they say protect.inUse: Disabled.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    in_use: bool,

    /// Where images in use are looked for if --watch-namespace is given: in the whole cluster, without the right to
    /// which nothing is removed, or in these namespaces, which says that nothing else pulls from the registries.
    #[arg(long, value_name = "SCOPE", value_enum, default_value_t)]
    in_use_scope: InUseScope,

    #[command(flatten)]
    workloads: WorkloadArguments,

    /// Name objects of other namespaces in conditions, events and statuses of a policy: other policies over the same
    /// repositories, workloads that use images. Without it they are counted, since whoever reads a policy may not be
    /// allowed to know them.
    #[arg(long)]
    name_other_namespaces: bool,

    /// Make a dry run of every run, whatever the mode of the policy: nothing is removed, and policies say why. For an
    /// emergency, or to see first what an operator would do.
    #[arg(long)]
    force_dry_run: bool,

    /// Name of the ConfigMap that pauses this operator, and all others that have the same: while it exists in the
    /// namespace of the Lease, nothing is removed. Without this flag, the name of the Lease and -pause.
    #[arg(long, value_name = "NAME")]
    pause_config_map: Option<String>,

    /// How often to check credentials and targets of policies that work, from 1m to 24h. What does not work is tried
    /// again sooner.
    #[arg(long, value_name = "DURATION", default_value = "6h", value_parser = preflight_interval)]
    preflight_interval: SignedDuration,

    /// How much later than its schedule says a policy may run at most, up to 1h. Each has a share of its own, always
    /// the same, so that policies with one schedule do not all run at once.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = schedule_jitter)]
    schedule_jitter: SignedDuration,

    /// How many runs hold lists of tags in memory at the same time; others wait for their turn. Some of the turns are
    /// for dry runs that somebody asked for, and one GitLab or namespace never takes all of them.
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=64))]
    concurrency: u16,

    /// Of how many runs of each policy it is kept what they removed, as ConfigMaps beside the policy, which the command
    /// history prints. 0 keeps nothing. More than that takes the rights to create, list and delete ConfigMaps.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=100))]
    history_limit: u16,

    #[command(flatten)]
    notifications: NotificationArguments,

    /// Where /livez, /readyz and /metrics are served. [::] is every address, of IPv4 as well, and of IPv4 alone where
    /// there is no IPv6.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080")]
    listen: SocketAddr,

    /// Whether to serve /metrics.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    metrics: bool,

    /// What is logged: error, warn, info, debug or trace, or a list of target=level. The audit trail is logged at any
    /// level; audit=off in the list turns it off.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,

    /// How log lines look.
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,

    #[command(flatten)]
    leader_election: LeaderElectionArguments,

    /// Name of this pod, which events are published under and which the Lease names.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pod_name: Option<String>,

    /// Uid of this pod. With it, an operator whose container was started again knows at once that the process before it
    /// has ended: it takes its Lease, and its runs are lost.
    #[arg(long, env = "POD_UID", value_name = "UID")]
    pod_uid: Option<String>,
}

fn preflight_interval(text: &str) -> Result<SignedDuration, String> {
    let allowed = SignedDuration::from_mins(1)..=SignedDuration::from_hours(24);
    duration(text).and_then(|asked| within(asked, &allowed, "give a duration from 1m to 24h"))
}

fn schedule_jitter(text: &str) -> Result<SignedDuration, String> {
    let allowed = SignedDuration::ZERO..=SignedDuration::from_hours(1);
    duration(text).and_then(|asked| within(asked, &allowed, "give a duration of up to 1h"))
}

fn within(
    asked: SignedDuration,
    allowed: &RangeInclusive<SignedDuration>,
    otherwise: &str,
) -> Result<SignedDuration, String> {
    allowed.contains(&asked).then_some(asked).ok_or_else(|| otherwise.to_owned())
}

pub(super) fn run(arguments: RunArguments) -> Result<(), String> {
    telemetry::init(&arguments.log_level, arguments.log_format).map_err(|error| error.to_string())?;
    let options = options(arguments)?;
    runtime()?.block_on(app::run(options)).map_err(|error| crate::causes::chain(&error))
}

/// The flags of an operator by themselves.
#[derive(Debug, Parser)]
struct Told {
    #[command(flatten)]
    arguments: RunArguments,
}

/// What an operator was told whose arguments these are, from `run` on; `None` where that is not understood.
pub(super) fn understand(arguments: &[String]) -> Option<app::OperatorOptions> {
    options(Told::try_parse_from(arguments).ok()?.arguments).ok()
}

fn options(arguments: RunArguments) -> Result<app::OperatorOptions, String> {
    let scope = if arguments.watch_namespaces.is_empty() {
        Scope::Cluster
    } else {
        Scope::Namespaces(arguments.watch_namespaces)
    };
    let limits = arguments.gitlab.limits();
    Ok(app::OperatorOptions {
        scope,
        shard: arguments.watch_label_selector,
        allowed_hosts: arguments.gitlab.allowed_gitlab_hosts,
        allow_insecure_http: arguments.gitlab.allow_insecure_http,
        name_other_namespaces: arguments.name_other_namespaces,
        force_dry_run: arguments.force_dry_run,
        check_interval: arguments.preflight_interval,
        schedule_jitter: arguments.schedule_jitter,
        concurrency: arguments.concurrency,
        limits,
        in_use: arguments.in_use.then(|| InUseSettings { scope: arguments.in_use_scope, ..arguments.workloads.into() }),
        history_limit: arguments.history_limit,
        notifications: arguments.notifications.into(),
        listen: arguments.listen,
        metrics: arguments.metrics,
        pod_name: arguments.pod_name,
        pod_uid: arguments.pod_uid,
        pause_config_map: arguments.pause_config_map,
        leader_election: arguments.leader_election.try_into()?,
        proxies: proxies(),
    })
}
