//! `report`: gathers what whoever looks into a fault asks for first, without tokens and, unless they may stay, without
//! names of hosts and projects, into one archive. It changes nothing.

mod archive;

use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::cluster_config;
use super::doctor::request::{Error as DoctorError, Request as DoctorRequest};
use super::doctor::{self, operator};
use crate::api::RegistryCleanupPolicy;
use crate::clock::{Clock, SystemClock};
use crate::cluster::installation::Installation;
use crate::cluster::{ApiError, OPERATOR, evidence, policies};
use crate::policy::redact::Redaction;
use crate::terminal::plain;

use archive::{Entry, pack};

/// The folder that everything lies in.
const FOLDER: &str = "registry-cleanup-report";

/// What is wanted.
#[derive(Debug)]
pub struct Request {
    /// What `doctor` is asked, which says which policies are meant as well.
    pub doctor: DoctorRequest,
    /// Whether names of hosts and projects stay.
    pub keep_names: bool,
    /// How many lines of each log.
    pub log_lines: u32,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no cluster to look at.
    #[error(transparent)]
    Doctor(#[from] DoctorError),
    /// It cannot be packed.
    #[error("failed to pack the report")]
    Pack(#[source] std::io::Error),
    /// Something cannot be written as JSON.
    #[error("failed to write the report as JSON")]
    Json(#[from] serde_json::Error),
}

/// A report that is ready to be written.
#[derive(Debug)]
pub struct Report {
    /// What is in it, for people: a line for each file.
    pub contents: String,
    /// The archive, a `tar.gz`.
    pub archive: Vec<u8>,
}

/// What was gathered, before anything is taken out of it.
struct Gathered {
    policies: Vec<RegistryCleanupPolicy>,
    operator: Option<Installation>,
    /// Name, what it is, and a document or the lines of a log.
    files: Vec<(String, &'static str, Found)>,
}

enum Found {
    Document(Value),
    Lines(String),
}

/// Gathers a report.
///
/// # Errors
/// When there is no cluster. What could not be read is said in the report.
pub async fn gather(request: &Request) -> Result<Report, Error> {
    let (client, config) = cluster_config::reach(&request.doctor.proxies).await.map_err(DoctorError::from)?;
    let diagnosis = doctor::examine_in(&client, &config.default_namespace, &request.doctor).await?;
    let namespace = request.doctor.namespace.clone();
    let namespace = namespace.or_else(|| request.doctor.policy.as_ref().map(|_| config.default_namespace));
    let mut gathered = read(&client, request, namespace.as_deref()).await;
    let diagnosis = Found::Document(serde_json::to_value(&diagnosis)?);
    gathered.files.insert(0, ("doctor.json".to_owned(), "what doctor says of it", diagnosis));
    let entries = redacted(gathered, request.keep_names)?;
    let contents = entries
        .iter()
        .map(|Entry { name, about, content }| format!("{}  {} ({} bytes)\n", plain(name), about, content.len()));
    let contents = contents.collect();
    let archive = pack(&entries, SystemClock.now().as_second()).map_err(Error::Pack)?;
    Ok(Report { contents, archive })
}

async fn read(client: &Client, request: &Request, namespace: Option<&str>) -> Gathered {
    let listed = policies::list_in(client, namespace).await.map_err(|error| crate::causes::chain(&error));
    let named =
        |policy: &RegistryCleanupPolicy| request.doctor.policy.as_ref().is_none_or(|name| policy.name_any() == *name);
    let (policies, why) = match listed {
        Ok(policies) => (policies.into_iter().filter(named).collect(), None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let stored = match why {
        Some(why) => json!({"unread": why}),
        None => serde_json::to_value(&policies).unwrap_or_default(),
    };
    let installed = operator(client, &request.doctor).await;
    let kubernetes = told(evidence::kubernetes_version(client).await);
    let versions = json!({
        "program": env!("REGISTRY_CLEANUP_VERSION"),
        "operator": installed.as_ref().and_then(|found| found.version.clone()),
        "kubernetes": kubernetes,
    });
    let events = told(evidence::events(client, namespace).await);
    let mut files = vec![
        (
            "versions.json".to_owned(),
            "versions of this program, the operator and Kubernetes",
            Found::Document(versions),
        ),
        ("policies.json".to_owned(), "the policies with their statuses", Found::Document(stored)),
        ("events.json".to_owned(), "the events of policies", Found::Document(events)),
    ];
    if let Some(found) = &installed {
        files.push(("operator.json".to_owned(), "the operator's Deployment", Found::Document(deployment(found))));
        files.extend(logs(client, found, request.log_lines).await);
    }
    Gathered { policies, operator: installed, files }
}

fn deployment(found: &Installation) -> Value {
    json!({
        "namespace": found.namespace, "name": found.name, "serviceAccount": found.account,
        "pods": {"wanted": found.wanted, "ready": found.ready}, "arguments": found.arguments,
    })
}

async fn logs(client: &Client, found: &Installation, lines: u32) -> Vec<(String, &'static str, Found)> {
    const ABOUT: &str = "the last lines of an operator's log";
    let label = format!("app.kubernetes.io/name={OPERATOR}");
    let pods = match evidence::pods(client, &found.namespace, &label).await {
        Ok(pods) => pods,
        Err(error) => return vec![("logs.txt".to_owned(), ABOUT, Found::Lines(unread(&error)))],
    };
    let mut logs = Vec::new();
    for (number, pod) in pods.iter().enumerate() {
        let log = evidence::log(client, &found.namespace, pod, lines.into()).await;
        let log = log.unwrap_or_else(|error| unread(&error));
        logs.push((format!("logs-{}.txt", number + 1), ABOUT, Found::Lines(log)));
    }
    logs
}

fn told<T: serde::Serialize>(answer: Result<T, ApiError>) -> Value {
    match answer {
        Ok(answer) => serde_json::to_value(answer).unwrap_or_default(),
        Err(error) => json!({"unread": error.to_string()}),
    }
}

fn unread(error: &ApiError) -> String {
    format!("it could not be read: {error}\n")
}

/// Takes out what must not be in the report.
fn redacted(gathered: Gathered, keep_names: bool) -> Result<Vec<Entry>, Error> {
    let Gathered { policies, operator, files } = gathered;
    let mut redaction = Redaction::new(keep_names);
    for policy in &policies {
        redaction.keep(&policy.namespace().unwrap_or_default());
        redaction.keep(&policy.name_any());
    }
    if let Some(Installation { namespace, name, account, .. }) = &operator {
        for word in [namespace, name, account] {
            redaction.keep(word);
        }
    }
    for policy in &policies {
        learn(policy, &mut redaction);
    }
    let mut entries = Vec::new();
    for (name, about, found) in files {
        let content = match found {
            Found::Document(document) => serde_json::to_string_pretty(&redaction.json(document))? + "\n",
            Found::Lines(lines) => redaction.text(&lines),
        };
        entries.push(Entry { name: format!("{FOLDER}/{name}"), about, content });
    }
    Ok(entries)
}

/// Learns the names that a policy has.
fn learn(policy: &RegistryCleanupPolicy, redaction: &mut Redaction) {
    let spec = &policy.spec;
    let host = url::Url::parse(&spec.gitlab.url).ok().and_then(|url| url.host_str().map(str::to_owned));
    if let Some(host) = host {
        redaction.learn_host(&host);
    }
    spec.target.projects.iter().for_each(|project| redaction.learn_path(project));
    spec.target.groups.iter().for_each(|group| redaction.learn_path(&group.path));
    let Some(status) = &policy.status else { return };
    status.repositories.iter().for_each(|repository| redaction.learn_path(&repository.path));
    status.empty_repositories.iter().for_each(|repository| redaction.learn_path(&repository.path));
    status.projects_with_cleanup_policy.iter().for_each(|project| redaction.learn_path(project));
    status.unused_registries.iter().for_each(|registry| redaction.learn_host(registry));
    for hours in &status.reserved_hours {
        hours.registry.iter().for_each(|registry| redaction.learn_host(registry));
        hours.repositories.iter().for_each(|repository| redaction.learn_path(&repository.path));
    }
}
