//! Completion scripts for shells, and the manual page: both are made from the flags themselves.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::output::print;

#[derive(Args, Debug)]
pub(super) struct CompletionArguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script by which a shell completes a program of this name.
pub(super) fn script<C: CommandFactory>(arguments: &CompletionArguments, name: &str) -> Result<ExitCode, String> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut C::command().bin_name(name), name, &mut text);
    print(&text)
}

/// Prints the manual page of the program with all its commands.
pub(super) fn manual<C: CommandFactory>() -> Result<ExitCode, String> {
    let mut text = Vec::new();
    let mut command = C::command();
    command.build();
    let page = clap_mangen::Man::new(command.clone());
    page.render(&mut text).map_err(|error| error.to_string())?;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
        clap_mangen::Man::new(below.clone()).render(&mut text).map_err(|error| error.to_string())?;
    }
    print(&text)
}
