//! Several pages, or several removals, in one request: each part stands for itself, and how many there are follows
//! what the server bears.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::{self, BoxFuture, FutureExt, join_all};
use gitlab_simulator::{Action, Endpoint, Fault, HoldPoint, Matcher, Push, RequestRecord, Settings};
use jiff::SignedDuration;
use registry_cleanup_operator::gitlab::{
    AlwaysOpen, Client, ClientSettings, ErrorKind, FinalCheck, GitLab, RemovedPart, RequestLimits, TagOrder, TagPage,
};
use rstest::rstest;
use serde_json::json;

use super::{TestGate, World, full_speed, kind, soon};

/// A world with these numbers of tags in repositories of one project, and their ids.
async fn repositories(tags: &[usize], settings: impl FnOnce(&mut Settings)) -> (World, Vec<u64>) {
    let world = World::with(settings).await;
    let ids = tags.iter().enumerate().map(|(index, count)| {
        world.sim.edit(|registry| {
            let id = registry.repository(&format!("shop/backend/image-{index}"));
            for number in 0..*count {
                registry.push(id, &format!("{index}-{number:03}"), Push::default());
            }
            id
        })
    });
    let ids = ids.collect();
    (world, ids)
}

/// A client that has found out what the server knows, with at most so many parts in a document.
async fn client(world: &World, limits: RequestLimits) -> Client {
    let gitlab = GitLab::new(ClientSettings { limits, ..full_speed() }, world.clock.clone());
    let client = gitlab.connect(&world.connection(), Arc::new(AlwaysOpen)).unwrap();
    client.capabilities(world.repository.id).await.unwrap();
    world.sim.clear_requests();
    client
}

async fn usual(world: &World) -> Client {
    client(world, full_speed().limits).await
}

fn batch(graphql_batch: u16) -> RequestLimits {
    RequestLimits { graphql_batch, ..full_speed().limits }
}

/// Every name of a repository, by its pages.
async fn names(client: &Client, repository: u64) -> Result<Vec<String>, ErrorKind> {
    let (mut names, mut cursor) = (Vec::new(), None);
    loop {
        let page = client.tag_page(repository, TagOrder::Name, cursor.as_deref()).await;
        let TagPage { tags, next, .. } = page.map_err(|error| error.kind().clone())?;
        names.extend(tags.into_iter().map(|tag| String::from(tag.name)));
        cursor = next;
        if cursor.is_none() {
            return Ok(names);
        }
    }
}

fn expected(index: usize, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{index}-{number:03}")).collect()
}

/// How many parts each query had.
fn parts(world: &World) -> Vec<usize> {
    world.sim.requests_to(Endpoint::GraphqlQuery).iter().map(|request: &RequestRecord| request.fields).collect()
}

#[tokio::test]
async fn pages_that_are_wanted_at_the_same_time_share_requests() {
    let tags = [45, 20, 0, 61, 21, 1, 33, 80];
    let (world, ids) = repositories(&tags, |_| {}).await;
    let client = usual(&world).await;
    let read = join_all(ids.iter().map(|id| names(&client, *id))).await;
    for (index, names) in read.into_iter().enumerate() {
        assert_eq!(names, Ok(expected(index, tags[index])));
    }
    let pages: usize = tags.iter().map(|count| count.div_ceil(20).max(1)).sum();
    let parts = parts(&world);
    assert_eq!(parts.iter().sum::<usize>(), pages, "none is asked for twice");
    assert!(parts.len() <= 9, "{parts:?}");
    assert_eq!(parts[..2], [4, 4]);
}

