//! `import`: asks GitLab for its own cleanup policies of the projects of a group, and prints policies of ours that mean
//! the same. It changes nothing.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::RequestLimits;
use super::input_files::{self, Token, read, read_token};
use super::progress::Progress;
use crate::api::{RegistryCleanupPolicySpec, RuleSpec};
use crate::clock::{Clock, SystemClock};
use crate::cluster::credentials::Credentials;
use crate::controller::connection;
use crate::gitlab::{self, AlwaysOpen, Client, Namespace, Project};
use crate::policy::import::{Address, Import, Imported, ProjectSettings, import};
use crate::policy::{CompileOptions, Problem, compile};
use crate::terminal::{self, plain};

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

/// A policy as it stands in a file, in the order in which people read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

#[derive(Serialize)]
struct Spec<'a> {
    gitlab: GitLab<'a>,
    target: Target<'a>,
    rules: [&'a RuleSpec; 1],
    schedule: &'static str,
    mode: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GitLab<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    insecure: Option<bool>,
    secret_ref: Secret<'a>,
}

#[derive(Serialize)]
struct Secret<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Target<'a> {
    projects: &'a [String],
}

/// Asks GitLab, and answers the file.
///
/// # Errors
/// When something could not be asked. What GitLab does not tell of a project is part of the file.
pub async fn file(request: &Request) -> Result<String, Error> {
    // Two libraries below use rustls; they are to agree on its provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = CompileOptions {
        allowed_hosts: request.allowed_hosts.clone(),
        allow_insecure_http: request.allow_insecure_http,
        ..CompileOptions::default()
    };
    let client = client(request, &options, &clock)?;
    let projects = read_all(&client, request).await?;
    let import = import(&request.address, &projects, &options, clock.now());
    text(request, &import)
}

/// A client that refuses to send anything but reading requests, to a host that a policy may name.
fn client(request: &Request, options: &CompileOptions, clock: &Arc<dyn Clock>) -> Result<Client, Error> {
    let Address { url, .. } = &request.address;
    let probe = json!({
        "gitlab": {"url": url, "insecure": request.address.is_insecure(), "secretRef": {"name": "none"}},
        "target": {"projects": ["none"]},
        "rules": [{"name": "none", "nameRegexDelete": "none", "keepN": 1}],
        "schedule": "@daily",
    });
    let spec: RegistryCleanupPolicySpec =
        serde_json::from_value(probe).map_err(|error| Error::Shape(error.to_string()))?;
    let policy = compile(&spec, options, clock.now()).map_err(Error::Address)?;
    let credentials = Credentials {
        token: read_token(&request.token)?,
        ca_pem: request.ca.as_deref().map(read).transpose()?,
        identity_pem: None,
        proxy: None,
    };
    let gitlab = super::gitlab(request.limits, &request.allowed_hosts, Arc::clone(clock));
    let client = gitlab.connect(&connection(&policy, credentials), Arc::new(AlwaysOpen));
    client.map(Client::only_reading).map_err(|error| Error::GitLab(request.address.url.clone(), error))
}

/// The cleanup policies of all projects with a repository: a project without one has nothing to clean.
async fn read_all(client: &Client, request: &Request) -> Result<Vec<ProjectSettings>, Error> {
    let mut progress = Progress::new();
    let groups = request.groups.iter().map(|path| (path, Namespace::Group { path: path.clone() }));
    let single = request.projects.iter().map(|path| (path, Namespace::Project(Project::from(path.as_str()))));
    let mut projects = BTreeMap::new();
    for (path, namespace) in groups.chain(single) {
        progress.show(&format!("looking for repositories of {}", plain(path)));
        let listed = client.repositories(&namespace).await;
        for repository in listed.map_err(|error| Error::GitLab(path.clone(), error))? {
            projects.insert(repository.project_path().to_owned(), repository.reference().project);
        }
    }
    let (all, mut read) = (projects.len(), Vec::new());
    for (path, project) in projects {
        progress.show(&format!("{}/{all} projects", read.len()));
        let settings = client.cleanup_settings(&project).await;
        let settings = settings.map_err(|error| Error::GitLab(path.clone(), error))?;
        read.push(ProjectSettings { path, settings });
    }
    Ok(read)
}

