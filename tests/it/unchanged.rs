//! Runs in which hardly anything happened since the last: what did not change is not asked for.

use gitlab_simulator::{Action, Backend, Endpoint, Fault, Matcher, Push};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RunResult};
use serde_json::{Value, json};

use crate::world::{Operator, Setup, World};

/// Runs are asked for: the schedule is that of another time of the year.
fn rules() -> Value {
    let rule = json!({"name": "old", "nameRegexDelete": "v.*", "olderThan": "30d"});
    json!({"method": "Exact", "rules": [rule], "schedule": "0 0 1 7 *"})
}

async fn ready(world: &World) -> Operator {
    world.apply(&world.policy("shop", &rules())).await.unwrap();
    let operator = Operator::start(world).await;
    world.ready("shop").await;
    operator
}

/// A run on the next day, an hour later each time. Answers what each of the repositories that are named came to, and
/// how many tags were read.
async fn next_night(world: &World, token: &str) -> (Vec<(String, String)>, u64) {
    world.sim.advance(SignedDuration::from_hours(25));
    let status = run(world, token).await;
    let told = |path: &str, reason: &Option<String>| {
        (path.rsplit('/').next().unwrap().to_owned(), reason.clone().unwrap_or_default())
    };
    let mut all: Vec<_> = status.repositories.iter().map(|it| told(&it.path, &it.reason)).collect();
    all.sort();
    (all, status.last_run.unwrap().tags.scanned)
}

async fn run(world: &World, token: &str) -> PolicyStatus {
    let status = world.run("shop", token).await;
    assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded, "{status:#?}");
    status
}

fn reasons(told: &[(String, String)]) -> Vec<&str> {
    told.iter().map(|(_, reason)| reason.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_read_again_when_something_was_pushed_came_of_age_or_was_edited() {
    let world = World::start().await;
    let pushed = world.repository("shop/backend/a-pushed", &[("v1", 3), ("main", 90)]);
    world.repository("shop/backend/b-quiet", &[("v1", 3), ("main", 90)]);
    let young = world.repository("shop/backend/c-young", &[("v1", 28), ("main", 90)]);
    let operator = ready(&world).await;
    let (told, scanned) = next_night(&world, "one").await;
    assert_eq!((reasons(&told), scanned), (vec!["NothingToRemove"; 3], 6));
    let status = world.policies().get("shop").await.unwrap().status.unwrap();
    let effective = World::condition(&status, "Effective");

    world.sim.edit(|registry| registry.push(pushed, "v2", Push::at(registry.now())));
    let (told, scanned) = next_night(&world, "two").await;
    // `c-young` came of age between the first and the second night.
    assert_eq!((told[0].1.as_str(), told[1].1.as_str()), ("NothingToRemove", "Unchanged"));
    assert_eq!(world.tags(young), ["main"]);
    assert_eq!(scanned, 5);
    let status = world.policies().get("shop").await.unwrap().status.unwrap();
    assert_eq!(World::condition(&status, "Effective"), effective, "what the patterns do is still known");
    let quiet = status.repositories.iter().find(|it| it.path.ends_with("b-quiet")).unwrap();
    let message = quiet.message.as_deref().unwrap();
    assert!(
        message.starts_with("nothing was pushed since it was read at ") && message.contains("TooYoung"),
        "{message}"
    );

    // What is left where something was removed is known.
    let (told, scanned) = next_night(&world, "three").await;
    assert_eq!((reasons(&told), scanned), (vec!["Unchanged"; 3], 0));
    let status = world.policies().get("shop").await.unwrap().status.unwrap();
    let removed_from = status.repositories.iter().find(|it| it.path.ends_with("c-young")).unwrap();
    let message = removed_from.message.as_deref().unwrap();
    assert!(message.ends_with("1 NoRuleMatches; ages by the last push"), "{message}");
    assert_eq!((removed_from.tags.matched, removed_from.samples.len()), (0, 0));
    let (told, scanned) = next_night(&world, "four").await;
    assert_eq!((reasons(&told), scanned), (vec!["Unchanged"; 3], 0));

    // A preview tells of every tag.
    let preview = world.preview("shop", "five").await;
    assert_eq!(preview.last_run.unwrap().tags.scanned, 6);

    let mut edited = rules();
    edited["rules"][0]["olderThan"] = json!("29d");
    world.apply(&world.policy("shop", &edited)).await.unwrap();
    world.ready("shop").await;
    let (told, scanned) = next_night(&world, "six").await;
    assert_eq!((reasons(&told), scanned), (vec!["NothingToRemove"; 3], 6));
    operator.stop().await;

    let operator = Operator::start(&world).await;
    let (told, _) = next_night(&world, "seven").await;
    assert_eq!(reasons(&told), ["NothingToRemove"; 3], "a new process knows nothing of before");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_of_which_it_is_not_certain_that_all_went_is_read_again() {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 90), ("main", 90)]);
    let operator = ready(&world).await;
    let lost = Fault::new(Matcher::endpoint(Endpoint::GraphqlMutation), Action::DropConnection).after_processing();
    world.sim.fault(lost);
    let (told, scanned) = next_night(&world, "one").await;
    assert_eq!(scanned, 2);
    assert_ne!(reasons(&told), ["NothingToRemove"]);
    world.sim.clear_faults();
    let (told, scanned) = next_night(&world, "two").await;
    assert_eq!((reasons(&told), scanned), (vec!["NothingToRemove"], 1), "it was gone, which nobody knew");
    let (told, _) = next_night(&world, "three").await;
    assert_eq!(reasons(&told), ["Unchanged"]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_metadata_database_or_documents_of_several_parts_everything_is_read() {
    for (backend, graphql_batch) in [(Backend::PlainRegistry, 25), (Backend::MetadataDatabase, 1)] {
        let world = World::start_with(|config| config.settings.backend = backend).await;
        let id = world.repository("shop/backend/api", &[]);
        world.sim.edit(|registry| {
            let built = registry.now() - SignedDuration::from_hours(24);
            registry.push(id, "v1", Push::at(built).built(built));
        });
        world.apply(&world.policy("shop", &rules())).await.unwrap();
        let operator = Operator::set_up(&world, Setup { graphql_batch, ..Setup::of(&world) }).await;
        world.ready("shop").await;
        for token in ["one", "two"] {
            let (told, scanned) = next_night(&world, token).await;
            assert_eq!((reasons(&told), scanned), (vec!["NothingToRemove"], 1));
        }
        operator.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn six_hundred_repositories_in_which_nothing_happened_cost_a_few_dozen_requests() {
    const REPOSITORIES: u64 = 600;
    let world = World::start().await;
    for number in 0..REPOSITORIES {
        world.repository(&format!("shop/backend/image-{number}"), &[("v1", 3), ("main", 90)]);
    }
    let operator = ready(&world).await;
    next_night(&world, "one").await;
    world.sim.clear_requests();
    let (_, scanned) = next_night(&world, "two").await;
    assert_eq!(scanned, 0);
    let all = world.sim.requests();
    let queries = world.sim.requests_to(Endpoint::GraphqlQuery).len();
    let kinds: Vec<_> = all.iter().map(|request| (request.endpoint, request.fields)).collect();
    // 15, 30, and then 60 a request; a page of repositories has 100.
    assert!(queries <= 14 && all.len() <= 30, "{queries} of {} requests: {kinds:?}", all.len());
    operator.stop().await;
}
