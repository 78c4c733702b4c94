//! The versions of Kubernetes that can be built: the newest, and the oldest that the operator supports.

use crate::error::{Error, Result};
use crate::go_module::GoModule;
use crate::tools::{Tool, variable};

/// A version of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kubernetes {
    /// What tests run on, if nothing else is said.
    Newest,
    /// The oldest that is supported, with etcd and kubectl of the newest.
    Oldest,
}

impl Kubernetes {
    const ALL: [Self; 2] = [Self::Newest, Self::Oldest];

    /// The one that the variable `KUBERNETES` names, as 1.30.14 or 1.30; the newest, if it is not set.
    ///
    /// # Errors
    /// If it names none of them.
    pub fn from_env() -> Result<Self> {
        let Some(wanted) = variable("KUBERNETES") else { return Ok(Self::Newest) };
        let wanted = wanted.to_string_lossy().into_owned();
        Self::named(&wanted).ok_or(Error::UnknownKubernetes(wanted))
    }

    fn named(wanted: &str) -> Option<Self> {
        let wanted = wanted.trim_start_matches('v');
        Self::ALL.into_iter().find(|kubernetes| {
            let version = kubernetes.version().trim_start_matches('v');
            version == wanted || version.rsplit_once('.').is_some_and(|(minor, _)| minor == wanted)
        })
    }

    /// The version of its API server, as `go.mod` names it.
    #[must_use]
    pub fn version(self) -> &'static str {
        self.module_of(Tool::KubeApiserver).version(Tool::KubeApiserver)
    }

    /// The module that a program is built from.
    pub(crate) fn module_of(self, tool: Tool) -> &'static GoModule {
        match (self, tool) {
            (_, Tool::Helm) => &GoModule::HELM,
            (Self::Oldest, Tool::KubeApiserver | Tool::KubeControllerManager) => &GoModule::OLDEST,
            (Self::Newest | Self::Oldest, _) => &GoModule::CONTROL_PLANE,
        }
    }

    pub(crate) fn names() -> String {
        Self::ALL.map(|kubernetes| kubernetes.version().trim_start_matches('v')).join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_named_in_full_or_by_its_minor() {
        for kubernetes in Kubernetes::ALL {
            let version = kubernetes.version();
            assert!(version.starts_with("v1."), "{version}");
            let minor = version.rsplit_once('.').unwrap().0;
            for name in [version, version.trim_start_matches('v'), minor] {
                assert_eq!(Kubernetes::named(name), Some(kubernetes), "{name}");
            }
        }
        assert_eq!(Kubernetes::named("1.3"), None);
        assert_eq!(Kubernetes::named("1.29.0"), None);
    }

    #[test]
    fn the_oldest_differs_in_its_servers_only() {
        assert_ne!(Kubernetes::Oldest.version(), Kubernetes::Newest.version());
        for tool in [Tool::Etcd, Tool::Kubectl, Tool::Helm] {
            let key = |kubernetes: Kubernetes| kubernetes.module_of(tool).key();
            assert_eq!(key(Kubernetes::Oldest), key(Kubernetes::Newest), "{tool:?}");
        }
        for tool in [Tool::KubeApiserver, Tool::KubeControllerManager] {
            assert_eq!(Kubernetes::Oldest.module_of(tool).version(tool), Kubernetes::Oldest.version());
        }
    }
}
