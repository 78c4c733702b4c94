//! Roles, visibilities and tokens (gitlab-api reference 5).

use gitlab_simulator::{Endpoint, RegistryAccess, Role, Scope, TokenKind, Visibility};
use reqwest::Method;
use serde_json::json;

use crate::shop::{Shop, send};

/// Every call as method and path; E4 is last because it may succeed.
fn calls(shop: &Shop) -> [(Endpoint, Method, String); 8] {
    [
        (Endpoint::ListProjectRepositories, Method::GET, shop.path("")),
        (Endpoint::ListGroupRepositories, Method::GET, "/groups/shop/registry/repositories".into()),
        (Endpoint::GetRepository, Method::GET, format!("/registry/repositories/{}", shop.repository)),
        (Endpoint::ListTags, Method::GET, shop.tags_path("")),
        (Endpoint::GetTag, Method::GET, shop.tags_path("/v1")),
        (Endpoint::DeleteTag, Method::DELETE, shop.tags_path("/v1")),
        (Endpoint::BulkDeleteTags, Method::DELETE, shop.tags_path("?name_regex=x")),
        (Endpoint::DeleteRepository, Method::DELETE, shop.path(&format!("/{}", shop.repository))),
    ]
}

async fn statuses(shop: &Shop, token: Option<&str>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for (endpoint, method, path) in calls(shop) {
        let request = match token {
            Some(token) => shop.by(token, method, &path),
            None => shop.anonymous(method, &path),
        };
        statuses.push(send(request).await.status);
        assert_eq!(shop.sim.requests().last().unwrap().endpoint, endpoint);
    }
    statuses
}

#[tokio::test]
async fn each_role_may_do_what_the_table_says_on_a_private_project() {
    for (role, expected) in [
        (None, [404, 404, 403, 404, 404, 404, 404, 404]),
        (Some(Role::Guest), [403, 403, 403, 403, 403, 403, 403, 403]),
        (Some(Role::Reporter), [200, 200, 200, 200, 200, 403, 403, 403]),
        (Some(Role::Developer), [200, 200, 200, 200, 200, 200, 403, 403]),
        (Some(Role::Maintainer), [200, 200, 200, 200, 200, 200, 202, 202]),
        (Some(Role::Owner), [200, 200, 200, 200, 200, 200, 202, 202]),
    ] {
        let shop = Shop::open().await;
        shop.push(&[("v1", 1)]);
        let token = shop.sim.edit(|registry| {
            let user = registry.user("somebody");
            registry.set_role("shop", user, role);
            registry.personal_token(user, &[Scope::Api])
        });
        assert_eq!(statuses(&shop, Some(&token)).await, expected, "{role:?}");
    }
}

#[tokio::test]
async fn an_anonymous_caller_sees_nothing_private_and_deletes_nothing_public() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1)]);
    assert_eq!(statuses(&shop, None).await, [404, 404, 401, 404, 404, 404, 404, 404]);
    publish(&shop, Visibility::Public, RegistryAccess::Enabled);
    assert_eq!(statuses(&shop, None).await, [200, 403, 401, 200, 200, 403, 403, 403]);
}

#[tokio::test]
async fn visibility_opens_reading_to_others() {
    let readable = [200, 403, 200, 200, 200, 403, 403, 403];
    let forbidden = [403; 8];
    for (visibility, access, expected) in [
        (Visibility::Public, RegistryAccess::Enabled, readable),
        (Visibility::Internal, RegistryAccess::Enabled, readable),
        (Visibility::Public, RegistryAccess::Private, forbidden),
        (Visibility::Public, RegistryAccess::Disabled, forbidden),
    ] {
        let shop = Shop::open().await;
        shop.push(&[("v1", 1)]);
        publish(&shop, visibility, access);
        let stranger = shop.member(None);
        assert_eq!(statuses(&shop, Some(&stranger)).await, expected, "{visibility:?}, {access:?}");
    }
}

fn publish(shop: &Shop, visibility: Visibility, access: RegistryAccess) {
    shop.sim.edit(|registry| {
        let group = registry.group("shop");
        registry.group_mut(group).unwrap().visibility = visibility;
        let project = registry.project_mut(shop.project).unwrap();
        (project.visibility, project.registry_access) = (visibility, access);
    });
}

#[tokio::test]
async fn a_disabled_registry_is_closed_to_its_maintainers() {
    let shop = Shop::open().await;
    publish(&shop, Visibility::Private, RegistryAccess::Disabled);
    assert_eq!(shop.get(&shop.path("")).await.status, 403);
    assert_eq!(shop.get("/groups/shop/registry/repositories").await.text, "[]");
}

#[tokio::test]
async fn a_member_of_one_project_sees_the_group_and_not_its_registry() {
    let shop = Shop::open().await;
    let developer = shop.member(Some(Role::Developer));
    let reply = send(shop.by(&developer, Method::GET, "/groups/shop/registry/repositories")).await;
    reply.is_message(403, "403 Forbidden");
}

#[tokio::test]
async fn an_administrator_may_do_everything() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1)]);
    let token = shop.sim.edit(|registry| {
        let root = registry.admin("root");
        registry.personal_token(root, &[Scope::Api])
    });
    assert_eq!(statuses(&shop, Some(&token)).await, [200, 200, 200, 200, 200, 200, 202, 202]);
}

