//! Flags of `doctor`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::app::doctor;
use crate::app::doctor::report::{self, Conclusion};

use super::arguments::runtime;
use super::installation::InstallationArguments;
use super::output::print;

const EXAMPLES: &str = "\
Examples:
  Is everything as it should be?
    registry-cleanup-operator doctor
  Is this policy?
    registry-cleanup-operator doctor -n team-shop shop
  In a pipeline:
    registry-cleanup-operator doctor -o json | jq -e '.result != \"Failed\"'

Exit codes:
  0  nothing failed, and everything could be looked at; there may be warnings
  1  something failed, or nothing could be looked at
  2  nothing failed, but something could not be looked at";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    installation: InstallationArguments,

    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    /// For a terminal.
    #[default]
    Text,
    /// For programs.
    Json,
}

pub(super) fn run(arguments: DoctorArguments) -> Result<ExitCode, String> {
    let request = arguments.installation.into();
    let diagnosis = runtime()?.block_on(doctor::examine(&request)).map_err(|error| crate::causes::chain(&error))?;
    let text = match arguments.output {
        Output::Text => report::text(&diagnosis),
        Output::Json => report::json(&diagnosis).map_err(|error| error.to_string())?,
    };
    let printed = print(text)?;
    Ok(match report::conclusion(&diagnosis) {
        Conclusion::Well => printed,
        Conclusion::Failed => ExitCode::FAILURE,
        Conclusion::Unknown => ExitCode::from(2),
    })
}
