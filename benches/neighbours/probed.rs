//! The operator as a process of its own, with its probes and its memory.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use crate::Failure;

/// Longer than any probe of a kubelet waits.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// A running operator. Dropping it kills it.
pub(crate) struct Operator {
    child: Child,
    log: NamedTempFile,
    address: SocketAddr,
    probes: reqwest::Client,
}

impl Operator {
    /// Starts it with nothing in its environment but the way to the cluster.
    pub(crate) fn start(kubeconfig: &Path, namespaces: &[String]) -> Result<Self, Failure> {
        let log = NamedTempFile::new()?;
        // Given back at once, and taken by the operator.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
        command.args(["run", "--listen", &address.to_string(), "--allowed-gitlab-hosts", "127.0.0.1"]);
        command.args(["--max-requests-per-second-per-host", "1000", "--in-use-scope", "WatchedNamespaces"]);
        for namespace in namespaces {
            command.args(["--watch-namespace", namespace]);
        }
        let child = command
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen()?)
            .spawn()?;
        Ok(Self { child, log, address, probes: reqwest::Client::builder().timeout(PROBE_TIMEOUT).build()? })
    }

    /// An error with the end of its log if it has ended.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let log = fs::read_to_string(self.log.path())?;
        let end: Vec<&str> = log.lines().rev().take(5).collect();
        Err(format!("the operator ended with {status}: {}", end.join("\n")).into())
    }

    /// How long `/livez` takes to answer; an error where it does not.
    pub(crate) async fn probe(&self) -> Result<Duration, Failure> {
        let begun = Instant::now();
        self.probes.get(format!("http://{}/livez", self.address)).send().await?.error_for_status()?;
        Ok(begun.elapsed())
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
