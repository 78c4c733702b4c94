//! E1, E2, E3, E5 and E6: what reading shows (gitlab-api reference 1.2, 1.6 and 7), and 8b.

use gitlab_simulator::{Action, Backend, Config, Fault, Matcher, Push, RegistryAccess, Role, Scope, Settings, TagKind};
use reqwest::Method;
use serde_json::{Value, json};

use crate::shop::{Shop, days_ago, send};

const UNREACHABLE: &str = "We are having trouble connecting to the Container Registry. If this error persists, please \
                           review the troubleshooting documentation.";

#[tokio::test]
async fn a_repository_has_exactly_its_keys() {
    let shop = Shop::start(Config { external_url: Some("https://git.example.com".into()), ..Config::default() }).await;
    shop.push(&[("v1", 1)]);
    let id = shop.repository;
    let mut expected = json!({
        "id": id,
        "name": "api",
        "path": "shop/backend/api",
        "project_id": shop.project,
        "location": "registry.gitlab.example.com/shop/backend/api",
        "created_at": "2025-03-01T12:00:00.000Z",
        "cleanup_policy_started_at": null,
        "status": null,
    });
    shop.get(&shop.path("")).await.is(200, &json!([expected]));
    shop.get("/groups/shop/registry/repositories?tags=true&tags_count=true").await.is(200, &json!([expected]));
    let tag = json!({
        "name": "v1",
        "path": "shop/backend/api:v1",
        "location": "registry.gitlab.example.com/shop/backend/api:v1",
    });
    expected["tags_count"] = json!(1);
    expected["tags"] = json!([tag]);
    shop.get(&shop.path("?tags=1&tags_count=true")).await.is(200, &json!([expected]));
    shop.get(&shop.tags_path("")).await.is(200, &json!([tag]));
    expected["delete_api_path"] =
        json!(format!("https://git.example.com/api/v4/projects/{}/registry/repositories/{id}", shop.project));
    expected["size"] = json!(shop.sim.read(|registry| registry.find_tag(id, "v1").unwrap().size));
    shop.get(&format!("/registry/repositories/{id}?tags=true&tags_count=true&size=true")).await.is(200, &expected);
}

#[tokio::test]
async fn only_who_may_delete_a_repository_sees_where() {
    let shop = Shop::open().await;
    let developer = shop.member(Some(Role::Developer));
    let path = format!("/registry/repositories/{}", shop.repository);
    let shown = send(shop.by(&developer, Method::GET, &path)).await.json();
    assert_eq!(shown.get("delete_api_path"), None);
}

#[tokio::test]
async fn the_root_image_has_no_name() {
    let shop = Shop::open().await;
    let root = shop.sim.edit(|registry| registry.repository("shop/backend"));
    let shown = shop.get(&format!("/registry/repositories/{root}")).await.json();
    assert_eq!((&shown["name"], &shown["path"]), (&json!(""), &json!("shop/backend")));
}

#[tokio::test]
async fn a_group_lists_its_subgroups_and_leaves_out_disabled_registries() {
    let shop = Shop::open().await;
    let (tools, hidden) = shop.sim.edit(|registry| {
        registry.project("shop/platform/tools");
        registry.repository("shop/platform/tools/ci");
        registry.repository("shopping/other/x");
        let hidden = registry.project("shop/hidden");
        registry.repository("shop/hidden/x");
        registry.project_mut(hidden).unwrap().registry_access = RegistryAccess::Disabled;
        (registry.group("shop/platform"), hidden)
    });
    assert_eq!(shop.get("/groups/shop/registry/repositories").await.names(), ["api", "ci"]);
    assert_eq!(shop.get("/groups/shop%2Fplatform/registry/repositories").await.names(), ["ci"]);
    assert_eq!(shop.get(&format!("/groups/{tools}/registry/repositories")).await.names(), ["ci"]);
    shop.get(&format!("/projects/{hidden}/registry/repositories")).await.is_message(403, "403 Forbidden");
}

