//! What came of a backtest, as people and programs read it: as a table, as JSON and YAML, and as a comment on a merge
//! request.

mod json;
mod markdown;
mod table;

pub use json::{json, yaml};
pub use markdown::comment;
pub use table::table;

use jiff::Timestamp;

use super::{PlanHeader, units};
use crate::policy::backtest::{Advice, Findings, OfRule, RegrettedImage, Run};
use crate::policy::tag::Ages;
use crate::words::words;

/// A repository that was not played.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotPlayed {
    /// Its path; of what could not be listed, "project PATH" or "group PATH".
    pub path: String,
    /// Why.
    pub why: String,
    /// Whether a run leaves it alone, too. Otherwise a run would fail here.
    pub skipped: bool,
}

/// Everything that came out.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whose past was played, and as of which moment.
    pub about: PlanHeader,
    /// How long the period is, as somebody gave it.
    pub period: String,
    /// When it begins.
    pub from: Timestamp,
    /// The schedule.
    pub schedule: String,
    /// Its time zone.
    pub zone: String,
    /// Whether a run keeps images in use.
    pub keeps_in_use: bool,
    /// What came out.
    pub findings: Findings,
    /// Repositories that were not played.
    pub not_played: Vec<NotPlayed>,
    /// Why it is not known what was deployed, if it is not.
    pub unknown: Option<String>,
    /// How many objects name something that cannot be read and may mean an image of the registry.
    pub unreadable: usize,
    /// What there is to say of what ages are counted from.
    pub ages: Option<Ages>,
}

words! {
    /// What a note is about. Programs may go by it; the sentence is for people and may change.
    pub enum BacktestNote {
        /// What no longer exists is not seen.
        GoneNotSeen,
        /// It is not known what was deployed.
        RegretNotKnown,
        /// Some repositories fail.
        RepositoriesFailed,
        /// Runs come more seldom than the nights.
        RunsAreRare,
        /// A limit would have been exceeded.
        LimitExceeded,
        /// A run keeps images in use.
        InUseKept,
        /// Images that were deployed are of no tag that was read.
        ImagesNotFound,
        /// Texts of objects cannot be read as images.
        ImagesNotReadable,
        /// Ages are those of the builds, not of the pushes.
        AgesByBuild,
    }
}

/// Numbers over everything.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sums {
    /// Tags that were read.
    pub scanned: u64,
    /// Those that would have gone.
    pub removed: u64,
    /// Their size in bytes, as far as it is known.
    pub bytes: u64,
    /// Runs from which something would have gone.
    pub runs: u64,
}

