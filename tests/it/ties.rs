//! Dates that say less than they seem to: equal ones, placeholders, those of builds, and lists in the order of pushes
//! that lack some tags. Whatever they leave open only ever leads to keeping more.

use gitlab_simulator::{Backend, Endpoint, Push, Settings, Version};
use jiff::{SignedDuration, Timestamp};
use registry_cleanup_operator::api::{PolicyStatus, RepositoryStatus};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::events_of;
use crate::world::{Operator, World};

async fn operate(world: &World, method: &str, rule: &Value) -> Operator {
    let mut rule = rule.clone();
    (rule["name"], rule["nameRegexDelete"]) = (json!("rule"), json!(".*"));
    world.apply(&world.policy("shop", &json!({"method": method, "rules": [rule]}))).await.unwrap();
    let operator = Operator::start(world).await;
    world.ready("shop").await;
    operator
}

/// v1 to v10, pushed a day apart, v10 forty days ago.
fn ten(world: &World) -> u64 {
    let names: Vec<String> = (1..=10).map(|number| format!("v{number}")).collect();
    world.repository("shop/backend/api", &names.iter().map(String::as_str).zip((40..50).rev()).collect::<Vec<_>>())
}

fn days_ago(world: &World, days: i64) -> Timestamp {
    world.now() - SignedDuration::from_hours(24 * days) - SignedDuration::from_millis(377)
}

fn only(status: &PolicyStatus) -> &RepositoryStatus {
    assert_eq!(status.repositories.len(), 1, "{status:#?}");
    &status.repositories[0]
}

fn message(status: &PolicyStatus) -> &str {
    only(status).message.as_deref().unwrap_or_default()
}

fn usual(_: &mut Settings) {}

fn no_order_by_push(settings: &mut Settings) {
    settings.version = Version::new(16, 11);
}

fn no_push_dates(settings: &mut Settings) {
    settings.graphql_hidden_fields.insert("ContainerRepositoryTag.publishedAt".to_owned());
}

