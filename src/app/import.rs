//! `import`: asks GitLab for its own cleanup policies of the projects of a group, and prints policies of ours that mean
//! the same. It changes nothing.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;

use super::gitlab_reader::{Error, Request, yaml};
use super::progress::Progress;
use crate::api::RuleSpec;
use crate::clock::{Clock, SystemClock};
use crate::gitlab::Client;
use crate::policy::import::{Import, Imported, ProjectSettings, import};
use crate::terminal::plain;

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
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = request.options();
    let client = request.client(&options, &clock)?;
    let projects = read_all(&client, request).await?;
    let import = import(&request.address, &projects, &options, clock.now());
    text(request, &import)
}

/// The cleanup policies of all projects with a repository: a project without one has nothing to clean.
async fn read_all(client: &Client, request: &Request) -> Result<Vec<ProjectSettings>, Error> {
    let mut progress = Progress::new();
    let mut projects = BTreeMap::new();
    for (path, namespace) in request.namespaces() {
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
    yaml(&manifest)
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
