//! Repositories without tags: each condition by itself saves one, all together let it go, and a registry that fails in
//! whatever way loses nothing.

use gitlab_simulator::{
    Action, Backend, Endpoint, Fault, HoldPoint, Matcher, Push, RepositoryStatus as Standing, Role,
};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RepositoryResult, RepositoryStatus, RunResult};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::events_of;
use crate::world::{MARKER, Operator, Setup, World};

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn spec(method: &str, mode: &str) -> Value {
    json!({"method": method, "mode": mode, "emptyRepositories": {"deleteOlderThan": "30d"}})
}

/// A repository without tags that was created so many days ago.
fn bare(world: &World, path: &str, days: i64) -> u64 {
    let repository = world.repository(path, &[]);
    let created = world.now() - DAY * i32::try_from(days).unwrap();
    world.sim.edit(|registry| registry.repository_mut(repository).unwrap().created_at = created);
    repository
}

/// A world with one old repository without tags and one with tags that stay.
async fn world(backend: Backend) -> (World, u64) {
    let world = World::start_with(|config| config.settings.backend = backend).await;
    world.repository("shop/backend/api", &[("main", 1)]);
    let empty = bare(&world, "shop/backend/empty", 40);
    (world, empty)
}

async fn operate(world: &World, spec: &Value) -> Operator {
    world.apply(&world.policy("shop", spec)).await.unwrap();
    // A request is about one repository, so that faults can be.
    let operator = Operator::set_up(world, Setup { graphql_batch: 1, ..Setup::of(world) }).await;
    world.ready("shop").await;
    operator
}

/// Two runs, so far apart.
async fn twice(world: &World, apart: SignedDuration) -> PolicyStatus {
    world.run("shop", "one").await;
    world.sim.advance(apart);
    world.run("shop", "two").await
}

fn of(status: &PolicyStatus, repository: u64) -> &RepositoryStatus {
    status.repositories.iter().find(|known| known.id == repository).unwrap_or_else(|| panic!("{status:#?}"))
}

fn told(status: &PolicyStatus, repository: u64) -> (RepositoryResult, &str, &str) {
    let known = of(status, repository);
    (known.result, known.reason.as_deref().unwrap_or_default(), known.message.as_deref().unwrap_or_default())
}

fn watched(status: &PolicyStatus) -> Vec<u64> {
    status.empty_repositories.iter().map(|known| known.id).collect()
}

/// Waits for the end of a run that was asked for.
async fn ended(world: &World, token: &str) -> PolicyStatus {
    let over = |status: &PolicyStatus| {
        status.last_handled_run_at.as_deref() == Some(token)
            && status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some())
    };
    world.until("shop", over).await
}

fn exists(world: &World, repository: u64) -> bool {
    world.sim.advance(SignedDuration::from_mins(5));
    world.sim.read(|registry| registry.find_repository(repository).is_some())
}

fn deletions(world: &World) -> usize {
    world.sim.requests_to(Endpoint::DeleteRepository).len()
}

