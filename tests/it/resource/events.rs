//! Events: few, in `events.k8s.io`, and only when something happened.

use gitlab_simulator::{Endpoint, Fault, Matcher};
use jiff::SignedDuration;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use super::{ready, seen_by_the_operator};
use crate::world::{Operator, World};

/// The events but for the one that is no policy's: until when the hours of bulk deletions last.
async fn events(world: &World) -> Vec<Event> {
    let api: Api<Event> = Api::namespaced(world.kube.clone(), &world.namespace);
    let mut events = api.list(&ListParams::default()).await.unwrap().items;
    events.retain(|event| event.reason.as_deref() != Some("BulkDeletionRequested"));
    events
}

fn reasons(events: &[Event]) -> Vec<&str> {
    events.iter().filter_map(|event| event.reason.as_deref()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_editing_and_idling_is_worth_no_event() {
    let (world, operator, _) = ready(&json!({})).await;
    world.apply(&world.policy("shop", &json!({"historyLimit": 3}))).await.unwrap();
    world.ready("shop").await;
    for _ in 0..5 {
        world.sim.advance(SignedDuration::from_hours(2));
        operator.nudge();
    }
    seen_by_the_operator(&world, "other").await;
    operator.stop().await;
    let other = |event: &Event| event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some("other");
    let events: Vec<Event> = events(&world).await.into_iter().filter(|event| !other(event)).collect();
    assert_eq!(reasons(&events), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_worth_one_event_that_names_the_policy_the_operator_and_the_run() {
    let (world, operator, _) = ready(&json!({})).await;
    world.preview("shop", "one").await;
    let status = world.run("shop", "one").await;
    operator.stop().await;
    let mut events = events(&world).await;
    events.sort_by_key(|event| event.event_time.clone().map(|time| time.0));
    assert_eq!(reasons(&events), ["DryRunCompleted", "CleanupCompleted"]);
    let event = &events[1];
    let about = event.regarding.as_ref().unwrap();
    assert_eq!(
        (about.api_version.as_deref(), about.kind.as_deref(), about.name.as_deref(), about.namespace.as_deref()),
        (
            Some("registrycleanup.dev/v1alpha1"),
            Some("RegistryCleanupPolicy"),
            Some("shop"),
            Some(world.namespace.as_str())
        )
    );
    let run = status.last_run.unwrap();
    assert_eq!(event.type_.as_deref(), Some("Normal"));
    assert_eq!(event.note, run.message);
    assert_eq!(event.action.as_deref(), Some(format!("Run-{}", run.id).as_str()));
    assert_eq!(event.reporting_controller.as_deref(), Some("registry-cleanup-operator"));
    assert_eq!(event.reporting_instance.as_deref(), Some("test"));
    let shown = world.kubectl(&["describe", "rcp", "shop"]);
    assert!(shown.contains("CleanupCompleted"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_which_a_hundred_repositories_fail_is_worth_no_more_than_twelve_events() {
    let world = World::start().await;
    for number in 0..100 {
        world.repository(&format!("shop/p{number}/image"), &[("v1", 30), ("main", 1)]);
    }
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    let gone = gitlab_simulator::Action::Answer { status: 404, headers: vec![], body: String::new() };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::ListTags), gone));
    let status = world.run("shop", "one").await;
    assert_eq!(status.last_run.unwrap().repositories.failed, 100);
    operator.stop().await;
    let events = events(&world).await;
    let of = |reason: &str| events.iter().filter(|event| event.reason.as_deref() == Some(reason)).count();
    assert_eq!((events.len(), of("CleanupFailed"), of("RepositoryCleanupFailed")), (11, 1, 10));
    for event in &events {
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert!(event.note.as_ref().is_some_and(|note| (1..=1024).contains(&note.len())));
        assert!(event.series.is_none(), "each is about another repository: {event:?}");
    }
    let related =
        |event: &&Event| event.related.as_ref().and_then(|about| about.kind.as_deref()) == Some("ContainerRepository");
    assert_eq!(events.iter().filter(related).count(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_about_a_policy_with_the_longest_name_are_published() {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    let name = "a".repeat(253);
    world.apply(&world.policy(&name, &json!({}))).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready(&name).await;
    let status = world.run(&name, "one").await;
    operator.stop().await;
    let events = events(&world).await;
    assert_eq!(reasons(&events), ["CleanupCompleted"]);
    let about = events[0].regarding.as_ref().unwrap();
    assert_eq!(
        (about.name.as_ref(), events[0].note.as_ref()),
        (Some(&name), status.last_run.unwrap().message.as_ref())
    );
    assert_eq!(events[0].reporting_instance.as_deref(), Some("test"));
}
