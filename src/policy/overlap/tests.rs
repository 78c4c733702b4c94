//! What policies share, and that it is found however they are spelled.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn around(target: &TargetSpec) -> Neighbourhood {
    Neighbourhood::of(&Url::parse("https://gitlab.example.com").unwrap(), target)
}

fn includes(around: &Neighbourhood, other: &Other<'_>) -> bool {
    Neighbourhood::of_other(other).is_some_and(|other| around.meets(&other))
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
    assert_eq!(includes(&around(&spec), &its), same);
    let sub_path = Neighbourhood::of(&Url::parse("https://git.test/git//").unwrap(), &spec);
    assert!(includes(&sub_path, &Other { url: "https://git.test/git", ..its }));
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
    let shop = |exclude: &str| target(&json!({"groups": [{"path": "shop"}], "repositories": {"exclude": [exclude]}}));
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
    fn those_that_one_may_meet_are_found_among_many_as_one_by_one(
        specs in proptest::collection::vec((targets(), 0_usize..4), 1..9),
    ) {
        let urls = ["https://gitlab.example.com", "https://GitLab.example.com/", "https://other.example.com", "no address"];
        let of = |(target, url): &(TargetSpec, usize)| {
            Neighbourhood::of_other(&Other { url: urls[*url], ..other("a", target) })
        };
        let mut all = Neighbourhoods::default();
        for spec in &specs {
            all.push(of(spec));
        }
        for one in specs.iter().filter_map(of) {
            let others = specs.iter().map(of).enumerate();
            let met: BTreeSet<usize> = others
                .filter_map(|(position, other)| one.meets(&other?).then_some(position))
                .collect();
            prop_assert_eq!(all.around(&one), met);
        }
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
            let neighbours: Vec<Other<'_>> = [its].into_iter().filter(|its| includes(&around(by), its)).collect();
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
