//! How fast one host is asked: a ceiling, slowed down by what the host's answers say.
//!
//! Pure: time goes in, waits come out; `turns` does the waiting. One per host, shared by every policy, so that ten
//! policies are not ten times as fast. It does not know what a request is for.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::rate_limit_headers::Hints;
use super::retry::THROTTLED_DELAY;

/// The longest pause a header can cause. A larger value is a mistake or an attack; after it the host is asked once and
/// may say so again.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The longest window over which remaining requests are spread: GitLab's longest is an hour.
const LONGEST_WINDOW: Duration = Duration::from_secs(3600);

/// The longest distance between two requests that spreading can cause, below the longest wait so that one is
/// still sent.
const WIDEST_SPREAD: Duration = Duration::from_secs(60);

/// A clock that goes back by more than this has been set; less is two threads reading it in another order.
const CLOCK_STEP: SignedDuration = SignedDuration::from_secs(1);

/// Requests per second that can be configured at all; others are moved to the nearer end.
const RATES: (f64, f64) = (0.01, 1000.0);

/// When the next request to one host may leave.
///
/// Time inside is a [`Duration`] that only moves forward, so a clock that is set back neither stops the host for hours
/// nor lets requests out early.
#[derive(Debug)]
pub(super) struct Pacer {
    /// The distance between two requests at the ceiling.
    ceiling: Duration,
    /// The distance that the rest of the host's budget allows, until the end of its window.
    spread: Duration,
    spread_until: Duration,
    /// No request before this.
    paused_until: Duration,
    /// The first free slot.
    next: Duration,
    /// All waits that were pushed onto slots already given out.
    pushed: Duration,
    elapsed: Duration,
    last_seen: Timestamp,
}

/// A place in the line, given out by [`Pacer::next_slot`].
#[derive(Debug)]
pub(super) struct Slot {
    /// How long to wait for it.
    pub(super) wait: Duration,
    pushed: Duration,
}

impl Pacer {
    pub(super) fn new(requests_per_second: f64, now: Timestamp) -> Self {
        let (slowest, fastest) = RATES;
        let rate = if requests_per_second.is_finite() { requests_per_second } else { slowest };
        Self {
            ceiling: Duration::from_secs_f64(rate.clamp(slowest, fastest).recip()),
            spread: Duration::ZERO,
            spread_until: Duration::ZERO,
            paused_until: Duration::ZERO,
            next: Duration::ZERO,
            pushed: Duration::ZERO,
            elapsed: Duration::ZERO,
            last_seen: now,
        }
    }

    /// How long a request that came now would have to wait. Takes no place in the line.
    pub(super) fn wait(&mut self, now: Timestamp) -> Duration {
        let now = self.tick(now);
        self.next.saturating_sub(now)
    }

    /// Takes the next place in the line. Places are served in the order they were taken.
    pub(super) fn next_slot(&mut self, now: Timestamp) -> Slot {
        let now = self.tick(now);
        let at = self.next.max(now);
        self.next = at.saturating_add(self.distance(at));
        Slot { wait: at.saturating_sub(now), pushed: self.pushed }
    }

    /// Takes the place before everybody in the line, who moves back by one: for a request that belongs to one whose
    /// turn has come. Answers false inside a pause, which holds for everybody; then no place is taken.
    pub(super) fn cut_in(&mut self, now: Timestamp) -> bool {
        let now = self.tick(now);
        if self.paused_until > now {
            return false;
        }
        let distance = self.distance(now);
        if self.next > now {
            self.pushed = self.pushed.saturating_add(distance);
        }
        self.next = self.next.max(now).saturating_add(distance);
        true
    }

    /// Whether the host asked for a pause that is not over.
    pub(super) fn is_paused(&mut self, now: Timestamp) -> bool {
        let now = self.tick(now);
        self.paused_until > now
    }

