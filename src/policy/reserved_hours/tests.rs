//! Hours that a status keeps, as tables, and however many there are.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::policy::report::MAX_STATUS_BYTES;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn hour(instance: &str, id: Option<u64>, until: i64) -> Hour {
    let repository = id.map(|id| (id, format!("shop/{id}")));
    Hour { instance: instance.to_owned(), registry: None, repository, until: at(until) }
}

/// A run at `https://a.test/` that named one repository with an hour, one without, and left others out.
fn status() -> PolicyStatus {
    serde_json::from_value(json!({
        "lastRun": {"id": "r", "trigger": "Schedule", "mode": "Delete", "gitlab": "https://a.test/",
            "registry": "registry.a.test", "observedGeneration": 1, "startTime": "1970-01-01T00:00:00Z",
            "result": "Succeeded"},
        "repositories": [
            {"path": "shop/1", "id": 1, "result": "Changed", "nextEligibleTime": "1970-01-01T01:00:00Z"},
            {"path": "shop/2", "id": 2, "result": "Unchanged"},
        ],
        "othersEligibleTime": "1970-01-01T00:50:00Z",
    }))
    .unwrap()
}

#[test]
fn hours_of_an_instance_are_kept_when_the_policy_turns_to_another_one() {
    let mut same = status();
    leave_instance(&mut same, "https://a.test/");
    assert_eq!(same, status());

    let mut left = status();
    leave_instance(&mut left, "https://b.test/");
    assert_eq!(left.others_eligible_time, None);
    assert!(left.repositories.iter().all(|repository| repository.next_eligible_time.is_none()));
    let expected = ReservedHours {
        gitlab: "https://a.test/".to_owned(),
        registry: Some("registry.a.test".to_owned()),
        repositories: vec![ReservedHour { path: "shop/1".to_owned(), id: 1, next_eligible_time: Time(at(3600)) }],
        others_eligible_time: Some(Time(at(3000))),
    };
    assert_eq!(left.reserved_hours, [expected]);
}

#[test]
fn what_the_status_speaks_of_already_is_not_added() {
    let mut known = status();
    add(&mut known, hour("https://a.test/", Some(1), 3600));
    add(&mut known, hour("https://a.test/", None, 3000));
    assert_eq!(known, status());
    add(&mut known, hour("https://a.test/", Some(1), 3601));
    add(&mut known, hour("https://a.test/", Some(2), 10));
    assert_eq!(known.reserved_hours[0].repositories.len(), 2);
    let before = known.clone();
    add(&mut known, hour("https://a.test/", Some(1), 3601));
    add(&mut known, hour("https://a.test/", Some(2), 9));
    assert_eq!(known, before);
}

#[test]
fn what_is_over_is_left_out() {
    let mut status = status();
    leave_instance(&mut status, "https://b.test/");
    forgotten(&mut status, at(100));
    expire(&mut status, at(100));
    assert_eq!(status.reserved_hours.len(), 1);
    expire(&mut status, at(3000));
    assert_eq!(status.reserved_hours[0].others_eligible_time, None);
    expire(&mut status, at(3600));
    assert_eq!(status.reserved_hours, []);
}

proptest! {
    /// However many instances and repositories there are: no hour is shortened, the lists stay within the schema, and
    /// what is too much is dropped from the names, not from what counts.
    #[test]
    fn hours_stay_bounded_and_none_is_forgotten(
        hours in prop::collection::vec((0..8u8, prop::option::of(0..90u64), 1..5000i64), 0..250),
        shrunk in 0..30usize,
    ) {
        let mut status = PolicyStatus::default();
        let name = |instance| format!("https://{instance}.test/");
        for (instance, id, until) in &hours {
            add(&mut status, hour(&name(instance), *id, *until));
        }
        for _ in 0..shrunk {
            shrink(&mut status);
        }
        prop_assert!(status.reserved_hours.len() <= MAX_RESERVED_HOURS);
        prop_assert!(status.reserved_hours.iter().all(|hours| hours.repositories.len() <= MAX_REPOSITORIES));
        for (instance, id, until) in &hours {
            let reached = status.reserved_hours.iter().any(|held| {
                let of_id = |hour: &&ReservedHour| Some(hour.id) == *id;
                let named = held.repositories.iter().find(of_id).map(|hour| hour.next_eligible_time.0);
                let others = held.others_eligible_time.as_ref().map(|time| time.0);
                (held.gitlab == name(instance) || held.gitlab.is_empty()) && named.max(others) >= Some(at(*until))
            });
            prop_assert!(reached, "{instance} {id:?} {until}");
        }
    }
}

#[test]
fn the_largest_lists_can_be_made_small_enough() {
    let mut status = PolicyStatus::default();
    for instance in 0..5 {
        for id in 0..50 {
            let path = format!("{id:0>512}");
            let instance = format!("https://{instance:0>490}.test/");
            add(&mut status, Hour { instance, registry: None, repository: Some((id, path)), until: at(10) });
        }
    }
    let size = |status: &PolicyStatus| serde_json::to_vec(status).unwrap().len();
    assert!(size(&status) > MAX_STATUS_BYTES);
    while shrink(&mut status) {}
    assert!(size(&status) < MAX_STATUS_BYTES / 10);
}
