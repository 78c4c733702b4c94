//! Flags of `report`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::RangedI64ValueParser;

use crate::app::report::{self, Request};
use crate::terminal;

use super::arguments::runtime;
use super::installation::InstallationArguments;
use super::output::print;

const EXAMPLES: &str = "\
Examples:
  Write a report, and look at what is in it before you hand it on:
    registry-cleanup-operator report -n team-shop -o report.tar.gz
    tar --extract --to-stdout --file report.tar.gz | less";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReportArguments {
    #[command(flatten)]
    installation: InstallationArguments,

    /// The file that is written, which must not be there yet. Without it: standard output, unless that is a terminal.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Leave names of hosts and projects as they are. Tokens are taken out all the same.
    #[arg(long)]
    keep_names: bool,

    /// How many lines of the log of each of the operator's Pods.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = log_lines())]
    log_lines: u32,
}

fn log_lines() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=100_000)
}

pub(super) fn run(arguments: ReportArguments) -> Result<ExitCode, String> {
    let ReportArguments { installation, output, keep_names, log_lines } = arguments;
    if output.is_none() && std::io::stdout().is_terminal() {
        return Err("an archive is nothing for a terminal: name a file with -o".to_owned());
    }
    let request = Request { doctor: installation.into(), keep_names, log_lines };
    let report = runtime()?.block_on(report::gather(&request)).map_err(|error| crate::causes::chain(&error))?;
    // Not to where the archive goes.
    let _ = write!(std::io::stderr(), "{}", terminal::lines(&report.contents));
    let Some(file) = output else { return print(report.archive) };
    let shown = terminal::plain(&file.display().to_string());
    let failed = |error: std::io::Error| format!("failed to write {shown}: {error}");
    let mut opened = std::fs::File::create_new(&file).map_err(failed)?;
    opened.write_all(&report.archive).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}
