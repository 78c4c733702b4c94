//! `plan --backtest`: reads everything once, plays the runs of a period over it, and prints what they would have
//! removed and what of it was deployed later.

use std::fs;
use std::io::Write;
use std::sync::Arc;

use futures::stream::StreamExt;
use jiff::Timestamp;

use crate::clock::{Clock, SystemClock};
use crate::cluster::workloads::{Gap, dated};
use crate::controller::{Cluster, Forecast, Reading, ReadingState};
use crate::model::DatedImage;
use crate::plan_output::backtest::{NotPlayed, Report};
use crate::plan_output::{self, PlanHeader, State, units};
use crate::policy::CompiledPolicy;
use crate::policy::age::Age;
use crate::policy::backtest::{self, Backtest, LONGEST};
use crate::policy::in_use::Deployments;
use crate::policy::plan::attachments::Context;
use crate::terminal;

use super::plan::{Error, PlanOptions, question};
use super::plan_printer::{Conclusion, Output, PrintError, SavedAs};
use super::progress::Progress;

/// What is known of what was deployed, or why nothing is.
type Known = Result<Vec<DatedImage>, String>;

/// Plays the runs of a period up to now, and prints what came of them to `out`.
///
/// # Errors
/// When nothing can be told. Repositories that fail are part of what is told; see [`Conclusion::Failure`].
pub async fn run(settings: PlanOptions, period: &str, out: &mut dyn Write) -> Result<Conclusion, Error> {
    let period = Age::parse(period).map_err(|why| Error::NoPeriod(period.to_owned(), why))?;
    super::plan::prepare()?;
    if period.duration() > LONGEST {
        return Err(Error::LongPast);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut progress = Progress::new();
    let asked_to_look = settings.looks_at_use();
    let (about, mut question) = question(&settings, &*clock, &mut progress, None).await?;
    // What is in use now says nothing about the past: the objects themselves are asked.
    let cluster = question.cluster.take();
    let (policy, until) = (question.policy.clone(), about.at);
    let from = until.checked_sub(period.duration()).unwrap_or(Timestamp::MIN);
    let slots = backtest::slots(&policy, from, until);
    let played = Backtest::new(&policy, slots).ok_or(Error::NoPast)?;
    let known = deployed(cluster.as_ref(), asked_to_look).await;
    progress.show("looking for repositories");
    let gitlab = super::gitlab(settings.limits, &settings.allowed_hosts, Arc::clone(&clock));
    let forecast = Forecast::begin(&gitlab, Arc::clone(&clock), question).await?;
    let mut report = play(&forecast, played, &policy, known, about, &mut progress).await?;
    (report.period, report.from) = (period.as_str().to_owned(), from);
    progress.clear();
    print(&report, settings.output, &settings.saved, out)?;
    Ok(if report.fails() {
        Conclusion::Failure
    } else if report.sums().removed > 0 {
        Conclusion::Something
    } else {
        Conclusion::Nothing
    })
}

/// What objects of the cluster were made with which images.
async fn deployed(cluster: Option<&Cluster>, asked_to_look: bool) -> Known {
    let Some(Cluster { kube, namespace, options, name_others }) = cluster else {
        let why = if asked_to_look { "a file is of no cluster" } else { "nobody looked, by --in-use=false" };
        return Err(format!("{why}, which tells what was deployed and when"));
    };
    let reader = Some(namespace.as_str()).filter(|_| !name_others);
    dated::read(kube, options, reader).await.map_err(|gap: Gap| gap.to_string())
}

/// Reads each repository and plays the runs over it.
async fn play(
    forecast: &Forecast,
    mut played: Backtest<'_>,
    policy: &CompiledPolicy,
    known: Known,
    about: PlanHeader,
    progress: &mut Progress,
) -> Result<Report, Error> {
    let (known, unknown) = match known {
        Ok(images) => (images, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let deployments = Deployments::new(known, forecast.locations(), &policy.protection.aliases);
    let mut not_played: Vec<NotPlayed> = forecast
        .unlisted()
        .map(|repository| {
            let why = if let State::Failed(why) = repository.state { why } else { String::new() };
            NotPlayed { path: repository.path, why, skipped: false }
        })
        .collect();
    let (mut readings, mut read, mut ages) = (forecast.readings(), 0, None);
    while let Some(reading) = readings.next().await {
        let Reading { path, location, state } = reading?;
        match state {
            ReadingState::Read { inventory, children, complete, ages: by } => {
                let context = Context { with: policy.attachments, children: &children, complete };
                played.add(&path, inventory, context, &deployments.of(&location, &path));
                ages = ages.or(by.filter(|by| by.remark().is_some()));
            }
            ReadingState::Failed(why) => not_played.push(NotPlayed { path, why, skipped: false }),
            ReadingState::Skipped(why) => not_played.push(NotPlayed { path, why, skipped: true }),
        }
        read += 1;
        let (read, all) = (units::grouped(read), units::grouped(forecast.repositories() as u64));
        progress.show(&format!("{read}/{all} repositories, {} tags", units::grouped(forecast.tags_read())));
    }
    drop(readings);
    Ok(Report {
        from: about.at,
        period: String::new(),
        schedule: policy.schedule.as_str().to_owned(),
        zone: policy.schedule.zone().iana_name().unwrap_or("Etc/UTC").to_owned(),
        keeps_in_use: policy.protection.in_use,
        findings: played.finish(),
        not_played,
        unknown,
        unreadable: deployments.unreadable(),
        ages,
        about,
    })
}

fn print(report: &Report, output: Output, saved: &[SavedAs], out: &mut dyn Write) -> Result<(), PrintError> {
    for SavedAs { output, path } in saved {
        let text = terminal::lines(&shown(report, *output)?);
        fs::write(path, text).map_err(|error| PrintError::File(path.display().to_string(), error))?;
    }
    let text = terminal::lines(&shown(report, output)?);
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(PrintError::Output)
}

/// A backtest in a format; those that show plans alone are refused before anything is asked.
fn shown(report: &Report, output: Output) -> Result<String, PrintError> {
    match output {
        Output::Table | Output::Html | Output::TerraformReport => Ok(plan_output::backtest::table(report)),
        Output::Json => plan_output::backtest::json(report).map_err(|error| PrintError::Shape(error.to_string())),
        Output::Yaml => plan_output::backtest::yaml(report).map_err(|error| PrintError::Shape(error.to_string())),
        Output::Markdown => Ok(plan_output::backtest::comment(report)),
    }
}
