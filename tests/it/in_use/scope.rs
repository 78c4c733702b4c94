//! Where images in use are looked for by an operator that watches policies in some namespaces only.

use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, conditions};
use registry_cleanup_operator::cluster::workloads::{self, Options};
use registry_cleanup_operator::model::UsedImage;
use registry_cleanup_operator::policy::in_use::list::List;
use rstest::rstest;
use serde_json::{Value, json};

use super::{POLICIES, REGISTRY, Scene, account, deploy, images, rules};
use crate::robustness;
use crate::world::{Operator, Setup, World};

const TAGS: [&str; 3] = ["elsewhere", "unused", "used"];

/// An operator that may look into its namespace only, and is to look into all.
async fn operator(scene: &Scene, protect: &Value) -> Operator {
    scene.apply(&json!({"protect": protect})).await;
    let kubeconfig = Some(account(scene, &rules(scene)).await);
    let narrower = vec![scene.world.namespace.clone()];
    let in_use = Some(Options { scope: workloads::Scope::All, narrower, ..Options::default() });
    scene.operator_as(Setup { kubeconfig, in_use, ..Setup::of(&scene.world) }).await
}

fn is_unknown(status: &PolicyStatus, words: &str) -> bool {
    let message = status.last_run.as_ref().and_then(|run| run.message.as_deref()).unwrap_or_default();
    World::condition(status, "LastRunSucceeded") == "False/InUseUnknown" && message.contains(words)
}

/// What somebody who may see everything prints in the cluster of the policies.
async fn list(scene: &Scene) {
    let used = |image: String| UsedImage {
        image: image.into_boxed_str(),
        id: None,
        users: vec!["other/Deployment/web".into()],
        more: 0,
        elsewhere: vec![],
    };
    let text = List::new(REGISTRY, &[], images(":elsewhere").map(used), scene.world.now()).write().unwrap();
    scene.place.create("v1/ConfigMap", "here", &json!({"data": {"images.json": text}})).await;
}

#[rstest]
#[case::no_list(json!({}))]
#[case::the_list_of_another_cluster(json!({"inUseFrom": [{"configMapRef": {"name": "here"}}]}))]
#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_see_the_cluster_nothing_goes(#[case] protect: Value) {
    let scene = Scene::with(&TAGS).await;
    let operator = operator(&scene, &protect).await;
    list(&scene).await;
    for statuses in [scene.run("one").await, scene.preview("one").await] {
        let words = "in all namespaces: list is forbidden";
        assert!(statuses.iter().all(|status| is_unknown(status, words)), "{statuses:#?}");
    }
    assert_eq!(scene.tags(), [TAGS, TAGS]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_the_whole_cluster_stands_in_for_the_right_to_see_it() {
    let scene = Scene::with(&TAGS).await;
    let protect = json!({"inUseFrom": [{"configMapRef": {"name": "here"}, "maxAge": "1h", "thisCluster": true}]});
    let operator = operator(&scene, &protect).await;
    let missing = scene.run("no list").await;
    assert!(missing.iter().all(|status| is_unknown(status, "ConfigMap here does not exist")), "{missing:#?}");
    list(&scene).await;
    // What the list does not have, because it is new, is seen where the operator may look.
    deploy(&scene, "web", ":used").await;
    let statuses = scene.leaves(&["elsewhere", "used"], 2).await;
    assert!(statuses.iter().all(|status| status.unused_registries.is_empty()));
    scene.world.sim.advance(SignedDuration::from_mins(61));
    let old = scene.run("old").await;
    assert!(old.iter().all(|status| is_unknown(status, "the list is too old")), "{old:#?}");
    operator.stop().await;
}

#[rstest]
#[case::the_cluster(&[], Some("in all namespaces: list is forbidden"))]
#[case::watched_namespaces(&["--in-use-scope", "WatchedNamespaces"], None)]
#[tokio::test(flavor = "multi_thread")]
async fn the_program_looks_into_the_whole_cluster_unless_it_is_told_otherwise(
    #[case] arguments: &[&str],
    #[case] unknown: Option<&str>,
) {
    let world = robustness::world_in_real_time().await;
    let place = crate::workloads::Place { kube: world.kube.clone(), namespace: world.namespace.clone() };
    let repositories =
        POLICIES.map(|policy| world.repository(&format!("shop/{policy}/app"), &[("unused", super::OLD)]));
    world.sim.edit(|registry| REGISTRY.clone_into(&mut registry.settings.registry_host));
    let scene = Scene { world, place, repositories };
    scene.apply(&json!({})).await;
    let leases = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
        "verbs": ["create", "get", "update", "watch"]});
    let kubeconfig = account(&scene, &[rules(&scene), vec![leases]].concat()).await;
    let all: Vec<&str> =
        ["--watch-namespace", &scene.world.namespace].into_iter().chain(arguments.iter().copied()).collect();
    let mut process = robustness::process(&kubeconfig, &all);
    for policy in POLICIES {
        let status = scene.world.ready(policy).await;
        let message = &conditions::find(&status.conditions, "Ready").unwrap().message;
        assert_eq!(message.contains("(inUse.scope WatchedNamespaces)"), unknown.is_none(), "{message}");
    }
    let statuses = scene.preview("one").await;
    for status in &statuses {
        match unknown {
            Some(words) => assert!(is_unknown(status, words), "{status:#?}"),
            None => assert_eq!(status.last_run.as_ref().unwrap().tags.matched, 1, "{status:#?}"),
        }
    }
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0), "{}", process.log());
}