fn push(world: &World, repository: u64) {
    let now = world.now();
    world.sim.edit(|registry| registry.push(repository, "v1", Push::at(now)));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_two_runs_a_day_apart_see_empty_is_deleted(
    #[values("Bulk", "Exact")] method: &str,
    #[values(Backend::MetadataDatabase, Backend::PlainRegistry)] backend: Backend,
) {
    let (world, empty) = world(backend).await;
    let operator = operate(&world, &spec(method, "Delete")).await;
    let status = world.run("shop", "one").await;
    let since = status.empty_repositories[0].since.0;
    let (result, reason, message) = told(&status, empty);
    assert_eq!((result, reason), (RepositoryResult::Unchanged, "RepositoryEmpty"));
    assert_eq!(message, format!("empty since {since}; may go from {} on", since + DAY));
    assert_eq!((watched(&status), deletions(&world)), (vec![empty], 0));

    world.sim.advance(DAY);
    let status = world.run("shop", "two").await;
    let (result, reason, message) = told(&status, empty);
    assert_eq!((result, reason), (RepositoryResult::Changed, "RepositoryDeleted"));
    assert_eq!(message, format!("empty since {since}; GitLab was asked to delete it"));
    let run = status.last_run.as_ref().unwrap();
    assert_eq!((run.result, run.repositories.deleted), (RunResult::Succeeded, 1));
    let expected = "0 tags removed in 0 of 2 repositories; deletion of 1 empty repository requested";
    let message = run.message.as_deref().unwrap();
    assert!(message.starts_with(expected), "{message}");
    assert!(watched(&status).is_empty());
    assert!(!exists(&world, empty));

    let status = world.run("shop", "three").await;
    assert_eq!((status.last_run.unwrap().repositories.total, deletions(&world)), (1, 1));
    operator.stop().await;
}

/// The last look asks GitLab while the deletion has the only place for a request.
#[tokio::test(flavor = "multi_thread")]
async fn with_one_request_at_a_time_a_repository_is_deleted_as_well() {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    world.apply(&world.policy("shop", &spec("Exact", "Delete"))).await.unwrap();
    let operator = Operator::set_up(&world, Setup { requests_in_flight: 1, ..Setup::of(&world) }).await;
    world.ready("shop").await;
    twice(&world, DAY).await;
    assert!(!exists(&world, empty));
    operator.stop().await;
}

/// What keeps the repository in one case of the table below, and nothing else does.
type Change = fn(&World, u64);

#[rstest]
#[case::it_is_too_young(|world: &World, empty| {
    let created = world.now() - DAY * 10;
    world.sim.edit(|registry| registry.repository_mut(empty).unwrap().created_at = created);
}, "younger than deleteOlderThan")]
#[case::its_status_is_not_known(|world: &World, _| {
    let fault = Action::Answer {
        status: 200,
        headers: vec![],
        body: format!(r#"{{"id":{},"tags_count":0,"size":0,"status":"being_copied"}}"#, id(world)),
    };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GetRepository).repository(id(world)), fault));
}, "a status that is not known here")]
#[case::gitlab_does_not_count(|world: &World, _| {
    let fault =
        Action::Answer { status: 200, headers: vec![], body: format!(r#"{{"id":{},"size":0}}"#, id(world)) };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GetRepository).repository(id(world)), fault));
}, "GitLab does not count its tags")]
#[case::only_its_size_is_not_told(|world: &World, _| {
    let fault =
        Action::Answer { status: 200, headers: vec![], body: format!(r#"{{"id":{},"tags_count":0}}"#, id(world)) };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GetRepository).repository(id(world)), fault));
}, "tells the size of others")]
#[tokio::test(flavor = "multi_thread")]
async fn each_condition_saves_it(#[values("Bulk", "Exact")] method: &str, #[case] change: Change, #[case] why: &str) {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    change(&world, empty);
    let operator = operate(&world, &spec(method, "Delete")).await;
    let status = twice(&world, DAY).await;
    let (result, reason, message) = told(&status, empty);
    assert_eq!((result, reason), (RepositoryResult::Unchanged, "RepositoryEmpty"));
    assert!(message.contains(why), "{message}");
    assert_eq!(deletions(&world), 0);
    assert!(exists(&world, empty));
    operator.stop().await;
}

