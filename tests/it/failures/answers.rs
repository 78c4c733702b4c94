//! Answers that a run cannot use: one repository fails, the others go on, and nothing is decided from half a list.

use gitlab_simulator::{Action, Config, Endpoint, Fault, HoldPoint, Matcher, Simulator};
use registry_cleanup_operator::api::{DRY_RUN_REQUESTED_AT, Mode, PolicyStatus, RunResult};
use rstest::rstest;
use serde_json::json;

use super::{answer, asked_to_remove, bulk_requests, entry, repository, result, two_repositories};
use crate::support::{change, events_of, eventually};
use crate::world::{Operator, World};

async fn run(world: &World, mode: Mode, token: &str) -> PolicyStatus {
    match mode {
        Mode::DryRun => world.preview("shop", token).await,
        Mode::RequireApproval | Mode::Delete => world.run("shop", token).await,
    }
}

/// The outcome of a run in which the list of the first repository's tags could not be had.
async fn assert_only_the_first_failed(
    (world, operator, [first, second]): (World, Operator, [u64; 2]),
    mode: Mode,
    (reason, words): (&str, &str),
) {
    let status = run(&world, mode, "one").await;
    assert_eq!(result(&status), RunResult::PartiallyFailed);
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/PartiallyFailed");
    assert_eq!(World::condition(&status, "Ready"), "True/Scheduled", "a failed run says nothing about the next");
    assert_eq!(World::condition(&status, "CredentialsValid"), "True/TokenAccepted");
    let (outcome, message) = repository(&status, "shop/backend/api");
    assert_eq!(outcome, format!("Failed/{reason}"));
    assert!(message.contains(words), "{message}");
    assert_eq!(status.repositories[0].path, "shop/backend/api", "failures come first");
    assert_eq!(entry(&status, "shop/backend/api").next_eligible_time, None);
    assert_eq!(repository(&status, "shop/frontend/web").0, "Changed/-");
    let expected = if mode == Mode::Delete { vec![second] } else { vec![] };
    assert_eq!(asked_to_remove(&world), expected);
    assert_eq!(world.tags(first).len(), 4);
    operator.stop().await;
    assert_eq!(events_of(&world, "CleanupPartiallyFailed").await, 1);
    assert_eq!(events_of(&world, "RepositoryCleanupFailed").await, 1);
}

#[rstest]
#[case::an_error(answer(500, r#"{"message":"500 Internal Server Error"}"#), "GitLabUnavailable", "GitLab answered 500")]
#[case::a_restart(
    answer(503, "<html>marker-body</html>"),
    "GitLabUnavailable",
    "a proxy in front of GitLab answered 503 with a page"
)]
#[case::a_gateway_that_gave_up(answer(504, ""), "GitLabUnavailable", "GitLab answered 504")]
#[case::a_list_that_ends_early(Action::TruncateTags { keep: 1 }, "ListIncomplete", "the list may be incomplete")]
#[case::an_empty_list(Action::TruncateTags { keep: 0 }, "ListIncomplete", "the list may be incomplete")]
#[case::json_that_breaks_off(Action::InvalidJson, "GitLabUnavailable", "the answer is not one of GitLab's")]
#[case::a_sign_in_page(answer(200, "<html>Sign in</html>"), "GitLabUnavailable", "the answer is not one of GitLab's")]
#[case::a_gibibyte(Action::HugeBody { bytes: 1 << 30 }, "GitLabUnavailable", "the answer is longer than")]
#[case::a_repository_that_went(answer(404, r#"{"message":"404 Not found"}"#), "NotFound", "GitLab answered 404")]
#[case::a_repository_that_is_closed(answer(403, r#"{"message":"403 Forbidden"}"#), "Forbidden", "GitLab answered 403")]
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_had_fails_its_repository_and_no_other(
    #[values(Mode::DryRun, Mode::Delete)] mode: Mode,
    #[case] action: Action,
    #[case] reason: &str,
    #[case] words: &str,
) {
    let scene = two_repositories(&json!({})).await;
    scene.0.sim.fault(Fault::new(Matcher::endpoint(Endpoint::ListTags).repository(scene.2[0]), action));
    assert_only_the_first_failed(scene, mode, (reason, words)).await;
}

