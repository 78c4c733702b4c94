//! What is done to a running operator from outside.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::Failure;
use crate::support::operator::Operator;

/// Sends a signal: `TERM`, `STOP`, `CONT`.
pub(crate) fn send(operator: &Operator, name: &str) -> Result<(), Failure> {
    Command::new("kill").args([&format!("-{name}"), &operator.process().to_string()]).status()?;
    Ok(())
}

/// Stops an operator in its tracks for a while. Its process may be gone by the end of it.
pub(crate) fn freeze(operator: &Operator, pause: Duration) -> Result<(), Failure> {
    send(operator, "STOP")?;
    let process = operator.process().to_string();
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        let _ = Command::new("kill").args(["-CONT", &process]).stderr(Stdio::null()).status();
    });
    Ok(())
}
