//! Policies over the same repositories: each says so, by name or by number, once; and each goes on deciding alone.

use gitlab_simulator::{Action, Endpoint, Fault, Matcher};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use registry_cleanup_operator::api::{PolicyStatus, RegistryCleanupPolicy, conditions};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{events_of, eventually};
use crate::world::{Operator, Setup, World};

fn message(status: &PolicyStatus) -> &str {
    conditions::find(&status.conditions, "Overlapping").map_or("", |condition| &condition.message)
}

fn overlaps(status: &PolicyStatus) -> bool {
    World::condition(status, "Overlapping") == "True/PoliciesOverlap"
}

fn project(more: &Value) -> Value {
    let mut spec = json!({"target": {"projects": ["shop/backend"]}});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

/// Two repositories of one project and one of another.
async fn world() -> World {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("old", 30)]);
    world.repository("shop/backend/cache", &[("old", 30)]);
    world.repository("shop/frontend/web", &[("old", 30)]);
    world
}

const EACH_ALONE: &str = "each decides alone, so one may remove what another keeps";

#[rstest]
#[case::bulk(json!({"method": "Bulk"}))]
#[case::exact(json!({"method": "Exact"}))]
#[case::a_dry_run(json!({"mode": "DryRun"}))]
#[case::suspended(json!({"suspend": true}))]
#[tokio::test(flavor = "multi_thread")]
async fn a_group_and_a_project_in_it_are_said_to_overlap_before_anything_runs(#[case] other: Value) {
    let world = world().await;
    world.apply(&world.policy("all", &json!({"method": "Exact"}))).await.unwrap();
    world.apply(&world.policy("backend", &project(&other))).await.unwrap();
    let operator = Operator::start(&world).await;
    let status = world.until("all", overlaps).await;
    let expected = format!(
        "policy backend also looks after repositories of this policy (2 of 3, the first shop/backend/api); {EACH_ALONE}"
    );
    assert_eq!(message(&status), expected);
    let told = status.overlapping.as_ref().unwrap();
    assert_eq!((&told.policies[..], told.others, told.repositories), (&["backend".to_owned()][..], 0, 2));
    if other["suspend"] != true {
        let status = world.until("backend", overlaps).await;
        assert!(message(&status).starts_with("policy all also looks after "), "{}", message(&status));
        assert!(message(&status).contains("(2 of 2, "), "{}", message(&status));
    }
    world.ready("all").await;
    // A dry run is asked also of a policy that is suspended, and says the same.
    let status = world.preview("backend", "one").await;
    assert!(message(&status).starts_with("policy all also looks after "), "{}", message(&status));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_announced_once_and_ends_when_the_targets_are_divided() {
    let world = world().await;
    world.apply(&world.policy("all", &json!({"method": "Exact"}))).await.unwrap();
    let operator = Operator::start(&world).await;
    let alone = world.until("all", |status| World::condition(status, "Overlapping") == "False/NoOverlap").await;
    assert_eq!(message(&alone), "no other policy looks after repositories of this one");
    assert_eq!(alone.overlapping, None);
    world.ready("all").await;

    // One that comes later is noticed at the next look, whatever the credentials' turn.
    world.apply(&world.policy("backend", &project(&json!({})))).await.unwrap();
    world.until("backend", overlaps).await;
    operator.nudge();
    world.until("all", overlaps).await;
    world.run("all", "one").await;
    world.repository("shop/backend/more", &[("old", 30)]);
    let status = world.run("all", "two").await;
    assert!(message(&status).contains("(3 of 4, "), "{}", message(&status));

    let divided = json!({"groups": [{"path": "shop"}], "repositories": {"exclude": ["shop/backend(/.*)?"]}});
    world.apply(&world.policy("all", &json!({"method": "Exact", "target": divided}))).await.unwrap();
    world.until("all", |status| World::condition(status, "Overlapping") == "False/NoOverlap").await;
    operator.nudge();
    world.until("backend", |status| World::condition(status, "Overlapping") == "False/NoOverlap").await;
    operator.stop().await;
    assert_eq!(events_of(&world, "Overlapping").await, 2, "one each, not for every number of repositories");
    assert_eq!(events_of(&world, "OverlapEnded").await, 2);
}

/// The other namespace, with the same Secrets and a policy over the group.
async fn policy_elsewhere(world: &World) -> String {
    let namespace = world.another_namespace().await;
    let secrets: Api<Secret> = Api::namespaced(world.kube.clone(), &world.namespace);
    for name in ["token", "ca"] {
        let data = secrets.get(name).await.unwrap().data;
        let copy = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data});
        let api: Api<Secret> = Api::namespaced(world.kube.clone(), &namespace);
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&copy)).await.unwrap();
    }
    let mut policy = world.policy("everything", &json!({}));
    policy["metadata"]["namespace"] = json!(namespace);
    let api: Api<RegistryCleanupPolicy> = Api::namespaced(world.kube.clone(), &namespace);
    api.patch("everything", &PatchParams::apply("test").force(), &Patch::Apply(&policy)).await.unwrap();
    namespace
}

