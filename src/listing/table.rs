//! The table for a terminal, repository by repository, so that it can be printed as it comes.

use std::fmt::Write;

use super::{About, HEADS, Listing, Planned, Repository, State, Tag, amount, cells, kept, plain, shown};

/// Columns of numbers, which are aligned at their end.
const NUMBERS: [&str; 2] = ["AGE", "SIZE"];

/// What stands above everything.
#[must_use]
pub fn head(about: &About) -> String {
    let About { policy, gitlab, method, mode, at, .. } = about;
    let (method, mode, at) = (method.as_str(), mode.as_str(), at.strftime("%Y-%m-%d %H:%M:%S UTC"));
    format!("{} on {}: method {method}, mode {mode}, as of {at}\n\n", plain(policy), plain(gitlab))
}

/// One repository.
#[must_use]
pub fn repository(about: &About, repository: &Repository) -> String {
    let path = plain(&repository.path);
    match &repository.state {
        State::Failed(message) => format!("{path}: failed: {}\n\n", plain(message)),
        State::Skipped(message) => format!("{path}: skipped: {}\n\n", plain(message)),
        State::Planned(planned) => {
            let mut text = format!("{path}: {}\n", amount(planned));
            if let Some(exceeded) = &planned.exceeded {
                let _ = writeln!(text, "  A run would remove nothing here: {}", exceeded.numbers());
            }
            tags(about, planned, &mut text);
            let _ = writeln!(text, "  Kept: {}\n", kept(planned));
            text
        }
    }
}

/// What stands below everything.
#[must_use]
pub fn foot(listing: &Listing) -> String {
    let mut text = format!("Together: {}.\n", listing.summary());
    for remark in listing.remarks() {
        let _ = writeln!(text, "Note: {remark}.");
    }
    let _ = writeln!(text, "Plan: {}", listing.plan_hash());
    text
}

fn tags(about: &About, planned: &Planned, text: &mut String) {
    let (tags, from) = shown(about, planned);
    if tags.is_empty() {
        return;
    }
    let width_of = |tag: &Tag<'_>| cells(about, tag).map(|cell| cell.chars().count());
    let mut widths = HEADS.map(str::len);
    for tag in &tags {
        for (width, own) in widths.iter_mut().zip(width_of(tag)) {
            *width = own.max(*width);
        }
    }
    row(&HEADS.map(str::to_owned), &widths, from, text);
    for tag in &tags {
        row(&cells(about, tag), &widths, from, text);
    }
}

fn row(cells: &[String; 6], widths: &[usize; 6], from: usize, text: &mut String) {
    for ((cell, width), head) in cells.iter().zip(widths).zip(HEADS).skip(from) {
        let _ =
            if NUMBERS.contains(&head) { write!(text, "  {cell:>width$}") } else { write!(text, "  {cell:<width$}") };
    }
    text.push('\n');
}
