//! Removing tags through GraphQL (gitlab-api reference 8a, 2.6 and 2.7).

use gitlab_simulator::{Backend, DeleteLevel, ProtectionRule, Role, Scope, Settings};
use serde_json::{Value, json};

use crate::shop::Shop;

const DESTROY: &str = "mutation destroy($id: ContainerRepositoryID!, $names: [String!]!) { \
                       destroyContainerRepositoryTags(input: { id: $id, tagNames: $names }) { deletedTagNames errors } }";

const NOT_AVAILABLE: &str = "The resource that you are attempting to access does not exist or you don't have \
                             permission to perform this action";

async fn destroy_by(shop: &Shop, token: &str, names: &[&str]) -> Value {
    let variables = json!({ "id": shop.gid(), "names": names });
    let reply = shop.graphql_by(Some(token), DESTROY, &variables).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

async fn destroy(shop: &Shop, names: &[&str]) -> Value {
    destroy_by(shop, &shop.token, names).await
}

fn outcome(deleted: &[&str], errors: &[&str]) -> Value {
    json!({ "data": { "destroyContainerRepositoryTags": { "deletedTagNames": deleted, "errors": errors } } })
}

#[tokio::test]
async fn tags_go_at_once_and_as_often_as_one_likes() {
    for backend in [Backend::MetadataDatabase, Backend::PlainRegistry] {
        let shop = Shop::with(Settings { backend, ..Settings::default() }).await;
        shop.push(&[("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!(destroy(&shop, &["a"]).await, outcome(&["a"], &[]));
        assert_eq!(destroy(&shop, &["b"]).await, outcome(&["b"], &[]));
        assert_eq!(shop.tags(), ["c"]);
        // The lease of bulk deletions was not touched.
        assert_eq!(shop.bulk(&json!({ "name_regex": "x" })).await.status, 202);
        assert_eq!(destroy(&shop, &["c"]).await, outcome(&["c"], &[]));
    }
}

#[tokio::test]
async fn what_is_gone_counts_as_deleted_and_what_is_protected_is_not_mentioned() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1), ("keep", 1)]);
    shop.sim.edit(|registry| {
        let rules = &mut registry.project_mut(shop.project).unwrap().protection_rules;
        rules.push(ProtectionRule::mutable("keep", DeleteLevel::Owner));
    });
    assert_eq!(destroy(&shop, &["gone", "keep", "v1"]).await, outcome(&["gone", "v1"], &[]));
    assert_eq!(destroy(&shop, &["keep"]).await, outcome(&[], &[]));
    assert_eq!(shop.tags(), ["keep"]);
    let owner = shop.member(Some(Role::Owner));
    assert_eq!(destroy_by(&shop, &owner, &["keep"]).await, outcome(&["keep"], &[]));
}

#[tokio::test]
async fn more_than_twenty_names_are_refused_whole() {
    let shop = Shop::open().await;
    let names: Vec<String> = (0..21).map(|index| format!("t{index:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    shop.push(&names.iter().map(|name| (*name, 1)).collect::<Vec<_>>());
    let body = destroy(&shop, &names).await;
    assert_eq!(body["errors"][0]["message"], "Number of tags is greater than 20");
    assert_eq!(body["data"]["destroyContainerRepositoryTags"], Value::Null);
    assert_eq!(shop.tags().len(), 21);
    assert_eq!(destroy(&shop, &names[..20]).await, outcome(&names[..20], &[]));
    assert_eq!(shop.tags(), ["t20"]);
    assert_eq!(destroy(&shop, &[]).await, outcome(&[], &["not tags specified"]));
}

#[tokio::test]
async fn removing_takes_a_developer_and_the_scope_api() {
    let shop = Shop::open().await;
    shop.push(&[("a", 1), ("b", 1)]);
    let refused = |body: &Value| {
        assert_eq!(body["errors"][0]["message"], NOT_AVAILABLE);
        assert_eq!(body["errors"][0]["path"], json!(["destroyContainerRepositoryTags"]));
        assert_eq!(body["data"]["destroyContainerRepositoryTags"], Value::Null);
    };
    for role in [None, Some(Role::Guest), Some(Role::Reporter)] {
        refused(&destroy_by(&shop, &shop.member(role), &["a"]).await);
    }
    let reader = shop.sim.edit(|registry| {
        let user = registry.find_token(&shop.token).unwrap().user;
        registry.personal_token(user, &[Scope::ReadApi])
    });
    refused(&destroy_by(&shop, &reader, &["a"]).await);
    let variables = json!({ "id": shop.gid(), "names": ["a"] });
    refused(&shop.graphql_by(None, DESTROY, &variables).await.json());
    let unknown = json!({ "id": "gid://gitlab/ContainerRepository/1", "names": ["a"] });
    refused(&shop.graphql(DESTROY, &unknown).await);
    assert_eq!(shop.tags(), ["a", "b"]);
    let developer = shop.member(Some(Role::Developer));
    assert_eq!(destroy_by(&shop, &developer, &["a"]).await, outcome(&["a"], &[]));
}

#[tokio::test]
async fn a_registry_that_does_not_delete_is_told_in_the_errors() {
    let shop = Shop::with(Settings { registry_deletes_fail: true, ..Settings::default() }).await;
    shop.push(&[("a", 1), ("b", 1)]);
    assert_eq!(destroy(&shop, &["a", "b"]).await, outcome(&[], &["could not delete tags: a, b"]));
    shop.sim.edit(|registry| {
        (registry.settings.registry_deletes_fail, registry.settings.registry_unreachable) = (false, true);
    });
    assert_eq!(destroy(&shop, &["a"]).await, outcome(&[], &["error while deleting tags"]));
    assert_eq!(shop.tags(), ["a", "b"]);
}

#[tokio::test]
async fn the_input_may_be_one_variable() {
    let shop = Shop::open().await;
    shop.push(&[("a", 1)]);
    let query = "mutation($input: DestroyContainerRepositoryTagsInput!) { gone: destroyContainerRepositoryTags(input: \
                 $input) { clientMutationId deletedTagNames } }";
    let input = json!({ "input": { "id": shop.gid(), "tagNames": ["a"], "clientMutationId": "7" } });
    let body = shop.graphql(query, &input).await;
    assert_eq!(body["data"]["gone"], json!({ "clientMutationId": "7", "deletedTagNames": ["a"] }));
    let body = shop.graphql(query, &json!({ "input": { "id": shop.gid() } })).await;
    let why = &body["errors"][0]["extensions"]["problems"][0]["explanation"];
    assert_eq!(why, "tagNames: Expected value to not be null");
}
