//! E8's lease and job beyond the observed cases (gitlab-api reference 1.5 and 2).

use gitlab_simulator::{
    Backend, CleanupParams, DeleteLevel, Endpoint, JobStatus, JobSwitches, ProtectionRule, Push, Role, Settings,
    TagKind,
};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::json;

use crate::shop::{Shop, days_ago, now, send};

const LEASE_TAKEN: &str =
    "This request has already been made. You can run this at most once an hour for a given container repository";

fn outcome(shop: &Shop) -> gitlab_simulator::Outcome {
    shop.sim.jobs().last().unwrap().outcome.clone().expect("the job has run")
}

#[tokio::test]
async fn the_lease_lasts_an_hour_from_the_first_accepted_request() {
    let shop = Shop::open().await;
    assert_eq!(shop.bulk(&json!({ "name_regex_delete": "a" })).await.status, 202);
    shop.advance(1800);
    // Other arguments, and half the time gone: refused, and nothing is prolonged by it.
    shop.bulk(&json!({ "name_regex_delete": "b" })).await.is_message(400, LEASE_TAKEN);
    shop.advance(1799);
    shop.bulk(&json!({ "name_regex_delete": "b" })).await.is_message(400, LEASE_TAKEN);
    shop.advance(1);
    assert_eq!(shop.bulk(&json!({ "name_regex_delete": "b" })).await.status, 202);
    let accepted: Vec<_> = shop.sim.requests_to(Endpoint::BulkDeleteTags).iter().map(|r| r.accepted).collect();
    assert_eq!(accepted, [Some(true), Some(false), Some(false), Some(true)]);
}

#[tokio::test]
async fn the_lease_belongs_to_the_repository_and_to_nobody_else() {
    let shop = Shop::open().await;
    let other = shop.sim.edit(|registry| registry.repository("shop/backend/worker"));
    let maintainer = shop.member(Some(Role::Maintainer));
    shop.bulk(&json!({ "name_regex": "a" })).await;
    let again = send(shop.by(&maintainer, Method::DELETE, &shop.tags_path("?name_regex=c"))).await;
    again.is_message(400, LEASE_TAKEN);
    assert_eq!(shop.delete(&shop.path(&format!("/{other}/tags?name_regex=a"))).await.status, 202);
    // Single deletions know no lease.
    shop.push(&[("v1", 1)]);
    assert_eq!(shop.delete(&shop.tags_path("/v1")).await.status, 200);
}

#[tokio::test]
async fn the_job_waits_for_its_time() {
    let shop = Shop::open().await;
    shop.push(&[("a", 9)]);
    let reply = shop.bulk(&json!({ "name_regex_delete": ".*" })).await;
    assert_eq!((reply.status, reply.text.as_str()), (202, "202"));
    shop.advance(1);
    assert_eq!(shop.tags(), ["a"]);
    shop.advance(1);
    assert!(shop.tags().is_empty());
}

#[tokio::test]
async fn the_job_looks_at_the_tags_of_its_own_time() {
    let shop = Shop::open().await;
    shop.push(&[("a", 9)]);
    shop.bulk(&json!({ "name_regex_delete": ".*" })).await;
    shop.sim.edit(|registry| registry.push(shop.repository, "b", Push::default()));
    // Pushed after the request and gone all the same; what comes after the job stays.
    shop.advance(3600);
    shop.sim.edit(|registry| registry.push(shop.repository, "c", Push::default()));
    assert_eq!(shop.tags(), ["c"]);
    assert_eq!(outcome(&shop).finished_at, now().checked_add(SignedDuration::from_secs(2)).unwrap());
}

#[tokio::test]
async fn the_role_is_checked_again_at_developer_level() {
    for (role, status) in [(Role::Developer, JobStatus::Success), (Role::Reporter, JobStatus::Error)] {
        let shop = Shop::open().await;
        shop.push(&[("a", 9)]);
        shop.bulk(&json!({ "name_regex_delete": ".*" })).await;
        shop.sim.edit(|registry| {
            let bot = registry.find_token(&shop.token).unwrap().user;
            registry.set_role("shop", bot, Some(role));
        });
        shop.advance(60);
        assert_eq!(outcome(&shop).status, status);
        assert_eq!(shop.tags().is_empty(), status == JobStatus::Success);
    }
}

#[tokio::test]
async fn a_job_whose_user_is_gone_does_nothing() {
    let shop = Shop::open().await;
    shop.push(&[("a", 9)]);
    shop.bulk(&json!({ "name_regex_delete": ".*" })).await;
    shop.sim.edit(|registry| {
        let bot = registry.find_token(&shop.token).unwrap().user;
        registry.remove_user(bot);
    });
    shop.advance(60);
    assert_eq!((outcome(&shop).status, shop.tags().len()), (JobStatus::Ignored, 1));
}

#[tokio::test]
async fn a_duration_that_raises_is_retried_three_times_and_keeps_the_lease() {
    let shop = Shop::open().await;
    shop.push(&[("a", 9)]);
    shop.bulk(&json!({ "name_regex_delete": ".*", "older_than": "a week" })).await;
    shop.advance(3000);
    let job = shop.sim.jobs().remove(0);
    assert_eq!((job.attempts, job.outcome.unwrap().status), (4, JobStatus::Raised));
    assert_eq!(shop.tags(), ["a"]);
    shop.bulk(&json!({ "name_regex_delete": ".*" })).await.is_message(400, LEASE_TAKEN);
}

