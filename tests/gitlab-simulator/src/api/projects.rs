//! `GET /projects/:id`, as far as it is about the registry: the project's own cleanup policy (gitlab-api reference 8).
//! And the rules that protect its tags, without the immutable ones (gitlab-api reference 10).

use serde_json::{Value, json};

use super::{Site, answer::Answer, auth::Caller, call::Call, entities::zulu, readable_project, visible_project};
use crate::{abilities::Ability, config::Version, state::Registry};

/// `…/registry/protection/tag/rules`, for those who administer images.
pub(super) fn tag_rules(registry: &Registry, call: &Call, caller: &Caller, site: &Site) -> Result<Answer, Answer> {
    let project = readable_project(registry, call, caller, site)?;
    if !registry.may(caller.user, Ability::Administer, &project) {
        return Err(Answer::forbidden());
    }
    let shown = project.protection_rules.iter().enumerate().filter_map(|(at, rule)| {
        let level = rule.delete_level?;
        Some(json!({
            "id": at + 1,
            "project_id": project.id,
            "tag_name_pattern": rule.pattern,
            "minimum_access_level_for_push": level,
            "minimum_access_level_for_delete": level,
        }))
    });
    Ok(Answer::json(200, &shown.collect::<Value>()))
}

pub(super) fn get(registry: &Registry, call: &Call, caller: &Caller, site: &Site) -> Result<Answer, Answer> {
    let project = visible_project(registry, call, caller, site)?;
    let mut shown = json!({
        "id": project.id,
        "name": project.path.rsplit('/').next(),
        "path_with_namespace": project.path,
        "archived": project.archived,
        "marked_for_deletion_on": project.pending_deletion.then_some("2026-12-31"),
        "container_registry_access_level": project.registry_access,
    });
    let policy = &project.cleanup_policy;
    // Policies came with 12.8.
    if registry.settings.version >= Version::new(12, 8)
        && let Some(object) = shown.as_object_mut()
    {
        let policy = json!({
            "enabled": policy.enabled,
            "cadence": policy.cadence,
            "keep_n": policy.keep_n,
            "older_than": policy.older_than,
            "name_regex": policy.name_regex,
            "name_regex_keep": policy.name_regex_keep,
            "next_run_at": policy.next_run_at.map(zulu),
        });
        object.insert("container_expiration_policy".to_owned(), policy);
    }
    Ok(Answer::json(200, &shown))
}
