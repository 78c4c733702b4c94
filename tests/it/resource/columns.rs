//! What kubectl shows.

use jiff::SignedDuration;
use serde_json::json;

use super::{ready, shop};
use crate::support::eventually;
use crate::world::{World, try_kubectl};

/// The cells of a table: they are two spaces or more apart, and an empty one is seen by where the headings begin.
fn cells(table: &str) -> Vec<Vec<String>> {
    let mut lines = table.lines();
    let head = lines.next().unwrap();
    let mut starts = vec![0];
    let bytes = head.as_bytes();
    starts.extend((2..bytes.len()).filter(|&at| bytes[at] != b' ' && bytes[at - 1] == b' ' && bytes[at - 2] == b' '));
    let cut = |line: &str| {
        let ends = starts.iter().skip(1).copied().chain([usize::MAX]);
        let cell =
            |(&start, end): (&usize, usize)| line.get(start..end.min(line.len())).unwrap_or_default().trim().to_owned();
        starts.iter().zip(ends).map(cell).collect()
    };
    std::iter::once(head).chain(lines).map(cut).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_tells_what_one_wants_to_know_first() {
    let (world, operator, _) = ready(&json!({})).await;
    let table = cells(&world.kubectl(&["get", "rcp"]));
    assert_eq!(
        table[0],
        ["NAME", "SCHEDULE", "MODE", "SUSPEND", "READY", "LAST RUN", "RESULT", "TAGS", "AGE", "STATUS"]
    );
    assert_eq!(table[1][..8], ["shop", "17 3 * * *", "Delete", "false", "True", "", "", ""]);

    world.run("shop", "one").await;
    let row = &cells(&world.kubectl(&["get", "rcp"]))[1];
    assert_eq!(row[..5], ["shop", "17 3 * * *", "Delete", "false", "True"]);
    assert_eq!(row[6..8], ["Succeeded", "2 removed"]);
    assert!(!row[5].is_empty() && !row[8].is_empty(), "{row:?}");
    assert!(row[9].starts_with("next run at 2026-11-23T03:17:00Z, mode Delete"), "{row:?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wide_table_adds_where_and_when_and_why() {
    let (world, operator, _) = ready(&json!({"mode": "DryRun"})).await;
    world.run("shop", "one").await;
    world.repository("shop/frontend/web", &[("w1", 30)]);
    world.sim.advance(SignedDuration::from_mins(1));
    world.run("shop", "two").await;
    let table = cells(&world.kubectl(&["get", "rcp", "--output", "wide"]));
    let heads = ["AGE", "STATUS", "NEXT RUN", "METHOD", "EFFECTIVE", "GITLAB", "REPOSITORIES"];
    assert_eq!(table[0][8..], heads);
    assert_eq!(table[1][6..8], ["Succeeded", "3 would go"]);
    assert!(table[1][9].starts_with("next run at 2026-11-23T03:17:00Z, mode DryRun"), "{}", table[1][9]);
    assert_eq!(table[1][10..], ["2026-11-23T03:17:00Z", "Bulk", "True", world.sim.url(), "2"]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_short_name_the_category_and_the_selectable_fields_work() {
    let world = World::start().await;
    for (name, mode) in [("preview", "DryRun"), ("shop", "Delete")] {
        world.apply(&world.policy(name, &json!({"mode": mode}))).await.unwrap();
    }
    let names = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--output", "name"]).collect();
        world.kubectl(&arguments).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let both = ["preview", "shop"].map(|name| format!("registrycleanuppolicy.registrycleanup.dev/{name}"));
    // kubectl may have asked for the list of kinds before this one was there, and keeps the answer for a while.
    eventually("the short name", async || try_kubectl(world.cluster, &["get", "rcp"]).0.then_some(())).await;
    for what in ["rcp", "registrycleanuppolicy", "registrycleanuppolicies", "registry-cleanup"] {
        assert_eq!(names(&["get", what]), both, "{what}");
    }
    assert_eq!(names(&["get", "rcp", "--field-selector", "spec.mode=Delete"]), both[1..]);
    let url = format!("spec.gitlab.url={}", world.sim.url());
    assert_eq!(names(&["get", "rcp", "--field-selector", &url]), both);
    assert_eq!(names(&["get", "rcp", "--field-selector", "spec.gitlab.url=https://gitlab.com"]), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_wait_is_content_before_the_first_run_however_far_away_it_is() {
    let world = World::start().await;
    world.apply(&world.policy("shop", &json!({"schedule": "17 3 29 2 *"}))).await.unwrap();
    let operator = crate::world::Operator::start(&world).await;
    world.kubectl(&["wait", "--for=condition=Ready", "rcp/shop", "--timeout=120s"]);
    world.kubectl(&["wait", "--for=jsonpath={.status.observedGeneration}=1", "rcp/shop", "--timeout=120s"]);
    let status = shop(&world).await.status.unwrap();
    assert_eq!(status.next_schedule_time.unwrap().0, "2028-02-29T03:17:00Z".parse().unwrap());
    assert_eq!(status.last_run, None);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_policy_is_ready_and_says_so_for_the_generation_that_suspended_it() {
    let (world, operator, _) = ready(&json!({})).await;
    world.kubectl(&["patch", "rcp", "shop", "--type=merge", "--patch", r#"{"spec": {"suspend": true}}"#]);
    world.kubectl(&["wait", "--for=jsonpath={.status.observedGeneration}=2", "rcp/shop", "--timeout=120s"]);
    world.kubectl(&["wait", "--for=condition=Ready", "rcp/shop", "--timeout=0s"]);
    let status = shop(&world).await.status.unwrap();
    assert_eq!(World::condition(&status, "Ready"), "True/Suspended");
    assert_eq!(
        status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap().observed_generation,
        Some(2)
    );
    assert_eq!(
        (World::condition(&status, "Reconciling"), World::condition(&status, "Stalled")),
        ("absent".into(), "absent".into())
    );
    assert_eq!(status.next_schedule_time, None);
    assert_eq!(cells(&world.kubectl(&["get", "rcp"]))[1][3..5], ["true", "True"]);

    // Neither the slot nor the check of every six hours comes.
    world.sim.clear_requests();
    world.sim.clock().set("2026-11-23T03:17:00Z".parse().unwrap());
    operator.nudge();
    super::seen_by_the_operator(&world, "other").await;
    operator.stop().await;
    assert!(world.sim.requests().is_empty());
    assert_eq!(shop(&world).await.status.unwrap().last_run, None);
}