#[tokio::test]
async fn an_empty_older_than_raises_and_an_empty_keep_n_is_none() {
    let shop = Shop::open().await;
    shop.push(&[("a", 9), ("b", 8)]);
    shop.bulk_form("name_regex=.*&keep_n=").await;
    shop.advance(3600);
    assert!(shop.tags().is_empty());
    shop.push(&[("a", 9)]);
    shop.bulk_form("name_regex=.*&older_than=").await;
    shop.advance(3600);
    assert_eq!((outcome(&shop).status, shop.tags().len()), (JobStatus::Raised, 1));
}

#[tokio::test]
async fn keep_n_counts_per_page_of_a_thousand_on_path_a() {
    let shop = Shop::open().await;
    shop.sim.edit(|registry| {
        for index in 0..2_500_i64 {
            registry.push(shop.repository, &format!("t{index:04}"), Push::at(days_ago(2_500 - index)));
        }
    });
    shop.bulk(&json!({ "name_regex_delete": ".*", "keep_n": 10 })).await;
    shop.advance(60);
    let tags = shop.tags();
    assert_eq!(tags.len(), 30);
    assert_eq!((tags[0].as_str(), tags[10].as_str(), tags[20].as_str()), ("t0990", "t1990", "t2490"));
    shop.advance(3600);
    shop.bulk(&json!({ "name_regex_delete": ".*", "keep_n": 10 })).await;
    shop.advance(60);
    // It converges once the repository fits in one page.
    assert_eq!(shop.tags().len(), 10);
}

#[tokio::test]
async fn path_b_takes_the_same_random_sample_for_the_same_seed() {
    let mut remaining = Vec::new();
    for _ in 0..2 {
        let shop = Shop::with(Settings { backend: Backend::PlainRegistry, ..Settings::default() }).await;
        shop.sim.edit(|registry| {
            for index in 0..300_i64 {
                registry.push(shop.repository, &format!("t{index:03}"), Push::at(days_ago(300 - index)));
            }
        });
        shop.bulk(&json!({ "name_regex_delete": ".*", "keep_n": 5 })).await;
        shop.advance(60);
        let result = outcome(&shop);
        assert_eq!((result.status, result.truncated, result.deleted.len()), (JobStatus::Error, true, 200));
        let tags = shop.tags();
        // A sample can only raise a rank, so the newest five are safe.
        assert!((295..300).all(|index| tags.contains(&format!("t{index}"))));
        remaining.push(tags);
    }
    assert_eq!(remaining[0], remaining[1]);
    assert_ne!(remaining[0][0..95], (0..95).map(|index| format!("t{index:03}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_same_digest_does_not_make_a_tag_younger() {
    let shop = Shop::open().await;
    shop.sim.edit(|registry| {
        let at = days_ago;
        registry.push(shop.repository, "same", Push::at(at(30)).digest("sha256:1"));
        registry.push(shop.repository, "same", Push::at(at(1)).digest("sha256:1"));
        registry.push(shop.repository, "other", Push::at(at(30)).digest("sha256:1"));
        registry.push(shop.repository, "other", Push::at(at(1)).digest("sha256:2"));
        assert_eq!(registry.find_tag(shop.repository, "same").unwrap().updated_at, None);
        let other = registry.find_tag(shop.repository, "other").unwrap();
        assert_eq!((other.created_at, other.updated_at), (Some(at(30)), Some(at(1))));
    });
    shop.bulk(&json!({ "name_regex_delete": ".*", "older_than": "7d" })).await;
    shop.advance(60);
    assert_eq!(shop.tags(), ["other"]);
}

#[tokio::test]
async fn path_b_ranks_by_build_time_and_knows_none_of_indexes() {
    let shop = Shop::with(Settings { backend: Backend::PlainRegistry, ..Settings::default() }).await;
    shop.sim.edit(|registry| {
        let epoch = "1980-01-01T00:00:00Z".parse().unwrap();
        registry.push(shop.repository, "reproducible", Push::at(days_ago(1)).built(epoch));
        registry.push(shop.repository, "index", Push::at(days_ago(300)).kind(TagKind::Index));
        registry.push(shop.repository, "list", Push::at(days_ago(300)).kind(TagKind::ManifestList));
        registry.push(shop.repository, "undated", Push::at(days_ago(300)).undated());
    });
    shop.bulk(&json!({ "name_regex_delete": ".*", "older_than": "7d" })).await;
    shop.advance(3600);
    assert_eq!(shop.tags(), ["index", "undated"]);
    shop.bulk(&json!({ "name_regex_delete": ".*" })).await;
    shop.advance(60);
    assert!(shop.tags().is_empty());
}

#[tokio::test]
async fn a_future_tag_outranks_one_without_a_time() {
    let shop = Shop::with(Settings { backend: Backend::PlainRegistry, ..Settings::default() }).await;
    shop.sim.edit(|registry| {
        registry.push(shop.repository, "future", Push::at(days_ago(-3)));
        registry.push(shop.repository, "undated", Push::default().undated());
        registry.push(shop.repository, "recent", Push::at(days_ago(1)));
    });
    shop.bulk(&json!({ "name_regex_delete": ".*", "keep_n": 1 })).await;
    shop.advance(60);
    assert_eq!(shop.tags(), ["future"]);
}

#[tokio::test]
async fn protected_tags_silently_stay() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 9), ("v2", 9), ("x", 9)]);
    shop.sim.edit(|registry| {
        let rules = &mut registry.project_mut(shop.project).unwrap().protection_rules;
        rules.push(ProtectionRule::mutable("^v1", DeleteLevel::Owner));
        rules.push(ProtectionRule::immutable("2$"));
    });
    shop.bulk(&json!({ "name_regex_delete": ".*" })).await;
    shop.advance(60);
    assert_eq!((shop.tags(), outcome(&shop).status), (vec!["v1".into(), "v2".into()], JobStatus::Success));
}

