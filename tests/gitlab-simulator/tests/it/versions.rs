//! What older releases did differently (gitlab-api reference 3 and 8b).

use gitlab_simulator::{Backend, JobStatus, Push, Settings, TagKind, Version};
use serde_json::json;

use crate::shop::{Shop, days_ago};

#[tokio::test]
async fn the_first_releases_know_three_parameters_and_ignore_the_rest() {
    let shop = Shop::version(12, 8).await;
    shop.push(&[("keep-me", 9), ("other", 9)]);
    shop.bulk(&json!({ "name_regex_delete": ".*" })).await.is_error(400, "name_regex is missing");
    let params = json!({ "name_regex": ".*", "name_regex_keep": "keep.*", "name_regex_delete": "nothing(" });
    assert_eq!(shop.bulk(&params).await.status, 202);
    shop.advance(60);
    // The parameter that should have kept it was not known.
    assert!(shop.tags().is_empty());
}

#[tokio::test]
async fn the_first_releases_check_no_regex_before_the_job() {
    let shop = Shop::version(12, 8).await;
    shop.push(&[("a", 9)]);
    assert_eq!(shop.bulk(&json!({ "name_regex": "(" })).await.status, 202);
    shop.advance(1);
    shop.advance(600);
    assert_eq!((shop.sim.jobs()[0].outcome.clone().unwrap().status, shop.tags().len()), (JobStatus::Raised, 1));
}

#[tokio::test]
async fn the_first_releases_drop_duplicates_inside_the_job() {
    let shop = Shop::version(12, 8).await;
    shop.push(&[("a", 9), ("b", 9)]);
    for pattern in ["a", "b"] {
        assert_eq!(shop.bulk(&json!({ "name_regex": pattern })).await.status, 202);
    }
    shop.advance(60);
    assert_eq!(shop.tags(), ["b"]);
    let statuses: Vec<_> = shop.sim.jobs().into_iter().map(|job| job.outcome.unwrap().status).collect();
    assert_eq!(statuses, [JobStatus::Success, JobStatus::Dropped]);
    shop.advance(3600);
    shop.bulk(&json!({ "name_regex": "b" })).await;
    shop.advance(60);
    assert!(shop.tags().is_empty());
}

#[tokio::test]
async fn until_12_3_an_image_goes_with_all_its_tags_or_not_at_all() {
    for (minor, remaining) in [(3, vec!["index", "latest", "old-latest", "x"]), (4, vec!["index", "latest", "x"])] {
        let shop = Shop::version(12, minor).await;
        shop.sim.edit(|registry| {
            let push = |digest: &str| Push::at(days_ago(9)).digest(digest);
            for (name, digest) in [("latest", "1"), ("old-latest", "1"), ("old-a", "2"), ("old-b", "2"), ("x", "3")] {
                registry.push(shop.repository, name, push(digest));
            }
            // Tags without a manifest were left out until 12.10.
            registry.push(shop.repository, "index", push("4").kind(TagKind::Index));
        });
        shop.bulk(&json!({ "name_regex": "old.*|index" })).await;
        shop.advance(60);
        assert_eq!(shop.tags(), remaining, "12.{minor}");
    }
}

#[tokio::test]
async fn until_12_3_deleting_a_tag_removes_the_image() {
    for (minor, remaining) in [(3, vec!["c"]), (4, vec!["b", "c"])] {
        let shop = Shop::version(12, minor).await;
        shop.sim.edit(|registry| {
            for (name, digest) in [("a", "1"), ("b", "1"), ("c", "2")] {
                registry.push(shop.repository, name, Push::default().digest(digest));
            }
        });
        assert_eq!(shop.delete(&shop.tags_path("/a")).await.status, 200);
        assert_eq!(shop.tags(), remaining, "12.{minor}");
    }
}

#[tokio::test]
async fn routes_appear_with_their_release() {
    type Path = fn(&Shop) -> String;
    let one: Path = |shop| format!("/registry/repositories/{}", shop.repository);
    let group: Path = |_| "/groups/shop/registry/repositories".to_owned();
    let token: Path = |_| "/personal_access_tokens/self".to_owned();
    for (path, major, since) in [(group, 12, 2), (one, 13, 6), (token, 15, 5)] {
        let shop = Shop::version(major, since - 1).await;
        shop.get(&path(&shop)).await.is_error(404, "404 Not Found");
        shop.sim.edit(|registry| registry.settings.version = Version::new(major, since));
        assert_eq!(shop.get(&path(&shop)).await.status, 200);
    }
}

#[tokio::test]
async fn counts_come_in_13_1_and_leave_groups_in_15_0() {
    let shop = Shop::version(13, 0).await;
    let has = async |path: &str| shop.get(path).await.json()[0].get("tags_count").is_some();
    let group = "/groups/shop/registry/repositories?tags_count=true";
    assert!(!has(&shop.path("?tags_count=true")).await);
    shop.sim.edit(|registry| registry.settings.version = Version::new(14, 10));
    assert!(has(&shop.path("?tags_count=true")).await && has(group).await);
    shop.sim.edit(|registry| registry.settings.version = Version::new(15, 0));
    assert!(has(&shop.path("?tags_count=true")).await && !has(group).await);
    assert_eq!(shop.get(group.replace("true", "maybe").as_str()).await.status, 200);
}

#[tokio::test]
async fn older_servers_overlook_keyset() {
    for backend in [Backend::MetadataDatabase, Backend::PlainRegistry] {
        let version = Version::new(16, 9);
        let shop = Shop::with(Settings { version, backend, ..Settings::default() }).await;
        shop.push(&[("a", 1)]);
        let reply = shop.get(&shop.tags_path("?pagination=keyset")).await;
        assert_eq!((reply.status, reply.header("x-page")), (200, Some("1")));
    }
}

#[tokio::test]
async fn protection_is_unknown_before_17_9_and_immutability_before_18_1() {
    use gitlab_simulator::{DeleteLevel, ProtectionRule};
    for (version, remaining) in
        [((17, 8), vec![]), ((17, 9), vec!["p"]), ((18, 0), vec!["p"]), ((18, 1), vec!["i", "p"])]
    {
        let shop = Shop::version(version.0, version.1).await;
        shop.push(&[("p", 9), ("i", 9)]);
        shop.sim.edit(|registry| {
            let project = registry.project_mut(shop.project).unwrap();
            project.protection_rules =
                vec![ProtectionRule::mutable("p", DeleteLevel::Admin), ProtectionRule::immutable("i")];
        });
        shop.bulk(&json!({ "name_regex_delete": ".*" })).await;
        shop.advance(60);
        assert_eq!(shop.tags(), remaining, "{version:?}");
    }
}

#[tokio::test]
async fn the_version_is_shown_as_asked_for() {
    let shop = Shop::version(12, 4).await;
    assert_eq!(shop.get("/version").await.json()["version"], "12.4.0-ee");
}
