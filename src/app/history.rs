//! `history`: prints what runs of a policy removed, as far as the operator keeps it.

use std::collections::BTreeMap;
use std::fmt::Write;

use kube::ResourceExt;
use serde::Serialize;

use super::cluster_config::{self, Unreachable};
use super::columns::aligned;
use crate::cluster::{history, policies};
use crate::model::Digest;
use crate::plan_output::units;
use crate::policy::history::{Fate, Kept, Removed, Summary, read};
use crate::proxy::environment::ProxyEnvironment;
use crate::terminal::{self, plain};

/// What a table without rows would not say.
const NO_RUNS: &str =
    "nothing is kept: no run has removed anything since --history-limit (chart: history.limit) is set\n";

/// What is wanted.
#[derive(Debug)]
pub struct Request {
    /// The namespace; `None` is that of the context.
    pub namespace: Option<String>,
    /// The policy.
    pub policy: String,
    /// The run; `None` is a list of all that are kept.
    pub run: Option<String>,
    /// Proxies on the way to the API server.
    pub proxies: ProxyEnvironment,
}

/// Why nothing is printed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server cannot be asked.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The cluster does not give the policy.
    #[error(transparent)]
    Policy(#[from] policies::Error),
    /// The cluster does not give the history.
    #[error(transparent)]
    History(#[from] history::Error),
    /// There is nothing about this run.
    #[error(
        "nothing is kept of run {0}: it removed nothing, or is too long ago for --history-limit (chart: history.limit)"
    )]
    NoRun(String),
    /// A record was removed meanwhile, or is none.
    #[error("the record {0} cannot be read")]
    Unreadable(String),
}

/// What is kept.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum History {
    /// The runs, the newest first.
    Runs(Vec<Summary>),
    /// One of them with its tags.
    Run {
        /// What is told of it.
        #[serde(flatten)]
        summary: Summary,
        /// What it removed.
        tags: Vec<Removed>,
    },
}

/// Reads what is kept of a policy.
///
/// # Errors
/// When it cannot be had.
pub async fn look(request: &Request) -> Result<History, Error> {
    let (client, config) = cluster_config::reach(&request.proxies).await?;
    let namespace = request.namespace.clone().unwrap_or(config.default_namespace);
    let policy = policies::read(&client, &namespace, &request.policy).await?;
    let parts = history::list(&client, &namespace, &policy.uid().unwrap_or_default()).await?;
    let kept: Vec<Kept> = parts.into_iter().filter_map(|part| Kept::read(part.name, &part.summary)).collect();
    let Some(run) = &request.run else { return Ok(History::Runs(runs(kept))) };
    let mut parts: Vec<Kept> = kept.into_iter().filter(|kept| kept.summary.run == *run).collect();
    parts.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let Some(summary) = parts.first().map(|part| part.summary.clone()) else { return Err(Error::NoRun(run.clone())) };
    let mut tags = Vec::new();
    for Kept { name, .. } in parts {
        let part = history::read(&client, &namespace, &name).await?;
        let read = part.and_then(|part| read(&part.record).ok());
        tags.extend(read.ok_or(Error::Unreadable(name))?);
    }
    Ok(History::Run { summary, tags })
}

/// Each run once, the newest first.
fn runs(kept: Vec<Kept>) -> Vec<Summary> {
    let runs: BTreeMap<_, _> =
        kept.into_iter().map(|kept| ((kept.summary.start_time, kept.summary.run.clone()), kept.summary)).collect();
    runs.into_values().rev().collect()
}

/// For a terminal.
#[must_use]
pub fn table(history: &History) -> String {
    match history {
        History::Runs(runs) if runs.is_empty() => NO_RUNS.to_owned(),
        History::Runs(runs) => aligned(&["RUN", "ENDED", "RESULT", "REMOVED", "UNKNOWN", "SIZE"], runs.iter().map(row)),
        History::Run { summary, tags } => {
            let mut text = aligned(&["REPOSITORY", "TAG", "DIGEST", "SIZE", "FATE"], tags.iter().map(tag));
            if summary.counts.omitted > 0 {
                let _ = writeln!(text, "{} more found no room; the audit trail names them", summary.counts.omitted);
            }
            text
        }
    }
}

