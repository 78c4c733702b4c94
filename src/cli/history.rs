//! Flags of `history`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::app::history::{self, Request};

use super::arguments::{proxies, runtime};
use super::output::print;

const EXAMPLES: &str = "\
Examples:
  Of which runs is something kept?
    registry-cleanup-operator history -n team-shop shop
  What did one of them remove?
    registry-cleanup-operator history -n team-shop shop 20261122-031700-scheduled";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct HistoryArguments {
    /// Name of the policy.
    #[arg(value_name = "NAME")]
    policy: String,

    /// Id of the run, as in the list and in status.history. Without it: the list of runs.
    #[arg(value_name = "RUN")]
    run: Option<String>,

    /// Namespace of the policy. Without it: the namespace of the current kubeconfig context.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    /// For a terminal.
    #[default]
    Table,
    /// For programs.
    Json,
}

pub(super) fn run(arguments: HistoryArguments) -> Result<ExitCode, String> {
    let HistoryArguments { policy, run, namespace, output } = arguments;
    let request = Request { namespace, policy, run, proxies: proxies() };
    let found = runtime()?.block_on(history::look(&request)).map_err(|error| crate::causes::chain(&error))?;
    let text = match output {
        Output::Table => history::table(&found),
        Output::Json => history::json(&found).map_err(|error| error.to_string())?,
    };
    print(text)
}
