//! What GraphQL tells of repositories, projects and groups (gitlab-api reference 8a).

use gitlab_simulator::{
    Action, Backend, Config, DeleteLevel, Endpoint, Fault, HoldPoint, Matcher, ProtectionRule, Push, RateLimit, Role,
    Scope, Settings, TagKind, Version,
};
use serde_json::{Value, json};

use crate::shop::{Shop, days_ago, soon};

/// Everything a client may want to know of one repository, by pages of 20.
const EVERYTHING: &str = "query everything($id: ContainerRepositoryID!, $after: String) { containerRepository(id: $id) { \
    id name path location createdAt updatedAt status tagsCount size lastPublishedAt expirationPolicyCleanupStatus \
    lastCleanupDeletedTagsCount project { id fullPath name containerExpirationPolicy { enabled cadence keepN olderThan \
    nameRegex nameRegexKeep nextRunAt } } userPermissions { destroyContainerRepository } tags(first: 20, after: $after, \
    sort: PUBLISHED_AT_ASC, referrers: true) { nodes { ...tag } edges { cursor node { ...tag } } pageInfo { hasNextPage \
    hasPreviousPage startCursor endCursor } } } } fragment tag on ContainerRepositoryTag { name path location digest \
    revision shortRevision totalSize createdAt publishedAt mediaType referrers { artifactType digest } protection { \
    minimumAccessLevelForPush minimumAccessLevelForDelete immutable } userPermissions { destroyContainerRepositoryTag } }";

