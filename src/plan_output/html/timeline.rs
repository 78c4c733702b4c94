//! The chart of a repository: its tags by age, one column for each span of time, those that would stay above the line
//! and those that would go below it. Colour adds the reason, and is never needed to tell the two apart.
//!
//! Ages are drawn by their logarithm, since what happened within a day matters as much as what happened within a year.
//! Positions are shares of the width, so that the chart fits every screen with letters of the same size.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};

use super::super::{Tag, units};
use super::reasons::Family;
use crate::policy::tag::Moment;

/// Columns of a chart: narrow enough to show a shape, wide enough to be seen on a phone.
const COLUMNS: u32 = 48;
/// Height of the drawing at most, in pixels.
const HEIGHT: f64 = 120.0;
/// Height of one tag at most, in pixels, so that few tags do not look like many.
const TAG_HEIGHT: f64 = 14.0;
/// Free above and below the columns, and below them for the words.
const MARGIN: f64 = 6.0;
const WORDS: f64 = 16.0;
const SECONDS_OF_A_DAY: f64 = 86_400.0;
/// Ages that are written below the line, in days, and whether a phone has room for them.
const TICKS: [(f64, &str, bool); 8] = [
    (1.0, "1 day", false),
    (7.0, "1 week", true),
    (30.0, "1 month", true),
    (90.0, "3 months", false),
    (365.0, "1 year", true),
    (730.0, "2 years", false),
    (1_826.0, "5 years", true),
    (3_652.0, "10 years", false),
];

/// A chart, as the page has it: shares of the width in percent, heights in pixels.
pub(super) struct Chart {
    pub(super) label: String,
    pub(super) caption: String,
    pub(super) height: String,
    pub(super) axis: String,
    pub(super) ticks_y: String,
    pub(super) width: String,
    pub(super) ticks: Vec<Tick>,
    pub(super) columns: Vec<Column>,
}

pub(super) struct Tick {
    pub(super) x: String,
    pub(super) text: &'static str,
    pub(super) class: &'static str,
}

pub(super) struct Column {
    pub(super) class: &'static str,
    pub(super) x: String,
    pub(super) y: String,
    pub(super) height: String,
    pub(super) title: String,
}

/// How many tags of each family a span of time has.
type Counts = [u32; Family::ALL.len()];

/// The spans of time, the newest first.
struct Spans {
    /// The oldest age, in days.
    oldest: f64,
    /// The ages in days at which they end.
    ends: Vec<f64>,
    counts: Vec<Counts>,
}