    /// How much longer the holder of `slot` must wait than it was told, because the host asked for a pause since, or
    /// somebody cut in. Zero means: it is your turn.
    pub(super) fn delayed(&self, slot: &mut Slot) -> Duration {
        let more = self.pushed.saturating_sub(slot.pushed);
        slot.pushed = self.pushed;
        more
    }

    /// Learns from the headers of an answer that arrived at `now`.
    pub(super) fn observe(&mut self, now: Timestamp, hints: &Hints) {
        let now = self.tick(now);
        if let (Some(remaining), Some(reset_in)) = (hints.remaining, hints.reset_in) {
            let window = reset_in.min(LONGEST_WINDOW);
            let share = u32::try_from(remaining).unwrap_or(u32::MAX).max(1);
            self.spread = (window / share).min(WIDEST_SPREAD);
            self.spread_until = now.saturating_add(window);
        }
        if let Some(pause) = Self::pause(hints) {
            let until = now.saturating_add(pause.min(LONGEST_PAUSE));
            // Everybody in the line moves back by the same time, which keeps the order and the distances.
            let push = until.saturating_sub(self.paused_until.max(now));
            self.paused_until = self.paused_until.max(until);
            self.next = self.next.max(now).saturating_add(push);
            self.pushed = self.pushed.saturating_add(push);
        }
    }

    /// The distance from a request that leaves then to the next.
    fn distance(&self, at: Duration) -> Duration {
        if at < self.spread_until { self.spread.max(self.ceiling) } else { self.ceiling }
    }

    fn pause(hints: &Hints) -> Option<Duration> {
        let asked = hints.asked_to_wait();
        let spent = if hints.remaining == Some(0) { hints.reset_in } else { None };
        asked.max(spent).or(hints.throttled.then_some(THROTTLED_DELAY))
    }

