//! Repositories that several policies look after. Each policy decides alone, so what one keeps another may remove; all
//! that can be done here is to say so. Whether two policies meet is computed from their specs and the repositories that
//! one of them listed.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use crate::api::limits::MAX_OVERLAPPING_POLICIES;
use crate::api::{OverlapStatus, TargetSpec};

use super::pattern::{MAX_PATTERN_BYTES, Patterns};
use super::target::{Target, is_numeric};

/// How much patterns of other policies take, as compiled, that are looked at for one of them: enough for some hundred
/// ordinary neighbours.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// Most policies that a sentence names.
const MAX_IN_SENTENCE: usize = 5;

/// Where policies look that may look after the same repositories as one of them: which GitLab, which projects and
/// groups.
pub struct Neighbourhood {
    instance: String,
    reach: Reach,
}

impl Neighbourhood {
    /// That of a policy.
    #[must_use]
    pub fn of(address: &Url, target: &TargetSpec) -> Self {
        Self { instance: instance(address), reach: Reach::of(target) }
    }

    /// Whether another policy may look after one of the same repositories, by address, projects and groups alone.
    #[must_use]
    pub fn includes(&self, other: &Other<'_>) -> bool {
        Url::parse(other.url).is_ok_and(|address| instance(&address) == self.instance)
            && self.reach.may_meet(&Reach::of(other.target))
    }
}

/// The GitLab at an address, however it is spelled: host names are the same in upper and lower case and with a dot at
/// the end, paths with and without a slash at the end, and http:// leads to the same server as https:// where neither
/// names a port.
fn instance(address: &Url) -> String {
    let host = address.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let port = address.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path: Vec<&str> = address.path().split('/').filter(|part| !part.is_empty()).collect();
    format!("{host}{port}/{}", path.join("/"))
}

/// A repository as targets name it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its full path, in lower case as GitLab has it.
    pub path: &'a str,
    /// The full path of its project, likewise.
    pub project: &'a str,
    /// The id of its project; old servers do not tell it.
    pub project_id: Option<u64>,
}

/// Another policy, whatever its mode, and also if it is suspended or stalled.
#[derive(Clone, Copy, Debug)]
pub struct Other<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Address of its GitLab, as it is written.
    pub url: &'a str,
    /// What it looks after.
    pub target: &'a TargetSpec,
}

/// What a policy shares with others.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Overlap {
    /// The others, as namespace and name, sorted.
    pub with: Vec<(String, String)>,
    /// The paths of the repositories that at least one of them looks after as well.
    pub shared: Vec<String>,
    /// How many repositories the policy looks after.
    pub of: usize,
}

/// What the paths and ids of a target reach, before its patterns.
struct Reach {
    ids: BTreeSet<u64>,
    projects: BTreeSet<String>,
    /// With whether their subgroups belong to them.
    groups: BTreeMap<String, bool>,
}

impl Reach {
    fn of(target: &TargetSpec) -> Self {
        let (ids, projects): (Vec<&String>, _) = target.projects.iter().partition(|project| is_numeric(project));
        let mut groups = BTreeMap::new();
        for group in &target.groups {
            *groups.entry(group.path.to_lowercase()).or_default() |= group.include_subgroups.unwrap_or(true);
        }
        Self {
            ids: ids.into_iter().filter_map(|id| id.parse().ok()).collect(),
            projects: projects.into_iter().map(|path| path.to_lowercase()).collect(),
            groups,
        }
    }

    fn covers(&self, place: &Place<'_>) -> bool {
        place.project_id.is_some_and(|id| self.ids.contains(&id))
            || self.projects.contains(place.project)
            || self.has_project(place.project)
    }

    /// Whether there may be a project that both reach. Nobody knows where a project lies that is named by its id.
    ///
    /// Everybody is compared with everybody, so nothing here is compared with each path of the other.
    fn may_meet(&self, other: &Self) -> bool {
        let has_paths = |reach: &Self| !reach.projects.is_empty() || !reach.groups.is_empty();
        let by_id = |one: &Self, other: &Self| !one.ids.is_empty() && has_paths(other);
        by_id(self, other)
            || by_id(other, self)
            || !self.ids.is_disjoint(&other.ids)
            || !self.projects.is_disjoint(&other.projects)
            || self.projects.iter().any(|path| other.has_project(path))
            || other.projects.iter().any(|path| self.has_project(path))
            || self.groups.keys().any(|group| other.meets_group(group))
            || other.groups.keys().any(|group| self.meets_group(group))
    }

