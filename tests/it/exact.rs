//! The method Exact from end to end: plans over what is really there, removes exactly that, and knows what went.

use gitlab_simulator::{Action, Backend, Endpoint, Fault, HoldPoint, Matcher, ProtectionRule, Push, Version};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{Method, RUN_REQUESTED_AT, RunResult, Trigger};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{Operator, Setup, World};

async fn ready(world: &World, rules: Value) -> Operator {
    world.apply(&world.policy("shop", &json!({"method": "Exact", "rules": rules}))).await.unwrap();
    let operator = Operator::start(world).await;
    world.ready("shop").await;
    operator
}

fn older(days: u32) -> Value {
    json!([{"name": "old", "nameRegexDelete": ".*", "olderThan": format!("{days}d")}])
}

/// A repository with this many tags, `t0` pushed just now, each further one a day earlier. `t7` is older than a week.
fn many(world: &World, path: &str, number: i64) -> u64 {
    let names: Vec<String> = (0..number).map(|day| format!("t{day}")).collect();
    let tags: Vec<(&str, i64)> = names.iter().zip(0..).map(|(name, day)| (name.as_str(), day)).collect();
    world.repository(path, &tags)
}

fn requests(world: &World, endpoint: Endpoint) -> usize {
    world.sim.requests_to(endpoint).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_planned_tags_go_and_the_preview_names_them() {
    let world = World::start().await;
    let api = many(&world, "shop/backend/api", 50);
    let now = world.now();
    // Pushed first long ago, and again yesterday: its age is a day.
    world.sim.edit(|registry| registry.push(api, "t40", Push::at(now - SignedDuration::from_hours(24))));
    let rules = json!([
        {"name": "tens", "nameRegexDelete": "t[0-9]0", "keepN": 2, "olderThan": "5d"},
        {"name": "grouped", "nameRegexDelete": "t([0-9]).", "groupBy": "t([0-9]).", "keepN": 8, "olderThan": "5d"},
    ]);
    let operator = ready(&world, rules).await;

    let preview = world.preview("shop", "one").await;
    assert_eq!(preview.last_run.as_ref().unwrap().summary.as_deref(), Some("6 would go"));
    assert_eq!(world.tags(api).len(), 50);
    let status = world.run("shop", "one").await;
    let run = status.last_run.unwrap();
    assert_eq!(
        (run.result, run.method, run.summary.as_deref()),
        (RunResult::Succeeded, Some(Method::Exact), Some("6 removed"))
    );
    assert_eq!((run.tags.matched, run.tags.requested, run.tags.confirmed), (6, 6, 6));
    let left = world.tags(api);
    // Of t10, t20, t30 the newest stays beside t40; of the nine others of each ten one goes.
    for gone in ["t20", "t30", "t19", "t29", "t39", "t49"] {
        assert!(!left.contains(&gone.to_owned()), "{gone} is still there: {left:?}");
    }
    assert_eq!(left.len(), 44);
    assert_eq!(requests(&world, Endpoint::BulkDeleteTags), 0);
    assert_eq!(status.repositories[0].next_eligible_time, None, "there is no hour to wait for");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_repository_costs_a_handful_of_requests_however_many_tags_it_has() {
    let world = World::start().await;
    let api = world.repository("shop/backend/api", &[]);
    let now = world.now();
    world.sim.edit(|registry| {
        for number in 0..3000 {
            registry.push(api, &format!("t{number}"), Push::at(now - SignedDuration::from_mins(number)));
        }
        for number in 0..45 {
            registry.push(api, &format!("old{number}"), Push::at(now - SignedDuration::from_hours(24 * 30 + number)));
        }
    });
    let operator = ready(&world, older(7)).await;
    world.sim.clear_requests();
    let status = world.run("shop", "one").await;
    assert_eq!(status.last_run.unwrap().tags.confirmed, 45);
    assert_eq!(world.tags(api).len(), 3000);
    let first = world.sim.requests().len();
    assert!(first <= 45 / 20 + 45 / 20 + 2 + 10, "{first} requests");

    world.sim.clear_requests();
    world.run("shop", "two").await;
    let second = world.sim.requests().len();
    assert!(second <= 6, "{second} requests: {:#?}", world.sim.requests());
    operator.stop().await;
}

#[rstest]
#[case::no_sort(|settings: &mut gitlab_simulator::Settings| { settings.version = Version::new(16, 11); })]
#[case::no_push_dates(|settings: &mut gitlab_simulator::Settings| { settings.version = Version::new(16, 0); })]
#[case::no_graphql(|settings: &mut gitlab_simulator::Settings| { settings.graphql = false; })]
#[case::old_and_plain(|settings: &mut gitlab_simulator::Settings| { settings.version = Version::new(13, 5); })]
#[case::no_metadata_database(|settings: &mut gitlab_simulator::Settings| { settings.backend = Backend::PlainRegistry; })]
#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_server_lacks_the_same_tags_go(#[case] change: fn(&mut gitlab_simulator::Settings)) {
    let world = World::start_with(|config| change(&mut config.settings)).await;
    let api = world.repository("shop/backend/api", &[]);
    let now = world.now() - SignedDuration::from_secs(1);
    world.sim.edit(|registry| {
        for day in 0..60 {
            let at = now - SignedDuration::from_hours(24 * day);
            registry.push(api, &format!("t{day}"), Push::at(at).built(at));
        }
    });
    let rules = json!([{"name": "old", "nameRegexDelete": ".*", "olderThan": "7d", "keepN": 20}]);
    let operator = ready(&world, rules).await;
    let status = world.run("shop", "one").await;
    assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded, "{status:#?}");
    let mut left = world.tags(api);
    left.sort_by_key(|name| name[1..].parse::<u32>().unwrap());
    let expected: Vec<String> = (0..20).map(|day| format!("t{day}")).collect();
    assert_eq!(left, expected);
    assert_eq!(status.last_run.unwrap().tags.confirmed, 40);
    assert_eq!(requests(&world, Endpoint::BulkDeleteTags), 0);
    operator.stop().await;
}

