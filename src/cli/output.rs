//! What commands print.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// Prints what a command has to say.
pub(super) fn print(text: impl AsRef<[u8]>) -> Result<ExitCode, String> {
    match std::io::stdout().write_all(text.as_ref()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Whoever closed the pipe knows.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::FAILURE),
        Err(error) => Err(format!("failed to write: {error}")),
    }
}
