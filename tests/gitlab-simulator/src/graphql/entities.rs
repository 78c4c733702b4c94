//! What is known of projects, repositories and tags without asking the registry twice (gitlab-api reference 7 and 8a).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::request::REPOSITORY_GID;
use crate::{
    abilities::Ability,
    config::Version,
    jobs::protects,
    re2::Pattern,
    state::{
        CleanupPolicy, DeleteLevel, Group, Project, ProtectionRule, Registry, Repository, RepositoryStatus, Role, Tag,
        TagKind,
    },
};

/// A moment of a row of GitLab's own database.
pub(super) fn zulu(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A moment the registry told: whole seconds and an offset.
pub(super) fn with_offset(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

pub(super) fn project(project: &Project) -> Value {
    json!({
        "id": format!("gid://gitlab/Project/{}", project.id),
        "fullPath": project.path,
        "name": last_segment(&project.path),
        "path": last_segment(&project.path),
        "visibility": project.visibility,
    })
}

pub(super) fn group(group: &Group) -> Value {
    json!({
        "id": format!("gid://gitlab/Group/{}", group.id),
        "fullPath": group.path,
        "name": last_segment(&group.path),
        "path": last_segment(&group.path),
        "visibility": group.visibility,
    })
}

/// A cleanup policy in the words of its enums; a value GitLab does not offer is null.
pub(super) fn policy(policy: &CleanupPolicy) -> Value {
    let cadence = match policy.cadence.as_str() {
        "1d" => Some("EVERY_DAY"),
        "7d" => Some("EVERY_WEEK"),
        "14d" => Some("EVERY_TWO_WEEKS"),
        "1month" => Some("EVERY_MONTH"),
        "3month" => Some("EVERY_THREE_MONTHS"),
        _ => None,
    };
    let keep_n = match policy.keep_n {
        Some(1) => Some("ONE_TAG"),
        Some(5) => Some("FIVE_TAGS"),
        Some(10) => Some("TEN_TAGS"),
        Some(25) => Some("TWENTY_FIVE_TAGS"),
        Some(50) => Some("FIFTY_TAGS"),
        Some(100) => Some("ONE_HUNDRED_TAGS"),
        _ => None,
    };
    let older_than = match policy.older_than.as_deref() {
        Some("7d") => Some("SEVEN_DAYS"),
        Some("14d") => Some("FOURTEEN_DAYS"),
        Some("30d") => Some("THIRTY_DAYS"),
        Some("90d") => Some("NINETY_DAYS"),
        _ => None,
    };
    json!({
        "enabled": policy.enabled,
        "cadence": cadence,
        "keepN": keep_n,
        "olderThan": older_than,
        "nameRegex": policy.name_regex,
        "nameRegexKeep": policy.name_regex_keep,
        "nextRunAt": policy.next_run_at.map(zulu),
    })
}

/// A repository without what only the registry knows.
pub(super) fn repository(registry: &Registry, found: &Repository, user: Option<u64>) -> Value {
    let status = found.status.map(|status| match status {
        RepositoryStatus::DeleteScheduled => "DELETE_SCHEDULED",
        RepositoryStatus::DeleteOngoing => "DELETE_ONGOING",
        RepositoryStatus::DeleteFailed => "DELETE_FAILED",
    });
    let may = registry.find_project(found.project).is_some_and(|at| registry.may(user, Ability::Destroy, at));
    json!({
        "id": format!("{REPOSITORY_GID}{}", found.id),
        "name": found.name,
        "path": found.path,
        "location": format!("{}/{}", registry.settings.registry_host, found.path),
        "canDelete": may,
        "createdAt": zulu(found.created_at),
        "updatedAt": zulu(found.created_at),
        "expirationPolicyStartedAt": found.cleanup_policy_started_at.map(zulu),
        "expirationPolicyCleanupStatus": "UNSCHEDULED",
        "lastCleanupDeletedTagsCount": null,
        "status": status,
        "userPermissions": { "destroyContainerRepository": may },
    })
}

/// What all tags of a page share.
pub(super) struct TagView<'r> {
    repository: &'r Repository,
    project: &'r Project,
    host: &'r str,
    path_a: bool,
    version: Version,
    may_destroy: bool,
    rules: Vec<Pattern>,
    referrers: bool,
}

impl<'r> TagView<'r> {
    pub(super) fn new(
        registry: &'r Registry,
        repository: &'r Repository,
        user: Option<u64>,
        referrers: bool,
    ) -> Option<Self> {
        let project = registry.find_project(repository.project)?;
        Some(Self {
            repository,
            project,
            host: &registry.settings.registry_host,
            path_a: registry.settings.path_a(),
            version: registry.settings.version,
            may_destroy: registry.may_remove_tags(user, project),
            rules: registry.effective_rules(user, project.id),
            referrers,
        })
    }

    /// A tag as its back end tells it: path A from the database, path B from a manifest that an index does not have.
    pub(super) fn tag(&self, tag: &Tag) -> Value {
        let known = self.path_a || tag.has_manifest_on_path_b();
        let config = if self.path_a { tag.kind == TagKind::Image } else { known };
        let revision = match (known, config) {
            (_, true) => Some(tag.config_digest.trim_start_matches("sha256:")),
            (true, false) => Some(""),
            (false, false) => None,
        };
        let size = if self.path_a && tag.kind != TagKind::Image { 0 } else { tag.size };
        let created_at = if self.path_a { tag.created_at } else { tag.config_created.filter(|_| known) };
        let media_type = media_type(tag.kind);
        let path = format!("{}:{}", self.repository.path, tag.name);
        let may = self.may_destroy && !protects(&self.rules, &tag.name);
        json!({
            "name": tag.name,
            "location": format!("{}/{path}", self.host),
            "path": path,
            "digest": known.then_some(&tag.digest),
            "revision": revision,
            "shortRevision": revision.map(|revision| revision.get(..9).unwrap_or(revision)),
            "totalSize": known.then(|| size.to_string()),
            "createdAt": created_at.map(with_offset),
            "publishedAt": tag.published_at().filter(|_| self.path_a).map(with_offset),
            "mediaType": self.path_a.then_some(media_type),
            "referrers": (self.path_a && self.referrers).then(|| self.referrers(&tag.digest)),
            "canDelete": may,
            "protection": self.protection(&tag.name),
            "userPermissions": { "destroyContainerRepositoryTag": may },
        })
    }

    /// The details of one tag: those of the list, and what is in an index. `manifests` is null for what is none.
    pub(super) fn details(&self, tag: &Tag) -> Value {
        let mut details = self.tag(tag);
        let index = tag.kind != TagKind::Image;
        if let Some(details) = details.as_object_mut() {
            details.insert("platform".to_owned(), if index { Value::Null } else { platform(0) });
            let child = |(at, digest): (usize, &String)| json!({ "digest": digest, "mediaType": IMAGE, "size": "1234", "platform": platform(at) });
            let manifests: Vec<Value> = tag.children.iter().enumerate().map(child).collect();
            details.insert("manifests".to_owned(), if index { json!(manifests) } else { Value::Null });
        }
        details
    }

    /// Manifests that name this one as their subject; without a tag of their own they are not in the state.
    fn referrers(&self, digest: &str) -> Vec<Value> {
        let referrers = self.repository.referrers(digest).into_iter();
        referrers.map(|digest| json!({ "digest": digest, "artifactType": ARTIFACT })).collect()
    }

    /// The strictest of the rules that are found in a name, whoever asks. The state knows one level for both.
    fn protection(&self, name: &str) -> Value {
        let rules = self.project.protection_rules.iter();
        let found = rules.filter(|rule| Pattern::new(&rule.pattern).is_ok_and(|pattern| pattern.is_found_in(name)));
        let (mut level, mut immutable, mut any) = (None, false, false);
        for rule in found {
            match rule.delete_level {
                Some(found) => (level, any) = (level.max(Some(strictness(found))), true),
                None if self.version >= Version::new(18, 1) => (immutable, any) = (true, true),
                None => {}
            }
        }
        let level = level.map(|(_, name)| name);
        if !any {
            return Value::Null;
        }
        json!({
            "minimumAccessLevelForPush": level,
            "minimumAccessLevelForDelete": level,
            "immutable": immutable,
        })
    }
}

const IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn media_type(kind: TagKind) -> &'static str {
    match kind {
        TagKind::Image => IMAGE,
        TagKind::Index => "application/vnd.oci.image.index.v1+json",
        TagKind::ManifestList => "application/vnd.docker.distribution.manifest.list.v2+json",
    }
}