#[rstest]
#[case::sorted_by_push(|_: &mut gitlab_simulator::Settings| {}, "last")]
#[case::unsorted(|settings: &mut gitlab_simulator::Settings| settings.version = Version::new(16, 11), "last")]
#[case::no_push_dates(|settings: &mut gitlab_simulator::Settings| settings.version = Version::new(16, 10), "first")]
#[case::push_dates_hidden(
    |settings: &mut gitlab_simulator::Settings| {
        settings.graphql_hidden_fields.insert("ContainerRepositoryTag.publishedAt".to_owned());
    },
    "first"
)]
#[case::no_graphql(|settings: &mut gitlab_simulator::Settings| settings.graphql = false, "first")]
#[tokio::test(flavor = "multi_thread")]
async fn ages_are_by_the_last_push_where_gitlab_tells_it_and_the_status_says_which(
    #[case] change: fn(&mut gitlab_simulator::Settings),
    #[case] by: &str,
) {
    let world = World::start_with(|config| change(&mut config.settings)).await;
    let api = world.repository("shop/backend/api", &[("again", 30), ("main", 1), ("older-again", 40), ("once", 30)]);
    let now = world.now();
    world.sim.edit(|registry| {
        registry.push(api, "again", Push::at(now - SignedDuration::from_hours(24)));
        registry.push(api, "older-again", Push::at(now - SignedDuration::from_hours(24 * 8)));
    });
    let operator = ready(&world, older(7)).await;
    let preview = world.preview("shop", "one").await;
    let message = preview.repositories[0].message.as_deref().unwrap();
    assert!(message.ends_with(&format!("; ages by the {by} push")), "{message}");
    let status = world.run("shop", "one").await;
    let left: &[&str] = if by == "last" { &["again", "main"] } else { &["main"] };
    assert_eq!(world.tags(api), left, "{status:#?}");
    // What stays says it as well.
    let status = world.run("shop", "two").await;
    let message = status.repositories[0].message.as_deref().unwrap();
    assert!(message.ends_with(&format!("; ages by the {by} push")), "{message}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_graphql_a_tag_that_goes_costs_three_requests_and_one_that_no_rule_matches_none() {
    let world = World::start_with(|config| config.settings.graphql = false).await;
    let api = world.repository("shop/backend/api", &[]);
    let now = world.now();
    let (old, young, others) = (30_u32, 20_u32, 2100_u32);
    world.sim.edit(|registry| {
        let mut push = |name: String, days: u32| {
            registry.push(api, &name, Push::at(now - SignedDuration::from_hours(24 * i64::from(days))));
        };
        (0..old).for_each(|number| push(format!("v-old-{number:02}"), 30));
        (0..young).for_each(|number| push(format!("v-young-{number:02}"), 1));
        (0..others).for_each(|number| push(format!("w-{number:04}"), 30));
    });
    let rules = json!([{"name": "versions", "nameRegexDelete": "v-.*", "olderThan": "7d"}]);
    let operator = ready(&world, rules).await;
    world.sim.clear_requests();
    let status = world.run("shop", "one").await;
    assert_eq!(status.last_run.unwrap().tags.confirmed, u64::from(old));
    let times = |endpoint: Endpoint, name: &str| {
        let tags = world.sim.requests_to(endpoint);
        tags.iter().filter(|request| request.tag.as_deref() == Some(name)).count()
    };
    for number in 0..old {
        let name = format!("v-old-{number:02}");
        assert_eq!((times(Endpoint::GetTag, &name), times(Endpoint::DeleteTag, &name)), (2, 1), "{name}");
    }
    for number in 0..young {
        let name = format!("v-young-{number:02}");
        assert_eq!((times(Endpoint::GetTag, &name), times(Endpoint::DeleteTag, &name)), (1, 0), "{name}");
    }
    assert_eq!(requests(&world, Endpoint::GetTag), (2 * old + young) as usize);
    assert_eq!(requests(&world, Endpoint::DeleteTag), old as usize);
    let lists = requests(&world, Endpoint::ListTags);
    assert_eq!(lists, (old + young + others).div_ceil(1000) as usize);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_gitlab_protects_stay_and_are_told() {
    let world = World::start().await;
    let api = many(&world, "shop/backend/api", 30);
    world.sim.edit(|registry| {
        let project = registry.project_by_path("shop/backend").unwrap().id;
        registry.project_mut(project).unwrap().protection_rules.push(ProtectionRule::immutable("^t2[0-4]$"));
    });
    let operator = ready(&world, older(7)).await;
    let status = world.run("shop", "one").await;
    let left = world.tags(api);
    assert!((20..25).all(|day| left.contains(&format!("t{day}"))), "{left:?}");
    assert_eq!(left.len(), 7 + 5);
    let run = status.last_run.unwrap();
    assert_eq!((run.result, run.tags.confirmed), (RunResult::Succeeded, 18));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_pushed_again_while_others_go_stays() {
    let world = World::start().await;
    let api = world.repository("shop/backend/api", &[]);
    let now = world.now();
    let name = |number: i64| format!("t{number:04}");
    world.sim.edit(|registry| {
        for number in 0..700 {
            registry.push(api, &name(number), Push::at(now - SignedDuration::from_hours(24 * 400 - number)));
        }
    });
    let operator = ready(&world, older(7)).await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation), HoldPoint::BeforeProcessing);
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    // The first is alone until it is answered, so that no other is being prepared.
    hold.reached().await;
    // The oldest go first: these are among the last, of which the newest pushes are asked for again.
    let again: Vec<String> = (600..650).map(name).collect();
    world.sim.advance(SignedDuration::from_secs(1));
    let pushed = world.now();
    world.sim.edit(|registry| {
        for tag in &again {
            registry.push(api, tag, Push::at(pushed));
        }
    });
    hold.release();
    let status =
        world.until("shop", |status| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some())).await;
    assert_eq!(world.tags(api), again);
    assert_eq!(status.last_run.as_ref().unwrap().tags.confirmed, 650);
    let message = status.repositories[0].message.as_deref().unwrap();
    assert!(message.contains("50 kept because they were pushed again meanwhile"), "{message}");
    operator.stop().await;
}