/// The file: one document for each policy, and comments.
fn text(request: &Request, import: &Import) -> Result<String, Error> {
    let mut text = format!("# Made of GitLab's own cleanup policies at {}.\n", plain(&request.address.url));
    text.push_str(
        "#\n# Each policy is a dry run: compare what it tells with what GitLab removed so far, then write `mode: Delete`.\n\
         # Other than GitLab's own, a policy keeps images that the cluster uses, and runs as the user of its token.\n\
         # Its schedule is in UTC.\n",
    );
    for (number, policy) in (1..).zip(&import.policies) {
        text.push_str("---\n");
        for remark in &policy.remarks {
            let _ = writeln!(text, "# {}", plain(remark));
        }
        text.push_str(&document(request, policy, number)?);
    }
    if !import.left.is_empty() {
        text.push_str("#\n# Not carried over:\n");
        for left in &import.left {
            for project in &left.projects {
                let _ = writeln!(text, "# - {}: {}", plain(project), plain(&left.why));
            }
        }
    }
    if !import.policies.is_empty() {
        text.push_str(&switch_off(request, import));
    }
    Ok(text)
}

fn document(request: &Request, policy: &Imported, number: usize) -> Result<String, Error> {
    let name = if number == 1 { "imported".to_owned() } else { format!("imported-{number}") };
    let manifest = Manifest {
        api_version: "registrycleanup.dev/v1alpha1",
        kind: "RegistryCleanupPolicy",
        metadata: Metadata { name, namespace: request.namespace.as_deref() },
        spec: Spec {
            gitlab: GitLab {
                url: &request.address.url,
                insecure: request.address.is_insecure().then_some(true),
                secret_ref: Secret { name: &request.address.secret },
            },
            target: Target { projects: &policy.projects },
            rules: [&policy.rule],
            schedule: policy.schedule,
            mode: "DryRun",
        },
    };
    // Quoted throughout where a value holds what a terminal would obey, as in a plan.
    let written = serde_saphyr::to_string(&manifest).map_err(|error| Error::Shape(error.to_string()))?;
    if !terminal::is_odd(&written) {
        return Ok(written);
    }
    let quoted = serde_saphyr::ser_options! { quote_all: true };
    let written = serde_saphyr::to_string_with_options(&manifest, quoted);
    written.map(|text| terminal::quoted_yaml(&text)).map_err(|error| Error::Shape(error.to_string()))
}

/// How GitLab's own policies are switched off afterwards. GitLab behaviour: `container_expiration_policy_attributes` of
/// `PUT /projects/:id`, for Maintainers. <https://docs.gitlab.com/api/projects/#edit-a-project>
fn switch_off(request: &Request, import: &Import) -> String {
    let projects = import.policies.iter().flat_map(|policy| &policy.projects);
    // What a path of GitLab cannot hold could end the command.
    let fits = |path: &&String| path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let list: Vec<String> = projects.filter(fits).map(|path| path.replace('/', "%2F")).collect();
    format!(
        "#\n# Before the policies here remove, switch GitLab's own off, with the token of a Maintainer (scope api):\n\
         #\n\
         # for project in {}; do\n\
         #   curl --fail --silent --show-error --output /dev/null --request PUT --header \"PRIVATE-TOKEN: $TOKEN\" \\\n\
         #     --data 'container_expiration_policy_attributes[enabled]=false' \\\n\
         #     \"{}/api/v4/projects/$project\"\n\
         # done\n",
        list.join(" "),
        plain(request.address.url.trim_end_matches('/'))
    )
}