    /// Moves the pacer's own time forward to `now` and returns it.
    fn tick(&mut self, now: Timestamp) -> Duration {
        let passed = now.duration_since(self.last_seen);
        if let Ok(forward) = Duration::try_from(passed) {
            self.elapsed = self.elapsed.saturating_add(forward);
            self.last_seen = now;
        } else if passed < -CLOCK_STEP {
            self.last_seen = now;
        }
        self.elapsed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_772_366_400_000 + milliseconds).unwrap()
    }

    fn pacer(requests_per_second: f64) -> Pacer {
        Pacer::new(requests_per_second, at(0))
    }

    fn retry_after(seconds: u64) -> Hints {
        Hints { retry_after: Some(Duration::from_secs(seconds)), ..Hints::default() }
    }

    fn budget(remaining: u64, reset_in: u64) -> Hints {
        Hints { remaining: Some(remaining), reset_in: Some(Duration::from_secs(reset_in)), ..Hints::default() }
    }

    #[test]
    fn the_ceiling_sets_the_distance_between_requests() {
        let mut pacer = pacer(2.0);
        let waits = [0, 1, 2].map(|_| pacer.next_slot(at(0)).wait.as_millis());
        assert_eq!(waits, [0, 500, 1000]);
    }

    #[test]
    fn time_without_requests_earns_no_burst() {
        let mut pacer = pacer(1.0);
        pacer.next_slot(at(0));
        let waits = [0, 1, 2].map(|_| pacer.next_slot(at(60_000)).wait.as_secs());
        assert_eq!(waits, [0, 1, 2]);
    }

    #[test]
    fn retry_after_pauses_the_host_for_everybody_and_keeps_the_order() {
        let mut pacer = pacer(1.0);
        let mut waiting = [0, 1, 2].map(|_| pacer.next_slot(at(0)));
        pacer.observe(at(0), &retry_after(30));
        let more = waiting.each_mut().map(|slot| slot.wait + pacer.delayed(slot));
        assert_eq!(more.map(|wait| wait.as_secs()), [30, 31, 32]);
        assert_eq!(pacer.next_slot(at(0)).wait.as_secs(), 33);
        assert!(waiting.iter_mut().all(|slot| pacer.delayed(slot).is_zero()), "told once, not twice");
    }

    #[test]
    fn a_second_pause_inside_a_longer_one_changes_nothing() {
        let mut pacer = pacer(1.0);
        pacer.observe(at(0), &retry_after(30));
        pacer.observe(at(5_000), &retry_after(10));
        assert_eq!(pacer.wait(at(5_000)).as_secs(), 25);
        pacer.observe(at(5_000), &retry_after(40));
        assert_eq!(pacer.wait(at(5_000)).as_secs(), 40);
    }

    #[rstest]
    #[case::a_hostile_retry_after(retry_after(u64::MAX), 600)]
    #[case::a_spent_budget_waits_for_the_reset(budget(0, 42), 42)]
    #[case::a_hostile_reset(budget(0, u64::MAX), 600)]
    #[case::throttled_without_a_word(Hints { throttled: true, ..Hints::default() }, 15)]
    #[case::throttled_with_only_a_reset(Hints { throttled: true, ..budget(3, 20) }, 20)]
    #[case::budget_left(budget(1000, 60), 0)]
    #[case::nothing_said(Hints::default(), 0)]
    fn a_pause_is_what_was_asked_for_but_bounded(#[case] hints: Hints, #[case] seconds: u64) {
        let mut pacer = pacer(10.0);
        pacer.observe(at(0), &hints);
        assert_eq!(pacer.wait(at(0)).as_secs(), seconds);
    }

    #[rstest]
    #[case::plenty_left_keeps_the_ceiling(budget(2000, 60), 100)]
    #[case::little_left_is_spread_over_the_window(budget(30, 60), 2000)]
    #[case::one_left_is_still_sent(budget(1, 3600), 60_000)]
    #[case::more_than_fits_a_number(budget(u64::MAX, 60), 100)]
    fn the_rest_of_a_budget_is_spread(#[case] hints: Hints, #[case] milliseconds: u128) {
        let mut pacer = pacer(10.0);
        pacer.observe(at(0), &hints);
        pacer.next_slot(at(0));
        assert_eq!(pacer.next_slot(at(0)).wait.as_millis(), milliseconds);
    }

    #[test]
    fn whoever_cuts_in_leaves_at_once_and_everybody_in_the_line_waits_one_place_longer() {
        let mut pacer = pacer(1.0);
        let mut waiting = [0, 1, 2].map(|_| pacer.next_slot(at(0)));
        // The first has left; half a second later something cuts in.
        assert!(pacer.cut_in(at(500)));
        let more = waiting.each_mut().map(|slot| pacer.delayed(slot).as_secs());
        assert_eq!(more, [1, 1, 1]);
        assert_eq!(pacer.wait(at(500)).as_millis(), 3500);
    }

    #[test]
    fn where_nobody_waits_the_next_keeps_its_distance_to_whoever_cut_in() {
        let mut pacer = pacer(1.0);
        assert!(pacer.cut_in(at(0)));
        assert_eq!(pacer.wait(at(0)), SECOND);
    }

    #[test]
    fn nobody_cuts_in_during_a_pause() {
        let mut pacer = pacer(1.0);
        pacer.observe(at(0), &retry_after(30));
        assert!(!pacer.cut_in(at(1000)));
        assert_eq!(pacer.wait(at(1000)).as_secs(), 29, "no place was taken");
        assert!(pacer.cut_in(at(30_000)));
    }

    #[test]
    fn a_new_window_ends_the_spreading() {
        let mut pacer = pacer(10.0);
        pacer.observe(at(0), &budget(2, 60));
        pacer.next_slot(at(61_000));
        assert_eq!(pacer.next_slot(at(61_000)).wait.as_millis(), 100);
    }

    #[test]
    fn a_clock_that_is_set_back_an_hour_does_not_stop_the_host_for_an_hour() {
        let mut pacer = pacer(1.0);
        pacer.next_slot(at(0));
        assert_eq!(pacer.next_slot(at(-3_600_000)).wait, SECOND);
        assert_eq!(pacer.next_slot(at(-3_600_000 + 1000)).wait, SECOND);
    }

    #[rstest]
    #[case::nothing(0.0, 100)]
    #[case::negative(-1.0, 100)]
    #[case::not_a_number(f64::NAN, 100)]
    #[case::endless(f64::INFINITY, 100)]
    fn a_rate_that_makes_no_sense_is_the_slowest(#[case] rate: f64, #[case] seconds: u64) {
        let mut pacer = pacer(rate);
        pacer.next_slot(at(0));
        assert_eq!(pacer.wait(at(0)).as_secs(), seconds);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Pass(i64),
        Ask,
        CutIn,
        Observe(Hints),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let seconds = || proptest::option::of((0_u64..2_000_000).prop_map(Duration::from_secs));
        let hints = (any::<bool>(), seconds(), proptest::option::of(0_u64..3000), seconds()).prop_map(
            |(throttled, retry_after, remaining, reset_in)| Hints {
                throttled,
                retry_after,
                remaining,
                reset_in,
                ..Hints::default()
            },
        );
        let step = prop_oneof![
            (0_i64..90_000).prop_map(Step::Pass),
            Just(Step::Ask),
            Just(Step::Ask),
            Just(Step::CutIn),
            hints.prop_map(Step::Observe),
        ];
        proptest::collection::vec(step, 1..60)
    }

    proptest! {
        /// Follows every place in the line through all later pauses: where it ends up is its real time.
        #[test]
        fn requests_leave_in_order_never_too_close_and_never_inside_a_pause(steps in steps()) {
            let mut pacer = pacer(4.0);
            let mut now = 0;
            let mut line: Vec<(u128, Slot)> = Vec::new();
            for step in steps {
                match step {
                    Step::Pass(milliseconds) => now += milliseconds,
                    Step::Ask => {
                        let expected = pacer.wait(at(now));
                        let slot = pacer.next_slot(at(now));
                        prop_assert_eq!(slot.wait, expected);
                        line.push((u128::try_from(now).unwrap() + slot.wait.as_millis(), slot));
                    }
                    Step::CutIn => {
                        let cut_in = pacer.cut_in(at(now));
                        let now = u128::try_from(now).unwrap();
                        for (leaves, slot) in &mut line {
                            let more = pacer.delayed(slot).as_millis();
                            *leaves += if *leaves > now { more } else { 0 };
                            prop_assert!(!cut_in || *leaves <= now || *leaves >= now + 250);
                        }
                    }
                    Step::Observe(hints) => {
                        pacer.observe(at(now), &hints);
                        let now = u128::try_from(now).unwrap();
                        for (leaves, slot) in line.iter_mut().filter(|(leaves, _)| *leaves > now) {
                            *leaves += pacer.delayed(slot).as_millis();
                            if let Some(pause) = Pacer::pause(&hints) {
                                prop_assert!(*leaves >= now + pause.min(LONGEST_PAUSE).as_millis());
                            }
                        }
                        // Those that have left hear of nothing.
                        for (_, slot) in line.iter_mut().filter(|(leaves, _)| *leaves <= now) {
                            pacer.delayed(slot);
                        }
                    }
                }
            }
            for pair in line.windows(2) {
                prop_assert!(pair[1].0 - pair[0].0 >= 250, "{} then {}", pair[0].0, pair[1].0);
            }
        }

        #[test]
        fn no_answer_can_stop_a_host_for_longer_than_the_bound(
            throttled: bool, retry_after: Option<Duration>, remaining: Option<u64>, reset_in: Option<Duration>,
        ) {
            let mut pacer = pacer(4.0);
            let hints = Hints { throttled, retry_after, remaining, reset_in, ..Hints::default() };
            for _ in 0..3 {
                pacer.observe(at(0), &hints);
            }
            prop_assert!(pacer.wait(at(0)) <= LONGEST_PAUSE);
        }
    }
}
