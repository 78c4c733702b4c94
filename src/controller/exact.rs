//! The method Exact: plans over what is really there, removes exactly that, and knows what went.
//!
//! What was pushed again since the plan was made stays: where GitLab sorts by push, its newest tags are read before every few
//! batches; elsewhere each tag is read again right before it goes.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::api::{Mode, RepositoryResult, TagCounts};
use crate::gitlab::{Error, Repository, TagOrder, TagRemoval};
use crate::policy::compile::Rule;
use crate::policy::inventory::{Seen, ascends};
use crate::policy::plan::{KeepReason, Verdict, exact};
use crate::policy::report::{MAX_SAMPLES, Outcome, repository_reason as why};

use super::inventory::{Failure, Taken, read};
use super::preview::{delete_scheduled, kept};
use super::run::{Job, Work};
use super::targets::{concerns_all, failure, outcome};

/// Names in one request. GitLab behaviour: more are refused.
const BATCH: usize = 20;
/// Batches between two looks at the newest tags: at 500 tags a look, looking costs a fiftieth of removing.
const BATCHES_PER_LOOK: usize = 25;
/// Requests whose answer is lost, in one repository, after which it is left alone until the next run.
const MAX_LOST: usize = 3;

/// Plans every repository and, in Delete mode, removes what is planned.
pub(crate) async fn run(job: &Job<'_>, rules: &[Rule], mode: Mode, repositories: &[Repository]) -> Work {
    let mut work = Work::completed(Vec::new());
    if mode == Mode::Delete {
        match job.client.version().await {
            Ok(version) if version.removes_single_tags() => {}
            Ok(version) => {
                work.outcomes = repositories.iter().map(|repository| too_old(repository, &version.text)).collect();
                return work;
            }
            Err(error) => return job.halt(work, &error, repositories),
        }
    }
    for (index, repository) in repositories.iter().enumerate() {
        let (outcome, halt) = one(job, rules, mode, repository).await;
        let done = outcome.is_some();
        work.outcomes.extend(outcome.map(|outcome| Outcome { eligible: job.eligible(repository), ..outcome }));
        if let Some(error) = halt {
            let rest = repositories.get(index + usize::from(done)..).unwrap_or_default();
            return job.halt(work, &error, rest);
        }
    }
    work
}

/// GitLab behaviour: up to 12.3 removing a tag removes its image, with every other tag that points at it.
fn too_old(repository: &Repository, version: &str) -> Outcome {
    let message = format!("GitLab {version} may remove an image with all its tags when one of them is to go");
    Outcome {
        message: Some(message),
        ..outcome(&repository.path, repository.id, RepositoryResult::Skipped, Some(why::EXACT_NOT_SUPPORTED))
    }
}

/// One repository: its outcome, if it came to one, and the error that ends the whole run, if there is one.
async fn one(job: &Job<'_>, rules: &[Rule], mode: Mode, repository: &Repository) -> (Option<Outcome>, Option<Error>) {
    if let Some(outcome) = delete_scheduled(repository) {
        return (Some(outcome), None);
    }
    let taken = match read(job, rules, repository).await {
        Ok(taken) => taken,
        Err(Failure::GitLab(error)) if concerns_all(&error) => return (None, Some(error)),
        Err(Failure::GitLab(error)) => return (Some(failure(&repository.path, repository.id, &error)), None),
        Err(Failure::Incomplete) => {
            let failed = outcome(&repository.path, repository.id, RepositoryResult::Failed, Some(why::LIST_INCOMPLETE));
            let message = "GitLab's lists of tags do not fit together, so nothing is decided from them".to_owned();
            return (Some(Outcome { message: Some(message), ..failed }), None);
        }
    };
    let (planned, mut outcome) = plan(job, rules, mode, repository, &taken);
    if mode == Mode::DryRun || planned.is_empty() {
        return (Some(outcome), None);
    }
    let looks = taken.sorts_by_push;
    let mut removal = Removal { job, repository, taken: &taken, looks, again: HashSet::new(), told: Told::default() };
    let error = removal.run(&planned).await.err();
    let told = removal.told;
    told.write(&mut outcome);
    match error {
        Some(error) if concerns_all(&error) => (Some(outcome), Some(error)),
        Some(error) => {
            let failed = failure(&repository.path, repository.id, &error);
            let message = format!("{}; {}", error, outcome.message.unwrap_or_default());
            let result = RepositoryResult::Failed;
            (Some(Outcome { result, reason: failed.reason, message: Some(message), ..outcome }), None)
        }
        None => (Some(outcome), None),
    }
}

