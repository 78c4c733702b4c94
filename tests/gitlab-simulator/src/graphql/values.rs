//! Values of arguments and variables against their types, which are written as GraphQL writes them: `[String!]!`.

use serde_json::Value;

use super::{
    request::{AstValue, REPOSITORY_GID},
    schema::{Argument, DESTROY_TAGS_INPUT, INPUT_SCALARS, Schema},
};

/// The one input object.
const DESTROY_TAGS: &str = "DestroyContainerRepositoryTagsInput";

/// The members of an input object.
pub(super) fn members(input: &str) -> Option<&'static [Argument]> {
    (bare(input) == DESTROY_TAGS).then_some(DESTROY_TAGS_INPUT)
}

/// A type without lists and exclamation marks.
pub(super) fn bare(input: &str) -> &str {
    input.trim_matches(|c| matches!(c, '[' | ']' | '!'))
}

/// Whether a variable may have this type.
pub(super) fn is_input(schema: &Schema<'_>, input: &str) -> bool {
    let name = bare(input);
    INPUT_SCALARS.contains(&name) || name == DESTROY_TAGS || schema.values(name).is_some()
}

/// The type of the items of a list.
pub(super) fn item(input: &str) -> Option<&str> {
    input.trim_end_matches('!').strip_prefix('[')?.strip_suffix(']')
}

/// Whether a value sent for a variable fits; the error is GraphQL's explanation.
pub(super) fn fits(schema: &Schema<'_>, value: &Value, input: &str) -> Result<(), String> {
    if value.is_null() {
        return if input.ends_with('!') { Err("Expected value to not be null".to_owned()) } else { Ok(()) };
    }
    if let Some(item) = item(input) {
        // One value stands for a list of one.
        return match value {
            Value::Array(values) => values.iter().try_for_each(|value| fits(schema, value, item)),
            one => fits(schema, one, item),
        };
    }
    if let Some(members) = members(input) {
        return object_fits(schema, value, members);
    }
    let name = bare(input);
    if let Some(values) = schema.values(name) {
        let known = value.as_str().is_some_and(|text| values.contains(&text));
        return if known { Ok(()) } else { Err(format!("Expected {value} to be one of: {}", values.join(", "))) };
    }
    let fitting = match name {
        "Int" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        "Boolean" => value.is_boolean(),
        "ID" => value.is_string() || value.is_i64(),
        "ContainerRepositoryID" => return global_id(value),
        _ => value.is_string(),
    };
    if fitting { Ok(()) } else { Err(format!("Could not coerce value {value} to {name}")) }
}

fn object_fits(schema: &Schema<'_>, value: &Value, members: &[Argument]) -> Result<(), String> {
    let Some(object) = value.as_object() else {
        return Err(format!("Could not coerce value {value} to {DESTROY_TAGS}"));
    };
    if let Some(unknown) = object.keys().find(|name| members.iter().all(|member| member.name != name.as_str())) {
        return Err(format!("Field is not defined on {DESTROY_TAGS}: {unknown}"));
    }
    members.iter().try_for_each(|member| {
        fits(schema, object.get(member.name).unwrap_or(&Value::Null), member.input)
            .map_err(|problem| format!("{}: {problem}", member.name))
    })
}

/// Whether a value is the id of a repository.
fn global_id(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if !text.starts_with("gid://gitlab/") {
        return Err(format!("{value} is not a valid Global ID"));
    }
    let number = text.strip_prefix(REPOSITORY_GID).is_some_and(|id| id.parse::<u64>().is_ok());
    if number { Ok(()) } else { Err(format!("{value} does not represent an instance of ContainerRepository")) }
}

/// Whether a literal fits; variables in it are checked elsewhere. The error is an explanation of its own, if there is
/// one.
pub(super) fn literal_fits(schema: &Schema<'_>, value: &AstValue, input: &str) -> Result<(), Option<String>> {
    let ok = |fitting: bool| if fitting { Ok(()) } else { Err(None) };
    match value {
        AstValue::Variable(_) => return Ok(()),
        AstValue::Null => return ok(!input.ends_with('!')),
        _ => {}
    }
    if let Some(item) = item(input) {
        return match value {
            AstValue::List(values) => values.iter().try_for_each(|value| literal_fits(schema, value, item)),
            one => literal_fits(schema, one, item),
        };
    }
    if let Some(members) = members(input) {
        let AstValue::Object(given) = value else { return Err(None) };
        ok(given.keys().all(|name| members.iter().any(|member| member.name == name)))?;
        return members.iter().try_for_each(|member| {
            literal_fits(schema, given.get(member.name).unwrap_or(&AstValue::Null), member.input)
        });
    }
    let name = bare(input);
    match (value, schema.values(name)) {
        (AstValue::Enum(text), Some(values)) => ok(values.contains(&text.as_str())),
        (AstValue::String(text), None) if name == "ContainerRepositoryID" => {
            global_id(&Value::String(text.clone())).map_err(Some)
        }
        (AstValue::String(_), None) => ok(matches!(name, "String" | "ID")),
        (AstValue::Int(number), None) => {
            ok(name == "ID" || (name == "Int" && number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())))
        }
        (AstValue::Boolean(_), None) => ok(name == "Boolean"),
        _ => Err(None),
    }
}