    /// Whether a project belongs to one of the groups.
    fn has_project(&self, project: &str) -> bool {
        ancestors(project)
            .enumerate()
            .any(|(above, group)| self.groups.get(group).is_some_and(|subgroups| above == 0 || *subgroups))
    }

    /// Whether a group is one of the groups, or a subgroup of one whose subgroups belong to it.
    fn meets_group(&self, group: &str) -> bool {
        self.groups.contains_key(group) || ancestors(group).any(|above| self.groups.get(above).is_some_and(|all| *all))
    }
}

/// The groups that a project or group lies in, the innermost first.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    fn above(path: &str) -> Option<&str> {
        path.rsplit_once('/').map(|(above, _)| above)
    }
    std::iter::successors(above(path), |path| above(path))
}

/// Which of the repositories that a policy looks after its neighbours look after as well. One whose patterns cannot be
/// used looks after none.
///
/// Patterns of others are compiled for that, the shortest first, up to `MAX_COMPILED_BYTES`. Of the neighbours that
/// are left then, what their projects and groups reach is taken to be looked after: it is only said, and better too
/// often than not at all.
#[must_use]
pub fn find(places: &[Place<'_>], neighbours: &[Other<'_>]) -> Overlap {
    let mut with = BTreeSet::new();
    let mut shared = BTreeSet::new();
    let mut compiled = 0;
    let mut neighbours: Vec<&Other<'_>> = neighbours.iter().collect();
    neighbours.sort_by_cached_key(|other| pattern_length(other.target));
    for other in neighbours {
        let reach = Reach::of(other.target);
        let mut reached = places.iter().filter(|place| reach.covers(place)).peekable();
        if reached.peek().is_none() {
            continue;
        }
        let mut patterns = Patterns::default();
        let target = (compiled < MAX_COMPILED_BYTES).then(|| Target::compile(other.target, &mut patterns));
        compiled += match &target {
            Some(Err(_)) => patterns.bytes() + MAX_PATTERN_BYTES,
            Some(Ok(_)) | None => patterns.bytes(),
        };
        let selects = |path: &str| match &target {
            Some(Ok(target)) => target.selects(path),
            Some(Err(_)) => false,
            None => true,
        };
        let before = with.len();
        for place in reached.filter(|place| selects(place.path)) {
            if with.len() == before {
                with.insert((other.namespace.to_owned(), other.name.to_owned()));
            }
            shared.insert(place.path.to_owned());
        }
    }
    Overlap { with: with.into_iter().collect(), shared: shared.into_iter().collect(), of: places.len() }
}

/// How long the patterns of a target are together.
fn pattern_length(target: &TargetSpec) -> usize {
    let selector = target.repositories.iter();
    selector.flat_map(|selector| selector.include.iter().chain(&selector.exclude)).map(String::len).sum()
}

/// Who reads what is said of a policy: whoever may read its namespace.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// Whether objects of other namespaces may be named there.
    pub name_others: bool,
}

impl Reader<'_> {
    /// The namespace of whoever may not know the objects of others; `None`, if they may be named.
    #[must_use]
    pub fn hidden_from(&self) -> Option<&str> {
        (!self.name_others).then_some(self.namespace)
    }

    /// How another policy is named: by its name in the same namespace; in another one only where that may be told.
    #[must_use]
    pub fn shown(&self, namespace: &str, name: &str) -> Option<String> {
        match (namespace == self.namespace, self.name_others) {
            (true, _) => Some(name.to_owned()),
            (false, true) => Some(format!("{namespace}/{name}")),
            (false, false) => None,
        }
    }
}

