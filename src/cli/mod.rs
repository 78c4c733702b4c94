//! The command line. The only place that reads flags and environment.

mod arguments;
mod completion;
mod doctor;
mod history;
mod import;
mod in_use;
mod init;
mod installation;
mod leader_election;
mod notifications;
mod output;
mod plan;
mod plugin;
mod registry;
mod report;
mod run;

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::api::{crd, reference};
use crate::terminal;

/// What the program is called where kubectl is to find it.
const PLUGIN: &str = "kubectl-rcp";

/// Keeps GitLab container registries clean from inside Kubernetes.
#[derive(Debug, Parser)]
#[command(version = env!("REGISTRY_CLEANUP_VERSION"), about, long_about = None)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch policies and carry them out, until told to stop.
    Run(Box<run::RunArguments>),
    /// Print what a run of a policy would remove and keep, and why. Removes nothing.
    Plan(plan::PlanArguments),
    /// Print which images of a registry the cluster uses, for people or for the policies of another cluster.
    InUse(in_use::InUseArguments),
    /// Look at a registry, print its families of tags, and write a first policy for it, a dry run. Changes nothing.
    Init(init::InitArguments),
    /// Print policies that mean the same as GitLab's own cleanup policies. Changes nothing.
    Import(import::ImportArguments),
    /// Print what runs of a policy removed, as far as the operator keeps it (--history-limit).
    History(history::HistoryArguments),
    /// Check an installation: definition, rights, tokens, GitLab, clocks, images in use. Changes nothing.
    Doctor(Box<doctor::DoctorArguments>),
    /// Write an archive for the report of a fault, without tokens and names of hosts and projects. Changes nothing.
    Report(Box<report::ReportArguments>),
    /// Print the CustomResourceDefinition.
    Crd,
    /// Print a completion script for a shell.
    Completion(completion::CompletionArguments),
    /// Print the manual page.
    #[command(hide = true)]
    Man,
    /// Print the reference of fields as Markdown, which is docs/reference.md.
    #[command(hide = true)]
    Reference,
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let result = if is_plugin() { parsed().map(plugin::run) } else { parsed().map(run) };
    let result = match result {
        Ok(result) => result,
        Err(code) => return code,
    };
    result.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "error: {}", terminal::lines(&error));
        ExitCode::FAILURE
    })
}

/// Whether the program was called by the name by which kubectl finds it.
#[expect(clippy::disallowed_methods, reason = "the name under which it was called is part of the command line")]
fn is_plugin() -> bool {
    let called = std::env::args_os().next().unwrap_or_default();
    Path::new(&called).file_stem().is_some_and(|name| name == PLUGIN)
}

/// The command line, or what the program ends with where there is nothing to do.
fn parsed<C: Parser>() -> Result<C, ExitCode> {
    C::try_parse().map_err(|error| {
        // Where it cannot be printed, the exit code has to do.
        if !error.use_stderr() {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        // It quotes the command line, which a script may have put together.
        let _ = write!(std::io::stderr(), "{}", terminal::lines(&error.render().to_string()));
        // Not clap's own 2, which means something else to `plan --detailed-exitcode`.
        ExitCode::FAILURE
    })
}

fn run(cli: Cli) -> Result<ExitCode, String> {
    match cli.command {
        Command::Run(arguments) => run::run(*arguments).map(|()| ExitCode::SUCCESS),
        Command::Plan(arguments) => plan::run(arguments),
        Command::InUse(arguments) => in_use::run(arguments),
        Command::Init(arguments) => init::run(arguments),
        Command::Import(arguments) => import::run(arguments),
        Command::History(arguments) => history::run(arguments),
        Command::Doctor(arguments) => doctor::run(*arguments),
        Command::Report(arguments) => report::run(*arguments),
        Command::Crd => print(crd::yaml()).map(|()| ExitCode::SUCCESS),
        Command::Completion(arguments) => completion::script::<Cli>(&arguments, "registry-cleanup-operator"),
        Command::Man => completion::manual::<Cli>(),
        Command::Reference => print(reference::markdown()).map(|()| ExitCode::SUCCESS),
    }
}

fn print<E: Display>(text: Result<String, E>) -> Result<(), String> {
    let text = text.map_err(|error| error.to_string())?;
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("failed to write: {error}"))
}
