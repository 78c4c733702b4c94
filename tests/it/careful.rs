//! What is not known, or changes while a run goes on, only ever leads to keeping more.

use gitlab_simulator::{Action, Backend, Endpoint, Fault, HoldPoint, Matcher, ProtectionRule, Push, Settings, Version};
use jiff::{SignedDuration, Timestamp};
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{Operator, World};

async fn operate(world: &World, changes: Value) -> Operator {
    world.apply(&world.policy("shop", &changes)).await.unwrap();
    let operator = Operator::start(world).await;
    world.ready("shop").await;
    operator
}

fn exact(rule: &Value) -> Value {
    let mut rule = rule.clone();
    rule["name"] = json!("rule");
    rule["nameRegexDelete"] = json!("[a-z].*");
    json!({"method": "Exact", "rules": [rule]})
}

fn older() -> Value {
    exact(&json!({"olderThan": "7d"}))
}

async fn ended(world: &World, name: &str, token: &str) -> PolicyStatus {
    world
        .until(name, |status| {
            let run = status.last_run.as_ref();
            status.last_handled_run_at.as_deref() == Some(token) && run.is_some_and(|run| run.completion_time.is_some())
        })
        .await
}

fn names(numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|number| format!("t{number:03}")).collect()
}

/// A repository with this many tags, each ten days old and a second more than the one before.
fn many(world: &World, number: i64) -> u64 {
    let api = world.repository("shop/backend/api", &[]);
    let now = world.now() - SignedDuration::from_hours(240);
    world.sim.edit(|registry| {
        for (second, name) in (0..).zip(names(0..number)) {
            registry.push(api, &name, Push::at(now - SignedDuration::from_secs(second)));
        }
    });
    api
}

fn push(world: &World, repository: u64, tags: &[String], at: Timestamp) {
    world.sim.edit(|registry| {
        for tag in tags {
            registry.push(repository, tag, Push::at(at).digest(&format!("sha256:{:0>64}", "beef")));
        }
    });
}

fn usual(_: &mut Settings) {}

fn no_push_dates(settings: &mut Settings) {
    settings.graphql_hidden_fields.insert("ContainerRepositoryTag.publishedAt".to_owned());
}

fn no_order_by_push(settings: &mut Settings) {
    settings.version = Version::new(16, 11);
}

fn no_graphql(settings: &mut Settings) {
    settings.graphql = false;
}

fn no_metadata_database(settings: &mut Settings) {
    settings.graphql = false;
    settings.backend = Backend::PlainRegistry;
}

