//! The delete service: protection, then one tag after the other (gitlab-api reference 2.6 and 2.7).

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::{
    config::Version,
    re2::Pattern,
    state::{DeleteLevel, Project, ProtectionRule, Registry, Role},
};

/// What one call of the delete service did.
pub(crate) struct Removal {
    /// What was handed to the registry, after protection.
    pub(super) batch: Vec<String>,
    /// What is gone; `None` when every deletion failed.
    pub(crate) deleted: Option<Vec<String>>,
    /// The service's message when it reports an error.
    pub(crate) error: Option<String>,
}

impl Registry {
    /// Whether a rule is effective for a user: a mutable one if its level is above the user's role, an immutable one
    /// always. Without a user every mutable rule is (gitlab-api reference 2.7).
    fn is_effective(&self, rule: &ProtectionRule, user: Option<u64>, project: &Project) -> bool {
        let version = self.settings.version;
        let Some(level) = rule.delete_level else {
            return version >= Version::new(18, 1) && self.settings.immutable_tags_licensed;
        };
        if version < Version::new(17, 9) || self.is_admin(user) {
            return false;
        }
        let held = user.and_then(|user| self.role_at(user, &project.path));
        !match level {
            DeleteLevel::Maintainer => held >= Some(Role::Maintainer),
            DeleteLevel::Owner => held >= Some(Role::Owner),
            DeleteLevel::Admin => false,
        }
    }

    /// The compiled patterns of the rules effective for a user.
    pub(crate) fn effective_rules(&self, user: Option<u64>, project: u64) -> Vec<Pattern> {
        let Some(project) = self.find_project(project) else { return Vec::new() };
        let effective = project.protection_rules.iter().filter(|rule| self.is_effective(rule, user, project));
        effective.filter_map(|rule| Pattern::new(&rule.pattern).ok()).collect()
    }

    /// Removes tags from a repository on behalf of a user. `spent` is the simulated time of the job so far.
    pub(crate) fn remove_tags(
        &mut self,
        repository: u64,
        user: Option<u64>,
        names: Vec<String>,
        delete_fails: bool,
        spent: &mut SignedDuration,
    ) -> Removal {
        let project = self.find_repository(repository).map_or(0, |found| found.project);
        let rules = self.effective_rules(user, project);
        let mut batch: Vec<String> = names.into_iter().filter(|name| !protects(&rules, name)).collect();
        if self.settings.version < Version::new(12, 4) {
            batch = self.whole_digests(repository, batch);
        }
        if batch.is_empty() {
            return Removal { batch, deleted: Some(Vec::new()), error: None };
        }
        if delete_fails || self.settings.registry_deletes_fail {
            let error = format!("could not delete tags: {}", batch.join(", "));
            return Removal { batch, deleted: None, error: Some(error) };
        }
        if self.settings.registry_unreachable {
            let error = Some("error while deleting tags".to_owned());
            return Removal { batch, deleted: Some(Vec::new()), error };
        }
        let began = *spent;
        let mut deleted = Vec::new();
        for name in &batch {
            if self.settings.delete_timeout.is_some_and(|limit| spent.saturating_sub(began) > limit) {
                let error = Some("error while deleting tags".to_owned());
                return Removal { batch, deleted: Some(deleted), error };
            }
            // A tag that is gone already counts as deleted.
            self.remove_tag(repository, name);
            *spent = spent.saturating_add(self.settings.tag_delete_duration);
            deleted.push(name.clone());
        }
        Removal { batch, deleted: Some(deleted), error: None }
    }

    /// Until 12.3 an image was deleted only if all its tags were selected (gitlab-api reference 3).
    fn whole_digests(&self, repository: u64, names: Vec<String>) -> Vec<String> {
        let Some(found) = self.find_repository(repository) else { return names };
        let selected: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let spared: BTreeSet<&str> = found
            .tags()
            .values()
            .filter(|tag| !selected.contains(tag.name.as_str()))
            .map(|tag| tag.digest.as_str())
            .collect();
        let goes = |name: &String| found.tags().get(name).is_none_or(|tag| !spared.contains(tag.digest.as_str()));
        names.iter().filter(|name| goes(name)).cloned().collect()
    }
}

/// Whether one of the rules is found in the name; the search is not anchored.
pub(crate) fn protects(rules: &[Pattern], name: &str) -> bool {
    rules.iter().any(|rule| rule.is_found_in(name))
}
