//! Pages of tags in GraphQL, with the ways in which they lose tags (gitlab-api reference 8a).

use std::collections::BTreeSet;

use gitlab_simulator::{Backend, Push, Settings, TagCursors, TagKind, Version};
use serde_json::{Value, json};

use crate::shop::{Shop, days_ago};

const TAGS: &str = "query tags($id: ContainerRepositoryID!, $first: Int, $last: Int, $after: String, $before: String, \
                    $sort: ContainerRepositoryTagSort, $name: String) { containerRepository(id: $id) { \
                    tags(first: $first, last: $last, after: $after, before: $before, sort: $sort, name: $name) { \
                    nodes { name } edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }";

async fn shop(version: (u16, u16), backend: Backend) -> Shop {
    let version = Version::new(version.0, version.1);
    Shop::with(Settings { version, backend, ..Settings::default() }).await
}

fn number(shop: &Shop, count: usize) {
    shop.sim.edit(|registry| {
        for index in 0..count {
            // The later in the alphabet, the older.
            let push = Push::at(days_ago(i64::try_from(index).unwrap()));
            registry.push(shop.repository, &format!("t{index:03}"), push);
        }
    });
}

async fn page(shop: &Shop, mut variables: Value) -> Value {
    variables["id"] = json!(shop.gid());
    let body = shop.graphql(TAGS, &variables).await;
    assert_eq!(body.get("errors"), None, "{body}");
    body["data"]["containerRepository"]["tags"].clone()
}

