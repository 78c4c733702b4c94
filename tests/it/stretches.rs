//! Large repositories, of which several pages are read at the same time by cursors that were guessed: the same tags go
//! as page by page, whatever GitLab makes of the guesses.

use std::collections::BTreeSet;

use gitlab_simulator::{Endpoint, HoldPoint, Matcher, Push, Settings, StrangeCursors};
use jiff::SignedDuration;
use registry_cleanup_operator::api::RUN_REQUESTED_AT;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::in_time;
use crate::world::{Operator, Setup, World};

/// Tags of the repository, and how many of them are older than 30 days.
const TAGS: usize = 1500;
const OLD: usize = 1000;

/// The tag that was pushed so long after the first. Names say nothing of the order.
fn name(number: usize) -> String {
    format!("t{:04}", number * 977 % TAGS)
}

fn young() -> BTreeSet<String> {
    (OLD..TAGS).map(name).collect()
}

async fn registry(settings: impl FnOnce(&mut Settings)) -> (World, u64) {
    let world = World::start_with(|config| settings(&mut config.settings)).await;
    let now = world.now();
    let id = world.repository("shop/backend/api", &[]);
    world.sim.edit(|registry| {
        for number in 0..TAGS {
            // Three an hour, the youngest of the old ones 31 days ago and of the young ones an hour.
            let minutes = 20 * i64::try_from(TAGS - number).unwrap() + if number < OLD { 24 * 24 * 60 } else { 0 };
            registry.push(id, &name(number), Push::at(now - SignedDuration::from_mins(minutes)));
        }
    });
    (world, id)
}

async fn operator(world: &World, graphql_batch: u16, rule: Value) -> Operator {
    world.apply(&world.policy("shop", &json!({"method": "Exact", "rules": [rule]}))).await.unwrap();
    let operator = Operator::set_up(world, Setup { graphql_batch, ..Setup::of(world) }).await;
    world.ready("shop").await;
    world.sim.clear_requests();
    operator
}

fn older(keep_n: Option<u32>) -> Value {
    let mut rule = json!({"name": "old", "nameRegexDelete": ".*", "olderThan": "30d"});
    if let Some(keep_n) = keep_n {
        rule["keepN"] = json!(keep_n);
    }
    rule
}

/// How many requests read, and how many pages they had.
fn reads(world: &World) -> (usize, usize) {
    let reads = world.sim.requests_to(Endpoint::GraphqlQuery);
    (reads.len(), reads.iter().map(|request| request.fields).sum())
}

fn left(world: &World, repository: u64) -> BTreeSet<String> {
    world.tags(repository).into_iter().collect()
}

#[rstest]
#[case::one_page_a_request(1, None, 51)]
#[case::several(25, None, 20)]
#[case::several_with_a_number_to_keep(25, Some(50), 20)]
#[tokio::test(flavor = "multi_thread")]
async fn a_large_repository_is_read_several_pages_at_a_time(
    #[case] graphql_batch: u16,
    #[case] keep_n: Option<u32>,
    #[case] most: usize,
) {
    let (world, repository) = registry(|_| {}).await;
    let operator = operator(&world, graphql_batch, older(keep_n)).await;
    world.preview("shop", "one").await;
    let (requests, pages) = reads(&world);
    // A preview reads as a run does, and 51 pages show that something is too young.
    assert!(requests <= most + 3, "{requests} requests for {pages} pages");
    assert!(pages <= 80, "{pages} pages in {requests} requests");
    world.run("shop", "one").await;
    assert_eq!(left(&world, repository), young());
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_same_tags_go_whatever_gitlab_makes_of_a_cursor_that_was_guessed(
    #[values(
        StrangeCursors::Error,
        StrangeCursors::Nothing,
        StrangeCursors::Beginning,
        StrangeCursors::Gaps
    )]
    strange: StrangeCursors,
    #[values(None, Some(700))] keep_n: Option<u32>,
) {
    let (world, repository) = registry(|settings| settings.strange_push_cursors = strange).await;
    let operator = operator(&world, 25, older(keep_n)).await;
    world.preview("shop", "one").await;
    let (_, guessing) = reads(&world);
    world.sim.clear_requests();
    // For a day it is not tried again.
    world.preview("shop", "two").await;
    let (requests, pages) = reads(&world);
    assert!((51..60).contains(&requests) && pages < 60, "{requests} requests for {pages} pages, {guessing} before");
    assert!(guessing > pages, "it was tried once");
    world.run("shop", "one").await;
    // Of 1,500 tags 500 are young; of the others the newest 200 fill up the 700.
    let kept = keep_n.map_or(0, |keep_n| usize::try_from(keep_n).unwrap() - (TAGS - OLD));
    assert_eq!(left(&world, repository), (OLD - kept..TAGS).map(name).collect());
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_skips_tags_by_push_makes_no_difference_either(#[values(None, Some(700))] keep_n: Option<u32>) {
    let (world, repository) = registry(|settings| settings.pages_by_push_skip = true).await;
    let operator = operator(&world, 25, older(keep_n)).await;
    world.run("shop", "one").await;
    let left = left(&world, repository);
    let kept = keep_n.map_or(0, |keep_n| usize::try_from(keep_n).unwrap() - (TAGS - OLD));
    let to_keep: BTreeSet<String> = (OLD - kept..TAGS).map(name).collect();
    assert!(left.is_superset(&to_keep), "{:?}", to_keep.difference(&left).collect::<Vec<_>>());
    if keep_n.is_some() {
        assert_eq!(left, to_keep, "everything is read by name where tags may have been skipped");
    }
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_by_name_is_read_ahead_by_its_names() {
    let (world, repository) = registry(|_| {}).await;
    let rule = json!({"name": "all", "nameRegexDelete": ".*", "keepN": 500});
    let operator = operator(&world, 25, rule).await;
    world.preview("shop", "one").await;
    let (requests, pages) = reads(&world);
    // 75 pages, of which the first ten come one after the other.
    assert!(requests <= 25, "{requests} requests for {pages} pages");
    assert!(pages <= 77, "{pages} pages in {requests} requests");
    world.run("shop", "one").await;
    assert_eq!(left(&world, repository), young());
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_pushed_while_a_list_is_read_ahead_is_read_as_well() {
    let (world, repository) = registry(|_| {}).await;
    let rule = json!({"name": "all", "nameRegexDelete": ".*", "keepN": 500});
    let operator = operator(&world, 25, rule).await;
    // The names from which the cursors of further pages are guessed.
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::ListTags).nth(1), HoldPoint::AfterProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    in_time("the names", hold.reached()).await;
    let now = world.now();
    world.sim.edit(|registry| {
        registry.push(repository, "t0700-new", Push::at(now));
        registry.remove_tag(repository, "t0900");
    });
    hold.release();
    let status =
        world.until("shop", |status| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some())).await;
    // What is pushed after the run has begun stays and takes no slot; the newest 500 of the others stay.
    let others = (0..TAGS).rev().map(name).filter(|name| name != "t0900").take(500);
    let expected: BTreeSet<String> = others.chain(["t0700-new".to_owned()]).collect();
    assert_eq!(left(&world, repository), expected, "{status:#?}");
    let (requests, pages) = reads(&world);
    assert!(requests <= 45, "{requests} requests for {pages} pages");
    operator.stop().await;
}
