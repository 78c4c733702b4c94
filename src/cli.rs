//! The command line. The only place that reads flags and environment.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{ArgAction, Args, Parser, Subcommand};
use jiff::SignedDuration;

use crate::api::crd;
use crate::app;
use crate::controller::Scope;
use crate::telemetry::{self, LogFormat};

/// Keeps GitLab container registries clean from inside Kubernetes.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch policies and carry them out, until told to stop.
    Run(RunArguments),
    /// Print the CustomResourceDefinition.
    Crd,
}

#[derive(Args, Debug)]
struct RunArguments {
    /// Watch this namespace only; may be given several times. Without it, all namespaces are watched.
    #[arg(long = "watch-namespace", value_name = "NAMESPACE")]
    watch_namespaces: Vec<String>,

    /// Hosts that tokens may be sent to: names, addresses, or *. and a domain, each with a port if only that one is meant.
    /// Without it, every host that is not local.
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    allowed_gitlab_hosts: Vec<String>,

    /// Allow policies to use http://, which they must ask for with gitlab.insecure as well.
    #[arg(long)]
    allow_insecure_http: bool,

    /// How many policies are worked on at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,

    /// Ceiling of requests per second to one GitLab host, from all policies together.
    #[arg(long, value_name = "NUMBER", default_value_t = 10.0, value_parser = requests_per_second)]
    max_requests_per_second_per_host: f64,

    /// Whether to watch workloads, so that no image the cluster uses is removed. Without it, policies remove nothing unless they
    /// say protect.inUse: Disabled.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    in_use: bool,

    /// A kind of workload besides those of Kubernetes itself, with the path of its pod template, for example
    /// argoproj.io/v1alpha1/Rollout=spec.template; several paths are separated by commas. May be given several times.
    #[arg(long = "in-use-workload", value_name = "WORKLOAD")]
    in_use_workloads: Vec<String>,

    /// How long images of finished Pods and Jobs count as in use.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    in_use_finished_for: SignedDuration,

    /// Where /livez and /readyz are served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,

    /// What is logged: error, warn, info, debug or trace, or a list of target=level.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,

    /// How log lines look.
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,

    /// Name of this pod, which events are published under.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pod_name: Option<String>,
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    SignedDuration::try_from(duration).map_err(|error| error.to_string())
}

fn requests_per_second(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.01..=1000.0).contains(&number) => Ok(number),
        _ => Err("give a number from 0.01 to 1000".to_owned()),
    }
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(arguments) => run(arguments),
        Command::Crd => print_definition(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: RunArguments) -> Result<(), String> {
    telemetry::init(&arguments.log_level, arguments.log_format).map_err(|error| error.to_string())?;
    let scope = if arguments.watch_namespaces.is_empty() {
        Scope::Cluster
    } else {
        Scope::Namespaces(arguments.watch_namespaces)
    };
    let settings = app::Settings {
        scope,
        allowed_hosts: arguments.allowed_gitlab_hosts,
        allow_insecure_http: arguments.allow_insecure_http,
        concurrency: arguments.concurrency,
        requests_per_second: arguments.max_requests_per_second_per_host,
        in_use: arguments.in_use.then_some(app::InUseSettings {
            workloads: arguments.in_use_workloads,
            finished_for: arguments.in_use_finished_for,
        }),
        listen: arguments.listen,
        pod_name: arguments.pod_name,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("failed to start the runtime: {error}"))?;
    runtime.block_on(app::run(settings)).map_err(|error| crate::controller::chain(&error))
}

fn print_definition() -> Result<(), String> {
    let yaml = crd::yaml().map_err(|error| error.to_string())?;
    std::io::stdout().write_all(yaml.as_bytes()).map_err(|error| format!("failed to write: {error}"))
}
