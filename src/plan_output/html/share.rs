//! The bar of what becomes of tags: one part for each family, as wide as its share.

use super::super::units;
use super::reasons::Family;
use crate::policy::plan::Verdict;

/// A part of the bar, in percent of its width.
pub(super) struct Share {
    pub(super) class: &'static str,
    pub(super) x: String,
    pub(super) width: String,
    pub(super) title: String,
}

/// The parts of these tags, those that would go first; none where there are no tags.
pub(super) fn shares(verdicts: impl IntoIterator<Item = Verdict>) -> Vec<Share> {
    let mut counts = [0_u64; Family::ALL.len()];
    for verdict in verdicts {
        for (count, family) in counts.iter_mut().zip(Family::ALL) {
            *count += u64::from(family == Family::of(verdict));
        }
    }
    let all: u64 = counts.iter().sum();
    let mut before = 0;
    let mut shares = Vec::new();
    for (count, family) in counts.into_iter().zip(Family::ALL).filter(|(count, _)| *count > 0) {
        let title = format!("{} {}", units::grouped(count), family.words());
        shares.push(Share { class: family.class(), x: percent(before, all), width: percent(count, all), title });
        before += count;
    }
    shares
}

/// A share in percent, with two decimals.
fn percent(part: u64, all: u64) -> String {
    let hundredths = (u128::from(part) * 10_000).checked_div(u128::from(all)).unwrap_or_default();
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
