//! Offset and keyset pages (gitlab-api reference 4).

use gitlab_simulator::{Backend, Config, Push, Settings, TagOrder};
use serde_json::json;

use crate::shop::Shop;

fn number(shop: &Shop, count: usize) {
    shop.sim.edit(|registry| {
        for index in 0..count {
            registry.push(shop.repository, &format!("t{index:06}"), Push::default().digest("sha256:0").size(1));
        }
    });
}

#[tokio::test]
async fn an_offset_page_tells_where_it_is() {
    let shop = Shop::start(Config { external_url: Some("https://git.example.com/".into()), ..Config::default() }).await;
    number(&shop, 45);
    let reply = shop.get(&shop.tags_path("?page=2&x=a+b")).await;
    assert_eq!(reply.names().len(), 20);
    assert_eq!(reply.names()[0], "t000020");
    for (name, value) in [
        ("x-per-page", "20"),
        ("x-page", "2"),
        ("x-next-page", "3"),
        ("x-prev-page", "1"),
        ("x-total", "45"),
        ("x-total-pages", "3"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    let id = shop.repository;
    let link = |page: u8, relation: &str| {
        format!(
            "<https://git.example.com/api/v4/projects/shop%2Fbackend/registry/repositories/{id}/tags?id=shop%2Fbackend&\
             page={page}&per_page=20&repository_id={id}&x=a+b>; rel=\"{relation}\""
        )
    };
    let links = [link(1, "prev"), link(3, "next"), link(1, "first"), link(3, "last")].join(", ");
    assert_eq!(reply.header("link"), Some(links.as_str()));
}

#[tokio::test]
async fn the_last_page_has_an_empty_next_page() {
    let shop = Shop::open().await;
    number(&shop, 21);
    let reply = shop.get(&shop.tags_path("?page=2")).await;
    assert_eq!(reply.names(), ["t000020"]);
    assert_eq!(reply.header("x-next-page"), Some(""));
    assert!(!reply.header("link").unwrap().contains("next"));
}

#[tokio::test]
async fn odd_page_numbers_are_answered_as_gitlab_does() {
    let shop = Shop::open().await;
    let empty = shop.get(&shop.tags_path("")).await;
    assert_eq!((empty.text.as_str(), empty.header("x-total-pages")), ("[]", Some("1")));
    number(&shop, 150);
    assert_eq!(shop.get(&shop.tags_path("?per_page=1000")).await.names().len(), 100);
    assert_eq!(shop.get(&shop.tags_path("?page=99")).await.text, "[]");
    assert_eq!(shop.get(&shop.tags_path("?page=&per_page=")).await.names().len(), 20);
    shop.get(&shop.tags_path("?per_page=0")).await.is_error(400, "per_page has a value not allowed");
    shop.get(&shop.tags_path("?page=0")).await.is_error(400, "page does not have a valid value");
    shop.get(&shop.tags_path("?per_page=-1")).await.is_error(400, "per_page does not have a valid value");
    shop.get(&shop.tags_path("?per_page=1.5")).await.is_error(400, "per_page is invalid");
    let older = Shop::version(16, 0).await;
    assert_eq!(older.get(&older.tags_path("?page=0")).await.status, 200);
}

#[tokio::test]
async fn totals_are_left_out_of_long_lists() {
    let shop = Shop::open().await;
    number(&shop, 9_999);
    assert_eq!(shop.get(&shop.tags_path("")).await.header("x-total"), Some("9999"));
    number(&shop, 10_000);
    let reply = shop.get(&shop.tags_path("")).await;
    assert_eq!((reply.header("x-total"), reply.header("x-total-pages")), (None, None));
    let links = reply.header("link").unwrap();
    assert!(!links.contains("rel=\"last\"") && links.contains("rel=\"next\""), "{links}");
    // Rows of the database: one more is allowed.
    shop.sim.edit(|registry| {
        for index in 1..10_000 {
            registry.repository(&format!("shop/backend/r{index}"));
        }
    });
    assert_eq!(shop.get(&shop.path("")).await.header("x-total"), Some("10000"));
    shop.sim.edit(|registry| registry.repository("shop/backend/one-more"));
    assert_eq!(shop.get(&shop.path("")).await.header("x-total"), None);
}

#[tokio::test]
async fn too_many_tags_for_path_a_are_a_server_error() {
    let shop = Shop::open().await;
    number(&shop, 200_001);
    shop.get(&shop.tags_path("")).await.is_message(500, "500 Internal Server Error");
}

#[tokio::test]
async fn keyset_pages_follow_their_links_to_the_end() {
    let shop = Shop::open().await;
    number(&shop, 2_345);
    let mut url = shop.tags_path("?pagination=keyset&per_page=2000");
    let mut names = Vec::new();
    let mut pages = 0;
    loop {
        let reply = shop.get(&url).await;
        assert_eq!((reply.status, reply.header("x-page")), (200, None));
        names.extend(reply.names());
        pages += 1;
        let Some(link) = reply.header("link") else { break };
        let address = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
        url = address.strip_prefix(&format!("{}/api/v4", shop.sim.url())).unwrap().to_owned();
    }
    // Cut to 1000 a page, not to 100.
    assert_eq!((pages, names.len()), (3, 2_345));
    assert!(names.is_sorted());
}

#[tokio::test]
async fn a_keyset_cursor_is_exclusive_and_need_not_exist() {
    let shop = Shop::open().await;
    shop.push(&[("a", 1), ("c", 1), ("e", 1)]);
    let page = async |more: &str| shop.get(&shop.tags_path(&format!("?pagination=keyset{more}"))).await.names();
    assert_eq!(page("&last=c").await, ["e"]);
    assert_eq!(page("&last=b").await, ["c", "e"]);
    assert_eq!(page("&sort=desc").await, ["e", "c", "a"]);
    assert_eq!(page("&sort=desc&last=c").await, ["a"]);
    let reply = shop.get(&shop.tags_path("?pagination=keyset&per_page=3")).await;
    assert_eq!(reply.header("link"), None);
}

#[tokio::test]
async fn keyset_pages_below_one_are_empty_where_they_are_not_refused() {
    let shop = Shop::with(Settings { reject_pages_below_one: Some(false), ..Settings::default() }).await;
    shop.push(&[("a", 1)]);
    let reply = shop.get(&shop.tags_path("?pagination=keyset&per_page=-5")).await;
    assert_eq!((reply.status, reply.text.as_str(), reply.header("link")), (200, "[]", None));
}

#[tokio::test]
async fn keyset_is_refused_without_the_metadata_database() {
    let shop = Shop::with(Settings { backend: Backend::PlainRegistry, ..Settings::default() }).await;
    shop.push(&[("a", 1)]);
    shop.get(&shop.tags_path("?pagination=keyset")).await.is_message(405, "405 Method Not Allowed");
    // Any other value is offset.
    assert_eq!(shop.get(&shop.tags_path("?pagination=legacy")).await.names(), ["a"]);
}

#[tokio::test]
async fn a_collation_may_order_tags_differently() {
    let shop = Shop::with(Settings { tag_order: TagOrder::Locale, ..Settings::default() }).await;
    shop.push(&[("B", 1), ("a", 1), ("c-1", 1), ("C2", 1)]);
    assert_eq!(shop.get(&shop.tags_path("")).await.names(), ["a", "B", "c-1", "C2"]);
    assert_eq!(shop.get(&shop.tags_path("?pagination=keyset&last=a")).await.names(), ["B", "c-1", "C2"]);
    // Path B knows no collation.
    shop.sim.edit(|registry| registry.settings.backend = Backend::PlainRegistry);
    assert_eq!(shop.get(&shop.tags_path("")).await.names(), ["B", "C2", "a", "c-1"]);
}

#[tokio::test]
async fn lists_of_repositories_have_pages_too() {
    let shop = Shop::open().await;
    shop.sim.edit(|registry| {
        for index in 0..30 {
            registry.repository(&format!("shop/frontend/r{index}"));
        }
    });
    let reply = shop.get("/groups/shop/registry/repositories?per_page=25&page=2").await;
    assert_eq!((reply.names().len(), reply.header("x-total")), (6, Some("31")));
    assert!(reply.header("link").unwrap().contains("/groups/shop/registry/repositories?id=shop&page=1&per_page=25"));
    shop.get("/groups/shop/registry/repositories?page=x").await.is(400, &json!({ "error": "page is invalid" }));
}
