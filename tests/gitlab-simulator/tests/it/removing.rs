//! E4 and E7: deleting a repository and a tag (gitlab-api reference 1.7, 2.6, 2.7 and 3).

use gitlab_simulator::{Backend, DeleteLevel, ProtectionRule, Push, Role, Settings, Version};
use reqwest::Method;
use serde_json::json;

use crate::shop::{Shop, send};

#[tokio::test]
async fn deleting_a_tag_answers_a_bare_number_and_leaves_the_others() {
    let shop = Shop::open().await;
    shop.sim.edit(|registry| {
        registry.push(shop.repository, "a", Push::default().digest("sha256:1"));
        registry.push(shop.repository, "b", Push::default().digest("sha256:1"));
    });
    let reply = shop.delete(&shop.tags_path("/a")).await;
    assert_eq!((reply.status, reply.text.as_str()), (200, "200"));
    assert_eq!(shop.tags(), ["b"]);
}

#[tokio::test]
async fn a_missing_tag_gets_what_the_release_says() {
    let missing = json!({ "message": "404 Tag Not Found" });
    let (gone, forbidden) = (json!(200), json!({ "message": "403 Forbidden" }));
    for (version, backend, status, body) in [
        ((11, 8), Backend::PlainRegistry, 404, &missing),
        ((15, 11), Backend::MetadataDatabase, 404, &missing),
        ((16, 0), Backend::MetadataDatabase, 200, &gone),
        ((17, 11), Backend::MetadataDatabase, 200, &gone),
        ((17, 11), Backend::PlainRegistry, 200, &gone),
        ((18, 5), Backend::MetadataDatabase, 403, &forbidden),
        ((18, 5), Backend::PlainRegistry, 200, &gone),
    ] {
        let version = Version::new(version.0, version.1);
        let shop = Shop::with(Settings { version, backend, ..Settings::default() }).await;
        shop.delete(&shop.tags_path("/gone")).await.is(status, body);
    }
}

#[tokio::test]
async fn a_protected_tag_is_forbidden_in_the_words_of_the_release() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1), ("v2", 1)]);
    shop.sim.edit(|registry| {
        let rules = &mut registry.project_mut(shop.project).unwrap().protection_rules;
        rules.push(ProtectionRule::mutable("v1", DeleteLevel::Owner));
    });
    shop.delete(&shop.tags_path("/v1")).await.is_message(403, "403 Forbidden");
    shop.sim.edit(|registry| registry.settings.version = Version::new(17, 11));
    let by_service = "403 Forbidden - cannot delete protected tag(s)";
    shop.delete(&shop.tags_path("/v1")).await.is_message(403, by_service);
    assert_eq!(shop.delete(&shop.tags_path("/v2")).await.status, 200);
    let owner = shop.member(Some(Role::Owner));
    assert_eq!(send(shop.by(&owner, Method::DELETE, &shop.tags_path("/v1"))).await.status, 200);
}

#[tokio::test]
async fn a_deletion_the_registry_refuses_is_a_400() {
    let shop = Shop::with(Settings { registry_deletes_fail: true, ..Settings::default() }).await;
    shop.push(&[("v1", 1)]);
    shop.delete(&shop.tags_path("/v1")).await.is_message(400, "400 Bad request");
    shop.sim.edit(|registry| registry.settings.version = Version::new(17, 11));
    shop.delete(&shop.tags_path("/v1")).await.is(400, &json!(400));
}

#[tokio::test]
async fn a_repository_is_scheduled_and_then_gone() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1)]);
    let path = shop.path(&format!("/{}", shop.repository));
    let reply = shop.delete(&path).await;
    assert_eq!((reply.status, reply.text.as_str()), (202, "202"));
    let shown = async || shop.get(&format!("/registry/repositories/{}", shop.repository)).await;
    assert_eq!(shown().await.json()["status"], "delete_scheduled");
    shop.advance(60);
    shown().await.is_message(404, "404 Not found");
    shop.delete(&path).await.is_message(404, "404 Not found");
}

#[tokio::test]
async fn a_repository_that_cannot_be_deleted_is_given_up_after_ten_failures() {
    let shop = Shop::with(Settings { registry_deletes_fail: true, ..Settings::default() }).await;
    shop.push(&[("v1", 1)]);
    shop.delete(&shop.path(&format!("/{}", shop.repository))).await;
    let status = || shop.sim.read(|registry| registry.find_repository(shop.repository).unwrap().status);
    // 2 + 4 + … + 512 minutes between ten failures.
    shop.advance(2 + 1021 * 60);
    assert_eq!(status(), Some(gitlab_simulator::RepositoryStatus::DeleteScheduled));
    shop.advance(60);
    assert_eq!(status(), Some(gitlab_simulator::RepositoryStatus::DeleteFailed));
}

#[tokio::test]
async fn a_protected_repository_is_not_deleted() {
    let shop = Shop::open().await;
    shop.sim.edit(|registry| registry.repository_mut(shop.repository).unwrap().deletion_protected = true);
    shop.delete(&shop.path(&format!("/{}", shop.repository)))
        .await
        .is_message(403, "403 Forbidden - Deleting protected container repository forbidden.");
}
