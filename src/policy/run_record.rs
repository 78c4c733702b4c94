//! Who holds the record of a run under way, when it is written, and when a run counts as lost. The terms are those of a
//! Lease of Kubernetes: a holder renews; whoever sees no renewal for long enough, by its own clock, takes over.
//!
//! The times add up: nothing is sent for a run whose record was not written for [`VALID_FOR`], and another operator
//! takes over after [`LOST_AFTER`]. Times of different machines are never compared.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::{RunProgress, RunStatus};
use crate::leadership::identity::Identity;
use crate::leadership::moment::Moment;

/// How long after the last write that succeeded something may be sent for a run.
pub const VALID_FOR: Duration = Duration::from_secs(60);
/// How long another process must see a record unchanged before the run counts as lost.
pub const LOST_AFTER: Duration = Duration::from_secs(90);
/// How often it is looked whether the record has to be written; and so the least time between two writes.
pub const RENEW_TICK: Duration = Duration::from_secs(10);
/// Within this time the record is written even if it says nothing new. A tick later it is no more than 30 s old.
const RENEW_AFTER: Duration = Duration::from_secs(20);

/// A record as it was read from the API server, and since when it has been the same.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    run: String,
    holder: Option<String>,
    renewed: Option<Timestamp>,
    /// On the clock of the process, which nobody sets.
    since: Duration,
}

impl Seen {
    /// What is known of a record after it was read at `now`.
    #[must_use]
    pub fn again(before: Option<&Self>, run: &RunStatus, now: Duration) -> Self {
        match before {
            Some(before) if before.is_of(run) => before.clone(),
            _ => Self {
                run: run.id.clone(),
                holder: run.holder_identity.clone(),
                renewed: run.renew_time.as_ref().map(|time| time.0),
                since: now,
            },
        }
    }

    fn is_of(&self, run: &RunStatus) -> bool {
        self.run == run.id
            && self.holder == run.holder_identity
            && self.renewed == run.renew_time.as_ref().map(|time| time.0)
    }
}

/// Who works on a run that its record says is under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Holder {
    /// This process.
    Me,
    /// Nobody any more: the run is lost.
    Nobody,
    /// Perhaps another process, which has this long to show itself.
    Another(Duration),
    /// Perhaps another process: the record has to be read from the API server before anything can be told.
    Unseen,
}

/// Who works on a run. `under_way` says that this process does; `seen` is what it knows of the record, at `now` of its
/// own clock.
#[must_use]
pub fn holder(run: &RunStatus, me: &Identity, under_way: bool, seen: Option<&Seen>, now: Duration) -> Holder {
    if under_way {
        return Holder::Me;
    }
    if run.holder_identity.as_deref().is_some_and(|holder| me.is(holder) || me.is_successor_of(holder)) {
        return Holder::Nobody;
    }
    let Some(seen) = seen.filter(|seen| seen.is_of(run)) else { return Holder::Unseen };
    match LOST_AFTER.checked_sub(now.saturating_sub(seen.since)) {
        None | Some(Duration::ZERO) => Holder::Nobody,
        Some(left) => Holder::Another(left),
    }
}

/// Whether something may be sent at `now` for a run whose record was written at `written`.
#[must_use]
pub fn is_valid(written: Moment, now: Moment) -> bool {
    written.age(now) < VALID_FOR
}

/// What a record that was written said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Written {
    /// When it was sent.
    pub at: Moment,
    /// How far the run had come.
    pub progress: RunProgress,
    /// Whether the run was about to stop.
    pub stopping: bool,
}

