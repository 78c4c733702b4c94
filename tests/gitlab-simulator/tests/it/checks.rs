//! The order of the checks (gitlab-api reference 1.3) and the errors of each (1.4).

use gitlab_simulator::{Config, Endpoint, RateLimit, Role, Scope, Settings};
use reqwest::Method;
use serde_json::json;

use crate::shop::{Shop, send};

const BAD_REGEX: &str = "/tags?name_regex_delete=(";

fn bad_bulk(shop: &Shop) -> String {
    shop.path(&format!("/{}{BAD_REGEX}", shop.repository))
}

const BAD_REGEX_TEXT: &str = "name_regex_delete is an invalid regexp: missing ): (";

#[tokio::test]
async fn a_developer_with_an_invalid_regex_is_told_of_the_regex() {
    let shop = Shop::open().await;
    let developer = shop.member(Some(Role::Developer));
    send(shop.by(&developer, Method::DELETE, &bad_bulk(&shop))).await.is_error(400, BAD_REGEX_TEXT);
    let valid = shop.tags_path("?name_regex_delete=x");
    send(shop.by(&developer, Method::DELETE, &valid)).await.is_message(403, "403 Forbidden");
}

#[tokio::test]
async fn an_unknown_repository_with_an_invalid_regex_is_told_of_the_regex() {
    let shop = Shop::open().await;
    shop.delete(&shop.path(&format!("/1{BAD_REGEX}"))).await.is_error(400, BAD_REGEX_TEXT);
    shop.delete(&shop.path("/1/tags?name_regex_delete=x")).await.is_message(404, "404 Not found");
}

#[tokio::test]
async fn the_project_is_looked_up_before_the_parameters() {
    let shop = Shop::open().await;
    send(shop.anonymous(Method::DELETE, &bad_bulk(&shop))).await.is_message(404, "404 Project Not Found");
    let guest = shop.member(Some(Role::Guest));
    send(shop.by(&guest, Method::DELETE, &bad_bulk(&shop))).await.is_message(403, "403 Forbidden");
    shop.delete("/projects/shop%2Fnothing/registry/repositories/1/tags").await.is_message(404, "404 Project Not Found");
    shop.delete("/projects/999/registry/repositories/1/tags").await.is_message(404, "404 Project Not Found");
    shop.get("/groups/nothing/registry/repositories?page=x").await.is_message(404, "404 Group Not Found");
}

#[tokio::test]
async fn the_scope_is_checked_before_the_project() {
    let shop = Shop::open().await;
    let reader = shop.sim.edit(|registry| {
        let user = registry.user("reader");
        registry.personal_token(user, &[Scope::ReadApi])
    });
    let reply = send(shop.by(&reader, Method::DELETE, "/projects/999/registry/repositories/1/tags")).await;
    let expected = json!({
        "error": "insufficient_scope",
        "error_description": "The request requires higher privileges than provided by the access token.",
        "scope": "api",
    });
    reply.is(403, &expected);
}

#[tokio::test]
async fn throttling_comes_before_everything() {
    let limit = RateLimit { requests: 0, period_seconds: 60, headers_on_every_answer: false };
    let shop = Shop::with(Settings { rate_limit: Some(limit), ..Settings::default() }).await;
    let reply = send(shop.by("unknown", Method::GET, "/nowhere")).await;
    assert_eq!((reply.status, reply.text.as_str()), (429, "Retry later"));
    assert_eq!(reply.header("content-type"), Some("text/plain"));
}

#[tokio::test]
async fn refused_requests_leave_the_lease_alone() {
    let shop = Shop::open().await;
    let developer = shop.member(Some(Role::Developer));
    shop.delete(&bad_bulk(&shop)).await;
    shop.delete(&shop.tags_path("")).await;
    send(shop.by(&developer, Method::DELETE, &shop.tags_path("?name_regex=x"))).await;
    send(shop.anonymous(Method::DELETE, &shop.tags_path("?name_regex=x"))).await;
    assert!(shop.sim.requests().iter().all(|request| request.accepted.is_none()));
    assert_eq!(shop.bulk(&json!({ "name_regex": "x" })).await.status, 202);
    assert_eq!(shop.sim.requests_to(Endpoint::BulkDeleteTags).last().unwrap().accepted, Some(true));
}

#[tokio::test]
async fn a_repository_id_must_be_a_number() {
    let shop = Shop::open().await;
    for (method, below) in [
        (Method::DELETE, "/x"),
        (Method::GET, "/x/tags"),
        (Method::GET, "/x/tags/v1"),
        (Method::DELETE, "/x/tags/v1"),
        (Method::DELETE, "/x/tags?name_regex=a"),
    ] {
        let reply = send(shop.by(&shop.token, method, &shop.path(below))).await;
        reply.is_error(400, "repository_id is invalid");
    }
    // E3's segment must be digits, so this is no route.
    shop.get("/registry/repositories/x").await.is_error(404, "404 Not Found");
}

