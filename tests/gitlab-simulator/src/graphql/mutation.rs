//! `destroyContainerRepositoryTags`: synchronous and without the hourly lease (gitlab-api reference 8a and 2.6).

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::{errors::GraphqlError, plan::Planned, request::REPOSITORY_GID, resolve::choose, time::Time};
use crate::{
    abilities::Ability,
    api::{Caller, READ_ONLY},
    config::Maintenance,
    state::{Project, Registry},
};

/// Tags in one call.
const MOST_NAMES: usize = 20;

/// Runs the fields of a mutation one after the other, in the order in which they stand.
pub(super) fn run(
    registry: &mut Registry,
    caller: &Caller,
    fields: &[Planned],
    time: &mut Time,
) -> (Value, Vec<GraphqlError>) {
    let (mut shown, mut errors) = (Map::new(), Vec::new());
    for field in fields {
        let value = match field.name.as_str() {
            "__typename" => json!(field.parent),
            _ if time.is_over() => {
                errors.push(GraphqlError::timeout(field.parent, &field.name).at(field.at).path(&[json!(field.key)]));
                Value::Null
            }
            _ => match destroy_tags(registry, caller, field, time) {
                // `errors` may not be null, so that what it is a part of is null.
                Ok(_) if time.is_over() => {
                    let error = GraphqlError::timeout("DestroyContainerRepositoryTagsPayload", "errors");
                    errors.push(error.at(field.at).path(&[json!(field.key), json!("errors")]));
                    Value::Null
                }
                Ok(payload) => choose(&payload, &field.children),
                Err(error) => {
                    errors.push(error.at(field.at).path(&[json!(field.key)]));
                    Value::Null
                }
            },
        };
        shown.insert(field.key.clone(), value);
    }
    (Value::Object(shown), errors)
}

fn destroy_tags(
    registry: &mut Registry,
    caller: &Caller,
    field: &Planned,
    time: &mut Time,
) -> Result<Value, GraphqlError> {
    let input = field.arguments.get("input").cloned().unwrap_or_default();
    let names: Vec<String> = match input.get("tagNames") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(name)) => vec![name.clone()],
        _ => Vec::new(),
    };
    // The arguments are read before anybody asks who is calling.
    if names.len() > MOST_NAMES {
        return Err(GraphqlError::new(format!("Number of tags is greater than {MOST_NAMES}")));
    }
    if registry.settings.maintenance != Maintenance::Off {
        return Err(GraphqlError::new(READ_ONLY));
    }
    let id = input.get("id").and_then(Value::as_str).and_then(|id| id.strip_prefix(REPOSITORY_GID));
    let found = id.and_then(|id| id.parse().ok()).and_then(|id: u64| registry.find_repository(id));
    let project = found.and_then(|found| registry.find_project(found.project));
    // A token that may only read is refused like a role that may not.
    let may = |project: &Project| {
        registry.may(caller.user, Ability::Destroy, project) && !registry.rules_deny_repository(caller.user, project)
    };
    let allowed = caller.writes && project.is_some_and(may);
    let Some(id) = found.map(|found| found.id).filter(|_| allowed) else {
        return Err(GraphqlError::not_available());
    };
    let (deleted, error) = if names.is_empty() {
        (Vec::new(), Some("not tags specified".to_owned()))
    } else {
        let mut spent = SignedDuration::ZERO;
        let removal = registry.remove_tags(id, caller.user, names, false, &mut spent);
        let deleted = removal.deleted.unwrap_or_default();
        time.spend_each(registry.settings.graphql_removal_takes, deleted.len());
        (deleted, removal.error)
    };
    Ok(json!({
        "clientMutationId": input.get("clientMutationId"),
        "deletedTagNames": deleted,
        "errors": error.into_iter().collect::<Vec<_>>(),
    }))
}
