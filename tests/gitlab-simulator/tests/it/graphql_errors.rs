//! Errors in GraphQL's shape (gitlab-api reference 8a).

use gitlab_simulator::{RegistryAccess, Role, Scope, Settings, Version, Visibility};
use serde_json::{Value, json};

use crate::shop::Shop;

const NOT_AVAILABLE: &str = "The resource that you are attempting to access does not exist or you don't have \
                             permission to perform this action";

const PUBLISHED: &str = "query pushes($id: ContainerRepositoryID!) {\n  containerRepository(id: $id) {\n    tags(first: 20) \
                         { nodes { name publishedAt } }\n  }\n}";

async fn first_error(shop: &Shop, query: &str, variables: Value) -> String {
    let body = shop.graphql(query, &variables).await;
    assert_eq!(body.get("data"), None, "{body}");
    body["errors"][0]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_unknown_field_fails_the_whole_query() {
    let shop = Shop::version(16, 10).await;
    let undefined = json!({ "errors": [{
        "message": "Field 'publishedAt' doesn't exist on type 'ContainerRepositoryTag'",
        "locations": [{ "line": 3, "column": 36 }],
        "path": ["query pushes", "containerRepository", "tags", "nodes", "publishedAt"],
        "extensions": { "code": "undefinedField", "typeName": "ContainerRepositoryTag", "fieldName": "publishedAt" },
    }] });
    assert_eq!(shop.graphql(PUBLISHED, &json!({ "id": shop.gid() })).await, undefined);
    shop.sim.edit(|registry| registry.settings.version = Version::default());
    assert_eq!(shop.graphql(PUBLISHED, &json!({ "id": shop.gid() })).await.get("errors"), None);
    shop.sim.edit(|registry| {
        registry.settings.graphql_hidden_fields = ["ContainerRepositoryTag.publishedAt".to_owned()].into();
    });
    assert_eq!(shop.graphql(PUBLISHED, &json!({ "id": shop.gid() })).await, undefined);
}

#[tokio::test]
async fn fields_came_with_their_release() {
    for (field, before, since) in [
        ("publishedAt", (16, 10), (16, 11)),
        ("referrers { digest }", (16, 11), (17, 0)),
        ("mediaType", (17, 0), (17, 1)),
        ("protection { minimumAccessLevelForDelete }", (17, 8), (17, 9)),
    ] {
        let shop = Shop::open().await;
        let query = format!(
            "{{ containerRepository(id: \"{}\") {{ tags(first: 20) {{ nodes {{ {field} }} }} }} }}",
            shop.gid()
        );
        for (version, known) in [(before, false), (since, true)] {
            shop.sim.edit(|registry| registry.settings.version = Version::new(version.0, version.1));
            let body = shop.graphql(&query, &json!({})).await;
            assert_eq!(body.get("errors").is_none(), known, "{field} {version:?}");
        }
    }
}

#[tokio::test]
async fn graphql_may_be_switched_off_or_too_young() {
    let shop = Shop::with(Settings { graphql: false, ..Settings::default() }).await;
    assert_eq!(shop.graphql_by(Some(&shop.token), "{ __typename }", &json!({})).await.status, 404);
    let shop = Shop::version(12, 0).await;
    assert_eq!(shop.graphql_by(Some(&shop.token), "{ __typename }", &json!({})).await.status, 404);
    shop.sim.edit(|registry| registry.settings.version = Version::new(13, 0));
    let text = first_error(&shop, PUBLISHED, json!({ "id": shop.gid() })).await;
    assert_eq!(text, "Field 'containerRepository' doesn't exist on type 'Query'");
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn a_query_that_does_not_fit_the_schema_is_told_why() {
    let shop = Shop::open().await;
    let id = shop.gid();
    for (query, variables, expected) in [
        ("", json!({}), "No query string was present"),
        ("subscription { x }", json!({}), "Schema is not configured for subscriptions"),
        ("query a { __typename } query b { __typename }", json!({}), "An operation name is required"),
        ("{ nothing }", json!({}), "Field 'nothing' doesn't exist on type 'Query'"),
        ("{ containerRepository { id } }", json!({}), "Field 'containerRepository' is missing required arguments: id"),
        ("{ project(fullPath: \"x\", a: 1) { id } }", json!({}), "Field 'project' doesn't accept argument 'a'"),
        (
            "{ project(fullPath: true) { id } }",
            json!({}),
            "Argument 'fullPath' on Field 'project' has an invalid value (true). Expected type 'ID!'.",
        ),
        (
            "{ project(fullPath: \"x\") }",
            json!({}),
            "Field must have selections (field 'project' returns Project but has no selections. Did you mean 'project { \
             ... }'?)",
        ),
        (
            "{ project(fullPath: \"x\") { id { x } } }",
            json!({}),
            "Selections can't be made on scalars (field 'id' returns ID)",
        ),
        ("{ ...x }", json!({}), "Fragment x was used, but not defined"),
        ("{ ...x } fragment x on Query { ...x }", json!({}), "Fragment x contains an infinite loop"),
        ("{ ... on Project { id } }", json!({}), "Fragment on Project can't be spread inside Query"),
        ("query q { project(fullPath: $p) { id } }", json!({}), "Variable $p is used by q but not declared"),
        (
            "query($p: ID!) { __typename }",
            json!({ "p": "x" }),
            "Variable $p is declared by anonymous query but not used",
        ),
        (
            "query($p: Nix) { project(fullPath: $p) { id } }",
            json!({}),
            "Type mismatch on variable $p and argument fullPath (Nix / ID!)",
        ),
        (
            "query($p: ID) { project(fullPath: $p) { id } }",
            json!({}),
            "Nullability mismatch on variable $p and argument fullPath (ID / ID!)",
        ),
        (
            "query($id: ID!) { containerRepository(id: $id) { id } }",
            json!({ "id": id }),
            "Type mismatch on variable $id and argument id (ID! / ContainerRepositoryID!)",
        ),
        (
            "mutation($n: [String]!) { destroyContainerRepositoryTags(input: { id: \"gid://gitlab/ContainerRepository/1\", \
             tagNames: $n }) { errors } }",
            json!({ "n": [] }),
            "Nullability mismatch on variable $n and argument tagNames ([String]! / [String!]!)",
        ),
        (
            "query($p: ID!) { project(fullPath: $p) { id } }",
            json!({}),
            "Variable $p of type ID! was provided invalid value",
        ),
        (
            "{ containerRepository(id: \"gid://gitlab/Project/1\") { id } }",
            json!({}),
            "\"gid://gitlab/Project/1\" does not represent an instance of ContainerRepository",
        ),
        ("{ containerRepository(id: \"7\") { id } }", json!({}), "\"7\" is not a valid Global ID"),
    ] {
        assert_eq!(first_error(&shop, query, variables).await, expected, "{query}");
    }
    assert!(first_error(&shop, "{ project(", json!({})).await.starts_with("query parse error"));
}

#[tokio::test]
async fn what_may_not_be_seen_is_the_same_as_what_is_not_there() {
    let shop = Shop::open().await;
    let query = "query($id: ContainerRepositoryID!) { containerRepository(id: $id) { name } }";
    let missing = json!({ "id": "gid://gitlab/ContainerRepository/1" });
    let own = json!({ "id": shop.gid() });
    let refusal = json!({
        "data": { "containerRepository": null },
        "errors": [{
            "message": NOT_AVAILABLE,
            "locations": [{ "line": 1, "column": 38 }],
            "path": ["containerRepository"],
        }],
    });
    let (stranger, guest) = (shop.member(None), shop.member(Some(Role::Guest)));
    for (token, variables) in
        [(Some(&shop.token), &missing), (Some(&stranger), &own), (Some(&guest), &own), (None, &own)]
    {
        let reply = shop.graphql_by(token.map(String::as_str), query, variables).await;
        reply.is(200, &refusal);
    }
    shop.sim.edit(|registry| registry.settings.graphql_silent_nulls = true);
    shop.graphql_by(Some(&guest), query, &own).await.is(200, &json!({ "data": { "containerRepository": null } }));
    shop.sim.edit(|registry| {
        let project = registry.project_mut(shop.project).unwrap();
        (project.visibility, project.registry_access) = (Visibility::Public, RegistryAccess::Enabled);
    });
    let reply = shop.graphql_by(None, query, &own).await;
    reply.is(200, &json!({ "data": { "containerRepository": { "name": "api" } } }));
}

#[tokio::test]
async fn a_guest_sees_a_project_without_its_repositories() {
    let shop = Shop::open().await;
    let guest = shop.member(Some(Role::Guest));
    let query = "{ project(fullPath: \"shop/backend\") { name containerRepositories { nodes { name } } } }";
    let body = shop.graphql_by(Some(&guest), query, &json!({})).await.json();
    assert_eq!(body["data"]["project"], json!({ "name": "backend", "containerRepositories": null }));
    assert_eq!(body["errors"][0]["message"], NOT_AVAILABLE);
    assert_eq!(body["errors"][0]["path"], json!(["project", "containerRepositories"]));
    let stranger = shop.member(None);
    let body = shop.graphql_by(Some(&stranger), query, &json!({})).await.json();
    assert_eq!((&body["data"]["project"], &body["errors"][0]["path"]), (&Value::Null, &json!(["project"])));
}

#[tokio::test]
async fn a_token_that_is_not_good_is_invalid_whatever_is_wrong_with_it() {
    let shop = Shop::open().await;
    let (puller, revoked) = shop.sim.edit(|registry| {
        let user = registry.find_token(&shop.token).unwrap().user;
        let puller = registry.personal_token(user, &[Scope::ReadRegistry]);
        let revoked = registry.personal_token(user, &[Scope::Api]);
        registry.token_mut(&revoked).unwrap().revoked = true;
        (puller, revoked)
    });
    for token in [puller.as_str(), revoked.as_str(), "unknown"] {
        let reply = shop.graphql_by(Some(token), "{ __typename }", &json!({})).await;
        reply.is(401, &json!({ "errors": [{ "message": "Invalid token" }] }));
    }
}

#[tokio::test]
async fn a_registry_that_is_down_is_an_error_with_status_200() {
    let shop = Shop::with(Settings { registry_unreachable: true, ..Settings::default() }).await;
    let query = "query($id: ContainerRepositoryID!) { containerRepository(id: $id) { name tagsCount tags(first: 20) { nodes \
                 { name } } } }";
    let body = shop.graphql(query, &json!({ "id": shop.gid() })).await;
    assert_eq!(body["data"]["containerRepository"], json!({ "name": "api", "tagsCount": null, "tags": null }));
    for error in body["errors"].as_array().unwrap() {
        assert!(error["message"].as_str().unwrap().starts_with("Can't connect to the container registry. "));
    }
    assert_eq!(body["errors"][1]["path"], json!(["containerRepository", "tags"]));
}

#[tokio::test]
async fn several_repositories_in_one_query_are_too_much() {
    let shop = Shop::open().await;
    let fields = "name path location digest revision shortRevision totalSize createdAt publishedAt mediaType";
    let one = |index: usize| {
        format!(
            "r{index}: containerRepository(id: \"{}\") {{ tags(first: 20) {{ nodes {{ {fields} }} }} }} ",
            shop.gid()
        )
    };
    let query = |count: usize| format!("{{ {} }}", (0..count).map(one).collect::<String>());
    // Ten fields, the nodes, and the connection: 12 and a fifth of it for 20 tags; one more for the repository.
    assert_eq!(shop.graphql(&query(16), &json!({})).await.get("errors"), None);
    let body = shop.graphql(&query(17), &json!({})).await;
    let text = "Query has complexity of 255, which exceeds max complexity of 250";
    assert_eq!(body, json!({ "errors": [{ "message": text }] }));
    let body = shop.graphql_by(None, &query(14), &json!({})).await.json();
    assert_eq!(body["errors"][0]["message"], "Query has complexity of 210, which exceeds max complexity of 200");
}