#[tokio::test]
async fn tags_count_saturates_at_ten_thousand() {
    let shop = Shop::open().await;
    shop.sim.edit(|registry| {
        for index in 0..10_050 {
            registry.push(shop.repository, &format!("t{index}"), Push::default().digest("sha256:0"));
        }
    });
    let path = format!("/registry/repositories/{}?tags_count=true", shop.repository);
    assert_eq!(shop.get(&path).await.json()["tags_count"], 10_000);
}

async fn details(shop: &Shop, tag: &str) -> Value {
    let reply = shop.get(&shop.tags_path(&format!("/{tag}"))).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

fn push_kinds(shop: &Shop) {
    shop.sim.edit(|registry| {
        let push = |kind| {
            let digest = format!("sha256:{kind:?}");
            Push::at(days_ago(3)).built(days_ago(4)).kind(kind).size(1234).digest(&digest)
        };
        registry.push(shop.repository, "image", push(TagKind::Image));
        registry.push(shop.repository, "index", push(TagKind::Index));
        registry.push(shop.repository, "list", push(TagKind::ManifestList));
        registry.push(shop.repository, "undated", push(TagKind::Image).undated());
    });
}

#[tokio::test]
async fn path_a_shows_first_pushes_and_no_config_of_lists() {
    let shop = Shop::open().await;
    push_kinds(&shop);
    shop.sim
        .edit(|registry| registry.push(shop.repository, "image", Push::at(days_ago(1)).size(99).digest("sha256:f")));
    let image = details(&shop, "image").await;
    let revision = image["revision"].as_str().unwrap();
    assert_eq!((revision.len(), &image["short_revision"]), (64, &json!(revision[..9])));
    assert_eq!(image["digest"], "sha256:f");
    // Pushed again two days later, which REST does not tell.
    assert_eq!(image["created_at"], "2025-02-26T12:00:00.000+00:00");
    assert_eq!((&image["total_size"], &image["path"]), (&json!(99), &json!("shop/backend/api:image")));
    assert_eq!(image.as_object().unwrap().len(), 8);
    for name in ["index", "list"] {
        let list = details(&shop, name).await;
        assert_eq!(
            (&list["revision"], &list["short_revision"], &list["total_size"]),
            (&json!(""), &json!(""), &json!(0))
        );
        assert_eq!(list["created_at"], "2025-02-26T12:00:00.000+00:00");
    }
}

#[tokio::test]
async fn path_b_shows_build_times_and_no_indexes() {
    let shop = Shop::with(Settings { backend: Backend::PlainRegistry, ..Settings::default() }).await;
    push_kinds(&shop);
    assert_eq!(details(&shop, "image").await["created_at"], "2025-02-25T12:00:00.000+00:00");
    let list = details(&shop, "list").await;
    assert_eq!((list["revision"].as_str().unwrap().len(), &list["total_size"]), (64, &json!(1234)));
    assert_eq!(details(&shop, "undated").await["created_at"], Value::Null);
    assert_eq!(shop.get(&shop.tags_path("")).await.names(), ["image", "index", "list", "undated"]);
    shop.get(&shop.tags_path("/index")).await.is_message(404, "404 Tag Not Found");
    let path = format!("/registry/repositories/{}?size=true", shop.repository);
    assert_eq!(shop.get(&path).await.json()["size"], Value::Null);
}

#[tokio::test]
async fn a_tag_behind_a_hundred_longer_names_is_not_found_on_path_a() {
    let shop = Shop::open().await;
    shop.sim.edit(|registry| {
        for index in 0..100 {
            registry.push(shop.repository, &format!("0.1{index:02}"), Push::default());
        }
        registry.push(shop.repository, "1", Push::default());
    });
    shop.get(&shop.tags_path("/1")).await.is_message(404, "404 Tag Not Found");
    shop.delete(&shop.tags_path("/1")).await.is_message(403, "403 Forbidden");
    shop.sim.edit(|registry| registry.remove_tag(shop.repository, "0.100"));
    assert_eq!(details(&shop, "1").await["name"], "1");
    shop.sim.edit(|registry| registry.push(shop.repository, "0.100", Push::default()));
    shop.sim.edit(|registry| registry.settings.backend = Backend::PlainRegistry);
    assert_eq!(details(&shop, "1").await["name"], "1");
}

#[tokio::test]
async fn a_registry_error_looks_like_nothing_there() {
    let shop = Shop::with(Settings { registry_lists_fail: true, ..Settings::default() }).await;
    shop.push(&[("v1", 1)]);
    assert_eq!(shop.get(&shop.tags_path("")).await.text, "[]");
    let keyset = shop.get(&shop.tags_path("?pagination=keyset")).await;
    assert_eq!((keyset.status, keyset.text.as_str(), keyset.header("link")), (200, "[]", None));
    shop.get(&shop.tags_path("/v1")).await.is_message(404, "404 Tag Not Found");
    let shown = shop.get(&format!("/registry/repositories/{}?tags_count=true&size=true", shop.repository)).await.json();
    assert_eq!((&shown["tags_count"], &shown["size"]), (&json!(0), &Value::Null));
}

#[tokio::test]
async fn a_list_that_is_cut_short_leaves_the_size_as_it_is() {
    let shop = Shop::open().await;
    shop.sim.edit(|registry| registry.push(shop.repository, "v1", Push::default().size(7)));
    shop.sim.fault(Fault::new(Matcher::any(), Action::TruncateTags { keep: 0 }));
    let path = format!("/registry/repositories/{}?tags_count=true&size=true", shop.repository);
    let shown = shop.get(&path).await.json();
    assert_eq!((&shown["tags_count"], &shown["size"]), (&json!(0), &json!(7)));
}

#[tokio::test]
async fn a_registry_that_cannot_be_reached_is_a_503() {
    let shop = Shop::with(Settings { registry_unreachable: true, ..Settings::default() }).await;
    shop.push(&[("v1", 1)]);
    for below in ["", "/v1"] {
        shop.get(&shop.tags_path(below)).await.is_message(503, UNREACHABLE);
    }
    shop.delete(&shop.tags_path("/v1")).await.is_message(503, UNREACHABLE);
    shop.get(&shop.path("?tags_count=true")).await.is_message(503, UNREACHABLE);
    // The database alone is enough for these.
    assert_eq!(shop.get(&shop.path("")).await.status, 200);
    assert_eq!(shop.bulk(&json!({ "name_regex": "x" })).await.status, 202);
}

#[tokio::test]
async fn tags_with_dots_and_plus_signs_are_found() {
    let shop = Shop::open().await;
    shop.push(&[("v1.2.3", 1), ("v1_a-b", 1)]);
    assert_eq!(details(&shop, "v1.2.3").await["name"], "v1.2.3");
    assert_eq!(details(&shop, "v1%5Fa%2Db").await["name"], "v1_a-b");
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1)]);
    let reply = send(shop.by(&shop.token, Method::HEAD, &shop.tags_path(""))).await;
    assert_eq!((reply.status, reply.text.as_str(), reply.header("x-total")), (200, "", Some("1")));
}