fn platform(at: usize) -> Value {
    json!({ "os": "linux", "architecture": if at == 0 { "amd64" } else { "arm64" } })
}

/// The text of a manifest as GitLab gets it from its registry, which it asks for single images only: none of an OCI
/// index; that of a list by its digest, since no other would have it, and by the name of a tag that of its first image.
pub(super) fn manifest(repository: &Repository, reference: &str) -> Option<String> {
    let image =
        |config: &str| json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": { "digest": config }, "layers": [] });
    let by_name = repository.tags().get(reference);
    let tag = by_name.or_else(|| repository.tags().values().find(|tag| tag.digest == reference))?;
    let text = match tag.kind {
        TagKind::Index => return None,
        TagKind::Image => image(&tag.config_digest),
        TagKind::ManifestList if by_name.is_some() => image(&tag.config_digest),
        TagKind::ManifestList => {
            let child = |(at, digest): (usize, &String)| json!({ "mediaType": IMAGE, "digest": digest, "size": 1234, "platform": platform(at) });
            let manifests: Vec<Value> = tag.children.iter().enumerate().map(child).collect();
            json!({ "schemaVersion": 2, "mediaType": media_type(tag.kind), "manifests": manifests })
        }
    };
    Some(text.to_string())
}

/// What all referrers are said to be: an SBOM.
const ARTIFACT: &str = "application/spdx+json";