impl Overlap {
    /// What a status tells of it; `None` where nothing is shared.
    #[must_use]
    pub fn to_status(&self, to: Reader<'_>) -> Option<OverlapStatus> {
        let mut policies: Vec<String> =
            self.with.iter().filter_map(|(namespace, name)| to.shown(namespace, name)).collect();
        // Those of the same namespace first.
        policies.sort_by_key(|name| name.contains('/'));
        policies.truncate(MAX_OVERLAPPING_POLICIES);
        let others = u32::try_from(self.with.len() - policies.len()).unwrap_or(u32::MAX);
        let repositories = u32::try_from(self.shared.len()).unwrap_or(u32::MAX);
        (!self.with.is_empty()).then_some(OverlapStatus { policies, others, repositories })
    }

    /// The same as a sentence.
    #[must_use]
    pub fn sentence(&self, to: Reader<'_>) -> Option<String> {
        let status = self.to_status(to)?;
        let mut named: Vec<String> = status.policies.iter().take(MAX_IN_SENTENCE).cloned().collect();
        let more = self.with.len() - named.len();
        if more > 0 {
            let hidden = !to.name_others && status.policies.len() <= MAX_IN_SENTENCE;
            named.push(match (more, hidden) {
                (1, true) => "1 policy of another namespace".to_owned(),
                (_, true) => format!("{more} policies of other namespaces"),
                (_, false) => format!("{more} more"),
            });
        }
        let last = named.pop().unwrap_or_default();
        let who = if named.is_empty() { last } else { format!("{} and {last}", named.join(", ")) };
        let kind = match status.policies.len() {
            0 => "",
            1 => "policy ",
            _ => "policies ",
        };
        let verb = if self.with.len() == 1 { "looks" } else { "look" };
        let first = self.shared.first().map(String::as_str).unwrap_or_default();
        let repositories = match self.shared.len() {
            1 => format!("{first}, 1 of {}", self.of),
            number => format!("{number} of {}, the first {first}", self.of),
        };
        Some(format!(
            "{kind}{who} also {verb} after repositories of this policy ({repositories}); each decides alone, so one \
             may remove what another keeps"
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn around(target: &TargetSpec) -> Neighbourhood {
        Neighbourhood::of(&Url::parse("https://gitlab.example.com").unwrap(), target)
    }

    fn target(spec: &Value) -> TargetSpec {
        serde_json::from_value(spec.clone()).unwrap()
    }

    fn other<'a>(name: &'a str, target: &'a TargetSpec) -> Other<'a> {
        let (namespace, name) = name.rsplit_once('/').unwrap_or(("team", name));
        Other { namespace, name, url: "https://gitlab.example.com", target }
    }

    const PLACES: [Place<'static>; 4] = [
        Place { path: "shop/api", project: "shop/api", project_id: Some(7) },
        Place { path: "shop/api/cache", project: "shop/api", project_id: Some(7) },
        Place { path: "shop/web/ui", project: "shop/web/ui", project_id: Some(8) },
        Place { path: "shopping/web", project: "shopping/web", project_id: None },
    ];

    #[rstest]
    #[case::project(json!({"projects": ["shop/api"]}), &["shop/api", "shop/api/cache"])]
    #[case::project_in_upper_case(json!({"projects": ["Shop/API"]}), &["shop/api", "shop/api/cache"])]
    #[case::project_by_id(json!({"projects": ["8"]}), &["shop/web/ui"])]
    #[case::an_id_that_the_server_does_not_tell(json!({"projects": ["9"]}), &[])]
    #[case::a_repository_is_no_project(json!({"projects": ["shop/api/cache"]}), &[])]
    #[case::group(json!({"groups": [{"path": "shop"}]}), &["shop/api", "shop/api/cache", "shop/web/ui"])]
    #[case::group_in_upper_case(json!({"groups": [{"path": "SHOP"}]}), &["shop/api", "shop/api/cache", "shop/web/ui"])]
    #[case::group_without_subgroups(
        json!({"groups": [{"path": "shop", "includeSubgroups": false}]}),
        &["shop/api", "shop/api/cache"]
    )]
    #[case::subgroup(json!({"groups": [{"path": "shop/web"}]}), &["shop/web/ui"])]
    #[case::include(
        json!({"groups": [{"path": "shop"}], "repositories": {"include": [".*/ui"]}}),
        &["shop/web/ui"]
    )]
    #[case::exclude(
        json!({"groups": [{"path": "shop"}], "repositories": {"exclude": [".*/cache", "shop/web/.*"]}}),
        &["shop/api"]
    )]
    #[case::divided(json!({"groups": [{"path": "shop"}], "repositories": {"exclude": ["shop/.*"]}}), &[])]
    #[case::another_group(json!({"groups": [{"path": "sho"}, {"path": "other"}]}), &[])]
    #[case::a_pattern_that_cannot_be_used(
        json!({"groups": [{"path": "shop"}], "repositories": {"include": ["("]}}), &[]
    )]
    fn another_policy_shares_what_its_target_covers(#[case] spec: Value, #[case] expected: &[&str]) {
        let spec = target(&spec);
        let found = find(&PLACES, &[other("b", &spec)]);
        assert_eq!(found.shared, expected);
        assert_eq!(found.with.len(), usize::from(!expected.is_empty()));
        assert_eq!(found.of, 4);
    }

    #[rstest]
    #[case("https://gitlab.example.com/", true)]
    #[case("https://GitLab.Example.com", true)]
    #[case("https://gitlab.example.com:443", true)]
    #[case("https://gitlab.example.com./", true)]
    #[case("http://gitlab.example.com", true)]
    #[case("http://gitlab.example.com:80", true)]
    #[case("https://gitlab.example.com:8443", false)]
    #[case("https://gitlab.example.com/git", false)]
    #[case("https://gitlab.example.org", false)]
    #[case("nonsense", false)]
    fn the_same_gitlab_may_be_spelled_in_several_ways(#[case] url: &str, #[case] same: bool) {
        let spec = target(&json!({"groups": [{"path": "shop"}]}));
        let its = Other { url, ..other("b", &spec) };
        assert_eq!(around(&spec).includes(&its), same);
        let sub_path = Neighbourhood::of(&Url::parse("https://git.test/git//").unwrap(), &spec);
        assert!(sub_path.includes(&Other { url: "https://git.test/git", ..its }));
    }

    fn to_status(others: &[&str], namespace: &str, name_others: bool) -> (OverlapStatus, String) {
        let spec = target(&json!({"projects": ["shop/api"]}));
        let others: Vec<Other<'_>> = others.iter().map(|name| other(name, &spec)).collect();
        let found = find(&PLACES, &others);
        let to = Reader { namespace, name_others };
        (found.to_status(to).unwrap(), found.sentence(to).unwrap())
    }

    const SHARED: &str = "after repositories of this policy (2 of 4, the first shop/api); each decides alone, so one \
                          may remove what another keeps";

    #[rstest]
    #[case(&["b"], false, &["b"], 0, "policy b also looks")]
    #[case(&["b", "a"], false, &["a", "b"], 0, "policies a and b also look")]
    #[case(&["x/all"], false, &[], 1, "1 policy of another namespace also looks")]
    #[case(&["x/all", "y/all", "b"], false, &["b"], 2, "policy b and 2 policies of other namespaces also look")]
    #[case(&["x/all", "a/all", "b"], true, &["b", "a/all", "x/all"], 0, "policies b, a/all and x/all also look")]
    fn policies_of_other_namespaces_are_counted_and_named_only_where_that_may_be(
        #[case] others: &[&str],
        #[case] name_others: bool,
        #[case] policies: &[&str],
        #[case] counted: u32,
        #[case] who: &str,
    ) {
        let (status, text) = to_status(others, "team", name_others);
        assert_eq!(
            (status.policies, status.others, status.repositories),
            (policies.iter().map(ToString::to_string).collect(), counted, 2)
        );
        assert_eq!(text, format!("{who} {SHARED}"));
    }

    #[test]
    fn many_are_counted() {
        let names: Vec<String> = (0..30).map(|number| format!("p{number:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (status, text) = to_status(&names, "team", false);
        assert_eq!((status.policies.len(), status.others), (MAX_OVERLAPPING_POLICIES, 10));
        assert_eq!(text, format!("policies p00, p01, p02, p03, p04 and 25 more also look {SHARED}"));
        let to = Reader { namespace: "team", name_others: true };
        assert_eq!((Overlap::default().to_status(to), Overlap::default().sentence(to)), (None, None));
    }

    /// The shortest patterns are judged, and of what is beyond all measure it is said that it may be shared.
    #[test]
    fn many_with_large_patterns_are_not_all_compiled_and_ordinary_ones_are() {
        let shop =
            |exclude: &str| target(&json!({"groups": [{"path": "shop"}], "repositories": {"exclude": [exclude]}}));
        let large: Vec<TargetSpec> = (0..200).map(|n| shop(&format!(r"[\w./-]{{1,240}}|x{n}"))).collect();
        let ordinary = shop("shop/.*");
        let names: Vec<String> = (0..large.len()).map(|n| format!("large-{n}")).collect();
        let mut others: Vec<Other<'_>> = names.iter().zip(&large).map(|(name, target)| other(name, target)).collect();
        others.push(other("ordinary", &ordinary));
        let place = Place { path: "shop/web/api", project: "shop/web", project_id: None };
        let found = find(&[place], &others);
        // All exclude everything.
        assert!(found.with.iter().all(|(_, name)| name != "ordinary"));
        assert!(found.with.len() > 100 && found.with.len() < 200, "{}", found.with.len());
    }

    fn path() -> impl Strategy<Value = String> {
        proptest::collection::vec("[ab]", 1..4).prop_map(|parts| parts.join("/"))
    }

    fn targets() -> impl Strategy<Value = TargetSpec> {
        let projects = proptest::collection::vec(prop_oneof![path(), (0_u64..4).prop_map(|id| id.to_string())], 0..3);
        let groups = proptest::collection::vec((path(), any::<Option<bool>>()), 0..3);
        (projects, groups).prop_map(|(projects, groups)| {
            let groups: Vec<Value> = groups
                .iter()
                .map(|(path, subgroups)| match subgroups {
                    Some(subgroups) => json!({"path": path, "includeSubgroups": subgroups}),
                    None => json!({"path": path}),
                })
                .collect();
            target(&json!({"projects": projects, "groups": groups}))
        })
    }

    proptest! {
        #[test]
        fn paths_and_groups_are_compared_as_one_by_one(one in targets(), two in targets(), project in path()) {
            let below = |path: &str, group: &str| path.strip_prefix(group).is_some_and(|rest| rest.starts_with('/'));
            let has = |(group, all): (&String, &bool), project: &str| {
                below(project, group) && (*all || !project[group.len() + 1..].contains('/'))
            };
            let (one, two) = (Reach::of(&one), Reach::of(&two));
            prop_assert_eq!(one.has_project(&project), one.groups.iter().any(|group| has(group, &project)));
            let meet = |one: (&String, &bool), two: (&String, &bool)| {
                one.0 == two.0 || (*one.1 && below(two.0, one.0)) || (*two.1 && below(one.0, two.0))
            };
            let groups = one.groups.iter().any(|group| two.groups.iter().any(|its| meet(group, its)));
            let met = one.groups.keys().any(|group| two.meets_group(group))
                || two.groups.keys().any(|group| one.meets_group(group));
            prop_assert_eq!(met, groups);
        }

        #[test]
        fn whoever_shares_a_repository_is_a_neighbour_and_both_see_the_same(
            one in targets(), two in targets(), projects in proptest::collection::btree_map(0_u64..4, path(), 1..4)
        ) {
            let all: Vec<Place<'_>> = projects
                .iter()
                .map(|(id, path)| Place { path, project: path, project_id: Some(*id) })
                .collect();
            let own = |spec: &TargetSpec| -> Vec<Place<'_>> {
                all.iter().filter(|place| Reach::of(spec).covers(place)).copied().collect()
            };
            let seen = |by: &TargetSpec, its: Other<'_>| {
                let neighbours: Vec<Other<'_>> = [its].into_iter().filter(|its| around(by).includes(its)).collect();
                find(&own(by), &neighbours)
            };
            let seen_by_one = seen(&one, other("two", &two));
            let seen_by_two = seen(&two, other("one", &one));
            prop_assert_eq!(&seen_by_one.shared, &seen_by_two.shared);
            let both: BTreeSet<&str> = own(&one)
                .iter()
                .filter(|place| Reach::of(&two).covers(place))
                .map(|place| place.path)
                .collect();
            prop_assert_eq!(seen_by_one.shared.iter().map(String::as_str).collect::<BTreeSet<_>>(), both);
        }
    }
}
