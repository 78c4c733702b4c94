//! Windows in which a policy removes nothing: when one is open, until when, and which times of a schedule are left out.
//!
//! A window that comes again begins as a schedule does and lasts by the clock of its time zone: from 22:00 for 8h it is
//! open until 06:00, also in the night in which clocks change. Where that end exists twice, the later one counts, and
//! one that does not exist is as much later as clocks jump: in doubt the window is open.

use jiff::{SignedDuration, Timestamp};

use crate::api::conditions::{self, Reason, WITHIN_EXCLUDE_WINDOW};
use crate::api::limits::MAX_MESSAGE;
use crate::api::{ExcludeWindowSpec, PolicyStatus};

use super::age::Age;
use super::schedule::{Due, Schedule, ScheduleError};

/// How many windows that follow on each other without a gap are looked at. Whoever writes more wants no runs.
const MAX_CHAIN: usize = 100;

/// The windows of a policy.
#[derive(Clone, Debug, Default)]
pub struct Windows(Vec<Window>);

#[derive(Clone, Debug)]
struct Window {
    name: String,
    span: Span,
}

#[derive(Clone, Debug)]
enum Span {
    Again { schedule: Box<Schedule>, duration: SignedDuration },
    Once { from: Timestamp, until: Timestamp },
}

impl Windows {
    /// How many schedules they have.
    #[must_use]
    pub fn schedules(&self) -> usize {
        self.0.iter().filter(|window| matches!(window.span, Span::Again { .. })).count()
    }
}

/// Why there are no such windows.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WindowError {
    /// The schedule of one is none.
    #[error("excludeWindows[{0}]: {1}")]
    Schedule(String, ScheduleError),
    /// Its times are none.
    #[error("excludeWindows[{0}] {1}")]
    Times(String, &'static str),
}

/// That a window is open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Open<'a> {
    /// Its name: of several the one that lasts longest.
    pub name: &'a str,
    /// When none is open any more; `None` where that does not come in sight.
    pub until: Option<Timestamp>,
}

impl Windows {
    /// Reads the windows of a policy, in its time zone. `now` decides whether a schedule ever comes again.
    ///
    /// # Errors
    /// When a schedule, a duration or a time is none.
    pub fn parse(specs: &[ExcludeWindowSpec], zone: &str, now: Timestamp) -> Result<Self, WindowError> {
        let window = |spec: &ExcludeWindowSpec| {
            let wrong = |what| WindowError::Times(spec.name.clone(), what);
            let moment = |text: &str| {
                text.parse::<Timestamp>()
                    .map_err(|_| wrong("has a time that cannot be read: write 2026-12-20T18:00:00Z"))
            };
            let span = match (&spec.schedule, &spec.duration, &spec.from, &spec.until) {
                (Some(schedule), Some(duration), None, None) => {
                    let unreadable = |error| WindowError::Schedule(spec.name.clone(), error);
                    let schedule = Schedule::parse(schedule, zone, now).map_err(unreadable)?;
                    let duration = Age::parse(duration).map_err(|_| wrong("has a duration that cannot be read"))?;
                    Span::Again { schedule: Box::new(schedule), duration: duration.duration() }
                }
                (None, None, Some(from), Some(until)) => Span::Once { from: moment(from)?, until: moment(until)? },
                _ => return Err(wrong("has neither schedule and duration nor from and until")),
            };
            Ok(Window { name: spec.name.clone(), span })
        };
        specs.iter().map(window).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a window is open at a moment, and until when some window is.
    #[must_use]
    pub fn open_at(&self, moment: Timestamp) -> Option<Open<'_>> {
        let (name, mut until) = self.longest(moment)?;
        for _ in 0..MAX_CHAIN {
            match self.longest(until) {
                Some((_, later)) => until = later,
                None => return Some(Open { name, until: Some(until) }),
            }
        }
        Some(Open { name, until: None })
    }

    /// When a window is opened next after a moment, if ever.
    #[must_use]
    pub fn next_opening(&self, moment: Timestamp) -> Option<Timestamp> {
        let opening = |window: &Window| match &window.span {
            Span::Again { schedule, .. } => schedule.next_after(moment),
            Span::Once { from, .. } => Some(*from).filter(|from| *from > moment),
        };
        self.0.iter().filter_map(opening).min()
    }

