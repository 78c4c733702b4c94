//! Queries: what a caller may see of the state (gitlab-api reference 8a and 5).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    entities::{self, TagView},
    errors::GraphqlError,
    pages::{Page, Sort, by_offset, of_registry, of_registry_by_push, of_repositories, order, sort_tags},
    plan::Planned,
    request::REPOSITORY_GID,
    time::Time,
};
use crate::{
    abilities::Ability,
    config::TagCursors,
    jobs::MOST_LISTED_TAGS,
    state::{Project, Registry, RegistryAccess, Repository, Tag, TagKind, is_within},
};

/// One answer in the making.
pub(super) struct Resolver<'r> {
    pub(super) registry: &'r Registry,
    pub(super) user: Option<u64>,
    /// Tags the registry still lists, when a fault says so.
    pub(super) listed_tags: Option<usize>,
    pub(super) errors: Vec<GraphqlError>,
    pub(super) path: Vec<Value>,
    /// The server fails at the request as a whole.
    pub(super) failed: bool,
    /// What it takes.
    pub(super) time: &'r mut Time,
}

/// The chosen fields of something that is known already.
pub(super) fn choose(value: &Value, fields: &[Planned]) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| choose(item, fields)).collect(),
        Value::Object(object) => fields
            .iter()
            .map(|field| {
                let value = match field.name.as_str() {
                    "__typename" => json!(field.parent),
                    name => object.get(name).cloned().unwrap_or_default(),
                };
                let chosen = if field.children.is_empty() { value } else { choose(&value, &field.children) };
                (field.key.clone(), chosen)
            })
            .collect(),
        other => other.clone(),
    }
}

impl<'r> Resolver<'r> {
    /// Adds an error about a field of the current object, which is then null.
    fn fail(&mut self, field: &Planned, error: GraphqlError) -> Value {
        self.path.push(json!(field.key));
        self.errors.push(error.at(field.at).path(&self.path));
        self.path.pop();
        Value::Null
    }

    /// Something the caller cannot see.
    fn hidden(&mut self, field: &Planned) -> Value {
        if self.registry.settings.graphql_silent_nulls {
            return Value::Null;
        }
        self.fail(field, GraphqlError::not_available())
    }

    /// Resolves the fields of an object: the special ones by a function, the others from what is known already.
    fn object(
        &mut self,
        known: &Value,
        fields: &[Planned],
        special: &mut dyn FnMut(&mut Self, &Planned) -> Option<Value>,
    ) -> Value {
        let mut shown = Map::new();
        for field in fields {
            let value = special(self, field).unwrap_or_else(|| {
                let one = choose(known, std::slice::from_ref(field));
                one.get(&field.key).cloned().unwrap_or_default()
            });
            shown.insert(field.key.clone(), value);
        }
        Value::Object(shown)
    }

    /// The root of a query.
    pub(super) fn query(&mut self, fields: &[Planned]) -> Value {
        let mut shown = Map::new();
        for field in fields {
            let value = match field.name.as_str() {
                name if self.time.is_over() => self.fail(field, GraphqlError::timeout(field.parent, name)),
                "containerRepository" => self.root_repository(field),
                "project" => self.root_project(field),
                "group" => self.root_group(field),
                _ => json!(field.parent),
            };
            shown.insert(field.key.clone(), value);
        }
        Value::Object(shown)
    }

    fn root_repository(&mut self, field: &Planned) -> Value {
        let registry = self.registry;
        let id = field.text("id").and_then(|id| id.strip_prefix(REPOSITORY_GID)).and_then(|id| id.parse().ok());
        let found = id.and_then(|id| registry.find_repository(id));
        let project = found.and_then(|found| registry.find_project(found.project));
        match (found, project) {
            (Some(found), Some(project)) if registry.may(self.user, Ability::Read, project) => {
                self.path.push(json!(field.key));
                let shown = self.repository(found, project, &field.children);
                self.path.pop();
                shown
            }
            _ => self.hidden(field),
        }
    }

    fn root_project(&mut self, field: &Planned) -> Value {
        let registry = self.registry;
        let path = field.text("fullPath").unwrap_or_default();
        // Unlike REST, an old path finds nothing.
        let found = registry.project_by_path(path);
        let Some(project) = found.filter(|project| registry.may(self.user, Ability::See, project)) else {
            return self.hidden(field);
        };
        self.path.push(json!(field.key));
        let shown = self.project(project, &field.children);
        self.path.pop();
        shown
    }

