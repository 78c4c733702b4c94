//! How tests and this package itself talk to a cluster: kubectl and helm with one kubeconfig and nothing else.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::files::last_lines;
use crate::kubeconfig::Kubeconfig;
use crate::programs::Layout;

/// What remains of the environment for a client of our own control plane. A proxy, a plug-in or the preferences of
/// whoever runs the tests must not change what a test sees.
const KEPT: [&str; 2] = ["PATH", "TMPDIR"];

/// Prints the current context with all that other files hold for it.
pub(crate) const VIEW: [&str; 6] = ["config", "view", "--raw", "--flatten", "--minify", "-o=json"];

/// A client with the kubeconfig of an administrator.
#[derive(Debug)]
pub(crate) struct Access {
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    keep_environment: bool,
}

impl Access {
    /// An existing cluster may need the environment, say for a plug-in that fetches credentials.
    pub(crate) fn new(kubectl: PathBuf, layout: &Layout, keep_environment: bool) -> Self {
        Self { kubectl, kubeconfig: layout.kubeconfig(), home: layout.home(), keep_environment }
    }

    pub(crate) fn kubectl_path(&self) -> &Path {
        &self.kubectl
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The kubeconfig in one piece.
    pub(crate) fn view(&self) -> Result<Kubeconfig> {
        Kubeconfig::parse(&self.ask(&VIEW)?)
    }

    pub(crate) fn kubectl(&self) -> Command {
        self.command(&self.kubectl)
    }

    pub(crate) fn helm(&self, helm: &Path) -> Command {
        let mut command = self.command(helm);
        for (name, folder) in [("CACHE", "cache"), ("CONFIG", "config"), ("DATA", "data")] {
            command.env(format!("HELM_{name}_HOME"), self.home.join("helm").join(folder));
        }
        command
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if !self.keep_environment {
            command.env_clear().env("HOME", &self.home);
            command.envs(KEPT.iter().filter_map(|name| Some((name, env::var_os(name)?))));
        }
        command.env("KUBECONFIG", &self.kubeconfig);
        command.env("KUBECACHEDIR", self.home.join("cache")).env("KUBERC", "off");
        command
    }

    /// Runs kubectl and gives what it printed.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<String> {
        run(self.kubectl().arg("--request-timeout=10s").args(arguments))
    }

    /// A kubeconfig with a token of a service account in it and nothing else that opens a door.
    pub(crate) fn service_account(&self, namespace: &str, name: &str, folder: &Path) -> Result<PathBuf> {
        let token = self.ask(&["create", "token", name, "--namespace", namespace, "--duration=8h"])?;
        // No namespace and no name has an underscore in it, so no two accounts share a file.
        let path = folder.join(format!("{namespace}_{name}"));
        self.view()?.with_token(namespace, token.trim()).write(&path)?;
        Ok(path)
    }
}

/// Runs a command to its end and gives what it printed on stdout.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = match command.output() {
        Ok(output) if output.status.success() => {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Ok(output) => output,
        Err(source) => return Err(Error::Spawn { program, source }),
    };
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    Err(Error::Command {
        command: format!("{program} {}", words.join(" ")),
        status: output.status,
        output: last_lines(&String::from_utf8_lossy(&output.stderr), 10),
    })
}
