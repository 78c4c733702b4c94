//! Secrets and tokens that do not work.

use gitlab_simulator::{Endpoint, Fault, Matcher, Registry, Scope};
use jiff::SignedDuration;
use jiff::civil::date;
use registry_cleanup_operator::api::RunResult;
use rstest::rstest;
use serde_json::{Value, json};

use super::{answer, asked_to_remove, repository, result, two_repositories};
use crate::support::{change, events_of, eventually};
use crate::world::{MARKER, Operator, World};

fn expire(registry: &mut Registry) {
    registry.token_mut(MARKER).unwrap().expires_at = Some(date(2026, 11, 22));
}

fn revoke(registry: &mut Registry) {
    registry.token_mut(MARKER).unwrap().revoked = true;
}

fn remove(registry: &mut Registry) {
    registry.remove_token(MARKER);
}

fn read_only(registry: &mut Registry) {
    registry.token_mut(MARKER).unwrap().scopes = vec![Scope::ReadApi];
}

#[rstest]
#[case::no_secret("/gitlab/secretRef/name", json!("missing"), "SecretNotFound", "Secret missing does not exist")]
#[case::no_key("/gitlab/secretRef/key", json!("other"), "SecretInvalid", "Secret token has no other")]
#[case::an_empty_token("/gitlab/secretRef/name", json!("empty"), "SecretInvalid", "Secret empty has no token")]
#[case::a_token_of_two_lines("/gitlab/secretRef/name", json!("two-lines"), "SecretInvalid", "characters that no HTTP header can carry")]
#[case::a_token_of_another_instance("/gitlab/secretRef/name", json!("elsewhere"), "SecretURLMismatch", "so the token is not sent")]
#[case::no_secret_with_the_authority("/gitlab/certSecretRef/name", json!("missing"), "SecretNotFound", "Secret missing does not exist")]
#[case::an_authority_that_is_no_pem("/gitlab/certSecretRef/name", json!("no-pem"), "SecretInvalid", "not PEM")]
#[case::a_certificate_without_its_key("/gitlab/certSecretRef/name", json!("no-key"), "SecretInvalid", "has only one of tls.crt and tls.key")]
#[case::no_secret_with_the_proxy("/gitlab/proxySecretRef", json!({"name": "missing"}), "SecretNotFound", "Secret missing does not exist")]
#[case::a_proxy_that_is_no_address("/gitlab/proxySecretRef", json!({"name": "elsewhere"}), "SecretInvalid", "has no address")]
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_does_not_work_is_told_and_nothing_is_sent(
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] reason: &str,
    #[case] words: &str,
) {
    let world = World::start().await;
    world.secret("empty", &[("token", " \n")]).await;
    world.secret("two-lines", &[("token", &format!("{MARKER}\n{MARKER}"))]).await;
    world.secret("elsewhere", &[("token", MARKER), ("url", "https://gitlab.com")]).await;
    world.secret("no-pem", &[("ca.crt", MARKER)]).await;
    world.secret("no-key", &[("tls.crt", MARKER)]).await;
    let mut policy = world.policy("shop", &json!({}));
    change(&mut policy, pointer, &value);
    world.apply(&policy).await.unwrap();
    let operator = Operator::start(&world).await;
    let status = world.until("shop", |status| World::condition(status, "CredentialsValid") != "absent").await;
    assert_eq!(World::condition(&status, "CredentialsValid"), format!("False/{reason}"));
    assert_eq!(World::condition(&status, "Ready"), "False/CredentialsInvalid");
    assert_eq!(World::condition(&status, "Reconciling"), "True/ProgressingWithRetry");
    assert_eq!(World::condition(&status, "Stalled"), "absent");
    assert!(status.conditions.iter().all(|condition| condition.message.contains(words)), "{:?}", status.conditions);
    operator.stop().await;
    assert!(world.sim.requests().is_empty());
    assert_eq!(events_of(&world, "CredentialsInvalid").await, 1);
    let told = format!("{:?} {:?}", status, world.events().await);
    assert!(!told.contains(MARKER), "{told}");
}

#[rstest]
#[case::unknown(remove, "Delete", "TokenRejected", "the token is not accepted")]
#[case::expired(expire, "Delete", "TokenExpired", "the token has expired")]
#[case::revoked(revoke, "Delete", "TokenRevoked", "the token was revoked")]
#[case::read_only_in_delete_mode(
    read_only,
    "Delete",
    "InsufficientScope",
    "the token has the scopes read_api, mode Delete needs api"
)]
#[case::the_registrys_own_scope_in_dry_run_mode(
    |registry: &mut Registry| registry.token_mut(MARKER).unwrap().scopes = vec![Scope::ReadRegistry],
    "DryRun",
    "InsufficientScope",
    "mode DryRun needs api or read_api"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_gitlab_does_not_take_is_told_and_tried_again_with_growing_pauses(
    #[case] spoil: fn(&mut Registry),
    #[case] mode: &str,
    #[case] reason: &str,
    #[case] words: &str,
) {
    let world = World::start().await;
    world.sim.edit(spoil);
    world.apply(&world.policy("shop", &json!({"mode": mode}))).await.unwrap();
    let operator = Operator::start(&world).await;
    let status = world.until("shop", |status| World::condition(status, "CredentialsValid") != "absent").await;
    assert_eq!(World::condition(&status, "CredentialsValid"), format!("False/{reason}"));
    assert_eq!(World::condition(&status, "Ready"), "False/CredentialsInvalid");
    assert_eq!(World::condition(&status, "Stalled"), "absent");
    assert!(status.conditions.iter().all(|condition| condition.message.contains(words)), "{:?}", status.conditions);

    // GitLab blocks addresses that keep knocking: half a minute after the first time, a minute after the second.
    let asked = || world.sim.requests_to(Endpoint::TokenSelf);
    eventually("the fourth look", async || {
        world.sim.advance(SignedDuration::from_secs(10));
        operator.nudge();
        (asked().len() >= 4).then_some(())
    })
    .await;
    for (pair, least) in asked().windows(2).zip([30, 60, 120]) {
        let pause = pair[1].at.duration_since(pair[0].at).as_secs();
        assert!(pause >= least, "{pause} s instead of {least} s");
    }
    operator.stop().await;
    assert_eq!(world.sim.requests().len(), asked().len(), "nothing else is asked with a token that does not work");
    assert_eq!(events_of(&world, "CredentialsInvalid").await, 1, "only the transition is told");
}