    fn root_group(&mut self, field: &Planned) -> Value {
        let registry = self.registry;
        let found = registry.group_by_path(field.text("fullPath").unwrap_or_default());
        let Some(group) = found.filter(|group| registry.may_see_group(self.user, group)) else {
            return self.hidden(field);
        };
        let readable = registry.may_read_group(self.user, group);
        let projects: BTreeSet<u64> = registry
            .projects()
            .filter(|project| is_within(&project.path, &group.path))
            .filter(|project| project.registry_access != RegistryAccess::Disabled)
            .map(|project| project.id)
            .collect();
        self.path.push(json!(field.key));
        let shown = self.object(&entities::group(group), &field.children, &mut |this, field| {
            this.repositories_of(&projects, readable, field)
        });
        self.path.pop();
        shown
    }

    fn project(&mut self, project: &'r Project, fields: &[Planned]) -> Value {
        let registry = self.registry;
        let readable = registry.may(self.user, Ability::Read, project);
        let projects = BTreeSet::from([project.id]);
        self.object(&entities::project(project), fields, &mut |this, field| match field.name.as_str() {
            // As editing it, reading it is for those who administer images; others get null.
            "containerExpirationPolicy" if registry.may(this.user, Ability::Administer, project) => {
                Some(choose(&entities::policy(&project.cleanup_policy), &field.children))
            }
            "maxAccessLevel" => {
                let role = this.user.and_then(|user| registry.role_at(user, &project.path));
                Some(choose(&entities::access_level(role), &field.children))
            }
            // Each rule is for those who administer images; others see none, without an error.
            "containerProtectionTagRules" => {
                let seen = registry.may(this.user, Ability::Administer, project);
                let rules = if seen { project.protection_rules.as_slice() } else { &[] };
                Some(choose(&entities::tag_rules(rules), &field.children))
            }
            _ => this.repositories_of(&projects, readable, field),
        })
    }

    /// `containerRepositories` and their count.
    fn repositories_of(&mut self, projects: &BTreeSet<u64>, readable: bool, field: &Planned) -> Option<Value> {
        if !matches!(field.name.as_str(), "containerRepositories" | "containerRepositoriesCount") {
            return None;
        }
        if !readable {
            return Some(self.fail(field, GraphqlError::not_available()));
        }
        let found: Vec<&Repository> =
            self.registry.repositories().filter(|found| projects.contains(&found.project)).collect();
        if field.name == "containerRepositoriesCount" {
            return Some(json!(found.len()));
        }
        let name = field.text("name").unwrap_or_default().to_lowercase();
        let sort = field.text("sort").unwrap_or("CREATED_DESC");
        let (by_name, descending) = (sort.starts_with("NAME"), sort.ends_with("_DESC"));
        let key = |found: &Repository| if by_name { found.name.clone() } else { found.created_at.to_string() };
        let mut sorted: Vec<(String, u64, &Repository)> = found
            .into_iter()
            .filter(|found| found.name.contains(&name))
            .map(|found| (key(found), found.id, found))
            .collect();
        sorted.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        if descending {
            sorted.reverse();
        }
        let page = match of_repositories(&sorted, descending, field) {
            Ok(page) => page,
            Err(error) => return Some(self.fail(field, error)),
        };
        self.path.push(json!(field.key));
        let shown = self.connection(&page, &field.children, |this, found, fields| {
            let project = this.registry.find_project(found.project);
            project.map_or(Value::Null, |project| this.repository(found, project, fields))
        });
        self.path.pop();
        Some(shown)
    }

    /// A connection whose nodes are shown by a function.
    fn connection<T: Copy>(
        &mut self,
        page: &Page<T>,
        fields: &[Planned],
        node: impl Fn(&mut Self, T, &[Planned]) -> Value,
    ) -> Value {
        let known = json!({ "pageInfo": page.info() });
        self.object(&known, fields, &mut |this, field| {
            if !matches!(field.name.as_str(), "nodes" | "edges") {
                return None;
            }
            this.path.push(json!(field.key));
            let mut shown = Vec::new();
            for (index, (item, cursor)) in page.items.iter().zip(&page.cursors).enumerate() {
                this.path.push(json!(index));
                shown.push(if field.name == "nodes" {
                    node(this, *item, &field.children)
                } else {
                    let known = json!({ "cursor": cursor });
                    this.object(&known, &field.children, &mut |this, field| {
                        (field.name == "node").then(|| node(this, *item, &field.children))
                    })
                });
                this.path.pop();
            }
            this.path.pop();
            Some(Value::Array(shown))
        })
    }

