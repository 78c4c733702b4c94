//! `GET /projects/:id`: the project's own cleanup policy (gitlab-api reference 8).

use gitlab_simulator::{CleanupPolicy, DeleteLevel, Endpoint, ProtectionRule, RegistryAccess, Role, Version};
use serde_json::json;

use crate::shop::{Shop, now, send};

#[tokio::test]
async fn a_project_shows_its_cleanup_policy() {
    let shop = Shop::open().await;
    let path = format!("/projects/{}", shop.namespace);
    let mut expected = json!({
        "id": shop.project,
        "name": "backend",
        "path_with_namespace": "shop/backend",
        "archived": false,
        "marked_for_deletion_on": null,
        "container_registry_access_level": "enabled",
        "container_expiration_policy": {
            "enabled": false, "cadence": "1d", "keep_n": 10, "older_than": "90d", "name_regex": ".*",
            "name_regex_keep": null, "next_run_at": null,
        },
    });
    shop.get(&path).await.is(200, &expected);
    assert_eq!(shop.sim.requests_to(Endpoint::GetProject)[0].namespace.as_deref(), Some("shop/backend"));
    shop.sim.edit(|registry| {
        let project = registry.project_mut(shop.project).unwrap();
        project.registry_access = RegistryAccess::Private;
        let policy = &mut project.cleanup_policy;
        *policy = CleanupPolicy { enabled: true, keep_n: None, next_run_at: Some(now()), ..CleanupPolicy::default() };
    });
    expected["container_registry_access_level"] = json!("private");
    for (name, value) in
        [("enabled", json!(true)), ("keep_n", json!(null)), ("next_run_at", json!("2025-03-01T12:00:00.000Z"))]
    {
        expected["container_expiration_policy"][name] = value;
    }
    shop.get(&format!("/projects/{}", shop.project)).await.is(200, &expected);
}

#[tokio::test]
async fn a_project_is_hidden_moved_or_too_old() {
    let shop = Shop::open().await;
    let path = format!("/projects/{}", shop.namespace);
    let stranger = shop.member(None);
    send(shop.by(&stranger, reqwest::Method::GET, &path)).await.is_message(404, "404 Project Not Found");
    shop.sim.edit(|registry| registry.settings.version = Version::new(12, 7));
    assert_eq!(shop.get(&path).await.json().get("container_expiration_policy"), None);
    shop.sim.edit(|registry| registry.move_project(shop.project, "shop/server"));
    let moved = shop.get(&path).await;
    let location = format!("{}/api/v4/projects/{}", shop.sim.url(), shop.project);
    assert_eq!((moved.status, moved.header("location")), (301, Some(location.as_str())));
}

#[tokio::test]
async fn the_rules_that_protect_tags_are_told_to_maintainers_and_rest_leaves_immutable_ones_out() {
    let shop = Shop::open().await;
    shop.sim.edit(|registry| {
        registry.settings.version = Version::new(18, 7);
        let rules = &mut registry.project_mut(shop.project).unwrap().protection_rules;
        *rules = vec![ProtectionRule::mutable("^v", DeleteLevel::Owner), ProtectionRule::immutable("lts")];
    });
    let path = format!("/projects/{}/registry/protection/tag/rules", shop.namespace);
    let mutable = json!({
        "id": 1, "project_id": shop.project, "tag_name_pattern": "^v",
        "minimum_access_level_for_push": "owner", "minimum_access_level_for_delete": "owner",
    });
    shop.get(&path).await.is(200, &json!([mutable]));
    let query = "query($path: ID!) { project(fullPath: $path) { maxAccessLevel { integerValue } \
                 containerProtectionTagRules(first: 20) { nodes { tagNamePattern minimumAccessLevelForDelete } \
                 pageInfo { hasNextPage } } } }";
    let told = |level: u64, nodes: serde_json::Value| {
        json!({"data": {"project": {
            "maxAccessLevel": {"integerValue": level},
            "containerProtectionTagRules": {"nodes": nodes, "pageInfo": {"hasNextPage": false}},
        }}})
    };
    let path_of = json!({"path": "shop/backend"});
    let rules = json!([
        {"tagNamePattern": "^v", "minimumAccessLevelForDelete": "OWNER"},
        {"tagNamePattern": "lts", "minimumAccessLevelForDelete": null},
    ]);
    assert_eq!(shop.graphql(query, &path_of).await, told(40, rules));

    let developer = shop.member(Some(Role::Developer));
    send(shop.by(&developer, reqwest::Method::GET, &path)).await.is_message(403, "403 Forbidden");
    shop.graphql_by(Some(&developer), query, &path_of).await.is(200, &told(30, json!([])));
    shop.sim.edit(|registry| registry.settings.version = Version::new(18, 6));
    assert_eq!(shop.get(&path).await.status, 404);
}