    /// From when on nothing may be removed for a run that is begun at a moment, if ever: at once, where a window was
    /// opened after it was decided to begin.
    #[must_use]
    pub fn closes_at(&self, begun: Timestamp) -> Option<Timestamp> {
        if self.open_at(begun).is_some() { Some(begun) } else { self.next_opening(begun) }
    }

    /// The first time of a schedule after a moment at which no window is open; `None` where none comes in sight.
    #[must_use]
    pub fn next_slot(&self, schedule: &Schedule, after: Timestamp) -> Option<Timestamp> {
        let mut slot = schedule.next_after(after)?;
        for _ in 0..MAX_CHAIN {
            let Some(open) = self.open_at(slot) else { return Some(slot) };
            // The end belongs to the window no more.
            slot = schedule.next_after(open.until?.checked_sub(SignedDuration::from_nanos(1)).ok()?)?;
        }
        None
    }

    /// The last time of a schedule up to a moment at which no window was open; `None` where there was none in sight.
    #[must_use]
    pub fn last_slot(&self, schedule: &Schedule, until: Timestamp) -> Option<Timestamp> {
        let mut slot = schedule.last_until(until)?;
        for _ in 0..MAX_CHAIN {
            let open = self.0.iter().filter_map(|window| window.span.open_at(slot));
            let Some(begun) = open.map(|(from, _)| from).min() else { return Some(slot) };
            // The beginning belongs to the window.
            slot = schedule.last_until(begun.checked_sub(SignedDuration::from_nanos(1)).ok()?)?;
        }
        None
    }

    /// What the armed slot calls for, where slots within windows are left out.
    #[must_use]
    pub fn due(&self, schedule: &Schedule, armed: Timestamp, deadline: SignedDuration, now: Timestamp) -> Due {
        schedule.due_among(armed, deadline, now, |slot| self.open_at(slot).is_none())
    }

    /// The window that is open at a moment and lasts longest.
    fn longest(&self, moment: Timestamp) -> Option<(&str, Timestamp)> {
        let open = |window: &Window| window.span.open_at(moment);
        let all = self.0.iter().filter_map(|window| Some((window.name.as_str(), open(window)?.1)));
        all.max_by_key(|(_, until)| *until)
    }
}

impl Span {
    /// From when until when, if it is open at a moment.
    fn open_at(&self, moment: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let (from, until) = match self {
            Self::Once { from, until } => (*from, *until),
            Self::Again { schedule, duration } => {
                let (from, zone) = (schedule.last_until(moment)?, schedule.zone());
                let end = from.to_zoned(zone.clone()).datetime().checked_add(*duration).ok()?;
                (from, zone.to_ambiguous_timestamp(end).later().ok()?)
            }
        };
        (from <= moment && moment < until).then_some((from, until))
    }
}

impl Open<'_> {
    /// What to say of it.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.until {
            Some(until) => format!("nothing is removed until {until}: the exclude window {} is open", self.name),
            None => format!("nothing is removed: the exclude window {} is open, and others follow on it", self.name),
        }
    }
}

/// Records in the status of a policy whether a window is open.
pub fn note(status: &mut PolicyStatus, open: Option<&Open<'_>>, generation: i64, now: Timestamp) {
    let Some(open) = open else { return conditions::remove(&mut status.conditions, WITHIN_EXCLUDE_WINDOW) };
    let (why, message, generation) = (Reason::ExcludeWindowOpen, open.sentence(), Some(generation));
    conditions::set(&mut status.conditions, WITHIN_EXCLUDE_WINDOW, true, why, &message, generation, now);
}

/// Whether the status does not say what is so.
#[must_use]
pub fn is_misstated(status: &PolicyStatus, open: Option<&Open<'_>>) -> bool {
    let said = conditions::find(&status.conditions, WITHIN_EXCLUDE_WINDOW).map(|said| said.message.as_str());
    said != open.map(|open| conditions::shorten(&open.sentence(), MAX_MESSAGE)).as_deref()
}

#[cfg(test)]
mod tests;
