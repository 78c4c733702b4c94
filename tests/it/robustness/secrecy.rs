//! Neither a token nor anything that GitLab answers ever shows up in a log, a status or an event, but the reason of a
//! 400, and that without what may be a token.

use gitlab_simulator::{Action, Fault, Matcher};
use k8s_openapi::ByteString;
use rstest::rstest;
use serde_json::{Value, json};

use super::{operator, world_in_real_time};
use crate::support::change;
use crate::world::{MARKER, World, kubectl, service_account_kubeconfig};

/// What GitLab, or something in front of it, answers with.
const BODY: &str = "marker-body";
/// Why it refuses parameters.
const REASON: &str = "older_than is invalid";

fn answer(status: u16, body: &str) -> Action {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Action::Answer { status, headers, body: body.to_owned() }
}

fn every_way_to_answer_wrongly() -> Vec<(Action, Option<u64>)> {
    vec![
        (answer(401, r#"{"message":"marker-body"}"#), None),
        (answer(401, r#"{"error":"invalid_token","error_description":"marker-body expired"}"#), None),
        (answer(403, r#"{"error":"insufficient_scope","error_description":"marker-body"}"#), None),
        (answer(404, r#"{"message":"marker-body"}"#), None),
        (answer(400, &format!(r#"{{"error":"{REASON} {MARKER} https://marker-body"}}"#)), None),
        (answer(200, r#"{"marker-body": [}"#), None),
        (answer(200, r#"[{"id": 7, "path": "marker-body", "created_at": "marker-body"}]"#), None),
        (answer(500, "<html>marker-body</html>"), Some(1)),
        (Action::Redirect { location: "https://elsewhere.example.com/?marker-body".to_owned() }, None),
    ]
}

/// Runs everything that goes right and wrong with an operator that logs as much as it can.
async fn everything_it_tells(level: &str) -> (World, String) {
    let world = world_in_real_time().await;
    world.repository("shop/backend/api", &[("v1", 30), ("v2", 20), ("main", 1)]);
    world.secret("proxy", &[("address", "http://127.0.0.1:1"), ("username", "bot"), ("password", MARKER)]).await;
    world.secret("two-lines", &[("token", &format!("{MARKER}\n{MARKER}"))]).await;
    let rules = json!([{"name": "versions", "nameRegexDelete": "v.*", "olderThan": "7d"}]);
    world.apply(&world.policy("shop", &json!({"rules": rules}))).await.unwrap();
    for (name, pointer, value) in [
        ("proxied", "/gitlab/proxySecretRef", json!({"name": "proxy"})),
        ("no-token", "/gitlab/secretRef", json!({"name": "two-lines"})),
    ] {
        let mut policy = world.policy(name, &json!({}));
        change(&mut policy, pointer, &value);
        world.apply(&policy).await.unwrap();
    }
    let mut process = operator(&world, &["--log-level", level]).await;
    world.ready("shop").await;
    world.preview("shop", "right").await;
    world.run("shop", "right").await;
    for (number, (action, times)) in every_way_to_answer_wrongly().into_iter().enumerate() {
        world.sim.fault(Fault::new(Matcher { times, ..Matcher::any() }, action));
        world.run("shop", &number.to_string()).await;
        world.sim.clear_faults();
    }
    for name in ["proxied", "no-token"] {
        world.until(name, |status| World::condition(status, "Ready").starts_with("False")).await;
    }
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0));
    let log = process.log();
    (world, log)
}

#[rstest]
#[case::debug("debug")]
#[case::trace("trace")]
#[tokio::test(flavor = "multi_thread")]
async fn no_token_and_no_answer_of_gitlab_is_ever_told(#[case] level: &str) {
    let (world, log) = everything_it_tells(level).await;
    for expected in ["run begins", "run ended", r#""target":"audit""#, "policy is not ready", "\"level\":\"DEBUG\""] {
        assert!(log.contains(expected), "the log has no {expected}");
    }
    let answered: Vec<Option<u16>> = world.sim.requests().into_iter().map(|request| request.status).collect();
    for status in [401, 403, 404, 400, 500, 302] {
        assert!(answered.contains(&Some(status)), "nobody was answered {status}");
    }

    let objects = world.kubectl(&["get", "rcp,events.events.k8s.io", "--output", "yaml"]);
    assert!(objects.contains("CredentialsInvalid") && objects.contains("CleanupFailed"), "{objects}");
    let account = std::fs::read_to_string(service_account_kubeconfig().await).unwrap();
    let account: Value = serde_json::from_str(&account).unwrap();
    let account_token = account.pointer("/users/0/user/token").and_then(Value::as_str).unwrap().to_owned();
    let encoded = |text: &str| serde_json::to_value(ByteString(text.as_bytes().to_vec())).unwrap();
    let encoded_token = encoded(MARKER).as_str().unwrap().trim_end_matches('=').to_owned();
    assert!(
        kubectl(world.cluster, &["get", "secret", "token", "-n", &world.namespace, "-o", "yaml"])
            .contains(&encoded_token)
    );
    assert!(log.contains(REASON), "the log does not say why GitLab refused");
    for secret in [MARKER, &encoded_token, BODY, &account_token] {
        for (place, text) in [("log", &log), ("objects", &objects)] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} in the {place}");
        }
    }
}
