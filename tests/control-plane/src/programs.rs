//! The command lines of etcd, the API server and the controller manager, and the folder they share.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::certificates::Certificates;
use crate::error::{Error, Result};
use crate::files::{create_folder, write_private};
use crate::supervised::Program;

pub(crate) const ETCD: &str = "etcd";
pub(crate) const API_SERVER: &str = "kube-apiserver";
pub(crate) const CONTROLLER_MANAGER: &str = "kube-controller-manager";

const AUDIT_POLICY: &str = include_str!("audit-policy.yaml");

/// Where things are in the folder of one control plane.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Has one file for each program that runs.
    pub(crate) const RUNNING: &str = "running";

    pub(crate) fn create(root: &Path) -> Result<Self> {
        let layout = Self { root: root.to_owned() };
        for folder in [layout.certificates(), layout.logs(), layout.home(), layout.running(), layout.kubeconfigs()] {
            create_folder(&folder)?;
        }
        Ok(layout)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn certificates(&self) -> PathBuf {
        self.root.join("certificates")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// What kubectl and helm take for the home folder, so that they neither read nor change the real one.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    pub(crate) fn running(&self) -> PathBuf {
        self.root.join(Self::RUNNING)
    }

    pub(crate) fn kubeconfigs(&self) -> PathBuf {
        self.root.join("kubeconfigs")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    pub(crate) fn controller_manager_kubeconfig(&self) -> PathBuf {
        self.root.join("controller-manager.kubeconfig")
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.logs().join("audit.log")
    }

    fn etcd_data(&self) -> PathBuf {
        self.root.join("etcd")
    }

    fn audit_policy(&self) -> PathBuf {
        self.root.join("audit-policy.yaml")
    }
}

/// `--name=value`, for values that need not be text.
fn flag(name: &str, value: impl Into<OsString>) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(value.into());
    flag
}

pub(crate) fn etcd(path: PathBuf, layout: &Layout, [client, peer]: [u16; 2]) -> Program {
    let (client, peer) = (local_url("http", client), local_url("http", peer));
    let arguments = vec![
        flag("name", "default"),
        flag("data-dir", layout.etcd_data()),
        flag("listen-client-urls", &client),
        flag("advertise-client-urls", &client),
        flag("listen-peer-urls", &peer),
        flag("initial-advertise-peer-urls", &peer),
        flag("initial-cluster", format!("default={peer}")),
        // Nothing here has to survive a power cut, and a test should not wait for a disk.
        "--unsafe-no-fsync".into(),
    ];
    Program { name: ETCD, path, arguments, user: Some(API_SERVER) }
}

/// What the API server depends on.
pub(crate) struct ApiServer<'a> {
    pub(crate) path: PathBuf,
    pub(crate) etcd: u16,
    pub(crate) port: u16,
    pub(crate) audit: bool,
    pub(crate) more: &'a [String],
}

impl ApiServer<'_> {
    pub(crate) fn program(self, layout: &Layout, certificates: &Certificates) -> Result<Program> {
        let mut arguments = vec![
            flag("etcd-servers", local_url("http", self.etcd)),
            flag("bind-address", "127.0.0.1"),
            flag("secure-port", self.port.to_string()),
            // Otherwise it looks for the address of the default route, and a machine without one has no API server.
            flag("advertise-address", "127.0.0.1"),
            // The endpoints of the service `kubernetes` may not be on loopback.
            flag("endpoint-reconciler-type", "none"),
            flag("service-cluster-ip-range", "10.0.0.0/24"),
            flag("tls-cert-file", certificates.server_file()),
            flag("tls-private-key-file", certificates.server_key_file()),
            flag("client-ca-file", certificates.ca_file()),
            flag("service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
            flag("service-account-signing-key-file", certificates.token_key_file()),
            flag("service-account-key-file", certificates.token_check_file()),
            flag("authorization-mode", "RBAC"),
            flag("allow-privileged", "true"),
            // Tells open watches to end; without it a stop waits for them until it is killed.
            flag("shutdown-watch-termination-grace-period", "1s"),
        ];
        if self.audit {
            write_private(&layout.audit_policy(), AUDIT_POLICY)?;
            arguments.push(flag("audit-policy-file", layout.audit_policy()));
            arguments.push(flag("audit-log-path", layout.audit_log()));
        }
        arguments.extend(self.more.iter().map(OsString::from));
        Ok(Program { name: API_SERVER, path: self.path, arguments, user: Some(CONTROLLER_MANAGER) })
    }
}

pub(crate) fn controller_manager(path: PathBuf, layout: &Layout, certificates: &Certificates) -> Program {
    let arguments = vec![
        flag("kubeconfig", layout.controller_manager_kubeconfig()),
        flag("root-ca-file", certificates.ca_file()),
        flag("service-account-private-key-file", certificates.token_key_file()),
        // Each controller with the rights of its own role, as in a real cluster.
        "--use-service-account-credentials".into(),
        flag("leader-elect", "false"),
        // No port of its own: what it does is seen through the API server.
        flag("secure-port", "0"),
        // The defaults are made for big clusters that share a server; tests create and delete in bursts.
        flag("kube-api-qps", "200"),
        flag("kube-api-burst", "400"),
    ];
    Program { name: CONTROLLER_MANAGER, path, arguments, user: None }
}

pub(crate) fn local_url(scheme: &str, port: u16) -> String {
    format!("{scheme}://127.0.0.1:{port}")
}

/// Ports that were free a moment ago. They are held together until all are picked, so that they differ.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::with_capacity(N);
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::Ports)?;
        *port = listener.local_addr().map_err(Error::Ports)?.port();
        held.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picked_ports_differ() {
        let [one, two] = free_ports().unwrap();
        assert_ne!(one, two);
    }
}