#[tokio::test]
async fn everything_about_a_repository_fits_into_one_query() {
    let shop = Shop::open().await;
    let push = Push::at(days_ago(3)).digest("sha256:a").size(42);
    shop.sim.edit(|registry| {
        registry.push(shop.repository, "v1", push.clone());
        registry.push(shop.repository, "same", push);
        let rules = &mut registry.project_mut(shop.project).unwrap().protection_rules;
        rules.push(ProtectionRule::mutable("v", DeleteLevel::Owner));
        rules.push(ProtectionRule::mutable("1", DeleteLevel::Maintainer));
    });
    let body = shop.graphql(EVERYTHING, &json!({ "id": shop.gid() })).await;
    assert_eq!(body.get("errors"), None, "{body}");
    let mut found = body["data"]["containerRepository"].clone();
    let tags = found["tags"].take();
    let expected = json!({
        "id": shop.gid(), "name": "api", "path": "shop/backend/api",
        "location": "registry.gitlab.example.com/shop/backend/api", "createdAt": "2025-03-01T12:00:00Z",
        "updatedAt": "2025-03-01T12:00:00Z", "status": null, "tagsCount": 2, "size": 42.0,
        "lastPublishedAt": "2025-02-26T12:00:00+00:00", "expirationPolicyCleanupStatus": "UNSCHEDULED",
        "lastCleanupDeletedTagsCount": null,
        "project": {
            "id": format!("gid://gitlab/Project/{}", shop.project), "fullPath": "shop/backend", "name": "backend",
            "containerExpirationPolicy": {
                "enabled": false, "cadence": "EVERY_DAY", "keepN": "TEN_TAGS", "olderThan": "NINETY_DAYS",
                "nameRegex": ".*", "nameRegexKeep": null, "nextRunAt": null,
            },
        },
        "userPermissions": { "destroyContainerRepository": true }, "tags": null,
    });
    assert_eq!(found, expected);
    let (same, v1) = (&tags["nodes"][0], &tags["nodes"][1]);
    assert_eq!(tags["edges"][1]["node"], *v1);
    let revision = v1["revision"].as_str().unwrap();
    let expected = json!({
        "name": "v1", "path": "shop/backend/api:v1", "location": "registry.gitlab.example.com/shop/backend/api:v1",
        "digest": "sha256:a", "revision": revision, "shortRevision": &revision[..9], "totalSize": "42",
        "createdAt": "2025-02-26T12:00:00+00:00", "publishedAt": "2025-02-26T12:00:00+00:00",
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "referrers": [],
        "protection": {
            "minimumAccessLevelForPush": "OWNER", "minimumAccessLevelForDelete": "OWNER", "immutable": false,
        },
        "userPermissions": { "destroyContainerRepositoryTag": false },
    });
    assert_eq!((revision.len(), v1), (64, &expected));
    assert_eq!(
        (&same["protection"], &same["userPermissions"]["destroyContainerRepositoryTag"]),
        (&Value::Null, &json!(true))
    );
    shop.sim.edit(|registry| registry.settings.backend = Backend::PlainRegistry);
    let found = shop.graphql(EVERYTHING, &json!({ "id": shop.gid() })).await["data"]["containerRepository"].take();
    assert_eq!((&found["size"], &found["lastPublishedAt"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn referrers_are_told_if_they_are_asked_for() {
    let shop = Shop::open().await;
    let id = shop.repository;
    shop.sim.edit(|registry| {
        registry.push(id, "sbom", Push::default().digest("sha256:s").subject("sha256:a"));
        registry.push(id, "v1", Push::default().digest("sha256:a"));
    });
    for (asked, expected) in [
        (", referrers: true", json!([[], [{ "digest": "sha256:s", "artifactType": "application/spdx+json" }]])),
        ("", json!([null, null])),
    ] {
        let query = format!(
            "query($id: ContainerRepositoryID!) {{ containerRepository(id: $id) {{ tags(first: 20{asked}) {{ nodes {{ \
             referrers {{ digest artifactType }} }} }} }} }}"
        );
        let body = shop.graphql(&query, &json!({ "id": shop.gid() })).await;
        let nodes = body["data"]["containerRepository"]["tags"]["nodes"].as_array().unwrap().clone();
        let told: Value = nodes.iter().map(|node| node["referrers"].clone()).collect();
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn aliases_fragments_and_directives_work() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1)]);
    let query = "query a($id: ContainerRepositoryID!, $no: Boolean = false) { one: containerRepository(id: $id) { \
                 __typename ...names tagsCount @include(if: $no) } two: containerRepository(id: $id) { \
                 ... on ContainerRepositoryDetails { label: name } ... { path @skip(if: $no) } } } \
                 query b { __typename } fragment names on ContainerRepositoryDetails { name }";
    let request = shop.client.post(format!("{}/api/graphql", shop.sim.url())).bearer_auth(&shop.token);
    let variables = json!({ "id": shop.gid() }).to_string();
    let body = json!({ "query": query, "operationName": "a", "variables": variables });
    let reply = crate::shop::send(request.json(&body)).await;
    let expected = json!({ "data": {
        "one": { "__typename": "ContainerRepositoryDetails", "name": "api" },
        "two": { "label": "api", "path": "shop/backend/api" },
    } });
    reply.is(200, &expected);
}

#[tokio::test]
async fn a_project_and_a_group_list_their_repositories() {
    let shop = Shop::open().await;
    shop.sim.edit(|registry| {
        for index in 0..104 {
            registry.repository(&format!("shop/backend/r{index:03}"));
        }
        registry.repository("shop/frontend/web");
    });
    for (root, path, total) in [("project", "shop/backend", 105), ("group", "shop", 106)] {
        for sort in ["NAME_ASC", "CREATED_DESC"] {
            let query = format!(
                "query($path: ID!, $after: String) {{ {root}(fullPath: $path) {{ containerRepositoriesCount \
                 containerRepositories(first: 500, after: $after, sort: {sort}) {{ nodes {{ name }} pageInfo {{ \
                 endCursor hasNextPage }} }} }} }}"
            );
            let (mut names, mut after, mut sizes) = (Vec::new(), Value::Null, Vec::new());
            loop {
                let body = shop.graphql(&query, &json!({ "path": path, "after": after })).await;
                let page = &body["data"][root]["containerRepositories"];
                let nodes = page["nodes"].as_array().unwrap();
                sizes.push(nodes.len());
                names.extend(nodes.iter().map(|node| node["name"].as_str().unwrap().to_owned()));
                assert_eq!(body["data"][root]["containerRepositoriesCount"], total);
                after = page["pageInfo"]["endCursor"].clone();
                if page["pageInfo"]["hasNextPage"] == false {
                    break;
                }
            }
            assert_eq!(sizes, [100, total - 100]);
            assert_eq!(
                names.first().unwrap(),
                if sort == "NAME_ASC" {
                    "api"
                } else if root == "group" {
                    "web"
                } else {
                    "r103"
                }
            );
            names.sort();
            names.dedup();
            assert_eq!(names.len(), total);
        }
    }
    let query = "{ project(fullPath: \"shop/backend\") { containerRepositories(name: \"R00\") { nodes { name } } \
                 containerExpirationPolicy { enabled } } }";
    let body = shop.graphql(query, &json!({})).await;
    assert_eq!(body["data"]["project"]["containerRepositories"]["nodes"].as_array().unwrap().len(), 10);
    assert_eq!(body["data"]["project"]["containerExpirationPolicy"], json!({ "enabled": false }));
}

#[tokio::test]
async fn reading_takes_a_reporter_and_read_api() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 1)]);
    let reader = shop.sim.edit(|registry| {
        let user = registry.user("reader");
        registry.set_role("shop/backend", user, Some(Role::Reporter));
        registry.personal_token(user, &[Scope::ReadApi])
    });
    let query = "query($id: ContainerRepositoryID!) { containerRepository(id: $id) { userPermissions { \
                 destroyContainerRepository } project { containerExpirationPolicy { enabled } } tags(first: 20) { nodes { \
                 userPermissions { destroyContainerRepositoryTag } } } } }";
    let body = shop.graphql_by(Some(&reader), query, &json!({ "id": shop.gid() })).await.json();
    let found = &body["data"]["containerRepository"];
    assert_eq!(found["userPermissions"]["destroyContainerRepository"], false);
    assert_eq!(found["tags"]["nodes"][0]["userPermissions"]["destroyContainerRepositoryTag"], false);
    assert_eq!(found["project"]["containerExpirationPolicy"], Value::Null);
}