/// A role by its number.
pub(super) fn access_level(role: Option<Role>) -> Value {
    let (number, text) = match role {
        None => (0, "NO_ACCESS"),
        Some(Role::Guest) => (10, "GUEST"),
        Some(Role::Reporter) => (20, "REPORTER"),
        Some(Role::Developer) => (30, "DEVELOPER"),
        Some(Role::Maintainer) => (40, "MAINTAINER"),
        Some(Role::Owner) => (50, "OWNER"),
    };
    json!({ "integerValue": number, "stringValue": text })
}

/// The rules that protect a project's tags. Levels of immutable ones are null.
pub(super) fn tag_rules(rules: &[ProtectionRule]) -> Value {
    let shown = |(at, rule): (usize, &ProtectionRule)| {
        let level = rule.delete_level.map(|level| strictness(level).1);
        json!({
            "id": format!("gid://gitlab/ContainerRegistry::Protection::TagRule/{}", at + 1),
            "tagNamePattern": rule.pattern,
            "minimumAccessLevelForPush": level,
            "minimumAccessLevelForDelete": level,
        })
    };
    let nodes: Vec<Value> = rules.iter().enumerate().map(shown).collect();
    json!({ "nodes": nodes, "pageInfo": { "hasNextPage": false, "hasPreviousPage": false } })
}

fn strictness(level: DeleteLevel) -> (u8, &'static str) {
    match level {
        DeleteLevel::Maintainer => (1, "MAINTAINER"),
        DeleteLevel::Owner => (2, "OWNER"),
        DeleteLevel::Admin => (3, "ADMIN"),
    }
}
