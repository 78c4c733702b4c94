//! What the benchmarks share that run the operator as a process of its own: the program, the cluster it runs in, the
//! way a benchmark ends, and the place of its table in a document.

#![allow(dead_code, reason = "each benchmark needs a part of it")]

pub(crate) mod cluster;
pub(crate) mod operator;
pub(crate) mod workloads;

use std::error::Error;
use std::fs;
use std::process::ExitCode;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Runs a benchmark with its arguments; it says whether what it saw is as it has to be. `hint` says how to start it.
pub(crate) fn main(hint: &str, run: impl FnOnce(&[String]) -> Result<bool, Failure>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` starts this as well, without the word.
    if !arguments.iter().any(|argument| argument == "--bench") {
        eprintln!("{hint}");
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = arguments.into_iter().filter(|argument| argument != "--bench").collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Works until it is done or somebody interrupts it. What was started ends with what is dropped then.
pub(crate) fn until_interrupted<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Runtime::new()?.block_on(async {
        tokio::select! {
            result = work => result,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        }
    })
}

/// Puts a table into a document, in the place of the one before, which stands between two lines.
pub(crate) fn write(document: &str, (begin, end): (&str, &str), table: &str) -> Result<(), Failure> {
    let text = fs::read_to_string(document)?;
    let split = text.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) = split.ok_or_else(|| format!("{document} has no marks for the table"))?;
    fs::write(document, format!("{before}{begin}{table}{end}{after}"))?;
    Ok(())
}
