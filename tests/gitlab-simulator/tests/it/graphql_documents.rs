//! Documents of GraphQL with several parts: aliases, order, complexity, length and time (gitlab-api reference 11).

use gitlab_simulator::{Push, Settings};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::shop::{Shop, days_ago, now};

/// A mutation with a field for each of these names: `r0` removes the first.
fn removals(shop: &Shop, names: &[&str]) -> String {
    let field = |(index, name): (usize, &&str)| {
        let id = shop.gid();
        format!(
            "r{index}: destroyContainerRepositoryTags(input: {{ id: \"{id}\", tagNames: [\"{name}\"] }}) {{ \
             deletedTagNames errors }} "
        )
    };
    format!("mutation {{ {} }}", names.iter().enumerate().map(field).collect::<String>())
}

/// A query with so many pages of one repository.
fn pages(shop: &Shop, count: usize) -> String {
    let field = |index: usize| {
        let id = shop.gid();
        format!("p{index}: containerRepository(id: \"{id}\") {{ tags(first: 20) {{ nodes {{ name }} }} }} ")
    };
    format!("{{ {} }}", (0..count).map(field).collect::<String>())
}

fn gone(name: &str) -> Value {
    json!({ "deletedTagNames": [name], "errors": [] })
}

async fn taking(page: i64, removal: i64) -> Shop {
    Shop::with(Settings {
        graphql_page_takes: SignedDuration::from_secs(page),
        graphql_removal_takes: SignedDuration::from_secs(removal),
        ..Settings::default()
    })
    .await
}

#[tokio::test]
async fn the_fields_of_a_mutation_run_in_the_order_in_which_they_stand() {
    let shop = Shop::open().await;
    shop.push(&[("a", 1), ("b", 1)]);
    // The second finds what the first has left: a name that is gone counts as deleted each time.
    let body = shop.graphql(&removals(&shop, &["b", "a", "b"]), &json!({})).await;
    assert_eq!(body, json!({ "data": { "r0": gone("b"), "r1": gone("a"), "r2": gone("b") } }));
    let keys: Vec<&String> = body["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["r0", "r1", "r2"]);
    let requests = shop.sim.requests();
    let record = requests.last().unwrap();
    assert_eq!((record.fields, record.tag_names.join(" ").as_str()), (3, "b a b"));
}

#[tokio::test]
async fn what_is_wrong_with_one_field_of_a_mutation_is_told_of_that_one() {
    let shop = Shop::open().await;
    shop.push(&[("a", 1)]);
    let wrong = removals(&shop, &["x", "a"]).replacen(&shop.gid(), "gid://gitlab/ContainerRepository/1", 1);
    let body = shop.graphql(&wrong, &json!({})).await;
    assert_eq!(body["data"], json!({ "r0": null, "r1": gone("a") }));
    assert_eq!(body["errors"][0]["path"], json!(["r0"]));
    assert_eq!(body["errors"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_mutation_is_weighed_as_a_whole() {
    let shop = Shop::open().await;
    shop.push(&[("a", 1)]);
    let field = |index: usize| {
        format!(
            "r{index}: destroyContainerRepositoryTags(input: {{ id: $id, tagNames: $n }}) {{ deletedTagNames errors }} "
        )
    };
    let mutation = |count: usize| {
        let fields: String = (0..count).map(field).collect();
        format!("mutation($id: ContainerRepositoryID!, $n: [String!]!) {{ {fields} }}")
    };
    let variables = json!({ "id": shop.gid(), "n": ["a"] });
    let body = shop.graphql(&mutation(84), &variables).await;
    let text = "Query has complexity of 252, which exceeds max complexity of 250";
    assert_eq!(body, json!({ "errors": [{ "message": text }] }));
    assert_eq!(shop.tags(), ["a"], "nothing was done");
    let body = shop.graphql(&mutation(83), &variables).await;
    assert_eq!(body.get("errors"), None, "{body}");
}

#[tokio::test]
async fn a_document_that_is_too_long_is_refused_whatever_its_variables_hold() {
    let shop = Shop::open().await;
    let query = "query($id: ContainerRepositoryID!, $n: String) { containerRepository(id: $id) { tags(first: 1, name: $n) { \
                 nodes { name } } } }";
    let variables = json!({ "id": shop.gid(), "n": "x".repeat(20_000) });
    assert_eq!(shop.graphql(query, &variables).await.get("errors"), None);
    // Characters count, not bytes.
    let filled = |length: usize| format!("{query} #{}", "é".repeat(length - query.len() - 2));
    assert_eq!(shop.graphql(&filled(10_000), &variables).await.get("errors"), None);
    let reply = shop.graphql_by(Some(&shop.token), &filled(10_001), &variables).await;
    reply.is(422, &json!({ "errors": [{ "message": "Query too large" }] }));
}

#[tokio::test]
async fn pages_that_are_not_told_in_time_are_null_each_for_itself() {
    let shop = taking(12, 0).await;
    shop.push(&[("a", 1)]);
    let body = shop.graphql(&pages(&shop, 4), &json!({})).await;
    let told = json!({ "tags": { "nodes": [{ "name": "a" }] } });
    assert_eq!(body["data"], json!({ "p0": told, "p1": told, "p2": { "tags": null }, "p3": null }));
    let errors: Vec<(&Value, &Value)> =
        body["errors"].as_array().unwrap().iter().map(|error| (&error["message"], &error["path"])).collect();
    assert_eq!(
        errors,
        [
            (&json!("Timeout on ContainerRepositoryDetails.tags"), &json!(["p2", "tags"])),
            (&json!("Timeout on Query.containerRepository"), &json!(["p3"])),
        ]
    );
    assert_eq!(shop.sim.clock().now().duration_since(now()), SignedDuration::from_secs(36));
}

#[tokio::test]
async fn the_removal_in_which_time_runs_out_is_done_and_told_to_nobody() {
    let shop = taking(0, 16).await;
    for name in ["a", "b", "c"] {
        shop.sim.edit(|registry| registry.push(shop.repository, name, Push::at(days_ago(1))));
    }
    let body = shop.graphql(&removals(&shop, &["a", "b", "c"]), &json!({})).await;
    assert_eq!(body["data"], json!({ "r0": gone("a"), "r1": null, "r2": null }));
    let paths: Vec<&Value> = body["errors"].as_array().unwrap().iter().map(|error| &error["path"]).collect();
    assert_eq!(paths, [&json!(["r1", "errors"]), &json!(["r2"])]);
    assert_eq!(shop.tags(), ["c"], "the second is gone although nothing says so");
}
