//! A cluster for tests: a control plane of our own, or one that was there before.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::access::{Access, VIEW, run};
use crate::error::{Error, FileContext, Result};
use crate::files::create_folder;
use crate::kubeconfig::Kubeconfig;
use crate::processes::Processes;
use crate::programs::Layout;
use crate::supervised::TemporaryFolder;
use crate::tools::{Tool, Toolbox, variable};

/// How a control plane is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where data, certificates and logs go. A folder that is named here stays, and its data are found again by the
    /// next start; without one a temporary folder is used and removed.
    pub directory: Option<PathBuf>,
    /// Whether the API server writes down each request ([`Cluster::audit_log`]).
    pub audit: bool,
    /// More flags for the API server, such as `--feature-gates=…` or `--runtime-config=…`.
    pub api_server_flags: Vec<String>,
    /// How long each program may take until it is ready.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { directory: None, audit: true, api_server_flags: Vec::new(), timeout: Duration::from_secs(120) }
    }
}

/// A cluster with the access of an administrator. Dropping it ends the programs that were started for it, and so does
/// the end of this process, whatever its cause.
#[derive(Debug)]
pub struct Cluster {
    // Before the folder, because fields are dropped in this order.
    processes: Option<Mutex<Processes>>,
    _folder: Folder,
    layout: Layout,
    toolbox: Toolbox,
    access: Access,
    url: String,
    ca: String,
    audit: bool,
}

impl Cluster {
    /// Starts etcd, the API server and the controller manager on free ports of 127.0.0.1, and waits until they work.
    /// A first start builds the programs, which takes minutes.
    ///
    /// # Errors
    /// If a program can neither be found nor built, or does not become ready.
    pub fn start(options: &Options) -> Result<Self> {
        let toolbox = Toolbox::from_env()?;
        let (folder, layout) = Folder::open(options.directory.as_deref())?;
        let (processes, access) = Processes::start(&toolbox, &layout, options)?;
        Self::new(Some(processes), folder, layout, toolbox, access, options.audit)
    }

    /// The cluster of the current context of `KUBECONFIG`. Nothing is started and nothing will be stopped.
    ///
    /// # Errors
    /// If `KUBECONFIG` is not set or cannot be read.
    pub fn existing() -> Result<Self> {
        if variable("KUBECONFIG").is_none() {
            return Err(Error::NoKubeconfig);
        }
        let toolbox = Toolbox::from_env()?.or_path();
        let kubectl = toolbox.find(Tool::Kubectl)?;
        let (folder, layout) = Folder::open(None)?;
        // A copy, because the variable may name several files, and the current context may change while tests run.
        let view = run(Command::new(&kubectl).args(VIEW))?;
        Kubeconfig::parse(&view)?.write(&layout.kubeconfig())?;
        let access = Access::new(kubectl, &layout, true);
        Self::new(None, folder, layout, toolbox, access, false)
    }

    fn new(
        processes: Option<Processes>,
        folder: Folder,
        layout: Layout,
        toolbox: Toolbox,
        access: Access,
        audit: bool,
    ) -> Result<Self> {
        let processes = processes.map(Mutex::new);
        let kubeconfig = access.view()?;
        let (url, ca) = (kubeconfig.url().to_owned(), kubeconfig.ca());
        Ok(Self { processes, _folder: folder, layout, toolbox, access, url, ca, audit })
    }

    /// A kubeconfig of an administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        self.access.kubeconfig()
    }

    /// Where the API server is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate that the API server's is signed with. Empty if an existing cluster's kubeconfig names none.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca
    }

    /// The folder of this cluster: data, certificates, kubeconfigs and logs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.layout.root()
    }

    /// The folder of the logs, one file for each program; empty for an existing cluster.
    #[must_use]
    pub fn logs_dir(&self) -> PathBuf {
        self.layout.logs()
    }

    /// The API server's audit log: one JSON object (`audit.k8s.io/v1 Event`) a line, without bodies and without what
    /// the control plane does for itself. A request has one line with the stage `ResponseComplete`; a watch has
    /// another, `ResponseStarted`, when it begins. None for an existing cluster, or if it was not asked for.
    #[must_use]
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.audit.then(|| self.layout.audit_log())
    }

    /// The path of kubectl.
    #[must_use]
    pub fn kubectl_path(&self) -> &Path {
        self.access.kubectl_path()
    }

    /// kubectl as administrator. With a cluster of our own it sees neither the home folder nor the environment.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        self.access.kubectl()
    }

    /// helm as administrator, with its folders inside that of this cluster. The first call may build it.
    ///
    /// # Errors
    /// If it can neither be found nor built.
    pub fn helm(&self) -> Result<Command> {
        Ok(self.access.helm(&self.toolbox.find(Tool::Helm)?))
    }

    /// Writes a kubeconfig that holds a token of a service account, good for eight hours, and nothing else. The account
    /// has to exist.
    ///
    /// # Errors
    /// If no token is given out, or the file cannot be written.
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        self.access.service_account(namespace, name, &self.layout.kubeconfigs())
    }

    /// Ends the API server, and starts it again on the same port with the same data. What other tests have open on
    /// the same cluster is cut off.
    ///
    /// # Errors
    /// If it does not become ready again, or was not started by this process.
    pub fn restart_api_server(&self) -> Result<()> {
        self.processes("restart the API server")?.restart_api_server(&self.access)
    }

    /// An error with the end of a log if a program has ended by itself.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self) -> Result<()> {
        match &self.processes {
            Some(processes) => locked(processes).check(),
            None => Ok(()),
        }
    }

    /// Ends the programs in order, waits until they are gone, and removes the folder if it is a temporary one. Dropping
    /// does the same.
    pub fn stop(self) {
        drop(self);
    }

    fn processes(&self, purpose: &'static str) -> Result<MutexGuard<'_, Processes>> {
        self.processes.as_ref().map(locked).ok_or(Error::NotOurs(purpose))
    }
}

/// A test that panicked while it restarted something is no reason for the others to fail.
fn locked(processes: &Mutex<Processes>) -> MutexGuard<'_, Processes> {
    processes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What keeps the folder: a script that removes it in the end, or a lock against a second control plane in it.
#[derive(Debug)]
enum Folder {
    Temporary { _remover: TemporaryFolder },
    Kept { _lock: File },
}

impl Folder {
    fn open(kept: Option<&Path>) -> Result<(Self, Layout)> {
        let Some(path) = kept else {
            let remover = TemporaryFolder::create(Layout::RUNNING)?;
            let layout = Layout::create(remover.path())?;
            return Ok((Self::Temporary { _remover: remover }, layout));
        };
        create_folder(path)?;
        let path = path.canonicalize().file("open", path)?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).file("create", &lock_path)?;
        lock.try_lock().map_err(|_| Error::InUse(path.clone()))?;
        let layout = Layout::create(&path)?;
        wait_for_predecessor(&layout.running())?;
        Ok((Self::Kept { _lock: lock }, layout))
    }
}

/// The programs of a process that was killed take some seconds to end. Files that are older than that were left by a
/// machine that went down.
fn wait_for_predecessor(running: &Path) -> Result<()> {
    let start = Instant::now();
    let left = || -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(running).file("read", running)?;
        Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
    };
    while !left()?.is_empty() && start.elapsed() < Duration::from_secs(40) {
        sleep(Duration::from_millis(200));
    }
    left()?.iter().try_for_each(|file| fs::remove_file(file).file("remove", file))
}
