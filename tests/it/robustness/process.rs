//! The real program in a process of its own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::NamedTempFile;

use crate::support::eventually;

/// A running program. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    log: NamedTempFile,
}

impl Process {
    /// Starts `run` with nothing in its environment but the way to the cluster.
    pub(crate) fn start(kubeconfig: &Path, arguments: &[&str]) -> Self {
        // Every process of a test is one of the same Pod: the container was started again.
        Self::in_pod(kubeconfig, "test", arguments)
    }

    /// The same in a Pod of this name.
    pub(crate) fn in_pod(kubeconfig: &Path, pod: &str, arguments: &[&str]) -> Self {
        Self::of(env!("CARGO_BIN_EXE_registry-cleanup-operator").as_ref(), kubeconfig, pod, arguments)
    }

    /// The same with another program, as that of a version before.
    pub(crate) fn of(program: &OsStr, kubeconfig: &Path, pod: &str, arguments: &[&str]) -> Self {
        let log = NamedTempFile::new().unwrap();
        let child = Command::new(program)
            .args(["run", "--listen", "127.0.0.1:0", "--allowed-gitlab-hosts", "127.0.0.1"])
            .args(arguments)
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .envs([("POD_NAME", pod), ("POD_UID", &format!("uid-of-{pod}"))])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log.path()).unwrap()).into_owned()
    }

    /// Sends SIGTERM, as the kubelet does.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal: `TERM`, `KILL`, `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        eventually("the end of the program", async || self.child.try_wait().unwrap()).await.code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whoever collects logs would have to take escape sequences out again.
#[tokio::test]
async fn lines_for_people_have_no_colours_where_there_is_no_terminal() {
    let nowhere = NamedTempFile::new().unwrap();
    let config = "{apiVersion: v1, kind: Config, current-context: a, users: [{name: a, user: {}}],
        clusters: [{name: a, cluster: {server: 'http://127.0.0.1:9'}}], contexts: [{name: a, context: {cluster: a, user: a}}]}";
    std::fs::write(nowhere.path(), config).unwrap();
    let process = Process::start(nowhere.path(), &["--log-format", "text"]);
    let log = eventually("a line", async || Some(process.log()).filter(|log| log.contains('\n'))).await;
    assert!(!log.contains('\u{1b}'), "{log:?}");
}
