//! When windows are open, in days with 23, 24 and 25 hours.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn windows_in(zone: &str, specs: &Value) -> Result<Windows, WindowError> {
    let specs: Vec<ExcludeWindowSpec> = serde_json::from_value(specs.clone()).unwrap();
    Windows::parse(&specs, zone, at("2026-01-01T00:00:00Z"))
}

fn windows(specs: &Value) -> Windows {
    windows_in("Europe/Berlin", specs).unwrap()
}

fn nightly() -> Value {
    json!([{"name": "night", "schedule": "0 22 * * *", "duration": "8h"}])
}

fn weekend() -> Value {
    json!([{"name": "weekend", "schedule": "0 18 * * FRI", "duration": "62h"}])
}

fn christmas() -> Value {
    json!([{"name": "christmas", "from": "2026-12-20T18:00:00+01:00", "until": "2027-01-06T08:00:00+01:00"}])
}

#[rstest]
#[case::before(weekend(), "2026-11-20T16:59:59Z", None)]
#[case::at_its_beginning(weekend(), "2026-11-20T17:00:00Z", Some("2026-11-23T07:00:00Z"))]
#[case::in_the_middle(weekend(), "2026-11-22T12:00:00Z", Some("2026-11-23T07:00:00Z"))]
#[case::until_right_before_its_end(weekend(), "2026-11-23T06:59:59Z", Some("2026-11-23T07:00:00Z"))]
#[case::not_at_its_end(weekend(), "2026-11-23T07:00:00Z", None)]
#[case::in_summer(weekend(), "2026-07-03T16:00:00Z", Some("2026-07-06T06:00:00Z"))]
#[case::before_one_that_comes_once(christmas(), "2026-12-20T16:59:59Z", None)]
#[case::within_one_that_comes_once(christmas(), "2026-12-24T12:00:00Z", Some("2027-01-06T07:00:00Z"))]
#[case::after_one_that_comes_once(christmas(), "2027-01-06T07:00:00Z", None)]
// The clocks of Berlin go from 02:00 to 03:00 on 2026-03-29, and from 03:00 back to 02:00 on 2026-10-25.
#[case::in_the_short_night(nightly(), "2026-03-29T03:59:59Z", Some("2026-03-29T04:00:00Z"))]
#[case::after_the_short_night(nightly(), "2026-03-29T04:00:00Z", None)]
#[case::in_the_long_night(nightly(), "2026-10-25T04:59:59Z", Some("2026-10-25T05:00:00Z"))]
#[case::after_the_long_night(nightly(), "2026-10-25T05:00:00Z", None)]
#[case::that_ends_in_the_hour_that_comes_twice(
    json!([{"name": "night", "schedule": "0 22 * * *", "duration": "4h"}]),
    "2026-10-25T00:30:00Z",
    Some("2026-10-25T01:00:00Z")
)]
#[case::that_ends_in_the_hour_that_does_not_exist(
    json!([{"name": "night", "schedule": "30 22 * * *", "duration": "4h"}]),
    "2026-03-29T01:00:00Z",
    Some("2026-03-29T01:30:00Z")
)]
#[case::that_begins_in_the_hour_that_does_not_exist(
    json!([{"name": "night", "schedule": "30 2 * * *", "duration": "1h"}]),
    "2026-03-29T01:15:00Z",
    Some("2026-03-29T02:00:00Z")
)]
#[case::that_begins_in_the_hour_that_comes_twice(
    json!([{"name": "night", "schedule": "30 2 * * *", "duration": "1h"}]),
    "2026-10-25T00:45:00Z",
    Some("2026-10-25T02:30:00Z")
)]
fn a_window_is_open_by_the_clock_of_its_zone(#[case] specs: Value, #[case] now: &str, #[case] until: Option<&str>) {
    let windows = windows(&specs);
    assert_eq!(windows.open_at(at(now)).map(|open| open.until), until.map(|until| Some(at(until))));
}

#[test]
fn windows_that_follow_on_each_other_are_one_and_the_longest_gives_its_name() {
    let windows = windows(&json!([
        {"name": "evening", "schedule": "0 18 * * *", "duration": "4h"},
        {"name": "night", "schedule": "0 22 * * *", "duration": "8h"},
        {"name": "once", "from": "2026-11-22T19:00:00+01:00", "until": "2026-11-22T20:00:00+01:00"},
    ]));
    let open = windows.open_at(at("2026-11-22T18:30:00Z")).unwrap();
    assert_eq!(open, Open { name: "evening", until: Some(at("2026-11-23T05:00:00Z")) });
    assert!(open.sentence().contains("until 2026-11-23T05:00:00Z: the exclude window evening"));
}

#[test]
fn windows_without_a_gap_have_no_end_and_leave_no_slot() {
    let always = windows(&json!([{"name": "always", "schedule": "@hourly", "duration": "1h"}]));
    let now = at("2026-11-22T12:00:00Z");
    assert_eq!(always.open_at(now), Some(Open { name: "always", until: None }));
    let schedule = Schedule::parse("17 3 * * *", "Europe/Berlin", now).unwrap();
    assert_eq!(always.next_slot(&schedule, now), None);
}

