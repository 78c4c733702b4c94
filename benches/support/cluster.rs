//! A cluster with the operator's definition and permissions, and what a benchmark makes in it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use control_plane::Cluster;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::Failure;

/// A cluster that the operator is installed in.
pub(crate) struct Platform {
    /// The way to it with the operator's permissions.
    pub(crate) kubeconfig: PathBuf,
    /// A client with all permissions.
    pub(crate) kube: Client,
}

/// What an API server was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    lists: f64,
    watches: f64,
    /// What lists and single objects came to.
    bytes: f64,
}

impl Asked {
    /// What came since then.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            lists: self.lists - before.lists,
            watches: self.watches - before.watches,
            bytes: self.bytes - before.bytes,
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lists, watches, bytes } = self;
        write!(formatter, "{lists} lists and {watches} watches, {:.1} MiB", bytes / f64::from(1 << 20))
    }
}

impl Platform {
    pub(crate) async fn install(cluster: &Cluster) -> Result<Self, Failure> {
        for manifest in ["crds.yaml", "operator.yaml"] {
            let manifest = format!("{}/deploy/{manifest}", env!("CARGO_MANIFEST_DIR"));
            run(cluster.kubectl().args(["apply", "--server-side", "--force-conflicts", "--filename", &manifest]))?;
        }
        let definition = "crd/registrycleanuppolicies.registrycleanup.dev";
        run(cluster.kubectl().args(["wait", "--for=condition=Established", definition]))?;
        let kubeconfig = cluster.service_account_kubeconfig("registry-cleanup", "registry-cleanup-operator")?;
        Ok(Self { kubeconfig, kube: client(cluster.kubeconfig()).await? })
    }

    pub(crate) async fn namespace(&self, name: &str) -> Result<(), Failure> {
        let object: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::all(self.kube.clone()).create(&PostParams::default(), &object).await?;
        Ok(())
    }

    pub(crate) async fn secret(&self, namespace: &str, name: &str, key: &str, value: &str) -> Result<(), Failure> {
        let secret = serde_json::from_value(json!({"metadata": {"name": name}, "stringData": {key: value}}))?;
        let api: Api<Secret> = Api::namespaced(self.kube.clone(), namespace);
        api.create(&PostParams::default(), &secret).await?;
        Ok(())
    }

    /// What the API server was asked for since it began, by its own metrics.
    pub(crate) async fn asked(&self) -> Result<Asked, Failure> {
        let request = axum::http::Request::get("/metrics").body(Vec::new())?;
        let text = self.kube.request_text(request).await?;
        let sum = |name: &str, verb: &str| -> f64 {
            let of = |line: &&str| line.starts_with(name) && line.contains(&format!("verb=\"{verb}\""));
            text.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        let requests = |verb| sum("apiserver_request_total{", verb);
        let bytes = |verb| sum("apiserver_response_sizes_sum{", verb);
        Ok(Asked { lists: requests("LIST"), watches: requests("WATCH"), bytes: bytes("LIST") + bytes("GET") })
    }

    /// Removes a namespace with all that is in it.
    pub(crate) async fn remove(&self, namespace: &str) -> Result<(), Failure> {
        let namespaces: Api<Namespace> = Api::all(self.kube.clone());
        namespaces.delete(namespace, &DeleteParams::default()).await?;
        Ok(())
    }
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let output = command.output()?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
}

async fn client(kubeconfig: &Path) -> Result<Client, Failure> {
    // An error means that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}
