//! The bulk request itself fails: what may have been accepted counts for an hour, what was not costs nothing.

use gitlab_simulator::{Action, Endpoint, Fault, HoldPoint, Matcher, Role};
use jiff::SignedDuration;
use registry_cleanup_operator::api::RunResult;
use rstest::rstest;
use serde_json::json;

use super::{answer, asked_to_remove, bulk_requests, entry, repository, result, two_repositories};
use crate::support::change;
use crate::world::World;

const HOUR: SignedDuration = SignedDuration::from_secs(3600);

/// GitLab did it and the answer was lost, or GitLab did nothing and says so in words that prove nothing. Nobody can
/// tell the two apart, so both count as accepted.
#[rstest]
#[case::an_error_before(answer(500, ""), HoldPoint::BeforeProcessing)]
#[case::an_error_after(answer(500, ""), HoldPoint::AfterProcessing)]
#[case::a_restart(answer(503, ""), HoldPoint::AfterProcessing)]
#[case::a_gateway(answer(502, ""), HoldPoint::BeforeProcessing)]
#[case::a_broken_connection_before(Action::DropConnection, HoldPoint::BeforeProcessing)]
#[case::a_broken_connection_after(Action::DropConnection, HoldPoint::AfterProcessing)]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_is_lost_counts_for_an_hour(#[case] action: Action, #[case] point: HoldPoint) {
    let (world, operator, [first, second]) = two_repositories(&json!({})).await;
    let fault = Fault { point, ..Fault::new(Matcher::endpoint(Endpoint::BulkDeleteTags).repository(first), action) };
    world.sim.fault(fault);
    let status = world.run("shop", "one").await;
    let sent = bulk_requests(&world);
    assert_eq!(asked_to_remove(&world), [first, second], "one request each, none of them twice");
    assert_eq!(repository(&status, "shop/backend/api").0, "Failed/AnswerLost");
    assert_eq!(repository(&status, "shop/frontend/web").0, "Changed/-");
    assert_eq!(result(&status), RunResult::PartiallyFailed);
    let lost = entry(&status, "shop/backend/api");
    assert!(lost.next_eligible_time.as_ref().unwrap().0 >= sent[0].at + HOUR);
    let gone = if point == HoldPoint::AfterProcessing { 3 } else { 0 };
    assert_eq!((lost.tags.confirmed, world.tags(first).len()), (gone, 4 - usize::try_from(gone).unwrap()));

    world.sim.clear_faults();
    let status = world.run("shop", "two").await;
    assert_eq!(asked_to_remove(&world).len(), 2, "nothing is sent within the hour");
    assert_eq!(repository(&status, "shop/backend/api").0, "Skipped/RateLimited");
    assert_eq!(result(&status), RunResult::Succeeded);

    world.sim.advance(HOUR + SignedDuration::from_mins(5));
    world.run("shop", "three").await;
    assert_eq!(asked_to_remove(&world)[2], first);
    let apart = bulk_requests(&world)[2].at.duration_since(sent[0].at);
    assert!(apart >= HOUR, "{apart}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_answered_in_time_counts_for_an_hour() {
    let (world, operator, [first, second]) = two_repositories(&json!({})).await;
    let mut policy = world.policy("shop", &json!({}));
    change(&mut policy, "/gitlab/timeout", &json!("1s"));
    world.apply(&policy).await.unwrap();
    world.ready("shop").await;
    let matcher = Matcher::endpoint(Endpoint::BulkDeleteTags).repository(first);
    let hold = world.sim.hold(matcher, HoldPoint::AfterProcessing);
    let status = world.run("shop", "one").await;
    hold.release();
    assert_eq!(repository(&status, "shop/backend/api").0, "Failed/AnswerLost");
    assert_eq!(entry(&status, "shop/backend/api").tags.confirmed, 3, "what is seen to be gone is gone");
    let status = world.run("shop", "two").await;
    assert_eq!(asked_to_remove(&world), [first, second]);
    assert_eq!(repository(&status, "shop/backend/api").0, "Skipped/RateLimited");
    operator.stop().await;
}

