//! Removals of several small repositories in one request: each repository's tags are looked at, and judged, by
//! themselves.

use gitlab_simulator::{Action, Endpoint, Fault, HoldPoint, Matcher, Push};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RunResult};
use rstest::rstest;
use serde_json::json;

use crate::support::in_time;
use crate::world::{Operator, World};

const REPOSITORIES: [&str; 3] = ["api", "web", "worker"];
/// Tags of each repository, all of them old but for `latest`.
const OLD: usize = 12;

fn name(number: usize) -> String {
    format!("t{number:02}")
}

async fn registry() -> (World, Vec<u64>) {
    let world = World::start().await;
    let old: Vec<(String, i64)> = (0..OLD).map(|number| (name(number), 60)).collect();
    let tags: Vec<(&str, i64)> = old.iter().map(|(name, days)| (name.as_str(), *days)).chain([("latest", 1)]).collect();
    let repositories =
        REPOSITORIES.iter().map(|repository| world.repository(&format!("shop/backend/{repository}"), &tags)).collect();
    (world, repositories)
}

async fn operator(world: &World) -> Operator {
    let rule = json!({"name": "old", "nameRegexDelete": ".*", "olderThan": "30d"});
    world.apply(&world.policy("shop", &json!({"method": "Exact", "rules": [rule]}))).await.unwrap();
    let operator = Operator::start(world).await;
    world.ready("shop").await;
    world.sim.clear_requests();
    operator
}

async fn ended(world: &World) -> PolicyStatus {
    world.until("shop", |status| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some())).await
}

/// The message about each repository, in their order.
fn messages(status: &PolicyStatus) -> Vec<String> {
    REPOSITORIES
        .iter()
        .map(|name| {
            let found = status.repositories.iter().find(|repository| repository.path.ends_with(name));
            found.and_then(|repository| repository.message.clone()).unwrap_or_default()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_looks_at_small_repositories_and_one_removes_their_tags() {
    let (world, repositories) = registry().await;
    let operator = operator(&world).await;
    let status = world.run("shop", "one").await;
    assert_eq!(status.last_run.as_ref().unwrap().tags.confirmed, 36, "{status:#?}");
    assert!(repositories.iter().all(|id| world.tags(*id) == ["latest"]));
    let told = messages(&status);
    assert!(told.iter().all(|message| message.starts_with("12 of 12 planned tags were removed")), "{told:?}");

    let removals = world.sim.requests_to(Endpoint::GraphqlMutation);
    assert_eq!(removals.iter().map(|request| (request.fields, request.tag_names.len())).collect::<Vec<_>>(), [(3, 36)]);
    let all = world.sim.requests();
    let look = all.iter().rev().skip_while(|request| request.endpoint != Endpoint::GraphqlMutation).nth(1).unwrap();
    assert_eq!((look.endpoint, look.fields), (Endpoint::GraphqlQuery, 3), "one look at all three");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_of_one_repository_that_is_pushed_again_stays_and_takes_no_other_with_it() {
    let (world, repositories) = registry().await;
    let operator = operator(&world).await;
    // Before the first page it is found out what GraphQL knows.
    let planning = Matcher::endpoint(Endpoint::GraphqlQuery).nth(2);
    let hold = world.sim.hold(planning, HoldPoint::AfterProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("the pages", hold.reached()).await;
    world.sim.advance(SignedDuration::from_secs(1));
    let now = world.now();
    world.sim.edit(|registry| {
        registry.push(repositories[1], "t05", Push::at(now));
    });
    hold.release();
    let status = ended(&world).await;
    assert_eq!(world.tags(repositories[0]), ["latest"], "{status:#?}");
    assert_eq!(world.tags(repositories[1]), ["latest", "t05"]);
    assert_eq!(world.tags(repositories[2]), ["latest"]);
    let told = messages(&status);
    assert!(told[1].contains("1 kept because they were pushed again meanwhile"), "{told:?}");
    assert!(!told[0].contains("kept because") && !told[2].contains("kept because"), "{told:?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_look_is_made_anew_for_what_was_turned_away() {
    let (world, repositories) = registry().await;
    let operator = operator(&world).await;
    let first = Matcher::endpoint(Endpoint::GraphqlMutation).nth(1);
    world.sim.fault(Fault::new(first.clone(), Action::TooManyRequests { retry_after: Some(60) }));
    // On its way already, and about to be turned away.
    let hold = world.sim.hold(first, HoldPoint::BeforeProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("the request", hold.reached()).await;
    world.sim.advance(SignedDuration::from_secs(1));
    let now = world.now();
    world.sim.edit(|registry| {
        registry.push(repositories[2], "t11", Push::at(now));
    });
    hold.release();
    let status = ended(&world).await;
    assert_eq!(world.tags(repositories[2]), ["latest", "t11"], "{status:#?}");
    assert_eq!(status.last_run.unwrap().tags.confirmed, 35);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_told_of_each_repository_and_nothing_is_sent_again() {
    let (world, repositories) = registry().await;
    let operator = operator(&world).await;
    let lost = Fault::new(Matcher::endpoint(Endpoint::GraphqlMutation).times(1), Action::DropConnection);
    world.sim.fault(lost.after_processing());
    let status = world.run("shop", "one").await;
    assert!(repositories.iter().all(|id| world.tags(*id) == ["latest"]));
    let told = messages(&status);
    let unknown = "0 of 12 planned tags were removed, 12 of unknown fate";
    assert!(told.iter().all(|message| message.starts_with(unknown)), "{told:?}");
    assert_eq!(world.sim.requests_to(Endpoint::GraphqlMutation).len(), 1);
    assert_eq!(status.last_run.unwrap().tags.confirmed, 0);
    operator.stop().await;
}

#[rstest]
#[case::refused(json!("The resource that you are attempting to access does not exist or you don't have permission to perform this action"), 12)]
#[case::out_of_time(json!("Timeout on Mutation.destroyContainerRepositoryTags"), 0)]
#[tokio::test(flavor = "multi_thread")]
async fn what_gitlab_says_of_one_repository_says_nothing_of_the_others(
    #[case] message: serde_json::Value,
    #[case] one_by_one: usize,
) {
    let (world, repositories) = registry().await;
    let operator = operator(&world).await;
    let names: Vec<String> = (0..OLD).map(name).collect();
    let gone = json!({"deletedTagNames": names, "errors": []});
    let answer = json!({
        "data": {"p0": gone, "p1": null, "p2": gone},
        "errors": [{"message": message, "path": ["p1"]}],
    });
    let answer = Action::Answer { status: 200, headers: Vec::new(), body: answer.to_string() };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GraphqlMutation).times(1), answer));
    let status = world.run("shop", "one").await;
    let run = status.last_run.as_ref().unwrap();
    assert_eq!(run.tags.confirmed, 24 + one_by_one as u64, "{status:#?}");
    assert_eq!(run.result, RunResult::Succeeded);
    assert_eq!(world.sim.requests_to(Endpoint::DeleteTag).len(), one_by_one);
    let kept = OLD + 1 - one_by_one;
    assert_eq!(world.tags(repositories[1]).len(), kept);
    let told = messages(&status);
    assert_eq!(told[1].contains("12 of unknown fate"), one_by_one == 0, "{told:?}");
    assert!(!told[0].contains("unknown") && !told[2].contains("unknown"), "{told:?}");
    operator.stop().await;
}
