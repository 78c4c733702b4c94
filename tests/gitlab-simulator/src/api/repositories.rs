//! E1 to E4: listing, reading and deleting repositories.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    Site,
    answer::Answer,
    auth::Caller,
    call::Call,
    check_repository_id, entities,
    pagination::{Counted, PageParams, offset_page},
    params::Params,
    readable_project, repository_of,
};
use crate::{
    abilities::Ability,
    config::Version,
    jobs::MOST_LISTED_TAGS,
    state::{Registry, RegistryAccess, Repository, Tag, is_within},
};

/// The optional parts of a repository that were asked for.
#[derive(Clone, Copy, Default)]
struct Parts {
    tags: bool,
    tags_count: bool,
    size: bool,
}

impl Parts {
    fn read(params: &mut Params<'_>, version: Version) -> Self {
        let tags = params.boolean("tags").unwrap_or_default();
        // Unknown parameters are ignored, whatever they hold.
        let counted = version >= Version::new(13, 1);
        let tags_count = counted && params.boolean("tags_count").unwrap_or_default();
        Self { tags, tags_count, size: false }
    }

    /// Whether any of them needs the registry.
    fn any(self) -> bool {
        self.tags || self.tags_count || self.size
    }
}

/// The registry's answer to one tag listing for this request; its errors read as an empty list
/// (gitlab-api reference 1.6).
pub(super) fn listed<'r>(registry: &'r Registry, call: &Call, repository: &'r Repository) -> Vec<&'r Tag> {
    if registry.settings.registry_lists_fail {
        return Vec::new();
    }
    let mut tags = repository.listed(registry.settings.listing_order());
    if !registry.settings.path_a() {
        tags.truncate(MOST_LISTED_TAGS);
    }
    if let Some(keep) = call.listed_tags {
        tags.truncate(keep);
    }
    tags
}

fn render(registry: &Registry, call: &Call, repository: &Repository, parts: Parts) -> Value {
    let host = &registry.settings.registry_host;
    let mut shown = entities::repository(repository, host);
    let mut add = |name: &str, value: Value| {
        if let Some(object) = shown.as_object_mut() {
            object.insert(name.to_owned(), value);
        }
    };
    if parts.any() {
        let tags = listed(registry, call, repository);
        if parts.tags_count {
            // One answer of the registry, so it saturates.
            add("tags_count", json!(tags.len().min(MOST_LISTED_TAGS)));
        }
        if parts.tags {
            add("tags", tags.iter().map(|tag| entities::tag(repository, tag, host)).collect());
        }
        if parts.size {
            add("size", json!(size(registry, repository)));
        }
    }
    shown
}

/// The size as the registry tells it in its details, which are no list and so never cut short. Without the metadata
/// database, or when the registry answers with an error, nobody knows.
fn size(registry: &Registry, repository: &Repository) -> Option<u64> {
    if registry.settings.registry_lists_fail || !registry.settings.path_a() {
        return None;
    }
    // Layers shared by tags of one digest count once.
    let images: BTreeMap<&str, u64> = repository.tags().values().map(|tag| (tag.digest.as_str(), tag.size)).collect();
    Some(images.values().sum())
}

fn reachable(registry: &Registry, parts: Parts) -> Result<(), Answer> {
    if parts.any() && registry.settings.registry_unreachable { Err(Answer::registry_unreachable()) } else { Ok(()) }
}

pub(super) fn list_of_project(
    registry: &Registry,
    call: &Call,
    caller: &Caller,
    site: &Site,
) -> Result<Answer, Answer> {
    let project = readable_project(registry, call, caller, site)?;
    let mut params = Params::new(&call.params);
    let parts = Parts::read(&mut params, registry.settings.version);
    let page = PageParams::read(&mut params, &registry.settings);
    params.checked()?;
    reachable(registry, parts)?;
    let found: Vec<_> = registry.repositories().filter(|found| found.project == project.id).collect();
    Ok(offset_page(&found, Counted::Rows, page, call, site, |found| render(registry, call, found, parts)))
}

pub(super) fn list_of_group(registry: &Registry, call: &Call, caller: &Caller, site: &Site) -> Result<Answer, Answer> {
    let group = match call.namespace.parse::<u64>() {
        Ok(number) => registry.find_group(number),
        Err(_) => registry.group_by_path(&call.namespace),
    };
    let group = group.filter(|group| registry.may_see_group(caller.user, group));
    let group = group.ok_or_else(|| Answer::not_found_of("Group"))?;
    if !registry.may_read_group(caller.user, group) {
        return Err(Answer::forbidden());
    }
    let version = registry.settings.version;
    let mut params = Params::new(&call.params);
    // Both parameters went in 15.0.
    let parts = if version < Version::new(15, 0) { Parts::read(&mut params, version) } else { Parts::default() };
    let page = PageParams::read(&mut params, &registry.settings);
    params.checked()?;
    reachable(registry, parts)?;
    let projects: BTreeSet<u64> = registry
        .projects()
        .filter(|project| is_within(&project.path, &group.path))
        .filter(|project| project.registry_access != RegistryAccess::Disabled)
        .map(|project| project.id)
        .collect();
    let found: Vec<_> = registry.repositories().filter(|found| projects.contains(&found.project)).collect();
    Ok(offset_page(&found, Counted::Rows, page, call, site, |found| render(registry, call, found, parts)))
}

pub(super) fn get(registry: &Registry, call: &Call, caller: &Caller, site: &Site) -> Result<Answer, Answer> {
    if caller.user.is_none() {
        return Err(Answer::unauthorized());
    }
    let mut params = Params::new(&call.params);
    let mut parts = Parts::read(&mut params, registry.settings.version);
    parts.size = params.boolean("size").unwrap_or_default();
    params.checked()?;
    let found = call.repository_id().and_then(|id| registry.find_repository(id)).ok_or_else(Answer::not_found)?;
    let project = registry.find_project(found.project).ok_or_else(Answer::not_found)?;
    // Found by its id and then refused: the caller learns that it exists (gitlab-api reference 5).
    if !registry.may(caller.user, Ability::Read, project) {
        return Err(Answer::forbidden());
    }
    reachable(registry, parts)?;
    let mut shown = render(registry, call, found, parts);
    if registry.may(caller.user, Ability::Administer, project)
        && let Some(object) = shown.as_object_mut()
    {
        object.insert("delete_api_path".to_owned(), json!(entities::delete_api_path(found, site)));
    }
    Ok(Answer::json(200, &shown))
}

pub(super) fn delete(registry: &mut Registry, call: &Call, caller: &Caller, site: &Site) -> Result<Answer, Answer> {
    let project = readable_project(registry, call, caller, site)?;
    let mut params = Params::new(&call.params);
    check_repository_id(&mut params, call);
    params.checked()?;
    let id = repository_of(registry, call, &project)?;
    if !registry.may(caller.user, Ability::Administer, &project) {
        return Err(Answer::forbidden());
    }
    if registry.find_repository(id).is_some_and(|found| found.deletion_protected) {
        return Err(Answer::message(403, "403 Forbidden - Deleting protected container repository forbidden."));
    }
    registry.enqueue_repository_deletion(id, caller.user);
    Ok(Answer::number(202))
}