fn names(page: &Value) -> Vec<String> {
    page["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap().to_owned()).collect()
}

/// Follows `endCursor` to the end.
async fn walk(shop: &Shop, first: usize, sort: Option<&str>) -> Vec<String> {
    let (mut seen, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = page(shop, json!({ "first": first, "after": after, "sort": sort })).await;
        seen.extend(names(&page));
        if page["pageInfo"]["hasNextPage"] == false {
            return seen;
        }
        after = page["pageInfo"]["endCursor"].clone();
        assert!(after.is_string());
    }
}

#[tokio::test]
async fn pages_of_twenty_show_every_tag_once_on_every_server() {
    for (version, backend) in [
        ((16, 11), Backend::MetadataDatabase),
        ((18, 5), Backend::MetadataDatabase),
        ((16, 11), Backend::PlainRegistry),
        ((18, 5), Backend::PlainRegistry),
    ] {
        let shop = shop(version, backend).await;
        number(&shop, 65);
        for sort in [None, Some("NAME_ASC")] {
            assert_eq!(walk(&shop, 20, sort).await, shop.tags(), "{version:?} {backend:?}");
        }
        let mut backwards = walk(&shop, 20, Some("NAME_DESC")).await;
        backwards.reverse();
        assert_eq!(backwards, shop.tags());
    }
}

#[tokio::test]
async fn the_two_kinds_of_cursors_differ_and_can_be_chosen() {
    let shop = shop((18, 5), Backend::MetadataDatabase).await;
    number(&shop, 30);
    let own = page(&shop, json!({ "first": 20 })).await;
    shop.sim.edit(|registry| registry.settings.graphql_tag_cursors = Some(TagCursors::Offset));
    let other = page(&shop, json!({ "first": 20 })).await;
    assert_eq!(names(&own), names(&other));
    assert_ne!(own["pageInfo"]["endCursor"], other["pageInfo"]["endCursor"]);
    // Of the registry's pages, only those that something follows have an end.
    shop.sim.edit(|registry| registry.settings.graphql_tag_cursors = None);
    let last = page(&shop, json!({ "first": 20, "after": own["pageInfo"]["endCursor"] })).await;
    assert_eq!((names(&last).len(), &last["pageInfo"]["endCursor"]), (10, &Value::Null));
}

#[tokio::test]
async fn asking_for_a_hundred_silently_loses_eighty_of_each() {
    let shop = shop((18, 5), Backend::MetadataDatabase).await;
    number(&shop, 150);
    let seen: BTreeSet<_> = walk(&shop, 100, None).await.into_iter().collect();
    assert_eq!(seen.len(), 40);
    assert!(seen.contains("t019") && !seen.contains("t020") && seen.contains("t100"));
    assert!(page(&shop, json!({ "first": 1001 })).await["nodes"].as_array().unwrap().is_empty());
    // By offset `first: 100` is only a long word for 20.
    shop.sim.edit(|registry| registry.settings.backend = Backend::PlainRegistry);
    assert_eq!(walk(&shop, 100, None).await.len(), 150);
}

#[tokio::test]
async fn without_a_size_the_registry_is_asked_for_nothing() {
    let shop = shop((18, 5), Backend::MetadataDatabase).await;
    number(&shop, 30);
    let empty = page(&shop, json!({})).await;
    assert_eq!((names(&empty).len(), &empty["pageInfo"]["hasNextPage"]), (0, &json!(false)));
    shop.sim.edit(|registry| registry.settings.version = Version::new(16, 0));
    assert_eq!(names(&page(&shop, json!({})).await).len(), 20);
}

#[tokio::test]
async fn pages_go_backwards_too() {
    for version in [(16, 11), (18, 5)] {
        let shop = shop(version, Backend::MetadataDatabase).await;
        number(&shop, 50);
        let first = page(&shop, json!({ "first": 20 })).await;
        let second = page(&shop, json!({ "first": 20, "after": first["pageInfo"]["endCursor"] })).await;
        assert_eq!(second["pageInfo"]["hasPreviousPage"], true);
        let before = second["pageInfo"]["startCursor"].clone();
        let again = page(&shop, json!({ "last": 20, "before": before })).await;
        assert_eq!(names(&again), names(&first));
        assert_eq!(again["pageInfo"]["hasPreviousPage"], false);
    }
}

#[tokio::test]
async fn tags_can_be_searched_by_a_part_of_their_name() {
    for backend in [Backend::MetadataDatabase, Backend::PlainRegistry] {
        let shop = shop((18, 5), backend).await;
        shop.push(&[("v1", 1), ("mr-v1-x", 1), ("main", 1)]);
        assert_eq!(names(&page(&shop, json!({ "first": 20, "name": "v1" })).await), ["mr-v1-x", "v1"]);
    }
}

#[tokio::test]
async fn the_last_push_sorts_only_where_it_is_known() {
    let shop = shop((18, 5), Backend::MetadataDatabase).await;
    number(&shop, 45);
    // Pushed again a moment ago, with another image.
    shop.push(&[("t044", 0)]);
    let newest = walk(&shop, 15, Some("PUBLISHED_AT_DESC")).await;
    assert_eq!((newest.len(), &newest[..3]), (45, &["t044".to_owned(), "t000".into(), "t001".into()][..]));
    let mut oldest = walk(&shop, 20, Some("PUBLISHED_AT_ASC")).await;
    oldest.reverse();
    assert_eq!(oldest, newest);
    shop.sim.edit(|registry| registry.settings.backend = Backend::PlainRegistry);
    assert_eq!(walk(&shop, 20, Some("PUBLISHED_AT_ASC")).await, shop.tags());
}

#[tokio::test]
async fn older_servers_do_not_know_the_sort() {
    let shop = shop((16, 11), Backend::MetadataDatabase).await;
    let query = format!(
        "{{ containerRepository(id: \"{}\") {{ tags(first: 20, sort: PUBLISHED_AT_ASC) {{ nodes {{ name }} }} }} }}",
        shop.gid()
    );
    let body = shop.graphql(&query, &json!({})).await;
    assert_eq!(
        body["errors"][0]["message"],
        "Argument 'sort' on Field 'tags' has an invalid value (PUBLISHED_AT_ASC). Expected type \
         'ContainerRepositoryTagSort'."
    );
    let body = shop.graphql(TAGS, &json!({ "id": shop.gid(), "sort": "PUBLISHED_AT_ASC" })).await;
    let error = &body["errors"][0];
    assert_eq!(error["message"], "Variable $sort of type ContainerRepositoryTagSort was provided invalid value");
    let why = "Expected \"PUBLISHED_AT_ASC\" to be one of: NAME_ASC, NAME_DESC";
    assert_eq!(error["extensions"]["problems"][0]["explanation"], why);
}

#[tokio::test]
async fn a_cursor_of_an_item_is_not_one_of_the_registry() {
    let shop = shop((18, 5), Backend::MetadataDatabase).await;
    number(&shop, 30);
    let first = page(&shop, json!({ "first": 20 })).await;
    let last_edge = first["edges"][19]["cursor"].clone();
    assert_ne!(last_edge, first["pageInfo"]["endCursor"]);
    // By offset they are the same.
    shop.sim.edit(|registry| registry.settings.backend = Backend::PlainRegistry);
    let first = page(&shop, json!({ "first": 20 })).await;
    assert_eq!(first["edges"][19]["cursor"], first["pageInfo"]["endCursor"]);
    let body = shop.graphql(TAGS, &json!({ "id": shop.gid(), "after": "?" })).await;
    assert_eq!(body["errors"][0]["message"], "Invalid cursor: \"?\"");
}

#[tokio::test]
async fn an_index_is_only_a_name_on_path_b() {
    let query = "query($id: ContainerRepositoryID!) { containerRepository(id: $id) { tags(first: 20) { nodes { \
                 name digest revision shortRevision totalSize createdAt publishedAt mediaType } } } }";
    let shop = shop((18, 5), Backend::MetadataDatabase).await;
    shop.sim.edit(|registry| {
        let push = Push::at(days_ago(2)).built(days_ago(9)).digest("sha256:1").size(7);
        registry.push(shop.repository, "a", push.clone());
        registry.push(shop.repository, "index", push.kind(TagKind::Index));
        registry.push(shop.repository, "a", Push::at(days_ago(1)).digest("sha256:2").built(days_ago(9)).size(8));
    });
    let body = shop.graphql(query, &json!({ "id": shop.gid() })).await;
    let nodes = &body["data"]["containerRepository"]["tags"]["nodes"];
    assert_eq!(nodes[0]["createdAt"], "2025-02-27T12:00:00+00:00");
    assert_eq!(nodes[0]["publishedAt"], "2025-02-28T12:00:00+00:00");
    assert_eq!((&nodes[0]["totalSize"], &nodes[0]["digest"]), (&json!("8"), &json!("sha256:2")));
    let media = "application/vnd.oci.image.index.v1+json";
    assert_eq!((&nodes[1]["mediaType"], &nodes[1]["revision"]), (&json!(media), &json!("")));
    assert_eq!((&nodes[1]["totalSize"], &nodes[1]["digest"]), (&json!("0"), &json!("sha256:1")));
    shop.sim.edit(|registry| registry.settings.backend = Backend::PlainRegistry);
    let body = shop.graphql(query, &json!({ "id": shop.gid() })).await;
    let nodes = &body["data"]["containerRepository"]["tags"]["nodes"];
    assert_eq!((&nodes[0]["createdAt"], &nodes[0]["publishedAt"]), (&json!("2025-02-20T12:00:00+00:00"), &Value::Null));
    assert_eq!(nodes[0]["digest"], "sha256:2");
    let nothing = json!({ "name": "index", "digest": null, "revision": null, "shortRevision": null, "totalSize": null,
        "createdAt": null, "publishedAt": null, "mediaType": null });
    assert_eq!(nodes[1], nothing);
}

#[tokio::test]
async fn a_page_by_the_last_push_is_the_same_whether_or_not_the_whole_list_was_put_into_order() {
    let shop = shop((18, 5), Backend::MetadataDatabase).await;
    shop.sim.edit(|registry| {
        for index in 0..30 {
            // Some share their moment.
            registry.push(shop.repository, &format!("t{index:02}"), Push::at(days_ago(index * 7 % 10)));
        }
    });
    let first = page(&shop, json!({ "first": 4, "sort": "PUBLISHED_AT_ASC" })).await;
    let second =
        page(&shop, json!({ "first": 4, "sort": "PUBLISHED_AT_ASC", "after": first["pageInfo"]["endCursor"] })).await;
    // The order follows every kind of change.
    shop.sim.edit(|registry| {
        registry.push(shop.repository, "t05", Push::at(days_ago(3)));
        registry.remove_tag(shop.repository, "t07");
        registry.push(shop.repository, "t30", Push::at(days_ago(4)));
    });
    let mut compared = 0;
    for undated in [false, true] {
        if undated {
            shop.sim.edit(|registry| registry.tag_mut(shop.repository, "t11").unwrap().created_at = None);
        }
        let cursors = [json!(null), second["pageInfo"]["startCursor"].clone(), second["pageInfo"]["endCursor"].clone()];
        for (sort, size, cursor) in ["PUBLISHED_AT_ASC", "PUBLISHED_AT_DESC"]
            .into_iter()
            .flat_map(|sort| [1, 5, 20, 100].map(|size| (sort, size)))
            .flat_map(|(sort, size)| cursors.clone().map(|cursor| (sort, size, cursor)))
        {
            for (number, place) in [("first", "after"), ("last", "before"), ("first", "before"), ("last", "after")] {
                let mut asked = json!({ "sort": sort, number: size, place: cursor });
                let found = page(&shop, asked.clone()).await;
                // Every name has it, so that it leaves nothing out.
                asked["name"] = json!("t");
                assert_eq!(found, page(&shop, asked.clone()).await, "{asked}");
                compared += names(&found).len();
            }
        }
    }
    assert!(compared > 500, "{compared}");
}

#[tokio::test]
async fn a_registry_before_3_87_skips_tags_where_pages_come_by_push() {
    let shop = shop((18, 5), Backend::MetadataDatabase).await;
    shop.sim.edit(|registry| {
        for index in 0..60 {
            // Every third name comes before all the others, whenever it was pushed.
            let name = if index % 3 == 0 { format!("a{index:03}") } else { format!("t{index:03}") };
            registry.push(shop.repository, &name, Push::at(days_ago(100 - index)));
        }
    });
    let oldest = Some("PUBLISHED_AT_ASC");
    assert_eq!(walk(&shop, 20, oldest).await.len(), 60);
    shop.sim.edit(|registry| registry.settings.pages_by_push_skip = true);
    let seen = walk(&shop, 20, oldest).await;
    assert_eq!(seen.iter().filter(|name| name.starts_with('a')).count(), 7, "those of the first page: {seen:?}");
    assert_eq!(seen.iter().filter(|name| name.starts_with('t')).count(), 40);
    let newest = walk(&shop, 15, Some("PUBLISHED_AT_DESC")).await;
    assert!(newest.len() < 60 && newest.iter().collect::<BTreeSet<_>>().len() == newest.len(), "{newest:?}");
    assert_eq!(walk(&shop, 20, None).await.len(), 60, "by name nothing is skipped");
}

#[tokio::test]
async fn an_import_gives_every_tag_one_date_and_later_pushes_their_own() {
    let shop = shop((18, 5), Backend::MetadataDatabase).await;
    number(&shop, 5);
    let moment = days_ago(1);
    shop.sim.edit(|registry| {
        registry.import(shop.repository, moment);
        registry.push(shop.repository, "t002", Push::at(days_ago(0)));
    });
    let dates = shop.sim.read(|registry| {
        let tags = registry.find_repository(shop.repository).unwrap().tags().values();
        tags.map(|tag| (tag.created_at, tag.updated_at)).collect::<Vec<_>>()
    });
    assert!(dates.iter().all(|(created, _)| *created == Some(moment)), "{dates:?}");
    assert_eq!(dates.iter().filter(|(_, updated)| updated.is_some()).count(), 1);
}