#[tokio::test]
async fn with_a_batch_of_one_every_page_is_a_request_of_its_own() {
    let (world, ids) = repositories(&[45, 20, 61], |_| {}).await;
    let client = client(&world, batch(1)).await;
    for (index, names) in join_all(ids.iter().map(|id| names(&client, *id))).await.into_iter().enumerate() {
        assert_eq!(names, Ok(expected(index, [45, 20, 61][index])));
    }
    assert_eq!(parts(&world), [1; 8]);
    let many: Vec<String> = expected(2, 61);
    assert_eq!(client.removable_at_once(), 20);
    let gone = together(&client, ids[2], &many[..20]).await.unwrap();
    assert_eq!(gone, [Ok(20)]);
    assert_eq!(client.removable_at_once(), 20, "however fast the server is");
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_does_not_spoil_its_neighbours() {
    let (world, mut ids) = repositories(&[30, 30, 30], |_| {}).await;
    ids.insert(1, 1);
    let client = usual(&world).await;
    let read = join_all(ids.iter().map(|id| names(&client, *id))).await;
    assert_eq!(read[1], Err(ErrorKind::NotFound));
    let others: Vec<_> = [0, 2, 3].map(|index| read[index].clone()).into();
    assert_eq!(others, [0, 1, 2].map(|index| Ok(expected(index, 30))));
}

#[rstest]
#[case::a_gateway(Action::Answer { status: 502, headers: Vec::new(), body: String::new() })]
#[case::too_late(Action::Answer { status: 504, headers: Vec::new(), body: "<html>".to_owned() })]
#[case::a_connection_that_breaks(Action::DropConnection)]
#[case::too_complex(refusal(200, "Query has complexity of 251, which exceeds max complexity of 250"))]
#[case::too_long(refusal(422, "Query too large"))]
#[case::no_json(Action::InvalidJson)]
#[tokio::test]
async fn pages_of_a_document_that_failed_are_asked_for_alone_and_the_next_is_smaller(#[case] action: Action) {
    let (world, ids) = repositories(&[5, 5, 5, 5], |_| {}).await;
    let client = usual(&world).await;
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GraphqlQuery).times(1), action.clone()));
    let read = join_all(ids.iter().map(|id| names(&client, *id))).await;
    for (index, names) in read.into_iter().enumerate() {
        assert_eq!(names, Ok(expected(index, 5)));
    }
    assert_eq!(parts(&world), [4, 1, 1, 1, 1]);
    world.sim.clear_requests();
    join_all(ids.iter().map(|id| names(&client, *id))).await;
    let halved = action != Action::InvalidJson;
    assert_eq!(parts(&world), if halved { vec![2, 2] } else { vec![4] });
}

fn refusal(status: u16, text: &str) -> Action {
    Action::Answer { status, headers: Vec::new(), body: json!({ "errors": [{ "message": text }] }).to_string() }
}

#[tokio::test]
async fn pages_that_were_told_before_time_ran_out_count_and_the_others_are_asked_for_again() {
    let (world, ids) =
        repositories(&[5; 4], |settings| settings.graphql_page_takes = SignedDuration::from_secs(12)).await;
    let client = usual(&world).await;
    let read = join_all(ids.iter().map(|id| names(&client, *id))).await;
    for (index, names) in read.into_iter().enumerate() {
        assert_eq!(names, Ok(expected(index, 5)));
    }
    // Two of four within 30 s.
    assert_eq!(parts(&world), [4, 1, 1]);
    world.sim.clear_requests();
    join_all(ids.iter().map(|id| names(&client, *id))).await;
    assert!(parts(&world).iter().all(|parts| *parts <= 2), "{:?}", parts(&world));
}

#[tokio::test]
async fn so_many_requests_are_under_way_to_a_host_and_no_more() {
    let (world, ids) = repositories(&[5; 12], |_| {}).await;
    let limits = RequestLimits { requests_in_flight: 2, ..batch(1) };
    let client = client(&world, limits).await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlQuery), HoldPoint::BeforeProcessing);
    let reading = tokio::spawn(async move { join_all(ids.iter().map(|id| names(&client, *id))).await });
    soon(hold.reached()).await;
    soon(async {
        while world.count(Endpoint::GraphqlQuery) < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // A request that nothing held back would be here by now.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.count(Endpoint::GraphqlQuery), 2);
    hold.release();
    assert_eq!(soon(reading).await.unwrap().len(), 12);
    assert_eq!(world.count(Endpoint::GraphqlQuery), 12);
}

/// A last look that counts how often it was asked.
#[derive(Default)]
struct Counted(AtomicUsize);

impl FinalCheck for Counted {
    fn still(&self) -> BoxFuture<'_, bool> {
        self.0.fetch_add(1, Ordering::Relaxed);
        future::ready(true).boxed()
    }
}