#[rstest]
#[case::a_page_ends_early(Endpoint::GraphqlQuery)]
#[case::the_names_end_early(Endpoint::ListTags)]
#[tokio::test(flavor = "multi_thread")]
async fn lists_that_do_not_fit_together_remove_nothing_that_a_whole_list_would_keep(#[case] endpoint: Endpoint) {
    let world = World::start().await;
    let api = many(&world, "shop/backend/api", 60);
    let rules = json!([{"name": "r", "nameRegexDelete": ".*", "keepN": 30}]);
    let operator = ready(&world, rules).await;
    world.sim.fault(Fault::new(Matcher::endpoint(endpoint), Action::TruncateTags { keep: 45 }));
    let status = world.run("shop", "one").await;
    assert_eq!(status.repositories[0].reason.as_deref(), Some("ListIncomplete"), "{status:#?}");
    assert_eq!(world.tags(api).len(), 60);
    assert_eq!(requests(&world, Endpoint::GraphqlMutation), 0);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_goes_on_with_what_is_left() {
    let world = World::start().await;
    let api = many(&world, "shop/backend/api", 100);
    world.apply(&world.policy("shop", &json!({"method": "Exact", "rules": older(7)}))).await.unwrap();
    // Five requests of twenty tags, of which four are on their way at the same time.
    let first = Operator::set_up(&world, Setup { graphql_batch: 1, ..Setup::of(&world) }).await;
    world.ready("shop").await;
    let mutation = |number| Matcher::endpoint(Endpoint::GraphqlMutation).nth(number);
    let second = world.sim.hold(mutation(2), HoldPoint::AfterProcessing);
    let others: Vec<_> = (3..=5).map(|number| world.sim.hold(mutation(number), HoldPoint::BeforeProcessing)).collect();
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    second.reached().await;
    for other in &others {
        other.reached().await;
    }
    first.kill().await;
    assert_eq!(world.tags(api).len(), 60);
    // What is held stays so: GitLab might process it otherwise, though nobody waits for the answer any more.
    let next = Operator::start(&world).await;
    let status = world.run("shop", "two").await;
    assert_eq!(world.tags(api).len(), 7);
    // The next operator takes up the run that was cut, before anything else.
    let resumed = status.history.iter().find(|run| run.trigger == Trigger::Resumed);
    assert_eq!(resumed.map(|run| run.tags.confirmed), Some(53), "{:#?}", status.history);
    assert!(status.history.iter().any(|run| run.result == RunResult::Interrupted));
    next.stop().await;
    drop((second, others));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_told_and_never_sent_again_blindly() {
    let world = World::start().await;
    let api = many(&world, "shop/backend/api", 27);
    let operator = ready(&world, older(7)).await;
    let lost = Fault::new(Matcher::endpoint(Endpoint::GraphqlMutation).nth(1), Action::DropConnection);
    world.sim.fault(lost.after_processing());
    let status = world.run("shop", "one").await;
    let repository = &status.repositories[0];
    assert_eq!(repository.reason.as_deref(), Some("NotConfirmed"));
    assert_eq!((repository.tags.requested, repository.tags.confirmed), (20, 0));
    assert_eq!(requests(&world, Endpoint::GraphqlMutation), 1);
    assert_eq!(world.tags(api).len(), 7, "it had been processed all the same");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_would_remove_more_than_the_tag_is_left_alone() {
    let world = World::start_with(|config| config.settings.version = Version::new(12, 3)).await;
    let api = many(&world, "shop/backend/api", 30);
    let operator = ready(&world, older(7)).await;
    let status = world.run("shop", "one").await;
    assert_eq!(status.repositories[0].reason.as_deref(), Some("ExactNotSupported"));
    assert_eq!(world.tags(api).len(), 30);
    assert!(world.sim.requests().iter().all(|request| request.method != "DELETE"));
    assert_eq!(requests(&world, Endpoint::GraphqlMutation), 0);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_bulk_deletion_cannot_do_is_refused_unless_the_method_is_exact() {
    let world = World::start().await;
    let two =
        json!([{"name": "a", "nameRegexDelete": "a", "keepN": 1}, {"name": "b", "nameRegexDelete": "b", "keepN": 1}]);
    let grouped = json!([{"name": "a", "nameRegexDelete": "a.*", "groupBy": "a(.*)", "keepN": 1}]);
    let sorted = json!([{"name": "a", "nameRegexDelete": "a.*", "sortBy": "SemVer", "keepN": 1}]);
    for rules in [two, grouped, sorted] {
        let error = world.apply(&world.policy("shop", &json!({"rules": rules}))).await.unwrap_err();
        assert!(error.to_string().contains("set method: Exact"), "{error}");
        world.apply(&world.policy("shop", &json!({"rules": rules, "method": "Exact"}))).await.unwrap();
    }
}