/// Draws the tags whose dates are known; `None` where there are none.
pub(super) fn chart(tags: &[Tag<'_>], at: Timestamp) -> Option<Chart> {
    let dated: Vec<(SignedDuration, Family)> =
        tags.iter().filter_map(|tag| Some((age(tag, at)?, Family::of(tag.decision.verdict)))).collect();
    if dated.is_empty() {
        return None;
    }
    let spans = Spans::of(&dated);
    let highest = spans.counts.iter().map(|counts| counts.iter().sum::<u32>()).max().unwrap_or_default();
    let above = spans.highest(|family| family != Family::Goes);
    let below = spans.highest(|family| family == Family::Goes);
    let scale = (HEIGHT / f64::from(above + below).max(1.0)).min(TAG_HEIGHT);
    let axis = f64::from(above).mul_add(scale, MARGIN);
    let bottom = f64::from(below).mul_add(scale, axis + MARGIN);
    Some(Chart {
        label: label(&dated),
        caption: caption(tags, at, highest),
        height: pixels(bottom + WORDS),
        axis: pixels(axis),
        ticks_y: pixels(bottom),
        width: share(100.0 / f64::from(COLUMNS) - 0.3),
        ticks: spans.ticks(),
        columns: spans.columns(axis, scale),
    })
}

fn age(tag: &Tag<'_>, at: Timestamp) -> Option<SignedDuration> {
    match tag.pushed {
        Moment::At(date) => Some(at.duration_since(date).max(SignedDuration::ZERO)),
        Moment::Unknown | Moment::Placeholder(_) | Moment::Ahead(_) | Moment::Newer => None,
    }
}

fn days(age: SignedDuration) -> f64 {
    age.as_secs_f64() / SECONDS_OF_A_DAY
}

impl Spans {
    fn of(dated: &[(SignedDuration, Family)]) -> Self {
        // A little more than the oldest, which is then drawn within the chart.
        let oldest = dated.iter().map(|(age, _)| days(*age)).fold(1.0, f64::max) * 1.02;
        let end = |column: u32| (f64::from(column) / f64::from(COLUMNS) * oldest.ln_1p()).exp_m1();
        let ends: Vec<f64> = (1..=COLUMNS).map(end).collect();
        let mut counts = vec![Counts::default(); ends.len()];
        for (age, family) in dated {
            let column = ends.partition_point(|end| *end <= days(*age)).min(ends.len().saturating_sub(1));
            for (count, other) in counts.get_mut(column).into_iter().flatten().zip(Family::ALL) {
                *count += u32::from(other == *family);
            }
        }
        Self { oldest, ends, counts }
    }

    /// The number of tags in the span that has the most of some families.
    fn highest(&self, wanted: impl Fn(Family) -> bool) -> u32 {
        let sum = |counts: &Counts| -> u32 {
            counts.iter().zip(Family::ALL).filter(|(_, family)| wanted(*family)).map(|(count, _)| count).sum()
        };
        self.counts.iter().map(sum).max().unwrap_or_default()
    }

    fn ticks(&self) -> Vec<Tick> {
        let position = |days: f64| share(100.0 * (1.0 - days.ln_1p() / self.oldest.ln_1p()));
        // Not where the word would leave the chart.
        let drawn = TICKS.iter().filter(|(days, ..)| days.ln_1p() < self.oldest.ln_1p() * 0.95);
        let ticks = drawn.map(|(days, text, on_phones)| Tick {
            x: position(*days),
            text,
            class: if *on_phones { "" } else { "minor" },
        });
        ticks.chain([Tick { x: share(100.0), text: "now", class: "last" }]).collect()
    }

    fn columns(&self, axis: f64, scale: f64) -> Vec<Column> {
        let mut columns = Vec::new();
        let mut begin = 0.0;
        for ((counts, end), number) in self.counts.iter().zip(&self.ends).zip(1_u32..) {
            let x = share(100.0 - 100.0 * f64::from(number) / f64::from(COLUMNS) + 0.15);
            let mut top = axis;
            for (count, family) in counts.iter().zip(Family::ALL).filter(|(count, _)| **count > 0) {
                let height = f64::from(*count) * scale;
                let y = if family == Family::Goes {
                    axis
                } else {
                    top -= height;
                    top
                };
                let title = format!("{count} {}, {} to {} old", family.words(), in_words(begin), in_words(*end));
                let (y, height) = (pixels(y), pixels(height));
                columns.push(Column { class: family.class(), x: x.clone(), y, height, title });
            }
            begin = *end;
        }
        columns
    }
}

/// What somebody hears who does not see the chart.
fn label(dated: &[(SignedDuration, Family)]) -> String {
    let of = |go: bool, words: &str| {
        let ages = dated.iter().filter(|(_, family)| (*family == Family::Goes) == go).map(|(age, _)| *age);
        let (youngest, oldest) = (ages.clone().min()?, ages.clone().max()?);
        let (youngest, oldest) = (units::age(youngest), units::age(oldest));
        Some(format!(" {} {words}, {youngest} to {oldest} old.", units::grouped(ages.count() as u64)))
    };
    let parts = [of(true, "would go"), of(false, "would stay")];
    format!("Tags by age:{}", parts.into_iter().flatten().collect::<String>())
}

fn caption(tags: &[Tag<'_>], at: Timestamp, highest: u32) -> String {
    let unread = tags.iter().filter(|tag| tag.pushed == Moment::Newer).count();
    let undated = tags.iter().filter(|tag| age(tag, at).is_none()).count() - unread;
    let mut text = format!(
        "Tags by age, the newest on the right; older ages are drawn closer together. Above the line: would stay. Below: \
         would go. The highest column has {}.",
        units::of(u64::from(highest), "tag", "tags")
    );
    for (number, why) in [(unread, "younger, and not read in full"), (undated, "without a date that is known")] {
        if number > 0 {
            let _ = write!(text, " Not drawn: {} {why}.", units::grouped(number as u64));
        }
    }
    text
}

fn in_words(days: f64) -> String {
    SignedDuration::try_from_secs_f64(days * SECONDS_OF_A_DAY).map(units::age).unwrap_or_default()
}

fn share(percent: f64) -> String {
    format!("{percent:.2}")
}

fn pixels(number: f64) -> String {
    format!("{number:.1}")
}
