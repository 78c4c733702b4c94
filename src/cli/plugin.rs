//! The command line under the name `kubectl-rcp`, by which kubectl finds it as `kubectl rcp`: what people ask of
//! policies.

use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::app::plan::{PlanOptions, Source};
use crate::app::plan_printer::Output;
use crate::app::plugin::ask::{self, Outcome, Request, Wish};
use crate::app::plugin::status::{self, Which};
use crate::app::plugin::why::{self, TagName};
use crate::app::plugin::{Error, Whereabouts};
use crate::app::{InUseScope, InUseSettings};

use super::arguments::{GitLabArguments, WorkloadArguments, proxies, runtime};
use super::output::print;
use super::{completion, doctor, history, plan, report};

/// Looks at policies that clean container registries, and asks for runs, from a terminal.
#[derive(Debug, Parser)]
#[command(name = "kubectl-rcp", bin_name = "kubectl rcp", version = env!("REGISTRY_CLEANUP_VERSION"), about)]
pub(super) struct Plugin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show policies and what they wait for; of one that is named, everything that is not as usual.
    Status(StatusArguments),
    /// Print what a run of a policy would remove and keep, and why. Removes nothing.
    Plan(Box<plan::PlanArguments>),
    /// Ask for a run in the policy's own mode, and wait for its end.
    Run(AskArguments),
    /// Ask for a run that removes nothing, whatever the policy's mode, and wait for its end.
    DryRun(AskArguments),
    /// Approve of the plan that waits, and wait until it is carried out.
    Approve(ApproveArguments),
    /// Suspend a policy, and wait until a run that is under way has stopped.
    Suspend(AskArguments),
    /// Let a suspended policy run again.
    Resume(AskArguments),
    /// Print what runs of a policy removed, as far as the operator keeps it.
    History(history::HistoryArguments),
    /// Say why one tag stays or goes.
    Why(Box<WhyArguments>),
    /// Check an installation: definition, rights, tokens, GitLab, clocks, images in use. Changes nothing.
    Doctor(Box<doctor::DoctorArguments>),
    /// Write an archive for the report of a fault, without tokens and names of hosts and projects. Changes nothing.
    Report(Box<report::ReportArguments>),
    /// Print a completion script for a shell.
    Completion(completion::CompletionArguments),
    /// Print the manual page.
    #[command(hide = true)]
    Man,
}

#[derive(Args, Debug)]
struct StatusArguments {
    /// Name of the policy. Without it: all of the namespace.
    #[arg(value_name = "NAME")]
    policy: Option<String>,

    /// The namespace. Without it: the namespace of the current kubeconfig context.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// The policies of all namespaces.
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "policy"])]
    all_namespaces: bool,
}

#[derive(Args, Debug)]
struct AskArguments {
    /// Name of the policy.
    #[arg(value_name = "NAME")]
    policy: String,

    /// Namespace of the policy. Without it: the namespace of the current kubeconfig context.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Whether to wait for what comes of it.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    wait: bool,

    /// How long to wait at most. What was asked for goes on after it.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

#[derive(Args, Debug)]
struct ApproveArguments {
    #[command(flatten)]
    ask: AskArguments,

    /// Hash of the plan that is meant, as in status.pendingApproval. Without it: the one that waits, once you have
    /// agreed.
    #[arg(long, value_name = "HASH")]
    plan: Option<String>,

    /// Approve of the plan that waits without asking once more.
    #[arg(long)]
    yes: bool,
}

#[derive(Args, Debug)]
struct WhyArguments {
    /// Name of the policy.
    #[arg(value_name = "NAME")]
    policy: String,

    /// The tag, with its repository: shop/web:mr-12. The registry's host may stand before it.
    #[arg(value_name = "REPOSITORY:TAG")]
    tag: TagName,

    /// Namespace of the policy. Without it: the namespace of the current kubeconfig context.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Whether to look which images the cluster uses, where the policy protects them.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    in_use: bool,