#[tokio::test]
async fn tokens_are_accepted_where_gitlab_looks_for_them() {
    let shop = Shop::open().await;
    let oauth = shop.sim.edit(|registry| {
        let user = registry.find_token(&shop.token).unwrap().user;
        registry.token(TokenKind::OAuth, user, "app", &[Scope::Api])
    });
    let status = async |header: Option<(&str, String)>, query: String| {
        let request = shop.anonymous(Method::GET, &shop.path(&query));
        let request = header.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        send(request).await.status
    };
    let own = &shop.token;
    assert_eq!(status(Some(("authorization", format!("Bearer {own}"))), String::new()).await, 200);
    assert_eq!(status(None, format!("?private_token={own}")).await, 200);
    assert_eq!(status(Some(("authorization", format!("Bearer {oauth}"))), String::new()).await, 200);
    assert_eq!(status(None, format!("?access_token={oauth}")).await, 200);
    // An OAuth token is no access token.
    assert_eq!(status(Some(("private-token", oauth.clone())), String::new()).await, 401);
    assert_eq!(status(Some(("private-token", "wrong".into())), String::new()).await, 401);
    let logged = serde_json::to_string(&shop.sim.requests()).unwrap();
    assert!(!logged.contains(own) && !logged.contains(&oauth));
}

#[tokio::test]
async fn a_deploy_token_is_not_accepted() {
    let shop = Shop::open().await;
    let token = shop.sim.edit(|registry| {
        let user = registry.user("deployer");
        registry.set_role("shop", user, Some(Role::Owner));
        registry.token(TokenKind::Deploy, user, "deploy", &[Scope::ReadRegistry])
    });
    send(shop.by(&token, Method::GET, &shop.path(""))).await.is_message(401, "401 Unauthorized");
}

#[tokio::test]
async fn a_job_token_works_for_its_own_project_only() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1)]);
    let (token, foreign) = shop.sim.edit(|registry| {
        let user = registry.user("developer");
        registry.set_role("shop", user, Some(Role::Developer));
        let other = registry.project("shop/frontend");
        let mut job = |project| registry.token(TokenKind::Job(project), user, "job", &[]);
        (job(shop.project), job(other))
    });
    let status = async |token: &str, method: Method, path: &str| {
        send(shop.anonymous(method, path).header("JOB-TOKEN", token)).await
    };
    let mut own = Vec::new();
    for (_, method, path) in calls(&shop) {
        own.push(status(&token, method, &path).await.status);
    }
    // The routes of groups and of E3 overlook it; the rest has the role of its user.
    assert_eq!(own, [200, 404, 401, 200, 200, 200, 403, 403]);
    status(&foreign, Method::GET, &shop.path("")).await.is_message(
        403,
        "403 Forbidden - This project's CI/CD job token cannot be used to authenticate with the container registry of a \
         different project.",
    );
    let itself = status(&token, Method::GET, "/personal_access_tokens/self").await;
    assert!(![200, 401].contains(&itself.status));
}

#[tokio::test]
async fn read_api_reads_and_registry_scopes_are_for_something_else() {
    let shop = Shop::open().await;
    let (reader, puller) = shop.sim.edit(|registry| {
        let user = registry.find_token(&shop.token).unwrap().user;
        let registry_scopes = [Scope::ReadRegistry, Scope::WriteRegistry];
        (registry.personal_token(user, &[Scope::ReadApi]), registry.personal_token(user, &registry_scopes))
    });
    assert_eq!(send(shop.by(&reader, Method::GET, &shop.path(""))).await.status, 200);
    assert_eq!(send(shop.by(&reader, Method::DELETE, &shop.tags_path("/v1"))).await.json()["scope"], "api");
    let reply = send(shop.by(&puller, Method::GET, &shop.path(""))).await;
    assert_eq!((reply.status, &reply.json()["scope"]), (403, &json!("api read_api")));
}

#[tokio::test]
async fn tokens_end() {
    let shop = Shop::open().await;
    let expired = json!({
        "error": "invalid_token",
        "error_description": "Token is expired. You can either do re-authorization or token refresh.",
    });
    let revoked = json!({
        "error": "invalid_token",
        "error_description": "Token was revoked. You have to re-authorize from the user.",
    });
    shop.sim.edit(|r| r.token_mut(&shop.token).unwrap().expires_at = Some("2025-03-02".parse().unwrap()));
    assert_eq!(shop.get(&shop.path("")).await.status, 200);
    shop.advance(12 * 3600);
    shop.get(&shop.path("")).await.is(401, &expired);
    shop.sim.edit(|registry| {
        let token = registry.token_mut(&shop.token).unwrap();
        (token.expires_at, token.revoked) = (None, true);
    });
    shop.get(&shop.path("")).await.is(401, &revoked);
    shop.get("/personal_access_tokens/self").await.is(401, &revoked);
    shop.sim.edit(|registry| registry.remove_token(&shop.token));
    shop.get(&shop.path("")).await.is_message(401, "401 Unauthorized");
}