#[tokio::test]
async fn a_removal_waits_for_a_place_before_its_last_look_and_counts_while_it_is_under_way() {
    let (world, ids) = repositories(&[5; 2], |_| {}).await;
    let client = client(&world, RequestLimits { requests_in_flight: 1, ..batch(1) }).await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlQuery), HoldPoint::BeforeProcessing);
    let reading = tokio::spawn({
        let (client, id) = (client.clone(), ids[0]);
        async move { names(&client, id).await }
    });
    soon(hold.reached()).await;
    let look = Arc::new(Counted::default());
    let removal_held = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation), HoldPoint::BeforeProcessing);
    let removing = tokio::spawn({
        let (client, id) = (client.looking(look.clone()), ids[1]);
        async move { client.delete_tags(id, &["1-000"]).await.map_err(|error| error.kind().clone()) }
    });
    // A look that nothing held back would be over by now.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!((look.0.load(Ordering::Relaxed), world.count(Endpoint::GraphqlMutation)), (0, 0));
    hold.release();
    assert_eq!(soon(reading).await.unwrap().unwrap().len(), 5);
    soon(removal_held.reached()).await;
    assert_eq!(look.0.load(Ordering::Relaxed), 1);

    let others = tokio::spawn(async move { names(&client, ids[0]).await });
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.count(Endpoint::GraphqlQuery), 1, "the removal has the only place");
    removal_held.release();
    assert_eq!(soon(removing).await.unwrap().unwrap().len(), 1);
    assert_eq!(soon(others).await.unwrap().unwrap().len(), 5);
}

#[tokio::test]
async fn a_host_that_fails_is_asked_less_at_once() {
    let (world, ids) = repositories(&[5; 6], |_| {}).await;
    let client = client(&world, batch(1)).await;
    let overloaded = Action::Answer { status: 503, headers: Vec::new(), body: String::new() };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GetTag).times(4), overloaded));
    for _ in 0..4 {
        let _ = client.tag(&world.repository, "none").await;
    }
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlQuery), HoldPoint::BeforeProcessing);
    let reading = tokio::spawn(async move { join_all(ids.iter().map(|id| names(&client, *id))).await });
    soon(hold.reached()).await;
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert!(world.count(Endpoint::GraphqlQuery) < 4, "four were allowed");
    hold.release();
    assert_eq!(soon(reading).await.unwrap().len(), 6);
}

#[tokio::test]
async fn whoever_waits_for_others_hears_that_the_gate_has_closed() {
    let (world, ids) = repositories(&[5; 8], |_| {}).await;
    usual(&world).await;
    let gate = TestGate::new(None);
    let client = world.patient_client_behind(Arc::clone(&gate));
    client.capabilities(world.repository.id).await.unwrap();
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlQuery), HoldPoint::BeforeProcessing);
    let reading = tokio::spawn(async move { join_all(ids.iter().map(|id| names(&client, *id))).await });
    soon(hold.reached()).await;
    gate.close();
    assert_eq!(soon(reading).await.unwrap(), vec![Err(ErrorKind::Stopped); 8]);
}

/// What each part came to: how many are gone, or why nobody knows.
async fn together<N: AsRef<str>>(
    client: &Client,
    repository: u64,
    names: &[N],
) -> Result<Vec<Result<usize, ErrorKind>>, ErrorKind> {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let told = |part: RemovedPart| part.map(|gone| gone.len()).map_err(|error| error.kind().clone());
    let parts = client.delete_tags_together(repository, &names).await.map_err(|error| error.kind().clone())?;
    Ok(parts.into_iter().map(told).collect())
}

fn left(world: &World) -> usize {
    world.sim.read(|registry| registry.tag_names(world.repository.id).len())
}