/// A connection that breaks takes everything with it that is on its way there, also a request to remove something,
/// whose fate is then told as lost. So this is a dry run, and the other repository is through before anything breaks.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_fails_its_repository_and_no_other() {
    let scene = two_repositories(&json!({})).await;
    scene.0.sim.edit(|registry| registry.settings.graphql = false);
    let [first, second] = scene.2;
    let listing = || Matcher::endpoint(Endpoint::ListTags).repository(first);
    let hold = scene.0.sim.hold(listing().nth(1), HoldPoint::BeforeProcessing);
    scene.0.sim.fault(Fault::new(listing(), Action::DropConnection));
    scene.0.annotate("shop", DRY_RUN_REQUESTED_AT, "one").await;
    hold.reached().await;
    eventually("the details of the other's four tags", async || {
        let details = scene.0.sim.requests_to(Endpoint::GetTag);
        let answered = details.iter().filter(|request| request.repository == Some(second) && request.status.is_some());
        (answered.count() == 4).then_some(())
    })
    .await;
    hold.release();
    let expected = ("GitLabUnavailable", "the connection broke");
    assert_only_the_first_failed(scene, Mode::DryRun, expected).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_fails_its_repository_and_no_other(
    #[values(Mode::DryRun, Mode::Delete)] mode: Mode,
) {
    let scene = two_repositories(&json!({})).await;
    let mut policy = scene.0.policy("shop", &json!({}));
    change(&mut policy, "/gitlab/timeout", &json!("1s"));
    scene.0.apply(&policy).await.unwrap();
    scene.0.ready("shop").await;
    let listing = Matcher::endpoint(Endpoint::ListTags).repository(scene.2[0]);
    let _hold = scene.0.sim.hold(listing, HoldPoint::AfterProcessing);
    assert_only_the_first_failed(scene, mode, ("GitLabUnavailable", "GitLab did not answer in time")).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_another_origin_is_not_followed_so_the_token_stays_here(
    #[values(Mode::DryRun, Mode::Delete)] mode: Mode,
) {
    let elsewhere = Simulator::start(Config::default()).await.unwrap();
    let scene = two_repositories(&json!({})).await;
    let [first, _] = scene.2;
    let location = format!("{}/api/v4/projects/1/registry/repositories/{first}/tags", elsewhere.url());
    let listing = Matcher::endpoint(Endpoint::ListTags).repository(first);
    scene.0.sim.fault(Fault::new(listing, Action::Redirect { location }));
    assert_only_the_first_failed(scene, mode, ("GitLabUnavailable", "a redirect that is not followed")).await;
    assert!(elsewhere.requests().is_empty());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_passes_is_not_noticed(#[values(Mode::DryRun, Mode::Delete)] mode: Mode) {
    let (world, operator, _) = two_repositories(&json!({})).await;
    for endpoint in [Endpoint::TokenSelf, Endpoint::ListGroupRepositories, Endpoint::ListTags] {
        world.sim.fault(Fault::new(Matcher::endpoint(endpoint).times(1), answer(502, "")));
        world
            .sim
            .fault(Fault::new(Matcher::endpoint(endpoint).nth(2), Action::TooManyRequests { retry_after: Some(5) }));
    }
    let status = run(&world, mode, "one").await;
    assert_eq!(result(&status), RunResult::Succeeded);
    let repositories = status.last_run.unwrap().repositories;
    assert_eq!((repositories.changed, repositories.failed), (2, 0));
    operator.stop().await;
}

/// 429 on everything about one repository: with and without `Retry-After`.
#[rstest]
#[case::without_a_time(None)]
#[case::with_a_time(Some(20))]
#[case::with_a_time_that_is_too_long(Some(300))]
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_throttled_is_skipped_and_has_its_turn_in_the_next_run(
    #[values(Mode::DryRun, Mode::Delete)] mode: Mode,
    #[case] retry_after: Option<u64>,
) {
    let (world, operator, [first, _]) = two_repositories(&json!({})).await;
    let matcher = Matcher::endpoint(Endpoint::ListTags).repository(first);
    world.sim.fault(Fault::new(matcher, Action::TooManyRequests { retry_after }));
    let status = run(&world, mode, "one").await;
    let (outcome, message) = repository(&status, "shop/backend/api");
    assert_eq!(
        (outcome.as_str(), entry(&status, "shop/backend/api").next_eligible_time.clone()),
        ("Skipped/RateLimited", None)
    );
    assert!(message.contains("too many requests for GitLab's limits (429)"), "{message}");
    if retry_after == Some(300) {
        assert!(message.contains(": try again at 20"), "{message}");
    }
    assert_eq!(result(&status), RunResult::Succeeded, "being asked to wait is no failure");
    assert_eq!(World::condition(&status, "Ready"), "True/Scheduled");

    world.sim.clear_faults();
    world.sim.advance(jiff::SignedDuration::from_mins(10));
    let status = run(&world, mode, "two").await;
    assert_eq!(repository(&status, "shop/backend/api").0, "Changed/-");
    assert_eq!(bulk_requests(&world).len(), if mode == Mode::Delete { 2 } else { 0 });
    operator.stop().await;
}

/// In a dry run the details of a candidate matter as well: without its date nobody knows whether it goes.
#[rstest]
#[case::an_error(answer(500, ""), "Failed/GitLabUnavailable", "failed to read a tag: GitLab answered 500")]
#[case::not_found(
    answer(404, r#"{"message":"404 Tag Not Found"}"#),
    "Unchanged/NothingToRemove",
    "kept: 4 DateUnknown; ages by the first push"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_cannot_read_its_candidates_says_so_instead_of_guessing(
    #[case] action: Action,
    #[case] outcome: &str,
    #[case] message: &str,
) {
    let (world, operator, [first, _]) = two_repositories(&json!({})).await;
    world.sim.edit(|registry| registry.settings.graphql = false);
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GetTag).repository(first), action));
    let status = world.preview("shop", "one").await;
    assert_eq!(repository(&status, "shop/backend/api"), (outcome.to_owned(), message));
    assert_eq!(entry(&status, "shop/backend/api").tags.matched, 0);
    assert_eq!(repository(&status, "shop/frontend/web").0, "Changed/-");
    operator.stop().await;
}
