//! Finds out whether the cluster has a custom kind, and where.

use kube::Client;
use kube::core::ApiResource;
use serde::Deserialize;

use super::custom::CustomWorkload;
use super::requests::{WatchError, discover};

/// What API discovery says of a group.
#[derive(Deserialize)]
struct Group {
    versions: Vec<GroupVersion>,
}

#[derive(Deserialize)]
struct GroupVersion {
    version: String,
}

/// What API discovery says of one version of a group.
#[derive(Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    kind: String,
    namespaced: bool,
    verbs: Vec<String>,
}

/// A custom kind as the cluster has it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) resource: ApiResource,
    pub(super) namespaced: bool,
}

/// Looks for a kind. `None` where the cluster does not have it in any version of its group.
///
/// # Errors
/// When that cannot be found out, or the cluster has the kind but not so that it can be watched.
pub(super) async fn find(client: &Client, workload: &CustomWorkload) -> Result<Option<Found>, WatchError> {
    let group = workload.group();
    let versions = match discover::<Group>(client, "/apis", group).await {
        Ok(group) => group.versions,
        Err(WatchError::Absent) => return Ok(None),
        Err(other) => return Err(other),
    };
    let mut elsewhere = None;
    for GroupVersion { version } in versions {
        let resources = match discover::<Resources>(client, &format!("/apis/{group}"), &version).await {
            Ok(found) => found.resources,
            // Its last definition was removed a moment ago.
            Err(WatchError::Absent) => continue,
            Err(other) => return Err(other),
        };
        // The others of this kind are subresources.
        let resource = resources.into_iter().find(|it| it.kind == workload.kind() && !it.name.contains('/'));
        match resource {
            Some(resource) if version == workload.version() => return found(workload, resource).map(Some),
            Some(_) => elsewhere = Some(version),
            None => {}
        }
    }
    match elsewhere {
        // Its objects exist all the same, perhaps with other paths.
        Some(version) => {
            Err(WatchError::Failed(format!("the cluster has it in version {version}, not {}", workload.version())))
        }
        None => Ok(None),
    }
}

fn found(workload: &CustomWorkload, resource: Resource) -> Result<Found, WatchError> {
    if !["list", "watch"].iter().all(|verb| resource.verbs.iter().any(|it| it == verb)) {
        return Err(WatchError::failed("it cannot be both listed and watched"));
    }
    let (group, version) = (workload.group().to_owned(), workload.version().to_owned());
    let api_version = format!("{group}/{version}");
    let kind = workload.kind().to_owned();
    let Resource { name: plural, namespaced, .. } = resource;
    Ok(Found { resource: ApiResource { group, version, api_version, kind, plural }, namespaced })
}
