//! The shape that programs read, as JSON or YAML. `docs/plan.md` describes it; fields are added, never changed.

use jiff::Timestamp;
use serde::Serialize;

use super::{Report, Sums};
use crate::policy::backtest::{Advice, OfRule, RegrettedImage, Run};
use crate::terminal;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outermost<'a> {
    policy: &'a str,
    generated_at: Timestamp,
    from: Timestamp,
    schedule: &'a str,
    time_zone: &'a str,
    totals: Totals,
    notes: Vec<NoteShape>,
    runs: Vec<RunShape>,
    regret: Option<Vec<ImageShape<'a>>>,
    rules: Vec<RuleShape<'a>>,
    repositories: Vec<RepositoryShape<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    scanned: u64,
    remove: u64,
    bytes: u64,
    runs: usize,
    regret: Option<u64>,
    kept_in_use: Option<u64>,
}

#[derive(Serialize)]
struct NoteShape {
    kind: &'static str,
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RunShape {
    at: Timestamp,
    remove: u64,
    bytes: u64,
    regret: Option<u64>,
    limit_exceeded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageShape<'a> {
    repository: &'a str,
    tag: &'a str,
    rule: Option<&'a str>,
    removed_at: Timestamp,
    deployed_at: Timestamp,
    rolled_back: bool,
    by: &'a str,
    times: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleShape<'a> {
    name: &'a str,
    remove: u64,
    regret: Option<u64>,
    older_than: Option<AdviceShape<String>>,
    keep_n: Option<AdviceShape<u32>>,
}

#[derive(Serialize)]
struct AdviceShape<T> {
    value: T,
    remove: u64,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct RepositoryShape<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<&'a str>,
    scanned: Option<u64>,
    remove: Option<u64>,
    bytes: Option<u64>,
}

/// The backtest as JSON.
///
/// # Errors
/// None that is known; the serializer could have one.
pub fn json(report: &Report) -> Result<String, serde_json::Error> {
    Ok(terminal::json(&serde_json::to_string_pretty(&Outermost::of(report))?) + "\n")
}

/// The backtest as YAML.
///
/// # Errors
/// None that is known; the serializer could have one.
pub fn yaml(report: &Report) -> Result<String, serde_saphyr::ser::Error> {
    let shape = Outermost::of(report);
    let text = serde_saphyr::to_string(&shape)?;
    if !terminal::is_odd(&text) {
        return Ok(text);
    }
    // The serializer escapes what acts on a terminal, and not what hides there.
    let quoted = serde_saphyr::ser_options! { quote_all: true };
    Ok(terminal::quoted_yaml(&serde_saphyr::to_string_with_options(&shape, quoted)?))
}

impl<'a> Outermost<'a> {
    fn of(report: &'a Report) -> Self {
        let Sums { scanned, removed, bytes, .. } = report.sums();
        let known = report.unknown.is_none();
        let regret = &report.findings.regret;
        let second = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
        let run = |run: &Run| RunShape {
            at: run.at,
            remove: run.tags,
            bytes: run.bytes,
            regret: known.then_some(run.regret),
            limit_exceeded: run.exceeded,
        };
        let note = |(kind, message): (super::BacktestNote, String)| NoteShape { kind: kind.as_str(), message };
        Self {
            policy: &report.about.policy,
            generated_at: second(report.about.at),
            from: second(report.from),
            schedule: &report.schedule,
            time_zone: &report.zone,
            totals: Totals {
                scanned,
                remove: removed,
                bytes,
                runs: report.findings.runs.len(),
                regret: report.regret(),
                kept_in_use: known.then_some(regret.kept_in_use),
            },
            notes: report.notes().into_iter().map(note).collect(),
            runs: report.findings.runs.iter().map(run).collect(),
            regret: known.then(|| regret.images.iter().map(|image| ImageShape::of(report, image)).collect()),
            rules: report.rules().map(|(name, of)| RuleShape::of(name, of, known)).collect(),
            repositories: repositories(report),
        }
    }
}

impl<'a> ImageShape<'a> {
    fn of(report: &'a Report, image: &'a RegrettedImage) -> Self {
        Self {
            repository: &image.repository,
            tag: &image.tag,
            rule: report.rule(image.rule),
            removed_at: image.removed,
            deployed_at: image.deployed,
            rolled_back: image.again,
            by: &image.user,
            times: image.times,
        }
    }
}

impl<'a> RuleShape<'a> {
    fn of(name: &'a str, of: &OfRule, known: bool) -> Self {
        let known_advice = |advice: Option<Advice>| advice.filter(|_| known);
        Self {
            name,
            remove: of.removed,
            regret: known.then_some(of.regret),
            older_than: known_advice(of.older_than)
                .map(|Advice { value, removed }| AdviceShape { value: format!("{value}d"), remove: removed }),
            keep_n: known_advice(of.keep_n).map(|Advice { value, removed }| AdviceShape { value, remove: removed }),
        }
    }
}

fn repositories(report: &Report) -> Vec<RepositoryShape<'_>> {
    let played = report.findings.repositories.iter().map(|repository| RepositoryShape {
        path: &repository.path,
        scanned: Some(repository.scanned),
        remove: Some(repository.removed),
        bytes: Some(repository.bytes),
        ..RepositoryShape::default()
    });
    let not_played = report.not_played.iter().map(|repository| RepositoryShape {
        path: &repository.path,
        error: (!repository.skipped).then_some(repository.why.as_str()),
        skipped: repository.skipped.then_some(repository.why.as_str()),
        ..RepositoryShape::default()
    });
    played.chain(not_played).collect()
}