/// Plans a repository; answers what is to go, and the outcome so far.
fn plan<'t>(
    job: &Job<'_>,
    rules: &[Rule],
    mode: Mode,
    repository: &Repository,
    taken: &'t Taken,
) -> (Vec<&'t Seen>, Outcome) {
    let tags = taken.inventory.tags();
    let decisions = exact::plan(&tags, rules, &job.policy.protect, taken.at);
    let mut planned = Vec::new();
    for (index, (tag, decision)) in tags.iter().zip(&decisions).enumerate() {
        let rule = decision.rule.and_then(|rule| rules.get(rule)).map(|rule| rule.name.as_str());
        let (verdict, reason) = (decision.verdict.as_str(), decision.verdict.reason());
        if mode == Mode::DryRun {
            job.audit(mode, repository, tag.name, verdict, reason, rule);
        }
        if decision.verdict == Verdict::Remove
            && let Some(seen) = taken.inventory.read.get(index)
        {
            planned.push(seen);
        }
    }
    let verdicts: Vec<Verdict> = decisions.iter().map(|decision| decision.verdict).collect();
    let by = if taken.pushes_known { "last" } else { "first" };
    let counts =
        TagCounts { scanned: taken.inventory.len() as u64, matched: planned.len() as u64, ..TagCounts::default() };
    let (result, reason) = if planned.is_empty() {
        (RepositoryResult::Unchanged, Some(why::NOTHING_TO_REMOVE))
    } else {
        (RepositoryResult::Changed, None)
    };
    let outcome = Outcome {
        tags: counts,
        message: Some(format!("{}; ages by the {by} push", kept(&verdicts))),
        samples: planned.iter().take(MAX_SAMPLES).map(|seen| seen.name.to_string()).collect(),
        ..outcome(&repository.path, repository.id, result, reason)
    };
    (planned, outcome)
}

/// What became of the tags that were to go.
#[derive(Default)]
struct Told {
    requested: u64,
    removed: u64,
    protected: u64,
    again: u64,
    lost: u64,
    samples: Vec<String>,
}

impl Told {
    fn write(self, outcome: &mut Outcome) {
        outcome.tags.requested = self.requested;
        outcome.tags.confirmed = self.removed;
        outcome.samples = self.samples;
        if self.removed == 0 {
            outcome.result = RepositoryResult::Unchanged;
        }
        let mut message = format!("{} of {} planned tags were removed", self.removed, outcome.tags.matched);
        for (number, what) in [
            (self.protected, "kept because GitLab protects them"),
            (self.again, "kept because they were pushed again meanwhile"),
            (self.lost, "of unknown fate, because the answer was lost"),
        ] {
            if number > 0 {
                message = format!("{message}, {number} {what}");
            }
        }
        if self.lost > 0 {
            outcome.reason = Some(why::NOT_CONFIRMED);
        }
        outcome.message = Some(message);
    }
}

/// The removal of one repository's tags.
struct Removal<'a> {
    job: &'a Job<'a>,
    repository: &'a Repository,
    taken: &'a Taken,
    /// Whether the newest pushes are asked for; otherwise each tag is read again.
    looks: bool,
    /// Names that were pushed again since the inventory was taken.
    again: HashSet<Box<str>>,
    told: Told,
}

