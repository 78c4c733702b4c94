//! Which repositories a policy looks after, decided by path.

use crate::api::{GroupTarget, TargetSpec};

use super::pattern::{Pattern, Patterns, Refused};

/// A compiled target.
#[derive(Clone, Debug)]
pub struct Target {
    /// Projects by full path or numeric id, as they were written.
    pub projects: Vec<String>,
    /// Groups with whether their subgroups belong to it.
    pub groups: Vec<(String, bool)>,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl Target {
    /// Compiles a target.
    ///
    /// # Errors
    /// The pattern that cannot be used, and why.
    pub fn compile(spec: &TargetSpec, patterns: &mut Patterns) -> Result<Self, Refused> {
        let selector = spec.repositories.clone().unwrap_or_default();
        Ok(Self {
            projects: spec.projects.clone(),
            groups: spec.groups.iter().map(group).collect(),
            include: patterns.compile_all("target.repositories.include", &selector.include)?,
            exclude: patterns.compile_all("target.repositories.exclude", &selector.exclude)?,
        })
    }

    /// Whether a repository, found under one of the projects or groups, belongs to the target. Exclude wins.
    ///
    /// Paths of GitLab are ASCII, which is what patterns are compiled for; one that is not belongs to no target.
    #[must_use]
    pub fn selects(&self, path: &str) -> bool {
        let included = self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(path));
        path.is_ascii() && included && !self.exclude.iter().any(|pattern| pattern.matches(path))
    }
}

fn group(spec: &GroupTarget) -> (String, bool) {
    (spec.path.clone(), spec.include_subgroups.unwrap_or(true))
}

/// Whether a target could reach a repository, judged by paths alone: a numeric project could be any.
///
/// Used to know which repositories a status may have kept quiet about, so a "maybe" is a yes.
#[must_use]
pub fn could_reach(spec: &TargetSpec, path: &str) -> bool {
    let below = |parent: &str| {
        let (parent, path) = (parent.to_lowercase(), path.to_lowercase());
        path.strip_prefix(&parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    spec.projects.iter().any(|project| is_numeric(project) || below(project))
        || spec.groups.iter().any(|group| below(&group.path))
}

/// Whether a project is named by its numeric id.
#[must_use]
pub fn is_numeric(project: &str) -> bool {
    project.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a repository lies in a project of the group itself, not of a subgroup. The project's path is what is left of
/// the repository's path without the image name.
#[must_use]
pub fn directly_in_group(group: &str, project_path: &str) -> bool {
    project_path
        .to_lowercase()
        .strip_prefix(&format!("{}/", group.to_lowercase()))
        .is_some_and(|rest| !rest.contains('/'))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::api::RepositorySelector;

    fn spec(include: &[&str], exclude: &[&str]) -> TargetSpec {
        let list = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect();
        TargetSpec {
            projects: vec!["shop/backend".to_owned()],
            groups: vec![GroupTarget { path: "tools".to_owned(), include_subgroups: None }],
            repositories: Some(RepositorySelector { include: list(include), exclude: list(exclude) }),
        }
    }

    #[rstest]
    #[case(&[], &[], "shop/backend/api", true)]
    #[case(&["shop/.*"], &[], "shop/backend/api", true)]
    #[case(&["shop"], &[], "shop/backend/api", false)]
    #[case(&[], &[".*/cache(/.*)?"], "shop/backend/cache", false)]
    #[case(&["shop/.*"], &[".*/cache(/.*)?"], "shop/backend/cache/layers", false)]
    fn exclude_wins_and_patterns_match_the_whole_path(
        #[case] include: &[&str],
        #[case] exclude: &[&str],
        #[case] path: &str,
        #[case] selected: bool,
    ) {
        assert_eq!(Target::compile(&spec(include, exclude), &mut Patterns::default()).unwrap().selects(path), selected);
    }

    #[rstest]
    #[case("shop/backend", true)]
    #[case("Shop/Backend/api", true)]
    #[case("shop/backend-two", false)]
    #[case("tools/sub/project", true)]
    #[case("other/project", false)]
    fn a_target_could_reach_what_lies_below_its_paths(#[case] path: &str, #[case] reach: bool) {
        assert_eq!(could_reach(&spec(&[], &[]), path), reach);
    }

    #[test]
    fn a_numeric_project_could_be_any() {
        let spec = TargetSpec { projects: vec!["4711".to_owned()], ..TargetSpec::default() };
        assert!(could_reach(&spec, "anything/at/all"));
    }

    #[rstest]
    #[case("shop", "shop/backend", true)]
    #[case("Shop", "shop/backend", true)]
    #[case("shop", "shop/platform/tools", false)]
    #[case("shop", "shopping/backend", false)]
    fn a_project_of_a_subgroup_is_not_directly_in_the_group(
        #[case] group: &str,
        #[case] project: &str,
        #[case] directly: bool,
    ) {
        assert_eq!(directly_in_group(group, project), directly);
    }
}