    fn repository(&mut self, found: &'r Repository, project: &'r Project, fields: &[Planned]) -> Value {
        let known = entities::repository(self.registry, found, self.user);
        self.object(&known, fields, &mut |this, field| {
            let asks_registry = matches!(
                field.name.as_str(),
                "tags" | "tagDetails" | "manifest" | "tagsCount" | "size" | "lastPublishedAt"
            );
            if asks_registry && this.registry.settings.registry_unreachable {
                return Some(this.fail(field, GraphqlError::unreachable()));
            }
            let path_a = this.registry.settings.path_a();
            Some(match field.name.as_str() {
                "project" => {
                    this.path.push(json!(field.key));
                    let shown = this.project(project, &field.children);
                    this.path.pop();
                    shown
                }
                "tags" => this.tags(found, field),
                "tagDetails" => this.tag_details(found, field),
                "manifest" => json!(entities::manifest(found, field.text("reference").unwrap_or_default())),
                "tagsCount" => json!(this.listed(found).len().min(MOST_LISTED_TAGS)),
                "size" if path_a => {
                    // Layers shared by tags of one digest count once.
                    let images: BTreeMap<&str, u64> =
                        this.listed(found).iter().map(|tag| (tag.digest.as_str(), tag.size)).collect();
                    // A Float in the schema; sizes are far below what it holds exactly.
                    #[allow(clippy::cast_precision_loss)]
                    let bytes = images.values().sum::<u64>() as f64;
                    json!(bytes)
                }
                "lastPublishedAt" if path_a => {
                    let last = this.listed(found).into_iter().filter_map(Tag::published_at).max();
                    json!(last.map(entities::with_offset))
                }
                "size" | "lastPublishedAt" => Value::Null,
                _ => return None,
            })
        })
    }

    /// The registry's list for this request, in its own order; its errors read as an empty list.
    fn listed(&self, found: &'r Repository) -> Vec<&'r Tag> {
        let mut tags = self.untruncated(found);
        tags.truncate(self.listed_tags.unwrap_or(usize::MAX));
        tags
    }

    fn untruncated(&self, found: &'r Repository) -> Vec<&'r Tag> {
        let settings = &self.registry.settings;
        if settings.registry_lists_fail {
            return Vec::new();
        }
        let mut tags = found.listed(settings.listing_order());
        if !settings.path_a() {
            tags.truncate(MOST_LISTED_TAGS);
        }
        tags
    }

    fn tags(&mut self, found: &'r Repository, field: &Planned) -> Value {
        if self.time.is_over() {
            return self.fail(field, GraphqlError::timeout(field.parent, &field.name));
        }
        self.time.spend(self.registry.settings.graphql_page_takes);
        let page = match self.page(found, field) {
            Ok(page) => page,
            Err(error) => return self.fail(field, error),
        };
        let settings = &self.registry.settings;
        if settings.graphql_tags_in_time.is_some_and(|most| page.items.len() > most) || self.time.is_over() {
            return self.fail(field, GraphqlError::timeout("ContainerRepositoryDetails", "tags"));
        }
        let index = |tag: &&Tag| tag.kind != TagKind::Image;
        if settings.index_sizes_fail && !settings.path_a() && page.items.iter().any(index) && asks_for_sizes(field) {
            self.failed = true;
        }
        let referrers = field.arguments.get("referrers") == Some(&json!(true));
        let Some(view) = TagView::new(self.registry, found, self.user, referrers) else { return Value::Null };
        self.path.push(json!(field.key));
        let shown = self.connection(&page, &field.children, |_, tag, fields| choose(&view.tag(tag), fields));
        self.path.pop();
        shown
    }

    /// Of path A alone: the registry's own API has it.
    fn tag_details(&self, found: &'r Repository, field: &Planned) -> Value {
        let tag = found.tags().get(field.text("name").unwrap_or_default());
        let view = TagView::new(self.registry, found, self.user, false);
        match (tag, view) {
            (Some(tag), Some(view)) if self.registry.settings.path_a() => choose(&view.details(tag), &field.children),
            _ => Value::Null,
        }
    }

    fn page(&self, found: &'r Repository, field: &Planned) -> Result<Page<&'r Tag>, GraphqlError> {
        let settings = &self.registry.settings;
        let name = field.text("name").unwrap_or_default();
        let whole = name.is_empty() && self.listed_tags.is_none() && !settings.registry_lists_fail;
        if let (Sort::Published, descending) = order(field)
            && whole
            && settings.path_a()
            && settings.tag_cursors() == TagCursors::Registry
        {
            let unlike = (settings.pages_by_push_skip, settings.strange_push_cursors);
            return of_registry_by_push(found, descending, field, unlike);
        }
        let mut tags = self.untruncated(found);
        tags.retain(|tag| tag.name.contains(name));
        let order = settings.listing_order();
        let sort = sort_tags(&mut tags, field, order, settings.path_a());
        // The list ends early in the order it is asked for.
        tags.truncate(self.listed_tags.unwrap_or(usize::MAX));
        match settings.tag_cursors() {
            TagCursors::Registry => Ok(of_registry(&tags, sort, order, field)),
            TagCursors::Offset => by_offset(&tags, field),
        }
    }
}

/// Whether the nodes of a page of tags are to tell their sizes.
fn asks_for_sizes(field: &Planned) -> bool {
    let nodes = field.children.iter().filter(|child| child.name == "nodes");
    nodes.flat_map(|nodes| &nodes.children).any(|child| child.name == "totalSize")
}
