//! What the commands share that ask GitLab and print policies: what is wanted, a client that only reads, and YAML that
//! may reach a terminal.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::RequestLimits;
use super::input_files::{self, Token, read, read_token};
use crate::api::RegistryCleanupPolicySpec;
use crate::clock::Clock;
use crate::cluster::credentials::Credentials;
use crate::controller::connection;
use crate::gitlab::{self, AlwaysOpen, Client, Namespace, Project};
use crate::policy::import::Address;
use crate::policy::{CompileOptions, Problem, compile};
use crate::terminal;

/// What is wanted.
#[derive(Debug)]
pub struct Request {
    /// Where GitLab is, and the Secret that the policies are to name.
    pub address: Address,
    /// The groups, each with its subgroups.
    pub groups: Vec<String>,
    /// Single projects.
    pub projects: Vec<String>,
    /// The namespace that the policies are to have, if any.
    pub namespace: Option<String>,
    /// The token for GitLab.
    pub token: Token,
    /// Certificates of the authorities to trust instead of the usual ones.
    pub ca: Option<PathBuf>,
    /// Hosts that tokens may be sent to; empty = any that is not local.
    pub allowed_hosts: Vec<String>,
    /// Whether http:// may be used.
    pub allow_insecure_http: bool,
    /// What one GitLab host is asked at most.
    pub limits: RequestLimits,
}

/// Where GitLab is, and the Secret that the policies are to name.
#[must_use]
pub fn address(url: String, secret: String) -> Address {
    Address { url, secret }
}

/// Why nothing is printed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file does not give what it should.
    #[error(transparent)]
    Input(#[from] input_files::Error),
    /// GitLab may not be asked there.
    #[error("{} ({})", .0.message, .0.reason)]
    Address(Problem),
    /// GitLab does not tell what is needed.
    #[error("failed to ask GitLab about {0}")]
    GitLab(String, #[source] gitlab::Error),
    /// The policies cannot be written, which nothing in them should bring about.
    #[error("failed to write the policies: {0}")]
    Shape(String),
}

impl Request {
    /// What an operator with the same flags would allow.
    pub(super) fn options(&self) -> CompileOptions {
        CompileOptions {
            allowed_hosts: self.allowed_hosts.clone(),
            allow_insecure_http: self.allow_insecure_http,
            ..CompileOptions::default()
        }
    }

    /// The groups and projects, each as it was written.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = (&String, Namespace)> {
        let groups = self.groups.iter().map(|path| (path, Namespace::Group { path: path.clone() }));
        let single = self.projects.iter().map(|path| (path, Namespace::Project(Project::from(path.as_str()))));
        groups.chain(single)
    }

    /// A client that refuses to send anything but reading requests, to a host that a policy may name.
    pub(super) fn client(&self, options: &CompileOptions, clock: &Arc<dyn Clock>) -> Result<Client, Error> {
        // Two libraries below use rustls; they are to agree on its provider.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let Address { url, .. } = &self.address;
        let probe = json!({
            "gitlab": {"url": url, "insecure": self.address.is_insecure(), "secretRef": {"name": "none"}},
            "target": {"projects": ["none"]},
            "rules": [{"name": "none", "nameRegexDelete": "none", "keepN": 1}],
            "schedule": "@daily",
        });
        let spec: RegistryCleanupPolicySpec =
            serde_json::from_value(probe).map_err(|error| Error::Shape(error.to_string()))?;
        let policy = compile(&spec, options, clock.now()).map_err(Error::Address)?;
        let credentials = Credentials {
            token: read_token(&self.token)?,
            ca_pem: self.ca.as_deref().map(read).transpose()?,
            identity_pem: None,
            proxy: None,
        };
        let gitlab = super::gitlab(self.limits, &self.allowed_hosts, Arc::clone(clock));
        let client = gitlab.connect(&connection(&policy, credentials), Arc::new(AlwaysOpen));
        client.map(Client::only_reading).map_err(|error| Error::GitLab(url.clone(), error))
    }
}

/// YAML that does nothing on a terminal: quoted throughout where a value holds what a terminal would obey, as in a
/// plan.
pub(super) fn yaml(value: &impl Serialize) -> Result<String, Error> {
    let written = serde_saphyr::to_string(value).map_err(|error| Error::Shape(error.to_string()))?;
    if !terminal::is_odd(&written) {
        return Ok(written);
    }
    let quoted = serde_saphyr::ser_options! { quote_all: true };
    let written = serde_saphyr::to_string_with_options(value, quoted);
    written.map(|text| terminal::quoted_yaml(&text)).map_err(|error| Error::Shape(error.to_string()))
}
