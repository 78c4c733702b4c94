//! Logs: one JSON object a line, or plain text for people. The audit trail (target `audit`) is part of them.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// Logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not one of tracing's.
    #[error("failed to read the log level {0:?}: give error, warn, info, debug or trace, or target=level pairs")]
    Level(String),
    /// Something else in this process logs already.
    #[error("failed to set up logs")]
    Taken(#[from] tracing_subscriber::util::TryInitError),
}

/// Begins to log to standard error. `level` is a level or a list of `target=level`; the audit trail stays on unless it
/// is named in it.
///
/// # Errors
/// When the level cannot be read, or logs were set up before.
pub fn init(level: &str, format: LogFormat) -> Result<(), Error> {
    let bad_level = |_| Error::Level(level.to_owned());
    let audited = if level.contains("audit=") { level.to_owned() } else { format!("{level},audit=info") };
    let filter = EnvFilter::builder().parse(audited).map_err(bad_level)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().try_init()?;
        }
        // Escape sequences are for terminals; whoever collects logs would have to take them out.
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).finish().try_init()?,
    }
    Ok(())
}
