//! Finds the programs of the control plane: in the folder of setup-envtest, in the cache, or by building them.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::kubernetes::Kubernetes;

/// A program that tests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The store of the API server.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// The controllers behind service accounts, namespaces, workloads and garbage collection.
    KubeControllerManager,
    /// The client.
    Kubectl,
    /// The chart installer; only built when asked for.
    Helm,
}

impl Tool {
    /// What a control plane needs.
    pub const CONTROL_PLANE: [Self; 4] = [Self::Etcd, Self::KubeApiserver, Self::KubeControllerManager, Self::Kubectl];

    const ALL: [Self; 5] = [Self::Etcd, Self::KubeApiserver, Self::KubeControllerManager, Self::Kubectl, Self::Helm];

    /// The name of the program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::Kubectl => "kubectl",
            Self::Helm => "helm",
        }
    }

    /// The tool of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn from_program(program: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|tool| tool.program() == program);
        found.ok_or_else(|| Error::UnknownTool(program.to_owned()))
    }

    pub(crate) fn names() -> String {
        Self::ALL.map(Self::program).join(", ")
    }

    /// The main package.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::Helm => "helm.sh/helm/v4/cmd/helm",
        }
    }

    pub(crate) fn module_path(self) -> &'static str {
        let package = self.package();
        package.split_once("/cmd/").map_or(package, |(module, _)| module)
    }

    /// What the linker is told. Without a version the API server calls itself `v0.0.0-master+$Format:%H$`, which
    /// neither `kubectl version` nor a chart's `kubeVersion` can parse.
    pub(crate) fn linker_flags(self, version: &str) -> String {
        let mut flags = vec!["-s -w".to_owned()];
        let mut set = |name: &str, value: &str| flags.push(format!("-X {name}={value}"));
        match self {
            Self::Etcd => {}
            Self::Helm => set("helm.sh/helm/v4/internal/version.version", version),
            Self::KubeApiserver | Self::KubeControllerManager | Self::Kubectl => {
                let mut numbers = version.trim_start_matches('v').split('.');
                let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
                // The second package is where clients take their User-Agent from.
                for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
                    set(&format!("{package}.gitVersion"), version);
                    set(&format!("{package}.gitMajor"), major);
                    set(&format!("{package}.gitMinor"), minor);
                }
            }
        }
        flags.join(" ")
    }

    /// How long a first build takes on two cores.
    pub(crate) fn build_time(self) -> &'static str {
        match self {
            Self::Etcd => "half a minute",
            Self::KubeApiserver => "4 minutes",
            Self::KubeControllerManager | Self::Kubectl => "a minute",
            Self::Helm => "3 minutes",
        }
    }
}

/// Where programs are looked for, and where those that are missing are built.
#[derive(Debug, Clone)]
pub struct Toolbox {
    kubernetes: Kubernetes,
    assets: Option<PathBuf>,
    cache: PathBuf,
    search_path: Option<OsString>,
}

impl Toolbox {
    /// The places that the environment names, `KUBEBUILDER_ASSETS`, then the cache, and the version of `KUBERNETES`.
    ///
    /// # Errors
    /// If there is no home folder to put a cache in, or no such version.
    pub fn from_env() -> Result<Self> {
        let cache = variable("REGISTRY_CLEANUP_CACHE")
            .map(PathBuf::from)
            .or_else(|| user_cache().map(|cache| cache.join("registry-cleanup-operator")))
            .ok_or(Error::NoCacheFolder)?;
        let assets = variable("KUBEBUILDER_ASSETS").map(PathBuf::from);
        Ok(Self { kubernetes: Kubernetes::from_env()?, assets, cache, search_path: None })
    }

    /// Also takes what is on `PATH` before anything is built: with somebody's own cluster comes somebody's own client.
    pub(crate) fn or_path(mut self) -> Self {
        self.search_path = env::var_os("PATH");
        self
    }

    /// The folder that a tool is built into. Its name changes with the versions, so old programs are never taken for
    /// new ones.
    #[must_use]
    pub fn folder(&self, tool: Tool) -> PathBuf {
        self.cache.join("control-plane").join(self.kubernetes.module_of(tool).key())
    }

    /// The path of a program; builds it if it is nowhere.
    ///
    /// # Errors
    /// If it has to be built and cannot be.
    pub fn find(&self, tool: Tool) -> Result<PathBuf> {
        if let Some(found) = self.look(tool) {
            return Ok(found);
        }
        self.kubernetes.module_of(tool).build(tool, &self.folder(tool))
    }

    fn look(&self, tool: Tool) -> Option<PathBuf> {
        let on_path = self.search_path.iter().flat_map(env::split_paths);
        let folders = self.assets.iter().cloned().chain([self.folder(tool)]).chain(on_path);
        folders.map(|folder| folder.join(tool.program())).find(|program| program.is_file())
    }
}

/// The folder for caches of this user, by the rules of the XDG base directories.
fn user_cache() -> Option<PathBuf> {
    let xdg = variable("XDG_CACHE_HOME").map(PathBuf::from);
    xdg.or_else(|| Some(env::home_dir()?.join(".cache")))
}

/// A variable of the environment; an empty one counts as not set.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn versions_come_from_the_go_modules() {
        let version = |tool: Tool| Kubernetes::Newest.module_of(tool).version(tool);
        for tool in Tool::ALL {
            assert!(version(tool).starts_with('v'), "{tool:?} has no version");
        }
        assert_eq!(version(Tool::Kubectl), version(Tool::KubeApiserver));
    }

    #[test]
    fn the_api_server_is_told_its_version() {
        let flags = Tool::KubeApiserver.linker_flags("v1.30.14");
        assert!(flags.contains("-X k8s.io/component-base/version.gitVersion=v1.30.14 "), "{flags}");
        assert!(flags.contains("-X k8s.io/component-base/version.gitMajor=1 "), "{flags}");
        assert!(flags.contains("-X k8s.io/component-base/version.gitMinor=30 "), "{flags}");
    }

    #[test]
    fn a_program_of_setup_envtest_wins_over_the_cache() {
        let (assets, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let kubernetes = Kubernetes::Newest;
        let toolbox =
            Toolbox { kubernetes, assets: Some(assets.path().into()), cache: cache.path().into(), search_path: None };
        let cached = toolbox.folder(Tool::Kubectl);
        fs::create_dir_all(&cached).unwrap();
        for folder in [assets.path(), &cached] {
            fs::write(folder.join("kubectl"), "").unwrap();
        }
        fs::write(cached.join("kube-controller-manager"), "").unwrap();

        assert_eq!(toolbox.find(Tool::Kubectl).unwrap(), assets.path().join("kubectl"));
        let manager = toolbox.find(Tool::KubeControllerManager).unwrap();
        assert_eq!(manager, cached.join("kube-controller-manager"));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = Tool::from_program("kubelet").unwrap_err().to_string();
        assert!(error.starts_with("failed to find") && error.contains("kube-apiserver"), "{error}");
    }
}
