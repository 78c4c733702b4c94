//! Which repositories a policy looks after, decided by path.

use crate::api::{GroupTarget, TargetSpec};

use super::pattern::{Names, Pattern, Patterns, Refused};

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
        let exclude = |source: &String| patterns.compile_excluding("target.repositories.exclude", source);
        let exclude = selector.exclude.iter().map(exclude).collect::<Result<_, _>>()?;
        Ok(Self {
            projects: spec.projects.clone(),
            groups: spec.groups.iter().map(group).collect(),
            include: patterns.compile_all("target.repositories.include", &selector.include)?,
            exclude,
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

/// What the patterns of a target matched among the repositories of its projects and groups.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TargetSeen {
    /// How many repositories there are, selected or not.
    pub listed: usize,
    /// Whether every project and group could be listed.
    pub whole: bool,
    include: Vec<Matched>,
    exclude: Vec<Matched>,
}

/// A pattern, and whether it matched a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Matched {
    /// The pattern, as it was written.
    pub pattern: String,
    /// Whether it matched one, or may match one that is not there yet.
    pub matched: bool,
    /// What would have matched.
    pub hint: Option<String>,
}

impl TargetSeen {
    /// Patterns to include that match no repository. None where not all were listed, or there are none.
    pub fn idle_includes(&self) -> impl Iterator<Item = &Matched> {
        let told = self.whole && self.listed > 0;
        self.include.iter().filter(move |include| told && !include.matched)
    }

    /// Patterns to exclude that can match no repository of the target.
    pub fn dead_excludes(&self) -> impl Iterator<Item = &Matched> {
        self.exclude.iter().filter(|exclude| !exclude.matched)
    }
}

impl Target {
    /// Whether there are patterns over paths.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        !(self.include.is_empty() && self.exclude.is_empty())
    }

    /// What the patterns match of these paths of the projects and groups. `hint` answers what would match.
    #[must_use]
    pub fn seen(&self, paths: &[&str], whole: bool, hint: impl Fn(&str) -> Option<String>) -> TargetSeen {
        let matched = |pattern: &Pattern, may: bool| {
            let matched = may || paths.iter().any(|path| pattern.matches(path));
            let hint = if matched { None } else { hint(pattern.source()) };
            Matched { pattern: pattern.source().to_owned(), matched, hint }
        };
        TargetSeen {
            listed: paths.len(),
            whole,
            include: self.include.iter().map(|pattern| matched(pattern, false)).collect(),
            exclude: self.exclude.iter().map(|pattern| matched(pattern, self.may_match(pattern, paths))).collect(),
        }
    }

    /// Whether a pattern can match a path of the projects and groups, whether it is there or not. A project by its id
    /// could be any, and so could one that was found under another path than it is named by.
    fn may_match(&self, pattern: &Pattern, paths: &[&str]) -> bool {
        let groups = self.groups.iter().map(|(path, _)| path);
        let below: Vec<String> = self.projects.iter().chain(groups).map(|path| path.to_lowercase()).collect();
        let known = |path: &&str| {
            let is_below = |above: &String| {
                path.strip_prefix(above.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            below.iter().any(is_below)
        };
        self.projects.iter().any(|project| is_numeric(project))
            || !paths.iter().all(known)
            || below.iter().any(|path| pattern.can_match(Names::PathsFrom(path)))
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
