//! What can go wrong while a control plane is found, built, started or stopped.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// The result of this package.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a control plane is not there. The texts quote logs, because the folder that holds them is usually gone
/// by the time somebody reads the error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder.
    #[error("failed to {action} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// Neither `REGISTRY_CLEANUP_CACHE`, `XDG_CACHE_HOME` nor a home folder is known.
    #[error("failed to choose a folder for the built programs: set REGISTRY_CLEANUP_CACHE")]
    NoCacheFolder,
    /// The programs have to be built, and there is no Go to do it.
    #[error(
        "failed to build {program}: the command `go` is missing. Install Go {go} or newer (https://go.dev/doc/install), \
         or set KUBEBUILDER_ASSETS to a folder with the program, or USE_EXISTING_CLUSTER=true and KUBECONFIG"
    )]
    GoMissing {
        /// Which program was to be built.
        program: &'static str,
        /// The least version that can build it.
        go: String,
    },
    /// `go build` said no.
    #[error("failed to build {program}:\n{output}")]
    Build {
        /// Which program was to be built.
        program: &'static str,
        /// The end of what `go build` printed.
        output: String,
    },
    /// The name is no program of the control plane.
    #[error("failed to find a program called {0:?}: known are {known}", known = crate::Tool::names())]
    UnknownTool(String),
    /// `KUBERNETES` names a version that cannot be built here.
    #[error("failed to find Kubernetes {0:?}, which KUBERNETES names: known are {known}", known = crate::Kubernetes::names())]
    UnknownKubernetes(String),
    /// A program could not be run at all.
    #[error("failed to run {program}: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// What the system answered.
        source: io::Error,
    },
    /// A command ran and failed.
    #[error("failed to run {command} ({status}): {output}")]
    Command {
        /// The program with its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it printed on stderr.
        output: String,
    },
    /// A command or a kubeconfig held something else than expected.
    #[error("failed to read {what}: {problem}")]
    Unexpected {
        /// What was read.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No certificates.
    #[error("failed to make the certificates: {0}")]
    Certificates(#[from] rcgen::Error),
    /// No free ports.
    #[error("failed to find free ports on loopback: {0}")]
    Ports(io::Error),
    /// Another process runs a control plane in the same folder.
    #[error("failed to use {}: another control plane runs there", .0.display())]
    InUse(PathBuf),
    /// A program of the control plane ended by itself.
    #[error("failed to keep {program} running; the end of its log:\n{log}")]
    Ended {
        /// The program.
        program: &'static str,
        /// The last lines of its log.
        log: String,
    },
    /// Something did not become ready in time.
    #[error("failed to see {what} within {within:?}: {last}\nthe end of the log of {program}:\n{log}")]
    NotReady {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        within: Duration,
        /// The last answer.
        last: String,
        /// Whose log is quoted.
        program: &'static str,
        /// The last lines of that log.
        log: String,
    },
    /// The cluster was there before the test, so it is not for the test to stop or restart it.
    #[error("failed to {0}: the cluster was not started by this process (USE_EXISTING_CLUSTER)")]
    NotOurs(&'static str),
    /// `USE_EXISTING_CLUSTER` without a `KUBECONFIG`: the current context of a developer is never used by accident.
    #[error("failed to use an existing cluster: USE_EXISTING_CLUSTER=true needs KUBECONFIG as well")]
    NoKubeconfig,
    /// The shared control plane failed for the first test that asked; all others get the same answer.
    #[error("{0}")]
    Shared(String),
}

impl Error {
    /// True when a program ended because somebody else took its port after it was picked.
    pub(crate) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Ended { log, .. } if log.contains("address already in use"))
    }
}

/// Adds what was tried, and on which file, to an error of the system.
pub(crate) trait FileContext<T> {
    fn file(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T> FileContext<T> for io::Result<T> {
    fn file(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::File { action, path: path.to_owned(), source })
    }
}