impl Report {
    /// The numbers.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let mut sums = Sums { runs: self.removing().count() as u64, ..Sums::default() };
        for repository in &self.findings.repositories {
            sums.scanned += repository.scanned;
            sums.removed += repository.removed;
            sums.bytes += repository.bytes;
        }
        sums
    }

    /// How many images are regretted, if that is known.
    #[must_use]
    pub fn regret(&self) -> Option<u64> {
        self.unknown.is_none().then_some(self.findings.regret.images.len() as u64)
    }

    /// Whether a run would fail, at least in part.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.not_played.iter().any(|repository| !repository.skipped)
    }

    /// The runs from which something would have gone.
    fn removing(&self) -> impl Iterator<Item = &Run> {
        self.findings.runs.iter().filter(|run| run.tags > 0)
    }

    /// The name of a rule.
    fn rule(&self, rule: Option<usize>) -> Option<&str> {
        self.about.rules.get(rule?).map(|rule| rule.name.as_str())
    }

    /// The rules with what came of each.
    fn rules(&self) -> impl Iterator<Item = (&str, &OfRule)> {
        self.about.rules.iter().map(|rule| rule.name.as_str()).zip(&self.findings.rules)
    }

    /// What is played: "90 runs of the schedule 17 3 * * * (Etc/UTC) from … to …, over 576 tags in 9 repositories".
    fn played(&self) -> String {
        let runs = units::of(self.findings.runs.len() as u64, "run", "runs");
        let tags = units::of(self.sums().scanned, "tag", "tags");
        let places = units::of(self.findings.repositories.len() as u64, "repository", "repositories");
        let (from, until) = (minute(self.from), minute(self.about.at));
        let Self { schedule, zone, .. } = self;
        format!("{runs} of the schedule {schedule} ({zone}) from {from} to {until}, over {tags} in {places}")
    }

    /// What it comes to: "120 of 576 tags would have gone in 34 of 90 runs, 1.2 GiB; 2 images of them were deployed
    /// later".
    fn summary(&self) -> String {
        let Sums { scanned, removed, bytes, runs } = self.sums();
        let of = units::of(scanned, "tag", "tags");
        let all = units::of(self.findings.runs.len() as u64, "run", "runs");
        let gone = match removed {
            0 => return format!("none of {of} would have gone in {all}"),
            removed => format!("{removed} of {of} would have gone in {runs} of {all}, {}", units::size(bytes)),
        };
        match self.regret() {
            None => format!("{gone}; it is not known what of them was deployed later"),
            Some(0) => format!("{gone}; nothing is known to have been deployed with one of them later"),
            Some(1) => format!("{gone}; 1 of them was deployed later"),
            Some(number) => format!("{gone}; {number} of them were deployed later"),
        }
    }

    /// What there is to say besides the numbers, a kind and a sentence each.
    fn notes(&self) -> Vec<(BacktestNote, String)> {
        use BacktestNote as Note;
        let regret = &self.findings.regret;
        let failed = self.not_played.iter().filter(|repository| !repository.skipped).count() as u64;
        let exceeded = self.findings.runs.iter().filter(|run| run.exceeded).count() as u64;
        let nights = self.about.at.duration_since(self.from).as_secs() / 86_400;
        let runs = i64::try_from(self.findings.runs.len()).unwrap_or(i64::MAX);
        let kept = match regret.kept_in_use {
            0 => String::new(),
            1 => "; 1 image more was deployed later, and is kept by what still uses it".to_owned(),
            number => format!("; {number} images more were deployed later, and are kept by what still uses them"),
        };
        let images = |number: u64| units::of(number, "image", "images");
        let all = [
            (Note::GoneNotSeen, Some(GONE.to_owned())),
            (Note::RegretNotKnown, self.unknown.as_ref().map(|why| format!("regret is not known: {why}"))),
            (Note::RepositoriesFailed, some(failed).map(|number| format!("{number} could not be read"))),
            (Note::RunsAreRare, (runs < nights).then(|| format!("of {nights} nights, those with a run are played"))),
            (
                Note::LimitExceeded,
                some(exceeded).map(|_| {
                    let runs = units::of(exceeded, "run", "runs");
                    format!("{runs} would have exceeded a limit of the policy; limits are not played")
                }),
            ),
            (Note::InUseKept, self.keeps_in_use.then(|| format!("{IN_USE}{kept}"))),
            (
                Note::ImagesNotFound,
                some(regret.unmatched)
                    .map(|number| format!("{} that objects name are of no tag that was read", images(number))),
            ),
            (
                Note::ImagesNotReadable,
                some(self.unreadable as u64)
                    .map(|number| format!("{} cannot be read and may mean the registry", images(number))),
            ),
            (Note::AgesByBuild, self.ages.and_then(Ages::remark).map(str::to_owned)),
        ];
        all.into_iter().filter_map(|(kind, text)| Some((kind, text?))).collect()
    }
}

const GONE: &str = "what no longer exists is not seen: tags that were removed or overwritten since, and objects of the \
                    cluster that are gone";
const IN_USE: &str = "a run keeps images in use, so it removes no more than this; what still uses an image is known to \
                      have used it since it was created";

fn some(number: u64) -> Option<u64> {
    Some(number).filter(|number| *number > 0)
}

/// A moment as people read it: `2026-11-22 03:17 UTC`.
fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The smallest value that regrets nothing: "33d", with what would have gone.
fn advised(advice: Option<Advice>, unit: &str) -> Option<String> {
    advice.map(|Advice { value, removed }| format!("{value}{unit} ({removed} removed)"))
}

/// When something was deployed: `2026-11-22 03:17 UTC`, or `after` that.
fn deployed(image: &RegrettedImage) -> String {
    let at = minute(image.deployed);
    if image.again { format!("after {at}") } else { at }
}

#[cfg(test)]
mod tests;