#[tokio::test]
async fn a_registry_that_refuses_every_deletion_fails_path_a_and_not_path_b() {
    for (backend, status) in
        [(Backend::MetadataDatabase, JobStatus::Raised), (Backend::PlainRegistry, JobStatus::Error)]
    {
        let shop = Shop::with(Settings { backend, registry_deletes_fail: true, ..Settings::default() }).await;
        shop.push(&[("a", 9)]);
        shop.bulk(&json!({ "name_regex_delete": ".*" })).await;
        shop.advance(5);
        assert_eq!((outcome(&shop).status, shop.tags().len()), (status, 1));
        // A retry of path A can still succeed.
        shop.sim.edit(|registry| registry.settings.registry_deletes_fail = false);
        shop.advance(600);
        assert_eq!(shop.tags().is_empty(), backend == Backend::MetadataDatabase);
    }
}

#[tokio::test]
async fn a_failing_list_looks_like_an_empty_repository() {
    let shop = Shop::with(Settings { registry_lists_fail: true, ..Settings::default() }).await;
    shop.push(&[("a", 9)]);
    shop.bulk(&json!({ "name_regex_delete": ".*" })).await;
    shop.advance(60);
    assert_eq!((outcome(&shop).status, shop.tags().len()), (JobStatus::Success, 1));
}

#[tokio::test]
async fn the_time_limit_ends_a_batch_and_then_the_job() {
    let shop = Shop::with(Settings {
        page_size: 4,
        delete_timeout: Some(SignedDuration::from_secs(250)),
        tag_delete_duration: SignedDuration::from_secs(100),
        ..Settings::default()
    })
    .await;
    shop.push(&[("a", 9), ("b", 9), ("c", 9), ("d", 9), ("e", 9)]);
    shop.bulk(&json!({ "name_regex_delete": ".*" })).await;
    shop.advance(60);
    // After three deletions of 100 s the fourth is not begun, and neither is the second page.
    assert_eq!((shop.tags(), outcome(&shop).status), (vec!["d".into(), "e".into()], JobStatus::Error));
}

#[tokio::test]
async fn each_page_has_a_time_limit_of_its_own_besides_that_of_the_job() {
    let shop = Shop::with(Settings {
        page_size: 2,
        delete_timeout: Some(SignedDuration::from_secs(250)),
        tag_delete_duration: SignedDuration::from_secs(100),
        ..Settings::default()
    })
    .await;
    shop.push(&[("a", 9), ("b", 9), ("c", 9), ("d", 9), ("e", 9)]);
    shop.bulk(&json!({ "name_regex_delete": ".*" })).await;
    shop.advance(60);
    // The second page is finished although the job is over its limit by then.
    assert_eq!((shop.tags(), outcome(&shop).message), (vec!["e".into()], "timeout while deleting tags".into()));
}

#[tokio::test]
async fn a_job_with_the_same_arguments_is_not_queued_twice() {
    let job_delay = SignedDuration::from_hours(3);
    let shop = Shop::with(Settings { job_delay, ..Settings::default() }).await;
    for pattern in ["a", "a", "b"] {
        assert_eq!(shop.bulk(&json!({ "name_regex": pattern })).await.status, 202);
        shop.advance(3600);
    }
    assert_eq!(shop.sim.jobs().len(), 2);
}

#[tokio::test]
async fn cleanup_policies_remember_dates_on_path_b() {
    let shop = Shop::with(Settings { backend: Backend::PlainRegistry, ..Settings::default() }).await;
    shop.push(&[("a", 1), ("b", 2), ("c", 30)]);
    let params = CleanupParams {
        name_regex_delete: Some(".*".into()),
        older_than: Some("7d".into()),
        container_expiration_policy: true,
        ..CleanupParams::default()
    };
    let run = || {
        shop.sim.edit(|registry| {
            registry.run_cleanup(shop.repository, None, params.clone(), JobSwitches::default()).outcome.unwrap()
        })
    };
    assert_eq!((run().deleted, run().sizes.cached), (vec!["c".to_owned()], 2));
}