/// GitLab says plainly that it did nothing.
#[rstest]
#[case::its_parameters(answer(400, r#"{"error":"keep_n is invalid"}"#), "Failed/Refused", "GitLab refused with 400")]
#[case::its_role(answer(403, r#"{"message":"403 Forbidden"}"#), "Failed/Forbidden", "the role of the token's user")]
#[case::its_place(answer(404, r#"{"message":"404 Not found"}"#), "Failed/NotFound", "GitLab answered 404")]
#[case::a_project_that_moved(
    answer(405, r#"{"message":"Non GET methods are not allowed for moved projects"}"#),
    "Failed/NotFound",
    "the project has moved"
)]
#[case::its_address(Action::Redirect { location: "/api/v4/version".to_owned() }, "Failed/GitLabUnavailable", "not followed")]
#[case::its_pace(Action::TooManyRequests { retry_after: None }, "Skipped/RateLimited", "(429)")]
#[case::its_pace_for_minutes(Action::TooManyRequests { retry_after: Some(300) }, "Skipped/RateLimited", "(429)")]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_refused_costs_no_hour(#[case] action: Action, #[case] outcome: &str, #[case] words: &str) {
    let (world, operator, [first, _]) = two_repositories(&json!({})).await;
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::BulkDeleteTags).repository(first), action));
    let status = world.run("shop", "one").await;
    let (seen, message) = repository(&status, "shop/backend/api");
    assert_eq!(seen, outcome);
    assert!(message.contains(words), "{message}");
    assert_eq!(entry(&status, "shop/backend/api").next_eligible_time, None);
    assert_eq!(world.tags(first).len(), 4);

    world.sim.clear_faults();
    world.sim.advance(SignedDuration::from_mins(10));
    let status = world.run("shop", "two").await;
    assert_eq!(repository(&status, "shop/backend/api").0, "Changed/-");
    assert_eq!(world.tags(first), ["main"]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_throttle_turned_away_is_sent_again_in_the_same_run() {
    let (world, operator, [first, _]) = two_repositories(&json!({})).await;
    let matcher = Matcher::endpoint(Endpoint::BulkDeleteTags).repository(first).times(1);
    world.sim.fault(Fault::new(matcher, Action::TooManyRequests { retry_after: Some(7) }));
    let status = world.run("shop", "one").await;
    let sent: Vec<_> = bulk_requests(&world).into_iter().filter(|request| request.repository == Some(first)).collect();
    assert_eq!(sent.iter().map(|request| request.status).collect::<Vec<_>>(), [Some(429), Some(202)]);
    assert!(sent[1].at.duration_since(sent[0].at) >= SignedDuration::from_secs(7));
    assert_eq!(repository(&status, "shop/backend/api").0, "Changed/-");
    operator.stop().await;
}

/// Somebody else, with GitLab's API or another operator, has used the hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_somebody_else_holds_is_no_failure_and_is_waited_out() {
    let (world, operator, [first, second]) = two_repositories(&json!({})).await;
    let taken = world.now() - SignedDuration::from_mins(20);
    world.sim.edit(|registry| registry.repository_mut(first).unwrap().lease_until = Some(taken + HOUR));
    let status = world.run("shop", "one").await;
    let refused = &bulk_requests(&world)[0];
    assert_eq!((refused.repository, refused.status, refused.accepted), (Some(first), Some(400), Some(false)));
    assert_eq!(repository(&status, "shop/backend/api").0, "Skipped/RateLimited");
    assert_eq!(result(&status), RunResult::Succeeded);
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "True/Succeeded");
    let eligible = entry(&status, "shop/backend/api").next_eligible_time.clone().unwrap().0;
    let hour = eligible.duration_since(refused.at);
    assert!(hour >= HOUR && hour <= HOUR + SignedDuration::from_secs(2), "GitLab does not say when it began: {hour}");

    world.sim.clock().set(eligible - SignedDuration::from_mins(3));
    world.run("shop", "too early").await;
    assert_eq!(asked_to_remove(&world), [first, second], "no retry before it can succeed");
    world.sim.advance(SignedDuration::from_mins(10));
    world.run("shop", "in time").await;
    assert_eq!(asked_to_remove(&world)[2], first);
    assert_eq!(world.tags(first), ["main"]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_only_lists_in_one_project_fails_there_and_nowhere_else() {
    let (world, operator, [first, second]) = two_repositories(&json!({})).await;
    world.sim.edit(|registry| {
        let bot = registry.user("bot");
        registry.set_role("shop", bot, Some(Role::Reporter));
        registry.set_role("shop/frontend", bot, Some(Role::Maintainer));
    });
    let status = world.run("shop", "one").await;
    assert_eq!(repository(&status, "shop/backend/api").0, "Failed/Forbidden");
    assert_eq!(repository(&status, "shop/frontend/web").0, "Changed/-");
    assert_eq!(result(&status), RunResult::PartiallyFailed);
    assert_eq!((world.tags(first).len(), world.tags(second)), (4, vec!["main".to_owned()]));
    assert_eq!(World::condition(&status, "CredentialsValid"), "True/TokenAccepted", "the token is not to blame");

    world.sim.edit(|registry| {
        let bot = registry.user("bot");
        registry.set_role("shop", bot, Some(Role::Maintainer));
    });
    let status = world.run("shop", "two").await;
    assert_eq!(repository(&status, "shop/backend/api").0, "Changed/-");
    operator.stop().await;
}