#[rstest]
#[case("2026-11-20T12:00:00Z", "2026-11-24T02:17:00Z")]
#[case("2026-11-19T00:00:00Z", "2026-11-19T02:17:00Z")]
#[case("2026-11-23T03:00:00Z", "2026-11-24T02:17:00Z")]
fn a_slot_within_a_window_is_left_out(#[case] after: &str, #[case] next: &str) {
    let schedule = Schedule::parse("17 3 * * *", "Europe/Berlin", at(after)).unwrap();
    assert_eq!(windows(&weekend()).next_slot(&schedule, at(after)), Some(at(next)));
}

#[test]
fn a_slot_at_the_end_of_a_window_is_not_left_out_and_one_at_its_beginning_is() {
    let schedule = Schedule::parse("0 8 * * *", "Europe/Berlin", at("2026-01-01T00:00:00Z")).unwrap();
    let windows = windows(&weekend());
    assert_eq!(windows.next_slot(&schedule, at("2026-11-21T12:00:00Z")), Some(at("2026-11-23T07:00:00Z")));
    let schedule = Schedule::parse("0 18 * * *", "Europe/Berlin", at("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(windows.next_slot(&schedule, at("2026-11-20T12:00:00Z")), Some(at("2026-11-23T17:00:00Z")));
}

#[test]
fn after_a_window_a_slot_within_it_is_not_made_up_for() {
    let windows = windows(&nightly());
    let schedule = Schedule::parse("0 * * * *", "Europe/Berlin", at("2026-01-01T00:00:00Z")).unwrap();
    let armed = at("2026-11-22T20:00:00Z");
    let due = |deadline, now| windows.due(&schedule, armed, SignedDuration::from_secs(deadline), at(now));
    assert_eq!(due(3600, "2026-11-22T20:30:00Z"), Due::Run(armed));
    assert_eq!(due(3600, "2026-11-23T05:30:00Z"), Due::Run(at("2026-11-23T05:00:00Z")), "the window ends at 05:00");
    assert_eq!(due(600, "2026-11-23T04:05:00Z"), Due::Missed(armed), "04:00 is within it");
}

#[test]
fn the_next_opening_is_that_of_the_first_window_that_is_opened() {
    let all = [weekend(), christmas()].into_iter().flat_map(|it| it.as_array().unwrap().clone()).collect::<Vec<_>>();
    let windows = windows(&all.into());
    assert_eq!(windows.next_opening(at("2026-11-20T12:00:00Z")), Some(at("2026-11-20T17:00:00Z")));
    assert_eq!(windows.next_opening(at("2026-12-20T16:00:00Z")), Some(at("2026-12-20T17:00:00Z")));
    assert_eq!(Windows::default().next_opening(at("2026-12-20T16:00:00Z")), None);
}

#[test]
fn a_run_that_begins_just_after_a_window_was_opened_is_stopped_at_once() {
    let windows = windows(&christmas());
    assert_eq!(windows.closes_at(at("2026-12-20T16:59:59Z")), Some(at("2026-12-20T17:00:00Z")));
    assert_eq!(windows.closes_at(at("2026-12-20T17:00:01Z")), Some(at("2026-12-20T17:00:01Z")));
}

#[rstest]
#[case(json!([{"name": "a", "schedule": "0 0 30 2 *", "duration": "1h"}]), "never comes")]
#[case(json!([{"name": "a", "schedule": "0 3 * * *", "duration": "1m"}]), "a duration that cannot be read")]
#[case(json!([{"name": "a", "from": "2026-02-30T00:00:00Z", "until": "2026-03-01T00:00:00Z"}]), "cannot be read")]
#[case(json!([{"name": "a", "schedule": "0 3 * * *", "until": "2026-03-01T00:00:00Z"}]), "neither schedule and duration")]
fn what_is_no_window_is_refused_by_its_name(#[case] specs: Value, #[case] told: &str) {
    let error = windows_in("Europe/Berlin", &specs).unwrap_err().to_string();
    assert!(error.starts_with("excludeWindows[a]") && error.contains(told), "{error}");
}

#[test]
fn a_status_says_which_window_is_open_and_when_none_is_any_more() {
    let (windows, now) = (windows(&weekend()), at("2026-11-21T12:00:00Z"));
    let open = windows.open_at(now);
    let mut status = PolicyStatus::default();
    assert!(is_misstated(&status, open.as_ref()) && !is_misstated(&status, None));
    note(&mut status, open.as_ref(), 1, now);
    assert!(!is_misstated(&status, open.as_ref()) && is_misstated(&status, None));
    note(&mut status, None, 1, now);
    assert!(status.conditions.is_empty());
}

proptest! {
    /// A window is open from each of its beginnings on, and no slot is within one.
    #[test]
    fn no_slot_is_within_a_window_and_each_beginning_is(
        second in 1_767_225_600_i64..1_830_297_600, hour in 0_u32..24, minute in 0_u32..60, hours in 1_u32..100,
    ) {
        let specs = json!([{"name": "a", "schedule": format!("{minute} {hour} * * 1,4"), "duration": format!("{hours}h")}]);
        let windows = windows(&specs);
        let now = Timestamp::from_second(second).unwrap();
        let opening = windows.next_opening(now).unwrap();
        prop_assert!(windows.open_at(opening).is_some(), "{opening}");
        let schedule = Schedule::parse("17 * * * *", "Europe/Berlin", now).unwrap();
        if let Some(slot) = windows.next_slot(&schedule, now) {
            prop_assert!(slot > now && windows.open_at(slot).is_none(), "{slot}");
        }
        if let Some(Open { until: Some(until), .. }) = windows.open_at(now) {
            prop_assert!(until > now && windows.open_at(until).is_none(), "{until}");
        }
    }
}
