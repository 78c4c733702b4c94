//! Faults, holds and the request log.

use std::time::Duration;

use gitlab_simulator::{Action, Endpoint, Fault, HoldPoint, Matcher};
use reqwest::Method;
use serde_json::json;

use crate::shop::{Shop, send, soon};

fn tags() -> Matcher {
    Matcher::endpoint(Endpoint::ListTags)
}

#[tokio::test]
async fn an_answer_is_replaced_only_for_its_request() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1)]);
    let action = Action::Answer {
        status: 502,
        headers: vec![("content-type".into(), "text/html".into())],
        body: "<h1>Bad gateway</h1>".into(),
    };
    shop.sim.fault(Fault::new(tags().nth(2), action));
    let mut seen = Vec::new();
    for _ in 0..3 {
        shop.get(&shop.path("")).await;
        seen.push(shop.get(&shop.tags_path("")).await.status);
    }
    assert_eq!(seen, [200, 502, 200]);
    shop.sim.fault(Fault::new(tags(), Action::InvalidJson));
    assert!(serde_json::from_str::<serde_json::Value>(&shop.get(&shop.tags_path("")).await.text).is_err());
    shop.sim.clear_faults();
    assert_eq!(shop.get(&shop.tags_path("")).await.names(), ["v1"]);
}

#[tokio::test]
async fn a_fault_may_be_about_one_repository_and_some_calls() {
    let shop = Shop::open().await;
    let other = shop.sim.edit(|registry| registry.repository("shop/backend/worker"));
    let matcher = Matcher::any().repository(other).times(2);
    shop.sim.fault(Fault::new(matcher, Action::TooManyRequests { retry_after: Some(7) }));
    let path = shop.path(&format!("/{other}/tags"));
    let reply = shop.get(&path).await;
    assert_eq!((reply.status, reply.text.as_str(), reply.header("retry-after")), (429, "Retry later", Some("7")));
    assert_eq!(shop.get(&shop.tags_path("")).await.status, 200);
    assert_eq!(shop.get(&path).await.status, 429);
    assert_eq!(shop.get(&path).await.status, 200);
    shop.sim.fault(Fault::new(Matcher::any(), Action::TooManyRequests { retry_after: None }));
    assert_eq!(shop.get(&path).await.header("retry-after"), None);
}

#[tokio::test]
async fn a_dropped_connection_gives_no_answer() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1)]);
    shop.sim.fault(Fault::new(Matcher::endpoint(Endpoint::DeleteTag).times(1), Action::DropConnection));
    assert!(shop.by(&shop.token, Method::DELETE, &shop.tags_path("/v1")).send().await.is_err());
    assert_eq!(shop.tags(), ["v1"]);
    assert_eq!(shop.sim.requests_to(Endpoint::DeleteTag)[0].status, None);
    assert_eq!(shop.delete(&shop.tags_path("/v1")).await.status, 200);
}

#[tokio::test]
async fn a_connection_may_drop_after_the_server_has_acted() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1)]);
    let matcher = Matcher::endpoint(Endpoint::BulkDeleteTags).times(1);
    shop.sim.fault(Fault::new(matcher, Action::DropConnection).after_processing());
    let request = shop.by(&shop.token, Method::DELETE, &shop.tags_path("?name_regex=.*"));
    assert!(request.send().await.is_err());
    assert_eq!(shop.sim.requests_to(Endpoint::BulkDeleteTags)[0].accepted, Some(true));
    assert_eq!(shop.bulk(&json!({ "name_regex": ".*" })).await.status, 400);
    shop.advance(60);
    assert!(shop.tags().is_empty());
}

