//! Flags of `import`.

use std::process::ExitCode;

use clap::Args;

use crate::app::import;

use super::arguments::runtime;
use super::output::print;
use super::registry::RegistryArguments;

const EXAMPLES: &str = "\
Examples:
  What the projects of a group would need:
    GITLAB_TOKEN=... registry-cleanup-operator import --url https://gitlab.example.com --group shop > policies.yaml
  What these would remove:
    GITLAB_TOKEN=... registry-cleanup-operator plan -f policies.yaml imported

It changes nothing. What it prints is a dry run, and says in comments what could not be carried over.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ImportArguments {
    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn run(arguments: ImportArguments) -> Result<ExitCode, String> {
    let request = arguments.registry.request()?;
    let text = runtime()?.block_on(import::file(&request)).map_err(|error| crate::causes::chain(&error))?;
    print(text)
}