#[tokio::test]
async fn several_times_twenty_tags_go_in_one_request_and_more_in_the_next() {
    let world = World::new().await;
    let tags = world.push(150);
    let client = usual(&world).await;
    assert_eq!(client.removable_at_once(), 40);
    assert_eq!(together(&client, world.repository.id, &tags[..40]).await.unwrap(), [Ok(20), Ok(20)]);
    assert_eq!(client.removable_at_once(), 80);
    assert_eq!(together(&client, world.repository.id, &tags[40..115]).await.unwrap(), [Ok(20), Ok(20), Ok(20), Ok(15)]);
    assert_eq!(left(&world), 35);
    let requests = world.sim.requests_to(Endpoint::GraphqlMutation);
    assert_eq!(requests.iter().map(|request| request.fields).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(requests[1].tag_names, tags[40..115].iter().map(ToString::to_string).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_removal_that_was_not_told_in_time_is_of_unknown_fate_and_only_that() {
    let world = World::with(|settings| settings.graphql_removal_takes = SignedDuration::from_millis(800)).await;
    let tags = world.push(60);
    let client = usual(&world).await;
    let told = together(&client, world.repository.id, &tags).await.unwrap();
    // 16 s for each: time runs out during the second, which is done.
    assert_eq!(told, [Ok(20), Err(ErrorKind::AnswerLost), Err(ErrorKind::AnswerLost)]);
    assert_eq!(left(&world), 20);
    assert_eq!(client.removable_at_once(), 30);
    assert_eq!(together(&client, world.repository.id, &tags[40..]).await.unwrap(), [Ok(20)]);
    // 20 took 16 s, so that three fit.
    assert_eq!(client.removable_at_once(), 3);
    assert_eq!(world.count(Endpoint::GraphqlMutation), 2, "nothing is sent again");
}

#[rstest]
#[case::complexity(refusal(200, "Query has complexity of 251, which exceeds max complexity of 250"))]
#[case::length(refusal(422, "Query too large"))]
#[tokio::test]
async fn a_document_that_was_refused_as_too_large_did_nothing(#[case] action: Action) {
    let world = World::new().await;
    let tags = world.push(40);
    let client = usual(&world).await;
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GraphqlMutation).times(1), action));
    assert_eq!(together(&client, world.repository.id, &tags).await, Err(ErrorKind::TooComplex));
    assert_eq!((left(&world), client.removable_at_once()), (40, 20));
    assert_eq!(world.count(Endpoint::GraphqlMutation), 1);
}

#[rstest]
#[case::before_anything(false, 40)]
#[case::after_everything(true, 0)]
#[tokio::test]
async fn a_document_whose_answer_is_lost_is_of_unknown_fate_as_a_whole(#[case] done: bool, #[case] there: usize) {
    let world = World::new().await;
    let tags = world.push(40);
    let client = usual(&world).await;
    let fault = Fault::new(Matcher::endpoint(Endpoint::GraphqlMutation), Action::DropConnection);
    world.sim.fault(if done { fault.after_processing() } else { fault });
    assert_eq!(together(&client, world.repository.id, &tags).await, Err(ErrorKind::AnswerLost));
    assert_eq!((left(&world), client.removable_at_once()), (there, 20));
    assert_eq!(world.count(Endpoint::GraphqlMutation), 1, "it is not sent again");
}

#[tokio::test]
async fn a_document_has_no_more_tags_than_it_may_have() {
    let world = World::new().await;
    let names: Vec<String> = (0..501).map(|number| format!("t{number}")).collect();
    let client = usual(&world).await;
    let refused = together(&client, world.repository.id, &names).await;
    assert_eq!(refused, Err(ErrorKind::NotSent { what: "it has more tags than a document may have" }));
    let names: Vec<&str> = names[..30].iter().map(String::as_str).chain([".."]).collect();
    let refused = kind(client.delete_tags_together(world.repository.id, &names).await);
    assert_eq!(refused, ErrorKind::NotSent { what: "a name is not one that a tag can have" });
    assert!(world.sim.requests().is_empty());
    let most = together(&client, 1, &names[..20]).await.unwrap();
    assert_eq!(most, [Err(ErrorKind::NotFound)]);
}

#[tokio::test]
async fn the_largest_document_is_within_gitlabs_limits() {
    let world = World::new().await;
    let tags = world.push(500);
    let client = usual(&world).await;
    assert_eq!(together(&client, world.repository.id, &tags).await.unwrap(), vec![Ok(20); 25]);
    assert_eq!(left(&world), 0);
}