#[tokio::test]
async fn a_truncated_list_leaves_the_count_right_or_not() {
    let shop = Shop::open().await;
    shop.push(&[("a", 1), ("b", 1), ("c", 1)]);
    let count = format!("/registry/repositories/{}?tags_count=true", shop.repository);
    shop.sim.fault(Fault::new(tags(), Action::TruncateTags { keep: 1 }));
    let reply = shop.get(&shop.tags_path("")).await;
    assert_eq!((reply.names(), reply.header("x-total")), (vec!["a".to_owned()], Some("1")));
    let keyset = shop.get(&shop.tags_path("?pagination=keyset&per_page=1")).await;
    assert_eq!((keyset.names(), keyset.header("link")), (vec!["a".to_owned()], None));
    assert_eq!(shop.get(&count).await.json()["tags_count"], 3);
    shop.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GetRepository), Action::TruncateTags { keep: 0 }));
    assert_eq!(shop.get(&count).await.json()["tags_count"], 0);
    shop.sim.clear_faults();
    // A tag beyond the end of the list is missing, too.
    shop.sim.fault(Fault::new(Matcher::endpoint(Endpoint::GetTag), Action::TruncateTags { keep: 1 }));
    assert_eq!(shop.get(&shop.tags_path("/b")).await.status, 404);
}

#[tokio::test]
async fn a_huge_body_is_announced_and_can_be_left() {
    let shop = Shop::open().await;
    shop.sim.fault(Fault::new(tags(), Action::HugeBody { bytes: 1 << 30 }));
    let mut response = shop.by(&shop.token, Method::GET, &shop.tags_path("")).send().await.unwrap();
    assert_eq!(response.content_length(), Some(1 << 30));
    let piece = response.chunk().await.unwrap().unwrap();
    assert!(piece.starts_with(b"[") && piece.len() < 1 << 20);
    drop(response);
    assert_eq!(shop.get(&shop.path("")).await.status, 200);
}

#[tokio::test]
async fn a_huge_body_ends_at_its_length() {
    let shop = Shop::open().await;
    shop.sim.fault(Fault::new(tags(), Action::HugeBody { bytes: 200_001 }));
    assert_eq!(shop.get(&shop.tags_path("")).await.text.len(), 200_001);
}

#[tokio::test]
async fn a_redirect_names_another_origin() {
    let shop = Shop::open().await;
    let location = "https://elsewhere.example.com/api/v4".to_owned();
    shop.sim.fault(Fault::new(tags(), Action::Redirect { location: location.clone() }));
    let reply = shop.get(&shop.tags_path("")).await;
    assert_eq!((reply.status, reply.header("location")), (302, Some(location.as_str())));
}

#[tokio::test]
async fn a_slow_or_delayed_answer_is_still_the_right_one() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1)]);
    shop.sim.fault(Fault::new(tags().times(1), Action::SlowBody { pause: Duration::from_micros(10) }));
    shop.sim.fault(Fault::new(tags().nth(2), Action::Delay(Duration::from_millis(1))));
    for _ in 0..2 {
        assert_eq!(shop.get(&shop.tags_path("")).await.names(), ["v1"]);
    }
}

#[tokio::test]
async fn a_request_held_before_processing_has_changed_nothing() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1)]);
    let hold = shop.sim.hold(Matcher::endpoint(Endpoint::DeleteTag), HoldPoint::BeforeProcessing);
    let path = shop.tags_path("/v1");
    let request = tokio::spawn(send(shop.by(&shop.token, Method::DELETE, &path)));
    soon(hold.reached()).await;
    assert_eq!((shop.tags(), hold.count()), (vec!["v1".to_owned()], 1));
    assert_eq!(shop.sim.requests_to(Endpoint::DeleteTag)[0].status, None);
    hold.release();
    assert_eq!(request.await.unwrap().status, 200);
    assert!(shop.tags().is_empty());
}

#[tokio::test]
async fn a_request_held_after_processing_is_accepted_but_unanswered() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1)]);
    let hold = shop.sim.hold(Matcher::endpoint(Endpoint::BulkDeleteTags), HoldPoint::AfterProcessing);
    let path = shop.tags_path("?name_regex=.*");
    let request = tokio::spawn(send(shop.by(&shop.token, Method::DELETE, &path)));
    soon(hold.reached()).await;
    let record = &shop.sim.requests_to(Endpoint::BulkDeleteTags)[0];
    assert_eq!((record.accepted, record.status), (Some(true), None));
    // The client dies: the job runs all the same.
    request.abort();
    drop(hold);
    shop.advance(60);
    assert!(shop.tags().is_empty());
    assert_eq!(shop.bulk(&json!({ "name_regex": "x" })).await.status, 400);
}

