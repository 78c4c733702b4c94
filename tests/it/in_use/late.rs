//! What comes into use after the plan was made: looked for right before a request leaves, however long it had to wait.

use gitlab_simulator::{Action, Endpoint, Fault, Hold, HoldPoint, Matcher, Push, Settings, Version};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RepositoryResult};
use rstest::rstest;

use super::{POLICIES, Scene, deploy, images, pod, replicated};
use crate::support::in_time;
use crate::world::Operator;

const TAGS: [&str; 3] = ["late", "unused", "used"];

/// Begins a run of one policy that is kept at a request.
pub(super) async fn kept_at(scene: &Scene, policy: &str, matcher: Matcher, point: HoldPoint) -> Hold {
    let hold = scene.world.sim.hold(matcher, point);
    scene.world.annotate(policy, RUN_REQUESTED_AT, "one").await;
    in_time("the request", hold.reached()).await;
    hold
}

/// Lets the run go on to its end.
pub(super) async fn go_on(scene: &Scene, policy: &str, hold: Hold) -> PolicyStatus {
    hold.release();
    let over = |status: &PolicyStatus| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some());
    scene.world.until(policy, over).await
}

async fn scene(change: fn(&mut Settings), tags: &[&str]) -> (Scene, Operator) {
    let tags: Vec<(&str, i64)> = tags.iter().map(|tag| (*tag, 30)).collect();
    let scene = Scene::set_up(|config| change(&mut config.settings), &tags).await;
    let operator = scene.operator().await;
    (scene, operator)
}

fn usual(_: &mut Settings) {}

fn no_graphql(settings: &mut Settings) {
    settings.graphql = false;
}

fn no_order_by_push(settings: &mut Settings) {
    settings.version = Version::new(16, 11);
}

/// Whether a server tells which tags are a single image.
fn tells_kinds(settings: &Settings) -> bool {
    settings.graphql && settings.version >= Version::new(17, 1)
}

#[rstest]
// Before the first page it is found out what GraphQL knows.
#[case::sorted_by_push(usual, Matcher::endpoint(Endpoint::GraphqlQuery).nth(2))]
#[case::unsorted(no_order_by_push, Matcher::endpoint(Endpoint::GraphqlQuery).nth(3))]
#[case::tag_by_tag(no_graphql, Matcher::endpoint(Endpoint::ListTags).nth(1))]
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_created_between_plan_and_removal_saves_its_image_with_exact(
    #[case] change: fn(&mut Settings),
    #[case] planning: Matcher,
    #[values(":late", "@{digest}")] reference: &str,
) {
    let (scene, operator) = scene(change, &TAGS).await;
    deploy(&scene, "web", ":used").await;
    // What is in use was looked at before the first page.
    let hold = kept_at(&scene, "exact", planning, HoldPoint::AfterProcessing).await;
    deploy(&scene, "late", &reference.replace("{digest}", &scene.digests("late")[1])).await;
    let status = go_on(&scene, "exact", hold).await;
    // A server that does not tell whether a tag is several images in one leaves open in which of them the digest is.
    // The next run looks at it.
    let is_open = reference.starts_with('@') && scene.world.sim.read(|registry| !tells_kinds(&registry.settings));
    let left: &[&str] = if is_open { &TAGS } else { &["late", "used"] };
    assert_eq!(scene.tags()[1], left, "{status:#?}");
    let kept = left.len() as u64 - 1;
    let run = status.last_run.as_ref().unwrap();
    assert_eq!((run.tags.matched, run.tags.confirmed, run.tags.in_use), (2, 2 - kept, 1 + kept));
    let message = status.repositories[0].message.as_deref().unwrap();
    let removed = format!("{} of 2 planned tags were removed, {kept} kept because they came into use", 2 - kept);
    assert!(message.starts_with(&removed), "{message}");

    scene.world.run("exact", "two").await;
    assert_eq!(scene.tags()[1], ["late", "used"]);
    operator.stop().await;
}

#[rstest]
#[case::nothing_was_in_use(&["latest", "late", "unused"], "(?:late)")]
#[case::something_was_in_use(&TAGS, "(?:late|used)")]
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_created_between_plan_and_request_saves_its_image_with_bulk(
    #[case] tags: &[&str],
    #[case] told: &str,
    #[values(":late", "@{digest}")] reference: &str,
) {
    let (scene, operator) = scene(usual, tags).await;
    if told.contains("used") {
        deploy(&scene, "web", ":used").await;
    }
    let hold = kept_at(&scene, "bulk", Matcher::endpoint(Endpoint::ListTags).nth(1), HoldPoint::AfterProcessing).await;
    deploy(&scene, "late", &reference.replace("{digest}", &scene.digests("late")[0])).await;
    let status = go_on(&scene, "bulk", hold).await;
    let requests = scene.world.sim.requests_to(Endpoint::BulkDeleteTags);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].params["name_regex_keep"], told);
    assert_eq!(scene.tags()[0].len(), 2, "{status:#?}");
    assert!(scene.tags()[0].contains(&"late".to_owned()), "{status:#?}");
    operator.stop().await;
}

