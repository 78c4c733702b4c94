//! Flags that several commands have, and the runtime that they run in.

use std::path::PathBuf;

use clap::Args;
use jiff::SignedDuration;
use secrecy::SecretString;
use tokio::runtime::Runtime;

use crate::app::input_files::Token;
use crate::app::{InUseScope, InUseSettings, RequestLimits};
use crate::proxy::environment::ProxyEnvironment;

/// The environment variable with the token.
const TOKEN_VARIABLE: &str = "GITLAB_TOKEN";

/// What GitLab may be asked, the same for all that ask it.
#[derive(Args, Debug)]
pub(super) struct GitLabArguments {
    /// Hosts that tokens may be sent to: names, addresses, or *. and a domain, each with a port if only that one is
    /// meant. Without it, every host but localhost and loopback, link-local, unspecified and cloud metadata addresses,
    /// and names that resolve to those; private networks are allowed.
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(super) allowed_gitlab_hosts: Vec<String>,

    /// Allow policies to use http://, which they must ask for with gitlab.insecure as well.
    #[arg(long)]
    pub(super) allow_insecure_http: bool,

    /// Ceiling of requests per second to one GitLab host, from all policies together.
    #[arg(long, value_name = "NUMBER", default_value_t = 10.0, value_parser = requests_per_second)]
    max_requests_per_second_per_host: f64,

    /// How many requests to one GitLab host are under way at the same time, from all policies together, whatever they
    /// hold.
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    max_requests_in_flight_per_host: u16,

    /// How many pages of tags, or removals of 20 tags, one GraphQL request to GitLab has at most. It begins with a few
    /// and follows the time of the answers. 1 puts each into a request of its own.
    #[arg(long, value_name = "NUMBER", default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..=25))]
    graphql_batch: u16,
}

impl GitLabArguments {
    /// What one host is asked at most.
    pub(super) const fn limits(&self) -> RequestLimits {
        RequestLimits {
            requests_per_second: self.max_requests_per_second_per_host,
            graphql_batch: self.graphql_batch,
            requests_in_flight: self.max_requests_in_flight_per_host,
        }
    }
}

/// What is looked at to know which images are in use, the same for all that look.
#[derive(Args, Debug)]
pub(super) struct WorkloadArguments {
    /// A kind of workload besides those of Kubernetes itself, with the path of its pod template or the fields of an
    /// image, for example argoproj.io/v1alpha1/Rollout=spec.template? or tekton.dev/v1/Task=spec.steps[*]{image}? (? =
    /// may be missing; several paths are separated by commas). May be given several times.
    #[arg(long = "in-use-workload", value_name = "WORKLOAD")]
    pub(super) workloads: Vec<String>,

    /// Also look at the kinds of the catalogue in docs/in-use.md that the cluster has: Argo, Flux, Knative, Tekton and
    /// others. Those that --in-use-workload names are read as it says.
    #[arg(long)]
    pub(super) in_use_catalogue: bool,

    /// How long images of finished Pods and Jobs count as in use.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub(super) in_use_finished_for: SignedDuration,
}

impl From<WorkloadArguments> for InUseSettings {
    fn from(arguments: WorkloadArguments) -> Self {
        let scope = InUseScope::default();
        Self {
            workloads: arguments.workloads,
            catalogue: arguments.in_use_catalogue,
            finished_for: arguments.in_use_finished_for,
            scope,
        }
    }
}

pub(super) fn duration(text: &str) -> Result<SignedDuration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    SignedDuration::try_from(duration).map_err(|error| error.to_string())
}

fn requests_per_second(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.01..=1000.0).contains(&number) => Ok(number),
        _ => Err("give a number from 0.01 to 1000".to_owned()),
    }
}

/// The proxies that the environment names.
#[expect(clippy::disallowed_methods, reason = "names that kubectl reads as well, and no flags")]
pub(super) fn proxies() -> ProxyEnvironment {
    ProxyEnvironment::new(|name| std::env::var(name).ok())
}

/// The token for GitLab: of this file, or of the environment.
#[expect(clippy::disallowed_methods, reason = "a token in a flag would stand in the list of processes")]
pub(super) fn token(file: Option<PathBuf>) -> Result<Token, String> {
    match (file, std::env::var(TOKEN_VARIABLE)) {
        (Some(file), _) => Ok(Token::File(file)),
        (None, Ok(token)) if !token.trim().is_empty() => Ok(Token::Given(SecretString::from(token.trim()))),
        (None, _) => Err(format!("there is no token: set {TOKEN_VARIABLE}, or name a file with --token-file")),
    }
}

pub(super) fn runtime() -> Result<Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("failed to start the runtime: {error}"))
}
