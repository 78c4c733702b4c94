//! The backtest as a comment on a merge request, in GitLab's Markdown.

use std::fmt::Write;

use super::{Report, advised, deployed, minute};
use crate::plan_output::markdown::{MAX_CHARACTERS, cell, code, escaped};
use crate::plan_output::units;

/// Kept free for the end.
const RESERVE: usize = 4_000;

/// The whole comment. Rows that do not fit into a comment are left away, and a line says so.
#[must_use]
pub fn comment(report: &Report) -> String {
    let mut text = format!("**Registry cleanup, backtest of {}: {}.**\n\n", escaped(&report.period), report.summary());
    let (policy, gitlab) = (code(&report.about.policy), code(&report.about.gitlab));
    let _ = writeln!(text, "Policy {policy} on {gitlab}: {}.\n", escaped(&report.played()));
    for (_, note) in report.notes() {
        let _ = writeln!(text, "- {}", escaped(&note));
    }
    text.push('\n');
    let mut left_away = 0_usize;
    let mut add = |text: &mut String, row: String| {
        // Characters are no more than bytes.
        if text.len() + row.len() + RESERVE > MAX_CHARACTERS {
            left_away += 1;
        } else {
            text.push_str(&row);
        }
    };
    text.push_str("| Rule | Removed | Regret | olderThan without regret | keepN without regret |\n");
    text.push_str("|---|--:|--:|---|---|\n");
    let known = report.unknown.is_none();
    for (name, of) in report.rules() {
        let none = || if known { "none" } else { "unknown" }.to_owned();
        let age = advised(of.older_than, "d").filter(|_| known).unwrap_or_else(none);
        let number = advised(of.keep_n, "").filter(|_| known).unwrap_or_else(none);
        let regret = if known { of.regret.to_string() } else { "unknown".to_owned() };
        add(&mut text, format!("| {} | {} | {regret} | {age} | {number} |\n", cell(&code(name)), of.removed));
    }
    if !report.findings.regret.images.is_empty() {
        text.push_str("\n| Regretted | Removed | Deployed | By |\n|---|---|---|---|\n");
    }
    for image in &report.findings.regret.images {
        let name = cell(&code(&format!("{}:{}", image.repository, image.tag)));
        let (removed, deployed, by) = (minute(image.removed), deployed(image), cell(&code(&image.user)));
        add(&mut text, format!("| {name} | {removed} | {deployed} | {by} |\n"));
    }
    text.push_str("\n<details><summary>Runs</summary>\n\n| Run | Tags | Size |\n|---|--:|--:|\n");
    for run in report.removing() {
        add(&mut text, format!("| {} | {} | {} |\n", minute(run.at), run.tags, units::size(run.bytes)));
    }
    text.push_str("\n</details>\n");
    for repository in report.not_played.iter().filter(|repository| !repository.skipped) {
        add(&mut text, format!("\n{} failed: {}\n", code(&repository.path), escaped(&repository.why)));
    }
    if left_away > 0 {
        let _ = writeln!(text, "\n{left_away} rows are left away, because a comment cannot be longer.");
    }
    text
}
