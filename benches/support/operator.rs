//! The operator as a process of its own.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::NamedTempFile;

use super::Failure;

/// A running operator. Dropping it kills it.
pub(crate) struct Operator {
    child: Child,
    log: NamedTempFile,
}

impl Operator {
    /// Starts it with nothing in its environment but the way to the cluster. It watches policies and workloads of these
    /// namespaces, answers probes at `listen`, and asks GitLab so many times a second.
    pub(crate) fn start(
        kubeconfig: &Path,
        namespaces: &[&str],
        listen: &str,
        requests_per_second: u32,
    ) -> Result<Self, Failure> {
        // The same Pod each time, so that nobody waits for the Lease of an operator that was killed.
        Self::start_in("bench", kubeconfig, namespaces, &["--listen", listen], requests_per_second)
    }

    /// The same in a Pod of this name, with these arguments besides.
    pub(crate) fn start_in(
        pod: &str,
        kubeconfig: &Path,
        namespaces: &[&str],
        arguments: &[&str],
        requests_per_second: u32,
    ) -> Result<Self, Failure> {
        let log = NamedTempFile::new()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
        command.args(["run", "--allowed-gitlab-hosts", "127.0.0.1"]).args(arguments);
        command.args(["--max-requests-per-second-per-host", &requests_per_second.to_string()]);
        if !arguments.contains(&"--in-use-scope") {
            command.args(["--in-use-scope", "WatchedNamespaces"]);
        }
        for namespace in namespaces {
            command.args(["--watch-namespace", namespace]);
        }
        let child = command
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .envs([("POD_NAME", pod), ("POD_UID", &format!("uid-of-{pod}"))])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen()?)
            .spawn()?;
        Ok(Self { child, log })
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended, and with what.
    pub(crate) fn ended(&mut self) -> Result<Option<String>, Failure> {
        Ok(self.child.try_wait()?.map(|status| status.to_string()))
    }

    /// An error with the end of its log if it has ended.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        let Some(status) = self.ended()? else { return Ok(()) };
        let log = self.log()?;
        let end: Vec<&str> = log.lines().rev().take(5).collect();
        Err(format!("the operator ended with {status}: {}", end.join("\n")).into())
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> Result<String, Failure> {
        Ok(String::from_utf8_lossy(&fs::read(self.log.path())?).into_owned())
    }

    /// The most memory that it has ever had resident, in MiB.
    pub(crate) fn peak_mebibytes(&self) -> Result<f64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        let kibibytes: u32 = peak.ok_or("/proc does not tell the memory of a process")?.trim().parse()?;
        Ok(f64::from(kibibytes) / 1024.0)
    }

    /// Kills it and answers what it has logged.
    pub(crate) fn kill(mut self) -> Result<String, Failure> {
        self.end();
        self.log()
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.end();
    }
}