#[tokio::test]
async fn several_problems_are_told_in_one_text() {
    let shop = Shop::open().await;
    shop.bulk(&json!({ "name_regex_delete": "[", "name_regex": ")", "name_regex_keep": "a**", "keep_n": "x" }))
        .await
        .is_error(
            400,
            "name_regex_delete is an invalid regexp: missing ]: [, name_regex is an invalid regexp: unexpected ): ), \
             name_regex_keep is an invalid regexp: bad repetition operator: **, keep_n is invalid",
        );
    let reply = shop.get(&shop.path("?tags=maybe&tags_count=2&page=x&per_page=0")).await;
    reply.is_error(400, "tags is invalid, tags_count is invalid, page is invalid, per_page has a value not allowed");
}

#[tokio::test]
async fn parameters_may_travel_in_any_encoding() {
    for body in ["json", "form", "query", "multipart"] {
        let shop = Shop::open().await;
        shop.push(&[("a+b", 9), ("a b", 9)]);
        let request = shop.by(&shop.token, Method::DELETE, &shop.tags_path(""));
        let reply = match body {
            "json" => send(request.json(&json!({ "name_regex_delete": "a\\+b", "unknown": 1 }))).await,
            "form" => shop.bulk_form("name_regex_delete=a%5C%2Bb").await,
            "query" => shop.delete(&shop.tags_path("?name_regex_delete=a%5C%2Bb")).await,
            _ => {
                let part =
                    "--x\r\nContent-Disposition: form-data; name=\"name_regex_delete\"\r\n\r\na\\+b\r\n--x--\r\n";
                send(request.header("content-type", "multipart/form-data; boundary=x").body(part)).await
            }
        };
        assert_eq!(reply.status, 202, "{body}: {}", reply.text);
        shop.advance(60);
        assert_eq!(shop.tags(), ["a b"], "{body}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused() {
    let shop = Shop::open().await;
    let request = || shop.by(&shop.token, Method::DELETE, &shop.tags_path(""));
    let reply = send(request().header("content-type", "application/json").body("{")).await;
    assert_eq!(reply.status, 400);
    let reply = send(request().header("content-type", "text/plain").body("name_regex=x")).await;
    assert_eq!(reply.status, 415);
}

#[tokio::test]
async fn a_moved_project_redirects_reading_and_refuses_the_rest() {
    let config = Config { external_url: Some("https://gitlab.example.com".to_owned()), ..Config::default() };
    let shop = Shop::start(config).await;
    shop.sim.edit(|registry| registry.move_project(shop.project, "store/backend"));
    let old = shop.tags_path("?page=1");
    let reply = shop.get(&old).await;
    // Still a maintainer of `shop` only, so the project is not visible at its new place.
    reply.is_message(404, "404 Project Not Found");
    shop.sim.edit(|registry| {
        let bot = registry.find_token(&shop.token).unwrap().user;
        registry.set_role("store", bot, Some(Role::Maintainer));
    });
    let reply = shop.get(&old).await;
    assert_eq!(reply.status, 301);
    let below = format!("/{}/tags?page=1", shop.repository);
    let location = format!("https://gitlab.example.com/api/v4/projects/{}/registry/repositories{below}", shop.project);
    assert_eq!(reply.header("location"), Some(location.as_str()));
    shop.delete(&shop.tags_path("?name_regex=x"))
        .await
        .is_message(405, "Non GET methods are not allowed for moved projects");
    let moved = shop.get(&format!("/projects/store%2Fbackend/registry/repositories{below}")).await;
    assert_eq!(moved.status, 200);
    let repository = shop.get(&format!("/registry/repositories/{}", shop.repository)).await.json();
    assert_eq!(repository["path"], "store/backend/api");
}

#[tokio::test]
async fn projects_are_found_by_id_and_by_path_in_any_case() {
    let shop = Shop::open().await;
    for id in [shop.project.to_string(), "shop%2Fbackend".into(), "shop%2fbackend".into(), "Shop%2FBackend".into()] {
        assert_eq!(shop.get(&format!("/projects/{id}/registry/repositories")).await.status, 200, "{id}");
    }
    shop.get("/projects/shop/backend/registry/repositories").await.is_error(404, "404 Not Found");
}

#[tokio::test]
async fn a_repository_belongs_to_one_project() {
    let shop = Shop::open().await;
    let other = shop.sim.edit(|registry| registry.repository("shop/frontend/web"));
    shop.get(&shop.path(&format!("/{other}/tags"))).await.is_message(404, "404 Not found");
    assert_eq!(shop.get(&format!("/projects/shop%2Ffrontend/registry/repositories/{other}/tags")).await.status, 200);
}
