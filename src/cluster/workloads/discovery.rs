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

/// Looks for a kind in the versions that may be read. `None` where the cluster does not have it in any version of its
/// group.
///
/// # Errors
/// When that cannot be found out, or the cluster has the kind but not so that it can be watched.
pub(super) async fn find(client: &Client, workload: &CustomWorkload) -> Result<Option<Found>, WatchError> {
    let group = workload.group();
    if group.is_empty() {
        return find_core(client, workload).await;
    }
    let versions = match discover::<Group>(client, "/apis", group).await {
        Ok(group) => group.versions,
        Err(WatchError::Absent) => return Ok(None),
        Err(other) => return Err(other),
    };
    let mut best: Option<(usize, String, Resource)> = None;
    let mut elsewhere = None;
    for GroupVersion { version } in versions {
        let resources = match discover::<Resources>(client, &format!("/apis/{group}"), &version).await {
            Ok(found) => found.resources,
            // Its last definition was removed a moment ago.
            Err(WatchError::Absent) => continue,
            Err(other) => return Err(other),
        };
        let Some(resource) = resource_of(workload, resources) else { continue };
        match workload.versions().position(|readable| readable == version) {
            Some(0) => return found(workload, &version, resource).map(Some),
            Some(rank) if best.as_ref().is_none_or(|(other, ..)| rank < *other) => {
                best = Some((rank, version, resource));
            }
            Some(_) => {}
            None => elsewhere = Some(version),
        }
    }
    match (best, elsewhere) {
        (Some((_, version, resource)), _) => found(workload, &version, resource).map(Some),
        // Its objects exist all the same, perhaps with other paths.
        (None, Some(version)) => {
            let readable: Vec<&str> = workload.versions().collect();
            Err(WatchError::Failed(format!("the cluster has it in version {version}, not {}", readable.join(" or "))))
        }
        (None, None) => Ok(None),
    }
}

/// The same for a kind of the core group, which has a path of its own and one version.
async fn find_core(client: &Client, workload: &CustomWorkload) -> Result<Option<Found>, WatchError> {
    let version = workload.versions().next().unwrap_or_default();
    let resources = match discover::<Resources>(client, "/api", version).await {
        Ok(found) => found.resources,
        Err(WatchError::Absent) => return Ok(None),
        Err(other) => return Err(other),
    };
    resource_of(workload, resources).map(|resource| found(workload, version, resource)).transpose()
}

/// The others of this kind are subresources.
fn resource_of(workload: &CustomWorkload, resources: Vec<Resource>) -> Option<Resource> {
    resources.into_iter().find(|it| it.kind == workload.kind() && !it.name.contains('/'))
}

fn found(workload: &CustomWorkload, version: &str, resource: Resource) -> Result<Found, WatchError> {
    if !["list", "watch"].iter().all(|verb| resource.verbs.iter().any(|it| it == verb)) {
        return Err(WatchError::failed("it cannot be both listed and watched"));
    }
    let (group, version) = (workload.group().to_owned(), version.to_owned());
    let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
    let kind = workload.kind().to_owned();
    let Resource { name: plural, namespaced, .. } = resource;
    Ok(Found { resource: ApiResource { group, version, api_version, kind, plural }, namespaced })
}