impl Removal<'_> {
    async fn run(&mut self, planned: &[&Seen]) -> Result<(), Error> {
        for (number, batch) in planned.chunks(BATCH).enumerate() {
            if self.looks && number % BATCHES_PER_LOOK == 0 {
                self.look().await?;
            }
            let mut names: Vec<&str> = Vec::with_capacity(batch.len());
            for seen in batch {
                let again = if self.looks { self.again.contains(&seen.name) } else { self.changed(seen).await? };
                if again {
                    self.told.again += 1;
                    self.audit(&seen.name, Verdict::Keep(KeepReason::PushedAgain));
                } else if self.taken.graphql {
                    names.push(&seen.name);
                } else {
                    self.remove_one(&seen.name).await?;
                }
            }
            if !names.is_empty() {
                self.remove_batch(&names).await?;
            }
        }
        Ok(())
    }

    /// Reads the newest pushes, back to the moment at which the inventory was taken. An order that does not hold is not relied
    /// on any more.
    async fn look(&mut self) -> Result<(), Error> {
        let mut cursor = None;
        let mut last = None;
        loop {
            let page =
                self.job.client.tag_page(self.repository.id, TagOrder::NewestPushFirst, cursor.as_deref()).await?;
            let mut pushes: Vec<Option<Timestamp>> = page.tags.iter().map(|tag| tag.published_at).collect();
            pushes.reverse();
            if !ascends(None, pushes.iter().copied().chain(last)) {
                self.looks = false;
                return Ok(());
            }
            last = pushes.first().copied().or(last);
            let since = |push: Option<Timestamp>| push >= Some(self.taken.at);
            let all_new = page.tags.iter().all(|tag| since(tag.published_at));
            self.again.extend(page.tags.into_iter().filter(|tag| since(tag.published_at)).map(|tag| tag.name));
            cursor = page.next;
            if !all_new || cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// Whether a tag is another one than was planned with, read right before it goes. Not finding it proves nothing, so it
    /// stays.
    async fn changed(&self, seen: &Seen) -> Result<bool, Error> {
        let tag = self.job.client.tag(&self.repository.reference(), &seen.name).await?;
        Ok(match tag {
            None => true,
            Some(tag) => seen.digest.is_some() && tag.digest.as_deref() != seen.digest.as_deref(),
        })
    }

    async fn remove_batch(&mut self, names: &[&str]) -> Result<(), Error> {
        self.told.requested += names.len() as u64;
        match self.job.client.destroy_tags(self.repository.id, names).await {
            Ok(gone) => {
                let gone: HashSet<&str> = gone.iter().map(AsRef::as_ref).collect();
                for name in names {
                    self.answered(name, gone.contains(name));
                }
                Ok(())
            }
            Err(error) => self.failed(error, names.len() as u64),
        }
    }

    async fn remove_one(&mut self, name: &str) -> Result<(), Error> {
        self.told.requested += 1;
        match self.job.client.delete_tag(&self.repository.reference(), name).await {
            Ok(removal) => {
                self.answered(name, removal == TagRemoval::Gone);
                Ok(())
            }
            Err(error) => self.failed(error, 1),
        }
    }

    fn answered(&mut self, name: &str, gone: bool) {
        if gone {
            self.told.removed += 1;
            if self.told.samples.len() < MAX_SAMPLES {
                self.told.samples.push(name.to_owned());
            }
            self.audit(name, Verdict::Remove);
        } else {
            self.told.protected += 1;
            self.audit(name, Verdict::Keep(KeepReason::ProtectedByGitLab));
        }
    }

    /// An answer that was lost is passed over a few times; the next run plans again and finds out what went.
    fn failed(&mut self, error: Error, names: u64) -> Result<(), Error> {
        if !error.is_answer_lost() {
            self.told.requested -= names;
            return Err(error);
        }
        self.told.lost += names;
        let lost = usize::try_from(self.told.lost).unwrap_or(usize::MAX);
        if lost > MAX_LOST * BATCH { Err(error) } else { Ok(()) }
    }

    fn audit(&self, name: &str, verdict: Verdict) {
        self.job.audit(Mode::Delete, self.repository, name, verdict.as_str(), verdict.reason(), None);
    }
}