#[rstest]
#[case::counted(false)]
#[case::named(true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_another_namespace_is_named_only_where_the_operator_is_told_to(#[case] named: bool) {
    let world = world().await;
    let elsewhere = policy_elsewhere(&world).await;
    world.apply(&world.policy("backend", &project(&json!({})))).await.unwrap();
    let mut setup = Setup::of(&world);
    setup.settings.name_other_namespaces = named;
    setup.also_watches = Some(elsewhere.clone());
    let operator = Operator::set_up(&world, setup).await;
    let status = world.until("backend", overlaps).await;
    let full_name = format!("{elsewhere}/everything");
    let who = if named { format!("policy {full_name}") } else { "1 policy of another namespace".to_owned() };
    assert!(message(&status).starts_with(&format!("{who} also looks after ")), "{}", message(&status));
    let told = status.overlapping.unwrap();
    assert_eq!((told.policies.len(), told.others), (usize::from(named), u32::from(!named)));

    // The hour of a bulk deletion is told by the same rule.
    let api: Api<RegistryCleanupPolicy> = Api::namespaced(world.kube.clone(), &elsewhere);
    let run = json!({"metadata": {"annotations": {"registrycleanup.dev/run-requested-at": "one"}}});
    api.patch("everything", &PatchParams::default(), &Patch::Merge(&run)).await.unwrap();
    eventually("the end of the run", async || {
        let status = api.get("everything").await.unwrap().status?;
        status.last_run?.completion_time
    })
    .await;
    world.run("backend", "one").await;
    operator.stop().await;
    let events = world.events().await;
    let hour = &events.iter().find(|(reason, _)| reason == "PolicyOverlap").unwrap().1;
    let owner = if named { format!("policy {full_name}") } else { "a policy of another namespace".to_owned() };
    assert!(hour.contains(&format!(": {owner} asked GitLab ")), "{hour}");
    let status = serde_json::to_string(&world.policies().get("backend").await.unwrap().status).unwrap();
    assert_eq!(format!("{status}{events:?}").contains(&full_name), named);
}

#[rstest]
#[case::the_list_works(None, 1)]
#[case::the_list_does_not(Some(403), 2)]
#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_repositories_are_listed_anyway_is_checked_only_where_the_list_fails(
    #[case] fails: Option<u16>,
    #[case] requests: usize,
) {
    let world = world().await;
    world.apply(&world.policy("backend", &project(&json!({"suspend": true})))).await.unwrap();
    world.apply(&world.policy("all", &json!({"method": "Exact"}))).await.unwrap();
    if let Some(status) = fails {
        let refused = Action::Answer { status, headers: Vec::new(), body: r#"{"message": "no"}"#.to_owned() };
        world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::ListGroupRepositories).times(1), refused));
    }
    let operator = Operator::start(&world).await;
    world.ready("all").await;
    operator.stop().await;
    let asked = world.sim.requests_to(Endpoint::ListGroupRepositories);
    assert_eq!(asked.len(), requests, "{asked:?}");
}
