//! What is told when one status follows another, and what the message has in it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::policy::compile::tests::spec;

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn status(value: Value) -> PolicyStatus {
    serde_json::from_value(value).unwrap()
}

fn policy(old: Value) -> RegistryCleanupPolicy {
    let mut policy = RegistryCleanupPolicy::new("shop", spec(&json!({})));
    policy.metadata.namespace = Some("team".to_owned());
    policy.metadata.uid = Some("uid-1".to_owned());
    policy.status = serde_json::from_value(old).unwrap();
    policy
}

/// What is told when one status follows another.
fn told(old: Value, new: Value) -> Vec<Notification> {
    of_change(&policy(old), &status(new), now())
}

fn subjects(old: Value, new: Value) -> Vec<Subject> {
    told(old, new).into_iter().map(|notification| notification.subject).collect()
}

fn body(notification: &Notification) -> Value {
    serde_json::from_slice(&notification.body).unwrap()
}

fn run(id: &str, result: &str) -> Value {
    json!({"lastRun": {
        "id": id, "trigger": "Schedule", "mode": "Delete", "gitlab": "https://gitlab.example.com",
        "observedGeneration": 1, "startTime": "2026-11-22T11:58:00Z", "completionTime": "2026-11-22T11:59:00Z",
        "result": result, "message": "1 of 2 repositories failed", "summary": "41 removed",
        "repositories": {"total": 2, "changed": 1, "unchanged": 0, "skipped": 0, "failed": 1, "deleted": 0},
    }})
}

fn pending(hash: &str) -> Value {
    json!({"pendingApproval": {"planHash": hash, "tags": 5, "repositories": 1, "time": "2026-11-22T11:58:00Z"}})
}

fn token(reason: &str, expires: &str) -> Value {
    let valid = if reason == "TokenExpired" { "False" } else { "True" };
    json!({
        "conditions": [{"type": "CredentialsValid", "status": valid, "reason": reason,
            "message": "GitLab takes the token until 2026-12-02", "lastTransitionTime": "2026-11-01T00:00:00Z"}],
        "tokenExpirationTime": expires,
    })
}

fn expiring_token(expires: &str) -> Value {
    token("TokenExpiringSoon", expires)
}

const SOON: &str = "2026-12-02T00:00:00Z";
const LATER: &str = "2026-12-04T00:00:00Z";

#[rstest]
#[case::the_first_run(Value::Null, run("a", "Failed"), &[Subject::RunFailed])]
#[case::a_run_under_way(run("a", "Running"), run("a", "Failed"), &[Subject::RunFailed])]
#[case::some_of_it(run("a", "Running"), run("a", "PartiallyFailed"), &[Subject::RunFailed])]
#[case::the_next_one(run("a", "Failed"), run("b", "Failed"), &[Subject::RunFailed])]
#[case::one_that_was_given_up_too_early(run("a", "Interrupted"), run("a", "Failed"), &[Subject::RunFailed])]
#[case::the_same_one(run("a", "Failed"), run("a", "Failed"), &[])]
#[case::one_that_succeeded(run("a", "Running"), run("a", "Succeeded"), &[])]
#[case::one_that_was_interrupted(run("a", "Running"), run("a", "Interrupted"), &[])]
#[case::one_that_begins(run("a", "Failed"), run("b", "Running"), &[])]
#[case::a_plan(Value::Null, pending("p1"), &[Subject::PlanWaits])]
#[case::another_plan(pending("p1"), pending("p2"), &[Subject::PlanWaits])]
#[case::the_same_plan(pending("p1"), pending("p1"), &[])]
#[case::no_plan_any_more(pending("p1"), json!({}), &[])]
#[case::a_token(Value::Null, expiring_token(SOON), &[Subject::TokenExpires])]
#[case::a_token_that_comes_near(token("TokenAccepted", SOON), expiring_token(SOON), &[Subject::TokenExpires])]
#[case::another_token(expiring_token(SOON), expiring_token(LATER), &[Subject::TokenExpires])]
#[case::the_same_token(expiring_token(SOON), expiring_token(SOON), &[])]
#[case::a_token_that_lasts(expiring_token(SOON), token("TokenAccepted", "2027-12-02T00:00:00Z"), &[])]
#[case::a_token_that_has_expired(expiring_token(SOON), token("TokenExpired", SOON), &[])]
fn only_what_the_status_did_not_say_before_is_told(
    #[case] old: Value,
    #[case] new: Value,
    #[case] expected: &[Subject],
) {
    assert_eq!(subjects(old, new), expected);
}

#[test]
fn an_id_is_always_the_same_for_an_occurrence_and_no_other() {
    let id = |new: Value| told(Value::Null, new).remove(0).id;
    let occurrences = [
        run("a", "Failed"),
        run("b", "Failed"),
        pending("a"),
        pending("b"),
        expiring_token(SOON),
        expiring_token(LATER),
    ];
    let all: BTreeSet<String> = occurrences.iter().cloned().map(id).collect();
    assert_eq!(all.len(), occurrences.len());
    assert!(all.iter().all(|id| id.len() == 32 && id.chars().all(|digit| digit.is_ascii_hexdigit())), "{all:?}");
    // However the process came to it, and whatever the policy is called.
    let again = told(run("a", "Running"), run("a", "PartiallyFailed")).remove(0).id;
    assert_eq!(again, id(run("a", "Failed")));
    let mut other = policy(Value::Null);
    other.metadata.uid = Some("uid-2".to_owned());
    assert_ne!(of_change(&other, &status(run("a", "Failed")), now()).remove(0).id, again);
}

