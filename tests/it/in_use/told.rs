//! What is said about images in use: in the status, in the audit trail, and of namespaces that nobody looks into.

use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, conditions};
use registry_cleanup_operator::cluster::workloads::Scope;
use registry_cleanup_operator::policy::CompileOptions;
use serde_json::{Value, json};

use super::{OLD, Scene, deploy};
use crate::robustness;
use crate::support::eventually;
use crate::world::{Between, Setup, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_status_counts_tags_in_use_and_names_some_with_their_users() {
    let scene = Scene::with(&["one", "two", "three", "four", "unused"]).await;
    let operator = scene.operator().await;
    for tag in ["one", "two", "three", "four"] {
        deploy(&scene, &format!("web-{tag}"), &format!(":{tag}")).await;
    }
    deploy(&scene, "again", ":one").await;
    let previews = scene.preview("one").await;
    let namespace = &scene.place.namespace;
    let user = |name: &str| format!("{namespace}/Deployment/{name}");
    for preview in &previews {
        assert_eq!(preview.last_run.as_ref().unwrap().tags.in_use, 4);
        let message = preview.repositories[0].message.as_deref().unwrap();
        let (four, one, three) = (user("web-four"), user("again"), user("web-three"));
        let names = format!("in use: four by {four}, one by {one} and 1 more, three by {three} and 1 more");
        assert!(message.contains("4 InUse") && message.contains(&names), "{message}");
    }
    let statuses = scene.leaves(&["four", "one", "three", "two"], 4).await;
    for status in statuses {
        assert_eq!(status.repositories[0].tags.in_use, 4);
        assert_eq!(status.history[0].tags.in_use, 4);
    }
    operator.stop().await;
}

#[rstest::rstest]
#[case::as_a_rule(false)]
#[case::where_the_operator_may_name_them(true)]
#[tokio::test(flavor = "multi_thread")]
async fn users_in_other_namespaces_are_counted_by_kind_unless_they_may_be_named(#[case] name_other_namespaces: bool) {
    let scene = Scene::with(&["one", "two", "unused"]).await;
    scene.apply(&json!({})).await;
    let other = scene.world.another_namespace().await;
    let elsewhere = crate::workloads::Place { kube: scene.world.kube.clone(), namespace: other.clone() };
    let usual = Setup::of(&scene.world);
    let mut in_use = usual.in_use.clone().unwrap();
    in_use.scope = Scope::Namespaces(vec![scene.world.namespace.clone(), other.clone()]);
    let settings = CompileOptions { name_other_namespaces, ..usual.settings.clone() };
    let operator = scene.operator_as(Setup { in_use: Some(in_use), settings, ..usual }).await;
    deploy(&scene, "web", ":one").await;
    for name in ["secret-a", "secret-b"] {
        let images = super::images(":two");
        elsewhere.create("apps/v1/Deployment", name, &super::replicated(&super::pod(&images))).await;
    }
    let odd = [(); 2].map(|()| format!("{}/shop/${{SECRET}}/app", super::REGISTRY));
    elsewhere.create("v1/Pod", "secret-c", &json!({"spec": super::pod(&odd)})).await;
    let statuses = scene.preview("one").await;
    let text = json!(statuses).to_string() + &format!("{:?}", scene.world.events().await);
    for (words, hidden) in [
        ("two by 2 Deployments", true),
        ("an image (used by 1 Pod of other namespaces) cannot be read", true),
        (&*format!("two by {other}/Deployment/secret-a and "), false),
        ("${SECRET}/app (used by", false),
        ("secret-", false),
        ("SECRET", false),
    ] {
        assert_eq!(text.contains(words), hidden != name_other_namespaces, "{words}: {text}");
    }
    assert!(text.contains(&format!("one by {}/Deployment/web", scene.place.namespace)), "{text}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_of_images_in_use_is_told_before_a_run() {
    let scene = Scene::with(&["one"]).await;
    let odd = [(); 2].map(|()| format!("{}/shop/exact/app:${{TAG}}", super::REGISTRY));
    scene.place.create("v1/Pod", "odd", &json!({"spec": super::pod(&odd)})).await;
    scene.apply(&json!({})).await;
    let between = Between::default();
    let operator = scene.operator_as(Setup { between: Some(between.clone()), ..Setup::of(&scene.world) }).await;
    let known = |reason: &'static str| move |status: &PolicyStatus| World::condition(status, "InUseKnown") == reason;
    let message = |status: &PolicyStatus| conditions::find(&status.conditions, "Ready").unwrap().message.clone();
    scene.world.until("bulk", known("True/WorkloadsWatched")).await;
    let status = scene.world.until("exact", known("False/ImageUnreadable")).await;
    assert!(
        message(&status).contains("any tag of 1 of 1 repositories, which are kept whole: shop/exact/app"),
        "{status:#?}"
    );

    let spoiled = between.refuse_watches("/statefulsets");
    let seen = async |reason: &'static str| {
        eventually("what is told", async || {
            operator.nudge();
            scene.world.policies().get("bulk").await.unwrap().status.filter(known(reason))
        })
        .await
    };
    let status = seen("False/InUseUnknown").await;
    assert!(
        message(&status)
            .contains("a run would remove nothing: it is not known which images are in use: statefulsets in "),
        "{status:#?}"
    );
    assert_eq!(World::condition(&status, "Ready"), "True/Scheduled");
    drop(spoiled);
    seen("True/WorkloadsWatched").await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_says_who_uses_what_stays() {
    let world = robustness::world_in_real_time().await;
    let tags = [("unused", OLD), ("used", OLD)];
    let place = crate::workloads::Place { kube: world.kube.clone(), namespace: world.namespace.clone() };
    let repositories = super::POLICIES.map(|policy| world.repository(&format!("shop/{policy}/app"), &tags));
    world.sim.edit(|registry| registry.settings.registry_host = super::REGISTRY.to_owned());
    let scene = Scene { world, place, repositories };
    deploy(&scene, "web", ":used").await;
    scene.apply(&json!({})).await;
    let mut process = robustness::operator(&scene.world, &[]).await;
    for policy in super::POLICIES {
        scene.world.ready(policy).await;
    }
    scene.preview("one").await;
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0));
    let log = process.log();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for policy in super::POLICIES {
        let line = |tag: &str| {
            let of_tag = |line: &&Value| line["target"] == "audit" && line["policy"] == policy && line["tag"] == tag;
            lines.iter().find(of_tag).unwrap_or_else(|| panic!("no line about {tag}: {log}"))
        };
        let used = line("used");
        assert_eq!((&used["verdict"], &used["reason"]), (&json!("Keep"), &json!("InUse")));
        assert_eq!(used["used_by"], format!("{}/Deployment/web", scene.place.namespace));
        assert_eq!(line("unused")["used_by"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_says_in_which_namespaces_images_in_use_are_seen_unless_it_is_in_all() {
    for (seen, said) in [(vec!["team-a", "team-b"], true), (vec![], false)] {
        let scene = Scene::with(&["v1"]).await;
        let usual = Setup::of(&scene.world);
        let seen_namespaces = seen.iter().map(|name| (*name).to_owned()).collect();
        let settings = CompileOptions { seen_namespaces, ..usual.settings };
        scene.apply(&json!({})).await;
        let operator = scene.operator_as(Setup { settings, ..Setup::of(&scene.world) }).await;
        let message = async |policy: &str| {
            let status = scene.world.ready(policy).await;
            conditions::find(&status.conditions, "Ready").unwrap().message.clone()
        };
        assert_eq!(message("exact").await.contains("; images in use are seen in team-a, team-b only"), said);
        scene.apply(&json!({"protect": {"inUse": "Disabled"}})).await;
        assert!(!message("exact").await.contains("images in use"), "nobody looks anywhere");
        operator.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_that_it_sees_images_in_use_in_the_namespaces_that_it_was_given() {
    let world = robustness::world_in_real_time().await;
    let other = World::start().await.namespace;
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let mut process = robustness::operator(&world, &["--watch-namespace", &other]).await;
    let status = world.ready("shop").await;
    let message = &conditions::find(&status.conditions, "Ready").unwrap().message;
    let seen = format!("; images in use are seen in {}, {other} only", world.namespace);
    assert!(message.contains(&seen), "{message}");
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0), "{}", process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_in_a_namespace_that_is_not_seen_keeps_nothing() {
    let scene = Scene::with(&["elsewhere", "used"]).await;
    let operator = scene.operator().await;
    let elsewhere = Scene::with(&[]).await;
    deploy(&elsewhere, "web", ":elsewhere").await;
    deploy(&scene, "web", ":used").await;
    scene.leaves(&["used"], 1).await;
    scene.world.sim.advance(SignedDuration::from_hours(1));
    operator.stop().await;
}
