//! From the check to the removal: what is pushed or removed by others while a removal is on its way, and how long that
//! can take.

use gitlab_simulator::{Action, Endpoint, Fault, Hold, HoldPoint, Matcher, Push, RequestRecord, Settings, Version};
use jiff::{SignedDuration, Timestamp};
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT};
use registry_cleanup_operator::controller::{NEWEST_PUSHES_HOLD, TAGS_NOW_HOLD};
use rstest::rstest;
use serde_json::json;

use crate::world::{Operator, World, path};

/// A repository with so many tags that are to go, the oldest last, and one that stays.
struct Scene {
    world: World,
    repository: u64,
    operator: Operator,
}

fn name(number: usize) -> String {
    format!("t{number:03}")
}

impl Scene {
    async fn with(change: fn(&mut Settings), number: usize) -> Self {
        let names: Vec<String> = (0..number).map(name).collect();
        Self::of(change, &names.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    async fn of(change: fn(&mut Settings), tags: &[&str]) -> Self {
        let world = World::start_with(|config| change(&mut config.settings)).await;
        let repository = world.repository("shop/backend/api", &[("young", 1)]);
        let now = world.now() - SignedDuration::from_hours(240);
        world.sim.edit(|registry| {
            for (second, tag) in (0..).zip(tags) {
                let at = now - SignedDuration::from_secs(second);
                registry.push(repository, tag, Push::at(at).built(at).size(100));
            }
        });
        let rules = json!([{"name": "old", "nameRegexDelete": ".*", "olderThan": "7d"}]);
        world.apply(&world.policy("shop", &json!({"method": "Exact", "rules": rules}))).await.unwrap();
        let operator = Operator::start(&world).await;
        world.ready("shop").await;
        Self { world, repository, operator }
    }

    /// How many requests to an endpoint a plan takes, once it is known what the server can do.
    async fn planning(&self, endpoint: Endpoint) -> u64 {
        self.world.preview("shop", "one").await;
        self.world.sim.clear_requests();
        self.world.preview("shop", "two").await;
        let requests = self.world.sim.requests_to(endpoint).len();
        self.world.sim.clear_requests();
        requests as u64
    }

    async fn begin(&self) {
        self.world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    }

    async fn ended(&self) -> PolicyStatus {
        let over = |status: &PolicyStatus| {
            let run = status.last_run.as_ref();
            status.last_handled_run_at.as_deref() == Some("one") && run.is_some_and(|run| run.completion_time.is_some())
        };
        self.world.until("shop", over).await
    }

    fn hold(&self, matcher: Matcher) -> Hold {
        self.world.sim.hold(matcher, HoldPoint::BeforeProcessing)
    }

    fn push(&self, tags: &[String]) {
        let at = self.world.now();
        self.world.sim.edit(|registry| {
            for tag in tags {
                registry.push(self.repository, tag, Push::at(at).digest(&format!("sha256:{:0>64}", "beef")));
            }
        });
    }

    fn remove(&self, tags: &[String]) {
        let gone = |tag: &String| self.world.sim.edit(|registry| registry.remove_tag(self.repository, tag));
        assert!(tags.iter().all(gone));
    }

    /// The tags that are left, without the one that is to stay.
    fn left(&self) -> Vec<String> {
        self.world.tags(self.repository).into_iter().filter(|tag| tag != "young").collect()
    }
}

fn usual(_: &mut Settings) {}

fn no_order_by_push(settings: &mut Settings) {
    settings.version = Version::new(16, 11);
}

fn no_graphql(settings: &mut Settings) {
    settings.graphql = false;
}

fn no_graphql_and_old(settings: &mut Settings) {
    no_graphql(settings);
    settings.version = Version::new(15, 0);
}

fn no_metadata_database(settings: &mut Settings) {
    settings.backend = gitlab_simulator::Backend::PlainRegistry;
}

/// The tags that a request removes or asks for by name.
fn named(request: &RequestRecord) -> Vec<String> {
    let variables = request.params["variables"].as_object().into_iter().flatten();
    let of_query = variables.filter(|(key, _)| key.starts_with('t')).filter_map(|(_, value)| value.as_str());
    request
        .tag_names
        .iter()
        .map(String::as_str)
        .chain(of_query)
        .chain(request.tag.as_deref())
        .map(str::to_owned)
        .collect()
}

fn message(status: &PolicyStatus) -> &str {
    status.repositories[0].message.as_deref().unwrap()
}

#[rstest]
#[case::newest_pushes(usual, 60, Endpoint::GraphqlMutation)]
#[case::few_tags(usual, 5, Endpoint::GraphqlMutation)]
#[case::by_name(no_order_by_push, 60, Endpoint::GraphqlMutation)]
#[case::by_name_without_metadata_database(no_metadata_database, 60, Endpoint::GraphqlMutation)]
#[case::one_by_one(no_graphql, 5, Endpoint::DeleteTag)]
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_pushed_again_while_its_removal_waits_for_gitlab_stays(
    #[case] change: fn(&mut Settings),
    #[case] tags: usize,
    #[case] removal: Endpoint,
) {
    let scene = Scene::with(change, tags).await;
    let first = || Matcher::endpoint(removal).nth(1);
    let hold = scene.hold(first());
    scene.world.sim.fault(Fault::new(first(), Action::TooManyRequests { retry_after: Some(60) }));
    scene.begin().await;
    hold.reached().await;
    let mut again = named(&scene.world.sim.requests_to(removal)[0]);
    scene.push(&again);
    hold.release();
    let status = scene.ended().await;
    again.sort();
    assert_eq!(scene.left(), again, "{status:#?}");
    assert!(message(&status).contains(&format!("{} kept because they were pushed again", again.len())), "{status:#?}");
    scene.operator.stop().await;
}

/// The requests by which tags were checked before this removal.
fn checks_before(requests: &[RequestRecord], removal: &RequestRecord, tag: &str) -> Option<Timestamp> {
    let asks = |request: &&RequestRecord| {
        let by_name = named(request).iter().any(|name| name == tag) && request.method != "DELETE";
        let newest = request.params["query"].as_str().is_some_and(|query| query.contains("PUBLISHED_AT_DESC"));
        request.sequence < removal.sequence && request.tag_names.is_empty() && (by_name || newest)
    };
    requests.iter().filter(asks).map(|request| request.at).max()
}

#[rstest]
#[case::newest_pushes(usual, 70, NEWEST_PUSHES_HOLD, Endpoint::GraphqlMutation)]
#[case::by_name(no_order_by_push, 20, TAGS_NOW_HOLD, Endpoint::GraphqlMutation)]
#[case::by_name_without_metadata_database(no_metadata_database, 20, TAGS_NOW_HOLD, Endpoint::GraphqlMutation)]
#[case::one_by_one(no_graphql, 1, TAGS_NOW_HOLD, Endpoint::DeleteTag)]
#[tokio::test(flavor = "multi_thread")]
async fn no_more_time_passes_from_check_to_removal_than_the_documentation_says(
    #[case] change: fn(&mut Settings),
    #[case] tags: usize,
    #[case] at_most: SignedDuration,
    #[case] removal: Endpoint,
) {
    let scene = Scene::with(change, tags).await;
    // The last request is turned away twice, when the others have arrived: its pauses turn the clock for all. Each
    // answer takes a while.
    let last = tags.div_ceil(20) as u64;
    for nth in [last, last + 1] {
        let again = Action::TooManyRequests { retry_after: Some(45) };
        scene.world.sim.fault(Fault::new(Matcher::endpoint(removal).nth(nth), again));
    }
    scene.world.sim.fault(Fault::new(Matcher::any(), Action::Takes(std::time::Duration::from_millis(300))));
    scene.begin().await;
    let status = scene.ended().await;
    assert_eq!(scene.left(), Vec::<String>::new(), "{status:#?}");
    let requests = scene.world.sim.requests();
    let mut removed = 0;
    for removal in requests.iter().filter(|request| request.endpoint == removal) {
        for tag in named(removal) {
            let checked = checks_before(&requests, removal, &tag).unwrap_or_else(|| panic!("{tag} was not checked"));
            let passed = removal.at.duration_since(checked);
            // Others have their answers while it is on its way.
            assert!(passed < at_most + SignedDuration::from_secs(1), "{tag}: {passed:#}");
            removed += usize::from(removal.status == Some(200));
        }
    }
    assert_eq!(removed, tags);
    scene.operator.stop().await;
}

#[test]
fn the_documentation_tells_the_largest_times() {
    let text = std::fs::read_to_string(path("docs/methods.md")).unwrap();
    let section = text.split("## What is pushed meanwhile").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let last = |row: usize| rows[row].last().copied().unwrap();
    let seconds = |time: SignedDuration| format!("{} s", time.as_secs());
    assert_eq!(rows.len(), 1 + 3, "{rows:?}");
    assert_eq!([1, 2, 3].map(last), [NEWEST_PUSHES_HOLD, TAGS_NOW_HOLD, TAGS_NOW_HOLD].map(seconds));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_takes_too_long_is_made_again_with_fewer_tags() {
    let scene = Scene::with(no_order_by_push, 20).await;
    let planning = scene.planning(Endpoint::GraphqlQuery).await;
    let check = Matcher { skip: planning, times: Some(1), ..Matcher::endpoint(Endpoint::GraphqlQuery) };
    scene.world.sim.fault(Fault::new(check, Action::Takes(std::time::Duration::from_secs(3))));
    scene.begin().await;
    let status = scene.ended().await;
    assert_eq!(scene.left(), Vec::<String>::new(), "{status:#?}");
    let sizes = |endpoint| -> Vec<usize> {
        let requests = scene.world.sim.requests_to(endpoint);
        requests.iter().map(|request| named(request).len()).filter(|size| *size > 0).collect()
    };
    assert_eq!(sizes(Endpoint::GraphqlQuery), [20, 10, 10]);
    assert_eq!(sizes(Endpoint::GraphqlMutation), [10, 10]);
    scene.operator.stop().await;
}

#[rstest]
#[case::by_name(no_order_by_push)]
#[case::one_by_one(no_graphql)]
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_of_which_gitlab_takes_too_long_to_tell_stays(#[case] change: fn(&mut Settings)) {
    let scene = Scene::with(change, 2).await;
    let slow = |endpoint| Fault::new(Matcher::endpoint(endpoint), Action::Takes(std::time::Duration::from_secs(3)));
    scene.world.sim.fault(slow(Endpoint::GraphqlQuery));
    scene.world.sim.fault(slow(Endpoint::GetTag));
    scene.begin().await;
    let status = scene.ended().await;
    assert_eq!(scene.left().len(), 2);
    assert!(message(&status).contains("2 kept because GitLab took too long to tell"), "{status:#?}");
    assert_eq!(status.last_run.unwrap().tags.requested, 0);
    scene.operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_checked_together_and_one_that_many_others_contain_alone() {
    let tags: Vec<String> = (0..18).map(|number| format!("0.1-{number:02}")).chain(["1".to_owned()]).collect();
    let scene = Scene::of(no_order_by_push, &tags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    scene.world.sim.clear_requests();
    scene.begin().await;
    let status = scene.ended().await;
    assert_eq!(scene.left(), Vec::<String>::new(), "{status:#?}");
    let alone: Vec<Vec<String>> = scene.world.sim.requests_to(Endpoint::GetTag).iter().map(named).collect();
    assert_eq!(alone, [["1"]]);
    // The first is withdrawn because of the one that it cannot tell.
    let checks =
        scene.world.sim.requests_to(Endpoint::GraphqlQuery).iter().filter(|request| !named(request).is_empty()).count();
    assert_eq!((checks, scene.world.sim.requests_to(Endpoint::GraphqlMutation).len()), (2, 2));
    scene.operator.stop().await;
}

#[rstest]
#[case::few_tags(usual, 10)]
#[case::by_name(no_order_by_push, 10)]
#[case::one_by_one(no_graphql, 1)]
#[tokio::test(flavor = "multi_thread")]
async fn what_others_removed_before_the_check_is_not_counted_as_removed(
    #[case] change: fn(&mut Settings),
    #[case] tags: usize,
) {
    let scene = Scene::with(change, tags).await;
    let endpoint = if scene.world.sim.read(|registry| registry.settings.graphql) {
        Endpoint::GraphqlQuery
    } else {
        Endpoint::GetTag
    };
    let planning = scene.planning(endpoint).await;
    let hold = scene.hold(Matcher { skip: planning, times: Some(1), ..Matcher::endpoint(endpoint) });
    scene.begin().await;
    hold.reached().await;
    let checked = named(scene.world.sim.requests_to(endpoint).last().unwrap());
    assert!(!checked.is_empty());
    let gone: Vec<String> = checked.into_iter().take(3).collect();
    scene.remove(&gone);
    hold.release();
    let status = scene.ended().await;
    let ours = tags - gone.len();
    let expected = format!("{ours} of {tags} planned tags were removed, {} already gone", gone.len());
    assert!(message(&status).starts_with(&expected), "{status:#?}");
    let run = status.last_run.as_ref().unwrap();
    assert_eq!((run.tags.requested, run.tags.confirmed), (ours as u64, ours as u64));
    assert_eq!(run.bytes.unwrap_or_default(), 100 * ours as u64);
    scene.operator.stop().await;
}

#[rstest]
#[case::not_found(no_graphql_and_old)]
#[case::refused_and_in_no_list(no_graphql)]
#[tokio::test(flavor = "multi_thread")]
async fn what_others_removed_before_the_removal_is_not_counted_where_gitlab_tells(#[case] change: fn(&mut Settings)) {
    let scene = Scene::with(change, 3).await;
    let hold = scene.hold(Matcher::endpoint(Endpoint::DeleteTag).nth(1));
    scene.begin().await;
    hold.reached().await;
    scene.remove(&named(&scene.world.sim.requests_to(Endpoint::DeleteTag)[0]));
    hold.release();
    let status = scene.ended().await;
    assert!(message(&status).starts_with("2 of 3 planned tags were removed, 1 already gone"), "{status:#?}");
    let run = status.last_run.as_ref().unwrap();
    assert_eq!((run.tags.requested, run.tags.confirmed), (3, 2));
    scene.operator.stop().await;
}