#[rstest]
#[case::the_old_are_read(usual)]
#[case::all_are_read(no_push_dates)]
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_gitlab_protects_takes_a_place_whether_or_not_it_had_to_be_read(#[case] change: fn(&mut Settings)) {
    let world = World::start_with(|config| change(&mut config.settings)).await;
    let young: Vec<String> = names(0..30);
    let old: Vec<String> = (0..6).map(|number| format!("old{number}")).collect();
    let ages = young.iter().map(|name| (name.as_str(), 1)).chain(old.iter().map(String::as_str).zip((30..36).rev()));
    let api = world.repository("shop/backend/api", &ages.collect::<Vec<_>>());
    world.sim.edit(|registry| {
        let project = registry.project_by_path("shop/backend").unwrap().id;
        registry.project_mut(project).unwrap().protection_rules.push(ProtectionRule::immutable("^t00[0-2]$|^old0$"));
    });
    let operator = operate(&world, exact(&json!({"olderThan": "7d", "keepN": 31}))).await;
    let status = world.run("shop", "one").await;
    // The thirty young ones take their places, and the youngest of the old ones takes one.
    let expected: Vec<String> = ["old0", "old5"].map(str::to_owned).into_iter().chain(young).collect();
    assert_eq!(world.tags(api), expected, "{status:#?}");
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_pushed_again_stays_also_where_nobody_asked_for_its_date(
    #[values(no_order_by_push, no_graphql, no_metadata_database)] change: fn(&mut Settings),
    #[values(json!({"olderThan": "7d"}), json!({"keepN": 0}), json!({"keepN": 1, "sortBy": "Name"}))] rule: Value,
) {
    let world = World::start_with(|config| change(&mut config.settings)).await;
    // The first request is alone until it is answered: with GraphQL for twenty tags, otherwise for one.
    let api = many(&world, 100);
    let operator = operate(&world, exact(&rule)).await;
    let removal = if world.sim.read(|registry| registry.settings.graphql) {
        Endpoint::GraphqlMutation
    } else {
        Endpoint::DeleteTag
    };
    let hold = world.sim.hold(Matcher::endpoint(removal), HoldPoint::BeforeProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    hold.reached().await;
    let untouched = names(80..100);
    let asked: Vec<String> = world.sim.requests_to(removal).iter().flat_map(named).collect();
    let again: Vec<String> = untouched.into_iter().filter(|name| !asked.contains(name)).take(9).collect();
    assert!(!again.is_empty());
    push(&world, api, &again, world.now());
    hold.release();
    let status = ended(&world, "shop", "one").await;
    let left = world.tags(api);
    assert!(again.iter().all(|name| left.contains(name)), "{left:?}, {again:?}");
    assert!(left.len() <= again.len() + 1, "{left:?}");
    let message = status.repositories[0].message.as_deref().unwrap();
    assert!(message.contains("kept because they were pushed again meanwhile"), "{message}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_tells_whether_a_tag_was_pushed_again_it_stays() {
    let no_digests = |settings: &mut Settings| {
        no_order_by_push(settings);
        settings.graphql_hidden_fields.insert("ContainerRepositoryTag.digest".to_owned());
    };
    let world = World::start_with(|config| no_digests(&mut config.settings)).await;
    let api = many(&world, 3);
    let operator = operate(&world, older()).await;
    let status = world.run("shop", "one").await;
    assert_eq!(world.tags(api), names(0..3));
    let message = status.repositories[0].message.as_deref().unwrap();
    assert!(message.contains("3 kept because nothing tells whether they were pushed again"), "{message}");
    assert_eq!(status.last_run.unwrap().tags.requested, 0);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_somebody_else_removed_meanwhile_is_told_as_gone() {
    let world = World::start_with(|config| no_graphql(&mut config.settings)).await;
    let api = many(&world, 20);
    let operator = operate(&world, older()).await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::DeleteTag), HoldPoint::BeforeProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    hold.reached().await;
    world.sim.edit(|registry| registry.remove_tag(api, "t019"));
    hold.release();
    let status = ended(&world, "shop", "one").await;
    assert_eq!(world.tags(api), Vec::<String>::new());
    let message = status.repositories[0].message.as_deref().unwrap();
    assert!(message.starts_with("19 of 20 planned tags were removed, 1 already gone"), "{message}");
    operator.stop().await;
}

/// The tags that a request to remove some names.
fn named(request: &gitlab_simulator::RequestRecord) -> Vec<String> {
    let of_mutation = request.params["variables"]["names"].as_array().cloned().unwrap_or_default();
    let of_path = request.path.rsplit('/').next().map(str::to_owned);
    of_mutation.iter().filter_map(|name| name.as_str().map(str::to_owned)).chain(of_path).collect()
}

#[rstest]
#[case::in_the_very_second_of_the_plan(0, None)]
#[case::when_the_registry_fails_for_a_moment(1, Some(Action::TruncateTags { keep: 0 }))]
#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_the_look_at_the_newest_could_miss_saves_the_tag(
    #[case] later: i64,
    #[case] trouble: Option<Action>,
) {
    let world = World::start().await;
    let api = many(&world, 30);
    let operator = operate(&world, older()).await;
    // First it is found out what GraphQL knows; then there are two pages; then comes the look.
    let look = || Matcher::endpoint(Endpoint::GraphqlQuery).nth(4);
    let hold = world.sim.hold(look(), HoldPoint::BeforeProcessing);
    if let Some(trouble) = trouble {
        world.sim.fault(Fault::new(look(), trouble));
    }
    // GitLab tells whole seconds.
    world.sim.advance(SignedDuration::from_millis(700));
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    hold.reached().await;
    assert_eq!(world.sim.requests_to(Endpoint::GraphqlMutation), [], "this is the look");
    world.sim.advance(SignedDuration::from_secs(later));
    let again = names(3..5);
    push(&world, api, &again, Timestamp::from_second(world.now().as_second()).unwrap());
    hold.release();
    let status = ended(&world, "shop", "one").await;
    assert_eq!(world.tags(api), again, "{status:#?}");
    assert_eq!(status.last_run.unwrap().tags.confirmed, 28);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_requests_take_long_the_newest_pushes_are_looked_at_more_often() {
    let world = World::start().await;
    let api = many(&world, 240);
    let operator = operate(&world, older()).await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation), HoldPoint::BeforeProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    // Forty tags; the oldest go first.
    hold.reached().await;
    world.sim.advance(SignedDuration::from_secs(30));
    let again = names(0..5);
    push(&world, api, &again, world.now());
    hold.release();
    let status = ended(&world, "shop", "one").await;
    assert_eq!(world.tags(api), again, "{status:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_ends_too_early_is_noticed_also_where_only_ages_matter() {
    let world = World::start().await;
    let api = many(&world, 60);
    let operator = operate(&world, older()).await;
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GraphqlQuery), Action::TruncateTags { keep: 45 }));
    let status = world.run("shop", "one").await;
    assert_eq!(status.repositories[0].reason.as_deref(), Some("ListIncomplete"), "{status:#?}");
    assert_eq!(world.tags(api).len(), 60);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gitlab_takes_for_very_old_though_its_date_says_nothing_is_left_alone_and_no_matter_of_limits() {
    let world = World::start_with(|config| no_metadata_database(&mut config.settings)).await;
    let api = world.repository("shop/backend/api", &[]);
    let now = world.now();
    world.sim.edit(|registry| {
        for name in names(0..20) {
            registry.push(api, &name, Push::at(now).built(Timestamp::UNIX_EPOCH));
        }
    });
    let operator = operate(&world, json!({"limits": {"maxTagsPerRepository": 10}})).await;
    let preview = world.preview("shop", "one").await;
    let status = world.run("shop", "one").await;
    for status in [preview, status] {
        let repository = &status.repositories[0];
        assert_eq!((repository.reason.as_deref(), repository.tags.matched), (Some("DateUnknown"), 0), "{status:#?}");
    }
    assert_eq!((world.tags(api).len(), world.sim.requests_to(Endpoint::BulkDeleteTags).len()), (20, 0));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_does_not_wait_for_the_hour_that_another_policy_began_meanwhile() {
    let world = World::start().await;
    let api = world.repository("shop/backend/api", &[("old", 30), ("new", 1)]);
    world.apply(&world.policy("other", &json!({}))).await.unwrap();
    let operator = operate(&world, json!({})).await;
    world.ready("other").await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::ListTags).nth(1), HoldPoint::AfterProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    hold.reached().await;
    world.run("other", "one").await;
    assert_eq!(world.tags(api), ["new"]);
    let before = world.now();
    hold.release();
    let status = ended(&world, "shop", "one").await;
    assert_eq!(status.repositories[0].reason.as_deref(), Some("RateLimited"), "{status:#?}");
    assert!(status.repositories[0].next_eligible_time.is_some());
    assert!(world.now().duration_since(before) < SignedDuration::from_mins(10), "it waited");
    assert_eq!(world.sim.requests_to(Endpoint::BulkDeleteTags).len(), 1);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hour_is_remembered_whatever_the_next_run_comes_to() {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("old", 30), ("new", 1)]);
    world.repository("shop/backend/web", &[("new", 1)]);
    let operator = operate(&world, json!({})).await;
    let first = world.run("shop", "one").await;
    let times = |status: &PolicyStatus| {
        let mut times: Vec<_> = status
            .repositories
            .iter()
            .map(|repository| (repository.path.clone(), repository.next_eligible_time.clone()))
            .collect();
        times.sort();
        times
    };
    assert!(times(&first).iter().all(|(_, time)| time.is_some()), "{first:#?}");
    world.repository("shop/backend/web", &[("old1", 30), ("old2", 30)]);
    let limits = json!({"limits": {"maxTagsPerRun": 1}});
    world.apply(&world.policy("shop", &limits)).await.unwrap();
    world.ready("shop").await;
    let aborted = world.preview("shop", "two").await;
    assert_eq!(World::condition(&aborted, "LastRunSucceeded"), "False/DeletionLimitExceeded", "{aborted:#?}");
    assert_eq!(times(&aborted), times(&first));
    operator.stop().await;
}

#[rstest]
#[case::far_ahead(SignedDuration::from_hours(-72), "GitLab's clock is 72h behind the operator's")]
#[case::behind(SignedDuration::from_mins(6), "GitLab's clock is 6m ahead of the operator's")]
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_whose_clock_is_wrong_removes_nothing(
    #[case] ahead: SignedDuration,
    #[case] words: &str,
    #[values("Bulk", "Exact")] method: &str,
) {
    let world = World::start_with(|config| config.settings.clock_ahead = ahead).await;
    let api = world.repository("shop/backend/api", &[("old", 30), ("new", 1)]);
    let operator = operate(&world, json!({"method": method})).await;
    for status in [world.preview("shop", "one").await, world.run("shop", "one").await] {
        assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/ClocksDiffer", "{status:#?}");
        let message = status.last_run.unwrap().message.unwrap();
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(world.tags(api).len(), 2);
    world.sim.edit(|registry| registry.settings.clock_ahead = SignedDuration::from_mins(-4));
    world.run("shop", "two").await;
    assert_eq!(world.tags(api), ["new"]);
    operator.stop().await;
}