    /// A namespace that the operator watches, if it does not watch all; may be given several times.
    #[arg(long = "watch-namespace", value_name = "NAMESPACE")]
    watch_namespaces: Vec<String>,

    /// Where images in use are looked for if --watch-namespace is given.
    #[arg(long, value_name = "SCOPE", value_enum, default_value_t)]
    in_use_scope: InUseScope,

    /// Name workloads of other namespaces that use the image. Without it they are counted.
    #[arg(long)]
    name_other_namespaces: bool,

    #[command(flatten)]
    workloads: WorkloadArguments,

    #[command(flatten)]
    gitlab: GitLabArguments,
}

/// Does what the command line says.
pub(super) fn run(plugin: Plugin) -> Result<ExitCode, String> {
    match plugin.command {
        Command::Status(arguments) => show_status(arguments),
        Command::Plan(arguments) => plan::run(*arguments),
        Command::Run(arguments) => ask_for(arguments, Wish::Run),
        Command::DryRun(arguments) => ask_for(arguments, Wish::DryRun),
        Command::Approve(ApproveArguments { ask, plan, yes }) => ask_for(ask, Wish::Approve { plan, yes }),
        Command::Suspend(arguments) => ask_for(arguments, Wish::Suspend(true)),
        Command::Resume(arguments) => ask_for(arguments, Wish::Suspend(false)),
        Command::History(arguments) => history::run(arguments),
        Command::Why(arguments) => tell_why(*arguments),
        Command::Doctor(arguments) => doctor::run(*arguments),
        Command::Report(arguments) => report::run(*arguments),
        Command::Completion(arguments) => completion::script::<Plugin>(&arguments, "kubectl-rcp"),
        Command::Man => completion::manual::<Plugin>(),
    }
}

fn show_status(arguments: StatusArguments) -> Result<ExitCode, String> {
    let StatusArguments { policy, namespace, all_namespaces } = arguments;
    let which = match policy {
        Some(policy) => Which::One(policy),
        None if all_namespaces => Which::Everywhere,
        None => Which::Namespace,
    };
    let whereabouts = Whereabouts { namespace, proxies: proxies() };
    told(runtime()?.block_on(status::show(&whereabouts, &which)))
}

fn ask_for(arguments: AskArguments, wish: Wish) -> Result<ExitCode, String> {
    let AskArguments { policy, namespace, wait, timeout } = arguments;
    let whereabouts = Whereabouts { namespace, proxies: proxies() };
    let request = Request { whereabouts, policy, wish, wait: wait.then_some(timeout) };
    match runtime()?.block_on(ask::ask(&request)) {
        Ok(Outcome::Done) => Ok(ExitCode::SUCCESS),
        Ok(Outcome::Failed) => Ok(ExitCode::FAILURE),
        Err(error) => Err(crate::causes::chain(&error)),
    }
}

fn tell_why(arguments: WhyArguments) -> Result<ExitCode, String> {
    let in_use = InUseSettings { scope: arguments.in_use_scope, ..arguments.workloads.into() };
    let source = Source::Cluster {
        namespace: arguments.namespace,
        name: arguments.policy,
        in_use: arguments.in_use.then_some(in_use),
        watched_namespaces: arguments.watch_namespaces,
        name_other_namespaces: arguments.name_other_namespaces,
    };
    let options = PlanOptions {
        source,
        limits: arguments.gitlab.limits(),
        allowed_hosts: arguments.gitlab.allowed_gitlab_hosts,
        allow_insecure_http: arguments.gitlab.allow_insecure_http,
        as_of: None,
        everything: true,
        output: Output::Table,
        saved: Vec::new(),
        proxies: proxies(),
    };
    told(runtime()?.block_on(why::why(options, &arguments.tag)))
}

fn told(text: Result<String, Error>) -> Result<ExitCode, String> {
    print(text.map_err(|error| crate::causes::chain(&error))?)
}
