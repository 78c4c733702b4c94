//! The operator as a process of its own, built in release mode.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::NamedTempFile;

use crate::Failure;

/// A running operator. Dropping it kills it.
pub(crate) struct Operator {
    child: Child,
    log: NamedTempFile,
}

impl Operator {
    /// Starts it with nothing in its environment but the way to the cluster, asking GitLab as fast as it may.
    pub(crate) fn start(kubeconfig: &Path, namespace: &str) -> Result<Self, Failure> {
        let log = NamedTempFile::new()?;
        let child = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"))
            .args(["run", "--listen", "127.0.0.1:0", "--allowed-gitlab-hosts", "127.0.0.1"])
            .args(["--max-requests-per-second-per-host", "1000", "--watch-namespace", namespace])
            .args(["--in-use-scope", "WatchedNamespaces"])
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen()?)
            .spawn()?;
        Ok(Self { child, log })
    }

    /// An error with the end of its log if it has ended.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let log = fs::read_to_string(self.log.path())?;
        let end: Vec<&str> = log.lines().rev().take(5).collect();
        Err(format!("the operator ended with {status}: {}", end.join("\n")).into())
    }

    /// The most memory that it has ever had resident, in MiB.
    pub(crate) fn peak_mebibytes(&self) -> Result<f64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        let kibibytes: u32 = peak.ok_or("/proc does not tell the memory of a process")?.trim().parse()?;
        Ok(f64::from(kibibytes) / 1024.0)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