/// A slow server: it accepts long after the client has given up, and the hour counts from then.
#[tokio::test]
async fn a_request_whose_client_has_left_is_accepted_all_the_same_and_its_hour_begins_then() {
    let shop = Shop::open().await;
    let bulk = Matcher::endpoint(Endpoint::BulkDeleteTags);
    let hold = shop.sim.hold(bulk, HoldPoint::BeforeProcessing);
    let path = shop.tags_path("?name_regex=.*");
    let request = tokio::spawn(send(shop.by(&shop.token, Method::DELETE, &path)));
    soon(hold.reached()).await;
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    shop.advance(50);
    drop(hold);
    let record = soon(shop.sim.wait_for(|record| record.accepted.is_some())).await;
    assert_eq!(record.accepted, Some(true));
    assert_eq!(record.accepted_at, record.at.checked_add(jiff::SignedDuration::from_secs(50)).ok());
    shop.advance(3599);
    assert_eq!(shop.bulk(&json!({ "name_regex": "x" })).await.status, 400);
    shop.advance(1);
    assert_eq!(shop.bulk(&json!({ "name_regex": "x" })).await.status, 202);
}

#[tokio::test]
async fn a_released_hold_holds_no_more() {
    let shop = Shop::open().await;
    let hold = shop.sim.hold(Matcher::any(), HoldPoint::BeforeProcessing);
    drop(hold);
    assert_eq!(shop.get(&shop.path("")).await.status, 200);
}

#[tokio::test]
async fn the_log_tells_everything_but_the_token() {
    let shop = Shop::open().await;
    let request = shop.by(&shop.token, Method::DELETE, &shop.tags_path("?keep_n=5&private_token=x"));
    send(request.header("user-agent", "operator/1").json(&json!({ "name_regex_delete": "a" }))).await;
    let record = shop.sim.requests().remove(0);
    assert_eq!(record.sequence, 1);
    assert_eq!((record.method.as_str(), record.endpoint), ("DELETE", Endpoint::BulkDeleteTags));
    let raw = format!("/api/v4/projects/shop%2Fbackend/registry/repositories/{}/tags", shop.repository);
    assert_eq!(record.path, raw);
    assert_eq!((record.namespace.as_deref(), record.repository), (Some("shop/backend"), Some(shop.repository)));
    assert_eq!(record.params, json!({ "keep_n": "5", "name_regex_delete": "a" }));
    assert_eq!((record.user_agent.as_deref(), record.token.as_deref()), (Some("operator/1"), Some("shop-maintainer")));
    assert_eq!((record.status, record.accepted), (Some(202), Some(true)));
    shop.sim.clear_requests();
    shop.get(&shop.tags_path("/v1")).await;
    let record = shop.sim.requests().remove(0);
    assert_eq!((record.sequence, record.tag.as_deref(), record.status), (2, Some("v1"), Some(404)));
}

#[tokio::test]
async fn a_test_can_wait_for_a_request() {
    let shop = Shop::open().await;
    let path = shop.tags_path("");
    let request = tokio::spawn(send(shop.by(&shop.token, Method::GET, &path)));
    let answered = shop.sim.wait_for(|record| record.endpoint == Endpoint::ListTags && record.status.is_some());
    let record = soon(answered).await;
    assert_eq!(record.status, Some(200));
    assert_eq!(request.await.unwrap().status, 200);
}

#[tokio::test]
async fn an_answer_that_takes_a_while_moves_the_clock_and_nobody_waits() {
    let shop = Shop::open().await;
    let begun = shop.sim.clock().now();
    shop.sim.fault(Fault::new(tags().nth(2), Action::Takes(Duration::from_millis(300))));
    for expected in [0, 300, 300] {
        assert_eq!(shop.get(&shop.tags_path("")).await.status, 200);
        assert_eq!(shop.sim.clock().now().duration_since(begun).as_millis(), expected);
    }
}