#[tokio::test]
async fn the_version_is_for_signed_in_callers() {
    let shop = Shop::open().await;
    assert_eq!(shop.get("/version").await.json()["version"], "18.5.0-ee");
    send(shop.anonymous(Method::GET, "/version")).await.is_message(401, "401 Unauthorized");
}

#[tokio::test]
async fn a_token_may_look_at_itself_with_any_scope() {
    let shop = Shop::open().await;
    let token = shop.sim.edit(|registry| {
        let user = registry.user("alice");
        let token = registry.personal_token(user, &[Scope::ReadRegistry]);
        registry.token_mut(&token).unwrap().expires_at = Some("2025-04-01".parse().unwrap());
        token
    });
    let (id, user) = shop.sim.read(|registry| registry.find_token(&token).map(|token| (token.id, token.user)).unwrap());
    send(shop.by(&token, Method::GET, "/personal_access_tokens/self")).await.is(
        200,
        &json!({
            "id": id,
            "name": "alice",
            "revoked": false,
            "created_at": "2025-03-01T12:00:00.000Z",
            "scopes": ["read_registry"],
            "granular": false,
            "user_id": user,
            "last_used_at": "2025-03-01T12:00:00.000Z",
            "active": true,
            "expires_at": "2025-04-01",
        }),
    );
    let expires = shop.get("/personal_access_tokens/self").await.json()["expires_at"].clone();
    assert_eq!(expires, Value::Null);
}
