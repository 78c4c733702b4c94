//! Flags of `in-use`.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::app::in_use::{self, Request};

use super::arguments::{WorkloadArguments, proxies, runtime};
use crate::terminal::plain;

const EXAMPLES: &str = "\
Examples:
  What does this cluster use?
    registry-cleanup-operator in-use --registry registry.example.com:5050
  Tell another cluster, whose policies name the ConfigMap in protect.inUseFrom:
    registry-cleanup-operator in-use --registry registry.example.com:5050 -o json > images.json
    kubectl --context other create configmap west --namespace team-shop --from-file images.json \\
      --dry-run=client -o yaml | kubectl --context other apply -f -

It fails, and prints nothing, if anything cannot be seen: a list that lacks an image would let it be removed.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct InUseArguments {
    /// Host of the registry, with its port if it has one, as it stands in the names of images.
    #[arg(long, value_name = "HOST")]
    registry: String,

    /// Another host, with a leading part of the path if need be, under which this cluster pulls from that registry: a
    /// mirror or a proxy. May be given several times.
    #[arg(long = "registry-alias", value_name = "PREFIX")]
    registry_aliases: Vec<String>,

    #[command(flatten)]
    workloads: WorkloadArguments,

    /// How the list is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    /// For a terminal.
    #[default]
    Table,
    /// For the policies of another cluster.
    Json,
}

pub(super) fn run(arguments: InUseArguments) -> Result<ExitCode, String> {
    let request = Request {
        registry: arguments.registry,
        aliases: arguments.registry_aliases,
        in_use: arguments.workloads.into(),
        proxies: proxies(),
    };
    let list = runtime()?.block_on(in_use::list(&request)).map_err(|error| crate::causes::chain(&error))?;
    if let Some(remark) = in_use::remark(&list) {
        // Not to where the list goes.
        let _ = writeln!(std::io::stderr(), "{}", plain(&remark));
    }
    let text = match arguments.output {
        Output::Table => in_use::table(&list),
        Output::Json => in_use::json(&list).map_err(|error| error.to_string())?,
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Whoever closed the pipe knows.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::FAILURE),
        Err(error) => Err(format!("failed to write: {error}")),
    }
}