fn no_graphql(settings: &mut Settings) {
    settings.graphql = false;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn of_an_imported_repository_nothing_goes_until_newer_images_fill_the_slots(
    #[values(usual, no_order_by_push, no_push_dates, no_graphql)] change: fn(&mut Settings),
    #[values("Exact", "Bulk")] method: &str,
) {
    let world = World::start_with(|config| change(&mut config.settings)).await;
    let api = ten(&world);
    world.sim.edit(|registry| registry.import(api, days_ago(&world, 35)));
    let operator = operate(&world, method, &json!({"keepN": 5, "olderThan": "30d"})).await;
    for status in [world.preview("shop", "one").await, world.run("shop", "one").await] {
        let told = message(&status);
        assert!(told.contains("10 tags share one moment, 2026-10-18T11:59:59Z") && told.contains("import"), "{told}");
        if method == "Bulk" {
            assert_eq!(only(&status).reason.as_deref(), Some("DateTied"), "{status:#?}");
        } else {
            assert!(told.starts_with("kept: 10 DateTied"), "{told}");
        }
    }
    assert_eq!((world.tags(api).len(), world.sim.requests_to(Endpoint::BulkDeleteTags).len()), (10, 0));

    // Now it is known that none of the old ones is among the five newest.
    world.sim.edit(|registry| {
        for day in 1..=5 {
            registry.push(api, &format!("w{day}"), Push::at(days_ago(&world, day)));
        }
    });
    world.run("shop", "two").await;
    assert_eq!(world.tags(api), ["w1", "w2", "w3", "w4", "w5"]);
    operator.stop().await;
}

#[rstest]
#[case::first_pushes_only(None, &["t5", "t6", "t7"], "Trusted")]
#[case::some_were_there_before(Some("t7"), &["t5", "t6", "t7"], "DateTied")]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_pipeline_pushed_within_a_second_is_told_apart_by_its_milliseconds(
    #[case] before: Option<&str>,
    #[case] newest: &[&str],
    #[case] bulk: &str,
    #[values("Exact", "Bulk")] method: &str,
) {
    let world = World::start().await;
    let api = world.repository("shop/backend/api", &[]);
    // The later in the alphabet, the older, but for the number: GitLab ranks by the microsecond, GraphQL tells the
    // second.
    let second = Timestamp::from_second(days_ago(&world, 20).as_second()).unwrap();
    world.sim.edit(|registry| {
        if let Some(name) = before {
            registry.push(api, name, Push::at(days_ago(&world, 90)));
        }
        for number in 0..8 {
            let at = second + SignedDuration::from_millis(100 * number + 11);
            registry.push(api, &format!("t{number}"), Push::at(at));
        }
    });
    let operator = operate(&world, method, &json!({"keepN": 3})).await;
    world.sim.clear_requests();
    let status = world.run("shop", "one").await;
    let left = world.tags(api);
    assert!(newest.iter().all(|name| left.contains(&(*name).to_owned())), "{left:?}");
    match (method, bulk) {
        (_, "Trusted") => assert_eq!(left, newest, "{status:#?}"),
        ("Bulk", reason) => assert_eq!(only(&status).reason.as_deref(), Some(reason), "{status:#?}"),
        _ => assert_eq!(
            left,
            ["t4", "t5", "t6", "t7"],
            "one of these four is none of the three newest; nobody knows which"
        ),
    }
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_costs_two_reads_a_border_and_bulk_one_newest_page_where_nothing_is_tied() {
    let world = World::start().await;
    let api = ten(&world);
    let operator = operate(&world, "Bulk", &json!({"keepN": 9})).await;
    world.sim.clear_requests();
    world.run("shop", "one").await;
    assert_eq!((world.tags(api).len(), world.sim.requests_to(Endpoint::BulkDeleteTags).len()), (9, 1));
    let pages = world.sim.requests_to(Endpoint::GraphqlQuery).len();
    assert!(pages <= 3, "two at most to find out what GraphQL knows, and one page: {pages}");
    assert_eq!(world.sim.requests_to(Endpoint::GetTag).len(), 0);
    operator.stop().await;

    let imported = World::start().await;
    let api = ten(&imported);
    imported.sim.edit(|registry| registry.import(api, days_ago(&imported, 35)));
    let operator = operate(&imported, "Exact", &json!({"keepN": 5})).await;
    imported.sim.clear_requests();
    imported.run("shop", "one").await;
    assert_eq!(imported.sim.requests_to(Endpoint::GetTag).len(), 2);
    operator.stop().await;
}

/// Images pushed an hour ago and dated by their builders, beside two with a date that means something.
fn reproducible(world: &World) -> u64 {
    let api = world.repository("shop/backend/api", &[("plain-new", 1), ("plain-old", 90)]);
    let hour_ago = world.now() - SignedDuration::from_hours(1);
    world.sim.edit(|registry| {
        let dates = ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1980-01-01T00:00:01Z"];
        for (name, built) in ["bazel", "jib", "pack"].into_iter().zip(dates) {
            registry.push(api, name, Push::at(hour_ago).built(built.parse().unwrap()));
        }
    });
    api
}

#[rstest]
#[case::with_graphql(true)]
#[case::without(false)]
#[tokio::test(flavor = "multi_thread")]
async fn dates_of_reproducible_builds_remove_nothing_and_are_told(
    #[case] graphql: bool,
    #[values("Exact", "Bulk")] method: &str,
    #[values(json!({"olderThan": "30d"}), json!({"olderThan": "30d", "keepN": 1}))] rule: Value,
) {
    let world = World::start_with(|config| {
        config.settings.backend = Backend::PlainRegistry;
        config.settings.graphql = graphql;
    })
    .await;
    let api = reproducible(&world);
    let operator = operate(&world, method, &rule).await;
    let preview = world.preview("shop", "one").await;
    let status = world.run("shop", "one").await;
    if method == "Exact" {
        assert_eq!(only(&preview).samples, ["plain-old"]);
        assert_eq!(world.tags(api), ["bazel", "jib", "pack", "plain-new"]);
    } else {
        for status in [preview, status] {
            assert_eq!(only(&status).reason.as_deref(), Some("DateUnknown"), "{status:#?}");
            assert!(message(&status).starts_with("3 tags have no date, or one that says nothing"), "{status:#?}");
        }
        assert_eq!((world.tags(api).len(), world.sim.requests_to(Endpoint::BulkDeleteTags).len()), (5, 0));
    }
    operator.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn without_a_metadata_database_runs_and_previews_say_that_ages_are_those_of_the_builds(
    #[values(true, false)] graphql: bool,
    #[values("Exact", "Bulk")] method: &str,
) {
    let world = World::start_with(|config| {
        config.settings.backend = Backend::PlainRegistry;
        config.settings.graphql = graphql;
    })
    .await;
    let api = world.repository("shop/backend/api", &[]);
    world.sim.edit(|registry| {
        let (built, digest) = (days_ago(&world, 120), format!("sha256:{:0>64}", "cafe"));
        for (name, days) in [("15001", 120), ("16326", 1)] {
            registry.push(api, name, Push::at(days_ago(&world, days)).built(built).digest(&digest));
        }
    });
    let operator = operate(&world, method, &json!({"olderThan": "30d"})).await;
    let preview = world.preview("shop", "one").await;
    let run = world.run("shop", "one").await;
    if graphql {
        // Once, whatever a repository says: it holds of all of them.
        for status in [preview, run] {
            let told = status.last_run.as_ref().unwrap().message.clone().unwrap();
            assert_eq!(told.matches("ages by when the image was built").count(), 1, "{status:#?}");
            assert!(!message(&status).contains("ages"), "{status:#?}");
        }
    } else {
        let words = "; ages by the first push, or by the build without a metadata database";
        assert!(message(&preview).ends_with(words), "{preview:#?}");
    }
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_day_on_which_an_import_comes_of_age_is_announced_once_also_after_a_restart() {
    let world = World::start().await;
    let api = ten(&world);
    world.sim.edit(|registry| registry.import(api, days_ago(&world, 25)));
    let operator = operate(&world, "Exact", &json!({"olderThan": "30d"})).await;
    world.run("shop", "one").await;
    operator.stop().await;
    let operator = Operator::start(&world).await;
    let status = world.run("shop", "two").await;
    let soon = status.coming_of_age.as_ref().unwrap();
    assert_eq!((soon.tags, soon.repositories, soon.time.0.to_string().as_str()), (10, 1, "2026-11-27T11:59:59Z"));
    let ready = registry_cleanup_operator::api::conditions::find(&status.conditions, "Ready").unwrap();
    assert!(ready.message.contains("at least 10 tags in 1 repository share their dates"), "{}", ready.message);
    operator.stop().await;
    assert_eq!(events_of(&world, "TagsComeOfAge").await, 1);
    assert_eq!(world.tags(api).len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_whose_pages_skip_tags_costs_no_image_its_slot() {
    let world = World::start_with(|config| config.settings.pages_by_push_skip = true).await;
    let api = world.repository("shop/backend/api", &[]);
    world.sim.edit(|registry| {
        for index in 0..60 {
            // Every third name comes before all the others, whenever it was pushed.
            let name = if index % 3 == 0 { format!("a{index:03}") } else { format!("t{index:03}") };
            registry.push(api, &name, Push::at(days_ago(&world, 100 - index)));
        }
        for day in 1..=5 {
            registry.push(api, &format!("y{day}"), Push::at(days_ago(&world, day)));
        }
    });
    let operator = operate(&world, "Exact", &json!({"olderThan": "7d", "keepN": 20})).await;
    let status = world.run("shop", "one").await;
    let left = world.tags(api);
    let old = |index: i64| if index % 3 == 0 { format!("a{index:03}") } else { format!("t{index:03}") };
    assert!((45..60).all(|index| left.contains(&old(index))), "{left:?}");
    assert_eq!((left.len(), status.last_run.unwrap().tags.confirmed), (20, 45));
    operator.stop().await;
}

#[rstest]
#[case::by_their_last_push(usual, &["once"])]
#[case::by_the_first_where_the_last_is_not_told(no_push_dates, &["again"])]
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_of_bulk_ranks_tags_that_were_pushed_again(#[case] change: fn(&mut Settings), #[case] goes: &[&str]) {
    let world = World::start_with(|config| change(&mut config.settings)).await;
    let api = world.repository("shop/backend/api", &[("again", 60), ("once", 30)]);
    world.sim.edit(|registry| registry.push(api, "again", Push::at(days_ago(&world, 1))));
    let operator = operate(&world, "Bulk", &json!({"keepN": 1})).await;
    let preview = world.preview("shop", "one").await;
    assert_eq!(only(&preview).samples, goes, "{preview:#?}");
    operator.stop().await;
}
