//! The admin API.

use gitlab_simulator::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::shop::{Reply, Shop, send};

async fn admin(shop: &Shop, method: Method, path: &str, body: Option<Value>) -> Reply {
    let request = shop.client.request(method, format!("{}/-/simulator/{path}", shop.sim.url()));
    send(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

#[tokio::test]
async fn everything_a_script_needs_is_there() {
    let shop = Shop::open().await;
    assert_eq!(admin(&shop, Method::GET, "health", None).await.json()["status"], "ok");
    let push = json!({ "repository": shop.repository, "name": "v1", "at": "2024-01-01T00:00:00Z", "kind": "index" });
    assert_eq!(admin(&shop, Method::POST, "push", Some(push)).await.json()["kind"], "index");
    let push = json!({ "repository": "shop/backend/api", "name": "v2", "digest": "sha256:2", "size": 5 });
    assert_eq!(admin(&shop, Method::POST, "push", Some(push)).await.json()["size"], 5);
    let repositories = admin(&shop, Method::GET, "repositories", None).await.json();
    assert_eq!(repositories, json!([{ "id": shop.repository, "path": "shop/backend/api" }]));
    let by_path = admin(&shop, Method::GET, "tags?repository=shop%2Fbackend%2Fapi", None).await;
    assert_eq!(by_path.names(), ["v1", "v2"]);
    let by_id = admin(&shop, Method::GET, &format!("tags?repository={}", shop.repository), None).await;
    assert_eq!(by_id.json()[0]["created_at"], "2024-01-01T00:00:00Z");
    assert_eq!(admin(&shop, Method::GET, "tags?repository=1", None).await.status, 404);
}

#[tokio::test]
async fn the_clock_moves_and_runs_what_is_due() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1)]);
    assert_eq!(admin(&shop, Method::GET, "clock", None).await.json()["now"], "2025-03-01T12:00:00Z");
    shop.bulk(&json!({ "name_regex": ".*" })).await;
    let moved = admin(&shop, Method::POST, "clock/advance", Some(json!({ "seconds": 60 }))).await;
    assert_eq!(moved.json()["now"], "2025-03-01T12:01:00Z");
    let jobs = admin(&shop, Method::GET, "jobs", None).await.json();
    assert_eq!(jobs[0]["outcome"]["deleted"], json!(["v1"]));
}

#[tokio::test]
async fn requests_are_shown_and_forgotten_and_admin_calls_are_none() {
    let shop = Shop::open().await;
    shop.get(&shop.tags_path("")).await;
    let requests = admin(&shop, Method::GET, "requests", None).await.json();
    assert_eq!((requests.as_array().unwrap().len(), &requests[0]["endpoint"]), (1, &json!("ListTags")));
    admin(&shop, Method::DELETE, "requests", None).await;
    assert_eq!(admin(&shop, Method::GET, "requests", None).await.text, "[]");
}

#[tokio::test]
async fn faults_are_made_of_json() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1)]);
    let get = async || shop.get(&shop.tags_path("")).await;
    for (action, status) in [
        (json!({ "answer": { "status": 503 } }), 503),
        (json!({ "too_many_requests": { "retry_after": 3 } }), 429),
        (json!({ "redirect": { "location": "https://x.example.com" } }), 302),
        (json!({ "truncate_tags": { "keep": 0 } }), 200),
        (json!({ "delay": 1 }), 200),
        (json!({ "takes": 1 }), 200),
        (json!({ "slow_body": { "pause": 0 } }), 200),
        (json!({ "huge_body": { "bytes": 10 } }), 200),
        (json!("invalid_json"), 200),
    ] {
        let fault = json!({ "matcher": { "endpoint": "ListTags", "times": 1 }, "action": action });
        assert_eq!(admin(&shop, Method::POST, "faults", Some(fault)).await.status, 200);
        assert_eq!(get().await.status, status, "{action}");
        assert_eq!(get().await.names(), ["v1"]);
    }
    let fault = json!({ "matcher": {}, "action": { "answer": { "status": 500 } }, "point": "after_processing" });
    admin(&shop, Method::POST, "faults", Some(fault)).await;
    assert_eq!(get().await.status, 500);
    admin(&shop, Method::DELETE, "faults", None).await;
    assert_eq!(get().await.status, 200);
}

#[tokio::test]
async fn settings_change_one_by_one() {
    let shop = Shop::open().await;
    let change = json!({ "version": "16.3", "backend": "plain-registry", "job_delay": "5s" });
    let settings = admin(&shop, Method::POST, "settings", Some(change)).await.json();
    assert_eq!((&settings["version"], &settings["page_size"]), (&json!("16.3"), &json!(1000)));
    assert_eq!(admin(&shop, Method::GET, "settings", None).await.json(), settings);
    let wrong = admin(&shop, Method::POST, "settings", Some(json!({ "backend": "paper" }))).await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn a_bulk_deletion_can_be_run_as_anybody() {
    let shop = Shop::open().await;
    shop.push(&[("latest", 1), ("v1", 1)]);
    let run = async |user: Value, keep_latest: bool| {
        let params = json!({ "name_regex_delete": ".*", "keep_latest": keep_latest });
        let body = json!({ "repository": shop.repository, "user": user, "params": params });
        admin(&shop, Method::POST, "jobs/run", Some(body)).await.json()
    };
    shop.member(Some(Role::Reporter));
    assert_eq!(run(json!("user-Some(Reporter)"), true).await["outcome"]["message"], "access denied");
    let bot = shop.sim.read(|registry| registry.find_token(&shop.token).unwrap().user);
    assert_eq!(run(json!(bot), true).await["outcome"]["deleted"], json!(["v1"]));
    assert_eq!(run(json!(bot), false).await["outcome"]["deleted"], json!(["latest"]));
    assert_eq!(run(json!("nobody"), true).await["error"], "no such user");
    // Without a user only a cleanup policy runs.
    assert_eq!(run(Value::Null, true).await["outcome"]["status"], "ignored");
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let shop = Shop::open().await;
    assert_eq!(admin(&shop, Method::GET, "nothing", None).await.status, 404);
    assert_eq!(admin(&shop, Method::POST, "clock/advance", Some(json!({}))).await.status, 400);
    let push = json!({ "repository": "no/such", "name": "v1" });
    assert_eq!(admin(&shop, Method::POST, "push", Some(push)).await.status, 404);
}
