//! Flags of `init`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::RangedU64ValueParser;

use crate::app::init::{self, Found};
use crate::terminal;

use super::arguments::runtime;
use super::output::print;
use super::registry::RegistryArguments;

const EXAMPLES: &str = "\
Examples:
  A first policy for a group:
    GITLAB_TOKEN=... registry-cleanup-operator init --url https://gitlab.example.com --group shop -o policy.yaml
  What it would remove:
    GITLAB_TOKEN=... registry-cleanup-operator plan -f policy.yaml

It changes nothing. What was seen goes to standard error; the policy is a dry run.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct InitArguments {
    #[command(flatten)]
    registry: RegistryArguments,

    /// How many repositories are looked at, the first by their paths. Each takes about five requests, and one more for
    /// each hundred of its tags; of one with more than 2000 tags only a sample is looked at.
    #[arg(long, value_name = "NUMBER", default_value_t = 25, value_parser = most_repositories())]
    max_repositories: usize,

    /// The file that is written, which must not be there yet. Without it: standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn most_repositories() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1_000)
}

pub(super) fn run(arguments: InitArguments) -> Result<ExitCode, String> {
    let InitArguments { registry, max_repositories, output } = arguments;
    let request = registry.request()?;
    let looked = runtime()?.block_on(init::look(&request, max_repositories));
    let Found { summary, policy } = looked.map_err(|error| crate::causes::chain(&error))?;
    // Not to where the policy goes.
    let _ = write!(std::io::stderr(), "{}", terminal::lines(&summary));
    let policy = policy.map_err(|why| format!("no policy is written: {why}"))?;
    let Some(file) = output else { return print(policy) };
    let shown = terminal::plain(&file.display().to_string());
    let failed = |error: std::io::Error| format!("failed to write {shown}: {error}");
    let mut opened = std::fs::File::create_new(&file).map_err(failed)?;
    opened.write_all(policy.as_bytes()).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}