/// For programs.
///
/// # Errors
/// None that is known; the serializer could have one.
pub fn json(history: &History) -> Result<String, serde_json::Error> {
    Ok(terminal::json(&serde_json::to_string_pretty(history)?) + "\n")
}

fn row(run: &Summary) -> Vec<String> {
    let Summary { counts, .. } = run;
    let ended = run.completion_time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    let (removed, unknown) = (counts.removed.to_string(), counts.unknown.to_string());
    vec![plain(&run.run), ended, plain(&run.result), removed, unknown, units::size(counts.bytes)]
}

fn tag(removed: &Removed) -> Vec<String> {
    let Removed { repository, tag, digest, bytes, fate } = removed;
    let or_dash = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), plain);
    let digest = digest.as_ref().map(Digest::text);
    let size = bytes.map_or_else(|| "-".to_owned(), units::size);
    let fate = match fate {
        Fate::Removed => "Removed",
        Fate::Unknown => "Unknown",
    };
    vec![plain(repository), or_dash(tag.as_deref()), or_dash(digest.as_deref()), size, fate.to_owned()]
}

#[cfg(test)]
mod tests {
    use serde_json::json as value;

    use super::*;
    use crate::policy::history::Counts;

    fn summary(run: &str, start: &str) -> Summary {
        Summary {
            run: run.to_owned(),
            start_time: start.parse().unwrap(),
            completion_time: "2026-11-22T12:05:00Z".parse().unwrap(),
            result: "Succeeded".to_owned(),
            gitlab: "https://gitlab.test/".to_owned(),
            counts: Counts { removed: 2, unknown: 1, bytes: 1024 * 1024, omitted: 0 },
        }
    }

    fn kept(name: &str, summary: Summary) -> Kept {
        Kept { name: name.to_owned(), summary }
    }

    #[test]
    fn runs_are_listed_once_and_the_newest_first() {
        let (old, new) = (summary("a", "2026-11-21T12:00:00Z"), summary("b", "2026-11-22T12:00:00Z"));
        let all = vec![kept("shop.a", old.clone()), kept("shop.b", new.clone()), kept("shop.b.1", new.clone())];
        let history = History::Runs(runs(all));
        assert_eq!(history, History::Runs(vec![new, old]));
        let expected = "RUN   ENDED                     RESULT      REMOVED   UNKNOWN   SIZE
b     2026-11-22 12:05:00 UTC   Succeeded   2         1         1.0 MiB
a     2026-11-22 12:05:00 UTC   Succeeded   2         1         1.0 MiB
";
        assert_eq!(table(&history), expected);
    }

    #[test]
    fn what_a_run_removed_is_told_without_anything_that_a_terminal_would_obey() {
        let tags: Vec<Removed> = serde_json::from_value(value!([
            {"repository": "shop/api", "tag": "v1", "digest": "sha256:a", "bytes": 1024},
            {"repository": "shop/api", "tag": "v2\u{1b}[2J\u{202e}", "fate": "Unknown"},
            {"repository": "shop/old"},
        ]))
        .unwrap();
        let mut summary = summary("a", "2026-11-21T12:00:00Z");
        summary.counts.omitted = 7;
        let history = History::Run { summary, tags };
        let (table, json) = (table(&history), json(&history).unwrap());
        assert!(table.contains("shop/api     v1        sha256:a   1.0 KiB   Removed\n"), "{table}");
        assert!(table.contains("Unknown\n") && table.ends_with("7 more found no room; the audit trail names them\n"));
        assert!(!terminal::is_odd(&table) && !terminal::is_odd(&json), "{table:?} {json:?}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&read["run"], &read["tags"][1]["tag"]), (&value!("a"), &value!("v2\u{1b}[2J\u{202e}")));
    }

    #[test]
    fn where_nothing_is_kept_a_terminal_is_told_why_that_may_be() {
        assert!(table(&History::Runs(Vec::new())).contains("--history-limit"));
        assert_eq!(json(&History::Runs(Vec::new())).unwrap(), "[]\n");
    }
}
