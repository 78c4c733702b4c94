//! The operators: processes of the real program that are killed, frozen and doubled.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::Failure;

/// A running operator. Dropping it kills it.
pub(crate) struct Operator {
    child: Child,
    log: NamedTempFile,
}

impl Operator {
    /// Starts it with nothing in its environment but the way to the cluster.
    pub(crate) fn start(kubeconfig: &Path, namespace: &str) -> Result<Self, Failure> {
        let log = NamedTempFile::new()?;
        let child = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"))
            .args(["run", "--listen", "127.0.0.1:0", "--allowed-gitlab-hosts", "127.0.0.1"])
            .args(["--max-requests-per-second-per-host", "100", "--watch-namespace", namespace])
            .args(["--in-use-scope", "WatchedNamespaces"])
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen()?)
            .spawn()?;
        Ok(Self { child, log })
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) -> Result<(), Failure> {
        Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status()?;
        Ok(())
    }

    /// Stops it in its tracks for a while. Its process may be gone by the end of it.
    pub(crate) fn freeze(&self, pause: Duration) -> Result<(), Failure> {
        self.signal("STOP")?;
        let process = self.child.id().to_string();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let _ = Command::new("kill").args(["-CONT", &process]).stderr(Stdio::null()).status();
        });
        Ok(())
    }

    /// Whether it has ended, and with what.
    pub(crate) fn ended(&mut self) -> Result<Option<String>, Failure> {
        Ok(self.child.try_wait()?.map(|status| status.to_string()))
    }

    /// Kills it and answers what it has logged.
    pub(crate) fn kill(mut self) -> Result<String, Failure> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        Ok(String::from_utf8_lossy(&fs::read(self.log.path())?).into_owned())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
