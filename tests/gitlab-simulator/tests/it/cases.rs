//! Every case of `cases/`, over HTTP. What REST cannot ask for goes through the admin API; the routes are told below.

use gitlab_simulator::{Backend, DeleteLevel, JobStatus, ProtectionRule, Push, Role, Settings, TagKind, TagOrder};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use crate::shop::{Reply, Shop, now, send};

fn read(file: &str) -> Value {
    let path = format!("{}/cases/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// An instance in the state a case of `bulk-delete.json` begins with.
async fn opened(case: &Value, backend: Backend) -> Shop {
    let mut settings = Settings { backend, tag_order: TagOrder::Pushed, ..Settings::default() };
    if let Some(size) = case["page_size"].as_u64() {
        settings.page_size = usize::try_from(size).unwrap();
    }
    if let Some(size) = case["max_list_size"].as_u64() {
        settings.max_list_size = usize::try_from(size).unwrap();
    }
    let shop = Shop::with(settings).await;
    shop.sim.edit(|registry| {
        for pattern in strings(&case["protected_patterns"]) {
            let project = registry.project_mut(shop.project).unwrap();
            project.protection_rules.push(ProtectionRule::mutable(&pattern, DeleteLevel::Admin));
        }
        for tag in case["tags"].as_array().unwrap() {
            let name = tag["name"].as_str().unwrap();
            let at = tag["age_seconds"].as_i64().map(|age| now().checked_sub(SignedDuration::from_secs(age)).unwrap());
            registry.push(shop.repository, name, Push::default());
            let stored = registry.tag_mut(shop.repository, name).unwrap();
            (stored.created_at, stored.updated_at, stored.config_created) = (at, None, at);
            if tag["timestamp_field"] == "updated_at" {
                // Created longer ago than the push that counts.
                (stored.created_at, stored.updated_at) = (Some("2020-01-01T00:00:00Z".parse().unwrap()), at);
            }
        }
        // The ages are meant at the moment the job runs.
        registry.settings.job_delay = SignedDuration::ZERO;
    });
    shop
}

/// Whether a case needs a switch that REST does not have.
fn needs_admin_route(case: &Value) -> bool {
    let params = case["params"].as_object().unwrap();
    let internal = params.contains_key("keep_latest") || params.contains_key("container_expiration_policy");
    // Nothing to match with, an invalid regex: the API refuses what the job would still answer.
    let refused = !params.contains_key("name_regex") && !params.contains_key("name_regex_delete");
    internal
        || refused
        || case["expected_message"] == "invalid regex"
        || case["timeout_check_results"].is_array()
        || case["delete_service_status"] == "error"
}

/// The outcome of the case's job.
async fn run(case: &Value, shop: &Shop) -> Value {
    if needs_admin_route(case) {
        return run_by_admin(case, shop).await;
    }
    let denied = case["expected_message"] == "access denied";
    if denied {
        shop.sim.edit(|registry| registry.settings.job_delay = SignedDuration::from_secs(60));
    }
    let reply = shop.bulk(&case["params"]).await;
    assert_eq!((reply.status, reply.text.as_str()), (202, "202"));
    if denied {
        // Between the request and its job the bot becomes a reporter.
        shop.sim.edit(|registry| {
            let bot = registry.find_token(&shop.token).unwrap().user;
            registry.set_role("shop", bot, Some(Role::Reporter));
        });
        shop.advance(60);
    }
    let jobs = admin_get(shop, "/jobs").await;
    jobs.json()[0]["outcome"].clone()
}

async fn run_by_admin(case: &Value, shop: &Shop) -> Value {
    let policy = case["actor"].as_str().unwrap().starts_with("none");
    let user = shop.sim.read(|registry| registry.find_token(&shop.token).unwrap().user);
    let mut switches = json!({ "delete_fails": case["delete_service_status"] == "error" });
    if case["timeout_check_results"].is_array() {
        switches["timeout_checks"] = case["timeout_check_results"].clone();
    }
    let body = json!({
        "repository": shop.repository,
        "user": if policy { Value::Null } else { json!(user) },
        "params": case["params"],
        "switches": switches,
    });
    let url = format!("{}/-/simulator/jobs/run", shop.sim.url());
    let reply = send(shop.client.post(url).json(&body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["outcome"].clone()
}

async fn admin_get(shop: &Shop, path: &str) -> Reply {
    send(shop.client.get(format!("{}/-/simulator{path}", shop.sim.url()))).await
}

fn check_outcome(case: &Value, outcome: &Value, before: &[String], after: &[String]) {
    let id = &case["id"];
    assert_eq!(outcome["status"], case["expected_status"], "{id}: {outcome}");
    if let Some(expected) = case["expected_message"].as_str() {
        assert_eq!(outcome["message"], expected, "{id}");
    }
    if case["expected_deleted"].is_array() {
        let gone: Vec<_> = before.iter().filter(|name| !after.contains(name)).cloned().collect();
        let mut expected = strings(&case["expected_deleted"]);
        expected.sort();
        assert_eq!(gone, expected, "{id}");
    }
    if case["expected_batches"].is_array() {
        assert_eq!(outcome["batches"], case["expected_batches"], "{id}");
    }
    if let Some(count) = case["expected_deleted_count_attempted"].as_u64() {
        let attempted: usize = outcome["batches"].as_array().unwrap().iter().map(|b| b.as_array().unwrap().len()).sum();
        assert_eq!(attempted as u64, count, "{id}");
    }
    if case["expected_truncated"].is_boolean() {
        assert_eq!(outcome["truncated"], case["expected_truncated"], "{id}");
    }
    if let Some(size) = case["expected_original_size"].as_u64() {
        assert_eq!(outcome["sizes"]["original"], size, "{id}");
    }
    for (name, size) in case["expected_sizes"].as_object().into_iter().flatten() {
        assert_eq!(&outcome["sizes"][name], size, "{id}: {name}");
    }
}

#[tokio::test]
async fn every_bulk_deletion_case_ends_as_observed() {
    let file = read("bulk-delete.json");
    let (mut by_rest, mut by_admin) = (0, 0);
    for case in file["cases"].as_array().unwrap() {
        let backends: &[Backend] = match case["path"].as_str().unwrap() {
            "gitlab_api" => &[Backend::MetadataDatabase],
            "third_party" => &[Backend::PlainRegistry],
            "any" => &[Backend::MetadataDatabase, Backend::PlainRegistry],
            other => panic!("unknown path {other}"),
        };
        for backend in backends {
            let shop = opened(case, *backend).await;
            let before = shop.tags();
            if case["id"] == "third-party-cleanup-policy-cache-hit-C" {
                remember_date_of_c(&shop);
            }
            let outcome = run(case, &shop).await;
            check_outcome(case, &outcome, &before, &shop.tags());
            if case["id"] == "third-party-cleanup-policy-cache-hit-C" {
                assert_eq!(outcome["sizes"]["cached"], 1);
            }
            *(if needs_admin_route(case) { &mut by_admin } else { &mut by_rest }) += 1;
        }
    }
    assert_eq!((by_rest, by_admin), (29, 11), "cases through REST and through the admin API");
}

fn remember_date_of_c(shop: &Shop) {
    shop.sim.edit(|registry| {
        let date = registry.find_tag(shop.repository, "C").unwrap().config_created.unwrap();
        let until = now().checked_add(SignedDuration::from_hours(1)).unwrap();
        registry.repository_mut(shop.repository).unwrap().cached_dates.insert("C".to_owned(), (date, until));
    });
}

#[tokio::test]
async fn protection_rules_are_effective_by_role_as_observed() {
    let fixture = &read("bulk-delete.json")["protection_rules_fixture"];
    for effective in fixture["effective"].as_array().unwrap() {
        for (licensed, key) in
            [(true, "effective_patterns_with_immutable_feature"), (false, "effective_patterns_without")]
        {
            let shop = Shop::with(Settings { immutable_tags_licensed: licensed, ..Settings::default() }).await;
            let role = effective["role"].as_str().unwrap();
            let user = shop.sim.edit(|registry| {
                let project = registry.project_mut(shop.project).unwrap();
                project.protection_rules = fixture["rules"].as_array().unwrap().iter().map(rule).collect();
                for rule in fixture["rules"].as_array().unwrap() {
                    registry.push(shop.repository, rule["pattern"].as_str().unwrap(), Push::default());
                }
                match role {
                    "admin" => Some(registry.admin("root")),
                    other => other.parse().ok().map(|role| {
                        let user = registry.user("somebody");
                        registry.set_role("shop", user, Some(role));
                        user
                    }),
                }
            });
            let params = json!({ "name_regex_delete": ".*", "container_expiration_policy": user.is_none() });
            let body = json!({ "repository": shop.repository, "user": user, "params": params });
            let url = format!("{}/-/simulator/jobs/run", shop.sim.url());
            assert_eq!(send(shop.client.post(url).json(&body)).await.json()["outcome"]["status"], "success");
            assert_eq!(shop.tags(), strings(&effective[key]), "{role}, {key}");
        }
    }
}

fn rule(rule: &Value) -> ProtectionRule {
    let level: Option<DeleteLevel> = serde_json::from_value(rule["minimum_access_level_for_delete"].clone()).unwrap();
    ProtectionRule { pattern: rule["pattern"].as_str().unwrap().to_owned(), delete_level: level }
}

#[tokio::test]
async fn every_older_than_means_what_was_observed() {
    for case in read("older-than.json").as_array().unwrap() {
        let input = case["input"].as_str().unwrap();
        let shop = Shop::open().await;
        let seconds = case["seconds"].as_f64();
        shop.sim.edit(|registry| {
            registry.settings.job_delay = SignedDuration::ZERO;
            let age = SignedDuration::from_secs_f64(seconds.unwrap_or(31_557_600.0));
            let limit = now().checked_sub(age).unwrap();
            let second = SignedDuration::from_secs(1);
            registry.push(shop.repository, "older", Push::at(limit.checked_sub(second).unwrap()));
            registry.push(shop.repository, "equal", Push::at(limit));
            registry.push(shop.repository, "younger", Push::at(limit.checked_add(second).unwrap()));
        });
        // The API takes anything.
        let reply = shop.bulk(&json!({ "name_regex_delete": ".*", "older_than": input })).await;
        assert_eq!(reply.status, 202, "{input}");
        let status = shop.sim.jobs()[0].outcome.clone().unwrap().status;
        if case["outcome"] == "ok" {
            assert_eq!(shop.tags(), ["equal", "younger"], "{input}");
            assert_eq!(status, JobStatus::Success, "{input}");
        } else {
            assert_eq!(shop.tags().len(), 3, "{input}");
            assert_eq!(status, JobStatus::Raised, "{input}");
        }
    }
}

#[tokio::test]
async fn every_pattern_matches_what_was_observed() {
    for case in read("regex-anchoring.json").as_array().unwrap() {
        let (pattern, tag) = (case["pattern"].as_str().unwrap(), case["tag"].as_str().unwrap());
        for backend in [Backend::MetadataDatabase, Backend::PlainRegistry] {
            let shop = Shop::with(Settings { backend, ..Settings::default() }).await;
            shop.sim.edit(|registry| registry.push(shop.repository, tag, Push::default().kind(TagKind::Image)));
            assert_eq!(shop.bulk(&json!({ "name_regex_delete": pattern })).await.status, 202);
            shop.advance(60);
            assert_eq!(shop.tags().is_empty(), case["matches"] == true, "{pattern} on {tag}");
        }
    }
}

#[tokio::test]
async fn every_request_is_validated_as_observed() {
    for case in read("request-validation.json").as_array().unwrap() {
        let shop = Shop::open().await;
        shop.push(&[("a1", 1), ("dev-. ", 1)]);
        let params = case["params"].as_str().unwrap();
        let reply = match case["endpoint"].as_str().unwrap() {
            "bulk" => shop.bulk_form(params).await,
            "list" => send(shop.by(&shop.token, Method::GET, &shop.tags_path(&format!("?{params}")))).await,
            other => panic!("unknown endpoint {other}"),
        };
        assert_eq!(u64::from(reply.status), case["status"].as_u64().unwrap(), "{params}: {}", reply.text);
        if case["body"].is_object() {
            assert_eq!(reply.json(), case["body"], "{params}");
        }
        for (name, value) in case["coerced"].as_object().into_iter().flatten() {
            let job = serde_json::to_value(&shop.sim.jobs()[0].params).unwrap();
            assert_eq!(&job[name], value, "{params}");
        }
        shop.advance(60);
        match case["note"].as_str().unwrap_or_default() {
            note if note.contains("deletes nothing") => assert_eq!(shop.tags().len(), 2, "{params}"),
            note if note.contains("everything matching is deleted") => assert!(shop.tags().is_empty(), "{params}"),
            _ => {}
        }
    }
}
