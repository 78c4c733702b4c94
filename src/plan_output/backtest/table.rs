//! The tables for a terminal.

use std::fmt::Write;
use std::ops::Range;

use super::{Report, advised, deployed, minute};
use crate::plan_output::units;
use crate::policy::backtest::{OfRule, RegrettedImage, Run};
use crate::terminal::plain;

/// The whole backtest.
#[must_use]
pub fn table(report: &Report) -> String {
    let about = &report.about;
    let (policy, gitlab, method) = (plain(&about.policy), plain(&about.gitlab), about.method.as_str());
    let mut text = format!("{policy} on {gitlab}: method {method}, backtest of {}\n", plain(&report.period));
    let _ = writeln!(text, "{}\n", plain(&report.played()));
    runs(report, &mut text);
    regret(report, &mut text);
    rules(report, &mut text);
    for repository in &report.not_played {
        let what = if repository.skipped { "skipped" } else { "failed" };
        let _ = writeln!(text, "{}: {what}: {}\n", plain(&repository.path), plain(&repository.why));
    }
    let _ = writeln!(text, "Together: {}.", report.summary());
    for (_, note) in report.notes() {
        let _ = writeln!(text, "Note: {}.", plain(&note));
    }
    text
}

fn runs(report: &Report, text: &mut String) {
    let row = |run: &Run| {
        let regret = report.unknown.as_ref().map_or_else(|| run.regret.to_string(), |_| "unknown".to_owned());
        let limit = if run.exceeded { "exceeded" } else { "" };
        [minute(run.at), run.tags.to_string(), units::size(run.bytes), regret, limit.to_owned()]
    };
    aligned(["RUN", "TAGS", "SIZE", "REGRET", "LIMIT"], &(1..4), report.removing().map(row).collect(), text);
}

fn regret(report: &Report, text: &mut String) {
    let row = |image: &RegrettedImage| {
        let more = if image.times > 1 { format!(" and {} more", image.times - 1) } else { String::new() };
        [
            plain(&format!("{}:{}", image.repository, image.tag)),
            plain(report.rule(image.rule).unwrap_or("-")),
            minute(image.removed),
            deployed(image),
            plain(&image.user) + &more,
        ]
    };
    let rows = report.findings.regret.images.iter().map(row).collect();
    aligned(["REGRETTED", "RULE", "REMOVED", "DEPLOYED", "BY"], &(0..0), rows, text);
}

fn rules(report: &Report, text: &mut String) {
    let row = |(name, of): (&str, &OfRule)| {
        let known = report.unknown.is_none();
        let regret = if known { of.regret.to_string() } else { "unknown".to_owned() };
        let none = || match (known, of.tested) {
            (false, _) => "unknown".to_owned(),
            (true, false) => "nothing was deployed".to_owned(),
            (true, true) => "none".to_owned(),
        };
        let age = advised(of.older_than, "d").filter(|_| known).unwrap_or_else(none);
        let number = advised(of.keep_n, "").filter(|_| known).unwrap_or_else(none);
        [plain(name), of.removed.to_string(), regret, age, number]
    };
    let heads = ["RULE", "REMOVED", "REGRET", "OLDERTHAN WITHOUT REGRET", "KEEPN WITHOUT REGRET"];
    aligned(heads, &(1..3), report.rules().map(row).collect(), text);
}

/// A table whose columns of numbers are aligned at their end; nothing where it has no rows.
fn aligned<const N: usize>(heads: [&str; N], numbers: &Range<usize>, rows: Vec<[String; N]>, text: &mut String) {
    if rows.is_empty() {
        return;
    }
    let mut widths = heads.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in std::iter::once(heads.map(str::to_owned)).chain(rows) {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let _ = if numbers.contains(&column) {
                write!(line, "  {cell:>width$}")
            } else {
                write!(line, "  {cell:<width$}")
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
}
