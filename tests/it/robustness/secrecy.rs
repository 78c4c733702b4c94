//! Neither a token nor anything that GitLab answers ever shows up in a log, a status or an event, but the reason of a
//! 400, and that without what may be a token.

use gitlab_simulator::{Action, Fault, Matcher};
use k8s_openapi::ByteString;
use rstest::rstest;
use serde_json::{Value, json};

use super::{Process, process, world_in_real_time};
use crate::history::{account, history};
use crate::logs::{complaints, documented, schema};
use crate::plan::plan_from_cluster;
use crate::support::change;
use crate::world::{MARKER, World, kubectl, output};

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

/// What an operator told, by where it did.
type Told = Vec<(&'static str, String)>;

/// Runs everything that goes right and wrong with an operator that logs as much as it can.
async fn everything_it_tells(level: &str) -> (World, Told) {
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
    let kubeconfig = account(&world, true);
    let name = world.namespace.as_str();
    let lease = ["--leader-election-namespace", name, "--leader-election-name", name];
    let scope = ["--watch-namespace", name, "--in-use-scope", "WatchedNamespaces"].into_iter().chain(lease);
    let arguments: Vec<&str> = ["--log-level", level, "--history-limit", "9"].into_iter().chain(scope).collect();
    let mut process = process(&kubeconfig, &arguments);
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
    let metrics = metrics(&process).await;
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0));
    let mut told = vec![("log", process.log()), ("metrics", metrics)];
    told.push(("objects", world.kubectl(&["get", "rcp,events.events.k8s.io,configmaps", "--output", "yaml"])));
    told.extend(printed(&world));
    (world, told)
}

async fn metrics(process: &Process) -> String {
    let log = process.log();
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let listen = lines.find_map(|line| line["listen"].as_str().map(str::to_owned)).unwrap();
    reqwest::get(format!("http://{listen}/metrics")).await.unwrap().text().await.unwrap()
}

/// What the commands print, also of a GitLab that answers wrongly.
fn printed(world: &World) -> Told {
    let kubeconfig = world.cluster.kubeconfig();
    let mut told = Vec::new();
    for wrong in [false, true] {
        if wrong {
            world.sim.fault(Fault::new(Matcher::any(), answer(401, r#"{"message":"marker-body"}"#)));
        }
        for format in ["table", "json", "yaml", "markdown"] {
            let mut plan = plan_from_cluster(world, kubeconfig, "shop", &["-o", format]);
            plan.args(["--max-requests-per-second-per-host", "1000"]);
            let (ok, text) = output(&mut plan);
            assert_eq!(ok, !wrong, "{text}");
            told.push(("plan", text));
        }
    }
    let (ok, runs) = history(world, kubeconfig, &["-o", "json"]);
    assert!(ok, "{runs}");
    let listed: Value = serde_json::from_str(&runs).unwrap();
    let run = listed[0]["run"].as_str().unwrap().to_owned();
    told.push(("history", runs));
    told.push(("record", history(world, kubeconfig, &[&run]).1));
    told
}

#[rstest]
#[case::debug("debug")]
#[case::trace("trace")]
#[tokio::test(flavor = "multi_thread")]
async fn no_token_and_no_answer_of_gitlab_is_ever_told(#[case] level: &str) {
    let (world, told) = everything_it_tells(level).await;
    let of = |place: &str| told.iter().find(|(of, _)| *of == place).map(|(_, text)| text.clone()).unwrap();
    let (log, objects) = (of("log"), of("objects"));
    assert!(of("record").contains("v1") && of("metrics").contains("registry_cleanup_policy_info"));
    for expected in ["run begins", "run ended", r#""target":"audit""#, "policy is not ready", "\"level\":\"DEBUG\""] {
        assert!(log.contains(expected), "the log has no {expected}");
    }
    let answered: Vec<Option<u16>> = world.sim.requests().into_iter().map(|request| request.status).collect();
    for status in [401, 403, 404, 400, 500, 302] {
        assert!(answered.contains(&Some(status)), "nobody was answered {status}");
    }

    assert!(objects.contains("CredentialsInvalid") && objects.contains("CleanupFailed"), "{objects}");
    let account = world.cluster.service_account_kubeconfig(&world.namespace, "keeper").unwrap();
    let account = std::fs::read_to_string(account).unwrap();
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
        for (place, text) in &told {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} in the {place}");
        }
    }
    every_line_is_as_documented(&log);
}

/// Lines of the operator itself have the keys of docs/logs.md, those of a run say which, and those of the audit trail
/// fit their schema.
fn every_line_is_as_documented(log: &str) {
    let (keys, schema) = (documented(), schema());
    let mut audited = 0;
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let target = line["target"].as_str().unwrap();
        if target == "audit" {
            audited += 1;
            assert_eq!(complaints(&schema, &line), [""; 0], "{line}");
        } else if target.starts_with("registry_cleanup_operator") {
            let more: Vec<&String> = line.as_object().unwrap().keys().filter(|key| !keys.contains(*key)).collect();
            assert!(more.is_empty(), "{more:?} in {line}");
            if target.starts_with("registry_cleanup_operator::controller::run") {
                assert!(["run", "namespace", "policy"].iter().all(|key| line[key].is_string()), "{line}");
            }
        }
    }
    assert!(audited > 3);
}