#[rstest]
#[case::unknown(remove, "TokenRejected")]
#[case::expired(expire, "TokenExpired")]
#[case::revoked(revoke, "TokenRevoked")]
#[case::read_only(read_only, "InsufficientScope")]
#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_a_token_that_stopped_working_fails_before_it_asks_for_anything(
    #[case] spoil: fn(&mut Registry),
    #[case] reason: &str,
) {
    let (world, operator, _) = two_repositories(&json!({})).await;
    world.sim.edit(spoil);
    world.sim.clear_requests();
    let status = world.run("shop", "one").await;
    assert_eq!(result(&status), RunResult::Failed);
    assert_eq!(World::condition(&status, "LastRunSucceeded"), format!("False/{reason}"));
    assert_eq!(World::condition(&status, "CredentialsValid"), format!("False/{reason}"));
    assert_eq!(World::condition(&status, "Ready"), "False/CredentialsInvalid");
    assert_eq!((status.repositories.len(), status.consecutive_failures), (0, Some(1)));
    operator.stop().await;
    assert_eq!(world.sim.requests().len(), 1);
    assert_eq!(events_of(&world, "CleanupFailed").await, 1);
    assert_eq!(events_of(&world, "CredentialsInvalid").await, 1);
}

/// An old server does not tell a token's scopes; that the token only reads shows when it is to remove.
#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_missing_only_for_the_removal_ends_the_run_at_the_first_refusal() {
    let (world, operator, _) = two_repositories(&json!({})).await;
    world.sim.edit(read_only);
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::TokenSelf), answer(404, r#"{"error":"404 Not Found"}"#)));
    let status = world.run("shop", "one").await;
    assert_eq!(result(&status), RunResult::Failed);
    assert_eq!(World::condition(&status, "LastRunSucceeded"), "False/InsufficientScope");
    assert_eq!(World::condition(&status, "CredentialsValid"), "False/InsufficientScope");
    assert_eq!(World::condition(&status, "Ready"), "False/CredentialsInvalid");
    assert_eq!(asked_to_remove(&world).len(), 1, "the second repository is not asked for");
    for path in ["shop/backend/api", "shop/frontend/web"] {
        assert_eq!(repository(&status, path).0, "Skipped/NotReached");
        assert_eq!(super::entry(&status, path).next_eligible_time, None, "nothing was accepted");
    }

    world.sim.clear_faults();
    world.sim.edit(|registry| registry.token_mut(MARKER).unwrap().scopes = vec![Scope::Api]);
    let status = world.run("shop", "two").await;
    assert_eq!(result(&status), RunResult::Succeeded, "a refusal costs no hour");
    assert_eq!(asked_to_remove(&world).len(), 3);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_soon_works_and_is_told_once() {
    let world = World::start().await;
    world.sim.edit(|registry| registry.token_mut(MARKER).unwrap().expires_at = Some(date(2026, 12, 2)));
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let operator = Operator::start(&world).await;
    let status = world.ready("shop").await;
    assert_eq!(World::condition(&status, "CredentialsValid"), "True/TokenExpiringSoon");
    assert_eq!(status.token_expiration_time.as_ref().unwrap().0, "2026-12-02T00:00:00Z".parse().unwrap());

    world.preview("shop", "look again").await;
    world.sim.edit(|registry| registry.token_mut(MARKER).unwrap().expires_at = Some(date(2027, 12, 2)));
    let status = world.preview("shop", "after the rotation").await;
    assert_eq!(World::condition(&status, "CredentialsValid"), "True/TokenAccepted");
    assert_eq!(status.token_expiration_time.as_ref().unwrap().0, "2027-12-02T00:00:00Z".parse().unwrap());
    operator.stop().await;
    assert_eq!(events_of(&world, "TokenExpiringSoon").await, 1);
    assert_eq!(events_of(&world, "CredentialsRecovered").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_break_and_recover_are_told_once_each_time() {
    let (world, operator, _) = two_repositories(&json!({"mode": "DryRun"})).await;
    // Runs are named by when they began, and events by their run.
    let look = async |token: String| {
        world.sim.advance(SignedDuration::from_secs(1));
        world.run("shop", &token).await
    };
    for round in 1..=2 {
        world.sim.edit(revoke);
        for number in 0..3 {
            let status = look(format!("{round} broken {number}")).await;
            assert_eq!(World::condition(&status, "CredentialsValid"), "False/TokenRevoked");
        }
        world.sim.edit(|registry| registry.token_mut(MARKER).unwrap().revoked = false);
        for number in 0..2 {
            let status = look(format!("{round} whole {number}")).await;
            assert_eq!(World::condition(&status, "CredentialsValid"), "True/TokenAccepted");
            assert_eq!(World::condition(&status, "Ready"), "True/Scheduled");
        }
    }
    operator.stop().await;
    assert_eq!(events_of(&world, "CredentialsInvalid").await, 2);
    assert_eq!(events_of(&world, "CredentialsRecovered").await, 2);
}