#[test]
fn a_run_that_failed_is_told_with_what_failed() {
    let mut new = run("a", "PartiallyFailed");
    new["repositories"] = json!([
        {"path": "shop/backend/api", "id": 7, "result": "Failed", "reason": "RegistryError", "message": "500"},
        {"path": "shop/backend/web", "id": 8, "result": "Changed"},
    ]);
    let told = told(Value::Null, new).remove(0);
    let expected = json!({
        "specversion": "1.0",
        "id": told.id,
        "source": "/apis/registrycleanup.dev/v1alpha1/namespaces/team/registrycleanuppolicies/shop",
        "type": "dev.registrycleanup.run.failed.v1",
        "time": "2026-11-22T11:59:00Z",
        "datacontenttype": "application/json",
        "data": {
            "policy": {"namespace": "team", "name": "shop", "uid": "uid-1"},
            "message": "1 of 2 repositories failed",
            "run": {
                "id": "a", "trigger": "Schedule", "mode": "Delete", "result": "PartiallyFailed",
                "gitlab": "https://gitlab.example.com", "startTime": "2026-11-22T11:58:00Z",
                "completionTime": "2026-11-22T11:59:00Z", "summary": "41 removed",
                "tags": {"scanned": 0, "matched": 0, "requested": 0, "confirmed": 0, "inUse": 0},
                "repositories": {"total": 2, "changed": 1, "unchanged": 0, "skipped": 0, "failed": 1, "deleted": 0},
            },
            "repositories": [{"path": "shop/backend/api", "reason": "RegistryError", "message": "500"}],
            "repositoriesOmitted": 0,
        },
    });
    assert_eq!(body(&told), expected);
}

#[test]
fn a_plan_that_waits_is_told_with_the_annotation_that_approves_of_it() {
    let mut new = pending("0123abcd");
    new["repositories"] =
        json!([{"path": "shop/backend/api", "id": 7, "result": "Changed", "tags": {"matched": 5}, "samples": ["v1"]}]);
    let told = body(&told(Value::Null, new).remove(0));
    assert_eq!(told["type"], "dev.registrycleanup.plan.waiting.v1");
    assert_eq!(
        told["data"],
        json!({
            "policy": {"namespace": "team", "name": "shop", "uid": "uid-1"},
            "message": "5 tags of 1 repositories wait for an approval: annotate the policy with \
                        registrycleanup.dev/approve=0123abcd",
            "plan": {"hash": "0123abcd", "tags": 5, "repositories": 1, "time": "2026-11-22T11:58:00Z"},
            "repositories": [{"path": "shop/backend/api", "tags": 5, "samples": ["v1"]}],
            "repositoriesOmitted": 0,
        })
    );
}

#[test]
fn a_token_that_expires_is_told_with_the_secret_that_holds_it() {
    let told = body(&told(Value::Null, expiring_token(SOON)).remove(0));
    assert_eq!(
        (&told["type"], &told["time"]),
        (&json!("dev.registrycleanup.token.expiring.v1"), &json!("2026-11-22T12:00:00Z"))
    );
    assert_eq!(
        told["data"],
        json!({
            "policy": {"namespace": "team", "name": "shop", "uid": "uid-1"},
            "message": "GitLab takes the token until 2026-12-02",
            "token": {"expirationTime": SOON, "gitlab": "https://gitlab.example.com", "secret": "token"},
        })
    );
}

#[test]
fn a_long_list_is_cut_and_the_body_says_so() {
    let repository = |number: u32| {
        let samples: Vec<String> = (0..10).map(|sample| format!("{sample:0>128}")).collect();
        json!({"path": format!("{number:0>512}"), "id": 1, "result": "Changed", "samples": samples})
    };
    let mut new = pending("p");
    new["pendingApproval"]["repositories"] = json!(300);
    new["repositories"] = (0..50).map(repository).collect();
    let notification = told(Value::Null, new).remove(0);
    let length = notification.body.len();
    assert!(length <= MAX_BODY && length > MAX_BODY - 2000, "as many as fit: {length}");
    let told = body(&notification);
    let named = told["data"]["repositories"].as_array().unwrap().len();
    assert!((20..50).contains(&named), "{named}");
    assert_eq!(told["data"]["repositoriesOmitted"], 300 - named);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever a status holds, also one that no API server lets in.
    #[test]
    fn no_body_is_longer_than_a_receiver_takes(
        text in prop_oneof!["\\PC{0,3000}", "[\u{1}-\u{1f}\"\\\\]{0,3000}"], repositories in 0_usize..120,
    ) {
        let named = |number: usize| json!({
            "path": text, "id": number + 1, "result": if number.is_multiple_of(2) { "Failed" } else { "Changed" },
            "reason": text, "message": text, "samples": vec![text.clone(); 12],
        });
        let mut new = run(&text, "Failed");
        for more in [pending(&text), expiring_token(SOON)] {
            for (key, value) in more.as_object().unwrap() {
                new[key] = value.clone();
            }
        }
        new["repositories"] = (0..repositories).map(named).collect();
        new["conditions"][0]["message"] = json!(text);
        for field in ["gitlab", "message", "summary"] {
            new["lastRun"][field] = json!(text);
        }
        let mut live = policy(Value::Null);
        live.metadata.name = Some(text.clone());
        live.spec.gitlab.url.clone_from(&text);
        let told = of_change(&live, &status(new), now());
        prop_assert_eq!(told.len(), 3);
        for notification in told {
            prop_assert!(notification.body.len() <= MAX_BODY);
            let told = body(&notification);
            let named = told["data"]["repositories"].as_array().map_or(0, Vec::len) as u64;
            let omitted = told["data"]["repositoriesOmitted"].as_u64().unwrap_or_default();
            let of_repositories = notification.subject != Subject::TokenExpires;
            prop_assert!(!of_repositories || named + omitted >= (repositories / 2) as u64);
        }
    }
}