#[tokio::test]
async fn a_list_may_end_early_without_a_word() {
    let shop = Shop::open().await;
    shop.push(&[("a", 1), ("b", 2), ("c", 3)]);
    let matcher = Matcher::endpoint(Endpoint::GraphqlQuery).repository(shop.repository).times(1);
    shop.sim.fault(Fault::new(matcher, Action::TruncateTags { keep: 2 }));
    let tags = async || {
        let body = shop.graphql(EVERYTHING, &json!({ "id": shop.gid() })).await;
        let page = &body["data"]["containerRepository"]["tags"];
        assert_eq!(page["pageInfo"]["hasNextPage"], false);
        page["nodes"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(tags().await, ["c", "b"]);
    assert_eq!(tags().await, ["c", "b", "a"]);
    shop.sim.edit(|registry| registry.settings.registry_lists_fail = true);
    assert!(tags().await.is_empty());
}

#[tokio::test]
async fn faults_holds_and_limits_apply_and_the_log_knows_what_was_asked() {
    let limit = RateLimit { requests: 3, period_seconds: 60, headers_on_every_answer: false };
    let settings = Settings { rate_limit: Some(limit), ..Settings::default() };
    let shop = Shop::start(Config { settings, relative_url_root: "/gitlab".into(), ..Config::default() }).await;
    shop.push(&[("a", 1)]);
    let destroy = format!(
        "mutation gone {{ destroyContainerRepositoryTags(input: {{ id: \"{}\", tagNames: [\"a\"] }}) {{ errors }} }}",
        shop.gid()
    );
    let mutations = Matcher::endpoint(Endpoint::GraphqlMutation).repository(shop.repository);
    shop.sim.fault(Fault::new(mutations.clone().times(1), Action::DropConnection));
    let url = format!("{}/api/graphql", shop.sim.url());
    let request = || shop.client.post(&url).bearer_auth(&shop.token).json(&json!({ "query": destroy }));
    assert!(request().send().await.is_err());
    assert_eq!(shop.tags(), ["a"]);
    let hold = shop.sim.hold(mutations, HoldPoint::AfterProcessing);
    let running = tokio::spawn(crate::shop::send(request()));
    soon(hold.reached()).await;
    assert!(shop.tags().is_empty());
    hold.release();
    assert_eq!(running.await.unwrap().status, 200);
    let record = &shop.sim.requests_to(Endpoint::GraphqlMutation)[1];
    assert_eq!((record.operation.as_deref(), &record.tag_names), (Some("gone"), &vec!["a".to_owned()]));
    assert_eq!((record.repository, record.token.as_deref()), (Some(shop.repository), Some("shop-maintainer")));
    assert_eq!(
        (record.params["query"].as_str(), record.path.as_str()),
        (Some(destroy.as_str()), "/gitlab/api/graphql")
    );
    let query = "query($path: ID!) { project(fullPath: $path) { id } }";
    shop.graphql(query, &json!({ "path": "shop/backend" })).await;
    let record = &shop.sim.requests_to(Endpoint::GraphqlQuery)[0];
    assert_eq!(
        (record.namespace.as_deref(), record.repository, record.operation.as_deref()),
        (Some("shop/backend"), None, None)
    );
    // The dropped connection never got to the limiter.
    assert_eq!(shop.graphql_by(Some(&shop.token), query, &json!({})).await.status, 200);
    let reply = shop.graphql_by(Some(&shop.token), query, &json!({})).await;
    assert_eq!((reply.status, reply.text.as_str()), (429, "Retry later"));
}

#[tokio::test]
async fn the_images_in_an_index_are_told_by_tag_details_and_those_of_a_list_by_its_manifest_too() {
    let shop = Shop::open().await;
    let kinds = [("image", TagKind::Image), ("index", TagKind::Index), ("list", TagKind::ManifestList)];
    shop.sim.edit(|registry| {
        registry.settings.version = Version::new(18, 10);
        for (name, kind) in kinds {
            let children: &[&str] = if kind == TagKind::Image { &[] } else { &["sha256:1", "sha256:2"] };
            registry.push(
                shop.repository,
                name,
                Push::default().digest(&format!("sha256:{name}")).kind(kind).children(children),
            );
        }
    });
    let query = "query a($id: ContainerRepositoryID!, $name: String!, $reference: String!) { containerRepository(id: $id) { \
                 tagDetails(name: $name) { name digest mediaType platform { os architecture } manifests { digest mediaType \
                 platform { os architecture } size } } manifest(reference: $reference) } }";
    let ask = async |name: &str, reference: &str| {
        let variables = json!({ "id": shop.gid(), "name": name, "reference": reference });
        let body = shop.graphql(query, &variables).await;
        assert_eq!(body.get("errors"), None, "{body}");
        body["data"]["containerRepository"].clone()
    };
    let listed =
        |found: &Value| found["manifests"].as_array().map(|all| all.iter().map(|one| one["digest"].clone()).collect());
    let text = |found: &Value| serde_json::from_str::<Value>(found["manifest"].as_str().unwrap()).unwrap();
    for (name, children) in [("image", None), ("index", Some(json!(["sha256:1", "sha256:2"])))] {
        let details = ask(name, "nowhere").await["tagDetails"].clone();
        assert_eq!((&details["digest"], listed(&details)), (&json!(format!("sha256:{name}")), children));
    }
    assert_eq!(ask("nowhere", "nowhere").await, json!({ "tagDetails": null, "manifest": null }));
    assert_eq!(ask("index", "sha256:index").await["manifest"], Value::Null);
    assert_eq!(listed(&text(&ask("list", "sha256:list").await)), Some(json!(["sha256:1", "sha256:2"])));
    assert_eq!(listed(&text(&ask("list", "list").await)), None, "an image in the list");
    shop.sim.edit(|registry| registry.settings.backend = Backend::PlainRegistry);
    assert_eq!(ask("index", "index").await["tagDetails"], Value::Null);

    shop.sim.edit(|registry| registry.settings.version = Version::new(18, 9));
    let variables = json!({ "id": shop.gid(), "name": "index", "reference": "index" });
    let body = shop.graphql(query, &variables).await;
    assert_eq!(body["errors"][0]["extensions"]["fieldName"], "tagDetails", "{body}");
}
