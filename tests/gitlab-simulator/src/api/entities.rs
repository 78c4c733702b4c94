//! The JSON of repositories and tags (gitlab-api reference 1.2 and 7).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Site;
use crate::state::{Repository, Tag, TagKind};

/// Repository timestamps end in `Z`.
pub(super) fn zulu(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Tag timestamps carry an offset.
fn with_offset(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3f+00:00").to_string()
}

/// A repository without its optional parts.
pub(super) fn repository(repository: &Repository, host: &str) -> Value {
    json!({
        "id": repository.id,
        "name": repository.name,
        "path": repository.path,
        "project_id": repository.project,
        "location": format!("{host}/{}", repository.path),
        "created_at": zulu(repository.created_at),
        "cleanup_policy_started_at": repository.cleanup_policy_started_at.map(zulu),
        "status": repository.status,
    })
}

/// The address under which a repository may be deleted, as E3 shows it.
pub(super) fn delete_api_path(repository: &Repository, site: &Site) -> String {
    site.address(&format!("/api/v4/projects/{}/registry/repositories/{}", repository.project, repository.id))
}

/// A tag in a list: no date there.
pub(super) fn tag(repository: &Repository, tag: &Tag, host: &str) -> Value {
    let path = format!("{}:{}", repository.path, tag.name);
    json!({ "name": tag.name, "location": format!("{host}/{path}"), "path": path })
}

/// A tag's details as this path reads them.
pub(super) fn tag_details(repository: &Repository, found: &Tag, host: &str, path_a: bool) -> Value {
    // Path A knows no config of indexes and lists; path B reads the image inside a list.
    let has_config = if path_a { found.kind == TagKind::Image } else { found.has_manifest_on_path_b() };
    let revision = if has_config { found.config_digest.trim_start_matches("sha256:") } else { "" };
    let created_at = if path_a { found.created_at } else { found.config_created };
    // Path A stores no size for lists, which reads as 0.
    let total_size = if path_a && found.kind != TagKind::Image { 0 } else { found.size };
    let mut details = tag(repository, found, host);
    let more = json!({
        "revision": revision,
        "short_revision": revision.get(..9).unwrap_or(revision),
        "digest": found.digest,
        "created_at": created_at.map(with_offset),
        "total_size": total_size,
    });
    if let (Some(details), Value::Object(more)) = (details.as_object_mut(), more) {
        details.extend(more);
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_print_zulu_and_tags_an_offset() -> Result<(), jiff::Error> {
        let at: Timestamp = "2019-01-10T13:38:57.391Z".parse()?;
        assert_eq!(zulu(at), "2019-01-10T13:38:57.391Z");
        assert_eq!(with_offset(at), "2019-01-10T13:38:57.391+00:00");
        assert_eq!(zulu("2019-01-10T13:38:57Z".parse()?), "2019-01-10T13:38:57.000Z");
        Ok(())
    }
}