#[rstest]
#[case::bulk("bulk", Endpoint::BulkDeleteTags)]
#[case::exact("exact", Endpoint::GraphqlMutation)]
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_created_while_gitlab_asks_for_a_pause_saves_its_image(
    #[case] policy: &str,
    #[case] removal: Endpoint,
) {
    let (scene, operator) = scene(usual, &TAGS).await;
    deploy(&scene, "web", ":used").await;
    let first = Matcher::endpoint(removal).nth(1);
    scene.world.sim.fault(Fault::new(first.clone(), Action::TooManyRequests { retry_after: Some(60) }));
    // On its way already, and about to be turned away.
    let hold = kept_at(&scene, policy, first, HoldPoint::BeforeProcessing).await;
    deploy(&scene, "late", ":late").await;
    let status = go_on(&scene, policy, hold).await;
    let position = POLICIES.iter().position(|other| *other == policy).unwrap();
    assert_eq!(scene.tags()[position], ["late", "used"], "{status:#?}");
    assert_eq!(scene.world.sim.requests_to(removal).len(), 2);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_created_while_others_go_saves_its_image_unless_its_own_request_is_on_its_way() {
    let (scene, operator) = scene(usual, &[]).await;
    let exact = scene.repositories[1];
    let now = scene.world.now();
    scene.world.sim.edit(|registry| {
        for number in 0..300 {
            let at = now - SignedDuration::from_hours(24 * 400 - number);
            registry.push(exact, &format!("t{number:03}"), Push::at(at));
        }
    });
    // A request with 40 tags is on its way; the others are yet to be prepared.
    let hold = scene.world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation), HoldPoint::BeforeProcessing);
    scene.world.annotate("exact", RUN_REQUESTED_AT, "one").await;
    hold.reached().await;
    let under_way: usize =
        scene.world.sim.requests_to(Endpoint::GraphqlMutation).iter().map(|request| request.tag_names.len()).sum();
    assert_eq!(under_way, 40);
    deploy(&scene, "early", ":t039").await;
    deploy(&scene, "late", ":t040").await;
    deploy(&scene, "last", ":t299").await;
    let status = go_on(&scene, "exact", hold).await;
    assert_eq!(scene.tags()[1], ["t040", "t299"], "each takes only itself out: {status:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signature_of_what_comes_into_use_stays_with_it() {
    let (scene, operator) = scene(usual, &["late", "unused"]).await;
    let signature = format!("{}.sig", scene.digests("late")[1].replace(':', "-"));
    scene.push(&signature, |push| push);
    let planning = Matcher::endpoint(Endpoint::GraphqlQuery).nth(2);
    let hold = kept_at(&scene, "exact", planning, HoldPoint::AfterProcessing).await;
    deploy(&scene, "late", ":late").await;
    let status = go_on(&scene, "exact", hold).await;
    assert_eq!(scene.tags()[1], ["late", &signature], "{status:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_of_the_same_image_does_not_make_bulk_begin_anew() {
    let (scene, operator) = scene(usual, &TAGS).await;
    deploy(&scene, "web", ":used").await;
    let hold = kept_at(&scene, "bulk", Matcher::endpoint(Endpoint::ListTags).nth(1), HoldPoint::AfterProcessing).await;
    deploy(&scene, "another", ":used").await;
    let status = go_on(&scene, "bulk", hold).await;
    assert_eq!(scene.tags()[0], ["used"], "{status:#?}");
    let requests = scene.world.sim.requests();
    let before = requests.iter().take_while(|request| request.endpoint != Endpoint::BulkDeleteTags);
    // The names are listed once to see whether dates matter, and once to go with what was read.
    assert_eq!(before.filter(|request| request.endpoint == Endpoint::ListTags).count(), 2);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_gives_up_for_this_time_when_other_images_come_into_use_whenever_it_is_about_to_ask() {
    let tags: Vec<String> = (0..10).map(|number| format!("t{number}")).collect();
    let (scene, operator) = scene(usual, &tags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let listing = || scene.world.sim.hold(Matcher::endpoint(Endpoint::ListTags).nth(1), HoldPoint::AfterProcessing);
    let mut hold = listing();
    scene.world.annotate("bulk", RUN_REQUESTED_AT, "one").await;
    let over = |status: &PolicyStatus| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some());
    let mut deployed = tags.iter();
    let status = loop {
        tokio::select! {
            () = in_time("a list or the end", hold.reached()) => {
                let tag = deployed.next().expect("it gives up at some time");
                deploy(&scene, &format!("web-{tag}"), &format!(":{tag}")).await;
                let next = listing();
                std::mem::replace(&mut hold, next).release();
            }
            status = scene.world.until("bulk", over) => break status,
        }
    };
    let repository = &status.repositories[0];
    let told = (repository.result, repository.reason.as_deref());
    assert_eq!(told, (RepositoryResult::Skipped, Some("InUseUnresolved")), "{status:#?}");
    let message = repository.message.as_deref().unwrap();
    assert!(message.contains("went on changing"), "{message}");
    assert_eq!(scene.world.sim.requests_to(Endpoint::BulkDeleteTags), []);
    assert_eq!(scene.tags()[0], tags);

    // Nothing was sent, so nothing has to be waited for.
    drop(hold);
    let status = scene.world.run("bulk", "two").await;
    let left = tags.len() - deployed.count();
    assert_eq!(scene.tags()[0], tags[..left], "{status:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_read_and_comes_late_holds_its_repository() {
    let (scene, operator) = scene(usual, &TAGS).await;
    let planning = Matcher::endpoint(Endpoint::GraphqlQuery).nth(2);
    let hold = kept_at(&scene, "exact", planning, HoldPoint::AfterProcessing).await;
    let odd = images(":not:a:tag");
    scene.place.create("apps/v1/Deployment", "odd", &replicated(&pod(&odd))).await;
    let status = go_on(&scene, "exact", hold).await;
    assert_eq!(crate::world::World::condition(&status, "LastRunSucceeded"), "True/Succeeded", "{status:#?}");
    assert_eq!(scene.tags()[1], TAGS);
    assert_eq!(status.repositories[0].tags.requested, 0, "{status:#?}");
    operator.stop().await;
}