fn id(world: &World) -> u64 {
    world.sim.read(|registry| registry.repository_by_path("shop/backend/empty").unwrap().id)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn two_runs_less_than_a_day_apart_are_not_enough(#[values("Bulk", "Exact")] method: &str) {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let operator = operate(&world, &spec(method, "Delete")).await;
    let status = twice(&world, DAY - SignedDuration::from_hours(1)).await;
    assert!(told(&status, empty).2.contains("; may go from "));
    assert!(exists(&world, empty));
    // The first of them counts, whatever came between.
    world.sim.advance(SignedDuration::from_hours(1));
    world.run("shop", "three").await;
    assert!(!exists(&world, empty));
    operator.stop().await;
}

#[rstest]
#[case::unless_said_otherwise(json!({"deleteOlderThan": "30d"}), true)]
#[case::on_purpose(json!({"deleteOlderThan": "30d", "includeRoot": false}), true)]
#[case::included(json!({"deleteOlderThan": "30d", "includeRoot": true}), false)]
#[tokio::test(flavor = "multi_thread")]
async fn a_root_repository_stays_unless_it_is_included(
    #[values("Bulk", "Exact")] method: &str,
    #[case] rule: Value,
    #[case] stays: bool,
) {
    let (world, _) = world(Backend::MetadataDatabase).await;
    world.sim.edit(|registry| registry.project("shop/root"));
    let root = bare(&world, "shop/root", 40);
    let operator = operate(&world, &json!({"method": method, "emptyRepositories": rule})).await;
    let status = twice(&world, DAY).await;
    if stays {
        assert!(told(&status, root).2.contains("root repository"), "{status:#?}");
    }
    assert_eq!(exists(&world, root), stays);
    operator.stop().await;
}

#[rstest]
#[case::off("Delete", false, RepositoryResult::Unchanged, "NothingToRemove")]
#[case::dry_run("DryRun", true, RepositoryResult::Changed, "RepositoryDeleted")]
#[case::approval("RequireApproval", true, RepositoryResult::Unchanged, "RepositoryEmpty")]
#[tokio::test(flavor = "multi_thread")]
async fn only_the_mode_delete_deletes_and_only_where_it_is_asked_for(
    #[case] mode: &str,
    #[case] on: bool,
    #[case] result: RepositoryResult,
    #[case] reason: &str,
) {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let spec = if on { spec("Exact", mode) } else { json!({"method": "Exact", "mode": mode}) };
    let operator = operate(&world, &spec).await;
    let status = twice(&world, DAY).await;
    assert_eq!((told(&status, empty).0, told(&status, empty).1), (result, reason));
    assert_eq!(watched(&status), if on { vec![empty] } else { vec![] });
    let message = status.last_run.as_ref().unwrap().message.as_deref().unwrap();
    assert_eq!(message.contains("1 empty repository would be deleted"), mode == "DryRun", "{message}");
    assert!(world.sim.requests().iter().all(|request| request.method != "DELETE"));
    assert!(exists(&world, empty));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_plan_covers_tags_only() {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let api = world.repository("shop/backend/api", &[("old", 30)]);
    let operator = operate(&world, &spec("Exact", "RequireApproval")).await;
    let hash = twice(&world, DAY).await.pending_approval.unwrap().plan_hash;
    world.annotate("shop", registry_cleanup_operator::api::APPROVE, &hash).await;
    let over = |status: &PolicyStatus| {
        status.last_handled_approval.is_some()
            && status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some())
    };
    let status = world.until("shop", over).await;
    assert_eq!(world.tags(api), ["main"]);
    assert!(told(&status, empty).2.ends_with("not deleted in the mode RequireApproval"), "{status:#?}");
    assert_eq!(deletions(&world), 0);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dry_run_on_schedule_saw_counts_and_what_a_preview_saw_does_not() {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let operator = operate(&world, &spec("Exact", "DryRun")).await;
    let status = world.preview("shop", "one").await;
    assert!(watched(&status).is_empty());
    assert!(told(&status, empty).2.contains("a preview is none"), "{status:#?}");
    world.sim.advance(DAY);
    assert_eq!(watched(&world.run("shop", "one").await), [empty]);
    world.sim.advance(DAY);
    let status = world.preview("shop", "two").await;
    assert!(told(&status, empty).2.ends_with("would be deleted"), "{status:#?}");
    assert_eq!((watched(&status), deletions(&world)), (vec![empty], 0));
    world.apply(&world.policy("shop", &spec("Exact", "Delete"))).await.unwrap();
    world.ready("shop").await;
    world.run("shop", "two").await;
    assert!(!exists(&world, empty));
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_a_run_sees_makes_the_day_begin_anew(#[values("Bulk", "Exact")] method: &str) {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let operator = operate(&world, &spec(method, "Delete")).await;
    assert_eq!(watched(&world.run("shop", "one").await), [empty]);
    push(&world, empty);
    world.sim.advance(SignedDuration::from_hours(12));
    assert!(watched(&world.run("shop", "two").await).is_empty());
    world.sim.edit(|registry| registry.remove_tag(empty, "v1"));
    world.sim.advance(SignedDuration::from_hours(12));
    let status = world.run("shop", "three").await;
    assert_eq!((watched(&status), deletions(&world)), (vec![empty], 0));
    world.sim.advance(DAY);
    world.run("shop", "four").await;
    assert!(!exists(&world, empty));
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_pushed_before_the_second_run_saves_it(#[values("Bulk", "Exact")] method: &str) {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let operator = operate(&world, &spec(method, "Delete")).await;
    world.run("shop", "one").await;
    world.sim.advance(DAY);
    push(&world, empty);
    let status = world.run("shop", "two").await;
    assert_eq!(told(&status, empty).1, "NothingToRemove");
    assert_eq!((world.tags(empty), deletions(&world)), (vec!["v1".to_owned()], 0));
    operator.stop().await;
}

#[rstest]
// Listed for the plan, again before anything is decided, and right before the deletion.
#[case::after_the_plan(2, "GitLab counts 1 in it")]
#[case::at_the_last_moment(3, "it was not seen to have none right before its deletion")]
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_pushed_while_the_run_goes_on_saves_it(#[case] listing: u64, #[case] words: &str) {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let operator = operate(&world, &spec("Exact", "Delete")).await;
    world.run("shop", "one").await;
    world.sim.advance(DAY);
    let names = Matcher::endpoint(Endpoint::ListTags).repository(empty).nth(listing);
    let hold = world.sim.hold(names, HoldPoint::BeforeProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "two").await;
    hold.reached().await;
    push(&world, empty);
    hold.release();
    let status = ended(&world, "two").await;
    assert!(told(&status, empty).2.contains(words), "{status:#?}");
    assert!(watched(&status).is_empty());
    assert!(exists(&world, empty));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_leaves_the_target_begins_anew_when_it_comes_back() {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let operator = operate(&world, &spec("Exact", "Delete")).await;
    world.run("shop", "one").await;
    let mut without = spec("Exact", "Delete");
    without["target"] = json!({"groups": [{"path": "shop"}], "repositories": {"exclude": [".*/empty"]}});
    world.apply(&world.policy("shop", &without)).await.unwrap();
    world.ready("shop").await;
    assert!(watched(&world.run("shop", "two").await).is_empty());
    world.apply(&world.policy("shop", &spec("Exact", "Delete"))).await.unwrap();
    world.ready("shop").await;
    world.sim.advance(DAY);
    assert_eq!(watched(&world.run("shop", "three").await), [empty]);
    assert!(exists(&world, empty));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn switching_it_off_forgets_what_was_seen() {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let operator = operate(&world, &spec("Exact", "Delete")).await;
    world.run("shop", "one").await;
    world.apply(&world.policy("shop", &json!({"method": "Exact", "mode": "Delete"}))).await.unwrap();
    assert!(watched(&world.ready("shop").await).is_empty());
    world.apply(&world.policy("shop", &spec("Exact", "Delete"))).await.unwrap();
    world.ready("shop").await;
    world.sim.advance(DAY);
    world.run("shop", "two").await;
    assert!(exists(&world, empty));
    operator.stop().await;
}

#[rstest]
#[case::about_to_go(Standing::DeleteScheduled)]
#[case::going(Standing::DeleteOngoing)]
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_gitlab_is_about_to_delete_is_left_to_it(
    #[case] standing: Standing,
    #[values(false, true)] meanwhile: bool,
) {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let operator = operate(&world, &spec("Exact", "Delete")).await;
    world.run("shop", "one").await;
    world.sim.advance(DAY);
    let stands = || world.sim.edit(|registry| registry.repository_mut(empty).unwrap().status = Some(standing));
    if meanwhile {
        let hold = world.sim.hold(Matcher::endpoint(Endpoint::ListTags).repository(empty), HoldPoint::AfterProcessing);
        world.annotate("shop", RUN_REQUESTED_AT, "two").await;
        hold.reached().await;
        stands();
        hold.release();
    } else {
        stands();
        world.annotate("shop", RUN_REQUESTED_AT, "two").await;
    }
    let status = ended(&world, "two").await;
    assert_eq!(told(&status, empty).1, "DeleteScheduled");
    assert_eq!((watched(&status), deletions(&world)), (vec![], 0));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_gitlab_gave_up_is_told_and_asked_for_once_a_run_at_most() {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let give_up = || {
        world.sim.edit(|registry| registry.repository_mut(empty).unwrap().status = Some(Standing::DeleteFailed));
    };
    give_up();
    let operator = operate(&world, &spec("Exact", "Delete")).await;
    // As if GitLab's job failed again and again.
    let fault = Action::Answer { status: 202, headers: vec![], body: "202".to_owned() };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::DeleteRepository), fault));
    let status = twice(&world, DAY).await;
    assert!(told(&status, empty).2.ends_with("asked to delete it; GitLab failed to delete it before"), "{status:#?}");
    assert_eq!(deletions(&world), 1);
    // The next one begins anew, so that there is a day between.
    let status = world.run("shop", "three").await;
    assert_eq!((watched(&status), deletions(&world)), (vec![empty], 1));
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_fails_altogether_deletes_nothing_however_long_it_fails(
    #[values("Bulk", "Exact")] method: &str,
    #[values(Backend::MetadataDatabase, Backend::PlainRegistry)] backend: Backend,
    #[values(false, true)] at_first_only: bool,
) {
    let (world, _) = world(backend).await;
    let full = bare(&world, "shop/backend/full", 40);
    push(&world, full);
    world.sim.edit(|registry| registry.settings.registry_lists_fail = true);
    let operator = operate(&world, &spec(method, "Delete")).await;
    let status = world.run("shop", "one").await;
    let (result, reason, message) = told(&status, full);
    assert_eq!((result, reason), (RepositoryResult::Unchanged, "RepositoryEmpty"));
    assert!(message.contains("so the registry may be failing altogether"), "{message}");
    assert!(watched(&status).is_empty());
    world.sim.advance(DAY);
    world.sim.edit(|registry| registry.settings.registry_lists_fail = !at_first_only);
    world.run("shop", "two").await;
    assert_eq!(deletions(&world), 0);
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_begins_to_fail_during_the_run_deletes_nothing(#[values("Bulk", "Exact")] method: &str) {
    let (world, empty) = world(Backend::PlainRegistry).await;
    let mut spec = spec(method, "Delete");
    spec["protect"] = json!({"nameRegex": ["main"]});
    let operator = operate(&world, &spec).await;
    world.run("shop", "one").await;
    world.sim.advance(DAY);
    // What the run lists first still has its tags; then it shows none any more.
    let api = world.sim.read(|registry| registry.repository_by_path("shop/backend/api").unwrap().id);
    let silent = Action::Answer { status: 200, headers: vec![], body: format!(r#"{{"id":{api},"tags_count":0}}"#) };
    let counts = Matcher::endpoint(Endpoint::GetRepository).repository(api);
    let matcher = Matcher { skip: 1, ..counts };
    world.sim.fault(Fault::new(matcher, silent));
    let status = world.run("shop", "two").await;
    assert!(told(&status, empty).2.contains("shows none now"), "{status:#?}");
    assert!(watched(&status).is_empty());
    assert!(exists(&world, empty));
    operator.stop().await;
}

#[rstest]
#[case::the_list_alone(&[Endpoint::ListTags, Endpoint::GraphqlQuery], "ListIncomplete")]
#[case::the_list_and_the_count(
    &[Endpoint::ListTags, Endpoint::GraphqlQuery, Endpoint::GetRepository],
    "RepositoryEmpty"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_cut_short_for_one_repository_does_not_empty_it(
    #[values("Bulk", "Exact")] method: &str,
    #[case] endpoints: &[Endpoint],
    #[case] reason: &str,
) {
    let (world, _) = world(Backend::MetadataDatabase).await;
    let full = bare(&world, "shop/backend/full", 40);
    push(&world, full);
    for endpoint in endpoints {
        let matcher = Matcher::endpoint(*endpoint).repository(full);
        world.sim.fault(Fault::new(matcher, Action::TruncateTags { keep: 0 }));
    }
    let operator = operate(&world, &spec(method, "Delete")).await;
    let status = twice(&world, DAY).await;
    assert_eq!(told(&status, full).1, reason, "{status:#?}");
    assert!(reason == "ListIncomplete" || told(&status, full).2.contains("bytes"), "{status:#?}");
    assert!(!watched(&status).contains(&full));
    assert_eq!(world.tags(full), ["v1"]);
    assert!(exists(&world, full));
    operator.stop().await;
}

#[rstest]
#[case::the_registry_says_so_itself(Backend::MetadataDatabase, false)]
#[case::nothing_shows_that_the_registry_answers(Backend::PlainRegistry, true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_alone_goes_only_if_the_registry_answers_for_it(
    #[case] backend: Backend,
    #[case] stays: bool,
) {
    let world = World::start_with(|config| config.settings.backend = backend).await;
    let empty = bare(&world, "shop/backend/empty", 40);
    let operator = operate(&world, &spec("Exact", "Delete")).await;
    let status = twice(&world, DAY).await;
    assert_eq!(of(&status, empty).reason.as_deref() == Some("RepositoryEmpty"), stays);
    assert_eq!(exists(&world, empty), stays);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_whose_tags_cannot_be_listed_is_no_longer_watched() {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let operator = operate(&world, &spec("Bulk", "Delete")).await;
    assert_eq!(watched(&world.run("shop", "one").await), [empty]);
    let gone = Action::Answer { status: 404, headers: vec![], body: r#"{"message":"404 Not found"}"#.to_owned() };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::ListTags).repository(empty), gone));
    world.sim.advance(SignedDuration::from_hours(12));
    let status = world.run("shop", "two").await;
    assert_eq!((told(&status, empty).0, watched(&status)), (RepositoryResult::Failed, vec![]));
    world.sim.clear_faults();
    world.sim.advance(SignedDuration::from_hours(12));
    world.run("shop", "three").await;
    assert!(exists(&world, empty));
    operator.stop().await;
}

/// A Deployment that names this image.
fn deploy(world: &World, image: &str) {
    world.kubectl(&["create", "deployment", "web", "--replicas=0", &format!("--image={image}")]);
}

#[rstest]
#[case::by_name("registry.gitlab.example.com/shop/backend/empty:v1")]
#[case::by_digest(
    "registry.gitlab.example.com/shop/backend/empty@sha256:1111111111111111111111111111111111111111111111111111111111111111"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_whose_images_the_cluster_uses_stays_although_it_has_no_tag(
    #[values("Bulk", "Exact")] method: &str,
    #[case] image: &str,
) {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    deploy(&world, image);
    let operator = operate(&world, &spec(method, "Delete")).await;
    let status = twice(&world, DAY).await;
    let expected = format!("empty; kept because its images are in use by {}/Deployment/web", world.namespace);
    let (result, reason, message) = told(&status, empty);
    assert_eq!((result, reason), (RepositoryResult::Unchanged, "RepositoryEmpty"));
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!((watched(&status), deletions(&world)), (vec![], 0));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_begins_to_use_the_repository_during_the_run_saves_it() {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let operator = operate(&world, &spec("Exact", "Delete")).await;
    world.run("shop", "one").await;
    world.sim.advance(DAY);
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::ListTags).repository(empty), HoldPoint::AfterProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "two").await;
    hold.reached().await;
    deploy(&world, "registry.gitlab.example.com/shop/backend/empty:v1");
    hold.release();
    let status = ended(&world, "two").await;
    assert!(told(&status, empty).2.contains("in use by"), "{status:#?}");
    assert!(exists(&world, empty));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fuse_that_stops_the_run_stops_this_too() {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    world.repository("shop/backend/api", &[("a", 30), ("b", 30)]);
    let mut spec = spec("Exact", "Delete");
    spec["limits"] = json!({"maxTagsPerRun": 1});
    let operator = operate(&world, &spec).await;
    let status = twice(&world, DAY).await;
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/DeletionLimitExceeded");
    assert!(exists(&world, empty));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_outlives_a_restart() {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let first = operate(&world, &spec("Exact", "Delete")).await;
    world.run("shop", "one").await;
    first.kill().await;
    world.sim.advance(DAY);
    let second = Operator::start(&world).await;
    world.ready("shop").await;
    world.run("shop", "two").await;
    assert!(!exists(&world, empty));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_dies_while_it_asks_does_not_ask_again() {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let first = operate(&world, &spec("Exact", "Delete")).await;
    world.run("shop", "one").await;
    world.sim.advance(DAY);
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::DeleteRepository), HoldPoint::AfterProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "two").await;
    hold.reached().await;
    first.kill().await;
    drop(hold);
    let second = Operator::start(&world).await;
    let status = world.run("shop", "three").await;
    assert!(status.history.iter().any(|run| run.result == RunResult::Interrupted));
    assert!(watched(&status).is_empty());
    assert_eq!(deletions(&world), 1);
    assert!(!exists(&world, empty));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_told_and_the_next_run_sees_what_came_of_it() {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    let operator = operate(&world, &spec("Exact", "Delete")).await;
    let lost = Fault::new(Matcher::endpoint(Endpoint::DeleteRepository).nth(1), Action::DropConnection);
    world.sim.fault(lost.after_processing());
    let status = twice(&world, DAY).await;
    assert_eq!((told(&status, empty).0, told(&status, empty).1), (RepositoryResult::Failed, "AnswerLost"));
    assert_eq!((watched(&status), deletions(&world)), (vec![empty], 1));
    assert!(!exists(&world, empty));
    let status = world.run("shop", "three").await;
    assert_eq!((watched(&status), deletions(&world)), (vec![], 1));
    operator.stop().await;
    assert_eq!(events_of(&world, "RepositoryCleanupFailed").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_repository_stays_and_a_role_that_may_not_delete_is_a_failure() {
    let (world, empty) = world(Backend::MetadataDatabase).await;
    world.sim.edit(|registry| registry.repository_mut(empty).unwrap().deletion_protected = true);
    let operator = operate(&world, &spec("Exact", "Delete")).await;
    let status = twice(&world, DAY).await;
    assert_eq!((told(&status, empty).0, told(&status, empty).1), (RepositoryResult::Skipped, "RepositoryProtected"));
    assert_eq!(status.last_run.unwrap().result, RunResult::Succeeded);

    world.sim.edit(|registry| {
        let user = registry.find_token(MARKER).unwrap().user;
        registry.set_role("shop", user, Some(Role::Developer));
        registry.repository_mut(empty).unwrap().deletion_protected = false;
    });
    world.run("shop", "three").await;
    world.sim.advance(DAY);
    let status = world.run("shop", "four").await;
    assert_eq!((told(&status, empty).0, told(&status, empty).1), (RepositoryResult::Failed, "Forbidden"));
    assert_eq!(watched(&status), [empty]);
    assert!(exists(&world, empty));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_are_watched_at_a_time_and_the_others_wait_for_their_turn() {
    let (world, old) = world(Backend::MetadataDatabase).await;
    let many: Vec<u64> = (0..56).map(|number| bare(&world, &format!("shop/many/r{:02}", 55 - number), 35)).collect();
    let young: Vec<u64> = (0..3).map(|number| bare(&world, &format!("shop/young/r{number}"), 2)).collect();
    let operator = operate(&world, &spec("Exact", "Delete")).await;
    let status = world.run("shop", "one").await;
    assert_eq!(watched(&status).len(), 50);
    assert_eq!(watched(&status)[0], old, "the oldest first");
    assert!(
        status
            .repositories
            .iter()
            .any(|known| { known.message.as_deref().is_some_and(|message| message.contains("fewer than 50 others")) })
    );
    world.sim.advance(DAY);
    let status = world.run("shop", "two").await;
    assert_eq!(status.last_run.as_ref().unwrap().repositories.deleted, 50);
    assert_eq!(watched(&status), many[49..].iter().chain(&young).copied().collect::<Vec<u64>>());
    world.sim.advance(DAY);
    let status = world.run("shop", "three").await;
    assert_eq!(status.last_run.as_ref().unwrap().repositories.deleted, 7);
    assert_eq!(watched(&status), young);
    operator.stop().await;
}
