//! Ready-made data: a believable company, and the cases of `cases/`.

mod demo;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub use demo::demo;

use crate::{DeleteLevel, ProtectionRule, Push, Registry, Role, clock::saturating_add};

/// The group every repository of [`cases`] is in.
pub const CASES_GROUP: &str = "cases";

/// The user `maintainer`, with that role in the groups of all seeds.
pub fn maintainer(registry: &mut Registry) -> u64 {
    let user = registry.user("maintainer");
    for group in ["shop", CASES_GROUP] {
        registry.set_role(group, user, Some(Role::Maintainer));
    }
    user
}

/// One project and repository for each case of `cases/bulk-delete.json`, at `cases/<id of the case>`, in the state the
/// case begins with. Ages are relative to the registry's clock.
///
/// # Errors
/// When the file is not what it should be.
pub fn cases(registry: &mut Registry) -> Result<(), serde_json::Error> {
    let file: Value = serde_json::from_str(include_str!("../../cases/bulk-delete.json"))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for case in file.get("cases").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| case.get(name).cloned().unwrap_or_default();
        let path = format!("{CASES_GROUP}/{}", text(&field("id")).to_lowercase());
        let project = registry.project(&path);
        let repository = registry.repository(&path);
        if let Some(project) = registry.project_mut(project) {
            let patterns = field("protected_patterns").as_array().cloned().unwrap_or_default();
            let rule = |pattern: &Value| ProtectionRule::mutable(&text(pattern), DeleteLevel::Admin);
            project.protection_rules = patterns.iter().map(rule).collect();
        }
        for tag in field("tags").as_array().into_iter().flatten() {
            push_case(registry, repository, tag);
        }
    }
    Ok(())
}

fn push_case(registry: &mut Registry, repository: u64, tag: &Value) {
    let name = tag.get("name").and_then(Value::as_str).unwrap_or_default();
    let age = tag.get("age_seconds").and_then(Value::as_i64);
    let at = age.map(|seconds| before(registry.now(), SignedDuration::from_secs(seconds)));
    registry.push(repository, name, Push::default());
    if let Some(tag) = registry.tag_mut(repository, name) {
        (tag.created_at, tag.config_created) = (at, at);
    }
}

/// The moment `age` before `now`.
fn before(now: Timestamp, age: SignedDuration) -> Timestamp {
    saturating_add(now, SignedDuration::ZERO.saturating_sub(age))
}
