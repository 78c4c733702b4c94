//! Throttled requests (gitlab-api reference 6).

use gitlab_simulator::{RateLimit, Settings};
use reqwest::Method;

use crate::shop::{Shop, send};

async fn limited(every_answer: bool) -> Shop {
    let limit = RateLimit { requests: 2, period_seconds: 3600, headers_on_every_answer: every_answer };
    Shop::with(Settings { rate_limit: Some(limit), ..Settings::default() }).await
}

#[tokio::test]
async fn the_third_request_of_two_is_refused_with_its_headers() {
    let shop = limited(false).await;
    for _ in 0..2 {
        let reply = shop.get("/version").await;
        assert_eq!((reply.status, reply.header("ratelimit-limit")), (200, None));
    }
    let reply = shop.get("/version").await;
    assert_eq!((reply.status, reply.text.as_str()), (429, "Retry later"));
    for (name, value) in [
        ("retry-after", "3600"),
        // Two an hour, normalised to a minute and rounded up.
        ("ratelimit-limit", "1"),
        ("ratelimit-name", "throttle_authenticated_api"),
        ("ratelimit-observed", "3"),
        ("ratelimit-remaining", "0"),
        ("ratelimit-reset", "1740834000"),
        ("ratelimit-resettime", "Sat, 01 Mar 2025 13:00:00 GMT"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn the_window_ends_with_the_clock() {
    let shop = limited(false).await;
    for _ in 0..3 {
        shop.get("/version").await;
    }
    shop.advance(3599);
    assert_eq!(shop.get("/version").await.header("retry-after"), Some("1"));
    shop.advance(1);
    assert_eq!(shop.get("/version").await.status, 200);
}

#[tokio::test]
async fn callers_are_counted_apart() {
    let shop = limited(true).await;
    for _ in 0..3 {
        shop.get("/version").await;
    }
    let reply = send(shop.anonymous(Method::GET, "/version")).await;
    assert_eq!(reply.status, 401);
    assert_eq!(reply.header("ratelimit-name"), Some("throttle_unauthenticated_api"));
    assert_eq!(reply.header("ratelimit-remaining"), Some("1"));
}