/// Whether the record has to be written, at a tick or when a run is stopped.
#[must_use]
pub fn is_due(last: &Written, progress: RunProgress, stopping: bool, now: Moment) -> bool {
    let age = last.at.age(now);
    (stopping && !last.stopping) || age >= RENEW_AFTER || (age >= RENEW_TICK && progress != last.progress)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn me() -> Identity {
        Identity::new(Some("operator-a"), Some("uid-a"), 1).succeeding(Some("d_uid-d_9".to_owned()))
    }

    fn run(holder: Option<&str>, renewed: i64) -> RunStatus {
        let mut run: RunStatus = serde_json::from_value(json!({
            "id": "r", "trigger": "Schedule", "mode": "Delete", "gitlab": "https://git.test", "observedGeneration": 1,
            "startTime": "1970-01-01T00:00:00Z", "result": "Running",
        }))
        .unwrap();
        run.holder_identity = holder.map(str::to_owned);
        run.renew_time = Some(Time(at(renewed)));
        run
    }

    #[rstest]
    #[case::this_process_without_a_run(Some("operator-a_uid-a_0000000000000001"), None, Holder::Nobody)]
    #[case::a_former_process_of_this_pod(Some("operator-a_uid-a_0000000000000009"), None, Holder::Nobody)]
    #[case::the_one_that_the_lease_was_taken_from(Some("d_uid-d_9"), None, Holder::Nobody)]
    #[case::another_pod_of_the_same_name(Some("operator-a_uid-b_0000000000000009"), None, Holder::Unseen)]
    #[case::a_process_without_a_pod(Some("uid-a_0000000000000009"), None, Holder::Unseen)]
    #[case::seen_a_moment_ago(Some("b_uid-b_9"), Some(0), Holder::Another(LOST_AFTER))]
    #[case::seen_for_a_while(Some("b_uid-b_9"), Some(89), Holder::Another(Duration::from_secs(1)))]
    #[case::seen_for_long(Some("b_uid-b_9"), Some(90), Holder::Nobody)]
    #[case::seen_for_very_long(Some("b_uid-b_9"), Some(9000), Holder::Nobody)]
    #[case::an_older_operator_that_names_no_holder(None, Some(30), Holder::Another(Duration::from_secs(60)))]
    fn a_run_is_lost_by_whoever_held_it_and_how_long_that_was_seen(
        #[case] holder_identity: Option<&str>,
        #[case] seen_for: Option<u64>,
        #[case] expected: Holder,
    ) {
        let run = run(holder_identity, 0);
        let now = secs(10_000);
        let seen = seen_for.map(|seconds| Seen::again(None, &run, now.saturating_sub(secs(seconds))));
        assert_eq!(holder(&run, &me(), false, seen.as_ref(), now), expected);
        assert_eq!(holder(&run, &me(), true, seen.as_ref(), now), Holder::Me);
    }

    #[test]
    fn every_renewal_begins_the_time_anew_and_a_record_that_was_not_seen_says_nothing() {
        let holder_of = |run: &RunStatus, seen: &Seen, now| holder(run, &me(), false, Some(seen), secs(now));
        let first = run(Some("b_uid-b_9"), 0);
        let seen = Seen::again(None, &first, secs(0));
        assert_eq!(Seen::again(Some(&seen), &first, secs(50)), seen, "the same record is as old as it was");
        let renewed = run(Some("b_uid-b_9"), 30);
        assert_eq!(holder_of(&renewed, &seen, 500), Holder::Unseen);
        let seen = Seen::again(Some(&seen), &renewed, secs(500));
        assert_eq!(holder_of(&renewed, &seen, 500), Holder::Another(LOST_AFTER));
        let next = RunStatus { id: "next".to_owned(), ..renewed.clone() };
        assert_eq!(holder_of(&next, &seen, 900), Holder::Unseen, "another run");
        let taken = run(Some("c_uid-c_9"), 30);
        assert_eq!(holder_of(&taken, &seen, 900), Holder::Unseen, "another holder");
        assert_eq!(holder_of(&renewed, &seen, 590), Holder::Nobody);
    }

    /// The wall clock sees a suspension, the other one a wall clock that was set back.
    #[rstest]
    #[case::a_second_before(59, 59, true)]
    #[case::too_old(60, 60, false)]
    #[case::suspended_for_an_hour(3600, 1, false)]
    #[case::set_back_by_an_hour(-3600, 59, true)]
    #[case::set_back_and_too_old(-3600, 60, false)]
    #[case::set_forward(3600, 1, false)]
    fn a_record_is_valid_while_both_clocks_say_so(#[case] wall: i64, #[case] elapsed: u64, #[case] valid: bool) {
        let written = Moment { wall: at(10_000), elapsed: secs(100) };
        let now = Moment { wall: at(10_000 + wall), elapsed: secs(100 + elapsed) };
        assert_eq!(is_valid(written, now), valid);
    }

    #[rstest]
    #[case::nothing_new(10, false, false, false)]
    #[case::progress_too_soon(9, true, false, false)]
    #[case::progress(10, true, false, true)]
    #[case::nothing_new_for_a_while(20, false, false, true)]
    #[case::about_to_stop(0, false, true, true)]
    fn a_record_is_written_when_it_is_old_or_says_something_new(
        #[case] age: u64,
        #[case] moved: bool,
        #[case] stopping: bool,
        #[case] due: bool,
    ) {
        let begun = Moment { wall: at(0), elapsed: secs(0) };
        let last = Written { at: begun, progress: RunProgress::default(), stopping: false };
        let progress = RunProgress { tags_removed: u64::from(moved), ..RunProgress::default() };
        let seconds = i64::try_from(age).unwrap();
        let now = Moment { wall: at(seconds), elapsed: secs(age) };
        assert_eq!(is_due(&last, progress, stopping, now), due);
        let told = Written { stopping, ..last };
        assert!(!is_due(&told, RunProgress::default(), stopping, Moment { wall: at(0), elapsed: secs(0) }));
    }

    #[test]
    fn nothing_is_sent_any_more_by_the_time_a_run_counts_as_lost_and_two_writes_may_fail_before_that() {
        assert!(VALID_FOR < LOST_AFTER);
        assert!(RENEW_AFTER + RENEW_TICK <= secs(30));
        assert!(RENEW_AFTER + RENEW_TICK + RENEW_TICK < VALID_FOR);
    }
}
