//! The one table, in markdown.

use std::fmt::Write as _;

use gitlab_simulator::Endpoint as E;
use registry_cleanup_operator::api::RunResult;
use registry_cleanup_operator::plan_output::units::grouped;
use registry_cleanup_operator::policy::repository_outcome::RepositoryReason;

use crate::rows::{Budget, Row};
use crate::shapes::Content;
use crate::world::Measured;

const HEADINGS: [&str; 20] = [
    "Shape",
    "Method",
    "Tags",
    "To remove",
    "Removed",
    "Asked / confirmed",
    "List repositories",
    "List names",
    "GraphQL read",
    "GraphQL remove",
    "Tag details",
    "Tag delete",
    "Bulk",
    "Other",
    "Requests",
    "Seconds",
    "Reading",
    "Removing",
    "Tags/s",
    "RSS MiB",
];

/// The table, line by line, and what has to be said below it.
#[derive(Default)]
pub(crate) struct Table {
    lines: Vec<String>,
    notes: Vec<String>,
}

impl Table {
    /// Adds a line for a run of this number; those after the first run over what it has cleaned.
    pub(crate) fn add(&mut self, row: Row, content: &Content, measured: &Measured, number: usize) {
        let (name, again) = (row.name(number), number > 0);
        let to_remove = if again { 0 } else { row.way.to_remove(content) };
        let tags = if again { content.tags() - row.way.to_remove(content) } else { content.tags() };
        let budget = row.budget(content, number);
        let run = measured.status.last_run.as_ref();
        let counts = run.map(|run| run.tags).unwrap_or_default();
        self.note_trouble(&format!("{}, {name}", row.shape.name()), measured);

        let requests = |kinds: &[E]| -> u64 { kinds.iter().filter_map(|kind| measured.requests.get(kind)).sum() };
        let all: u64 = measured.requests.values().sum();
        let known = [
            requests(&[E::ListProjectRepositories, E::ListGroupRepositories]),
            requests(&[E::ListTags]),
            requests(&[E::GraphqlQuery]),
            requests(&[E::GraphqlMutation]),
            requests(&[E::GetTag]),
            requests(&[E::DeleteTag]),
            requests(&[E::BulkDeleteTags]),
        ];
        let seconds = measured.took.as_secs_f64();
        let mut cells = vec![row.shape.name().to_owned(), name, grouped(tags), grouped(to_remove)];
        cells.push(grouped(measured.removed));
        cells.push(format!("{} / {}", grouped(counts.requested), grouped(counts.confirmed)));
        cells.extend(known.iter().map(|number| grouped(*number)));
        cells.push(grouped(all - known.iter().sum::<u64>()));
        cells.push(grouped(all));
        cells.push(format!("{seconds:.1}"));
        cells.extend([measured.reading, measured.removing].map(|seconds| format!("{seconds:.1}")));
        cells.push(if measured.removed > 0 { per_second(measured.removed, seconds) } else { "–".to_owned() });
        cells.push(format!("{:.1}", measured.peak_mebibytes));
        let (limit, met) = judge(budget, all, seconds, measured.peak_mebibytes);
        cells.extend([limit, met]);
        self.lines.push(line(&cells));
    }

    /// Says what was not measured.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    fn note_trouble(&mut self, what: &str, measured: &Measured) {
        let Some(run) = &measured.status.last_run else { return };
        if run.result != RunResult::Succeeded {
            let message = run.message.as_deref().unwrap_or_default();
            self.notes.push(format!("{what}: the run ended {}: {message}", run.result.as_str()));
        }
        let expected = [RepositoryReason::NothingToRemove.as_str(), RepositoryReason::Unchanged.as_str()];
        let worth_telling = |reason: &str| !expected.contains(&reason);
        let mut told = measured
            .status
            .repositories
            .iter()
            .filter(|repository| repository.reason.as_deref().is_some_and(worth_telling));
        if let Some(first) = told.next() {
            self.notes.push(format!(
                "{what}: {} says {}: {}; {} more repositories in the status have such a reason",
                first.path,
                first.reason.as_deref().unwrap_or_default(),
                first.message.as_deref().unwrap_or_default(),
                told.count()
            ));
        }
    }

    /// The text of the table.
    pub(crate) fn text(&self) -> String {
        let headings: Vec<String> = HEADINGS.iter().chain(&["Budget", "Met"]).map(ToString::to_string).collect();
        let rules: Vec<String> =
            (0..headings.len()).map(|column| if column < 2 { "---" } else { "---:" }.to_owned()).collect();
        let mut text = format!("{}\n{}\n", line(&headings), line(&rules));
        for line in &self.lines {
            let _ = writeln!(text, "{line}");
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }
}

fn line(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// What was allowed, and whether it was enough.
#[allow(clippy::cast_precision_loss, reason = "far below what a float holds exactly")]
fn judge(budget: Budget, requests: u64, seconds: f64, mebibytes: f64) -> (String, String) {
    let mut limits = Vec::new();
    let mut missed = Vec::new();
    if let Some(most) = budget.requests {
        limits.push(format!("{} requests", grouped(whole(most))));
        if requests as f64 > most {
            missed.push("requests");
        }
    }
    if let Some(most) = budget.seconds {
        limits.push(format!("{most} s"));
        if seconds > most {
            missed.push("seconds");
        }
    }
    if let Some(most) = budget.mebibytes {
        limits.push(format!("{most} MiB"));
        if mebibytes > most {
            missed.push("memory");
        }
    }
    match (limits.is_empty(), missed.is_empty()) {
        (true, _) => ("–".to_owned(), "–".to_owned()),
        (_, true) => (limits.join(", "), "yes".to_owned()),
        (_, false) => (limits.join(", "), format!("**no: {}**", missed.join(", "))),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "limits are small and positive")]
fn whole(number: f64) -> u64 {
    number.floor() as u64
}

#[allow(clippy::cast_precision_loss, reason = "far below what a float holds exactly")]
fn per_second(number: u64, seconds: f64) -> String {
    grouped(whole(number as f64 / seconds))
}
